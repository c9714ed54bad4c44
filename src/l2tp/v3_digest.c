/* SPDX-License-Identifier: MIT
 *
 * Which digests and nonces a control connection goes by (RFC 3931 4.3, 5.4.1); the sums themselves
 * are made in auth3.c.
 *
 * A connection is authenticated (every message has a digest made with the secret and both nonces),
 * or its messages carry a checksum (a digest of the empty secret without nonces), or nothing. The
 * profile says what we want; the Nonce AVP of SCCRQ and SCCRP says what the peer wants, and it is
 * always both sides or neither.
 *
 * Before the peer has told its nonce a message of its can only be a StopCCN, made without it, and
 * likewise before it knows ours. With two secrets our SCCRQ has a digest of each, since the peer
 * may know either alone; from then on the one that the peer used last is the one that we send with.
 * So it is enough if one end knows both. Only a message that is new counts there (digest_settle):
 * one that somebody has recorded and sends again may be authentic, but must not choose for us.
 *
 * A message that is not authentic is dropped and counts for nothing. What it said is kept as a
 * hint, so that a connection that comes to nothing can say why.
 */
#include "l2tp/v3_int.h"

static enum conn_auth mode_of(const struct l2tp3_profile *p, bool over_ip)
{
	bool secret = p->auth.n > 0;

	switch (p->p.digest) {
	case L2TP3_AUTH_AUTO:
		if (secret)
			return CONN_AUTH_ON;
		/* There is no checksum over IP (4.1.1.2). */
		return over_ip ? CONN_AUTH_SUM : CONN_AUTH_OFF;
	case L2TP3_AUTH_NONE:
		return CONN_AUTH_OFF;
	case L2TP3_AUTH_MD5:
	case L2TP3_AUTH_SHA1:
		return secret ? CONN_AUTH_ON : CONN_AUTH_SUM;
	}
	return CONN_AUTH_OFF;
}

/* The peer takes no part in authentication, and the owner does not mind. */
static enum conn_auth without(const struct conn *c)
{
	return c->over_ip ? CONN_AUTH_SUM : CONN_AUTH_OFF;
}

static void make_nonce(struct l2tp3 *l, struct conn *c)
{
	c->own_nonce_len = sizeof(c->own_nonce);
	rng_bytes(&l->rng, c->own_nonce, sizeof(c->own_nonce));
}

void digest_begin(struct l2tp3 *l, struct conn *c)
{
	c->auth = (uint8_t)mode_of(c->profile, c->over_ip);
	c->own_nonce_len = c->peer_nonce_len = 0;
	c->key = c->got_key = 0;
	if (c->auth == CONN_AUTH_ON)
		make_nonce(l, c);
}

void digest_peer_nonce(struct conn *c, struct l2tp_bytes nonce)
{
	c->peer_nonce_len = (uint8_t)(nonce.n < L2TP3_NONCE_MAX ? nonce.n : L2TP3_NONCE_MAX);
	if (c->peer_nonce_len)
		memcpy(c->peer_nonce, nonce.p, c->peer_nonce_len);
}

static const struct l2tp3_auth *keys_of(const struct l2tp3 *l, const struct l2tp3_profile *p,
					enum conn_auth mode, uint8_t key, struct l2tp3_auth *one)
{
	switch (mode) {
	case CONN_AUTH_OFF:
		break;
	case CONN_AUTH_SUM:
		return p && p->p.digest == L2TP3_AUTH_SHA1 ? &l->sum_sha1 : &l->sum;
	case CONN_AUTH_ON:
		*one = (struct l2tp3_auth){ .keys = { p->auth.keys[key] }, .n = 1 };
		return one;
	}
	return NULL;
}

const struct l2tp3_auth *digest_keys(const struct l2tp3 *l, const struct conn *c, uint16_t type,
				     struct l2tp3_auth *one)
{
	if (type == L2TP_SCCRQ && c->auth == CONN_AUTH_ON)
		return &c->profile->auth;
	return keys_of(l, c->profile, (enum conn_auth)c->auth, c->key, one);
}

const struct l2tp3_auth *digest_bare(const struct l2tp3 *l, const struct l2tp3_profile *p,
				     bool over_ip, struct l2tp3_auth *one)
{
	enum conn_auth mode = over_ip ? CONN_AUTH_SUM : CONN_AUTH_OFF;

	return keys_of(l, p, p ? mode_of(p, over_ip) : mode, 0, one);
}

const struct l2tp_secret *digest_hide(const struct conn *c, struct l2tp_secret *room)
{
	if (c->auth != CONN_AUTH_ON || !c->profile)
		return NULL;
	*room = l2tp3_hide_secret(&c->profile->auth.keys[c->got_key]);
	return room;
}

void digest_settle(struct conn *c)
{
	c->key = c->got_key;
}

static struct l2tp3_nonces nonces_of(const struct conn *c)
{
	return (struct l2tp3_nonces){ .own = { c->own_nonce, c->own_nonce_len },
				      .peer = { c->peer_nonce, c->peer_nonce_len } };
}

void digest_sign(const struct l2tp3 *l, const struct conn *c, uint8_t *msg, size_t len,
		 uint16_t type)
{
	struct l2tp3_nonces n = nonces_of(c);
	struct l2tp3_auth one;
	const struct l2tp3_auth *keys = digest_keys(l, c, type, &one);

	if (!keys)
		return;
	/* A responder's nonce is known to the peer from its SCCRP on. */
	if (!c->initiator && !c->told_nonce && type != L2TP_SCCRP)
		n.own.n = 0;
	l2tp3_sign(msg, len, keys, c->auth == CONN_AUTH_ON && type != L2TP_SCCRQ ? &n : NULL);
	bytes_wipe(&one, sizeof(one));
}

static bool good_with(struct conn *c, const struct in3 *in, const struct l2tp3_nonces *n)
{
	unsigned int key = 0;

	if (l2tp3_verify(in->msg, in->len, &c->profile->auth, n, &key) != L2TP3_CHECK_GOOD)
		return false;
	c->got_key = (uint8_t)key;
	c->proved = true;
	return true;
}

/* Somebody refuses us and does not prove to be the peer: no more than something to tell. */
static void hear_refusal(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	uint8_t scratch[L2TP_SCRATCH];
	char text[L2TP_TEXT_MAX];
	struct l2tp_verdict v;
	struct l2tp_msg m;

	l2tp3_msg_parse(in->msg + L2TP3_HEADER, in->len - L2TP3_HEADER, NULL, 0, scratch, &m, &v);
	engine_name(text, sizeof(text), m.text);
	conn_hint(l, c, text[0] ? text : "it refused the connection without proving the secret");
}

/*
 * An answer without a nonce. Whoever knows the secret and leaves the nonce out is told so
 * (sccrp_input). From anybody else it is dropped, as every message without digest is where there
 * has to be one (4.3, 5.4.1): anybody could end our attempt with it.
 */
static bool good_bare_reply(struct l2tp3 *l, struct conn *c, const struct in3 *in,
			    const struct l2tp3_nonces *n)
{
	enum l2tp3_check bare;

	if (good_with(c, in, n)) {
		digest_settle(c);
		return true;
	}
	bare = l2tp3_verify(in->msg, in->len, &l->sum, NULL, NULL);
	if (bare == L2TP3_CHECK_WRONG) {
		conn_hint(l, c, "its digest is wrong, and it sent no nonce");
		return false;
	}
	if (!c->profile->p.digest_optional) {
		conn_hint(
			l, c,
			"its answer has no digest made with the secret: it authenticates nothing");
		return false;
	}
	c->auth = (uint8_t)without(c);
	return true;
}

/* The answer to our SCCRQ: it brings the nonce that it is to be checked with. */
static bool good_reply(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	struct l2tp3_nonces n = nonces_of(c);

	n.peer = l2tp3_peek_nonce(in->msg + L2TP3_HEADER, in->len - L2TP3_HEADER);
	if (n.peer.n > L2TP3_NONCE_MAX) {
		conn_hint(l, c, "its nonce is longer than we can keep");
		return false;
	}
	if (!n.peer.n)
		return good_bare_reply(l, c, in, &n);
	if (!good_with(c, in, &n)) {
		conn_hint(l, c, "its digest was made with another secret");
		return false;
	}
	digest_settle(c);
	digest_peer_nonce(c, n.peer);
	return true;
}

static bool good_authentic(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	struct l2tp3_nonces n = nonces_of(c);

	if (c->state == L2TP3_CS_WAIT_REPLY && in->type == L2TP_SCCRP)
		return good_reply(l, c, in);
	if (!c->initiator && !c->told_nonce)
		n.own.n = 0;
	if (good_with(c, in, &n))
		return true;
	/* Withdrawn before the peer had our SCCRP: its StopCCN is made without our nonce. */
	n.own.n = 0;
	if (!c->initiator && !c->was_up && in->type == L2TP_STOPCCN && in->connection == 0 &&
	    good_with(c, in, &n))
		return true;
	if (c->state == L2TP3_CS_WAIT_REPLY && in->type == L2TP_STOPCCN)
		hear_refusal(l, c, in);
	return false;
}

bool digest_good(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	if (c->auth == CONN_AUTH_ON)
		return good_authentic(l, c, in);
	/* It wants what we do not have: that is answered (control), not dropped as corrupt. */
	if (c->state == L2TP3_CS_WAIT_REPLY && in->type == L2TP_SCCRP &&
	    l2tp3_peek_nonce(in->msg + L2TP3_HEADER, in->len - L2TP3_HEADER).n)
		return true;
	if (l2tp3_verify(in->msg, in->len, &l->sum, NULL, NULL) != L2TP3_CHECK_WRONG)
		return true;
	if (c->state == L2TP3_CS_WAIT_REPLY)
		conn_hint(l, c, "its digest is wrong: it has a secret, or another one");
	return false;
}

enum l2tp3_check digest_request(struct l2tp3 *l, struct conn *c, const uint8_t *msg, size_t len)
{
	struct l2tp_bytes nonce = l2tp3_peek_nonce(msg + L2TP3_HEADER, len - L2TP3_HEADER);
	enum l2tp3_check r;
	unsigned int key = 0;

	digest_begin(l, c);
	if (nonce.n > L2TP3_NONCE_MAX)
		return L2TP3_CHECK_WRONG;
	if (c->auth != CONN_AUTH_ON) {
		if (nonce.n)
			return L2TP3_CHECK_ABSENT;
		r = l2tp3_verify(msg, len, &l->sum, NULL, NULL);
		/* Who sends checksums gets some. */
		if (r == L2TP3_CHECK_GOOD)
			c->auth = CONN_AUTH_SUM;
		return r == L2TP3_CHECK_WRONG ? r : L2TP3_CHECK_GOOD;
	}
	r = l2tp3_verify(msg, len, &c->profile->auth, NULL, &key);
	if (r == L2TP3_CHECK_GOOD && nonce.n) {
		c->key = c->got_key = (uint8_t)key;
		digest_peer_nonce(c, nonce);
		return r;
	}
	if (nonce.n == 0 && r == L2TP3_CHECK_WRONG)
		r = l2tp3_verify(msg, len, &l->sum, NULL, NULL); /* a checksum, perhaps */
	if (r == L2TP3_CHECK_WRONG || nonce.n) {
		/* The connection cannot be: nothing that we send is to be signed with a secret. */
		c->auth = (uint8_t)without(c);
		return L2TP3_CHECK_WRONG;
	}
	c->auth = (uint8_t)without(c);
	return c->profile->p.digest_optional ? L2TP3_CHECK_GOOD : L2TP3_CHECK_ABSENT;
}
