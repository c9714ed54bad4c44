/* SPDX-License-Identifier: MIT
 *
 * The object pool: stale handles, zeroed objects, the limit, walks, memory failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failmalloc.h"
#include "base/pool.h"

#include <stdalign.h>
#include <stdlib.h>

static void test_handles(void **state)
{
	struct pool *p = pool_new(40, 0);
	adit_handle h, again;
	uint8_t *obj, *other;

	obj = pool_take(p, &h);
	assert_non_null(obj);
	assert_true(h != 0);
	assert_ptr_equal(pool_get(p, h), obj);
	assert_null(pool_get(p, 0));
	assert_null(pool_get(p, h + 1));		   /* a free object */
	assert_null(pool_get(p, h + 100000));		   /* no object at all */
	assert_null(pool_get(p, h + (UINT64_C(1) << 32))); /* another generation */
	memset(obj, 0xee, 40);
	pool_give(p, h);
	assert_null(pool_get(p, h));
	assert_int_equal(pool_count(p), 0);
	pool_give(p, h); /* a stale handle is ignored */
	assert_int_equal(pool_count(p), 0);

	other = pool_take(p, &again);
	assert_ptr_equal(other, obj); /* memory is reused */
	assert_true(again != h);
	for (int i = 0; i < 40; i++)
		assert_int_equal(other[i], 0);
	assert_null(pool_get(p, h));
	pool_give(p, h);
	assert_ptr_equal(pool_get(p, again), other);
	pool_free(p);
}

static void test_many(void **state)
{
	static const size_t sizes[] = { 1, 8, 100, 1500, 20000 };

	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct pool *p = pool_new(sizes[k], 0);
		adit_handle h[300], at = 0;
		uint8_t *obj[300];
		int n = 0;

		for (int i = 0; i < 300; i++) {
			obj[i] = pool_take(p, &h[i]);
			assert_int_equal((uintptr_t)obj[i] % alignof(uint64_t), 0);
			memset(obj[i], i, sizes[k]);
		}
		for (int i = 0; i < 300; i++) {
			assert_ptr_equal(pool_get(p, h[i]), obj[i]);
			assert_int_equal(obj[i][sizes[k] - 1], (uint8_t)i);
		}
		assert_int_equal(pool_count(p), 300);
		assert_true(pool_memory(p) >= 300 * sizes[k]);
		/* Every second one goes during a walk; the rest is met in the next. */
		while ((at = pool_next(p, at))) {
			if (n++ % 2)
				pool_give(p, at);
		}
		assert_int_equal(n, 300);
		for (n = 0; (at = pool_next(p, at)); n++)
			assert_non_null(pool_get(p, at));
		assert_int_equal(n, 150);
		pool_free(p);
	}
}

static void test_limit(void **state)
{
	struct pool *p = pool_new(16, 3);
	adit_handle h[4];

	for (int i = 0; i < 3; i++)
		assert_non_null(pool_take(p, &h[i]));
	assert_null(pool_take(p, &h[3]));
	pool_give(p, h[1]);
	assert_non_null(pool_take(p, NULL));
	assert_null(pool_take(p, &h[3]));
	pool_free(p);
}

static void test_memory(void **state)
{
	struct pool *p;
	adit_handle h = 0;

	assert_null(pool_new(0, 0));
	assert_null(pool_new(SIZE_MAX, 0));
	failmalloc_arm(1);
	assert_null(pool_new(16, 0));
	assert_true(failmalloc_disarm());
	p = pool_new(16, 0);
	for (int n = 0; n < 1000; n++) {
		for (long nth = 1;; nth++) {
			void *obj;

			failmalloc_arm(nth);
			obj = pool_take(p, &h);
			if (!failmalloc_disarm()) {
				assert_non_null(obj);
				break;
			}
			assert_null(obj);
			assert_int_equal(pool_count(p), n);
		}
	}
	pool_free(p);
	pool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
