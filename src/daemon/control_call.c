/* SPDX-License-Identifier: MIT
 *
 * The calls of the control socket: what each method of org.adit does, and the next piece of the
 * answer of one that is under way. Clients and their buffers are in control.c, what is shown of an
 * object in show.c.
 */
#include "control_int.h"

#include "base/text.h"
#include "dp/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY_US (1500 * US_MS) /* a session is up: wait so long for its other address family */

#define NOT_FOUND "org.adit.NotFound"
#define FAILED	  "org.adit.Failed"

static void invalid(struct client *c, const char *parameter)
{
	control_error(c, "org.varlink.service.InvalidParameter", "parameter", "%s", parameter);
}

/* ---- the call under way ---- */

static void list_end(struct client *c)
{
	control_reply_one(c, "count", json_integer((json_int_t)c->told), false);
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
	control_reply_one(c, name, o, true);
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
	control_reply_one(c, c->op == OP_SESSIONS ? "session" : "tunnel", o, true);
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
			control_reply_one(c, "lost", json_integer((json_int_t)lost), true);
			at = c->trace_pos;
			continue;
		}
		if (trace_level_of((enum trace_kind)r.kind) >= c->level) {
			c->trace_pos = at;
			if (!trace_read(d->trace, &c->trace_pos, &r, raw, sizeof(raw), NULL))
				return false;
			control_reply_one(c, "record", show_trace(d, &r, raw), true);
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
		control_error(c, NOT_FOUND, "text", "session \"%s\" is no longer configured",
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
	control_reply(c, o, !end);
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
		control_error(c, NOT_FOUND, "text", "pseudowire \"%s\" is no longer configured",
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
	control_reply(c, o, !end);
	return true;
}

/* Make the next answer. False when there is none now. */
bool control_step(struct client *c)
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
		control_error(c, "org.varlink.service.ExpectedMore", "text",
			      "lists are streamed; call with \"more\"");
		return;
	}
	c->op = op;
	if ((op == OP_SESSIONS || op == OP_TUNNELS) && !take_keys(c))
		control_error(c, FAILED, "text", "out of memory");
}

static void m_status(struct client *c, const struct control_request *r)
{
	control_reply_one(c, "status", show_status(c->control->d), false);
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
		control_reply_one(c, "text", json_string(text), false);
	else
		control_error(c, FAILED, "text", "out of memory");
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
		control_error(c, NOT_FOUND, "text",
			      "no session or pseudowire block that is dialled has the name \"%s\"; "
			      "did you mean \"%s\"?",
			      name, near);
	else
		control_error(c, NOT_FOUND, "text",
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
		control_error(c, FAILED, "text", "aditd is stopping");
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
		control_error(c, FAILED, "text", "out of memory");
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
		control_reply(c, json_pack("{s:o}", "session", show_key(access_called(d->access))),
			      false);
	else if (rc == 1)
		control_error(c, NOT_FOUND, "text", "there is no peer block \"%s\"", cmd.name);
	else if (rc == 2)
		control_error(c, FAILED, "text", "the limit of sessions is reached");
	else if (rc == 3)
		control_error(c, FAILED, "text",
			      "no tunnel of peer \"%s\" is up; for a call the peer has to open one",
			      cmd.name);
	else if (rc == 4)
		control_error(c, FAILED, "text",
			      "peer \"%s\" places no calls: it sent no Bearer Capabilities",
			      cmd.name);
	else
		control_error(c, FAILED, "text", "out of memory");
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
			control_error(c, NOT_FOUND, "text", "user \"%s\" has no session", user);
	} else if (session) {
		if (!show_key_parse(session, &cmd.key)) {
			invalid(c, "session");
			return;
		}
		n = access_do(d->access, d->now, &cmd) == 0 ||
		    pwe_do(d->pw, d->now,
			   &(struct pw_cmd){ .kind = PW_CMD_TERMINATE, .key = cmd.key }) == 0;
		if (!n)
			control_error(c, NOT_FOUND, "text", "there is no session %s", session);
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
			control_error(c, NOT_FOUND, "text", "there is no tunnel %lld",
				      (long long)id);
	}
	if (n)
		control_reply_one(c, "count", json_integer((json_int_t)n), false);
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
		control_error(c, FAILED, "text", "aditd is stopping");
		return;
	}
	control_reply_one(c, "status", show_status(d), false);
}

static void reload_ended(struct daemon *d, void *who, bool ok, const char *text)
{
	struct client *c = who;
	char line[CONF_ERR_MAX];

	if (ok) {
		control_reply_one(c, "changes", json_string(text), false);
		return;
	}
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
	control_error(c, FAILED, "text", "%s", line);
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
		control_error(c, FAILED, "text", "the keeper cannot be asked");
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
		control_error(c, FAILED, "text", "%s", err);
		return;
	}
	diff = conf_diff(d->conf, next);
	reload_effects(d, next, effects, sizeof(effects));
	if (diff && asprintf(&all, "%s%s", diff, effects) >= 0)
		control_reply_one(c, "changes", json_string(all), false);
	else
		control_error(c, FAILED, "text", "out of memory");
	free(all);
	free(diff);
	conf_free(next);
}

static void m_info(struct client *c, const struct control_request *r)
{
	control_reply(c,
		      json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "adit", "product",
				"aditd", "version", ADIT_VERSION, "url", "", "interfaces",
				"org.varlink.service", "org.adit"),
		      false);
}

static void m_description(struct client *c, const struct control_request *r)
{
	const char *name = text_parameter(r, "interface");

	if (name && strcmp(name, "org.adit") == 0)
		control_reply_one(c, "description", json_string(control_interface), false);
	else
		control_error(c, "org.varlink.service.InterfaceNotFound", "interface", "%s",
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

void control_handle(struct client *c, const char *text, size_t len)
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
		control_error(c, "org.adit.BadRequest", "text", "%s", why);
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
	control_error(c, "org.varlink.service.MethodNotFound", "method", "%s", r.method);
	json_decref(r.root);
}
