/* SPDX-License-Identifier: MIT
 *
 * Calls that are not like the others: outgoing ones, which the LNS asks a LAC for and which end
 * here as a client's session, and incoming ones for which the LAC has had LCP and the login already
 * (RFC 2661 4.4.5, 7.5). And limits that are about established tunnels.
 *
 * Rows: V2-4.4.5-03, V2-4.4.5-05, V2-4.4.5-06, V2-4.4.5-08, V2-4.4.5-09, V2-4.4.5-10, V2-7.5-02
 */
#include "pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LNS(p)	  (&(p)->m[0])
#define CLIENT(p) (&(p)->m[1])

static int call(struct pair *p, const char *peer, const char *number)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_CALL, .name = peer, .text = number };

	return pair_do(LNS(p), &cmd);
}

static const char *dial_state(struct pair *p)
{
	struct access_dial_info i;

	assert_true(access_dial(CLIENT(p)->a, 0, &i));
	return i.state;
}

static uint64_t only_session(struct machine *m)
{
	uint64_t key = access_session_next(m->a, 0);

	assert_int_not_equal(key, 0);
	assert_int_equal(access_session_next(m->a, key), 0);
	return key;
}

/* The client opens its tunnel and waits; the LNS calls; the user logs in as always. */
static void outgoing_in(enum conf_version version)
{
	struct pair_options o = { .called_only = true,
				  .number = "0800*",
				  .version = { version, version } };
	struct pair *p = pair_new(&o);
	struct access_session_info i;
	struct access_cmd end = { .kind = ACCESS_CMD_TERMINATE };

	pair_until(p, CLIENT(p), ACCESS_EV_TUNNEL_UP, 1, 10 * US_S);
	pair_run(p, 50 * US_S);
	assert_string_equal(dial_state(p), "listening");
	assert_int_equal(access_session_next(CLIENT(p)->a, 0), 0);
	assert_int_equal(call(p, "nobody", "0800123"), 1);
	assert_int_equal(call(p, "clients", "0800123"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_run(p, US_S);
	assert_string_equal(dial_state(p), "up");
	assert_true(access_session(LNS(p)->a, access_called(LNS(p)->a), &i));
	assert_string_equal(i.state, "up");
	assert_string_equal(i.user, "alice");
	assert_string_equal(i.called, "0800123");
	assert_true(i.outgoing && !i.client);
	assert_true(access_session(CLIENT(p)->a, only_session(CLIENT(p)), &i));
	assert_true(i.outgoing && i.client && i.up);
	assert_int_equal(pair_rows(LNS(p)), 1);
	assert_int_equal(pair_rows(CLIENT(p)), 1);
	/* A second call finds the line busy. */
	assert_int_equal(call(p, "clients", "0800124"), 0);
	pair_run(p, 5 * US_S);
	assert_int_equal(p->result[1], L2TP_CDN_BUSY);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_UP), 1);
	/* The call ends, the tunnel stays, and the next call finds it. */
	end.key = only_session(CLIENT(p));
	assert_int_equal(pair_do(CLIENT(p), &end), 0);
	pair_run(p, 10 * US_S);
	assert_string_equal(dial_state(p), "listening");
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_TUNNEL_DOWN), 0);
	assert_int_equal(call(p, "clients", "0800125"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 2, 30 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_run(p, 100 * US_S);
	assert_string_equal(dial_state(p), "idle");
	assert_int_equal(call(p, "clients", "0800125"), 3);
	pair_check_empty(LNS(p));
	pair_check_empty(CLIENT(p));
	pair_check_lines(LNS(p), true);
	pair_free(p);
}

static void outgoing(void **state)
{
	outgoing_in(CONF_V2);
}

/* In L2TPv3 the number is the Remote End ID (RFC 3931 5.4.4). */
static void outgoing3(void **state)
{
	outgoing_in(CONF_V3);
}

/* A number that is not ours: CDN 6, in words; the tunnel stays. */
static void wrong_number_in(enum conf_version version)
{
	struct pair_options o = { .called_only = true,
				  .number = "0800*",
				  .version = { version, version } };
	struct pair *p = pair_new(&o);
	const struct pair_news *n;

	pair_until(p, CLIENT(p), ACCESS_EV_TUNNEL_UP, 1, 10 * US_S);
	assert_int_equal(call(p, "clients", "0700123"), 0);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 10 * US_S);
	assert_int_equal(p->result[1], L2TP_CDN_DESTINATION);
	n = pair_latest(LNS(p), ACCESS_EV_DOWN);
	assert_int_equal(n->cause, ADIT_CAUSE_PEER_CLOSED_SESSION);
	assert_string_equal(n->text, "no session block of the configuration takes this call");
	pair_run(p, US_S);
	assert_string_equal(dial_state(p), "listening");
	pair_free(p);
}

static void wrong_number(void **state)
{
	wrong_number_in(CONF_V2);
	wrong_number_in(CONF_V3);
}

/* In L2TPv3 nobody says whether he takes calls: whoever does not refuses them. */
static void not_called3(void **state)
{
	struct pair_options o = { .version = { CONF_V3, CONF_V3 } };
	struct pair *p = pair_new(&o);

	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	assert_int_equal(call(p, "clients", "1"), 0);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 10 * US_S);
	assert_int_equal(p->result[1], L2TP_CDN_ADMIN);
	assert_true(pair_latest(LNS(p), ACCESS_EV_DOWN)->by_peer);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_DOWN), 0);
	pair_free(p);
}

/* A client that makes its own calls says that it takes none. */
static void not_called(void **state)
{
	struct pair_options o = { .dials = 1 };
	struct pair *p = pair_new(&o);

	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	assert_int_equal(call(p, "clients", "1"), 4);
	pair_free(p);
}

/* The tunnel in which a client waits is lost: it opens another; and over a restart it stays. */
static void waiting_goes_on_in(enum conf_version version)
{
	struct pair_options o = { .called_only = true, .version = { version, version } };
	struct pair *p = pair_new(&o);
	struct access_cmd cmd = { .kind = ACCESS_CMD_TERMINATE_TUNNEL };

	pair_until(p, CLIENT(p), ACCESS_EV_TUNNEL_UP, 1, 10 * US_S);
	cmd.tunnel = access_tunnel_next(LNS(p)->a, 0);
	assert_int_equal(pair_do(LNS(p), &cmd), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_TUNNEL_UP, 2, 60 * US_S);
	pair_run(p, US_S);
	assert_string_equal(dial_state(p), "listening");
	pair_stop(CLIENT(p));
	assert_true(pair_start(CLIENT(p)));
	pair_run(p, 5 * US_S);
	assert_string_equal(dial_state(p), "listening");
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_TUNNEL_UP), 2);
	assert_int_equal(call(p, "clients", "1"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_stop(CLIENT(p));
	assert_true(pair_start(CLIENT(p)));
	pair_run(p, 5 * US_S);
	assert_string_equal(dial_state(p), "up");
	pair_free(p);
}

/* Its block is another one after a restart: what was opened for the former one ends. */
static void waiting_changes_in(enum conf_version version)
{
	struct pair_options o = { .called_only = true, .version = { version, version } };

	for (int changed = 0; changed < 2; changed++) {
		struct pair *p = pair_make(&o);

		CLIENT(p)->conf->dials[0].digest = 1;
		assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
		pair_until(p, CLIENT(p), ACCESS_EV_TUNNEL_UP, 1, 10 * US_S);
		pair_run(p, US_S);
		pair_stop(CLIENT(p));
		access_conf_unref(CLIENT(p)->conf);
		CLIENT(p)->conf = pair_client_conf(&o);
		CLIENT(p)->conf->dials[0].digest = (uint64_t)changed + 1;
		assert_true(pair_start(CLIENT(p)));
		pair_run(p, 10 * US_S);
		assert_string_equal(dial_state(p), "listening");
		assert_int_equal(pair_told(LNS(p), ACCESS_EV_TUNNEL_UP), 1 + changed);
		assert_int_equal(pair_told(LNS(p), ACCESS_EV_TUNNEL_DOWN), changed);
		pair_free(p);
	}
}

static void waiting_changes(void **state)
{
	waiting_changes_in(CONF_V2);
	waiting_changes_in(CONF_V3);
}

static void waiting_goes_on(void **state)
{
	waiting_goes_on_in(CONF_V2);
	waiting_goes_on_in(CONF_V3);
}

/*
 * What a LAC says of a login is kept and shown, and nobody gets in by it: LCP is negotiated and the
 * user asked anew, whatever the AVPs say. The values are made by hand: MRU 1492 and CHAP in 26 to
 * 28, type 3 (PAP) or 4 (none) in 29, a name, a challenge, an id (with its high octet set in one),
 * a response.
 */
static void proxies(void **state)
{
	static const char *const cases[] = {
		/* all that belongs to a CHAP login */
		"000a0000001a010405d4"
		"000f0000001b010405d40305c22305"
		"000a0000001c010405d4"
		"00080000001d0002"
		"000a0000001e626f6221"
		"00080000001fabcd"
		"0008000000200007"
		"0016000000210102030405060708090a0b0c0d0e0f10",
		/* no type: 29 is absent */
		"000a0000001a010405d4"
		"000f0000001b010405d40305c22305"
		"000a0000001c010405d4",
		/* PAP without name and response */
		"00080000001d0003"
		"0008000000200007",
		/* the high octet of the id is set */
		"00080000001d0003"
		"000a0000001e626f6221"
		"0008000000200105"
		"0009000000216f7065",
		/* the LAC asked for no login */
		"00080000001d0004",
		/* options that end in the middle, of length 0 and 255 */
		"00090000001a010405"
		"00080000001b0100"
		"000c0000001c01ff05d40000",
	};

	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		struct pair_options o = { .redial_max = 1 };
		struct pair *p = pair_make(&o);
		struct access_session_info i;

		p->iccn = cases[k];
		assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
		LNS(p)->hold_auth = true;
		pair_run(p, 2 * US_S);
		/* nobody is in before the login here was answered */
		assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 0);
		assert_int_equal(LNS(p)->auth_count, 1);
		assert_true(access_session(LNS(p)->a, only_session(LNS(p)), &i));
		assert_string_equal(i.state, "authenticating");
		assert_true(i.proxy_len > 0);
		LNS(p)->hold_auth = false;
		pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
		pair_run(p, US_S);
		assert_true(access_session(LNS(p)->a, only_session(LNS(p)), &i));
		assert_string_equal(i.user, "alice");
		/* and over a restart it is still known */
		pair_stop(LNS(p));
		assert_true(pair_start(LNS(p)));
		pair_run(p, US_S);
		assert_true(access_session(LNS(p)->a, only_session(LNS(p)), &i));
		assert_true(i.up && i.proxy_len > 0);
		pair_free(p);
	}
}

/* The wrong password stays wrong with proxy AVPs that name a user who is known. */
static void proxy_is_no_password(void **state)
{
	struct pair_options o = { .redial_max = 1, .password = { "wrong" } };
	struct pair *p = pair_make(&o);

	p->iccn = "00080000001d0003"
		  "000b0000001e616c696365"
		  "0008000000200001"
		  "000c00000021736563726574";
	assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
	pair_until(p, CLIENT(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 0);
	pair_free(p);
}

/* Requests that nobody goes on with do not use up the limit of a peer. */
static void limit_of_established(void **state)
{
	struct pair_options o = { .peer_max_tunnels = 1, .manual = true };
	struct pair *p = pair_new(&o);
	static const uint8_t sccrq[] = {
		0xc8, 0x02, 0,	  60,	0, 0, 0,   0,	0,    0,   0,	0,   /* header */
		0x80, 0x08, 0,	  0,	0, 0, 0,   1,			     /* SCCRQ */
		0x80, 0x08, 0,	  0,	0, 2, 1,   0,			     /* version */
		0x80, 0x0a, 0,	  0,	0, 3, 0,   0,	0,    3,	     /* framing */
		0x80, 0x0e, 0,	  0,	0, 7, 's', 't', 'r',  'a', 'n', 'g', /* host */
		'e',  'r',  0x80, 0x08, 0, 0, 0,   9,	0x77, 1		     /* tunnel */
	};

	for (uint16_t port = 2000; port < 2010; port++) {
		struct path path = { .via = 1, .local = LNS(p)->addr, .remote = CLIENT(p)->addr };

		path.remote.port = port;
		assert_int_equal(access_input(LNS(p)->a, p->now, &path, sccrq, sizeof(sccrq)), 0);
	}
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 10 * US_S);
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outgoing),
		cmocka_unit_test(outgoing3),
		cmocka_unit_test(not_called3),
		cmocka_unit_test(wrong_number),
		cmocka_unit_test(not_called),
		cmocka_unit_test(waiting_goes_on),
		cmocka_unit_test(waiting_changes),
		cmocka_unit_test(proxies),
		cmocka_unit_test(proxy_is_no_password),
		cmocka_unit_test(limit_of_established),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
