/* SPDX-License-Identifier: MIT
 *
 * The control connection of L2TPv3 (RFC 3931 3.3, 4.2, 4.4, 7.2): making and freeing, the timers,
 * the actions of its automaton. The automaton is that of v2 (tunnel_table in tunnel.c), the
 * messages are in v3_ctl.c.
 */
#include <stdio.h>
#include "l2tp/v3_int.h"

/* ---- keys ---- */

struct peer_key {
	struct path path;
	uint32_t remote_id;
};

static uint64_t peer_hash(const struct l2tp3 *l, const struct path *path, uint32_t remote_id)
{
	struct peer_key key = { *path, remote_id };

	return htab_hash(&l->by_peer, &key, sizeof(key));
}

uint64_t conn_dial_hash(const struct l2tp3 *l, const struct addr *a)
{
	struct addr key = *a;

	key.port = 0;
	return htab_hash(&l->by_dial, &key, sizeof(key));
}

void conn_key_peer(struct l2tp3 *l, struct conn *c, uint32_t remote_id)
{
	if (c->in_peer)
		htab_drop(&l->by_peer, &c->by_peer);
	c->remote_id = remote_id;
	c->in_peer = remote_id != 0;
	if (c->in_peer)
		htab_put(&l->by_peer, &c->by_peer, peer_hash(l, &c->path, remote_id));
}

struct conn *conn_by_peer(struct l2tp3 *l, const struct path *path, uint32_t remote_id,
			  const struct conn *after)
{
	struct htab_node *n = after ? htab_next(&after->by_peer)
				    : htab_find(&l->by_peer, peer_hash(l, path, remote_id));

	for (; n; n = htab_next(n)) {
		struct conn *c = container_of(n, struct conn, by_peer);

		if (c->remote_id == remote_id && path_equal(&c->path, path))
			return c;
	}
	return NULL;
}

static void leave_dial(struct l2tp3 *l, struct conn *c)
{
	if (c->in_dial)
		htab_drop(&l->by_dial, &c->by_dial);
	c->in_dial = false;
}

static void leave_keys(struct l2tp3 *l, struct conn *c)
{
	if (c->in_peer)
		htab_drop(&l->by_peer, &c->by_peer);
	if (c->in_request)
		htab_drop(&l->by_request, &c->by_request);
	c->in_peer = c->in_request = false;
	leave_dial(l, c);
	doubt3_leave(l, c);
}

void conn_dial(struct l2tp3 *l, struct conn *c)
{
	c->state_at = mono_add(l->now, c->profile->p.setup_us);
	htab_put(&l->by_dial, &c->by_dial, conn_dial_hash(l, &c->path.remote));
	c->in_dial = true;
}

/* ---- making and freeing ---- */

static void init_rel(struct l2tp3 *l, struct conn *c)
{
	struct rel_params rp = { .modulus_mask = 0xffff,
				 .window = 16,
				 .peer_window = 4, /* until the peer tells (5.4.3) */
				 .bytes_max = L2TP_FLIGHT_MAX,
				 .first_us = US_S,
				 .cap_us = 8 * US_S,
				 .retries = 10,
				 .account = &l->account };

	rel_init(&c->rel, &rp);
}

static void init(struct l2tp3 *l, struct conn *c, adit_handle h, const struct path *path)
{
	struct list *lists[] = { &c->sessions, &c->answers, &c->requests,
				 &c->work,     &c->out,	    &c->dead };

	thing_init(&c->thing, (enum l2tp_object)L2TP3_OBJ_CONN);
	c->handle = h;
	c->path = *path;
	c->over_ip = path_is_ip(path);
	c->state = L2TP_TS_IDLE;
	c->auth = c->over_ip ? CONN_AUTH_SUM : CONN_AUTH_OFF;
	init_rel(l, c);
	c->state_at = c->hello_at = c->empty_at = c->pump_at = MONO_NEVER;
	c->doubt_at = c->doubted = (struct mono){ INT64_MIN };
	c->since = c->heard = l->now;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_init(lists[i]);
	bound_node_init(&c->bound);
}

int conn_new(struct l2tp3 *l, const struct path *path, bool initiator, uint32_t id,
	     struct conn **ret)
{
	struct conn *c;
	adit_handle h;
	int rc;

	if (pool_count(l->conns) >= l->max_conns)
		return 1;
	if (htab_reserve(&l->by_peer) < 0 || htab_reserve(&l->by_request) < 0 ||
	    htab_reserve(&l->by_dial) < 0 || htab_reserve(&l->by_host) < 0 ||
	    heap_reserve(&l->conn_timers, pool_count(l->conns) + 1) < 0)
		return -ENOMEM;
	c = pool_take(l->conns, &h);
	if (!c)
		return -ENOMEM;
	init(l, c, h, path);
	rc = id ? idmap_put(l->conn_ids, 0, id, c) : idmap_take(l->conn_ids, 0, c, &id);
	if (rc) {
		pool_give(l->conns, h);
		return rc;
	}
	c->local_id = id;
	c->initiator = c->verified = initiator;
	*ret = c;
	return 0;
}

void conn_release_request(struct l2tp3 *l, struct conn *c)
{
	v3_release(l, c->request, c->request_len);
	c->request = NULL;
	c->request_len = 0;
}

void conn_undo(struct l2tp3 *l, struct conn *c)
{
	bound_leave(&l->bound, &c->bound);
	leave_keys(l, c);
	heap_clear(&l->conn_timers, &c->timer);
	thing_quit(&c->thing);
	list_drop(&c->work);
	list_drop(&c->out);
	list_drop(&c->dead);
	rel_free(&c->rel);
	conn_release_request(l, c);
	v3_text_free(l, &c->text);
	v3_text_free(l, &c->hint);
	v3_text_free(l, &c->host_name);
	v3_text_free(l, &c->vendor_name);
	l2tp3_profile_unref(c->profile);
	bytes_wipe(c->challenge, sizeof(c->challenge));
	/* Strangers make connections faster than ids have rested. */
	if (c->was_up || c->initiator)
		idmap_drop(l->conn_ids, 0, c->local_id, l->now);
	else
		idmap_forget(l->conn_ids, 0, c->local_id);
	pool_give(l->conns, c->handle);
}

void conn_reap(struct l2tp3 *l, struct conn *c)
{
	if (!c->thing.finished || c->thing.known || c->thing.recorded || c->thing.mask ||
	    !list_empty(&c->sessions))
		return;
	trace(conn_trace(l, c), TRACE_L2TP3_CONN_GONE, l->now, c->handle, c->local_id, 0);
	conn_undo(l, c);
}

void conn_adopt(struct conn *c, struct l2tp3_profile *p)
{
	c->profile = l2tp3_profile_ref(p);
	c->rel.p.window = p->p.receive_window;
	c->rel.p.first_us = c->rel.wait_us = p->p.retry_first_us;
	c->rel.p.cap_us = p->p.retry_cap_us;
	c->rel.p.retries = p->p.retry_max;
	c->challenged = p->p.challenge;
	c->quirks = (uint8_t)p->p.quirks;
}

int conn_names(struct l2tp3 *l, struct conn *c, struct l2tp_bytes host, struct l2tp_bytes vendor)
{
	char h[L2TP_NAME_MAX], v[L2TP_NAME_MAX], *hp, *vp;

	engine_name(h, sizeof(h), host);
	engine_name(v, sizeof(v), vendor);
	hp = v3_text(l, h);
	vp = v3_text(l, v);
	if ((h[0] && !hp) || (v[0] && !vp)) {
		v3_text_free(l, &hp);
		v3_text_free(l, &vp);
		return -ENOMEM;
	}
	v3_text_free(l, &c->host_name);
	v3_text_free(l, &c->vendor_name);
	c->host_name = hp;
	c->vendor_name = vp;
	return 0;
}

void conn_hint(struct l2tp3 *l, struct conn *c, const char *text)
{
	v3_text_free(l, &c->hint);
	c->hint = v3_text(l, text);
}

void conn_unlike(struct l2tp3 *l, const struct conn *c, enum l2tp3_check check)
{
	struct htab_node *n = htab_find(&l->by_dial, conn_dial_hash(l, &c->path.remote));

	for (; n; n = htab_next(n)) {
		struct conn *ours = container_of(n, struct conn, by_dial);

		if (ours->state == L2TP3_CS_WAIT_REPLY && ours->auth == CONN_AUTH_ON &&
		    ours->profile == c->profile && ours->over_ip == c->over_ip &&
		    addr_same_ip(&ours->path.remote, &c->path.remote))
			ours->unlike = (uint8_t)check;
	}
}

bool conn_worth_record(const struct conn *c)
{
	switch ((unsigned)c->state) {
	case L2TP3_CS_WAIT_REPLY:
		return !c->offered;
	case L2TP3_CS_WAIT_CONN:
	case L2TP3_CS_UP:
		return true;
	case L2TP3_CS_CLOSING: /* its StopCCN goes on, but not for strangers */
		return c->verified;
	}
	return false;
}

/* ---- timers ---- */

void conn_timer(struct l2tp3 *l, struct conn *c)
{
	struct mono at = rel_deadline(&c->rel);

	if (c->thing.finished) {
		heap_clear(&l->conn_timers, &c->timer);
		return;
	}
	at = mono_min(at, mono_min(c->state_at, c->hello_at));
	at = mono_min(at, mono_min(c->empty_at, c->pump_at));
	if (c->doubts)
		at = mono_min(at, c->doubt_at);
	heap_set(&l->conn_timers, &c->timer, at);
}

static int64_t hello_us(const struct conn *c)
{
	if (c->quirks & L2TP3_QUIRK_NO_HELLO)
		return -1;
	return c->profile ? c->profile->p.hello_us : -1;
}

/* Connections between the same ends do not all speak at once (4.4): up to a tenth earlier. */
void conn_arm_hello(struct l2tp3 *l, struct conn *c)
{
	int64_t us = hello_us(c), tenth = us / 10;

	c->hello_at = MONO_NEVER;
	if (c->state != L2TP3_CS_UP || us < 0)
		return;
	if (tenth > 0)
		us -= rng_below(&l->rng, tenth < UINT32_MAX ? (uint32_t)tenth : UINT32_MAX);
	c->hello_at = mono_add(c->heard, us);
}

static bool quiet_still(const struct l2tp3 *l, const struct conn *c)
{
	return mono_due(mono_add(c->heard, hello_us(c) - hello_us(c) / 10), l->now);
}

void conn_hello(struct l2tp3 *l, struct conn *c)
{
	c->quiet_asked = false;
	c->thing.mask &= (uint8_t)~NEWS_QUIET;
	c->hello_at = MONO_NEVER; /* armed again when something is heard */
	c->want |= WANT_HELLO;
	v3_work(l, c);
}

/* Nothing was received for a while (4.4): first ask whether data came by the data plane. */
static void hello_due(struct l2tp3 *l, struct conn *c)
{
	if (!quiet_still(l, c)) {
		c->quiet_asked = false;
		conn_arm_hello(l, c);
	} else if (rel_held_count(&c->rel) || c->want) {
		c->hello_at = MONO_NEVER; /* what is outstanding does the same */
	} else if (!c->quiet_asked) {
		c->quiet_asked = true;
		c->hello_at = mono_add(l->now, L2TP_QUIET_US);
		v3_news(l, &c->thing, NEWS_QUIET);
		trace(conn_trace(l, c), TRACE_L2TP3_CONN_QUIET, l->now, c->handle, c->local_id, 0);
	} else {
		conn_hello(l, c);
	}
}

void conn_heard(struct l2tp3 *l, struct conn *c, struct mono at)
{
	if (c->state != L2TP3_CS_UP)
		return;
	if (at.us > c->heard.us && at.us <= l->now.us)
		c->heard = at;
	doubt3_heard(l, c);
	if (!c->quiet_asked)
		return;
	c->quiet_asked = false;
	c->thing.mask &= (uint8_t)~NEWS_QUIET;
	if (quiet_still(l, c))
		conn_hello(l, c);
	else
		conn_arm_hello(l, c);
	conn_timer(l, c);
}

void conn_awake(struct l2tp3 *l, struct conn *c)
{
	if ((c->state != L2TP3_CS_UP && c->state != L2TP3_CS_WAIT_REPLY) || c->yields)
		return;
	if (rel_held_count(&c->rel)) {
		rel_restart(&c->rel, l->now);
		rel_repeat(&c->rel);
		v3_work(l, c);
	} else if (c->state == L2TP3_CS_UP && hello_us(c) >= 0) {
		conn_hello(l, c);
	}
	conn_timer(l, c);
}

void conn_empty(struct l2tp3 *l, struct conn *c)
{
	c->empty_at = MONO_NEVER;
	if (c->state == L2TP3_CS_UP && list_empty(&c->sessions) && c->profile->p.empty_us >= 0)
		c->empty_at = mono_add(l->now, c->profile->p.empty_us);
	conn_timer(l, c);
}

/* The time limit of a state. */
static void state_due(struct l2tp3 *l, struct conn *c)
{
	struct ending late = { .cause = ADIT_CAUSE_SETUP_TIMEOUT,
			       .result = L2TP_STOP_CLEAR,
			       .text = "the connection was not established in time" };
	struct ending dumb = { .cause = ADIT_CAUSE_SETUP_TIMEOUT,
			       .result = L2TP_STOP_ERROR,
			       .error = L2TP_ERR_RESOURCES,
			       .text = "no answer to the request in time" };
	struct ending beaten = { .cause = ADIT_CAUSE_PEER_CLOSED_TUNNEL,
				 .result = L2TP_STOP_EXISTS,
				 .text = stop_result_text(L2TP_STOP_EXISTS, 0),
				 .by_peer = true };

	switch ((unsigned)c->state) {
	case L2TP3_CS_CLOSING:
	case L2TP3_CS_LINGER:
		conn_step(l, c, TE_EXPIRED, NULL);
		return;
	}
	if (!mono_due(l->grace, l->now)) {
		c->state_at = l->grace;
		return;
	}
	c->state_at = MONO_NEVER;
	if (c->state == L2TP3_CS_ASKING)
		conn_step(l, c, TE_CLOSE, &dumb);
	else if (c->beaten)
		conn_step(l, c, TE_LOST, &beaten);
	else /* whoever never showed up gets no StopCCN either */
		conn_step(l, c, c->verified && !c->offered ? TE_CLOSE : TE_LOST, &late);
}

/* Why nobody has answered, as far as it can be told. */
static const char *lost_text(const struct conn *c, char text[L2TP_TEXT_MAX])
{
	const char *came = c->hint ? c->hint : "no acknowledgement after all retransmissions";
	char all[2 * L2TP_TEXT_MAX];
	int n;

	n = snprintf(
		all, sizeof(all), "%s%s",
		c->was_up || c->unlike == L2TP3_CHECK_GOOD ? ""
		: c->unlike == L2TP3_CHECK_WRONG
			? "the peer signs with another secret: set the same secret on both sides; "
			: "the peer does not sign: set the same secret on both sides; ",
		came);
	engine_name(text, L2TP_TEXT_MAX, (struct l2tp_bytes){ (const uint8_t *)all, (uint16_t)n });
	return text;
}

static void rel_due(struct l2tp3 *l, struct conn *c)
{
	struct ending why = { .cause =
				      c->was_up ? ADIT_CAUSE_TUNNEL_LOST : ADIT_CAUSE_UNREACHABLE };
	char text[L2TP_TEXT_MAX];

	switch (rel_expire(&c->rel, l->now)) {
	case REL_WAIT:
		break;
	case REL_AGAIN:
		v3_work(l, c);
		break;
	case REL_LOST:
		if (c->hint) /* something did come, but it could not be believed */
			why.cause = ADIT_CAUSE_TUNNEL_AUTH_FAILED;
		why.text = lost_text(c, text);
		conn_step(l, c, TE_LOST, &why);
		break;
	}
}

void conn_expire(struct l2tp3 *l, struct conn *c)
{
	struct ending idle = { .cause = ADIT_CAUSE_IDLE_TIMEOUT,
			       .result = L2TP_STOP_CLEAR,
			       .text = "no session is left in the connection" };

	rel_due(l, c);
	if (mono_due(c->pump_at, l->now)) {
		c->pump_at = MONO_NEVER;
		v3_work(l, c);
	}
	if (mono_due(c->state_at, l->now))
		state_due(l, c);
	if (mono_due(c->empty_at, l->now)) {
		c->empty_at = MONO_NEVER;
		conn_step(l, c, TE_CLOSE, &idle);
	}
	if (mono_due(c->hello_at, l->now))
		hello_due(l, c);
	doubt3_due(l, c);
	conn_timer(l, c);
}

/* ---- ties ---- */

void conn_yield(struct l2tp3 *l, struct conn *loser, struct conn *winner)
{
	loser->yields = winner->handle;
	loser->beaten = false;
	winner->loser = loser->handle;
	loser->rel.passive = true;
	rel_restart(&loser->rel, l->now);
	loser->state_at = MONO_NEVER;
	list_drop(&loser->out);
	conn_timer(l, loser);
	trace(l->trace, TRACE_L2TP3_CONN_YIELD, l->now, loser->handle, loser->local_id,
	      winner->local_id);
}

void conn_again(struct l2tp3 *l, struct conn *c)
{
	struct ending why = { .cause = ADIT_CAUSE_LOOP,
			      .text = "both sides send the same tie breakers" };
	uint32_t id;

	if (++c->equal > L2TP3_RESTARTS || c->offered || idmap_take(l->conn_ids, 0, c, &id) != 0) {
		conn_step(l, c, TE_TIE_LOST, &why);
		return;
	}
	trace(conn_trace(l, c), TRACE_L2TP3_CONN_TIE_EQUAL, l->now, c->handle, c->local_id, 0);
	idmap_drop(l->conn_ids, 0, c->local_id, l->now);
	c->local_id = id;
	rel_abandon(&c->rel);
	c->rel.ns = c->rel.una = c->rel.nxt = 0;
	rng_bytes(&l->rng, &c->tie, sizeof(c->tie));
	digest_begin(l, c);
	if (c->challenged)
		rng_bytes(&l->rng, c->challenge, sizeof(c->challenge));
	c->want = WANT_SCCRQ;
	v3_dirty(l, &c->thing);
	v3_work(l, c);
}

/* The peer's SCCRQ won a tie and then came to nothing: ours goes on. */
static void loser_resumes(struct l2tp3 *l, struct conn *winner)
{
	struct conn *c = pool_get(l->conns, winner->loser);

	winner->loser = 0;
	if (!c || c->yields != winner->handle || c->state != L2TP3_CS_WAIT_REPLY)
		return;
	c->yields = 0;
	c->rel.passive = false;
	rel_restart(&c->rel, l->now);
	rel_repeat(&c->rel);
	c->state_at = mono_add(l->now, c->profile->p.setup_us);
	v3_work(l, c);
	conn_timer(l, c);
}

static void loser_ends(struct l2tp3 *l, struct conn *winner)
{
	struct ending why = { .cause = ADIT_CAUSE_TIE_LOST,
			      .text = "the peer opened a connection at the same time" };
	struct conn *c = pool_get(l->conns, winner->loser);

	winner->loser = 0;
	if (!c || c->yields != winner->handle || c->state != L2TP3_CS_WAIT_REPLY)
		return;
	if (c->profile == winner->profile)
		pw_move(l, c, winner);
	conn_step(l, c, TE_TIE_LOST, &why);
}

/* Whoever else has this peer's id on this path is a memory of the peer's former life. */
static void replace_others(struct l2tp3 *l, struct conn *c)
{
	struct ending why = { .cause = ADIT_CAUSE_REPLACED,
			      .text = "the peer opened a connection with the same id again" };
	struct conn *o = conn_by_peer(l, &c->path, c->remote_id, NULL), *next;

	for (; o; o = next) {
		next = conn_by_peer(l, &c->path, c->remote_id, o);
		if (o != c)
			conn_step(l, o, TE_REPLACED, &why);
	}
}

/* ---- actions ---- */

static void act_up(struct l2tp3 *l, struct conn *c)
{
	char raw[ADDR_TEXT_MAX];

	bound_leave(&l->bound, &c->bound);
	leave_dial(l, c);
	c->yields = 0;
	c->offered = c->beaten = false;
	c->was_up = c->verified = true;
	c->rel.passive = false;
	c->rel.p.retries = c->profile->p.retry_max;
	rel_restart(&c->rel, l->now);
	c->up_at = c->since = c->heard = l->now;
	c->state_at = MONO_NEVER;
	v3_text_free(l, &c->hint);
	replace_others(l, c);
	loser_ends(l, c);
	doubt3_enter(l, c);
	doubt3_others(l, c);
	v3_news(l, &c->thing, NEWS_UP);
	conn_arm_hello(l, c);
	conn_empty(l, c);
	addr_text(&c->path.remote, raw);
	trace_put(conn_trace(l, c), TRACE_L2TP3_CONN_UP, l->now, c->handle, c->local_id,
		  c->remote_id, 0, 0, raw, strlen(raw));
}

static void act_end(struct l2tp3 *l, struct conn *c, const struct ending *why)
{
	c->thing.over = true;
	c->thing.mask = 0;
	c->why = *why;
	c->why.text = NULL;
	v3_text_free(l, &c->text);
	c->text = v3_text(l, why->text);
	c->hello_at = c->empty_at = MONO_NEVER;
	if (c->thing.known || !list_empty(&c->sessions))
		v3_news(l, &c->thing, NEWS_DOWN);
	else
		list_drop(&c->thing.news);
	trace_put(conn_trace(l, c), TRACE_L2TP3_CONN_END, l->now, c->handle, c->local_id,
		  why->cause, why->result, why->error, c->text, c->text ? strlen(c->text) : 0);
	loser_resumes(l, c);
}

static void act_stop(struct conn *c, unsigned from)
{
	/* A request that nobody has answered is not to be delivered any more: StopCCN takes its
	 * place (5.4.3, Assigned Control Connection ID). */
	if (from == L2TP3_CS_WAIT_REPLY) {
		rel_abandon(&c->rel);
		c->rel.passive = false;
		c->yields = 0;
	}
	c->want = WANT_STOP;
}

static void act_finish(struct l2tp3 *l, struct conn *c)
{
	c->thing.finished = true;
	c->want = 0;
	c->state_at = c->hello_at = c->empty_at = c->pump_at = MONO_NEVER;
	bound_leave(&l->bound, &c->bound);
	leave_keys(l, c);
	rel_free(&c->rel);
	list_drop(&c->work);
	list_drop(&c->out);
	if (list_empty(&c->dead))
		list_push(&l->dead_conns, &c->dead);
}

static int64_t wait_of(const struct conn *c)
{
	/* A StopCCN may have to wait for room behind other messages, then has its own cycle. */
	return c->state == L2TP3_CS_CLOSING && c->verified ? 2 * L2TP_CYCLE_US : L2TP_CYCLE_US;
}

static void act_ask(struct l2tp3 *l, struct conn *c)
{
	char raw[ADDR_TEXT_MAX];

	c->rel.passive = true;
	c->rel.nr = 1; /* the SCCRQ is taken; SCCRP will say so */
	c->state_at = mono_add(l->now, L2TP_ANSWER_US);
	v3_news(l, &c->thing, NEWS_ASK);
	addr_text(&c->path.remote, raw);
	trace_put(conn_trace(l, c), TRACE_L2TP3_CONN_ASK, l->now, c->handle, c->local_id,
		  c->remote_id, 0, 0, raw, strlen(raw));
}

static void act_sends(struct l2tp3 *l, struct conn *c, unsigned act)
{
	if (act & TA_SCCRQ) {
		if (!c->offered)
			c->want |= WANT_SCCRQ;
		conn_dial(l, c);
	}
	if (act & TA_SCCRP) {
		c->want |= WANT_SCCRP;
		c->state_at = mono_add(l->now, L2TP_CYCLE_US);
	}
	if (act & TA_SCCCN)
		c->want |= WANT_SCCCN;
}

void conn_step(struct l2tp3 *l, struct conn *c, enum tunnel_event ev, const struct ending *why)
{
	struct tunnel_row row = c->state < L2TP_TS_DEAD ? tunnel_table[ev][c->state]
							: (struct tunnel_row){ TS_SAME, 0 };
	unsigned from = c->state;

	if (row.next == TS_SAME)
		return;
	c->state = row.next;
	if (c->state != L2TP3_CS_WAIT_REPLY && c->state != L2TP3_CS_UP)
		leave_dial(l, c);
	if (c->state != L2TP3_CS_UP)
		doubt3_leave(l, c);
	act_sends(l, c, row.act);
	if (row.act & TA_ASK)
		act_ask(l, c);
	if (row.act & TA_STOP)
		act_stop(c, from);
	if (row.act & TA_END)
		act_end(l, c, why);
	if (row.act & TA_WAIT)
		c->state_at = mono_add(l->now, wait_of(c));
	if (c->state == L2TP3_CS_LINGER) {
		c->want = 0;
		rel_abandon(&c->rel);
	}
	if (row.act & TA_UP)
		act_up(l, c);
	if (row.act & TA_FINISH)
		act_finish(l, c);
	else
		v3_work(l, c);
	v3_dirty(l, &c->thing);
	conn_timer(l, c);
}
