/* SPDX-License-Identifier: MIT
 *
 * Links, addresses and routes in the keeper's network namespace, by rtnetlink. All that is put
 * there carries our mark and is remembered, so that it can be removed without touching what was
 * there before us, or is another keeper's: each has a number of its own in its network namespace,
 * and with it a protocol of its routes and addresses (KERNEL_PROTO()) and a group of its
 * interfaces. Calls wait for the kernel (it answers in microseconds to milliseconds).
 *
 * An address or host route that was there before us is not ours: adding it succeeds and changes
 * nothing, removing it succeeds and leaves it.
 */
#ifndef ADIT_KEEPER_NET_H
#define ADIT_KEEPER_NET_H

#include "base/dp_types.h"
#include "dp/carry.h"

#define NET_NUMBERS    15u     /* keepers of one namespace that have marks of their own */
#define NET_MARK_GROUP 0xad17u /* group of interfaces of number 1, that of others follows */
#define NET_ITEMS_MAX  100000u /* addresses, routes and pins in all */

struct net;

/* Opens the sockets. It has no number of its own yet: that is taken (net_take()), or carried. NULL
 * with errno. */
struct net *net_open(void);
void net_close(struct net *n); /* removes nothing */

/* Over an upgrade of the keeper: as in hold.h. The number is carried, too; who had it without its
 * name, as in a former release when another keeper had that, has it so afterwards. */
void net_carry(const struct net *n, struct carry *c);
int net_carried(struct net *n, uint16_t tag, struct rcur v);
uint32_t net_number(const struct net *n);

/* Group of the interfaces that net_link_mark() has marked. */
uint32_t net_group(const struct net *n);
uint8_t net_proto(const struct net *n);
/* The descriptor that has the number, -1 = there is none. */
int net_name(const struct net *n);

/* Takes the number `wanted` (1..NET_NUMBERS), or the first whose name nobody has who lives, keeper
 * of this network namespace or not. As long as the guard (guard.h) of a dead one removes what that
 * had, it is waited for: `waits` is called once before, and systemd is told that it takes longer.
 * So is who sweeps the number (net_sweep_dead()), without a word. False: all are taken, so nothing
 * may be put there, since whoever has its number removes it. */
typedef void net_waits_fn(void *arg);
bool net_take(struct net *n, uint32_t wanted, net_waits_fn *waits, void *arg);
/* When net_take() has not taken the wanted number: says who has its name. `ret_keeper`: another
 * keeper has it. */
const char *net_taken(const struct net *n, bool *ret_keeper);

/* All functions below: 0 or negative errno; on failure *ret_text (if not NULL) is set to a text
 * that says what was refused and what to do; it is static or lies in `n` until the next call. */

/* Index of a device, 0 = there is none. */
int net_index(const char *ifname);

/* Mark a device that we made, lengthen its queue; no link-local address of the kernel's own, but
 * for Ethernet. */
int net_link_mark(struct net *n, int ifindex, bool ethernet, const char **ret_text);

/* Set the MTU (0: as it is), put it into the bridge or VRF `master` ("" = into none, NULL = it
 * stays where it is), where it has the VLANs of `wire` (NULL, or none: those by default), and set
 * it up. */
int net_link_up(struct net *n, int ifindex, uint32_t mtu, const char *master,
		const struct dp_row *wire, const char **ret_text);

/* Give a port of a bridge the VLANs of `wire` instead of those it has; up or down, it stays so.
 * Where that fails it is taken out: rather that than in the VLAN of others. */
int net_port_vlans(struct net *n, int ifindex, const struct dp_row *wire, const char **ret_text);

int net_addr(struct net *n, const char *ifname, const struct prefix *p, bool add,
	     const char **ret_text);

/* table 0 = main, metric 0 = the kernel's default. A default route with metric 0 wins over another
 * one that is there: then it is put as its two halves. */
int net_route(struct net *n, const char *ifname, const struct prefix *p, uint32_t table,
	      uint32_t metric, bool add, const char **ret_text);

/* A host route to `to` by the way packets take when our own routes are left out. It is there as
 * long as any of its holders wants it. */
enum net_holder { NET_HOLDER_ADITD = 1, NET_HOLDER_PLANE = 2 };
int net_pin(struct net *n, const struct addr *to, enum net_holder holder, bool add,
	    const char **ret_text);

/* Remove a device that we made. */
int net_link_del(struct net *n, int ifindex, const char **ret_text);

/* Forget what hangs on a device that is gone (the kernel has removed it). */
void net_forget_device(struct net *n, const char *ifname);

/* Pins and addresses of `lo` asked for from now on carry this number; net_sweep_before() removes
 * those last asked for under a smaller one. What hangs on a device of ours goes with the device.
 * Returns how much that was. */
void net_epoch(struct net *n, uint32_t epoch);
uint32_t net_sweep_before(struct net *n, uint32_t epoch);

/* Remove everything that carries our mark, known or left over from a former run that had our
 * number. Only if nobody else has it; else only what this one has put there. */
uint32_t net_sweep_all(struct net *n);

/* Remove everything that carries the marks of other numbers which no keeper has: those that had
 * them died, and were not started again. Returns how much that was. */
uint32_t net_sweep_dead(struct net *n);

/* How many addresses, or routes to single hosts, hang on a device because of us; one that equals
 * `p` is left out, as it would not be a further one. */
uint32_t net_addr_count(const struct net *n, const char *ifname, const struct prefix *p);
uint32_t net_host_count(const struct net *n, const char *ifname, const struct prefix *p);

/* Addresses, routes and pins held now. */
uint32_t net_count(const struct net *n);

#endif
