/* SPDX-License-Identifier: MIT
 *
 * The kernel's data plane for aditd.
 *
 * Theory of operation. kernel.h does the work on threads of its own; here a record of aditd becomes
 * a request to it, after the configuration has been asked, and its news becomes a record. The key
 * of a tunnel there is our tunnel id. Requests of one datagram are handed over together, so that
 * thousands of deletions are one. What is told to aditd is gathered and leaves in datagrams as full
 * as they can be.
 *
 * A session here is also a `held`: what aditd was told of its counters last, and the pin that keeps
 * the way to its peer outside of its own routes (net.h).
 */
#include "plane.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/htab.h"
#include "base/list.h"
#include "base/wire.h"
#include "dp/batch.h"
#include "dp/kernel.h"
#include "rights.h"
#include "wires.h"

#define NEWS_ROUND 512 /* pieces of news before the rest of the keeper gets its turn */
#define DELS_MAX   512 /* of one datagram */
#define DROP_MS	   8000
#define PROBE_MS   3000 /* what a look at the kernel has found is good for so long */

struct held {
	struct htab_node node;
	uint64_t key;
	uint64_t rx, tx; /* packets aditd knows of */
	bool made;	 /* a put has succeeded */
	bool pinned;
	struct addr pin;
};

struct htunnel {
	struct htab_node node;
	uint32_t local, epoch;
	uint32_t generation; /* of the last put */
};

struct kplane {
	struct kplane_config config;
	const struct conf *conf;
	struct kernel *k; /* NULL = there is none, `missing` says why */
	struct kernel_probe probe;
	bool probed;
	struct mono probe_at;	  /* look again, when asked */
	bool listed;		  /* to this aditd */
	char missing[BATCH_LINE]; /* "" = PPP sessions can be carried */
	struct wires *wires;
	struct htab held, tunnels;
	uint32_t epoch, generation;
	uint32_t held_count, tunnel_count;
	struct mono stats_at;
	struct prefix local[DP_NET_MAX]; /* addresses of ours on lo */
	uint8_t local_count;

	uint64_t dels[DELS_MAX];
	uint32_t del_generations[DELS_MAX];
	size_t del_count;

	size_t out_len;
	uint8_t out[BATCH_MAX];
};

static void say(struct kplane *p, enum trace_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct kplane *p, enum trace_level level, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	p->config.say(p->config.arg, level, text);
}

/* ---- to aditd ---- */

static void flush(struct kplane *p, bool dispensable)
{
	size_t n = p->out_len;

	p->out_len = 0;
	if (n)
		p->config.send(p->config.arg, p->out, n, -1, dispensable);
}

static void tell(struct kplane *p, const struct batch_record *r)
{
	struct wcur c;

	for (int turn = 0; turn < 2; turn++) {
		c = wcur_of(p->out + p->out_len, sizeof(p->out) - p->out_len);
		if (batch_save(&c, r)) {
			p->out_len += c.len;
			return;
		}
		flush(p, false);
	}
}

static void tell_done(struct kplane *p, enum dp_op op, uint64_t key, uint32_t generation, int error,
		      const char *text)
{
	struct batch_record r = { .tag = BATCH_DONE };

	r.u.done.op = (uint8_t)op;
	r.u.done.key = key;
	r.u.done.generation = generation;
	r.u.done.error = error;
	snprintf(r.u.done.text, sizeof(r.u.done.text), "%.*s", DP_TEXT - 1, text);
	tell(p, &r);
}

static void tell_tunnel(struct kplane *p, uint32_t local, int error, const char *text, int fd)
{
	struct batch_record r = { .tag = BATCH_TUNNEL_DONE, .tunnel.local = local, .error = error };

	snprintf(r.text, sizeof(r.text), "%s", text);
	if (fd < 0) {
		tell(p, &r);
		return;
	}
	flush(p, false); /* a descriptor travels with its record alone */
	tell(p, &r);
	p->config.send(p->config.arg, p->out, p->out_len, fd, false);
	p->out_len = 0;
}

/* ---- what is held ---- */

static uint64_t hash64(const struct htab *t, uint64_t v)
{
	return htab_hash(t, &v, sizeof(v));
}

static struct held *held_find(const struct kplane *p, uint64_t key)
{
	struct htab_node *n = htab_find(&p->held, hash64(&p->held, key));

	for (; n; n = htab_next(n)) {
		struct held *h = container_of(n, struct held, node);

		if (h->key == key)
			return h;
	}
	return NULL;
}

static struct held *held_make(struct kplane *p, uint64_t key)
{
	struct held *h = held_find(p, key);

	if (h)
		return h;
	h = htab_reserve(&p->held) < 0 ? NULL : calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->key = key;
	htab_put(&p->held, &h->node, hash64(&p->held, key));
	p->held_count++;
	return h;
}

/* Sessions to one server share its pin. */
static bool pin_wanted(const struct kplane *p, const struct addr *to)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	while ((n = htab_walk(&p->held, &pos, n))) {
		const struct held *h = container_of(n, struct held, node);

		if (h->pinned && addr_same_ip(&h->pin, to))
			return true;
	}
	return false;
}

static void held_pin(struct kplane *p, struct held *h, const struct addr *to)
{
	const char *why = "";

	if (h->pinned && (!to || !addr_same_ip(&h->pin, to))) {
		h->pinned = false;
		if (!pin_wanted(p, &h->pin))
			net_pin(p->config.net, &h->pin, NET_HOLDER_PLANE, false, NULL);
	}
	if (!to)
		return;
	/* asked again it belongs to this aditd, see net_epoch() */
	if (net_pin(p->config.net, to, NET_HOLDER_PLANE, true, &why) < 0) {
		say(p, TRACE_WARNING,
		    "the way to a server is not kept apart from the session's "
		    "own routes: %s",
		    why);
		return;
	}
	h->pin = *to;
	h->pinned = true;
}

static void held_drop(struct kplane *p, uint64_t key)
{
	struct held *h = held_find(p, key);

	if (!h)
		return;
	held_pin(p, h, NULL);
	htab_drop(&p->held, &h->node);
	free(h);
	p->held_count--;
}

/* A put has failed: of a session that never was, nothing is left. */
static void held_forget(struct kplane *p, uint64_t key)
{
	const struct held *h = held_find(p, key);

	if (h && !h->made)
		held_drop(p, key);
}

static struct htunnel *tunnel_find(const struct kplane *p, uint32_t local)
{
	struct htab_node *n = htab_find(&p->tunnels, hash64(&p->tunnels, local));

	for (; n; n = htab_next(n)) {
		struct htunnel *t = container_of(n, struct htunnel, node);

		if (t->local == local)
			return t;
	}
	return NULL;
}

static void tunnel_drop(struct kplane *p, uint32_t local)
{
	struct htunnel *t = tunnel_find(p, local);

	if (!t)
		return;
	htab_drop(&p->tunnels, &t->node);
	free(t);
	p->tunnel_count--;
}

/* ---- requests ---- */

static const char *refused(struct kplane *p, const char *what, const char *why)
{
	say(p, TRACE_WARNING, "refused to aditd (%s): %s", what, why);
	return why;
}

static void on_put(struct kplane *p, const struct batch_record *r)
{
	char text[KERNEL_TEXT] = "";
	struct held *h;
	int error = 0;

	_Static_assert(KERNEL_TEXT >= RIGHTS_TEXT, "one buffer for both");
	if (p->missing[0]) {
		tell_done(p, DP_OP_PUT, r->key, r->generation, -EOPNOTSUPP, p->missing);
		return;
	}
	if (!rights_row(p->conf, &r->u.row, p->config.known(p->config.arg, &r->u.row.path.remote),
			text)) {
		refused(p, "session", text);
		error = -EPERM;
	} else if (kernel_can_row(&p->probe, &r->u.row, text)) {
		error = -EOPNOTSUPP;
	}
	h = error ? NULL : held_make(p, r->key);
	if (!error && !h)
		error = -ENOMEM;
	if (!error && p->held_count > p->conf->max_sessions)
		error = -ENFILE;
	if (!error) {
		/* before its routes are there */
		held_pin(p, h, r->u.row.pin_peer ? &r->u.row.path.remote : NULL);
		error = kernel_put(p->k, r->key, r->generation, r->u.row.local_tunnel, &r->u.row);
	}
	if (!error)
		return;
	held_forget(p, r->key);
	tell_done(p, DP_OP_PUT, r->key, r->generation, error, text[0] ? text : strerror(-error));
}

static void dels_flush(struct kplane *p)
{
	size_t n = p->del_count;
	int rc;

	p->del_count = 0;
	if (!n)
		return;
	rc = kernel_del_many(p->k, p->dels, p->del_generations, n);
	for (size_t i = 0; rc < 0 && i < n; i++)
		tell_done(p, DP_OP_DEL, p->dels[i], p->del_generations[i], rc, strerror(-rc));
}

static void on_del(struct kplane *p, const struct batch_record *r)
{
	if (!p->k) {
		tell_done(p, DP_OP_DEL, r->key, r->generation, 0, "");
		return;
	}
	if (p->del_count == DELS_MAX)
		dels_flush(p);
	p->dels[p->del_count] = r->key;
	p->del_generations[p->del_count++] = r->generation;
}

static bool net_has(const struct prefix *v, uint8_t n, const struct prefix *p)
{
	for (uint8_t i = 0; i < n; i++)
		if (v[i].len == p->len && addr_same_ip(&v[i].addr, &p->addr))
			return true;
	return false;
}

/* The LNS's addresses stand on lo: sessions have no address of their own on our side. */
static void on_net(struct kplane *p, const struct batch_record *r)
{
	const struct dp_net *n = &r->u.net;
	char no[RIGHTS_TEXT] = "";
	const char *text = "";
	int error = 0;

	for (uint8_t i = 0; !error && i < n->local_count; i++) {
		if (!rights_addr(p->conf, "lo", &n->local[i], no)) {
			error = -EPERM;
			text = refused(p, "address", no);
		} else if (p->k) {
			error = net_addr(p->config.net, "lo", &n->local[i], true, &text);
		}
	}
	for (uint8_t i = 0; !error && p->k && i < p->local_count; i++) {
		if (!net_has(n->local, n->local_count, &p->local[i]))
			net_addr(p->config.net, "lo", &p->local[i], false, NULL);
	}
	if (!error && p->k) {
		memcpy(p->local, n->local, sizeof(p->local));
		p->local_count = n->local_count;
	}
	tell_done(p, DP_OP_NET, 0, r->generation, error, error ? text : "");
}

static struct kernel_tunnel tunnel_of(const struct conf *c, const struct dp_tunnel *t)
{
	const struct conf_socket *s = conf_socket_find(c, t->path.via);
	struct kernel_tunnel k = {
		.version = t->version,
		.encap = t->encap,
		.managed = true,
		.local_id = t->local,
		.remote_id = t->remote,
		.path = t->path,
	};

	if (s)
		memcpy(k.device, s->device, sizeof(k.device));
	return k;
}

static void on_tunnel(struct kplane *p, const struct dp_tunnel *t)
{
	struct htunnel *h = tunnel_find(p, t->local);
	struct kernel_tunnel k = tunnel_of(p->conf, t);
	char text[KERNEL_TEXT] = "";
	int error = 0;

	if (p->missing[0]) {
		tell_tunnel(p, t->local, -EOPNOTSUPP, p->missing, -1);
		return;
	}
	if (!rights_tunnel(p->conf, t, p->config.known(p->config.arg, &t->path.remote), text)) {
		refused(p, "tunnel", text);
		error = -EPERM;
	} else if (kernel_can_tunnel(&p->probe, &k, text)) {
		error = -EOPNOTSUPP;
	} else if (!h && p->tunnel_count >= p->conf->max_tunnels) {
		error = -ENFILE;
	} else if (!h) {
		h = htab_reserve(&p->tunnels) < 0 ? NULL : calloc(1, sizeof(*h));
		if (h) {
			h->local = t->local;
			htab_put(&p->tunnels, &h->node, hash64(&p->tunnels, h->local));
			p->tunnel_count++;
		}
		error = h ? 0 : -ENOMEM;
	}
	if (!error) {
		h->epoch = p->epoch;
		error = kernel_tunnel_put(p->k, t->local, p->generation + 1, &k);
		if (!error)
			h->generation = ++p->generation;
	}
	if (!error)
		return;
	tell_tunnel(p, t->local, error, text[0] ? text : strerror(-error), -1);
}

static void on_tunnel_del(struct kplane *p, uint32_t local)
{
	if (!p->k || !tunnel_find(p, local))
		return;
	if (kernel_tunnel_del(p->k, local, ++p->generation) == 0)
		tunnel_drop(p, local);
}

static void on_send(struct kplane *p, const struct batch_record *r)
{
	struct rcur c = rcur_of(r->bytes, r->len);

	if (!p->k)
		return;
	/* An IPv6 packet of the engine: out of the interface, not down the PPP control path. */
	if (r->len > 2 && rcur_u16(&c) == 0x0057)
		kernel_send_local(p->k, r->key, r->bytes + 2, r->len - 2);
	else
		kernel_send(p->k, r->key, r->bytes, r->len);
}

/* One pseudowire as it is now, or all. */
static void tell_wires(struct kplane *p, const char *name)
{
	struct batch_record r = { .tag = BATCH_WIRE };
	struct wire_state s;

	for (size_t i = 0; wires_state(p->wires, i, &s); i++) {
		if (name && strcmp(name, s.name) != 0)
			continue;
		r.ok = s.ok;
		snprintf(r.name, sizeof(r.name), "%s", s.name);
		snprintf(r.text, sizeof(r.text), "%s", s.text);
		snprintf(r.ifname, sizeof(r.ifname), "%s", s.ifname);
		memset(&r.u.counters, 0, sizeof(r.u.counters));
		if (p->k)
			(void)kernel_stats(p->k, s.key, &r.u.counters);
		tell(p, &r);
	}
}

static void on_list(struct kplane *p)
{
	struct batch_record r = { .tag = BATCH_ROW }, end = { .tag = BATCH_LIST_END };
	uint64_t pos = 0, tunnel;

	/* It is long, and needed once, at the start: more of them would fill our memory. */
	if (p->listed)
		return;
	p->listed = true;
	while (p->k && kernel_list(p->k, &pos, &r.key, &r.generation, &tunnel, NULL)) {
		struct held *h = held_find(p, r.key);

		if (tunnel > UINT32_MAX || !h)
			continue; /* static ones are the keeper's own */
		r.tunnel.local = (uint32_t)tunnel;
		h->rx = h->tx = 0; /* this aditd has heard of nothing */
		tell(p, &r);
	}
	tell_wires(p, NULL);
	if (p->missing[0]) {
		end.error = -EOPNOTSUPP;
		snprintf(end.text, sizeof(end.text), "%s", p->missing);
	}
	tell(p, &end);
}

static void probe(struct kplane *p)
{
	int rc = kernel_probe(NULL, &p->probe);

	p->probed = rc == 0;
	if (rc < 0)
		snprintf(p->missing, sizeof(p->missing), "the kernel could not be looked at: %s",
			 strerror(-rc));
}

static void on_probe(struct kplane *p, struct mono now)
{
	struct batch_record r = { .tag = BATCH_FOUND }, end = { .tag = BATCH_PROBE_END };

	/* It takes some 100 ms, in which the keeper does nothing else. */
	if (mono_due(p->probe_at, now)) {
		probe(p);
		p->probe_at = mono_add(now, PROBE_MS * US_MS);
	}
	for (enum kernel_gap g = 0; p->probed && g < KERNEL_GAP_COUNT; g++) {
		const char *remedy = kernel_gap_remedy(g);

		r.ok = !KERNEL_HAS_GAP(&p->probe, g);
		snprintf(r.name, sizeof(r.name), "%s", kernel_gap_name(g));
		snprintf(r.text, sizeof(r.text), "%s%s%s", kernel_gap_text(g),
			 remedy[0] ? ": " : "", remedy);
		if (r.ok)
			r.text[0] = '\0';
		tell(p, &r);
	}
	if (!p->probed) {
		r.ok = false;
		snprintf(r.name, sizeof(r.name), "probe");
		snprintf(r.text, sizeof(r.text), "%s", p->missing);
		tell(p, &r);
	}
	tell(p, &end);
}

/* The pseudowires are the keeper's own: whoever has taken aditd over must not reach them. */
static bool key_refused(struct kplane *p, const struct batch_record *r)
{
	static const char why[] = "this key belongs to the keeper's own pseudowires";

	if (r->key < WIRES_KEY_FIRST)
		return false;
	if (r->tag == BATCH_PUT || r->tag == BATCH_DEL)
		tell_done(p, r->tag == BATCH_PUT ? DP_OP_PUT : DP_OP_DEL, r->key, r->generation,
			  -EPERM, refused(p, "session", why));
	return true;
}

static void take(struct kplane *p, const struct batch_record *r, struct mono now)
{
	if (key_refused(p, r))
		return;
	switch (r->tag) {
	case BATCH_PUT:
		on_put(p, r);
		break;
	case BATCH_DEL:
		on_del(p, r);
		break;
	case BATCH_NET:
		on_net(p, r);
		break;
	case BATCH_TUNNEL:
		on_tunnel(p, &r->tunnel);
		break;
	case BATCH_TUNNEL_DEL:
		on_tunnel_del(p, r->tunnel.local);
		break;
	case BATCH_SEND:
		on_send(p, r);
		break;
	case BATCH_LIST:
		on_list(p);
		break;
	case BATCH_PROBE:
		on_probe(p, now);
		break;
	case BATCH_DONE:
	case BATCH_TUNNEL_DONE:
	case BATCH_PUNT:
	case BATCH_COUNTERS:
	case BATCH_ROW_LOST:
	case BATCH_TUNNEL_LOST:
	case BATCH_ROW:
	case BATCH_LIST_END:
	case BATCH_FOUND:
	case BATCH_PROBE_END:
	case BATCH_WIRE:
		break; /* only the other way */
	}
}

/* A request that could not be read is answered as far as it is known whose it was. */
static void unreadable(struct kplane *p, const struct batch_record *r)
{
	static const char text[] = "the keeper could not read the request";

	if (r->tag == BATCH_PUT)
		tell_done(p, DP_OP_PUT, r->key, r->generation, -EBADMSG, text);
	else if (r->tag == BATCH_NET)
		tell_done(p, DP_OP_NET, 0, r->generation, -EBADMSG, text);
	else if (r->tag == BATCH_TUNNEL)
		tell_tunnel(p, r->tunnel.local, -EBADMSG, text, -1);
}

void kplane_input(struct kplane *p, struct mono now, const uint8_t *records, size_t len)
{
	struct rcur c = rcur_of(records, len);
	struct batch_record r;
	int rc;

	while ((rc = batch_load(&c, &r)) != 0) {
		if (r.tag != BATCH_DEL || rc < 0)
			dels_flush(p); /* requests stay in their order */
		if (rc > 0)
			take(p, &r, now);
		else if (c.bad)
			break;
		else
			unreadable(p, &r);
	}
	dels_flush(p);
	flush(p, false);
}

/* ---- news ---- */

static int error_of(const struct kernel_news *n)
{
	switch (n->result) {
	case KERNEL_OK:
		return 0;
	case KERNEL_FAILED:
		return n->error < 0 ? n->error : -EIO;
	case KERNEL_CANCELLED:
		return -ECANCELED;
	case KERNEL_ID_TAKEN:
		return -EEXIST;
	case KERNEL_TUPLE_TAKEN:
	case KERNEL_CANNOT:
		break;
	}
	return -EOPNOTSUPP;
}

static void tell_counters(struct kplane *p);

static void put_ended(struct kplane *p, uint64_t key, int error)
{
	struct held *h = held_find(p, key);

	if (error)
		held_forget(p, key);
	else if (h)
		h->made = true;
}

/* aditd is told that it has no such tunnel: one that could not be changed would stay for good. */
static void tunnel_failed(struct kplane *p, uint32_t local, uint32_t generation)
{
	const struct htunnel *t = tunnel_find(p, local);

	if (!t || t->generation != generation)
		return; /* it was deleted, or asked for once more */
	if (kernel_tunnel_fd(p->k, local) < 0)
		tunnel_drop(p, local);
	else
		on_tunnel_del(p, local);
}

static void news_done(struct kplane *p, const struct kernel_news *n)
{
	struct batch_record r = { .tag = BATCH_DONE };
	struct dp_done *d = &r.u.done;
	int error = error_of(n);

	switch (n->op) {
	case KERNEL_OP_TUNNEL_PUT:
		if (n->key > UINT32_MAX)
			break;
		if (error)
			tunnel_failed(p, (uint32_t)n->key, n->generation);
		tell_tunnel(p, (uint32_t)n->key, error, n->text, error ? -1 : n->fd);
		break;
	case KERNEL_OP_PUT:
	case KERNEL_OP_DEL:
		d->op = n->op == KERNEL_OP_PUT ? DP_OP_PUT : DP_OP_DEL;
		d->key = n->key;
		d->generation = n->generation;
		d->error = error;
		d->counters = n->counters;
		snprintf(d->text, sizeof(d->text), "%.*s", DP_TEXT - 1, error ? n->text : "");
		memcpy(d->ifname, n->ifname, sizeof(d->ifname));
		tell(p, &r);
		if (n->op == KERNEL_OP_DEL && !error)
			held_drop(p, n->key);
		else if (n->op == KERNEL_OP_PUT)
			put_ended(p, n->key, error);
		break;
	case KERNEL_OP_STATS:
		tell_counters(p);
		break;
	case KERNEL_OP_TUNNEL_DEL:
	case KERNEL_OP_DROP_ALL:
		break;
	}
}

static void take_news(struct kplane *p, const struct kernel_news *n, struct mono now)
{
	struct batch_record r = { .key = n->key, .bytes = n->bytes, .len = n->len };

	if (wires_news(p->wires, n, now))
		return;
	switch (n->kind) {
	case KERNEL_NEWS_DONE:
		news_done(p, n);
		break;
	case KERNEL_NEWS_FRAME:
	case KERNEL_NEWS_LOCAL:
		r.tag = BATCH_PUNT;
		r.class = n->kind == KERNEL_NEWS_FRAME ? DP_PUNT_PPP : DP_PUNT_LOCAL;
		if (r.len && r.len <= BATCH_FRAME && !p->config.behind(p->config.arg))
			tell(p, &r);
		break;
	case KERNEL_NEWS_GONE:
		r.tag = BATCH_ROW_LOST;
		snprintf(r.text, sizeof(r.text), "%s", n->text);
		tell(p, &r);
		break;
	case KERNEL_NEWS_TUNNEL_GONE:
		if (n->key > UINT32_MAX)
			break;
		tunnel_drop(p, (uint32_t)n->key);
		r.tag = BATCH_TUNNEL_LOST;
		r.tunnel.local = (uint32_t)n->key;
		snprintf(r.text, sizeof(r.text), "%s", n->text);
		tell(p, &r);
		break;
	}
}

void kplane_work(struct kplane *p, struct mono now)
{
	struct kernel_news n;

	if (!p->k)
		return;
	for (int i = 0; i < NEWS_ROUND && kernel_next(p->k, now, &n); i++)
		take_news(p, &n, now);
	flush(p, false);
}

/* ---- counters ---- */

/* Reading costs some 2 us a session: so often that it is nowhere near a percent of a CPU. */
static int64_t interval(const struct kplane *p)
{
	return p->held_count <= 100 ? US_S : p->held_count <= 2000 ? 5 * US_S : 10 * US_S;
}

struct mono kplane_deadline(const struct kplane *p)
{
	bool any = p->k && (p->held_count || wires_count(p->wires));

	return mono_min(any ? p->stats_at : MONO_NEVER, wires_deadline(p->wires));
}

void kplane_expire(struct kplane *p, struct mono now)
{
	wires_expire(p->wires, now);
	if (!p->k || !(p->held_count || wires_count(p->wires)) || !mono_due(p->stats_at, now))
		return;
	p->stats_at = mono_add(now, interval(p));
	(void)kernel_stats_read(p->k, ++p->generation);
}

/* The figures were read: tell those that have changed. */
static void tell_counters(struct kplane *p)
{
	struct batch_record r = { .tag = BATCH_COUNTERS };
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	if (p->config.behind(p->config.arg))
		return; /* they are told once aditd reads again: what was told stays as it is */
	flush(p, false);
	while ((n = htab_walk(&p->held, &pos, n))) {
		struct held *h = container_of(n, struct held, node);

		r.key = h->key;
		if (!kernel_stats(p->k, h->key, &r.u.counters) ||
		    (r.u.counters.rx_packets == h->rx && r.u.counters.tx_packets == h->tx))
			continue;
		h->rx = r.u.counters.rx_packets;
		h->tx = r.u.counters.tx_packets;
		tell(p, &r);
	}
	tell_wires(p, NULL);
	flush(p, true);
}

/* ---- beginning and end ---- */

/* Does anything in the configuration want it? */
static bool wanted(const struct conf *c)
{
	const struct access_conf *a = c->access;

	for (size_t i = 0; i < a->peer_count; i++)
		if (a->peers[i].plane != DP_WANT_USER)
			return true;
	for (size_t i = 0; i < a->dial_count; i++)
		if (a->dials[i].plane != DP_WANT_USER)
			return true;
	return c->wire_count > 0;
}

static void open_plane(struct kplane *p)
{
	struct kernel_config config = { .sessions_max = p->conf->max_sessions };
	/* Without these no session of ours can be made at all. */
	static const enum kernel_gap needed[] = { KERNEL_GAP_GENL, KERNEL_GAP_NET_ADMIN,
						  KERNEL_GAP_PPP_NODE, KERNEL_GAP_PPPOL2TP,
						  KERNEL_GAP_PPP };
	uint32_t swept;

	if (!p->probed)
		probe(p);
	if (p->probed)
		p->missing[0] = '\0';
	for (size_t i = 0; p->probed && i < sizeof(needed) / sizeof(needed[0]); i++) {
		const char *remedy = kernel_gap_remedy(needed[i]);

		if (!KERNEL_HAS_GAP(&p->probe, needed[i]))
			continue;
		snprintf(p->missing, sizeof(p->missing), "%s%s%s", kernel_gap_text(needed[i]),
			 remedy[0] ? ": " : "", remedy);
		/* Pseudowires do without PPP. */
		if (i < 2)
			return;
		break;
	}
	if (!p->probed)
		return;
	config.probe = p->probe;
	snprintf(config.ifname, sizeof(config.ifname), "%s", p->conf->session_ifname);
	p->k = kernel_new(&config);
	if (!p->k) {
		snprintf(p->missing, sizeof(p->missing), "the kernel's data plane cannot start: %s",
			 strerror(errno));
		return;
	}
	swept = p->config.alone ? kernel_sweep(p->k) : 0;
	if (swept)
		say(p, TRACE_NOTICE, "removed %u interfaces and routes of sessions of a former run",
		    swept);
}

static struct mono clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

static void say_wire(void *arg, enum trace_level level, const char *text)
{
	say(arg, level, "%s", text);
}

static void wire_changed(void *arg, const char *name)
{
	tell_wires(arg, name);
}

struct kplane *kplane_new(const struct kplane_config *config, const struct conf *conf)
{
	struct kplane *p = calloc(1, sizeof(*p));
	uint8_t key[16];

	if (!p || getrandom(key, sizeof(key), 0) < 0) {
		free(p);
		return NULL;
	}
	p->config = *config;
	p->conf = conf;
	p->stats_at = (struct mono){ 0 };
	htab_init(&p->held, key);
	htab_init(&p->tunnels, key);
	p->wires = wires_new(&(struct wires_config){ say_wire, wire_changed, p });
	if (!p->wires) {
		kplane_free(p);
		return NULL;
	}
	snprintf(p->missing, sizeof(p->missing), "the configuration says data-plane = user");
	kplane_conf(p, conf, clock_now());
	return p;
}

/* Tunnels of the kernel's own sockets, addresses and routes would outlive us. */
static void drop_all(struct kplane *p)
{
	struct mono end = mono_add(clock_now(), DROP_MS * US_MS);
	struct pollfd fd = { .fd = kernel_fd(p->k), .events = POLLIN };
	struct kernel_news n;
	bool done = kernel_drop_all(p->k, ++p->generation) < 0;

	while (!done && !mono_due(end, clock_now())) {
		poll(&fd, 1, 100);
		while (!done && kernel_next(p->k, clock_now(), &n))
			done = n.kind == KERNEL_NEWS_DONE && n.op == KERNEL_OP_DROP_ALL;
	}
}

void kplane_free(struct kplane *p)
{
	struct htab_node *n;
	uint64_t pos;

	if (!p)
		return;
	if (p->k) {
		drop_all(p);
		kernel_free(p->k);
	}
	while (pos = 0, (n = htab_walk(&p->held, &pos, NULL)))
		held_drop(p, container_of(n, struct held, node)->key);
	while (pos = 0, (n = htab_walk(&p->tunnels, &pos, NULL)))
		tunnel_drop(p, container_of(n, struct htunnel, node)->local);
	htab_free(&p->held);
	htab_free(&p->tunnels);
	wires_free(p->wires);
	free(p);
}

int kplane_fd(const struct kplane *p)
{
	return p->k ? kernel_fd(p->k) : -1;
}

void kplane_conf(struct kplane *p, const struct conf *conf, struct mono now)
{
	p->conf = conf;
	if (!p->k && wanted(conf))
		open_plane(p);
	wires_conf(p->wires, p->k, conf, p->missing, now);
	flush(p, false);
}

void kplane_begin(struct kplane *p, uint32_t epoch)
{
	p->epoch = epoch;
	p->listed = false;
	p->out_len = 0;
}

uint32_t kplane_sweep(struct kplane *p, uint32_t epoch)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;
	uint32_t old[64], count, all = 0;

	if (!p->k)
		return 0;
	do {
		count = 0;
		pos = 0;
		n = NULL;
		while (count < 64 && (n = htab_walk(&p->tunnels, &pos, n))) {
			const struct htunnel *t = container_of(n, struct htunnel, node);

			if (t->epoch < epoch)
				old[count++] = t->local;
		}
		for (uint32_t i = 0; i < count; i++) {
			on_tunnel_del(p, old[i]);
			tunnel_drop(p, old[i]); /* whatever became of the request */
		}
		all += count;
	} while (count == 64);
	return all;
}

void kplane_counts(const struct kplane *p, uint32_t *ret_tunnels, uint32_t *ret_sessions)
{
	struct kernel_stats_all s = { 0 };

	if (p->k)
		kernel_stats_all(p->k, &s);
	*ret_tunnels = s.tunnels;
	*ret_sessions = s.sessions;
}
