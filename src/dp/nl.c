/* SPDX-License-Identifier: MIT
 *
 * rtnetlink messages by libmnl. Every request (or batch of them) asks for an acknowledgement and
 * waits for it; extended acknowledgements give the kernel's own words. See rtnetlink(7).
 */
#include "nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/sockios.h>
#include <linux/tc_act/tc_vlan.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef IFA_PROTO
#define IFA_PROTO 11 /* since Linux 5.18 */
#endif

/* linux/if.h, which is not for company of net/if.h */
enum { OPER_DORMANT = 5, OPER_UP = 6 };

int nlm_open_on(struct nlm *m, const struct kernel_sys *sys, int protocol)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	int on = 1, err;

	memset(m, 0, offsetof(struct nlm, buf));
	m->sys = sys;
	m->fd = sys->socket(sys, AF_NETLINK, SOCK_RAW, protocol);
	if (m->fd < 0)
		return m->fd;
	err = sys->bind(sys, m->fd, &sa, sizeof(sa));
	if (err < 0) {
		nlm_close(m);
		return err;
	}
	/* Older kernels do without both. */
	sys->setsockopt(sys, m->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	sys->setsockopt(sys, m->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

int nlm_open(struct nlm *m)
{
	return nlm_open_on(m, &kernel_sys_real, NETLINK_ROUTE);
}

/* A struct nlm that was zeroed and never opened may be closed as well. */
void nlm_close(struct nlm *m)
{
	if (m->sys && m->fd >= 0)
		m->sys->close(m->sys, m->fd);
	m->fd = -1;
	m->sys = NULL;
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

/*
 * Take answers until the one with sequence `last` ended. Errors of the ones from `first` on are
 * kept, the first of them is returned.
 */
static int answers(struct nlm *m, uint32_t first, uint32_t last, nlm_each each, void *arg)
{
	const struct nlmsghdr *h;
	int len, err, failed = 0;
	ssize_t n;

	for (;;) {
		n = m->sys->recv(m->sys, m->fd, m->buf, sizeof(m->buf), 0);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		len = (int)n;
		for (h = (const struct nlmsghdr *)(const void *)m->buf; mnl_nlmsg_ok(h, len);
		     h = mnl_nlmsg_next(h, &len)) {
			/* What is left of an earlier request is not ours. */
			if (h->nlmsg_seq - first > last - first)
				continue;
			if (h->nlmsg_flags & NLM_F_DUMP_INTR)
				failed = failed ? failed : -EINTR;
			if (h->nlmsg_type == NLMSG_DONE)
				return failed;
			if (h->nlmsg_type == NLMSG_ERROR) {
				err = h->nlmsg_seq == m->spare ? 0 : ack_read(m, h);
				failed = failed ? failed : err;
				if (h->nlmsg_seq == last)
					return failed;
			} else if (each) {
				err = each(h, arg);
				if (err < 0)
					return err;
			}
		}
	}
}

int nlm_talk(struct nlm *m, struct nlmsghdr *req, nlm_each each, void *arg)
{
	uint32_t seq = ++m->seq;
	ssize_t n;
	int err;

	req->nlmsg_seq = seq;
	m->text[0] = 0;
	m->batch = 0;
	n = m->sys->send(m->sys, m->fd, req, req->nlmsg_len, 0);
	if (n < 0)
		return (int)n;
	err = answers(m, seq, seq, each, arg);
	/* A dump that the list changed under is one all the same: callers who care ask for it. */
	return err == -EINTR && !(each && m->strict) ? 0 : err;
}

/* Room for messages yet to be gathered; the longest of ours has some 200 octets. */
#define GATHER_MAX (NLM_BUF / 2)

int nlm_gather(struct nlm *m, struct nlmsghdr *req)
{
	req->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	req->nlmsg_seq = ++m->seq;
	if (!m->batch)
		m->batch_first = m->seq;
	m->batch += MNL_ALIGN(req->nlmsg_len);
	m->batch_last = (uint32_t)((char *)req - m->buf);
	return m->batch > GATHER_MAX ? nlm_flush(m) : 0;
}

int nlm_flush(struct nlm *m)
{
	struct nlmsghdr *last = (struct nlmsghdr *)(void *)(m->buf + m->batch_last);
	size_t len = m->batch;
	ssize_t n;

	if (!len)
		return 0;
	/* One acknowledgement, behind all: errors of the others come by themselves. */
	last->nlmsg_flags |= NLM_F_ACK;
	m->text[0] = 0;
	m->batch = 0;
	n = m->sys->send(m->sys, m->fd, m->buf, len, 0);
	if (n < 0)
		return (int)n;
	return answers(m, m->batch_first, m->seq, NULL, NULL);
}

struct nlmsghdr *nlm_begin(struct nlm *m, uint16_t type, uint16_t flags, const void *fixed,
			   size_t len)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(m->buf + m->batch);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(mnl_nlmsg_put_extra_header(h, len), fixed, len);
	return h;
}

/* ---- links ---- */

int nlm_link_mark(struct nlm *m, int ifindex, uint32_t group, uint32_t queue, bool link_local)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nlmsghdr *h = nlm_begin(m, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	struct nlattr *spec, *inet6;
	int err;

	mnl_attr_put_u32(h, IFLA_GROUP, group);
	mnl_attr_put_u32(h, IFLA_TXQLEN, queue);
	err = nlm_talk(m, h, NULL, NULL);
	if (err || link_local)
		return err;
	h = nlm_begin(m, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	err = nlm_talk(m, h, NULL, NULL);
	/* A machine without IPv6 has no such mode. */
	return err == -EAFNOSUPPORT || err == -EOPNOTSUPP ? 0 : err;
}

int nlm_link_del(struct nlm *m, int ifindex)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };

	return nlm_talk(m, nlm_begin(m, RTM_DELLINK, NLM_F_ACK, &ifi, sizeof(ifi)), NULL, NULL);
}

int nlm_link_ppp(struct nlm *m, const struct nlm_ppp *p)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nlattr *info, *data;
	struct nlmsghdr *h;

	h = nlm_begin(m, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi));
	if (p->ifname[0])
		mnl_attr_put_strz(h, IFLA_IFNAME, p->ifname);
	mnl_attr_put_u32(h, IFLA_MTU, p->mtu);
	mnl_attr_put_u32(h, IFLA_TXQLEN, p->txqlen);
	mnl_attr_put_u32(h, IFLA_GROUP, p->group);
	if (p->netns_fd >= 0)
		mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)p->netns_fd);
	if (p->master)
		mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)p->master);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "ppp");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u32(h, IFLA_PPP_DEV_FD, (uint32_t)p->dev_fd);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return nlm_talk(m, h, NULL, NULL);
}

int nlm_link_gather(struct nlm *m, int ifindex, uint32_t mtu, uint32_t txqlen, uint32_t group,
		    int master)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nlmsghdr *h = nlm_begin(m, RTM_SETLINK, 0, &ifi, sizeof(ifi));

	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	if (txqlen)
		mnl_attr_put_u32(h, IFLA_TXQLEN, txqlen);
	if (group)
		mnl_attr_put_u32(h, IFLA_GROUP, group);
	if (master >= 0)
		mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
	return nlm_gather(m, h);
}

int nlm_link_set(struct nlm *m, int ifindex, uint32_t mtu, int master, bool up)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nlmsghdr *h;

	if (up)
		ifi.ifi_flags = ifi.ifi_change = IFF_UP;
	h = nlm_begin(m, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	if (master >= 0)
		mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
	return nlm_talk(m, h, NULL, NULL);
}

int nlm_link_down(struct nlm *m, int ifindex)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC,
				 .ifi_index = ifindex,
				 .ifi_change = IFF_UP };

	return nlm_talk(m, nlm_begin(m, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi)), NULL, NULL);
}

static struct nlmsghdr *port_begin(struct nlm *m, uint16_t type, int ifindex)
{
	struct ifinfomsg ifi = { .ifi_family = AF_BRIDGE, .ifi_index = ifindex };

	return nlm_begin(m, type, 0, &ifi, sizeof(ifi));
}

static void vlan_put(struct nlmsghdr *h, uint16_t vid, uint16_t flags)
{
	struct bridge_vlan_info v = { .flags = flags, .vid = vid };

	mnl_attr_put(h, IFLA_BRIDGE_VLAN_INFO, sizeof(v), &v);
}

static void vlans_put(struct nlmsghdr *h, uint16_t first, uint16_t last)
{
	if (first == last) {
		vlan_put(h, first, 0);
		return;
	}
	vlan_put(h, first, BRIDGE_VLAN_INFO_RANGE_BEGIN);
	vlan_put(h, last, BRIDGE_VLAN_INFO_RANGE_END);
}

int nlm_port_vlans(struct nlm *m, int ifindex, uint16_t untagged, const struct dp_vlans *tagged,
		   size_t count)
{
	struct nlmsghdr *h = port_begin(m, RTM_DELLINK, ifindex);
	struct nlattr *nest = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	int err;

	/* What it has not is no error. */
	vlans_put(h, 1, DP_VLAN_LAST);
	mnl_attr_nest_end(h, nest);
	err = nlm_gather(m, h);
	if (err)
		return err;
	h = port_begin(m, RTM_SETLINK, ifindex);
	nest = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	if (untagged)
		vlan_put(h, untagged, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
	for (size_t i = 0; i < count; i++)
		vlans_put(h, tagged[i].first, tagged[i].last);
	mnl_attr_nest_end(h, nest);
	err = nlm_gather(m, h);
	return err ? err : nlm_flush(m);
}

/* All packets of one direction go through the action. */
static int tag_filter(struct nlm *m, int ifindex, uint32_t direction, const struct tc_vlan *act,
		      uint16_t vlan)
{
	struct tcmsg t = { .tcm_family = AF_UNSPEC,
			   .tcm_ifindex = ifindex,
			   .tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction),
			   .tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL)) };
	struct nlattr *options, *list, *first, *of;
	struct nlmsghdr *h;

	h = nlm_begin(m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &t, sizeof(t));
	mnl_attr_put_strz(h, TCA_KIND, "matchall");
	options = mnl_attr_nest_start(h, TCA_OPTIONS);
	list = mnl_attr_nest_start(h, TCA_MATCHALL_ACT);
	first = mnl_attr_nest_start(h, 1);
	mnl_attr_put_strz(h, TCA_ACT_KIND, "vlan");
	of = mnl_attr_nest_start(h, TCA_ACT_OPTIONS);
	mnl_attr_put(h, TCA_VLAN_PARMS, sizeof(*act), act);
	if (vlan)
		mnl_attr_put_u16(h, TCA_VLAN_PUSH_VLAN_ID, vlan);
	mnl_attr_nest_end(h, of);
	mnl_attr_nest_end(h, first);
	mnl_attr_nest_end(h, list);
	mnl_attr_nest_end(h, options);
	return nlm_gather(m, h);
}

int nlm_link_tag(struct nlm *m, int ifindex, uint16_t vlan)
{
	struct tcmsg t = { .tcm_family = AF_UNSPEC,
			   .tcm_ifindex = ifindex,
			   .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
			   .tcm_parent = TC_H_CLSACT };
	struct tc_vlan push = { .action = TC_ACT_PIPE, .v_action = TCA_VLAN_ACT_PUSH };
	struct tc_vlan pop = { .action = TC_ACT_PIPE, .v_action = TCA_VLAN_ACT_POP };
	struct nlmsghdr *h = nlm_begin(m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &t, sizeof(t));
	int err;

	mnl_attr_put_strz(h, TCA_KIND, "clsact");
	err = nlm_gather(m, h);
	if (!err)
		err = tag_filter(m, ifindex, TC_H_MIN_EGRESS, &push, vlan);
	if (!err)
		err = tag_filter(m, ifindex, TC_H_MIN_INGRESS, &pop, 0);
	return err ? err : nlm_flush(m);
}

int nlm_link_dormant_gather(struct nlm *m, int ifindex, bool dormant)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nlmsghdr *h = nlm_begin(m, RTM_SETLINK, 0, &ifi, sizeof(ifi));

	mnl_attr_put_u8(h, IFLA_OPERSTATE, dormant ? OPER_DORMANT : OPER_UP);
	return nlm_gather(m, h);
}

int nlm_link_up_gather(struct nlm *m, int ifindex, bool direct)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC,
				 .ifi_index = ifindex,
				 .ifi_flags = IFF_UP,
				 .ifi_change = IFF_UP };
	struct tcmsg tc = { .tcm_family = AF_UNSPEC,
			    .tcm_ifindex = ifindex,
			    .tcm_parent = TC_H_ROOT };
	struct nlmsghdr *h;
	int err = 0;

	if (direct) {
		h = nlm_begin(m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tc, sizeof(tc));
		mnl_attr_put_strz(h, TCA_KIND, "noqueue");
		err = nlm_gather(m, h);
		m->spare = m->seq; /* a kernel without queueing disciplines has no queue */
	}
	if (!err)
		err = nlm_gather(m, nlm_begin(m, RTM_SETLINK, 0, &ifi, sizeof(ifi)));
	return err;
}

int nlm_link_del_group(struct nlm *m, uint32_t group)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nlmsghdr *h = nlm_begin(m, RTM_DELLINK, NLM_F_ACK, &ifi, sizeof(ifi));

	mnl_attr_put_u32(h, IFLA_GROUP, group);
	return nlm_talk(m, h, NULL, NULL);
}

int nlm_link_index(struct nlm *m, const char *ifname)
{
	struct ifreq r;

	/* Any socket serves for this question, and it needs no lock and no message. */
	memset(&r, 0, sizeof(r));
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
	return m->sys->ioctl(m->sys, m->fd, SIOCGIFINDEX, &r) < 0 ? 0 : r.ifr_ifindex;
}

static int vrf_cb(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *in, *data;
	uint32_t *ret = arg, table = 0;
	int left, inner, most;
	bool vrf = false;

	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*ifi))
		return 0;
	nlm_for_each_msg_attr(a, left, h, ifi)
	{
		if (mnl_attr_get_type(a) != IFLA_LINKINFO)
			continue;
		nlm_for_each_attr(in, inner, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a))
		{
			if (mnl_attr_get_type(in) == IFLA_INFO_KIND)
				vrf = mnl_attr_get_payload_len(in) >= 4 &&
				      memcmp(mnl_attr_get_payload(in), "vrf", 4) == 0;
			if (mnl_attr_get_type(in) != IFLA_INFO_DATA)
				continue;
			nlm_for_each_attr(data, most, mnl_attr_get_payload(in),
					  mnl_attr_get_payload_len(in))
			{
				if (mnl_attr_get_type(data) == IFLA_VRF_TABLE &&
				    mnl_attr_get_payload_len(data) >= 4)
					table = mnl_attr_get_u32(data);
			}
		}
	}
	if (vrf)
		*ret = table;
	return 0;
}

uint32_t nlm_link_vrf_table(struct nlm *m, int ifindex)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	uint32_t table = 0;
	struct nlmsghdr *h = nlm_begin(m, RTM_GETLINK, NLM_F_ACK, &ifi, sizeof(ifi));

	return nlm_talk(m, h, vrf_cb, &table) == 0 ? table : 0;
}

struct stats_walk {
	void (*each)(void *arg, const struct nlm_stats *s);
	void *arg;
};

static int stats_cb(const struct nlmsghdr *h, void *arg)
{
	const struct if_stats_msg *ifsm = mnl_nlmsg_get_payload(h);
	struct stats_walk *w = arg;
	struct rtnl_link_stats64 v;
	struct nlm_stats s;
	const struct nlattr *a;
	int left;

	if (h->nlmsg_type != RTM_NEWSTATS || mnl_nlmsg_get_payload_len(h) < sizeof(*ifsm))
		return 0;
	nlm_for_each_msg_attr(a, left, h, ifsm)
	{
		if (mnl_attr_get_type(a) != IFLA_STATS_LINK_64 ||
		    mnl_attr_get_payload_len(a) < offsetof(struct rtnl_link_stats64, multicast))
			continue;
		memset(&v, 0, sizeof(v));
		memcpy(&v, mnl_attr_get_payload(a), offsetof(struct rtnl_link_stats64, multicast));
		s = (struct nlm_stats){ (int)ifsm->ifindex, v.rx_packets, v.tx_packets,
					v.rx_bytes,	    v.tx_bytes,	  v.rx_errors,
					v.tx_errors,	    v.rx_dropped, v.tx_dropped };
		w->each(w->arg, &s);
	}
	return 0;
}

int nlm_stats(struct nlm *m, int ifindex, void (*each)(void *arg, const struct nlm_stats *s),
	      void *arg)
{
	struct if_stats_msg ifsm = { .family = AF_UNSPEC,
				     .ifindex = (uint32_t)ifindex,
				     .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64) };
	struct stats_walk w = { each, arg };
	int err;

	m->strict = true;
	err = nlm_talk(
		m,
		nlm_begin(m, RTM_GETSTATS, ifindex ? NLM_F_ACK : NLM_F_DUMP, &ifsm, sizeof(ifsm)),
		stats_cb, &w);
	m->strict = false;
	return err;
}

/* ---- addresses ---- */

static size_t octets_of(uint16_t family)
{
	return family == AF_INET ? 4 : 16;
}

static struct nlmsghdr *addr_msg(struct nlm *m, int ifindex, const struct prefix *p,
				 const struct addr *peer, uint8_t proto, bool add)
{
	bool v4 = p->addr.family == AF_INET, far = peer && peer->family == p->addr.family;
	struct ifaddrmsg ifa = { .ifa_family = (uint8_t)p->addr.family,
				 .ifa_prefixlen = far ? v4 ? 32 : 128 : p->len,
				 .ifa_index = (unsigned int)ifindex };
	size_t n = octets_of(p->addr.family);
	struct nlmsghdr *h;

	if (!v4) {
		/* Nobody else can have the address on these devices: it is usable at once. */
		ifa.ifa_flags = IFA_F_NODAD;
		if (p->addr.ip[0] == 0xfe && (p->addr.ip[1] & 0xc0) == 0x80)
			ifa.ifa_scope = RT_SCOPE_LINK;
	}
	h = nlm_begin(m, add ? RTM_NEWADDR : RTM_DELADDR,
		      (uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0)), &ifa,
		      sizeof(ifa));
	mnl_attr_put(h, IFA_LOCAL, n, p->addr.ip);
	mnl_attr_put(h, IFA_ADDRESS, n, far ? peer->ip : p->addr.ip);
	if (add)
		mnl_attr_put_u8(h, IFA_PROTO, proto);
	return h;
}

int nlm_addr(struct nlm *m, int ifindex, const struct prefix *p, uint8_t proto, bool add)
{
	return nlm_talk(m, addr_msg(m, ifindex, p, NULL, proto, add), NULL, NULL);
}

int nlm_addr_gather(struct nlm *m, int ifindex, const struct prefix *p, const struct addr *peer,
		    uint8_t proto, bool add)
{
	return nlm_gather(m, addr_msg(m, ifindex, p, peer, proto, add));
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

static struct nlmsghdr *route_msg(struct nlm *m, const struct nlm_route *r, bool add,
				  uint16_t flags)
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
	h = nlm_begin(m, add ? RTM_NEWROUTE : RTM_DELROUTE,
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
	return h;
}

int nlm_route(struct nlm *m, const struct nlm_route *r, bool add, uint16_t flags)
{
	return nlm_talk(m, route_msg(m, r, add, flags), NULL, NULL);
}

int nlm_route_gather(struct nlm *m, const struct nlm_route *r, bool add, uint16_t flags)
{
	return nlm_gather(m, route_msg(m, r, add, flags));
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
	nlm_for_each_attr(sub, left, nh + 1, nh->rtnh_len - sizeof(*nh)) hop_attr(sub, family, hop);
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
	nlm_for_each_msg_attr(a, left, h, rtm)
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
	struct nlmsghdr *h = nlm_begin(m, RTM_GETROUTE, NLM_F_ACK, &rtm, sizeof(rtm));
	struct nlm_route found;
	struct one_route one = { &found, false };
	int err;

	addr_put(h, RTA_DST, to);
	err = nlm_talk(m, h, one_route_cb, &one);
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
	nlm_for_each_msg_attr(a, left, h, ifa)
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
	r.up = ifi->ifi_flags & IFF_UP;
	nlm_for_each_msg_attr(a, left, h, ifi)
	{
		if (mnl_attr_get_type(a) == IFLA_MASTER && mnl_attr_get_payload_len(a) >= 4)
			r.master = (int)mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == IFLA_GROUP && mnl_attr_get_payload_len(a) >= 4)
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

	return nlm_talk(m, nlm_begin(m, RTM_GETROUTE, NLM_F_DUMP, &rtm, sizeof(rtm)), route_cb, &w);
}

int nlm_addrs(struct nlm *m, void (*each)(void *arg, const struct nlm_addr *a), void *arg)
{
	struct ifaddrmsg ifa = { .ifa_family = AF_UNSPEC };
	struct walk w = { .addr = each, .arg = arg };

	return nlm_talk(m, nlm_begin(m, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa)), addr_cb, &w);
}

int nlm_links(struct nlm *m, void (*each)(void *arg, const struct nlm_link *l), void *arg)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct walk w = { .link = each, .arg = arg };

	return nlm_talk(m, nlm_begin(m, RTM_GETLINK, NLM_F_DUMP, &ifi, sizeof(ifi)), link_cb, &w);
}

static void link_found(void *arg, const struct nlm_link *l)
{
	*(struct nlm_link *)arg = *l;
}

int nlm_link_find(struct nlm *m, const char *ifname, struct nlm_link *ret)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct walk w = { .link = link_found, .arg = ret };
	struct nlmsghdr *h = nlm_begin(m, RTM_GETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	int err;

	memset(ret, 0, sizeof(*ret));
	mnl_attr_put_strz(h, IFLA_IFNAME, ifname);
	err = nlm_talk(m, h, link_cb, &w);
	return err ? err : ret->ifindex ? 0 : -ENODEV;
}
