/* SPDX-License-Identifier: MIT
 *
 * May aditd have this, for the pseudowires that it agrees on with their peers (L2TPv3)? Interface,
 * bridge, circuit and peer are those of the configuration, and ids where it has any; cookies, and
 * ids within a range, are its own business.
 */
#include "rights_wire.h"
#include "rights.h"

#include <stdio.h>
#include <string.h>

const struct dp_row *rights_wire_of(const struct conf *c, const char *ifname)
{
	const struct conf_wire *s = ifname[0] ? conf_wire_by_ifname(c, ifname) : NULL;
	const struct pw_conf_wire *w = ifname[0] && !s ? conf_pw_by_ifname(c, ifname) : NULL;

	return s ? &s->row : w ? &w->row : NULL;
}

bool rights_wire_host(const struct conf *c, const char *host)
{
	for (size_t i = 0; i < c->pw->tunnel_count; i++)
		if (strcmp(c->pw->tunnels[i].remote, host) == 0)
			return true;
	return false;
}

/* Is this the peer of a connection over this socket? */
static bool peer_of(const struct pw_conf_tunnel *t, uint32_t via, uint8_t encap,
		    const struct addr *remote, bool known)
{
	struct addr a;

	if (t->encap != encap || (t->via4 != via && t->via6 != via))
		return false;
	if (addr_parse(t->remote, &a) == 0)
		return addr_same_ip(&a, remote);
	return known;
}

bool rights_wire_tunnel(const struct conf *c, const struct dp_tunnel *t, bool known, char *text)
{
	char shown[ADDR_TEXT_MAX];

	for (size_t i = 0; i < c->pw->tunnel_count; i++)
		if (peer_of(c->pw->tunnels + i, t->path.via, t->encap, &t->path.remote, known))
			return true;
	return rights_refuse(text,
			     "%s is the address of no peer of pseudowires in the configuration",
			     addr_text(&t->path.remote, shown));
}

static bool plain(const struct dp_row *r)
{
	return !r->prefix_count && !r->host_addr_count && !r->route_count && !r->peer4.family &&
	       !r->source4.family && !r->table && !r->pin_peer && !r->netns && !r->txqlen;
}

/* Those that the configuration gives to static ones are nobody else's. The engine gives out ids
 * below DP_PPP3_IDS, but versions before that border gave any, and those sessions are kept. */
static bool ids_ok(const struct conf *c, const struct pw_conf_wire *w, const struct dp_row *r)
{
	if (!w->fixed)
		return r->local_session && !pw_conf_reserves(c->pw, r->local_session);
	return r->local_session == w->row.local_session &&
	       r->remote_session == w->row.remote_session;
}

bool rights_wire_row(const struct conf *c, const struct dp_row *r, bool known, char *text)
{
	const struct pw_conf_wire *w = r->ifname[0] ? conf_pw_by_ifname(c, r->ifname) : NULL;
	char shown[ADDR_TEXT_MAX];

	if (r->version != 3 || !w)
		return rights_refuse(
			text, "interface %.15s is no pseudowire's in the configuration", r->ifname);
	if (!plain(r))
		return rights_refuse(text, "a pseudowire has no addresses and routes");
	if (strcmp(w->row.master, r->master) != 0)
		return rights_refuse(text,
				     "pseudowire \"%s\" is not put into %.15s by the configuration",
				     w->name, r->master);
	if (!ids_ok(c, w, r))
		return rights_refuse(text, "session id %lu is not one of pseudowire \"%s\"",
				     (unsigned long)r->local_session, w->name);
	if (w->row.tag != r->tag)
		return rights_refuse(text, "pseudowire \"%s\" has another tag in the configuration",
				     w->name);
	if (w->row.vlan != r->vlan || w->row.vlan_count != r->vlan_count ||
	    memcmp(w->row.vlans, r->vlans, sizeof(r->vlans)) != 0)
		return rights_refuse(text, "pseudowire \"%s\" has other VLANs in the configuration",
				     w->name);
	if (strcmp(w->row.circuit, r->circuit) != 0)
		return rights_refuse(text, "%.15s is not the circuit of pseudowire \"%s\"",
				     r->circuit, w->name);
	if (peer_of(c->pw->tunnels + w->tunnel, r->path.via, r->encap, &r->path.remote, known))
		return true;
	return rights_refuse(text, "%s is not the address of the peer of pseudowire \"%s\"",
			     addr_text(&r->path.remote, shown), w->name);
}
