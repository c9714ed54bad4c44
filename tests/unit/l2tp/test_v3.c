/* SPDX-License-Identifier: MIT
 *
 * The L2TPv3 engine against itself in virtual time: every way that two ends can be set up, ties,
 * loss, restarts at every step, failing allocations, bounds.
 */
#include "world3.h"
#include "base/trace.h"
#include <errno.h>

/* ---- one way ---- */

struct way {
	bool ip, v6, challenge, hide;
	enum l2tp3_auth_mode digest;
	const char *secret[2];
	uint8_t cookie[2];
	uint8_t sublayer, sequencing;
};

static void way_params(const struct way *way, struct world3_params *wp)
{
	world3_params(wp);
	wp->ip = way->ip;
	wp->v6 = way->v6;
	for (int i = 0; i < 2; i++) {
		struct l2tp3_params *p = &wp->p[i];

		p->digest = way->digest;
		p->challenge = way->challenge;
		p->hide = way->hide;
		if (way->secret[i])
			p->secret[0] = (struct l2tp3_secret_param){ way->secret[i],
								    strlen(way->secret[i]) };
		wp->circuit[i].cookie_len = way->cookie[i];
		wp->circuit[i].sublayer = way->sublayer;
		wp->circuit[i].sequencing = way->sequencing;
	}
}

/* Frames both ways, and all ends closed in order. */
static void both_ways(struct world3 *w, adit_handle a, adit_handle b)
{
	uint32_t before[2] = { w->e[0].frames, w->e[1].frames };

	assert_true(world3_frame(w, 0, a, "hello from the east"));
	assert_true(world3_frame(w, 1, b, "and from the west"));
	world3_run(w, US_S / 10);
	assert_int_equal(w->e[0].frames, before[0] + 1);
	assert_int_equal(w->e[1].frames, before[1] + 1);
	assert_memory_equal(w->e[1].frame, "hello from the east", 19);
	assert_memory_equal(w->e[0].frame, "and from the west", 17);
}

static void no_way_left(struct world3 *w)
{
	struct l2tp3_counters c;

	for (int i = 0; i < 2; i++) {
		l2tp3_expire(w->e[i].l, w->now);
		world3_drain(w, i);
		l2tp3_counters(w->e[i].l, &c);
		assert_int_equal(c.conns, 0);
		assert_int_equal(c.sessions, 0);
		assert_int_equal(c.halfopen, 0);
		assert_null(w->e[i].records);
	}
}

static void try_way(const struct way *way)
{
	struct world3_params wp;
	struct l2tp3_session_info s[2];
	struct l2tp3_conn_info k;
	static struct world3 w;
	struct l2tp3_cmd cmd;
	adit_handle conn, session;

	way_params(way, &wp);
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_run(&w, 3 * US_S);
	assert_int_equal(w.e[0].count[L2TP3_EV_CONN_UP], 1);
	assert_int_equal(w.e[1].count[L2TP3_EV_CONN_UP], 1);
	assert_int_equal(w.e[1].last[L2TP3_EV_CONN_UP].authentic,
			 way->secret[0] && way->digest != L2TP3_AUTH_NONE);
	assert_true(l2tp3_conn_info(w.e[0].l, conn, &k));
	assert_string_equal(k.host_name, "west");
	assert_int_equal(k.router_id, 0x01010101);
	assert_int_equal(k.over_ip, way->ip);
	session = world3_session(&w, 0, conn, "circuit 7");
	world3_run(&w, 3 * US_S);
	assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_UP], 1);
	assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_UP], 1);
	assert_memory_equal(w.e[1].end_id, "circuit 7", 9);
	assert_true(l2tp3_session_info(w.e[0].l, session, &s[0]));
	assert_true(l2tp3_session_info(w.e[1].l, w.e[1].session, &s[1]));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(s[i].cookie_in_len, way->cookie[i]);
		assert_int_equal(s[i].cookie_out_len, way->cookie[1 - i]);
		assert_memory_equal(s[i].cookie_in, s[1 - i].cookie_out, 8);
		assert_int_equal(s[i].remote_id, s[1 - i].local_id);
		assert_int_equal(s[i].sublayer_out, way->sublayer);
		assert_int_equal(s[i].seq_out, way->sequencing);
		assert_int_equal(s[i].remote_status, L2TP3_STATUS_ACTIVE);
	}
	both_ways(&w, session, w.e[1].session);
	cmd = (struct l2tp3_cmd){ .kind = L2TP3_CMD_CONN_CLOSE, .conn = conn };
	assert_int_equal(world3_do(&w, 0, &cmd), 0);
	world3_drain(&w, 0);
	world3_run(&w, 70 * US_S);
	assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_DOWN], 1);
	assert_int_equal(w.e[1].count[L2TP3_EV_CONN_DOWN], 1);
	no_way_left(&w);
	world3_stop(&w);
}

static void every_way(void **state)
{
	static const uint8_t cookies[] = { 0, 4, 8 };

	(void)state;
	for (unsigned n = 0; n < 2 * 2 * 4 * 3 * 3; n++) {
		struct way way = { .ip = n & 1, .v6 = n & 2 };
		unsigned auth = n / 4 % 4, cookie = n / 16 % 3, seq = n / 48 % 3;

		way.digest = auth < 2	 ? L2TP3_AUTH_AUTO
			     : auth == 2 ? L2TP3_AUTH_MD5
					 : L2TP3_AUTH_SHA1;
		if (auth)
			way.secret[0] = way.secret[1] = "swordfish";
		way.hide = auth == 3;
		way.challenge = auth == 1;
		way.cookie[0] = cookies[cookie];
		way.cookie[1] = cookies[(cookie + seq) % 3];
		way.sublayer = seq > 0;
		way.sequencing = (uint8_t)seq;
		try_way(&way);
	}
}

/* ---- digests that do not fit ---- */

static void run_auth(struct world3 *w, const struct world3_params *wp)
{
	world3_start(w, wp);
	world3_dial(w, 0);
	world3_run(w, 100 * US_S);
}

static void other_secret(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct way way = { .secret = { "one", "two" } };

	(void)state;
	way_params(&way, &wp);
	run_auth(&w, &wp);
	assert_int_equal(w.e[0].count[L2TP3_EV_CONN_UP], 0);
	assert_int_equal(w.e[1].count[L2TP3_EV_CONN_UP], 0);
	/* Nothing is answered (5.4.1); the responder's owner hears why each time. */
	assert_int_equal(w.e[1].sent, 0);
	assert_int_equal(w.e[1].last[L2TP3_EV_CONN_DOWN].cause, ADIT_CAUSE_TUNNEL_AUTH_FAILED);
	assert_int_equal(w.e[0].last[L2TP3_EV_CONN_DOWN].cause, ADIT_CAUSE_UNREACHABLE);
	no_way_left(&w);
	world3_stop(&w);
}

static void one_sided_secret(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (int i = 0; i < 2; i++) {
		for (int optional = 0; optional < 2; optional++) {
			struct way way = { .secret = { i ? NULL : "one", i ? "one" : NULL } };

			way_params(&way, &wp);
			wp.p[i].digest_optional = optional;
			run_auth(&w, &wp);
			/* The responder of the two may do without; who asked with a nonce gets a
			 * refusal (4.3: both sides or neither). */
			assert_int_equal(w.e[0].count[L2TP3_EV_CONN_UP], i == 1 && optional);
			assert_int_equal(w.e[1].count[L2TP3_EV_CONN_UP], i == 1 && optional);
			if (!(i == 1 && optional)) {
				assert_int_equal(w.e[0].last[L2TP3_EV_CONN_DOWN].cause,
						 i ? ADIT_CAUSE_PEER_CLOSED_TUNNEL
						   : ADIT_CAUSE_TUNNEL_AUTH_FAILED);
				no_way_left(&w);
			}
			world3_stop(&w);
		}
	}
}

/* A change of the key: old, old and new, new, in any order of the two ends, and whoever begins. */
static void two_secrets(void **state)
{
	static const char *const sets[][2][2] = {
		{ { "old", NULL }, { "old", "new" } }, { { "old", NULL }, { "new", "old" } },
		{ { "new", NULL }, { "old", "new" } }, { { "new", "old" }, { "old", "new" } },
		{ { "old", "new" }, { "new", NULL } },
	};
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (size_t n = 0; n < sizeof(sets) / sizeof(sets[0]); n++) {
		world3_params(&wp);
		for (int i = 0; i < 2; i++) {
			for (int k = 0; k < 2 && sets[n][i][k]; k++)
				wp.p[i].secret[k] =
					(struct l2tp3_secret_param){ sets[n][i][k],
								     strlen(sets[n][i][k]) };
		}
		world3_start(&w, &wp);
		world3_dial(&w, 0);
		world3_run(&w, 5 * US_S);
		assert_int_equal(w.e[0].count[L2TP3_EV_CONN_UP], 1);
		assert_int_equal(w.e[1].count[L2TP3_EV_CONN_UP], 1);
		world3_run(&w, 300 * US_S);
		assert_int_equal(w.e[0].count[L2TP3_EV_CONN_DOWN], 0);
		world3_stop(&w);
	}
}

/* One bit of a message wrong, anywhere: nothing of it counts. */
static void broken_bits(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct way way = { .secret = { "swordfish", "swordfish" } };
	struct l2tp3_conn_info before, after;
	struct l2tp3_cmd cmd;
	struct path path;
	adit_handle conn;
	uint8_t copy[L2TP_CONTROL_MAX];

	(void)state;
	way_params(&way, &wp);
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_run(&w, 5 * US_S);
	w.loss = 100;
	world3_session(&w, 0, conn, "x");
	path = world3_path(&w, 1);
	assert_true(l2tp3_conn_info(w.e[1].l, w.e[1].conn, &before));
	for (size_t bit = 0; bit < w.e[0].out_len * 8; bit++) {
		memcpy(copy, w.e[0].out, w.e[0].out_len);
		copy[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		world3_inject(&w, 1, &path, copy, w.e[0].out_len);
	}
	assert_true(l2tp3_conn_info(w.e[1].l, w.e[1].conn, &after));
	assert_int_equal(before.nr, after.nr);
	assert_int_equal(before.received, after.received);
	assert_int_equal(after.sessions, 0);
	/* As it was it is taken. */
	assert_int_equal(world3_inject(&w, 1, &path, w.e[0].out, w.e[0].out_len), L2TP3_IN_CONTROL);
	assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_ASK], 1);
	cmd = (struct l2tp3_cmd){ .kind = L2TP3_CMD_CONN_CLOSE, .conn = conn };
	world3_do(&w, 0, &cmd);
	world3_stop(&w);
}

/* ---- ties ---- */

static void both_dial(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (unsigned n = 0; n < 24; n++) {
		struct way way = { .ip = n & 1, .secret = { "s", "s" } };
		struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_OPEN };

		if (n & 2)
			way.secret[0] = way.secret[1] = NULL;
		way_params(&way, &wp);
		wp.seed = n + 1;
		world3_start(&w, &wp);
		for (int i = 0; i < 2; i++) {
			adit_handle conn = world3_dial(&w, i);

			/* These wait for the connection, whichever it will be. */
			world3_session(&w, i, conn, i ? "west's" : "east's");
			(void)cmd;
		}
		world3_run(&w, 30 * US_S);
		assert_int_equal(world3_conns(&w, 0, L2TP3_CS_UP), 1);
		assert_int_equal(world3_conns(&w, 1, L2TP3_CS_UP), 1);
		assert_int_equal(world3_conns(&w, 0, L2TP3_CS_WAIT_REPLY), 0);
		assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 2);
		assert_int_equal(world3_sessions(&w, 1, L2TP3_SS_UP), 2);
		assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_DOWN], 0);
		assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_DOWN], 0);
		world3_stop(&w);
	}
}

/* Without tie breakers there are two connections (5.4.3). */
static void no_tie_breakers(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	world3_params(&wp);
	wp.p[0].tie_breaker_off = wp.p[1].tie_breaker_off = true;
	world3_start(&w, &wp);
	world3_dial(&w, 0);
	world3_dial(&w, 1);
	world3_run(&w, 30 * US_S);
	assert_int_equal(world3_conns(&w, 0, L2TP3_CS_UP), 2);
	assert_int_equal(world3_conns(&w, 1, L2TP3_CS_UP), 2);
	world3_stop(&w);
}

/* The same values on both sides, as engines with one seed choose them: ask again (5.4.3). */
static void equal_connection_ties(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	world3_params(&wp);
	world3_start(&w, &wp);
	/* One more draw at one side makes the second values differ, not the first. */
	for (int i = 0; i < 2; i++) {
		l2tp3_free(w.e[i].l);
		memset(w.e[i].config.seed, 9, sizeof(w.e[i].config.seed));
		w.e[i].l = l2tp3_new(&w.e[i].config);
		assert_non_null(w.e[i].l);
	}
	world3_dial(&w, 0);
	world3_dial(&w, 1);
	world3_run(&w, 30 * US_S);
	/* Two ends that never differ give it up as a loop. */
	assert_int_equal(w.e[0].last[L2TP3_EV_CONN_DOWN].cause, ADIT_CAUSE_LOOP);
	assert_true(w.e[0].sent >= 4);
	world3_run(&w, 200 * US_S);
	no_way_left(&w);
	world3_stop(&w);
}

static void session_ties(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (unsigned n = 0; n < 24; n++) {
		struct way way = { .ip = n & 1, .cookie = { 4, 8 } };
		adit_handle conn, session[2];

		way_params(&way, &wp);
		wp.seed = n + 1;
		/* One side without a tie breaker: the other wins. */
		wp.p[0].tie_breaker_off = n % 3 == 1;
		wp.p[1].tie_breaker_off = n % 3 == 2;
		world3_start(&w, &wp);
		conn = world3_dial(&w, 0);
		world3_run(&w, US_S);
		session[0] = world3_session(&w, 0, conn, "42");
		session[1] = world3_session(&w, 1, w.e[1].conn, "42");
		world3_run(&w, 10 * US_S);
		/* One session, under the handles of those who asked; nobody was asked. */
		for (int i = 0; i < 2; i++) {
			struct l2tp3_session_info info;

			assert_int_equal(world3_sessions(&w, i, L2TP3_SS_UP), 1);
			assert_true(l2tp3_session_info(w.e[i].l, session[i], &info));
			assert_int_equal(info.state, L2TP3_SS_UP);
			assert_int_equal(w.e[i].count[L2TP3_EV_SESSION_ASK], 0);
			assert_int_equal(w.e[i].count[L2TP3_EV_SESSION_DOWN], 0);
			assert_int_equal(w.e[i].count[L2TP3_EV_SESSION_UP], 1);
		}
		both_ways(&w, session[0], session[1]);
		world3_stop(&w);
	}
}

/* Both sides ask for all: nobody has done anything wrong, and the log does not say so. */
static void ties_are_ordinary(void **state)
{
	enum { RECORDS = 4096, RAW = 1 << 20 };
	void *memory = calloc(1, trace_size(RECORDS, RAW));
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (unsigned n = 0; n < 8; n++) {
		uint64_t pos = 0, lost;
		struct trace_record r;
		uint8_t raw[2048];
		uint32_t won = 0;

		world3_params(&wp);
		wp.seed = n + 1;
		wp.trace = trace_open(memory, RECORDS, RAW);
		world3_start(&w, &wp);
		for (int i = 0; i < 2; i++)
			world3_session(&w, i, world3_dial(&w, i), "42");
		world3_run(&w, 10 * US_S);
		assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 1);
		while (trace_read(wp.trace, &pos, &r, raw, sizeof(raw), &lost)) {
			assert_true(trace_level_of((enum trace_kind)r.kind) < TRACE_NOTICE);
			assert_true(r.kind != TRACE_L2TP3_SESSION_END);
			won += r.kind == TRACE_L2TP3_CONN_TIE_WON;
		}
		assert_true(won);
		world3_stop(&w);
		trace_close(wp.trace);
	}
	free(memory);
}

/* Neither side sends one: both requests end (5.4.4). */
static void session_tie_without(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	adit_handle conn;

	(void)state;
	world3_params(&wp);
	wp.p[0].tie_breaker_off = wp.p[1].tie_breaker_off = true;
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_run(&w, US_S);
	world3_session(&w, 0, conn, "42");
	world3_session(&w, 1, w.e[1].conn, "42");
	world3_run(&w, 10 * US_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w.e[i].count[L2TP3_EV_SESSION_UP], 0);
		assert_int_equal(w.e[i].count[L2TP3_EV_SESSION_DOWN], 1);
		assert_int_equal(w.e[i].last[L2TP3_EV_SESSION_DOWN].cause, ADIT_CAUSE_TIE_LOST);
	}
	world3_stop(&w);
}

/* ---- circuits ---- */

static void set_status(struct world3 *w, int i, adit_handle session, uint16_t status)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_STATUS,
				 .session = session,
				 .status = status };

	assert_int_equal(world3_do(w, i, &cmd), 0);
	world3_drain(w, i);
	world3_run(w, US_S);
}

static void circuit_status(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	adit_handle conn, session;

	(void)state;
	world3_params(&wp);
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	session = world3_session(&w, 0, conn, "a");
	world3_run(&w, 2 * US_S);
	/* A fault clears the active bit (RFC 5641 3). */
	set_status(&w, 0, session, L2TP3_STATUS_ACTIVE | L2TP3_STATUS_AC_RX);
	assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_STATUS], 1);
	assert_int_equal(w.e[1].last[L2TP3_EV_SESSION_STATUS].remote_status, L2TP3_STATUS_AC_RX);
	/* Nothing is sent towards it (5.4.5), the other way it is. */
	assert_false(world3_frame(&w, 1, w.e[1].session, "x"));
	assert_true(world3_frame(&w, 0, session, "x"));
	set_status(&w, 0, session, L2TP3_STATUS_ACTIVE);
	assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_STATUS], 2);
	assert_true(world3_frame(&w, 1, w.e[1].session, "x"));
	/* The recipient tells as well; the same again is not told. */
	set_status(&w, 1, w.e[1].session, 0);
	set_status(&w, 1, w.e[1].session, 0);
	assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_STATUS], 1);
	set_status(&w, 1, w.e[1].session, L2TP3_STATUS_ACTIVE | L2TP3_STATUS_STANDBY);
	assert_false(world3_frame(&w, 0, session, "x"));
	world3_stop(&w);
}

static void circuit_refused(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	adit_handle conn;

	(void)state;
	/* Another MTU. */
	world3_params(&wp);
	wp.circuit[0].mtu = 1500;
	wp.circuit[1].mtu = 9000;
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_session(&w, 0, conn, "a");
	world3_run(&w, 2 * US_S);
	assert_int_equal(w.e[0].last[L2TP3_EV_SESSION_DOWN].result, L2TP3_CDN_MTU);
	assert_int_equal(w.e[1].last[L2TP3_EV_SESSION_DOWN].result, L2TP3_CDN_MTU);
	/* No such end. */
	w.e[1].refuse_session = true;
	world3_session(&w, 0, conn, "b");
	world3_run(&w, 2 * US_S);
	assert_int_equal(w.e[0].last[L2TP3_EV_SESSION_DOWN].result, L2TP3_CDN_NO_FORWARDER);
	world3_stop(&w);
	/* A type that the peer does not have: told at once where it is known, else when it is. */
	world3_params(&wp);
	wp.p[1].pw_types[0] = L2TP3_PW_PPP;
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_session(&w, 0, conn, "a");
	world3_run(&w, 2 * US_S);
	assert_int_equal(w.e[0].last[L2TP3_EV_SESSION_DOWN].cause, ADIT_CAUSE_PW_TYPE);
	assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_ASK], 0);
	{
		struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_OPEN,
					 .conn = conn,
					 .pw_type = L2TP3_PW_ETHERNET,
					 .remote_end_id = "a",
					 .remote_end_id_len = 1 };

		assert_int_equal(world3_do(&w, 0, &cmd), 4);
		cmd.pw_type = L2TP3_PW_PPP;
		assert_int_equal(world3_do(&w, 0, &cmd), 0);
		cmd.circuit.sequencing = L2TP3_SEQ_ALL; /* nothing to carry it */
		assert_int_equal(world3_do(&w, 0, &cmd), -EINVAL);
	}
	world3_stop(&w);
}

/* An outgoing call, speeds, errors of the line (6.9 to 6.13). */
static void outgoing(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_session_info info;
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_OPEN,
				 .pw_type = L2TP3_PW_PPP,
				 .outgoing = true,
				 .remote_end_id = "line 3",
				 .remote_end_id_len = 6 };

	(void)state;
	world3_params(&wp);
	wp.circuit[1].tx_speed = UINT64_C(10000000000);
	world3_start(&w, &wp);
	cmd.conn = world3_dial(&w, 0);
	cmd.circuit = w.e[0].circuit;
	assert_int_equal(world3_do(&w, 0, &cmd), 0);
	world3_run(&w, 2 * US_S);
	assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 1);
	assert_int_equal(world3_sessions(&w, 1, L2TP3_SS_UP), 1);
	assert_true(l2tp3_session_info(w.e[0].l, cmd.ret_handle, &info));
	assert_true(info.outgoing);
	assert_true(info.tx_speed == UINT64_C(10000000000));
	cmd = (struct l2tp3_cmd){ .kind = L2TP3_CMD_SESSION_ERRORS,
				  .session = w.e[1].session,
				  .errors = { 1, 2, 3, 4, 5, 6 } };
	assert_int_equal(world3_do(&w, 1, &cmd), 0);
	world3_drain(&w, 1);
	world3_run(&w, US_S);
	assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_ERRORS], 1);
	assert_int_equal(w.e[0].last[L2TP3_EV_SESSION_ERRORS].a, 21);
	/* Once a minute. */
	cmd.errors[0] = 100;
	assert_int_equal(world3_do(&w, 1, &cmd), 0);
	world3_run(&w, 30 * US_S);
	assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_ERRORS], 1);
	world3_run(&w, 31 * US_S);
	assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_ERRORS], 2);
	world3_stop(&w);
}

/* The peer asks for a sublayer, we do not; with mirror_sublayer both directions have it. */
static void mirror(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (int n = 0; n < 4; n++) {
		int asks = n & 1, on = n >> 1;
		struct l2tp3_session_info info[2];
		adit_handle conn, session;

		world3_params(&wp);
		wp.circuit[asks].sublayer = 1;
		wp.p[0].mirror_sublayer = wp.p[1].mirror_sublayer = on;
		world3_start(&w, &wp);
		conn = world3_dial(&w, 0);
		session = world3_session(&w, 0, conn, "a");
		world3_run(&w, 2 * US_S);
		assert_true(l2tp3_session_info(w.e[0].l, session, &info[0]));
		assert_true(l2tp3_session_info(w.e[1].l, w.e[1].session, &info[1]));
		assert_int_equal(info[asks].sublayer_in, 1);
		assert_int_equal(info[1 - asks].sublayer_out, 1);
		assert_int_equal(info[asks].sublayer_out, on);
		assert_int_equal(info[1 - asks].sublayer_in, on);
		both_ways(&w, session, w.e[1].session);
		world3_stop(&w);
	}
}

/* ---- data ---- */

static void data_checked(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_counters c;
	struct l2tp3_session_info info;
	struct path path;
	adit_handle conn;
	uint8_t p[] = { 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 'h', 'i' };

	(void)state;
	world3_params(&wp);
	wp.circuit[1].sublayer = 1;
	wp.circuit[1].sequencing = 2;
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_session(&w, 0, conn, "a");
	world3_run(&w, 2 * US_S);
	assert_true(l2tp3_session_info(w.e[1].l, w.e[1].session, &info));
	path = world3_path(&w, 1);
	for (int i = 0; i < 4; i++)
		p[4 + i] = (uint8_t)(info.local_id >> (24 - 8 * i));
	memcpy(p + 8, info.cookie_in, 8);
	p[2] = 0xff; /* reserved, ignored */
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_FRAME);
	assert_int_equal(w.e[1].frame_len, 2);
	/* The same number again, a later one, one of the past, one without the S bit. */
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_DROP);
	p[17] = 0x70;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_FRAME);
	p[17] = 0x6f;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_DROP);
	p[16] = 0;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_FRAME);
	/* Over the end of the number space. */
	p[16] = 0x40;
	p[17] = 0xef;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_FRAME);
	p[17] = 0x01;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_FRAME);
	/* A bit of the cookie, all of it, other ids, another sender. */
	p[15] ^= 1;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_DROP);
	assert_int_equal(world3_inject(&w, 1, &path, p, 15), L2TP3_IN_DROP);
	p[15] ^= 1;
	p[16] = 0;
	p[7] ^= 1;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_LOST);
	p[7] ^= 1;
	path.remote.ip[3] ^= 8;
	assert_int_equal(world3_inject(&w, 1, &path, p, sizeof(p)), L2TP3_IN_DROP);
	l2tp3_counters(w.e[1].l, &c);
	assert_int_equal(c.drop_cookie, 2);
	assert_int_equal(c.drop_sequence, 2);
	assert_int_equal(c.drop_unknown_session, 1);
	assert_int_equal(c.drop_path, 1);
	world3_stop(&w);
}

/* ---- sockets that overlap ---- */

static void put32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A message that came by another socket belongs to that of the connection it is about. */
static void whose_socket(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_conn_info conn;
	struct l2tp3_session_info info;
	struct path path;
	uint8_t stop_ip[] = { 0, 0, 0, 0, 0xc8, 3, 0, 20, 0, 0, 0, 0,
			      0, 0, 0, 0, 0x80, 8, 0, 0,  0, 0, 0, 4 },
		data_udp[] = { 0, 3, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4 };

	(void)state;
	for (int ip = 0; ip < 2; ip++) {
		uint8_t *stop = ip ? stop_ip : stop_ip + 4, *at = stop_ip + 8;
		uint8_t *data = ip ? data_udp + 4 : data_udp, *session = data_udp + 4;
		size_t stop_len = ip ? 24 : 20, data_len = ip ? 8 : 12;

		put32(at, 0);
		stop_ip[23] = 4;
		world3_params(&wp);
		wp.ip = ip;
		world3_start(&w, &wp);
		world3_session(&w, 0, world3_dial(&w, 0), "a");
		world3_run(&w, 2 * US_S);
		path = world3_path(&w, 1);
		path.via = 9;
		assert_int_equal(l2tp3_via(w.e[1].l, &path, stop, stop_len), 1);
		assert_true(l2tp3_conn_info(w.e[1].l, w.e[1].conn, &conn));
		put32(at, conn.local_id);
		assert_int_equal(l2tp3_via(w.e[1].l, &path, stop, stop_len), 1);
		assert_true(l2tp3_session_info(w.e[1].l, w.e[1].session, &info));
		put32(session, info.local_id);
		assert_int_equal(l2tp3_via(w.e[1].l, &path, data, data_len), 1);
		/* to another address of ours */
		path.local.ip[3] ^= 8;
		assert_int_equal(l2tp3_via(w.e[1].l, &path, data, data_len), 0);
		assert_int_equal(l2tp3_via(w.e[1].l, &path, stop, stop_len), 0);
		path.local.ip[3] ^= 8;
		/* of nobody; a request; not even a message */
		at[3] ^= 1;
		session[3] ^= 1;
		assert_int_equal(l2tp3_via(w.e[1].l, &path, stop, stop_len), 0);
		assert_int_equal(l2tp3_via(w.e[1].l, &path, data, data_len), 0);
		put32(at, 0);
		stop_ip[23] = 1;
		assert_int_equal(l2tp3_via(w.e[1].l, &path, stop, stop_len), 0);
		assert_int_equal(l2tp3_via(w.e[1].l, &path, stop, 3), 0);
		/* of another host */
		stop_ip[23] = 4;
		path.remote.ip[3] ^= 8;
		assert_int_equal(l2tp3_via(w.e[1].l, &path, stop, stop_len), 0);
		world3_stop(&w);
	}
}

/* ---- keepalive, the peer that is gone ---- */

static void hello_and_loss(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_conn_info k;
	adit_handle conn;

	(void)state;
	world3_params(&wp);
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_run(&w, 2 * US_S);
	world3_run(&w, 600 * US_S);
	assert_true(l2tp3_conn_info(w.e[0].l, conn, &k));
	assert_int_equal(k.state, L2TP3_CS_UP);
	assert_true(k.received + k.sent > 15);
	w.loss = 100;
	world3_run(&w, 300 * US_S);
	assert_int_equal(w.e[0].last[L2TP3_EV_CONN_DOWN].cause, ADIT_CAUSE_TUNNEL_LOST);
	assert_int_equal(w.e[1].last[L2TP3_EV_CONN_DOWN].cause, ADIT_CAUSE_TUNNEL_LOST);
	no_way_left(&w);
	world3_stop(&w);
}

/* A peer behind NAT whose port changes in mid-life: only with digests. */
static void follows(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (int on = 0; on < 2; on++) {
		struct way way = { .secret = { "s", "s" } };
		struct l2tp3_conn_info k;
		struct path path;
		adit_handle conn;

		way_params(&way, &wp);
		wp.p[1].follow = on;
		world3_start(&w, &wp);
		conn = world3_dial(&w, 0);
		world3_run(&w, 2 * US_S);
		w.loss = 100;
		world3_session(&w, 0, conn, "a");
		path = world3_path(&w, 1);
		path.remote.port = 4500;
		assert_int_equal(world3_inject(&w, 1, &path, w.e[0].out, w.e[0].out_len),
				 on ? L2TP3_IN_CONTROL : L2TP3_IN_DROP);
		assert_int_equal(w.e[1].count[L2TP3_EV_CONN_MOVED], on);
		/* What was seen before moves nothing. */
		path.remote.port = 666;
		assert_int_equal(world3_inject(&w, 1, &path, w.e[0].out, w.e[0].out_len),
				 L2TP3_IN_DROP);
		assert_true(l2tp3_conn_info(w.e[1].l, w.e[1].conn, &k));
		assert_int_equal(k.path.remote.port, on ? 4500 : L2TP_PORT);
		world3_stop(&w);
	}
}

/* ---- strangers ---- */

/* A flood of requests from forged addresses: bounded, answered with nothing larger. */
static void flood(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_counters c;
	uint8_t request[L2TP_CONTROL_MAX];
	size_t len;
	struct path path;

	(void)state;
	world3_params(&wp);
	world3_start(&w, &wp);
	l2tp3_free(w.e[1].l);
	w.e[1].config.max_halfopen = 50;
	w.e[1].config.max_halfopen_source = 10;
	w.e[1].l = l2tp3_new(&w.e[1].config);
	world3_dial(&w, 0);
	memcpy(request, w.e[0].out, w.e[0].out_len);
	len = w.e[0].out_len;
	path = world3_path(&w, 1);
	for (unsigned i = 0; i < 2000; i++) {
		uint32_t before = w.e[1].sent;

		path.remote.ip[1] = (uint8_t)(i % 7 == 0 ? 1 : i >> 8);
		path.remote.ip[2] = (uint8_t)(i % 7 == 0 ? 1 : i);
		path.remote.port = (uint16_t)(1024 + i);
		world3_inject(&w, 1, &path, request, len);
		assert_true(w.e[1].sent <= before + 1);
		if (w.e[1].sent > before)
			assert_true(w.e[1].out_len <= len);
		l2tp3_counters(w.e[1].l, &c);
		assert_true(c.halfopen <= 50);
	}
	/* By time nothing is sent to those who never answered. */
	w.e[1].sent = 0;
	for (uint32_t i = 0; i < w.in_flight; i++)
		free(w.flight[i].bytes);
	w.in_flight = 0;
	w.loss = 100;
	world3_run(&w, 100 * US_S);
	l2tp3_counters(w.e[1].l, &c);
	assert_int_equal(c.halfopen, 0);
	assert_int_equal(w.e[1].sent, 0);
	world3_stop(&w);
}

/* Octets of all kinds at a door that is open: no crash, no answer, no state. */
static void noise(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_counters c;
	uint8_t bytes[64];

	(void)state;
	for (int ip = 0; ip < 2; ip++) {
		world3_params(&wp);
		wp.ip = ip;
		world3_start(&w, &wp);
		for (unsigned i = 0; i < 20000; i++) {
			struct path path = world3_path(&w, 1);
			size_t n = world3_random(&w, sizeof(bytes) + 1), at = ip ? 4 : 0;

			for (size_t k = 0; k < n; k++)
				bytes[k] = (uint8_t)world3_random(&w, 256);
			if (n > at + 12 && i % 2) { /* a header that can be read */
				memset(bytes, 0, at + 12);
				bytes[at] = 0xc8;
				bytes[at + 1] = 3;
				bytes[at + 3] = (uint8_t)(n - at);
			}
			world3_inject(&w, 1, &path, bytes, n);
		}
		l2tp3_counters(w.e[1].l, &c);
		assert_int_equal(c.conns, 0);
		/* Data of sessions is told that there is no connection, so often in a second. Over
		 * IP the answer would be larger. */
		assert_int_equal(w.e[1].sent, ip ? 0 : 32);
		world3_stop(&w);
	}
}

/* ---- loss, restart, memory ---- */

static void settle(struct world3 *w)
{
	w->loss = w->dup = w->reorder = 0;
	world3_run(w, 400 * US_S);
}

/* Both ends say the same of what there is, and have records of nothing else. */
static void agree(struct world3 *w)
{
	for (int i = 0; i < 2; i++) {
		for (const struct record3 *r = w->e[i].records; r; r = r->next) {
			struct l2tp3_session_info s;
			struct l2tp3_conn_info c;

			assert_true(r->kind == L2TP3_OBJ_CONN
					    ? l2tp3_conn_info(w->e[i].l, r->handle, &c)
					    : l2tp3_session_info(w->e[i].l, r->handle, &s));
		}
		for (adit_handle h = l2tp3_session_next(w->e[i].l, 0, 0); h;
		     h = l2tp3_session_next(w->e[i].l, 0, h)) {
			struct l2tp3_session_info a, b = { .state = L2TP3_SS_ASKING };
			bool found = false;

			assert_true(l2tp3_session_info(w->e[i].l, h, &a));
			assert_int_equal(a.state, L2TP3_SS_UP);
			for (adit_handle o = l2tp3_session_next(w->e[1 - i].l, 0, 0); o && !found;
			     o = l2tp3_session_next(w->e[1 - i].l, 0, o)) {
				assert_true(l2tp3_session_info(w->e[1 - i].l, o, &b));
				found = b.local_id == a.remote_id && b.remote_id == a.local_id;
			}
			assert_true(found);
			assert_memory_equal(a.cookie_in, b.cookie_out, 8);
			assert_int_equal(a.local_status, b.remote_status);
		}
	}
}

static void lossy(void **state)
{
	static struct world3 w;
	struct world3_params wp;

	(void)state;
	for (unsigned seed = 1; seed <= 12; seed++) {
		struct way way = { .ip = seed & 1, .cookie = { 8, 8 } };
		adit_handle conn, s[8];
		char end[8];

		if (seed & 2)
			way.secret[0] = way.secret[1] = "swordfish";
		way_params(&way, &wp);
		wp.seed = seed;
		world3_start(&w, &wp);
		w.loss = 20;
		w.dup = 15;
		w.reorder = 30;
		conn = world3_dial(&w, 0);
		for (int i = 0; i < 8; i++) {
			snprintf(end, sizeof(end), "c%d", i);
			s[i] = world3_session(&w, 0, conn, end);
		}
		world3_run(&w, 40 * US_S);
		for (int i = 0; i < 8; i++) {
			struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_STATUS,
						 .session = s[i],
						 .status = (uint16_t)(i & 1) };

			(void)world3_do(&w, 0, &cmd);
		}
		world3_drain(&w, 0);
		world3_run(&w, 40 * US_S);
		settle(&w);
		agree(&w);
		assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 8);
		world3_stop(&w);
	}
}

/*
 * One end dies at every step of a life and comes back from its records. What was established
 * stands; what was being set up is gone at both ends; nothing is half there.
 */
static void restart_at(unsigned step, int who, const struct way *way)
{
	static struct world3 w;
	struct world3_params wp;
	uint32_t up[2];
	adit_handle conn;

	way_params(way, &wp);
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_session(&w, 0, conn, "a");
	world3_session(&w, 0, conn, "b");
	while (w.steps < step && w.in_flight)
		world3_run(&w, 300);
	for (int i = 0; i < 2; i++)
		up[i] = world3_sessions(&w, i, L2TP3_SS_UP);
	world3_restart(&w, who);
	settle(&w);
	agree(&w);
	/* Never less than what both had. */
	assert_true(world3_sessions(&w, who, L2TP3_SS_UP) >= (up[0] < up[1] ? up[0] : up[1]));
	assert_int_equal(world3_conns(&w, 0, L2TP3_CS_UP), world3_conns(&w, 1, L2TP3_CS_UP));
	if (world3_sessions(&w, 0, L2TP3_SS_UP) == 2) {
		struct l2tp3_session_info a;
		adit_handle h = l2tp3_session_next(w.e[0].l, 0, 0);
		adit_handle o = l2tp3_session_next(w.e[1].l, 0, 0);
		uint32_t before = w.e[1].frames;

		assert_true(l2tp3_session_info(w.e[0].l, h, &a));
		assert_true(o);
		assert_true(world3_frame(&w, 0, h, "still here"));
		world3_run(&w, US_S);
		assert_int_equal(w.e[1].frames, before + 1);
	}
	world3_stop(&w);
}

static void restarts(void **state)
{
	static const struct way ways[] = {
		{ .cookie = { 8, 4 } },
		{ .ip = true,
		  .secret = { "s", "s" },
		  .cookie = { 8, 8 },
		  .sublayer = 1,
		  .sequencing = 2 },
	};

	(void)state;
	for (unsigned step = 0; step < 24; step++) {
		for (int who = 0; who < 2; who++) {
			restart_at(step, who, &ways[0]);
			restart_at(step, who, &ways[1]);
		}
	}
}

/* A change of our own circuit that was not told yet is told after the restart. */
static void status_survives(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_STATUS };
	adit_handle conn;

	(void)state;
	world3_params(&wp);
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	cmd.session = world3_session(&w, 0, conn, "a");
	world3_run(&w, 2 * US_S);
	w.loss = 100;
	assert_int_equal(world3_do(&w, 0, &cmd), 0);
	world3_drain(&w, 0);
	world3_restart(&w, 0);
	settle(&w);
	assert_int_equal(w.e[1].last[L2TP3_EV_SESSION_STATUS].remote_status, 0);
	assert_int_equal(world3_sessions(&w, 1, L2TP3_SS_UP), 1);
	world3_stop(&w);
}

/* Records cut short and records of noise: refused, or a CDN, never a crash. */
static void bad_records(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	adit_handle conn, h;

	(void)state;
	world3_params(&wp);
	world3_start(&w, &wp);
	conn = world3_dial(&w, 0);
	world3_session(&w, 0, conn, "a");
	world3_run(&w, 2 * US_S);
	for (struct record3 *r = w.e[0].records; r; r = r->next) {
		for (size_t n = 0; n <= r->len; n++) {
			for (unsigned flip = 0; flip < 3; flip++) {
				struct l2tp3 *l = l2tp3_new(&w.e[0].config);
				uint8_t *copy = malloc(n ? n : 1);
				struct rcur c;

				assert_non_null(l);
				assert_non_null(copy);
				memcpy(copy, r->bytes, n);
				if (flip && n)
					copy[world3_random(&w, (uint32_t)n)] ^=
						(uint8_t)(1 + world3_random(&w, 255));
				c = rcur_of(copy, n);
				if (r->kind == L2TP3_OBJ_CONN)
					(void)l2tp3_load_conn(l, w.now, &c, w.e[0].profile, 1, &h);
				else
					(void)l2tp3_load_session(l, w.now, &c, 1, &h);
				free(copy);
				l2tp3_free(l);
			}
		}
	}
	world3_stop(&w);
}

/* Where the top-level value of this tag stands in a record. */
static uint8_t *value_of(const struct record3 *r, uint16_t tag)
{
	for (size_t at = 0; at + 4 <= r->len;) {
		if ((r->bytes[at] << 8 | r->bytes[at + 1]) == tag)
			return r->bytes + at;
		at += 4u + (size_t)(r->bytes[at + 2] << 8 | r->bytes[at + 3]);
	}
	return NULL;
}

/* A record of a release that kept no keys: it is whole, and of no use without the secret. */
static void record_without_keys(void **state)
{
	static const uint8_t secret[] = { 's' };
	struct l2tp3_params none = { .host_name = "none" };
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3 *l;
	adit_handle h;
	uint8_t *keys;

	(void)state;
	world3_params(&wp);
	for (int i = 0; i < 2; i++)
		wp.p[i].secret[0] = (struct l2tp3_secret_param){ secret, 1 };
	world3_start(&w, &wp);
	world3_dial(&w, 0);
	world3_run(&w, 2 * US_S);
	keys = value_of(w.e[0].records, 24);
	assert_non_null(keys);
	for (int i = 0; i < 4; i++) { /* with keys, without; with the secret, without */
		int err, rc;
		struct l2tp3_profile *p = l2tp3_profile_new(i & 2 ? &none : &wp.p[0], &err);
		struct rcur c = rcur_of(w.e[0].records->bytes, w.e[0].records->len);

		l = l2tp3_new(&w.e[0].config);
		assert_true(l && p);
		keys[0] = i & 1 ? 0x7f : 0; /* a tag that nobody knows */
		rc = l2tp3_load_conn(l, w.now, &c, p, 1, &h);
		assert_int_equal(rc, i == 3 ? L2TP3_LOAD_MUTE : 0);
		l2tp3_profile_unref(p);
		l2tp3_free(l);
	}
	world3_stop(&w);
}

/* The n-th allocation fails, for every n that there is: it comes up all the same. */
static void allocations(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct way way = { .secret = { "s", "s" }, .cookie = { 8, 8 }, .challenge = true };

	(void)state;
	for (long n = 1; n < 400; n++) {
		adit_handle conn;

		way_params(&way, &wp);
		wp.circuit[0].tx_speed = 1000;
		world3_start(&w, &wp);
		w.fail_at = n;
		conn = world3_dial(&w, 0);
		world3_session(&w, 0, conn, "a");
		world3_run(&w, 30 * US_S);
		assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 1);
		assert_int_equal(world3_sessions(&w, 1, L2TP3_SS_UP), 1);
		world3_stop(&w);
		if (!w.full && n > 20)
			break;
	}
}

/* Ten thousand in one connection: each small, none in the way of another. */
static void many(void **state)
{
	static struct world3 w;
	struct world3_params wp;
	struct l2tp3_counters c;
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_CLOSE };
	size_t memory;
	char end[16];

	(void)state;
	world3_params(&wp);
	wp.p[0].receive_window = wp.p[1].receive_window = 64;
	world3_start(&w, &wp);
	cmd.conn = world3_dial(&w, 0);
	world3_run(&w, US_S);
	l2tp3_counters(w.e[0].l, &c);
	memory = c.memory;
	for (int i = 0; i < 2000; i++) {
		snprintf(end, sizeof(end), "vc%d", i);
		world3_session(&w, 0, cmd.conn, end);
	}
	world3_run(&w, 120 * US_S);
	assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 2000);
	assert_int_equal(world3_sessions(&w, 1, L2TP3_SS_UP), 2000);
	l2tp3_counters(w.e[0].l, &c);
	print_message("# %zu octets a session\n", (c.memory - memory) / 2000);
	assert_true((c.memory - memory) / 2000 < 700);
	assert_int_equal(world3_do(&w, 0, &cmd), 0);
	world3_drain(&w, 0);
	world3_run(&w, 100 * US_S);
	assert_int_equal(w.e[1].count[L2TP3_EV_SESSION_DOWN], 2000);
	no_way_left(&w);
	world3_stop(&w);
}

/* Memory is scarce at the western end (5.4.2, Error Code 4): neither connections nor sessions. */
static void scarce(void **state)
{
	struct world3_params wp;
	static struct world3 w;
	struct l2tp3_event *e;
	adit_handle conn;

	(void)state;
	world3_params(&wp);
	world3_start(&w, &wp);
	l2tp3_scarce(w.e[1].l, true);
	world3_dial(&w, 0);
	world3_run(&w, 3 * US_S);
	e = &w.e[0].last[L2TP3_EV_CONN_DOWN];
	assert_int_equal(w.e[0].count[L2TP3_EV_CONN_DOWN], 1);
	assert_true(e->by_peer);
	assert_int_equal(e->result, L2TP_STOP_ERROR);
	assert_int_equal(e->error, L2TP_ERR_RESOURCES);
	assert_int_equal(w.e[1].count[L2TP3_EV_CONN_ASK], 0);
	l2tp3_scarce(w.e[1].l, false);
	conn = world3_dial(&w, 0);
	world3_run(&w, 3 * US_S);
	assert_int_equal(w.e[0].count[L2TP3_EV_CONN_UP], 1);
	world3_session(&w, 0, conn, "one");
	world3_run(&w, 3 * US_S);
	assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_UP], 1);
	l2tp3_scarce(w.e[1].l, true);
	world3_session(&w, 0, conn, "two");
	world3_run(&w, 3 * US_S);
	e = &w.e[0].last[L2TP3_EV_SESSION_DOWN];
	assert_int_equal(w.e[0].count[L2TP3_EV_SESSION_DOWN], 1);
	assert_int_equal(e->result, L2TP_CDN_ERROR);
	assert_int_equal(e->error, L2TP_ERR_RESOURCES);
	assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 1);
	l2tp3_scarce(w.e[1].l, false);
	world3_session(&w, 0, conn, "two");
	world3_run(&w, 3 * US_S);
	assert_int_equal(world3_sessions(&w, 0, L2TP3_SS_UP), 2);
	world3_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way),
		cmocka_unit_test(other_secret),
		cmocka_unit_test(one_sided_secret),
		cmocka_unit_test(two_secrets),
		cmocka_unit_test(broken_bits),
		cmocka_unit_test(both_dial),
		cmocka_unit_test(no_tie_breakers),
		cmocka_unit_test(equal_connection_ties),
		cmocka_unit_test(session_ties),
		cmocka_unit_test(ties_are_ordinary),
		cmocka_unit_test(session_tie_without),
		cmocka_unit_test(circuit_status),
		cmocka_unit_test(circuit_refused),
		cmocka_unit_test(outgoing),
		cmocka_unit_test(mirror),
		cmocka_unit_test(data_checked),
		cmocka_unit_test(whose_socket),
		cmocka_unit_test(hello_and_loss),
		cmocka_unit_test(follows),
		cmocka_unit_test(flood),
		cmocka_unit_test(noise),
		cmocka_unit_test(lossy),
		cmocka_unit_test(restarts),
		cmocka_unit_test(status_survives),
		cmocka_unit_test(bad_records),
		cmocka_unit_test(record_without_keys),
		cmocka_unit_test(allocations),
		cmocka_unit_test(scarce),
		cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
