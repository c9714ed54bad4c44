/* SPDX-License-Identifier: MIT
 *
 * Control messages of L2TPv3 (RFC 3931 3.2, 4.1, 5, 6): header over UDP and over IP, AVPs,
 * building. Types, verdicts and the decoded message are those of msg.h (one number space for both
 * versions, RFC 3931 10.1); struct l2tp_msg has the fields of both. Nothing here keeps state.
 *
 * Order of work with what came in:
 *
 *     l2tp3_header_parse()   which connection, numbers, where the message begins
 *     l2tp3_verify()         (auth3.h) before anything else is believed
 *     l2tp3_msg_parse()      AVPs, hidden ones with the hiding key of the key that was right
 *
 * and with what goes out: l2tp3_build_begin(), l2tp_build_*() of msg.h for each AVP,
 * l2tp_build_end(); at each transmission l2tp_build_stamp3() and l2tp3_sign(). A built message
 * begins with the T bit; over IP the caller puts L2TP3_IP_PREFIX zero octets before it.
 */
#ifndef ADIT_L2TP_MSG3_H
#define ADIT_L2TP_MSG3_H

#include <adit/l2tp3.h>
#include "l2tp/auth3.h"
#include "l2tp/msg.h"

#define L2TP3_ACK                                                                       \
	20 /* Explicit Acknowledgement (6.15): takes no Ns, like a ZLB; message type 20 \
	    */

#define L2TP3_IP_PREFIX	   4  /* the zero session id before a control message over IP (4.1.1.2) */
#define L2TP3_HEADER	   12 /* of a control message, from the T bit */
#define L2TP3_DATA_UDP	   8  /* flags and version, reserved, session id (4.1.2.1) */
#define L2TP3_DATA_IP	   4  /* session id (4.1.1.1) */
#define L2TP3_SUBLAYER_LEN 4  /* of the default L2-Specific Sublayer (4.6) */

/* Attribute types of v3 that callers name with l2tp_msg_has() and l2tp_build_*(). */
enum l2tp3_avp {
	L2TP3_AVP_RESULT = 1,
	L2TP3_AVP_TIE = 5,
	L2TP3_AVP_HOST_NAME = 7,
	L2TP3_AVP_VENDOR_NAME = 8,
	L2TP3_AVP_WINDOW = 10,
	L2TP3_AVP_CHALLENGE = 11,
	L2TP3_AVP_RESPONSE = 13,
	L2TP3_AVP_SERIAL = 15,
	L2TP3_AVP_CHANNEL_ID = 25,
	L2TP3_AVP_ERRORS = 34,
	L2TP3_AVP_DIGEST = 59,
	L2TP3_AVP_ROUTER_ID = 60,
	L2TP3_AVP_CONNECTION_ID = 61,
	L2TP3_AVP_PW_CAPS = 62,
	L2TP3_AVP_LOCAL_SESSION = 63,
	L2TP3_AVP_REMOTE_SESSION = 64,
	L2TP3_AVP_COOKIE = 65,
	L2TP3_AVP_END_ID = 66,
	L2TP3_AVP_PW_TYPE = 68,
	L2TP3_AVP_SUBLAYER = 69,
	L2TP3_AVP_SEQUENCING = 70,
	L2TP3_AVP_CIRCUIT = 71,
	L2TP3_AVP_LANGUAGE = 72,
	L2TP3_AVP_NONCE = 73,
	L2TP3_AVP_TX_SPEED = 74,
	L2TP3_AVP_RX_SPEED = 75,
	L2TP3_AVP_GROUP = 89,	  /* Attachment Group Identifier, RFC 4667 */
	L2TP3_AVP_LOCAL_END = 90, /* Local End Identifier (SAII), RFC 4667 */
	L2TP3_AVP_MTU = 91,	  /* Interface MTU, RFC 4667 */
	L2TP3_AVP_ECN = 103	  /* ECN Capability, RFC 9601 */
};

/* ---- the header ---- */

enum l2tp3_carrier {
	L2TP3_UDP, /* a datagram begins with the T bit */
	L2TP3_IP   /* protocol 115: begins with the session id, 0 for control (4.1.1.2) */
};

struct l2tp3_header {
	bool control;
	bool counts_session_id; /* over IP the Length counted the session id, as a Cisco does; it
				   was accepted: where the message ends is not in doubt */
	uint16_t ns, nr;	/* control */
	uint32_t connection; /* control: our Control Connection ID, 0 = not known to the peer yet */
	uint32_t session;    /* data: our Session ID, never 0 over UDP either */
	uint32_t start, total; /* control: where the T bit is, octets from there to the end that
				  Length says: what a digest covers */
	uint32_t payload, len; /* control: AVPs; data: what follows the session id (cookie first) */
};

/*
 * Version of a datagram over UDP: 2, 3, or another number; 0 when there are not even two octets.
 * Look before the rest: bits 1, 4, 6, 7 of data mean something only in v2 (V3-4.1-05).
 */
unsigned int l2tp3_version(const uint8_t *bytes, size_t len);

/*
 * Control or data header of version 3. Reserved bits are ignored, those of v2's O and P among them
 * (3.2.1). Octets behind the Length are ignored. Results as of l2tp_header_parse(): FLAGS is a
 * control message without L or S; *ret is written only when OK.
 */
enum l2tp_header_result l2tp3_header_parse(enum l2tp3_carrier carrier, const uint8_t *bytes,
					   size_t len, struct l2tp3_header *ret);

/*
 * An SCCRQ of an end that speaks both versions: version 2 in the header, tunnel and session 0, and
 * an Assigned Control Connection ID AVP among the AVPs (4.7.3). True: *ret is the header as if it
 * were of v3; l2tp3_msg_parse() then takes its AVPs, skipping those of v2. UDP only (4.7.1).
 */
bool l2tp3_fallback_parse(const uint8_t *bytes, size_t len, struct l2tp3_header *ret);

/* ---- messages ---- */

/*
 * As l2tp_msg_parse(), with the tables of v3. `hide`: the hiding key (l2tp3_hide_secret() of the
 * key that verified the message); NULL while Control Message Authentication is off, then hidden
 * AVPs cannot be read (5.3). `lax`: L2TP_QUIRK_LAX_* that are forgiven.
 *
 * Differences to v2: reserved bits of AVPs mean nothing (5.1). Attributes that only v2 has are
 * skipped whatever their M bit says (4.7.3), and so are Cisco's vendor attributes from the drafts,
 * which stand beside those of the RFC. A Local Session ID of 0 is 2/5, other values out of range
 * are 2/3. An Assigned Cookie, L2-Specific Sublayer or Data Sequencing AVP that is wrong clears the
 * session even with M=0: what we would send without it could not be read.
 *
 * Not judged here: whether a pseudowire type is supported (CDN 14), whether sequencing came with a
 * sublayer (CDN 15), Message Digest AVPs (l2tp3_verify()).
 */
void l2tp3_msg_parse(const uint8_t *payload, size_t len, const struct l2tp_secret *hide,
		     uint32_t lax, uint8_t scratch[L2TP_SCRATCH], struct l2tp_msg *ret_msg,
		     struct l2tp_verdict *ret_verdict);

/* Is this pseudowire type in the Pseudowire Capabilities List (62) of the message? */
bool l2tp3_caps_has(const struct l2tp_bytes *pw_caps, uint16_t pw_type);

const char *l2tp3_type_name(unsigned int type); /* "SCCRQ", "ACK"; NULL when unknown */
const char *l2tp3_avp_name(unsigned int type);	/* NULL when unknown */

/* ---- building: l2tp_build_u16(), _u32(), _u64(), _bytes(), _result(), _end() of msg.h go on ----
 */

/*
 * Header and Message Type, then one Message Digest AVP of the right length for each key of `auth`
 * (NULL or n = 0: none), zeroed. With `hide`, AVPs that may be hidden are, with the key of
 * auth->keys[0]; only allowed while authentication is on (5.3). An empty-secret `auth` never hides.
 */
void l2tp3_build_begin(struct l2tp_build *b, void *buf, size_t cap, uint16_t type,
		       const struct l2tp3_auth *auth, bool hide, struct rng *rng);

/* WEN: all zero where unknown; six counters as of v2, 32 octets, as the text has it (V3-6.13-01).
 */
void l2tp3_build_errors(struct l2tp_build *b, const uint32_t errors[6]);

/* Write id and numbers into a built message, at each transmission, before l2tp3_sign(). */
void l2tp_build_stamp3(uint8_t *msg, size_t len, uint32_t connection, uint16_t ns, uint16_t nr);

/*
 * An acknowledgement: an ACK message with room for digests when `auth` has keys, else a ZLB of 12
 * octets (6.15). Sign it afterwards. Returns its length, 0 when it did not fit.
 */
size_t l2tp3_build_ack(uint8_t *buf, size_t cap, const struct l2tp3_auth *auth, uint32_t connection,
		       uint16_t ns, uint16_t nr);

/*
 * Begin an SCCRQ for peers of either version (4.7.3): version 2 in the header; AVPs of v3 are sent
 * with M=0 by l2tp_build_*() then. Hide nothing (the peer's version is not known). The caller adds
 * what RFC 2661 6.1 wants, then Router ID, Assigned Control Connection ID, capabilities, nonce. Its
 * digest, when `auth` has keys, is signed like that of any SCCRQ.
 */
void l2tp3_build_begin_fallback(struct l2tp_build *b, void *buf, size_t cap,
				const struct l2tp3_auth *auth);

#endif
