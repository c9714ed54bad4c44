/* SPDX-License-Identifier: MIT
 *
 * The deadline heap: order, moving, removal, the promise that setting never fails after a reserve.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failmalloc.h"
#include "base/heap.h"
#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>

static void test_empty(void **state)
{
	struct heap h = { 0 };

	assert_null(heap_first(&h));
	assert_true(heap_deadline(&h).us == INT64_MAX);
	heap_free(&h);
}

static void test_order(void **state)
{
	struct heap_node n[5] = { 0 };
	const int64_t at[5] = { 30, 10, 50, 20, 40 };
	struct heap h = { 0 };

	assert_int_equal(heap_reserve(&h, 5), 0);
	for (int i = 0; i < 5; i++)
		heap_set(&h, &n[i], (struct mono){ at[i] });
	for (int64_t want = 10; want <= 50; want += 10) {
		struct heap_node *first = heap_first(&h);

		assert_true(first->at.us == want);
		assert_true(heap_deadline(&h).us == want);
		heap_clear(&h, first);
		assert_int_equal(first->pos, 0);
		heap_clear(&h, first); /* a second time is allowed */
	}
	assert_null(heap_first(&h));
	heap_free(&h);
}

static void test_never_takes_out(void **state)
{
	struct heap_node n = { 0 };
	struct heap h = { 0 };

	assert_int_equal(heap_reserve(&h, 1), 0);
	heap_set(&h, &n, MONO_NEVER); /* not in, stays out */
	assert_null(heap_first(&h));
	heap_set(&h, &n, (struct mono){ 5 });
	assert_ptr_equal(heap_first(&h), &n);
	heap_set(&h, &n, MONO_NEVER);
	assert_null(heap_first(&h));
	heap_free(&h);
}

#define N 300

static void check(const struct heap *h, struct heap_node *nodes, const bool *in)
{
	int64_t least = INT64_MAX;
	uint32_t count = 0;

	for (uint32_t i = 1; i < h->n; i++)
		assert_true(h->v[(i - 1) / 2]->at.us <= h->v[i]->at.us);
	for (int i = 0; i < N; i++) {
		assert_int_equal(in[i], nodes[i].pos != 0);
		if (!in[i])
			continue;
		assert_ptr_equal(h->v[nodes[i].pos - 1], &nodes[i]);
		count++;
		if (nodes[i].at.us < least)
			least = nodes[i].at.us;
	}
	assert_int_equal(h->n, count);
	assert_true(heap_deadline(h).us == least);
}

/* Random settings, moves and removals, held against a plain array. */
static void test_random(void **state)
{
	static const uint8_t seed[RNG_SEED] = { 1 };
	struct heap_node *nodes = calloc(N, sizeof(*nodes));
	bool in[N] = { false };
	struct heap h = { 0 };
	struct rng rng;

	rng_init(&rng, seed);
	assert_int_equal(heap_reserve(&h, N), 0);
	for (int step = 0; step < 5000; step++) {
		uint32_t i = rng_below(&rng, N);

		if (rng_below(&rng, 3) == 0) {
			heap_clear(&h, &nodes[i]);
			in[i] = false;
		} else {
			heap_set(&h, &nodes[i], (struct mono){ rng_below(&rng, 1000) });
			in[i] = true;
		}
		if (step % 16 == 0)
			check(&h, nodes, in);
	}
	check(&h, nodes, in);
	heap_free(&h);
	free(nodes);
}

static void test_reserve_fails(void **state)
{
	struct heap_node n[64] = { 0 };
	struct heap h = { 0 };
	uint32_t cap;

	failmalloc_arm(1);
	assert_int_equal(heap_reserve(&h, 1), -ENOMEM);
	assert_true(failmalloc_disarm());
	assert_int_equal(heap_reserve(&h, 1), 0);
	cap = h.cap;
	heap_set(&h, &n[0], (struct mono){ 1 });
	failmalloc_arm(1);
	assert_int_equal(heap_reserve(&h, cap + 1), -ENOMEM);
	assert_true(failmalloc_disarm());
	assert_int_equal(h.cap, cap);
	assert_ptr_equal(heap_first(&h), &n[0]);

	/* With the room reserved, setting asks for no memory. */
	assert_int_equal(heap_reserve(&h, 64), 0);
	failmalloc_arm_from(1);
	for (int i = 0; i < 64; i++)
		heap_set(&h, &n[i], (struct mono){ 64 - i });
	assert_false(failmalloc_disarm());
	assert_ptr_equal(heap_first(&h), &n[63]);
	heap_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	      cmocka_unit_test(test_order),
		cmocka_unit_test(test_random),	      cmocka_unit_test(test_never_takes_out),
		cmocka_unit_test(test_reserve_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
