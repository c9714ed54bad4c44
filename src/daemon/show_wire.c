/* SPDX-License-Identifier: MIT
 *
 * What the control socket shows of pseudowires and their control connections, as JSON: those agreed
 * with their peers (access/pw.h), and the static ones, which the keeper has.
 */
#include "show_int.h"

#include "base/text.h"
#include "dp/circuit.h"
#include "dp/remote.h"

#include <string.h>

static const char *circuit(bool up)
{
	return up ? "up" : "down";
}

/* The peer's, as it has told it last. */
static const char *peer_circuit(const struct pw_wire_info *i)
{
	return i->l2tp.remote_status & L2TP3_STATUS_STANDBY ? "standby" : circuit(i->far_up);
}

/* Of the bridge, and in the pseudowire. */
static void set_vlans(json_t *o, const struct dp_row *r)
{
	json_t *tagged = json_array();
	char text[16];

	for (int i = 0; tagged && i < r->vlan_count; i++) {
		const struct dp_vlans *v = &r->vlans[i];

		snprintf(text, sizeof(text), v->first == v->last ? "%u" : "%u-%u", v->first,
			 v->last);
		json_array_append_new(tagged, json_string(text));
	}
	show_set(o, "vlan", r->vlan ? json_integer(r->vlan) : json_null());
	show_set(o, "tagged_vlans", tagged);
	show_set(o, "tag", r->tag ? json_integer(r->tag) : json_null());
}

/* The interface of one that is up has the name, and is where, somebody may have put it. */
static void set_interface(const struct daemon *d, json_t *o, const struct dp_row *r, bool up)
{
	struct circuit_link now;
	bool known = up && kplane_link(d, r->ifname, &now);

	show_set_text(o, "interface", known ? now.name : r->ifname);
	show_set_text(o, "bridge", known ? now.master : r->master);
}

static void set_row(const struct daemon *d, json_t *o, const struct dp_row *r, bool up)
{
	set_interface(d, o, r, up);
	set_vlans(o, r);
	show_set_text(o, "encapsulation", r->encap == DP_ENCAP_IP ? "ip" : "udp");
	show_set_u64(o, "session", r->local_session);
	show_set_u64(o, "remote_session", r->remote_session);
	show_set_u64(o, "tunnel", r->local_tunnel);
	show_set_u64(o, "remote_tunnel", r->remote_tunnel);
	show_set_u64(o, "cookie_length", r->cookie_in_len);
	show_set_u64(o, "peer_cookie_length", r->cookie_out_len);
	show_set_text(o, "sublayer", r->l2spec == DP_L2SPEC_DEFAULT ? "default" : "none");
	show_set(o, "sequencing", json_boolean(r->flags & DP_F_SEND_SEQ));
	show_set(o, "mtu", r->mtu ? json_integer(r->mtu) : json_null());
}

static json_t *show_static(struct daemon *d, const struct conf_wire *c)
{
	struct dp_wire w = { .text = "" };
	struct swire_state s;
	bool user = swire_state(d, c->name, &s);
	json_t *o = json_object();

	if (user)
		w = (struct dp_wire){
			.ok = s.up, .text = s.text, .counters = s.counters, .mtu = s.mtu
		};
	else
		dp_remote_wire(d->remote, c->name, &w);
	show_set_text(o, "name", c->name);
	show_set_text(o, "state", w.ok ? "up" : "down");
	set_row(d, o, &c->row, w.ok);
	if (w.mtu)
		show_set_u64(o, "mtu", w.mtu);
	show_set_text(o, "kind", "static");
	show_set_text(o, "plane", user ? "user" : "kernel");
	show_set_addr(o, "local", &c->row.path.local);
	show_set_addr(o, "remote", &c->row.path.remote);
	show_set_u64(o, "rx_packets", w.counters.rx_packets);
	show_set_u64(o, "rx_bytes", w.counters.rx_bytes);
	show_set_u64(o, "tx_packets", w.counters.tx_packets);
	show_set_u64(o, "tx_bytes", w.counters.tx_bytes);
	show_set_u64(o, "drop_spoof", w.counters.drop_spoof);
	show_set_u64(o, "drop_seq", w.counters.drop_seq);
	show_set_u64(o, "drop_mtu", w.counters.drop_mtu);
	show_set_u64(o, "drop_other", w.counters.drop_other);
	show_set_text(o, "text", w.text);
	return o;
}

/* Why it is not up, or its circuit is not, in words. */
static void set_why(struct daemon *d, json_t *o, const struct pw_wire_info *i)
{
	bool why = !i->up && i->cause != ADIT_CAUSE_NONE;
	char text[64] = "";

	show_set_u64(o, "attempts", i->attempts);
	show_set(o, "next_in",
		 !i->up && i->next.us != INT64_MAX
			 ? json_integer(i->next.us > d->now.us
						? (i->next.us - d->now.us + US_S - 1) / US_S
						: 0)
			 : json_null());
	show_set_text(o, "cause", why ? cause_name(i->cause) : NULL);
	show_set_text(o, "because", why ? cause_text(i->cause) : NULL);
	if (i->up && i->missing)
		snprintf(text, sizeof(text), "there is no interface %s", i->row.circuit);
	show_set_text(o, "text", why ? i->text : text);
}

static json_t *show_agreed(struct daemon *d, const struct pw_wire_info *i)
{
	const char *why = "";
	json_t *o = json_object();
	struct addr remote;

	show_set(o, "key", show_key(i->key));
	show_set_text(o, "name", i->name);
	show_set_text(o, "state", i->state);
	show_set_text(o, "kind", i->conf && i->conf->fixed ? "fixed" : "agreed");
	show_set_text(o, "type", i->conf && i->conf->type == PW_VLAN ? "vlan" : "ethernet");
	show_set_text(o, "remote_end_id", i->conf && !i->conf->fixed ? i->conf->end_id : NULL);
	show_set_text(o, "control", i->tunnel ? i->tunnel->name : NULL);
	set_row(d, o, &i->row, i->up);
	if (i->up) {
		show_set_addr(o, "local", &i->row.path.local);
		show_set_addr(o, "remote", &i->row.path.remote);
	} else if (i->tunnel) {
		show_set_text(o, "encapsulation", i->tunnel->encap == DP_ENCAP_IP ? "ip" : "udp");
		if (addr_parse(i->tunnel->remote, &remote) == 0)
			show_set_addr(o, "remote", &remote);
		else
			show_set_text(o, "remote", i->tunnel->remote);
	}
	show_set_text(o, "circuit", i->up ? circuit(i->near_up) : NULL);
	show_set_text(o, "peer_circuit", i->up ? peer_circuit(i) : NULL);
	show_set_text(o, "circuit_interface", i->row.circuit);
	show_set_counters(d, o, i->key);
	if (i->up)
		show_set_since(d, o, i->since);
	show_set_text(o, "plane", d->dp->ops->where(d->dp, i->key, &why));
	show_set_text(o, "plane_why", why);
	set_why(d, o, i);
	return o;
}

json_t *show_wire(struct daemon *d, size_t index)
{
	struct pw_wire_info i;

	if (index < d->conf->wire_count)
		return show_static(d, d->conf->wires + index);
	return pwe_wire(d->pw, index - d->conf->wire_count, &i) ? show_agreed(d, &i) : NULL;
}

void show_wires(struct daemon *d, struct show_wires *ret)
{
	struct pw_wire_info i;
	json_t *o;

	*ret = (struct show_wires){ .oldest = MONO_NEVER, .down = json_array() };
	for (size_t n = 0; pwe_wire(d->pw, n, &i); n++) {
		if (!i.conf)
			continue;
		ret->count++;
		ret->up += i.up;
		if (i.up)
			ret->oldest = mono_min(ret->oldest, i.since);
		if (i.up || json_array_size(ret->down) == SHOW_WIRES_DOWN)
			continue;
		o = json_object();
		show_set_text(o, "name", i.name);
		show_set_text(o, "state", i.state);
		set_why(d, o, &i);
		json_array_append_new(ret->down, o);
	}
	for (uint32_t id = 0; (id = pwe_tunnel_next(d->pw, id));)
		ret->tunnels++;
}

json_t *show_wire_named(struct daemon *d, const char *name)
{
	struct pw_wire_info i;

	return pwe_wire_find(d->pw, name, &i) ? show_agreed(d, &i) : NULL;
}

json_t *show_wire_session(struct daemon *d, uint64_t key)
{
	struct pw_wire_info i;
	json_t *o;

	for (size_t n = 0; pwe_wire(d->pw, n, &i); n++) {
		if (i.key != key)
			continue;
		o = show_agreed(d, &i);
		show_set_text(o, "role", i.l2tp.initiator ? "client" : "server");
		show_set_text(o, "user", i.name);
		show_set_text(o, "peer", i.tunnel ? i.tunnel->name : NULL);
		return o;
	}
	return NULL;
}

/* ---- control connections ---- */

static const char *digest_name(const struct l2tp3_conn_info *i)
{
	switch (i->digest) {
	case L2TP3_AUTH_MD5:
		return "md5";
	case L2TP3_AUTH_SHA1:
		return "sha1";
	case L2TP3_AUTH_AUTO:
	case L2TP3_AUTH_NONE:
		break;
	}
	return "none";
}

json_t *show_tunnel3(struct daemon *d, uint32_t id)
{
	struct pw_tunnel_info i;
	const char *why = "";
	json_t *o;

	if (!pwe_tunnel(d->pw, id, &i))
		return NULL;
	o = json_object();
	show_set_u64(o, "version", 3);
	show_set_u64(o, "id", i.l2tp.local_id);
	show_set_u64(o, "remote_id", i.l2tp.remote_id);
	show_set_text(o, "state", i.l2tp.state == L2TP3_CS_UP ? "up" : "closing");
	show_set_text(o, "encapsulation", i.l2tp.over_ip ? "ip" : "udp");
	show_set_text(o, "peer", i.name);
	show_set_text(o, "host", i.l2tp.host_name);
	show_set_text(o, "vendor", i.l2tp.vendor_name);
	show_set_text(o, "role", i.l2tp.initiator ? "client" : "server");
	show_set_u64(o, "router_id", i.l2tp.router_id);
	show_set_text(o, "digest", digest_name(&i.l2tp));
	show_set(o, "authentic", json_boolean(i.l2tp.authentic));
	show_set_u64(o, "secret_used", i.l2tp.secret_used);
	show_set_addr(o, "local", &i.l2tp.path.local);
	show_set_addr(o, "remote", &i.l2tp.path.remote);
	show_set_u64(o, "path_mtu", i.path_mtu ? i.path_mtu : PW_PATH_MTU);
	show_set_u64(o, "sessions", i.l2tp.sessions);
	show_set_since(d, o, i.l2tp.since);
	show_set_u64(o, "heard", (uint64_t)((d->now.us - i.l2tp.heard.us) / US_S));
	show_set(o, "rtt_ms",
		 i.l2tp.rtt_us ? json_real((double)i.l2tp.rtt_us / 1000) : json_null());
	show_set_u64(o, "ns", i.l2tp.ns);
	show_set_u64(o, "nr", i.l2tp.nr);
	show_set_u64(o, "peer_window", i.l2tp.peer_window);
	show_set_u64(o, "cwnd", i.l2tp.cwnd);
	show_set_u64(o, "queued", i.l2tp.queued);
	show_set_u64(o, "in_flight", i.l2tp.in_flight);
	show_set_u64(o, "sent", i.l2tp.sent);
	show_set_u64(o, "received", i.l2tp.received);
	show_set_u64(o, "retransmits", i.l2tp.retransmits);
	show_set_u64(o, "duplicates", i.l2tp.duplicates);
	show_set_text(o, "plane", d->dp->ops->where_tunnel(d->dp, id, &why));
	show_set_text(o, "plane_why", why);
	return o;
}
