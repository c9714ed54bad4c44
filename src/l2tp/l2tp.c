/* SPDX-License-Identifier: MIT
 *
 * The L2TP engine's entry points (see include/adit/l2tp.h): demultiplexing, time, events, output,
 * and the bookkeeping that all its objects share.
 *
 * Demultiplexing (RFC 2661 3.1): data is looked up by tunnel and session id, control by tunnel id;
 * then the whole path has to be the tunnel's. Control without a tunnel id comes from strangers and
 * goes to halfopen.c. What belongs to nobody is dropped without an answer.
 *
 * Time: every call compares `now` with that of the last call. When it has jumped by 30 s or more
 * and a deadline was missed by it, the machine was asleep: then each tunnel is asked for a sign of
 * life before anything is given up.
 */
#include "l2tp/internal.h"

/* ---- memory ---- */

void *engine_alloc(struct l2tp *l, size_t n)
{
	void *p = malloc(n);

	if (p)
		l->account += n;
	return p;
}

void engine_release(struct l2tp *l, void *p, size_t n)
{
	if (!p)
		return;
	l->account -= n;
	free(p);
}

char *engine_text(struct l2tp *l, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	char *copy;

	if (!n)
		return NULL;
	if (n > L2TP_TEXT_MAX - 1)
		n = L2TP_TEXT_MAX - 1;
	copy = engine_alloc(l, n + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

void engine_text_free(struct l2tp *l, char **text)
{
	if (*text)
		engine_release(l, *text, strlen(*text) + 1);
	*text = NULL;
}

const char engine_scarce[] = "out of memory";

void engine_name(char *dst, size_t max, struct l2tp_bytes b)
{
	size_t n = b.n < max ? b.n : max - 1;

	if (n)
		memcpy(dst, b.p, n);
	dst[n] = '\0';
}

void engine_words(char *dst, size_t room, const char *text)
{
	size_t n = text ? strlen(text) : 0, most = room < L2TP_TEXT_MAX ? room : L2TP_TEXT_MAX - 1;

	if (n > most) {
		for (n = most; n && text[n] != ' ';)
			n--;
		while (n && strchr(" ,;:", text[n - 1]))
			n--;
	}
	if (n)
		memcpy(dst, text, n);
	dst[n] = '\0';
}

/* ---- drops ---- */

int engine_drop(struct l2tp *l, enum drop why, uint32_t id, const struct path *path)
{
	uint64_t *const counters[L2TP_DROPS] = {
		[DROP_HEADER] = &l->count.drop_header,
		[DROP_TUNNEL] = &l->count.drop_unknown_tunnel,
		[DROP_SESSION] = &l->count.drop_unknown_session,
		[DROP_PATH] = &l->count.drop_path,
		[DROP_STATE] = &l->count.drop_state,
		[DROP_SEQUENCE] = &l->count.drop_sequence,
		[DROP_AVP] = &l->count.drop_avp,
		[DROP_WINDOW] = &l->count.drop_window,
		[DROP_LIMIT] = &l->count.drop_limit,
	};
	char from[ADDR_TEXT_MAX];

	++*counters[why];
	l->drop_count[why]++;
	/* A flood must not wash everything else out of the recorder. */
	if (!l->trace || !mono_due(l->drop_at[why], l->now))
		return L2TP_IN_DROP;
	addr_text(&path->remote, from);
	trace_put(l->trace, (enum trace_kind)(TRACE_L2TP_DROP_HEADER + (int)why), l->now, 0,
		  l->drop_count[why], id, 0, 0, from, strlen(from));
	l->drop_at[why] = mono_add(l->now, US_S);
	l->drop_count[why] = 0;
	return L2TP_IN_DROP;
}

/* ---- lists ---- */

void thing_init(struct thing *th, enum l2tp_object kind)
{
	list_init(&th->news);
	list_init(&th->journal);
	th->kind = (uint8_t)kind;
}

void thing_news(struct l2tp *l, struct thing *th, uint8_t news)
{
	th->mask |= news;
	if (list_empty(&th->news))
		list_push(&l->news, &th->news);
}

void thing_dirty(struct l2tp *l, struct thing *th)
{
	if (list_empty(&th->journal))
		list_push(th->kind == L2TP_OBJ_TUNNEL ? &l->journal_tunnels : &l->journal_sessions,
			  &th->journal);
}

void thing_quit(struct thing *th)
{
	list_drop(&th->news);
	list_drop(&th->journal);
}

void engine_work(struct l2tp *l, struct tunnel *t)
{
	if (list_empty(&t->work))
		list_push(&l->work, &t->work);
}

void engine_out(struct l2tp *l, struct tunnel *t)
{
	if (list_empty(&t->out))
		list_push(&l->out, &t->out);
}

void engine_pump(struct l2tp *l)
{
	struct list *node;

	while ((node = list_pop(&l->work)))
		tunnel_pump(l, container_of(node, struct tunnel, work));
}

/* ---- making and freeing ---- */

static void defaults(struct l2tp_config *c)
{
	if (c->max_tunnels == 0 || c->max_tunnels > 65534)
		c->max_tunnels = 65534;
	if (c->max_sessions == 0)
		c->max_sessions = UINT32_MAX;
	if (c->max_halfopen == 0)
		c->max_halfopen = 4096;
	if (c->max_halfopen_source == 0)
		c->max_halfopen_source = 64;
}

struct l2tp *l2tp_new(const struct l2tp_config *config)
{
	struct l2tp *l = calloc(1, sizeof(*l));
	struct htab *tables[] = { NULL, NULL, NULL, NULL };
	uint8_t key[16];

	if (!l)
		return NULL;
	l->cfg = *config;
	defaults(&l->cfg);
	l->trace = config->trace;
	rng_init(&l->rng, config->seed);
	memset(l->cfg.seed, 0, sizeof(l->cfg.seed));
	tables[0] = &l->by_peer;
	tables[1] = &l->by_request;
	tables[2] = &l->by_dial;
	tables[3] = &l->by_remote;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		rng_bytes(&l->rng, key, sizeof(key));
		htab_init(tables[i], key);
	}
	htab_init(&l->by_host, key); /* its hashes are those of by_dial */
	rng_bytes(&l->rng, key, sizeof(key));
	bound_init(&l->bound, key, &l->account);
	l->bound.per_source = l->cfg.max_halfopen_source;
	l2tp_share_halfopen(l, 0);
	list_init(&l->news);
	list_init(&l->journal_tunnels);
	list_init(&l->journal_sessions);
	list_init(&l->work);
	list_init(&l->out);
	list_init(&l->dead_tunnels);
	list_init(&l->dead_sessions);
	l->now = (struct mono){ INT64_MIN };
	l->grace = (struct mono){ INT64_MIN };
	for (size_t i = 0; i < L2TP_DROPS; i++)
		l->drop_at[i] = l->now;
	l->serial = rng_u32(&l->rng);
	l->tunnels = pool_new(sizeof(struct tunnel), 0);
	l->sessions = pool_new(sizeof(struct session), 0);
	l->tunnel_ids = idmap_new(&l->rng, 65535, config->id_base, config->id_len);
	l->session_ids = idmap_new(&l->rng, 65535, 0, 0);
	if (!l->tunnels || !l->sessions || !l->tunnel_ids || !l->session_ids) {
		l2tp_free(l);
		return NULL;
	}
	return l;
}

void l2tp_share_halfopen(struct l2tp *l, uint32_t max_tunnels)
{
	if (max_tunnels == 0 || max_tunnels > l->cfg.max_tunnels)
		max_tunnels = l->cfg.max_tunnels;
	l->bound.share = max_tunnels / 4 + 1;
	if (l->bound.share > l->cfg.max_halfopen)
		l->bound.share = l->cfg.max_halfopen;
}

void l2tp_lenient(struct l2tp *l, uint32_t quirks)
{
	l->lenient = quirks;
}

void l2tp_scarce(struct l2tp *l, bool scarce)
{
	l->scarce = scarce;
}

static void free_objects(struct l2tp *l)
{
	adit_handle h;

	for (h = pool_next(l->sessions, 0); h; h = pool_next(l->sessions, h))
		session_free(l, pool_get(l->sessions, h));
	for (h = pool_next(l->tunnels, 0); h; h = pool_next(l->tunnels, h)) {
		struct tunnel *t = pool_get(l->tunnels, h);

		t->thing.recorded = false;
		tunnel_undo(l, t);
	}
}

void l2tp_free(struct l2tp *l)
{
	if (!l)
		return;
	if (l->tunnels && l->sessions)
		free_objects(l);
	htab_free(&l->by_peer);
	htab_free(&l->by_request);
	htab_free(&l->by_dial);
	htab_free(&l->by_remote);
	htab_free(&l->by_host);
	bound_free(&l->bound);
	heap_free(&l->tunnel_timers);
	heap_free(&l->session_timers);
	idmap_free(l->tunnel_ids);
	idmap_free(l->session_ids);
	pool_free(l->tunnels);
	pool_free(l->sessions);
	bytes_wipe(&l->rng, sizeof(l->rng));
	free(l);
}

/* ---- time ---- */

struct mono l2tp_deadline(const struct l2tp *l)
{
	return mono_min(heap_deadline(&l->tunnel_timers), heap_deadline(&l->session_timers));
}

/* The machine was asleep. Ask every peer first; nothing is given up for one full cycle. */
static void awake(struct l2tp *l, struct mono now, int64_t gap_us)
{
	uint32_t asked = 0;

	l->grace = mono_add(now, L2TP_CYCLE_US);
	for (adit_handle h = pool_next(l->tunnels, 0); h; h = pool_next(l->tunnels, h)) {
		tunnel_awake(l, pool_get(l->tunnels, h));
		asked++;
	}
	trace(l->trace, TRACE_L2TP_TUNNEL_SUSPENDED, now, 0, (uint32_t)(gap_us / US_S), asked);
}

/* Free what was finished by an act and is known to nobody. Sessions first: they hold tunnels. */
static void bury(struct l2tp *l)
{
	struct list *node;

	while ((node = list_pop(&l->dead_sessions)))
		session_reap(l, container_of(node, struct session, send));
	while ((node = list_pop(&l->dead_tunnels)))
		tunnel_reap(l, container_of(node, struct tunnel, dead));
}

void engine_enter(struct l2tp *l, struct mono now)
{
	struct mono last = l->now;

	bury(l);
	l->now = now;
	if (last.us == INT64_MIN || now.us - last.us < L2TP_GAP_US)
		return;
	/* An engine that had nothing to do was not asleep; one that is late by seconds was. */
	if (mono_due(mono_add(l2tp_deadline(l), 2 * US_S), now))
		awake(l, now, now.us - last.us);
}

void l2tp_expire(struct l2tp *l, struct mono now)
{
	struct heap_node *node;

	engine_enter(l, now);
	idmap_expire(l->tunnel_ids, now);
	idmap_expire(l->session_ids, now);
	while ((node = heap_first(&l->tunnel_timers)) && mono_due(node->at, now))
		tunnel_expire(l, container_of(node, struct tunnel, timer));
	while ((node = heap_first(&l->session_timers)) && mono_due(node->at, now))
		session_expire(l, container_of(node, struct session, timer));
}

/* ---- packets in ---- */

static int control_input(struct l2tp *l, const struct path *path, const struct l2tp_header *h,
			 const uint8_t *bytes)
{
	struct tunnel *t;

	l->count.control_in++;
	if (h->tunnel == 0)
		return stranger_input(l, path, h, bytes);
	t = idmap_find(l->tunnel_ids, 0, h->tunnel);
	if (!t)
		return engine_drop(l, DROP_TUNNEL, h->tunnel, path);
	if (!tunnel_may_come_from(t, path))
		return engine_drop(l, DROP_PATH, t->local_id, path);
	return tunnel_receive(l, t, path, h, bytes);
}

uint32_t l2tp_via(const struct l2tp *l, const struct path *path, const uint8_t *bytes, size_t len)
{
	const struct tunnel *t;
	struct l2tp_header h;

	if (l2tp_header_parse(bytes, len, &h) != L2TP_HDR_OK || !h.tunnel)
		return 0;
	t = idmap_find(l->tunnel_ids, 0, h.tunnel);
	return t && addr_equal(&t->path.local, &path->local) ? t->path.via : 0;
}

int l2tp_input(struct l2tp *l, struct mono now, const struct path *path, const uint8_t *bytes,
	       size_t len, struct l2tp_frame *ret_frame)
{
	struct l2tp_header h;
	enum l2tp_header_result r = l2tp_header_parse(bytes, len, &h);

	engine_enter(l, now);
	if (r != L2TP_HDR_OK)
		return engine_drop(l, DROP_HEADER, r, path);
	if (h.flags & L2TP_HDR_T)
		return control_input(l, path, &h, bytes);
	return data_input(l, path, &h, ret_frame);
}

/* ---- commands ---- */

static struct tunnel *tunnel_get(const struct l2tp *l, adit_handle h)
{
	struct tunnel *t = pool_get(l->tunnels, h);

	return t && t->thing.known ? t : NULL;
}

static struct session *session_get(const struct l2tp *l, adit_handle h)
{
	struct session *s = pool_get(l->sessions, h);

	if (!s || !s->thing.known || s->thing.over || !s->tunnel || s->tunnel->thing.over)
		return NULL;
	return s;
}

static struct ending ending_of(const struct l2tp_cmd *cmd, uint16_t result)
{
	/* An error of our own kind needs words (4.4.2). */
	bool mute = cmd->error == L2TP_ERR_VENDOR && (!cmd->text || !cmd->text[0]);

	return (struct ending){ .cause = cmd->cause,
				.result = cmd->result ? cmd->result : result,
				.error = cmd->error,
				.text = mute ? cause_text(cmd->cause) : cmd->text };
}

static int do_tunnel(struct l2tp *l, struct l2tp_cmd *cmd)
{
	struct tunnel *t = tunnel_get(l, cmd->tunnel);
	struct ending why =
		ending_of(cmd, cmd->kind == L2TP_CMD_TUNNEL_REFUSE ? L2TP_STOP_UNAUTHORISED
								   : L2TP_STOP_CLEAR);

	if (!t || t->thing.over)
		return 1;
	if (cmd->kind == L2TP_CMD_TUNNEL_HEARD) {
		tunnel_heard(l, t, cmd->at);
		return 0;
	}
	if (cmd->kind == L2TP_CMD_TUNNEL_ABANDON) {
		tunnel_step(l, t, TE_LOST, &why);
		return 0;
	}
	if (cmd->kind == L2TP_CMD_TUNNEL_CLOSE) {
		tunnel_step(l, t, TE_CLOSE, &why);
		return 0;
	}
	if (t->state != L2TP_TS_ASKING)
		return -EINVAL;
	if (cmd->kind == L2TP_CMD_TUNNEL_ACCEPT)
		return tunnel_accept(l, t, cmd);
	if (why.cause == ADIT_CAUSE_NONE)
		why.cause = ADIT_CAUSE_TUNNEL_REFUSED;
	tunnel_step(l, t, TE_CLOSE, &why);
	return 0;
}

static int do_session_open(struct l2tp *l, struct l2tp_cmd *cmd)
{
	struct tunnel *t = tunnel_get(l, cmd->tunnel);

	if (!t)
		return 1;
	if (t->thing.over)
		return 3;
	if (t->state == L2TP_TS_ASKING)
		return -EINVAL;
	return call_open(l, t, cmd);
}

static int do_session(struct l2tp *l, struct l2tp_cmd *cmd)
{
	struct session *s = session_get(l, cmd->session);
	struct ending why = ending_of(cmd, L2TP_CDN_ADMIN);

	if (!s)
		return 1;
	if (cmd->kind == L2TP_CMD_SESSION_CLOSE) {
		call_step(l, s, CE_CLOSE, &why);
		return 0;
	}
	if (cmd->kind == L2TP_CMD_SESSION_ANSWERED)
		return call_answered(l, s, cmd);
	if (cmd->kind == L2TP_CMD_SESSION_ACCM)
		return call_accm(l, s, cmd);
	if (cmd->kind == L2TP_CMD_SESSION_ERRORS)
		return call_errors(l, s, cmd);
	if (cmd->kind == L2TP_CMD_SESSION_GO)
		return call_go(l, s);
	if (s->state != L2TP_SS_ASKING)
		return -EINVAL;
	if (cmd->kind == L2TP_CMD_SESSION_ACCEPT)
		return call_accept(l, s, cmd);
	call_step(l, s, CE_CLOSE, &why);
	return 0;
}

int l2tp_do(struct l2tp *l, struct mono now, struct l2tp_cmd *cmd)
{
	engine_enter(l, now);
	switch (cmd->kind) {
	case L2TP_CMD_TUNNEL_OPEN:
		return tunnel_open(l, cmd);
	case L2TP_CMD_TUNNEL_ACCEPT:
	case L2TP_CMD_TUNNEL_REFUSE:
	case L2TP_CMD_TUNNEL_CLOSE:
	case L2TP_CMD_TUNNEL_ABANDON:
	case L2TP_CMD_TUNNEL_HEARD:
		return do_tunnel(l, cmd);
	case L2TP_CMD_SESSION_OPEN:
		return do_session_open(l, cmd);
	case L2TP_CMD_SESSION_ACCEPT:
	case L2TP_CMD_SESSION_REFUSE:
	case L2TP_CMD_SESSION_CLOSE:
	case L2TP_CMD_SESSION_ANSWERED:
	case L2TP_CMD_SESSION_GO:
	case L2TP_CMD_SESSION_ACCM:
	case L2TP_CMD_SESSION_ERRORS:
		return do_session(l, cmd);
	}
	return -EINVAL;
}

/* ---- events ---- */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void event_why(struct l2tp_event *ev, struct l2tp *l, const struct ending *why)
{
	ev->cause = why->cause;
	ev->result = why->result;
	ev->error = why->error;
	ev->by_peer = why->by_peer;
	/* A copy: the object may be freed before the owner looks. */
	if (why->text != l->text)
		engine_name(l->text, sizeof(l->text),
			    (struct l2tp_bytes){ (const uint8_t *)or_empty(why->text),
						 (uint16_t)strlen(or_empty(why->text)) });
	ev->text = l->text;
}

static void event_base(struct l2tp_event *ev, enum l2tp_event_kind kind, const struct tunnel *t)
{
	*ev = (struct l2tp_event){ .kind = kind,
				   .tunnel = t->handle,
				   .owner = t->owner,
				   .tunnel_owner = t->owner,
				   .host_name = "",
				   .vendor_name = "",
				   .calling = "",
				   .called = "",
				   .sub_address = "",
				   .text = "" };
}

static void event_session(struct l2tp_event *ev, enum l2tp_event_kind kind, const struct session *s)
{
	event_base(ev, kind, s->tunnel);
	ev->session = s->handle;
	ev->owner = s->owner;
	ev->serial = s->serial;
	ev->tx_speed = s->tx_speed;
	ev->rx_speed = s->rx_speed;
	ev->framing = s->framing;
	ev->outgoing = s->outgoing;
	if (s->numbers) {
		ev->min_bps = s->numbers->min_bps;
		ev->max_bps = s->numbers->max_bps;
		ev->bearer = s->numbers->bearer;
		ev->calling = s->numbers->text;
		ev->called = s->numbers->text + s->numbers->called;
		ev->sub_address = s->numbers->text + s->numbers->sub_address;
	}
}

/* Raise DOWN of one session; it is freed when nothing else needs it. */
static void session_down(struct l2tp *l, struct session *s, struct l2tp_event *ret)
{
	struct ending why = { .cause = (enum adit_cause)s->cause,
			      .result = s->result,
			      .error = s->error,
			      .text = s->text,
			      .by_peer = s->by_peer };

	event_session(ret, L2TP_EV_SESSION_DOWN, s);
	ret->calling = ret->called = ret->sub_address = "";
	event_why(ret, l, &why);
	s->thing.known = false;
	session_reap(l, s);
}

static uint32_t errors_sum(const struct session *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < 6; i++)
		sum += s->line->got[i];
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static bool session_event(struct l2tp *l, struct session *s, uint8_t bit, struct l2tp_event *ret)
{
	switch (bit) {
	case NEWS_ASK:
		event_session(ret, L2TP_EV_SESSION_ASK, s);
		s->thing.known = true;
		return true;
	case NEWS_UP:
		event_session(ret, L2TP_EV_SESSION_UP, s);
		ret->sequencing = s->send_seq;
		ret->require_sequencing = s->require_seq;
		if (s->proxy) {
			ret->proxy = s->proxy->bytes;
			ret->proxy_len = s->proxy->len;
		}
		return true;
	case NEWS_ACCM:
		event_session(ret, L2TP_EV_SESSION_ACCM, s);
		ret->a = s->line->send;
		ret->b = s->line->recv;
		return true;
	case NEWS_ERRORS:
		event_session(ret, L2TP_EV_SESSION_ERRORS, s);
		ret->a = errors_sum(s);
		return true;
	case NEWS_DOWN:
		session_down(l, s, ret);
		return true;
	}
	return false;
}

static void tunnel_event_names(struct l2tp_event *ev, const struct tunnel *t)
{
	ev->path = &t->path;
	ev->host_name = or_empty(t->host_name);
	ev->vendor_name = or_empty(t->vendor_name);
}

/*
 * A tunnel ends: first the DOWN of its sessions, one at each call, then its own. Returns false when
 * this call found nothing to tell (a session that the owner never heard of).
 */
static bool tunnel_down(struct l2tp *l, struct tunnel *t, struct l2tp_event *ret)
{
	struct ending why = t->why;
	bool told;

	why.text = t->text;
	if (!list_empty(&t->sessions)) {
		struct session *s = container_of(t->sessions.next, struct session, link);

		session_end_with(l, s, &why);
		told = s->thing.known;
		if (told)
			session_down(l, s, ret);
		else
			session_reap(l, s);
		/* First in line again: the rest of its sessions before anything newer. */
		t->thing.mask |= NEWS_DOWN;
		list_push(l->news.next, &t->thing.news);
		return told;
	}
	told = t->thing.known;
	if (told) {
		event_base(ret, L2TP_EV_TUNNEL_DOWN, t);
		event_why(ret, l, &why);
	}
	t->thing.known = false;
	tunnel_reap(l, t);
	return told;
}

static bool tunnel_news(struct l2tp *l, struct tunnel *t, uint8_t bit, struct l2tp_event *ret)
{
	switch (bit) {
	case NEWS_ASK:
		event_base(ret, L2TP_EV_TUNNEL_ASK, t);
		tunnel_event_names(ret, t);
		t->thing.known = true;
		return true;
	case NEWS_UP:
		event_base(ret, L2TP_EV_TUNNEL_UP, t);
		tunnel_event_names(ret, t);
		return true;
	case NEWS_QUIET:
		event_base(ret, L2TP_EV_TUNNEL_QUIET, t);
		return true;
	case NEWS_DOWN:
		return tunnel_down(l, t, ret);
	}
	return false;
}

/* News of a session whose tunnel has ended are void: its DOWN comes with the tunnel's. */
static bool void_news(struct thing *th)
{
	const struct session *s;

	if (th->kind != L2TP_OBJ_SESSION || th->mask & NEWS_DOWN)
		return false;
	s = session_of_thing(th);
	return s->tunnel && s->tunnel->thing.over;
}

bool l2tp_event(struct l2tp *l, struct l2tp_event *ret)
{
	for (;;) {
		struct thing *th;
		uint8_t bit;

		/* Building may be news: who sends an ICCN is established when it has found room. */
		if (list_empty(&l->news))
			engine_pump(l);
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
		if (th->kind == L2TP_OBJ_TUNNEL ? tunnel_news(l, tunnel_of_thing(th), bit, ret)
						: session_event(l, session_of_thing(th), bit, ret))
			return true;
	}
}

/* ---- records ---- */

static bool dirty_tunnel(struct l2tp *l, struct tunnel *t, adit_handle *ret_handle, bool *ret_gone)
{
	bool was = t->thing.recorded, worth = tunnel_worth_record(t);

	*ret_handle = t->handle;
	*ret_gone = !worth;
	t->thing.recorded = worth;
	if (!worth)
		tunnel_reap(l, t);
	return worth || was;
}

static bool dirty_session(struct l2tp *l, struct session *s, adit_handle *ret_handle,
			  bool *ret_gone)
{
	bool was = s->thing.recorded, worth = session_worth_record(s);

	*ret_handle = s->handle;
	*ret_gone = !worth;
	s->thing.recorded = worth;
	if (!worth)
		session_reap(l, s);
	return worth || was;
}

bool l2tp_dirty(struct l2tp *l, enum l2tp_object *ret_kind, adit_handle *ret_handle, bool *ret_gone)
{
	struct list *node;
	adit_handle h;
	bool gone;

	engine_pump(l);
	/* Tunnels first: a CDN is in the tunnel's record before its session's is removed. */
	while ((node = list_pop(&l->journal_tunnels))) {
		if (dirty_tunnel(l, container_of(node, struct tunnel, thing.journal), &h, &gone)) {
			*ret_kind = L2TP_OBJ_TUNNEL;
			*ret_handle = h;
			*ret_gone = gone;
			return true;
		}
	}
	while ((node = list_pop(&l->journal_sessions))) {
		if (dirty_session(l, container_of(node, struct session, thing.journal), &h,
				  &gone)) {
			*ret_kind = L2TP_OBJ_SESSION;
			*ret_handle = h;
			*ret_gone = gone;
			return true;
		}
	}
	return false;
}

/* ---- packets out ---- */

static size_t output_reply(struct l2tp *l, uint8_t *buf, size_t cap, struct path *ret_path)
{
	struct reply *r = &l->replies[l->reply_first];
	size_t len = r->len;

	l->reply_first = (l->reply_first + 1) % L2TP_REPLIES;
	l->reply_count--;
	if (len > cap)
		return 0;
	memcpy(buf, r->bytes, len);
	*ret_path = r->path;
	l->count.control_out++;
	if (r->told)
		trace_put(l->trace, TRACE_L2TP_OUT, l->now, 0, L2TP_STOPCCN, 0, 1, 0, buf, len);
	return len;
}

static size_t output_message(struct l2tp *l, struct tunnel *t, const struct rel_out *o,
			     uint8_t *buf, size_t cap)
{
	uint8_t type = o->msg ? o->msg->type : L2TP_ZLB;
	uint32_t session = o->msg ? o->msg->session : 0;
	size_t len;

	if (o->msg) {
		len = o->msg->len;
		if (len > cap)
			return 0;
		memcpy(buf, o->msg->bytes, len);
		l2tp_build_stamp(buf, len, t->remote_id, (uint16_t)session, (uint16_t)o->ns,
				 (uint16_t)o->nr);
	} else {
		len = l2tp_build_zlb(buf, cap, t->remote_id, (uint16_t)o->ns, (uint16_t)o->nr);
	}
	l->count.control_out++;
	l->count.retransmits += o->again;
	trace_put(tunnel_trace(l, t), o->again ? TRACE_L2TP_OUT_AGAIN : TRACE_L2TP_OUT, l->now,
		  t->handle, type, o->ns, o->nr, session, buf, len);
	return len;
}

size_t l2tp_output(struct l2tp *l, struct mono now, uint8_t *buf, size_t cap, struct path *ret_path)
{
	struct list *node;
	size_t len;

	engine_pump(l);
	while (l->reply_count) {
		len = output_reply(l, buf, cap, ret_path);
		if (len)
			return len;
	}
	while ((node = list_pop(&l->out))) {
		struct tunnel *t = container_of(node, struct tunnel, out);
		struct rel_out o;

		if (!rel_output(&t->rel, now, &o))
			continue;
		if (rel_wants_output(&t->rel))
			engine_out(l, t); /* behind the others: tunnels take turns */
		len = output_message(l, t, &o, buf, cap);
		if (!len)
			continue;
		*ret_path = t->path;
		return len;
	}
	bury(l);
	return 0;
}
