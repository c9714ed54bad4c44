/* SPDX-License-Identifier: MIT
 *
 * The map of local ids (RFC 2661 5.7 and 9.1), see idmap.h.
 *
 * An id in use or at rest is one entry of 40 octets in a keyed hash table. All ids rest equally
 * long, so those at rest stand in one queue in the order in which their rest ends; an entry has its
 * link in that queue from the beginning, so giving an id back cannot fail.
 *
 * Choosing: while a space is less than three quarters full, ids are drawn until one is free, four
 * draws on average at the worst. A fuller space gets an index of its own: one bit an id, and a
 * Fenwick tree over the number of free ids in each 64-bit word, so that the r-th free id, r drawn
 * at random, is found in a number of steps that depends on the size of the slice only. The choice
 * is uniform over the free ids in both cases. The index goes when the space is less than half full.
 */
#include "idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_ENTRIES 64

struct entry {
	struct htab_node node;
	struct entry
		*next; /* at rest: the next in the queue or &m->end; in use NULL; else free list */
	union {
		void *obj;     /* in use */
		int64_t until; /* at rest */
	} u;
	uint32_t space, id;
};

/* The free ids of a nearly full space. Positions count from the first id of the slice. */
struct dense {
	uint64_t *bits; /* 1 = taken; positions past the end of the slice too */
	uint32_t *tree; /* Fenwick tree over free positions of each word, from 1 on */
	uint32_t words;
};

struct space {
	struct htab_node node;
	struct space *next; /* free list */
	struct dense *dense;
	uint32_t space;
	uint32_t taken; /* ids of the slice in use or at rest */
	uint32_t all;	/* same, with ids outside the slice, which idmap_put() may bring */
};

/* Memory blocks, in a list so that they can be freed; entries follow. */
struct chunk {
	struct chunk *next;
};

struct idmap {
	struct rng *rng;
	uint32_t max, base, len;
	uint32_t in_use;
	struct htab entries, spaces;
	struct entry *free_entries;
	struct space *free_spaces;
	struct entry *first, *last; /* the queue of those at rest */
	struct entry end;	    /* its end mark */
	struct chunk *chunks;
};

struct idmap *idmap_new(struct rng *rng, uint32_t max, uint32_t slice_base, uint32_t slice_len)
{
	struct idmap *m;
	uint8_t key[16];
	uint32_t base = slice_base ? slice_base : 1;

	if (max == 0 || base > max)
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->rng = rng;
	m->max = max;
	m->base = base;
	m->len = max - base + 1;
	/* 0 is no id: a slice that begins there is one shorter. */
	if (slice_len) {
		uint32_t len = slice_base ? slice_len : slice_len - 1;

		if (len < m->len)
			m->len = len;
	}
	rng_bytes(rng, key, sizeof(key));
	htab_init(&m->entries, key);
	htab_init(&m->spaces, key);
	return m;
}

static void dense_free(struct dense *d)
{
	if (!d)
		return;
	free(d->bits);
	free(d->tree);
	free(d);
}

void idmap_free(struct idmap *m)
{
	struct chunk *c, *next;
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	if (!m)
		return;
	while ((n = htab_walk(&m->spaces, &pos, n)))
		dense_free(((struct space *)n)->dense);
	htab_free(&m->spaces);
	htab_free(&m->entries);
	for (c = m->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(m);
}

static uint64_t hash_of(const struct htab *t, uint32_t space, uint32_t id)
{
	uint32_t key[2] = { space, id };

	return htab_hash(t, key, sizeof(key));
}

static struct entry *entry_find(const struct idmap *m, uint32_t space, uint32_t id)
{
	struct htab_node *n = htab_find(&m->entries, hash_of(&m->entries, space, id));

	for (; n; n = htab_next(n)) {
		struct entry *e = (struct entry *)n;

		if (e->space == space && e->id == id)
			return e;
	}
	return NULL;
}

static struct space *space_find(const struct idmap *m, uint32_t space)
{
	struct htab_node *n = htab_find(&m->spaces, hash_of(&m->spaces, space, 0));

	for (; n; n = htab_next(n)) {
		if (((struct space *)n)->space == space)
			return (struct space *)n;
	}
	return NULL;
}

static bool in_slice(const struct idmap *m, uint32_t id)
{
	return id >= m->base && id - m->base < m->len;
}

/* ---- the index of a nearly full space ---- */

static void tree_add(struct dense *d, uint32_t word, uint32_t by)
{
	for (uint32_t i = word + 1; i <= d->words; i += i & -i)
		d->tree[i] += by; /* unsigned: -1 is UINT32_MAX */
}

static void dense_mark(struct dense *d, uint32_t at, bool taken)
{
	uint64_t bit = UINT64_C(1) << (at & 63);

	if (((d->bits[at / 64] & bit) != 0) == taken)
		return;
	d->bits[at / 64] ^= bit;
	tree_add(d, at / 64, taken ? UINT32_MAX : 1);
}

/* The position of the free id number `r`, counted from 0; there must be more than `r`. */
static uint32_t dense_pick(const struct dense *d, uint32_t r)
{
	uint32_t word = 0, step = 1;
	uint64_t open;

	while (step <= d->words / 2)
		step *= 2;
	for (; step; step /= 2) {
		if (word + step <= d->words && d->tree[word + step] <= r) {
			word += step;
			r -= d->tree[word];
		}
	}
	open = ~d->bits[word];
	while (r--)
		open &= open - 1;
	return word * 64 + (uint32_t)__builtin_ctzll(open);
}

static struct dense *dense_new(const struct idmap *m, uint32_t space)
{
	struct dense *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->words = m->len / 64 + (m->len % 64 != 0);
	d->bits = calloc(d->words, sizeof(*d->bits));
	d->tree = calloc((size_t)d->words + 1, sizeof(*d->tree));
	if (!d->bits || !d->tree) {
		dense_free(d);
		return NULL;
	}
	if (m->len % 64)
		d->bits[d->words - 1] = ~UINT64_C(0) << m->len % 64;
	for (uint32_t at = 0; at < m->len; at++) {
		if (entry_find(m, space, m->base + at))
			d->bits[at / 64] |= UINT64_C(1) << (at & 63);
	}
	for (uint32_t w = 0; w < d->words; w++)
		tree_add(d, w, 64 - (uint32_t)__builtin_popcountll(d->bits[w]));
	return d;
}

/* ---- memory: everything an insertion needs is there before anything changes ---- */

static bool more_entries(struct idmap *m)
{
	struct chunk *c = calloc(1, sizeof(*c) + CHUNK_ENTRIES * sizeof(struct entry));
	struct entry *e;

	if (!c)
		return false;
	c->next = m->chunks;
	m->chunks = c;
	e = (struct entry *)(c + 1);
	for (int i = 0; i < CHUNK_ENTRIES; i++) {
		e[i].next = m->free_entries;
		m->free_entries = &e[i];
	}
	return true;
}

static bool more_spaces(struct idmap *m)
{
	struct chunk *c = calloc(1, sizeof(*c) + CHUNK_ENTRIES / 4 * sizeof(struct space));
	struct space *s;

	if (!c)
		return false;
	c->next = m->chunks;
	m->chunks = c;
	s = (struct space *)(c + 1);
	for (int i = 0; i < CHUNK_ENTRIES / 4; i++) {
		s[i].next = m->free_spaces;
		m->free_spaces = &s[i];
	}
	return true;
}

static int reserve(struct idmap *m, bool new_space)
{
	if (htab_reserve(&m->entries) < 0)
		return -ENOMEM;
	if (!m->free_entries && !more_entries(m))
		return -ENOMEM;
	if (!new_space)
		return 0;
	if (htab_reserve(&m->spaces) < 0)
		return -ENOMEM;
	if (!m->free_spaces && !more_spaces(m))
		return -ENOMEM;
	return 0;
}

/* After reserve(): cannot fail. `s` is NULL when the space is new. */
static void insert(struct idmap *m, struct space *s, uint32_t space, uint32_t id, void *obj)
{
	struct entry *e = m->free_entries;

	if (!s) {
		s = m->free_spaces;
		m->free_spaces = s->next;
		*s = (struct space){ .space = space };
		htab_put(&m->spaces, &s->node, hash_of(&m->spaces, space, 0));
	}
	m->free_entries = e->next;
	*e = (struct entry){ .u.obj = obj, .space = space, .id = id };
	htab_put(&m->entries, &e->node, hash_of(&m->entries, space, id));
	s->all++;
	m->in_use++;
	if (in_slice(m, id)) {
		s->taken++;
		if (s->dense)
			dense_mark(s->dense, id - m->base, true);
	}
}

int idmap_take(struct idmap *m, uint32_t space, void *obj, uint32_t *ret_id)
{
	struct space *s = space_find(m, space);
	uint32_t taken = s ? s->taken : 0, id;
	int rc;

	if (taken >= m->len)
		return 1;
	rc = reserve(m, !s);
	if (rc < 0)
		return rc;
	if (s && !s->dense && taken >= m->len - m->len / 4) {
		s->dense = dense_new(m, space);
		if (!s->dense)
			return -ENOMEM;
	}
	if (s && s->dense) {
		id = m->base + dense_pick(s->dense, rng_below(m->rng, m->len - taken));
	} else {
		do {
			id = m->base + rng_below(m->rng, m->len);
		} while (entry_find(m, space, id));
	}
	insert(m, s, space, id, obj);
	*ret_id = id;
	return 0;
}

int idmap_put(struct idmap *m, uint32_t space, uint32_t id, void *obj)
{
	struct space *s;
	int rc;

	if (id == 0 || id > m->max)
		return -EINVAL;
	if (entry_find(m, space, id))
		return 1;
	s = space_find(m, space);
	rc = reserve(m, !s);
	if (rc < 0)
		return rc;
	insert(m, s, space, id, obj);
	return 0;
}

void *idmap_find(const struct idmap *m, uint32_t space, uint32_t id)
{
	const struct entry *e = entry_find(m, space, id);

	return e && !e->next ? e->u.obj : NULL;
}

bool idmap_resting(const struct idmap *m, uint32_t space, uint32_t id)
{
	const struct entry *e = entry_find(m, space, id);

	return e && e->next;
}

void idmap_drop(struct idmap *m, uint32_t space, uint32_t id, struct mono now)
{
	struct entry *e = entry_find(m, space, id);

	if (!e || e->next)
		return;
	e->u.until = mono_add(now, IDMAP_REST_US).us;
	e->next = &m->end;
	if (m->first)
		m->last->next = e;
	else
		m->first = e;
	m->last = e;
	m->in_use--;
}

static void forget(struct idmap *m, struct entry *e)
{
	struct space *s = space_find(m, e->space);

	if (in_slice(m, e->id)) {
		s->taken--;
		if (s->dense)
			dense_mark(s->dense, e->id - m->base, false);
	}
	if (s->dense && s->taken < m->len / 2) {
		dense_free(s->dense);
		s->dense = NULL;
	}
	if (--s->all == 0) {
		dense_free(s->dense);
		htab_drop(&m->spaces, &s->node);
		s->next = m->free_spaces;
		m->free_spaces = s;
	}
	htab_drop(&m->entries, &e->node);
	e->next = m->free_entries;
	m->free_entries = e;
}

void idmap_forget(struct idmap *m, uint32_t space, uint32_t id)
{
	struct entry *e = entry_find(m, space, id);

	if (!e || e->next)
		return;
	m->in_use--;
	forget(m, e);
}

void idmap_expire(struct idmap *m, struct mono now)
{
	while (m->first && m->first->u.until <= now.us) {
		struct entry *e = m->first;

		m->first = e->next == &m->end ? NULL : e->next;
		forget(m, e);
	}
}

uint32_t idmap_count(const struct idmap *m)
{
	return m->in_use;
}
