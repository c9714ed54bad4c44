/* SPDX-License-Identifier: MIT
 *
 * Links that outlive their engine: saved in mid-life, loaded into a new engine, and going on; bad
 * records; and every allocation of a link's life failing once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/wire.h"
#include "failmalloc.h"
#include "pair.h"

/* Replace a side's engine by a new one that loads the link. */
static int restart(struct pair *p, unsigned side, const struct ppp_params *params)
{
	struct ppp_config config = { .seed = { 99, (uint8_t)side } };
	struct side *s = &p->s[side];
	uint8_t record[PPP_SAVE_MAX];
	struct wcur w = wcur_of(record, sizeof(record));
	struct ppp_profile *f;
	struct rcur r;
	int rc = 0;

	assert_true(ppp_can_save(s->e, s->link));
	ppp_save(s->e, s->link, &w);
	assert_false(w.bad);
	ppp_free(s->e);
	s->e = ppp_new(&config);
	f = ppp_profile_new(params, &rc);
	r = rcur_of(record, w.len);
	rc = ppp_load(s->e, p->now, &r, f, side + 100, &s->link);
	ppp_profile_unref(f);
	return rc;
}

static void assert_open(struct pair *p, unsigned side)
{
	struct ppp_info i;

	assert_true(pair_info(p, side, &i));
	assert_true(i.lcp_open && i.ipcp_open && i.ipv6cp_open);
	assert_string_equal(i.phase, "network");
	assert_memory_equal(i.addresses.our_ip4, side ? "\xc0\x00\x02\x4d" : "\xc0\x00\x02\x01", 4);
	assert_memory_equal(i.addresses.peer_ip4, side ? "\xc0\x00\x02\x01" : "\xc0\x00\x02\x4d",
			    4);
}

static void up(struct pair *p, const struct ppp_params *a, const struct ppp_params *b)
{
	pair_init(p, 20);
	pair_open_both(p, a, b);
	pair_run(p, 2 * US_S);
	assert_open(p, 0);
	assert_open(p, 1);
}

static void test_dirty(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	uint64_t owner = 0;
	adit_handle h = 0;
	struct pair p;

	pair_init(&p, 20);
	pair_open_both(&p, &a, &b);
	assert_false(ppp_dirty(p.s[0].e, &h, &owner));
	assert_false(ppp_can_save(p.s[0].e, p.s[0].link));
	pair_run(&p, 2 * US_S);
	assert_true(ppp_dirty(p.s[0].e, &h, &owner));
	assert_int_equal(h, p.s[0].link);
	assert_int_equal(owner, 100);
	assert_false(ppp_dirty(p.s[0].e, &h, &owner));
	assert_true(ppp_can_save(p.s[0].e, h));
	pair_run(&p, 300 * US_S); /* echoes do not make it dirty */
	assert_false(ppp_dirty(p.s[0].e, &h, &owner));
	pair_close(&p, 1, ADIT_CAUSE_ADMIN);
	pair_run(&p, 20 * US_MS);
	assert_true(ppp_dirty(p.s[0].e, &h, &owner));
	assert_false(ppp_can_save(p.s[0].e, h));
	pair_free(&p);
}

static void test_restart(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;
	unsigned sent;

	for (unsigned pap = 0; pap < 2; pap++) {
		a.auth_order[0] = pap ? PPP_AUTH_PAP : PPP_AUTH_CHAP_MD5;
		a.echo_us = b.echo_us = 10 * US_S;
		up(&p, &a, &b);
		for (unsigned round = 0; round < 4; round++) {
			assert_int_equal(restart(&p, round % 2, &a), 0);
			assert_open(&p, round % 2);
			sent = p.s[0].sent + p.s[1].sent;
			pair_run(&p, 100 * US_S); /* both answer echoes with the old magic */
			assert_in_range(p.s[0].sent + p.s[1].sent, sent + 20, sent + 45);
			assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
			assert_int_equal(p.s[0].asks, 1);
		}
		/* data still passes, a lost result is still repeated */
		assert_int_equal(pair_inject(&p, 0, "\xff\x03\x00\x21\x45", 5), PPP_IN_IP);
		pair_close(&p, 0, ADIT_CAUSE_SESSION_TIMEOUT);
		pair_run(&p, 10 * US_S);
		assert_int_equal(p.s[0].cause, ADIT_CAUSE_SESSION_TIMEOUT);
		assert_int_equal(p.s[1].cause, ADIT_CAUSE_PEER_CLOSED_PPP);
		pair_free(&p);
	}
}

/* The other end notices nothing, or renegotiates: both end well. */
static void test_restart_renegotiate(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;
	struct ppp_cmd drop = { .kind = PPP_CMD_DROP };

	up(&p, &a, &b);
	assert_int_equal(restart(&p, 0, &a), 0);
	drop.link = p.s[1].link;
	assert_int_equal(ppp_do(p.s[1].e, p.now, &drop), 0);
	assert_int_equal(pair_open(&p, 1, &b), 0); /* the client is new */
	pair_run(&p, 5 * US_S);
	assert_int_equal(p.s[0].ip_downs, 1);
	assert_int_equal(p.s[0].ip6_downs, 1);
	assert_int_equal(p.s[0].asks, 2);
	assert_open(&p, 0);
	assert_open(&p, 1);
	pair_free(&p);
}

static void test_only_ip4(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;
	struct ppp_info i;

	b.ipv6cp = false;
	pair_init(&p, 21);
	pair_open_both(&p, &a, &b);
	pair_run(&p, 2 * US_S);
	assert_int_equal(restart(&p, 1, &b), 0);
	b.ipv6cp = true;
	assert_int_equal(restart(&p, 1, &b), 0); /* the configuration has changed */
	assert_int_equal(restart(&p, 0, &a), 0);
	pair_run(&p, 100 * US_S);
	assert_true(pair_info(&p, 0, &i));
	assert_true(i.ipcp_open && !i.ipv6cp_open);
	pair_free(&p);
}

/* MS-CHAPv2 with encryption: keys, proof and the clock of the next question go on. */
static void test_restart_mppe(void **state)
{
	static const enum ppp_auth methods[] = { PPP_AUTH_MSCHAPV2, PPP_AUTH_EAP_MSCHAPV2 };
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct ppp_info before, after;
	struct pair p;

	for (unsigned i = 0; i < 4; i++) {
		unsigned side = i / 2;

		memset(a.auth_order, 0, sizeof(a.auth_order));
		a.auth_order[0] = (uint8_t)methods[i % 2];
		a.auth_again_us = 60 * US_S;
		a.mppe = b.mppe = PPP_MPPE_REQUIRE;
		b.peer_auth = PPP_AUTH_KEYS;
		up(&p, &a, &b);
		assert_true(pair_info(&p, side, &before));
		assert_true(before.mppe);
		pair_run(&p, 30 * US_S);
		assert_int_equal(restart(&p, side, side ? &b : &a), 0);
		assert_open(&p, side);
		assert_true(pair_info(&p, side, &after));
		assert_true(after.mppe && after.mppe_keys);
		assert_memory_equal(after.mppe_options, before.mppe_options, 4);
		assert_memory_equal(after.mppe_send_key, before.mppe_send_key, PPP_KEY_LEN);
		assert_memory_equal(after.mppe_recv_key, before.mppe_recv_key, PPP_KEY_LEN);
		pair_run(&p, 27 * US_S);
		assert_int_equal(p.s[0].asks, 1);
		pair_run(&p, 3 * US_S); /* asked again on time, answered with the new engine */
		assert_int_equal(p.s[0].asks, 2);
		pair_run(&p, 100 * US_S);
		assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
		/* the next login did not change the keys of the session */
		assert_true(pair_info(&p, side, &after));
		assert_memory_equal(after.mppe_send_key, before.mppe_send_key, PPP_KEY_LEN);
		pair_free(&p);
	}
}

/* Lose all IPv6CP. */
static bool no_ipv6cp(struct pair *p, unsigned from, const uint8_t *f, size_t n)
{
	return f[2] != 0x80 || f[3] != 0x57;
}

/* A protocol in the middle of its negotiation goes on; one that was given up waits for the peer. */
static void test_half_open(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	for (unsigned late = 0; late < 2; late++) {
		pair_init(&p, 22);
		p.tap = no_ipv6cp;
		pair_open_both(&p, &a, &b);
		pair_run(&p, late ? 40 * US_S : 2 * US_S);
		assert_int_equal(p.s[0].ip_ups, 1);
		assert_int_equal(restart(&p, 0, &a), 0);
		p.tap = NULL;
		pair_run(&p, 10 * US_S);
		assert_int_equal(p.s[0].ip6_ups, late ? 0 : 1);
		assert_int_equal(p.s[1].ip6_ups, late ? 0 : 1);
		assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
		pair_free(&p);
	}
}

static void test_again_after_restart(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	a.auth_again_us = 60 * US_S;
	up(&p, &a, &b);
	assert_int_equal(restart(&p, 0, &a), 0);
	pair_run(&p, 130 * US_S);
	assert_int_equal(p.s[0].asks, 3);
	assert_int_equal(p.s[0].downs, 0);
	pair_free(&p);
}

/* Keeps the last frame of EAP. */
static bool keep_eap(struct pair *p, unsigned from, const uint8_t *f, size_t n)
{
	uint8_t *last = p->tap_arg;

	if (f[2] == 0xc2 && f[3] == 0x27 && n < 256) {
		memset(last, 0, 256);
		memcpy(last, f, n);
	}
	return true;
}

/* The configuration has changed: what LCP agreed to goes on, and no more than both allow. */
static void test_more_methods(void **state)
{
	static const uint8_t ms[] = "\xff\x03\xc2\x27\x01\x63\x00\x1a\x1a\x01\x05\x00\x15\x10"
				    "0123456789abcdef";
	static const uint8_t md5[] = "\xff\x03\xc2\x27\x01\x64\x00\x07\x04\x01\x2a";
	static const uint8_t naks[2][6] = { { 2, 0x63, 0, 6, 3, 4 }, { 2, 0x64, 0, 6, 3, 0 } };
	struct ppp_params a = pair_params(0), b = pair_params(1);
	uint8_t last[256] = { 0 };
	struct pair p;

	a.auth_order[0] = PPP_AUTH_EAP_MD5;
	b.peer_auth = PPP_AUTH_EAP_MD5;
	up(&p, &a, &b);
	b.peer_auth = PPP_AUTH_EAP;
	assert_int_equal(restart(&p, 1, &b), 0);
	p.tap = keep_eap;
	p.tap_arg = last;
	pair_inject(&p, 1, ms, sizeof(ms) - 1);
	assert_memory_equal(last + 4, naks[0], 6);
	b.peer_auth = PPP_AUTH_EAP_MSCHAPV2;
	assert_int_equal(restart(&p, 1, &b), 0);
	pair_inject(&p, 1, md5, sizeof(md5) - 1);
	assert_memory_equal(last + 4, naks[1], 6);
	pair_free(&p);
}

/* As above, of the server: the peer's Nak may lead to the method that is new. */
static void test_more_methods_server(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	uint8_t last[256] = { 0 }, nak[] = { 0xff, 3, 0xc2, 0x27, 2, 0, 0, 6, 3, 26 };
	uint8_t identity[] = { 0xff, 3, 0xc2, 0x27, 2, 0, 0, 10, 1, 'a', 'l', 'i', 'c', 'e' };
	struct pair p;

	memset(a.auth_order, 0, sizeof(a.auth_order));
	a.auth_order[0] = PPP_AUTH_EAP_MD5;
	a.auth_again_us = 20 * US_S;
	b.peer_auth = PPP_AUTH_EAP_MD5;
	up(&p, &a, &b);
	a.auth_order[1] = PPP_AUTH_EAP_MSCHAPV2;
	assert_int_equal(restart(&p, 0, &a), 0);
	p.cut = true;
	p.tap = keep_eap;
	p.tap_arg = last;
	pair_run(&p, 20 * US_S);
	identity[5] = last[5];
	pair_inject(&p, 0, identity, sizeof(identity));
	nak[5] = last[5];
	pair_inject(&p, 0, nak, sizeof(nak));
	assert_int_equal(last[8], 26);
	assert_int_equal(last[9], 1);
	pair_free(&p);
}

/* Who has logged in is not asked again when nobody has to log in any more. */
static void test_no_more_login(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct pair p;

	a.auth_again_us = 60 * US_S;
	up(&p, &a, &b);
	memset(a.auth_order, 0, sizeof(a.auth_order));
	assert_int_equal(restart(&p, 0, &a), 0);
	pair_run(&p, 130 * US_S);
	assert_int_equal(p.s[0].asks, 1);
	assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
	assert_open(&p, 0);
	pair_free(&p);
}

/* Records cut short, with a field missing, with random octets changed: refused or loaded, but never
 * a crash, and what was loaded can be closed. */
static void test_bad_records(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	uint8_t record[PPP_SAVE_MAX], bad[PPP_SAVE_MAX];
	struct wcur w = wcur_of(record, sizeof(record));
	struct ppp_profile *f;
	struct pair p;
	adit_handle h = 0;
	unsigned loaded = 0;
	uint32_t r = 1;
	int rc = 0;

	up(&p, &a, &b);
	ppp_save(p.s[0].e, p.s[0].link, &w);
	f = ppp_profile_new(&a, &rc);
	for (size_t n = 0; n < w.len; n++) {
		struct rcur c = rcur_of(record, n);

		assert_int_equal(ppp_load(p.s[0].e, p.now, &c, f, 1, &h), 1);
	}
	for (unsigned i = 0; i < 3000; i++) {
		struct rcur c = rcur_of(bad, w.len);

		memcpy(bad, record, w.len);
		for (unsigned k = 0; k < 1 + i % 3; k++) {
			r = r * 1664525 + 1013904223;
			bad[(r >> 8) % w.len] = (uint8_t)(r >> 24);
		}
		rc = ppp_load(p.s[0].e, p.now, &c, f, 1, &h);
		assert_true(rc == 0 || rc == 1);
		if (rc == 0) {
			struct ppp_cmd drop = { .kind = PPP_CMD_DROP, .link = h };

			loaded++;
			assert_int_equal(ppp_do(p.s[0].e, p.now, &drop), 0);
		}
	}
	assert_in_range(loaded, 100, 2999);
	/* an unknown field is skipped */
	wcur_tlv_u32(&w, 4711, 1);
	struct rcur c = rcur_of(record, w.len);
	assert_int_equal(ppp_load(p.s[0].e, p.now, &c, f, 1, &h), 0);
	ppp_profile_unref(f);
	pair_free(&p);
}

/*
 * Every allocation between opening and the network phase fails once. The engine reports it (or
 * retries by itself) and nothing is lost: the next attempt of the owner, or the peer's
 * retransmission, succeeds.
 */
static void test_no_memory(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	long n;

	for (n = 1; n < 200; n++) {
		struct pair p;
		int rc[2];

		pair_init(&p, (uint64_t)n);
		failmalloc_arm(n);
		for (unsigned k = 0; k < 2; k++) {
			rc[k] = pair_open(&p, k, k ? &b : &a);
			if (rc[k] != 0) {
				assert_int_equal(rc[k], -ENOMEM);
				assert_int_equal(ppp_count(p.s[k].e), 0);
				rc[k] = pair_open(&p, k, k ? &b : &a);
			}
			assert_int_equal(rc[k], 0);
		}
		pair_run(&p, 20 * US_S);
		if (!failmalloc_disarm()) {
			pair_free(&p);
			break;
		}
		assert_int_equal(p.s[0].downs + p.s[1].downs, 0);
		assert_open(&p, 0);
		assert_open(&p, 1);
		pair_close(&p, 1, ADIT_CAUSE_ADMIN);
		pair_run(&p, 10 * US_S);
		pair_free(&p);
	}
	printf("# %ld allocations failed in turn\n", n - 1);
	assert_in_range(n, 8, 199);
}

static void test_no_memory_new(void **state)
{
	struct ppp_params a = pair_params(0);
	struct ppp_config config = { 0 };
	struct ppp_profile *f;
	struct ppp *e;
	long n;
	int rc = 0;

	for (n = 1;; n++) {
		failmalloc_arm(n);
		e = ppp_new(&config);
		if (!failmalloc_disarm())
			break;
		assert_null(e);
	}
	assert_in_range(n, 2, 10);
	ppp_free(e);
	ppp_free(NULL);
	failmalloc_arm(1);
	f = ppp_profile_new(&a, &rc);
	assert_true(failmalloc_disarm());
	assert_null(f);
	assert_int_equal(rc, -ENOMEM);
}

/* Renegotiation needs the login's memory again: without it the packet is not handled. */
static void test_no_memory_later(void **state)
{
	static const uint8_t request[] = { 0xff, 0x03, 0xc0, 0x21, 1, 77, 0, 4 };
	struct ppp_params a = pair_params(0), b = pair_params(1);
	uint8_t record[PPP_SAVE_MAX];
	struct ppp_profile *f;
	struct wcur w;
	struct pair p;
	adit_handle h = 0;
	int rc = 0;

	a.auth_again_us = 10 * US_S;
	up(&p, &a, &b);
	/* the check from time to time is put off */
	failmalloc_arm(1);
	pair_run(&p, 11 * US_S);
	assert_true(failmalloc_disarm());
	assert_int_equal(p.s[0].asks, 1);
	pair_run(&p, 4 * US_S);
	assert_int_equal(p.s[0].asks, 2);
	assert_int_equal(pair_inject(&p, 0, request, sizeof(request)), PPP_IN_TAKEN);
	failmalloc_arm_from(1);
	pair_run(&p, 100 * US_MS);
	assert_true(failmalloc_disarm());
	assert_true(p.s[0].failures > 0);
	pair_run(&p, 10 * US_S);
	assert_open(&p, 0);
	assert_in_range(p.s[0].asks, 3, 4);
	/* a peer's words without memory: only the words are lost */
	failmalloc_arm_from(1);
	pair_inject(&p, 0, "\xff\x03\xc0\x21\x0c\x01\x00\x0bMAGIhey", 15);
	assert_true(failmalloc_disarm());
	assert_int_equal(p.s[0].notes, 0);
	pair_inject(&p, 0, "\xff\x03\xc0\x21\x0c\x01\x00\x0bMAGIhey", 15);
	assert_int_equal(p.s[0].notes, 1);
	assert_string_equal(p.s[0].note, "hey");

	w = wcur_of(record, sizeof(record));
	ppp_save(p.s[0].e, p.s[0].link, &w);
	f = ppp_profile_new(&a, &rc);
	for (long n = 1;; n++) {
		struct rcur c = rcur_of(record, w.len);

		failmalloc_arm(n);
		rc = ppp_load(p.s[0].e, p.now, &c, f, 100, &h);
		if (!failmalloc_disarm())
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(ppp_count(p.s[0].e), 1);
	}
	assert_int_equal(rc, 0);
	ppp_profile_unref(f);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dirty),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_restart_mppe),
		cmocka_unit_test(test_restart_renegotiate),
		cmocka_unit_test(test_only_ip4),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_again_after_restart),
		cmocka_unit_test(test_more_methods),
		cmocka_unit_test(test_more_methods_server),
		cmocka_unit_test(test_no_more_login),
		cmocka_unit_test(test_bad_records),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_memory_new),
		cmocka_unit_test(test_no_memory_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
