/* SPDX-License-Identifier: MIT
 *
 * The hash table: SipHash-2-4 against its published vectors; growth, removal and walks at any
 * moment of a move; memory failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failmalloc.h"
#include "base/htab.h"
#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t key[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* From the reference implementation's vectors.h: key 00..0f, message 00..len-1. */
static void test_siphash_vectors(void **state)
{
	static const struct {
		size_t len;
		uint64_t want;
	} v[] = {
		{ 0, UINT64_C(0x726fdb47dd0e0e31) },  { 1, UINT64_C(0x74f839c593dc67fd) },
		{ 2, UINT64_C(0x0d6c8009d9a94f5a) },  { 3, UINT64_C(0x85676696d7fb7e2d) },
		{ 4, UINT64_C(0xcf2794e0277187b7) },  { 5, UINT64_C(0x18765564cd99a68d) },
		{ 6, UINT64_C(0xcbc9466e58fee3ce) },  { 7, UINT64_C(0xab0200f58b01d137) },
		{ 8, UINT64_C(0x93f5f5799a932462) },  { 9, UINT64_C(0x9e0082df0ba9e4b0) },
		{ 15, UINT64_C(0xa129ca6149be45e5) }, { 16, UINT64_C(0x3f2acc7f57c29bdb) },
		{ 63, UINT64_C(0x958a324ceb064572) },
	};
	uint8_t message[64];

	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_true(siphash(key, message, v[i].len) == v[i].want);
}

/* Computed by a Python program from the paper, which agrees with the hash() of CPython 3.11 (that
 * is SipHash-1-3, with a key of zeros under PYTHONHASHSEED=0) and with the vectors above. */
static void test_siphash13_vectors(void **state)
{
	static const struct {
		size_t len;
		uint64_t want, want_zero_key;
	} v[] = {
		{ 1, UINT64_C(0xc9f49bf37d57ca93), UINT64_C(0x68a914128e01e473) },
		{ 7, UINT64_C(0xd3927d989bb11140), UINT64_C(0x2f098ab0c751325a) },
		{ 8, UINT64_C(0x369095118d299a8e), UINT64_C(0xead411e67ebe2eea) },
		{ 9, UINT64_C(0x25a48eb36c063de4), UINT64_C(0x75927f9d95124362) },
		{ 15, UINT64_C(0xd320d86d2a519956), UINT64_C(0xf30eb725bb91c9ea) },
		{ 16, UINT64_C(0xcc4fdd1a7d908b66), UINT64_C(0x8972188433a5c5b7) },
		{ 63, UINT64_C(0x9d199062b7bbb3a8), UINT64_C(0x385d3e39e5f37359) },
	};
	static const uint8_t zeros[16];
	uint8_t message[64];

	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)i;
	assert_true(siphash13(key, message, 0) == UINT64_C(0xabac0158050fc4dc));
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		assert_true(siphash13(key, message, v[i].len) == v[i].want);
		assert_true(siphash13(zeros, message, v[i].len) == v[i].want_zero_key);
	}
}

struct item {
	struct htab_node node;
	uint32_t id;
	bool in;
};

static struct item *find(const struct htab *t, uint32_t id)
{
	struct htab_node *n = htab_find(t, htab_hash(t, &id, sizeof(id)));

	for (; n; n = htab_next(n)) {
		if (((struct item *)n)->id == id)
			return (struct item *)n;
	}
	return NULL;
}

static void put(struct htab *t, struct item *it)
{
	assert_int_equal(htab_reserve(t), 0);
	htab_put(t, &it->node, htab_hash(t, &it->id, sizeof(it->id)));
	it->in = true;
}

static void test_empty(void **state)
{
	struct htab t;
	uint64_t pos = 0;
	struct htab_node stray = { 0 };

	htab_init(&t, key);
	assert_null(htab_find(&t, 7));
	assert_null(htab_walk(&t, &pos, NULL));
	htab_drop(&t, &stray);
	htab_free(&t);
}

#define N 5000

static void check_all(const struct htab *t, struct item *items)
{
	uint32_t count = 0, walked = 0;
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	for (uint32_t i = 0; i < N; i++) {
		assert_ptr_equal(find(t, i), items[i].in ? &items[i] : NULL);
		count += items[i].in;
	}
	while ((n = htab_walk(t, &pos, n))) {
		assert_true(((struct item *)n)->in);
		walked++;
	}
	assert_int_equal(walked, count);
	assert_int_equal(t->n, count);
}

static void test_grow(void **state)
{
	struct item *items = calloc(N, sizeof(*items));
	bool seen_move = false;
	struct htab t;

	htab_init(&t, key);
	for (uint32_t i = 0; i < N; i++) {
		items[i].id = i;
		put(&t, &items[i]);
		if (t.old)
			seen_move = true;
		/* Chains stay short whatever the moment. */
		assert_true(t.n <= 2 * (t.mask + 1));
		if (i % 500 == 0 || (t.old && t.moved < 8 && i < 200))
			check_all(&t, items);
	}
	assert_true(seen_move);
	check_all(&t, items);
	htab_free(&t);
	free(items);
}

static void test_random(void **state)
{
	struct item *items = calloc(N, sizeof(*items));
	struct htab t;
	struct rng rng;

	rng_init(&rng, (const uint8_t[RNG_SEED]){ 2 });
	htab_init(&t, key);
	for (uint32_t i = 0; i < N; i++)
		items[i].id = i;
	for (int step = 0; step < 40000; step++) {
		struct item *it = &items[rng_below(&rng, N)];

		if (it->in) {
			htab_drop(&t, &it->node);
			it->in = false;
		} else {
			put(&t, it);
		}
		if (step % 4000 == 0)
			check_all(&t, items);
	}
	check_all(&t, items);
	htab_free(&t);
	free(items);
}

/* Nodes whose hashes are equal are all found, also across a move. */
static void test_same_hash(void **state)
{
	struct item items[40] = { 0 };
	unsigned int found = 0;
	struct htab t;

	htab_init(&t, key);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(htab_reserve(&t), 0);
		htab_put(&t, &items[i].node, i % 2 ? 99 : (uint64_t)i << 20);
	}
	for (struct htab_node *n = htab_find(&t, 99); n; n = htab_next(n))
		found++;
	assert_int_equal(found, 20);
	htab_free(&t);
}

static void test_memory(void **state)
{
	struct item items[100] = { 0 };
	struct htab t;

	htab_init(&t, key);
	failmalloc_arm(1);
	assert_int_equal(htab_reserve(&t), -ENOMEM);
	assert_true(failmalloc_disarm());
	assert_int_equal(htab_reserve(&t), 0);
	/* A table with room never refuses; its chains get longer. */
	failmalloc_arm_from(1);
	for (uint32_t i = 0; i < 100; i++) {
		items[i].id = i;
		put(&t, &items[i]);
	}
	assert_true(failmalloc_disarm());
	for (uint32_t i = 0; i < 100; i++)
		assert_ptr_equal(find(&t, i), &items[i]);
	htab_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_vectors), cmocka_unit_test(test_siphash13_vectors),
		cmocka_unit_test(test_empty),		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_random),		cmocka_unit_test(test_same_hash),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
