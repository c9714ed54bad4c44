/* SPDX-License-Identifier: MIT
 *
 * The deadline heap of an engine: a binary heap of pointers to intrusive nodes. Each node knows
 * its place, so that moving or removing a deadline costs O(log n) and no search. The room is
 * reserved when an object is made; from then on setting a timer cannot fail.
 */
#include "heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void heap_free(struct heap *h)
{
	free(h->v);
	*h = (struct heap){ 0 };
}

int heap_reserve(struct heap *h, uint32_t n)
{
	struct heap_node **v;
	uint64_t cap;

	if (n <= h->cap)
		return 0;
	/* Half as much again, so that reserving one by one costs a constant each. */
	cap = (uint64_t)h->cap + h->cap / 2;
	if (cap < 16)
		cap = 16;
	if (cap < n)
		cap = n;
	if (cap > UINT32_MAX)
		cap = UINT32_MAX;
	v = reallocarray(h->v, (size_t)cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	h->v = v;
	h->cap = (uint32_t)cap;
	return 0;
}

static void place(struct heap *h, uint32_t i, struct heap_node *node)
{
	h->v[i] = node;
	node->pos = i + 1;
}

/* Move `node`, for which there is a hole at `i`, towards the root. */
static void sift_up(struct heap *h, uint32_t i, struct heap_node *node)
{
	while (i > 0) {
		uint32_t parent = (i - 1) / 2;

		if (h->v[parent]->at.us <= node->at.us)
			break;
		place(h, i, h->v[parent]);
		i = parent;
	}
	place(h, i, node);
}

/* Move `node`, for which there is a hole at `i`, towards the leaves. */
static void sift_down(struct heap *h, uint32_t i, struct heap_node *node)
{
	for (;;) {
		uint64_t child = 2 * (uint64_t)i + 1;

		if (child >= h->n)
			break;
		if (child + 1 < h->n && h->v[child + 1]->at.us < h->v[child]->at.us)
			child++;
		if (node->at.us <= h->v[child]->at.us)
			break;
		place(h, i, h->v[child]);
		i = (uint32_t)child;
	}
	place(h, i, node);
}

static void sift(struct heap *h, uint32_t i, struct heap_node *node)
{
	if (i > 0 && node->at.us < h->v[(i - 1) / 2]->at.us)
		sift_up(h, i, node);
	else
		sift_down(h, i, node);
}

void heap_set(struct heap *h, struct heap_node *node, struct mono at)
{
	if (at.us == INT64_MAX) {
		heap_clear(h, node);
		return;
	}
	node->at = at;
	if (node->pos) {
		sift(h, node->pos - 1, node);
		return;
	}
	assert(h->n < h->cap); /* heap_reserve() was forgotten */
	sift_up(h, h->n++, node);
}

void heap_clear(struct heap *h, struct heap_node *node)
{
	uint32_t i = node->pos;
	struct heap_node *last;

	if (i == 0)
		return;
	node->pos = 0;
	last = h->v[--h->n];
	if (last != node)
		sift(h, i - 1, last);
}

struct heap_node *heap_first(const struct heap *h)
{
	return h->n ? h->v[0] : NULL;
}

struct mono heap_deadline(const struct heap *h)
{
	return h->n ? h->v[0]->at : MONO_NEVER;
}
