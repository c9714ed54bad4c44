/* SPDX-License-Identifier: MIT
 *
 * One engine and a scripted peer: messages are made by hand, and what the engine sends and tells is
 * taken apart and counted.
 */
#ifndef TESTS_L2TP_PEER_H
#define TESTS_L2TP_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "l2tp/internal.h"

#define PEER_OUT 64

struct out {
	struct l2tp_header h;
	struct l2tp_msg m;
	struct path path;
	size_t len;
	uint8_t bytes[L2TP_CONTROL_MAX]; /* `m` points into them */
	char text[L2TP_TEXT_MAX];
};

struct peer {
	struct l2tp *l;
	struct l2tp_profile *profile;
	struct mono now;
	struct path path; /* as the engine sees it */
	bool answer;	  /* the owner accepts what is asked */
	/* the peer's side of the connection */
	uint16_t tid, engine_tid; /* the peer's id, the engine's */
	uint16_t ns, nr;
	/* what came out */
	struct out out[PEER_OUT];
	uint32_t outs;
	uint32_t events[L2TP_EV_SESSION_DOWN + 1];
	struct l2tp_event last[L2TP_EV_SESSION_DOWN + 1];
	char text[L2TP_EV_SESSION_DOWN + 1][L2TP_TEXT_MAX];
	char host[L2TP_NAME_MAX]; /* of TUNNEL_ASK */
	adit_handle tunnel, session;
};

void peer_start(struct peer *p, const struct l2tp_params *params);
void peer_stop(struct peer *p);
/* Forget what came out so far. */
void peer_clear(struct peer *p);
void peer_drain(struct peer *p);
void peer_wait(struct peer *p, int64_t us);

/* Build a message; AVPs follow by l2tp_build_*(&p_build, ...). */
struct l2tp_build *peer_begin(struct peer *p, uint16_t type);
/* Send it with the next number, to the engine's tunnel and this session id. */
void peer_send(struct peer *p, uint16_t session);
/* With everything chosen: 0 as tid is a stranger's. */
void peer_send_as(struct peer *p, uint16_t tid, uint16_t session, uint16_t ns, uint16_t nr);
void peer_zlb(struct peer *p);
void peer_bytes(struct peer *p, const uint8_t *bytes, size_t len);
/* SCCRQ or SCCRP with what it needs. */
struct l2tp_build *peer_hello_words(struct peer *p, uint16_t type, uint16_t tid);

/* Bring a tunnel up: as the initiator (the engine is asked) or as the responder (it dials). */
void peer_open(struct peer *p);
void peer_answer_dial(struct peer *p);
adit_handle peer_dial(struct peer *p);
adit_handle peer_call(struct peer *p);
/* A session up, the peer as LAC; returns the engine's session id. */
uint16_t peer_call_in(struct peer *p, uint16_t sid);
/* A session up, the peer as LNS. */
uint16_t peer_call_out(struct peer *p, uint16_t sid);
int peer_do(struct peer *p, struct l2tp_cmd *cmd);

/* How many messages of this type came out, and the last of them (NULL). */
uint32_t peer_count(const struct peer *p, uint16_t type);
const struct out *peer_last(const struct peer *p, uint16_t type);
/* The state of the tunnel; L2TP_TS_IDLE when it is gone. */
unsigned peer_state(const struct peer *p);
unsigned peer_session_state(const struct peer *p);

#endif
