/* SPDX-License-Identifier: MIT
 *
 * Octets of which most are zero, kept short (base/zeros.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/zeros.h"

#define MOST 40

static bool unpack(const uint8_t *from, size_t len, void *to, size_t n)
{
	struct rcur c = rcur_of(from, len);

	zeros_unpack(&c, to, n);
	return !c.bad;
}

static void a_mask_comes_before_each_eight(void **state)
{
	static const uint8_t plain[11] = { 0, 7, 0, 0, 0, 0, 0, 9, 0, 0, 5 };
	static const uint8_t packed[] = { 0x82, 7, 9, 0x04, 5 };
	uint8_t to[ZEROS_MOST(sizeof(plain))], back[sizeof(plain)];

	assert_int_equal(zeros_pack(plain, sizeof(plain), to), sizeof(packed));
	assert_memory_equal(to, packed, sizeof(packed));
	memset(back, 0xee, sizeof(back));
	assert_true(unpack(to, sizeof(to), back, sizeof(back)));
	assert_memory_equal(back, plain, sizeof(plain));
}

static void nothing_and_all_zero(void **state)
{
	static const uint8_t plain[17];
	uint8_t to[ZEROS_MOST(sizeof(plain))], back[sizeof(plain)];

	assert_int_equal(zeros_pack(plain, 0, to), 0);
	assert_int_equal(zeros_pack(plain, sizeof(plain), to), 3);
	memset(back, 0xee, sizeof(back));
	assert_true(unpack(to, sizeof(to), back, sizeof(back)));
	assert_memory_equal(back, plain, sizeof(plain));
}

/* Each in memory of exactly its length, so that a sanitizer sees a step beside it. */
static void whatever_it_is_comes_back(void **state)
{
	struct rng rng;
	uint8_t seed[32] = { 3 };

	rng_init(&rng, seed);
	for (unsigned int turn = 0; turn < 2000; turn++) {
		size_t n = 1 + rng_below(&rng, MOST), len;
		uint8_t *plain = calloc(1, n), *back = malloc(n), *exact;
		uint8_t to[ZEROS_MOST(MOST)];
		uint32_t full = rng_below(&rng, 4);

		assert_true(plain && back);
		for (size_t i = 0; i < n; i++)
			if (rng_below(&rng, 4) < full)
				plain[i] = (uint8_t)rng_below(&rng, 256);
		len = zeros_pack(plain, n, to);
		assert_true(len <= ZEROS_MOST(n));
		exact = malloc(len);
		assert_non_null(exact);
		memcpy(exact, to, len);
		assert_true(unpack(exact, len, back, n));
		assert_false(unpack(exact, len - 1, back, n));
		assert_true(unpack(exact, len, back, n));
		assert_memory_equal(back, plain, n);
		free(plain);
		free(back);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mask_comes_before_each_eight),
		cmocka_unit_test(nothing_and_all_zero),
		cmocka_unit_test(whatever_it_is_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
