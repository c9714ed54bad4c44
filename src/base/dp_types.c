/* SPDX-License-Identifier: MIT
 *
 * The flat encodings of what a data plane is told and of what it answers (dp_types.h). They are
 * kept short, since the session table of the user-space plane holds one for each session: lists
 * have their count in front, an IPv4 prefix takes six octets, and what few sessions have (L2TPv3, a
 * bridge) follows only where there is any. Each begins with a version; the reader believes nothing,
 * for the bytes may come from a damaged table.
 */
#include "dp_types.h"
#include "wire.h"

#define VERSION	     1
#define VERSION_MORE 2 /* of rows: as 1, then a length of two octets and TLVs */

/* What follows the fields of version 1, each only if it is not zero. A tag keeps its meaning. */
enum row_tag {
	ROW_VERSION = 1, /* u8 version, u8 encap */
	ROW_IDS = 2,	 /* upper halves of the four ids, in their order */
	ROW_L2SPEC = 3,
	ROW_COOKIE_IN = 4,
	ROW_COOKIE_OUT = 5,
	ROW_TXQLEN = 6,
	ROW_MASTER = 7,
	ROW_NETNS = 8,
	ROW_SOURCE4 = 9,
	ROW_PARTNER = 10,
	ROW_CIRCUIT = 11,
	ROW_VLANS = 12, /* u16 vlan, then first and last of each range */
	ROW_TAG = 13
};

static const uint16_t all_flags = DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ | DP_F_LENGTH | DP_F_ACFC |
				  DP_F_PFC | DP_F_IP4 | DP_F_IP6 | DP_F_ANTISPOOF | DP_F_MSS_CLAMP |
				  DP_F_CLIENT | DP_F_MPPE | DP_F_MPPE_KEYS | DP_F_FAR_DOWN;

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

static bool cookie_ok(const uint8_t cookie[8], uint8_t len)
{
	static const uint8_t zero[8];

	return (len == 0 || len == 4 || len == 8) && memcmp(cookie + len, zero, 8 - len) == 0;
}

static bool vlans_ok(const struct dp_row *r)
{
	if ((r->vlan || r->vlan_count) && (r->ends != DP_L2TP_ETH || !r->master[0]))
		return false;
	if (r->tag > DP_VLAN_LAST || (r->tag && r->ends != DP_L2TP_ETH))
		return false;
	if (r->vlan > DP_VLAN_LAST || r->vlan_count > DP_VLANS)
		return false;
	for (int i = 0; i < r->vlan_count; i++)
		if (!r->vlans[i].first || r->vlans[i].first > r->vlans[i].last ||
		    r->vlans[i].last > DP_VLAN_LAST)
			return false;
	return true;
}

/* What each version of L2TP allows, and each kind of session. */
static bool kind_ok(const struct dp_row *r)
{
	bool v3 = r->version == 3;

	if (r->version != 0 && r->version != 2 && !v3)
		return false;
	if (!v3 && (r->local_tunnel > UINT16_MAX || r->remote_tunnel > UINT16_MAX ||
		    r->local_session > UINT16_MAX || r->remote_session > UINT16_MAX))
		return false;
	if (!v3 && (r->encap != DP_ENCAP_UDP || r->l2spec != DP_L2SPEC_NONE || r->cookie_in_len ||
		    r->cookie_out_len || r->ends == DP_L2TP_ETH))
		return false;
	if (r->encap > DP_ENCAP_IP || r->l2spec > DP_L2SPEC_DEFAULT ||
	    !cookie_ok(r->cookie_in, r->cookie_in_len) ||
	    !cookie_ok(r->cookie_out, r->cookie_out_len))
		return false;
	if ((r->ends != DP_L2TP_ETH && r->circuit[0]) || (!v3 && r->flags & DP_F_FAR_DOWN))
		return false;
	return (r->ends == DP_L2TP_L2TP) == (r->partner != 0);
}

bool dp_row_ok(const struct dp_row *r)
{
	if ((r->state != DP_PREPARED && r->state != DP_ACTIVE) || r->ends < DP_L2TP_PPP ||
	    r->ends > DP_L2TP_L2TP || (r->flags & ~all_flags) || !kind_ok(r))
		return false;
	if (!address_ok(&r->path.local) || !address_ok(&r->path.remote) || !r->path.remote.family ||
	    (r->path.local.family && r->path.local.family != r->path.remote.family))
		return false;
	/* RFC 2661 3.1: ids of 0 stand for "not assigned". RFC 791: 68 octets always pass. */
	if (!r->local_tunnel || !r->remote_tunnel || !r->local_session || !r->remote_session ||
	    r->mtu < 68)
		return false;
	if (r->pin_peer > 1 || (r->peer4.family && r->peer4.family != AF_INET) ||
	    !address_ok(&r->peer4) || r->peer4.port ||
	    (r->source4.family && r->source4.family != AF_INET) || !address_ok(&r->source4) ||
	    r->source4.port)
		return false;
	return prefixes_ok(r->prefixes, r->prefix_count, DP_PREFIXES, false) &&
	       prefixes_ok(r->host_addrs, r->host_addr_count, DP_HOST_ADDRS, true) &&
	       prefixes_ok(r->routes, r->route_count, DP_PREFIXES, false) && ifname_ok(r->ifname) &&
	       ifname_ok(r->master) && ifname_ok(r->circuit) && vlans_ok(r);
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

static void more_u16(struct wcur *c, uint16_t tag, uint16_t v)
{
	size_t at = wcur_tlv_begin(c, tag);

	wcur_u16(c, v);
	wcur_tlv_end(c, at);
}

static void vlans_save(struct wcur *c, const struct dp_row *r)
{
	size_t at = wcur_tlv_begin(c, ROW_VLANS);

	wcur_u16(c, r->vlan);
	for (int i = 0; i < r->vlan_count; i++) {
		wcur_u16(c, r->vlans[i].first);
		wcur_u16(c, r->vlans[i].last);
	}
	wcur_tlv_end(c, at);
}

static void more_save(struct wcur *c, const struct dp_row *r)
{
	size_t at;

	if (r->version || r->encap)
		more_u16(c, ROW_VERSION, (uint16_t)(r->version << 8 | r->encap));
	if ((r->local_tunnel | r->remote_tunnel | r->local_session | r->remote_session) >> 16) {
		at = wcur_tlv_begin(c, ROW_IDS);
		wcur_u16(c, (uint16_t)(r->local_tunnel >> 16));
		wcur_u16(c, (uint16_t)(r->remote_tunnel >> 16));
		wcur_u16(c, (uint16_t)(r->local_session >> 16));
		wcur_u16(c, (uint16_t)(r->remote_session >> 16));
		wcur_tlv_end(c, at);
	}
	if (r->l2spec)
		more_u16(c, ROW_L2SPEC, r->l2spec);
	if (r->cookie_in_len)
		wcur_tlv_bytes(c, ROW_COOKIE_IN, r->cookie_in, r->cookie_in_len);
	if (r->cookie_out_len)
		wcur_tlv_bytes(c, ROW_COOKIE_OUT, r->cookie_out, r->cookie_out_len);
	if (r->txqlen)
		more_u16(c, ROW_TXQLEN, r->txqlen);
	if (r->master[0])
		wcur_tlv_bytes(c, ROW_MASTER, r->master, strnlen(r->master, sizeof(r->master)));
	if (r->netns)
		wcur_tlv_u32(c, ROW_NETNS, r->netns);
	if (r->source4.family)
		wcur_tlv_bytes(c, ROW_SOURCE4, r->source4.ip, 4);
	if (r->partner)
		wcur_tlv_u64(c, ROW_PARTNER, r->partner);
	if (r->circuit[0])
		wcur_tlv_bytes(c, ROW_CIRCUIT, r->circuit, strnlen(r->circuit, sizeof(r->circuit)));
	if (r->vlan || r->vlan_count)
		vlans_save(c, r);
	if (r->tag)
		more_u16(c, ROW_TAG, r->tag);
}

static void cookie_load(struct rcur *v, uint8_t cookie[8], uint8_t *ret_len)
{
	size_t n = rcur_left(v);

	if (n > 8) {
		v->bad = true;
		return;
	}
	*ret_len = (uint8_t)n;
	rcur_copy(v, cookie, n);
}

/* A whole value; `name` has been zeroed. */
static void name_load(struct rcur *v, char name[DP_IFNAME])
{
	size_t n = rcur_left(v);

	v->bad |= n >= DP_IFNAME;
	if (!v->bad)
		rcur_copy(v, name, n);
	v->bad |= strnlen(name, DP_IFNAME) != n;
}

static void vlans_load(struct rcur *v, struct dp_row *r)
{
	r->vlan = rcur_u16(v);
	for (; !v->bad && rcur_left(v); r->vlan_count++) {
		v->bad |= r->vlan_count == DP_VLANS;
		if (v->bad)
			return;
		r->vlans[r->vlan_count].first = rcur_u16(v);
		r->vlans[r->vlan_count].last = rcur_u16(v);
	}
}

static void more_load_one(uint16_t tag, struct rcur *v, struct dp_row *r)
{
	switch (tag) {
	case ROW_VERSION:
		r->version = rcur_u8(v);
		r->encap = rcur_u8(v);
		break;
	case ROW_IDS:
		r->local_tunnel |= (uint32_t)rcur_u16(v) << 16;
		r->remote_tunnel |= (uint32_t)rcur_u16(v) << 16;
		r->local_session |= (uint32_t)rcur_u16(v) << 16;
		r->remote_session |= (uint32_t)rcur_u16(v) << 16;
		break;
	case ROW_L2SPEC:
		rcur_u8(v);
		r->l2spec = rcur_u8(v);
		break;
	case ROW_COOKIE_IN:
		cookie_load(v, r->cookie_in, &r->cookie_in_len);
		break;
	case ROW_COOKIE_OUT:
		cookie_load(v, r->cookie_out, &r->cookie_out_len);
		break;
	case ROW_TXQLEN:
		r->txqlen = rcur_u16(v);
		break;
	case ROW_MASTER:
		name_load(v, r->master);
		break;
	case ROW_NETNS:
		r->netns = rcur_u32(v);
		break;
	case ROW_SOURCE4:
		r->source4.family = AF_INET;
		rcur_copy(v, r->source4.ip, 4);
		break;
	case ROW_PARTNER:
		r->partner = rcur_u64(v);
		break;
	case ROW_CIRCUIT:
		name_load(v, r->circuit);
		break;
	case ROW_VLANS:
		vlans_load(v, r);
		break;
	case ROW_TAG:
		r->tag = rcur_u16(v);
		break;
	}
}

static void more_load(struct rcur *c, struct dp_row *r)
{
	struct rcur tlvs = rcur_sub(c, rcur_u16(c)), value;
	uint32_t seen = 0;
	uint16_t tag;

	while (rcur_tlv(&tlvs, &tag, &value)) {
		if (tag < 32 && seen & 1u << tag)
			value.bad = true; /* twice */
		if (tag < 32)
			seen |= 1u << tag;
		more_load_one(tag, &value, r);
		c->bad |= value.bad;
	}
	c->bad |= tlvs.bad;
}

void dp_row_save(struct wcur *c, const struct dp_row *r)
{
	uint8_t bytes[160];
	struct wcur more = wcur_of(bytes, sizeof(bytes));

	more_save(&more, r);
	wcur_u8(c, more.len ? VERSION_MORE : VERSION);
	wcur_u8(c, r->state);
	wcur_u8(c, r->ends);
	wcur_u16(c, r->flags);
	path_save(c, &r->path);
	wcur_u16(c, (uint16_t)r->local_tunnel);
	wcur_u16(c, (uint16_t)r->remote_tunnel);
	wcur_u16(c, (uint16_t)r->local_session);
	wcur_u16(c, (uint16_t)r->remote_session);
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
	if (r->flags & (DP_F_MPPE | DP_F_MPPE_KEYS)) {
		wcur_bytes(c, r->mppe_options, sizeof(r->mppe_options));
		wcur_bytes(c, r->mppe_send_key, sizeof(r->mppe_send_key));
		wcur_bytes(c, r->mppe_recv_key, sizeof(r->mppe_recv_key));
	}
	c->bad |= more.bad;
	if (more.len) {
		wcur_u16(c, (uint16_t)more.len);
		wcur_bytes(c, more.buf, more.len);
	}
}

bool dp_row_load(struct rcur *c, struct dp_row *ret)
{
	struct dp_row r;
	uint8_t version = rcur_u8(c);
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
	if (r.flags & (DP_F_MPPE | DP_F_MPPE_KEYS)) {
		rcur_copy(c, r.mppe_options, sizeof(r.mppe_options));
		rcur_copy(c, r.mppe_send_key, sizeof(r.mppe_send_key));
		rcur_copy(c, r.mppe_recv_key, sizeof(r.mppe_recv_key));
	}
	if (version == VERSION_MORE)
		more_load(c, &r);
	else
		c->bad |= version != VERSION;
	if (c->bad || (peer != 0 && peer != 4) || !dp_row_ok(&r))
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
