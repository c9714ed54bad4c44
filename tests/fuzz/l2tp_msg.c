/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: L2TPv2 header and control message, with and without a secret, and back.
 *
 * drives: src/l2tp/msg.c src/l2tp/avp.c src/l2tp/auth.c
 *
 * Input: one octet of flags (1: a secret is configured; 2: hide what is written again; 4: forgive
 * what known peers get wrong), then a UDP payload. Besides what the sanitizers find it is an error
 * when a field points outside the message and the scratch space, when a verdict has no words, or
 * when a message that was read does not come back the same after it was written.
 */
#include <stdlib.h>
#include "l2tp/avp.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Longer than may be sent, and cut inside a character unless care is taken. */
#define LONG_TEXT                                                                         \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678" \
	"9012345678901234567890123456789012345678901234567\xc3\xa4\xc3\xa4\xc3\xa4"

static const struct l2tp_secret hush = { (const uint8_t *)"hush", 4 };

static const struct l2tp_bytes *run_of(const struct l2tp_msg *m, unsigned type)
{
	const struct avp_row *row = avp_row_of(type);

	return (const struct l2tp_bytes *)(const void *)((const uint8_t *)m + row->at);
}

static void check_run(const struct l2tp_bytes *b, const uint8_t *payload, size_t len,
		      const uint8_t *scratch)
{
	bool inside = b->p >= payload && b->p + b->n <= payload + len;
	bool unhidden = b->p >= scratch && b->p + b->n <= scratch + L2TP_SCRATCH;

	CHECK(!b->n || inside || unhidden);
}

static void check(const struct l2tp_msg *m, const struct l2tp_verdict *v, const uint8_t *payload,
		  size_t len, const uint8_t *scratch)
{
	for (unsigned type = 0; type < AVP_TYPE_COUNT; type++) {
		if (l2tp_msg_has(m, type) && avp_row_of(type)->form == AVP_FORM_BYTES)
			check_run(run_of(m, type), payload, len, scratch);
	}
	check_run(&m->text, payload, len, scratch);
	CHECK(memchr(v->text, 0, sizeof(v->text)));
	CHECK(v->scope == L2TP_MSG_OK || v->text[0]);
	CHECK(v->scope != L2TP_MSG_CLEAR || v->result);
	CHECK(m->known || v->scope != L2TP_MSG_OK);
	if (m->type == L2TP_STOPCCN || m->type == L2TP_CDN)
		CHECK(!m->known || v->scope == L2TP_MSG_OK);
}

/* The simple forms: what is in the struct, written by the call of that form. */
static void build_avp(struct l2tp_build *b, const struct l2tp_msg *m, unsigned type)
{
	const struct avp_row *row = avp_row_of(type);
	const uint8_t *at = (const uint8_t *)m + row->at;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch ((enum avp_form)row->form) {
	case AVP_FORM_U16:
		memcpy(&u16, at, sizeof(u16));
		l2tp_build_u16(b, type, u16);
		break;
	case AVP_FORM_U32:
		memcpy(&u32, at, sizeof(u32));
		l2tp_build_u32(b, type, u32);
		break;
	case AVP_FORM_U64:
		memcpy(&u64, at, sizeof(u64));
		l2tp_build_u64(b, type, u64);
		break;
	case AVP_FORM_BYTES:
		l2tp_build_bytes(b, type, run_of(m, type)->p, run_of(m, type)->n);
		break;
	case AVP_FORM_EMPTY:
		l2tp_build_bytes(b, type, NULL, 0);
		break;
	case AVP_FORM_RESULT:
		l2tp_build_result(b, m->result, m->error, LONG_TEXT);
		break;
	case AVP_FORM_ACCM:
		l2tp_build_accm(b, m->accm_send, m->accm_recv);
		break;
	case AVP_FORM_UNKNOWN:
	case AVP_FORM_Q931:
	case AVP_FORM_ERRORS:
	case AVP_FORM_VECTOR:
	case AVP_FORM_LEGACY:
	case AVP_FORM_DIGEST:
	case AVP_FORM_EXTENDED:
	case AVP_FORM_LIST:
	case AVP_FORM_COOKIE:
	case AVP_FORM_ERRORS3:
		break;
	}
}

static bool same(const struct l2tp_msg *a, const struct l2tp_msg *b, unsigned type)
{
	const struct avp_row *row = avp_row_of(type);
	const uint8_t *pa = (const uint8_t *)a + row->at, *pb = (const uint8_t *)b + row->at;
	const struct l2tp_bytes *ra, *rb;

	switch ((enum avp_form)row->form) {
	case AVP_FORM_U16:
		return !memcmp(pa, pb, 2);
	case AVP_FORM_U32:
		return !memcmp(pa, pb, 4);
	case AVP_FORM_U64:
		return !memcmp(pa, pb, 8);
	case AVP_FORM_BYTES:
		ra = run_of(a, type);
		rb = run_of(b, type);
		return ra->n == rb->n && (!ra->n || !memcmp(ra->p, rb->p, ra->n));
	case AVP_FORM_RESULT:
		return a->result == b->result && a->error == b->error;
	case AVP_FORM_ACCM:
		return a->accm_send == b->accm_send && a->accm_recv == b->accm_recv;
	case AVP_FORM_EMPTY:
		return true;
	case AVP_FORM_UNKNOWN:
	case AVP_FORM_Q931:
	case AVP_FORM_ERRORS:
	case AVP_FORM_VECTOR:
	case AVP_FORM_LEGACY:
	case AVP_FORM_DIGEST:
	case AVP_FORM_EXTENDED:
	case AVP_FORM_LIST:
	case AVP_FORM_COOKIE:
	case AVP_FORM_ERRORS3:
		break;
	}
	return true;
}

static void round_trip(const struct l2tp_msg *m, bool hide)
{
	static const uint8_t seed[RNG_SEED];
	static uint8_t buf[32768];
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp_header h;
	struct l2tp_build b;
	struct l2tp_msg again;
	struct rng rng;
	size_t n, plain = 0;

	rng_init(&rng, seed);
	l2tp_build_begin(&b, buf, sizeof(buf), m->type, hide ? &hush : NULL, &rng);
	for (unsigned type = 1; type < AVP_TYPE_COUNT; type++) {
		if (!l2tp_msg_has(m, type))
			continue;
		build_avp(&b, m, type);
		if (avp_row_of(type)->form == AVP_FORM_BYTES)
			plain += run_of(m, type)->n;
	}
	n = l2tp_build_end(&b);
	if (!n || (hide && plain > L2TP_SCRATCH - 100))
		return; /* a value that fits plain need not fit hidden */
	l2tp_build_stamp(buf, n, 1, 2, 3, 4);
	CHECK(l2tp_header_parse(buf, n, &h) == L2TP_HDR_OK);
	CHECK(h.tunnel == 1 && h.session == 2 && h.ns == 3 && h.nr == 4);
	CHECK(h.payload == 12 && h.len == n - 12);
	l2tp_msg_parse(buf + 12, n - 12, &hush, scratch, &again, &v);
	CHECK(again.type == m->type);
	for (unsigned type = 1; type < AVP_TYPE_COUNT; type++) {
		if (l2tp_msg_has(m, type) && l2tp_msg_has(&again, type))
			CHECK(same(m, &again, type));
		else if (l2tp_msg_has(m, type))
			CHECK(type == 12 || type == 34);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp_header h;
	struct l2tp_msg m;
	uint8_t flags;

	if (!size)
		return 0;
	flags = data[0];
	data++;
	size--;
	if (l2tp_header_parse(data, size, &h) != L2TP_HDR_OK)
		return 0;
	CHECK(h.payload <= size && h.len <= size - h.payload);
	if (!(h.flags & L2TP_HDR_T))
		return 0;
	l2tp_msg_parse_lax(data + h.payload, h.len, flags & 1 ? &hush : NULL,
			   flags & 4 ? L2TP_QUIRK_LAX_MANDATORY | L2TP_QUIRK_LAX_LENGTH : 0,
			   scratch, &m, &v);
	check(&m, &v, data + h.payload, h.len, scratch);
	if (m.known && m.type != L2TP_ZLB && v.scope == L2TP_MSG_OK)
		round_trip(&m, flags & 2);
	return 0;
}
