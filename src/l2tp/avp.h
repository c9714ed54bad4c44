/* SPDX-License-Identifier: MIT
 *
 * The AVPs of RFC 2661 as a table, and one AVP on the wire (RFC 2661 4.1). Internal to the codec:
 * avp.c has the table and the octets of one AVP, auth.c undoes hiding, msg.c makes a message of it.
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
	AVP_FORM_VECTOR	 /* 4.4.1: not stored, it works on what follows it */
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
 * the table allows; then nothing is stored.
 */
bool avp_store(struct l2tp_msg *m, unsigned type, const uint8_t *value, uint16_t n);

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
