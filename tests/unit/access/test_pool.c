/* SPDX-License-Identifier: MIT
 *
 * Leases of addresses (src/access/pool.c): exhaustion, the same address for the same user, the
 * longest unused one for others, and a random life held against a model that is too simple to be
 * wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "access/internal.h"
#include "failmalloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct fixture {
	struct access *a;
	struct access_conf *conf;
};

static struct access_conf *conf_of(uint32_t first, uint32_t last, const char *prefix, uint8_t len6)
{
	struct access_conf *c = access_conf_new();

	assert_non_null(c);
	c->pools = calloc(1, sizeof(*c->pools));
	assert_non_null(c->pools);
	c->pool_count = 1;
	memcpy(c->pools->name, "p", 2);
	c->pools->len6 = len6;
	if (last) {
		c->pools->ranges = calloc(1, sizeof(*c->pools->ranges));
		assert_non_null(c->pools->ranges);
		c->pools->range_count = 1;
		c->pools->ranges[0] = (struct conf_range4){ first, last };
	}
	if (prefix) {
		c->pools->prefixes6 = calloc(1, sizeof(*c->pools->prefixes6));
		assert_non_null(c->pools->prefixes6);
		c->pools->prefix6_count = 1;
		assert_int_equal(prefix_parse(prefix, c->pools->prefixes6), 0);
	}
	return c;
}

static void use(struct fixture *f, struct access_conf *c)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = c };

	if (!f->a) {
		f->a = access_new(&(struct access_config){ .incarnation = 1 });
		assert_non_null(f->a);
	}
	assert_int_equal(access_do(f->a, (struct mono){ 0 }, &cmd), 0);
	access_conf_unref(f->conf);
	f->conf = c;
}

static void end(struct fixture *f)
{
	access_free(f->a);
	access_conf_unref(f->conf);
}

static struct acc_lease *take(struct fixture *f, bool six, const char *user, uint64_t key)
{
	struct acc_lease *l = NULL;
	int rc = acc_lease_take(f->a, acc_pool_find(f->a, "p"), six,
				acc_user_hash(f->a, user, strlen(user)), key, &l);

	assert_true(rc == 0 || rc == 1);
	return rc ? NULL : l;
}

static void exhaustion(void **state)
{
	struct fixture f = { NULL };
	struct acc_lease *l[5];
	struct access_pool_info i;
	char name[16];

	(void)state;
	use(&f, conf_of(0x0a000001, 0x0a000004, NULL, 64));
	for (uint64_t k = 0; k < 4; k++) {
		snprintf(name, sizeof(name), "user%u", (unsigned int)k);
		l[k] = take(&f, false, name, k + 1);
		assert_non_null(l[k]);
		assert_in_range(l[k]->value, 0x0a000001, 0x0a000004);
		for (uint64_t j = 0; j < k; j++)
			assert_true(l[j]->value != l[k]->value);
	}
	assert_null(take(&f, false, "one more", 9));
	assert_null(take(&f, true, "no prefixes at all", 9));
	assert_true(access_pool(f.a, 0, &i));
	assert_int_equal(i.size4, 4);
	assert_int_equal(i.used4, 4);
	assert_int_equal(i.size6, 0);
	assert_false(access_pool(f.a, 1, &i));
	acc_lease_give(f.a, l[2]);
	l[4] = take(&f, false, "one more", 9);
	assert_non_null(l[4]);
	assert_null(take(&f, false, "and one more", 10));
	end(&f);
}

static void the_same_again(void **state)
{
	struct fixture f = { NULL };
	struct acc_lease *l, *others[8];
	uint64_t was, first;

	(void)state;
	use(&f, conf_of(0x0a000001, 0x0a000008, "2001:db8::/60", 64));
	l = take(&f, false, "ada", 1);
	was = l->value;
	acc_lease_give(f.a, l);
	/* seven others do not need it */
	for (uint64_t k = 0; k < 7; k++) {
		others[k] = take(&f, false, (char[]){ 'a', (char)('a' + k), 0 }, 10 + k);
		assert_true(others[k]->value != was);
	}
	l = take(&f, false, "ada", 2);
	assert_int_equal(l->value, was);
	acc_lease_give(f.a, l);
	/* the eighth does */
	l = take(&f, false, "needs it", 3);
	assert_int_equal(l->value, was);
	/* the one unused longest is taken first */
	acc_lease_give(f.a, others[3]);
	acc_lease_give(f.a, others[1]);
	first = others[3]->value;
	assert_int_equal(take(&f, false, "somebody", 4)->value, first);
	/* prefixes: sixteen, each a /64 */
	l = take(&f, true, "ada", 5);
	assert_int_equal(l->len, 64);
	was = l->value;
	assert_int_equal(was >> 4, UINT64_C(0x020010db800000000) >> 4);
	acc_lease_give(f.a, l);
	assert_int_equal(take(&f, true, "ada", 6)->value, was);
	end(&f);
}

static void first_choice_by_name(void **state)
{
	struct fixture a = { NULL }, b = { NULL };

	(void)state;
	use(&a, conf_of(0x0a000000, 0x0affffff, NULL, 64));
	use(&b, conf_of(0x0a000000, 0x0affffff, NULL, 64));
	assert_int_equal(take(&a, false, "grace", 1)->value, take(&b, false, "grace", 7)->value);
	assert_true(take(&a, false, "edsger", 2)->value != take(&b, false, "alan", 8)->value);
	end(&a);
	end(&b);
}

static void fixed_ones(void **state)
{
	struct fixture f = { NULL };
	struct acc_lease *l, *m, *net;
	uint64_t holder = 0;

	(void)state;
	use(&f, conf_of(0x0a000001, 0x0a000002, "2001:db8::/56", 64));
	assert_int_equal(acc_lease_exact(f.a, false, 0x0a000001, 32, 1, 77, &l, &holder), 0);
	assert_int_equal(acc_lease_exact(f.a, false, 0x0a000001, 32, 1, 78, &m, &holder), 1);
	assert_int_equal(holder, 77);
	m = take(&f, false, "x", 2);
	assert_int_equal(m->value, 0x0a000002); /* the fixed one lies in the pool and is used */
	assert_null(take(&f, false, "y", 3));
	/* outside every pool: not kept */
	assert_int_equal(acc_lease_exact(f.a, false, 0x0b000001, 32, 1, 79, &m, &holder), 0);
	acc_lease_give(f.a, m);
	assert_int_equal(acc_lease_exact(f.a, false, 0x0b000001, 32, 1, 80, &m, &holder), 0);
	/* a network of a user that holds a /64 of the pool */
	net = take(&f, true, "six", 4);
	assert_int_equal(
		acc_lease_exact(f.a, true, UINT64_C(0x20010db800000000), 56, 1, 5, &m, &holder), 1);
	assert_int_equal(holder, 4);
	assert_int_equal(
		acc_lease_exact(f.a, true, UINT64_C(0x20010db800000000), 40, 1, 5, &m, &holder), 1);
	acc_lease_give(f.a, net);
	assert_int_equal(
		acc_lease_exact(f.a, true, UINT64_C(0x20010db800000000), 56, 1, 5, &m, &holder), 0);
	assert_null(take(&f, true, "six", 6)); /* the whole pool is that user's */
	end(&f);
}

static void our_own_address(void **state)
{
	struct fixture f = { NULL };
	struct access_conf *c = conf_of(0x0a000001, 0x0a000002, NULL, 64);
	struct conf_profile *p = calloc(1, sizeof(*p));
	struct acc_lease *l;
	uint64_t holder;

	(void)state;
	assert_non_null(p);
	p->refs = 1;
	p->local4 = (struct addr){ .family = AF_INET, .ip = { 10, 0, 0, 1 } };
	c->profiles = calloc(1, sizeof(struct conf_profile *));
	assert_non_null(c->profiles);
	c->profiles[0] = p;
	c->profile_count = 1;
	use(&f, c);
	assert_int_equal(take(&f, false, "x", 1)->value, 0x0a000002);
	assert_null(take(&f, false, "y", 2));
	assert_int_equal(acc_lease_exact(f.a, false, 0x0a000001, 32, 0, 3, &l, &holder), 1);
	end(&f);
}

static void pools_that_overlap(void **state)
{
	struct fixture f = { NULL };
	struct access_conf *c = conf_of(0x0a000001, 0x0a000004, NULL, 64);
	struct acc_lease *l[5];
	struct acc_pool *q;

	(void)state;
	c->pools = reallocarray(c->pools, 2, sizeof(*c->pools));
	assert_non_null(c->pools);
	c->pools[1] = (struct conf_pool){ .name = "q", .len6 = 64, .range_count = 1 };
	c->pools[1].ranges = calloc(1, sizeof(struct conf_range4));
	assert_non_null(c->pools[1].ranges);
	c->pools[1].ranges[0] = (struct conf_range4){ 0x0a000003, 0x0a000004 };
	c->pool_count = 2;
	use(&f, c);
	q = acc_pool_find(f.a, "q");
	assert_int_equal(acc_lease_take(f.a, q, false, 5, 1, &l[0]), 0);
	assert_int_equal(acc_lease_take(f.a, q, false, 6, 2, &l[1]), 0);
	assert_int_equal(acc_lease_take(f.a, q, false, 7, 3, &l[2]), 1);
	l[2] = take(&f, false, "a", 4);
	l[3] = take(&f, false, "b", 5);
	assert_non_null(l[2]);
	assert_non_null(l[3]);
	assert_in_range(l[2]->value, 0x0a000001, 0x0a000002);
	assert_null(take(&f, false, "c", 6));
	acc_lease_give(f.a, l[2]);
	assert_non_null(take(&f, false, "c", 7));
	assert_null(acc_pool_find(f.a, ""));
	assert_null(acc_pool_find(f.a, "r"));
	end(&f);
}

static void another_configuration(void **state)
{
	struct fixture f = { NULL };
	struct acc_lease *kept, *used;
	struct access_pool_info i;
	uint64_t was;

	(void)state;
	use(&f, conf_of(0x0a000001, 0x0a000064, NULL, 64));
	used = take(&f, false, "used", 1);
	kept = take(&f, false, "kept", 2);
	was = kept->value;
	acc_lease_give(f.a, kept);
	/* the same pool again: all stays */
	use(&f, conf_of(0x0a000001, 0x0a000064, NULL, 64));
	assert_true(access_pool(f.a, 0, &i));
	assert_int_equal(i.used4, 1);
	assert_int_equal(take(&f, false, "kept", 3)->value, was);
	/* another range: sessions keep what they have until they end */
	use(&f, conf_of(0x0a010001, 0x0a010002, NULL, 64));
	assert_true(access_pool(f.a, 0, &i));
	assert_int_equal(i.used4, 0);
	acc_lease_give(f.a, used);
	assert_int_equal(take(&f, false, "used", 4)->value >> 16, 0x0a01);
	end(&f);
}

/* ---- a random life against a model ---- */

#define SIZE  97
#define USERS 150
#define STEPS 20000

struct model {
	unsigned int holder[SIZE]; /* user plus one */
	struct acc_lease *lease[USERS];
	uint64_t last[USERS]; /* 0 = never */
};

static void step(struct fixture *f, struct model *m, struct rng *r, uint64_t key)
{
	unsigned int u = rng_below(r, USERS), used = 0;
	char name[16];
	struct acc_lease *l;
	uint64_t i;

	if (m->lease[u]) {
		i = m->lease[u]->value - 0x0a000000;
		assert_int_equal(m->holder[i], u + 1);
		m->holder[i] = 0;
		acc_lease_give(f->a, m->lease[u]);
		m->lease[u] = NULL;
		return;
	}
	for (i = 0; i < SIZE; i++)
		used += m->holder[i] != 0;
	snprintf(name, sizeof(name), "u%u", u);
	l = take(f, false, name, key);
	assert_int_equal(l != NULL, used < SIZE);
	if (!l)
		return;
	i = l->value - 0x0a000000;
	assert_true(i < SIZE);
	assert_int_equal(m->holder[i], 0);
	/* nobody has had it since: then it is the same one */
	if (m->last[u] && m->holder[m->last[u] - 1] == 0) {
		bool others = false;

		for (unsigned int o = 0; o < USERS; o++)
			others |= o != u && m->last[o] == m->last[u];
		if (!others)
			assert_int_equal(i + 1, m->last[u]);
	}
	for (unsigned int o = 0; o < USERS; o++)
		m->last[o] = m->last[o] == i + 1 ? 0 : m->last[o];
	m->holder[i] = u + 1;
	m->lease[u] = l;
	m->last[u] = i + 1;
}

static void random_life(void **state)
{
	struct fixture f = { NULL };
	struct model m = { { 0 } };
	struct rng r;

	(void)state;
	rng_init(&r, (const uint8_t[32]){ 42 });
	use(&f, conf_of(0x0a000000, 0x0a000000 + SIZE - 1, NULL, 64));
	for (uint64_t k = 1; k <= STEPS; k++) {
		step(&f, &m, &r, k);
		if (k % 5000 == 0)
			use(&f, conf_of(0x0a000000, 0x0a000000 + SIZE - 1, NULL, 64));
	}
	end(&f);
}

/* A large pool, nearly used up, with others coming and going: each search must stay short. */
static void nearly_full(void **state)
{
	enum { N = 20000 };
	struct fixture f = { NULL };
	struct acc_lease **v = calloc(N, sizeof(struct acc_lease *));
	struct rng r;

	(void)state;
	assert_non_null(v);
	rng_init(&r, (const uint8_t[32]){ 1 });
	use(&f, conf_of(0x0a000000, 0x0a000000 + N - 1, NULL, 64));
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(
			acc_lease_take(f.a, acc_pool_find(f.a, "p"), false, 0, i + 1, &v[i]), 0);
	for (int i = 0; i < 100000; i++) {
		uint32_t k = rng_below(&r, N);

		acc_lease_give(f.a, v[k]);
		assert_int_equal(
			acc_lease_take(f.a, acc_pool_find(f.a, "p"), false, 0, k + 1, &v[k]), 0);
	}
	free(v);
	end(&f);
}

/* Memory follows the leases, not the pool, and not everybody who ever came. */
static void memory(void **state)
{
	struct fixture f = { NULL };
	struct acc_lease *l;
	char name[16];

	(void)state;
	use(&f, conf_of(0x0a000000, 0x0affffff, "2001::/16", 64));
	for (unsigned int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		l = take(&f, i & 1, name, 1);
		assert_non_null(l);
		acc_lease_give(f.a, l);
	}
	assert_true(f.a->leases.memory < 1000 * sizeof(*l));
	end(&f);
}

/* Thousands of sessions under one name. */
static void one_name(void **state)
{
	enum { N = 5000 };
	struct fixture f = { NULL };
	struct acc_lease **v = calloc(N, sizeof(struct acc_lease *));

	(void)state;
	assert_non_null(v);
	use(&f, conf_of(0x0a000000, 0x0a00ffff, NULL, 64));
	for (int round = 0; round < 4; round++) {
		for (uint64_t i = 0; i < N; i++) {
			v[i] = take(&f, false, "guest", i + 1);
			assert_non_null(v[i]);
		}
		for (uint64_t i = 0; i < N; i++)
			acc_lease_give(f.a, v[i]);
	}
	free(v);
	end(&f);
}

static void no_memory(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct fixture f = { NULL };
		struct acc_lease *l = NULL;
		struct access_pool_info i;
		uint64_t holder;
		int rc;

		use(&f, conf_of(0x0a000001, 0x0a000004, NULL, 64));
		failmalloc_arm(n);
		rc = acc_lease_take(f.a, acc_pool_find(f.a, "p"), false, 3, 1, &l);
		if (rc == 0)
			rc = acc_lease_exact(f.a, false, 0x0b000000, 32, 3, 1, &l, &holder);
		if (!failmalloc_disarm()) {
			assert_int_equal(rc, 0);
			end(&f);
			break;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_true(access_pool(f.a, 0, &i));
		assert_true(i.used4 <= 1);
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exhaustion),
		cmocka_unit_test(the_same_again),
		cmocka_unit_test(first_choice_by_name),
		cmocka_unit_test(fixed_ones),
		cmocka_unit_test(our_own_address),
		cmocka_unit_test(pools_that_overlap),
		cmocka_unit_test(another_configuration),
		cmocka_unit_test(random_life),
		cmocka_unit_test(nearly_full),
		cmocka_unit_test(memory),
		cmocka_unit_test(one_name),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
