/* SPDX-License-Identifier: MIT
 *
 * As harness.h, for an engine of L2TPv3. Connections are c1, c2, ..., sessions s1, s2, ...
 *
 *     < SCCRP tid=7 ns=0 nr=1 ...          a control message of the engine
 *     < data sid=70 rest=x...              a data message: all that follows the session id
 *     ! conn-up c1 host="lac"              an event
 *     = frame s1 x...                      what became of a data message given to it
 *
 * With `engine v2` that of L2TPv2 is on the same port, and T speaks both. Tunnels are t1, t2, ...
 *
 *     do offer                             one request for either version (RFC 3931 4.7.3)
 *     < v2 SCCRQ ...     > v2 SCCRP ...    messages of L2TPv2
 *     ! tunnel-up t1 ...                   an event of that engine
 *
 * Only include/adit/l2tp3.h is used.
 */
#ifndef ADIT_TEST_RFC_HARNESS3_H
#define ADIT_TEST_RFC_HARNESS3_H

#include <adit/l2tp3.h>
#include "common.h"
#include "wire_peer.h"

struct harness_record {
	adit_handle handle; /* 0: free */
	enum l2tp3_object kind;
	size_t len;
	uint8_t *bytes;
};

/* The other engine, see harness3_v2.c. */
struct harness_v2 {
	struct l2tp *engine;
	struct l2tp_profile *profile;
	struct wire_peer peer;
	adit_handle tunnel[16];
	unsigned tunnels;
	adit_handle offer, offered; /* the tunnel and the connection that wait for one answer */
};

struct harness {
	struct l2tp3 *engine;
	struct l2tp3_profile *profile;
	struct l2tp3_params params;
	struct l2tp3_config config;
	struct l2tp3_circuit circuit; /* of sessions that are accepted at once */
	struct lines log;
	struct wire_peer peer;
	adit_handle conn[HARNESS_OBJECTS], session[HARNESS_OBJECTS];
	unsigned conns, sessions;
	struct harness_record record[HARNESS_RECORDS];
	bool waits;	      /* the owner answers by a line of the scenario, not at once */
	bool hidden;	      /* T receives what the engine sends, but no line tells it */
	bool over_ip_instead; /* the scenario is written for UDP, and played over IP */
	unsigned pw_types;
	bool with_v2;
	struct harness_v2 v2;
};

/* As in harness.h. */
void harness_init(struct harness *h);
void harness_free(struct harness *h);
void harness_start(struct harness *h);
bool harness_set(struct harness *h, const char *word);
bool harness_over_ip(struct harness *h, bool instead);
bool harness_set_engine(struct harness *h, const char *word);
bool harness_until(struct harness *h, struct mono t);
bool harness_send(struct harness *h, char **words, unsigned count);
bool harness_do(struct harness *h, char **words, unsigned count);
bool harness_ask(struct harness *h, char **words, unsigned count, char *ret, size_t cap);

/* A word of a circuit: cookie=8 sublayer=1 sequencing=2 circuit=1 mtu=1500 tx= rx= channel= */
bool harness_circuit_word(struct l2tp3_circuit *c, const char *word, const char *v);

/* The owner's part of the second engine; without it, nothing and false. An event of it, an event of
 * the first one that matters to it, a packet out of it, and one that may be for it (true: it was).
 */
void harness_v2_start(struct harness *h);
void harness_v2_free(struct harness *h);
bool harness_v2_offer(struct harness *h, struct l2tp3_cmd *ask);
bool harness_v2_event(struct harness *h);
void harness_v2_heard(struct harness *h, const struct l2tp3_event *e);
bool harness_v2_output(struct harness *h);
struct mono harness_v2_deadline(const struct harness *h, struct mono other);
void harness_v2_expire(struct harness *h);
bool harness_v2_input(struct harness *h, const struct path *path, const uint8_t *bytes, size_t len,
		      bool data);

#endif
