/* SPDX-License-Identifier: MIT
 *
 * Control Message Authentication of L2TPv3 (RFC 3931 4.3, 5.4.1) and its key for hiding (5.3).
 * Pure functions: the owner keeps keys and nonces.
 *
 * One or two secrets make a struct l2tp3_auth. Every control message then carries one Message
 * Digest AVP (59) for each of them, directly after the Message Type:
 *
 *     key    = HMAC-MD5(secret, 0x02)            for both kinds of digest
 *     digest = HMAC(key, own nonce, peer's nonce, message from the T bit, digests zeroed)
 *
 * and the receiver swaps the nonces. An SCCRQ has no nonces in front. To send: l2tp3_build_begin()
 * leaves room for the digests, l2tp_build_stamp3() writes ids and numbers at each transmission, and
 * after that l2tp3_sign() fills the digests, at each transmission again because Nr is part of what
 * is signed. To receive: l2tp3_verify() comes before anything in the message is used, Nr included.
 *
 * With authentication off a digest may come all the same, as a checksum: made with an empty secret
 * and no nonces (4.3). l2tp3_auth_empty() is for that; over IP it SHOULD be sent (4.1.1.2).
 *
 * The older form, a Challenge and its Response (RFC 2661 5.1.1), is what some peers still ask for
 * in v3: AVPs 11 and 13 are in struct l2tp_msg, l2tp_auth_response() of msg.h has the formula.
 */
#ifndef ADIT_L2TP_AUTH3_H
#define ADIT_L2TP_AUTH3_H

#include "base/crypto.h"
#include "l2tp/msg.h"

#define L2TP3_SECRETS_MAX 2   /* the one in use and the one it changes to (5.4.1) */
#define L2TP3_NONCE	  16  /* octets of the nonces that we choose */
#define L2TP3_NONCE_MAX	  128 /* longest nonce of a peer that is worth keeping; AVPs allow 1017 */

/* Digest Type (5.4.1; the RFC's own sentence on lengths is off by one, IANA and the field are not).
 */
enum l2tp3_digest { L2TP3_DIGEST_MD5 = 0, L2TP3_DIGEST_SHA1 = 1 };

/* What is derived from one secret. A secret itself: wipe it with bytes_wipe() when done. */
struct l2tp3_key {
	uint8_t sign[MD5_LEN]; /* HMAC-MD5(secret, 0x02) */
	uint8_t hide[MD5_LEN]; /* HMAC-MD5(secret, 0x01): "secret" for hiding, l2tp3_hide_secret()
				*/
	enum l2tp3_digest digest; /* the kind we send with this key; any kind is accepted */
};

struct l2tp3_auth {
	struct l2tp3_key keys[L2TP3_SECRETS_MAX];
	unsigned int n; /* 0: no digests at all */
	bool empty;	/* a checksum only: l2tp3_auth_empty() */
};

/* The nonces of a connection, each as it stood in AVP 73; n = 0 where there is none (yet). */
struct l2tp3_nonces {
	struct l2tp_bytes own, peer;
};

/* The digest kind's octets, without the type: 16 or 20. */
size_t l2tp3_digest_len(enum l2tp3_digest digest);

/* Derive the keys of one secret. An empty secret is allowed. */
void l2tp3_key_derive(struct l2tp3_key *ret, const struct l2tp_secret *secret,
		      enum l2tp3_digest digest);

/* Keys of `n` secrets, 1..L2TP3_SECRETS_MAX, the preferred one first. */
void l2tp3_auth_set(struct l2tp3_auth *ret, const struct l2tp_secret *secrets, unsigned int n,
		    enum l2tp3_digest digest);

/* The checksum of 4.3: an empty secret. Use it with empty nonces (NULL). */
void l2tp3_auth_empty(struct l2tp3_auth *ret, enum l2tp3_digest digest);

/* The same keys, of the same kind, in the same order? */
bool l2tp3_auth_same(const struct l2tp3_auth *a, const struct l2tp3_auth *b);

/* The hiding key in the form that l2tp3_build_begin() and l2tp3_msg_parse() take (5.3). */
static inline struct l2tp_secret l2tp3_hide_secret(const struct l2tp3_key *key)
{
	return (struct l2tp_secret){ key->hide, sizeof(key->hide) };
}

/*
 * Fill the digests of a message that is otherwise complete. `msg` begins with the T bit (over IP:
 * behind the session id). `nonces`: NULL for an SCCRQ and for the checksum. The i-th Message Digest
 * AVP gets the i-th key, and is of the kind that stands in it. Nothing happens when the message has
 * none, or one that is not as long as its kind.
 */
void l2tp3_sign(uint8_t *msg, size_t len, const struct l2tp3_auth *auth,
		const struct l2tp3_nonces *nonces);

enum l2tp3_check {
	L2TP3_CHECK_GOOD,   /* one digest is right for one key */
	L2TP3_CHECK_ABSENT, /* no Message Digest AVP of a known type directly after Message Type */
	L2TP3_CHECK_WRONG   /* digests are there and none is right: drop (5.4.1) */
};

/*
 * Check a message as it came, `len` octets from the T bit to the end that its Length says
 * (struct l2tp3_header: start, total). `nonces` from our own view, as for l2tp3_sign(). Up to two
 * digests are held against each key, in constant time; the work is bounded by four HMACs. Sets
 * *ret_key (may be NULL) to the key that was right when GOOD.
 */
enum l2tp3_check l2tp3_verify(const uint8_t *msg, size_t len, const struct l2tp3_auth *auth,
			      const struct l2tp3_nonces *nonces, unsigned int *ret_key);

/*
 * The value of the Nonce AVP (73) of an SCCRP that is not checked yet: the digest of an SCCRP
 * covers the nonce that comes with it, so it has to be read first (5.4.1). `payload` is what
 * follows the header. n = 0 when there is none that could be read.
 */
struct l2tp_bytes l2tp3_peek_nonce(const uint8_t *payload, size_t len);

#endif
