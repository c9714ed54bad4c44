/* SPDX-License-Identifier: MIT
 *
 * The cursors at and past the end of their bytes, the list, and sums of times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/wire.h"

#include <adit/types.h>
#include <stdlib.h>

static void test_read(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	struct rcur c = rcur_of(bytes, sizeof(bytes)), sub;
	uint8_t copy[4] = { 9, 9, 9, 9 };

	assert_int_equal(rcur_u8(&c), 1);
	assert_int_equal(rcur_u16(&c), 0x0203);
	assert_int_equal(rcur_u32(&c), 0x04050607);
	assert_true(rcur_u64(&c) == UINT64_C(0x08090a0b0c0d0e0f));
	assert_int_equal(rcur_left(&c), 1);
	assert_int_equal(rcur_u16(&c), 0); /* one octet short */
	assert_true(c.bad);
	assert_int_equal(rcur_left(&c), 0);
	assert_int_equal(rcur_u8(&c), 0); /* bad stays bad, although an octet was there */
	rcur_copy(&c, copy, 4);
	assert_memory_equal(copy, ((uint8_t[4]){ 0 }), 4);

	c = rcur_of(bytes, 5);
	sub = rcur_sub(&c, 3);
	assert_int_equal(rcur_left(&sub), 3);
	assert_int_equal(rcur_u32(&sub), 0);
	assert_true(sub.bad);
	assert_false(c.bad);
	assert_int_equal(rcur_u8(&c), 4);
	sub = rcur_sub(&c, 2);
	assert_true(sub.bad && c.bad);

	c = rcur_of(NULL, 0);
	assert_non_null(&c);
	assert_int_equal(rcur_left(&c), 0);
	assert_false(c.bad);
	assert_int_equal(rcur_u8(&c), 0);
	assert_true(c.bad);
	c = rcur_of(bytes, 4);
	assert_null(rcur_take(&c, SIZE_MAX));
	assert_true(c.bad);
}

static void test_write(void **state)
{
	uint8_t buf[17] = { 0 };
	struct wcur c = wcur_of(buf, 16);

	buf[16] = 0xee;
	wcur_u8(&c, 1);
	wcur_u16(&c, 0x0203);
	wcur_u32(&c, 0x04050607);
	wcur_u64(&c, UINT64_C(0x08090a0b0c0d0e0f));
	assert_int_equal(c.len, 15);
	for (uint8_t i = 0; i < 15; i++)
		assert_int_equal(buf[i], i + 1);
	wcur_patch_u16(&c, 3, 0xaabb);
	assert_int_equal(buf[3], 0xaa);
	assert_int_equal(buf[4], 0xbb);
	wcur_u16(&c, 0xffff); /* does not fit */
	assert_true(c.bad);
	wcur_u8(&c, 0xff); /* would fit, but nothing more is written */
	assert_int_equal(buf[15], 0);
	assert_int_equal(buf[16], 0xee);

	c = wcur_of(buf, 16);
	wcur_u8(&c, 0);
	wcur_patch_u16(&c, 0, 1); /* reaches past what was written */
	assert_true(c.bad);
}

static void test_tlv(void **state)
{
	uint8_t buf[64];
	struct wcur w = wcur_of(buf, sizeof(buf));
	struct rcur r, v = { 0 };
	uint16_t tag;
	size_t at;

	wcur_tlv_u32(&w, 7, 0x01020304);
	at = wcur_tlv_begin(&w, 8);
	wcur_tlv_u64(&w, 1, 99);
	wcur_tlv_end(&w, at);
	wcur_tlv_bytes(&w, 9, "abc", 3);
	wcur_tlv_bytes(&w, 10, NULL, 0);
	assert_false(w.bad);

	r = rcur_of(buf, w.len);
	assert_true(rcur_tlv(&r, &tag, &v));
	assert_int_equal(tag, 7);
	assert_int_equal(rcur_u32(&v), 0x01020304);
	assert_true(rcur_tlv(&r, &tag, &v));
	assert_int_equal(tag, 8);
	assert_int_equal(rcur_left(&v), 12);
	assert_true(rcur_tlv(&v, &tag, &v));
	assert_int_equal(tag, 1);
	assert_true(rcur_u64(&v) == 99);
	assert_true(rcur_tlv(&r, &tag, &v));
	assert_memory_equal(rcur_take(&v, 3), "abc", 3);
	assert_true(rcur_tlv(&r, &tag, &v));
	assert_int_equal(tag, 10);
	assert_int_equal(rcur_left(&v), 0);
	assert_false(rcur_tlv(&r, &tag, &v));
	assert_false(r.bad);

	/* Every cut that is not between two records is bad. */
	for (size_t n = 0; n < w.len; n++) {
		bool whole = n == 0 || n == 8 || n == 24 || n == 31;

		r = rcur_of(buf, n);
		while (rcur_tlv(&r, &tag, &v))
			;
		assert_int_equal(r.bad, !whole);
	}
}

static void test_tlv_too_long(void **state)
{
	uint8_t *big = calloc(1, 70000);
	struct wcur w = wcur_of(big, 70000);

	assert_non_null(big);

	wcur_tlv_bytes(&w, 1, big + 66000, 4);
	assert_false(w.bad);
	w = wcur_of(big, 70000);
	size_t at = wcur_tlv_begin(&w, 1);
	assert_non_null(wcur_room(&w, 65536));
	wcur_tlv_end(&w, at);
	assert_true(w.bad);
	free(big);
}

struct item {
	struct list in;
	int v;
};

static void test_list(void **state)
{
	struct item it[4];
	struct list head;
	int want = 0;

	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_pop(&head));
	for (int i = 0; i < 4; i++) {
		it[i].v = i;
		list_push(&head, &it[i].in);
	}
	list_for_each (l, &head)
		assert_int_equal(container_of(l, struct item, in)->v, want++);
	assert_int_equal(want, 4);
	list_drop(&it[1].in);
	list_drop(&it[1].in); /* a second time is allowed */
	assert_ptr_equal(list_pop(&head), &it[0].in);
	list_for_each_safe (l, &head)
		list_drop(l);
	assert_true(list_empty(&head));
}

static void test_mono(void **state)
{
	struct mono t = { 100 };

	assert_true(mono_add(t, 5).us == 105);
	assert_true(mono_add(t, -5).us == 95);
	assert_true(mono_add(MONO_NEVER, -5).us == INT64_MAX);
	assert_true(mono_add(t, INT64_MAX).us == INT64_MAX);
	assert_true(mono_add(t, INT64_MAX - 100).us == INT64_MAX);
	assert_true(mono_due(t, t));
	assert_false(mono_due(t, (struct mono){ 99 }));
	assert_false(mono_due(MONO_NEVER, t));
	assert_true(mono_min(t, MONO_NEVER).us == 100);
	assert_true(mono_min(MONO_NEVER, t).us == 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),	     cmocka_unit_test(test_write),
		cmocka_unit_test(test_tlv),	     cmocka_unit_test(test_list),
		cmocka_unit_test(test_tlv_too_long), cmocka_unit_test(test_mono),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
