/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: data messages of L2TPv3 and Ethernet frames as the forwarding thread sees them.
 *
 * drives: src/dp/pkt3.c
 *
 * Input: one octet of flags (1: the payload of a raw IPv4 socket, IP header and all; 2: over IP,
 * else over UDP; 4: with the sublayer; 8: a frame from the device; 16: PPP, not Ethernet), one
 * octet with the lengths of the cookies (0 to 2, times four, ours and from bit 4 on the peer's),
 * eight octets of our cookie, then the packet. It is an error when an offset points outside the
 * packet, when data is taken without its cookie or with a session id of 0, or when a header or a
 * tag that is built does not come back.
 */
#include <stdlib.h>
#include "base/wire.h"
#include "dp/pkt3.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define MOST 4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frame(const uint8_t *p, size_t len)
{
	uint8_t version = 0;
	size_t at = pkt3_ip(p, len, &version);
	struct pkt_ip ip;

	if (!at)
		return;
	CHECK((at == 14 || at == 18 || at == 22) && at <= len);
	CHECK(version == 4 || version == 6);
	if (pkt_ip_parse(p + at, len - at, version, &ip))
		CHECK(at + ip.len <= len);
}

/* A tag that is put on is taken off again, and leaves the frame as it was; one that the frame has
 * by itself goes with the addresses in their place. */
static void tags(const uint8_t *p, size_t len)
{
	uint8_t *room = malloc(PKT3_TAG + len), *at = room + PKT3_TAG;
	size_t n;

	if (!room)
		return;
	memcpy(at, p, len);
	if (len >= PKT3_FRAME) {
		pkt3_tag(at, 0x0abc);
		CHECK(memcmp(at - PKT3_TAG, p, 12) == 0);
		CHECK(memcmp(at + 8, "\x81\0\x0a\xbc", 4) == 0);
		CHECK(pkt3_untag(at - PKT3_TAG, len + PKT3_TAG) == PKT3_TAG);
		CHECK(memcmp(at, p, len) == 0);
	}
	n = pkt3_untag(at, len);
	CHECK(n == 0 || (n == PKT3_TAG && len >= PKT3_FRAME + PKT3_TAG));
	CHECK(n ? memcmp(at + n, p, 12) == 0 && memcmp(at + 16, p + 16, len - 16) == 0
		: memcmp(at, p, len) == 0);
	free(room);
}

static size_t least(const struct dpt_config *c)
{
	return c->kind == DPT_ETH ? PKT3_FRAME : 1;
}

/* The same session as the other end has it. */
static struct dpt_config peer_of(const struct dpt_config *c)
{
	struct dpt_config peer = *c;

	peer.cookie_in_len = c->cookie_out_len;
	memcpy(peer.cookie_in, c->cookie_out, sizeof(peer.cookie_in));
	return peer;
}

/* A PPP frame keeps its protocol, however that is written. */
static void built_ppp(const struct dpt_config *c, const uint8_t *p, size_t len, bool udp)
{
	uint8_t *room = malloc(PKT3_HEAD_MAX + 4 + len), *at = room + PKT3_HEAD_MAX + 4;
	struct pkt3_ppp o = { .has_seq = len & 1, .address = len & 2, .seq = 0xabcdef };
	const struct dpt_config peer = peer_of(c);
	struct pkt3_body body;
	struct pkt3_head h;
	struct pkt_ppp ppp;
	size_t n;

	if (!room)
		return;
	memcpy(at, p, len);
	for (o.proto_len = 0; o.proto_len <= 2; o.proto_len++) {
		o.proto = o.proto_len == 1 ? 0x21 : 0xc021;
		n = pkt3_build_ppp(at, c, udp, &o);
		CHECK(n <= PKT3_HEAD_MAX + 4);
		CHECK((udp ? pkt3_parse_udp : pkt3_parse_ip)(at - n, n + len, &h) == PKT_DATA);
		if (pkt3_check(&peer, at - n + h.off, n + len - h.off, &body) != PKT3_OK) {
			CHECK(len == 0 && !o.address && !o.proto_len);
			continue;
		}
		h.off += body.off;
		if (!o.proto_len)
			continue;
		CHECK(pkt_ppp_parse(at - n + h.off, n + len - h.off, &ppp) == (len > 0));
		CHECK(!len || (ppp.proto == o.proto && h.off + ppp.data == n));
	}
	free(room);
}

/* What is built for the peer is what the peer takes from us. */
static void built(const struct dpt_config *c, const uint8_t *p, size_t len, bool udp)
{
	uint8_t *room = malloc(PKT3_HEAD_MAX + len), *at = room + PKT3_HEAD_MAX;
	const struct dpt_config peer = peer_of(c);
	struct pkt3_body body;
	struct pkt3_head h;
	size_t n;

	if (!room)
		return;
	memcpy(at, p, len);
	n = pkt3_build(at, c, udp, len & 1, (uint32_t)len * 65537u);
	CHECK(n <= PKT3_HEAD_MAX);
	CHECK((udp ? pkt3_parse_udp : pkt3_parse_ip)(at - n, n + len, &h) == PKT_DATA);
	CHECK(h.session == 0x01020304);
	CHECK(pkt3_check(&peer, at - n + h.off, n + len - h.off, &body) ==
	      (len < least(c) ? PKT3_SHORT : PKT3_OK));
	if (len >= least(c)) {
		CHECK(h.off + body.off == n);
		CHECK(body.has_seq == (c->l2spec && (len & 1)));
		CHECK(!body.has_seq || body.seq == ((uint32_t)len * 65537u & 0xffffff));
	}
	free(room);
}

static void message(const struct dpt_config *c, const uint8_t *p, size_t len, bool udp)
{
	struct pkt3_body body;
	struct pkt3_head h;

	if ((udp ? pkt3_parse_udp : pkt3_parse_ip)(p, len, &h) != PKT_DATA)
		return;
	CHECK(h.session != 0 && h.off == (udp ? 8 : 4) && h.off <= len);
	p += h.off;
	len -= h.off;
	/* a guess about any session at all: no more than what any reader needs is there */
	CHECK(!pkt3_ppp_control(p, len) || len >= 8 + 2);
	switch (pkt3_check(c, p, len, &body)) {
	case PKT3_OK:
		CHECK(memcmp(p, c->cookie_in, c->cookie_in_len) == 0);
		CHECK(body.off == c->cookie_in_len + (c->l2spec ? 4u : 0));
		CHECK(body.off + least(c) <= len && body.seq <= 0xffffff);
		if (c->kind == DPT_PPP3)
			break;
		frame(p + body.off, len - body.off);
		tags(p + body.off, len - body.off);
		break;
	case PKT3_COOKIE:
		CHECK(c->cookie_in_len && memcmp(p, c->cookie_in, c->cookie_in_len) != 0);
		break;
	case PKT3_SHORT:
		CHECK(len < c->cookie_in_len + (c->l2spec ? 4u : 0) + least(c));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rcur r = rcur_of(data, size);
	uint8_t flags = rcur_u8(&r), cookies = rcur_u8(&r);
	struct dpt_config c = { .kind = DPT_ETH, .remote_session3 = { 1, 2, 3, 4 } };
	uint8_t *copy;
	size_t n, at = 0;

	rcur_copy(&r, c.cookie_in, sizeof(c.cookie_in));
	n = rcur_left(&r);
	if (r.bad || n > MOST)
		return 0;
	if (flags & 16)
		c.kind = DPT_PPP3;
	c.l2spec = flags & 4 ? DP_L2SPEC_DEFAULT : DP_L2SPEC_NONE;
	c.cookie_in_len = (uint8_t)(4 * ((cookies & 15) % 3));
	c.cookie_out_len = (uint8_t)(4 * (cookies / 16 % 3));
	memcpy(c.cookie_out, c.cookie_in, sizeof(c.cookie_out));
	copy = malloc(n ? n : 1); /* of the exact size: reading beyond it is seen */
	if (!copy)
		return 0;
	memcpy(copy, r.p, n);
	if (flags & 8) {
		frame(copy, n);
		tags(copy, n);
		built(&c, copy, n, !(flags & 2));
		if (c.kind == DPT_PPP3)
			built_ppp(&c, copy, n, !(flags & 2));
	} else {
		if (flags & 1) {
			at = pkt3_ip4_payload(copy, n);
			CHECK(at < n || (at == 0 && n == 0));
		}
		message(&c, copy + at, n - at, !(flags & 3));
	}
	free(copy);
	return 0;
}
