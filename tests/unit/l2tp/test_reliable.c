/* SPDX-License-Identifier: MIT
 *
 * src/l2tp/reliable.c against RFC 2661 5.8 and Appendix A: places in the number space, windows,
 * slow start, back-off, order, the wrap of the numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include "l2tp/reliable.h"
#include "failmalloc.h"

static size_t account;
static const struct mono t0 = { 1000000 };

static struct mono at(int64_t ms)
{
	return mono_add(t0, ms * US_MS);
}

static struct rel fresh(uint32_t window, uint32_t peer_window)
{
	struct rel_params p = { .modulus_mask = 0xffff,
				.window = window,
				.peer_window = peer_window,
				.bytes_max = 12288,
				.first_us = US_S,
				.cap_us = 8 * US_S,
				.retries = 5,
				.account = &account };
	struct rel r;

	rel_init(&r, &p);
	return r;
}

/* Number as many messages as there is room for, at most `n`. */
static uint32_t push_all(struct rel *r, struct mono now, uint32_t n)
{
	static const uint8_t body[20];
	uint32_t done = 0;

	while (done < n && rel_room(r, false)) {
		assert_int_equal(rel_push(r, now, 6, 0, body, sizeof(body)), 0);
		done++;
	}
	return done;
}

static uint32_t take_all(struct rel *r, struct mono now)
{
	struct rel_out o;
	uint32_t n = 0;

	while (rel_output(r, now, &o))
		n += o.msg != NULL;
	return n;
}

static uint32_t ack(struct rel *r, struct mono now, uint32_t nr)
{
	uint32_t n;

	assert_true(rel_ack(r, now, nr, &n));
	return n;
}

/* 5.8: with 15 the last one received, 0..15 and 32784..65535 are duplicates (V2-5.8-05). */
static void test_places(void **state)
{
	struct rel r = fresh(16, 4);

	r.nr = 16;
	for (uint32_t ns = 0; ns <= 15; ns++)
		assert_int_equal(rel_place(&r, ns), REL_DUPLICATE);
	for (uint32_t ns = 32784; ns <= 65535; ns++)
		assert_int_equal(rel_place(&r, ns), REL_DUPLICATE);
	assert_int_equal(rel_place(&r, 16), REL_NEXT);
	for (uint32_t ns = 17; ns < 32; ns++)
		assert_int_equal(rel_place(&r, ns), REL_EARLY);
	for (uint32_t ns = 32; ns <= 32783; ns++)
		assert_int_equal(rel_place(&r, ns), REL_FAR);
	rel_free(&r);
}

/* bursts of 1, 2, 4, 8, 16; A-04: never more than the peer's window. */
static void test_slow_start(void **state)
{
	static const uint32_t bursts[] = { 1, 2, 4, 8, 16, 16, 16 };
	struct rel r = fresh(16, 16);

	for (size_t i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++) {
		assert_int_equal(push_all(&r, at(0), 100), bursts[i]);
		assert_int_equal(take_all(&r, at(0)), bursts[i]);
		assert_int_equal(ack(&r, at(10), r.ns), bursts[i]);
	}
	rel_free(&r);
	r = fresh(16, 3);
	for (int i = 0; i < 5; i++) {
		assert_true(push_all(&r, at(0), 100) <= 3);
		take_all(&r, at(0));
		ack(&r, at(10), r.ns);
	}
	assert_int_equal(r.cwnd, 3);
	rel_free(&r);
	assert_int_equal(account, 0);
}

/* A peer with a window of one gets one message at a time (V2-4.4.3-14). */
static void test_window_of_one(void **state)
{
	struct rel r = fresh(16, 1);

	for (int i = 0; i < 10; i++) {
		assert_int_equal(push_all(&r, at(0), 5), 1);
		assert_int_equal(take_all(&r, at(0)), 1);
		ack(&r, at(10), r.ns);
	}
	rel_free(&r);
}

/* after a loss only the head is sent again, the threshold is half. */
static void test_congestion(void **state)
{
	struct rel r = fresh(16, 16);
	struct rel_out o;

	while (r.cwnd < 8) {
		push_all(&r, at(0), 100);
		take_all(&r, at(0));
		ack(&r, at(0), r.ns);
	}
	assert_int_equal(push_all(&r, at(0), 8), 8);
	assert_int_equal(take_all(&r, at(0)), 8);
	assert_int_equal(rel_expire(&r, at(999)), REL_WAIT);
	assert_int_equal(rel_expire(&r, at(1000)), REL_AGAIN);
	assert_int_equal(r.cwnd, 1);
	assert_int_equal(r.ssthresh, 4);
	assert_true(rel_output(&r, at(1000), &o));
	assert_true(o.again);
	assert_int_equal(o.ns, r.una);
	assert_false(rel_output(&r, at(1000), &o));
	/* Only the head was lost: everything is acknowledged now, nothing else is sent again. */
	assert_int_equal(ack(&r, at(1010), r.ns), 8);
	assert_false(rel_output(&r, at(1010), &o));
	/* Slow start up to the threshold while those were acknowledged, then linear. */
	assert_int_equal(r.cwnd, 5);
	for (int i = 0; i < 5; i++) {
		push_all(&r, at(1010), 1);
		take_all(&r, at(1010));
		ack(&r, at(1010), r.ns);
	}
	assert_int_equal(r.cwnd, 6);
	rel_free(&r);
}

/* When the peer kept none of the rest, copies come back under the window: 1, then 2. */
static void test_copies_under_window(void **state)
{
	struct rel r = fresh(16, 16);

	r.cwnd = 8;
	push_all(&r, at(0), 8);
	take_all(&r, at(0));
	assert_int_equal(rel_expire(&r, at(1000)), REL_AGAIN);
	assert_int_equal(take_all(&r, at(1000)), 1);
	assert_int_equal(ack(&r, at(1001), r.una + 1), 1);
	assert_int_equal(take_all(&r, at(1001)), 2);
	assert_int_equal(ack(&r, at(1002), r.una + 2), 2);
	assert_true(take_all(&r, at(1002)) >= 3);
	rel_free(&r);
}

/* 5.8: 1, 2, 4, 8, 8 seconds, five retries, lost after 31 (V2-5.8-14 .. -18). */
static void test_back_off(void **state)
{
	static const int64_t when[] = { 1000, 3000, 7000, 15000, 23000 };
	struct rel r = fresh(16, 4);
	struct rel_out o;

	push_all(&r, at(0), 1);
	assert_int_equal(take_all(&r, at(0)), 1);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(rel_deadline(&r).us, at(when[i]).us);
		assert_int_equal(rel_expire(&r, at(when[i])), REL_AGAIN);
		/* Ns stays, Nr is fresh (V2-5.8-17). */
		rel_accept(&r);
		assert_true(rel_output(&r, at(when[i]), &o));
		assert_int_equal(o.ns, 0);
		assert_int_equal(o.nr, i + 1);
		assert_false(rel_output(&r, at(when[i]), &o));
	}
	assert_int_equal(rel_deadline(&r).us, at(31000).us);
	assert_int_equal(rel_expire(&r, at(31000)), REL_LOST);
	assert_int_equal(rel_deadline(&r).us, INT64_MAX);
	assert_int_equal(r.resent, 5);
	rel_free(&r);
}

/* Anything acknowledged starts the count and the waits anew (V2-5.8-19). */
static void test_progress(void **state)
{
	struct rel r = fresh(16, 4);
	int64_t ms = 0;

	for (int i = 0; i < 20; i++) {
		push_all(&r, at(ms), 1);
		take_all(&r, at(ms));
		for (int k = 0; k < 3; k++) {
			ms = (rel_deadline(&r).us - t0.us) / US_MS;
			assert_int_equal(rel_expire(&r, at(ms)), REL_AGAIN);
			take_all(&r, at(ms));
		}
		assert_int_equal(ack(&r, at(ms), r.ns), 1);
		assert_int_equal(r.tries, 0);
		assert_int_equal(r.wait_us, US_S);
	}
	rel_free(&r);
}

/* Odd Nr: beyond what was sent, old (V2-5.8-12, -13). */
static void test_odd_acks(void **state)
{
	struct rel r = fresh(16, 4);
	uint32_t n;

	r.cwnd = 4;
	assert_int_equal(push_all(&r, at(0), 3), 3);
	take_all(&r, at(0));
	assert_false(rel_ack(&r, at(1), 10, &n));
	assert_int_equal(n, 0);
	assert_int_equal(rel_held_count(&r), 3);
	assert_int_equal(ack(&r, at(1), 2), 2);
	assert_int_equal(ack(&r, at(1), 1), 0);
	assert_int_equal(ack(&r, at(1), 40000), 0);
	assert_int_equal(rel_held_count(&r), 1);
	rel_free(&r);
}

/* ZLB: its Ns is the next one's, and it uses none; no ZLB when a message carries Nr (B.2). */
static void test_zlb(void **state)
{
	struct rel r = fresh(16, 4);
	struct rel_out o;

	push_all(&r, at(0), 1);
	take_all(&r, at(0));
	rel_accept(&r);
	assert_true(rel_output(&r, at(1), &o));
	assert_null(o.msg);
	assert_int_equal(o.ns, 1);
	assert_int_equal(o.nr, 1);
	assert_false(rel_output(&r, at(1), &o));
	ack(&r, at(2), 1);
	rel_accept(&r);
	push_all(&r, at(2), 1);
	assert_true(rel_output(&r, at(2), &o));
	assert_non_null(o.msg);
	assert_int_equal(o.ns, 1);
	assert_int_equal(o.nr, 2);
	assert_false(rel_output(&r, at(2), &o));
	rel_free(&r);
}

/* Early messages are put in order, bounded by the window, and freed with the rest. */
static void test_order(void **state)
{
	static const uint32_t order[] = { 3, 1, 2, 3, 7, 5 };
	uint8_t body[4] = { 0 };
	struct rel r = fresh(8, 4);
	struct rel_early *e;
	uint32_t want = 1;

	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(rel_place(&r, order[i]), REL_EARLY);
		body[0] = (uint8_t)order[i];
		assert_int_equal(rel_hold(&r, order[i], 9, body, sizeof(body)), i == 3);
	}
	assert_int_equal(rel_place(&r, 8), REL_FAR);
	assert_int_equal(r.early_count, 5);
	assert_null(rel_held(&r));
	rel_accept(&r);
	while ((e = rel_held(&r))) {
		assert_int_equal(e->seq, want);
		assert_int_equal(e->bytes[0], want);
		assert_int_equal(e->session, 9);
		rel_held_done(&r);
		rel_accept(&r);
		want++;
	}
	assert_int_equal(want, 4);
	assert_int_equal(r.nr, 4);
	rel_free(&r);
	assert_int_equal(account, 0);
}

/* A stranger gets nothing by time, but a repetition when it asks again. */
static void test_passive(void **state)
{
	struct rel r = fresh(16, 4);

	r.passive = true;
	push_all(&r, at(0), 1);
	assert_int_equal(take_all(&r, at(0)), 1);
	assert_int_equal(rel_deadline(&r).us, INT64_MAX);
	rel_repeat(&r);
	assert_int_equal(take_all(&r, at(500)), 1);
	assert_int_equal(take_all(&r, at(500)), 0);
	r.passive = false;
	rel_restart(&r, at(600));
	assert_int_equal(rel_deadline(&r).us, at(1600).us);
	rel_free(&r);
}

static void test_abandon(void **state)
{
	struct rel r = fresh(16, 4);

	push_all(&r, at(0), 1);
	take_all(&r, at(0));
	rel_abandon(&r);
	assert_int_equal(rel_deadline(&r).us, INT64_MAX);
	assert_int_equal(push_all(&r, at(1), 1), 1);
	assert_int_equal(r.first->seq, 1);
	assert_int_equal(ack(&r, at(2), 1), 0);
	assert_int_equal(ack(&r, at(2), 2), 1);
	rel_free(&r);
	assert_int_equal(account, 0);
}

/* The octets under way are bounded whatever the window. */
static void test_bytes_bound(void **state)
{
	static const uint8_t big[1400];
	struct rel r = fresh(16, 1000);
	uint32_t n = 0;

	r.cwnd = 1000;
	while (rel_room(&r, false)) {
		assert_int_equal(rel_push(&r, at(0), 1, 0, big, sizeof(big)), 0);
		n++;
	}
	assert_true(n <= 12288 / 1400 + 1);
	rel_free(&r);
}

static void test_no_memory(void **state)
{
	static const uint8_t body[8];
	struct rel r = fresh(16, 4);

	failmalloc_arm(1);
	assert_int_equal(rel_push(&r, at(0), 1, 0, body, sizeof(body)), -ENOMEM);
	assert_true(failmalloc_disarm());
	assert_int_equal(r.ns, 0);
	assert_int_equal(rel_push(&r, at(0), 1, 0, body, sizeof(body)), 0);
	failmalloc_arm(1);
	assert_int_equal(rel_hold(&r, 3, 0, body, sizeof(body)), -ENOMEM);
	assert_true(failmalloc_disarm());
	assert_null(r.early);
	rel_free(&r);
	assert_int_equal(account, 0);
}

static uint32_t seed = 7;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

/*
 * Two ends, 70,000 messages one way and as many acknowledgements back over a link that loses,
 * doubles and turns packets round: all arrive once, in order (S12: no error at 65535 -> 0).
 */
static void test_wrap(void **state)
{
	struct pkt {
		bool used;
		uint32_t ns, nr, value;
		bool zlb;
	} fly[2][64] = { 0 };
	struct rel a = fresh(16, 16), b = fresh(16, 16);
	struct rel *ends[2] = { &a, &b };
	uint32_t sent = 0, got = 0;
	int64_t ms = 0;

	while (got < 70000) {
		while (sent < 70000 && rel_room(&a, false)) {
			uint8_t v[4] = { (uint8_t)(sent >> 24), (uint8_t)(sent >> 16),
					 (uint8_t)(sent >> 8), (uint8_t)sent };

			assert_int_equal(rel_push(&a, at(ms), 6, 0, v, 4), 0);
			sent++;
		}
		for (int i = 0; i < 2; i++) {
			struct rel_out o;

			while (rel_output(ends[i], at(ms), &o)) {
				struct pkt p = { true, o.ns, o.nr, 0, !o.msg };

				if (o.msg)
					p.value = (uint32_t)o.msg->bytes[0] << 24 |
						  (uint32_t)o.msg->bytes[1] << 16 |
						  (uint32_t)o.msg->bytes[2] << 8 | o.msg->bytes[3];
				for (uint32_t copies = rnd(50) == 0 ? 0
						       : rnd(20)    ? 1
								    : 2;
				     copies; copies--)
					fly[i][rnd(64)] = p;
			}
		}
		for (int i = 0; i < 2; i++) {
			for (uint32_t k = 0; k < 64; k++) {
				struct pkt p = fly[i][k];
				struct rel *to = ends[1 - i];
				struct rel_early *e;
				uint32_t n;
				uint8_t v[4] = { (uint8_t)(p.value >> 24), (uint8_t)(p.value >> 16),
						 (uint8_t)(p.value >> 8), (uint8_t)p.value };

				if (!p.used || rnd(3) == 0)
					continue;
				fly[i][k].used = false;
				rel_ack(to, at(ms), p.nr, &n);
				if (p.zlb)
					continue;
				switch (rel_place(to, p.ns)) {
				case REL_NEXT:
					assert_int_equal(p.value, got);
					got++;
					rel_accept(to);
					while ((e = rel_held(to))) {
						uint32_t value = (uint32_t)e->bytes[0] << 24 |
								 (uint32_t)e->bytes[1] << 16 |
								 (uint32_t)e->bytes[2] << 8 |
								 e->bytes[3];

						assert_int_equal(value, got);
						got++;
						rel_held_done(to);
						rel_accept(to);
					}
					break;
				case REL_EARLY:
					assert_true(rel_hold(to, p.ns, 0, v, 4) >= 0);
					rel_again(to);
					break;
				case REL_DUPLICATE:
					rel_again(to);
					break;
				case REL_FAR:
					break;
				}
			}
		}
		ms += 5;
		for (int i = 0; i < 2; i++)
			assert_int_not_equal(rel_expire(ends[i], at(ms)), REL_LOST);
	}
	assert_int_equal(b.nr, 70000 & 0xffff);
	rel_free(&a);
	rel_free(&b);
	assert_int_equal(account, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_window_of_one),
		cmocka_unit_test(test_congestion),
		cmocka_unit_test(test_copies_under_window),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_odd_acks),
		cmocka_unit_test(test_zlb),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_passive),
		cmocka_unit_test(test_abandon),
		cmocka_unit_test(test_bytes_bound),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
