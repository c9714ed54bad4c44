/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a whole LNS and its client, struct access at both ends. The bytes are a schedule of
 * packets that arrive, are lost, doubled or broken, of time, commands, answers, completions of the
 * data plane, new configurations, and restarts from records.
 *
 * drives: src/access/access.c src/access/acct.c src/access/conf.c src/access/dial.c
 * drives: src/access/event.c src/access/grant.c src/access/load.c src/access/local.c
 * drives: src/access/pool.c src/access/row.c src/access/save.c src/access/server.c
 * drives: src/access/session.c src/access/tunnel.c
 *
 * Input: one octet of options, then operations, each an octet whose low four bits say which and
 * whose fifth bit says at which end (0 the LNS), with operands behind it. Besides what the
 * sanitizers find it is an error when a row is one that no data plane can be told, when two rows
 * have one prefix, when a line comes twice or is no JSON object, when a record does not fit or does
 * not come back, or when something is left after everything has ended.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "access/access.h"
#include "base/wire.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)
#define RECORDS 96
#define ROWS	24
#define PACKETS 64
#define LINES	128
#define PENDING 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Options of a run. */
enum {
	O_PAP = 1,
	O_NO_LOGIN = 2,
	O_REPLACE = 4,
	O_ONE_PER_USER = 8,
	O_INTERIM = 16,
	O_LIMITS = 32,
	O_FROM_PATH = 64,
	O_TWO_DIALS = 128
};

/* How an end answers; bits of operation 7. */
enum {
	M_HOLD_AUTH = 1,
	M_REFUSE = 2,
	M_HOLD_DONE = 4,
	M_PLANE_FAILS = 8,
	M_HOLD_LINES = 16,
	M_NO_NAME = 32,
	M_UNKNOWN = 64,
	M_FIXED = 128
};

struct record {
	enum access_object kind;
	uint64_t id;
	size_t len;
	uint8_t *bytes;
};

struct row {
	bool there;
	uint64_t key;
	struct dp_row row;
	struct dp_counters counters;
};

struct packet {
	struct path path;
	size_t len;
	uint8_t to;
	uint8_t bytes[ACCESS_PACKET_MAX + 32];
};

struct line {
	uint64_t key;
	uint32_t seq;
	bool confirmed;
};

struct end {
	uint8_t index;
	struct access *a;
	struct access_conf *conf;
	struct addr addr;
	uint8_t mode;
	uint32_t lives;
	struct record records[RECORDS];
	size_t record_count;
	struct row rows[ROWS];
	struct line lines[LINES];
	size_t line_count;
	uint64_t auth[PENDING];
	size_t auth_count;
	struct dp_done done[PENDING];
	size_t done_count;
	uint64_t stats[PENDING];
	size_t stats_count;
	char names[PENDING][CONF_NAME];
	size_t name_count;
	uint32_t heard[PENDING];
	size_t heard_count;
	bool full; /* something did not fit into the tables here */
};

struct run {
	uint8_t options;
	struct mono now;
	struct rcur c;
	struct end end[2];
	struct packet packets[PACKETS];
	size_t first, count;
	bool over_ip; /* L2TPv3 without UDP */
	bool pipes;   /* planes that number data */
	bool spoiled; /* a record was broken, or more was going on than there is room for */
	unsigned int budget;
};

/* ---- configurations ---- */

static struct l2tp_profile *l2tp_of(const char *name)
{
	struct l2tp_params p = { .host_name = name, .hello_us = 20 * US_S, .empty_us = 30 * US_S };
	int err;
	struct l2tp_profile *r = l2tp_profile_new(&p, &err);

	CHECK(r);
	return r;
}

/* The target lns3 is this one with L2TPv3: what the options say besides. */
#ifdef FUZZ_LNS3
#define V3_SERVER_ANY O_REPLACE
#define V3_CLIENT_ANY O_LIMITS
#define V3_OVER_IP    O_ONE_PER_USER /* where the client asks for L2TPv3 alone */
#define V3_NUMBERED   O_INTERIM
#define V3_CALLED     O_NO_LOGIN /* the client waits for a call */

static struct l2tp3_profile *l2tp3_of(const char *name)
{
	struct l2tp3_params p = { .host_name = name,
				  .pw_types = { L2TP3_PW_PPP },
				  .mirror_sublayer = true,
				  .mirror_sequencing = true,
				  .hello_us = 20 * US_S,
				  .empty_us = 30 * US_S };
	int err;
	struct l2tp3_profile *r = l2tp3_profile_new(&p, &err);

	CHECK(r);
	return r;
}

static bool any_version(const struct run *r)
{
	return r->options & V3_CLIENT_ANY;
}

static bool over_ip(const struct run *r)
{
	return r->options & V3_OVER_IP && !any_version(r);
}

static void peer_v3(const struct run *r, struct conf_peer *p)
{
	p->version = r->options & V3_SERVER_ANY ? CONF_V_ANY : CONF_V3;
	p->l2tp3 = l2tp3_of("lns");
	p->numbered = r->options & V3_NUMBERED;
}

static void dial_v3(const struct run *r, struct conf_dial *d)
{
	d->version = any_version(r) ? CONF_V_ANY : CONF_V3;
	d->encap = over_ip(r) ? DP_ENCAP_IP : DP_ENCAP_UDP;
	d->l2tp3 = l2tp3_of("client");
	d->numbered = r->options & V3_NUMBERED;
	d->called_only = r->options & V3_CALLED && !any_version(r);
}
#endif

static struct ppp_profile *ppp_of(struct ppp_params *p)
{
	int err;
	struct ppp_profile *r;

	p->ipcp = p->ipv6cp = true;
	p->echo_us = 10 * US_S;
	r = ppp_profile_new(p, &err);
	CHECK(r);
	return r;
}

static void fill_pool(struct conf_pool *c, unsigned int variant)
{
	c->ranges = calloc(2, sizeof(*c->ranges));
	c->prefixes6 = calloc(1, sizeof(*c->prefixes6));
	CHECK(c->ranges && c->prefixes6);
	memcpy(c->name, "p", 2);
	c->range_count = 2;
	c->ranges[0] = (struct conf_range4){ 0x0a000001, variant & 1 ? 0x0a000003 : 0x0a000002 };
	c->ranges[1] = (struct conf_range4){ 0x0a000009, 0x0a000009 };
	c->len6 = 64;
	c->prefix6_count = 1;
	CHECK(prefix_parse(variant & 1 ? "2001:db8::/62" : "2001:db8::/63", c->prefixes6) == 0);
}

static struct conf_profile *profile_of(const struct run *r)
{
	struct conf_profile *p = calloc(1, sizeof(*p));
	struct ppp_params params = { .auth_us = 10 * US_S, .auth_again_us = 40 * US_S };

	CHECK(p);
	if (!(r->options & O_NO_LOGIN))
		params.auth_order[0] = r->options & O_PAP ? PPP_AUTH_PAP : PPP_AUTH_CHAP_MD5;
	p->refs = 1;
	memcpy(p->name, "users", 6);
	memcpy(p->pool, "p", 2);
	p->ppp = ppp_of(&params);
	p->no_login = r->options & O_NO_LOGIN;
	CHECK(addr_parse("10.0.0.1", &p->local4) == 0);
	CHECK(addr_parse("10.0.0.53", &p->dns4[0]) == 0);
	CHECK(addr_parse("2001:db8::53", &p->dns6[0]) == 0);
	p->mss_clamp = p->antispoof = true;
	p->mru_from_path = r->options & O_FROM_PATH;
	p->mtu = r->options & O_FROM_PATH ? 1200 : 0;
	p->replace = r->options & O_REPLACE;
	p->max_per_user = r->options & O_ONE_PER_USER ? 1 : 0;
	p->interim_us = r->options & O_INTERIM ? 15 * US_S : 0;
	p->session_us = r->options & O_LIMITS ? 90 * US_S : 0;
	p->idle_us = r->options & O_LIMITS ? 20 * US_S : 0;
	return p;
}

/* Bits of a variant: 0 a larger pool, 1 no peer block, 2 another peer first, 3 small limits. */
static struct access_conf *lns_conf(const struct run *r, unsigned int variant)
{
	struct access_conf *c = access_conf_new();

	CHECK(c);
	c->pools = calloc(1, sizeof(*c->pools));
	c->profiles = calloc(1, sizeof(struct conf_profile *));
	c->peers = calloc(2, sizeof(*c->peers));
	CHECK(c->pools && c->profiles && c->peers);
	c->pool_count = c->profile_count = 1;
	c->serial = variant;
	fill_pool(c->pools, variant);
	c->profiles[0] = profile_of(r);
	c->max_sessions = variant & 8 ? 1 : 0;
	c->max_tunnels = variant & 8 ? 2 : 0;
	if (variant & 2)
		return c;
	for (unsigned int i = variant & 4 ? 0 : 1; i < 2; i++) {
		struct conf_peer *p = &c->peers[c->peer_count++];

		snprintf(p->name, sizeof(p->name), "peer%u", i);
		memcpy(p->host_name, i ? "cl*t" : "nobody?*", i ? 5 : 9);
		p->from = calloc(1, sizeof(*p->from));
		CHECK(p->from && prefix_parse(i ? "192.0.2.0/24" : "2001:db8::/32", p->from) == 0);
		p->from_count = 1;
		p->l2tp = l2tp_of("lns");
		p->profile = conf_profile_ref(c->profiles[0]);
#ifdef FUZZ_LNS3
		peer_v3(r, p);
#endif
		p->max_tunnels = variant & 8 ? 1 : 0;
		p->max_sessions = variant & 8 ? 1 : 0;
	}
	return c;
}

/* Bits of a variant: 0 no dials, 1 other settings, 2 started by hand, 3 few attempts. */
static struct access_conf *client_conf(const struct run *r, unsigned int variant)
{
	struct access_conf *c = access_conf_new();

	CHECK(c);
	c->serial = variant;
	if (variant & 1)
		return c;
	c->dial_count = r->options & O_TWO_DIALS ? 2 : 1;
	c->dials = calloc(c->dial_count, sizeof(*c->dials));
	CHECK(c->dials);
	for (unsigned int i = 0; i < c->dial_count; i++) {
		struct ppp_params p = { .user = "user",
					.password = "pw",
					.password_len = 2,
					.peer_auth = PPP_AUTH_PAP | PPP_AUTH_CHAP_MD5,
					.ask_dns = true };
		struct conf_dial *d = &c->dials[i];

		snprintf(d->name, sizeof(d->name), "d%u", i);
		memcpy(d->server, "lns", 4);
		memcpy(d->user, "user", 5);
		memcpy(d->ifname, "l2tp0", 6);
		d->l2tp = l2tp_of("client");
#ifdef FUZZ_LNS3
		dial_v3(r, d);
#endif
		d->ppp = ppp_of(&p);
		d->automatic = !(variant & 4);
		d->redial_first_us = US_S;
		d->redial_cap_us = 4 * US_S;
		d->redial_max = variant & 8 ? 2 : 0;
		d->digest = r->options & O_FROM_PATH ? 0 : 5 + (variant & 2);
		d->metric = variant & 2;
		d->ip4 = d->ip6 = d->want_dns = d->mss_clamp = d->default_route = true;
		d->mru_from_path = r->options & O_FROM_PATH;
		d->session_us = r->options & O_LIMITS ? 80 * US_S : 0;
		d->idle_us = r->options & O_LIMITS ? 30 * US_S : 0;
		d->routes = calloc(2, sizeof(*d->routes));
		CHECK(d->routes && prefix_parse("10.0.0.0/8", d->routes) == 0);
		CHECK(prefix_parse("2001:db8::/32", d->routes + 1) == 0);
		d->route_count = 2;
	}
	return c;
}

/* ---- records ---- */

static void forget_records(struct end *e)
{
	for (size_t i = 0; i < e->record_count; i++)
		free(e->records[i].bytes);
	e->record_count = 0;
}

static void keep(struct end *e, enum access_object kind, uint64_t id, bool gone)
{
	static const size_t most[] = { 0, ACCESS_SAVE_TUNNEL_MAX, ACCESS_SAVE_SESSION_MAX,
				       ACCESS_SAVE_ACCT_MAX, ACCESS_SAVE_STATE_MAX };
	static uint8_t buf[ACCESS_SAVE_TUNNEL_MAX];
	struct wcur c = wcur_of(buf, most[kind]);
	size_t i = 0;

	while (i < e->record_count && (e->records[i].kind != kind || e->records[i].id != id))
		i++;
	if (gone) {
		if (i == e->record_count)
			return;
		free(e->records[i].bytes);
		e->records[i] = e->records[--e->record_count];
		return;
	}
	access_save(e->a, kind, id, &c);
	CHECK(!c.bad && c.len);
	if (i == RECORDS) {
		e->full = true;
		return;
	}
	if (i == e->record_count)
		e->records[e->record_count++] = (struct record){ .kind = kind, .id = id };
	free(e->records[i].bytes);
	e->records[i].bytes = malloc(c.len);
	CHECK(e->records[i].bytes);
	memcpy(e->records[i].bytes, buf, c.len);
	e->records[i].len = c.len;
}

/* ---- life ---- */

/* The paths of all tunnels, each of which is over the socket of this end; how many there are. */
static size_t paths(const struct run *r, const struct end *e)
{
	uint64_t pos[2] = { 0 };
	struct path path;
	size_t n = 0;

	for (; access_paths(e->a, pos, &path); n++) {
		CHECK(n < 2 * UINT16_MAX);
		if (!r->spoiled)
			CHECK(path.via == 1 && addr_same_ip(&path.local, &e->addr));
	}
	return n;
}

/* A control packet, or data of no row, of the socket of this end. */
static void input(const struct run *r, struct end *e, const struct path *path, const uint8_t *bytes,
		  size_t len)
{
	uint32_t via = access_via(e->a, path, bytes, len);

	CHECK(via == 0 || via == path->via || r->spoiled);
	CHECK(access_input(e->a, r->now, path, bytes, len) == 0);
}

static void start(struct run *r, struct end *e, uint8_t broken)
{
	struct access_config config = { .seed = { e->index, (uint8_t)e->lives },
					.incarnation = 1,
					.pipes = r->pipes };
	struct access_cmd conf = { .kind = ACCESS_CMD_CONF, .conf = e->conf };
	static const enum access_object order[] = { ACCESS_OBJ_STATE, ACCESS_OBJ_TUNNEL,
						    ACCESS_OBJ_SESSION, ACCESS_OBJ_ACCT };
	struct access_session_info info;

	if (e->lives++ && !e->record_count)
		config.incarnation += e->lives; /* the journal was lost */
	e->a = access_new(&config);
	CHECK(e->a);
	access_wall(e->a, r->now, INT64_C(1750000000000000) + r->now.us);
	CHECK(access_do(e->a, r->now, &conf) == 0);
	if (broken && e->record_count) {
		struct record *b = &e->records[broken % e->record_count];

		b->bytes[broken * 31u % b->len] ^= broken;
		r->spoiled = true;
	}
	for (size_t k = 0; k < 4; k++) {
		for (size_t i = 0; i < e->record_count; i++) {
			struct rcur c = rcur_of(e->records[i].bytes, e->records[i].len);
			int rc;

			if (e->records[i].kind != order[k])
				continue;
			rc = access_load(e->a, r->now, order[k], e->records[i].id, &c);
			CHECK(rc == 0 || rc == 1);
			CHECK(rc == 0 || r->spoiled || order[k] == ACCESS_OBJ_TUNNEL);
		}
	}
	access_loaded(e->a, r->now);
	paths(r, e);
	for (size_t i = 0; i < ROWS; i++) {
		if (e->rows[i].there && !access_session(e->a, e->rows[i].key, &info))
			e->rows[i].there = false;
	}
}

static void stop(struct end *e)
{
	access_free(e->a);
	e->a = NULL;
	e->auth_count = e->done_count = e->stats_count = e->name_count = e->heard_count = 0;
}

/* ---- data plane and network ---- */

static struct row *row_of(struct end *e, uint64_t key)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (e->rows[i].there && e->rows[i].key == key)
			return &e->rows[i];
	}
	return NULL;
}

static struct dp_done *done_new(struct end *e, uint8_t op, uint64_t key, uint32_t generation)
{
	static struct dp_done none;
	struct dp_done *d = &none;

	if (e->done_count < PENDING)
		d = &e->done[e->done_count++];
	else
		e->full = true;
	*d = (struct dp_done){ .op = op, .key = key, .generation = generation };
	return d;
}

static void put_row(struct run *r, struct end *e, const struct access_event *ev)
{
	struct dp_done *d = done_new(e, DP_OP_PUT, ev->key, ev->generation);
	struct row *row = row_of(e, ev->key);

	CHECK(dp_row_ok(ev->row));
	for (size_t i = 0; i < ROWS && !r->spoiled; i++) {
		const struct row *o = &e->rows[i];

		for (uint8_t x = 0; o->there && o->key != ev->key && x < o->row.prefix_count; x++) {
			for (uint8_t y = 0; y < ev->row->prefix_count; y++)
				CHECK(o->row.prefixes[x].len != ev->row->prefixes[y].len ||
				      !addr_same_ip(&o->row.prefixes[x].addr,
						    &ev->row->prefixes[y].addr));
		}
	}
	if (e->mode & M_PLANE_FAILS) {
		d->error = -ENODEV;
		memcpy(d->text, "no device", 10);
		return;
	}
	for (size_t i = 0; i < ROWS && !row; i++)
		row = e->rows[i].there ? NULL : &e->rows[i];
	if (!row) {
		e->full = true;
		return;
	}
	if (!row->there)
		*row = (struct row){ .there = true, .key = ev->key };
	row->row = *ev->row;
	memcpy(d->ifname, ev->row->ifname, sizeof(d->ifname));
}

static void carry(struct run *r, const struct end *e, const struct path *path, const uint8_t *bytes,
		  size_t len)
{
	struct packet *k = &r->packets[(r->first + r->count) % PACKETS];

	if (r->count == PACKETS || len > sizeof(k->bytes) ||
	    !addr_same_ip(&path->remote, &r->end[!e->index].addr))
		return;
	k->path = (struct path){ .via = 1, .local = path->remote, .remote = path->local };
	k->to = !e->index;
	k->len = len;
	memcpy(k->bytes, bytes, len);
	r->count++;
}

static void plane_send(struct run *r, struct end *e, const struct row *row, const uint8_t *frame,
		       size_t len)
{
	uint8_t buf[ACCESS_PACKET_MAX + 32];
	struct wcur c = wcur_of(buf, sizeof(buf));

	if (row->row.version == 3) {
		if (row->row.encap == DP_ENCAP_UDP)
			wcur_u32(&c, 0x00030000);
		wcur_u32(&c, row->row.remote_session);
		wcur_bytes(&c, row->row.cookie_out, row->row.cookie_out_len);
		if (row->row.l2spec == DP_L2SPEC_DEFAULT)
			wcur_u32(&c, 0);
	} else {
		wcur_u16(&c, 0x0002);
		wcur_u16(&c, (uint16_t)row->row.remote_tunnel);
		wcur_u16(&c, (uint16_t)row->row.remote_session);
	}
	wcur_u16(&c, 0xff03);
	wcur_bytes(&c, frame, len);
	if (!c.bad)
		carry(r, e, &row->row.path, buf, c.len);
}

/* The row of a data message of L2TPv3, whose cookie and sublayer are taken off; NULL: none. */
static const struct row *row_of_v3(const struct end *e, const struct packet *k, struct rcur *ret)
{
	struct rcur c = rcur_of(k->bytes, k->len);
	uint32_t first = rcur_u32(&c), session = first;

	if (k->path.remote.port)
		session = first >> 16 == 3 ? rcur_u32(&c) : 0;
	for (size_t i = 0; session && !c.bad && i < ROWS; i++) {
		const struct row *row = &e->rows[i];
		const uint8_t *cookie;

		if (!row->there || row->row.version != 3 || row->row.local_session != session)
			continue;
		cookie = rcur_take(&c, row->row.cookie_in_len);
		if (c.bad || memcmp(cookie, row->row.cookie_in, row->row.cookie_in_len) != 0)
			return NULL;
		if (row->row.l2spec == DP_L2SPEC_DEFAULT)
			rcur_u32(&c);
		*ret = c;
		return row;
	}
	return NULL;
}

/* A packet arrives: the plane takes what is of a row it has. */
static void arrive(struct run *r, const struct packet *k)
{
	struct end *e = &r->end[k->to];
	struct rcur c = rcur_of(k->bytes, k->len);
	uint16_t flags = rcur_u16(&c), tunnel, session;
	const struct row *row = row_of_v3(e, k, &c);
	bool local;

	if (!row && !(flags & 0xcb00)) {
		tunnel = rcur_u16(&c);
		session = rcur_u16(&c);
		for (size_t i = 0; i < ROWS; i++) {
			if (e->rows[i].there && e->rows[i].row.version != 3 &&
			    e->rows[i].row.local_tunnel == tunnel &&
			    e->rows[i].row.local_session == session)
				row = &e->rows[i];
		}
	}
	if (!row) {
		input(r, e, &k->path, k->bytes, k->len);
		return;
	}
	if (rcur_left(&c) >= 2 && c.p[0] == 0xff && c.p[1] == 0x03)
		rcur_u16(&c);
	local = rcur_left(&c) > 2 && c.p[0] == 0 && c.p[1] == 0x57;
	if (local)
		rcur_u16(&c);
	CHECK(access_frame(e->a, r->now, row->key, local ? DP_PUNT_LOCAL : DP_PUNT_PPP, c.p,
			   rcur_left(&c)) == 0);
}

/* ---- the drain loop ---- */

static void on_line(struct run *r, struct end *e, const struct access_event *ev)
{
	size_t n = strlen(ev->line), i = 0;

	CHECK(n > 2 && n < ACCESS_LINE_MAX && ev->line[0] == '{');
	CHECK(ev->line[n - 1] == '}' || r->spoiled);
	while (i < e->line_count && (e->lines[i].key != ev->key || e->lines[i].seq != ev->acct_seq))
		i++;
	CHECK(i == e->line_count || e->lives > 1);
	if (i == LINES) {
		e->full = true;
		return;
	}
	if (i == e->line_count)
		e->line_count++;
	e->lines[i] = (struct line){ ev->key, ev->acct_seq, false };
}

static void on_event(struct run *r, struct end *e, const struct access_event *ev)
{
	switch (ev->kind) {
	case ACCESS_EV_DP_PUT:
		put_row(r, e, ev);
		break;
	case ACCESS_EV_DP_DEL:
		done_new(e, DP_OP_DEL, ev->key, ev->generation);
		if (row_of(e, ev->key)) {
			e->done[e->done_count - 1].counters = row_of(e, ev->key)->counters;
			row_of(e, ev->key)->there = false;
		}
		break;
	case ACCESS_EV_DP_NET:
		CHECK(dp_net_ok(ev->net));
		done_new(e, DP_OP_NET, 0, ev->generation)->error =
			e->mode & M_PLANE_FAILS ? -EIO : 0;
		break;
	case ACCESS_EV_AUTH:
		CHECK(ev->user && ev->profile && ev->response_len <= 256);
		if (e->auth_count < PENDING)
			e->auth[e->auth_count++] = ev->key;
		break;
	case ACCESS_EV_RESOLVE:
		CHECK(ev->dial && strcmp(ev->host, "lns") == 0 &&
		      ev->port == (r->over_ip ? 0 : L2TP_PORT));
		if (e->name_count < PENDING)
			snprintf(e->names[e->name_count++], CONF_NAME, "%s", ev->name);
		break;
	case ACCESS_EV_STATS:
		if (e->stats_count < PENDING)
			e->stats[e->stats_count++] = ev->key;
		break;
	case ACCESS_EV_HEARD:
		if (e->heard_count < PENDING)
			e->heard[e->heard_count++] = ev->tunnel;
		break;
	case ACCESS_EV_ACCT:
		on_line(r, e, ev);
		break;
	case ACCESS_EV_UP:
	case ACCESS_EV_TUNNEL_UP:
		CHECK(ev->name && ev->path);
		break;
	case ACCESS_EV_DOWN:
	case ACCESS_EV_TUNNEL_DOWN:
		CHECK(ev->text && ev->cause < ADIT_CAUSE_COUNT);
		break;
	}
}

static int command(struct run *r, struct end *e, const struct access_cmd *cmd)
{
	int rc = access_do(e->a, r->now, cmd);

	CHECK(rc >= 0 && rc <= 2);
	return rc;
}

static void answer_auth(struct run *r, struct end *e)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_AUTH, .key = e->auth[--e->auth_count] };

	cmd.ok = !(e->mode & M_REFUSE);
	cmd.cause = cmd.ok ? ADIT_CAUSE_NONE : ADIT_CAUSE_AUTH_FAILED;
	if (cmd.ok && e->mode & M_FIXED) {
		CHECK(prefix_parse("2001:db8:7::/56", &cmd.grant.prefix6) == 0);
		CHECK(prefix_parse("10.7.0.0/16", &cmd.grant.routes[0]) == 0);
		CHECK(prefix_parse("2001:db8:8::/48", &cmd.grant.routes[1]) == 0);
		cmd.grant.route_count = 2;
		cmd.grant.session_us = 70 * US_S;
		memcpy(cmd.grant.ip4, "\x0a\x00\x00\x02", 4);
	}
	command(r, e, &cmd);
}

static bool answer(struct run *r, struct end *e)
{
	bool any = false;

	for (; e->auth_count && !(e->mode & M_HOLD_AUTH); any = true)
		answer_auth(r, e);
	for (; e->done_count && !(e->mode & M_HOLD_DONE); any = true) {
		struct dp_done d = e->done[0];
		struct access_cmd cmd = { .kind = ACCESS_CMD_DP_DONE, .done = &d };

		memmove(e->done, e->done + 1, --e->done_count * sizeof(d));
		command(r, e, &cmd);
	}
	for (; e->stats_count; any = true) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_STATS,
					  .key = e->stats[--e->stats_count] };
		const struct row *row = row_of(e, cmd.key);

		cmd.known = row && !(e->mode & M_UNKNOWN);
		if (cmd.known)
			cmd.counters = row->counters;
		command(r, e, &cmd);
	}
	for (; e->name_count; any = true) {
		struct path paths[2] = { { .via = 1, .local = e->addr, .remote = r->end[0].addr },
					 { .via = 1, .local = e->addr, .remote = r->end[0].addr } };
		struct access_cmd cmd = { .kind = ACCESS_CMD_RESOLVED,
					  .name = e->names[--e->name_count],
					  .paths = paths,
					  .path_count = e->mode & M_NO_NAME ? 0 : 2,
					  .text = "no such name" };

		paths[0].remote.ip[3] = e->mode & M_FIXED ? 99 : paths[0].remote.ip[3];
		command(r, e, &cmd);
	}
	for (; e->heard_count; any = true) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_HEARD,
					  .tunnel = e->heard[--e->heard_count] };

		command(r, e, &cmd);
	}
	return any;
}

static bool lines(struct run *r, struct end *e)
{
	bool any = false;

	for (size_t i = 0; i < e->line_count && !(e->mode & M_HOLD_LINES); i++) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_ACCT_WRITTEN,
					  .key = e->lines[i].key,
					  .acct_seq = e->lines[i].seq };

		if (e->lines[i].confirmed)
			continue;
		e->lines[i].confirmed = any = true;
		command(r, e, &cmd);
	}
	return any;
}

static bool events(struct run *r, struct end *e)
{
	struct access_event ev;
	bool any = false;

	for (; access_event(e->a, r->now, &ev); any = true)
		on_event(r, e, &ev);
	return any;
}

static void drain(struct run *r, struct end *e)
{
	uint8_t buf[ACCESS_PACKET_MAX];
	struct access_packet p;
	enum access_object kind;
	size_t len, off;
	uint64_t id;
	bool gone, any = true;

	for (int i = 0; any; i++) {
		CHECK(i < 1000);
		any = events(r, e);
		any |= answer(r, e);
		for (; access_dirty(e->a, &kind, &id, &gone); any = true)
			keep(e, kind, id, gone);
		while ((len = access_output(e->a, r->now, buf, sizeof(buf), &off, &p))) {
			const struct row *row = p.key ? row_of(e, p.key) : NULL;

			CHECK(off + len <= sizeof(buf));
			if (!p.key)
				carry(r, e, &p.path, buf + off, len);
			else if (row)
				plane_send(r, e, row, buf + off, len);
		}
		any |= lines(r, e);
	}
	r->spoiled |= e->full;
}

static void deliver(struct run *r, size_t n)
{
	for (; n && r->count; n--) {
		struct packet *k = &r->packets[r->first];

		arrive(r, k);
		r->first = (r->first + 1) % PACKETS;
		r->count--;
		drain(r, &r->end[0]);
		drain(r, &r->end[1]);
	}
}

/* Let time pass until `us` from now; packets arrive in between. */
static void pass(struct run *r, int64_t us, bool cut)
{
	struct mono end = mono_add(r->now, us);

	do {
		struct mono at = mono_min(
			end, mono_min(access_deadline(r->end[0].a), access_deadline(r->end[1].a)));

		r->now.us = at.us > r->now.us ? at.us : r->now.us + 1;
		for (int i = 0; i < 2; i++) {
			access_expire(r->end[i].a, r->now);
			drain(r, &r->end[i]);
		}
		if (cut)
			r->count = 0;
		deliver(r, 100);
	} while (r->now.us < end.us && r->budget-- > 0);
}

/* ---- operations ---- */

static void look(const struct run *r, const struct end *e, bool all)
{
	struct access_session_info s;
	struct access_tunnel_info t;
	struct access_dial_info d;
	struct access_pool_info p;
	struct access_peer_info q;
	struct access_failure f;
	struct access_summary sum;
	uint32_t n = 0;

	for (uint64_t k = access_session_next(e->a, 0); k; k = access_session_next(e->a, k), n++) {
		CHECK(access_session(e->a, k, &s) && s.state && s.user && s.peer);
		CHECK(!s.up || s.since.us <= r->now.us);
	}
	access_summary(e->a, &sum);
	CHECK(sum.sessions == n && sum.sessions_up <= n && sum.memory);
	/* This asks for each id there may be, so not too often. */
	for (uint32_t id = 0; all && (id = access_tunnel_next(e->a, id));)
		CHECK(!access_tunnel(e->a, id, &t) || t.peer);
	for (size_t i = 0; access_dial(e->a, i, &d); i++)
		CHECK(d.name && d.state && d.text);
	for (size_t i = 0; access_pool(e->a, i, &p); i++)
		CHECK(p.used4 <= p.size4 && p.used6 <= p.size6);
	for (size_t i = 0; access_peer(e->a, i, &q); i++)
		CHECK(q.name && q.tunnels <= sum.tunnels);
	for (size_t i = 0; access_failure(e->a, i, &f); i++)
		CHECK(f.cause < ADIT_CAUSE_COUNT && f.at.us <= r->now.us);
}

static void owner(struct run *r, struct end *e, uint8_t what)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONNECT, .name = what & 8 ? "d1" : "d0" };
	struct access_cmd call = { .kind = ACCESS_CMD_CALL, .name = "peer1", .text = "0800" };
	struct access_session_info info;
	int rc;

	if (what & 128) {
		rc = access_do(e->a, r->now, &call);
		CHECK(rc >= 0 && rc <= 4);
		drain(r, e);
		return;
	}
	if (what % 6 == 5 && what & 64)
		access_scarce(e->a, what & 32);
	switch (what % 6) {
	case 0:
		break;
	case 1:
		cmd.kind = ACCESS_CMD_DISCONNECT;
		break;
	case 2:
		cmd.kind = ACCESS_CMD_TERMINATE;
		cmd.key = access_session_next(e->a, 0);
		break;
	case 3:
		cmd.kind = ACCESS_CMD_TERMINATE_TUNNEL;
		if (access_session(e->a, access_session_next(e->a, 0), &info))
			cmd.tunnel = info.local_tunnel;
		break;
	case 4:
		cmd.kind = ACCESS_CMD_SHUTDOWN;
		break;
	default:
		cmd.kind = what & 16 ? ACCESS_CMD_AUTH : ACCESS_CMD_STATS;
		cmd.key = access_session_next(e->a, 0);
		cmd.ok = what & 32;
		break;
	}
	command(r, e, &cmd);
	drain(r, e);
}

static void reload(struct run *r, struct end *e, uint8_t variant)
{
	struct access_conf *c = e->index ? client_conf(r, variant) : lns_conf(r, variant);
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = c };

	CHECK(command(r, e, &cmd) == 0);
	access_conf_unref(e->conf);
	e->conf = c;
	drain(r, e);
}

static void raw(struct run *r, struct end *e, bool frame)
{
	size_t n = rcur_u8(&r->c);
	struct path path = { .via = 1, .local = e->addr, .remote = r->end[!e->index].addr };
	uint64_t key = access_session_next(e->a, 0);
	const uint8_t *bytes;

	if (n > rcur_left(&r->c))
		n = rcur_left(&r->c);
	bytes = rcur_take(&r->c, n);
	if (!frame) {
		input(r, e, &path, bytes, n);
	} else if (n) {
		CHECK(access_frame(e->a, r->now, key, bytes[0] & 1 ? DP_PUNT_PPP : DP_PUNT_LOCAL,
				   bytes + 1, n - 1) == 0);
	}
	drain(r, e);
}

static void damage(struct run *r, uint8_t how)
{
	struct packet *k = &r->packets[r->first];
	uint8_t at = rcur_u8(&r->c), x = rcur_u8(&r->c);

	if (!r->count)
		return;
	if (how == 2) { /* lost */
		r->first = (r->first + 1) % PACKETS;
		r->count--;
	} else if (how == 3) { /* broken */
		k->bytes[at % k->len] ^= x;
	} else { /* twice */
		arrive(r, k);
		drain(r, &r->end[k->to]);
	}
}

static void operation(struct run *r)
{
	static const int64_t spans[] = { 1000,	    100000,    US_S,	  3 * US_S,
					 10 * US_S, 30 * US_S, 70 * US_S, 400 * US_S };
	uint8_t op = rcur_u8(&r->c), x;
	struct end *e = &r->end[op >> 4 & 1];
	struct row *row;

	switch (op & 15) {
	case 0:
		deliver(r, 1 + (op >> 4));
		break;
	case 1:
		x = rcur_u8(&r->c);
		pass(r, spans[x & 7], x & 8);
		break;
	case 2:
	case 3:
	case 4:
		damage(r, op & 15);
		break;
	case 5:
		raw(r, e, false);
		break;
	case 6:
		owner(r, e, rcur_u8(&r->c));
		break;
	case 7:
		e->mode = rcur_u8(&r->c);
		drain(r, e);
		break;
	case 8:
		reload(r, e, rcur_u8(&r->c));
		break;
	case 9:
		stop(e);
		start(r, e, rcur_u8(&r->c));
		drain(r, e);
		break;
	case 10:
		stop(e);
		forget_records(e);
		memset(e->rows, 0, sizeof(e->rows));
		start(r, e, 0);
		drain(r, e);
		break;
	case 11:
		raw(r, e, true);
		break;
	case 12:
		if (e->auth_count)
			answer_auth(r, e);
		drain(r, e);
		break;
	case 13:
		row = row_of(e, access_session_next(e->a, 0));
		if (row) {
			row->counters.rx_bytes += 1000;
			row->counters.last_rx = r->now;
		}
		break;
	case 14:
		look(r, e, !e->index);
		break;
	default:
		deliver(r, 50);
		break;
	}
}

/* All ends, and nothing is left. */
static void finish(struct run *r)
{
	struct access_cmd off = { .kind = ACCESS_CMD_SHUTDOWN };

	r->budget = 2000;
	for (int i = 0; i < 2; i++) {
		r->end[i].mode = 0;
		command(r, &r->end[i], &off);
		drain(r, &r->end[i]);
	}
	deliver(r, 200);
	pass(r, 600 * US_S, false);
	for (int i = 0; i < 2 && !r->spoiled && r->budget < 2000; i++) {
		struct end *e = &r->end[i];
		struct access_summary s;

		access_summary(e->a, &s);
		CHECK(s.sessions == 0 && s.sessions_up == 0 && s.tunnels == 0 && paths(r, e) == 0);
		for (size_t k = 0; k < ROWS; k++)
			CHECK(!e->rows[k].there);
		for (size_t k = 0; k < e->record_count; k++)
			CHECK(e->records[k].kind == ACCESS_OBJ_STATE);
	}
	for (int i = 0; i < 2; i++) {
		look(r, &r->end[i], false);
		stop(&r->end[i]);
		forget_records(&r->end[i]);
		access_conf_unref(r->end[i].conf);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run r;

	memset(&r, 0, sizeof(r));
	r.c = rcur_of(data, size);
	r.options = rcur_u8(&r.c);
	r.now.us = 1000 * US_S;
	r.budget = 4000;
#ifdef FUZZ_LNS3
	r.over_ip = over_ip(&r);
	r.pipes = r.options & V3_NUMBERED;
#endif
	for (uint8_t i = 0; i < 2; i++) {
		r.end[i].index = i;
		r.end[i].addr = (struct addr){ .family = AF_INET,
					       .port = r.over_ip ? 0 : L2TP_PORT,
					       .ip = { 192, 0, 2, (uint8_t)(1 + i) } };
		r.end[i].conf = i ? client_conf(&r, 0) : lns_conf(&r, 0);
		start(&r, &r.end[i], 0);
		drain(&r, &r.end[i]);
	}
	for (int ops = 0; ops < 200 && rcur_left(&r.c); ops++)
		operation(&r);
	finish(&r);
	return 0;
}
