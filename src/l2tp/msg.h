/* SPDX-License-Identifier: MIT
 *
 * Control messages: the header, the AVPs of a message in decoded form, and the checks that belong
 * to a message as a whole (RFC 2661 3.1, 4, 6; spec tables: one row per AVP and per message).
 * Header and tables of L2TPv3 are in msg3.h; the message, its verdict and the builder are the same.
 *
 * l2tp_header_parse() reads a datagram's header, control or data. l2tp_msg_parse() decodes the AVPs
 * of a control message into struct l2tp_msg, undoing hiding, and says what is wrong with it in the
 * terms of the protocol: which result and error code the answer has to carry, and in which words.
 * l2tp_build_*() writes a message. Nothing here keeps state.
 */
#ifndef ADIT_L2TP_MSG_H
#define ADIT_L2TP_MSG_H

#include <adit/l2tp.h>
#include "base/rng.h"
#include "base/wire.h"

enum l2tp_type {
	L2TP_ZLB = 0, /* not on the wire: a control message without AVPs */
	L2TP_SCCRQ = 1,
	L2TP_SCCRP = 2,
	L2TP_SCCCN = 3,
	L2TP_STOPCCN = 4,
	L2TP_HELLO = 6,
	L2TP_OCRQ = 7,
	L2TP_OCRP = 8,
	L2TP_OCCN = 9,
	L2TP_ICRQ = 10,
	L2TP_ICRP = 11,
	L2TP_ICCN = 12,
	L2TP_CDN = 14,
	L2TP_WEN = 15,
	L2TP_SLI = 16
};

#define L2TP_HDR_T 0x8000
#define L2TP_HDR_L 0x4000
#define L2TP_HDR_S 0x0800
#define L2TP_HDR_O 0x0200
#define L2TP_HDR_P 0x0100

enum l2tp_header_result {
	L2TP_HDR_OK,
	L2TP_HDR_SHORT,	  /* fewer octets than the header needs */
	L2TP_HDR_VERSION, /* neither 2 nor known */
	L2TP_HDR_FLAGS,	  /* control without L or S, or with O */
	L2TP_HDR_LENGTH,  /* Length larger than the datagram, or smaller than the header */
	L2TP_HDR_OFFSET	  /* offset points past the end */
};

struct l2tp_header {
	uint16_t flags; /* L2TP_HDR_*, without the version */
	uint16_t tunnel, session, ns, nr;
	uint32_t payload, len; /* offset of the payload in the datagram and its length */
};

enum l2tp_header_result l2tp_header_parse(const uint8_t *bytes, size_t len,
					  struct l2tp_header *ret);

/* A run of octets inside the message (or inside the scratch space, when it was hidden). */
struct l2tp_bytes {
	const uint8_t *p;
	uint16_t n;
};

/* Which AVPs are there: bit = attribute type of vendor 0 (0..63 in have[0], 64..127 in have[1]). */
struct l2tp_msg {
	uint16_t type;	     /* message type; L2TP_ZLB for an empty message, but also when a peer
				sends the reserved type 0: then `known` is false */
	bool known;	     /* an empty message, or the type is one of RFC 2661 */
	bool needs_secret;   /* a hidden AVP was there and no secret to read it with */
	bool type_mandatory; /* M bit of the Message Type AVP */
	uint64_t have[2];
	uint16_t result, error; /* AVP 1 */
	struct l2tp_bytes text;
	uint16_t version;			  /* 2 */
	uint32_t framing_caps, bearer_caps;	  /* 3, 4 */
	uint64_t tie;				  /* 5 */
	uint16_t firmware;			  /* 6 */
	struct l2tp_bytes host_name, vendor_name; /* 7, 8 */
	uint16_t tunnel_id, window;		  /* 9, 10 */
	struct l2tp_bytes challenge;		  /* 11 */
	struct l2tp_bytes response;		  /* 13, 16 octets */
	uint16_t q931_cause;
	uint8_t q931_msg;					      /* 12 */
	uint16_t session_id;					      /* 14 */
	uint32_t serial, min_bps, max_bps, bearer_type, framing_type; /* 15..19 */
	struct l2tp_bytes called, calling, sub_address;		      /* 21..23 */
	uint32_t tx_speed, channel_id;				      /* 24, 25 */
	struct l2tp_bytes proxy[8];    /* 26..33 as sent: LCP requests, authen type, name, ... */
	uint32_t call_errors[6];       /* 34 */
	uint32_t accm_send, accm_recv; /* 35 */
	struct l2tp_bytes group;       /* 37 */
	uint32_t rx_speed;	       /* 38; presence of 39 (sequencing required) in have[] */
	struct l2tp_bytes ppp_cause;   /* 46, whole value */
	uint32_t lax; /* L2TP_QUIRK_LAX_*: faults of this kind were there, forgiven or not */

	/* L2TPv3 only (RFC 3931 5.4); set by l2tp3_msg_parse() of msg3.h. Of those above v3 uses
	   1, 5 (of a session too), 7, 8, 10, 11, 13, 15, 25 and 34. */
	uint32_t router_id, connection_id; /* 60, 61 */
	struct l2tp_bytes pw_caps;	   /* 62: two octets each, l2tp3_caps_has() */
	uint32_t local_id, remote_id;	   /* 63, 64: of a session; "local" is the sender's */
	struct l2tp_bytes cookie;	   /* 65: 0, 4 or 8 octets */
	struct l2tp_bytes end_id;	   /* 66 */
	uint16_t pw_type;		   /* 68 */
	uint16_t sublayer, sequencing;	   /* 69, 70; absent = 0 */
	uint16_t circuit;		   /* 71: L2TP3_STATUS_* */
	struct l2tp_bytes language, nonce; /* 72, 73 */
	uint64_t tx_speed3, rx_speed3;	   /* 74, 75: bits/s, 0 = unknown */
	struct l2tp_bytes group3;	   /* 89: Attachment Group Identifier (RFC 4667) */
	struct l2tp_bytes local_end;	   /* 90: Local End Identifier; absent = end_id */
	uint16_t mtu;			   /* 91: Interface MTU */
};

static inline bool l2tp_msg_has(const struct l2tp_msg *m, unsigned type)
{
	return type < 128 && (m->have[type / 64] >> (type % 64) & 1);
}

/* What is wrong with a message, in the protocol's terms. */
enum l2tp_verdict_scope {
	L2TP_MSG_OK,	 /* use it; `text` may tell of an AVP that was skipped. A StopCCN or CDN is
			    always OK once its type could be read, whatever else is in it */
	L2TP_MSG_DROP,	 /* no answer: e.g. the Message Type is unreadable */
	L2TP_MSG_IGNORE, /* acknowledge, do nothing: unknown type with M=0 */
	L2TP_MSG_CLEAR /* end the session (session messages) or the tunnel, with the codes below */
};

struct l2tp_verdict {
	enum l2tp_verdict_scope scope;
	bool session; /* CLEAR: the message belongs to a session, so CDN; else StopCCN */
	uint16_t result, error;
	char text[L2TP_TEXT_MAX]; /* names the AVP: goes into the answer and the trace */
};

/* Secret for hidden AVPs; NULL = none is configured. */
struct l2tp_secret {
	const uint8_t *p;
	size_t n;
};

#define L2TP_SCRATCH 1500 /* room for the plain form of hidden AVPs of one message */

/*
 * Decode the AVPs in `payload` (the octets after the control header; none = ZLB). `scratch` holds
 * what was hidden; ret_msg points into payload and scratch. Always fills *ret_msg as far as it got
 * (ids that could be read are there even when the verdict is CLEAR) and *ret_verdict.
 */
void l2tp_msg_parse(const uint8_t *payload, size_t len, const struct l2tp_secret *secret,
		    uint8_t scratch[L2TP_SCRATCH], struct l2tp_msg *ret_msg,
		    struct l2tp_verdict *ret_verdict);

/* The same for a peer with these L2TP_QUIRK_LAX_*: such faults are forgiven. */
void l2tp_msg_parse_lax(const uint8_t *payload, size_t len, const struct l2tp_secret *secret,
			uint32_t lax, uint8_t scratch[L2TP_SCRATCH], struct l2tp_msg *ret_msg,
			struct l2tp_verdict *ret_verdict);

const char *l2tp_type_name(unsigned type); /* "SCCRQ"; "type 60" is made by the caller: NULL */
const char *l2tp_avp_name(unsigned type);  /* NULL when unknown */

/*
 * Build: l2tp_build_begin() writes the header (ids, Ns, Nr are patched at each transmission by
 * l2tp_build_stamp) and the Message Type AVP, then one call per AVP, then l2tp_build_end() writes
 * the Length. With `hide` and a secret, AVPs that may be hidden are (RFC 2661 4.3), after one
 * Random Vector. The cursor is bad at the end when it did not fit.
 */
struct l2tp_build {
	struct wcur c;
	const struct l2tp_secret *secret; /* NULL = hide nothing */
	struct rng *rng;		  /* needed with a secret */
	struct l2tp_bytes vector;	  /* the message's Random Vector, once written */
	uint16_t type;
	struct l2tp_secret own; /* room for what `secret` points to, of v3 */
	uint8_t own_key[16];	/* and for the key itself: the caller's may go */
	bool v3; /* M and hiding as the table of v3 says; set by l2tp3_build_begin() */
};

void l2tp_build_begin(struct l2tp_build *b, void *buf, size_t cap, uint16_t type,
		      const struct l2tp_secret *secret, struct rng *rng);
void l2tp_build_u16(struct l2tp_build *b, unsigned avp, uint16_t v);
void l2tp_build_u32(struct l2tp_build *b, unsigned avp, uint32_t v);
void l2tp_build_u64(struct l2tp_build *b, unsigned avp, uint64_t v);
void l2tp_build_bytes(struct l2tp_build *b, unsigned avp, const void *v, size_t n);

/* Result Code: error and text are left out when both are 0 / NULL; text is cut to L2TP_TEXT_MAX. */
void l2tp_build_result(struct l2tp_build *b, uint16_t result, uint16_t error, const char *text);
void l2tp_build_accm(struct l2tp_build *b, uint32_t send, uint32_t recv);

/* The length of the message, 0 when it did not fit. */
size_t l2tp_build_end(struct l2tp_build *b);

/* Write ids and numbers into a built message: at each transmission, so that Nr is fresh (5.8). */
void l2tp_build_stamp(uint8_t *msg, size_t len, uint16_t tunnel, uint16_t session, uint16_t ns,
		      uint16_t nr);

/* A ZLB; returns 12. */
size_t l2tp_build_zlb(uint8_t *buf, size_t cap, uint16_t tunnel, uint16_t ns, uint16_t nr);

/* Challenge response (RFC 2661 4.4.3): MD5(type octet, secret, challenge). */
void l2tp_auth_response(uint8_t ret[16], uint8_t type, const struct l2tp_secret *secret,
			const void *challenge, size_t n);

#endif
