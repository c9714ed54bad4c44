/* SPDX-License-Identifier: MIT
 *
 * The header of control and data messages (RFC 2661 3.1); conformance rows V2-3.1-*.
 */
#include <stdio.h>
#include "raw.h"
#include "vectors.h"

static enum l2tp_header_result parse(const char *hex, struct l2tp_header *ret)
{
	struct octets o = octets_hex(hex);
	enum l2tp_header_result r = l2tp_header_parse(o.p, o.n, ret);

	free(o.p);
	return r;
}

static enum l2tp_header_result result(const char *hex)
{
	struct l2tp_header h = { .flags = 0x1111, .tunnel = 77 };
	enum l2tp_header_result r = parse(hex, &h);

	/* outputs are written on success only */
	if (r != L2TP_HDR_OK)
		assert_true(h.flags == 0x1111 && h.tunnel == 77);
	return r;
}

static void control(void **state)
{
	struct l2tp_header h;

	assert_int_equal(parse("c802000e12345678abcdef010000", &h), L2TP_HDR_OK);
	assert_int_equal(h.flags, L2TP_HDR_T | L2TP_HDR_L | L2TP_HDR_S);
	assert_int_equal(h.tunnel, 0x1234);
	assert_int_equal(h.session, 0x5678);
	assert_int_equal(h.ns, 0xabcd);
	assert_int_equal(h.nr, 0xef01);
	assert_int_equal(h.payload, 12);
	assert_int_equal(h.len, 2);
}

static void v2_3_1_04_reserved_bits_are_ignored(void **state)
{
	struct l2tp_header h;

	/* L08: all reserved bits (0x34f0) set */
	assert_int_equal(parse("fcf2000c0001000000000000", &h), L2TP_HDR_OK);
	assert_int_equal(h.flags, L2TP_HDR_T | L2TP_HDR_L | L2TP_HDR_S);
	assert_int_equal(parse("34f200010002aa", &h), L2TP_HDR_OK);
	assert_int_equal(h.flags, 0);
}

static void v2_3_1_05_version(void **state)
{
	for (unsigned ver = 0; ver < 16; ver++) {
		char hex[64];

		snprintf(hex, sizeof(hex), "c80%x000c0001000000000000", ver);
		assert_int_equal(result(hex), ver == 2 ? L2TP_HDR_OK : L2TP_HDR_VERSION);
		snprintf(hex, sizeof(hex), "000%x00010002aabb", ver);
		assert_int_equal(result(hex), ver == 2 ? L2TP_HDR_OK : L2TP_HDR_VERSION);
	}
}

static void v2_3_1_06_l2f_is_dropped(void **state)
{
	assert_int_equal(result("e00100000000000000000000"), L2TP_HDR_VERSION);
}

static void v2_3_1_07_control_without_l(void **state)
{
	assert_int_equal(result("8802000c0001000000000000"), L2TP_HDR_FLAGS);
}

static void v2_3_1_08_control_without_s(void **state)
{
	assert_int_equal(result("c002000800010000"), L2TP_HDR_FLAGS);
	assert_int_equal(result("c002000c0001000000000000"), L2TP_HDR_FLAGS);
}

static void v2_3_1_09_control_with_o(void **state)
{
	assert_int_equal(result("ca02000e00010000000000000000"), L2TP_HDR_FLAGS);
	assert_int_equal(result("ca02000e0001000000000000ffff"), L2TP_HDR_FLAGS); /* L07 */
}

static void v2_3_1_10_control_with_p_is_taken(void **state)
{
	struct l2tp_header h;

	assert_int_equal(parse("c902000c0001000000000000", &h), L2TP_HDR_OK);
	assert_int_equal(h.flags & L2TP_HDR_P, L2TP_HDR_P);
}

static void v2_3_1_12_length_is_wrong(void **state)
{
	assert_int_equal(result("c802000d0001000000000000"), L2TP_HDR_LENGTH);
	assert_int_equal(result("c802ffff0001000000000000"), L2TP_HDR_LENGTH);
	assert_int_equal(result("c802000b0001000000000000"), L2TP_HDR_LENGTH);
	assert_int_equal(result("c80200000001000000000000"), L2TP_HDR_LENGTH);
}

static void v2_3_1_13_length_cuts_junk_off(void **state)
{
	struct l2tp_header h;

	assert_int_equal(parse("c802000c000100000000000080080000000000060102030405060708", &h),
			 L2TP_HDR_OK);
	assert_int_equal(h.len, 0);
}

/* L01, L02: nothing is read past a short datagram of any kind */
static void short_datagrams(void **state)
{
	struct octets full = octets_hex("c802000c0001000200030004");
	struct octets data = octets_hex("4b02000e0001000200030004000055ff");

	for (size_t n = 0; n < full.n; n++) {
		struct octets o = octets_copy(full.p, n);
		struct l2tp_header h;

		assert_int_equal(l2tp_header_parse(o.p, n, &h), L2TP_HDR_SHORT);
		free(o.p);
	}
	for (size_t n = 0; n < 14; n++) {
		struct octets o = octets_copy(data.p, n);
		struct l2tp_header h;

		assert_int_equal(l2tp_header_parse(o.p, n, &h), L2TP_HDR_SHORT);
		free(o.p);
	}
	free(full.p);
	free(data.p);
}

static void v2_3_1_16_data_header_shrinks(void **state)
{
	for (unsigned k = 0; k < 8; k++) {
		bool l = k & 1, s = k & 2, o = k & 4;
		struct l2tp_header h;
		static struct raw r;
		size_t at;

		r.n = 0;
		raw_u16(&r, 2 | (l ? L2TP_HDR_L : 0) | (s ? L2TP_HDR_S : 0) | (o ? L2TP_HDR_O : 0));
		at = 6 + (l ? 2 : 0) + (s ? 4 : 0) + (o ? 2 : 0);
		if (l)
			raw_u16(&r, (unsigned)at + 3);
		raw_u16(&r, 0x1111);
		raw_u16(&r, 0x2222);
		if (s) {
			raw_u16(&r, 0x3333);
			raw_u16(&r, 0x4444);
		}
		if (o)
			raw_u16(&r, 0);
		raw_octets(&r, "abc", 3);
		assert_int_equal(l2tp_header_parse(r.buf, r.n, &h), L2TP_HDR_OK);
		assert_int_equal(h.tunnel, 0x1111);
		assert_int_equal(h.session, 0x2222);
		assert_int_equal(h.ns, s ? 0x3333 : 0);
		assert_int_equal(h.nr, s ? 0x4444 : 0);
		assert_int_equal(h.payload, at);
		assert_int_equal(h.len, 3);
		assert_memory_equal(r.buf + h.payload, "abc", 3);
	}
}

static void v2_3_1_18_offset_is_skipped(void **state)
{
	static const unsigned pads[] = { 0, 2, 7, 64 };

	for (size_t i = 0; i < 4; i++) {
		struct l2tp_header h;
		static struct raw r;
		uint8_t junk[64];

		memset(junk, 0xee, sizeof(junk));
		r.n = 0;
		raw_u16(&r, 2 | L2TP_HDR_O);
		raw_u16(&r, 1);
		raw_u16(&r, 2);
		raw_u16(&r, pads[i]);
		raw_octets(&r, junk, pads[i]);
		raw_octets(&r, "ab", 2);
		assert_int_equal(l2tp_header_parse(r.buf, r.n, &h), L2TP_HDR_OK);
		assert_int_equal(h.payload, 8 + pads[i]);
		assert_int_equal(h.len, 2);
	}
}

static void v2_3_1_19_offset_past_the_end(void **state)
{
	struct l2tp_header h;

	assert_int_equal(result("020200010002ffffaabb"), L2TP_HDR_OFFSET);
	assert_int_equal(result("0202000100020003aabb"), L2TP_HDR_OFFSET);
	assert_int_equal(parse("0202000100020002aabb", &h), L2TP_HDR_OK);
	assert_int_equal(h.len, 0);
	/* D03: the Length counts, not the datagram */
	assert_int_equal(result("4202000b000100020002aabb"), L2TP_HDR_OFFSET);
}

static void v2_3_1_21_data_length(void **state)
{
	struct l2tp_header h;

	assert_int_equal(result("4002000d00010002aabbccdd"), L2TP_HDR_LENGTH);
	assert_int_equal(result("4002000700010002aabbccdd"), L2TP_HDR_LENGTH);
	assert_int_equal(result("4002000000010002aabbccdd"), L2TP_HDR_LENGTH); /* D02 */
	assert_int_equal(parse("4002000a00010002aabbccdd", &h), L2TP_HDR_OK);
	assert_int_equal(h.payload, 8);
	assert_int_equal(h.len, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control),
		cmocka_unit_test(v2_3_1_04_reserved_bits_are_ignored),
		cmocka_unit_test(v2_3_1_05_version),
		cmocka_unit_test(v2_3_1_06_l2f_is_dropped),
		cmocka_unit_test(v2_3_1_07_control_without_l),
		cmocka_unit_test(v2_3_1_08_control_without_s),
		cmocka_unit_test(v2_3_1_09_control_with_o),
		cmocka_unit_test(v2_3_1_10_control_with_p_is_taken),
		cmocka_unit_test(v2_3_1_12_length_is_wrong),
		cmocka_unit_test(v2_3_1_13_length_cuts_junk_off),
		cmocka_unit_test(short_datagrams),
		cmocka_unit_test(v2_3_1_16_data_header_shrinks),
		cmocka_unit_test(v2_3_1_18_offset_is_skipped),
		cmocka_unit_test(v2_3_1_19_offset_past_the_end),
		cmocka_unit_test(v2_3_1_21_data_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
