/* SPDX-License-Identifier: MIT
 *
 * Addresses in the user-space plane. Outer ones: where a datagram came from and which of our
 * addresses it went to, and the same the other way round, so that on a host with several addresses
 * a tunnel always speaks from the one its peer knows (RFC 2661 8.1). Dual-stack sockets show IPv4
 * addresses mapped into IPv6; inside we have plain IPv4. Inner ones: whether a session may use a
 * source.
 */
#include "forward.h"
#include "pkt.h"

#include <netinet/udp.h>

bool fwd_unspecified(const uint8_t ip[16])
{
	static const uint8_t zero[16];

	return memcmp(ip, zero, 16) == 0;
}

/* An IPv4 address in an AF_INET6 socket is mapped, RFC 4291 2.5.5.2. */
static bool mapped(const uint8_t ip[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

static void unmap(uint8_t ip[16])
{
	memmove(ip, ip + 12, 4);
	memset(ip + 4, 0, 12);
}

bool fwd_outer(const struct msghdr *m, const struct fwd_to *from, struct fwd_outer *ret)
{
	struct msghdr h = *m; /* CMSG_NXTHDR() wants one that is not const */
	struct fwd_outer o;
	bool found = false, plain = false; /* plain: `local` is IPv4 as it is */

	memset(&o, 0, sizeof(o));
	o.unicast = true;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo i;

			/* A dual-stack socket gives both; only this one tells broadcasts, by an
			 * address that differs from the one to answer from. */
			memcpy(&i, CMSG_DATA(c), sizeof(i));
			memset(o.local, 0, sizeof(o.local));
			memcpy(o.local, &i.ipi_addr, 4);
			o.unicast = i.ipi_addr.s_addr == i.ipi_spec_dst.s_addr;
			found = plain = true;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
			   !plain) {
			struct in6_pktinfo i;

			memcpy(&i, CMSG_DATA(c), sizeof(i));
			memcpy(o.local, &i.ipi6_addr, 16);
			o.unicast = o.local[0] != 0xff;
			if (pkt_ip6_local(o.local))
				o.local_scope = i.ipi6_ifindex;
			found = true;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int n;

			memcpy(&n, CMSG_DATA(c), sizeof(n));
			o.segment = n > 0 ? (uint32_t)n : 0;
		}
	}
	if (from->name.in.sin_family == AF_INET) {
		o.family = AF_INET;
		o.port = ntohs(from->name.in.sin_port);
		memcpy(o.remote, &from->name.in.sin_addr, 4);
	} else {
		o.family = AF_INET6;
		o.port = ntohs(from->name.in6.sin6_port);
		memcpy(o.remote, &from->name.in6.sin6_addr, 16);
		if (pkt_ip6_local(o.remote))
			o.scope = from->name.in6.sin6_scope_id;
		if (mapped(o.remote)) {
			o.family = AF_INET;
			unmap(o.remote);
			if (!plain)
				unmap(o.local);
		}
	}
	/* A packet of our own that came back, and sources that cannot be answered. */
	if (fwd_unspecified(o.remote))
		o.unicast = false;
	*ret = o;
	return found;
}

static void map(const uint8_t ip4[4], struct in6_addr *ret)
{
	uint8_t ip[16] = { [10] = 0xff, [11] = 0xff, ip4[0], ip4[1], ip4[2], ip4[3] };

	memcpy(ret, ip, sizeof(ip));
}

void fwd_address(const struct dpt_tunnel *t, bool v6, struct fwd_to *to, struct msghdr *ret)
{
	bool any = fwd_unspecified(t->local);
	struct cmsghdr *c = &to->control.align;

	memset(ret, 0, sizeof(*ret));
	ret->msg_name = &to->name;
	memset(to, 0, sizeof(*to));
	if (!any) {
		ret->msg_control = to->control.bytes;
		c->cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
		c->cmsg_type = v6 ? IPV6_PKTINFO : IP_PKTINFO;
	}
	if (!v6) {
		struct in_pktinfo i = { 0 };

		to->name.in.sin_family = AF_INET;
		to->name.in.sin_port = htons(t->remote_port);
		memcpy(&to->name.in.sin_addr, t->remote, 4);
		ret->msg_namelen = sizeof(to->name.in);
		if (any)
			return;
		memcpy(&i.ipi_spec_dst, t->local, 4);
		memcpy(CMSG_DATA(c), &i, sizeof(i));
		c->cmsg_len = CMSG_LEN(sizeof(i));
		ret->msg_controllen = CMSG_SPACE(sizeof(i));
	} else {
		struct in6_pktinfo i = { 0 };

		to->name.in6.sin6_family = AF_INET6;
		to->name.in6.sin6_port = htons(t->remote_port);
		to->name.in6.sin6_scope_id = t->remote_scope;
		if (t->family == AF_INET)
			map(t->remote, &to->name.in6.sin6_addr);
		else
			memcpy(&to->name.in6.sin6_addr, t->remote, 16);
		ret->msg_namelen = sizeof(to->name.in6);
		if (any)
			return;
		if (t->family == AF_INET)
			map(t->local, &i.ipi6_addr);
		else
			memcpy(&i.ipi6_addr, t->local, 16);
		i.ipi6_ifindex = t->local_scope;
		memcpy(CMSG_DATA(c), &i, sizeof(i));
		c->cmsg_len = CMSG_LEN(sizeof(i));
		ret->msg_controllen = CMSG_SPACE(sizeof(i));
	}
}

bool fwd_source_ok(const struct index *x, const struct dpt_config *c, uint32_t slot,
		   const struct pkt_ip *ip)
{
	if (!(c->flags & DP_F_ANTISPOOF))
		return true;
	/* The first prefix of each family lies in the slot. */
	if (ip->version == 4)
		return (c->len4 == 32 && memcmp(ip->src, c->ip4, 4) == 0) ||
		       index_route4(x, ip->src) == slot;
	if ((c->len6 == 64 && memcmp(ip->src, c->ip6, 8) == 0) || index_route6(x, ip->src) == slot)
		return true;
	/* Router solicitations and DHCPv6 come from the link-local address, duplicate address
	 * detection from ::, and all of them stay on the link. */
	return pkt_ip6_local(ip->dst) && ip->src[0] != 0xff &&
	       (fwd_unspecified(ip->src) || pkt_ip6_local(ip->src));
}
