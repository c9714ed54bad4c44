/* SPDX-License-Identifier: MIT
 *
 * See lab.h.
 */
#include "lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr){ .family = AF_INET, .ip = { a, b, c, d } };
}

static struct ppp_profile *ppp_new_profile(const struct lab_options *o, const char *user)
{
	struct ppp_params p = { .ipcp = true, .ipv6cp = true, .echo_us = 10 * US_S };
	const char *password = o->password ? o->password : "secret";
	int err;

	if (user) {
		p.user = user;
		p.password = password;
		p.password_len = strlen(password);
		p.peer_auth = PPP_AUTH_CHAP_MD5 | PPP_AUTH_PAP;
		if (o->mppe != PPP_MPPE_OFF)
			p.peer_auth = PPP_AUTH_ALL;
		p.mppe = o->mppe != PPP_MPPE_OFF ? PPP_MPPE_PREFER : PPP_MPPE_OFF;
		p.ask_dns = true;
	} else if (!o->no_login) {
		p.auth_order[0] = o->mppe != PPP_MPPE_OFF ? PPP_AUTH_MSCHAPV2 : PPP_AUTH_CHAP_MD5;
		p.mppe = o->mppe;
	}
	return ppp_profile_new(&p, &err);
}

static struct l2tp_profile *l2tp_new_profile(const char *name)
{
	struct l2tp_params p = { .host_name = name, .hello_us = 20 * US_S, .empty_us = 30 * US_S };
	int err;

	return l2tp_profile_new(&p, &err);
}

static bool fill_lns(struct access_conf *c, const struct lab_options *o)
{
	struct conf_profile *p = calloc(1, sizeof(*p));

	if (!p)
		return false;
	p->refs = 1;
	c->profiles = calloc(1, sizeof(struct conf_profile *));
	if (!c->profiles) {
		free(p);
		return false;
	}
	c->profiles[0] = p;
	c->profile_count = 1;
	c->pools = calloc(1, sizeof(*c->pools));
	c->peers = calloc(1, sizeof(*c->peers));
	if (!c->pools || !c->peers)
		return false;
	c->pool_count = c->peer_count = 1;
	memcpy(c->pools->name, "pool", 5);
	c->pools->len6 = 64;
	c->pools->ranges = calloc(1, sizeof(*c->pools->ranges));
	c->pools->prefixes6 = calloc(1, sizeof(*c->pools->prefixes6));
	c->peers->from = calloc(1, sizeof(*c->peers->from));
	if (!c->pools->ranges || !c->pools->prefixes6 || !c->peers->from)
		return false;
	c->pools->range_count = c->pools->prefix6_count = 1;
	c->pools->ranges[0] =
		(struct conf_range4){ 0x0a000001, 0x0a000000 + (o->pool_size ? o->pool_size : 10) };
	if (prefix_parse("2001:db8:1::/56", &c->pools->prefixes6[0]) < 0)
		return false;
	memcpy(p->name, "home", 5);
	memcpy(p->pool, "pool", 5);
	p->local4 = ip4(10, 0, 255, 1);
	p->dns4[0] = ip4(10, 0, 255, 53);
	p->dns6[0] = (struct addr){ .family = AF_INET6, .ip = { 0x20, 1, 0xd, 0xb8, [15] = 53 } };
	p->ppp = ppp_new_profile(o, NULL);
	p->no_login = o->no_login;
	p->mss_clamp = p->antispoof = true;
	p->max_per_user = o->max_per_user;
	p->replace = o->replace;
	p->session_us = o->session_us;
	p->idle_us = o->idle_us;
	p->interim_us = o->interim_us;
	memcpy(c->peers->name, "peers", 6);
	memcpy(c->peers->host_name, "CLI*", 5);
	c->peers->from_count = o->from != NULL;
	if (o->from && prefix_parse(o->from, c->peers->from) < 0)
		return false;
	c->peers->l2tp = l2tp_new_profile("lns");
	c->peers->profile = conf_profile_ref(p);
	c->peers->max_sessions = o->max_sessions;
	c->peers->max_tunnels = o->max_tunnels;
	return p->ppp && c->peers->l2tp;
}

struct access_conf *lab_conf_lns(const struct lab_options *o)
{
	struct access_conf *c = access_conf_new();

	if (c && !fill_lns(c, o)) {
		access_conf_unref(c);
		return NULL;
	}
	return c;
}

struct access_conf *lab_conf_client(const struct lab_options *o)
{
	struct access_conf *c = access_conf_new();
	unsigned int n = o->dials ? o->dials : 1;

	if (!c)
		return NULL;
	c->dials = calloc(n, sizeof(*c->dials));
	if (!c->dials) {
		access_conf_unref(c);
		return NULL;
	}
	c->dial_count = n;
	for (unsigned int i = 0; i < n; i++) {
		struct conf_dial *d = &c->dials[i];

		snprintf(d->name, sizeof(d->name), "d%u", i);
		snprintf(d->server, sizeof(d->server), "lns.example");
		snprintf(d->user, sizeof(d->user), "u%u", o->one_user ? 0 : i);
		snprintf(d->ifname, sizeof(d->ifname), "l2tp%u", i % 100);
		d->digest = 1;
		d->l2tp = l2tp_new_profile("client");
		d->ppp = ppp_new_profile(o, d->user);
		d->automatic = !o->manual;
		d->ip4 = d->ip6 = d->want_dns = d->default_route = d->mss_clamp = true;
		d->redial_first_us = US_S;
		d->redial_cap_us = 8 * US_S;
		d->redial_max = o->redial_max;
		d->metric = 5;
		if (!d->l2tp || !d->ppp) {
			access_conf_unref(c);
			return NULL;
		}
	}
	return c;
}

static bool node_new(struct lab *l, struct lab_node *n, struct access_conf *conf, uint8_t seed,
		     struct addr addr)
{
	struct access_config c = { .seed = { seed }, .incarnation = 7 };
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = conf };

	n->conf = conf;
	n->addr = addr;
	n->addr.port = 1701;
	n->a = conf ? access_new(&c) : NULL;
	if (!n->a)
		return false;
	access_wall(n->a, l->now, INT64_C(1767225600000000)); /* 2026-01-01 */
	return access_do(n->a, l->now, &cmd) == 0;
}

struct lab *lab_new(const struct lab_options *o)
{
	const char *text = o->users ? o->users : "u0 * secret\nu1 * secret\nu2 * secret\n";
	struct lab *l = calloc(1, sizeof(*l));
	char err[80];
	int rc;

	if (!l)
		return NULL;
	l->now = (struct mono){ 1000 * US_S };
	l->users = users_parse(text, strlen(text), &rc, err, sizeof(err));
	if (!l->users || !node_new(l, &l->lns, lab_conf_lns(o), 1, ip4(192, 0, 2, 1)) ||
	    !node_new(l, &l->client, lab_conf_client(o), 2, ip4(198, 51, 100, 7))) {
		lab_free(l);
		return NULL;
	}
	return l;
}

void lab_free(struct lab *l)
{
	if (!l)
		return;
	access_free(l->lns.a);
	access_free(l->client.a);
	access_conf_unref(l->lns.conf);
	access_conf_unref(l->client.conf);
	users_free(l->users);
	free(l);
}

struct lab_row *lab_row(struct lab_node *n, uint64_t key)
{
	struct lab_row *empty = NULL;

	for (int i = 0; i < LAB_ROWS; i++) {
		if (n->rows[i].key == key)
			return &n->rows[i];
		if (!n->rows[i].key && !empty)
			empty = &n->rows[i];
	}
	if (!empty)
		abort();
	*empty = (struct lab_row){ .key = key };
	return empty;
}

unsigned int lab_rows(const struct lab_node *n)
{
	unsigned int count = 0;

	for (int i = 0; i < LAB_ROWS; i++)
		count += n->rows[i].there;
	return count;
}

static void plane(struct lab *l, struct lab_node *n, uint8_t op, const struct access_event *ev)
{
	struct dp_done d = { .op = op, .key = ev->key, .generation = ev->generation };
	struct access_cmd cmd = { .kind = ACCESS_CMD_DP_DONE, .done = &d };
	struct lab_row *r = lab_row(n, ev->key);
	static const uint8_t none[16];

	if (op == DP_OP_PUT && ev->row->flags & (DP_F_MPPE | DP_F_MPPE_KEYS))
		n->keyless += memcmp(ev->row->mppe_send_key, none, sizeof(none)) == 0;
	if (op == DP_OP_PUT && n == &l->lns && l->hold_dp)
		return;
	if (op == DP_OP_PUT && n == &l->lns && l->slow_dp) {
		l->waits = true;
		l->late = d;
		l->late_row = *ev->row;
		return;
	}
	if (op == DP_OP_PUT && n == &l->lns && l->no_mppe &&
	    ev->row->flags & (DP_F_MPPE | DP_F_MPPE_KEYS)) {
		d.error = -EOPNOTSUPP;
		memcpy(d.text, "it does not encrypt", 20);
	} else if (op == DP_OP_PUT && n == &l->lns && l->dp_error) {
		d.error = l->dp_error;
		memcpy(d.text, "no room in the plane", 21);
	} else if (op == DP_OP_PUT) {
		r->there = true;
		r->puts++;
		r->row = *ev->row;
		memcpy(d.ifname, ev->row->ifname, sizeof(d.ifname));
	} else {
		d.counters = r->counters;
		r->there = false;
	}
	(void)access_do(n->a, l->now, &cmd);
}

static void answer(struct lab *l, struct lab_node *n, const struct access_event *ev)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_AUTH, .key = ev->key };

	n->asked++;
	if (l->hold_auth) {
		l->held_key = ev->key;
		l->held_ask = ev->ask;
		return;
	}
	users_check(l->users, ev, "lns", &cmd);
	if (l->refuse) {
		cmd.ok = false;
		cmd.cause = ADIT_CAUSE_AUTH_REFUSED;
		cmd.text = l->refuse;
	}
	(void)access_do(n->a, l->now, &cmd);
}

static void resolve(struct lab *l, struct lab_node *n, const struct access_event *ev)
{
	struct path paths[2] = { { .via = 1, .local = n->addr, .remote = l->first_try },
				 { .via = 1, .local = n->addr, .remote = l->lns.addr } };
	struct access_cmd cmd = {
		.kind = ACCESS_CMD_RESOLVED, .name = ev->name, .paths = paths, .path_count = 2
	};

	n->resolves++;
	if (!l->first_try.family) {
		cmd.paths++;
		cmd.path_count--;
	}
	paths[0].remote.port = 1701;
	(void)access_do(n->a, l->now, &cmd);
}

static void see(struct lab_seen *s, const struct access_event *ev)
{
	s->count++;
	s->key = ev->key;
	s->cause = ev->cause;
	s->by_peer = ev->by_peer;
	s->established = ev->established;
	snprintf(s->text, sizeof(s->text), "%s", ev->text ? ev->text : "");
	snprintf(s->user, sizeof(s->user), "%.*s", (int)ev->user_len, ev->user ? ev->user : "");
	snprintf(s->ifname, sizeof(s->ifname), "%s", ev->ifname ? ev->ifname : "");
	memcpy(s->our_ip4, ev->our_ip4, 4);
	memcpy(s->peer_ip4, ev->peer_ip4, 4);
	s->prefix6 = ev->prefix6;
	memcpy(s->dns4, ev->dns4, sizeof(s->dns4));
	memcpy(s->dns6, ev->dns6, sizeof(s->dns6));
	s->mtu = ev->mtu;
}

static void on_event(struct lab *l, struct lab_node *n, const struct access_event *ev)
{
	struct access_cmd cmd = { .key = ev->key, .tunnel = ev->tunnel };

	switch (ev->kind) {
	case ACCESS_EV_DP_PUT:
		plane(l, n, DP_OP_PUT, ev);
		break;
	case ACCESS_EV_DP_DEL:
		plane(l, n, DP_OP_DEL, ev);
		break;
	case ACCESS_EV_DP_NET:
		n->nets++;
		n->net = *ev->net;
		break;
	case ACCESS_EV_AUTH:
		answer(l, n, ev);
		break;
	case ACCESS_EV_RESOLVE:
		resolve(l, n, ev);
		break;
	case ACCESS_EV_STATS:
		cmd.kind = ACCESS_CMD_STATS;
		cmd.known = true;
		cmd.counters = lab_row(n, ev->key)->counters;
		(void)access_do(n->a, l->now, &cmd);
		break;
	case ACCESS_EV_HEARD:
		cmd.kind = ACCESS_CMD_HEARD;
		(void)access_do(n->a, l->now, &cmd);
		break;
	case ACCESS_EV_ACCT:
		if (n->line_count < LAB_LINES) {
			snprintf(n->lines[n->line_count], ACCESS_LINE_MAX, "%s", ev->line);
			n->line_key[n->line_count] = ev->key;
			n->line_seq[n->line_count++] = ev->acct_seq;
		}
		break;
	case ACCESS_EV_UP:
		see(&n->up, ev);
		break;
	case ACCESS_EV_DOWN:
		see(&n->down, ev);
		break;
	case ACCESS_EV_TUNNEL_UP:
		see(&n->tunnel_up, ev);
		break;
	case ACCESS_EV_TUNNEL_DOWN:
		see(&n->tunnel_down, ev);
		break;
	}
}

/* Packets of active rows arrive at the plane: what is not IP for others comes up as a punt. */
static bool plane_takes(struct lab *l, struct lab_node *to, const uint8_t *b, size_t len)
{
	struct rcur c = rcur_of(b, len);
	uint16_t flags = rcur_u16(&c), tunnel, session;
	bool six;

	if (flags & 0x8000)
		return false;
	if (flags & 0x4000)
		rcur_u16(&c);
	tunnel = rcur_u16(&c);
	session = rcur_u16(&c);
	for (int i = 0; i < LAB_ROWS && !c.bad; i++) {
		struct lab_row *r = &to->rows[i];

		if (!r->there || r->row.local_tunnel != tunnel || r->row.local_session != session)
			continue;
		if (rcur_left(&c) > 2 && c.p[0] == 0xff)
			rcur_u16(&c);
		six = rcur_left(&c) > 2 && c.p[0] == 0 && c.p[1] == 0x57;
		if (six)
			rcur_u16(&c);
		(void)access_frame(to->a, l->now, r->key, six ? DP_PUNT_LOCAL : DP_PUNT_PPP, c.p,
				   rcur_left(&c));
		return true;
	}
	return false;
}

/* A frame by the data plane of `from`, as a datagram in `buf`. */
static size_t plane_sends(struct lab_node *from, uint64_t key, const uint8_t *frame, size_t len,
			  uint8_t *buf, size_t cap, struct path *ret_path)
{
	const struct dp_row *r = &lab_row(from, key)->row;
	struct wcur c = wcur_of(buf, cap);

	wcur_u16(&c, 0x0002);
	wcur_u16(&c, r->remote_tunnel);
	wcur_u16(&c, r->remote_session);
	wcur_u16(&c, 0xff03);
	wcur_bytes(&c, frame, len);
	*ret_path = r->path;
	return c.len;
}

static void arrive(struct lab *l, struct lab_node *to, const struct path *sent, const uint8_t *b,
		   size_t len)
{
	struct path path = { .via = 1, .local = sent->remote, .remote = sent->local };

	if (to->deaf || !addr_same_ip(&sent->remote, &to->addr))
		return;
	if (!plane_takes(l, to, b, len))
		(void)access_input(to->a, l->now, &path, b, len);
}

static bool drain(struct lab *l, struct lab_node *n, struct lab_node *peer)
{
	uint8_t buf[ACCESS_PACKET_MAX], rec[ACCESS_SAVE_TUNNEL_MAX];
	struct access_packet p;
	struct access_event ev;
	enum access_object kind;
	size_t len, off;
	uint64_t id;
	bool gone, any = false;

	while (access_event(n->a, l->now, &ev)) {
		any = true;
		on_event(l, n, &ev);
	}
	while (access_dirty(n->a, &kind, &id, &gone)) {
		struct wcur c = wcur_of(rec, sizeof(rec));

		if (!gone)
			access_save(n->a, kind, id, &c);
	}
	while ((len = access_output(n->a, l->now, buf, sizeof(buf), &off, &p))) {
		uint8_t *b = buf + off;

		any = true;
		if (p.key) {
			len = plane_sends(n, p.key, b, len, rec, sizeof(rec), &p.path);
			b = rec;
		}
		n->told = p.path.remote;
		arrive(l, peer, &p.path, b, len);
	}
	while (n->lines_told < n->line_count) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_ACCT_WRITTEN,
					  .key = n->line_key[n->lines_told],
					  .acct_seq = n->line_seq[n->lines_told] };

		any = true;
		(void)access_do(n->a, l->now, &cmd);
		n->lines_told++;
	}
	return any;
}

void lab_drain(struct lab *l)
{
	bool any;

	do {
		any = drain(l, &l->lns, &l->client);
		any |= drain(l, &l->client, &l->lns);
	} while (any);
}

void lab_run(struct lab *l, int64_t us)
{
	struct mono end = mono_add(l->now, us);

	lab_drain(l);
	for (;;) {
		struct mono at = mono_min(access_deadline(l->lns.a), access_deadline(l->client.a));

		if (at.us > end.us)
			break;
		if (at.us > l->now.us)
			l->now = at;
		else
			l->now.us++;
		access_expire(l->lns.a, l->now);
		access_expire(l->client.a, l->now);
		lab_drain(l);
	}
	l->now = end;
}

bool lab_plane_answers(struct lab *l)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_DP_DONE, .done = &l->late };
	struct lab_row *r;

	if (!l->waits)
		return false;
	l->waits = false;
	r = lab_row(&l->lns, l->late.key);
	r->there = true;
	r->puts++;
	r->row = l->late_row;
	(void)lab_do(l, &l->lns, cmd);
	return true;
}

int lab_do(struct lab *l, struct lab_node *n, struct access_cmd cmd)
{
	int rc = access_do(n->a, l->now, &cmd);

	lab_drain(l);
	return rc;
}

uint64_t lab_only(const struct lab_node *n)
{
	uint64_t key = access_session_next(n->a, 0);

	return key && !access_session_next(n->a, key) ? key : 0;
}

bool lab_is_up(const struct lab_node *n, uint64_t key)
{
	struct access_session_info i;

	return access_session(n->a, key, &i) && i.up;
}
