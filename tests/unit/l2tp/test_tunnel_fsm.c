/* SPDX-License-Identifier: MIT
 *
 * The control connection: every cell of its table against RFC 2661 7.2.1, then what happens on the
 * wire: authentication, ties, restarts of the peer, strangers, closing.
 */
#include "peer.h"

static struct peer p;

static int setup(void **state)
{
	return 0;
}

static int teardown(void **state)
{
	peer_stop(&p);
	return 0;
}

/* ---- the table ---- */

/*
 * One line an event, one word a state: A asking, R wait-ctl-reply, C wait-ctl-conn, U established,
 * X closing (StopCCN sent), L lingering (StopCCN received), I idle, D gone, - nothing happens.
 * After the state: ! StopCCN goes out, q SCCRQ, p SCCRP, c SCCCN, ? the owner is asked, ^ UP, v
 * DOWN.
 */
static const struct {
	enum tunnel_event ev;
	const char *rows; /* in states A R C U X L I */
} expect[] = {
	/* idle + local open request: send SCCRQ, wait-ctl-reply */
	{ TE_OPEN, "-    -    -    -    -    -    Rq" },
	/* idle + SCCRQ acceptable: (ask, then SCCRP) wait-ctl-conn; a second one: StopCCN */
	{ TE_SCCRQ, "-    X!v  X!v  X!v  -    -    A?" },
	/* idle + SCCRQ not acceptable: send StopCCN, clean up */
	{ TE_SCCRQ_BAD, "X!v  X!v  X!v  X!v  -    -    I!" },
	{ TE_ACCEPT, "Cp   -    -    -    -    -    -" },
	/* wait-ctl-reply + SCCRP acceptable: SCCCN, established; elsewhere StopCCN, but idle is
	   mute */
	{ TE_SCCRP, "X!v  Uc^  X!v  X!v  -    -    -" },
	{ TE_SCCRP_BAD, "X!v  X!v  X!v  X!v  -    -    -" },
	/* idle + SCCCN: clean up; wait-ctl-reply: StopCCN; wait-ctl-conn: established; else StopCCN
	 */
	{ TE_SCCCN, "X!v  X!v  U^   X!v  -    -    -" },
	{ TE_SCCCN_BAD, "X!v  X!v  X!v  X!v  -    -    -" },
	/* any state + StopCCN: clean up */
	{ TE_STOPCCN, "Lv   Lv   Lv   Lv   L    -    -" },
	{ TE_HELLO, "-    -    -    -    -    -    -" },
	/* no session message before the tunnel is up (5) */
	{ TE_CALL, "X!v  X!v  X!v  -    -    -    -" },
	{ TE_BAD, "X!v  X!v  X!v  X!v  -    -    -" },
	/* established + admin tunnel close: StopCCN, clean up */
	{ TE_CLOSE, "X!v  X!v  X!v  X!v  -    -    -" },
	{ TE_LOST, "Dv   Dv   Dv   Dv   D    D    -" },
	/* wait-ctl-reply + lose tie-breaker: clean up */
	{ TE_TIE_LOST, "-    Dv   -    -    -    -    -" },
	{ TE_REPLACED, "Dv   Dv   Dv   Dv   D    D    -" },
	{ TE_ACKED, "-    -    -    -    D    -    -" },
	{ TE_EXPIRED, "-    -    -    -    D    D    -" },
};

static unsigned state_of(char c)
{
	static const char names[] = "ARCUXLID";

	return (unsigned)(strchr(names, c) - names);
}

static unsigned acts_of(const char *s)
{
	unsigned act = 0;

	for (; *s && *s != ' '; s++) {
		act |= *s == '!' ? TA_STOP : 0;
		act |= *s == 'q' ? TA_SCCRQ : 0;
		act |= *s == 'p' ? TA_SCCRP : 0;
		act |= *s == 'c' ? TA_SCCCN : 0;
		act |= *s == '?' ? TA_ASK : 0;
		act |= *s == '^' ? TA_UP : 0;
		act |= *s == 'v' ? TA_END : 0;
	}
	return act;
}

static void test_table(void **state)
{
	const unsigned shown = TA_STOP | TA_SCCRQ | TA_SCCRP | TA_SCCCN | TA_ASK | TA_UP | TA_END;

	peer_start(&p, NULL);
	assert_int_equal(sizeof(expect) / sizeof(expect[0]), TE_COUNT);
	for (size_t e = 0; e < TE_COUNT; e++) {
		const char *s = expect[e].rows;

		for (unsigned st = 0; st < L2TP_TS_DEAD; st++) {
			struct tunnel_row row = tunnel_table[expect[e].ev][st];
			unsigned next = *s == '-' ? TS_SAME : state_of(*s);
			unsigned act = *s == '-' ? 0 : acts_of(s + 1);

			if (row.next != next || (row.act & shown) != act)
				fail_msg("event %u state %u: next %u act %x", expect[e].ev, st,
					 row.next, row.act);
			/* Nothing is left half done: what ends waits or is finished. */
			if (row.next == L2TP_TS_CLOSING || row.next == L2TP_TS_LINGER)
				assert_true(row.act & TA_WAIT);
			assert_int_equal(row.next == L2TP_TS_DEAD, (row.act & TA_FINISH) != 0);
			s += strcspn(s, " ");
			s += strspn(s, " ");
		}
		assert_int_equal(*s, '\0');
	}
}

/* ---- every state on the wire ---- */

/* Bring the engine's tunnel into this state. */
static void reach(unsigned state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE };
	struct l2tp_build *b;

	peer_start(&p, NULL);
	switch (state) {
	case L2TP_TS_ASKING:
		p.answer = false;
		/* fall through */
	case L2TP_TS_WAIT_CONN:
		peer_hello_words(&p, L2TP_SCCRQ, p.tid);
		p.ns = 1;
		peer_send_as(&p, 0, 0, 0, 0);
		break;
	case L2TP_TS_WAIT_REPLY:
		peer_dial(&p);
		break;
	case L2TP_TS_UP:
		peer_open(&p);
		break;
	case L2TP_TS_CLOSING:
		peer_open(&p);
		cmd.tunnel = p.tunnel;
		assert_int_equal(peer_do(&p, &cmd), 0);
		break;
	case L2TP_TS_LINGER:
		peer_open(&p);
		b = peer_begin(&p, L2TP_STOPCCN);
		l2tp_build_u16(b, 9, p.tid);
		l2tp_build_result(b, 1, 0, NULL);
		peer_send(&p, 0);
		break;
	}
	assert_int_equal(peer_state(&p), state);
	peer_clear(&p);
}

/* Messages that a state does not expect: StopCCN 7, the tunnel and the owner told (7.1). */
static void test_unexpected(void **state)
{
	static const struct {
		unsigned state;
		uint16_t type;
	} cases[] = {
		{ L2TP_TS_WAIT_REPLY, L2TP_SCCCN }, { L2TP_TS_WAIT_REPLY, L2TP_ICRQ },
		{ L2TP_TS_WAIT_REPLY, L2TP_SCCRQ }, { L2TP_TS_WAIT_CONN, L2TP_SCCRQ },
		{ L2TP_TS_WAIT_CONN, L2TP_SCCRP },  { L2TP_TS_WAIT_CONN, L2TP_ICRQ },
		{ L2TP_TS_UP, L2TP_SCCRQ },	    { L2TP_TS_UP, L2TP_SCCRP },
		{ L2TP_TS_UP, L2TP_SCCCN },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct l2tp_build *b;

		reach(cases[i].state);
		if (cases[i].state == L2TP_TS_WAIT_REPLY) {
			struct l2tp_tunnel_info info;

			assert_true(l2tp_tunnel_info(p.l, p.tunnel, &info));
			p.engine_tid = info.local_id;
		}
		b = cases[i].type == L2TP_SCCRQ || cases[i].type == L2TP_SCCRP
			    ? peer_hello_words(&p, cases[i].type, p.tid)
			    : peer_begin(&p, cases[i].type);
		if (cases[i].type == L2TP_ICRQ) {
			l2tp_build_u16(b, 14, 9);
			l2tp_build_u32(b, 15, 9);
		}
		peer_send(&p, 0);
		assert_int_equal(peer_state(&p), L2TP_TS_CLOSING);
		assert_int_equal(peer_count(&p, L2TP_STOPCCN), 1);
		assert_int_equal(peer_last(&p, L2TP_STOPCCN)->m.result, L2TP_STOP_FSM);
		assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
		assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_PROTOCOL_ERROR);
		assert_true(strlen(p.text[L2TP_EV_TUNNEL_DOWN]) > 0);
		assert_int_equal(p.events[L2TP_EV_SESSION_ASK], 0);
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

/* StopCCN in every state: acknowledged, kept for 31 s, then forgotten (V2-6.4-03, V2-7.2-09). */
static void test_stopccn(void **state)
{
	static const unsigned states[] = { L2TP_TS_ASKING, L2TP_TS_WAIT_REPLY, L2TP_TS_WAIT_CONN,
					   L2TP_TS_UP, L2TP_TS_CLOSING };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct l2tp_tunnel_info info;
		struct l2tp_build *b;
		uint16_t ns;

		reach(states[i]);
		assert_true(l2tp_tunnel_info(p.l, p.tunnel, &info));
		ns = p.ns;
		for (int copy = 0; copy < 5; copy++) {
			peer_clear(&p);
			b = peer_begin(&p, L2TP_STOPCCN);
			l2tp_build_u16(b, 9, p.tid);
			l2tp_build_result(b, 6, 0, "going");
			peer_send_as(&p, states[i] == L2TP_TS_ASKING ? 0 : info.local_id, 0, ns,
				     info.ns);
			assert_int_equal(peer_state(&p), L2TP_TS_LINGER);
			assert_int_equal(p.outs, 1);
			assert_int_equal(peer_count(&p, L2TP_ZLB), 1);
			assert_int_equal(p.out[0].h.nr, (uint16_t)(ns + 1));
			assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN],
					 copy == 0 && states[i] != L2TP_TS_CLOSING);
			if (copy == 0 && states[i] != L2TP_TS_CLOSING) {
				assert_string_equal(p.text[L2TP_EV_TUNNEL_DOWN], "going");
				assert_true(p.last[L2TP_EV_TUNNEL_DOWN].by_peer);
				assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].result, 6);
			}
			peer_wait(&p, US_S);
		}
		/* Anything else is not answered (V2-6.4-04, S20). */
		peer_clear(&p);
		peer_begin(&p, L2TP_HELLO);
		peer_send_as(&p, info.local_id, 0, (uint16_t)(ns + 1), info.ns);
		assert_int_equal(p.outs, 0);
		peer_wait(&p, 27 * US_S);
		assert_int_equal(peer_state(&p), L2TP_TS_IDLE);
		assert_int_equal(p.outs, 0);
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

/* Ours: with backoff for a full cycle, then silence; an acknowledgement ends it (V2-5.8-23). */
static void test_close(void **state)
{
	reach(L2TP_TS_CLOSING);
	peer_wait(&p, 31 * US_S - 1);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 5);
	assert_int_equal(peer_state(&p), L2TP_TS_CLOSING);
	peer_wait(&p, 2);
	assert_int_equal(peer_state(&p), L2TP_TS_IDLE);
	peer_wait(&p, 100 * US_S);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 5);
	peer_stop(&p);

	reach(L2TP_TS_CLOSING);
	peer_wait(&p, 2 * US_S);
	peer_zlb(&p);
	assert_int_equal(peer_state(&p), L2TP_TS_IDLE);
	assert_int_equal(l2tp_deadline(p.l).us, INT64_MAX);
}

/* Closed before SCCRP: StopCCN with tid 0 and the id of the SCCRQ (V2-4.4.3-10). */
static void test_close_dial(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE, .cause = ADIT_CAUSE_ADMIN };
	const struct out *o;
	uint16_t id;

	peer_start(&p, NULL);
	cmd.tunnel = peer_dial(&p);
	id = peer_last(&p, L2TP_SCCRQ)->m.tunnel_id;
	assert_int_equal(peer_do(&p, &cmd), 0);
	o = peer_last(&p, L2TP_STOPCCN);
	assert_non_null(o);
	assert_int_equal(o->h.tunnel, 0);
	assert_int_equal(o->m.tunnel_id, id);
	assert_int_equal(o->h.ns, 1);
	peer_wait(&p, 2 * US_S);
	assert_int_equal(peer_count(&p, L2TP_SCCRQ), 1);
	/* The answer was on its way: from now on StopCCN is addressed. */
	peer_hello_words(&p, L2TP_SCCRP, 77);
	peer_send_as(&p, id, 0, 0, 1);
	peer_wait(&p, 4 * US_S);
	assert_int_equal(peer_last(&p, L2TP_STOPCCN)->h.tunnel, 77);
	assert_int_equal(peer_last(&p, L2TP_STOPCCN)->h.ns, 1);
}

/* ---- opening ---- */

static void test_dial_timing(void **state)
{
	peer_start(&p, NULL);
	peer_dial(&p);
	peer_wait(&p, 31 * US_S);
	assert_int_equal(peer_count(&p, L2TP_SCCRQ), 6);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_UNREACHABLE);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 0);
	assert_int_equal(l2tp_deadline(p.l).us, INT64_MAX);
}

/* Acknowledged but never answered: the time limit, StopCCN. */
static void test_dial_mute(void **state)
{
	peer_start(&p, NULL);
	peer_dial(&p);
	peer_zlb(&p);
	peer_wait(&p, 61 * US_S);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_SETUP_TIMEOUT);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 2);
}

static const struct l2tp_params with_secret = {
	.host_name = "iut", .secret = "geheim", .secret_len = 6, .challenge = true
};
static const struct l2tp_secret secret = { (const uint8_t *)"geheim", 6 };

/* 5.1.1: as responder, and what wrong or missing answers lead to (V2-5.1.1-01 .. -05). */
static void test_challenge_responder(void **state)
{
	for (int kind = 0; kind < 3; kind++) {
		const struct out *o;
		struct l2tp_build *b;
		uint8_t r[16];

		peer_start(&p, &with_secret);
		b = peer_hello_words(&p, L2TP_SCCRQ, p.tid);
		l2tp_build_bytes(b, 11, "who are you", 11);
		p.ns = 1;
		peer_send_as(&p, 0, 0, 0, 0);
		o = peer_last(&p, L2TP_SCCRP);
		l2tp_auth_response(r, L2TP_SCCRP, &secret, "who are you", 11);
		assert_memory_equal(o->m.response.p, r, 16);
		assert_int_equal(o->m.challenge.n, L2TP_CHALLENGE);
		b = peer_begin(&p, L2TP_SCCCN);
		/* H11: an answer made for the other message is wrong. */
		l2tp_auth_response(r, kind == 1 ? L2TP_SCCRP : L2TP_SCCCN, &secret,
				   o->m.challenge.p, o->m.challenge.n);
		if (kind != 2)
			l2tp_build_bytes(b, 13, r, 16);
		peer_send(&p, 0);
		if (kind == 0) {
			assert_int_equal(peer_state(&p), L2TP_TS_UP);
		} else {
			assert_int_equal(peer_state(&p), L2TP_TS_CLOSING);
			assert_int_equal(peer_last(&p, L2TP_STOPCCN)->m.result,
					 L2TP_STOP_UNAUTHORISED);
			assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause,
					 ADIT_CAUSE_TUNNEL_AUTH_FAILED);
			assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 0);
		}
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

static void test_challenge_initiator(void **state)
{
	for (int kind = 0; kind < 3; kind++) {
		const struct out *o;
		struct l2tp_build *b;
		uint8_t r[16];

		peer_start(&p, &with_secret);
		peer_dial(&p);
		o = peer_last(&p, L2TP_SCCRQ);
		assert_int_equal(o->m.challenge.n, L2TP_CHALLENGE);
		l2tp_auth_response(r, L2TP_SCCRP, &secret, o->m.challenge.p, o->m.challenge.n);
		r[3] ^= kind == 1;
		b = peer_hello_words(&p, L2TP_SCCRP, p.tid);
		l2tp_build_bytes(b, 11, "and you", 7);
		if (kind != 2)
			l2tp_build_bytes(b, 13, r, 16);
		p.ns = 0;
		peer_send(&p, 0);
		if (kind == 0) {
			assert_int_equal(peer_state(&p), L2TP_TS_UP);
			l2tp_auth_response(r, L2TP_SCCCN, &secret, "and you", 7);
			assert_memory_equal(peer_last(&p, L2TP_SCCCN)->m.response.p, r, 16);
		} else {
			assert_int_equal(peer_last(&p, L2TP_STOPCCN)->m.result,
					 L2TP_STOP_UNAUTHORISED);
			assert_int_equal(peer_last(&p, L2TP_STOPCCN)->h.tunnel, p.tid);
			assert_int_equal(peer_count(&p, L2TP_SCCCN), 0);
		}
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

/* A challenge and no secret: refused, not answered with an empty one (V2-5.1.1-07). */
static void test_challenge_without_secret(void **state)
{
	struct l2tp_build *b;

	peer_start(&p, NULL);
	b = peer_hello_words(&p, L2TP_SCCRQ, p.tid);
	l2tp_build_bytes(b, 11, "x", 1);
	peer_send_as(&p, 0, 0, 0, 0);
	assert_int_equal(peer_last(&p, L2TP_STOPCCN)->m.result, L2TP_STOP_UNAUTHORISED);
	peer_stop(&p);
	peer_start(&p, NULL);
	peer_dial(&p);
	b = peer_hello_words(&p, L2TP_SCCRP, p.tid);
	l2tp_build_bytes(b, 11, "x", 1);
	peer_send(&p, 0);
	assert_int_equal(peer_last(&p, L2TP_STOPCCN)->m.result, L2TP_STOP_UNAUTHORISED);
}

/* AVPs of the SCCRQ hidden with a secret that only the owner knows. */
static void test_hidden_request(void **state)
{
	struct l2tp_build b;
	uint8_t buf[512];
	struct rng rng;
	size_t len;

	for (int wrong = 0; wrong < 2; wrong++) {
		struct l2tp_secret s = { (const uint8_t *)(wrong ? "falsch" : "geheim"), 6 };

		peer_start(&p, &with_secret);
		rng_init(&rng, (const uint8_t[32]){ 1 });
		l2tp_build_begin(&b, buf, sizeof(buf), L2TP_SCCRQ, &s, &rng);
		l2tp_build_u16(&b, 2, 0x0100);
		l2tp_build_bytes(&b, 7, "peer", 4);
		l2tp_build_u32(&b, 3, 3);
		l2tp_build_u16(&b, 9, p.tid);
		len = l2tp_build_end(&b);
		l2tp_build_stamp(buf, len, 0, 0, 0, 0);
		peer_bytes(&p, buf, len);
		assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 1);
		assert_string_equal(p.host, "peer");
		if (!wrong) {
			assert_int_equal(peer_last(&p, L2TP_SCCRP)->h.tunnel, p.tid);
			peer_bytes(&p, buf, len);
			assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 1);
			assert_int_equal(peer_count(&p, L2TP_SCCRP), 2);
		} else {
			assert_int_equal(peer_count(&p, L2TP_STOPCCN), 1);
			assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].result, L2TP_STOP_ERROR);
		}
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

/* 8.1: the answer comes from elsewhere. */
static void test_follow(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		struct l2tp_params params = { .host_name = "iut",
					      .allow_port_change = kind & 1,
					      .allow_address_change = kind & 2 };
		bool other_host = kind & 2;

		peer_start(&p, &params);
		peer_dial(&p);
		if (other_host)
			p.path.remote.ip[3]++;
		p.path.remote.port = 5555;
		peer_answer_dial(&p);
		if (kind == 0) {
			assert_int_equal(peer_state(&p), L2TP_TS_WAIT_REPLY);
			p.path.remote.port = L2TP_PORT;
			peer_answer_dial(&p);
			assert_int_equal(peer_state(&p), L2TP_TS_UP);
		} else {
			assert_int_equal(peer_state(&p), L2TP_TS_UP);
			assert_int_equal(peer_last(&p, L2TP_SCCCN)->path.remote.port, 5555);
			/* From now on it is fixed (V2-8.1-05). */
			peer_clear(&p);
			p.path.remote.port = L2TP_PORT;
			peer_begin(&p, L2TP_HELLO);
			peer_send(&p, 0);
			assert_int_equal(p.outs, 0);
		}
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

/* ---- strangers ---- */

/* One packet for each of theirs and none by time (the reflection rule); SCCRQ repeated. */
static void test_repeated_sccrq(void **state)
{
	peer_start(&p, NULL);
	for (int i = 1; i <= 5; i++) {
		peer_hello_words(&p, L2TP_SCCRQ, p.tid);
		peer_send_as(&p, 0, 0, 0, 0);
		assert_int_equal(peer_count(&p, L2TP_SCCRP), i);
		peer_wait(&p, US_S);
		assert_int_equal(p.outs, i);
	}
	assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 1);
	p.ns = 1;
	peer_begin(&p, L2TP_SCCCN);
	peer_send(&p, 0);
	assert_int_equal(peer_state(&p), L2TP_TS_UP);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
	/* An echo of the SCCRQ is acknowledged and opens nothing. */
	peer_hello_words(&p, L2TP_SCCRQ, p.tid);
	peer_send_as(&p, 0, 0, 0, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 1);
}

/* Never answered: forgotten without a word after a cycle. */
static void test_stranger_silent(void **state)
{
	peer_start(&p, NULL);
	peer_hello_words(&p, L2TP_SCCRQ, p.tid);
	peer_send_as(&p, 0, 0, 0, 0);
	peer_clear(&p);
	peer_wait(&p, 32 * US_S);
	assert_int_equal(p.outs, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_SETUP_TIMEOUT);
	assert_int_equal(peer_state(&p), L2TP_TS_IDLE);
}

/* The owner does not answer: StopCCN after L2TP_ANSWER_US. */
static void test_owner_silent(void **state)
{
	reach(L2TP_TS_ASKING);
	peer_wait(&p, L2TP_ANSWER_US);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 1);
	assert_int_equal(peer_last(&p, L2TP_STOPCCN)->m.error, L2TP_ERR_RESOURCES);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
}

/* Refused: one StopCCN, again for each repetition, and it ends with its acknowledgement. */
static void test_refused(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_REFUSE, .text = "not you" };

	reach(L2TP_TS_ASKING);
	cmd.tunnel = p.tunnel;
	assert_int_equal(peer_do(&p, &cmd), 0);
	assert_string_equal(peer_last(&p, L2TP_STOPCCN)->text, "not you");
	assert_int_equal(peer_last(&p, L2TP_STOPCCN)->m.result, L2TP_STOP_UNAUTHORISED);
	assert_int_equal(peer_last(&p, L2TP_STOPCCN)->h.tunnel, p.tid);
	peer_wait(&p, 3 * US_S);
	assert_int_equal(p.outs, 1);
	peer_hello_words(&p, L2TP_SCCRQ, p.tid);
	peer_send_as(&p, 0, 0, 0, 0);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 2);
	p.engine_tid = peer_last(&p, L2TP_STOPCCN)->m.tunnel_id;
	p.nr = 1;
	peer_zlb(&p);
	assert_int_equal(l2tp_tunnel_next(p.l, 0), 0);
}

/* Broken SCCRQs: a StopCCN that is not larger, no object (V2-4.4.3-07, -08, -13, V2-4.1-04). */
static void test_broken_sccrq(void **state)
{
	for (int kind = 0; kind < 6; kind++) {
		struct l2tp_counters c;
		struct l2tp_build *b;
		size_t len;

		peer_start(&p, NULL);
		b = peer_begin(&p, L2TP_SCCRQ);
		l2tp_build_u16(b, 2, 0x0100);
		if (kind != 0)
			l2tp_build_bytes(b, 7, "peer", kind == 1 ? 0 : 4);
		l2tp_build_u32(b, 3, 3);
		l2tp_build_u16(b, 9, kind == 2 ? 0 : p.tid);
		if (kind == 3)
			l2tp_build_u16(b, 10, 0);
		if (kind == 4) {
			wcur_u16(&b->c, 0x8006);
			wcur_u16(&b->c, 0);
			wcur_u16(&b->c, 0x7fff);
		}
		if (kind == 5)
			b->c.buf[26] = 2; /* protocol version */
		len = b->c.len;
		peer_send_as(&p, 0, 0, 0, 0);
		assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 0);
		assert_int_equal(p.outs, 1);
		assert_int_equal(p.out[0].m.type, L2TP_STOPCCN);
		assert_int_equal(p.out[0].h.tunnel, kind == 2 ? 0 : p.tid);
		assert_int_equal(p.out[0].m.result, kind == 5 ? L2TP_STOP_VERSION : 2);
		assert_true(p.out[0].len <= len);
		assert_true(strlen(p.out[0].text) > 0);
		l2tp_counters(p.l, &c);
		assert_int_equal(c.tunnels, 0);
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

/* Messages without a home: nothing is said (V2-3.1-15, V2-7.2-03, -04, L13, L17, L22, L23, S03). */
static void test_homeless(void **state)
{
	static const uint16_t types[] = { L2TP_SCCRP, L2TP_SCCCN,   L2TP_HELLO, L2TP_ICRQ,
					  L2TP_CDN,   L2TP_STOPCCN, L2TP_SCCRQ };

	peer_start(&p, NULL);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct l2tp_build *b = peer_hello_words(&p, types[i], p.tid);

		l2tp_build_u16(b, 14, 3);
		l2tp_build_result(b, 1, 0, NULL);
		peer_send_as(&p, 4711, 0, 0, 0);
		if (types[i] != L2TP_SCCRQ)
			peer_send_as(&p, 0, 0, 0, 0);
	}
	peer_hello_words(&p, L2TP_SCCRQ, p.tid);
	peer_send_as(&p, 0, 0, 1, 0);
	p.path.remote.port = 53;
	peer_send_as(&p, 0, 0, 0, 0);
	p.path.remote.port = 1701;
	p.path.remote.ip[0] = 224;
	peer_send_as(&p, 0, 0, 0, 0);
	memset(p.path.remote.ip, 0, 4);
	peer_send_as(&p, 0, 0, 0, 0);
	p.path.remote = p.path.local;
	peer_send_as(&p, 0, 0, 0, 0);
	assert_int_equal(p.outs, 0);
	assert_int_equal(l2tp_tunnel_next(p.l, 0), 0);
}

/* X01: bounded for a source and over all; the oldest goes. */
static void test_flood(void **state)
{
	struct l2tp_config config = { .seed = { 9 }, .max_halfopen = 50, .max_halfopen_source = 8 };
	struct l2tp_counters c;

	peer_start(&p, NULL);
	l2tp_free(p.l);
	p.l = l2tp_new(&config);
	for (uint16_t i = 1; i <= 1000; i++) {
		peer_clear(&p);
		peer_hello_words(&p, L2TP_SCCRQ, i);
		peer_send_as(&p, 0, 0, 0, 0);
		assert_true(p.outs <= 1);
		l2tp_counters(p.l, &c);
		assert_true(c.halfopen <= 8);
	}
	/* The newest gets in although the flood goes on. */
	assert_int_equal(peer_count(&p, L2TP_SCCRP), 1);
	p.ns = 1;
	peer_begin(&p, L2TP_SCCCN);
	peer_send(&p, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
	for (uint32_t i = 1; i <= 1000; i++) {
		peer_clear(&p);
		p.path.remote.ip[2] = (uint8_t)(i >> 8);
		p.path.remote.ip[3] = (uint8_t)i;
		peer_hello_words(&p, L2TP_SCCRQ, 1);
		peer_send_as(&p, 0, 0, 0, 0);
		l2tp_counters(p.l, &c);
		assert_true(c.halfopen <= 50);
		assert_true(c.tunnels <= 52);
	}
	peer_wait(&p, 40 * US_S);
	l2tp_counters(p.l, &c);
	assert_int_equal(c.halfopen, 0);
	assert_int_equal(c.tunnels, 1);
}

/* A flood uses up no ids: those of tunnels that never were up do not rest. */
static void test_flood_ids(void **state)
{
	struct l2tp_config config = {
		.seed = { 9 }, .max_halfopen = 8, .id_base = 100, .id_len = 64
	};

	peer_start(&p, NULL);
	l2tp_free(p.l);
	p.l = l2tp_new(&config);
	for (uint32_t i = 1; i <= 1000; i++) {
		peer_clear(&p);
		p.path.remote.ip[1] = 99;
		p.path.remote.ip[2] = (uint8_t)(i >> 8);
		p.path.remote.ip[3] = (uint8_t)i;
		peer_hello_words(&p, L2TP_SCCRQ, 1);
		peer_send_as(&p, 0, 0, 0, 0);
		assert_int_equal(peer_count(&p, L2TP_SCCRP), 1);
	}
}

/* Nor does it use up the tunnels: what is half-open gives way, what is established does not. */
static void test_flood_limit(void **state)
{
	struct l2tp_config config = { .seed = { 9 }, .max_tunnels = 8 };
	struct addr real;

	peer_start(&p, NULL);
	l2tp_free(p.l);
	p.l = l2tp_new(&config);
	real = p.path.remote;
	for (uint16_t tid = 1; tid <= 5; tid++) {
		for (uint8_t i = 1; i <= 20; i++) {
			peer_clear(&p);
			p.path.remote.ip[1] = 99;
			p.path.remote.ip[3] = i;
			peer_hello_words(&p, L2TP_SCCRQ, tid);
			peer_send_as(&p, 0, 0, 0, 0);
			assert_int_equal(peer_count(&p, L2TP_SCCRP), 1);
		}
		peer_clear(&p);
		p.path.remote = real;
		p.tid = tid;
		peer_open(&p);
		assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
	}
}

static void test_max_tunnels(void **state)
{
	struct l2tp_config config = { .seed = { 9 }, .max_tunnels = 2 };

	peer_start(&p, NULL);
	l2tp_free(p.l);
	p.l = l2tp_new(&config);
	for (uint16_t i = 1; i <= 3; i++) {
		peer_clear(&p);
		p.tid = i;
		peer_open(&p);
	}
	assert_int_equal(p.out[0].m.type, L2TP_STOPCCN);
	assert_int_equal(p.out[0].m.result, 2);
	assert_int_equal(p.out[0].m.error, L2TP_ERR_RESOURCES);
}

/* ---- the peer has restarted ---- */

static void test_replaced(void **state)
{
	adit_handle old;

	peer_start(&p, NULL);
	peer_open(&p);
	old = p.tunnel;
	peer_call_in(&p, 8);
	assert_int_equal(peer_session_state(&p), L2TP_SS_UP);
	/* The same id, other words: in at once, but the old one stays until this is proved. */
	l2tp_build_u16(peer_hello_words(&p, L2TP_SCCRQ, p.tid), 10, 7);
	p.ns = 1;
	p.nr = 0;
	peer_send_as(&p, 0, 0, 0, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 2);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 0);
	peer_clear(&p);
	peer_begin(&p, L2TP_SCCCN);
	peer_send(&p, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 1);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].tunnel, old);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_REPLACED);
	assert_int_equal(p.last[L2TP_EV_SESSION_DOWN].cause, ADIT_CAUSE_REPLACED);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 0);
}

/* The same id and the same words, some time later; and at once after a StopCCN. */
static void test_restart_same_words(void **state)
{
	struct l2tp_build *b;

	peer_start(&p, NULL);
	peer_open(&p);
	peer_wait(&p, 10 * US_S);
	peer_open(&p);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 2);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_REPLACED);
	b = peer_begin(&p, L2TP_STOPCCN);
	l2tp_build_u16(b, 9, p.tid);
	l2tp_build_result(b, 1, 0, NULL);
	peer_send(&p, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 2);
	peer_open(&p);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 3);
}

/* Another id: a further tunnel on the same path (V2-7.2-12). */
static void test_further_tunnel(void **state)
{
	peer_start(&p, NULL);
	for (uint16_t i = 1; i <= 5; i++) {
		p.tid = i;
		peer_open(&p);
	}
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 5);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 0);
}

/* ---- ties (4.4.3) ---- */

static void tie_start(bool ours)
{
	struct l2tp_params params = { .host_name = "iut", .tie_breaker = ours };

	peer_start(&p, &params);
	peer_dial(&p);
	peer_clear(&p);
}

static void tie_sccrq(bool has, uint64_t tie)
{
	struct l2tp_build *b = peer_hello_words(&p, L2TP_SCCRQ, p.tid);

	if (has)
		l2tp_build_u64(b, 5, tie);
	p.ns = 1;
	peer_send_as(&p, 0, 0, 0, 0);
}

/* TIE-01, -07: theirs is lower; ours is silent, and ends when theirs is up. */
static void test_tie_lost(void **state)
{
	adit_handle ours;

	tie_start(true);
	ours = p.tunnel;
	tie_sccrq(true, 0);
	assert_int_equal(peer_count(&p, L2TP_SCCRP), 1);
	peer_wait(&p, 5 * US_S);
	assert_int_equal(peer_count(&p, L2TP_SCCRQ), 0);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 0);
	p.nr = 1;
	peer_begin(&p, L2TP_SCCCN);
	peer_send(&p, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].tunnel, ours);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].cause, ADIT_CAUSE_TIE_LOST);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 0);
}

/* Calls that wait in the loser go over to the winner. */
static void test_tie_lost_calls_move(void **state)
{
	struct l2tp_session_info info;

	tie_start(true);
	peer_call(&p);
	peer_call(&p);
	tie_sccrq(true, 0);
	p.nr = 1;
	peer_begin(&p, L2TP_SCCCN);
	peer_send(&p, 0);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 0);
	assert_true(peer_count(&p, L2TP_ICRQ) >= 1);
	assert_true(l2tp_session_info(p.l, p.session, &info));
	assert_int_equal(info.tunnel, p.tunnel);
}

/* S24: a tie that wins and then comes to nothing does not stop us. */
static void test_tie_forged(void **state)
{
	tie_start(true);
	tie_sccrq(true, 0);
	peer_wait(&p, 32 * US_S);
	assert_true(peer_count(&p, L2TP_SCCRQ) >= 1);
	p.engine_tid = peer_last(&p, L2TP_SCCRQ)->m.tunnel_id;
	p.nr = 1;
	peer_answer_dial(&p);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
}

/* TIE-02: ours is lower; theirs is ignored, ours goes on. */
static void test_tie_won(void **state)
{
	tie_start(true);
	tie_sccrq(true, UINT64_MAX);
	assert_int_equal(p.outs, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 0);
	peer_wait(&p, US_S);
	assert_int_equal(peer_count(&p, L2TP_SCCRQ), 1);
	peer_answer_dial(&p);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
}

/* TIE-03: the same value: both are dropped. */
static void test_tie_equal(void **state)
{
	struct l2tp_params params = { .host_name = "iut", .tie_breaker = true };
	uint64_t tie;

	peer_start(&p, &params);
	peer_dial(&p);
	tie = peer_last(&p, L2TP_SCCRQ)->m.tie;
	peer_clear(&p);
	tie_sccrq(true, tie);
	assert_int_equal(p.outs, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_DOWN], 1);
	assert_int_equal(l2tp_tunnel_next(p.l, 0), 0);
}

/* TIE-04: one side has it, that side wins. */
static void test_tie_one_sided(void **state)
{
	tie_start(false);
	tie_sccrq(true, UINT64_MAX);
	assert_int_equal(peer_count(&p, L2TP_SCCRP), 1);
	peer_wait(&p, 3 * US_S);
	assert_int_equal(peer_count(&p, L2TP_SCCRQ), 0);
	peer_stop(&p);
	tie_start(true);
	tie_sccrq(false, 0);
	assert_int_equal(peer_count(&p, L2TP_SCCRP), 0);
}

/* TIE-05: neither has it: two tunnels. TIE-06: compared as a big endian number. */
static void test_tie_none(void **state)
{
	struct l2tp_params params = { .host_name = "iut", .tie_breaker = true };
	adit_handle ours;
	uint16_t tid;

	tie_start(false);
	ours = p.tunnel;
	tie_sccrq(false, 0);
	assert_int_equal(peer_count(&p, L2TP_SCCRP), 1);
	p.nr = 1;
	peer_begin(&p, L2TP_SCCCN);
	peer_send(&p, 0);
	peer_wait(&p, US_S);
	assert_int_equal(peer_count(&p, L2TP_SCCRQ), 1);
	tid = peer_last(&p, L2TP_SCCRQ)->m.tunnel_id;
	p.tid++;
	p.engine_tid = tid;
	p.nr = 1;
	peer_answer_dial(&p);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 2);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_UP].tunnel, ours);
	peer_stop(&p);
	for (int up = 0; up < 2; up++) {
		uint64_t tie;

		peer_start(&p, &params);
		peer_dial(&p);
		tie = peer_last(&p, L2TP_SCCRQ)->m.tie;
		peer_clear(&p);
		tie_sccrq(true, up ? tie + 1 : tie - 1);
		assert_int_equal(peer_count(&p, L2TP_SCCRP), !up);
		peer_stop(&p);
	}
	peer_start(&p, NULL);
}

/* ---- transport on the wire ---- */

static void test_duplicates_acked(void **state)
{
	struct l2tp_build *b;

	peer_start(&p, NULL);
	peer_open(&p);
	for (int i = 0; i < 4; i++) {
		peer_clear(&p);
		peer_begin(&p, L2TP_HELLO);
		peer_send_as(&p, p.engine_tid, 0, 2, p.nr);
		assert_int_equal(p.outs, 1);
		assert_int_equal(p.out[0].h.nr, 3);
	}
	p.ns = 3;
	/* ZLBs are never answered, whatever their Ns (V2-5.8-03, -25, -27). */
	peer_clear(&p);
	for (uint16_t ns = 0; ns < 10; ns++) {
		uint8_t zlb[12];

		l2tp_build_zlb(zlb, sizeof(zlb), p.engine_tid, ns, p.nr);
		zlb[7] = 9; /* a session id does not matter */
		peer_bytes(&p, zlb, sizeof(zlb));
	}
	assert_int_equal(p.outs, 0);
	/* n+1 before n: both are taken, in order (V2-5.8-08, -09). */
	b = peer_begin(&p, L2TP_ICRQ);
	l2tp_build_u16(b, 14, 4);
	l2tp_build_u32(b, 15, 4);
	peer_send_as(&p, p.engine_tid, 0, 4, p.nr);
	assert_int_equal(p.out[0].h.nr, 3);
	assert_int_equal(p.events[L2TP_EV_SESSION_ASK], 0);
	b = peer_begin(&p, L2TP_ICRQ);
	l2tp_build_u16(b, 14, 3);
	l2tp_build_u32(b, 15, 3);
	peer_send_as(&p, p.engine_tid, 0, 3, p.nr);
	assert_int_equal(p.events[L2TP_EV_SESSION_ASK], 2);
	assert_int_equal(p.last[L2TP_EV_SESSION_ASK].serial, 4);
	/* Far ahead: dropped (V2-5.8-10). */
	peer_clear(&p);
	peer_begin(&p, L2TP_HELLO);
	peer_send_as(&p, p.engine_tid, 0, 5 + 16, p.nr);
	peer_send_as(&p, p.engine_tid, 0, 30000, p.nr);
	assert_int_equal(p.outs, 0);
}

/* An unknown message type: M=1 ends the tunnel, M=0 is acknowledged (V2-4.4.1-03, -04). */
static void test_unknown_types(void **state)
{
	struct l2tp_build *b;

	peer_start(&p, NULL);
	peer_open(&p);
	for (uint16_t type = 17; type < 30; type++) {
		peer_clear(&p);
		b = peer_begin(&p, type);
		b->c.buf[12] &= 0x7f;
		peer_send(&p, 0);
		assert_int_equal(p.outs, 1);
		assert_int_equal(p.out[0].m.type, L2TP_ZLB);
	}
	peer_begin(&p, 60);
	peer_send(&p, 0);
	assert_int_equal(peer_count(&p, L2TP_STOPCCN), 1);
	assert_int_equal(peer_state(&p), L2TP_TS_CLOSING);
}

/* Missing Receive Window Size means 4; the peer's silence leaves at most that many out. */
static void test_peer_window(void **state)
{
	peer_start(&p, NULL);
	peer_dial(&p);
	peer_answer_dial(&p);
	peer_clear(&p);
	for (int i = 0; i < 30; i++)
		peer_call(&p);
	assert_int_equal(peer_count(&p, L2TP_ICRQ), 3); /* cwnd is 3 after two acknowledgements */
	p.nr = (uint16_t)(peer_last(&p, L2TP_ICRQ)->h.ns + 1);
	peer_clear(&p);
	peer_zlb(&p);
	assert_int_equal(peer_count(&p, L2TP_ICRQ), 4);
	peer_wait(&p, 900 * US_MS);
	assert_int_equal(p.outs, 4);
}

/*
 * Rows: V2-4.4.3-15
 * A thousand tunnels one after the other: no arithmetic in their ids, and none comes again soon.
 */
static void test_ids(void **state)
{
	static bool had[65536], steps[131072];
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_OPEN };
	struct l2tp_tunnel_info info;
	unsigned int last = 0, different = 0;

	peer_start(&p, NULL);
	cmd.profile = p.profile;
	cmd.path = p.path;
	for (int i = 0; i < 1000; i++) {
		struct l2tp_cmd bye = { .kind = L2TP_CMD_TUNNEL_CLOSE };

		assert_int_equal(peer_do(&p, &cmd), 0);
		assert_true(l2tp_tunnel_info(p.l, cmd.ret_handle, &info));
		assert_false(had[info.local_id]);
		had[info.local_id] = true;
		different += i && !steps[info.local_id - last + 65536];
		steps[info.local_id - last + 65536] = true;
		last = info.local_id;
		bye.tunnel = cmd.ret_handle;
		if (i % 2)
			assert_int_equal(peer_do(&p, &bye), 0);
		peer_clear(&p);
	}
	assert_true(different > 950);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_table),
		T(test_unexpected),
		T(test_stopccn),
		T(test_close),
		T(test_close_dial),
		T(test_dial_timing),
		T(test_dial_mute),
		T(test_challenge_responder),
		T(test_challenge_initiator),
		T(test_challenge_without_secret),
		T(test_hidden_request),
		T(test_follow),
		T(test_repeated_sccrq),
		T(test_stranger_silent),
		T(test_owner_silent),
		T(test_refused),
		T(test_broken_sccrq),
		T(test_homeless),
		T(test_flood),
		T(test_flood_ids),
		T(test_flood_limit),
		T(test_max_tunnels),
		T(test_replaced),
		T(test_restart_same_words),
		T(test_further_tunnel),
		T(test_tie_lost),
		T(test_tie_lost_calls_move),
		T(test_tie_forged),
		T(test_tie_won),
		T(test_tie_equal),
		T(test_tie_one_sided),
		T(test_tie_none),
		T(test_duplicates_acked),
		T(test_unknown_types),
		T(test_peer_window),
		T(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
