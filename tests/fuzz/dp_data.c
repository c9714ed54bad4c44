/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: packets as the forwarding thread sees them, both ways.
 *
 * drives: src/dp/pkt.c src/dp/join.c src/dp/cut.c
 *
 * Input: one octet of flags (1: an IP packet from the device, else a UDP payload; 2: packets of a
 * session to be joined, each with its length in two octets before it; 4: a packet from a device
 * with offloads, its vnet header in ten octets before it), the MTU and the MSS in two octets each,
 * then the packet. It is an error when a length points outside the packet, when a header that is
 * built does not come back, when a clamp spoils a checksum that was right, when an ICMP answer or a
 * fragment is not a proper packet or larger than allowed, when fragments do not make up the whole,
 * when a segment with a wrong checksum is joined or what is joined is not the octets that came, or
 * when segments do not make up the packet they are cut from.
 */
#include <stdlib.h>
#include <netinet/in.h>
#include "base/wire.h"
#include "dp/cut.h"
#include "dp/join.h"
#include "dp/pkt.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define MOST 10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The sum over pseudo header and transport; 0 when the checksum is right. */
static uint16_t transport_sum(const uint8_t *p, const struct pkt_ip *ip)
{
	size_t octets = ip->version == 4 ? 4 : 16, n = ip->len - ip->transport;
	uint32_t sum = (uint32_t)(ip->proto + (n & 0xffff) + (n >> 16));

	for (size_t i = 0; i < octets; i += 2)
		sum += (uint32_t)(ip->src[i] << 8 | ip->src[i + 1]) +
		       (uint32_t)(ip->dst[i] << 8 | ip->dst[i + 1]);
	return pkt_checksum(p + ip->transport, n, sum);
}

static void check_ip(const uint8_t *p, size_t len, const struct pkt_ip *ip)
{
	CHECK(ip->len <= len);
	CHECK(ip->transport <= ip->len);
	CHECK(ip->src >= p && ip->dst + (ip->version == 4 ? 4 : 16) <= p + ip->len);
}

static void clamp(uint8_t *p, const struct pkt_ip *ip, uint16_t mss)
{
	bool right = ip->len - ip->transport >= 20 && transport_sum(p, ip) == 0;

	if (pkt_mss_clamp(p, ip, mss)) {
		CHECK(ip->proto == IPPROTO_TCP && mss);
		CHECK(!right || transport_sum(p, ip) == 0 || transport_sum(p, ip) == 0xffff);
		CHECK(!pkt_mss_clamp(p, ip, mss));
	}
}

static void icmp(const uint8_t *p, const struct pkt_ip *ip, uint16_t mtu)
{
	uint8_t out[PKT_ICMP_MAX];
	struct pkt_ip answer;
	size_t n = pkt_too_big(p, ip, mtu, out);

	if (!n)
		return;
	CHECK(n <= (ip->version == 4 ? 576u : 1280u));
	CHECK(pkt_ip_parse(out, n, ip->version, &answer));
	CHECK(answer.len == n);
	if (ip->version == 4)
		CHECK(pkt_checksum(out, 20, 0) == 0 && pkt_checksum(out + 20, n - 20, 0) == 0);
	else
		CHECK(transport_sum(out, &answer) == 0);
}

static void fragments(const uint8_t *p, const struct pkt_ip *ip, uint16_t mtu)
{
	static uint8_t out[65536];
	size_t pos = 0, n, got = 0;

	if (!pkt_may_fragment(p, ip) || mtu < 68)
		return;
	while ((n = pkt_fragment(p, ip, mtu, &pos, out)) != 0) {
		struct pkt_ip piece;

		CHECK(n <= mtu);
		CHECK(pkt_ip_parse(out, n, 4, &piece));
		CHECK(pkt_checksum(out, piece.transport, 0) == 0);
		CHECK(memcmp(out + piece.transport, p + ip->transport + got, n - piece.transport) ==
		      0);
		got += n - piece.transport;
	}
	/* One whose end lies beyond what offsets can say is not cut at all. */
	if (((size_t)(p[6] & 0x1f) << 8 | p[7]) * 8 + ip->len - ip->transport > 65535)
		CHECK(got == 0);
	else
		CHECK(got == ip->len - ip->transport);
}

static void up(uint8_t *p, size_t len, uint16_t mss)
{
	static const uint8_t payload[4] = { 1, 2, 3, 4 };
	uint8_t room[PKT_HEAD_MAX + 4], *frame = room + PKT_HEAD_MAX;
	struct pkt_head h, again;
	struct pkt_ppp ppp;
	struct pkt_ip ip;
	struct pkt_out o = { .address = true, .proto = PPP_IP6, .proto_len = 2 };
	size_t n;

	if (pkt_head_parse(p, len, &h) != PKT_DATA)
		return;
	CHECK(h.off <= len && h.len <= len - h.off);
	o.tunnel = h.tunnel;
	o.session = h.session;
	o.seq = h.has_seq;
	o.ns = h.ns;
	o.length = len & 1;
	memcpy(frame, payload, 4);
	n = pkt_head_build(frame, 4, &o);
	CHECK(n <= PKT_HEAD_MAX);
	CHECK(pkt_head_parse(frame - n, n + 4, &again) == PKT_DATA);
	CHECK(again.tunnel == h.tunnel && again.session == h.session);
	CHECK(again.has_seq == h.has_seq && again.ns == h.ns && again.len == 8);
	p += h.off;
	if (!pkt_ppp_parse(p, h.len, &ppp))
		return;
	CHECK(ppp.off < ppp.data && ppp.data < h.len);
	if (ppp.proto != PPP_IP4 && ppp.proto != PPP_IP6)
		return;
	if (!pkt_ip_parse(p + ppp.data, h.len - ppp.data, ppp.proto == PPP_IP4 ? 4 : 6, &ip))
		return;
	check_ip(p + ppp.data, h.len - ppp.data, &ip);
	clamp(p + ppp.data, &ip, mss);
}

static void down(uint8_t *p, size_t len, uint16_t mtu, uint16_t mss)
{
	static const uint16_t ports[] = { 1701, 0x3131 };
	struct pkt_ip ip;

	pkt_own_depth(p, len, ports, 2);
	if (!len || !pkt_ip_parse(p, len, p[0] >> 4, &ip))
		return;
	check_ip(p, len, &ip);
	pkt_ip6_local(ip.dst - (ip.version == 4 ? 12 : 0));
	clamp(p, &ip, mss);
	icmp(p, &ip, mtu);
	fragments(p, &ip, mtu);
}

/* ---- joining ---- */

static void joined(struct join *j, const uint8_t *payloads, size_t n)
{
	size_t got = 0;
	struct pkt_ip ip;
	uint8_t *whole;
	int iovs;

	join_finish(j, &iovs);
	CHECK(iovs == (int)j->count + 1 && j->iov[0].iov_len == sizeof(j->vnet));
	whole = malloc(j->len);
	if (!whole)
		return;
	for (int i = 1; i < iovs; i++) {
		CHECK(got + j->iov[i].iov_len <= j->len);
		memcpy(whole + got, j->iov[i].iov_base, j->iov[i].iov_len);
		got += j->iov[i].iov_len;
	}
	CHECK(got == j->len);
	CHECK(pkt_ip_parse(whole, got, j->first.version, &ip) && ip.len == got);
	CHECK(got - j->first.head == n && memcmp(whole + j->first.head, payloads, n) == 0);
	CHECK((j->count > 1) == (j->vnet.gso_type != 0));
	if (j->count > 1) {
		CHECK(j->vnet.csum_start == ip.transport && j->vnet.hdr_len == j->first.head);
		CHECK(cut_checksum(whole, got, &j->vnet) && transport_sum(whole, &ip) == 0);
		CHECK(ip.version == 6 || pkt_checksum(whole, 20, 0) == 0);
	}
	free(whole);
}

static void segments(uint8_t *p, size_t len, bool mend)
{
	static struct join j;
	static uint8_t payloads[65536 + MOST];
	size_t n = 0;
	bool open = false;

	while (len >= 2) {
		size_t one = (size_t)p[0] << 8 | p[1];
		struct join_seg s;
		struct pkt_ip ip;
		bool can;

		p += 2;
		len -= 2;
		if (one > len)
			one = len;
		can = one && pkt_ip_parse(p, one, p[0] >> 4, &ip) && join_parse(p, &ip, &s);
		if (can && mend) { /* a fuzzer does not find checksums */
			uint16_t sum;

			if (s.version == 4) {
				memset(p + 10, 0, 2);
				sum = pkt_checksum(p, 20, 0);
				p[10] = (uint8_t)(sum >> 8);
				p[11] = (uint8_t)sum;
			}
			memset(p + s.transport + 16, 0, 2);
			sum = transport_sum(p, &ip);
			p[s.transport + 16] = (uint8_t)(sum >> 8);
			p[s.transport + 17] = (uint8_t)sum;
		}
		if (can && open && join_same_flow(&j, 1, &s) && join_add(&j, &s)) {
			CHECK(transport_sum(p, &ip) == 0);
			memcpy(payloads + n, p + s.head, s.payload);
			n += s.payload;
		} else {
			if (open)
				joined(&j, payloads, n);
			open = can && join_opens(&s);
			if (open) {
				join_begin(&j, 0, 1, &s);
				memcpy(payloads, p + s.head, s.payload);
				n = s.payload;
			}
		}
		p += one;
		len -= one;
	}
	if (open)
		joined(&j, payloads, n);
}

/* ---- cutting ---- */

static void from_device(uint8_t *p, size_t len)
{
	static uint8_t out[65536];
	struct virtio_net_hdr v;
	const uint8_t *payload;
	struct pkt_ip ip;
	struct cut c;
	size_t head, n, got = 0;
	uint32_t left;

	if (len < sizeof(v))
		return;
	memcpy(&v, p, sizeof(v));
	p += sizeof(v);
	len -= sizeof(v);
	if (!v.gso_type) {
		cut_checksum(p, len, &v);
		return;
	}
	if (!len || !pkt_ip_parse(p, len, p[0] >> 4, &ip) || !cut_begin(&c, p, &ip, &v))
		return;
	left = cut_count(&c);
	while ((head = cut_next(&c, out, &payload, &n)) != 0) {
		struct pkt_ip piece;

		CHECK(left-- && head <= CUT_HEAD_MAX && head + n <= cut_longest(&c));
		CHECK(payload == p + c.head + got && n && n <= v.gso_size);
		memcpy(out + head, payload, n);
		CHECK(pkt_ip_parse(out, head + n, ip.version, &piece) && piece.len == head + n);
		CHECK(ip.version == 6 || pkt_checksum(out, piece.transport, 0) == 0);
		got += n;
	}
	CHECK(!left && got == ip.len - c.head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rcur c = rcur_of(data, size);
	uint8_t flags = rcur_u8(&c);
	uint16_t mtu = rcur_u16(&c), mss = rcur_u16(&c);
	size_t n = rcur_left(&c);
	uint8_t *copy;

	if (c.bad || n > MOST)
		return 0;
	copy = calloc(1, n ? n : 1);
	if (!copy)
		return 0;
	if (n)
		memcpy(copy, c.p, n);
	if (flags & 2)
		segments(copy, n, !(mtu & 1));
	else if (flags & 4)
		from_device(copy, n);
	else if (flags & 1)
		down(copy, n, mtu, mss);
	else
		up(copy, n, mss);
	free(copy);
	return 0;
}
