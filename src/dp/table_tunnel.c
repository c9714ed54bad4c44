/* SPDX-License-Identifier: MIT
 *
 * The tunnels of the session table: what many slots have in common, shared by those with the same
 * ids and path and counted by them, and when something was heard from each.
 */
#include "table_int.h"

#include <string.h>

struct dpt_tunnel dpt_tunnel_of(const struct dp_row *r)
{
	struct dpt_tunnel n;

	memset(&n, 0, sizeof(n));
	n.state = DPT_USED;
	n.family = r->path.remote.family;
	if (r->version == 3) {
		n.local_id3 = r->local_tunnel;
		n.remote_id3 = r->remote_tunnel;
	} else {
		n.local_id = (uint16_t)r->local_tunnel;
		n.remote_id = (uint16_t)r->remote_tunnel;
	}
	n.encap = r->encap;
	n.local_port = r->path.local.port;
	n.remote_port = r->path.remote.port;
	n.via = r->path.via;
	n.local_scope = r->path.local.scope;
	n.remote_scope = r->path.remote.scope;
	memcpy(n.local, r->path.local.ip, 16);
	memcpy(n.remote, r->path.remote.ip, 16);
	return n;
}

/* Ours, of either version: one of the two is 0. */
static uint32_t tunnel_id(const struct dpt_tunnel *n)
{
	return n->local_id | n->local_id3;
}

static uint32_t tunnel_chain(const struct dpt_tunnel *n)
{
	return tunnel_id(n) % TUNNEL_HEADS;
}

static uint32_t tunnel_find(const struct dpt *t, const struct dpt_tunnel *n)
{
	uint32_t v = t->tunnel_heads[tunnel_chain(n)];

	while (v && memcmp(&t->tunnels[v - 1], n, sizeof(*n)) != 0)
		v = t->tunnel_next[v - 1];
	return v ? v - 1 : DPT_NONE;
}

static void tunnel_link(struct dpt *t, uint32_t i)
{
	uint32_t *head = &t->tunnel_heads[tunnel_chain(&t->tunnels[i])];

	t->tunnel_next[i] = *head;
	*head = i + 1;
}

static void tunnel_unlink(struct dpt *t, uint32_t i)
{
	uint32_t *at = &t->tunnel_heads[tunnel_chain(&t->tunnels[i])];

	while (*at && *at != i + 1)
		at = &t->tunnel_next[*at - 1];
	if (*at)
		*at = t->tunnel_next[i];
}

/* Tunnels the forwarding thread cannot look at any more become spare. */
static void tunnels_reclaim(struct dpt *t)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (t->tunnel_waiting && !qsbr_passed(t->qsbr, t->tunnel_tag))
			return;
		while (t->tunnel_waiting) {
			uint32_t n = t->tunnel_waiting - 1;

			t->tunnel_waiting = t->tunnel_next[n];
			t->tunnel_next[n] = t->tunnel_spare;
			t->tunnel_spare = n + 1;
		}
		if (!t->tunnel_retired)
			return;
		t->tunnel_waiting = t->tunnel_retired;
		t->tunnel_retired = 0;
		t->tunnel_tag = qsbr_advance(t->qsbr);
	}
}

uint32_t dpt_tunnel_take(struct dpt *t, const struct dpt_tunnel *n)
{
	uint32_t i = tunnel_find(t, n), high;

	if (i != DPT_NONE)
		return i;
	if (!t->tunnel_spare)
		tunnels_reclaim(t);
	high = atomic_load_explicit(&t->head->tunnel_high, memory_order_relaxed);
	if (t->tunnel_spare) {
		i = t->tunnel_spare - 1;
		t->tunnel_spare = t->tunnel_next[i];
	} else if (high < t->tunnel_max) {
		i = high;
		store32(&t->head->tunnel_high, high + 1);
	} else {
		return DPT_NONE;
	}
	store_bytes(&t->tunnels[i], n, sizeof(*n));
	store64(&t->heards[i], 0);
	t->tunnel_refs[i] = 0;
	tunnel_link(t, i);
	return i;
}

void dpt_tunnel_drop(struct dpt *t, uint32_t i)
{
	if (t->tunnel_refs[i] && --t->tunnel_refs[i])
		return;
	tunnel_unlink(t, i);
	t->tunnel_next[i] = t->tunnel_retired;
	t->tunnel_retired = i + 1;
}

uint64_t dpt_heard(const struct dpt *t, uint32_t local_tunnel)
{
	uint64_t latest = 0;

	for (uint32_t v = t->tunnel_heads[local_tunnel % TUNNEL_HEADS]; v;
	     v = t->tunnel_next[v - 1]) {
		uint64_t at = atomic_load_explicit(&t->heards[v - 1], memory_order_relaxed);

		if (tunnel_id(&t->tunnels[v - 1]) == local_tunnel && at > latest)
			latest = at;
	}
	return latest;
}

uint32_t dpt_tunnel_again(struct dpt *t, uint32_t tunnel, const struct dp_row *row)
{
	struct dpt_tunnel n = dpt_tunnel_of(row);

	if (tunnel < atomic_load_explicit(&t->head->tunnel_high, memory_order_relaxed) &&
	    memcmp(&t->tunnels[tunnel], &n, sizeof(n)) == 0) {
		if (!t->tunnel_refs[tunnel])
			tunnel_link(t, tunnel);
		return tunnel;
	}
	return dpt_tunnel_take(t, &n);
}

void dpt_tunnels_spare(struct dpt *t)
{
	for (uint32_t i = atomic_load_explicit(&t->head->tunnel_high, memory_order_relaxed);
	     i-- > 0;) {
		if (!t->tunnel_refs[i]) {
			t->tunnel_next[i] = t->tunnel_spare;
			t->tunnel_spare = i + 1;
		}
	}
}
