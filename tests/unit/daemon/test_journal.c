/* SPDX-License-Identifier: MIT
 *
 * journal.c: the records of the engine in a real journal. The engine is made up here: it has one
 * object, whose record is as long as a test wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/wire.h"
#include "daemon/daemon.h"
#include "keeper/layout.h"
#include "keeper/store.h"

enum { ID = 7 };

static const struct store_class classes[] = { { ACCESS_OBJ_TUNNEL, 64, 2 },
					      { ACCESS_OBJ_SESSION, 64, 2 },
					      { LAYOUT_SESSION_LONG, 256, 2 } };

static struct {
	enum access_object kind;
	size_t len; /* of the record */
	bool dirty, gone;
	size_t loaded_len;
	unsigned int loaded, begun;
	unsigned int warnings;
	bool refuses;	/* records */
	int answer;	/* to each, if not 0 */
	char said[512]; /* last */
} engine;

bool access_dirty(struct access *a, enum access_object *ret_kind, uint64_t *ret_id, bool *ret_gone)
{
	if (!engine.dirty)
		return false;
	engine.dirty = false;
	*ret_kind = engine.kind;
	*ret_id = ID;
	*ret_gone = engine.gone;
	return true;
}

void access_save(const struct access *a, enum access_object kind, uint64_t id, struct wcur *c)
{
	for (size_t i = 0; i < engine.len; i++)
		wcur_u8(c, (uint8_t)engine.len);
}

int access_load(struct access *a, struct mono now, enum access_object kind, uint64_t id,
		struct rcur *c)
{
	if (engine.answer)
		return engine.answer;
	if (engine.refuses)
		return rcur_left(c) ? 0 : 1;
	assert_int_equal(kind, engine.kind);
	assert_int_equal(id, ID);
	engine.loaded_len = rcur_left(c);
	engine.loaded++;
	return 0;
}

void access_loaded(struct access *a, struct mono now)
{
}

int access_on(struct access *a, struct mono now)
{
	engine.begun++;
	return 0;
}

void access_summary(const struct access *a, struct access_summary *ret)
{
	memset(ret, 0, sizeof(*ret));
}

/* No pseudowires. */
size_t pwire_commit(struct daemon *d)
{
	return 0;
}

bool pwire_load(struct daemon *d, struct journal_lost *lost)
{
	return true;
}

void daemon_say(struct daemon *d, enum trace_level level, const char *format, ...)
{
	va_list ap;

	if (level != TRACE_WARNING)
		return;
	engine.warnings++;
	va_start(ap, format);
	vsnprintf(engine.said, sizeof(engine.said), format, ap);
	va_end(ap);
}

/* The length of the record that is there, 0 = there is none. */
static size_t record_len(const struct store *s)
{
	struct store_record r;
	uint64_t pos = 0;

	return store_walk(s, ACCESS_OBJ_TUNNEL, &pos, &r) ? r.len : 0;
}

static void save(struct daemon *d, size_t len)
{
	engine.len = len;
	engine.dirty = true;
	assert_int_equal(journal_commit(d), 1);
}

/* What a record has outgrown is not what a restart may go on with. */
static void test_record_that_outgrows_its_place(void **state)
{
	uint64_t size = store_size(classes, 3);
	void *mem = calloc(1, size);
	struct daemon *d = calloc(1, sizeof(*d));

	assert_non_null(mem);
	assert_non_null(d);
	assert_int_equal(store_format(mem, size, classes, 3), 0);
	assert_true(journal_open(d, mem, size));
	engine.kind = ACCESS_OBJ_TUNNEL;
	save(d, 10);
	assert_int_equal(record_len(d->store), 10);
	assert_int_equal(engine.warnings, 0);
	save(d, 65);
	assert_int_equal(record_len(d->store), 0);
	assert_int_equal(engine.warnings, 1);
	save(d, 64);
	assert_int_equal(record_len(d->store), 64);
	save(d, 100000); /* nor into the buffer */
	assert_int_equal(record_len(d->store), 0);
	store_close(d->store);
	free(d);
	free(mem);
}

/* How long the one session is that a restart finds; 0 = there is none. */
static size_t found(struct daemon *d)
{
	engine.loaded = 0;
	engine.loaded_len = 0;
	assert_true(journal_load(d));
	assert_true(engine.loaded <= 1);
	return engine.loaded_len;
}

/* The few sessions with long records have a place of their own, and are found once. */
static void test_long_session(void **state)
{
	uint64_t size = store_size(classes, 3);
	void *mem = calloc(1, size);
	struct daemon *d = calloc(1, sizeof(*d));

	assert_non_null(mem);
	assert_non_null(d);
	assert_int_equal(store_format(mem, size, classes, 3), 0);
	assert_true(journal_open(d, mem, size));
	engine.kind = ACCESS_OBJ_SESSION;
	engine.warnings = 0;
	save(d, 64);
	assert_int_equal(store_count(d->store, LAYOUT_SESSION_LONG), 0);
	assert_int_equal(found(d), 64);
	save(d, 65);
	assert_int_equal(store_count(d->store, ACCESS_OBJ_SESSION), 0);
	assert_int_equal(found(d), 65);
	save(d, 20); /* it stays there */
	assert_int_equal(store_count(d->store, ACCESS_OBJ_SESSION), 0);
	assert_int_equal(found(d), 20);
	/* Killed between writing the long one and removing the short one. */
	assert_int_equal(store_put(d->store, ACCESS_OBJ_SESSION, ID, "former", 6), 0);
	assert_int_equal(found(d), 20);
	engine.gone = engine.dirty = true;
	assert_int_equal(journal_commit(d), 1);
	assert_int_equal(found(d), 0);
	assert_int_equal(engine.loaded, 0);
	engine.gone = false;
	save(d, 256);
	assert_int_equal(found(d), 256);
	assert_int_equal(engine.warnings, 0);
	store_close(d->store);
	free(d);
	free(mem);
}

/* Most are short: such a record has its own place, from which it goes on to the next ones. */
static void test_short_session(void **state)
{
	static const struct store_class all[] = { { ACCESS_OBJ_SESSION, 64, 2 },
						  { LAYOUT_SESSION_LONG, 256, 2 },
						  { LAYOUT_SESSION_SHORT, 32, 2 } };
	static const struct {
		size_t len;
		uint8_t class;
	} steps[] = { { 32, LAYOUT_SESSION_SHORT }, { 20, LAYOUT_SESSION_SHORT },
		      { 33, ACCESS_OBJ_SESSION },   { 20, ACCESS_OBJ_SESSION },
		      { 65, LAYOUT_SESSION_LONG },  { 20, LAYOUT_SESSION_LONG } };
	uint64_t size = store_size(all, 3);
	void *mem = calloc(1, size);
	struct daemon *d = calloc(1, sizeof(*d));

	assert_non_null(mem);
	assert_non_null(d);
	assert_int_equal(store_format(mem, size, all, 3), 0);
	assert_true(journal_open(d, mem, size));
	engine.kind = ACCESS_OBJ_SESSION;
	engine.warnings = 0;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		save(d, steps[i].len);
		for (size_t j = 0; j < 3; j++)
			assert_int_equal(store_count(d->store, all[j].kind),
					 all[j].kind == steps[i].class);
		assert_int_equal(found(d), steps[i].len);
	}
	/* Killed between writing the long one and removing those before. */
	assert_int_equal(store_put(d->store, LAYOUT_SESSION_SHORT, ID, "first", 5), 0);
	assert_int_equal(store_put(d->store, ACCESS_OBJ_SESSION, ID, "former", 6), 0);
	assert_int_equal(found(d), 20);
	engine.gone = engine.dirty = true;
	assert_int_equal(journal_commit(d), 1);
	assert_int_equal(found(d), 0);
	for (size_t j = 0; j < 3; j++)
		assert_int_equal(store_count(d->store, all[j].kind), 0);
	engine.gone = false;
	/* there is none that takes it */
	save(d, 257);
	assert_int_equal(engine.warnings, 1);
	engine.warnings = 0;
	store_close(d->store);
	free(d);
	free(mem);
}

/* What cannot be read is told in one line, of each kind how many. */
static void test_damage_is_told(void **state)
{
	static const struct store_class all[] = { { ACCESS_OBJ_TUNNEL, 64, 4 },
						  { ACCESS_OBJ_SESSION, 64, 4 },
						  { ACCESS_OBJ_ACCT, 64, 4 },
						  { ACCESS_OBJ_STATE, 64, 1 } };
	uint64_t size = store_size(all, 4);
	uint8_t *mem = calloc(1, size);
	struct daemon *d = calloc(1, sizeof(*d));
	const size_t slot = 48 + 64; /* the first of a class is its draft */
	uint8_t former[48 + 64];

	assert_non_null(mem);
	assert_non_null(d);
	assert_int_equal(store_format(mem, size, all, 4), 0);
	assert_true(journal_open(d, mem, size));
	engine.refuses = true;
	engine.warnings = 0;
	for (uint64_t id = 1; id <= 3; id++)
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(store_put(d->store, all[i].kind, id, "record", 6), 0);
	assert_int_equal(store_put(d->store, ACCESS_OBJ_STATE, 1, "record", 6), 0);
	assert_true(journal_load(d));
	assert_int_equal(engine.warnings, 0);
	store_close(d->store);
	/* a tunnel's bytes, two sessions' names, a line's bytes */
	mem[4096 + slot + 48] ^= 1;
	mem[8192 + slot + 16] ^= 1;
	mem[8192 + 2 * slot + 16] ^= 1;
	mem[12288 + slot + 48] ^= 1;
	assert_true(journal_open(d, mem, size));
	assert_true(journal_load(d));
	assert_int_equal(engine.warnings, 1);
	assert_non_null(strstr(engine.said, "1 tunnel, 2 sessions, 1 accounting record;"));
	/* it is told once, and what was whole is there */
	engine.warnings = 0;
	assert_true(journal_load(d));
	assert_int_equal(engine.warnings, 0);
	assert_int_equal(store_count(d->store, ACCESS_OBJ_SESSION), 1);
	/* the numbers are lost; of one session the record was about to be written over, by one that
	 * cannot be read */
	memcpy(former, mem + 8192 + 3 * slot, slot);
	assert_int_equal(store_put(d->store, ACCESS_OBJ_SESSION, 3, "newest", 6), 0);
	store_close(d->store);
	mem[16384 + slot + 48] ^= 1;
	memcpy(mem + 8192 + 3 * slot, former, slot);
	memcpy(mem + 8192, "mark", 4);
	mem[8192 + 48] ^= 1;
	assert_true(journal_open(d, mem, size));
	assert_true(journal_load(d));
	assert_int_equal(engine.warnings, 2);
	assert_non_null(strstr(engine.said, "of 1 objects the last change is lost"));
	engine.refuses = false;
	store_close(d->store);
	free(d);
	free(mem);
}

/* What the engine cannot use is told once, and is gone; what ends without a word is no damage. */
static void test_of_no_use(void **state)
{
	static const int answers[] = { 1, L2TP3_LOAD_MUTE };
	uint64_t size = store_size(classes, 3);
	void *mem = calloc(1, size);
	struct daemon *d = calloc(1, sizeof(*d));

	assert_non_null(mem);
	assert_non_null(d);
	assert_int_equal(store_format(mem, size, classes, 3), 0);
	assert_true(journal_open(d, mem, size));
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(store_put(d->store, classes[k].kind, ID + k, "record", 6),
					 0);
		engine.answer = answers[i];
		engine.warnings = 0;
		assert_true(journal_load(d));
		assert_int_equal(engine.warnings, answers[i] == 1);
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(store_count(d->store, classes[k].kind), 0);
		assert_true(journal_load(d));
		assert_int_equal(engine.warnings, answers[i] == 1);
	}
	engine.answer = 0;
	store_close(d->store);
	free(d);
	free(mem);
}

/* Only where there is no record of any kind, whole or not, nothing of before goes on. */
static void test_begins_anew(void **state)
{
	static const struct store_class all[] = {
		{ ACCESS_OBJ_TUNNEL, 64, 2 },	 { ACCESS_OBJ_SESSION, 64, 2 },
		{ LAYOUT_SESSION_LONG, 256, 2 }, { LAYOUT_SESSION_SHORT, 64, 2 },
		{ ACCESS_OBJ_ACCT, 64, 2 },	 { ACCESS_OBJ_STATE, 64, 1 }
	};
	uint64_t size = store_size(all, 6);
	uint8_t *mem = calloc(1, size);
	struct daemon *d = calloc(1, sizeof(*d));

	assert_non_null(mem);
	assert_non_null(d);
	engine.refuses = true;
	for (size_t k = 0; k < 6; k++) {
		for (unsigned int whole = 0; whole < 2; whole++) {
			assert_int_equal(store_format(mem, size, all, 6), 0);
			assert_true(journal_open(d, mem, size));
			engine.begun = 0;
			assert_true(journal_load(d));
			assert_int_equal(engine.begun, 1);
			assert_int_equal(store_put(d->store, all[k].kind, ID, "record", 6), 0);
			store_close(d->store);
			for (uint64_t i = 4096; i + 6 < size && !whole; i++)
				if (memcmp(mem + i, "record", 6) == 0)
					mem[i] ^= 1;
			assert_true(journal_open(d, mem, size));
			assert_true(journal_load(d));
			assert_int_equal(engine.begun, 1);
			store_close(d->store);
		}
	}
	engine.refuses = false;
	free(d);
	free(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_that_outgrows_its_place),
		cmocka_unit_test(test_long_session),
		cmocka_unit_test(test_short_session),
		cmocka_unit_test(test_damage_is_told),
		cmocka_unit_test(test_of_no_use),
		cmocka_unit_test(test_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
