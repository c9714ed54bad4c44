/* SPDX-License-Identifier: MIT
 *
 * Two engines joined in memory: bringing links up and down in all combinations of authentication,
 * over bad wires, with slow and refusing owners, and out of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

#include "pair.h"

static void assert_up(struct pair *p)
{
	struct ppp_info i;

	for (unsigned k = 0; k < 2; k++) {
		assert_int_equal(p->s[k].downs, 0);
		assert_true(p->s[k].ip_ups >= 1);
		assert_true(p->s[k].ip6_ups >= 1);
		assert_true(pair_info(p, k, &i));
		assert_true(i.lcp_open && i.ipcp_open && i.ipv6cp_open);
		assert_string_equal(i.phase, "network");
	}
	assert_memory_equal(p->s[0].ip_addresses.our_ip4, "\xc0\x00\x02\x01", 4);
	assert_memory_equal(p->s[0].ip_addresses.peer_ip4, "\xc0\x00\x02\x4d", 4);
	assert_memory_equal(p->s[1].ip_addresses.our_ip4, "\xc0\x00\x02\x4d", 4);
	assert_memory_equal(p->s[1].ip_addresses.peer_ip4, "\xc0\x00\x02\x01", 4);
	assert_memory_equal(p->s[0].ip6_addresses.our_iid, p->s[1].ip6_addresses.peer_iid, 8);
	assert_memory_equal(p->s[1].ip6_addresses.our_iid, p->s[0].ip6_addresses.peer_iid, 8);
	assert_memory_not_equal(p->s[0].ip6_addresses.our_iid, p->s[1].ip6_addresses.our_iid, 8);
}

static void test_usual(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;
	struct ppp_info i;

	pair_init(&p, 1);
	pair_open_both(&p, &a, &b);
	pair_run(&p, US_S);
	assert_up(&p);
	assert_int_equal(p.s[0].asks, 1);
	assert_int_equal(p.s[0].auth_ups, 1);
	assert_int_equal(p.s[1].auth_ups, 1);
	assert_true(pair_info(&p, 0, &i));
	assert_int_equal(i.auth, PPP_AUTH_CHAP_MD5);
	assert_memory_equal(p.s[1].ip_addresses.dns4[0], "\xc0\x00\x02\x35", 4);
	assert_memory_equal(p.s[1].ip_addresses.dns4[1], "\xc0\x00\x02\x36", 4);
	pair_close(&p, 1, ADIT_CAUSE_ADMIN);
	pair_run(&p, 10 * US_S);
	assert_int_equal(p.s[1].downs, 1);
	assert_int_equal(p.s[1].cause, ADIT_CAUSE_ADMIN);
	assert_false(p.s[1].by_peer);
	assert_int_equal(p.s[0].downs, 1);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_PEER_CLOSED_PPP);
	assert_true(p.s[0].by_peer);
	assert_string_equal(p.s[0].text, "an administrator closed it");
	assert_int_equal(ppp_count(p.s[0].e), 0);
	assert_int_equal(ppp_count(p.s[1].e), 0);
	assert_int_equal(ppp_deadline(p.s[0].e).us, INT64_MAX);
	pair_free(&p);
}

/* Every way to log in, in both directions at once. */
static void test_auth_combinations(void **state)
{
	static const uint8_t orders[][2] = { { PPP_AUTH_NONE },
					     { PPP_AUTH_PAP },
					     { PPP_AUTH_CHAP_MD5 },
					     { PPP_AUTH_CHAP_MD5, PPP_AUTH_PAP } };

	for (unsigned i = 0; i < 4 * 4 * 9; i++) {
		struct ppp_params a = pair_params(0), b = pair_params(1);
		const uint8_t *want[2] = { orders[i % 4], orders[i / 4 % 4] };
		uint8_t can[2] = { (uint8_t)(1 + i / 16 % 3), (uint8_t)(1 + i / 48 % 3) };
		struct ppp_params *params[2] = { &a, &b };
		struct pair p;
		bool possible = true;

		for (unsigned k = 0; k < 2; k++) {
			params[k]->auth_order[0] = want[k][0];
			params[k]->auth_order[1] = want[k][1];
			params[k]->peer_auth = can[k];
			params[k]->user = "alice";
			params[k]->password = "secret";
			params[k]->password_len = 6;
			if (want[k][0] && !((want[k][0] | want[k][1]) & can[!k]))
				possible = false;
		}
		pair_init(&p, i);
		pair_open_both(&p, &a, &b);
		pair_run(&p, 20 * US_S);
		if (possible) {
			assert_up(&p);
			for (unsigned k = 0; k < 2; k++)
				assert_int_equal(p.s[k].asks, want[k][0] ? 1 : 0);
		} else {
			assert_int_equal(p.s[0].downs + p.s[1].downs, 2);
			assert_true(p.s[0].cause == ADIT_CAUSE_AUTH_NO_METHOD ||
				    p.s[1].cause == ADIT_CAUSE_AUTH_NO_METHOD);
			assert_int_equal(p.s[0].ip_ups + p.s[1].ip_ups, 0);
		}
		pair_free(&p);
	}
}

static void test_no_login_at_all(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	b.peer_auth = 0;
	pair_init(&p, 3);
	pair_open_both(&p, &a, &b);
	pair_run(&p, 20 * US_S);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_AUTH_NO_METHOD);
	assert_int_equal(p.s[1].cause, ADIT_CAUSE_AUTH_NO_METHOD);
	pair_free(&p);
}

static void wrong_password(bool pap, unsigned tries, unsigned asks)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	a.auth_order[0] = pap ? PPP_AUTH_PAP : PPP_AUTH_CHAP_MD5;
	a.auth_tries = tries;
	b.password = "Secret";
	pair_init(&p, 4);
	p.s[0].say = "no such user";
	pair_open_both(&p, &a, &b);
	pair_run(&p, 40 * US_S);
	assert_int_equal(p.s[0].asks, asks);
	assert_int_equal(p.s[0].ip_ups + p.s[1].ip_ups, 0);
	assert_int_equal(p.s[1].cause, ADIT_CAUSE_PEER_AUTH_FAILED);
	assert_string_equal(p.s[1].text, "no such user");
	assert_false(p.s[1].by_peer);
	if (asks == tries || tries == 0)
		assert_true(p.s[0].cause == ADIT_CAUSE_AUTH_FAILED ||
			    p.s[0].cause == ADIT_CAUSE_PEER_CLOSED_PPP);
	pair_free(&p);
}

static void test_wrong_password(void **state)
{
	wrong_password(false, 0, 1);
	wrong_password(true, 0, 1); /* our client does not try again */
	wrong_password(true, 1, 1);
}

/* Refused for another reason than the password: no second try, and the reason is kept. */
static void test_refused(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	a.auth_order[0] = PPP_AUTH_PAP;
	a.auth_order[1] = 0;
	pair_init(&p, 5);
	p.s[0].refuse = ADIT_CAUSE_NO_ADDRESS;
	pair_open_both(&p, &a, &b);
	pair_run(&p, 40 * US_S);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_NO_ADDRESS);
	assert_int_equal(p.s[1].cause, ADIT_CAUSE_PEER_AUTH_FAILED);
	pair_free(&p);
}

static void test_slow_owner(void **state)
{
	for (unsigned pap = 0; pap < 2; pap++) {
		struct ppp_params a = pair_params(0), b = pair_params(1);
		struct pair p;

		if (pap)
			a.auth_order[0] = PPP_AUTH_PAP;
		pair_init(&p, 6);
		p.s[0].answer_us = 20 * US_S;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 22 * US_S);
		assert_up(&p);
		assert_int_equal(p.s[0].asks, 1);
		pair_free(&p);

		pair_init(&p, 7);
		p.s[0].mute = true;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 60 * US_S);
		assert_int_equal(p.s[0].downs, 1);
		assert_int_equal(p.s[0].cause, ADIT_CAUSE_AUTH_TIMEOUT);
		assert_int_equal(p.s[0].asks, 1);
		assert_int_equal(p.s[1].downs, 1);
		pair_free(&p);
	}
}

/* The peer never answers: ten requests three seconds apart, then the end (RFC 1661 4.6). */
static void test_silence(void **state)
{
	struct ppp_params a = pair_params(0);
	struct pair p;

	pair_init(&p, 8);
	assert_int_equal(pair_open(&p, 0, &a), 0);
	pair_run(&p, 29 * US_S);
	assert_int_equal(p.s[0].sent, 10);
	assert_int_equal(p.s[0].downs, 0);
	pair_run(&p, 2 * US_S);
	assert_int_equal(p.s[0].downs, 1);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_LCP_TIMEOUT);
	assert_int_equal(p.s[0].sent, 10);
	assert_int_equal(ppp_deadline(p.s[0].e).us, INT64_MAX);
	pair_free(&p);
}

static void test_passive(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	a.passive = true;
	pair_init(&p, 9);
	assert_int_equal(pair_open(&p, 0, &a), 0);
	pair_run(&p, 10 * US_S);
	assert_int_equal(p.s[0].sent, 0);
	assert_int_equal(pair_open(&p, 1, &b), 0);
	pair_run(&p, US_S);
	assert_up(&p);
	pair_free(&p);

	pair_init(&p, 9);
	assert_int_equal(pair_open(&p, 0, &a), 0);
	pair_run(&p, 40 * US_S);
	assert_int_equal(p.s[0].sent, 0);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_LCP_TIMEOUT);
	pair_free(&p);
}

static void test_bad_wire(void **state)
{
	unsigned up = 0;

	for (uint64_t seed = 0; seed < 300; seed++) {
		struct ppp_params a = pair_params(0), b = pair_params(1);
		struct pair p;

		a.auth_order[0] = seed % 2 ? PPP_AUTH_PAP : PPP_AUTH_CHAP_MD5;
		if (seed % 3 == 0) {
			b.auth_order[0] = PPP_AUTH_CHAP_MD5;
			a.peer_auth = PPP_AUTH_CHAP_MD5;
			a.user = "alice";
			a.password = "secret";
			a.password_len = 6;
		}
		a.lcp_us = b.lcp_us = a.auth_us = b.auth_us = 120 * US_S;
		pair_init(&p, seed);
		p.loss = 50 + (unsigned)(seed % 5) * 40;
		p.dup = (unsigned)(seed % 4) * 100;
		p.delay_us = (int64_t)(seed % 7) * 100 * US_MS;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 200 * US_S);
		p.loss = p.dup = 0;
		if (p.s[0].downs == 0 && p.s[1].downs == 0) {
			pair_run(&p, 5 * US_S);
			assert_up(&p);
			up++;
		}
		pair_close(&p, seed % 2, ADIT_CAUSE_ADMIN);
		pair_run(&p, 200 * US_S);
		assert_int_equal(p.s[0].downs, 1);
		assert_int_equal(p.s[1].downs, 1);
		assert_int_equal(ppp_count(p.s[0].e) + ppp_count(p.s[1].e), 0);
		assert_int_equal(ppp_deadline(p.s[0].e).us, INT64_MAX);
		pair_free(&p);
	}
	printf("# %u of 300 came up over bad wires\n", up);
	assert_in_range(up, 270, 300);
}

static void test_hold(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct ppp_cmd go = { .kind = PPP_CMD_NCP_GO };
	struct ppp_info i;
	struct pair p;

	/* the server is asked first: its Ack would open it */
	a.ipv6cp = b.ipv6cp = false;
	b.passive = true;
	pair_init(&p, 10);
	p.s[0].no_go = true;
	pair_open_both(&p, &a, &b);
	pair_run(&p, 2 * US_S);
	if (p.s[0].readies == 1) {
		assert_int_equal(p.s[0].ip_ups, 0);
		assert_int_equal(p.s[1].ip_ups, 0);
		assert_true(pair_info(&p, 0, &i));
		assert_memory_equal(i.addresses.peer_ip4, "\xc0\x00\x02\x4d", 4);
		go.link = p.s[0].link;
		assert_int_equal(ppp_do(p.s[0].e, p.now, &go), 0);
		pair_drain(&p, 0);
	}
	pair_run(&p, US_S);
	assert_int_equal(p.s[0].ip_ups, 1);
	assert_int_equal(p.s[1].ip_ups, 1);
	pair_free(&p);
}

/* Dead peer, sign of life by data, and the longest sleep. */
static void test_echo(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;
	unsigned sent;

	b.echo_us = -1;
	a.echo_us = 10 * US_S;
	a.echo_lost = 3;
	pair_init(&p, 11);
	pair_open_both(&p, &a, &b);
	pair_run(&p, 5 * US_S);
	assert_up(&p);
	sent = p.s[0].sent;
	for (unsigned i = 0; i < 20; i++) { /* data is a sign of life: no echo needed */
		pair_run(&p, 5 * US_S);
		ppp_heard(p.s[0].e, p.now, p.s[0].link);
	}
	assert_int_equal(p.s[0].sent, sent);
	pair_run(&p, 100 * US_S);
	assert_in_range(p.s[0].sent, sent + 8, sent + 11);
	assert_int_equal(p.s[0].downs, 0);
	p.cut = true;
	pair_run(&p, 60 * US_S);
	assert_int_equal(p.s[0].downs, 1);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_LCP_ECHO_LOST);
	pair_free(&p);
}

/* After a suspend the peer is asked before it is given up. */
static void test_jump(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;
	unsigned sent;

	a.echo_us = b.echo_us = 10 * US_S;
	a.echo_lost = b.echo_lost = 1;
	pair_init(&p, 12);
	pair_open_both(&p, &a, &b);
	pair_run(&p, 5 * US_S);
	assert_up(&p);
	p.cut = true;
	pair_run(&p, 12 * US_S); /* an echo is under way and lost */
	assert_int_equal(p.s[0].downs, 0);
	p.cut = false;
	p.now.us += 3600 * US_S;
	sent = p.s[0].sent;
	ppp_expire(p.s[0].e, p.now);
	pair_drain(&p, 0);
	assert_int_equal(p.s[0].downs, 0);
	assert_int_equal(p.s[0].sent, sent + 1);
	pair_run(&p, 100 * US_S);
	assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
	p.now.us += 3600 * US_S;
	p.cut = true;
	pair_run(&p, 100 * US_S);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_LCP_ECHO_LOST);
	pair_free(&p);
}

static void test_again(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	a.auth_again_us = 60 * US_S;
	pair_init(&p, 13);
	pair_open_both(&p, &a, &b);
	pair_run(&p, 605 * US_S);
	assert_up(&p);
	assert_int_equal(p.s[0].asks, 11);
	assert_int_equal(p.s[0].auth_ups, 1);
	assert_int_equal(p.s[0].ip_ups, 1);
	p.s[0].password = "changed";
	pair_run(&p, 80 * US_S);
	assert_int_equal(p.s[0].cause, ADIT_CAUSE_AUTH_FAILED);
	assert_int_equal(p.s[0].ip_downs, 1);
	assert_int_equal(p.s[1].cause, ADIT_CAUSE_PEER_AUTH_FAILED);
	pair_free(&p);
}

static void test_per_user_protocols(void **state)
{
	for (unsigned k = 0; k < 2; k++) {
		struct ppp_params a = pair_params(0), b = pair_params(1);
		struct pair p;

		pair_init(&p, 14);
		p.s[0].no_ip4 = k == 0;
		p.s[0].no_ip6 = k == 1;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 90 * US_S);
		assert_int_equal(p.s[0].ip_ups, k == 0 ? 0 : 1);
		assert_int_equal(p.s[1].ip_ups, k == 0 ? 0 : 1);
		assert_int_equal(p.s[0].ip6_ups, k == 0 ? 1 : 0);
		assert_int_equal(p.s[1].ip6_ups, k == 0 ? 1 : 0);
		assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
		pair_free(&p);

		a.require_ipcp = k == 0;
		a.require_ipv6cp = k == 1;
		pair_init(&p, 15);
		p.s[0].no_ip4 = k == 0;
		p.s[0].no_ip6 = k == 1;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 20 * US_S);
		assert_int_equal(p.s[0].cause, ADIT_CAUSE_NCP_NO_AGREEMENT);
		assert_int_equal(p.s[1].cause, ADIT_CAUSE_PEER_CLOSED_PPP);
		pair_free(&p);
	}
}

/* Without a login there is no answer to say so: OPEN does, and no renegotiation brings it back. A
 * peer without an address of ours would choose one itself. */
static void test_protocol_never(void **state)
{
	static const uint8_t request[] = { 0xff, 0x03, 0xc0, 0x21, 1, 99, 0, 4 };
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct ppp_info info;
	struct pair p;

	a.auth_order[0] = PPP_AUTH_NONE;
	b.peer_auth = 0;
	pair_init(&p, 16);
	p.s[0].never_ip4 = true;
	memcpy(p.s[0].wish.our_ip4, (const uint8_t[]){ 192, 0, 2, 1 }, 4);
	memset(p.s[0].wish.peer_ip4, 0, 4);
	memcpy(p.s[1].wish.our_ip4, (const uint8_t[]){ 192, 0, 2, 66 }, 4);
	pair_open_both(&p, &a, &b);
	pair_run(&p, 30 * US_S);
	assert_int_equal(p.s[0].ip_ups, 0);
	assert_int_equal(p.s[0].ip6_ups, 1);
	pair_inject(&p, 0, request, sizeof(request));
	pair_run(&p, 30 * US_S);
	assert_int_equal(p.s[0].lcp_ups, 2);
	assert_int_equal(p.s[0].ip_ups, 0);
	assert_int_equal(p.s[0].ip6_ups, 2);
	assert_true(pair_info(&p, 0, &info));
	assert_false(info.ipcp_open);
	pair_free(&p);
}

static void test_lcp_options(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	a.mru = 1400;
	b.mru = 1452;
	a.mru_max = b.mru_max = 1420;
	a.acfc = a.pfc = b.acfc = b.pfc = true;
	pair_init(&p, 16);
	pair_open_both(&p, &a, &b);
	pair_run(&p, US_S);
	assert_up(&p);
	assert_int_equal(p.s[0].mru_in, 1400);
	assert_int_equal(p.s[0].mru_out, 1420);
	assert_int_equal(p.s[1].mru_in, 1452);
	assert_int_equal(p.s[1].mru_out, 1400);
	assert_true(p.s[0].acfc_out && p.s[0].pfc_out && p.s[1].acfc_out && p.s[1].pfc_out);
	/* one-octet protocols and no address octets are taken now */
	assert_int_equal(pair_inject(&p, 0, "\x21\x45", 2), PPP_IN_IP);
	assert_int_equal(pair_inject(&p, 0, "\xff\x03\x00\x21\x45", 5), PPP_IN_IP);
	assert_int_equal(pair_inject(&p, 0, "\x57\x60", 2), PPP_IN_IPV6);
	pair_free(&p);

	/* IPv6 needs 1280 octets (RFC 5072 2) */
	a.mru = 1000;
	pair_init(&p, 17);
	pair_open_both(&p, &a, &b);
	pair_run(&p, US_S);
	assert_int_equal(p.s[0].ip_ups, 1);
	assert_int_equal(p.s[0].ip6_ups + p.s[1].ip6_ups, 0);
	pair_free(&p);
	b.require_ipv6cp = true;
	pair_init(&p, 18);
	pair_open_both(&p, &a, &b);
	pair_run(&p, 20 * US_S);
	assert_up(&p); /* the MRU was refused, so it became large enough */
	assert_int_equal(p.s[0].mru_in, 1280);
	pair_free(&p);
}

static void test_commands(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct ppp_cmd drop = { .kind = PPP_CMD_DROP }, answer = { .kind = PPP_CMD_AUTH_ANSWER };
	struct ppp_cmd open = { .kind = PPP_CMD_OPEN };
	struct ppp_event ev;
	struct ppp_info i;
	struct pair p;

	pair_init(&p, 19);
	assert_int_equal(ppp_do(p.s[0].e, p.now, &open), -22);
	p.s[0].mute = true;
	pair_open_both(&p, &a, &b);
	pair_run(&p, US_S);
	assert_int_equal(p.s[0].asks, 1);
	answer.link = drop.link = p.s[0].link;
	answer.ok = true;
	answer.ask = p.s[0].ask + 1; /* an answer to another question */
	assert_int_equal(ppp_do(p.s[0].e, p.now, &answer), 1);
	answer.ask = p.s[0].ask;
	assert_int_equal(ppp_do(p.s[0].e, p.now, &answer), 0);
	assert_int_equal(ppp_do(p.s[0].e, p.now, &answer), 1);
	assert_true(ppp_memory(p.s[0].e) > 0);
	assert_int_equal(ppp_do(p.s[0].e, p.now, &drop), 0);
	assert_int_equal(ppp_do(p.s[0].e, p.now, &drop), 1);
	assert_int_equal(ppp_do(p.s[0].e, p.now, &answer), 1);
	assert_false(ppp_event(p.s[0].e, &ev));
	assert_false(pair_info(&p, 0, &i));
	assert_int_equal(pair_inject(&p, 0, "\xff\x03\xc0\x21", 4), PPP_IN_DROP);
	assert_int_equal(ppp_count(p.s[0].e), 0);
	pair_free(&p);
}

static void test_limit(void **state)
{
	struct ppp_config config = { .max_links = 3 };
	struct ppp_params a = pair_params(0);
	struct ppp *e = ppp_new(&config);
	struct ppp_cmd open = { .kind = PPP_CMD_OPEN };
	adit_handle first = 0;
	int rc;

	open.profile = ppp_profile_new(&a, &rc);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ppp_do(e, (struct mono){ 0 }, &open), 0);
		if (i == 0)
			first = open.ret_link;
	}
	assert_int_equal(ppp_do(e, (struct mono){ 0 }, &open), 2);
	open.kind = PPP_CMD_DROP;
	open.link = first;
	assert_int_equal(ppp_do(e, (struct mono){ 0 }, &open), 0);
	open.kind = PPP_CMD_OPEN;
	assert_int_equal(ppp_do(e, (struct mono){ 0 }, &open), 0);
	assert_int_not_equal(open.ret_link, first);
	ppp_profile_unref(open.profile);
	ppp_free(e);
}

static void test_profiles(void **state)
{
	struct ppp_params good = pair_params(1);
	struct ppp_profile *f;
	char name[300];
	int rc = 0;

	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	for (unsigned i = 0; i < 12; i++) {
		struct ppp_params a = good;

		switch (i) {
		case 0:
			a.ipcp = a.ipv6cp = false;
			break;
		case 1:
			a.mru = 100;
			break;
		case 2:
			a.mru = 20000;
			break;
		case 3:
			a.user = name;
			break;
		case 4:
			a.auth_name = name;
			break;
		case 5:
			a.password_len = 256;
			a.password = name;
			break;
		case 6:
			a.password_len = 0;
			break;
		case 7:
			a.peer_auth = 128;
			break;
		case 8:
			a.auth_order[1] = 3; /* two methods at once */
			break;
		case 9:
			a.restart_us = 1;
			break;
		case 10:
			a.ipcp = false;
			a.require_ipcp = true;
			break;
		default:
			a.max_configure = 1000;
			break;
		}
		rc = 0;
		assert_null(ppp_profile_new(&a, &rc));
		assert_int_equal(rc, -22);
	}
	name[255] = '\0';
	good.user = good.auth_name = name;
	f = ppp_profile_new(&good, &rc);
	assert_non_null(f);
	assert_ptr_equal(ppp_profile_ref(f), f);
	ppp_profile_unref(f);
	ppp_profile_unref(f);
	ppp_profile_unref(NULL);
}

/* Every method in every direction: up, asked again, and refused with a wrong password. */
static void test_methods(void **state)
{
	static const enum ppp_auth methods[] = { PPP_AUTH_PAP,	   PPP_AUTH_CHAP_MD5,
						 PPP_AUTH_MSCHAP,  PPP_AUTH_MSCHAPV2,
						 PPP_AUTH_EAP_MD5, PPP_AUTH_EAP_MSCHAPV2 };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		for (unsigned bad = 0; bad < 2; bad++) {
			struct ppp_params a = pair_params(0), b = pair_params(1);
			struct ppp_info info;
			struct pair p;

			memset(a.auth_order, 0, sizeof(a.auth_order));
			a.auth_order[0] = (uint8_t)methods[i];
			a.auth_again_us = 60 * US_S;
			b.peer_auth = PPP_AUTH_ALL;
			pair_init(&p, 5 + i);
			if (bad)
				p.s[0].password = "other";
			pair_open_both(&p, &a, &b);
			pair_run(&p, 2 * US_S);
			assert_true(p.s[0].asks >= 1);
			if (bad) {
				/* the client has no second password and gives up */
				pair_run(&p, 60 * US_S);
				assert_int_equal(p.s[0].downs, 1);
				assert_int_equal(p.s[1].downs, 1);
				assert_int_equal(p.s[1].cause, ADIT_CAUSE_PEER_AUTH_FAILED);
				assert_int_equal(p.s[0].auth_ups + p.s[1].auth_ups, 0);
			} else {
				assert_int_equal(p.s[0].asks, 1);
				assert_true(pair_info(&p, 0, &info));
				assert_int_equal(info.auth, methods[i]);
				assert_true(info.ipcp_open && info.ipv6cp_open);
				pair_run(&p, 130 * US_S);
				assert_int_equal(p.s[0].asks, methods[i] == PPP_AUTH_PAP ? 1 : 3);
				assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
				p.s[0].password = "changed";
				pair_run(&p, 100 * US_S);
				assert_int_equal(p.s[0].downs, methods[i] != PPP_AUTH_PAP);
			}
			pair_free(&p);
		}
	}
}

/* With packets lost and doubled every method still comes up. */
static void test_methods_on_a_bad_wire(void **state)
{
	static const enum ppp_auth methods[] = { PPP_AUTH_MSCHAPV2, PPP_AUTH_EAP_MD5,
						 PPP_AUTH_EAP_MSCHAPV2 };

	for (unsigned seed = 0; seed < 60; seed++) {
		struct ppp_params a = pair_params(0), b = pair_params(1);
		struct ppp_info info;
		struct pair p;

		memset(a.auth_order, 0, sizeof(a.auth_order));
		a.auth_order[0] = (uint8_t)methods[seed % 3];
		b.peer_auth = PPP_AUTH_ALL;
		pair_init(&p, 1000 + seed);
		p.loss = 150;
		p.dup = 150;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 40 * US_S);
		assert_true(pair_info(&p, 0, &info));
		assert_true(info.ipcp_open);
		assert_true(pair_info(&p, 1, &info));
		assert_true(info.ipcp_open);
		pair_free(&p);
	}
}

/* Both ends want the other to log in, each its own way. */
static void test_mutual_methods(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct ppp_info info;
	struct pair p;

	memset(a.auth_order, 0, sizeof(a.auth_order));
	a.auth_order[0] = PPP_AUTH_EAP_MSCHAPV2;
	a.peer_auth = b.peer_auth = PPP_AUTH_ALL;
	a.user = "alice";
	a.password = "secret";
	a.password_len = 6;
	b.auth_order[0] = PPP_AUTH_MSCHAPV2;
	b.auth_order[1] = 0;
	pair_init(&p, 77);
	p.s[1].user = "alice";
	p.s[1].password = "secret";
	pair_open_both(&p, &a, &b);
	pair_run(&p, 5 * US_S);
	assert_int_equal(p.s[0].asks, 1);
	assert_int_equal(p.s[1].asks, 1);
	assert_true(pair_info(&p, 0, &info));
	assert_int_equal(info.auth, PPP_AUTH_EAP_MSCHAPV2);
	assert_true(pair_info(&p, 1, &info));
	assert_int_equal(info.auth, PPP_AUTH_MSCHAPV2);
	pair_free(&p);
}

/* Encryption between two engines: keys that fit, and each side without it. */
static void test_mppe(void **state)
{
	static const enum ppp_auth methods[] = { PPP_AUTH_MSCHAPV2, PPP_AUTH_EAP_MSCHAPV2 };

	for (unsigned i = 0; i < 16; i++) {
		struct ppp_params a = pair_params(0), b = pair_params(1);
		bool other_off = i & 2, plane_off = i & 4, required = i & 8;
		struct ppp_info s, c;
		struct pair p;

		memset(a.auth_order, 0, sizeof(a.auth_order));
		a.auth_order[0] = (uint8_t)methods[i & 1];
		b.peer_auth = PPP_AUTH_ALL;
		a.mppe = required ? PPP_MPPE_REQUIRE : PPP_MPPE_PREFER;
		b.mppe = other_off ? PPP_MPPE_OFF : PPP_MPPE_PREFER;
		pair_init(&p, 3000 + i);
		p.s[0].no_mppe = plane_off;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 2 * US_S);
		if (required && (other_off || plane_off)) {
			pair_run(&p, 10 * US_S);
			assert_int_equal(p.s[0].downs, 1);
			assert_int_equal(p.s[0].cause, ADIT_CAUSE_NO_ENCRYPTION);
			assert_int_equal(p.s[0].ip_ups + p.s[1].ip_ups, 0);
			pair_free(&p);
			continue;
		}
		assert_true(pair_info(&p, 0, &s) && pair_info(&p, 1, &c));
		assert_true(s.ipcp_open && s.ipv6cp_open && c.ipcp_open && c.ipv6cp_open);
		assert_int_equal(s.mppe, !other_off && !plane_off);
		assert_int_equal(c.mppe, s.mppe);
		if (s.mppe) {
			assert_memory_equal(s.mppe_send_key, c.mppe_recv_key, PPP_KEY_LEN);
			assert_memory_equal(s.mppe_recv_key, c.mppe_send_key, PPP_KEY_LEN);
			assert_memory_not_equal(s.mppe_recv_key, s.mppe_send_key, PPP_KEY_LEN);
			assert_memory_equal(s.mppe_options, "\x01\0\0\x40", 4);
			assert_int_equal(pair_inject(&p, 0, "\xff\x03\x00\x21\x45", 5),
					 PPP_IN_DROP);
		} else {
			assert_int_equal(pair_inject(&p, 0, "\xff\x03\x00\x21\x45", 5), PPP_IN_IP);
		}
		pair_free(&p);
	}
}

/* A login begins without the keys of the one before: it may be by a method that gives none. */
static void test_keys_end_with_their_login(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	bool without[2] = { false, false };
	struct ppp_info info;
	struct pair p;

	memset(a.auth_order, 0, sizeof(a.auth_order));
	a.auth_order[0] = PPP_AUTH_EAP_MSCHAPV2; /* the client's come late, too */
	b.peer_auth = PPP_AUTH_ALL;
	a.mppe = b.mppe = PPP_MPPE_PREFER;
	pair_init(&p, 3100);
	p.delay_us = 5 * US_MS;
	pair_open_both(&p, &a, &b);
	pair_run(&p, 2 * US_S);
	assert_true(pair_info(&p, 0, &info) && info.mppe_keys);
	assert_true(pair_info(&p, 1, &info) && info.mppe_keys);
	pair_inject(&p, 0, "\xff\x03\xc0\x21\x01\x77\x00\x04", 8);
	for (unsigned i = 0; i < 2000; i++) {
		pair_run(&p, US_MS);
		for (unsigned side = 0; side < 2; side++) {
			assert_true(pair_info(&p, side, &info));
			without[side] |= !info.mppe_keys;
		}
	}
	assert_true(without[0] && without[1]);
	assert_true(info.mppe_keys); /* and it is up again */
	pair_free(&p);
}

/* The same over wires that lose and double: up in time, and always alike on both sides. */
static void test_mppe_on_a_bad_wire(void **state)
{
	unsigned up = 0;

	for (unsigned seed = 0; seed < 60; seed++) {
		struct ppp_params a = pair_params(0), b = pair_params(1);
		struct ppp_info s, c;
		struct pair p;

		memset(a.auth_order, 0, sizeof(a.auth_order));
		a.auth_order[0] = PPP_AUTH_MSCHAPV2;
		b.peer_auth = PPP_AUTH_ALL;
		a.mppe = PPP_MPPE_REQUIRE;
		b.mppe = PPP_MPPE_PREFER;
		pair_init(&p, 5000 + seed);
		p.loss = 150;
		p.dup = 150;
		pair_open_both(&p, &a, &b);
		pair_run(&p, 50 * US_S);
		/* A client that gave up asking is left by a server that insists. */
		if (pair_info(&p, 0, &s) && s.ipcp_open) {
			assert_true(pair_info(&p, 1, &c));
			assert_true(s.mppe && c.mppe);
			assert_memory_equal(s.mppe_send_key, c.mppe_recv_key, PPP_KEY_LEN);
			up++;
		}
		pair_free(&p);
	}
	assert_in_range(up, 57, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_methods_on_a_bad_wire),
		cmocka_unit_test(test_mutual_methods),
		cmocka_unit_test(test_mppe),
		cmocka_unit_test(test_keys_end_with_their_login),
		cmocka_unit_test(test_mppe_on_a_bad_wire),
		cmocka_unit_test(test_usual),
		cmocka_unit_test(test_auth_combinations),
		cmocka_unit_test(test_no_login_at_all),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_slow_owner),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_passive),
		cmocka_unit_test(test_bad_wire),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_jump),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_per_user_protocols),
		cmocka_unit_test(test_protocol_never),
		cmocka_unit_test(test_lcp_options),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_profiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
