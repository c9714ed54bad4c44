/* SPDX-License-Identifier: MIT
 *
 * Sessions from the first packet to the last line, seen from both ends: logins, time limits,
 * accounting, limits per user, new configurations, a data plane that fails, the end of a daemon, a
 * crash after every step, and memory that runs out at every allocation.
 */
#include "pair.h"
#include "failmalloc.h"
#include "access/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LNS(p)	  (&(p)->m[0])
#define CLIENT(p) (&(p)->m[1])

static struct pair *pair_up(const struct pair_options *o, size_t n)
{
	struct pair *p = pair_new(o);

	pair_until(p, LNS(p), ACCESS_EV_UP, n, 60 * US_S);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, n, 60 * US_S);
	return p;
}

static void shut(struct pair *p)
{
	struct access_cmd off = { .kind = ACCESS_CMD_SHUTDOWN };

	assert_int_equal(pair_do(CLIENT(p), &off), 0);
	assert_int_equal(pair_do(LNS(p), &off), 0);
	pair_run(p, 300 * US_S);
	pair_check_empty(LNS(p));
	pair_check_empty(CLIENT(p));
	pair_check_lines(LNS(p), true);
	pair_check_lines(CLIENT(p), true);
}

static enum adit_cause down_of(const struct machine *m)
{
	return pair_latest(m, ACCESS_EV_DOWN)->cause;
}

static void login(enum ppp_auth auth)
{
	struct pair_options o = { .auth = auth };
	struct pair *p = pair_up(&o, 1);
	const struct pair_news *s = pair_latest(LNS(p), ACCESS_EV_UP);
	const struct pair_news *c = pair_latest(CLIENT(p), ACCESS_EV_UP);
	struct access_session_info i;
	struct access_dial_info d;
	struct access_summary sum;

	assert_string_equal(s->user, "alice");
	assert_string_equal(s->name, "clients");
	assert_string_equal(c->name, "d0");
	assert_string_equal(c->ifname, "l2tp0");
	assert_memory_equal(s->our_ip4, "\x0a\x09\x00\x01", 4);
	assert_memory_equal(s->peer_ip4, c->our_ip4, 4);
	assert_memory_equal(c->peer_ip4, s->our_ip4, 4);
	assert_int_equal(c->prefix6.len, 64);
	assert_memory_equal(c->prefix6.addr.ip, s->prefix6.addr.ip, 16);
	assert_true(access_session(LNS(p)->a, s->key, &i));
	assert_string_equal(i.state, "up");
	assert_int_equal(i.auth, auth);
	assert_true(i.up && !i.client);
	assert_string_equal(i.host_name, "client");
	assert_true(access_dial(CLIENT(p)->a, 0, &d));
	assert_string_equal(d.state, "up");
	assert_int_equal(d.key, c->key);
	access_summary(LNS(p)->a, &sum);
	assert_int_equal(sum.sessions_up, 1);
	assert_int_equal(sum.setups, 1);
	assert_int_equal(pair_rows(LNS(p)), 1);
	assert_int_equal(pair_lines(LNS(p), s->key, "start"), 1);
	/* Echoes and HELLOs keep it alive. */
	pair_run(p, 600 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	shut(p);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_SHUTDOWN);
	pair_free(p);
}

static void login_chap(void **state)
{
	login(PPP_AUTH_CHAP_MD5);
}

static void login_pap(void **state)
{
	login(PPP_AUTH_PAP);
}

static void no_login(void **state)
{
	struct pair_options o = { .no_login = true };
	struct pair *p = pair_up(&o, 1);

	assert_int_equal(pair_told(LNS(p), ACCESS_EV_AUTH), 0);
	assert_memory_equal(pair_latest(CLIENT(p), ACCESS_EV_UP)->peer_ip4, "\x0a\x09\x00\x01", 4);
	shut(p);
	pair_free(p);
}

static void wrong_password(void **state)
{
	struct pair_options o = { .password = { "guess" }, .redial_max = 1 };
	struct pair *p = pair_new(&o);
	struct access_failure f;
	struct access_dial_info d;

	pair_run(p, 120 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 0);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_AUTH_FAILED);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_PEER_AUTH_FAILED);
	assert_true(access_failure(LNS(p)->a, 0, &f));
	assert_int_equal(f.cause, ADIT_CAUSE_AUTH_FAILED);
	assert_string_equal(f.who, "alice");
	assert_true(access_dial(CLIENT(p)->a, 0, &d));
	assert_string_equal(d.state, "idle");
	assert_int_equal(d.cause, ADIT_CAUSE_PEER_AUTH_FAILED);
	assert_int_equal(LNS(p)->line_count, 0);
	assert_int_equal(CLIENT(p)->line_count, 0);
	pair_check_empty(LNS(p));
	pair_check_empty(CLIENT(p));
	pair_free(p);
}

static void unknown_user(void **state)
{
	struct pair_options o = { .user = { "mallory" }, .redial_max = 1, .auth = PPP_AUTH_PAP };
	struct pair *p = pair_new(&o);

	pair_run(p, 120 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_AUTH_FAILED);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_PEER_AUTH_FAILED);
	pair_free(p);
}

static void no_name(void **state)
{
	struct pair_options o = { .redial_max = 2 };
	struct pair *p = pair_make(&o);
	struct access_dial_info d;

	CLIENT(p)->no_name = true;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_run(p, 60 * US_S);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_RESOLVE), 2);
	assert_true(access_dial(CLIENT(p)->a, 0, &d));
	assert_int_equal(d.cause, ADIT_CAUSE_NAME_NOT_FOUND);
	assert_string_equal(d.text, "no such name");
	assert_string_equal(d.state, "idle");
	pair_free(p);
}

static void no_answer(void **state)
{
	struct pair_options o = { .redial_max = 1 };
	struct pair *p = pair_make(&o);

	p->cut = true;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_run(p, 300 * US_S);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_UNREACHABLE);
	pair_check_empty(CLIENT(p));
	pair_free(p);
}

static void late_answer(void **state)
{
	struct pair_options o = { .auth = PPP_AUTH_CHAP_MD5 };
	struct pair *p = pair_make(&o);
	struct access_session_info i;

	LNS(p)->hold_auth = true;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_until(p, LNS(p), ACCESS_EV_AUTH, 1, 10 * US_S);
	pair_run(p, 8 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 0);
	assert_true(access_session(LNS(p)->a, access_session_next(LNS(p)->a, 0), &i));
	assert_string_equal(i.state, "authenticating");
	LNS(p)->hold_auth = false;
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 20 * US_S);
	shut(p);
	pair_free(p);
}

static void answer_to_nobody(void **state)
{
	struct pair_options o = { .auth_us = 10 * US_S, .redial_max = 1 };
	struct pair *p = pair_make(&o);
	struct access_cmd cmd;

	LNS(p)->hold_auth = true;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_AUTH_TIMEOUT);
	assert_true(LNS(p)->auth_count > 0);
	cmd = LNS(p)->auth[0];
	LNS(p)->auth_count = 0;
	assert_true(cmd.ok);
	assert_int_equal(pair_do(LNS(p), &cmd), 1);
	cmd.ok = false;
	assert_int_equal(pair_do(LNS(p), &cmd), 1);
	pair_run(p, 200 * US_S);
	pair_check_empty(LNS(p));
	assert_int_equal(LNS(p)->line_count, 0);
	pair_free(p);
}

static void commands_to_nobody(void **state)
{
	struct pair_options o = { .manual = true };
	struct pair *p = pair_new(&o);
	struct dp_done done = { .op = DP_OP_PUT, .key = 77 };
	struct access_cmd cmd = { .key = 77, .name = "nowhere", .tunnel = 7, .done = &done };
	static const enum access_cmd_kind kinds[] = {
		ACCESS_CMD_CONNECT,	ACCESS_CMD_DISCONNECT, ACCESS_CMD_TERMINATE,
		ACCESS_CMD_AUTH,	ACCESS_CMD_RESOLVED,   ACCESS_CMD_TERMINATE_TUNNEL,
		ACCESS_CMD_DP_DONE,	ACCESS_CMD_STATS,      ACCESS_CMD_HEARD,
		ACCESS_CMD_ACCT_WRITTEN
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		cmd.kind = kinds[i];
		assert_int_equal(pair_do(CLIENT(p), &cmd), 1);
		assert_int_equal(pair_do(LNS(p), &cmd), 1);
	}
	cmd = (struct access_cmd){ .kind = ACCESS_CMD_RESOLVED, .name = "d0" };
	assert_int_equal(pair_do(CLIENT(p), &cmd), 2); /* nobody asked */
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 2);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 2);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_run(p, 60 * US_S);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_ADMIN);
	assert_true(pair_latest(LNS(p), ACCESS_EV_DOWN)->by_peer);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_UP), 1);
	pair_free(p);
}

static void terminate(void **state)
{
	struct pair_options o = { .redial_max = 0 };
	struct pair *p = pair_up(&o, 1);
	struct access_cmd cmd = { .kind = ACCESS_CMD_TERMINATE };
	struct access_tunnel_info t;
	uint64_t key = pair_latest(LNS(p), ACCESS_EV_UP)->key;

	cmd.key = key;
	pair_traffic(LNS(p), key, 1000);
	assert_int_equal(access_do(LNS(p)->a, p->now, &cmd), 0);
	assert_int_equal(pair_do(LNS(p), &cmd), 2);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 30 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_ADMIN);
	assert_true(pair_latest(LNS(p), ACCESS_EV_DOWN)->established);
	assert_int_equal(pair_do(LNS(p), &cmd), 1);
	assert_int_equal(pair_lines(LNS(p), key, "stop"), 1);
	assert_non_null(strstr(LNS(p)->lines[1].text, "\"in_octets\":1000,\"out_octets\":2000,"
						      "\"in_packets\":1,\"out_packets\":2"));
	/* The client dials again by itself, and gets the address it had. */
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 60 * US_S);
	assert_memory_equal(pair_latest(CLIENT(p), ACCESS_EV_UP)->our_ip4,
			    CLIENT(p)->log[0].our_ip4[0]
				    ? CLIENT(p)->log[0].our_ip4
				    : pair_latest(LNS(p), ACCESS_EV_UP)->peer_ip4,
			    4);
	cmd = (struct access_cmd){ .kind = ACCESS_CMD_TERMINATE_TUNNEL,
				   .tunnel = access_tunnel_next(LNS(p)->a, 0) };
	assert_true(access_tunnel(LNS(p)->a, cmd.tunnel, &t));
	assert_string_equal(t.peer, "clients");
	assert_int_equal(access_do(LNS(p)->a, p->now, &cmd), 0);
	assert_int_equal(pair_do(LNS(p), &cmd), 1);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 3, 60 * US_S);
	shut(p);
	pair_free(p);
}

/* How often the peer's words were taken. */
static size_t times_told(struct trace *t, const char *words)
{
	struct trace_record r;
	uint64_t pos = 0, lost;
	uint8_t raw[2048];
	size_t n = 0;

	while (trace_read(t, &pos, &r, raw, sizeof(raw) - 1, &lost)) {
		raw[r.raw_len] = '\0';
		n += r.kind == TRACE_ACCESS_NOTE && strcmp((char *)raw, words) == 0;
	}
	return n;
}

/* RFC 1570 1.2: at the beginning, and a minute before the end; by the server alone. */
static void time_remaining(void **state)
{
	struct pair_options o = { .session_us = 90 * US_S, .manual = true };
	struct pair *p = pair_new(&o);
	void *mem = calloc(1, trace_size(256, 65536));
	struct trace *t = trace_open(mem, 256, 65536);

	CLIENT(p)->a->trace = LNS(p)->a->trace = t;
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_run(p, 29 * US_S);
	assert_int_equal(times_told(t, "This session ends in 90 seconds."), 1);
	assert_int_equal(times_told(t, "This session ends in 60 seconds."), 0);
	pair_run(p, 2 * US_S);
	assert_int_equal(times_told(t, "This session ends in 60 seconds."), 1);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 70 * US_S);
	assert_int_equal(times_told(t, "This session ends in 60 seconds."), 1);
	CLIENT(p)->a->trace = LNS(p)->a->trace = NULL;
	pair_free(p);
	trace_close(t);
	free(mem);
}

static void session_timeout(void **state)
{
	struct pair_options o = { .session_us = 90 * US_S, .manual = true };
	struct pair *p = pair_new(&o);
	struct access_session_info i;
	struct mono up;

	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
	up = p->now;
	assert_true(access_session(LNS(p)->a, pair_latest(LNS(p), ACCESS_EV_UP)->key, &i));
	assert_int_equal(i.ends_at.us, up.us + 90 * US_S);
	pair_run(p, up.us + 90 * US_S - 1 - p->now.us);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 10 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_SESSION_TIMEOUT);
	assert_true(p->now.us - up.us < 91 * US_S);
	assert_non_null(strstr(LNS(p)->lines[LNS(p)->line_count - 1].text,
			       "\"cause\":\"session-timeout\""));
	pair_run(p, 100 * US_S);
	pair_check_empty(LNS(p));
	pair_free(p);
}

static void idle_timeout(void **state)
{
	struct pair_options o = { .idle_us = 60 * US_S, .manual = true };
	struct pair *p = pair_new(&o);
	uint64_t key;
	struct mono last;

	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
	key = pair_latest(LNS(p), ACCESS_EV_UP)->key;
	for (int i = 0; i < 5; i++) {
		pair_run(p, 40 * US_S);
		assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
		pair_traffic(LNS(p), key, 100);
	}
	last = p->now;
	/* Counters that are unknown for a while are no reason to end it. */
	LNS(p)->unknown = true;
	pair_run(p, 61 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	LNS(p)->unknown = false;
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 130 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_IDLE_TIMEOUT);
	assert_true(p->now.us - last.us <= 125 * US_S);
	pair_run(p, 100 * US_S);
	pair_check_empty(LNS(p));
	pair_free(p);
}

static void interim(void **state)
{
	struct pair_options o = { .interim_us = 30 * US_S };
	struct pair *p = pair_up(&o, 1);
	uint64_t key = pair_latest(LNS(p), ACCESS_EV_UP)->key;

	pair_traffic(LNS(p), key, 4242);
	pair_run(p, 100 * US_S);
	assert_int_equal(pair_lines(LNS(p), key, "interim"), 3);
	assert_non_null(strstr(LNS(p)->lines[1].text, "\"seconds\":30,\"in_octets\":4242,"));
	/* A plane without the row has nothing to say. */
	LNS(p)->unknown = true;
	pair_run(p, 60 * US_S);
	assert_int_equal(pair_lines(LNS(p), key, "interim"), 3);
	shut(p);
	assert_int_equal(LNS(p)->lines[LNS(p)->line_count - 1].seq, 5);
	pair_free(p);
}

static void user_limit(void **state)
{
	struct pair_options o = { .dials = 2, .max_per_user = 1, .manual = true };
	struct pair *p = pair_new(&o);

	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_LIMIT_USER);
	pair_run(p, 60 * US_S);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_UP), 1);
	assert_int_equal(pair_rows(LNS(p)), 1);
	/* The first ends: there is room. */
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_run(p, 60 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 60 * US_S);
	shut(p);
	pair_free(p);
}

static void user_replaced(void **state)
{
	struct pair_options o = { .dials = 2, .max_per_user = 1, .replace = true, .manual = true };
	struct pair *p = pair_new(&o);
	uint64_t first;

	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	first = pair_latest(LNS(p), ACCESS_EV_UP)->key;
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 30 * US_S);
	assert_int_equal(pair_latest(LNS(p), ACCESS_EV_DOWN)->key, first);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_REPLACED);
	assert_int_equal(pair_rows(LNS(p)), 1);
	/* It has the address of the former session: that row was gone before. */
	assert_memory_equal(pair_latest(LNS(p), ACCESS_EV_UP)->peer_ip4,
			    pair_latest(LNS(p), ACCESS_EV_DOWN)->peer_ip4, 4);
	shut(p);
	pair_free(p);
}

/* The one who waits for the former session to end waits while its row is being removed. */
static void replaced_slowly(void **state)
{
	struct pair_options o = { .dials = 2, .replace = true, .manual = true };
	struct pair *p;

	o.user[0] = o.user[1] = "carol"; /* a fixed address */
	p = pair_new(&o);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	LNS(p)->hold_done = true;
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_run(p, 5 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 1);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	LNS(p)->hold_done = false;
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 30 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 1);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_REPLACED);
	assert_memory_equal(pair_latest(CLIENT(p), ACCESS_EV_UP)->our_ip4, "\x0a\x09\x00\x4d", 4);
	shut(p);
	pair_free(p);
}

static void address_in_use(void **state)
{
	struct pair_options o = { .dials = 2, .manual = true };
	struct pair *p;

	o.user[0] = o.user[1] = "carol";
	p = pair_new(&o);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_ADDRESS_IN_USE);
	shut(p);
	pair_free(p);
}

static void pool_exhausted(void **state)
{
	struct pair_options o = { .dials = 3, .pool4 = 2, .redial_max = 1 };
	struct pair *p;

	o.user[1] = "bob";
	p = pair_new(&o);
	pair_run(p, 60 * US_S);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_UP), 2);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_NO_ADDRESS);
	shut(p);
	pair_free(p);
}

static void peer_removed(void **state)
{
	struct pair_options o = { .redial_max = 1 }, none = { .empty = true };
	struct pair *p = pair_up(&o, 1);
	struct access_peer_info i;

	assert_int_equal(pair_conf(LNS(p), pair_lns_conf(&none)), 0);
	assert_true(access_peer(LNS(p)->a, 0, &i)); /* it still has a tunnel */
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 30 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_CONFIG);
	pair_run(p, 120 * US_S);
	pair_check_empty(LNS(p));
	assert_false(access_peer(LNS(p)->a, 0, &i));
	/* The dial tried again and was refused. */
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_PEER_CLOSED_TUNNEL);
	pair_check_lines(LNS(p), true);
	/* And back. */
	assert_int_equal(pair_conf(LNS(p), pair_lns_conf(&o)), 0);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 30 * US_S);
	shut(p);
	pair_free(p);
}

static void dial_removed(void **state)
{
	struct pair_options o = { .redial_max = 1 }, none = { .empty = true };
	struct pair *p = pair_up(&o, 1);
	struct access_dial_info i;

	assert_int_equal(pair_conf(CLIENT(p), pair_client_conf(&none)), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_DOWN, 1, 30 * US_S);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_CONFIG);
	pair_run(p, 120 * US_S);
	assert_true(pair_latest(LNS(p), ACCESS_EV_DOWN)->by_peer);
	pair_check_empty(CLIENT(p));
	pair_check_empty(LNS(p));
	assert_false(access_dial(CLIENT(p)->a, 0, &i));
	assert_int_equal(pair_conf(CLIENT(p), pair_client_conf(&o)), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 30 * US_S);
	shut(p);
	pair_free(p);
}

static void dial_changed(void **state)
{
	struct pair_options o = { .redial_max = 1 };
	struct pair *p = pair_up(&o, 1);
	struct access_conf *c = pair_client_conf(&o);

	/* The same again changes nothing. */
	assert_int_equal(pair_conf(CLIENT(p), pair_client_conf(&o)), 0);
	pair_run(p, 60 * US_S);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_DOWN), 0);
	c->dials[0].digest++;
	assert_int_equal(pair_conf(CLIENT(p), c), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 60 * US_S);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_CONFIG);
	assert_int_equal(pair_rows(CLIENT(p)), 1);
	shut(p);
	pair_free(p);
}

static void plane_fails(void **state)
{
	struct pair_options o = { .redial_max = 1 };
	struct pair *p = pair_make(&o);
	const struct pair_news *n;

	LNS(p)->put_error = ENODEV;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	n = pair_latest(LNS(p), ACCESS_EV_DOWN);
	assert_int_equal(n->cause, ADIT_CAUSE_DATA_PLANE);
	assert_string_equal(n->text, "the plane is out of order");
	assert_false(n->established);
	pair_run(p, 100 * US_S);
	pair_check_empty(LNS(p));
	assert_int_equal(LNS(p)->line_count, 0);
	LNS(p)->put_error = 0;
	CLIENT(p)->put_error = ENODEV;
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_run(p, 100 * US_S);
	assert_int_equal(down_of(CLIENT(p)), ADIT_CAUSE_DATA_PLANE);
	pair_check_empty(CLIENT(p));
	pair_check_empty(LNS(p));
	pair_free(p);
}

/* A plane that answers late: PPP holds its Ack, and gives up when it takes too long. */
static void plane_slow(void **state)
{
	struct pair_options o = { .redial_max = 1 };
	struct pair *p = pair_make(&o);

	LNS(p)->hold_done = true;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_until(p, LNS(p), ACCESS_EV_DP_PUT, 1, 30 * US_S);
	pair_run(p, 2 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 0);
	LNS(p)->hold_done = false;
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	/* It disappears while the plane is busy. */
	LNS(p)->hold_done = true;
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_run(p, 30 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	LNS(p)->hold_done = false;
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 1 * US_S);
	pair_run(p, 100 * US_S);
	pair_check_empty(LNS(p));
	pair_free(p);
}

static void lost_peer(void **state)
{
	struct pair_options o = { .redial_max = 1 };
	struct pair *p = pair_up(&o, 1);
	enum adit_cause c;

	p->cut = true;
	pair_run(p, 300 * US_S);
	c = down_of(LNS(p));
	assert_true(c == ADIT_CAUSE_LCP_ECHO_LOST || c == ADIT_CAUSE_TUNNEL_LOST);
	pair_check_empty(LNS(p));
	pair_check_empty(CLIENT(p));
	pair_check_lines(LNS(p), true);
	pair_free(p);
}

static void shutdown_refuses(void **state)
{
	struct pair_options o = { .manual = true };
	struct pair *p = pair_new(&o);
	struct access_cmd off = { .kind = ACCESS_CMD_SHUTDOWN };
	struct access_failure f;

	assert_int_equal(pair_do(LNS(p), &off), 0);
	assert_int_equal(pair_do(LNS(p), &off), 2);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_run(p, 60 * US_S);
	assert_true(access_failure(LNS(p)->a, 0, &f));
	assert_int_equal(f.cause, ADIT_CAUSE_SHUTDOWN);
	assert_int_equal(pair_do(CLIENT(p), &off), 0);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 2);
	pair_free(p);
}

/* Lines that are not on disk come again after a restart, those that are do not get lost. */
static void lines_again(void **state)
{
	struct pair_options o = { .interim_us = 30 * US_S };
	struct pair *p = pair_make(&o);
	size_t before;

	LNS(p)->hold_lines = true;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_run(p, 100 * US_S);
	before = pair_told(LNS(p), ACCESS_EV_ACCT);
	assert_int_equal(before, 4);
	pair_stop(LNS(p));
	assert_true(pair_start(LNS(p)));
	LNS(p)->line_count = 0;
	pair_run(p, 1 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_ACCT), 2 * before);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	LNS(p)->hold_lines = false;
	shut(p);
	pair_free(p);
}

static const char *on_line(const struct machine *m)
{
	assert_int_equal(pair_lines(m, 0, "on"), 1);
	assert_non_null(strstr(m->lines[0].text, "\"event\":\"on\""));
	assert_true(m->lines[0].written);
	return m->lines[0].text;
}

/* Where nothing of before goes on, the accounting says so: before all else, and once, wherever it
 * is killed. */
static void begins_anew(void **state)
{
	bool reached = true;

	for (uint64_t at = 1; reached; at++) {
		struct pair *p = pair_make(&(struct pair_options){ 0 });
		struct machine *m = LNS(p);
		char line[ACCESS_LINE_MAX], want[ACCESS_LINE_MAX];

		m->says_on = true;
		m->kill_at = at;
		assert_true(pair_start(m));
		pair_drain(m);
		reached = m->kills > 0;
		pair_drain(m);
		snprintf(line, sizeof(line), "%s", on_line(m));
		snprintf(want, sizeof(want),
			 "{\"time\":\"%.24s\",\"event\":\"on\",\"id\":\"%016llx\",\"seq\":1}",
			 line + 9, (unsigned long long)m->lines[0].key);
		assert_string_equal(line, want);
		assert_int_equal(m->record_count, 1); /* STATE */
		/* a restart goes on with what there is */
		pair_run(p, 10 * US_S);
		pair_stop(m);
		assert_true(pair_start(m));
		assert_true(pair_start(CLIENT(p)));
		pair_run(p, 60 * US_S);
		assert_int_equal(pair_rows(m), 1);
		assert_string_equal(on_line(m), line);
		assert_int_equal(pair_lines(m, 0, "start"), 1);
		assert_int_equal(pair_lines(CLIENT(p), 0, "on"), 0);
		/* what is lost as a whole is another beginning */
		m->record_count = 0;
		pair_stop(m);
		assert_true(pair_start(m));
		pair_drain(m);
		assert_int_equal(pair_lines(m, 0, "on"), 2);
		pair_free(p);
	}
}

/* Without memory for that line it is not begun at all. */
static void begins_without_memory(void **state)
{
	bool failed = true;

	for (long n = 1; failed; n++) {
		struct pair *p = pair_make(&(struct pair_options){ 0 });
		struct access_summary s;
		bool ok;

		LNS(p)->says_on = LNS(p)->hold_lines = true;
		failmalloc_arm(n);
		ok = pair_start(LNS(p));
		failed = failmalloc_disarm();
		if (!ok) {
			assert_true(failed);
			assert_true(pair_start(LNS(p)));
		}
		pair_drain(LNS(p));
		access_summary(LNS(p)->a, &s);
		assert_int_equal(s.lines, 0); /* nobody waits for it */
		LNS(p)->hold_lines = false;
		pair_drain(LNS(p));
		(void)on_line(LNS(p));
		access_summary(LNS(p)->a, &s);
		assert_int_equal(s.lines, 0);
		pair_free(p);
	}
}

/* A session keeps the limits and the clocks that it was given, whatever its profile says by now. */
static void limits_over_a_restart(void **state)
{
	struct pair_options o = { .session_us = 200 * US_S,
				  .interim_us = 30 * US_S,
				  .manual = true };
	struct pair *p = pair_new(&o);
	struct mono up;
	uint64_t key;

	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
	up = p->now;
	key = pair_latest(LNS(p), ACCESS_EV_UP)->key;
	pair_traffic(LNS(p), key, 4242);
	pair_run(p, 20 * US_S);
	o.session_us = 1000 * US_S;
	o.interim_us = 70 * US_S;
	assert_int_equal(pair_conf(LNS(p), pair_lns_conf(&o)), 0);
	pair_stop(LNS(p));
	assert_true(pair_start(LNS(p)));
	assert_int_equal(pair_lines(LNS(p), key, "interim"), 0);
	pair_run(p, up.us + 35 * US_S - p->now.us);
	assert_int_equal(pair_lines(LNS(p), key, "interim"), 1);
	assert_non_null(strstr(LNS(p)->lines[1].text, "\"seconds\":30,\"in_octets\":4242,"));
	pair_run(p, up.us + 199 * US_S - p->now.us);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 2 * US_S);
	assert_int_equal(down_of(LNS(p)), ADIT_CAUSE_SESSION_TIMEOUT);
	pair_run(p, 100 * US_S);
	pair_check_empty(LNS(p));
	pair_free(p);
}

/* A line that could not be kept is not overtaken by the next one of its session. */
static void lines_in_order(void **state)
{
	struct pair *p = pair_make(&(struct pair_options){ 0 });

	LNS(p)->hold_lines = true;
	assert_true(pair_start(LNS(p)));
	assert_true(pair_start(CLIENT(p)));
	pair_until(p, LNS(p), ACCESS_EV_ACCT, 1, 60 * US_S);
	access_line_later(LNS(p)->a, LNS(p)->lines[0].key, LNS(p)->lines[0].seq);
	LNS(p)->line_count = 0;
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	pair_run(p, 10 * US_S);
	assert_int_equal(LNS(p)->line_count, 0);
	access_lines_again(LNS(p)->a);
	pair_drain(LNS(p));
	assert_int_equal(LNS(p)->line_count, 2);
	assert_int_equal(LNS(p)->lines[0].seq, 1);
	assert_int_equal(LNS(p)->lines[1].seq, 2);
	LNS(p)->hold_lines = false;
	shut(p);
	pair_free(p);
}

/* A disconnected dial stays so over a restart; one that is up goes on. */
static void restart_client(void **state)
{
	struct pair_options o = { .dials = 2 };
	struct pair *p;
	struct access_dial_info i;

	o.user[1] = "bob";
	p = pair_up(&o, 2);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d1"), 0);
	pair_run(p, 60 * US_S);
	pair_stop(CLIENT(p));
	assert_true(pair_start(CLIENT(p)));
	pair_run(p, 60 * US_S);
	assert_true(access_dial(CLIENT(p)->a, 0, &i));
	assert_string_equal(i.state, "up");
	assert_true(access_dial(CLIENT(p)->a, 1, &i));
	assert_string_equal(i.state, "idle");
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 1);
	shut(p);
	pair_free(p);
}

/* One whole life: up, interim, ended by the client, dialled again, ended by the LNS. */
static void life(struct pair *p)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_TERMINATE };

	pair_run(p, 50 * US_S);
	(void)pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
	pair_run(p, 20 * US_S);
	(void)pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0");
	pair_run(p, 50 * US_S);
	cmd.key = access_session_next(LNS(p)->a, 0);
	if (cmd.key)
		(void)pair_do(LNS(p), &cmd);
	pair_run(p, 60 * US_S);
}

static void killed_at_each_step(unsigned int which)
{
	struct pair_options o = { .interim_us = 30 * US_S };
	bool reached = true;

	for (uint64_t at = 1; reached; at++) {
		struct pair *p = pair_make(&o);

		p->m[which].kill_at = at;
		assert_true(pair_start(LNS(p)));
		assert_true(pair_start(CLIENT(p)));
		life(p);
		reached = p->m[which].kills > 0;
		/* In the end the client is up, whatever happened. */
		pair_run(p, 60 * US_S);
		if (pair_rows(LNS(p)) != 1 || pair_rows(CLIENT(p)) != 1)
			fail_msg("killed after step %d: %zu and %zu rows", (int)at,
				 pair_rows(LNS(p)), pair_rows(CLIENT(p)));
		pair_check_lines(LNS(p), false);
		pair_check_lines(CLIENT(p), false);
		shut(p);
		pair_free(p);
	}
}

static void lns_killed(void **state)
{
	killed_at_each_step(0);
}

static void client_killed(void **state)
{
	killed_at_each_step(1);
}

/* Each allocation of a whole life fails once: nothing leaks, nothing hangs, and the client gets its
 * session all the same. */
static void out_of_memory(void **state)
{
	struct pair_options o = { .interim_us = 30 * US_S };
	bool failed = true;

	for (long n = 1; failed; n++) {
		struct pair *p = pair_new(&o);

		failmalloc_arm(n);
		life(p);
		failed = failmalloc_disarm();
		pair_run(p, 100 * US_S);
		if (pair_rows(LNS(p)) != 1 || pair_rows(CLIENT(p)) != 1)
			fail_msg("allocation %ld: %zu and %zu rows", n, pair_rows(LNS(p)),
				 pair_rows(CLIENT(p)));
		pair_check_lines(LNS(p), false);
		shut(p);
		pair_free(p);
	}
}

/* The same while starting: with a configuration, and from a journal. */
static void out_of_memory_at_start(void **state)
{
	struct pair_options o = { .interim_us = 30 * US_S };

	for (unsigned int which = 0; which < 2; which++) {
		struct pair *p = pair_up(&o, 1);
		bool failed = true;

		LNS(p)->hold_lines = CLIENT(p)->hold_lines = true;
		pair_run(p, 40 * US_S);
		for (long n = 1; failed; n++) {
			bool ok;

			pair_stop(&p->m[which]);
			failmalloc_arm(n);
			ok = pair_start(&p->m[which]);
			failed = failmalloc_disarm();
			if (!ok) {
				assert_true(failed);
				assert_true(pair_start(&p->m[which]));
			}
		}
		LNS(p)->hold_lines = CLIENT(p)->hold_lines = false;
		pair_run(p, 100 * US_S);
		assert_int_equal(pair_rows(LNS(p)), 1);
		assert_int_equal(pair_rows(CLIENT(p)), 1);
		shut(p);
		pair_free(p);
	}
}

/* A new configuration is taken as a whole or not at all. */
static void reload_fails(unsigned int which)
{
	struct pair_options o = { .dials = 2 }, other = { .dials = 3 };
	bool failed = true;

	o.user[1] = other.user[1] = "bob";
	for (long n = 1; failed; n++) {
		struct pair *p = pair_up(&o, 2);
		struct access_conf *c = which ? pair_client_conf(&other) : pair_lns_conf(&other);
		struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = c };
		int rc;

		c->serial = 2;
		if (which)
			c->dials[0].digest++;
		else
			memcpy(c->peers->name, "others", 7);
		failmalloc_arm(n);
		rc = access_do(p->m[which].a, p->now, &cmd);
		failed = failmalloc_disarm();
		assert_true(rc == 0 || (failed && rc == -ENOMEM));
		if (rc == 0) {
			access_conf_unref(p->m[which].conf);
			p->m[which].conf = c;
		} else {
			assert_int_equal(c->refs, 1);
			access_conf_unref(c);
		}
		pair_run(p, 100 * US_S);
		assert_int_equal(pair_rows(CLIENT(p)), rc == 0 && which ? 3 : 2);
		assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), rc == 0 ? 2 - which : 0);
		shut(p);
		pair_free(p);
	}
}

static void out_of_memory_at_reload(void **state)
{
	reload_fails(0);
	reload_fails(1);
}

/* Any octet of any record may be wrong: it is refused, or what it held is ended. */
static void broken_records(void **state)
{
	struct pair_options o = { .interim_us = 30 * US_S };
	struct pair *p = pair_up(&o, 1);
	struct machine *m = LNS(p);

	m->hold_lines = true;
	pair_run(p, 40 * US_S);
	for (size_t i = 0; i < m->record_count; i++) {
		for (size_t at = 0; at <= m->records[i].len; at += 1 + m->records[i].len / 200) {
			struct pair_record *r = &m->records[i];
			struct access *a = access_new(&m->config);
			struct access_cmd conf = { .kind = ACCESS_CMD_CONF, .conf = m->conf };
			static uint8_t copy[ACCESS_SAVE_TUNNEL_MAX];
			static const enum access_object order[] = { ACCESS_OBJ_STATE,
								    ACCESS_OBJ_TUNNEL,
								    ACCESS_OBJ_SESSION,
								    ACCESS_OBJ_ACCT };
			struct access_event ev;
			enum access_object kind;
			uint64_t id;
			bool gone;

			assert_non_null(a);
			assert_int_equal(access_do(a, p->now, &conf), 0);
			memcpy(copy, r->bytes, r->len);
			if (at < r->len)
				copy[at] ^= (uint8_t)(1 << at % 8);
			for (size_t k = 0; k < 4; k++) {
				for (size_t j = 0; j < m->record_count; j++) {
					struct pair_record *it = &m->records[j];
					struct rcur c = rcur_of(j == i ? copy : it->bytes, it->len);
					int rc;

					if (it->kind != order[k])
						continue;
					rc = access_load(a, p->now, it->kind, it->id, &c);
					assert_true(rc == 0 || (rc == 1 && at < r->len));
				}
			}
			access_loaded(a, p->now);
			while (access_event(a, p->now, &ev))
				;
			while (access_dirty(a, &kind, &id, &gone))
				;
			access_expire(a, p->now);
			access_free(a);
		}
	}
	m->hold_lines = false;
	shut(p);
	pair_free(p);
}

/* The record of global state cannot be read, or is not there: no key is given out twice, neither
 * one of a session that goes on nor one of a session that ended, whose lines are in the file. */
static void state_lost(void **state)
{
	for (unsigned int unreadable = 0; unreadable < 2; unreadable++) {
		struct pair_options o = { 0 };
		struct pair *p = pair_up(&o, 1);
		struct machine *m = LNS(p);
		uint64_t first = access_session_next(m->a, 0), second, third;

		assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
		pair_run(p, 60 * US_S);
		assert_true(access_session_next(m->a, 0) == 0);
		if (!unreadable) { /* one goes on: what comes is numbered behind it */
			assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
			pair_until(p, m, ACCESS_EV_UP, 2, 60 * US_S);
		}
		second = access_session_next(m->a, 0);
		pair_stop(m);
		for (size_t i = 0; i < m->record_count; i++) {
			if (m->records[i].kind != ACCESS_OBJ_STATE)
				continue;
			if (unreadable)
				m->records[i].len = 0;
			else
				m->records[i] = m->records[--m->record_count];
			break;
		}
		assert_true(pair_start(m));
		pair_run(p, US_S);
		assert_true(access_session_next(m->a, 0) == second);
		if (second)
			assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
		pair_run(p, 60 * US_S);
		assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
		pair_run(p, 60 * US_S);
		third = access_session_next(m->a, 0);
		if (third <= first || third <= second)
			fail_msg("%d: keys %llu, %llu, then %llu", (int)unreadable,
				 (unsigned long long)first, (unsigned long long)second,
				 (unsigned long long)third);
		assert_int_equal(pair_lines(m, third, "start"), 1);
		pair_check_lines(m, false);
		shut(p);
		pair_free(p);
	}
}

/* A restart is no news: who was told that a session is up is not told once more, nor is its hook
 * run again. */
static void told_once(void **state)
{
	struct pair_options o = { .auth = PPP_AUTH_CHAP_MD5 };
	struct pair *p = pair_new(&o);

	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 20 * US_S);
	pair_run(p, 2 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 1);
	for (int i = 0; i < 2; i++) {
		struct machine *m = &p->m[i];

		pair_stop(m);
		assert_true(pair_start(m));
		pair_run(p, 20 * US_S);
		assert_int_equal(pair_told(m, ACCESS_EV_UP), 1);
		assert_int_equal(pair_told(m, ACCESS_EV_DOWN), 0);
	}
	shut(p);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(login_chap),
		cmocka_unit_test(login_pap),
		cmocka_unit_test(no_login),
		cmocka_unit_test(wrong_password),
		cmocka_unit_test(unknown_user),
		cmocka_unit_test(no_name),
		cmocka_unit_test(no_answer),
		cmocka_unit_test(late_answer),
		cmocka_unit_test(answer_to_nobody),
		cmocka_unit_test(commands_to_nobody),
		cmocka_unit_test(terminate),
		cmocka_unit_test(session_timeout),
		cmocka_unit_test(time_remaining),
		cmocka_unit_test(idle_timeout),
		cmocka_unit_test(interim),
		cmocka_unit_test(user_limit),
		cmocka_unit_test(user_replaced),
		cmocka_unit_test(replaced_slowly),
		cmocka_unit_test(address_in_use),
		cmocka_unit_test(pool_exhausted),
		cmocka_unit_test(peer_removed),
		cmocka_unit_test(dial_removed),
		cmocka_unit_test(dial_changed),
		cmocka_unit_test(plane_fails),
		cmocka_unit_test(plane_slow),
		cmocka_unit_test(lost_peer),
		cmocka_unit_test(shutdown_refuses),
		cmocka_unit_test(lines_again),
		cmocka_unit_test(begins_anew),
		cmocka_unit_test(begins_without_memory),
		cmocka_unit_test(limits_over_a_restart),
		cmocka_unit_test(lines_in_order),
		cmocka_unit_test(restart_client),
		cmocka_unit_test(told_once),
		cmocka_unit_test(lns_killed),
		cmocka_unit_test(client_killed),
		cmocka_unit_test(out_of_memory),
		cmocka_unit_test(out_of_memory_at_start),
		cmocka_unit_test(out_of_memory_at_reload),
		cmocka_unit_test(broken_records),
		cmocka_unit_test(state_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
