/* SPDX-License-Identifier: MIT
 *
 * MD5 for tunnel authentication, hidden AVPs (RFC 2661 4.2 and 4.3) and CHAP (RFC 1994 4.1), SHA-1
 * for MS-CHAP (RFC 2759 8) and the keys of MPPE (RFC 3079), HMAC with either for the messages of
 * L2TPv3 (RFC 3931 5.4.1), and the handling of secrets: compared in constant time, overwritten
 * after use.
 */
#include "crypto.h"

#include <nettle/hmac.h>
#include <nettle/md5.h>
#include <nettle/memops.h>
#include <nettle/sha1.h>
#include <nettle/version.h>
#include <string.h>

void md5_of(uint8_t ret[MD5_LEN], const struct bytes *pieces, size_t count)
{
	struct md5_ctx ctx;

	md5_init(&ctx);
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].n)
			md5_update(&ctx, pieces[i].n, pieces[i].p);
	}
#if NETTLE_VERSION_MAJOR >= 4
	md5_digest(&ctx, ret);
#else
	md5_digest(&ctx, MD5_LEN, ret);
#endif
	bytes_wipe(&ctx, sizeof(ctx)); /* it has held the shared secret */
}

void sha1_of(uint8_t ret[SHA1_LEN], const struct bytes *pieces, size_t count)
{
	struct sha1_ctx ctx;

	sha1_init(&ctx);
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].n)
			sha1_update(&ctx, pieces[i].n, pieces[i].p);
	}
#if NETTLE_VERSION_MAJOR >= 4
	sha1_digest(&ctx, ret);
#else
	sha1_digest(&ctx, SHA1_LEN, ret);
#endif
	bytes_wipe(&ctx, sizeof(ctx));
}

void hmac_md5_of(uint8_t ret[MD5_LEN], const struct bytes *key, const struct bytes *pieces,
		 size_t count)
{
	struct hmac_md5_ctx ctx;

	hmac_md5_set_key(&ctx, key->n, key->p ? key->p : (const uint8_t *)"");
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].n)
			hmac_md5_update(&ctx, pieces[i].n, pieces[i].p);
	}
#if NETTLE_VERSION_MAJOR >= 4
	hmac_md5_digest(&ctx, ret);
#else
	hmac_md5_digest(&ctx, MD5_LEN, ret);
#endif
	bytes_wipe(&ctx, sizeof(ctx));
}

void hmac_sha1_of(uint8_t ret[SHA1_LEN], const struct bytes *key, const struct bytes *pieces,
		  size_t count)
{
	struct hmac_sha1_ctx ctx;

	hmac_sha1_set_key(&ctx, key->n, key->p ? key->p : (const uint8_t *)"");
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].n)
			hmac_sha1_update(&ctx, pieces[i].n, pieces[i].p);
	}
#if NETTLE_VERSION_MAJOR >= 4
	hmac_sha1_digest(&ctx, ret);
#else
	hmac_sha1_digest(&ctx, SHA1_LEN, ret);
#endif
	bytes_wipe(&ctx, sizeof(ctx));
}

bool bytes_equal_ct(const void *a, const void *b, size_t n)
{
	return n == 0 || memeql_sec(a, b, n);
}

void bytes_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}
