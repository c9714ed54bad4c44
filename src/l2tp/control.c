/* SPDX-License-Identifier: MIT
 *
 * Messages of the control connection (RFC 2661 5.1, 5.8, 6.1 to 6.5, 7.1): what each one does, in
 * which order they are taken, what we send, and the owner's commands that lead to them.
 *
 * Receiving: Nr is looked at first, then the place of Ns decides. A message whose turn it is is
 * taken or not; only one that was taken moves Nr on, so when memory is short the peer sends it
 * again.
 *
 * Sending: tunnel_pump() builds messages while the window has room: those that open and close the
 * tunnel, then answers of sessions, then new calls, then HELLO if nothing else is outstanding.
 */
#include <stdio.h>
#include "l2tp/internal.h"
#include "l2tp/msg3.h"

static const char *state_name(unsigned state)
{
	static const char *const names[] = { "asking",	      "wait-ctl-reply",
					     "wait-ctl-conn", "established",
					     "closing",	      "closed",
					     "idle",	      "gone" };

	return names[state];
}

const char *stop_result_text(uint16_t result, uint16_t error)
{
	static const char *const results[] = {
		[L2TP_STOP_EXISTS] = "the peer has a tunnel to us already",
		[L2TP_STOP_UNAUTHORISED] = "the peer does not authorise us to open a tunnel",
		[L2TP_STOP_VERSION] = "the peer does not support our protocol version",
		[L2TP_STOP_SHUTDOWN] = "the peer is shutting down",
		[L2TP_STOP_FSM] = "the peer did not expect a message of ours",
	};

	if (result == L2TP_STOP_ERROR)
		return cdn_result_text(L2TP_CDN_ERROR, error);
	return result < sizeof(results) / sizeof(results[0]) ? results[result] : NULL;
}

/* ---- commands ---- */

void tunnel_adopt(struct tunnel *t, struct l2tp_profile *p)
{
	t->profile = l2tp_profile_ref(p);
	t->rel.p.window = p->p.receive_window;
	t->rel.p.first_us = t->rel.wait_us = p->p.retry_first_us;
	t->rel.p.cap_us = p->p.retry_cap_us;
	t->rel.p.retries = p->p.retry_max;
	t->challenged = p->p.challenge;
	t->quirks = (uint8_t)p->p.quirks;
}

/* Decode as this peer has to be read. Returns its quirks, as far as the message tells them. */
static uint32_t parse(const struct tunnel *t, const struct l2tp_profile *p, const uint8_t *payload,
		      size_t len, uint8_t scratch[L2TP_SCRATCH], struct l2tp_msg *m,
		      struct l2tp_verdict *v)
{
	const struct l2tp_secret *secret = p && p->secret.n ? &p->secret : NULL;
	uint32_t quirks = t->quirks;

	l2tp_msg_parse_lax(payload, len, secret, quirks, scratch, m, v);
	if (!p || (m->type != L2TP_SCCRQ && m->type != L2TP_SCCRP))
		return quirks;
	quirks |= quirks_of(p, m);
	if (m->lax & quirks & ~(uint32_t)t->quirks)
		l2tp_msg_parse_lax(payload, len, secret, quirks, scratch, m, v);
	return quirks;
}

/* What the peer says of itself is known: its quirks hold from here on. */
static void learn(struct tunnel *t, const struct l2tp_msg *m, uint32_t quirks)
{
	t->firmware = m->firmware;
	t->quirks = (uint8_t)quirks;
	if ((quirks & L2TP_QUIRK_NO_HELLO) && t->profile->p.hello_us >= 0)
		t->quirks_used |= L2TP_QUIRK_NO_HELLO;
	t->quirks_used |= (uint8_t)(m->lax & quirks);
}

int tunnel_open(struct l2tp *l, struct l2tp_cmd *cmd)
{
	char raw[ADDR_TEXT_MAX];
	struct tunnel *t;
	int rc;

	if (!cmd->profile || cmd->path.remote.family == 0 || cmd->path.remote.port == 0 ||
	    cmd->path.local.family != cmd->path.remote.family)
		return -EINVAL;
	rc = tunnel_new(l, &cmd->path, true, &t);
	if (rc)
		return rc > 0 ? 2 : rc;
	t->owner = cmd->owner;
	t->thing.known = true;
	tunnel_adopt(t, cmd->profile);
	if (t->challenged)
		rng_bytes(&l->rng, t->challenge, sizeof(t->challenge));
	if (cmd->offer) {
		t->offer = engine_alloc(l, sizeof(*t->offer));
		if (!t->offer) {
			tunnel_undo(l, t);
			return -ENOMEM;
		}
		*t->offer = *cmd->offer;
	}
	t->has_tie = t->offer ? t->offer->has_tie : t->profile->p.tie_breaker;
	if (t->has_tie && t->offer)
		t->tie = t->offer->tie;
	else if (t->has_tie)
		rng_bytes(&l->rng, &t->tie, sizeof(t->tie));
	addr_text(&t->path.remote, raw);
	trace_put(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_DIAL, l->now, t->handle, t->local_id, 0, 0,
		  0, raw, strlen(raw));
	tunnel_step(l, t, TE_OPEN, NULL);
	cmd->ret_handle = t->handle;
	return 0;
}

static struct ending not_authorised(const char *text)
{
	return (struct ending){ .cause = ADIT_CAUSE_TUNNEL_AUTH_FAILED,
				.result = L2TP_STOP_UNAUTHORISED,
				.text = text };
}

/* What SCCRQ and SCCRP have in common: the challenge, the window, what the peer can do. */
static bool peer_says(struct tunnel *t, const struct l2tp_msg *m, uint8_t answer)
{
	const struct l2tp_secret *secret = tunnel_secret(t);

	t->respond = l2tp_msg_has(m, 11);
	if (t->respond && !secret)
		return false;
	if (t->respond)
		l2tp_auth_response(t->response, answer, secret, m->challenge.p, m->challenge.n);
	t->peer_framing = m->framing_caps;
	t->peer_bearer = m->bearer_caps;
	rel_peer_window(&t->rel, l2tp_msg_has(m, 10) ? m->window : 4);
	return true;
}

int tunnel_accept(struct l2tp *l, struct tunnel *t, struct l2tp_cmd *cmd)
{
	struct ending deaf = not_authorised("a challenge was sent, but no secret is configured");
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp_msg m;
	struct ending bad;
	uint32_t quirks;
	bool good;

	if (!cmd->profile)
		return -EINVAL;
	/* Once more, now that hidden AVPs can be read. */
	quirks = parse(t, cmd->profile, t->request, t->request_len, scratch, &m, &v);
	if (v.scope == L2TP_MSG_OK && tunnel_names(l, t, m.host_name, m.vendor_name) < 0)
		return -ENOMEM;
	t->owner = cmd->owner;
	tunnel_adopt(t, cmd->profile);
	learn(t, &m, quirks);
	if (cmd->trusted)
		halfopen_trust(l, t);
	if (m.tunnel_id)
		tunnel_key_peer(l, t, m.tunnel_id);
	good = v.scope == L2TP_MSG_OK && peer_says(t, &m, L2TP_SCCRP);
	tunnel_release_request(l, t); /* nothing of `m` that points into it is used after this */
	if (v.scope != L2TP_MSG_OK) {
		bad = (struct ending){ .cause = ADIT_CAUSE_PROTOCOL_ERROR,
				       .result = v.result,
				       .error = v.error,
				       .text = v.text };
		tunnel_step(l, t, TE_SCCRQ_BAD, &bad);
		return 0;
	}
	if (!good) {
		tunnel_step(l, t, TE_SCCRQ_BAD, &deaf);
		return 0;
	}
	if (t->challenged)
		rng_bytes(&l->rng, t->challenge, sizeof(t->challenge));
	trace(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_ACCEPTED, l->now, t->handle, t->local_id,
	      t->remote_id);
	tunnel_step(l, t, TE_ACCEPT, NULL);
	return 0;
}

/* ---- messages in ---- */

bool tunnel_may_come_from(const struct tunnel *t, const struct path *path)
{
	if (path_equal(&t->path, path))
		return true;
	/* The responder may answer from elsewhere, once (8.1, RFC 3193 4). */
	if (t->state != L2TP_TS_WAIT_REPLY || path->via != t->path.via ||
	    !addr_equal(&path->local, &t->path.local) ||
	    path->remote.family != t->path.remote.family)
		return false;
	if (!addr_same_ip(&path->remote, &t->path.remote))
		return t->profile->p.allow_address_change;
	return t->profile->p.allow_port_change;
}

static void follow(struct l2tp *l, struct tunnel *t, const struct path *path)
{
	char raw[ADDR_TEXT_MAX];

	if (path_equal(&t->path, path))
		return;
	t->path = *path;
	tunnel_key_peer(l, t, t->remote_id);
	addr_text(&path->remote, raw);
	trace_put(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_FOLLOW, l->now, t->handle, t->local_id, 0,
		  0, 0, raw, strlen(raw));
}

/* True when our challenge was answered rightly, or there was none (5.1.1). */
static bool answered(const struct tunnel *t, const struct l2tp_msg *m, uint8_t type)
{
	uint8_t want[16];

	if (!t->challenged)
		return true;
	if (!l2tp_msg_has(m, 13) || m->response.n != sizeof(want))
		return false;
	l2tp_auth_response(want, type, tunnel_secret(t), t->challenge, sizeof(t->challenge));
	return bytes_equal_ct(want, m->response.p, sizeof(want));
}

static struct ending wrong_answer(const struct l2tp_msg *m)
{
	return not_authorised(l2tp_msg_has(m, 13) ? "the Challenge Response AVP (13) is wrong"
						  : "there is no Challenge Response AVP (13)");
}

static int sccrp_input(struct l2tp *l, struct tunnel *t, const struct path *path,
		       const struct l2tp_msg *m)
{
	struct ending deaf = not_authorised("a challenge was sent, but no secret is configured");
	struct ending other = not_authorised("the Host Name AVP (7) is not the one configured");
	struct ending wrong;

	if (tunnel_names(l, t, m->host_name, m->vendor_name) < 0)
		return -ENOMEM;
	follow(l, t, path);
	tunnel_key_peer(l, t, m->tunnel_id);
	learn(t, m, t->quirks | quirks_of(t->profile, m));
	other.cause = ADIT_CAUSE_TUNNEL_REFUSED;
	if (t->profile->p.peer_name && !text_glob(t->profile->p.peer_name, t->host_name))
		tunnel_step(l, t, TE_SCCRP_BAD, &other);
	else if (!answered(t, m, L2TP_SCCRP)) {
		wrong = wrong_answer(m);
		tunnel_step(l, t, TE_SCCRP_BAD, &wrong);
	} else if (!peer_says(t, m, L2TP_SCCCN)) {
		tunnel_step(l, t, TE_SCCRP_BAD, &deaf);
	} else {
		tunnel_step(l, t, TE_SCCRP, NULL);
	}
	return 0;
}

static void stopccn_input(struct l2tp *l, struct tunnel *t, const struct path *path,
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
	if (!why.text && m->result != L2TP_STOP_CLEAR)
		why.text = result_number_text(text, m->result, m->error);
	follow(l, t, path);
	if (!t->remote_id && m->tunnel_id)
		tunnel_key_peer(l, t, m->tunnel_id);
	tunnel_step(l, t, TE_STOPCCN, &why);
}

/* A message that this state does not expect ends the tunnel (7.1). */
static void unexpected(struct l2tp *l, struct tunnel *t, enum tunnel_event ev,
		       const struct l2tp_msg *m)
{
	char text[L2TP_TEXT_MAX];
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = L2TP_STOP_FSM,
			      .text = text };

	snprintf(text, sizeof(text), "%s in state %s", l2tp_type_name(m->type),
		 state_name(t->state));
	tunnel_step(l, t, ev, &why);
}

/* A good message for the control connection. 0 or -ENOMEM. */
static int dispatch(struct l2tp *l, struct tunnel *t, const struct path *path, uint32_t session,
		    const struct l2tp_msg *m, const struct l2tp_verdict *v)
{
	struct ending wrong;

	switch (m->type) {
	case L2TP_SCCRQ:
		unexpected(l, t, TE_SCCRQ, m);
		return 0;
	case L2TP_SCCRP:
		if (t->state == L2TP_TS_WAIT_REPLY)
			return sccrp_input(l, t, path, m);
		/* It answers a request that we have withdrawn: now we know where to. */
		if (t->state == L2TP_TS_CLOSING && !t->remote_id)
			tunnel_key_peer(l, t, m->tunnel_id);
		unexpected(l, t, TE_SCCRP, m);
		return 0;
	case L2TP_SCCCN:
		wrong = wrong_answer(m);
		if (t->state != L2TP_TS_WAIT_CONN)
			unexpected(l, t, TE_SCCCN, m);
		else if (!answered(t, m, L2TP_SCCCN))
			tunnel_step(l, t, TE_SCCCN_BAD, &wrong);
		else
			tunnel_step(l, t, TE_SCCCN, NULL);
		return 0;
	case L2TP_STOPCCN:
		stopccn_input(l, t, path, m);
		return 0;
	case L2TP_HELLO:
		tunnel_step(l, t, TE_HELLO, NULL);
		return 0;
	}
	if (t->state == L2TP_TS_UP)
		return call_message(l, t, session, m, v);
	unexpected(l, t, TE_CALL, m);
	return 0;
}

static void bad_message(struct l2tp *l, struct tunnel *t, const struct l2tp_msg *m,
			const struct l2tp_verdict *v)
{
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = v->result,
			      .error = v->error,
			      .text = v->text };

	/* The answer has to be addressed. */
	if (m->type == L2TP_SCCRP && !t->remote_id && m->tunnel_id)
		tunnel_key_peer(l, t, m->tunnel_id);
	tunnel_step(l, t, TE_BAD, &why);
}

/* The message whose turn it is. 0 taken, 1 not to be acknowledged, -ENOMEM not taken. */
static int deliver(struct l2tp *l, struct tunnel *t, const struct path *path, uint32_t ns,
		   uint32_t nr, uint32_t session, const uint8_t *bytes, size_t len)
{
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp_msg m;
	size_t text;

	(void)parse(t, t->profile, bytes + 12, len - 12, scratch, &m, &v);
	t->quirks_used |= (uint8_t)(m.lax & t->quirks);
	text = strlen(v.text);
	trace_put(tunnel_trace(l, t), TRACE_L2TP_IN, l->now, t->handle, m.type, ns, nr, session,
		  bytes, len);
	switch (v.scope) {
	case L2TP_MSG_DROP:
		engine_drop(l, DROP_AVP, m.type, path);
		return 1;
	case L2TP_MSG_IGNORE:
		trace_put(tunnel_trace(l, t), TRACE_L2TP_MESSAGE_IGNORED, l->now, t->handle, m.type,
			  0, 0, 0, v.text, text);
		return 0;
	case L2TP_MSG_CLEAR:
		trace_put(tunnel_trace(l, t), TRACE_L2TP_MESSAGE_BAD, l->now, t->handle, m.type,
			  v.result, v.error, 0, v.text, text);
		if (t->state == L2TP_TS_UP && v.session)
			return call_message(l, t, session, &m, &v);
		bad_message(l, t, &m, &v);
		return 0;
	case L2TP_MSG_OK:
		if (text)
			trace_put(tunnel_trace(l, t), TRACE_L2TP_AVP_SKIPPED, l->now, t->handle,
				  m.type, 0, 0, 0, v.text, text);
		return dispatch(l, t, path, session, &m, &v);
	}
	return 1;
}

/* What was kept because it came too early, as far as its turn has come. */
static void deliver_held(struct l2tp *l, struct tunnel *t)
{
	struct rel_early *e;

	while ((e = rel_held(&t->rel))) {
		int rc = t->state < L2TP_TS_LINGER ? deliver(l, t, &t->path, e->seq, t->rel.una,
							     e->session, e->bytes, e->len)
						   : 1;

		if (t->thing.finished)
			return;
		rel_held_done(&t->rel);
		if (rc)
			return; /* the peer sends it again */
		rel_accept(&t->rel);
	}
}

/* After StopCCN of the peer: only its repetitions are answered (5.7). */
static int linger_input(struct l2tp *l, struct tunnel *t, const struct path *path,
			const struct l2tp_header *h)
{
	if (h->len == 0 || ((h->ns + 1u) & 0xffff) != t->rel.nr)
		return engine_drop(l, DROP_STATE, t->local_id, path);
	t->rel.duplicates++;
	l->count.duplicates++;
	rel_again(&t->rel);
	engine_work(l, t);
	return L2TP_IN_CONTROL;
}

/* Something of the peer reached us that it can only have sent knowing our id. */
static void proved(struct l2tp *l, struct tunnel *t)
{
	t->verified = true;
	t->rel.passive = false;
	rel_restart(&t->rel, l->now);
}

static void ack_input(struct l2tp *l, struct tunnel *t, const struct l2tp_header *h)
{
	uint32_t acked;

	if (!rel_ack(&t->rel, l->now, h->nr, &acked))
		trace(tunnel_trace(l, t), TRACE_L2TP_ODD_NR, l->now, t->handle, h->nr, t->rel.ns);
	if (acked)
		engine_work(l, t);
	t->heard = l->now;
	doubt_end(l, t);
	if (t->hello_at.us == INT64_MAX || t->quiet_asked) {
		t->quiet_asked = false;
		t->thing.mask &= (uint8_t)~NEWS_QUIET;
		tunnel_arm_hello(t);
	}
	if (!t->verified && h->tunnel)
		proved(l, t);
}

static int in_turn(struct l2tp *l, struct tunnel *t, const struct path *path,
		   const struct l2tp_header *h, const uint8_t *bytes)
{
	int rc = deliver(l, t, path, h->ns, h->nr, h->session, bytes, h->payload + h->len);

	if (rc < 0)
		return rc;
	if (rc > 0)
		return L2TP_IN_DROP;
	/* Nr counts only with a message that was taken: an SCCRP that is lost to us has to come
	 * again, and it only does when our SCCRQ does. */
	ack_input(l, t, h);
	rel_accept(&t->rel);
	deliver_held(l, t);
	thing_dirty(l, &t->thing);
	return L2TP_IN_CONTROL;
}

static int out_of_turn(struct l2tp *l, struct tunnel *t, const struct path *path,
		       const struct l2tp_header *h, const uint8_t *bytes, bool early)
{
	uint32_t len = h->payload + h->len;

	trace_put(tunnel_trace(l, t), early ? TRACE_L2TP_EARLY : TRACE_L2TP_REPEATED, l->now,
		  t->handle, 0, h->ns, t->rel.nr, h->session, bytes, len);
	if (early && (len > L2TP_HELD_MAX || t->state == L2TP_TS_WAIT_REPLY))
		return engine_drop(l, DROP_WINDOW, h->ns, path);
	/* Thousands may be half-open at once: each gets a little room for what overtook its SCCCN.
	 */
	if (early && t->bound.source &&
	    (len > L2TP_HALF_HELD_MAX || t->rel.early_count >= L2TP_HALF_HELD))
		return engine_drop(l, DROP_WINDOW, h->ns, path);
	rel_again(&t->rel);
	engine_work(l, t);
	if (early)
		return rel_hold(&t->rel, h->ns, h->session, bytes, len) < 0 ? -ENOMEM
									    : L2TP_IN_CONTROL;
	t->rel.duplicates++;
	l->count.duplicates++;
	return L2TP_IN_CONTROL;
}

static int receive(struct l2tp *l, struct tunnel *t, const struct path *path,
		   const struct l2tp_header *h, const uint8_t *bytes)
{
	if (h->len == 0) {
		trace_put(tunnel_trace(l, t), TRACE_L2TP_IN, l->now, t->handle, L2TP_ZLB, h->ns,
			  h->nr, h->session, bytes, h->payload);
		ack_input(l, t, h);
		return L2TP_IN_CONTROL;
	}
	switch (rel_place(&t->rel, h->ns)) {
	case REL_FAR:
		return engine_drop(l, DROP_WINDOW, h->ns, path);
	case REL_DUPLICATE:
		ack_input(l, t, h);
		return out_of_turn(l, t, path, h, bytes, false);
	case REL_EARLY:
		ack_input(l, t, h);
		return out_of_turn(l, t, path, h, bytes, true);
	case REL_NEXT:
		return in_turn(l, t, path, h, bytes);
	}
	return L2TP_IN_DROP;
}

int tunnel_receive(struct l2tp *l, struct tunnel *t, const struct path *path,
		   const struct l2tp_header *h, const uint8_t *bytes)
{
	int rc;

	if (t->thing.finished)
		return engine_drop(l, DROP_TUNNEL, t->local_id, path);
	if (t->state == L2TP_TS_LINGER)
		return linger_input(l, t, path, h);
	rc = receive(l, t, path, h, bytes);
	if (t->state == L2TP_TS_CLOSING && !t->want && !rel_held_count(&t->rel))
		tunnel_step(l, t, TE_ACKED, NULL);
	else if (!t->thing.finished && rel_wants_output(&t->rel))
		engine_work(l, t);
	tunnel_timer(l, t);
	return rc;
}

/* ---- messages out ---- */

void tunnel_build(struct l2tp *l, const struct tunnel *t, struct l2tp_build *b, void *buf,
		  uint16_t type)
{
	bool hide = t->profile && t->profile->p.hide;

	l2tp_build_begin(b, buf, L2TP_CONTROL_MAX, type, hide ? tunnel_secret(t) : NULL, &l->rng);
}

int tunnel_push(struct l2tp *l, struct tunnel *t, struct l2tp_build *b, uint32_t session)
{
	size_t len = l2tp_build_end(b);

	if (!len)
		return -EINVAL; /* cannot be: all parts are bounded */
	return rel_push(&t->rel, l->now, (uint8_t)b->type, session, b->c.buf, len);
}

/* A peer that does not know its secret before it knows who we are hides from itself what we hide.
 */
static void build_plain(struct l2tp_build *b, struct tunnel *t)
{
	if (b->secret && (t->quirks & L2TP_QUIRK_PLAIN_SETUP)) {
		t->quirks_used |= L2TP_QUIRK_PLAIN_SETUP;
		b->secret = NULL;
	}
}

/* SCCRQ and SCCRP (6.1, 6.2): who we are, and what cannot be left out. */
static void build_names(struct l2tp_build *b, const struct tunnel *t)
{
	const struct l2tp_params *p = &t->profile->p;

	l2tp_build_u16(b, 2, 0x0100);
	l2tp_build_bytes(b, 7, p->host_name, strlen(p->host_name));
	l2tp_build_u32(b, 3, p->framing);
	l2tp_build_u16(b, 9, t->local_id);
	if (p->bearer) /* without it nobody may ask us to place a call (4.4.3) */
		l2tp_build_u32(b, 4, p->bearer);
	if (t->challenged)
		l2tp_build_bytes(b, 11, t->challenge, sizeof(t->challenge));
}

static void build_extra(struct l2tp_build *b, const struct tunnel *t, unsigned int avp)
{
	const struct l2tp_params *p = &t->profile->p;

	if (avp == 10)
		l2tp_build_u16(b, 10, p->receive_window);
	else if (avp == 6)
		l2tp_build_u16(b, 6, p->firmware);
	else if (avp == 8)
		l2tp_build_bytes(b, 8, p->vendor_name, strlen(p->vendor_name));
}

/* What we can; as much of it as a stranger may be sent, the most useful first. */
static void build_abilities(struct l2tp_build *b, const struct tunnel *t)
{
	static const uint8_t extras[] = { 10, 6, 8 };

	for (size_t i = 0; i < sizeof(extras); i++) {
		struct l2tp_build before = *b;

		build_extra(b, t, extras[i]);
		if (t->asked && b->c.len > t->asked)
			*b = before;
	}
}

/* The reason in words, cut so that a stranger gets no more than it has sent. */
static void build_stop(struct l2tp_build *b, const struct tunnel *t)
{
	size_t bare = 12 + 8 + 8 + 10, room = L2TP_TEXT_MAX;
	char text[L2TP_TEXT_MAX];

	if (t->asked && !t->verified)
		room = t->asked > bare ? t->asked - bare : 0;
	engine_words(text, room, t->text);
	l2tp_build_u16(b, 9, t->local_id);
	l2tp_build_result(b, t->why.result ? t->why.result : L2TP_STOP_CLEAR, t->why.error, text);
}

/* An SCCRQ that peers of both versions can read (RFC 3931 4.7.3). Its ids and numbers are 0, so it
 * can be signed here. */
static void build_offer(struct l2tp_build *b, const struct tunnel *t, uint8_t *buf)
{
	const struct l2tp_offer *o = t->offer;
	struct l2tp3_auth auth = { .n = o->sign };

	memcpy(auth.keys[0].sign, o->key, sizeof(auth.keys[0].sign));
	auth.keys[0].digest = o->sha1 ? L2TP3_DIGEST_SHA1 : L2TP3_DIGEST_MD5;
	l2tp3_build_begin_fallback(b, buf, L2TP_CONTROL_MAX, &auth);
	build_names(b, t);
	build_abilities(b, t);
	if (t->has_tie)
		l2tp_build_u64(b, 5, t->tie);
	l2tp_build_u32(b, L2TP3_AVP_ROUTER_ID, o->router_id);
	l2tp_build_u32(b, L2TP3_AVP_CONNECTION_ID, o->connection);
	l2tp_build_bytes(b, L2TP3_AVP_PW_CAPS, o->caps, o->caps_len);
	if (o->nonce_len)
		l2tp_build_bytes(b, L2TP3_AVP_NONCE, o->nonce, o->nonce_len);
	l2tp3_sign(buf, l2tp_build_end(b), &auth, NULL);
	bytes_wipe(&auth, sizeof(auth));
}

static void build_control(struct l2tp *l, struct tunnel *t, struct l2tp_build *b, uint8_t *buf,
			  uint8_t want)
{
	switch (want) {
	case WANT_SCCRQ:
		if (t->offer) {
			build_offer(b, t, buf);
			break;
		}
		tunnel_build(l, t, b, buf, L2TP_SCCRQ);
		build_plain(b, t);
		build_names(b, t);
		build_abilities(b, t);
		if (t->has_tie)
			l2tp_build_u64(b, 5, t->tie);
		break;
	case WANT_SCCRP:
		tunnel_build(l, t, b, buf, L2TP_SCCRP);
		build_plain(b, t);
		build_names(b, t);
		if (t->respond)
			l2tp_build_bytes(b, 13, t->response, sizeof(t->response));
		build_abilities(b, t);
		break;
	case WANT_SCCCN:
		tunnel_build(l, t, b, buf, L2TP_SCCCN);
		if (t->respond)
			l2tp_build_bytes(b, 13, t->response, sizeof(t->response));
		break;
	case WANT_STOP:
		tunnel_build(l, t, b, buf, L2TP_STOPCCN);
		build_stop(b, t);
		break;
	case WANT_HELLO:
		tunnel_build(l, t, b, buf, L2TP_HELLO);
		break;
	}
}

/* 0 one message was numbered, 1 there is none to send, -ENOMEM. */
static int send_next(struct l2tp *l, struct tunnel *t)
{
	static const uint8_t first[] = { WANT_SCCRQ, WANT_SCCRP, WANT_SCCCN, WANT_STOP };
	uint8_t buf[L2TP_CONTROL_MAX], want = 0;
	struct l2tp_build b;
	int rc;

	for (size_t i = 0; i < sizeof(first) && !want; i++)
		want = t->want & first[i];
	if (!want && t->state == L2TP_TS_UP) {
		rc = call_build_next(l, t);
		if (rc != 1)
			return rc;
		/* Anything outstanding serves as well as HELLO (6.5). */
		if ((t->want & WANT_HELLO) && rel_held_count(&t->rel))
			t->want &= (uint8_t)~WANT_HELLO;
		want = t->want & WANT_HELLO;
	}
	if (!want)
		return 1;
	build_control(l, t, &b, buf, want);
	rc = tunnel_push(l, t, &b, 0);
	if (rc < 0)
		return rc;
	t->want &= (uint8_t)~want;
	return 0;
}

void tunnel_pump(struct l2tp *l, struct tunnel *t)
{
	int rc = 0;

	if (t->thing.finished || t->yields)
		return;
	while (rc == 0 && rel_room(&t->rel, t->want & WANT_STOP)) {
		rc = send_next(l, t);
		if (rc == 0)
			thing_dirty(l, &t->thing);
	}
	t->pump_at = rc < 0 ? mono_add(l->now, L2TP_RETRY_MEM_US) : MONO_NEVER;
	if (rel_wants_output(&t->rel))
		engine_out(l, t);
	tunnel_timer(l, t);
}
