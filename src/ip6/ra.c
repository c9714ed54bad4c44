/* SPDX-License-Identifier: MIT
 *
 * Router advertisements and solicitations, see ra.h. A packet is an IPv6 header without extension
 * headers and an ICMPv6 message; anything in between makes it a packet of somebody else.
 */
#include "ra.h"
#include "base/wire.h"

enum { ICMPV6 = 58, TYPE_RS = 133, TYPE_RA = 134 };
enum { OPT_SLLA = 1, OPT_PREFIX = 3, OPT_MTU = 5, OPT_RDNSS = 25 };
enum { FLAG_M = 0x80, FLAG_O = 0x40, FLAG_L = 0x80, FLAG_A = 0x40 };

#define HEADER 40

const uint8_t ra_all_nodes[16] = { 0xff, 0x02, [15] = 1 };
const uint8_t ra_all_routers[16] = { 0xff, 0x02, [15] = 2 };

void ra_address(uint8_t ret[16], const uint8_t prefix[16], const uint8_t iid[8])
{
	memmove(ret, prefix, 8);
	memcpy(ret + 8, iid, 8);
}

void ra_link_local(uint8_t ret[16], const uint8_t iid[8])
{
	static const uint8_t fe80[16] = { 0xfe, 0x80 };

	ra_address(ret, fe80, iid);
}

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (len % 2)
		sum += (uint32_t)p[len - 1] << 8;
	return sum;
}

uint16_t ra_checksum(const uint8_t src[16], const uint8_t dst[16], uint8_t next_header,
		     const void *bytes, size_t len)
{
	uint32_t sum = (uint32_t)(len >> 16) + (uint32_t)(len & 0xffff) + next_header;

	sum = sum16(sum, src, 16);
	sum = sum16(sum, dst, 16);
	sum = sum16(sum, bytes, len);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_header(struct wcur *c, const uint8_t src[16], const uint8_t dst[16])
{
	wcur_u32(c, 0x60000000);
	wcur_u16(c, 0);
	wcur_u8(c, ICMPV6);
	wcur_u8(c, 255);
	wcur_bytes(c, src, 16);
	wcur_bytes(c, dst, 16);
}

/* Fill in length and checksum. */
static size_t finish(struct wcur *c, const uint8_t src[16], const uint8_t dst[16])
{
	if (c->bad)
		return 0;
	wcur_patch_u16(c, 4, (uint16_t)(c->len - HEADER));
	wcur_patch_u16(c, HEADER + 2,
		       ra_checksum(src, dst, ICMPV6, c->buf + HEADER, c->len - HEADER));
	return c->len;
}

static void put_prefix(struct wcur *c, const struct ra_prefix *p)
{
	wcur_u8(c, OPT_PREFIX);
	wcur_u8(c, 4);
	wcur_u8(c, p->len);
	wcur_u8(c, (uint8_t)((p->on_link ? FLAG_L : 0) | (p->autonomous ? FLAG_A : 0)));
	wcur_u32(c, p->valid_s);
	wcur_u32(c, p->preferred_s);
	wcur_u32(c, 0);
	wcur_bytes(c, p->ip, 16);
}

size_t ra_build(const struct ra *ra, uint8_t *buf, size_t cap)
{
	struct wcur c = wcur_of(buf, cap);
	unsigned rdnss = ra->rdnss < RA_RDNSS ? ra->rdnss : RA_RDNSS;

	put_header(&c, ra->src, ra->dst);
	wcur_u8(&c, TYPE_RA);
	wcur_u8(&c, 0);
	wcur_u16(&c, 0);
	wcur_u8(&c, ra->hop_limit);
	wcur_u8(&c, (uint8_t)((ra->managed ? FLAG_M : 0) | (ra->other ? FLAG_O : 0)));
	wcur_u16(&c, ra->router_s);
	wcur_u32(&c, 0); /* reachable time and retransmission timer: unspecified */
	wcur_u32(&c, 0);
	if (ra->mtu != 0) {
		wcur_u8(&c, OPT_MTU);
		wcur_u8(&c, 1);
		wcur_u16(&c, 0);
		wcur_u32(&c, ra->mtu);
	}
	for (unsigned i = 0; i < ra->prefixes && i < RA_PREFIXES; i++)
		put_prefix(&c, &ra->prefix[i]);
	if (rdnss > 0) {
		wcur_u8(&c, OPT_RDNSS);
		wcur_u8(&c, (uint8_t)(1 + 2 * rdnss));
		wcur_u16(&c, 0);
		wcur_u32(&c, ra->rdnss_s);
		wcur_bytes(&c, ra->dns, 16 * rdnss);
	}
	return finish(&c, ra->src, ra->dst);
}

size_t ra_solicit(const uint8_t src[16], uint8_t *buf, size_t cap)
{
	struct wcur c = wcur_of(buf, cap);

	put_header(&c, src, ra_all_routers);
	wcur_u8(&c, TYPE_RS);
	wcur_u8(&c, 0);
	wcur_u16(&c, 0);
	wcur_u32(&c, 0);
	return finish(&c, src, ra_all_routers);
}

static bool is_link_local(const uint8_t ip[16])
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

/* The checks that both messages have in common; *ret is the message from its type on. */
static bool open_message(const uint8_t *packet, size_t len, uint8_t type, size_t least,
			 const uint8_t **ret_src, const uint8_t **ret_dst, struct rcur *ret)
{
	struct rcur c = rcur_of(packet, len);
	uint32_t version = rcur_u32(&c) >> 28;
	uint16_t payload = rcur_u16(&c);
	uint8_t next = rcur_u8(&c), hops = rcur_u8(&c);
	const uint8_t *src = rcur_take(&c, 16), *dst = rcur_take(&c, 16);
	struct rcur m = rcur_sub(&c, payload); /* octets behind it are padding of the link */
	struct rcur look = m;

	if (c.bad || version != 6 || next != ICMPV6 || hops != 255 || payload < least)
		return false;
	if (rcur_u8(&look) != type || rcur_u8(&look) != 0)
		return false;
	if (ra_checksum(src, dst, ICMPV6, m.p, payload) != 0)
		return false;
	*ret_src = src;
	*ret_dst = dst;
	*ret = m;
	return true;
}

/* The next option; false at the end, or with c->bad when its length is wrong. */
static bool next_option(struct rcur *c, uint8_t *ret_type, struct rcur *ret_value)
{
	uint8_t n;

	if (c->bad || rcur_left(c) == 0)
		return false;
	*ret_type = rcur_u8(c);
	n = rcur_u8(c);
	if (n == 0)
		c->bad = true;
	else
		*ret_value = rcur_sub(c, 8u * n - 2);
	return !c->bad;
}

/* Neither multicast nor one of ::/64, where the unspecified, loopback and mapped addresses are: a
 * router that names those is wrong, or wants our packets to stay here. */
static bool usable(const uint8_t ip[16])
{
	static const uint8_t zero[8];

	return ip[0] != 0xff && memcmp(ip, zero, sizeof(zero)) != 0;
}

static void take_prefix(struct rcur v, struct ra *ra)
{
	struct ra_prefix p = { .len = rcur_u8(&v) };
	uint8_t flags = rcur_u8(&v);

	p.valid_s = rcur_u32(&v);
	p.preferred_s = rcur_u32(&v);
	rcur_u32(&v);
	rcur_copy(&v, p.ip, 16);
	p.on_link = flags & FLAG_L;
	p.autonomous = flags & FLAG_A;
	if (v.bad || rcur_left(&v) != 0 || p.len > 128 || p.preferred_s > p.valid_s ||
	    ra->prefixes >= RA_PREFIXES)
		return;
	/* Bits behind the prefix mean nothing (RFC 4861 4.6.2). */
	for (unsigned bit = p.len; bit < 128; bit++)
		p.ip[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	if (is_link_local(p.ip) || !usable(p.ip))
		return;
	ra->prefix[ra->prefixes++] = p;
}

static void take_rdnss(struct rcur v, struct ra *ra)
{
	uint8_t ip[16];
	uint32_t life;

	rcur_u16(&v);
	life = rcur_u32(&v);
	if (v.bad || life == 0) /* zero: these are to be forgotten */
		return;
	while (rcur_left(&v) >= 16 && ra->rdnss < RA_RDNSS) {
		rcur_copy(&v, ip, 16);
		if (!usable(ip))
			continue;
		if (ra->rdnss == 0 || life < ra->rdnss_s)
			ra->rdnss_s = life;
		memcpy(ra->dns[ra->rdnss++], ip, 16);
	}
}

bool ra_parse(const uint8_t *packet, size_t len, struct ra *ret)
{
	const uint8_t *src, *dst;
	struct ra ra = { 0 };
	struct rcur c, v;
	uint8_t type, flags;

	if (!open_message(packet, len, TYPE_RA, 16, &src, &dst, &c) || !is_link_local(src))
		return false;
	memcpy(ra.src, src, 16);
	memcpy(ra.dst, dst, 16);
	rcur_take(&c, 4);
	ra.hop_limit = rcur_u8(&c);
	flags = rcur_u8(&c);
	ra.managed = flags & FLAG_M;
	ra.other = flags & FLAG_O;
	ra.router_s = rcur_u16(&c);
	rcur_take(&c, 8);
	while (next_option(&c, &type, &v)) {
		if (type == OPT_PREFIX) {
			take_prefix(v, &ra);
		} else if (type == OPT_MTU && rcur_left(&v) == 6) {
			rcur_u16(&v);
			ra.mtu = rcur_u32(&v);
		} else if (type == OPT_RDNSS) {
			take_rdnss(v, &ra);
		}
	}
	if (c.bad)
		return false;
	*ret = ra;
	return true;
}

bool ra_is_solicitation(const uint8_t *packet, size_t len, uint8_t ret_src[16])
{
	static const uint8_t none[16];
	const uint8_t *src, *dst;
	struct rcur c, v;
	bool unspecified;
	uint8_t type;

	if (!open_message(packet, len, TYPE_RS, 8, &src, &dst, &c))
		return false;
	unspecified = memcmp(src, none, 16) == 0;
	rcur_take(&c, 8);
	while (next_option(&c, &type, &v))
		if (type == OPT_SLLA && unspecified)
			return false;
	if (c.bad)
		return false;
	memcpy(ret_src, src, 16);
	return true;
}
