/* SPDX-License-Identifier: MIT
 *
 * Trains of datagrams: who joins whom, and that nobody overtakes what it must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/train.h"

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct trains));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static struct path path_to(uint8_t host, uint16_t port)
{
	struct path p = { .via = 1 };

	p.local.family = p.remote.family = AF_INET;
	p.local.ip[0] = p.remote.ip[0] = 10;
	p.remote.ip[3] = host;
	p.remote.port = port;
	return p;
}

/* A datagram of `len` octets, RFC 2661 3.1; its last two octets are `number`. */
static void add(struct trains *b, const struct path *p, bool control, uint16_t tunnel,
		uint16_t session, size_t len, uint16_t number, unsigned int most)
{
	uint8_t *at = trains_room(b, 1700);
	size_t n = 2;

	assert_non_null(at);
	at += 64; /* the engine leaves room for headers */
	memset(at, 0, len);
	at[0] = control ? 0xc8 : 0;
	at[1] = 2;
	if (control)
		n = 4;
	at[n] = (uint8_t)(tunnel >> 8);
	at[n + 1] = (uint8_t)tunnel;
	at[n + 2] = (uint8_t)(session >> 8);
	at[n + 3] = (uint8_t)session;
	at[len - 2] = (uint8_t)(number >> 8);
	at[len - 1] = (uint8_t)number;
	trains_add(b, p, at, len, most);
}

static uint16_t number_of(const struct trains *b, unsigned int packet)
{
	const uint8_t *end = b->arena + b->packet[packet].at + b->packet[packet].len;

	return (uint16_t)(end[-2] << 8 | end[-1]);
}

static void joins_by_path_and_length(void **state)
{
	struct trains *b = *state;
	struct path one = path_to(1, 1701), two = path_to(1, 1702);

	add(b, &one, false, 5, 1, 30, 0, 64);
	add(b, &two, false, 5, 2, 30, 1, 64);
	add(b, &one, false, 5, 3, 30, 2, 64);
	add(b, &one, false, 5, 4, 31, 3, 64);
	add(b, &two, false, 5, 5, 30, 4, 64);
	assert_int_equal(b->count, 3);
	assert_int_equal(b->train[0].count, 2);
	assert_int_equal(b->train[0].len, 30);
	assert_int_equal(number_of(b, b->train[0].first), 0);
	assert_int_equal(number_of(b, b->packet[b->train[0].first].next), 2);
	assert_int_equal(b->train[1].count, 2);
	assert_int_equal(b->train[1].path.remote.port, 1702);
	assert_int_equal(b->train[2].count, 1);
	trains_clear(b);
	assert_int_equal(b->count, 0);
	assert_ptr_equal(trains_room(b, 1700), b->arena);
}

static void keeps_the_order_of_a_session(void **state)
{
	struct trains *b = *state;
	struct path p = path_to(1, 1701);

	add(b, &p, false, 5, 1, 30, 0, 64);
	add(b, &p, false, 5, 1, 40, 1, 64);
	add(b, &p, false, 5, 1, 30, 2, 64); /* not before the one of 40 */
	assert_int_equal(b->count, 3);
	add(b, &p, false, 5, 2, 40, 3, 64); /* another session may pass the last train */
	assert_int_equal(b->count, 3);
	assert_int_equal(b->train[1].count, 2);
}

static void keeps_the_order_of_control_messages(void **state)
{
	struct trains *b = *state;
	struct path p = path_to(1, 1701);

	add(b, &p, true, 5, 1, 28, 0, 64);
	add(b, &p, true, 5, 0, 12, 1, 64);
	add(b, &p, true, 5, 2, 28, 2, 64);
	assert_int_equal(b->count, 3);
	add(b, &p, true, 6, 3, 28, 3, 64); /* another tunnel on the same ports */
	assert_int_equal(b->count, 3);
	add(b, &p, false, 5, 2, 28, 4,
	    64); /* data stays behind the control message of its session */
	assert_int_equal(b->count, 3);
	assert_int_equal(b->train[2].count, 3);
}

static void one_that_cannot_be_read_overtakes_nothing(void **state)
{
	struct trains *b = *state;
	struct path p = path_to(1, 1701);
	uint8_t *at;

	add(b, &p, false, 5, 1, 30, 0, 64);
	add(b, &p, false, 5, 2, 40, 1, 64);
	at = trains_room(b, 1700);
	memset(at, 0, 30);
	at[1] = 3; /* L2TPv3 */
	trains_add(b, &p, at, 30, 64);
	assert_int_equal(b->count, 3);
	add(b, &p, false, 5, 3, 40, 2, 64); /* nor is it overtaken */
	assert_int_equal(b->count, 4);
}

static void limits(void **state)
{
	struct trains *b = *state;
	struct path p = path_to(1, 1701);

	for (uint16_t i = 0; i < 65; i++)
		add(b, &p, false, 5, (uint16_t)(i + 1), 30, i, 64);
	assert_int_equal(b->count, 2);
	assert_int_equal(b->train[0].count, 64);
	trains_clear(b);
	add(b, &p, false, 5, 1, 30, 0, 1); /* the kernel cannot cut */
	add(b, &p, false, 5, 2, 30, 1, 1);
	assert_int_equal(b->count, 2);
	trains_clear(b);
	add(b, &p, false, 5, 1, TRAIN_LONGEST + 1, 0, 64);
	add(b, &p, false, 5, 2, TRAIN_LONGEST + 1, 1, 64);
	assert_int_equal(b->count, 2);
	trains_clear(b);
	for (uint16_t i = 0; i < TRAIN_PACKETS; i++)
		add(b, &p, false, 5, (uint16_t)(i + 1), 30, i, 64);
	assert_null(trains_room(b, 1700));
	trains_clear(b);
	while (trains_room(b, 1700))
		add(b, &p, false, 5, 1, 1500, 0, 64);
	assert_true(b->used <= TRAIN_ARENA && b->packets > 32);
}

/* Whatever comes: every datagram leaves once, and those of one session, and the control messages of
 * one tunnel, leave in the order they came. */
static void any_order(void **state)
{
	static const uint8_t seed[RNG_SEED] = { 1 };
	struct trains *b = *state;
	struct rng r;

	rng_init(&r, seed);
	for (int round = 0; round < 200; round++) {
		int last[2][3][8], seen = 0, control[2][3];

		memset(last, -1, sizeof(last));
		memset(control, -1, sizeof(control));
		trains_clear(b);
		for (uint16_t i = 0; i < TRAIN_PACKETS; i++) {
			uint32_t v = rng_u32(&r);
			struct path p = path_to(1, v & 1 ? 1701 : 1702);
			bool c = (v >> 1 & 3) == 0;
			uint16_t tunnel = (uint16_t)(v >> 3 & 1) + 1, session = v >> 4 & 7;

			add(b, &p, c, tunnel, session, 20 + (v >> 7 & 3), i, 64);
		}
		for (unsigned int t = 0; t < b->count; t++) {
			unsigned int at = b->train[t].first;

			for (unsigned int k = 0; k < b->train[t].count; k++) {
				const uint8_t *m = b->arena + b->packet[at].at;
				int way = b->train[t].path.remote.port & 1, n = number_of(b, at);
				bool c = m[0] & 0x80;
				int tunnel = m[c ? 5 : 3], session = m[c ? 7 : 5];

				assert_int_equal(b->packet[at].len, b->train[t].len);
				if (c) {
					assert_true(n > control[way][tunnel]);
					control[way][tunnel] = n;
				}
				if (session) {
					assert_true(n > last[way][tunnel][session]);
					last[way][tunnel][session] = n;
				}
				seen++;
				at = b->packet[at].next;
			}
		}
		assert_int_equal(seen, TRAIN_PACKETS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(joins_by_path_and_length, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_order_of_a_session, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_order_of_control_messages, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_read_overtakes_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
		cmocka_unit_test_setup_teardown(any_order, setup, teardown),
	};

	return cmocka_run_group_tests_name("base_train", tests, NULL, NULL);
}
