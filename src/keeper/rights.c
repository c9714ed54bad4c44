/* SPDX-License-Identifier: MIT
 *
 * What the configuration allows aditd to ask for; see rights.h. aditd reads what strangers send. If
 * one of them takes it over, this file is what stands between them and the machine's network: so
 * each rule allows what the configuration says and nothing next to it.
 */
#include "rights.h"
#include "rights_wire.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "access/place.h"
#include "base/text.h"
#include "dp/dp.h"

#define USERS_LINE 1024

bool rights_refuse(char *text, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, RIGHTS_TEXT, format, ap);
	va_end(ap);
	return false;
}

/* ---- addresses ---- */

static bool host_prefix(const struct prefix *p)
{
	return p->len == (p->addr.family == AF_INET ? 32 : 128);
}

static bool link_local6(const struct addr *a)
{
	return a->family == AF_INET6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

/* Neither unspecified nor loopback nor multicast nor the limited broadcast. */
static bool unicast(const struct addr *a)
{
	static const uint8_t loop6[16] = { [15] = 1 };

	if (addr_is_any(a))
		return false;
	if (a->family == AF_INET)
		return a->ip[0] != 0 && a->ip[0] != 127 && a->ip[0] < 224;
	return a->ip[0] != 0xff && memcmp(a->ip, loop6, sizeof(loop6)) != 0;
}

static uint32_t host_order(const struct addr *a)
{
	return (uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 |
	       a->ip[3];
}

static struct addr masked(const struct addr *a, unsigned int len)
{
	struct addr r = *a;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		if (len >= 8 * (i + 1))
			continue;
		r.ip[i] &= len > 8 * i ? (uint8_t)(0xff00 >> (len - 8 * i)) : 0;
	}
	return r;
}

static bool host_bits_zero(const struct prefix *p)
{
	struct addr m = masked(&p->addr, p->len);

	return addr_equal(&m, &p->addr);
}

/* Does `outer` hold all of `inner`? */
static bool within(const struct prefix *outer, const struct prefix *inner)
{
	return inner->len >= outer->len && prefix_has(outer, &inner->addr);
}

/* ---- devices ---- */

static bool is_shared(const struct conf *c, const char *name)
{
	return c->ifname[0] && strcmp(c->ifname, name) == 0;
}

bool rights_device(const struct conf *c, const char *name, char *text)
{
	if (is_shared(c, name) || conf_dial_by_ifname(c, name))
		return true;
	return rights_refuse(text, "interface %.15s is not in the configuration", name);
}

bool rights_ethernet(const struct conf *c, const char *name, char *text)
{
	return rights_wire_of(c, name) ||
	       rights_refuse(text, "interface %.15s is no pseudowire's in the configuration", name);
}

bool rights_master(const struct conf *c, const char *name, const char *master, char *text)
{
	const struct dp_row *wire = rights_wire_of(c, name);

	return !master[0] || (wire && strcmp(wire->master, master) == 0) ||
	       rights_refuse(text, "interface %.15s is not put into %.15s by the configuration",
			     name, master);
}

static bool local_of_profile(const struct conf *c, const struct addr *a)
{
	size_t i;

	for (i = 0; i < c->access->profile_count; i++)
		if (addr_same_ip(&c->access->profiles[i]->local4, a))
			return true;
	return false;
}

bool rights_addr(const struct conf *c, const char *name, const struct prefix *p, char *text)
{
	char addr[ADDR_TEXT_MAX];

	if (!unicast(&p->addr))
		return rights_refuse(text, "%s is no address for an interface",
				     addr_text(&p->addr, addr));
	if (conf_dial_by_ifname(c, name)) {
		/* Of a shorter prefix the kernel makes a route; those are configured. */
		if (host_prefix(p) || (p->addr.family == AF_INET6 && p->len == 64))
			return true;
		return rights_refuse(text, "%s/%u would route a whole network to the interface",
				     addr_text(&p->addr, addr), p->len);
	}
	if (!is_shared(c, name) && strcmp(name, "lo") != 0)
		return rights_device(c, name, text);
	if (host_prefix(p) && local_of_profile(c, &p->addr))
		return true;
	if (strcmp(name, "lo") != 0 && link_local6(&p->addr) && p->len >= 64)
		return true;
	return rights_refuse(text, "%s is no local-address of a profile",
			     addr_text(&p->addr, addr));
}

/* ---- routes ---- */

/* Step over first..last and the address on either side of it. */
static bool step_over(uint64_t *at, uint64_t first, uint64_t last)
{
	if (*at + 1 < first || *at > last + 1)
		return false;
	*at = last + 2;
	return true;
}

/*
 * Is all of an IPv4 prefix in the pools? Ranges leave out the first and the last address of a
 * prefix and our own ones, which all may lie in the route.
 */
static bool in_pools4(const struct conf *c, const struct prefix *p)
{
	uint64_t at = host_order(&p->addr), end = at + ((uint64_t)1 << (32 - p->len));
	size_t i, j;
	bool moved = true;

	/* Each round steps over at least one range; the ranges are few. */
	while (at < end && moved) {
		moved = false;
		for (i = 0; i < c->access->pool_count; i++) {
			const struct conf_pool *pool = &c->access->pools[i];

			for (j = 0; j < pool->range_count; j++)
				moved |=
					step_over(&at, pool->ranges[j].first, pool->ranges[j].last);
		}
		for (i = 0; i < c->access->profile_count; i++) {
			const struct addr *ours = &c->access->profiles[i]->local4;

			if (ours->family == AF_INET)
				moved |= step_over(&at, host_order(ours), host_order(ours));
		}
	}
	return at >= end;
}

static bool in_pools(const struct conf *c, const struct prefix *p)
{
	size_t i, j;

	if (p->addr.family == AF_INET)
		return in_pools4(c, p);
	for (i = 0; i < c->access->pool_count; i++) {
		const struct conf_pool *pool = &c->access->pools[i];

		for (j = 0; j < pool->prefix6_count; j++)
			if (within(&pool->prefixes6[j], p))
				return true;
	}
	return false;
}

/* One line of a users file: does an address or network behind the secret hold `p`? */
static bool line_has(char *line, const struct prefix *p)
{
	char *save = NULL, *word;
	struct prefix q;

	/* Words of a secret with spaces parse as no address, or as one the file's owner wrote. */
	for (word = strtok_r(line, " \t\r\n", &save); word && *word != '#';
	     word = strtok_r(NULL, " \t\r\n", &save))
		if (prefix_parse(word, &q) == 0 && q.len > 0 && within(&q, p))
			return true;
	return false;
}

static bool in_users(const struct conf *c, const struct prefix *p)
{
	char *line = malloc(USERS_LINE);
	bool found = false;
	size_t i;

	for (i = 0; line && i < c->users_count && !found; i++) {
		FILE *f = fopen(c->users[i].path, "re");

		while (f && !found && fgets(line, USERS_LINE, f))
			found = line_has(line, p);
		if (f)
			fclose(f);
	}
	free(line);
	return found;
}

static bool dial_has_route(const struct conf_dial *d, const struct prefix *p)
{
	size_t i;

	for (i = 0; i < d->route_count; i++)
		if (d->routes[i].len == p->len && addr_same_ip(&d->routes[i].addr, &p->addr))
			return true;
	return (p->len == 0 && d->default_route) || host_prefix(p);
}

bool rights_route(const struct conf *c, const char *name, const struct prefix *p, uint32_t table,
		  uint32_t metric, char *text)
{
	const struct conf_dial *d = conf_dial_by_ifname(c, name);
	char route[ADDR_TEXT_MAX];

	if (!host_bits_zero(p))
		return rights_refuse(text, "%s is no network", prefix_text(p, route));
	if (p->len && !unicast(&p->addr) && !link_local6(&p->addr))
		return rights_refuse(text, "%s is no network to route", prefix_text(p, route));
	if (d) {
		if (host_prefix(p) && table == 0 && metric == 0)
			return true;
		if (table != d->table || metric != d->metric)
			return rights_refuse(
				text,
				"session \"%s\" has its routes in table %u with metric %u, "
				"not in table %u with metric %u",
				d->name, d->table, d->metric, table, metric);
		if (dial_has_route(d, p))
			return true;
		return rights_refuse(text, "%s is not among the routes of session \"%s\"",
				     prefix_text(p, route), d->name);
	}
	if (!is_shared(c, name))
		return rights_device(c, name, text);
	if (table != 0)
		return rights_refuse(text, "routes to users are in the main table, not in table %u",
				     table);
	if (p->len && (in_pools(c, p) || in_users(c, p)))
		return true;
	return rights_refuse(text, "%s is in no pool and no users file", prefix_text(p, route));
}

/* ---- programs ---- */

bool rights_hook(const struct conf *c, const char *name, const char *program, char *text)
{
	const struct conf_dial *d = conf_dial_find(c, name);
	struct stat st;

	if (!d)
		return rights_refuse(text, "session \"%.63s\" is not in the configuration", name);
	if (!program[0] || (strcmp(d->hook_up, program) != 0 && strcmp(d->hook_down, program) != 0))
		return rights_refuse(text, "session \"%s\" has no such hook program: %.200s",
				     d->name, program);
	if (stat(program, &st) < 0)
		return rights_refuse(text, "hook program %.200s: %s", program, strerror(errno));
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return rights_refuse(text, "hook program %.200s is not an executable file",
				     program);
	if (st.st_uid != 0 || (st.st_mode & 022))
		return rights_refuse(
			text,
			"hook program %.150s must belong to root and be writable by nobody "
			"else, because it runs as root",
			program);
	return true;
}

bool rights_env(const char *env, size_t len, char *text)
{
	static const char prefix[] = "ADIT_";
	size_t i = sizeof(prefix) - 1;

	if (len > i && memcmp(env, prefix, i) == 0) {
		while (i < len && (isupper((unsigned char)env[i]) ||
				   isdigit((unsigned char)env[i]) || env[i] == '_'))
			i++;
		if (i > sizeof(prefix) - 1 && i < len && env[i] == '=')
			return true;
	}
	return rights_refuse(text,
			     "variables of hook programs are named ADIT_ and capital letters");
}

/* ---- servers ---- */

bool rights_host(const struct conf *c, const char *host, char *text)
{
	char shown[100];
	size_t i;

	for (i = 0; i < c->access->dial_count; i++)
		if (strcmp(c->access->dials[i].server, host) == 0)
			return true;
	if (rights_wire_host(c, host))
		return true;
	return rights_refuse(text, "%s is the server of no session in the configuration",
			     text_escape(shown, sizeof(shown), host, strlen(host)));
}

bool rights_pin(const struct conf *c, const struct addr *to, bool known, char *text)
{
	char shown[ADDR_TEXT_MAX];
	struct addr a;
	size_t i;

	if (!unicast(to))
		return rights_refuse(text, "%s is no address of a server", addr_text(to, shown));
	for (i = 0; !known && i < c->access->dial_count; i++)
		known = addr_parse(c->access->dials[i].server, &a) == 0 && addr_same_ip(&a, to);
	if (known)
		return true;
	return rights_refuse(text, "%s is the address of no server in the configuration",
			     addr_text(to, shown));
}

/* ---- the kernel's data plane ---- */

static bool speaks(enum conf_version has, uint8_t version)
{
	return has != (version == 3 ? CONF_V2 : CONF_V3);
}

static bool may_open_tunnels(const struct conf *c, uint8_t version, const struct addr *from)
{
	for (size_t i = 0; i < c->access->peer_count; i++) {
		const struct conf_peer *p = &c->access->peers[i];

		if (!speaks(p->version, version))
			continue;
		if (!p->from_count)
			return true;
		for (size_t j = 0; j < p->from_count; j++)
			if (prefix_has(&p->from[j], from))
				return true;
	}
	return false;
}

/* PPP over L2TPv3: a server that is dialled with it. */
static bool dialled_v3(const struct conf *c, const struct addr *remote, bool known)
{
	struct addr a;

	for (size_t i = 0; i < c->access->dial_count; i++) {
		const struct conf_dial *d = &c->access->dials[i];

		if (!speaks(d->version, 3))
			continue;
		if (addr_parse(d->server, &a) == 0 ? addr_same_ip(&a, remote) : known)
			return true;
	}
	return false;
}

bool rights_tunnel(const struct conf *c, const struct dp_tunnel *t, bool known, char *text)
{
	const struct conf_socket *s = conf_socket_find(c, t->path.via);
	const struct addr *local = &t->path.local, *remote = &t->path.remote;
	char shown[ADDR_TEXT_MAX];

	if (!s)
		return rights_refuse(text, "the tunnel's socket is not in the configuration");
	if (t->encap != s->encap || (t->version == 2 && t->encap != DP_ENCAP_UDP))
		return rights_refuse(text,
				     "the tunnel's socket is not one for what it is carried in");
	if (s->addr.family != local->family ||
	    (!addr_is_any(&s->addr) && !addr_same_ip(&s->addr, local)) ||
	    (t->encap == DP_ENCAP_IP ? local->port != 0
	     : s->addr.port	     ? s->addr.port != local->port
				     : local->port < 1024))
		return rights_refuse(text, "%s is not an address of socket \"%s\"",
				     addr_text(local, shown), s->name);
	if (!unicast(remote))
		return rights_refuse(text, "%s is no address of a peer", addr_text(remote, shown));
	if (s->listener && may_open_tunnels(c, t->version, remote))
		return true;
	if (t->version == 3)
		return dialled_v3(c, remote, known) || rights_wire_tunnel(c, t, known, text);
	return rights_pin(c, remote, known, text);
}

/* Where the interface lies, and its queue: all as one block of the configuration says. */
static bool place_is(const struct conf_place *p, const struct dp_row *r)
{
	return strcmp(p->vrf, r->master) == 0 && acc_netns_id(p->netns) == r->netns &&
	       p->txqlen == r->txqlen;
}

static bool client_row(const struct conf *c, const struct dp_row *r, bool known, char *text)
{
	const struct conf_dial *d = conf_dial_by_ifname(c, r->ifname);

	if (!d)
		return rights_refuse(text, "interface %.15s is not in the configuration",
				     r->ifname);
	if (!place_is(&d->place, r))
		return rights_refuse(text,
				     "session \"%s\" has another VRF, namespace or queue in the "
				     "configuration",
				     d->name);
	if (r->prefix_count)
		return rights_refuse(text, "a dialled session has no prefixes of users");
	if (r->pin_peer && !rights_pin(c, &r->path.remote, known, text))
		return false;
	for (unsigned int i = 0; i < r->host_addr_count; i++)
		if (!rights_addr(c, r->ifname, &r->host_addrs[i], text))
			return false;
	for (unsigned int i = 0; i < r->route_count; i++)
		if (!rights_route(c, r->ifname, &r->routes[i], r->table, r->metric, text))
			return false;
	return true;
}

/* The address alone is among the prefixes of the session, which are checked. */
static bool own_prefix(const struct dp_row *r, const struct addr *a)
{
	for (unsigned int i = 0; i < r->prefix_count; i++)
		if (host_prefix(&r->prefixes[i]) && addr_same_ip(&r->prefixes[i].addr, a))
			return true;
	return false;
}

/* In another namespace our address is on the interface itself: there the keeper has no `lo`. */
static bool server_addrs_ok(const struct dp_row *r)
{
	const struct prefix *own = &r->host_addrs[0];

	if (!r->netns)
		return r->host_addr_count == 0 && r->peer4.family == 0;
	if (r->host_addr_count > 1 || (r->peer4.family && !own_prefix(r, &r->peer4)))
		return false;
	return r->host_addr_count == 0 ||
	       (host_prefix(own) && r->source4.family && addr_same_ip(&own->addr, &r->source4));
}

/* A profile that has its sessions there, under such a name and with this address of ours. */
static bool some_profile(const struct conf *c, const struct dp_row *r)
{
	for (size_t i = 0; i < c->access->profile_count; i++) {
		const struct conf_profile *p = c->access->profiles[i];

		if (place_is(&p->place, r) &&
		    (!r->ifname[0] || acc_ifname_fits(p->place.ifname, r->ifname)) &&
		    (!r->source4.family || addr_same_ip(&p->local4, &r->source4)))
			return true;
	}
	return false;
}

static bool server_row(const struct conf *c, const struct dp_row *r, char *text)
{
	char shown[ADDR_TEXT_MAX];

	if (!server_addrs_ok(r) || r->route_count || r->table || r->pin_peer)
		return rights_refuse(
			text, "a user's session has no addresses and routes of a dialled one");
	if (r->source4.family && !local_of_profile(c, &r->source4))
		return rights_refuse(text, "%s is no local-address of a profile",
				     addr_text(&r->source4, shown));
	if (!some_profile(c, r))
		return rights_refuse(
			text,
			"no profile has sessions in VRF \"%.15s\", this namespace and queue, "
			"with an interface named \"%.15s\" and this local-address",
			r->master, r->ifname);
	for (unsigned int i = 0; i < r->prefix_count; i++)
		if (!rights_route(c, c->ifname, &r->prefixes[i], 0, 0, text))
			return false;
	return true;
}

static bool any_v3(const struct conf *c)
{
	bool any = false;

	for (size_t i = 0; !any && i < c->access->peer_count; i++)
		any = speaks(c->access->peers[i].version, 3);
	for (size_t i = 0; !any && i < c->access->dial_count; i++)
		any = speaks(c->access->dials[i].version, 3);
	return any;
}

bool rights_row(const struct conf *c, const struct dp_row *r, bool known, char *text)
{
	if (r->ends == DP_L2TP_ETH)
		return rights_wire_row(c, r, known, text);
	if (r->ends != DP_L2TP_PPP)
		return rights_refuse(text,
				     "sessions that join two tunnels are not made on request");
	if (r->version == 3 && !any_v3(c))
		return rights_refuse(text, "no block of the configuration has PPP over L2TPv3");
	/* those below are of pseudowires; the configuration may have given out others */
	if (r->version == 3 &&
	    (r->local_session < DP_PPP3_IDS || pw_conf_reserves(c->pw, r->local_session)))
		return rights_refuse(text, "session id %lu is not one of PPP over L2TPv3",
				     (unsigned long)r->local_session);
	return r->flags & DP_F_CLIENT ? client_row(c, r, known, text) : server_row(c, r, text);
}
