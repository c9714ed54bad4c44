/* SPDX-License-Identifier: MIT
 *
 * adit show: lists of what the daemon has, as tables or as JSON, and the configuration in force.
 */
#include "cmd.h"
#include "fmt.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const struct fmt_column session_columns[] = {
	{ "key", "KEY", FMT_TEXT, false, true },
	{ "user", "USER", FMT_TEXT, false, true },
	{ "peer", "PEER", FMT_TEXT, false, true },
	{ "state", "STATE", FMT_TEXT, false, true },
	{ "address", "ADDRESS", FMT_ADDRESS, false, true },
	{ "prefix6", "PREFIX", FMT_TEXT, false, true },
	{ "remote", "REMOTE", FMT_HOST, false, true },
	{ "interface", "IF", FMT_TEXT, false, true },
	{ "mtu", "MTU", FMT_TEXT, true, true },
	{ "seconds", "FOR", FMT_DURATION, true, true },
	{ "rx_bytes", "IN", FMT_OCTETS, true, true },
	{ "tx_bytes", "OUT", FMT_OCTETS, true, true },
	{ "plane", "PLANE", FMT_TEXT, false, true },
	{ "plane_why", "WHY", FMT_TEXT, false, false },
	{ "role", "ROLE", FMT_TEXT, false, false },
	{ "host", "HOST", FMT_TEXT, false, false },
	{ "our_ip4", "OUR-IPV4", FMT_TEXT, false, false },
	{ "peer_ip4", "PEER-IPV4", FMT_TEXT, false, false },
	{ "local", "LOCAL", FMT_TEXT, false, false },
	{ "version", "V", FMT_TEXT, true, false },
	{ "tunnel", "TUNNEL", FMT_TEXT, true, false },
	{ "remote_tunnel", "REMOTE-TUNNEL", FMT_TEXT, true, false },
	{ "session", "SESSION", FMT_TEXT, true, false },
	{ "remote_session", "REMOTE-SESSION", FMT_TEXT, true, false },
	{ "mru_in", "MRU-IN", FMT_TEXT, true, false },
	{ "mru_out", "MRU-OUT", FMT_TEXT, true, false },
	{ "overhead", "OVERHEAD", FMT_TEXT, true, false },
	{ "auth", "AUTH", FMT_TEXT, false, false },
	{ "profile", "PROFILE", FMT_TEXT, false, false },
	{ "calling", "CALLING", FMT_TEXT, false, false },
	{ "called", "CALLED", FMT_TEXT, false, false },
	{ "since", "SINCE", FMT_TEXT, false, false },
	{ "ends_in", "ENDS-IN", FMT_DURATION, true, false },
	{ "idle", "IDLE", FMT_DURATION, true, false },
	{ "rx_packets", "PACKETS-IN", FMT_COUNT, true, false },
	{ "tx_packets", "PACKETS-OUT", FMT_COUNT, true, false },
	{ "drop_spoof", "SPOOFED", FMT_COUNT, true, false },
	{ "drop_seq", "OUT-OF-SEQ", FMT_COUNT, true, false },
	{ "drop_mtu", "TOO-BIG", FMT_COUNT, true, false },
	{ "drop_other", "DROPPED", FMT_COUNT, true, false },
	{ "circuit", "CIRCUIT", FMT_TEXT, false, true },
	{ "peer_circuit", "PEER-CIRCUIT", FMT_TEXT, false, true },
	{ NULL, NULL, FMT_TEXT, false, false },
};

static const struct fmt_column tunnel_columns[] = {
	{ "id", "ID", FMT_TEXT, true, true },
	{ "remote_id", "REMOTE-ID", FMT_TEXT, true, true },
	{ "peer", "PEER", FMT_TEXT, false, true },
	{ "host", "HOST", FMT_TEXT, false, true },
	{ "version", "V", FMT_TEXT, true, true },
	{ "state", "STATE", FMT_TEXT, false, true },
	{ "role", "ROLE", FMT_TEXT, false, true },
	{ "remote", "REMOTE", FMT_TEXT, false, true },
	{ "sessions", "SESSIONS", FMT_TEXT, true, true },
	{ "seconds", "FOR", FMT_DURATION, true, true },
	{ "rtt_ms", "RTT-MS", FMT_TEXT, true, true },
	{ "retransmits", "REPEATED", FMT_COUNT, true, true },
	{ "plane", "PLANE", FMT_TEXT, false, true },
	{ "plane_why", "WHY", FMT_TEXT, false, false },
	{ "local", "LOCAL", FMT_TEXT, false, false },
	{ "vendor", "VENDOR", FMT_TEXT, false, false },
	{ "firmware", "FIRMWARE", FMT_TEXT, true, false },
	{ "places_calls", "PLACES-CALLS", FMT_TEXT, false, false },
	{ "quirks", "QUIRKS", FMT_TEXT, false, true },
	{ "quirks_used", "QUIRKS-USED", FMT_TEXT, false, false },
	{ "encapsulation", "OVER", FMT_TEXT, false, false },
	{ "digest", "DIGEST", FMT_TEXT, false, false },
	{ "authentic", "AUTHENTIC", FMT_TEXT, false, false },
	{ "secret_used", "SECRET", FMT_TEXT, true, false },
	{ "router_id", "ROUTER-ID", FMT_TEXT, true, false },
	{ "since", "SINCE", FMT_TEXT, false, false },
	{ "heard", "HEARD", FMT_DURATION, true, false },
	{ "ns", "NS", FMT_TEXT, true, false },
	{ "nr", "NR", FMT_TEXT, true, false },
	{ "peer_window", "WINDOW", FMT_TEXT, true, false },
	{ "cwnd", "CWND", FMT_TEXT, true, false },
	{ "queued", "QUEUED", FMT_TEXT, true, false },
	{ "in_flight", "IN-FLIGHT", FMT_TEXT, true, false },
	{ "sent", "SENT", FMT_COUNT, true, false },
	{ "received", "RECEIVED", FMT_COUNT, true, false },
	{ "duplicates", "DUPLICATES", FMT_COUNT, true, false },
	{ NULL, NULL, FMT_TEXT, false, false },
};

static const struct fmt_column wire_columns[] = {
	{ "name", "NAME", FMT_TEXT, false, true },
	{ "state", "STATE", FMT_TEXT, false, true },
	{ "interface", "IF", FMT_TEXT, false, true },
	{ "bridge", "BRIDGE", FMT_TEXT, false, true },
	{ "circuit", "CIRCUIT", FMT_TEXT, false, true },
	{ "peer_circuit", "PEER-CIRCUIT", FMT_TEXT, false, true },
	{ "encapsulation", "OVER", FMT_TEXT, false, true },
	{ "remote", "REMOTE", FMT_TEXT, false, true },
	{ "mtu", "MTU", FMT_TEXT, true, true },
	{ "rx_bytes", "IN", FMT_OCTETS, true, true },
	{ "tx_bytes", "OUT", FMT_OCTETS, true, true },
	{ "because", "BECAUSE", FMT_TEXT, false, true },
	{ "text", "TEXT", FMT_MORE, false, true },
	{ "vlan", "VLAN", FMT_TEXT, true, false },
	{ "tagged_vlans", "TAGGED-VLANS", FMT_TEXT, false, false },
	{ "tag", "TAG", FMT_TEXT, true, false },
	{ "local", "LOCAL", FMT_TEXT, false, false },
	{ "tunnel", "TUNNEL", FMT_TEXT, true, false },
	{ "remote_tunnel", "REMOTE-TUNNEL", FMT_TEXT, true, false },
	{ "session", "SESSION", FMT_TEXT, true, false },
	{ "remote_session", "REMOTE-SESSION", FMT_TEXT, true, false },
	{ "rx_packets", "PACKETS-IN", FMT_COUNT, true, false },
	{ "tx_packets", "PACKETS-OUT", FMT_COUNT, true, false },
	{ "kind", "KIND", FMT_TEXT, false, false },
	{ "type", "TYPE", FMT_TEXT, false, false },
	{ "remote_end_id", "END-ID", FMT_TEXT, false, false },
	{ "control", "CONTROL", FMT_TEXT, false, false },
	{ "cookie_length", "COOKIE", FMT_TEXT, true, false },
	{ "peer_cookie_length", "PEER-COOKIE", FMT_TEXT, true, false },
	{ "sublayer", "SUBLAYER", FMT_TEXT, false, false },
	{ "sequencing", "SEQUENCING", FMT_TEXT, false, false },
	{ "circuit_interface", "CIRCUIT-IF", FMT_TEXT, false, false },
	{ "plane", "PLANE", FMT_TEXT, false, false },
	{ "plane_why", "PLANE-WHY", FMT_TEXT, false, false },
	{ "attempts", "ATTEMPTS", FMT_TEXT, true, false },
	{ "next_in", "NEXT-IN", FMT_DURATION, true, false },
	{ "since", "SINCE", FMT_TEXT, false, false },
	{ "seconds", "FOR", FMT_DURATION, true, false },
	{ "key", "KEY", FMT_TEXT, false, false },
	{ NULL, NULL, FMT_TEXT, false, false },
};

static const struct fmt_column peer_columns[] = {
	{ "name", "PEER", FMT_TEXT, false, true },
	{ "tunnels", "TUNNELS", FMT_TEXT, true, true },
	{ "max_tunnels", "MAX-TUNNELS", FMT_LIMIT, true, true },
	{ "sessions", "SESSIONS", FMT_TEXT, true, true },
	{ "max_sessions", "MAX-SESSIONS", FMT_LIMIT, true, true },
	{ "accepted", "ACCEPTED", FMT_COUNT, true, true },
	{ "refused", "REFUSED", FMT_COUNT, true, true },
	{ NULL, NULL, FMT_TEXT, false, false },
};

static const struct fmt_column pool_columns[] = {
	{ "name", "POOL", FMT_TEXT, false, true },
	{ "used4", "IPV4-USED", FMT_TEXT, true, true },
	{ "size4", "IPV4-ALL", FMT_TEXT, true, true },
	{ "used6", "IPV6-USED", FMT_TEXT, true, true },
	{ "size6", "IPV6-ALL", FMT_TEXT, true, true },
	{ NULL, NULL, FMT_TEXT, false, false },
};

static const struct fmt_column dial_columns[] = {
	{ "name", "SESSION", FMT_TEXT, false, true },
	{ "state", "STATE", FMT_TEXT, false, true },
	{ "session_state", "NOW", FMT_TEXT, false, true },
	{ "attempts", "ATTEMPTS", FMT_TEXT, true, true },
	{ "next_in", "NEXT-IN", FMT_DURATION, true, true },
	{ "because", "LAST FAILURE", FMT_TEXT, false, true },
	{ "session", "KEY", FMT_TEXT, false, false },
	{ "cause", "CAUSE", FMT_TEXT, false, false },
	{ "text", "TEXT", FMT_TEXT, false, false },
	{ NULL, NULL, FMT_TEXT, false, false },
};

static const struct fmt_column error_columns[] = {
	{ "time", "TIME", FMT_TEXT, false, true },
	{ "who", "WHO", FMT_TEXT, false, true },
	{ "remote", "REMOTE", FMT_TEXT, false, true },
	{ "because", "BECAUSE", FMT_TEXT, false, true },
	{ "text", "TEXT", FMT_MORE, false, true },
	{ "cause", "CAUSE", FMT_TEXT, false, false },
	{ "key", "KEY", FMT_TEXT, false, false },
	{ NULL, NULL, FMT_TEXT, false, false },
};

static const struct list {
	const char *name; /* of the verb, and of the array in JSON */
	const char *method;
	const char *field; /* of one object in an answer */
	const struct fmt_column *columns;
	const char *none;
} lists[] = {
	{ "sessions", "org.adit.ShowSessions", "session", session_columns, "no sessions" },
	{ "tunnels", "org.adit.ShowTunnels", "tunnel", tunnel_columns, "no tunnels" },
	{ "pseudowires", "org.adit.ShowPseudowires", "pseudowire", wire_columns, "no pseudowires" },
	{ "peers", "org.adit.ShowPeers", "peer", peer_columns,
	  "the configuration has no peer blocks" },
	{ "pools", "org.adit.ShowPools", "pool", pool_columns,
	  "the configuration has no pool blocks" },
	{ "dials", "org.adit.ShowDials", "dial", dial_columns,
	  "the configuration has no session blocks" },
	{ "errors", "org.adit.ShowErrors", "error", error_columns, "no failures" },
};

#define LIST_COUNT (sizeof(lists) / sizeof(lists[0]))

/* Take all objects of a list: as JSON they are written as they come, as a table at the end. */
static int take_list(struct cmd *c, const struct list *l, struct fmt_table *t, size_t *ret_count)
{
	struct varlink_answer a;
	size_t count = 0;
	bool more = true;

	while (more) {
		json_t *o;

		if (cmd_next(c, QUICK_MS, &a))
			return 1;
		more = a.continues;
		o = json_object_get(a.parameters, l->field);
		if (o && fmt_match(o, c->words + 2, c->count - 2)) {
			if (c->json) {
				fputs(count ? ",\n    " : "\n    ", stdout);
				json_dumpf(o, stdout, REAL);
			} else if (!fmt_table_add(t, o)) {
				json_decref(a.root);
				return cmd_fail("out of memory");
			}
			count++;
		}
		json_decref(a.root);
	}
	*ret_count = count;
	return 0;
}

static int show_list(struct cmd *c, const struct list *l)
{
	struct fmt_table *t;
	char why[FMT_WHY_MAX];
	size_t count = 0;
	int rc;

	if (!fmt_filters_ok(l->columns, c->words + 2, c->count - 2, why)) {
		cmd_fail("%s", why);
		return 2;
	}
	t = fmt_table_new(l->columns, c->columns, why);
	if (!t) {
		cmd_fail("%s", why);
		return 2;
	}
	rc = cmd_call(c, l->method, NULL, true);
	if (rc == 0 && c->json)
		printf("{\n  \"%s\": [", l->name);
	if (rc == 0)
		rc = take_list(c, l, t, &count);
	if (rc == 0 && c->json)
		fputs(count ? "\n  ]\n}\n" : "]\n}\n", stdout);
	else if (rc == 0 && count)
		fmt_table_print(t, stdout);
	else if (rc == 0)
		puts(c->count > 2 ? "none fits" : l->none);
	fmt_table_free(t);
	return rc;
}

static int show_config(struct cmd *c)
{
	struct varlink_answer a;
	int rc;

	if (cmd_too_many(c, 1))
		return 2;
	rc = cmd_call(c, "org.adit.ShowConfig", NULL, false);
	if (rc == 0)
		rc = cmd_next(c, QUICK_MS, &a);
	if (rc)
		return rc;
	if (c->json)
		cmd_print(a.parameters);
	else
		fputs(cmd_text(a.parameters, "text"), stdout);
	json_decref(a.root);
	return 0;
}

int show_verb(struct cmd *c)
{
	const char *names[LIST_COUNT + 1], *near, *what = c->count > 1 ? c->words[1] : "";

	for (size_t i = 0; i < LIST_COUNT; i++) {
		names[i] = lists[i].name;
		/* also in the singular */
		if (strcmp(what, lists[i].name) == 0 ||
		    (strlen(what) + 1 == strlen(lists[i].name) &&
		     strncmp(what, lists[i].name, strlen(what)) == 0))
			return show_list(c, lists + i);
	}
	names[LIST_COUNT] = "config";
	if (strcmp(what, "config") == 0)
		return show_config(c);
	near = text_nearest(what, names, LIST_COUNT + 1);
	if (near)
		cmd_fail("there is no \"show %s\"; did you mean \"show %s\"?", what, near);
	else
		cmd_fail(
			"show what? sessions, tunnels, pseudowires, peers, pools, dials, errors or "
			"config");
	return 2;
}
