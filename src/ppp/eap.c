/* SPDX-License-Identifier: MIT
 *
 * The Extensible Authentication Protocol (RFC 3748) over PPP, in both roles: Identity,
 * Notification, Nak, MD5-Challenge (5.4) and MSCHAPv2 (type 26, draft-kamath-pppext-eap-mschapv2:
 * packets of MS-CHAPv2 with a header of their own inside).
 *
 * As authenticator one Request is out at a time and repeated with its identifier (4.1); the method
 * is the one of the profile's order that LCP stopped at, and a Nak moves on to the next of EAP that
 * the peer names (5.3.1). What the owner is asked is the same as without EAP. MSCHAPv2 ends with a
 * Success or Failure of its own, which the peer acknowledges, before EAP's Success or Failure.
 *
 * After a wrong password the peer may try again as often as the profile allows. The Failure of
 * MSCHAPv2 says so and holds the next challenge (RFC 2759 6); the peer answers with a Response, or
 * acknowledges the Failure and has given up. MD5 has nothing of the kind: the Identity is asked for
 * again, with the reason as its words (5.1). Neither is repeated without end: somebody may be
 * typing.
 *
 * As peer we answer, repeat the answer to a repeated Request (4.1), and believe a Success only when
 * our method has come to its end (4.2): MD5 with our response, MSCHAPv2 with the server's proof. A
 * Success that was lost shows by the first packet of a network protocol (4.2, "alternate
 * indication").
 */
#include "internal.h"

enum { EAP_REQUEST = 1, EAP_RESPONSE = 2, EAP_SUCCESS = 3, EAP_FAILURE = 4 };

enum { TYPE_IDENTITY = 1, TYPE_NOTIFICATION = 2, TYPE_NAK = 3, TYPE_MD5 = 4, TYPE_MSCHAPV2 = 26 };

/* OpCodes of MSCHAPv2. */
enum { OP_CHALLENGE = 1, OP_RESPONSE = 2, OP_SUCCESS = 3, OP_FAILURE = 4 };

#define VERDICT_SENDS 3 /* a Failure of MSCHAPv2, or another try, is not insisted on */

static enum ppp_input drop(struct ppp *e, struct link *l, const char *why)
{
	return input_drop(e, l, PPP_PROTO_EAP, e->in.len, why);
}

static uint8_t type_of(enum ppp_auth auth)
{
	return auth == PPP_AUTH_EAP_MSCHAPV2 ? TYPE_MSCHAPV2 : TYPE_MD5;
}

/* ---- authenticator ---- */

static void send_request(struct ppp *e, struct link *l, enum eap_we state)
{
	l->eap_we = (uint8_t)state;
	l->chap_id++;
	l->chap_result = 0;
	l->we_sent = 1;
	l->we_at = mono_add(e->now, l->profile->p.restart_us).us;
	link_send(e, l, OUT_EAP_REQ);
}

static void new_challenge(struct ppp *e, const struct link *l)
{
	size_t n = auth_challenge_len(l->auth_we);

	rng_bytes(&e->rng, l->login->challenge, n);
	auth_put_mark(e, l->login->challenge, n);
}

static void send_method(struct ppp *e, struct link *l)
{
	new_challenge(e, l);
	send_request(e, l, EAP_WE_METHOD);
	l->eap_ms_id = l->chap_id;
}

/* Begin, or begin anew; l->login exists. */
void eap_start(struct ppp *e, struct link *l)
{
	l->login->msg[0] = '\0';
	l->fail_retry = false;
	send_request(e, l, EAP_WE_IDENTITY);
}

static void send_result(struct ppp *e, struct link *l, uint8_t code)
{
	l->eap_we = EAP_WE_IDLE;
	l->chap_result = code;
	l->we_at = CP_NEVER;
	link_send(e, l, OUT_EAP_RESULT);
}

static void refuse(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	send_result(e, l, EAP_FAILURE);
	link_close(e, l, cause, why);
}

/* The user has been let in. */
void eap_passed(struct ppp *e, struct link *l)
{
	if (l->auth_we == PPP_AUTH_EAP_MSCHAPV2) {
		send_request(e, l, EAP_WE_SUCCESS);
	} else {
		send_result(e, l, EAP_SUCCESS);
		auth_peer_in(e, l);
	}
}

/* The user may not come in, or, with `retry`, not with this password. */
void eap_failed(struct ppp *e, struct link *l, enum adit_cause cause, bool retry)
{
	auth_fail_words(l, cause, retry);
	l->fail_cause = (uint8_t)cause;
	if (l->auth_we == PPP_AUTH_EAP_MSCHAPV2) {
		if (l->login)
			new_challenge(e, l);
		send_request(e, l, EAP_WE_FAILURE);
	} else if (retry) {
		send_request(e, l, EAP_WE_IDENTITY);
	} else {
		refuse(e, l, cause, NULL);
	}
}

/* No Response in time, or it is time to ask again. */
void eap_due(struct ppp *e, struct link *l)
{
	bool verdict =
		l->eap_we == EAP_WE_FAILURE || (l->eap_we == EAP_WE_IDENTITY && l->fail_retry);

	if (l->eap_we == EAP_WE_IDLE) {
		eap_start(e, l);
		return;
	}
	if (verdict && l->we_sent >= VERDICT_SENDS) {
		l->we_at = CP_NEVER; /* 4.1: somebody may be typing; the phase has its limit */
		if (!l->fail_retry)
			refuse(e, l, (enum adit_cause)l->fail_cause, NULL);
		return;
	}
	l->we_sent++;
	l->we_at = mono_add(e->now, l->profile->p.restart_us).us;
	link_send(e, l, OUT_EAP_REQ);
}

/* A Nak with the types the peer would rather have (5.3.1). */
static enum ppp_input input_nak(struct ppp *e, struct link *l, struct rcur *c)
{
	uint8_t wanted = 0;
	unsigned next;

	while (rcur_left(c) > 0) {
		uint8_t type = rcur_u8(c);

		wanted |= type == TYPE_MD5	  ? PPP_AUTH_EAP_MD5
			  : type == TYPE_MSCHAPV2 ? PPP_AUTH_EAP_MSCHAPV2
						  : 0;
	}
	if (auth_next(l, wanted & PPP_AUTH_EAP, &next) == PPP_AUTH_NONE) {
		refuse(e, l, ADIT_CAUSE_AUTH_NO_METHOD,
		       "the peer refuses our authentication methods in EAP");
		return PPP_IN_TAKEN;
	}
	l->auth_idx = (uint8_t)next;
	l->auth_we = l->profile->p.auth_order[next];
	send_method(e, l);
	return PPP_IN_TAKEN;
}

static enum ppp_input ask(struct ppp *e, struct link *l, const uint8_t *value, size_t len)
{
	memcpy(l->login->response, value, len);
	l->login->response_len = (uint16_t)len;
	l->eap_we = EAP_WE_CHECK;
	auth_ask(e, l);
	return PPP_IN_TAKEN;
}

static enum ppp_input input_md5(struct ppp *e, struct link *l, struct rcur *c)
{
	const uint8_t *value;
	uint8_t n = rcur_u8(c);

	value = rcur_take(c, n);
	if (c->bad || n != MD5_LEN)
		return drop(e, l, "an MD5 response has 16 octets");
	return ask(e, l, value, n);
}

static enum ppp_input input_mschapv2(struct ppp *e, struct link *l, struct rcur *c)
{
	uint8_t op = rcur_u8(c), ms_id, n;
	uint16_t ms_len;
	const uint8_t *value;
	size_t name_len;
	bool again;

	if (l->eap_we == EAP_WE_SUCCESS && op == OP_SUCCESS && !c->bad) {
		send_result(e, l, EAP_SUCCESS);
		auth_peer_in(e, l);
		return PPP_IN_TAKEN;
	}
	if (l->eap_we == EAP_WE_SUCCESS && op == OP_FAILURE && !c->bad) {
		refuse(e, l, ADIT_CAUSE_AUTH_FAILED,
		       "the peer does not believe that we know the password");
		return PPP_IN_TAKEN;
	}
	if (l->eap_we == EAP_WE_FAILURE && op == OP_FAILURE && !c->bad) {
		refuse(e, l, (enum adit_cause)l->fail_cause, NULL);
		return PPP_IN_TAKEN;
	}
	again = l->eap_we == EAP_WE_FAILURE && l->fail_retry;
	ms_id = rcur_u8(c);
	ms_len = rcur_u16(c);
	n = rcur_u8(c);
	value = rcur_take(c, n);
	if ((l->eap_we != EAP_WE_METHOD && !again) || op != OP_RESPONSE)
		return drop(e, l, "not the MSCHAPv2 packet that is expected");
	/* After a Failure it is that of the Failure, or one more as without EAP. */
	if (ms_id != l->eap_ms_id && !(again && ms_id == (uint8_t)(l->eap_ms_id + 1)))
		return drop(e, l, "an MSCHAPv2 response to another challenge");
	if (c->bad || n != MS_RESP_LEN || ms_len < 5u + n || ms_len - 5u - n > rcur_left(c))
		return drop(e, l, "a broken MSCHAPv2 response");
	l->eap_ms_id = ms_id;
	name_len = ms_len - 5u - n;
	if (name_len > 0) /* it is part of what was hashed, the Identity is not */
		auth_take_user(l->login, rcur_take(c, name_len), name_len);
	return ask(e, l, value, n);
}

static enum ppp_input input_response(struct ppp *e, struct link *l, uint8_t type, struct rcur *c)
{
	if (!(l->auth_we & PPP_AUTH_EAP))
		return drop(e, l, "EAP was not asked for");
	if (e->in.id != l->chap_id)
		return drop(e, l, "Response to another Request");
	if (l->chap_result != 0) { /* our Success was lost */
		link_send(e, l, OUT_EAP_RESULT);
		return PPP_IN_TAKEN;
	}
	if (!l->login || l->eap_we == EAP_WE_CHECK)
		return drop(e, l, "a repeat while the first Response is being checked");
	if (l->eap_we == EAP_WE_IDENTITY) {
		if (type != TYPE_IDENTITY)
			return drop(e, l, "the answer to an Identity Request is an Identity");
		auth_take_user(l->login, c->p, rcur_left(c));
		send_method(e, l);
		return PPP_IN_TAKEN;
	}
	if (l->eap_we == EAP_WE_METHOD && type == TYPE_NAK)
		return input_nak(e, l, c);
	if (type != type_of((enum ppp_auth)l->auth_we))
		return drop(e, l, "Response of another type than the Request");
	return type == TYPE_MD5 ? input_md5(e, l, c) : input_mschapv2(e, l, c);
}

/* The inner header of MSCHAPv2; its length is everything behind the type. */
static void put_ms(struct wcur *c, uint8_t op, uint8_t id, size_t value_len)
{
	wcur_u8(c, TYPE_MSCHAPV2);
	wcur_u8(c, op);
	wcur_u8(c, id);
	wcur_u16(c, (uint16_t)(4 + value_len));
}

static void put_verdict(const struct link *l, struct wcur *c)
{
	const char *text = l->login ? l->login->msg : "";
	static const uint8_t none[MS_CHAL_LEN];
	size_t at;

	/* The inner identifier stays that of the challenge: pppd looks for it. */
	put_ms(c, l->eap_we == EAP_WE_SUCCESS ? OP_SUCCESS : OP_FAILURE, l->eap_ms_id, 0);
	at = c->len;
	if (l->eap_we == EAP_WE_SUCCESS)
		mschap2_put_success(&l->ms->we, text, c);
	else
		mschap_put_failure(PPP_AUTH_MSCHAPV2, 600u + l->fail_error, l->fail_retry,
				   l->login ? l->login->challenge : none, text, c);
	wcur_patch_u16(c, at - 2, (uint16_t)(4 + c->len - at));
}

static void put_method(const struct link *l, struct wcur *c)
{
	const struct ppp_profile *f = l->profile;

	if (l->auth_we == PPP_AUTH_EAP_MSCHAPV2) {
		put_ms(c, OP_CHALLENGE, l->chap_id, 1u + MS_CHAL_LEN + f->name_len);
		wcur_u8(c, MS_CHAL_LEN);
		wcur_bytes(c, l->login->challenge, MS_CHAL_LEN);
	} else {
		wcur_u8(c, TYPE_MD5);
		wcur_u8(c, PPP_CHAL_LEN);
		wcur_bytes(c, l->login->challenge, PPP_CHAL_LEN);
	}
	wcur_bytes(c, f->p.auth_name, f->name_len);
}

void eap_build_request(const struct link *l, struct wcur *c)
{
	size_t at = c->len;

	if (!l->login)
		return;
	wcur_u8(c, EAP_REQUEST);
	wcur_u8(c, l->chap_id);
	wcur_u16(c, 0);
	switch ((enum eap_we)l->eap_we) {
	case EAP_WE_IDLE:
	case EAP_WE_CHECK: /* answered meanwhile: nothing to send */
		c->len = at;
		return;
	case EAP_WE_IDENTITY:
		wcur_u8(c, TYPE_IDENTITY);
		wcur_bytes(c, l->login->msg, strlen(l->login->msg));
		break;
	case EAP_WE_METHOD:
		put_method(l, c);
		break;
	case EAP_WE_SUCCESS:
	case EAP_WE_FAILURE:
		put_verdict(l, c);
		break;
	}
	wcur_patch_u16(c, at + 2, (uint16_t)(c->len - at));
}

void eap_build_result(const struct link *l, struct wcur *c)
{
	wcur_u8(c, l->chap_result);
	wcur_u8(c, l->chap_id);
	wcur_u16(c, 4);
}

/* ---- peer ---- */

/* What LCP agreed to and the profile allows; after a restart it may be another profile. */
static uint8_t methods(const struct link *l)
{
	return l->profile->p.peer_auth & l->auth_peer & PPP_AUTH_EAP;
}

static enum ppp_input reply(struct ppp *e, struct link *l, enum eap_peer state)
{
	l->eap_peer = (uint8_t)state;
	l->eap_noted = false;
	l->resp_id = e->in.id;
	link_send(e, l, OUT_EAP_RESP);
	return PPP_IN_TAKEN;
}

static bool reflected(struct ppp *e, struct link *l, const uint8_t *challenge, size_t len)
{
	if (!auth_is_ours(e, challenge, len))
		return false;
	link_close(e, l, ADIT_CAUSE_PROTOCOL_ERROR, "the peer sent our own challenge back");
	return true;
}

static enum ppp_input request_md5(struct ppp *e, struct link *l, struct rcur *c)
{
	const struct ppp_params *p = &l->profile->p;
	uint8_t n = rcur_u8(c);
	const uint8_t *value = rcur_take(c, n);
	struct bytes pieces[] = { { &e->in.id, 1 },
				  { p->password, p->password_len },
				  { value, n } };

	if (c->bad || n == 0)
		return drop(e, l, "a broken MD5 challenge");
	if (reflected(e, l, value, n))
		return drop(e, l, "our own challenge");
	md5_of(l->resp, pieces, 3);
	return reply(e, l, EAP_PEER_MD5);
}

static enum ppp_input ms_challenge(struct ppp *e, struct link *l, struct rcur *c)
{
	uint8_t ms_id = rcur_u8(c), n;
	uint16_t ms_len = rcur_u16(c);
	const uint8_t *value;

	n = rcur_u8(c);
	value = rcur_take(c, n);
	if (c->bad || n != MS_CHAL_LEN || ms_len < 5u + n)
		return drop(e, l, "a broken MSCHAPv2 challenge");
	if (reflected(e, l, value, n))
		return drop(e, l, "our own challenge");
	auth_respond_ms(e, l, value);
	l->resp[0] = ms_id;
	return reply(e, l, EAP_PEER_MSCHAPV2);
}

static enum ppp_input request_mschapv2(struct ppp *e, struct link *l, struct rcur *c)
{
	uint8_t op = rcur_u8(c);
	const uint8_t *text = c->p + 3;
	size_t n = rcur_left(c);
	struct bytes words;

	if (op == OP_CHALLENGE)
		return ms_challenge(e, l, c);
	if (l->eap_peer != EAP_PEER_MSCHAPV2 || n < 3 || (op != OP_SUCCESS && op != OP_FAILURE))
		return drop(e, l, "not the MSCHAPv2 packet that is expected");
	n -= 3;
	words = mschap_words(text, n);
	if (op == OP_FAILURE) {
		/* EAP's Failure follows; it has no words. */
		link_says(e, l, words.p, words.n, false);
		return reply(e, l, EAP_PEER_FAILED);
	}
	if (!auth_peer_proven(l, text, n)) {
		link_close(e, l, ADIT_CAUSE_PEER_UNPROVEN, NULL);
		return PPP_IN_TAKEN;
	}
	link_says(e, l, words.p, words.n, true);
	return reply(e, l, EAP_PEER_PROVEN);
}

static enum ppp_input input_request(struct ppp *e, struct link *l, uint8_t type, struct rcur *c)
{
	uint8_t can = methods(l);
	bool method;

	if (!(l->auth_peer & PPP_AUTH_EAP))
		return drop(e, l, "EAP was not agreed to");
	if (type == TYPE_NAK) /* 5.3.1 */
		return drop(e, l, "a Nak is no Request");
	if ((l->eap_peer != EAP_PEER_IDLE || l->eap_noted) && e->in.id == l->resp_id) {
		link_send(e, l, OUT_EAP_RESP);
		return PPP_IN_TAKEN;
	}
	if (type == TYPE_IDENTITY)
		return reply(e, l, EAP_PEER_IDENTITY);
	if (type == TYPE_NOTIFICATION) { /* 5.2: shown, acknowledged, and no part of a method */
		link_says(e, l, c->p, rcur_left(c), true);
		reply(e, l, (enum eap_peer)l->eap_peer);
		l->eap_noted = true;
		return PPP_IN_TAKEN;
	}
	method = (type == TYPE_MD5 && (can & PPP_AUTH_EAP_MD5)) ||
		 (type == TYPE_MSCHAPV2 && (can & PPP_AUTH_EAP_MSCHAPV2));
	/* 2.1: a method that has begun is carried to its end. */
	if (l->eap_peer >= EAP_PEER_MD5 && (type == TYPE_MD5) != (l->eap_peer == EAP_PEER_MD5))
		return drop(e, l, "another method while one is under way");
	if (!method)
		return reply(e, l, EAP_PEER_NAK);
	return type == TYPE_MD5 ? request_md5(e, l, c) : request_mschapv2(e, l, c);
}

static bool complete(const struct link *l)
{
	return l->eap_peer == EAP_PEER_MD5 || l->eap_peer == EAP_PEER_PROVEN;
}

static void in(struct ppp *e, struct link *l)
{
	l->eap_peer = EAP_PEER_IDLE;
	l->eap_noted = false;
	if (!(l->flags & F_PEER_DONE))
		auth_done(e, l, F_PEER_DONE);
}

static enum ppp_input input_result(struct ppp *e, struct link *l)
{
	/* 4.2: the identifier of the Response; some send the next. */
	uint8_t ahead = (uint8_t)(e->in.id - l->resp_id);

	if (!(l->auth_peer & PPP_AUTH_EAP) || l->eap_peer == EAP_PEER_IDLE || ahead > 1)
		return drop(e, l, "result of another Response");
	if (e->in.code == EAP_SUCCESS && !complete(l))
		return drop(e, l, "Success before the method has come to its end");
	if (e->in.code == EAP_FAILURE && l->eap_peer == EAP_PEER_PROVEN)
		return drop(e, l, "Failure after the method has ended well");
	if (e->in.code == EAP_SUCCESS) {
		in(e, l);
		return PPP_IN_TAKEN;
	}
	l->eap_peer = EAP_PEER_IDLE;
	if (l->flags & F_TEXT_IS_WHY)
		link_close(e, l, ADIT_CAUSE_PEER_AUTH_FAILED, NULL);
	else
		auth_peer_failed(e, l, NULL, 0);
	return PPP_IN_TAKEN;
}

/* A packet of a network protocol has come while we wait for Success. True when that says it. */
bool eap_indicated(struct ppp *e, struct link *l)
{
	if (l->phase != PH_AUTHENTICATE || !(l->auth_peer & PPP_AUTH_EAP) || !complete(l))
		return false;
	in(e, l);
	return l->phase == PH_NETWORK;
}

void eap_build_response(const struct link *l, struct wcur *c)
{
	const struct ppp_profile *f = l->profile;
	size_t at = c->len;

	wcur_u8(c, EAP_RESPONSE);
	wcur_u8(c, l->resp_id);
	if (l->eap_noted) {
		wcur_u16(c, 5);
		wcur_u8(c, TYPE_NOTIFICATION);
		return;
	}
	wcur_u16(c, 0);
	switch ((enum eap_peer)l->eap_peer) {
	case EAP_PEER_IDLE:
		c->len = at;
		return;
	case EAP_PEER_IDENTITY:
		wcur_u8(c, TYPE_IDENTITY);
		wcur_bytes(c, f->p.user, f->user_len);
		break;
	case EAP_PEER_NAK:
		wcur_u8(c, TYPE_NAK);
		if (methods(l) & PPP_AUTH_EAP_MSCHAPV2)
			wcur_u8(c, TYPE_MSCHAPV2);
		if (methods(l) & PPP_AUTH_EAP_MD5)
			wcur_u8(c, TYPE_MD5);
		if (methods(l) == 0)
			wcur_u8(c, 0);
		break;
	case EAP_PEER_MD5:
		wcur_u8(c, TYPE_MD5);
		wcur_u8(c, MD5_LEN);
		wcur_bytes(c, l->resp, MD5_LEN);
		wcur_bytes(c, f->p.user, f->user_len);
		break;
	case EAP_PEER_MSCHAPV2:
		put_ms(c, OP_RESPONSE, l->resp[0], 1u + MS_RESP_LEN + f->user_len);
		wcur_u8(c, MS_RESP_LEN);
		wcur_bytes(c, l->ms->response, MS_RESP_LEN);
		wcur_bytes(c, f->p.user, f->user_len);
		break;
	case EAP_PEER_PROVEN:
	case EAP_PEER_FAILED:
		wcur_u8(c, TYPE_MSCHAPV2);
		wcur_u8(c, l->eap_peer == EAP_PEER_PROVEN ? OP_SUCCESS : OP_FAILURE);
		break;
	}
	wcur_patch_u16(c, at + 2, (uint16_t)(c->len - at));
}

/* ---- both ---- */

enum ppp_input eap_input(struct ppp *e, struct link *l, const uint8_t *p, size_t len)
{
	struct rcur c = rcur_of(p, len);
	uint8_t code = rcur_u8(&c), id = rcur_u8(&c), type;
	uint16_t n = rcur_u16(&c);

	if (c.bad || n < 4 || n > len)
		return input_drop(e, l, PPP_PROTO_EAP, len, "Length does not fit the packet");
	e->in = (struct packet){ p, p + 4, n, n - 4u, code, id };
	trace_packet(e, l, false, PPP_PROTO_EAP, p, n);
	if (l->phase != PH_AUTHENTICATE && l->phase != PH_NETWORK)
		return drop(e, l, "not in this phase");
	if (code == EAP_SUCCESS || code == EAP_FAILURE)
		return input_result(e, l);
	if (code != EAP_REQUEST && code != EAP_RESPONSE)
		return drop(e, l, "unknown code");
	c = rcur_of(e->in.body, e->in.body_len);
	type = rcur_u8(&c);
	if (c.bad)
		return drop(e, l, "without a type");
	return code == EAP_REQUEST ? input_request(e, l, type, &c) : input_response(e, l, type, &c);
}
