/* SPDX-License-Identifier: MIT
 *
 * Sessions: every cell of the four tables against RFC 2661 7.4.1, 7.4.2, 7.5.1 and 7.5.2, then
 * messages on the wire.
 */
#include "peer.h"

static struct peer p;

static int setup(void **state)
{
	peer_start(&p, NULL);
	peer_open(&p);
	peer_clear(&p);
	return 0;
}

static int setup_small(void **state)
{
	struct l2tp_params params = { .host_name = "iut", .max_sessions = 2 };

	peer_start(&p, &params);
	peer_open(&p);
	peer_clear(&p);
	return 0;
}

static int teardown(void **state)
{
	peer_stop(&p);
	return 0;
}

/* ---- the tables ---- */

/*
 * One line an event, one word a state: A asking, T wait-tunnel, R wait-reply, C wait-connect, U
 * established, X closing (CDN queued), I idle, D gone, - nothing happens. After the state: q ICRQ
 * or OCRQ is queued, p ICRP or OCRP, c ICCN or OCCN, ! CDN, ? the owner is asked, ^ UP, v DOWN, a
 * ACCM, e errors.
 */
struct line {
	enum call_event ev;
	const char *rows; /* in states A T R C U X I */
};

static const struct line lns_in[] = {
	{ CE_OPEN, "-   -   -   -   -   -   -" },
	{ CE_TUNNEL, "-   -   -   -   -   -   -" },
	/* idle + ICRQ acceptable: ICRP, wait-connect; later: CDN, clean up */
	{ CE_REQUEST, "X!v -   -   X!v X!v -   A?" },
	{ CE_ACCEPT, "Cp  -   -   -   -   -   -" },
	/* idle + ICRP: send CDN, clean up; wait-connect, established: CDN */
	{ CE_REPLY, "X!v -   -   X!v X!v -   X!" },
	{ CE_REPLY_BAD, "X!v -   -   X!v X!v -   X!" },
	{ CE_ANSWERED, "-   -   -   -   -   -   -" },
	/* idle + ICCN: clean up; wait-connect: established; established: CDN */
	{ CE_CONNECTED, "X!v -   -   U^  X!v -   -" },
	{ CE_CONNECTED_BAD, "X!v -   -   X!v X!v -   -" },
	/* any + CDN: clean up */
	{ CE_CDN, "Dv  -   -   Dv  Dv  D   -" },
	{ CE_SLI, "-   -   -   -   -   -   -" },
	{ CE_WEN, "-   -   -   -   Ue  -   -" },
	{ CE_BAD, "X!v -   -   X!v X!v -   X!" },
	/* wait-connect, established + local close: CDN, clean up */
	{ CE_CLOSE, "X!v -   -   X!v X!v -   -" },
	{ CE_EXPIRED, "X!v -   -   X!v -   -   -" },
	{ CE_SENT, "-   -   -   -   -   D   -" },
};

static const struct line lac_in[] = {
	/* idle + incoming call: wait-tunnel */
	{ CE_OPEN, "-   -   -   -   -   -   Tq" },
	/* wait-tunnel + tunnel-open: send ICRQ, wait-reply */
	{ CE_TUNNEL, "-   R   -   -   -   -   -" },
	/* wait-reply + ICRQ: CDN, clean up */
	{ CE_REQUEST, "-   -   X!v X!v X!v -   -" },
	{ CE_ACCEPT, "-   -   -   -   -   -   -" },
	/* idle + ICRP: clean up; wait-reply: ICCN, established (once it is sent); established: CDN
	 */
	{ CE_REPLY, "-   -   Cc  X!v X!v -   -" },
	{ CE_REPLY_BAD, "-   -   X!v X!v X!v -   -" },
	{ CE_ANSWERED, "-   -   -   -   -   -   -" },
	/* wait-reply + ICCN: clean up */
	{ CE_CONNECTED, "-   -   Dv  X!v X!v -   -" },
	{ CE_CONNECTED_BAD, "-   -   Dv  X!v X!v -   -" },
	{ CE_CDN, "-   -   Dv  Dv  Dv  D   -" },
	{ CE_SLI, "-   -   -   -   Ua  -   -" },
	{ CE_WEN, "-   -   -   -   -   -   -" },
	{ CE_BAD, "-   -   X!v X!v X!v -   -" },
	/* wait-tunnel + local close: clean up, nothing sent; later CDN */
	{ CE_CLOSE, "-   Dv  X!v X!v X!v -   -" },
	{ CE_EXPIRED, "-   Dv  X!v X!v -   -   -" },
	{ CE_SENT, "-   -   -   U^  -   D   -" },
};

static const struct line lac_out[] = {
	{ CE_OPEN, "-   -   -   -   -   -   -" },
	{ CE_TUNNEL, "-   -   -   -   -   -   -" },
	/* idle + OCRQ acceptable: OCRP, wait-cs-answer; later: CDN, clean up */
	{ CE_REQUEST, "X!v -   -   X!v X!v -   A?" },
	{ CE_ACCEPT, "Cp  -   -   -   -   -   -" },
	/* idle + OCRP: send CDN; wait-cs-answer, established: CDN */
	{ CE_REPLY, "X!v -   -   X!v X!v -   X!" },
	{ CE_REPLY_BAD, "X!v -   -   X!v X!v -   X!" },
	/* wait-cs-answer + bearer answer: OCCN, established (once it is sent) */
	{ CE_ANSWERED, "-   -   -   Cc  -   -   -" },
	/* idle + OCCN: clean up; wait-cs-answer, established: CDN */
	{ CE_CONNECTED, "X!v -   -   X!v X!v -   -" },
	{ CE_CONNECTED_BAD, "X!v -   -   X!v X!v -   -" },
	{ CE_CDN, "Dv  -   -   Dv  Dv  D   -" },
	{ CE_SLI, "-   -   -   -   Ua  -   -" },
	{ CE_WEN, "-   -   -   -   -   -   -" },
	{ CE_BAD, "X!v -   -   X!v X!v -   X!" },
	/* wait-cs-answer + bearer failure, established + bearer drop or local close: CDN */
	{ CE_CLOSE, "X!v -   -   X!v X!v -   -" },
	{ CE_EXPIRED, "X!v -   -   X!v -   -   -" },
	{ CE_SENT, "-   -   -   U^  -   D   -" },
};

static const struct line lns_out[] = {
	/* idle + open request: wait-tunnel */
	{ CE_OPEN, "-   -   -   -   -   -   Tq" },
	/* wait-tunnel + tunnel-open: send OCRQ, wait-reply */
	{ CE_TUNNEL, "-   R   -   -   -   -   -" },
	{ CE_REQUEST, "-   -   X!v X!v X!v -   -" },
	{ CE_ACCEPT, "-   -   -   -   -   -   -" },
	/* wait-reply + OCRP: wait-connect; + bad OCRP: CDN; later CDN */
	{ CE_REPLY, "-   -   C   X!v X!v -   -" },
	{ CE_REPLY_BAD, "-   -   X!v X!v X!v -   -" },
	{ CE_ANSWERED, "-   -   -   -   -   -   -" },
	/* wait-reply + OCCN: CDN; wait-connect: established; established: CDN */
	{ CE_CONNECTED, "-   -   X!v U^  X!v -   -" },
	{ CE_CONNECTED_BAD, "-   -   X!v X!v X!v -   -" },
	{ CE_CDN, "-   -   Dv  Dv  Dv  D   -" },
	{ CE_SLI, "-   -   -   -   -   -   -" },
	{ CE_WEN, "-   -   -   -   Ue  -   -" },
	{ CE_BAD, "-   -   X!v X!v X!v -   -" },
	/* wait-tunnel + local close: clean up, nothing sent; later CDN */
	{ CE_CLOSE, "-   Dv  X!v X!v X!v -   -" },
	{ CE_EXPIRED, "-   Dv  X!v X!v -   -   -" },
	{ CE_SENT, "-   -   -   -   -   D   -" },
};

static unsigned state_of(char c)
{
	static const char names[] = "ATRCUXID";

	return (unsigned)(strchr(names, c) - names);
}

static unsigned acts_of(const char *s)
{
	unsigned act = 0;

	for (; *s && *s != ' '; s++) {
		act |= *s == 'q' ? CA_QUEUE : 0;
		act |= *s == 'p' ? CA_REPLY : 0;
		act |= *s == 'c' ? CA_CONNECTED : 0;
		act |= *s == '!' ? CA_CDN : 0;
		act |= *s == '?' ? CA_ASK : 0;
		act |= *s == '^' ? CA_UP : 0;
		act |= *s == 'v' ? CA_END : 0;
		act |= *s == 'a' ? CA_ACCM : 0;
		act |= *s == 'e' ? CA_ERRORS : 0;
	}
	return act;
}

static void walk(int role, const struct line *lines)
{
	const unsigned hidden = CA_FINISH | CA_TIMER;

	for (size_t e = 0; e < CE_COUNT; e++) {
		const char *s = lines[e].rows;

		for (unsigned st = 0; st < L2TP_SS_DEAD; st++) {
			struct tunnel_row row = call_table[role][lines[e].ev][st];
			unsigned next = *s == '-' ? TS_SAME : state_of(*s);
			unsigned act = *s == '-' ? 0 : acts_of(s + 1);

			if (row.next != next || (row.act & ~hidden) != act)
				fail_msg("role %d event %u state %u: next %u act %x", role,
					 lines[e].ev, st, row.next, row.act);
			assert_int_equal(row.next == L2TP_SS_DEAD, (row.act & CA_FINISH) != 0);
			s += strcspn(s, " ");
			s += strspn(s, " ");
		}
		assert_int_equal(*s, '\0');
	}
}

static void test_tables(void **state)
{
	assert_int_equal(sizeof(lns_in) / sizeof(lns_in[0]), CE_COUNT);
	assert_int_equal(sizeof(lac_in) / sizeof(lac_in[0]), CE_COUNT);
	assert_int_equal(sizeof(lac_out) / sizeof(lac_out[0]), CE_COUNT);
	assert_int_equal(sizeof(lns_out) / sizeof(lns_out[0]), CE_COUNT);
	walk(CALL_ROLE_LNS_IN, lns_in);
	walk(CALL_ROLE_LAC_IN, lac_in);
	walk(CALL_ROLE_LAC_OUT, lac_out);
	walk(CALL_ROLE_LNS_OUT, lns_out);
}

/* ---- messages ---- */

static struct l2tp_build *icrq(uint16_t sid)
{
	struct l2tp_build *b = peer_begin(&p, L2TP_ICRQ);

	l2tp_build_u16(b, 14, sid);
	l2tp_build_u32(b, 15, 7);
	return b;
}

static struct l2tp_build *iccn(void)
{
	struct l2tp_build *b = peer_begin(&p, L2TP_ICCN);

	l2tp_build_u32(b, 24, 64000);
	l2tp_build_u32(b, 19, 1);
	return b;
}

static struct l2tp_build *icrp(uint16_t sid)
{
	struct l2tp_build *b = peer_begin(&p, L2TP_ICRP);

	l2tp_build_u16(b, 14, sid);
	return b;
}

static struct l2tp_build *cdn(uint16_t sid, uint16_t result, uint16_t error, const char *text)
{
	struct l2tp_build *b = peer_begin(&p, L2TP_CDN);

	l2tp_build_result(b, result, error, text);
	l2tp_build_u16(b, 14, sid);
	return b;
}

static void test_call_in(void **state)
{
	struct l2tp_build *b = icrq(8);
	const struct l2tp_event *ev;
	uint16_t id;

	l2tp_build_bytes(b, 21, "0800", 4);
	l2tp_build_bytes(b, 22, "030", 3);
	l2tp_build_bytes(b, 23, "sub", 3);
	peer_send(&p, 0);
	/* The strings are good until the next call into the engine; here it was answered already.
	 */
	ev = &p.last[L2TP_EV_SESSION_ASK];
	assert_int_equal(ev->serial, 7);
	assert_int_equal(peer_last(&p, L2TP_ICRP)->h.session, 8);
	id = peer_last(&p, L2TP_ICRP)->m.session_id;
	assert_int_not_equal(id, 0);
	assert_int_equal(peer_session_state(&p), L2TP_SS_WAIT_CONNECT);
	b = iccn();
	l2tp_build_u32(b, 38, 32000);
	l2tp_build_bytes(b, 26, "\x01\x04\x05\xdc", 4);
	l2tp_build_bytes(b, 30, "user", 4);
	peer_send(&p, id);
	assert_int_equal(peer_session_state(&p), L2TP_SS_UP);
	ev = &p.last[L2TP_EV_SESSION_UP];
	assert_int_equal(ev->tx_speed, 64000);
	assert_int_equal(ev->rx_speed, 32000);
	assert_int_equal(ev->proxy_len, 16);
	assert_int_equal(p.outs, 2); /* ICRP, and the ZLB for ICCN */
}

static void test_call_out(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN,
				.calling = "1",
				.called = "2",
				.sub_address = "3",
				.rx_speed = 5,
				.tx_speed = 6,
				.framing = 2,
				.sequencing = true };
	const struct out *o;

	cmd.tunnel = p.tunnel;
	assert_int_equal(peer_do(&p, &cmd), 0);
	p.session = cmd.ret_handle;
	o = peer_last(&p, L2TP_ICRQ);
	assert_int_equal(o->h.session, 0);
	assert_true(l2tp_msg_has(&o->m, 21) && l2tp_msg_has(&o->m, 22) && l2tp_msg_has(&o->m, 23));
	assert_int_equal(peer_session_state(&p), L2TP_SS_WAIT_REPLY);
	icrp(99);
	peer_send(&p, o->m.session_id);
	o = peer_last(&p, L2TP_ICCN);
	assert_int_equal(o->h.session, 99);
	assert_int_equal(o->m.tx_speed, 6);
	assert_int_equal(o->m.rx_speed, 5);
	assert_int_equal(o->m.framing_type, 2);
	assert_true(l2tp_msg_has(&o->m, 39));
	assert_int_equal(peer_session_state(&p), L2TP_SS_UP);
	assert_true(p.last[L2TP_EV_SESSION_UP].require_sequencing);
}

/* Serial numbers differ and grow (V2-7.4-18). */
static void test_serial(void **state)
{
	uint32_t last = 0;

	for (int i = 0; i < 5; i++) {
		peer_call(&p);
		peer_zlb(&p);
		if (i)
			assert_int_equal(peer_last(&p, L2TP_ICRQ)->m.serial, last + 1);
		last = peer_last(&p, L2TP_ICRQ)->m.serial;
	}
}

/* Each unexpected message ends the session with a CDN, the tunnel lives (V2-7.4-09, -11, -13, -14).
 */
static void test_unexpected(void **state)
{
	static const struct {
		bool out, up;
		uint16_t type;
		bool silent; /* LAC wait-reply + ICCN: clean up without a CDN */
	} cases[] = {
		{ false, false, L2TP_ICRQ, false }, { false, false, L2TP_ICRP, false },
		{ false, true, L2TP_ICRQ, false },  { false, true, L2TP_ICRP, false },
		{ false, true, L2TP_ICCN, false },  { true, false, L2TP_ICRQ, false },
		{ true, false, L2TP_ICCN, true },   { true, true, L2TP_ICRQ, false },
		{ true, true, L2TP_ICRP, false },   { true, true, L2TP_ICCN, false },
	};
	uint16_t id, sid = 100;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sid++;
		peer_clear(&p);
		if (cases[i].out && cases[i].up) {
			id = peer_call_out(&p, sid);
		} else if (cases[i].out) {
			peer_call(&p);
			id = peer_last(&p, L2TP_ICRQ)->m.session_id;
		} else if (cases[i].up) {
			id = peer_call_in(&p, sid);
		} else {
			icrq(sid);
			peer_send(&p, 0);
			id = peer_last(&p, L2TP_ICRP)->m.session_id;
		}
		peer_zlb(&p);
		peer_clear(&p);
		if (cases[i].type == L2TP_ICRQ)
			icrq(sid);
		else if (cases[i].type == L2TP_ICRP)
			icrp(sid);
		else
			iccn();
		peer_send(&p, id);
		if (peer_count(&p, L2TP_CDN) != !cases[i].silent)
			fail_msg("case %zu", i);
		if (!cases[i].silent) {
			assert_int_equal(peer_last(&p, L2TP_CDN)->m.session_id, id);
			assert_int_equal(peer_last(&p, L2TP_CDN)->m.result, L2TP_CDN_ERROR);
			assert_int_equal(peer_last(&p, L2TP_CDN)->h.session,
					 cases[i].out && !cases[i].up ? 0 : sid);
		}
		assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 1);
		assert_int_equal(p.last[L2TP_EV_SESSION_DOWN].cause, ADIT_CAUSE_PROTOCOL_ERROR);
		assert_int_equal(peer_session_state(&p), L2TP_SS_IDLE);
		assert_int_equal(peer_state(&p), L2TP_TS_UP);
		peer_zlb(&p);
	}
}

/* For sessions that are not there (V2-7.4-08, V2-6.12-06, L16, S18). */
static void test_unknown(void **state)
{
	const struct out *o;

	icrp(55);
	peer_send(&p, 4000);
	o = peer_last(&p, L2TP_CDN);
	assert_non_null(o);
	assert_int_equal(o->h.session, 55);
	peer_zlb(&p);
	peer_clear(&p);
	iccn();
	peer_send(&p, 4000);
	cdn(56, 1, 0, NULL);
	peer_send(&p, 4000);
	cdn(56, 1, 0, NULL);
	peer_send(&p, 0);
	assert_int_equal(peer_count(&p, L2TP_ZLB), 3);
	assert_int_equal(p.outs, 3);
	peer_clear(&p);
	icrq(57);
	peer_send(&p, 4001);
	assert_int_equal(peer_last(&p, L2TP_CDN)->h.session, 57);
	assert_int_equal(peer_last(&p, L2TP_CDN)->m.error, L2TP_ERR_SESSION_ID);
	assert_int_equal(p.events[L2TP_EV_SESSION_ASK], 0);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 0);
}

/* CDN: no CDN in return, with its words (V2-6.12-02, -04). */
static void test_cdn(void **state)
{
	uint16_t id = peer_call_in(&p, 9);

	peer_clear(&p);
	cdn(9, L2TP_CDN_BUSY, 0, "line in use");
	peer_send(&p, id);
	assert_int_equal(p.outs, 1);
	assert_int_equal(p.out[0].m.type, L2TP_ZLB);
	assert_int_equal(p.last[L2TP_EV_SESSION_DOWN].cause, ADIT_CAUSE_PEER_CLOSED_SESSION);
	assert_int_equal(p.last[L2TP_EV_SESSION_DOWN].result, L2TP_CDN_BUSY);
	assert_true(p.last[L2TP_EV_SESSION_DOWN].by_peer);
	assert_string_equal(p.text[L2TP_EV_SESSION_DOWN], "line in use");
	/* Before the peer knows our id: sid 0, found by its own; without text, words of the code.
	 */
	p.answer = false;
	icrq(10);
	peer_send(&p, 0);
	peer_clear(&p);
	cdn(10, L2TP_CDN_NO_FACILITIES, 0, NULL);
	peer_send(&p, 0);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 1);
	assert_true(strlen(p.text[L2TP_EV_SESSION_DOWN]) > 0);
	assert_int_equal(l2tp_session_next(p.l, 0, 0), 0);
	/* Result 0 is reserved but ends it all the same (V2-4.4.2-02). */
	p.answer = true;
	id = peer_call_in(&p, 11);
	cdn(11, 0, 0, NULL);
	peer_send(&p, id);
	assert_int_equal(peer_session_state(&p), L2TP_SS_IDLE);
}

/* Closed after ICRQ; the ICRP was under way (V2-7.4-16). */
static void test_crossing(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_CLOSE, .result = 1 };
	uint16_t id, nr;

	cmd.session = peer_call(&p);
	id = peer_last(&p, L2TP_ICRQ)->m.session_id;
	nr = p.nr;
	peer_zlb(&p);
	assert_int_equal(peer_do(&p, &cmd), 0);
	assert_int_equal(peer_last(&p, L2TP_CDN)->h.session, 0);
	assert_int_equal(peer_last(&p, L2TP_CDN)->m.session_id, id);
	peer_clear(&p);
	icrp(70);
	p.ns++;
	peer_send_as(&p, p.engine_tid, id, (uint16_t)(p.ns - 1), nr);
	assert_int_equal(peer_count(&p, L2TP_CDN), 0);
	assert_int_equal(peer_count(&p, L2TP_ZLB), 1);
	assert_int_equal(peer_state(&p), L2TP_TS_UP);
}

/* In wait-tunnel nothing was sent, so nothing is taken back (V2-7.4-15). */
static void test_close_waiting(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_CLOSE };

	peer_stop(&p);
	peer_start(&p, NULL);
	peer_dial(&p);
	cmd.session = peer_call(&p);
	assert_int_equal(peer_session_state(&p), L2TP_SS_WAIT_TUNNEL);
	assert_int_equal(peer_do(&p, &cmd), 0);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 1);
	peer_answer_dial(&p);
	assert_int_equal(peer_count(&p, L2TP_ICRQ), 0);
	assert_int_equal(peer_count(&p, L2TP_CDN), 0);
}

/* A required AVP is missing, or one is broken: the session ends, the tunnel lives (V2-7.1-03). */
static void test_bad_messages(void **state)
{
	struct l2tp_build *b;
	uint16_t id;

	b = peer_begin(&p, L2TP_ICRQ);
	l2tp_build_u16(b, 14, 20);
	peer_send(&p, 0);
	assert_int_equal(peer_last(&p, L2TP_CDN)->h.session, 20);
	assert_int_equal(p.events[L2TP_EV_SESSION_ASK], 0);
	peer_zlb(&p);
	peer_clear(&p);
	/* ICRQ without any id: refused all the same, to nobody in particular. */
	b = peer_begin(&p, L2TP_ICRQ);
	l2tp_build_u32(b, 15, 20);
	peer_send(&p, 0);
	assert_int_equal(p.outs, 1);
	assert_int_equal(p.out[0].m.type, L2TP_CDN);
	assert_int_equal(p.out[0].h.session, 0);
	peer_zlb(&p);
	/* ICCN without framing. */
	icrq(21);
	peer_send(&p, 0);
	id = peer_last(&p, L2TP_ICRP)->m.session_id;
	l2tp_build_u32(peer_begin(&p, L2TP_ICCN), 24, 1);
	peer_send(&p, id);
	assert_int_equal(peer_last(&p, L2TP_CDN)->h.session, 21);
	assert_int_equal(p.last[L2TP_EV_SESSION_DOWN].error, L2TP_ERR_VALUE);
	peer_zlb(&p);
	peer_clear(&p);
	/* ICRP without id. */
	peer_call(&p);
	id = peer_last(&p, L2TP_ICRQ)->m.session_id;
	peer_begin(&p, L2TP_ICRP);
	peer_send(&p, id);
	assert_int_equal(peer_last(&p, L2TP_CDN)->m.session_id, id);
	peer_zlb(&p);
	/* An unknown mandatory AVP in WEN ends that session only (V2-4.1-05). */
	id = peer_call_in(&p, 22);
	peer_clear(&p);
	b = peer_begin(&p, L2TP_WEN);
	wcur_u16(&b->c, 0x8006);
	wcur_u16(&b->c, 0);
	wcur_u16(&b->c, 0x7fff);
	peer_send(&p, id);
	assert_int_equal(peer_last(&p, L2TP_CDN)->m.error, L2TP_ERR_UNKNOWN_AVP);
	assert_int_equal(peer_state(&p), L2TP_TS_UP);
}

/* The peer's id is in use already (A20). */
static void test_id_in_use(void **state)
{
	peer_call_in(&p, 30);
	peer_clear(&p);
	icrq(30);
	peer_send(&p, 0);
	assert_int_equal(peer_last(&p, L2TP_CDN)->m.error, L2TP_ERR_SESSION_ID);
	assert_int_equal(p.events[L2TP_EV_SESSION_ASK], 0);
	assert_int_equal(peer_session_state(&p), L2TP_SS_UP);
}

/* Framing that was not offered (V2-7.4-10). */
static void test_framing(void **state)
{
	struct l2tp_build *b;
	uint16_t id;

	icrq(31);
	peer_send(&p, 0);
	id = peer_last(&p, L2TP_ICRP)->m.session_id;
	b = peer_begin(&p, L2TP_ICCN);
	l2tp_build_u32(b, 24, 1);
	l2tp_build_u32(b, 19, 4);
	peer_send(&p, id);
	assert_int_equal(peer_count(&p, L2TP_CDN), 1);
	peer_zlb(&p);
	icrq(32);
	peer_send(&p, 0);
	id = peer_last(&p, L2TP_ICRP)->m.session_id;
	b = peer_begin(&p, L2TP_ICCN);
	l2tp_build_u32(b, 24, 1);
	l2tp_build_u32(b, 19, 0);
	peer_send(&p, id);
	assert_int_equal(peer_session_state(&p), L2TP_SS_UP);
}

/* Full: CDN 4, the tunnel stays (V2-7.4-07); a flood of calls is answered one by one (X04). */
static void test_full(void **state)
{
	peer_call_in(&p, 1);
	peer_call_in(&p, 2);
	for (uint16_t sid = 3; sid < 40; sid++) {
		peer_clear(&p);
		icrq(sid);
		peer_send(&p, 0);
		assert_int_equal(p.outs, 1);
		assert_int_equal(p.out[0].m.type, L2TP_CDN);
		assert_int_equal(p.out[0].m.result, L2TP_CDN_NO_FACILITIES);
		assert_int_equal(p.out[0].h.session, sid);
	}
	assert_int_equal(peer_state(&p), L2TP_TS_UP);
}

/* A peer that asks and never reads the answers has its tunnel closed (S11). */
static void test_full_deaf(void **state)
{
	peer_call_in(&p, 1);
	peer_call_in(&p, 2);
	peer_zlb(&p);
	p.nr = 40000; /* from here on it acknowledges nothing */
	for (uint16_t sid = 3; sid < 600 && peer_state(&p) == L2TP_TS_UP; sid++) {
		peer_clear(&p);
		icrq(sid);
		peer_send(&p, 0);
	}
	assert_int_not_equal(peer_state(&p), L2TP_TS_UP);
	assert_int_equal(p.last[L2TP_EV_TUNNEL_DOWN].error, L2TP_ERR_RESOURCES);
}

/* Not established in time (V2-7.4-17), not answered by the owner. */
static void test_time_limits(void **state)
{
	icrq(40);
	peer_send(&p, 0);
	peer_zlb(&p);
	peer_clear(&p);
	peer_wait(&p, 59 * US_S);
	assert_int_equal(peer_count(&p, L2TP_CDN), 0);
	peer_wait(&p, 2 * US_S);
	assert_true(peer_count(&p, L2TP_CDN) >= 1);
	assert_int_equal(peer_last(&p, L2TP_CDN)->m.result, L2TP_CDN_TIMEOUT);
	assert_int_equal(p.last[L2TP_EV_SESSION_DOWN].cause, ADIT_CAUSE_SETUP_TIMEOUT);
	peer_zlb(&p);
	p.answer = false;
	icrq(41);
	peer_send(&p, 0);
	peer_clear(&p);
	peer_wait(&p, 31 * US_S);
	assert_true(peer_count(&p, L2TP_CDN) >= 1);
	assert_int_equal(peer_last(&p, L2TP_CDN)->h.session, 41);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 1);
}

/* SLI to the LAC, WEN to the LNS; from the wrong side they are acknowledged (V2-6.13, V2-6.14). */
static void test_sli_wen(void **state)
{
	uint8_t errors[26] = { 0 };
	uint16_t in = peer_call_in(&p, 50), out = peer_call_out(&p, 51);

	peer_clear(&p);
	errors[5] = 3;
	errors[25] = 4;
	for (int i = 0; i < 2; i++) {
		l2tp_build_accm(peer_begin(&p, L2TP_SLI), 0xa, 0xb);
		peer_send(&p, i ? in : out);
		l2tp_build_bytes(peer_begin(&p, L2TP_WEN), 34, errors, sizeof(errors));
		peer_send(&p, i ? in : out);
	}
	assert_int_equal(p.events[L2TP_EV_SESSION_ACCM], 1);
	assert_int_equal(p.last[L2TP_EV_SESSION_ACCM].a, 0xa);
	assert_int_equal(p.last[L2TP_EV_SESSION_ACCM].b, 0xb);
	assert_int_equal(p.events[L2TP_EV_SESSION_ERRORS], 1);
	assert_int_equal(p.last[L2TP_EV_SESSION_ERRORS].a, 7);
	assert_int_equal(p.events[L2TP_EV_SESSION_DOWN], 0);
}

/* Outgoing calls are refused politely. */
static void test_ocrq(void **state)
{
	struct l2tp_build *b = peer_begin(&p, L2TP_OCRQ);

	l2tp_build_u16(b, 14, 60);
	for (unsigned avp = 15; avp <= 19; avp++)
		l2tp_build_u32(b, avp, 1);
	l2tp_build_bytes(b, 21, "0", 1);
	peer_send(&p, 0);
	assert_int_equal(peer_last(&p, L2TP_CDN)->m.result, L2TP_CDN_NO_FACILITIES_EVER);
	assert_int_equal(peer_last(&p, L2TP_CDN)->h.session, 60);
	assert_int_equal(peer_state(&p), L2TP_TS_UP);
}

/* Answers go before new calls, whatever waits. */
static void test_order(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_CLOSE };
	uint16_t up = peer_call_out(&p, 61);

	cmd.session = p.session;
	peer_zlb(&p);
	for (int i = 0; i < 20; i++)
		peer_call(&p);
	assert_int_equal(peer_do(&p, &cmd), 0);
	assert_int_equal(peer_count(&p, L2TP_CDN), 0);
	peer_clear(&p);
	peer_zlb(&p);
	assert_int_equal(p.out[0].m.type, L2TP_CDN);
	assert_int_equal(p.out[0].m.session_id, up);
	assert_int_equal(p.out[1].m.type, L2TP_ICRQ);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tables),
		T(test_call_in),
		T(test_call_out),
		T(test_serial),
		T(test_unexpected),
		T(test_unknown),
		T(test_cdn),
		T(test_crossing),
		T(test_close_waiting),
		T(test_bad_messages),
		T(test_id_in_use),
		T(test_framing),
		cmocka_unit_test_setup_teardown(test_full, setup_small, teardown),
		cmocka_unit_test_setup_teardown(test_full_deaf, setup_small, teardown),
		T(test_time_limits),
		T(test_sli_wen),
		T(test_ocrq),
		T(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
