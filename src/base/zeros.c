/* SPDX-License-Identifier: MIT
 *
 * Octets of which most are zero, see zeros.h.
 */
#include "zeros.h"

size_t zeros_pack(const void *from, size_t n, uint8_t *to)
{
	const uint8_t *p = from;
	uint8_t *mask = to;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (i % 8 == 0) {
			mask = to + len++;
			*mask = 0;
		}
		if (!p[i])
			continue;
		*mask |= (uint8_t)(1u << i % 8);
		to[len++] = p[i];
	}
	return len;
}

void zeros_unpack(struct rcur *from, void *to, size_t n)
{
	uint8_t *p = to;
	unsigned int mask = 0;

	for (size_t i = 0; i < n; i++, mask >>= 1) {
		if (i % 8 == 0)
			mask = rcur_u8(from);
		p[i] = mask & 1 ? rcur_u8(from) : 0;
	}
}
