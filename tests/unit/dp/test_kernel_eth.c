/* SPDX-License-Identifier: MIT
 *
 * Ethernet pseudowires in the kernel plane, on a kernel of the test's own (fake_kernel.h): in what
 * steps one comes up, what a change leaves as it is, and that they are made one after the other
 * without waiting for one that cannot be made yet.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct world {
	struct fake_kernel f;
	struct kernel *k;
	struct kernel_news n;
	uint32_t generation;
};

/* The next piece of news; fails when none comes within two minutes. */
static const struct kernel_news *next(struct world *w)
{
	struct pollfd p = { kernel_fd(w->k), POLLIN, 0 };

	for (int i = 0; i < 12000; i++) {
		if (kernel_next(w->k, (struct mono){ US_S }, &w->n))
			return &w->n;
		poll(&p, 1, 10);
	}
	fail_msg("no news");
	return NULL;
}

static void done(struct world *w, uint64_t key)
{
	const struct kernel_news *n = next(w);

	assert_int_equal(n->kind, KERNEL_NEWS_DONE);
	assert_int_equal(n->key, key);
	if (n->result != KERNEL_OK)
		fail_msg("result %d: %s", n->result, n->text);
}

static void begin(struct world *w)
{
	struct kernel_config config = { .sys = &w->f.sys };
	struct kernel_tunnel t = { .version = 3, .managed = true, .local_id = 1, .remote_id = 2 };

	memset(w, 0, sizeof(*w));
	fake_kernel_init(&w->f);
	w->k = kernel_new(&config);
	assert_non_null(w->k);
	t.path.local = (struct addr){ .family = AF_INET, .port = 1701, .ip = { 192, 0, 2, 1 } };
	t.path.remote = (struct addr){ .family = AF_INET, .port = 1701, .ip = { 192, 0, 2, 2 } };
	assert_int_equal(kernel_tunnel_put(w->k, 1, ++w->generation, &t), 0);
	done(w, 1);
	fake_kernel_forget(&w->f);
}

static void end(struct world *w)
{
	kernel_free(w->k);
	fake_kernel_end(&w->f);
}

static struct dp_row some_row(uint32_t session)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_ETH;
	r.version = 3;
	r.path.remote = (struct addr){ .family = AF_INET, .port = 1701, .ip = { 192, 0, 2, 2 } };
	r.local_tunnel = 1;
	r.remote_tunnel = 2;
	r.local_session = r.remote_session = session;
	r.mtu = 1400;
	snprintf(r.ifname, sizeof(r.ifname), "w%u", (unsigned int)session);
	return r;
}

static void put(struct world *w, const struct dp_row *r)
{
	assert_int_equal(kernel_put(w->k, 100 + r->local_session, ++w->generation, 1, r), 0);
}

static void steps_are(struct world *w, const char *const *want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (i >= w->f.step_n || strcmp(w->f.steps[i], want[i]) != 0)
			fail_msg("step %zu is %s, not %s", i,
				 i < w->f.step_n ? w->f.steps[i] : "missing", want[i]);
	assert_int_equal(w->f.step_n, n);
	fake_kernel_forget(&w->f);
}

#define STEPS_ARE(w, ...)                                           \
	do {                                                        \
		static const char *const want[] = { __VA_ARGS__ };  \
		steps_are(w, want, sizeof(want) / sizeof(want[0])); \
	} while (0)

/* All is set while it is down, which tells others less often; then it goes up, without a queue
 * unless the configuration gives it one. */
static void it_goes_up_last(void **state)
{
	struct dp_row r = some_row(7);
	struct world w;

	begin(&w);
	put(&w, &r);
	done(&w, 107);
	STEPS_ARE(&w, "session-create", "ifindex", "setlink", "newqdisc", "setlink");
	assert_int_equal(w.f.ups, 1);
	assert_int_equal(w.f.masters, 0);
	r = some_row(8);
	r.txqlen = 50;
	snprintf(r.master, sizeof(r.master), "br0");
	put(&w, &r);
	done(&w, 108);
	STEPS_ARE(&w, "ifindex", "session-create", "ifindex", "setlink", "setlink");
	assert_int_equal(w.f.masters, 1);
	end(&w);
}

/* Its bridge does not take it: it was never up, where its frames would have gone elsewhere. */
static void not_up_without_its_bridge(void **state)
{
	struct dp_row r = some_row(7);
	struct world w;

	(void)state;
	begin(&w);
	snprintf(r.master, sizeof(r.master), "br0");
	fake_kernel_fail(&w.f, "setlink", 1, 0, -EBUSY);
	put(&w, &r);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_DONE);
	assert_int_not_equal(w.n.result, KERNEL_OK);
	assert_int_equal(w.f.ups, 0);
	end(&w);
}

/* The far circuit is down already: it is dormant before it is up. */
static void dormant_from_the_first(void **state)
{
	struct dp_row r = some_row(7);
	struct world w;

	(void)state;
	begin(&w);
	r.flags |= DP_F_FAR_DOWN;
	for (int i = 0; i < 2; i++, r = some_row(8)) {
		put(&w, &r);
		done(&w, 100 + r.local_session);
		w.f.dormant = false;
	}
	assert_int_equal(w.f.ups, 2);
	assert_int_equal(w.f.dormant_ups, 1);
	end(&w);
}

/* The far circuit goes down and up again: whoever has set the interface down, or put it into a
 * bridge of his own, finds it like that. */
static void a_change_leaves_the_rest_alone(void **state)
{
	struct dp_row r = some_row(7);
	struct world w;

	begin(&w);
	put(&w, &r);
	done(&w, 107);
	fake_kernel_forget(&w.f);
	r.flags |= DP_F_FAR_DOWN;
	put(&w, &r);
	done(&w, 107);
	STEPS_ARE(&w, "setlink", "setlink");
	r.flags = 0;
	put(&w, &r);
	done(&w, 107);
	assert_int_equal(w.f.ups, 1);
	assert_int_equal(w.f.masters, 0);
	/* into a bridge of the configuration, and out of it */
	snprintf(r.master, sizeof(r.master), "br0");
	put(&w, &r);
	done(&w, 107);
	assert_int_equal(w.f.masters, 1);
	r.mtu = 1300;
	put(&w, &r);
	done(&w, 107);
	assert_int_equal(w.f.masters, 1);
	memset(r.master, 0, sizeof(r.master));
	put(&w, &r);
	done(&w, 107);
	assert_int_equal(w.f.masters, 2);
	assert_int_equal(w.f.ups, 1);
	end(&w);
}

/* One after the other, in their order; other jobs go on beside them. */
static void they_are_made_one_at_a_time(void **state)
{
	struct dp_row r = some_row(1);
	struct world w;

	begin(&w);
	put(&w, &r);
	done(&w, 101);
	fake_kernel_gate(&w.f, "session-create");
	for (uint32_t i = 2; i < 10; i++) {
		r = some_row(i);
		put(&w, &r);
	}
	assert_false(kernel_next(w.k, (struct mono){ US_S }, &w.n));
	fake_kernel_wait_gate(&w.f);
	fake_kernel_forget(&w.f);
	assert_int_equal(kernel_del(w.k, 101, ++w.generation), 0);
	done(&w, 101);
	assert_int_equal(fake_kernel_count(&w.f, "session-create"), 0);
	fake_kernel_let_go(&w.f);
	for (uint32_t i = 2; i < 10; i++)
		done(&w, 100 + i);
	assert_int_equal(fake_kernel_count(&w.f, "session-create"), 7);
	end(&w);
}

/* The ids of a former session are taken a moment longer: others need not wait for that. */
static void one_that_has_to_wait_stops_no_other(void **state)
{
	struct dp_row first = some_row(1), second = some_row(2);
	struct world w;

	begin(&w);
	fake_kernel_fail(&w.f, "session-create", 1, 0, -EEXIST);
	fake_kernel_gate(&w.f, "sleep");
	put(&w, &first);
	put(&w, &second);
	done(&w, 102);
	fake_kernel_wait_gate(&w.f);
	fake_kernel_let_go(&w.f);
	done(&w, 101);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_up_last),
		cmocka_unit_test(not_up_without_its_bridge),
		cmocka_unit_test(dormant_from_the_first),
		cmocka_unit_test(a_change_leaves_the_rest_alone),
		cmocka_unit_test(they_are_made_one_at_a_time),
		cmocka_unit_test(one_that_has_to_wait_stops_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
