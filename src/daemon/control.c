/* SPDX-License-Identifier: MIT
 *
 * The control socket: varlink's wire format, a JSON object and a NUL a message, so that other
 * programs need no library. Who may connect is decided by the rights of the socket, which the
 * keeper makes.
 *
 * Answers that are long or go on for ever are made piece by piece: the next piece is made when the
 * client has taken most of the former ones. So a client that reads slowly, or not at all, costs a
 * bounded amount of memory and delays nobody; `monitor` tells it how many lines it missed. A
 * client has one call under way at a time; further ones wait in its buffer.
 */
#include "control.h"

#include "base/text.h"
#include "dp/remote.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_HIGH  65536 /* octets that wait for a client: make no more answers */
#define IDLE_US	  US_S	/* a client that asked for nothing for so long may have to give way */
#define READ_MAX  16384
#define FAMILY_US (1500 * US_MS) /* a session is up: wait so long for its other address family */

enum op {
	OP_NONE,
	OP_SESSIONS,
	OP_TUNNELS,
	OP_PEERS,
	OP_POOLS,
	OP_DIALS,
	OP_ERRORS,
	OP_MONITOR,
	OP_CONNECT,
	OP_DISCONNECT,
	OP_RELOAD,
	OP_DOCTOR,
	OP_WIRES
};

struct client {
	struct list in;
	struct control *control;
	int fd;
	struct io_watch *watch;
	char *req; /* what was read and not handled */
	size_t req_len, req_cap;
	char *out;
	size_t out_len, out_cap, out_sent;
	bool ending; /* close when everything is sent */
	bool eof;    /* it sends nothing more; what it asked for is still answered */
	bool dead;
	bool waits; /* the call under way has nothing to tell before something happens */

	enum op op; /* the call under way */
	bool more;
	bool wire;	/* OP_CONNECT, OP_DISCONNECT: of a pseudowire */
	uint64_t *keys; /* OP_SESSIONS, OP_TUNNELS: what there was when it began */
	size_t count, pos;
	uint64_t told; /* objects that were shown */
	uint64_t trace_pos;
	enum trace_level level;
	char name[CONF_NAME]; /* OP_CONNECT, OP_DISCONNECT */
	char shown[160];      /* the state told last */
	struct mono until;    /* OP_CONNECT: up, waits for the other family; 0 = not yet */
	struct mono heard;    /* when it came or last sent something */
};

struct control {
	struct daemon *d;
	int fd;
	struct list clients;
};

/* ---- answers ---- */

static bool out_room(struct client *c, size_t n)
{
	size_t cap = c->out_cap ? c->out_cap : 4096;
	char *grown;

	if (c->out_sent) {
		memmove(c->out, c->out + c->out_sent, c->out_len - c->out_sent);
		c->out_len -= c->out_sent;
		c->out_sent = 0;
	}
	if (c->out_len + n <= c->out_cap)
		return true;
	while (cap < c->out_len + n)
		cap *= 2;
	grown = realloc(c->out, cap);
	if (!grown)
		return false;
	c->out = grown;
	c->out_cap = cap;
	return true;
}

/* Queue a message; takes the reference. A client whose answer does not fit into memory is closed.
 */
static void send_json(struct client *c, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) + 1 : 0;

	json_decref(message);
	if (!text || !out_room(c, n)) {
		c->dead = true;
	} else {
		memcpy(c->out + c->out_len, text, n);
		c->out_len += n;
	}
	free(text);
}

/* One answer; takes the reference to `parameters`. The last one ends the call. */
static void reply(struct client *c, json_t *parameters, bool continues)
{
	json_t *message = json_object();

	if (json_object_set_new(message, "parameters", parameters) < 0 ||
	    (continues && json_object_set_new(message, "continues", json_true()) < 0))
		c->dead = true;
	send_json(c, message);
	if (!continues)
		c->op = OP_NONE;
}

static void reply_one(struct client *c, const char *name, json_t *value, bool continues)
{
	json_t *o = json_object();

	if (!value || json_object_set_new(o, name, value) < 0)
		c->dead = true;
	reply(c, o, continues);
}

static void reply_error(struct client *c, const char *error, const char *field, const char *fmt,
			...) __attribute__((format(printf, 4, 5)));
static void reply_error(struct client *c, const char *error, const char *field, const char *fmt,
			...)
{
	char text[CONF_ERR_MAX + 512], safe[CONF_ERR_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_escape(safe, sizeof(safe), text, strlen(text));
	send_json(c, json_pack("{s:s, s:{s:s}}", "error", error, "parameters", field, safe));
	c->op = OP_NONE;
}

#define NOT_FOUND "org.adit.NotFound"
#define FAILED	  "org.adit.Failed"

static void invalid(struct client *c, const char *parameter)
{
	reply_error(c, "org.varlink.service.InvalidParameter", "parameter", "%s", parameter);
}

/* ---- the call under way ---- */

static void list_end(struct client *c)
{
	reply_one(c, "count", json_integer((json_int_t)c->told), false);
}

/* The next object of a list by its index. */
static void step_index(struct client *c, const char *name, json_t *(*show)(struct daemon *, size_t))
{
	json_t *o = show(c->control->d, c->pos++);

	if (!o) {
		list_end(c);
		return;
	}
	c->told++;
	reply_one(c, name, o, true);
}

static void step_keys(struct client *c)
{
	struct daemon *d = c->control->d;
	json_t *o = NULL;

	while (!o && c->pos < c->count) {
		uint64_t key = c->keys[c->pos++];

		o = c->op == OP_SESSIONS ? show_session(d, key) : show_tunnel(d, (uint32_t)key);
	}
	if (!o) {
		list_end(c);
		return;
	}
	c->told++;
	reply_one(c, c->op == OP_SESSIONS ? "session" : "tunnel", o, true);
}

/* False when there is nothing new to tell. */
static bool step_monitor(struct client *c)
{
	struct daemon *d = c->control->d;
	struct trace_record r;
	uint8_t raw[2048];
	uint64_t lost = 0, at = c->trace_pos;

	while (trace_read(d->trace, &c->trace_pos, &r, NULL, 0, &lost)) {
		if (lost) {
			reply_one(c, "lost", json_integer((json_int_t)lost), true);
			at = c->trace_pos;
			continue;
		}
		if (trace_level_of((enum trace_kind)r.kind) >= c->level) {
			c->trace_pos = at;
			if (!trace_read(d->trace, &c->trace_pos, &r, raw, sizeof(raw), NULL))
				return false;
			reply_one(c, "record", show_trace(d, &r, raw), true);
			return true;
		}
		at = c->trace_pos;
	}
	return false;
}

static bool find_dial(struct daemon *d, const char *name, size_t *ret_index,
		      struct access_dial_info *ret)
{
	for (size_t i = 0; access_dial(d->access, i, ret); i++) {
		if (strcmp(ret->name, name) == 0) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

/* Is everything there the session is configured to have? */
static bool families_up(const struct daemon *d, const char *name,
			const struct access_session_info *s)
{
	const struct conf_dial *dial = conf_dial_find(d->conf, name);
	static const uint8_t none[4];

	return !dial || ((!dial->ip4 || memcmp(s->our_ip4, none, 4) != 0) &&
			 (!dial->ip6 || s->prefix6.addr.family));
}

/*
 * A session counts as up with its first address family; the other one follows within milliseconds,
 * if the server has it at all. Whoever waits for `connect` wants both, and that packets go: its
 * address is known a little before its routes are there.
 */
static bool wait_family(struct client *c, const struct access_session_info *s)
{
	struct daemon *d = c->control->d;

	if (s->row_busy)
		return true;
	if (!c->until.us)
		c->until = mono_add(d->now, FAMILY_US);
	return !mono_due(c->until, d->now) && !families_up(d, c->name, s);
}

/* Progress of a dial: tell each new state; the last one ends the call. False: nothing new. */
static bool step_dial(struct client *c)
{
	struct daemon *d = c->control->d;
	struct access_session_info s = { .state = "" };
	struct access_dial_info i;
	char now[sizeof(c->shown)];
	bool waiting, end;
	json_t *o;
	size_t index = 0;

	if (!find_dial(d, c->name, &index, &i)) {
		reply_error(c, NOT_FOUND, "text", "session \"%s\" is no longer configured",
			    c->name);
		return true;
	}
	if (i.key && !access_session(d->access, i.key, &s))
		s.state = "";
	if (c->op == OP_CONNECT && c->more && strcmp(i.state, "waiting") == 0 &&
	    (!i.attempts || mono_due(i.next, d->now)))
		return false; /* the attempt asked for has not failed yet */
	if (c->op == OP_CONNECT && c->more && strcmp(i.state, "up") == 0 && s.state[0] &&
	    wait_family(c, &s))
		return false;
	snprintf(now, sizeof(now), "%s %s", i.state, s.state);
	waiting = strcmp(i.state, "waiting") == 0 || strcmp(i.state, "idle") == 0;
	end = c->op == OP_CONNECT ? waiting || strcmp(i.state, "up") == 0
				  : strcmp(i.state, "idle") == 0 && !i.key;
	end = end || !c->more;
	if (!end && strcmp(now, c->shown) == 0)
		return false;
	strcpy(c->shown, now);
	o = json_object();
	if (json_object_set_new(o, "dial", show_dial(d, index)) < 0 ||
	    (i.key && s.state[0] && json_object_set_new(o, "session", show_session(d, i.key)) < 0))
		c->dead = true;
	reply(c, o, !end);
	return true;
}

/* The same for a pseudowire. */
static bool step_wire(struct client *c)
{
	struct daemon *d = c->control->d;
	struct pw_wire_info i;
	bool rests, end;
	json_t *o;

	if (!pwe_wire_find(d->pw, c->name, &i)) {
		reply_error(c, NOT_FOUND, "text", "pseudowire \"%s\" is no longer configured",
			    c->name);
		return true;
	}
	rests = strcmp(i.state, "idle") == 0 || strcmp(i.state, "listening") == 0;
	end = c->op == OP_CONNECT ? i.up || rests || strcmp(i.state, "waiting") == 0
				  : strcmp(i.state, "idle") == 0 && !i.key;
	end = end || !c->more;
	if (!end && strcmp(i.state, c->shown) == 0)
		return false;
	snprintf(c->shown, sizeof(c->shown), "%s", i.state);
	o = json_object();
	if (json_object_set_new(o, "dial", show_wire_named(d, c->name)) < 0 ||
	    (i.up && json_object_set_new(o, "session", show_wire_named(d, c->name)) < 0))
		c->dead = true;
	reply(c, o, !end);
	return true;
}

/* Make the next answer. False when there is none now. */
static bool step(struct client *c)
{
	switch (c->op) {
	case OP_NONE:
	case OP_RELOAD:
		return false;
	case OP_SESSIONS:
	case OP_TUNNELS:
		step_keys(c);
		return true;
	case OP_PEERS:
		step_index(c, "peer", show_peer);
		return true;
	case OP_POOLS:
		step_index(c, "pool", show_pool);
		return true;
	case OP_DIALS:
		step_index(c, "dial", show_dial);
		return true;
	case OP_ERRORS:
		step_index(c, "error", show_failure);
		return true;
	case OP_MONITOR:
		return step_monitor(c);
	case OP_CONNECT:
	case OP_DISCONNECT:
		return c->wire ? step_wire(c) : step_dial(c);
	case OP_WIRES:
		step_index(c, "pseudowire", show_wire);
		return true;
	case OP_DOCTOR:
		if (!dp_remote_probed(c->control->d->remote))
			return false;
		step_index(c, "finding", show_finding);
		return true;
	}
	return false;
}

/* ---- methods ---- */

static const char *text_parameter(const struct control_request *r, const char *name)
{
	return json_string_value(json_object_get(r->parameters, name));
}

/* Take all keys now: the walk would end where one of them goes away. */
/* Those of pseudowires. */
static void take_wire_keys(struct client *c, size_t cap)
{
	struct daemon *d = c->control->d;
	struct pw_wire_info i;

	if (c->op == OP_TUNNELS)
		for (uint32_t t = 0; c->count < cap && (t = pwe_tunnel_next(d->pw, t));)
			c->keys[c->count++] = t;
	else
		for (size_t n = 0; c->count < cap && pwe_wire(d->pw, n, &i); n++)
			if (i.key)
				c->keys[c->count++] = i.key;
}

static bool take_keys(struct client *c)
{
	struct daemon *d = c->control->d;
	struct access_summary s;
	size_t cap;

	access_summary(d->access, &s);
	cap = (c->op == OP_SESSIONS ? s.sessions : s.tunnels) + d->conf->pw->wire_count + 64;
	c->keys = calloc(cap, sizeof(*c->keys));
	if (!c->keys)
		return false;
	take_wire_keys(c, cap);
	if (c->op == OP_SESSIONS) {
		for (uint64_t k = 0; c->count < cap && (k = access_session_next(d->access, k));)
			c->keys[c->count++] = k;
	} else {
		for (uint32_t t = 0; c->count < cap && (t = access_tunnel_next(d->access, t));)
			c->keys[c->count++] = t;
	}
	return true;
}

static void begin_list(struct client *c, const struct control_request *r, enum op op)
{
	if (!r->more) {
		reply_error(c, "org.varlink.service.ExpectedMore", "text",
			    "lists are streamed; call with \"more\"");
		return;
	}
	c->op = op;
	if ((op == OP_SESSIONS || op == OP_TUNNELS) && !take_keys(c))
		reply_error(c, FAILED, "text", "out of memory");
}

static void m_status(struct client *c, const struct control_request *r)
{
	reply_one(c, "status", show_status(c->control->d), false);
}

static void m_sessions(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_SESSIONS);
}

static void m_tunnels(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_TUNNELS);
}

static void m_peers(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_PEERS);
}

static void m_pools(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_POOLS);
}

static void m_dials(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_DIALS);
}

static void m_errors(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_ERRORS);
}

static void m_config(struct client *c, const struct control_request *r)
{
	char *text = conf_print(c->control->d->conf, CONF_PRINT_DEFAULTS);

	if (text)
		reply_one(c, "text", json_string(text), false);
	else
		reply_error(c, FAILED, "text", "out of memory");
	free(text);
}

static void m_monitor(struct client *c, const struct control_request *r)
{
	static const char *const names[] = { "debug", "info", "notice", "warning" };
	const char *level = text_parameter(r, "level");

	if (!r->more) {
		begin_list(c, r, OP_MONITOR); /* says so */
		return;
	}
	c->level = TRACE_INFO;
	for (size_t i = 0; level && i < 4; i++) {
		if (strcmp(level, names[i]) == 0) {
			c->level = (enum trace_level)i;
			level = NULL;
		}
	}
	if (level) {
		invalid(c, "level");
		return;
	}
	c->op = OP_MONITOR;
	c->trace_pos = c->control->d->trace_pos;
}

static void no_dial(struct client *c, const char *name)
{
	const struct access_conf *a = c->control->d->conf->access;
	const struct pw_conf *w = c->control->d->conf->pw;
	size_t count = a->dial_count + w->wire_count;
	const char **names = calloc(count + 1, sizeof(*names)), *near = NULL;

	for (size_t i = 0; names && i < count; i++)
		names[i] = i < a->dial_count ? a->dials[i].name : w->wires[i - a->dial_count].name;
	if (names)
		near = text_nearest(name, names, count);
	free(names);
	if (near)
		reply_error(c, NOT_FOUND, "text",
			    "no session or pseudowire block that is dialled has the name \"%s\"; "
			    "did you mean \"%s\"?",
			    name, near);
	else
		reply_error(c, NOT_FOUND, "text",
			    "no session or pseudowire block that is dialled has the name \"%s\"; "
			    "see `adit show dials` and `adit show pseudowires`",
			    name);
}

static void dial(struct client *c, const struct control_request *r, enum op op)
{
	struct daemon *d = c->control->d;
	const char *name = text_parameter(r, "name");
	struct access_cmd cmd = { .kind = op == OP_CONNECT ? ACCESS_CMD_CONNECT
							   : ACCESS_CMD_DISCONNECT,
				  .name = name };
	int rc;

	if (!name || strlen(name) >= CONF_NAME) {
		invalid(c, "name");
		return;
	}
	if (d->stopping) {
		reply_error(c, FAILED, "text", "aditd is stopping");
		return;
	}
	rc = access_do(d->access, d->now, &cmd);
	c->wire = rc == 1;
	if (c->wire)
		rc = pwe_do(d->pw, d->now,
			    &(struct pw_cmd){ .kind = op == OP_CONNECT ? PW_CMD_CONNECT
								       : PW_CMD_DISCONNECT,
					      .name = name });
	if (rc < 0) {
		reply_error(c, FAILED, "text", "out of memory");
	} else if (rc == 1) {
		no_dial(c, name);
	} else {
		c->op = op;
		c->more = r->more;
		strcpy(c->name, name);
	}
}

static void m_connect(struct client *c, const struct control_request *r)
{
	dial(c, r, OP_CONNECT);
}

static void m_disconnect(struct client *c, const struct control_request *r)
{
	dial(c, r, OP_DISCONNECT);
}

static void m_call(struct client *c, const struct control_request *r)
{
	struct daemon *d = c->control->d;
	struct access_cmd cmd = { .kind = ACCESS_CMD_CALL,
				  .name = text_parameter(r, "peer"),
				  .text = text_parameter(r, "number"),
				  .sub_address = text_parameter(r, "sub_address") };
	int rc;

	if (!cmd.name || !cmd.text) {
		invalid(c, cmd.name ? "number" : "peer");
		return;
	}
	if (strlen(cmd.text) >= L2TP_NUMBER_MAX ||
	    (cmd.sub_address && strlen(cmd.sub_address) >= L2TP_NUMBER_MAX)) {
		invalid(c, "number or sub_address: it is longer than 63 octets");
		return;
	}
	rc = access_do(d->access, d->now, &cmd);
	if (rc == 0)
		reply(c, json_pack("{s:o}", "session", show_key(access_called(d->access))), false);
	else if (rc == 1)
		reply_error(c, NOT_FOUND, "text", "there is no peer block \"%s\"", cmd.name);
	else if (rc == 2)
		reply_error(c, FAILED, "text", "the limit of sessions is reached");
	else if (rc == 3)
		reply_error(c, FAILED, "text",
			    "no tunnel of peer \"%s\" is up; for a call the peer has to open one",
			    cmd.name);
	else if (rc == 4)
		reply_error(c, FAILED, "text",
			    "peer \"%s\" places no calls: it sent no Bearer Capabilities",
			    cmd.name);
	else
		reply_error(c, FAILED, "text", "out of memory");
}

/* End all sessions of a user. Returns how many. */
static size_t terminate_user(struct client *c, const char *user)
{
	struct daemon *d = c->control->d;
	struct access_cmd cmd = { .kind = ACCESS_CMD_TERMINATE };
	size_t n = 0;

	c->op = OP_SESSIONS;
	if (!take_keys(c)) {
		c->op = OP_NONE;
		return 0;
	}
	c->op = OP_NONE;
	for (size_t i = 0; i < c->count; i++) {
		struct access_session_info info;

		if (!access_session(d->access, c->keys[i], &info) || strcmp(info.user, user) != 0)
			continue;
		cmd.key = c->keys[i];
		n += access_do(d->access, d->now, &cmd) == 0;
	}
	return n;
}

static void m_terminate(struct client *c, const struct control_request *r)
{
	struct daemon *d = c->control->d;
	const char *session = text_parameter(r, "session"), *user = text_parameter(r, "user");
	json_t *tunnel = json_object_get(r->parameters, "tunnel");
	struct access_cmd cmd = { .kind = ACCESS_CMD_TERMINATE };
	size_t n;

	if ((session != NULL) + (user != NULL) + json_is_integer(tunnel) != 1) {
		invalid(c, "session, user or tunnel");
		return;
	}
	if (user) {
		n = terminate_user(c, user);
		if (!n)
			reply_error(c, NOT_FOUND, "text", "user \"%s\" has no session", user);
	} else if (session) {
		if (!show_key_parse(session, &cmd.key)) {
			invalid(c, "session");
			return;
		}
		n = access_do(d->access, d->now, &cmd) == 0 ||
		    pwe_do(d->pw, d->now,
			   &(struct pw_cmd){ .kind = PW_CMD_TERMINATE, .key = cmd.key }) == 0;
		if (!n)
			reply_error(c, NOT_FOUND, "text", "there is no session %s", session);
	} else {
		json_int_t id = json_integer_value(tunnel);

		cmd.kind = ACCESS_CMD_TERMINATE_TUNNEL;
		cmd.tunnel = (uint32_t)id;
		n = id > 0 && (id <= UINT16_MAX || id >= ACCESS_V3_IDS) && id <= UINT32_MAX &&
		    access_do(d->access, d->now, &cmd) == 0;
		if (!n && id > UINT16_MAX && id <= UINT32_MAX)
			n = pwe_do(d->pw, d->now,
				   &(struct pw_cmd){ .kind = PW_CMD_TERMINATE_TUNNEL,
						     .tunnel = (uint32_t)id }) == 0;
		if (!n)
			reply_error(c, NOT_FOUND, "text", "there is no tunnel %lld", (long long)id);
	}
	if (n)
		reply_one(c, "count", json_integer((json_int_t)n), false);
}

static void m_drain(struct client *c, const struct control_request *r)
{
	struct daemon *d = c->control->d;
	json_t *rate = json_object_get(r->parameters, "rate");
	json_int_t n = rate ? json_integer_value(rate) : 100;

	if (n < 0 || n > 100000 || (rate && !json_is_integer(rate))) {
		invalid(c, "rate");
		return;
	}
	if (!run_drain_begin(d, !json_is_true(json_object_get(r->parameters, "end")),
			     (uint32_t)n)) {
		reply_error(c, FAILED, "text", "aditd is stopping");
		return;
	}
	reply_one(c, "status", show_status(d), false);
}

static void reload_ended(struct daemon *d, void *who, bool ok, const char *text)
{
	struct client *c = who;
	char line[CONF_ERR_MAX];

	if (ok) {
		reply_one(c, "changes", json_string(text), false);
		return;
	}
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
	reply_error(c, FAILED, "text", "%s", line);
}

static void m_reload(struct client *c, const struct control_request *r)
{
	c->op = OP_RELOAD;
	reload_start(c->control->d, false, reload_ended, c);
}

static void m_wires(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_WIRES);
}

static void m_doctor(struct client *c, const struct control_request *r)
{
	begin_list(c, r, OP_DOCTOR);
	if (c->op == OP_DOCTOR && dp_remote_probe(c->control->d->remote) < 0)
		reply_error(c, FAILED, "text", "the keeper cannot be asked");
}

static void m_compare(struct client *c, const struct control_request *r)
{
	struct daemon *d = c->control->d;
	const char *text = text_parameter(r, "config"), *name = text_parameter(r, "name");
	char err[CONF_ERR_MAX], effects[8192];
	struct conf *next;
	char *diff, *all = NULL;

	if (!text) {
		invalid(c, "config");
		return;
	}
	next = conf_parse(text, name && strlen(name) < CONF_PATH_MAX ? name : "the configuration",
			  CONF_NO_INCLUDE, err, sizeof(err));
	if (!next) {
		reply_error(c, FAILED, "text", "%s", err);
		return;
	}
	diff = conf_diff(d->conf, next);
	reload_effects(d, next, effects, sizeof(effects));
	if (diff && asprintf(&all, "%s%s", diff, effects) >= 0)
		reply_one(c, "changes", json_string(all), false);
	else
		reply_error(c, FAILED, "text", "out of memory");
	free(all);
	free(diff);
	conf_free(next);
}

static void m_info(struct client *c, const struct control_request *r)
{
	reply(c,
	      json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "adit", "product", "aditd",
			"version", ADIT_VERSION, "url", "", "interfaces", "org.varlink.service",
			"org.adit"),
	      false);
}

static void m_description(struct client *c, const struct control_request *r)
{
	const char *name = text_parameter(r, "interface");

	if (name && strcmp(name, "org.adit") == 0)
		reply_one(c, "description", json_string(control_interface), false);
	else
		reply_error(c, "org.varlink.service.InterfaceNotFound", "interface", "%s",
			    name ? name : "");
}

static const struct {
	const char *name;
	void (*call)(struct client *c, const struct control_request *r);
} methods[] = {
	{ "org.adit.Status", m_status },
	{ "org.adit.ShowSessions", m_sessions },
	{ "org.adit.ShowTunnels", m_tunnels },
	{ "org.adit.ShowPeers", m_peers },
	{ "org.adit.ShowPools", m_pools },
	{ "org.adit.ShowDials", m_dials },
	{ "org.adit.ShowErrors", m_errors },
	{ "org.adit.ShowPseudowires", m_wires },
	{ "org.adit.ShowConfig", m_config },
	{ "org.adit.Connect", m_connect },
	{ "org.adit.Call", m_call },
	{ "org.adit.Disconnect", m_disconnect },
	{ "org.adit.Terminate", m_terminate },
	{ "org.adit.Drain", m_drain },
	{ "org.adit.Monitor", m_monitor },
	{ "org.adit.Reload", m_reload },
	{ "org.adit.Doctor", m_doctor },
	{ "org.adit.CompareConfig", m_compare },
	{ "org.varlink.service.GetInfo", m_info },
	{ "org.varlink.service.GetInterfaceDescription", m_description },
};

static void handle(struct client *c, const char *text, size_t len)
{
	struct control_request r;
	char why[128];

	free(c->keys);
	c->keys = NULL;
	c->count = c->pos = 0;
	c->told = 0;
	c->shown[0] = '\0';
	c->until.us = 0;
	if (control_parse(text, len, &r, why) != 0) {
		reply_error(c, "org.adit.BadRequest", "text", "%s", why);
		c->ending = true;
		return;
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(r.method, methods[i].name) == 0) {
			methods[i].call(c, &r);
			json_decref(r.root);
			return;
		}
	}
	reply_error(c, "org.varlink.service.MethodNotFound", "method", "%s", r.method);
	json_decref(r.root);
}

/* ---- clients ---- */

static void client_free(struct client *c)
{
	reload_forget(c->control->d, c);
	list_drop(&c->in);
	if (c->watch)
		io_unwatch(c->watch);
	close(c->fd);
	free(c->req);
	free(c->out);
	free(c->keys);
	free(c);
}

static void client_write(struct client *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			c->dead = true;
		if (n <= 0)
			return;
		c->out_sent += (size_t)n;
	}
	c->out_len = c->out_sent = 0;
}

/* Take what the client sent. */
static void client_read(struct client *c)
{
	char buf[READ_MAX];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0)
		c->eof = true;
	if (n < 0 || (n == 0 && c->op == OP_MONITOR))
		c->dead = true;
	if (n <= 0)
		return;
	if (c->req_len + (size_t)n > c->req_cap) {
		size_t cap = c->req_cap ? c->req_cap : 1024;
		char *grown;

		while (cap < c->req_len + (size_t)n)
			cap *= 2;
		grown = realloc(c->req, cap);
		if (!grown) {
			c->dead = true;
			return;
		}
		c->req = grown;
		c->req_cap = cap;
	}
	memcpy(c->req + c->req_len, buf, (size_t)n);
	c->req_len += (size_t)n;
	c->heard = c->control->d->now;
}

/* Handle calls and make answers, as far as the client's buffer allows. True when anything was
 * done that may have changed the engine. */
static bool client_work(struct client *c)
{
	bool any = false;

	while (!c->dead && !c->ending) {
		char *end;

		c->waits = false;
		while (c->op != OP_NONE && !c->waits && c->out_len - c->out_sent < OUT_HIGH &&
		       !c->dead)
			c->waits = !step(c);
		if (c->op != OP_NONE || c->out_len - c->out_sent >= OUT_HIGH)
			break;
		end = c->req_len ? memchr(c->req, '\0', c->req_len) : NULL;
		if (!end) {
			c->ending = c->eof;
			if (c->req_len >= CONTROL_REQUEST_MAX) {
				reply_error(c, "org.adit.BadRequest", "text",
					    "the request is longer than %zu octets",
					    CONTROL_REQUEST_MAX);
				c->ending = true;
			}
			break;
		}
		handle(c, c->req, (size_t)(end - c->req));
		c->req_len -= (size_t)(end - c->req) + 1;
		memmove(c->req, end + 1, c->req_len);
		any = true;
		if (c->op == OP_CONNECT || c->op == OP_DISCONNECT)
			break; /* its first state is known when the engine has been drained */
	}
	return any;
}

/* Send, and watch for what can happen next. Frees a client that is done. */
static void client_settle(struct client *c)
{
	short on = 0;

	if (!c->dead)
		client_write(c);
	if (c->dead || (c->ending && c->out_len == 0)) {
		client_free(c);
		return;
	}
	/* while a call is under way read on only to see the client leave */
	if (!c->ending && !c->eof && c->req_len < CONTROL_REQUEST_MAX)
		on |= POLLIN;
	/* also when everything is sent but there is more to make: others have their turn first */
	if (c->out_len || (c->op != OP_NONE && !c->waits))
		on |= POLLOUT;
	if (io_watch_set(c->watch, on) < 0)
		client_free(c);
}

void control_client(void *client, short events)
{
	struct client *c = client;
	struct daemon *d = c->control->d;

	run_probe(d);
	if (events & POLLOUT)
		client_write(c);
	if (events & POLLIN)
		client_read(c);
	if (client_work(c))
		run_drain(d); /* settles all clients, this one too */
	else
		client_settle(c);
}

bool control_push(struct control *ctl)
{
	bool any = false;

	list_for_each_safe (it, &ctl->clients) {
		struct client *c = container_of(it, struct client, in);

		any |= client_work(c);
		client_settle(c);
	}
	return any;
}

/* A place for one more: who has asked for nothing for the longest time gives way. */
static bool make_room(struct control *ctl)
{
	static const char gone[] = "{\"error\":\"org.adit.Failed\",\"parameters\":{\"text\":"
				   "\"another client needed the place of this idle one\"}}";
	struct client *idlest = NULL;

	if (!io_watch_full(ctl->d->io))
		return true;
	list_for_each (it, &ctl->clients) {
		struct client *c = container_of(it, struct client, in);

		if (c->op == OP_NONE && c->out_len == 0 &&
		    mono_due(mono_add(c->heard, IDLE_US), ctl->d->now) &&
		    (!idlest || c->heard.us < idlest->heard.us))
			idlest = c;
	}
	if (!idlest)
		return false;
	send(idlest->fd, gone, sizeof(gone), MSG_NOSIGNAL | MSG_DONTWAIT);
	client_free(idlest);
	return true;
}

void control_accept(struct control *ctl)
{
	struct client *c;
	bool room;
	int fd;

	run_probe(ctl->d);
	while ((fd = accept4(ctl->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		static const char full[] =
			"{\"error\":\"org.adit.Failed\",\"parameters\":{\"text\":"
			"\"too many control clients; end one of them\"}}";
		static const char out[] = "{\"error\":\"org.adit.Failed\",\"parameters\":{"
					  "\"text\":\"aditd is out of memory\"}}";

		room = make_room(ctl);
		c = room ? calloc(1, sizeof(*c)) : NULL;
		if (!c) {
			send(fd, room ? out : full, room ? sizeof(out) : sizeof(full),
			     MSG_NOSIGNAL | MSG_DONTWAIT);
			close(fd);
			continue;
		}
		c->control = ctl;
		c->fd = fd;
		c->heard = ctl->d->now;
		list_init(&c->in);
		list_push(&ctl->clients, &c->in);
		c->watch = io_watch(ctl->d->io, fd, c);
		if (!c->watch || io_watch_set(c->watch, POLLIN) < 0)
			client_free(c);
	}
}

struct control *control_new(struct daemon *d, int listener)
{
	struct control *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return NULL;
	ctl->d = d;
	ctl->fd = listener;
	list_init(&ctl->clients);
	return ctl;
}

void control_free(struct control *ctl)
{
	if (!ctl)
		return;
	list_for_each_safe (it, &ctl->clients) {
		struct client *c = container_of(it, struct client, in);

		client_write(c);
		client_free(c);
	}
	if (ctl->d->io)
		io_unlisten(ctl->d->io); /* before its descriptor is closed */
	close(ctl->fd);
	free(ctl);
}

int control_fd(const struct control *ctl)
{
	return ctl->fd;
}

struct mono control_deadline(const struct control *ctl)
{
	struct mono at = MONO_NEVER;

	list_for_each (it, &ctl->clients) {
		const struct client *c = container_of(it, struct client, in);

		if (c->op == OP_CONNECT && c->until.us)
			at = mono_min(at, c->until);
	}
	return at;
}
