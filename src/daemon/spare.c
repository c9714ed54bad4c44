/* SPDX-License-Identifier: MIT
 *
 * A reserve of memory, see spare.h. Its blocks are as large as a chunk of pool.h, so that the
 * larger part of it is never touched and costs address space alone; where the heap has no such
 * piece left, small ones do.
 */
#include "spare.h"

#include <stdlib.h>

#define LARGE ((size_t)16 << 10)
#define SMALL ((size_t)1 << 10)
#define ROOM  (2 * LARGE)
#define LEAST LARGE

struct spare_block {
	struct spare_block *next;
	size_t octets;
};

static struct spare_block *take(struct spare *s, size_t n)
{
	struct spare_block *b = malloc(n);

	if (!b)
		return NULL;
	*b = (struct spare_block){ s->blocks, n };
	s->blocks = b;
	s->octets += n;
	return b;
}

static void give(struct spare *s)
{
	struct spare_block *b = s->blocks;

	s->blocks = b->next;
	s->octets -= b->octets;
	free(b);
}

bool spare_fill(struct spare *s)
{
	size_t n = LARGE, half;

	while (s->octets < SPARE_OCTETS) {
		if (take(s, n))
			continue;
		if (n == SMALL)
			break;
		n = SMALL;
	}
	if (s->octets >= SPARE_OCTETS)
		return true;
	/* This is all there is: others need some of it. */
	half = s->octets / 2;
	while (s->octets > half)
		give(s);
	if (s->octets >= LEAST)
		return true;
	spare_drop(s);
	return false;
}

void spare_grow(struct spare *s)
{
	while (s->octets < SPARE_OCTETS && take(s, LARGE)) {
		if (!spare_room()) {
			give(s);
			return;
		}
	}
}

void spare_drop(struct spare *s)
{
	while (s->blocks)
		give(s);
}

bool spare_room(void)
{
	struct spare s = { 0 };
	bool there;

	while (s.octets < ROOM && take(&s, SMALL))
		;
	there = s.octets >= ROOM;
	spare_drop(&s);
	return there;
}
