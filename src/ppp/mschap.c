/* SPDX-License-Identifier: MIT
 *
 * What MS-CHAP computes: responses and proofs of version 2 (RFC 2759 8), responses of version 1
 * (RFC 2433 A), the keys that MPPE starts from (RFC 3079 3), and the words of Success and Failure
 * (RFC 2759 5, 6). chap.c and eap.c carry them; who checks a user calls ppp_mschap*_check().
 *
 * Version 1 is done with the NT response only: the LAN Manager response gives a password away.
 *
 * Passwords are UTF-8 and become UTF-16 (RFC 2759 calls it Unicode); octets that are no UTF-8 stand
 * for themselves, as Latin-1.
 */
#include "internal.h"

#include <nettle/des.h>
#include <nettle/md4.h>
#include <nettle/version.h>

#define HASH_LEN 16

struct md4 {
	struct md4_ctx ctx;
};

static void md4_end(struct md4 *m, uint8_t ret[HASH_LEN])
{
#if NETTLE_VERSION_MAJOR >= 4
	md4_digest(&m->ctx, ret);
#else
	md4_digest(&m->ctx, HASH_LEN, ret);
#endif
	bytes_wipe(m, sizeof(*m));
}

static void md4_unit(struct md4 *m, uint32_t unit)
{
	uint8_t two[2] = { (uint8_t)unit, (uint8_t)(unit >> 8) };

	md4_update(&m->ctx, 2, two);
}

/* The next character of UTF-8; an octet that begins none is taken by itself. */
static uint32_t next_char(const uint8_t **p, const uint8_t *end)
{
	const uint8_t *s = *p;
	uint8_t first = *s;
	unsigned more = first >= 0xf0 && first < 0xf5	? 3
			: first >= 0xe0 && first < 0xf0 ? 2
			: first >= 0xc2 && first < 0xe0 ? 1
							: 0;
	uint32_t c = more == 3 ? first & 7u : more == 2 ? first & 15u : more ? first & 31u : first;
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

	for (unsigned i = 1; i <= more; i++) {
		if (end - s <= (ptrdiff_t)i || (s[i] & 0xc0) != 0x80) {
			*p = s + 1;
			return first;
		}
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
		*p = s + 1;
		return first;
	}
	*p = s + 1 + more;
	return c;
}

/* NtPasswordHash() of RFC 2759 8.3. */
static void nt_hash(const void *password, size_t len, uint8_t ret[HASH_LEN])
{
	const uint8_t *p = password, *end = p ? p + len : p;
	struct md4 m;

	md4_init(&m.ctx);
	while (p < end) {
		uint32_t c = next_char(&p, end);

		if (c >= 0x10000) {
			md4_unit(&m, 0xd800 + ((c - 0x10000) >> 10));
			c = 0xdc00 + ((c - 0x10000) & 0x3ff);
		}
		md4_unit(&m, c);
	}
	md4_end(&m, ret);
}

/* HashNtPasswordHash() of RFC 2759 8.4. */
static void nt_hash_hash(const uint8_t hash[HASH_LEN], uint8_t ret[HASH_LEN])
{
	struct md4 m;

	md4_init(&m.ctx);
	md4_update(&m.ctx, HASH_LEN, hash);
	md4_end(&m, ret);
}

/* DesEncrypt() of RFC 2759 8.6: 7 octets become 8 of 7 bits each; parity is not looked at. */
static void des7(const uint8_t clear[8], const uint8_t key7[7], uint8_t ret[8])
{
	struct des_ctx ctx;
	uint8_t key[8];

	key[0] = (uint8_t)(key7[0] & 0xfe);
	for (unsigned i = 1; i < 7; i++)
		key[i] = (uint8_t)((key7[i - 1] << (8 - i) | key7[i] >> i) & 0xfe);
	key[7] = (uint8_t)(key7[6] << 1);
	(void)des_set_key(&ctx, key); /* says no to weak keys, and takes them */
	des_encrypt(&ctx, 8, ret, clear);
	bytes_wipe(&ctx, sizeof(ctx));
	bytes_wipe(key, sizeof(key));
}

/* ChallengeResponse() of RFC 2759 8.5. */
static void nt_response(const uint8_t challenge[8], const uint8_t hash[HASH_LEN],
			uint8_t ret[MS_NT_LEN])
{
	uint8_t key[21] = { 0 };

	memcpy(key, hash, HASH_LEN);
	for (unsigned i = 0; i < 3; i++)
		des7(challenge, key + 7 * i, ret + 8 * i);
	bytes_wipe(key, sizeof(key));
}

/* The name without a domain in front (RFC 2759 4). */
static struct bytes bare_name(const char *user, size_t len)
{
	size_t at = len;

	while (at > 0 && user[at - 1] != '\\')
		at--;
	return (struct bytes){ user + at, len - at };
}

/* ChallengeHash() of RFC 2759 8.2, with room for the whole digest. */
static void challenge_hash(const uint8_t peer[MS_CHAL_LEN], const uint8_t challenge[MS_CHAL_LEN],
			   const char *user, size_t user_len, uint8_t ret[SHA1_LEN])
{
	struct bytes pieces[] = { { peer, MS_CHAL_LEN },
				  { challenge, MS_CHAL_LEN },
				  bare_name(user, user_len) };

	sha1_of(ret, pieces, 3);
}

/* GenerateAuthenticatorResponse() of RFC 2759 8.7. */
static void prove(const uint8_t hash_hash[HASH_LEN], const uint8_t response[MS_NT_LEN],
		  const uint8_t challenge8[8], uint8_t ret[SHA1_LEN])
{
	static const char magic1[] = "Magic server to client signing constant",
			  magic2[] = "Pad to make it do more than one iteration";
	uint8_t digest[SHA1_LEN];
	struct bytes first[] = { { hash_hash, HASH_LEN },
				 { response, MS_NT_LEN },
				 { magic1, sizeof(magic1) - 1 } };
	struct bytes second[] = { { digest, sizeof(digest) },
				  { challenge8, 8 },
				  { magic2, sizeof(magic2) - 1 } };

	sha1_of(digest, first, 3);
	sha1_of(ret, second, 3);
}

/* GetAsymmetricStartKey() of RFC 3079 3.4. */
static void start_key(const uint8_t master[16], bool client_sends, uint8_t ret[PPP_KEY_LEN])
{
	static const char sends[] = "On the client side, this is the send key; on the server side, "
				    "it is the receive key.",
			  receives[] = "On the client side, this is the receive key; on the server "
				       "side, it is the send key.";
	static const uint8_t pad1[40];
	uint8_t pad2[40], digest[SHA1_LEN];
	struct bytes pieces[] = { { master, 16 },
				  { pad1, sizeof(pad1) },
				  { client_sends ? sends : receives,
				    client_sends ? sizeof(sends) - 1 : sizeof(receives) - 1 },
				  { pad2, sizeof(pad2) } };

	memset(pad2, 0xf2, sizeof(pad2));
	sha1_of(digest, pieces, 4);
	memcpy(ret, digest, PPP_KEY_LEN);
	bytes_wipe(digest, sizeof(digest));
}

static void start_keys(const uint8_t hash_hash[HASH_LEN], const uint8_t response[MS_NT_LEN],
		       bool server, struct ppp_proof *ret)
{
	static const char magic[] = "This is the MPPE Master Key";
	uint8_t master[SHA1_LEN]; /* GetMasterKey() takes 16 octets of it */
	struct bytes pieces[] = { { hash_hash, HASH_LEN },
				  { response, MS_NT_LEN },
				  { magic, sizeof(magic) - 1 } };

	sha1_of(master, pieces, 3);
	start_key(master, !server, ret->send_key);
	start_key(master, server, ret->recv_key);
	ret->has_keys = true;
	bytes_wipe(master, sizeof(master));
}

/* The NT response and everything that follows from it, as the side that is `server` or not. */
static void compute2(const char *user, size_t user_len, const void *password, size_t password_len,
		     const uint8_t peer[MS_CHAL_LEN], const uint8_t challenge[MS_CHAL_LEN],
		     bool server, uint8_t ret_response[MS_NT_LEN], struct ppp_proof *ret)
{
	uint8_t hash[HASH_LEN], hash_hash[HASH_LEN], digest[SHA1_LEN];

	challenge_hash(peer, challenge, user, user_len, digest);
	nt_hash(password, password_len, hash);
	nt_hash_hash(hash, hash_hash);
	nt_response(digest, hash, ret_response);
	prove(hash_hash, ret_response, digest, ret->authenticator);
	start_keys(hash_hash, ret_response, server, ret);
	bytes_wipe(hash, sizeof(hash));
	bytes_wipe(hash_hash, sizeof(hash_hash));
}

void mschap2_respond(const char *user, size_t user_len, const void *password, size_t password_len,
		     const uint8_t peer[MS_CHAL_LEN], const uint8_t challenge[MS_CHAL_LEN],
		     uint8_t ret_response[MS_RESP_LEN], struct ppp_proof *ret)
{
	memset(ret_response, 0, MS_RESP_LEN);
	memcpy(ret_response, peer, MS_CHAL_LEN);
	compute2(user, user_len, password, password_len, peer, challenge, false,
		 ret_response + MS_RESP_LEN - 1 - MS_NT_LEN, ret);
}

void mschap1_respond(const void *password, size_t password_len, const uint8_t challenge[8],
		     uint8_t ret_response[MS_RESP_LEN])
{
	uint8_t hash[HASH_LEN];

	memset(ret_response, 0, MS_RESP_LEN);
	nt_hash(password, password_len, hash);
	nt_response(challenge, hash, ret_response + MS_NT_LEN);
	ret_response[MS_RESP_LEN - 1] = 1; /* "use the NT response" (RFC 2433 5) */
	bytes_wipe(hash, sizeof(hash));
}

bool ppp_mschap2_check(const char *user, size_t user_len, const void *password, size_t password_len,
		       const uint8_t *challenge, size_t challenge_len, const uint8_t *response,
		       size_t response_len, struct ppp_proof *ret)
{
	uint8_t good[MS_NT_LEN];
	struct ppp_proof proof = { .has_keys = false };
	bool ok;

	/* The last octet, "Flags", must be zero (RFC 2759 4). */
	if (challenge_len != MS_CHAL_LEN || response_len != MS_RESP_LEN ||
	    response[MS_RESP_LEN - 1])
		return false;
	compute2(user, user_len, password, password_len, response, challenge, true, good, &proof);
	ok = bytes_equal_ct(good, response + MS_RESP_LEN - 1 - MS_NT_LEN, MS_NT_LEN);
	if (ok)
		*ret = proof;
	bytes_wipe(&proof, sizeof(proof));
	return ok;
}

bool ppp_mschap1_check(const void *password, size_t password_len, const uint8_t *challenge,
		       size_t challenge_len, const uint8_t *response, size_t response_len)
{
	uint8_t good[MS_RESP_LEN];

	if (challenge_len != 8 || response_len != MS_RESP_LEN || response[MS_RESP_LEN - 1] != 1)
		return false;
	mschap1_respond(password, password_len, challenge, good);
	return bytes_equal_ct(good + MS_NT_LEN, response + MS_NT_LEN, MS_NT_LEN);
}

/* ---- words ---- */

static void put_text(struct wcur *c, const char *text)
{
	wcur_bytes(c, text, strlen(text));
}

static void put_hex(struct wcur *c, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < n; i++) {
		wcur_u8(c, (uint8_t)digits[p[i] >> 4]);
		wcur_u8(c, (uint8_t)digits[p[i] & 15]);
	}
}

void mschap2_put_success(const struct ppp_proof *proof, const char *text, struct wcur *c)
{
	put_text(c, "S=");
	put_hex(c, proof->authenticator, sizeof(proof->authenticator));
	put_text(c, " M=");
	put_text(c, text && text[0] ? text : "Access granted");
}

void mschap_put_failure(enum ppp_auth auth, unsigned error, bool retry, const uint8_t *challenge,
			const char *text, struct wcur *c)
{
	char code[] = { 'E',
			'=',
			(char)('0' + error / 100 % 10),
			(char)('0' + error / 10 % 10),
			(char)('0' + error % 10),
			'\0' };

	put_text(c, code);
	put_text(c, retry ? " R=1 C=" : " R=0 C=");
	put_hex(c, challenge, auth == PPP_AUTH_MSCHAP ? 8 : MS_CHAL_LEN);
	put_text(c, auth == PPP_AUTH_MSCHAP ? " V=2" : " V=3");
	/* RFC 2433 9 has no M=. */
	if (auth != PPP_AUTH_MSCHAP) {
		put_text(c, " M=");
		put_text(c, text);
	}
}

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

/* Where the value of "X=" begins in a Failure or Success, or NULL. */
static const uint8_t *field(const uint8_t *text, size_t len, char name)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (text[i] == (uint8_t)name && text[i + 1] == '=' &&
		    (i == 0 || text[i - 1] == ' '))
			return text + i + 2;
		if (text[i] == 'M' && text[i + 1] == '=' && (i == 0 || text[i - 1] == ' '))
			break; /* behind it anything may stand */
	}
	return NULL;
}

bool mschap2_success_fits(const struct ppp_proof *proof, const uint8_t *text, size_t len)
{
	uint8_t got[SHA1_LEN];

	if (len < 42 || text[0] != 'S' || text[1] != '=')
		return false;
	for (unsigned i = 0; i < SHA1_LEN; i++) {
		int high = hex_digit(text[2 + 2 * i]), low = hex_digit(text[3 + 2 * i]);

		if (high < 0 || low < 0)
			return false;
		got[i] = (uint8_t)(high << 4 | low);
	}
	return bytes_equal_ct(got, proof->authenticator, SHA1_LEN);
}

/* What people should read of a Success or a Failure. */
struct bytes mschap_words(const uint8_t *text, size_t len)
{
	static const struct {
		unsigned error;
		const char *words;
	} known[] = { { 646, "the server does not let this user in at this time" },
		      { 647, "the account is disabled" },
		      { 648, "the password has expired; it has to be changed by other means" },
		      { 649, "the user may not dial in" },
		      { 691, "user name or password is wrong" },
		      { 709, "the password could not be changed" } };
	const uint8_t *m = field(text, len, 'M'), *e = field(text, len, 'E');
	unsigned error = 0;

	if (m && m < text + len)
		return (struct bytes){ m, (size_t)(text + len - m) };
	for (; e && e < text + len && *e >= '0' && *e <= '9' && error < 100000; e++)
		error = error * 10 + (unsigned)(*e - '0');
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].error == error)
			return (struct bytes){ known[i].words, strlen(known[i].words) };
	}
	return (struct bytes){ text, field(text, len, 'S') ? 0 : len };
}
