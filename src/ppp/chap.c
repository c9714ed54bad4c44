/* SPDX-License-Identifier: MIT
 *
 * The Challenge Handshake Authentication Protocol with MD5 (RFC 1994), in both roles.
 *
 * As authenticator we send a challenge, each with a new identifier and value (4.1), until there is
 * a response with the current identifier; the owner checks it. Later responses with this identifier
 * get the same result, whatever they hold: nobody may try names and secrets on one challenge.
 *
 * As peer we answer every challenge and repeat our response until the result comes. A challenge of
 * our own making is never answered (2.3: it would let the peer have us compute the response it
 * needs): 8 octets of each of our challenges are a keyed hash of the rest, so we know them on
 * whichever link they come back.
 */
#include "internal.h"
#include "base/htab.h"

enum { CHAP_CHALLENGE = 1, CHAP_RESPONSE = 2, CHAP_SUCCESS = 3, CHAP_FAILURE = 4 };

static enum ppp_input drop(struct ppp *e, struct link *l, const char *why)
{
	return input_drop(e, l, PPP_PROTO_CHAP, e->in.len, why);
}

static void chap_md5(uint8_t ret[MD5_LEN], uint8_t id, const void *password, size_t password_len,
		     const uint8_t *challenge, size_t challenge_len)
{
	struct bytes pieces[] = { { &id, 1 },
				  { password, password_len },
				  { challenge, challenge_len } };

	md5_of(ret, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

bool ppp_chap_md5_check(uint8_t id, const void *password, size_t password_len,
			const uint8_t *challenge, size_t challenge_len, const uint8_t *response,
			size_t response_len)
{
	uint8_t good[MD5_LEN];

	/* RFC 1994 2.3: the secret has at least one octet. */
	if (response_len != MD5_LEN || password_len == 0 || challenge_len == 0)
		return false;
	chap_md5(good, id, password, password_len, challenge, challenge_len);
	return bytes_equal_ct(good, response, MD5_LEN);
}

static void put_mark(const struct ppp *e, const uint8_t random[16], uint8_t ret[8])
{
	uint64_t mark = siphash(e->key, random, 16);

	for (unsigned i = 0; i < 8; i++)
		ret[i] = (uint8_t)(mark >> (56 - 8 * i));
}

static bool is_ours(const struct ppp *e, const uint8_t *challenge, size_t len)
{
	uint8_t mark[8];

	if (len != PPP_CHAL_LEN)
		return false;
	put_mark(e, challenge, mark);
	return bytes_equal_ct(challenge + 16, mark, 8);
}

/* Send a new challenge; l->login exists. */
void chap_challenge(struct ppp *e, struct link *l)
{
	struct login *g = l->login;

	rng_bytes(&e->rng, g->challenge, 16);
	put_mark(e, g->challenge, g->challenge + 16);
	l->chap_id++;
	l->chap_result = 0;
	l->we_sent++;
	l->we_at = mono_add(e->now, l->profile->p.restart_us).us;
	link_send(e, l, OUT_CHAP_CHAL);
}

static enum ppp_input input_response(struct ppp *e, struct link *l, const uint8_t *value,
				     size_t value_len, const uint8_t *name, size_t name_len)
{
	struct login *g = l->login;

	if (l->auth_we != PPP_AUTH_CHAP_MD5)
		return drop(e, l, "CHAP was not asked for");
	if (e->in.id != l->chap_id)
		return drop(e, l, "response to another challenge");
	if (l->chap_result != 0) {
		link_send(e, l, OUT_CHAP_RESULT);
		return PPP_IN_TAKEN;
	}
	if (l->flags & F_ASKED)
		return drop(e, l, "a repeat while the first response is being checked");
	if (!g)
		return drop(e, l, "no challenge is open");
	if (name_len >= sizeof(g->user))
		name_len = sizeof(g->user) - 1;
	if (name_len > 0)
		memcpy(g->user, name, name_len);
	g->user[name_len] = '\0';
	g->user_len = (uint16_t)name_len;
	g->msg[0] = '\0';
	l->we_sent = 0;
	if (value_len != MD5_LEN) {
		auth_failed(e, l, ADIT_CAUSE_AUTH_FAILED);
		return PPP_IN_TAKEN;
	}
	memcpy(g->response, value, MD5_LEN);
	g->response_len = MD5_LEN;
	auth_ask(e, l);
	return PPP_IN_TAKEN;
}

static enum ppp_input input_challenge(struct ppp *e, struct link *l, const uint8_t *value,
				      size_t len)
{
	const struct ppp_params *p = &l->profile->p;

	if (l->auth_peer != PPP_AUTH_CHAP_MD5)
		return drop(e, l, "CHAP was not agreed to");
	if (is_ours(e, value, len)) {
		link_close(e, l, ADIT_CAUSE_PROTOCOL_ERROR, "the peer sent our own challenge back");
		return drop(e, l, "our own challenge");
	}
	chap_md5(l->resp, e->in.id, p->password, p->password_len, value, len);
	l->resp_id = e->in.id;
	l->peer_sent = 1;
	l->peer_at = mono_add(e->now, p->restart_us).us;
	link_send(e, l, OUT_CHAP_RESP);
	return PPP_IN_TAKEN;
}

static enum ppp_input input_result(struct ppp *e, struct link *l)
{
	if (l->auth_peer != PPP_AUTH_CHAP_MD5 || l->peer_at == CP_NEVER)
		return drop(e, l, "no response of ours is open");
	if (e->in.id != l->resp_id)
		return drop(e, l, "result of another response");
	l->peer_at = CP_NEVER;
	l->out &= ~(uint32_t)OUT_CHAP_RESP;
	if (e->in.code == CHAP_FAILURE) {
		auth_peer_failed(e, l, e->in.body, e->in.body_len);
		return PPP_IN_TAKEN;
	}
	link_says(e, l, e->in.body, e->in.body_len, true);
	if (!(l->flags & F_PEER_DONE))
		auth_done(e, l, F_PEER_DONE);
	return PPP_IN_TAKEN;
}

enum ppp_input chap_input(struct ppp *e, struct link *l, const uint8_t *p, size_t len)
{
	struct rcur c = rcur_of(p, len);
	uint8_t code = rcur_u8(&c), id = rcur_u8(&c);
	uint16_t n = rcur_u16(&c);
	const uint8_t *value, *name;
	size_t value_len, name_len;

	if (c.bad || n < 4 || n > len)
		return input_drop(e, l, PPP_PROTO_CHAP, len, "Length does not fit the packet");
	e->in = (struct packet){ p, p + 4, n, n - 4u, code, id };
	trace_packet(e, l, false, PPP_PROTO_CHAP, p, n);
	if (l->phase != PH_AUTHENTICATE && l->phase != PH_NETWORK)
		return drop(e, l, "not in this phase");
	if (code == CHAP_SUCCESS || code == CHAP_FAILURE)
		return input_result(e, l);
	if (code != CHAP_CHALLENGE && code != CHAP_RESPONSE)
		return drop(e, l, "unknown code");
	c = rcur_of(e->in.body, e->in.body_len);
	value_len = rcur_u8(&c);
	value = rcur_take(&c, value_len);
	if (c.bad || value_len == 0)
		return drop(e, l, "Value runs over the end or is empty");
	name_len = rcur_left(&c);
	name = rcur_take(&c, name_len);
	if (code == CHAP_RESPONSE)
		return input_response(e, l, value, value_len, name, name_len);
	return input_challenge(e, l, value, value_len);
}

void chap_build_challenge(const struct link *l, struct wcur *c)
{
	const struct ppp_profile *f = l->profile;

	wcur_u8(c, CHAP_CHALLENGE);
	wcur_u8(c, l->chap_id);
	wcur_u16(c, (uint16_t)(4 + 1 + PPP_CHAL_LEN + f->name_len));
	wcur_u8(c, PPP_CHAL_LEN);
	wcur_bytes(c, l->login->challenge, PPP_CHAL_LEN);
	wcur_bytes(c, f->p.auth_name, f->name_len);
}

void chap_build_response(const struct link *l, struct wcur *c)
{
	const struct ppp_profile *f = l->profile;

	wcur_u8(c, CHAP_RESPONSE);
	wcur_u8(c, l->resp_id);
	wcur_u16(c, (uint16_t)(4 + 1 + MD5_LEN + f->user_len));
	wcur_u8(c, MD5_LEN);
	wcur_bytes(c, l->resp, MD5_LEN);
	wcur_bytes(c, f->p.user, f->user_len);
}

void chap_build_result(const struct link *l, struct wcur *c)
{
	size_t n = l->login ? strlen(l->login->msg) : 0;

	wcur_u8(c, l->chap_result);
	wcur_u8(c, l->chap_id);
	wcur_u16(c, (uint16_t)(4 + n));
	if (l->login)
		wcur_bytes(c, l->login->msg, n);
}
