/* SPDX-License-Identifier: MIT
 *
 * A whole LNS and a whole client with each allocation of a session's life failing in turn: nothing
 * crashes or leaks, and in the end the session is up all the same. Also: what a session costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "failmalloc.h"
#include "lab.h"

#include <errno.h>
#include <stdlib.h>

static const struct lab_options options = {
	.dials = 1,
	.max_per_user = 2,
	.interim_us = 20 * US_S,
	.users = "u0 * secret 10.1.0.9 2001:db8:77::/56 10.9.0.0/24\n",
};

static bool settled(struct lab *l)
{
	uint64_t s = lab_only(&l->lns), c = lab_only(&l->client);

	return s && c && lab_is_up(&l->lns, s) && lab_is_up(&l->client, c);
}

static void check_lines(const struct lab_node *n)
{
	unsigned int starts = 0, stops = 0;

	for (unsigned int i = 0; i < n->line_count; i++) {
		starts += strstr(n->lines[i], "\"event\":\"start\"") != NULL;
		stops += strstr(n->lines[i], "\"event\":\"stop\"") != NULL;
	}
	assert_int_equal(starts, stops);
}

static void each_allocation(void **state)
{
	long last = 0;

	(void)state;
	for (long n = 1;; n++) {
		struct lab *l = lab_new(&options);
		bool failed;

		assert_non_null(l);
		failmalloc_arm(n);
		lab_run(l, 40 * US_S);
		(void)lab_do(l, &l->lns,
			     (struct access_cmd){ .kind = ACCESS_CMD_TERMINATE,
						  .key = lab_only(&l->lns) });
		lab_run(l, 10 * US_S);
		failed = failmalloc_disarm();
		for (int i = 0; i < 30 && !settled(l); i++)
			lab_run(l, 10 * US_S);
		assert_true(settled(l));
		(void)lab_do(l, &l->client, (struct access_cmd){ .kind = ACCESS_CMD_SHUTDOWN });
		(void)lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_SHUTDOWN });
		lab_run(l, 60 * US_S);
		assert_int_equal(lab_rows(&l->lns) + lab_rows(&l->client), 0);
		check_lines(&l->lns);
		check_lines(&l->client);
		lab_free(l);
		last = n;
		if (!failed)
			break;
	}
	assert_true(last > 50);
}

/* From some allocation on all fail, for a while. */
static void long_shortage(void **state)
{
	(void)state;
	for (long n = 1; n < 400; n += 7) {
		struct lab *l = lab_new(&options);

		assert_non_null(l);
		failmalloc_arm_from(n);
		lab_run(l, 45 * US_S);
		failmalloc_disarm();
		for (int i = 0; i < 30 && !settled(l); i++)
			lab_run(l, 10 * US_S);
		assert_true(settled(l));
		lab_free(l);
	}
}

static void configuration(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct lab *l = lab_new(&options);
		struct lab_options o = { .dials = 3 };
		struct access_conf *c = lab_conf_client(&o), *s = lab_conf_lns(&o);
		int rc;

		assert_non_null(l);
		assert_non_null(c);
		assert_non_null(s);
		lab_run(l, 10 * US_S);
		failmalloc_arm(n);
		rc = access_do(l->client.a, l->now,
			       &(struct access_cmd){ .kind = ACCESS_CMD_CONF, .conf = c });
		if (rc == 0)
			rc = access_do(l->lns.a, l->now,
				       &(struct access_cmd){ .kind = ACCESS_CMD_CONF, .conf = s });
		if (!failmalloc_disarm()) {
			assert_int_equal(rc, 0);
			n = -1;
		} else {
			assert_int_equal(rc, -ENOMEM);
		}
		lab_run(l, 10 * US_S);
		assert_true(lab_is_up(&l->lns, access_session_next(l->lns.a, 0)));
		access_conf_unref(c);
		access_conf_unref(s);
		lab_free(l);
		if (n < 0)
			break;
	}
}

static void creation(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct access *a;

		failmalloc_arm(n);
		a = access_new(&(struct access_config){ .incarnation = 1 });
		if (!failmalloc_disarm()) {
			assert_non_null(a);
			access_free(a);
			break;
		}
		assert_null(a);
	}
	access_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation),
		cmocka_unit_test(long_shortage),
		cmocka_unit_test(configuration),
		cmocka_unit_test(creation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
