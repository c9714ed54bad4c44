/* SPDX-License-Identifier: MIT
 *
 * Two engines joined in memory: whole exchanges, a bad network, restarts from records.
 */
#include "world.h"
#include <errno.h>
#include "failmalloc.h"

static struct world w;
static struct world_params wp;

static int setup(void **state)
{
	world_params(&wp);
	return 0;
}

static int teardown(void **state)
{
	world_stop(&w);
	return 0;
}

static void open_both(adit_handle *tunnel, adit_handle *session)
{
	world_start(&w, &wp);
	*tunnel = world_dial(&w, 0);
	world_run(&w, US_S / 10);
	assert_int_equal(w.e[0].count[L2TP_EV_TUNNEL_UP], 1);
	assert_int_equal(w.e[1].count[L2TP_EV_TUNNEL_UP], 1);
	*session = world_call(&w, 0, *tunnel);
	world_run(&w, US_S / 10);
	assert_int_equal(w.e[0].count[L2TP_EV_SESSION_UP], 1);
	assert_int_equal(w.e[1].count[L2TP_EV_SESSION_UP], 1);
}

static void test_open_data_close(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE,
				.result = L2TP_STOP_SHUTDOWN,
				.cause = ADIT_CAUSE_SHUTDOWN,
				.text = "bye" };
	adit_handle tunnel, session;

	open_both(&tunnel, &session);
	assert_string_equal(w.e[1].calling, "0301234");
	assert_true(world_frame(&w, 0, session, "ping"));
	world_run(&w, US_S / 100);
	assert_int_equal(w.e[1].frames, 1);
	assert_memory_equal(w.e[1].frame, "ping", 4);
	assert_true(world_frame(&w, 1, w.e[1].session, "pong"));
	world_run(&w, US_S / 100);
	assert_int_equal(w.e[0].frames, 1);
	cmd.tunnel = tunnel;
	assert_int_equal(world_do(&w, 0, &cmd), 0);
	world_drain(&w, 0);
	world_run(&w, US_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w.e[i].count[L2TP_EV_SESSION_DOWN], 1);
		assert_int_equal(w.e[i].count[L2TP_EV_TUNNEL_DOWN], 1);
	}
	assert_string_equal(w.e[1].text[L2TP_EV_TUNNEL_DOWN], "bye");
	assert_int_equal(w.e[1].last[L2TP_EV_TUNNEL_DOWN].result, L2TP_STOP_SHUTDOWN);
	assert_int_equal(world_tunnels(&w, 1, L2TP_TS_LINGER), 1);
	world_run(&w, 40 * US_S);
	assert_int_equal(world_tunnels(&w, 1, L2TP_TS_LINGER), 0);
	assert_null(w.e[0].records);
	assert_null(w.e[1].records);
}

/* ---- data (5.3, 5.4) ---- */

static void pump_data(adit_handle a, int n)
{
	for (int i = 0; i < n; i++) {
		assert_true(world_frame(&w, 0, a, "to the lns"));
		assert_true(world_frame(&w, 1, w.e[1].session, "to the lac"));
		world_run(&w, 1000);
	}
}

static void test_sequencing_asked_by_lac(void **state)
{
	struct l2tp_session_info info;
	adit_handle tunnel, session;

	wp.p[0].sequencing = true;
	wp.p[1].length_bit = true;
	open_both(&tunnel, &session);
	for (int i = 0; i < 2; i++) {
		assert_true(l2tp_session_info(w.e[i].l, w.e[i].session, &info));
		assert_true(info.send_seq);
		/* The LAC insists once the peer has shown that it numbers its data. */
		assert_int_equal(info.require_seq, i == 1);
		assert_true(w.e[i].last[L2TP_EV_SESSION_UP].sequencing);
	}
	pump_data(session, 10);
	assert_true(l2tp_session_info(w.e[0].l, session, &info));
	assert_true(info.require_seq);
	assert_int_equal(w.e[0].frames, 10);
	assert_int_equal(w.e[1].frames, 10);
	assert_true(l2tp_session_info(w.e[0].l, session, &info));
	assert_int_equal(info.data_ns, 10);
	assert_int_equal(info.data_nr, 10);
}

/* Without AVP 39 the LAC does as the LNS does (V2-5.4-02). */
static void test_sequencing_follows_lns(void **state)
{
	struct l2tp_session_info info;
	adit_handle tunnel, session;

	wp.p[1].sequencing = true;
	open_both(&tunnel, &session);
	assert_true(l2tp_session_info(w.e[0].l, session, &info));
	assert_false(info.send_seq);
	pump_data(session, 3);
	assert_true(l2tp_session_info(w.e[0].l, session, &info));
	assert_true(info.send_seq && !info.require_seq);
	assert_int_equal(w.e[1].frames, 3);
}

/* Build a data message to session `h` of end `i` with Ns. */
static size_t data_to(int i, adit_handle h, uint16_t flags, uint16_t ns, uint8_t buf[64])
{
	struct wcur c = wcur_of(buf, 64);
	struct l2tp_session_info info;

	assert_true(l2tp_session_info(w.e[i].l, h, &info));
	wcur_u16(&c, flags | 2);
	if (flags & 0x4000)
		wcur_u16(&c, 0);
	wcur_u16(&c, info.local_tunnel_id);
	wcur_u16(&c, info.local_id);
	if (flags & 0x0800) {
		wcur_u16(&c, ns);
		wcur_u16(&c, 0xdead);
	}
	if (flags & 0x0200) {
		wcur_u16(&c, 3);
		wcur_bytes(&c, "pad", 3);
	}
	wcur_bytes(&c, "\xff\x03\xc0\x21", 4);
	if (flags & 0x4000)
		wcur_patch_u16(&c, 2, (uint16_t)c.len);
	return c.len;
}

static struct path path_to(int i)
{
	return (struct path){ .via = 1, .local = w.e[i].addr, .remote = w.e[1 - i].addr };
}

static void test_data_numbers(void **state)
{
	static const struct {
		uint16_t ns;
		bool taken;
	} steps[] = { { 0, true },	{ 1, true },	  { 3, true },		{ 2, false },
		      { 3, false },	{ 4, true },	  { 40000 - 0, false }, { 40001, false },
		      { 40002, false }, { 40003, false }, { 40004, true },	{ 40005, true },
		      { 5, true } };
	struct path path;
	adit_handle tunnel, session;
	uint8_t buf[64];

	open_both(&tunnel, &session);
	path = path_to(1);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint32_t before = w.e[1].frames;

		world_inject(&w, 1, &path, buf,
			     data_to(1, w.e[1].session, 0x0800, steps[i].ns, buf));
		if ((w.e[1].frames > before) != steps[i].taken)
			fail_msg("step %zu", i);
	}
}

/* All eight combinations of L, S, O (V2-3.1-16), other paths and unknown ids (V2-5.3-04). */
static void test_data_headers(void **state)
{
	struct l2tp_counters c;
	adit_handle tunnel, session;
	struct path path;
	uint8_t buf[64];
	size_t len;

	open_both(&tunnel, &session);
	path = path_to(1);
	for (unsigned i = 0; i < 8; i++) {
		uint16_t flags = (uint16_t)((i & 1 ? 0x4000 : 0) | (i & 2 ? 0x0800 : 0) |
					    (i & 4 ? 0x0200 : 0));

		world_inject(&w, 1, &path, buf,
			     data_to(1, w.e[1].session, flags, (uint16_t)i, buf));
		assert_int_equal(w.e[1].frames, i + 1);
		assert_memory_equal(w.e[1].frame, "\xff\x03\xc0\x21", 4);
		assert_int_equal(w.e[1].frame_len, 4);
	}
	len = data_to(1, w.e[1].session, 0, 0, buf);
	path.remote.port++;
	world_inject(&w, 1, &path, buf, len);
	path.remote.port--;
	buf[5] ^= 1;
	world_inject(&w, 1, &path, buf, len);
	buf[5] ^= 1;
	buf[2] ^= 1;
	world_inject(&w, 1, &path, buf, len);
	for (size_t n = 0; n < len; n++)
		world_inject(&w, 1, &path, buf, n);
	assert_int_equal(w.e[1].frames, 8);
	l2tp_counters(w.e[1].l, &c);
	assert_int_equal(c.drop_path, 1);
	assert_int_equal(c.drop_unknown_session, 1);
}

/* ---- silence (5.5, 6.5) ---- */

static void test_hello(void **state)
{
	adit_handle tunnel, session;
	uint32_t sent;

	open_both(&tunnel, &session);
	sent = w.e[0].sent;
	/* Data is a sign of life (V2-6.5-01). */
	for (int i = 0; i < 20; i++) {
		assert_true(world_frame(&w, 1, w.e[1].session, "hi"));
		assert_true(world_frame(&w, 0, session, "hi"));
		world_run(&w, 20 * US_S);
	}
	assert_int_equal(w.e[0].sent, sent);
	assert_int_equal(w.e[0].count[L2TP_EV_TUNNEL_QUIET], 0);
	world_run(&w, 61 * US_S);
	assert_true(w.e[0].count[L2TP_EV_TUNNEL_QUIET] + w.e[1].count[L2TP_EV_TUNNEL_QUIET] > 0);
	assert_true(w.e[0].sent > sent);
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 1);
	/* One HELLO and its cycle, then the tunnel is lost with its sessions (V2-6.5-05). */
	w.loss = 100;
	world_run(&w, 60 * US_S + 35 * US_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w.e[i].count[L2TP_EV_TUNNEL_DOWN], 1);
		assert_int_equal(w.e[i].last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_TUNNEL_LOST);
		assert_int_equal(w.e[i].last[L2TP_EV_SESSION_DOWN].cause, ADIT_CAUSE_TUNNEL_LOST);
		assert_null(w.e[i].records);
	}
}

/* The owner knows of data that the engine did not see. */
static void test_hello_heard_elsewhere(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_HEARD };
	struct l2tp_event ev;
	adit_handle tunnel, session;
	uint32_t sent;

	wp.p[1].hello_us = -1;
	open_both(&tunnel, &session);
	sent = w.e[0].sent;
	for (int i = 0; i < 5; i++) {
		/* The timer looks at what was heard meanwhile only when it fires. */
		do {
			w.now = l2tp_deadline(w.e[0].l);
			l2tp_expire(w.e[0].l, w.now);
		} while (!l2tp_event(w.e[0].l, &ev));
		assert_int_equal(ev.kind, L2TP_EV_TUNNEL_QUIET);
		assert_false(l2tp_event(w.e[0].l, &ev));
		cmd.tunnel = tunnel;
		cmd.at = mono_add(w.now, -US_S);
		assert_int_equal(world_do(&w, 0, &cmd), 0);
		world_drain(&w, 0);
		assert_int_equal(l2tp_deadline(w.e[0].l).us, w.now.us + 59 * US_S);
	}
	assert_int_equal(w.e[0].sent, sent);
	/* No answer at all: HELLO goes out a second later. */
	w.e[0].mute = true;
	world_run(&w, 60 * US_S);
	assert_int_equal(w.e[0].sent, sent + 1);
}

/* After a suspend HELLO goes out before anything is given up. */
static void test_suspend(void **state)
{
	adit_handle tunnel, session;
	uint32_t sent;

	open_both(&tunnel, &session);
	sent = w.e[0].sent;
	w.now = mono_add(w.now, 3600 * US_S);
	world_run(&w, US_S);
	assert_int_equal(w.e[0].sent, sent + 2); /* its HELLO, and the ZLB for the other's */
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 1);
	assert_int_equal(world_tunnels(&w, 1, L2TP_TS_UP), 1);
	/* Asleep with a message outstanding and its last retry due. */
	w.loss = 100;
	world_call(&w, 0, tunnel);
	world_run(&w, 25 * US_S);
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 1);
	w.now = mono_add(w.now, 50 * US_S);
	w.loss = 0;
	world_run(&w, 10 * US_S);
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 1);
	assert_int_equal(world_sessions(&w, 0, L2TP_SS_UP), 2);
}

/* ---- closing ---- */

static void test_crossed_stopccn(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE };
	adit_handle tunnel, session;

	open_both(&tunnel, &session);
	w.delay_ms = 10;
	cmd.tunnel = tunnel;
	assert_int_equal(world_do(&w, 0, &cmd), 0);
	cmd.tunnel = w.e[1].tunnel;
	assert_int_equal(world_do(&w, 1, &cmd), 0);
	world_drain(&w, 0);
	world_drain(&w, 1);
	world_run(&w, 90 * US_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(l2tp_tunnel_next(w.e[i].l, 0), 0);
		assert_int_equal(w.e[i].count[L2TP_EV_TUNNEL_DOWN], 1);
		assert_int_equal(w.e[i].count[L2TP_EV_SESSION_DOWN], 1);
	}
}

/* Stale handles are told so, nothing else happens. */
static void test_stale(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_CLOSE };
	adit_handle tunnel, session;

	open_both(&tunnel, &session);
	cmd.session = session;
	assert_int_equal(world_do(&w, 0, &cmd), 0);
	assert_int_equal(world_do(&w, 0, &cmd), 1);
	world_drain(&w, 0);
	assert_int_equal(world_do(&w, 0, &cmd), 1);
	cmd = (struct l2tp_cmd){ .kind = L2TP_CMD_TUNNEL_CLOSE, .tunnel = tunnel };
	assert_int_equal(world_do(&w, 0, &cmd), 0);
	assert_int_equal(world_do(&w, 0, &cmd), 1);
	cmd.kind = L2TP_CMD_SESSION_OPEN;
	assert_int_equal(world_do(&w, 0, &cmd), 3);
	world_run(&w, 100 * US_S);
	assert_int_equal(world_do(&w, 0, &cmd), 1);
	cmd.kind = L2TP_CMD_TUNNEL_ACCEPT;
	assert_int_equal(world_do(&w, 0, &cmd), 1);
	assert_false(world_frame(&w, 0, session, "late"));
}

/* A tunnel without sessions is closed after its time (V2-6.4-07). */
static void test_empty(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_CLOSE };
	adit_handle tunnel, session;

	wp.p[0].empty_us = 5 * US_S;
	open_both(&tunnel, &session);
	world_run(&w, 20 * US_S);
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 1);
	cmd.session = session;
	assert_int_equal(world_do(&w, 0, &cmd), 0);
	world_drain(&w, 0);
	world_run(&w, 4 * US_S);
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 1);
	world_run(&w, 2 * US_S);
	assert_int_equal(w.e[1].count[L2TP_EV_TUNNEL_DOWN], 1);
	assert_int_equal(w.e[1].last[L2TP_EV_TUNNEL_DOWN].result, L2TP_STOP_CLEAR);
}

/* ---- many ---- */

static void test_many_sessions(void **state)
{
	const uint32_t n = 10000;
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE };
	struct l2tp_counters before, after;
	adit_handle tunnel;

	world_start(&w, &wp);
	w.e[0].journal = w.e[1].journal = false;
	tunnel = world_dial(&w, 0);
	l2tp_counters(w.e[0].l, &before);
	for (uint32_t i = 0; i < n; i++)
		world_call(&w, 0, tunnel);
	/* Waiting behind the window costs the session and its number strings. */
	l2tp_counters(w.e[0].l, &after);
	assert_true((after.memory - before.memory) / n < 340);
	w.delay_ms = 1;
	world_run(&w, 60 * US_S);
	assert_int_equal(w.e[0].count[L2TP_EV_SESSION_UP], n);
	assert_int_equal(w.e[1].count[L2TP_EV_SESSION_UP], n);
	assert_true(w.e[0].sent < 2 * n + n / 2);
	cmd.tunnel = tunnel;
	assert_int_equal(world_do(&w, 0, &cmd), 0);
	world_drain(&w, 0);
	world_run(&w, 60 * US_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w.e[i].count[L2TP_EV_SESSION_DOWN], n);
		assert_int_equal(w.e[i].count[L2TP_EV_TUNNEL_DOWN], 1);
		l2tp_counters(w.e[i].l, &after);
		assert_int_equal(after.sessions, 0);
		assert_int_equal(after.tunnels, 0);
	}
}

static void test_limits(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN };
	adit_handle tunnel;

	wp.p[0].max_sessions = 3;
	wp.p[1].max_sessions = 2;
	world_start(&w, &wp);
	tunnel = world_dial(&w, 0);
	for (int i = 0; i < 3; i++)
		world_call(&w, 0, tunnel);
	cmd.tunnel = tunnel;
	assert_int_equal(world_do(&w, 0, &cmd), 2);
	world_run(&w, US_S);
	assert_int_equal(w.e[0].count[L2TP_EV_SESSION_UP], 2);
	assert_int_equal(w.e[0].count[L2TP_EV_SESSION_DOWN], 1);
	assert_int_equal(w.e[0].last[L2TP_EV_SESSION_DOWN].result, L2TP_CDN_NO_FACILITIES);
	assert_true(w.e[0].last[L2TP_EV_SESSION_DOWN].by_peer);
	assert_int_equal(world_sessions(&w, 1, L2TP_SS_UP), 2);
	assert_int_equal(w.e[1].count[L2TP_EV_SESSION_ASK], 2);
}

/* ---- a bad network, restarts ---- */

static void check_same(uint32_t seed)
{
	uint32_t a = world_sessions(&w, 0, L2TP_SS_UP), b = world_sessions(&w, 1, L2TP_SS_UP);

	if (a != b)
		fail_msg("seed %u: %u and %u sessions", seed, a, b);
	for (int i = 0; i < 2; i++) {
		if (world_sessions(&w, i, L2TP_SS_CLOSING) ||
		    world_sessions(&w, i, L2TP_SS_WAIT_REPLY) ||
		    world_sessions(&w, i, L2TP_SS_WAIT_CONNECT))
			fail_msg("seed %u: end %d has sessions that are neither up nor gone", seed,
				 i);
	}
}

static void close_all(void)
{
	struct l2tp_counters c;

	w.loss = w.dup = w.reorder = 0;
	for (int i = 0; i < 2; i++) {
		for (adit_handle h = l2tp_tunnel_next(w.e[i].l, 0); h;
		     h = l2tp_tunnel_next(w.e[i].l, h)) {
			struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE, .tunnel = h };

			assert_true(world_do(&w, i, &cmd) >= 0);
		}
		world_drain(&w, i);
	}
	world_run(&w, 200 * US_S);
	for (int i = 0; i < 2; i++) {
		l2tp_counters(w.e[i].l, &c);
		assert_int_equal(c.tunnels, 0);
		assert_int_equal(c.sessions, 0);
		assert_int_equal(c.halfopen, 0);
		assert_null(w.e[i].records);
		assert_int_equal(l2tp_deadline(w.e[i].l).us, INT64_MAX);
	}
}

static void bad_network(uint32_t seed)
{
	adit_handle tunnels[3];
	int side[3];

	world_params(&wp);
	wp.seed = seed;
	wp.p[0].secret = wp.p[1].secret = "geheim";
	wp.p[0].secret_len = wp.p[1].secret_len = 6;
	wp.p[0].challenge = seed & 1;
	wp.p[1].challenge = seed & 2;
	wp.p[0].hide = seed & 4;
	wp.p[1].hide = seed & 8;
	wp.p[1].receive_window = (uint16_t)(1 + seed % 20);
	world_start(&w, &wp);
	w.loss = 10;
	w.dup = 5;
	w.reorder = 15;
	w.delay_ms = 5;
	for (int i = 0; i < 3; i++) {
		side[i] = (int)world_random(&w, 2);
		tunnels[i] = world_dial(&w, side[i]);
		for (int k = 0; k < 20; k++)
			world_call(&w, side[i], tunnels[i]);
	}
	world_run(&w, 90 * US_S);
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 3);
	assert_int_equal(world_tunnels(&w, 1, L2TP_TS_UP), 3);
	assert_int_equal(world_sessions(&w, 0, L2TP_SS_UP), 60);
	check_same(seed);
	/* Half of them go, from either side. */
	for (int i = 0; i < 2; i++) {
		for (adit_handle h = l2tp_session_next(w.e[i].l, 0, 0); h;
		     h = l2tp_session_next(w.e[i].l, 0, h)) {
			struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_CLOSE, .session = h };

			if (world_random(&w, 4) == 0)
				assert_true(world_do(&w, i, &cmd) >= 0);
		}
		world_drain(&w, i);
	}
	world_run(&w, 60 * US_S);
	check_same(seed);
	close_all();
	world_stop(&w);
}

static void test_bad_network(void **state)
{
	for (uint32_t seed = 1; seed <= 40; seed++)
		bad_network(seed);
	world_params(&wp);
	world_start(&w, &wp);
}

/* There is no record of what is gone. */
static void check_records(void)
{
	for (int i = 0; i < 2; i++) {
		for (const struct record *r = w.e[i].records; r; r = r->next) {
			struct l2tp_session_info s;
			struct l2tp_tunnel_info t;

			assert_true(r->kind == L2TP_OBJ_TUNNEL
					    ? l2tp_tunnel_info(w.e[i].l, r->handle, &t)
					    : l2tp_session_info(w.e[i].l, r->handle, &s));
		}
	}
}

/* Ends are killed and come back from their records at any time. */
static void restarts(uint32_t seed)
{
	adit_handle tunnels[2];
	uint32_t kills = 3;

	world_params(&wp);
	wp.seed = seed;
	wp.p[1].receive_window = (uint16_t)(1 + seed % 16);
	world_start(&w, &wp);
	w.loss = seed % 3 * 5;
	w.reorder = seed % 2 * 10;
	w.delay_ms = 5;
	for (int i = 0; i < 2; i++) {
		tunnels[i] = world_dial(&w, i);
		for (int k = 0; k < 10; k++)
			world_call(&w, i, tunnels[i]);
	}
	world_run(&w, (int64_t)world_random(&w, 400) * US_MS);
	while (kills--) {
		int i = (int)world_random(&w, 2);

		world_restart(&w, i);
		world_run(&w, (int64_t)world_random(&w, 2000) * US_MS);
		for (int k = 0; k < 2; k++) {
			adit_handle t = l2tp_tunnel_next(w.e[k].l, 0);
			struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN, .tunnel = t };

			for (int n = 0; t && n < 3; n++)
				assert_true(world_do(&w, k, &cmd) != -ENOMEM);
			world_drain(&w, k);
		}
		world_run(&w, (int64_t)world_random(&w, 100) * US_MS);
	}
	w.loss = w.reorder = 0;
	world_run(&w, 120 * US_S);
	check_same(seed);
	check_records();
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), world_tunnels(&w, 1, L2TP_TS_UP));
	close_all();
	world_stop(&w);
}

static void test_restarts(void **state)
{
	for (uint32_t seed = 1; seed <= 150; seed++)
		restarts(seed);
	world_params(&wp);
	world_start(&w, &wp);
}

/* What was established survives, with its numbers; nobody notices. */
static void test_restart_established(void **state)
{
	adit_handle tunnel, session;
	struct l2tp_session_info info;

	open_both(&tunnel, &session);
	world_restart(&w, 1);
	session = l2tp_session_next(w.e[1].l, 0, 0);
	assert_true(l2tp_session_info(w.e[1].l, session, &info));
	assert_int_equal(info.state, L2TP_SS_UP);
	assert_int_equal(info.owner, 81);
	w.e[1].session = session;
	assert_true(world_frame(&w, 1, session, "still here"));
	world_run(&w, US_S);
	assert_int_equal(w.e[0].frames, 1);
	world_call(&w, 0, tunnel);
	world_run(&w, US_S);
	assert_int_equal(world_sessions(&w, 0, L2TP_SS_UP), 2);
	assert_int_equal(world_sessions(&w, 1, L2TP_SS_UP), 2);
	assert_int_equal(w.e[0].count[L2TP_EV_SESSION_DOWN], 0);
	close_all();
}

/* Broken records: never a crash, and the peer is told where its ids can be read. */
static void test_broken_records(void **state)
{
	struct end *e = &w.e[1];
	adit_handle tunnel, session, h;

	open_both(&tunnel, &session);
	for (struct record *r = e->records; r; r = r->next) {
		for (size_t n = 0; n < r->len; n++) {
			struct l2tp *l = l2tp_new(&e->config);
			uint8_t *copy = malloc(r->len);
			struct rcur c = rcur_of(copy, n);

			assert_non_null(copy);
			memcpy(copy, r->bytes, r->len);
			if (r->kind == L2TP_OBJ_TUNNEL)
				l2tp_load_tunnel(l, w.now, &c, e->profile, 0, &h);
			else
				l2tp_load_session(l, w.now, &c, 0, &h);
			copy[n] ^= 0xff;
			c = rcur_of(copy, r->len);
			if (r->kind == L2TP_OBJ_TUNNEL)
				l2tp_load_tunnel(l, w.now, &c, e->profile, 0, &h);
			else
				l2tp_load_session(l, w.now, &c, 0, &h);
			free(copy);
			l2tp_free(l);
		}
	}
	/* An unknown version of a session's record. */
	for (struct record *r = e->records; r; r = r->next) {
		if (r->kind == L2TP_OBJ_SESSION)
			r->bytes[7] = 99;
	}
	world_restart(&w, 1);
	world_run(&w, US_S);
	assert_int_equal(w.e[0].count[L2TP_EV_SESSION_DOWN], 1);
	assert_int_equal(world_sessions(&w, 1, L2TP_SS_UP), 0);
	assert_int_equal(world_tunnels(&w, 0, L2TP_TS_UP), 1);
}

/* ---- memory ---- */

/* One life with everything in it; what fails once is done again or sent again. */
static void life(void)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_CLOSE, .text = "enough" };
	adit_handle tunnel = world_dial(&w, 0), last = 0;

	world_run(&w, 5 * US_S);
	for (int i = 0; i < 6; i++)
		last = world_call(&w, 0, tunnel);
	world_run(&w, 20 * US_S);
	cmd.session = last;
	world_do(&w, 0, &cmd);
	world_drain(&w, 0);
	world_run(&w, 20 * US_S);
}

static void test_one_allocation_fails(void **state)
{
	for (long n = 1;; n++) {
		bool happened;

		world_params(&wp);
		wp.p[0].secret = wp.p[1].secret = "geheim";
		wp.p[0].secret_len = wp.p[1].secret_len = 6;
		wp.p[1].challenge = true;
		wp.p[0].hide = n & 1;
		world_start(&w, &wp);
		w.fail_at = n;
		life();
		happened = w.failed;
		w.fail_at = 0;
		if (world_sessions(&w, 0, L2TP_SS_UP) != 5 ||
		    world_sessions(&w, 1, L2TP_SS_UP) != 5)
			fail_msg("allocation %ld: %u and %u sessions", n,
				 world_sessions(&w, 0, L2TP_SS_UP),
				 world_sessions(&w, 1, L2TP_SS_UP));
		close_all();
		if (!happened)
			break;
		world_stop(&w);
	}
}

/* From some moment on there is no memory at all, for half a minute; then there is again. */
static void test_no_memory_for_a_while(void **state)
{
	for (long n = 1; n < 60; n++) {
		world_params(&wp);
		wp.seed = (uint64_t)n;
		world_start(&w, &wp);
		w.fail_at = n;
		w.fail_all = true;
		life();
		w.fail_at = 0;
		w.fail_all = false;
		world_run(&w, 120 * US_S);
		check_same((uint32_t)n);
		close_all();
		world_stop(&w);
	}
	world_params(&wp);
	world_start(&w, &wp);
}

static void test_new_without_memory(void **state)
{
	struct l2tp_config config = { .seed = { 1 } };
	struct l2tp_params p = { .host_name = "x" };
	struct l2tp *l;
	int err = 0;

	world_start(&w, &wp);
	for (long n = 1;; n++) {
		failmalloc_arm(n);
		l = l2tp_new(&config);
		if (!failmalloc_disarm())
			break;
		assert_null(l);
	}
	l2tp_free(l);
	failmalloc_arm(1);
	assert_null(l2tp_profile_new(&p, &err));
	assert_true(failmalloc_disarm());
	assert_int_equal(err, -ENOMEM);
}

/* Every allocation of a load fails in turn. */
static void test_load_without_memory(void **state)
{
	struct end *e = &w.e[1];
	adit_handle tunnel, session, h;

	open_both(&tunnel, &session);
	for (long n = 1;; n++) {
		struct l2tp *l = l2tp_new(&e->config);
		bool failed;
		int rc = 0;

		failmalloc_arm(n);
		for (int kind = 1; kind <= 2 && rc == 0; kind++) {
			for (struct record *r = e->records; r && rc == 0; r = r->next) {
				struct rcur c = rcur_of(r->bytes, r->len);

				if (r->kind != (enum l2tp_object)kind)
					continue;
				rc = kind == 1 ? l2tp_load_tunnel(l, w.now, &c, e->profile, 0, &h)
					       : l2tp_load_session(l, w.now, &c, 0, &h);
			}
		}
		failed = failmalloc_disarm();
		assert_int_equal(rc, failed ? -ENOMEM : 0);
		l2tp_free(l);
		if (!failed)
			break;
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_open_data_close),
		T(test_sequencing_asked_by_lac),
		T(test_sequencing_follows_lns),
		T(test_data_numbers),
		T(test_data_headers),
		T(test_hello),
		T(test_hello_heard_elsewhere),
		T(test_suspend),
		T(test_crossed_stopccn),
		T(test_stale),
		T(test_empty),
		T(test_many_sessions),
		T(test_limits),
		T(test_bad_network),
		T(test_restarts),
		T(test_restart_established),
		T(test_broken_records),
		T(test_one_allocation_fails),
		T(test_no_memory_for_a_while),
		T(test_new_without_memory),
		T(test_load_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
