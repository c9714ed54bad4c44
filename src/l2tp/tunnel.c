/* SPDX-License-Identifier: MIT
 *
 * The control connection (RFC 2661 5.1, 5.5, 5.7, 7.2): its table, the actions, the timers, making
 * and freeing. Its messages are in control.c.
 *
 * An initiator goes IDLE, WAIT_REPLY, UP; a responder IDLE, ASKING (the owner is asked), WAIT_CONN,
 * UP. From every state it may go to CLOSING (we sent StopCCN and wait for its acknowledgement) or
 * to LINGER (the peer sent StopCCN; repetitions are acknowledged for a full cycle, 5.7).
 */
#include "l2tp/internal.h"

/*
 * RFC 2661 7.2.1 as a table. What differs from the text, and why:
 * - idle + SCCRP, SCCCN: nothing is sent, since it would go to whoever the sender claims to be.
 * - wait-ctl-reply + SCCRQ, tie lost: ours waits outside the table until the winner is up
 *   (halfopen.c), then TE_TIE_LOST ends it.
 * - ASKING is the RFC's idle state while the owner thinks; CLOSING and LINGER are its idle state
 *   while reliable delivery goes on (7.1, 5.7).
 */
/* clang-format off */
#define STOP(next) { next, TA_STOP | TA_END | TA_WAIT }
#define LOSE       { L2TP_TS_DEAD, TA_END | TA_FINISH }
#define GONE       { L2TP_TS_DEAD, TA_FINISH }
#define NONE       { TS_SAME, 0 }
#define CLOSING    L2TP_TS_CLOSING
const struct tunnel_row tunnel_table[TE_COUNT][L2TP_TS_DEAD] = {
	/* state:           ASKING         WAIT_REPLY     WAIT_CONN      UP             CLOSING LINGER  IDLE */
	[TE_OPEN] = {       NONE,          NONE,          NONE,          NONE,          NONE,   NONE,
			    { L2TP_TS_WAIT_REPLY, TA_SCCRQ } },
	[TE_SCCRQ] = {      NONE,          STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), NONE,   NONE,
			    { L2TP_TS_ASKING, TA_ASK } },
	[TE_SCCRQ_BAD] = {  STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), NONE,   NONE,
			    { L2TP_TS_IDLE, TA_STOP } },
	[TE_ACCEPT] = {     { L2TP_TS_WAIT_CONN, TA_SCCRP },
					   NONE,          NONE,          NONE,          NONE,   NONE,   NONE },
	[TE_SCCRP] = {      STOP(CLOSING), { L2TP_TS_UP, TA_SCCCN | TA_UP },
							  STOP(CLOSING), STOP(CLOSING), NONE,   NONE,   NONE },
	[TE_SCCRP_BAD] = {  STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), NONE,   NONE,   NONE },
	[TE_SCCCN] = {      STOP(CLOSING), STOP(CLOSING), { L2TP_TS_UP, TA_UP },
									 STOP(CLOSING), NONE,   NONE,   NONE },
	[TE_SCCCN_BAD] = {  STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), NONE,   NONE,   NONE },
	[TE_STOPCCN] = {    { L2TP_TS_LINGER, TA_END | TA_WAIT }, { L2TP_TS_LINGER, TA_END | TA_WAIT },
			    { L2TP_TS_LINGER, TA_END | TA_WAIT }, { L2TP_TS_LINGER, TA_END | TA_WAIT },
			    { L2TP_TS_LINGER, TA_WAIT },                                        NONE,   NONE },
	[TE_HELLO] = {      NONE,          NONE,          NONE,          NONE,          NONE,   NONE,   NONE },
	[TE_CALL] = {       STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), NONE,          NONE,   NONE,   NONE },
	[TE_BAD] = {        STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), NONE,   NONE,   NONE },
	[TE_CLOSE] = {      STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), STOP(CLOSING), NONE,   NONE,   NONE },
	[TE_LOST] = {       LOSE,          LOSE,          LOSE,          LOSE,          GONE,   GONE,   NONE },
	[TE_TIE_LOST] = {   NONE,          LOSE,          NONE,          NONE,          NONE,   NONE,   NONE },
	[TE_REPLACED] = {   LOSE,          LOSE,          LOSE,          LOSE,          GONE,   GONE,   NONE },
	[TE_ACKED] = {      NONE,          NONE,          NONE,          NONE,          GONE,   NONE,   NONE },
	[TE_EXPIRED] = {    NONE,          NONE,          NONE,          NONE,          GONE,   GONE,   NONE },
};
#undef STOP
#undef LOSE
#undef GONE
#undef NONE
#undef CLOSING
/* clang-format on */

/* ---- keys ---- */

struct peer_key {
	struct path path;
	uint32_t remote_id;
};

static uint64_t peer_hash(const struct l2tp *l, const struct path *path, uint16_t remote_id)
{
	struct peer_key key = { *path, remote_id };

	return htab_hash(&l->by_peer, &key, sizeof(key));
}

uint64_t tunnel_dial_hash(const struct l2tp *l, const struct addr *a)
{
	struct addr key = *a;

	key.port = 0;
	return htab_hash(&l->by_dial, &key, sizeof(key));
}

void tunnel_key_peer(struct l2tp *l, struct tunnel *t, uint16_t remote_id)
{
	if (t->in_peer)
		htab_drop(&l->by_peer, &t->by_peer);
	t->remote_id = remote_id;
	t->in_peer = remote_id != 0;
	if (t->in_peer)
		htab_put(&l->by_peer, &t->by_peer, peer_hash(l, &t->path, remote_id));
}

struct tunnel *tunnel_by_peer(struct l2tp *l, const struct path *path, uint16_t remote_id,
			      const struct tunnel *after)
{
	struct htab_node *n = after ? htab_next(&after->by_peer)
				    : htab_find(&l->by_peer, peer_hash(l, path, remote_id));

	for (; n; n = htab_next(n)) {
		struct tunnel *t = container_of(n, struct tunnel, by_peer);

		if (t->remote_id == remote_id && path_equal(&t->path, path))
			return t;
	}
	return NULL;
}

static void leave_keys(struct l2tp *l, struct tunnel *t)
{
	if (t->in_peer)
		htab_drop(&l->by_peer, &t->by_peer);
	if (t->in_request)
		htab_drop(&l->by_request, &t->by_request);
	if (t->in_dial)
		htab_drop(&l->by_dial, &t->by_dial);
	doubt_leave(l, t);
	t->in_peer = t->in_request = t->in_dial = false;
}

/* ---- making and freeing ---- */

static int reserve(struct l2tp *l)
{
	if (htab_reserve(&l->by_peer) < 0 || htab_reserve(&l->by_request) < 0 ||
	    htab_reserve(&l->by_dial) < 0 || htab_reserve(&l->by_host) < 0 ||
	    heap_reserve(&l->tunnel_timers, pool_count(l->tunnels) + 1) < 0)
		return -ENOMEM;
	return 0;
}

static void init(struct l2tp *l, struct tunnel *t, adit_handle h, const struct path *path)
{
	struct rel_params rp = { .modulus_mask = 0xffff,
				 .window = 16,
				 .peer_window = 4, /* until the peer tells (4.4.3) */
				 .bytes_max = L2TP_FLIGHT_MAX,
				 .first_us = US_S,
				 .cap_us = 8 * US_S,
				 .retries = 5,
				 .account = &l->account };

	thing_init(&t->thing, L2TP_OBJ_TUNNEL);
	t->handle = h;
	t->path = *path;
	t->state = L2TP_TS_IDLE;
	rel_init(&t->rel, &rp);
	t->state_at = t->hello_at = t->empty_at = t->pump_at = MONO_NEVER;
	t->since = t->heard = l->now;
	list_init(&t->sessions);
	list_init(&t->answers);
	list_init(&t->requests);
	list_init(&t->work);
	list_init(&t->out);
	list_init(&t->dead);
	bound_node_init(&t->bound);
}

static int make(struct l2tp *l, const struct path *path, struct tunnel **ret)
{
	struct tunnel *t;
	adit_handle h;

	if (pool_count(l->tunnels) >= l->cfg.max_tunnels)
		return 1;
	if (reserve(l) < 0)
		return -ENOMEM;
	t = pool_take(l->tunnels, &h);
	if (!t)
		return -ENOMEM;
	init(l, t, h, path);
	*ret = t;
	return 0;
}

int tunnel_new(struct l2tp *l, const struct path *path, bool initiator, struct tunnel **ret)
{
	struct tunnel *t;
	uint32_t id;
	int rc = make(l, path, &t);

	if (rc)
		return rc;
	rc = idmap_take(l->tunnel_ids, 0, t, &id);
	if (rc) {
		pool_give(l->tunnels, t->handle);
		return rc;
	}
	t->local_id = (uint16_t)id;
	t->initiator = t->verified = initiator;
	*ret = t;
	return 0;
}

int tunnel_new_with_id(struct l2tp *l, const struct path *path, uint16_t id, struct tunnel **ret)
{
	struct tunnel *t;
	int rc = make(l, path, &t);

	if (rc)
		return rc;
	rc = idmap_put(l->tunnel_ids, 0, id, t);
	if (rc) {
		pool_give(l->tunnels, t->handle);
		return rc;
	}
	t->local_id = id;
	*ret = t;
	return 0;
}

void tunnel_release_request(struct l2tp *l, struct tunnel *t)
{
	engine_release(l, t->request, t->request_len);
	t->request = NULL;
	t->request_len = 0;
}

static void free_tunnel(struct l2tp *l, struct tunnel *t)
{
	halfopen_leave(l, t);
	leave_keys(l, t);
	heap_clear(&l->tunnel_timers, &t->timer);
	thing_quit(&t->thing);
	list_drop(&t->work);
	list_drop(&t->out);
	list_drop(&t->dead);
	rel_free(&t->rel);
	tunnel_release_request(l, t);
	if (t->offer)
		bytes_wipe(t->offer, sizeof(*t->offer));
	engine_release(l, t->offer, sizeof(*t->offer));
	engine_text_free(l, &t->text);
	engine_text_free(l, &t->host_name);
	engine_text_free(l, &t->vendor_name);
	l2tp_profile_unref(t->profile);
	/* Strangers make tunnels faster than ids have rested: they must not use them all up. A
	 * late message for one that never was up is told by its path. */
	if (t->was_up || t->initiator)
		idmap_drop(l->tunnel_ids, 0, t->local_id, l->now);
	else
		idmap_forget(l->tunnel_ids, 0, t->local_id);
	pool_give(l->tunnels, t->handle);
}

void tunnel_undo(struct l2tp *l, struct tunnel *t)
{
	free_tunnel(l, t);
}

void tunnel_reap(struct l2tp *l, struct tunnel *t)
{
	if (!t->thing.finished || t->thing.known || t->thing.recorded || t->thing.mask ||
	    !list_empty(&t->sessions))
		return;
	trace(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_GONE, l->now, t->handle, t->local_id, 0);
	free_tunnel(l, t);
}

int tunnel_names(struct l2tp *l, struct tunnel *t, struct l2tp_bytes host, struct l2tp_bytes vendor)
{
	char h[L2TP_NAME_MAX], v[L2TP_NAME_MAX], *hp, *vp;

	engine_name(h, sizeof(h), host);
	engine_name(v, sizeof(v), vendor);
	hp = engine_text(l, h);
	vp = engine_text(l, v);
	if ((h[0] && !hp) || (v[0] && !vp)) {
		engine_text_free(l, &hp);
		engine_text_free(l, &vp);
		return -ENOMEM;
	}
	engine_text_free(l, &t->host_name);
	engine_text_free(l, &t->vendor_name);
	t->host_name = hp;
	t->vendor_name = vp;
	return 0;
}

bool tunnel_worth_record(const struct tunnel *t)
{
	switch ((unsigned)t->state) {
	case L2TP_TS_WAIT_REPLY:
	case L2TP_TS_WAIT_CONN:
	case L2TP_TS_UP:
		return true;
	case L2TP_TS_CLOSING: /* its StopCCN goes on, but not for strangers */
		return t->verified;
	}
	return false;
}

/* ---- timers ---- */

void tunnel_timer(struct l2tp *l, struct tunnel *t)
{
	struct mono at = rel_deadline(&t->rel);

	if (t->thing.finished) {
		heap_clear(&l->tunnel_timers, &t->timer);
		return;
	}
	at = mono_min(at, mono_min(t->state_at, t->hello_at));
	at = mono_min(at, mono_min(t->empty_at, t->pump_at));
	if (t->doubts)
		at = mono_min(at, t->doubt_at);
	heap_set(&l->tunnel_timers, &t->timer, at);
}

static int64_t hello_us(const struct tunnel *t)
{
	if (t->quirks & L2TP_QUIRK_NO_HELLO)
		return -1;
	return t->profile ? t->profile->p.hello_us : -1;
}

void tunnel_arm_hello(struct tunnel *t)
{
	t->hello_at = t->state == L2TP_TS_UP && hello_us(t) >= 0 ? mono_add(t->heard, hello_us(t))
								 : MONO_NEVER;
}

static bool quiet_still(const struct l2tp *l, const struct tunnel *t)
{
	return mono_due(mono_add(t->heard, hello_us(t)), l->now);
}

void tunnel_hello(struct l2tp *l, struct tunnel *t)
{
	t->quiet_asked = false;
	t->thing.mask &= (uint8_t)~NEWS_QUIET;
	t->hello_at = MONO_NEVER; /* armed again when something is heard */
	t->want |= WANT_HELLO;
	engine_work(l, t);
}

/* Nothing was received for a while (5.5): first ask whether data came by the data plane. */
static void hello_due(struct l2tp *l, struct tunnel *t)
{
	if (!quiet_still(l, t)) {
		t->quiet_asked = false;
		tunnel_arm_hello(t);
	} else if (rel_held_count(&t->rel) || t->want) {
		t->hello_at = MONO_NEVER; /* what is outstanding does the same */
	} else if (!t->quiet_asked) {
		t->quiet_asked = true;
		t->hello_at = mono_add(l->now, L2TP_QUIET_US);
		thing_news(l, &t->thing, NEWS_QUIET);
		trace(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_QUIET, l->now, t->handle, t->local_id,
		      0);
	} else {
		tunnel_hello(l, t);
	}
}

void tunnel_heard(struct l2tp *l, struct tunnel *t, struct mono at)
{
	if (t->state != L2TP_TS_UP)
		return;
	if (at.us > t->heard.us && at.us <= l->now.us)
		t->heard = at;
	doubt_heard(l, t);
	if (!t->quiet_asked)
		return;
	t->quiet_asked = false;
	t->thing.mask &= (uint8_t)~NEWS_QUIET;
	if (quiet_still(l, t))
		tunnel_hello(l, t);
	else
		tunnel_arm_hello(t);
	tunnel_timer(l, t);
}

void tunnel_awake(struct l2tp *l, struct tunnel *t)
{
	if ((t->state != L2TP_TS_UP && t->state != L2TP_TS_WAIT_REPLY) || t->yields)
		return;
	if (rel_held_count(&t->rel)) {
		rel_restart(&t->rel, l->now);
		rel_repeat(&t->rel);
		engine_work(l, t);
	} else if (t->state == L2TP_TS_UP && hello_us(t) >= 0) {
		tunnel_hello(l, t);
	}
	tunnel_timer(l, t);
}

void tunnel_empty(struct l2tp *l, struct tunnel *t)
{
	t->empty_at = MONO_NEVER;
	if (t->state == L2TP_TS_UP && list_empty(&t->sessions) && t->profile->p.empty_us >= 0)
		t->empty_at = mono_add(l->now, t->profile->p.empty_us);
	tunnel_timer(l, t);
}

/* The time limit of a state. */
static void state_due(struct l2tp *l, struct tunnel *t)
{
	struct ending late = { .cause = ADIT_CAUSE_SETUP_TIMEOUT,
			       .result = L2TP_STOP_CLEAR,
			       .text = "the tunnel was not established in time" };
	struct ending dumb = { .cause = ADIT_CAUSE_SETUP_TIMEOUT,
			       .result = L2TP_STOP_ERROR,
			       .error = L2TP_ERR_RESOURCES,
			       .text = "no answer to the request in time" };

	switch ((unsigned)t->state) {
	case L2TP_TS_CLOSING:
	case L2TP_TS_LINGER:
		tunnel_step(l, t, TE_EXPIRED, NULL);
		return;
	}
	if (!mono_due(l->grace, l->now)) {
		t->state_at = l->grace;
		return;
	}
	t->state_at = MONO_NEVER;
	if (t->state == L2TP_TS_ASKING)
		tunnel_step(l, t, TE_CLOSE, &dumb);
	else /* whoever never showed up gets no StopCCN either */
		tunnel_step(l, t, t->verified ? TE_CLOSE : TE_LOST, &late);
}

static void rel_due(struct l2tp *l, struct tunnel *t)
{
	struct ending why = { .cause = t->was_up ? ADIT_CAUSE_TUNNEL_LOST : ADIT_CAUSE_UNREACHABLE,
			      .text = "no acknowledgement after all retransmissions" };

	switch (rel_expire(&t->rel, l->now)) {
	case REL_WAIT:
		break;
	case REL_AGAIN:
		engine_work(l, t);
		break;
	case REL_LOST:
		tunnel_step(l, t, TE_LOST, &why);
		break;
	}
}

void tunnel_expire(struct l2tp *l, struct tunnel *t)
{
	struct ending idle = { .cause = ADIT_CAUSE_IDLE_TIMEOUT,
			       .result = L2TP_STOP_CLEAR,
			       .text = "no session is left in the tunnel" };

	rel_due(l, t);
	if (mono_due(t->pump_at, l->now)) {
		t->pump_at = MONO_NEVER;
		engine_work(l, t);
	}
	if (mono_due(t->state_at, l->now))
		state_due(l, t);
	if (mono_due(t->empty_at, l->now)) {
		t->empty_at = MONO_NEVER;
		tunnel_step(l, t, TE_CLOSE, &idle);
	}
	if (mono_due(t->hello_at, l->now))
		hello_due(l, t);
	doubt_due(l, t);
	tunnel_timer(l, t);
}

/* ---- actions ---- */

/* The peer's SCCRQ won a tie and then came to nothing: ours goes on. */
static void loser_resumes(struct l2tp *l, struct tunnel *winner)
{
	struct tunnel *t = pool_get(l->tunnels, winner->loser);

	winner->loser = 0;
	if (!t || t->yields != winner->handle || t->state != L2TP_TS_WAIT_REPLY)
		return;
	t->yields = 0;
	t->rel.passive = false;
	rel_restart(&t->rel, l->now);
	rel_repeat(&t->rel);
	t->state_at = mono_add(l->now, t->profile->p.setup_us);
	engine_work(l, t);
	tunnel_timer(l, t);
}

static void loser_ends(struct l2tp *l, struct tunnel *winner)
{
	struct ending why = { .cause = ADIT_CAUSE_TIE_LOST,
			      .text = "the peer opened a tunnel at the same time" };
	struct tunnel *t = pool_get(l->tunnels, winner->loser);

	winner->loser = 0;
	if (!t || t->yields != winner->handle || t->state != L2TP_TS_WAIT_REPLY)
		return;
	if (t->profile == winner->profile)
		call_move(l, t, winner);
	tunnel_step(l, t, TE_TIE_LOST, &why);
}

/* Whoever else has this peer's id on this path is a memory of the peer's former life. */
static void replace_others(struct l2tp *l, struct tunnel *t)
{
	struct ending why = { .cause = ADIT_CAUSE_REPLACED,
			      .text = "the peer opened a tunnel with the same id again" };
	struct tunnel *o = tunnel_by_peer(l, &t->path, t->remote_id, NULL), *next;

	for (; o; o = next) {
		next = tunnel_by_peer(l, &t->path, t->remote_id, o);
		if (o != t)
			tunnel_step(l, o, TE_REPLACED, &why);
	}
}

static void act_up(struct l2tp *l, struct tunnel *t)
{
	char raw[ADDR_TEXT_MAX];

	halfopen_leave(l, t);
	if (t->in_dial)
		htab_drop(&l->by_dial, &t->by_dial);
	t->in_dial = false;
	t->yields = 0;
	t->was_up = t->verified = true;
	t->rel.passive = false;
	rel_restart(&t->rel, l->now);
	t->up_at = t->since = t->heard = l->now;
	t->state_at = MONO_NEVER;
	replace_others(l, t);
	loser_ends(l, t);
	doubt_enter(l, t);
	doubt_others(l, t);
	thing_news(l, &t->thing, NEWS_UP);
	tunnel_arm_hello(t);
	tunnel_empty(l, t);
	addr_text(&t->path.remote, raw);
	trace_put(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_UP, l->now, t->handle, t->local_id,
		  t->remote_id, 0, 0, raw, strlen(raw));
}

static void act_end(struct l2tp *l, struct tunnel *t, const struct ending *why)
{
	t->thing.over = true;
	t->thing.mask = 0;
	t->why = *why;
	t->why.text = NULL;
	t->text = engine_text(l, why->text);
	t->hello_at = t->empty_at = MONO_NEVER;
	if (t->thing.known || !list_empty(&t->sessions))
		thing_news(l, &t->thing, NEWS_DOWN);
	else
		list_drop(&t->thing.news);
	trace_put(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_END, l->now, t->handle, t->local_id,
		  why->cause, why->result, why->error, t->text, t->text ? strlen(t->text) : 0);
	loser_resumes(l, t);
}

static void act_stop(struct tunnel *t, unsigned from)
{
	/* What waits to be sent is void. A request that nobody has answered is not to be delivered
	 * any more: StopCCN takes its place (4.4.3, Assigned Tunnel ID). */
	if (from == L2TP_TS_WAIT_REPLY) {
		rel_abandon(&t->rel);
		t->rel.passive = false;
		t->yields = 0;
	}
	t->want = WANT_STOP;
}

static void act_finish(struct l2tp *l, struct tunnel *t)
{
	t->thing.finished = true;
	t->want = 0;
	t->state_at = t->hello_at = t->empty_at = t->pump_at = MONO_NEVER;
	halfopen_leave(l, t);
	leave_keys(l, t);
	rel_free(&t->rel);
	list_drop(&t->work);
	list_drop(&t->out);
	if (list_empty(&t->dead))
		list_push(&l->dead_tunnels, &t->dead);
}

static int64_t wait_of(const struct tunnel *t)
{
	/* A StopCCN may have to wait for room behind other messages, then has its own cycle. */
	return t->state == L2TP_TS_CLOSING && t->verified ? 2 * L2TP_CYCLE_US : L2TP_CYCLE_US;
}

static void act_ask(struct l2tp *l, struct tunnel *t)
{
	char raw[ADDR_TEXT_MAX];

	t->rel.passive = true;
	t->rel.nr = 1; /* the SCCRQ is taken; SCCRP will say so */
	t->state_at = mono_add(l->now, L2TP_ANSWER_US);
	thing_news(l, &t->thing, NEWS_ASK);
	addr_text(&t->path.remote, raw);
	trace_put(tunnel_trace(l, t), TRACE_L2TP_TUNNEL_ASK, l->now, t->handle, t->local_id,
		  t->remote_id, 0, 0, raw, strlen(raw));
}

static void act_sends(struct l2tp *l, struct tunnel *t, unsigned act)
{
	if (act & TA_SCCRQ) {
		t->want |= WANT_SCCRQ;
		t->state_at = mono_add(l->now, t->profile->p.setup_us);
		htab_put(&l->by_dial, &t->by_dial, tunnel_dial_hash(l, &t->path.remote));
		t->in_dial = true;
	}
	if (act & TA_SCCRP) {
		t->want |= WANT_SCCRP;
		t->state_at = mono_add(l->now, L2TP_CYCLE_US);
	}
	if (act & TA_SCCCN)
		t->want |= WANT_SCCCN;
}

void tunnel_step(struct l2tp *l, struct tunnel *t, enum tunnel_event ev, const struct ending *why)
{
	struct tunnel_row row = t->state < L2TP_TS_DEAD ? tunnel_table[ev][t->state]
							: (struct tunnel_row){ TS_SAME, 0 };
	unsigned from = t->state;

	if (row.next == TS_SAME)
		return;
	t->state = row.next;
	if (t->in_dial && t->state != L2TP_TS_WAIT_REPLY && t->state != L2TP_TS_UP) {
		htab_drop(&l->by_dial, &t->by_dial);
		t->in_dial = false;
	}
	if (t->state != L2TP_TS_UP) {
		t->doubts = 0;
		doubt_leave(l, t);
	}
	act_sends(l, t, row.act);
	if (row.act & TA_ASK)
		act_ask(l, t);
	if (row.act & TA_STOP)
		act_stop(t, from);
	if (row.act & TA_END)
		act_end(l, t, why);
	if (row.act & TA_WAIT)
		t->state_at = mono_add(l->now, wait_of(t));
	if (t->state == L2TP_TS_LINGER) {
		t->want = 0;
		rel_abandon(&t->rel);
	}
	if (row.act & TA_UP)
		act_up(l, t);
	if (row.act & TA_FINISH)
		act_finish(l, t);
	else
		engine_work(l, t);
	thing_dirty(l, &t->thing);
	tunnel_timer(l, t);
}
