/* SPDX-License-Identifier: MIT
 *
 * The table of attributes and single AVPs (RFC 2661 4.1, 4.4).
 */
#include "raw.h"
#include "vectors.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct vec_attr *vec_attr_of(unsigned type)
{
	for (size_t i = 0; i < COUNT(vec_attrs); i++) {
		if (vec_attrs[i].type == type)
			return &vec_attrs[i];
	}
	return NULL;
}

/* Each row against what an independent reading of RFC 2661 4.4 says. */
static void table_says_what_the_rfc_says(void **state)
{
	const uint32_t all = 0x1dfde; /* the fourteen messages of RFC 2661 */

	for (unsigned type = 0; type < AVP_TYPE_COUNT; type++) {
		const struct avp_row *row = avp_row_of(type);
		const struct vec_attr *v = vec_attr_of(type);

		if (!v) {
			if (row && type != AVP_RANDOM_VECTOR)
				assert_int_equal(row->form, AVP_FORM_UNKNOWN);
			continue;
		}
		assert_non_null(row);
		assert_int_not_equal(row->form, AVP_FORM_UNKNOWN);
		assert_int_equal(row->mandatory, v->m);
		assert_int_equal(row->hideable, v->h);
		assert_int_equal(row->min, v->min);
		assert_int_equal(row->max, v->max);
		assert_int_equal(row->in & all, v->in);
	}
	assert_true(avp_row_of(AVP_RANDOM_VECTOR)->mandatory);
	assert_false(avp_row_of(AVP_RANDOM_VECTOR)->hideable);
}

static void names(void **state)
{
	assert_string_equal(l2tp_avp_name(0), "Message Type");
	assert_string_equal(l2tp_avp_name(14), "Assigned Session ID");
	assert_string_equal(l2tp_avp_name(103), "ECN Capability");
	assert_null(l2tp_avp_name(20)); /* reserved */
	assert_null(l2tp_avp_name(104));
	assert_null(l2tp_avp_name(0xfffe));
	assert_null(l2tp_avp_name(UINT32_MAX));
}

/* V2-4.1-07: ten bits of length; the value is what follows the six octets of the header */
static void next_reads_the_header(void **state)
{
	static struct raw r;
	uint8_t big[AVP_VALUE_MAX];
	struct rcur c;
	struct avp a;

	memset(big, 'x', sizeof(big));
	r.n = 0;
	raw_avp(&r, M, 0, 7, "abc", 3);
	raw_avp(&r, H, 3561, 0xfffe, NULL, 0);
	raw_avp(&r, 0x0400, 0, 7, big, sizeof(big));
	raw_avp(&r, 0x2000, 0, 8, "x", 1);
	c = rcur_of(r.buf, r.n);

	assert_int_equal(avp_next(&c, &a), AVP_NEXT_OK);
	assert_true(a.mandatory && !a.hidden && !a.reserved);
	assert_int_equal(a.vendor, 0);
	assert_int_equal(a.type, 7);
	assert_int_equal(a.n, 3);
	assert_memory_equal(a.value, "abc", 3);

	assert_int_equal(avp_next(&c, &a), AVP_NEXT_OK);
	assert_true(!a.mandatory && a.hidden && !a.reserved);
	assert_int_equal(a.vendor, 3561);
	assert_int_equal(a.type, 0xfffe);
	assert_int_equal(a.n, 0);

	assert_int_equal(avp_next(&c, &a), AVP_NEXT_OK);
	assert_true(a.reserved);
	assert_int_equal(a.n, 1017);
	assert_int_equal(avp_next(&c, &a), AVP_NEXT_OK);
	assert_true(a.reserved);
	assert_int_equal(avp_next(&c, &a), AVP_NEXT_END);
	assert_int_equal(avp_next(&c, &a), AVP_NEXT_END);
}

/* V2-4.1-08, A02: a Length of 0 to 5 ends the walk, whatever follows */
static void next_length_below_six(void **state)
{
	for (unsigned len = 0; len < 6; len++) {
		for (unsigned m = 0; m < 2; m++) {
			static struct raw r;
			struct octets o;
			struct rcur c;
			struct avp a;

			r.n = 0;
			raw_u16(&r, (m ? M : 0) | len);
			raw_u16(&r, 0);
			raw_u16(&r, 7);
			raw_avp(&r, M, 0, 7, "abc", 3);
			o = octets_copy(r.buf, r.n);
			c = rcur_of(o.p, o.n);
			assert_int_equal(avp_next(&c, &a), AVP_NEXT_BROKEN);
			assert_int_equal(a.mandatory, m);
			assert_int_equal(avp_next(&c, &a), AVP_NEXT_END);
			free(o.p);
		}
	}
}

/* V2-4.1-08, A03, L10: an AVP cut anywhere */
static void next_past_the_end(void **state)
{
	static struct raw r;

	r.n = 0;
	raw_avp(&r, M, 0, 7, "abcdef", 6);
	for (size_t n = 1; n < r.n; n++) {
		struct octets o = octets_copy(r.buf, n);
		struct rcur c = rcur_of(o.p, n);
		struct avp a;

		assert_int_equal(avp_next(&c, &a), AVP_NEXT_BROKEN);
		assert_int_equal(a.mandatory, n >= 2); /* M can be read from the second octet on */
		assert_int_equal(avp_next(&c, &a), AVP_NEXT_END);
		free(o.p);
	}
}

/* A15, V2-4.4.3-07, V2-5.1.1-05: each attribute takes its lengths and no other, 0 to 1017 octets */
static void store_every_length(void **state)
{
	for (size_t i = 0; i < COUNT(vec_attrs); i++) {
		const struct vec_attr *v = &vec_attrs[i];

		for (uint16_t n = 0; n <= AVP_VALUE_MAX; n++) {
			struct octets o;
			struct l2tp_msg m = { 0 };
			bool good = n >= v->min && n <= v->max;

			if (n > 64 && n < 1015)
				continue;
			o.p = calloc(1, n ? n : 1);
			assert_non_null(o.p);
			assert_int_equal(avp_store(&m, avp_row_of(v->type), v->type, o.p, n), good);
			assert_int_equal(l2tp_msg_has(&m, v->type), good);
			free(o.p);
		}
	}
}

static void store(struct l2tp_msg *m, unsigned type, const char *hex)
{
	struct octets o = octets_hex(hex);
	static uint8_t keep[64];

	assert_true(o.n <= sizeof(keep));
	memcpy(keep, o.p, o.n);
	assert_true(avp_store(m, avp_row_of(type), type, keep, (uint16_t)o.n));
	free(o.p);
}

static void store_numbers(void **state)
{
	struct l2tp_msg m = { 0 };

	store(&m, 2, "0102");
	store(&m, 3, "00000003");
	store(&m, 4, "80000001");
	store(&m, 5, "0102030405060708");
	store(&m, 9, "fffe");
	store(&m, 14, "1234");
	store(&m, 24, "3b9aca00");
	store(&m, 39, "");
	assert_int_equal(m.version, 0x0102);
	assert_int_equal(m.framing_caps, 3);
	assert_int_equal(m.bearer_caps, 0x80000001);
	assert_true(m.tie == UINT64_C(0x0102030405060708));
	assert_int_equal(m.tunnel_id, 0xfffe);
	assert_int_equal(m.session_id, 0x1234);
	assert_int_equal(m.tx_speed, 1000000000);
	assert_true(l2tp_msg_has(&m, 39));
	assert_false(l2tp_msg_has(&m, 38));
}

/* V2-4.4.2-01, A24: 2, 4 and more octets of value are right; three are taken as two */
static void store_result(void **state)
{
	struct l2tp_msg m = { 0 };

	store(&m, 1, "0001");
	assert_int_equal(m.result, 1);
	assert_int_equal(m.error, 0);
	assert_int_equal(m.text.n, 0);
	m = (struct l2tp_msg){ 0 };
	store(&m, 1, "000205");
	assert_int_equal(m.result, 2);
	assert_int_equal(m.error, 0);
	m = (struct l2tp_msg){ 0 };
	store(&m, 1, "00020006");
	assert_int_equal(m.error, 6);
	assert_int_equal(m.text.n, 0);
	m = (struct l2tp_msg){ 0 };
	store(&m, 1, "000200066162");
	assert_int_equal(m.error, 6);
	assert_int_equal(m.text.n, 2);
	assert_memory_equal(m.text.p, "ab", 2);
	assert_false(avp_store(&m, avp_row_of(1), 1, (const uint8_t *)"", 1));
}

/* V2-6.12-05, V2-6.13-02, V2-6.14-01 */
static void store_compound(void **state)
{
	struct l2tp_msg m = { 0 };

	store(&m, 12, "001045");
	assert_int_equal(m.q931_cause, 16);
	assert_int_equal(m.q931_msg, 0x45);
	store(&m, 34, "ffff000000010000000200000003000000040000000500000006");
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(m.call_errors[i], i + 1);
	store(&m, 35, "0000000a0000ffff0000");
	assert_int_equal(m.accm_send, 0x000a0000);
	assert_int_equal(m.accm_recv, 0xffff0000);
	store(&m, 33, "736573616d65");
	assert_int_equal(m.proxy[7].n, 6);
	assert_memory_equal(m.proxy[7].p, "sesame", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_says_what_the_rfc_says),
		cmocka_unit_test(names),
		cmocka_unit_test(next_reads_the_header),
		cmocka_unit_test(next_length_below_six),
		cmocka_unit_test(next_past_the_end),
		cmocka_unit_test(store_every_length),
		cmocka_unit_test(store_numbers),
		cmocka_unit_test(store_result),
		cmocka_unit_test(store_compound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
