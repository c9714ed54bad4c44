/* SPDX-License-Identifier: MIT
 *
 * The keeper's side of the kernel plane over an upgrade of the keeper; see plane_int.h.
 */
#include "plane_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "dp/kernel_carry.h"

enum {
	REC_PLANE = CARRY_PLANE | CARRY_MUST | 1,
	REC_TUNNEL = CARRY_PLANE | CARRY_MUST | 2,
	REC_HELD = CARRY_PLANE | CARRY_MUST | 3
};

enum {
	F_EPOCH = 1,
	F_GENERATION = 2,
	F_BITS = 3,
	F_LOCAL = 4, /* a prefix (addr_save(), u8), may repeat; the id of a tunnel */
	F_GAPS = 5,  /* u32 how many there are to know, u32 gaps, u32 bits of the rest */
	F_RELEASE = 6,
	F_KEY = 7,     /* u64 */
	F_COUNT = 8,   /* u64 packets in, out */
	F_PIN = 9,     /* addr_save() */
	F_LAST = 10,   /* batch_counters_save() */
	F_GROUPS = 11, /* kernel_config.groups */
	F_CLAIM = 12
};

#define BIT_KERNEL 1u
#define BIT_LISTED 2u
#define BIT_MADE   4u
#define BIT_PINNED 8u
#define BIT_ENDED  16u
#define BIT_VRF	   32u

bool kplane_settle(struct kplane *p, struct mono now)
{
	kplane_work(p, now);
	return !p->k || kernel_idle(p->k);
}

/* ---- writing ---- */

static void probe_carry(const struct kplane *p, struct wcur *w)
{
	size_t at = wcur_tlv_begin(w, F_GAPS);

	wcur_u32(w, KERNEL_GAP_COUNT);
	wcur_u32(w, p->probe.gaps);
	wcur_u32(w, (uint32_t)(p->probe.icmp_errors | p->probe.async_delete << 1 |
			       p->probe.gchan_drains << 2 | p->probe.socket_reusable << 3));
	wcur_tlv_end(w, at);
	wcur_tlv_bytes(w, F_RELEASE, p->probe.release,
		       strnlen(p->probe.release, sizeof(p->probe.release)));
}

void kplane_carry(const struct kplane *p, struct carry *c)
{
	static const struct dp_counters none;
	static const struct addr nowhere;
	struct wcur *w = carry_begin(c, REC_PLANE);
	struct htab_node *n = NULL;
	uint64_t pos = 0;
	size_t at;

	wcur_tlv_u32(w, F_EPOCH, p->epoch);
	wcur_tlv_u32(w, F_GENERATION, p->generation);
	for (uint8_t i = 0; i < p->local_count; i++) {
		at = wcur_tlv_begin(w, F_LOCAL);
		addr_save(w, &p->local[i].addr);
		wcur_u8(w, p->local[i].len);
		wcur_tlv_end(w, at);
	}
	if (p->probed)
		probe_carry(p, w);
	if (p->groups)
		wcur_tlv_u32(w, F_GROUPS, p->groups);
	if (p->claim >= 0)
		carry_fd(c, F_CLAIM, p->claim);
	/* last: with it the plane is opened */
	wcur_tlv_u32(w, F_BITS, (p->k ? BIT_KERNEL : 0) | (p->listed ? BIT_LISTED : 0));
	carry_end(c);
	while ((n = htab_walk(&p->tunnels, &pos, n))) {
		const struct htunnel *t = container_of(n, struct htunnel, node);

		w = carry_begin(c, REC_TUNNEL);
		wcur_tlv_u32(w, F_LOCAL, t->local);
		wcur_tlv_u32(w, F_EPOCH, t->epoch);
		wcur_tlv_u32(w, F_GENERATION, t->generation);
		carry_end(c);
	}
	pos = 0;
	while ((n = htab_walk(&p->held, &pos, n))) {
		const struct held *h = container_of(n, struct held, node);

		w = carry_begin(c, REC_HELD);
		wcur_tlv_u64(w, F_KEY, h->key);
		at = wcur_tlv_begin(w, F_COUNT);
		wcur_u64(w, h->rx);
		wcur_u64(w, h->tx);
		wcur_tlv_end(w, at);
		wcur_tlv_u32(w, F_BITS,
			     (h->made ? BIT_MADE : 0) | (h->pin ? BIT_PINNED : 0) |
				     (h->ended ? BIT_ENDED : 0) | (h->on_vrf ? BIT_VRF : 0));
		wcur_tlv_u32(w, F_EPOCH, h->epoch);
		at = wcur_tlv_begin(w, F_LAST);
		batch_counters_save(w, h->last ? h->last : &none);
		wcur_tlv_end(w, at);
		at = wcur_tlv_begin(w, F_PIN);
		addr_save(w, h->pin ? h->pin : &nowhere);
		wcur_tlv_end(w, at);
		carry_end(c);
	}
	wires_carry(p->wires, c);
	if (p->k)
		kernel_carry(p->k, c);
}

/* ---- reading ---- */

/* What the former keeper found out about the kernel holds, if it knew all there is to ask. */
static void probe_carried(struct kplane *p, struct rcur *f)
{
	uint32_t count = rcur_u32(f), gaps = rcur_u32(f), bits = rcur_u32(f);

	if (f->bad || count != KERNEL_GAP_COUNT)
		return;
	p->probe.gaps = gaps;
	p->probe.icmp_errors = bits & 1;
	p->probe.async_delete = bits & 2;
	p->probe.gchan_drains = bits & 4;
	p->probe.socket_reusable = bits & 8;
	p->probed = true;
}

static bool local_carried(struct kplane *p, struct rcur *f)
{
	struct prefix *l = &p->local[p->local_count];

	if (p->local_count == DP_NET_MAX)
		return false;
	addr_load(f, &l->addr);
	l->len = rcur_u8(f);
	p->local_count++;
	return !f->bad;
}

static int plane_carried(struct kplane *p, struct rcur v)
{
	uint32_t bits = 0;
	uint16_t field;
	struct rcur f;
	bool ok = true;

	while (ok && rcur_tlv(&v, &field, &f)) {
		if (field == F_EPOCH)
			p->epoch = rcur_u32(&f);
		else if (field == F_GENERATION)
			p->generation = rcur_u32(&f);
		else if (field == F_LOCAL)
			ok = local_carried(p, &f);
		else if (field == F_GAPS)
			probe_carried(p, &f);
		else if (field == F_RELEASE)
			ok = carry_text_load(f, p->probe.release, sizeof(p->probe.release));
		else if (field == F_BITS)
			bits = rcur_u32(&f);
		else if (field == F_GROUPS)
			p->groups = (uint16_t)rcur_u32(&f);
		else if (field == F_CLAIM)
			p->claim = (int)rcur_u32(&f);
	}
	if (!ok || v.bad || (p->groups && !KERNEL_GROUPS_OK(p->groups)))
		return -EBADMSG;
	/* before there was a choice */
	if (bits & BIT_KERNEL && !p->groups)
		p->groups = KERNEL_GROUPS;
	p->listed = bits & BIT_LISTED;
	if (bits & BIT_KERNEL) {
		kplane_open(p, false);
		if (!p->k)
			return -ENODEV; /* p->missing has said it */
	}
	return 0;
}

static int tunnel_carried(struct kplane *p, struct rcur v)
{
	struct htunnel from = { 0 }, *t;
	uint16_t field;
	struct rcur f;

	while (rcur_tlv(&v, &field, &f)) {
		if (field == F_LOCAL)
			from.local = rcur_u32(&f);
		else if (field == F_EPOCH)
			from.epoch = rcur_u32(&f);
		else if (field == F_GENERATION)
			from.generation = rcur_u32(&f);
	}
	if (v.bad || !from.local)
		return -EBADMSG;
	t = kplane_tunnel_make(p, from.local);
	if (!t)
		return -ENOMEM;
	t->epoch = from.epoch;
	t->generation = from.generation;
	return 0;
}

static int held_carried(struct kplane *p, struct rcur v)
{
	struct held from = { 0 }, *h;
	struct dp_counters last = { 0 };
	struct addr pin = { 0 };
	uint32_t bits = 0;
	uint16_t field;
	struct rcur f;

	while (rcur_tlv(&v, &field, &f)) {
		if (field == F_KEY) {
			from.key = rcur_u64(&f);
		} else if (field == F_COUNT) {
			from.rx = (uint32_t)rcur_u64(&f);
			from.tx = (uint32_t)rcur_u64(&f);
		} else if (field == F_BITS) {
			bits = rcur_u32(&f);
		} else if (field == F_PIN) {
			addr_load(&f, &pin);
		} else if (field == F_EPOCH) {
			from.epoch = rcur_u32(&f);
		} else if (field == F_LAST) {
			batch_counters_load(&f, &last);
		}
	}
	if (v.bad)
		return -EBADMSG;
	h = kplane_held_make(p, from.key);
	if (!h)
		return -ENOMEM;
	h->rx = from.rx;
	h->tx = from.tx;
	h->made = bits & BIT_MADE;
	h->on_vrf = bits & BIT_VRF;
	if (bits & BIT_PINNED) {
		h->pin = malloc(sizeof(*h->pin));
		if (!h->pin)
			return -ENOMEM;
		*h->pin = pin;
	}
	if (bits & BIT_ENDED)
		kplane_held_ended(p, h, &last);
	h->epoch = from.epoch;
	return 0;
}

int kplane_carried(struct kplane *p, uint16_t tag, struct rcur v)
{
	if (CARRY_FROM(tag) == CARRY_KERNEL)
		return p->k ? kernel_carried(p->k, tag, v) : -EBADMSG;
	switch (tag) {
	case REC_PLANE:
		return plane_carried(p, v);
	case REC_TUNNEL:
		return tunnel_carried(p, v);
	case REC_HELD:
		return held_carried(p, v);
	default:
		return wires_carried(p->wires, tag, v);
	}
}

void kplane_resumed(struct kplane *p, struct mono now)
{
	if (p->k)
		kernel_resume(p->k);
	kplane_conf(p, p->conf, now);
}
