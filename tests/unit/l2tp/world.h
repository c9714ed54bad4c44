/* SPDX-License-Identifier: MIT
 *
 * Engines joined in memory for tests: a network of packets that may be lost, doubled and put out
 * of order, virtual time, an owner for each engine that answers its questions and remembers what it
 * was told, and a journal for each.
 */
#ifndef TESTS_L2TP_WORLD_H
#define TESTS_L2TP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <adit/l2tp.h>
#include "base/addr.h"
#include "base/wire.h"

#define WORLD_ENDS   2
#define WORLD_FLIGHT 4096
#define WORLD_EVENTS 64

struct packet {
	int from;
	uint32_t at;	  /* not before this instant (ms) */
	struct path path; /* as the sender gave it */
	size_t len;
	uint8_t *bytes;
};

struct world;

struct end {
	struct world *w;
	int index;
	struct l2tp *l;
	struct l2tp_profile *profile;
	struct l2tp_config config;
	struct addr addr;
	bool mute; /* does not answer questions */
	bool refuse_tunnel, refuse_session;
	bool journal;
	/* what happened */
	uint32_t count[L2TP_EV_SESSION_DOWN + 1];
	struct l2tp_event last[L2TP_EV_SESSION_DOWN + 1];
	char text[L2TP_EV_SESSION_DOWN + 1][L2TP_TEXT_MAX];
	char calling[L2TP_NUMBER_MAX]; /* of SESSION_ASK */
	adit_handle tunnel, session;   /* the latest that was asked for or opened */
	uint32_t frames;
	uint8_t frame[64];
	uint32_t frame_len;
	uint32_t sent, sent_zlb;
	/* records by handle */
	struct record {
		enum l2tp_object kind;
		adit_handle handle;
		size_t len;
		uint8_t *bytes;
		struct record *next;
	} * records;
};

struct world {
	struct mono now;
	uint64_t seed;
	uint32_t loss, dup, reorder; /* per cent */
	uint32_t delay_ms;
	struct end e[WORLD_ENDS];
	struct packet flight[WORLD_FLIGHT];
	uint32_t in_flight;
	uint64_t lost;
	/* The fail_at-th allocation of the engines from now on fails, with fail_all all later ones.
	 */
	long fail_at;
	bool fail_all;
	uint32_t failed; /* engine calls that said -ENOMEM, or should have */
};

/* Parameters for both ends that a test may change before world_start(). */
struct world_params {
	struct l2tp_params p[WORLD_ENDS];
	uint64_t seed;
};

void world_params(struct world_params *wp);
void world_start(struct world *w, const struct world_params *wp);
void world_stop(struct world *w);
uint32_t world_random(struct world *w, uint32_t n);

/* Take events, records and output of one end. */
void world_drain(struct world *w, int i);
/* Deliver all that is under way and due, until there is nothing or `us` have passed. */
void world_run(struct world *w, int64_t us);
/* Bring one end down without a word and up again from its records. */
void world_restart(struct world *w, int i);
adit_handle world_dial(struct world *w, int i);
adit_handle world_call(struct world *w, int i, adit_handle tunnel);
int world_do(struct world *w, int i, struct l2tp_cmd *cmd);
/* Around every call of an engine: see fail_at. */
void world_enter(struct world *w);
void world_leave(struct world *w);
/* Send a frame of a session; true when the engine took it. */
bool world_frame(struct world *w, int i, adit_handle session, const char *text);
uint32_t world_sessions(struct world *w, int i, enum l2tp_session_state state);
uint32_t world_tunnels(struct world *w, int i, enum l2tp_tunnel_state state);
void world_inject(struct world *w, int to, const struct path *path, const uint8_t *bytes,
		  size_t len);

#endif
