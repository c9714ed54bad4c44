/* SPDX-License-Identifier: MIT
 *
 * Which bucket a control message is counted against (src/dp/admit.c): strangers, those we know, and
 * what a flood of the former leaves to the latter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dp/admit.h"

static struct fwd *world(void **state)
{
	return *state;
}

static int setup(void **state)
{
	static const uint8_t key[16] = "a key for a test";
	struct fwd *f = calloc(1, sizeof(*f));

	f->admit = admit_new(key);
	f->now = 1000000;
	*state = f;
	return f->admit ? 0 : -1;
}

static int teardown(void **state)
{
	admit_free(world(state)->admit);
	free(*state);
	return 0;
}

static struct fwd_outer from(const char *text)
{
	struct fwd_outer o = { .unicast = true };
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	o.family = a.family;
	memcpy(o.remote, a.ip, 16);
	return o;
}

static struct fwd_bucket *ask(struct fwd *f, const char *text)
{
	struct fwd_outer o = from(text);

	return admit_control(f, &o, false);
}

static struct fwd_bucket *say(struct fwd *f, const char *text)
{
	struct fwd_outer o = from(text);

	return admit_control(f, &o, true);
}

static void trust(struct fwd *f, const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	a.port = 1701; /* another port is the same host */
	admit_trust(f->admit, &a);
}

static void whoever_had_a_tunnel_is_known(void **state)
{
	struct fwd *f = world(state);

	assert_ptr_equal(ask(f, "192.0.2.2"), &f->stranger);
	assert_ptr_equal(say(f, "192.0.2.2"), &f->unproven);
	trust(f, "192.0.2.2");
	trust(f, "2001:db8::7");
	assert_ptr_equal(ask(f, "192.0.2.2"), &f->asker);
	assert_ptr_equal(say(f, "192.0.2.2"), &f->control);
	assert_ptr_equal(ask(f, "192.0.2.3"), &f->stranger);
	assert_ptr_equal(ask(f, "2001:db8::7"), &f->asker);
	assert_ptr_equal(say(f, "2001:db8::8"), &f->unproven);
}

static void networks_of_the_configuration(void **state)
{
	struct fwd *f = world(state);
	struct prefix nets[3];

	assert_int_equal(prefix_parse("198.51.100.64/26", &nets[0]), 0);
	assert_int_equal(prefix_parse("2001:db8:5::/56", &nets[1]), 0);
	assert_int_equal(prefix_parse("2001:db8:6::1/128", &nets[2]), 0);
	admit_nets(f->admit, nets, 3);
	assert_ptr_equal(ask(f, "198.51.100.64"), &f->asker);
	assert_ptr_equal(ask(f, "198.51.100.127"), &f->asker);
	assert_ptr_equal(ask(f, "198.51.100.63"), &f->stranger);
	assert_ptr_equal(ask(f, "198.51.100.128"), &f->stranger);
	assert_ptr_equal(ask(f, "2001:db8:5:ff::1"), &f->asker);
	assert_ptr_equal(ask(f, "2001:db8:5:100::1"), &f->stranger);
	assert_ptr_equal(ask(f, "2001:db8:6::1"), &f->asker);
	assert_ptr_equal(ask(f, "2001:db8:6::2"), &f->stranger);
	/* the octets of an IPv4 address are no IPv6 network */
	assert_ptr_equal(ask(f, "c633:6440::"), &f->stranger);
	admit_nets(f->admit, nets + 1, 1);
	assert_ptr_equal(ask(f, "198.51.100.64"), &f->stranger);
	assert_ptr_equal(ask(f, "2001:db8:5:ff::1"), &f->asker);
}

static void more_networks_than_there_is_room_for(void **state)
{
	struct fwd *f = world(state);
	struct prefix nets[ADMIT_NETS + 1];
	char text[40];

	for (unsigned int i = 0; i <= ADMIT_NETS; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 256, i % 256);
		assert_int_equal(prefix_parse(text, &nets[i]), 0);
	}
	admit_nets(f->admit, nets, ADMIT_NETS + 1);
	assert_ptr_equal(ask(f, "10.0.255.9"), &f->asker);
	assert_ptr_equal(ask(f, "10.1.0.9"), &f->stranger);
}

/* X01: one address. */
static void a_source_has_its_share(void **state)
{
	struct fwd *f = world(state);
	int passed = 0;

	for (int i = 0; i < 100000; i++) {
		f->now += 10; /* 100,000 a second */
		passed += ask(f, "192.0.2.66") != NULL;
	}
	assert_in_range(passed, 350, 450); /* 200 at once and 200 in the second */
	/* all addresses of an IPv6 link share one */
	passed = 0;
	for (int i = 0; i < 10000; i++) {
		char text[40];

		snprintf(text, sizeof(text), "2001:db8:66::%x", i);
		passed += ask(f, text) != NULL;
	}
	assert_in_range(passed, 150, 250);
	assert_non_null(ask(f, "2001:db8:67::1"));
	f->now += 2000000;
	assert_non_null(ask(f, "192.0.2.66"));
}

/* Forged sources without end take nothing from those we know. */
static void a_flood_leaves_the_known_alone(void **state)
{
	struct fwd *f = world(state);

	trust(f, "192.0.2.2");
	for (uint32_t i = 0; i < 300000; i++) {
		struct fwd_outer o = { .family = AF_INET, .unicast = true };
		struct fwd_bucket *b;

		f->now += 10;
		memcpy(o.remote, &(uint32_t){ i * 2654435761u }, 4);
		b = admit_control(f, &o, false);
		assert_true(b == NULL || b == &f->stranger);
		if (i % 3000 == 0)
			assert_ptr_equal(ask(f, "192.0.2.2"), &f->asker);
	}
}

/* So many have had tunnels that the first are forgotten; the last are known. */
static void a_table_of_fixed_size(void **state)
{
	struct fwd *f = world(state);
	struct addr a = { .family = AF_INET };
	struct fwd_outer o = { .family = AF_INET, .unicast = true };
	unsigned int known = 0;

	for (uint32_t i = 0; i < 200000; i++) {
		memcpy(a.ip, &i, 4);
		admit_trust(f->admit, &a);
		admit_trust(f->admit, &a);
	}
	for (uint32_t i = 199000; i < 200000; i++) {
		memcpy(o.remote, &i, 4);
		known += admit_control(f, &o, true) == &f->control;
	}
	assert_true(known > 950);
}

/* ---- sessions of L2TPv3 that are not here ---- */

static struct fwd_bucket *stray(struct fwd *f, const char *text, uint32_t session)
{
	struct fwd_outer o = from(text);

	return admit_stray(f, &o, session);
}

static void a_stray_once_a_second(void **state)
{
	struct fwd *f = world(state);

	trust(f, "192.0.2.2");
	assert_ptr_equal(stray(f, "192.0.2.2", 7), &f->stray_known);
	assert_ptr_equal(stray(f, "192.0.2.3", 8), &f->stray);
	assert_null(stray(f, "192.0.2.2", 7));
	f->now += 999999;
	assert_null(stray(f, "192.0.2.3", 8));
	f->now += 1;
	assert_ptr_equal(stray(f, "192.0.2.2", 7), &f->stray_known);
}

/* Ids cannot be chosen so that they meet in one place: 7 and its like did when the place was made
 * of the last bits. Those that meet by chance would show a session twice in a second. */
static void strays_have_places_of_their_own(void **state)
{
	struct fwd *f = world(state);
	unsigned int again = 0;

	for (uint32_t i = 0; i < 10; i++)
		assert_non_null(stray(f, "192.0.2.2", 7 + (i << 12 | i << 28)));
	for (uint32_t i = 0; i < 10; i++)
		again += stray(f, "192.0.2.2", 7 + (i << 12 | i << 28)) != NULL;
	assert_int_equal(again, 0);
}

/* A flood of one source, with any ids, leaves the others their share; so do forged sources to those
 * that are known. */
static void strays_of_one_source(void **state)
{
	struct fwd *f = world(state);
	unsigned int passed[2] = { 0 };

	trust(f, "192.0.2.2");
	for (uint32_t i = 0; i < 100000; i++) {
		f->now += 10;
		passed[0] += stray(f, "192.0.2.66", 1000000 + i) != NULL;
		passed[1] += stray(f, "192.0.2.2", 2000000 + i) != NULL;
	}
	assert_in_range(passed[0], 30, 50); /* 20 at once, 20 in the second */
	assert_in_range(passed[1], 100, 140);
	assert_non_null(stray(f, "192.0.2.67", 5));
	for (uint32_t i = 0; i < 100000; i++) {
		struct fwd_outer o = { .family = AF_INET, .unicast = true };

		memcpy(o.remote, &(uint32_t){ i * 2654435761u }, 4);
		assert_ptr_not_equal(admit_stray(f, &o, 3000000 + i), &f->stray_known);
	}
	f->now += 1000000;
	assert_ptr_equal(stray(f, "192.0.2.2", 6), &f->stray_known);
}

static void sessions_that_the_kernel_has(void **state)
{
	struct fwd *f = world(state);
	unsigned int known = 0;

	assert_false(admit_is_elsewhere(f->admit, 1));
	for (uint32_t i = 1; i <= 50000; i++) {
		admit_elsewhere(f->admit, i << 8, true);
		admit_elsewhere(f->admit, i << 8, true);
	}
	for (uint32_t i = 1; i <= 50000; i++)
		known += admit_is_elsewhere(f->admit, i << 8);
	assert_in_range(known, 49990, 50000); /* a set may be full */
	assert_false(admit_is_elsewhere(f->admit, 255));
	for (uint32_t i = 1; i <= 50000; i++) {
		admit_elsewhere(f->admit, i << 8, false);
		assert_false(admit_is_elsewhere(f->admit, i << 8));
	}
	admit_elsewhere(f->admit, 9, false); /* was none */
	assert_false(admit_is_elsewhere(f->admit, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whoever_had_a_tunnel_is_known, setup, teardown),
		cmocka_unit_test_setup_teardown(networks_of_the_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(more_networks_than_there_is_room_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_source_has_its_share, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_leaves_the_known_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_table_of_fixed_size, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stray_once_a_second, setup, teardown),
		cmocka_unit_test_setup_teardown(strays_have_places_of_their_own, setup, teardown),
		cmocka_unit_test_setup_teardown(strays_of_one_source, setup, teardown),
		cmocka_unit_test_setup_teardown(sessions_that_the_kernel_has, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
