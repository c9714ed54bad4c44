/* SPDX-License-Identifier: MIT
 *
 * Packets of the user-space plane: all shapes of the data header, PPP framing, checksums, the MSS
 * clamp at every option offset, ICMP answers, fragments, the guard against loops.
 */
#include "base/wire.h"
#include "dp/pkt.h"
#include "dp/pkt3.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static uint32_t rnd_state = 1;

static uint32_t rnd(uint32_t below)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(rnd_state >> 4) * below) >> 28);
}

/* ---- PPP over L2TPv3 ---- */

/* RFC 3931 4.1.2.1, 4.6, RFC 1661 6.5, 6.6; by hand. */
static void builds_v3(void **state)
{
	struct dpt_config c = { .kind = DPT_PPP3,
				.remote_session3 = { 0x80, 0x01, 0x02, 0x03 },
				.cookie_out = { 1, 2, 3, 4, 5, 6, 7, 8 },
				.cookie_out_len = 8 };
	struct pkt3_ppp o = { .address = true, .proto = PPP_IP4, .proto_len = 2 };
	uint8_t b[64];

	(void)state;
	assert_int_equal(pkt3_build_ppp(b + 40, &c, true, &o), 20);
	assert_memory_equal(b + 20, "\0\3\0\0\x80\1\2\3\1\2\3\4\5\6\7\x08\xff\3\0\x21", 20);
	c.l2spec = DP_L2SPEC_DEFAULT;
	c.cookie_out_len = 4;
	o = (struct pkt3_ppp){
		.has_seq = true, .seq = 0x01fffffe, .proto = PPP_IP6, .proto_len = 1
	};
	assert_int_equal(pkt3_build_ppp(b + 40, &c, true, &o), 17);
	assert_memory_equal(b + 23, "\0\3\0\0\x80\1\2\3\1\2\3\4\x40\xff\xff\xfe\x57", 17);
	c.cookie_out_len = 0;
	o = (struct pkt3_ppp){ .proto_len = 0 };
	assert_int_equal(pkt3_build_ppp(b + 40, &c, true, &o), 12);
	assert_memory_equal(b + 28, "\0\3\0\0\x80\1\2\3\0\0\0\0", 12);
}

/* What comes before there is a row: only PPP's negotiation, behind a cookie of 64 bits. */
static void early_frames_of_v3(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool control;
	} cases[] = {
		{ "ABCDEFGH\xff\x03\xc0\x21\1\1\0\4", 16, true },
		{ "ABCDEFGH\x80\x21\1\1\0\4", 14, true },
		{ "ABCDEFGH\0\0\0\0\xff\x03\xc2\x23\1\1\0\4", 20, true },
		{ "ABCDEFGH\xff\x03\0\x21\x45\0\0\x14", 16, false },
		{ "ABCDEFGH\xff\x03\xc0\x22\1\1\0\4", 16, false },
		{ "ABCDEFGH\xff\x03", 10, false },
		{ "ABCDEFGH", 8, false },
		{ "", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *copy = malloc(cases[i].n ? cases[i].n : 1); /* for the sanitizer */

		assert_non_null(copy);
		memcpy(copy, cases[i].bytes, cases[i].n);
		assert_int_equal(pkt3_ppp_control(copy, cases[i].n), cases[i].control);
		free(copy);
	}
}

/* A frame of one octet is one; cookie and session decide before anything else. */
static void checks_v3(void **state)
{
	struct dpt_config c = { .kind = DPT_PPP3, .cookie_in_len = 8, .cookie_in = "ABCDEFG" };
	struct pkt3_body body;

	(void)state;
	c.cookie_in[7] = 'H';
	assert_int_equal(pkt3_check(&c, (const uint8_t *)"ABCDEFGHx", 9, &body), PKT3_OK);
	assert_int_equal(body.off, 8);
	assert_int_equal(pkt3_check(&c, (const uint8_t *)"ABCDEFGH", 8, &body), PKT3_SHORT);
	assert_int_equal(pkt3_check(&c, (const uint8_t *)"ABCDEFGIx", 9, &body), PKT3_COOKIE);
	c.kind = DPT_ETH;
	assert_int_equal(pkt3_check(&c, (const uint8_t *)"ABCDEFGHx", 9, &body), PKT3_SHORT);
}

/* ---- L2TP ---- */

/* RFC 2661 3.1, built independently of the code under test. */
static size_t head(uint8_t *b, bool l, bool s, bool o, uint16_t pad, uint16_t length)
{
	struct wcur c = wcur_of(b, 400);

	wcur_u16(&c, (uint16_t)((l ? 0x4000 : 0) | (s ? 0x0800 : 0) | (o ? 0x0200 : 0) | 2));
	if (l)
		wcur_u16(&c, length);
	wcur_u16(&c, 0x1234);
	wcur_u16(&c, 0x5678);
	if (s) {
		wcur_u16(&c, 99);
		wcur_u16(&c, 0xdead);
	}
	if (o) {
		wcur_u16(&c, pad);
		for (unsigned int i = 0; i < pad; i++)
			wcur_u8(&c, 0xee);
	}
	return c.len;
}

static void all_eight_shapes_of_the_header(void **state)
{
	static const uint16_t pads[] = { 0, 2, 7, 64 };

	for (unsigned int shape = 0; shape < 8; shape++) {
		for (unsigned int p = 0; p < (shape & 4 ? 4u : 1u); p++) {
			uint8_t b[500];
			struct pkt_head h;
			size_t n = head(b, shape & 1, shape & 2, shape & 4, pads[p], 0),
			       len = n + 10;

			head(b, shape & 1, shape & 2, shape & 4, pads[p], (uint16_t)len);
			assert_int_equal(pkt_head_parse(b, len, &h), PKT_DATA);
			assert_int_equal(h.tunnel, 0x1234);
			assert_int_equal(h.session, 0x5678);
			assert_int_equal(h.has_seq, (shape & 2) != 0);
			if (shape & 2)
				assert_int_equal(h.ns, 99);
			assert_int_equal(h.off, n);
			assert_int_equal(h.len, 10);
			for (size_t cut = 0; cut < n; cut++)
				assert_int_equal(pkt_head_parse(b, cut, &h), PKT_BAD);
			b[0] |= 0x35; /* reserved bits and P are ignored */
			b[1] |= 0xf0;
			b[0] &= (uint8_t)~0x02; /* but for O, which changes the shape */
			if (!(shape & 4))
				assert_int_equal(pkt_head_parse(b, len, &h), PKT_DATA);
		}
	}
}

static void lengths_and_offsets_out_of_range(void **state)
{
	uint8_t b[500];
	struct pkt_head h;
	size_t n;

	head(b, true, false, false, 0, 25); /* datagram of 20 */
	assert_int_equal(pkt_head_parse(b, 20, &h), PKT_BAD);
	head(b, true, false, false, 0, 21);
	assert_int_equal(pkt_head_parse(b, 20, &h), PKT_BAD);
	head(b, true, false, false, 0, 16); /* padding behind */
	assert_int_equal(pkt_head_parse(b, 20, &h), PKT_DATA);
	assert_int_equal(h.len, 8);
	head(b, true, false, false, 0, 8);
	assert_int_equal(pkt_head_parse(b, 20, &h), PKT_DATA);
	assert_int_equal(h.len, 0);
	for (uint16_t length = 0; length < 8; length++) {
		head(b, true, false, false, 0, length);
		assert_int_equal(pkt_head_parse(b, 20, &h), PKT_BAD);
	}
	n = head(b, false, false, true, 0, 0);
	b[n - 2] = 0xff; /* offset size 0xff00 and beyond */
	assert_int_equal(pkt_head_parse(b, 20, &h), PKT_BAD);
	b[n - 2] = 0;
	b[n - 1] = (uint8_t)(20 - n);
	assert_int_equal(pkt_head_parse(b, 20, &h), PKT_DATA);
	assert_int_equal(h.len, 0);
	b[n - 1]++;
	assert_int_equal(pkt_head_parse(b, 20, &h), PKT_BAD);
	n = head(b, true, false, true, 4, 12); /* the offset reaches beyond Length */
	assert_int_equal(pkt_head_parse(b, 40, &h), PKT_BAD);
	for (uint8_t version = 0; version < 16; version++) {
		head(b, false, false, false, 0, 0);
		b[1] = version;
		assert_int_equal(pkt_head_parse(b, 20, &h), version == 2 ? PKT_DATA : PKT_BAD);
		b[0] |= 0x80;
		assert_int_equal(pkt_head_parse(b, 20, &h), PKT_CONTROL);
	}
}

static void what_is_built_is_parsed(void **state)
{
	for (unsigned int i = 0; i < 64; i++) {
		uint8_t b[100] = { 0 }, *frame = b + 40;
		struct pkt_out o = { .tunnel = 7,
				     .session = 8,
				     .length = i & 1,
				     .priority = i & 2,
				     .seq = i & 4,
				     .ns = 1000,
				     .address = i & 8,
				     .proto = PPP_IP4,
				     .proto_len = (uint8_t)(i >> 4) };
		struct pkt_head h;
		struct pkt_ppp ppp;
		size_t n;

		if (o.proto_len == 3)
			continue;
		frame[0] = o.proto_len ? 0x45 : 0xc0;
		frame[1] = 0x21;
		n = pkt_head_build(frame, 20, &o);
		assert_true(n <= PKT_HEAD_MAX);
		assert_int_equal(frame[-(int)n] & 0x34, 0); /* reserved bits */
		assert_int_equal(frame[-(int)n + 1], 2);
		assert_int_equal(!!(frame[-(int)n] & 1), o.priority);
		assert_int_equal(pkt_head_parse(frame - n, n + 20, &h), PKT_DATA);
		assert_int_equal(h.tunnel, 7);
		assert_int_equal(h.session, 8);
		assert_int_equal(h.has_seq, o.seq);
		assert_int_equal(h.off + h.len, n + 20);
		assert_true(pkt_ppp_parse(frame - n + h.off, h.len, &ppp));
		assert_int_equal(ppp.proto, o.proto_len ? PPP_IP4 : 0xc021);
		assert_int_equal(ppp.off, o.address ? 2 : 0);
		if (o.proto_len)
			assert_ptr_equal(frame - n + h.off + ppp.data, frame);
	}
}

static void ppp_frames(void **state)
{
	static const struct {
		uint8_t bytes[6];
		size_t len;
		bool ok;
		uint16_t proto;
		size_t off, data;
	} t[] = {
		{ { 0xff, 0x03, 0x00, 0x21, 0x45 }, 5, true, 0x21, 2, 4 },
		{ { 0x00, 0x21, 0x45 }, 3, true, 0x21, 0, 2 },
		{ { 0x21, 0x45 }, 2, true, 0x21, 0, 1 },
		{ { 0xff, 0x03, 0x57, 0x60 }, 4, true, 0x57, 2, 3 },
		{ { 0xc0, 0x21, 0x09 }, 3, true, 0xc021, 0, 2 },
		{ { 0xff, 0x03, 0xc0, 0x21 }, 4, false, 0, 0, 0 },
		{ { 0xff, 0x03 }, 2, false, 0, 0, 0 },
		{ { 0xff }, 1, false, 0, 0, 0 },
		{ { 0xff, 0x21, 0x45 }, 3, false, 0, 0, 0 },
		{ { 0x21 }, 1, false, 0, 0, 0 },
		{ { 0x00 }, 1, false, 0, 0, 0 },
		{ { 0x00, 0x20, 0x45 }, 3, false, 0, 0, 0 },
		{ { 0 }, 0, false, 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct pkt_ppp p;
		bool ok = pkt_ppp_parse(t[i].bytes, t[i].len, &p);

		assert_int_equal(ok, t[i].ok);
		if (!ok)
			continue;
		assert_int_equal(p.proto, t[i].proto);
		assert_int_equal(p.off, t[i].off);
		assert_int_equal(p.data, t[i].data);
	}
}

/* ---- IP ---- */

static uint16_t naive_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void checksums(void **state)
{
	static const uint8_t rfc1071[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	assert_int_equal(pkt_checksum(rfc1071, 8, 0), (uint16_t)~0xddf2);
	for (int i = 0; i < 2000; i++) {
		uint8_t b[300];
		size_t n = rnd(sizeof(b) + 1);
		uint32_t start = rnd(0x10000);

		for (size_t k = 0; k < n; k++)
			b[k] = (uint8_t)(rnd(4) ? rnd(256) : 0xff);
		assert_int_equal(pkt_checksum(b, n, start), naive_sum(b, n, start));
	}
}

/* An IPv4 packet; `head_len` octets of header, the options zero. */
static size_t ip4(uint8_t *b, size_t head_len, uint8_t proto, const uint8_t *body, size_t n)
{
	memset(b, 0, head_len);
	b[0] = (uint8_t)(0x40 | head_len / 4);
	b[2] = (uint8_t)((head_len + n) >> 8);
	b[3] = (uint8_t)(head_len + n);
	b[5] = 0x77;
	b[8] = 61;
	b[9] = proto;
	memcpy(b + 12, (uint8_t[]){ 10, 0, 0, 1, 192, 0, 2, 9 }, 8);
	if (n)
		memcpy(b + head_len, body, n);
	b[10] = b[11] = 0;
	uint16_t sum = naive_sum(b, head_len, 0);
	b[10] = (uint8_t)(sum >> 8);
	b[11] = (uint8_t)sum;
	return head_len + n;
}

static size_t ip6(uint8_t *b, uint8_t next, const uint8_t *body, size_t n)
{
	memset(b, 0, 40);
	b[0] = 0x60;
	b[4] = (uint8_t)(n >> 8);
	b[5] = (uint8_t)n;
	b[6] = next;
	b[7] = 64;
	b[8] = b[24] = 0x20;
	b[9] = b[25] = 0x01;
	b[23] = 1;
	b[39] = 2;
	if (n)
		memcpy(b + 40, body, n);
	return 40 + n;
}

static uint32_t pseudo(const uint8_t *p, const struct pkt_ip *ip)
{
	uint32_t sum = ip->proto + (uint32_t)(ip->len - ip->transport);

	for (unsigned int i = 0; i < (ip->version == 4 ? 4u : 16u); i += 2)
		sum += (uint32_t)(ip->src[i] << 8 | ip->src[i + 1]) +
		       (uint32_t)(ip->dst[i] << 8 | ip->dst[i + 1]);
	return sum;
}

/* Zero when the transport checksum is right. */
static uint16_t transport_sum(const uint8_t *p, const struct pkt_ip *ip)
{
	return naive_sum(p + ip->transport, ip->len - ip->transport, pseudo(p, ip));
}

static void ip_headers(void **state)
{
	uint8_t b[200], body[100] = { 0 };
	struct pkt_ip ip;
	size_t n = ip4(b, 24, 17, body, 30);

	assert_true(pkt_ip_parse(b, n + 7, 4, &ip)); /* with padding behind */
	assert_int_equal(ip.len, n);
	assert_int_equal(ip.transport, 24);
	assert_int_equal(ip.proto, 17);
	assert_memory_equal(ip.dst, ((uint8_t[]){ 192, 0, 2, 9 }), 4);
	assert_false(pkt_ip_parse(b, n, 6, &ip));
	assert_false(pkt_ip_parse(b, n - 1, 4, &ip));
	for (size_t cut = 0; cut < n; cut++)
		assert_false(pkt_ip_parse(b, cut, 4, &ip));
	b[0] = 0x44; /* a header of 16 octets */
	assert_false(pkt_ip_parse(b, n, 4, &ip));
	b[0] = 0x4f; /* longer than the packet */
	assert_false(pkt_ip_parse(b, n, 4, &ip));

	/* hop-by-hop 16 octets, routing 8, destination 8, then TCP */
	body[0] = 43;
	body[1] = 1;
	body[16] = 60;
	body[24] = 6;
	n = ip6(b, 0, body, 60);
	assert_true(pkt_ip_parse(b, n, 6, &ip));
	assert_int_equal(ip.proto, 6);
	assert_int_equal(ip.transport, 40 + 32);
	assert_false(ip.later_fragment);
	/* a later fragment has no transport header */
	memset(body, 0, sizeof(body));
	body[0] = 6;
	body[2] = 1;
	n = ip6(b, 44, body, 60);
	assert_true(pkt_ip_parse(b, n, 6, &ip));
	assert_true(ip.later_fragment);
	/* an extension header that reaches beyond the packet is where we stop */
	body[0] = 6;
	body[1] = 255;
	n = ip6(b, 0, body, 60);
	assert_true(pkt_ip_parse(b, n, 6, &ip));
	assert_int_equal(ip.proto, 0);
	b[5] = 0; /* jumbogram */
	assert_false(pkt_ip_parse(b, n, 6, &ip));
	assert_true(pkt_ip6_local((uint8_t[16]){ 0xff, 2 }));
	assert_true(pkt_ip6_local((uint8_t[16]){ 0xfe, 0x80 }));
	assert_false(pkt_ip6_local((uint8_t[16]){ 0xfe, 0xc0 }));
	assert_false(pkt_ip6_local((uint8_t[16]){ 0x20, 1 }));
}

/* A TCP header with the MSS option after `pad` NOPs; returns its length. */
static size_t tcp(uint8_t *b, unsigned int pad, uint16_t mss, uint8_t flags)
{
	size_t n = (20 + pad + 4 + 3) & ~(size_t)3;

	for (size_t i = 0; i < 60; i++)
		b[i] = (uint8_t)rnd(256);
	b[12] = (uint8_t)(n / 4 << 4);
	b[13] = flags;
	memset(b + 20, 1, n - 20);
	b[20 + pad] = 2;
	b[21 + pad] = 4;
	b[22 + pad] = (uint8_t)(mss >> 8);
	b[23 + pad] = (uint8_t)mss;
	return n;
}

static void clamp_once(uint8_t version, unsigned int pad, uint16_t mss, uint16_t to)
{
	uint8_t b[200], seg[60];
	size_t t = tcp(seg, pad, mss, 0x02), n;
	struct pkt_ip ip;
	uint16_t sum;
	uint8_t *at;

	n = version == 4 ? ip4(b, 20 + 4 * rnd(3), 6, seg, t) : ip6(b, 6, seg, t);
	assert_true(pkt_ip_parse(b, n, version, &ip));
	at = b + ip.transport + 22 + pad;
	b[ip.transport + 16] = b[ip.transport + 17] = 0;
	sum = transport_sum(b, &ip);
	b[ip.transport + 16] = (uint8_t)(sum >> 8);
	b[ip.transport + 17] = (uint8_t)sum;
	assert_int_equal(transport_sum(b, &ip), 0);
	assert_int_equal(pkt_mss_clamp(b, &ip, to), mss > to);
	assert_int_equal(at[0] << 8 | at[1], mss > to ? to : mss);
	assert_int_equal(transport_sum(b, &ip), 0);
}

static void mss_at_every_offset(void **state)
{
	for (unsigned int pad = 0; pad <= 36; pad++) {
		for (int i = 0; i < 60; i++) {
			clamp_once(4, pad, (uint16_t)rnd(65536), (uint16_t)(1 + rnd(65535)));
			clamp_once(6, pad, (uint16_t)rnd(65536), (uint16_t)(1 + rnd(65535)));
		}
		clamp_once(4, pad, 1460, 1406);
		clamp_once(6, pad, 1440, 1386);
	}
}

static bool clamps(uint8_t *seg, size_t t)
{
	uint8_t b[200], before[200];
	size_t n = ip4(b, 20, 6, seg, t);
	struct pkt_ip ip;
	bool changed;

	memcpy(before, b, n);
	assert_true(pkt_ip_parse(b, n, 4, &ip));
	changed = pkt_mss_clamp(b, &ip, 100);
	if (!changed)
		assert_memory_equal(b, before, n);
	return changed;
}

static void what_is_no_syn_stays(void **state)
{
	uint8_t seg[60], b[200];
	size_t t = tcp(seg, 0, 1460, 0x02), n;
	struct pkt_ip ip;

	assert_true(clamps(seg, t));
	seg[13] = 0x10;
	assert_false(clamps(seg, t));
	seg[13] = 0x12;
	assert_true(clamps(seg, t));
	assert_false(clamps(seg, 19));
	assert_false(clamps(seg, 23)); /* shorter than its own header */
	seg[21] = 3;		       /* a wrong length */
	assert_false(clamps(seg, t));
	seg[21] = 0;
	assert_false(clamps(seg, t));
	seg[20] = 0; /* end of options */
	seg[21] = 4;
	assert_false(clamps(seg, t));
	seg[20] = 9;
	seg[21] = 200;
	assert_false(clamps(seg, t));
	tcp(seg, 0, 1460, 0x02);
	n = ip4(b, 20, 6, seg, t);
	b[7] = 5; /* a later fragment */
	assert_true(pkt_ip_parse(b, n, 4, &ip));
	assert_false(pkt_mss_clamp(b, &ip, 100));
	b[7] = 0;
	assert_true(pkt_ip_parse(b, n, 4, &ip));
	assert_false(pkt_mss_clamp(b, &ip, 0)); /* 0: do not */
}

/* ---- ICMP ---- */

static void too_big_is_answered(void **state)
{
	uint8_t b[1600], body[1500], out[PKT_ICMP_MAX];
	struct pkt_ip ip, answer;
	size_t n;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)i;
	n = ip4(b, 20, 17, body, 1450);
	b[6] = 0x40;
	assert_true(pkt_ip_parse(b, n, 4, &ip));
	n = pkt_too_big(b, &ip, 1400, out);
	assert_int_equal(n, 576);
	assert_true(pkt_ip_parse(out, n, 4, &answer));
	assert_int_equal(answer.len, n);
	assert_int_equal(answer.proto, 1);
	assert_memory_equal(answer.src, ip.dst, 4);
	assert_memory_equal(answer.dst, ip.src, 4);
	assert_int_equal(naive_sum(out, 20, 0), 0);
	assert_int_equal(naive_sum(out + 20, n - 20, 0), 0);
	assert_memory_equal(out + 20, ((uint8_t[]){ 3, 4 }), 2);
	assert_memory_equal(out + 24, ((uint8_t[]){ 0, 0, 1400 >> 8, 1400 & 255 }), 4);
	assert_memory_equal(out + 28, b, 576 - 28);

	n = ip6(b, 17, body, 1450);
	assert_true(pkt_ip_parse(b, n, 6, &ip));
	n = pkt_too_big(b, &ip, 1300, out);
	assert_int_equal(n, 1280);
	assert_true(pkt_ip_parse(out, n, 6, &answer));
	assert_int_equal(answer.proto, 58);
	assert_memory_equal(answer.src, ip.dst, 16);
	assert_memory_equal(answer.dst, ip.src, 16);
	assert_int_equal(transport_sum(out, &answer), 0);
	assert_memory_equal(out + 40, ((uint8_t[]){ 2, 0 }), 2);
	assert_memory_equal(out + 44, ((uint8_t[]){ 0, 0, 1300 >> 8, 1300 & 255 }), 4);
	assert_memory_equal(out + 48, b, 1280 - 48);

	/* a short one is quoted whole */
	n = ip4(b, 20, 17, body, 100);
	assert_true(pkt_ip_parse(b, n, 4, &ip));
	assert_int_equal(pkt_too_big(b, &ip, 68, out), 20 + 8 + 120);
}

static bool answered4(void (*change)(uint8_t *b), uint8_t proto, uint8_t first)
{
	uint8_t b[300], body[200] = { first }, out[PKT_ICMP_MAX];
	size_t n = ip4(b, 20, proto, body, 200);
	struct pkt_ip ip;

	if (change)
		change(b);
	assert_true(pkt_ip_parse(b, n, 4, &ip));
	return pkt_too_big(b, &ip, 100, out) != 0;
}

static void later(uint8_t *b)
{
	b[7] = 3;
}
static void from_nobody(uint8_t *b)
{
	b[12] = 0;
}
static void from_multicast(uint8_t *b)
{
	b[12] = 224;
}
static void to_multicast(uint8_t *b)
{
	b[16] = 239;
}
static void to_all(uint8_t *b)
{
	memset(b + 16, 255, 4);
}

static void who_gets_no_icmp(void **state)
{
	uint8_t b[300], body[200] = { 1 }, out[PKT_ICMP_MAX];
	struct pkt_ip ip;
	size_t n;

	assert_true(answered4(NULL, 17, 0));
	assert_true(answered4(NULL, 1, 8));
	assert_true(answered4(NULL, 1, 0));
	assert_false(answered4(NULL, 1, 3));
	assert_false(answered4(NULL, 1, 11));
	assert_false(answered4(later, 17, 0));
	assert_false(answered4(from_nobody, 17, 0));
	assert_false(answered4(from_multicast, 17, 0));
	assert_false(answered4(to_multicast, 17, 0));
	assert_false(answered4(to_all, 17, 0));

	n = ip6(b, 58, body, 200);
	assert_true(pkt_ip_parse(b, n, 6, &ip));
	assert_int_equal(pkt_too_big(b, &ip, 100, out), 0);
	b[40] = 128;
	assert_int_not_equal(pkt_too_big(b, &ip, 100, out), 0);
	memset(b + 8, 0, 16);
	assert_int_equal(pkt_too_big(b, &ip, 100, out), 0);
	b[8] = 0xff;
	assert_int_equal(pkt_too_big(b, &ip, 100, out), 0);
}

/* ---- fragments ---- */

static void fragments_make_up_the_whole(void **state)
{
	for (int i = 0; i < 500; i++) {
		uint8_t b[4000], body[3500], whole[4000] = { 0 }, f[4000];
		size_t options = 4 * rnd(6), n, pos = 0, k, got = 0, count = 0;
		uint16_t mtu = (uint16_t)(68 + rnd(1500)), at = (uint16_t)rnd(100);
		bool more = rnd(2), last_more = false;
		struct pkt_ip ip, piece;

		for (k = 0; k < sizeof(body); k++)
			body[k] = (uint8_t)rnd(256);
		n = ip4(b, 20 + options, 17, body, 1 + rnd(3400));
		for (k = 0; k < options; k += 4) /* one copied, one not, in turn */
			memcpy(b + 20 + k, (uint8_t[]){ k & 4 ? 0x44 : 0x94, 4, 1, 2 }, 4);
		b[6] = (uint8_t)(more ? 0x20 : 0);
		b[7] = (uint8_t)at; /* it may be a fragment itself */
		assert_true(pkt_ip_parse(b, n, 4, &ip));
		while ((k = pkt_fragment(b, &ip, mtu, &pos, f)) != 0) {
			size_t off, data;

			assert_true(k <= mtu);
			assert_true(pkt_ip_parse(f, k, 4, &piece));
			assert_int_equal(piece.len, k);
			assert_int_equal(naive_sum(f, piece.transport, 0), 0);
			assert_memory_equal(f + 12, b + 12, 8);
			assert_memory_equal(f + 4, b + 4, 2);
			for (size_t q = 20; count && q < piece.transport && f[q]; q += 4)
				assert_int_equal(f[q], 0x94);
			off = ((f[6] & 0x1f) << 8 | f[7]) - (size_t)at;
			data = k - piece.transport;
			assert_int_equal(off * 8, got);
			memcpy(whole + off * 8, f + piece.transport, data);
			got += data;
			last_more = f[6] & 0x20;
			assert_true(last_more || pos == ip.len - ip.transport);
			count++;
		}
		assert_int_equal(got, ip.len - ip.transport);
		assert_memory_equal(whole, b + ip.transport, got);
		assert_int_equal(last_more, more);
	}
}

static void a_header_without_room_gives_no_fragment(void **state)
{
	uint8_t b[300], body[200] = { 0 }, f[300];
	size_t n = ip4(b, 60, 17, body, 200), pos = 0;
	struct pkt_ip ip;

	assert_true(pkt_ip_parse(b, n, 4, &ip));
	assert_true(pkt_may_fragment(b, &ip));
	assert_int_equal(pkt_fragment(b, &ip, 67, &pos, f), 0);
	b[6] = 0x40;
	assert_false(pkt_may_fragment(b, &ip));
}

/* ---- loops ---- */

/* Put a packet into L2TP data in UDP in IPv4, from `port`. */
static size_t wrap(uint8_t *b, size_t n, uint16_t port)
{
	uint8_t body[2000] = { (uint8_t)(port >> 8), (uint8_t)port, 0x06, 0xa5 }, copy[2000];
	struct pkt_out o = {
		.tunnel = 1, .session = 2, .address = true, .proto = 0x21, .proto_len = 2
	};
	size_t head_len;

	memcpy(copy + 100, b, n);
	head_len = pkt_head_build(copy + 100, n, &o);
	memcpy(body + 8, copy + 100 - head_len, head_len + n);
	return ip4(b, 20, 17, body, 8 + head_len + n);
}

static void nested_packets_of_our_own_are_counted(void **state)
{
	static const uint16_t ports[] = { 1701, 4000 };
	uint8_t b[2000], body[10] = { 0 };
	size_t n = ip4(b, 20, 6, body, 10);

	assert_int_equal(pkt_own_depth(b, n, ports, 2), 0);
	n = wrap(b, n, 1701);
	assert_int_equal(pkt_own_depth(b, n, ports, 2), 1);
	n = wrap(b, n, 4000);
	assert_int_equal(pkt_own_depth(b, n, ports, 2), 2);
	assert_int_equal(pkt_own_depth(b, n, ports, 1), 0);
	n = wrap(b, n, 1701);
	assert_int_equal(pkt_own_depth(b, n, ports, 2), 3);
	n = wrap(b, n, 55);
	assert_int_equal(pkt_own_depth(b, n, ports, 2), 0);
	for (size_t cut = 0; cut < n; cut++)
		pkt_own_depth(b, cut, ports, 2);
	b[0] = 0;
	assert_int_equal(pkt_own_depth(b, n, ports, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builds_v3),
		cmocka_unit_test(early_frames_of_v3),
		cmocka_unit_test(checks_v3),
		cmocka_unit_test(all_eight_shapes_of_the_header),
		cmocka_unit_test(lengths_and_offsets_out_of_range),
		cmocka_unit_test(what_is_built_is_parsed),
		cmocka_unit_test(ppp_frames),
		cmocka_unit_test(checksums),
		cmocka_unit_test(ip_headers),
		cmocka_unit_test(mss_at_every_offset),
		cmocka_unit_test(what_is_no_syn_stays),
		cmocka_unit_test(too_big_is_answered),
		cmocka_unit_test(who_gets_no_icmp),
		cmocka_unit_test(fragments_make_up_the_whole),
		cmocka_unit_test(a_header_without_room_gives_no_fragment),
		cmocka_unit_test(nested_packets_of_our_own_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
