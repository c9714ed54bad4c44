/* SPDX-License-Identifier: MIT
 *
 * The keyed hash table, and SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * 2012) that keys it.
 *
 * Growing: when there are as many nodes as chains, a table of twice the size is allocated and
 * `old` is emptied into it, MOVE_CHAINS chains at each insertion. A node whose chain in `old` has
 * not been moved yet is there, else it is in `v`; so all nodes with one hash are always in one
 * chain, and a look-up walks exactly one. The move is over long before the next doubling is due.
 */
#include "htab.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CHAINS 16u
#define MOST_CHAINS  (UINT32_C(1) << 30)
#define MOVE_CHAINS  4

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v)); /* one load, where eight octets put together are forty steps */
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

static inline void sip_rounds(uint64_t v[4], int count)
{
	while (count-- > 0) {
		v[0] += v[1];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[0] = rotl(v[0], 32);
		v[2] += v[3];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[2] = rotl(v[2], 32);
	}
}

/* SipHash with so many rounds a word and so many at the end. */
static inline uint64_t sip(const uint8_t key[16], const void *bytes, size_t len, int word, int end)
{
	const uint8_t *p = bytes;
	uint64_t k0 = le64(key), k1 = le64(key + 8);
	uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
			  k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };
	uint64_t last = (uint64_t)len << 56;
	size_t left = len;

	for (; left >= 8; left -= 8, p += 8) {
		uint64_t m = le64(p);

		v[3] ^= m;
		sip_rounds(v, word);
		v[0] ^= m;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_rounds(v, word);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_rounds(v, end);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash(const uint8_t key[16], const void *bytes, size_t len)
{
	return sip(key, bytes, len, 2, 4);
}

uint64_t siphash13(const uint8_t key[16], const void *bytes, size_t len)
{
	return sip(key, bytes, len, 1, 3);
}

void htab_init(struct htab *t, const uint8_t key[16])
{
	*t = (struct htab){ 0 };
	memcpy(t->key, key, sizeof(t->key));
}

void htab_free(struct htab *t)
{
	free(t->v);
	free(t->old);
	t->v = t->old = NULL;
	t->mask = t->old_mask = t->moved = t->n = 0;
}

uint64_t htab_hash(const struct htab *t, const void *key, size_t len)
{
	return siphash(t->key, key, len);
}

/* The head of the chain that nodes with this hash are in. The table must have chains. */
static struct htab_node **chain_of(const struct htab *t, uint64_t hash)
{
	if (t->old && (hash & t->old_mask) >= t->moved)
		return &t->old[hash & t->old_mask];
	return &t->v[hash & t->mask];
}

static void move_chains(struct htab *t)
{
	for (int i = 0; t->old && i < MOVE_CHAINS; i++) {
		struct htab_node *node = t->old[t->moved], *next;

		for (; node; node = next) {
			struct htab_node **head = &t->v[node->hash & t->mask];

			next = node->next;
			node->next = *head;
			*head = node;
		}
		if (t->moved++ == t->old_mask) {
			free(t->old);
			t->old = NULL;
			t->old_mask = t->moved = 0;
		}
	}
}

int htab_reserve(struct htab *t)
{
	struct htab_node **v;
	uint32_t chains;

	if (t->v && (t->old || t->n <= t->mask || t->mask >= MOST_CHAINS - 1))
		return 0;
	chains = t->v ? 2 * (t->mask + 1) : FIRST_CHAINS;
	v = calloc(chains, sizeof(struct htab_node *));
	if (!v)
		return t->v ? 0 : -ENOMEM; /* longer chains are better than a refusal */
	t->old = t->v;
	t->old_mask = t->mask;
	t->moved = 0;
	t->v = v;
	t->mask = chains - 1;
	return 0;
}

void htab_put(struct htab *t, struct htab_node *node, uint64_t hash)
{
	struct htab_node **head;

	(void)htab_reserve(t);
	assert(t->v); /* htab_reserve() was forgotten or its answer ignored */
	move_chains(t);
	node->hash = hash;
	head = chain_of(t, hash);
	node->next = *head;
	*head = node;
	t->n++;
}

void htab_drop(struct htab *t, struct htab_node *node)
{
	struct htab_node **at;

	if (!t->v)
		return;
	for (at = chain_of(t, node->hash); *at; at = &(*at)->next) {
		if (*at == node) {
			*at = node->next;
			node->next = NULL;
			t->n--;
			return;
		}
	}
}

static struct htab_node *same_hash(struct htab_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct htab_node *htab_find(const struct htab *t, uint64_t hash)
{
	return t->v ? same_hash(*chain_of(t, hash), hash) : NULL;
}

struct htab_node *htab_next(const struct htab_node *prev)
{
	return same_hash(prev->next, prev->hash);
}

struct htab_node *htab_walk(const struct htab *t, uint64_t *pos, struct htab_node *prev)
{
	/* *pos counts chains: first those of `old`, if any, then those of `v`. */
	uint64_t olds = t->old ? (uint64_t)t->old_mask + 1 : 0;
	uint64_t all = olds + (t->v ? (uint64_t)t->mask + 1 : 0);

	if (prev && prev->next)
		return prev->next;
	while (*pos < all) {
		uint64_t i = (*pos)++;
		struct htab_node *node;

		/* A chain that was moved out of `old` keeps its stale head there. */
		if (i < olds)
			node = i < t->moved ? NULL : t->old[i];
		else
			node = t->v[i - olds];
		if (node)
			return node;
	}
	return NULL;
}
