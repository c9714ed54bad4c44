/* SPDX-License-Identifier: MIT
 *
 * One L2TP engine in virtual time with a scripted peer. What the engine does comes out as lines of
 * text, in the order in which an owner that keeps the contract of types.h sees it: after each act
 * events, then records to keep, then output.
 *
 *     < SCCRP tid=7 sid=0 ns=0 nr=1 ...      a control or data message of the engine
 *     ! tunnel-up t1 host="lac"              an event; objects are t1, t2, ... and s1, s2, ...
 *     = frame s1 x c021...                   what became of a data message given to it
 *     = 3                                    what a command returned, when not 0
 *
 * Only include/adit/l2tp.h is used. tests/rfc/README says how scenarios are written.
 */
#ifndef ADIT_TEST_RFC_HARNESS_H
#define ADIT_TEST_RFC_HARNESS_H

#include <adit/l2tp.h>
#include "common.h"
#include "wire_peer.h"

/* What an owner keeps for an object, so that it outlives the process. */
struct harness_record {
	adit_handle handle; /* 0: free */
	enum l2tp_object kind;
	size_t len;
	uint8_t *bytes;
};

struct harness {
	struct l2tp *engine;
	struct l2tp_profile *profile;
	struct l2tp_params params;
	struct l2tp_config config;
	struct lines log;
	struct wire_peer peer;
	adit_handle tunnel[HARNESS_OBJECTS], session[HARNESS_OBJECTS];
	unsigned tunnels, sessions;
	struct harness_record record[HARNESS_RECORDS];
	bool waits;  /* the owner answers by a line of the scenario, not at once */
	bool hidden; /* T receives what the engine sends, but no line tells it */
};

void harness_init(struct harness *h);
void harness_free(struct harness *h);

/* The scenario's head is read: make the engine. */
void harness_start(struct harness *h);

/* A word of a `profile` or `engine` line at the head of a scenario. False: not known. */
bool harness_set(struct harness *h, const char *word);
bool harness_set_engine(struct harness *h, const char *word);

/* L2TPv3: all goes over IP; `instead`: of UDP, for which the scenario is written. False: not here.
 */
bool harness_over_ip(struct harness *h, bool instead);

/* Let time pass up to `t`, or until something happens (then true). */
bool harness_until(struct harness *h, struct mono t);

/* The stimuli. False: the words make no sense. `words` are changed. */
bool harness_send(struct harness *h, char **words, unsigned count); /* > ... */
bool harness_do(struct harness *h, char **words, unsigned count);   /* do ... */

/* Say the present value of what the words ask for, as `name=value`. False: not known. */
bool harness_ask(struct harness *h, char **words, unsigned count, char *ret, size_t cap);

#endif
