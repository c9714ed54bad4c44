/* SPDX-License-Identifier: MIT
 *
 * Clients of the control socket, for control.c, which reads and writes, and control_call.c, which
 * does what they ask for.
 */
#ifndef ADIT_DAEMON_CONTROL_INT_H
#define ADIT_DAEMON_CONTROL_INT_H

#include "control.h"

enum op {
	OP_NONE,
	OP_SESSIONS,
	OP_TUNNELS,
	OP_PEERS,
	OP_POOLS,
	OP_DIALS,
	OP_ERRORS,
	OP_MONITOR,
	OP_CONNECT,
	OP_DISCONNECT,
	OP_RELOAD,
	OP_DOCTOR,
	OP_WIRES
};

struct client {
	struct list in;
	struct control *control;
	int fd;
	struct io_watch *watch;
	char *req; /* what was read and not handled */
	size_t req_len, req_cap;
	char *out;
	size_t out_len, out_cap, out_sent;
	bool ending; /* close when everything is sent */
	bool eof;    /* it sends nothing more; what it asked for is still answered */
	bool dead;
	bool waits; /* the call under way has nothing to tell before something happens */

	enum op op; /* the call under way */
	bool more;
	bool wire;	/* OP_CONNECT, OP_DISCONNECT: of a pseudowire */
	uint64_t *keys; /* OP_SESSIONS, OP_TUNNELS: what there was when it began */
	size_t count, pos;
	uint64_t told; /* objects that were shown */
	uint64_t trace_pos;
	enum trace_level level;
	char name[CONF_NAME]; /* OP_CONNECT, OP_DISCONNECT */
	char shown[160];      /* the state told last */
	struct mono until;    /* OP_CONNECT: up, waits for the other family; 0 = not yet */
	struct mono heard;    /* when it came or last sent something */
};

struct control {
	struct daemon *d;
	int fd;
	struct list clients;
};

/* ---- control.c ---- */

/* One answer; takes the reference to `parameters`. The last one ends the call. */
void control_reply(struct client *c, json_t *parameters, bool continues);
/* ... with one parameter. NULL: we are out of memory, and the client is closed. */
void control_reply_one(struct client *c, const char *name, json_t *value, bool continues);
/* An error with a text in the parameter `field`. It ends the call. */
void control_error(struct client *c, const char *error, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- control_call.c ---- */

/* Make the next answer of the call under way. False: there is nothing new to tell for now. */
bool control_step(struct client *c);
/* Begin the call that a message asks for, and end it if it has one answer that is at hand. */
void control_handle(struct client *c, const char *text, size_t len);

#endif
