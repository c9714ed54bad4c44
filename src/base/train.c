/* SPDX-License-Identifier: MIT
 *
 * See train.h. A datagram joins the latest train of its path and length, unless a train behind that
 * one carries something it must not overtake. Whose it is, is read from its header (RFC 2661 3.1);
 * one that cannot be read overtakes nothing on its path. The sets of `seen` are by hash: where two
 * fall together, a train is shorter than it could be, nothing worse.
 */
#include "train.h"

#include <string.h>

#include "addr.h"
#include "wire.h"

#define HEAD_T	 0x8000u
#define HEAD_L	 0x4000u
#define HEAD_VER 0x000fu

/* Of whom a datagram is: bits of `seen`. */
struct owner {
	uint64_t bits[4];
};

static uint32_t mix(uint32_t h, uint32_t v)
{
	h = (h ^ v) * 0x9e3779b1u;
	return h ^ h >> 15;
}

static uint32_t way_of(const struct path *p)
{
	struct rcur local = rcur_of(p->local.ip, 16), remote = rcur_of(p->remote.ip, 16);
	uint32_t h = mix(p->via, (uint32_t)p->remote.port << 16 | p->local.port);

	for (int i = 0; i < 4; i++)
		h = mix(mix(h, rcur_u32(&local)), rcur_u32(&remote));
	return h;
}

static void own(struct owner *o, uint32_t what)
{
	uint32_t h = mix(0x2661, what);

	o->bits[h >> 6 & 3] |= UINT64_C(1) << (h & 63);
}

static struct owner owner_of(const uint8_t *bytes, size_t len)
{
	struct rcur c = rcur_of(bytes, len);
	uint16_t flags = rcur_u16(&c), tunnel, session;
	struct owner o = { { 0 } };

	if (flags & HEAD_L)
		rcur_u16(&c);
	tunnel = rcur_u16(&c);
	session = rcur_u16(&c);
	if (c.bad || (flags & HEAD_VER) != 2) {
		memset(&o, 0xff, sizeof(o));
		return o;
	}
	if (flags & HEAD_T)
		own(&o, (uint32_t)tunnel << 16);
	if (session)
		own(&o, (uint32_t)tunnel << 16 | session);
	return o;
}

static bool meets(const struct train *t, const struct owner *o)
{
	return ((t->seen[0] & o->bits[0]) | (t->seen[1] & o->bits[1]) | (t->seen[2] & o->bits[2]) |
		(t->seen[3] & o->bits[3])) != 0;
}

/* The train a datagram may join. NULL: none. */
static struct train *find(struct trains *b, const struct path *path, uint32_t way,
			  const struct owner *o, size_t len, unsigned int most)
{
	for (unsigned int i = b->count; i-- > 0;) {
		struct train *t = &b->train[i];

		if (t->way != way || !path_equal(&t->path, path))
			continue;
		if (t->len == len && t->count < most)
			return t;
		if (meets(t, o))
			break;
	}
	return NULL;
}

void trains_clear(struct trains *b)
{
	b->count = b->packets = 0;
	b->used = 0;
}

uint8_t *trains_room(struct trains *b, size_t need)
{
	if (b->packets == TRAIN_PACKETS || need > TRAIN_ARENA - b->used)
		return NULL;
	return b->arena + b->used;
}

void trains_add(struct trains *b, const struct path *path, const uint8_t *bytes, size_t len,
		unsigned int most)
{
	uint16_t n = (uint16_t)b->packets++;
	uint32_t at = (uint32_t)(bytes - b->arena), way = way_of(path);
	struct owner o = owner_of(bytes, len);
	struct train *t = NULL;

	b->packet[n] = (struct train_packet){ at, (uint16_t)len, 0 };
	b->used = (at + len + 7) & ~(size_t)7;
	if (b->used > TRAIN_ARENA)
		b->used = TRAIN_ARENA;
	if (most > 1 && len <= TRAIN_LONGEST)
		t = find(b, path, way, &o, len, most);
	if (t) {
		b->packet[t->last].next = n;
	} else {
		t = &b->train[b->count++];
		memset(t, 0, sizeof(*t));
		t->path = *path;
		t->way = way;
		t->first = n;
		t->len = (uint16_t)len;
	}
	t->last = n;
	t->count++;
	for (int i = 0; i < 4; i++)
		t->seen[i] |= o.bits[i];
}
