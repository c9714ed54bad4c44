/* SPDX-License-Identifier: MIT
 *
 * Users from a file, thoroughly: words, lines, addresses, mistakes with their line number, which
 * line wins, and the proof by PAP and CHAP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "access/access.h"
#include "failmalloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy without anything behind it, so that the sanitizer sees a read past the end. */
static struct users *parse_n(const char *text, size_t len, int *ret_rc, char *err, size_t cap)
{
	char *copy = malloc(len ? len : 1);
	struct users *u;

	assert_non_null(copy);
	memcpy(copy, text, len);
	*ret_rc = 0;
	u = users_parse(copy, len, ret_rc, err, cap);
	free(copy);
	return u;
}

static struct users *parse(const char *text)
{
	char err[128] = "";
	int rc;
	struct users *u = parse_n(text, strlen(text), &rc, err, sizeof(err));

	if (!u)
		fail_msg("%s", err);
	return u;
}

static void bad(const char *text, const char *want)
{
	char err[128] = "";
	int rc;
	struct users *u = parse_n(text, strlen(text), &rc, err, sizeof(err));

	assert_null(u);
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(err, want);
}

static struct access_cmd check_n(const struct users *u, const char *name, size_t name_len,
				 const char *password, size_t len, const char *server)
{
	struct access_event q = { .key = 99,
				  .user = name,
				  .user_len = name_len,
				  .auth = PPP_AUTH_PAP,
				  .response = (const uint8_t *)password,
				  .response_len = len };
	struct access_cmd cmd;

	memset(&cmd, 0x55, sizeof(cmd));
	users_check(u, &q, server, &cmd);
	assert_int_equal(cmd.kind, ACCESS_CMD_AUTH);
	assert_int_equal(cmd.key, 99);
	if (cmd.ok)
		assert_int_equal(cmd.cause, ADIT_CAUSE_NONE);
	else
		assert_int_not_equal(cmd.cause, ADIT_CAUSE_NONE);
	return cmd;
}

static struct access_cmd check(const struct users *u, const char *name, const char *password)
{
	return check_n(u, name, strlen(name), password, strlen(password), "adit");
}

static bool in(const struct users *u, const char *name, const char *password)
{
	return check(u, name, password).ok;
}

static void words(void **state)
{
	struct users *u = parse("# a comment\n"
				"\n"
				"  \t \r\n"
				"plain * secret\n"
				"\"two words\" * 'and \"more\"'\t# not part of it\n"
				"ab\"c d\"e'f g' * se\\\"cr\\'et\\#\n"
				"join\\\ned * sec\\\nret\n"
				"lead \\\n * \\\n word\n"
				"esc\\141\\x62\\s\\t\\\\ * \\7x\\x9z\\q\n"
				"hash#tag * pass#word\n"
				"crlf * dos\r\n"
				"last * line");

	assert_int_equal(users_count(u), 9);
	assert_true(in(u, "plain", "secret"));
	assert_false(in(u, "plain", "secre"));
	assert_false(in(u, "plain", "secrets"));
	assert_false(in(u, "plain", ""));
	assert_false(in(u, "Plain", "secret"));
	assert_true(in(u, "two words", "and \"more\""));
	assert_true(in(u, "abc def g", "se\"cr'et#"));
	assert_true(in(u, "joined", "secret"));
	assert_true(in(u, "lead", "word"));
	assert_true(in(u, "escab \t\\", "\ax\tzq"));
	assert_true(in(u, "hash#tag", "pass#word"));
	assert_true(in(u, "crlf", "dos"));
	assert_true(in(u, "last", "line"));
	assert_false(in(u, "nobody", "nobody"));
	assert_false(in(u, "", ""));
	users_free(u);
}

static void nothing(void **state)
{
	char err[64];
	int rc;
	struct users *u = parse_n("", 0, &rc, err, sizeof(err));

	assert_non_null(u);
	assert_int_equal(users_count(u), 0);
	assert_false(in(u, "nobody", "nobody"));
	users_free(u);
	u = parse("#only\n#comments");
	assert_int_equal(users_count(u), 0);
	users_free(u);
	u = users_parse(NULL, 0, &rc, NULL, 0);
	assert_non_null(u);
	users_free(u);
	users_free(NULL);
}

static void mistakes(void **state)
{
	char line[600] = "a * ";
	char err[16];
	int rc;

	bad("a\n", "line 1: a user needs three words: client, server, secret");
	bad("ok * x\n# c\na *\n", "line 3: a user needs three words: client, server, secret");
	bad("a\\\nb *\n", "line 2: a user needs three words: client, server, secret");
	bad("a * 'open\nb * x\n", "line 1: a quote is not closed");
	bad("ok * x\n\"open * x", "line 2: a quote is not closed");
	bad("a * x\\", "line 1: the file ends in a backslash");
	bad("a * \\0x\n", "line 1: an octet of value 0");
	bad("a * \\x00\n", "line 1: an octet of value 0");
	bad("a * \\400\n", "line 1: an octet of value 0"); /* eight bits of it */
	bad("a * @file\n", "line 1: secrets in files of their own (@file) are not supported");
	bad("\"\" * x\n", "line 1: the client's name is empty");
	bad("a * ''\n", "line 1: the secret is empty");
	bad("a * x 10.0.0.1 10.0.0.2\n", "line 1: two IPv4 addresses for one user");
	bad("a * x 0.0.0.0\n", "line 1: 0.0.0.0 is no address for a user");
	bad("a * x 10.0.0.1/24\n",
	    "line 1: not an IPv4 address, an IPv6 prefix, * or - (host bits must be zero)");
	bad("a * x word\n",
	    "line 1: not an IPv4 address, an IPv6 prefix, * or - (host bits must be zero)");
	bad("a * x '*'\n",
	    "line 1: not an IPv4 address, an IPv6 prefix, * or - (host bits must be zero)");
	bad("a * x 2001:db8::1\n", "line 1: an IPv6 prefix of a user has at most 64 bits");
	bad("a * x 10.1.0.0/24 10.2.0.0/24 10.3.0.0/24 10.4.0.0/24 10.5.0.0/24 10.6.0.0/24 "
	    "10.7.0.0/24\n",
	    "line 1: more than 6 networks for one user");
	memset(line + 4, 'x', 256);
	bad(line, "line 1: a word is longer than 255 octets");
	/* A NUL of the file itself. */
	assert_null(parse_n("a * x\0y\n", 8, &rc, err, sizeof(err)));
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(err, "line 1: an octe"); /* cut to the buffer */
	/* Nobody wants to know. */
	assert_null(users_parse("a", 1, &rc, NULL, 0));
	assert_int_equal(rc, -EINVAL);
}

static void long_words(void **state)
{
	char text[800] = "", name[256], secret[256];
	struct users *u;

	memset(name, 'n', 255);
	memset(secret, 's', 255);
	name[255] = secret[255] = '\0';
	snprintf(text, sizeof(text), "%s * %s\n", name, secret);
	u = parse(text);
	assert_true(in(u, name, secret));
	name[254] = '\0';
	assert_false(in(u, name, secret));
	users_free(u);
}

static void wildcards(void **state)
{
	struct users *u = parse("* * any-any\n"
				"* adit any-adit\n"
				"bob * bob-any-1\n"
				"bob adit bob-adit-1\n"
				"bob adit bob-adit-2\n"
				"bob other bob-other\n"
				"carol * carol-1\n"
				"carol * carol-2\n"
				"'*' * star\n"
				"dave '*' quoted-server\n"
				"dave * any-server\n");

	/* An exact client wins, then an exact server, then the earlier line. */
	assert_true(in(u, "bob", "bob-adit-1"));
	assert_false(in(u, "bob", "bob-adit-2"));
	assert_false(in(u, "bob", "bob-any-1"));
	assert_true(check_n(u, "bob", 3, "bob-other", 9, "other").ok);
	assert_true(check_n(u, "bob", 3, "bob-any-1", 9, "third").ok);
	assert_true(check_n(u, "bob", 3, "bob-any-1", 9, NULL).ok);
	assert_true(in(u, "carol", "carol-1"));
	assert_false(in(u, "carol", "carol-2"));
	assert_true(in(u, "erin", "any-adit"));
	assert_false(in(u, "erin", "any-any"));
	assert_true(check_n(u, "erin", 4, "any-any", 7, "other").ok);
	/* Quoted, the star is a name. */
	assert_true(in(u, "*", "star"));
	assert_true(check_n(u, "dave", 4, "quoted-server", 13, "*").ok);
	assert_true(in(u, "dave", "any-server"));
	users_free(u);
}

static void addresses(void **state)
{
	struct users *u = parse("none * x\n"
				"star * x *\n"
				"four * x 192.0.2.7\n"
				"six * x 2001:db8:7::/56\n"
				"both * x 2001:db8:7::/64 192.0.2.8 *\n"
				"only4 * x 192.0.2.9 -\n"
				"only6 * x - 2001:db8:9::/48\n"
				"out * x -\n"
				"nets * x 10.1.0.0/16 2001:db8:a::/48 192.0.2.10 2001:db8:b::/48 "
				"10.2.0.0/16\n"
				"host6 * x 2001:db8:a::/64 2001:db8::1\n");
	struct access_cmd c;

	c = check(u, "none", "x");
	assert_true(c.ok && !c.grant.no_ip4 && !c.grant.no_ip6);
	assert_memory_equal(c.grant.ip4, "\0\0\0\0", 4);
	assert_int_equal(c.grant.prefix6.len, 0);
	assert_int_equal(c.grant.session_us, 0);
	c = check(u, "star", "x");
	assert_true(c.ok && !c.grant.no_ip4 && !c.grant.no_ip6);
	c = check(u, "four", "x");
	assert_memory_equal(c.grant.ip4, "\xc0\x00\x02\x07", 4);
	assert_false(c.grant.no_ip6);
	c = check(u, "six", "x");
	assert_int_equal(c.grant.prefix6.len, 56);
	assert_int_equal(c.grant.prefix6.addr.ip[5], 7);
	c = check(u, "both", "x");
	assert_memory_equal(c.grant.ip4, "\xc0\x00\x02\x08", 4);
	assert_int_equal(c.grant.prefix6.len, 64);
	c = check(u, "only4", "x");
	assert_true(c.ok && !c.grant.no_ip4 && c.grant.no_ip6);
	c = check(u, "only6", "x");
	assert_true(c.ok && c.grant.no_ip4 && !c.grant.no_ip6);
	c = check(u, "out", "x");
	assert_false(c.ok);
	assert_int_equal(c.cause, ADIT_CAUSE_AUTH_REFUSED);
	assert_int_equal(check(u, "out", "y").cause, ADIT_CAUSE_AUTH_FAILED);
	c = check(u, "nets", "x");
	assert_memory_equal(c.grant.ip4, "\xc0\x00\x02\x0a", 4);
	assert_int_equal(c.grant.prefix6.len, 48);
	assert_int_equal(c.grant.prefix6.addr.ip[5], 0x0a);
	assert_int_equal(c.grant.route_count, 3);
	assert_int_equal(c.grant.routes[0].len, 16);
	assert_int_equal(c.grant.routes[1].addr.family, AF_INET6);
	assert_int_equal(c.grant.routes[1].addr.ip[5], 0x0b);
	assert_int_equal(c.grant.routes[2].addr.ip[1], 2);
	c = check(u, "host6", "x");
	assert_int_equal(c.grant.route_count, 1);
	assert_int_equal(c.grant.routes[0].len, 128);
	users_free(u);
}

/* Names and passwords of a peer may hold any octets. */
static void hostile_names(void **state)
{
	struct users *u = parse("bob * secret\n\\377\\001\\n * \\376\n");
	static char big[4096];

	assert_true(in(u, "\377\001\n", "\376"));
	assert_false(check_n(u, "bob\0", 4, "secret", 6, "adit").ok);
	assert_false(check_n(u, "bob\0x", 5, "secret", 6, "adit").ok);
	assert_false(check_n(u, "bob", 3, "secret\0", 7, "adit").ok);
	assert_false(check_n(u, "bob", 2, "secret", 6, "adit").ok);
	assert_false(check_n(u, "", 0, "secret", 6, "adit").ok);
	assert_false(check_n(u, "bob", 3, NULL, 0, "adit").ok);
	memset(big, 'b', sizeof(big));
	assert_false(check_n(u, big, sizeof(big), big, sizeof(big), "adit").ok);
	assert_false(check_n(u, "bob", 3, big, sizeof(big), "adit").ok);
	users_free(u);
}

/*
 * From Python: hashlib.md5(bytes([id]) + secret + challenge).hexdigest(), with
 *   7, b"secret", bytes(range(16))
 *   255, b'caf\xc3\xa9 "x"\\', b"\x80" * 32
 *   1, b"y" * 255, b"!"
 */
static const struct {
	uint8_t id;
	const char *user;
	size_t challenge_len;
	uint8_t challenge[32], response[16];
} vectors[] = {
	{ 7,
	  "one",
	  16,
	  { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	  { 0x82, 0x16, 0x43, 0x66, 0x5b, 0x43, 0x03, 0x59, 0xe5, 0x2a, 0xc5, 0x24, 0xd2, 0x9c,
	    0x8f, 0x95 } },
	{ 255,
	  "two",
	  32,
	  { 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
	    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128 },
	  { 0x73, 0xa0, 0x88, 0x10, 0x02, 0x8a, 0x17, 0x11, 0x86, 0x25, 0x43, 0x5a, 0xa2, 0x31,
	    0x5a, 0x2c } },
	{ 1,
	  "three",
	  1,
	  { '!' },
	  { 0x84, 0x44, 0x16, 0x09, 0xd7, 0xa6, 0xd7, 0xb0, 0x5d, 0xc6, 0x58, 0x48, 0x35, 0x75,
	    0xae, 0xb2 } },
};

static struct access_cmd chap(const struct users *u, size_t i, uint8_t id, size_t challenge_len,
			      const uint8_t *response, size_t len)
{
	struct access_event q = { .user = vectors[i].user,
				  .user_len = strlen(vectors[i].user),
				  .auth = PPP_AUTH_CHAP_MD5,
				  .chap_id = id,
				  .challenge = vectors[i].challenge,
				  .challenge_len = challenge_len,
				  .response = response,
				  .response_len = len };
	struct access_cmd cmd;

	users_check(u, &q, "adit", &cmd);
	return cmd;
}

static void chap_vectors(void **state)
{
	char text[600], y[256];
	uint8_t wrong[17];
	struct users *u;

	memset(y, 'y', 255);
	y[255] = '\0';
	snprintf(text, sizeof(text), "one * secret\ntwo * 'caf\303\251 \"x\"\\\\'\nthree * %s\n",
		 y);
	u = parse(text);
	for (size_t i = 0; i < 3; i++) {
		size_t n = vectors[i].challenge_len;
		const uint8_t *r = vectors[i].response;
		uint8_t id = vectors[i].id;

		assert_true(chap(u, i, id, n, r, 16).ok);
		assert_false(chap(u, i, (uint8_t)(id + 1), n, r, 16).ok);
		assert_false(chap(u, i, id, n - 1, r, 16).ok);
		assert_false(chap(u, i, id, n, r, 15).ok);
		assert_false(chap(u, i, id, n, NULL, 0).ok);
		memcpy(wrong, r, 16);
		wrong[16] = 0;
		assert_false(chap(u, i, id, n, wrong, 17).ok);
		for (int bit = 0; bit < 128; bit++) {
			memcpy(wrong, r, 16);
			wrong[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_false(chap(u, i, id, n, wrong, 16).ok);
		}
		/* The response of one user proves nothing of another. */
		assert_false(chap(u, i, id, n, vectors[(i + 1) % 3].response, 16).ok);
		assert_int_equal(chap(u, i, id, n, wrong, 16).cause, ADIT_CAUSE_AUTH_FAILED);
	}
	users_free(u);
}

static void no_method(void **state)
{
	struct users *u = parse("bob * secret\n");
	struct access_event q = { .user = "bob", .user_len = 3, .auth = PPP_AUTH_NONE };
	struct access_cmd cmd;

	users_check(u, &q, "adit", &cmd);
	assert_false(cmd.ok);
	users_free(u);
}

static void many(void **state)
{
	enum { N = 5000 };
	char *text = malloc(N * 40), name[32];
	size_t len = 0;
	struct users *u;

	assert_non_null(text);
	for (int i = 0; i < N; i++)
		len += (size_t)sprintf(text + len, "user%d * pw%d 10.%d.%d.1\n", i, i * 7, i / 256,
				       i % 256);
	text[len] = '\0';
	u = parse(text);
	assert_int_equal(users_count(u), N);
	for (int i = 0; i < N; i += 97) {
		char pw[32];
		struct access_cmd c;

		snprintf(name, sizeof(name), "user%d", i);
		snprintf(pw, sizeof(pw), "pw%d", i * 7);
		c = check(u, name, pw);
		assert_true(c.ok);
		assert_int_equal(c.grant.ip4[2], i % 256);
	}
	users_free(u);
	free(text);
}

static void out_of_memory(void **state)
{
	static const char text[] = "a * x 10.0.0.1 10.1.0.0/16\n* * y\nb * z\n";
	char err[64];
	struct users *u = NULL;
	int rc = 0;

	for (long n = 1; !u; n++) {
		err[0] = '\0';
		failmalloc_arm(n);
		u = users_parse(text, sizeof(text) - 1, &rc, err, sizeof(err));
		if (failmalloc_disarm()) {
			assert_null(u);
			assert_int_equal(rc, -ENOMEM);
			assert_string_equal(err, "out of memory");
		}
	}
	assert_int_equal(users_count(u), 3);
	users_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),	 cmocka_unit_test(nothing),
		cmocka_unit_test(mistakes),	 cmocka_unit_test(long_words),
		cmocka_unit_test(wildcards),	 cmocka_unit_test(addresses),
		cmocka_unit_test(hostile_names), cmocka_unit_test(chap_vectors),
		cmocka_unit_test(no_method),	 cmocka_unit_test(many),
		cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
