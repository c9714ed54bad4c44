/* SPDX-License-Identifier: MIT
 *
 * What the forwarding thread does to packets: pure functions over bytes, without state. Nothing is
 * changed before all checks have passed, so that a packet we do not understand can still be given
 * to somebody else.
 */
#ifndef ADIT_DP_PKT_H
#define ADIT_DP_PKT_H

#include "base/dp_types.h"

/* ---- L2TPv2 header (RFC 2661 3.1) ---- */

enum pkt_kind {
	PKT_BAD, /* drop: cut short, unknown version, Length or Offset Size beyond the datagram */
	PKT_CONTROL, /* T bit set; nothing else was looked at */
	PKT_DATA
};

struct pkt_head {
	uint16_t tunnel, session; /* ours */
	bool has_seq;
	uint16_t ns;
	size_t off, len; /* of the payload, inside the datagram; len may be 0 */
};

/* `ret` is written for PKT_DATA only. */
enum pkt_kind pkt_head_parse(const uint8_t *bytes, size_t len, struct pkt_head *ret);

struct pkt_out {
	uint16_t tunnel, session; /* the peer's */
	bool length, priority, seq;
	uint16_t ns;
	bool address;	   /* FF 03 */
	uint8_t proto_len; /* octets of `proto` to write: 0 when the frame has its own, 1 (PFC) or 2
			    */
	uint16_t proto;
};

#define PKT_HEAD_MAX 16

/* Build the header so that it ends at `frame`, which has PKT_HEAD_MAX octets of room before it.
 * Returns the octets written in front. */
size_t pkt_head_build(uint8_t *frame, size_t len, const struct pkt_out *o);

/* ---- PPP (RFC 1661 2, RFC 1662 3.2) ---- */

struct pkt_ppp {
	size_t off; /* of the protocol, after FF 03 if it was there */
	uint16_t proto;
	size_t data; /* offset after the protocol; at least one octet follows */
};

/* Address and control may be there or not, the protocol may have one octet or two. */
bool pkt_ppp_parse(const uint8_t *frame, size_t len, struct pkt_ppp *ret);

#define PPP_IP4 0x0021
#define PPP_IP6 0x0057

/* ---- IP ---- */

struct pkt_ip {
	uint8_t version;	  /* 4 or 6 */
	uint8_t proto;		  /* IPv4 protocol; IPv6: of the last header we could walk to */
	bool later_fragment;	  /* not the first fragment: there is no transport header */
	size_t len;		  /* of the packet; what follows is padding */
	size_t transport;	  /* offset of the transport header, <= len */
	const uint8_t *src, *dst; /* 4 or 16 octets */
};

/* False when this is no whole packet of that version. The IPv4 header checksum is not checked: the
 * kernel does, on both ways. */
bool pkt_ip_parse(const uint8_t *p, size_t len, uint8_t version, struct pkt_ip *ret);

/* Multicast, or of the link only: not forwarded between a session and the host. */
bool pkt_ip6_local(const uint8_t dst[16]);

/* Lower the MSS option of a TCP SYN to `mss` and mend the checksum (RFC 1624). True when changed.
 */
bool pkt_mss_clamp(uint8_t *p, const struct pkt_ip *ip, uint16_t mss);

#define PKT_ICMP_MAX 1280

/*
 * "Fragmentation needed" (RFC 792, 1191) or "packet too big" (RFC 4443 3.2) in answer to `p`, from
 * the packet's own destination: an address of ours would be refused by the kernel as a martian
 * source, since the answer enters through the same device. `buf` has PKT_ICMP_MAX octets. Returns
 * its length, 0 when no answer may be given (RFC 1122 3.2.2, RFC 4443 2.4).
 */
size_t pkt_too_big(const uint8_t *p, const struct pkt_ip *ip, uint16_t mtu, uint8_t *buf);

/* True when an IPv4 packet may be fragmented: DF is clear. */
bool pkt_may_fragment(const uint8_t *p, const struct pkt_ip *ip);

/*
 * The next IPv4 fragment of `p` of at most `mtu` octets into `buf` (RFC 791 3.2). Start with *pos
 * = 0; returns its length, 0 after the last, or when the header leaves no room.
 */
size_t pkt_fragment(const uint8_t *p, const struct pkt_ip *ip, uint16_t mtu, size_t *pos,
		    uint8_t *buf);

/*
 * How many L2TP data packets sent from one of `ports` are nested in this IP packet, 0 = none. Those
 * are packets of our own that were routed back into a session; a loop shows as a growing depth.
 */
unsigned int pkt_own_depth(const uint8_t *p, size_t len, const uint16_t *ports, size_t count);

/* The Internet checksum (RFC 1071) over `len` octets, `start` a partial sum in host order; and the
 * sum itself, not folded to 16 bits yet, to go on with. `len` is even where another part follows.
 */
uint32_t pkt_sum(const uint8_t *p, size_t len, uint32_t start);
uint16_t pkt_checksum(const uint8_t *p, size_t len, uint32_t start);

#endif
