/* SPDX-License-Identifier: MIT
 *
 * What `adit show` and `adit status` show, as JSON objects. The names of the fields are kept: other
 * programs read them. What is not known is null. Text of a peer is escaped (src/base/text.h).
 */
#include "control.h"

#include "base/text.h"
#include "base/wire.h"
#include "dp/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Set a field; a value that could not be made leaves the object without it. */
static void set(json_t *o, const char *name, json_t *value)
{
	if (json_object_set_new(o, name, value ? value : json_null()) < 0)
		return;
}

static void set_text(json_t *o, const char *name, const char *text)
{
	char buf[512];

	set(o, name,
	    text && *text ? json_string(text_escape(buf, sizeof(buf), text, strlen(text)))
			  : json_null());
}

static void set_u64(json_t *o, const char *name, uint64_t v)
{
	set(o, name, json_integer((json_int_t)v));
}

static void set_addr(json_t *o, const char *name, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	set(o, name, a->family ? json_string(addr_text(a, text)) : json_null());
}

static void set_ip4(json_t *o, const char *name, const uint8_t ip[4])
{
	static const uint8_t none[4];

	set(o, name,
	    memcmp(ip, none, 4) == 0 ? json_null()
				     : json_sprintf("%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]));
}

static void set_prefix(json_t *o, const char *name, const struct prefix *p)
{
	char text[ADDR_TEXT_MAX];

	set(o, name, p->addr.family ? json_string(prefix_text(p, text)) : json_null());
}

static json_t *wall_text(int64_t us, bool ms)
{
	time_t s = (time_t)(us / US_S);
	char text[40], part[8] = "";
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	if (ms)
		snprintf(part, sizeof(part), ".%03u", (unsigned int)(us % US_S / US_MS) % 1000);
	return json_sprintf("%s%sZ", text, part);
}

static const char *sandbox_text(enum sandbox s)
{
	switch (s) {
	case SANDBOX_OFF:
		return "off";
	case SANDBOX_UNAVAILABLE:
		return "unavailable";
	case SANDBOX_ON:
		break;
	}
	return "on";
}

/* A moment as wall time, to the second, and how many seconds ago it was. */
static void set_since(const struct daemon *d, json_t *o, struct mono at)
{
	/* the two clocks are read one after the other: round, so that the text stays the same */
	int64_t wall = d->wall_us - d->now.us + at.us + 500 * US_MS;

	set(o, "since", wall_text(wall, false));
	set_u64(o, "seconds", (uint64_t)((d->now.us - at.us) / US_S));
}

json_t *show_key(uint64_t key)
{
	return key ? json_sprintf("%016" PRIx64, key) : json_null();
}

bool show_key_parse(const char *text, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = strlen(text);

	if (n == 0 || n > 16)
		return false;
	for (; *text; text++) {
		char c = *text;
		unsigned int digit = c >= '0' && c <= '9'   ? (unsigned int)(c - '0')
				     : c >= 'a' && c <= 'f' ? (unsigned int)(c - 'a') + 10
				     : c >= 'A' && c <= 'F' ? (unsigned int)(c - 'A') + 10
							    : 16;

		if (digit == 16)
			return false;
		v = v << 4 | digit;
	}
	*ret = v;
	return v != 0;
}

/* ---- status ---- */

/* What the kernel does for many packets at once; see doc/performance.md. */
static json_t *plane_offloads(uint32_t bits)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = { { DP_OFFLOAD_RECEIVE, "udp-gro" },
		      { DP_OFFLOAD_SEND, "udp-segment" },
		      { DP_OFFLOAD_TCP, "tun-tso" } };
	json_t *list = json_array();

	for (size_t i = 0; list && i < sizeof(names) / sizeof(names[0]); i++) {
		if (bits & names[i].bit)
			json_array_append_new(list, json_string(names[i].name));
	}
	return list;
}

static json_t *plane_status(struct daemon *d)
{
	struct dp_plane_stats s = { 0 };
	json_t *o = json_object();

	d->dp->ops->plane_stats(d->dp, &s);
	set_text(o, "name", d->dp->ops->name);
	set(o, "kernel", json_boolean(!d->kernel_missing));
	set_text(o, "kernel_missing", d->kernel_missing);
	set_u64(o, "rows", s.rows);
	set_u64(o, "rx_packets", s.rx_packets);
	set_u64(o, "tx_packets", s.tx_packets);
	set_u64(o, "drop_unknown", s.drop_unknown);
	set_u64(o, "drop_path", s.drop_path);
	set_u64(o, "drop_header", s.drop_header);
	set_u64(o, "drop_spoof", s.drop_spoof);
	set_u64(o, "drop_seq", s.drop_seq);
	set_u64(o, "drop_mtu", s.drop_mtu);
	set_u64(o, "drop_other", s.drop_other);
	json_object_set_new(o, "offloads", plane_offloads(s.offloads));
	set_u64(o, "punts", s.punts);
	set_u64(o, "punts_dropped", s.punts_dropped);
	set_u64(o, "memory", s.memory);
	return o;
}

static json_t *l2tp_status(const struct l2tp_counters *c)
{
	json_t *o = json_object();

	set_u64(o, "control_in", c->control_in);
	set_u64(o, "control_out", c->control_out);
	set_u64(o, "retransmits", c->retransmits);
	set_u64(o, "duplicates", c->duplicates);
	set_u64(o, "drop_header", c->drop_header);
	set_u64(o, "drop_unknown_tunnel", c->drop_unknown_tunnel);
	set_u64(o, "drop_unknown_session", c->drop_unknown_session);
	set_u64(o, "drop_path", c->drop_path);
	set_u64(o, "drop_state", c->drop_state);
	set_u64(o, "drop_sequence", c->drop_sequence);
	set_u64(o, "drop_avp", c->drop_avp);
	set_u64(o, "drop_window", c->drop_window);
	set_u64(o, "drop_limit", c->drop_limit);
	return o;
}

static json_t *listen_status(const struct daemon *d)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < d->conf->socket_count; i++) {
		const struct conf_socket *s = d->conf->sockets + i;
		const struct daemon_socket *open = peer_socket(d, s->via);
		json_t *o = json_object();

		set_text(o, "name", s->name);
		set_addr(o, "address", open ? &open->addr : &s->addr);
		set_text(o, "device", s->device);
		set(o, "open", json_boolean(open != NULL));
		json_array_append_new(list, o);
	}
	return list;
}

json_t *show_status(struct daemon *d)
{
	struct access_summary s;
	json_t *o = json_object(), *dials = json_array(), *dial;

	access_summary(d->access, &s);
	set_text(o, "version", ADIT_VERSION);
	set_u64(o, "pid", (uint64_t)getpid());
	set_text(o, "host_name", d->conf->host_name);
	set_text(o, "config", d->conf_path);
	set_since(d, o, d->since);
	set(o, "keeper_since", wall_text(d->wall_us - d->now.us + d->keeper_since.us, false));
	set_u64(o, "starts", d->starts);
	set_text(o, "state", d->stopping ? "stopping" : "running");
	set_text(o, "sandbox", sandbox_text(d->sandbox));
	set_u64(o, "tunnels", s.tunnels);
	set_u64(o, "sessions", s.sessions);
	set_u64(o, "sessions_up", s.sessions_up);
	set_u64(o, "half_open", s.halfopen);
	set_u64(o, "setups", s.setups);
	set_u64(o, "failures", s.failures);
	set_u64(o, "memory", s.memory);
	set_u64(o, "accounting_waiting", acct_waiting(d->acct));
	set_u64(o, "sent", d->sent);
	set_u64(o, "send_failed", d->send_failed);
	set(o, "listening", listen_status(d));
	for (size_t i = 0; (dial = show_dial(d, i)); i++)
		json_array_append_new(dials, dial);
	set(o, "dials", dials);
	set(o, "data_plane", plane_status(d));
	set(o, "l2tp", l2tp_status(&s.l2tp));
	return o;
}

/* ---- objects ---- */

static void set_counters(struct daemon *d, json_t *o, uint64_t key)
{
	struct dp_counters c = { 0 };

	d->dp->ops->stats(d->dp, key, &c);
	set_u64(o, "rx_packets", c.rx_packets);
	set_u64(o, "rx_bytes", c.rx_bytes);
	set_u64(o, "tx_packets", c.tx_packets);
	set_u64(o, "tx_bytes", c.tx_bytes);
	set_u64(o, "drop_spoof", c.drop_spoof);
	set_u64(o, "drop_seq", c.drop_seq);
	set_u64(o, "drop_mtu", c.drop_mtu);
	set_u64(o, "drop_other", c.drop_other);
	set(o, "idle",
	    c.last_rx.us || c.last_tx.us
		    ? json_integer((d->now.us -
				    (c.last_rx.us > c.last_tx.us ? c.last_rx.us : c.last_tx.us)) /
				   US_S)
		    : json_null());
}

/*
 * What a LAC has said of LCP and of the login that it has had with the caller (RFC 2661 4.4.5). It
 * is kept for later users; LCP and the login happen anew here. The response is a password or nearly
 * one: it is not shown.
 */
static json_t *proxy_of(const struct access_session_info *i)
{
	static const char *const names[] = { "lcp_initial", "lcp_sent",	 "lcp_received",
					     "auth_type",   "auth_name", "auth_challenge",
					     "auth_id" };
	struct rcur c = rcur_of(i->proxy, i->proxy_len), v;
	json_t *o = json_object();
	uint16_t type;

	while (rcur_tlv(&c, &type, &v)) {
		char hex[2 * L2TP_PROXY_MAX + 1] = "";
		size_t n = 0;

		if (type < 26 || type - 26u >= sizeof(names) / sizeof(names[0]))
			continue;
		if (type == 29 || type == 32) {
			set_u64(o, names[type - 26], rcur_u16(&v));
			continue;
		}
		while (rcur_left(&v))
			n += (size_t)snprintf(hex + n, sizeof(hex) - n, "%02x", rcur_u8(&v));
		set(o, names[type - 26], json_string(hex));
	}
	return o;
}

/* What the call itself is like, where there is more to it than a tunnel. */
static void set_call(json_t *o, const struct access_session_info *i)
{
	static const char *const counts[] = {
		"crc", "framing", "hardware_overrun", "buffer_overrun", "time_out", "alignment"
	};
	json_t *errors = json_object();
	char accm[24];

	set_text(o, "call", i->outgoing ? "outgoing" : "incoming");
	set_u64(o, "tx_speed", i->tx_speed);
	set_u64(o, "rx_speed", i->rx_speed);
	snprintf(accm, sizeof(accm), "%08x/%08x", i->accm_send, i->accm_recv);
	set(o, "accm", i->accm ? json_string(accm) : json_null());
	for (size_t k = 0; k < 6; k++)
		set_u64(errors, counts[k], i->errors[k]);
	set(o, "line_errors", errors);
	set(o, "proxy", i->proxy_len ? proxy_of(i) : json_null());
}

json_t *show_session(struct daemon *d, uint64_t key)
{
	struct access_session_info i;
	const char *why = "";
	json_t *o;

	if (!access_session(d->access, key, &i))
		return NULL;
	o = json_object();
	set(o, "key", show_key(i.key));
	set_text(o, "state", i.state);
	set_text(o, "role", i.client ? "client" : "server");
	set_text(o, "user", i.user);
	set_text(o, "peer", i.peer);
	set_text(o, "host", i.host_name);
	set_ip4(o, "our_ip4", i.our_ip4);
	set_ip4(o, "peer_ip4", i.peer_ip4);
	set_prefix(o, "prefix6", &i.prefix6);
	set_text(o, "interface", i.ifname);
	set_u64(o, "mtu", i.mtu);
	set_u64(o, "mru_in", i.mru_in);
	set_u64(o, "mru_out", i.mru_out);
	set_u64(o, "overhead", i.overhead);
	set_text(o, "auth", ppp_auth_name(i.auth));
	set_text(o, "calling", i.calling);
	set_text(o, "called", i.called);
	set_call(o, &i);
	set_text(o, "profile", i.profile ? i.profile->name : NULL);
	set_addr(o, "local", &i.path.local);
	set_addr(o, "remote", &i.path.remote);
	set_u64(o, "tunnel", i.local_tunnel);
	set_u64(o, "remote_tunnel", i.remote_tunnel);
	set_u64(o, "session", i.local_session);
	set_u64(o, "remote_session", i.remote_session);
	set_since(d, o, i.since);
	set(o, "ends_in",
	    i.ends_at.us == INT64_MAX ? json_null()
				      : json_integer((i.ends_at.us - d->now.us) / US_S));
	set_text(o, "plane", d->dp->ops->where(d->dp, key, &why));
	set_text(o, "plane_why", why);
	set_counters(d, o, key);
	return o;
}

static const char *tunnel_state(enum l2tp_tunnel_state state)
{
	switch (state) {
	case L2TP_TS_ASKING:
		return "asking";
	case L2TP_TS_WAIT_REPLY:
		return "wait-reply";
	case L2TP_TS_WAIT_CONN:
		return "wait-connected";
	case L2TP_TS_UP:
		return "up";
	case L2TP_TS_CLOSING:
		return "closing";
	case L2TP_TS_LINGER:
		return "lingering";
	}
	return "unknown";
}

/* "lax-length, no-hello"; null = none. */
static json_t *quirk_names(uint32_t bits)
{
	char text[128] = "";
	size_t n = 0;

	for (unsigned int i = 0; l2tp_quirk_name(i) && n < sizeof(text); i++)
		if (bits & l2tp_quirk_bit(i))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "",
					      l2tp_quirk_name(i));
	return n ? json_string(text) : json_null();
}

json_t *show_tunnel(struct daemon *d, uint16_t id)
{
	struct access_tunnel_info i;
	const char *why = "";
	json_t *o;

	if (!access_tunnel(d->access, id, &i))
		return NULL;
	o = json_object();
	set_u64(o, "id", i.l2tp.local_id);
	set_u64(o, "remote_id", i.l2tp.remote_id);
	set_text(o, "state", tunnel_state(i.l2tp.state));
	set_text(o, "peer", i.peer);
	set_text(o, "host", i.l2tp.host_name);
	set_text(o, "vendor", i.l2tp.vendor_name);
	set_text(o, "role", i.l2tp.initiator ? "client" : "server");
	set_u64(o, "firmware", i.l2tp.firmware);
	set(o, "places_calls", json_boolean(i.l2tp.bearer & L2TP_CALL_MASK));
	set(o, "quirks", quirk_names(i.l2tp.quirks));
	set(o, "quirks_used", quirk_names(i.l2tp.quirks_used));
	set_addr(o, "local", &i.l2tp.path.local);
	set_addr(o, "remote", &i.l2tp.path.remote);
	set_u64(o, "sessions", i.l2tp.sessions);
	set_since(d, o, i.l2tp.since);
	set_u64(o, "heard", (uint64_t)((d->now.us - i.l2tp.heard.us) / US_S));
	set(o, "rtt_ms", i.l2tp.rtt_us ? json_real((double)i.l2tp.rtt_us / 1000) : json_null());
	set_u64(o, "ns", i.l2tp.ns);
	set_u64(o, "nr", i.l2tp.nr);
	set_u64(o, "peer_window", i.l2tp.peer_window);
	set_u64(o, "cwnd", i.l2tp.cwnd);
	set_u64(o, "queued", i.l2tp.queued);
	set_u64(o, "in_flight", i.l2tp.in_flight);
	set_u64(o, "sent", i.l2tp.sent);
	set_u64(o, "received", i.l2tp.received);
	set_u64(o, "retransmits", i.l2tp.retransmits);
	set_u64(o, "duplicates", i.l2tp.duplicates);
	set_text(o, "plane", d->dp->ops->where_tunnel(d->dp, id, &why));
	set_text(o, "plane_why", why);
	return o;
}

json_t *show_wire(struct daemon *d, size_t index)
{
	const struct conf_wire *c = index < d->conf->wire_count ? d->conf->wires + index : NULL;
	struct dp_wire w = { .text = "" };
	const struct dp_row *r;
	json_t *o;

	if (!c)
		return NULL;
	r = &c->row;
	dp_remote_wire(d->remote, c->name, &w);
	o = json_object();
	set_text(o, "name", c->name);
	set_text(o, "state", w.ok ? "up" : "down");
	set_text(o, "interface", r->ifname);
	set_text(o, "bridge", r->master);
	set_text(o, "encapsulation", r->encap == DP_ENCAP_IP ? "ip" : "udp");
	set_addr(o, "local", &r->path.local);
	set_addr(o, "remote", &r->path.remote);
	set_u64(o, "tunnel", c->local_tunnel);
	set_u64(o, "remote_tunnel", c->remote_tunnel);
	set_u64(o, "session", r->local_session);
	set_u64(o, "remote_session", r->remote_session);
	set_u64(o, "mtu", r->mtu);
	set_u64(o, "rx_packets", w.counters.rx_packets);
	set_u64(o, "rx_bytes", w.counters.rx_bytes);
	set_u64(o, "tx_packets", w.counters.tx_packets);
	set_u64(o, "tx_bytes", w.counters.tx_bytes);
	set_text(o, "text", w.text);
	return o;
}

json_t *show_finding(struct daemon *d, size_t index)
{
	struct dp_finding f;
	json_t *o;

	if (!dp_remote_found(d->remote, index, &f))
		return NULL;
	o = json_object();
	set_text(o, "name", f.name);
	set(o, "ok", json_boolean(f.ok));
	set_text(o, "text", f.text);
	return o;
}

json_t *show_peer(struct daemon *d, size_t index)
{
	struct access_peer_info i;
	json_t *o;

	if (!access_peer(d->access, index, &i))
		return NULL;
	o = json_object();
	set_text(o, "name", i.name);
	set_u64(o, "tunnels", i.tunnels);
	set_u64(o, "sessions", i.sessions);
	set_u64(o, "max_tunnels", i.max_tunnels);
	set_u64(o, "max_sessions", i.max_sessions);
	set_u64(o, "accepted", i.accepted);
	set_u64(o, "refused", i.refused);
	return o;
}

json_t *show_pool(struct daemon *d, size_t index)
{
	struct access_pool_info i;
	json_t *o;

	if (!access_pool(d->access, index, &i))
		return NULL;
	o = json_object();
	set_text(o, "name", i.name);
	set_u64(o, "size4", i.size4);
	set_u64(o, "used4", i.used4);
	set_u64(o, "size6", i.size6);
	set_u64(o, "used6", i.used6);
	return o;
}

json_t *show_dial(struct daemon *d, size_t index)
{
	struct access_session_info s;
	struct access_dial_info i;
	json_t *o;

	if (!access_dial(d->access, index, &i))
		return NULL;
	o = json_object();
	set_text(o, "name", i.name);
	set_text(o, "state", i.state);
	set(o, "session", show_key(i.key));
	set_text(o, "session_state",
		 i.key && access_session(d->access, i.key, &s) ? s.state : NULL);
	set_u64(o, "attempts", i.attempts);
	set(o, "next_in",
	    strcmp(i.state, "waiting") == 0 && i.next.us != INT64_MAX
		    ? json_integer(i.next.us > d->now.us ? (i.next.us - d->now.us + US_S - 1) / US_S
							 : 0)
		    : json_null());
	set_text(o, "cause", i.cause != ADIT_CAUSE_NONE ? cause_name(i.cause) : NULL);
	set_text(o, "because", i.cause != ADIT_CAUSE_NONE ? cause_text(i.cause) : NULL);
	set_text(o, "text", i.cause != ADIT_CAUSE_NONE ? i.text : NULL);
	return o;
}

json_t *show_failure(struct daemon *d, size_t back)
{
	struct access_failure f;
	json_t *o;

	if (!access_failure(d->access, back, &f))
		return NULL;
	o = json_object();
	set(o, "time", wall_text(f.unix_us, true));
	set(o, "key", show_key(f.key));
	/* escaped by the engine already */
	set(o, "who", f.who[0] ? json_string(f.who) : json_null());
	set_addr(o, "remote", &f.remote);
	set_text(o, "cause", cause_name(f.cause));
	set_text(o, "because", cause_text(f.cause));
	set(o, "text", f.text[0] ? json_string(f.text) : json_null());
	return o;
}

json_t *show_trace(struct daemon *d, const struct trace_record *r, const uint8_t *raw)
{
	static const char *const levels[] = {
		[TRACE_DEBUG] = "debug",
		[TRACE_INFO] = "info",
		[TRACE_NOTICE] = "notice",
		[TRACE_WARNING] = "warning",
	};
	char text[LOG_LINE_MAX];
	json_t *o = json_object();

	set(o, "time", wall_text(d->wall_us - d->now.us + r->at.us, true));
	set_text(o, "level", levels[trace_level_of((enum trace_kind)r->kind)]);
	set_text(o, "kind", trace_name((enum trace_kind)r->kind));
	set(o, "text", json_string(trace_text(r, raw, text, sizeof(text))));
	return o;
}
