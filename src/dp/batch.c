/* SPDX-License-Identifier: MIT
 *
 * Records between aditd and a data plane in the keeper, from and to plain values; see batch.h.
 */
#include "batch.h"

#include "base/wire.h"

#include <errno.h>

bool dp_tunnel_ok(const struct dp_tunnel *t)
{
	const struct path *p = &t->path;
	uint32_t most = t->version == 3 ? UINT32_MAX : UINT16_MAX;

	return (t->version == 2 || t->version == 3) && t->local && t->remote && t->local <= most &&
	       t->remote <= most && t->encap <= DP_ENCAP_IP &&
	       (t->encap == DP_ENCAP_UDP || t->version == 3) &&
	       (p->local.family == AF_INET || p->local.family == AF_INET6) &&
	       p->local.family == p->remote.family && !addr_is_any(&p->remote) &&
	       (t->encap == DP_ENCAP_IP || (p->local.port && p->remote.port));
}

static void text_save(struct wcur *c, const char *text, size_t cap)
{
	size_t n = strnlen(text, cap - 1);

	wcur_u16(c, (uint16_t)n);
	wcur_bytes(c, text, n);
}

/* `text` has been zeroed. */
static void text_load(struct rcur *c, char *text, size_t cap)
{
	uint16_t n = rcur_u16(c);

	if (n >= cap)
		c->bad = true;
	else
		rcur_copy(c, text, n);
	if (!c->bad && strlen(text) != n)
		c->bad = true;
}

static void tunnel_save(struct wcur *c, const struct dp_tunnel *t)
{
	wcur_u32(c, t->local);
	wcur_u32(c, t->remote);
	wcur_u8(c, t->version);
	wcur_u8(c, t->encap);
	path_save(c, &t->path);
}

static void tunnel_load(struct rcur *c, struct dp_tunnel *t)
{
	t->local = rcur_u32(c);
	t->remote = rcur_u32(c);
	t->version = rcur_u8(c);
	t->encap = rcur_u8(c);
	path_load(c, &t->path);
	if (!dp_tunnel_ok(t))
		c->bad = true;
}

void batch_counters_save(struct wcur *c, const struct dp_counters *n)
{
	wcur_u64(c, n->rx_packets);
	wcur_u64(c, n->rx_bytes);
	wcur_u64(c, n->tx_packets);
	wcur_u64(c, n->tx_bytes);
	wcur_u64(c, n->drop_spoof);
	wcur_u64(c, n->drop_seq);
	wcur_u64(c, n->drop_mtu);
	wcur_u64(c, n->drop_other);
	wcur_u64(c, (uint64_t)n->last_rx.us);
	wcur_u64(c, (uint64_t)n->last_tx.us);
}

void batch_counters_load(struct rcur *c, struct dp_counters *n)
{
	n->rx_packets = rcur_u64(c);
	n->rx_bytes = rcur_u64(c);
	n->tx_packets = rcur_u64(c);
	n->tx_bytes = rcur_u64(c);
	n->drop_spoof = rcur_u64(c);
	n->drop_seq = rcur_u64(c);
	n->drop_mtu = rcur_u64(c);
	n->drop_other = rcur_u64(c);
	n->last_rx.us = (int64_t)rcur_u64(c);
	n->last_tx.us = (int64_t)rcur_u64(c);
	if (n->last_rx.us < 0 || n->last_tx.us < 0)
		c->bad = true;
}

static void value_save(struct wcur *c, const struct batch_record *r)
{
	switch (r->tag) {
	case BATCH_PUT:
	case BATCH_DEL:
		wcur_u64(c, r->key);
		wcur_u32(c, r->generation);
		if (r->tag == BATCH_PUT)
			dp_row_save(c, &r->u.row);
		break;
	case BATCH_NET:
		wcur_u32(c, r->generation);
		dp_net_save(c, &r->u.net);
		break;
	case BATCH_TUNNEL:
		tunnel_save(c, &r->tunnel);
		break;
	case BATCH_TUNNEL_DEL:
		wcur_u32(c, r->tunnel.local);
		break;
	case BATCH_SEND:
	case BATCH_PUNT:
		wcur_u64(c, r->key);
		wcur_u8(c, r->tag == BATCH_SEND ? r->priority : r->class);
		wcur_bytes(c, r->bytes, r->len);
		break;
	case BATCH_DONE:
		dp_done_save(c, &r->u.done);
		break;
	case BATCH_TUNNEL_DONE:
		wcur_u32(c, r->tunnel.local);
		wcur_u32(c, (uint32_t)r->error);
		text_save(c, r->text, sizeof(r->text));
		break;
	case BATCH_COUNTERS:
		wcur_u64(c, r->key);
		batch_counters_save(c, &r->u.counters);
		break;
	case BATCH_FORGET:
		wcur_u64(c, r->key);
		break;
	case BATCH_ROW_LOST:
		wcur_u64(c, r->key);
		text_save(c, r->text, sizeof(r->text));
		break;
	case BATCH_TUNNEL_LOST:
		wcur_u32(c, r->tunnel.local);
		text_save(c, r->text, sizeof(r->text));
		break;
	case BATCH_ROW:
		wcur_u64(c, r->key);
		wcur_u32(c, r->generation);
		wcur_u32(c, r->tunnel.local);
		text_save(c, r->ifname, sizeof(r->ifname));
		break;
	case BATCH_FOUND:
	case BATCH_WIRE:
		wcur_u8(c, r->ok ? 1 : r->cannot ? 2 : 0);
		text_save(c, r->name, sizeof(r->name));
		text_save(c, r->text, sizeof(r->text));
		if (r->tag == BATCH_FOUND)
			break;
		text_save(c, r->ifname, sizeof(r->ifname));
		batch_counters_save(c, &r->u.counters);
		wcur_u16(c, r->mtu);
		break;
	case BATCH_LIST_END:
		wcur_u32(c, (uint32_t)r->error);
		text_save(c, r->text, sizeof(r->text));
		break;
	case BATCH_LIST:
	case BATCH_PROBE:
	case BATCH_PROBE_END:
		break;
	}
}

bool batch_save(struct wcur *c, const struct batch_record *r)
{
	size_t before = c->len, at;

	if (c->bad)
		return false;
	at = wcur_tlv_begin(c, (uint16_t)r->tag);
	value_save(c, r);
	wcur_tlv_end(c, at);
	if (!c->bad)
		return true;
	c->len = before;
	c->bad = false;
	return false;
}

static void frame_load(struct rcur *c, struct batch_record *r)
{
	uint8_t octet;

	r->key = rcur_u64(c);
	octet = rcur_u8(c);
	if (r->tag == BATCH_SEND ? octet > 1 : octet != DP_PUNT_PPP && octet != DP_PUNT_LOCAL)
		c->bad = true;
	r->priority = octet == 1;
	r->class = octet;
	r->len = rcur_left(c);
	r->bytes = rcur_take(c, r->len);
	if (r->len < 1 || r->len > BATCH_FRAME)
		c->bad = true;
}

/* False: a tag we do not know. */
static bool value_load(struct rcur *c, struct batch_record *r)
{
	uint8_t octet;

	switch (r->tag) {
	case BATCH_PUT:
	case BATCH_DEL:
		r->key = rcur_u64(c);
		r->generation = rcur_u32(c);
		if (r->tag == BATCH_PUT && !dp_row_load(c, &r->u.row))
			c->bad = true;
		return true;
	case BATCH_NET:
		r->generation = rcur_u32(c);
		if (!dp_net_load(c, &r->u.net))
			c->bad = true;
		return true;
	case BATCH_TUNNEL:
		tunnel_load(c, &r->tunnel);
		return true;
	case BATCH_TUNNEL_DEL:
		r->tunnel.local = rcur_u32(c);
		return true;
	case BATCH_SEND:
	case BATCH_PUNT:
		frame_load(c, r);
		return true;
	case BATCH_DONE:
		if (!dp_done_load(c, &r->u.done))
			c->bad = true;
		return true;
	case BATCH_TUNNEL_DONE:
		r->tunnel.local = rcur_u32(c);
		r->error = (int)rcur_u32(c);
		text_load(c, r->text, sizeof(r->text));
		if (r->error > 0)
			c->bad = true;
		return true;
	case BATCH_COUNTERS:
		r->key = rcur_u64(c);
		batch_counters_load(c, &r->u.counters);
		return true;
	case BATCH_FORGET:
		r->key = rcur_u64(c);
		return true;
	case BATCH_ROW_LOST:
		r->key = rcur_u64(c);
		text_load(c, r->text, sizeof(r->text));
		return true;
	case BATCH_TUNNEL_LOST:
		r->tunnel.local = rcur_u32(c);
		text_load(c, r->text, sizeof(r->text));
		return true;
	case BATCH_ROW:
		r->key = rcur_u64(c);
		r->generation = rcur_u32(c);
		r->tunnel.local = rcur_u32(c);
		text_load(c, r->ifname, sizeof(r->ifname));
		return true;
	case BATCH_FOUND:
	case BATCH_WIRE:
		octet = rcur_u8(c);
		r->ok = octet == 1;
		r->cannot = octet == 2;
		text_load(c, r->name, sizeof(r->name));
		text_load(c, r->text, sizeof(r->text));
		if (r->tag == BATCH_FOUND)
			return true;
		text_load(c, r->ifname, sizeof(r->ifname));
		batch_counters_load(c, &r->u.counters);
		r->mtu = rcur_left(c) ? rcur_u16(c) : 0;
		return true;
	case BATCH_LIST_END:
		r->error = (int)rcur_u32(c);
		text_load(c, r->text, sizeof(r->text));
		if (r->error > 0)
			c->bad = true;
		return true;
	case BATCH_LIST:
	case BATCH_PROBE:
	case BATCH_PROBE_END:
		return true;
	}
	return false;
}

int batch_load(struct rcur *c, struct batch_record *ret)
{
	struct rcur value;
	uint16_t tag;

	while (rcur_tlv(c, &tag, &value)) {
		memset(ret, 0, sizeof(*ret));
		ret->tag = (enum batch_tag)tag;
		if (!value_load(&value, ret))
			continue;
		/* What follows the fields is of a later release. */
		return value.bad ? -EBADMSG : 1;
	}
	return c->bad ? -EBADMSG : 0;
}
