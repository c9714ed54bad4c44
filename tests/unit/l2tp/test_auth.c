/* SPDX-License-Identifier: MIT
 *
 * Challenge response and hiding (RFC 2661 4.4.3, 4.3) against the vectors of an independent
 * program, and everything a stranger can do with the length inside a hidden value.
 */
#include "raw.h"
#include "vectors.h"
#include "base/crypto.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct l2tp_secret secret_of(const struct octets *o)
{
	return (struct l2tp_secret){ o->p, o->n };
}

static struct l2tp_bytes bytes_of(const struct octets *o)
{
	return (struct l2tp_bytes){ o->p, (uint16_t)o->n };
}

/* V2-5.1.1-02: type 2 in SCCRP, 3 in SCCCN */
static void challenge_response(void **state)
{
	for (size_t i = 0; i < COUNT(vec_responses); i++) {
		const struct vec_response *v = &vec_responses[i];
		struct octets s = octets_hex(v->secret), c = octets_hex(v->challenge);
		struct octets want = octets_hex(v->response);
		struct l2tp_secret secret = secret_of(&s);
		uint8_t got[16];

		l2tp_auth_response(got, v->id, &secret, c.p, c.n);
		assert_int_equal(want.n, 16);
		assert_memory_equal(got, want.p, 16);
		free(s.p);
		free(c.p);
		free(want.p);
	}
}

/* V2-4.3-03, V2-4.3-11: the pad blocks; vectors of 1, 16, 255 and 1000 octets */
static void hide_as_others_do(void **state)
{
	for (size_t i = 0; i < COUNT(vec_hidden); i++) {
		const struct vec_hidden *v = &vec_hidden[i];
		struct octets s = octets_hex(v->secret), rv = octets_hex(v->vector);
		struct octets plain = octets_hex(v->plain), pad = octets_hex(v->pad);
		struct octets want = octets_hex(v->cipher);
		struct l2tp_secret secret = secret_of(&s);
		struct l2tp_bytes vector = bytes_of(&rv);
		uint8_t buf[1100] = { (uint8_t)(plain.n >> 8), (uint8_t)plain.n };

		memcpy(buf + 2, plain.p, plain.n);
		memcpy(buf + 2 + plain.n, pad.p, pad.n);
		assert_int_equal(want.n, 2 + plain.n + pad.n);
		avp_hide(v->attr, &secret, &vector, buf, want.n);
		assert_memory_equal(buf, want.p, want.n);
		free(s.p);
		free(rv.p);
		free(plain.p);
		free(pad.p);
		free(want.p);
	}
}

/* V2-4.3-03, V2-4.3-04, V2-4.3-11: values of 0 to 1013 octets, padding of 0, 1, 15, 200 */
static void unhide_what_others_hid(void **state)
{
	for (size_t i = 0; i < COUNT(vec_hidden); i++) {
		const struct vec_hidden *v = &vec_hidden[i];
		struct octets s = octets_hex(v->secret), rv = octets_hex(v->vector);
		struct octets plain = octets_hex(v->plain), cipher = octets_hex(v->cipher);
		struct octets space = octets_copy(plain.p, plain.n);
		struct l2tp_secret secret = secret_of(&s);
		struct l2tp_bytes vector = bytes_of(&rv), got;
		/* exactly as much room as the value needs: the padding must not need any */
		struct avp_room room = { space.p, 0, plain.n };

		assert_int_equal(avp_unhide(v->attr, &secret, &vector, cipher.p, (uint16_t)cipher.n,
					    &room, &got),
				 AVP_UNHIDE_OK);
		assert_int_equal(got.n, plain.n);
		assert_memory_equal(got.p, plain.p, plain.n);
		assert_int_equal(room.used, plain.n);
		free(s.p);
		free(rv.p);
		free(plain.p);
		free(cipher.p);
		free(space.p);
	}
}

/* V2-4.3-08, H05 */
static void unhide_too_short(void **state)
{
	const struct l2tp_secret secret = { (const uint8_t *)"s", 1 };
	const struct l2tp_bytes vector = { (const uint8_t *)"v", 1 };
	uint8_t space[16];
	struct avp_room room = { space, 0, sizeof(space) };
	struct l2tp_bytes got = { NULL, 77 };

	for (uint16_t n = 0; n < 2; n++) {
		struct octets o = octets_copy("xx", n);

		assert_int_equal(avp_unhide(9, &secret, &vector, o.p, n, &room, &got),
				 AVP_UNHIDE_SHORT);
		free(o.p);
	}
	assert_int_equal(got.n, 77);
	assert_int_equal(room.used, 0);
}

/* V2-4.3-07, H02: every original length in a value of up to 40 octets, none reads past it */
static void unhide_every_length(void **state)
{
	const struct l2tp_secret secret = { (const uint8_t *)"secret", 6 };
	const struct l2tp_bytes vector = { (const uint8_t *)"vector", 6 };
	static const uint16_t sizes[] = { 2, 3, 14, 16, 17, 40 };
	uint8_t space[64];

	for (size_t k = 0; k < COUNT(sizes); k++) {
		for (uint32_t len = 0; len <= UINT16_MAX; len++) {
			struct avp_room room = { space, 0, sizeof(space) };
			struct l2tp_bytes got = { NULL, 0 };
			uint8_t plain[40] = { (uint8_t)(len >> 8), (uint8_t)len };
			struct octets o;
			enum avp_unhide r;

			if (len > 100 && len < 65400 && len % 251)
				continue;
			o = octets_copy(plain, sizes[k]);
			avp_hide(11, &secret, &vector, o.p, o.n);
			r = avp_unhide(11, &secret, &vector, o.p, (uint16_t)o.n, &room, &got);
			assert_int_equal(r,
					 len <= sizes[k] - 2U ? AVP_UNHIDE_OK : AVP_UNHIDE_LENGTH);
			assert_int_equal(got.n, r == AVP_UNHIDE_OK ? len : 0);
			free(o.p);
		}
	}
}

static void unhide_without_room(void **state)
{
	const struct l2tp_secret secret = { (const uint8_t *)"secret", 6 };
	const struct l2tp_bytes vector = { (const uint8_t *)"vector", 6 };
	uint8_t value[22] = { 0, 20 }, space[30];
	struct avp_room room = { space, 11, sizeof(space) };
	struct l2tp_bytes got = { NULL, 0 };

	avp_hide(11, &secret, &vector, value, sizeof(value));
	assert_int_equal(avp_unhide(11, &secret, &vector, value, sizeof(value), &room, &got),
			 AVP_UNHIDE_ROOM);
	assert_null(got.p);
	assert_int_equal(room.used, 11);
	room.used = 10;
	assert_int_equal(avp_unhide(11, &secret, &vector, value, sizeof(value), &room, &got),
			 AVP_UNHIDE_OK);
	assert_int_equal(room.used, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenge_response),	  cmocka_unit_test(hide_as_others_do),
		cmocka_unit_test(unhide_what_others_hid), cmocka_unit_test(unhide_too_short),
		cmocka_unit_test(unhide_every_length),	  cmocka_unit_test(unhide_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
