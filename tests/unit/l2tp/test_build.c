/* SPDX-License-Identifier: MIT
 *
 * What we write: images equal to those of an independent program, and the rules that hold for
 * every message of ours (RFC 2661 3.1, 4.1, 4.3, 4.4.2).
 *
 * Rows: V2-4.1-07, V2-4.2-01, V2-4.3-12, V2-4.4.2-03, V2-4.4.2-04, V2-4.4.5-11
 */
#include "raw.h"
#include "vectors.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct l2tp_secret hush = { (const uint8_t *)"hush", 4 };
static const uint8_t seed[RNG_SEED] = "unit test";

static const struct vec_attr *vec_attr_of(unsigned type)
{
	for (size_t i = 0; i < COUNT(vec_attrs); i++) {
		if (vec_attrs[i].type == type)
			return &vec_attrs[i];
	}
	return NULL;
}

/* Add every attribute of the message, in the table's order, with the vectors' values. */
static void add_all(struct l2tp_build *b, unsigned type)
{
	for (size_t i = 0; i < COUNT(vec_values); i++) {
		const struct vec_attr *a = vec_attr_of(vec_values[i].type);
		struct octets o = octets_hex(vec_values[i].value);
		struct rcur c = rcur_of(o.p, o.n);

		if (!(a->in >> type & 1)) {
			free(o.p);
			continue;
		}
		if (a->type == 1)
			l2tp_build_result(b, 2, 6, "nope \xc3\xbc");
		else if (a->type == 35)
			l2tp_build_accm(b, 0xa0000, 0xffffffff);
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

/* V2-3.1-01, V2-3.1-02, V2-3.1-03, V2-3.1-11, V2-4.1-01, V2-4.4.1-02, V2-7.1-04 */
static void every_message_as_others_write_it(void **state)
{
	for (size_t i = 0; i < COUNT(vec_messages); i++) {
		const struct vec_message *v = &vec_messages[i];
		struct octets want = octets_hex(v->plain);
		uint8_t buf[L2TP_CONTROL_MAX];
		struct l2tp_build b;
		size_t n;

		l2tp_build_begin(&b, buf, sizeof(buf), (uint16_t)v->type, NULL, NULL);
		add_all(&b, v->type);
		n = l2tp_build_end(&b);
		l2tp_build_stamp(buf, n, 0x1234, 0x5678, 0x9abc, 0xdef0);
		assert_int_equal(n, want.n);
		assert_memory_equal(buf, want.p, n);
		free(want.p);
	}
}

/* V2-4.3-02: one vector, M=1 H=0, before the first hidden AVP; what may not be hidden is not */
static void hidden_messages(void **state)
{
	struct rng rng;

	rng_init(&rng, seed);
	for (size_t i = 0; i < COUNT(vec_messages); i++) {
		const struct vec_message *v = &vec_messages[i];
		uint8_t buf[L2TP_CONTROL_MAX], scratch[L2TP_SCRATCH];
		unsigned vectors = 0;
		struct l2tp_build b;
		struct l2tp_verdict verdict;
		struct l2tp_msg m;
		struct rcur c;
		struct avp a;
		size_t n;

		l2tp_build_begin(&b, buf, sizeof(buf), (uint16_t)v->type, &hush, &rng);
		add_all(&b, v->type);
		n = l2tp_build_end(&b);
		assert_int_not_equal(n, 0);
		c = rcur_of(buf + 12, n - 12);
		while (avp_next(&c, &a) == AVP_NEXT_OK) {
			assert_false(a.reserved);
			assert_int_equal(a.vendor, 0);
			if (a.type == AVP_RANDOM_VECTOR) {
				vectors++;
				assert_true(a.mandatory && !a.hidden && a.n >= 16);
				continue;
			}
			assert_int_equal(a.hidden, vec_attr_of(a.type)->h);
			assert_int_equal(a.mandatory, vec_attr_of(a.type)->m);
			assert_true(!a.hidden || vectors);
		}
		assert_true(vectors <= 1);
		l2tp_msg_parse(buf + 12, n - 12, &hush, scratch, &m, &verdict);
		assert_int_equal(verdict.scope, L2TP_MSG_OK);
		for (size_t k = 0; k < COUNT(vec_attrs); k++)
			assert_int_equal(l2tp_msg_has(&m, vec_attrs[k].type),
					 vec_attrs[k].in >> v->type & 1);
	}
}

/* V2-4.3-01: no secret, no hiding and no vector */
static void v2_4_3_01_no_secret_nothing_hidden(void **state)
{
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp_build b;
	struct rcur c;
	struct avp a;
	size_t n;

	l2tp_build_begin(&b, buf, sizeof(buf), L2TP_SCCRQ, NULL, NULL);
	add_all(&b, L2TP_SCCRQ);
	n = l2tp_build_end(&b);
	c = rcur_of(buf + 12, n - 12);
	while (avp_next(&c, &a) == AVP_NEXT_OK)
		assert_true(!a.hidden && a.type != AVP_RANDOM_VECTOR);
}

static void v2_4_3_12_fresh_vector(void **state)
{
	uint8_t one[200], two[200];
	struct l2tp_build b;
	struct rng rng;

	rng_init(&rng, seed);
	l2tp_build_begin(&b, one, sizeof(one), L2TP_ICRP, &hush, &rng);
	l2tp_build_u16(&b, AVP_SESSION_ID, 5);
	assert_int_not_equal(l2tp_build_end(&b), 0);
	l2tp_build_begin(&b, two, sizeof(two), L2TP_ICRP, &hush, &rng);
	l2tp_build_u16(&b, AVP_SESSION_ID, 5);
	assert_int_not_equal(l2tp_build_end(&b), 0);
	assert_memory_equal(one + 20, two + 20, 6); /* the vectors' AVP headers */
	assert_memory_not_equal(one + 26, two + 26, 16);
	assert_memory_not_equal(one + 48, two + 48, 4);
}

/* V2-4.2-01: what is not in RFC 2661 is never sent with M=1 */
static void v2_4_2_01_no_new_mandatory(void **state)
{
	for (unsigned type = 40; type < 200; type++) {
		uint8_t buf[64];
		struct l2tp_build b;

		l2tp_build_begin(&b, buf, sizeof(buf), L2TP_ICRQ, NULL, NULL);
		l2tp_build_u16(&b, type, 0);
		assert_int_equal(l2tp_build_end(&b), 28);
		assert_int_equal(buf[20] & 0x80, 0);
	}
}

/* V2-4.1-07: an AVP is never longer than 1023 octets */
static void v2_4_1_07_too_long(void **state)
{
	static uint8_t big[2000], buf[3000];
	struct rng rng;

	rng_init(&rng, seed);
	for (int hide = 0; hide < 2; hide++) {
		size_t most = AVP_VALUE_MAX - (hide ? 2 : 0);
		struct l2tp_build b;

		l2tp_build_begin(&b, buf, sizeof(buf), L2TP_ICRQ, hide ? &hush : NULL, &rng);
		l2tp_build_bytes(&b, 22, big, most);
		assert_int_not_equal(l2tp_build_end(&b), 0);
		l2tp_build_begin(&b, buf, sizeof(buf), L2TP_ICRQ, hide ? &hush : NULL, &rng);
		l2tp_build_bytes(&b, 22, big, most + 1);
		assert_int_equal(l2tp_build_end(&b), 0);
	}
}

/* A buffer of any size below the need: nothing is written past it, the end says so. */
static void does_not_fit(void **state)
{
	struct rng rng;

	rng_init(&rng, seed);
	for (size_t cap = 0; cap < 400; cap++) {
		struct octets o = { malloc(cap ? cap : 1), cap };
		struct l2tp_build b;
		size_t n;

		l2tp_build_begin(&b, o.p, cap, L2TP_SCCRQ, cap & 1 ? &hush : NULL, &rng);
		add_all(&b, L2TP_SCCRQ);
		n = l2tp_build_end(&b);
		assert_true(n <= cap);
		assert_true(cap > 50 || n == 0);
		free(o.p);
	}
}

static void result_codes(void **state)
{
	static const struct {
		uint16_t result, error;
		const char *text;
		size_t len;
	} cases[] = {
		{ 1, 0, NULL, 8 },  { 1, 0, "", 8 },   { 2, 0, NULL, 10 }, /* V2-4.4.2-04 */
		{ 2, 6, NULL, 10 }, { 6, 0, "x", 11 }, { 5, 0x0100, NULL, 10 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t buf[200];
		struct l2tp_build b;
		size_t n;

		l2tp_build_begin(&b, buf, sizeof(buf), L2TP_STOPCCN, NULL, NULL);
		l2tp_build_result(&b, cases[i].result, cases[i].error, cases[i].text);
		n = l2tp_build_end(&b);
		assert_int_equal(n, 20 + cases[i].len);
		assert_int_equal(buf[20] >> 6, 2); /* M=1, H=0 */
		assert_int_equal(buf[27], cases[i].result);
	}
}

/* V2-4.4.2-03: the text stays UTF-8 when it is cut */
static void v2_4_4_2_03_text_is_cut_between_characters(void **state)
{
	char text[300];

	for (size_t ascii = 0; ascii < 4; ascii++) {
		uint8_t buf[400];
		struct l2tp_build b;
		size_t n, k;

		memset(text, 'a', ascii);
		for (k = ascii; k + 3 < sizeof(text); k += 3)
			memcpy(text + k, "\xe2\x82\xac", 3);
		text[k] = 0;
		l2tp_build_begin(&b, buf, sizeof(buf), L2TP_STOPCCN, NULL, NULL);
		l2tp_build_result(&b, 2, 6, text);
		n = l2tp_build_end(&b) - 30;
		assert_true(n < L2TP_TEXT_MAX && n > L2TP_TEXT_MAX - 4);
		assert_int_equal((n - ascii) % 3, 0);
	}
}

static void stamp_and_zlb(void **state)
{
	struct octets want = octets_hex(VEC_ZLB);
	uint8_t buf[12];

	assert_int_equal(l2tp_build_zlb(buf, sizeof(buf), 0x1234, 5, 7), 12);
	assert_memory_equal(buf, want.p, 12);
	assert_int_equal(l2tp_build_zlb(buf, 11, 1, 2, 3), 0);
	for (size_t n = 0; n < 12; n++) { /* never past the end */
		struct octets o = { calloc(1, n ? n : 1), n };

		l2tp_build_stamp(o.p, n, 1, 2, 3, 4);
		free(o.p);
	}
	free(want.p);
}

static void names(void **state)
{
	for (size_t i = 0; i < COUNT(vec_messages); i++)
		assert_string_equal(l2tp_type_name(vec_messages[i].type), vec_messages[i].name);
	assert_string_equal(l2tp_type_name(L2TP_ZLB), "ZLB");
	assert_null(l2tp_type_name(5));
	assert_null(l2tp_type_name(13));
	assert_null(l2tp_type_name(17));
	assert_null(l2tp_type_name(UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_as_others_write_it),
		cmocka_unit_test(hidden_messages),
		cmocka_unit_test(v2_4_3_01_no_secret_nothing_hidden),
		cmocka_unit_test(v2_4_3_12_fresh_vector),
		cmocka_unit_test(v2_4_2_01_no_new_mandatory),
		cmocka_unit_test(v2_4_1_07_too_long),
		cmocka_unit_test(does_not_fit),
		cmocka_unit_test(result_codes),
		cmocka_unit_test(v2_4_4_2_03_text_is_cut_between_characters),
		cmocka_unit_test(stamp_and_zlb),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
