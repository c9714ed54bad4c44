/* SPDX-License-Identifier: MIT
 *
 * Random numbers of an engine: ChaCha20 (RFC 8439) keyed with 32 octets at creation. The daemon
 * takes the key from getrandom(2), a test from its seed.
 */
#ifndef ADIT_RNG_H
#define ADIT_RNG_H

#include <stddef.h>
#include <stdint.h>
#include <nettle/chacha.h>

#define RNG_SEED 32

struct rng {
	struct chacha_ctx ctx;
	uint8_t block[256];
	size_t used; /* octets of `block` already given out */
};

void rng_init(struct rng *r, const uint8_t seed[RNG_SEED]);
void rng_bytes(struct rng *r, void *dst, size_t n);
uint32_t rng_u32(struct rng *r);

/* Uniform in 0..n-1, without modulo bias; n must not be 0. */
uint32_t rng_below(struct rng *r, uint32_t n);

/* A key for a generator of its own, taken from this one. */
void rng_fork(struct rng *r, uint8_t ret_seed[RNG_SEED]);

#endif
