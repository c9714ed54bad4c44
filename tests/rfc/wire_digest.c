/* SPDX-License-Identifier: MIT
 *
 * Keys and Message Digests of L2TPv3 for the scripted peer, see wire_peer.h (RFC 3931 5.3, 5.4.1).
 */
#include <nettle/hmac.h>
#include <stdio.h>
#include <string.h>
#include "wire_peer.h"

#define MD5 16
#define SHA 20

static void shared_key(const char *secret, uint8_t purpose, uint8_t ret[MD5])
{
	struct hmac_md5_ctx ctx;

	hmac_md5_set_key(&ctx, strlen(secret), (const uint8_t *)secret);
	hmac_md5_update(&ctx, 1, &purpose);
	hmac_md5_digest(&ctx, MD5, ret);
}

void wp_hide_key(const char *secret, uint8_t ret[16])
{
	shared_key(secret, 1, ret);
}

/* The next kind of a list "md5,sha1"; false at its end. */
static bool next_kind(const char **list, char ret[16])
{
	size_t n = strcspn(*list, ",");

	if (!n || n > 15)
		return false;
	memcpy(ret, *list, n);
	ret[n] = 0;
	*list += n + ((*list)[n] == ',');
	return true;
}

static unsigned type_of(const char *kind)
{
	return !strcmp(kind, "sha1") ? 1 : !strcmp(kind, "odd") ? 7 : 0;
}

size_t wp_digest_room(const char *kinds, uint8_t *ret)
{
	char kind[16];
	size_t n = 0;

	while (n < 60 && next_kind(&kinds, kind)) {
		unsigned type = type_of(kind), len = 7 + (type == 1 ? SHA : MD5);

		memset(ret + n, 0, len);
		ret[n] = 0x80;
		ret[n + 1] = (uint8_t)len;
		ret[n + 5] = 59;
		ret[n + 6] = (uint8_t)type;
		n += len;
	}
	return n;
}

/* HMAC over both nonces and a message whose digests are zeros. */
static void digest_of(const char *secret, unsigned type, const struct wp_nonce *a,
		      const struct wp_nonce *b, const uint8_t *msg, size_t len, uint8_t ret[SHA])
{
	struct hmac_sha1_ctx sha;
	struct hmac_md5_ctx md5;
	uint8_t key[MD5];

	shared_key(secret, 2, key);
	if (type == 1) {
		hmac_sha1_set_key(&sha, MD5, key);
		if (a) {
			hmac_sha1_update(&sha, a->n, a->p);
			hmac_sha1_update(&sha, b->n, b->p);
		}
		hmac_sha1_update(&sha, len, msg);
		hmac_sha1_digest(&sha, SHA, ret);
		return;
	}
	hmac_md5_set_key(&md5, MD5, key);
	if (a) {
		hmac_md5_update(&md5, a->n, a->p);
		hmac_md5_update(&md5, b->n, b->p);
	}
	hmac_md5_update(&md5, len, msg);
	hmac_md5_digest(&md5, MD5, ret);
}

void wp_digest_sign(const struct wire_peer *w, const struct wp_tunnel *t, const char *kinds,
		    uint8_t *msg, size_t len, size_t at, bool first)
{
	const struct wp_nonce *own = t && !first ? &t->own : NULL;
	const struct wp_nonce *peer = t && !first ? &t->peer : NULL;
	uint8_t plain[4096], digest[SHA];
	char kind[16];

	memcpy(plain, msg, len < sizeof(plain) ? len : sizeof(plain));
	while (next_kind(&kinds, kind)) {
		const char *secret = w->secret ? w->secret : "";
		unsigned type = type_of(kind), size = type == 1 ? SHA : MD5;
		bool empty = !strcmp(kind, "empty"), bare = empty || !strcmp(kind, "bare");

		if (!strcmp(kind, "old") && w->old_secret)
			secret = w->old_secret;
		digest_of(empty ? "" : secret, type, bare ? NULL : own, bare ? NULL : peer, plain,
			  len, digest);
		if (!strcmp(kind, "wrong"))
			digest[3] ^= 0x10;
		memcpy(msg + at + 7, digest, size);
		at += 7 + size;
	}
}

/* Which secret makes this digest right, in a word. */
static const char *judge(const struct wire_peer *w, const struct wp_tunnel *t, unsigned type,
			 const uint8_t *plain, size_t len, const uint8_t *digest)
{
	/* an SCCRQ has no nonces in front */
	bool first = plain[19] == 1;
	const struct wp_nonce *own = t && !first ? &t->peer : NULL;
	const struct wp_nonce *peer = t && !first ? &t->own : NULL;
	size_t size = type == 1 ? SHA : MD5;
	uint8_t want[SHA];

	if (w->secret) {
		digest_of(w->secret, type, own, peer, plain, len, want);
		if (!memcmp(want, digest, size))
			return type == 1 ? "sha1" : "md5";
	}
	if (w->old_secret) {
		digest_of(w->old_secret, type, own, peer, plain, len, want);
		if (!memcmp(want, digest, size))
			return "old";
	}
	digest_of("", type, NULL, NULL, plain, len, want);
	return memcmp(want, digest, size) ? "BAD(wrong)" : "empty";
}

void wp_digest_tell(const struct wire_peer *w, const struct wp_tunnel *t, const uint8_t *msg,
		    size_t len, char *ret, size_t cap)
{
	uint8_t plain[4096];
	unsigned count = 0;
	size_t at[2], n = 0;

	ret[0] = 0;
	if (len > sizeof(plain))
		return;
	memcpy(plain, msg, len);
	for (size_t p = 20; count < 2 && p + 7 <= len && !memcmp(msg + p + 2, "\0\0\0\x3b", 4);) {
		size_t size = msg[p + 1];

		if (size != (msg[p + 6] == 1 ? 7 + SHA : 7 + MD5) || p + size > len)
			break;
		memset(plain + p + 7, 0, size - 7);
		at[count++] = p;
		p += size;
	}
	for (unsigned i = 0; i < count; i++) {
		n += (size_t)snprintf(ret + n, cap - n, "%s%s", i ? "," : " digest=",
				      judge(w, t, msg[at[i] + 6], plain, len, msg + at[i] + 7));
	}
}
