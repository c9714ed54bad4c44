/* SPDX-License-Identifier: MIT
 *
 * PPP over L2TPv3: l2.c and what of session.c, dial.c, server.c, save.c and load.c depends on the
 * version. Two whole machines, see pair.h.
 */
#include "pair.h"

#include "access/internal.h"
#include "l2tp/v3_int.h"

#include <stdlib.h>
#include <string.h>

#define LNS(p)	  (&(p)->m[0])
#define CLIENT(p) (&(p)->m[1])

static struct access_session_info only(struct machine *m)
{
	uint64_t key = access_session_next(m->a, 0);
	struct access_session_info i;

	assert_true(key != 0);
	assert_int_equal(access_session_next(m->a, key), 0);
	assert_true(access_session(m->a, key, &i));
	return i;
}

static uint8_t version_of(struct machine *m)
{
	return only(m).version;
}

static void cookies_cross(const struct dp_row *a, const struct dp_row *b)
{
	static const uint8_t none[8];

	assert_int_equal(a->cookie_in_len, 8);
	assert_int_equal(b->cookie_out_len, 8);
	assert_memory_equal(a->cookie_in, b->cookie_out, 8);
	assert_memory_not_equal(a->cookie_in, none, 8);
}

/* From SCCRQ to accounting and back. */
static void comes_and_goes_by(bool over_ip)
{
	struct pair_options o = { .version = { CONF_V3, CONF_V3 }, .over_ip = over_ip };
	struct pair *p = pair_new(&o);
	struct access_session_info s, c;
	const struct dp_row *r, *q;
	struct access_tunnel_info t;
	uint32_t id;

	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
	s = only(LNS(p));
	c = only(CLIENT(p));
	assert_true(s.up && c.up && s.version == 3 && c.version == 3);
	assert_string_equal(s.user, "alice");
	assert_true(s.local_session >= ACCESS_V3_IDS && s.local_tunnel >= ACCESS_V3_IDS);
	assert_int_equal(s.local_session, c.remote_session);
	assert_int_equal(s.remote_session, c.local_session);
	assert_int_equal(s.local_tunnel, c.remote_tunnel);
	assert_int_equal(s.remote_tunnel, c.local_tunnel);
	assert_memory_equal(s.peer_ip4, c.our_ip4, 4);
	assert_int_equal(s.peer_ip4[0], 10);
	r = &pair_row(LNS(p), s.key)->row;
	q = &pair_row(CLIENT(p), c.key)->row;
	assert_true(dp_row_ok(r) && dp_row_ok(q));
	assert_int_equal(r->version, 3);
	assert_int_equal(r->ends, DP_L2TP_PPP);
	assert_int_equal(r->local_session, s.local_session);
	cookies_cross(r, q);
	cookies_cross(q, r);
	assert_int_equal(s.overhead, over_ip ? 20 + 4 + 8 + 4 : 20 + 8 + 8 + 8 + 4);
	assert_int_equal(r->encap, over_ip ? DP_ENCAP_IP : DP_ENCAP_UDP);

	id = access_tunnel_next(LNS(p)->a, 0);
	assert_int_equal(id, s.local_tunnel);
	assert_int_equal(access_tunnel_next(LNS(p)->a, id), 0);
	assert_true(access_tunnel(LNS(p)->a, id, &t));
	assert_int_equal(t.version, 3);
	assert_int_equal(t.l2tp.state, L2TP_TS_UP);
	assert_int_equal(t.l2tp.sessions, 1);
	assert_string_equal(t.l2tp.host_name, "client");

	/* HELLO keeps it, and LCP echo by the rows */
	pair_run(p, 300 * US_S);
	assert_true(only(LNS(p)).up);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_DOWN), 0);
	pair_traffic(LNS(p), s.key, 5000);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_run(p, 100 * US_S);
	assert_true(pair_latest(LNS(p), ACCESS_EV_DOWN)->by_peer);
	assert_true(pair_latest(LNS(p), ACCESS_EV_DOWN)->established);
	pair_check_lines(LNS(p), true);
	pair_run(p, 300 * US_S);
	pair_check_empty(LNS(p));
	pair_check_empty(CLIENT(p));
	pair_free(p);
}

static void comes_and_goes(void **state)
{
	comes_and_goes_by(false);
}

/* Directly over IP (RFC 3931 4.1.1): no ports, and a header that is eight octets shorter. */
static void over_ip(void **state)
{
	comes_and_goes_by(true);
}

/* All that either side may be set to (RFC 3931 4.7.3): what comes of it, 0 = nothing. */
static void either_version(void **state)
{
	static const struct {
		enum conf_version lns, client;
		uint8_t version;
	} cases[] = {
		{ CONF_V2, CONF_V2, 2 },       { CONF_V2, CONF_V3, 0 },
		{ CONF_V2, CONF_V_ANY, 2 },    { CONF_V3, CONF_V2, 0 },
		{ CONF_V3, CONF_V3, 3 },       { CONF_V3, CONF_V_ANY, 3 },
		{ CONF_V_ANY, CONF_V2, 2 },    { CONF_V_ANY, CONF_V3, 3 },
		{ CONF_V_ANY, CONF_V_ANY, 3 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = i / 2;
		struct pair_options o = { .version = { cases[n].lns, cases[n].client },
					  .no_secret = i % 2 };
		struct pair *p = pair_new(&o);

		if (cases[n].version) {
			pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
			pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
			assert_int_equal(version_of(LNS(p)), cases[n].version);
			assert_int_equal(version_of(CLIENT(p)), cases[n].version);
			assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_TUNNEL_UP), 1);
			assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
		} else {
			pair_run(p, 120 * US_S);
			assert_int_equal(pair_told(LNS(p), ACCESS_EV_UP), 0);
			assert_true(pair_told(CLIENT(p), ACCESS_EV_UP) == 0);
			pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
		}
		pair_run(p, 600 * US_S);
		pair_check_empty(LNS(p));
		pair_check_empty(CLIENT(p));
		pair_check_lines(LNS(p), true);
		pair_free(p);
	}
}

/* Nobody answers a request for either version: it fails as any other, and is tried again; then
 * somebody does. */
static void nobody_at_first(void **state)
{
	struct pair_options o = { .version = { CONF_V_ANY, CONF_V_ANY } };
	struct pair *p = pair_make(&o);

	(void)state;
	p->cut = true;
	assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
	pair_run(p, 200 * US_S);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_UP), 0);
	p->cut = false;
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 120 * US_S);
	assert_int_equal(version_of(CLIENT(p)), 3);
	/* taken down while the answer is still out */
	p->cut = true;
	pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
	pair_run(p, 200 * US_S);
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
	pair_run(p, US_S);
	pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
	pair_run(p, 600 * US_S);
	pair_check_empty(CLIENT(p));
	pair_free(p);
}

/* A server that shuts down refuses each request, in v3 if there is no secret: nothing is left. */
static void refused(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pair_options o = { .version = { CONF_V_ANY, CONF_V_ANY }, .no_secret = i };
		struct pair *p = pair_make(&o);

		assert_true(pair_start(LNS(p)));
		pair_do(LNS(p), &(struct access_cmd){ .kind = ACCESS_CMD_SHUTDOWN });
		assert_true(pair_start(CLIENT(p)));
		pair_run(p, 200 * US_S);
		assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_TUNNEL_UP), 0);
		pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
		pair_run(p, 600 * US_S);
		pair_check_empty(LNS(p));
		pair_check_empty(CLIENT(p));
		pair_free(p);
	}
}

/* A wrong secret gets nobody in, whichever version answers. */
static void wrong_secret(void **state)
{
	struct pair_options o = { .version = { CONF_V3, CONF_V_ANY } }, none = o;
	struct pair *p;

	(void)state;
	none.no_secret = true;
	p = pair_make(&o);
	access_conf_unref(CLIENT(p)->conf);
	CLIENT(p)->conf = pair_client_conf(&none);
	assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
	pair_run(p, 120 * US_S);
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_TUNNEL_UP), 0);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_TUNNEL_UP), 0);
	pair_free(p);
}

/* Either side is stopped without a word and comes back: nothing is lost, ids and cookies stay. */
static void restart(void **state)
{
	struct pair_options o = { .version = { CONF_V_ANY, CONF_V_ANY } };
	struct pair *p = pair_new(&o);
	struct dp_row before[2], after;
	uint64_t key[2];

	(void)state;
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_run(p, 10 * US_S);
	for (int i = 0; i < 2; i++) {
		key[i] = only(&p->m[i]).key;
		before[i] = pair_row(&p->m[i], key[i])->row;
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 2; i++) {
			if (round != 1 - i) { /* one, the other, both */
				pair_stop(&p->m[i]);
				assert_true(pair_start(&p->m[i]));
			}
		}
		pair_run(p, 90 * US_S);
		for (int i = 0; i < 2; i++) {
			struct access_session_info s = only(&p->m[i]);

			assert_true(s.up && s.version == 3);
			assert_int_equal(s.key, key[i]);
			after = pair_row(&p->m[i], key[i])->row;
			assert_memory_equal(&after, &before[i], sizeof(after));
			assert_int_equal(pair_told(&p->m[i], ACCESS_EV_DOWN), 0);
		}
	}
	/* what was loaded is written again, and a CDN finds its peer */
	pair_do(LNS(p), &(struct access_cmd){ .kind = ACCESS_CMD_TERMINATE, .key = key[0] });
	pair_until(p, CLIENT(p), ACCESS_EV_DOWN, 1, 10 * US_S);
	pair_check_lines(LNS(p), true);
	pair_free(p);
}

/* Killed after each step of a session's life: in the end it is up, or was told why not, and each
 * session has its two lines. */
static void killed_at_each_step(void **state)
{
	(void)state;
	for (unsigned int who = 0; who < 2; who++) {
		for (uint64_t at = 1;; at++) {
			struct pair_options o = { .version = { CONF_V_ANY, CONF_V_ANY } };
			struct pair *p = pair_make(&o);
			bool killed;

			p->m[who].kill_at = at;
			assert_true(pair_start(LNS(p)) && pair_start(CLIENT(p)));
			pair_run(p, 20 * US_S);
			pair_do(LNS(p),
				&(struct access_cmd){ .kind = ACCESS_CMD_TERMINATE,
						      .key = access_session_next(LNS(p)->a, 0) });
			pair_run(p, 100 * US_S);
			killed = p->m[who].kills != 0;
			p->m[who].kill_at = 0;
			assert_int_equal(version_of(LNS(p)), 3);
			assert_true(only(LNS(p)).up && only(CLIENT(p)).up);
			pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
			pair_run(p, 600 * US_S);
			pair_check_empty(LNS(p));
			pair_check_empty(CLIENT(p));
			pair_check_lines(LNS(p), true);
			pair_check_lines(CLIENT(p), true);
			pair_free(p);
			if (!killed)
				break;
		}
	}
}

/* The configuration no longer has v3, or none of the peer: what goes on of before ends, and the
 * peer is told, be it with the secret of before. */
static void no_longer_wanted(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct pair_options o = { .version = { CONF_V3, CONF_V3 }, .no_secret = i & 1 };
		struct pair *p = pair_new(&o);

		pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
		pair_run(p, 5 * US_S);
		pair_stop(LNS(p));
		o.version[0] = CONF_V2;
		access_conf_unref(LNS(p)->conf);
		LNS(p)->conf = pair_lns_conf(&o);
		if (i & 2)
			strcpy(LNS(p)->conf->peers[0].name, "another");
		assert_true(pair_start(LNS(p)));
		pair_until(p, CLIENT(p), ACCESS_EV_DOWN, 1, 10 * US_S);
		assert_true(pair_latest(CLIENT(p), ACCESS_EV_DOWN)->by_peer);
		pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
		pair_run(p, 100 * US_S);
		assert_int_equal(pair_rows(LNS(p)), 0);
		pair_check_lines(LNS(p), true);
		pair_run(p, 300 * US_S);
		pair_check_empty(LNS(p));
		pair_free(p);
	}
}

/* The secret is gone from the configuration: what was made with it goes on. */
static void secret_removed(void **state)
{
	struct pair_options o = { .version = { CONF_V3, CONF_V3 } };
	struct pair *p = pair_new(&o);

	(void)state;
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
	pair_run(p, 5 * US_S);
	o.no_secret = true;
	for (int i = 0; i < 2; i++) {
		pair_stop(LNS(p));
		access_conf_unref(LNS(p)->conf);
		LNS(p)->conf = pair_lns_conf(&o);
		assert_true(pair_start(LNS(p)));
		pair_run(p, 300 * US_S);
		assert_true(only(LNS(p)).up && only(CLIENT(p)).up);
	}
	pair_do(LNS(p),
		&(struct access_cmd){ .kind = ACCESS_CMD_TERMINATE, .key = only(LNS(p)).key });
	pair_until(p, CLIENT(p), ACCESS_EV_DOWN, 1, 10 * US_S);
	pair_free(p);
}

/* Its only session, in the engine of L2TPv3. */
static struct pw *pw_of(struct machine *m)
{
	uint64_t key = access_session_next(m->a, 0);
	struct acc_session *s = key ? acc_session_find(m->a, key) : NULL;
	struct l2tp3_session_info i;

	return s && l2tp3_session_info(m->a->l2tp3, s->l2tp, &i) ? pw_find(m->a->l2tp3, i.local_id)
								 : NULL;
}

/* As if the peer had assigned none; what it says of that is V3-5.4.4-12 in tests/rfc. */
static void no_cookies(struct machine *m)
{
	struct pw *pw = pw_of(m);

	assert_false(only(m).up); /* what was sent before now is lost, and sent again */
	pw->cookie_in_len = pw->cookie_out_len = 0;
	memset(pw->cookie_in, 0, sizeof(pw->cookie_in));
	memset(pw->cookie_out, 0, sizeof(pw->cookie_out));
}

/* Cookies are of no length: PPP is agreed in the engines, and stays in the planes. */
static void without_cookies(void **state)
{
	(void)state;
	for (int over_ip = 0; over_ip < 2; over_ip++) {
		struct pair_options o = { .version = { CONF_V3, CONF_V3 }, .over_ip = over_ip };
		struct pair *p = pair_new(&o);

		while (!pw_of(CLIENT(p)) || pw_of(CLIENT(p))->state != L2TP3_SS_UP)
			assert_true(pair_step(p, US_S));
		no_cookies(LNS(p));
		no_cookies(CLIENT(p));
		pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
		pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
		for (int i = 0; i < 2; i++) {
			struct access_session_info s = only(&p->m[i]);
			const struct dp_row *r = &pair_row(&p->m[i], s.key)->row;

			assert_true(dp_row_ok(r));
			assert_int_equal(r->cookie_in_len, 0);
			assert_int_equal(r->cookie_out_len, 0);
			assert_int_equal(s.overhead, over_ip ? 20 + 4 + 4 : 20 + 8 + 8 + 4);
		}
		pair_run(p, 300 * US_S); /* LCP's echo, by the rows */
		pair_stop(LNS(p));
		assert_true(pair_start(LNS(p)));
		pair_run(p, 300 * US_S);
		assert_true(only(LNS(p)).up && only(CLIENT(p)).up);
		pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
		pair_run(p, 300 * US_S);
		pair_check_empty(LNS(p));
		pair_check_empty(CLIENT(p));
		pair_free(p);
	}
}

/* The client's circuit, as a LAC would tell of it by SLI. */
static void circuit(struct machine *m, uint16_t status)
{
	struct acc_session *s = acc_session_find(m->a, only(m).key);
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_STATUS, .status = status };

	cmd.session = s->l2tp;
	assert_int_equal(l2tp3_do(m->a->l2tp3, m->pair->now, &cmd), 0);
	pair_run(m->pair, US_S);
}

/* RFC 3931 5.4.5: no data goes to a circuit that is not active, or stands by; the session waits. */
static void inactive_circuit(void **state)
{
	static const uint16_t down[] = { 0, L2TP3_STATUS_AC_RX,
					 L2TP3_STATUS_ACTIVE | L2TP3_STATUS_STANDBY };
	const uint16_t ip = DP_F_IP4 | DP_F_IP6;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(down) / sizeof(down[0]); i++) {
		struct pair_options o = { .version = { CONF_V3, CONF_V3 }, .over_ip = i & 1 };
		struct pair *p = pair_new(&o);
		const struct dp_row *r;
		uint64_t key;
		uint16_t sent;

		pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 30 * US_S);
		pair_until(p, LNS(p), ACCESS_EV_UP, 1, 30 * US_S);
		pair_run(p, 5 * US_S);
		key = only(LNS(p)).key;
		r = &pair_row(LNS(p), key)->row;
		assert_int_equal(r->flags & ip, ip);
		assert_false(only(LNS(p)).quiet);
		circuit(CLIENT(p), down[i / 2]);
		assert_true(only(LNS(p)).up && only(LNS(p)).quiet);
		assert_int_equal(r->flags & (ip | DP_F_FAR_DOWN), ip | DP_F_FAR_DOWN);
		assert_int_equal(pair_row(CLIENT(p), only(CLIENT(p)).key)->row.flags & ip, ip);
		sent = pair_row(LNS(p), key)->frames;
		pair_run(p, 15 * US_S); /* LCP's echo is due, and not sent */
		assert_int_equal(pair_row(LNS(p), key)->frames, sent);
		pair_stop(LNS(p));
		assert_true(pair_start(LNS(p)));
		pair_run(p, US_S);
		assert_true(only(LNS(p)).up && only(LNS(p)).quiet);
		assert_int_equal(r->flags & (ip | DP_F_FAR_DOWN), ip | DP_F_FAR_DOWN);
		circuit(CLIENT(p), L2TP3_STATUS_ACTIVE);
		assert_false(only(LNS(p)).quiet);
		assert_int_equal(r->flags & (ip | DP_F_FAR_DOWN), ip);
		pair_run(p, 60 * US_S);
		assert_true(pair_row(LNS(p), key)->frames > sent);
		assert_true(only(LNS(p)).up && only(CLIENT(p)).up);
		/* for good: then it is as if the peer were gone */
		circuit(CLIENT(p), 0);
		pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 300 * US_S);
		pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0");
		pair_run(p, 300 * US_S);
		pair_check_empty(LNS(p));
		pair_check_empty(CLIENT(p));
		pair_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_and_goes),   cmocka_unit_test(either_version),
		cmocka_unit_test(nobody_at_first),  cmocka_unit_test(wrong_secret),
		cmocka_unit_test(restart),	    cmocka_unit_test(killed_at_each_step),
		cmocka_unit_test(no_longer_wanted), cmocka_unit_test(over_ip),
		cmocka_unit_test(secret_removed),   cmocka_unit_test(inactive_circuit),
		cmocka_unit_test(without_cookies),  cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
