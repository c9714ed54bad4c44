/* SPDX-License-Identifier: MIT
 *
 * Addresses: text there and back, what is refused, prefixes, the kernel's form, the saved form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/wire.h"

#include <errno.h>
#include <netinet/in.h>

static struct addr parsed(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static void test_text_round_trip(void **state)
{
	static const char *const texts[] = {
		"192.0.2.1",
		"192.0.2.1:1701",
		"0.0.0.0",
		"255.255.255.255:65535",
		"2001:db8::1",
		"::",
		"[2001:db8::1]:1701",
		"[::]:1",
		"fe80::1%3",
		"[fe80::1%3]:1701",
		"fe80::1%2147483647",
		"[fe80:1111:2222:3333:4444:5555:6666:7777%2147483647]:65535",
	};
	char buf[ADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct addr a = parsed(texts[i]);

		assert_string_equal(addr_text(&a, buf), texts[i]);
	}
}

static void test_parse_fields(void **state)
{
	struct addr a = parsed("192.0.2.1:1701");

	assert_int_equal(a.family, AF_INET);
	assert_int_equal(a.port, 1701);
	assert_memory_equal(a.ip, ((uint8_t[16]){ 192, 0, 2, 1 }), 16);
	a = parsed("[fe80::2%7]:500");
	assert_int_equal(a.family, AF_INET6);
	assert_int_equal(a.scope, 7);
	assert_int_equal(a.port, 500);
	assert_int_equal(a.ip[0], 0xfe);
	assert_int_equal(a.ip[15], 2);
	a = parsed("::ffff:192.0.2.9");
	assert_int_equal(a.family, AF_INET);
	assert_memory_equal(a.ip, ((uint8_t[16]){ 192, 0, 2, 9 }), 16);
}

static void test_parse_refuses(void **state)
{
	static const char *const bad[] = {
		"",
		"example.net",
		"192.0.2",
		"192.0.2.1:",
		"192.0.2.1:0",
		"192.0.2.1:65536",
		"192.0.2.1:017",
		"192.0.2.1:-1",
		"192.0.2.1:99999999999999999999",
		" 192.0.2.1",
		"192.0.2.1 ",
		"192.0.2.1/24",
		"2001:db8::1::2",
		"[2001:db8::1]",
		"[2001:db8::1]1701",
		"[2001:db8::1",
		"[192.0.2.1]:1",
		"2001:db8::1%3",
		"fe80::1%",
		"fe80::1%0",
		"fe80::1%eth0",
		"fe80::1%4294967296",
		":1701",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	};
	struct addr a = { .port = 77 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(addr_parse(bad[i], &a), -EINVAL);
	assert_int_equal(a.port, 77); /* written only on success */
}

static void test_compare(void **state)
{
	struct addr a = parsed("192.0.2.1:1701"), b = parsed("192.0.2.1:1702"), none = { 0 };
	struct addr any = parsed("0.0.0.0:5"), any6 = parsed("::");
	struct path p = { 1, a, b }, q = p;
	char buf[PATH_TEXT_MAX];

	assert_true(addr_same_ip(&a, &b));
	assert_false(addr_equal(&a, &b));
	assert_true(addr_equal(&a, &a));
	assert_false(addr_is_any(&a));
	assert_true(addr_is_any(&any));
	assert_true(addr_is_any(&any6));
	assert_false(addr_is_any(&none));
	assert_false(addr_same_ip(&any, &any6));
	assert_true(path_equal(&p, &q));
	q.via = 2;
	assert_false(path_equal(&p, &q));
	q = p;
	q.local.port++;
	assert_false(path_equal(&p, &q));
	q = p;
	q.remote.scope++;
	assert_false(path_equal(&p, &q));
	assert_string_equal(path_text(&p, buf), "192.0.2.1:1701 -> 192.0.2.1:1702");
	assert_string_equal(addr_text(&none, buf), "-");
}

static void test_prefix(void **state)
{
	static const char *const good[] = { "192.0.2.0/24",  "0.0.0.0/0",	  "10.0.0.1/32",
					    "::/0",	     "2001:db8::/32",	  "2001:db8::1/128",
					    "10.1.2.128/25", "2001:db8:8000::/33" };
	static const char *const bad[] = { "192.0.2.1/24",   "192.0.2.0/33",   "192.0.2.0/",
					   "192.0.2.0/-1",   "2001:db8::1/64", "2001:db8::/129",
					   "192.0.2.0:1/24", "fe80::1%3/128",  "x/3",
					   "10.0.0.64/25",   "192.0.2.0/024",  "" };
	char buf[ADDR_TEXT_MAX];
	struct prefix p;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(prefix_parse(good[i], &p), 0);
		assert_string_equal(prefix_text(&p, buf), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(prefix_parse(bad[i], &p), -EINVAL);
	assert_int_equal(prefix_parse("192.0.2.7", &p), 0);
	assert_int_equal(p.len, 32);
	assert_int_equal(prefix_parse("2001:db8::7", &p), 0);
	assert_int_equal(p.len, 128);
}

static void test_prefix_has(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool want;
	} v[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.0/25", "192.0.2.127:9", true },
		{ "192.0.2.0/25", "192.0.2.128", false },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "::1", true },
		{ "10.0.0.1/32", "10.0.0.1", true },
		{ "10.0.0.1/32", "10.0.0.2", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "2001:db8::1/128", "2001:db8::1", true },
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct addr a = parsed(v[i].addr);
		struct prefix p;

		assert_int_equal(prefix_parse(v[i].prefix, &p), 0);
		assert_int_equal(prefix_has(&p, &a), v[i].want);
	}
	assert_false(prefix_has(&(struct prefix){ 0 }, &(struct addr){ 0 }));
}

static void test_sockaddr(void **state)
{
	static const char *const texts[] = { "192.0.2.1:1701", "[2001:db8::1]:1701",
					     "[fe80::1%3]:9" };
	struct sockaddr_storage ss;
	struct addr a, b;
	socklen_t len;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		a = parsed(texts[i]);
		len = addr_to_sockaddr(&a, &ss);
		assert_true(len > 0);
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, len, &b), 0);
		assert_true(addr_equal(&a, &b));
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, len - 1, &b),
				 -EAFNOSUPPORT);
	}
	/* A mapped address, as a dual-stack socket gives it, and a scope that means nothing. */
	a = parsed("[2001:db8::1]:7");
	memset(a.ip, 0, 10);
	memset(a.ip + 10, 0xff, 2);
	a.scope = 4;
	len = addr_to_sockaddr(&a, &ss);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, len, &b), 0);
	assert_int_equal(b.family, AF_INET);
	assert_int_equal(b.scope, 0);
	assert_int_equal(b.port, 7);
	ss.ss_family = AF_UNIX;
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, sizeof(ss), &b), -EAFNOSUPPORT);
	assert_int_equal(addr_to_sockaddr(&(struct addr){ 0 }, &ss), 0);
}

static void test_saved_form(void **state)
{
	struct path p = { 3, parsed("192.0.2.1:1701"), parsed("[fe80::1%3]:9") }, q;
	struct addr none = { 0 }, a;
	uint8_t buf[128];
	struct wcur w = wcur_of(buf, sizeof(buf));
	struct rcur r;

	addr_save(&w, &none);
	assert_int_equal(w.len, 24);
	path_save(&w, &p);
	assert_int_equal(w.len, 24 + 52);
	assert_false(w.bad);
	r = rcur_of(buf, w.len);
	addr_load(&r, &a);
	path_load(&r, &q);
	assert_false(r.bad);
	assert_int_equal(rcur_left(&r), 0);
	assert_true(addr_equal(&a, &none));
	assert_true(path_equal(&p, &q));

	r = rcur_of(buf, 23);
	addr_load(&r, &a);
	assert_true(r.bad);
	buf[1] = 5; /* no such family */
	r = rcur_of(buf, 24);
	addr_load(&r, &a);
	assert_true(r.bad);
	buf[1] = 4;
	buf[23] = 1; /* an octet that must be zero is not */
	r = rcur_of(buf, 24);
	addr_load(&r, &a);
	assert_true(r.bad);
	assert_int_equal(a.family, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_round_trip), cmocka_unit_test(test_parse_fields),
		cmocka_unit_test(test_parse_refuses),	cmocka_unit_test(test_compare),
		cmocka_unit_test(test_prefix),		cmocka_unit_test(test_prefix_has),
		cmocka_unit_test(test_sockaddr),	cmocka_unit_test(test_saved_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
