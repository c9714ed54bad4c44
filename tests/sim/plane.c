/* SPDX-License-Identifier: MIT
 *
 * The data plane of a node: rows in memory that outlive a crash of the engine, as the shared memory
 * of the user-space plane does.
 */
#include "world.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t id_hash(const struct plane *p, uint16_t tunnel, uint16_t session)
{
	uint32_t key = (uint32_t)tunnel << 16 | session;

	return htab_hash(&p->ids, &key, sizeof(key));
}

void plane_init(struct plane *p, uint64_t seed)
{
	uint8_t key[16] = { 0 };

	memcpy(key, &seed, sizeof(seed));
	htab_init(&p->rows, key);
	htab_init(&p->ids, key);
	p->count = 0;
}

void plane_free(struct plane *p)
{
	struct htab_node *n, *next;
	uint64_t pos = 0;

	for (n = htab_walk(&p->rows, &pos, NULL); n; n = next) {
		next = htab_walk(&p->rows, &pos, n);
		free(container_of(n, struct row, by_key));
	}
	htab_free(&p->rows);
	htab_free(&p->ids);
	p->count = 0;
}

struct row *plane_find(const struct plane *p, uint64_t key)
{
	struct htab_node *n = htab_find(&p->rows, htab_hash(&p->rows, &key, sizeof(key)));

	for (; n; n = htab_next(n)) {
		struct row *r = container_of(n, struct row, by_key);

		if (r->key == key)
			return r;
	}
	return NULL;
}

struct row *plane_by_id(const struct plane *p, uint16_t tunnel, uint16_t session)
{
	struct htab_node *n = htab_find(&p->ids, id_hash(p, tunnel, session));

	for (; n; n = htab_next(n)) {
		struct row *r = container_of(n, struct row, by_id);

		if (r->row.local_tunnel == tunnel && r->row.local_session == session)
			return r;
	}
	return NULL;
}

struct row *plane_row(struct plane *p, uint64_t key)
{
	struct row *r = plane_find(p, key);

	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r || htab_reserve(&p->rows) < 0)
		abort();
	r->key = key;
	htab_put(&p->rows, &r->by_key, htab_hash(&p->rows, &key, sizeof(key)));
	return r;
}

static void put(struct world *w, struct plane *p, struct row *r, const struct dp_row *row)
{
	struct row *other;

	if (r->there)
		htab_drop(&p->ids, &r->by_id);
	else
		p->count++;
	other = plane_by_id(p, row->local_tunnel, row->local_session);
	if (other)
		world_fail(w, "the plane has two rows for one pair of ids");
	r->there = true;
	r->row = *row;
	if (htab_reserve(&p->ids) < 0)
		abort();
	htab_put(&p->ids, &r->by_id, id_hash(p, row->local_tunnel, row->local_session));
}

void plane_carry_out(struct world *w, struct plane *p, uint8_t op, uint64_t key,
		     uint32_t generation, const struct dp_row *row, struct dp_done *ret)
{
	struct row *r = plane_row(p, key);

	*ret = (struct dp_done){ .op = op, .key = key, .generation = generation };
	r->generation = generation;
	if (op == DP_OP_PUT) {
		if (!w->calm && world_chance(w, w->plan.dp_fail)) {
			ret->error = -EBUSY;
			memcpy(ret->text, "the plane had enough", 21);
			return;
		}
		put(w, p, r, row);
		if (row->flags & DP_F_CLIENT)
			memcpy(ret->ifname, row->ifname, sizeof(ret->ifname));
		return;
	}
	if (!r->there)
		return;
	ret->counters = r->counters;
	p->sum_in += r->counters.rx_bytes;
	p->sum_out += r->counters.tx_bytes;
	htab_drop(&p->ids, &r->by_id);
	htab_drop(&p->rows, &r->by_key);
	p->count--;
	free(r);
}
