/* SPDX-License-Identifier: MIT
 *
 * adit, the control tool: verbs for people and scripts over the control socket of aditd. Answers go
 * to standard output, errors in one line to standard error. Exit status: 0 done, 1 it failed or the
 * daemon does not answer, 2 the command was not understood.
 */
#include "fmt.h"
#include "varlink.h"

#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ADIT_VERSION
#define ADIT_VERSION "0"
#endif

#define CONTROL	  "/run/adit/control"
#define QUICK_MS  10000
#define WAIT_MS	  5000 /* connect: nothing new for so long, say that it goes on */
#define WORDS_MAX 64
#define REAL	  JSON_REAL_PRECISION(6)

struct cmd {
	const char *control;
	const char *columns; /* -o */
	const char *level;   /* --level */
	bool json, no_wait;
	long rate;		/* --rate, -1 = not given */
	char *words[WORDS_MAX]; /* verb and its arguments */
	int count;
	struct varlink *v;
};

static int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("adit: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* ---- the daemon ---- */

static int connect_daemon(struct cmd *c)
{
	c->v = varlink_open(c->control);
	if (c->v)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return fail("%s: %s; run adit as root or as a member of the group of aditd's user",
			    c->control, strerror(errno));
	return fail("no daemon answers on %s (%s); start it as root with: adit-keeper --run",
		    c->control, strerror(errno));
}

static int call(struct cmd *c, const char *method, json_t *parameters, bool more)
{
	int rc;

	if (!c->v && connect_daemon(c)) {
		json_decref(parameters);
		return 1;
	}
	rc = varlink_call(c->v, method, parameters, more);
	return rc < 0 ? fail("the daemon takes no command: %s", strerror(-rc)) : 0;
}

/* The next answer; an error is told. */
static int next(struct cmd *c, int timeout_ms, struct varlink_answer *ret)
{
	char error[VARLINK_ERROR_MAX];
	int rc = varlink_next(c->v, timeout_ms, ret, error);

	if (rc == 1)
		return fail("%s", error);
	if (rc == -ETIMEDOUT)
		return fail("the daemon does not answer; is it busy or stopped? see its log");
	if (rc == -ECONNRESET)
		return fail("the daemon ended the connection; it may be restarting, try again");
	if (rc < 0)
		return fail("the daemon's answer cannot be read: %s", strerror(-rc));
	return 0;
}

static int print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | REAL);
	putchar('\n');
	return 0;
}

/* Nothing may follow the verb but `words` words. */
static bool too_many(const struct cmd *c, int words)
{
	if (c->count <= 1 + words)
		return false;
	fail("\"%s\" is one word too many after %s; see adit --help", c->words[1 + words],
	     c->words[words]);
	return true;
}

static const char *text_of(json_t *o, const char *field)
{
	const char *text = json_string_value(json_object_get(o, field));

	return text ? text : "-";
}

static long long number_of(json_t *o, const char *field)
{
	return (long long)json_integer_value(json_object_get(o, field));
}

/* ---- lists ---- */

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
	{ "because", "BECAUSE", FMT_TEXT, false, false },
	{ "text", "WHY", FMT_TEXT, false, false },
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

		if (next(c, QUICK_MS, &a))
			return 1;
		more = a.continues;
		o = json_object_get(a.parameters, l->field);
		if (o && fmt_match(o, c->words + 2, c->count - 2)) {
			if (c->json) {
				fputs(count ? ",\n    " : "\n    ", stdout);
				json_dumpf(o, stdout, REAL);
			} else if (!fmt_table_add(t, o)) {
				json_decref(a.root);
				return fail("out of memory");
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
		fail("%s", why);
		return 2;
	}
	t = fmt_table_new(l->columns, c->columns, why);
	if (!t) {
		fail("%s", why);
		return 2;
	}
	rc = call(c, l->method, NULL, true);
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

	if (too_many(c, 1))
		return 2;
	rc = call(c, "org.adit.ShowConfig", NULL, false);
	if (rc == 0)
		rc = next(c, QUICK_MS, &a);
	if (rc)
		return rc;
	if (c->json)
		print_json(a.parameters);
	else
		fputs(text_of(a.parameters, "text"), stdout);
	json_decref(a.root);
	return 0;
}

static int verb_show(struct cmd *c)
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
		fail("there is no \"show %s\"; did you mean \"show %s\"?", what, near);
	else
		fail("show what? sessions, tunnels, pseudowires, peers, pools, dials, errors or "
		     "config");
	return 2;
}

/* ---- status ---- */

static void print_dials(json_t *dials)
{
	json_t *o;
	size_t i;

	json_array_foreach(dials, i, o)
	{
		const char *state = text_of(o, "state");
		json_t *next_in = json_object_get(o, "next_in");

		printf("session     %s: %s", text_of(o, "name"), state);
		if (json_is_integer(next_in))
			printf(", next attempt in %lld s", (long long)json_integer_value(next_in));
		if (strcmp(state, "up") != 0 && json_is_string(json_object_get(o, "because")))
			printf("; the last one failed because %s", text_of(o, "because"));
		putchar('\n');
	}
}

static void print_status(json_t *s)
{
	json_t *plane = json_object_get(s, "data_plane"), *l;
	long long dropped = 0;
	static const char *const drops[] = { "drop_path", "drop_header", "drop_spoof",
					     "drop_seq",  "drop_mtu",	 "drop_other" };
	char up[40], in[32], out[32];
	size_t i;

	for (i = 0; i < sizeof(drops) / sizeof(drops[0]); i++)
		dropped += number_of(plane, drops[i]);
	fmt_value(json_object_get(s, "seconds"), FMT_DURATION, up, sizeof(up));
	fmt_value(json_object_get(plane, "rx_packets"), FMT_COUNT, in, sizeof(in));
	fmt_value(json_object_get(plane, "tx_packets"), FMT_COUNT, out, sizeof(out));
	printf("aditd       %s, %s, pid %lld, for %s; started %lld time%s since %s\n",
	       text_of(s, "version"), text_of(s, "state"), number_of(s, "pid"), up,
	       number_of(s, "starts"), number_of(s, "starts") == 1 ? "" : "s",
	       text_of(s, "keeper_since"));
	printf("host name   %s\n", text_of(s, "host_name"));
	printf("config      %s\n", text_of(s, "config"));
	printf("sandbox     %s\n", text_of(s, "sandbox"));
	if (json_is_integer(json_object_get(s, "drain_rate")))
		printf("draining    newcomers are refused; %lld sessions and %lld pseudowires are "
		       "left, %s\n",
		       number_of(s, "sessions"), number_of(s, "pseudowires"),
		       number_of(s, "drain_rate") ? "told one after the other"
						  : "they end by themselves");
	if (json_is_true(json_object_get(s, "memory_scarce")))
		printf("memory      is scarce: newcomers are refused until there is more\n");
	printf("sessions    %lld, of these %lld up; tunnels %lld, half open %lld\n",
	       number_of(s, "sessions"), number_of(s, "sessions_up"), number_of(s, "tunnels"),
	       number_of(s, "half_open"));
	if (number_of(s, "pseudowires"))
		printf("pseudowires %lld, of these %lld up\n", number_of(s, "pseudowires"),
		       number_of(s, "pseudowires_up"));
	if (json_is_string(json_object_get(s, "oldest_session")))
		printf("oldest      session is up since %s\n", text_of(s, "oldest_session"));
	printf("so far      %lld set up, %lld failed\n", number_of(s, "setups"),
	       number_of(s, "failures"));
	printf("data plane  %s: packets in %s, out %s, dropped %lld, for no session that is up "
	       "%lld\n",
	       text_of(plane, "name"), in, out, dropped, number_of(plane, "drop_unknown"));
	if (json_is_true(json_object_get(plane, "kernel")))
		puts("kernel      carries sessions");
	else
		printf("kernel      does not carry sessions: %s\n",
		       text_of(plane, "kernel_missing"));
	printf("offloads    ");
	json_array_foreach(json_object_get(plane, "offloads"), i, l)
		printf("%s%s", i ? ", " : "", json_string_value(l));
	puts(i ? "" : "none");
	json_array_foreach(json_object_get(s, "listening"), i, l)
		printf("socket      %s (%s)%s\n", text_of(l, "address"), text_of(l, "name"),
		       json_is_true(json_object_get(l, "open")) ? "" : ": not open, see the log");
	print_dials(json_object_get(s, "dials"));
	if (number_of(s, "accounting_waiting"))
		printf("accounting  %lld records cannot be written, see the log\n",
		       number_of(s, "accounting_waiting"));
}

static int verb_status(struct cmd *c)
{
	struct varlink_answer a;
	int rc;

	if (too_many(c, 0))
		return 2;
	rc = call(c, "org.adit.Status", NULL, false);
	if (rc == 0)
		rc = next(c, QUICK_MS, &a);
	if (rc)
		return rc;
	if (c->json)
		print_json(json_object_get(a.parameters, "status"));
	else
		print_status(json_object_get(a.parameters, "status"));
	json_decref(a.root);
	return 0;
}

/* ---- connect, disconnect ---- */

/* "up: 10.0.0.5 2001:db8::/64 on adit1" */
static void print_up(json_t *session)
{
	json_t *ip4 = json_object_get(session, "our_ip4"),
	       *prefix = json_object_get(session, "prefix6");

	fputs("up:", stdout);
	if (json_is_string(ip4))
		printf(" %s", json_string_value(ip4));
	if (json_is_string(prefix))
		printf(" %s", json_string_value(prefix));
	printf(" on %s\n", text_of(session, "interface"));
}

/* A pseudowire says which kind of it it is, a session says nothing of the sort. */
static const char *noun(json_t *dial)
{
	return json_object_get(dial, "kind") ? "pseudowire" : "session";
}

static int connect_failed(struct cmd *c, json_t *dial)
{
	json_t *next_in = json_object_get(dial, "next_in");
	const char *because = text_of(dial, "because"), *text = text_of(dial, "text");
	bool more = strcmp(text, "-") != 0 && strcmp(text, because) != 0;

	if (c->json) {
		print_json(dial);
		return 1;
	}
	puts("failed");
	fflush(stdout);
	fail("%s \"%s\" did not come up because %s%s%s", noun(dial), text_of(dial, "name"), because,
	     more ? ": " : "", more ? text : "");
	if (json_is_integer(next_in))
		fail("the next attempt is in %lld s", (long long)json_integer_value(next_in));
	return 1;
}

/* One step of the progress; -1 = it goes on, else the exit status. */
static int connect_step(struct cmd *c, struct varlink_answer *a)
{
	json_t *dial = json_object_get(a->parameters, "dial"),
	       *session = json_object_get(a->parameters, "session");
	const char *state = text_of(dial, "state");

	if (a->continues || (c->no_wait && strcmp(state, "up") != 0)) {
		if (!c->json)
			printf("%s ... ",
			       json_is_object(session) ? text_of(session, "state") : state);
		fflush(stdout);
		return a->continues ? -1 : 0;
	}
	if (strcmp(state, "up") != 0)
		return connect_failed(c, dial);
	if (c->json)
		print_json(session);
	else
		print_up(session);
	return 0;
}

/* Like next(), but as long as it takes; meanwhile the seconds are told. */
static int next_or_tell(struct cmd *c, struct varlink_answer *ret)
{
	int waited_ms = 0;

	if (c->no_wait)
		return next(c, QUICK_MS, ret);
	while (!varlink_ready(c->v, WAIT_MS)) {
		waited_ms += WAIT_MS;
		if (!c->json)
			printf("%d s ... ", waited_ms / 1000);
		fflush(stdout);
	}
	return next(c, -1, ret);
}

static int verb_connect(struct cmd *c)
{
	struct varlink_answer a;
	int rc;

	if (c->count != 2) {
		fail("connect what? adit connect NAME, the name of a session or pseudowire "
		     "block");
		return 2;
	}
	if (call(c, "org.adit.Connect", json_pack("{s:s}", "name", c->words[1]), !c->no_wait))
		return 1;
	do {
		if (next_or_tell(c, &a))
			return 1;
		rc = connect_step(c, &a);
		json_decref(a.root);
	} while (rc < 0);
	if (c->no_wait && !c->json)
		putchar('\n');
	return rc;
}

static int verb_disconnect(struct cmd *c)
{
	const char *what = "session";
	struct varlink_answer a;
	bool more = true;

	if (c->count != 2) {
		fail("disconnect what? adit disconnect NAME, the name of a session or pseudowire "
		     "block");
		return 2;
	}
	if (call(c, "org.adit.Disconnect", json_pack("{s:s}", "name", c->words[1]), !c->no_wait))
		return 1;
	while (more) {
		if (next(c, c->no_wait ? QUICK_MS : -1, &a))
			return 1;
		more = a.continues;
		what = noun(json_object_get(a.parameters, "dial"));
		if (!more && c->json)
			print_json(json_object_get(a.parameters, "dial"));
		json_decref(a.root);
	}
	if (!c->json)
		printf("%s \"%s\" is %s\n", what, c->words[1], c->no_wait ? "being ended" : "down");
	return 0;
}

static int verb_call(struct cmd *c)
{
	struct varlink_answer a;
	json_t *p;

	if (c->count != 3 && c->count != 4) {
		fail("call what? adit call PEER NUMBER [SUB-ADDRESS], the name of a peer block");
		return 2;
	}
	p = json_pack("{s:s, s:s}", "peer", c->words[1], "number", c->words[2]);
	if (c->count == 4)
		json_object_set_new(p, "sub_address", json_string(c->words[3]));
	if (call(c, "org.adit.Call", p, false) || next(c, QUICK_MS, &a))
		return 1;
	if (c->json)
		print_json(a.parameters);
	else
		printf("session %s: the peer is asked to call %s\n",
		       text_of(a.parameters, "session"), c->words[2]);
	json_decref(a.root);
	return 0;
}

/* ---- terminate, monitor, reload ---- */

static int verb_terminate(struct cmd *c)
{
	const char *what = c->count == 3 ? c->words[1] : "";
	struct varlink_answer a;
	json_t *parameters;

	if (strcmp(what, "session") == 0 &&
	    (!c->words[2][0] || c->words[2][strspn(c->words[2], "0123456789abcdefABCDEF")])) {
		fail("\"%s\" is no key of a session; see the column KEY of: adit show sessions",
		     c->words[2]);
		return 2;
	}
	if (strcmp(what, "session") == 0 || strcmp(what, "user") == 0) {
		parameters = json_pack("{s:s}", what, c->words[2]);
	} else if (strcmp(what, "tunnel") == 0 &&
		   strspn(c->words[2], "0123456789") == strlen(c->words[2]) &&
		   strlen(c->words[2]) < 11) { /* of L2TPv3: 32 bits */
		parameters = json_pack("{s:I}", what, (json_int_t)atoll(c->words[2]));
	} else {
		fail("terminate what? adit terminate session KEY, user NAME, or tunnel ID");
		return 2;
	}
	if (!parameters) {
		fail("\"%s\" is not UTF-8", c->words[2]);
		return 2;
	}
	if (call(c, "org.adit.Terminate", parameters, false) || next(c, QUICK_MS, &a))
		return 1;
	if (c->json)
		print_json(a.parameters);
	else
		printf("%lld %s%s being ended\n", number_of(a.parameters, "count"),
		       strcmp(what, "tunnel") == 0 ? "tunnel" : "session",
		       number_of(a.parameters, "count") == 1 ? " is" : "s are");
	json_decref(a.root);
	return 0;
}

static void print_record(struct cmd *c, json_t *parameters)
{
	json_t *r = json_object_get(parameters, "record");

	if (c->json) {
		json_dumpf(parameters, stdout, JSON_COMPACT | REAL);
		putchar('\n');
	} else if (r) {
		printf("%s %-7s %s\n", text_of(r, "time"), text_of(r, "level"), text_of(r, "text"));
	} else {
		printf("(%lld records were lost: they came faster than they could be shown)\n",
		       number_of(parameters, "lost"));
	}
	fflush(stdout);
}

/* Sessions, and the pseudowires that end with them. */
static long long left_of(json_t *answer)
{
	json_t *s = json_object_get(answer, "status");

	return number_of(s, "sessions") +
	       (number_of(s, "drain_rate") ? number_of(s, "pseudowires") : 0);
}

/* One look at how far a drain is: sessions left, <0 = no answer. */
static long long drain_left(struct cmd *c)
{
	struct varlink_answer a;
	long long left;

	if (call(c, "org.adit.Status", NULL, false) || next(c, QUICK_MS, &a))
		return -1;
	left = left_of(a.parameters);
	json_decref(a.root);
	return left;
}

static int verb_drain(struct cmd *c)
{
	bool end = c->count == 2 && strcmp(c->words[1], "end") == 0;
	json_t *p = end ? json_pack("{s:b}", "end", 1) : json_object();
	long long left = 0, shown = -1;
	struct varlink_answer a;

	if (c->count > 1 && !end) {
		json_decref(p);
		fail("drain what? adit drain [--rate N], or: adit drain end");
		return 2;
	}
	if (c->rate >= 0)
		json_object_set_new(p, "rate", json_integer(c->rate));
	if (call(c, "org.adit.Drain", p, false) || next(c, QUICK_MS, &a))
		return 1;
	left = left_of(a.parameters);
	json_decref(a.root);
	while (!end && !c->no_wait && left > 0) {
		if (left != shown && !c->json)
			printf("%lld sessions left\n", left);
		fflush(stdout);
		shown = left;
		poll(NULL, 0, 1000);
		left = drain_left(c);
	}
	if (left < 0)
		return 1;
	if (c->json)
		printf("{\"sessions\":%lld}\n", left);
	else if (end)
		puts("newcomers are welcome again");
	else if (c->no_wait)
		printf("draining %lld session%s\n", left, left == 1 ? "" : "s");
	else
		puts("no session is left; newcomers are refused until: adit drain end");
	return 0;
}

static int verb_monitor(struct cmd *c)
{
	static const char *const levels[] = { "debug", "info", "notice", "warning" };
	struct varlink_answer a;
	bool known = !c->level;

	if (too_many(c, 0))
		return 2;
	for (size_t i = 0; i < 4 && !known; i++)
		known = strcmp(c->level, levels[i]) == 0;
	if (!known) {
		fail("\"%s\" is no level; write --level debug, info, notice or warning", c->level);
		return 2;
	}
	if (call(c, "org.adit.Monitor", c->level ? json_pack("{s:s}", "level", c->level) : NULL,
		 true))
		return 1;
	while (true) {
		if (next(c, -1, &a))
			return 1;
		print_record(c, a.parameters);
		json_decref(a.root);
		if (ferror(stdout))
			return 1;
	}
}

/* A finding as a line: what is there, or what is missing and what mends it. */
static void print_finding(json_t *f)
{
	bool ok = json_is_true(json_object_get(f, "ok"));

	printf("%-8s %s%s%s\n", ok ? "ok" : "missing", text_of(f, "name"), ok ? "" : ": ",
	       ok ? "" : text_of(f, "text"));
}

static int verb_doctor(struct cmd *c)
{
	struct varlink_answer a;
	bool more = true, any = false;
	json_t *f;

	if (too_many(c, 0))
		return 2;
	if (call(c, "org.adit.Doctor", NULL, true))
		return 1;
	if (c->json)
		printf("{\n  \"findings\": [");
	while (more) {
		if (next(c, 3 * QUICK_MS, &a))
			return 1;
		more = a.continues;
		f = json_object_get(a.parameters, "finding");
		if (f && c->json) {
			fputs(any ? ",\n" : "\n", stdout);
			json_dumpf(f, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		} else if (f) {
			print_finding(f);
		}
		any = any || f;
		json_decref(a.root);
	}
	if (c->json)
		fputs("\n  ]\n}\n", stdout);
	return 0;
}

static int verb_reload(struct cmd *c)
{
	struct varlink_answer a;

	if (too_many(c, 0))
		return 2;
	if (call(c, "org.adit.Reload", NULL, false) || next(c, 3 * QUICK_MS, &a))
		return 1;
	if (c->json)
		print_json(a.parameters);
	else if (*text_of(a.parameters, "changes"))
		fputs(text_of(a.parameters, "changes"), stdout);
	else
		puts("nothing changed");
	json_decref(a.root);
	return 0;
}

/* ---- main ---- */

static const struct verb {
	const char *name;
	int (*run)(struct cmd *c);
} verbs[] = {
	{ "status", verb_status },   { "show", verb_show },
	{ "connect", verb_connect }, { "disconnect", verb_disconnect },
	{ "call", verb_call },	     { "terminate", verb_terminate },
	{ "monitor", verb_monitor }, { "reload", verb_reload },
	{ "doctor", verb_doctor },   { "drain", verb_drain },
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void usage(FILE *f)
{
	fputs("usage: adit [OPTIONS] VERB ...\n"
	      "\n"
	      "  status                      the daemon at a glance\n"
	      "  show sessions [FILTER]...   what there is; FILTER: column=value, with * and ?\n"
	      "  show tunnels|pseudowires|peers|pools|dials|errors [FILTER]...\n"
	      "  show config                 the configuration in force, with all defaults\n"
	      "  connect NAME                dial the session or pseudowire NAME, wait until it is "
	      "up\n"
	      "  disconnect NAME             hang up, and dial no more\n"
	      "  call PEER NUMBER [SUB]      have a LAC call a number, in a tunnel that is up\n"
	      "  terminate session KEY | user NAME | tunnel ID\n"
	      "  drain [--rate N] | drain end\n"
	      "                              refuse newcomers and end N sessions a second\n"
	      "  monitor                     what happens, as it happens\n"
	      "  doctor                      can the kernel carry sessions? what is missing, and "
	      "what mends it\n"
	      "  reload                      read the configuration again, say what changed\n"
	      "\n"
	      "  --json, -j        answers as JSON\n"
	      "  --columns, -o A,B columns of a table by their names in JSON, or all\n"
	      "  --no-wait, -n     connect, disconnect: do not wait for the end\n"
	      "  --rate N          drain: sessions a second (100); 0: they end by themselves\n"
	      "  --level, -l WORD  monitor: debug, info, notice or warning and above\n"
	      "  --control PATH    control socket (" CONTROL ", or $ADIT_CONTROL)\n"
	      "  --version, --help\n"
	      "\n"
	      "See adit(1).\n",
	      f);
}

/* The value of an option: "--name=value" or the next argument. NULL: it is not this option. */
static const char *option_value(const char *name, const char *letter, int argc, char **argv, int *i)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n) == 0 && argv[*i][n] == '=')
		return argv[*i] + n + 1;
	if (strcmp(argv[*i], name) != 0 && (!letter || strcmp(argv[*i], letter) != 0))
		return NULL;
	if (*i + 1 >= argc)
		return "";
	return argv[++*i];
}

/* An option with a value that is not there. */
static int no_value(const char *name)
{
	fail("%s needs a value; see adit --help", name);
	return 2;
}

static bool is_option(const char *arg, const char *name, const char *letter)
{
	return strcmp(arg, name) == 0 || (letter && strcmp(arg, letter) == 0);
}

/* -1 = go on, else the exit status. Options may stand anywhere. */
static int parse(int argc, char **argv, struct cmd *c)
{
	bool words_only = false;
	const char *value;

	for (int i = 1; i < argc; i++) {
		if (words_only || argv[i][0] != '-' || !argv[i][1]) {
			if (c->count == WORDS_MAX - 1) {
				fail("too many arguments");
				return 2;
			}
			c->words[c->count++] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			words_only = true;
		} else if (is_option(argv[i], "--json", "-j")) {
			c->json = true;
		} else if (is_option(argv[i], "--no-wait", "-n")) {
			c->no_wait = true;
		} else if ((value = option_value("--control", NULL, argc, argv, &i))) {
			if (!*value)
				return no_value("--control");
			c->control = value;
		} else if ((value = option_value("--columns", "-o", argc, argv, &i))) {
			if (!*value)
				return no_value("--columns");
			c->columns = value;
		} else if ((value = option_value("--level", "-l", argc, argv, &i))) {
			if (!*value)
				return no_value("--level");
			c->level = value;
		} else if ((value = option_value("--rate", NULL, argc, argv, &i))) {
			if (!*value || value[strspn(value, "0123456789")] || strlen(value) > 6) {
				fail("--rate needs a number of sessions a second, 0 to 100000");
				return 2;
			}
			c->rate = strtol(value, NULL, 10);
		} else if (is_option(argv[i], "--version", "-V")) {
			puts("adit " ADIT_VERSION);
			return 0;
		} else if (is_option(argv[i], "--help", "-h")) {
			usage(stdout);
			return 0;
		} else {
			fail("unknown option %s; see adit --help", argv[i]);
			return 2;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	const char *env = getenv("ADIT_CONTROL"), *names[VERB_COUNT], *near;
	struct cmd c = { .control = env && *env ? env : CONTROL, .rate = -1 };
	int rc = parse(argc, argv, &c);

	if (rc >= 0)
		return rc;
	if (!c.count) {
		if (argc > 1)
			fail("a verb is missing");
		usage(stderr);
		return 2;
	}
	rc = -1;
	for (size_t i = 0; i < VERB_COUNT && rc < 0; i++) {
		names[i] = verbs[i].name;
		if (strcmp(c.words[0], verbs[i].name) == 0)
			rc = verbs[i].run(&c);
	}
	if (rc < 0) {
		near = text_nearest(c.words[0], names, VERB_COUNT);
		if (near)
			fail("there is no verb \"%s\"; did you mean \"%s\"?", c.words[0], near);
		else
			fail("there is no verb \"%s\"; see adit --help", c.words[0]);
		rc = 2;
	}
	varlink_close(c.v);
	if (fflush(stdout) != 0 && rc == 0)
		rc = fail("the output cannot be written: %s", strerror(errno));
	return rc;
}
