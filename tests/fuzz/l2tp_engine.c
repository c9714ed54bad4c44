/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a whole L2TP engine. The bytes are a schedule of packets, time, commands of the
 * owner and restarts from records.
 *
 * drives: src/l2tp/l2tp.c src/l2tp/tunnel.c src/l2tp/control.c src/l2tp/call.c src/l2tp/data.c
 * drives: src/l2tp/halfopen.c src/l2tp/reliable.c src/l2tp/save.c src/l2tp/info.c
 *
 * Input: one octet of options (bits of struct l2tp_params), then operations, each an octet whose
 * low four bits say which, with its operands behind it. Messages are either raw octets or built
 * with ids and numbers that fit what the engine has, so that the fuzzer need not guess them.
 * Besides what the sanitizers find it is an error when a packet that comes out cannot be read, when
 * an event has a handle that is unknown, when a record does not fit or does not come back, when an
 * answer to a stranger is larger than its question, or when something is left after everything has
 * ended.
 */
#include <errno.h>
#include <stdlib.h>
#include "l2tp/internal.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)
#define RECORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct record {
	enum l2tp_object kind;
	adit_handle handle;
	size_t len;
	uint8_t *bytes;
};

struct run {
	struct l2tp *l;
	struct l2tp_profile *profile;
	struct mono now;
	struct rcur c;
	adit_handle tunnel, session; /* the latest seen */
	bool answer, refuse;
	struct record records[RECORDS];
	uint32_t record_count;
	bool records_full;
	bool spoiled; /* a record was broken: what it held may go out */
};

static struct l2tp_config config(void)
{
	return (struct l2tp_config){ .seed = { 42 },
				     .max_tunnels = 20,
				     .max_sessions = 40,
				     .max_halfopen = 6,
				     .max_halfopen_source = 3 };
}

static struct path path_of(unsigned which)
{
	struct path p = { .via = 1 };

	p.local = (struct addr){ .family = AF_INET, .port = L2TP_PORT, .ip = { 10, 0, 0, 1 } };
	p.remote = (struct addr){ .family = AF_INET, .port = L2TP_PORT, .ip = { 10, 0, 0, 2 } };
	p.remote.ip[3] = (uint8_t)(2 + which / 2 % 2);
	p.remote.port = (uint16_t)(L2TP_PORT + which % 2);
	return p;
}

/* ---- records ---- */

static void record_drop(struct run *r, uint32_t i)
{
	free(r->records[i].bytes);
	r->records[i] = r->records[--r->record_count];
}

static void record_put(struct run *r, enum l2tp_object kind, adit_handle h, bool gone)
{
	static uint8_t buf[L2TP_SAVE_TUNNEL_MAX];
	struct wcur c = wcur_of(buf, kind == L2TP_OBJ_TUNNEL ? L2TP_SAVE_TUNNEL_MAX
							     : L2TP_SAVE_SESSION_MAX);
	uint32_t i = 0;

	while (i < r->record_count && (r->records[i].kind != kind || r->records[i].handle != h))
		i++;
	if (gone) {
		CHECK(i < r->record_count || r->records_full);
		if (i < r->record_count)
			record_drop(r, i);
		return;
	}
	l2tp_save(r->l, kind, h, &c);
	CHECK(!c.bad && c.len);
	if (i == r->record_count) {
		if (i == RECORDS) {
			r->records_full = true;
			return;
		}
		r->records[r->record_count++] = (struct record){ .kind = kind, .handle = h };
	}
	free(r->records[i].bytes);
	r->records[i].bytes = malloc(c.len);
	CHECK(r->records[i].bytes);
	memcpy(r->records[i].bytes, buf, c.len);
	r->records[i].len = c.len;
}

static void drain(struct run *r);

/* Killed, and back from the records; `broken` spoils one octet of one of them. */
static void restart(struct run *r, uint8_t broken)
{
	struct l2tp_config cfg = config();
	struct record old[RECORDS];
	uint32_t n = r->record_count;
	adit_handle h;

	memcpy(old, r->records, sizeof(old));
	r->record_count = 0;
	r->records_full = false;
	l2tp_free(r->l);
	r->l = l2tp_new(&cfg);
	CHECK(r->l);
	r->spoiled |= broken != 0;
	if (broken && n)
		old[broken % n].bytes[broken * 7u % old[broken % n].len] ^= broken;
	for (int kind = L2TP_OBJ_TUNNEL; kind <= L2TP_OBJ_SESSION; kind++) {
		for (uint32_t i = 0; i < n; i++) {
			struct rcur c = rcur_of(old[i].bytes, old[i].len);
			int rc;

			if (old[i].kind != (enum l2tp_object)kind)
				continue;
			rc = kind == L2TP_OBJ_TUNNEL
				     ? l2tp_load_tunnel(r->l, r->now, &c, r->profile, 1, &h)
				     : l2tp_load_session(r->l, r->now, &c, 2, &h);
			CHECK(rc == 0 || rc == 1);
			CHECK(rc == 0 || broken || kind == L2TP_OBJ_SESSION);
			if (rc)
				continue;
			/* what is brought back has its record under its new handle */
			r->records[r->record_count] = old[i];
			r->records[r->record_count++].handle = h;
			old[i].bytes = NULL;
		}
	}
	for (uint32_t i = 0; i < n; i++)
		free(old[i].bytes);
	drain(r);
}

/* ---- the owner ---- */

static int command(struct run *r, struct l2tp_cmd *cmd)
{
	int rc = l2tp_do(r->l, r->now, cmd);

	CHECK(rc == -EINVAL || (rc >= 0 && rc <= 4));
	return rc;
}

static void answer(struct run *r, const struct l2tp_event *ev)
{
	struct l2tp_cmd cmd = {
		.tunnel = ev->tunnel, .session = ev->session, .profile = r->profile, .text = "no"
	};

	if (ev->kind == L2TP_EV_TUNNEL_ASK)
		cmd.kind = r->refuse ? L2TP_CMD_TUNNEL_REFUSE : L2TP_CMD_TUNNEL_ACCEPT;
	else if (ev->kind == L2TP_EV_SESSION_ASK)
		cmd.kind = r->refuse ? L2TP_CMD_SESSION_REFUSE : L2TP_CMD_SESSION_ACCEPT;
	else if (ev->kind == L2TP_EV_TUNNEL_QUIET)
		cmd.kind = L2TP_CMD_TUNNEL_HEARD;
	else
		return;
	CHECK(command(r, &cmd) == 0);
}

static void drain(struct run *r)
{
	uint8_t buf[L2TP_CONTROL_MAX], scratch[L2TP_SCRATCH];
	struct l2tp_header h;
	struct l2tp_verdict v;
	struct l2tp_event ev;
	enum l2tp_object kind;
	struct l2tp_msg m;
	struct path path;
	adit_handle handle;
	bool gone;
	size_t len;

	while (l2tp_event(r->l, &ev)) {
		CHECK(ev.tunnel && ev.text && ev.host_name && ev.calling);
		CHECK(strlen(ev.text) < L2TP_TEXT_MAX && strlen(ev.calling) < L2TP_NUMBER_MAX);
		if (ev.kind != L2TP_EV_TUNNEL_DOWN && ev.kind != L2TP_EV_SESSION_DOWN) {
			r->tunnel = ev.tunnel;
			if (ev.session)
				r->session = ev.session;
		}
		if (r->answer)
			answer(r, &ev);
	}
	while (l2tp_dirty(r->l, &kind, &handle, &gone))
		record_put(r, kind, handle, gone);
	while ((len = l2tp_output(r->l, r->now, buf, sizeof(buf), &path))) {
		CHECK(l2tp_header_parse(buf, len, &h) == L2TP_HDR_OK);
		CHECK((h.flags & L2TP_HDR_T) && h.payload + h.len == len);
		l2tp_msg_parse(buf + 12, len - 12,
			       r->profile->secret.n ? &r->profile->secret : NULL, scratch, &m, &v);
		CHECK(v.scope == L2TP_MSG_OK || r->spoiled);
	}
}

/* ---- packets ---- */

static void input(struct run *r, const struct path *path, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct l2tp_frame f;
	int rc;

	CHECK(copy);
	if (len)
		memcpy(copy, bytes, len);
	CHECK(l2tp_via(r->l, path, copy, len) <= 1 || r->spoiled);
	rc = l2tp_input(r->l, r->now, path, copy, len, &f);
	CHECK(rc >= 0);
	if (rc == L2TP_IN_FRAME)
		CHECK(f.len > 0 && f.off + f.len <= len);
	free(copy);
}

static void op_raw(struct run *r)
{
	struct path path = path_of(rcur_u8(&r->c));
	size_t n = rcur_u8(&r->c);

	if (n > rcur_left(&r->c))
		n = rcur_left(&r->c);
	input(r, &path, rcur_take(&r->c, n), n);
}

/* What a message of this type has to have, so that it is looked at; the rest is chosen. */
static void build_required(struct l2tp_build *b, uint16_t type, uint16_t id, const struct run *r,
			   const struct tunnel *t)
{
	uint8_t response[16] = { 0 };

	switch (type) {
	case L2TP_SCCRQ:
	case L2TP_SCCRP:
		l2tp_build_u16(b, 2, 0x0100);
		l2tp_build_bytes(b, 7, "fuzz", 4);
		l2tp_build_u32(b, 3, 3);
		l2tp_build_u16(b, 9, id);
		if (id & 1) /* it places calls */
			l2tp_build_u32(b, 4, 3);
		if (id & 8)
			l2tp_build_bytes(b, 8, id & 16 ? "Huawei" : "MikroTik", id & 16 ? 6 : 8);
		break;
	case L2TP_STOPCCN:
		l2tp_build_u16(b, 9, id);
		l2tp_build_result(b, 2, id % 10, id & 1 ? "why" : NULL);
		break;
	case L2TP_ICRQ:
		l2tp_build_u16(b, 14, id);
		l2tp_build_u32(b, 15, id);
		break;
	case L2TP_ICRP:
	case L2TP_OCRP:
		l2tp_build_u16(b, 14, id);
		break;
	case L2TP_WEN:
		l2tp_build_bytes(b, 34, "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6", 26);
		break;
	case L2TP_ICCN:
	case L2TP_OCCN:
		l2tp_build_u32(b, 24, 1000);
		l2tp_build_u32(b, 19, 1u + (id & 1));
		break;
	case L2TP_CDN:
		l2tp_build_result(b, id % 13, id % 10, id & 1 ? "why" : NULL);
		l2tp_build_u16(b, 14, id);
		break;
	case L2TP_SLI:
		l2tp_build_accm(b, 1, 2);
		break;
	case L2TP_OCRQ:
		l2tp_build_u16(b, 14, id);
		for (unsigned avp = 15; avp <= 19; avp++)
			l2tp_build_u32(b, avp, 1);
		l2tp_build_bytes(b, 21, "0", 1);
		break;
	}
	if ((type == L2TP_SCCRP || type == L2TP_SCCCN) && t && t->challenged &&
	    r->profile->secret.n)
		l2tp_auth_response(response, (uint8_t)type, &r->profile->secret, t->challenge,
				   sizeof(t->challenge));
	if (type == L2TP_SCCRP || type == L2TP_SCCCN)
		l2tp_build_bytes(b, 13, response, 16);
}

/* A few more AVPs as the input says: a type that this message may have, or anything. */
static void build_more(struct run *r, struct l2tp_build *b)
{
	static const uint8_t types[] = { 4,  5,	 6,  8,	 10, 11, 12, 13, 18, 21, 22, 23, 25, 26,
					 27, 29, 30, 31, 33, 34, 37, 38, 39, 1,	 9,  14, 36, 46 };
	unsigned count = rcur_u8(&r->c) % 4;

	while (count--) {
		uint8_t what = rcur_u8(&r->c);
		size_t n = rcur_u8(&r->c) % 40;
		const uint8_t *v;

		if (n > rcur_left(&r->c))
			n = rcur_left(&r->c);
		v = rcur_take(&r->c, n);
		if (what & 0x80) {
			wcur_u16(&b->c, (uint16_t)((what & 0x40 ? 0x8000 : 0) |
						   (what & 0x20 ? 0x4000 : 0) | (n + 6)));
			wcur_u16(&b->c, what & 0x10 ? 9 : 0);
			wcur_u16(&b->c, (uint16_t)(what * 3));
			wcur_bytes(&b->c, v, n);
		} else {
			l2tp_build_bytes(b, types[what % sizeof(types)], v, n);
		}
	}
}

/* The tunnel that an operand means: the n-th of those that are there. */
static struct tunnel *tunnel_at(const struct run *r, unsigned n)
{
	adit_handle h = 0;

	n %= 4;
	do {
		h = l2tp_tunnel_next(r->l, h);
	} while (h && n--);
	return h ? pool_get(r->l->tunnels, h) : NULL;
}

static struct session *session_at(const struct run *r, const struct tunnel *t, unsigned n)
{
	adit_handle h = 0;

	n %= 4;
	do {
		h = l2tp_session_next(r->l, t->handle, h);
	} while (h && n--);
	return h ? pool_get(r->l->sessions, h) : NULL;
}

/* A message with ids and numbers that fit, more or less. */
static void op_message(struct run *r, bool stranger)
{
	static const uint8_t types[] = { L2TP_SCCRQ, L2TP_SCCRP, L2TP_SCCCN, L2TP_STOPCCN,
					 L2TP_HELLO, L2TP_ICRQ,	 L2TP_ICRP,  L2TP_ICCN,
					 L2TP_CDN,   L2TP_WEN,	 L2TP_SLI,   L2TP_OCRQ,
					 L2TP_OCRP,  L2TP_OCCN,	 60,	     L2TP_ZLB };
	uint16_t type = types[rcur_u8(&r->c) % sizeof(types)];
	uint8_t which = rcur_u8(&r->c), twist = rcur_u8(&r->c), id = rcur_u8(&r->c);
	struct tunnel *t = stranger ? NULL : tunnel_at(r, which);
	struct session *s = t ? session_at(r, t, which >> 2) : NULL;
	struct path path = t && !(twist & 0x80) ? t->path : path_of(which);
	uint16_t ns = t ? (uint16_t)t->rel.nr : 0, nr = t ? (uint16_t)t->rel.ns : 0;
	static uint8_t buf[2048];
	struct l2tp_build b;
	size_t len;

	l2tp_build_begin(&b, buf, sizeof(buf), type, NULL, NULL);
	build_required(&b, type, id, r, t);
	if (twist & 0x40)
		build_more(r, &b);
	len = l2tp_build_end(&b);
	if (type == L2TP_ZLB)
		len = l2tp_build_zlb(buf, sizeof(buf), 0, 0, 0);
	/* Early, late and odd numbers now and then. */
	ns = (uint16_t)(ns + (twist & 7) - (twist & 7 ? 2 : 0));
	nr = (uint16_t)(nr - (twist >> 3 & 3));
	if (!len)
		return;
	l2tp_build_stamp(buf, len, t ? t->local_id : 0,
			 s && type >= L2TP_ICRP && !(id & 0x80) ? s->local_id : 0, ns, nr);
	input(r, &path, buf, len);
}

static void op_data(struct run *r)
{
	uint8_t which = rcur_u8(&r->c), flags = rcur_u8(&r->c);
	struct tunnel *t = tunnel_at(r, which);
	struct session *s = t ? session_at(r, t, which >> 2) : NULL;
	uint8_t buf[64 + L2TP_HEADROOM];
	struct wcur c = wcur_of(buf, sizeof(buf));
	struct path path;

	if (!s)
		return;
	path = t->path;
	wcur_u16(&c, (uint16_t)((flags & 1 ? L2TP_HDR_L : 0) | (flags & 2 ? L2TP_HDR_S : 0) |
				(flags & 4 ? L2TP_HDR_O : 0) | 2));
	if (flags & 1)
		wcur_u16(&c, flags & 0x80 ? 90 : 24);
	wcur_u16(&c, t->local_id);
	wcur_u16(&c, s->local_id);
	if (flags & 2) {
		wcur_u16(&c, (uint16_t)(s->data_nr + (flags >> 4) * 3000));
		wcur_u16(&c, 7);
	}
	if (flags & 4)
		wcur_u16(&c, flags & 0x40 ? 60000 : 2);
	wcur_bytes(&c, "\xff\x03\xc0\x21\1\1\0\4 and more of it", 24);
	input(r, &path, buf, c.len);
	l2tp_wrap(r->l, s->handle, buf + L2TP_HEADROOM, 20, flags & 8, &path);
}

/* ---- commands ---- */

static void op_command(struct run *r)
{
	uint8_t pick = rcur_u8(&r->c), which = rcur_u8(&r->c);
	unsigned kind = pick & 0x40 ? L2TP_CMD_SESSION_ANSWERED + pick % 3u
				    : pick % (L2TP_CMD_SESSION_CLOSE + 1u);
	struct tunnel *t = tunnel_at(r, which);
	struct session *s = t ? session_at(r, t, which >> 2) : NULL;
	struct l2tp_cmd cmd = { .kind = (enum l2tp_cmd_kind)kind,
				.tunnel = which & 0x40 || !t ? r->tunnel : t->handle,
				.session = which & 0x40 || !s ? r->session : s->handle,
				.profile = which & 0x80 ? NULL : r->profile,
				.path = path_of(which),
				.at = mono_add(r->now, -US_S * (which & 15)),
				.result = which & 15,
				.error = which >> 4,
				.text = which & 1 ? "an end" : NULL,
				.cause = ADIT_CAUSE_ADMIN,
				.calling = which & 2 ? "0301234567" : NULL,
				.called = which & 4 ? "service" : NULL,
				.sequencing = which & 8,
				.framing = which & 3,
				.outgoing = pick & 0x80,
				.bearer = pick >> 4 & 3,
				.accm_send = which,
				.errors = { which, pick } };

	command(r, &cmd);
}

/* ---- looking ---- */

static void op_look(struct run *r)
{
	struct l2tp_tunnel_info ti;
	struct l2tp_session_info si;
	struct l2tp_counters c;
	uint32_t tunnels = 0, sessions = 0, in_tunnels = 0;

	for (adit_handle h = l2tp_tunnel_next(r->l, 0); h; h = l2tp_tunnel_next(r->l, h)) {
		CHECK(l2tp_tunnel_info(r->l, h, &ti));
		CHECK(ti.in_flight <= 0xffff && ti.cwnd >= 1);
		for (adit_handle s = l2tp_session_next(r->l, h, 0); s;
		     s = l2tp_session_next(r->l, h, s)) {
			CHECK(l2tp_session_info(r->l, s, &si));
			CHECK(si.tunnel == h && si.local_tunnel_id == ti.local_id);
			in_tunnels++;
		}
		tunnels++;
	}
	for (adit_handle h = l2tp_session_next(r->l, 0, 0); h; h = l2tp_session_next(r->l, 0, h))
		sessions++;
	CHECK(sessions == in_tunnels);
	l2tp_counters(r->l, &c);
	CHECK(c.halfopen <= 6 && c.tunnels <= 20 && tunnels <= c.tunnels);
}

static void op_time(struct run *r)
{
	static const int64_t steps[] = { 1000,	   100000,   1000000,	4000000,
					 31000000, 61000000, 3600000000 };

	r->now = mono_add(r->now, steps[rcur_u8(&r->c) % (sizeof(steps) / sizeof(steps[0]))]);
	l2tp_expire(r->l, r->now);
}

/* To the next deadline, exactly. */
static void op_deadline(struct run *r)
{
	struct mono at = l2tp_deadline(r->l);

	if (at.us == INT64_MAX)
		return;
	if (at.us > r->now.us)
		r->now = at;
	l2tp_expire(r->l, r->now);
}

/* Everything ends; then nothing is left. */
static void finish(struct run *r)
{
	struct l2tp_counters c;

	for (adit_handle h = l2tp_tunnel_next(r->l, 0); h; h = l2tp_tunnel_next(r->l, h)) {
		struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE, .tunnel = h };

		command(r, &cmd);
	}
	drain(r);
	for (int i = 0; i < 2000 && l2tp_deadline(r->l).us != INT64_MAX; i++) {
		op_deadline(r);
		drain(r);
	}
	l2tp_counters(r->l, &c);
	CHECK(c.tunnels == 0 && c.sessions == 0 && c.halfopen == 0);
	CHECK(r->l->account == 0);
	CHECK(r->record_count == 0 || r->records_full);
}

static void start(struct run *r, uint8_t options)
{
	struct l2tp_config cfg = config();
	struct l2tp_params p = { .host_name = "fuzzed",
				 .tie_breaker = options & 1,
				 .allow_port_change = options & 2,
				 .allow_address_change = options & 4,
				 .sequencing = options & 8,
				 .length_bit = options & 16,
				 .empty_us = options & 32 ? 5 * US_S : 0,
				 .max_sessions = 6,
				 .bearer = options & 2 };
	int err;

	if (options & 64) {
		p.secret = "hush";
		p.secret_len = 4;
		p.challenge = p.hide = options & 128;
	}
	r->l = l2tp_new(&cfg);
	r->profile = l2tp_profile_new(&p, &err);
	CHECK(r->l && r->profile);
	r->now.us = 1000 * US_S;
	r->answer = true;
}

static void operate(struct run *r)
{
	uint8_t op = rcur_u8(&r->c);

	switch (op & 15) {
	case 0:
		op_raw(r);
		break;
	case 1:
		op_message(r, true);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
		op_message(r, false);
		break;
	case 6:
		op_data(r);
		break;
	case 7:
	case 8:
		op_command(r);
		break;
	case 9:
		op_time(r);
		return drain(r);
	case 10:
		op_deadline(r);
		break;
	case 11:
		restart(r, op >> 4 ? rcur_u8(&r->c) : 0);
		break;
	case 12:
		r->answer = op & 16;
		r->refuse = op & 32;
		l2tp_scarce(r->l, op & 64);
		break;
	case 13:
		op_look(r);
		break;
	case 14:
		r->tunnel = r->session = 0;
		break;
	case 15:
		return; /* without draining: the next operation comes first */
	}
	if (!(op & 128))
		drain(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = { .c = rcur_of(data, size) };

	start(&r, rcur_u8(&r.c));
	while (rcur_left(&r.c))
		operate(&r);
	r.answer = false;
	drain(&r);
	op_look(&r);
	finish(&r);
	for (uint32_t i = 0; i < r.record_count; i++)
		free(r.records[i].bytes);
	l2tp_free(r.l);
	l2tp_profile_unref(r.profile);
	return 0;
}
