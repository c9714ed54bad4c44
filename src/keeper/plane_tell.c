/* SPDX-License-Identifier: MIT
 *
 * What aditd is told of the kernel's plane: answers, news and counters. All is gathered and leaves
 * in datagrams as full as they can be.
 */
#include "plane_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/wire.h"

#define NEWS_ROUND 512 /* pieces of news before the rest of the keeper gets its turn */

void kplane_flush(struct kplane *p, bool dispensable)
{
	size_t n = p->out_len;

	p->out_len = 0;
	if (n)
		p->config.send(p->config.arg, p->out, n, -1, dispensable);
}

void kplane_tell(struct kplane *p, const struct batch_record *r)
{
	struct wcur c;

	for (int turn = 0; turn < 2; turn++) {
		c = wcur_of(p->out + p->out_len, sizeof(p->out) - p->out_len);
		if (batch_save(&c, r)) {
			p->out_len += c.len;
			return;
		}
		kplane_flush(p, false);
	}
}

void kplane_tell_done(struct kplane *p, enum dp_op op, uint64_t key, uint32_t generation, int error,
		      const char *text)
{
	struct batch_record r = { .tag = BATCH_DONE };

	r.u.done.op = (uint8_t)op;
	r.u.done.key = key;
	r.u.done.generation = generation;
	r.u.done.error = error;
	snprintf(r.u.done.text, sizeof(r.u.done.text), "%.*s", DP_TEXT - 1, text);
	kplane_tell(p, &r);
}

void kplane_tell_tunnel(struct kplane *p, uint32_t local, int error, const char *text, int fd)
{
	struct batch_record r = { .tag = BATCH_TUNNEL_DONE, .tunnel.local = local, .error = error };

	snprintf(r.text, sizeof(r.text), "%s", text);
	if (fd < 0) {
		kplane_tell(p, &r);
		return;
	}
	kplane_flush(p, false); /* a descriptor travels with its record alone */
	kplane_tell(p, &r);
	p->config.send(p->config.arg, p->out, p->out_len, fd, false);
	p->out_len = 0;
}

static void tell_wire(struct kplane *p, const struct wire_state *s, const struct dp_counters *n)
{
	struct batch_record r = { .tag = BATCH_WIRE, .ok = s->ok, .cannot = s->cannot };

	r.mtu = s->mtu;
	r.u.counters = *n;
	snprintf(r.name, sizeof(r.name), "%s", s->name);
	snprintf(r.text, sizeof(r.text), "%s", s->text);
	snprintf(r.ifname, sizeof(r.ifname), "%s", s->ifname);
	kplane_tell(p, &r);
}

static struct dp_counters wire_counters(const struct kplane *p, uint64_t key)
{
	struct dp_counters n = { 0 };

	return p->k && kernel_stats(p->k, key, &n) ? n : (struct dp_counters){ 0 };
}

void kplane_tell_wire(struct kplane *p, const char *name)
{
	struct dp_counters n;
	struct wire_state s;

	if (!wires_find(p->wires, name, &s))
		return;
	n = wire_counters(p, s.key);
	tell_wire(p, &s, &n);
}

void kplane_tell_wires(struct kplane *p, bool counted)
{
	const void *pos = NULL;
	struct wire_state s;

	while (wires_next(p->wires, &pos, &s)) {
		struct dp_counters n = wire_counters(p, s.key);

		if (wires_counted(p->wires, s.key, &n) || !counted)
			tell_wire(p, &s, &n);
	}
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

/* The figures were read: tell those that have changed. */
static void tell_counters(struct kplane *p)
{
	struct batch_record r = { .tag = BATCH_COUNTERS };
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	if (p->config.behind(p->config.arg))
		return; /* they are told once aditd reads again: what was told stays as it is */
	kplane_flush(p, false);
	while ((n = htab_walk(&p->held, &pos, n))) {
		struct held *h = container_of(n, struct held, node);
		uint32_t rx, tx;

		r.key = h->key;
		if (!kernel_stats(p->k, h->key, &r.u.counters))
			continue;
		rx = (uint32_t)r.u.counters.rx_packets;
		tx = (uint32_t)r.u.counters.tx_packets;
		if (rx == h->rx && tx == h->tx)
			continue;
		h->rx = rx;
		h->tx = tx;
		kplane_tell(p, &r);
	}
	kplane_tell_wires(p, true);
	kplane_flush(p, true);
}

static void put_ended(struct kplane *p, uint64_t key, int error)
{
	struct held *h = kplane_held_find(p, key);

	if (error)
		kplane_held_forget(p, key);
	else if (h)
		h->made = true;
}

/* aditd is told that it has no such tunnel: one that could not be changed would stay for good. */
static void tunnel_failed(struct kplane *p, uint32_t local, uint32_t generation)
{
	const struct htunnel *t = kplane_tunnel_find(p, local);

	if (!t || t->generation != generation)
		return; /* it was deleted, or asked for once more */
	if (kernel_tunnel_fd(p->k, local) < 0)
		kplane_tunnel_drop(p, local);
	else
		kplane_tunnel_end(p, local);
}

/* It is gone from the kernel; what it had counted stays until aditd has written it down. */
static void deleted(struct kplane *p, const struct kernel_news *n, struct dp_counters *ret_last)
{
	struct held *h = kplane_held_find(p, n->key);

	if (!h)
		return;
	if (!h->ended)
		kplane_held_ended(p, h, &n->counters);
	*ret_last = h->last ? *h->last : n->counters;
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
		kplane_tell_tunnel(p, (uint32_t)n->key, error, n->text, error ? -1 : n->fd);
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
		if (n->op == KERNEL_OP_DEL && !error)
			deleted(p, n, &d->counters);
		kplane_tell(p, &r);
		if (n->op == KERNEL_OP_PUT)
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
	struct dp_counters last;

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
			kplane_tell(p, &r);
		break;
	case KERNEL_NEWS_GONE:
		deleted(p, n, &last); /* aditd asks for them when it deletes its row */
		r.tag = BATCH_ROW_LOST;
		snprintf(r.text, sizeof(r.text), "%s", n->text);
		kplane_tell(p, &r);
		break;
	case KERNEL_NEWS_TUNNEL_GONE:
		if (n->key > UINT32_MAX)
			break;
		kplane_tunnel_drop(p, (uint32_t)n->key);
		r.tag = BATCH_TUNNEL_LOST;
		r.tunnel.local = (uint32_t)n->key;
		snprintf(r.text, sizeof(r.text), "%s", n->text);
		kplane_tell(p, &r);
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
	kplane_flush(p, false);
}

/* ---- counters ---- */

/* Reading costs some 2 us a session: so often that it is nowhere near a percent of a CPU. */
static int64_t interval(const struct kplane *p)
{
	size_t n = p->held_count + wires_count(p->wires);

	return n <= 100 ? US_S : n <= 2000 ? 5 * US_S : 10 * US_S;
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
