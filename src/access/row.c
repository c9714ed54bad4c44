/* SPDX-License-Identifier: MIT
 *
 * What the data plane is told: the row of a session from what the two engines negotiated, and what
 * the plane carries as a whole.
 *
 * MTU. The largest IP packet inside a session is bounded by three things: the outer path (taken as
 * 1,500 octets, since L2TP packets are not to be fragmented; RFC 2661 8.1), the peer's MRU (RFC
 * 1661 6.1: the information field, so exactly an IP packet), and the configuration. The headers in
 * between are counted as they are on the wire of this session: IP 20 or 40, UDP 8, L2TP 6 and 2 for
 * the Length field and 4 for Ns/Nr (RFC 2661 3.1), or in L2TPv3 8 (over IP 4, and no UDP), the
 * cookie and 4 for the sublayer (RFC 3931 4.1), PPP 4 less what is compressed (RFC 1661 6.5, 6.6).
 */
#include "internal.h"
#include "place.h"

#define PATH_MTU  1500
#define LEAST_MTU 68 /* RFC 791 */
#define MPPE_LEN  4  /* 00fd and the coherency count; the protocol inside (RFC 3078 3.1) */

/* Of data: what the peer wants to see. */
static unsigned int header(const struct acc_call *call)
{
	if (call->version == 3)
		return (call->over_ip ? 4u : 8u) + call->cookie_out_len + (call->sublayer ? 4u : 0);
	return 6u + (call->l2tp.length_bit ? 2u : 0) + (call->l2tp.send_seq ? 4u : 0);
}

uint16_t acc_overhead(const struct path *path, const struct acc_call *call,
		      const struct ppp_info *ppp)
{
	unsigned int n = (path->remote.family == AF_INET6 ? 40 : 20) + (call->over_ip ? 0 : 8) +
			 header(call) + 4;

	if (ppp->acfc_out)
		n -= 2;
	if (ppp->pfc_out)
		n -= 1;
	if (ppp->mppe_keys)
		n += MPPE_LEN;
	return (uint16_t)n;
}

uint16_t acc_mtu(const struct path *path, const struct acc_call *call, const struct ppp_info *ppp,
		 uint16_t limit)
{
	unsigned int mtu = PATH_MTU - acc_overhead(path, call, ppp);
	unsigned int mru = ppp->mru_out ? ppp->mru_out : UINT16_MAX;

	if (limit && mtu > limit)
		mtu = limit;
	/* Neither more than the peer takes nor than it may send us: its TCP takes the size of ours
	 * for what we can receive, and some peers drop what is longer than our MRU unsaid.
	 * RFC 3078 3: an encrypted datagram may fill the information field, no more. */
	if (ppp->mru_in && mru > ppp->mru_in)
		mru = ppp->mru_in;
	if (mtu > mru - (ppp->mppe_keys ? MPPE_LEN : 0u))
		mtu = mru - (ppp->mppe_keys ? MPPE_LEN : 0u);
	return (uint16_t)(mtu < LEAST_MTU ? LEAST_MTU : mtu);
}

uint16_t acc_mru(const struct path *path, const struct acc_call *call, uint16_t limit)
{
	struct acc_call theirs = *call;
	struct ppp_info nothing = { .mru_out = 0 };

	theirs.l2tp.length_bit = true; /* the peer may put it there, and we are not told */
	theirs.cookie_out_len = call->cookie_in_len;
	return acc_mtu(path, &theirs, &nothing, limit);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n && *p == 0) {
		p++;
		n--;
	}
	return n == 0;
}

static struct prefix host4(const uint8_t ip[4])
{
	struct prefix p = { .addr.family = AF_INET, .len = 32 };

	memcpy(p.addr.ip, ip, 4);
	return p;
}

static struct prefix prefix6(const uint8_t upper[8], const uint8_t lower[8], uint8_t len)
{
	struct prefix p = { .addr.family = AF_INET6, .len = len };

	memcpy(p.addr.ip, upper, 8);
	memcpy(p.addr.ip + 8, lower, 8);
	return p;
}

static void row_prefix(struct dp_row *r, const struct prefix *p)
{
	if (r->prefix_count < DP_PREFIXES)
		r->prefixes[r->prefix_count++] = *p;
}

static void row_route(struct dp_row *r, const struct prefix *p)
{
	if (r->route_count < DP_PREFIXES)
		r->routes[r->route_count++] = *p;
}

static void row_place(const struct conf_place *p, struct dp_row *r)
{
	memcpy(r->master, p->vrf, sizeof(r->master));
	r->netns = acc_netns_id(p->netns);
	r->txqlen = p->txqlen;
}

static void row_server(const struct acc_session *s, struct dp_row *r)
{
	struct prefix p;

	if (s->ip4 && !is_zero(s->peer_ip4, 4)) {
		p = host4(s->peer_ip4);
		row_prefix(r, &p);
	}
	if (s->ip6 && acc_session_prefix6(s, &p))
		row_prefix(r, &p);
	for (uint8_t i = 0; i < s->route_count; i++) {
		if (s->routes[i].addr.family == AF_INET ? s->ip4 : s->ip6)
			row_prefix(r, &s->routes[i]);
	}
	if (s->ip4 && !is_zero(s->our_ip4, 4)) {
		r->source4.family = AF_INET;
		memcpy(r->source4.ip, s->our_ip4, 4);
	}
	if (s->profile->antispoof)
		r->flags |= DP_F_ANTISPOOF;
	row_place(&s->profile->place, r);
	if (s->profile->place.ifname[0])
		acc_ifname(s->profile->place.ifname, acc_user(s), s->user_len, r->ifname);
	/* The LNS's address is on no `lo` there that we look after: each session has it. */
	if (r->netns && r->source4.family) {
		r->host_addrs[r->host_addr_count++] = host4(s->our_ip4);
		if (!is_zero(s->peer_ip4, 4))
			r->peer4 = host4(s->peer_ip4).addr;
	}
}

/* The host's side of a dialled session: addresses, routes, and the pin that keeps the tunnel's own
 * path out of them. */
static void row_client(const struct acc_session *s, struct dp_row *r)
{
	static const uint8_t link_local[8] = { 0xfe, 0x80 };
	const struct acc_dial *d = s->dial;
	const struct conf_dial *c = d->c;
	struct prefix p;

	r->flags |= DP_F_CLIENT;
	memcpy(r->ifname, c->ifname, sizeof(r->ifname));
	r->ifname[sizeof(r->ifname) - 1] = '\0';
	row_place(&c->place, r);
	if (s->ip4 && !is_zero(s->our_ip4, 4)) {
		r->host_addrs[r->host_addr_count++] = host4(s->our_ip4);
		if (!is_zero(s->peer_ip4, 4)) {
			p = host4(s->peer_ip4);
			/* A server may use its outer address inside too: a route to it through
			 * the tunnel would swallow the tunnel. */
			if (!addr_same_ip(&p.addr, &r->path.remote))
				r->peer4 = p.addr;
		}
	}
	if (s->ip6 && !is_zero(s->our_iid, 8)) {
		r->host_addrs[r->host_addr_count++] = prefix6(link_local, s->our_iid, 64);
		if (d->prefix6.len == 64)
			r->host_addrs[r->host_addr_count++] =
				prefix6(d->prefix6.addr.ip, s->our_iid, 64);
	}
	for (size_t i = 0; i < c->route_count; i++) {
		if (c->routes[i].addr.family == AF_INET ? s->ip4 : s->ip6)
			row_route(r, &c->routes[i]);
	}
	if (c->default_route && s->ip4)
		row_route(r, &(struct prefix){ .addr.family = AF_INET });
	if (c->default_route && s->ip6 && s->ra_got)
		row_route(r, &(struct prefix){ .addr.family = AF_INET6 });
	r->table = c->table;
	r->metric = c->metric;
	r->pin_peer = r->route_count > 0;
}

static void row_v3(const struct acc_call *call, struct dp_row *r)
{
	r->version = 3;
	r->encap = call->over_ip ? DP_ENCAP_IP : DP_ENCAP_UDP;
	r->l2spec = call->sublayer ? DP_L2SPEC_DEFAULT : DP_L2SPEC_NONE;
	r->cookie_in_len = call->cookie_in_len;
	r->cookie_out_len = call->cookie_out_len;
	memcpy(r->cookie_in, call->cookie_in, sizeof(r->cookie_in));
	memcpy(r->cookie_out, call->cookie_out, sizeof(r->cookie_out));
}

/* False when one of the engines has no such object any more. */
bool acc_row(struct access *a, struct acc_session *s, struct dp_row *ret)
{
	struct acc_call call;
	const struct l2tp_session_info *l = &call.l2tp;
	struct ppp_info p;
	bool clamp = s->dial ? s->dial->c->mss_clamp : s->profile->mss_clamp;

	if (!acc_l2_call(a, s->tunnel->version, s->l2tp, &call) || !ppp_info(a->ppp, s->ppp, &p))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->state = DP_ACTIVE;
	ret->ends = DP_L2TP_PPP;
	ret->path = l->path;
	ret->local_tunnel = l->local_tunnel_id;
	ret->remote_tunnel = l->remote_tunnel_id;
	ret->local_session = l->local_id;
	ret->remote_session = l->remote_id;
	/* The plane goes on counting where the engine left off; where its pipe stands it has
	 * counted all, and what the engine has seen are copies (see access.c). */
	if (s->pipe == ACC_PIPE_NONE) {
		ret->first_ns = l->data_ns;
		ret->first_nr = l->data_nr;
	}
	if (call.version == 3)
		row_v3(&call, ret);
	ret->flags = (uint16_t)((l->send_seq ? DP_F_SEND_SEQ : 0) |
				(l->require_seq ? DP_F_REQUIRE_SEQ : 0) |
				(l->length_bit ? DP_F_LENGTH : 0) | (p.acfc_out ? DP_F_ACFC : 0) |
				(p.pfc_out ? DP_F_PFC : 0) | (s->ip4 ? DP_F_IP4 : 0) |
				(s->ip6 ? DP_F_IP6 : 0));
	s->quiet = call.quiet;
	if (s->quiet) /* all data traffic MUST cease in its direction (RFC 3931 5.4.5) */
		ret->flags |= DP_F_FAR_DOWN;
	if (p.mppe_keys) {
		ret->flags |= p.mppe ? DP_F_MPPE : p.mppe_known ? DP_F_MPPE_KEYS : 0;
		memcpy(ret->mppe_options, p.mppe_options, sizeof(ret->mppe_options));
		memcpy(ret->mppe_send_key, p.mppe_send_key, sizeof(ret->mppe_send_key));
		memcpy(ret->mppe_recv_key, p.mppe_recv_key, sizeof(ret->mppe_recv_key));
		if (!p.mppe) /* nothing may pass in clear meanwhile */
			ret->flags &= (uint16_t) ~(DP_F_IP4 | DP_F_IP6);
	}
	ret->mtu = acc_mtu(&l->path, &call, &p, s->dial ? s->dial->c->mtu : s->profile->mtu);
	if (clamp) {
		/* IPv4 20 and TCP 20; IPv6 40 and TCP 20 (RFC 6691, RFC 8200 8.3) */
		ret->flags |= DP_F_MSS_CLAMP;
		ret->mss4 = (uint16_t)(ret->mtu - 40);
		ret->mss6 = (uint16_t)(ret->mtu - 60);
	}
	if (s->dial)
		row_client(s, ret);
	else
		row_server(s, ret);
	return true;
}

/* ---- what the plane carries as a whole ---- */

static void net_add(struct prefix *v, uint8_t *n, const struct prefix *p)
{
	for (uint8_t i = 0; i < *n; i++) {
		if (v[i].len == p->len && addr_same_ip(&v[i].addr, &p->addr))
			return;
	}
	if (*n < DP_NET_MAX)
		v[(*n)++] = *p;
}

static struct prefix prefix4(uint32_t first, uint8_t len)
{
	uint8_t ip[4] = { (uint8_t)(first >> 24), (uint8_t)(first >> 16), (uint8_t)(first >> 8),
			  (uint8_t)first };
	struct prefix p = host4(ip);

	p.len = len;
	return p;
}

/* The largest block that begins at `first` and does not reach past `last`. */
static uint8_t block_len(uint64_t first, uint64_t last)
{
	uint8_t len = 32;

	while (len > 0) {
		uint64_t size = UINT64_C(1) << (32 - len + 1);

		if (first % size || first + size - 1 > last)
			break;
		len--;
	}
	return len;
}

static unsigned int blocks_of(const struct conf_range4 *r)
{
	unsigned int n = 0;

	for (uint64_t at = r->first; at <= r->last; n++)
		at += UINT64_C(1) << (32 - block_len(at, r->last));
	return n;
}

/* A range as the exact blocks, or as the one block that holds it all when there is no room. */
static void net_range(struct dp_net *n, const struct conf_range4 *r, bool exact)
{
	uint32_t differ = r->first ^ r->last;
	uint8_t len = 32;
	struct prefix p;

	if (exact) {
		for (uint64_t at = r->first; at <= r->last;) {
			len = block_len(at, r->last);
			p = prefix4((uint32_t)at, len);
			net_add(n->pools, &n->pool_count, &p);
			at += UINT64_C(1) << (32 - len);
		}
		return;
	}
	while (len && differ >> (32 - len))
		len--;
	p = prefix4(len ? r->first & ~UINT32_C(0) << (32 - len) : 0, len);
	net_add(n->pools, &n->pool_count, &p);
}

/*
 * Routes to the plane. There is room for DP_NET_MAX; when the exact blocks of all ranges do not
 * fit, the ranges with the most blocks are covered by one larger block each.
 */
static void net_pools(const struct access_conf *conf, struct dp_net *n)
{
	unsigned int most = 64, need;

	do {
		need = 0;
		for (size_t i = 0; i < conf->pool_count; i++) {
			const struct conf_pool *c = &conf->pools[i];

			need += (unsigned int)c->prefix6_count;
			for (size_t j = 0; j < c->range_count; j++) {
				unsigned int b = blocks_of(&c->ranges[j]);

				need += b <= most ? b : 1;
			}
		}
	} while (need > DP_NET_MAX && most-- > 1);
	for (size_t i = 0; i < conf->pool_count; i++) {
		const struct conf_pool *c = &conf->pools[i];

		for (size_t j = 0; j < c->range_count; j++)
			net_range(n, &c->ranges[j], blocks_of(&c->ranges[j]) <= most);
		for (size_t j = 0; j < c->prefix6_count; j++)
			net_add(n->pools, &n->pool_count, &c->prefixes6[j]);
	}
}

void acc_net(const struct access_conf *conf, struct dp_net *ret)
{
	struct path path = { .remote.family = AF_INET };
	struct acc_call l = { .version = 2 };
	struct ppp_info p = { .mru_out = 0 };

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < conf->profile_count; i++) {
		struct prefix h = { .addr = conf->profiles[i]->local4, .len = 32 };

		h.addr.port = 0;
		if (h.addr.family == AF_INET && !acc_place_needed(&conf->profiles[i]->place))
			net_add(ret->local, &ret->local_count, &h);
	}
	net_pools(conf, ret);
	ret->mtu = acc_mtu(&path, &l, &p, 0);
}
