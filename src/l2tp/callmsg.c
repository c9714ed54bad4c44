/* SPDX-License-Identifier: MIT
 *
 * Messages of sessions (RFC 2661 6.6 to 6.14): what each one does to a call and what we send. The
 * tables of the states are in call.c.
 */
#include <stdio.h>
#include "l2tp/internal.h"

static const char *state_name(const struct session *s)
{
	static const char *const names[] = { "asking",	     "wait-tunnel", "wait-reply",
					     "wait-connect", "established", "closing",
					     "idle",	     "gone" };

	if (s->state == L2TP_SS_WAIT_CONNECT && call_role(s) == CALL_ROLE_LAC_OUT)
		return "wait-cs-answer";
	return names[s->state];
}

const char *cdn_result_text(uint16_t result, uint16_t error)
{
	static const char *const results[] = {
		[L2TP_CDN_CARRIER] = "the peer lost the carrier",
		[L2TP_CDN_ADMIN] = "an administrator of the peer closed it",
		[L2TP_CDN_NO_FACILITIES] = "the peer has no room for it at present",
		[L2TP_CDN_NO_FACILITIES_EVER] = "the peer has no facilities for it",
		[L2TP_CDN_DESTINATION] = "the destination is invalid",
		[L2TP_CDN_NO_CARRIER] = "the peer found no carrier",
		[L2TP_CDN_BUSY] = "the peer found the line busy",
		[L2TP_CDN_NO_DIAL_TONE] = "the peer found no dial tone",
		[L2TP_CDN_TIMEOUT] = "the peer did not establish it in time",
		[L2TP_CDN_FRAMING] = "the peer found no suitable framing",
	};
	static const char *const errors[] = {
		[L2TP_ERR_NONE] = "the peer has an error that it does not name",
		[L2TP_ERR_NO_CONNECTION] = "the peer knows no control connection for it",
		[L2TP_ERR_LENGTH] = "the peer found a wrong length in a message of ours",
		[L2TP_ERR_VALUE] = "the peer found a wrong value in a message of ours",
		[L2TP_ERR_RESOURCES] = "the peer has no resources for it",
		[L2TP_ERR_SESSION_ID] = "the peer does not accept the session id",
		[L2TP_ERR_VENDOR] = "the peer has an error of its own kind",
		[L2TP_ERR_TRY_ANOTHER] = "the peer asks us to try another server",
		[L2TP_ERR_UNKNOWN_AVP] = "the peer does not know a mandatory AVP of ours",
	};

	if (result == L2TP_CDN_ERROR)
		return error < sizeof(errors) / sizeof(errors[0]) ? errors[error] : NULL;
	return result < sizeof(results) / sizeof(results[0]) ? results[result] : NULL;
}

const char *result_number_text(char text[L2TP_TEXT_MAX], uint16_t result, uint16_t error)
{
	if (!result)
		return NULL;
	snprintf(text, L2TP_TEXT_MAX, "the peer gives the result code %u, error code %u", result,
		 error);
	return text;
}

/* ---- messages in ---- */

/* CDN to the peer's session `remote_id`, which has none of ours. 0 or -ENOMEM. */
static int refuse(struct l2tp *l, struct tunnel *t, uint16_t remote_id, uint16_t result,
		  uint16_t error, const char *text)
{
	struct ending why = {
		.cause = ADIT_CAUSE_PROTOCOL_ERROR, .result = result, .error = error, .text = text
	};

	return call_refuse(l, t, 0, remote_id, &why);
}

static bool peer_frames(const struct tunnel *t, uint32_t framing)
{
	/* 0 is sent by some; what we did not advertise is refused (4.4.3, 6.8). */
	return framing == 0 || (framing & t->profile->p.framing);
}

/* A call that is welcome as far as the engine can tell: make its session and ask the owner. */
static int ask(struct l2tp *l, struct tunnel *t, const struct l2tp_msg *m)
{
	char calling[L2TP_NUMBER_MAX], called[L2TP_NUMBER_MAX], sub[L2TP_NUMBER_MAX];
	struct session *s;
	int rc = session_new(l, t, 0, &s);

	if (rc > 0)
		return refuse(l, t, m->session_id, L2TP_CDN_NO_FACILITIES, 0,
			      "all session ids are in use");
	if (rc < 0)
		return rc;
	s->outgoing = m->type == L2TP_OCRQ;
	engine_name(calling, sizeof(calling), m->calling);
	engine_name(called, sizeof(called), m->called);
	engine_name(sub, sizeof(sub), m->sub_address);
	rc = session_set_numbers(l, s, calling, called, sub);
	if (rc) {
		session_undo(l, s);
		return rc;
	}
	if (s->outgoing) {
		s->framing = m->framing_type;
		s->numbers->min_bps = m->min_bps;
		s->numbers->max_bps = m->max_bps;
		s->numbers->bearer = m->bearer_type;
	}
	session_key_remote(l, s, m->session_id);
	s->serial = m->serial;
	trace_put(l->trace, TRACE_L2TP_SESSION_ASK, l->now, s->handle, t->local_id, s->local_id,
		  s->remote_id, 0, NULL, 0);
	call_step(l, s, CE_REQUEST, NULL);
	tunnel_timer(l, t);
	return 0;
}

static int request_input(struct l2tp *l, struct tunnel *t, const struct l2tp_msg *m)
{
	if (call_by_remote(l, t, m->session_id))
		return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID,
			      "the Assigned Session ID (14) is in use in this tunnel");
	if (l->scarce)
		return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_RESOURCES,
			      engine_scarce);
	if (t->session_count - t->orphans >= t->profile->p.max_sessions ||
	    l->session_count >= l->cfg.max_sessions)
		return refuse(l, t, m->session_id, L2TP_CDN_NO_FACILITIES, 0,
			      "no more sessions are possible at present");
	return ask(l, t, m);
}

/* We said in our Bearer and Framing Capabilities what we can (4.4.3, 6.9). */
static int ocrq_input(struct l2tp *l, struct tunnel *t, const struct l2tp_msg *m)
{
	const struct l2tp_params *p = &t->profile->p;

	if (!(p->bearer & L2TP_CALL_MASK))
		return refuse(l, t, m->session_id, L2TP_CDN_NO_FACILITIES_EVER, 0,
			      "outgoing calls are not possible here");
	if (m->bearer_type && !(m->bearer_type & p->bearer))
		return refuse(l, t, m->session_id, L2TP_CDN_NO_FACILITIES_EVER, 0,
			      "Bearer Type AVP (18) asks for a line that was not offered");
	if (!peer_frames(t, m->framing_type))
		return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_VALUE,
			      "Framing Type AVP (19) asks for framing that was not offered");
	return request_input(l, t, m);
}

/* All proxy AVPs as they came, or none where there are more than anybody sends. 0 or -ENOMEM. */
static int keep_proxy(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	uint8_t bytes[L2TP_PROXY_MAX];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	for (unsigned i = 0; i < 8; i++) {
		if (l2tp_msg_has(m, 26 + i))
			wcur_tlv_bytes(&c, (uint16_t)(26 + i), m->proxy[i].p, m->proxy[i].n);
	}
	return c.bad ? 0 : session_set_proxy(l, s, bytes, c.len);
}

/* A message that this state does not expect ends the session (7.4). */
static void unexpected(struct l2tp *l, struct session *s, enum call_event ev,
		       const struct l2tp_msg *m)
{
	char text[L2TP_TEXT_MAX];
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = L2TP_CDN_ERROR,
			      .error = L2TP_ERR_VALUE,
			      .text = text };

	snprintf(text, sizeof(text), "%s in state %s", l2tp_type_name(m->type), state_name(s));
	call_step(l, s, ev, &why);
}

static void reply_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	if (s->initiator && s->state == L2TP_SS_WAIT_REPLY) {
		session_key_remote(l, s, m->session_id);
		call_step(l, s, CE_REPLY, NULL);
	} else {
		unexpected(l, s, CE_REPLY, m);
	}
}

static int connected_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	struct ending odd = {
		.cause = ADIT_CAUSE_PROTOCOL_ERROR,
		.result = L2TP_CDN_ERROR,
		.error = L2TP_ERR_VALUE,
		.text = "Framing Type AVP (19) asks for framing that was not offered"
	};

	/* Only the LNS of a call is told that it is connected. */
	if (call_is_lac(s) || s->state != L2TP_SS_WAIT_CONNECT) {
		unexpected(l, s, CE_CONNECTED, m);
		return 0;
	}
	if (!peer_frames(s->tunnel, m->framing_type)) {
		call_step(l, s, CE_CONNECTED_BAD, &odd);
		return 0;
	}
	if (keep_proxy(l, s, m) < 0)
		return -ENOMEM;
	s->tx_speed = m->tx_speed;
	s->rx_speed = l2tp_msg_has(m, 38) ? m->rx_speed : 0;
	s->framing = m->framing_type;
	s->ask_seq = l2tp_msg_has(m, 39);
	call_step(l, s, CE_CONNECTED, NULL);
	return 0;
}

static void cdn_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	char text[L2TP_TEXT_MAX];
	struct ending why = { .cause = ADIT_CAUSE_PEER_CLOSED_SESSION,
			      .result = m->result,
			      .error = m->error,
			      .text = text,
			      .by_peer = true };

	engine_name(text, sizeof(text), m->text);
	if (!text[0])
		why.text = cdn_result_text(m->result, m->error);
	if (!why.text)
		why.text = result_number_text(text, m->result, m->error);
	call_step(l, s, CE_CDN, &why);
}

static int wen_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	struct session_line *line = call_line(l, s);

	if (!line)
		return -ENOMEM;
	memcpy(line->got, m->call_errors, sizeof(line->got));
	call_step(l, s, CE_WEN, NULL);
	return 0;
}

static int sli_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	struct session_line *line = call_line(l, s);

	if (!line)
		return -ENOMEM;
	/* The masks of the LAC's line; who gets them from the wrong side keeps its own. */
	if (call_is_lac(s) && s->state == L2TP_SS_UP) {
		line->accm = true;
		line->send = m->accm_send;
		line->recv = m->accm_recv;
	}
	call_step(l, s, CE_SLI, NULL);
	return 0;
}

/* OCRQ, OCRP, OCCN in a session that an ICRQ began, or the other way round. */
static bool other_kind(const struct session *s, uint16_t type)
{
	if (type >= L2TP_OCRQ && type <= L2TP_OCCN)
		return !s->outgoing;
	return type >= L2TP_ICRQ && type <= L2TP_ICCN && s->outgoing;
}

static int known_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m,
		       const struct l2tp_verdict *v)
{
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = v->result,
			      .error = v->error,
			      .text = v->text };

	if (v->scope != L2TP_MSG_OK) {
		/* The CDN has to be addressed, if the id can be told. */
		if ((m->type == L2TP_ICRP || m->type == L2TP_OCRP) && !s->remote_id &&
		    m->session_id)
			session_key_remote(l, s, m->session_id);
		call_step(l, s, CE_BAD, &why);
		return 0;
	}
	if (other_kind(s, m->type)) {
		unexpected(l, s, CE_BAD, m);
		return 0;
	}
	switch (m->type) {
	case L2TP_ICRP:
	case L2TP_OCRP:
		reply_input(l, s, m);
		break;
	case L2TP_ICCN:
	case L2TP_OCCN:
		return connected_input(l, s, m);
	case L2TP_CDN:
		cdn_input(l, s, m);
		break;
	case L2TP_WEN:
		return wen_input(l, s, m);
	case L2TP_SLI:
		return sli_input(l, s, m);
	default:
		unexpected(l, s, CE_REQUEST, m);
		break;
	}
	return 0;
}

/* A message for a session that is not there. */
static int unknown_input(struct l2tp *l, struct tunnel *t, uint32_t session,
			 const struct l2tp_msg *m, const struct l2tp_verdict *v)
{
	switch (m->type) {
	case L2TP_ICRQ:
	case L2TP_OCRQ:
		if (v->scope != L2TP_MSG_OK)
			/* Also when its id could not be read: then the header says 0 (7.1). */
			return refuse(l, t, m->session_id, v->result, v->error, v->text);
		if (session)
			return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID,
				      "a request for a session id that does not exist");
		return m->type == L2TP_ICRQ ? request_input(l, t, m) : ocrq_input(l, t, m);
	case L2TP_ICRP:
	case L2TP_OCRP:
		/* We closed it while the answer was under way: the peer has our CDN (7.4.1). */
		if (!m->session_id || idmap_resting(l->session_ids, t->local_id, session))
			return 0;
		return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID,
			      "a reply for a session that was not asked for");
	}
	return 0; /* ICCN, OCCN, CDN, WEN, SLI: acknowledged, nothing to do */
}

int call_message(struct l2tp *l, struct tunnel *t, uint32_t session, const struct l2tp_msg *m,
		 const struct l2tp_verdict *v)
{
	struct session *s = NULL;

	if (session)
		s = idmap_find(l->session_ids, t->local_id, session);
	else if (m->type == L2TP_CDN && m->session_id)
		/* Sent before the peer knew our id: its own tells which (4.4.4). */
		s = call_by_remote(l, t, m->session_id);
	return s ? known_input(l, s, m, v) : unknown_input(l, t, session, m, v);
}

/* ---- messages out ---- */

static void build_number(struct l2tp_build *b, unsigned avp, const char *s)
{
	if (s[0])
		l2tp_build_bytes(b, avp, s, strlen(s));
}

/*
 * Never a framing that the peer did not offer (4.4.3). When it can do nothing of what was wanted it
 * gets what it can do: for PPP over a tunnel the word has no further meaning. A peer that offers
 * nothing at all does not mean that either.
 */
static uint32_t framing_for(const struct session *s)
{
	uint32_t theirs = s->tunnel->peer_framing & 3, both = s->framing & theirs;

	if (both)
		return both;
	return theirs ? theirs & -theirs : s->framing;
}

static void build_numbers(struct l2tp_build *b, const struct session *s)
{
	if (!s->numbers)
		return;
	/* The Called Number is what an OCRQ is about: there even when it is empty (6.9). */
	if (s->outgoing)
		l2tp_build_bytes(b, 21, s->numbers->text + s->numbers->called,
				 strlen(s->numbers->text + s->numbers->called));
	else
		build_number(b, 21, s->numbers->text + s->numbers->called);
	if (!s->outgoing)
		build_number(b, 22, s->numbers->text);
	build_number(b, 23, s->numbers->text + s->numbers->sub_address);
}

/* Bearer and framing of an OCRQ: of what the peer offers, what is wanted (4.4.4, 6.9). */
static uint32_t choose(uint32_t wanted, uint32_t offered)
{
	return (wanted ? wanted : L2TP_CALL_MASK) & offered & L2TP_CALL_MASK;
}

static void build_request(const struct session *s, struct l2tp_build *b)
{
	l2tp_build_u16(b, 14, s->local_id);
	l2tp_build_u32(b, 15, s->serial);
	if (s->outgoing) {
		l2tp_build_u32(b, 16, s->numbers->min_bps);
		l2tp_build_u32(b, 17, s->numbers->max_bps);
		l2tp_build_u32(b, 18, choose(s->numbers->bearer, s->tunnel->peer_bearer));
		l2tp_build_u32(b, 19, choose(s->framing, s->tunnel->peer_framing));
	}
	build_numbers(b, s);
}

static void build_connected(const struct session *s, struct l2tp_build *b)
{
	l2tp_build_u32(b, 24, s->tx_speed);
	l2tp_build_u32(b, 19, framing_for(s));
	if (s->rx_speed)
		l2tp_build_u32(b, 38, s->rx_speed);
	if (s->ask_seq)
		l2tp_build_bytes(b, 39, NULL, 0);
}

static void build_errors(struct l2tp *l, struct session *s, struct l2tp_build *b)
{
	uint8_t bytes[26];
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	wcur_u16(&c, 0);
	for (int i = 0; i < 6; i++)
		wcur_u32(&c, s->line->errors[i]);
	l2tp_build_bytes(b, 34, bytes, c.len);
	s->line->wen = false;
	s->line->wen_at = mono_add(l->now, L2TP_WEN_US);
}

static void build(struct l2tp *l, struct session *s, struct l2tp_build *b, uint8_t *buf)
{
	struct tunnel *t = s->tunnel;

	switch ((enum session_want)s->want) {
	case SEND_NOTHING:
		break;
	case SEND_REQUEST:
		tunnel_build(l, t, b, buf, s->outgoing ? L2TP_OCRQ : L2TP_ICRQ);
		build_request(s, b);
		break;
	case SEND_REPLY:
		tunnel_build(l, t, b, buf, s->outgoing ? L2TP_OCRP : L2TP_ICRP);
		l2tp_build_u16(b, 14, s->local_id);
		break;
	case SEND_CONNECTED:
		tunnel_build(l, t, b, buf, s->outgoing ? L2TP_OCCN : L2TP_ICCN);
		build_connected(s, b);
		break;
	case SEND_CDN:
		tunnel_build(l, t, b, buf, L2TP_CDN);
		l2tp_build_result(b, s->result ? s->result : L2TP_CDN_ADMIN, s->error, s->text);
		l2tp_build_u16(b, 14, s->local_id);
		break;
	case SEND_SLI:
		tunnel_build(l, t, b, buf, L2TP_SLI);
		l2tp_build_accm(b, s->line->send, s->line->recv);
		break;
	case SEND_WEN:
		tunnel_build(l, t, b, buf, L2TP_WEN);
		build_errors(l, s, b);
		break;
	}
}

/* An outgoing call that waited for its tunnel, whose peer turns out not to place such calls. */
static bool cannot(struct l2tp *l, struct tunnel *t, struct session *s)
{
	struct ending why = { .cause = ADIT_CAUSE_NO_DIAL_OUT };

	if (s->want != SEND_REQUEST || !s->outgoing)
		return false;
	why.text = call_cannot(t, s->numbers->bearer, s->framing);
	if (why.text)
		call_step(l, s, CE_CLOSE, &why);
	return why.text;
}

static void sent(struct l2tp *l, struct session *s, enum session_want what)
{
	call_want(l, s, SEND_NOTHING);
	switch (what) {
	case SEND_REQUEST:
		call_step(l, s, CE_TUNNEL, NULL);
		break;
	case SEND_CONNECTED:
	case SEND_CDN:
		call_step(l, s, CE_SENT, NULL);
		break;
	case SEND_REPLY:
		if (s->answered)
			call_want(l, s, SEND_CONNECTED);
		s->answered = false;
		break;
	case SEND_SLI:
	case SEND_WEN:
		thing_dirty(l, &s->thing);
		break;
	case SEND_NOTHING:
		break;
	}
}

int call_build_next(struct l2tp *l, struct tunnel *t)
{
	struct list *from = list_empty(&t->answers) ? &t->requests : &t->answers;
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp_build b;
	struct session *s;
	int rc;

	if (list_empty(from))
		return 1;
	s = container_of(from->next, struct session, send);
	if (cannot(l, t, s))
		return 0;
	build(l, s, &b, buf);
	rc = tunnel_push(l, t, &b, s->remote_id);
	if (rc < 0)
		return rc;
	sent(l, s, (enum session_want)s->want);
	return 0;
}
