/* SPDX-License-Identifier: MIT
 *
 * The kernel's data plane in the keeper (src/dp/kernel.h), for aditd: its records (src/dp/batch.h)
 * are checked against the configuration, carried out, and answered. Tunnels, sessions and their
 * descriptors stay here when aditd dies; the next one asks for the list.
 */
#ifndef ADIT_KEEPER_PLANE_H
#define ADIT_KEEPER_PLANE_H

#include "base/trace.h"
#include "daemon/conf.h"
#include "dp/carry.h"
#include "net.h"
#include "rooms.h"

struct kplane;

struct kplane_config {
	struct net *net;
	struct rooms *rooms;	      /* namespaces of sessions, NULL = none; stay the caller's */
	const struct kernel_sys *sys; /* NULL = the real system calls; tests give their own */
	const struct kernel_probe *probe; /* what the kernel can do, NULL = look */
	bool unclaimed; /* do not take the name of the interface groups; for tests side by side */
	bool resume;	/* another keeper's plane is taken over: records follow, see below */
	/* Give a datagram of records to aditd; `fd` goes with it, -1 = none. `dispensable`: it may
	 * be dropped when aditd does not keep up. */
	void (*send)(void *arg, const uint8_t *records, size_t len, int fd, bool dispensable);
	/* Is aditd so far behind that frames, which PPP repeats, are better dropped? */
	bool (*behind)(void *arg);
	void (*say)(void *arg, enum trace_level level, const char *text);
	/* Is this an address of a server that was resolved for aditd? */
	bool (*known)(void *arg, const struct addr *a);
	void *arg;
};

/* Looks at what this kernel can do when the configuration has any use for it, which takes some
 * 100 ms and may load modules. NULL: out of memory. */
struct kplane *kplane_new(const struct kplane_config *config, const struct conf *conf);

/* End everything the plane has, within a few seconds, and free it. NULL is fine. */
void kplane_free(struct kplane *p);

/* What to poll for POLLIN, -1 = nothing. */
int kplane_fd(const struct kplane *p);

/* The descriptor by which nobody else in this network namespace uses our interface groups, and
 * which those are (kernel_config.groups); -1 = there is none. */
int kplane_claim(const struct kplane *p, uint16_t *ret_groups);

/* A new configuration is in force. */
void kplane_conf(struct kplane *p, const struct conf *conf, struct mono now);

/* A new aditd, number `epoch`, talks; it serves: after a while kplane_sweep() removes the tunnels
 * it has not asked for. Returns how many. */
void kplane_begin(struct kplane *p, uint32_t epoch);
uint32_t kplane_sweep(struct kplane *p, uint32_t epoch);

/* A datagram of aditd. */
void kplane_input(struct kplane *p, struct mono now, const uint8_t *records, size_t len);

/* The plane has news. */
void kplane_work(struct kplane *p, struct mono now);

/* Counters are read now and then, and told to aditd if they have changed. */
struct mono kplane_deadline(const struct kplane *p);
void kplane_expire(struct kplane *p, struct mono now);

/*
 * Over an upgrade of the keeper: as in serve.h. A plane made with `resume` asks nothing of the
 * kernel before kplane_resumed(), after the last record.
 */
bool kplane_settle(struct kplane *p, struct mono now);
void kplane_carry(const struct kplane *p, struct carry *c);
int kplane_carried(struct kplane *p, uint16_t tag, struct rcur v);
void kplane_resumed(struct kplane *p, struct mono now);

/* Sessions and tunnels now. */
void kplane_counts(const struct kplane *p, uint32_t *ret_tunnels, uint32_t *ret_sessions);

#endif
