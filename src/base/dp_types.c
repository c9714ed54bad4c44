/* SPDX-License-Identifier: MIT
 *
 * The flat encodings of what a data plane is told and of what it answers (dp_types.h). They are
 * kept short, since the session table of the user-space plane holds one for each session: lists
 * have their count in front and an IPv4 prefix takes six octets. Each begins with a version; the
 * reader believes nothing, for the bytes may come from a damaged table.
 */
#include "dp_types.h"
#include "wire.h"

#define VERSION 1

static const uint16_t all_flags = DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ | DP_F_LENGTH | DP_F_ACFC |
				  DP_F_PFC | DP_F_IP4 | DP_F_IP6 | DP_F_ANTISPOOF | DP_F_MSS_CLAMP |
				  DP_F_CLIENT;

/* Octets of an address of this family, 0 for none. */
static unsigned int ip_octets(uint16_t family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

static bool address_ok(const struct addr *a)
{
	for (unsigned int i = ip_octets(a->family); i < sizeof(a->ip); i++) {
		if (a->ip[i])
			return false;
	}
	if (a->family != AF_INET6 && a->scope)
		return false;
	return a->family == AF_INET || a->family == AF_INET6 || (a->family == 0 && !a->port);
}

static bool prefix_ok(const struct prefix *p, bool host_bits)
{
	unsigned int octets = ip_octets(p->addr.family);

	if (!octets || p->len > octets * 8 || p->addr.port || p->addr.scope ||
	    !address_ok(&p->addr))
		return false;
	if (host_bits || p->len == octets * 8)
		return true;
	if (p->addr.ip[p->len / 8] & 0xff >> p->len % 8)
		return false;
	for (unsigned int i = p->len / 8 + 1; i < octets; i++) {
		if (p->addr.ip[i])
			return false;
	}
	return true;
}

static bool prefixes_ok(const struct prefix *v, uint8_t count, uint8_t most, bool host_bits)
{
	if (count > most)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		if (!prefix_ok(&v[i], host_bits))
			return false;
	}
	return true;
}

/* A name the kernel takes for an interface, or none; and nothing that is not plain text. */
static bool ifname_ok(const char name[DP_IFNAME])
{
	size_t n = strnlen(name, DP_IFNAME);

	if (n == DP_IFNAME || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/' || name[i] == ':')
			return false;
	}
	return true;
}

bool dp_row_ok(const struct dp_row *r)
{
	if ((r->state != DP_PREPARED && r->state != DP_ACTIVE) || r->ends != DP_L2TP_PPP ||
	    (r->flags & ~all_flags))
		return false;
	if (!address_ok(&r->path.local) || !address_ok(&r->path.remote) || !r->path.remote.family ||
	    (r->path.local.family && r->path.local.family != r->path.remote.family))
		return false;
	/* RFC 2661 3.1: ids of 0 stand for "not assigned". RFC 791: 68 octets always pass. */
	if (!r->local_tunnel || !r->remote_tunnel || !r->local_session || !r->remote_session ||
	    r->mtu < 68)
		return false;
	if (r->pin_peer > 1 || (r->peer4.family && r->peer4.family != AF_INET) ||
	    !address_ok(&r->peer4) || r->peer4.port)
		return false;
	return prefixes_ok(r->prefixes, r->prefix_count, DP_PREFIXES, false) &&
	       prefixes_ok(r->host_addrs, r->host_addr_count, DP_HOST_ADDRS, true) &&
	       prefixes_ok(r->routes, r->route_count, DP_PREFIXES, false) && ifname_ok(r->ifname);
}

bool dp_net_ok(const struct dp_net *n)
{
	return prefixes_ok(n->local, n->local_count, DP_NET_MAX, true) &&
	       prefixes_ok(n->pools, n->pool_count, DP_NET_MAX, false) &&
	       (n->mtu == 0 || n->mtu >= 68);
}

static void prefixes_save(struct wcur *c, const struct prefix *v, uint8_t count)
{
	wcur_u8(c, count);
	for (unsigned int i = 0; i < count; i++) {
		wcur_u8(c, v[i].addr.family == AF_INET ? 4 : 6);
		wcur_u8(c, v[i].len);
		wcur_bytes(c, v[i].addr.ip, ip_octets(v[i].addr.family));
	}
}

static void prefixes_load(struct rcur *c, struct prefix *v, uint8_t most, uint8_t *ret_count)
{
	uint8_t count = rcur_u8(c);

	if (count > most) {
		c->bad = true;
		return;
	}
	for (unsigned int i = 0; i < count; i++) {
		uint8_t version = rcur_u8(c);

		v[i].addr.family = version == 4 ? AF_INET : version == 6 ? AF_INET6 : 0;
		v[i].len = rcur_u8(c);
		rcur_copy(c, v[i].addr.ip, ip_octets(v[i].addr.family));
	}
	*ret_count = count;
}

static void text_save(struct wcur *c, const char *text, size_t cap)
{
	size_t n = strnlen(text, cap - 1);

	wcur_u8(c, (uint8_t)n);
	wcur_bytes(c, text, n);
}

/* `text` has been zeroed. */
static void text_load(struct rcur *c, char *text, size_t cap)
{
	uint8_t n = rcur_u8(c);

	if (n >= cap)
		c->bad = true;
	else
		rcur_copy(c, text, n);
	if (!c->bad && memchr(text, '\0', cap) != text + n)
		c->bad = true;
}

void dp_row_save(struct wcur *c, const struct dp_row *r)
{
	wcur_u8(c, VERSION);
	wcur_u8(c, r->state);
	wcur_u8(c, r->ends);
	wcur_u16(c, r->flags);
	path_save(c, &r->path);
	wcur_u16(c, r->local_tunnel);
	wcur_u16(c, r->remote_tunnel);
	wcur_u16(c, r->local_session);
	wcur_u16(c, r->remote_session);
	wcur_u16(c, r->mtu);
	wcur_u16(c, r->mss4);
	wcur_u16(c, r->mss6);
	wcur_u32(c, r->rate_up);
	wcur_u32(c, r->rate_down);
	wcur_u16(c, r->first_ns);
	wcur_u16(c, r->first_nr);
	prefixes_save(c, r->prefixes, r->prefix_count);
	text_save(c, r->ifname, sizeof(r->ifname));
	prefixes_save(c, r->host_addrs, r->host_addr_count);
	wcur_u8(c, r->peer4.family ? 4 : 0);
	wcur_bytes(c, r->peer4.ip, r->peer4.family ? 4 : 0);
	prefixes_save(c, r->routes, r->route_count);
	wcur_u32(c, r->table);
	wcur_u32(c, r->metric);
	wcur_u8(c, r->pin_peer);
}

bool dp_row_load(struct rcur *c, struct dp_row *ret)
{
	struct dp_row r;
	bool known = rcur_u8(c) == VERSION;
	uint8_t peer;

	memset(&r, 0, sizeof(r)); /* padding too: rows may be compared octet by octet */
	r.state = rcur_u8(c);
	r.ends = rcur_u8(c);
	r.flags = rcur_u16(c);
	path_load(c, &r.path);
	r.local_tunnel = rcur_u16(c);
	r.remote_tunnel = rcur_u16(c);
	r.local_session = rcur_u16(c);
	r.remote_session = rcur_u16(c);
	r.mtu = rcur_u16(c);
	r.mss4 = rcur_u16(c);
	r.mss6 = rcur_u16(c);
	r.rate_up = rcur_u32(c);
	r.rate_down = rcur_u32(c);
	r.first_ns = rcur_u16(c);
	r.first_nr = rcur_u16(c);
	prefixes_load(c, r.prefixes, DP_PREFIXES, &r.prefix_count);
	text_load(c, r.ifname, sizeof(r.ifname));
	prefixes_load(c, r.host_addrs, DP_HOST_ADDRS, &r.host_addr_count);
	peer = rcur_u8(c);
	if (peer == 4) {
		r.peer4.family = AF_INET;
		rcur_copy(c, r.peer4.ip, 4);
	}
	prefixes_load(c, r.routes, DP_PREFIXES, &r.route_count);
	r.table = rcur_u32(c);
	r.metric = rcur_u32(c);
	r.pin_peer = rcur_u8(c);
	if (c->bad || !known || (peer != 0 && peer != 4) || !dp_row_ok(&r))
		return false;
	*ret = r;
	return true;
}

void dp_net_save(struct wcur *c, const struct dp_net *n)
{
	wcur_u8(c, VERSION);
	prefixes_save(c, n->local, n->local_count);
	prefixes_save(c, n->pools, n->pool_count);
	wcur_u16(c, n->mtu);
}

bool dp_net_load(struct rcur *c, struct dp_net *ret)
{
	struct dp_net n;
	bool known = rcur_u8(c) == VERSION;

	memset(&n, 0, sizeof(n));
	prefixes_load(c, n.local, DP_NET_MAX, &n.local_count);
	prefixes_load(c, n.pools, DP_NET_MAX, &n.pool_count);
	n.mtu = rcur_u16(c);
	if (c->bad || !known || !dp_net_ok(&n))
		return false;
	*ret = n;
	return true;
}

void dp_done_save(struct wcur *c, const struct dp_done *d)
{
	const struct dp_counters *n = &d->counters;

	wcur_u8(c, VERSION);
	wcur_u8(c, d->op);
	wcur_u64(c, d->key);
	wcur_u32(c, d->generation);
	wcur_u32(c, (uint32_t)d->error);
	text_save(c, d->text, sizeof(d->text));
	text_save(c, d->ifname, sizeof(d->ifname));
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

bool dp_done_load(struct rcur *c, struct dp_done *ret)
{
	struct dp_done d;
	bool known = rcur_u8(c) == VERSION;

	memset(&d, 0, sizeof(d));
	d.op = rcur_u8(c);
	d.key = rcur_u64(c);
	d.generation = rcur_u32(c);
	d.error = (int)rcur_u32(c);
	text_load(c, d.text, sizeof(d.text));
	text_load(c, d.ifname, sizeof(d.ifname));
	d.counters.rx_packets = rcur_u64(c);
	d.counters.rx_bytes = rcur_u64(c);
	d.counters.tx_packets = rcur_u64(c);
	d.counters.tx_bytes = rcur_u64(c);
	d.counters.drop_spoof = rcur_u64(c);
	d.counters.drop_seq = rcur_u64(c);
	d.counters.drop_mtu = rcur_u64(c);
	d.counters.drop_other = rcur_u64(c);
	d.counters.last_rx.us = (int64_t)rcur_u64(c);
	d.counters.last_tx.us = (int64_t)rcur_u64(c);
	if (c->bad || !known || d.op < DP_OP_PUT || d.op > DP_OP_NET || d.error > 0 ||
	    d.counters.last_rx.us < 0 || d.counters.last_tx.us < 0 || !ifname_ok(d.ifname))
		return false;
	*ret = d;
	return true;
}
