/* SPDX-License-Identifier: MIT
 *
 * For the tests of the codec: octets from hex text, and messages put together by hand, without the
 * code under test.
 */
#ifndef ADIT_TEST_L2TP_RAW_H
#define ADIT_TEST_L2TP_RAW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "l2tp/avp.h"

/* Octets on the heap, of exactly their length, so that the sanitizer sees a read past them. */
struct octets {
	uint8_t *p;
	size_t n;
};

static inline struct octets octets_copy(const void *p, size_t n)
{
	struct octets o = { malloc(n ? n : 1), n };

	assert_non_null(o.p);
	if (n)
		memcpy(o.p, p, n);
	return o;
}

static inline struct octets octets_hex(const char *hex)
{
	size_t n = strlen(hex) / 2;
	struct octets o = { malloc(n ? n : 1), n };

	assert_non_null(o.p);
	for (size_t i = 0; i < n; i++) {
		char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		o.p[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return o;
}

/* AVPs, one after the other. M, H: AVP_FLAG_*; any other bit of the first word may be given too. */
struct raw {
	uint8_t buf[70000];
	size_t n;
};

static inline void raw_octets(struct raw *r, const void *p, size_t n)
{
	assert_true(r->n + n <= sizeof(r->buf));
	if (n)
		memcpy(r->buf + r->n, p, n);
	r->n += n;
}

static inline void raw_u16(struct raw *r, unsigned v)
{
	uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	raw_octets(r, b, 2);
}

static inline void raw_avp(struct raw *r, unsigned flags, unsigned vendor, unsigned type,
			   const void *v, size_t n)
{
	raw_u16(r, flags | (unsigned)(n + 6));
	raw_u16(r, vendor);
	raw_u16(r, type);
	raw_octets(r, v, n);
}

/* A number of n octets. */
static inline void raw_num(struct raw *r, unsigned flags, unsigned type, size_t n, uint64_t v)
{
	uint8_t b[8];

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> 8 * (n - 1 - i));
	raw_avp(r, flags, 0, type, b, n);
}

#define M AVP_FLAG_M
#define H AVP_FLAG_H

static inline void raw_begin(struct raw *r, unsigned type)
{
	r->n = 0;
	raw_num(r, M, 0, 2, type);
}

#endif
