/* SPDX-License-Identifier: MIT
 *
 * The journal: what is written is there, what a killed writer leaves behind, what damage does. The
 * writer is killed for real: a child process writes under ptrace, one instruction at a time, and
 * whenever the shared memory has changed the parent opens a copy of it.
 *
 *     test_keeper_store --golden FILE     writes the golden journal instead
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/htab.h"
#include "failmalloc.h"
#include "keeper/layout.h"
#include "keeper/store.h"

enum { TUNNEL = 1, SESSION = 2, ACCT = 3, STATE = 4 };

static const struct store_class small[] = {
	{ TUNNEL, 400, 3 },
	{ SESSION, 64, 8 },
	{ STATE, 16, 1 },
};

#define SMALL_N (sizeof(small) / sizeof(small[0]))

struct fixture {
	uint64_t size;
	uint8_t *mem;
	struct store *s;
};

static void *memory(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* A journal of version 1: pairs of slots, no drafts. Returns its size; `mem` NULL: only that. */
static uint64_t format_pairs(uint8_t *mem, const struct store_class *classes, size_t n)
{
	static const uint8_t key[16] = "adit journal v1";
	uint64_t offset = 4096, word, free_mark = htole64(0xffffffff00000000ull);
	uint32_t at[4];

	for (size_t i = 0; i < n; i++) {
		at[0] = classes[i].kind;
		at[1] = classes[i].max;
		at[2] = classes[i].count;
		at[3] = 48 + (classes[i].max + 7) / 8 * 8;
		for (int j = 0; mem && j < 4; j++) {
			uint32_t v = htole32(at[j]);

			memcpy(mem + 24 + 24 * i + 4 * (size_t)j, &v, 4);
		}
		word = htole64(offset);
		if (mem)
			memcpy(mem + 24 + 24 * i + 16, &word, 8);
		offset += ((uint64_t)at[3] * 2 * at[2] + 4095) / 4096 * 4096;
	}
	if (!mem)
		return offset;
	memcpy(mem, "aditurnl", 8);
	at[0] = htole32(1);
	at[1] = htole32((uint32_t)n);
	word = htole64(offset);
	memcpy(mem + 8, at, 8);
	memcpy(mem + 16, &word, 8);
	word = htole64(siphash(key, mem, 24 + 24 * STORE_CLASSES));
	memcpy(mem + 24 + 24 * STORE_CLASSES, &word, 8);
	for (size_t i = 0; i < STORE_CLASSES; i++)
		memcpy(mem + 32 + 24 * STORE_CLASSES + 8 * i, &free_mark, 8);
	return offset;
}

/* An empty journal of this version or of the former. */
static uint8_t *journal(const struct store_class *classes, size_t n, bool pairs, uint64_t *ret_size)
{
	uint8_t *mem;

	*ret_size = pairs ? format_pairs(NULL, classes, n) : store_size(classes, n);
	mem = memory(*ret_size);
	if (pairs)
		format_pairs(mem, classes, n);
	else
		assert_int_equal(store_format(mem, *ret_size, classes, n), 0);
	return mem;
}

static struct store *open_ok(void *mem, uint64_t size)
{
	char text[STORE_TEXT_MAX] = "";
	int err = 0;
	struct store *s = store_open(mem, size, &err, text);

	if (!s)
		fail_msg("store_open: %s", text);
	return s;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->size = store_size(small, SMALL_N);
	f->mem = memory(f->size);
	assert_int_equal(store_format(f->mem, f->size, small, SMALL_N), 0);
	f->s = open_ok(f->mem, f->size);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->s);
	munmap(f->mem, f->size);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	store_close(f->s);
	f->s = open_ok(f->mem, f->size);
}

static void expect(const struct store *s, uint8_t kind, uint64_t id, const char *content)
{
	struct store_record r;

	if (!content) {
		assert_false(store_get(s, kind, id, &r));
		return;
	}
	assert_true(store_get(s, kind, id, &r));
	assert_int_equal(r.state, STORE_OK);
	assert_int_equal(r.kind, kind);
	assert_true(r.id_known);
	assert_true(r.id == id);
	assert_int_equal(r.len, strlen(content));
	assert_memory_equal(r.bytes, content, r.len);
}

static int put(struct store *s, uint8_t kind, uint64_t id, const char *content)
{
	return store_put(s, kind, id, content, strlen(content));
}

static void test_put_get_del(void **state)
{
	struct fixture *f = *state;
	struct store_record r;
	uint64_t pos = 0;
	int n = 0;

	assert_int_equal(put(f->s, SESSION, 7, "one"), 0);
	assert_int_equal(put(f->s, SESSION, UINT64_MAX, "two"), 0);
	assert_int_equal(put(f->s, TUNNEL, 7, "three"), 0);
	assert_int_equal(put(f->s, STATE, 0, ""), 0);
	assert_int_equal(put(f->s, SESSION, 7, "one again"), 0);
	for (int i = 0; i < 2; i++) {
		expect(f->s, SESSION, 7, "one again");
		expect(f->s, SESSION, UINT64_MAX, "two");
		expect(f->s, TUNNEL, 7, "three");
		expect(f->s, STATE, 0, "");
		expect(f->s, TUNNEL, 8, NULL);
		expect(f->s, ACCT, 7, NULL);
		assert_int_equal(store_count(f->s, SESSION), 2);
		assert_int_equal(store_room(f->s, SESSION), 6);
		reopen(f);
	}
	while (store_walk(f->s, 0, &pos, &r))
		n++;
	assert_int_equal(n, 4);
	assert_false(store_walk(f->s, 0, &pos, &r));
	for (pos = 0, n = 0; store_walk(f->s, SESSION, &pos, &r); n++)
		assert_int_equal(r.kind, SESSION);
	assert_int_equal(n, 2);
	assert_int_equal(store_del(f->s, SESSION, 7), 0);
	assert_int_equal(store_del(f->s, SESSION, 7), 1);
	assert_int_equal(store_del(f->s, ACCT, 7), 1);
	for (int i = 0; i < 2; i++) {
		expect(f->s, SESSION, 7, NULL);
		expect(f->s, SESSION, UINT64_MAX, "two");
		expect(f->s, TUNNEL, 7, "three");
		reopen(f);
	}
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	char big[65];

	memset(big, 'x', sizeof(big));
	assert_int_equal(store_put(f->s, SESSION, 1, big, 65), -EMSGSIZE);
	assert_int_equal(store_put(f->s, SESSION, 1, big, 64), 0);
	assert_int_equal(store_put(f->s, ACCT, 1, big, 1), -EINVAL);
	assert_int_equal(store_room(f->s, ACCT), 0);
	for (uint64_t id = 2; id <= 8; id++)
		assert_int_equal(put(f->s, SESSION, id, "x"), 0);
	assert_int_equal(store_room(f->s, SESSION), 0);
	assert_int_equal(put(f->s, SESSION, 9, "x"), -ENOSPC);
	assert_int_equal(put(f->s, SESSION, 8, "what is there can be written"), 0);
	assert_int_equal(store_del(f->s, SESSION, 3), 0);
	assert_int_equal(put(f->s, SESSION, 9, "y"), 0);
	assert_int_equal(put(f->s, SESSION, 10, "y"), -ENOSPC);
	reopen(f);
	assert_int_equal(put(f->s, SESSION, 10, "y"), -ENOSPC);
	expect(f->s, SESSION, 9, "y");
	expect(f->s, SESSION, 3, NULL);
	expect(f->s, SESSION, 8, "what is there can be written");
	for (uint64_t id = 1; id <= 9; id++)
		assert_int_equal(store_del(f->s, SESSION, id), id == 3);
	reopen(f);
	assert_int_equal(store_room(f->s, SESSION), 8);
}

static void refused(void *mem, uint64_t size, const char *why)
{
	char text[STORE_TEXT_MAX] = "";
	int err = 0;

	assert_null(store_open(mem, size, &err, text));
	assert_int_equal(err, -EINVAL);
	if (!strstr(text, why))
		fail_msg("\"%s\" is not in \"%s\"", why, text);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t *copy = memory(f->size);
	struct store_class bad[2] = { { 1, 10, 10 }, { 1, 10, 10 } };

	refused(copy, f->size, "not a journal");
	memcpy(copy, f->mem, f->size);
	copy[8] = 9;
	refused(copy, f->size, "version 9, but this program reads versions 1 to 3");
	for (size_t at = 12; at < 416; at++) {
		memcpy(copy, f->mem, f->size);
		copy[at] ^= 0x10;
		refused(copy, f->size, "damaged");
	}
	memcpy(copy, f->mem, f->size);
	refused(copy, f->size - 1, "shorter");
	refused(copy, 100, "not a journal");
	assert_int_equal(store_size(bad, 2), 0);
	assert_int_equal(store_size(bad, 0), 0);
	bad[1] = (struct store_class){ 2, 0, 10 };
	assert_int_equal(store_size(bad, 2), 0);
	bad[1] = (struct store_class){ 2, 10, 0 };
	assert_int_equal(store_size(bad, 2), 0);
	bad[1] = (struct store_class){ 0, 10, 10 };
	assert_int_equal(store_size(bad, 2), 0);
	assert_int_equal(store_format(copy, f->size - 1, small, SMALL_N), -EINVAL);
	munmap(copy, f->size);
}

/* A header whose checksum is right, made by somebody who knows how, but whose classes cannot be. */
static void test_impossible_header(void **state)
{
	static const uint8_t key[16] = "adit journal v1";
	static const struct store_class one = { SESSION, 64, 8 };
	uint64_t size = store_size(&one, 1), zero = 0, check;
	uint8_t *mem = memory(size);
	uint32_t count = htole32(1u << 31);
	char text[STORE_TEXT_MAX];
	int err = 0;

	assert_int_equal(store_format(mem, size, &one, 1), 0);
	memcpy(mem + 16, &zero, sizeof(zero));	     /* its size */
	memcpy(mem + 24 + 8, &count, sizeof(count)); /* records of the first class */
	check = htole64(siphash(key, mem, 24 + 24 * STORE_CLASSES));
	memcpy(mem + 24 + 24 * STORE_CLASSES, &check, sizeof(check));
	assert_null(store_open(mem, size, &err, text));
	assert_int_equal(err, -EINVAL);
	munmap(mem, size);
}

/* The head of a slot of the class `one` says another length, and its checksum fits. */
static void lie(uint8_t *slot, uint32_t len)
{
	static const uint8_t key[16] = "adit journal v1";
	uint64_t check;

	len = htole32(len);
	memcpy(slot + 4, &len, sizeof(len));
	check = htole64(siphash13(key, slot, 40));
	memcpy(slot + 40, &check, sizeof(check));
}

/*
 * Somebody goes on writing while the journal is opened and copied, as an aditd could that was taken
 * over, while the keeper reads. What is read is anybody's guess, but never memory beside it: pages
 * there may not be touched.
 */
static void test_written_meanwhile(void **state)
{
	static const uint8_t key[16] = "adit journal v1";
	static const struct store_class one = { SESSION, 64, 8 };
	uint64_t size = store_size(&one, 1), zero = 0, check;
	uint8_t *all = memory(size + (1u << 20)), *mem = all + (1u << 19), *good, *bad;
	uint8_t *other = memory(size);
	uint32_t count = htole32(1u << 31);
	pid_t writer;

	assert_int_equal(mprotect(all, 1u << 19, PROT_NONE), 0);
	assert_int_equal(mprotect(mem + size, 1u << 19, PROT_NONE), 0);
	assert_int_equal(store_format(mem, size, &one, 1), 0);
	for (uint64_t id = 1; id <= 8; id++) {
		struct store *s = open_ok(mem, size);

		assert_int_equal(put(s, SESSION, id, "a session"), 0);
		store_close(s);
	}
	good = malloc(size);
	bad = malloc(size);
	assert_true(good && bad);
	memcpy(good, mem, size);
	memcpy(bad, mem, size);
	memcpy(bad + 16, &zero, sizeof(zero));
	memcpy(bad + 24 + 8, &count, sizeof(count));
	check = htole64(siphash(key, bad, 24 + 24 * STORE_CLASSES));
	memcpy(bad + 24 + 24 * STORE_CLASSES, &check, sizeof(check));
	for (unsigned int i = 0; i < 16; i++)
		lie(bad + 4096 + (uint64_t)(48 + 64) * i, 1u << 30);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0) {
		for (unsigned int i = 0;; i++) /* heads and lengths one by one, in any order */
			memcpy(mem + i % 128 * 64,
			       (i * 2654435761u >> 16 & 1 ? bad : good) + i % 128 * 64, 64);
	}
	for (int i = 0; i < 2000; i++) {
		char text[STORE_TEXT_MAX];
		struct store *s, *to;
		int err;

		s = store_open(mem, size, &err, text);
		if (!s)
			continue;
		assert_int_equal(store_format(other, size, &one, 1), 0);
		to = open_ok(other, size);
		store_copy(s, to);
		store_close(to);
		store_close(s);
	}
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	free(good);
	free(bad);
	munmap(other, size);
	munmap(all, size + (1u << 20));
}

static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;
	char text[STORE_TEXT_MAX];
	struct store *s;
	long n;
	int err;

	assert_int_equal(put(f->s, SESSION, 1, "x"), 0);
	for (n = 1;; n++) {
		err = 0;
		failmalloc_arm(n);
		s = store_open(f->mem, f->size, &err, text);
		if (!failmalloc_disarm())
			break;
		assert_null(s);
		assert_int_equal(err, -ENOMEM);
	}
	assert_true(n > 4);
	expect(s, SESSION, 1, "x");
	/* Writing never allocates. */
	failmalloc_arm_from(1);
	for (uint64_t id = 1; id <= 8; id++)
		assert_int_equal(put(s, SESSION, id, "y"), 0);
	assert_int_equal(store_del(s, SESSION, 5), 0);
	assert_false(failmalloc_disarm());
	store_close(s);
}

/* Random work against a plain model, with restarts in between. */
static void model_case(bool pairs)
{
	static const struct store_class classes[] = { { SESSION, 48, 40 }, { ACCT, 24, 200 } };
	uint64_t size;
	void *mem = journal(classes, 2, pairs, &size);
	struct store *s;
	char model[2][64][32] = { 0 };
	uint32_t seed = 1;

	s = open_ok(mem, size);
	for (int step = 0; step < 20000; step++) {
		unsigned int k, id;
		int present = 0, rc;

		seed = seed * 1664525 + 1013904223;
		k = seed >> 31;
		id = (seed >> 20) & 63;
		for (int i = 0; i < 64; i++)
			present += model[k][i][0] != 0;
		if ((seed >> 8 & 7) < 4) {
			char text[32];

			snprintf(text, sizeof(text), "step %d", step);
			rc = put(s, classes[k].kind, id * 0x10001, text);
			if (!model[k][id][0] && present == (int)classes[k].count) {
				assert_int_equal(rc, -ENOSPC);
			} else {
				assert_int_equal(rc, 0);
				strcpy(model[k][id], text);
			}
		} else {
			rc = store_del(s, classes[k].kind, id * 0x10001);
			assert_int_equal(rc, model[k][id][0] ? 0 : 1);
			model[k][id][0] = 0;
		}
		if (step % 500 == 0) {
			store_close(s);
			s = open_ok(mem, size);
		}
		if (step % 50 == 0)
			for (int i = 0; i < 64; i++)
				for (int j = 0; j < 2; j++)
					expect(s, classes[j].kind, (uint64_t)i * 0x10001,
					       model[j][i][0] ? model[j][i] : NULL);
	}
	store_close(s);
	munmap(mem, size);
}

static void test_model(void **state)
{
	model_case(false);
}

static void test_model_pairs(void **state)
{
	model_case(true);
}

/* More names than the index begins with, also after a restart. */
static void test_many(void **state)
{
	static const struct store_class classes[] = { { SESSION, 8, 20000 } };
	uint64_t size;
	uint8_t *mem = journal(classes, 1, false, &size);
	struct store *s = open_ok(mem, size);
	struct store_record r;

	for (uint64_t id = 1; id <= 12000; id++) {
		assert_int_equal(store_put(s, SESSION, id * 7, &id, 8), 0);
		if (id % 3 == 0)
			assert_int_equal(store_del(s, SESSION, id / 3 * 7), 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_count(s, SESSION), 8000);
		for (uint64_t id = 1; id <= 12000; id++) {
			assert_int_equal(store_get(s, SESSION, id * 7, &r), id > 4000);
			if (id > 4000)
				assert_memory_equal(r.bytes, &id, 8);
		}
		store_close(s);
		s = open_ok(mem, size);
	}
	store_close(s);
	munmap(mem, size);
}

/* ---- a writer that is killed ---- */

enum action { PUT_NEW, PUT_SECOND, PUT_OVER, DEL_ONE, DEL_TWO, PUT_AGAIN, ACTIONS };

static void act(struct store *s, enum action a)
{
	switch (a) {
	case PUT_NEW:
		put(s, TUNNEL, 5, "the new one, never seen before");
		break;
	case PUT_SECOND:
		put(s, TUNNEL, 1, "second write");
		break;
	case PUT_OVER:
		put(s, TUNNEL, 2, "third write");
		break;
	case DEL_ONE:
		store_del(s, TUNNEL, 1);
		break;
	case DEL_TWO:
		store_del(s, TUNNEL, 2);
		break;
	case PUT_AGAIN: /* into a place that another record has left */
		store_del(s, TUNNEL, 1);
		put(s, TUNNEL, 6, "in the place of another");
		break;
	case ACTIONS:
		break;
	}
}

/* One of the two states, and everything else as it was. */
static bool check_snapshot(const uint8_t *mem, uint8_t *copy, uint64_t size, enum action a)
{
	static const struct {
		uint64_t id;
		const char *before, *after, *between;
	} want[ACTIONS] = {
		[PUT_NEW] = { 5, NULL, "the new one, never seen before", NULL },
		[PUT_SECOND] = { 1, "first write", "second write", NULL },
		[PUT_OVER] = { 2, "second write of two", "third write", NULL },
		[DEL_ONE] = { 1, "first write", NULL, NULL },
		[DEL_TWO] = { 2, "second write of two", NULL, NULL },
		[PUT_AGAIN] = { 6, NULL, "in the place of another", NULL },
	};
	struct store_record r;
	struct store *s;
	bool there, done;

	memcpy(copy, mem, size);
	s = open_ok(copy, size);
	if (a != PUT_SECOND && a != DEL_ONE && a != PUT_AGAIN)
		expect(s, TUNNEL, 1, "first write");
	if (a != PUT_OVER && a != DEL_TWO)
		expect(s, TUNNEL, 2, "second write of two");
	expect(s, SESSION, 1, "another class");
	there = store_get(s, TUNNEL, want[a].id, &r);
	done = there && want[a].after && r.len == strlen(want[a].after) &&
	       memcmp(r.bytes, want[a].after, r.len) == 0;
	if (!there)
		done = !want[a].after;
	expect(s, TUNNEL, want[a].id, done ? want[a].after : want[a].before);
	/* And it can be worked on. */
	act(s, a);
	expect(s, TUNNEL, want[a].id, want[a].after);
	assert_int_equal(store_forget_unreadable(s), 0);
	store_close(s);
	return done;
}

static void crash_case(enum action a, bool pairs)
{
	uint64_t size;
	uint8_t *mem = journal(small, SMALL_N, pairs, &size);
	uint8_t *last = memory(size), *copy = memory(size);
	int status, snapshots = 0, finished = 0;
	struct store *s;
	pid_t pid;

	s = open_ok(mem, size);
	put(s, TUNNEL, 1, "first write");
	put(s, TUNNEL, 2, "first write of two");
	put(s, TUNNEL, 2, "second write of two");
	put(s, SESSION, 1, "another class");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		act(s, a);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 77);
		skip();
	}
	memcpy(last, mem, size);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) == SIGSTOP)
			break;
		if (memcmp(last, mem, size) == 0)
			continue;
		memcpy(last, mem, size);
		snapshots++;
		finished += check_snapshot(mem, copy, size, a);
		/* Done stays done. */
		assert_true(finished == 0 || check_snapshot(mem, copy, size, a));
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(snapshots >= (a == DEL_ONE || a == DEL_TWO ? 1 : 2));
	assert_true(finished >= 1);
	store_close(s);
	munmap(mem, size);
	munmap(last, size);
	munmap(copy, size);
}

static void test_killed_writer(void **state)
{
	for (int a = 0; a < ACTIONS; a++)
		crash_case((enum action)a, false);
}

static void test_killed_writer_pairs(void **state)
{
	for (int a = 0; a < ACTIONS; a++)
		crash_case((enum action)a, true);
}

/* ---- damage ---- */

/* Which of its writes a record shows; 0 = not there, -1 = unreadable. */
static int version_of(const struct store *s, uint64_t id)
{
	struct store_record r;
	char text[32];

	if (!store_get(s, SESSION, id, &r))
		return 0;
	if (r.state == STORE_UNREADABLE)
		return -1;
	for (int v = 1; v <= 3; v++) {
		snprintf(text, sizeof(text), "record %d write %d", (int)id, v);
		if (r.len == strlen(text) && memcmp(r.bytes, text, r.len) == 0) {
			assert_int_equal(r.state, v == (int)id ? r.state : STORE_FORMER);
			return v;
		}
	}
	fail_msg("a record has bytes nobody wrote");
	return 0;
}

static int unreadable(const struct store *s, int *ret_nameless)
{
	struct store_record r;
	uint64_t pos = 0;
	int n = 0;

	*ret_nameless = 0;
	while (store_walk(s, 0, &pos, &r)) {
		n += r.state == STORE_UNREADABLE;
		*ret_nameless += r.state == STORE_UNREADABLE && !r.id_known;
	}
	return n;
}

static void damaged_case(uint8_t *copy, uint64_t size)
{
	struct store *s = open_ok(copy, size);
	int v[4], wrong = 0, nameless, n = unreadable(s, &nameless);

	for (int id = 1; id <= 3; id++) {
		v[id] = version_of(s, (uint64_t)id);
		wrong += v[id] != id;
		if (v[id] == 0) /* told, if not by name */
			assert_int_equal(nameless, 1);
		if (v[id] > 0)
			assert_true(v[id] == id || v[id] == id - 1);
	}
	assert_true(wrong <= 1);
	assert_true(n <= 1);
	/* Work goes on, also with what could not be read. */
	for (int id = 1; id <= 3; id++) {
		assert_int_equal(put(s, SESSION, (uint64_t)id, "written again"), 0);
		expect(s, SESSION, (uint64_t)id, "written again");
	}
	store_forget_unreadable(s);
	store_close(s);
	s = open_ok(copy, size);
	assert_int_equal(unreadable(s, &nameless), 0);
	for (int id = 1; id <= 3; id++)
		expect(s, SESSION, (uint64_t)id, "written again");
	assert_int_equal(store_count(s, SESSION), 3);
	store_close(s);
}

static void flips_case(bool pairs)
{
	static const struct store_class classes[] = { { SESSION, 24, 8 } };
	uint64_t size;
	uint8_t *mem = journal(classes, 1, pairs, &size), *copy = memory(size);
	struct store *s;
	char text[32];

	s = open_ok(mem, size);
	for (int id = 1; id <= 3; id++)
		for (int v = 1; v <= id; v++) {
			snprintf(text, sizeof(text), "record %d write %d", id, v);
			assert_int_equal(put(s, SESSION, (uint64_t)id, text), 0);
		}
	store_close(s);
	/* The high-water words, and all pairs in use and one behind. */
	for (size_t at = 416; at < 4096 + 4 * 2 * 72; at++) {
		if (at == 544)
			at = 4096;
		for (int bit = 0; bit < 8; bit++) {
			memcpy(copy, mem, size);
			copy[at] ^= (uint8_t)(1 << bit);
			damaged_case(copy, size);
		}
	}
	/* A whole slot overwritten. */
	for (size_t slot = 0; slot < 6; slot++) {
		memcpy(copy, mem, size);
		memset(copy + 4096 + slot * 72, 0xa5, 72);
		damaged_case(copy, size);
	}
	munmap(mem, size);
	munmap(copy, size);
}

static void test_bit_flips(void **state)
{
	flips_case(false);
}

static void test_bit_flips_pairs(void **state)
{
	flips_case(true);
}

/* The draft of a killed writer: its place is made whole from it; what is damaged is told. */
static void test_draft(void **state)
{
	static const struct store_class one = { SESSION, 64, 2 };
	enum { SLOT = 48 + 64 };
	uint64_t size;
	uint8_t *mem = journal(&one, 1, false, &size), *copy = memory(size);
	uint8_t *draft = copy + 4096, *place = draft + SLOT;
	struct store *s = open_ok(mem, size);
	struct store_record r;
	int nameless;

	put(s, SESSION, 7, "first");
	put(s, SESSION, 7, "second");
	store_close(s);
	/* its mark was cleared last: set it, and the writer has died before that */
	for (int damage = 0; damage < 6; damage++) {
		memcpy(copy, mem, size);
		memcpy(draft, "mark", 4);
		if (damage == 1 || damage == 3 || damage == 4)
			memset(place, 0, 4); /* ... or while it filled the place */
		if (damage == 2)
			memset(place, 0xa5, SLOT);
		if (damage >= 3)
			draft[damage == 3 ? 48 : 8] ^= 1; /* the octets; the head */
		s = open_ok(copy, size);
		if (damage < 3 || damage == 5) {
			expect(s, SESSION, 7, "second");
		} else {
			assert_false(store_get(s, SESSION, 7, &r));
		}
		/* of a draft without a name nobody knows what it was for */
		assert_int_equal(unreadable(s, &nameless), damage >= 3);
		assert_int_equal(nameless, damage >= 3);
		assert_int_equal(store_forget_unreadable(s), damage >= 3);
		assert_int_equal(put(s, SESSION, 7, "third"), 0);
		store_close(s);
		s = open_ok(copy, size);
		assert_int_equal(unreadable(s, &nameless), 0);
		expect(s, SESSION, 7, "third");
		store_close(s);
	}
	/* The draft was whole and its place not begun: then damage. */
	memcpy(copy, mem, size);
	memcpy(draft, "mark", 4);
	s = open_ok(mem, size);
	put(s, SESSION, 7, "third");
	store_close(s);
	memcpy(draft, mem + 4096, SLOT);
	memcpy(draft, "mark", 4);
	draft[48] ^= 1;
	s = open_ok(copy, size);
	assert_true(store_get(s, SESSION, 7, &r));
	assert_int_equal(r.state, STORE_FORMER);
	assert_memory_equal(r.bytes, "second", r.len);
	store_close(s);
	munmap(mem, size);
	munmap(copy, size);
}

static void test_two_of_a_name(void **state)
{
	struct fixture *f = *state;
	struct store_record r;
	uint64_t pos = 0;
	int nameless;

	assert_int_equal(put(f->s, TUNNEL, 1, "one"), 0);
	assert_int_equal(put(f->s, TUNNEL, 2, "two"), 0);
	memcpy(f->mem + 4096 + 448 * 2, f->mem + 4096 + 448, 448); /* behind the draft */
	reopen(f);
	expect(f->s, TUNNEL, 1, "one");
	assert_int_equal(unreadable(f->s, &nameless), 1);
	assert_int_equal(nameless, 1);
	assert_int_equal(store_forget_unreadable(f->s), 1);
	assert_true(store_walk(f->s, TUNNEL, &pos, &r));
	assert_false(store_walk(f->s, TUNNEL, &pos, &r));
	assert_int_equal(put(f->s, TUNNEL, 2, "two"), 0);
	reopen(f);
	expect(f->s, TUNNEL, 1, "one");
	expect(f->s, TUNNEL, 2, "two");
}

/* Reading must not touch pages nobody wrote: they would cost memory. */
static void test_sparse(void **state)
{
	static const struct store_class classes[] = { { SESSION, 2048, 100000 } };
	uint64_t size = store_size(classes, 1);
	uint8_t *mem = memory(size);
	unsigned char *resident = calloc(size / 4096, 1);
	struct store_record r;
	struct store *s;
	uint64_t pos = 0;
	size_t used = 0;

	assert_true(size > 200000000);
	assert_int_equal(store_format(mem, size, classes, 1), 0);
	s = open_ok(mem, size);
	for (uint64_t id = 1; id <= 10; id++)
		assert_int_equal(put(s, SESSION, id, "x"), 0);
	store_close(s);
	s = open_ok(mem, size);
	while (store_walk(s, 0, &pos, &r))
		assert_int_equal(r.len, 1);
	store_close(s);
	assert_int_equal(mincore(mem, size, resident), 0);
	for (size_t i = 0; i < size / 4096; i++)
		used += resident[i] & 1;
	assert_in_range(used, 2, 24);
	free(resident);
	munmap(mem, size);
}

/* ---- the golden journal ---- */

static const struct store_class golden[] = { { TUNNEL, 600, 2 },
					     { SESSION, 120, 6 },
					     { ACCT, 40, 4 } };

static void golden_fill(struct store *s)
{
	put(s, TUNNEL, 0x1234, "a tunnel, first");
	put(s, TUNNEL, 0x1234, "a tunnel, second");
	put(s, SESSION, 0x100000001, "a session");
	put(s, SESSION, 0x100000002, "a session that ended");
	put(s, SESSION, 0x100000003, "the third session");
	store_del(s, SESSION, 0x100000002);
	put(s, ACCT, 0x100000002, "{\"event\":\"stop\"}");
}

static int golden_write(const char *path)
{
	uint64_t size = store_size(golden, 3);
	uint8_t *mem = calloc(1, size);
	struct store *s;
	char text[STORE_TEXT_MAX];
	int err;
	FILE *f = fopen(path, "wb");

	if (!mem || !f || store_format(mem, size, golden, 3) < 0)
		return 1;
	s = store_open(mem, size, &err, text);
	golden_fill(s);
	store_close(s);
	fwrite(mem, 1, size, f);
	free(mem);
	return fclose(f) != 0;
}

/* A journal of an old release gets the classes of this one, and keeps what stands in it. */
static void renew(uint8_t *mem, uint64_t size, bool former)
{
	struct store_class have[STORE_CLASSES], want[STORE_CLASSES];
	char text[STORE_TEXT_MAX];
	size_t have_n = 0, n = 0;
	struct store *old, *s;
	uint64_t more;
	uint8_t *new;

	assert_int_equal(store_look(mem, size, have, &have_n, text), former);
	assert_int_equal(have_n, 3);
	assert_int_equal(layout_renewed(have, have_n, size, 100, 1000, want, &n), 1);
	assert_true(n > have_n);
	more = store_size(want, n);
	new = memory(more);
	assert_int_equal(store_format(new, more, want, n), 0);
	old = open_ok(mem, size);
	s = open_ok(new, more);
	assert_int_equal(store_copy(old, s), 0);
	store_close(old);
	store_close(s);
	s = open_ok(new, more);
	expect(s, TUNNEL, 0x1234, "a tunnel, second");
	expect(s, SESSION, 0x100000001, "a session");
	expect(s, SESSION, 0x100000002, NULL);
	expect(s, ACCT, 0x100000002, "{\"event\":\"stop\"}");
	assert_int_equal(store_count(s, SESSION), 2);
	assert_true(store_room(s, STATE) > 0);
	store_close(s);
	/* and that one is of this release */
	assert_int_equal(store_look(new, more, have, &have_n, text), 0);
	assert_int_equal(layout_renewed(have, have_n, size, 100, 1000, want, &n), 0);
	new[8]++; /* the version */
	assert_int_equal(store_look(new, more, have, &have_n, text), -EINVAL);
	assert_non_null(strstr(text, "version"));
	munmap(new, more);
}

/* Room for many short records would become room for as many long ones. */
static void test_no_journal_of_ours(void **state)
{
	static const struct store_class have[] = { { TUNNEL, 1, 1u << 20 },
						   { SESSION, 600, 1250 } };
	struct store_class want[STORE_CLASSES];
	size_t n = 7;

	assert_int_equal(layout_renewed(have, 2, store_size(have, 2), 100, 1000, want, &n),
			 -ERANGE);
	assert_int_equal(n, 7);
	assert_int_equal(layout_renewed(have + 1, 1, 0, 100, 1000, want, &n), 1);
	assert_int_equal(n, LAYOUT_JOURNAL_CLASSES);
}

/* An aditd that was taken over writes before each restart what makes the journal grow: records of
 * ours that are one octet long, so that they have to grow, and the rest as a kind nobody knows. */
static void test_growth_has_an_end(void **state)
{
	struct store_class have[STORE_CLASSES], want[STORE_CLASSES], ours[LAYOUT_JOURNAL_CLASSES];
	uint64_t first, size, most;
	size_t n = LAYOUT_JOURNAL_CLASSES;
	int rc = 1, grown = 0;

	layout_journal(100, 1000, ours);
	first = size = store_size(ours, n);
	most = 4 * (2 * first + 1);
	while (rc == 1 && grown < 100) {
		memcpy(have, ours, sizeof(ours));
		for (size_t i = 0; i < n; i++)
			have[i].max = 1;
		have[n] = (struct store_class){ 200, 400, 1 };
		while (store_size(have, n + 1) < size)
			have[n].count += 64;
		rc = layout_renewed(have, n + 1, first, 100, 1000, want, &n);
		if (rc != 1)
			break;
		assert_int_equal(n, LAYOUT_JOURNAL_CLASSES + 1);
		n = LAYOUT_JOURNAL_CLASSES;
		size = store_size(want, n + 1);
		assert_true(size <= most);
		grown++;
	}
	assert_int_equal(rc, -ERANGE);
	assert_in_range(grown, 1, 20);
}

static void golden_case(const char *name, bool former)
{
	const char *dir = getenv("ADIT_GOLDEN");
	char path[512];
	struct store *s;
	uint8_t *mem;
	long size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : GOLDEN_DIR, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	mem = memory((uint64_t)size);
	assert_int_equal(fread(mem, 1, (size_t)size, f), size);
	fclose(f);
	s = open_ok(mem, (uint64_t)size);
	expect(s, TUNNEL, 0x1234, "a tunnel, second");
	expect(s, SESSION, 0x100000001, "a session");
	expect(s, SESSION, 0x100000002, NULL);
	expect(s, SESSION, 0x100000003, "the third session");
	expect(s, ACCT, 0x100000002, "{\"event\":\"stop\"}");
	assert_int_equal(store_count(s, SESSION), 2);
	store_close(s);
	renew(mem, (uint64_t)size, former);
	munmap(mem, (size_t)size);
}

static void test_golden(void **state)
{
	golden_case("store-1.journal", true);
	golden_case("store-2.journal", true);
	golden_case("store-3.journal", false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_put_get_del, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test(test_impossible_header),
		cmocka_unit_test(test_written_meanwhile),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_model_pairs),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_killed_writer),
		cmocka_unit_test(test_killed_writer_pairs),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_bit_flips_pairs),
		cmocka_unit_test(test_draft),
		cmocka_unit_test_setup_teardown(test_two_of_a_name, setup, teardown),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_no_journal_of_ours),
		cmocka_unit_test(test_growth_has_an_end),
		cmocka_unit_test(test_golden),
	};

	if (argc == 3 && strcmp(argv[1], "--golden") == 0)
		return golden_write(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
