/* SPDX-License-Identifier: MIT
 *
 * Two engines of L2TPv3 joined in memory: a network of packets that may be lost, doubled and put
 * out of order, virtual time, an owner for each that answers its questions and remembers what it
 * was told, and a journal for each. As world.h for v2.
 */
#ifndef TESTS_L2TP_WORLD3_H
#define TESTS_L2TP_WORLD3_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <adit/l2tp3.h>
#include "base/addr.h"
#include "base/wire.h"

#define W3_FLIGHT 4096
#define W3_KINDS  (L2TP3_EV_SESSION_DOWN + 1)

struct packet3 {
	uint64_t at; /* not before this instant (us) */
	struct path path;
	size_t len;
	uint8_t *bytes;
};

struct record3 {
	enum l2tp3_object kind;
	adit_handle handle;
	size_t len;
	uint8_t *bytes;
	struct record3 *next;
};

struct world3;

struct end3 {
	struct world3 *w;
	int index;
	struct l2tp3 *l;
	struct l2tp3_profile *profile;
	struct l2tp3_config config;
	struct l2tp3_circuit circuit;
	struct addr addr;
	bool mute;
	bool refuse_conn, refuse_session;
	uint32_t count[W3_KINDS];
	struct l2tp3_event last[W3_KINDS];
	char text[W3_KINDS][L2TP_TEXT_MAX];
	uint8_t end_id[L2TP3_END_ID_MAX]; /* of the last SESSION_ASK */
	adit_handle conn, session;	  /* the latest that was asked for */
	uint32_t frames;
	uint8_t frame[64];
	uint32_t frame_len;
	uint32_t sent;
	uint8_t out[L2TP_CONTROL_MAX]; /* the last packet it sent */
	size_t out_len;
	struct record3 *records;
};

struct world3 {
	struct mono now;
	uint64_t seed;
	uint32_t loss, dup, reorder; /* per cent */
	int64_t delay_us;
	struct end3 e[2];
	struct packet3 flight[W3_FLIGHT];
	uint32_t in_flight, steps;
	bool full; /* the allocations of the engines fail one after another */
	long fail_at;
};

struct world3_params {
	struct l2tp3_params p[2];
	struct l2tp3_circuit circuit[2];
	bool ip, v6;
	uint64_t seed;
	struct trace *trace; /* of both, or NULL */
};

void world3_params(struct world3_params *wp);
void world3_start(struct world3 *w, const struct world3_params *wp);
void world3_stop(struct world3 *w);
uint32_t world3_random(struct world3 *w, uint32_t n);
void world3_drain(struct world3 *w, int i);
void world3_run(struct world3 *w, int64_t us);
void world3_restart(struct world3 *w, int i);
int world3_do(struct world3 *w, int i, struct l2tp3_cmd *cmd);
adit_handle world3_dial(struct world3 *w, int i);
adit_handle world3_session(struct world3 *w, int i, adit_handle conn, const char *end);
bool world3_frame(struct world3 *w, int i, adit_handle session, const char *text);
uint32_t world3_sessions(struct world3 *w, int i, enum l2tp3_session_state state);
uint32_t world3_conns(struct world3 *w, int i, enum l2tp3_conn_state state);
int world3_inject(struct world3 *w, int to, const struct path *path, const uint8_t *bytes,
		  size_t len);
struct path world3_path(const struct world3 *w, int i); /* from i to the other */

#endif
