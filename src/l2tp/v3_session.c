/* SPDX-License-Identifier: MIT
 *
 * Sessions of L2TPv3 (RFC 3931 3.4, 5.4.4, 7.3, 7.4): making and freeing, the actions of their
 * automata, the owner's commands. The automata are those of v2's calls (call_table in call.c); the
 * messages are in v3_smsg.c.
 *
 * Session ids are one space for all connections (4.1.1). While a request of ours waits for its
 * answer the session can be found by its circuit (end ids, group), for ties.
 */
#include "l2tp/v3_int.h"

/* ---- keys ---- */

static uint64_t remote_hash(const struct l2tp3 *l, const struct conn *c, uint32_t remote_id)
{
	uint32_t key[2] = { c->local_id, remote_id };

	return htab_hash(&l->by_remote, key, sizeof(key));
}

void pw_key_remote(struct l2tp3 *l, struct pw *s, uint32_t remote_id)
{
	if (s->in_remote)
		htab_drop(&l->by_remote, &s->by_remote);
	s->remote_id = remote_id;
	s->in_remote = remote_id != 0;
	if (s->in_remote)
		htab_put(&l->by_remote, &s->by_remote, remote_hash(l, s->conn, remote_id));
}

struct pw *pw_by_remote(struct l2tp3 *l, const struct conn *c, uint32_t remote_id)
{
	struct htab_node *n = htab_find(&l->by_remote, remote_hash(l, c, remote_id));

	for (; n; n = htab_next(n)) {
		struct pw *s = container_of(n, struct pw, by_remote);

		if (s->remote_id == remote_id && s->conn == c)
			return s;
	}
	return NULL;
}

void pw_get_ends(const struct pw *s, struct l2tp_bytes *ret_remote, struct l2tp_bytes *ret_local,
		 struct l2tp_bytes *ret_group)
{
	const struct pw_ends *e = s->ends;

	*ret_remote = *ret_local = *ret_group = (struct l2tp_bytes){ NULL, 0 };
	if (!e)
		return;
	if (e->remote)
		*ret_remote = (struct l2tp_bytes){ e->bytes, e->remote };
	if (e->local)
		*ret_local = (struct l2tp_bytes){ e->bytes + e->remote, e->local };
	if (e->group)
		*ret_group = (struct l2tp_bytes){ e->bytes + e->remote + e->local, e->group };
}

static bool same_bytes(struct l2tp_bytes a, struct l2tp_bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void put_part(uint8_t *key, size_t *at, struct l2tp_bytes b)
{
	size_t n = b.n < L2TP3_END_ID_MAX ? b.n : L2TP3_END_ID_MAX;

	key[(*at)++] = (uint8_t)n;
	if (n)
		memcpy(key + *at, b.p, n);
	*at += n;
}

/* A circuit: our end as the peer calls it, the peer's end, the group. Who does not name his own
 * end means the same name for both (RFC 4667 5.2). */
static uint64_t end_hash(const struct l2tp3 *l, const struct conn *c, struct l2tp_bytes ours,
			 struct l2tp_bytes theirs, struct l2tp_bytes group)
{
	uint8_t key[8 + 3 * (L2TP3_END_ID_MAX + 1)];
	size_t at = sizeof(c->handle);

	memcpy(key, &c->handle, sizeof(c->handle));
	put_part(key, &at, ours);
	put_part(key, &at, theirs);
	put_part(key, &at, group);
	return htab_hash(&l->by_end, key, at);
}

void pw_watch_end(struct l2tp3 *l, struct pw *s, bool on)
{
	struct l2tp_bytes remote, local, group;

	if (s->in_end)
		htab_drop(&l->by_end, &s->by_end);
	s->in_end = on && s->ends;
	if (!s->in_end)
		return;
	pw_get_ends(s, &remote, &local, &group);
	htab_put(&l->by_end, &s->by_end,
		 end_hash(l, s->conn, local.n ? local : remote, remote, group));
}

struct pw *pw_by_end(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m)
{
	struct l2tp_bytes theirs = m->local_end.n ? m->local_end : m->end_id;
	struct htab_node *n = htab_find(&l->by_end, end_hash(l, c, m->end_id, theirs, m->group3));

	for (; n; n = htab_next(n)) {
		struct pw *s = container_of(n, struct pw, by_end);
		struct l2tp_bytes remote, local, group;

		pw_get_ends(s, &remote, &local, &group);
		if (s->conn == c && s->type == m->pw_type && same_bytes(remote, theirs) &&
		    same_bytes(local.n ? local : remote, m->end_id) && same_bytes(group, m->group3))
			return s;
	}
	return NULL;
}

/* ---- making and freeing ---- */

/* Without an id when `with_id` is false. `id` 0: choose one. */
static int make(struct l2tp3 *l, struct conn *c, bool with_id, uint32_t id, struct pw **ret)
{
	struct pw *s;
	adit_handle h;
	int rc = 0;

	if (htab_reserve(&l->by_remote) < 0 || htab_reserve(&l->by_end) < 0 ||
	    heap_reserve(&l->session_timers, pool_count(l->sessions) + 1) < 0)
		return -ENOMEM;
	s = pool_take(l->sessions, &h);
	if (!s)
		return -ENOMEM;
	if (with_id)
		rc = id ? idmap_put(l->session_ids, 0, id, s)
			: idmap_take(l->session_ids, 0, s, &id);
	if (rc) {
		pool_give(l->sessions, h);
		return rc;
	}
	thing_init(&s->thing, (enum l2tp_object)L2TP3_OBJ_SESSION);
	s->handle = h;
	s->conn = c;
	s->local_id = with_id ? id : 0;
	s->state = L2TP_SS_IDLE;
	s->since = l->now;
	s->orphan = !with_id;
	list_init(&s->send);
	list_push(&c->sessions, &s->link);
	c->session_count++;
	c->orphans += s->orphan;
	l->session_count++;
	c->empty_at = MONO_NEVER;
	*ret = s;
	return 0;
}

int pw_new(struct l2tp3 *l, struct conn *c, uint32_t local_id, struct pw **ret)
{
	return make(l, c, true, local_id, ret);
}

static void leave_queue(struct pw *s)
{
	if (s->want != SEND_NOTHING)
		s->conn->queued--;
	s->want = SEND_NOTHING;
	list_drop(&s->send);
}

/* A refusal is all the peer has heard of the id: no data is on its way to it. It needs no rest, and
 * who is refused all the time takes no memory. */
static void give_id(struct l2tp3 *l, struct pw *s)
{
	if (s->named)
		idmap_drop(l->session_ids, 0, s->local_id, l->now);
	else
		idmap_forget(l->session_ids, 0, s->local_id);
	s->named = false;
}

/* Leave the connection and all tables; the object itself stays. */
static void detach(struct l2tp3 *l, struct pw *s)
{
	struct conn *c = s->conn;

	if (!c)
		return;
	if (s->in_remote)
		htab_drop(&l->by_remote, &s->by_remote);
	s->in_remote = false;
	pw_watch_end(l, s, false);
	if (s->local_id && !s->orphan)
		give_id(l, s);
	list_drop(&s->link);
	leave_queue(s);
	heap_clear(&l->session_timers, &s->timer);
	c->session_count--;
	c->orphans -= s->orphan;
	l->session_count--;
}

static void release_ends(struct l2tp3 *l, struct pw *s)
{
	if (s->ends)
		v3_release(l, s->ends,
			   sizeof(*s->ends) + s->ends->remote + s->ends->local + s->ends->group);
	s->ends = NULL;
}

void pw_free(struct l2tp3 *l, struct pw *s)
{
	if (!s->thing.finished)
		detach(l, s);
	list_drop(&s->send); /* dead_sessions */
	list_drop(&s->link);
	thing_quit(&s->thing);
	release_ends(l, s);
	v3_release(l, s->line, sizeof(*s->line));
	v3_text_free(l, &s->text);
	bytes_wipe(s->cookie_in, sizeof(s->cookie_in));
	bytes_wipe(s->cookie_out, sizeof(s->cookie_out));
	pool_give(l->sessions, s->handle);
}

void pw_undo(struct l2tp3 *l, struct pw *s)
{
	struct conn *c = s->conn;

	pw_free(l, s);
	conn_empty(l, c);
}

/*
 * The automaton is done with it. Until the owner has taken its DOWN event it stays with its
 * connection (which is told first where they end together), but nothing finds it any more.
 */
void pw_finish(struct l2tp3 *l, struct pw *s)
{
	struct conn *c = s->conn;

	if (s->thing.finished)
		return;
	detach(l, s);
	s->thing.finished = true;
	list_push(&l->dead_sessions, &s->send);
	if (s->thing.recorded)
		v3_dirty(l, &s->thing);
	if (s->thing.known)
		list_push(&c->sessions, &s->link);
	else
		s->conn = NULL;
	conn_empty(l, c);
}

void pw_reap(struct l2tp3 *l, struct pw *s)
{
	struct conn *c = s->conn;

	if (!s->thing.finished || s->thing.known)
		return;
	/* Told: the connection need not wait for it, only the record may be left. */
	if (c) {
		list_drop(&s->link);
		s->conn = NULL;
		if (c->thing.finished && list_empty(&c->dead))
			list_push(&l->dead_conns, &c->dead);
		conn_empty(l, c);
	}
	if (!s->thing.recorded && !s->thing.mask)
		pw_free(l, s);
}

bool pw_worth_record(const struct pw *s)
{
	if (s->thing.finished)
		return false;
	switch ((unsigned)s->state) {
	case L2TP3_SS_ASKING:
	case L2TP3_SS_WAIT_REPLY:
	case L2TP3_SS_WAIT_CONNECT:
	case L2TP3_SS_UP:
	case L2TP3_SS_CLOSING:
		return true;
	}
	return false;
}

int pw_set_ends(struct l2tp3 *l, struct pw *s, struct l2tp_bytes remote, struct l2tp_bytes local,
		struct l2tp_bytes group)
{
	struct l2tp_bytes all[3] = { remote, local, group };
	struct pw_ends *e;
	size_t size = 0, at = 0;

	for (int i = 0; i < 3; i++) {
		if (all[i].n > L2TP3_END_ID_MAX)
			return -EINVAL;
		size += all[i].n;
	}
	if (!size)
		return 0;
	e = v3_alloc(l, sizeof(*e) + size);
	if (!e)
		return -ENOMEM;
	e->remote = (uint8_t)remote.n;
	e->local = (uint8_t)local.n;
	e->group = (uint8_t)group.n;
	for (int i = 0; i < 3; i++) {
		if (all[i].n)
			memcpy(e->bytes + at, all[i].p, all[i].n);
		at += all[i].n;
	}
	release_ends(l, s);
	s->ends = e;
	return 0;
}

struct pw_line *pw_line(struct l2tp3 *l, struct pw *s)
{
	if (s->line)
		return s->line;
	s->line = v3_alloc(l, sizeof(*s->line));
	if (s->line)
		*s->line = (struct pw_line){ .wen_at = { INT64_MIN } };
	return s->line;
}

int pw_new_id(struct l2tp3 *l, struct pw *s)
{
	uint32_t id;
	int rc = idmap_take(l->session_ids, 0, s, &id);

	if (rc)
		return rc;
	give_id(l, s);
	s->local_id = id;
	return 0;
}

/* ---- actions ---- */

void pw_want(struct l2tp3 *l, struct pw *s, enum session_want what)
{
	struct conn *c = s->conn;

	leave_queue(s);
	s->want = (uint8_t)what;
	if (what == SEND_NOTHING)
		return;
	c->queued++;
	list_push(what == SEND_REQUEST ? &c->requests : &c->answers, &s->send);
	v3_work(l, c);
}

static void note_end(struct l2tp3 *l, struct pw *s, const struct ending *why)
{
	s->cause = (uint8_t)why->cause;
	s->result = why->result;
	s->error = why->error;
	s->by_peer = why->by_peer;
	v3_text_free(l, &s->text);
	s->text = v3_text(l, why->text);
	if (s->orphan)
		return; /* its refusal has said all */
	trace_put(l->trace, TRACE_L2TP3_SESSION_END, l->now, s->handle, s->local_id, why->cause,
		  why->result, why->error, s->text, s->text ? strlen(s->text) : 0);
}

static void act_end(struct l2tp3 *l, struct pw *s)
{
	s->thing.over = true;
	s->thing.mask = 0;
	heap_clear(&l->session_timers, &s->timer);
	if (s->thing.known)
		v3_news(l, &s->thing, NEWS_DOWN);
	else
		list_drop(&s->thing.news);
}

static void act_up(struct l2tp3 *l, struct pw *s)
{
	s->since = l->now;
	heap_clear(&l->session_timers, &s->timer);
	v3_news(l, &s->thing, NEWS_UP);
	/* What has changed since our last message. */
	if (!s->status_told && !s->held)
		pw_want(l, s, SEND_SLI);
	trace_put(l->trace, TRACE_L2TP3_SESSION_UP, l->now, s->handle, s->conn->local_id,
		  s->local_id, s->remote_id, 0, NULL, 0);
}

static int64_t limit_of(const struct pw *s)
{
	return s->state == L2TP3_SS_ASKING ? L2TP_ANSWER_US : s->conn->profile->p.setup_us;
}

/* OCRP and OCCN both have to be sent: the one after the other. */
static void send_connected(struct l2tp3 *l, struct pw *s)
{
	s->answered = s->want == SEND_REPLY;
	if (!s->answered)
		pw_want(l, s, SEND_CONNECTED);
}

/* Whoever counts the numbers of data has to be there before the first of them. */
static void want_connected(struct l2tp3 *l, struct pw *s)
{
	s->held = s->hold && (s->seq_in || s->seq_out);
	if (s->held)
		pw_step(l, s, CE_SENT, NULL); /* for us it is up */
	else
		send_connected(l, s);
}

static void act_sends(struct l2tp3 *l, struct pw *s, unsigned act)
{
	if (act & CA_QUEUE)
		pw_want(l, s, SEND_REQUEST);
	if (act & CA_REPLY)
		pw_want(l, s, SEND_REPLY);
	if (act & CA_CONNECTED)
		want_connected(l, s);
	if (act & CA_CDN)
		pw_want(l, s, SEND_CDN);
	/* A request of the peer for the same circuit meets ours until ours is answered. */
	pw_watch_end(l, s,
		     s->initiator &&
			     (s->state == L2TP3_SS_WAIT_CONN || s->state == L2TP3_SS_WAIT_REPLY));
}

void pw_step(struct l2tp3 *l, struct pw *s, enum call_event ev, const struct ending *why)
{
	struct tunnel_row row = s->state < L2TP_SS_DEAD ? call_table[pw_role(s)][ev][s->state]
							: (struct tunnel_row){ TS_SAME, 0 };

	if (row.next == TS_SAME)
		return;
	s->state = row.next;
	if (row.act & (CA_END | CA_CDN))
		note_end(l, s, why);
	act_sends(l, s, row.act);
	if (row.act & CA_TIMER)
		heap_set(&l->session_timers, &s->timer, mono_add(l->now, limit_of(s)));
	if (row.act & CA_ASK)
		v3_news(l, &s->thing, NEWS_ASK);
	if (row.act & CA_UP)
		act_up(l, s);
	if (row.act & CA_END)
		act_end(l, s);
	if (row.act & CA_FINISH)
		pw_finish(l, s);
	else
		v3_dirty(l, &s->thing);
}

void pw_end_with(struct l2tp3 *l, struct pw *s, const struct ending *why)
{
	/* One that had ended by itself tells its own reason. */
	if (!s->thing.over)
		note_end(l, s, why);
	s->thing.over = true;
	s->thing.mask = 0;
	list_drop(&s->thing.news);
	s->state = L2TP_SS_DEAD;
	pw_finish(l, s);
}

void pw_expire(struct l2tp3 *l, struct pw *s)
{
	struct ending why = { .cause = ADIT_CAUSE_SETUP_TIMEOUT,
			      .result = L2TP_CDN_TIMEOUT,
			      .text = "the session was not established in time" };

	if (s->state == L2TP3_SS_UP) { /* a WEN has waited for its minute */
		heap_clear(&l->session_timers, &s->timer);
		if (s->line && s->line->wen && !s->conn->thing.over && s->want == SEND_NOTHING)
			pw_want(l, s, SEND_WEN);
		return;
	}
	if (!mono_due(l->grace, l->now)) {
		heap_set(&l->session_timers, &s->timer, l->grace);
		return;
	}
	heap_clear(&l->session_timers, &s->timer);
	if (s->state == L2TP3_SS_ASKING)
		why.text = "no answer to the request in time";
	if (s->conn && !s->conn->thing.over)
		pw_step(l, s, CE_EXPIRED, &why);
}

/* ---- refusals without an owner ---- */

int pw_refuse(struct l2tp3 *l, struct conn *c, uint32_t local_id, uint32_t remote_id,
	      const struct ending *why)
{
	struct ending flood = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
				.result = L2TP_STOP_ERROR,
				.error = L2TP_ERR_RESOURCES,
				.text = "too many requests without reading the answers" };
	struct pw *s;
	int rc;

	if (c->orphans >= L2TP_ORPHANS_MAX) {
		conn_step(l, c, TE_CLOSE, &flood);
		return 0;
	}
	rc = make(l, c, false, 0, &s);
	if (rc)
		return rc;
	/* Never 0, even where there is no session of ours (5.4.4): an id that nobody looks for. */
	s->local_id = local_id ? local_id : rng_u32(&l->rng) | 1;
	s->remote_id = remote_id;
	s->thing.over = true;
	trace_put(l->trace, TRACE_L2TP3_SESSION_REFUSED, l->now, c->handle, remote_id, why->result,
		  why->error, 0, why->text, why->text ? strlen(why->text) : 0);
	pw_step(l, s, CE_BAD, why);
	return 0;
}

/* ---- commands ---- */

uint16_t pw_status(uint16_t status)
{
	status &= L2TP3_STATUS_ACTIVE | L2TP3_STATUS_FAULTS | L2TP3_STATUS_STANDBY;
	if (status & L2TP3_STATUS_FAULTS)
		status &= (uint16_t)~L2TP3_STATUS_ACTIVE;
	return status;
}

bool pw_known(uint16_t pw_type)
{
	return pw_type == L2TP3_PW_VLAN || pw_type == L2TP3_PW_ETHERNET || pw_type == L2TP3_PW_PPP;
}

static bool circuit_good(const struct l2tp3_circuit *c)
{
	if (c->cookie_len != 0 && c->cookie_len != 4 && c->cookie_len != 8)
		return false;
	if (c->sublayer > L2TP3_SUBLAYER_DEFAULT || c->sequencing > L2TP3_SEQ_ALL)
		return false;
	return !c->sequencing || c->sublayer;
}

int pw_circuit(struct l2tp3 *l, struct pw *s, const struct l2tp3_circuit *c)
{
	struct pw_line *line;

	if (c->tx_speed || c->rx_speed || c->channel_id) {
		line = pw_line(l, s);
		if (!line)
			return -ENOMEM;
		line->tx_speed = c->tx_speed;
		line->rx_speed = c->rx_speed;
		line->channel_id = c->channel_id;
	}
	s->cookie_in_len = c->cookie_len;
	rng_bytes(&l->rng, s->cookie_in, c->cookie_len);
	s->sublayer_in = c->sublayer;
	s->seq_in = c->sequencing;
	s->local_status = pw_status(c->status);
	s->mtu = c->mtu;
	return 0;
}

static bool offered(const struct conn *c, uint16_t pw_type)
{
	for (unsigned i = 0; i < L2TP3_PW_TYPES_MAX; i++) {
		if (c->profile->p.pw_types[i] == pw_type)
			return true;
	}
	return false;
}

static bool open_good(const struct conn *c, const struct l2tp3_cmd *cmd)
{
	return pw_known(cmd->pw_type) && offered(c, cmd->pw_type) && cmd->remote_end_id &&
	       cmd->remote_end_id_len && cmd->remote_end_id_len <= L2TP3_END_ID_MAX &&
	       cmd->local_end_id_len <= L2TP3_END_ID_MAX && cmd->group_id_len <= L2TP3_END_ID_MAX &&
	       circuit_good(&cmd->circuit);
}

static struct l2tp_bytes bytes_of(const void *p, uint8_t n)
{
	return (struct l2tp_bytes){ p, p ? n : 0 };
}

int pw_open(struct l2tp3 *l, struct conn *c, struct l2tp3_cmd *cmd)
{
	struct pw *s;
	int rc;

	if (!open_good(c, cmd))
		return -EINVAL;
	if (c->state == L2TP3_CS_UP && !conn_peer_has(c, cmd->pw_type))
		return 4;
	if ((c->profile->p.max_sessions &&
	     c->session_count - c->orphans >= c->profile->p.max_sessions) ||
	    l->session_count >= l->max_sessions)
		return 2;
	rc = pw_new(l, c, 0, &s);
	if (rc)
		return rc > 0 ? 2 : rc;
	s->type = cmd->pw_type;
	rc = pw_set_ends(l, s, bytes_of(cmd->remote_end_id, cmd->remote_end_id_len),
			 bytes_of(cmd->local_end_id, cmd->local_end_id_len),
			 bytes_of(cmd->group_id, cmd->group_id_len));
	if (!rc)
		rc = pw_circuit(l, s, &cmd->circuit);
	if (rc) {
		pw_undo(l, s);
		return rc;
	}
	s->initiator = true;
	s->outgoing = cmd->outgoing;
	s->owner = cmd->owner;
	s->serial = ++l->serial;
	s->hold = cmd->hold;
	s->has_tie = !c->profile->p.tie_breaker_off;
	if (s->has_tie)
		rng_bytes(&l->rng, &s->tie, sizeof(s->tie));
	s->thing.known = true;
	trace(l->trace, TRACE_L2TP3_SESSION_OPEN, l->now, s->handle, c->local_id, s->local_id);
	pw_step(l, s, CE_OPEN, NULL);
	conn_timer(l, c);
	cmd->ret_handle = s->handle;
	return 0;
}

bool pw_mirror(struct pw *s)
{
	const struct l2tp3_params *p = &s->conn->profile->p;
	bool changed = false;

	if (s->sublayer_out && !s->sublayer_in && p->mirror_sublayer) {
		s->sublayer_in = s->sublayer_out;
		changed = true;
	}
	if (s->seq_out && !s->seq_in && s->sublayer_in && p->mirror_sequencing) {
		s->seq_in = L2TP3_SEQ_ALL; /* those planes number all data, or none */
		changed = true;
	}
	return changed;
}

int pw_accept(struct l2tp3 *l, struct pw *s, struct l2tp3_cmd *cmd)
{
	struct ending mtu = { .cause = ADIT_CAUSE_CONFIG,
			      .result = L2TP3_CDN_MTU,
			      .text = "the Interface MTU AVP (91) is not that of our interface" };
	int rc;

	if (!circuit_good(&cmd->circuit))
		return -EINVAL;
	rc = pw_circuit(l, s, &cmd->circuit);
	if (rc)
		return rc;
	s->owner = cmd->owner;
	if (s->mtu && s->peer_mtu && s->mtu != s->peer_mtu) {
		pw_step(l, s, CE_CLOSE, &mtu);
		return 0;
	}
	/* OCRQ was the caller's only message: it cannot ask for more now. */
	if (s->outgoing && !s->sublayer_out && s->conn->profile->p.mirror_sublayer)
		s->sublayer_in = s->seq_in = 0;
	(void)pw_mirror(s);
	pw_step(l, s, CE_ACCEPT, NULL);
	return 0;
}

/* The circuit that an OCRQ asked for is there: OCCN goes out (7.4.2). */
int pw_answered(struct l2tp3 *l, struct pw *s, const struct l2tp3_cmd *cmd)
{
	if (pw_role(s) != CALL_ROLE_LAC_OUT || s->state != L2TP3_SS_WAIT_CONNECT ||
	    s->want == SEND_CONNECTED || s->answered)
		return -EINVAL;
	s->local_status = pw_status(cmd->status);
	s->status_told = false;
	s->hold = cmd->hold;
	pw_step(l, s, CE_ANSWERED, NULL);
	return 0;
}

int pw_go(struct l2tp3 *l, struct pw *s)
{
	s->hold = false;
	if (!s->held)
		return 0;
	s->held = false;
	if (s->state == L2TP3_SS_UP)
		send_connected(l, s);
	return 0;
}

/* 5.4.5, 6.14: who was told of a circuit is told of its changes. */
int pw_set_status(struct l2tp3 *l, struct pw *s, const struct l2tp3_cmd *cmd)
{
	uint16_t status = pw_status(cmd->status);

	if (status == s->local_status)
		return 0;
	s->local_status = status;
	v3_dirty(l, &s->thing);
	if (!s->status_told)
		return 0; /* what waits to be sent tells it */
	s->status_told = false;
	if (s->held)
		return 0;
	/* A request that has no answer yet is followed by ICCN, or by SLI when that is up. */
	if ((s->state == L2TP3_SS_UP || (s->state == L2TP3_SS_WAIT_CONNECT && !s->initiator)) &&
	    (s->want == SEND_NOTHING || s->want == SEND_WEN))
		pw_want(l, s, SEND_SLI);
	return 0;
}

/* WEN (6.13): only when there are errors, and not more than one a minute for a session. */
int pw_errors(struct l2tp3 *l, struct pw *s, const struct l2tp3_cmd *cmd)
{
	struct pw_line *line;

	if (s->state != L2TP3_SS_UP)
		return -EINVAL;
	line = pw_line(l, s);
	if (!line)
		return -ENOMEM;
	if (memcmp(line->errors, cmd->errors, sizeof(line->errors)) == 0)
		return 0;
	memcpy(line->errors, cmd->errors, sizeof(line->errors));
	line->wen = true;
	if (!mono_due(line->wen_at, l->now))
		heap_set(&l->session_timers, &s->timer, line->wen_at);
	else if (s->want == SEND_NOTHING)
		pw_want(l, s, SEND_WEN);
	v3_dirty(l, &s->thing);
	return 0;
}

void pw_move(struct l2tp3 *l, struct conn *from, struct conn *to)
{
	while (!list_empty(&from->requests)) {
		struct pw *s = container_of(from->requests.next, struct pw, send);

		/* Those that find no place end with their connection. */
		if (to->profile->p.max_sessions &&
		    to->session_count - to->orphans >= to->profile->p.max_sessions)
			return;
		leave_queue(s);
		list_drop(&s->link);
		from->session_count--;
		s->conn = to;
		list_push(&to->sessions, &s->link);
		to->session_count++;
		to->empty_at = MONO_NEVER;
		pw_want(l, s, SEND_REQUEST);
		pw_watch_end(l, s, true);
	}
}
