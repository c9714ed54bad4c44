/* SPDX-License-Identifier: MIT
 *
 * Lookups of the user-space plane, see index.h. Arrays hold slot or node numbers plus one, so that
 * fresh zero pages are empty tables and memory is touched by what is in use only.
 *
 * Memory order: an entry is filled in first and then linked by a release store; a reader follows
 * links by acquire loads. An entry that is unlinked keeps its own link, so a reader that stands on
 * it still gets to the end of the chain.
 */
#include "index.h"
#include "base/wire.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNK	     1024 /* nodes that are allocated at once */
#define PER_SLOT_MAX DP_PREFIXES

typedef _Atomic uint32_t link32;

/* A prefix of a session. */
struct node {
	link32 next; /* in its chain, plus one */
	uint32_t slot;
	uint32_t free; /* next in `spare`, `retired` or `waiting`, plus one */
	uint16_t family;
	uint8_t len;
	uint8_t ip[16]; /* host bits zero */
};

struct index {
	uint64_t salt[2];
	struct qsbr *qsbr;
	uint32_t slots, mask;

	link32 *ids_heads, *ids_next; /* by ids; next by slot */
	uint64_t *ids;		      /* of a slot */

	uint32_t *key_heads, *key_next;
	uint64_t *keys;

	link32 *prefix_heads;
	struct node **chunks;
	uint32_t chunk_count, chunk_max;
	uint32_t spare, spare_count; /* free nodes */
	uint32_t retired, waiting;   /* taken out; waiting for the reader since `tag` */
	uint64_t tag;
	uint32_t count4[33], count6[129];
	_Atomic uint64_t lens4, lens6[3]; /* prefix lengths in use, a bit each */
};

struct index *index_new(uint32_t slots, const uint8_t key[16], struct qsbr *qsbr)
{
	struct index *x = calloc(1, sizeof(*x));
	struct rcur c = rcur_of(key, 16);
	uint32_t heads = 16;

	if (!x)
		return NULL;
	while (heads < slots && heads < 1u << 30)
		heads *= 2;
	x->salt[0] = rcur_u64(&c);
	x->salt[1] = rcur_u64(&c);
	x->qsbr = qsbr;
	x->slots = slots;
	x->mask = heads - 1;
	x->chunk_max = (uint32_t)(((uint64_t)slots * PER_SLOT_MAX + CHUNK - 1) / CHUNK) + 2;
	x->ids_heads = calloc(heads, sizeof(*x->ids_heads));
	x->ids_next = calloc(slots, sizeof(*x->ids_next));
	x->ids = calloc(slots, sizeof(*x->ids));
	x->key_heads = calloc(heads, sizeof(*x->key_heads));
	x->key_next = calloc(slots, sizeof(*x->key_next));
	x->keys = calloc(slots, sizeof(*x->keys));
	x->prefix_heads = calloc(heads, sizeof(*x->prefix_heads));
	x->chunks = calloc(x->chunk_max, sizeof(struct node *));
	if (!x->ids_heads || !x->ids_next || !x->ids || !x->key_heads || !x->key_next || !x->keys ||
	    !x->prefix_heads || !x->chunks) {
		index_free(x);
		return NULL;
	}
	return x;
}

void index_free(struct index *x)
{
	if (!x)
		return;
	for (uint32_t i = 0; i < x->chunk_count; i++)
		free(x->chunks[i]);
	free(x->chunks);
	free(x->prefix_heads);
	free(x->keys);
	free(x->key_next);
	free(x->key_heads);
	free(x->ids);
	free(x->ids_next);
	free(x->ids_heads);
	free(x);
}

size_t index_memory(const struct index *x)
{
	return sizeof(*x) + (x->mask + 1u) * 12 + (size_t)x->slots * 24 +
	       (size_t)x->chunk_max * sizeof(struct node *) +
	       (size_t)x->chunk_count * CHUNK * sizeof(struct node);
}

/* A keyed mixer. Its input is chosen by ourselves (ids, keys) or by the administrator (prefixes),
 * never by a stranger, so it need not resist one who knows the chains. */
static uint32_t mix(const struct index *x, uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ x->salt[0]) * 0x9e3779b97f4a7c15u;

	h ^= h >> 29;
	h = (h + (b ^ x->salt[1])) * 0xbf58476d1ce4e5b9u;
	h ^= h >> 32;
	h *= 0x94d049bb133111ebu;
	return (uint32_t)(h >> 33) & x->mask;
}

/* ---- ids ---- */

void index_ids_put(struct index *x, uint64_t ids, uint32_t slot)
{
	link32 *head = &x->ids_heads[mix(x, ids, 1)];

	x->ids[slot] = ids;
	atomic_store_explicit(&x->ids_next[slot], atomic_load_explicit(head, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(head, slot + 1, memory_order_release);
}

void index_ids_drop(struct index *x, uint32_t slot)
{
	link32 *at = &x->ids_heads[mix(x, x->ids[slot], 1)];
	uint32_t v;

	while ((v = atomic_load_explicit(at, memory_order_relaxed)) != 0) {
		if (v == slot + 1) {
			atomic_store_explicit(
				at, atomic_load_explicit(&x->ids_next[slot], memory_order_relaxed),
				memory_order_release);
			return;
		}
		at = &x->ids_next[v - 1];
	}
}

uint32_t index_ids_find(const struct index *x, uint64_t ids)
{
	uint32_t v = atomic_load_explicit(&x->ids_heads[mix(x, ids, 1)], memory_order_acquire);

	while (v && x->ids[v - 1] != ids)
		v = atomic_load_explicit(&x->ids_next[v - 1], memory_order_acquire);
	return v ? v - 1 : INDEX_NONE;
}

void index_ids_prefetch(const struct index *x, uint64_t ids)
{
	__builtin_prefetch(&x->ids_heads[mix(x, ids, 1)]);
}

/* ---- keys, looked up by the writer alone; a slot's key is written before its ids are linked ----
 */

void index_key_put(struct index *x, uint64_t key, uint32_t slot)
{
	uint32_t *head = &x->key_heads[mix(x, key, 2)];

	x->keys[slot] = key;
	x->key_next[slot] = *head;
	*head = slot + 1;
}

void index_key_drop(struct index *x, uint32_t slot)
{
	uint32_t *at = &x->key_heads[mix(x, x->keys[slot], 2)];

	while (*at && *at != slot + 1)
		at = &x->key_next[*at - 1];
	if (*at)
		*at = x->key_next[slot];
}

uint32_t index_key_find(const struct index *x, uint64_t key)
{
	uint32_t v = x->key_heads[mix(x, key, 2)];

	while (v && x->keys[v - 1] != key)
		v = x->key_next[v - 1];
	return v ? v - 1 : INDEX_NONE;
}

uint64_t index_key_of(const struct index *x, uint32_t slot)
{
	return x->keys[slot];
}

/* ---- prefixes ---- */

static struct node *node_at(const struct index *x, uint32_t number)
{
	return &x->chunks[number / CHUNK][number % CHUNK];
}

static uint32_t chain_of(const struct index *x, uint16_t family, uint8_t len, const uint8_t ip[16])
{
	struct rcur c = rcur_of(ip, 16);
	uint64_t hi = rcur_u64(&c), lo = rcur_u64(&c);

	return mix(x, hi, lo + ((uint64_t)family << 8 | len) * 0x9e3779b97f4a7c15u);
}

static bool same(const struct node *n, uint16_t family, uint8_t len, const uint8_t ip[16])
{
	return n->family == family && n->len == len && memcmp(n->ip, ip, 16) == 0;
}

static uint32_t find(const struct index *x, uint16_t family, uint8_t len, const uint8_t ip[16])
{
	uint32_t v = atomic_load_explicit(&x->prefix_heads[chain_of(x, family, len, ip)],
					  memory_order_acquire);

	while (v) {
		const struct node *n = node_at(x, v - 1);

		if (same(n, family, len, ip))
			return n->slot;
		v = atomic_load_explicit(&n->next, memory_order_acquire);
	}
	return INDEX_NONE;
}

/* Nodes the reader cannot see any more become spare. */
static void reclaim(struct index *x)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (x->waiting && !qsbr_passed(x->qsbr, x->tag))
			return;
		while (x->waiting) {
			struct node *n = node_at(x, x->waiting - 1);
			uint32_t next = n->free;

			n->free = x->spare;
			x->spare = x->waiting;
			x->spare_count++;
			x->waiting = next;
		}
		if (!x->retired)
			return;
		x->waiting = x->retired;
		x->retired = 0;
		x->tag = qsbr_advance(x->qsbr);
	}
}

int index_prefix_reserve(struct index *x, uint32_t count)
{
	if (x->spare_count < count)
		reclaim(x);
	while (x->spare_count < count) {
		struct node *chunk;

		if (x->chunk_count == x->chunk_max)
			return x->waiting || x->retired ? -EAGAIN : -ENOMEM;
		chunk = calloc(CHUNK, sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		x->chunks[x->chunk_count] = chunk;
		for (uint32_t i = CHUNK; i-- > 0;) {
			chunk[i].free = x->spare;
			x->spare = x->chunk_count * CHUNK + i + 1;
		}
		x->spare_count += CHUNK;
		x->chunk_count++;
	}
	return 0;
}

uint32_t index_prefix_find(const struct index *x, const struct prefix *p)
{
	return find(x, p->addr.family, p->len, p->addr.ip);
}

/* Say which lengths are in use; before the first of a length is put, after the last is gone. */
static void count_len(struct index *x, uint16_t family, uint8_t len, int by)
{
	uint32_t *count = family == AF_INET ? &x->count4[len] : &x->count6[len];
	_Atomic uint64_t *word = family == AF_INET ? &x->lens4 : &x->lens6[len / 64];
	uint64_t bits = atomic_load_explicit(word, memory_order_relaxed);

	*count += (uint32_t)by;
	if (*count)
		bits |= (uint64_t)1 << len % 64;
	else
		bits &= ~((uint64_t)1 << len % 64);
	atomic_store_explicit(word, bits, memory_order_release);
}

void index_prefix_put(struct index *x, const struct prefix *p, uint32_t slot)
{
	uint32_t number = x->spare - 1;
	struct node *n = node_at(x, number);
	link32 *head = &x->prefix_heads[chain_of(x, p->addr.family, p->len, p->addr.ip)];

	x->spare = n->free;
	x->spare_count--;
	n->slot = slot;
	n->family = p->addr.family;
	n->len = p->len;
	memcpy(n->ip, p->addr.ip, sizeof(n->ip));
	count_len(x, n->family, n->len, 1);
	atomic_store_explicit(&n->next, atomic_load_explicit(head, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(head, number + 1, memory_order_release);
}

void index_prefix_drop(struct index *x, const struct prefix *p, uint32_t slot)
{
	link32 *at = &x->prefix_heads[chain_of(x, p->addr.family, p->len, p->addr.ip)];
	uint32_t v;

	while ((v = atomic_load_explicit(at, memory_order_relaxed)) != 0) {
		struct node *n = node_at(x, v - 1);

		if (n->slot == slot && same(n, p->addr.family, p->len, p->addr.ip)) {
			atomic_store_explicit(at,
					      atomic_load_explicit(&n->next, memory_order_relaxed),
					      memory_order_release);
			count_len(x, n->family, n->len, -1);
			n->free = x->retired;
			x->retired = v;
			return;
		}
		at = &n->next;
	}
}

uint32_t index_route4(const struct index *x, const uint8_t ip[4])
{
	uint64_t lens = atomic_load_explicit(&x->lens4, memory_order_acquire);
	uint32_t whole =
		(uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];

	while (lens) {
		unsigned int len = 63u - (unsigned int)__builtin_clzll(lens);
		uint32_t v = len ? whole & ~(uint32_t)0 << (32 - len) : 0, slot;
		uint8_t masked[16] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
				       (uint8_t)v };

		slot = find(x, AF_INET, (uint8_t)len, masked);
		if (slot != INDEX_NONE)
			return slot;
		lens &= ~((uint64_t)1 << len);
	}
	return INDEX_NONE;
}

uint32_t index_route6(const struct index *x, const uint8_t ip[16])
{
	for (unsigned int word = 3; word-- > 0;) {
		uint64_t lens = atomic_load_explicit(&x->lens6[word], memory_order_acquire);

		while (lens) {
			unsigned int bit = 63u - (unsigned int)__builtin_clzll(lens);
			unsigned int len = word * 64 + bit, octets = (len + 7) / 8;
			uint8_t masked[16] = { 0 };
			uint32_t slot;

			memcpy(masked, ip, octets);
			if (len % 8)
				masked[octets - 1] &= (uint8_t)(0xff00 >> len % 8);
			slot = find(x, AF_INET6, (uint8_t)len, masked);
			if (slot != INDEX_NONE)
				return slot;
			lens &= ~((uint64_t)1 << bit);
		}
	}
	return INDEX_NONE;
}
