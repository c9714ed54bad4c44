/* SPDX-License-Identifier: MIT
 *
 * Octets of which most are zero, kept short: before each eight of them an octet says which are not,
 * and only those follow. For what there is one of for each session.
 */
#ifndef ADIT_ZEROS_H
#define ADIT_ZEROS_H

#include "wire.h"

/* The longest form of `n` octets. */
#define ZEROS_MOST(n) ((n) + ((n) + 7) / 8)

/* Returns the length of the short form of `n` octets in `to`, which has room for the longest. */
size_t zeros_pack(const void *from, size_t n, uint8_t *to);

/* The `n` octets whose short form comes next; the cursor turns bad when it ends before. */
void zeros_unpack(struct rcur *from, void *to, size_t n);

#endif
