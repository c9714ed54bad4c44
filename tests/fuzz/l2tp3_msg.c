/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: L2TPv3 header and control message over UDP and over IP, digests, hiding, and back.
 *
 * drives: src/l2tp/msg3.c src/l2tp/avp3.c src/l2tp/auth3.c
 *
 * Input: one octet of flags (1: over IP; 2: one secret, 4: a second one; 8: HMAC-SHA-1; 16: hide
 * what is written again; 32: no nonces), then a UDP or IP payload. Besides what the sanitizers find
 * it is an error when a message of UDP is read otherwise over IP, with the session id 0 before it,
 * when a field points outside the message and the scratch space, when a verdict has
 * no words, when what was signed does not verify, or when a message that was read does not come
 * back the same after it was written.
 */
#include <stdlib.h>
#include "l2tp/avp.h"
#include "l2tp/msg3.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct l2tp_secret secrets[2] = { { (const uint8_t *)"hush", 4 },
					       { (const uint8_t *)"new", 3 } };
static const struct l2tp3_nonces ours = { { (const uint8_t *)"own nonce", 9 },
					  { (const uint8_t *)"peer", 4 } };
static const struct l2tp3_nonces theirs = { { (const uint8_t *)"peer", 4 },
					    { (const uint8_t *)"own nonce", 9 } };

static const struct l2tp_bytes *run_of(const struct l2tp_msg *m, unsigned type)
{
	return (const struct l2tp_bytes *)(const void *)((const uint8_t *)m +
							 avp3_row_of(type)->at);
}

static bool is_run(unsigned type)
{
	unsigned form = avp3_row_of(type)->form;

	return form == AVP_FORM_BYTES || form == AVP_FORM_LIST || form == AVP_FORM_COOKIE;
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
	for (unsigned type = 1; type < AVP_TYPE_COUNT; type++) {
		if (l2tp_msg_has(m, type) && is_run(type))
			check_run(run_of(m, type), payload, len, scratch);
	}
	check_run(&m->text, payload, len, scratch);
	CHECK(memchr(v->text, 0, sizeof(v->text)));
	CHECK(v->scope == L2TP_MSG_OK || v->text[0]);
	CHECK(v->scope != L2TP_MSG_CLEAR || v->result);
	CHECK(m->known || v->scope != L2TP_MSG_OK);
	CHECK(m->cookie.n == 0 || m->cookie.n == 4 || m->cookie.n == 8);
	CHECK(m->pw_caps.n % 2 == 0 && m->sublayer <= 1 && m->sequencing <= 2);
	if (m->pw_caps.n)
		CHECK(l2tp3_caps_has(&m->pw_caps,
				     (uint16_t)(m->pw_caps.p[0] << 8 | m->pw_caps.p[1])));
	if (m->known && (m->type == L2TP_STOPCCN || m->type == L2TP_CDN))
		CHECK(v->scope == L2TP_MSG_OK);
	if (m->known && l2tp_msg_has(m, 68))
		l2tp3_pw_name(m->pw_type);
	CHECK(!m->known || m->type == L2TP_ZLB || l2tp3_type_name(m->type));
}

static void build_avp(struct l2tp_build *b, const struct l2tp_msg *m, unsigned type)
{
	const struct avp_row *row = avp3_row_of(type);
	const uint8_t *at = (const uint8_t *)m + row->at;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	if (type == L2TP3_AVP_RESULT) {
		l2tp_build_result(b, m->result, m->error, NULL);
	} else if (type == L2TP3_AVP_ERRORS) {
		l2tp3_build_errors(b, m->call_errors);
	} else if (is_run(type)) {
		l2tp_build_bytes(b, type, run_of(m, type)->p, run_of(m, type)->n);
	} else if (row->max == 2) {
		memcpy(&u16, at, sizeof(u16));
		l2tp_build_u16(b, type, u16);
	} else if (row->max == 4) {
		memcpy(&u32, at, sizeof(u32));
		l2tp_build_u32(b, type, u32);
	} else if (row->max == 8) {
		memcpy(&u64, at, sizeof(u64));
		l2tp_build_u64(b, type, u64);
	} else {
		CHECK(row->max == 0);
		l2tp_build_bytes(b, type, NULL, 0);
	}
}

static void same(const struct l2tp_msg *a, const struct l2tp_msg *b, unsigned type)
{
	const struct avp_row *row = avp3_row_of(type);
	const struct l2tp_bytes *ra = run_of(a, type), *rb = run_of(b, type);

	CHECK(l2tp_msg_has(b, type));
	if (type == L2TP3_AVP_RESULT)
		CHECK(a->result == b->result && a->error == b->error);
	else if (type == L2TP3_AVP_ERRORS)
		CHECK(!memcmp(a->call_errors, b->call_errors, sizeof(a->call_errors)));
	else if (is_run(type))
		CHECK(ra->n == rb->n && (!ra->n || !memcmp(ra->p, rb->p, ra->n)));
	else if (row->max)
		CHECK(!memcmp((const uint8_t *)a + row->at, (const uint8_t *)b + row->at,
			      row->max));
}

static void round_trip(const struct l2tp_msg *m, const struct l2tp3_auth *auth, bool hide)
{
	static const uint8_t seed[RNG_SEED];
	static uint8_t buf[32768];
	struct l2tp_secret key = l2tp3_hide_secret(&auth->keys[0]);
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp3_header h;
	struct l2tp_build b;
	struct l2tp_msg again;
	struct rng rng;
	size_t n, plain = 0;

	rng_init(&rng, seed);
	l2tp3_build_begin(&b, buf, sizeof(buf), m->type, auth, hide, &rng);
	for (unsigned type = 1; type < AVP_TYPE_COUNT; type++) {
		if (!l2tp_msg_has(m, type))
			continue;
		build_avp(&b, m, type);
		plain += is_run(type) ? run_of(m, type)->n : 8;
	}
	n = l2tp_build_end(&b);
	if (!n || (hide && plain > L2TP_SCRATCH - 100))
		return; /* a value that fits plain need not fit hidden */
	l2tp_build_stamp3(buf, n, 0x10002, 3, 4);
	l2tp3_sign(buf, n, auth, &ours);
	CHECK(l2tp3_header_parse(L2TP3_UDP, buf, n, &h) == L2TP_HDR_OK);
	CHECK(h.control && h.connection == 0x10002 && h.ns == 3 && h.nr == 4 && h.total == n);
	CHECK(l2tp3_verify(buf, n, auth, &theirs, NULL) ==
	      (auth->n ? L2TP3_CHECK_GOOD : L2TP3_CHECK_ABSENT));
	l2tp3_msg_parse(buf + 12, n - 12, &key, 0, scratch, &again, &v);
	CHECK(again.type == m->type);
	for (unsigned type = 1; type < AVP_TYPE_COUNT; type++) {
		if (l2tp_msg_has(m, type))
			same(m, &again, type);
	}
}

/* Acknowledgements and the request for either version come out right, whatever the keys. */
static void others(const struct l2tp3_auth *auth)
{
	uint8_t buf[128];
	struct l2tp3_header h;
	struct l2tp_build b;
	size_t n = l2tp3_build_ack(buf, sizeof(buf), auth, 7, 1, 2);

	CHECK(n && l2tp3_header_parse(L2TP3_UDP, buf, n, &h) == L2TP_HDR_OK);
	CHECK(h.connection == 7 && h.nr == 2 && h.total == n);
	l2tp3_build_begin_fallback(&b, buf, sizeof(buf), auth);
	l2tp_build_u32(&b, L2TP3_AVP_CONNECTION_ID, 9);
	n = l2tp_build_end(&b);
	CHECK(l2tp3_fallback_parse(buf, n, &h) && h.total == n);
}

/* A control message that is good over UDP is the same over IP. */
static void same_over_ip(const uint8_t *data, size_t size, const struct l2tp3_header *udp)
{
	uint8_t *copy = malloc(size + L2TP3_IP_PREFIX);
	struct l2tp3_header ip;

	CHECK(copy);
	memset(copy, 0, L2TP3_IP_PREFIX);
	memcpy(copy + L2TP3_IP_PREFIX, data, size);
	CHECK(l2tp3_header_parse(L2TP3_IP, copy, size + L2TP3_IP_PREFIX, &ip) == L2TP_HDR_OK);
	CHECK(ip.control && ip.connection == udp->connection);
	CHECK(ip.ns == udp->ns && ip.nr == udp->nr && ip.len == udp->len);
	CHECK(ip.start == L2TP3_IP_PREFIX && ip.payload == udp->payload + L2TP3_IP_PREFIX);
	CHECK(ip.total == udp->total);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t scratch[L2TP_SCRATCH], flags;
	struct l2tp_secret key;
	struct l2tp3_auth auth;
	struct l2tp_verdict v;
	struct l2tp3_header h;
	struct l2tp_msg m;
	unsigned used = 0;

	if (!size)
		return 0;
	flags = *data++;
	size--;
	l2tp3_auth_set(&auth, secrets,
		       flags & 4   ? 2
		       : flags & 2 ? 1
				   : 0,
		       flags & 8 ? L2TP3_DIGEST_SHA1 : L2TP3_DIGEST_MD5);
	if (!(flags & 6) && flags & 8)
		l2tp3_auth_empty(&auth, L2TP3_DIGEST_SHA1);
	if (l2tp3_version(data, size) == 2 && l2tp3_fallback_parse(data, size, &h)) {
		CHECK(h.payload + h.len <= size && h.start + h.total <= size);
	} else if (l2tp3_header_parse(flags & 1 ? L2TP3_IP : L2TP3_UDP, data, size, &h)) {
		return 0;
	} else if (!(flags & 1) && h.control) {
		same_over_ip(data, size, &h);
	}
	CHECK(h.payload <= size && h.len <= size - h.payload);
	if (!h.control)
		return 0;
	CHECK(h.start + h.total == h.payload + h.len);
	others(&auth);
	l2tp3_verify(data + h.start, h.total, &auth, flags & 32 ? NULL : &theirs, &used);
	CHECK(used < L2TP3_SECRETS_MAX);
	key = l2tp3_hide_secret(&auth.keys[used]);
	l2tp3_peek_nonce(data + h.payload, h.len);
	l2tp3_msg_parse(data + h.payload, h.len, auth.n && !auth.empty ? &key : NULL,
			flags & 64 ? L2TP_QUIRK_LAX_MANDATORY : 0, scratch, &m, &v);
	check(&m, &v, data + h.payload, h.len, scratch);
	if (m.known && m.type != L2TP_ZLB && v.scope == L2TP_MSG_OK)
		round_trip(&m, &auth, flags & 16);
	return 0;
}
