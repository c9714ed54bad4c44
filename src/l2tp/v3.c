/* SPDX-License-Identifier: MIT
 *
 * The L2TPv3 engine's entry points (see include/adit/l2tp3.h): demultiplexing, time, events,
 * output, and the bookkeeping that all its objects share.
 *
 * Demultiplexing (RFC 3931 3.2, 4.1): control by connection id, data by session id alone (one space
 * for all connections, 4.1.1); then the whole path has to be the connection's. Control without a
 * connection id comes from strangers and goes to v3_open.c. Control that belongs to nobody is
 * dropped without an answer; of data see v3_doubt.c.
 */
#include "l2tp/v3_int.h"

/* ---- memory ---- */

void *v3_alloc(struct l2tp3 *l, size_t n)
{
	void *p = malloc(n);

	if (p)
		l->account += n;
	return p;
}

void v3_release(struct l2tp3 *l, void *p, size_t n)
{
	if (!p)
		return;
	l->account -= n;
	free(p);
}

char *v3_text(struct l2tp3 *l, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	char *copy;

	if (n > L2TP_TEXT_MAX - 1)
		n = L2TP_TEXT_MAX - 1;
	if (!n)
		return NULL;
	copy = v3_alloc(l, n + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

void v3_text_free(struct l2tp3 *l, char **text)
{
	if (*text)
		v3_release(l, *text, strlen(*text) + 1);
	*text = NULL;
}

/* ---- drops ---- */

int v3_drop(struct l2tp3 *l, enum drop3 why, uint32_t id, const struct path *path)
{
	uint64_t *const counters[L2TP3_DROPS] = {
		[DROP3_HEADER] = &l->count.drop_header,
		[DROP3_CONN] = &l->count.drop_unknown_conn,
		[DROP3_SESSION] = &l->count.drop_unknown_session,
		[DROP3_PATH] = &l->count.drop_path,
		[DROP3_STATE] = &l->count.drop_state,
		[DROP3_SEQUENCE] = &l->count.drop_sequence,
		[DROP3_AVP] = &l->count.drop_avp,
		[DROP3_WINDOW] = &l->count.drop_window,
		[DROP3_LIMIT] = &l->count.drop_limit,
		[DROP3_DIGEST] = &l->count.drop_digest,
		[DROP3_COOKIE] = &l->count.drop_cookie,
	};
	char from[ADDR_TEXT_MAX];

	++*counters[why];
	l->drop_count[why]++;
	/* A flood must not wash everything else out of the recorder. */
	if (!l->trace || !mono_due(l->drop_at[why], l->now))
		return L2TP3_IN_DROP;
	addr_text(&path->remote, from);
	trace_put(l->trace, (enum trace_kind)(TRACE_L2TP3_DROP_HEADER + (int)why), l->now, 0,
		  l->drop_count[why], id, 0, 0, from, strlen(from));
	l->drop_at[why] = mono_add(l->now, US_S);
	l->drop_count[why] = 0;
	return L2TP3_IN_DROP;
}

/* ---- lists ---- */

void v3_news(struct l2tp3 *l, struct thing *th, uint8_t news)
{
	th->mask |= news;
	if (list_empty(&th->news))
		list_push(&l->news, &th->news);
}

void v3_dirty(struct l2tp3 *l, struct thing *th)
{
	if (list_empty(&th->journal))
		list_push(th->kind == L2TP3_OBJ_CONN ? &l->journal_conns : &l->journal_sessions,
			  &th->journal);
}

void v3_work(struct l2tp3 *l, struct conn *c)
{
	if (list_empty(&c->work))
		list_push(&l->work, &c->work);
}

void v3_out(struct l2tp3 *l, struct conn *c)
{
	if (list_empty(&c->out))
		list_push(&l->out, &c->out);
}

void v3_pump(struct l2tp3 *l)
{
	struct list *node;

	while ((node = list_pop(&l->work)))
		conn_pump(l, container_of(node, struct conn, work));
}

/* ---- making and freeing ---- */

static void defaults(struct l2tp3_config *c)
{
	if (c->max_conns == 0)
		c->max_conns = 65534;
	if (c->max_sessions == 0)
		c->max_sessions = UINT32_MAX;
	if (c->max_halfopen == 0)
		c->max_halfopen = 4096;
	if (c->max_halfopen_source == 0)
		c->max_halfopen_source = 64;
}

static void init_lists(struct l2tp3 *l)
{
	struct list *lists[] = { &l->news, &l->journal_conns, &l->journal_sessions, &l->work,
				 &l->out,  &l->dead_conns,    &l->dead_sessions };
	struct htab *tables[] = { &l->by_peer, &l->by_request, &l->by_dial, &l->by_remote,
				  &l->by_end };
	uint8_t key[16];

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_init(lists[i]);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		rng_bytes(&l->rng, key, sizeof(key));
		htab_init(tables[i], key);
	}
	htab_init(&l->by_host, key); /* its hashes are those of by_dial */
	rng_bytes(&l->rng, key, sizeof(key));
	bound_init(&l->bound, key, &l->account);
}

struct l2tp3 *l2tp3_new(const struct l2tp3_config *config)
{
	struct l2tp3 *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->cfg = *config;
	defaults(&l->cfg);
	l->trace = config->trace;
	rng_init(&l->rng, config->seed);
	bytes_wipe(l->cfg.seed, sizeof(l->cfg.seed));
	init_lists(l);
	l->bound.per_source = l->cfg.max_halfopen_source;
	l2tp3_limit(l, 0, 0);
	l2tp3_auth_empty(&l->sum, L2TP3_DIGEST_MD5);
	l2tp3_auth_empty(&l->sum_sha1, L2TP3_DIGEST_SHA1);
	l->now = (struct mono){ INT64_MIN };
	l->grace = l->told_at = (struct mono){ INT64_MIN };
	for (size_t i = 0; i < L2TP3_DROPS; i++)
		l->drop_at[i] = l->now;
	l->serial = rng_u32(&l->rng);
	l->conns = pool_new(sizeof(struct conn), 0);
	l->sessions = pool_new(sizeof(struct pw), 0);
	l->conn_ids = idmap_new(&l->rng, UINT32_MAX, l->cfg.id_base, l->cfg.id_len);
	l->session_ids = idmap_new(&l->rng, UINT32_MAX, l->cfg.id_base, l->cfg.id_len);
	if (!l->conns || !l->sessions || !l->conn_ids || !l->session_ids) {
		l2tp3_free(l);
		return NULL;
	}
	return l;
}

static uint32_t limit(uint32_t wanted, uint32_t most)
{
	return wanted && wanted < most ? wanted : most;
}

void l2tp3_limit(struct l2tp3 *l, uint32_t max_conns, uint32_t max_sessions)
{
	l->max_conns = limit(max_conns, l->cfg.max_conns);
	l->max_sessions = limit(max_sessions, l->cfg.max_sessions);
	l->bound.share = l->max_conns / 4 + 1;
	if (l->bound.share > l->cfg.max_halfopen)
		l->bound.share = l->cfg.max_halfopen;
}

void l2tp3_scarce(struct l2tp3 *l, bool scarce)
{
	l->scarce = scarce;
}

static void free_objects(struct l2tp3 *l)
{
	adit_handle h;

	for (h = pool_next(l->sessions, 0); h; h = pool_next(l->sessions, h))
		pw_free(l, pool_get(l->sessions, h));
	for (h = pool_next(l->conns, 0); h; h = pool_next(l->conns, h))
		conn_undo(l, pool_get(l->conns, h));
}

void l2tp3_free(struct l2tp3 *l)
{
	if (!l)
		return;
	if (l->conns && l->sessions && l->conn_ids && l->session_ids)
		free_objects(l);
	htab_free(&l->by_peer);
	htab_free(&l->by_request);
	htab_free(&l->by_dial);
	htab_free(&l->by_host);
	htab_free(&l->by_remote);
	htab_free(&l->by_end);
	bound_free(&l->bound);
	heap_free(&l->conn_timers);
	heap_free(&l->session_timers);
	idmap_free(l->conn_ids);
	idmap_free(l->session_ids);
	pool_free(l->conns);
	pool_free(l->sessions);
	bytes_wipe(&l->rng, sizeof(l->rng));
	free(l);
}

int l2tp3_reserve_session(struct l2tp3 *l, uint32_t id)
{
	if (idmap_find(l->session_ids, 0, id) == &l->reserved)
		return 0;
	return idmap_put(l->session_ids, 0, id, &l->reserved);
}

void l2tp3_release_session(struct l2tp3 *l, struct mono now, uint32_t id)
{
	if (idmap_find(l->session_ids, 0, id) == &l->reserved)
		idmap_drop(l->session_ids, 0, id, now);
}

/* ---- time ---- */

struct mono l2tp3_deadline(const struct l2tp3 *l)
{
	return mono_min(heap_deadline(&l->conn_timers), heap_deadline(&l->session_timers));
}

/* The machine was asleep. Ask every peer first; nothing is given up for one full cycle. */
static void awake(struct l2tp3 *l, struct mono now, int64_t gap_us)
{
	uint32_t asked = 0;

	l->grace = mono_add(now, L2TP_CYCLE_US);
	for (adit_handle h = pool_next(l->conns, 0); h; h = pool_next(l->conns, h)) {
		conn_awake(l, pool_get(l->conns, h));
		asked++;
	}
	trace(l->trace, TRACE_L2TP3_CONN_SUSPENDED, now, 0, (uint32_t)(gap_us / US_S), asked);
}

/* Free what was finished by an act and is known to nobody. Sessions first: they hold connections.
 */
static void bury(struct l2tp3 *l)
{
	struct list *node;

	while ((node = list_pop(&l->dead_sessions)))
		pw_reap(l, container_of(node, struct pw, send));
	while ((node = list_pop(&l->dead_conns)))
		conn_reap(l, container_of(node, struct conn, dead));
}

void v3_enter(struct l2tp3 *l, struct mono now)
{
	struct mono last = l->now;

	bury(l);
	l->now = now;
	if (last.us == INT64_MIN || now.us - last.us < L2TP_GAP_US)
		return;
	/* An engine that had nothing to do was not asleep; one that is late by seconds was. */
	if (mono_due(mono_add(l2tp3_deadline(l), 2 * US_S), now))
		awake(l, now, now.us - last.us);
}

void l2tp3_expire(struct l2tp3 *l, struct mono now)
{
	struct heap_node *node;

	v3_enter(l, now);
	idmap_expire(l->conn_ids, now);
	idmap_expire(l->session_ids, now);
	while ((node = heap_first(&l->conn_timers)) && mono_due(node->at, now))
		conn_expire(l, container_of(node, struct conn, timer));
	while ((node = heap_first(&l->session_timers)) && mono_due(node->at, now))
		pw_expire(l, container_of(node, struct pw, timer));
}

/* ---- packets in ---- */

enum l2tp3_which l2tp3_which(const uint8_t *bytes, size_t len)
{
	struct l2tp3_header h;

	switch (l2tp3_version(bytes, len)) {
	case 2:
		return l2tp3_fallback_parse(bytes, len, &h) ? L2TP3_WHICH_OFFER : L2TP3_WHICH_V2;
	case 3:
		return L2TP3_WHICH_V3;
	}
	return L2TP3_WHICH_NONE;
}

bool l2tp3_stops_all(const struct path *path, const uint8_t *bytes, size_t len)
{
	enum l2tp3_carrier carrier = path_is_ip(path) ? L2TP3_IP : L2TP3_UDP;
	struct l2tp3_header h;

	return l2tp3_header_parse(carrier, bytes, len, &h) == L2TP_HDR_OK && h.control &&
	       !h.connection && v3_peek_type(bytes + h.payload, h.len) == L2TP_STOPCCN;
}

/* The message type without decoding the rest: an AVP of vendor 0, type 0, first of all. */
uint16_t v3_peek_type(const uint8_t *payload, size_t len)
{
	struct rcur c = rcur_of(payload, len);
	uint16_t vendor, attribute, type;

	if (!len)
		return L2TP_ZLB;
	(void)rcur_u16(&c);
	vendor = rcur_u16(&c);
	attribute = rcur_u16(&c);
	type = rcur_u16(&c);
	return c.bad || vendor || attribute || type == L2TP_ZLB ? UINT16_MAX : type;
}

/* The connection with the sender of a message that names none; rather on this path than another. */
static const struct conn *conn_with(const struct l2tp3 *l, const struct path *path)
{
	struct htab_node *n = htab_find(&l->by_host, conn_dial_hash(l, &path->remote));
	const struct conn *found = NULL;

	for (; n; n = htab_next(n)) {
		const struct conn *c = container_of(n, struct conn, by_dial);

		if (path_equal(&c->path, path))
			return c;
		if (addr_equal(&c->path.remote, &path->remote))
			found = c;
	}
	return found;
}

uint32_t l2tp3_via(const struct l2tp3 *l, const struct path *path, const uint8_t *bytes, size_t len)
{
	enum l2tp3_carrier carrier = path_is_ip(path) ? L2TP3_IP : L2TP3_UDP;
	const struct conn *c = NULL;
	struct l2tp3_header h;
	const struct pw *s;

	if (l2tp3_header_parse(carrier, bytes, len, &h) != L2TP_HDR_OK)
		return 0;
	if (!h.control) {
		s = pw_find(l, h.session);
		c = s ? s->conn : NULL;
	} else if (h.connection) {
		c = idmap_find(l->conn_ids, 0, h.connection);
	} else if (l2tp3_stops_all(path, bytes, len)) {
		c = conn_with(l, path);
	}
	return c && addr_equal(&c->path.local, &path->local) ? c->path.via : 0;
}

static int control_input(struct l2tp3 *l, const struct in3 *in)
{
	struct conn *c;

	l->count.control_in++;
	if (in->connection == 0)
		return open_input(l, in);
	c = idmap_find(l->conn_ids, 0, in->connection);
	if (!c)
		return v3_drop(l, DROP3_CONN, in->connection, in->path);
	return conn_receive(l, c, in);
}

int l2tp3_input(struct l2tp3 *l, struct mono now, const struct path *path, const uint8_t *bytes,
		size_t len, struct l2tp3_frame *ret_frame)
{
	enum l2tp3_carrier carrier = path_is_ip(path) ? L2TP3_IP : L2TP3_UDP;
	struct l2tp3_header h;
	enum l2tp_header_result r = l2tp3_header_parse(carrier, bytes, len, &h);
	bool offer = false;
	struct in3 in;

	v3_enter(l, now);
	if (r == L2TP_HDR_VERSION && carrier == L2TP3_UDP) {
		offer = l2tp3_fallback_parse(bytes, len, &h);
		r = offer ? L2TP_HDR_OK : r;
	}
	if (r != L2TP_HDR_OK)
		return v3_drop(l, DROP3_HEADER, r, path);
	if (!h.control)
		return data3_input(l, path, &h, bytes, ret_frame);
	in = (struct in3){ .path = path,
			   .msg = bytes + h.start,
			   .len = h.total,
			   .connection = h.connection,
			   .ns = h.ns,
			   .nr = h.nr,
			   .type = v3_peek_type(bytes + h.payload, h.len),
			   .offer = offer };
	return control_input(l, &in);
}

/* ---- commands ---- */

static struct conn *conn_get(const struct l2tp3 *l, adit_handle h)
{
	struct conn *c = pool_get(l->conns, h);

	return c && c->thing.known ? c : NULL;
}

static struct pw *pw_get(const struct l2tp3 *l, adit_handle h)
{
	struct pw *s = pool_get(l->sessions, h);

	if (!s || !s->thing.known || s->thing.over || !s->conn || s->conn->thing.over)
		return NULL;
	return s;
}

static struct ending ending_of(const struct l2tp3_cmd *cmd, uint16_t result)
{
	/* An error of our own kind needs words (5.4.2). */
	bool mute = cmd->error == L2TP_ERR_VENDOR && (!cmd->text || !cmd->text[0]);

	return (struct ending){ .cause = cmd->cause,
				.result = cmd->result ? cmd->result : result,
				.error = cmd->error,
				.text = mute ? cause_text(cmd->cause) : cmd->text };
}

static int do_conn(struct l2tp3 *l, struct l2tp3_cmd *cmd)
{
	struct conn *c = conn_get(l, cmd->conn);
	struct ending why = ending_of(
		cmd, cmd->kind == L2TP3_CMD_CONN_REFUSE ? L2TP_STOP_UNAUTHORISED : L2TP_STOP_CLEAR);

	if (!c || c->thing.over)
		return 1;
	if (cmd->kind == L2TP3_CMD_CONN_HEARD) {
		conn_heard(l, c, cmd->at);
		return 0;
	}
	if (cmd->kind == L2TP3_CMD_CONN_CLOSE) {
		/* What the v2 engine has asked for is its to take back. */
		bool silent = c->offered && c->state == L2TP3_CS_WAIT_REPLY;

		conn_step(l, c, silent ? TE_LOST : TE_CLOSE, &why);
		return 0;
	}
	if (c->state != L2TP3_CS_ASKING)
		return -EINVAL;
	if (cmd->kind == L2TP3_CMD_CONN_ACCEPT)
		return conn_accept(l, c, cmd);
	if (why.cause == ADIT_CAUSE_NONE)
		why.cause = ADIT_CAUSE_TUNNEL_REFUSED;
	conn_step(l, c, TE_CLOSE, &why);
	return 0;
}

static int do_session_open(struct l2tp3 *l, struct l2tp3_cmd *cmd)
{
	struct conn *c = conn_get(l, cmd->conn);

	if (!c)
		return 1;
	if (c->thing.over)
		return 3;
	if (c->state == L2TP3_CS_ASKING)
		return -EINVAL;
	return pw_open(l, c, cmd);
}

static int do_session(struct l2tp3 *l, struct l2tp3_cmd *cmd)
{
	struct pw *s = pw_get(l, cmd->session);
	struct ending why = ending_of(cmd, L2TP_CDN_ADMIN);

	if (!s)
		return 1;
	if (cmd->kind == L2TP3_CMD_SESSION_CLOSE) {
		pw_step(l, s, CE_CLOSE, &why);
		return 0;
	}
	if (cmd->kind == L2TP3_CMD_SESSION_ANSWERED)
		return pw_answered(l, s, cmd);
	if (cmd->kind == L2TP3_CMD_SESSION_GO)
		return pw_go(l, s);
	if (cmd->kind == L2TP3_CMD_SESSION_STATUS)
		return pw_set_status(l, s, cmd);
	if (cmd->kind == L2TP3_CMD_SESSION_ERRORS)
		return pw_errors(l, s, cmd);
	if (s->state != L2TP3_SS_ASKING)
		return -EINVAL;
	if (cmd->kind == L2TP3_CMD_SESSION_ACCEPT)
		return pw_accept(l, s, cmd);
	pw_step(l, s, CE_CLOSE, &why);
	return 0;
}

int l2tp3_do(struct l2tp3 *l, struct mono now, struct l2tp3_cmd *cmd)
{
	v3_enter(l, now);
	switch (cmd->kind) {
	case L2TP3_CMD_CONN_OPEN:
	case L2TP3_CMD_CONN_OFFER:
		return conn_open(l, cmd);
	case L2TP3_CMD_CONN_ACCEPT:
	case L2TP3_CMD_CONN_REFUSE:
	case L2TP3_CMD_CONN_CLOSE:
	case L2TP3_CMD_CONN_HEARD:
		return do_conn(l, cmd);
	case L2TP3_CMD_SESSION_OPEN:
		return do_session_open(l, cmd);
	case L2TP3_CMD_SESSION_ACCEPT:
	case L2TP3_CMD_SESSION_REFUSE:
	case L2TP3_CMD_SESSION_CLOSE:
	case L2TP3_CMD_SESSION_ANSWERED:
	case L2TP3_CMD_SESSION_GO:
	case L2TP3_CMD_SESSION_STATUS:
	case L2TP3_CMD_SESSION_ERRORS:
		return do_session(l, cmd);
	}
	return -EINVAL;
}

/* ---- events ---- */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void event_why(struct l2tp3_event *ev, struct l2tp3 *l, const struct ending *why)
{
	ev->cause = why->cause;
	ev->result = why->result;
	ev->error = why->error;
	ev->by_peer = why->by_peer;
	/* A copy: the object may be freed before the owner looks. */
	engine_name(l->text, sizeof(l->text),
		    (struct l2tp_bytes){ (const uint8_t *)or_empty(why->text),
					 (uint16_t)strlen(or_empty(why->text)) });
	ev->text = l->text;
}

static void event_conn(struct l2tp3_event *ev, enum l2tp3_event_kind kind, const struct conn *c)
{
	*ev = (struct l2tp3_event){ .kind = kind,
				    .conn = c->handle,
				    .owner = c->owner,
				    .conn_owner = c->owner,
				    .over_ip = c->over_ip,
				    .authentic = c->auth == CONN_AUTH_ON && c->proved,
				    .host_name = "",
				    .vendor_name = "",
				    .text = "" };
}

static void event_pw(struct l2tp3_event *ev, enum l2tp3_event_kind kind, const struct pw *s)
{
	struct l2tp_bytes remote, local, group;

	event_conn(ev, kind, s->conn);
	pw_get_ends(s, &remote, &local, &group);
	ev->session = s->handle;
	ev->owner = s->owner;
	ev->pw_type = s->type;
	ev->outgoing = s->outgoing;
	ev->serial = s->serial;
	ev->remote_end_id = remote.p;
	ev->remote_end_id_len = (uint8_t)remote.n;
	ev->local_end_id = local.p;
	ev->local_end_id_len = (uint8_t)local.n;
	ev->group_id = group.p;
	ev->group_id_len = (uint8_t)group.n;
	ev->mtu = s->peer_mtu;
	ev->remote_status = s->remote_status;
	if (s->line) {
		ev->tx_speed = s->line->peer_tx_speed;
		ev->rx_speed = s->line->peer_rx_speed;
	}
}

/* Raise DOWN of one session; it is freed when nothing else needs it. */
static void pw_down(struct l2tp3 *l, struct pw *s, struct l2tp3_event *ret)
{
	struct ending why = { .cause = (enum adit_cause)s->cause,
			      .result = s->result,
			      .error = s->error,
			      .text = s->text,
			      .by_peer = s->by_peer };

	event_conn(ret, L2TP3_EV_SESSION_DOWN, s->conn);
	ret->session = s->handle;
	ret->owner = s->owner;
	ret->pw_type = s->type;
	event_why(ret, l, &why);
	s->thing.known = false;
	pw_reap(l, s);
}

static uint32_t errors_sum(const struct pw *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < 6; i++)
		sum += s->line->got[i];
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static bool pw_event(struct l2tp3 *l, struct pw *s, uint8_t bit, struct l2tp3_event *ret)
{
	switch (bit) {
	case NEWS_ASK:
		event_pw(ret, L2TP3_EV_SESSION_ASK, s);
		s->thing.known = true;
		return true;
	case NEWS_UP:
		event_pw(ret, L2TP3_EV_SESSION_UP, s);
		return true;
	case NEWS_STATUS:
		event_pw(ret, L2TP3_EV_SESSION_STATUS, s);
		return true;
	case NEWS_ERRORS:
		event_pw(ret, L2TP3_EV_SESSION_ERRORS, s);
		ret->a = errors_sum(s);
		return true;
	case NEWS_DOWN:
		pw_down(l, s, ret);
		return true;
	}
	return false;
}

/*
 * A connection ends: first the DOWN of its sessions, one at each call, then its own. Returns false
 * when this call found nothing to tell (a session that the owner never heard of).
 */
static bool conn_down(struct l2tp3 *l, struct conn *c, struct l2tp3_event *ret)
{
	struct ending why = c->why;
	bool told;

	why.text = c->text;
	if (!list_empty(&c->sessions)) {
		struct pw *s = container_of(c->sessions.next, struct pw, link);

		pw_end_with(l, s, &why);
		told = s->thing.known;
		if (told)
			pw_down(l, s, ret);
		else
			pw_reap(l, s);
		/* First in line again: the rest of its sessions before anything newer. */
		c->thing.mask |= NEWS_DOWN;
		list_push(l->news.next, &c->thing.news);
		return told;
	}
	told = c->thing.known;
	if (told) {
		event_conn(ret, L2TP3_EV_CONN_DOWN, c);
		event_why(ret, l, &why);
	}
	c->thing.known = false;
	conn_reap(l, c);
	return told;
}

static bool conn_news(struct l2tp3 *l, struct conn *c, uint8_t bit, struct l2tp3_event *ret)
{
	enum l2tp3_event_kind kind = bit == NEWS_ASK	 ? L2TP3_EV_CONN_ASK
				     : bit == NEWS_UP	 ? L2TP3_EV_CONN_UP
				     : bit == NEWS_QUIET ? L2TP3_EV_CONN_QUIET
							 : L2TP3_EV_CONN_MOVED;

	if (bit == NEWS_DOWN)
		return conn_down(l, c, ret);
	if (!bit)
		return false;
	event_conn(ret, kind, c);
	ret->path = &c->path;
	ret->host_name = or_empty(c->host_name);
	ret->vendor_name = or_empty(c->vendor_name);
	ret->router_id = c->router_id;
	ret->offer = c->from_offer;
	c->thing.known = true;
	return true;
}

/* News of a session whose connection has ended are void: its DOWN comes with the connection's. */
static bool void_news(struct thing *th)
{
	const struct pw *s;

	if (th->kind != L2TP3_OBJ_SESSION || th->mask & NEWS_DOWN)
		return false;
	s = pw_of_thing(th);
	return s->conn && s->conn->thing.over;
}

bool l2tp3_event(struct l2tp3 *l, struct l2tp3_event *ret)
{
	for (;;) {
		struct thing *th;
		uint8_t bit;

		/* Building may be news: who sends an ICCN is established when it has found room. */
		if (list_empty(&l->news))
			v3_pump(l);
		if (list_empty(&l->news))
			return false;
		th = container_of(l->news.next, struct thing, news);
		/* DOWN says all: what was not told before is not told any more. */
		bit = th->mask & NEWS_DOWN ? NEWS_DOWN : (uint8_t)(th->mask & (0u - th->mask));
		if (void_news(th))
			bit = th->mask = 0;
		th->mask = bit == NEWS_DOWN ? 0 : (uint8_t)(th->mask & ~bit);
		if (!th->mask)
			list_drop(&th->news);
		if (th->kind == L2TP3_OBJ_CONN ? conn_news(l, conn_of_thing(th), bit, ret)
					       : pw_event(l, pw_of_thing(th), bit, ret))
			return true;
	}
}

/* ---- records ---- */

static bool dirty_conn(struct l2tp3 *l, struct conn *c, adit_handle *ret_handle, bool *ret_gone)
{
	bool was = c->thing.recorded, worth = conn_worth_record(c);

	*ret_handle = c->handle;
	*ret_gone = !worth;
	c->thing.recorded = worth;
	if (!worth)
		conn_reap(l, c);
	return worth || was;
}

static bool dirty_pw(struct l2tp3 *l, struct pw *s, adit_handle *ret_handle, bool *ret_gone)
{
	bool was = s->thing.recorded, worth = pw_worth_record(s);

	*ret_handle = s->handle;
	*ret_gone = !worth;
	s->thing.recorded = worth;
	if (!worth)
		pw_reap(l, s);
	return worth || was;
}

bool l2tp3_dirty(struct l2tp3 *l, enum l2tp3_object *ret_kind, adit_handle *ret_handle,
		 bool *ret_gone)
{
	struct list *node;
	adit_handle h;
	bool gone;

	v3_pump(l);
	/* Connections first: a CDN is in the connection's record before its session's is removed.
	 */
	while ((node = list_pop(&l->journal_conns))) {
		if (dirty_conn(l, container_of(node, struct conn, thing.journal), &h, &gone)) {
			*ret_kind = L2TP3_OBJ_CONN;
			*ret_handle = h;
			*ret_gone = gone;
			return true;
		}
	}
	while ((node = list_pop(&l->journal_sessions))) {
		if (dirty_pw(l, container_of(node, struct pw, thing.journal), &h, &gone)) {
			*ret_kind = L2TP3_OBJ_SESSION;
			*ret_handle = h;
			*ret_gone = gone;
			return true;
		}
	}
	return false;
}

/* ---- packets out ---- */

/* Over IP a zero session id comes first (4.1.1.2). Returns what it takes. */
static size_t prefix(const struct path *path, uint8_t *buf, size_t cap)
{
	size_t n = path_is_ip(path) ? L2TP3_IP_PREFIX : 0;

	if (cap < n)
		return 0;
	memset(buf, 0, n);
	return n;
}

static size_t output_reply(struct l2tp3 *l, uint8_t *buf, size_t cap, struct path *ret_path)
{
	struct reply3 *r = &l->replies[l->reply_first];
	size_t at = prefix(&r->path, buf, cap);

	l->reply_first = (l->reply_first + 1) % L2TP_REPLIES;
	l->reply_count--;
	if (at + r->len > cap)
		return 0;
	memcpy(buf + at, r->bytes, r->len);
	*ret_path = r->path;
	l->count.control_out++;
	if (r->told)
		trace_put(l->trace, TRACE_L2TP3_OUT, l->now, 0, L2TP_STOPCCN, 0, 1, 0, r->bytes,
			  r->len);
	return at + r->len;
}

static size_t output_message(struct l2tp3 *l, struct conn *c, const struct rel_out *o, uint8_t *buf,
			     size_t cap)
{
	uint16_t type = o->msg ? o->msg->type : L2TP3_ACK;
	struct l2tp3_auth one;
	size_t len;

	if (o->msg) {
		len = o->msg->len;
		if (len > cap)
			return 0;
		memcpy(buf, o->msg->bytes, len);
		l2tp_build_stamp3(buf, len, c->remote_id, (uint16_t)o->ns, (uint16_t)o->nr);
	} else {
		len = l2tp3_build_ack(buf, cap, digest_keys(l, c, type, &one), c->remote_id,
				      (uint16_t)o->ns, (uint16_t)o->nr);
	}
	digest_sign(l, c, buf, len, type);
	l->count.control_out++;
	l->count.retransmits += o->again;
	trace_put(conn_trace(l, c), o->again ? TRACE_L2TP3_OUT_AGAIN : TRACE_L2TP3_OUT, l->now,
		  c->handle, type, o->ns, o->nr, 0, buf, len);
	return len;
}

size_t l2tp3_output(struct l2tp3 *l, struct mono now, uint8_t *buf, size_t cap,
		    struct path *ret_path)
{
	struct list *node;
	size_t len, at;

	v3_pump(l);
	while (l->reply_count) {
		len = output_reply(l, buf, cap, ret_path);
		if (len)
			return len;
	}
	while ((node = list_pop(&l->out))) {
		struct conn *c = container_of(node, struct conn, out);
		struct rel_out o;

		if (!rel_output(&c->rel, now, &o))
			continue;
		if (rel_wants_output(&c->rel))
			v3_out(l, c); /* behind the others: connections take turns */
		at = prefix(&c->path, buf, cap);
		len = output_message(l, c, &o, buf + at, cap - at);
		if (!len)
			continue;
		*ret_path = c->path;
		return at + len;
	}
	bury(l);
	return 0;
}
