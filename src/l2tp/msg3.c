/* SPDX-License-Identifier: MIT
 *
 * Control messages of L2TPv3: headers, the table of messages, building (RFC 3931 3.2, 4.1, 6).
 *
 *     over UDP, control:   flags and version | Length | Control Connection ID | Ns | Nr | AVPs
 *     over UDP, data:      flags and version | reserved | Session ID | cookie ...
 *     over IP, control:    0 (four octets)   | as over UDP; Length begins behind the zeros
 *     over IP, data:       Session ID | cookie ...
 *
 * The walk over the AVPs is that of msg.c, with the tables of v3.
 */
#include "l2tp/msg3.h"
#include "l2tp/avp.h"

#define HDR_VERSION 0x000f
#define HDR_CONTROL (L2TP_HDR_T | L2TP_HDR_L | L2TP_HDR_S)
#define ERRORS_LEN  26

/* clang-format off */
static const struct msg_row messages[] = {
	[L2TP_ZLB]     = { "ZLB", false, { 0 } },
	[L2TP_SCCRQ]   = { "SCCRQ", false, { 7, 60, 61, 62 } },
	[L2TP_SCCRP]   = { "SCCRP", false, { 7, 60, 61, 62 } },
	[L2TP_SCCCN]   = { "SCCCN", false, { 0 } },
	[L2TP_STOPCCN] = { "StopCCN", false, { 1 } },
	[L2TP_HELLO]   = { "HELLO", false, { 0 } },
	[L2TP_OCRQ]    = { "OCRQ", true, { 15, 63, 64, 66, 68, 71 } },
	[L2TP_OCRP]    = { "OCRP", true, { 63, 64, 71 } },
	[L2TP_OCCN]    = { "OCCN", true, { 63, 64 } },
	[L2TP_ICRQ]    = { "ICRQ", true, { 15, 63, 64, 66, 68, 71 } },
	[L2TP_ICRP]    = { "ICRP", true, { 63, 64, 71 } },
	[L2TP_ICCN]    = { "ICCN", true, { 63, 64 } },
	[L2TP_CDN]     = { "CDN", true, { 1, 63, 64 } },
	[L2TP_WEN]     = { "WEN", true, { 34, 63, 64 } },
	[L2TP_SLI]     = { "SLI", true, { 63, 64 } },
	[L2TP3_ACK]    = { "ACK", false, { 0 } },
};
/* clang-format on */

static const struct msg_dialect dialect = { avp3_row_of, messages,
					    sizeof(messages) / sizeof(messages[0]), true };

const char *l2tp3_type_name(unsigned int type)
{
	return type < dialect.count ? messages[type].name : NULL;
}

const char *l2tp3_pw_name(uint16_t pw_type)
{
	static const char *const names[] = {
		[0x01] = "Frame Relay DLCI",
		[0x02] = "ATM AAL5 SDU VCC",
		[0x03] = "ATM port cell",
		[L2TP3_PW_VLAN] = "Ethernet VLAN",
		[L2TP3_PW_ETHERNET] = "Ethernet port",
		[0x06] = "HDLC",
		[L2TP3_PW_PPP] = "PPP",
		[0x09] = "ATM VCC cell",
		[0x0a] = "ATM VPC cell",
		[0x0b] = "IP",
	};

	return pw_type < sizeof(names) / sizeof(names[0]) ? names[pw_type] : NULL;
}

bool l2tp3_caps_has(const struct l2tp_bytes *pw_caps, uint16_t pw_type)
{
	struct rcur c = rcur_of(pw_caps->p, pw_caps->n);

	while (rcur_left(&c) >= 2) {
		if (rcur_u16(&c) == pw_type)
			return true;
	}
	return false;
}

/* ---- the header ---- */

unsigned int l2tp3_version(const uint8_t *bytes, size_t len)
{
	struct rcur c = rcur_of(bytes, len);

	return rcur_u16(&c) & HDR_VERSION;
}

/* The cursor stands behind the flags, at octet `start` + 2 of a datagram of `len` octets. */
static enum l2tp_header_result header_control(struct rcur *c, enum l2tp3_carrier carrier,
					      uint16_t flags, struct l2tp3_header *h)
{
	size_t there = rcur_left(c) + 2;
	uint16_t length;

	if ((flags & HDR_CONTROL) != HDR_CONTROL)
		return L2TP_HDR_FLAGS;
	length = rcur_u16(c);
	h->connection = rcur_u32(c);
	h->ns = rcur_u16(c);
	h->nr = rcur_u16(c);
	if (c->bad)
		return L2TP_HDR_SHORT;
	/* A Cisco counts the session id; then what is there is exactly these octets short. */
	h->counts_session_id = carrier == L2TP3_IP && length == there + L2TP3_IP_PREFIX;
	if (h->counts_session_id)
		length = (uint16_t)there;
	if (length > there || length < L2TP3_HEADER)
		return L2TP_HDR_LENGTH;
	h->control = true;
	h->start = carrier == L2TP3_IP ? L2TP3_IP_PREFIX : 0;
	h->total = length;
	h->payload = h->start + L2TP3_HEADER;
	h->len = h->total - L2TP3_HEADER;
	return L2TP_HDR_OK;
}

static enum l2tp_header_result header_data(struct rcur *c, size_t len, struct l2tp3_header *h)
{
	if (c->bad)
		return L2TP_HDR_SHORT;
	h->len = (uint32_t)rcur_left(c);
	h->payload = (uint32_t)len - h->len;
	return L2TP_HDR_OK;
}

enum l2tp_header_result l2tp3_header_parse(enum l2tp3_carrier carrier, const uint8_t *bytes,
					   size_t len, struct l2tp3_header *ret)
{
	struct rcur c = rcur_of(bytes, len);
	struct l2tp3_header h = { 0 };
	enum l2tp_header_result r;
	uint16_t word;

	if (carrier == L2TP3_IP) {
		h.session = rcur_u32(&c);
		if (c.bad || h.session) {
			r = header_data(&c, len, &h);
			goto out;
		}
	}
	word = rcur_u16(&c);
	if (c.bad)
		return L2TP_HDR_SHORT;
	if ((word & HDR_VERSION) != 3)
		return L2TP_HDR_VERSION;
	if (word & L2TP_HDR_T || carrier == L2TP3_IP) {
		r = header_control(&c, carrier, word, &h);
	} else {
		rcur_u16(&c); /* reserved */
		h.session = rcur_u32(&c);
		r = header_data(&c, len, &h);
	}
out:
	if (r == L2TP_HDR_OK)
		*ret = h;
	return r;
}

bool l2tp3_fallback_parse(const uint8_t *bytes, size_t len, struct l2tp3_header *ret)
{
	struct l2tp_header v2;
	struct rcur c;
	struct avp a;

	if (l2tp_header_parse(bytes, len, &v2) != L2TP_HDR_OK || !(v2.flags & L2TP_HDR_T) ||
	    v2.tunnel || v2.session)
		return false;
	c = rcur_of(bytes + v2.payload, v2.len);
	if (avp_next(&c, &a) != AVP_NEXT_OK || a.vendor || a.type != AVP_MESSAGE_TYPE || a.n != 2 ||
	    a.value[0] || a.value[1] != L2TP_SCCRQ)
		return false;
	while (avp_next(&c, &a) == AVP_NEXT_OK) {
		if (a.vendor || a.type != L2TP3_AVP_CONNECTION_ID)
			continue;
		*ret = (struct l2tp3_header){ .control = true,
					      .ns = v2.ns,
					      .nr = v2.nr,
					      .total = v2.payload + v2.len,
					      .payload = v2.payload,
					      .len = v2.len };
		return true;
	}
	return false;
}

void l2tp3_msg_parse(const uint8_t *payload, size_t len, const struct l2tp_secret *hide,
		     uint32_t lax, uint8_t scratch[L2TP_SCRATCH], struct l2tp_msg *ret_msg,
		     struct l2tp_verdict *ret_verdict)
{
	msg_parse(&dialect, payload, len, hide, lax, scratch, ret_msg, ret_verdict);
}

/* ---- building ---- */

/* Room for the digests of all keys, directly after the Message Type (5.4.1). */
static void put_digests(struct l2tp_build *b, const struct l2tp3_auth *auth)
{
	for (unsigned int i = 0; auth && i < auth->n; i++) {
		uint8_t value[1 + SHA1_LEN] = { (uint8_t)auth->keys[i].digest };

		l2tp_build_bytes(b, L2TP3_AVP_DIGEST, value,
				 1 + l2tp3_digest_len(auth->keys[i].digest));
	}
}

static void begin(struct l2tp_build *b, void *buf, size_t cap, bool v3, uint16_t type,
		  const struct l2tp3_auth *auth)
{
	*b = (struct l2tp_build){ .c = wcur_of(buf, cap), .type = type, .v3 = v3 };
	msg_put_header(&b->c, v3 ? 3 : 2, 0);
	l2tp_build_u16(b, AVP_MESSAGE_TYPE, type);
	put_digests(b, auth);
}

void l2tp3_build_begin(struct l2tp_build *b, void *buf, size_t cap, uint16_t type,
		       const struct l2tp3_auth *auth, bool hide, struct rng *rng)
{
	begin(b, buf, cap, true, type, auth);
	if (!hide || !auth || !auth->n || auth->empty)
		return;
	b->own = l2tp3_hide_secret(&auth->keys[0]);
	memcpy(b->own_key, b->own.p, sizeof(b->own_key));
	b->own.p = b->own_key;
	b->secret = &b->own;
	b->rng = rng;
}

void l2tp3_build_begin_fallback(struct l2tp_build *b, void *buf, size_t cap,
				const struct l2tp3_auth *auth)
{
	begin(b, buf, cap, false, L2TP_SCCRQ, auth);
}

void l2tp3_build_errors(struct l2tp_build *b, const uint32_t errors[6])
{
	uint8_t bytes[ERRORS_LEN];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	wcur_u16(&c, 0);
	for (size_t i = 0; i < 6; i++)
		wcur_u32(&c, errors[i]);
	l2tp_build_bytes(b, L2TP3_AVP_ERRORS, bytes, c.len);
}

void l2tp_build_stamp3(uint8_t *msg, size_t len, uint32_t connection, uint16_t ns, uint16_t nr)
{
	l2tp_build_stamp(msg, len, (uint16_t)(connection >> 16), (uint16_t)connection, ns, nr);
}

size_t l2tp3_build_ack(uint8_t *buf, size_t cap, const struct l2tp3_auth *auth, uint32_t connection,
		       uint16_t ns, uint16_t nr)
{
	struct l2tp_build b;
	size_t len;

	if (auth && auth->n) {
		l2tp3_build_begin(&b, buf, cap, L2TP3_ACK, auth, false, NULL);
	} else {
		b = (struct l2tp_build){ .c = wcur_of(buf, cap), .v3 = true };
		msg_put_header(&b.c, 3, 0);
	}
	len = l2tp_build_end(&b);
	if (len)
		l2tp_build_stamp3(buf, len, connection, ns, nr);
	return len;
}
