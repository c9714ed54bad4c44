/* SPDX-License-Identifier: MIT
 *
 * The random numbers of an engine: the ChaCha20 key stream (RFC 8439 2.3 and 2.4) under a 32-octet
 * key with a zero nonce. Four blocks are made at a time. Octets are wiped as they are given out,
 * so a look into memory tells nothing about ids and challenges of the past that are still in use.
 */
#include "rng.h"

#include <assert.h>
#include <string.h>

void rng_init(struct rng *r, const uint8_t seed[RNG_SEED])
{
	static const uint8_t nonce[CHACHA_NONCE_SIZE];

	chacha_set_key(&r->ctx, seed);
	chacha_set_nonce(&r->ctx, nonce); /* also sets the block counter to 0 */
	r->used = sizeof(r->block);
}

static void refill(struct rng *r)
{
	static const uint8_t zeros[sizeof(r->block)];

	chacha_crypt(&r->ctx, sizeof(r->block), r->block, zeros);
	r->used = 0;
}

void rng_bytes(struct rng *r, void *dst, size_t n)
{
	uint8_t *p = dst;

	while (n > 0) {
		size_t part;

		if (r->used == sizeof(r->block))
			refill(r);
		part = sizeof(r->block) - r->used;
		if (part > n)
			part = n;
		memcpy(p, r->block + r->used, part);
		memset(r->block + r->used, 0, part);
		r->used += part;
		p += part;
		n -= part;
	}
}

uint32_t rng_u32(struct rng *r)
{
	uint8_t b[4];

	/* Little endian whatever the machine, so that a seed tells the same story everywhere. */
	rng_bytes(r, b, sizeof(b));
	return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	uint64_t product;
	uint32_t bias;

	assert(n != 0);
	/*
	 * D. Lemire, "Fast random integer generation in an interval": the high word of x * n is
	 * uniform once the first 2^32 mod n values of the low word are thrown away.
	 */
	product = (uint64_t)rng_u32(r) * n;
	if ((uint32_t)product < n) {
		bias = (uint32_t)-n % n;
		while ((uint32_t)product < bias)
			product = (uint64_t)rng_u32(r) * n;
	}
	return (uint32_t)(product >> 32);
}

void rng_fork(struct rng *r, uint8_t ret_seed[RNG_SEED])
{
	rng_bytes(r, ret_seed, RNG_SEED);
}
