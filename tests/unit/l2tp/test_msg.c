/* SPDX-License-Identifier: MIT
 *
 * Reading control messages, and the verdict on each kind of fault (RFC 2661 4.1 to 4.4, 7.1).
 * Tests are named after rows of the conformance table; H.. and A.. are hostile input.
 */
#include <stdio.h>
#include "raw.h"
#include "vectors.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct l2tp_secret hush = { (const uint8_t *)"hush", 4 };
static uint8_t scratch[L2TP_SCRATCH];
static struct l2tp_msg m;
static struct l2tp_verdict v;
static struct octets last; /* what m points into */
static struct raw r;

static void parse_octets(struct octets o, const struct l2tp_secret *secret)
{
	free(last.p);
	last = o;
	memset(scratch, 0xa5, sizeof(scratch));
	l2tp_msg_parse(last.p, last.n, secret, scratch, &m, &v);
}

static void parse_with(const struct l2tp_secret *secret)
{
	parse_octets(octets_copy(r.buf, r.n), secret);
}

static void parse(void)
{
	parse_with(NULL);
}

static int forget(void **state)
{
	free(last.p);
	last.p = NULL;
	return 0;
}

static void expect_ok(void)
{
	if (v.scope != L2TP_MSG_OK)
		print_message("verdict %d %u/%u: %s\n", v.scope, v.result, v.error, v.text);
	assert_int_equal(v.scope, L2TP_MSG_OK);
}

static void expect_clear(bool session, unsigned result, unsigned error, const char *in_text)
{
	assert_int_equal(v.scope, L2TP_MSG_CLEAR);
	assert_int_equal(v.session, session);
	assert_int_equal(v.result, result);
	assert_int_equal(v.error, error);
	if (!strstr(v.text, in_text))
		print_message("text: %s\n", v.text);
	assert_non_null(strstr(v.text, in_text));
}

/* The required AVPs of a message, but for one (0 = none is left out). */
static void required(unsigned type, unsigned without)
{
	static const uint8_t version[] = { 1, 0 }, zero[32];

	raw_begin(&r, type);
	for (size_t i = 0; i < COUNT(vec_required); i++) {
		const struct vec_required *q = &vec_required[i];

		for (size_t k = 0; q->type == type && k < q->count; k++) {
			unsigned a = q->attrs[k];

			if (a == without)
				continue;
			if (a == 2)
				raw_avp(&r, M, 0, 2, version, 2);
			else if (a == 7 || a == 21)
				raw_avp(&r, M, 0, a, "lac", 3);
			else if (a == 34)
				raw_avp(&r, M, 0, a, zero, 26);
			else if (a == 35)
				raw_avp(&r, M, 0, a, zero, 10);
			else
				raw_num(&r, M, a, a == 1 || a == 9 || a == 14 ? 2 : 4, 1);
		}
	}
}

static const unsigned types[] = { 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16 };

static bool of_session(unsigned type)
{
	return type >= 7;
}

static bool ends(unsigned type)
{
	return type == L2TP_STOPCCN || type == L2TP_CDN;
}

/* ---- whole messages ---- */

static const char *value_of(unsigned type)
{
	for (size_t i = 0; i < COUNT(vec_values); i++) {
		if (vec_values[i].type == type)
			return vec_values[i].value;
	}
	return NULL;
}

static void run_is(const struct l2tp_bytes *got, unsigned type)
{
	struct octets want = octets_hex(value_of(type));

	assert_int_equal(got->n, want.n);
	assert_memory_equal(got->p, want.p, want.n);
	free(want.p);
}

static uint64_t num(unsigned type)
{
	return strtoull(value_of(type), NULL, 16);
}

/* Every field that the message lists holds the vector's value. */
static void check_fields(unsigned type)
{
	const struct {
		unsigned attr;
		uint64_t got;
	} numbers[] = {
		{ 2, m.version },	{ 3, m.framing_caps }, { 4, m.bearer_caps },
		{ 5, m.tie },		{ 6, m.firmware },     { 9, m.tunnel_id },
		{ 10, m.window },	{ 14, m.session_id },  { 15, m.serial },
		{ 16, m.min_bps },	{ 17, m.max_bps },     { 18, m.bearer_type },
		{ 19, m.framing_type }, { 24, m.tx_speed },    { 25, m.channel_id },
		{ 38, m.rx_speed },
	};
	const struct {
		unsigned attr;
		const struct l2tp_bytes *got;
	} runs[] = {
		{ 7, &m.host_name },	{ 8, &m.vendor_name }, { 11, &m.challenge },
		{ 13, &m.response },	{ 21, &m.called },     { 22, &m.calling },
		{ 23, &m.sub_address }, { 26, &m.proxy[0] },   { 27, &m.proxy[1] },
		{ 28, &m.proxy[2] },	{ 29, &m.proxy[3] },   { 30, &m.proxy[4] },
		{ 31, &m.proxy[5] },	{ 32, &m.proxy[6] },   { 33, &m.proxy[7] },
		{ 37, &m.group },	{ 46, &m.ppp_cause },
	};

	for (size_t i = 0; i < COUNT(vec_attrs); i++)
		assert_int_equal(l2tp_msg_has(&m, vec_attrs[i].type), vec_attrs[i].in >> type & 1);
	for (size_t i = 0; i < COUNT(numbers); i++)
		assert_true(numbers[i].got ==
			    (l2tp_msg_has(&m, numbers[i].attr) ? num(numbers[i].attr) : 0));
	for (size_t i = 0; i < COUNT(runs); i++) {
		if (l2tp_msg_has(&m, runs[i].attr))
			run_is(runs[i].got, runs[i].attr);
		else
			assert_null(runs[i].got->p);
	}
	if (l2tp_msg_has(&m, 1)) {
		assert_int_equal(m.result, 2);
		assert_int_equal(m.error, 6);
		assert_int_equal(m.text.n, 7);
	}
	if (l2tp_msg_has(&m, 34))
		assert_int_equal(m.call_errors[5], 6);
	if (l2tp_msg_has(&m, 35))
		assert_int_equal(m.accm_send, 0xa0000);
}

/* Parse a whole datagram in hex. */
static void parse_image(const char *hex, const struct l2tp_secret *secret)
{
	struct octets o = octets_hex(hex);
	struct l2tp_header h;

	assert_int_equal(l2tp_header_parse(o.p, o.n, &h), L2TP_HDR_OK);
	assert_int_equal(h.payload + h.len, o.n);
	parse_octets(octets_copy(o.p + h.payload, h.len), secret);
	free(o.p);
}

static void every_message_plain(void **state)
{
	for (size_t i = 0; i < COUNT(vec_messages); i++) {
		parse_image(vec_messages[i].plain, NULL);
		expect_ok();
		assert_string_equal(v.text, "");
		assert_true(m.known && m.type_mandatory);
		assert_int_equal(m.type, vec_messages[i].type);
		assert_string_equal(l2tp_type_name(m.type), vec_messages[i].name);
		check_fields(m.type);
	}
}

static void v2_4_1_10_any_order(void **state)
{
	for (size_t i = 0; i < COUNT(vec_messages); i++) {
		parse_image(vec_messages[i].reversed, NULL);
		expect_ok();
		check_fields(vec_messages[i].type);
	}
}

/* V2-4.3-03, H04: everything hidden that may be, five octets of padding each */
static void every_message_hidden(void **state)
{
	for (size_t i = 0; i < COUNT(vec_messages); i++) {
		parse_image(vec_messages[i].hidden, &hush);
		expect_ok();
		assert_string_equal(v.text, "");
		check_fields(vec_messages[i].type);
	}
}

static void every_message_minimal(void **state)
{
	for (size_t i = 0; i < COUNT(vec_messages); i++) {
		parse_image(vec_messages[i].minimal, NULL);
		expect_ok();
		required(vec_messages[i].type, 0);
		parse();
		expect_ok();
	}
}

/* Every message cut after every octet: no read past the end, and no verdict without a reason. */
static void every_message_cut_anywhere(void **state)
{
	for (size_t i = 0; i < COUNT(vec_messages); i++) {
		struct octets o = octets_hex(vec_messages[i].hidden);

		for (size_t n = 12; n < o.n; n++) {
			parse_octets(octets_copy(o.p + 12, n - 12), &hush);
			assert_true(v.scope == L2TP_MSG_OK || v.text[0]);
		}
		free(o.p);
	}
}

static void zlb(void **state)
{
	struct octets o = octets_hex(VEC_ZLB);
	struct l2tp_header h;

	assert_int_equal(l2tp_header_parse(o.p, o.n, &h), L2TP_HDR_OK);
	assert_int_equal(h.len, 0);
	l2tp_msg_parse(o.p + h.payload, h.len, NULL, scratch, &m, &v);
	assert_int_equal(v.scope, L2TP_MSG_OK);
	assert_int_equal(m.type, L2TP_ZLB);
	assert_true(m.known);
	l2tp_msg_parse(NULL, 0, NULL, scratch, &m, &v);
	assert_true(v.scope == L2TP_MSG_OK && m.known);
	free(o.p);
}

/* ---- the Message Type ---- */

static void v2_3_2_01_reserved_types(void **state)
{
	static const unsigned reserved[] = { 0, 5, 13 };

	for (size_t i = 0; i < COUNT(reserved); i++) {
		raw_begin(&r, reserved[i]);
		parse();
		assert_false(m.known);
		expect_clear(false, 2, 3, "unknown message type");
		r.n = 0;
		raw_num(&r, 0, 0, 2, reserved[i]);
		parse();
		assert_int_equal(v.scope, L2TP_MSG_IGNORE);
		assert_false(m.known || m.type_mandatory);
	}
}

static void v2_4_4_1_01_type_is_first(void **state)
{
	/* a vendor's AVP, another AVP of the IETF, A05 */
	r.n = 0;
	raw_avp(&r, 0, 9, 1, "x", 1);
	raw_num(&r, M, 0, 2, L2TP_HELLO);
	parse();
	assert_int_equal(v.scope, L2TP_MSG_DROP);
	r.n = 0;
	raw_num(&r, M, 9, 2, 5);
	raw_num(&r, M, 0, 2, L2TP_HELLO);
	parse();
	assert_int_equal(v.scope, L2TP_MSG_DROP);
	assert_false(m.known);
}

/* A06: lengths that cannot be a Message Type; also a reserved bit, which makes it unrecognised */
static void v2_4_4_1_02_unreadable_type(void **state)
{
	static const size_t sizes[] = { 0, 1, 3, 1017 };
	static const uint8_t value[1017] = { 0, L2TP_HELLO };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		r.n = 0;
		raw_avp(&r, M, 0, 0, value, sizes[i]);
		parse();
		assert_int_equal(v.scope, L2TP_MSG_DROP);
	}
	r.n = 0;
	raw_avp(&r, M | 0x0400, 0, 0, value, 2);
	parse();
	assert_int_equal(v.scope, L2TP_MSG_DROP);
	for (size_t n = 1; n < 8; n++) {
		raw_begin(&r, L2TP_HELLO);
		r.n = n;
		parse();
		assert_int_equal(v.scope, L2TP_MSG_DROP);
	}
}

static void v2_4_4_1_03_unknown_type_mandatory(void **state)
{
	raw_begin(&r, 60);
	parse();
	expect_clear(false, 2, 3, "60");
	raw_begin(&r, 0x7fff);	  /* A09 */
	raw_num(&r, M, 14, 2, 0); /* its AVPs are nobody's business */
	parse();
	expect_clear(false, 2, 3, "32767");
}

static void v2_4_4_1_04_unknown_type_ignored(void **state)
{
	for (unsigned type = 17; type < 30; type++) {
		r.n = 0;
		raw_num(&r, 0, 0, 2, type);
		raw_avp(&r, M, 0, 0x7000, "x", 1);
		parse();
		assert_int_equal(v.scope, L2TP_MSG_IGNORE);
		assert_int_equal(m.type, type);
		assert_false(m.known);
	}
}

static void v2_4_4_1_05_type_of_another_vendor(void **state)
{
	/* A11 */
	r.n = 0;
	raw_avp(&r, 0, 9, 0, "\0\1", 2);
	parse();
	assert_int_equal(v.scope, L2TP_MSG_IGNORE);
	assert_false(m.known);
	r.n = 0;
	raw_avp(&r, M, 9, 0, "\0\1", 2);
	parse();
	expect_clear(false, 2, 3, "vendor 9 type 1");
	assert_false(m.known);
}

/* A08 */
static void message_type_twice(void **state)
{
	required(L2TP_ICRQ, 0);
	raw_num(&r, M, 0, 2, L2TP_STOPCCN);
	parse();
	expect_ok();
	assert_int_equal(m.type, L2TP_ICRQ);
}

/* ---- unrecognised AVPs ---- */

static void v2_4_1_02_reserved_bits(void **state)
{
	for (unsigned bit = 0x0400; bit <= 0x2000; bit <<= 1) {
		required(L2TP_SCCRQ, 7);
		raw_avp(&r, bit, 0, 7, "bad", 3);
		raw_avp(&r, M, 0, 7, "good", 4);
		parse();
		expect_ok();
		assert_int_equal(m.host_name.n, 4);
		required(L2TP_SCCRQ, 7);
		raw_avp(&r, M | bit, 0, 7, "bad", 3);
		raw_avp(&r, M, 0, 7, "good", 4);
		parse();
		expect_clear(false, 2, 8, "attribute 7"); /* A14 */
	}
}

static void v2_4_1_03_unknown_optional(void **state)
{
	for (size_t i = 0; i < COUNT(types); i++) {
		required(types[i], 0);
		raw_avp(&r, 0, 0, 0xfffe, "x", 1);
		raw_avp(&r, 0, 0, 20, "x", 1);
		parse();
		expect_ok();
	}
}

/* V2-4.1-04, V2-4.1-05, V2-4.1-06, A09 */
static void v2_4_1_04_unknown_mandatory(void **state)
{
	for (size_t i = 0; i < COUNT(types); i++) {
		required(types[i], 0);
		raw_avp(&r, M, 0, 0xfffe, "x", 1);
		parse();
		if (ends(types[i]))
			expect_ok();
		else
			expect_clear(of_session(types[i]), 2, 8, "vendor 0 attribute 65534");
	}
	required(L2TP_ICRQ, 0);
	raw_avp(&r, M, 9, 4, "x", 1);
	parse();
	expect_clear(true, 2, 8, "vendor 9 attribute 4");
}

/* An extension we lack is refused when it asks for that: Tunnel Recovery of RFC 4951 */
static void extension_mandatory(void **state)
{
	static const uint8_t zero[10];

	required(L2TP_SCCRQ, 0);
	raw_avp(&r, M, 0, 77, zero, sizeof(zero));
	parse();
	expect_clear(false, 2, 8, "attribute 77 (Tunnel Recovery)");
	required(L2TP_SCCRQ, 0);
	raw_avp(&r, 0, 0, 77, zero, sizeof(zero));
	raw_avp(&r, 0, 0, 60, zero, 4); /* an end that speaks v3 too */
	raw_avp(&r, 0, 0, 61, zero, 4);
	raw_avp(&r, 0, 0, 62, zero, 2);
	parse();
	expect_ok();
	assert_false(l2tp_msg_has(&m, 77));
}

/* The ids behind the fault are read all the same: the answer has to be addressed. */
static void ids_after_a_fault(void **state)
{
	raw_begin(&r, L2TP_ICRQ);
	raw_avp(&r, M, 0, 0xfffe, "x", 1);
	raw_num(&r, M, 14, 2, 0x4321);
	parse();
	expect_clear(true, 2, 8, "65534");
	assert_int_equal(m.session_id, 0x4321);
	raw_begin(&r, L2TP_SCCRQ);
	raw_avp(&r, M, 0, 7, "", 0);
	raw_num(&r, M, 9, 2, 0x1234);
	parse();
	expect_clear(false, 2, 2, "Host Name");
	assert_int_equal(m.tunnel_id, 0x1234);
}

static void v2_4_1_07_longest_avp(void **state)
{
	static uint8_t name[1017];

	memset(name, 0xff, sizeof(name));
	memcpy(name, "a\0\n\x1b%n../", 9); /* A17 */
	required(L2TP_SCCRQ, 7);
	raw_avp(&r, M, 0, 7, name, sizeof(name));
	parse();
	expect_ok();
	assert_int_equal(m.host_name.n, 1017);
	assert_memory_equal(m.host_name.p, name, 1017);
}

static void v2_4_1_08_malformed_length(void **state)
{
	for (size_t i = 0; i < COUNT(types); i++) {
		/* Length 0 to 5, M set and not */
		for (unsigned len = 0; len < 6; len++) {
			for (unsigned flag = 0; flag <= M; flag += M) {
				required(types[i], 0);
				raw_u16(&r, flag | len);
				raw_u16(&r, 0);
				raw_u16(&r, 0xfffe);
				raw_avp(&r, M, 0, 0xfffd, "x", 1); /* never reached */
				parse();
				if (ends(types[i]))
					expect_ok();
				else if (flag)
					expect_clear(of_session(types[i]), 2, 2, "Length");
				else
					assert_int_equal(v.scope, L2TP_MSG_IGNORE);
			}
		}
		/* past the end; one octet left over: not even M can be read */
		required(types[i], 0);
		raw_u16(&r, M | 1023);
		raw_u16(&r, 0);
		raw_u16(&r, 8);
		parse();
		if (!ends(types[i]))
			expect_clear(of_session(types[i]), 2, 2, "Length");
		required(types[i], 0);
		raw_octets(&r, "\x80", 1);
		parse();
		assert_int_equal(v.scope, ends(types[i]) ? L2TP_MSG_OK : L2TP_MSG_IGNORE);
	}
}

static void v2_4_1_09_vendor_counts(void **state)
{
	/* A12: numbers of the IETF in the space of another vendor */
	required(L2TP_ICRQ, 0);
	for (unsigned type = 0; type < 128; type++)
		raw_avp(&r, 0, 3561, type, "access-line", 11);
	parse();
	expect_ok();
	assert_int_equal(m.type, L2TP_ICRQ);
	assert_int_equal(m.session_id, 1);
	assert_false(l2tp_msg_has(&m, 1) || l2tp_msg_has(&m, 2) || l2tp_msg_has(&m, 22));
}

static void v2_4_1_11_the_first_counts(void **state)
{
	/* A30 */
	required(L2TP_SCCRQ, 0);
	for (unsigned i = 0; i < 150; i++)
		raw_avp(&r, M, 0, 7, "other", 5);
	parse();
	expect_ok();
	assert_int_equal(m.host_name.n, 3);
	assert_memory_equal(m.host_name.p, "lac", 3);
}

/* A30: as many AVPs as a datagram holds, all hidden behind the longest Random Vector */
static void work_is_bounded(void **state)
{
	static const uint8_t vector[1017] = { 1 };
	uint8_t value[8] = { 0, 2, 0, 7 };
	struct l2tp_bytes rv = { vector, sizeof(vector) };

	avp_hide(14, &hush, &rv, value, 4);
	raw_begin(&r, L2TP_ICRQ);
	raw_avp(&r, M, 0, 36, vector, sizeof(vector));
	raw_num(&r, M, 15, 4, 1);
	while (r.n < 65000)
		raw_avp(&r, M | H, 0, 14, value, 4);
	parse_with(&hush);
	expect_ok();
	assert_int_equal(m.session_id, 7);
	raw_begin(&r, L2TP_HELLO);
	while (r.n < 65500)
		raw_avp(&r, 0, 0, 0xfffe, NULL, 0);
	parse();
	expect_ok();
}

static void v2_4_1_12_misplaced_is_ignored(void **state)
{
	required(L2TP_ICRQ, 0);
	raw_avp(&r, M, 0, 1, "\0\1", 2);
	raw_avp(&r, M, 0, 1, "", 0); /* not even its length is looked at */
	parse();
	expect_ok();
	assert_false(l2tp_msg_has(&m, 1));
	required(L2TP_HELLO, 0);
	raw_avp(&r, M, 0, 11, "challenge", 9);
	raw_avp(&r, M | H, 0, 13, "xx", 2);
	parse();
	expect_ok();
	assert_null(m.challenge.p);
	/* each attribute in each message that does not list it */
	for (size_t i = 0; i < COUNT(types); i++) {
		required(types[i], 0);
		for (size_t k = 0; k < COUNT(vec_attrs); k++) {
			if (!(vec_attrs[k].in >> types[i] & 1))
				raw_avp(&r, M, 0, vec_attrs[k].type, "\0\0", 2);
		}
		parse();
		expect_ok();
	}
}

/* ---- malformed AVPs ---- */

static void v2_7_1_01_malformed_mandatory(void **state)
{
	required(L2TP_ICRQ, 14);
	raw_avp(&r, M, 0, 14, "x", 1);
	parse();
	expect_clear(true, 2, 2, "Assigned Session ID");
	required(L2TP_SCCRQ, 9);
	raw_avp(&r, M, 0, 9, "xyz", 3);
	parse();
	expect_clear(false, 2, 2, "Assigned Tunnel ID");
	required(L2TP_SLI, 35);
	raw_avp(&r, M, 0, 35, "123456789", 9); /* S26 */
	parse();
	expect_clear(true, 2, 2, "ACCM");
	/* A23, V2-5.1.1-05 */
	required(L2TP_SCCRQ, 0);
	raw_avp(&r, M, 0, 11, "", 0);
	parse();
	expect_clear(false, 2, 2, "Challenge");
	for (size_t n = 0; n < 18; n++) {
		required(L2TP_SCCCN, 0);
		raw_avp(&r, M, 0, 13, "0123456789abcdefg", n);
		parse();
		if (n == 16)
			expect_ok();
		else
			expect_clear(false, 2, 2, "Challenge Response");
	}
}

static void v2_7_1_02_malformed_optional(void **state)
{
	required(L2TP_ICCN, 0);
	raw_avp(&r, 0, 0, 38, "xx", 2);
	parse();
	expect_ok();
	assert_false(l2tp_msg_has(&m, 38));
	assert_non_null(strstr(v.text, "Rx Connect Speed")); /* for the log */
	/* a remark does not hide a fault that follows */
	raw_avp(&r, M, 0, 0xfffe, "x", 1);
	parse();
	expect_clear(true, 2, 8, "65534");
	/* the M bit as received counts, whatever it should have been */
	required(L2TP_SCCRQ, 0);
	raw_avp(&r, 0, 0, 5, "1234567", 7);
	raw_avp(&r, 0, 0, 11, "", 0);
	parse();
	expect_ok();
	assert_false(l2tp_msg_has(&m, 5) || l2tp_msg_has(&m, 11));
}

static void v2_7_1_03_required_absent(void **state)
{
	for (size_t i = 0; i < COUNT(vec_required); i++) {
		const struct vec_required *q = &vec_required[i];

		for (size_t k = 0; k < q->count; k++) {
			char name[16];

			required(q->type, q->attrs[k]);
			parse();
			if (ends(q->type)) {
				expect_ok();
				assert_string_not_equal(v.text, "");
				continue;
			}
			snprintf(name, sizeof(name), "(%u)", q->attrs[k]);
			expect_clear(of_session(q->type), 2, 3, name);
			assert_non_null(strstr(v.text, l2tp_avp_name(q->attrs[k])));
		}
	}
}

/* ---- values ---- */

static void ids_of_zero(void **state)
{
	static const unsigned with_sid[] = { L2TP_ICRQ, L2TP_ICRP, L2TP_OCRQ, L2TP_OCRP };

	/* V2-4.4.3-08, A18 */
	required(L2TP_SCCRQ, 9);
	raw_num(&r, M, 9, 2, 0);
	parse();
	expect_clear(false, 2, 3, "Assigned Tunnel ID AVP (9) must not be 0");
	/* V2-7.4-04 */
	for (size_t i = 0; i < COUNT(with_sid); i++) {
		required(with_sid[i], 14);
		raw_num(&r, M, 14, 2, 0);
		parse();
		expect_clear(true, 2, 3, "Assigned Session ID");
	}
	/* the sender of an end may never have had one */
	required(L2TP_STOPCCN, 9);
	raw_num(&r, M, 9, 2, 0);
	parse();
	expect_ok();
	assert_true(l2tp_msg_has(&m, 9));
	required(L2TP_CDN, 14);
	raw_num(&r, M, 14, 2, 0);
	parse();
	expect_ok();
	assert_true(l2tp_msg_has(&m, 14));
}

/* V2-4.4.3-13, A21 */
static void window_of_zero(void **state)
{
	required(L2TP_SCCRP, 0);
	raw_num(&r, M, 10, 2, 0);
	parse();
	expect_clear(false, 2, 3, "Receive Window Size");
}

static void v2_4_4_2_05_protocol_version(void **state)
{
	required(L2TP_SCCRQ, 2);
	raw_num(&r, M, 2, 2, 0x0200);
	parse();
	expect_clear(false, L2TP_STOP_VERSION, 0x0100, "2.0");
	required(L2TP_SCCRP, 2); /* V2-4.4.3-02 */
	raw_num(&r, M, 2, 2, 0);
	parse();
	expect_clear(false, L2TP_STOP_VERSION, 0x0100, "0.0");
	required(L2TP_SCCRP, 2); /* a later revision of version 1 has to get on with us */
	raw_num(&r, M, 2, 2, 0x0101);
	parse();
	expect_ok();
	required(L2TP_SCCRP, 2);
	raw_avp(&r, M, 0, 2, "\1", 1);
	parse();
	expect_clear(false, 2, 2, "Protocol Version");
}

static void v2_4_4_2_01_result_lengths(void **state)
{
	for (unsigned type = L2TP_STOPCCN; type <= L2TP_CDN; type += L2TP_CDN - L2TP_STOPCCN) {
		static const size_t sizes[] = { 2, 3, 4, 5, 204 };
		static const uint8_t value[204] = { 0, 2, 0, 6, 0xff, 0xfe, 0x1b };

		for (size_t i = 0; i < COUNT(sizes); i++) {
			required(type, 1);
			raw_avp(&r, M, 0, 1, value, sizes[i]);
			parse();
			expect_ok();
			assert_int_equal(m.result, 2);
			assert_int_equal(m.error, sizes[i] >= 4 ? 6 : 0);
			assert_int_equal(m.text.n, sizes[i] > 4 ? sizes[i] - 4 : 0);
		}
		required(type, 1); /* A24: it still takes effect */
		raw_avp(&r, M, 0, 1, value, 1);
		parse();
		expect_ok();
		assert_false(l2tp_msg_has(&m, 1));
		required(type, 1); /* V2-4.4.2-02 */
		raw_num(&r, M, 1, 2, 0);
		parse();
		expect_ok();
		assert_true(l2tp_msg_has(&m, 1));
	}
}

/* ---- hiding ---- */

/* Append a hidden number, as the vector `rv` demands it. */
static void raw_hidden(unsigned flags, unsigned type, size_t n, uint64_t num_value,
		       const struct l2tp_bytes *rv)
{
	uint8_t b[10] = { 0, (uint8_t)n };

	for (size_t i = 0; i < n; i++)
		b[2 + i] = (uint8_t)(num_value >> 8 * (n - 1 - i));
	avp_hide((uint16_t)type, &hush, rv, b, n + 2);
	raw_avp(&r, flags | H, 0, type, b, n + 2);
}

static const struct l2tp_bytes rv = { (const uint8_t *)"0123456789abcdef", 16 };

static void v2_4_3_05_nearest_vector(void **state)
{
	parse_image(VEC_SEVERAL, &hush);
	expect_ok();
	assert_int_equal(m.session_id, 0x1111);
	assert_int_equal(m.serial, 0x22222222);
	assert_int_equal(m.calling.n, 4);
	assert_memory_equal(m.calling.p, "0123", 4);
}

static void v2_4_3_06_hidden_without_vector(void **state)
{
	/* H01 */
	required(L2TP_ICRQ, 14);
	raw_hidden(M, 14, 2, 7, &rv);
	raw_avp(&r, M, 0, 36, rv.p, rv.n); /* too late */
	parse_with(&hush);
	expect_clear(true, 2, 3, "Assigned Session ID");
	required(L2TP_ICRQ, 0);
	raw_hidden(0, 25, 4, 7, &rv);
	parse_with(&hush);
	expect_ok();
	assert_false(l2tp_msg_has(&m, 25));
}

static void v2_4_3_07_wrong_secret(void **state)
{
	const struct l2tp_secret other = { (const uint8_t *)"other", 5 };
	unsigned good = 0;

	for (unsigned i = 0; i < 2000; i++) {
		uint8_t vector[2] = { (uint8_t)(i >> 8), (uint8_t)i };
		struct l2tp_bytes here = { vector, 2 };

		required(L2TP_SCCRQ, 9);
		raw_avp(&r, M, 0, 36, vector, 2);
		raw_hidden(M, 9, 2, 7, &here);
		parse_with(&other);
		if (v.scope == L2TP_MSG_OK)
			good++;
		else if (strstr(v.text, "unhidden"))
			expect_clear(false, 2, 2, "Assigned Tunnel ID");
		else
			expect_clear(false, 2, 2, "wrong length"); /* 0 or 1 by chance */
	}
	assert_true(good < 3); /* H08: one in 65536 looks right */
}

static void v2_4_3_08_hidden_too_short(void **state)
{
	for (size_t n = 0; n < 2; n++) {
		required(L2TP_ICRQ, 14);
		raw_avp(&r, M, 0, 36, rv.p, rv.n);
		raw_avp(&r, M | H, 0, 14, "x", n);
		parse_with(&hush);
		expect_clear(true, 2, 2, "too short");
		required(L2TP_ICRQ, 0);
		raw_avp(&r, M, 0, 36, rv.p, rv.n);
		raw_avp(&r, H, 0, 25, "x", n);
		parse_with(&hush);
		expect_ok();
	}
}

static void v2_4_3_09_must_not_be_hidden(void **state)
{
	/* Message Type */
	r.n = 0;
	raw_avp(&r, M | H, 0, 0, "\0\6", 2);
	parse_with(&hush);
	assert_int_equal(v.scope, L2TP_MSG_DROP);
	for (size_t i = 0; i < COUNT(vec_attrs); i++) {
		const struct vec_attr *a = &vec_attrs[i];
		unsigned type = L2TP_SCCRQ;

		if (a->h || a->type == 0)
			continue;
		while (!(a->in >> type & 1))
			type++;
		required(type, a->type);
		raw_avp(&r, M, 0, 36, rv.p, rv.n);
		raw_hidden(M, a->type, 8, 1, &rv);
		parse_with(&hush);
		if (ends(type))
			expect_ok();
		else
			expect_clear(of_session(type), 2, 3, "must not be hidden");
		assert_false(l2tp_msg_has(&m, a->type));
	}
	required(L2TP_HELLO, 0);
	raw_avp(&r, M | H, 0, 36, rv.p, rv.n);
	parse_with(&hush);
	expect_clear(false, 2, 3, "Random Vector");
	required(L2TP_SCCRQ, 0); /* M = 0: skipped */
	raw_avp(&r, H, 0, 5, "12345678", 8);
	parse_with(&hush);
	expect_ok();
	assert_false(l2tp_msg_has(&m, 5));
}

static void v2_4_3_10_no_secret(void **state)
{
	/* H07 */
	required(L2TP_ICRQ, 0);
	raw_avp(&r, M, 0, 36, rv.p, rv.n);
	raw_hidden(M, 22, 4, 0x31323334, &rv);
	parse();
	expect_clear(true, 2, 8, "Calling Number");
	assert_true(m.needs_secret);
	parse_with(&hush);
	expect_ok();
	assert_false(m.needs_secret);
	required(L2TP_ICRQ, 0);
	raw_avp(&r, M, 0, 36, rv.p, rv.n);
	raw_hidden(0, 25, 4, 1, &rv);
	parse();
	expect_ok();
	assert_false(l2tp_msg_has(&m, 25));
	assert_true(m.needs_secret);
}

static void v2_4_3_11_vector_lengths(void **state)
{
	static const uint16_t sizes[] = { 1, 16, 255, 1000, 1017 };
	static const uint8_t long_vector[1017] = { 1, 2, 3 };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct l2tp_bytes here = { long_vector, sizes[i] };

		required(L2TP_ICRQ, 14);
		raw_avp(&r, M, 0, 36, long_vector, sizes[i]);
		raw_hidden(M, 14, 2, 0x7777, &here);
		parse_with(&hush);
		expect_ok();
		assert_int_equal(m.session_id, 0x7777);
	}
	required(L2TP_ICRQ, 0);
	raw_avp(&r, M, 0, 36, NULL, 0);
	parse_with(&hush);
	expect_clear(true, 2, 2, "Random Vector");
}

/* More hidden octets than the scratch holds: refused, not overrun. */
static void hidden_beyond_the_scratch(void **state)
{
	static uint8_t value[1002];
	static const unsigned attrs[] = { 26, 27, 28 };

	required(L2TP_ICCN, 0);
	raw_avp(&r, M, 0, 36, rv.p, rv.n);
	for (size_t i = 0; i < COUNT(attrs); i++) {
		memset(value, 0, sizeof(value));
		value[0] = 1000 >> 8;
		value[1] = 1000 & 0xff;
		avp_hide((uint16_t)attrs[i], &hush, &rv, value, sizeof(value));
		raw_avp(&r, (i ? M : 0) | H, 0, attrs[i], value, sizeof(value));
	}
	parse_with(&hush);
	expect_clear(true, 2, 4, "Last Sent LCP CONFREQ");
	assert_int_equal(m.proxy[0].n, 1000);
	assert_null(m.proxy[1].p);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_message_plain),
		TEST(v2_4_1_10_any_order),
		TEST(every_message_hidden),
		TEST(every_message_minimal),
		TEST(every_message_cut_anywhere),
		TEST(zlb),
		TEST(v2_3_2_01_reserved_types),
		TEST(v2_4_4_1_01_type_is_first),
		TEST(v2_4_4_1_02_unreadable_type),
		TEST(v2_4_4_1_03_unknown_type_mandatory),
		TEST(v2_4_4_1_04_unknown_type_ignored),
		TEST(v2_4_4_1_05_type_of_another_vendor),
		TEST(message_type_twice),
		TEST(v2_4_1_02_reserved_bits),
		TEST(v2_4_1_03_unknown_optional),
		TEST(v2_4_1_04_unknown_mandatory),
		TEST(extension_mandatory),
		TEST(ids_after_a_fault),
		TEST(v2_4_1_07_longest_avp),
		TEST(v2_4_1_08_malformed_length),
		TEST(v2_4_1_09_vendor_counts),
		TEST(v2_4_1_11_the_first_counts),
		TEST(work_is_bounded),
		TEST(v2_4_1_12_misplaced_is_ignored),
		TEST(v2_7_1_01_malformed_mandatory),
		TEST(v2_7_1_02_malformed_optional),
		TEST(v2_7_1_03_required_absent),
		TEST(ids_of_zero),
		TEST(window_of_zero),
		TEST(v2_4_4_2_05_protocol_version),
		TEST(v2_4_4_2_01_result_lengths),
		TEST(v2_4_3_05_nearest_vector),
		TEST(v2_4_3_06_hidden_without_vector),
		TEST(v2_4_3_07_wrong_secret),
		TEST(v2_4_3_08_hidden_too_short),
		TEST(v2_4_3_09_must_not_be_hidden),
		TEST(v2_4_3_10_no_secret),
		TEST(v2_4_3_11_vector_lengths),
		TEST(hidden_beyond_the_scratch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
