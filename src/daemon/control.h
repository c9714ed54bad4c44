/* SPDX-License-Identifier: MIT
 *
 * Shared by control.c (clients), control_call.c (calls) and show.c (what is shown), and the frame
 * of the protocol for those who speak it: varlink, a JSON object and a NUL per message.
 */
#ifndef ADIT_DAEMON_CONTROL_H
#define ADIT_DAEMON_CONTROL_H

#include "daemon.h"

#include <jansson.h>

#ifndef ADIT_VERSION
#define ADIT_VERSION "0"
#endif

#define CONTROL_REQUEST_MAX ((size_t)1 << 20) /* octets of a request with its NUL */

/* A request, taken apart. Strings and `parameters` belong to `root`, which the caller frees. */
struct control_request {
	json_t *root;
	const char *method;
	json_t *parameters; /* NULL = none */
	bool more, oneway;
};

/* 0; 1 it is no varlink call, `why` (128 octets) says what is wrong. */
int control_parse(const char *text, size_t len, struct control_request *ret, char *why);

/* The description of the interface org.adit. */
extern const char control_interface[];

/* Each gives a new reference, or NULL when out of memory or when the object is gone. */
json_t *show_status(struct daemon *d);
json_t *show_session(struct daemon *d, uint64_t key);
json_t *show_tunnel(struct daemon *d, uint32_t id); /* of both versions */
json_t *show_tunnel3(struct daemon *d, uint32_t id);
json_t *show_peer(struct daemon *d, size_t index);
json_t *show_wire(struct daemon *d, size_t index);	     /* static ones first */
json_t *show_wire_named(struct daemon *d, const char *name); /* one agreed with its peer */
json_t *show_wire_session(struct daemon *d, uint64_t key);   /* as show_session() */
json_t *show_finding(struct daemon *d, size_t index);	     /* once dp_remote_probed() */
json_t *show_pool(struct daemon *d, size_t index);
json_t *show_dial(struct daemon *d, size_t index);
json_t *show_failure(struct daemon *d, size_t back);
json_t *show_trace(struct daemon *d, const struct trace_record *r, const uint8_t *raw);

/* 16 hex digits as in accounting records. False when it is no key. */
json_t *show_key(uint64_t key);
bool show_key_parse(const char *text, uint64_t *ret);

#endif
