/* SPDX-License-Identifier: MIT
 *
 * A wait goes on while there is less than ever, and for nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "daemon/progress.h"

static struct mono at(int64_t s)
{
	return (struct mono){ s * US_S };
}

static void less_each_time(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, at(0), 5 * US_S);
	assert_int_equal(p.by.us, 5 * US_S);
	for (int64_t s = 1; s < 100; s++) {
		assert_true(progress_less(&p, (uint64_t)(100 - s), at(s), 5 * US_S));
		assert_int_equal(p.by.us, (s + 5) * US_S);
	}
	assert_true(progress_less(&p, 0, at(100), 7 * US_S));
	assert_int_equal(p.by.us, 107 * US_S);
	assert_false(progress_less(&p, 0, at(101), 7 * US_S));
	assert_int_equal(p.by.us, 107 * US_S);
}

/* Each second one goes and another one comes, as lines of accounting do where the disk is full. */
static void to_and_fro(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, at(0), 5 * US_S);
	assert_true(progress_less(&p, 10, at(0), 5 * US_S));
	for (int64_t s = 1; s < 100; s++) {
		assert_false(progress_less(&p, s % 2 ? 12 : 10, at(s), 5 * US_S));
		assert_int_equal(p.by.us, 5 * US_S);
	}
	assert_true(progress_less(&p, 9, at(100), 5 * US_S));
	assert_int_equal(p.by.us, 105 * US_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(less_each_time),
		cmocka_unit_test(to_and_fro),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
