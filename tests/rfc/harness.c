/* SPDX-License-Identifier: MIT
 *
 * The engine side of the L2TP transcripts, see harness.h.
 */
#include "harness.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/wire.h"

/* ---- names of objects ---- */

static unsigned tunnel_label(struct harness *h, adit_handle handle)
{
	return label(h->tunnel, &h->tunnels, handle);
}

static unsigned session_label(struct harness *h, adit_handle handle)
{
	return label(h->session, &h->sessions, handle);
}

static adit_handle handle_of(const struct harness *h, const char *word)
{
	unsigned n = (unsigned)strtoul(word + 1, NULL, 10);

	if (word[0] == 't' && n && n <= h->tunnels)
		return h->tunnel[n - 1];
	if (word[0] == 's' && n && n <= h->sessions)
		return h->session[n - 1];
	return 0;
}

/* ---- telling events ---- */

static void add_down(struct text *t, const struct l2tp_event *e)
{
	add(t, " cause=%s", cause_word(e->cause));
	if (e->result)
		add(t, " result=%u/%u", e->result, e->error);
	add(t, e->by_peer ? " by=peer" : "");
	add_string(t, "text", e->text);
}

static const char *const event_names[] = {
	[L2TP_EV_TUNNEL_ASK] = "tunnel-ask",	 [L2TP_EV_TUNNEL_UP] = "tunnel-up",
	[L2TP_EV_TUNNEL_QUIET] = "tunnel-quiet", [L2TP_EV_TUNNEL_DOWN] = "tunnel-down",
	[L2TP_EV_SESSION_ASK] = "session-ask",	 [L2TP_EV_SESSION_UP] = "session-up",
	[L2TP_EV_SESSION_ACCM] = "session-accm", [L2TP_EV_SESSION_ERRORS] = "session-errors",
	[L2TP_EV_SESSION_DOWN] = "session-down",
};

static void event_tell(struct harness *h, const struct l2tp_event *e)
{
	struct text t = { .n = 0 };
	char where[200];

	add(&t, "! %s", event_names[e->kind]);
	if (e->session)
		add(&t, " s%u", session_label(h, e->session));
	add(&t, " t%u", tunnel_label(h, e->tunnel));
	switch (e->kind) {
	case L2TP_EV_TUNNEL_ASK:
	case L2TP_EV_TUNNEL_UP:
		add_string(&t, "host", e->host_name);
		add_string(&t, "vendor", e->vendor_name);
		path_say(&h->log, e->path, where, sizeof(where));
		add(&t, "%s", where);
		break;
	case L2TP_EV_TUNNEL_QUIET:
		break;
	case L2TP_EV_TUNNEL_DOWN:
	case L2TP_EV_SESSION_DOWN:
		add_down(&t, e);
		break;
	case L2TP_EV_SESSION_ASK:
	case L2TP_EV_SESSION_UP:
		add_string(&t, "calling", e->calling);
		add_string(&t, "called", e->called);
		add_string(&t, "sub", e->sub_address);
		add_number(&t, "serial", e->serial);
		add_number(&t, "tx", e->tx_speed);
		add_number(&t, "rx", e->rx_speed);
		add_number(&t, "framing", e->framing);
		add(&t, "%s", e->outgoing ? " outgoing" : "");
		add_number(&t, "min", e->min_bps);
		add_number(&t, "max", e->max_bps);
		add_number(&t, "bearer", e->bearer);
		add(&t, "%s%s", e->sequencing ? " sequencing" : "",
		    e->require_sequencing ? " require" : "");
		if (e->proxy_len) {
			add(&t, " proxy=");
			add_octets(&t, e->proxy, e->proxy_len);
		}
		break;
	case L2TP_EV_SESSION_ACCM:
		add(&t, " send=%08x receive=%08x", e->a, e->b);
		break;
	case L2TP_EV_SESSION_ERRORS:
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
	h->profile = l2tp_profile_new(&h->params, &err);
	if (!h->profile)
		note(&h->log, "= profile %d", err);
	return h->profile;
}

/* An owner that knows at once: the answer is given before any output is taken. */
static void accept_at_once(struct harness *h, const struct l2tp_event *e)
{
	struct l2tp_cmd cmd = { .tunnel = e->tunnel, .session = e->session };

	if (h->waits || (e->kind != L2TP_EV_TUNNEL_ASK && e->kind != L2TP_EV_SESSION_ASK))
		return;
	if (!make_profile(h))
		return;
	cmd.kind = e->kind == L2TP_EV_TUNNEL_ASK ? L2TP_CMD_TUNNEL_ACCEPT : L2TP_CMD_SESSION_ACCEPT;
	cmd.profile = h->profile;
	if (l2tp_do(h->engine, h->log.now, &cmd))
		fail(&h->log, "cannot accept what was asked");
}

/* The record of an object, or a free one; beyond HARNESS_RECORDS nothing is kept. */
static struct harness_record *record_of(struct harness *h, enum l2tp_object kind,
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
	static uint8_t bytes[L2TP_SAVE_TUNNEL_MAX];
	struct harness_record *r;
	enum l2tp_object kind;
	adit_handle handle;
	bool gone;

	while (l2tp_dirty(h->engine, &kind, &handle, &gone)) {
		struct wcur c = wcur_of(bytes, kind == L2TP_OBJ_TUNNEL ? L2TP_SAVE_TUNNEL_MAX
								       : L2TP_SAVE_SESSION_MAX);

		r = record_of(h, kind, handle);
		if (r)
			record_drop(r);
		if (gone)
			continue;
		l2tp_save(h->engine, kind, handle, &c);
		if (c.bad)
			fail(&h->log, "a record does not fit");
		if (!r)
			continue;
		*r = (struct harness_record){ handle, kind, c.len, malloc(c.len ? c.len : 1) };
		memcpy(r->bytes, bytes, c.len);
	}
}

static void drain(struct harness *h)
{
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp_event e;
	char words[8000], where[200];
	struct path path;
	size_t n;

	for (unsigned turns = 0;; turns++) {
		if (turns > 100000) {
			fail(&h->log, "the engine never has enough");
			return;
		}
		if (l2tp_event(h->engine, &e)) {
			event_tell(h, &e);
			accept_at_once(h, &e);
			continue;
		}
		keep_records(h);
		n = l2tp_output(h->engine, h->log.now, buf, sizeof(buf), &path);
		if (!n)
			return;
		capture(&h->log, &path, buf, n, true);
		wp_tell(&h->peer, buf, n, words, sizeof(words));
		if (h->hidden)
			continue;
		path_say(&h->log, &path, where, sizeof(where));
		note(&h->log, "< %s%s", words, where);
	}
}

bool harness_until(struct harness *h, struct mono t)
{
	while (!h->log.count && !h->log.failed) {
		struct mono next = l2tp_deadline(h->engine);
		struct mono before = h->log.now;

		if (next.us > t.us) {
			h->log.now = t;
			return false;
		}
		if (next.us > h->log.now.us)
			h->log.now = next;
		l2tp_expire(h->engine, h->log.now);
		drain(h);
		next = l2tp_deadline(h->engine);
		if (mono_due(next, h->log.now) && h->log.now.us == before.us) {
			fail(&h->log, "a deadline stays in the past");
			return false;
		}
	}
	return h->log.count;
}

/* ---- stimuli ---- */

static void input(struct harness *h, const struct path *path, const uint8_t *bytes, size_t len)
{
	/* on the heap, of its exact length, so that the sanitizer sees a read past it */
	uint8_t *copy = malloc(len ? len : 1);
	struct l2tp_frame f = { 0 };
	bool control = len && bytes[0] & 0x80;
	struct text t = { .n = 0 };
	int rc;

	capture(&h->log, path, bytes, len, false);
	if (len)
		memcpy(copy, bytes, len);
	rc = l2tp_input(h->engine, h->log.now, path, copy, len, &f);
	if (rc == L2TP_IN_FRAME) {
		if (f.off > len || f.len > len - f.off) {
			fail(&h->log, "a frame outside of the message");
		} else {
			add(&t, "= frame s%u ", session_label(h, f.session));
			add_octets(&t, copy + f.off, f.len);
			note(&h->log, "%s", t.buf);
		}
	} else if (rc < 0) {
		note(&h->log, "= %d", rc);
	} else if (!control) {
		note(&h->log, rc == L2TP_IN_DROP ? "= dropped" : "= taken");
	}
	free(copy);
	drain(h);
}

/* data sid=2 [L] [ns=5] [nr=1] [O=3] [length=+4] payload=x...; tid as usual */
static size_t data_build(struct harness *h, char **words, unsigned count, uint8_t *buf, size_t cap)
{
	long tid = -1, sid = 0, ns = -1, nr = 0, offset = -1, more = 0;
	uint8_t payload[1600];
	size_t payload_len = 0;
	struct wcur c = wcur_of(buf, cap);
	bool length = false;
	size_t at;

	for (unsigned i = 0; i < count; i++) {
		const char *v;

		if (!strcmp(words[i], "L"))
			length = true;
		else if ((v = value(words[i], "tid")))
			tid = strtol(v, NULL, 0);
		else if ((v = value(words[i], "sid")))
			sid = strtol(v, NULL, 0);
		else if ((v = value(words[i], "ns")))
			ns = strtol(v, NULL, 0);
		else if ((v = value(words[i], "nr")))
			nr = strtol(v, NULL, 0);
		else if ((v = value(words[i], "O")))
			offset = strtol(v, NULL, 0);
		else if ((v = value(words[i], "length")))
			more = strtol(v, NULL, 0);
		else if ((v = value(words[i], "payload")))
			payload_len = wp_hex(v, payload, sizeof(payload));
		else
			return 0;
	}
	if (tid < 0)
		tid = h->peer.tunnels ? h->peer.tunnel[h->peer.last].theirs : 0;
	wcur_u16(&c, (uint16_t)(2 | (length ? 0x4000 : 0) | (ns >= 0 ? 0x0800 : 0) |
				(offset >= 0 ? 0x0200 : 0)));
	at = c.len;
	if (length)
		wcur_u16(&c, 0);
	wcur_u16(&c, (uint16_t)tid);
	wcur_u16(&c, (uint16_t)sid);
	if (ns >= 0) {
		wcur_u16(&c, (uint16_t)ns);
		wcur_u16(&c, (uint16_t)nr);
	}
	if (offset >= 0) {
		wcur_u16(&c, (uint16_t)offset);
		for (long i = 0; i < offset && i < 1000; i++)
			wcur_u8(&c, 0xee);
	}
	wcur_bytes(&c, payload, payload_len);
	if (length)
		wcur_patch_u16(&c, at, (uint16_t)((long)c.len + more));
	return c.bad ? 0 : c.len;
}

bool harness_send(struct harness *h, char **words, unsigned count)
{
	struct path path = h->log.usual;
	uint8_t buf[4096];
	unsigned left = 0;
	size_t n;

	for (unsigned i = 0; i < count; i++) {
		const char *v;

		if ((v = value(words[i], "from"))) {
			if (!addr_read(v, &path.remote))
				return false;
		} else if ((v = value(words[i], "at"))) {
			if (!addr_read(v, &path.local))
				return false;
		} else if ((v = value(words[i], "via"))) {
			path.via = (uint32_t)strtoul(v, NULL, 10);
		} else {
			words[left++] = words[i];
		}
	}
	if (!left)
		return false;
	if (!strcmp(words[0], "octets"))
		n = left > 1 ? wp_hex(words[1], buf, sizeof(buf)) : 0;
	else if (!strcmp(words[0], "data"))
		n = data_build(h, words + 1, left - 1, buf, sizeof(buf));
	else
		n = wp_build(&h->peer, words, left, buf, sizeof(buf));
	if (!n && strcmp(words[0], "octets"))
		return false;
	input(h, &path, buf, n);
	return true;
}

/* do send s1 [P] x...: a frame of our own */
static void do_send(struct harness *h, adit_handle session, char **words, unsigned count)
{
	uint8_t buf[L2TP_HEADROOM + 1600];
	bool priority = count && !strcmp(words[0], "P");
	char text[4000], where[200];
	struct path path;
	size_t len, head;

	len = count ? wp_hex(words[count - 1], buf + L2TP_HEADROOM, 1600) : 0;
	head = l2tp_wrap(h->engine, session, buf + L2TP_HEADROOM, len, priority, &path);
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

/* Load one record; the object keeps its name (t1, s1) under its new handle. */
static void load(struct harness *h, const struct harness_record *r)
{
	struct rcur c = rcur_of(r->bytes, r->len);
	bool tunnel = r->kind == L2TP_OBJ_TUNNEL;
	adit_handle *list = tunnel ? h->tunnel : h->session;
	unsigned count = tunnel ? h->tunnels : h->sessions;
	adit_handle handle = 0;
	int rc;

	if (tunnel)
		rc = l2tp_load_tunnel(h->engine, h->log.now, &c, h->profile, 0, &handle);
	else
		rc = l2tp_load_session(h->engine, h->log.now, &c, 0, &handle);
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
	l2tp_free(h->engine);
	h->config.seed[0]++;
	h->engine = l2tp_new(&h->config);
	l2tp_lenient(h->engine, h->params.quirks);
	for (int kind = L2TP_OBJ_TUNNEL; kind <= L2TP_OBJ_SESSION; kind++) {
		for (size_t i = 0; i < HARNESS_RECORDS; i++) {
			if (old[i].handle && (int)old[i].kind == kind)
				load(h, &old[i]);
		}
	}
	for (size_t i = 0; i < HARNESS_RECORDS; i++)
		record_drop(&old[i]);
	drain(h);
}

static bool command_kind(const char *verb, const char *object, enum l2tp_cmd_kind *ret)
{
	bool tunnel = object[0] == 't';

	if (!strcmp(verb, "open"))
		*ret = L2TP_CMD_TUNNEL_OPEN;
	else if (!strcmp(verb, "accept"))
		*ret = tunnel ? L2TP_CMD_TUNNEL_ACCEPT : L2TP_CMD_SESSION_ACCEPT;
	else if (!strcmp(verb, "refuse"))
		*ret = tunnel ? L2TP_CMD_TUNNEL_REFUSE : L2TP_CMD_SESSION_REFUSE;
	else if (!strcmp(verb, "close"))
		*ret = tunnel ? L2TP_CMD_TUNNEL_CLOSE : L2TP_CMD_SESSION_CLOSE;
	else if (!strcmp(verb, "heard"))
		*ret = L2TP_CMD_TUNNEL_HEARD;
	else if (!strcmp(verb, "call"))
		*ret = L2TP_CMD_SESSION_OPEN;
	else if (!strcmp(verb, "answered"))
		*ret = L2TP_CMD_SESSION_ANSWERED;
	else if (!strcmp(verb, "accm"))
		*ret = L2TP_CMD_SESSION_ACCM;
	else if (!strcmp(verb, "errors"))
		*ret = L2TP_CMD_SESSION_ERRORS;
	else
		return false;
	return true;
}

static bool command_word(struct harness *h, struct l2tp_cmd *cmd, char *word)
{
	char *eq = strchr(word, '='), *end;
	const char *v;

	if (!strcmp(word, "sequencing"))
		return cmd->sequencing = true;
	if (!strcmp(word, "trusted"))
		return cmd->trusted = true;
	if (!strcmp(word, "outgoing"))
		return cmd->outgoing = true;
	if (!eq)
		return false;
	v = unquote(eq + 1);
	*eq = 0;
	if (!strcmp(word, "result")) {
		cmd->result = (uint16_t)strtoul(v, &end, 10);
		cmd->error = *end == '/' ? (uint16_t)strtoul(end + 1, NULL, 10) : 0;
	} else if (!strcmp(word, "text")) {
		cmd->text = v;
	} else if (!strcmp(word, "at")) {
		cmd->at.us = START_US + (int64_t)(strtod(v, NULL) * 1e6 + 0.5);
	} else if (!strcmp(word, "to")) {
		return addr_read(v, &cmd->path.remote);
	} else if (!strcmp(word, "by")) {
		return addr_read(v, &cmd->path.local);
	} else if (!strcmp(word, "calling")) {
		cmd->calling = v;
	} else if (!strcmp(word, "called")) {
		cmd->called = v;
	} else if (!strcmp(word, "sub")) {
		cmd->sub_address = v;
	} else if (!strcmp(word, "tx")) {
		cmd->tx_speed = (uint32_t)strtoul(v, NULL, 10);
	} else if (!strcmp(word, "rx")) {
		cmd->rx_speed = (uint32_t)strtoul(v, NULL, 10);
	} else if (!strcmp(word, "framing")) {
		cmd->framing = (uint32_t)strtoul(v, NULL, 10);
	} else if (!strcmp(word, "bearer")) {
		cmd->bearer = (uint32_t)strtoul(v, NULL, 10);
	} else if (!strcmp(word, "min")) {
		cmd->min_bps = (uint32_t)strtoul(v, NULL, 10);
	} else if (!strcmp(word, "max")) {
		cmd->max_bps = (uint32_t)strtoul(v, NULL, 10);
	} else if (!strcmp(word, "send")) {
		cmd->accm_send = (uint32_t)strtoul(v, NULL, 16);
	} else if (!strcmp(word, "receive")) {
		cmd->accm_recv = (uint32_t)strtoul(v, NULL, 16);
	} else if (!strcmp(word, "counts")) { /* 1,2,3,4,5,6 */
		for (size_t i = 0; i < 6 && *v; i++) {
			cmd->errors[i] = (uint32_t)strtoul(v, &end, 10);
			v = *end == ',' ? end + 1 : end;
		}
	} else {
		return false;
	}
	(void)h;
	return true;
}

bool harness_do(struct harness *h, char **words, unsigned count)
{
	struct l2tp_cmd cmd = { .path = h->log.usual, .cause = ADIT_CAUSE_ADMIN };
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
	if (!strcmp(words[0], "sleep") && count > 1) {
		h->log.now = mono_add(h->log.now, (int64_t)(strtod(words[1], NULL) * 1e6 + 0.5));
		l2tp_expire(h->engine, h->log.now);
		drain(h);
		return true;
	}
	if (!strcmp(words[0], "send") && count > 1) {
		do_send(h, handle_of(h, words[1]), words + 2, count - 2);
		return true;
	}
	if (!command_kind(words[0], count > 1 ? words[1] : "", &cmd.kind))
		return false;
	if (cmd.kind != L2TP_CMD_TUNNEL_OPEN) {
		if (count < 2)
			return false;
		*(words[1][0] == 't' ? &cmd.tunnel : &cmd.session) = handle_of(h, words[1]);
		at = 2;
	}
	for (; at < count; at++) {
		if (!command_word(h, &cmd, words[at]))
			return false;
	}
	cmd.profile = h->profile;
	rc = l2tp_do(h->engine, h->log.now, &cmd);
	if (rc)
		note(&h->log, "= %d", rc);
	else if (cmd.kind == L2TP_CMD_TUNNEL_OPEN)
		tunnel_label(h, cmd.ret_handle);
	else if (cmd.kind == L2TP_CMD_SESSION_OPEN)
		session_label(h, cmd.ret_handle);
	drain(h);
	return true;
}

/* ---- questions ---- */

static bool ask_counters(struct harness *h, char **words, unsigned count, struct text *t)
{
	struct l2tp_counters c;

	l2tp_counters(h->engine, &c);
	for (unsigned i = 0; i < count; i++) {
		const struct {
			const char *name;
			uint64_t v;
		} all[] = {
			{ "tunnels", c.tunnels },
			{ "sessions", c.sessions },
			{ "halfopen", c.halfopen },
			{ "memory", c.memory },
			{ "drop-header", c.drop_header },
			{ "drop-unknown-tunnel", c.drop_unknown_tunnel },
			{ "drop-unknown-session", c.drop_unknown_session },
			{ "drop-path", c.drop_path },
			{ "drop-state", c.drop_state },
			{ "drop-sequence", c.drop_sequence },
			{ "drop-avp", c.drop_avp },
			{ "drop-window", c.drop_window },
			{ "drop-limit", c.drop_limit },
			{ "retransmits", c.retransmits },
			{ "duplicates", c.duplicates },
		};
		bool found = false;

		words[i][strcspn(words[i], "=")] = 0;
		for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
			if (strcmp(words[i], all[k].name))
				continue;
			add(t, " %s=%llu", words[i], (unsigned long long)all[k].v);
			found = true;
		}
		if (!found)
			return false;
	}
	return true;
}

static const char *const tunnel_states[] = {
	[L2TP_TS_ASKING] = "asking",	   [L2TP_TS_WAIT_REPLY] = "wait-reply",
	[L2TP_TS_WAIT_CONN] = "wait-conn", [L2TP_TS_UP] = "up",
	[L2TP_TS_CLOSING] = "closing",	   [L2TP_TS_LINGER] = "linger",
};

static const char *const session_states[] = {
	[L2TP_SS_ASKING] = "asking",
	[L2TP_SS_WAIT_TUNNEL] = "wait-tunnel",
	[L2TP_SS_WAIT_REPLY] = "wait-reply",
	[L2TP_SS_WAIT_CONNECT] = "wait-connect",
	[L2TP_SS_UP] = "up",
	[L2TP_SS_CLOSING] = "closing",
};

/* quirks=lax-length,no-hello */
static void add_quirks(struct text *t, const char *name, uint32_t bits)
{
	add(t, " %s=", name);
	for (unsigned i = 0; l2tp_quirk_name(i); i++) {
		if (bits & l2tp_quirk_bit(i))
			add(t, "%s%s", t->buf[t->n - 1] == '=' ? "" : ",", l2tp_quirk_name(i));
	}
}

static bool ask_tunnel(struct harness *h, char **words, unsigned count, struct text *t)
{
	struct l2tp_tunnel_info info;
	bool there = l2tp_tunnel_info(h->engine, handle_of(h, words[0]), &info);

	add(t, " %s", words[0]);
	for (unsigned i = 1; i < count; i++) {
		const struct {
			const char *name;
			unsigned v;
		} all[] = {
			{ "sessions", info.sessions },
			{ "ns", info.ns },
			{ "nr", info.nr },
			{ "window", info.peer_window },
			{ "cwnd", info.cwnd },
			{ "ssthresh", info.ssthresh },
			{ "queued", info.queued },
			{ "in-flight", info.in_flight },
			{ "retransmits", info.retransmits },
		};
		bool found = false;

		words[i][strcspn(words[i], "=")] = 0;
		if (!there || !strcmp(words[i], "gone")) {
			add(t, there ? " there" : " gone");
			return true;
		}
		if (!strcmp(words[i], "state")) {
			add(t, " state=%s", tunnel_states[info.state]);
			continue;
		}
		if (!strcmp(words[i], "quirks") || !strcmp(words[i], "used")) {
			add_quirks(t, words[i],
				   words[i][0] == 'q' ? info.quirks : info.quirks_used);
			continue;
		}
		for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
			if (strcmp(words[i], all[k].name))
				continue;
			add(t, " %s=%u", words[i], all[k].v);
			found = true;
		}
		if (!found)
			return false;
	}
	return true;
}

static bool ask_session(struct harness *h, char **words, unsigned count, struct text *t)
{
	struct l2tp_session_info info;
	bool there = l2tp_session_info(h->engine, handle_of(h, words[0]), &info);

	add(t, " %s", words[0]);
	for (unsigned i = 1; i < count; i++) {
		words[i][strcspn(words[i], "=")] = 0;
		if (!there || !strcmp(words[i], "gone")) {
			add(t, there ? " there" : " gone");
			return true;
		}
		if (!strcmp(words[i], "state"))
			add(t, " state=%s", session_states[info.state]);
		else if (!strcmp(words[i], "data-ns"))
			add(t, " data-ns=%u", info.data_ns);
		else if (!strcmp(words[i], "send-seq"))
			add(t, " send-seq=%u", info.send_seq);
		else if (!strcmp(words[i], "accm"))
			add(t, " accm=%08x/%08x", info.accm_send, info.accm_recv);
		else if (!strcmp(words[i], "errors"))
			add(t, " errors=%u,%u,%u,%u,%u,%u", info.errors[0], info.errors[1],
			    info.errors[2], info.errors[3], info.errors[4], info.errors[5]);
		else if (!strcmp(words[i], "proxy")) {
			add(t, " proxy=");
			add_octets(t, info.proxy, info.proxy_len);
		} else
			return false;
	}
	return true;
}

bool harness_ask(struct harness *h, char **words, unsigned count, char *ret, size_t cap)
{
	struct text t = { .n = 0 };
	bool known;

	if (!count)
		return false;
	if (words[0][0] == 't' && words[0][1] >= '1' && words[0][1] <= '9')
		known = ask_tunnel(h, words, count, &t);
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
	memcpy(h->config.seed, "a transcript is always the same", 32);
}

void harness_start(struct harness *h)
{
	h->engine = l2tp_new(&h->config);
	l2tp_lenient(h->engine, h->params.quirks);
}

void harness_free(struct harness *h)
{
	l2tp_free(h->engine);
	l2tp_profile_unref(h->profile);
	lines_free(&h->log);
	for (size_t i = 0; i < HARNESS_RECORDS; i++)
		record_drop(&h->record[i]);
}

bool harness_set(struct harness *h, const char *word)
{
	struct l2tp_params *p = &h->params;
	const struct {
		const char *name;
		bool *to;
	} flags[] = {
		{ "challenge", &p->challenge },
		{ "hide", &p->hide },
		{ "sequencing", &p->sequencing },
		{ "length-bit", &p->length_bit },
		{ "tie-breaker", &p->tie_breaker },
		{ "follow-port", &p->allow_port_change },
		{ "follow-address", &p->allow_address_change },
	};
	const struct {
		const char *name;
		int64_t *to;
	} times[] = {
		{ "hello", &p->hello_us },   { "first", &p->retry_first_us },
		{ "cap", &p->retry_cap_us }, { "setup", &p->setup_us },
		{ "empty", &p->empty_us },
	};
	const struct {
		const char *name;
		uint32_t *to;
	} numbers[] = {
		{ "framing", &p->framing },
		{ "bearer", &p->bearer },
		{ "retries", &p->retry_max },
		{ "max-sessions", &p->max_sessions },
	};
	const char *v;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!strcmp(word, flags[i].name))
			return *flags[i].to = true;
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		if ((v = value(word, times[i].name))) {
			*times[i].to =
				strcmp(v, "never") ? (int64_t)(strtod(v, NULL) * 1e6 + 0.5) : -1;
			return true;
		}
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if ((v = value(word, numbers[i].name))) {
			*numbers[i].to = (uint32_t)strtoul(v, NULL, 0);
			return true;
		}
	}
	if ((v = value(word, "window")))
		p->receive_window = (uint16_t)strtoul(v, NULL, 0);
	else if ((v = value(word, "host")))
		p->host_name = keep(&h->log, v);
	else if ((v = value(word, "peer-name")))
		p->peer_name = keep(&h->log, v);
	else if ((v = value(word, "quirk"))) {
		for (unsigned i = 0; l2tp_quirk_name(i); i++)
			p->quirks |= strcmp(v, l2tp_quirk_name(i)) ? 0 : l2tp_quirk_bit(i);
	} else if (!strcmp(word, "known-quirks-off"))
		p->known_quirks_off = true;
	else if ((v = value(word, "secret"))) {
		p->secret = keep(&h->log, v);
		p->secret_len = strlen(p->secret);
		h->peer.secret = p->secret;
	} else if ((v = value(word, "peer-secret"))) {
		h->peer.secret = keep(&h->log, v);
	} else if ((v = value(word, "me"))) {
		return addr_read(v, &h->log.usual.remote);
	} else if ((v = value(word, "iut"))) {
		return addr_read(v, &h->log.usual.local);
	} else {
		return false;
	}
	return true;
}

bool harness_over_ip(struct harness *h, bool instead)
{
	(void)h;
	(void)instead;
	return false;
}

bool harness_set_engine(struct harness *h, const char *word)
{
	const struct {
		const char *name;
		uint32_t *to;
	} numbers[] = {
		{ "max-tunnels", &h->config.max_tunnels },
		{ "max-sessions", &h->config.max_sessions },
		{ "max-halfopen", &h->config.max_halfopen },
		{ "max-halfopen-source", &h->config.max_halfopen_source },
	};
	const char *v;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if ((v = value(word, numbers[i].name))) {
			*numbers[i].to = (uint32_t)strtoul(v, NULL, 0);
			return true;
		}
	}
	if ((v = value(word, "id-base")))
		h->config.id_base = (uint16_t)strtoul(v, NULL, 0);
	else if ((v = value(word, "id-len")))
		h->config.id_len = (uint16_t)strtoul(v, NULL, 0);
	else
		return false;
	return true;
}
