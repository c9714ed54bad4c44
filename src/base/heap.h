/* SPDX-License-Identifier: MIT
 *
 * Deadlines of an engine: one binary heap of intrusive nodes. An object that has several timers
 * keeps the times itself and puts only the earliest into the heap.
 */
#ifndef ADIT_HEAP_H
#define ADIT_HEAP_H

#include <adit/types.h>

struct heap_node {
	struct mono at; /* when; valid while in the heap */
	uint32_t pos;	/* place in the heap plus one, 0 = not in the heap */
};

struct heap {
	struct heap_node **v;
	uint32_t n, cap;
};

void heap_free(struct heap *h);

/*
 * Make room so that `n` nodes in all can be set without failing. Objects reserve when they are
 * made, so that arming a timer never fails. -ENOMEM.
 */
int heap_reserve(struct heap *h, uint32_t n);

/* Put `node` at `at`, or move it there. MONO_NEVER takes it out. Room must have been reserved. */
void heap_set(struct heap *h, struct heap_node *node, struct mono at);

/* Take `node` out; allowed when it is not in. */
void heap_clear(struct heap *h, struct heap_node *node);

/* The node with the earliest time, NULL when empty. It stays in the heap. */
struct heap_node *heap_first(const struct heap *h);

/* The earliest time, MONO_NEVER when empty. */
struct mono heap_deadline(const struct heap *h);

#endif
