/* SPDX-License-Identifier: MIT
 *
 * Memory that is taken in advance and given back to the allocator when that has no more: enough to
 * refuse newcomers, to acknowledge what peers close, and to answer the control socket. For run.c,
 * which says when.
 */
#ifndef ADIT_DAEMON_SPARE_H
#define ADIT_DAEMON_SPARE_H

#include <stdbool.h>
#include <stddef.h>

#define SPARE_OCTETS ((size_t)256 << 10)

struct spare {
	struct spare_block *blocks;
	size_t octets; /* in them */
};

/* Take what is missing, in blocks that also a fragmented heap has; where that has less, half of
 * what it has. False: that is next to nothing; then nothing is held. */
bool spare_fill(struct spare *s);

/* Take what is missing as far as there is room for others beside it; a part of it is kept when
 * there was less at spare_fill(). */
void spare_grow(struct spare *s);

/* Give everything back. */
void spare_drop(struct spare *s);

/* Would the allocator give what one turn of the loop may ask for? */
bool spare_room(void);

#endif
