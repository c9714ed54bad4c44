/* SPDX-License-Identifier: MIT
 *
 * Memory is scarce (RFC 2661 4.4.2, Error Code 4): strangers and new calls are refused, and what is
 * there goes on and can end, even where no allocation succeeds any more.
 */
#include "peer.h"
#include "failmalloc.h"

static struct peer p;

static int setup(void **state)
{
	(void)state;
	peer_start(&p, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	failmalloc_disarm();
	peer_stop(&p);
	return 0;
}

static void ask_call(uint16_t sid, uint16_t ns)
{
	struct l2tp_build *b = peer_begin(&p, L2TP_ICRQ);

	l2tp_build_u16(b, 14, sid);
	l2tp_build_u32(b, 15, sid);
	peer_send_as(&p, p.engine_tid, 0, ns, p.nr);
}

static void is_refusal(const struct out *o)
{
	assert_non_null(o);
	assert_int_equal(o->m.result, 2);
	assert_int_equal(o->m.error, L2TP_ERR_RESOURCES);
}

static void test_stranger(void **state)
{
	struct l2tp_counters c;

	(void)state;
	l2tp_scarce(p.l, true);
	for (int i = 0; i < 3; i++) {
		peer_clear(&p);
		peer_hello_words(&p, L2TP_SCCRQ, p.tid);
		failmalloc_arm_from(2); /* but for the copy that the test makes */
		peer_send_as(&p, 0, 0, 0, 0);
		assert_false(failmalloc_disarm()); /* nothing was asked for */
		is_refusal(peer_last(&p, L2TP_STOPCCN));
		assert_string_equal(peer_last(&p, L2TP_STOPCCN)->text, "out of memory");
		assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 0);
	}
	l2tp_counters(p.l, &c);
	assert_int_equal(c.drop_limit, 3);
	l2tp_scarce(p.l, false);
	peer_open(&p);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
}

static void test_call(void **state)
{
	uint16_t id;

	(void)state;
	peer_open(&p);
	id = peer_call_in(&p, 7);
	assert_int_equal(p.events[L2TP_EV_SESSION_UP], 1);
	l2tp_scarce(p.l, true);
	for (uint16_t sid = 8; sid < 40; sid++) {
		peer_clear(&p);
		ask_call(sid, p.ns++);
		is_refusal(peer_last(&p, L2TP_CDN));
		assert_int_equal(peer_last(&p, L2TP_CDN)->h.session, sid);
		assert_int_equal(p.events[L2TP_EV_SESSION_ASK], 0);
		peer_zlb(&p);
	}
	/* the one that is up stays; what we open ourselves is opened */
	assert_int_equal(peer_session_state(&p), L2TP_SS_UP);
	peer_clear(&p);
	peer_call(&p);
	assert_non_null(peer_last(&p, L2TP_ICRQ));
	l2tp_scarce(p.l, false);
	peer_clear(&p);
	assert_int_not_equal(peer_call_in(&p, 50), id);
	assert_int_equal(p.events[L2TP_EV_SESSION_UP], 1);
}

/* Without any memory: an end is taken, a message is acknowledged. */
static void test_nothing_left(void **state)
{
	struct l2tp_build *b;
	uint16_t one, two;

	(void)state;
	peer_open(&p);
	one = peer_call_in(&p, 7);
	two = peer_call_in(&p, 8);
	peer_clear(&p);

	b = peer_begin(&p, L2TP_CDN);
	l2tp_build_result(b, 1, 0, "");
	l2tp_build_u16(b, 14, 7);
	failmalloc_arm_from(2);
	peer_send(&p, one);
	failmalloc_disarm();
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 1);
	assert_int_equal(p.outs, 1);
	assert_int_equal(p.out[0].h.nr, p.ns);

	peer_begin(&p, L2TP_HELLO);
	failmalloc_arm_from(2);
	peer_send(&p, 0);
	failmalloc_disarm();
	assert_int_equal(p.outs, 2);
	assert_int_equal(p.out[1].h.nr, p.ns);

	b = peer_begin(&p, L2TP_STOPCCN);
	l2tp_build_u16(b, 9, p.tid);
	l2tp_build_result(b, 1, 0, "");
	failmalloc_arm_from(2);
	peer_send(&p, 0);
	failmalloc_disarm();
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 2);
	assert_int_equal(p.outs, 3);
	assert_int_equal(p.out[2].h.nr, p.ns);
	assert_int_not_equal(one, two);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_stranger),
		T(test_call),
		T(test_nothing_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
