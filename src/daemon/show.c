/* SPDX-License-Identifier: MIT
 *
 * What `adit show` and `adit status` show, as JSON objects. The names of the fields are kept: other
 * programs read them. What is not known is null. Text of a peer is escaped (src/base/text.h).
 */
#include "show_int.h"

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
void show_set(json_t *o, const char *name, json_t *value)
{
	if (json_object_set_new(o, name, value ? value : json_null()) < 0)
		return;
}

void show_set_text(json_t *o, const char *name, const char *text)
{
	char buf[512];

	show_set(o, name,
		 text && *text ? json_string(text_escape(buf, sizeof(buf), text, strlen(text)))
			       : json_null());
}

void show_set_u64(json_t *o, const char *name, uint64_t v)
{
	show_set(o, name, json_integer((json_int_t)v));
}

void show_set_addr(json_t *o, const char *name, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	show_set(o, name, a->family ? json_string(addr_text(a, text)) : json_null());
}

static void set_ip4(json_t *o, const char *name, const uint8_t ip[4])
{
	static const uint8_t none[4];

	show_set(o, name,
		 memcmp(ip, none, 4) == 0
			 ? json_null()
			 : json_sprintf("%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]));
}

static void set_prefix(json_t *o, const char *name, const struct prefix *p)
{
	char text[ADDR_TEXT_MAX];

	show_set(o, name, p->addr.family ? json_string(prefix_text(p, text)) : json_null());
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

static json_t *since_text(const struct daemon *d, struct mono at)
{
	/* the two clocks are read one after the other: round, so that the text stays the same */
	return wall_text(d->wall_us - d->now.us + at.us + 500 * US_MS, false);
}

/* A moment as wall time, to the second, and how many seconds ago it was. */
void show_set_since(const struct daemon *d, json_t *o, struct mono at)
{
	show_set(o, "since", since_text(d, at));
	show_set_u64(o, "seconds", (uint64_t)((d->now.us - at.us) / US_S));
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
	show_set_text(o, "name", d->dp->ops->name);
	show_set(o, "kernel", json_boolean(!d->kernel_missing));
	show_set_text(o, "kernel_missing", d->kernel_missing);
	show_set_u64(o, "rows", s.rows);
	show_set_u64(o, "rx_packets", s.rx_packets);
	show_set_u64(o, "tx_packets", s.tx_packets);
	show_set_u64(o, "drop_unknown", s.drop_unknown);
	show_set_u64(o, "drop_path", s.drop_path);
	show_set_u64(o, "drop_header", s.drop_header);
	show_set_u64(o, "drop_spoof", s.drop_spoof);
	show_set_u64(o, "drop_seq", s.drop_seq);
	show_set_u64(o, "drop_mtu", s.drop_mtu);
	show_set_u64(o, "drop_other", s.drop_other);
	json_object_set_new(o, "offloads", plane_offloads(s.offloads));
	show_set_u64(o, "punts", s.punts);
	show_set_u64(o, "punts_dropped", s.punts_dropped);
	show_set_u64(o, "memory", s.memory);
	return o;
}

static json_t *l2tp_status(const struct l2tp_counters *c)
{
	json_t *o = json_object();

	show_set_u64(o, "control_in", c->control_in);
	show_set_u64(o, "control_out", c->control_out);
	show_set_u64(o, "retransmits", c->retransmits);
	show_set_u64(o, "duplicates", c->duplicates);
	show_set_u64(o, "drop_header", c->drop_header);
	show_set_u64(o, "drop_unknown_tunnel", c->drop_unknown_tunnel);
	show_set_u64(o, "drop_unknown_session", c->drop_unknown_session);
	show_set_u64(o, "drop_path", c->drop_path);
	show_set_u64(o, "drop_state", c->drop_state);
	show_set_u64(o, "drop_sequence", c->drop_sequence);
	show_set_u64(o, "drop_avp", c->drop_avp);
	show_set_u64(o, "drop_window", c->drop_window);
	show_set_u64(o, "drop_limit", c->drop_limit);
	return o;
}

static json_t *listen_status(const struct daemon *d)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < d->conf->socket_count; i++) {
		const struct conf_socket *s = d->conf->sockets + i;
		const struct daemon_socket *open = peer_socket(d, s->via);
		json_t *o = json_object();

		show_set_text(o, "name", s->name);
		show_set_addr(o, "address", open ? &open->addr : &s->addr);
		show_set_text(o, "device", s->device);
		show_set(o, "open", json_boolean(open != NULL));
		json_array_append_new(list, o);
	}
	return list;
}

json_t *show_status(struct daemon *d)
{
	struct access_summary s;
	struct show_wires w;
	json_t *o = json_object(), *dials = json_array(), *dial;
	struct mono oldest;

	access_summary(d->access, &s);
	show_wires(d, &w);
	oldest = mono_min(s.oldest, w.oldest);
	show_set_text(o, "version", ADIT_VERSION);
	show_set_u64(o, "pid", (uint64_t)getpid());
	show_set_text(o, "host_name", d->conf->host_name);
	show_set_text(o, "config", d->conf_path);
	show_set_since(d, o, d->since);
	show_set(o, "keeper_since", since_text(d, d->keeper_since));
	show_set_u64(o, "starts", d->starts);
	show_set_text(o, "state",
		      d->stopping || d->emptying ? "stopping"
		      : s.draining		 ? "draining"
						 : "running");
	show_set(o, "drain_rate", s.draining ? json_integer(s.drain_rate) : json_null());
	show_set(o, "oldest_session",
		 oldest.us == MONO_NEVER.us ? json_null() : since_text(d, oldest));
	show_set_text(o, "sandbox", sandbox_text(d->sandbox));
	show_set_u64(o, "tunnels", s.tunnels + w.tunnels);
	show_set_u64(o, "sessions", s.sessions);
	show_set_u64(o, "sessions_up", s.sessions_up);
	show_set_u64(o, "pseudowires", w.count);
	show_set_u64(o, "pseudowires_up", w.up);
	show_set_u64(o, "pseudowires_active", pwe_count(d->pw));
	show_set(o, "pseudowires_down", w.down);
	show_set_u64(o, "half_open", s.halfopen);
	show_set_u64(o, "setups", s.setups);
	show_set_u64(o, "failures", s.failures);
	show_set_u64(o, "memory", s.memory);
	show_set(o, "memory_scarce", json_boolean(d->scarce));
	show_set_u64(o, "accounting_waiting", acct_waiting(d->acct));
	show_set_u64(o, "sent", d->sent);
	show_set_u64(o, "send_failed", d->send_failed);
	show_set(o, "listening", listen_status(d));
	for (size_t i = 0; (dial = show_dial(d, i)); i++)
		json_array_append_new(dials, dial);
	show_set(o, "dials", dials);
	show_set(o, "data_plane", plane_status(d));
	show_set(o, "l2tp", l2tp_status(&s.l2tp));
	return o;
}

/* ---- objects ---- */

void show_set_counters(struct daemon *d, json_t *o, uint64_t key)
{
	struct dp_counters c = { 0 };

	d->dp->ops->stats(d->dp, key, &c);
	show_set_u64(o, "rx_packets", c.rx_packets);
	show_set_u64(o, "rx_bytes", c.rx_bytes);
	show_set_u64(o, "tx_packets", c.tx_packets);
	show_set_u64(o, "tx_bytes", c.tx_bytes);
	show_set_u64(o, "drop_spoof", c.drop_spoof);
	show_set_u64(o, "drop_seq", c.drop_seq);
	show_set_u64(o, "drop_mtu", c.drop_mtu);
	show_set_u64(o, "drop_other", c.drop_other);
	show_set(o, "idle",
		 c.last_rx.us || c.last_tx.us
			 ? json_integer((d->now.us - (c.last_rx.us > c.last_tx.us ? c.last_rx.us
										  : c.last_tx.us)) /
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
			show_set_u64(o, names[type - 26], rcur_u16(&v));
			continue;
		}
		while (rcur_left(&v))
			n += (size_t)snprintf(hex + n, sizeof(hex) - n, "%02x", rcur_u8(&v));
		show_set(o, names[type - 26], json_string(hex));
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

	show_set_text(o, "call", i->outgoing ? "outgoing" : "incoming");
	show_set_u64(o, "tx_speed", i->tx_speed);
	show_set_u64(o, "rx_speed", i->rx_speed);
	snprintf(accm, sizeof(accm), "%08x/%08x", i->accm_send, i->accm_recv);
	show_set(o, "accm", i->accm ? json_string(accm) : json_null());
	for (size_t k = 0; k < 6; k++)
		show_set_u64(errors, counts[k], i->errors[k]);
	show_set(o, "line_errors", errors);
	show_set(o, "proxy", i->proxy_len ? proxy_of(i) : json_null());
}

json_t *show_session(struct daemon *d, uint64_t key)
{
	struct access_session_info i;
	const char *why = "";
	json_t *o;

	if (!access_session(d->access, key, &i))
		return show_wire_session(d, key);
	o = json_object();
	show_set(o, "key", show_key(i.key));
	show_set_text(o, "state", i.state);
	show_set_text(o, "role", i.client ? "client" : "server");
	show_set_text(o, "user", i.user);
	show_set_text(o, "peer", i.peer);
	show_set_text(o, "host", i.host_name);
	set_ip4(o, "our_ip4", i.our_ip4);
	set_ip4(o, "peer_ip4", i.peer_ip4);
	set_prefix(o, "prefix6", &i.prefix6);
	show_set_text(o, "interface", i.ifname);
	show_set_u64(o, "mtu", i.mtu);
	show_set_u64(o, "mru_in", i.mru_in);
	show_set_u64(o, "mru_out", i.mru_out);
	show_set_u64(o, "overhead", i.overhead);
	show_set_text(o, "auth", ppp_auth_name(i.auth));
	show_set_text(o, "calling", i.calling);
	show_set_text(o, "called", i.called);
	set_call(o, &i);
	show_set_text(o, "profile", i.profile ? i.profile->name : NULL);
	show_set_addr(o, "local", &i.path.local);
	show_set_addr(o, "remote", &i.path.remote);
	show_set_u64(o, "version", i.version);
	show_set_text(o, "peer_circuit", i.version != 3 ? NULL : i.quiet ? "down" : "up");
	show_set_u64(o, "tunnel", i.local_tunnel);
	show_set_u64(o, "remote_tunnel", i.remote_tunnel);
	show_set_u64(o, "session", i.local_session);
	show_set_u64(o, "remote_session", i.remote_session);
	show_set_since(d, o, i.since);
	show_set(o, "ends_in",
		 i.ends_at.us == INT64_MAX ? json_null()
					   : json_integer((i.ends_at.us - d->now.us) / US_S));
	show_set_text(o, "plane", d->dp->ops->where(d->dp, key, &why));
	show_set_text(o, "plane_why", why);
	show_set_counters(d, o, key);
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

json_t *show_tunnel(struct daemon *d, uint32_t id)
{
	struct access_tunnel_info i;
	const char *why = "";
	json_t *o;

	if (!access_tunnel(d->access, id, &i))
		return show_tunnel3(d, id);
	o = json_object();
	show_set_u64(o, "version", i.version);
	show_set_u64(o, "id", i.l2tp.local_id);
	show_set_u64(o, "remote_id", i.l2tp.remote_id);
	show_set_text(o, "state", tunnel_state(i.l2tp.state));
	show_set_text(o, "encapsulation", i.l2tp.path.remote.port ? "udp" : "ip");
	show_set_text(o, "peer", i.peer);
	show_set_text(o, "host", i.l2tp.host_name);
	show_set_text(o, "vendor", i.l2tp.vendor_name);
	show_set_text(o, "role", i.l2tp.initiator ? "client" : "server");
	show_set_u64(o, "firmware", i.l2tp.firmware);
	show_set(o, "places_calls", json_boolean(i.l2tp.bearer & L2TP_CALL_MASK));
	show_set(o, "quirks", quirk_names(i.l2tp.quirks));
	show_set(o, "quirks_used", quirk_names(i.l2tp.quirks_used));
	show_set_addr(o, "local", &i.l2tp.path.local);
	show_set_addr(o, "remote", &i.l2tp.path.remote);
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

json_t *show_finding(struct daemon *d, size_t index)
{
	struct dp_finding f;
	json_t *o;

	if (!dp_remote_found(d->remote, index, &f))
		return NULL;
	o = json_object();
	show_set_text(o, "name", f.name);
	show_set(o, "ok", json_boolean(f.ok));
	show_set_text(o, "text", f.text);
	return o;
}

json_t *show_peer(struct daemon *d, size_t index)
{
	struct access_peer_info i;
	json_t *o;

	if (!access_peer(d->access, index, &i))
		return NULL;
	o = json_object();
	show_set_text(o, "name", i.name);
	show_set_u64(o, "tunnels", i.tunnels);
	show_set_u64(o, "sessions", i.sessions);
	show_set_u64(o, "max_tunnels", i.max_tunnels);
	show_set_u64(o, "max_sessions", i.max_sessions);
	show_set_u64(o, "accepted", i.accepted);
	show_set_u64(o, "refused", i.refused);
	return o;
}

json_t *show_pool(struct daemon *d, size_t index)
{
	struct access_pool_info i;
	json_t *o;

	if (!access_pool(d->access, index, &i))
		return NULL;
	o = json_object();
	show_set_text(o, "name", i.name);
	show_set_u64(o, "size4", i.size4);
	show_set_u64(o, "used4", i.used4);
	show_set_u64(o, "size6", i.size6);
	show_set_u64(o, "used6", i.used6);
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
	show_set_text(o, "name", i.name);
	show_set_text(o, "state", i.state);
	show_set(o, "session", show_key(i.key));
	show_set_text(o, "session_state",
		      i.key && access_session(d->access, i.key, &s) ? s.state : NULL);
	show_set_u64(o, "attempts", i.attempts);
	show_set(o, "next_in",
		 strcmp(i.state, "waiting") == 0 && i.next.us != INT64_MAX
			 ? json_integer(i.next.us > d->now.us
						? (i.next.us - d->now.us + US_S - 1) / US_S
						: 0)
			 : json_null());
	show_set_text(o, "cause", i.cause != ADIT_CAUSE_NONE ? cause_name(i.cause) : NULL);
	show_set_text(o, "because", i.cause != ADIT_CAUSE_NONE ? cause_text(i.cause) : NULL);
	show_set_text(o, "text", i.cause != ADIT_CAUSE_NONE ? i.text : NULL);
	return o;
}

json_t *show_failure(struct daemon *d, size_t back)
{
	struct access_failure f;
	json_t *o;

	if (!access_failure(d->access, back, &f))
		return NULL;
	o = json_object();
	show_set(o, "time", wall_text(f.unix_us, true));
	show_set(o, "key", show_key(f.key));
	/* escaped by the engine already */
	show_set(o, "who", f.who[0] ? json_string(f.who) : json_null());
	show_set_addr(o, "remote", &f.remote);
	show_set_text(o, "cause", cause_name(f.cause));
	show_set_text(o, "because", cause_text(f.cause));
	show_set(o, "text", f.text[0] ? json_string(f.text) : json_null());
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

	show_set(o, "time", wall_text(d->wall_us - d->now.us + r->at.us, true));
	show_set_text(o, "level", levels[trace_level_of((enum trace_kind)r->kind)]);
	show_set_text(o, "kind", trace_name((enum trace_kind)r->kind));
	show_set(o, "text", json_string(trace_text(r, raw, text, sizeof(text))));
	return o;
}
