/* SPDX-License-Identifier: MIT
 *
 * Messages of the control connection of L2TPv3 (RFC 3931 3.3, 4.2, 6.1 to 6.5, 6.15, 7.1): what
 * each one does, in which order they are taken, what we send, and the owner's commands that lead to
 * them.
 *
 * Receiving: first the path, then the digest; nothing of a message counts before it is good, Nr
 * neither. Then Nr, which may not acknowledge what was never sent (4.2), then the place of Ns. Only
 * a message that was taken moves Nr on. An ACK and a ZLB take no number.
 */
#include <stdio.h>
#include "l2tp/v3_int.h"

static const char *state_name(unsigned state)
{
	static const char *const names[] = { "asking",	      "wait-ctl-reply",
					     "wait-ctl-conn", "established",
					     "closing",	      "closed",
					     "idle",	      "gone" };

	return names[state];
}

/* ---- commands ---- */

static uint32_t lax_of(uint32_t quirks)
{
	return quirks & L2TP3_QUIRK_LAX_MANDATORY ? L2TP_QUIRK_LAX_MANDATORY : 0;
}

static void fill_offer(const struct conn *c, struct l2tp_offer *ret)
{
	const struct l2tp3_profile *p = c->profile;

	*ret = (struct l2tp_offer){ .connection = c->local_id,
				    .router_id = p->p.router_id,
				    .has_tie = c->has_tie,
				    .tie = c->tie,
				    .caps_len = p->caps_len,
				    .nonce_len = c->own_nonce_len,
				    .sign = c->auth == CONN_AUTH_ON };
	memcpy(ret->caps, p->caps, p->caps_len);
	memcpy(ret->nonce, c->own_nonce, c->own_nonce_len);
	if (!ret->sign)
		return;
	memcpy(ret->key, p->auth.keys[0].sign, sizeof(ret->key));
	ret->sha1 = p->auth.keys[0].digest == L2TP3_DIGEST_SHA1;
}

static bool open_good(const struct l2tp3_cmd *cmd)
{
	bool offer = cmd->kind == L2TP3_CMD_CONN_OFFER;

	if (!cmd->profile || cmd->path.remote.family == 0 ||
	    cmd->path.local.family != cmd->path.remote.family)
		return false;
	/* 4.7.1: there is nothing to fall back to over IP. */
	return !offer || (cmd->ret_offer && !path_is_ip(&cmd->path));
}

int conn_open(struct l2tp3 *l, struct l2tp3_cmd *cmd)
{
	char raw[ADDR_TEXT_MAX];
	struct conn *c;
	int rc;

	if (!open_good(cmd))
		return -EINVAL;
	rc = conn_new(l, &cmd->path, true, 0, &c);
	if (rc)
		return rc > 0 ? 2 : rc;
	c->owner = cmd->owner;
	c->thing.known = true;
	conn_adopt(c, cmd->profile);
	c->rel.p.retries = c->profile->p.retry_max_sccrq;
	digest_begin(l, c);
	if (c->challenged)
		rng_bytes(&l->rng, c->challenge, sizeof(c->challenge));
	c->has_tie = !c->profile->p.tie_breaker_off;
	if (c->has_tie)
		rng_bytes(&l->rng, &c->tie, sizeof(c->tie));
	c->offered = cmd->kind == L2TP3_CMD_CONN_OFFER;
	if (c->offered) { /* the v2 engine's SCCRQ is our first message */
		c->challenged = false;
		c->rel.ns = c->rel.una = c->rel.nxt = 1;
		fill_offer(c, cmd->ret_offer);
	}
	addr_text(&c->path.remote, raw);
	trace_put(conn_trace(l, c), TRACE_L2TP3_CONN_DIAL, l->now, c->handle, c->local_id, 0, 0, 0,
		  raw, strlen(raw));
	conn_step(l, c, TE_OPEN, NULL);
	cmd->ret_handle = c->handle;
	return 0;
}

static struct ending not_authorised(const char *text)
{
	return (struct ending){ .cause = ADIT_CAUSE_TUNNEL_AUTH_FAILED,
				.result = L2TP_STOP_UNAUTHORISED,
				.text = text };
}

static const char deaf[] = "a challenge was sent, but no secret is configured";

static const struct l2tp_secret *plain_secret(const struct conn *c, struct l2tp_secret *room)
{
	const struct l2tp3_secret_param *p = &c->profile->p.secret[c->key];

	*room = (struct l2tp_secret){ p->p, p->n };
	return p->n ? room : NULL;
}

/* The types of pseudowire that both ends know. */
static void keep_caps(struct conn *c, const struct l2tp_msg *m)
{
	const uint16_t *ours = c->profile->p.pw_types;
	unsigned n = 0;

	memset(c->pw_types, 0, sizeof(c->pw_types));
	for (unsigned i = 0; i < L2TP3_PW_TYPES_MAX && ours[i]; i++) {
		if (l2tp3_caps_has(&m->pw_caps, ours[i]))
			c->pw_types[n++] = ours[i];
	}
}

bool conn_peer_has(const struct conn *c, uint16_t pw_type)
{
	for (unsigned i = 0; i < L2TP3_PW_TYPES_MAX; i++) {
		if (pw_type && c->pw_types[i] == pw_type)
			return true;
	}
	return false;
}

/* What SCCRQ and SCCRP have in common. */
static bool peer_says(struct conn *c, const struct l2tp_msg *m, uint8_t answer)
{
	struct l2tp_secret room;
	const struct l2tp_secret *secret = plain_secret(c, &room);

	c->respond = l2tp_msg_has(m, L2TP3_AVP_CHALLENGE);
	if (c->respond && !secret)
		return false;
	if (c->respond)
		l2tp_auth_response(c->response, answer, secret, m->challenge.p, m->challenge.n);
	c->router_id = m->router_id;
	keep_caps(c, m);
	rel_peer_window(&c->rel, l2tp_msg_has(m, L2TP3_AVP_WINDOW) ? m->window : 4);
	return true;
}

/* The request is authentic, or need not be: what else is there to say of it. */
static void take_request(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m,
			 const struct l2tp_verdict *v)
{
	struct ending bad = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = v->result,
			      .error = v->error,
			      .text = v->text };
	struct ending mute = not_authorised(deaf);

	if (v->scope != L2TP_MSG_OK) {
		conn_step(l, c, TE_SCCRQ_BAD, &bad);
	} else if (!peer_says(c, m, L2TP_SCCRP)) {
		conn_step(l, c, TE_SCCRQ_BAD, &mute);
	} else {
		if (c->challenged)
			rng_bytes(&l->rng, c->challenge, sizeof(c->challenge));
		trace(conn_trace(l, c), TRACE_L2TP3_CONN_ACCEPTED, l->now, c->handle, c->local_id,
		      c->remote_id);
		conn_step(l, c, TE_ACCEPT, NULL);
	}
}

int conn_accept(struct l2tp3 *l, struct conn *c, struct l2tp3_cmd *cmd)
{
	struct ending forged = not_authorised("the digest of the request was made with another "
					      "secret");
	struct ending none = not_authorised("one side wants messages to be authenticated, the "
					    "other does not");
	const uint8_t *payload = c->request + L2TP3_HEADER;
	size_t len = c->request_len - L2TP3_HEADER;
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_secret room;
	struct l2tp_verdict v;
	struct l2tp_msg m;
	int rc = 0;

	if (!cmd->profile)
		return -EINVAL;
	c->owner = cmd->owner;
	if (c->profile)
		l2tp3_profile_unref(c->profile); /* memory was short the first time */
	conn_adopt(c, cmd->profile);
	if (cmd->trusted)
		open_trust(l, c);
	switch (digest_request(l, c, c->request, c->request_len)) {
	case L2TP3_CHECK_WRONG:
		conn_unlike(l, c, L2TP3_CHECK_WRONG);
		conn_step(l, c, TE_LOST, &forged);
		break;
	case L2TP3_CHECK_ABSENT:
		conn_unlike(l, c, L2TP3_CHECK_ABSENT);
		conn_step(l, c, TE_SCCRQ_BAD, &none);
		break;
	case L2TP3_CHECK_GOOD:
		/* Once more, now that hidden AVPs can be read. */
		l2tp3_msg_parse(payload, len, digest_hide(c, &room), lax_of(c->quirks), scratch, &m,
				&v);
		c->quirks_used |= m.lax ? c->quirks & L2TP3_QUIRK_LAX_MANDATORY : 0;
		if (v.scope == L2TP_MSG_OK)
			rc = conn_names(l, c, m.host_name, m.vendor_name);
		if (rc < 0)
			return rc;
		if (m.connection_id)
			conn_key_peer(l, c, m.connection_id);
		take_request(l, c, &m, &v);
		break;
	}
	conn_release_request(l, c);
	return 0;
}

/* ---- messages in ---- */

bool conn_may_come_from(const struct conn *c, const struct path *path)
{
	if (path_equal(&c->path, path))
		return true;
	/* The responder may answer from elsewhere, once (4.1.2.2). */
	if (c->state != L2TP3_CS_WAIT_REPLY || path->via != c->path.via ||
	    !addr_equal(&path->local, &c->path.local) || path_is_ip(path) != c->over_ip ||
	    path->remote.family != c->path.remote.family)
		return false;
	if (!addr_same_ip(&path->remote, &c->path.remote))
		return c->profile->p.allow_address_change;
	return c->profile->p.allow_port_change;
}

/* A peer behind NAT whose port has changed: only where every message proves who sent it. */
static bool may_move(const struct conn *c, const struct in3 *in)
{
	return c->state == L2TP3_CS_UP && c->auth == CONN_AUTH_ON && c->profile->p.follow &&
	       !c->over_ip && !path_is_ip(in->path) && in->path->via == c->path.via &&
	       in->path->remote.family == c->path.remote.family;
}

static void follow(struct l2tp3 *l, struct conn *c, const struct path *path)
{
	char raw[ADDR_TEXT_MAX];

	if (path_equal(&c->path, path))
		return;
	if (c->in_host)
		htab_drop(&l->by_host, &c->by_dial);
	c->in_host = false;
	c->path = *path;
	if (c->state == L2TP3_CS_UP)
		doubt3_enter(l, c);
	conn_key_peer(l, c, c->remote_id);
	addr_text(&path->remote, raw);
	trace_put(conn_trace(l, c), TRACE_L2TP3_CONN_FOLLOW, l->now, c->handle, c->local_id, 0, 0,
		  0, raw, strlen(raw));
	if (c->state == L2TP3_CS_UP)
		v3_news(l, &c->thing, NEWS_MOVED);
	v3_dirty(l, &c->thing);
}

/* True when our challenge was answered rightly, or there was none. */
static bool answered(const struct conn *c, const struct l2tp_msg *m, uint8_t type)
{
	uint8_t want[16];

	if (!c->challenged)
		return true;
	if (!l2tp_msg_has(m, L2TP3_AVP_RESPONSE) || m->response.n != sizeof(want))
		return false;
	for (int i = 0; i < L2TP3_SECRETS; i++) {
		const struct l2tp3_secret_param *p = &c->profile->p.secret[i];
		struct l2tp_secret secret = { p->p, p->n };

		if (!p->n)
			continue;
		l2tp_auth_response(want, type, &secret, c->challenge, sizeof(c->challenge));
		if (bytes_equal_ct(want, m->response.p, sizeof(want)))
			return true;
	}
	return false;
}

static struct ending wrong_answer(const struct l2tp_msg *m)
{
	return not_authorised(l2tp_msg_has(m, L2TP3_AVP_RESPONSE)
				      ? "the Challenge Response AVP (13) is wrong"
				      : "there is no Challenge Response AVP (13)");
}

/* What is wrong with an SCCRP that could be read; NULL when nothing is. */
static const char *sccrp_wrong(struct conn *c, const struct l2tp_msg *m)
{
	const struct l2tp3_params *p = &c->profile->p;
	bool nonce = l2tp_msg_has(m, L2TP3_AVP_NONCE);

	if (nonce && c->auth != CONN_AUTH_ON)
		return "the peer wants messages to be authenticated, we do not";
	if (!nonce && c->auth == CONN_AUTH_ON)
		return "the peer does not authenticate messages: there is no Nonce AVP (73)";
	if (p->peer_name && !text_glob(p->peer_name, c->host_name ? c->host_name : ""))
		return "the Host Name AVP (7) is not the one configured";
	if (p->peer_router_id && p->peer_router_id != m->router_id)
		return "the Router ID AVP (60) is not the one configured";
	return NULL;
}

static int sccrp_input(struct l2tp3 *l, struct conn *c, const struct in3 *in,
		       const struct l2tp_msg *m)
{
	struct ending wrong = not_authorised(deaf);
	const char *text;

	if (conn_names(l, c, m->host_name, m->vendor_name) < 0)
		return -ENOMEM;
	follow(l, c, in->path);
	conn_key_peer(l, c, m->connection_id);
	text = sccrp_wrong(c, m);
	if (text) {
		wrong.text = text;
		if (l2tp_msg_has(m, L2TP3_AVP_NONCE) == (c->auth == CONN_AUTH_ON))
			wrong.cause = ADIT_CAUSE_TUNNEL_REFUSED;
		if (!l2tp_msg_has(m, L2TP3_AVP_NONCE)) /* nothing the peer could check */
			c->auth = c->over_ip ? CONN_AUTH_SUM : CONN_AUTH_OFF;
		conn_step(l, c, TE_SCCRP_BAD, &wrong);
	} else if (!answered(c, m, L2TP_SCCRP)) {
		wrong = wrong_answer(m);
		conn_step(l, c, TE_SCCRP_BAD, &wrong);
	} else if (!peer_says(c, m, L2TP_SCCCN)) {
		conn_step(l, c, TE_SCCRP_BAD, &wrong);
	} else {
		conn_step(l, c, TE_SCCRP, NULL);
	}
	return 0;
}

/* True when the refusal is of a tie, and the peer's own request is still to come. */
static bool tie_refusal(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m)
{
	if (m->result != L2TP_STOP_EXISTS || c->state != L2TP3_CS_WAIT_REPLY || !c->has_tie)
		return false;
	if (!c->yields && !c->beaten) {
		c->beaten = true;
		c->rel.passive = true;
		rel_restart(&c->rel, l->now);
		c->state_at = mono_add(l->now, L2TP3_BEATEN_US);
	}
	return true;
}

static void stopccn_input(struct l2tp3 *l, struct conn *c, const struct in3 *in,
			  const struct l2tp_msg *m)
{
	char text[L2TP_TEXT_MAX];
	struct ending why = { .cause = ADIT_CAUSE_PEER_CLOSED_TUNNEL,
			      .result = m->result,
			      .error = m->error,
			      .text = text,
			      .by_peer = true };

	engine_name(text, sizeof(text), m->text);
	if (!text[0])
		why.text = stop_result_text(m->result, m->error);
	follow(l, c, in->path);
	if (!c->remote_id && m->connection_id)
		conn_key_peer(l, c, m->connection_id);
	conn_step(l, c, TE_STOPCCN, &why);
}

/* A message that this state does not expect ends the connection (7.2). */
static void unexpected(struct l2tp3 *l, struct conn *c, enum tunnel_event ev,
		       const struct l2tp_msg *m)
{
	char text[L2TP_TEXT_MAX];
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = L2TP_STOP_FSM,
			      .text = text };
	const char *name = l2tp3_type_name(m->type);

	snprintf(text, sizeof(text), "%s in state %s", name ? name : "message",
		 state_name(c->state));
	conn_step(l, c, ev, &why);
}

/* A good message. 0, 1 when it is not to be acknowledged, -ENOMEM. */
static int dispatch(struct l2tp3 *l, struct conn *c, const struct in3 *in, const struct l2tp_msg *m,
		    const struct l2tp_verdict *v)
{
	struct ending wrong;

	switch (m->type) {
	case L2TP_SCCRQ:
		unexpected(l, c, TE_SCCRQ, m);
		return 0;
	case L2TP_SCCRP:
		if (c->state == L2TP3_CS_WAIT_REPLY)
			return sccrp_input(l, c, in, m);
		/* It answers a request that we have withdrawn: now we know where to. */
		if (c->state == L2TP3_CS_CLOSING && !c->remote_id)
			conn_key_peer(l, c, m->connection_id);
		unexpected(l, c, TE_SCCRP, m);
		return 0;
	case L2TP_SCCCN:
		wrong = wrong_answer(m);
		if (c->state != L2TP3_CS_WAIT_CONN)
			unexpected(l, c, TE_SCCCN, m);
		else if (!answered(c, m, L2TP_SCCCN))
			conn_step(l, c, TE_SCCCN_BAD, &wrong);
		else
			conn_step(l, c, TE_SCCCN, NULL);
		return 0;
	case L2TP_STOPCCN:
		if (tie_refusal(l, c, m))
			return 1;
		stopccn_input(l, c, in, m);
		return 0;
	case L2TP_HELLO:
		conn_step(l, c, TE_HELLO, NULL);
		return 0;
	}
	if (c->state == L2TP3_CS_UP)
		return pw_message(l, c, m, v);
	unexpected(l, c, TE_CALL, m);
	return 0;
}

static void bad_message(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m,
			const struct l2tp_verdict *v)
{
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = v->result,
			      .error = v->error,
			      .text = v->text };

	/* The answer has to be addressed. */
	if (m->type == L2TP_SCCRP && !c->remote_id && m->connection_id)
		conn_key_peer(l, c, m->connection_id);
	conn_step(l, c, TE_BAD, &why);
}

/* The message whose turn it is. 0 taken, 1 not to be acknowledged, -ENOMEM not taken. */
static int deliver(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_secret room;
	struct l2tp_verdict v;
	struct l2tp_msg m;
	size_t text;

	l2tp3_msg_parse(in->msg + L2TP3_HEADER, in->len - L2TP3_HEADER, digest_hide(c, &room),
			lax_of(c->quirks), scratch, &m, &v);
	c->quirks_used |= m.lax ? c->quirks & L2TP3_QUIRK_LAX_MANDATORY : 0;
	text = strlen(v.text);
	trace_put(conn_trace(l, c), TRACE_L2TP3_IN, l->now, c->handle, m.type, in->ns, in->nr, 0,
		  in->msg, in->len);
	switch (v.scope) {
	case L2TP_MSG_DROP:
		v3_drop(l, DROP3_AVP, m.type, in->path);
		return 1;
	case L2TP_MSG_IGNORE:
		trace_put(conn_trace(l, c), TRACE_L2TP3_MESSAGE_IGNORED, l->now, c->handle, m.type,
			  0, 0, 0, v.text, text);
		return 0;
	case L2TP_MSG_CLEAR:
		trace_put(conn_trace(l, c), TRACE_L2TP3_MESSAGE_BAD, l->now, c->handle, m.type,
			  v.result, v.error, 0, v.text, text);
		if (c->state == L2TP3_CS_UP && v.session)
			return pw_message(l, c, &m, &v);
		bad_message(l, c, &m, &v);
		return 0;
	case L2TP_MSG_OK:
		if (text)
			trace_put(conn_trace(l, c), TRACE_L2TP3_AVP_SKIPPED, l->now, c->handle,
				  m.type, 0, 0, 0, v.text, text);
		return dispatch(l, c, in, &m, &v);
	}
	return 1;
}

/* What was kept because it came too early, as far as its turn has come. */
static void deliver_held(struct l2tp3 *l, struct conn *c)
{
	struct rel_early *e;

	while ((e = rel_held(&c->rel))) {
		struct in3 in = { .path = &c->path,
				  .msg = e->bytes,
				  .len = e->len,
				  .connection = c->local_id,
				  .ns = (uint16_t)e->seq,
				  .nr = (uint16_t)c->rel.una };
		int rc;

		c->got_key = (uint8_t)e->session;
		rc = c->state < L2TP3_CS_LINGER ? deliver(l, c, &in) : 1;
		if (c->thing.finished)
			return;
		rel_held_done(&c->rel);
		if (rc)
			return; /* the peer sends it again */
		digest_settle(c);
		rel_accept(&c->rel);
	}
}

static bool is_ack(const struct in3 *in)
{
	return in->type == L2TP_ZLB || in->type == L2TP3_ACK;
}

/* After StopCCN of the peer: only its repetitions are answered (3.3.2). */
static int linger_input(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	if (is_ack(in) || ((in->ns + 1u) & 0xffff) != c->rel.nr)
		return v3_drop(l, DROP3_STATE, c->local_id, in->path);
	c->rel.duplicates++;
	l->count.duplicates++;
	rel_again(&c->rel);
	v3_work(l, c);
	return L2TP3_IN_CONTROL;
}

static void ack_input(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	uint32_t acked;

	(void)rel_ack(&c->rel, l->now, in->nr, &acked);
	if (acked) { /* it was made after what it acknowledges: no recording */
		digest_settle(c);
		v3_work(l, c);
	}
	c->heard = l->now;
	doubt3_end(l, c);
	if (c->hello_at.us == INT64_MAX || c->quiet_asked) {
		c->quiet_asked = false;
		c->thing.mask &= (uint8_t)~NEWS_QUIET;
		conn_arm_hello(l, c);
	}
	/* Something reached us that the peer can only have sent knowing our id. */
	if (!c->verified && in->connection) {
		c->verified = true;
		c->rel.passive = false;
		rel_restart(&c->rel, l->now);
	}
}

static int in_turn(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	int rc = deliver(l, c, in);

	if (rc < 0)
		return rc;
	if (rc > 0)
		return L2TP3_IN_DROP;
	digest_settle(c);
	/* Nr counts only with a message that was taken: an SCCRP that is lost to us has to come
	 * again, and it only does when our SCCRQ does. */
	ack_input(l, c, in);
	if (!c->thing.finished && !path_equal(&c->path, in->path) && may_move(c, in))
		follow(l, c, in->path);
	rel_accept(&c->rel);
	deliver_held(l, c);
	v3_dirty(l, &c->thing);
	return L2TP3_IN_CONTROL;
}

static int out_of_turn(struct l2tp3 *l, struct conn *c, const struct in3 *in, bool early)
{
	trace_put(conn_trace(l, c), early ? TRACE_L2TP3_EARLY : TRACE_L2TP3_REPEATED, l->now,
		  c->handle, 0, in->ns, c->rel.nr, 0, in->msg, in->len);
	if (early && (in->len > L2TP_HELD_MAX || c->state == L2TP3_CS_WAIT_REPLY))
		return v3_drop(l, DROP3_WINDOW, in->ns, in->path);
	/* Thousands may be half-open at once: each gets a little room for what overtook its SCCCN.
	 */
	if (early && c->bound.source &&
	    (in->len > L2TP_HALF_HELD_MAX || c->rel.early_count >= L2TP_HALF_HELD))
		return v3_drop(l, DROP3_WINDOW, in->ns, in->path);
	rel_again(&c->rel);
	v3_work(l, c);
	if (early)
		return rel_hold(&c->rel, in->ns, c->got_key, in->msg, in->len) < 0
			       ? -ENOMEM
			       : L2TP3_IN_CONTROL;
	c->rel.duplicates++;
	l->count.duplicates++;
	return L2TP3_IN_CONTROL;
}

/* 4.2: Nr beyond what was sent makes a message invalid. */
static bool nr_good(const struct conn *c, uint16_t nr)
{
	uint16_t ahead = (uint16_t)(nr - c->rel.una);

	return ahead >= 0x8000 || ahead <= (uint16_t)(c->rel.ns - c->rel.una);
}

static int receive(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	enum rel_place place = rel_place(&c->rel, in->ns);

	if (!nr_good(c, in->nr)) {
		trace(conn_trace(l, c), TRACE_L2TP3_ODD_NR, l->now, c->handle, in->nr, c->rel.ns);
		return v3_drop(l, DROP3_WINDOW, in->ns, in->path);
	}
	/* Only what was never seen before can prove that the peer has moved. */
	if (!conn_may_come_from(c, in->path) && (place != REL_NEXT || is_ack(in)))
		return v3_drop(l, DROP3_PATH, c->local_id, in->path);
	if (is_ack(in)) {
		trace_put(conn_trace(l, c), TRACE_L2TP3_IN, l->now, c->handle, L2TP3_ACK, in->ns,
			  in->nr, 0, in->msg, in->len);
		ack_input(l, c, in);
		return L2TP3_IN_CONTROL;
	}
	switch (place) {
	case REL_FAR:
		/* 4.2: what is dropped for its Ns may still acknowledge. */
		ack_input(l, c, in);
		return v3_drop(l, DROP3_WINDOW, in->ns, in->path);
	case REL_DUPLICATE:
		ack_input(l, c, in);
		return out_of_turn(l, c, in, false);
	case REL_EARLY:
		ack_input(l, c, in);
		return out_of_turn(l, c, in, true);
	case REL_NEXT:
		return in_turn(l, c, in);
	}
	return L2TP3_IN_DROP;
}

int conn_receive(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	int rc;

	if (c->thing.finished)
		return v3_drop(l, DROP3_CONN, c->local_id, in->path);
	if (!conn_may_come_from(c, in->path) && !may_move(c, in))
		return v3_drop(l, DROP3_PATH, c->local_id, in->path);
	/* Whether it may be believed is known when the owner has named the secret. Until then
	 * nothing is taken or held: it comes again. */
	if (c->state == L2TP3_CS_ASKING)
		return v3_drop(l, DROP3_STATE, c->local_id, in->path);
	if (!digest_good(l, c, in))
		return v3_drop(l, DROP3_DIGEST, c->local_id, in->path);
	if (c->state == L2TP3_CS_LINGER)
		return linger_input(l, c, in);
	rc = receive(l, c, in);
	if (c->state == L2TP3_CS_CLOSING && !c->want && !rel_held_count(&c->rel))
		conn_step(l, c, TE_ACKED, NULL);
	else if (!c->thing.finished && rel_wants_output(&c->rel))
		v3_work(l, c);
	conn_timer(l, c);
	return rc;
}

/* ---- messages out ---- */

void conn_build(struct l2tp3 *l, const struct conn *c, struct l2tp_build *b, void *buf,
		uint16_t type)
{
	/* What the peer's SCCRQ is to be read with is not known to it before it knows who we are.
	 */
	bool hide = c->auth == CONN_AUTH_ON && c->profile->p.hide && type != L2TP_SCCRQ;
	struct l2tp3_auth one;

	l2tp3_build_begin(b, buf, L2TP_CONTROL_MAX - L2TP3_IP_PREFIX, type,
			  digest_keys(l, c, type, &one), hide, &l->rng);
}

int conn_push(struct l2tp3 *l, struct conn *c, struct l2tp_build *b)
{
	size_t len = l2tp_build_end(b);

	if (!len)
		return -EINVAL; /* cannot be: all parts are bounded */
	return rel_push(&c->rel, l->now, (uint8_t)b->type, 0, b->c.buf, len);
}

/* SCCRQ and SCCRP (6.1, 6.2): who we are, and what cannot be left out. */
static void build_names(struct l2tp_build *b, const struct conn *c)
{
	const struct l2tp3_profile *p = c->profile;

	l2tp_build_bytes(b, L2TP3_AVP_HOST_NAME, p->host_name, strlen(p->host_name));
	l2tp_build_u32(b, L2TP3_AVP_ROUTER_ID, p->p.router_id);
	l2tp_build_u32(b, L2TP3_AVP_CONNECTION_ID, c->local_id);
	l2tp_build_bytes(b, L2TP3_AVP_PW_CAPS, p->caps, p->caps_len);
	if (c->auth == CONN_AUTH_ON)
		l2tp_build_bytes(b, L2TP3_AVP_NONCE, c->own_nonce, c->own_nonce_len);
	if (c->challenged)
		l2tp_build_bytes(b, L2TP3_AVP_CHALLENGE, c->challenge, sizeof(c->challenge));
}

/* As much of the rest as a stranger may be sent, the most useful first. */
static void build_abilities(struct l2tp_build *b, const struct conn *c)
{
	const struct l2tp3_profile *p = c->profile;
	struct l2tp_build before = *b;

	l2tp_build_u16(b, L2TP3_AVP_WINDOW, p->p.receive_window);
	if (c->asked && b->c.len > c->asked)
		*b = before;
	before = *b;
	l2tp_build_bytes(b, L2TP3_AVP_VENDOR_NAME, p->vendor_name, strlen(p->vendor_name));
	if (c->asked && b->c.len > c->asked)
		*b = before;
}

/* The reason in words, cut so that a stranger gets no more than it has sent. */
static void build_stop(struct l2tp_build *b, const struct conn *c)
{
	size_t bare = b->c.len + 10 + 10, room = L2TP_TEXT_MAX;
	char text[L2TP_TEXT_MAX];

	if (c->asked && !c->verified)
		room = c->asked > bare ? c->asked - bare : 0;
	engine_words(text, room, c->text);
	l2tp_build_u32(b, L2TP3_AVP_CONNECTION_ID, c->local_id);
	l2tp_build_result(b, c->why.result ? c->why.result : L2TP_STOP_CLEAR, c->why.error, text);
}

static void build_control(struct l2tp3 *l, struct conn *c, struct l2tp_build *b, uint8_t *buf,
			  uint8_t want)
{
	switch (want) {
	case WANT_SCCRQ:
		conn_build(l, c, b, buf, L2TP_SCCRQ);
		build_names(b, c);
		build_abilities(b, c);
		if (c->has_tie)
			l2tp_build_u64(b, L2TP3_AVP_TIE, c->tie);
		break;
	case WANT_SCCRP:
		conn_build(l, c, b, buf, L2TP_SCCRP);
		build_names(b, c);
		if (c->respond)
			l2tp_build_bytes(b, L2TP3_AVP_RESPONSE, c->response, sizeof(c->response));
		build_abilities(b, c);
		break;
	case WANT_SCCCN:
		conn_build(l, c, b, buf, L2TP_SCCCN);
		if (c->respond)
			l2tp_build_bytes(b, L2TP3_AVP_RESPONSE, c->response, sizeof(c->response));
		break;
	case WANT_STOP:
		conn_build(l, c, b, buf, L2TP_STOPCCN);
		build_stop(b, c);
		break;
	case WANT_HELLO:
		conn_build(l, c, b, buf, L2TP_HELLO);
		break;
	}
}

/* 0 one message was numbered, 1 there is none to send, -ENOMEM. */
static int send_next(struct l2tp3 *l, struct conn *c)
{
	static const uint8_t first[] = { WANT_SCCRQ, WANT_SCCRP, WANT_SCCCN, WANT_STOP };
	uint8_t buf[L2TP_CONTROL_MAX], want = 0;
	struct l2tp_build b;
	int rc;

	for (size_t i = 0; i < sizeof(first) && !want; i++)
		want = c->want & first[i];
	if (!want && c->state == L2TP3_CS_UP) {
		rc = pw_build_next(l, c);
		if (rc != 1)
			return rc;
		/* Anything outstanding serves as well as HELLO (6.5). */
		if ((c->want & WANT_HELLO) && rel_held_count(&c->rel))
			c->want &= (uint8_t)~WANT_HELLO;
		want = c->want & WANT_HELLO;
	}
	if (!want)
		return 1;
	build_control(l, c, &b, buf, want);
	rc = conn_push(l, c, &b);
	if (rc < 0)
		return rc;
	c->want &= (uint8_t)~want;
	c->told_nonce |= want == WANT_SCCRP;
	return 0;
}

void conn_pump(struct l2tp3 *l, struct conn *c)
{
	int rc = 0;

	if (c->thing.finished || c->yields)
		return;
	while (rc == 0 && rel_room(&c->rel, c->want & WANT_STOP)) {
		rc = send_next(l, c);
		if (rc == 0)
			v3_dirty(l, &c->thing);
	}
	c->pump_at = rc < 0 ? mono_add(l->now, L2TP_RETRY_MEM_US) : MONO_NEVER;
	if (rel_wants_output(&c->rel))
		v3_out(l, c);
	conn_timer(l, c);
}
