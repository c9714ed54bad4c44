/* SPDX-License-Identifier: MIT
 *
 * Which interfaces are the circuits of pseudowires, and whether they are up: what DP_EV_CIRCUIT
 * (dp.h) tells; and in which bridges those of pseudowires are. The kernel says so by itself to
 * whoever listens (rtnetlink(7)); no right is needed.
 */
#ifndef ADIT_DP_CIRCUIT_H
#define ADIT_DP_CIRCUIT_H

#include "base/dp_types.h"

struct circuits;

/* NULL: out of memory. Without netlink every circuit is taken for up. */
struct circuits *circuits_new(const uint8_t hash_key[16]);
void circuits_free(struct circuits *c);

/* Becomes readable when an interface has changed while there are circuits, or any is watched; -1 =
 * never. */
int circuits_fd(const struct circuits *c);

/*
 * The circuit of pseudowire `key` is the interface `ifname`; `own`: it is the pseudowire's own, so
 * it is up while it is up administratively, others while they run. Its state is told (again).
 * -ENOMEM.
 */
int circuits_put(struct circuits *c, uint64_t key, const char *ifname, bool own);

/*
 * Pseudowire `key` is about to be given the interface `ifname`, which is its circuit: what the
 * kernel says of it from now on is kept, and told from circuits_put() on. Then that need not ask,
 * which takes the kernel's one lock of interfaces. -ENOMEM; nothing is lost then.
 */
int circuits_expect(struct circuits *c, uint64_t key, const char *ifname);
void circuits_drop(struct circuits *c, uint64_t key);

/* Why the kernel is not listened to though there are circuits, a negative errno; told once. 0 = it
 * is, or that was told. */
int circuits_deaf(struct circuits *c);

/* The next change. */
bool circuits_event(struct circuits *c, uint64_t *ret_key, bool *ret_up);

/* It was told to be down, because there is no interface of that name. */
bool circuits_missing(const struct circuits *c, uint64_t key);

/* Octets of messages of the kernel; for circuits_event() and tests. False: they are damaged. */
bool circuits_input(struct circuits *c, const uint8_t *bytes, size_t len);

/*
 * Whatever becomes of the interface that is called `ifname` now, or will be, is kept for
 * circuits_link(): it is a pseudowire's own. As often as that, circuits_unwatch(), which does
 * nothing when nobody watches. -ENOMEM.
 */
int circuits_watch(struct circuits *c, const char *ifname);
void circuits_unwatch(struct circuits *c, const char *ifname);

struct circuit_link {
	char name[DP_IFNAME];	/* somebody may have renamed it */
	char master[DP_IFNAME]; /* the bridge or VRF that it is in, "" = none */
};

/* What the kernel has said of it until the last circuits_event(); it is not asked. False: nothing,
 * or that there is no such interface. */
bool circuits_link(const struct circuits *c, const char *ifname, struct circuit_link *ret);

#endif
