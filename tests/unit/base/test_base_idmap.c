/* SPDX-License-Identifier: MIT
 *
 * The map of local ids: unique, in the slice, never 0, resting two minutes, as quick when nearly
 * all ids are used up, and unchanged when memory fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failmalloc.h"
#include "base/idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AT(s) ((struct mono){ (s)*US_S })

struct fix {
	struct rng rng;
	struct idmap *m;
};

static void open_map(struct fix *f, uint32_t max, uint32_t base, uint32_t len)
{
	rng_init(&f->rng, (const uint8_t[RNG_SEED]){ 7 });
	f->m = idmap_new(&f->rng, max, base, len);
	assert_non_null(f->m);
}

static uint32_t take(struct fix *f, uint32_t space, void *obj)
{
	uint32_t id = 0;

	assert_int_equal(idmap_take(f->m, space, obj, &id), 0);
	return id;
}

static void test_take_find_drop(void **state)
{
	struct fix f;
	int obj;
	uint32_t id;

	open_map(&f, 65535, 0, 0);
	id = take(&f, 3, &obj);
	assert_in_range(id, 1, 65535);
	assert_ptr_equal(idmap_find(f.m, 3, id), &obj);
	assert_null(idmap_find(f.m, 4, id));
	assert_int_equal(idmap_count(f.m), 1);
	assert_false(idmap_resting(f.m, 3, id));
	idmap_drop(f.m, 3, id, AT(10));
	assert_null(idmap_find(f.m, 3, id));
	assert_true(idmap_resting(f.m, 3, id));
	assert_int_equal(idmap_count(f.m), 0);
	idmap_drop(f.m, 3, id, AT(20)); /* no effect on an id that rests, or is free */
	idmap_drop(f.m, 9, 9, AT(20));
	idmap_expire(f.m, (struct mono){ 130 * US_S - 1 });
	assert_true(idmap_resting(f.m, 3, id));
	idmap_expire(f.m, AT(130));
	assert_false(idmap_resting(f.m, 3, id));
	assert_int_equal(idmap_put(f.m, 3, id, &obj), 0);
	idmap_forget(f.m, 3, id); /* without a rest */
	assert_null(idmap_find(f.m, 3, id));
	assert_false(idmap_resting(f.m, 3, id));
	assert_int_equal(idmap_count(f.m), 0);
	idmap_forget(f.m, 3, id); /* no effect on one that is free, or rests */
	assert_int_equal(idmap_put(f.m, 3, id, &obj), 0);
	idmap_drop(f.m, 3, id, AT(200));
	idmap_forget(f.m, 3, id);
	assert_true(idmap_resting(f.m, 3, id));
	idmap_expire(f.m, AT(320));
	assert_false(idmap_resting(f.m, 3, id));
	idmap_free(f.m);
}

static void test_arguments(void **state)
{
	struct fix f;

	open_map(&f, 100, 0, 0);
	assert_null(idmap_new(&f.rng, 0, 0, 0));
	assert_null(idmap_new(&f.rng, 100, 101, 5));
	assert_int_equal(idmap_put(f.m, 0, 0, &f), -EINVAL);
	assert_int_equal(idmap_put(f.m, 0, 101, &f), -EINVAL);
	assert_int_equal(idmap_put(f.m, 0, 100, &f), 0);
	assert_int_equal(idmap_put(f.m, 0, 100, &f), 1);
	idmap_drop(f.m, 0, 100, AT(0));
	assert_int_equal(idmap_put(f.m, 0, 100, &f), 1); /* still resting */
	idmap_free(f.m);
	idmap_free(NULL);
}

/* Take `n` ids of space 0; all differ and lie in first..last. Then the space is used up. */
static void fill(struct fix *f, uint32_t first, uint32_t last, uint32_t n)
{
	uint8_t *seen = calloc(last + 1, 1);
	uint32_t id = 0;

	for (uint32_t i = 0; i < n; i++) {
		id = take(f, 0, seen);
		assert_in_range(id, first, last);
		assert_int_equal(seen[id], 0);
		seen[id] = 1;
	}
	assert_int_equal(idmap_take(f->m, 0, seen, &id), 1);
	assert_int_equal(idmap_count(f->m), n);
	free(seen);
}

static void test_all_ids(void **state)
{
	struct fix f;

	open_map(&f, 65535, 0, 0);
	fill(&f, 1, 65535, 65535);
	/* Another space is not concerned. */
	assert_in_range(take(&f, 1, &f), 1, 65535);
	idmap_free(f.m);
}

static void test_slices(void **state)
{
	static const struct {
		uint32_t base, len, first, last;
	} v[] = {
		{ 0, 10, 1, 9 },
		{ 1, 1, 1, 1 },
		{ 64, 64, 64, 127 },
		{ 4096, 1000, 4096, 5095 },
		{ 65500, 4096, 65500, 65535 },
		{ 100, 3, 100, 102 },
	};
	struct fix f;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		open_map(&f, 65535, v[i].base, v[i].len);
		fill(&f, v[i].first, v[i].last, v[i].last - v[i].first + 1);
		idmap_free(f.m);
	}
}

/* Ids outside the slice can come back and do not use up the slice. */
static void test_put_outside_slice(void **state)
{
	struct fix f;
	uint32_t id;

	open_map(&f, 65535, 100, 4);
	assert_int_equal(idmap_put(f.m, 0, 7, &f), 0);
	for (int i = 0; i < 4; i++)
		assert_in_range(take(&f, 0, &f), 100, 103);
	assert_int_equal(idmap_take(f.m, 0, &f, &id), 1);
	idmap_drop(f.m, 0, 7, AT(0));
	idmap_expire(f.m, AT(1000));
	assert_int_equal(idmap_take(f.m, 0, &f, &id), 1);
	idmap_free(f.m);
}

/*
 * With all but a handful of 65,535 ids in use, ids come and go by the ten thousand, and each time
 * the one that is free is found; also by idmap_put().
 */
static void test_nearly_used_up(void **state)
{
	uint32_t *held = calloc(65535, sizeof(*held));
	struct fix f;
	int64_t now = 0;
	clock_t begun;

	open_map(&f, 65535, 0, 0);
	for (uint32_t i = 0; i < 65530; i++)
		held[i] = take(&f, 0, held);
	begun = clock();
	for (int step = 0; step < 20000; step++) {
		uint32_t i = rng_below(&f.rng, 65530);

		idmap_drop(f.m, 0, held[i], AT(now));
		now += 121;
		idmap_expire(f.m, AT(now));
		if (step % 3) {
			held[i] = take(&f, 0, held);
		} else {
			assert_int_equal(idmap_put(f.m, 0, held[i], held), 0);
		}
	}
	/* A search over all ids would take minutes here; this is generous for a slow emulator. */
	assert_true((clock() - begun) / CLOCKS_PER_SEC < 20);
	assert_int_equal(idmap_count(f.m), 65530);

	/* Down to nothing and up again: the index comes and goes. */
	for (uint32_t i = 0; i < 65530; i++)
		idmap_drop(f.m, 0, held[i], AT(now));
	idmap_expire(f.m, AT(now + 120));
	assert_int_equal(idmap_count(f.m), 0);
	fill(&f, 1, 65535, 65535);
	idmap_free(f.m);
	free(held);
}

/* The choice is uniform in a nearly full space too: every free id is chosen about as often. */
static void test_dense_is_uniform(void **state)
{
	unsigned int count[200] = { 0 };
	struct fix f;
	int64_t now = 0;

	open_map(&f, 200, 0, 0);
	for (uint32_t id = 1; id <= 200; id++) {
		if (id % 10)
			assert_int_equal(idmap_put(f.m, 0, id, &f), 0);
	}
	for (int i = 0; i < 20000; i++) {
		uint32_t id = take(&f, 0, &f);

		assert_int_equal(id % 10, 0);
		count[id - 1]++;
		idmap_drop(f.m, 0, id, AT(now));
		now += 120;
		idmap_expire(f.m, AT(now));
	}
	for (uint32_t id = 10; id <= 200; id += 10)
		assert_in_range(count[id - 1], 800, 1200);
	idmap_free(f.m);
}

static void test_wide_ids(void **state)
{
	struct fix f;
	uint32_t high = 0;

	open_map(&f, UINT32_MAX, 0, 0);
	for (int i = 0; i < 2000; i++) {
		uint32_t id = take(&f, 0, &f);

		assert_true(id != 0);
		if (id > UINT32_C(0x80000000))
			high++;
	}
	assert_in_range(high, 800, 1200);
	idmap_free(f.m);
}

/* 300 ids of space 0, which is all, and one of 39 other spaces. Stops at the first refusal. */
static int fill_spaces(struct fix *f, uint32_t *ret_have)
{
	uint32_t id;
	int rc = 0;

	for (uint32_t space = 0; space < 40; space++) {
		for (uint32_t i = space ? 299 : 0; i < 300; i++) {
			rc = idmap_take(f->m, space, f, &id);
			if (rc < 0)
				return rc;
			++*ret_have;
		}
	}
	return rc;
}

/* Each allocation fails once: the map is as before and goes on. Giving back never fails. */
static void test_memory(void **state)
{
	struct fix f;
	int refused = 0;
	uint32_t id;

	rng_init(&f.rng, (const uint8_t[RNG_SEED]){ 1 });
	failmalloc_arm(1);
	assert_null(idmap_new(&f.rng, 300, 0, 0));
	assert_true(failmalloc_disarm());
	for (long nth = 1;; nth++) {
		uint32_t have = 0;
		bool failed;
		int rc;

		open_map(&f, 300, 0, 0);
		failmalloc_arm(nth);
		rc = fill_spaces(&f, &have);
		failed = failmalloc_disarm();
		assert_int_equal(idmap_count(f.m), have);
		if (!failed)
			break;
		refused += rc == -ENOMEM;
		if (rc < 0)
			assert_int_equal(idmap_take(f.m, 1000, &f, &id), 0);
		idmap_free(f.m);
	}
	/* Two first tables, chunks of entries and of spaces, the index with its two arrays. */
	assert_true(refused >= 2 + 6 + 3 + 3);

	failmalloc_arm_from(1);
	for (id = 1; id <= 300; id++)
		idmap_drop(f.m, 0, id, AT(0));
	idmap_expire(f.m, AT(500));
	assert_int_equal(idmap_count(f.m), 39);
	assert_int_equal(idmap_put(f.m, 0, 5, &f), 0); /* the memory is still there */
	assert_false(failmalloc_disarm());
	idmap_free(f.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_find_drop),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_all_ids),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_put_outside_slice),
		cmocka_unit_test(test_nearly_used_up),
		cmocka_unit_test(test_dense_is_uniform),
		cmocka_unit_test(test_wide_ids),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
