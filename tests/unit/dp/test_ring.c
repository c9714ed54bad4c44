/* SPDX-License-Identifier: MIT
 *
 * The queue between the forwarding thread and the control thread (ring.h): what goes in comes out,
 * in order and whole, however full it is; and who is read as he writes stays in front.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dp/ring.h"

#define SIZE  (4u << 20)
#define FRONT (1u << 19) /* of ring.c */
#define LONG  100000u
#define COUNT 20000u
#define SOME  10008u /* with its head: 10,016 */

/* Length and octets of record number `i`. */
static uint32_t length_of(uint32_t i)
{
	return 4 + i * 2654435761u % LONG;
}

static bool push(struct ring *r, uint32_t i, uint32_t fill)
{
	uint32_t n = length_of(i);
	uint8_t *p = ring_room(r, n, fill);

	if (!p)
		return false;
	memset(p, (int)(i & 0xff), n);
	memcpy(p, &i, sizeof(i));
	ring_push(r);
	return true;
}

/* The next one must be number `i`; false: there is none. */
static bool pop(struct ring *r, uint32_t i)
{
	uint32_t n, number;
	uint8_t *p = ring_peek(r, &n);

	if (!p)
		return false;
	assert_int_equal(n, length_of(i));
	memcpy(&number, p, sizeof(number));
	assert_int_equal(number, i);
	if (n > sizeof(i)) {
		assert_int_equal(p[sizeof(i)], i & 0xff);
		assert_int_equal(p[n / 2 > 4 ? n / 2 : 4], i & 0xff);
		assert_int_equal(p[n - 1], i & 0xff);
	}
	ring_pop(r);
	return true;
}

static void test_comes_out_as_it_went_in(void **state)
{
	struct ring r;
	uint32_t in = 0, out = 0, turn = 1, full = 0;

	assert_int_equal(ring_init(&r, SIZE), 0);
	while (out < COUNT / 2) {
		uint32_t n;

		turn = turn * 1664525u + 1013904223u;
		/* now long runs that fill it, now short ones; published at once or later */
		for (n = turn >> 16 & (turn & 0x80 ? 63 : 3); n; n--) {
			if (!push(&r, in, turn & 0x40 ? SIZE : SIZE / 4 * 3)) {
				full++;
				break;
			}
			in++;
			if (turn & 0x20)
				ring_publish(&r);
		}
		ring_publish(&r);
		for (n = turn >> 24 & (turn & 0x100 ? 63 : 3); n && pop(&r, out); n--)
			out++;
	}
	while (pop(&r, out))
		out++;
	assert_int_equal(in, out);
	assert_true(full > 10);
	ring_fini(&r);
}

static void test_stays_in_front(void **state)
{
	struct ring r;

	assert_int_equal(ring_init(&r, SIZE), 0);
	for (uint32_t i = 0; i < COUNT / 10; i++) {
		assert_true(push(&r, i, SIZE));
		ring_publish(&r);
		assert_true(pop(&r, i));
	}
	for (uint32_t at = FRONT + LONG + 16; at < SIZE; at++)
		if (r.buf[at])
			fail_msg("octet %u was touched", at);
	ring_fini(&r);
}

/* Sent back to the beginning, it has room as far as there until that was read, then all of it. */
static void test_room_after_going_back(void **state)
{
	struct ring r;
	uint32_t n = 0, used = 0, len;

	assert_int_equal(ring_init(&r, SIZE), 0);
	for (; used < FRONT; used += SOME + 8) {
		assert_non_null(ring_room(&r, SOME, SIZE));
		ring_push(&r);
	}
	ring_publish(&r);
	while (ring_peek(&r, &len))
		ring_pop(&r);
	while (ring_room(&r, SOME, SIZE)) {
		ring_push(&r);
		n++;
	}
	assert_int_equal(n, used / (SOME + 8));
	ring_publish(&r);
	assert_non_null(ring_peek(&r, &len)); /* past the mark */
	while (ring_room(&r, SOME, SIZE)) {
		ring_push(&r);
		n++;
	}
	assert_int_equal(n, SIZE / (SOME + 8));
	ring_publish(&r);
	for (; ring_peek(&r, &len); n--) {
		assert_int_equal(len, SOME);
		ring_pop(&r);
	}
	assert_int_equal(n, 0);
	ring_fini(&r);
}

static void *writer(void *arg)
{
	struct ring *r = arg;

	for (uint32_t i = 0; i < COUNT;) {
		if (push(r, i, SIZE)) {
			if (++i % 7 == 0 || i == COUNT)
				ring_publish(r);
		} else {
			ring_publish(r);
			sched_yield();
		}
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct ring r;
	pthread_t t;

	assert_int_equal(ring_init(&r, SIZE), 0);
	assert_int_equal(pthread_create(&t, NULL, writer, &r), 0);
	for (uint32_t i = 0; i < COUNT;) {
		if (pop(&r, i))
			i++;
		else
			sched_yield();
	}
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_false(pop(&r, COUNT));
	ring_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_out_as_it_went_in),
		cmocka_unit_test(test_stays_in_front),
		cmocka_unit_test(test_room_after_going_back),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
