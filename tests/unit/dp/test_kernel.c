/* SPDX-License-Identifier: MIT
 *
 * The kernel plane on a kernel of the test's own (fake_kernel.h): the order of the steps, what is
 * undone when one of them fails, jobs that are cancelled, order per key, frames, what others
 * delete, and the words for errors.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "failmalloc.h"

struct world {
	struct fake_kernel f;
	struct kernel *k;
	struct kernel_news n;
	uint32_t generation;
	int64_t now;
};

static void begin(struct world *w, uint32_t gaps)
{
	struct kernel_config config = { .sys = &w->f.sys, .frames_per_s = 10 };

	config.probe.gaps = gaps;
	memset(w, 0, sizeof(*w));
	w->now = US_S;
	fake_kernel_init(&w->f);
	w->k = kernel_new(&config);
	assert_non_null(w->k);
}

static void end(struct world *w)
{
	kernel_free(w->k);
	fake_kernel_end(&w->f);
}

/* The next piece of news; fails when none comes within a minute. */
static const struct kernel_news *next(struct world *w)
{
	struct pollfd p = { kernel_fd(w->k), POLLIN, 0 };

	for (int i = 0; i < 6000; i++) {
		if (kernel_next(w->k, (struct mono){ w->now }, &w->n))
			return &w->n;
		poll(&p, 1, 10);
	}
	fail_msg("no news");
	return NULL;
}

static bool none(struct world *w)
{
	for (int i = 0; i < 5; i++) {
		if (kernel_next(w->k, (struct mono){ w->now }, &w->n))
			return false;
		usleep(2000);
	}
	return true;
}

static const struct kernel_news *done(struct world *w, enum kernel_op op, uint64_t key,
				      enum kernel_result result)
{
	const struct kernel_news *n = next(w);

	assert_int_equal(n->kind, KERNEL_NEWS_DONE);
	assert_int_equal(n->op, op);
	assert_int_equal(n->key, key);
	if (n->result != result)
		fail_msg("result %d, not %d: %s", n->result, result, n->text);
	return n;
}

static struct kernel_tunnel some_tunnel(uint32_t id)
{
	struct kernel_tunnel t = { .version = 2, .managed = true, .local_id = id, .remote_id = 2 };

	t.path.local = (struct addr){ .family = AF_INET, .port = 1701, .ip = { 192, 0, 2, 1 } };
	t.path.remote = (struct addr){ .family = AF_INET, .port = 1701, .ip = { 192, 0, 2, 2 } };
	t.path.remote.ip[3] = (uint8_t)id;
	return t;
}

static struct dp_row some_row(uint32_t tunnel, uint16_t session)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.flags = DP_F_IP4;
	r.path.remote.family = AF_INET;
	r.local_tunnel = tunnel;
	r.remote_tunnel = 2;
	r.local_session = r.remote_session = session;
	r.mtu = 1400;
	r.prefix_count = 1;
	r.prefixes[0] = (struct prefix){ { .family = AF_INET, .ip = { 10, 0, 0, 1 } }, 32 };
	r.prefixes[0].addr.ip[2] = (uint8_t)(session >> 8);
	r.prefixes[0].addr.ip[3] = (uint8_t)session;
	return r;
}

static void tunnel_up(struct world *w, uint32_t id)
{
	struct kernel_tunnel t = some_tunnel(id);

	assert_int_equal(kernel_tunnel_put(w->k, id, ++w->generation, &t), 0);
	assert_true(done(w, KERNEL_OP_TUNNEL_PUT, id, KERNEL_OK)->fd >= 0);
}

static void put(struct world *w, uint64_t key, uint32_t tunnel, const struct dp_row *r)
{
	assert_int_equal(kernel_put(w->k, key, ++w->generation, tunnel, r), 0);
}

static void session_up(struct world *w, uint64_t key, uint32_t tunnel)
{
	struct dp_row r = some_row(tunnel, (uint16_t)key);

	put(w, key, tunnel, &r);
	done(w, KERNEL_OP_PUT, key, KERNEL_OK);
}

static void steps_are(struct world *w, const char *const *want, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i >= w->f.step_n || strcmp(w->f.steps[i], want[i]) != 0)
			fail_msg("step %zu is %s, not %s", i,
				 i < w->f.step_n ? w->f.steps[i] : "missing", want[i]);
	}
	assert_int_equal(w->f.step_n, n);
}

#define STEPS_ARE(w, ...)                                              \
	do {                                                           \
		static const char *const want_[] = { __VA_ARGS__ };    \
		steps_are(w, want_, sizeof(want_) / sizeof(want_[0])); \
	} while (0)

/* ---- order of the steps ---- */

static void a_tunnel_takes_no_packet_of_others(void **state)
{
	struct world w;

	begin(&w, 0);
	fake_kernel_forget(&w.f);
	tunnel_up(&w, 1);
	STEPS_ARE(&w, "socket-udp", "filter", "bind", "connect-udp", "no-filter", "tunnel-create");
	end(&w);
}

static void attaching_goes_step_by_step(void **state)
{
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	fake_kernel_forget(&w.f);
	session_up(&w, 7, 1);
	STEPS_ARE(&w, "socket-pppox", "connect-pppox", "open-ppp", "newlink", "gunit", "ifindex",
		  "npmode", "newqdisc", "setlink", "newroute", "gunit", "open-ppp", "gchan",
		  "attchan", "connect-unit");
	assert_int_equal(fake_kernel_open_count(&w.f, "pppox"), 1);
	assert_int_equal(fake_kernel_open_count(&w.f, "chan"), 1);
	assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 1);

	/* The same again changes nothing. */
	fake_kernel_forget(&w.f);
	session_up(&w, 7, 1);
	assert_int_equal(w.f.step_n, 0);

	kernel_del(w.k, 7, ++w.generation);
	done(&w, KERNEL_OP_DEL, 7, KERNEL_OK);
	STEPS_ARE(&w, "getstats", "close-unit", "close-chan", "close-pppox");
	end(&w);
}

static void a_pipe_becomes_a_unit_later(void **state)
{
	struct world w;
	struct dp_row r = some_row(1, 7);
	const struct kernel_news *n;

	begin(&w, 0);
	tunnel_up(&w, 1);
	fake_kernel_forget(&w.f);
	r.state = DP_PREPARED;
	r.flags = DP_F_SEND_SEQ;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	STEPS_ARE(&w, "socket-pppox", "connect-pppox");
	assert_int_equal(write(fake_kernel_far(&w.f, "pppox", 0), "\xc0\x21\x01", 3), 3);
	n = next(&w);
	assert_int_equal(n->kind, KERNEL_NEWS_FRAME);
	assert_int_equal(n->key, 7);
	assert_memory_equal(n->bytes, "\xc0\x21\x01", 3);
	assert_int_equal(kernel_send(w.k, 7, (const uint8_t *)"\xc0\x21\x02", 3), 0);

	/* Attached, and nothing forwarded: both families are shut, the link is down. */
	fake_kernel_forget(&w.f);
	r.state = DP_ACTIVE;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	STEPS_ARE(&w, "open-ppp", "newlink", "gunit", "ifindex", "npmode", "npmode", "gunit",
		  "open-ppp", "gchan", "attchan", "connect-unit");

	fake_kernel_forget(&w.f);
	r.flags |= DP_F_IP4;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	STEPS_ARE(&w, "npmode", "newqdisc", "setlink", "newroute");

	/* Another prefix in place of the first. */
	fake_kernel_forget(&w.f);
	r.prefixes[0].addr.ip[3] = 99;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	STEPS_ARE(&w, "delroute", "newroute");
	end(&w);
}

/* Nothing passes, and nothing goes elsewhere in clear for want of a route. */
static void a_far_circuit_that_is_down_takes_no_route(void **state)
{
	struct kernel_tunnel t = some_tunnel(1);
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 0);
	t.version = r.version = 3;
	kernel_tunnel_put(w.k, 1, ++w.generation, &t);
	done(&w, KERNEL_OP_TUNNEL_PUT, 1, KERNEL_OK);
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	for (int i = 0; i < 2; i++) {
		fake_kernel_forget(&w.f);
		r.flags ^= DP_F_FAR_DOWN;
		put(&w, 7, 1, &r);
		done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
		STEPS_ARE(&w, "npmode");
	}
	end(&w);
}

/* The kernel numbers from 0: what the owner has numbered already goes to frames that are discarded
 * in any case (RFC 1661 5.9), before any other. */
static void numbers_that_are_used_are_not_used_again(void **state)
{
	static const uint8_t discard[] = { 0xc0, 0x21, 0x0b, 0, 0, 8, 0, 0, 0, 0 };
	struct dp_row r = some_row(1, 7);
	uint8_t buf[64];
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	r.flags |= DP_F_SEND_SEQ;
	r.first_ns = 3;
	r.first_nr = 5;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read(fake_kernel_far(&w.f, "pppox", 0), buf, sizeof(buf)),
				 sizeof(discard));
		assert_memory_equal(buf, discard, sizeof(discard));
	}
	assert_int_equal(read(fake_kernel_far(&w.f, "pppox", 0), buf, sizeof(buf)), -1);
	/* Without numbers nothing has to be made up for. */
	r = some_row(1, 8);
	r.first_ns = 3;
	put(&w, 8, 1, &r);
	done(&w, KERNEL_OP_PUT, 8, KERNEL_OK);
	assert_int_equal(read(fake_kernel_far(&w.f, "pppox", 1), buf, sizeof(buf)), -1);
	end(&w);
}

/* Packets pass an interface without waiting, unless the row says how many may wait. A kernel that
 * has no queues to choose from is no reason to fail. */
static void an_interface_has_no_queue_unless_asked(void **state)
{
	struct world w;
	struct dp_row r = some_row(1, 7);

	begin(&w, 0);
	tunnel_up(&w, 1);
	fake_kernel_fail(&w.f, "newqdisc", 1, 0, -EOPNOTSUPP);
	session_up(&w, 7, 1);
	fake_kernel_forget(&w.f);
	r = some_row(1, 8);
	r.txqlen = 1000;
	put(&w, 8, 1, &r);
	done(&w, KERNEL_OP_PUT, 8, KERNEL_OK);
	STEPS_ARE(&w, "socket-pppox", "connect-pppox", "open-ppp", "newlink", "gunit", "ifindex",
		  "npmode", "setlink", "newroute", "gunit", "open-ppp", "gchan", "attchan",
		  "connect-unit");
	end(&w);
}

/* All of it takes one lock of the kernel's, for which a worker would spin. */
static void interfaces_are_made_one_after_the_other(void **state)
{
	static const char *const steps[] = { "newlink", "setlink" };
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct dp_row a = some_row(1, (uint16_t)(2 * i + 1)),
			      b = some_row(1, (uint16_t)(2 * i + 2));

		fake_kernel_forget(&w.f);
		fake_kernel_gate(&w.f, steps[i]);
		put(&w, 2 * i + 1, 1, &a);
		assert_true(none(&w));
		fake_kernel_wait_gate(&w.f);
		put(&w, 2 * i + 2, 1, &b);
		while (fake_kernel_count(&w.f, "open-ppp") < 2)
			none(&w);
		assert_int_equal(fake_kernel_count(&w.f, "newlink"), 1);
		assert_int_equal(fake_kernel_count(&w.f, "setlink"), i);
		fake_kernel_let_go(&w.f);
		for (int n = 0; n < 2; n++)
			assert_int_equal(next(&w)->result, KERNEL_OK);
	}
	end(&w);
}

/* ---- failures ---- */

static void what_failed_leaves_nothing(void **state)
{
	static const struct {
		const char *step;
		int nth, error;
		enum kernel_result result;
	} cases[] = {
		{ "socket-pppox", 1, -EAFNOSUPPORT, KERNEL_CANNOT },
		{ "socket-pppox", 1, -EMFILE, KERNEL_FAILED },
		{ "connect-pppox", 1, -ENOENT, KERNEL_FAILED },
		{ "gchan", 1, -ENOTCONN, KERNEL_FAILED },
		{ "open-ppp", 1, -ENOENT, KERNEL_CANNOT },
		{ "open-ppp", 2, -EMFILE, KERNEL_FAILED },
		{ "attchan", 1, -ENXIO, KERNEL_FAILED },
		{ "newlink", 1, -EOPNOTSUPP, KERNEL_FAILED },
		{ "gunit", 1, -ENOTTY, KERNEL_FAILED },
		{ "ifindex", 1, -ENODEV, KERNEL_FAILED },
		{ "npmode", 1, -EINVAL, KERNEL_FAILED },
		{ "gunit", 2, -ENOTTY, KERNEL_FAILED },
		{ "connect-unit", 1, -ENXIO, KERNEL_FAILED },
		{ "setlink", 1, -ENOMEM, KERNEL_FAILED },
		{ "newroute", 1, -ENETDOWN, KERNEL_FAILED },
	};
	struct world w;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dp_row r = some_row(1, 7);
		const struct kernel_news *n;
		struct kernel_stats_all all;

		begin(&w, 0);
		tunnel_up(&w, 1);
		fake_kernel_fail(&w.f, cases[i].step, (uint32_t)cases[i].nth, 0, cases[i].error);
		put(&w, 7, 1, &r);
		n = done(&w, KERNEL_OP_PUT, 7, cases[i].result);
		assert_int_equal(n->error, cases[i].error);
		assert_true(strstr(n->text, "could not") == n->text);
		assert_int_equal(fake_kernel_open_count(&w.f, "pppox"), 0);
		assert_int_equal(fake_kernel_open_count(&w.f, "ppp"), 0);
		assert_int_equal(fake_kernel_open_count(&w.f, "chan"), 0);
		assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 0);
		assert_true(none(&w));
		kernel_stats_all(w.k, &all);
		assert_int_equal(all.sessions, 0);
		assert_int_equal(all.busy, 0);

		/* Undone in reverse. */
		for (uint32_t s = 0, last = 0; s < w.f.step_n; s++) {
			uint32_t rank = !strcmp(w.f.steps[s], "close-unit")    ? 1
					: !strcmp(w.f.steps[s], "close-chan")  ? 2
					: !strcmp(w.f.steps[s], "close-pppox") ? 3
									       : 0;

			if (rank) {
				assert_true(rank >= last);
				last = rank;
			}
		}
		/* And it works when tried again. */
		session_up(&w, 7, 1);
		end(&w);
	}
}

static void a_failed_tunnel_leaves_nothing(void **state)
{
	static const struct {
		const char *step;
		int error;
		enum kernel_result result;
	} cases[] = {
		{ "socket-udp", -EMFILE, KERNEL_FAILED },
		{ "socket-udp", -EAFNOSUPPORT, KERNEL_CANNOT },
		{ "bind", -EADDRINUSE, KERNEL_FAILED },
		{ "connect-udp", -ENETUNREACH, KERNEL_FAILED },
		{ "tunnel-create", -EPERM, KERNEL_FAILED },
		{ "tunnel-create", -EBUSY, KERNEL_FAILED },
	};
	struct world w;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kernel_tunnel t = some_tunnel(1);
		struct dp_row r = some_row(1, 7);

		begin(&w, 0);
		fake_kernel_fail(&w.f, cases[i].step, 1, 0, cases[i].error);
		kernel_tunnel_put(w.k, 1, ++w.generation, &t);
		put(&w, 7, 1, &r); /* waits for the tunnel, and ends with it */
		done(&w, KERNEL_OP_TUNNEL_PUT, 1, cases[i].result);
		done(&w, KERNEL_OP_PUT, 7, KERNEL_FAILED);
		assert_int_equal(fake_kernel_open_count(&w.f, "udp"), 0);
		end(&w);
	}
}

/* CVE-2026-80996: the failure of a notification comes back as that of the request. */
static void a_false_failure_is_no_failure(void **state)
{
	struct world w;

	begin(&w, 0);
	fake_kernel_fail(&w.f, "tunnel-create", 1, 0, -ENOBUFS);
	tunnel_up(&w, 1);
	assert_int_equal(fake_kernel_count(&w.f, "tunnel-get"), 1);
	end(&w);
}

/* The same of a session of L2TPv3, of either kind; what speaks of itself is believed. */
static void a_false_failure_of_a_session(void **state)
{
	static const int errors[] = { -ENOBUFS, -ENOMEM, -ENODEV };
	struct kernel_tunnel t = some_tunnel(1);
	struct world w;

	for (size_t i = 0; i < 2 * sizeof(errors) / sizeof(errors[0]); i++) {
		struct dp_row r = some_row(1, 7);
		int error = errors[i / 2];

		begin(&w, 0);
		t.version = r.version = 3;
		kernel_tunnel_put(w.k, 1, ++w.generation, &t);
		done(&w, KERNEL_OP_TUNNEL_PUT, 1, KERNEL_OK);
		if (i % 2) {
			r.ends = DP_L2TP_ETH;
			r.prefix_count = 0;
		}
		fake_kernel_fail(&w.f, "session-create", 1, 0, error);
		put(&w, 7, 1, &r);
		done(&w, KERNEL_OP_PUT, 7, error == -ENODEV ? KERNEL_FAILED : KERNEL_OK);
		assert_int_equal(fake_kernel_count(&w.f, "session-create"), 1);
		assert_int_equal(fake_kernel_count(&w.f, "session-get"), error != -ENODEV);
		if (error != -ENODEV) {
			kernel_del(w.k, 7, ++w.generation);
			done(&w, KERNEL_OP_DEL, 7, KERNEL_OK);
			assert_int_equal(fake_kernel_count(&w.f, "session-delete"), 1);
		}
		end(&w);
	}
}

static void what_passes_is_tried_again(void **state)
{
	struct kernel_tunnel t = some_tunnel(3);
	struct kernel_stats_all all;
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	fake_kernel_fail(&w.f, "newlink", 1, 2, -EBUSY);
	session_up(&w, 7, 1);
	assert_int_equal(fake_kernel_count(&w.f, "newlink"), 4);
	fake_kernel_fail(&w.f, "connect-pppox", 1, 1, -EEXIST);
	session_up(&w, 8, 1);
	kernel_stats_all(w.k, &all);
	assert_int_equal(all.retries, 5);

	/* Not for ever. */
	fake_kernel_fail(&w.f, "tunnel-create", 1, 1000, -EEXIST);
	kernel_tunnel_put(w.k, 3, ++w.generation, &t);
	done(&w, KERNEL_OP_TUNNEL_PUT, 3, KERNEL_ID_TAKEN);
	end(&w);
}

static void a_failed_change_takes_the_session_down(void **state)
{
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	fake_kernel_fail(&w.f, "setlink", 1, 0, -EINVAL);
	r.mtu = 1300;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_FAILED);
	assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 0);
	assert_true(none(&w));

	/* Ids do not change under a session. */
	session_up(&w, 7, 1);
	r = some_row(1, 9);
	put(&w, 7, 1, &r);
	assert_int_equal(done(&w, KERNEL_OP_PUT, 7, KERNEL_FAILED)->error, -EBUSY);
	end(&w);
}

/* ---- order and cancelling ---- */

static void a_deletion_cancels_what_is_on_its_way(void **state)
{
	static const char *const at[] = { "connect-pppox", "gchan", "newlink", "connect-unit" };
	struct dp_row r = some_row(1, 7);
	struct world w;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		begin(&w, 0);
		tunnel_up(&w, 1);
		fake_kernel_gate(&w.f, at[i]);
		put(&w, 7, 1, &r);
		assert_true(none(&w));
		fake_kernel_wait_gate(&w.f);
		kernel_del(w.k, 7, ++w.generation);
		fake_kernel_let_go(&w.f);
		done(&w, KERNEL_OP_PUT, 7, KERNEL_CANCELLED);
		done(&w, KERNEL_OP_DEL, 7, KERNEL_OK);
		assert_int_equal(fake_kernel_open_count(&w.f, "pppox"), 0);
		assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 0);
		end(&w);
	}
}

static void a_put_that_was_overtaken_never_begins(void **state)
{
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	put(&w, 7, 1, &r);
	kernel_del(w.k, 7, ++w.generation);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_CANCELLED);
	done(&w, KERNEL_OP_DEL, 7, KERNEL_OK);
	assert_int_equal(fake_kernel_count(&w.f, "socket-pppox"), 0);
	end(&w);
}

#define KEYS 40

/* Many keys side by side, each in its own order: one completion for each request. */
static void each_key_has_its_order(void **state)
{
	uint32_t asked[KEYS] = { 0 }, told[KEYS] = { 0 }, total = 0;
	uint32_t generations[KEYS][64];
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	srand(7);
	for (int i = 0; i < 1500; i++) {
		uint32_t key = (uint32_t)(rand() % KEYS);

		if (asked[key] < 64) {
			struct dp_row r = some_row(1, (uint16_t)(key + 1));

			r.mtu = (uint16_t)(1300 + rand() % 3);
			generations[key][asked[key]++] = ++w.generation;
			total++;
			if (rand() % 3)
				kernel_put(w.k, key + 1, w.generation, 1, &r);
			else
				kernel_del(w.k, key + 1, w.generation);
		}
		if (rand() % 4)
			continue;
		while (kernel_next(w.k, (struct mono){ w.now }, &w.n)) {
			key = (uint32_t)w.n.key - 1;
			assert_int_equal(w.n.kind, KERNEL_NEWS_DONE);
			assert_int_equal(w.n.generation, generations[key][told[key]++]);
			total--;
		}
	}
	while (total--) {
		uint32_t key = (uint32_t)next(&w)->key - 1;

		assert_int_equal(w.n.kind, KERNEL_NEWS_DONE);
		assert_int_equal(w.n.generation, generations[key][told[key]++]);
		assert_true(w.n.result == KERNEL_OK || w.n.result == KERNEL_CANCELLED);
	}
	assert_true(none(&w));
	end(&w);
}

/* ---- tunnels and their sessions ---- */

static void one_tunnel_for_a_pair_of_addresses(void **state)
{
	struct kernel_tunnel t = some_tunnel(1);
	struct world w;

	begin(&w, 1u << KERNEL_GAP_TUPLE);
	tunnel_up(&w, 1);
	t.local_id = 9;
	kernel_tunnel_put(w.k, 9, ++w.generation, &t);
	assert_non_null(
		strstr(done(&w, KERNEL_OP_TUNNEL_PUT, 9, KERNEL_TUPLE_TAKEN)->text, "user-space"));
	kernel_tunnel_del(w.k, 1, ++w.generation);
	done(&w, KERNEL_OP_TUNNEL_DEL, 1, KERNEL_OK);
	kernel_tunnel_put(w.k, 9, ++w.generation, &t);
	done(&w, KERNEL_OP_TUNNEL_PUT, 9, KERNEL_OK);
	end(&w);
	begin(&w, 0);
	tunnel_up(&w, 1);
	kernel_tunnel_put(w.k, 9, ++w.generation, &t);
	done(&w, KERNEL_OP_TUNNEL_PUT, 9, KERNEL_OK);
	end(&w);
}

/* The peer is at another address: its data goes there, the sessions stay. */
static void a_tunnel_moves_with_its_peer(void **state)
{
	struct kernel_tunnel t = some_tunnel(1), is;
	uint64_t pos = 0, key;
	uint32_t generation;
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	t.path.remote.port = 4500;
	fake_kernel_fail(&w.f, "connect-udp", 1, 0, -ENETUNREACH);
	kernel_tunnel_put(w.k, 1, ++w.generation, &t);
	done(&w, KERNEL_OP_TUNNEL_PUT, 1, KERNEL_FAILED);
	assert_true(kernel_tunnel_list(w.k, &pos, &key, &generation, &is));
	assert_int_equal(is.path.remote.port, 1701);
	fake_kernel_forget(&w.f);
	kernel_tunnel_put(w.k, 1, ++w.generation, &t);
	assert_true(done(&w, KERNEL_OP_TUNNEL_PUT, 1, KERNEL_OK)->fd >= 0);
	STEPS_ARE(&w, "connect-udp");
	pos = 0;
	assert_true(kernel_tunnel_list(w.k, &pos, &key, &generation, &is));
	assert_int_equal(is.path.remote.port, 4500);
	assert_false(kernel_tunnel_list(w.k, &pos, &key, &generation, &is));
	/* Nothing else of it may change. */
	t.mark = 5;
	kernel_tunnel_put(w.k, 1, ++w.generation, &t);
	assert_int_equal(done(&w, KERNEL_OP_TUNNEL_PUT, 1, KERNEL_FAILED)->error, -EBUSY);
	assert_true(none(&w));
	end(&w);
}

static void a_tunnel_takes_its_sessions_with_it(void **state)
{
	uint32_t gone = 0;
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	tunnel_up(&w, 2);
	for (uint64_t key = 10; key < 30; key++)
		session_up(&w, key, 1);
	session_up(&w, 50, 2);
	kernel_tunnel_del(w.k, 1, ++w.generation);
	while (next(&w)->kind == KERNEL_NEWS_GONE) {
		assert_true(w.n.key >= 10 && w.n.key < 30);
		gone++;
	}
	assert_int_equal(w.n.op, KERNEL_OP_TUNNEL_DEL);
	assert_int_equal(gone, 20);
	/* One message for all their interfaces. */
	assert_int_equal(fake_kernel_count(&w.f, "dellink-group"), 1);
	assert_int_equal(fake_kernel_count(&w.f, "tunnel-delete"), 1);
	assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 1);
	end(&w);
}

/* What was counted is told with the deletion, also when the tunnel took the session along. */
static void counters_of_sessions_that_go_with_their_tunnel(void **state)
{
	uint64_t keys[2] = { 10, 11 };
	uint32_t generations[2] = { 1010, 1011 };
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 10, 1);
	session_up(&w, 11, 1);
	session_up(&w, 12, 1);
	kernel_tunnel_del(w.k, 1, ++w.generation);
	assert_int_equal(kernel_del_many(w.k, keys, generations, 2), 0);
	for (int i = 0; i < 4; i++) {
		next(&w);
		if (w.n.key == 1) {
			assert_int_equal(w.n.op, KERNEL_OP_TUNNEL_DEL);
			continue;
		}
		assert_int_equal(w.n.kind, w.n.key == 12 ? KERNEL_NEWS_GONE : KERNEL_NEWS_DONE);
		assert_true(w.n.counters.rx_packets > 0);
		assert_int_equal(w.n.counters.tx_packets, 2 * w.n.counters.rx_packets);
	}
	assert_true(none(&w));
	end(&w);
}

static void deleting_all_sessions_deletes_their_group(void **state)
{
	uint64_t keys[20];
	uint32_t generations[20], routes = 0;
	const char *last = "";
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	for (uint32_t i = 0; i < 20; i++) {
		keys[i] = 10 + i;
		generations[i] = 1000 + i;
		session_up(&w, keys[i], 1);
	}
	/* All but one: then one by one. */
	assert_int_equal(kernel_del_many(w.k, keys, generations, 10), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(next(&w)->result, KERNEL_OK);
	assert_int_equal(fake_kernel_count(&w.f, "dellink-group"), 0);
	assert_int_equal(kernel_del_many(w.k, keys + 10, generations + 10, 10), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(next(&w)->result, KERNEL_OK);
	assert_int_equal(fake_kernel_count(&w.f, "dellink-group"), 1);
	assert_int_equal(fake_kernel_open_count(&w.f, "pppox"), 0);
	/* Their routes went before: the kernel looks for those of each interface in all there are.
	 * And nothing is sent to a subscriber any more when the counters are read. */
	for (uint32_t i = 0; strcmp(w.f.steps[i], "dellink-group") != 0; i++) {
		routes += strcmp(w.f.steps[i], "delroute") == 0;
		last = w.f.steps[i];
	}
	assert_int_equal(routes, 10);
	assert_string_equal(last, "getstats");
	session_up(&w, 99, 1); /* the tunnel is as good as before */
	end(&w);
}

/* The deletion of a group holds the RTNL, and a socket that is closed waits for RCU: neither waits
 * for the other, nor do other sessions for them; groups go one after the other. */
static void a_group_and_its_sockets_go_side_by_side(void **state)
{
	uint32_t gone = 0, ended = 0;
	struct world w;

	begin(&w, 0);
	for (uint32_t t = 1; t <= 3; t++)
		tunnel_up(&w, t);
	for (uint64_t key = 10; key < 30; key++)
		session_up(&w, key, 1 + key % 2);
	fake_kernel_gate(&w.f, "dellink-group");
	kernel_tunnel_del(w.k, 1, ++w.generation);
	kernel_tunnel_del(w.k, 2, ++w.generation);
	assert_true(none(&w));
	fake_kernel_wait_gate(&w.f);
	for (int i = 0; i < 60000 && fake_kernel_open_count(&w.f, "pppox"); i++)
		usleep(1000);
	assert_int_equal(fake_kernel_open_count(&w.f, "pppox"), 0);
	assert_int_equal(fake_kernel_open_count(&w.f, "chan"), 0);
	/* One that is closed before would be deleted by itself. */
	assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 20);
	assert_int_equal(fake_kernel_count(&w.f, "dellink-group"), 1);
	session_up(&w, 50, 3);
	fake_kernel_let_go(&w.f);
	while (gone + ended < 22) {
		next(&w);
		gone += w.n.kind == KERNEL_NEWS_GONE;
		ended += w.n.kind == KERNEL_NEWS_DONE && w.n.op == KERNEL_OP_TUNNEL_DEL;
	}
	assert_int_equal(ended, 2);
	assert_true(none(&w));
	assert_int_equal(fake_kernel_count(&w.f, "dellink-group"), 2);
	assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 1);
	end(&w);
}

/* What the kernel does not delete as a group goes all the same. */
static void a_group_that_cannot_be_deleted_is_closed(void **state)
{
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	for (uint64_t key = 10; key < 20; key++)
		session_up(&w, key, 1);
	fake_kernel_fail(&w.f, "dellink-group", 1, 0, -EOPNOTSUPP);
	kernel_tunnel_del(w.k, 1, ++w.generation);
	for (int i = 0; i < 10; i++)
		assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	done(&w, KERNEL_OP_TUNNEL_DEL, 1, KERNEL_OK);
	assert_int_equal(fake_kernel_open_count(&w.f, "unit"), 0);
	end(&w);
}

static void everything_is_dropped(void **state)
{
	struct kernel_stats_all all;
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	tunnel_up(&w, 2);
	for (uint64_t key = 10; key < 20; key++)
		session_up(&w, key, 1 + key % 2);
	assert_int_equal(kernel_drop_all(w.k, 77), 0);
	done(&w, KERNEL_OP_DROP_ALL, 0, KERNEL_OK);
	kernel_stats_all(w.k, &all);
	assert_int_equal(all.sessions + all.tunnels + all.descriptors, 0);
	assert_int_equal(fake_kernel_count(&w.f, "tunnel-delete"), 2);
	tunnel_up(&w, 1);
	end(&w);
}

static void two_pipes_are_joined(void **state)
{
	struct dp_row a = some_row(1, 7), b = some_row(1, 8);
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	a.ends = b.ends = DP_L2TP_L2TP;
	a.partner = 8;
	b.partner = 7;
	a.prefix_count = b.prefix_count = 0;
	put(&w, 7, 1, &a);
	put(&w, 8, 1, &b);
	done(&w, KERNEL_OP_PUT, next(&w)->key == 7 ? 8 : 7, KERNEL_OK);
	assert_true(none(&w));
	assert_int_equal(fake_kernel_count(&w.f, "bridge"), 1);
	assert_int_equal(fake_kernel_count(&w.f, "gchan"), 2);
	assert_int_equal(fake_kernel_open_count(&w.f, "pppox"), 2);
	assert_int_equal(fake_kernel_open_count(&w.f, "chan"), 0);
	assert_int_equal(kernel_send(w.k, 7, (const uint8_t *)"\xc0\x21\x02", 3), 1);
	/* One ends: the other has nobody to talk to. */
	kernel_del(w.k, 7, ++w.generation);
	done(&w, KERNEL_OP_DEL, 7, KERNEL_OK);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	assert_int_equal(w.n.key, 8);
	end(&w);
}

/* Who sends numbers and gets none is dropped by the kernel, or numbers no more. */
static void numbers_one_way_are_not_the_kernels(void **state)
{
	struct kernel_probe p = { 0 };
	struct dp_row r = some_row(1, 7);
	char text[KERNEL_TEXT] = "";

	(void)state;
	r.flags |= DP_F_SEND_SEQ;
	assert_int_equal(kernel_can_row(&p, &r, text), 0); /* L2TPv2: the LNS decides for both */
	r.version = 3;
	assert_int_equal(kernel_can_row(&p, &r, text), 1);
	assert_non_null(strstr(text, "numbers"));
	r.flags |= DP_F_REQUIRE_SEQ;
	assert_int_equal(kernel_can_row(&p, &r, text), 0);
	r.flags &= (uint16_t)~DP_F_SEND_SEQ;
	assert_int_equal(kernel_can_row(&p, &r, text), 0);
	r.ends = DP_L2TP_ETH;
	assert_int_equal(kernel_can_row(&p, &r, text), 0);
	r.flags ^= DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ;
	assert_int_equal(kernel_can_row(&p, &r, text), 1);
}

static void an_ethernet_session_is_named_by_us(void **state)
{
	struct kernel_tunnel t = some_tunnel(1);
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 0);
	t.version = 3;
	t.managed = false;
	kernel_tunnel_put(w.k, 1, ++w.generation, &t);
	assert_int_equal(done(&w, KERNEL_OP_TUNNEL_PUT, 1, KERNEL_OK)->fd, -1);
	fake_kernel_forget(&w.f);
	r.ends = DP_L2TP_ETH;
	r.version = 3;
	r.prefix_count = 0;
	r.state = DP_PREPARED;
	put(&w, 7, 1, &r);
	assert_string_equal(done(&w, KERNEL_OP_PUT, 7, KERNEL_OK)->ifname, "l2tpeth0");
	STEPS_ARE(&w, "session-create", "ifindex", "setlink");
	fake_kernel_forget(&w.f);
	kernel_del(w.k, 7, ++w.generation);
	done(&w, KERNEL_OP_DEL, 7, KERNEL_OK);
	STEPS_ARE(&w, "getstats", "session-delete");
	/* The interface could not be set up: the session goes again. */
	fake_kernel_fail(&w.f, "setlink", 1, 0, -EINVAL);
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_FAILED);
	assert_int_equal(fake_kernel_count(&w.f, "session-delete"), 2);
	/* One whose frames have a tag gets what tags them before it is up. */
	fake_kernel_forget(&w.f);
	r.tag = 7;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	STEPS_ARE(&w, "session-create", "ifindex", "newqdisc", "newtfilter", "newtfilter",
		  "setlink");
	fake_kernel_forget(&w.f);
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	assert_int_equal(fake_kernel_count(&w.f, "newqdisc"), 0);
	r.tag = 8;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_FAILED);
	kernel_del(w.k, 7, ++w.generation);
	done(&w, KERNEL_OP_DEL, 7, KERNEL_OK);
	/* A kernel that cannot: another plane has to. */
	fake_kernel_fail(&w.f, "newtfilter", 1, 0, -ENOENT);
	put(&w, 7, 1, &r);
	assert_non_null(strstr(done(&w, KERNEL_OP_PUT, 7, KERNEL_CANNOT)->text,
			       "modprobe sch_ingress cls_matchall act_vlan"));
	assert_int_equal(fake_kernel_count(&w.f, "session-delete"), 2);
	end(&w);
}

/* ---- frames, and what others delete ---- */

static void frames_go_the_right_way(void **state)
{
	uint8_t buf[16];
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	assert_int_equal(kernel_send(w.k, 7, (const uint8_t *)"\xc0\x21\x09\1", 4), 0);
	assert_int_equal(read(fake_kernel_far(&w.f, "chan", 0), buf, sizeof(buf)), 4);
	assert_int_equal(kernel_send(w.k, 7, (const uint8_t *)"\x80\x57\x01\1", 4), 0);
	assert_int_equal(read(fake_kernel_far(&w.f, "unit", 0), buf, sizeof(buf)), 4);
	assert_int_equal(kernel_send(w.k, 8, (const uint8_t *)"\xc0\x21\x09\1", 4), 1);
	assert_int_equal(write(fake_kernel_far(&w.f, "unit", 0), "\x80\x57\x02", 3), 3);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_FRAME);
	assert_int_equal(w.n.key, 7);
	assert_int_equal(w.n.len, 3);
	end(&w);
}

static void frames_that_wait_come_before_the_completion(void **state)
{
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	fake_kernel_gate(&w.f, "connect-pppox");
	put(&w, 7, 1, &r);
	assert_true(none(&w));
	fake_kernel_wait_gate(&w.f);
	assert_int_equal(write(fake_kernel_far(&w.f, "pppox", 0), "\x80\x21\x01", 3), 3);
	assert_int_equal(write(fake_kernel_far(&w.f, "pppox", 0), "\x80\x21\x02", 3), 3);
	fake_kernel_let_go(&w.f);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_FRAME);
	assert_int_equal(w.n.bytes[2], 1);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_FRAME);
	assert_int_equal(w.n.bytes[2], 2);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	end(&w);
}

static void a_flood_is_cut(void **state)
{
	struct kernel_stats_all all;
	uint32_t frames = 0;
	struct world w;
	int far;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	far = fake_kernel_far(&w.f, "chan", 0);
	for (int i = 0; i < 60; i++)
		assert_int_equal(write(far, "\xc0\x21\x09", 3), 3);
	while (kernel_next(w.k, (struct mono){ w.now }, &w.n))
		frames++;
	assert_int_equal(frames, 10); /* a second's worth at once */
	kernel_stats_all(w.k, &all);
	assert_int_equal(all.frames_dropped, 1); /* the rest was not even read */
	w.now += US_S;
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_FRAME); /* listened to again */
	end(&w);
}

static void a_vanished_interface_is_told_once(void **state)
{
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	shutdown(fake_kernel_far(&w.f, "unit", 0), SHUT_RDWR); /* EPOLLHUP */
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	assert_non_null(strstr(w.n.text, "another program"));
	assert_int_equal(fake_kernel_open_count(&w.f, "pppox"), 0);
	assert_true(none(&w));
	end(&w);
}

static void hints_are_verified(void **state)
{
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	fake_kernel_notify(&w.f, 1, 7); /* not true */
	fake_kernel_notify(&w.f, 1, 0);
	assert_true(none(&w));
	assert_true(fake_kernel_count(&w.f, "session-get") >= 1);
	assert_true(fake_kernel_count(&w.f, "tunnel-get") >= 1);

	fake_kernel_fail(&w.f, "session-get", 1, 0, -ENODEV);
	fake_kernel_notify(&w.f, 1, 7);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	assert_int_equal(w.n.key, 7);

	session_up(&w, 8, 1);
	fake_kernel_fail(&w.f, "tunnel-get", 1, 0, -ENODEV);
	fake_kernel_notify(&w.f, 1, 0);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	assert_int_equal(w.n.key, 8);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_TUNNEL_GONE);
	assert_int_equal(w.n.key, 1);
	assert_true(none(&w));
	end(&w);
}

/* The kernel tells of a deletion before it carries it out: the plane looks again later. */
static void a_deletion_may_take_its_time(void **state)
{
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	fake_kernel_fail(&w.f, "session-get", 3, 9, -ENODEV);
	fake_kernel_notify(&w.f, 1, 7);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	assert_int_equal(w.n.key, 7);
	fake_kernel_fail(&w.f, "tunnel-get", 3, 9, -ENODEV);
	fake_kernel_notify(&w.f, 1, 0);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_TUNNEL_GONE);
	end(&w);
}

/* Told while the kernel is being asked: the answer on its way may be older than the deletion. */
static void what_is_told_during_a_look_is_looked_at(void **state)
{
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	fake_kernel_gate(&w.f, "session-get");
	fake_kernel_fail(&w.f, "session-get", 2, 9, -ENODEV);
	fake_kernel_notify(&w.f, 1, 7);
	while (!fake_kernel_at_gate(&w.f))
		assert_true(none(&w));
	for (int i = 0; i < 150; i++) /* until nothing is left of what the first one began */
		assert_true(none(&w));
	fake_kernel_notify(&w.f, 1, 7);
	assert_true(none(&w));
	fake_kernel_let_go(&w.f);
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	assert_int_equal(w.n.key, 7);
	end(&w);
}

/* What is deleted between ENOBUFS and the end of what was queued is told by nobody. */
static void all_is_looked_at_when_hints_were_lost(void **state)
{
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	session_up(&w, 7, 1);
	fake_kernel_notify(&w.f, 1, 9);
	fake_kernel_notify(&w.f, 2, 9);
	w.f.deaf_step = "session-get";
	w.f.overrun = true;
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_GONE);
	assert_int_equal(w.n.key, 7);
	assert_true(none(&w));
	end(&w);
}

/* Two users whose names come out alike; a dialled session has the name of the configuration. */
static void a_name_that_is_taken_gets_a_number(void **state)
{
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	strcpy(r.ifname, "ppp-someone-on");
	fake_kernel_fail(&w.f, "newlink", 1, 0, -EEXIST);
	put(&w, 7, 1, &r);
	assert_string_equal(done(&w, KERNEL_OP_PUT, 7, KERNEL_OK)->ifname, "ppp-someo-0");
	r = some_row(1, 8);
	strcpy(r.ifname, "vpn0");
	r.flags |= DP_F_CLIENT;
	fake_kernel_fail(&w.f, "newlink", 1, 0, -EEXIST);
	put(&w, 8, 1, &r);
	assert_non_null(strstr(done(&w, KERNEL_OP_PUT, 8, KERNEL_FAILED)->text, "vpn0"));
	end(&w);
}

/* The kernel sends in clear from the first Configure-Request on, also of one it has invented. */
static void ccp_of_an_encrypted_session_shuts_it(void **state)
{
	static const uint8_t request[] = { 0x80, 0xfd, 1, 1, 0, 4 },
			     reset[] = { 0x80, 0xfd, 14, 1, 0, 4 };
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 0);
	tunnel_up(&w, 1);
	memcpy(r.mppe_options, "\x01\0\0\x40", 4);
	r.flags |= DP_F_MPPE;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	fake_kernel_forget(&w.f);
	assert_int_equal(write(fake_kernel_far(&w.f, "unit", 0), reset, sizeof(reset)),
			 sizeof(reset));
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_FRAME);
	assert_int_equal(w.f.step_n, 0);
	assert_int_equal(write(fake_kernel_far(&w.f, "unit", 0), request, sizeof(request)),
			 sizeof(request));
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_FRAME);
	STEPS_ARE(&w, "npmode", "npmode");

	/* The row opens it again, also when it is the same as before. */
	fake_kernel_forget(&w.f);
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	assert_int_equal(fake_kernel_count(&w.f, "npmode"), 1);

	/* What nothing follows ends the session, not at once. */
	assert_int_equal(write(fake_kernel_far(&w.f, "unit", 0), request, sizeof(request)),
			 sizeof(request));
	assert_int_equal(next(&w)->kind, KERNEL_NEWS_FRAME);
	fake_kernel_fail(&w.f, "getstats", 1, 9, -EIO); /* there are no figures of it here */
	kernel_stats_read(w.k, 1);
	assert_int_equal(next(&w)->op, KERNEL_OP_STATS);
	assert_true(none(&w));
	w.now += 61 * US_S;
	kernel_stats_read(w.k, 2);
	while (next(&w)->kind != KERNEL_NEWS_GONE)
		assert_int_equal(w.n.op, KERNEL_OP_STATS);
	assert_non_null(strstr(w.n.text, "CCP"));
	end(&w);
}

static void rows_the_kernel_cannot_carry_are_refused(void **state)
{
	struct dp_row r = some_row(1, 7);
	struct world w;

	begin(&w, 1u << KERNEL_GAP_MPPE | 1u << KERNEL_GAP_BRIDGE);
	tunnel_up(&w, 1);
	r.flags |= DP_F_MPPE;
	put(&w, 7, 1, &r);
	assert_non_null(strstr(done(&w, KERNEL_OP_PUT, 7, KERNEL_CANNOT)->text, "ppp_mppe"));
	r = some_row(1, 7);
	r.ends = DP_L2TP_L2TP;
	r.partner = 8;
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_CANNOT);
	r = some_row(5, 7); /* not this tunnel's id */
	put(&w, 7, 1, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_FAILED);
	put(&w, 7, 44, &r);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_FAILED);
	end(&w);
}

static void requests_survive_a_lack_of_memory(void **state)
{
	struct kernel_tunnel t = some_tunnel(2);
	struct dp_row r = some_row(1, 7);
	struct world w;
	long n;

	begin(&w, 0);
	tunnel_up(&w, 1);
	for (n = 1;; n++) {
		int err;

		failmalloc_arm(n);
		err = kernel_put(w.k, 7, ++w.generation, 1, &r);
		if (!failmalloc_disarm())
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_true(n > 1);
	done(&w, KERNEL_OP_PUT, 7, KERNEL_OK);
	for (n = 1;; n++) {
		int err;

		failmalloc_arm(n);
		err = kernel_tunnel_put(w.k, 2, ++w.generation, &t);
		if (!failmalloc_disarm())
			break;
		assert_int_equal(err, -ENOMEM);
	}
	done(&w, KERNEL_OP_TUNNEL_PUT, 2, KERNEL_OK);
	end(&w);
}

/* The plane ends while requests wait and jobs are on their way: nothing leaks (ASan looks). */
static void ending_in_the_middle_leaks_nothing(void **state)
{
	struct world w;

	for (int round = 0; round < 20; round++) {
		begin(&w, 0);
		tunnel_up(&w, 1);
		for (uint64_t key = 10; key < 60; key++) {
			struct dp_row r = some_row(1, (uint16_t)key);

			put(&w, key, 1, &r);
		}
		for (int i = 0; i < round; i++)
			kernel_next(w.k, (struct mono){ w.now }, &w.n);
		kernel_stats_read(w.k, 1);
		if (round % 3 == 0)
			kernel_drop_all(w.k, 1);
		if (round % 3 == 1)
			kernel_tunnel_del(w.k, 1, 1);
		if (round % 2)
			kernel_next(w.k, (struct mono){ w.now }, &w.n);
		end(&w);
	}
}

/* ---- probing ---- */

static void the_probe_finds_each_gap(void **state)
{
	/* The gap of a kernel on which this step fails. */
	static const struct {
		const char *step;
		uint32_t nth;
		int error;
		enum kernel_gap gap;
	} cases[] = {
		{ "family", 1, -ENOENT, KERNEL_GAP_GENL },
		{ "tunnel-get", 1, -EPERM, KERNEL_GAP_NET_ADMIN },
		{ "socket-udp", 1, -EAFNOSUPPORT, KERNEL_GAP_UDP6 },
		{ "socket-udp", 2, -EPROTONOSUPPORT, KERNEL_GAP_IP4 },
		{ "socket-udp", 3, -EPROTONOSUPPORT, KERNEL_GAP_IP6 },
		{ "socket-pppox", 1, -EPROTONOSUPPORT, KERNEL_GAP_PPPOL2TP },
		{ "open-ppp", 1, -ENOENT, KERNEL_GAP_PPP_NODE },
		{ "open-ppp", 1, -EPERM, KERNEL_GAP_PPP_NODE },
		{ "open-ppp", 1, -ENXIO, KERNEL_GAP_PPP },
		{ "newunit", 1, -ENOTTY, KERNEL_GAP_PPP },
		{ "compress", 1, -EINVAL, KERNEL_GAP_MPPE },
		{ "session-create", 1, -EPROTONOSUPPORT, KERNEL_GAP_ETH },
		{ "bridge", 1, -ENOTTY, KERNEL_GAP_BRIDGE },
		{ "tunnel-create", 1, -EINVAL, KERNEL_GAP_NAMESPACE },
	};
	struct kernel_probe p, whole;
	struct fake_kernel f;

	fake_kernel_init(&f);
	assert_int_equal(kernel_probe(&f.sys, &whole), 0);
	assert_int_equal(whole.gaps & ~(1u << KERNEL_GAP_TUPLE), 0);
	/* What was made on the way is gone. */
	assert_int_equal(fake_kernel_count(&f, "tunnel-create"),
			 fake_kernel_count(&f, "tunnel-delete"));
	assert_int_equal(fake_kernel_count(&f, "session-create"),
			 fake_kernel_count(&f, "session-delete"));
	fake_kernel_end(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_kernel_init(&f);
		fake_kernel_fail(&f, cases[i].step, cases[i].nth, 0, cases[i].error);
		assert_int_equal(kernel_probe(&f.sys, &p), 0);
		if (!KERNEL_HAS_GAP(&p, cases[i].gap))
			fail_msg("%s: gaps %x", cases[i].step, p.gaps);
		fake_kernel_end(&f);
	}
}

/* ---- words and values ---- */

static void every_error_has_a_sentence(void **state)
{
	char text[KERNEL_TEXT];

	for (int step = 0; step <= KERNEL_STEP_MEMORY; step++) {
		for (int err = 1; err < 134; err++) {
			memset(text, 0x7f, sizeof(text));
			kernel_error_text((enum kernel_step)step, -err, "bridge0", text);
			assert_non_null(memchr(text, 0, sizeof(text)));
			assert_true(strncmp(text, "could not ", 10) == 0);
			assert_null(strchr(text, '%'));
			assert_true(strlen(text) < sizeof(text) - 1); /* not cut */
		}
	}
	kernel_error_text(KERNEL_STEP_MASTER, -ENODEV, "bridge0", text);
	assert_string_equal(text, "could not put the interface into its bridge or VRF: there is no "
				  "bridge or VRF bridge0; create it or correct the configuration");
	for (int gap = 0; gap < KERNEL_GAP_COUNT; gap++) {
		assert_true(kernel_gap_text((enum kernel_gap)gap)[0]);
		assert_true(kernel_gap_remedy((enum kernel_gap)gap)[0]);
		assert_true(kernel_gap_name((enum kernel_gap)gap)[0]);
	}
}

static void tunnels_out_of_range_are_not_ok(void **state)
{
	const struct kernel_tunnel good = some_tunnel(7);

#define BAD(change)                                          \
	do {                                                 \
		struct kernel_tunnel t = good;               \
		change;                                      \
		assert_false(kernel_tunnel_ok(&t));          \
		assert_false(kernel_tunnel_same(&t, &good)); \
	} while (0)
	assert_true(kernel_tunnel_ok(&good));
	BAD(t.version = 1);
	BAD(t.version = 4);
	BAD(t.managed = false);
	BAD(t.encap = DP_ENCAP_IP);
	BAD((t.version = 3, t.encap = 2));
	BAD(t.local_id = 0);
	BAD(t.remote_id = 0);
	BAD(t.local_id = 65536);
	BAD(t.path.remote.port = 0);
	BAD(t.path.local.family = AF_INET6);
	BAD(t.path.remote.family = 0);
	BAD(memset(t.path.remote.ip, 0, 16));
	BAD(strcpy(t.device, "a/b"));
	BAD(memset(t.device, 'a', sizeof(t.device)));
	BAD((t.version = 3, t.managed = false, t.path.local.port = 0));
	BAD((t.version = 3, t.encap = DP_ENCAP_IP)); /* with ports */
#undef BAD
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tunnel_takes_no_packet_of_others),
		cmocka_unit_test(attaching_goes_step_by_step),
		cmocka_unit_test(a_pipe_becomes_a_unit_later),
		cmocka_unit_test(a_far_circuit_that_is_down_takes_no_route),
		cmocka_unit_test(an_interface_has_no_queue_unless_asked),
		cmocka_unit_test(interfaces_are_made_one_after_the_other),
		cmocka_unit_test(what_failed_leaves_nothing),
		cmocka_unit_test(a_failed_tunnel_leaves_nothing),
		cmocka_unit_test(a_false_failure_is_no_failure),
		cmocka_unit_test(a_false_failure_of_a_session),
		cmocka_unit_test(what_passes_is_tried_again),
		cmocka_unit_test(a_failed_change_takes_the_session_down),
		cmocka_unit_test(a_deletion_cancels_what_is_on_its_way),
		cmocka_unit_test(a_put_that_was_overtaken_never_begins),
		cmocka_unit_test(each_key_has_its_order),
		cmocka_unit_test(one_tunnel_for_a_pair_of_addresses),
		cmocka_unit_test(a_tunnel_moves_with_its_peer),
		cmocka_unit_test(a_tunnel_takes_its_sessions_with_it),
		cmocka_unit_test(counters_of_sessions_that_go_with_their_tunnel),
		cmocka_unit_test(deleting_all_sessions_deletes_their_group),
		cmocka_unit_test(numbers_that_are_used_are_not_used_again),
		cmocka_unit_test(a_group_and_its_sockets_go_side_by_side),
		cmocka_unit_test(a_group_that_cannot_be_deleted_is_closed),
		cmocka_unit_test(everything_is_dropped),
		cmocka_unit_test(two_pipes_are_joined),
		cmocka_unit_test(numbers_one_way_are_not_the_kernels),
		cmocka_unit_test(an_ethernet_session_is_named_by_us),
		cmocka_unit_test(frames_go_the_right_way),
		cmocka_unit_test(frames_that_wait_come_before_the_completion),
		cmocka_unit_test(a_flood_is_cut),
		cmocka_unit_test(a_vanished_interface_is_told_once),
		cmocka_unit_test(hints_are_verified),
		cmocka_unit_test(a_deletion_may_take_its_time),
		cmocka_unit_test(what_is_told_during_a_look_is_looked_at),
		cmocka_unit_test(all_is_looked_at_when_hints_were_lost),
		cmocka_unit_test(a_name_that_is_taken_gets_a_number),
		cmocka_unit_test(ccp_of_an_encrypted_session_shuts_it),
		cmocka_unit_test(rows_the_kernel_cannot_carry_are_refused),
		cmocka_unit_test(requests_survive_a_lack_of_memory),
		cmocka_unit_test(ending_in_the_middle_leaks_nothing),
		cmocka_unit_test(the_probe_finds_each_gap),
		cmocka_unit_test(every_error_has_a_sentence),
		cmocka_unit_test(tunnels_out_of_range_are_not_ok),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
