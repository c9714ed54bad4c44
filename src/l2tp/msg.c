/* SPDX-License-Identifier: MIT
 *
 * Control messages: header, parsing with a verdict, building (RFC 2661 3.1, 4, 6, 7.1).
 *
 * Parsing never gives up before it has to: a bad AVP is noted and the rest is still read, because
 * the answer has to be addressed with the ids that may follow it. Only an AVP whose Length makes no
 * sense ends the walk, since nothing after it can be found. The first fault decides the verdict.
 *
 * What is a fault, and what the answer says (the RFC names no code for some; these are ours):
 *
 *     first AVP is not a readable Message Type          dropped
 *     Message Type of another vendor, or unknown        M: StopCCN 2/3, else ignored
 *     AVP not recognised (also: reserved bit set)       M: 2/8, else the AVP is skipped
 *     AVP Length below 6 or past the end                M: 2/2, else the message is ignored
 *     known AVP with a length the table does not allow  M: 2/2, else skipped
 *     value out of range                                M: 2/3, else skipped
 *     hidden where it must not be, or without vector    M: 2/3, else skipped
 *     hidden and no secret is configured                M: 2/8, else skipped
 *     hidden and cannot be undone                       M: 2/2, else skipped
 *     Protocol Version other than 1                     StopCCN 5, error code = 0x0100
 *     a required AVP is absent                          2/3
 *     known AVP that the message does not list          skipped
 *     an AVP that was there before                      skipped: the first one counts
 *
 * Skipping repeats before they are looked at also bounds the work: of thousands of AVPs only one of
 * each kind is decoded, and at most that many MD5 chains are computed.
 *
 * A peer that is known to get two of these wrong is forgiven (quirk.c): unknown AVPs with M, and
 * wrong lengths.
 *
 * The tables and a few of these rules are others in L2TPv3; msg3.h says which.
 *
 * StopCCN and CDN always take effect once their type could be read: answering the end of something
 * with its end helps nobody.
 */
#include <stdarg.h>
#include <stdio.h>
#include "l2tp/avp.h"
#include "l2tp/msg3.h"

#define HDR_VERSION 0x000f
#define HDR_KEPT    (L2TP_HDR_T | L2TP_HDR_L | L2TP_HDR_S | L2TP_HDR_O | L2TP_HDR_P)
#define HDR_CONTROL (L2TP_HDR_T | L2TP_HDR_L | L2TP_HDR_S)
#define CONTROL_LEN 12
#define VERSION_1_0 0x0100

#define VENDOR_CISCO 9 /* puts the attributes of drafts beside those of RFC 3931 */

#define BIT(type) (UINT64_C(1) << (type))

/* clang-format off */
static const struct msg_row messages[] = {
	[L2TP_ZLB]     = { "ZLB", false, { 0 } },
	[L2TP_SCCRQ]   = { "SCCRQ", false, { 2, 3, 7, 9 } },
	[L2TP_SCCRP]   = { "SCCRP", false, { 2, 3, 7, 9 } },
	[L2TP_SCCCN]   = { "SCCCN", false, { 0 } },
	[L2TP_STOPCCN] = { "StopCCN", false, { 1, 9 } },
	[L2TP_HELLO]   = { "HELLO", false, { 0 } },
	[L2TP_OCRQ]    = { "OCRQ", true, { 14, 15, 16, 17, 18, 19, 21 } },
	[L2TP_OCRP]    = { "OCRP", true, { 14 } },
	[L2TP_OCCN]    = { "OCCN", true, { 19, 24 } },
	[L2TP_ICRQ]    = { "ICRQ", true, { 14, 15 } },
	[L2TP_ICRP]    = { "ICRP", true, { 14 } },
	[L2TP_ICCN]    = { "ICCN", true, { 19, 24 } },
	[L2TP_CDN]     = { "CDN", true, { 1, 14 } },
	[L2TP_WEN]     = { "WEN", true, { 34 } },
	[L2TP_SLI]     = { "SLI", true, { 35 } },
};
/* clang-format on */

static const struct msg_dialect dialect = { avp_row_of, messages,
					    sizeof(messages) / sizeof(messages[0]), false };

static const struct msg_row *msg_row_of(const struct msg_dialect *d, unsigned type)
{
	return type < d->count && d->messages[type].name ? &d->messages[type] : NULL;
}

const char *l2tp_type_name(unsigned type)
{
	const struct msg_row *row = msg_row_of(&dialect, type);

	return row ? row->name : NULL;
}

/* ---- the header ---- */

static enum l2tp_header_result header_control(struct rcur *c, size_t len, struct l2tp_header *h)
{
	uint16_t length;

	if ((h->flags & HDR_CONTROL) != HDR_CONTROL || (h->flags & L2TP_HDR_O))
		return L2TP_HDR_FLAGS;
	length = rcur_u16(c);
	h->tunnel = rcur_u16(c);
	h->session = rcur_u16(c);
	h->ns = rcur_u16(c);
	h->nr = rcur_u16(c);
	if (c->bad)
		return L2TP_HDR_SHORT;
	if (length > len || length < CONTROL_LEN)
		return L2TP_HDR_LENGTH;
	h->payload = CONTROL_LEN;
	h->len = length - CONTROL_LEN;
	return L2TP_HDR_OK;
}

/* Each optional field of a data header is there or not, and the header shrinks with it (3.1). */
static enum l2tp_header_result header_data(struct rcur *c, size_t len, struct l2tp_header *h)
{
	size_t end = len, at;
	uint16_t offset = 0;

	if (h->flags & L2TP_HDR_L)
		end = rcur_u16(c);
	h->tunnel = rcur_u16(c);
	h->session = rcur_u16(c);
	if (h->flags & L2TP_HDR_S) {
		h->ns = rcur_u16(c);
		h->nr = rcur_u16(c);
	}
	if (h->flags & L2TP_HDR_O)
		offset = rcur_u16(c);
	if (c->bad)
		return L2TP_HDR_SHORT;
	at = len - rcur_left(c);
	if (end > len || end < at)
		return L2TP_HDR_LENGTH;
	if (offset > end - at)
		return L2TP_HDR_OFFSET;
	h->payload = (uint32_t)(at + offset);
	h->len = (uint32_t)(end - at - offset);
	return L2TP_HDR_OK;
}

enum l2tp_header_result l2tp_header_parse(const uint8_t *bytes, size_t len, struct l2tp_header *ret)
{
	struct rcur c = rcur_of(bytes, len);
	struct l2tp_header h = { 0 };
	uint16_t word = rcur_u16(&c);
	enum l2tp_header_result r;

	if (c.bad)
		return L2TP_HDR_SHORT;
	if ((word & HDR_VERSION) != 2)
		return L2TP_HDR_VERSION;
	h.flags = word & HDR_KEPT;
	r = h.flags & L2TP_HDR_T ? header_control(&c, len, &h) : header_data(&c, len, &h);
	if (r == L2TP_HDR_OK)
		*ret = h;
	return r;
}

/* ---- parsing ---- */

struct parse {
	const struct msg_dialect *d;
	struct l2tp_msg *m;
	struct l2tp_verdict *v;
	const struct msg_row *row;
	const struct l2tp_secret *secret;
	uint32_t lax; /* L2TP_QUIRK_LAX_* of this peer */
	struct avp_room room;
	struct l2tp_bytes vector; /* the nearest Random Vector so far; n = 0: none */
	uint64_t seen[2];	  /* attributes that were there, well formed or not */
};

/*
 * Note a fault; the first one stands. With the scope OK it is a remark about something skipped,
 * which a real fault may replace. A StopCCN or CDN takes effect whatever else is in it.
 */
__attribute__((format(printf, 5, 6))) static void fault(struct parse *s,
							enum l2tp_verdict_scope scope,
							uint16_t result, uint16_t error,
							const char *fmt, ...)
{
	va_list args;

	if (s->m->known && (s->m->type == L2TP_STOPCCN || s->m->type == L2TP_CDN))
		scope = L2TP_MSG_OK;
	if (s->v->scope != L2TP_MSG_OK || (scope == L2TP_MSG_OK && s->v->text[0]))
		return;
	va_start(args, fmt);
	vsnprintf(s->v->text, sizeof(s->v->text), fmt, args);
	va_end(args);
	s->v->scope = scope;
	if (scope == L2TP_MSG_CLEAR) {
		s->v->session = s->row && s->row->session;
		s->v->result = result;
		s->v->error = error;
	}
}

/* A fault of one AVP: with M it ends the session or tunnel, without M the AVP is skipped. */
static void fault_avp(struct parse *s, const struct avp *a, uint16_t error, const char *what)
{
	fault(s, a->mandatory ? L2TP_MSG_CLEAR : L2TP_MSG_OK, L2TP_STOP_ERROR, error,
	      "%s AVP (%u) %s", s->d->row_of(a->type)->name, a->type, what);
}

static void fault_unknown(struct parse *s, const struct avp *a)
{
	const struct avp_row *row = a->vendor ? NULL : s->d->row_of(a->type);

	if (!a->mandatory)
		return;
	if (s->d->v3 && a->vendor == VENDOR_CISCO) {
		fault(s, L2TP_MSG_OK, 0, 0, "skipped although mandatory: vendor %u attribute %u",
		      a->vendor, a->type);
		return;
	}
	s->m->lax |= L2TP_QUIRK_LAX_MANDATORY;
	if (s->lax & L2TP_QUIRK_LAX_MANDATORY)
		fault(s, L2TP_MSG_OK, 0, 0, "skipped although mandatory: vendor %u attribute %u",
		      a->vendor, a->type);
	else if (row)
		fault(s, L2TP_MSG_CLEAR, L2TP_STOP_ERROR, L2TP_ERR_UNKNOWN_AVP,
		      "unknown mandatory AVP: vendor 0 attribute %u (%s%s)", a->type, row->name,
		      a->reserved && !s->d->v3 ? ", reserved bit set" : "");
	else
		fault(s, L2TP_MSG_CLEAR, L2TP_STOP_ERROR, L2TP_ERR_UNKNOWN_AVP,
		      "unknown mandatory AVP: vendor %u attribute %u", a->vendor, a->type);
}

static void fault_length(struct parse *s, const struct avp *a)
{
	struct avp forgiven = *a;

	if (a->mandatory)
		s->m->lax |= L2TP_QUIRK_LAX_LENGTH;
	if (s->lax & L2TP_QUIRK_LAX_LENGTH)
		forgiven.mandatory = false;
	fault_avp(s, &forgiven, L2TP_ERR_LENGTH, "has a wrong length");
}

static void parse_vector(struct parse *s, const struct avp *a)
{
	if (a->hidden)
		fault_avp(s, a, L2TP_ERR_VALUE, "must not be hidden");
	else if (a->n == 0)
		fault_avp(s, a, L2TP_ERR_LENGTH, "is empty");
	else
		s->vector = (struct l2tp_bytes){ a->value, a->n };
}

/* The plain value of a hidden AVP, or false after the fault was noted. */
static bool parse_hidden(struct parse *s, const struct avp *a, bool hideable,
			 struct l2tp_bytes *ret)
{
	if (!hideable) {
		fault_avp(s, a, L2TP_ERR_VALUE, "must not be hidden");
		return false;
	}
	if (!s->secret) {
		s->m->needs_secret = true;
		fault_avp(s, a, L2TP_ERR_UNKNOWN_AVP, "is hidden and no secret is configured");
		return false;
	}
	if (!s->vector.n) {
		fault_avp(s, a, L2TP_ERR_VALUE, "is hidden without a Random Vector before it");
		return false;
	}
	switch (avp_unhide(a->type, s->secret, &s->vector, a->value, a->n, &s->room, ret)) {
	case AVP_UNHIDE_OK:
		return true;
	case AVP_UNHIDE_SHORT:
		fault_avp(s, a, L2TP_ERR_LENGTH, "is hidden and too short");
		return false;
	case AVP_UNHIDE_LENGTH:
		fault_avp(s, a, L2TP_ERR_LENGTH, "cannot be unhidden: do the secrets differ?");
		return false;
	case AVP_UNHIDE_ROOM:
		fault_avp(s, a, L2TP_ERR_RESOURCES, "does not fit: too much is hidden");
		return false;
	}
	return false;
}

/* Values that the length cannot tell. True when this one will do. */
static bool value_good(struct parse *s, const struct avp *a, const struct l2tp_bytes *value)
{
	bool zero = value->n == 2 && !value->p[0] && !value->p[1];

	if (a->type == AVP_PROTOCOL_VERSION && value->n == 2 && value->p[0] != VERSION_1_0 >> 8) {
		fault(s, L2TP_MSG_CLEAR, L2TP_STOP_VERSION, VERSION_1_0,
		      "Protocol Version AVP (2) is %u.%u, only 1.0 is supported", value->p[0],
		      value->p[1]);
		return false;
	}
	/* In StopCCN and CDN 0 says that the sender never had an id. */
	if ((a->type == AVP_TUNNEL_ID && s->m->type != L2TP_STOPCCN && zero) ||
	    (a->type == AVP_SESSION_ID && s->m->type != L2TP_CDN && zero) ||
	    (a->type == AVP_WINDOW && zero)) {
		fault_avp(s, a, L2TP_ERR_VALUE, "must not be 0");
		return false;
	}
	return true;
}

/* The values of v3 that the length cannot tell (RFC 3931 5.4.3, 5.4.4). */
static bool value_good3(struct parse *s, const struct avp *a, const struct l2tp_bytes *value)
{
	struct rcur c = rcur_of(value->p, value->n);
	uint64_t v = value->n == 2 ? rcur_u16(&c) : value->n == 4 ? rcur_u32(&c) : UINT64_MAX;

	if (value->n != 2 && value->n != 4)
		return true;
	if ((a->type == L2TP3_AVP_CONNECTION_ID && s->m->type != L2TP_STOPCCN && !v) ||
	    (a->type == L2TP3_AVP_WINDOW && !v)) {
		fault_avp(s, a, L2TP_ERR_VALUE, "must not be 0");
		return false;
	}
	if (a->type == L2TP3_AVP_LOCAL_SESSION && s->m->type != L2TP_CDN && !v) {
		fault_avp(s, a, L2TP_ERR_SESSION_ID, "must not be 0");
		return false;
	}
	if ((a->type == L2TP3_AVP_SUBLAYER && v > L2TP3_SUBLAYER_DEFAULT) ||
	    (a->type == L2TP3_AVP_SEQUENCING && v > L2TP3_SEQ_ALL)) {
		fault_avp(s, a, L2TP_ERR_VALUE, "has a value that is not supported");
		return false;
	}
	return true;
}

/*
 * Skipping these would leave a session whose data the peer cannot read, so they are never
 * "recoverable" in the sense of RFC 3931 7.1, M or not.
 */
static bool never_skipped(const struct parse *s, const struct avp *a)
{
	return s->d->v3 && !a->vendor &&
	       (a->type == L2TP3_AVP_COOKIE || a->type == L2TP3_AVP_SUBLAYER ||
		a->type == L2TP3_AVP_SEQUENCING);
}

static void parse_avp(struct parse *s, struct avp *a)
{
	const struct avp_row *row = a->vendor ? NULL : s->d->row_of(a->type);
	struct l2tp_bytes value = { a->value, a->n };
	uint64_t bit;

	/* Reserved bits: "unrecognized" in RFC 2661 4.1, "ignored" in RFC 3931 5.1. */
	if ((a->reserved && !s->d->v3) || !row || row->form == AVP_FORM_UNKNOWN) {
		fault_unknown(s, a);
		return;
	}
	if (row->form == AVP_FORM_LEGACY || row->form == AVP_FORM_DIGEST)
		return;
	if (a->type == AVP_RANDOM_VECTOR) {
		parse_vector(s, a);
		return;
	}
	if (!(row->in >> s->m->type & 1))
		return;
	bit = BIT(a->type % 64);
	if (s->seen[a->type / 64] & bit)
		return;
	s->seen[a->type / 64] |= bit;
	a->mandatory |= never_skipped(s, a);
	if (a->hidden && !parse_hidden(s, a, row->hideable, &value))
		return;
	if (!(s->d->v3 ? value_good3(s, a, &value) : value_good(s, a, &value)))
		return;
	if (!avp_store(s->m, row, a->type, value.p, value.n))
		fault_length(s, a);
}

/* The first AVP (4.4.1). False when there is nothing to go on with; the verdict says why. */
static bool parse_type(struct parse *s, struct rcur *c)
{
	struct avp a;

	if (avp_next(c, &a) != AVP_NEXT_OK || a.type != AVP_MESSAGE_TYPE ||
	    (a.reserved && !s->d->v3) || a.hidden || a.n != 2) {
		fault(s, L2TP_MSG_DROP, 0, 0, "the first AVP is no readable Message Type");
		return false;
	}
	s->m->type = (uint16_t)(a.value[0] << 8 | a.value[1]);
	s->m->type_mandatory = a.mandatory;
	s->row = a.vendor || s->m->type == L2TP_ZLB ? NULL : msg_row_of(s->d, s->m->type);
	s->m->known = s->row;
	if (s->row) {
		s->seen[0] |= BIT(AVP_MESSAGE_TYPE);
		s->m->have[0] |= BIT(AVP_MESSAGE_TYPE);
		return true;
	}
	if (a.vendor)
		fault(s, a.mandatory ? L2TP_MSG_CLEAR : L2TP_MSG_IGNORE, L2TP_STOP_ERROR,
		      L2TP_ERR_VALUE, "unknown message: vendor %u type %u", a.vendor, s->m->type);
	else
		fault(s, a.mandatory ? L2TP_MSG_CLEAR : L2TP_MSG_IGNORE, L2TP_STOP_ERROR,
		      L2TP_ERR_VALUE, "unknown message type %u", s->m->type);
	return false;
}

static void check_required(struct parse *s)
{
	for (const uint8_t *type = s->row->required; *type; type++) {
		if (l2tp_msg_has(s->m, *type))
			continue;
		fault(s, L2TP_MSG_CLEAR, L2TP_STOP_ERROR, L2TP_ERR_VALUE, "%s without %s AVP (%u)",
		      s->row->name, s->d->row_of(*type)->name, *type);
		return;
	}
}

void l2tp_msg_parse(const uint8_t *payload, size_t len, const struct l2tp_secret *secret,
		    uint8_t scratch[L2TP_SCRATCH], struct l2tp_msg *ret_msg,
		    struct l2tp_verdict *ret_verdict)
{
	msg_parse(&dialect, payload, len, secret, 0, scratch, ret_msg, ret_verdict);
}

void l2tp_msg_parse_lax(const uint8_t *payload, size_t len, const struct l2tp_secret *secret,
			uint32_t lax, uint8_t scratch[L2TP_SCRATCH], struct l2tp_msg *ret_msg,
			struct l2tp_verdict *ret_verdict)
{
	msg_parse(&dialect, payload, len, secret, lax, scratch, ret_msg, ret_verdict);
}

void msg_parse(const struct msg_dialect *d, const uint8_t *payload, size_t len,
	       const struct l2tp_secret *secret, uint32_t lax, uint8_t scratch[L2TP_SCRATCH],
	       struct l2tp_msg *ret_msg, struct l2tp_verdict *ret_verdict)
{
	struct rcur c = rcur_of(payload, len);
	struct parse s = { .d = d,
			   .m = ret_msg,
			   .v = ret_verdict,
			   .secret = secret,
			   .lax = lax,
			   .room = { scratch, 0, L2TP_SCRATCH } };
	enum avp_next next;
	struct avp a;

	memset(ret_msg, 0, sizeof(*ret_msg));
	memset(ret_verdict, 0, sizeof(*ret_verdict));
	if (len == 0) {
		ret_msg->known = true;
		return;
	}
	if (!parse_type(&s, &c))
		return;
	while ((next = avp_next(&c, &a)) == AVP_NEXT_OK)
		parse_avp(&s, &a);
	if (next == AVP_NEXT_BROKEN)
		fault(&s, a.mandatory ? L2TP_MSG_CLEAR : L2TP_MSG_IGNORE, L2TP_STOP_ERROR,
		      L2TP_ERR_LENGTH, "the Length of an AVP is below 6 or past the end");
	check_required(&s);
}

/* ---- building ---- */

void msg_put_header(struct wcur *c, unsigned int version, uint16_t len)
{
	wcur_u16(c, (uint16_t)(HDR_CONTROL | version));
	wcur_u16(c, len);
	wcur_u64(c, 0);
}

static void put_avp_header(struct wcur *c, uint16_t flags, uint16_t type, size_t n)
{
	if (n > AVP_VALUE_MAX) {
		c->bad = true;
		return;
	}
	wcur_u16(c, (uint16_t)(flags | (n + AVP_HEADER)));
	wcur_u16(c, 0);
	wcur_u16(c, type);
}

/* A fresh Random Vector for each message, before the first hidden AVP (4.3). */
static void put_vector(struct l2tp_build *b)
{
	const uint16_t n = 16;
	uint8_t *p;

	put_avp_header(&b->c, AVP_FLAG_M, AVP_RANDOM_VECTOR, n);
	p = wcur_room(&b->c, n);
	if (!p)
		return;
	rng_bytes(b->rng, p, n);
	b->vector = (struct l2tp_bytes){ p, n };
}

void l2tp_build_begin(struct l2tp_build *b, void *buf, size_t cap, uint16_t type,
		      const struct l2tp_secret *secret, struct rng *rng)
{
	*b = (struct l2tp_build){
		.c = wcur_of(buf, cap), .secret = secret, .rng = rng, .type = type
	};
	msg_put_header(&b->c, 2, 0);
	l2tp_build_u16(b, AVP_MESSAGE_TYPE, type);
}

void l2tp_build_bytes(struct l2tp_build *b, unsigned avp, const void *v, size_t n)
{
	const struct avp_row *row = b->v3 ? avp3_row_of(avp) : avp_row_of(avp);
	bool hide = b->secret && row && row->hideable;
	uint16_t flags = row && row->mandatory ? AVP_FLAG_M : 0;
	size_t at;

	if (hide && !b->vector.n)
		put_vector(b);
	if (!hide) {
		put_avp_header(&b->c, flags, (uint16_t)avp, n);
		wcur_bytes(&b->c, v, n);
		return;
	}
	put_avp_header(&b->c, flags | AVP_FLAG_H, (uint16_t)avp, n + 2);
	at = b->c.len;
	wcur_u16(&b->c, (uint16_t)n);
	wcur_bytes(&b->c, v, n);
	if (!b->c.bad)
		avp_hide((uint16_t)avp, b->secret, &b->vector, b->c.buf + at, b->c.len - at);
}

void l2tp_build_u16(struct l2tp_build *b, unsigned avp, uint16_t v)
{
	uint8_t bytes[2];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	wcur_u16(&c, v);
	l2tp_build_bytes(b, avp, bytes, sizeof(bytes));
}

void l2tp_build_u32(struct l2tp_build *b, unsigned avp, uint32_t v)
{
	uint8_t bytes[4];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	wcur_u32(&c, v);
	l2tp_build_bytes(b, avp, bytes, sizeof(bytes));
}

void l2tp_build_u64(struct l2tp_build *b, unsigned avp, uint64_t v)
{
	uint8_t bytes[8];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	wcur_u64(&c, v);
	l2tp_build_bytes(b, avp, bytes, sizeof(bytes));
}

/* Octets of `text` to send: cut to the limit, and never inside a UTF-8 character (4.4.2). */
static size_t text_cut(const char *text)
{
	size_t n = strnlen(text, L2TP_TEXT_MAX);

	if (n < L2TP_TEXT_MAX)
		return n;
	n = L2TP_TEXT_MAX - 1;
	while (n && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void l2tp_build_result(struct l2tp_build *b, uint16_t result, uint16_t error, const char *text)
{
	uint8_t bytes[4 + L2TP_TEXT_MAX];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	wcur_u16(&c, result);
	/* Result 2 always has its error code with it (4.4.2). */
	if (error || (text && text[0]) || result == L2TP_STOP_ERROR)
		wcur_u16(&c, error);
	if (text)
		wcur_bytes(&c, text, text_cut(text));
	l2tp_build_bytes(b, AVP_RESULT_CODE, bytes, c.len);
}

void l2tp_build_accm(struct l2tp_build *b, uint32_t send, uint32_t recv)
{
	uint8_t bytes[10];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	wcur_u16(&c, 0);
	wcur_u32(&c, send);
	wcur_u32(&c, recv);
	l2tp_build_bytes(b, AVP_ACCM, bytes, sizeof(bytes));
}

size_t l2tp_build_end(struct l2tp_build *b)
{
	if (b->c.len > UINT16_MAX)
		b->c.bad = true;
	wcur_patch_u16(&b->c, 2, (uint16_t)b->c.len);
	return b->c.bad ? 0 : b->c.len;
}

void l2tp_build_stamp(uint8_t *msg, size_t len, uint16_t tunnel, uint16_t session, uint16_t ns,
		      uint16_t nr)
{
	struct wcur c = wcur_of(msg, len);

	c.len = len < 4 ? len : 4;
	wcur_u16(&c, tunnel);
	wcur_u16(&c, session);
	wcur_u16(&c, ns);
	wcur_u16(&c, nr);
}

size_t l2tp_build_zlb(uint8_t *buf, size_t cap, uint16_t tunnel, uint16_t ns, uint16_t nr)
{
	struct wcur c = wcur_of(buf, cap);

	msg_put_header(&c, 2, CONTROL_LEN);
	if (c.bad)
		return 0;
	l2tp_build_stamp(buf, CONTROL_LEN, tunnel, 0, ns, nr);
	return CONTROL_LEN;
}
