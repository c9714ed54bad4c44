/* SPDX-License-Identifier: MIT
 *
 * Data messages of L2TPv3 (RFC 3931 4.1) and the Ethernet (RFC 4719) and PPP frames in them, as the
 * forwarding thread sees them: pure functions over bytes, without state.
 *
 *   over UDP   flags and version (T = 0, Ver = 3), 16 reserved bits, then as
 *   over IP    session id, cookie (0, 4 or 8 octets), L2-Specific Sublayer (0 or 4), frame
 *
 * Over IP a session id of 0 begins a control message (RFC 3931 4.1.1.1).
 */
#ifndef ADIT_DP_PKT3_H
#define ADIT_DP_PKT3_H

#include "pkt.h"
#include "table.h"

#define PKT3_HEAD_MAX 20 /* with everything */
#define PKT3_FRAME    14 /* octets of the shortest frame: its header */

/* The session id of a data message and the offset behind it. `ret` is written for PKT_DATA only.
 * Over UDP, PKT_BAD stands for other versions, too. */
struct pkt3_head {
	uint32_t session;
	size_t off;
};
enum pkt_kind pkt3_parse_udp(const uint8_t *bytes, size_t len, struct pkt3_head *ret);
enum pkt_kind pkt3_parse_ip(const uint8_t *bytes, size_t len, struct pkt3_head *ret);

/* What a raw IPv4 socket gives: the offset of the payload behind the IP header, 0 = no whole one.
 */
size_t pkt3_ip4_payload(const uint8_t *bytes, size_t len);

enum pkt3_check {
	PKT3_OK,
	PKT3_SHORT, /* no room for what the session agreed, or for a frame */
	PKT3_COOKIE /* not ours (RFC 3931 4.1, 8.2) */
};

/* What follows the session id, of a session with this configuration. */
struct pkt3_body {
	bool has_seq; /* the S bit, RFC 3931 4.6 */
	uint32_t seq; /* 24 bits */
	size_t off;   /* of the frame, from the first octet given */
};
enum pkt3_check pkt3_check(const struct dpt_config *c, const uint8_t *bytes, size_t len,
			   struct pkt3_body *ret);

/* Build all headers so that they end at `frame`, which has PKT3_HEAD_MAX octets of room before it.
 * `seq` counts with `has_seq` only. Returns the octets written in front. */
size_t pkt3_build(uint8_t *frame, const struct dpt_config *c, bool udp, bool has_seq, uint32_t seq);

/* Put the tag of a VLAN (1 to 4094) on a frame, which has PKT3_TAG octets of room before it: it
 * begins there then. */
#define PKT3_TAG 4
void pkt3_tag(uint8_t *frame, uint16_t vlan);
/* Take the outer tag off a frame, of whatever VLAN: the octets it begins later now, 0 = there is
 * none. */
size_t pkt3_untag(uint8_t *frame, size_t len);

/* The same for a PPP frame, whose protocol is written too: 0xff03 before it with `address`; in
 * `proto_len` octets, of which 0 means that the frame has its own. */
struct pkt3_ppp {
	bool has_seq, address;
	uint32_t seq;
	uint8_t proto_len;
	uint16_t proto;
};
size_t pkt3_build_ppp(uint8_t *frame, const struct dpt_config *c, bool udp,
		      const struct pkt3_ppp *o);

/*
 * Does PPP's negotiation follow the session id, in a session that is not known here? A guess:
 * behind a cookie of 64 bits, which we assign to all sessions of PPP, without or with a sublayer.
 */
bool pkt3_ppp_control(const uint8_t *bytes, size_t len);

/* The IP packet in a frame, behind up to two VLAN tags: its offset, 0 = something else. */
size_t pkt3_ip(const uint8_t *frame, size_t len, uint8_t *ret_version);

#endif
