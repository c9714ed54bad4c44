/* SPDX-License-Identifier: MIT
 *
 * The life of sessions: src/access/session.c, dial.c, server.c, grant.c, local.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "lab.h"

#include <errno.h>
#include <stdlib.h>

static struct lab *up(const struct lab_options *o)
{
	struct lab *l = lab_new(o);

	assert_non_null(l);
	lab_run(l, 10 * US_S);
	return l;
}

static void expect_down(struct lab *l, struct lab_node *n, enum adit_cause cause)
{
	assert_true(n->down.count >= 1);
	assert_int_equal(n->down.cause, cause);
	assert_true(n->down.text[0] != '\0');
	(void)l;
}

static void comes_up_and_goes_down(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 1 });
	struct access_session_info s, c;
	struct lab_row *row;
	struct access_summary sum;
	uint64_t key = lab_only(&l->lns), ckey = lab_only(&l->client);

	(void)state;
	assert_true(key && ckey);
	assert_true(access_session(l->lns.a, key, &s) && access_session(l->client.a, ckey, &c));
	assert_true(s.up && c.up && !s.client && c.client);
	assert_string_equal(s.user, "u0");
	assert_string_equal(s.peer, "peers");
	assert_string_equal(c.peer, "d0");
	assert_int_equal(s.local_session, c.remote_session);
	assert_memory_equal(s.peer_ip4, c.our_ip4, 4);
	assert_int_equal(s.auth, PPP_AUTH_CHAP_MD5);
	assert_int_equal(s.overhead, 38);
	assert_int_equal(s.mtu, 1462);
	assert_int_equal(l->lns.up.count, 1);
	assert_int_equal(l->client.up.count, 1);
	assert_int_equal(l->client.up.dns4[0].ip[3], 53);
	assert_int_equal(l->client.up.dns6[0].ip[15], 53);
	assert_string_equal(l->client.up.ifname, "l2tp0");
	assert_int_equal(l->client.up.prefix6.len, 64);
	/* the LNS's row: what is routed to the session */
	row = lab_row(&l->lns, key);
	assert_true(row->there);
	assert_int_equal(row->row.prefix_count, 2);
	assert_int_equal(row->row.prefixes[0].len, 32);
	assert_int_equal(row->row.prefixes[1].len, 64);
	assert_int_equal(row->row.mss4, 1422);
	assert_int_equal(row->row.mss6, 1402);
	assert_true(row->row.flags & DP_F_ANTISPOOF && !(row->row.flags & DP_F_CLIENT));
	/* the client's: addresses of the host, both default routes, and the pin */
	row = lab_row(&l->client, ckey);
	assert_int_equal(row->row.host_addr_count, 3);
	assert_int_equal(row->row.route_count, 2);
	assert_int_equal(row->row.metric, 5);
	assert_true(row->row.pin_peer && row->row.flags & DP_F_CLIENT);
	assert_int_equal(row->row.peer4.ip[2], 255);
	assert_string_equal(row->row.ifname, "l2tp0");

	assert_int_equal(
		lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_TERMINATE, .key = key }),
		0);
	lab_run(l, US_S / 2);
	expect_down(l, &l->lns, ADIT_CAUSE_ADMIN);
	assert_false(l->lns.down.by_peer);
	assert_int_equal(l->client.down.cause, ADIT_CAUSE_PEER_CLOSED_SESSION);
	assert_string_equal(l->client.down.text, "an administrator closed it");
	assert_true(l->client.down.by_peer && l->client.down.established);
	assert_int_equal(l->lns.line_count, 2);
	assert_non_null(strstr(l->lns.lines[1], "\"cause\":\"admin\""));
	/* it dials again by itself */
	lab_run(l, 10 * US_S);
	assert_true(lab_is_up(&l->client, lab_only(&l->client)));
	assert_int_equal(lab_do(l, &l->client, (struct access_cmd){ .kind = ACCESS_CMD_SHUTDOWN }),
			 0);
	lab_run(l, 60 * US_S);
	access_summary(l->lns.a, &sum);
	assert_int_equal(sum.tunnels + sum.sessions, 0);
	access_summary(l->client.a, &sum);
	assert_int_equal(sum.tunnels + sum.sessions, 0);
	assert_int_equal(lab_rows(&l->lns) + lab_rows(&l->client), 0);
	lab_free(l);
}

static void wrong_password(void **state)
{
	struct lab *l = up(&(struct lab_options){ .password = "wrong", .redial_max = 1 });
	struct access_dial_info d;
	struct access_failure f;

	(void)state;
	expect_down(l, &l->lns, ADIT_CAUSE_AUTH_FAILED);
	assert_false(l->lns.down.established);
	expect_down(l, &l->client, ADIT_CAUSE_PEER_AUTH_FAILED);
	assert_true(access_dial(l->client.a, 0, &d));
	assert_string_equal(d.state, "idle"); /* one attempt only */
	assert_int_equal(d.cause, ADIT_CAUSE_PEER_AUTH_FAILED);
	assert_int_equal(l->lns.line_count, 0);
	assert_true(access_failure(l->lns.a, 0, &f));
	assert_int_equal(f.cause, ADIT_CAUSE_AUTH_FAILED);
	assert_string_equal(f.who, "u0");
	assert_false(access_failure(l->lns.a, 5, &f));
	lab_free(l);
}

static void owner_refuses(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){ .redial_max = 1 });

	(void)state;
	assert_non_null(l);
	l->refuse = "pay your bill";
	lab_run(l, 10 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_AUTH_REFUSED);
	expect_down(l, &l->client, ADIT_CAUSE_PEER_AUTH_FAILED);
	lab_free(l);
}

static void no_answer_to_the_question(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){ .redial_max = 1 });
	struct access_cmd late = { .kind = ACCESS_CMD_AUTH, .ok = true };

	(void)state;
	assert_non_null(l);
	l->hold_auth = true;
	lab_run(l, 50 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_AUTH_TIMEOUT);
	late.key = l->held_key;
	assert_int_equal(lab_do(l, &l->lns, late), 1); /* too late, and harmless */
	lab_free(l);
}

static void nobody_knows_the_peer(void **state)
{
	struct lab *l = up(&(struct lab_options){ .from = "203.0.113.0/24", .redial_max = 1 });
	struct access_dial_info d;
	struct access_failure f;

	(void)state;
	assert_true(access_dial(l->client.a, 0, &d));
	assert_int_equal(d.cause, ADIT_CAUSE_PEER_CLOSED_TUNNEL);
	assert_non_null(strstr(d.text, "no block here for this peer"));
	assert_true(access_failure(l->lns.a, 0, &f));
	assert_int_equal(f.cause, ADIT_CAUSE_TUNNEL_REFUSED);
	assert_string_equal(f.who, "client");
	assert_int_equal(f.remote.ip[0], 198);
	lab_free(l);
}

static void limits_of_a_peer(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 3, .max_sessions = 2 });
	struct access_peer_info p;
	struct access_summary sum;

	(void)state;
	access_summary(l->lns.a, &sum);
	assert_int_equal(sum.sessions_up, 2);
	expect_down(l, &l->client, ADIT_CAUSE_PEER_CLOSED_SESSION);
	assert_non_null(strstr(l->client.down.text, "limit of sessions"));
	assert_true(access_peer(l->lns.a, 0, &p));
	assert_int_equal(p.sessions, 2);
	assert_true(p.refused >= 1);
	assert_false(access_peer(l->lns.a, 1, &p));
	lab_free(l);

	l = up(&(struct lab_options){ .dials = 3, .max_tunnels = 1 });
	access_summary(l->lns.a, &sum);
	assert_int_equal(sum.sessions_up, 1);
	lab_free(l);
}

static void time_limits(void **state)
{
	struct lab *l = up(&(struct lab_options){ .session_us = 30 * US_S });

	(void)state;
	assert_int_equal(l->lns.down.count, 0);
	lab_run(l, 25 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_SESSION_TIMEOUT);
	lab_free(l);

	l = up(&(struct lab_options){ .idle_us = 20 * US_S });
	lab_run(l, 5 * US_S);
	lab_row(&l->lns, lab_only(&l->lns))->counters.last_rx = l->now;
	lab_run(l, 18 * US_S);
	assert_int_equal(l->lns.down.count, 0);
	lab_run(l, 4 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_IDLE_TIMEOUT);
	lab_free(l);

	l = up(&(struct lab_options){ .interim_us = 15 * US_S });
	lab_row(&l->lns, lab_only(&l->lns))->counters.rx_bytes = 12345;
	lab_run(l, 40 * US_S);
	assert_int_equal(l->lns.line_count, 4); /* start and three */
	assert_non_null(strstr(l->lns.lines[1], "\"event\":\"interim\""));
	assert_non_null(strstr(l->lns.lines[1], "\"in_octets\":12345"));
	assert_non_null(strstr(l->lns.lines[3], "\"seq\":4"));
	lab_free(l);
}

static void one_session_a_user(void **state)
{
	struct lab *l = up(&(struct lab_options){
		.dials = 2, .one_user = true, .max_per_user = 1, .redial_max = 1 });
	struct access_summary sum;
	struct access_pool_info p;

	(void)state;
	access_summary(l->lns.a, &sum);
	assert_int_equal(sum.sessions_up, 1);
	expect_down(l, &l->lns, ADIT_CAUSE_LIMIT_USER);
	lab_free(l);

	l = up(&(struct lab_options){
		.dials = 2, .one_user = true, .manual = true, .max_per_user = 1, .replace = true });
	assert_int_equal(lab_do(l, &l->client,
				(struct access_cmd){ .kind = ACCESS_CMD_CONNECT, .name = "d0" }),
			 0);
	lab_run(l, 10 * US_S);
	assert_int_equal(l->lns.up.count, 1);
	assert_int_equal(lab_do(l, &l->client,
				(struct access_cmd){ .kind = ACCESS_CMD_CONNECT, .name = "d1" }),
			 0);
	lab_run(l, 10 * US_S);
	assert_int_equal(l->lns.up.count, 2);
	expect_down(l, &l->lns, ADIT_CAUSE_REPLACED);
	access_summary(l->lns.a, &sum);
	assert_int_equal(sum.sessions_up, 1);
	assert_true(access_pool(l->lns.a, 0, &p));
	assert_int_equal(p.used4, 1); /* and it is the same address: the user's */
	assert_memory_equal(l->lns.up.peer_ip4, l->lns.down.peer_ip4, 4);
	lab_free(l);
}

static void fixed_addresses(void **state)
{
	static const char users[] = "u0 * secret 10.1.0.9 2001:db8:77::/56 10.9.0.0/24\n"
				    "u1 * secret 10.1.0.9\n";
	struct lab *l = up(&(struct lab_options){ .dials = 2, .users = users, .manual = true });
	struct lab_row *row;
	uint64_t key;

	(void)state;
	lab_do(l, &l->client, (struct access_cmd){ .kind = ACCESS_CMD_CONNECT, .name = "d0" });
	lab_run(l, 10 * US_S);
	key = lab_only(&l->lns);
	row = lab_row(&l->lns, key);
	assert_int_equal(row->row.prefix_count, 3);
	assert_int_equal(row->row.prefixes[0].addr.ip[3], 9);
	assert_int_equal(row->row.prefixes[1].len, 56);
	assert_int_equal(row->row.prefixes[2].len, 24);
	assert_int_equal(l->client.up.prefix6.len, 64);
	lab_do(l, &l->client, (struct access_cmd){ .kind = ACCESS_CMD_CONNECT, .name = "d1" });
	lab_run(l, 10 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_ADDRESS_IN_USE);
	assert_true(lab_is_up(&l->lns, key));
	lab_free(l);
}

static void pool_is_exhausted(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 3, .pool_size = 2 });
	struct access_pool_info p;

	(void)state;
	expect_down(l, &l->lns, ADIT_CAUSE_NO_ADDRESS);
	assert_true(access_pool(l->lns.a, 0, &p));
	assert_int_equal(p.size4, 2);
	assert_int_equal(p.used4, 2);
	assert_int_equal(p.size6, 256);
	assert_int_equal(p.used6, 2);
	lab_free(l);
}

static void without_login(void **state)
{
	struct lab *l = up(&(struct lab_options){ .no_login = true });

	(void)state;
	assert_int_equal(l->lns.asked, 0);
	assert_int_equal(l->lns.up.count, 1);
	assert_int_equal(l->lns.up.peer_ip4[0], 10);
	lab_free(l);
}

static void the_plane_fails(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){ .redial_max = 1 });

	(void)state;
	assert_non_null(l);
	l->dp_error = -ENOSPC;
	lab_run(l, 10 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_DATA_PLANE);
	assert_string_equal(l->lns.down.text, "no room in the plane");
	assert_int_equal(l->lns.line_count, 0);
	lab_free(l);

	l = lab_new(&(struct lab_options){ .redial_max = 1 });
	assert_non_null(l);
	l->hold_dp = true;
	lab_run(l, 20 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_DATA_PLANE);
	assert_non_null(strstr(l->lns.down.text, "not ready in time"));
	lab_free(l);
}

static void next_address(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){ .dials = 1 });
	struct access_session_info i;

	(void)state;
	assert_non_null(l);
	l->first_try = (struct addr){ .family = AF_INET, .ip = { 203, 0, 113, 1 } };
	lab_run(l, 5 * US_S);
	assert_int_equal(l->client.told.ip[0], 203);
	lab_run(l, 60 * US_S);
	assert_int_equal(l->client.down.cause, ADIT_CAUSE_UNREACHABLE);
	assert_true(access_session(l->client.a, lab_only(&l->client), &i) && i.up);
	assert_int_equal(i.path.remote.ip[0], 192);
	assert_int_equal(l->client.resolves, 1);
	lab_free(l);
}

static void redials_with_patience(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){ .dials = 1 });
	struct access_dial_info d;
	int64_t wait[6];
	unsigned int n = 0;

	(void)state;
	assert_non_null(l);
	l->lns.deaf = true;
	for (int i = 0; i < 4000 && n < 6; i++) {
		lab_run(l, US_S / 10);
		assert_true(access_dial(l->client.a, 0, &d));
		if (strcmp(d.state, "waiting") != 0 || d.attempts != n + 1)
			continue;
		wait[n++] = d.next.us - l->now.us;
	}
	assert_int_equal(n, 6);
	/* 1, 2, 4, 8, 8 s, each a quarter more or less */
	for (unsigned int i = 0; i < 6; i++) {
		int64_t mid = (i < 3 ? 1 << i : 8) * US_S;

		assert_in_range(wait[i], (uintmax_t)(mid * 3 / 4 - US_S / 10),
				(uintmax_t)(mid * 5 / 4));
	}
	l->lns.deaf = false;
	lab_run(l, 60 * US_S);
	assert_true(access_dial(l->client.a, 0, &d));
	assert_string_equal(d.state, "up");
	assert_int_equal(d.attempts, 0);
	lab_free(l);
}

static void connect_and_disconnect(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 1 });
	struct access_cmd on = { .kind = ACCESS_CMD_CONNECT, .name = "d0" };
	struct access_cmd off = { .kind = ACCESS_CMD_DISCONNECT, .name = "d0" };
	struct access_dial_info d;

	(void)state;
	assert_int_equal(lab_do(l, &l->client, on), 2);
	assert_int_equal(lab_do(l, &l->client, off), 0);
	lab_run(l, 60 * US_S);
	expect_down(l, &l->client, ADIT_CAUSE_ADMIN);
	assert_true(access_dial(l->client.a, 0, &d));
	assert_string_equal(d.state, "idle");
	assert_int_equal(lab_do(l, &l->client, off), 2);
	on.name = "nobody";
	assert_int_equal(lab_do(l, &l->client, on), 1);
	on.name = "d0";
	assert_int_equal(lab_do(l, &l->client, on), 0);
	lab_run(l, 10 * US_S);
	assert_true(access_dial(l->client.a, 0, &d));
	assert_string_equal(d.state, "up");
	assert_false(access_dial(l->client.a, 1, &d));
	lab_free(l);
}

static void the_lns_falls_silent(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 1 });

	(void)state;
	l->lns.deaf = l->client.deaf = true;
	lab_run(l, 120 * US_S);
	assert_true(l->client.down.count >= 1);
	assert_true(l->lns.down.cause == ADIT_CAUSE_LCP_ECHO_LOST ||
		    l->lns.down.cause == ADIT_CAUSE_TUNNEL_LOST);
	assert_int_equal(lab_rows(&l->lns), 0);
	lab_free(l);
}

static void new_configurations(void **state)
{
	struct lab_options o = { .dials = 2 };
	struct lab *l = up(&o);
	struct access_conf *c = lab_conf_client(&o), *none;
	struct access_summary sum;

	(void)state;
	/* one dial changed, the other did not */
	assert_non_null(c);
	c->dials[1].digest = 2;
	assert_int_equal(
		lab_do(l, &l->client, (struct access_cmd){ .kind = ACCESS_CMD_CONF, .conf = c }),
		0);
	lab_run(l, 10 * US_S);
	assert_int_equal(l->client.down.count, 1);
	expect_down(l, &l->client, ADIT_CAUSE_CONFIG);
	assert_int_equal(l->client.up.count, 3);
	access_conf_unref(c);
	/* the LNS forgets its peers */
	none = access_conf_new();
	assert_non_null(none);
	assert_int_equal(
		lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_CONF, .conf = none }),
		0);
	lab_run(l, US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_CONFIG);
	assert_int_equal(lab_rows(&l->lns), 0);
	assert_int_equal(l->lns.net.pool_count, 0);
	access_conf_unref(none);
	/* and knows them again */
	assert_int_equal(
		lab_do(l, &l->lns,
		       (struct access_cmd){ .kind = ACCESS_CMD_CONF, .conf = l->lns.conf }),
		0);
	lab_run(l, 60 * US_S);
	access_summary(l->lns.a, &sum);
	assert_int_equal(sum.sessions_up, 2);
	assert_int_equal(l->lns.net.local_count, 1);
	assert_true(l->lns.net.pool_count >= 2);
	lab_free(l);
}

static void commands_that_find_nothing(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 1 });
	struct dp_done done = { .op = DP_OP_PUT, .key = 12345 };
	struct access_tunnel_info t;
	struct access_session_info s;
	uint16_t id;

	(void)state;
	assert_int_equal(
		lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_TERMINATE, .key = 99 }),
		1);
	assert_int_equal(
		lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_STATS, .key = 99 }), 1);
	assert_int_equal(lab_do(l, &l->lns,
				(struct access_cmd){ .kind = ACCESS_CMD_ACCT_WRITTEN, .key = 99 }),
			 1);
	assert_int_equal(lab_do(l, &l->lns,
				(struct access_cmd){ .kind = ACCESS_CMD_DP_DONE, .done = &done }),
			 1);
	assert_int_equal(lab_do(l, &l->lns,
				(struct access_cmd){ .kind = ACCESS_CMD_RESOLVED, .name = "d0" }),
			 1);
	assert_false(access_session(l->lns.a, 99, &s));
	id = access_tunnel_next(l->lns.a, 0);
	assert_true(id && access_tunnel(l->lns.a, id, &t));
	assert_string_equal(t.peer, "peers");
	assert_string_equal(t.l2tp.host_name, "client");
	assert_int_equal(access_tunnel_next(l->lns.a, id), 0);
	assert_int_equal(
		lab_do(l, &l->lns,
		       (struct access_cmd){ .kind = ACCESS_CMD_TERMINATE_TUNNEL, .tunnel = id }),
		0);
	lab_run(l, US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_ADMIN);
	assert_int_equal(l->lns.tunnel_down.cause, ADIT_CAUSE_ADMIN);
	expect_down(l, &l->client, ADIT_CAUSE_PEER_CLOSED_TUNNEL);
	assert_int_equal(
		lab_do(l, &l->lns,
		       (struct access_cmd){ .kind = ACCESS_CMD_TERMINATE_TUNNEL, .tunnel = id }),
		1);
	lab_free(l);
}

static void shutdown_of_the_lns(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 2 });
	struct access_summary sum;

	(void)state;
	assert_int_equal(lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_SHUTDOWN }), 0);
	assert_int_equal(lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_SHUTDOWN }), 2);
	lab_run(l, 5 * US_S);
	expect_down(l, &l->lns, ADIT_CAUSE_SHUTDOWN);
	assert_int_equal(l->lns.line_count, 4);
	access_summary(l->lns.a, &sum);
	assert_int_equal(sum.sessions, 0);
	/* who comes now is told why not */
	lab_run(l, 10 * US_S);
	assert_int_equal(l->client.down.cause, ADIT_CAUSE_PEER_CLOSED_TUNNEL);
	lab_free(l);
}

/* Encryption: the row has the keys before CCP, and options and IP only with it; both ends agree. */
static void encrypted(void **state)
{
	struct lab *l = up(&(struct lab_options){ .dials = 1, .mppe = PPP_MPPE_REQUIRE });
	struct access_session_info s;
	struct lab_row *a, *b;

	(void)state;
	assert_true(access_session(l->lns.a, lab_only(&l->lns), &s));
	assert_true(s.up);
	assert_int_equal(s.auth, PPP_AUTH_MSCHAPV2);
	assert_int_equal(s.overhead, 42);
	assert_int_equal(s.mtu, 1458);
	a = lab_row(&l->lns, lab_only(&l->lns));
	b = lab_row(&l->client, lab_only(&l->client));
	assert_true(a->puts >= 2); /* first for the keys */
	assert_int_equal(a->row.flags & (DP_F_MPPE | DP_F_MPPE_KEYS), DP_F_MPPE);
	assert_true(a->row.flags & DP_F_IP4 && a->row.flags & DP_F_IP6);
	assert_memory_equal(a->row.mppe_options, "\1\0\0\x40", 4);
	assert_memory_equal(a->row.mppe_send_key, b->row.mppe_recv_key, 16);
	assert_memory_equal(a->row.mppe_recv_key, b->row.mppe_send_key, 16);
	assert_int_equal(l->lns.up.count, 1);
	lab_free(l);
}

/* However slow the plane: the Ack that lets the peer send waits for the row it needs. */
static void encrypted_by_a_slow_plane(void **state)
{
	struct lab_options o = { .dials = 1, .mppe = PPP_MPPE_REQUIRE };
	struct lab *l = lab_new(&o);
	struct access_session_info s;
	struct lab_row *row;

	(void)state;
	assert_non_null(l);
	l->slow_dp = true;
	for (int i = 0; i < 100 && !l->lns.up.count; i++) {
		lab_run(l, 100 * US_MS);
		(void)lab_plane_answers(l);
		row = lab_row(&l->lns, lab_only(&l->lns));
		assert_true(access_session(l->lns.a, lab_only(&l->lns), &s));
		if (s.up || l->client.up.count)
			assert_int_equal(row->row.flags & (DP_F_MPPE | DP_F_IP4),
					 DP_F_MPPE | DP_F_IP4);
	}
	assert_int_equal(l->lns.up.count, 1);
	assert_int_equal(l->lns.keyless, 0);
	lab_free(l);
}

/* The peer begins with LCP again: the keys are gone, and the row does not speak of any. */
static void encrypted_once_more(void **state)
{
	static const uint8_t request[] = { 0xc0, 0x21, 1, 0x77, 0, 4 };
	struct lab *l = up(&(struct lab_options){ .dials = 1, .mppe = PPP_MPPE_REQUIRE });
	uint64_t key = lab_only(&l->lns);
	struct lab_row *row = lab_row(&l->lns, key);
	unsigned int puts = row->puts;

	(void)state;
	l->client.deaf = true;
	(void)access_frame(l->lns.a, l->now, key, DP_PUNT_PPP, request, sizeof(request));
	lab_run(l, 100 * US_MS);
	assert_true(row->puts > puts);
	assert_int_equal(row->row.flags & (DP_F_IP4 | DP_F_IP6), 0);
	assert_int_equal(l->lns.keyless, 0);
	l->client.deaf = false;
	lab_run(l, 20 * US_S);
	assert_int_equal(l->lns.keyless + l->client.keyless, 0);
	assert_int_equal(row->row.flags & (DP_F_MPPE | DP_F_MPPE_KEYS), DP_F_MPPE);
	assert_true(row->row.flags & DP_F_IP4);
	lab_free(l);
}

/* The plane cannot: the session goes on in clear, or ends and says why. */
static void not_encrypted(void **state)
{
	struct lab_options o = { .dials = 1, .mppe = PPP_MPPE_PREFER, .redial_max = 1 };
	struct access_failure f;
	struct lab *l = lab_new(&o);
	struct lab_row *row;

	(void)state;
	l->no_mppe = true;
	lab_run(l, 5 * US_S);
	row = lab_row(&l->lns, lab_only(&l->lns));
	assert_true(row->there && row->row.flags & DP_F_IP4);
	assert_int_equal(row->row.flags & (DP_F_MPPE | DP_F_MPPE_KEYS), 0);
	assert_int_equal(l->client.up.count, 1);
	lab_free(l);

	o.mppe = PPP_MPPE_REQUIRE;
	l = lab_new(&o);
	l->no_mppe = true;
	lab_run(l, 20 * US_S);
	assert_int_equal(l->lns.up.count + l->client.up.count, 0);
	assert_true(access_failure(l->lns.a, 0, &f));
	assert_int_equal(f.cause, ADIT_CAUSE_NO_ENCRYPTION);
	assert_non_null(strstr(f.text, "cannot encrypt"));
	assert_int_equal(lab_rows(&l->lns), 0);
	lab_free(l);
}

/* An answer that names another question is not taken for the one that is open. */
static void late_answer(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){ .dials = 1 });
	struct access_cmd cmd = { .kind = ACCESS_CMD_AUTH, .ok = true };

	(void)state;
	l->hold_auth = true;
	lab_run(l, 2 * US_S);
	assert_true(l->held_key && l->held_ask);
	cmd.key = l->held_key;
	cmd.ask = l->held_ask + 1;
	assert_int_equal(lab_do(l, &l->lns, cmd), 1);
	cmd.ask = l->held_ask;
	assert_int_equal(lab_do(l, &l->lns, cmd), 0);
	assert_int_equal(lab_do(l, &l->lns, cmd), 1);
	lab_run(l, 2 * US_S);
	assert_int_equal(l->lns.up.count, 1);
	lab_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encrypted),
		cmocka_unit_test(encrypted_by_a_slow_plane),
		cmocka_unit_test(encrypted_once_more),
		cmocka_unit_test(not_encrypted),
		cmocka_unit_test(late_answer),
		cmocka_unit_test(comes_up_and_goes_down),
		cmocka_unit_test(wrong_password),
		cmocka_unit_test(owner_refuses),
		cmocka_unit_test(no_answer_to_the_question),
		cmocka_unit_test(nobody_knows_the_peer),
		cmocka_unit_test(limits_of_a_peer),
		cmocka_unit_test(time_limits),
		cmocka_unit_test(one_session_a_user),
		cmocka_unit_test(fixed_addresses),
		cmocka_unit_test(pool_is_exhausted),
		cmocka_unit_test(without_login),
		cmocka_unit_test(the_plane_fails),
		cmocka_unit_test(next_address),
		cmocka_unit_test(redials_with_patience),
		cmocka_unit_test(connect_and_disconnect),
		cmocka_unit_test(the_lns_falls_silent),
		cmocka_unit_test(new_configurations),
		cmocka_unit_test(commands_that_find_nothing),
		cmocka_unit_test(shutdown_of_the_lns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
