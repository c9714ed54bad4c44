/* SPDX-License-Identifier: MIT
 *
 * Bounds-checked cursors: the only way bytes of the wire are read or built.
 *
 * Both cursors have a sticky error: after a read past the end every further read gives zeros, after
 * a write past the end nothing more is written. So a parser reads all fields and asks once, at the
 * end, whether the bytes were really there. Network byte order throughout.
 */
#ifndef ADIT_WIRE_H
#define ADIT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rcur {
	const uint8_t *p, *end;
	bool bad; /* a read went past the end */
};

static inline struct rcur rcur_of(const void *bytes, size_t len)
{
	return (struct rcur){ bytes, bytes ? (const uint8_t *)bytes + len : bytes, false };
}

static inline size_t rcur_left(const struct rcur *c)
{
	return (size_t)(c->end - c->p);
}

/* The next `n` octets in place, or NULL (and the cursor turns bad) when there are fewer. */
static inline const uint8_t *rcur_take(struct rcur *c, size_t n)
{
	const uint8_t *at = c->p;

	if (c->bad || rcur_left(c) < n) {
		c->bad = true;
		c->p = c->end;
		return NULL;
	}
	c->p += n;
	return at;
}

static inline uint8_t rcur_u8(struct rcur *c)
{
	const uint8_t *p = rcur_take(c, 1);

	return p ? p[0] : 0;
}

static inline uint16_t rcur_u16(struct rcur *c)
{
	const uint8_t *p = rcur_take(c, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t rcur_u32(struct rcur *c)
{
	const uint8_t *p = rcur_take(c, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline uint64_t rcur_u64(struct rcur *c)
{
	uint64_t hi = rcur_u32(c);

	return hi << 32 | rcur_u32(c);
}

/* Copy `n` octets; on a short cursor `dst` is zeroed. */
static inline void rcur_copy(struct rcur *c, void *dst, size_t n)
{
	const uint8_t *p = rcur_take(c, n);

	if (p && n)
		memcpy(dst, p, n);
	else if (n)
		memset(dst, 0, n);
}

/* A cursor over the next `n` octets of `c`, which is moved past them. Bad when there are fewer. */
static inline struct rcur rcur_sub(struct rcur *c, size_t n)
{
	const uint8_t *p = rcur_take(c, n);
	struct rcur sub = rcur_of(p, p ? n : 0);

	sub.bad = !p;
	return sub;
}

struct wcur {
	uint8_t *buf;
	size_t len, cap;
	bool bad; /* a write did not fit */
};

static inline struct wcur wcur_of(void *buf, size_t cap)
{
	return (struct wcur){ buf, 0, cap, false };
}

/* Room for `n` octets to be filled by the caller, or NULL (and the cursor turns bad). */
static inline uint8_t *wcur_room(struct wcur *c, size_t n)
{
	uint8_t *at = c->buf + c->len;

	if (c->bad || c->cap - c->len < n) {
		c->bad = true;
		return NULL;
	}
	c->len += n;
	return at;
}

static inline void wcur_u8(struct wcur *c, uint8_t v)
{
	uint8_t *p = wcur_room(c, 1);

	if (p)
		p[0] = v;
}

static inline void wcur_u16(struct wcur *c, uint16_t v)
{
	uint8_t *p = wcur_room(c, 2);

	if (p) {
		p[0] = (uint8_t)(v >> 8);
		p[1] = (uint8_t)v;
	}
}

static inline void wcur_u32(struct wcur *c, uint32_t v)
{
	uint8_t *p = wcur_room(c, 4); /* looked for once: records are full of these */

	for (int i = 0; p && i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static inline void wcur_u64(struct wcur *c, uint64_t v)
{
	uint8_t *p = wcur_room(c, 8);

	for (int i = 0; p && i < 8; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static inline void wcur_bytes(struct wcur *c, const void *bytes, size_t n)
{
	uint8_t *p = wcur_room(c, n);

	if (p && n)
		memcpy(p, bytes, n);
}

/* Overwrite two octets written earlier at offset `at`; used for lengths known only at the end. */
static inline void wcur_patch_u16(struct wcur *c, size_t at, uint16_t v)
{
	if (c->bad || at + 2 > c->len) {
		c->bad = true;
		return;
	}
	c->buf[at] = (uint8_t)(v >> 8);
	c->buf[at + 1] = (uint8_t)v;
}

/*
 * Records that outlive the process: a sequence of (u16 tag, u16 length, value). A reader skips tags
 * it does not know, so an older daemon can read what a newer one wrote.
 */
static inline size_t wcur_tlv_begin(struct wcur *c, uint16_t tag)
{
	wcur_u16(c, tag);
	wcur_u16(c, 0);
	return c->len;
}

static inline void wcur_tlv_end(struct wcur *c, size_t begun)
{
	if (c->len - begun > UINT16_MAX)
		c->bad = true;
	wcur_patch_u16(c, begun - 2, (uint16_t)(c->len - begun));
}

static inline void wcur_tlv_u32(struct wcur *c, uint16_t tag, uint32_t v)
{
	wcur_u16(c, tag);
	wcur_u16(c, 4);
	wcur_u32(c, v);
}

static inline void wcur_tlv_u64(struct wcur *c, uint16_t tag, uint64_t v)
{
	wcur_u16(c, tag);
	wcur_u16(c, 8);
	wcur_u64(c, v);
}

static inline void wcur_tlv_bytes(struct wcur *c, uint16_t tag, const void *bytes, size_t n)
{
	if (n > UINT16_MAX)
		c->bad = true;
	wcur_u16(c, tag);
	wcur_u16(c, (uint16_t)n);
	wcur_bytes(c, bytes, n);
}

/* The next record: true with its tag and a cursor over its value, false at the end or when bad. */
static inline bool rcur_tlv(struct rcur *c, uint16_t *ret_tag, struct rcur *ret_value)
{
	uint16_t tag, len;
	struct rcur value;

	if (c->bad || rcur_left(c) == 0)
		return false;
	tag = rcur_u16(c);
	len = rcur_u16(c);
	value = rcur_sub(c, len);
	if (c->bad)
		return false;
	*ret_tag = tag;
	*ret_value = value;
	return true;
}

#endif
