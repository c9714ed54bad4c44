/* SPDX-License-Identifier: MIT
 *
 * rtnetlink messages by libmnl. Every request asks for an acknowledgement and waits for it;
 * extended acknowledgements give the kernel's own words. See rtnetlink(7).
 */
#include "net_msg.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef IFA_PROTO
#define IFA_PROTO 11 /* since Linux 5.18 */
#endif

/* Attributes of `bytes` octets from `start` on. */
#define for_each_attr(a, left, start, bytes)                                            \
	for ((a) = (const struct nlattr *)(const void *)(start), (left) = (int)(bytes); \
	     mnl_attr_ok(a, left); (left) -= (int)MNL_ALIGN((a)->nla_len), (a) = mnl_attr_next(a))

/* Attributes behind a message's fixed part. */
#define for_each_msg_attr(a, left, h, fixed)                                                \
	for_each_attr(a, left,                                                              \
		      (const char *)mnl_nlmsg_get_payload(h) + MNL_ALIGN(sizeof(*(fixed))), \
		      (int)mnl_nlmsg_get_payload_len(h) - (int)MNL_ALIGN(sizeof(*(fixed))))

int nlm_open(struct nlm *m)
{
	int on = 1;

	memset(m, 0, sizeof(*m));
	m->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!m->sock)
		return -errno;
	if (mnl_socket_bind(m->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		nlm_close(m);
		return err;
	}
	/* Older kernels do without both. */
	mnl_socket_setsockopt(m->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(m->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void nlm_close(struct nlm *m)
{
	if (m->sock)
		mnl_socket_close(m->sock);
	m->sock = NULL;
}

static int ext_ack_attr(const struct nlattr *a, void *arg)
{
	struct nlm *m = arg;

	if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG && mnl_attr_validate(a, MNL_TYPE_STRING) >= 0)
		snprintf(m->text, sizeof(m->text), "%.*s", (int)mnl_attr_get_payload_len(a),
			 mnl_attr_get_str(a));
	return MNL_CB_OK;
}

/* The error in an NLMSG_ERROR, with its text kept. 0 = an acknowledgement. */
static int ack_read(struct nlm *m, const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	size_t skip = sizeof(*e);

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*e))
		return -EBADMSG;
	if (!e->error)
		return 0;
	if (h->nlmsg_flags & NLM_F_ACK_TLVS) {
		if (!(h->nlmsg_flags & NLM_F_CAPPED))
			skip += mnl_nlmsg_get_payload_len(&e->msg);
		if (mnl_nlmsg_get_payload_len(h) > skip)
			mnl_attr_parse(h, (unsigned int)skip, ext_ack_attr, m);
	}
	return e->error > 0 ? -e->error : e->error;
}

typedef int (*answer_fn)(const struct nlmsghdr *h, void *arg);

/* Send the request in m->buf and take all answers. */
static int talk(struct nlm *m, struct nlmsghdr *req, answer_fn each, void *arg)
{
	unsigned int port = mnl_socket_get_portid(m->sock);
	const struct nlmsghdr *h;
	uint32_t seq = ++m->seq;
	ssize_t n;
	int len, err;

	req->nlmsg_seq = seq;
	m->text[0] = 0;
	if (mnl_socket_sendto(m->sock, req, req->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		n = mnl_socket_recvfrom(m->sock, m->buf, sizeof(m->buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len = (int)n;
		for (h = (const struct nlmsghdr *)(const void *)m->buf; mnl_nlmsg_ok(h, len);
		     h = mnl_nlmsg_next(h, &len)) {
			/* What is left of an earlier request is not ours. */
			if (h->nlmsg_seq != seq || !mnl_nlmsg_portid_ok(h, port))
				continue;
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ack_read(m, h);
			if (each) {
				err = each(h, arg);
				if (err < 0)
					return err;
			}
		}
	}
}

static struct nlmsghdr *begin(struct nlm *m, uint16_t type, uint16_t flags, void *payload,
			      size_t len)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(m->buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(mnl_nlmsg_put_extra_header(h, len), payload, len);
	return h;
}

/* ---- links ---- */

int nlm_link_mark(struct nlm *m, int ifindex, uint32_t group, uint32_t queue)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nlmsghdr *h = begin(m, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	struct nlattr *spec, *inet6;
	int err;

	mnl_attr_put_u32(h, IFLA_GROUP, group);
	mnl_attr_put_u32(h, IFLA_TXQLEN, queue);
	err = talk(m, h, NULL, NULL);
	if (err)
		return err;
	h = begin(m, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	err = talk(m, h, NULL, NULL);
	/* A machine without IPv6 has no such mode. */
	return err == -EAFNOSUPPORT || err == -EOPNOTSUPP ? 0 : err;
}

int nlm_link_up(struct nlm *m, int ifindex, uint32_t mtu)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC,
				 .ifi_index = ifindex,
				 .ifi_flags = IFF_UP,
				 .ifi_change = IFF_UP };
	struct nlmsghdr *h = begin(m, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));

	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	return talk(m, h, NULL, NULL);
}

int nlm_link_del(struct nlm *m, int ifindex)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };

	return talk(m, begin(m, RTM_DELLINK, NLM_F_ACK, &ifi, sizeof(ifi)), NULL, NULL);
}

/* ---- addresses ---- */

static size_t octets_of(uint16_t family)
{
	return family == AF_INET ? 4 : 16;
}

int nlm_addr(struct nlm *m, int ifindex, const struct prefix *p, uint8_t proto, bool add)
{
	struct ifaddrmsg ifa = { .ifa_family = (uint8_t)p->addr.family,
				 .ifa_prefixlen = p->len,
				 .ifa_index = (unsigned int)ifindex };
	size_t n = octets_of(p->addr.family);
	struct nlmsghdr *h;

	if (p->addr.family == AF_INET6) {
		/* Nobody else can have the address on these devices: it is usable at once. */
		ifa.ifa_flags = IFA_F_NODAD;
		if (p->addr.ip[0] == 0xfe && (p->addr.ip[1] & 0xc0) == 0x80)
			ifa.ifa_scope = RT_SCOPE_LINK;
	}
	h = begin(m, add ? RTM_NEWADDR : RTM_DELADDR,
		  (uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0)), &ifa, sizeof(ifa));
	mnl_attr_put(h, IFA_LOCAL, n, p->addr.ip);
	mnl_attr_put(h, IFA_ADDRESS, n, p->addr.ip);
	if (add)
		mnl_attr_put_u8(h, IFA_PROTO, proto);
	return talk(m, h, NULL, NULL);
}

/* ---- routes ---- */

static void addr_put(struct nlmsghdr *h, uint16_t type, const struct addr *a)
{
	mnl_attr_put(h, type, octets_of(a->family), a->ip);
}

static void gateway_put(struct nlmsghdr *h, const struct nlm_route *r)
{
	const struct addr *g = &r->hop.gateway;
	uint8_t via[2 + 16];
	uint16_t family = g->family;

	if (family == r->family) {
		addr_put(h, RTA_GATEWAY, g);
	} else if (family) { /* struct rtvia: an IPv4 route by an IPv6 gateway (RFC 5549) */
		memcpy(via, &family, sizeof(family));
		memcpy(via + 2, g->ip, octets_of(family));
		mnl_attr_put(h, RTA_VIA, 2 + octets_of(family), via);
	}
}

int nlm_route(struct nlm *m, const struct nlm_route *r, bool add, uint16_t flags)
{
	uint32_t table = r->table ? r->table : RT_TABLE_MAIN;
	struct rtmsg rtm = {
		.rtm_family = r->family,
		.rtm_dst_len = r->prefix.len,
		.rtm_table = (uint8_t)(table < 256 ? table : RT_TABLE_UNSPEC),
		.rtm_protocol = r->proto,
		.rtm_type = RTN_UNICAST,
		.rtm_scope = RT_SCOPE_UNIVERSE,
	};
	struct nlmsghdr *h;

	if (!add)
		rtm.rtm_scope = RT_SCOPE_NOWHERE;
	else if (r->family == AF_INET && !r->hop.gateway.family)
		rtm.rtm_scope = RT_SCOPE_LINK;
	h = begin(m, add ? RTM_NEWROUTE : RTM_DELROUTE,
		  (uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | flags : 0)), &rtm, sizeof(rtm));
	addr_put(h, RTA_DST, &r->prefix.addr);
	mnl_attr_put_u32(h, RTA_TABLE, table);
	if (r->hop.ifindex)
		mnl_attr_put_u32(h, RTA_OIF, (uint32_t)r->hop.ifindex);
	if (r->hop.gateway.family)
		gateway_put(h, r);
	if (r->hop.source.family)
		addr_put(h, RTA_PREFSRC, &r->hop.source);
	if (r->metric)
		mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
	return talk(m, h, NULL, NULL);
}

static void addr_get(const struct nlattr *a, uint8_t family, struct addr *ret)
{
	size_t n = octets_of(family);

	if (mnl_attr_get_payload_len(a) < n)
		return;
	ret->family = family;
	memcpy(ret->ip, mnl_attr_get_payload(a), n);
}

static void via_get(const struct nlattr *a, struct addr *ret)
{
	uint16_t family, len = mnl_attr_get_payload_len(a);
	const uint8_t *p = mnl_attr_get_payload(a);

	if (len < 2)
		return;
	memcpy(&family, p, sizeof(family));
	if ((family != AF_INET && family != AF_INET6) || len < 2 + octets_of(family))
		return;
	ret->family = family;
	memcpy(ret->ip, p + 2, octets_of(family));
}

static void hop_attr(const struct nlattr *a, uint8_t family, struct nlm_hop *hop)
{
	switch (mnl_attr_get_type(a)) {
	case RTA_OIF:
		if (mnl_attr_get_payload_len(a) >= sizeof(uint32_t))
			hop->ifindex = (int)mnl_attr_get_u32(a);
		break;
	case RTA_GATEWAY:
		addr_get(a, family, &hop->gateway);
		break;
	case RTA_VIA:
		via_get(a, &hop->gateway);
		break;
	case RTA_PREFSRC:
		addr_get(a, family, &hop->source);
		break;
	}
}

/* The first of several next hops. */
static void multipath_get(const struct nlattr *a, uint8_t family, struct nlm_hop *hop)
{
	const struct rtnexthop *nh = mnl_attr_get_payload(a);
	const struct nlattr *sub;
	int left;

	if (mnl_attr_get_payload_len(a) < sizeof(*nh) || nh->rtnh_len < sizeof(*nh) ||
	    nh->rtnh_len > mnl_attr_get_payload_len(a))
		return;
	hop->ifindex = nh->rtnh_ifindex;
	for_each_attr(sub, left, nh + 1, nh->rtnh_len - sizeof(*nh)) hop_attr(sub, family, hop);
}

static bool route_read(const struct nlmsghdr *h, struct nlm_route *ret)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	int left;

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*rtm) ||
	    (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
	    (rtm->rtm_flags & RTM_F_CLONED))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->family = rtm->rtm_family;
	ret->type = rtm->rtm_type;
	ret->proto = rtm->rtm_protocol;
	ret->len = ret->prefix.len = rtm->rtm_dst_len;
	ret->table = rtm->rtm_table;
	ret->prefix.addr.family = rtm->rtm_family;
	for_each_msg_attr(a, left, h, rtm)
	{
		uint16_t type = mnl_attr_get_type(a);

		if (type == RTA_DST)
			addr_get(a, ret->family, &ret->prefix.addr);
		else if (type == RTA_TABLE && mnl_attr_get_payload_len(a) >= 4)
			ret->table = mnl_attr_get_u32(a);
		else if (type == RTA_PRIORITY && mnl_attr_get_payload_len(a) >= 4)
			ret->metric = mnl_attr_get_u32(a);
		else if (type == RTA_MULTIPATH)
			multipath_get(a, ret->family, &ret->hop);
		else
			hop_attr(a, ret->family, &ret->hop);
	}
	return true;
}

struct one_route {
	struct nlm_route *route;
	bool found;
};

static int one_route_cb(const struct nlmsghdr *h, void *arg)
{
	struct one_route *one = arg;

	one->found = route_read(h, one->route) || one->found;
	return 0;
}

int nlm_route_to(struct nlm *m, const struct addr *to, struct nlm_route *ret)
{
	struct rtmsg rtm = { .rtm_family = (uint8_t)to->family,
			     .rtm_dst_len = to->family == AF_INET ? 32 : 128,
			     .rtm_flags = RTM_F_FIB_MATCH };
	struct nlmsghdr *h = begin(m, RTM_GETROUTE, NLM_F_ACK, &rtm, sizeof(rtm));
	struct nlm_route found;
	struct one_route one = { &found, false };
	int err;

	addr_put(h, RTA_DST, to);
	err = talk(m, h, one_route_cb, &one);
	if (err)
		return err;
	if (!one.found)
		return -ENETUNREACH;
	*ret = found;
	return 0;
}

/* ---- all there is ---- */

struct walk {
	void (*route)(void *arg, const struct nlm_route *r);
	void (*addr)(void *arg, const struct nlm_addr *a);
	void (*link)(void *arg, const struct nlm_link *l);
	void *arg;
};

static int route_cb(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	struct nlm_route r;

	if (route_read(h, &r))
		w->route(w->arg, &r);
	return 0;
}

static int addr_cb(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	struct nlm_addr r = { 0 };
	struct walk *w = arg;
	const struct nlattr *a;
	bool local = false;
	int left;

	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*ifa) ||
	    (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return 0;
	r.ifindex = (int)ifa->ifa_index;
	r.prefix.len = ifa->ifa_prefixlen;
	for_each_msg_attr(a, left, h, ifa)
	{
		uint16_t type = mnl_attr_get_type(a);

		/* IFA_LOCAL is the address, IFA_ADDRESS the far end where there is one. */
		if (type == IFA_LOCAL || (type == IFA_ADDRESS && !local))
			addr_get(a, ifa->ifa_family, &r.prefix.addr);
		local = local || type == IFA_LOCAL;
		if (type == IFA_PROTO && mnl_attr_get_payload_len(a) >= 1)
			r.proto = mnl_attr_get_u8(a);
	}
	w->addr(w->arg, &r);
	return 0;
}

static int link_cb(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct nlm_link r = { 0 };
	struct walk *w = arg;
	const struct nlattr *a;
	int left;

	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*ifi))
		return 0;
	r.ifindex = ifi->ifi_index;
	for_each_msg_attr(a, left, h, ifi)
	{
		if (mnl_attr_get_type(a) == IFLA_GROUP && mnl_attr_get_payload_len(a) >= 4)
			r.group = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == IFLA_IFNAME)
			snprintf(r.name, sizeof(r.name), "%.*s", (int)mnl_attr_get_payload_len(a),
				 mnl_attr_get_str(a));
	}
	w->link(w->arg, &r);
	return 0;
}

int nlm_routes(struct nlm *m, uint8_t family, void (*each)(void *arg, const struct nlm_route *r),
	       void *arg)
{
	struct rtmsg rtm = { .rtm_family = family };
	struct walk w = { .route = each, .arg = arg };

	return talk(m, begin(m, RTM_GETROUTE, NLM_F_DUMP, &rtm, sizeof(rtm)), route_cb, &w);
}

int nlm_addrs(struct nlm *m, void (*each)(void *arg, const struct nlm_addr *a), void *arg)
{
	struct ifaddrmsg ifa = { .ifa_family = AF_UNSPEC };
	struct walk w = { .addr = each, .arg = arg };

	return talk(m, begin(m, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa)), addr_cb, &w);
}

int nlm_links(struct nlm *m, void (*each)(void *arg, const struct nlm_link *l), void *arg)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct walk w = { .link = each, .arg = arg };

	return talk(m, begin(m, RTM_GETLINK, NLM_F_DUMP, &ifi, sizeof(ifi)), link_cb, &w);
}
