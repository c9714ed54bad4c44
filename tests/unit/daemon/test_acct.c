/* SPDX-License-Identifier: MIT
 *
 * The accounting file: every line exactly once, over kills, a full disk, rotation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/acct.h"
#include "failmalloc.h"

struct world {
	char dir[32], path[64], text[1 << 20], told[ACCT_TEXT_MAX];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	strcpy(w->dir, "/tmp/adit-acct-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/acct", w->dir);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static const char *content(struct world *w)
{
	FILE *f = fopen(w->path, "r");
	size_t n = 0;

	if (f) {
		n = fread(w->text, 1, sizeof(w->text) - 1, f);
		fclose(f);
	}
	w->text[n] = '\0';
	return w->text;
}

static void put_content(struct world *w, const char *text)
{
	FILE *f = fopen(w->path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static struct mono at(int64_t s)
{
	return (struct mono){ s * US_S };
}

static size_t confirmed(struct acct *a)
{
	uint64_t key;
	uint32_t seq;
	size_t n = 0;

	while (acct_written(a, &key, &seq))
		n++;
	return n;
}

static void test_write_and_confirm(void **state)
{
	struct world *w = *state;
	struct acct *a = acct_new(w->path);
	uint64_t key = 0;
	uint32_t seq = 0;

	assert_non_null(a);
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	assert_int_equal(acct_add(a, 7, 1, "{\"a\":1}"), 0);
	assert_int_equal(acct_add(a, 7, 2, "{\"a\":2}"), 0);
	assert_false(acct_written(a, &key, &seq)); /* not before the flush */
	assert_int_equal(acct_waiting(a), 2);
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	assert_string_equal(content(w), "{\"a\":1}\n{\"a\":2}\n");
	assert_true(acct_written(a, &key, &seq));
	assert_int_equal(key, 7);
	assert_int_equal(seq, 1);
	assert_true(acct_written(a, &key, &seq));
	assert_int_equal(seq, 2);
	assert_false(acct_written(a, &key, &seq));
	assert_int_equal(acct_waiting(a), 0);
	acct_free(a);
}

/* The user of aditd may not write there: the log says what mends it. */
static void test_not_allowed(void **state)
{
	struct world *w = *state;
	struct acct *a = acct_new(w->path);
	bool root = geteuid() == 0;

	assert_non_null(a);
	assert_int_equal(acct_add(a, 7, 1, "{}"), 0);
	assert_int_equal(chmod(w->dir, 0500), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(acct_flush(a, at(1), w->told), 1);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(w->dir, 0700), 0);
	assert_non_null(
		strstr(w->told, "the user that aditd runs as may not write there; give it"));
	acct_free(a);
}

static void test_no_accounting(void **state)
{
	struct acct *a = acct_new("");
	char told[ACCT_TEXT_MAX];

	assert_int_equal(acct_add(a, 7, 1, "x"), 0);
	assert_int_equal(confirmed(a), 1);
	assert_int_equal(acct_flush(a, at(1), told), 0);
	assert_int_equal(acct_waiting(a), 0);
	acct_free(a);
}

/* A kill between the write and the confirmation: the line comes again and is not written again. */
static void test_recovery(void **state)
{
	struct world *w = *state;
	struct acct *a;

	put_content(w, "old\nline one\nline two\nline thr");
	a = acct_new(w->path);
	acct_recover(a);
	assert_int_equal(acct_add(a, 1, 1, "line one"), 0);
	assert_int_equal(acct_add(a, 1, 2, "line two"), 0);
	assert_int_equal(acct_add(a, 1, 3, "line three"), 0);
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	acct_recovered(a);
	assert_int_equal(confirmed(a), 3);
	assert_string_equal(content(w), "old\nline one\nline two\nline three\n");
	/* from now on an equal line is another line */
	assert_int_equal(acct_add(a, 2, 1, "line one"), 0);
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	assert_string_equal(content(w), "old\nline one\nline two\nline three\nline one\n");
	acct_free(a);
}

/* A long file: only its end is looked at, and a line that begins before that is no match. */
static void test_recovery_of_a_long_file(void **state)
{
	struct world *w = *state;
	FILE *f = fopen(w->path, "w");
	struct acct *a;
	struct stat st, after;

	for (int i = 0; i < 200000; i++)
		fprintf(f, "line %d\n", i);
	fclose(f);
	assert_int_equal(stat(w->path, &st), 0);
	a = acct_new(w->path);
	acct_recover(a);
	acct_add(a, 1, 1, "line 199999");
	acct_add(a, 1, 2, "line 199500");
	acct_add(a, 1, 3, "new");
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	acct_recovered(a);
	assert_int_equal(confirmed(a), 3);
	assert_int_equal(stat(w->path, &after), 0);
	assert_int_equal(after.st_size, st.st_size + 4);
	acct_free(a);
}

/* The disk is full: whole lines only, told once, tried again, told when it works again. */
static void test_full_disk(void **state)
{
	struct world *w = *state;
	struct rlimit before, tight;
	struct acct *a = acct_new(w->path);

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	tight = before;
	tight.rlim_cur = 12; /* "line 1\n" fits, "line 2\n" does not */
	acct_add(a, 1, 1, "line 1");
	acct_add(a, 1, 2, "line 2");
	setrlimit(RLIMIT_FSIZE, &tight);
	assert_int_equal(acct_flush(a, at(1), w->told), 1);
	assert_non_null(strstr(w->told, "they are kept and tried again"));
	assert_string_equal(content(w), "line 1\n");
	assert_int_equal(confirmed(a), 1);
	assert_int_equal(acct_waiting(a), 1);
	assert_int_equal(acct_deadline(a).us, at(1).us + ACCT_RETRY_US);

	/* not before its time; told once for each reason */
	assert_int_equal(acct_flush(a, at(2), w->told), 0);
	assert_int_equal(acct_flush(a, at(3), w->told), 1);
	assert_int_equal(acct_flush(a, at(5), w->told), 1);
	assert_string_equal(w->told, "");
	assert_string_equal(content(w), "line 1\n");

	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(acct_flush(a, at(9), w->told), 2);
	assert_non_null(strstr(w->told, "again"));
	assert_string_equal(content(w), "line 1\nline 2\n");
	assert_int_equal(confirmed(a), 1);
	assert_int_equal(acct_deadline(a).us, INT64_MAX);
	acct_free(a);
}

static void test_bad_places(void **state)
{
	struct world *w = *state;
	char path[96];
	struct acct *a;

	snprintf(path, sizeof(path), "%s/no/such/dir", w->dir);
	a = acct_new(path);
	acct_add(a, 1, 1, "x");
	assert_int_equal(acct_flush(a, at(1), w->told), 1);
	assert_non_null(strstr(w->told, "No such file or directory"));
	/* another file by a new configuration: at once */
	assert_int_equal(acct_path(a, w->path), 0);
	assert_int_equal(acct_flush(a, at(1), w->told), 2);
	assert_string_equal(content(w), "x\n");
	assert_int_equal(confirmed(a), 1);
	acct_add(a, 1, 2, "y");
	assert_int_equal(acct_path(a, w->dir), 0);
	assert_int_equal(acct_flush(a, at(1), w->told), 1);
	/* no accounting any more: what waits counts as written */
	assert_int_equal(acct_path(a, ""), 0);
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	assert_int_equal(confirmed(a), 1);
	acct_free(a);
}

static void test_rotation(void **state)
{
	struct world *w = *state;
	char moved[80];
	struct acct *a = acct_new(w->path);

	acct_add(a, 1, 1, "one");
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	snprintf(moved, sizeof(moved), "%s.1", w->path);
	assert_int_equal(rename(w->path, moved), 0);
	acct_add(a, 1, 2, "two");
	assert_int_equal(acct_flush(a, at(1), w->told), 0);
	assert_string_equal(content(w), "two\n");
	assert_int_equal(unlink(moved), 0);
	acct_free(a);
}

static void test_many_lines_in_batches(void **state)
{
	struct world *w = *state;
	struct acct *a = acct_new(w->path);
	char line[32];
	size_t total = 0;

	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "line %d", i);
		assert_int_equal(acct_add(a, 1, (uint32_t)i, line), 0);
	}
	for (int i = 0; acct_waiting(a) && i < 100; i++) {
		size_t n;

		assert_int_equal(acct_flush(a, at(1), w->told), 0);
		n = confirmed(a);
		assert_true(n > 0 && n <= 256);
		total += n;
	}
	assert_int_equal(total, 1000);
	acct_free(a);
}

static void test_no_memory(void **state)
{
	struct world *w = *state;
	struct acct *a;

	for (long n = 1;; n++) {
		failmalloc_arm(n);
		a = acct_new(w->path);
		if (a && acct_add(a, 1, 1, "line") == 0)
			acct_flush(a, at(1), w->told);
		if (a)
			acct_free(a);
		if (!failmalloc_disarm())
			break;
		content(w);
		assert_true(w->text[0] == '\0' || strcmp(w->text, "line\n") == 0);
		unlink(w->path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write_and_confirm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_allowed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_accounting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recovery, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recovery_of_a_long_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_lines_in_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
