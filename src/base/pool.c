/* SPDX-License-Identifier: MIT
 *
 * The object pool. Memory comes in chunks of about 16 KiB and is kept until the pool goes, so an
 * engine that has served a number of sessions can serve that many again without asking for memory.
 *
 * A handle is generation << 32 | index. A generation is never 0, so neither is a handle. It goes
 * on when the object is given back, so old handles die at that moment. Objects are zeroed when
 * they are given back, not when they are taken: what a dead session knew (challenges, passwords)
 * does not stay in memory. Under AddressSanitizer an object at rest is poisoned.
 */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISON 1
#endif
#endif

#ifdef POOL_POISON
#include <sanitizer/asan_interface.h>
#define poison(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define poison(p, n)   ((void)0)
#define unpoison(p, n) ((void)0)
#endif

#define CHUNK_OCTETS 16384
#define SHIFT_MOST   6 /* up to 64 objects a chunk */
#define NOWHERE	     UINT32_MAX
#define TAKEN	     (UINT32_MAX - 1)

struct slot {
	uint32_t generation;
	uint32_t next; /* the next free index, NOWHERE at the end; TAKEN while in use */
};

struct pool {
	uint8_t **chunks; /* each: 1 << shift slots, then as many objects */
	size_t size;	  /* of an object, rounded up */
	uint32_t chunk_count, chunk_cap;
	uint32_t shift;
	uint32_t limit;
	uint32_t count;
	uint32_t free; /* first free index or NOWHERE */
};

/* Slots and objects are aligned for numbers and pointers; there is nothing larger in them. */
static size_t round_up(size_t n)
{
	size_t a = _Alignof(union {
		uint64_t number;
		void *pointer;
	});

	return (n + a - 1) / a * a;
}

static size_t slots_octets(const struct pool *p)
{
	return round_up(sizeof(struct slot) << p->shift);
}

static size_t chunk_octets(const struct pool *p)
{
	return slots_octets(p) + (p->size << p->shift);
}

static struct slot *slot_at(const struct pool *p, uint32_t i)
{
	uint8_t *chunk = p->chunks[i >> p->shift];

	return (struct slot *)(void *)chunk + (i & ((1u << p->shift) - 1));
}

static uint8_t *object_at(const struct pool *p, uint32_t i)
{
	uint8_t *chunk = p->chunks[i >> p->shift];

	return chunk + slots_octets(p) + (i & ((1u << p->shift) - 1)) * p->size;
}

static uint32_t slot_count(const struct pool *p)
{
	return p->chunk_count << p->shift;
}

struct pool *pool_new(size_t size, uint32_t limit)
{
	struct pool *p;

	if (size == 0 || size > SIZE_MAX / 128)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->size = round_up(size);
	while (p->shift < SHIFT_MOST && (p->size << (p->shift + 1)) <= CHUNK_OCTETS)
		p->shift++;
	p->limit = limit ? limit : UINT32_MAX;
	p->free = NOWHERE;
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->chunk_count; i++) {
		unpoison(p->chunks[i], chunk_octets(p));
		free(p->chunks[i]);
	}
	free(p->chunks);
	free(p);
}

/* One more chunk; its slots become the free list. False when out of memory. */
static bool grow(struct pool *p)
{
	uint32_t first = slot_count(p), n = 1u << p->shift;
	uint8_t *chunk;

	if (first > TAKEN - n)
		return false;
	if (p->chunk_count == p->chunk_cap) {
		uint32_t cap = p->chunk_cap ? p->chunk_cap * 2 : 4;
		uint8_t **v = reallocarray(p->chunks, cap, sizeof(uint8_t *));

		if (!v)
			return false;
		p->chunks = v;
		p->chunk_cap = cap;
	}
	chunk = calloc(1, chunk_octets(p));
	if (!chunk)
		return false;
	p->chunks[p->chunk_count++] = chunk;
	for (uint32_t i = 0; i < n; i++) {
		struct slot *s = slot_at(p, first + i);

		s->generation = 1;
		s->next = i + 1 < n ? first + i + 1 : NOWHERE;
		poison(object_at(p, first + i), p->size);
	}
	p->free = first;
	return true;
}

void *pool_take(struct pool *p, adit_handle *ret_handle)
{
	struct slot *s;
	uint32_t i;

	if (p->count >= p->limit || (p->free == NOWHERE && !grow(p)))
		return NULL;
	i = p->free;
	s = slot_at(p, i);
	p->free = s->next;
	s->next = TAKEN;
	p->count++;
	unpoison(object_at(p, i), p->size);
	if (ret_handle)
		*ret_handle = (adit_handle)s->generation << 32 | i;
	return object_at(p, i);
}

/* The slot of a live object, NULL when the handle names none. */
static struct slot *find(const struct pool *p, adit_handle h)
{
	uint32_t i = (uint32_t)h;
	struct slot *s;

	if (i >= slot_count(p))
		return NULL;
	s = slot_at(p, i);
	return s->generation == (uint32_t)(h >> 32) && s->next == TAKEN ? s : NULL;
}

void pool_give(struct pool *p, adit_handle h)
{
	struct slot *s = find(p, h);
	uint32_t i = (uint32_t)h;

	if (!s)
		return;
	memset(object_at(p, i), 0, p->size);
	poison(object_at(p, i), p->size);
	if (++s->generation == 0)
		s->generation = 1;
	s->next = p->free;
	p->free = i;
	p->count--;
}

void *pool_get(const struct pool *p, adit_handle h)
{
	return find(p, h) ? object_at(p, (uint32_t)h) : NULL;
}

uint32_t pool_count(const struct pool *p)
{
	return p->count;
}

adit_handle pool_next(const struct pool *p, adit_handle prev)
{
	for (uint32_t i = prev ? (uint32_t)prev + 1 : 0; i < slot_count(p); i++) {
		const struct slot *s = slot_at(p, i);

		if (s->next == TAKEN)
			return (adit_handle)s->generation << 32 | i;
	}
	return 0;
}

size_t pool_memory(const struct pool *p)
{
	return sizeof(*p) + p->chunk_cap * sizeof(uint8_t *) + p->chunk_count * chunk_octets(p);
}
