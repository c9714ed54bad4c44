/* SPDX-License-Identifier: MIT
 *
 * Messages of the generic netlink family "l2tp" (nl_l2tp.h).
 *
 * Ids and ports are in host order there, addresses in network order. L2TP_ATTR_COOKIE is the cookie
 * the kernel sends, so the one the peer assigned; L2TP_ATTR_PEER_COOKIE the one it checks, ours.
 * L2TP_ATTR_UDP_CSUM and its like are flags by presence.
 */
#include "nl_l2tp.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/l2tp.h>
#include <stdio.h>

static struct nlmsghdr *genl_begin(struct nlm *m, uint16_t family, uint8_t cmd, uint8_t version)
{
	struct genlmsghdr g = { .cmd = cmd, .version = version };

	return nlm_begin(m, family, NLM_F_ACK, &g, sizeof(g));
}

static void mcast_groups(const struct nlattr *groups, uint32_t *ret_id)
{
	const struct nlattr *group, *a;
	int left, inner;

	nlm_for_each_attr(group, left, mnl_attr_get_payload(groups),
			  mnl_attr_get_payload_len(groups))
	{
		const char *name = NULL;
		uint32_t id = 0;

		nlm_for_each_attr(a, inner, mnl_attr_get_payload(group),
				  mnl_attr_get_payload_len(group))
		{
			if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_NAME &&
			    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
				name = mnl_attr_get_str(a);
			else if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_ID &&
				 mnl_attr_get_payload_len(a) >= 4)
				id = mnl_attr_get_u32(a);
		}
		if (name && strcmp(name, L2TP_GENL_MCGROUP) == 0)
			*ret_id = id;
	}
}

static int family_cb(const struct nlmsghdr *h, void *arg)
{
	const struct genlmsghdr *g = mnl_nlmsg_get_payload(h);
	struct nlm_l2tp *l = arg;
	const struct nlattr *a;
	int left;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*g))
		return 0;
	nlm_for_each_msg_attr(a, left, h, g)
	{
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID && mnl_attr_get_payload_len(a) >= 2)
			l->family = mnl_attr_get_u16(a);
		else if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GROUPS)
			mcast_groups(a, &l->group);
	}
	return 0;
}

int nlm_l2tp_open(struct nlm_l2tp *l, const struct kernel_sys *sys)
{
	struct nlmsghdr *h;
	int err = nlm_open_on(&l->m, sys, NETLINK_GENERIC);

	l->family = 0;
	l->group = 0;
	if (err)
		return err;
	h = genl_begin(&l->m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, L2TP_GENL_NAME);
	err = nlm_talk(&l->m, h, family_cb, l);
	if (!err && !l->family)
		err = -ENOENT;
	if (err)
		nlm_close(&l->m);
	return err;
}

void nlm_l2tp_close(struct nlm_l2tp *l)
{
	nlm_close(&l->m);
}

int nlm_l2tp_join(struct nlm_l2tp *l)
{
	return l->m.sys->setsockopt(l->m.sys, l->m.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
				    &l->group, sizeof(l->group));
}

static void tunnel_addresses(struct nlmsghdr *h, const struct kernel_tunnel *t)
{
	bool v4 = t->path.remote.family == AF_INET;
	size_t n = v4 ? 4 : 16;

	mnl_attr_put(h, v4 ? L2TP_ATTR_IP_SADDR : L2TP_ATTR_IP6_SADDR, n, t->path.local.ip);
	mnl_attr_put(h, v4 ? L2TP_ATTR_IP_DADDR : L2TP_ATTR_IP6_DADDR, n, t->path.remote.ip);
	if (t->encap != DP_ENCAP_UDP)
		return;
	mnl_attr_put_u16(h, L2TP_ATTR_UDP_SPORT, t->path.local.port);
	mnl_attr_put_u16(h, L2TP_ATTR_UDP_DPORT, t->path.remote.port);
	if (v4 && !t->no_checksum)
		mnl_attr_put_u8(h, L2TP_ATTR_UDP_CSUM, 1);
	if (!v4 && t->no_checksum) {
		mnl_attr_put(h, L2TP_ATTR_UDP_ZERO_CSUM6_TX, 0, NULL);
		mnl_attr_put(h, L2TP_ATTR_UDP_ZERO_CSUM6_RX, 0, NULL);
	}
}

int nlm_l2tp_tunnel_create(struct nlm_l2tp *l, const struct kernel_tunnel *t, int fd)
{
	struct nlmsghdr *h =
		genl_begin(&l->m, l->family, L2TP_CMD_TUNNEL_CREATE, L2TP_GENL_VERSION);

	mnl_attr_put_u32(h, L2TP_ATTR_CONN_ID, t->local_id);
	mnl_attr_put_u32(h, L2TP_ATTR_PEER_CONN_ID, t->remote_id);
	mnl_attr_put_u8(h, L2TP_ATTR_PROTO_VERSION, t->version);
	mnl_attr_put_u16(h, L2TP_ATTR_ENCAP_TYPE,
			 t->encap == DP_ENCAP_IP ? L2TP_ENCAPTYPE_IP : L2TP_ENCAPTYPE_UDP);
	if (fd >= 0) /* -1 would make a socket on 0.0.0.0 and a random port */
		mnl_attr_put_u32(h, L2TP_ATTR_FD, (uint32_t)fd);
	else
		tunnel_addresses(h, t);
	return nlm_talk(&l->m, h, NULL, NULL);
}

int nlm_l2tp_tunnel_delete(struct nlm_l2tp *l, uint32_t id)
{
	struct nlmsghdr *h =
		genl_begin(&l->m, l->family, L2TP_CMD_TUNNEL_DELETE, L2TP_GENL_VERSION);

	mnl_attr_put_u32(h, L2TP_ATTR_CONN_ID, id);
	return nlm_talk(&l->m, h, NULL, NULL);
}

static void session_ids(struct nlmsghdr *h, uint32_t tunnel, uint32_t session)
{
	mnl_attr_put_u32(h, L2TP_ATTR_CONN_ID, tunnel);
	mnl_attr_put_u32(h, L2TP_ATTR_SESSION_ID, session);
}

int nlm_l2tp_session_create(struct nlm_l2tp *l, const struct dp_row *r, const char *ifname)
{
	struct nlmsghdr *h =
		genl_begin(&l->m, l->family, L2TP_CMD_SESSION_CREATE, L2TP_GENL_VERSION);
	bool eth = r->ends == DP_L2TP_ETH;

	session_ids(h, r->local_tunnel, r->local_session);
	mnl_attr_put_u32(h, L2TP_ATTR_PEER_SESSION_ID, r->remote_session);
	mnl_attr_put_u16(h, L2TP_ATTR_PW_TYPE, eth ? L2TP_PWTYPE_ETH : L2TP_PWTYPE_PPP);
	if (r->version == 3) {
		mnl_attr_put_u8(h, L2TP_ATTR_L2SPEC_TYPE,
				r->l2spec == DP_L2SPEC_DEFAULT ? L2TP_L2SPECTYPE_DEFAULT
							       : L2TP_L2SPECTYPE_NONE);
		if (r->cookie_out_len)
			mnl_attr_put(h, L2TP_ATTR_COOKIE, r->cookie_out_len, r->cookie_out);
		if (r->cookie_in_len)
			mnl_attr_put(h, L2TP_ATTR_PEER_COOKIE, r->cookie_in_len, r->cookie_in);
	}
	/* As LAC the kernel would switch sequence numbers on and off by what comes in. */
	mnl_attr_put_u8(h, L2TP_ATTR_LNS_MODE, !(r->flags & DP_F_CLIENT));
	mnl_attr_put_u8(h, L2TP_ATTR_SEND_SEQ, (r->flags & DP_F_SEND_SEQ) != 0);
	mnl_attr_put_u8(h, L2TP_ATTR_RECV_SEQ, (r->flags & DP_F_REQUIRE_SEQ) != 0);
	if (eth && ifname[0])
		mnl_attr_put_strz(h, L2TP_ATTR_IFNAME, ifname);
	return nlm_talk(&l->m, h, NULL, NULL);
}

int nlm_l2tp_session_delete(struct nlm_l2tp *l, uint32_t tunnel, uint32_t session)
{
	struct nlmsghdr *h =
		genl_begin(&l->m, l->family, L2TP_CMD_SESSION_DELETE, L2TP_GENL_VERSION);

	session_ids(h, tunnel, session);
	return nlm_talk(&l->m, h, NULL, NULL);
}

static uint64_t counter(const struct nlattr *a)
{
	return mnl_attr_get_payload_len(a) >= 8 ? mnl_attr_get_u64(a) : 0;
}

static void stats_read(const struct nlattr *nest, struct nlm_l2tp_info *r)
{
	const struct nlattr *a;
	int left;

	nlm_for_each_attr(a, left, mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest))
	{
		switch (mnl_attr_get_type(a)) {
		case L2TP_ATTR_TX_PACKETS:
			r->tx_packets = counter(a);
			break;
		case L2TP_ATTR_TX_BYTES:
			r->tx_bytes = counter(a);
			break;
		case L2TP_ATTR_TX_ERRORS:
			r->tx_errors = counter(a);
			break;
		case L2TP_ATTR_RX_PACKETS:
			r->rx_packets = counter(a);
			break;
		case L2TP_ATTR_RX_BYTES:
			r->rx_bytes = counter(a);
			break;
		case L2TP_ATTR_RX_ERRORS:
			r->rx_errors = counter(a);
			break;
		case L2TP_ATTR_RX_SEQ_DISCARDS:
			r->rx_seq_discards = counter(a);
			break;
		case L2TP_ATTR_RX_OOS_PACKETS:
			r->rx_oos = counter(a);
			break;
		case L2TP_ATTR_RX_COOKIE_DISCARDS:
			r->rx_cookie_discards = counter(a);
			break;
		}
	}
}

static uint32_t u32_of(const struct nlattr *a)
{
	return mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : 0;
}

bool nlm_l2tp_read(const struct nlm_l2tp *l, const struct nlmsghdr *h, struct nlm_l2tp_info *ret)
{
	const struct genlmsghdr *g = mnl_nlmsg_get_payload(h);
	struct nlm_l2tp_info r;
	const struct nlattr *a;
	int left;

	if (h->nlmsg_type != l->family || mnl_nlmsg_get_payload_len(h) < sizeof(*g))
		return false;
	memset(&r, 0, sizeof(r));
	r.cmd = g->cmd;
	nlm_for_each_msg_attr(a, left, h, g)
	{
		switch (mnl_attr_get_type(a)) {
		case L2TP_ATTR_CONN_ID:
			r.tunnel = u32_of(a);
			break;
		case L2TP_ATTR_PEER_CONN_ID:
			r.remote_tunnel = u32_of(a);
			break;
		case L2TP_ATTR_SESSION_ID:
			r.session = u32_of(a);
			break;
		case L2TP_ATTR_PEER_SESSION_ID:
			r.remote_session = u32_of(a);
			break;
		case L2TP_ATTR_PW_TYPE:
			r.pw_type = mnl_attr_get_payload_len(a) >= 2 ? mnl_attr_get_u16(a) : 0;
			break;
		case L2TP_ATTR_IFNAME:
			snprintf(r.ifname, sizeof(r.ifname), "%.*s",
				 (int)mnl_attr_get_payload_len(a), mnl_attr_get_str(a));
			break;
		case L2TP_ATTR_STATS:
			stats_read(a, &r);
			break;
		}
	}
	*ret = r;
	return true;
}

struct info_walk {
	const struct nlm_l2tp *l;
	struct nlm_l2tp_info *ret;
	bool found;
};

static int info_cb(const struct nlmsghdr *h, void *arg)
{
	struct info_walk *w = arg;

	w->found = nlm_l2tp_read(w->l, h, w->ret) || w->found;
	return 0;
}

static int get(struct nlm_l2tp *l, struct nlmsghdr *h, struct nlm_l2tp_info *ret)
{
	struct nlm_l2tp_info info;
	struct info_walk w = { l, &info, false };
	int err = nlm_talk(&l->m, h, info_cb, &w);

	if (!err && !w.found)
		err = -ENODEV;
	if (!err && ret)
		*ret = info;
	return err;
}

int nlm_l2tp_tunnel_get(struct nlm_l2tp *l, uint32_t id, struct nlm_l2tp_info *ret)
{
	struct nlmsghdr *h = genl_begin(&l->m, l->family, L2TP_CMD_TUNNEL_GET, L2TP_GENL_VERSION);

	mnl_attr_put_u32(h, L2TP_ATTR_CONN_ID, id);
	return get(l, h, ret);
}

int nlm_l2tp_session_get(struct nlm_l2tp *l, uint32_t tunnel, uint32_t session,
			 struct nlm_l2tp_info *ret)
{
	struct nlmsghdr *h = genl_begin(&l->m, l->family, L2TP_CMD_SESSION_GET, L2TP_GENL_VERSION);

	session_ids(h, tunnel, session);
	return get(l, h, ret);
}

int nlm_l2tp_session_by_name(struct nlm_l2tp *l, const char *ifname, struct nlm_l2tp_info *ret)
{
	struct nlmsghdr *h = genl_begin(&l->m, l->family, L2TP_CMD_SESSION_GET, L2TP_GENL_VERSION);

	mnl_attr_put_strz(h, L2TP_ATTR_IFNAME, ifname);
	return get(l, h, ret);
}
