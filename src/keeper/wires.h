/* SPDX-License-Identifier: MIT
 *
 * Static pseudowires (conf_wire of daemon/conf.h): brought up from the configuration, kept up, and
 * changed when the configuration changes. No aditd is needed for it, only told.
 */
#ifndef ADIT_KEEPER_WIRES_H
#define ADIT_KEEPER_WIRES_H

#include "base/trace.h"
#include "daemon/conf.h"
#include "dp/carry.h"
#include "dp/kernel.h"

struct wires;

/* Their keys in the plane, of tunnels and sessions, start here: aditd has none of these. */
#define WIRES_KEY_FIRST (UINT64_C(0xffffffff) << 32)

struct wires_config {
	void (*say)(void *arg, enum trace_level level, const char *text);
	/* Something of this one has changed, see wires_find(). */
	void (*changed)(void *arg, const char *name);
	void *arg;
};

struct wires *wires_new(const struct wires_config *config); /* NULL: out of memory */
void wires_free(struct wires *w);			    /* leaves the kernel alone */

/* A configuration is in force. `k` NULL: there is no plane, `why` says so. */
void wires_conf(struct wires *w, struct kernel *k, const struct conf *c, const char *why,
		struct mono now);

/* Over an upgrade of the keeper: as in hold.h; the next configuration finds what is there. */
void wires_carry(const struct wires *w, struct carry *c);
int wires_carried(struct wires *w, uint16_t tag, struct rcur v);

/* News of the plane: true when it was about a pseudowire. */
bool wires_news(struct wires *w, const struct kernel_news *n, struct mono now);

/* Try again what failed. */
struct mono wires_deadline(const struct wires *w);
void wires_expire(struct wires *w, struct mono now);

/* How many there are, each of them (*pos NULL to begin with, any order), and the one of a name. */
size_t wires_count(const struct wires *w);
struct wire_state {
	const char *name, *ifname;
	uint64_t key; /* of its session in the plane */
	bool ok;
	bool cannot;	  /* and never will be here */
	const char *text; /* why not */
	uint16_t mtu;	  /* of its interface */
};
bool wires_next(const struct wires *w, const void **pos, struct wire_state *ret);
bool wires_find(const struct wires *w, const char *name, struct wire_state *ret);

/* Its counters were read: have packets come or gone since this was asked last? */
bool wires_counted(struct wires *w, uint64_t key, const struct dp_counters *now);

#endif
