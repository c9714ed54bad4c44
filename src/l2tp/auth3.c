/* SPDX-License-Identifier: MIT
 *
 * Message digests of L2TPv3 and the keys that a secret gives (RFC 3931 4.3, 5.3, 5.4.1).
 *
 * "The Message Digest AVP MUST be present with the Digest Type set to its proper value, but the
 * Message Digest itself set to zeros", and with two of them, both. So the octets are taken in
 * pieces around the one or two places, with zeros in between, and the message itself is not written
 * to when it is only checked.
 *
 * Where the digests are is found without believing anything: Message Type has to be the first AVP
 * and eight octets long, a digest is the AVP right behind it, a second one right behind that.
 */
#include "l2tp/auth3.h"
#include "l2tp/avp.h"
#include "l2tp/msg3.h"

#define DIGESTS 2
#define PIECES	(2 + 2 * DIGESTS + 1) /* nonces; up to each digest, its zeros; the rest */

/* The places of the digests in a message. */
struct place {
	size_t at, len; /* of the digest itself, behind the type octet */
	uint8_t type;
};

struct places {
	unsigned int n;
	struct place d[DIGESTS];
};

static const uint8_t zeros[AVP_VALUE_MAX];

size_t l2tp3_digest_len(enum l2tp3_digest digest)
{
	return digest == L2TP3_DIGEST_SHA1 ? SHA1_LEN : MD5_LEN;
}

void l2tp3_key_derive(struct l2tp3_key *ret, const struct l2tp_secret *secret,
		      enum l2tp3_digest digest)
{
	const struct bytes key = { secret->p, secret->n };
	const uint8_t hide = 1, sign = 2;

	hmac_md5_of(ret->hide, &key, &(struct bytes){ &hide, 1 }, 1);
	hmac_md5_of(ret->sign, &key, &(struct bytes){ &sign, 1 }, 1);
	ret->digest = digest;
}

void l2tp3_auth_set(struct l2tp3_auth *ret, const struct l2tp_secret *secrets, unsigned int n,
		    enum l2tp3_digest digest)
{
	*ret = (struct l2tp3_auth){ .n = n < L2TP3_SECRETS_MAX ? n : L2TP3_SECRETS_MAX };
	for (unsigned int i = 0; i < ret->n; i++)
		l2tp3_key_derive(&ret->keys[i], &secrets[i], digest);
}

void l2tp3_auth_empty(struct l2tp3_auth *ret, enum l2tp3_digest digest)
{
	const struct l2tp_secret none = { NULL, 0 };

	l2tp3_auth_set(ret, &none, 1, digest);
	ret->empty = true;
}

bool l2tp3_auth_same(const struct l2tp3_auth *a, const struct l2tp3_auth *b)
{
	for (unsigned int i = 0; i < a->n && a->n == b->n; i++) {
		const struct l2tp3_key *x = a->keys + i, *y = b->keys + i;

		if (x->digest != y->digest || !bytes_equal_ct(x->sign, y->sign, sizeof(x->sign)) ||
		    !bytes_equal_ct(x->hide, y->hide, sizeof(x->hide)))
			return false;
	}
	return a->n == b->n;
}

static struct places places_of(const uint8_t *msg, size_t len)
{
	struct rcur c = rcur_of(msg, len);
	struct places found = { 0 };
	struct avp a;

	rcur_take(&c, L2TP3_HEADER);
	if (c.bad || avp_next(&c, &a) != AVP_NEXT_OK || a.type != AVP_MESSAGE_TYPE || a.n != 2)
		return found;
	while (found.n < DIGESTS && avp_next(&c, &a) == AVP_NEXT_OK) {
		if (a.vendor || a.type != L2TP3_AVP_DIGEST || a.hidden || a.n == 0)
			break;
		found.d[found.n].type = a.value[0];
		found.d[found.n].at = (size_t)(a.value - msg) + 1;
		found.d[found.n].len = a.n - 1U;
		found.n++;
	}
	return found;
}

/* Of a type that we know, and as long as it should be? */
static bool is_digest(const struct place *d)
{
	return d->type <= L2TP3_DIGEST_SHA1 && d->len == l2tp3_digest_len(d->type);
}

/* Nonces in the order of the sender. */
static void digest_of(uint8_t ret[SHA1_LEN], enum l2tp3_digest kind, const struct l2tp3_key *key,
		      const struct l2tp_bytes *first, const struct l2tp_bytes *second,
		      const uint8_t *msg, size_t len, const struct places *where)
{
	const struct bytes sign = { key->sign, sizeof(key->sign) };
	struct bytes pieces[PIECES] = { { first->p, first->n }, { second->p, second->n } };
	size_t n = 2, at = 0;

	for (unsigned int i = 0; i < where->n; i++) {
		pieces[n++] = (struct bytes){ msg + at, where->d[i].at - at };
		pieces[n++] = (struct bytes){ zeros, where->d[i].len };
		at = where->d[i].at + where->d[i].len;
	}
	pieces[n++] = (struct bytes){ msg + at, len - at };
	if (kind == L2TP3_DIGEST_SHA1)
		hmac_sha1_of(ret, &sign, pieces, n);
	else
		hmac_md5_of(ret, &sign, pieces, n);
}

void l2tp3_sign(uint8_t *msg, size_t len, const struct l2tp3_auth *auth,
		const struct l2tp3_nonces *nonces)
{
	static const struct l2tp3_nonces none;
	struct places where = places_of(msg, len);
	uint8_t digest[DIGESTS][SHA1_LEN];
	const struct l2tp3_nonces *use = nonces ? nonces : &none;

	if (where.n > auth->n)
		where.n = auth->n;
	for (unsigned int i = 0; i < where.n; i++) {
		if (is_digest(&where.d[i]))
			digest_of(digest[i], where.d[i].type, &auth->keys[i], &use->own, &use->peer,
				  msg, len, &where);
	}
	for (unsigned int i = 0; i < where.n; i++) {
		if (is_digest(&where.d[i]))
			memcpy(msg + where.d[i].at, digest[i], where.d[i].len);
	}
}

enum l2tp3_check l2tp3_verify(const uint8_t *msg, size_t len, const struct l2tp3_auth *auth,
			      const struct l2tp3_nonces *nonces, unsigned int *ret_key)
{
	static const struct l2tp3_nonces none;
	const struct l2tp3_nonces *use = nonces ? nonces : &none;
	struct places where = places_of(msg, len);
	enum l2tp3_check r = L2TP3_CHECK_ABSENT;
	uint8_t digest[SHA1_LEN];

	for (unsigned int i = 0; i < where.n; i++) {
		if (!is_digest(&where.d[i]))
			continue;
		for (unsigned int k = 0; k < auth->n; k++) {
			digest_of(digest, where.d[i].type, &auth->keys[k], &use->peer, &use->own,
				  msg, len, &where);
			if (bytes_equal_ct(digest, msg + where.d[i].at, where.d[i].len)) {
				if (ret_key)
					*ret_key = k;
				return L2TP3_CHECK_GOOD;
			}
			r = L2TP3_CHECK_WRONG;
		}
	}
	return r;
}

struct l2tp_bytes l2tp3_peek_nonce(const uint8_t *payload, size_t len)
{
	struct rcur c = rcur_of(payload, len);
	struct avp a;

	while (avp_next(&c, &a) == AVP_NEXT_OK) {
		if (!a.vendor && a.type == L2TP3_AVP_NONCE && !a.hidden)
			return (struct l2tp_bytes){ a.value, a.n };
	}
	return (struct l2tp_bytes){ NULL, 0 };
}
