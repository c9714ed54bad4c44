/* SPDX-License-Identifier: MIT
 *
 * Runs the L2TP transcripts: tests/rfc/l2tp, and, built with RFC_L2TP3, tests/rfc/l2tp3: one text
 * file a scenario; README there says how they are written. Each file is one test of the TAP output.
 *
 *     rfc_l2tp DIRECTORY            all scenarios
 *     rfc_l2tp FILE...              some
 *     rfc_l2tp -v FILE...           tell each line that happened, go on after a mismatch
 *     rfc_l2tp -w FILE ...          write all packets to a capture file (of raw IP)
 *     rfc_l2tp3 -i ...              over IP what is written for UDP; scenarios that are for one of
 *                                   the two only (`only udp: why`, `only ip: why`) are left out
 */
#ifdef RFC_L2TP3
#include "harness3.h"
#else
#include "harness.h"
#endif
#include <ctype.h>
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 8192
#define VARS	     64
#define REPEATS	     4

struct line {
	char *text;
	const char *file;
	unsigned number;
};

struct scenario {
	struct harness h;
	struct line *lines;
	size_t count, cap;
	struct mono at; /* of the line before */
	struct {
		char name[32], value[256];
	} var[VARS];
	unsigned vars;
	struct {
		size_t begin;
		long left;
	} repeat[REPEATS];
	unsigned depth;
	bool verbose, over_ip, failed, started;
};

struct options {
	bool verbose, over_ip;
	FILE *capture;
};

static void copy_text(char to[LINE_MAX_LEN], const char *from)
{
	size_t n = strnlen(from, LINE_MAX_LEN - 1);

	memcpy(to, from, n);
	to[n] = 0;
}

static void complain(struct scenario *s, const struct line *line, const char *why, const char *what)
{
	s->failed = true;
	printf("# %s:%u: %s%s%s\n", line->file, line->number, why, *what ? ": " : "", what);
}

/* ---- reading files ---- */

static bool read_file(struct scenario *s, const char *path, unsigned depth);

static void push_line(struct scenario *s, const char *text, const char *file, unsigned number)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 64;
		s->lines = realloc(s->lines, s->cap * sizeof(*s->lines));
	}
	s->lines[s->count++] = (struct line){ strdup(text), strdup(file), number };
}

static bool include(struct scenario *s, const char *from, const char *name, unsigned depth)
{
	const char *slash = strrchr(from, '/');
	char path[1024];

	snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - from + 1) : 0, from, name);
	return depth < 4 && read_file(s, path, depth + 1);
}

static bool read_file(struct scenario *s, const char *path, unsigned depth)
{
	char text[LINE_MAX_LEN];
	unsigned number = 0;
	bool good = true;
	FILE *f = fopen(path, "r");

	if (!f) {
		printf("# cannot read %s\n", path);
		return false;
	}
	while (good && fgets(text, sizeof(text), f)) {
		char *p = text;

		number++;
		text[strcspn(text, "\n")] = 0;
		while (isspace((unsigned char)*p))
			p++;
		if (!*p || *p == '#')
			continue;
		if (!strncmp(p, "include ", 8))
			good = include(s, path, p + 8, depth);
		else
			push_line(s, p, path, number);
	}
	fclose(f);
	return good;
}

/* ---- variables ---- */

static char *var_of(struct scenario *s, const char *name, size_t n)
{
	for (unsigned i = 0; i < s->vars; i++) {
		if (strlen(s->var[i].name) == n && !strncmp(s->var[i].name, name, n))
			return s->var[i].value;
	}
	return NULL;
}

static void var_set(struct scenario *s, const char *name, const char *value)
{
	if (s->vars == VARS)
		return;
	snprintf(s->var[s->vars].name, sizeof(s->var[0].name), "%s", name);
	snprintf(s->var[s->vars++].value, sizeof(s->var[0].value), "%s", value);
}

/* Put the values in place of $names that are known; others stay. */
static void expand(struct scenario *s, const char *from, char *to, size_t cap)
{
	size_t n = 0;

	while (*from && n + 1 < cap) {
		size_t len = 1;
		const char *v;

		if (*from != '$') {
			to[n++] = *from++;
			continue;
		}
		while (isalnum((unsigned char)from[len]))
			len++;
		v = var_of(s, from + 1, len - 1);
		if (!v) {
			to[n++] = *from++;
			continue;
		}
		n += (size_t)snprintf(to + n, cap - n, "%s", v);
		n = n < cap ? n : cap - 1;
		from += len;
	}
	to[n] = 0;
}

/* ---- matching ---- */

/* One expected word against one that came; a $name that has no value yet takes this one. */
static bool word_matches(struct scenario *s, const char *want, const char *got)
{
	const char *eq = strchr(want, '='), *got_eq = strchr(got, '=');
	size_t n;

	if (!eq || !got_eq)
		return !fnmatch(want, got, 0);
	n = (size_t)(eq - want);
	if (n != (size_t)(got_eq - got) || strncmp(want, got, n))
		return false;
	if (eq[1] == '$') {
		var_set(s, eq + 2, got_eq + 1);
		return true;
	}
	if (eq[1] == '!')
		return fnmatch(eq + 2, got_eq + 1, 0);
	return !fnmatch(eq + 1, got_eq + 1, 0);
}

/*
 * The expected words against those that came. Bare words stand in order at the front; the rest is
 * name=value in any order; "..." at the end lets others be there too.
 */
static bool line_matches(struct scenario *s, char *want, char *got)
{
	char *w[WP_WORDS], *g[WP_WORDS];
	unsigned wn = wp_split(want, w), gn = wp_split(got, g), used = 0;
	bool taken[WP_WORDS] = { false };
	bool open = wn && !strcmp(w[wn - 1], "...");

	wn -= open;
	for (unsigned i = 0; i < wn; i++) {
		unsigned k;

		for (k = 0; k < gn; k++) {
			if (!taken[k] && (i > 1 || k == i) && word_matches(s, w[i], g[k]))
				break;
		}
		if (k == gn)
			return false;
		taken[k] = true;
		used++;
	}
	return open || used == gn;
}

/*
 * A message without a secret has a checksum over IP and none over UDP (RFC 3931 4.1.1.2), so its
 * acknowledgement is an ACK there and a ZLB here. In place, what it would be over UDP.
 */
static void as_over_udp(char *got)
{
	static const char checksum[] = " digest=empty", ack[] = "< ACK ";
	char *at = strstr(got, checksum);

	if (!at)
		return;
	memmove(at, at + sizeof(checksum) - 1, strlen(at + sizeof(checksum) - 1) + 1);
	if (!strncmp(got, ack, sizeof(ack) - 1))
		memcpy(got, "< ZLB ", sizeof(ack) - 1);
}

static bool came_as_wanted(struct scenario *s, const char *text, const char *got)
{
	char wanted[LINE_MAX_LEN], copy[LINE_MAX_LEN];

	copy_text(wanted, text);
	copy_text(copy, got);
	if (line_matches(s, wanted, copy))
		return true;
	if (!s->over_ip)
		return false;
	copy_text(wanted, text);
	copy_text(copy, got);
	as_over_udp(copy);
	return line_matches(s, wanted, copy);
}

static void say_time(struct mono at, char *buf, size_t cap)
{
	snprintf(buf, cap, "[%.3f]", (double)(at.us - START_US) / 1e6);
}

static void expect(struct scenario *s, const struct line *line, char *text)
{
	struct mono at;
	char when[32];
	char *got;

	harness_until(&s->h, s->at);
	got = lines_take(&s->h.log, &at);
	if (!got) {
		complain(s, line, "nothing happened, expected", text);
		return;
	}
	say_time(at, when, sizeof(when));
	if (!came_as_wanted(s, text, got) || at.us / 1000 != s->at.us / 1000) {
		complain(s, line, "expected", line->text);
		printf("#   came:     %s %s\n", when, got);
	}
	if (s->verbose)
		printf("# %s %s\n", when, got);
	free(got);
}

/* Nothing may have happened up to now that no line has spoken of. */
static bool nothing_open(struct scenario *s, const struct line *line)
{
	bool none = true;

	while (harness_until(&s->h, s->at)) {
		struct mono at;
		char *got = lines_take(&s->h.log, &at);
		char when[32];

		say_time(at, when, sizeof(when));
		if (none)
			complain(s, line, "before this, not expected", "");
		printf("#   came:     %s %s\n", when, got);
		free(got);
		none = false;
	}
	return none;
}

/* ---- running ---- */

/* "[ 1.000] " or "[+0.5] "; the text behind it, or NULL. */
static char *take_time(struct scenario *s, char *text)
{
	char *end;
	double v;
	bool plus;

	if (*text++ != '[')
		return NULL;
	while (*text == ' ')
		text++;
	plus = *text == '+';
	v = strtod(text, &end);
	if (end == text || *end != ']')
		return NULL;
	v = v * 1e6 + 0.5;
	s->at.us = plus ? s->at.us + (int64_t)v : START_US + (int64_t)v;
	if (s->at.us < s->h.log.now.us)
		return NULL;
	end++;
	while (*end == ' ')
		end++;
	return end;
}

static void ask(struct scenario *s, const struct line *line, char *text)
{
	char want[LINE_MAX_LEN], copy[LINE_MAX_LEN], got[LINE_MAX_LEN];
	char *words[WP_WORDS];
	unsigned n;

	copy_text(want, text);
	copy_text(copy, text);
	n = wp_split(copy, words);
	if (!harness_ask(&s->h, words + 1, n - 1, got, sizeof(got))) {
		complain(s, line, "cannot ask that", text);
		return;
	}
	copy_text(copy, got);
	if (!line_matches(s, want, copy)) {
		complain(s, line, "expected", text);
		printf("#   it is:    %s\n", got);
	}
}

static void run_line(struct scenario *s, const struct line *line)
{
	char copy[LINE_MAX_LEN], text[LINE_MAX_LEN], stimulus[LINE_MAX_LEN], when[32];
	char *words[WP_WORDS], *p;
	unsigned n;
	bool known;

	copy_text(copy, line->text);
	p = take_time(s, copy);
	if (!p) {
		complain(s, line, "no time, or it runs backwards", line->text);
		return;
	}
	expand(s, p, text, sizeof(text));
	if (strchr("<!=", text[0])) {
		expect(s, line, text);
		return;
	}
	if (!nothing_open(s, line) && !s->verbose)
		return;
	say_time(s->at, when, sizeof(when));
	if (s->verbose)
		printf("# %s %s\n", when, text);
	if (text[0] == '?') {
		ask(s, line, text);
		return;
	}
	copy_text(stimulus, text);
	n = wp_split(stimulus, words);
	if (n > 1 && !strcmp(words[0], ">"))
		known = harness_send(&s->h, words + 1, n - 1);
	else if (n > 1 && !strcmp(words[0], "do"))
		known = harness_do(&s->h, words + 1, n - 1);
	else
		known = n && !strcmp(words[0], "end");
	if (!known)
		complain(s, line, "not understood", line->text);
}

/* Lines without a time: what is set at the start, and repetition. True when it was one. */
static bool run_directive(struct scenario *s, size_t *i)
{
	const struct line *line = &s->lines[*i];
	char copy[LINE_MAX_LEN];
	char *words[WP_WORDS];
	unsigned n;

	if (line->text[0] == '[')
		return false;
	copy_text(copy, line->text);
	n = wp_split(copy, words);
	if (!strcmp(words[0], "repeat") && n == 2 && s->depth < REPEATS) {
		s->repeat[s->depth].begin = *i;
		s->repeat[s->depth++].left = strtol(words[1], NULL, 10) - 1;
		return true;
	}
	if (!strcmp(words[0], "again") && s->depth) {
		if (s->repeat[s->depth - 1].left-- > 0)
			*i = s->repeat[s->depth - 1].begin;
		else
			s->depth--;
		return true;
	}
	if (!strcmp(words[0], "only") && n > 2) { /* of L2TPv3, says why */
		if (strcmp(words[1], "udp:") &&
		    (strcmp(words[1], "ip:") || !harness_over_ip(&s->h, false)))
			complain(s, line, "not understood", line->text);
		return true;
	}
	if (!strcmp(words[0], "owner") && n == 2) {
		s->h.waits = !strcmp(words[1], "waits");
		return true;
	}
	for (unsigned k = 1; k < n; k++) {
		bool known = false;

		if (!strcmp(words[0], "profile") && !s->h.profile)
			known = harness_set(&s->h, words[k]);
		else if (!strcmp(words[0], "engine") && !s->started)
			known = harness_set_engine(&s->h, words[k]);
		if (!known)
			complain(s, line, "not understood", words[k]);
	}
	if (strcmp(words[0], "profile") && strcmp(words[0], "engine"))
		complain(s, line, "not understood", line->text);
	return true;
}

/* Is it for one encapsulation only? */
static bool only_one(const struct scenario *s)
{
	for (size_t i = 0; i < s->count; i++) {
		if (!strncmp(s->lines[i].text, "only ", 5))
			return true;
	}
	return false;
}

static void run_lines(struct scenario *s)
{
	for (size_t i = 0; i < s->count && (s->verbose || !s->failed); i++) {
		if (run_directive(s, &i))
			continue;
		if (!s->started)
			harness_start(&s->h);
		s->started = true;
		run_line(s, &s->lines[i]);
		if (s->h.log.failed) {
			complain(s, &s->lines[i], "the engine breaks its contract",
				 s->h.log.failed);
			break;
		}
	}
	if (s->count && !s->failed)
		nothing_open(s, &s->lines[s->count - 1]);
}

/* One test of the TAP output, unless it is for another encapsulation; true when it is good. */
static bool run(const struct options *o, const char *path, int *number, const char *name)
{
	struct scenario *s = calloc(1, sizeof(*s));
	bool good, left_out = false;

	harness_init(&s->h);
	s->verbose = o->verbose;
	s->over_ip = o->over_ip;
	s->h.log.capture = o->capture;
	s->at.us = START_US;
	s->failed = !read_file(s, path, 0);
	if (o->over_ip) {
		left_out = only_one(s);
		s->failed |= !harness_over_ip(&s->h, true);
	}
	if (!left_out)
		run_lines(s);
	good = !s->failed && s->count;
	if (!good || !left_out)
		printf("%sok %d - %s\n", good ? "" : "not ", ++*number, name);
	harness_free(&s->h);
	for (size_t i = 0; i < s->count; i++) {
		free(s->lines[i].text);
		free((char *)(uintptr_t)s->lines[i].file);
	}
	free(s->lines);
	free(s);
	return good;
}

static int is_scenario(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 4 && !strcmp(d->d_name + n - 4, ".txt");
}

static int run_directory(const struct options *o, const char *path)
{
	struct dirent **all;
	int n = scandir(path, &all, is_scenario, alphasort), bad = 0, number = 0;

	for (int i = 0; i < n; i++) {
		char file[1024];

		snprintf(file, sizeof(file), "%s/%s", path, all[i]->d_name);
		bad += !run(o, file, &number, all[i]->d_name);
		free(all[i]);
	}
	if (n >= 0)
		free(all);
	printf("1..%d\n", number);
	return number == 0 || bad;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	int bad = 0, number = 0, opt;
	DIR *d;

	while ((opt = getopt(argc, argv, "ivw:")) != -1) {
		if (opt == 'v')
			o.verbose = true;
		else if (opt == 'i')
			o.over_ip = true;
		else if (opt == 'w')
			o.capture = fopen(optarg, "wb");
		if (opt == '?' || (opt == 'w' && !o.capture)) {
			perror(opt == 'w' ? optarg : argv[0]);
			return 2;
		}
	}
	if (optind >= argc) {
		fprintf(stderr, "usage: rfc_l2tp [-i] [-v] [-w CAPTURE] DIRECTORY | FILE...\n");
		return 2;
	}
	if (o.capture)
		capture_begin(o.capture);
	setvbuf(stdout, NULL, _IOLBF, 0);
	d = opendir(argv[optind]);
	if (d) {
		closedir(d);
		bad = run_directory(&o, argv[optind]);
	} else {
		for (int i = optind; i < argc; i++)
			bad += !run(&o, argv[i], &number, argv[i]);
		printf("1..%d\n", number);
	}
	if (o.capture && fclose(o.capture))
		bad++;
	return bad != 0;
}
