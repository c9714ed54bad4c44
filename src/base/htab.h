/* SPDX-License-Identifier: MIT
 *
 * A keyed hash table of intrusive nodes. The key is SipHash-2-4 with 16 random octets, so a
 * stranger who chooses addresses and ids cannot choose the chain they land in. The table grows by
 * doubling and moves a few chains at each insertion, so that no single packet pays for all.
 */
#ifndef ADIT_HTAB_H
#define ADIT_HTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct htab_node {
	struct htab_node *next;
	uint64_t hash;
};

struct htab {
	uint8_t key[16];
	struct htab_node **v, **old; /* `old` is being emptied into `v` while not NULL */
	uint32_t mask, old_mask, moved;
	uint32_t n;
};

/* The table is usable at once; it allocates at the first insertion. `key` is copied. */
void htab_init(struct htab *t, const uint8_t key[16]);

/* Frees the table's own memory; the nodes belong to the caller. */
void htab_free(struct htab *t);

uint64_t htab_hash(const struct htab *t, const void *key, size_t len);

/*
 * Make room so that the next insertion cannot fail. -ENOMEM. An insertion into a table that has
 * any room at all never fails, it only makes chains longer.
 */
int htab_reserve(struct htab *t);
void htab_put(struct htab *t, struct htab_node *node, uint64_t hash);
void htab_drop(struct htab *t, struct htab_node *node);

/* The first node with this hash, or the next one after `prev`. The caller compares the keys. */
struct htab_node *htab_find(const struct htab *t, uint64_t hash);
struct htab_node *htab_next(const struct htab_node *prev);

/* Any order; the table must not be changed in between. Start with *pos = 0. NULL at the end. */
struct htab_node *htab_walk(const struct htab *t, uint64_t *pos, struct htab_node *prev);

/* SipHash-2-4, for what a stranger chooses; and SipHash-1-3, half the work, where it only is to be
 * noticed that something has changed. */
uint64_t siphash(const uint8_t key[16], const void *bytes, size_t len);
uint64_t siphash13(const uint8_t key[16], const void *bytes, size_t len);

#endif
