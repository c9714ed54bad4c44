/* SPDX-License-Identifier: MIT
 *
 * Sessions (RFC 2661 5.2, 5.6, 6.6 to 6.8, 6.12 to 6.14, 7.4): a table for each role, what each
 * message does, what we send. Whoever sends the ICRQ plays the LAC of that call; one tunnel may
 * have calls of both kinds.
 *
 * A session wants to send at most one message: what was not sent yet when the next one is due is
 * not worth sending any more (a CDN takes the place of an ICRP). Sessions with an answer stand in
 * `answers`, those with a request in `requests`; answers go first, so that a queue of a thousand
 * new calls delays no acknowledgement and no CDN.
 *
 * A call that is refused without the owner (no room, bad ids) is a session without local id whose
 * only purpose is its CDN (`orphan`).
 */
#include <stdio.h>
#include "l2tp/internal.h"

/*
 * RFC 2661 7.4.1 and 7.4.2 as tables. Differences from the text: WAIT_TUNNEL is also the time until
 * the window has room for the ICRQ; ASKING is idle while the owner thinks; CLOSING is idle while
 * the CDN waits for room. A LAC that gets an ICRP for a call it does not know any more sends
 * nothing, an unknown one is refused (call_unknown()).
 */
/* clang-format off */
#define CDN  { L2TP_SS_CLOSING, CA_CDN | CA_END }
#define DROP { L2TP_SS_DEAD, CA_END | CA_FINISH }
#define GONE { L2TP_SS_DEAD, CA_FINISH }
#define NONE { TS_SAME, 0 }
#define STAY(state, act) { L2TP_SS_##state, act }
const struct tunnel_row call_table[2][CE_COUNT][L2TP_SS_DEAD] = {
	/* LNS: the peer sent the ICRQ (7.4.2) */
	[0] = {
	/* state:          ASKING  WAIT_TUNNEL  WAIT_REPLY  WAIT_CONNECT  UP  CLOSING  IDLE */
	[CE_OPEN] = {      NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_TUNNEL] = {    NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_ICRQ] = {      CDN,  NONE, NONE, CDN,  CDN,  NONE, { L2TP_SS_ASKING, CA_ASK | CA_TIMER } },
	[CE_ACCEPT] = {    { L2TP_SS_WAIT_CONNECT, CA_ICRP | CA_TIMER },
				 NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_ICRP] = {      CDN,  NONE, NONE, CDN,  CDN,  NONE, { L2TP_SS_CLOSING, CA_CDN } },
	[CE_ICRP_BAD] = {  CDN,  NONE, NONE, CDN,  CDN,  NONE, { L2TP_SS_CLOSING, CA_CDN } },
	[CE_ICCN] = {      CDN,  NONE, NONE, { L2TP_SS_UP, CA_UP },
						   CDN,  NONE, NONE },
	[CE_ICCN_BAD] = {  CDN,  NONE, NONE, CDN,  CDN,  NONE, NONE },
	[CE_CDN] = {       DROP, NONE, NONE, DROP, DROP, GONE, NONE },
	[CE_SLI] = {       NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_WEN] = {       NONE, NONE, NONE, NONE, STAY(UP, CA_ERRORS), NONE, NONE },
	[CE_BAD] = {       CDN,  NONE, NONE, CDN,  CDN,  NONE, { L2TP_SS_CLOSING, CA_CDN } },
	[CE_CLOSE] = {     CDN,  NONE, NONE, CDN,  CDN,  NONE, NONE },
	[CE_EXPIRED] = {   CDN,  NONE, NONE, CDN,  NONE, NONE, NONE },
	[CE_SENT] = {      NONE, NONE, NONE, NONE, NONE, GONE, NONE },
	},
	/* LAC: we send the ICRQ (7.4.1) */
	[1] = {
	/* state:          ASKING  WAIT_TUNNEL  WAIT_REPLY  WAIT_CONNECT  UP  CLOSING  IDLE */
	[CE_OPEN] = {      NONE, NONE, NONE, NONE, NONE, NONE, { L2TP_SS_WAIT_TUNNEL, CA_QUEUE } },
	[CE_TUNNEL] = {    NONE, { L2TP_SS_WAIT_REPLY, CA_TIMER },
				       NONE, NONE, NONE, NONE, NONE },
	[CE_ICRQ] = {      NONE, NONE, CDN,  NONE, CDN,  NONE, NONE },
	[CE_ACCEPT] = {    NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_ICRP] = {      NONE, NONE, { L2TP_SS_UP, CA_ICCN | CA_UP },
					     NONE, CDN,  NONE, NONE },
	[CE_ICRP_BAD] = {  NONE, NONE, CDN,  NONE, CDN,  NONE, NONE },
	[CE_ICCN] = {      NONE, NONE, DROP, NONE, CDN,  NONE, NONE },
	[CE_ICCN_BAD] = {  NONE, NONE, DROP, NONE, CDN,  NONE, NONE },
	[CE_CDN] = {       NONE, NONE, DROP, NONE, DROP, GONE, NONE },
	[CE_SLI] = {       NONE, NONE, NONE, NONE, STAY(UP, CA_ACCM), NONE, NONE },
	[CE_WEN] = {       NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_BAD] = {       NONE, NONE, CDN,  NONE, CDN,  NONE, NONE },
	[CE_CLOSE] = {     NONE, DROP, CDN,  NONE, CDN,  NONE, NONE },
	[CE_EXPIRED] = {   NONE, DROP, CDN,  NONE, NONE, NONE, NONE },
	[CE_SENT] = {      NONE, NONE, NONE, NONE, NONE, GONE, NONE },
	},
};
#undef CDN
#undef DROP
#undef GONE
#undef NONE
#undef STAY
/* clang-format on */

static const char *state_name(unsigned state)
{
	static const char *const names[] = { "asking",	     "wait-tunnel", "wait-reply",
					     "wait-connect", "established", "closing",
					     "idle",	     "gone" };

	return names[state];
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

/* ---- making and freeing ---- */

static uint64_t remote_hash(const struct l2tp *l, const struct tunnel *t, uint16_t remote_id)
{
	uint32_t key = (uint32_t)t->local_id << 16 | remote_id;

	return htab_hash(&l->by_remote, &key, sizeof(key));
}

void session_key_remote(struct l2tp *l, struct session *s, uint16_t remote_id)
{
	if (s->in_remote)
		htab_drop(&l->by_remote, &s->by_remote);
	s->remote_id = remote_id;
	s->in_remote = remote_id != 0;
	if (s->in_remote)
		htab_put(&l->by_remote, &s->by_remote, remote_hash(l, s->tunnel, remote_id));
}

static struct session *find_remote(struct l2tp *l, const struct tunnel *t, uint16_t remote_id)
{
	struct htab_node *n = htab_find(&l->by_remote, remote_hash(l, t, remote_id));

	for (; n; n = htab_next(n)) {
		struct session *s = container_of(n, struct session, by_remote);

		if (s->remote_id == remote_id && s->tunnel == t)
			return s;
	}
	return NULL;
}

/* Without an id when `id` is not wanted. `local_id` 0: choose one. */
static int make(struct l2tp *l, struct tunnel *t, bool with_id, uint16_t local_id,
		struct session **ret)
{
	struct session *s;
	uint32_t id = local_id;
	adit_handle h;
	int rc = 0;

	if (htab_reserve(&l->by_remote) < 0 ||
	    heap_reserve(&l->session_timers, pool_count(l->sessions) + 1) < 0)
		return -ENOMEM;
	s = pool_take(l->sessions, &h);
	if (!s)
		return -ENOMEM;
	if (with_id)
		rc = local_id ? idmap_put(l->session_ids, t->local_id, id, s)
			      : idmap_take(l->session_ids, t->local_id, s, &id);
	if (rc) {
		pool_give(l->sessions, h);
		return rc;
	}
	thing_init(&s->thing, L2TP_OBJ_SESSION);
	s->handle = h;
	s->tunnel = t;
	s->local_id = with_id ? (uint16_t)id : 0;
	s->state = L2TP_SS_IDLE;
	s->since = l->now;
	s->orphan = !with_id;
	list_init(&s->send);
	list_push(&t->sessions, &s->link);
	t->session_count++;
	t->orphans += s->orphan;
	l->session_count++;
	t->empty_at = MONO_NEVER;
	*ret = s;
	return 0;
}

int session_new(struct l2tp *l, struct tunnel *t, uint16_t local_id, struct session **ret)
{
	return make(l, t, true, local_id, ret);
}

static void leave_queue(struct session *s)
{
	if (s->want != SEND_NOTHING)
		s->tunnel->queued--;
	s->want = SEND_NOTHING;
	list_drop(&s->send);
}

/* Leave the tunnel and all tables; the object itself stays. */
static void detach(struct l2tp *l, struct session *s)
{
	struct tunnel *t = s->tunnel;

	if (!t)
		return;
	if (s->in_remote)
		htab_drop(&l->by_remote, &s->by_remote);
	s->in_remote = false;
	if (s->local_id && !s->orphan)
		idmap_drop(l->session_ids, t->local_id, s->local_id, l->now);
	list_drop(&s->link);
	leave_queue(s);
	heap_clear(&l->session_timers, &s->timer);
	t->session_count--;
	t->orphans -= s->orphan;
	l->session_count--;
}

static void release(struct l2tp *l, struct session *s)
{
	if (s->numbers)
		engine_release(l, s->numbers, sizeof(*s->numbers) + s->numbers->size);
	if (s->proxy)
		engine_release(l, s->proxy, sizeof(*s->proxy) + s->proxy->len);
	s->numbers = NULL;
	s->proxy = NULL;
	engine_text_free(l, &s->text);
}

void session_free(struct l2tp *l, struct session *s)
{
	if (!s->thing.finished)
		detach(l, s);
	list_drop(&s->send); /* dead_sessions */
	list_drop(&s->link);
	thing_quit(&s->thing);
	release(l, s);
	pool_give(l->sessions, s->handle);
}

void session_undo(struct l2tp *l, struct session *s)
{
	struct tunnel *t = s->tunnel;

	session_free(l, s);
	tunnel_empty(l, t);
}

/*
 * The automaton is done with it. Until the owner has taken its DOWN event it stays with its tunnel
 * (which is told first where they end together), but nothing finds it any more.
 */
void session_finish(struct l2tp *l, struct session *s)
{
	struct tunnel *t = s->tunnel;

	if (s->thing.finished)
		return;
	detach(l, s);
	s->thing.finished = true;
	list_push(&l->dead_sessions, &s->send);
	if (s->thing.recorded)
		thing_dirty(l, &s->thing);
	if (s->thing.known)
		list_push(&t->sessions, &s->link);
	else
		s->tunnel = NULL;
	tunnel_empty(l, t);
}

void session_reap(struct l2tp *l, struct session *s)
{
	struct tunnel *t = s->tunnel;

	if (!s->thing.finished || s->thing.known)
		return;
	/* Told: the tunnel need not wait for it, only the record may be left. */
	if (t) {
		list_drop(&s->link);
		s->tunnel = NULL;
		if (t->thing.finished && list_empty(&t->dead))
			list_push(&l->dead_tunnels, &t->dead);
		tunnel_empty(l, t);
	}
	if (!s->thing.recorded && !s->thing.mask)
		session_free(l, s);
}

bool session_worth_record(const struct session *s)
{
	if (s->thing.finished)
		return false;
	switch ((unsigned)s->state) {
	case L2TP_SS_ASKING:
	case L2TP_SS_WAIT_REPLY:
	case L2TP_SS_WAIT_CONNECT:
	case L2TP_SS_UP:
	case L2TP_SS_CLOSING:
		return true;
	}
	return false;
}

int session_set_numbers(struct l2tp *l, struct session *s, const char *calling, const char *called,
			const char *sub_address)
{
	const char *all[3] = { calling, called, sub_address };
	size_t n[3], size = 0, at = 0;
	struct session_numbers *v;

	for (int i = 0; i < 3; i++) {
		n[i] = all[i] ? strnlen(all[i], L2TP_NUMBER_MAX - 1) : 0;
		size += n[i] + 1;
	}
	if (size == 3)
		return 0;
	v = engine_alloc(l, sizeof(*v) + size);
	if (!v)
		return -ENOMEM;
	v->size = (uint16_t)size;
	v->called = (uint16_t)(n[0] + 1);
	v->sub_address = (uint16_t)(n[0] + n[1] + 2);
	for (int i = 0; i < 3; i++) {
		if (n[i])
			memcpy(v->text + at, all[i], n[i]);
		v->text[at + n[i]] = '\0';
		at += n[i] + 1;
	}
	s->numbers = v;
	return 0;
}

/* ---- actions ---- */

void call_want(struct l2tp *l, struct session *s, enum session_want what)
{
	struct tunnel *t = s->tunnel;

	leave_queue(s);
	s->want = (uint8_t)what;
	if (what == SEND_NOTHING)
		return;
	t->queued++;
	list_push(what == SEND_ICRQ ? &t->requests : &t->answers, &s->send);
	engine_work(l, t);
}

static void note_end(struct l2tp *l, struct session *s, const struct ending *why)
{
	s->cause = (uint8_t)why->cause;
	s->result = why->result;
	s->error = why->error;
	s->by_peer = why->by_peer;
	engine_text_free(l, &s->text);
	s->text = engine_text(l, why->text);
	trace_put(l->trace, TRACE_L2TP_SESSION_END, l->now, s->handle, s->local_id, why->cause,
		  why->result, why->error, s->text, s->text ? strlen(s->text) : 0);
}

static void act_end(struct l2tp *l, struct session *s)
{
	s->thing.over = true;
	s->thing.mask = 0;
	heap_clear(&l->session_timers, &s->timer);
	if (s->thing.known)
		thing_news(l, &s->thing, NEWS_DOWN);
	else
		list_drop(&s->thing.news);
}

static void act_up(struct l2tp *l, struct session *s)
{
	const struct l2tp_params *p = &s->tunnel->profile->p;

	/* 39 binds both; without it the LNS decides and the LAC follows (5.4). */
	s->require_seq = s->ask_seq;
	s->send_seq = s->ask_seq || (!s->initiator && p->sequencing);
	s->since = l->now;
	heap_clear(&l->session_timers, &s->timer);
	thing_news(l, &s->thing, NEWS_UP);
	trace_put(l->trace, TRACE_L2TP_SESSION_UP, l->now, s->handle, s->tunnel->local_id,
		  s->local_id, s->remote_id, 0, NULL, 0);
}

static int64_t limit_of(const struct session *s)
{
	return s->state == L2TP_SS_ASKING ? L2TP_ANSWER_US : s->tunnel->profile->p.setup_us;
}

void call_step(struct l2tp *l, struct session *s, enum call_event ev, const struct ending *why)
{
	struct tunnel_row row = s->state < L2TP_SS_DEAD ? call_table[s->initiator][ev][s->state]
							: (struct tunnel_row){ TS_SAME, 0 };

	if (row.next == TS_SAME)
		return;
	s->state = row.next;
	if (row.act & (CA_END | CA_CDN))
		note_end(l, s, why);
	if (row.act & CA_QUEUE)
		call_want(l, s, SEND_ICRQ);
	if (row.act & CA_ICRP)
		call_want(l, s, SEND_ICRP);
	if (row.act & CA_ICCN)
		call_want(l, s, SEND_ICCN);
	if (row.act & CA_CDN)
		call_want(l, s, SEND_CDN);
	if (row.act & CA_TIMER)
		heap_set(&l->session_timers, &s->timer, mono_add(l->now, limit_of(s)));
	if (row.act & CA_ASK)
		thing_news(l, &s->thing, NEWS_ASK);
	if (row.act & CA_UP)
		act_up(l, s);
	if (row.act & CA_ACCM)
		thing_news(l, &s->thing, NEWS_ACCM);
	if (row.act & CA_ERRORS)
		thing_news(l, &s->thing, NEWS_ERRORS);
	if (row.act & CA_END)
		act_end(l, s);
	if (row.act & CA_FINISH)
		session_finish(l, s);
	else if (!(row.act & (CA_ACCM | CA_ERRORS)))
		thing_dirty(l, &s->thing);
}

void session_end_with(struct l2tp *l, struct session *s, const struct ending *why)
{
	/* One that had ended by itself tells its own reason. */
	if (!s->thing.over)
		note_end(l, s, why);
	s->thing.over = true;
	s->thing.mask = 0;
	list_drop(&s->thing.news);
	s->state = L2TP_SS_DEAD;
	session_finish(l, s);
}

void session_expire(struct l2tp *l, struct session *s)
{
	struct ending why = { .cause = ADIT_CAUSE_SETUP_TIMEOUT,
			      .result = L2TP_CDN_TIMEOUT,
			      .text = "the session was not established in time" };

	if (!mono_due(l->grace, l->now)) {
		heap_set(&l->session_timers, &s->timer, l->grace);
		return;
	}
	heap_clear(&l->session_timers, &s->timer);
	if (s->state == L2TP_SS_ASKING)
		why.text = "no answer to the request in time";
	if (s->tunnel && !s->tunnel->thing.over)
		call_step(l, s, CE_EXPIRED, &why);
}

/* ---- refusals without an owner ---- */

int call_refuse(struct l2tp *l, struct tunnel *t, uint16_t local_id, uint16_t remote_id,
		const struct ending *why)
{
	struct ending flood = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
				.result = L2TP_STOP_ERROR,
				.error = L2TP_ERR_RESOURCES,
				.text = "too many calls without reading the answers" };
	struct session *s;
	int rc;

	if (t->orphans >= L2TP_ORPHANS_MAX) {
		tunnel_step(l, t, TE_CLOSE, &flood);
		return 0;
	}
	rc = make(l, t, false, 0, &s);
	if (rc)
		return rc;
	s->local_id = local_id;
	s->remote_id = remote_id;
	s->thing.over = true;
	trace_put(l->trace, TRACE_L2TP_SESSION_REFUSED, l->now, t->handle, remote_id, why->result,
		  why->error, 0, why->text, strlen(why->text));
	call_step(l, s, CE_BAD, why);
	return 0;
}

/* CDN to the peer's session `remote_id`, which has none of ours. 0 or -ENOMEM. */
static int refuse(struct l2tp *l, struct tunnel *t, uint16_t remote_id, uint16_t result,
		  uint16_t error, const char *text)
{
	struct ending why = {
		.cause = ADIT_CAUSE_PROTOCOL_ERROR, .result = result, .error = error, .text = text
	};

	return call_refuse(l, t, 0, remote_id, &why);
}

/* ---- commands ---- */

int call_open(struct l2tp *l, struct tunnel *t, struct l2tp_cmd *cmd)
{
	struct session *s;
	int rc;

	if (t->session_count - t->orphans >= t->profile->p.max_sessions ||
	    l->session_count >= l->cfg.max_sessions)
		return 2;
	rc = session_new(l, t, 0, &s);
	if (rc)
		return rc > 0 ? 2 : rc;
	rc = session_set_numbers(l, s, cmd->calling, cmd->called, cmd->sub_address);
	if (rc) {
		session_undo(l, s);
		return rc;
	}
	s->initiator = true;
	s->thing.known = true;
	s->owner = cmd->owner;
	s->serial = ++l->serial;
	s->tx_speed = cmd->tx_speed ? cmd->tx_speed : 1000000000;
	s->rx_speed = cmd->rx_speed;
	s->framing = cmd->framing ? cmd->framing : 1;
	s->ask_seq = cmd->sequencing || t->profile->p.sequencing;
	trace(l->trace, TRACE_L2TP_SESSION_OPEN, l->now, s->handle, t->local_id, s->local_id);
	call_step(l, s, CE_OPEN, NULL);
	tunnel_timer(l, t);
	cmd->ret_handle = s->handle;
	return 0;
}

int call_accept(struct l2tp *l, struct session *s, struct l2tp_cmd *cmd)
{
	s->owner = cmd->owner;
	call_step(l, s, CE_ACCEPT, NULL);
	return 0;
}

void call_move(struct l2tp *l, struct tunnel *from, struct tunnel *to)
{
	while (!list_empty(&from->requests)) {
		struct session *s = container_of(from->requests.next, struct session, send);
		uint32_t id;

		/* Those that find no place end with their tunnel. */
		if (to->session_count >= to->profile->p.max_sessions ||
		    idmap_take(l->session_ids, to->local_id, s, &id))
			return;
		idmap_drop(l->session_ids, from->local_id, s->local_id, l->now);
		leave_queue(s);
		list_drop(&s->link);
		from->session_count--;
		s->tunnel = to;
		s->local_id = (uint16_t)id;
		list_push(&to->sessions, &s->link);
		to->session_count++;
		call_want(l, s, SEND_ICRQ);
	}
}

/* ---- messages in ---- */

static bool peer_frames(const struct tunnel *t, uint32_t framing)
{
	/* 0 is sent by some; what we did not advertise is refused (4.4.3, 6.8). */
	return framing == 0 || (framing & t->profile->p.framing);
}

static int icrq_input(struct l2tp *l, struct tunnel *t, const struct l2tp_msg *m)
{
	char calling[L2TP_NUMBER_MAX], called[L2TP_NUMBER_MAX], sub[L2TP_NUMBER_MAX];
	struct session *s;
	int rc;

	if (find_remote(l, t, m->session_id))
		return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID,
			      "the Assigned Session ID (14) is in use in this tunnel");
	if (t->session_count - t->orphans >= t->profile->p.max_sessions ||
	    l->session_count >= l->cfg.max_sessions)
		return refuse(l, t, m->session_id, L2TP_CDN_NO_FACILITIES, 0,
			      "no more sessions are possible at present");
	rc = session_new(l, t, 0, &s);
	if (rc > 0)
		return refuse(l, t, m->session_id, L2TP_CDN_NO_FACILITIES, 0,
			      "all session ids are in use");
	if (rc < 0)
		return rc;
	engine_name(calling, sizeof(calling), m->calling);
	engine_name(called, sizeof(called), m->called);
	engine_name(sub, sizeof(sub), m->sub_address);
	rc = session_set_numbers(l, s, calling, called, sub);
	if (rc) {
		session_undo(l, s);
		return rc;
	}
	session_key_remote(l, s, m->session_id);
	s->serial = m->serial;
	trace_put(l->trace, TRACE_L2TP_SESSION_ASK, l->now, s->handle, t->local_id, s->local_id,
		  s->remote_id, 0, NULL, 0);
	call_step(l, s, CE_ICRQ, NULL);
	tunnel_timer(l, t);
	return 0;
}

/* The proxy AVPs as (u16 type, u16 length, value) records. NULL when there are none. */
static int keep_proxy(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	struct session_proxy *v;
	struct wcur c;
	size_t len = 0;

	for (unsigned i = 0; i < 8; i++) {
		if (l2tp_msg_has(m, 26 + i))
			len += 4u + m->proxy[i].n;
	}
	if (!len)
		return 0;
	v = engine_alloc(l, sizeof(*v) + len);
	if (!v)
		return -ENOMEM;
	v->len = (uint32_t)len;
	c = wcur_of(v->bytes, len);
	for (unsigned i = 0; i < 8; i++) {
		if (l2tp_msg_has(m, 26 + i))
			wcur_tlv_bytes(&c, (uint16_t)(26 + i), m->proxy[i].p, m->proxy[i].n);
	}
	s->proxy = v;
	return 0;
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

	snprintf(text, sizeof(text), "%s in state %s", l2tp_type_name(m->type),
		 state_name(s->state));
	call_step(l, s, ev, &why);
}

static void icrp_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	if (s->initiator && s->state == L2TP_SS_WAIT_REPLY) {
		session_key_remote(l, s, m->session_id);
		call_step(l, s, CE_ICRP, NULL);
	} else {
		unexpected(l, s, CE_ICRP, m);
	}
}

static int iccn_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	struct ending odd = {
		.cause = ADIT_CAUSE_PROTOCOL_ERROR,
		.result = L2TP_CDN_ERROR,
		.error = L2TP_ERR_VALUE,
		.text = "Framing Type AVP (19) asks for framing that was not offered"
	};

	if (s->initiator || s->state != L2TP_SS_WAIT_CONNECT) {
		unexpected(l, s, CE_ICCN, m);
		return 0;
	}
	if (!peer_frames(s->tunnel, m->framing_type)) {
		call_step(l, s, CE_ICCN_BAD, &odd);
		return 0;
	}
	if (keep_proxy(l, s, m) < 0)
		return -ENOMEM;
	s->tx_speed = m->tx_speed;
	s->rx_speed = l2tp_msg_has(m, 38) ? m->rx_speed : 0;
	s->framing = m->framing_type;
	s->ask_seq = l2tp_msg_has(m, 39);
	call_step(l, s, CE_ICCN, NULL);
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
	call_step(l, s, CE_CDN, &why);
}

static void wen_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	uint64_t sum = 0;

	for (int i = 0; i < 6; i++)
		sum += m->call_errors[i];
	s->errors = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
	call_step(l, s, CE_WEN, NULL);
}

static void sli_input(struct l2tp *l, struct session *s, const struct l2tp_msg *m)
{
	s->accm_send = m->accm_send;
	s->accm_recv = m->accm_recv;
	call_step(l, s, CE_SLI, NULL);
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
		if (m->type == L2TP_ICRP && !s->remote_id && m->session_id)
			session_key_remote(l, s, m->session_id);
		call_step(l, s, CE_BAD, &why);
		return 0;
	}
	switch (m->type) {
	case L2TP_ICRP:
		icrp_input(l, s, m);
		break;
	case L2TP_ICCN:
		return iccn_input(l, s, m);
	case L2TP_CDN:
		cdn_input(l, s, m);
		break;
	case L2TP_WEN:
		wen_input(l, s, m);
		break;
	case L2TP_SLI:
		sli_input(l, s, m);
		break;
	case L2TP_ICRQ:
		unexpected(l, s, CE_ICRQ, m);
		break;
	default: /* outgoing calls: not for this session (7.4) */
		unexpected(l, s, CE_BAD, m);
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
		if (v->scope != L2TP_MSG_OK)
			/* Also when its id could not be read: then the header says 0 (7.1). */
			return refuse(l, t, m->session_id, v->result, v->error, v->text);
		if (session)
			return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID,
				      "ICRQ for a session id that does not exist");
		return icrq_input(l, t, m);
	case L2TP_ICRP:
		/* We closed it while the answer was under way: the peer has our CDN (7.4.1). */
		if (!m->session_id || idmap_resting(l->session_ids, t->local_id, session))
			return 0;
		return refuse(l, t, m->session_id, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID,
			      "ICRP for a session that was not asked for");
	case L2TP_OCRQ:
		if (!m->session_id)
			return 0;
		return refuse(l, t, m->session_id, L2TP_CDN_NO_FACILITIES_EVER, 0,
			      "outgoing calls are not possible here");
	}
	return 0; /* ICCN, CDN, WEN, SLI, OCRP, OCCN: acknowledged, nothing to do */
}

int call_message(struct l2tp *l, struct tunnel *t, uint32_t session, const struct l2tp_msg *m,
		 const struct l2tp_verdict *v)
{
	struct session *s = NULL;

	if (session)
		s = idmap_find(l->session_ids, t->local_id, session);
	else if (m->type == L2TP_CDN && m->session_id)
		/* Sent before the peer knew our id: its own tells which (4.4.4). */
		s = find_remote(l, t, m->session_id);
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

static void build(struct l2tp *l, struct session *s, struct l2tp_build *b, uint8_t *buf)
{
	struct tunnel *t = s->tunnel;

	switch ((enum session_want)s->want) {
	case SEND_NOTHING:
		break;
	case SEND_ICRQ:
		tunnel_build(l, t, b, buf, L2TP_ICRQ);
		l2tp_build_u16(b, 14, s->local_id);
		l2tp_build_u32(b, 15, s->serial);
		if (s->numbers) {
			build_number(b, 21, s->numbers->text + s->numbers->called);
			build_number(b, 22, s->numbers->text);
			build_number(b, 23, s->numbers->text + s->numbers->sub_address);
		}
		break;
	case SEND_ICRP:
		tunnel_build(l, t, b, buf, L2TP_ICRP);
		l2tp_build_u16(b, 14, s->local_id);
		break;
	case SEND_ICCN:
		tunnel_build(l, t, b, buf, L2TP_ICCN);
		l2tp_build_u32(b, 24, s->tx_speed);
		l2tp_build_u32(b, 19, framing_for(s));
		if (s->rx_speed)
			l2tp_build_u32(b, 38, s->rx_speed);
		if (s->ask_seq)
			l2tp_build_bytes(b, 39, NULL, 0);
		break;
	case SEND_CDN:
		tunnel_build(l, t, b, buf, L2TP_CDN);
		l2tp_build_result(b, s->result ? s->result : L2TP_CDN_ADMIN, s->error, s->text);
		l2tp_build_u16(b, 14, s->local_id);
		break;
	}
}

int call_build_next(struct l2tp *l, struct tunnel *t)
{
	struct list *from = list_empty(&t->answers) ? &t->requests : &t->answers;
	uint8_t buf[L2TP_CONTROL_MAX], was;
	struct l2tp_build b;
	struct session *s;
	int rc;

	if (list_empty(from))
		return 1;
	s = container_of(from->next, struct session, send);
	build(l, s, &b, buf);
	rc = tunnel_push(l, t, &b, s->remote_id);
	if (rc < 0)
		return rc;
	was = s->want;
	call_want(l, s, SEND_NOTHING);
	if (was == SEND_ICRQ)
		call_step(l, s, CE_TUNNEL, NULL);
	else if (was == SEND_CDN)
		call_step(l, s, CE_SENT, NULL);
	return 0;
}
