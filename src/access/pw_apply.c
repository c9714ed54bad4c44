/* SPDX-License-Identifier: MIT
 *
 * A new configuration in force: what is as before lives on, under its new values; what is otherwise
 * is ended and begun anew; what is no longer there is ended.
 *
 * A control connection is the same when its digest is; that of a `tunnel` block also has its name.
 * One that is implied by pseudowires has the name of the first of them, which may change. Secrets
 * may differ: the connection that lives goes on with those it was made with, the next one takes the
 * new ones.
 */
#include "pw_int.h"

static bool same_tunnel(const struct pw_conf_tunnel *a, const struct pw_conf_tunnel *b)
{
	if (a->implied != b->implied || a->digest != b->digest)
		return false;
	return strcmp(a->name, b->name) == 0 || (a->implied && a->secrets == b->secrets);
}

/* The tunnels of the new configuration, as far as they were there before; the rest is NULL. Most
 * are in the order in which they were: the search goes on behind the last one that was found. */
static void match_tunnels(struct pw *p, const struct pw_conf *conf, struct pwt **ret)
{
	size_t at = 0, all = conf->tunnel_count;

	list_for_each (it, &p->tunnels) {
		struct pwt *t = container_of(it, struct pwt, in);

		for (size_t n = 0; t->c && n < all; n++, at = (at + 1) % all) {
			if (ret[at] || !same_tunnel(t->c, conf->tunnels + at))
				continue;
			ret[at] = t;
			break;
		}
	}
}

/* Everything that can fail: objects for what is new. */
static bool make(struct pw *p, const struct pw_conf *conf, struct pwt **tunnels, struct pww **wires)
{
	if (heap_reserve(&p->wire_timers, (uint32_t)(conf->wire_count + p->wire_count)) < 0)
		return false;
	for (size_t i = 0; i < conf->tunnel_count; i++) {
		if (!tunnels[i])
			tunnels[i] = pwt_new(p, conf->tunnels + i);
		if (!tunnels[i])
			return false;
	}
	for (size_t i = 0; i < conf->wire_count; i++) {
		const struct pw_conf_wire *c = conf->wires + i;

		wires[i] = pww_by_name(p, c->name);
		if (!wires[i])
			wires[i] = pww_new(p, c, tunnels[c->tunnel]);
		if (!wires[i])
			return false;
	}
	return true;
}

/* A pseudowire under its new values; ended when it is another one now. */
static void move(struct pw *p, struct mono now, struct pww *w, const struct pw_conf_wire *c,
		 struct pwt *t)
{
	bool same = w->c == c || (w->c && w->c->digest == c->digest && w->t == t);

	if (w->c == c)
		return; /* new */
	if (!same) {
		w->waiting = true; /* nothing is begun with the former values */
		pww_end(p, now, w, L2TP_CDN_ADMIN, ADIT_CAUSE_CONFIG, NULL);
		w->near_up = !c->row.circuit[0];
		w->attempts = 0; /* what failed, and why, was the former one */
		if (!(w->bits & PWW_N_DOWN))
			w->why = (struct pw_reason){ 0 };
	}
	w->waiting = false;
	heap_clear(&p->wire_timers, &w->timer);
	pww_place(p, w, c, t);
}

static void drop_wire(struct pw *p, struct mono now, struct pww *w)
{
	w->wanted = false;
	pww_end(p, now, w, L2TP_CDN_ADMIN, ADIT_CAUSE_CONFIG, NULL);
	pww_unplace(p, w);
}

/* The new list: those of the configuration in its order, then those that still end. */
static void order(struct pw *p, struct pww **wires, size_t count)
{
	size_t n = count;

	for (size_t i = 0; i < p->wire_count; i++)
		if (!p->wires[i]->c)
			wires[n++] = p->wires[i];
	free(p->wires);
	p->wires = wires;
	p->wire_count = n;
}

static void undo(struct pw *p, const struct pw_conf *conf, struct pww **wires, struct pwt **tunnels)
{
	for (size_t i = 0; i < conf->wire_count; i++)
		if (wires[i] && wires[i]->c == conf->wires + i)
			pww_free(p, wires[i]);
	for (size_t i = 0; i < conf->tunnel_count; i++)
		if (tunnels[i] && tunnels[i]->c == conf->tunnels + i)
			pwt_free(p, tunnels[i]);
	free(wires);
	free(tunnels);
}

/* A tunnel that no block describes is named after its first pseudowire, which may be another now.
 */
static void rename_conns(struct pw *p, struct pwt *t)
{
	list_for_each (it, &t->conns) {
		struct pwc *c = container_of(it, struct pwc, in);

		if (strcmp(c->name, t->c->name) == 0)
			continue;
		snprintf(c->name, sizeof(c->name), "%s", t->c->name);
		if (c->h)
			pw_touch_conn(p, c->h);
	}
}

/* Ids that the configuration gives out are not ours to give. */
static int reserve(struct pw *p, struct mono now, const struct pw_conf *conf)
{
	for (size_t i = 0; i < conf->reserved_count; i++) {
		uint32_t id = conf->reserved[i];
		int rc = l2tp3_reserve_session(p->l, id);

		if (rc < 0)
			return rc;
		for (size_t k = 0; rc && k < p->wire_count; k++) {
			struct pww *w = p->wires[k];

			/* A session has it: that takes another one. */
			if (w->session && w->row.local_session == id)
				pww_end(p, now, w, L2TP_CDN_ADMIN, ADIT_CAUSE_CONFIG, NULL);
		}
	}
	return 0;
}

static void release(struct pw *p, struct mono now, const struct pw_conf *former,
		    const struct pw_conf *conf)
{
	for (size_t i = 0; former && i < former->reserved_count; i++)
		if (!conf || !pw_conf_reserves(conf, former->reserved[i]))
			l2tp3_release_session(p->l, now, former->reserved[i]);
}

int pw_apply(struct pw *p, struct mono now, struct pw_conf *conf)
{
	struct pwt **tunnels = calloc(conf->tunnel_count + 1, sizeof(struct pwt *));
	struct pww **wires = calloc(conf->wire_count + p->wire_count + 1, sizeof(struct pww *));
	struct pw_conf *former = p->conf;

	if (!tunnels || !wires) {
		free(tunnels);
		free(wires);
		return -ENOMEM;
	}
	match_tunnels(p, conf, tunnels);
	if (!make(p, conf, tunnels, wires) || reserve(p, now, conf) < 0) {
		release(p, now, conf, former);
		undo(p, conf, wires, tunnels);
		return -ENOMEM;
	}
	p->conf = pw_conf_ref(conf);
	release(p, now, former, conf);
	/* Connections that are replaced, and those of strangers, need some room beyond what is up.
	 */
	l2tp3_limit(p->l, conf->max_tunnels ? conf->max_tunnels + conf->max_tunnels / 4 + 64 : 0,
		    conf->max_sessions);
	for (size_t i = 0; i < conf->wire_count; i++)
		move(p, now, wires[i], conf->wires + i, tunnels[conf->wires[i].tunnel]);
	for (size_t i = 0; i < p->wire_count; i++)
		if (p->wires[i]->c && (p->wires[i]->c < conf->wires ||
				       p->wires[i]->c >= conf->wires + conf->wire_count))
			drop_wire(p, now, p->wires[i]);
	for (size_t i = 0; i < conf->tunnel_count; i++) {
		pwt_place(p, tunnels[i], conf->tunnels + i);
		rename_conns(p, tunnels[i]);
	}
	list_for_each_safe (it, &p->tunnels) {
		struct pwt *t = container_of(it, struct pwt, in);

		if (!t->c || (t->c >= conf->tunnels && t->c < conf->tunnels + conf->tunnel_count))
			continue;
		pwt_drop(p, now, t, ADIT_CAUSE_CONFIG, NULL);
		pwt_release(p, t);
	}
	order(p, wires, conf->wire_count);
	for (size_t i = 0; i < conf->tunnel_count; i++)
		pwt_advance(p, now, tunnels[i]);
	for (size_t i = 0; i < p->wire_count; i++)
		pww_advance(p, now, p->wires[i]);
	free(tunnels);
	pw_conf_unref(former);
	return 0;
}

/* Pseudowires that are no longer in the configuration, and whose row is gone. */
void pw_swept(struct pw *p)
{
	size_t n = 0;

	if (!p->conf || p->wire_count == p->conf->wire_count)
		return;
	for (size_t i = 0; i < p->wire_count; i++) {
		struct pww *w = p->wires[i];

		if (!w->c && w->row_state == PWW_ROW_NONE && !w->bits)
			pww_free(p, w);
		else
			p->wires[n++] = w;
	}
	p->wire_count = n;
}
