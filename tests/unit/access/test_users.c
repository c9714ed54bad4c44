/* SPDX-License-Identifier: MIT
 *
 * The users file and the check of a login (src/access/aaa.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "access/access.h"
#include "base/crypto.h"
#include "failmalloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct users *parse(const char *text)
{
	char err[200] = "";
	int rc = 0;
	struct users *u = users_parse(text, strlen(text), &rc, err, sizeof(err));

	if (!u)
		print_message("%s\n", err);
	assert_non_null(u);
	return u;
}

static void expect_error(const char *text, size_t len, const char *want)
{
	char err[200] = "";
	int rc = 0;

	assert_null(users_parse(text, len, &rc, err, sizeof(err)));
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(err, want);
}

static struct access_cmd pap(const struct users *u, const char *user, const char *password,
			     const char *server)
{
	struct access_event q = { .kind = ACCESS_EV_AUTH,
				  .key = 5,
				  .auth = PPP_AUTH_PAP,
				  .user = user,
				  .user_len = strlen(user),
				  .response = (const uint8_t *)password,
				  .response_len = strlen(password) };
	struct access_cmd r = { .text = "old" };

	users_check(u, &q, server, &r);
	assert_int_equal(r.kind, ACCESS_CMD_AUTH);
	assert_int_equal(r.key, 5);
	return r;
}

static bool in(const struct users *u, const char *user, const char *password)
{
	return pap(u, user, password, "lns").ok;
}

static void words(void **state)
{
	struct users *u = parse("# people\n"
				"\n"
				"ada * \"with space\"   # her secret\n"
				"'grace hopper' * quoted\n"
				"back\\ slash\t*\ta\\\"b\\\\c\n"
				"oct * \\101\\102\\x43\\x\n"
				"joined \\\n  * se\\\ncret\n"
				"esc * \\s\\t\\q\n"
				"mid#dle * p#w\n"
				"\"*\" * star\n"
				"last * line");

	(void)state;
	assert_int_equal(users_count(u), 9);
	assert_true(in(u, "ada", "with space"));
	assert_false(in(u, "ada", "with spacE"));
	assert_false(in(u, "ada", "with space "));
	assert_true(in(u, "grace hopper", "quoted"));
	assert_true(in(u, "back slash", "a\"b\\c"));
	assert_true(in(u, "oct", "ABCx"));
	assert_true(in(u, "joined", "secret"));
	assert_true(in(u, "esc", " \tq"));
	assert_true(in(u, "mid#dle", "p#w"));
	assert_true(in(u, "*", "star"));
	assert_false(in(u, "anybody", "star")); /* quoted: a user of that name */
	assert_true(in(u, "last", "line"));
	assert_false(in(u, "", ""));
	assert_false(in(u, "nobody", "nobody"));
	users_free(u);
	users_free(NULL);
}

static void who_wins(void **state)
{
	struct users *u = parse("* * anybody\n"
				"ada * elsewhere\n"
				"ada lns here\n"
				"ada lns second\n"
				"* guests guest\n");

	(void)state;
	assert_true(pap(u, "ada", "here", "lns").ok);
	assert_false(pap(u, "ada", "second", "lns").ok);
	assert_true(pap(u, "ada", "elsewhere", "other").ok);
	assert_true(pap(u, "ada", "elsewhere", NULL).ok);
	assert_true(pap(u, "bob", "anybody", "lns").ok);
	assert_true(pap(u, "bob", "guest", "guests").ok);
	users_free(u);
}

static void chap(void **state)
{
	struct users *u = parse("ada * secret\n");
	const uint8_t challenge[] = { 1, 2, 3, 4, 5 };
	uint8_t id = 9, response[16];
	struct bytes pieces[] = { { &id, 1 }, { "secret", 6 }, { challenge, 5 } };
	struct access_event q = { .auth = PPP_AUTH_CHAP_MD5,
				  .user = "ada",
				  .user_len = 3,
				  .chap_id = 9,
				  .challenge = challenge,
				  .challenge_len = 5,
				  .response = response,
				  .response_len = 16 };
	struct access_cmd r;

	(void)state;
	md5_of(response, pieces, 3);
	users_check(u, &q, "lns", &r);
	assert_true(r.ok);
	assert_int_equal(r.cause, ADIT_CAUSE_NONE);
	q.chap_id = 8;
	users_check(u, &q, "lns", &r);
	assert_false(r.ok);
	assert_int_equal(r.cause, ADIT_CAUSE_AUTH_FAILED);
	q.chap_id = 9;
	q.response_len = 15;
	users_check(u, &q, "lns", &r);
	assert_false(r.ok);
	q.auth = PPP_AUTH_NONE;
	users_check(u, &q, "lns", &r);
	assert_false(r.ok);
	/* a name with NUL inside is not the user before it */
	q.auth = PPP_AUTH_PAP;
	q.user = "ada\0x";
	q.user_len = 5;
	q.response = (const uint8_t *)"secret";
	q.response_len = 6;
	users_check(u, &q, "lns", &r);
	assert_false(r.ok);
	users_free(u);
}

static void addresses(void **state)
{
	struct users *u = parse("a * s 192.0.2.5\n"
				"b * s 2001:db8:1::/64\n"
				"c * s *\n"
				"d * s -\n"
				"e * s 192.0.2.6 -\n"
				"f * s - 2001:db8:2::/56\n"
				"g * s 192.0.2.7 10.1.0.0/16 2001:db8:3::/64 2001:db8:4::/48\n");
	struct access_grant g;

	(void)state;
	g = pap(u, "a", "s", "x").grant;
	assert_int_equal(g.ip4[3], 5);
	assert_true(!g.no_ip4 && !g.no_ip6 && g.prefix6.len == 0);
	g = pap(u, "b", "s", "x").grant;
	assert_int_equal(g.prefix6.len, 64);
	assert_true(!g.no_ip4 && g.ip4[0] == 0);
	g = pap(u, "c", "s", "x").grant;
	assert_true(!g.no_ip4 && !g.no_ip6);
	assert_false(in(u, "d", "s"));
	assert_int_equal(pap(u, "d", "s", "x").cause, ADIT_CAUSE_AUTH_REFUSED);
	assert_int_equal(pap(u, "d", "t", "x").cause, ADIT_CAUSE_AUTH_FAILED);
	g = pap(u, "e", "s", "x").grant;
	assert_true(!g.no_ip4 && g.no_ip6);
	g = pap(u, "f", "s", "x").grant;
	assert_true(g.no_ip4 && !g.no_ip6 && g.prefix6.len == 56);
	g = pap(u, "g", "s", "x").grant;
	assert_int_equal(g.route_count, 2);
	assert_int_equal(g.routes[0].len, 16);
	assert_int_equal(g.routes[1].len, 48);
	assert_int_equal(g.prefix6.len, 64);
	users_free(u);
}

static void errors(void **state)
{
	char longer[400];
	struct {
		const char *text, *want;
	} bad[] = {
		{ "ada *\n", "line 1: a user needs three words: client, server, secret" },
		{ "a * b\n\n# x\nada\n",
		  "line 4: a user needs three words: client, server, secret" },
		{ "ada * \"open\n", "line 1: a quote is not closed" },
		{ "ada * 'open", "line 1: a quote is not closed" },
		{ "ada * \"\"\n", "line 1: the secret is empty" },
		{ "'' * x\n", "line 1: the client's name is empty" },
		{ "ada * @/etc/secret\n",
		  "line 1: secrets in files of their own (@file) are not supported" },
		{ "ada * x 300.1.1.1\n",
		  "line 1: not an IPv4 address, an IPv6 prefix, * or - (host "
		  "bits must be zero)" },
		{ "ada * x 10.1.0.1/16\n", "line 1: not an IPv4 address, an IPv6 prefix, * or - "
					   "(host bits must be zero)" },
		{ "ada * x 192.0.2.1 192.0.2.2\n", "line 1: two IPv4 addresses for one user" },
		{ "ada * x 0.0.0.0\n", "line 1: 0.0.0.0 is no address for a user" },
		{ "ada * x 2001:db8::1\n", "line 1: an IPv6 prefix of a user has at most 64 bits" },
		{ "a * x 10.0.0.0/9 10.1.0.0/16 10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16 "
		  "10.6.0.0/16\n",
		  "line 1: more than 6 networks for one user" },
		{ "ada * x\\", "line 1: the file ends in a backslash" },
		{ "ada * \\000\n", "line 1: an octet of value 0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_error(bad[i].text, strlen(bad[i].text), bad[i].want);
	expect_error("a\0b * x\n", 8, "line 1: an octet of value 0");
	memset(longer, 'x', sizeof(longer));
	expect_error(longer, 256, "line 1: a word is longer than 255 octets");
	/* exactly as long as allowed */
	memcpy(longer + 255, " * y\n", 5);
	users_free(users_parse(longer, 260, &(int){ 0 }, NULL, 0));
	/* no room for the reason */
	assert_null(users_parse("x\n", 2, &(int){ 0 }, NULL, 0));
	users_free(parse(""));
	users_free(users_parse(NULL, 0, &(int){ 0 }, NULL, 0));
}

static void many(void **state)
{
	size_t cap = 200000 * 24, len = 0;
	char *text = malloc(cap), name[16];
	struct users *u;

	(void)state;
	assert_non_null(text);
	for (unsigned int i = 0; i < 100000; i++)
		len += (size_t)snprintf(text + len, cap - len, "u%u * p%u\n", i, i);
	text[len] = '\0';
	u = parse(text);
	assert_int_equal(users_count(u), 100000);
	for (unsigned int i = 0; i < 100000; i += 7) {
		char password[16];

		snprintf(name, sizeof(name), "u%u", i);
		snprintf(password, sizeof(password), "p%u", i);
		assert_true(in(u, name, password));
		assert_false(in(u, name, name));
	}
	users_free(u);
	free(text);
}

static void no_memory(void **state)
{
	static const char text[] = "a * b 10.1.0.0/16\n* * c\nd e f 192.0.2.1 10.2.0.0/16\n";

	(void)state;
	for (long n = 1;; n++) {
		int rc = 0;
		char err[40];
		struct users *u;

		failmalloc_arm(n);
		u = users_parse(text, sizeof(text) - 1, &rc, err, sizeof(err));
		if (!failmalloc_disarm()) {
			assert_int_equal(users_count(u), 3);
			users_free(u);
			break;
		}
		assert_null(u);
		assert_int_equal(rc, -ENOMEM);
		assert_string_equal(err, "out of memory");
	}
}

/* Secrets that are not what stands in the file are told about, and nothing else. */
static void test_odd(void **state)
{
	static const char text[] = "a * pa\\ss *\n"   /* 1: \\s is a space */
				   "b * 'pa\\ss' *\n" /* in quotes: meant */
				   "c * pass #word\n" /* 3 */
				   "d * pass # a comment\n"
				   "e * pa#ss *\n"
				   "f * pa\\\\ss *\n" /* twice: meant */
				   "g * pa\\ word *\n"
				   "h * \\x41bc *\n" /* 8 */
				   "i * pass ## heading\n";
	static const unsigned lines[] = { 1, 3, 8 };
	struct users *u = parse(text);
	unsigned int line;
	const char *why;

	for (size_t i = 0; i < 3; i++) {
		assert_true(users_odd(u, i, &line, &why));
		assert_int_equal(line, lines[i]);
		assert_non_null(strstr(why, i == 1 ? "comment" : "backslash"));
	}
	assert_false(users_odd(u, 3, &line, &why));
	users_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odd), cmocka_unit_test(words),	 cmocka_unit_test(who_wins),
		cmocka_unit_test(chap),	    cmocka_unit_test(addresses), cmocka_unit_test(errors),
		cmocka_unit_test(many),	    cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
