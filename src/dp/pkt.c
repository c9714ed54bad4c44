/* SPDX-License-Identifier: MIT
 *
 * Packets of the user-space plane: the L2TPv2 data header (RFC 2661 3.1, both ways), PPP framing
 * (RFC 1661, 1662), the checks on IP headers, the MSS clamp, ICMP answers to packets that are too
 * big, IPv4 fragmentation and the guard against loops. All of it is driven by fuzzers.
 */
#include "pkt.h"
#include "base/wire.h"

#include <netinet/in.h>

/* First octets of the header, RFC 2661 3.1. */
#define HEAD_T	 0x8000
#define HEAD_L	 0x4000
#define HEAD_S	 0x0800
#define HEAD_O	 0x0200
#define HEAD_P	 0x0100
#define HEAD_VER 0x000f

enum pkt_kind pkt_head_parse(const uint8_t *bytes, size_t len, struct pkt_head *ret)
{
	struct rcur c = rcur_of(bytes, len);
	struct pkt_head h = { 0 };
	uint16_t flags = rcur_u16(&c);
	size_t whole = len;

	if (len < 6)
		return PKT_BAD;
	if (flags & HEAD_T)
		return PKT_CONTROL;
	if ((flags & HEAD_VER) != 2)
		return PKT_BAD;
	if (flags & HEAD_L)
		whole = rcur_u16(&c);
	h.tunnel = rcur_u16(&c);
	h.session = rcur_u16(&c);
	if (flags & HEAD_S) {
		h.has_seq = true;
		h.ns = rcur_u16(&c);
		rcur_u16(&c); /* Nr is reserved in data messages and ignored */
	}
	if (flags & HEAD_O)
		rcur_take(&c, rcur_u16(&c));
	h.off = len - rcur_left(&c);
	/* Length counts from the flags; what the datagram has beyond it is padding. */
	if (c.bad || whole > len || whole < h.off)
		return PKT_BAD;
	h.len = whole - h.off;
	*ret = h;
	return PKT_DATA;
}

size_t pkt_head_build(uint8_t *frame, size_t len, const struct pkt_out *o)
{
	size_t n =
		6u + (o->length ? 2 : 0) + (o->seq ? 4 : 0) + (o->address ? 2 : 0) + o->proto_len;
	struct wcur c = wcur_of(frame - n, n);

	wcur_u16(&c, (uint16_t)((o->length ? HEAD_L : 0) | (o->seq ? HEAD_S : 0) |
				(o->priority ? HEAD_P : 0) | 2));
	if (o->length)
		wcur_u16(&c, (uint16_t)(n + len));
	wcur_u16(&c, o->tunnel);
	wcur_u16(&c, o->session);
	if (o->seq) {
		wcur_u16(&c, o->ns);
		wcur_u16(&c, 0);
	}
	if (o->address)
		wcur_u16(&c, 0xff03);
	if (o->proto_len == 1)
		wcur_u8(&c, (uint8_t)o->proto);
	else if (o->proto_len == 2)
		wcur_u16(&c, o->proto);
	return n;
}

bool pkt_ppp_parse(const uint8_t *frame, size_t len, struct pkt_ppp *ret)
{
	struct rcur c = rcur_of(frame, len);
	struct pkt_ppp p = { 0 };

	if (len >= 2 && frame[0] == 0xff && frame[1] == 0x03)
		rcur_take(&c, 2);
	p.off = len - rcur_left(&c);
	p.proto = rcur_u8(&c);
	/* RFC 1661 2: the last octet of a protocol is odd, all others are even; FF is the address.
	 */
	if (!(p.proto & 1)) {
		p.proto = (uint16_t)(p.proto << 8 | rcur_u8(&c));
		if (!(p.proto & 1))
			return false;
	} else if (p.proto == 0xff) {
		return false;
	}
	p.data = len - rcur_left(&c);
	if (c.bad || rcur_left(&c) == 0)
		return false;
	*ret = p;
	return true;
}

/* Walk extension headers (RFC 8200 4.1) as far as they are whole; at most eight. */
static void walk_ip6(const uint8_t *p, struct pkt_ip *ip)
{
	for (unsigned int i = 0; i < 8; i++) {
		struct rcur c = rcur_of(p + ip->transport, ip->len - ip->transport);
		uint8_t next = rcur_u8(&c), ext = rcur_u8(&c);
		size_t n;

		if (ip->proto == IPPROTO_FRAGMENT) {
			uint16_t at = rcur_u16(&c);

			n = 8;
			if (c.bad || ip->len - ip->transport < n)
				return;
			ip->later_fragment = (at & 0xfff8) != 0;
		} else if (ip->proto == IPPROTO_HOPOPTS || ip->proto == IPPROTO_ROUTING ||
			   ip->proto == IPPROTO_DSTOPTS) {
			n = ((size_t)ext + 1) * 8;
			if (c.bad || ip->len - ip->transport < n)
				return;
		} else {
			return;
		}
		ip->proto = next;
		ip->transport += n;
		if (ip->later_fragment)
			return;
	}
}

bool pkt_ip_parse(const uint8_t *p, size_t len, uint8_t version, struct pkt_ip *ret)
{
	struct rcur c = rcur_of(p, len);
	struct pkt_ip ip = { .version = version };
	uint8_t first = rcur_u8(&c);

	if (first >> 4 != version)
		return false;
	rcur_u8(&c);
	if (version == 4) {
		ip.len = rcur_u16(&c);
		rcur_u16(&c);
		ip.later_fragment = (rcur_u16(&c) & 0x1fff) != 0;
		rcur_u8(&c);
		ip.proto = rcur_u8(&c);
		rcur_u16(&c);
		ip.src = rcur_take(&c, 4);
		ip.dst = rcur_take(&c, 4);
		ip.transport = (first & 0x0fu) * 4u;
		if (c.bad || ip.transport < 20 || ip.len < ip.transport || ip.len > len)
			return false;
	} else if (version == 6) {
		rcur_u16(&c);
		ip.len = 40u + rcur_u16(&c);
		ip.proto = rcur_u8(&c);
		rcur_u8(&c);
		ip.src = rcur_take(&c, 16);
		ip.dst = rcur_take(&c, 16);
		ip.transport = 40;
		/* A payload length of 0 with hop-by-hop options would be a jumbogram, RFC 2675. */
		if (c.bad || ip.len > len || (ip.len == 40 && ip.proto == IPPROTO_HOPOPTS))
			return false;
		walk_ip6(p, &ip);
	} else {
		return false;
	}
	*ret = ip;
	return true;
}

bool pkt_ip6_local(const uint8_t dst[16])
{
	return dst[0] == 0xff || (dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80);
}

/*
 * RFC 1071 2 (B) and (C): the sum does not depend on the order of octets in a word but for a swap
 * at the end, and words of 32 bits may be summed. Four sums side by side keep the processor busy.
 */
uint32_t pkt_sum(const uint8_t *p, size_t len, uint32_t start)
{
	uint64_t s[4] = { 0 }, w[4], wide;
	uint8_t rest[32] = { 0 };

	for (; len >= 32; len -= 32, p += 32) {
		memcpy(w, p, 32);
		for (unsigned int i = 0; i < 4; i++)
			s[i] += (w[i] & 0xffffffff) + (w[i] >> 32);
	}
	if (len) {
		memcpy(rest, p, len);
		memcpy(w, rest, 32);
		for (unsigned int i = 0; i < 4; i++)
			s[i] += (w[i] & 0xffffffff) + (w[i] >> 32);
	}
	wide = s[0] + s[1] + s[2] + s[3]; /* below 2^48 for anything in memory of a packet */
	wide = (wide & 0xffffffff) + (wide >> 32);
	wide = (wide & 0xffff) + (wide >> 16 & 0xffff) + (wide >> 32);
	wide = (wide & 0xffff) + (wide >> 16);
	wide = (wide & 0xffff) + (wide >> 16);
	/* Now the two octets as they stand in memory. */
	memcpy(rest, &(uint16_t){ (uint16_t)wide }, 2);
	wide = (uint64_t)start + ((uint32_t)rest[0] << 8 | rest[1]);
	return (uint32_t)(wide & 0xffffffff) + (uint32_t)(wide >> 32);
}

uint16_t pkt_checksum(const uint8_t *p, size_t len, uint32_t start)
{
	uint32_t sum = pkt_sum(p, len, start);

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_u16(uint8_t *at, uint16_t v)
{
	struct wcur c = wcur_of(at, 2);

	wcur_u16(&c, v);
}

static uint16_t get_u16(const uint8_t *at)
{
	struct rcur c = rcur_of(at, 2);

	return rcur_u16(&c);
}

/* The value of the MSS option in a TCP header of `n` octets, or NULL (RFC 9293 3.1, 3.2). */
static uint8_t *mss_option(uint8_t *tcp, size_t n)
{
	size_t at = 20;

	while (at < n) {
		uint8_t kind = tcp[at];

		if (kind == 0)
			return NULL;
		if (kind == 1) {
			at++;
			continue;
		}
		if (at + 1 >= n || tcp[at + 1] < 2 || tcp[at + 1] > n - at)
			return NULL;
		if (kind == 2)
			return tcp[at + 1] == 4 ? tcp + at + 2 : NULL;
		at += tcp[at + 1];
	}
	return NULL;
}

bool pkt_mss_clamp(uint8_t *p, const struct pkt_ip *ip, uint16_t mss)
{
	uint8_t *tcp = p + ip->transport, *value;
	size_t left = ip->len - ip->transport, n;
	uint16_t was, now, check;
	uint32_t sum;

	if (ip->proto != IPPROTO_TCP || ip->later_fragment || left < 20 || !mss ||
	    !(tcp[13] & 0x02))
		return false;
	n = (tcp[12] >> 4) * 4u;
	if (n < 20 || n > left)
		return false;
	value = mss_option(tcp, n);
	if (!value || get_u16(value) <= mss)
		return false;
	was = get_u16(value);
	now = mss;
	put_u16(value, mss);
	/* An option may begin anywhere: at an odd offset its octets lie in two words, the other way
	 * round. */
	if ((value - tcp) & 1) {
		was = (uint16_t)(was << 8 | was >> 8);
		now = (uint16_t)(now << 8 | now >> 8);
	}
	check = get_u16(tcp + 16);
	sum = (uint32_t)(uint16_t)~check + (uint16_t)~was + now; /* RFC 1624 eqn. 3 */
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put_u16(tcp + 16, (uint16_t)~sum);
	return true;
}

/* RFC 1122 3.2.2: who gets no ICMP error. */
static bool icmp4_allowed(const uint8_t *p, const struct pkt_ip *ip)
{
	uint8_t type;

	if (ip->later_fragment || ip->src[0] == 0 || ip->src[0] == 127 || ip->src[0] >= 224 ||
	    ip->dst[0] >= 224)
		return false;
	if (ip->proto != IPPROTO_ICMP)
		return true;
	if (ip->len <= ip->transport)
		return false;
	type = p[ip->transport];
	return type == 0 || type == 8 || (type >= 13 && type <= 18); /* queries and answers */
}

/* RFC 4443 2.4 (e). */
static bool icmp6_allowed(const uint8_t *p, const struct pkt_ip *ip)
{
	static const uint8_t none[16];

	if (ip->src[0] == 0xff || ip->dst[0] == 0xff || memcmp(ip->src, none, 16) == 0)
		return false;
	if (ip->proto != IPPROTO_ICMPV6 || ip->later_fragment)
		return true;
	return ip->len > ip->transport && p[ip->transport] >= 128;
}

size_t pkt_too_big(const uint8_t *p, const struct pkt_ip *ip, uint16_t mtu, uint8_t *buf)
{
	/* RFC 1812 4.3.2.3: as much as fits into 576 octets; RFC 4443 3.2: the least IPv6 MTU. */
	size_t head = ip->version == 4 ? 20 : 40, most = (ip->version == 4 ? 576 : 1280);
	size_t quote = ip->len < most - head - 8 ? ip->len : most - head - 8;
	struct wcur c = wcur_of(buf, PKT_ICMP_MAX);

	if (ip->version == 4) {
		if (!icmp4_allowed(p, ip))
			return 0;
		wcur_u16(&c, 0x45c0); /* precedence 6, RFC 1812 4.3.2.5 */
		wcur_u16(&c, (uint16_t)(head + 8 + quote));
		wcur_u32(&c, 0x4000); /* id 0, DF */
		wcur_u16(&c, 64 << 8 | IPPROTO_ICMP);
		wcur_u16(&c, 0);
		wcur_bytes(&c, ip->dst, 4);
		wcur_bytes(&c, ip->src, 4);
		put_u16(buf + 10, pkt_checksum(buf, 20, 0));
		wcur_u16(&c, 3 << 8 | 4);
		wcur_u16(&c, 0);
		wcur_u16(&c, 0);
		wcur_u16(&c, mtu);
		wcur_bytes(&c, p, quote);
		put_u16(buf + 22, pkt_checksum(buf + 20, 8 + quote, 0));
	} else {
		uint32_t pseudo;

		if (!icmp6_allowed(p, ip))
			return 0;
		wcur_u32(&c, 0x60000000);
		wcur_u16(&c, (uint16_t)(8 + quote));
		wcur_u16(&c, IPPROTO_ICMPV6 << 8 | 64);
		wcur_bytes(&c, ip->dst, 16);
		wcur_bytes(&c, ip->src, 16);
		wcur_u32(&c, 2 << 24);
		wcur_u32(&c, mtu);
		wcur_bytes(&c, p, quote);
		pseudo = pkt_sum(buf + 8, 32, (uint32_t)(8 + quote + IPPROTO_ICMPV6));
		pseudo = (pseudo & 0xffff) + (pseudo >> 16);
		put_u16(buf + 42, pkt_checksum(buf + 40, 8 + quote, pseudo));
	}
	return c.bad ? 0 : c.len;
}

bool pkt_may_fragment(const uint8_t *p, const struct pkt_ip *ip)
{
	return ip->version == 4 && !(p[6] & 0x40);
}

/* The options that go into every fragment: those with the copied bit (RFC 791 3.1). Returns the
 * length of the header written. */
static size_t later_header(const uint8_t *p, size_t head, uint8_t *buf)
{
	size_t out = 20, at = 20;

	memcpy(buf, p, 20);
	while (at < head && p[at] != 0) {
		size_t n = 1;

		if (p[at] != 1) {
			if (at + 1 >= head || p[at + 1] < 2 || p[at + 1] > head - at)
				break;
			n = p[at + 1];
			if (p[at] & 0x80) {
				memcpy(buf + out, p + at, n);
				out += n;
			}
		}
		at += n;
	}
	while (out % 4)
		buf[out++] = 0;
	buf[0] = (uint8_t)(0x40 | out / 4);
	return out;
}

size_t pkt_fragment(const uint8_t *p, const struct pkt_ip *ip, uint16_t mtu, size_t *pos,
		    uint8_t *buf)
{
	size_t head = ip->transport, left = ip->len - head - *pos, n;
	uint16_t at = get_u16(p + 6);

	/* RFC 791 3.2: offsets count to 65,535 octets. What lies beyond is no packet. */
	if (ip->len - head <= *pos || (at & 0x1fffu) * 8u + (ip->len - head) > 65535)
		return 0;
	if (*pos == 0)
		memcpy(buf, p, head);
	else
		head = later_header(p, head, buf);
	if (mtu < head + 8)
		return 0;
	n = left;
	if (n > mtu - head) {
		n = (mtu - head) & ~(size_t)7;
		at |= 0x2000; /* more fragments; the last one keeps the flag the packet had */
	}
	memcpy(buf + head, p + ip->transport + *pos, n);
	put_u16(buf + 2, (uint16_t)(head + n));
	put_u16(buf + 6, (uint16_t)((at & 0xe000) | ((at & 0x1fff) + *pos / 8)));
	put_u16(buf + 10, 0);
	put_u16(buf + 10, pkt_checksum(buf, head, 0));
	*pos += n;
	return head + n;
}

/* The L2TP datagram inside an IP packet that came from one of our ports. */
static bool own_datagram(const uint8_t *p, const struct pkt_ip *ip, const uint16_t *ports,
			 size_t count, const uint8_t **ret, size_t *ret_len)
{
	if (ip->proto != IPPROTO_UDP || ip->later_fragment || ip->len - ip->transport < 8)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (get_u16(p + ip->transport) == ports[i]) {
			*ret = p + ip->transport + 8;
			*ret_len = ip->len - ip->transport - 8;
			return true;
		}
	}
	return false;
}

unsigned int pkt_own_depth(const uint8_t *p, size_t len, const uint16_t *ports, size_t count)
{
	unsigned int depth = 0;

	while (depth < 8) {
		struct pkt_ip ip;
		struct pkt_head h;
		struct pkt_ppp ppp;
		const uint8_t *l2tp;
		size_t n;

		if (!len || !pkt_ip_parse(p, len, p[0] >> 4, &ip) ||
		    !own_datagram(p, &ip, ports, count, &l2tp, &n) ||
		    pkt_head_parse(l2tp, n, &h) != PKT_DATA)
			break;
		depth++;
		if (!pkt_ppp_parse(l2tp + h.off, h.len, &ppp))
			break;
		p = l2tp + h.off + ppp.data;
		len = h.len - ppp.data;
	}
	return depth;
}
