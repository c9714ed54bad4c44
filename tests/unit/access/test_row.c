/* SPDX-License-Identifier: MIT
 *
 * Sums of src/access/row.c, and who a peer block fits (server.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "access/internal.h"
#include "access/place.h"

#include <stdlib.h>

static uint16_t mtu(int family, bool length, bool seq, bool acfc, bool pfc, uint16_t mru,
		    uint16_t limit)
{
	struct path path = { .remote.family = (uint16_t)family };
	struct acc_call l = { .l2tp = { .length_bit = length, .send_seq = seq } };
	struct ppp_info p = { .acfc_out = acfc, .pfc_out = pfc, .mru_out = mru };

	return acc_mtu(&path, &l, &p, limit);
}

static void sums(void **state)
{
	(void)state;
	/* 1500 - 20 IP - 8 UDP - 6 L2TP - 4 PPP */
	assert_int_equal(mtu(AF_INET, false, false, false, false, 1500, 0), 1462);
	assert_int_equal(mtu(AF_INET6, false, false, false, false, 1500, 0), 1442);
	assert_int_equal(mtu(AF_INET, true, false, false, false, 1500, 0), 1460);
	assert_int_equal(mtu(AF_INET, true, true, false, false, 1500, 0), 1456);
	assert_int_equal(mtu(AF_INET, false, false, true, false, 1500, 0), 1464);
	assert_int_equal(mtu(AF_INET, false, false, true, true, 1500, 0), 1465);
	assert_int_equal(mtu(AF_INET6, true, true, false, true, 1500, 0), 1437);
	assert_int_equal(mtu(AF_INET, false, false, false, false, 1400, 0), 1400);
	assert_int_equal(mtu(AF_INET, false, false, false, false, 1400, 1380), 1380);
	assert_int_equal(mtu(AF_INET, false, false, false, false, 1400, 9000), 1400);
	assert_int_equal(mtu(AF_INET, false, false, false, false, 30, 0), 68);
}

/* L2TPv3 over UDP: flags and session id 8, the cookie that the peer wants, the sublayer. */
static void sums_of_v3(void **state)
{
	struct path path = { .remote.family = AF_INET };
	struct acc_call l = { .version = 3, .cookie_in_len = 8 };
	struct ppp_info p = { .mru_out = 1500 };

	(void)state;
	assert_int_equal(acc_mtu(&path, &l, &p, 0), 1500 - 20 - 8 - 8 - 4);
	assert_int_equal(acc_mru(&path, &l, 0), 1500 - 20 - 8 - 8 - 8 - 4);
	l.cookie_out_len = 4;
	l.sublayer = true;
	assert_int_equal(acc_mtu(&path, &l, &p, 0), 1500 - 20 - 8 - 8 - 4 - 4 - 4);
	l.over_ip = true; /* the session id alone */
	assert_int_equal(acc_mtu(&path, &l, &p, 0), 1500 - 20 - 4 - 4 - 4 - 4);
	path.remote.family = AF_INET6;
	assert_int_equal(acc_mtu(&path, &l, &p, 0), 1500 - 40 - 4 - 4 - 4 - 4);
}

/* l2tpns drops what is longer than the MRU we asked for; our TCP must not ask for more. */
static void both_ways(void **state)
{
	struct path path = { .remote.family = AF_INET };
	struct acc_call l = { .version = 2 };
	struct ppp_info p = { .mru_out = 1500, .mru_in = 1460 };

	(void)state;
	assert_int_equal(acc_mtu(&path, &l, &p, 0), 1460);
	p.mppe_keys = true;
	assert_int_equal(acc_mtu(&path, &l, &p, 0), 1456);
	p.mru_in = 1300;
	assert_int_equal(acc_mtu(&path, &l, &p, 1400), 1296);
}

/* "None" is shown as nothing, not as ::/0. */
static void prefix_that_is_not_there(void **state)
{
	struct acc_session s = { .len6 = 0 };
	struct acc_dial d = { .prefix6 = { .addr.family = AF_INET6 } };
	struct prefix p = { .addr.family = AF_INET6, .len = 64 };

	(void)state;
	assert_false(acc_session_prefix6(&s, &p));
	assert_int_equal(p.addr.family, 0);
	assert_int_equal(p.len, 0);
	s.len6 = 64;
	s.prefix6[0] = 0x20;
	assert_true(acc_session_prefix6(&s, &p));
	assert_int_equal(p.addr.family, AF_INET6);
	assert_int_equal(p.len, 64);
	s.dial = &d; /* it was withdrawn */
	assert_false(acc_session_prefix6(&s, &p));
	assert_int_equal(p.addr.family, 0);
	d.prefix6.len = 56;
	assert_true(acc_session_prefix6(&s, &p));
	assert_int_equal(p.len, 56);
}

static void globs(void **state)
{
	(void)state;
	assert_true(text_glob("*", "") && text_glob("", "") && text_glob("***", "x"));
	assert_true(text_glob("lac*.example", "LAC-7.Example"));
	assert_false(text_glob("lac*.example", "lac.example.org"));
	assert_true(text_glob("a?c", "abc"));
	assert_false(text_glob("a?c", "ac"));
	assert_true(text_glob("*a*b*c*", "xxaxxbxxcxx"));
	assert_false(text_glob("*a*b*c*", "xxaxxcxxbxx"));
	assert_false(text_glob("a", "") || text_glob("", "a"));
	/* no pattern takes long: this one would with naive recursion */
	assert_false(text_glob("*a*a*a*a*a*a*a*a*a*a*a*a*b",
			       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static struct access_conf *conf_with(const struct conf_range4 *v, size_t n, const char *p6)
{
	struct access_conf *c = access_conf_new();

	assert_non_null(c);
	c->pools = calloc(1, sizeof(*c->pools));
	assert_non_null(c->pools);
	c->pool_count = 1;
	c->pools->len6 = 64;
	c->pools->ranges = calloc(n, sizeof(*v));
	assert_non_null(c->pools->ranges);
	memcpy(c->pools->ranges, v, n * sizeof(*v));
	c->pools->range_count = n;
	if (p6) {
		c->pools->prefixes6 = calloc(1, sizeof(struct prefix));
		assert_non_null(c->pools->prefixes6);
		assert_int_equal(prefix_parse(p6, c->pools->prefixes6), 0);
		c->pools->prefix6_count = 1;
	}
	return c;
}

static bool covers(const struct dp_net *n, uint32_t ip)
{
	struct addr a = { .family = AF_INET,
			  .ip = { (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8),
				  (uint8_t)ip } };

	for (uint8_t i = 0; i < n->pool_count; i++) {
		if (prefix_has(&n->pools[i], &a))
			return true;
	}
	return false;
}

static void routes_of_pools(void **state)
{
	struct conf_range4 one = { 0x0a00000a, 0x0a0000fa };
	struct conf_range4 all = { 0, UINT32_MAX };
	struct conf_range4 many[20];
	struct access_conf *c = conf_with(&one, 1, "2001:db8::/40");
	struct dp_net n;

	(void)state;
	acc_net(c, &n);
	assert_true(covers(&n, 0x0a00000a) && covers(&n, 0x0a0000fa));
	assert_false(covers(&n, 0x0a000009) || covers(&n, 0x0a0000fb)); /* exactly the range */
	assert_int_equal(n.mtu, 1462);
	assert_int_equal(n.pools[n.pool_count - 1].len, 40);
	access_conf_unref(c);

	c = conf_with(&all, 1, NULL);
	acc_net(c, &n);
	assert_int_equal(n.pool_count, 1);
	assert_int_equal(n.pools[0].len, 0);
	access_conf_unref(c);

	/* more blocks than there is room: one larger block each */
	for (uint32_t i = 0; i < 20; i++)
		many[i] = (struct conf_range4){ 0x0a000001 + (i << 16), 0x0a00fffd + (i << 16) };
	c = conf_with(many, 20, NULL);
	acc_net(c, &n);
	assert_int_equal(n.pool_count, 20);
	for (uint32_t i = 0; i < 20; i++)
		assert_true(covers(&n, many[i].first) && covers(&n, many[i].last));
	access_conf_unref(c);
}

/* Names of interfaces are made of what strangers send. */
static void names_of_interfaces(void **state)
{
	static const struct {
		const char *pattern, *user, *name;
	} all[] = {
		{ "ppp-%u", "bob", "ppp-bob" },
		{ "ppp-%u", "bob@example.net", "ppp-bob" },
		{ "ppp-%u", "EXAMPLE\\bob", "ppp-bob" },
		{ "ppp-%u", "../a b:c", "ppp-.._a_b_c" },
		{ "ppp-%u", "a-very-long-name-of-a-user", "ppp-a-very-long" },
		{ "ppp-%u.l", "a-very-long-name-of-a-user", "ppp-a-very-lo.l" },
		{ "ppp-%u", "\xc3\xa4\x01", "ppp-___" },
		{ "ppp-%u", "", "ppp-" },
	};
	char name[DP_IFNAME];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		acc_ifname(all[i].pattern, all[i].user, strlen(all[i].user), name);
		assert_string_equal(name, all[i].name);
		assert_true(acc_ifname_fits(all[i].pattern, name));
		assert_string_equal(acc_ifname_wrong(all[i].pattern), "");
	}
	assert_false(acc_ifname_fits("ppp-%u", "eth0"));
	assert_false(acc_ifname_fits("ppp-%u", "ppp-a b"));
	assert_false(acc_ifname_fits("ppp-%u", "ppp"));
	assert_false(acc_ifname_fits("ppp-%u.l", "ppp-.x"));
	assert_false(acc_ifname_fits("", "ppp0"));
	assert_int_equal(acc_netns_id(""), 0);
	assert_int_not_equal(acc_netns_id("a"), acc_netns_id("b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums),
		cmocka_unit_test(sums_of_v3),
		cmocka_unit_test(names_of_interfaces),
		cmocka_unit_test(both_ways),
		cmocka_unit_test(prefix_that_is_not_there),
		cmocka_unit_test(globs),
		cmocka_unit_test(routes_of_pools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
