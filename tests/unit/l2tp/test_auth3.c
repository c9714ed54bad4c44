/* SPDX-License-Identifier: MIT
 *
 * Shared keys and message digests of L2TPv3 (RFC 3931 4.3, 5.3, 5.4.1) against what an independent
 * program computed (tools/vectors/l2tp3_vectors.py).
 *
 * Rows: V3-4.3-04, V3-4.3-05, V3-4.3-06, V3-4.3-07, V3-4.3-16, V3-5.3-01
 */
#include "raw.h"
#include "vectors3.h"
#include "l2tp/msg3.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct l2tp_secret secret_of(const struct octets *o)
{
	return (struct l2tp_secret){ o->p, o->n };
}

static struct l2tp_bytes bytes_of(const struct octets *o)
{
	return (struct l2tp_bytes){ o->p, (uint16_t)o->n };
}

static void keys_of_a_secret(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_keys); i++) {
		struct octets secret = octets_hex(vec3_keys[i].secret);
		struct octets hide = octets_hex(vec3_keys[i].hide);
		struct octets sign = octets_hex(vec3_keys[i].sign);
		struct l2tp_secret s = secret_of(&secret);
		struct l2tp3_key key;

		l2tp3_key_derive(&key, &s, L2TP3_DIGEST_MD5);
		assert_memory_equal(key.hide, hide.p, 16);
		assert_memory_equal(key.sign, sign.p, 16);
		assert_int_equal(l2tp3_hide_secret(&key).n, 16);
		free(secret.p);
		free(hide.p);
		free(sign.p);
	}
}

/* One vector with everything taken apart. */
struct signed_msg {
	struct octets msg, own, peer, secret[2];
	struct l2tp3_auth auth;
	struct l2tp3_nonces sender, receiver;
};

static struct signed_msg load(const struct vec3_digest *v)
{
	struct signed_msg s = { octets_hex(v->msg),
				octets_hex(v->own),
				octets_hex(v->peer),
				{ octets_hex(v->secret[0]),
				  octets_hex(v->n > 1 ? v->secret[1] : "") },
				{ .n = 0 },
				{ .own = { NULL, 0 } },
				{ .own = { NULL, 0 } } };

	s.auth.n = v->n;
	for (unsigned i = 0; i < v->n; i++) {
		struct l2tp_secret secret = secret_of(&s.secret[i]);

		l2tp3_key_derive(&s.auth.keys[i], &secret, v->kind[i]);
	}
	s.sender = (struct l2tp3_nonces){ bytes_of(&s.own), bytes_of(&s.peer) };
	s.receiver = (struct l2tp3_nonces){ bytes_of(&s.peer), bytes_of(&s.own) };
	return s;
}

static void unload(struct signed_msg *s)
{
	free(s->msg.p);
	free(s->own.p);
	free(s->peer.p);
	free(s->secret[0].p);
	free(s->secret[1].p);
}

/* Zero the digests, sign again: the same octets. */
static void digests_as_others_compute_them(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_digests); i++) {
		struct signed_msg s = load(&vec3_digests[i]);
		struct octets ours = octets_copy(s.msg.p, s.msg.n);
		size_t at = 27;

		for (unsigned k = 0; k < vec3_digests[i].n; k++) {
			size_t len = l2tp3_digest_len(vec3_digests[i].kind[k]);

			memset(ours.p + at, 0xee, len); /* what stands there does not matter */
			at += len + 7;
		}
		l2tp3_sign(ours.p, ours.n, &s.auth, s.own.n ? &s.sender : NULL);
		assert_memory_equal(ours.p, s.msg.p, s.msg.n);
		free(ours.p);
		unload(&s);
	}
}

/* V3-4.3-08: every single bit counts, Ns and Nr among them; H16 (badinput H16) */
static void every_bit_is_covered(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_digests); i++) {
		struct signed_msg s = load(&vec3_digests[i]);
		unsigned key = 99;

		assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &s.auth, &s.receiver, &key),
				 L2TP3_CHECK_GOOD);
		assert_int_equal(key, 0);
		for (size_t bit = 0; bit < 8 * s.msg.n; bit++) {
			/* two digests: the other one is still right when one is hurt */
			bool in_digest = bit / 8 >= 20 && bit / 8 < 20 + 27 * vec3_digests[i].n;

			s.msg.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (vec3_digests[i].n == 1 || !in_digest)
				assert_int_not_equal(
					l2tp3_verify(s.msg.p, s.msg.n, &s.auth, &s.receiver, NULL),
					L2TP3_CHECK_GOOD);
			s.msg.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		unload(&s);
	}
}

/* Any length is safe to check, and none but the right one is good. */
static void truncated(void **state)
{
	for (size_t i = 0; i < COUNT(vec3_digests); i++) {
		struct signed_msg s = load(&vec3_digests[i]);

		for (size_t n = 0; n < s.msg.n; n++) {
			struct octets cut = octets_copy(s.msg.p, n);

			assert_int_not_equal(l2tp3_verify(cut.p, cut.n, &s.auth, &s.receiver, NULL),
					     L2TP3_CHECK_GOOD);
			l2tp3_sign(cut.p, cut.n, &s.auth, &s.sender);
			l2tp3_peek_nonce(cut.p, cut.n);
			free(cut.p);
		}
		unload(&s);
	}
}

/* The nonces of the other direction, or none, are wrong. */
static void nonces_are_swapped(void **state)
{
	struct signed_msg s = load(&vec3_digests[2]);

	assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &s.auth, &s.sender, NULL),
			 L2TP3_CHECK_WRONG);
	assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &s.auth, NULL, NULL), L2TP3_CHECK_WRONG);
	unload(&s);
}

/* V3-4.3-09, V3-4.3-10: of two digests and two secrets any pair will do. */
static void two_digests_and_two_secrets(void **state)
{
	struct signed_msg s = load(&vec3_digests[7]), one = load(&vec3_digests[2]);
	struct l2tp3_auth only_new = { .keys = { s.auth.keys[1] }, .n = 1 };
	struct l2tp3_auth other_first = { .keys = { s.auth.keys[1], s.auth.keys[0] }, .n = 2 };
	unsigned key = 9;

	assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &only_new, &s.receiver, &key),
			 L2TP3_CHECK_GOOD);
	assert_int_equal(key, 0);
	s.msg.p[27] ^= 1; /* the first is wrong, the second right */
	assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &s.auth, &s.receiver, &key),
			 L2TP3_CHECK_GOOD);
	assert_int_equal(key, 1);
	s.msg.p[27 + 23] ^= 1;
	assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &s.auth, &s.receiver, &key),
			 L2TP3_CHECK_WRONG);
	assert_int_equal(l2tp3_verify(one.msg.p, one.msg.n, &other_first, &one.receiver, &key),
			 L2TP3_CHECK_GOOD);
	assert_int_equal(key, 1);
	unload(&s);
	unload(&one);
}

/* V3-4.3-16: a digest of a type nobody knows is as if it were not there. */
static void unknown_digest_type(void **state)
{
	struct signed_msg s = load(&vec3_digests[5]);

	s.msg.p[26] = 7;
	assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &s.auth, &s.receiver, NULL),
			 L2TP3_CHECK_ABSENT);
	s.msg.p[26] = 1; /* sixteen octets are no HMAC-SHA-1 */
	assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &s.auth, &s.receiver, NULL),
			 L2TP3_CHECK_ABSENT);
	unload(&s);
}

/* V3-4.3-03: a digest anywhere else is none; nor is a hidden one, nor a vendor's. */
static void only_behind_the_message_type(void **state)
{
	static const uint8_t digest[17];
	struct signed_msg s = load(&vec3_digests[5]);
	struct raw r = { .n = 0 };

	for (unsigned i = 0; i < 4; i++) {
		r.n = 12;
		memset(r.buf, 0, 12);
		raw_num(&r, M, i == 3 ? 1 : 0, 2, 6);
		if (i == 0)
			raw_num(&r, M, 10, 2, 4);
		raw_avp(&r, i == 1 ? M | H : M, i == 2 ? 9 : 0, 59, digest, sizeof(digest));
		assert_int_equal(l2tp3_verify(r.buf, r.n, &s.auth, &s.receiver, NULL),
				 L2TP3_CHECK_ABSENT);
	}
	unload(&s);
}

/* V3-4.3-11: authentication off: an empty secret and no nonces. */
static void checksum(void **state)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		struct signed_msg s = load(&vec3_digests[9 + kind]);
		struct l2tp3_auth auth;

		l2tp3_auth_empty(&auth, kind);
		assert_true(auth.empty);
		assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &auth, NULL, NULL),
				 L2TP3_CHECK_GOOD);
		s.msg.p[9] ^= 1;
		assert_int_equal(l2tp3_verify(s.msg.p, s.msg.n, &auth, NULL, NULL),
				 L2TP3_CHECK_WRONG);
		unload(&s);
	}
}

/*
 * What was built before the configuration changed, or comes back from a record that is broken: the
 * kind that stands in the message counts, and a length that does not fit it is left alone.
 */
static void signed_as_it_was_built(void **state)
{
	struct signed_msg s = load(&vec3_digests[2]); /* MD5 */
	struct octets ours = octets_copy(s.msg.p, s.msg.n);

	s.auth.keys[0].digest = L2TP3_DIGEST_SHA1;
	memset(ours.p + 27, 0xee, 16);
	l2tp3_sign(ours.p, ours.n, &s.auth, &s.sender);
	assert_memory_equal(ours.p, s.msg.p, s.msg.n);
	for (unsigned len = 0; len < 256; len++) {
		struct octets before;

		ours.p[21] = (uint8_t)len;
		if (len == 7 + 16)
			continue;
		before = octets_copy(ours.p, ours.n);
		l2tp3_sign(ours.p, ours.n, &s.auth, &s.sender);
		assert_memory_equal(ours.p, before.p, ours.n);
		free(before.p);
	}
	free(ours.p);
	unload(&s);
}

static void peek_at_the_nonce(void **state)
{
	struct octets sccrp = octets_hex(vec3_messages[1].plain),
		      hello = octets_hex(vec3_messages[4].plain);
	struct l2tp_bytes nonce = l2tp3_peek_nonce(sccrp.p + 12, sccrp.n - 12);

	assert_int_equal(nonce.n, 16);
	assert_true(nonce.p > sccrp.p && nonce.p + 16 <= sccrp.p + sccrp.n);
	assert_int_equal(l2tp3_peek_nonce(hello.p + 12, hello.n - 12).n, 0);
	free(sccrp.p);
	free(hello.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_a_secret),
		cmocka_unit_test(digests_as_others_compute_them),
		cmocka_unit_test(every_bit_is_covered),
		cmocka_unit_test(truncated),
		cmocka_unit_test(nonces_are_swapped),
		cmocka_unit_test(two_digests_and_two_secrets),
		cmocka_unit_test(unknown_digest_type),
		cmocka_unit_test(only_behind_the_message_type),
		cmocka_unit_test(checksum),
		cmocka_unit_test(signed_as_it_was_built),
		cmocka_unit_test(peek_at_the_nonce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
