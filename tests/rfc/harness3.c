/* SPDX-License-Identifier: MIT
 *
 * The L2TPv3 engine side of the transcripts, see harness3.h.
 */
#include "harness3.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/wire.h"

/* ---- names of objects ---- */

static unsigned conn_label(struct harness *h, adit_handle handle)
{
	return label(h->conn, &h->conns, handle);
}

static unsigned session_label(struct harness *h, adit_handle handle)
{
	return label(h->session, &h->sessions, handle);
}

static adit_handle handle_of(const struct harness *h, const char *word)
{
	unsigned n = (unsigned)strtoul(word + 1, NULL, 10);

	if (word[0] == 'c' && n && n <= h->conns)
		return h->conn[n - 1];
	if (word[0] == 's' && n && n <= h->sessions)
		return h->session[n - 1];
	return 0;
}

/* ---- telling events ---- */

/* Octets as text when they are all printable. */
static void add_id(struct text *t, const char *name, const uint8_t *p, size_t n)
{
	bool plain = true;

	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		plain = plain && p[i] >= ' ' && p[i] < 0x7f && p[i] != '"';
	add(t, " %s=", name);
	if (plain)
		add(t, "\"%.*s\"", (int)n, (const char *)p);
	else
		add_octets(t, p, n);
}

static void add_down(struct text *t, const struct l2tp3_event *e)
{
	add(t, " cause=%s", cause_word(e->cause));
	if (e->result)
		add(t, " result=%u/%u", e->result, e->error);
	add(t, e->by_peer ? " by=peer" : "");
	add_string(t, "text", e->text);
}

static const char *const event_names[] = {
	[L2TP3_EV_CONN_ASK] = "conn-ask",
	[L2TP3_EV_CONN_UP] = "conn-up",
	[L2TP3_EV_CONN_QUIET] = "conn-quiet",
	[L2TP3_EV_CONN_MOVED] = "conn-moved",
	[L2TP3_EV_CONN_DOWN] = "conn-down",
	[L2TP3_EV_SESSION_ASK] = "session-ask",
	[L2TP3_EV_SESSION_UP] = "session-up",
	[L2TP3_EV_SESSION_STATUS] = "session-status",
	[L2TP3_EV_SESSION_ERRORS] = "session-errors",
	[L2TP3_EV_SESSION_DOWN] = "session-down",
};

static void add_session(struct text *t, const struct l2tp3_event *e)
{
	add(t, " pw=%u", e->pw_type);
	add_id(t, "end", e->remote_end_id, e->remote_end_id ? e->remote_end_id_len : 0);
	add_id(t, "local-end", e->local_end_id, e->local_end_id ? e->local_end_id_len : 0);
	add_id(t, "group", e->group_id, e->group_id ? e->group_id_len : 0);
	add(t, " circuit=%04x", e->remote_status);
	add_number(t, "serial", e->serial);
	add_number(t, "mtu", e->mtu);
	if (e->tx_speed)
		add(t, " tx=%llu", (unsigned long long)e->tx_speed);
	if (e->rx_speed)
		add(t, " rx=%llu", (unsigned long long)e->rx_speed);
	add(t, "%s", e->outgoing ? " outgoing" : "");
}

static void event_tell(struct harness *h, const struct l2tp3_event *e)
{
	struct text t = { .n = 0 };
	char where[200];

	add(&t, "! %s", event_names[e->kind]);
	if (e->session)
		add(&t, " s%u", session_label(h, e->session));
	add(&t, " c%u", conn_label(h, e->conn));
	switch (e->kind) {
	case L2TP3_EV_CONN_ASK:
	case L2TP3_EV_CONN_UP:
	case L2TP3_EV_CONN_MOVED:
		add_string(&t, "host", e->host_name);
		add_string(&t, "vendor", e->vendor_name);
		if (e->kind != L2TP3_EV_CONN_MOVED)
			add(&t, " router=%u", e->router_id);
		add(&t, "%s%s", e->authentic ? " authentic" : "", e->offer ? " offer" : "");
		path_say(&h->log, e->path, where, sizeof(where));
		add(&t, "%s", where);
		break;
	case L2TP3_EV_CONN_QUIET:
		break;
	case L2TP3_EV_CONN_DOWN:
	case L2TP3_EV_SESSION_DOWN:
		add_down(&t, e);
		break;
	case L2TP3_EV_SESSION_ASK:
	case L2TP3_EV_SESSION_UP:
		add_session(&t, e);
		break;
	case L2TP3_EV_SESSION_STATUS:
		add(&t, " circuit=%04x", e->remote_status);
		break;
	case L2TP3_EV_SESSION_ERRORS:
		add(&t, " sum=%u", e->a);
		break;
	}
	note(&h->log, "%s", t.buf);
}

/* ---- act, then drain ---- */

static bool make_profile(struct harness *h)
{
	int err = 0;

	if (h->profile)
		return true;
	h->profile = l2tp3_profile_new(&h->params, &err);
	if (!h->profile)
		note(&h->log, "= profile %d", err);
	return h->profile;
}

/* An owner that knows at once: the answer is given before any output is taken. */
static void accept_at_once(struct harness *h, const struct l2tp3_event *e)
{
	struct l2tp3_cmd cmd = { .conn = e->conn, .session = e->session, .circuit = h->circuit };

	if (h->waits || (e->kind != L2TP3_EV_CONN_ASK && e->kind != L2TP3_EV_SESSION_ASK))
		return;
	if (!make_profile(h))
		return;
	cmd.kind = e->kind == L2TP3_EV_CONN_ASK ? L2TP3_CMD_CONN_ACCEPT : L2TP3_CMD_SESSION_ACCEPT;
	cmd.profile = h->profile;
	if (l2tp3_do(h->engine, h->log.now, &cmd))
		fail(&h->log, "cannot accept what was asked");
}

/* The record of an object, or a free one; beyond HARNESS_RECORDS nothing is kept. */
static struct harness_record *record_of(struct harness *h, enum l2tp3_object kind,
					adit_handle handle)
{
	struct harness_record *free_one = NULL;

	for (size_t i = 0; i < HARNESS_RECORDS; i++) {
		struct harness_record *r = &h->record[i];

		if (r->handle == handle && r->kind == kind)
			return r;
		if (!r->handle && !free_one)
			free_one = r;
	}
	return free_one;
}

static void record_drop(struct harness_record *r)
{
	free(r->bytes);
	*r = (struct harness_record){ 0 };
}

static void keep_records(struct harness *h)
{
	static uint8_t bytes[L2TP3_SAVE_CONN_MAX];
	struct harness_record *r;
	enum l2tp3_object kind;
	adit_handle handle;
	bool gone;

	while (l2tp3_dirty(h->engine, &kind, &handle, &gone)) {
		struct wcur c = wcur_of(bytes, kind == L2TP3_OBJ_CONN ? L2TP3_SAVE_CONN_MAX
								      : L2TP3_SAVE_SESSION_MAX);

		r = record_of(h, kind, handle);
		if (r)
			record_drop(r);
		if (gone)
			continue;
		l2tp3_save(h->engine, kind, handle, &c);
		if (c.bad)
			fail(&h->log, "a record does not fit");
		if (!r)
			continue;
		*r = (struct harness_record){ handle, kind, c.len, malloc(c.len ? c.len : 1) };
		memcpy(r->bytes, bytes, c.len);
	}
}

/* Without a secret all messages over IP have a checksum, unless a profile says no (4.1.1.2). */
static bool checksum_instead(const struct harness *h)
{
	return h->over_ip_instead && !h->peer.secret && h->params.digest == L2TP3_AUTH_AUTO;
}

static void drain(struct harness *h)
{
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp3_event e;
	char words[8000], where[200];
	struct path path;
	size_t n;

	for (unsigned turns = 0;; turns++) {
		if (turns > 100000) {
			fail(&h->log, "the engine never has enough");
			return;
		}
		if (l2tp3_event(h->engine, &e)) {
			event_tell(h, &e);
			accept_at_once(h, &e);
			harness_v2_heard(h, &e);
			continue;
		}
		if (harness_v2_event(h))
			continue;
		keep_records(h);
		n = l2tp3_output(h->engine, h->log.now, buf, sizeof(buf), &path);
		if (!n && harness_v2_output(h))
			continue;
		if (!n)
			return;
		capture(&h->log, &path, buf, n, true);
		wp_tell(&h->peer, buf, n, words, sizeof(words));
		if (checksum_instead(h) && !strstr(words, " digest="))
			fail(&h->log, "a message over IP without a checksum");
		if (h->hidden)
			continue;
		path_say(&h->log, &path, where, sizeof(where));
		note(&h->log, "< %s%s", words, where);
	}
}

bool harness_until(struct harness *h, struct mono t)
{
	while (!h->log.count && !h->log.failed) {
		struct mono next = harness_v2_deadline(h, l2tp3_deadline(h->engine));
		struct mono before = h->log.now;

		if (next.us > t.us) {
			h->log.now = t;
			return false;
		}
		if (next.us > h->log.now.us)
			h->log.now = next;
		l2tp3_expire(h->engine, h->log.now);
		harness_v2_expire(h);
		drain(h);
		next = harness_v2_deadline(h, l2tp3_deadline(h->engine));
		if (mono_due(next, h->log.now) && h->log.now.us == before.us) {
			fail(&h->log, "a deadline stays in the past");
			return false;
		}
	}
	return h->log.count;
}

/* ---- stimuli ---- */

static void input(struct harness *h, const struct path *path, const uint8_t *bytes, size_t len,
		  bool data)
{
	/* on the heap, of its exact length, so that the sanitizer sees a read past it */
	uint8_t *copy = malloc(len ? len : 1);
	struct l2tp3_frame f = { 0 };
	struct text t = { .n = 0 };
	int rc;

	capture(&h->log, path, bytes, len, false);
	if (len)
		memcpy(copy, bytes, len);
	if (harness_v2_input(h, path, copy, len, data))
		goto out;
	rc = l2tp3_input(h->engine, h->log.now, path, copy, len, &f);
	if (rc == L2TP3_IN_FRAME) {
		if (f.off > len || f.len > len - f.off) {
			fail(&h->log, "a frame outside of the message");
		} else {
			add(&t, "= frame s%u ", session_label(h, f.session));
			add_octets(&t, copy + f.off, f.len);
			note(&h->log, "%s", t.buf);
		}
	} else if (rc < 0) {
		note(&h->log, "= %d", rc);
	} else if (data) {
		note(&h->log, rc >= L2TP3_IN_DROP ? "= dropped" : "= taken");
	}
	if (rc == L2TP3_IN_LOST)
		(void)l2tp3_tell_lost(h->engine, path, copy, len,
				      make_profile(h) ? h->profile : NULL);
out:
	free(copy);
	drain(h);
}

/* data sid=2 [flags=0003] [reserved=ffff] rest=x...: cookie, sublayer and frame in one run */
static size_t data_build(struct harness *h, char **words, unsigned count, uint8_t *buf, size_t cap)
{
	struct wcur c = wcur_of(buf, cap);
	uint16_t flags = 3, reserved = 0;
	uint8_t rest[1600];
	size_t rest_len = 0;
	uint32_t sid = 0;

	for (unsigned i = 0; i < count; i++) {
		const char *v;

		if ((v = value(words[i], "sid")))
			sid = (uint32_t)strtoul(v, NULL, 0);
		else if ((v = value(words[i], "flags")))
			flags = (uint16_t)strtoul(v, NULL, 16);
		else if ((v = value(words[i], "reserved")))
			reserved = (uint16_t)strtoul(v, NULL, 16);
		else if ((v = value(words[i], "rest")))
			rest_len = wp_hex(v, rest, sizeof(rest));
		else
			return 0;
	}
	if (!h->peer.over_ip) {
		wcur_u16(&c, flags);
		wcur_u16(&c, reserved);
	}
	wcur_u32(&c, sid);
	wcur_bytes(&c, rest, rest_len);
	return c.bad ? 0 : c.len;
}

/* An address of a line; over IP there are no ports. */
static bool addr_of(const struct harness *h, const char *text, struct addr *ret)
{
	if (!addr_read(text, ret))
		return false;
	ret->port = h->peer.over_ip ? 0 : ret->port;
	return true;
}

/* Octets of a line, written as they are over UDP, as they are over IP: a control message has the
 * session id 0 before it, data begins with its own. */
static size_t over_ip_instead(uint8_t *buf, size_t n, size_t cap)
{
	if (n && !(buf[0] & 0x80)) {
		n -= n < 4 ? n : 4;
		memmove(buf, buf + 4, n);
	} else if (n && n + 4 <= cap) {
		memmove(buf + 4, buf, n);
		memset(buf, 0, 4);
		n += 4;
	}
	return n;
}

bool harness_send(struct harness *h, char **words, unsigned count)
{
	struct path path = h->log.usual;
	bool data = false;
	uint8_t buf[4096];
	unsigned left = 0;
	size_t n;

	for (unsigned i = 0; i < count; i++) {
		const char *v;

		if ((v = value(words[i], "from"))) {
			if (!addr_of(h, v, &path.remote))
				return false;
		} else if ((v = value(words[i], "at"))) {
			if (!addr_of(h, v, &path.local))
				return false;
		} else if ((v = value(words[i], "via"))) {
			path.via = (uint32_t)strtoul(v, NULL, 10);
		} else {
			words[left++] = words[i];
		}
	}
	if (!left)
		return false;
	if (!strcmp(words[0], "octets")) {
		n = left > 1 ? wp_hex(words[1], buf, sizeof(buf)) : 0;
		if (h->over_ip_instead)
			n = over_ip_instead(buf, n, sizeof(buf));
	} else if (!strcmp(words[0], "data")) {
		n = data_build(h, words + 1, left - 1, buf, sizeof(buf));
		data = true;
	} else if (!strcmp(words[0], "v2")) {
		n = wp_build(&h->v2.peer, words + 1, left - 1, buf, sizeof(buf));
	} else {
		n = wp_build(&h->peer, words, left, buf, sizeof(buf));
	}
	if (!n && strcmp(words[0], "octets"))
		return false;
	input(h, &path, buf, n, data);
	return true;
}

/* do send s1 x...: a frame of our own */
static void do_send(struct harness *h, adit_handle session, char **words, unsigned count)
{
	uint8_t buf[L2TP_HEADROOM + 1600];
	char text[4000], where[200];
	struct path path;
	size_t len, head;

	len = count ? wp_hex(words[count - 1], buf + L2TP_HEADROOM, 1600) : 0;
	head = l2tp3_wrap(h->engine, session, buf + L2TP_HEADROOM, len, &path);
	if (!head) {
		note(&h->log, "= not sent");
	} else if (head > L2TP_HEADROOM) {
		fail(&h->log, "more header than headroom");
	} else {
		capture(&h->log, &path, buf + L2TP_HEADROOM - head, head + len, true);
		wp_tell(&h->peer, buf + L2TP_HEADROOM - head, head + len, text, sizeof(text));
		path_say(&h->log, &path, where, sizeof(where));
		note(&h->log, "< %s%s", text, where);
	}
	drain(h);
}

/* Load one record; the object keeps its name (c1, s1) under its new handle. */
static void load(struct harness *h, const struct harness_record *r)
{
	struct rcur c = rcur_of(r->bytes, r->len);
	bool conn = r->kind == L2TP3_OBJ_CONN;
	adit_handle *list = conn ? h->conn : h->session;
	unsigned count = conn ? h->conns : h->sessions;
	adit_handle handle = 0;
	int rc;

	if (conn)
		rc = l2tp3_load_conn(h->engine, h->log.now, &c, h->profile, 0, &handle);
	else
		rc = l2tp3_load_session(h->engine, h->log.now, &c, 0, &handle);
	for (unsigned i = 0; i < count; i++) {
		if (list[i] == r->handle)
			list[i] = handle;
	}
	if (rc)
		note(&h->log, "= %d", rc);
}

/* The daemon is killed and comes back with what it had kept. */
static void do_restart(struct harness *h)
{
	struct harness_record old[HARNESS_RECORDS];

	memcpy(old, h->record, sizeof(old));
	memset(h->record, 0, sizeof(h->record));
	l2tp3_free(h->engine);
	h->config.seed[0]++;
	harness_start(h);
	for (int kind = L2TP3_OBJ_CONN; kind <= L2TP3_OBJ_SESSION; kind++) {
		for (size_t i = 0; i < HARNESS_RECORDS; i++) {
			if (old[i].handle && (int)old[i].kind == kind)
				load(h, &old[i]);
		}
	}
	for (size_t i = 0; i < HARNESS_RECORDS; i++)
		record_drop(&old[i]);
	drain(h);
}

static bool command_kind(const char *verb, const char *object, enum l2tp3_cmd_kind *ret)
{
	bool conn = object[0] == 'c';

	if (!strcmp(verb, "open"))
		*ret = L2TP3_CMD_CONN_OPEN;
	else if (!strcmp(verb, "accept"))
		*ret = conn ? L2TP3_CMD_CONN_ACCEPT : L2TP3_CMD_SESSION_ACCEPT;
	else if (!strcmp(verb, "refuse"))
		*ret = conn ? L2TP3_CMD_CONN_REFUSE : L2TP3_CMD_SESSION_REFUSE;
	else if (!strcmp(verb, "close"))
		*ret = conn ? L2TP3_CMD_CONN_CLOSE : L2TP3_CMD_SESSION_CLOSE;
	else if (!strcmp(verb, "heard"))
		*ret = L2TP3_CMD_CONN_HEARD;
	else if (!strcmp(verb, "call"))
		*ret = L2TP3_CMD_SESSION_OPEN;
	else if (!strcmp(verb, "answered"))
		*ret = L2TP3_CMD_SESSION_ANSWERED;
	else if (!strcmp(verb, "go"))
		*ret = L2TP3_CMD_SESSION_GO;
	else if (!strcmp(verb, "status"))
		*ret = L2TP3_CMD_SESSION_STATUS;
	else if (!strcmp(verb, "errors"))
		*ret = L2TP3_CMD_SESSION_ERRORS;
	else
		return false;
	return true;
}

/* "text" in place, or x0102 in place: octets and how many. */
static uint8_t octets_of(char *v, const void **ret)
{
	if (v[0] == 'x') {
		uint8_t n = (uint8_t)wp_hex(v, (uint8_t *)v, 255);

		*ret = v;
		return n;
	}
	*ret = unquote(v);
	return (uint8_t)strlen(*ret);
}

static bool command_word(const struct harness *h, struct l2tp3_cmd *cmd, char *word)
{
	char *eq = strchr(word, '='), *end;
	const char *v;

	if (!strcmp(word, "trusted"))
		return cmd->trusted = true;
	if (!strcmp(word, "outgoing"))
		return cmd->outgoing = true;
	if (!strcmp(word, "hold"))
		return cmd->hold = true;
	if (!eq)
		return false;
	*eq++ = 0;
	if (!strcmp(word, "end")) {
		cmd->remote_end_id_len = octets_of(eq, &cmd->remote_end_id);
		return true;
	}
	if (!strcmp(word, "local-end")) {
		cmd->local_end_id_len = octets_of(eq, &cmd->local_end_id);
		return true;
	}
	if (!strcmp(word, "group")) {
		cmd->group_id_len = octets_of(eq, &cmd->group_id);
		return true;
	}
	v = unquote(eq);
	if (!strcmp(word, "result")) {
		cmd->result = (uint16_t)strtoul(v, &end, 10);
		cmd->error = *end == '/' ? (uint16_t)strtoul(end + 1, NULL, 10) : 0;
	} else if (!strcmp(word, "text")) {
		cmd->text = v;
	} else if (!strcmp(word, "at")) {
		cmd->at.us = START_US + (int64_t)(strtod(v, NULL) * 1e6 + 0.5);
	} else if (!strcmp(word, "to")) {
		return addr_of(h, v, &cmd->path.remote);
	} else if (!strcmp(word, "by")) {
		return addr_of(h, v, &cmd->path.local);
	} else if (!strcmp(word, "pw")) {
		cmd->pw_type = (uint16_t)strtoul(v, NULL, 0);
	} else if (!strcmp(word, "counts")) { /* 1,2,3,4,5,6 */
		for (size_t i = 0; i < 6 && *v; i++) {
			cmd->errors[i] = (uint32_t)strtoul(v, &end, 10);
			v = *end == ',' ? end + 1 : end;
		}
	} else if (!strcmp(word, "circuit")) {
		cmd->status = cmd->circuit.status = (uint16_t)strtoul(v, NULL, 0);
	} else {
		return harness_circuit_word(&cmd->circuit, word, v);
	}
	return true;
}

bool harness_do(struct harness *h, char **words, unsigned count)
{
	struct l2tp3_cmd cmd = { .path = h->log.usual,
				 .cause = ADIT_CAUSE_ADMIN,
				 .pw_type = L2TP3_PW_ETHERNET,
				 .status = h->circuit.status,
				 .circuit = h->circuit };
	unsigned at = 1;
	int rc;

	if (!count)
		return false;
	if (!strcmp(words[0], "hide") || !strcmp(words[0], "show")) {
		h->hidden = words[0][0] == 'h';
		return true;
	}
	if (!make_profile(h))
		return true;
	if (!strcmp(words[0], "restart")) {
		do_restart(h);
		return true;
	}
	if (!strcmp(words[0], "offer")) {
		cmd.profile = h->profile;
		if (!harness_v2_offer(h, &cmd))
			return false;
		conn_label(h, cmd.ret_handle);
		drain(h);
		return true;
	}
	if (!strcmp(words[0], "send") && count > 1) {
		do_send(h, handle_of(h, words[1]), words + 2, count - 2);
		return true;
	}
	if (!command_kind(words[0], count > 1 ? words[1] : "", &cmd.kind))
		return false;
	if (cmd.kind != L2TP3_CMD_CONN_OPEN) {
		if (count < 2)
			return false;
		*(words[1][0] == 'c' ? &cmd.conn : &cmd.session) = handle_of(h, words[1]);
		at = 2;
	}
	for (; at < count; at++) {
		if (!command_word(h, &cmd, words[at]))
			return false;
	}
	cmd.profile = h->profile;
	rc = l2tp3_do(h->engine, h->log.now, &cmd);
	if (rc)
		note(&h->log, "= %d", rc);
	else if (cmd.kind == L2TP3_CMD_CONN_OPEN)
		conn_label(h, cmd.ret_handle);
	else if (cmd.kind == L2TP3_CMD_SESSION_OPEN)
		session_label(h, cmd.ret_handle);
	drain(h);
	return true;
}

/* ---- questions ---- */

struct answer {
	const char *name;
	uint64_t v;
};

/* The word's value out of a table; false when it is not there. */
static bool answer(struct text *t, const char *word, const struct answer *all, size_t count)
{
	for (size_t k = 0; k < count; k++) {
		if (!strcmp(word, all[k].name)) {
			add(t, " %s=%llu", word, (unsigned long long)all[k].v);
			return true;
		}
	}
	return false;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool ask_counters(struct harness *h, char **words, unsigned count, struct text *t)
{
	struct l2tp3_counters c;

	l2tp3_counters(h->engine, &c);
	for (unsigned i = 0; i < count; i++) {
		const struct answer all[] = {
			{ "conns", c.conns },
			{ "sessions", c.sessions },
			{ "halfopen", c.halfopen },
			{ "drop-header", c.drop_header },
			{ "drop-unknown-conn", c.drop_unknown_conn },
			{ "drop-unknown-session", c.drop_unknown_session },
			{ "drop-path", c.drop_path },
			{ "drop-state", c.drop_state },
			{ "drop-sequence", c.drop_sequence },
			{ "drop-avp", c.drop_avp },
			{ "drop-window", c.drop_window },
			{ "drop-limit", c.drop_limit },
			{ "drop-digest", c.drop_digest },
			{ "drop-cookie", c.drop_cookie },
			{ "retransmits", c.retransmits },
			{ "duplicates", c.duplicates },
		};

		words[i][strcspn(words[i], "=")] = 0;
		if (!answer(t, words[i], all, COUNT(all)))
			return false;
	}
	return true;
}

static const char *const conn_states[] = {
	[L2TP3_CS_ASKING] = "asking",	    [L2TP3_CS_WAIT_REPLY] = "wait-reply",
	[L2TP3_CS_WAIT_CONN] = "wait-conn", [L2TP3_CS_UP] = "up",
	[L2TP3_CS_CLOSING] = "closing",	    [L2TP3_CS_LINGER] = "linger",
};

static const char *const session_states[] = {
	[L2TP3_SS_ASKING] = "asking",
	[L2TP3_SS_WAIT_CONN] = "wait-conn",
	[L2TP3_SS_WAIT_REPLY] = "wait-reply",
	[L2TP3_SS_WAIT_CONNECT] = "wait-connect",
	[L2TP3_SS_UP] = "up",
	[L2TP3_SS_CLOSING] = "closing",
};

static bool ask_conn(struct harness *h, char **words, unsigned count, struct text *t)
{
	struct l2tp3_conn_info info = { 0 };
	bool there = l2tp3_conn_info(h->engine, handle_of(h, words[0]), &info);

	add(t, " %s", words[0]);
	for (unsigned i = 1; i < count; i++) {
		const struct answer all[] = {
			{ "sessions", info.sessions },
			{ "ns", info.ns },
			{ "nr", info.nr },
			{ "window", info.peer_window },
			{ "cwnd", info.cwnd },
			{ "queued", info.queued },
			{ "in-flight", info.in_flight },
			{ "retransmits", info.retransmits },
			{ "router", info.router_id },
			{ "authentic", info.authentic },
			{ "secret", info.secret_used },
			{ "used", info.quirks_used },
			{ "local", info.local_id },
			{ "remote", info.remote_id },
		};

		words[i][strcspn(words[i], "=")] = 0;
		if (!there || !strcmp(words[i], "gone")) {
			add(t, there ? " there" : " gone");
			return true;
		}
		if (!strcmp(words[i], "state"))
			add(t, " state=%s", conn_states[info.state]);
		else if (!answer(t, words[i], all, COUNT(all)))
			return false;
	}
	return true;
}

static bool ask_session(struct harness *h, char **words, unsigned count, struct text *t)
{
	struct l2tp3_session_info info = { 0 };
	bool there = l2tp3_session_info(h->engine, handle_of(h, words[0]), &info);

	add(t, " %s", words[0]);
	for (unsigned i = 1; i < count; i++) {
		const struct answer all[] = {
			{ "pw", info.pw_type },
			{ "sublayer-in", info.sublayer_in },
			{ "sublayer-out", info.sublayer_out },
			{ "seq-in", info.seq_in },
			{ "seq-out", info.seq_out },
			{ "local-circuit", info.local_status },
			{ "circuit", info.remote_status },
			{ "mtu", info.mtu },
			{ "tx", info.tx_speed },
			{ "rx", info.rx_speed },
			{ "local", info.local_id },
			{ "remote", info.remote_id },
			{ "initiator", info.initiator },
		};

		words[i][strcspn(words[i], "=")] = 0;
		if (!there || !strcmp(words[i], "gone")) {
			add(t, there ? " there" : " gone");
			return true;
		}
		if (!strcmp(words[i], "state")) {
			add(t, " state=%s", session_states[info.state]);
		} else if (!strcmp(words[i], "errors")) {
			add(t, " errors=%u,%u,%u,%u,%u,%u", info.errors[0], info.errors[1],
			    info.errors[2], info.errors[3], info.errors[4], info.errors[5]);
		} else if (!strcmp(words[i], "cookie-out")) {
			add(t, " cookie-out=");
			add_octets(t, info.cookie_out, info.cookie_out_len);
		} else if (!strcmp(words[i], "cookie-in")) {
			add(t, " cookie-in=");
			add_octets(t, info.cookie_in, info.cookie_in_len);
		} else if (!answer(t, words[i], all, COUNT(all))) {
			return false;
		}
	}
	return true;
}

bool harness_ask(struct harness *h, char **words, unsigned count, char *ret, size_t cap)
{
	struct text t = { .n = 0 };
	bool known;

	if (!count)
		return false;
	if (words[0][0] == 'c' && words[0][1] >= '1' && words[0][1] <= '9')
		known = ask_conn(h, words, count, &t);
	else if (words[0][0] == 's' && words[0][1] >= '1' && words[0][1] <= '9')
		known = ask_session(h, words, count, &t);
	else
		known = ask_counters(h, words, count, &t);
	snprintf(ret, cap, "?%s", t.buf);
	return known;
}

/* ---- set-up ---- */

void harness_init(struct harness *h)
{
	memset(h, 0, sizeof(*h));
	lines_init(&h->log);
	h->params.host_name = "iut";
	h->params.router_id = 99;
	h->circuit.status = L2TP3_STATUS_ACTIVE;
	h->peer.v3 = true;
	memcpy(h->config.seed, "a transcript is always the same", 32);
}

void harness_start(struct harness *h)
{
	if (h->peer.over_ip)
		h->log.usual.local.port = h->log.usual.remote.port = 0;
	if (checksum_instead(h) && !h->peer.digest)
		h->peer.digest = "empty";
	h->engine = l2tp3_new(&h->config);
	if (!h->v2.engine)
		harness_v2_start(h);
}

void harness_free(struct harness *h)
{
	l2tp3_free(h->engine);
	l2tp3_profile_unref(h->profile);
	harness_v2_free(h);
	lines_free(&h->log);
	for (size_t i = 0; i < HARNESS_RECORDS; i++)
		record_drop(&h->record[i]);
}
