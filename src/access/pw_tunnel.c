/* SPDX-License-Identifier: MIT
 *
 * Control connections of pseudowires (RFC 3931 3.3): dialled when the configuration says so, taken
 * when the peer dials, and dialled again after a loss, later each time.
 *
 * Both sides may dial. Requests that cross are settled by the engine (5.4.3, tie breakers). A peer
 * that opens a connection while we believe to have one has lost it: once the new one is up, which
 * only the real peer can bring about, it takes the place of the former.
 */
#include "pw_int.h"

#define RESOLVE_US (60 * US_S) /* the resolver owes an answer */
#define LOOK_US	   (60 * US_S) /* the addresses of a peer that is waited for are looked up again */
#define PENDING_US (5 * US_S)  /* the peer is opening a connection: wait for that */
#define WAITS_MOST 8	       /* ... so many times, then we dial all the same */

/* ---- objects ---- */

struct pwt *pwt_new(struct pw *p, const struct pw_conf_tunnel *c)
{
	struct pwt *t;

	if (heap_reserve(&p->tunnel_timers, p->tunnel_count + 1) < 0 ||
	    htab_reserve(&p->tunnels_by_name) < 0 || htab_reserve(&p->tunnels_by_peer) < 0)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->id = ++p->next_id;
	pwt_place(p, t, c);
	p->tunnel_count++;
	list_init(&t->conns);
	list_init(&t->wires);
	list_init(&t->news);
	list_push(&p->tunnels, &t->in);
	return t;
}

static uint64_t name_hash(const struct pw *p, const char *name)
{
	return htab_hash(&p->tunnels_by_name, name, strlen(name));
}

static uint64_t peer_hash(const struct pw *p, const struct addr *a)
{
	return htab_hash(&p->tunnels_by_peer, a->ip, sizeof(a->ip));
}

/* Without room in the table its chains are longer. */
static void peer_set(struct pw *p, struct pwt *t, struct pwt_peer *at, const struct addr *remote)
{
	if (at->t)
		htab_drop(&p->tunnels_by_peer, &at->node);
	at->t = remote ? t : NULL;
	if (!remote)
		return;
	at->remote = *remote;
	htab_put(&p->tunnels_by_peer, &at->node, peer_hash(p, remote));
}

/* Only what has a block in the configuration is found by its peer. */
static void peers_set(struct pw *p, struct pwt *t)
{
	size_t n = t->c ? t->path_count : 0;
	struct addr a;

	for (size_t i = 0; i < PW_PATHS_MAX; i++)
		peer_set(p, t, t->peers + i, i < n ? &t->paths[i].remote : NULL);
	peer_set(p, t, t->peers + PW_PATHS_MAX,
		 t->c && addr_parse(t->c->remote, &a) == 0 ? &a : NULL);
}

void pwt_place(struct pw *p, struct pwt *t, const struct pw_conf_tunnel *c)
{
	if (t->c)
		htab_drop(&p->tunnels_by_name, &t->by_name);
	t->c = c;
	if (c)
		htab_put(&p->tunnels_by_name, &t->by_name, name_hash(p, c->name));
	peers_set(p, t);
}

void pwt_state(struct pw *p, struct pwt *t, enum pwt_state state)
{
	p->tunnels_up -= t->state == PWT_UP;
	p->tunnels_up += state == PWT_UP;
	t->state = state;
}

void pwt_free(struct pw *p, struct pwt *t)
{
	pwt_place(p, t, NULL);
	pwt_state(p, t, PWT_IDLE);
	p->tunnel_count--;
	heap_clear(&p->tunnel_timers, &t->timer);
	list_drop(&t->in);
	list_drop(&t->news);
	free(t);
}

void pwt_release(struct pw *p, struct pwt *t)
{
	if (!t->c && list_empty(&t->conns) && list_empty(&t->wires))
		pwt_free(p, t);
}

struct pwt *pwt_find(const struct pw *p, const char *name, bool implied)
{
	struct htab_node *n = htab_find(&p->tunnels_by_name, name_hash(p, name));

	for (; n; n = htab_next(n)) {
		struct pwt *t = container_of(n, struct pwt, by_name);

		if (t->c->implied == implied && strcmp(t->c->name, name) == 0)
			return t;
	}
	return NULL;
}

struct pwc *pwc_new(struct pw *p, struct pwt *t)
{
	struct pwc *c;

	if (htab_reserve(&p->conns_by_id) < 0 || htab_reserve(&p->conns_by_local) < 0)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = ++p->next_id;
	c->t = t;
	if (t->c) {
		c->encap = t->c->encap;
		c->plane = t->c->plane;
		snprintf(c->name, sizeof(c->name), "%s", t->c->name);
	}
	list_init(&c->news);
	list_push(&t->conns, &c->in);
	htab_put(&p->conns_by_id, &c->by_id, pw_hash(&p->conns_by_id, c->id));
	return c;
}

static void pwc_down(struct pw *p, struct pwc *c)
{
	if (c->up)
		htab_drop(&p->conns_by_local, &c->by_local);
	c->up = false;
}

void pwc_free(struct pw *p, struct pwc *c)
{
	struct pwt *t = c->t;

	if (t->conn == c)
		t->conn = NULL;
	list_drop(&c->in);
	list_drop(&c->news);
	htab_drop(&p->conns_by_id, &c->by_id);
	pwc_down(p, c);
	free(c);
	pwt_release(p, t);
}

struct pwc *pwc_find(const struct pw *p, uint64_t id)
{
	struct htab_node *n = htab_find(&p->conns_by_id, pw_hash(&p->conns_by_id, id));

	for (; n; n = htab_next(n)) {
		struct pwc *c = container_of(n, struct pwc, by_id);

		if (c->id == id)
			return c;
	}
	return NULL;
}

struct pwc *pwc_by_local(const struct pw *p, uint32_t local)
{
	struct htab_node *n = htab_find(&p->conns_by_local, pw_hash(&p->conns_by_local, local));

	for (; n; n = htab_next(n)) {
		struct pwc *c = container_of(n, struct pwc, by_local);

		if (c->local == local)
			return c;
	}
	return NULL;
}

/* ---- the peer ---- */

static bool fits(const struct pwt *t, const struct path *path, const char *host)
{
	if ((t->c->encap == DP_ENCAP_IP) != (path->remote.port == 0))
		return false;
	if (t->c->local.family && !addr_is_any(&t->c->local) &&
	    !addr_same_ip(&t->c->local, &path->local))
		return false;
	return !host || !t->c->host_name[0] || text_glob(t->c->host_name, host);
}

struct pwt *pwt_for(const struct pw *p, const struct path *path, const char *host)
{
	struct htab_node *n = htab_find(&p->tunnels_by_peer, peer_hash(p, &path->remote));
	struct pwt *found = NULL;

	for (; n; n = htab_next(n)) {
		const struct pwt_peer *at = container_of(n, struct pwt_peer, node);
		struct pwt *t = at->t;
		bool up = t->state == PWT_UP;

		if (!addr_same_ip(&at->remote, &path->remote) || !fits(t, path, host))
			continue;
		if (!found || (found->state == PWT_UP && !up) ||
		    ((found->state == PWT_UP) == up && t->id < found->id))
			found = t;
	}
	return found;
}

/* Is max-tunnels reached by others than this one? */
static bool full(const struct pw *p, const struct pwt *t)
{
	return p->conf && p->conf->max_tunnels &&
	       p->tunnels_up - (t->state == PWT_UP) >= p->conf->max_tunnels;
}

/* ---- dialling ---- */

static void timer(struct pw *p, struct pwt *t, struct mono at)
{
	heap_set(&p->tunnel_timers, &t->timer, at);
}

static bool dials(const struct pw *p, const struct pwt *t)
{
	if (!t->c || pw_closed(p) || t->off)
		return false;
	return t->c->connect == PW_AUTO || t->asked;
}

/* A name whose addresses have to be known to recognise the peer. */
static bool watches(const struct pw *p, const struct pwt *t)
{
	struct addr a;

	return t->c && !p->shutdown && addr_parse(t->c->remote, &a) < 0;
}

static void resolve(struct pw *p, struct mono now, struct pwt *t)
{
	pwt_state(p, t, PWT_RESOLVING);
	timer(p, t, mono_add(now, RESOLVE_US));
	pw_news_t(p, t, PWT_N_RESOLVE);
}

static void rest(struct pw *p, struct mono now, struct pwt *t)
{
	pwt_state(p, t, PWT_IDLE);
	timer(p, t, watches(p, t) ? mono_add(now, LOOK_US) : MONO_NEVER);
}

static void failed(struct pw *p, struct mono now, struct pwt *t, enum adit_cause cause,
		   const char *text, bool by_peer)
{
	pw_reason_set(&t->why, cause, text, by_peer);
	list_for_each (it, &t->wires) {
		struct pww *w = container_of(it, struct pww, in_tunnel);

		if (!w->wanted || w->bits & PWW_N_DOWN)
			continue; /* its own end has been told */
		w->why = t->why;
		w->why.established = false;
		pw_news_w(p, w, PWW_N_DOWN);
	}
	if (!dials(p, t)) {
		rest(p, now, t);
		return;
	}
	t->attempts++;
	pwt_state(p, t, PWT_WAITING);
	timer(p, t, mono_add(now, pw_backoff(p, t->c, t->attempts)));
}

/* Open a connection over the next path. */
static void try_next(struct pw *p, struct mono now, struct pwt *t)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_OPEN, .profile = t->c->l2tp };
	struct pwc *c;
	int rc;

	if (t->path_next >= t->path_count) {
		failed(p, now, t, t->why.cause, t->why.text, t->why.by_peer);
		return;
	}
	if (full(p, t)) {
		failed(p, now, t, ADIT_CAUSE_LIMIT_TUNNELS, NULL, false);
		return;
	}
	c = pwc_new(p, t);
	if (!c) {
		failed(p, now, t, ADIT_CAUSE_NO_MEMORY, NULL, false);
		return;
	}
	c->path = t->paths[t->path_next++];
	cmd.path = c->path;
	cmd.owner = c->id;
	rc = l2tp3_do(p->l, now, &cmd);
	if (rc) {
		pwc_free(p, c);
		failed(p, now, t, rc == 2 ? ADIT_CAUSE_LIMIT_TUNNELS : ADIT_CAUSE_NO_MEMORY, NULL,
		       false);
		return;
	}
	c->h = cmd.ret_handle;
	t->conn = c;
	pwt_state(p, t, PWT_TRYING);
	timer(p, t, MONO_NEVER);
}

/* Is the peer opening one? Whoever sends requests in its name cannot keep us waiting for ever. */
static bool pending(const struct pwt *t)
{
	if (t->waits >= WAITS_MOST)
		return false;
	list_for_each (it, &t->conns) {
		const struct pwc *c = container_of(it, struct pwc, in);

		if (c->h && !c->up)
			return true;
	}
	return false;
}

void pwt_advance(struct pw *p, struct mono now, struct pwt *t)
{
	if (t->state != PWT_IDLE && t->state != PWT_WAITING)
		return;
	if (dials(p, t) && pending(t)) {
		t->waits++;
		pwt_state(p, t, PWT_WAITING);
		timer(p, t, mono_add(now, PENDING_US));
	} else if (dials(p, t) || (watches(p, t) && !t->path_count)) {
		resolve(p, now, t);
	} else {
		rest(p, now, t);
	}
}

void pwt_expire(struct pw *p, struct mono now, struct pwt *t)
{
	timer(p, t, MONO_NEVER);
	if (t->state == PWT_RESOLVING)
		failed(p, now, t, ADIT_CAUSE_NAME_NOT_FOUND, "the name service did not answer",
		       false);
	else if (t->state == PWT_WAITING)
		pwt_advance(p, now, t);
	else if (t->state == PWT_IDLE && watches(p, t))
		resolve(p, now, t);
}

int pwt_resolved(struct pw *p, struct mono now, const struct pw_cmd *cmd)
{
	struct pwt *t = pwt_find(p, cmd->name, cmd->implied);
	size_t n = cmd->path_count < PW_PATHS_MAX ? cmd->path_count : PW_PATHS_MAX;

	if (!t)
		return 1;
	if (n) {
		memcpy(t->paths, cmd->paths, n * sizeof(*t->paths));
		t->path_count = n;
		peers_set(p, t);
	}
	if (t->state != PWT_RESOLVING)
		return 2; /* it is up already: but now we know the peer's addresses */
	t->path_next = 0;
	if (!n) {
		failed(p, now, t, cmd->cause, cmd->text, false);
	} else if (dials(p, t) && !pending(t)) {
		t->waits = 0;
		try_next(p, now, t);
	} else {
		pwt_state(p, t, PWT_IDLE);
		pwt_advance(p, now, t);
	}
	return 0;
}

/* ---- ending ---- */

static void close_conn(struct pw *p, struct mono now, struct pwc *c, uint16_t result,
		       enum adit_cause cause, const char *text)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_CLOSE };

	if (!c->h)
		return;
	cmd.conn = c->h;
	cmd.result = result;
	cmd.cause = cause;
	cmd.text = text;
	l2tp3_do(p->l, now, &cmd);
}

void pwt_close(struct pw *p, struct mono now, struct pwt *t, enum adit_cause cause,
	       const char *text)
{
	list_for_each (it, &t->conns)
		close_conn(p, now, container_of(it, struct pwc, in),
			   cause == ADIT_CAUSE_SHUTDOWN ? L2TP_STOP_SHUTDOWN : L2TP_STOP_CLEAR,
			   cause, text);
	if (t->state != PWT_UP && t->state != PWT_TRYING)
		rest(p, now, t);
}

void pwt_drop(struct pw *p, struct mono now, struct pwt *t, enum adit_cause cause, const char *text)
{
	pwt_close(p, now, t, cause, text);
	timer(p, t, MONO_NEVER);
	pwt_place(p, t, NULL);
	list_drop(&t->news);
	t->bits = 0;
}

/* ---- events of the engine ---- */

static void refuse(struct pw *p, struct mono now, const struct l2tp3_event *ev, uint16_t result,
		   const char *text)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_REFUSE, .conn = ev->conn };

	cmd.result = result;
	cmd.error = result == L2TP_STOP_ERROR ? L2TP_ERR_RESOURCES : L2TP_ERR_NONE;
	cmd.text = text;
	l2tp3_do(p->l, now, &cmd);
}

/* What a stranger is told. */
static const char *unknown_text(const struct pw *p, const struct l2tp3_event *ev)
{
	struct path other = *ev->path;
	bool ip = !other.remote.port;

	other.remote.port = ip ? L2TP_PORT : 0;
	if (!pwt_for(p, &other, ev->host_name))
		return CONF_NO_BLOCK;
	return ip ? "expected over UDP, not IP" : "expected over IP, not UDP";
}

static void on_ask(struct pw *p, struct mono now, const struct l2tp3_event *ev)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_ACCEPT, .conn = ev->conn, .trusted = true };
	struct pwt *t = pw_closed(p) ? NULL : pwt_for(p, ev->path, ev->host_name);
	struct pwc *c;

	if (!t || t->off) {
		refuse(p, now, ev, pw_closed(p) ? L2TP_STOP_SHUTDOWN : L2TP_STOP_UNAUTHORISED,
		       t	      ? "taken down by an administrator"
		       : pw_closed(p) ? cause_text(ADIT_CAUSE_SHUTDOWN)
				      : unknown_text(p, ev));
		return;
	}
	if (full(p, t)) {
		refuse(p, now, ev, L2TP_STOP_ERROR, "no more tunnels are possible");
		return;
	}
	c = pwc_new(p, t);
	if (!c) {
		refuse(p, now, ev, L2TP_STOP_ERROR, "out of memory");
		return;
	}
	c->h = ev->conn;
	c->path = *ev->path;
	cmd.owner = c->id;
	cmd.profile = t->c->l2tp;
	if (l2tp3_do(p->l, now, &cmd))
		pwc_free(p, c);
}

void pwc_up(struct pw *p, struct pwc *c, const struct l2tp3_conn_info *i)
{
	pwc_down(p, c);
	c->up = true;
	c->local = i->local_id;
	htab_put(&p->conns_by_local, &c->by_local, pw_hash(&p->conns_by_local, c->local));
	c->remote = i->remote_id;
	c->path = i->path;
	snprintf(c->host, sizeof(c->host), "%s", i->host_name);
}

static void on_up(struct pw *p, struct mono now, struct pwc *c)
{
	struct l2tp3_conn_info i;
	struct pwt *t = c->t;
	struct pwc *old = t->conn;

	if (!t->c || !l2tp3_conn_info(p->l, c->h, &i))
		return;
	pwc_up(p, c, &i);
	pw_news_c(p, c, PWC_N_UP);
	t->conn = c;
	pwt_state(p, t, PWT_UP);
	t->attempts = 0;
	t->waits = 0;
	t->why.cause = ADIT_CAUSE_NONE;
	timer(p, t, MONO_NEVER);
	if (old && old != c) {
		if (old->up) {
			pw_reason_set(&t->why, ADIT_CAUSE_REPLACED, NULL, true);
			pww_tunnel_down(p, now, t, &t->why);
		}
		close_conn(p, now, old, L2TP_STOP_CLEAR, ADIT_CAUSE_REPLACED,
			   "replaced by a newer connection");
	}
	pww_tunnel_up(p, now, t);
}

static void on_down(struct pw *p, struct mono now, struct pwc *c, const struct l2tp3_event *ev)
{
	struct pwt *t = c->t;
	bool used = t->conn == c, was_up = c->up, gone = !t->c;

	pw_reason_set(&c->why, ev->cause, ev->text, ev->by_peer);
	c->why.established = c->up;
	c->h = 0;
	pwc_down(p, c);
	if (used) {
		t->conn = NULL;
		t->why = c->why;
		if (was_up)
			pww_tunnel_down(p, now, t, &c->why);
	}
	if (c->told || c->bits & PWC_N_UP)
		pw_news_c(p, c, PWC_N_DOWN);
	else
		pwc_free(p, c); /* and `t`, when that is gone */
	if (!used || gone)
		return;
	pwt_state(p, t, PWT_IDLE);
	if (ev->cause == ADIT_CAUSE_TIE_LOST && pending(t)) {
		pwt_advance(p, now, t); /* nothing failed: the peer's comes up */
		return;
	}
	/* another address may answer; one that refuses us will do so from all of them */
	if (!was_up && !ev->by_peer && dials(p, t) && t->path_next < t->path_count)
		try_next(p, now, t);
	else
		failed(p, now, t, t->why.cause, t->why.text, t->why.by_peer);
}

void pwt_event(struct pw *p, struct mono now, const struct l2tp3_event *ev)
{
	struct l2tp3_cmd heard = { .kind = L2TP3_CMD_CONN_HEARD, .conn = ev->conn };
	struct pwc *c = ev->kind == L2TP3_EV_CONN_ASK ? NULL : pwc_find(p, ev->owner);

	switch (ev->kind) {
	case L2TP3_EV_CONN_ASK:
		on_ask(p, now, ev);
		break;
	case L2TP3_EV_CONN_UP:
		if (c)
			on_up(p, now, c);
		break;
	case L2TP3_EV_CONN_QUIET:
		/* 4.4 lets data count. A bridge has nothing like PPP's echo, and data shows that
		 * the peer sends, not that it hears us: always ask. */
		l2tp3_do(p->l, now, &heard);
		break;
	case L2TP3_EV_CONN_MOVED:
		if (c)
			c->path = *ev->path;
		break;
	case L2TP3_EV_CONN_DOWN:
		if (c)
			on_down(p, now, c, ev);
		break;
	case L2TP3_EV_SESSION_ASK:
	case L2TP3_EV_SESSION_UP:
	case L2TP3_EV_SESSION_STATUS:
	case L2TP3_EV_SESSION_ERRORS:
	case L2TP3_EV_SESSION_DOWN:
		break;
	}
}
