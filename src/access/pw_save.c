/* SPDX-License-Identifier: MIT
 *
 * Records of pseudowires that outlive the process, and recovery from them. A record holds the name
 * of its block in the configuration, what the planes know it by, and the engine's own record; it is
 * kept under our id of the connection or session, which stays the same. A pseudowire that was taken
 * down, or brought up by hand, has a record of that under a number of its own. A record is a
 * sequence of (tag, length, value); tags that a reader does not know are skipped.
 */
#include "pw_int.h"

enum tag {
	TAG_NAME = 1,	    /* of the connection, the pseudowire */
	TAG_ENGINE = 2,	    /* the engine's record */
	TAG_KEY = 3,	    /* session: of its row, 0 = none yet */
	TAG_GENERATION = 4, /* session: of its row */
	TAG_NEAR = 5,	    /* session: our circuit is up */
	TAG_SAID = 6,	    /* pseudowire: what was said of it, SAID_* */
	TAG_PATH_MTU = 7,   /* connection: of its path, 0 = not known */
	TAG_DIGEST = 8,	    /* of its values in the configuration; missing in earlier records */
	TAG_SECRETS = 9	    /* connection implied by pseudowires: hash of its secrets */
};

enum { SAID_WANTED = 1, SAID_ASKED = 2 };

#define WIRE_ID                                                                          \
	(UINT64_C(1) << 32) /* and above: ids of records of pseudowires, not of sessions \
			     */

#define GENERATIONS 0x10000 /* more than were told since the record was written */

/* The record of an object of the engine. */
struct rec {
	struct htab_node by_handle, by_id;
	enum pw_object kind;
	adit_handle h;
	uint64_t id;
	bool dirty;
	struct list in; /* p->recs_dirty, or p->recs_gone */
};

void pw_recs_init(struct pw *p)
{
	htab_init(&p->recs, p->hash_key);
	htab_init(&p->recs_by_id, p->hash_key);
	list_init(&p->recs_dirty);
	list_init(&p->recs_gone);
	list_init(&p->recs_wires);
}

static void rec_forget(struct pw *p, struct rec *r)
{
	if (r->h) {
		htab_drop(&p->recs, &r->by_handle);
		htab_drop(&p->recs_by_id, &r->by_id);
	}
	list_drop(&r->in);
}

void pw_recs_free(struct pw *p)
{
	struct htab_node *n;
	struct list *l;
	uint64_t pos;

	while (pos = 0, (n = htab_walk(&p->recs, &pos, NULL))) {
		struct rec *r = container_of(n, struct rec, by_handle);

		rec_forget(p, r);
		free(r);
	}
	while ((l = list_pop(&p->recs_gone)))
		free(container_of(l, struct rec, in));
	htab_free(&p->recs);
	htab_free(&p->recs_by_id);
}

static uint64_t kind_hash(const struct htab *t, enum pw_object kind, uint64_t v)
{
	return pw_hash(t, v ^ (uint64_t)kind << 62);
}

static struct rec *rec_of(const struct pw *p, enum pw_object kind, adit_handle h)
{
	struct htab_node *n = htab_find(&p->recs, kind_hash(&p->recs, kind, h));

	for (; n; n = htab_next(n)) {
		struct rec *r = container_of(n, struct rec, by_handle);

		if (r->h == h && r->kind == kind)
			return r;
	}
	return NULL;
}

static struct rec *rec_by_id(const struct pw *p, enum pw_object kind, uint64_t id)
{
	struct htab_node *n = htab_find(&p->recs_by_id, kind_hash(&p->recs_by_id, kind, id));

	for (; n; n = htab_next(n)) {
		struct rec *r = container_of(n, struct rec, by_id);

		if (r->id == id && r->kind == kind)
			return r;
	}
	return NULL;
}

/* The id its record is kept under; 0 = it needs none. */
static uint64_t id_of(const struct pw *p, enum pw_object kind, adit_handle h)
{
	struct l2tp3_session_info s;
	struct l2tp3_conn_info c;

	if (kind == PW_OBJ_CONN)
		return l2tp3_conn_info(p->l, h, &c) ? c.local_id : 0;
	return l2tp3_session_info(p->l, h, &s) ? s.local_id : 0;
}

static void gone(struct pw *p, enum pw_object kind, adit_handle h)
{
	struct rec *r = rec_of(p, kind, h);

	if (!r)
		return;
	rec_forget(p, r);
	r->h = 0;
	list_push(&p->recs_gone, &r->in);
}

static struct rec *rec_new(struct pw *p, enum pw_object kind, adit_handle h, uint64_t id)
{
	struct rec *r;

	if (htab_reserve(&p->recs) < 0 || htab_reserve(&p->recs_by_id) < 0)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->kind = kind;
	r->h = h;
	r->id = id;
	list_init(&r->in);
	htab_put(&p->recs, &r->by_handle, kind_hash(&p->recs, kind, h));
	htab_put(&p->recs_by_id, &r->by_id, kind_hash(&p->recs_by_id, kind, id));
	return r;
}

/* A connection or session has changed. Without memory it stays without a record. */
static void touch(struct pw *p, enum pw_object kind, adit_handle h)
{
	struct rec *r = rec_of(p, kind, h);
	uint64_t id = id_of(p, kind, h);

	if (r && id && r->id != id) { /* it lost a tie and goes on under another id */
		gone(p, kind, h);
		r = NULL;
	}
	if (!r)
		r = id ? rec_new(p, kind, h, id) : NULL;
	if (!r)
		return;
	if (!r->dirty)
		list_push(&p->recs_dirty, &r->in);
	r->dirty = true;
}

void pw_touch_conn(struct pw *p, adit_handle h)
{
	touch(p, PW_OBJ_CONN, h);
}

void pw_touch_session(struct pw *p, adit_handle h)
{
	/* One that has none yet is still to be told of by the engine, and saved as it is then. */
	if (rec_of(p, PW_OBJ_SESSION, h))
		touch(p, PW_OBJ_SESSION, h);
}

/* ---- of a pseudowire: what was said of it, and its row where nothing is agreed ---- */

/* Is it otherwise than the configuration says? */
static bool said(const struct pww *w)
{
	return w->c && (!w->wanted || (w->asked && w->c->connect != PW_AUTO));
}

/* A row that no session's record tells of. */
static bool own_row(const struct pww *w)
{
	return w->c && w->c->fixed && w->row_state == PWW_ROW_PUT;
}

void pw_touch_wire(struct pw *p, struct pww *w)
{
	if (!w->rec_id && !said(w) && !own_row(w))
		return;
	if (!w->rec_id)
		w->rec_id = WIRE_ID + ++p->next_rec;
	if (list_empty(&w->rec))
		list_push(&p->recs_wires, &w->rec);
}

static struct pww *wire_of_rec(const struct pw *p, uint64_t id)
{
	if (p->rec_wire && p->rec_wire->rec_id == id)
		return p->rec_wire;
	for (size_t i = 0; i < p->wire_count; i++)
		if (p->wires[i]->rec_id == id)
			return p->wires[i];
	return NULL;
}

static bool dirty_wire(struct pw *p, uint64_t *ret_id, bool *ret_gone)
{
	struct list *l = list_pop(&p->recs_wires);
	struct pww *w;

	if (!l)
		return false;
	w = container_of(l, struct pww, rec);
	*ret_id = w->rec_id;
	*ret_gone = !said(w) && !own_row(w);
	p->rec_wire = *ret_gone ? NULL : w;
	if (*ret_gone)
		w->rec_id = 0;
	return true;
}

bool pwe_dirty(struct pw *p, enum pw_object *ret_kind, uint64_t *ret_id, bool *ret_gone)
{
	enum l2tp3_object kind;
	struct list *l;
	adit_handle h;
	bool is_gone;

	while (l2tp3_dirty(p->l, &kind, &h, &is_gone)) {
		enum pw_object as = kind == L2TP3_OBJ_CONN ? PW_OBJ_CONN : PW_OBJ_SESSION;

		if (is_gone)
			gone(p, as, h);
		else
			touch(p, as, h);
	}
	/* What changed comes first: a connection's record has the CDN of a session that goes. No id
	 * is in both lists, as ids rest. */
	*ret_kind = PW_OBJ_SESSION;
	if (dirty_wire(p, ret_id, ret_gone))
		return true;
	l = list_pop(&p->recs_dirty);
	*ret_gone = l == NULL;
	if (!l)
		l = list_pop(&p->recs_gone);
	if (!l)
		return false;
	*ret_kind = container_of(l, struct rec, in)->kind;
	*ret_id = container_of(l, struct rec, in)->id;
	if (*ret_gone)
		free(container_of(l, struct rec, in));
	else
		container_of(l, struct rec, in)->dirty = false;
	return true;
}

static void save_wire(const struct pw *p, const struct pww *w, adit_handle h, struct wcur *c)
{
	bool rowed = w->session == h && w->row_state == PWW_ROW_PUT;

	wcur_tlv_bytes(c, TAG_NAME, w->name, strlen(w->name));
	wcur_tlv_u64(c, TAG_KEY, rowed ? w->key : 0);
	wcur_tlv_u32(c, TAG_GENERATION, w->generation);
	wcur_tlv_u32(c, TAG_NEAR, w->near_up);
	if (w->c)
		wcur_tlv_u64(c, TAG_DIGEST, w->c->digest);
}

/* What makes a row of its own what it is: its connection, too. */
static uint64_t own_digest(const struct pww *w)
{
	return w->c->digest ^ w->t->c->digest * UINT64_C(0x9e3779b97f4a7c15);
}

static void save_wire_own(const struct pww *w, struct wcur *c)
{
	wcur_tlv_bytes(c, TAG_NAME, w->name, strlen(w->name));
	wcur_tlv_u32(c, TAG_SAID, (w->wanted ? SAID_WANTED : 0u) | (w->asked ? SAID_ASKED : 0u));
	if (!own_row(w))
		return;
	wcur_tlv_u64(c, TAG_KEY, w->key);
	wcur_tlv_u32(c, TAG_GENERATION, w->generation);
	wcur_tlv_u64(c, TAG_DIGEST, own_digest(w));
}

static void save_conn(const struct pwc *conn, struct wcur *c)
{
	const struct pw_conf_tunnel *t = conn->t->c;

	wcur_tlv_bytes(c, TAG_NAME, conn->name, strlen(conn->name));
	wcur_tlv_u32(c, TAG_PATH_MTU, conn->path_mtu);
	if (t)
		wcur_tlv_u64(c, TAG_DIGEST, t->digest);
	if (t && t->implied)
		wcur_tlv_u64(c, TAG_SECRETS, t->secrets);
}

void pwe_save(const struct pw *p, enum pw_object kind, uint64_t id, struct wcur *c)
{
	const struct rec *r = rec_by_id(p, kind, id);
	struct l2tp3_session_info s;
	struct l2tp3_conn_info i;
	size_t at;

	if (id >= WIRE_ID) {
		const struct pww *w = wire_of_rec(p, id);

		if (w)
			save_wire_own(w, c);
		return;
	}
	if (!r)
		return;
	if (kind == PW_OBJ_CONN && l2tp3_conn_info(p->l, r->h, &i)) {
		const struct pwc *conn = pwc_find(p, i.owner);

		if (conn)
			save_conn(conn, c);
	} else if (kind == PW_OBJ_SESSION && l2tp3_session_info(p->l, r->h, &s)) {
		const struct pww *w = pww_find(p, s.owner);

		if (w)
			save_wire(p, w, r->h, c);
	}
	at = wcur_tlv_begin(c, TAG_ENGINE);
	l2tp3_save(p->l, kind == PW_OBJ_CONN ? L2TP3_OBJ_CONN : L2TP3_OBJ_SESSION, r->h, c);
	wcur_tlv_end(c, at);
}

/* ---- recovery ---- */

struct saved {
	char name[CONF_NAME];
	struct rcur engine;
	uint64_t key, digest, secrets;
	uint32_t generation, said, path_mtu;
	bool near;
};

static bool read_record(struct rcur *c, struct saved *ret)
{
	struct rcur v;
	uint16_t tag;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	ret->engine = rcur_of(NULL, 0);
	while (rcur_tlv(c, &tag, &v)) {
		n = rcur_left(&v);
		switch (tag) {
		case TAG_NAME:
			if (n < sizeof(ret->name))
				rcur_copy(&v, ret->name, n);
			break;
		case TAG_ENGINE:
			ret->engine = v;
			break;
		case TAG_KEY:
			ret->key = rcur_u64(&v);
			break;
		case TAG_GENERATION:
			ret->generation = rcur_u32(&v);
			break;
		case TAG_NEAR:
			ret->near = rcur_u32(&v) != 0;
			break;
		case TAG_SAID:
			ret->said = rcur_u32(&v);
			break;
		case TAG_PATH_MTU:
			ret->path_mtu = rcur_u32(&v);
			break;
		case TAG_DIGEST:
			ret->digest = rcur_u64(&v);
			break;
		case TAG_SECRETS:
			ret->secrets = rcur_u64(&v);
			break;
		default:
			break;
		}
	}
	return !c->bad;
}

/* What loading says, besides 1 and errors: the record is good, and what it is of has no place in
 * the configuration or without its connection. */
#define NO_PLACE 2

/* The former record is of no use: have it removed. */
static int spoilt(struct pw *p, enum pw_object kind, uint64_t id)
{
	struct rec *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->kind = kind;
	r->id = id;
	list_init(&r->in);
	list_push(&p->recs_gone, &r->in);
	return 1;
}

void pw_untouch_wire(struct pw *p, struct pww *w)
{
	list_drop(&w->rec);
	if (w->rec_id) /* without memory it is removed when it is read and has no block */
		(void)spoilt(p, PW_OBJ_SESSION, w->rec_id);
	w->rec_id = 0;
	if (p->rec_wire == w)
		p->rec_wire = NULL;
}

static int load_wire(struct pw *p, struct mono now, uint64_t id, const struct saved *s)
{
	struct pww *w = pww_by_name(p, s->name);

	if (!s->name[0])
		return 1;
	if (!w || w->rec_id)
		return NO_PLACE;
	w->rec_id = id;
	if (id - WIRE_ID > p->next_rec)
		p->next_rec = id - WIRE_ID;
	/* it had a row that nothing else tells of */
	if (s->key && (!w->c->fixed || s->digest != own_digest(w)))
		pww_take_changed(p, now, w, 0, s->key, s->generation + GENERATIONS,
				 ADIT_CAUSE_CONFIG);
	if (!(s->said & SAID_WANTED)) {
		pww_take_down(p, now, w);
		return 0;
	}
	w->asked = w->t->asked = (s->said & SAID_ASKED) != 0;
	pw_touch_wire(p, w); /* in case its block says the same by now */
	pwt_advance(p, now, w->t);
	return 0;
}

/* The engine's half; with a profile of no meaning where it is only brought back to be closed. */
static int conn_back(struct pw *p, struct mono now, struct saved *s, struct pwc *c)
{
	struct l2tp3_params params = { .host_name = "adit" };
	struct l2tp3_profile *made = NULL;
	int err, rc;

	if (!c->t->c) {
		made = l2tp3_profile_new(&params, &err);
		if (!made)
			return -ENOMEM;
	}
	rc = l2tp3_load_conn(p->l, now, &s->engine, made ? made : c->t->c->l2tp, c->id, &c->h);
	l2tp3_profile_unref(made);
	return rc;
}

/* Its place in the configuration, as after a reload (pw_apply.c); NULL when it has none. */
static struct pwt *place_of(const struct pw *p, const struct saved *s)
{
	struct pwt *t = pwt_find(p, s->name, s->secrets != 0);

	if (!s->digest) /* of an earlier release */
		return t ? t : pwt_find(p, s->name, true);
	if (t && t->c->digest == s->digest)
		return t;
	list_for_each (it, &p->tunnels) {
		t = container_of(it, struct pwt, in);
		if (s->secrets && t->c && t->c->implied && t->c->digest == s->digest &&
		    t->c->secrets == s->secrets)
			return t;
	}
	return NULL;
}

static int load_conn(struct pw *p, struct mono now, uint64_t id, struct saved *s)
{
	struct pwt *t = place_of(p, s);
	struct l2tp3_conn_info i;
	struct pwc *c;
	int rc;

	if (!t) /* as one that a new configuration drops */
		t = pwt_new(p, NULL);
	c = t ? pwc_new(p, t) : NULL;
	if (!c) {
		if (t)
			pwt_release(p, t);
		return -ENOMEM;
	}
	snprintf(c->name, sizeof(c->name), "%s", t->c ? t->c->name : s->name);
	rc = conn_back(p, now, s, c);
	if (rc) {
		pwc_free(p, c);
		return rc;
	}
	if (!rec_new(p, PW_OBJ_CONN, c->h, id))
		return -ENOMEM;
	if (!l2tp3_conn_info(p->l, c->h, &i) || i.state != L2TP3_CS_UP)
		return 0; /* it ends: CONN_DOWN follows */
	pwc_up(p, c, &i);
	c->path_mtu = s->path_mtu <= UINT16_MAX ? (uint16_t)s->path_mtu : 0;
	c->told = true;
	if (!t->c) {
		pwt_drop(p, now, t, ADIT_CAUSE_CONFIG, NULL);
		return 0;
	}
	/* of several the one that came up last is in use */
	if (t->conn && t->conn->up) {
		struct l2tp3_conn_info o;

		if (l2tp3_conn_info(p->l, t->conn->h, &o) && o.since.us > i.since.us)
			return 0;
	}
	t->conn = c;
	pwt_state(p, t, PWT_UP);
	heap_clear(&p->tunnel_timers, &t->timer);
	return 0;
}

/* Is what is up what the pseudowire is to be now, in its own connection? */
static bool other_now(const struct pw *p, const struct pww *w, adit_handle h, const struct saved *s)
{
	struct l2tp3_session_info i;
	struct l2tp3_conn_info conn;
	const struct pwc *c = NULL;

	if (!s->digest || !l2tp3_session_info(p->l, h, &i) || i.state != L2TP3_SS_UP)
		return false;
	if (l2tp3_conn_info(p->l, i.conn, &conn))
		c = pwc_find(p, conn.owner);
	return s->digest != w->c->digest || !c || c->t != w->t;
}

static int load_session(struct pw *p, struct mono now, uint64_t id, struct saved *s)
{
	struct pww *w = pww_by_name(p, s->name);
	adit_handle h;
	int rc;

	rc = l2tp3_load_session(p->l, now, &s->engine, w ? w->id : 0, &h);
	if (rc == L2TP3_LOAD_ALONE && w && !w->session && w->row_state == PWW_ROW_NONE)
		pww_take_changed(p, now, w, 0, s->key, s->generation + GENERATIONS,
				 ADIT_CAUSE_TUNNEL_LOST);
	if (rc)
		return rc == L2TP3_LOAD_ALONE ? NO_PLACE : rc;
	if (!rec_new(p, PW_OBJ_SESSION, h, id))
		return -ENOMEM;
	if (!w) /* one that is ending may have lost its name */
		pww_close_session(p, now, h, L2TP_CDN_ADMIN, ADIT_CAUSE_CONFIG, NULL);
	else if (w->session)
		pww_close_session(p, now, h, L2TP_CDN_ADMIN, ADIT_CAUSE_REPLACED, NULL);
	else if (other_now(p, w, h, s))
		pww_take_changed(p, now, w, h, s->key, s->generation + GENERATIONS,
				 ADIT_CAUSE_CONFIG);
	else
		pww_take_up(p, now, w, h, s->key, s->generation + GENERATIONS, s->near);
	return 0;
}

int pwe_load(struct pw *p, struct mono now, enum pw_object kind, uint64_t id, struct rcur *c)
{
	struct saved s;
	int rc = 1;

	if (!read_record(c, &s))
		;
	else if (kind == PW_OBJ_SESSION && id >= WIRE_ID)
		rc = load_wire(p, now, id, &s);
	else if (s.engine.p)
		rc = kind == PW_OBJ_CONN ? load_conn(p, now, id, &s) : load_session(p, now, id, &s);
	if (rc <= 0)
		return rc;
	if (spoilt(p, kind, id) < 0)
		return -ENOMEM;
	return rc == NO_PLACE ? 0 : rc;
}

void pwe_loaded(struct pw *p, struct mono now)
{
	pw_pump(p, now);
	list_for_each_safe (it, &p->tunnels) {
		struct pwt *t = container_of(it, struct pwt, in);

		if (t->state == PWT_UP)
			pww_tunnel_up(p, now, t);
	}
}
