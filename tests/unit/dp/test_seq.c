/* SPDX-License-Identifier: MIT
 *
 * Sequence numbers of data (RFC 2661 5.4, conformance V2-5.4-*), token buckets, and the ring
 * between the two threads.
 */
#include "dp/forward.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define S 1000000u

static struct dpt_run *run_at(uint16_t nr)
{
	static struct dpt_run run;

	memset(&run, 0, sizeof(run));
	run.nr = nr;
	return &run;
}

static void late_and_duplicate_are_dropped(void **state)
{
	struct dpt_config c = { .flags = DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ };
	struct dpt_run *r = run_at(0);

	/* V2-5.4-05: 0, 1, 3, 2, 3 */
	assert_true(fwd_seq_ok(&c, r, true, 0, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 1, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 3, 10 * S));
	assert_false(fwd_seq_ok(&c, r, true, 2, 10 * S));
	assert_false(fwd_seq_ok(&c, r, true, 3, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 4, 10 * S));
	/* V2-5.4-06 */
	assert_false(fwd_seq_ok(&c, r, false, 0, 10 * S));
	c.flags = 0;
	assert_true(fwd_seq_ok(&c, r, false, 0, 10 * S));
}

/* RFC 3931 4.6.1: 24 bits; half of them ahead are new, half behind are old. */
static void numbers_of_pseudowires(void **state)
{
	struct dpt_config c = { .kind = DPT_ETH, .flags = DP_F_REQUIRE_SEQ };
	struct dpt_run *r = run_at(0);

	assert_true(fwd_seq_ok(&c, r, true, 0, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 70000, 10 * S)); /* no number of 16 bits */
	assert_false(fwd_seq_ok(&c, r, true, 70000 - 65536, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 70001 + 0x7ffffe, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 0xffffff, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 0, 10 * S)); /* it wraps */
	assert_false(fwd_seq_ok(&c, r, true, 0xffffff, 10 * S));
	assert_false(fwd_seq_ok(&c, r, true, 0, 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 1, 10 * S));
	assert_false(fwd_seq_ok(&c, r, false, 0, 10 * S)); /* without the S bit */
}

static void numbers_wrap(void **state)
{
	struct dpt_config c = { .flags = DP_F_REQUIRE_SEQ };
	struct dpt_run *r = run_at(65534);

	for (uint32_t n = 65534; n < 65534 + 200000; n++) {
		assert_true(fwd_seq_ok(&c, r, true, (uint16_t)n, 10 * S));
		assert_false(fwd_seq_ok(&c, r, true, (uint16_t)n, 10 * S));
	}
	assert_int_equal(r->nr, (uint16_t)(65534 + 200000));
}

static void a_jump_back_does_not_shut_out_for_ever(void **state)
{
	struct dpt_config c = { .flags = DP_F_REQUIRE_SEQ };
	struct dpt_run *r = run_at(0);
	unsigned int dropped = 0;

	assert_true(fwd_seq_ok(&c, r, true, 0, 10 * S));
	/* V2-5.4-07: a jump of 40000, in order from there on */
	for (uint16_t i = 0; i < 100; i++)
		dropped += !fwd_seq_ok(&c, r, true, (uint16_t)(40000 + i), 10 * S);
	assert_int_equal(dropped, 15);
	/* Old packets that are not in order among themselves never do it. */
	for (uint16_t i = 0; i < 100; i++)
		assert_false(fwd_seq_ok(&c, r, true, (uint16_t)(39000 - i), 10 * S));
	assert_true(fwd_seq_ok(&c, r, true, 40100, 10 * S));
	/* After a long silence any number is good. */
	assert_false(fwd_seq_ok(&c, r, true, 40000, 14 * S));
	assert_true(fwd_seq_ok(&c, r, true, 40000, 16 * S));
	assert_int_equal(r->nr, 40001);
}

static void the_first_packet_is_held_against_the_row(void **state)
{
	struct dpt_config c = { .flags = DP_F_REQUIRE_SEQ };
	struct dpt_run *r = run_at(500);

	assert_false(fwd_seq_ok(&c, r, true, 499, 100 * S));
	assert_true(fwd_seq_ok(&c, r, true, 502, 100 * S));
}

static void the_client_follows_the_lns(void **state)
{
	struct dpt_config c = { .flags = DP_F_CLIENT };
	struct dpt_run *r = run_at(0);

	/* V2-5.4-02 */
	assert_false(fwd_sends_seq(&c, r));
	assert_true(fwd_seq_ok(&c, r, true, 0, S));
	assert_true(fwd_sends_seq(&c, r));
	assert_true(fwd_seq_ok(&c, r, false, 0, S));
	assert_false(fwd_sends_seq(&c, r));
	/* With Sequencing Required, and as LNS, the row alone decides. */
	c.flags = DP_F_CLIENT | DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ;
	assert_true(fwd_sends_seq(&c, r));
	c.flags = DP_F_SEND_SEQ;
	assert_true(fwd_sends_seq(&c, r));
	c.flags = 0;
	assert_true(fwd_seq_ok(&c, r, true, 1, S));
	assert_false(fwd_sends_seq(&c, r));
}

static void buckets(void **state)
{
	struct fwd_bucket b = { .rate = { 10, 5 }, .tokens = 5 * S, .at = 100 * S };
	unsigned int n = 0;

	while (fwd_bucket_take(&b, 100 * S))
		n++;
	assert_int_equal(n, 5);
	assert_false(fwd_bucket_take(&b, 100 * S + 99999));
	assert_true(fwd_bucket_take(&b, 100 * S + 100000));
	assert_false(fwd_bucket_take(&b, 100 * S + 100001));
	assert_false(fwd_bucket_take(&b, 50 * S)); /* a clock that goes back gives nothing */
	for (n = 0; fwd_bucket_take(&b, UINT64_MAX / 2); n++)
		;
	assert_int_equal(n, 5);
}

static bool readable(struct ring *r)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void the_ring_wakes_only_a_sleeper(void **state)
{
	struct ring r;
	uint32_t n;

	assert_int_equal(ring_init(&r, 65536), 0);
	assert_false(readable(&r));
	memcpy(ring_room(&r, 3, UINT32_MAX), "abc", 3);
	ring_push(&r);
	assert_null(ring_peek(&r, &n)); /* not published yet */
	ring_publish(&r);
	assert_true(readable(&r));
	assert_memory_equal(ring_peek(&r, &n), "abc", 3);
	assert_int_equal(n, 3);
	assert_false(ring_sleep(&r)); /* there is news: stays readable */
	assert_true(readable(&r));
	ring_pop(&r);
	assert_true(ring_sleep(&r));
	assert_false(readable(&r));
	ring_wake(&r);
	assert_true(readable(&r));
	assert_true(ring_sleep(&r));
	ring_fini(&r);
}

/* A large one lies on large pages, but for its beginning. */
static void wraps_and_fills(uint32_t size)
{
	struct ring r;
	uint32_t in = 0, out = 0, n, seed = 7;

	assert_int_equal(ring_init(&r, size), 0);
	for (int i = 0; i < 20000; i++) {
		uint32_t len = 8 + (seed = seed * 1664525u + 1013904223u) % 3000;
		uint8_t *at;

		while (!(at = ring_room(&r, len, size / 2))) {
			uint8_t *old = ring_peek(&r, &n);

			assert_non_null(old);
			assert_int_equal(old[n - 1], (uint8_t)out);
			assert_memory_equal(old, &out, 4);
			out++;
			ring_pop(&r);
		}
		memset(at, (uint8_t)in, len);
		memcpy(at, &in, 4);
		in += 1;
		ring_push(&r);
		ring_publish(&r);
	}
	assert_null(ring_room(&r, size, UINT32_MAX));
	while (ring_peek(&r, &n)) {
		out++;
		ring_pop(&r);
	}
	assert_int_equal(in, out);
	ring_fini(&r);
}

static void the_ring_wraps_and_fills(void **state)
{
	wraps_and_fills(65536);
	wraps_and_fills(8u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_and_duplicate_are_dropped),
		cmocka_unit_test(numbers_of_pseudowires),
		cmocka_unit_test(numbers_wrap),
		cmocka_unit_test(a_jump_back_does_not_shut_out_for_ever),
		cmocka_unit_test(the_first_packet_is_held_against_the_row),
		cmocka_unit_test(the_client_follows_the_lns),
		cmocka_unit_test(buckets),
		cmocka_unit_test(the_ring_wakes_only_a_sleeper),
		cmocka_unit_test(the_ring_wraps_and_fills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
