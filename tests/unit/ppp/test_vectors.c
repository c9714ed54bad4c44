/* SPDX-License-Identifier: MIT
 *
 * CHAP-MD5, MS-CHAP with the keys of MPPE, and router advertisements against vectors computed
 * elsewhere (tools/vectors), and what the readers of router advertisements must refuse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <adit/ppp.h>
#include "ip6/ra.h"
#include "vectors.h"

static void test_chap(void **state)
{
	for (size_t i = 0; i < sizeof(chap_vectors) / sizeof(chap_vectors[0]); i++) {
		const uint8_t *challenge = (const uint8_t *)chap_vectors[i].challenge;
		const char *secret = chap_vectors[i].secret;
		size_t n = chap_vectors[i].secret_len, cn = chap_vectors[i].challenge_len;
		uint8_t id = (uint8_t)chap_vectors[i].id, response[17];

		memcpy(response, chap_vectors[i].response, 16);
		response[16] = 0;
		assert_true(ppp_chap_md5_check(id, secret, n, challenge, cn, response, 16));
		assert_false(ppp_chap_md5_check(id, secret, n, challenge, cn, response, 15));
		assert_false(ppp_chap_md5_check(id, secret, n, challenge, cn, response, 17));
		assert_false(ppp_chap_md5_check(id, secret, n - 1, challenge, cn, response, 16));
		assert_false(ppp_chap_md5_check((uint8_t)(id + 1), secret, n, challenge, cn,
						response, 16));
		for (unsigned bit = 0; bit < 128; bit += 7) {
			response[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_false(
				ppp_chap_md5_check(id, secret, n, challenge, cn, response, 16));
			response[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
	assert_false(ppp_chap_md5_check(0, "", 0, (const uint8_t *)"c", 1, (const uint8_t *)"", 0));
}

static void test_mschap2(void **state)
{
	for (size_t i = 0; i < sizeof(ms_vectors) / sizeof(ms_vectors[0]); i++) {
		const uint8_t *challenge = (const uint8_t *)ms_vectors[i].challenge;
		const char *user = ms_vectors[i].user, *password = ms_vectors[i].password;
		size_t un = strlen(user), pn = strlen(password);
		uint8_t response[49] = { 0 };
		struct ppp_proof proof = { .has_keys = false };

		memcpy(response, ms_vectors[i].peer, 16);
		memcpy(response + 24, ms_vectors[i].response, 24);
		for (size_t n = 0; n < 49; n++)
			assert_false(ppp_mschap2_check(user, un, password, pn, challenge, 16,
						       response, n, &proof));
		for (unsigned bit = 0; bit < 48 * 8; bit += 5) {
			bool reserved = bit / 8 >= 16 && bit / 8 < 24; /* not part of the hash */

			response[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(ppp_mschap2_check(user, un, password, pn, challenge, 16,
							   response, 49, &proof),
					 reserved);
			response[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_false(ppp_mschap2_check(user, un, password, pn - 1, challenge, 16, response,
					       49, &proof));
		assert_false(ppp_mschap2_check("eve", 3, password, pn, challenge, 16, response, 49,
					       &proof));
		assert_false(ppp_mschap2_check(user, un, password, pn, challenge, 15, response, 49,
					       &proof));
		for (unsigned bit = 0; bit < 8; bit++) { /* RFC 2759 4: flags are 0 */
			response[48] = (uint8_t)(1u << bit);
			assert_false(ppp_mschap2_check(user, un, password, pn, challenge, 16,
						       response, 49, &proof));
		}
		response[48] = 0;
		memset(&proof, 0, sizeof(proof));
		assert_true(ppp_mschap2_check(user, un, password, pn, challenge, 16, response, 49,
					      &proof));
		assert_true(proof.has_keys);
		assert_memory_equal(proof.authenticator, ms_vectors[i].proof, PPP_PROOF_LEN);
		assert_memory_equal(proof.send_key, ms_vectors[i].server_send, PPP_KEY_LEN);
		assert_memory_equal(proof.recv_key, ms_vectors[i].client_send, PPP_KEY_LEN);
	}
}

static void test_mschap1(void **state)
{
	for (size_t i = 0; i < sizeof(ms1_vectors) / sizeof(ms1_vectors[0]); i++) {
		const uint8_t *challenge = (const uint8_t *)ms1_vectors[i].challenge;
		const char *password = ms1_vectors[i].password;
		size_t n = strlen(password);
		uint8_t response[49] = { 0 };

		memcpy(response + 24, ms1_vectors[i].response, 24);
		assert_false(ppp_mschap1_check(password, n, challenge, 8, response, 49));
		response[48] = 1; /* without it the LAN Manager response would count */
		assert_true(ppp_mschap1_check(password, n, challenge, 8, response, 49));
		assert_false(ppp_mschap1_check(password, n, challenge, 7, response, 49));
		assert_false(ppp_mschap1_check(password, n, challenge, 8, response, 48));
		assert_false(ppp_mschap1_check(password, n - 1, challenge, 8, response, 49));
		response[47] ^= 1;
		assert_false(ppp_mschap1_check(password, n, challenge, 8, response, 49));
	}
	/* Octets that are no UTF-8 stand for themselves: 0xe4 alone is as U+00E4. */
	{
		uint8_t challenge[8] = { 1 }, response[49] = { [48] = 1 };

		assert_false(ppp_mschap1_check("\xe4", 1, challenge, 8, response, 49));
		assert_false(ppp_mschap1_check("\xf0\x9f\x94", 3, challenge, 8, response, 49));
		assert_false(ppp_mschap1_check("\xed\xa0\x80", 3, challenge, 8, response, 49));
	}
}

static struct ra example(void)
{
	static const uint8_t prefix[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x77 };
	struct ra ra = { .hop_limit = 64,
			 .other = true,
			 .router_s = 1800,
			 .mtu = 1460,
			 .rdnss_s = 1200,
			 .prefixes = 1,
			 .rdnss = 2,
			 .dns = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x53 },
				  { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x54 } } };
	static const uint8_t iid[8] = { [7] = 1 };

	ra_link_local(ra.src, iid);
	memcpy(ra.dst, ra_all_nodes, 16);
	ra.prefix[0] = (struct ra_prefix){
		.len = 64, .autonomous = true, .valid_s = 86400, .preferred_s = 14400
	};
	memcpy(ra.prefix[0].ip, prefix, 16);
	return ra;
}

static void test_ra_build(void **state)
{
	struct ra ra = example();
	uint8_t buf[RA_PACKET_MAX];
	size_t n = ra_build(&ra, buf, sizeof(buf));

	assert_int_equal(n, ra_vector_len);
	assert_memory_equal(buf, ra_vector, n);
	for (size_t cap = 0; cap < n; cap++)
		assert_int_equal(ra_build(&ra, buf, cap), 0);
	ra.prefixes = RA_PREFIXES + 5;
	ra.rdnss = RA_RDNSS + 5;
	assert_in_range(ra_build(&ra, buf, sizeof(buf)), n, sizeof(buf) - 1);
}

static void test_ra_parse(void **state)
{
	struct ra want = example(), got;

	assert_true(ra_parse((const uint8_t *)ra_vector, ra_vector_len, &got));
	/* field by field: what lies between them is nobody's */
	assert_memory_equal(got.src, want.src, sizeof(want.src));
	assert_memory_equal(got.dst, want.dst, sizeof(want.dst));
	assert_int_equal(got.hop_limit, want.hop_limit);
	assert_int_equal(got.managed, want.managed);
	assert_int_equal(got.other, want.other);
	assert_int_equal(got.router_s, want.router_s);
	assert_int_equal(got.mtu, want.mtu);
	assert_int_equal(got.rdnss_s, want.rdnss_s);
	assert_int_equal(got.prefixes, want.prefixes);
	assert_int_equal(got.rdnss, want.rdnss);
	for (int i = 0; i < RA_PREFIXES; i++) {
		assert_memory_equal(got.prefix[i].ip, want.prefix[i].ip, 16);
		assert_int_equal(got.prefix[i].len, want.prefix[i].len);
		assert_int_equal(got.prefix[i].on_link, want.prefix[i].on_link);
		assert_int_equal(got.prefix[i].autonomous, want.prefix[i].autonomous);
		assert_int_equal(got.prefix[i].valid_s, want.prefix[i].valid_s);
		assert_int_equal(got.prefix[i].preferred_s, want.prefix[i].preferred_s);
	}
	assert_memory_equal(got.dns, want.dns, sizeof(want.dns));
}

/* Give the packet a right checksum again. */
static void fix(uint8_t *p, size_t n)
{
	uint16_t sum;

	p[42] = p[43] = 0;
	sum = ra_checksum(p + 8, p + 24, 58, p + 40, n - 40);
	p[42] = (uint8_t)(sum >> 8);
	p[43] = (uint8_t)sum;
}

static bool parses(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	struct ra got;
	bool ok;

	assert_non_null(copy);
	memcpy(copy, p, n);
	ok = ra_parse(copy, n, &got);
	free(copy);
	return ok;
}

static void test_ra_refuse(void **state)
{
	static const struct {
		unsigned at, value;
		bool ok;
	} cases[] = {
		{ 0, 0x40, false }, /* version */
		{ 6, 17, false },   /* next header */
		{ 7, 254, false },  /* hop limit */
		{ 8, 0x20, false }, /* source not link-local */
		{ 9, 0xbf, true },  /* still fe80::/10 */
		{ 40, 133, false }, /* type */
		{ 41, 1, false },   /* code */
		{ 57, 0, false },   /* MTU option of length zero */
		{ 57, 200, false }, /* option past the end */
		{ 56, 99, true },   /* unknown option */
	};
	uint8_t p[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(p, ra_vector, ra_vector_len);
		p[cases[i].at] = (uint8_t)cases[i].value;
		fix(p, ra_vector_len);
		assert_int_equal(parses(p, ra_vector_len), cases[i].ok);
	}
	memcpy(p, ra_vector, ra_vector_len);
	for (size_t n = 0; n < ra_vector_len; n++)
		assert_false(parses(p, n));
	p[50] ^= 1; /* checksum */
	assert_false(parses(p, ra_vector_len));
	p[50] ^= 1;
	memset(p + ra_vector_len, 0, 8); /* padding of the link */
	assert_true(parses(p, ra_vector_len + 8));
}

static void test_ra_prefixes(void **state)
{
	struct ra ra = example(), got;
	uint8_t buf[RA_PACKET_MAX];
	static const uint8_t local[16] = { 0xfe, 0x80 };

	/* preferred longer than valid, link-local: left out; bits behind the prefix cleared */
	ra.prefixes = 3;
	ra.prefix[1] = ra.prefix[0];
	ra.prefix[0].preferred_s = ra.prefix[0].valid_s + 1;
	ra.prefix[2] = ra.prefix[1];
	memcpy(ra.prefix[2].ip, local, 16);
	ra.prefix[1].len = 61;
	ra.prefix[1].ip[7] = 0xff;
	ra.prefix[1].ip[15] = 0xff;
	assert_true(ra_parse(buf, ra_build(&ra, buf, sizeof(buf)), &got));
	assert_int_equal(got.prefixes, 1);
	assert_int_equal(got.prefix[0].len, 61);
	assert_int_equal(got.prefix[0].ip[7], 0xf8);
	assert_int_equal(got.prefix[0].ip[15], 0);
	/* prefixes and name servers that no host can use: default, loopback, mapped, multicast */
	ra = example();
	ra.prefixes = 4;
	ra.prefix[1] = ra.prefix[2] = ra.prefix[3] = ra.prefix[0];
	memset(ra.prefix[0].ip, 0, 16);
	ra.prefix[0].len = 0;
	memset(ra.prefix[1].ip, 0, 16);
	ra.prefix[2].ip[0] = 0xff;
	ra.rdnss = 3;
	memset(ra.dns[0], 0, 15);
	ra.dns[0][15] = 1;
	ra.dns[1][0] = 0xff;
	ra.dns[2][0] = 0x20;
	ra.dns[2][15] = 0x99;
	assert_true(ra_parse(buf, ra_build(&ra, buf, sizeof(buf)), &got));
	assert_int_equal(got.prefixes, 1);
	assert_memory_equal(got.prefix[0].ip, ra.prefix[3].ip, 16);
	assert_int_equal(got.rdnss, 1);
	assert_int_equal(got.dns[0][15], 0x99);
	ra.rdnss_s = 0; /* "forget these servers" */
	assert_true(ra_parse(buf, ra_build(&ra, buf, sizeof(buf)), &got));
	assert_int_equal(got.rdnss, 0);
}

static void test_rs(void **state)
{
	static const uint8_t iid[8] = { [7] = 2 };
	uint8_t src[16], got[16], buf[128], p[128];
	size_t n;

	ra_link_local(src, iid);
	n = ra_solicit(src, buf, sizeof(buf));
	assert_int_equal(n, rs_vector_len);
	assert_memory_equal(buf, rs_vector, n);
	assert_true(ra_is_solicitation(buf, n, got));
	assert_memory_equal(got, src, 16);
	for (size_t cap = 0; cap < n; cap++) {
		assert_int_equal(ra_solicit(src, p, cap), 0);
		assert_false(ra_is_solicitation(buf, cap, got));
	}
	/* from :: without a link-layer address is fine, with one it is not (RFC 4861 6.1.1) */
	memset(buf + 8, 0, 16);
	fix(buf, n);
	assert_true(ra_is_solicitation(buf, n, got));
	memcpy(buf + n, "\x01\x01\0\0\0\0\0\0", 8);
	buf[5] = (uint8_t)(buf[5] + 8);
	fix(buf, n + 8);
	assert_false(ra_is_solicitation(buf, n + 8, got));
	buf[8] = 0xfe;
	buf[9] = 0x80;
	fix(buf, n + 8);
	assert_true(ra_is_solicitation(buf, n + 8, got));
	assert_false(ra_is_solicitation((const uint8_t *)ra_vector, ra_vector_len, got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chap),	    cmocka_unit_test(test_mschap2),
		cmocka_unit_test(test_mschap1),	    cmocka_unit_test(test_ra_build),
		cmocka_unit_test(test_ra_parse),    cmocka_unit_test(test_ra_refuse),
		cmocka_unit_test(test_ra_prefixes), cmocka_unit_test(test_rs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
