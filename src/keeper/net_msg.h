/* SPDX-License-Identifier: MIT
 *
 * rtnetlink messages, built and read with libmnl, for net.c alone: one request and its answer at a
 * time on one socket.
 */
#ifndef ADIT_KEEPER_NET_MSG_H
#define ADIT_KEEPER_NET_MSG_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "base/dp_types.h"

#define NLM_BUF 32768

struct nlm {
	struct mnl_socket *sock;
	uint32_t seq;
	char text[160]; /* what the kernel said about the last failure, "" = nothing */
	char buf[NLM_BUF];
};

/* Where packets go: a device, and a gateway unless the destination is on the link. */
struct nlm_hop {
	int ifindex;
	struct addr gateway; /* may be of the other family; family 0 = none */
	struct addr source;  /* preferred source, family 0 = none */
};

/* A route as the kernel tells it. */
struct nlm_route {
	uint8_t family, type, proto, len;
	uint32_t table, metric;
	struct prefix prefix;
	struct nlm_hop hop; /* the first when there are several */
};

/* An address as the kernel tells it. */
struct nlm_addr {
	int ifindex;
	struct prefix prefix; /* host bits are set */
	uint8_t proto;	      /* 0 also where the kernel does not tell */
};

struct nlm_link {
	int ifindex;
	uint32_t group;
	char name[DP_IFNAME];
};

int nlm_open(struct nlm *m);
void nlm_close(struct nlm *m);

/* 0 or the kernel's negative errno. */
int nlm_link_mark(struct nlm *m, int ifindex, uint32_t group, uint32_t queue);
int nlm_link_up(struct nlm *m, int ifindex, uint32_t mtu);
int nlm_link_del(struct nlm *m, int ifindex);

/* Add (-EEXIST when it is there) or remove an address that carries `proto`. */
int nlm_addr(struct nlm *m, int ifindex, const struct prefix *p, uint8_t proto, bool add);

/* Add or remove a route. `flags`: NLM_F_EXCL or NLM_F_REPLACE when adding. */
int nlm_route(struct nlm *m, const struct nlm_route *r, bool add, uint16_t flags);

/* The route packets to `to` take. */
int nlm_route_to(struct nlm *m, const struct addr *to, struct nlm_route *ret);

/* Call `each` for every one; it must not use `m`. */
int nlm_routes(struct nlm *m, uint8_t family, void (*each)(void *arg, const struct nlm_route *r),
	       void *arg);
int nlm_addrs(struct nlm *m, void (*each)(void *arg, const struct nlm_addr *a), void *arg);
int nlm_links(struct nlm *m, void (*each)(void *arg, const struct nlm_link *l), void *arg);

#endif
