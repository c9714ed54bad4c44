/* SPDX-License-Identifier: MIT
 *
 * What show.c and show_wire.c share: fields of JSON objects.
 */
#ifndef ADIT_DAEMON_SHOW_INT_H
#define ADIT_DAEMON_SHOW_INT_H

#include "control.h"

/* Set a field; NULL and what is not known are null. Text of a peer is escaped. */
void show_set(json_t *o, const char *name, json_t *value);
void show_set_text(json_t *o, const char *name, const char *text);
void show_set_u64(json_t *o, const char *name, uint64_t v);
void show_set_addr(json_t *o, const char *name, const struct addr *a);
/* A moment as wall time, to the second, and how many seconds ago it was. */
void show_set_since(const struct daemon *d, json_t *o, struct mono at);
/* Pseudowires of the configuration that have a control connection, in short. */
#define SHOW_WIRES_DOWN 10
struct show_wires {
	uint32_t count, up;
	uint32_t tunnels;   /* control connections */
	struct mono oldest; /* since when the oldest is up */
	json_t *down;	    /* the first SHOW_WIRES_DOWN that are not up, and why */
};
void show_wires(struct daemon *d, struct show_wires *ret);
/* The counters of a row. */
void show_set_counters(struct daemon *d, json_t *o, uint64_t key);

#endif
