/* SPDX-License-Identifier: MIT
 *
 * Static pseudowires of the keeper, many of them, over a kernel played by the test
 * (../dp/fake_kernel.h): all come up, a new configuration changes what it says and nothing else,
 * what others remove comes back, and all of them are found again after an upgrade.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../dp/fake_kernel.h"
#include "base/wire.h"
#include "keeper/wires.h"

#define MANY 300
#define LINE 256

struct world {
	struct fake_kernel f;
	struct kernel *k;
	struct conf *c;
	struct wires *w;
	struct mono now;
	uint32_t told; /* changes */
	char last[64]; /* whose */
};

static void on_say(void *arg, enum trace_level level, const char *text)
{
}

static void on_changed(void *arg, const char *name)
{
	struct world *w = arg;

	w->told++;
	snprintf(w->last, sizeof(w->last), "%s", name);
}

/* A configuration of `n` pseudowires, `share` of them to a tunnel; number `other` has the ids of
 * before and another peer. */
static struct conf *conf_shared(uint32_t n, uint32_t share, uint32_t other)
{
	char *text = malloc((size_t)n * LINE + 1), err[CONF_ERR_MAX] = "";
	size_t len = 0;
	struct conf *c;

	assert_non_null(text);
	text[0] = '\0';
	for (uint32_t i = 0; i < n; i++)
		len += (size_t)snprintf(
			text + len, LINE,
			"pseudowire s%u { local = 192.0.2.1 remote = 192.0.2.%u local-port = %u "
			"remote-port = 5000 tunnel-id = %u peer-tunnel-id = 1 session-id = %u "
			"peer-session-id = 1 interface = e%u mtu = 1400 data-plane = kernel }\n",
			i, i / share == other ? 3 : 2, 5000 + i / share, 100 + i / share, 100 + i,
			i);
	c = conf_parse(text, "t", CONF_NO_FILES, err, sizeof(err));
	assert_string_equal(err, "");
	assert_int_equal(c->wire_count, n);
	free(text);
	return c;
}

static struct conf *conf_of(uint32_t n, uint32_t other)
{
	return conf_shared(n, 1, other);
}

static void conf_now(struct world *w, struct conf *c)
{
	wires_conf(w->w, w->k, c, "", w->now);
	conf_free(w->c);
	w->c = c;
}

static struct wires *wires_of(struct world *w)
{
	struct wires *all = wires_new(&(struct wires_config){ on_say, on_changed, w });

	assert_non_null(all);
	return all;
}

static struct world *begin(uint32_t n)
{
	struct world *w = calloc(1, sizeof(*w));
	struct kernel_config config = { 0 };

	assert_non_null(w);
	w->now.us = US_S;
	fake_kernel_init(&w->f);
	config.sys = &w->f.sys;
	w->k = kernel_new(&config);
	assert_non_null(w->k);
	w->w = wires_of(w);
	conf_now(w, conf_of(n, UINT32_MAX));
	return w;
}

static void end(struct world *w)
{
	wires_free(w->w);
	kernel_free(w->k);
	fake_kernel_end(&w->f);
	conf_free(w->c);
	free(w);
}

static uint32_t up(const struct world *w)
{
	const void *pos = NULL;
	struct wire_state s;
	uint32_t n = 0;

	while (wires_next(w->w, &pos, &s))
		n += s.ok;
	return n;
}

/* News until so many are there, all of them up, and nothing is on its way; two minutes at most. */
static void until(struct world *w, uint32_t n)
{
	struct pollfd p = { kernel_fd(w->k), POLLIN, 0 };
	struct kernel_stats_all busy;
	struct kernel_news news;

	for (int i = 0; i < 12000; i++) {
		while (kernel_next(w->k, w->now, &news))
			assert_true(wires_news(w->w, &news, w->now));
		kernel_stats_all(w->k, &busy);
		if (!busy.busy && wires_count(w->w) == n && up(w) == n)
			return;
		poll(&p, 1, 10);
	}
	fail_msg("%zu pseudowires, %u up, not %u", wires_count(w->w), up(w), n);
}

static struct wire_state state(const struct world *w, const char *name)
{
	struct wire_state s;

	assert_true(wires_find(w->w, name, &s));
	assert_string_equal(s.name, name);
	return s;
}

static void all_come_up(void **state_)
{
	struct world *w = begin(MANY);
	struct wire_state s;

	until(w, MANY);
	assert_int_equal(w->told, MANY);
	assert_int_equal(fake_kernel_count(&w->f, "session-create"), MANY);
	assert_string_equal(state(w, "s0").ifname, "e0");
	assert_string_equal(state(w, "s299").ifname, "e299");
	assert_false(wires_find(w->w, "s300", &s));
	assert_int_equal(wires_deadline(w->w).us, MONO_NEVER.us);
	end(w);
}

static void a_new_configuration_changes_what_it_says(void **state_)
{
	struct world *w = begin(MANY);
	uint64_t was;

	until(w, MANY);
	was = state(w, "s1").key;
	/* the same once more */
	fake_kernel_forget(&w->f);
	conf_now(w, conf_of(MANY, UINT32_MAX));
	until(w, MANY);
	assert_int_equal(fake_kernel_count(&w->f, "session-create"), 0);
	/* one is another, with the ids and the interface of the former: that goes first */
	conf_now(w, conf_of(MANY, 7));
	assert_int_equal(fake_kernel_count(&w->f, "session-create"), 0);
	until(w, MANY);
	assert_int_equal(fake_kernel_count(&w->f, "session-create"), 1);
	assert_int_equal(fake_kernel_count(&w->f, "session-delete"), 1);
	/* a third of them are no longer there, and one is as it was at first */
	conf_now(w, conf_of(200, UINT32_MAX));
	until(w, 200);
	assert_int_equal(fake_kernel_count(&w->f, "session-create"), 2);
	assert_int_equal(fake_kernel_count(&w->f, "session-delete"), 102);
	assert_int_equal(state(w, "s1").key, was);
	/* there and back again before the first step is done */
	conf_now(w, conf_of(200, 9));
	conf_now(w, conf_of(200, UINT32_MAX));
	until(w, 200);
	assert_true(state(w, "s9").ok);
	conf_now(w, conf_of(0, 0));
	until(w, 0);
	end(w);
}

/* What fails is tried again when its time has come, the others are not touched. */
static void what_failed_is_tried_again(void **state_)
{
	struct pollfd p = { -1, POLLIN, 0 };
	struct kernel_news news;
	struct world *w;

	w = begin(0);
	fake_kernel_fail(&w->f, "session-create", 3, 0, -EINVAL);
	conf_now(w, conf_of(5, UINT32_MAX));
	p.fd = kernel_fd(w->k);
	for (int i = 0; i < 12000 && (up(w) != 4 || w->told != 5); i++) {
		while (kernel_next(w->k, w->now, &news))
			wires_news(w->w, &news, w->now);
		poll(&p, 1, 10);
	}
	assert_int_equal(up(w), 4);
	assert_int_equal(w->told, 5);
	assert_int_equal(wires_deadline(w->w).us, w->now.us + 5 * US_S);
	wires_expire(w->w, w->now);
	assert_int_equal(up(w), 4);
	w->now.us += 5 * US_S;
	wires_expire(w->w, w->now);
	assert_int_equal(wires_deadline(w->w).us, MONO_NEVER.us);
	until(w, 5);
	end(w);
}

/* An upgrade of the keeper: the next one has what the former tells it. */
static void upgrade(struct world *w)
{
	struct carry c = { 0 };
	struct wires *next;
	struct rcur all, v;
	uint16_t tag;

	wires_carry(w->w, &c);
	assert_false(c.bad);
	next = wires_of(w);
	all = rcur_of(c.buf, c.len);
	while (rcur_tlv(&all, &tag, &v))
		assert_int_equal(wires_carried(next, tag, v), 0);
	carry_free(&c);
	wires_free(w->w);
	w->w = next;
}

static void the_next_keeper_finds_them(void **state_)
{
	struct world *w = begin(MANY);
	uint64_t was;

	until(w, MANY);
	was = state(w, "s250").key;
	upgrade(w);
	assert_int_equal(wires_count(w->w), MANY);
	fake_kernel_forget(&w->f);
	conf_now(w, conf_of(MANY, UINT32_MAX));
	until(w, MANY);
	assert_int_equal(fake_kernel_count(&w->f, "session-create"), 0);
	assert_int_equal(state(w, "s250").key, was);
	end(w);
}

/* How many tunnels and sessions were made and deleted since this was asked last. */
static void made(struct world *w, uint32_t tunnels, uint32_t sessions, uint32_t tunnels_gone,
		 uint32_t sessions_gone)
{
	assert_int_equal(fake_kernel_count(&w->f, "tunnel-create"), tunnels);
	assert_int_equal(fake_kernel_count(&w->f, "session-create"), sessions);
	assert_int_equal(fake_kernel_count(&w->f, "tunnel-delete"), tunnels_gone);
	assert_int_equal(fake_kernel_count(&w->f, "session-delete"), sessions_gone);
	fake_kernel_forget(&w->f);
}

/* Those with the same tunnel ids share a tunnel, which is there as long as one of them is. */
static void some_share_a_tunnel(void **state_)
{
	struct world *w = begin(0);

	fake_kernel_forget(&w->f);
	conf_now(w, conf_shared(6, 3, UINT32_MAX));
	until(w, 6);
	made(w, 2, 6, 0, 0);
	for (int upgraded = 0; upgraded < 2; upgraded++) {
		/* some go and come back, the others stay */
		conf_now(w, conf_shared(4, 3, UINT32_MAX));
		until(w, 4);
		made(w, 0, 0, 0, 2);
		conf_now(w, conf_shared(6, 3, UINT32_MAX));
		until(w, 6);
		made(w, 0, 2, 0, 0);
		/* a tunnel goes with the last one, and comes back */
		conf_now(w, conf_shared(3, 3, UINT32_MAX));
		until(w, 3);
		assert_int_equal(fake_kernel_count(&w->f, "tunnel-delete"), 1);
		fake_kernel_forget(&w->f);
		conf_now(w, conf_shared(6, 3, UINT32_MAX));
		until(w, 6);
		made(w, 1, 3, 0, 0);
		/* all of a tunnel move to another peer, with the ids of before */
		conf_now(w, conf_shared(6, 3, 1));
		until(w, 6);
		assert_int_equal(fake_kernel_count(&w->f, "tunnel-delete"), 1);
		assert_int_equal(fake_kernel_count(&w->f, "tunnel-create"), 1);
		assert_int_equal(fake_kernel_count(&w->f, "session-create"), 3);
		/* there and back before the first step is done */
		conf_now(w, conf_shared(6, 3, UINT32_MAX));
		conf_now(w, conf_shared(6, 3, 1));
		conf_now(w, conf_shared(6, 3, UINT32_MAX));
		until(w, 6);
		fake_kernel_forget(&w->f);
		if (upgraded)
			continue;
		upgrade(w);
		conf_now(w, conf_shared(6, 3, UINT32_MAX));
		until(w, 6);
		made(w, 0, 0, 0, 0);
	}
	end(w);
}

/* A tunnel that fails takes those along that were to be in it; all come up together later. */
static void a_shared_tunnel_fails(void **state_)
{
	struct pollfd p = { -1, POLLIN, 0 };
	struct kernel_news news;
	struct world *w;

	w = begin(0);
	fake_kernel_fail(&w->f, "tunnel-create", 1, 0, -EINVAL);
	conf_now(w, conf_shared(6, 3, UINT32_MAX));
	p.fd = kernel_fd(w->k);
	for (int i = 0; i < 12000 && (up(w) != 3 || w->told != 6); i++) {
		while (kernel_next(w->k, w->now, &news))
			wires_news(w->w, &news, w->now);
		poll(&p, 1, 10);
	}
	assert_int_equal(up(w), 3);
	assert_int_equal(w->told, 6);
	w->now.us += 5 * US_S;
	wires_expire(w->w, w->now);
	until(w, 6);
	end(w);
}

static void counters_are_told_when_they_move(void **state_)
{
	struct dp_counters n = { .rx_packets = 5 };
	struct world *w = begin(2);

	until(w, 2);
	assert_true(wires_counted(w->w, state(w, "s0").key, &n));
	assert_false(wires_counted(w->w, state(w, "s0").key, &n));
	n.drop_spoof = 1;
	assert_true(wires_counted(w->w, state(w, "s0").key, &n));
	n.tx_packets = 1;
	assert_true(wires_counted(w->w, state(w, "s0").key, &n));
	n = (struct dp_counters){ 0 };
	assert_false(wires_counted(w->w, state(w, "s1").key, &n));
	assert_false(wires_counted(w->w, 1, &n)); /* there is none */
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_come_up),
		cmocka_unit_test(a_new_configuration_changes_what_it_says),
		cmocka_unit_test(what_failed_is_tried_again),
		cmocka_unit_test(the_next_keeper_finds_them),
		cmocka_unit_test(some_share_a_tunnel),
		cmocka_unit_test(a_shared_tunnel_fails),
		cmocka_unit_test(counters_are_told_when_they_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
