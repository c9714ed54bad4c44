/* SPDX-License-Identifier: MIT
 *
 * Octets of which most are zero, kept short: before each eight of them an octet says which are not,
 * and only those follow. For what there is one of for each session, in memory of the process alone.
 */
#ifndef ADIT_ZEROS_H
#define ADIT_ZEROS_H

#include <stddef.h>
#include <stdint.h>

/* The longest form of `n` octets. */
#define ZEROS_MOST(n) ((n) + ((n) + 7) / 8)

/* Returns the length of the short form of `n` octets in `to`, which has room for the longest. */
size_t zeros_pack(const void *from, size_t n, uint8_t *to);

/* What zeros_pack() has made of `n` octets. */
void zeros_unpack(const uint8_t *from, void *to, size_t n);

#endif
