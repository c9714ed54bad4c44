/* SPDX-License-Identifier: MIT
 *
 * The AVPs of RFC 2661 and of RFC 3931 as tables, and one AVP on the wire (RFC 2661 4.1, RFC 3931
 * 5.1). Internal to the codec: avp.c has the table of v2 and the octets of one AVP, avp3.c the
 * table of v3, auth.c undoes hiding, msg.c makes a message of it by the tables of either version.
 */
#ifndef ADIT_L2TP_AVP_H
#define ADIT_L2TP_AVP_H

#include "l2tp/msg.h"

#define AVP_HEADER    6	   /* flags and length, vendor, attribute type */
#define AVP_MAX	      1023 /* ten bits of length (4.1) */
#define AVP_VALUE_MAX (AVP_MAX - AVP_HEADER)

#define AVP_FLAG_M   0x8000
#define AVP_FLAG_H   0x4000
#define AVP_RESERVED 0x3c00

/* Attribute types that the code names; the table has all. */
enum avp_type {
	AVP_MESSAGE_TYPE = 0,
	AVP_RESULT_CODE = 1,
	AVP_PROTOCOL_VERSION = 2,
	AVP_TUNNEL_ID = 9,
	AVP_WINDOW = 10,
	AVP_SESSION_ID = 14,
	AVP_ACCM = 35,
	AVP_RANDOM_VECTOR = 36,
	AVP_TYPE_COUNT = 104 /* the table's length */
};

/* How the value is laid out and so where it goes in struct l2tp_msg. */
enum avp_form {
	AVP_FORM_UNKNOWN, /* a name only: belongs to an extension that is not spoken here */
	AVP_FORM_EMPTY,
	AVP_FORM_U16,
	AVP_FORM_U32,
	AVP_FORM_U64,
	AVP_FORM_BYTES,
	AVP_FORM_RESULT, /* 4.4.2 */
	AVP_FORM_Q931,	 /* 4.4.5 */
	AVP_FORM_ERRORS, /* 4.4.6 */
	AVP_FORM_ACCM,	 /* 4.4.6 */
	AVP_FORM_VECTOR, /* 4.4.1: not stored, it works on what follows it */

	/* RFC 3931 */
	AVP_FORM_LEGACY,   /* an attribute of v2 that v3 lacks: recognised and skipped (4.7.3) */
	AVP_FORM_DIGEST,   /* 5.4.1: looked at before all else, in auth3.c */
	AVP_FORM_EXTENDED, /* 5.1: attributes of vendors with long numbers, of which we know none */
	AVP_FORM_LIST,	   /* 5.4.3: numbers of two octets, at least one */
	AVP_FORM_COOKIE,   /* 5.4.4: 0, 4 or 8 octets */
	AVP_FORM_ERRORS3   /* 5.4.5: six counters, as the text has it, or the four of the drawing */
};

struct avp_row {
	const char *name;
	uint8_t form;	   /* enum avp_form */
	bool mandatory;	   /* M as we send it */
	bool hideable;	   /* may be hidden (4.3) */
	uint16_t min, max; /* octets of the value */
	uint16_t at;	   /* offset in struct l2tp_msg, for the simple forms */
	uint32_t in;	   /* messages that list it: bit = message type */
};

/* NULL for a type that nobody gave a name. */
const struct avp_row *avp_row_of(unsigned type);
const struct avp_row *avp3_row_of(unsigned type);

/* One row per message: what has to be in it (RFC 2661 6.1 to 6.14, RFC 3931 6.1 to 6.15). */
struct msg_row {
	const char *name;
	bool session;	     /* belongs to a session: faults end that one, not the tunnel */
	uint8_t required[8]; /* attribute types, behind the last one 0 */
};

/* What the two versions differ in, for msg_parse(). */
struct msg_dialect {
	const struct avp_row *(*row_of)(unsigned type);
	const struct msg_row *messages;
	size_t count;
	bool v3;
};

/* As l2tp_msg_parse_lax(), by the tables of `dialect`. */
void msg_parse(const struct msg_dialect *dialect, const uint8_t *payload, size_t len,
	       const struct l2tp_secret *secret, uint32_t lax, uint8_t scratch[L2TP_SCRATCH],
	       struct l2tp_msg *ret_msg, struct l2tp_verdict *ret_verdict);

/* Header of a control message of this version, Length not known yet, ids and numbers 0. */
void msg_put_header(struct wcur *c, unsigned int version, uint16_t len);

/* One AVP as it stands in a message. */
struct avp {
	bool mandatory, hidden;
	bool reserved; /* one of the reserved bits is set: "unrecognized" (4.1) */
	uint16_t vendor, type;
	const uint8_t *value;
	uint16_t n;
};

enum avp_next {
	AVP_NEXT_OK,
	AVP_NEXT_END,
	AVP_NEXT_BROKEN /* Length < 6 or past the end: nothing after it can be found (7.1) */
};

/*
 * Take the next AVP off the cursor. When BROKEN, *ret has `mandatory` as far as it could be read
 * (else false), and the cursor is at its end.
 */
enum avp_next avp_next(struct rcur *c, struct avp *ret);

/*
 * Store a plain value of a known attribute into the message. False when its length is not one that
 * the row allows; then nothing is stored.
 */
bool avp_store(struct l2tp_msg *m, const struct avp_row *row, unsigned type, const uint8_t *value,
	       uint16_t n);

/* Where plain values of hidden AVPs go. */
struct avp_room {
	uint8_t *p;
	size_t used, cap;
};

enum avp_unhide {
	AVP_UNHIDE_OK,
	AVP_UNHIDE_SHORT,  /* fewer than the two octets of the original length */
	AVP_UNHIDE_LENGTH, /* original length larger than what is there: a wrong secret, mostly */
	AVP_UNHIDE_ROOM	   /* no room for the plain value */
};

/* Undo RFC 2661 4.3. Never reads past the n octets of the value, whatever the length in it says. */
enum avp_unhide avp_unhide(uint16_t type, const struct l2tp_secret *secret,
			   const struct l2tp_bytes *vector, const uint8_t *value, uint16_t n,
			   struct avp_room *room, struct l2tp_bytes *ret);

/*
 * Hide in place: `buf` holds the original length (two octets), the value and any padding, n octets
 * in all (RFC 2661 4.3).
 */
void avp_hide(uint16_t type, const struct l2tp_secret *secret, const struct l2tp_bytes *vector,
	      uint8_t *buf, size_t n);

#endif
