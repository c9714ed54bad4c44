/* SPDX-License-Identifier: MIT
 *
 * The Challenge Handshake Authentication Protocol (RFC 1994), in both roles, with MD5 and with the
 * algorithms of MS-CHAP version 2 (RFC 2759) and 1 (RFC 2433).
 *
 * As authenticator we send a challenge, each with a new identifier and value (4.1), until there is
 * a response with the current identifier; the owner checks it. Later responses with this identifier
 * get the same result, whatever they hold: nobody may try names and secrets on one challenge.
 *
 * As peer we answer every challenge and repeat our response until the result comes. A challenge of
 * our own making is never answered (2.3: it would let the peer have us compute the response it
 * needs): 8 octets of each of our challenges are a keyed hash of the rest, so we know them on
 * whichever link they come back. The 8 octets of version 1 have no room for that; only the
 * challenge that is open is known again.
 *
 * MS-CHAP: a Failure that allows another try holds the next challenge, whose identifier is one
 * higher (RFC 2759 9.1.4), and no timer runs. A Change-Password packet is answered with "not here":
 * we never invite one. As peer we hold the server to its proof: without it the link ends.
 */
#include "internal.h"

enum {
	CHAP_CHALLENGE = 1,
	CHAP_RESPONSE = 2,
	CHAP_SUCCESS = 3,
	CHAP_FAILURE = 4,
	MSCHAP_CHANGE1 = 5, /* RFC 2433 7, 8 */
	MSCHAP_CHANGE2 = 6,
	MSCHAP_CHANGE3 = 7 /* RFC 2759 7 */
};

#define BY_CHAP (PPP_AUTH_CHAP_MD5 | PPP_AUTH_MSCHAP | PPP_AUTH_MSCHAPV2)
#define BY_MS	(PPP_AUTH_MSCHAP | PPP_AUTH_MSCHAPV2)

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

static size_t response_len(uint8_t auth)
{
	return auth & BY_MS ? MS_RESP_LEN : MD5_LEN;
}

static void new_challenge(struct ppp *e, const struct link *l)
{
	size_t n = auth_challenge_len(l->auth_we);

	rng_bytes(&e->rng, l->login->challenge, n);
	if (n > 8)
		auth_put_mark(e, l->login->challenge, n);
}

/* Send a new challenge; l->login exists. */
void chap_challenge(struct ppp *e, struct link *l)
{
	new_challenge(e, l);
	l->chap_id++;
	l->chap_result = 0;
	l->we_sent++;
	l->we_at = mono_add(e->now, l->profile->p.restart_us).us;
	link_send(e, l, OUT_CHAP_CHAL);
}

/* MS-CHAP: what the Failure that has been ordered says (RFC 2759 6). */
void chap_failed(struct ppp *e, struct link *l, enum adit_cause cause, bool retry)
{
	auth_fail_words(l, cause, retry);
	if (!l->login)
		return;
	new_challenge(e, l);
	if (retry)
		l->chap_id++;
	l->we_at = CP_NEVER;
}

static enum ppp_input input_response(struct ppp *e, struct link *l, const uint8_t *value,
				     size_t value_len, const uint8_t *name, size_t name_len)
{
	struct login *g = l->login;
	size_t n = response_len(l->auth_we);

	if (!(l->auth_we & BY_CHAP))
		return drop(e, l, "CHAP was not asked for");
	if (l->chap_result != 0 && e->in.id == l->result_id) {
		link_send(e, l, OUT_CHAP_RESULT);
		return PPP_IN_TAKEN;
	}
	if (e->in.id != l->chap_id)
		return drop(e, l, "response to another challenge");
	if (l->flags & F_ASKED)
		return drop(e, l, "a repeat while the first response is being checked");
	if (!g)
		return drop(e, l, "no challenge is open");
	auth_take_user(g, name, name_len);
	l->we_sent = 0;
	if (value_len != n) {
		auth_failed(e, l, ADIT_CAUSE_AUTH_FAILED);
		return PPP_IN_TAKEN;
	}
	memcpy(g->response, value, n);
	g->response_len = (uint16_t)n;
	auth_ask(e, l);
	return PPP_IN_TAKEN;
}

/* A Change-Password packet answers a Failure, with the identifier behind it. */
static enum ppp_input input_change(struct ppp *e, struct link *l)
{
	static const char words[] = "passwords cannot be changed here";

	if (!(l->auth_we & BY_MS) || l->phase != PH_AUTHENTICATE || !l->login ||
	    (l->flags & F_ASKED) || l->chap_result != CHAP_FAILURE || e->in.id != l->chap_id)
		return drop(e, l, "Change-Password without a Failure that allows another try");
	memcpy(l->login->msg, words, sizeof(words));
	l->chap_result = CHAP_FAILURE;
	l->result_id = l->chap_id;
	new_challenge(e, l);
	l->fail_error = 109; /* 709 ERROR_CHANGING_PASSWORD */
	l->fail_retry = false;
	link_send(e, l, OUT_CHAP_RESULT);
	link_close(e, l, ADIT_CAUSE_AUTH_FAILED, "the peer wanted to change the password");
	return PPP_IN_TAKEN;
}

static void respond(struct ppp *e, struct link *l, const uint8_t *challenge, size_t len)
{
	const struct ppp_profile *f = l->profile;

	if (l->auth_peer == PPP_AUTH_MSCHAPV2) {
		/* The network doubles packets: a second response would need another proof. */
		if (l->ms->responded && e->in.id == l->resp_id &&
		    memcmp(challenge, l->ms->challenge, len) == 0)
			return;
		auth_respond_ms(e, l, challenge);
	} else if (l->auth_peer == PPP_AUTH_MSCHAP) {
		memcpy(l->resp, challenge, 8); /* the rest follows when it is sent */
	} else {
		chap_md5(l->resp, e->in.id, f->p.password, f->p.password_len, challenge, len);
	}
}

static enum ppp_input input_challenge(struct ppp *e, struct link *l, const uint8_t *value,
				      size_t len)
{
	const struct ppp_params *p = &l->profile->p;

	if (!(l->auth_peer & BY_CHAP))
		return drop(e, l, "CHAP was not agreed to");
	if ((l->auth_peer & BY_MS) && len != auth_challenge_len(l->auth_peer))
		return drop(e, l, "a challenge of MS-CHAP has 16 octets, of version 1 8");
	if (auth_is_ours(e, value, len) || (len == 8 && l->auth_we == PPP_AUTH_MSCHAP && l->login &&
					    memcmp(l->login->challenge, value, 8) == 0)) {
		link_close(e, l, ADIT_CAUSE_PROTOCOL_ERROR, "the peer sent our own challenge back");
		return drop(e, l, "our own challenge");
	}
	respond(e, l, value, len);
	l->resp_id = e->in.id;
	l->peer_sent = 1;
	l->peer_at = mono_add(e->now, p->restart_us).us;
	link_send(e, l, OUT_CHAP_RESP);
	return PPP_IN_TAKEN;
}

/* The words of a result; of MS-CHAP without what is for machines. */
static struct bytes result_words(const struct ppp *e, const struct link *l)
{
	if (l->auth_peer & BY_MS)
		return mschap_words(e->in.body, e->in.body_len);
	return (struct bytes){ e->in.body, e->in.body_len };
}

static enum ppp_input input_result(struct ppp *e, struct link *l)
{
	struct bytes words;

	if (!(l->auth_peer & BY_CHAP) || l->peer_at == CP_NEVER)
		return drop(e, l, "no response of ours is open");
	if (e->in.id != l->resp_id)
		return drop(e, l, "result of another response");
	l->peer_at = CP_NEVER;
	l->out &= ~(uint32_t)OUT_CHAP_RESP;
	words = result_words(e, l);
	if (e->in.code == CHAP_FAILURE) {
		auth_peer_failed(e, l, words.p, words.n);
		return PPP_IN_TAKEN;
	}
	/* RFC 2759 5: "the peer MUST end the session". */
	if (l->auth_peer == PPP_AUTH_MSCHAPV2 && !auth_peer_proven(l, e->in.body, e->in.body_len)) {
		link_close(e, l, ADIT_CAUSE_PEER_UNPROVEN, NULL);
		return PPP_IN_TAKEN;
	}
	link_says(e, l, words.p, words.n, true);
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
	if (code >= MSCHAP_CHANGE1 && code <= MSCHAP_CHANGE3)
		return input_change(e, l);
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
	size_t n = auth_challenge_len(l->auth_we);

	wcur_u8(c, CHAP_CHALLENGE);
	wcur_u8(c, l->chap_id);
	wcur_u16(c, (uint16_t)(4 + 1 + n + f->name_len));
	wcur_u8(c, (uint8_t)n);
	wcur_bytes(c, l->login->challenge, n);
	wcur_bytes(c, f->p.auth_name, f->name_len);
}

void chap_build_response(const struct link *l, struct wcur *c)
{
	const struct ppp_profile *f = l->profile;
	size_t n = response_len(l->auth_peer);
	uint8_t value[MS_RESP_LEN];

	if (l->auth_peer == PPP_AUTH_MSCHAPV2)
		memcpy(value, l->ms->response, n);
	else if (l->auth_peer == PPP_AUTH_MSCHAP)
		mschap1_respond(f->p.password, f->p.password_len, l->resp, value);
	else
		memcpy(value, l->resp, n);
	wcur_u8(c, CHAP_RESPONSE);
	wcur_u8(c, l->resp_id);
	wcur_u16(c, (uint16_t)(4 + 1 + n + f->user_len));
	wcur_u8(c, (uint8_t)n);
	wcur_bytes(c, value, n);
	wcur_bytes(c, f->p.user, f->user_len);
}

void chap_build_result(const struct link *l, struct wcur *c)
{
	const char *text = l->login ? l->login->msg : "";
	size_t at = c->len;

	wcur_u8(c, l->chap_result);
	wcur_u8(c, l->result_id);
	wcur_u16(c, 0);
	if (l->auth_we == PPP_AUTH_MSCHAPV2 && l->chap_result == CHAP_SUCCESS)
		mschap2_put_success(&l->ms->we, text, c);
	else if ((l->auth_we & BY_MS) && l->chap_result == CHAP_FAILURE && l->login)
		mschap_put_failure((enum ppp_auth)l->auth_we, 600u + l->fail_error, l->fail_retry,
				   l->login->challenge, text, c);
	else
		wcur_bytes(c, text, strlen(text));
	wcur_patch_u16(c, at + 2, (uint16_t)(c->len - at));
}
