/* SPDX-License-Identifier: MIT
 *
 * The kernel plane over an upgrade, see kernel_carry.h. What is not carried is found anew: readings
 * of counters begin again, and what vanished meanwhile is noticed by the first one.
 */
#include "kernel_carry.h"

#include <errno.h>
#include <stdlib.h>

#include "base/addr.h"
#include "kernel_int.h"

enum {
	REC_PLANE = CARRY_KERNEL | 1,
	REC_NETNS = CARRY_KERNEL | CARRY_MUST | 2,
	REC_TUNNEL = CARRY_KERNEL | CARRY_MUST | 3,
	REC_SESSION = CARRY_KERNEL | CARRY_MUST | 4
};

enum {
	F_KEY = 1, /* u64 */
	F_GENERATION = 2,
	F_FD = 3,
	F_GROUP = 4,
	F_NAMES = 5,
	F_ID = 6,
	F_SOCKET = 7, /* of a worker, may repeat */
	F_KIND = 8,   /* u8 version, encap; u8 bits: 1 managed, 2 no checksum */
	F_IDS = 9,    /* u32 local, remote */
	F_PATH = 10,  /* addr_save() local, remote */
	F_MARK = 11,
	F_TOS = 12,
	F_DEVICE = 13,
	F_HEARD = 14,  /* u64 */
	F_TUNNEL = 15, /* u64 key */
	F_ROW = 16,
	F_SESSION = 17,
	F_NETNS = 18,
	F_PARTNER = 19, /* u64 */
	F_STAGE = 20,	/* u8 enum kstage; u8 bits: 1 session, 2 joinable */
	F_PPPOX = 21,
	F_CHAN = 22,
	F_UNIT = 23,
	F_INDEX = 24,
	F_IFNAME = 25,
	F_PACKET = 27,	/* the socket for the IPv6 of links in a namespace */
	F_SHUT = 28,	/* u64 */
	F_COUNTERS = 26 /* u64 packets and octets in, out; errors in, out; times of the last */
};

bool kernel_idle(const struct kernel *k)
{
	if (k->count.busy || k->stats || k->drop || k->inflight || !list_empty(&k->done) ||
	    !list_empty(&k->frames) || !list_empty(&k->gone_sessions) ||
	    !list_empty(&k->gone_tunnels) || !list_empty(&k->ready_tunnels) ||
	    !list_empty(&k->ready_sessions))
		return false;
	list_for_each (at, &k->all_tunnels) {
		const struct ktunnel *t = container_of(at, struct ktunnel, all);

		if (t->busy || !t->up || t->lost || t->ends)
			return false;
	}
	list_for_each (at, &k->all_sessions) {
		const struct ksession *s = container_of(at, struct ksession, all);

		if (s->busy || s->end || s->have.stage == K_NONE)
			return false;
	}
	return true;
}

/* ---- writing ---- */

static void netns_carry(const struct kernel *k, uint32_t slot, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_NETNS);

	wcur_tlv_u32(w, F_ID, k->netns[slot].id);
	carry_fd(c, F_FD, k->netns[slot].fd);
	carry_fd(c, F_PACKET, k->netns[slot].packet);
	for (unsigned int i = 0; i < k->worker_n; i++)
		carry_fd(c, F_SOCKET, k->workers[i].rt[slot]->fd);
	carry_end(c);
}

static void tunnel_carry(const struct ktunnel *t, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_TUNNEL);
	size_t at;

	wcur_tlv_u64(w, F_KEY, t->key);
	wcur_tlv_u32(w, F_GENERATION, t->generation);
	wcur_tlv_u32(w, F_GROUP, t->group);
	wcur_tlv_u64(w, F_HEARD, (uint64_t)t->heard.us);
	at = wcur_tlv_begin(w, F_KIND);
	wcur_u8(w, t->is.version);
	wcur_u8(w, t->is.encap);
	wcur_u8(w, (uint8_t)(t->is.managed | t->is.no_checksum << 1));
	wcur_tlv_end(w, at);
	at = wcur_tlv_begin(w, F_IDS);
	wcur_u32(w, t->is.local_id);
	wcur_u32(w, t->is.remote_id);
	wcur_tlv_end(w, at);
	at = wcur_tlv_begin(w, F_PATH);
	addr_save(w, &t->is.path.local);
	addr_save(w, &t->is.path.remote);
	wcur_tlv_end(w, at);
	wcur_tlv_u32(w, F_MARK, t->is.mark);
	wcur_tlv_u32(w, F_TOS, t->is.tos);
	carry_text(c, F_DEVICE, t->is.device);
	carry_fd(c, F_FD, t->fd);
	carry_end(c);
}

static void session_carry(const struct ksession *s, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_SESSION);
	uint8_t flat[K_ROW_MAX];
	size_t at;

	wcur_tlv_u64(w, F_KEY, s->key);
	wcur_tlv_u64(w, F_TUNNEL, s->tunnel ? s->tunnel->key : 0);
	wcur_tlv_u32(w, F_GENERATION, s->generation);
	wcur_tlv_bytes(w, F_ROW, flat, krow_flat(s, flat));
	wcur_tlv_u32(w, F_SESSION, s->local_session);
	wcur_tlv_u32(w, F_NETNS, s->netns);
	wcur_tlv_u64(w, F_PARTNER, krow_partner(s)); /* for a former keeper */
	wcur_tlv_u64(w, F_SHUT, (uint64_t)s->shut_at.us);
	at = wcur_tlv_begin(w, F_STAGE);
	wcur_u8(w, s->have.stage);
	wcur_u8(w, (uint8_t)(s->have.session | s->joinable << 1));
	wcur_tlv_end(w, at);
	carry_fd(c, F_PPPOX, s->have.pppox);
	carry_fd(c, F_CHAN, s->have.chan);
	carry_fd(c, F_UNIT, s->have.unit);
	wcur_tlv_u32(w, F_INDEX, (uint32_t)s->have.ifindex);
	carry_text(c, F_IFNAME, s->have.ifname);
	at = wcur_tlv_begin(w, F_COUNTERS);
	wcur_u64(w, s->rx_packets);
	wcur_u64(w, s->rx_bytes);
	wcur_u64(w, s->tx_packets);
	wcur_u64(w, s->tx_bytes);
	wcur_u64(w, s->errors);
	wcur_u64(w, 0); /* a former keeper counts those of sending apart */
	wcur_u64(w, (uint64_t)s->last_rx.us);
	wcur_u64(w, (uint64_t)s->last_tx.us);
	wcur_tlv_end(w, at);
	carry_end(c);
}

void kernel_carry(const struct kernel *k, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_PLANE);

	wcur_tlv_u32(w, F_NAMES, atomic_load(&k->names));
	carry_end(c);
	for (uint32_t i = 1; i < k->netns_n; i++)
		netns_carry(k, i, c);
	list_for_each (at, &k->all_tunnels) {
		tunnel_carry(container_of(at, struct ktunnel, all), c);
	}
	list_for_each (at, &k->all_sessions) {
		session_carry(container_of(at, struct ksession, all), c);
	}
}

/* ---- reading ---- */

static int plane_carried(struct kernel *k, struct rcur v)
{
	uint16_t field;
	struct rcur f;

	while (rcur_tlv(&v, &field, &f))
		if (field == F_NAMES)
			atomic_store(&k->names, rcur_u32(&f));
	return v.bad ? -EBADMSG : 0;
}

static int netns_carried(struct kernel *k, struct rcur v)
{
	uint32_t slot = k->netns_n, n = 0;
	struct knetns ns = { .fd = -1, .packet = -1 };
	uint16_t field;
	struct rcur f;

	if (slot == KERNEL_NETNS_MAX)
		return -EBADMSG;
	while (rcur_tlv(&v, &field, &f)) {
		if (field == F_ID) {
			ns.id = rcur_u32(&f);
		} else if (field == F_FD) {
			ns.fd = (int)rcur_u32(&f);
		} else if (field == F_PACKET) {
			ns.packet = (int)rcur_u32(&f);
		} else if (field == F_SOCKET && n < k->worker_n) {
			struct nlm *m = calloc(1, sizeof(*m));

			if (!m)
				return -ENOMEM;
			m->sys = k->sys;
			m->fd = (int)rcur_u32(&f);
			k->workers[n++].rt[slot] = m;
		}
	}
	if (v.bad || !ns.id || ns.fd < 0 || n < k->worker_n)
		return -EBADMSG;
	k->netns[slot] = ns;
	k->netns_n++;
	return 0;
}

static void tunnel_field(struct ktunnel *t, uint16_t field, struct rcur f, bool *ret_ok)
{
	uint8_t bits;

	switch (field) {
	case F_GENERATION:
		t->generation = rcur_u32(&f);
		break;
	case F_GROUP:
		t->group = rcur_u32(&f);
		break;
	case F_HEARD:
		t->heard.us = (int64_t)rcur_u64(&f);
		break;
	case F_KIND:
		t->is.version = rcur_u8(&f);
		t->is.encap = rcur_u8(&f);
		bits = rcur_u8(&f);
		t->is.managed = bits & 1;
		t->is.no_checksum = bits & 2;
		break;
	case F_IDS:
		t->is.local_id = rcur_u32(&f);
		t->is.remote_id = rcur_u32(&f);
		break;
	case F_PATH:
		addr_load(&f, &t->is.path.local);
		addr_load(&f, &t->is.path.remote);
		break;
	case F_MARK:
		t->is.mark = rcur_u32(&f);
		break;
	case F_TOS:
		t->is.tos = (uint8_t)rcur_u32(&f);
		break;
	case F_DEVICE:
		*ret_ok = carry_text_load(f, t->is.device, sizeof(t->is.device));
		break;
	case F_FD:
		t->fd = (int)rcur_u32(&f);
		break;
	default:
		break;
	}
	*ret_ok = *ret_ok && !f.bad;
}

/* The key comes first in a record. */
static bool key_read(struct rcur *v, uint64_t *ret)
{
	uint16_t field;
	struct rcur f;

	if (!rcur_tlv(v, &field, &f) || field != F_KEY)
		return false;
	*ret = rcur_u64(&f);
	return !f.bad;
}

static int tunnel_carried(struct kernel *k, struct rcur v)
{
	struct ktunnel *t;
	uint16_t field;
	struct rcur f;
	uint64_t key;
	bool ok = true;
	uint32_t group;
	uint16_t groups = k->config.groups;

	if (!key_read(&v, &key) || ktunnel_find(k, key))
		return -EBADMSG;
	t = ktunnel_new(k, key);
	if (!t)
		return -ENOMEM;
	while (ok && rcur_tlv(&v, &field, &f))
		tunnel_field(t, field, f, &ok);
	group = t->group & KERNEL_GROUP_COUNT;
	if (!ok || v.bad || (t->group && !KERNEL_GROUP_IS(groups, t->group)) ||
	    !kernel_tunnel_ok(&t->is))
		return -EBADMSG;
	if (t->group && group != KERNEL_GROUP_COUNT) {
		k->groups[group / 8] |= (uint8_t)(1u << group % 8);
		k->next_group = group + 1;
	}
	t->up = true;
	return 0;
}

static void counters_read(struct ksession *s, struct rcur *f)
{
	s->rx_packets = rcur_u64(f);
	s->rx_bytes = rcur_u64(f);
	s->tx_packets = rcur_u64(f);
	s->tx_bytes = rcur_u64(f);
	s->errors = rcur_u64(f);
	s->errors += rcur_u64(f);
	s->last_rx.us = (int64_t)rcur_u64(f);
	s->last_tx.us = (int64_t)rcur_u64(f);
}

static bool row_read(struct ksession *s, struct rcur f)
{
	size_t n = rcur_left(&f);
	struct rcur look = f;
	struct dp_row row;

	return !s->row && n <= K_ROW_MAX && dp_row_load(&look, &row) && krow_keep(s, f.p, n) == 0;
}

static bool have_field(struct ksession *s, uint16_t field, struct rcur f)
{
	struct khave *h = &s->have;
	uint8_t bits;

	switch (field) {
	case F_STAGE:
		h->stage = rcur_u8(&f);
		bits = rcur_u8(&f);
		h->session = bits & 1;
		s->joinable = bits & 2;
		break;
	case F_PPPOX:
		h->pppox = (int)rcur_u32(&f);
		break;
	case F_CHAN:
		h->chan = (int)rcur_u32(&f);
		break;
	case F_UNIT:
		h->unit = (int)rcur_u32(&f);
		break;
	case F_INDEX:
		h->ifindex = (int)rcur_u32(&f);
		break;
	case F_IFNAME:
		return carry_text_load(f, h->ifname, sizeof(h->ifname));
	default:
		break;
	}
	return !f.bad;
}

static bool session_field(struct kernel *k, struct ksession *s, uint16_t field, struct rcur f)
{
	struct ktunnel *t;

	switch (field) {
	case F_TUNNEL:
		t = ktunnel_find(k, rcur_u64(&f));
		if (t && !s->tunnel)
			ksession_enter(s, t);
		return s->tunnel != NULL;
	case F_GENERATION:
		s->generation = rcur_u32(&f);
		break;
	case F_ROW:
		return row_read(s, f);
	case F_SESSION:
		s->local_session = rcur_u32(&f);
		break;
	case F_NETNS:
		s->netns = rcur_u32(&f);
		break;
	case F_SHUT:
		s->shut_at.us = (int64_t)rcur_u64(&f);
		break;
	case F_COUNTERS:
		counters_read(s, &f);
		break;
	default:
		return have_field(s, field, f);
	}
	return !f.bad;
}

static int session_carried(struct kernel *k, struct rcur v)
{
	struct ksession *s;
	uint16_t field;
	struct rcur f;
	uint64_t key;
	bool ok = true;

	if (!key_read(&v, &key) || ksession_find(k, key))
		return -EBADMSG;
	s = ksession_new(k, key);
	if (!s)
		return -ENOMEM;
	while (ok && rcur_tlv(&v, &field, &f))
		ok = session_field(k, s, field, f);
	return ok && !v.bad && s->row && s->tunnel && s->have.stage > K_NONE &&
			       s->have.stage <= K_ETH
		       ? 0
		       : -EBADMSG;
}

int kernel_carried(struct kernel *k, uint16_t tag, struct rcur v)
{
	switch (tag) {
	case REC_PLANE:
		return plane_carried(k, v);
	case REC_NETNS:
		return netns_carried(k, v);
	case REC_TUNNEL:
		return tunnel_carried(k, v);
	case REC_SESSION:
		return session_carried(k, v);
	default:
		return 1;
	}
}

void kernel_resume(struct kernel *k)
{
	for (uint32_t i = 1; i < k->netns_n; i++)
		kframe_watch_packet(k, i);
	list_for_each (at, &k->all_sessions) {
		struct ksession *s = container_of(at, struct ksession, all);

		ksession_up(k, s);
		ksession_check(k, s, LOOKS_LOST); /* what was deleted while nobody listened */
	}
	list_for_each (at, &k->all_tunnels)
		ktunnel_check(k, container_of(at, struct ktunnel, all), LOOKS_LOST);
}
