/* SPDX-License-Identifier: MIT
 *
 * Sessions (RFC 2661 5.2, 5.6, 7.4, 7.5): a table for each role, making and freeing, the owner's
 * commands. Their messages are in callmsg.c.
 *
 * Who sends the ICRQ plays the LAC of that call, who sends the OCRQ its LNS; one tunnel may have
 * calls of all kinds. Both kinds of call go the same way, request, reply, connected:
 *
 *     incoming   ICRQ from the LAC, ICRP, ICCN from the LAC: it has a caller on its line
 *     outgoing   OCRQ from the LNS, OCRP and, once the line answers, OCCN from the LAC
 *
 * A session wants to send at most one message: what was not sent yet when the next one is due is
 * not worth sending any more (a CDN takes the place of an ICRP). The one exception is an OCCN whose
 * OCRP still waits: it follows when that has its number. Sessions with an answer stand in
 * `answers`, those with a request in `requests`; answers go first, so that a queue of a thousand
 * new calls delays no acknowledgement and no CDN.
 *
 * A call that is refused without the owner (no room, bad ids) is a session without local id whose
 * only purpose is its CDN (`orphan`).
 */
#include "l2tp/internal.h"

/*
 * RFC 2661 7.4.1, 7.4.2, 7.5.1 and 7.5.2 as tables. Differences from the text: WAIT_TUNNEL is also
 * the time until the window has room for the request; ASKING is idle while the owner thinks;
 * CLOSING is idle while the CDN waits for room; who sends ICCN or OCCN is in WAIT_CONNECT until it
 * has its number, and established only then. WAIT_CONNECT of the LAC of an outgoing call is the
 * RFC's wait-cs-answer. A LAC that gets an ICRP for a call it does not know any more sends nothing,
 * an unknown one is refused (callmsg.c).
 */
/* clang-format off */
#define CDN  { L2TP_SS_CLOSING, CA_CDN | CA_END }
#define DROP { L2TP_SS_DEAD, CA_END | CA_FINISH }
#define GONE { L2TP_SS_DEAD, CA_FINISH }
#define NONE { TS_SAME, 0 }
#define LATE { L2TP_SS_CLOSING, CA_CDN }
#define UP   { L2TP_SS_UP, CA_UP }
#define STAY(state, act) { L2TP_SS_##state, act }
const struct tunnel_row call_table[CALL_ROLES][CE_COUNT][L2TP_SS_DEAD] = {
	/* the LNS of an incoming call: the peer sent the ICRQ (7.4.2) */
	[CALL_ROLE_LNS_IN] = {
	/* state:              ASKING  WAIT_TUNNEL  WAIT_REPLY  WAIT_CONNECT  UP  CLOSING  IDLE */
	[CE_OPEN] = {          NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_TUNNEL] = {        NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_REQUEST] = {       CDN,  NONE, NONE, CDN,  CDN,  NONE, STAY(ASKING, CA_ASK | CA_TIMER) },
	[CE_ACCEPT] = {        STAY(WAIT_CONNECT, CA_REPLY | CA_TIMER),
				     NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_REPLY] = {         CDN,  NONE, NONE, CDN,  CDN,  NONE, LATE },
	[CE_REPLY_BAD] = {     CDN,  NONE, NONE, CDN,  CDN,  NONE, LATE },
	[CE_ANSWERED] = {      NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_CONNECTED] = {     CDN,  NONE, NONE, UP,   CDN,  NONE, NONE },
	[CE_CONNECTED_BAD] = { CDN,  NONE, NONE, CDN,  CDN,  NONE, NONE },
	[CE_CDN] = {           DROP, NONE, NONE, DROP, DROP, GONE, NONE },
	[CE_SLI] = {           NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_WEN] = {           NONE, NONE, NONE, NONE, STAY(UP, CA_ERRORS), NONE, NONE },
	[CE_BAD] = {           CDN,  NONE, NONE, CDN,  CDN,  NONE, LATE },
	[CE_CLOSE] = {         CDN,  NONE, NONE, CDN,  CDN,  NONE, NONE },
	[CE_EXPIRED] = {       CDN,  NONE, NONE, CDN,  NONE, NONE, NONE },
	[CE_SENT] = {          NONE, NONE, NONE, NONE, NONE, GONE, NONE },
	},
	/* the LAC of an incoming call: we send the ICRQ (7.4.1) */
	[CALL_ROLE_LAC_IN] = {
	/* state:              ASKING  WAIT_TUNNEL  WAIT_REPLY  WAIT_CONNECT  UP  CLOSING  IDLE */
	[CE_OPEN] = {          NONE, NONE, NONE, NONE, NONE, NONE, STAY(WAIT_TUNNEL, CA_QUEUE) },
	[CE_TUNNEL] = {        NONE, STAY(WAIT_REPLY, CA_TIMER),
					   NONE, NONE, NONE, NONE, NONE },
	[CE_REQUEST] = {       NONE, NONE, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_ACCEPT] = {        NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_REPLY] = {         NONE, NONE, STAY(WAIT_CONNECT, CA_CONNECTED),
						 CDN,  CDN,  NONE, NONE },
	[CE_REPLY_BAD] = {     NONE, NONE, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_ANSWERED] = {      NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_CONNECTED] = {     NONE, NONE, DROP, CDN,  CDN,  NONE, NONE },
	[CE_CONNECTED_BAD] = { NONE, NONE, DROP, CDN,  CDN,  NONE, NONE },
	[CE_CDN] = {           NONE, NONE, DROP, DROP, DROP, GONE, NONE },
	[CE_SLI] = {           NONE, NONE, NONE, NONE, STAY(UP, CA_ACCM), NONE, NONE },
	[CE_WEN] = {           NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_BAD] = {           NONE, NONE, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_CLOSE] = {         NONE, DROP, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_EXPIRED] = {       NONE, DROP, CDN,  CDN,  NONE, NONE, NONE },
	[CE_SENT] = {          NONE, NONE, NONE, UP,   NONE, GONE, NONE },
	},
	/* the LAC of an outgoing call: the peer sent the OCRQ (7.5.1) */
	[CALL_ROLE_LAC_OUT] = {
	/* state:              ASKING  WAIT_TUNNEL  WAIT_REPLY  WAIT_CONNECT  UP  CLOSING  IDLE */
	[CE_OPEN] = {          NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_TUNNEL] = {        NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_REQUEST] = {       CDN,  NONE, NONE, CDN,  CDN,  NONE, STAY(ASKING, CA_ASK | CA_TIMER) },
	[CE_ACCEPT] = {        STAY(WAIT_CONNECT, CA_REPLY | CA_TIMER),
				     NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_REPLY] = {         CDN,  NONE, NONE, CDN,  CDN,  NONE, LATE },
	[CE_REPLY_BAD] = {     CDN,  NONE, NONE, CDN,  CDN,  NONE, LATE },
	[CE_ANSWERED] = {      NONE, NONE, NONE, STAY(WAIT_CONNECT, CA_CONNECTED),
						       NONE, NONE, NONE },
	[CE_CONNECTED] = {     CDN,  NONE, NONE, CDN,  CDN,  NONE, NONE },
	[CE_CONNECTED_BAD] = { CDN,  NONE, NONE, CDN,  CDN,  NONE, NONE },
	[CE_CDN] = {           DROP, NONE, NONE, DROP, DROP, GONE, NONE },
	[CE_SLI] = {           NONE, NONE, NONE, NONE, STAY(UP, CA_ACCM), NONE, NONE },
	[CE_WEN] = {           NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_BAD] = {           CDN,  NONE, NONE, CDN,  CDN,  NONE, LATE },
	[CE_CLOSE] = {         CDN,  NONE, NONE, CDN,  CDN,  NONE, NONE },
	[CE_EXPIRED] = {       CDN,  NONE, NONE, CDN,  NONE, NONE, NONE },
	[CE_SENT] = {          NONE, NONE, NONE, UP,   NONE, GONE, NONE },
	},
	/* the LNS of an outgoing call: we send the OCRQ (7.5.2) */
	[CALL_ROLE_LNS_OUT] = {
	/* state:              ASKING  WAIT_TUNNEL  WAIT_REPLY  WAIT_CONNECT  UP  CLOSING  IDLE */
	[CE_OPEN] = {          NONE, NONE, NONE, NONE, NONE, NONE, STAY(WAIT_TUNNEL, CA_QUEUE) },
	[CE_TUNNEL] = {        NONE, STAY(WAIT_REPLY, CA_TIMER),
					   NONE, NONE, NONE, NONE, NONE },
	[CE_REQUEST] = {       NONE, NONE, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_ACCEPT] = {        NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_REPLY] = {         NONE, NONE, STAY(WAIT_CONNECT, CA_TIMER),
						 CDN,  CDN,  NONE, NONE },
	[CE_REPLY_BAD] = {     NONE, NONE, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_ANSWERED] = {      NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_CONNECTED] = {     NONE, NONE, CDN,  UP,   CDN,  NONE, NONE },
	[CE_CONNECTED_BAD] = { NONE, NONE, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_CDN] = {           NONE, NONE, DROP, DROP, DROP, GONE, NONE },
	[CE_SLI] = {           NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	[CE_WEN] = {           NONE, NONE, NONE, NONE, STAY(UP, CA_ERRORS), NONE, NONE },
	[CE_BAD] = {           NONE, NONE, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_CLOSE] = {         NONE, DROP, CDN,  CDN,  CDN,  NONE, NONE },
	[CE_EXPIRED] = {       NONE, DROP, CDN,  CDN,  NONE, NONE, NONE },
	[CE_SENT] = {          NONE, NONE, NONE, NONE, NONE, GONE, NONE },
	},
};
#undef CDN
#undef DROP
#undef GONE
#undef NONE
#undef LATE
#undef UP
#undef STAY
/* clang-format on */

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

struct session *call_by_remote(struct l2tp *l, const struct tunnel *t, uint16_t remote_id)
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

static void numbers_release(struct l2tp *l, struct session *s)
{
	if (s->numbers)
		engine_release(l, s->numbers, sizeof(*s->numbers) + s->numbers->size);
	s->numbers = NULL;
}

static void release(struct l2tp *l, struct session *s)
{
	numbers_release(l, s);
	if (s->proxy)
		engine_release(l, s->proxy, sizeof(*s->proxy) + s->proxy->len);
	if (s->line)
		engine_release(l, s->line, sizeof(*s->line));
	s->proxy = NULL;
	s->line = NULL;
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
	if (size == 3 && !s->outgoing)
		return 0;
	v = engine_alloc(l, sizeof(*v) + size);
	if (!v)
		return -ENOMEM;
	v->min_bps = v->max_bps = v->bearer = 0;
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

int session_set_proxy(struct l2tp *l, struct session *s, const void *bytes, size_t len)
{
	struct session_proxy *v;

	if (!len)
		return 0;
	v = engine_alloc(l, sizeof(*v) + len);
	if (!v)
		return -ENOMEM;
	v->len = (uint32_t)len;
	memcpy(v->bytes, bytes, len);
	s->proxy = v;
	return 0;
}

struct session_line *call_line(struct l2tp *l, struct session *s)
{
	if (s->line)
		return s->line;
	s->line = engine_alloc(l, sizeof(*s->line));
	if (s->line)
		*s->line = (struct session_line){ .wen_at = { INT64_MIN } };
	return s->line;
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
	list_push(what == SEND_REQUEST ? &t->requests : &t->answers, &s->send);
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
	s->send_seq = s->ask_seq || (!call_is_lac(s) && p->sequencing);
	s->since = l->now;
	heap_clear(&l->session_timers, &s->timer);
	if (!s->outgoing)
		numbers_release(l, s); /* the owner was asked with them, or has given them */
	thing_news(l, &s->thing, NEWS_UP);
	trace_put(l->trace, TRACE_L2TP_SESSION_UP, l->now, s->handle, s->tunnel->local_id,
		  s->local_id, s->remote_id, 0, NULL, 0);
}

static int64_t limit_of(const struct session *s)
{
	return s->state == L2TP_SS_ASKING ? L2TP_ANSWER_US : s->tunnel->profile->p.setup_us;
}

/* OCRP and OCCN both have to be sent: the one after the other. */
static void send_connected(struct l2tp *l, struct session *s)
{
	s->answered = s->want == SEND_REPLY;
	if (!s->answered)
		call_want(l, s, SEND_CONNECTED);
}

/* RFC 2661 5.4: the numbers of data begin at 0 with the first message, which may follow ICCN or
 * OCCN at once; so whoever counts them has to be there before it, and the owner may let it wait. */
static void want_connected(struct l2tp *l, struct session *s)
{
	s->held = s->hold;
	if (s->held) {
		call_step(l, s, CE_SENT, NULL); /* for us it is up */
		return;
	}
	send_connected(l, s);
}

void call_step(struct l2tp *l, struct session *s, enum call_event ev, const struct ending *why)
{
	struct tunnel_row row = s->state < L2TP_SS_DEAD ? call_table[call_role(s)][ev][s->state]
							: (struct tunnel_row){ TS_SAME, 0 };

	if (row.next == TS_SAME)
		return;
	s->state = row.next;
	if (row.act & (CA_END | CA_CDN))
		note_end(l, s, why);
	if (row.act & CA_QUEUE)
		call_want(l, s, SEND_REQUEST);
	if (row.act & CA_REPLY)
		call_want(l, s, SEND_REPLY);
	if (row.act & CA_CONNECTED)
		want_connected(l, s);
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

	if (s->state == L2TP_SS_UP) { /* a WEN has waited for its minute */
		heap_clear(&l->session_timers, &s->timer);
		if (s->line && s->line->wen && !s->tunnel->thing.over)
			call_want(l, s, SEND_WEN);
		return;
	}
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

/* ---- commands ---- */

/* 4.4.3, 6.9: only what the peer has said that it can. */
const char *call_cannot(const struct tunnel *t, uint32_t bearer, uint32_t framing)
{
	if (!(t->peer_bearer & L2TP_CALL_MASK))
		return "the peer places no calls: it sent no Bearer Capabilities AVP (4)";
	if (bearer && !(bearer & t->peer_bearer))
		return "the peer has no line of the wanted Bearer Type";
	if (framing && !(framing & t->peer_framing))
		return "the peer does not offer the wanted Framing Type";
	return NULL;
}

/* What the owner says of a new call. 0 or -ENOMEM. */
static int describe(struct l2tp *l, struct tunnel *t, struct session *s, const struct l2tp_cmd *cmd)
{
	int rc;

	s->initiator = true;
	s->outgoing = cmd->outgoing;
	rc = session_set_numbers(l, s, cmd->calling, cmd->called, cmd->sub_address);
	if (rc)
		return rc;
	s->owner = cmd->owner;
	s->serial = ++l->serial;
	s->tx_speed = cmd->tx_speed ? cmd->tx_speed : 1000000000;
	s->rx_speed = cmd->rx_speed;
	s->framing = cmd->framing ? cmd->framing : 1;
	s->ask_seq = !s->outgoing && (cmd->sequencing || t->profile->p.sequencing);
	s->hold = s->ask_seq && cmd->hold;
	if (!s->outgoing)
		return 0;
	/* What the LAC says in its OCCN comes later (6.11). */
	s->tx_speed = s->rx_speed = 0;
	s->framing = cmd->framing;
	s->numbers->min_bps = cmd->min_bps;
	s->numbers->max_bps = cmd->max_bps ? cmd->max_bps : 1000000000;
	s->numbers->bearer = cmd->bearer;
	return 0;
}

int call_open(struct l2tp *l, struct tunnel *t, struct l2tp_cmd *cmd)
{
	struct session *s;
	int rc;

	if (cmd->outgoing && t->state == L2TP_TS_UP && call_cannot(t, cmd->bearer, cmd->framing))
		return 4;
	if (t->session_count - t->orphans >= t->profile->p.max_sessions ||
	    l->session_count >= l->cfg.max_sessions)
		return 2;
	rc = session_new(l, t, 0, &s);
	if (rc)
		return rc > 0 ? 2 : rc;
	rc = describe(l, t, s, cmd);
	if (rc) {
		session_undo(l, s);
		return rc;
	}
	s->thing.known = true;
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

/* The line that an OCRQ asked for has answered: OCCN goes out (7.5.1). */
int call_answered(struct l2tp *l, struct session *s, const struct l2tp_cmd *cmd)
{
	if (call_role(s) != CALL_ROLE_LAC_OUT || s->state != L2TP_SS_WAIT_CONNECT ||
	    s->want == SEND_CONNECTED || s->answered)
		return -EINVAL;
	s->tx_speed = cmd->tx_speed ? cmd->tx_speed : 1000000000;
	s->rx_speed = cmd->rx_speed;
	if (cmd->framing)
		s->framing = cmd->framing;
	s->ask_seq = cmd->sequencing || s->tunnel->profile->p.sequencing;
	s->hold = s->ask_seq && cmd->hold;
	call_step(l, s, CE_ANSWERED, NULL);
	return 0;
}

/* SLI (6.14): the LNS tells the LAC the masks that LCP has agreed upon. */
int call_accm(struct l2tp *l, struct session *s, const struct l2tp_cmd *cmd)
{
	struct session_line *line;

	if (call_is_lac(s) || s->state != L2TP_SS_UP)
		return -EINVAL;
	line = call_line(l, s);
	if (!line)
		return -ENOMEM;
	line->accm = true;
	line->send = cmd->accm_send;
	line->recv = cmd->accm_recv;
	call_want(l, s, SEND_SLI);
	thing_dirty(l, &s->thing);
	return 0;
}

/* WEN (6.13): only when there are errors, and not more than one a minute for a call. */
int call_errors(struct l2tp *l, struct session *s, const struct l2tp_cmd *cmd)
{
	struct session_line *line;

	if (!call_is_lac(s) || s->state != L2TP_SS_UP)
		return -EINVAL;
	line = call_line(l, s);
	if (!line)
		return -ENOMEM;
	if (memcmp(line->errors, cmd->errors, sizeof(line->errors)) == 0)
		return 0;
	memcpy(line->errors, cmd->errors, sizeof(line->errors));
	line->wen = true;
	if (mono_due(line->wen_at, l->now)) {
		call_want(l, s, SEND_WEN);
	} else {
		heap_set(&l->session_timers, &s->timer, line->wen_at);
	}
	thing_dirty(l, &s->thing);
	return 0;
}

int call_go(struct l2tp *l, struct session *s)
{
	s->hold = false;
	if (!s->held)
		return 0;
	s->held = false;
	if (s->state == L2TP_SS_UP)
		send_connected(l, s);
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
		call_want(l, s, SEND_REQUEST);
	}
}
