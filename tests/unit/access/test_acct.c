/* SPDX-License-Identifier: MIT
 *
 * Accounting lines (src/access/acct.c), read back by a JSON parser that is not ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <jansson.h>
#include "access/internal.h"
#include "lab.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *parsed(const char *line)
{
	json_error_t err;
	json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, &err);

	if (!j)
		print_message("%s in %s\n", err.text, line);
	assert_non_null(j);
	assert_null(strchr(line, '\n'));
	return j;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	assert_non_null(s);
	return s;
}

static json_int_t number_of(const json_t *j, const char *key)
{
	assert_true(json_is_integer(json_object_get(j, key)));
	return json_integer_value(json_object_get(j, key));
}

static void fields(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){ .interim_us = 30 * US_S, .redial_max = 1 });
	char id[17];
	uint64_t key;
	json_t *j;

	(void)state;
	assert_non_null(l);
	lab_run(l, 10 * US_S);
	key = lab_only(&l->lns);
	lab_row(&l->lns, key)->counters = (struct dp_counters){ 3, 1000, 4, 9 };
	lab_run(l, 30 * US_S);
	lab_row(&l->lns, key)->counters.rx_bytes = INT64_C(5000000000);
	lab_row(&l->lns, key)->counters.tx_bytes = 7;
	lab_do(l, &l->lns, (struct access_cmd){ .kind = ACCESS_CMD_TERMINATE, .key = key });
	lab_run(l, US_S / 2);
	assert_int_equal(l->lns.line_count, 3);
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)key);

	j = parsed(l->lns.lines[0]);
	assert_string_equal(text_of(j, "event"), "start");
	assert_string_equal(text_of(j, "id"), id);
	assert_string_equal(text_of(j, "role"), "server");
	assert_string_equal(text_of(j, "user"), "u0");
	assert_string_equal(text_of(j, "peer"), "peers");
	assert_string_equal(text_of(j, "host"), "client");
	assert_string_equal(text_of(j, "calling"), "");
	assert_int_equal(strncmp(text_of(j, "time"), "2026-01-01T00:00:0", 18), 0);
	assert_int_equal(strlen(text_of(j, "time")), 24);
	assert_int_equal(strncmp(text_of(j, "ip4"), "10.0.0.", 7), 0);
	assert_int_equal(strncmp(text_of(j, "ip6"), "2001:db8:1:", 11), 0);
	assert_string_equal(text_of(j, "remote"), "198.51.100.7:1701");
	assert_true(number_of(j, "tunnel") > 0 && number_of(j, "remote_tunnel") > 0);
	assert_true(number_of(j, "session") > 0 && number_of(j, "remote_session") > 0);
	assert_int_equal(number_of(j, "seq"), 1);
	assert_null(json_object_get(j, "seconds"));
	json_decref(j);

	j = parsed(l->lns.lines[1]);
	assert_string_equal(text_of(j, "event"), "interim");
	assert_int_equal(number_of(j, "seq"), 2);
	assert_int_equal(number_of(j, "in_packets"), 3);
	assert_int_equal(number_of(j, "seconds"), 30);
	assert_null(json_object_get(j, "cause"));
	json_decref(j);

	j = parsed(l->lns.lines[2]);
	assert_string_equal(text_of(j, "event"), "stop");
	assert_int_equal(number_of(j, "in_octets"), INT64_C(5000000000));
	assert_int_equal(number_of(j, "out_octets"), 7);
	assert_string_equal(text_of(j, "cause"), "admin");
	assert_string_equal(text_of(j, "text"), "an administrator closed it");
	json_decref(j);

	j = parsed(l->client.lines[0]);
	assert_string_equal(text_of(j, "role"), "client");
	assert_string_equal(text_of(j, "user"), "u0");
	json_decref(j);
	lab_free(l);
}

static void strings(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *want;
	} cases[] = {
		{ "plain", 5, "\"plain\"" },
		{ "", 0, "\"\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\n\t\0\x7f", 4, "\"\\u000a\\u0009\\u0000\\u007f\"" },
		{ "m\xc3\xbcller", 7, "\"m\xc3\xbcller\"" },
		{ "m\xfcller", 6, "\"m\\u00fcller\"" }, /* not UTF-8 */
		{ "\xc0\xaf\xed\xa0\x80", 5, "\"\\u00c0\\u00af\\u00ed\\u00a0\\u0080\"" },
		{ "\xf0\x9f\x98\x80\xf0\x9f", 6, "\"\xf0\x9f\x98\x80\\u00f0\\u009f\"" },
		{ "\xe2\x80\xae!", 4, "\"\\u202e!\"" }, /* right to left */
		{ "\xc2\x85", 2, "\"\\u0085\"" },	/* next line, C1 */
	};
	char buf[100];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = acc_json_string(buf, sizeof(buf), cases[i].bytes, cases[i].n);

		assert_string_equal(buf, cases[i].want);
		assert_int_equal(n, strlen(cases[i].want));
	}
	/* cut between characters, always closed */
	assert_int_equal(acc_json_string(buf, 8, "abcdefgh", 8), 7);
	assert_string_equal(buf, "\"abcde\"");
	assert_int_equal(acc_json_string(buf, 8, "abcd\n", 5), 6);
	assert_string_equal(buf, "\"abcd\"");
	assert_int_equal(acc_json_string(buf, 2, "abc", 3), 0);
	assert_string_equal(buf, "");
	assert_int_equal(acc_json_string(buf, 3, "abc", 3), 2);
}

/* Whatever a peer sends, the line is JSON, and not longer than promised. */
static void random_strings(void **state)
{
	char buf[1024];
	uint8_t bytes[300];
	struct rng r;

	(void)state;
	rng_init(&r, (const uint8_t[32]){ 3 });
	for (int i = 0; i < 20000; i++) {
		size_t n = rng_below(&r, sizeof(bytes)), cap = 3 + rng_below(&r, sizeof(buf) - 3);
		json_t *j;

		rng_bytes(&r, bytes, n);
		if (i & 1) {
			for (size_t k = 0; k < n; k++)
				bytes[k] = (uint8_t)(bytes[k] % 3 ? bytes[k] & 0x7f : bytes[k]);
		}
		acc_json_string(buf, cap, bytes, n);
		j = json_loads(buf, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_non_null(j);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(strings),
		cmocka_unit_test(random_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
