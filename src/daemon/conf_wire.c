/* SPDX-License-Identifier: MIT
 *
 * Pseudowire blocks: Ethernet over L2TPv3 with everything configured (RFC 3931 7.4), as rows for
 * the kernel's data plane; and those agreed with the peer over a control connection, as src/access
 * (pw.h) wants to see them. Control connections themselves: conf_tunnel.c.
 */
#include "conf_tree.h"

#include "base/crypto.h"

#include <stdio.h>
#include <string.h>

static bool cookie_of(struct conf_build *b, const struct conf_block *block, const char *key,
		      uint8_t cookie[8], uint8_t *ret_len)
{
	static const char digits[] = "0123456789abcdef";
	const char *text = conf_text_of(block, key);
	size_t n = text ? strlen(text) : 0;

	*ret_len = (uint8_t)(n / 2);
	for (size_t i = 0; i < n && (n == 8 || n == 16); i++) {
		const char *at = memchr(digits, text[i] | 0x20, 16);

		if (!at || (text[i] < '0')) {
			n = 1;
			break;
		}
		cookie[i / 2] = (uint8_t)(cookie[i / 2] << 4 | (at - digits));
	}
	if (n == 0 || n == 8 || n == 16)
		return true;
	FAIL(b, block, key, "%s of pseudowire \"%s\" is not 8 or 16 hexadecimal digits", key,
	     block->name);
	return false;
}

/* An address where a name will not do. */
static bool address(struct conf_build *b, const struct conf_block *block, const char *key,
		    struct addr *ret)
{
	const char *text = conf_text_of(block, key);

	if (text && addr_parse(text, ret) == 0 && !ret->port)
		return true;
	FAIL(b, block, key,
	     "%s of pseudowire \"%s\" is no address such as 192.0.2.1 or 2001:db8::1; names are "
	     "for pseudowires without tunnel-id",
	     key, block->name);
	return false;
}

static bool addresses(struct conf_build *b, const struct conf_block *block, struct dp_row *r)
{
	bool udp = r->encap == DP_ENCAP_UDP;

	r->path.local = conf_addr_of(block, "local");
	if (!address(b, block, "remote", &r->path.remote))
		return false;
	if (r->path.local.family != r->path.remote.family) {
		FAIL(b, block, "remote",
		     "local and remote of pseudowire \"%s\" are of different families",
		     block->name);
		return false;
	}
	return conf_wire_port(b, block, "local-port", &r->path.local.port, udp) &&
	       conf_wire_port(b, block, "remote-port", &r->path.remote.port, udp);
}

/* Has another pseudowire this already? False: told. */
static bool once(struct conf_build *b, const struct conf_block *block, enum conf_once what,
		 const void *key, size_t len, const char *option)
{
	struct conf_taken by = { .name = block->name };

	if (!conf_take(b, what, key, len, by, &by))
		return false;
	if (by.name == block->name)
		return true;
	FAIL(b, block, option, "pseudowire \"%s\" has this %s already; use another one", by.name,
	     option);
	return false;
}

/* Those with a tunnel-id share that tunnel: all of it has to be the same. */
static bool same_tunnel(struct conf_build *b, const struct conf_block *block,
			const struct conf_wire *w)
{
	struct conf_taken by = { .name = block->name, .at = b->c->wire_count - 1 };
	const struct conf_wire *o;
	const char *other;

	if (!conf_take(b, CONF_ONCE_TUNNEL_ID, &w->local_tunnel, sizeof(w->local_tunnel), by, &by))
		return false;
	if (by.name == block->name)
		return true;
	o = b->c->wires + by.at;
	other = o->remote_tunnel != w->remote_tunnel		? "peer-tunnel-id"
		: o->row.encap != w->row.encap			? "encapsulation"
		: conf_plane_of(block, b->c->plane) != o->plane ? "data-plane"
		: path_equal(&o->row.path, &w->row.path)	? NULL
		: addr_same_ip(&o->row.path.local, &w->row.path.local) &&
				addr_same_ip(&o->row.path.remote, &w->row.path.remote)
			? "port"
			: "address";
	if (!other)
		return true;
	FAIL(b, block, "tunnel-id",
	     "pseudowire \"%s\" has this tunnel-id with another %s; use the same, or another "
	     "tunnel-id",
	     by.name, other);
	return false;
}

/* A name that nobody else has: another interface, or a pseudowire. */
static bool name_alone(struct conf_build *b, const struct conf_block *block, const char *ifname)
{
	if (!once(b, block, CONF_ONCE_IFNAME, ifname, strlen(ifname), "interface"))
		return false;
	if (strcmp(ifname, b->c->ifname) != 0 && !conf_dial_by_ifname(b->c, ifname))
		return true;
	FAIL(b, block, "interface", "the interface %s is another block's; use another name",
	     ifname);
	return false;
}

/* "20" or "20-29". */
static bool vlans_parse(const char *text, struct dp_vlans *ret)
{
	unsigned int v[2] = { 0, 0 }, n = 0;

	for (; *text; text++) {
		if (*text == '-' && n == 0 && v[0])
			n++;
		else if (*text >= '0' && *text <= '9' && v[n] <= DP_VLAN_LAST)
			v[n] = v[n] * 10 + (unsigned int)(*text - '0');
		else
			return false;
	}
	if (n == 0)
		v[1] = v[0];
	*ret = (struct dp_vlans){ (uint16_t)v[0], (uint16_t)v[1] };
	return v[0] && v[0] <= v[1] && v[1] <= DP_VLAN_LAST;
}

static bool vlans_of(struct conf_build *b, const struct conf_block *block, struct dp_row *r)
{
	const struct conf_value *v = conf_get(block, "tagged-vlans");

	r->vlan = (uint16_t)conf_number_of(block, "vlan");
	if ((r->vlan || v) && !r->master[0]) {
		FAIL(b, block, v ? "tagged-vlans" : "vlan",
		     "pseudowire \"%s\" has VLANs but no bridge; set bridge", block->name);
		return false;
	}
	if (v && v->n > DP_VLANS) {
		FAIL(b, block, "tagged-vlans", "there are more than %d VLANs or ranges of them",
		     DP_VLANS);
		return false;
	}
	for (size_t i = 0; v && i < v->n; i++) {
		const struct dp_vlans *tagged = r->vlans + i;

		if (!vlans_parse(v->v[i], r->vlans + i)) {
			FAIL(b, block, "tagged-vlans",
			     "\"%s\" is neither a VLAN from 1 to %d nor a range such as 20-29",
			     v->v[i], DP_VLAN_LAST);
			return false;
		}
		/* the bridge would take the later for what is meant */
		if (r->vlan >= tagged->first && r->vlan <= tagged->last) {
			FAIL(b, block, "tagged-vlans",
			     "VLAN %u is with a tag here and without one by vlan; remove one of "
			     "both",
			     r->vlan);
			return false;
		}
	}
	r->vlan_count = (uint8_t)(v ? v->n : 0);
	return true;
}

/* What both kinds have. */
static bool row_of(struct conf_build *b, const struct conf_block *block, struct dp_row *r)
{
	const char *bridge = conf_text_of(block, "bridge"),
		   *name = conf_text_of(block, "interface");
	const struct conf_key *key = conf_get(block, "interface") ? NULL : block->values[0].key;
	char why[128];

	r->state = DP_ACTIVE;
	r->ends = DP_L2TP_ETH;
	r->version = 3;
	r->l2spec = strcmp(conf_text_of(block, "sublayer"), "none") == 0 ? DP_L2SPEC_NONE
									 : DP_L2SPEC_DEFAULT;
	if (conf_bool_of(block, "sequencing"))
		r->flags = DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ;
	if (r->flags && r->l2spec == DP_L2SPEC_NONE) {
		FAIL(b, block, "sequencing",
		     "sequence numbers stand in the sublayer; set sublayer = default");
		return false;
	}
	for (size_t i = 0; key && i < block->count; i++)
		if (strcmp(block->values[i].key->key, "interface") == 0)
			key = block->values[i].key;
	if (key && !conf_value_ok(key, block->name, why, sizeof(why))) {
		FAIL(b, block, "interface",
		     "\"%s\" cannot be the name of an interface; set interface", block->name);
		return false;
	}
	r->tag = (uint16_t)conf_number_of(block, "tag");
	memcpy(r->ifname, name ? name : block->name, strlen(name ? name : block->name) + 1);
	snprintf(r->master, sizeof(r->master), "%s", bridge ? bridge : "");
	return vlans_of(b, block, r) && name_alone(b, block, r->ifname);
}

/* Options that say nothing where they stand. */
static bool unused(struct conf_build *b, const struct conf_block *block, const char *const *keys,
		   const char *why)
{
	for (; *keys; keys++) {
		if (!conf_differs(block, *keys))
			continue;
		FAIL(b, block, *keys, "%s of pseudowire \"%s\" %s", *keys, block->name, why);
		return false;
	}
	return true;
}

/* The ids, all of them or none. */
static bool required(struct conf_build *b, const struct conf_block *block, const char *const *keys)
{
	for (; *keys; keys++) {
		const struct conf_key *k = NULL;

		for (size_t i = 0; i < block->count; i++)
			if (strcmp(block->values[i].key->key, *keys) == 0)
				k = block->values[i].key;
		if (!k || conf_get(block, *keys))
			continue;
		FAIL(b, block, *keys, "pseudowire \"%s\" has no %s; set %s: %s", block->name, *keys,
		     *keys, k->help);
		return false;
	}
	return true;
}

/* Who carries it, and the socket it needs in user space. */
static bool static_plane(struct conf_build *b, const struct conf_block *block, struct conf_wire *w)
{
	size_t before = b->c->socket_count;
	struct conf_socket *s;

	w->plane = (uint8_t)conf_plane_of(block, b->c->plane);
	if (w->plane == DP_WANT_KERNEL)
		return true;
	if (!conf_wire_socket(b, &w->row.path.local, w->row.encap, &w->via))
		return false;
	for (size_t i = 0; i < b->c->socket_count; i++) {
		s = b->c->sockets + i;
		if (s->via == w->via)
			s->spare = w->plane == DP_WANT_AUTO && (s->spare || i >= before);
	}
	return true;
}

static bool static_build(struct conf_build *b, const struct conf_block *block)
{
	static const char *const needed[] = { "local",	    "remote",
					      "tunnel-id",  "peer-tunnel-id",
					      "session-id", "peer-session-id",
					      NULL };
	static const char *const none[] = { "tunnel",	     "secret",	"secret-file",
					    "remote-end-id", "circuit", "cookie-length",
					    "connect",	     "type",	NULL };
	struct conf_wire *w = b->c->wires + b->c->wire_count++;
	struct dp_row *r = &w->row;
	uint32_t mtu = conf_number_of(block, "mtu");

	strcpy(w->name, block->name);
	if (!required(b, block, needed) ||
	    !unused(b, block, none,
		    "is for pseudowires that are agreed with the peer; remove it, or tunnel-id "
		    "and peer-tunnel-id"))
		return false;
	r->encap = conf_over_ip(block) ? DP_ENCAP_IP : DP_ENCAP_UDP;
	r->local_tunnel = w->local_tunnel = conf_number_of(block, "tunnel-id");
	r->remote_tunnel = w->remote_tunnel = conf_number_of(block, "peer-tunnel-id");
	r->local_session = conf_number_of(block, "session-id");
	r->remote_session = conf_number_of(block, "peer-session-id");
	if (!addresses(b, block, r) ||
	    !cookie_of(b, block, "cookie", r->cookie_in, &r->cookie_in_len) ||
	    !cookie_of(b, block, "peer-cookie", r->cookie_out, &r->cookie_out_len) ||
	    !same_tunnel(b, block, w) ||
	    !once(b, block, CONF_ONCE_SESSION_ID, &r->local_session, sizeof(r->local_session),
		  "session-id") ||
	    !row_of(b, block, r))
		return false;
	r->mtu = mtu ? (uint16_t)mtu : pw_mtu(r, PW_PATH_MTU);
	w->auto_mtu = !mtu;
	pw_conf_reserve(b->c->pw, r->local_session);
	return static_plane(b, block, w);
}

/* ---- agreed with the peer ---- */

/* Ids on both sides without an agreement: session-id and peer-session-id in a tunnel. */
static bool fixed_of(struct conf_build *b, const struct conf_block *block, struct pw_conf_wire *w)
{
	static const char *const ids[] = { "session-id", "peer-session-id", NULL };
	static const char *const none[] = { "remote-end-id", "cookie-length", "type", NULL };
	static const char *const cookies[] = { "cookie", "peer-cookie", NULL };
	struct dp_row *r = &w->row;

	w->fixed = conf_get(block, ids[0]) || conf_get(block, ids[1]);
	if (!w->fixed)
		return unused(b, block, cookies,
			      "is for pseudowires with session-id; set cookie-length");
	r->local_session = conf_number_of(block, "session-id");
	r->remote_session = conf_number_of(block, "peer-session-id");
	if (!required(b, block, ids) ||
	    !unused(b, block, none, "is agreed with the peer, but session-id is set; remove one") ||
	    !cookie_of(b, block, "cookie", r->cookie_in, &r->cookie_in_len) ||
	    !cookie_of(b, block, "peer-cookie", r->cookie_out, &r->cookie_out_len))
		return false;
	if (!once(b, block, CONF_ONCE_FIXED_ID, &r->local_session, sizeof(r->local_session),
		  "session-id"))
		return false;
	pw_conf_reserve(b->c->pw, r->local_session);
	return true;
}

/* One of each name in a control connection: a call of the peer has to find its pseudowire. */
static bool end_id_of(struct conf_build *b, const struct conf_block *block, struct pw_conf_wire *w)
{
	const char *id = conf_text_of(block, "remote-end-id");
	struct conf_taken by = { .name = block->name };
	struct {
		size_t tunnel;
		char end_id[PW_END_ID_MAX + 1];
	} key;

	snprintf(w->end_id, sizeof(w->end_id), "%s", id ? id : block->name);
	if (w->fixed)
		return true;
	memset(&key, 0, sizeof(key));
	key.tunnel = w->tunnel;
	memcpy(key.end_id, w->end_id, strlen(w->end_id));
	if (!conf_take(b, CONF_ONCE_END_ID, &key, sizeof(key), by, &by))
		return false;
	if (by.name == block->name)
		return true;
	FAIL(b, block, "remote-end-id",
	     "pseudowire \"%s\" has the remote-end-id \"%s\" already; use another one", by.name,
	     w->end_id);
	return false;
}

static bool agreed_build(struct conf_build *b, const struct conf_block *block)
{
	struct pw_conf_wire *w = b->c->pw->wires + b->c->pw->wire_count++;
	const char *circuit = conf_text_of(block, "circuit"), *len;

	strcpy(w->name, block->name);
	if (!conf_wire_tunnel(b, block, &w->tunnel) || !fixed_of(b, block, w) ||
	    !end_id_of(b, block, w) || !row_of(b, block, &w->row))
		return false;
	len = conf_text_of(block, "cookie-length");
	w->cookie_len = (uint8_t)(len[0] - '0');
	w->type = strcmp(conf_text_of(block, "type"), "vlan") == 0 ? PW_VLAN : PW_ETHERNET;
	if (w->row.tag && w->type != PW_VLAN && !w->fixed) {
		FAIL(b, block, "tag",
		     "pseudowire \"%s\" is of type ethernet, whose frames pass as they are; set "
		     "type = vlan, or remove tag",
		     block->name);
		return false;
	}
	w->connect = conf_connect_of(block);
	w->mtu = (uint16_t)conf_number_of(block, "mtu");
	snprintf(w->row.circuit, sizeof(w->row.circuit), "%s", circuit ? circuit : "");
	w->digest = conf_hash_block(UINT64_C(0xcbf29ce484222325), block, "");
	return true;
}

bool conf_wire_build(struct conf_build *b, const struct conf_block *block)
{
	if (conf_get(block, "tunnel-id") || conf_get(block, "peer-tunnel-id"))
		return static_build(b, block);
	return agreed_build(b, block);
}
