/* SPDX-License-Identifier: MIT
 *
 * The Password Authentication Protocol (RFC 1334 2), in both roles.
 *
 * As authenticator every request is answered with Ack or Nak. The first one puts the question to
 * the owner; repeats of the same words while it is open only move the identifier of the answer, and
 * after the phase every request gets the answer given then (2.2.1). As peer we repeat our request
 * until there is an answer.
 */
#include "internal.h"

enum { PAP_REQUEST = 1, PAP_ACK = 2, PAP_NAK = 3 };

static enum ppp_input drop(struct ppp *e, struct link *l, const char *why)
{
	return input_drop(e, l, PPP_PROTO_PAP, e->in.len, why);
}

static bool same_words(const struct login *g, const uint8_t *user, size_t user_len,
		       const uint8_t *password, size_t password_len)
{
	return g->user_len == user_len && g->response_len == password_len &&
	       memcmp(g->user, user, user_len) == 0 &&
	       bytes_equal_ct(g->response, password, password_len);
}

static enum ppp_input input_request(struct ppp *e, struct link *l)
{
	struct rcur c = rcur_of(e->in.body, e->in.body_len);
	size_t user_len = rcur_u8(&c);
	const uint8_t *user = rcur_take(&c, user_len);
	size_t password_len = rcur_u8(&c);
	const uint8_t *password = rcur_take(&c, password_len);
	struct login *g = l->login;

	if (c.bad)
		return drop(e, l, "name or password runs over the end");
	if (l->auth_we != PPP_AUTH_PAP || l->phase < PH_AUTHENTICATE || l->phase > PH_NETWORK)
		return drop(e, l, "PAP was not asked for");
	if (l->flags & F_WE_DONE) {
		l->pap_id = e->in.id;
		link_send(e, l, OUT_PAP_RESULT);
		return PPP_IN_TAKEN;
	}
	if (!g)
		return drop(e, l, "no login under way");
	if (l->flags & F_ASKED) {
		if (!same_words(g, user, user_len, password, password_len))
			return drop(e, l, "another login while the first is being checked");
		l->pap_id = e->in.id;
		return PPP_IN_TAKEN;
	}
	if (l->pap_result == PAP_NAK && same_words(g, user, user_len, password, password_len)) {
		/* The same identifier is a repeat, another one is a new try that needs no check. */
		bool again = e->in.id != l->pap_id;

		l->pap_id = e->in.id;
		if (again)
			auth_failed(e, l, ADIT_CAUSE_AUTH_FAILED);
		else
			link_send(e, l, OUT_PAP_RESULT);
		return PPP_IN_TAKEN;
	}
	l->pap_id = e->in.id;
	l->pap_result = 0;
	memcpy(g->user, user, user_len);
	g->user[user_len] = '\0';
	g->user_len = (uint16_t)user_len;
	memcpy(g->response, password, password_len);
	g->response_len = (uint16_t)password_len;
	auth_ask(e, l);
	return PPP_IN_TAKEN;
}

static enum ppp_input input_answer(struct ppp *e, struct link *l)
{
	struct rcur c = rcur_of(e->in.body, e->in.body_len);
	size_t len = rcur_u8(&c);
	const uint8_t *text;

	if (l->auth_peer != PPP_AUTH_PAP || l->phase != PH_AUTHENTICATE || (l->flags & F_PEER_DONE))
		return drop(e, l, "no PAP request of ours is open");
	if (e->in.id != l->pap_req_id)
		return drop(e, l, "answer to another PAP request");
	/* The message is for people; some peers leave it out with its length, or cut it. */
	if (len > rcur_left(&c))
		len = rcur_left(&c);
	text = rcur_take(&c, len);
	l->peer_at = CP_NEVER;
	l->out &= ~(uint32_t)OUT_PAP_REQ;
	if (e->in.code == PAP_NAK) {
		auth_peer_failed(e, l, text, text ? len : 0);
		return PPP_IN_TAKEN;
	}
	link_says(e, l, text, text ? len : 0, true);
	auth_done(e, l, F_PEER_DONE);
	return PPP_IN_TAKEN;
}

enum ppp_input pap_input(struct ppp *e, struct link *l, const uint8_t *p, size_t len)
{
	struct rcur c = rcur_of(p, len);
	uint8_t code = rcur_u8(&c), id = rcur_u8(&c);
	uint16_t n = rcur_u16(&c);

	if (c.bad || n < 4 || n > len)
		return input_drop(e, l, PPP_PROTO_PAP, len, "Length does not fit the packet");
	e->in = (struct packet){ p, p + 4, n, n - 4u, code, id };
	trace_packet(e, l, false, PPP_PROTO_PAP, p, n);
	if (code == PAP_REQUEST)
		return input_request(e, l);
	if (code == PAP_ACK || code == PAP_NAK)
		return input_answer(e, l);
	return drop(e, l, "unknown code");
}

void pap_build_request(const struct link *l, struct wcur *c)
{
	const struct ppp_profile *f = l->profile;

	wcur_u8(c, PAP_REQUEST);
	wcur_u8(c, l->pap_req_id);
	wcur_u16(c, (uint16_t)(4 + 1 + f->user_len + 1 + f->p.password_len));
	wcur_u8(c, f->user_len);
	wcur_bytes(c, f->p.user, f->user_len);
	wcur_u8(c, (uint8_t)f->p.password_len);
	wcur_bytes(c, f->p.password, f->p.password_len);
}

void pap_build_result(const struct link *l, struct wcur *c)
{
	size_t n = l->login ? strlen(l->login->msg) : 0;

	wcur_u8(c, l->pap_result);
	wcur_u8(c, l->pap_id);
	wcur_u16(c, (uint16_t)(4 + 1 + n));
	wcur_u8(c, (uint8_t)n);
	if (l->login)
		wcur_bytes(c, l->login->msg, n);
}
