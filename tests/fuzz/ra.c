/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: router advertisements and solicitations. Each input is tried as it is and with its
 * checksum made right; what is accepted must survive being built and read again.
 *
 * drives: src/ip6/ra.c
 */
#include "ip6/ra.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void try_packet(const uint8_t *packet, size_t len)
{
	uint8_t src[16], buf[RA_PACKET_MAX];
	struct ra ra, again;
	size_t n;

	ra_is_solicitation(packet, len, src);
	if (!ra_parse(packet, len, &ra))
		return;
	check(ra.prefixes <= RA_PREFIXES && ra.rdnss <= RA_RDNSS, "counts");
	n = ra_build(&ra, buf, sizeof(buf));
	check(n > 0, "does not fit");
	check(ra_parse(buf, n, &again), "not read again");
	check(again.prefixes == ra.prefixes && again.rdnss == ra.rdnss && again.mtu == ra.mtu &&
		      again.router_s == ra.router_s &&
		      memcmp(again.prefix, ra.prefix, sizeof(ra.prefix)) == 0 &&
		      memcmp(again.dns, ra.dns, sizeof(ra.dns)) == 0,
	      "read differently");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = calloc(1, size ? size : 1), src[16] = { 0xfe, 0x80 }, buf[64];

	if (size)
		memcpy(copy, data, size);
	try_packet(copy, size);
	if (size >= 48) {
		size_t len = (size_t)(copy[4] << 8 | copy[5]);
		uint16_t sum;

		if (len > size - 40)
			len = size - 40;
		copy[4] = (uint8_t)(len >> 8);
		copy[5] = (uint8_t)len;
		copy[42] = copy[43] = 0;
		sum = ra_checksum(copy + 8, copy + 24, 58, copy + 40, len);
		copy[42] = (uint8_t)(sum >> 8);
		copy[43] = (uint8_t)sum;
		try_packet(copy, size);
		memcpy(src, copy + 8, 16);
	}
	check(ra_is_solicitation(buf, ra_solicit(src, buf, sizeof(buf)), src), "own solicitation");
	free(copy);
	return 0;
}
