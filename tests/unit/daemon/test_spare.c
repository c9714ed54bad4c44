/* SPDX-License-Identifier: MIT
 *
 * The reserve of memory: taken as a whole or in part, in large pieces or small ones, or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "daemon/spare.h"
#include "failmalloc.h"

static void whole(void **state)
{
	struct spare s = { 0 };
	long before;

	(void)state;
	assert_true(spare_fill(&s));
	assert_int_equal(s.octets, SPARE_OCTETS);
	before = failmalloc_count();
	assert_true(spare_fill(&s)); /* nothing is missing */
	assert_int_equal(failmalloc_count(), before);
	spare_drop(&s);
	assert_int_equal(s.octets, 0);
	assert_null(s.blocks);
	spare_drop(&s);
}

/* From each allocation on no further one succeeds. */
static void some(void **state)
{
	struct spare s = { 0 };
	unsigned int kept = 0, none = 0;
	bool failed, ok;

	(void)state;
	for (long n = 1;; n++) {
		failmalloc_arm_from(n);
		ok = spare_fill(&s);
		failed = failmalloc_disarm();
		if (!failed)
			break;
		kept += ok;
		none += !ok;
		assert_true(ok ? s.octets >= SPARE_OCTETS / 16 && s.octets < SPARE_OCTETS
			       : s.octets == 0 && !s.blocks);
		if (ok) { /* the rest is taken later */
			assert_true(spare_fill(&s));
			assert_int_equal(s.octets, SPARE_OCTETS);
		}
		spare_drop(&s);
	}
	assert_true(kept > 2 && none == 2); /* one block is not enough to share */
	spare_drop(&s);
}

/* Each single allocation that fails is made up for. */
static void small_pieces(void **state)
{
	struct spare s = { 0 };

	(void)state;
	for (long n = 1;; n++) {
		bool failed;

		failmalloc_arm(n);
		assert_true(spare_fill(&s));
		failed = failmalloc_disarm();
		assert_int_equal(s.octets, SPARE_OCTETS);
		spare_drop(&s);
		if (!failed)
			break;
	}
}

/* What was missing is taken later, but never the room of others. */
static void grows(void **state)
{
	struct spare s = { 0 };
	size_t held;

	(void)state;
	failmalloc_arm_from(8);
	assert_true(spare_fill(&s));
	assert_true(failmalloc_disarm());
	held = s.octets;
	assert_in_range(held, 1, SPARE_OCTETS / 2);
	failmalloc_arm_from(2); /* one block, and no room beside it */
	spare_grow(&s);
	assert_true(failmalloc_disarm());
	assert_int_equal(s.octets, held);
	spare_grow(&s);
	assert_int_equal(s.octets, SPARE_OCTETS);
	held = (size_t)failmalloc_count();
	spare_grow(&s); /* nothing is missing */
	assert_int_equal(failmalloc_count(), held);
	spare_drop(&s);
}

static void room(void **state)
{
	(void)state;
	assert_true(spare_room());
	failmalloc_arm(1);
	assert_false(spare_room());
	assert_true(failmalloc_disarm());
	assert_true(spare_room());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole), cmocka_unit_test(some), cmocka_unit_test(small_pieces),
		cmocka_unit_test(grows), cmocka_unit_test(room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
