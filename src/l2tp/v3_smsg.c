/* SPDX-License-Identifier: MIT
 *
 * Messages of L2TPv3 sessions (RFC 3931 6.6 to 6.14, 5.4.4, 5.4.5): what each one does to a
 * session, what we send, and the ties of sessions.
 *
 * A message names the receiver's session (Remote Session ID) and the sender's (Local Session ID).
 * Without the former, what the peer sent before it knew our id, the latter tells which; a pair that
 * does not belong together touches nothing.
 *
 * Ties (5.4.4): both sides asked for the same circuit. The lower tie breaker wins, whoever sent one
 * wins against one who did not, with none on either side both requests end. When the peer's wins,
 * our session goes on as its recipient, under another id since the old one is being refused there;
 * its owner has said already what it wants and need not be asked.
 */
#include <stdio.h>
#include "l2tp/v3_int.h"

static const char *state_name(const struct pw *s)
{
	static const char *const names[] = { "asking",	    "wait-control-conn",
					     "wait-reply",  "wait-connect",
					     "established", "closing",
					     "idle",	    "gone" };

	if (s->state == L2TP3_SS_WAIT_CONNECT && pw_role(s) == CALL_ROLE_LAC_OUT)
		return "wait-cs-answer";
	return names[s->state];
}

const char *cdn3_result_text(uint16_t result, uint16_t error)
{
	static const char *const results[] = {
		[L2TP3_CDN_TIE_LOST] = "the peer asks for the same circuit and its request won",
		[L2TP3_CDN_PW_TYPE] = "the peer does not support this type of pseudowire",
		[L2TP3_CDN_SEQ_NO_SUBLAYER] =
			"the peer finds that sequencing was asked for without a sublayer",
		[L2TP3_CDN_FSM] = "the peer did not expect a message of ours",
		[L2TP3_CDN_MTU] = "the peer's interface has another MTU",
		[L2TP3_CDN_NO_FORWARDER] = "the peer has no such end",
		[L2TP3_CDN_FORWARDER_DENIED] = "the peer does not let us have this end",
	};

	if (result < L2TP3_CDN_TIE_LOST)
		return cdn_result_text(result, error);
	return result < sizeof(results) / sizeof(results[0]) ? results[result] : NULL;
}

/* ---- what the peer says of its circuit ---- */

/* What is wrong with it: true and the codes. */
static bool circuit_wrong(const struct pw *s, const struct l2tp_msg *m, struct ending *ret)
{
	bool has = l2tp_msg_has(m, L2TP3_AVP_SUBLAYER);
	uint16_t sublayer = has ? m->sublayer : s->sublayer_out;

	*ret = (struct ending){ .cause = ADIT_CAUSE_PROTOCOL_ERROR,
				.result = L2TP_CDN_ERROR,
				.error = L2TP_ERR_VALUE };
	if (sublayer > L2TP3_SUBLAYER_DEFAULT) {
		ret->text = "the L2-Specific Sublayer AVP (69) asks for one that is not supported";
		return true;
	}
	if (l2tp_msg_has(m, L2TP3_AVP_SEQUENCING) && m->sequencing > L2TP3_SEQ_ALL) {
		ret->text = "the Data Sequencing AVP (70) has a level that does not exist";
		return true;
	}
	if (l2tp_msg_has(m, L2TP3_AVP_SEQUENCING) && m->sequencing && !sublayer) {
		ret->result = L2TP3_CDN_SEQ_NO_SUBLAYER;
		ret->error = 0;
		ret->text = "the Data Sequencing AVP (70) came without a sublayer to carry it";
		return true;
	}
	if (l2tp_msg_has(m, L2TP3_AVP_MTU) && s->mtu && m->mtu && m->mtu != s->mtu) {
		ret->cause = ADIT_CAUSE_CONFIG;
		ret->result = L2TP3_CDN_MTU;
		ret->error = 0;
		ret->text = "the Interface MTU AVP (91) is not that of our interface";
		return true;
	}
	return false;
}

static uint16_t status_of(const struct l2tp_msg *m)
{
	return m->circuit & (uint16_t)~L2TP3_STATUS_NEW;
}

static int keep_speeds(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	struct pw_line *line;

	if (!l2tp_msg_has(m, L2TP3_AVP_TX_SPEED) && !l2tp_msg_has(m, L2TP3_AVP_RX_SPEED))
		return 0;
	line = pw_line(l, s);
	if (!line)
		return -ENOMEM;
	if (l2tp_msg_has(m, L2TP3_AVP_TX_SPEED))
		line->peer_tx_speed = m->tx_speed3;
	if (l2tp_msg_has(m, L2TP3_AVP_RX_SPEED))
		line->peer_rx_speed = m->rx_speed3;
	return 0;
}

/* Nothing of it was found wrong. 0 or -ENOMEM. */
static int keep_circuit(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	if (keep_speeds(l, s, m) < 0)
		return -ENOMEM;
	if (l2tp_msg_has(m, L2TP3_AVP_COOKIE)) {
		s->cookie_out_len = (uint8_t)m->cookie.n;
		if (m->cookie.n)
			memcpy(s->cookie_out, m->cookie.p, m->cookie.n);
	}
	if (l2tp_msg_has(m, L2TP3_AVP_SUBLAYER))
		s->sublayer_out = (uint8_t)m->sublayer;
	if (l2tp_msg_has(m, L2TP3_AVP_SEQUENCING))
		s->seq_out = (uint8_t)m->sequencing;
	if (l2tp_msg_has(m, L2TP3_AVP_CIRCUIT))
		s->remote_status = status_of(m);
	if (l2tp_msg_has(m, L2TP3_AVP_MTU))
		s->peer_mtu = m->mtu;
	return 0;
}

/* ---- requests ---- */

/* CDN to the peer's session `remote_id`, which has none of ours. 0 or -ENOMEM. */
static int refuse(struct l2tp3 *l, struct conn *c, uint32_t remote_id, uint16_t result,
		  uint16_t error, const char *text)
{
	struct ending why = {
		.cause = ADIT_CAUSE_PROTOCOL_ERROR, .result = result, .error = error, .text = text
	};

	return pw_refuse(l, c, 0, remote_id, &why);
}

/* A request that is welcome as far as the engine can tell: make its session and ask the owner. */
static int ask(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m)
{
	struct pw *s;
	int rc = pw_new(l, c, 0, &s);

	if (rc > 0)
		return refuse(l, c, m->local_id, L2TP_CDN_NO_FACILITIES, 0,
			      "all session ids are in use");
	if (rc < 0)
		return rc;
	rc = pw_set_ends(l, s, m->end_id, m->local_end, m->group3);
	if (!rc)
		rc = keep_circuit(l, s, m);
	if (rc) {
		pw_undo(l, s);
		return rc;
	}
	s->outgoing = m->type == L2TP_OCRQ;
	s->type = m->pw_type;
	s->serial = m->serial;
	pw_key_remote(l, s, m->local_id);
	trace_put(l->trace, TRACE_L2TP3_SESSION_ASK, l->now, s->handle, c->local_id, s->local_id,
		  s->remote_id, 0, NULL, 0);
	pw_step(l, s, CE_REQUEST, NULL);
	conn_timer(l, c);
	return 0;
}

/* ---- ties ---- */

/* Our session becomes the recipient of the peer's request. 0 or -ENOMEM: the request is not taken.
 */
static int tie_lost(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	struct conn *c = s->conn;
	struct ending wrong;
	int rc;

	if (circuit_wrong(s, m, &wrong))
		return pw_refuse(l, c, 0, m->local_id, &wrong);
	/* The peer knows the old id from the request that it refuses now. */
	if (s->state == L2TP3_SS_WAIT_REPLY) {
		rc = pw_new_id(l, s);
		if (rc)
			return rc < 0 ? rc
				      : refuse(l, c, m->local_id, L2TP_CDN_NO_FACILITIES, 0,
					       "all session ids are in use");
	}
	rc = keep_circuit(l, s, m);
	if (rc)
		return rc;
	trace(l->trace, TRACE_L2TP3_SESSION_TIE_LOST, l->now, s->handle, c->local_id, s->local_id);
	pw_want(l, s, SEND_NOTHING);
	pw_watch_end(l, s, false);
	s->initiator = false;
	s->serial = m->serial;
	s->state = L2TP3_SS_ASKING;
	(void)pw_mirror(s);
	pw_key_remote(l, s, m->local_id);
	pw_step(l, s, CE_ACCEPT, NULL);
	return 0;
}

/* Equal values: theirs is refused, ours is made anew with another one (5.4.4). */
static int tie_equal(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	struct ending loop = { .cause = ADIT_CAUSE_LOOP,
			       .result = L2TP3_CDN_TIE_LOST,
			       .text = "both sides send the same tie breakers" };

	if (++s->equal > L2TP3_RESTARTS || pw_new_id(l, s) != 0) {
		pw_step(l, s, CE_CLOSE, &loop);
		return pw_refuse(l, s->conn, 0, m->local_id, &loop);
	}
	trace(l->trace, TRACE_L2TP3_SESSION_TIE_EQUAL, l->now, s->handle, s->conn->local_id,
	      s->local_id);
	rng_bytes(&l->rng, &s->tie, sizeof(s->tie));
	heap_clear(&l->session_timers, &s->timer);
	s->state = L2TP_SS_IDLE;
	pw_step(l, s, CE_OPEN, NULL);
	return refuse(l, s->conn, m->local_id, L2TP3_CDN_TIE_LOST, 0,
		      "both sides sent the same session tie breaker");
}

/* Does the peer's request for the circuit of our session win? */
static bool tie_is_theirs(const struct pw *s, const struct l2tp_msg *m)
{
	/* Ours was not sent yet: there is nothing to lose. */
	return s->state == L2TP3_SS_WAIT_CONN ||
	       (l2tp_msg_has(m, L2TP3_AVP_TIE) && (!s->has_tie || m->tie < s->tie));
}

/* Both asked for this circuit. 0 or -ENOMEM. */
static int tie_settle(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	struct ending none = { .cause = ADIT_CAUSE_TIE_LOST,
			       .result = L2TP3_CDN_TIE_LOST,
			       .text = "both sides ask for this circuit without tie breakers" };
	bool theirs = l2tp_msg_has(m, L2TP3_AVP_TIE);

	if (tie_is_theirs(s, m))
		return tie_lost(l, s, m);
	if (!theirs && !s->has_tie) {
		struct conn *c = s->conn;

		pw_step(l, s, CE_CLOSE, &none);
		return pw_refuse(l, c, 0, m->local_id, &none);
	}
	if (theirs && s->has_tie && s->tie == m->tie)
		return tie_equal(l, s, m);
	trace(l->trace, TRACE_L2TP3_SESSION_TIE_WON, l->now, s->handle, s->conn->local_id,
	      s->local_id);
	return refuse(l, s->conn, m->local_id, L2TP3_CDN_TIE_LOST, 0,
		      "this circuit was asked for already, with the lower tie breaker");
}

static int request_input(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m)
{
	struct ending lost = { .cause = ADIT_CAUSE_TIE_LOST, .result = L2TP3_CDN_TIE_LOST };
	struct pw fresh = { .mtu = 0 };
	struct ending wrong;
	struct pw *ours;

	if (m->remote_id)
		return refuse(l, c, m->local_id, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID,
			      "a request for a session id that does not exist");
	for (unsigned i = 0;; i++) {
		if (i == L2TP3_PW_TYPES_MAX)
			return refuse(l, c, m->local_id, L2TP3_CDN_PW_TYPE, 0,
				      "this Pseudowire Type (68) is not in our capabilities");
		if (m->pw_type && c->profile->p.pw_types[i] == m->pw_type)
			break;
	}
	if (m->end_id.n > L2TP3_END_ID_MAX || m->local_end.n > L2TP3_END_ID_MAX ||
	    m->group3.n > L2TP3_END_ID_MAX)
		return refuse(l, c, m->local_id, L2TP3_CDN_NO_FORWARDER, 0,
			      "an end id is longer than any here");
	ours = pw_by_end(l, c, m);
	if (ours && ours->outgoing != (m->type == L2TP_OCRQ))
		ours = NULL;
	if (ours && !(ours->outgoing && tie_is_theirs(ours, m)))
		return tie_settle(l, ours, m);
	if (l->scarce)
		return refuse(l, c, m->local_id, L2TP_CDN_ERROR, L2TP_ERR_RESOURCES, engine_scarce);
	if (circuit_wrong(&fresh, m, &wrong))
		return pw_refuse(l, c, 0, m->local_id, &wrong);
	if (ours) /* an outgoing call of theirs is for our owner to place: it is another session */
		pw_step(l, ours, CE_CLOSE, &lost);
	if ((c->profile->p.max_sessions &&
	     c->session_count - c->orphans >= c->profile->p.max_sessions) ||
	    l->session_count >= l->max_sessions)
		return refuse(l, c, m->local_id, L2TP_CDN_NO_FACILITIES, 0,
			      "no more sessions are possible at present");
	return ask(l, c, m);
}

/* ---- messages in ---- */

/* A message that this state does not expect ends the session (7.3, 7.4). */
static void unexpected(struct l2tp3 *l, struct pw *s, enum call_event ev, const struct l2tp_msg *m)
{
	char text[L2TP_TEXT_MAX];
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = L2TP3_CDN_FSM,
			      .text = text };
	const char *name = l2tp3_type_name(m->type);

	snprintf(text, sizeof(text), "%s in state %s", name ? name : "message", state_name(s));
	pw_step(l, s, ev, &why);
}

static int reply_input(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	struct ending wrong;

	if (!s->initiator || s->state != L2TP3_SS_WAIT_REPLY) {
		unexpected(l, s, CE_REPLY, m);
		return 0;
	}
	pw_key_remote(l, s, m->local_id);
	if (circuit_wrong(s, m, &wrong)) {
		pw_step(l, s, CE_REPLY_BAD, &wrong);
		return 0;
	}
	if (keep_circuit(l, s, m) < 0)
		return -ENOMEM;
	/* For a data plane with one setting for both directions: ICCN can still ask for it. */
	if (!s->outgoing)
		s->mirrored = pw_mirror(s);
	pw_step(l, s, CE_REPLY, NULL);
	return 0;
}

static int connected_input(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	/* Who is told that a session is connected: the recipient of ICRQ, the sender of OCRQ. */
	bool told = s->initiator == s->outgoing;
	struct ending wrong;

	if (!told || s->state != L2TP3_SS_WAIT_CONNECT) {
		unexpected(l, s, CE_CONNECTED, m);
		return 0;
	}
	if (circuit_wrong(s, m, &wrong)) {
		pw_step(l, s, CE_CONNECTED_BAD, &wrong);
		return 0;
	}
	if (keep_circuit(l, s, m) < 0)
		return -ENOMEM;
	pw_step(l, s, CE_CONNECTED, NULL);
	return 0;
}

static void cdn_input(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	char text[L2TP_TEXT_MAX];
	struct ending why = { .cause = ADIT_CAUSE_PEER_CLOSED_SESSION,
			      .result = m->result,
			      .error = m->error,
			      .text = text,
			      .by_peer = true };

	engine_name(text, sizeof(text), m->text);
	if (!text[0])
		why.text = cdn3_result_text(m->result, m->error);
	/* Its own request is on its way, or is ours by now. */
	if (m->result == L2TP3_CDN_TIE_LOST)
		why.cause = ADIT_CAUSE_TIE_LOST;
	if (m->result == L2TP3_CDN_PW_TYPE)
		why.cause = ADIT_CAUSE_PW_TYPE;
	pw_step(l, s, CE_CDN, &why);
}

static int wen_input(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	struct pw_line *line = pw_line(l, s);

	if (!line)
		return -ENOMEM;
	memcpy(line->got, m->call_errors, sizeof(line->got));
	if (s->state == L2TP3_SS_UP)
		v3_news(l, &s->thing, NEWS_ERRORS);
	v3_dirty(l, &s->thing);
	return 0;
}

/* 6.14: also before the session is established. */
static void sli_input(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m)
{
	if (!l2tp_msg_has(m, L2TP3_AVP_CIRCUIT) || s->remote_status == status_of(m))
		return;
	s->remote_status = status_of(m);
	v3_dirty(l, &s->thing);
	trace_put(l->trace, TRACE_L2TP3_SESSION_STATUS, l->now, s->handle, s->conn->local_id,
		  s->local_id, s->remote_status, 0, NULL, 0);
	if (s->state == L2TP3_SS_UP)
		v3_news(l, &s->thing, NEWS_STATUS);
}

/* OCRQ, OCRP, OCCN in a session that an ICRQ began, or the other way round. */
static bool other_kind(const struct pw *s, uint16_t type)
{
	if (type >= L2TP_OCRQ && type <= L2TP_OCCN)
		return !s->outgoing;
	return type >= L2TP_ICRQ && type <= L2TP_ICCN && s->outgoing;
}

static int known_input(struct l2tp3 *l, struct pw *s, const struct l2tp_msg *m,
		       const struct l2tp_verdict *v)
{
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = v->result,
			      .error = v->error,
			      .text = v->text };

	if (s->state >= L2TP3_SS_CLOSING && m->type != L2TP_CDN)
		return 0;
	if (v->scope != L2TP_MSG_OK) {
		/* The CDN has to be addressed, if the id can be told. */
		if ((m->type == L2TP_ICRP || m->type == L2TP_OCRP) && !s->remote_id && m->local_id)
			pw_key_remote(l, s, m->local_id);
		pw_step(l, s, CE_BAD, &why);
		return 0;
	}
	if (other_kind(s, m->type)) {
		unexpected(l, s, CE_BAD, m);
		return 0;
	}
	switch (m->type) {
	case L2TP_ICRP:
	case L2TP_OCRP:
		return reply_input(l, s, m);
	case L2TP_ICCN:
	case L2TP_OCCN:
		return connected_input(l, s, m);
	case L2TP_CDN:
		cdn_input(l, s, m);
		break;
	case L2TP_WEN:
		return wen_input(l, s, m);
	case L2TP_SLI:
		sli_input(l, s, m);
		break;
	default:
		unexpected(l, s, CE_REQUEST, m);
		break;
	}
	return 0;
}

/* A message for a session that is not there. */
static int unknown_input(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m,
			 const struct l2tp_verdict *v)
{
	switch (m->type) {
	case L2TP_ICRQ:
	case L2TP_OCRQ:
		if (v->scope != L2TP_MSG_OK)
			return refuse(l, c, m->local_id, v->result, v->error, v->text);
		return request_input(l, c, m);
	case L2TP_ICRP:
	case L2TP_OCRP:
		/* We closed it while the answer was under way: the peer has our CDN. */
		if (!m->local_id || idmap_resting(l->session_ids, 0, m->remote_id))
			return 0;
		return refuse(l, c, m->local_id, L2TP3_CDN_FSM, 0,
			      "a reply for a session that was not asked for");
	}
	return 0; /* ICCN, OCCN, CDN, WEN, SLI: acknowledged, nothing to do */
}

int pw_message(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m,
	       const struct l2tp_verdict *v)
{
	struct pw *s = NULL;

	if (m->remote_id) {
		s = pw_find(l, m->remote_id);
		if (s && s->conn != c)
			s = NULL;
		/* Its own id in the same message is another session's. */
		if (s && s->remote_id && m->local_id && s->remote_id != m->local_id)
			return 0;
	} else if (m->local_id) {
		s = pw_by_remote(l, c, m->local_id);
	}
	return s ? known_input(l, s, m, v) : unknown_input(l, c, m, v);
}

/* ---- messages out ---- */

static void build_ids(const struct pw *s, struct l2tp_build *b)
{
	l2tp_build_u32(b, L2TP3_AVP_LOCAL_SESSION, s->local_id);
	l2tp_build_u32(b, L2TP3_AVP_REMOTE_SESSION, s->remote_id);
}

static void build_part(struct l2tp_build *b, unsigned int avp, struct l2tp_bytes v)
{
	if (v.n)
		l2tp_build_bytes(b, avp, v.p, v.n);
}

/* What request and reply say of our circuit. */
static void build_circuit(struct pw *s, struct l2tp_build *b)
{
	l2tp_build_u16(b, L2TP3_AVP_CIRCUIT, s->local_status | L2TP3_STATUS_NEW);
	s->status_told = true;
	if (s->cookie_in_len)
		l2tp_build_bytes(b, L2TP3_AVP_COOKIE, s->cookie_in, s->cookie_in_len);
	if (s->sublayer_in)
		l2tp_build_u16(b, L2TP3_AVP_SUBLAYER, s->sublayer_in);
	if (s->seq_in)
		l2tp_build_u16(b, L2TP3_AVP_SEQUENCING, s->seq_in);
	if (s->mtu)
		l2tp_build_u16(b, L2TP3_AVP_MTU, s->mtu);
	if (!s->line)
		return;
	if (s->line->tx_speed)
		l2tp_build_u64(b, L2TP3_AVP_TX_SPEED, s->line->tx_speed);
	if (s->line->rx_speed)
		l2tp_build_u64(b, L2TP3_AVP_RX_SPEED, s->line->rx_speed);
	if (s->line->channel_id)
		l2tp_build_u32(b, L2TP3_AVP_CHANNEL_ID, s->line->channel_id);
}

static void build_request(struct pw *s, struct l2tp_build *b)
{
	struct l2tp_bytes remote, local, group;

	pw_get_ends(s, &remote, &local, &group);
	l2tp_build_u32(b, L2TP3_AVP_SERIAL, s->serial);
	l2tp_build_u16(b, L2TP3_AVP_PW_TYPE, s->type);
	build_part(b, L2TP3_AVP_END_ID, remote);
	build_part(b, L2TP3_AVP_LOCAL_END, local);
	build_part(b, L2TP3_AVP_GROUP, group);
	if (s->has_tie)
		l2tp_build_u64(b, L2TP3_AVP_TIE, s->tie);
	build_circuit(s, b);
}

static void build_connected(struct pw *s, struct l2tp_build *b)
{
	if (s->mirrored)
		l2tp_build_u16(b, L2TP3_AVP_SUBLAYER, s->sublayer_in);
	if (s->mirrored && s->seq_in)
		l2tp_build_u16(b, L2TP3_AVP_SEQUENCING, s->seq_in);
	if (!s->status_told)
		l2tp_build_u16(b, L2TP3_AVP_CIRCUIT, s->local_status);
	s->status_told = true;
}

static void build_errors(struct l2tp3 *l, struct pw *s, struct l2tp_build *b)
{
	l2tp3_build_errors(b, s->line->errors);
	s->line->wen = false;
	s->line->wen_at = mono_add(l->now, L2TP_WEN_US);
}

static uint16_t type_of(const struct pw *s)
{
	switch ((enum session_want)s->want) {
	case SEND_NOTHING:
		break;
	case SEND_REQUEST:
		return s->outgoing ? L2TP_OCRQ : L2TP_ICRQ;
	case SEND_REPLY:
		return s->outgoing ? L2TP_OCRP : L2TP_ICRP;
	case SEND_CONNECTED:
		return s->outgoing ? L2TP_OCCN : L2TP_ICCN;
	case SEND_CDN:
		return L2TP_CDN;
	case SEND_SLI:
		return L2TP_SLI;
	case SEND_WEN:
		return L2TP_WEN;
	}
	return L2TP_ZLB;
}

static void build(struct l2tp3 *l, struct pw *s, struct l2tp_build *b, uint8_t *buf)
{
	conn_build(l, s->conn, b, buf, type_of(s));
	if (s->want == SEND_CDN)
		l2tp_build_result(b, s->result ? s->result : L2TP_CDN_ADMIN, s->error, s->text);
	build_ids(s, b);
	s->named = s->named || s->want != SEND_CDN;
	switch ((enum session_want)s->want) {
	case SEND_NOTHING:
	case SEND_CDN:
		break;
	case SEND_REQUEST:
		build_request(s, b);
		break;
	case SEND_REPLY:
		build_circuit(s, b);
		break;
	case SEND_CONNECTED:
		build_connected(s, b);
		break;
	case SEND_SLI:
		l2tp_build_u16(b, L2TP3_AVP_CIRCUIT, s->local_status);
		s->status_told = true;
		break;
	case SEND_WEN:
		build_errors(l, s, b);
		break;
	}
}

/* It waited for its connection, whose peer turns out not to know the type (5.4.4). */
static bool cannot(struct l2tp3 *l, struct conn *c, struct pw *s)
{
	struct ending why = {
		.cause = ADIT_CAUSE_PW_TYPE,
		.result = L2TP3_CDN_PW_TYPE,
		.text = "the type is not in the peer's Pseudowire Capabilities List"
	};

	if (s->want != SEND_REQUEST || conn_peer_has(c, s->type))
		return false;
	pw_step(l, s, CE_CLOSE, &why);
	return true;
}

/* What else has changed while the last message waited. */
static void want_rest(struct l2tp3 *l, struct pw *s)
{
	bool reached =
		s->state == L2TP3_SS_UP || (s->state == L2TP3_SS_WAIT_CONNECT && !s->initiator);

	if (s->want != SEND_NOTHING || !reached)
		return;
	if (!s->status_told)
		pw_want(l, s, SEND_SLI);
	else if (s->line && s->line->wen && s->state == L2TP3_SS_UP &&
		 mono_due(s->line->wen_at, l->now))
		pw_want(l, s, SEND_WEN);
}

static void sent(struct l2tp3 *l, struct pw *s, enum session_want what)
{
	pw_want(l, s, SEND_NOTHING);
	switch (what) {
	case SEND_REQUEST:
		pw_step(l, s, CE_TUNNEL, NULL);
		break;
	case SEND_CONNECTED:
		pw_step(l, s, CE_SENT, NULL);
		want_rest(l, s);
		break;
	case SEND_CDN:
		pw_step(l, s, CE_SENT, NULL);
		break;
	case SEND_REPLY:
		if (s->answered)
			pw_want(l, s, SEND_CONNECTED);
		s->answered = false;
		want_rest(l, s);
		break;
	case SEND_SLI:
	case SEND_WEN:
		v3_dirty(l, &s->thing);
		want_rest(l, s);
		break;
	case SEND_NOTHING:
		break;
	}
}

int pw_build_next(struct l2tp3 *l, struct conn *c)
{
	struct list *from = list_empty(&c->answers) ? &c->requests : &c->answers;
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp_build b;
	struct pw *s;
	int rc;

	if (list_empty(from))
		return 1;
	s = container_of(from->next, struct pw, send);
	if (cannot(l, c, s))
		return 0;
	build(l, s, &b, buf);
	rc = conn_push(l, c, &b);
	if (rc < 0)
		return rc;
	sent(l, s, (enum session_want)s->want);
	return 0;
}
