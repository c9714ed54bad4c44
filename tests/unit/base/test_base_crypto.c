/* SPDX-License-Identifier: MIT
 *
 * MD5 against RFC 1321 A.5, in one and in many pieces; comparing and wiping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crypto.h"

#include <string.h>

static void hex_of(const uint8_t md[MD5_LEN], char *hex)
{
	for (int i = 0; i < MD5_LEN; i++) {
		hex[2 * i] = "0123456789abcdef"[md[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
	}
	hex[2 * MD5_LEN] = '\0';
}

static void test_rfc1321(void **state)
{
	static const char *const v[][2] = {
		{ "", "d41d8cd98f00b204e9800998ecf8427e" },
		{ "a", "0cc175b9c0f1b6a831c399e269772661" },
		{ "abc", "900150983cd24fb0d6963f7d28e17f72" },
		{ "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
		{ "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
		  "d174ab98d277d9f5a5611c2c9f419d9f" },
		{ "123456789012345678901234567890123456789012345678901234567890123456789012345678"
		  "90",
		  "57edf4a22be3c955ac49da2e2107b67a" },
	};
	char hex[2 * MD5_LEN + 1];
	uint8_t md[MD5_LEN];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		size_t n = strlen(v[i][0]);
		struct bytes whole = { v[i][0], n };
		struct bytes cut[3] = { { v[i][0], n / 3 },
					{ NULL, 0 },
					{ v[i][0] + n / 3, n - n / 3 } };

		md5_of(md, &whole, 1);
		hex_of(md, hex);
		assert_string_equal(hex, v[i][1]);
		md5_of(md, cut, 3);
		hex_of(md, hex);
		assert_string_equal(hex, v[i][1]);
	}
	md5_of(md, NULL, 0);
	hex_of(md, hex);
	assert_string_equal(hex, v[0][1]);
}

static void test_equal(void **state)
{
	uint8_t a[32] = { 1, 2, 3 }, b[32] = { 1, 2, 3 };

	assert_true(bytes_equal_ct(a, b, 32));
	assert_true(bytes_equal_ct(NULL, NULL, 0));
	for (int i = 0; i < 32; i++) {
		b[i] ^= 0x80;
		assert_false(bytes_equal_ct(a, b, 32));
		b[i] ^= 0x80;
	}
}

static void test_wipe(void **state)
{
	char secret[9] = "password", zero[9] = { 0 };

	bytes_wipe(secret, 8);
	assert_memory_equal(secret, zero, 9);
	bytes_wipe(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc1321),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_wipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
