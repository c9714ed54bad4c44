/* SPDX-License-Identifier: MIT
 *
 * The session table, see table.h for its layout, its memory order and what a crash leaves behind.
 *
 * A change goes: check and reserve everything that can fail (slot, tunnel, prefix nodes), write the
 * redo record, apply it, end the record, then link the slot in the private lookups. Opening goes:
 * look at every slot that was ever used, believe it only when key, check sum, encoding and tunnel
 * fit, apply a valid redo record, and build the lookups.
 *
 * Tests compile this file and table_tunnel.c with DPT_STEP() defined, which is called before each
 * store into the shared memory, and die there.
 */
#include "table_int.h"
#include "base/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

/* FNV-1a; finds damage, not malice. */
static uint32_t check_of(uint64_t key, const uint8_t *bytes, size_t n)
{
	uint32_t h = 2166136261u;

	for (unsigned int i = 0; i < 8; i++)
		h = (h ^ (uint8_t)(key >> 8 * i)) * 16777619u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 16777619u;
	return h;
}

/* ---- layout ---- */

static size_t pages(size_t n)
{
	return (n + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static uint32_t tunnels_for(uint32_t slots)
{
	return slots < MAX_TUNNELS ? slots : MAX_TUNNELS;
}

size_t dpt_size(uint32_t max)
{
	size_t tunnels = tunnels_for(max);

	if (max == 0 || max > MAX_SLOTS)
		return 0;
	return HEAD_OCTETS + pages(max * sizeof(struct dpt_slot)) +
	       pages(max * sizeof(struct dpt_run)) + pages(max * sizeof(struct ext)) +
	       pages(max * sizeof(struct more)) + pages(tunnels * sizeof(struct dpt_tunnel)) +
	       pages(tunnels * sizeof(uint64_t));
}

/* The most sessions a table of this size has room for. */
static uint32_t slots_for(size_t size)
{
	uint32_t lo = 0, hi = MAX_SLOTS;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;

		if (dpt_size(mid) <= size)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

static void lay_out(struct dpt *t, uint8_t *mem, uint32_t slots)
{
	t->slot_max = slots;
	t->tunnel_max = tunnels_for(slots);
	t->head = (struct head *)(void *)mem;
	mem += HEAD_OCTETS;
	t->slots = (struct dpt_slot *)(void *)mem;
	mem += pages(slots * sizeof(struct dpt_slot));
	t->runs = (struct dpt_run *)(void *)mem;
	mem += pages(slots * sizeof(struct dpt_run));
	t->exts = (struct ext *)(void *)mem;
	mem += pages(slots * sizeof(struct ext));
	t->mores = (struct more *)(void *)mem;
	mem += pages(slots * sizeof(struct more));
	t->tunnels = (struct dpt_tunnel *)(void *)mem;
	mem += pages(t->tunnel_max * sizeof(struct dpt_tunnel));
	t->heards = (_Atomic uint64_t *)(void *)mem;
}

/* ---- slots ---- */

static struct dpt_config config_load(const struct dpt_slot *s)
{
	uint64_t w[8];
	struct dpt_config c;

	for (unsigned int i = 0; i < 8; i++)
		w[i] = atomic_load_explicit(&s->word[i], memory_order_relaxed);
	memcpy(&c, w, sizeof(c));
	return c;
}

static uint64_t word0(uint16_t state, uint16_t flags, uint32_t seq)
{
	struct dpt_config c = { .state = state, .flags = flags, .seq = seq };
	uint64_t w;

	memcpy(&w, &c, sizeof(w));
	return w;
}

/* Write all but state and seq of `c`, then the state. See table.h for the order. */
static void config_store(struct dpt_slot *s, struct dpt_config c)
{
	struct dpt_config was = config_load(s);
	uint64_t w[8];

	store64(&s->word[0],
		word0((uint16_t)((was.state & ~DPT_UP) | DPT_BUSY), was.flags, was.seq + 1));
	memcpy(w, &c, sizeof(w));
	for (unsigned int i = 1; i < 8; i++)
		store64(&s->word[i], w[i]);
	store64(&s->word[0], word0(c.state, c.flags, was.seq + 2));
}

static void state_store(struct dpt_slot *s, uint16_t state)
{
	struct dpt_config was = config_load(s);

	store64(&s->word[0], word0(state, was.flags, was.seq + 1));
}

static void be16(uint8_t at[2], uint16_t v)
{
	struct wcur c = wcur_of(at, 2);

	wcur_u16(&c, v);
}

static void be32(uint8_t at[4], uint32_t v)
{
	struct wcur c = wcur_of(at, 4);

	wcur_u32(&c, v);
}

static void config_v3(struct dpt_config *c, const struct dp_row *r, enum dpt_kind kind)
{
	c->kind = (uint8_t)kind;
	be32(c->local_session3, r->local_session);
	be32(c->remote_session3, r->remote_session);
	c->l2spec = r->l2spec;
	c->tag = r->tag;
	c->cookie_in_len = r->cookie_in_len;
	c->cookie_out_len = r->cookie_out_len;
	memcpy(c->cookie_in, r->cookie_in, sizeof(c->cookie_in));
	memcpy(c->cookie_out, r->cookie_out, sizeof(c->cookie_out));
}

/* What forwarding needs of a row. */
static struct dpt_config config_of(const struct dp_row *r, uint32_t tunnel, bool up)
{
	struct dpt_config c;

	memset(&c, 0, sizeof(c));
	c.state = (uint16_t)(DPT_USED | (up ? DPT_UP : 0));
	c.flags = r->flags;
	be16(c.local_tunnel, (uint16_t)r->local_tunnel);
	be16(c.local_session, (uint16_t)r->local_session);
	be16(c.remote_tunnel, (uint16_t)r->remote_tunnel);
	be16(c.remote_session, (uint16_t)r->remote_session);
	c.tunnel = tunnel;
	c.mtu = r->mtu;
	if (r->ends == DP_L2TP_ETH) {
		config_v3(&c, r, DPT_ETH);
		return c;
	}
	c.mss4 = r->mss4;
	c.mss6 = r->mss6;
	c.len4 = c.len6 = 255;
	for (unsigned int i = r->prefix_count; i-- > 0;) {
		const struct prefix *p = &r->prefixes[i];

		if (p->addr.family == AF_INET) {
			c.len4 = p->len;
			memcpy(c.ip4, p->addr.ip, 4);
		} else {
			c.len6 = p->len;
			memcpy(c.ip6, p->addr.ip, 16);
		}
	}
	c.rate_up = r->rate_up;
	c.rate_down = r->rate_down;
	if (r->version == 3) { /* the cookies lie where the prefix would */
		c.len6 = 255;
		config_v3(&c, r, DPT_PPP3);
	}
	return c;
}

bool dpt_snapshot(const struct dpt *t, uint32_t slot, struct dpt_config *ret)
{
	const struct dpt_slot *s = &t->slots[slot];
	uint64_t w[8];

	for (unsigned int tries = 0; tries < 64; tries++) {
		w[0] = atomic_load_explicit(&s->word[0], memory_order_acquire);
		/* Acquire, so that the second look at word 0 comes after them: whoever sees a new
		 * word also sees the BUSY stored before it. */
		for (unsigned int i = 1; i < 8; i++)
			w[i] = atomic_load_explicit(&s->word[i], memory_order_acquire);
		if (atomic_load_explicit(&s->word[0], memory_order_relaxed) == w[0]) {
			memcpy(ret, w, sizeof(*ret));
			if (!(ret->state & DPT_BUSY))
				return true;
		}
	}
	return false;
}

void dpt_prefetch(const struct dpt *t, uint32_t slot)
{
	if (slot >= t->slot_max)
		return;
	__builtin_prefetch(&t->slots[slot]);
	__builtin_prefetch(&t->runs[slot], 1);
}

struct dpt_run *dpt_run(const struct dpt *t, uint32_t slot)
{
	return &t->runs[slot];
}

const struct dpt_tunnel *dpt_tunnel(const struct dpt *t, uint32_t tunnel)
{
	return &t->tunnels[tunnel];
}

void dpt_hear(const struct dpt *t, uint32_t tunnel, uint64_t now_us)
{
	atomic_store_explicit(&t->heards[tunnel], now_us, memory_order_relaxed);
}

const struct index *dpt_index(const struct dpt *t)
{
	return t->index;
}

/* ---- rows ---- */

static bool ext_get(const struct dpt *t, uint32_t slot, struct dpt_info *ret)
{
	const struct ext *e = &t->exts[slot];
	uint8_t bytes[DP_ROW_SAVE_MAX];
	struct rcur c;

	if (e->key == 0 || e->len > DP_ROW_SAVE_MAX)
		return false;
	memcpy(bytes, e->row, e->len < INLINE_ROW ? e->len : INLINE_ROW);
	if (e->len > INLINE_ROW)
		memcpy(bytes + INLINE_ROW, t->mores[slot].row, e->len - INLINE_ROW);
	if (check_of(e->key, bytes, e->len) != e->check)
		return false;
	c = rcur_of(bytes, e->len);
	if (!dp_row_load(&c, &ret->row))
		return false;
	ret->key = e->key;
	ret->generation = e->generation;
	ret->routed = e->routed;
	ret->up = config_load(&t->slots[slot]).state & DPT_UP;
	ret->ended = config_load(&t->slots[slot]).state & DPT_ENDED;
	return true;
}

bool dpt_brief(const struct dpt *t, uint32_t slot, struct dpt_brief *ret)
{
	const struct ext *e = &t->exts[slot];
	struct dpt_config c;

	if (slot >= dpt_high(t))
		return false;
	c = config_load(&t->slots[slot]);
	if (!(c.state & DPT_USED) || e->key == 0)
		return false;
	*ret = (struct dpt_brief){ .key = e->key,
				   .generation = e->generation,
				   .routed = e->routed,
				   .ended = c.state & DPT_ENDED,
				   .device = c.flags & DP_F_CLIENT || c.kind == DPT_ETH };
	return true;
}

bool dpt_get(const struct dpt *t, uint32_t slot, struct dpt_info *ret)
{
	struct dpt_info unused;

	if (slot >= dpt_high(t) || !(config_load(&t->slots[slot]).state & DPT_USED))
		return false;
	return ext_get(t, slot, ret ? ret : &unused);
}

uint32_t dpt_find(const struct dpt *t, uint64_t key)
{
	return index_key_find(t->index, key);
}

/* Carry out the redo record; its tunnel is there. May be done twice. */
static void redo_apply(struct dpt *t, const struct redo *r, const struct dp_row *row,
		       uint32_t tunnel)
{
	struct dpt_slot *s = &t->slots[r->slot];
	struct ext *e = &t->exts[r->slot];
	struct dpt_run *run = &t->runs[r->slot];
	struct dpt_config was = config_load(s);
	struct ext new;
	size_t first = r->len < INLINE_ROW ? r->len : INLINE_ROW;

	/* After a crash the change may be complete but for the end of the record, and packets may
	 * have been counted since: then both were done. */
	if (r->fresh && !(was.state & DPT_USED)) {
		for (size_t i = 0; i < sizeof(*run) / 8; i++)
			store64((_Atomic uint64_t *)(void *)run + i, 0);
	}
	if (r->seq && !(was.state & DPT_UP)) {
		store32(&run->ns, row->first_ns);
		store32(&run->nr, row->first_nr);
	}
	memset(&new, 0, sizeof(new));
	new.key = r->key;
	new.generation = r->generation;
	new.check = r->check;
	new.len = r->len;
	new.routed = r->routed;
	memcpy(new.row, r->row, first);
	store_bytes(e, &new, offsetof(struct ext, row) + first);
	if (r->len > INLINE_ROW)
		store_bytes(t->mores[r->slot].row, r->row + INLINE_ROW, r->len - INLINE_ROW);
	if (r->slot >= atomic_load_explicit(&t->head->slot_high, memory_order_relaxed))
		store32(&t->head->slot_high, r->slot + 1);
	config_store(s, config_of(row, tunnel, r->up));
}

static bool redo_check(const struct dpt *t, const struct redo *r, struct dp_row *ret)
{
	struct rcur c;

	if (!atomic_load_explicit(&r->valid, memory_order_acquire) || r->slot >= t->slot_max ||
	    r->key == 0 || r->len > DP_ROW_SAVE_MAX || r->up > 1 ||
	    check_of(r->key, r->row, r->len) != r->check)
		return false;
	c = rcur_of(r->row, r->len);
	return dp_row_load(&c, ret);
}

static void redo_write(struct dpt *t, uint32_t slot, uint64_t key, uint32_t generation,
		       const struct dp_row *row, uint8_t routed, bool up, bool fresh)
{
	struct redo *r = &t->head->redo, new;
	struct wcur c = wcur_of(new.row, sizeof(new.row));
	size_t from = offsetof(struct redo, slot);

	memset(&new, 0, offsetof(struct redo, row));
	dp_row_save(&c, row);
	new.slot = slot;
	new.key = key;
	new.generation = generation;
	new.len = (uint16_t)c.len;
	new.routed = routed;
	new.up = up;
	new.fresh = fresh;
	new.seq = up && (fresh || !(config_load(&t->slots[slot]).state & DPT_UP));
	new.check = check_of(key, new.row, c.len);
	store_bytes((uint8_t *)r + from, (uint8_t *)&new + from,
		    offsetof(struct redo, row) + c.len - from);
	store32(&r->valid, 1);
}

/* ---- the lookups of a slot ---- */

static uint64_t ids_of(const struct dp_row *r)
{
	if (r->version == 3)
		return index_ids_v3(r->local_session);
	return index_ids_v2((uint16_t)r->local_tunnel, (uint16_t)r->local_session);
}

static bool has_prefix(const struct dp_row *r, const struct prefix *p)
{
	for (unsigned int i = 0; i < r->prefix_count; i++) {
		if (r->prefixes[i].len == p->len && addr_same_ip(&r->prefixes[i].addr, &p->addr))
			return true;
	}
	return false;
}

/* A session of a client has an interface of its own: nothing is routed to it by address. */
static bool routed_here(const struct dp_row *r)
{
	return r && r->ends != DP_L2TP_ETH && !(r->flags & DP_F_CLIENT);
}

/* Prefixes of `row` that `old` (may be NULL) does not have, put; and the other way, dropped. */
static void prefixes_change(struct dpt *t, uint32_t slot, const struct dp_row *old,
			    const struct dp_row *row)
{
	for (unsigned int i = 0; routed_here(row) && i < row->prefix_count; i++) {
		if (index_prefix_find(t->index, &row->prefixes[i]) != slot)
			index_prefix_put(t->index, &row->prefixes[i], slot);
	}
	for (unsigned int i = 0; routed_here(old) && i < old->prefix_count; i++) {
		if (!routed_here(row) || !has_prefix(row, &old->prefixes[i]))
			index_prefix_drop(t->index, &old->prefixes[i], slot);
	}
}

/* Whether the row may have this slot: nobody else has its ids or one of its prefixes. */
static int conflicts(const struct dpt *t, uint32_t slot, const struct dp_row *row,
		     uint64_t *ret_other)
{
	uint32_t other = index_ids_find(t->index, ids_of(row));

	if (other != INDEX_NONE && other != slot) {
		*ret_other = t->exts[other].key;
		return DPT_REFUSED_IDS;
	}
	for (unsigned int i = 0; routed_here(row) && i < row->prefix_count; i++) {
		other = index_prefix_find(t->index, &row->prefixes[i]);
		if (other != INDEX_NONE && other != slot) {
			*ret_other = t->exts[other].key;
			return DPT_REFUSED_PREFIX;
		}
	}
	return 0;
}

static uint32_t slot_take(struct dpt *t)
{
	uint32_t high = atomic_load_explicit(&t->head->slot_high, memory_order_relaxed);

	if (t->slot_free_count)
		return t->slot_free[--t->slot_free_count];
	/* A slot that is taken but not written yet must not be taken twice: it is only taken here,
	 * right before it is written. */
	return high < t->slot_max ? high : DPT_NONE;
}

/* Undo slot_take(); a slot above the high mark just stays there. */
static void slot_return(struct dpt *t, uint32_t slot)
{
	if (slot < atomic_load_explicit(&t->head->slot_high, memory_order_relaxed))
		t->slot_free[t->slot_free_count++] = slot;
}

int dpt_put(struct dpt *t, uint64_t key, uint32_t generation, const struct dp_row *row,
	    uint8_t routed, bool up, uint32_t *ret_slot, uint64_t *ret_other)
{
	uint32_t slot = dpt_find(t, key), tunnel, old_tunnel = DPT_NONE;
	struct dpt_tunnel n = dpt_tunnel_of(row);
	struct dpt_info old;
	bool fresh = slot == DPT_NONE;
	int rc = conflicts(t, slot, row, ret_other);

	if (rc || (rc = index_prefix_reserve(t->index, DP_PREFIXES)) < 0)
		return rc;
	if (fresh)
		slot = slot_take(t);
	if (slot == DPT_NONE)
		return -ENOSPC;
	tunnel = dpt_tunnel_take(t, &n);
	if (tunnel == DPT_NONE) {
		if (fresh)
			slot_return(t, slot);
		return t->tunnel_waiting || t->tunnel_retired ? -EAGAIN : -ENOSPC;
	}
	if (!fresh) {
		old_tunnel = config_load(&t->slots[slot]).tunnel;
		dpt_get(t, slot, &old);
	}
	/* Only when the table was damaged does a slot that is not in use look as if it were. */
	if (fresh && config_load(&t->slots[slot]).state)
		state_store(&t->slots[slot], 0);
	redo_write(t, slot, key, generation, row, routed, up, fresh);
	redo_apply(t, &t->head->redo, row, tunnel);
	store32(&t->head->redo.valid, 0);

	prefixes_change(t, slot, fresh ? NULL : &old.row, row);
	if (tunnel != old_tunnel) {
		t->tunnel_refs[tunnel]++;
		if (old_tunnel != DPT_NONE)
			dpt_tunnel_drop(t, old_tunnel);
	}
	if (fresh) {
		index_key_put(t->index, key, slot);
		index_ids_put(t->index, ids_of(row), slot);
		t->rows++;
	}
	*ret_slot = slot;
	return 0;
}

void dpt_regenerate(struct dpt *t, uint32_t slot, uint32_t generation)
{
	DPT_STEP();
	t->exts[slot].generation = generation;
}

void dpt_routed(struct dpt *t, uint32_t slot, uint8_t routed)
{
	DPT_STEP();
	t->exts[slot].routed = routed;
}

void dpt_stop(struct dpt *t, uint32_t slot)
{
	struct dpt_info i;

	if (!dpt_get(t, slot, &i))
		return;
	state_store(&t->slots[slot], DPT_USED | DPT_ENDED);
	prefixes_change(t, slot, &i.row, NULL);
	if (index_ids_find(t->index, ids_of(&i.row)) == slot)
		index_ids_drop(t->index, slot);
}

void dpt_free(struct dpt *t, uint32_t slot)
{
	uint32_t tunnel = config_load(&t->slots[slot]).tunnel;

	state_store(&t->slots[slot], 0);
	index_key_drop(t->index, slot);
	dpt_tunnel_drop(t, tunnel);
	t->slot_free[t->slot_free_count++] = slot;
	t->rows--;
}

void dpt_counters(const struct dpt *t, uint32_t slot, struct dp_counters *ret)
{
	const struct dpt_run *r = &t->runs[slot];

	ret->rx_packets = atomic_load_explicit(&r->rx_packets, memory_order_relaxed);
	ret->rx_bytes = atomic_load_explicit(&r->rx_bytes, memory_order_relaxed);
	ret->tx_packets = atomic_load_explicit(&r->tx_packets, memory_order_relaxed);
	ret->tx_bytes = atomic_load_explicit(&r->tx_bytes, memory_order_relaxed);
	ret->drop_spoof = atomic_load_explicit(&r->drop_spoof, memory_order_relaxed);
	ret->drop_seq = atomic_load_explicit(&r->drop_seq, memory_order_relaxed);
	ret->drop_mtu = atomic_load_explicit(&r->drop_mtu, memory_order_relaxed);
	ret->drop_other = atomic_load_explicit(&r->drop_up, memory_order_relaxed) +
			  atomic_load_explicit(&r->drop_down, memory_order_relaxed);
	ret->last_rx.us = (int64_t)atomic_load_explicit(&r->last_rx, memory_order_relaxed);
	ret->last_tx.us = (int64_t)atomic_load_explicit(&r->last_tx, memory_order_relaxed);
}

bool dpt_stats(const struct dpt *t, uint64_t key, struct dp_counters *ret)
{
	uint32_t slot = dpt_find(t, key);

	if (slot == DPT_NONE)
		return false;
	dpt_counters(t, slot, ret);
	return true;
}

bool dpt_list(const struct dpt *t, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation)
{
	struct dpt_brief row;

	for (; *pos < dpt_high(t); ++*pos) {
		if (!dpt_brief(t, (uint32_t)*pos, &row))
			continue;
		*ret_key = row.key;
		*ret_generation = row.generation;
		++*pos;
		return true;
	}
	return false;
}

/* ---- the network of the plane ---- */

void dpt_net_put(struct dpt *t, const struct dp_net *net)
{
	uint32_t which =
		atomic_load_explicit(&t->head->net_which, memory_order_relaxed) == 1 ? 2 : 1;
	struct net new, *at = &t->head->net[which - 1];
	struct wcur c = wcur_of(new.bytes, sizeof(new.bytes));

	dp_net_save(&c, net);
	new.len = (uint32_t)c.len;
	new.check = check_of(0, new.bytes, c.len);
	store_bytes(at, &new, offsetof(struct net, bytes) + c.len);
	store32(&t->head->net_which, which);
}

bool dpt_net_get(const struct dpt *t, struct dp_net *ret)
{
	uint32_t which = atomic_load_explicit(&t->head->net_which, memory_order_acquire);
	const struct net *n;
	struct rcur c;

	if (which != 1 && which != 2)
		return false;
	n = &t->head->net[which - 1];
	if (n->len > DP_NET_SAVE_MAX || check_of(0, n->bytes, n->len) != n->check)
		return false;
	c = rcur_of(n->bytes, n->len);
	return dp_net_load(&c, ret);
}

/* ---- opening ---- */

/* Take one slot over as it lies there; false when it is not fit for use. */
static bool adopt(struct dpt *t, uint32_t slot)
{
	struct dpt_config was = config_load(&t->slots[slot]), want;
	struct dpt_info i;
	uint64_t other;
	uint32_t tunnel;

	if (!(was.state & DPT_USED) || !dpt_get(t, slot, &i))
		return false;
	/* Ids and addresses of one that was stopped may be another's by now. */
	if (dpt_find(t, i.key) != DPT_NONE || (!i.ended && conflicts(t, slot, &i.row, &other)) ||
	    index_prefix_reserve(t->index, DP_PREFIXES) < 0)
		return false;
	tunnel = dpt_tunnel_again(t, was.tunnel, &i.row);
	if (tunnel == DPT_NONE)
		return false;
	if (i.ended) {
		want = was;
		want.tunnel = tunnel;
		want.state = DPT_USED | DPT_ENDED;
		if (memcmp(&want, &was, sizeof(want)) != 0)
			config_store(&t->slots[slot], want);
		t->tunnel_refs[tunnel]++;
		index_key_put(t->index, i.key, slot);
		t->rows++;
		return true;
	}
	want = config_of(&i.row, tunnel, i.up && i.row.state == DP_ACTIVE);
	want.seq = was.seq;
	if (memcmp(&want, &was, sizeof(want)) != 0)
		config_store(&t->slots[slot], want);
	t->tunnel_refs[tunnel]++;
	index_key_put(t->index, i.key, slot);
	index_ids_put(t->index, ids_of(&i.row), slot);
	prefixes_change(t, slot, NULL, &i.row);
	t->rows++;
	return true;
}

static void recover(struct dpt *t)
{
	struct redo *r = &t->head->redo;
	struct dp_row row;
	uint32_t high, tunnel;

	if (atomic_load_explicit(&t->head->tunnel_high, memory_order_relaxed) > t->tunnel_max)
		store32(&t->head->tunnel_high, t->tunnel_max);
	if (redo_check(t, r, &row)) {
		struct dpt_tunnel n = dpt_tunnel_of(&row);

		/* The dead process had made the tunnel before the record; find it by looking. */
		for (tunnel = 0;
		     tunnel < atomic_load_explicit(&t->head->tunnel_high, memory_order_relaxed);
		     tunnel++) {
			if (memcmp(&t->tunnels[tunnel], &n, sizeof(n)) == 0)
				break;
		}
		redo_apply(t, r, &row, tunnel);
	}
	store32(&r->valid, 0);

	if (dpt_high(t) > t->slot_max)
		store32(&t->head->slot_high, t->slot_max);
	high = dpt_high(t);
	for (uint32_t i = 0; i < high; i++) {
		if (adopt(t, i))
			continue;
		if (config_load(&t->slots[i]).state)
			state_store(&t->slots[i], 0);
	}
	for (uint32_t i = high; i-- > 0;) {
		if (!(config_load(&t->slots[i]).state & DPT_USED))
			t->slot_free[t->slot_free_count++] = i;
	}
	dpt_tunnels_spare(t);
}

/* Memory that was never written. */
static bool fresh_memory(const void *mem)
{
	const uint8_t *p = mem;

	return p[0] == 0 && memcmp(p, p + 1, sizeof(struct head) - 1) == 0;
}

/* A new, empty table; the magic last. Fresh memory is zero already and stays untouched. */
static void format(struct dpt *t, size_t size)
{
	struct head *h = t->head;

	if (!fresh_memory(h)) {
		store32(&h->magic, 0);
		memset((uint8_t *)h + sizeof(h->magic), 0, size - sizeof(h->magic));
	}
	h->version = DPT_VERSION;
	h->slots = t->slot_max;
	h->tunnels = t->tunnel_max;
	h->size = size;
	store32(&h->magic, DPT_MAGIC);
}

/* How many sessions the table in `mem` was made for; 0 when it is none of ours. */
static uint32_t made_for(void *mem, size_t size)
{
	const struct head *h = mem;

	if (atomic_load_explicit(&h->magic, memory_order_acquire) != DPT_MAGIC ||
	    h->version != DPT_VERSION || h->size != size || h->slots == 0 || h->slots > MAX_SLOTS ||
	    h->tunnels != tunnels_for(h->slots) || dpt_size(h->slots) > size)
		return 0;
	return h->slots;
}

struct dpt *dpt_open(void *mem, size_t size, uint32_t max, const uint8_t hash_key[16],
		     struct qsbr *qsbr, uint32_t *ret_found)
{
	struct dpt *t = calloc(1, sizeof(*t));
	uint32_t room = slots_for(size), old = room ? made_for(mem, size) : 0;
	uint32_t slots = old ? old : max && max < room ? max : room;

	if (!t || !slots) {
		free(t);
		return NULL;
	}
	lay_out(t, mem, slots);
	t->qsbr = qsbr;
	t->index = index_new(slots, hash_key, qsbr);
	t->slot_free = calloc(slots, sizeof(*t->slot_free));
	t->tunnel_refs = calloc(t->tunnel_max, sizeof(*t->tunnel_refs));
	t->tunnel_next = calloc(t->tunnel_max, sizeof(*t->tunnel_next));
	t->tunnel_heads = calloc(TUNNEL_HEADS, sizeof(*t->tunnel_heads));
	if (!t->index || !t->slot_free || !t->tunnel_refs || !t->tunnel_next || !t->tunnel_heads) {
		dpt_close(t);
		return NULL;
	}
	if (old)
		recover(t);
	else
		format(t, size);
	*ret_found = t->rows;
	return t;
}

void dpt_close(struct dpt *t)
{
	if (!t)
		return;
	index_free(t->index);
	free(t->slot_free);
	free(t->tunnel_refs);
	free(t->tunnel_next);
	free(t->tunnel_heads);
	free(t);
}

uint32_t dpt_slots(const struct dpt *t)
{
	return t->slot_max;
}

uint32_t dpt_high(const struct dpt *t)
{
	return atomic_load_explicit(&t->head->slot_high, memory_order_relaxed);
}

uint32_t dpt_rows(const struct dpt *t)
{
	return t->rows;
}

uint32_t dpt_tunnels(const struct dpt *t)
{
	return t->tunnel_max;
}

size_t dpt_memory(const struct dpt *t)
{
	size_t used = atomic_load_explicit(&t->head->slot_high, memory_order_relaxed);
	size_t tunnels = atomic_load_explicit(&t->head->tunnel_high, memory_order_relaxed);

	return HEAD_OCTETS +
	       used * (sizeof(struct dpt_slot) + sizeof(struct dpt_run) + sizeof(struct ext)) +
	       tunnels * (sizeof(struct dpt_tunnel) + 8) + index_memory(t->index);
}
