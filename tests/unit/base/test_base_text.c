/* SPDX-License-Identifier: MIT
 *
 * Text for people: what is escaped and what stays, cuts at whole characters, causes, nearest
 * names, durations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/text.h"

#include <ctype.h>
#include <string.h>

static void test_escape(void **state)
{
	static const char *const v[][2] = {
		{ "alice@example.net", "alice@example.net" },
		{ "two\nlines\r\t", "two\\x0alines\\x0d\\x09" },
		{ "\x1b[31mred", "\\x1b[31mred" },
		{ "back\\slash", "back\\x5cslash" },
		{ "\x7f", "\\x7f" },
		{ "Grüße 日本 😀", "Grüße 日本 😀" },
		{ "\xc2\x9b", "\\xc2\\x9b" },			/* a C1 control: CSI */
		{ "\xc2\xa0", "\xc2\xa0" },			/* the first beyond C1 */
		{ "\xff\xfe", "\\xff\\xfe" },			/* never in UTF-8 */
		{ "\xc0\xaf", "\\xc0\\xaf" },			/* overlong "/" */
		{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },		/* overlong, three octets */
		{ "\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf" }, /* overlong, four octets */
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },		/* a surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* beyond U+10FFFF */
		{ "\xf4\x8f\xbf\xbd", "\xf4\x8f\xbf\xbd" },	/* U+10FFFD */
		{ "\xef\xbf\xbf", "\\xef\\xbf\\xbf" },		/* U+FFFF, not a character */
		{ "a\xe2\x80\xae"
		  "b",
		  "a\\xe2\\x80\\xaeb" },	       /* right-to-left override */
		{ "\xe2\x80\xa8", "\\xe2\\x80\\xa8" }, /* line separator */
		{ "\xef\xbb\xbf", "\\xef\\xbb\\xbf" }, /* byte order mark */
		{ "x\xe2\x82", "x\\xe2\\x82" },	       /* cut off in a character */
		{ "\x80", "\\x80" },		       /* a stray continuation */
		{ "\xc3(", "\\xc3(" },		       /* the second octet is none */
		{ "", "" },
	};
	char buf[64];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_string_equal(text_escape(buf, sizeof(buf), v[i][0], strlen(v[i][0])),
				    v[i][1]);
	assert_string_equal(text_escape(buf, sizeof(buf), "a\0b", 3), "a\\x00b");
	assert_string_equal(text_escape(buf, sizeof(buf), NULL, 0), "");
}

static void test_escape_cuts(void **state)
{
	static const struct {
		size_t cap;
		const char *bytes, *want;
	} v[] = {
		{ 11, "0123456789", "0123456789" },
		{ 10, "0123456789", "012345..." },
		{ 10, "01234567\n", "012345..." },
		{ 10, "01234\n", "01234\\x0a" },
		{ 9, "01234\n", "01234..." },
		{ 8, "012üüü", "012..." }, /* "012ü" and the dots need 8 octets */
		{ 9, "012üüü", "012ü..." },
		{ 5, "abcdef", "a..." },
		{ 4, "abcdef", "..." },
		{ 3, "abcdef", ".." },
		{ 2, "abcdef", "." },
		{ 1, "abcdef", "" },
		{ 3, "ab", "ab" },
	};
	char buf[16];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		memset(buf, '#', sizeof(buf));
		text_escape(buf, v[i].cap, v[i].bytes, strlen(v[i].bytes));
		assert_string_equal(buf, v[i].want);
		assert_int_equal(buf[v[i].cap], '#');
	}
	buf[0] = '#';
	text_escape(buf, 0, "abc", 3);
	assert_int_equal(buf[0], '#');
}

/* Whatever comes: no control octet, always terminated, never past the end. */
static void test_escape_random(void **state)
{
	uint8_t bytes[40];
	char buf[64];
	struct rng r;

	rng_init(&r, (const uint8_t[RNG_SEED]){ 1 });
	for (int i = 0; i < 20000; i++) {
		size_t n = rng_below(&r, sizeof(bytes)), cap = 1 + rng_below(&r, sizeof(buf) - 1);

		rng_bytes(&r, bytes, n);
		if (i % 2) {
			for (size_t k = 0; k < n; k++)
				bytes[k] |= 0x80;
		}
		buf[cap] = '#';
		text_escape(buf, cap, bytes, n);
		assert_int_equal(buf[cap], '#');
		assert_true(strlen(buf) < cap);
		for (const char *p = buf; *p; p++)
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
}

static void test_causes(void **state)
{
	assert_string_equal(cause_name(ADIT_CAUSE_NONE), "none");
	assert_string_equal(cause_name(ADIT_CAUSE_AUTH_FAILED), "auth-failed");
	assert_string_equal(cause_name(ADIT_CAUSE_PEER_CLOSED_SESSION), "peer-closed-session");
	assert_string_equal(cause_text(ADIT_CAUSE_LOOP), "the link is looped back to us");
	assert_string_equal(cause_name(ADIT_CAUSE_COUNT), "unknown");
	assert_non_null(cause_text(ADIT_CAUSE_COUNT));
	for (int i = 0; i < ADIT_CAUSE_COUNT; i++) {
		const char *name = cause_name((enum adit_cause)i);

		assert_true(strlen(name) > 2 && strlen(cause_text((enum adit_cause)i)) > 5);
		for (const char *p = name; *p; p++)
			assert_true(islower((unsigned char)*p) || isdigit((unsigned char)*p) ||
				    *p == '-');
		for (int k = 0; k < i; k++)
			assert_string_not_equal(name, cause_name((enum adit_cause)k));
	}
}

static void test_nearest(void **state)
{
	static const char *const names[] = { "peer",  "profile",	 "pool", "listen", "tunnel",
					     "users", "session-timeout", "mtu",	 "mru" };
	static const char *const v[][2] = {
		{ "peer", "peer" },
		{ "pere", "peer" },
		{ "per", "peer" },
		{ "tunel", "tunnel" },
		{ "listn", "listen" },
		{ "polo", "pool" },
		{ "session_timeout", "session-timeout" },
		{ "sesion-timout", "session-timeout" },
		{ "mut", "mtu" },
		{ "mrru", "mru" },
		{ "xxxx", NULL },
		{ "", NULL },
		{ "zzzzzzzzzzzz", NULL },
		{ "sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss", NULL },
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		const char *got = text_nearest(v[i][0], names, sizeof(names) / sizeof(names[0]));

		if (v[i][1])
			assert_string_equal(got, v[i][1]);
		else
			assert_null(got);
	}
	assert_null(text_nearest("peer", NULL, 0));
}

static void test_duration(void **state)
{
	static const struct {
		int64_t s;
		const char *want;
	} v[] = {
		{ 0, "00:00:00" },
		{ 59, "00:00:59" },
		{ 3600, "01:00:00" },
		{ 86399, "23:59:59" },
		{ 86400, "1 d 00:00:00" },
		{ 183845, "2 d 03:04:05" },
		{ -90, "-00:01:30" },
		{ INT64_MAX, "106751991167300 d 15:30:07" },
		{ INT64_MIN, "-106751991167300 d 15:30:08" },
	};
	char buf[40];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_string_equal(text_duration(buf, sizeof(buf), v[i].s), v[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),	      cmocka_unit_test(test_escape_cuts),
		cmocka_unit_test(test_escape_random), cmocka_unit_test(test_causes),
		cmocka_unit_test(test_nearest),	      cmocka_unit_test(test_duration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
