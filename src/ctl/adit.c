/* SPDX-License-Identifier: MIT
 *
 * adit, the control tool: verbs for people and scripts over the control socket of aditd. Answers go
 * to standard output, errors in one line to standard error. Exit status: 0 done, 1 it failed or the
 * daemon does not answer, 2 the command was not understood.
 */
#include "cmd.h"
#include "fmt.h"

#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ADIT_VERSION
#define ADIT_VERSION "0"
#endif

#define WAIT_MS 5000 /* connect: nothing new for so long, say that it goes on */
#define WHY_MAX 768  /* why something is not up, escaped */

/* ---- status ---- */

static void print_dials(json_t *dials)
{
	json_t *o;
	size_t i;

	json_array_foreach(dials, i, o)
	{
		const char *state = cmd_text(o, "state");
		json_t *next_in = json_object_get(o, "next_in");

		printf("session     %s: %s", cmd_text(o, "name"), state);
		if (json_is_integer(next_in))
			printf(", next attempt in %lld s", (long long)json_integer_value(next_in));
		if (strcmp(state, "up") != 0 && json_is_string(json_object_get(o, "because")))
			printf("; the last one failed because %s", cmd_text(o, "because"));
		putchar('\n');
	}
}

/* Why it is not up: ours, and what who said so has to add. */
static const char *why_text(json_t *o, char *buf, size_t cap)
{
	const char *because = cmd_text(o, "because"), *text = cmd_text(o, "text");
	bool more = strcmp(text, "-") != 0 && strcmp(text, because) != 0;

	snprintf(buf, cap, "%s%s%s", because, more ? ": " : "", more ? text : "");
	return buf;
}

/* The first of those that are not up. */
static void print_wires_down(json_t *s)
{
	json_t *list = json_object_get(s, "pseudowires_down"), *o;
	long long more = cmd_number(s, "pseudowires") - cmd_number(s, "pseudowires_up") -
			 (long long)json_array_size(list);
	char why[WHY_MAX];
	size_t i;

	json_array_foreach(list, i, o)
	{
		json_t *next_in = json_object_get(o, "next_in");

		printf("pseudowire  %s: %s", cmd_text(o, "name"), cmd_text(o, "state"));
		if (json_is_integer(next_in))
			printf(", next attempt in %lld s", (long long)json_integer_value(next_in));
		if (json_is_string(json_object_get(o, "because")))
			printf("; down because %s", why_text(o, why, sizeof(why)));
		putchar('\n');
	}
	if (more > 0)
		printf("            and %lld more; see adit show pseudowires\n", more);
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
		dropped += cmd_number(plane, drops[i]);
	fmt_value(json_object_get(s, "seconds"), FMT_DURATION, up, sizeof(up));
	fmt_value(json_object_get(plane, "rx_packets"), FMT_COUNT, in, sizeof(in));
	fmt_value(json_object_get(plane, "tx_packets"), FMT_COUNT, out, sizeof(out));
	printf("aditd       %s, %s, pid %lld, for %s; started %lld time%s since %s\n",
	       cmd_text(s, "version"), cmd_text(s, "state"), cmd_number(s, "pid"), up,
	       cmd_number(s, "starts"), cmd_number(s, "starts") == 1 ? "" : "s",
	       cmd_text(s, "keeper_since"));
	printf("host name   %s\n", cmd_text(s, "host_name"));
	printf("config      %s\n", cmd_text(s, "config"));
	printf("sandbox     %s\n", cmd_text(s, "sandbox"));
	if (json_is_integer(json_object_get(s, "drain_rate")))
		printf("draining    newcomers are refused; %lld sessions and %lld pseudowires are "
		       "left, %s\n",
		       cmd_number(s, "sessions"), cmd_number(s, "pseudowires_active"),
		       cmd_number(s, "drain_rate") ? "told one after the other"
						   : "they end by themselves");
	if (json_is_true(json_object_get(s, "memory_scarce")))
		printf("memory      is scarce: newcomers are refused until there is more\n");
	printf("sessions    %lld, of these %lld up; tunnels %lld, half open %lld\n",
	       cmd_number(s, "sessions"), cmd_number(s, "sessions_up"), cmd_number(s, "tunnels"),
	       cmd_number(s, "half_open"));
	if (cmd_number(s, "pseudowires"))
		printf("pseudowires %lld, of these %lld up\n", cmd_number(s, "pseudowires"),
		       cmd_number(s, "pseudowires_up"));
	if (json_is_string(json_object_get(s, "oldest_session")))
		printf("oldest      session is up since %s\n", cmd_text(s, "oldest_session"));
	printf("so far      %lld set up, %lld failed\n", cmd_number(s, "setups"),
	       cmd_number(s, "failures"));
	printf("data plane  %s: packets in %s, out %s, dropped %lld, for no session that is up "
	       "%lld\n",
	       cmd_text(plane, "name"), in, out, dropped, cmd_number(plane, "drop_unknown"));
	if (json_is_true(json_object_get(plane, "kernel")))
		puts("kernel      carries sessions");
	else
		printf("kernel      does not carry sessions: %s\n",
		       cmd_text(plane, "kernel_missing"));
	printf("offloads    ");
	json_array_foreach(json_object_get(plane, "offloads"), i, l)
		printf("%s%s", i ? ", " : "", json_string_value(l));
	puts(i ? "" : "none");
	json_array_foreach(json_object_get(s, "listening"), i, l)
		printf("socket      %s (%s)%s\n", cmd_text(l, "address"), cmd_text(l, "name"),
		       json_is_true(json_object_get(l, "open")) ? "" : ": not open, see the log");
	print_dials(json_object_get(s, "dials"));
	print_wires_down(s);
	if (cmd_number(s, "accounting_waiting"))
		printf("accounting  %lld record%s cannot be written, see the log\n",
		       cmd_number(s, "accounting_waiting"),
		       cmd_number(s, "accounting_waiting") == 1 ? "" : "s");
}

static int verb_status(struct cmd *c)
{
	struct varlink_answer a;
	int rc;

	if (cmd_too_many(c, 0))
		return 2;
	rc = cmd_call(c, "org.adit.Status", NULL, false);
	if (rc == 0)
		rc = cmd_next(c, QUICK_MS, &a);
	if (rc)
		return rc;
	if (c->json)
		cmd_print(json_object_get(a.parameters, "status"));
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
	printf(" on %s\n", cmd_text(session, "interface"));
}

/* A pseudowire says which kind of it it is, a session says nothing of the sort. */
static const char *noun(json_t *dial)
{
	return json_object_get(dial, "kind") ? "pseudowire" : "session";
}

static int connect_failed(struct cmd *c, json_t *dial)
{
	json_t *next_in = json_object_get(dial, "next_in");
	char why[WHY_MAX];

	if (c->json) {
		cmd_print(dial);
		return 1;
	}
	puts("failed");
	fflush(stdout);
	cmd_fail("%s \"%s\" did not come up because %s", noun(dial), cmd_text(dial, "name"),
		 why_text(dial, why, sizeof(why)));
	if (json_is_integer(next_in))
		cmd_fail("the next attempt is in %lld s", (long long)json_integer_value(next_in));
	return 1;
}

/* One step of the progress; -1 = it goes on, else the exit status. */
static int connect_step(struct cmd *c, struct varlink_answer *a)
{
	json_t *dial = json_object_get(a->parameters, "dial"),
	       *session = json_object_get(a->parameters, "session");
	const char *state = cmd_text(dial, "state");

	if (a->continues || (c->no_wait && strcmp(state, "up") != 0)) {
		if (!c->json)
			printf("%s ... ",
			       json_is_object(session) ? cmd_text(session, "state") : state);
		fflush(stdout);
		return a->continues ? -1 : 0;
	}
	if (strcmp(state, "up") != 0)
		return connect_failed(c, dial);
	if (c->json)
		cmd_print(session);
	else
		print_up(session);
	return 0;
}

/* Like cmd_next(), but as long as it takes; meanwhile the seconds are told. */
static int next_or_tell(struct cmd *c, struct varlink_answer *ret)
{
	int waited_ms = 0;

	if (c->no_wait)
		return cmd_next(c, QUICK_MS, ret);
	while (!varlink_ready(c->v, WAIT_MS)) {
		waited_ms += WAIT_MS;
		if (!c->json)
			printf("%d s ... ", waited_ms / 1000);
		fflush(stdout);
	}
	return cmd_next(c, -1, ret);
}

static int verb_connect(struct cmd *c)
{
	struct varlink_answer a;
	int rc;

	if (c->count != 2) {
		cmd_fail("connect what? adit connect NAME, the name of a session or pseudowire "
			 "block");
		return 2;
	}
	if (cmd_call(c, "org.adit.Connect", json_pack("{s:s}", "name", c->words[1]), !c->no_wait))
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
		cmd_fail("disconnect what? adit disconnect NAME, the name of a session or "
			 "pseudowire "
			 "block");
		return 2;
	}
	if (cmd_call(c, "org.adit.Disconnect", json_pack("{s:s}", "name", c->words[1]),
		     !c->no_wait))
		return 1;
	while (more) {
		if (cmd_next(c, c->no_wait ? QUICK_MS : -1, &a))
			return 1;
		more = a.continues;
		what = noun(json_object_get(a.parameters, "dial"));
		if (!more && c->json)
			cmd_print(json_object_get(a.parameters, "dial"));
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
		cmd_fail(
			"call what? adit call PEER NUMBER [SUB-ADDRESS], the name of a peer block");
		return 2;
	}
	p = json_pack("{s:s, s:s}", "peer", c->words[1], "number", c->words[2]);
	if (c->count == 4)
		json_object_set_new(p, "sub_address", json_string(c->words[3]));
	if (cmd_call(c, "org.adit.Call", p, false) || cmd_next(c, QUICK_MS, &a))
		return 1;
	if (c->json)
		cmd_print(a.parameters);
	else
		printf("session %s: the peer is asked to call %s\n",
		       cmd_text(a.parameters, "session"), c->words[2]);
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
		cmd_fail("\"%s\" is no key of a session; see the column KEY of: adit show sessions",
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
		cmd_fail("terminate what? adit terminate session KEY, user NAME, or tunnel ID");
		return 2;
	}
	if (!parameters) {
		cmd_fail("\"%s\" is not UTF-8", c->words[2]);
		return 2;
	}
	if (cmd_call(c, "org.adit.Terminate", parameters, false) || cmd_next(c, QUICK_MS, &a))
		return 1;
	if (c->json)
		cmd_print(a.parameters);
	else
		printf("%lld %s%s being ended\n", cmd_number(a.parameters, "count"),
		       strcmp(what, "tunnel") == 0 ? "tunnel" : "session",
		       cmd_number(a.parameters, "count") == 1 ? " is" : "s are");
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
		printf("%s %-7s %s\n", cmd_text(r, "time"), cmd_text(r, "level"),
		       cmd_text(r, "text"));
	} else {
		printf("(%lld record%s lost: they come faster than they can be shown)\n",
		       cmd_number(parameters, "lost"),
		       cmd_number(parameters, "lost") == 1 ? " was" : "s were");
	}
	fflush(stdout);
}

/* Sessions, and the pseudowires that end with them. */
static long long left_of(json_t *answer)
{
	json_t *s = json_object_get(answer, "status");

	return cmd_number(s, "sessions") +
	       (cmd_number(s, "drain_rate") ? cmd_number(s, "pseudowires_active") : 0);
}

/* One look at how far a drain is: sessions left, <0 = no answer. */
static long long drain_left(struct cmd *c)
{
	struct varlink_answer a;
	long long left;

	if (cmd_call(c, "org.adit.Status", NULL, false) || cmd_next(c, QUICK_MS, &a))
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
		cmd_fail("drain what? adit drain [--rate N], or: adit drain end");
		return 2;
	}
	if (c->rate >= 0)
		json_object_set_new(p, "rate", json_integer(c->rate));
	if (cmd_call(c, "org.adit.Drain", p, false) || cmd_next(c, QUICK_MS, &a))
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

	if (cmd_too_many(c, 0))
		return 2;
	for (size_t i = 0; i < 4 && !known; i++)
		known = strcmp(c->level, levels[i]) == 0;
	if (!known) {
		cmd_fail("\"%s\" is no level; write --level debug, info, notice or warning",
			 c->level);
		return 2;
	}
	if (cmd_call(c, "org.adit.Monitor", c->level ? json_pack("{s:s}", "level", c->level) : NULL,
		     true))
		return 1;
	while (true) {
		if (cmd_next(c, -1, &a))
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

	printf("%-8s %s%s%s\n", ok ? "ok" : "missing", cmd_text(f, "name"), ok ? "" : ": ",
	       ok ? "" : cmd_text(f, "text"));
}

static int verb_doctor(struct cmd *c)
{
	struct varlink_answer a;
	bool more = true, any = false;
	json_t *f;

	if (cmd_too_many(c, 0))
		return 2;
	if (cmd_call(c, "org.adit.Doctor", NULL, true))
		return 1;
	if (c->json)
		printf("{\n  \"findings\": [");
	while (more) {
		if (cmd_next(c, 3 * QUICK_MS, &a))
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

	if (cmd_too_many(c, 0))
		return 2;
	if (cmd_call(c, "org.adit.Reload", NULL, false) || cmd_next(c, 3 * QUICK_MS, &a))
		return 1;
	if (c->json)
		cmd_print(a.parameters);
	else if (*cmd_text(a.parameters, "changes"))
		fputs(cmd_text(a.parameters, "changes"), stdout);
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
	{ "status", verb_status },   { "show", show_verb },
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
	cmd_fail("%s needs a value; see adit --help", name);
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
				cmd_fail("too many arguments");
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
				cmd_fail("--rate needs a number of sessions a second, 0 to 100000");
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
			cmd_fail("unknown option %s; see adit --help", argv[i]);
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
			cmd_fail("a verb is missing");
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
			cmd_fail("there is no verb \"%s\"; did you mean \"%s\"?", c.words[0], near);
		else
			cmd_fail("there is no verb \"%s\"; see adit --help", c.words[0]);
		rc = 2;
	}
	varlink_close(c.v);
	if (fflush(stdout) != 0 && rc == 0)
		rc = cmd_fail("the output cannot be written: %s", strerror(errno));
	return rc;
}
