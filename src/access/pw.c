/* SPDX-License-Identifier: MIT
 *
 * The engine of pseudowires (pw.h): what comes in, what goes out, and what is there. See pw_int.h
 * for how it is made.
 */
#include "pw_int.h"

/* Ids of L2TPv2 tunnels have 16 bits; ours have more, so that a data plane can tell them apart. */
#define ID_BASE 0x10000u
#define ID_LEN	(ACCESS_V3_IDS - ID_BASE)

#define FIRST_US US_S
#define CAP_US	 (60 * US_S)

uint64_t pw_hash(const struct htab *t, uint64_t v)
{
	return htab_hash(t, &v, sizeof(v));
}

struct pw *pwe_new(const struct pw_config *config)
{
	struct l2tp3_config l2tp = { .id_base = ID_BASE, .id_len = ID_LEN };
	struct pw *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = *config;
	rng_init(&p->rng, config->seed);
	rng_fork(&p->rng, l2tp.seed);
	rng_bytes(&p->rng, p->hash_key, sizeof(p->hash_key));
	l2tp.trace = config->trace;
	list_init(&p->tunnels);
	list_init(&p->news_t);
	list_init(&p->news_c);
	list_init(&p->news_w);
	htab_init(&p->tunnels_by_name, p->hash_key);
	htab_init(&p->tunnels_by_peer, p->hash_key);
	htab_init(&p->conns_by_id, p->hash_key);
	htab_init(&p->conns_by_local, p->hash_key);
	htab_init(&p->wires_by_id, p->hash_key);
	htab_init(&p->by_key, p->hash_key);
	htab_init(&p->by_end, p->hash_key);
	htab_init(&p->by_name, p->hash_key);
	pw_recs_init(p);
	p->l = l2tp3_new(&l2tp);
	if (p->l)
		return p;
	pwe_free(p);
	return NULL;
}

void pwe_scarce(struct pw *p, bool scarce)
{
	l2tp3_scarce(p->l, scarce);
}

void pwe_free(struct pw *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->wire_count; i++)
		pww_free(p, p->wires[i]);
	list_for_each_safe (it, &p->tunnels) {
		struct pwt *t = container_of(it, struct pwt, in);

		list_for_each_safe (at, &t->conns) {
			struct pwc *c = container_of(at, struct pwc, in);

			list_drop(&c->in);
			free(c);
		}
		pwt_free(p, t);
	}
	free(p->wires);
	htab_free(&p->tunnels_by_name);
	htab_free(&p->tunnels_by_peer);
	htab_free(&p->conns_by_id);
	htab_free(&p->conns_by_local);
	htab_free(&p->wires_by_id);
	htab_free(&p->by_key);
	htab_free(&p->by_end);
	htab_free(&p->by_name);
	heap_free(&p->tunnel_timers);
	heap_free(&p->wire_timers);
	pw_recs_free(p);
	pw_conf_unref(p->conf);
	l2tp3_free(p->l);
	free(p);
}

/* ---- news ---- */

static void news(struct list *head, struct list *node, uint8_t *bits, uint8_t bit)
{
	if (!*bits) {
		list_drop(node);
		list_push(head, node);
	}
	*bits |= bit;
}

void pw_news_t(struct pw *p, struct pwt *t, uint8_t bit)
{
	news(&p->news_t, &t->news, &t->bits, bit);
}

void pw_news_c(struct pw *p, struct pwc *c, uint8_t bit)
{
	news(&p->news_c, &c->news, &c->bits, bit);
}

void pw_news_w(struct pw *p, struct pww *w, uint8_t bit)
{
	news(&p->news_w, &w->news, &w->bits, bit);
}

void pw_reason_set(struct pw_reason *r, enum adit_cause cause, const char *text, bool by_peer)
{
	char copy[PW_TEXT_MAX]; /* `text` may be that of `r` */

	snprintf(copy, sizeof(copy), "%s", text ? text : "");
	*r = (struct pw_reason){ .cause = cause, .by_peer = by_peer };
	memcpy(r->text, copy, sizeof(copy));
}

int64_t pw_backoff(struct pw *p, const struct pw_conf_tunnel *c, uint32_t attempts)
{
	int64_t us = c->redial_first_us > 0 ? c->redial_first_us : FIRST_US;
	int64_t cap = c->redial_cap_us > 0 ? c->redial_cap_us : CAP_US;
	int64_t quarter;

	for (uint32_t i = 1; i < attempts && us < cap; i++)
		us *= 2;
	if (us > cap)
		us = cap;
	quarter = us / 4 < UINT32_MAX / 4 ? us / 4 : UINT32_MAX / 4;
	return us + (int64_t)rng_below(&p->rng, (uint32_t)(2 * quarter) + 1) - quarter;
}

/* ---- in ---- */

void pw_pump(struct pw *p, struct mono now)
{
	struct l2tp3_event ev;

	while (l2tp3_event(p->l, &ev)) {
		if (ev.kind < L2TP3_EV_SESSION_ASK)
			pwt_event(p, now, &ev);
		else
			pww_event(p, now, &ev);
	}
}

int pwe_input(struct pw *p, struct mono now, const struct path *path, const uint8_t *bytes,
	      size_t len)
{
	struct l2tp3_frame frame; /* data belongs to the planes: what comes here is early or late */
	const struct pwt *t;
	int rc;

	/* Nobody is to speak L2TPv3 with us: then it is a version we do not know (RFC 2661 3.1). */
	if (list_empty(&p->tunnels) && !l2tp3_conn_next(p->l, 0))
		return 0;
	rc = l2tp3_input(p->l, now, path, bytes, len, &frame);
	if (rc == L2TP3_IN_LOST) {
		t = pwt_for(p, path, NULL);
		rc = l2tp3_tell_lost(p->l, path, bytes, len, t ? t->c->l2tp : NULL);
	}
	pw_pump(p, now);
	return rc < 0 ? rc : 0;
}

bool pwe_serves(const struct pw *p, const struct path *path)
{
	return pwt_for(p, path, NULL) != NULL;
}

bool pwe_paths(const struct pw *p, uint64_t *pos, struct path *ret)
{
	struct l2tp3_conn_info i;

	*pos = l2tp3_conn_next(p->l, *pos);
	if (!*pos || !l2tp3_conn_info(p->l, *pos, &i))
		return false;
	*ret = i.path;
	return true;
}

uint32_t pwe_via(const struct pw *p, const struct path *path, const uint8_t *bytes, size_t len)
{
	return l2tp3_via(p->l, path, bytes, len);
}

static int connect_wire(struct pw *p, struct mono now, const char *name)
{
	struct pww *w = pww_by_name(p, name);

	if (!w)
		return 1;
	if (w->told)
		return 2;
	w->wanted = true;
	w->asked = w->t->asked = true;
	w->t->off = false;
	pw_touch_wire(p, w);
	w->waiting = false;
	heap_clear(&p->wire_timers, &w->timer);
	pwt_advance(p, now, w->t);
	pww_advance(p, now, w);
	return 0;
}

static bool any_wanted(const struct pwt *t)
{
	list_for_each (it, &t->wires)
		if (container_of(it, struct pww, in_tunnel)->wanted)
			return true;
	return false;
}

void pww_take_down(struct pw *p, struct mono now, struct pww *w)
{
	w->wanted = w->asked = false;
	w->waiting = false;
	heap_clear(&p->wire_timers, &w->timer);
	pww_end(p, now, w, L2TP_CDN_ADMIN, ADIT_CAUSE_ADMIN, NULL);
	if (!(w->bits & PWW_N_DOWN)) /* nothing ended: why it is not up is new all the same */
		pw_reason_set(&w->why, ADIT_CAUSE_ADMIN, NULL, false);
	if (any_wanted(w->t))
		return;
	w->t->asked = false;
	if (!w->t->c->implied)
		return;
	w->t->off = true;
	pwt_close(p, now, w->t, ADIT_CAUSE_ADMIN, NULL);
}

static int disconnect_wire(struct pw *p, struct mono now, const char *name)
{
	struct pww *w = pww_by_name(p, name);

	if (!w)
		return 1;
	if (!w->wanted)
		return 2;
	pww_take_down(p, now, w);
	pw_touch_wire(p, w);
	return 0;
}

static int terminate_tunnel(struct pw *p, struct mono now, uint32_t local, enum adit_cause cause,
			    const char *text)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_CLOSE, .result = L2TP_STOP_CLEAR };
	const struct pwc *c = pwc_by_local(p, local);

	if (!c)
		return 1;
	cmd.conn = c->h;
	cmd.cause = cause;
	cmd.text = text;
	l2tp3_do(p->l, now, &cmd);
	return 0;
}

static int row_lost(struct pw *p, struct mono now, const struct pw_cmd *cmd)
{
	struct pww *w = pww_by_key(p, cmd->key);

	if (!cmd->key)
		return terminate_tunnel(p, now, cmd->tunnel, ADIT_CAUSE_DATA_PLANE, cmd->text);
	if (!w)
		return 1;
	pww_end(p, now, w, L2TP_CDN_ERROR, ADIT_CAUSE_DATA_PLANE, cmd->text);
	return 0;
}

static int path_mtu(struct pw *p, uint32_t local, uint16_t mtu)
{
	struct pwc *c = pwc_by_local(p, local);

	if (!c)
		return 1;
	if (c->path_mtu == mtu)
		return 2;
	c->path_mtu = mtu;
	pw_touch_conn(p, c->h);
	if (c->t->conn != c)
		return 0;
	list_for_each (it, &c->t->wires)
		pww_path(p, container_of(it, struct pww, in_tunnel));
	return 0;
}

static void shut_down(struct pw *p, struct mono now)
{
	p->shutdown = true;
	p->drain = false;
	p->drain_at = MONO_NEVER;
	for (size_t i = 0; i < p->wire_count; i++)
		pww_advance(p, now, p->wires[i]);
	list_for_each_safe (it, &p->tunnels)
		pwt_close(p, now, container_of(it, struct pwt, in), ADIT_CAUSE_SHUTDOWN, NULL);
}

static int act(struct pw *p, struct mono now, const struct pw_cmd *cmd)
{
	struct pww *w;

	switch (cmd->kind) {
	case PW_CMD_CONF:
		return pw_apply(p, now, cmd->conf);
	case PW_CMD_CONNECT:
		return connect_wire(p, now, cmd->name);
	case PW_CMD_DISCONNECT:
		return disconnect_wire(p, now, cmd->name);
	case PW_CMD_TERMINATE:
		w = pww_by_key(p, cmd->key);
		if (w)
			pww_end(p, now, w, L2TP_CDN_ADMIN, ADIT_CAUSE_ADMIN, cmd->text);
		return w ? 0 : 1;
	case PW_CMD_TERMINATE_TUNNEL:
		return terminate_tunnel(p, now, cmd->tunnel, ADIT_CAUSE_ADMIN, cmd->text);
	case PW_CMD_RESOLVED:
		return pwt_resolved(p, now, cmd);
	case PW_CMD_DP_DONE:
		return pww_done(p, now, cmd->done);
	case PW_CMD_DP_LOST:
		return row_lost(p, now, cmd);
	case PW_CMD_PATH:
		return path_mtu(p, cmd->tunnel, cmd->mtu);
	case PW_CMD_CIRCUIT:
		w = pww_by_key(p, cmd->key);
		if (w)
			pww_circuit(p, now, w, cmd->up, cmd->missing);
		return w ? 0 : 1;
	case PW_CMD_DRAIN:
		if (p->shutdown)
			return 2;
		pw_drain(p, now, cmd->up, cmd->rate);
		return 0;
	case PW_CMD_SHUTDOWN:
		shut_down(p, now);
		return 0;
	}
	return 1;
}

int pwe_do(struct pw *p, struct mono now, const struct pw_cmd *cmd)
{
	int rc = act(p, now, cmd);

	pw_pump(p, now);
	return rc;
}

void pwe_expire(struct pw *p, struct mono now)
{
	struct heap_node *n;

	if (mono_due(l2tp3_deadline(p->l), now))
		l2tp3_expire(p->l, now);
	pw_pump(p, now);
	while ((n = heap_first(&p->tunnel_timers)) && mono_due(n->at, now))
		pwt_expire(p, now, container_of(n, struct pwt, timer));
	while ((n = heap_first(&p->wire_timers)) && mono_due(n->at, now))
		pww_expire(p, now, container_of(n, struct pww, timer));
	pw_drain_expire(p, now);
	pw_pump(p, now);
}

struct mono pwe_deadline(const struct pw *p)
{
	struct mono at = mono_min(heap_deadline(&p->tunnel_timers), heap_deadline(&p->wire_timers));

	return mono_min(l2tp3_deadline(p->l), p->drain ? mono_min(at, p->drain_at) : at);
}

/* ---- out ---- */

static void reason(struct pw_event *ev, const struct pw_reason *why)
{
	ev->cause = why->cause;
	ev->text = why->text;
	ev->by_peer = why->by_peer;
	ev->established = why->established;
}

static bool event_conn(struct pw *p, struct pwc *c, uint8_t bit, struct pw_event *ret)
{
	if (!(c->bits & bit))
		return false;
	c->bits &= (uint8_t)~bit;
	ret->kind = bit == PWC_N_UP ? PW_EV_TUNNEL_UP : PW_EV_TUNNEL_DOWN;
	ret->tunnel = c->local;
	ret->remote_tunnel = c->remote;
	ret->path = &c->path;
	ret->name = c->name;
	ret->host = c->host;
	ret->encap = c->encap;
	ret->plane = c->plane;
	reason(ret, &c->why);
	c->told = bit == PWC_N_UP;
	if (!c->bits)
		list_drop(&c->news);
	return true;
}

/* Whom the session that ended was with, or the last attempt went to. */
static struct addr remote_of(const struct pww *w)
{
	const struct pwt *t = w->t;
	struct addr a;

	if (w->why.established || !t)
		return w->row.path.remote;
	if (t->conn)
		return t->conn->path.remote;
	if (t->path_next)
		return t->paths[t->path_next - 1].remote;
	if (!t->c || addr_parse(t->c->remote, &a) < 0)
		return (struct addr){ 0 };
	a.port = t->c->port;
	return a;
}

static void wire_fill(const struct pww *w, struct pw_event *ret)
{
	ret->key = w->key;
	ret->generation = w->generation;
	ret->row = &w->row;
	ret->name = w->name;
	ret->path = &w->row.path;
	ret->remote = remote_of(w);
	ret->ifname = w->row.ifname;
	ret->mtu = w->row.mtu;
	ret->near_up = w->near_up;
	ret->far_up = w->far_up;
	reason(ret, &w->why);
}

/* What is told first of a pseudowire: its end, then what is new. */
static bool event_wire(struct pww *w, struct pw_event *ret)
{
	static const struct {
		uint8_t bit;
		enum pw_event_kind kind;
	} order[] = { { PWW_N_DEL, PW_EV_DP_DEL },	   { PWW_N_DOWN, PW_EV_DOWN },
		      { PWW_N_PUT, PW_EV_DP_PUT },	   { PWW_N_UP, PW_EV_UP },
		      { PWW_N_MISSING, PW_EV_NO_CIRCUIT }, { PWW_N_CIRCUIT, PW_EV_CIRCUIT } };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (!(w->bits & order[i].bit))
			continue;
		w->bits &= (uint8_t)~order[i].bit;
		if (!w->bits)
			list_drop(&w->news);
		wire_fill(w, ret);
		ret->kind = order[i].kind;
		return true;
	}
	return false;
}

static bool event_resolve(struct pwt *t, struct pw_event *ret)
{
	t->bits = 0;
	list_drop(&t->news);
	if (!t->c)
		return false;
	ret->kind = PW_EV_RESOLVE;
	ret->name = t->c->name;
	ret->implied = t->c->implied;
	ret->host = t->c->remote;
	ret->port = t->c->port;
	ret->encap = t->c->encap;
	ret->source = t->c->local;
	ret->prefer6 = t->c->prefer6;
	ret->via4 = t->c->via4;
	ret->via6 = t->c->via6;
	return true;
}

bool pwe_event(struct pw *p, struct mono now, struct pw_event *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->text = "";
	list_for_each_safe (it, &p->news_c)
		if (event_conn(p, container_of(it, struct pwc, news), PWC_N_UP, ret))
			return true;
	list_for_each_safe (it, &p->news_w)
		if (event_wire(container_of(it, struct pww, news), ret))
			return true;
	list_for_each_safe (it, &p->news_c) {
		struct pwc *c = container_of(it, struct pwc, news);

		/* told once; freed when the next event is asked for */
		if (event_conn(p, c, PWC_N_DOWN, ret)) {
			list_push(&p->news_c, &c->news);
			return true;
		}
		pwc_free(p, c);
	}
	list_for_each_safe (it, &p->news_t)
		if (event_resolve(container_of(it, struct pwt, news), ret))
			return true;
	pw_swept(p);
	return false;
}

size_t pwe_output(struct pw *p, struct mono now, uint8_t *buf, size_t cap, struct path *ret)
{
	return l2tp3_output(p->l, now, buf, cap, ret);
}

/* ---- what is there ---- */

static const char *state_of(const struct pww *w)
{
	if (w->told)
		return "up";
	if (w->row_state == PWW_ROW_DEL)
		return "closing";
	if (!w->wanted || !w->c)
		return "idle";
	if (w->session || w->session_up)
		return "connecting";
	if (w->waiting || w->t->state == PWT_WAITING)
		return "waiting";
	if (w->t->state == PWT_RESOLVING || w->t->state == PWT_TRYING)
		return "connecting";
	return w->c->connect == PW_MANUAL && !w->asked ? "idle" : "listening";
}

static void wire_info(const struct pw *p, const struct pww *w, struct pw_wire_info *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->name = w->name;
	ret->state = state_of(w);
	ret->key = w->key;
	ret->conf = w->c;
	ret->tunnel = w->t ? w->t->c : NULL;
	ret->up = w->told;
	ret->row = w->told && w->row_state == PWW_ROW_PUT ? w->row : w->c ? w->c->row : w->row;
	if (w->session)
		l2tp3_session_info(p->l, w->session, &ret->l2tp);
	ret->near_up = w->near_up;
	ret->far_up = w->far_up;
	ret->missing = w->missing;
	ret->attempts = w->t && w->t->attempts > w->attempts ? w->t->attempts : w->attempts;
	ret->next = w->waiting				 ? w->timer.at
		    : w->t && w->t->state == PWT_WAITING ? w->t->timer.at
							 : MONO_NEVER;
	ret->since = w->since;
	ret->cause = w->why.cause;
	ret->text = w->why.text;
}

bool pwe_wire(const struct pw *p, size_t index, struct pw_wire_info *ret)
{
	if (index >= p->wire_count)
		return false;
	wire_info(p, p->wires[index], ret);
	return true;
}

bool pwe_wire_find(const struct pw *p, const char *name, struct pw_wire_info *ret)
{
	const struct pww *w = pww_by_name(p, name);

	if (w)
		wire_info(p, w, ret);
	return w != NULL;
}

uint32_t pwe_tunnel_next(const struct pw *p, uint32_t prev)
{
	const struct pwc *c = prev ? pwc_by_local(p, prev) : NULL;
	struct l2tp3_conn_info i;
	adit_handle h = c ? c->h : 0;

	if (prev && !c)
		return 0;
	while ((h = l2tp3_conn_next(p->l, h))) {
		c = l2tp3_conn_info(p->l, h, &i) ? pwc_find(p, i.owner) : NULL;
		if (c && c->up && c->h == h)
			return c->local;
	}
	return 0;
}

bool pwe_tunnel(const struct pw *p, uint32_t local, struct pw_tunnel_info *ret)
{
	const struct pwc *c = pwc_by_local(p, local);

	if (!c || !l2tp3_conn_info(p->l, c->h, &ret->l2tp))
		return false;
	ret->name = c->name;
	ret->path_mtu = c->path_mtu;
	ret->plane = c->t->c ? c->t->c->plane : c->plane;
	return true;
}

bool pwe_has(const struct pw *p, uint64_t key)
{
	return pww_by_key(p, key) != NULL;
}

uint32_t pwe_count(const struct pw *p)
{
	uint32_t count = 0;

	for (size_t n = 0; n < p->wire_count; n++)
		count += p->wires[n]->session || p->wires[n]->row_state != PWW_ROW_NONE;
	return count;
}

bool pwe_ended(const struct pw *p)
{
	struct l2tp3_conn_info i;

	for (size_t n = 0; n < p->wire_count; n++)
		if (p->wires[n]->row_state != PWW_ROW_NONE)
			return false;
	for (adit_handle h = 0; (h = l2tp3_conn_next(p->l, h));)
		if (l2tp3_conn_info(p->l, h, &i) && i.state != L2TP3_CS_LINGER)
			return false;
	return true;
}

void pwe_counters(const struct pw *p, struct l2tp3_counters *ret)
{
	l2tp3_counters(p->l, ret);
}
