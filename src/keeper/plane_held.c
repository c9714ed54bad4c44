/* SPDX-License-Identifier: MIT
 *
 * The sessions and tunnels that aditd has in the kernel's plane; see plane_int.h.
 */
#include "plane_int.h"

#include <stdlib.h>

#include "base/list.h"

static uint64_t hash64(const struct htab *t, uint64_t v)
{
	return htab_hash(t, &v, sizeof(v));
}

struct held *kplane_held_find(const struct kplane *p, uint64_t key)
{
	struct htab_node *n = htab_find(&p->held, hash64(&p->held, key));

	for (; n; n = htab_next(n)) {
		struct held *h = container_of(n, struct held, node);

		if (h->key == key)
			return h;
	}
	return NULL;
}

struct held *kplane_held_make(struct kplane *p, uint64_t key)
{
	struct held *h = kplane_held_find(p, key);

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

		if (h->pin && addr_same_ip(h->pin, to))
			return true;
	}
	return false;
}

void kplane_held_pin(struct kplane *p, struct held *h, const struct addr *to)
{
	struct addr *pin = h->pin;
	const char *why = "out of memory";

	if (pin && (!to || !addr_same_ip(pin, to))) {
		h->pin = NULL;
		if (!pin_wanted(p, pin))
			net_pin(p->config.net, pin, NET_HOLDER_PLANE, false, NULL);
		free(pin);
	}
	if (!to)
		return;
	pin = h->pin ? h->pin : malloc(sizeof(*pin));
	/* asked again it belongs to this aditd, see net_epoch() */
	if (!pin || net_pin(p->config.net, to, NET_HOLDER_PLANE, true, &why) < 0) {
		kplane_say(p, TRACE_WARNING,
			   "the way to a server is not kept apart from the session's "
			   "own routes: %s",
			   why);
		if (pin != h->pin)
			free(pin);
		return;
	}
	*pin = *to;
	h->pin = pin;
}

void kplane_held_ended(struct kplane *p, struct held *h, const struct dp_counters *last)
{
	h->ended = true;
	h->epoch = p->epoch;
	if (!h->last)
		h->last = malloc(sizeof(*h->last));
	if (h->last)
		*h->last = *last;
	kplane_held_pin(p, h, NULL);
}

void kplane_held_drop(struct kplane *p, uint64_t key)
{
	struct held *h = kplane_held_find(p, key);

	if (!h)
		return;
	kplane_held_pin(p, h, NULL);
	htab_drop(&p->held, &h->node);
	free(h->last);
	free(h);
	p->held_count--;
}

void kplane_held_forget(struct kplane *p, uint64_t key)
{
	const struct held *h = kplane_held_find(p, key);

	if (h && !h->made)
		kplane_held_drop(p, key);
}

struct htunnel *kplane_tunnel_find(const struct kplane *p, uint32_t local)
{
	struct htab_node *n = htab_find(&p->tunnels, hash64(&p->tunnels, local));

	for (; n; n = htab_next(n)) {
		struct htunnel *t = container_of(n, struct htunnel, node);

		if (t->local == local)
			return t;
	}
	return NULL;
}

struct htunnel *kplane_tunnel_make(struct kplane *p, uint32_t local)
{
	struct htunnel *t = htab_reserve(&p->tunnels) < 0 ? NULL : calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->local = local;
	htab_put(&p->tunnels, &t->node, hash64(&p->tunnels, local));
	p->tunnel_count++;
	return t;
}

void kplane_tunnel_drop(struct kplane *p, uint32_t local)
{
	struct htunnel *t = kplane_tunnel_find(p, local);

	if (!t)
		return;
	htab_drop(&p->tunnels, &t->node);
	free(t);
	p->tunnel_count--;
}

void kplane_tunnel_end(struct kplane *p, uint32_t local)
{
	if (!p->k || !kplane_tunnel_find(p, local))
		return;
	if (kernel_tunnel_del(p->k, local, ++p->generation) == 0)
		kplane_tunnel_drop(p, local);
}
