/* SPDX-License-Identifier: MIT
 *
 * The two machines of pair.h: configurations, drain loop, journal, data plane, time.
 */
#include "pair.h"
#include "failmalloc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- configurations ---- */

static struct l2tp_profile *l2tp_of(const char *name, const struct pair_options *o, bool client)
{
	bool called_only = client && o->called_only;
	struct l2tp_params p = { .host_name = name,
				 .secret = "tunnel",
				 .secret_len = o->no_secret ? 0 : 6,
				 .challenge = !o->no_secret,
				 .sequencing = client && o->sequencing,
				 .hello_us = 20 * US_S,
				 .empty_us = called_only ? -1 : 60 * US_S,
				 .bearer = called_only ? L2TP_CALL_MASK : 0 };
	int err;
	struct l2tp_profile *r = l2tp_profile_new(&p, &err);

	assert_non_null(r);
	return r;
}

static struct l2tp3_profile *l2tp3_of(const char *name, const struct pair_options *o)
{
	struct l2tp3_params p = { .host_name = name,
				  .router_id = (uint32_t)strlen(name),
				  .digest = o->no_secret ? L2TP3_AUTH_AUTO : L2TP3_AUTH_SHA1,
				  .mirror_sublayer = true,
				  .mirror_sequencing = !o->server_asks,
				  .pw_types = { L2TP3_PW_PPP },
				  .hello_us = 20 * US_S,
				  .empty_us = 60 * US_S };
	int err;
	struct l2tp3_profile *r;

	if (!o->no_secret)
		p.secret[0] = (struct l2tp3_secret_param){ "tunnel", 6 };
	r = l2tp3_profile_new(&p, &err);
	assert_non_null(r);
	return r;
}

static struct ppp_profile *ppp_of(struct ppp_params *p)
{
	int err;
	struct ppp_profile *r;

	p->ipcp = p->ipv6cp = true;
	p->echo_us = 10 * US_S;
	p->echo_lost = 3;
	r = ppp_profile_new(p, &err);
	assert_non_null(r);
	return r;
}

static void name(char *dst, size_t cap, const char *src)
{
	snprintf(dst, cap, "%s", src);
}

static struct conf_profile *profile_of(const struct pair_options *o)
{
	struct conf_profile *p = calloc(1, sizeof(*p));
	struct ppp_params params = { .mru = 1460, .auth_us = o->auth_us };

	assert_non_null(p);
	if (!o->no_login)
		params.auth_order[0] = (uint8_t)(o->auth ? o->auth : PPP_AUTH_CHAP_MD5);
	if (o->mppe) {
		params.auth_order[0] = PPP_AUTH_MSCHAPV2;
		params.mppe = PPP_MPPE_REQUIRE;
	}
	p->refs = 1;
	name(p->name, sizeof(p->name), "users");
	name(p->pool, sizeof(p->pool), "main");
	p->ppp = ppp_of(&params);
	p->no_login = o->no_login;
	assert_int_equal(addr_parse("10.9.0.1", &p->local4), 0);
	assert_int_equal(addr_parse("10.9.0.53", &p->dns4[0]), 0);
	assert_int_equal(addr_parse("2001:db8::53", &p->dns6[0]), 0);
	p->mss_clamp = p->antispoof = true;
	p->session_us = o->session_us;
	p->idle_us = o->idle_us;
	p->interim_us = o->interim_us;
	p->max_per_user = o->max_per_user;
	p->replace = o->replace;
	return p;
}

static void add_pool(struct access_conf *c, uint32_t n)
{
	c->pools = calloc(1, sizeof(*c->pools));
	assert_non_null(c->pools);
	c->pool_count = 1;
	name(c->pools->name, sizeof(c->pools->name), "main");
	c->pools->ranges = calloc(1, sizeof(*c->pools->ranges));
	c->pools->prefixes6 = calloc(1, sizeof(*c->pools->prefixes6));
	assert_non_null(c->pools->ranges);
	assert_non_null(c->pools->prefixes6);
	c->pools->range_count = c->pools->prefix6_count = 1;
	c->pools->ranges[0] = (struct conf_range4){ 0x0a090002, 0x0a090001 + (n ? n : 16) };
	c->pools->len6 = 64;
	assert_int_equal(prefix_parse("2001:db8:9::/48", &c->pools->prefixes6[0]), 0);
}

struct access_conf *pair_lns_conf(const struct pair_options *o)
{
	struct access_conf *c = access_conf_new();

	assert_non_null(c);
	name(c->host_name, sizeof(c->host_name), "lns");
	c->serial = 1;
	c->max_tunnels = o->max_tunnels;
	c->max_sessions = o->max_sessions;
	add_pool(c, o->pool4);
	c->profiles = calloc(1, sizeof(struct conf_profile *));
	assert_non_null(c->profiles);
	c->profiles[0] = profile_of(o);
	c->profile_count = 1;
	if (o->empty)
		return c;
	c->peers = calloc(1, sizeof(*c->peers));
	assert_non_null(c->peers);
	c->peer_count = 1;
	name(c->peers->name, sizeof(c->peers->name), "clients");
	name(c->peers->host_name, sizeof(c->peers->host_name), o->peer_host ? o->peer_host : "");
	if (o->peer_from) {
		c->peers->from = calloc(1, sizeof(struct prefix));
		assert_non_null(c->peers->from);
		assert_int_equal(prefix_parse(o->peer_from, c->peers->from), 0);
		c->peers->from_count = 1;
	}
	c->peers->l2tp = l2tp_of("lns", o, false);
	c->peers->version = o->version[0];
	c->peers->numbered = (o->sequencing && o->called_only) || o->server_asks;
	if (o->version[0] != CONF_V2)
		c->peers->l2tp3 = l2tp3_of("lns", o);
	c->peers->profile = conf_profile_ref(c->profiles[0]);
	c->peers->max_tunnels = o->peer_max_tunnels;
	c->peers->max_sessions = o->peer_max_sessions;
	return c;
}

struct access_conf *pair_client_conf(const struct pair_options *o)
{
	struct access_conf *c = access_conf_new();

	assert_non_null(c);
	name(c->host_name, sizeof(c->host_name), "client");
	c->serial = 1;
	if (o->empty)
		return c;
	c->dial_count = o->dials ? o->dials : 1;
	c->dials = calloc(c->dial_count, sizeof(*c->dials));
	assert_non_null(c->dials);
	for (unsigned int i = 0; i < c->dial_count; i++) {
		const char *password = o->password[i] ? o->password[i] : "secret";
		struct ppp_params p = { .mru = 1460,
					.user = o->user[i] ? o->user[i] : "alice",
					.password = password,
					.password_len = strlen(password),
					.peer_auth = PPP_AUTH_PAP | PPP_AUTH_CHAP_MD5,
					.ask_dns = true };
		struct conf_dial *d = &c->dials[i];

		if (o->mppe) {
			p.peer_auth = PPP_AUTH_ALL;
			p.mppe = PPP_MPPE_PREFER;
		}
		snprintf(d->name, sizeof(d->name), "d%u", i);
		snprintf(d->ifname, sizeof(d->ifname), "l2tp%u", i % 10);
		name(d->server, sizeof(d->server), "lns.example");
		name(d->user, sizeof(d->user), p.user);
		d->digest = 100 + i;
		d->via = 1;
		d->l2tp = l2tp_of("client", o, true);
		d->version = o->version[1];
		d->encap = o->over_ip ? DP_ENCAP_IP : DP_ENCAP_UDP;
		d->numbered = o->sequencing;
		if (o->version[1] != CONF_V2)
			d->l2tp3 = l2tp3_of("client", o);
		d->called_only = o->called_only;
		name(d->number, sizeof(d->number), o->number ? o->number : "");
		d->ppp = ppp_of(&p);
		d->automatic = !o->manual;
		d->redial_first_us = 2 * US_S;
		d->redial_cap_us = 8 * US_S;
		d->redial_max = o->redial_max;
		d->ip4 = d->ip6 = d->mss_clamp = d->want_dns = true;
		d->default_route = i == 0;
	}
	return c;
}

/* ---- the journal ---- */

static struct pair_record *record(struct machine *m, enum access_object kind, uint64_t id)
{
	for (size_t i = 0; i < m->record_count; i++) {
		if (m->records[i].kind == kind && m->records[i].id == id)
			return &m->records[i];
	}
	return NULL;
}

static size_t most_of(enum access_object kind)
{
	switch (kind) {
	case ACCESS_OBJ_TUNNEL:
		return ACCESS_SAVE_TUNNEL_MAX;
	case ACCESS_OBJ_SESSION:
		return ACCESS_SAVE_SESSION_MAX;
	case ACCESS_OBJ_ACCT:
		return ACCESS_SAVE_ACCT_MAX;
	case ACCESS_OBJ_STATE:
		return ACCESS_SAVE_STATE_MAX;
	}
	return 0;
}

static void keep(struct machine *m, enum access_object kind, uint64_t id, bool gone)
{
	struct pair_record *r = record(m, kind, id);
	struct wcur c;

	if (gone) {
		if (r)
			*r = m->records[--m->record_count];
		return;
	}
	if (!r) {
		assert_true(m->record_count < PAIR_RECORDS);
		r = &m->records[m->record_count++];
		r->kind = kind;
		r->id = id;
		r->writes = 0;
	}
	c = wcur_of(r->bytes, most_of(kind));
	access_save(m->a, kind, id, &c);
	assert_false(c.bad);
	assert_true(c.len > 0);
	r->len = c.len;
	r->writes++;
}

static bool load_all(struct machine *m)
{
	static const enum access_object order[] = { ACCESS_OBJ_STATE, ACCESS_OBJ_TUNNEL,
						    ACCESS_OBJ_SESSION, ACCESS_OBJ_ACCT };

	for (size_t k = 0; k < 4; k++) {
		for (size_t i = 0; i < m->record_count; i++) {
			struct rcur c = rcur_of(m->records[i].bytes, m->records[i].len);
			int rc;

			if (m->records[i].kind != order[k])
				continue;
			rc = access_load(m->a, m->pair->now, order[k], m->records[i].id, &c);
			if (rc < 0)
				return false;
			/* A tunnel that was being set up cannot go on. */
			assert_true(rc == 0 || order[k] == ACCESS_OBJ_TUNNEL || !m->records[i].len);
		}
	}
	return true;
}

/* ---- the data plane ---- */

struct pair_row *pair_row(struct machine *m, uint64_t key)
{
	for (size_t i = 0; i < PAIR_ROWS; i++) {
		if (m->rows[i].used && m->rows[i].there && m->rows[i].key == key)
			return &m->rows[i];
	}
	return NULL;
}

size_t pair_rows(const struct machine *m)
{
	size_t n = 0;

	for (size_t i = 0; i < PAIR_ROWS; i++)
		n += m->rows[i].used && m->rows[i].there;
	return n;
}

static struct dp_done *done_new(struct machine *m, uint8_t op, uint64_t key, uint32_t generation)
{
	struct dp_done *d = &m->done[m->done_count++];

	assert_true(m->done_count <= PAIR_ROWS * 2);
	*d = (struct dp_done){ .op = op, .key = key, .generation = generation };
	return d;
}

static void plane_put(struct machine *m, const struct access_event *ev)
{
	struct dp_done *d = done_new(m, DP_OP_PUT, ev->key, ev->generation);
	struct pair_row *r = pair_row(m, ev->key);

	assert_true(dp_row_ok(ev->row));
	assert_true(!r || r->life != m->lives || ev->generation > r->generation);
	for (size_t i = 0; i < PAIR_ROWS; i++) {
		const struct pair_row *o = &m->rows[i];

		if (!o->used || !o->there || o->key == ev->key)
			continue;
		assert_false(o->row.local_tunnel == ev->row->local_tunnel &&
			     o->row.local_session == ev->row->local_session);
		/* No two rows have the same prefix. */
		for (uint8_t x = 0; x < o->row.prefix_count; x++) {
			for (uint8_t y = 0; y < ev->row->prefix_count; y++)
				assert_false(o->row.prefixes[x].len == ev->row->prefixes[y].len &&
					     addr_same_ip(&o->row.prefixes[x].addr,
							  &ev->row->prefixes[y].addr));
		}
	}
	if (m->put_error) {
		d->error = -m->put_error;
		name(d->text, sizeof(d->text), "the plane is out of order");
		return;
	}
	if (m->no_mppe && ev->row->flags & (DP_F_MPPE | DP_F_MPPE_KEYS)) {
		d->error = -EOPNOTSUPP;
		return;
	}
	if (ev->row->state == DP_PREPARED) {
		m->pipes++;
		if (m->no_pipes) {
			d->error = -EOPNOTSUPP;
			return;
		}
	}
	for (size_t i = 0; i < PAIR_ROWS && !r; i++) {
		if (!m->rows[i].used || !m->rows[i].there) {
			r = &m->rows[i];
			*r = (struct pair_row){ .used = true,
						.there = true,
						.key = ev->key,
						.ns = ev->row->first_ns,
						.nr = ev->row->first_nr };
		}
	}
	assert_non_null(r);
	r->row = *ev->row;
	r->generation = ev->generation;
	r->life = m->lives;
	if (r->row.flags & DP_F_CLIENT)
		name(d->ifname, sizeof(d->ifname), r->row.ifname);
}

static void plane_del(struct machine *m, uint64_t key, uint32_t generation)
{
	struct dp_done *d = done_new(m, DP_OP_DEL, key, generation);
	struct pair_row *r = pair_row(m, key);

	if (!r)
		return;
	assert_true(r->life != m->lives || generation > r->generation);
	d->counters = r->counters;
	r->there = false;
}

void pair_traffic(struct machine *m, uint64_t key, uint64_t octets)
{
	struct pair_row *r = pair_row(m, key);

	assert_non_null(r);
	r->counters.rx_packets++;
	r->counters.rx_bytes += octets;
	r->counters.tx_packets += 2;
	r->counters.tx_bytes += 2 * octets;
	r->counters.last_rx = m->pair->now;
}

/* ---- the network ---- */

/* Remember the Result Code AVP (RFC 2661 4.4.2) of a control message. */
static void note_result(struct machine *m, const uint8_t *bytes, size_t len)
{
	struct rcur c = rcur_of(bytes, len), v;
	uint16_t flags, head;
	size_t n;

	if (!m->addr.port)
		rcur_u32(&c); /* session 0 */
	flags = rcur_u16(&c);
	rcur_take(&c, 10);
	while (flags & 0x8000 && rcur_left(&c) >= 6) {
		head = rcur_u16(&c);
		n = (head & 0x3ff) - 6u;
		rcur_u16(&c);
		if (rcur_u16(&c) != 1) {
			rcur_take(&c, n);
			continue;
		}
		v = rcur_sub(&c, n);
		m->pair->result[m->index] = rcur_u16(&v);
		m->pair->error[m->index] = rcur_left(&v) ? rcur_u16(&v) : 0;
		n = rcur_left(&v) < L2TP_TEXT_MAX - 1 ? rcur_left(&v) : L2TP_TEXT_MAX - 1;
		memset(m->pair->message[m->index], 0, L2TP_TEXT_MAX);
		rcur_copy(&v, m->pair->message[m->index], n);
	}
}

/* An ICCN gets AVPs that its sender does not know. */
static void add_avps(struct pair *p, struct pair_packet *k)
{
	static const uint8_t iccn[8] = { 0x80, 8, 0, 0, 0, 0, 0, 12 };

	if (!p->iccn || k->len < 20 || memcmp(k->bytes + 12, iccn, sizeof(iccn)) != 0)
		return;
	for (const char *hex = p->iccn; hex[0] && hex[1]; hex += 2) {
		unsigned int octet;

		assert_int_equal(sscanf(hex, "%2x", &octet), 1);
		k->bytes[k->len++] = (uint8_t)octet;
	}
	k->bytes[2] = (uint8_t)(k->len >> 8);
	k->bytes[3] = (uint8_t)k->len;
}

static void carry(struct machine *m, const struct path *path, const uint8_t *bytes, size_t len)
{
	struct pair *p = m->pair;
	struct machine *to = &p->m[!m->index];
	struct pair_packet *k = &p->packets[(p->first + p->count) % PAIR_PACKETS];

	assert_true(addr_same_ip(&path->local, &m->addr));
	note_result(m, bytes, len);
	if (p->cut || !addr_same_ip(&path->remote, &to->addr))
		return;
	assert_true(p->count < PAIR_PACKETS);
	assert_true(len <= sizeof(k->bytes));
	k->path = (struct path){ .via = 1, .local = path->remote, .remote = path->local };
	k->to = to->index;
	k->len = len;
	memcpy(k->bytes, bytes, len);
	add_avps(p, k);
	p->count++;
	p->carried++;
}

/* The plane wraps a PPP frame of an active row. */
static void plane_send(struct machine *m, struct pair_row *r, const uint8_t *frame, size_t len)
{
	uint8_t buf[ACCESS_PACKET_MAX + 64];
	struct wcur c = wcur_of(buf, sizeof(buf));
	bool length = r->row.flags & DP_F_LENGTH;
	bool numbers = (m->config.pipes || r->row.version == 3) && r->row.flags & DP_F_SEND_SEQ;

	r->frames++;
	if (r->row.version == 3) {
		if (r->row.encap == DP_ENCAP_UDP)
			wcur_u32(&c, 3u << 16);
		wcur_u32(&c, r->row.remote_session);
		wcur_bytes(&c, r->row.cookie_out, r->row.cookie_out_len);
		if (r->row.l2spec == DP_L2SPEC_DEFAULT)
			wcur_u32(&c, numbers ? 0x40000000u | r->ns++ : 0);
		wcur_u16(&c, 0xff03);
		wcur_bytes(&c, frame, len);
		assert_false(c.bad);
		carry(m, &r->row.path, buf, c.len);
		return;
	}
	wcur_u16(&c, (uint16_t)(0x0002 | (length ? 0x4000 : 0) | (numbers ? 0x0800 : 0)));
	if (length)
		wcur_u16(&c, (uint16_t)(10 + (numbers ? 4 : 0) + len));
	wcur_u16(&c, (uint16_t)r->row.remote_tunnel);
	wcur_u16(&c, (uint16_t)r->row.remote_session);
	if (numbers) {
		wcur_u16(&c, r->ns++);
		wcur_u16(&c, 0);
	}
	wcur_u16(&c, 0xff03);
	wcur_bytes(&c, frame, len);
	assert_false(c.bad);
	carry(m, &r->row.path, buf, c.len);
}

static bool is_local(const uint8_t *ip6, size_t len)
{
	return len >= 40 && (ip6[24] == 0xff || (ip6[24] == 0xfe && (ip6[25] & 0xc0) == 0x80));
}

/* A PPP frame of a row: what of it comes up. */
static void plane_gives(struct machine *m, const struct pair_row *r, struct rcur c)
{
	uint16_t proto;

	if (rcur_left(&c) >= 2 && c.p[0] == 0xff && c.p[1] == 3)
		rcur_u16(&c);
	proto = rcur_left(&c) >= 2 ? (uint16_t)(c.p[0] << 8 | c.p[1]) : 0;
	if (proto == PPP_PROTO_IPV6 && is_local(c.p + 2, rcur_left(&c) - 2))
		access_frame(m->a, m->pair->now, r->key, DP_PUNT_LOCAL, c.p + 2, rcur_left(&c) - 2);
	else if (proto != PPP_PROTO_IP && proto != PPP_PROTO_IPV6)
		access_frame(m->a, m->pair->now, r->key, DP_PUNT_PPP, c.p, rcur_left(&c));
}

/* The number is due, or there is none; else the kernel would drop the frame. */
static bool due(struct machine *m, struct pair_row *r, bool numbered, uint32_t ns)
{
	if (!numbered)
		return true;
	m->late += ns != r->nr;
	if (ns != r->nr)
		return false;
	r->nr++;
	return true;
}

/* Of L2TPv3: with the session's cookie, or not at all. */
static bool plane_input3(struct machine *m, const struct pair_packet *k)
{
	struct rcur c = rcur_of(k->bytes, k->len);
	uint32_t session, sublayer = 0;

	if (k->path.remote.port)
		rcur_u32(&c);
	session = rcur_u32(&c);
	for (size_t i = 0; i < PAIR_ROWS; i++) {
		struct pair_row *r = &m->rows[i];
		const uint8_t *cookie;

		if (!r->used || !r->there || r->row.version != 3 || r->row.local_session != session)
			continue;
		cookie = rcur_take(&c, r->row.cookie_in_len);
		assert_non_null(cookie);
		assert_memory_equal(cookie, r->row.cookie_in, r->row.cookie_in_len);
		if (r->row.l2spec == DP_L2SPEC_DEFAULT)
			sublayer = rcur_u32(&c);
		if (due(m, r, sublayer & 0x40000000u, sublayer & 0xffffff))
			plane_gives(m, r, c);
		/* a raw socket has got it, too */
		return k->path.remote.port != 0;
	}
	return false;
}

/* What the plane does with data of a row it has; false: not its business. */
static bool plane_input(struct machine *m, const struct pair_packet *k)
{
	struct rcur c = rcur_of(k->bytes, k->len);
	uint16_t flags = rcur_u16(&c), tunnel, session;
	struct pair_row *r = NULL;

	if (!k->path.remote.port || (flags & 0x800f) == 3)
		return plane_input3(m, k);
	if (flags & (m->config.pipes ? 0x8200 : 0x8a00))
		return false;
	if (flags & 0x4000)
		rcur_u16(&c);
	tunnel = rcur_u16(&c);
	session = rcur_u16(&c);
	for (size_t i = 0; i < PAIR_ROWS; i++) {
		struct pair_row *it = &m->rows[i];

		if (it->used && it->there && it->row.local_tunnel == tunnel &&
		    it->row.local_session == session)
			r = it;
	}
	if (c.bad || !r)
		return false;
	if (flags & 0x0800) {
		uint16_t ns = rcur_u16(&c);

		rcur_u16(&c);
		if (c.bad || !due(m, r, true, ns))
			return true;
	}
	plane_gives(m, r, c);
	return true;
}

/* ---- life ---- */

struct pair *pair_make(const struct pair_options *o)
{
	static const char users[] = "alice * secret\nbob * secret\ncarol * secret 10.9.0.77\n";
	struct pair *p = calloc(1, sizeof(*p));
	const char *text = o->users ? o->users : users;
	char err[128];
	int rc;

	assert_non_null(p);
	p->now.us = 1000 * US_S;
	for (unsigned int i = 0; i < 2; i++) {
		struct machine *m = &p->m[i];

		m->pair = p;
		m->index = i;
		m->config.pipes = o->pipes;
		m->addr = (struct addr){ .family = AF_INET,
					 .port = o->over_ip ? 0 : 1701,
					 .ip = { 192, 0, 2, (uint8_t)(1 + i) } };
		m->config.incarnation = 1;
		m->conf = i ? pair_client_conf(o) : pair_lns_conf(o);
	}
	p->m[0].users = users_parse(text, strlen(text), &rc, err, sizeof(err));
	assert_non_null(p->m[0].users);
	return p;
}

struct pair *pair_new(const struct pair_options *o)
{
	struct pair *p = pair_make(o);

	assert_true(pair_start(&p->m[0]));
	assert_true(pair_start(&p->m[1]));
	return p;
}

void pair_stop(struct machine *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->line_count; i++) {
		if (!m->lines[i].written)
			continue;
		m->lines[n] = m->lines[i];
		m->lines[n++].owed = false; /* what is owed is told again */
	}
	m->line_count = n;
	access_free(m->a);
	m->a = NULL;
	m->auth_count = m->done_count = m->stats_count = m->resolve_count = m->heard_count = 0;
}

void pair_free(struct pair *p)
{
	for (unsigned int i = 0; i < 2; i++) {
		pair_stop(&p->m[i]);
		access_conf_unref(p->m[i].conf);
		users_free(p->m[i].users);
	}
	free(p);
}

bool pair_start(struct machine *m)
{
	struct access_cmd conf = { .kind = ACCESS_CMD_CONF, .conf = m->conf };
	bool first = m->record_count == 0;
	struct access_session_info i;
	struct mono now = m->pair->now;

	assert_null(m->a);
	memset(m->config.seed, 0, sizeof(m->config.seed));
	m->config.seed[0] = (uint8_t)m->index;
	m->config.seed[1] = (uint8_t)m->lives++;
	m->a = access_new(&m->config);
	if (!m->a)
		return false;
	access_wall(m->a, now, PAIR_UNIX + now.us);
	if (access_do(m->a, now, &conf) < 0 || !load_all(m)) {
		pair_stop(m);
		return false;
	}
	access_loaded(m->a, now);
	if (m->says_on && first && access_on(m->a, now) < 0) {
		pair_stop(m);
		return false;
	}
	for (size_t k = 0; k < PAIR_ROWS; k++) {
		if (m->rows[k].used && m->rows[k].there &&
		    !access_session(m->a, m->rows[k].key, &i))
			m->rows[k].there = false;
	}
	return true;
}

/* ---- the drain loop ---- */

/* One step is done; true when the machine is killed now. */
static bool step(struct machine *m)
{
	m->steps++;
	if (!m->kill_at || m->steps != m->kill_at)
		return false;
	m->kills++;
	pair_stop(m);
	assert_true(pair_start(m));
	return true;
}

static void log_event(struct machine *m, const struct access_event *ev)
{
	struct pair_news *n = &m->log[m->log_count++];

	assert_true(m->log_count <= PAIR_LOG);
	*n = (struct pair_news){ .kind = ev->kind,
				 .key = ev->key,
				 .cause = ev->cause,
				 .established = ev->established,
				 .by_peer = ev->by_peer,
				 .prefix6 = ev->prefix6,
				 .mtu = ev->mtu };
	name(n->name, sizeof(n->name), ev->name ? ev->name : "");
	name(n->text, sizeof(n->text), ev->text ? ev->text : "");
	name(n->ifname, sizeof(n->ifname), ev->ifname ? ev->ifname : "");
	name(n->user, sizeof(n->user), ev->user ? ev->user : "");
	memcpy(n->our_ip4, ev->our_ip4, 4);
	memcpy(n->peer_ip4, ev->peer_ip4, 4);
}

static void keep_line(struct machine *m, const struct access_event *ev)
{
	struct pair_line *l = NULL;

	for (size_t i = 0; i < m->line_count; i++) {
		if (m->lines[i].key == ev->key && m->lines[i].seq == ev->acct_seq)
			l = &m->lines[i];
	}
	assert_true(!l || m->lives > 1);
	if (!l) {
		assert_true(m->line_count < PAIR_LINES);
		l = &m->lines[m->line_count++];
	} else if (l->written) {
		/* It was on disk before the crash: the same line, to be confirmed again. */
		assert_string_equal(l->text, ev->line);
		l->owed = true;
		return;
	}
	*l = (struct pair_line){ .key = ev->key, .seq = ev->acct_seq, .owed = true };
	assert_true(strlen(ev->line) < sizeof(l->text));
	name(l->text, sizeof(l->text), ev->line);
}

static void on_event(struct machine *m, const struct access_event *ev)
{
	log_event(m, ev);
	switch (ev->kind) {
	case ACCESS_EV_DP_PUT:
		plane_put(m, ev);
		break;
	case ACCESS_EV_DP_DEL:
		plane_del(m, ev->key, ev->generation);
		break;
	case ACCESS_EV_DP_NET:
		assert_true(dp_net_ok(ev->net));
		done_new(m, DP_OP_NET, 0, ev->generation);
		break;
	case ACCESS_EV_AUTH:
		assert_true(m->auth_count < PAIR_ROWS);
		users_check(m->users, ev, "adit", &m->auth[m->auth_count++]);
		break;
	case ACCESS_EV_RESOLVE:
		assert_true(m->resolve_count < PAIR_DIALS);
		assert_string_equal(ev->host, "lns.example");
		name(m->resolve[m->resolve_count++], CONF_NAME, ev->name);
		break;
	case ACCESS_EV_STATS:
		assert_true(m->stats_count < PAIR_ROWS);
		m->stats[m->stats_count++] = ev->key;
		break;
	case ACCESS_EV_HEARD:
		assert_true(m->heard_count < PAIR_ROWS);
		m->heard[m->heard_count++] = ev->tunnel;
		break;
	case ACCESS_EV_ACCT:
		keep_line(m, ev);
		break;
	case ACCESS_EV_UP:
	case ACCESS_EV_TUNNEL_UP:
		break;
	case ACCESS_EV_DOWN:
	case ACCESS_EV_TUNNEL_DOWN:
		assert_non_null(ev->text);
		assert_true(ev->text[0]);
		break;
	}
}

static int events(struct machine *m)
{
	struct access_event ev;
	int any = 0;

	while (access_event(m->a, m->pair->now, &ev)) {
		any = 1;
		on_event(m, &ev);
		if (step(m))
			return -1;
	}
	return any;
}

static int answer(struct machine *m)
{
	struct mono now = m->pair->now;
	int any = 0;

	for (; !m->hold_auth && m->auth_count; any = 1) {
		struct access_cmd cmd = m->auth[--m->auth_count];

		access_do(m->a, now, &cmd);
	}
	for (; !m->hold_done && m->done_count; any = 1) {
		struct dp_done d = m->done[0];
		struct access_cmd cmd = { .kind = ACCESS_CMD_DP_DONE, .done = &d };

		memmove(m->done, m->done + 1, --m->done_count * sizeof(d));
		access_do(m->a, now, &cmd);
	}
	for (; m->stats_count; any = 1) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_STATS,
					  .key = m->stats[--m->stats_count] };
		struct pair_row *r = pair_row(m, cmd.key);

		cmd.known = r && !m->unknown;
		if (cmd.known)
			cmd.counters = r->counters;
		access_do(m->a, now, &cmd);
	}
	for (; m->resolve_count; any = 1) {
		struct path path = { .via = 1, .local = m->addr, .remote = m->pair->m[0].addr };
		struct access_cmd cmd = { .kind = ACCESS_CMD_RESOLVED,
					  .name = m->resolve[--m->resolve_count],
					  .paths = &path,
					  .path_count = m->no_name ? 0 : 1,
					  .text = "no such name" };

		access_do(m->a, now, &cmd);
	}
	for (; m->heard_count; any = 1) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_HEARD,
					  .tunnel = m->heard[--m->heard_count] };

		access_do(m->a, now, &cmd);
	}
	return any;
}

static int journal(struct machine *m)
{
	enum access_object kind;
	uint64_t id;
	bool gone;
	int any = 0;

	while (access_dirty(m->a, &kind, &id, &gone)) {
		any = 1;
		keep(m, kind, id, gone);
		if (step(m))
			return -1;
	}
	return any;
}

static int output(struct machine *m)
{
	uint8_t buf[ACCESS_PACKET_MAX];
	struct access_packet p;
	size_t len, off;

	while ((len = access_output(m->a, m->pair->now, buf, sizeof(buf), &off, &p))) {
		struct pair_row *r = p.key ? pair_row(m, p.key) : NULL;

		assert_true(off + len <= sizeof(buf));
		if (!p.key)
			carry(m, &p.path, buf + off, len);
		else if (r)
			plane_send(m, r, buf + off, len);
		if (step(m))
			return -1;
	}
	return 0;
}

static int write_lines(struct machine *m)
{
	int any = 0;

	for (size_t i = 0; i < m->line_count && !m->hold_lines; i++) {
		struct pair_line *l = &m->lines[i];
		struct access_cmd cmd = { .kind = ACCESS_CMD_ACCT_WRITTEN,
					  .key = l->key,
					  .acct_seq = l->seq };

		if (!l->owed)
			continue;
		any = 1;
		l->owed = false;
		l->written = true;
		if (step(m))
			return -1;
		access_do(m->a, m->pair->now, &cmd);
	}
	return any;
}

void pair_drain(struct machine *m)
{
	int any = 1;

	while (any) {
		any = 0;
		for (int i = 0; i < 5; i++) {
			int rc = i == 0	  ? events(m)
				 : i == 1 ? answer(m)
				 : i == 2 ? journal(m)
				 : i == 3 ? output(m)
					  : write_lines(m);

			if (rc < 0) {
				any = 1;
				break;
			}
			any |= rc;
		}
	}
}

int pair_do(struct machine *m, const struct access_cmd *cmd)
{
	int rc = access_do(m->a, m->pair->now, cmd);

	pair_drain(m);
	return rc;
}

int pair_conf(struct machine *m, struct access_conf *conf)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = conf };

	conf->serial = m->conf->serial + 1;
	access_conf_unref(m->conf);
	m->conf = conf;
	return pair_do(m, &cmd);
}

int pair_dial(struct machine *m, enum access_cmd_kind kind, const char *dial)
{
	struct access_cmd cmd = { .kind = kind, .name = dial };

	return pair_do(m, &cmd);
}

/* ---- time ---- */

/* The next thing that happens until `end`; false when there is nothing more. */
static bool happen(struct pair *p, struct mono end)
{
	struct pair_packet *k = &p->packets[p->first];
	struct mono at = end;

	for (unsigned int i = 0; i < 2; i++) {
		if (p->m[i].a)
			pair_drain(&p->m[i]);
	}
	if (p->count) {
		struct machine *m = &p->m[k->to];

		if (m->a && !plane_input(m, k))
			access_input(m->a, p->now, &k->path, k->bytes, k->len);
		p->first = (p->first + 1) % PAIR_PACKETS;
		p->count--;
		return true;
	}
	for (unsigned int i = 0; i < 2; i++) {
		if (p->m[i].a)
			at = mono_min(at, access_deadline(p->m[i].a));
	}
	if (p->now.us >= end.us)
		return false;
	p->now.us = at.us > p->now.us ? at.us : p->now.us + 1;
	for (unsigned int i = 0; i < 2; i++) {
		if (p->m[i].a)
			access_expire(p->m[i].a, p->now);
	}
	return true;
}

void pair_run(struct pair *p, int64_t us)
{
	struct mono end = mono_add(p->now, us);

	for (unsigned int i = 0; happen(p, end); i++)
		assert_true(i < 200000);
}

bool pair_step(struct pair *p, int64_t us)
{
	return happen(p, mono_add(p->now, us));
}

size_t pair_told(const struct machine *m, enum access_event_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < m->log_count; i++)
		n += m->log[i].kind == kind;
	return n;
}

void pair_until(struct pair *p, struct machine *m, enum access_event_kind kind, size_t n,
		int64_t us)
{
	struct mono end = mono_add(p->now, us);

	while (pair_told(m, kind) < n && happen(p, end))
		;
	if (pair_told(m, kind) < n)
		fail_msg("event %d came %zu times, not %zu", (int)kind, pair_told(m, kind), n);
}

const struct pair_news *pair_latest(const struct machine *m, enum access_event_kind kind)
{
	for (size_t i = m->log_count; i-- > 0;) {
		if (m->log[i].kind == kind)
			return &m->log[i];
	}
	fail_msg("no event of kind %d", (int)kind);
	return NULL;
}

/* ---- checks ---- */

size_t pair_lines(const struct machine *m, uint64_t key, const char *event)
{
	char what[40];
	size_t n = 0;

	snprintf(what, sizeof(what), "\"event\":\"%s", event);
	for (size_t i = 0; i < m->line_count; i++)
		n += (!key || m->lines[i].key == key) && strstr(m->lines[i].text, what);
	return n;
}

void pair_check_lines(const struct machine *m, bool all_stopped)
{
	for (size_t i = 0; i < m->line_count; i++) {
		uint64_t key = m->lines[i].key;
		size_t lines = pair_lines(m, key, ""), stops = pair_lines(m, key, "stop");
		uint64_t sum = 0;

		assert_int_equal(pair_lines(m, key, "start"), 1);
		assert_true(stops <= 1);
		if (all_stopped)
			assert_int_equal(stops, 1);
		for (size_t j = 0; j < m->line_count; j++) {
			if (m->lines[j].key == key)
				sum += m->lines[j].seq;
		}
		assert_int_equal(sum, lines * (lines + 1) / 2);
	}
}

void pair_check_empty(struct machine *m)
{
	struct access_summary s;
	struct access_pool_info i;

	pair_drain(m);
	access_summary(m->a, &s);
	assert_int_equal(s.sessions, 0);
	assert_int_equal(s.sessions_up, 0);
	assert_int_equal(s.tunnels, 0);
	assert_int_equal(pair_rows(m), 0);
	if (access_pool(m->a, 0, &i)) {
		assert_int_equal(i.used4, 0);
		assert_int_equal(i.used6, 0);
	}
	for (size_t k = 0; k < m->record_count; k++)
		assert_int_equal(m->records[k].kind, ACCESS_OBJ_STATE);
	assert_int_equal(access_session_next(m->a, 0), 0);
	assert_int_equal(access_tunnel_next(m->a, 0), 0);
}
