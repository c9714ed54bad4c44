/* SPDX-License-Identifier: MIT
 *
 * Data messages of L2TPv3 and Ethernet frames, see pkt3.h.
 */
#include "pkt3.h"
#include "base/wire.h"

#define HEAD_T	 0x8000
#define HEAD_VER 0x000f

#define SUBLAYER_S 0x40000000u /* RFC 3931 4.6: the second bit */
#define SEQ_MASK   0x00ffffffu

#define MACS 12 /* octets before the type of a frame */

#define COOKIE_MAX   8u
#define SUBLAYER_LEN 4u

#define TYPE_IP4  0x0800
#define TYPE_IP6  0x86dd
#define TYPE_VLAN 0x8100 /* IEEE 802.1Q */
#define TYPE_QINQ 0x88a8 /* IEEE 802.1ad */

enum pkt_kind pkt3_parse_udp(const uint8_t *bytes, size_t len, struct pkt3_head *ret)
{
	struct rcur c = rcur_of(bytes, len);
	uint16_t flags = rcur_u16(&c);
	struct pkt3_head h;

	if (c.bad)
		return PKT_BAD;
	if (flags & HEAD_T)
		return PKT_CONTROL;
	rcur_u16(&c); /* reserved, ignored */
	h.session = rcur_u32(&c);
	h.off = len - rcur_left(&c);
	if (c.bad || (flags & HEAD_VER) != 3 || !h.session)
		return PKT_BAD;
	*ret = h;
	return PKT_DATA;
}

enum pkt_kind pkt3_parse_ip(const uint8_t *bytes, size_t len, struct pkt3_head *ret)
{
	struct rcur c = rcur_of(bytes, len);
	struct pkt3_head h;

	h.session = rcur_u32(&c);
	h.off = len - rcur_left(&c);
	if (c.bad)
		return PKT_BAD;
	if (!h.session)
		return rcur_u16(&c) & HEAD_T && !c.bad ? PKT_CONTROL : PKT_BAD;
	*ret = h;
	return PKT_DATA;
}

size_t pkt3_ip4_payload(const uint8_t *bytes, size_t len)
{
	size_t head = len ? (bytes[0] & 15u) * 4u : 0;

	return len && bytes[0] >> 4 == 4 && head >= 20 && head < len ? head : 0;
}

enum pkt3_check pkt3_check(const struct dpt_config *c, const uint8_t *bytes, size_t len,
			   struct pkt3_body *ret)
{
	struct rcur r = rcur_of(bytes, len);
	const uint8_t *cookie = rcur_take(&r, c->cookie_in_len);
	struct pkt3_body b = { 0 };
	uint32_t sublayer;

	if (r.bad)
		return PKT3_SHORT;
	if (c->cookie_in_len && memcmp(cookie, c->cookie_in, c->cookie_in_len) != 0)
		return PKT3_COOKIE;
	if (c->l2spec == DP_L2SPEC_DEFAULT) {
		sublayer = rcur_u32(&r);
		b.has_seq = sublayer & SUBLAYER_S;
		b.seq = sublayer & SEQ_MASK;
	}
	b.off = len - rcur_left(&r);
	if (r.bad || rcur_left(&r) < (c->kind == DPT_ETH ? PKT3_FRAME : 1))
		return PKT3_SHORT;
	*ret = b;
	return PKT3_OK;
}

size_t pkt3_build(uint8_t *frame, const struct dpt_config *c, bool udp, bool has_seq, uint32_t seq)
{
	bool sublayer = c->l2spec == DP_L2SPEC_DEFAULT;
	size_t n = (udp ? 4u : 0) + 4u + c->cookie_out_len + (sublayer ? 4u : 0);
	struct wcur w = wcur_of(frame - n, n);

	if (udp)
		wcur_u32(&w, 3u << 16);
	wcur_bytes(&w, c->remote_session3, sizeof(c->remote_session3));
	wcur_bytes(&w, c->cookie_out, c->cookie_out_len);
	if (sublayer)
		wcur_u32(&w, has_seq ? SUBLAYER_S | (seq & SEQ_MASK) : 0);
	return n;
}

void pkt3_tag(uint8_t *frame, uint16_t vlan)
{
	uint8_t *at = frame - PKT3_TAG;
	struct wcur w = wcur_of(at + MACS, PKT3_TAG);

	memmove(at, frame, MACS);
	wcur_u16(&w, TYPE_VLAN);
	wcur_u16(&w, vlan);
}

size_t pkt3_untag(uint8_t *frame, size_t len)
{
	struct rcur c = rcur_of(frame, len);
	uint16_t type;

	rcur_take(&c, MACS);
	type = rcur_u16(&c);
	rcur_u32(&c); /* its number, and what is in the frame */
	if (c.bad || (type != TYPE_VLAN && type != TYPE_QINQ))
		return 0;
	memmove(frame + PKT3_TAG, frame, MACS);
	return PKT3_TAG;
}

size_t pkt3_build_ppp(uint8_t *frame, const struct dpt_config *c, bool udp,
		      const struct pkt3_ppp *o)
{
	size_t n = (o->address ? 2u : 0) + o->proto_len;
	struct wcur w = wcur_of(frame - n, n);

	if (o->address)
		wcur_u16(&w, 0xff03);
	if (o->proto_len == 1)
		wcur_u8(&w, (uint8_t)o->proto);
	else if (o->proto_len == 2)
		wcur_u16(&w, o->proto);
	return n + pkt3_build(frame - n, c, udp, o->has_seq, o->seq);
}

bool pkt3_ppp_control(const uint8_t *bytes, size_t len)
{
	struct pkt_ppp ppp;

	/* RFC 1661 2: the protocol is odd, its first octet even */
	for (size_t at = COOKIE_MAX; at <= COOKIE_MAX + SUBLAYER_LEN; at += SUBLAYER_LEN) {
		if (len > at && pkt_ppp_parse(bytes + at, len - at, &ppp) && ppp.proto >= 0x8000 &&
		    (ppp.proto & 0x0101) == 1)
			return true;
	}
	return false;
}

size_t pkt3_ip(const uint8_t *frame, size_t len, uint8_t *ret_version)
{
	struct rcur c = rcur_of(frame, len);
	uint16_t type;

	rcur_take(&c, MACS);
	type = rcur_u16(&c);
	for (unsigned int tags = 0; tags < 2 && (type == TYPE_VLAN || type == TYPE_QINQ); tags++) {
		rcur_u16(&c);
		type = rcur_u16(&c);
	}
	if (c.bad || (type != TYPE_IP4 && type != TYPE_IP6))
		return 0;
	*ret_version = type == TYPE_IP4 ? 4 : 6;
	return len - rcur_left(&c);
}
