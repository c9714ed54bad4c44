/* SPDX-License-Identifier: MIT
 *
 * The generic netlink family "l2tp": tunnels and sessions of the kernel, made, deleted, asked for.
 * See linux/l2tp.h. 0 or negative errno throughout.
 */
#ifndef ADIT_DP_NL_L2TP_H
#define ADIT_DP_NL_L2TP_H

#include "kernel.h"
#include "nl.h"

struct nlm_l2tp {
	struct nlm m;
	uint16_t family; /* its number, given out by the kernel */
	uint32_t group;	 /* multicast group of notifications */
};

/* What the kernel says of a tunnel or session. */
struct nlm_l2tp_info {
	uint8_t cmd;
	uint32_t tunnel, session;
	uint32_t remote_tunnel, remote_session;
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_oos,
		rx_seq_discards, rx_cookie_discards;
	uint16_t pw_type; /* 0 = it is a tunnel */
	char ifname[DP_IFNAME];
};

/* Opens a socket; -ENOENT: there is no such family, nor a module for it. */
int nlm_l2tp_open(struct nlm_l2tp *l, const struct kernel_sys *sys);
void nlm_l2tp_close(struct nlm_l2tp *l);
/* Take notifications on this socket from now on: news for nlm_l2tp_read() alone. */
int nlm_l2tp_join(struct nlm_l2tp *l);

/* `fd` carries it, -1 = the kernel makes a socket of its own. */
int nlm_l2tp_tunnel_create(struct nlm_l2tp *l, const struct kernel_tunnel *t, int fd);
int nlm_l2tp_tunnel_delete(struct nlm_l2tp *l, uint32_t id);
int nlm_l2tp_tunnel_get(struct nlm_l2tp *l, uint32_t id, struct nlm_l2tp_info *ret);

/* ETH: the interface is called `ifname`. */
int nlm_l2tp_session_create(struct nlm_l2tp *l, const struct dp_row *r, const char *ifname);
int nlm_l2tp_session_delete(struct nlm_l2tp *l, uint32_t tunnel, uint32_t session);
int nlm_l2tp_session_get(struct nlm_l2tp *l, uint32_t tunnel, uint32_t session,
			 struct nlm_l2tp_info *ret);

/* The Ethernet session that has this interface. */
int nlm_l2tp_session_by_name(struct nlm_l2tp *l, const char *ifname, struct nlm_l2tp_info *ret);

/* The fields of one message of the family; false when it is none. */
bool nlm_l2tp_read(const struct nlm_l2tp *l, const struct nlmsghdr *h, struct nlm_l2tp_info *ret);

#endif
