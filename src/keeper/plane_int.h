/* SPDX-License-Identifier: MIT
 *
 * Inside the keeper's side of the kernel plane (plane.h), shared by its files:
 *   plane.c       beginning and end, a new configuration, a new aditd
 *   plane_ask.c   aditd's requests
 *   plane_tell.c  what aditd is told: answers, news, counters
 *   plane_held.c  the sessions and tunnels there are
 *   plane_carry.c all of it over an upgrade of the keeper
 */
#ifndef ADIT_KEEPER_PLANE_INT_H
#define ADIT_KEEPER_PLANE_INT_H

#include "base/htab.h"
#include "dp/batch.h"
#include "dp/kernel.h"
#include "plane.h"
#include "wires.h"

#define KPLANE_DELS_MAX 512 /* deletions of one datagram */

/* A session: what aditd was told of its counters last, and the pin that keeps the way to its peer
 * outside of its own routes (net.h). */
struct held {
	struct htab_node node;
	uint64_t key;
	struct dp_counters *last; /* ended: the last ones; NULL: out of memory */
	struct addr *pin;	  /* NULL = none */
	uint32_t rx, tx;	  /* packets aditd knows of, their lower bits */
	uint32_t epoch;		  /* ended: of the aditd that was told last */
	bool made;		  /* a put has succeeded */
	bool ended;  /* deleted: kept for its last counters until aditd has them in its journal */
	bool on_vrf; /* our address was asked for */
};

struct htunnel {
	struct htab_node node;
	uint32_t local, epoch;
	uint32_t generation; /* of the last put */
};

struct kplane {
	struct kplane_config config;
	const struct conf *conf;
	struct kernel *k; /* NULL = there is none, `missing` says why */
	struct kernel_probe probe;
	bool probed;
	struct mono probe_at;	  /* look again, when asked */
	int claim;		  /* has the name of our interface groups, -1 = none */
	uint16_t groups;	  /* 0 = as the configuration says */
	bool others;		  /* somebody else has those, `missing` says who */
	bool listed;		  /* to this aditd */
	bool answered;		  /* it was told whether there is a plane, since the last reload */
	char missing[BATCH_LINE]; /* "" = there is one */
	char no_ppp[BATCH_LINE];  /* why it carries no PPP sessions, "" = it does */
	struct wires *wires;
	struct htab held, tunnels;
	uint32_t epoch, generation;
	uint32_t held_count, tunnel_count;
	struct mono stats_at;
	struct prefix local[DP_NET_MAX]; /* addresses of ours on lo */
	uint8_t local_count;

	uint64_t dels[KPLANE_DELS_MAX];
	uint32_t del_generations[KPLANE_DELS_MAX];
	size_t del_count;

	size_t out_len;
	uint8_t out[BATCH_MAX];
};

/* ---- plane.c ---- */
void kplane_say(struct kplane *p, enum trace_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Begin the plane when the kernel has what it takes; p->missing says what is missing. `sweep`:
 * remove what a former run has left. */
void kplane_open(struct kplane *p, bool sweep);
/* Can the kernel carry sessions of this kind? `why` not, with the remedy; NULL = nobody asks. */
enum kplane_kind { KPLANE_PPP, KPLANE_ETHERNET };
bool kplane_carries(const struct kernel_probe *probe, enum kplane_kind kind, char why[BATCH_LINE]);
/* Look at what this kernel can do: p->probe, or p->missing says why not. */
void kplane_probe(struct kplane *p);

/* ---- plane_held.c ---- */
struct held *kplane_held_find(const struct kplane *p, uint64_t key);
/* The one that is there, or a new one; NULL: out of memory. */
struct held *kplane_held_make(struct kplane *p, uint64_t key);
/* Keep the way to `to` apart from our own routes, NULL = no longer. */
void kplane_held_pin(struct kplane *p, struct held *h, const struct addr *to);
void kplane_held_drop(struct kplane *p, uint64_t key);
/* It is gone from the kernel. */
void kplane_held_ended(struct kplane *p, struct held *h, const struct dp_counters *last);
/* A put has failed: of a session that never was, nothing is left. */
void kplane_held_forget(struct kplane *p, uint64_t key);

struct htunnel *kplane_tunnel_find(const struct kplane *p, uint32_t local);
struct htunnel *kplane_tunnel_make(struct kplane *p, uint32_t local);
void kplane_tunnel_drop(struct kplane *p, uint32_t local);
/* Ask the kernel's plane to end it, and forget it. */
void kplane_tunnel_end(struct kplane *p, uint32_t local);

/* ---- plane_tell.c ---- */
/* Records are gathered, and leave when a datagram is full or here. */
void kplane_flush(struct kplane *p, bool dispensable);
void kplane_tell(struct kplane *p, const struct batch_record *r);
void kplane_tell_done(struct kplane *p, enum dp_op op, uint64_t key, uint32_t generation, int error,
		      const char *text);
void kplane_tell_tunnel(struct kplane *p, uint32_t local, int error, const char *text, int fd);
/* A static pseudowire as it is now; all of them, or those whose counters went on. */
void kplane_tell_wire(struct kplane *p, const char *name);
void kplane_tell_wires(struct kplane *p, bool counted);

#endif
