/* SPDX-License-Identifier: MIT
 *
 * What strangers leave in the flight recorder (badinput X09): a flood of them must not wash out
 * what is recorded of peers that we know, and their requests are recorded whole where there is
 * room.
 */
#include <string.h>
#include "peer.h"
#include "base/trace.h"

#define RECORDS 4096u
#define RAW	(1u << 20)

static struct peer p;
static struct trace *recorder;
static void *memory;

static int setup(void **state)
{
	struct l2tp_config config = { .seed = { 9 } };

	(void)state;
	memory = calloc(1, trace_size(RECORDS, RAW));
	assert_non_null(memory);
	recorder = trace_open(memory, RECORDS, RAW);
	assert_non_null(recorder);
	peer_start(&p, NULL);
	l2tp_free(p.l);
	config.trace = recorder;
	p.l = l2tp_new(&config);
	assert_non_null(p.l);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peer_stop(&p);
	trace_close(recorder);
	free(memory);
	return 0;
}

/* How many records of this kind there are; the last of them, with its octets. */
static uint32_t records(enum trace_kind kind, struct trace_record *ret, uint8_t *raw)
{
	uint64_t pos = 0, lost;
	uint32_t n = 0;
	uint8_t octets[2048];
	struct trace_record r;

	while (trace_read(recorder, &pos, &r, octets, sizeof(octets), &lost)) {
		if (kind != TRACE_NONE && r.kind != kind)
			continue;
		n++;
		if (ret)
			*ret = r;
		if (raw)
			memcpy(raw, octets, r.raw_len);
	}
	return n;
}

static void from(uint32_t n)
{
	p.path.remote.ip[1] = (uint8_t)(99 + (n >> 16));
	p.path.remote.ip[2] = (uint8_t)(n >> 8);
	p.path.remote.ip[3] = (uint8_t)n;
}

/* Requests from forged addresses, a thousand a second; every other one is broken. */
static void flood(uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds * 1000; i++) {
		struct l2tp_build *b;

		peer_clear(&p);
		from(i);
		b = peer_hello_words(&p, L2TP_SCCRQ, (uint16_t)(i + 1));
		if (i & 1)
			b->c.buf[26] = 2; /* protocol version */
		peer_send_as(&p, 0, 0, 0, 0);
		p.now.us += US_MS;
	}
}

static void test_flood_leaves_room(void **state)
{
	struct addr known;
	uint16_t id, ns, nr;
	uint32_t before, after;
	struct trace_record r;

	(void)state;
	known = p.path.remote;
	peer_open(&p);
	before = records(TRACE_NONE, NULL, NULL);
	assert_int_equal(records(TRACE_L2TP_TUNNEL_UP, NULL, NULL), 1);
	id = p.engine_tid;
	ns = p.ns;
	nr = p.nr;
	flood(30);
	/* 64 at once and 15 in the time, a few records each. */
	after = records(TRACE_NONE, NULL, NULL);
	assert_true(after - before > 100);
	assert_true(after - before < 1500);
	assert_int_equal(records(TRACE_L2TP_TUNNEL_UP, NULL, NULL), 1);
	assert_true(records(TRACE_L2TP_STRANGERS, &r, NULL) > 0);
	assert_true(r.v[0] > 100); /* so many were left out */
	/* The known peer's tunnel is recorded as ever. */
	p.path.remote = known;
	before = records(TRACE_L2TP_IN, NULL, NULL);
	peer_begin(&p, L2TP_HELLO);
	peer_send_as(&p, id, 0, ns, nr);
	assert_int_equal(records(TRACE_L2TP_IN, NULL, NULL), before + 1);
}

/* Whom the owner trusts is recorded from its request on, flood or not. */
static void test_trusted_is_recorded(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_ACCEPT, .trusted = true };
	uint8_t raw[2048];
	struct trace_record r;
	struct l2tp_build *b;
	uint32_t before;
	size_t len;

	(void)state;
	flood(5);
	before = records(TRACE_L2TP_IN, NULL, NULL);
	peer_clear(&p);
	p.answer = false;
	p.path.remote.ip[1] = 1;
	b = peer_hello_words(&p, L2TP_SCCRQ, 4711);
	len = b->c.len;
	peer_send_as(&p, 0, 0, 0, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_ASK], 1);
	assert_int_equal(records(TRACE_L2TP_IN, NULL, NULL), before);
	cmd.tunnel = p.tunnel;
	cmd.profile = p.profile;
	assert_int_equal(peer_do(&p, &cmd), 0);
	assert_int_equal(records(TRACE_L2TP_IN, &r, raw), before + 1);
	assert_int_equal(r.v[0], L2TP_SCCRQ);
	assert_int_equal(r.raw_len, len);
	/* The octets of the request, with a header that fits them. */
	assert_memory_equal(raw, b->c.buf, len);
	assert_int_equal(records(TRACE_L2TP_OUT, &r, NULL) > 0 && r.v[0] == L2TP_SCCRP, true);
}

/* One stranger with a real address sends on and on in its half-open tunnel. */
static void test_words_of_one(void **state)
{
	uint32_t before;

	(void)state;
	peer_hello_words(&p, L2TP_SCCRQ, 4711);
	peer_send_as(&p, 0, 0, 0, 0);
	assert_int_equal(peer_count(&p, L2TP_SCCRP), 1);
	before = records(TRACE_NONE, NULL, NULL);
	for (uint32_t i = 0; i < 500; i++) {
		peer_clear(&p);
		peer_begin(&p, L2TP_HELLO);
		peer_send_as(&p, p.engine_tid, 0, 2, 0); /* ahead of its turn */
	}
	assert_true(records(TRACE_NONE, NULL, NULL) - before <= 40);
	/* It comes up, and is recorded again. */
	peer_clear(&p);
	p.ns = 1;
	peer_begin(&p, L2TP_SCCCN);
	peer_send(&p, 0);
	assert_int_equal(p.events[L2TP_EV_TUNNEL_UP], 1);
	assert_int_equal(records(TRACE_L2TP_TUNNEL_UP, NULL, NULL), 1);
}

/* A reason that is too long ends with a whole word. */
static void test_reasons_end_with_a_word(void **state)
{
	static const struct {
		size_t room;
		const char *text, *cut;
	} rows[] = {
		{ 27, "no block here for this peer", "no block here for this peer" },
		{ 26, "no block here for this peer", "no block here for this" },
		{ 22, "no block here for this peer", "no block here for this" },
		{ 21, "no block here for this peer", "no block here for" },
		{ 2, "no block", "no" },
		{ 1, "no block", "" },
		{ 0, "no block", "" },
		{ 9, "too many: go away", "too many" },
		{ 5, "unspeakable", "" },
		{ 99, NULL, "" },
	};
	char text[L2TP_TEXT_MAX], longer[2 * L2TP_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		engine_words(text, rows[i].room, rows[i].text);
		assert_string_equal(text, rows[i].cut);
	}
	memset(longer, 'w', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	longer[L2TP_TEXT_MAX - 1] = ' ';
	engine_words(text, SIZE_MAX, longer);
	assert_int_equal(strlen(text), L2TP_TEXT_MAX - 1);
	longer[L2TP_TEXT_MAX - 1] = 'w';
	longer[7] = ' ';
	engine_words(text, SIZE_MAX, longer);
	assert_string_equal(text, "wwwwwww");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flood_leaves_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trusted_is_recorded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words_of_one, setup, teardown),
		cmocka_unit_test(test_reasons_end_with_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
