/* SPDX-License-Identifier: MIT
 *
 * See ping.h.
 */
#include "ping.h"

#include <string.h>

#include "base/wire.h"

/* The Internet checksum (RFC 1071) of an even number of octets. */
static uint16_t sum_of(const uint8_t *p, size_t n)
{
	struct rcur c = rcur_of(p, n);
	uint32_t sum = 0;

	while (rcur_left(&c) >= 2)
		sum += rcur_u16(&c);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_sum(uint8_t *at, const uint8_t *p, size_t n)
{
	struct wcur c = wcur_of(at, 2);

	wcur_u16(&c, sum_of(p, n));
}

size_t ping_build(uint8_t *at, const uint8_t from[4], const uint8_t to[4], uint16_t id,
		  uint16_t seq)
{
	struct wcur c = wcur_of(at, PING_PPP + PING_LEN);
	uint8_t *ip = at + PING_PPP, *icmp = ip + 20;

	memset(at, 0, PING_PPP + PING_LEN);
	wcur_u16(&c, 0xff03);
	wcur_u16(&c, 0x0021);
	wcur_u16(&c, 0x4500); /* version 4, 5 words, best effort */
	wcur_u16(&c, PING_LEN);
	wcur_u32(&c, 0);      /* not a fragment */
	wcur_u16(&c, 0x4001); /* 64 hops, ICMP */
	wcur_u16(&c, 0);
	wcur_bytes(&c, from, 4);
	wcur_bytes(&c, to, 4);
	wcur_u16(&c, 0x0800); /* echo request */
	wcur_u16(&c, 0);
	wcur_u16(&c, id);
	wcur_u16(&c, seq);
	put_sum(ip + 10, ip, 20);
	put_sum(icmp + 2, icmp, PING_LEN - 20);
	return PING_PPP + PING_LEN;
}
