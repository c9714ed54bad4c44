/* SPDX-License-Identifier: MIT
 *
 * Leases where pools are not one plain range: several ranges that touch, ends of the number space,
 * prefixes of other lengths inside and around, pools that share addresses, pools that change.
 * test_pool.c has the plain ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "access/internal.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t v6(const char *text)
{
	struct addr a;
	struct rcur c;

	assert_int_equal(addr_parse(text, &a), 0);
	c = rcur_of(a.ip, 8);
	return rcur_u64(&c);
}

static uint32_t v4(const char *text)
{
	struct addr a;
	struct rcur c;

	assert_int_equal(addr_parse(text, &a), 0);
	c = rcur_of(a.ip, 4);
	return rcur_u32(&c);
}

/* A pool as text: IPv4 ranges "a-b", IPv6 prefixes, and "/n" for the length they are cut into. */
static void fill_pool(struct conf_pool *c, const char *name, const char *text)
{
	char copy[256], *save = NULL, *dash;

	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(copy, sizeof(copy), "%s", text);
	c->len6 = 64;
	c->ranges = calloc(8, sizeof(*c->ranges));
	c->prefixes6 = calloc(8, sizeof(*c->prefixes6));
	assert_non_null(c->ranges);
	assert_non_null(c->prefixes6);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		dash = strchr(w, '-');
		if (w[0] == '/') {
			c->len6 = (uint8_t)atoi(w + 1);
		} else if (!dash) {
			assert_int_equal(prefix_parse(w, &c->prefixes6[c->prefix6_count++]), 0);
		} else {
			*dash = '\0';
			c->ranges[c->range_count].first = v4(w);
			c->ranges[c->range_count++].last = v4(dash + 1);
		}
	}
}

static void use(struct access *a, size_t n, const char *const pools[][2])
{
	struct access_conf *c = access_conf_new();
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = c };

	assert_non_null(c);
	c->pools = calloc(n + 1, sizeof(*c->pools));
	assert_non_null(c->pools);
	c->pool_count = n;
	for (size_t i = 0; i < n; i++)
		fill_pool(&c->pools[i], pools[i][0], pools[i][1]);
	assert_int_equal(access_do(a, (struct mono){ US_S }, &cmd), 0);
	access_conf_unref(c);
}

static struct access *make(size_t n, const char *const pools[][2])
{
	struct access *a = access_new(&(struct access_config){ .incarnation = 1 });

	assert_non_null(a);
	use(a, n, pools);
	return a;
}

static struct access *make_one(const char *pool)
{
	const char *const pools[][2] = { { "p", pool } };

	return make(1, pools);
}

static struct acc_lease *take(struct access *a, const char *pool, bool six, const char *name)
{
	struct acc_lease *l = NULL;
	int rc = acc_lease_take(a, acc_pool_find(a, pool), six,
				acc_user_hash(a, name, strlen(name)), 1, &l);

	assert_true(rc == 0 || rc == 1);
	assert_true((rc == 0) == (l != NULL));
	return l;
}

static int exact6(struct access *a, const char *value, uint8_t len, uint64_t key,
		  struct acc_lease **ret)
{
	uint64_t holder = 0;

	return acc_lease_exact(a, true, v6(value), len, 1, key, ret, &holder);
}

static uint64_t used(const struct access *a, size_t i, bool six)
{
	struct access_pool_info info;

	assert_true(access_pool(a, i, &info));
	return six ? info.used6 : info.used4;
}

/* Everybody gets one, no two the same, all of it is given out, then there is no more. */
static void exhaust(const char *pool, bool six, size_t size, bool names)
{
	struct access *a = make_one(pool);
	struct acc_lease **l = calloc(size, sizeof(struct acc_lease *));
	struct access_pool_info info;
	char name[16] = "";

	assert_non_null(l);
	assert_true(access_pool(a, 0, &info));
	assert_int_equal(six ? info.size6 : info.size4, size);
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < size; i++) {
			if (names)
				snprintf(name, sizeof(name), "u%zu", i + round * 7);
			l[i] = take(a, "p", six, name);
			assert_non_null(l[i]);
			for (size_t j = 0; j < i; j++)
				assert_true(l[j]->value != l[i]->value);
		}
		assert_int_equal(used(a, 0, six), size);
		assert_null(take(a, "p", six, "late"));
		assert_null(take(a, "p", six, ""));
		acc_lease_give(a, l[size / 2]);
		l[size / 2] = take(a, "p", six, "late");
		assert_non_null(l[size / 2]);
		for (size_t i = 0; i < size; i++)
			acc_lease_give(a, l[i]);
		assert_int_equal(used(a, 0, six), 0);
	}
	free(l);
	access_free(a);
}

static void all_of_it(void **state)
{
	exhaust("10.0.0.1-10.0.0.1", false, 1, true);
	exhaust("10.0.0.2-10.0.0.254", false, 253, false);
	exhaust("10.0.0.1-10.0.0.3 10.0.0.4-10.0.0.5 10.2.0.0-10.2.1.255", false, 517, true);
	exhaust("255.255.255.250-255.255.255.255", false, 6, true);
	exhaust("0.0.0.1-0.0.0.4", false, 4, false);
	exhaust("2001:db8::/56", true, 256, true);
	exhaust("2001:db8::/64", true, 1, true);
	exhaust("2001:db8::/48 2001:db8:7::/50 /56", true, 256 + 64, false);
	exhaust("2001:db8::/60 2001:db8:0:10::/60", true, 32, true);
}

/* First and last address of a network are like others: who writes the range says what is in it. */
static void ends_of_ranges(void **state)
{
	struct access *a = make_one("10.0.0.0-10.0.0.1 10.0.0.255-10.0.0.255");
	bool seen[256] = { false };

	for (int i = 0; i < 3; i++)
		seen[take(a, "p", false, "")->value & 255] = true;
	assert_true(seen[0] && seen[1] && seen[255]);
	assert_null(take(a, "p", false, ""));
	access_free(a);
}

/* A prefix that is longer than what it is cut into holds nothing. */
static void empty_pools(void **state)
{
	struct access *a = make_one("2001:db8::/60 /56");

	assert_null(take(a, "p", true, "x"));
	assert_null(take(a, "p", false, "x"));
	assert_null(acc_pool_find(a, ""));
	assert_null(acc_pool_find(a, "q"));
	access_free(a);
	a = make_one("2001:db8::/60 2001:db8:1::/56 /56");
	assert_int_equal(take(a, "p", true, "x")->value, v6("2001:db8:1::"));
	assert_null(take(a, "p", true, "x"));
	access_free(a);
	a = make_one("::/0 /64");
	assert_non_null(take(a, "p", true, "x"));
	assert_non_null(take(a, "p", true, "y"));
	access_free(a);
}

/* Prefixes of other lengths that hold or lie in a prefix in use. */
static void nested_prefixes(void **state)
{
	struct access *a = make_one("2001:db8::/60");
	struct acc_lease *big, *l;

	/* A /62 covers four of the sixteen /64 of the pool. */
	assert_int_equal(exact6(a, "2001:db8:0:4::", 62, 21, &big), 0);
	for (int i = 0; i < 12; i++) {
		l = take(a, "p", true, "");
		assert_non_null(l);
		assert_true(l->value < v6("2001:db8:0:4::") || l->value > v6("2001:db8:0:7::"));
	}
	assert_null(take(a, "p", true, ""));
	assert_int_equal(exact6(a, "2001:db8:0:5::", 64, 22, &l), 1);
	/* Larger ones that hold some in use: near, and far in length. */
	assert_int_equal(exact6(a, "2001:db8::", 60, 22, &l), 1);
	assert_int_equal(exact6(a, "2001:db8::", 32, 22, &l), 1);
	assert_int_equal(exact6(a, "2001:db8:1::", 48, 23, &l), 0);
	assert_int_equal(exact6(a, "2001:db8:2::", 47, 24, &l), 0);
	assert_int_equal(exact6(a, "2001:db8::", 47, 24, &l), 1);
	access_free(a);
}

static void around_a_pool(void **state)
{
	struct access *a = make_one("2001:db8::/60");
	struct acc_lease *big, *l[16];

	assert_int_equal(exact6(a, "2001:db8::", 48, 21, &big), 0);
	assert_null(take(a, "p", true, "x"));
	acc_lease_give(a, big);
	for (int i = 0; i < 16; i++) {
		l[i] = take(a, "p", true, "");
		assert_non_null(l[i]);
	}
	assert_int_equal(exact6(a, "2001:db8::", 48, 21, &big), 1);
	for (int i = 0; i < 16; i++)
		acc_lease_give(a, l[i]);
	assert_int_equal(exact6(a, "2001:db8::", 48, 21, &big), 0);
	access_free(a);
}

/* What sessions of one pool gave back, those of another that shares it get. */
static void shared_addresses(void **state)
{
	const char *const pools[][2] = { { "p", "10.0.0.1-10.0.0.10 2001:db8::/60" },
					 { "q", "10.0.0.6-10.0.0.15 2001:db8::/61" } };
	struct access *a = make(2, pools);
	struct acc_lease *l[15];

	for (int i = 0; i < 10; i++)
		l[i] = take(a, "p", false, "");
	for (int i = 10; i < 15; i++) {
		l[i] = take(a, "q", false, "");
		assert_non_null(l[i]);
		for (int j = 0; j < i; j++)
			assert_true(l[j]->value != l[i]->value);
	}
	assert_null(take(a, "q", false, ""));
	for (int i = 0; i < 10; i++)
		acc_lease_give(a, l[i]);
	for (int i = 0; i < 5; i++)
		assert_non_null(take(a, "q", false, "")); /* 6 to 10 */
	assert_null(take(a, "q", false, ""));
	for (int i = 0; i < 8; i++)
		assert_non_null(take(a, "q", true, ""));
	for (int i = 0; i < 8; i++)
		assert_non_null(take(a, "p", true, ""));
	assert_null(take(a, "p", true, ""));
	access_free(a);
}

/* The same when the second pool comes with a new configuration. */
static void shared_later(void **state)
{
	const char *const one[][2] = { { "p", "10.0.0.1-10.0.0.10" } };
	const char *const two[][2] = { { "p", "10.0.0.1-10.0.0.10" },
				       { "q", "10.0.0.1-10.0.0.10" } };
	struct access *a = make(1, one);
	struct acc_lease *l[10];

	for (int i = 0; i < 10; i++)
		l[i] = take(a, "p", false, "");
	for (int i = 0; i < 10; i++)
		acc_lease_give(a, l[i]);
	use(a, 2, two);
	for (int i = 0; i < 10; i++)
		assert_non_null(take(a, i % 2 ? "p" : "q", false, ""));
	assert_null(take(a, "p", false, ""));
	assert_null(take(a, "q", false, ""));
	access_free(a);
}

/* Leases stay with their sessions when pools change. */
static void new_pools(void **state)
{
	const char *const first[][2] = { { "p", "10.0.0.1-10.0.0.4" } };
	const char *const second[][2] = { { "q", "10.0.0.3-10.0.0.6" } };
	struct access *a = make(1, first);
	struct acc_lease *l[4], *n;
	size_t in = 0;

	for (int i = 0; i < 4; i++)
		l[i] = take(a, "p", false, "x");
	acc_lease_give(a, l[0]);
	for (int i = 1; i < 4; i++)
		in += l[i]->value >= v4("10.0.0.3");
	use(a, 1, second);
	assert_null(acc_pool_find(a, "p"));
	assert_int_equal(used(a, 0, false), in);
	for (size_t i = in; i < 4; i++) {
		n = take(a, "q", false, "");
		assert_non_null(n);
		for (int j = 1; j < 4; j++)
			assert_true(n->value != l[j]->value);
	}
	assert_null(take(a, "q", false, ""));
	for (int i = 1; i < 4; i++)
		acc_lease_give(a, l[i]);
	for (size_t i = 0; i < in; i++)
		assert_non_null(take(a, "q", false, ""));
	assert_null(take(a, "q", false, ""));
	access_free(a);
}

/* Prefixes of all lengths, from the pool and by name, against a list that is looked through. */
static void churn(void **state)
{
	static struct {
		struct acc_lease *l;
		uint64_t value;
		uint8_t len;
	} m[400];
	struct access *a = make_one("2001:db8::/58");
	uint64_t base = v6("2001:db8::");
	uint8_t seed[32] = { 9 };
	size_t n = 0, refused = 0;
	struct rng rng;

	rng_init(&rng, seed);
	for (int step = 0; step < 20000; step++) {
		uint8_t len = (uint8_t)(60 + rng_below(&rng, 5));
		uint64_t value = (base + rng_below(&rng, 160)) & ~UINT64_C(0) << (64 - len);
		struct acc_lease *l = NULL;
		uint64_t holder;
		size_t busy = 0;

		if (n == 400 || (n && rng_below(&rng, 100) < 45u - 10u * (step / 2000 % 2))) {
			size_t i = rng_below(&rng, (uint32_t)n);

			acc_lease_give(a, m[i].l);
			m[i] = m[--n];
			continue;
		}
		if (rng_below(&rng, 5)) {
			int rc = acc_lease_take(a, acc_pool_find(a, "p"), true,
						1 + rng_below(&rng, 300), 7, &l);

			for (uint64_t i = 0; rc && i < 64; i++) {
				size_t j = 0;

				while (j < n && (m[j].value ^ (base + i)) >> (64 - m[j].len))
					j++;
				assert_true(j < n); /* none is free */
			}
			refused += rc != 0;
		} else {
			for (size_t i = 0; i < n; i++)
				busy += !((m[i].value ^ value) >>
					  (64 - (m[i].len < len ? m[i].len : len)));
			assert_int_equal(acc_lease_exact(a, true, value, len, 5, 7, &l, &holder),
					 busy != 0);
		}
		if (!l)
			continue;
		for (size_t i = 0; i < n; i++)
			assert_true((m[i].value ^ l->value) >>
				    (64 - (m[i].len < l->len ? m[i].len : l->len)));
		m[n].l = l;
		m[n].value = l->value;
		m[n++].len = l->len;
	}
	assert_true(refused > 100); /* it was full now and then */
	while (n)
		acc_lease_give(a, m[--n].l);
	assert_int_equal(used(a, 0, true), 0);
	access_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it),	 cmocka_unit_test(ends_of_ranges),
		cmocka_unit_test(empty_pools),	 cmocka_unit_test(nested_prefixes),
		cmocka_unit_test(around_a_pool), cmocka_unit_test(shared_addresses),
		cmocka_unit_test(shared_later),	 cmocka_unit_test(new_pools),
		cmocka_unit_test(churn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
