/* SPDX-License-Identifier: MIT
 *
 * The flight recorder: order, overwritten records, raw bytes, going on after a crash, a reader
 * beside a busy writer, memory failures, and the texts of all kinds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failmalloc.h"
#include "base/trace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORDS 16
#define RAW	256

static void *new_mem(uint32_t records, uint32_t raw)
{
	return calloc(1, trace_size(records, raw));
}

static void test_write_read(void **state)
{
	void *mem = new_mem(RECORDS, RAW);
	struct trace *t = trace_open(mem, RECORDS, RAW);
	struct trace_record r;
	uint8_t raw[64];
	uint64_t pos = 0, lost = 77;

	assert_false(trace_read(t, &pos, &r, raw, sizeof(raw), &lost));
	assert_int_equal(lost, 77);
	trace_put(t, TRACE_NOTE, (struct mono){ 5 }, 9, 1, 2, 3, 4, NULL, 0);
	trace_bytes(t, TRACE_NOTE, (struct mono){ 6 }, 8, 5, 6, "hello", 5);
	trace(t, TRACE_NOTE, (struct mono){ 7 }, 7, 7, 8);

	assert_true(trace_read(t, &pos, &r, raw, sizeof(raw), &lost));
	assert_true(r.seq == 1 && r.at.us == 5 && r.handle == 9 && lost == 0);
	assert_int_equal(r.kind, TRACE_NOTE);
	assert_memory_equal(r.v, ((uint32_t[4]){ 1, 2, 3, 4 }), sizeof(r.v));
	assert_int_equal(r.raw_len, 0);
	assert_true(trace_read(t, &pos, &r, raw, sizeof(raw), NULL));
	assert_int_equal(r.raw_len, 5);
	assert_memory_equal(raw, "hello", 5);
	assert_memory_equal(r.v, ((uint32_t[4]){ 5, 6, 0, 0 }), sizeof(r.v));
	assert_true(trace_read(t, &pos, &r, NULL, 0, NULL));
	assert_true(r.seq == 3 && r.handle == 7);
	assert_false(trace_read(t, &pos, &r, raw, sizeof(raw), &lost));
	assert_true(pos == 3);

	trace(NULL, TRACE_NOTE, (struct mono){ 7 }, 7, 7, 8); /* no trace: nothing happens */
	trace_close(t);
	free(mem);
}

/* Nothing loud behind the position: it moves over what is there without a look. */
static void test_quiet(void **state)
{
	void *mem = new_mem(RECORDS, RAW);
	struct trace *t = trace_open(mem, RECORDS, RAW);
	struct trace_record r;
	uint64_t pos = 0;

	assert_true(trace_quiet(t, &pos, TRACE_DEBUG));
	assert_int_equal(pos, 0);
	trace_put(t, TRACE_DAEMON_DEBUG, (struct mono){ 1 }, 0, 0, 0, 0, 0, NULL, 0);
	assert_false(trace_quiet(t, &pos, TRACE_DEBUG));
	assert_int_equal(pos, 0);
	assert_true(trace_quiet(t, &pos, TRACE_INFO));
	assert_int_equal(pos, 1);
	trace_put(t, TRACE_DAEMON_WARNING, (struct mono){ 2 }, 0, 0, 0, 0, 0, NULL, 0);
	trace_put(t, TRACE_DAEMON_DEBUG, (struct mono){ 3 }, 0, 0, 0, 0, 0, NULL, 0);
	assert_false(trace_quiet(t, &pos, TRACE_NOTICE));
	assert_true(trace_read(t, &pos, &r, NULL, 0, NULL));
	assert_int_equal(r.kind, TRACE_DAEMON_WARNING);
	assert_true(trace_quiet(t, &pos, TRACE_NOTICE));
	assert_int_equal(pos, 3);
	assert_true(trace_quiet(t, &pos, TRACE_DEBUG));
	trace_close(t);
	free(mem);
}

static void test_overwritten(void **state)
{
	void *mem = new_mem(RECORDS, RAW);
	struct trace *t = trace_open(mem, RECORDS, RAW);
	struct trace_record r;
	uint64_t pos = 0, lost;

	for (uint32_t i = 1; i <= 40; i++)
		trace(t, TRACE_NOTE, (struct mono){ i }, 0, i, 0);
	assert_true(trace_read(t, &pos, &r, NULL, 0, &lost));
	assert_true(r.seq == 25 && lost == 24); /* 25..40 are left */
	for (uint32_t i = 26; i <= 40; i++) {
		assert_true(trace_read(t, &pos, &r, NULL, 0, &lost));
		assert_true(r.v[0] == i && lost == 0);
	}
	assert_false(trace_read(t, &pos, &r, NULL, 0, &lost));
	/* One round and one more, from the middle. */
	for (uint32_t i = 41; i <= 57; i++)
		trace(t, TRACE_NOTE, (struct mono){ i }, 0, i, 0);
	assert_true(trace_read(t, &pos, &r, NULL, 0, &lost));
	assert_true(r.seq == 42 && lost == 1);
	trace_close(t);
	free(mem);
}

/* In a ring of many records too, a late reader finds the oldest one at once. */
static void test_overwritten_large(void **state)
{
	void *mem = new_mem(4096, RAW);
	struct trace *t = trace_open(mem, 4096, RAW);
	struct trace_record r;
	uint64_t pos = 0, lost;

	for (uint32_t i = 1; i <= 10000; i++)
		trace(t, TRACE_NOTE, (struct mono){ i }, 0, i, 0);
	assert_true(trace_read(t, &pos, &r, NULL, 0, &lost));
	assert_true(r.seq == 10000 - 4096 + 1 && lost == r.seq - 1);
	trace_close(t);
	free(mem);
}

static void test_raw(void **state)
{
	void *mem = new_mem(RECORDS, RAW);
	struct trace *t = trace_open(mem, RECORDS, RAW);
	struct trace_record r;
	uint8_t bytes[3000], raw[3000];
	uint64_t pos = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	/* Six records of 100 octets: those whose octets were overwritten come without. */
	for (int i = 0; i < 6; i++)
		trace_bytes(t, TRACE_NOTE, (struct mono){ 0 }, 0, 0, 0, bytes + i, 100);
	for (int i = 0; i < 6; i++) {
		assert_true(trace_read(t, &pos, &r, raw, sizeof(raw), NULL));
		assert_int_equal(r.raw_len, i < 4 ? 0 : 100);
		if (i >= 4)
			assert_memory_equal(raw, bytes + i, 100);
	}
	/* Odd lengths, a small buffer, and one longer than the ring. */
	for (size_t n = 0; n < 20; n++) {
		trace_bytes(t, TRACE_NOTE, (struct mono){ 0 }, 0, 0, 0, bytes, n);
		memset(raw, 0xee, sizeof(raw));
		assert_true(trace_read(t, &pos, &r, raw, 10, NULL));
		assert_int_equal(r.raw_len, n < 10 ? n : 10);
		assert_memory_equal(raw, bytes, r.raw_len);
		assert_int_equal(raw[r.raw_len], 0xee);
	}
	trace_bytes(t, TRACE_NOTE, (struct mono){ 0 }, 0, 0, 0, bytes, 3000);
	assert_true(trace_read(t, &pos, &r, raw, sizeof(raw), NULL));
	assert_int_equal(r.raw_len, RAW);
	assert_memory_equal(raw, bytes, RAW);
	trace_close(t);
	free(mem);

	mem = new_mem(RECORDS, 8192);
	t = trace_open(mem, RECORDS, 8192);
	pos = 0;
	trace_bytes(t, TRACE_NOTE, (struct mono){ 0 }, 0, 0, 0, bytes, 3000);
	assert_true(trace_read(t, &pos, &r, raw, sizeof(raw), NULL));
	assert_int_equal(r.raw_len, 2048); /* the limit of trace_put() */
	trace_close(t);
	free(mem);
}

static void test_goes_on(void **state)
{
	uint32_t *mem = new_mem(RECORDS, RAW);
	struct trace *t = trace_open(mem, RECORDS, RAW);
	struct trace_record r;
	uint64_t pos = 0, lost;
	uint8_t raw[16];

	for (uint32_t i = 1; i <= 20; i++)
		trace_bytes(t, TRACE_NOTE, (struct mono){ i }, 0, i, 0, "abc", 3);
	trace_close(t);
	t = trace_open(mem, RECORDS, RAW);
	trace_bytes(t, TRACE_NOTE, (struct mono){ 21 }, 0, 21, 0, "xyz", 3);
	assert_true(trace_read(t, &pos, &r, raw, sizeof(raw), &lost));
	assert_true(r.seq == 6 && lost == 5);
	assert_memory_equal(raw, "abc", 3);
	while (trace_read(t, &pos, &r, raw, sizeof(raw), &lost))
		;
	assert_true(r.seq == 21 && r.v[0] == 21);
	assert_memory_equal(raw, "xyz", 3);
	trace_close(t);

	/* The writer died within record 21: its slot is emptied and its number used again. */
	mem[16 + (21 % RECORDS) * 13]++;
	t = trace_open(mem, RECORDS, RAW);
	trace(t, TRACE_NOTE, (struct mono){ 22 }, 0, 22, 0);
	pos = 20;
	assert_true(trace_read(t, &pos, &r, NULL, 0, NULL));
	assert_true(r.seq == 21 && r.v[0] == 22);
	trace_close(t);

	/* Another size or another table of kinds: a new ring. */
	mem[3]++;
	t = trace_open(mem, RECORDS, RAW);
	pos = 0;
	assert_false(trace_read(t, &pos, &r, NULL, 0, NULL));
	trace_close(t);
	t = trace_open(mem, RECORDS / 2, RAW);
	trace(t, TRACE_NOTE, (struct mono){ 1 }, 0, 1, 0);
	assert_true(trace_read(t, &pos, &r, NULL, 0, NULL));
	trace_close(t);
	free(mem);
}

struct race {
	struct trace *t;
	_Atomic bool stop;
};

/* A successor goes on where the one that has died left off, whatever stands there. */
static void test_told(void **state)
{
	void *mem = new_mem(8, 64);
	struct trace *t = trace_open(mem, 8, 64);
	struct trace_record r;
	uint64_t pos;

	(void)state;
	assert_int_equal(trace_told(t), 0);
	for (int i = 0; i < 5; i++)
		trace(t, TRACE_DAEMON_WARNING, (struct mono){ i }, 0, 0, 0);
	assert_int_equal(trace_told(t), 5); /* nobody ever told any */
	trace_tell(t, 3);
	trace_close(t);
	t = trace_open(mem, 8, 64);
	pos = trace_told(t);
	assert_int_equal(pos, 3);
	assert_false(trace_quiet(t, &pos, TRACE_WARNING));
	assert_true(trace_read(t, &pos, &r, NULL, 0, NULL));
	assert_int_equal(r.seq, 4);
	trace_tell(t, 5);
	pos = trace_told(t);
	assert_int_equal(pos, 5);
	assert_true(trace_quiet(t, &pos, TRACE_DEBUG));
	trace_tell(t, 6); /* of none that there is: all that the ring has, no more */
	assert_int_equal(trace_told(t), 0);
	for (int i = 0; i < 20; i++)
		trace(t, TRACE_DAEMON_WARNING, (struct mono){ i }, 0, 0, 0);
	assert_int_equal(trace_told(t), 25 - 8);
	trace_close(t);
	free(mem);
}

static void *busy_writer(void *arg)
{
	struct race *race = arg;
	uint8_t raw[64];

	for (uint32_t i = 1; !atomic_load(&race->stop); i++) {
		memset(raw, (int)(i & 0xff), sizeof(raw));
		trace_put(race->t, TRACE_NOTE, (struct mono){ i }, i, i, ~i, i, ~i, raw,
			  i % sizeof(raw));
	}
	return NULL;
}

/* A reader beside the writer sees whole records only, in order, and whole raw bytes or none. */
static void test_race(void **state)
{
	void *mem = new_mem(64, 1024);
	struct race race = { .t = trace_open(mem, 64, 1024) };
	uint64_t pos = 0, before = 0, lost, got = 0;
	time_t begun;
	struct trace_record r;
	pthread_t thread;
	uint8_t raw[64];

	assert_int_equal(pthread_create(&thread, NULL, busy_writer, &race), 0);
	begun = time(NULL);
	while (got < 20000 && time(NULL) - begun < 10) {
		if (!trace_read(race.t, &pos, &r, raw, sizeof(raw), &lost))
			continue;
		got++;
		assert_true(r.seq == before + lost + 1);
		before = r.seq;
		assert_true(r.v[0] == (uint32_t)r.seq && r.v[1] == ~r.v[0] && r.v[2] == r.v[0] &&
			    r.v[3] == r.v[1] && r.handle == r.v[0]);
		assert_true(r.raw_len == 0 || r.raw_len == r.v[0] % sizeof(raw));
		for (int i = 0; i < r.raw_len; i++)
			assert_int_equal(raw[i], r.v[0] & 0xff);
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	assert_true(got > 100);
	trace_close(race.t);
	free(mem);
}

static void test_memory(void **state)
{
	void *mem = new_mem(RECORDS, RAW);
	struct trace *t;

	failmalloc_arm(1);
	assert_null(trace_open(mem, RECORDS, RAW));
	assert_true(failmalloc_disarm());
	t = trace_open(mem, RECORDS, RAW);
	failmalloc_arm_from(1);
	for (int i = 0; i < 100; i++)
		trace_bytes(t, TRACE_NOTE, (struct mono){ 0 }, 0, 0, 0, "abc", 3);
	assert_false(failmalloc_disarm());
	trace_close(t);
	free(mem);
}

static void test_text(void **state)
{
	struct trace_record r = { .kind = TRACE_NOTE, .raw_len = 7 };
	char buf[400];

	assert_string_equal(trace_text(&r, (const uint8_t *)"a\nb\x1b[1m", buf, sizeof(buf)),
			    "a\\x0ab\\x1b[1m");
	assert_string_equal(trace_text(&r, NULL, buf, sizeof(buf)), "");
	assert_string_equal(trace_text(&r, (const uint8_t *)"abcdefg", buf, 5), "a...");
	trace_text(&r, (const uint8_t *)"abcdefg", buf, 0);
	assert_string_equal(trace_text(&r, (const uint8_t *)"abcdefg", buf, 1), "");
	r.kind = TRACE_KIND_COUNT;
	assert_non_null(strstr(trace_text(&r, NULL, buf, sizeof(buf)), "unknown kind"));
	assert_string_equal(trace_name(TRACE_NOTE), "NOTE");
	assert_string_equal(trace_name(TRACE_KIND_COUNT), "UNKNOWN");
	assert_int_equal(trace_level_of(TRACE_NOTE), TRACE_DEBUG);
	assert_int_equal(trace_level_of(TRACE_KIND_COUNT), TRACE_DEBUG);
}

static void test_forms(void **state)
{
	static const char *const v[][2] = {
		{ "{a} {b} {c} {d}", "10 48879 3221225985 4294967295" },
		{ "{b:x}", "0xbeef" },
		{ "{c:ip4}", "192.0.2.1" },
		{ "{m} and {m:a}", "ICRQ and ICRQ" },
		{ "{m:b}", "message type 48879" },
		{ "because {d:cause}", "because an unknown cause" },
		{ "because {a:cause}", "because the user name or the password was wrong" },
		{ "<{raw}>", "<x\\x00y>" },
		{ "{e} {} {a:z} {rawr}", "? ? ? ?" },
		{ "open { brace } and {", "open ? and {" },
		{ "plain", "plain" },
		{ "", "" },
	};
	struct trace_record r = { .v = { 10, 0xbeef, 0xc0000201, UINT32_MAX }, .raw_len = 3 };
	char buf[100];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_string_equal(
			trace_expand(v[i][0], &r, (const uint8_t *)"x\0y", buf, sizeof(buf)),
			v[i][1]);
	for (uint32_t m = 0; m <= 21; m++) {
		r.v[0] = m;
		trace_expand("{m}", &r, NULL, buf, sizeof(buf));
		assert_true(strlen(buf) >= 3);
	}
	assert_string_equal(trace_expand("{m}", &(struct trace_record){ 0 }, NULL, buf, 4), "ZLB");
}

/* Words that say nothing more leave nothing behind them. */
static void test_words_left_out(void **state)
{
	static const struct {
		const char *text, *raw, *line;
	} v[] = {
		{ "ended because {a:cause}: {raw}", "",
		  "ended because an administrator closed it" },
		{ "ended because {a:cause}: {raw}", "an administrator closed it",
		  "ended because an administrator closed it" },
		{ "ended because {a:cause}: {raw}", "closed it",
		  "ended because an administrator closed it: closed it" },
		{ "result {b} {raw}", "", "result 7" },
		{ "{raw}: held", "an administrator closed it", "an administrator closed it: held" },
		{ ": {raw}", "", "" },
		{ "{raw}", "", "" },
	};
	char buf[100];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct trace_record r = { .v = { ADIT_CAUSE_ADMIN, 7 },
					  .raw_len = (uint16_t)strlen(v[i].raw) };

		assert_string_equal(
			trace_expand(v[i].text, &r, (const uint8_t *)v[i].raw, buf, sizeof(buf)),
			v[i].line);
	}
}

/* The texts of all parts can be expanded: no unknown word, no newline, braces in pairs. */
static void test_all_texts(void **state)
{
	const uint8_t raw[] = "raw";
	char buf[512];

	for (int i = 0; i < TRACE_KIND_COUNT; i++) {
		struct trace_record r = { .kind = (uint16_t)i, .raw_len = 3, .v = { 1, 2, 3, 4 } };

		trace_text(&r, raw, buf, sizeof(buf));
		if (strpbrk(buf, "{}?\n"))
			fail_msg("the text of %s has a word that trace.h does not know: %s",
				 trace_name((enum trace_kind)i), buf);
		for (size_t cap = 1; cap < 60; cap++) {
			char *small = malloc(cap);

			trace_text(&r, raw, small, cap);
			assert_true(strlen(small) < cap);
			free(small);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_read),
		cmocka_unit_test(test_overwritten),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_overwritten_large),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_all_texts),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_words_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
