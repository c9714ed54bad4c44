/* SPDX-License-Identifier: MIT
 *
 * Who may open a tunnel, which calls are welcome, and what the refused are told: Result Code, Error
 * Code and words on the wire, and the list of failures at the LNS. Then what the two ends' data
 * planes are told of one session, and counters that do not fit into 63 bits.
 */
#include "pair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LNS(p)	  (&(p)->m[0])
#define CLIENT(p) (&(p)->m[1])

/* What a stranger is told, short because an answer is no larger than the question. */
#define NO_BLOCK "no block here for this peer"

/* The tunnel or call of a client is refused: so it is told, and so the administrator. */
static void refused(struct pair *p, uint16_t result, uint16_t error, enum adit_cause cause)
{
	static const char *const words[] = {
#define X(name, text) text,
		ADIT_CAUSES(X)
#undef X
	};
	struct access_failure f;

	assert_int_equal(p->result[0], result);
	assert_int_equal(p->error[0], error);
	assert_string_equal(p->message[0],
			    cause == ADIT_CAUSE_TUNNEL_REFUSED ? NO_BLOCK : words[cause]);
	assert_true(access_failure(LNS(p)->a, 0, &f));
	assert_int_equal(f.cause, cause);
	assert_string_equal(f.text, words[cause]);
	assert_true(addr_same_ip(&f.remote, &CLIENT(p)->addr));
}

static void stranger(const struct pair_options *o)
{
	struct pair *p = pair_new(o);
	const struct pair_news *n;
	struct access_failure f;

	pair_run(p, 60 * US_S);
	refused(p, L2TP_STOP_UNAUTHORISED, 0, ADIT_CAUSE_TUNNEL_REFUSED);
	assert_true(access_failure(LNS(p)->a, 0, &f));
	assert_string_equal(f.who, "client");
	n = pair_latest(CLIENT(p), ACCESS_EV_DOWN);
	assert_int_equal(n->cause, ADIT_CAUSE_PEER_CLOSED_TUNNEL);
	assert_string_equal(n->text, NO_BLOCK);
	assert_true(n->by_peer);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_TUNNEL_UP), 0);
	pair_check_empty(LNS(p));
	pair_free(p);
}

static void strangers(void **state)
{
	struct pair_options o = { .redial_max = 1, .peer_host = "other*" };

	stranger(&o);
	o.peer_host = "clien";
	stranger(&o);
	o.peer_host = "client?";
	stranger(&o);
	o.peer_host = NULL;
	o.peer_from = "192.0.3.0/24";
	stranger(&o);
	o.peer_from = "2001:db8::/32";
	stranger(&o);
	o.peer_from = "192.0.2.1/32";
	o.peer_host = "client";
	stranger(&o);
}

static void welcome(void **state)
{
	static const char *const hosts[] = {
		"", "*", "client", "CLIENT", "c*t", "?lient", "*l*e*"
	};
	static const char *const from[] = { NULL, "0.0.0.0/0", "192.0.2.0/24", "192.0.2.2/32" };

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct pair_options o = { .peer_host = hosts[i], .peer_from = from[i % 4] };
		struct pair *p = pair_new(&o);
		struct access_peer_info info;

		pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
		assert_true(access_peer(LNS(p)->a, 0, &info));
		assert_string_equal(info.name, "clients");
		assert_int_equal(info.tunnels, 1);
		assert_int_equal(info.sessions, 1);
		assert_int_equal(info.accepted, 1);
		assert_int_equal(info.refused, 0);
		pair_free(p);
	}
}

/* Of two blocks that fit the first counts, also after they changed places. */
static void first_wins(void **state)
{
	struct pair_options o = { .redial_max = 0 };
	struct pair *p = pair_make(&o);
	struct access_peer_info info;

	for (int turn = 0; turn < 2; turn++) {
		struct access_conf *c = pair_lns_conf(&o);
		struct conf_peer *v = calloc(2, sizeof(*v));

		assert_non_null(v);
		v[0] = v[1] = c->peers[0];
		l2tp_profile_ref(v[1].l2tp);
		conf_profile_ref(v[1].profile);
		snprintf(v[turn].name, sizeof(v[turn].name), "one");
		snprintf(v[!turn].name, sizeof(v[!turn].name), "two");
		snprintf(v[turn].host_name, sizeof(v[turn].host_name), "cl*");
		free(c->peers);
		c->peers = v;
		c->peer_count = 2;
		if (!turn) {
			access_conf_unref(LNS(p)->conf);
			LNS(p)->conf = c;
			assert_true(pair_start(LNS(p)));
			assert_true(pair_start(CLIENT(p)));
		} else {
			struct access_cmd cmd = { .kind = ACCESS_CMD_TERMINATE_TUNNEL };

			assert_int_equal(pair_conf(LNS(p), c), 0);
			pair_run(p, 5 * US_S);
			assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0); /* it stays */
			cmd.tunnel = access_tunnel_next(LNS(p)->a, 0);
			assert_int_equal(pair_do(LNS(p), &cmd), 0);
		}
		pair_until(p, CLIENT(p), ACCESS_EV_UP, 1u + (size_t)turn, 60 * US_S);
		assert_string_equal(pair_latest(LNS(p), ACCESS_EV_UP)->name, turn ? "two" : "one");
		assert_true(access_peer(LNS(p)->a, 0, &info));
		assert_string_equal(info.name, turn ? "two" : "one");
		assert_int_equal(info.tunnels, 1);
		pair_run(p, 60 * US_S);
	}
	assert_true(access_peer(LNS(p)->a, 1, &info));
	assert_int_equal(info.tunnels, 0);
	assert_int_equal(info.sessions, 0);
	pair_free(p);
}

/* The second of two dials meets a limit. */
static void second(struct pair_options o, uint16_t result, uint16_t error, enum adit_cause cause)
{
	struct pair *p;
	struct access_peer_info info;

	o.dials = 2;
	o.manual = true;
	o.redial_max = 1;
	o.user[1] = "bob";
	p = pair_new(&o);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	refused(p, result, error, cause);
	assert_true(access_peer(LNS(p)->a, 0, &info));
	assert_int_equal(info.refused, 1);
	assert_int_equal(info.sessions, 1);
	assert_int_equal(pair_rows(LNS(p)), 1);
	/* The first goes, then there is room. */
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_run(p, 100 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 30 * US_S);
	pair_free(p);
}

static void limits(void **state)
{
	struct pair_options o = { .max_tunnels = 1 };

	second(o, L2TP_STOP_ERROR, L2TP_ERR_RESOURCES, ADIT_CAUSE_LIMIT_TUNNELS);
	o = (struct pair_options){ .peer_max_tunnels = 1 };
	second(o, L2TP_STOP_ERROR, L2TP_ERR_RESOURCES, ADIT_CAUSE_LIMIT_TUNNELS);
	o = (struct pair_options){ .max_sessions = 1 };
	second(o, L2TP_CDN_NO_FACILITIES, 0, ADIT_CAUSE_LIMIT_SESSIONS);
	o = (struct pair_options){ .peer_max_sessions = 1 };
	second(o, L2TP_CDN_NO_FACILITIES, 0, ADIT_CAUSE_LIMIT_SESSIONS);
}

/* As long as memory is scarce nobody new gets in, and who is in stays. */
static void scarce(void **state)
{
	struct pair_options o = { .dials = 2, .manual = true, .redial_max = 1 };
	struct pair *p;

	(void)state;
	o.user[1] = "bob";
	p = pair_new(&o);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	access_scarce(LNS(p)->a, true);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	assert_int_equal(p->result[0], L2TP_STOP_ERROR);
	assert_int_equal(p->error[0], L2TP_ERR_RESOURCES);
	assert_int_equal(pair_rows(LNS(p)), 1);
	access_scarce(LNS(p)->a, false);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d1"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 30 * US_S);
	assert_int_equal(pair_rows(LNS(p)), 2);
	pair_free(p);
}

static void shutting_down(void **state)
{
	struct pair_options o = { .manual = true, .redial_max = 1 };
	struct pair *p = pair_new(&o);
	struct access_cmd off = { .kind = ACCESS_CMD_SHUTDOWN };

	assert_int_equal(pair_do(LNS(p), &off), 0);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_run(p, 30 * US_S);
	refused(p, L2TP_STOP_SHUTDOWN, 0, ADIT_CAUSE_SHUTDOWN);
	pair_free(p);
}

/* What a session ends with is told in a CDN (RFC 2661 4.4.2). */
static void codes_of_ends(void **state)
{
	struct pair_options o = { .pool4 = 1, .redial_max = 1 };
	struct pair *p = pair_new(&o); /* its only address is ... */

	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	LNS(p)->put_error = EIO;
	pair_free(p);
	p = pair_make(&o);
	LNS(p)->put_error = EIO;
	assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 30 * US_S);
	pair_run(p, 1 * US_S);
	assert_int_equal(p->result[0], L2TP_CDN_ERROR);
	assert_int_equal(p->error[0], L2TP_ERR_RESOURCES);
	assert_string_equal(p->message[0], "the plane is out of order");
	pair_free(p);
	o.password[0] = "wrong";
	o.auth = PPP_AUTH_PAP;
	p = pair_new(&o);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	assert_int_equal(pair_latest(LNS(p), ACCESS_EV_DOWN)->cause, ADIT_CAUSE_AUTH_FAILED);
	pair_free(p);
}

static bool has_prefix(const struct prefix *v, size_t n, const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	for (size_t i = 0; i < n; i++) {
		if (v[i].len == p.len && addr_same_ip(&v[i].addr, &p.addr))
			return true;
	}
	return false;
}

/* Both ends of a session of a user with addresses and networks of their own. */
static void rows(void **state)
{
	struct pair_options o = { .users = "alice * secret 10.9.0.77 2001:db8:77::/64 10.7.0.0/16 "
					   "2001:db8:78::/48\n" };
	struct pair *p = pair_make(&o);
	struct conf_dial *d = &CLIENT(p)->conf->dials[0];
	const struct dp_row *s, *c;

	d->routes = calloc(2, sizeof(*d->routes));
	assert_non_null(d->routes);
	assert_int_equal(prefix_parse("172.16.0.0/12", &d->routes[0]), 0);
	assert_int_equal(prefix_parse("2001:db8:1000::/36", &d->routes[1]), 0);
	d->route_count = 2;
	d->table = 77;
	d->metric = 5;
	assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_run(p, 5 * US_S);
	s = &pair_row(LNS(p), pair_latest(LNS(p), ACCESS_EV_UP)->key)->row;
	c = &pair_row(CLIENT(p), pair_latest(CLIENT(p), ACCESS_EV_UP)->key)->row;
	assert_int_equal(s->local_session, c->remote_session);
	assert_int_equal(s->remote_tunnel, c->local_tunnel);
	/* The LNS: addresses and networks of the user, nothing of the host's. */
	assert_int_equal(s->prefix_count, 4);
	assert_true(has_prefix(s->prefixes, 4, "10.9.0.77/32"));
	assert_true(has_prefix(s->prefixes, 4, "2001:db8:77::/64"));
	assert_true(has_prefix(s->prefixes, 4, "10.7.0.0/16"));
	assert_true(has_prefix(s->prefixes, 4, "2001:db8:78::/48"));
	assert_true(s->flags & DP_F_ANTISPOOF && !(s->flags & DP_F_CLIENT));
	assert_int_equal(s->route_count, 0);
	assert_false(s->pin_peer);
	/* The client: its own addresses, the routes it wants, both default routes. */
	assert_true(c->flags & DP_F_CLIENT && !(c->flags & DP_F_ANTISPOOF));
	assert_int_equal(c->host_addr_count, 3);
	assert_true(has_prefix(c->host_addrs, 3, "10.9.0.77/32"));
	assert_int_equal(c->host_addrs[1].addr.ip[0], 0xfe);
	assert_memory_equal(c->host_addrs[2].addr.ip, "\x20\x01\x0d\xb8\x00\x77\x00\x00", 8);
	assert_int_equal(c->host_addrs[2].len, 64);
	assert_memory_equal(c->host_addrs[1].addr.ip + 8, c->host_addrs[2].addr.ip + 8, 8);
	assert_memory_equal(c->peer4.ip, "\x0a\x09\x00\x01", 4);
	assert_int_equal(c->route_count, 4);
	assert_true(has_prefix(c->routes, 4, "172.16.0.0/12"));
	assert_true(has_prefix(c->routes, 4, "2001:db8:1000::/36"));
	assert_true(has_prefix(c->routes, 4, "0.0.0.0/0"));
	assert_true(has_prefix(c->routes, 4, "::/0"));
	assert_true(c->pin_peer);
	assert_int_equal(c->table, 77);
	assert_int_equal(c->metric, 5);
	assert_string_equal(c->ifname, "l2tp0");
	/* Both asked for an MRU of 1460; without a Length field 1462 octets fit. */
	assert_int_equal(s->mtu, 1460);
	assert_int_equal(c->mtu, 1460);
	assert_true(s->flags & DP_F_MSS_CLAMP);
	assert_int_equal(s->mss4, 1420);
	assert_int_equal(s->mss6, 1400);
	pair_free(p);
}

static void huge_counters(void **state)
{
	struct pair_options o = { .interim_us = 30 * US_S };
	struct pair *p = pair_new(&o);
	struct access_cmd off = { .kind = ACCESS_CMD_SHUTDOWN };
	struct pair_row *r;
	uint64_t key;

	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	key = pair_latest(LNS(p), ACCESS_EV_UP)->key;
	r = pair_row(LNS(p), key);
	r->counters.rx_bytes = UINT64_C(1) << 63;
	r->counters.tx_bytes = UINT64_MAX;
	r->counters.rx_packets = UINT64_MAX - 1;
	r->counters.tx_packets = INT64_MAX;
	pair_run(p, 40 * US_S);
	assert_int_equal(pair_do(LNS(p), &off), 0);
	pair_run(p, 60 * US_S);
	assert_int_equal(LNS(p)->line_count, 3);
	for (size_t i = 1; i < 3; i++)
		assert_non_null(strstr(LNS(p)->lines[i].text,
				       "\"in_octets\":9223372036854775808,"
				       "\"out_octets\":18446744073709551615,"
				       "\"in_packets\":18446744073709551614,"
				       "\"out_packets\":9223372036854775807"));
	pair_check_lines(LNS(p), true);
	pair_free(p);
}

static size_t session_writes(const struct machine *m)
{
	for (size_t i = 0; i < m->record_count; i++)
		if (m->records[i].kind == ACCESS_OBJ_SESSION)
			return m->records[i].writes;
	return 0;
}

/* What a successor would do all the same with is not written again: while a call is set up its ids
 * are enough, and a row that the plane has at once comes with the session that is up. */
static void records_of_a_setup(void **state)
{
	struct pair_options o = { .session_us = 0 };
	struct pair *p = pair_new(&o);

	LNS(p)->hold_auth = true;
	pair_run(p, 2 * US_S);
	assert_int_equal(LNS(p)->auth_count, 1);
	assert_int_equal(session_writes(LNS(p)), 1);
	LNS(p)->hold_auth = false;
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
	assert_true(session_writes(LNS(p)) <= 3);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers),	 cmocka_unit_test(welcome),
		cmocka_unit_test(first_wins),	 cmocka_unit_test(limits),
		cmocka_unit_test(scarce),	 cmocka_unit_test(shutting_down),
		cmocka_unit_test(codes_of_ends), cmocka_unit_test(rows),
		cmocka_unit_test(huge_counters), cmocka_unit_test(records_of_a_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
