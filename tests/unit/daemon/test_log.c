/* SPDX-License-Identifier: MIT
 *
 * The log: levels, repeated lines, long lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/log.h"
#include "failmalloc.h"

struct world {
	int fd[2];
	struct log *log;
	char text[1 << 16];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(pipe(w->fd), 0);
	w->log = log_new("aditd", w->fd[1]);
	assert_non_null(w->log);
	log_configure(w->log, CONF_LOG_STDERR, TRACE_INFO);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	log_free(w->log, 0);
	close(w->fd[0]);
	close(w->fd[1]);
	free(w);
	return 0;
}

/* What was written since the last call, without the times. */
static const char *written(struct world *w)
{
	static const char mark[] = " aditd ";
	char raw[1 << 16], *at, *end;
	ssize_t n;
	size_t len = 0;

	assert_int_equal(write(w->fd[1], "", 1), 1); /* so that reading never blocks */
	n = read(w->fd[0], raw, sizeof(raw) - 1);
	assert_true(n > 0);
	raw[n] = '\0';
	w->text[0] = '\0';
	for (at = raw; (end = strchr(at, '\n')); at = end + 1) {
		char *line = strstr(at, mark);

		assert_true(line && line < end);
		line += sizeof(mark) - 1;
		len += (size_t)snprintf(w->text + len, sizeof(w->text) - len, "%.*s\n",
					(int)(end - line), line);
	}
	return w->text;
}

static void line_at(struct world *w, int64_t s, enum trace_level level, const char *text)
{
	log_line(w->log, (struct mono){ (s + 1) * US_S }, s * US_S, level, text);
}

static void test_levels(void **state)
{
	struct world *w = *state;

	line_at(w, 0, TRACE_DEBUG, "a");
	line_at(w, 0, TRACE_INFO, "b");
	line_at(w, 0, TRACE_WARNING, "c");
	assert_string_equal(written(w), "info: b\nwarning: c\n");
	log_configure(w->log, CONF_LOG_STDERR, TRACE_DEBUG);
	assert_int_equal(log_level(w->log), TRACE_DEBUG);
	line_at(w, 0, TRACE_DEBUG, "a");
	assert_string_equal(written(w), "debug: a\n");
}

static void test_repeated_lines_are_counted(void **state)
{
	struct world *w = *state;

	assert_int_equal(log_deadline(w->log).us, INT64_MAX);
	for (int i = 0; i < 1000; i++) {
		line_at(w, 1, TRACE_INFO, "ping");
		line_at(w, 2, TRACE_INFO, "pong"); /* they take turns */
	}
	assert_string_equal(written(w), "info: ping\ninfo: pong\n");
	assert_int_equal(log_deadline(w->log).us, 12 * US_S);
	log_expire(w->log, (struct mono){ 12 * US_S }, 0);
	assert_string_equal(written(w), "info: (999 more times, last at 00:00:01) ping\n");
	log_expire(w->log, (struct mono){ 13 * US_S }, 0);
	assert_string_equal(written(w), "info: (999 more times, last at 00:00:02) pong\n");
	assert_int_equal(log_deadline(w->log).us, INT64_MAX);
	/* its time is over: written again */
	line_at(w, 20, TRACE_INFO, "ping");
	assert_string_equal(written(w), "info: ping\n");
	/* another level is another line */
	line_at(w, 20, TRACE_WARNING, "ping");
	assert_string_equal(written(w), "warning: ping\n");
}

static void test_many_different_lines(void **state)
{
	struct world *w = *state;
	char text[32];
	size_t lines = 0;

	line_at(w, 1, TRACE_INFO, "first");
	line_at(w, 1, TRACE_INFO, "first");
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		line_at(w, 1, TRACE_INFO, text);
	}
	for (const char *p = written(w); *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 102);
	/* the count of the first was told when its place was needed */
	assert_non_null(strstr(w->text, "(once more, at 00:00:01) first\n"));
}

static void many_at(struct world *w, int64_t s, enum trace_level level, uint32_t kind, int n)
{
	char text[64];

	for (int i = 1; i <= n; i++) {
		snprintf(text, sizeof(text), "%u: user %d is refused", kind, i);
		log_line_of(w->log, (struct mono){ (s + 1) * US_S }, s * US_S, level, kind, text);
	}
}

static size_t lines_of(struct world *w)
{
	size_t lines = 0;

	for (const char *p = written(w); *p; p++)
		lines += *p == '\n';
	return lines;
}

/* X09: a thousand users with wrong passwords are a few lines, and a count. */
static void test_many_of_a_kind(void **state)
{
	struct world *w = *state;

	many_at(w, 1, TRACE_NOTICE, 7, 1000);
	assert_int_equal(lines_of(w), LOG_OF_KIND);
	assert_non_null(strstr(w->text, "7: user 1 is refused\n"));
	/* Others have their own share, and what is of no kind is written. */
	many_at(w, 2, TRACE_NOTICE, 8, 3);
	many_at(w, 2, TRACE_WARNING, 0, 100);
	assert_int_equal(lines_of(w), 103);
	assert_int_equal(log_deadline(w->log).us, 12 * US_S);
	log_expire(w->log, (struct mono){ 12 * US_S }, 0);
	assert_string_equal(
		written(w),
		"notice: (980 more like this, last at 00:00:01) 7: user 1000 is refused\n");
	assert_int_equal(log_deadline(w->log).us, INT64_MAX);
	/* A new window. */
	many_at(w, 12, TRACE_NOTICE, 7, 21);
	assert_int_equal(lines_of(w), LOG_OF_KIND);
	/* Who wants to see what goes well sees more of it; for debugging all. */
	many_at(w, 40, TRACE_INFO, 9, 250);
	assert_int_equal(lines_of(w), 1 + 10 * LOG_OF_KIND);
	log_configure(w->log, CONF_LOG_STDERR, TRACE_DEBUG);
	many_at(w, 60, TRACE_DEBUG, 10, 250);
	assert_int_equal(lines_of(w), 1 + 250);
}

static size_t more_of(const char *text)
{
	size_t more = 0;

	for (; (text = strstr(text, "(10 more like this, last at 00:00:01)")); text++)
		more++;
	return more;
}

/* More kinds than there is room for: the oldest is told of, and begins anew. */
static void test_many_kinds(void **state)
{
	struct world *w = *state;
	size_t more = 0, lines = 0;

	for (uint32_t kind = 1; kind <= 100; kind++) {
		many_at(w, 1, TRACE_NOTICE, kind, 30);
		lines += lines_of(w);
		more += more_of(w->text);
	}
	log_expire(w->log, (struct mono){ 100 * US_S }, 0);
	lines += lines_of(w);
	more += more_of(w->text);
	assert_int_equal(more, 100);
	assert_int_equal(lines, 100 * (LOG_OF_KIND + 1));
}

static void test_long_lines_are_cut(void **state)
{
	struct world *w = *state;
	char text[3 * LOG_LINE_MAX];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	line_at(w, 1, TRACE_INFO, text);
	assert_int_equal(strlen(written(w)), LOG_LINE_MAX - 1 + strlen("info: \n"));
	line_at(w, 1, TRACE_INFO, text);
	assert_string_equal(written(w), "");
}

static void test_no_memory(void **state)
{
	failmalloc_arm(1);
	assert_null(log_new("aditd", 2));
	assert_true(failmalloc_disarm());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repeated_lines_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_different_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_of_a_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_lines_are_cut, setup, teardown),
		cmocka_unit_test(test_no_memory),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
