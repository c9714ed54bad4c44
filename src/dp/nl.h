/* SPDX-License-Identifier: MIT
 *
 * Netlink messages, built and read with libmnl, for what has the privilege (src/keeper/net.c, the
 * kernel plane): rtnetlink here, the generic netlink family "l2tp" in nl_l2tp.h. One request and
 * its answers at a time on one socket, or a batch of requests with one acknowledgement.
 */
#ifndef ADIT_DP_NL_H
#define ADIT_DP_NL_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "base/dp_types.h"
#include "kernel_sys.h"

#define NLM_BUF 32768

struct nlm {
	const struct kernel_sys *sys;
	int fd;
	uint32_t seq;
	uint32_t batch;			  /* octets of messages gathered in buf */
	uint32_t batch_first, batch_last; /* sequence of the first, offset of the last of them */
	uint32_t spare;			  /* sequence of a message that may fail, 0 = none */
	bool strict;			  /* tell when a dump was interrupted by changes */
	char text[160]; /* what the kernel said about the last failure, "" = nothing */
	_Alignas(8) char buf[NLM_BUF];
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
	int master; /* bridge or VRF it is in, 0 = none */
	bool up;    /* administratively */
	uint32_t group;
	char name[DP_IFNAME];
};

int nlm_open(struct nlm *m); /* the real rtnetlink */
int nlm_open_on(struct nlm *m, const struct kernel_sys *sys, int protocol);
void nlm_close(struct nlm *m);

/* A request of one's own: begin, put attributes with libmnl, talk. `each` (may be NULL) is called
 * for every message of the answer, its negative return ends the reading. 0 or negative errno. */
typedef int (*nlm_each)(const struct nlmsghdr *h, void *arg);
struct nlmsghdr *nlm_begin(struct nlm *m, uint16_t type, uint16_t flags, const void *fixed,
			   size_t len);
int nlm_talk(struct nlm *m, struct nlmsghdr *req, nlm_each each, void *arg);

/* Requests whose answer is nothing but success, sent together: nlm_begin(), nlm_gather(), and so
 * on, then nlm_flush(). Gathering flushes by itself when the room gets short. The first error of
 * any of them is returned by the next of the two calls that talks; the others are carried out all
 * the same. */
int nlm_gather(struct nlm *m, struct nlmsghdr *req);
int nlm_flush(struct nlm *m);

/* Attributes of `bytes` octets from `start` on. */
#define nlm_for_each_attr(a, left, start, bytes)                                        \
	for ((a) = (const struct nlattr *)(const void *)(start), (left) = (int)(bytes); \
	     mnl_attr_ok(a, left); (left) -= (int)MNL_ALIGN((a)->nla_len), (a) = mnl_attr_next(a))

/* Attributes behind a message's fixed part. */
#define nlm_for_each_msg_attr(a, left, h, fixed)                                                \
	nlm_for_each_attr(a, left,                                                              \
			  (const char *)mnl_nlmsg_get_payload(h) + MNL_ALIGN(sizeof(*(fixed))), \
			  (int)mnl_nlmsg_get_payload_len(h) - (int)MNL_ALIGN(sizeof(*(fixed))))

/* A PPP interface on the unit to be of the descriptor `dev_fd` of /dev/ppp. 0, or negative errno:
 * -EBUSY when another is being made (try again), -EEXIST the name is taken. */
struct nlm_ppp {
	int dev_fd, netns_fd; /* -1 = here */
	const char *ifname;   /* "" = the kernel names it */
	uint32_t mtu, txqlen, group;
	int master; /* index, 0 = none */
};
int nlm_link_ppp(struct nlm *m, const struct nlm_ppp *p);

/* Change what is not 0; `master` -1 = leave. */
int nlm_link_set(struct nlm *m, int ifindex, uint32_t mtu, int master, bool up);
int nlm_link_down(struct nlm *m, int ifindex);
int nlm_link_gather(struct nlm *m, int ifindex, uint32_t mtu, uint32_t txqlen, uint32_t group,
		    int master);
/* The VLANs of a bridge's port, instead of those it has; 0 = none without a tag. */
int nlm_port_vlans(struct nlm *m, int ifindex, uint16_t untagged, const struct dp_vlans *tagged,
		   size_t count);
/* Every frame that leaves by it gets the 802.1Q tag of this VLAN, every frame that comes loses its
 * outer one, if it has any. Takes the modules sch_ingress, cls_matchall and act_vlan; -ENOENT when
 * the kernel lacks one of them. The interface had no such thing before. */
int nlm_link_tag(struct nlm *m, int ifindex, uint16_t vlan);
/* Gathered: its operational state is DORMANT (RFC 2863 3.1.12: up, but waiting for something else),
 * or UP again. An interface whose driver has no way to lose its carrier is out of a bridge, or a
 * bond, like that, and keeps its addresses and routes. */
int nlm_link_dormant_gather(struct nlm *m, int ifindex, bool dormant);
/* Bring it up; `direct` = packets go to its driver without a queue. */
int nlm_link_up_gather(struct nlm *m, int ifindex, bool direct);
/* Remove all interfaces of the group in one go; -ENODEV when there are none. */
int nlm_link_del_group(struct nlm *m, uint32_t group);
/* Index of an interface in the namespace of the socket; 0 = there is none. */
int nlm_link_index(struct nlm *m, const char *ifname);

/* What is to be said of one interface; -ENODEV. */
int nlm_link_find(struct nlm *m, const char *ifname, struct nlm_link *ret);

/* The routing table of a VRF, 0 = it is none. */
uint32_t nlm_link_vrf_table(struct nlm *m, int ifindex);

/* Counters of one interface, or (ifindex 0) of all in the namespace. -EINTR: some may be missing,
 * the list changed. */
struct nlm_stats {
	int ifindex;
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped,
		tx_dropped;
};
int nlm_stats(struct nlm *m, int ifindex, void (*each)(void *arg, const struct nlm_stats *s),
	      void *arg);

/* 0 or the kernel's negative errno. */
int nlm_link_mark(struct nlm *m, int ifindex, uint32_t group, uint32_t queue, bool link_local);
int nlm_link_del(struct nlm *m, int ifindex);

/* Add (-EEXIST when it is there) or remove an address that carries `proto`. */
int nlm_addr(struct nlm *m, int ifindex, const struct prefix *p, uint8_t proto, bool add);
/* The same with the far end of a point-to-point link (NULL = none), gathered into the batch. */
int nlm_addr_gather(struct nlm *m, int ifindex, const struct prefix *p, const struct addr *peer,
		    uint8_t proto, bool add);

/* Add or remove a route. `flags`: NLM_F_EXCL or NLM_F_REPLACE when adding. */
int nlm_route(struct nlm *m, const struct nlm_route *r, bool add, uint16_t flags);
int nlm_route_gather(struct nlm *m, const struct nlm_route *r, bool add, uint16_t flags);

/* The route packets to `to` take. */
int nlm_route_to(struct nlm *m, const struct addr *to, struct nlm_route *ret);

/* Call `each` for every one; it must not use `m`. */
int nlm_routes(struct nlm *m, uint8_t family, void (*each)(void *arg, const struct nlm_route *r),
	       void *arg);
int nlm_addrs(struct nlm *m, void (*each)(void *arg, const struct nlm_addr *a), void *arg);
int nlm_links(struct nlm *m, void (*each)(void *arg, const struct nlm_link *l), void *arg);

#endif
