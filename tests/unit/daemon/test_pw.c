/* SPDX-License-Identifier: MIT
 *
 * Pseudowires between two engines in virtual time (access/pw.h), made from the text of two
 * configurations: whoever begins, over UDP and over IP, through loss, collisions, a restart from
 * records, and changes of the configuration. The data plane is a list of rows here; all
 * combinations of settings, with whole data planes, are in test_product.c.
 */
#include "test_pw.h"

#include "access/pw_int.h"
#include "base/wire.h"

#define PEER_A "192.0.2.1"
#define PEER_B "192.0.2.2"

#define TUNNEL_WITH(peer, more) "tunnel \"t\" { remote = " peer " secret = s " more " }\n"
#define TUNNEL(peer)		TUNNEL_WITH(peer, "")
#define WIRE_WITH(name, more)	"pseudowire \"" name "\" { tunnel = t " more " }\n"
#define WIRE(name)		WIRE_WITH(name, "")
#define WIRES_2(peer)		TUNNEL(peer) WIRE("a") WIRE("b")
#define SHORT(name, peer, more) \
	"pseudowire \"" name "\" { remote = " peer " secret = s " more " }\n"

/* Somebody has changed the configuration meanwhile. */
static void restart_as(struct world *w, int n, const char *text)
{
	conf_free(w->side[n].conf);
	w->side[n].conf = conf_of(text);
	restart(w, n);
}

static void both_up(struct world *w)
{
	run_until(w, 60, up_everywhere);
	check_rows(w);
}

/* The short form on both sides: both dial, the requests cross, one connection is left. */
static void test_short_form(void **state)
{
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " secret = s bridge = br0 }",
		   "pseudowire \"x\" { remote = " PEER_A " secret = s circuit = eth1 }");
	both_up(&w);
	run_until(&w, 30, never);
	assert_int_equal(tunnels(&w.side[0]), 1);
	assert_int_equal(tunnels(&w.side[1]), 1);
	assert_string_equal(w.side[0].rows[0].row.ifname, "x");
	assert_string_equal(w.side[0].rows[0].row.master, "br0");
	assert_string_equal(w.side[1].rows[0].row.circuit, "eth1");
	assert_int_equal(w.side[0].rows[0].row.cookie_in_len, 8);
	/* 1500 - IP 20 - UDP 8 - flags 4 - session 4 - cookie 8 - sublayer 4 - Ethernet 14 */
	assert_int_equal(w.side[0].rows[0].row.mtu, 1438);
	world_close(&w);
}

/* The same over IPv6, both ways. */
static void test_ip6(void **state)
{
	static const uint16_t mtus[] = { 1418, 1430 };
	struct world w;

	for (int ip = 0; ip < 2; ip++) {
		world_open(&w,
			   ip ? "pseudowire \"x\" { remote = \"2001:db8::2\" encapsulation = ip }"
			      : "pseudowire \"x\" { remote = \"2001:db8::2\" }",
			   ip ? "pseudowire \"x\" { remote = \"2001:db8::1\" encapsulation = ip }"
			      : "pseudowire \"x\" { remote = \"2001:db8::1\" }");
		both_up(&w);
		assert_int_equal(w.side[0].rows[0].row.path.remote.family, AF_INET6);
		assert_int_equal(w.side[0].rows[0].row.mtu, mtus[ip]);
		world_close(&w);
	}
}

/* One side has sequencing = yes: the other is asked for numbers, and asks for them, too, whoever
 * has dialled, because the kernel drops what has none when it sends some (V3-5.4.4-17). */
static void test_numbers_asked_by_one(void **state)
{
	static const char *const more[] = { "", "sequencing = yes" };

	for (int n = 0; n < 4; n++) {
		char a[256], b[256];
		struct world w;

		snprintf(a, sizeof(a), "pseudowire \"x\" { remote = " PEER_B " %s connect = %s }",
			 more[n & 1], n & 2 ? "auto" : "wait");
		snprintf(b, sizeof(b), "pseudowire \"x\" { remote = " PEER_A " %s connect = %s }",
			 more[~n & 1], n & 2 ? "wait" : "auto");
		world_open(&w, a, b);
		both_up(&w);
		for (int i = 0; i < 2; i++)
			assert_int_equal(w.side[i].rows[0].row.flags &
						 (DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ),
					 DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ);
		world_close(&w);
	}
}

/* Who has no block for a peer says so in words that fit into the smallest answer; who has it with
 * the other encapsulation says that. */
static void test_words_for_strangers(void **state)
{
	static const char *const sides[][3] = {
		{ "remote = " PEER_B, "remote = " PEER_A " encapsulation = ip connect = wait",
		  "expected over IP, not UDP" },
		{ "remote = " PEER_B " encapsulation = ip", "remote = " PEER_A " connect = wait",
		  "expected over UDP, not IP" },
		{ "remote = " PEER_B, "remote = 198.51.100.1 connect = wait",
		  "no block here for this peer" },
	};

	for (size_t n = 0; n < sizeof(sides) / sizeof(sides[0]); n++) {
		char block[2][256];
		struct pw_wire_info i;
		struct world w;

		for (int s = 0; s < 2; s++)
			snprintf(block[s], sizeof(block[s]), "pseudowire \"x\" { %s }",
				 sides[n][s]);
		world_open(&w, block[0], block[1]);
		run_until(&w, 10, never);
		assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
		assert_int_equal(i.cause, ADIT_CAUSE_PEER_CLOSED_TUNNEL);
		assert_string_equal(i.text, sides[n][2]);
		assert_true(strlen(i.text) <= 27);
		world_close(&w);
	}
}

/* A circuit goes down on one side: the other's row has no carrier; and back. */
static void test_circuits(void **state)
{
	struct pw_wire_info i;
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " circuit = eth1 }",
		   "pseudowire \"x\" { remote = " PEER_A " }");
	both_up(&w);
	/* nothing was said of eth1 yet */
	assert_true(w.side[1].rows[0].row.flags & DP_F_FAR_DOWN);
	for (int turn = 0; turn < 2; turn++) {
		circuit(&w, 0, true);
		run_until(&w, 10, never);
		assert_false(w.side[1].rows[0].row.flags & DP_F_FAR_DOWN);
		assert_true(pwe_wire_find(w.side[1].pw, "x", &i));
		assert_true(i.near_up && i.far_up);
		circuit(&w, 0, false);
		run_until(&w, 10, never);
		assert_true(w.side[1].rows[0].row.flags & DP_F_FAR_DOWN);
		assert_true(pwe_wire_find(w.side[1].pw, "x", &i));
		assert_true(i.near_up && !i.far_up);
		assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
		assert_true(!i.near_up && i.far_up);
	}
	world_close(&w);
}

/* The other side stands by (RFC 5641 2), or has a fault of its own kind: nothing is sent to it. */
static void test_standby(void **state)
{
	static const uint16_t status[] = { 0x41, 0x01, 0x04, 0x01, 0x40, 0x01 };
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_STATUS };
	struct pw_wire_info i;
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " }",
		   "pseudowire \"x\" { remote = " PEER_A " }");
	both_up(&w);
	for (size_t n = 0; n < sizeof(status) / sizeof(status[0]); n++) {
		cmd.session = pww_by_name(w.side[1].pw, "x")->session;
		cmd.status = status[n];
		assert_int_equal(l2tp3_do(w.side[1].pw->l, w.now, &cmd), 0);
		run_until(&w, 5, never);
		assert_int_equal(!(w.side[0].rows[0].row.flags & DP_F_FAR_DOWN), n % 2);
		assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
		assert_int_equal(i.far_up, n % 2);
		assert_int_equal(i.l2tp.remote_status, status[n]);
		restart(&w, 0);
		run_until(&w, 5, never);
		assert_int_equal(!(w.side[0].rows[0].row.flags & DP_F_FAR_DOWN), n % 2);
	}
	world_close(&w);
}

/* One side dies and is back from its records: nothing ends, nobody notices. */
static void test_restart(void **state)
{
	uint32_t session, tunnel;
	uint64_t key;
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " secret = s circuit = eth1 }",
		   "pseudowire \"x\" { remote = " PEER_A " secret = s }");
	both_up(&w);
	circuit(&w, 0, true);
	run_until(&w, 10, never);
	session = w.side[0].rows[0].row.local_session;
	tunnel = w.side[0].rows[0].row.local_tunnel;
	key = w.side[0].rows[0].key;
	for (int turn = 0; turn < 3; turn++) {
		restart(&w, turn % 2);
		assert_int_equal(tunnels(&w.side[turn % 2]), 1);
		run_until(&w, 300, never); /* HELLO goes both ways */
		check_rows(&w);
	}
	assert_int_equal(w.side[0].rows[0].row.local_session, session);
	assert_int_equal(w.side[0].rows[0].row.local_tunnel, tunnel);
	assert_int_equal(w.side[0].rows[0].key, key);
	assert_int_equal(w.downs, 0);
	assert_false(w.side[1].rows[0].row.flags & DP_F_FAR_DOWN);
	/* and it can be told of a change afterwards */
	circuit(&w, 0, false);
	run_until(&w, 10, never);
	assert_true(w.side[1].rows[0].row.flags & DP_F_FAR_DOWN);
	world_close(&w);
}

/* One side loses all it knew: the other takes the new connection for the former. */
static void test_amnesia(void **state)
{
	struct world w;
	uint32_t session;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " secret = s }",
		   "pseudowire \"x\" { remote = " PEER_A " secret = s connect = wait }");
	both_up(&w);
	session = w.side[1].rows[0].row.local_session;
	forget(&w, 0);
	run_until(&w, 60, never);
	both_up(&w);
	assert_int_not_equal(w.side[1].rows[0].row.local_session, session);
	run_until(&w, 300, never);
	check_rows(&w);
	assert_int_equal(tunnels(&w.side[1]), 1);
	world_close(&w);
}

/* Secrets that differ: nothing comes up, both sides say why; mended by a reload. */
static void test_secrets(void **state)
{
	struct pw_wire_info i;
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " secret = one }",
		   "pseudowire \"x\" { remote = " PEER_A " secret = two }");
	run_until(&w, 60, never);
	assert_int_equal(w.side[0].row_count, 0);
	assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
	assert_false(i.up);
	reload(&w, 1, "pseudowire \"x\" { remote = " PEER_A " secret = one }");
	run_until(&w, 300, up_everywhere);
	check_rows(&w);
	world_close(&w);
}

/* A secret is changed in the steps of the manual, of which there is one more without a digest:
 * whoever dials anew at any moment gets through. */
static void test_two_secrets(void **state)
{
#define STEP(peer, secret)                                \
	"tunnel \"t\" { remote = " peer " " secret " }\n" \
	"pseudowire \"x\" { tunnel = t }"
#define CHALLENGE "digest = none challenge = yes secret = "
	static const char *const with_digest[][2] = {
		{ STEP(PEER_B, "secret = a"), STEP(PEER_A, "secret = a") },
		{ STEP(PEER_B, "secret = b old-secret = a"), STEP(PEER_A, "secret = a") },
		{ STEP(PEER_B, "secret = b old-secret = a"),
		  STEP(PEER_A, "secret = b old-secret = a") },
		{ STEP(PEER_B, "secret = b"), STEP(PEER_A, "secret = b old-secret = a") },
		{ STEP(PEER_B, "secret = b"), STEP(PEER_A, "secret = b") },
	};
	static const char *const without[][2] = {
		{ STEP(PEER_B, CHALLENGE "a"), STEP(PEER_A, CHALLENGE "a") },
		{ STEP(PEER_B, CHALLENGE "a old-secret = b"), STEP(PEER_A, CHALLENGE "a") },
		{ STEP(PEER_B, CHALLENGE "a old-secret = b"),
		  STEP(PEER_A, CHALLENGE "a old-secret = b") },
		{ STEP(PEER_B, CHALLENGE "b old-secret = a"),
		  STEP(PEER_A, CHALLENGE "a old-secret = b") },
		{ STEP(PEER_B, CHALLENGE "b"), STEP(PEER_A, CHALLENGE "b old-secret = a") },
		{ STEP(PEER_B, CHALLENGE "b"), STEP(PEER_A, CHALLENGE "b") },
	};
	struct world w;

	for (int how = 0; how < 4; how++) {
		const char *const(*steps)[2] = how & 1 ? without : with_digest;
		uint32_t n = how & 1 ? 6 : 5;

		world_open(&w, steps[0][0], steps[0][1]);
		both_up(&w);
		for (uint32_t i = 1; i < n; i++) {
			int by = (int)(i + (uint32_t)how / 2) % 2;

			for (int side = 0; side < 2; side++)
				reload(&w, side, steps[i][side]);
			run_until(&w, 130, never);
			assert_int_equal(w.downs, 2 * (i - 1)); /* the reload ended nothing */
			restart(&w, by);
			run_until(&w, 10, never);
			terminate(&w, by); /* dialled anew with the secrets of now */
			run_until(&w, 60, never);
			both_up(&w);
		}
		world_close(&w);
	}
}

/* A reload ends what was changed, and leaves alone what was not. */
static void test_reload(void **state)
{
	struct world w;
	uint32_t session;
	uint64_t key;

	world_open(&w,
		   "pseudowire \"x\" { remote = " PEER_B " }\n"
		   "pseudowire \"y\" { remote = " PEER_B " }",
		   "pseudowire \"x\" { remote = " PEER_A " }\n"
		   "pseudowire \"y\" { remote = " PEER_A " }");
	w.want_rows = 2;
	both_up(&w);
	assert_int_equal(tunnels(&w.side[0]), 1);
	key = row_of(&w.side[0], "x")->key;
	session = row_of(&w.side[0], "y")->row.local_session;
	reload(&w, 0,
	       "pseudowire \"x\" { remote = " PEER_B " }\n"
	       "pseudowire \"y\" { remote = " PEER_B " mtu = 1000 }");
	run_until(&w, 30, never);
	check_rows(&w);
	assert_int_equal(row_of(&w.side[0], "x")->key, key);
	assert_int_not_equal(row_of(&w.side[0], "y")->row.local_session, session);
	assert_int_equal(row_of(&w.side[0], "y")->row.mtu, 1000);
	/* the first is removed, which gave the connection its name */
	w.want_rows = 1;
	reload(&w, 0, "pseudowire \"y\" { remote = " PEER_B " mtu = 1000 }");
	run_until(&w, 30, never);
	assert_int_equal(w.side[0].row_count, 1);
	assert_int_equal(w.side[1].row_count, 1);
	assert_non_null(row_of(&w.side[0], "y"));
	/* ... and its record knows the new one */
	session = row_of(&w.side[0], "y")->row.local_session;
	restart(&w, 0);
	run_until(&w, 300, never);
	check_rows(&w);
	assert_int_equal(row_of(&w.side[0], "y")->row.local_session, session);
	reload(&w, 0, "");
	run_until(&w, 30, never);
	assert_int_equal(w.side[0].row_count, 0);
	assert_int_equal(w.side[1].row_count, 0);
	assert_true(pwe_ended(w.side[0].pw));
	world_close(&w);
}

/* An attempt is told with the address it went to, or was to go to. */
static void test_whom_an_attempt_was_for(void **state)
{
	char text[ADDR_TEXT_MAX];
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = 192.0.2.8 }",
		   "pseudowire \"x\" { remote = 192.0.2.8 connect = wait }");
	for (int turn = 0; turn < 2; turn++) {
		w.side[0].no_route = turn == 0;
		w.side[0].failed = (struct addr){ 0 };
		reload(&w, 0,
		       turn == 0 ? "pseudowire \"x\" { remote = 192.0.2.9 }"
				 : "pseudowire \"x\" { remote = 192.0.2.10 }");
		run_until(&w, 300, never);
		assert_string_equal(addr_text(&w.side[0].failed, text),
				    turn == 0 ? "192.0.2.9:1701" : "192.0.2.10:1701");
	}
	world_close(&w);
}

/* A call for what is not there is refused, and tried again later and later. */
static void test_no_such_wire(void **state)
{
	struct pw_wire_info i;
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " }",
		   "pseudowire \"y\" { remote = " PEER_A " }");
	run_until(&w, 120, never);
	assert_int_equal(w.side[0].row_count, 0);
	assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
	assert_string_equal(i.text, "no pseudowire of the configuration has the Remote End ID x");
	assert_in_range(i.attempts, 3, 10);
	assert_true(addr_same_ip(&w.side[0].failed, &w.side[1].addr));
	reload(&w, 1, "pseudowire \"y\" { remote = " PEER_A " remote-end-id = x }");
	run_until(&w, 120, up_everywhere);
	check_rows(&w);
	world_close(&w);
}

/* Types have to be the same. */
static void test_types(void **state)
{
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " type = vlan }",
		   "pseudowire \"x\" { remote = " PEER_A " }");
	run_until(&w, 60, never);
	assert_int_equal(w.side[0].row_count, 0);
	reload(&w, 1, "pseudowire \"x\" { remote = " PEER_A " type = vlan }");
	run_until(&w, 120, up_everywhere);
	check_rows(&w);
	world_close(&w);
}

/* Ids that are configured: the connection is there for the life of the peer. */
static void test_fixed(void **state)
{
	struct world w;

	world_open(&w,
		   "pseudowire \"x\" { remote = " PEER_B " session-id = 5 peer-session-id = 6 "
		   "cookie = 01020304 }",
		   "pseudowire \"x\" { remote = " PEER_A " session-id = 6 peer-session-id = 5 "
		   "peer-cookie = 01020304 }");
	both_up(&w);
	assert_int_equal(w.side[0].rows[0].row.local_session, 5);
	restart(&w, 0);
	run_until(&w, 10, never);
	check_rows(&w);
	w.loss = 100;
	run_until(&w, 300, never);
	assert_int_equal(w.side[0].row_count, 0);
	w.loss = 0;
	run_until(&w, 300, up_everywhere);
	check_rows(&w);
	world_close(&w);
}

struct counted {
	int dels;
};

static int count_put(void *arg, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	return 0;
}

static void count_del(void *arg, uint64_t key, uint32_t generation)
{
	((struct counted *)arg)->dels++;
}

static void no_tunnel(void *arg, const struct dp_tunnel *t)
{
}

static void no_tunnel_del(void *arg, uint32_t local)
{
}

static bool rows_everywhere(struct world *w)
{
	return w->side[0].row_count == 1 && w->side[1].row_count == 1;
}

/* Where nothing is agreed, a row of former values does not stay either when it was changed while
 * the daemon was away: it goes before the next one comes. */
static void test_fixed_changed_while_away(void **state)
{
#define FIXED_AS(more)	       "pseudowire \"x\" { tunnel = t session-id = 5 peer-session-id = 6 " more " }"
#define FIXED_AS_WITH(t, more) "tunnel \"t\" { remote = " PEER_B t " }" FIXED_AS(more)
	static const struct {
		const char *after;
		bool stays;
	} cases[] = {
		{ FIXED_AS_WITH("", "bridge = br0 vlan = 10"), true },
		{ FIXED_AS_WITH("", "bridge = br0 vlan = 20"), false },
		{ FIXED_AS_WITH("", "bridge = br0"), false },
		{ FIXED_AS_WITH("", "bridge = br0 vlan = 10 interface = y"), false },
		{ FIXED_AS_WITH(" retries = 7", "bridge = br0 vlan = 10"), false },
	};

	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct counted n = { 0 };
		struct side_plane plane = { count_put, count_del, no_tunnel, no_tunnel_del, &n };
		struct world w;

		world_open(&w, cases[0].after,
			   "tunnel \"t\" { remote = " PEER_A " }"
			   "pseudowire \"x\" { tunnel = t session-id = 6 peer-session-id = 5 }");
		both_up(&w);
		w.side[0].plane = &plane;
		for (int turn = 0; turn < 2; turn++) {
			restart_as(&w, 0, cases[k].after);
			run_until(&w, 10, up_everywhere);
			run_until(&w, 300, never);
			check_rows(&w);
			assert_int_equal(n.dels, !cases[k].stays);
		}
		reload(&w, 0, TUNNEL(PEER_B));
		run_until(&w, 30, never);
		assert_int_equal(w.side[0].row_count, 0);
		assert_in_range(w.side[0].record_count, 0, 1); /* of the connection, if any */
		world_close(&w);
	}
}

/* A tunnel and what a pseudowire implies may have one name. */
static void test_two_of_a_name(void **state)
{
	uint32_t session;
	struct world w;

	world_open(&w,
		   "tunnel \"a\" { remote = " PEER_B " }\n"
		   "pseudowire \"b\" { tunnel = a }\n"
		   "pseudowire \"a\" { remote = 192.0.2.77 connect = wait }",
		   "pseudowire \"b\" { remote = " PEER_A " }");
	for (int turn = 0; turn < 3; turn++) {
		struct pw_wire_info i;

		run_until(&w, 10, rows_everywhere);
		check_rows(&w);
		if (turn)
			assert_int_equal(w.side[0].rows[0].row.local_session, session);
		session = w.side[0].rows[0].row.local_session;
		assert_true(pwe_wire_find(w.side[0].pw, "a", &i));
		assert_false(i.up);
		run_until(&w, 100, never);
		assert_string_equal(w.side[0].rows[0].row.ifname, "b");
		restart(&w, 0);
	}
	assert_int_equal(w.downs, 0);
	world_close(&w);
}

/* `adit disconnect` and `adit connect`. */
static void test_disconnect(void **state)
{
	struct pw_cmd cmd = { .kind = PW_CMD_DISCONNECT, .name = "x" };
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " }",
		   "pseudowire \"x\" { remote = " PEER_A " }");
	both_up(&w);
	assert_int_equal(pwe_do(w.side[0].pw, w.now, &cmd), 0);
	run_until(&w, 300, never);
	assert_int_equal(w.side[0].row_count, 0);
	assert_int_equal(w.side[1].row_count, 0);
	assert_int_equal(pwe_do(w.side[0].pw, w.now, &cmd), 2);
	cmd.kind = PW_CMD_CONNECT;
	assert_int_equal(pwe_do(w.side[0].pw, w.now, &cmd), 0);
	both_up(&w);
	cmd.name = "z";
	assert_int_equal(pwe_do(w.side[0].pw, w.now, &cmd), 1);
	world_close(&w);
}

/* The data plane cannot: the peer is told, and it is tried again. */
static void say(struct world *w, int n, enum pw_cmd_kind kind, const char *name)
{
	struct pw_cmd cmd = { .kind = kind, .name = name };

	assert_int_equal(pwe_do(w->side[n].pw, w->now, &cmd), 0);
	drain(w, n);
}

/* What an administrator has taken down stays down over a restart, and what he has brought up by
 * hand is brought up again, in the short form and in a tunnel. */
static void test_said(void **state)
{
	static const char *const blocks[][2] = {
		{ "pseudowire \"x\" { remote = " PEER_B " %s }",
		  "pseudowire \"x\" { remote = " PEER_A " }" },
		{ "tunnel \"t\" { remote = " PEER_B " connect = wait }\n"
		  "pseudowire \"x\" { tunnel = t %s }",
		  "tunnel \"t\" { remote = " PEER_A " }\npseudowire \"x\" { tunnel = t }" },
	};
	struct pw_wire_info i;
	char text[256];
	struct world w;

	for (size_t k = 0; k < 2; k++) {
		snprintf(text, sizeof(text), blocks[k][0], "");
		world_open(&w, text, blocks[k][1]);
		both_up(&w);
		say(&w, 0, PW_CMD_DISCONNECT, "x");
		run_until(&w, 60, never);
		restart(&w, 0);
		run_until(&w, 300, never);
		restart(&w, 0); /* the record is still there */
		run_until(&w, 300, never);
		assert_int_equal(w.side[0].row_count, 0);
		assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
		assert_string_equal(i.state, "idle");
		say(&w, 0, PW_CMD_CONNECT, "x");
		run_until(&w, 300, up_everywhere);
		restart(&w, 0);
		run_until(&w, 60, never);
		check_rows(&w);
		/* nothing is left to be said: the connection and the session alone */
		assert_int_equal(w.side[0].record_count, 2);
		/* one that is not in the configuration any more takes its record along */
		say(&w, 0, PW_CMD_DISCONNECT, "x");
		run_until(&w, 300, never);
		assert_int_equal(w.side[0].record_count, k ? 2 : 1);
		reload(&w, 0, "");
		run_until(&w, 300, never);
		assert_int_equal(w.side[0].record_count, 0);
		world_close(&w);
	}
	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " connect = manual }",
		   "pseudowire \"x\" { remote = " PEER_A " connect = wait }");
	run_until(&w, 60, never);
	assert_int_equal(w.side[0].row_count, 0);
	say(&w, 0, PW_CMD_CONNECT, "x");
	restart(&w, 0);
	run_until(&w, 60, up_everywhere);
	assert_int_equal(w.side[0].record_count, 3);
	restart(&w, 0);
	say(&w, 0, PW_CMD_DISCONNECT, "x");
	run_until(&w, 300, never);
	restart(&w, 0);
	run_until(&w, 300, never);
	assert_int_equal(w.side[0].row_count, 0);
	world_close(&w);
}

/* max-tunnels and max-sessions hold for pseudowires. */
static void test_limits(void **state)
{
	static const char three[] = "%s\ntunnel \"t\" { remote = %s }\n"
				    "pseudowire \"x\" { tunnel = t }\n"
				    "pseudowire \"y\" { tunnel = t }\n"
				    "pseudowire \"z\" { tunnel = t }\n";
	struct pw_wire_info i;
	char a[512], b[600];
	unsigned int up;
	struct world w;

	for (int side = 0; side < 2; side++) { /* whoever has the limit */
		snprintf(a, sizeof(a), three, side ? "" : "max-sessions = 2", PEER_B);
		snprintf(b, sizeof(b), three, side ? "max-sessions = 2" : "", PEER_A);
		world_open(&w, a, b);
		run_until(&w, 300, never);
		up = 0;
		for (size_t k = 0; pwe_wire(w.side[0].pw, k, &i); k++)
			up += i.up;
		assert_int_equal(up, 2);
		assert_int_equal(w.side[1].row_count, 2);
		reload(&w, side, strchr(side ? b : a, '\n') + 1);
		w.want_rows = 3;
		run_until(&w, 300, up_everywhere);
		world_close(&w);
	}
	/* The second peer is not reached for as long as the first takes the only place. */
	snprintf(a, sizeof(a),
		 "pseudowire \"x\" { remote = %s }\n"
		 "pseudowire \"y\" { remote = 192.0.2.9 }",
		 PEER_B);
	snprintf(b, sizeof(b), "max-tunnels = 1\n%s", a);
	world_open(&w, b, "pseudowire \"x\" { remote = " PEER_A " local = " PEER_B " }");
	run_until(&w, 300, never);
	assert_int_equal(tunnels(&w.side[0]), 1);
	assert_true(pwe_wire_find(w.side[0].pw, "y", &i));
	assert_int_equal(i.cause, ADIT_CAUSE_LIMIT_TUNNELS);
	reload(&w, 0, a);
	run_until(&w, 300, never);
	assert_true(pwe_wire_find(w.side[0].pw, "y", &i));
	assert_int_equal(i.cause, ADIT_CAUSE_PEER_CLOSED_TUNNEL);
	assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
	assert_true(i.up);
	world_close(&w);
}

static uint16_t mtu_of(struct world *w, uint16_t path)
{
	struct pw_cmd cmd = { .kind = PW_CMD_PATH, .mtu = path };

	cmd.tunnel = pwe_tunnel_next(w->side[0].pw, 0);
	assert_in_range(pwe_do(w->side[0].pw, w->now, &cmd), 0, 2);
	drain(w, 0);
	return row_of(&w->side[0], "x")->row.mtu;
}

/* The interface follows the path, except where the configuration says what it is; over a restart,
 * too. */
static void test_path(void **state)
{
	struct pw_tunnel_info i;
	struct pw_cmd cmd = { .kind = PW_CMD_PATH, .tunnel = 1 };
	struct world w;

	world_open(&w,
		   "tunnel \"t\" { remote = " PEER_B " }\n"
		   "pseudowire \"x\" { tunnel = t }\npseudowire \"y\" { tunnel = t mtu = 1300 }",
		   "tunnel \"t\" { remote = " PEER_A " }\n"
		   "pseudowire \"x\" { tunnel = t }\npseudowire \"y\" { tunnel = t }");
	w.want_rows = 2;
	run_until(&w, 60, up_everywhere);
	assert_int_equal(mtu_of(&w, 0), 1438);
	assert_int_equal(mtu_of(&w, 9000), 8938);
	assert_int_equal(mtu_of(&w, 65535), PW_MTU_MAX);
	assert_int_equal(mtu_of(&w, 1400), 1338);
	assert_int_equal(mtu_of(&w, 1400), 1338);
	assert_int_equal(row_of(&w.side[0], "y")->row.mtu, 1300);
	restart(&w, 0);
	assert_int_equal(row_of(&w.side[0], "x")->row.mtu, 1338);
	assert_true(pwe_tunnel(w.side[0].pw, pwe_tunnel_next(w.side[0].pw, 0), &i));
	assert_int_equal(i.path_mtu, 1400);
	assert_int_equal(pwe_do(w.side[0].pw, w.now, &cmd), 1); /* no such tunnel */
	run_until(&w, 60, never);
	assert_int_equal(w.downs, 0);
	/* What is set up anew knows the path still. */
	terminate(&w, 1);
	run_until(&w, 60, up_everywhere);
	assert_int_equal(mtu_of(&w, 1400), 1338);
	world_close(&w);
}

/* Session ids of the configuration are nobody else's, of static pseudowires neither. */
static void test_reserved(void **state)
{
#define FIXED(id)                                                                   \
	"tunnel \"t\" { remote = " PEER_B " }\n"                                    \
	"pseudowire \"x\" { tunnel = t session-id = 7 peer-session-id = 9 }\n"      \
	"pseudowire \"y\" { tunnel = t session-id = " id " peer-session-id = 9 }\n" \
	"pseudowire \"z\" { local = " PEER_A " remote = " PEER_B                    \
	" tunnel-id = 5 peer-tunnel-id = 6 session-id = 99999 peer-session-id = 1 }"
	struct conf *c = conf_of(FIXED("70000"));
	struct pw_cmd cmd = { .kind = PW_CMD_CONF };
	struct pw_config config = { .incarnation = 1 };
	struct pw *p = pwe_new(&config);

	assert_int_equal(c->pw->reserved_count, 3);
	assert_int_equal(c->pw->reserved[0], 7);
	assert_int_equal(c->pw->reserved[1], 70000);
	assert_int_equal(c->pw->reserved[2], 99999);
	assert_true(pw_conf_reserves(c->pw, 99999));
	assert_false(pw_conf_reserves(c->pw, 99998));
	for (int turn = 0; turn < 3; turn++) {
		cmd.conf = c->pw;
		assert_int_equal(pwe_do(p, (struct mono){ US_S }, &cmd), 0);
		assert_int_equal(pwe_do(p, (struct mono){ US_S }, &cmd), 0);
		conf_free(c);
		c = conf_of(turn ? FIXED("70000") : FIXED("70001"));
	}
	conf_free(c);
	pwe_free(p);
}

static void test_plane_fails(void **state)
{
	struct pw_wire_info i;
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " }",
		   "pseudowire \"x\" { remote = " PEER_A " }");
	w.side[0].put_error = -EEXIST;
	run_until(&w, 30, never);
	assert_int_equal(w.side[0].row_count, 0);
	assert_true(pwe_wire_find(w.side[0].pw, "x", &i));
	assert_int_equal(i.cause, ADIT_CAUSE_DATA_PLANE);
	w.side[0].put_error = 0;
	run_until(&w, 300, up_everywhere);
	check_rows(&w);
	world_close(&w);
}

/* A session that ends while it is taken up takes its record along; so does a connection. */
static void test_ends_while_taken_up(void **state)
{
	struct world w;

	for (int conn = 0; conn < 2; conn++) {
		world_open(&w, "pseudowire \"x\" { remote = " PEER_B " }",
			   "pseudowire \"x\" { remote = " PEER_A " }");
		both_up(&w);
		assert_int_equal(w.side[0].record_count, 2);
		w.side[0].put_error = conn ? 0 : -EEXIST;
		restart(&w, 0);
		if (conn) {
			terminate(&w, 0);
			restart(&w, 0); /* it is closing */
			restart(&w, 0);
		}
		w.side[0].put_error = 0;
		run_until(&w, 300, up_everywhere);
		run_until(&w, 300, never);
		check_rows(&w);
		assert_int_equal(w.side[0].record_count, 2);
		world_close(&w);
	}
}

/* What the configuration has no more after a restart is no damage: it ends, the peer is told, with
 * the secret of before, and records go. */
static void test_no_place_after_restart(void **state)
{
	static const char *const later[] = { TUNNEL(PEER_B) WIRE("b"), TUNNEL(PEER_B), "" };
	static const size_t rows[] = { 1, 0, 0 }, records[] = { 2, 1, 0 };
	struct conf *before;
	struct world w;

	for (size_t k = 0; k < 3; k++) {
		world_open(&w, WIRES_2(PEER_B), WIRES_2(PEER_A));
		w.want_rows = 2;
		both_up(&w);
		assert_int_equal(w.side[0].record_count, 3);
		before = w.side[0].conf;
		w.side[0].conf = conf_of(later[k]);
		w.loss = 100;
		restart(&w, 0); /* each record is read */
		restart(&w, 0); /* and those of what is ending, too */
		conf_free(before);
		w.loss = 0;
		run_until(&w, 20, never);
		assert_int_equal(w.side[1].row_count, rows[k]);
		assert_int_equal(w.side[1].told, k ? 2 : 1);
		assert_int_equal(tunnels(&w.side[1]), k < 2);
		run_until(&w, 300, never);
		assert_int_equal(w.side[0].row_count, rows[k]);
		assert_int_equal(w.side[1].row_count, rows[k]);
		assert_in_range(w.side[0].record_count, 0, records[k]);
		world_close(&w);
	}
}

/* The same without a restart. */
static void test_block_removed(void **state)
{
	struct world w;

	world_open(&w, WIRES_2(PEER_B), WIRES_2(PEER_A));
	w.want_rows = 2;
	both_up(&w);
	reload(&w, 0, "");
	run_until(&w, 5, never);
	assert_int_equal(w.side[1].row_count, 0);
	assert_int_equal(w.side[1].told, 2);
	assert_int_equal(tunnels(&w.side[1]), 0);
	run_until(&w, 100, never);
	assert_int_equal(w.side[0].record_count, 0);
	world_close(&w);
}

/* The secret is another one, or none at all, when the connection is taken up: it goes on with its
 * own, as after a reload. */
static void test_secret_changed_while_away(void **state)
{
	static const char *const later[] = { "secret = new", "secret = new old-secret = s", "" };
	char text[256];
	struct world w;

	for (size_t k = 0; k < 3; k++) {
		world_open(&w, WIRES_2(PEER_B), WIRES_2(PEER_A));
		w.want_rows = 2;
		both_up(&w);
		snprintf(text, sizeof(text), "tunnel \"t\" { remote = " PEER_B " %s }\n%s%s",
			 later[k], WIRE("a"), WIRE("b"));
		restart_as(&w, 0, text);
		run_until(&w, 300, never); /* HELLO, both ways */
		restart(&w, 0);
		circuit(&w, 0, false);
		run_until(&w, 300, never);
		check_rows(&w);
		assert_true(w.side[1].rows[0].row.flags & DP_F_FAR_DOWN);
		assert_int_equal(w.downs, 0);
		world_close(&w);
	}
}

/* What was changed while the daemon was away is ended and set up anew, and what was not goes on, as
 * after a reload. */
static void test_changed_while_away(void **state)
{
#define SHORT_2 SHORT("a", PEER_B, "") SHORT("b", PEER_B, "")
	static const struct {
		const char *before, *after;
		bool a, b; /* goes on */
	} cases[] = {
		{ WIRES_2(PEER_B), TUNNEL(PEER_B) WIRE("a") WIRE_WITH("b", "mtu = 1000"), true,
		  false },
		{ WIRES_2(PEER_B), TUNNEL_WITH(PEER_B, "retries = 7") WIRE("a") WIRE("b"), false,
		  false },
		/* into a connection of its own, while the other one stays */
		{ WIRES_2(PEER_B),
		  TUNNEL_WITH(PEER_B, "connect = wait") SHORT("a", PEER_B, "")
			  SHORT("b", PEER_B, ""),
		  false, false },
		/* what is said is the default */
		{ WIRES_2(PEER_B),
		  TUNNEL_WITH(PEER_B, "encapsulation = udp") WIRE_WITH("a", "type = ethernet")
			  WIRE("b"),
		  true, true },
		/* the first, which gave the connection its name, is another one */
		{ SHORT_2, SHORT("b", PEER_B, "") SHORT("a", PEER_B, ""), true, true },
		{ SHORT_2, SHORT("b", PEER_B, "") SHORT("a", PEER_B, "mtu = 1000"), false, true },
	};

	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		uint32_t a, b;
		struct world w;

		world_open(&w, cases[k].before, WIRES_2(PEER_A));
		w.want_rows = 2;
		both_up(&w);
		a = row_of(&w.side[0], "a")->row.local_session;
		b = row_of(&w.side[0], "b")->row.local_session;
		restart_as(&w, 0, cases[k].after);
		run_until(&w, 10, up_everywhere);
		run_until(&w, 300, never);
		check_rows(&w);
		assert_int_equal(row_of(&w.side[0], "a")->row.local_session == a, cases[k].a);
		assert_int_equal(row_of(&w.side[0], "b")->row.local_session == b, cases[k].b);
		world_close(&w);
	}
}

/* An orderly stop ends everything on both sides. */
static void test_shutdown(void **state)
{
	struct pw_cmd cmd = { .kind = PW_CMD_SHUTDOWN };
	struct world w;

	world_open(&w, "pseudowire \"x\" { remote = " PEER_B " }",
		   "pseudowire \"x\" { remote = " PEER_A " }");
	both_up(&w);
	pwe_do(w.side[0].pw, w.now, &cmd);
	run_until(&w, 5, never);
	assert_true(pwe_ended(w.side[0].pw));
	assert_int_equal(w.side[1].row_count, 0);
	world_close(&w);
}

static void drain_at(struct world *w, bool on, uint32_t rate)
{
	struct pw_cmd cmd = { .kind = PW_CMD_DRAIN, .up = on, .rate = rate };

	assert_int_equal(pwe_do(w->side[0].pw, w->now, &cmd), 0);
	w->side[0].drain_rate = rate;
}

/* One after the other is told, then the connection; nothing comes back until it is called off, and
 * a successor goes on with it. */
static void test_drain(void **state)
{
	static const char three[] = "tunnel \"t\" { remote = %s }\n"
				    "pseudowire \"x\" { tunnel = t }\n"
				    "pseudowire \"y\" { tunnel = t }\n"
				    "pseudowire \"z\" { tunnel = t }\n";
	char a[256], b[256];
	struct world w;

	snprintf(a, sizeof(a), three, PEER_B);
	snprintf(b, sizeof(b), three, PEER_A);
	world_open(&w, a, b);
	w.want_rows = 3;
	run_until(&w, 300, up_everywhere);
	drain_at(&w, true, 0); /* nothing ends, and the peer's wish for another one is refused */
	run_until(&w, 60, never);
	assert_true(up_everywhere(&w));
	drain_at(&w, true, 1);
	run_until(&w, 0, never);
	for (uint32_t left = 3; left-- > 0;) {
		run_until(&w, 1, never);
		assert_int_equal(pwe_count(w.side[0].pw), left);
		assert_int_equal(w.side[1].row_count, left);
		if (left != 1)
			continue;
		restart(&w, 0);
		run_until(&w, 0, never);
	}
	assert_int_equal(tunnels(&w.side[0]), 1);
	run_until(&w, 3, never);
	assert_int_equal(tunnels(&w.side[0]), 0);
	run_until(&w, 300, never); /* however often the peer asks */
	assert_int_equal(w.side[1].row_count, 0);
	drain_at(&w, false, 0);
	run_until(&w, 300, up_everywhere);
	world_close(&w);
}

/* Whose ids are configured ends with its connection. */
static void test_drain_fixed(void **state)
{
	struct world w;

	world_open(&w,
		   "pseudowire \"x\" { remote = " PEER_B " session-id = 5 peer-session-id = 6 }",
		   "pseudowire \"x\" { remote = " PEER_A " session-id = 6 peer-session-id = 5 }");
	both_up(&w);
	drain_at(&w, true, 10);
	run_until(&w, 5, never);
	assert_int_equal(pwe_count(w.side[0].pw), 0);
	assert_int_equal(w.side[1].row_count, 0);
	assert_true(pwe_ended(w.side[0].pw));
	drain_at(&w, false, 0);
	run_until(&w, 300, up_everywhere);
	world_close(&w);
}

/* An MTU that the path does not carry is said to be so, with the one that fits. */
static void test_mtu_larger_than_the_path(void **state)
{
	static const struct {
		const char *remote;
		uint8_t encap, cookie, l2spec, tag;
		uint16_t fits; /* of 1500 */
	} rows[] = {
		{ "192.0.2.1:1701", DP_ENCAP_UDP, 8, DP_L2SPEC_DEFAULT, 0, 1438 },
		{ "192.0.2.1:1701", DP_ENCAP_UDP, 0, DP_L2SPEC_NONE, 0, 1450 },
		{ "192.0.2.1", DP_ENCAP_IP, 4, DP_L2SPEC_NONE, 0, 1458 },
		{ "2001:db8::1", DP_ENCAP_IP, 0, DP_L2SPEC_NONE, 7, 1438 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dp_row r = { .encap = rows[i].encap, .cookie_out_len = rows[i].cookie };
		char text[PW_MTU_TEXT] = "", want[64];

		r.l2spec = rows[i].l2spec;
		r.tag = rows[i].tag;
		assert_int_equal(addr_parse(rows[i].remote, &r.path.remote), 0);
		assert_int_equal(pw_mtu(&r, 1500), rows[i].fits);
		r.mtu = rows[i].fits;
		assert_false(pw_mtu_large(&r, 1500, text, sizeof(text)));
		r.mtu++;
		assert_false(pw_mtu_large(&r, 0, text, sizeof(text))); /* nobody knows */
		assert_true(pw_mtu_large(&r, 1500, text, sizeof(text)));
		snprintf(want, sizeof(want), "mtu = %u is more than the path to %s takes", r.mtu,
			 i < 3 ? "192.0.2.1" : "2001:db8::1");
		assert_memory_equal(text, want, strlen(want));
		snprintf(want, sizeof(want), "; set mtu = %u, or leave it out", rows[i].fits);
		assert_non_null(strstr(text, want));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_form),
		cmocka_unit_test(test_ip6),
		cmocka_unit_test(test_numbers_asked_by_one),
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_words_for_strangers),
		cmocka_unit_test(test_circuits),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_amnesia),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_two_secrets),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_whom_an_attempt_was_for),
		cmocka_unit_test(test_no_such_wire),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_fixed_changed_while_away),
		cmocka_unit_test(test_two_of_a_name),
		cmocka_unit_test(test_disconnect),
		cmocka_unit_test(test_said),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_plane_fails),
		cmocka_unit_test(test_ends_while_taken_up),
		cmocka_unit_test(test_no_place_after_restart),
		cmocka_unit_test(test_block_removed),
		cmocka_unit_test(test_secret_changed_while_away),
		cmocka_unit_test(test_changed_while_away),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_fixed),
		cmocka_unit_test(test_mtu_larger_than_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
