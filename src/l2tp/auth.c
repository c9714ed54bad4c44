/* SPDX-License-Identifier: MIT
 *
 * What the shared secret of a tunnel is used for: the answer to a Challenge (RFC 2661 4.4.3,
 * 5.1.1) and the hiding of AVP values (RFC 2661 4.3).
 *
 * Hiding, in short. The hidden subformat is the original length (two octets), the value, and any
 * amount of padding. It is cut into blocks p1, p2, ... of 16 octets, the last one possibly shorter,
 * and each is XORed with an MD5:
 *
 *     c1 = p1 xor MD5(attribute type, secret, random vector)
 *     ci = pi xor MD5(secret, c(i-1))
 *
 * When it is undone, the length found inside is a number a stranger may have chosen; it is held
 * against the octets that are really there before anything is copied.
 */
#include "l2tp/avp.h"
#include "base/crypto.h"

void l2tp_auth_response(uint8_t ret[16], uint8_t type, const struct l2tp_secret *secret,
			const void *challenge, size_t n)
{
	const struct bytes pieces[] = { { &type, 1 }, { secret->p, secret->n }, { challenge, n } };

	md5_of(ret, pieces, 3);
}

static void first_pad(uint8_t pad[MD5_LEN], uint16_t type, const struct l2tp_secret *secret,
		      const struct l2tp_bytes *vector)
{
	const uint8_t number[2] = { (uint8_t)(type >> 8), (uint8_t)type };
	const struct bytes pieces[] = { { number, 2 },
					{ secret->p, secret->n },
					{ vector->p, vector->n } };

	md5_of(pad, pieces, 3);
}

static void next_pad(uint8_t pad[MD5_LEN], const struct l2tp_secret *secret,
		     const uint8_t cipher[MD5_LEN])
{
	const struct bytes pieces[] = { { secret->p, secret->n }, { cipher, MD5_LEN } };

	md5_of(pad, pieces, 2);
}

void avp_hide(uint16_t type, const struct l2tp_secret *secret, const struct l2tp_bytes *vector,
	      uint8_t *buf, size_t n)
{
	uint8_t pad[MD5_LEN];

	first_pad(pad, type, secret, vector);
	for (size_t i = 0; i < n; i++) {
		if (i && i % MD5_LEN == 0)
			next_pad(pad, secret, buf + i - MD5_LEN);
		buf[i] ^= pad[i % MD5_LEN];
	}
	bytes_wipe(pad, sizeof(pad));
}

enum avp_unhide avp_unhide(uint16_t type, const struct l2tp_secret *secret,
			   const struct l2tp_bytes *vector, const uint8_t *value, uint16_t n,
			   struct avp_room *room, struct l2tp_bytes *ret)
{
	uint8_t pad[MD5_LEN];
	uint16_t len;

	if (n < 2)
		return AVP_UNHIDE_SHORT;
	first_pad(pad, type, secret, vector);
	len = (uint16_t)((value[0] ^ pad[0]) << 8 | (value[1] ^ pad[1]));
	if (len > n - 2)
		return AVP_UNHIDE_LENGTH;
	if (len > room->cap - room->used)
		return AVP_UNHIDE_ROOM;

	/* Only as far as the value goes; the padding behind it is of no interest. */
	for (size_t i = 2; i < 2U + len; i++) {
		if (i % MD5_LEN == 0)
			next_pad(pad, secret, value + i - MD5_LEN);
		room->p[room->used + i - 2] = value[i] ^ pad[i % MD5_LEN];
	}
	ret->p = room->p + room->used;
	ret->n = len;
	room->used += len;
	bytes_wipe(pad, sizeof(pad));
	return AVP_UNHIDE_OK;
}
