/* SPDX-License-Identifier: MIT
 *
 * Control messages of L2TPv3: headers over UDP and IP, every attribute, every message, verdicts and
 * images (RFC 3931 3.2, 4.1, 5, 6), against tools/vectors/l2tp3_vectors.py.
 *
 * Rows: V3-3.2-01, V3-3.2-04, V3-4.1-04, V3-5.2-01, V3-5.2-03, V3-5.3-02
 */
#include "raw.h"
#include "vectors3.h"
#include "l2tp/msg3.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct l2tp_secret hush = { (const uint8_t *)"hush", 4 };
static const uint8_t seed[RNG_SEED] = "unit test";
static uint8_t scratch[L2TP_SCRATCH];

static struct l2tp_verdict parse(struct l2tp_msg *m, const uint8_t *p, size_t n,
				 const struct l2tp_secret *hide, uint32_t lax)
{
	struct l2tp_verdict v;
	struct octets exact = octets_copy(p, n);
	static uint8_t keep[70000]; /* what *m points to outlives the exact copy */

	l2tp3_msg_parse(exact.p, n, hide, lax, scratch, m, &v);
	free(exact.p);
	memcpy(keep, p, n);
	l2tp3_msg_parse(keep, n, hide, lax, scratch, m, &v);
	return v;
}

static struct l2tp_verdict parse_raw(struct l2tp_msg *m, const struct raw *r)
{
	return parse(m, r->buf, r->n, NULL, 0);
}

/* ---- the header ---- */

static enum l2tp_header_result header(enum l2tp3_carrier carrier, const char *hex,
				      struct l2tp3_header *h)
{
	struct octets o = octets_hex(hex);
	enum l2tp_header_result r = l2tp3_header_parse(carrier, o.p, o.n, h);

	free(o.p);
	return r;
}

static void control_over_udp(void **state)
{
	struct l2tp3_header h;

	assert_int_equal(header(L2TP3_UDP, "c803000c1234567800050007", &h), L2TP_HDR_OK);
	assert_true(h.control);
	assert_false(h.counts_session_id);
	assert_int_equal(h.connection, 0x12345678);
	assert_int_equal(h.ns, 5);
	assert_int_equal(h.nr, 7);
	assert_int_equal(h.start, 0);
	assert_int_equal(h.total, 12);
	assert_int_equal(h.payload, 12);
	assert_int_equal(h.len, 0);
	/* V3-3.2-02: reserved bits, O and P of v2 among them */
	assert_int_equal(header(L2TP3_UDP, "fff3000c1234567800050007", &h), L2TP_HDR_OK);
	assert_int_equal(h.payload, 12);
	/* what stands behind Length does not count */
	assert_int_equal(header(L2TP3_UDP, "c803000c1234567800050007ffff", &h), L2TP_HDR_OK);
	assert_int_equal(h.len, 0);
}

/* V3-3.2-03 */
static void broken_control_headers(void **state)
{
	struct l2tp3_header h = { .ns = 99 };

	assert_int_equal(header(L2TP3_UDP, "8803000c1234567800050007", &h), L2TP_HDR_FLAGS);
	assert_int_equal(header(L2TP3_UDP, "c003000c1234567800050007", &h), L2TP_HDR_FLAGS);
	assert_int_equal(header(L2TP3_UDP, "c803000d1234567800050007", &h), L2TP_HDR_LENGTH);
	assert_int_equal(header(L2TP3_UDP, "c803000b1234567800050007", &h), L2TP_HDR_LENGTH);
	assert_int_equal(header(L2TP3_UDP, "c80300101234567800050007", &h), L2TP_HDR_LENGTH);
	assert_int_equal(header(L2TP3_UDP, "c804000c1234567800050007", &h), L2TP_HDR_VERSION);
	assert_int_equal(header(L2TP3_UDP, "c802000c1234567800050007", &h), L2TP_HDR_VERSION);
	assert_int_equal(h.ns, 99);
	for (size_t n = 0; n < 12; n++) {
		char cut[32] = "c803000c1234567800050007";

		cut[2 * n] = 0;
		assert_int_equal(header(L2TP3_UDP, cut, &h), L2TP_HDR_SHORT);
	}
}

/* L19, L20 (badinput L19, L20): Length without the session id, or, from a Cisco, with it */
static void control_over_ip(void **state)
{
	const char *image = "00000000c803000c1234567800050007";
	struct l2tp3_header h;

	assert_int_equal(header(L2TP3_IP, image, &h), L2TP_HDR_OK);
	assert_true(h.control);
	assert_false(h.counts_session_id);
	assert_int_equal(h.start, 4);
	assert_int_equal(h.total, 12);
	assert_int_equal(h.payload, 16);
	assert_int_equal(h.len, 0);
	assert_int_equal(header(L2TP3_IP, "00000000c80300101234567800050007", &h), L2TP_HDR_OK);
	assert_true(h.counts_session_id);
	assert_int_equal(h.total, 12);
	assert_int_equal(h.len, 0);
	assert_int_equal(header(L2TP3_IP, "00000000c803000f1234567800050007", &h), L2TP_HDR_LENGTH);
	assert_int_equal(header(L2TP3_IP, "00000000c80300111234567800050007", &h), L2TP_HDR_LENGTH);
	assert_int_equal(header(L2TP3_IP, "000000000803000c1234567800050007", &h), L2TP_HDR_FLAGS);
	for (size_t n = 0; n < 16; n++) {
		char cut[40];

		strcpy(cut, image);
		cut[2 * n] = 0;
		assert_int_equal(header(L2TP3_IP, cut, &h), L2TP_HDR_SHORT);
	}
}

/* V3-4.1-03: over IP any other session id is data, even when it goes on like a control message */
static void data(void **state)
{
	struct l2tp3_header h;

	assert_int_equal(header(L2TP3_UDP, "0003ffff11223344aabbccdd", &h), L2TP_HDR_OK);
	assert_false(h.control);
	assert_int_equal(h.session, 0x11223344);
	assert_int_equal(h.payload, 8);
	assert_int_equal(h.len, 4);
	assert_int_equal(header(L2TP3_UDP, "7ff3ffff11223344", &h), L2TP_HDR_OK);
	assert_int_equal(h.len, 0);
	assert_int_equal(header(L2TP3_UDP, "0003000011223", &h), L2TP_HDR_SHORT);
	assert_int_equal(header(L2TP3_IP, "11223344c803000c1234567800050007", &h), L2TP_HDR_OK);
	assert_false(h.control);
	assert_int_equal(h.session, 0x11223344);
	assert_int_equal(h.payload, 4);
	assert_int_equal(h.len, 12);
}

/* V3-4.1-05 */
static void versions(void **state)
{
	const uint8_t v2[] = { 0xc8, 0x02 }, v3[] = { 0x00, 0x03 };

	assert_int_equal(l2tp3_version(v2, 2), 2);
	assert_int_equal(l2tp3_version(v3, 2), 3);
	assert_int_equal(l2tp3_version(v3, 1), 0);
}

/* V3-4.7-01, V3-4.7-03: the request for either version, read and written */
static void request_for_either_version(void **state)
{
	struct octets want = octets_hex(VEC3_FALLBACK), again = octets_copy(want.p, want.n);
	struct l2tp3_auth auth;
	struct l2tp3_header h;
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct l2tp_build b;
	uint8_t buf[500];
	size_t n;

	l2tp3_auth_set(&auth, &hush, 1, L2TP3_DIGEST_MD5);
	assert_true(l2tp3_fallback_parse(want.p, want.n, &h));
	assert_int_equal(h.total, want.n);
	assert_int_equal(l2tp3_verify(want.p + h.start, h.total, &auth, NULL, NULL),
			 L2TP3_CHECK_GOOD);
	v = parse(&m, want.p + h.payload, h.len, NULL, 0);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_int_equal(m.connection_id, 0x89abcdef);
	assert_false(l2tp_msg_has(&m, 9));
	l2tp_msg_parse(want.p + h.payload, h.len, NULL, scratch, &m, &v);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_int_equal(m.tunnel_id, 0x4321);

	l2tp3_build_begin_fallback(&b, buf, sizeof(buf), &auth);
	l2tp_build_u16(&b, 2, 0x100);
	l2tp_build_u32(&b, 3, 3);
	l2tp_build_bytes(&b, 7, "both", 4);
	l2tp_build_u16(&b, 9, 0x4321);
	l2tp_build_u32(&b, 60, 0xc0000201);
	l2tp_build_u32(&b, 61, 0x89abcdef);
	l2tp_build_bytes(&b, 62, "\0\5\0\4\0\7", 6);
	l2tp_build_bytes(&b, 73, want.p + want.n - 16, 16);
	n = l2tp_build_end(&b);
	l2tp3_sign(buf, n, &auth, NULL);
	assert_int_equal(n, want.n);
	assert_memory_equal(buf, want.p, n);

	again.p[1] = 3; /* no longer of version 2 */
	assert_false(l2tp3_fallback_parse(again.p, again.n, &h));
	again.p[1] = 2;
	again.p[4] = 1; /* not to tunnel 0 */
	assert_false(l2tp3_fallback_parse(again.p, again.n, &h));
	again.p[4] = 0;
	again.p[19] = 2; /* SCCRP */
	assert_false(l2tp3_fallback_parse(again.p, again.n, &h));
	for (n = 0; n < want.n; n++)
		assert_false(l2tp3_fallback_parse(want.p, n, &h));
	free(want.p);
	free(again.p);
}

/* ---- attributes ---- */

static void table_as_the_rfc_has_it(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_attrs); i++) {
		const struct vec3_attr *v = &vec3_attrs[i];
		const struct avp_row *row = avp3_row_of(v->type);

		assert_non_null(row);
		assert_int_equal(row->mandatory, v->m);
		assert_int_equal(row->hideable, v->h);
		assert_int_equal(row->min, v->min);
		assert_int_equal(row->max, v->max);
		/* Ours alone: a StopCCN that names a session (v3_doubt.c). */
		assert_int_equal(row->in & ~1u, v->in | (v->type == 63 ? 1u << L2TP_STOPCCN : 0));
		assert_string_equal(l2tp3_avp_name(v->type), row->name);
	}
	assert_null(avp3_row_of(20));
	assert_null(l2tp3_avp_name(104));
	assert_null(l2tp3_avp_name(60000));
}

/* A message that has what it needs, except one attribute. */
static void begin_without(struct raw *r, const struct vec3_message *msg, unsigned without)
{
	raw_begin(r, msg->type);
	for (const unsigned *need = msg->required; *need; need++) {
		for (size_t i = 0; i < COUNT(vec3_attrs); i++) {
			struct octets o;

			if (vec3_attrs[i].type != *need || *need == without)
				continue;
			o = octets_hex(vec3_attrs[i].value);
			raw_avp(r, M, 0, *need, o.p, o.n);
			free(o.p);
		}
	}
}

/* Every attribute in every message that has it, at every length. M as it is and turned round. */
static void every_attribute_at_every_length(void **state)
{
	static const uint8_t ones[40] = { [0 ... 39] = 1 };

	for (size_t i = 0; i < COUNT(vec3_attrs); i++) {
		const struct vec3_attr *a = &vec3_attrs[i];

		for (size_t k = 0; k < COUNT(vec3_messages); k++) {
			const struct vec3_message *msg = &vec3_messages[k];
			bool ends = msg->type == L2TP_STOPCCN || msg->type == L2TP_CDN;
			bool vital = a->type == 65 || a->type == 69 || a->type == 70;
			bool fixed = a->type >= 69 && a->type <= 70;

			if (!(a->in >> msg->type & 1))
				continue;
			for (size_t n = 0; n <= 40; n++) {
				bool good = n >= a->min && n <= a->max;
				struct l2tp_verdict v;
				struct l2tp_msg m;
				struct raw r;

				if (a->type == 62)
					good = n >= 2 && n % 2 == 0;
				if (a->type == 65)
					good = n == 0 || n == 4 || n == 8;
				if (a->type == 34)
					good = n == 18 || n == 26;
				for (unsigned flag = 0; flag < 2; flag++) {
					begin_without(&r, msg, a->type);
					/* 0x0101 is no sublayer and no sequencing level */
					raw_avp(&r, flag ? M : 0, 0, a->type,
						fixed ? (const uint8_t *)"\0\1" : ones,
						fixed && n > 2 ? 2 : n);
					v = parse_raw(&m, &r);
					if (fixed && n > 2)
						continue;
					assert_int_equal(l2tp_msg_has(&m, a->type), good);
					if (ends || good)
						assert_int_equal(v.scope, L2TP_MSG_OK);
					else if (flag || vital)
						assert_int_equal(v.error, L2TP_ERR_LENGTH);
				}
			}
		}
	}
}

/* Values of a message that has everything, against what the vectors put there. */
static void check_values(const struct l2tp_msg *m)
{
	static const uint8_t errors[] = { 1, 2, 3, 4, 5, 6 };

	if (l2tp_msg_has(m, 1)) {
		assert_int_equal(m->result, 2);
		assert_int_equal(m->error, 6);
		assert_int_equal(m->text.n, 7);
	}
	for (size_t i = 0; i < COUNT(vec3_attrs); i++) {
		const struct avp_row *row = avp3_row_of(vec3_attrs[i].type);
		struct octets o = octets_hex(vec3_attrs[i].value);
		const void *at = (const uint8_t *)m + row->at;
		struct rcur c = rcur_of(o.p, o.n);
		struct l2tp_bytes run;
		uint16_t u16;
		uint32_t u32;
		uint64_t u64;

		if (!l2tp_msg_has(m, vec3_attrs[i].type)) {
			free(o.p);
			continue;
		}
		switch ((enum avp_form)row->form) {
		case AVP_FORM_U16:
			memcpy(&u16, at, 2);
			assert_int_equal(u16, rcur_u16(&c));
			break;
		case AVP_FORM_U32:
			memcpy(&u32, at, 4);
			assert_int_equal(u32, rcur_u32(&c));
			break;
		case AVP_FORM_U64:
			memcpy(&u64, at, 8);
			assert_int_equal(u64, rcur_u64(&c));
			break;
		case AVP_FORM_BYTES:
		case AVP_FORM_LIST:
		case AVP_FORM_COOKIE:
			memcpy(&run, at, sizeof(run));
			assert_int_equal(run.n, o.n);
			assert_memory_equal(run.p, o.p, o.n);
			break;
		case AVP_FORM_ERRORS3:
			for (size_t k = 0; k < 6; k++)
				assert_int_equal(m->call_errors[k], errors[k]);
			break;
		case AVP_FORM_EMPTY:
		case AVP_FORM_RESULT:
		case AVP_FORM_UNKNOWN:
		case AVP_FORM_Q931:
		case AVP_FORM_ERRORS:
		case AVP_FORM_ACCM:
		case AVP_FORM_VECTOR:
		case AVP_FORM_LEGACY:
		case AVP_FORM_DIGEST:
		case AVP_FORM_EXTENDED:
			break;
		}
		free(o.p);
	}
}

/* ---- messages ---- */

static void every_message_as_others_write_it(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_messages); i++) {
		const struct vec3_message *v = &vec3_messages[i];
		struct octets o = octets_hex(v->plain);
		struct l2tp_verdict verdict;
		struct l2tp3_header h;
		struct l2tp_msg m;

		assert_int_equal(l2tp3_header_parse(L2TP3_UDP, o.p, o.n, &h), L2TP_HDR_OK);
		assert_int_equal(h.connection, 0x12345678);
		verdict = parse(&m, o.p + h.payload, h.len, NULL, 0);
		assert_int_equal(verdict.scope, L2TP_MSG_OK);
		assert_string_equal(verdict.text, "");
		assert_int_equal(m.type, v->type);
		assert_string_equal(l2tp3_type_name(m.type), v->name);
		for (size_t k = 0; k < COUNT(vec3_attrs); k++)
			assert_int_equal(l2tp_msg_has(&m, vec3_attrs[k].type),
					 vec3_attrs[k].in >> v->type & 1);
		check_values(&m);
		free(o.p);
	}
	assert_null(l2tp3_type_name(5));
	assert_null(l2tp3_type_name(21));
}

/* The hiding key comes from the secret by HMAC (5.3); the secret itself gives rubbish. */
static void hidden_messages(void **state)
{
	struct octets own = octets_hex(VEC3_OWN), peer = octets_hex(VEC3_PEER);
	struct l2tp3_nonces nonces = { { peer.p, (uint16_t)peer.n }, { own.p, (uint16_t)own.n } };
	struct l2tp3_auth auth;

	l2tp3_auth_set(&auth, &hush, 1, L2TP3_DIGEST_MD5);
	for (size_t i = 0; i < COUNT(vec3_messages); i++) {
		const struct vec3_message *v = &vec3_messages[i];
		struct l2tp_secret key = l2tp3_hide_secret(&auth.keys[0]);
		struct octets o = octets_hex(v->hidden);
		struct l2tp_verdict verdict;
		struct l2tp_msg m;

		assert_int_equal(l2tp3_verify(o.p, o.n, &auth, &nonces, NULL), L2TP3_CHECK_GOOD);
		verdict = parse(&m, o.p + 12, o.n - 12, &key, 0);
		assert_int_equal(verdict.scope, L2TP_MSG_OK);
		assert_string_equal(verdict.text, "");
		for (size_t k = 0; k < COUNT(vec3_attrs); k++)
			assert_int_equal(l2tp_msg_has(&m, vec3_attrs[k].type),
					 vec3_attrs[k].in >> v->type & 1);
		check_values(&m);
		if (v->type == L2TP_ICRQ) {
			verdict = parse(&m, o.p + 12, o.n - 12, &hush, 0);
			assert_int_equal(verdict.scope, L2TP_MSG_CLEAR);
			verdict = parse(&m, o.p + 12, o.n - 12, NULL, 0);
			assert_int_equal(verdict.scope, L2TP_MSG_CLEAR);
			assert_true(m.needs_secret);
			assert_true(verdict.session);
		}
		free(o.p);
	}
	free(own.p);
	free(peer.p);
}

static void add_all(struct l2tp_build *b, unsigned type)
{
	for (size_t i = 0; i < COUNT(vec3_attrs); i++) {
		const struct vec3_attr *a = &vec3_attrs[i];
		struct octets o = octets_hex(a->value);
		struct rcur c = rcur_of(o.p, o.n);

		if (!(a->in >> type & 1))
			;
		else if (a->type == 1)
			l2tp_build_result(b, 2, 6, "nope \xc3\xbc");
		else if (a->type == 34)
			l2tp3_build_errors(b, (const uint32_t[]){ 1, 2, 3, 4, 5, 6 });
		else if (a->min == 2 && a->max == 2)
			l2tp_build_u16(b, a->type, rcur_u16(&c));
		else if (a->min == 4 && a->max == 4)
			l2tp_build_u32(b, a->type, rcur_u32(&c));
		else if (a->min == 8 && a->max == 8)
			l2tp_build_u64(b, a->type, rcur_u64(&c));
		else
			l2tp_build_bytes(b, a->type, o.p, o.n);
		free(o.p);
	}
}

/* Wire images of all messages, SCCRQ and ICRQ among them. */
static void every_image(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_messages); i++) {
		const struct vec3_message *v = &vec3_messages[i];
		struct octets want = octets_hex(v->plain);
		uint8_t buf[L2TP_CONTROL_MAX];
		struct l2tp_build b;
		size_t n;

		l2tp3_build_begin(&b, buf, sizeof(buf), (uint16_t)v->type, NULL, true, NULL);
		add_all(&b, v->type);
		n = l2tp_build_end(&b);
		l2tp_build_stamp3(buf, n, 0x12345678, 0x9abc, 0xdef0);
		assert_int_equal(n, want.n);
		assert_memory_equal(buf, want.p, n);
		for (size_t cap = 0; cap < n; cap++) {
			l2tp3_build_begin(&b, buf, cap, (uint16_t)v->type, NULL, false, NULL);
			add_all(&b, v->type);
			assert_int_equal(l2tp_build_end(&b), 0);
		}
		free(want.p);
	}
}

/* What we hide and sign, with one secret and with two, is read back; digests stand where they must.
 */
static void what_we_hide_and_sign(void **state)
{
	const struct l2tp_secret secrets[2] = { hush, { (const uint8_t *)"new", 3 } };
	const struct l2tp3_nonces ours = { { (const uint8_t *)"own", 3 },
					   { (const uint8_t *)"peer", 4 } };
	const struct l2tp3_nonces theirs = { ours.peer, ours.own };
	struct rng rng;

	rng_init(&rng, seed);
	for (size_t i = 0; i < 4 * COUNT(vec3_messages); i++) {
		const struct vec3_message *v = &vec3_messages[i / 4];
		enum l2tp3_digest kind = i % 2 ? L2TP3_DIGEST_SHA1 : L2TP3_DIGEST_MD5;
		struct l2tp_verdict verdict;
		struct l2tp3_auth auth;
		struct l2tp_secret key;
		uint8_t buf[L2TP_CONTROL_MAX];
		struct l2tp_build b;
		struct l2tp_msg m;
		size_t n;

		l2tp3_auth_set(&auth, secrets, i % 4 < 2 ? 1 : 2, kind);
		l2tp3_build_begin(&b, buf, sizeof(buf), (uint16_t)v->type, &auth, true, &rng);
		add_all(&b, v->type);
		n = l2tp_build_end(&b);
		assert_true(n);
		l2tp_build_stamp3(buf, n, 1, 2, 3);
		l2tp3_sign(buf, n, &auth, &ours);
		assert_memory_equal(buf + 20,
				    kind ? "\x80\x1b\0\0\0\x3b\1" : "\x80\x17\0\0\0\x3b\0", 7);
		assert_int_equal(l2tp3_verify(buf, n, &auth, &theirs, NULL), L2TP3_CHECK_GOOD);
		key = l2tp3_hide_secret(&auth.keys[0]);
		verdict = parse(&m, buf + 12, n - 12, &key, 0);
		assert_int_equal(verdict.scope, L2TP_MSG_OK);
		check_values(&m);
		verdict = parse(&m, buf + 12, n - 12, NULL, 0);
		assert_int_equal(m.needs_secret, v->type != L2TP_HELLO && v->type != L2TP3_ACK);
	}
}

/* A checksum is no secret: nothing is hidden with it (V3-5.3-02). */
static void checksum_hides_nothing(void **state)
{
	struct l2tp3_auth auth;
	struct l2tp_build b;
	struct l2tp_msg m;
	uint8_t buf[500];
	size_t n;

	l2tp3_auth_empty(&auth, L2TP3_DIGEST_MD5);
	l2tp3_build_begin(&b, buf, sizeof(buf), L2TP_ICRQ, &auth, true, NULL);
	add_all(&b, L2TP_ICRQ);
	n = l2tp_build_end(&b);
	assert_int_equal(parse(&m, buf + 12, n - 12, NULL, 0).scope, L2TP_MSG_OK);
	assert_false(m.needs_secret);
	check_values(&m);
}

static void acknowledgements(void **state)
{
	struct l2tp3_auth auth;
	uint8_t buf[64];

	assert_int_equal(l2tp3_build_ack(buf, sizeof(buf), NULL, 0x12345678, 5, 7), 12);
	assert_memory_equal(buf, "\xc8\x03\x00\x0c\x12\x34\x56\x78\x00\x05\x00\x07", 12);
	l2tp3_auth_set(&auth, &hush, 1, L2TP3_DIGEST_MD5);
	assert_int_equal(l2tp3_build_ack(buf, sizeof(buf), &auth, 0x12345678, 5, 7), 43);
	assert_memory_equal(buf + 12, "\x80\x08\0\0\0\0\0\x14\x80\x17\0\0\0\x3b\0\0", 16);
	assert_int_equal(l2tp3_build_ack(buf, 11, NULL, 1, 2, 3), 0);
	assert_int_equal(l2tp3_build_ack(buf, 42, &auth, 1, 2, 3), 0);
}

/* ---- verdicts ---- */

/* V3-6.1-01, V3-6.6-01, V3-6.7-01, V3-6.8-01, V3-6.9-01, V3-6.12-01 */
static void what_a_message_needs(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_messages); i++) {
		const struct vec3_message *msg = &vec3_messages[i];
		struct octets o = octets_hex(msg->minimal);
		struct l2tp_verdict v;
		struct l2tp_msg m;
		struct raw r;

		v = parse(&m, o.p + 12, o.n - 12, NULL, 0);
		assert_int_equal(v.scope, L2TP_MSG_OK);
		assert_string_equal(v.text, "");
		free(o.p);
		for (const unsigned *need = msg->required; *need; need++) {
			begin_without(&r, msg, *need);
			v = parse_raw(&m, &r);
			if (msg->type == L2TP_STOPCCN || msg->type == L2TP_CDN) {
				assert_int_equal(v.scope, L2TP_MSG_OK);
				continue;
			}
			assert_int_equal(v.scope, L2TP_MSG_CLEAR);
			assert_int_equal(v.result, L2TP_STOP_ERROR);
			assert_int_equal(v.error, L2TP_ERR_VALUE);
			assert_int_equal(v.session, msg->type > 6);
			assert_non_null(strstr(v.text, msg->name));
			assert_non_null(strstr(v.text, l2tp3_avp_name(*need)));
		}
	}
}

struct value_case {
	unsigned message, attr, n;
	uint64_t v;
	unsigned error; /* with M; 0: fine */
	bool without_m; /* ... and without */
};

/* A32, A33, A18, A21 (badinput A18, A21, A32, A33); V3-5.4.4-13, V3-5.4.4-15 */
static void values_out_of_range(void **state)
{
	static const struct value_case cases[] = {
		{ 0, 61, 4, 0, L2TP_ERR_VALUE, false },
		{ 1, 61, 4, 0, L2TP_ERR_VALUE, false },
		{ 0, 10, 2, 0, L2TP_ERR_VALUE, false },
		{ 8, 63, 4, 0, L2TP_ERR_SESSION_ID, false },
		{ 9, 63, 4, 0, L2TP_ERR_SESSION_ID, false },
		{ 8, 69, 2, 2, L2TP_ERR_VALUE, true },
		{ 8, 69, 2, 0xffff, L2TP_ERR_VALUE, true },
		{ 8, 70, 2, 3, L2TP_ERR_VALUE, true },
		{ 8, 70, 2, 2, 0, false },
		{ 8, 69, 2, 1, 0, false },
		{ 8, 65, 1, 0, L2TP_ERR_LENGTH, true },
		{ 8, 65, 5, 0, L2TP_ERR_LENGTH, true },
		{ 8, 65, 16, 0, L2TP_ERR_LENGTH, true },
		{ 8, 65, 0, 0, 0, false },
		{ 0, 60, 4, 0, 0, false },
		{ 0, 62, 1, 0, L2TP_ERR_LENGTH, false },
		{ 0, 62, 3, 0, L2TP_ERR_LENGTH, false },
		{ 8, 74, 4, 0, L2TP_ERR_LENGTH, false },
		{ 8, 71, 2, 0xffff, 0, false },
		{ 8, 64, 4, 0, 0, false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct value_case *t = &cases[i];

		for (unsigned flag = 0; flag < 2; flag++) {
			uint8_t value[16] = { 0 };
			struct l2tp_verdict v;
			struct l2tp_msg m;
			struct raw r;
			bool required = false;

			for (const unsigned *need = vec3_messages[t->message].required; *need;
			     need++)
				required |= *need == t->attr;
			for (unsigned k = 0; k < 8 && k < t->n; k++)
				value[k] = t->n > 8 ? 0 : (uint8_t)(t->v >> 8 * (t->n - 1 - k));
			begin_without(&r, &vec3_messages[t->message], t->attr);
			raw_avp(&r, flag ? M : 0, 0, t->attr, value, t->n);
			v = parse_raw(&m, &r);
			if (!t->error || (!flag && !t->without_m && !required)) {
				assert_int_equal(v.scope, L2TP_MSG_OK);
				assert_int_equal(l2tp_msg_has(&m, t->attr), !t->error);
				continue;
			}
			assert_int_equal(v.scope, L2TP_MSG_CLEAR);
			if (flag || t->without_m)
				assert_int_equal(v.error, t->error);
			assert_int_equal(v.session, t->message > 1);
		}
	}
}

/* V3-5.2-02, A14 (badinput A14): the reserved bits of an AVP mean nothing in v3 */
static void unknown_attributes(void **state)
{
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct raw r;

	for (size_t i = 0; i < COUNT(vec3_messages); i++) {
		const struct vec3_message *msg = &vec3_messages[i];
		bool ends = msg->type == L2TP_STOPCCN || msg->type == L2TP_CDN;

		begin_without(&r, msg, 0);
		raw_avp(&r, 0, 0, 200, "x", 1);
		raw_avp(&r, 0, 311, 1, "x", 1);
		v = parse_raw(&m, &r);
		assert_int_equal(v.scope, L2TP_MSG_OK);
		raw_avp(&r, M, 0, 200, "x", 1);
		v = parse_raw(&m, &r);
		assert_int_equal(v.scope, ends ? L2TP_MSG_OK : L2TP_MSG_CLEAR);
		if (!ends) {
			assert_int_equal(v.error, L2TP_ERR_UNKNOWN_AVP);
			assert_non_null(strstr(v.text, "attribute 200"));
			assert_int_equal(v.session, msg->type > 6 && msg->type < 20);
		}
		v = parse(&m, r.buf, r.n, NULL, L2TP_QUIRK_LAX_MANDATORY);
		assert_int_equal(v.scope, L2TP_MSG_OK);
	}
	begin_without(&r, &vec3_messages[0], 7);
	raw_avp(&r, M | 0x3c00, 0, 7, "host", 4);
	v = parse_raw(&m, &r);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_int_equal(m.host_name.n, 4);
	raw_avp(&r, M, 0, 76, "\0\0\0\0\0\0", 6); /* has a name, is not spoken here */
	v = parse_raw(&m, &r);
	assert_int_equal(v.error, L2TP_ERR_UNKNOWN_AVP);
	assert_non_null(strstr(v.text, "Failover Capability"));
}

/* Cisco puts the attributes of its drafts beside those of the RFC, with M. */
static void attributes_of_drafts(void **state)
{
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct raw r;

	begin_without(&r, &vec3_messages[8], 0);
	for (unsigned type = 1; type <= 14; type++)
		raw_avp(&r, M, 9, type, "\0\0\0\5", 4);
	v = parse_raw(&m, &r);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_non_null(strstr(v.text, "vendor 9"));
	assert_int_equal(m.local_id, 0x11223344);
}

/* V3-4.7-03, V3-5.4.4-18: what only v2 has is skipped, M or not, and whatever its length */
static void attributes_of_v2(void **state)
{
	static const unsigned old[] = { 2,  3,	4,  6,	9,  12, 14, 16, 17, 18, 19, 21, 22, 23,
					24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 37, 38, 39, 46 };
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct raw r;

	begin_without(&r, &vec3_messages[0], 0);
	for (size_t i = 0; i < COUNT(old); i++) {
		raw_avp(&r, M, 0, old[i], "abc", 3);
		assert_non_null(l2tp3_avp_name(old[i]));
	}
	v = parse_raw(&m, &r);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_string_equal(v.text, "");
	for (size_t i = 0; i < COUNT(old); i++)
		assert_false(l2tp_msg_has(&m, old[i]));
}

/* V3-5.1-02, A35 (badinput A35) */
static void extended_vendor_id(void **state)
{
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct raw r;

	begin_without(&r, &vec3_messages[8], 0);
	raw_avp(&r, 0, 0, 58, "\0\1\2\3\0\1more", 10);
	raw_avp(&r, 0, 0, 58, "\0\1\2\3\0\2", 6);
	v = parse_raw(&m, &r);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	begin_without(&r, &vec3_messages[8], 0);
	raw_avp(&r, 0, 0, 58, "\0\1\2\3\0", 5);
	assert_int_equal(parse_raw(&m, &r).scope, L2TP_MSG_OK);
}

/* V3-5.4.1-01, A05, A06, A08, A09, A11 (badinput A05, A06, A08, A09, A11) */
static void message_types(void **state)
{
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct raw r = { .n = 0 };

	v = parse_raw(&m, &r);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_true(m.known);
	raw_num(&r, M, 7, 2, 1);
	assert_int_equal(parse_raw(&m, &r).scope, L2TP_MSG_DROP);
	for (unsigned n = 0; n < 8; n++) {
		r.n = 0;
		raw_num(&r, M, 0, n, 6);
		assert_int_equal(parse_raw(&m, &r).scope, n == 2 ? L2TP_MSG_OK : L2TP_MSG_DROP);
	}
	r.n = 0;
	raw_num(&r, 0, 0, 2, 0x7fff);
	assert_int_equal(parse_raw(&m, &r).scope, L2TP_MSG_IGNORE);
	r.n = 0;
	raw_num(&r, M, 0, 2, 13);
	v = parse_raw(&m, &r);
	assert_int_equal(v.scope, L2TP_MSG_CLEAR);
	assert_false(v.session);
	r.n = 0;
	raw_avp(&r, 0, 9, 0, "\0\1", 2);
	assert_int_equal(parse_raw(&m, &r).scope, L2TP_MSG_IGNORE);
	r.n = 0;
	raw_avp(&r, M, 9, 0, "\0\1", 2);
	assert_int_equal(parse_raw(&m, &r).scope, L2TP_MSG_CLEAR);
	raw_begin(&r, 6);
	raw_num(&r, M, 0, 2, 14);
	v = parse_raw(&m, &r);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_int_equal(m.type, 6);
}

/* A02, A03 (badinput A02, A03): nothing behind such an AVP can be found */
static void broken_lengths(void **state)
{
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct raw r;

	for (unsigned len = 0; len < 6; len++) {
		begin_without(&r, &vec3_messages[8], 0);
		raw_u16(&r, M | len);
		raw_octets(&r, "\0\0\0\7abcdef", 10);
		v = parse_raw(&m, &r);
		assert_int_equal(v.scope, L2TP_MSG_CLEAR);
		assert_int_equal(v.error, L2TP_ERR_LENGTH);
		assert_true(v.session);
	}
	begin_without(&r, &vec3_messages[8], 0);
	raw_u16(&r, M | 20);
	raw_octets(&r, "\0\0\0\7abcdef", 10);
	assert_int_equal(parse_raw(&m, &r).error, L2TP_ERR_LENGTH);
}

/* Every message cut anywhere: no read past the end, and no field that points there. */
static void truncated(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_messages); i++) {
		struct octets o = octets_hex(vec3_messages[i].plain);
		struct l2tp_msg m;

		for (size_t n = 12; n < o.n; n++)
			parse(&m, o.p + 12, n - 12, NULL, 0);
		free(o.p);
	}
}

/* V3-6.13-01: six counters or four */
static void circuit_errors(void **state)
{
	static const uint8_t four[18] = { [5] = 3, [9] = 4, [13] = 5, [17] = 6 };
	struct l2tp_msg m;
	struct raw r;

	begin_without(&r, &vec3_messages[12], 34);
	raw_avp(&r, 0, 0, 34, four, sizeof(four));
	assert_int_equal(parse_raw(&m, &r).scope, L2TP_MSG_OK);
	assert_int_equal(m.call_errors[0], 0);
	assert_int_equal(m.call_errors[1], 0);
	for (uint32_t i = 2; i < 6; i++)
		assert_int_equal(m.call_errors[i], i + 1);
}

static void names(void **state)
{
	const struct l2tp_bytes caps = { (const uint8_t *)"\0\5\0\7\0", 5 };

	assert_true(l2tp3_caps_has(&caps, 7));
	assert_false(l2tp3_caps_has(&caps, 4));
	assert_false(l2tp3_caps_has(&caps, 0));
	assert_string_equal(l2tp3_pw_name(5), "Ethernet port");
	assert_string_equal(l2tp3_pw_name(11), "IP");
	assert_null(l2tp3_pw_name(0));
	assert_null(l2tp3_pw_name(8));
	assert_null(l2tp3_pw_name(0x7fff));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_over_udp),
		cmocka_unit_test(broken_control_headers),
		cmocka_unit_test(control_over_ip),
		cmocka_unit_test(data),
		cmocka_unit_test(versions),
		cmocka_unit_test(request_for_either_version),
		cmocka_unit_test(table_as_the_rfc_has_it),
		cmocka_unit_test(every_attribute_at_every_length),
		cmocka_unit_test(every_message_as_others_write_it),
		cmocka_unit_test(hidden_messages),
		cmocka_unit_test(every_image),
		cmocka_unit_test(what_we_hide_and_sign),
		cmocka_unit_test(checksum_hides_nothing),
		cmocka_unit_test(acknowledgements),
		cmocka_unit_test(what_a_message_needs),
		cmocka_unit_test(values_out_of_range),
		cmocka_unit_test(unknown_attributes),
		cmocka_unit_test(attributes_of_drafts),
		cmocka_unit_test(attributes_of_v2),
		cmocka_unit_test(extended_vendor_id),
		cmocka_unit_test(message_types),
		cmocka_unit_test(broken_lengths),
		cmocka_unit_test(truncated),
		cmocka_unit_test(circuit_errors),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
