/* SPDX-License-Identifier: MIT
 *
 * The few cryptographic steps of L2TP and PPP, on nettle. All are one call: no state is kept.
 */
#ifndef ADIT_CRYPTO_H
#define ADIT_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD5_LEN	 16
#define SHA1_LEN 20

struct bytes {
	const void *p;
	size_t n;
};

/* MD5 (RFC 1321) over the concatenation of `count` pieces. */
void md5_of(uint8_t ret[MD5_LEN], const struct bytes *pieces, size_t count);

/* SHA-1 (RFC 3174), likewise. */
void sha1_of(uint8_t ret[SHA1_LEN], const struct bytes *pieces, size_t count);

/* HMAC (RFC 2104) with these two, over the concatenation of `count` pieces. Any key length. */
void hmac_md5_of(uint8_t ret[MD5_LEN], const struct bytes *key, const struct bytes *pieces,
		 size_t count);
void hmac_sha1_of(uint8_t ret[SHA1_LEN], const struct bytes *key, const struct bytes *pieces,
		  size_t count);

/* Compare in constant time; lengths are public. */
bool bytes_equal_ct(const void *a, const void *b, size_t n);

/* Overwrite a secret; never optimised away. */
void bytes_wipe(void *p, size_t n);

#endif
