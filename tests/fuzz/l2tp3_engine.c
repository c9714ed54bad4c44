/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a whole L2TPv3 engine, over UDP and over IP. The bytes are a schedule of packets,
 * time, commands of the owner and restarts from records.
 *
 * drives: src/l2tp/v3.c src/l2tp/v3_conn.c src/l2tp/v3_ctl.c src/l2tp/v3_data.c
 * drives: src/l2tp/v3_digest.c src/l2tp/v3_info.c src/l2tp/v3_open.c src/l2tp/v3_save.c
 * drives: src/l2tp/v3_doubt.c src/l2tp/v3_session.c src/l2tp/v3_smsg.c src/l2tp/bound.c
 *
 * Input: one octet of options, then operations, each an octet whose low bits say which, with its
 * operands behind it. Each input is played twice, the second time with UDP and IP the other way
 * round. Messages are either raw octets or built with ids, numbers and digests that
 * fit what the engine has, so that the fuzzer need not guess them. Besides what the sanitizers find
 * it is an error when a packet that comes out cannot be read, when an event has a handle that is
 * unknown, when a record does not fit or does not come back, or when something is left after
 * everything has ended.
 */
#include <errno.h>
#include <stdlib.h>
#include "l2tp/v3_int.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)
#define RECORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct record {
	enum l2tp3_object kind;
	adit_handle handle;
	size_t len;
	uint8_t *bytes;
};

struct run {
	struct l2tp3 *l;
	struct l2tp3_profile *profile;
	struct mono now;
	struct rcur c;
	adit_handle conn, session; /* the latest seen */
	bool answer, refuse;
	bool other; /* what the input has over UDP goes over IP, and the other way round */
	struct record records[RECORDS];
	uint32_t record_count;
	bool records_full;
	bool spoiled; /* a record was broken: what it held may go out */
};

static struct l2tp3_config config(void)
{
	return (struct l2tp3_config){ .seed = { 42 },
				      .max_conns = 20,
				      .max_sessions = 40,
				      .max_halfopen = 6,
				      .max_halfopen_source = 3 };
}

/* Bit 0: another port, bit 1: another host, bit 2: over IP. */
static struct path path_of(const struct run *r, unsigned which)
{
	struct path p = { .via = 1 };
	bool ip = !(which & 4) == r->other;

	p.local = (struct addr){ .family = AF_INET, .port = L2TP_PORT, .ip = { 10, 0, 0, 1 } };
	p.remote = (struct addr){ .family = AF_INET, .port = L2TP_PORT, .ip = { 10, 0, 0, 2 } };
	p.remote.ip[3] = (uint8_t)(2 + which / 2 % 2);
	p.remote.port = (uint16_t)(L2TP_PORT + which % 2);
	if (ip)
		p.local.port = p.remote.port = 0;
	return p;
}

/* ---- records ---- */

static void record_drop(struct run *r, uint32_t i)
{
	free(r->records[i].bytes);
	r->records[i] = r->records[--r->record_count];
}

static void record_put(struct run *r, enum l2tp3_object kind, adit_handle h, bool gone)
{
	static uint8_t buf[L2TP3_SAVE_CONN_MAX];
	struct wcur c =
		wcur_of(buf, kind == L2TP3_OBJ_CONN ? L2TP3_SAVE_CONN_MAX : L2TP3_SAVE_SESSION_MAX);
	uint32_t i = 0;

	while (i < r->record_count && (r->records[i].kind != kind || r->records[i].handle != h))
		i++;
	if (gone) {
		CHECK(i < r->record_count || r->records_full);
		if (i < r->record_count)
			record_drop(r, i);
		return;
	}
	l2tp3_save(r->l, kind, h, &c);
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

/* What is brought back has its record under its new handle. */
static void load(struct run *r, struct record *old, uint32_t n, enum l2tp3_object kind, bool broken)
{
	adit_handle h;

	for (uint32_t i = 0; i < n; i++) {
		struct rcur c = rcur_of(old[i].bytes, old[i].len);
		int rc;

		if (old[i].kind != kind)
			continue;
		rc = kind == L2TP3_OBJ_CONN ? l2tp3_load_conn(r->l, r->now, &c, r->profile, 1, &h)
					    : l2tp3_load_session(r->l, r->now, &c, 2, &h);
		CHECK(rc == 0 || rc == 1 || (rc == L2TP3_LOAD_ALONE && kind == L2TP3_OBJ_SESSION));
		CHECK(rc == 0 || broken || kind == L2TP3_OBJ_SESSION);
		if (rc)
			continue;
		r->records[r->record_count] = old[i];
		r->records[r->record_count++].handle = h;
		old[i].bytes = NULL;
	}
}

/* Killed, and back from the records; `broken` spoils one octet of one of them. */
static void restart(struct run *r, uint8_t broken)
{
	struct l2tp3_config cfg = config();
	struct record old[RECORDS];
	uint32_t n = r->record_count;

	memcpy(old, r->records, sizeof(old));
	r->record_count = 0;
	r->records_full = false;
	l2tp3_free(r->l);
	r->l = l2tp3_new(&cfg);
	CHECK(r->l);
	r->spoiled |= broken != 0;
	if (broken && n)
		old[broken % n].bytes[broken * 7u % old[broken % n].len] ^= broken;
	load(r, old, n, L2TP3_OBJ_CONN, broken);
	load(r, old, n, L2TP3_OBJ_SESSION, broken);
	for (uint32_t i = 0; i < n; i++)
		free(old[i].bytes);
	drain(r);
}

/* ---- the owner ---- */

static int command(struct run *r, struct l2tp3_cmd *cmd)
{
	int rc = l2tp3_do(r->l, r->now, cmd);

	CHECK(rc == -EINVAL || (rc >= 0 && rc <= 4));
	return rc;
}

static void answer(struct run *r, const struct l2tp3_event *ev)
{
	struct l2tp3_cmd cmd = { .conn = ev->conn,
				 .session = ev->session,
				 .profile = r->profile,
				 .circuit = { .cookie_len = ev->serial & 1 ? 4 : 8,
					      .status = L2TP3_STATUS_ACTIVE,
					      .sublayer = ev->serial >> 1 & 1 },
				 .text = "no" };

	if (ev->kind == L2TP3_EV_CONN_ASK)
		cmd.kind = r->refuse ? L2TP3_CMD_CONN_REFUSE : L2TP3_CMD_CONN_ACCEPT;
	else if (ev->kind == L2TP3_EV_SESSION_ASK)
		cmd.kind = r->refuse ? L2TP3_CMD_SESSION_REFUSE : L2TP3_CMD_SESSION_ACCEPT;
	else if (ev->kind == L2TP3_EV_CONN_QUIET)
		cmd.kind = L2TP3_CMD_CONN_HEARD;
	else
		return;
	CHECK(command(r, &cmd) == 0);
}

/* What comes out can be read, and is signed where it has to be. */
static void check_output(struct run *r, const struct path *path, const uint8_t *buf, size_t len)
{
	enum l2tp3_carrier carrier = path_is_ip(path) ? L2TP3_IP : L2TP3_UDP;
	struct l2tp_secret hide;
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp3_header h;
	struct l2tp_verdict v;
	struct l2tp_msg m;

	CHECK(l2tp3_header_parse(carrier, buf, len, &h) == L2TP_HDR_OK);
	CHECK(h.control && h.start + h.total == len);
	if (r->profile->auth.n)
		hide = l2tp3_hide_secret(&r->profile->auth.keys[0]);
	l2tp3_msg_parse(buf + h.payload, h.len, r->profile->auth.n ? &hide : NULL, 0, scratch, &m,
			&v);
	CHECK(v.scope == L2TP_MSG_OK || r->spoiled);
}

static void drain(struct run *r)
{
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp3_event ev;
	enum l2tp3_object kind;
	struct path path;
	adit_handle handle;
	bool gone;
	size_t len;

	while (l2tp3_event(r->l, &ev)) {
		CHECK(ev.conn && ev.text && ev.host_name && ev.vendor_name);
		CHECK(strlen(ev.text) < L2TP_TEXT_MAX && ev.remote_end_id_len <= L2TP3_END_ID_MAX);
		if (ev.kind != L2TP3_EV_CONN_DOWN && ev.kind != L2TP3_EV_SESSION_DOWN) {
			r->conn = ev.conn;
			if (ev.session)
				r->session = ev.session;
		}
		if (r->answer)
			answer(r, &ev);
	}
	while (l2tp3_dirty(r->l, &kind, &handle, &gone))
		record_put(r, kind, handle, gone);
	while ((len = l2tp3_output(r->l, r->now, buf, sizeof(buf), &path)))
		check_output(r, &path, buf, len);
}

/* ---- packets ---- */

static void input(struct run *r, const struct path *path, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct l2tp3_frame f;
	int rc;

	CHECK(copy);
	if (len)
		memcpy(copy, bytes, len);
	CHECK(l2tp3_via(r->l, path, copy, len) <= 1 || r->spoiled);
	rc = l2tp3_input(r->l, r->now, path, copy, len, &f);
	CHECK(rc >= 0);
	if (rc == L2TP3_IN_FRAME)
		CHECK(f.len > 0 && f.off + f.len <= len);
	if (rc == L2TP3_IN_LOST)
		CHECK(l2tp3_tell_lost(r->l, path, copy, len, r->profile) == 0);
	free(copy);
}

static void op_raw(struct run *r)
{
	struct path path = path_of(r, rcur_u8(&r->c));
	size_t n = rcur_u8(&r->c);

	if (n > rcur_left(&r->c))
		n = rcur_left(&r->c);
	input(r, &path, rcur_take(&r->c, n), n);
}

static void build_setup(struct l2tp_build *b, uint16_t type, uint8_t id, const struct run *r,
			const struct conn *c)
{
	uint8_t response[16] = { 0 };

	l2tp_build_bytes(b, L2TP3_AVP_HOST_NAME, "fuzz", 4);
	l2tp_build_u32(b, L2TP3_AVP_ROUTER_ID, id);
	l2tp_build_u32(b, L2TP3_AVP_CONNECTION_ID, 0x10000u + id);
	l2tp_build_bytes(b, L2TP3_AVP_PW_CAPS, "\0\5\0\7", id & 1 ? 4 : 2);
	if (r->profile->auth.n && !(id & 2))
		l2tp_build_bytes(b, L2TP3_AVP_NONCE, "0123456789abcdef", 16);
	if (id & 4)
		l2tp_build_bytes(b, L2TP3_AVP_TIE, "\x10\0\0\0\0\0\0", 8);
	if (type == L2TP_SCCRP && c && c->challenged) {
		struct l2tp_secret s = { r->profile->p.secret[0].p, r->profile->p.secret[0].n };

		l2tp_auth_response(response, L2TP_SCCRP, &s, c->challenge, sizeof(c->challenge));
		l2tp_build_bytes(b, L2TP3_AVP_RESPONSE, response, 16);
	}
}

static void build_circuit(struct l2tp_build *b, uint8_t id)
{
	l2tp_build_u16(b, L2TP3_AVP_CIRCUIT, id & 0x7f);
	if (id & 1)
		l2tp_build_bytes(b, L2TP3_AVP_COOKIE, "cookies!", id & 2 ? 8 : 4);
	if (id & 4)
		l2tp_build_u16(b, L2TP3_AVP_SUBLAYER, id & 0x80 ? 2 : 1);
	if (id & 8)
		l2tp_build_u16(b, L2TP3_AVP_SEQUENCING, (id >> 4) & 3);
	if (id & 16)
		l2tp_build_u64(b, L2TP3_AVP_TX_SPEED, id);
	if (id & 32)
		l2tp_build_u16(b, L2TP3_AVP_MTU, id & 64 ? 1500 : 1400);
}

static void build_session(struct l2tp_build *b, uint16_t type, uint8_t id, const struct pw *s)
{
	l2tp_build_u32(b, L2TP3_AVP_LOCAL_SESSION, s && s->remote_id ? s->remote_id : 0x100u + id);
	l2tp_build_u32(b, L2TP3_AVP_REMOTE_SESSION, s && !(id & 0x40) ? s->local_id : 0);
	switch (type) {
	case L2TP_ICRQ:
	case L2TP_OCRQ:
		l2tp_build_u32(b, L2TP3_AVP_SERIAL, id);
		l2tp_build_u16(b, L2TP3_AVP_PW_TYPE, id & 2 ? 7 : 5);
		l2tp_build_bytes(b, L2TP3_AVP_END_ID, "circuit", 7);
		if (id & 0x20)
			l2tp_build_bytes(b, L2TP3_AVP_TIE, "\x10\0\0\0\0\0\0", 8);
		if (id & 0x10)
			l2tp_build_bytes(b, L2TP3_AVP_LOCAL_END, "circuit", 7);
		build_circuit(b, id);
		break;
	case L2TP_ICRP:
	case L2TP_OCRP:
		build_circuit(b, id);
		break;
	case L2TP_CDN:
		l2tp_build_result(b, id % 26, id % 10, id & 1 ? "why" : NULL);
		break;
	case L2TP_WEN:
		l2tp_build_bytes(b, L2TP3_AVP_ERRORS,
				 "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6", 26);
		break;
	case L2TP_SLI:
		l2tp_build_u16(b, L2TP3_AVP_CIRCUIT, id & 0x7f);
		break;
	}
}

/* What a message of this type has to have, so that it is looked at. */
static void build_required(struct l2tp_build *b, uint16_t type, uint8_t id, const struct run *r,
			   const struct conn *c, const struct pw *s)
{
	uint8_t response[16];
	struct l2tp_secret secret = { r->profile->p.secret[0].p, r->profile->p.secret[0].n };

	switch (type) {
	case L2TP_SCCRQ:
	case L2TP_SCCRP:
		build_setup(b, type, id, r, c);
		return;
	case L2TP_SCCCN:
		if (!c || !c->challenged)
			return;
		l2tp_auth_response(response, L2TP_SCCCN, &secret, c->challenge,
				   sizeof(c->challenge));
		l2tp_build_bytes(b, L2TP3_AVP_RESPONSE, response, 16);
		return;
	case L2TP_STOPCCN:
		l2tp_build_u32(b, L2TP3_AVP_CONNECTION_ID, 0x10000u + id);
		l2tp_build_result(b, 2 + id % 3, id % 10, id & 1 ? "why" : NULL);
		return;
	case L2TP_HELLO:
	case L2TP3_ACK:
	case 60:
		return;
	}
	build_session(b, type, id, s);
}

/* A few more AVPs as the input says: a type that this message may have, or anything. */
static void build_more(struct run *r, struct l2tp_build *b)
{
	static const uint8_t types[] = { 1,  5,	 7,  8,	 10, 11, 13, 15, 25, 34, 36, 61, 62, 63,
					 64, 65, 66, 68, 69, 70, 71, 72, 73, 74, 75, 89, 90, 91 };
	unsigned count = rcur_u8(&r->c) % 4;

	while (count--) {
		uint8_t what = rcur_u8(&r->c);
		size_t n = rcur_u8(&r->c) % 80;
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

/* The connection that an operand means: the n-th of those that are there. */
static struct conn *conn_at(const struct run *r, unsigned n)
{
	adit_handle h = 0;

	n %= 4;
	do {
		h = l2tp3_conn_next(r->l, h);
	} while (h && n--);
	return h ? pool_get(r->l->conns, h) : NULL;
}

static struct pw *session_at(const struct run *r, const struct conn *c, unsigned n)
{
	adit_handle h = 0;

	n %= 4;
	do {
		h = l2tp3_session_next(r->l, c->handle, h);
	} while (h && n--);
	return h ? pool_get(r->l->sessions, h) : NULL;
}

/* As the peer of this connection signs; a stranger with the secret of the profile. */
static void sign(const struct run *r, const struct conn *c, uint8_t *msg, size_t len, uint16_t type,
		 const struct l2tp3_auth *keys)
{
	struct l2tp3_nonces n = { .own = { NULL, 0 } };

	if (c) {
		n.own = (struct l2tp_bytes){ c->peer_nonce, c->peer_nonce_len };
		n.peer = (struct l2tp_bytes){ c->own_nonce, c->own_nonce_len };
	}
	if (type == L2TP_SCCRP && c && !c->peer_nonce_len)
		n.own = l2tp3_peek_nonce(msg + L2TP3_HEADER, len - L2TP3_HEADER);
	l2tp3_sign(msg, len, keys, type == L2TP_SCCRQ || !r->profile->auth.n ? NULL : &n);
}

/* A message with ids and numbers that fit, more or less. */
static void op_message(struct run *r, bool stranger)
{
	static const uint8_t types[] = { L2TP_SCCRQ, L2TP_SCCRP, L2TP_SCCCN, L2TP_STOPCCN,
					 L2TP_HELLO, L2TP_ICRQ,	 L2TP_ICRP,  L2TP_ICCN,
					 L2TP_CDN,   L2TP_WEN,	 L2TP_SLI,   L2TP_OCRQ,
					 L2TP_OCRP,  L2TP_OCCN,	 60,	     L2TP3_ACK };
	uint16_t type = types[rcur_u8(&r->c) % sizeof(types)];
	uint8_t which = rcur_u8(&r->c), twist = rcur_u8(&r->c), id = rcur_u8(&r->c);
	struct conn *c = stranger ? NULL : conn_at(r, which);
	struct pw *s =
		c && type != L2TP_ICRQ && type != L2TP_OCRQ ? session_at(r, c, which >> 2) : NULL;
	struct path path = c && !(twist & 0x80) ? c->path : path_of(r, which);
	uint16_t ns = c ? (uint16_t)c->rel.nr : 0, nr = c ? (uint16_t)c->rel.ns : 0;
	const struct l2tp3_auth *keys = r->profile->auth.n ? &r->profile->auth : NULL;
	static uint8_t buf[2048 + L2TP3_IP_PREFIX];
	uint8_t *msg = buf + L2TP3_IP_PREFIX;
	struct l2tp_build b;
	size_t len;

	if (stranger && twist & 0x20 && type == L2TP_SCCRQ)
		l2tp3_build_begin_fallback(&b, msg, 2048, keys);
	else
		l2tp3_build_begin(&b, msg, 2048, type, keys, false, NULL);
	build_required(&b, type, id, r, c, s);
	if (twist & 0x40)
		build_more(r, &b);
	len = l2tp_build_end(&b);
	if (!len)
		return;
	/* Early, late and odd numbers now and then. */
	ns = (uint16_t)(ns + (twist & 7) - (twist & 7 ? 2 : 0));
	nr = (uint16_t)(nr - (twist >> 3 & 3));
	l2tp_build_stamp3(msg, len, c ? c->local_id : 0, ns, nr);
	if (keys)
		sign(r, c, msg, len, type, keys);
	memset(buf, 0, L2TP3_IP_PREFIX);
	if (path_is_ip(&path))
		input(r, &path, buf, len + L2TP3_IP_PREFIX);
	else
		input(r, &path, msg, len);
}

static void op_data(struct run *r)
{
	uint8_t which = rcur_u8(&r->c), flags = rcur_u8(&r->c);
	struct conn *k = conn_at(r, which);
	struct pw *s = k ? session_at(r, k, which >> 2) : NULL;
	uint8_t buf[64 + L2TP_HEADROOM];
	struct wcur c = wcur_of(buf, sizeof(buf));
	struct path path;

	if (!s)
		return;
	path = k->path;
	if (!k->over_ip)
		wcur_u32(&c, 3);
	wcur_u32(&c, s->local_id ^ (flags & 1));
	wcur_bytes(&c, flags & 2 ? (const uint8_t *)"notright" : s->cookie_in, s->cookie_in_len);
	if (s->sublayer_in)
		wcur_u32(&c, (flags & 4 ? 0x40000000u : 0) |
				     ((s->data_nr + (flags >> 4) * 1000000u) & 0xffffff));
	if (!(flags & 8))
		wcur_bytes(&c, "\xff\x03\xc0\x21\1\1\0\4 and more of it", 24);
	input(r, &path, buf, c.len);
	l2tp3_wrap(r->l, s->handle, buf + L2TP_HEADROOM, 20, &path);
}

/* ---- commands ---- */

static void op_command(struct run *r)
{
	uint8_t pick = rcur_u8(&r->c), which = rcur_u8(&r->c);
	struct conn *c = conn_at(r, which);
	struct pw *s = c ? session_at(r, c, which >> 2) : NULL;
	struct l2tp_offer offer;
	struct l2tp3_cmd cmd = { .kind = (enum l2tp3_cmd_kind)(pick %
							       (L2TP3_CMD_SESSION_ERRORS + 1u)),
				 .conn = which & 0x40 || !c ? r->conn : c->handle,
				 .session = which & 0x40 || !s ? r->session : s->handle,
				 .profile = which & 0x80 ? NULL : r->profile,
				 .path = path_of(r, which),
				 .at = mono_add(r->now, -US_S * (which & 15)),
				 .result = which & 15,
				 .error = which >> 4,
				 .text = which & 1 ? "an end" : NULL,
				 .cause = ADIT_CAUSE_ADMIN,
				 .pw_type = which & 8 ? L2TP3_PW_PPP : L2TP3_PW_ETHERNET,
				 .outgoing = pick & 0x80,
				 .trusted = which & 2,
				 .remote_end_id = "circuit",
				 .remote_end_id_len = 7,
				 .local_end_id = which & 32 ? "local" : NULL,
				 .local_end_id_len = 5,
				 .circuit = { .cookie_len = which & 4 ? 8 : 0,
					      .sublayer = pick >> 4 & 1,
					      .sequencing = pick >> 5 & 1,
					      .status = which & 0x7f,
					      .mtu = which & 16 ? 1500 : 0,
					      .tx_speed = which & 1 },
				 .status = which & 0x7f,
				 .errors = { which, pick },
				 .ret_offer = &offer };

	command(r, &cmd);
}

/* ---- looking ---- */

static void op_look(struct run *r)
{
	struct l2tp3_conn_info ci;
	struct l2tp3_session_info si;
	struct l2tp3_counters c;
	uint32_t conns = 0, sessions = 0, in_conns = 0;

	for (adit_handle h = l2tp3_conn_next(r->l, 0); h; h = l2tp3_conn_next(r->l, h)) {
		CHECK(l2tp3_conn_info(r->l, h, &ci));
		CHECK(ci.in_flight <= 0xffff && ci.cwnd >= 1);
		for (adit_handle s = l2tp3_session_next(r->l, h, 0); s;
		     s = l2tp3_session_next(r->l, h, s)) {
			CHECK(l2tp3_session_info(r->l, s, &si));
			CHECK(si.conn == h && si.local_conn_id == ci.local_id);
			in_conns++;
		}
		conns++;
	}
	for (adit_handle h = l2tp3_session_next(r->l, 0, 0); h; h = l2tp3_session_next(r->l, 0, h))
		sessions++;
	CHECK(sessions == in_conns);
	l2tp3_counters(r->l, &c);
	CHECK(c.halfopen <= 12 && c.conns <= 20 && conns <= c.conns);
}

static void op_time(struct run *r)
{
	static const int64_t steps[] = { 1000,	   100000,   1000000,	4000000,
					 31000000, 61000000, 3600000000 };

	r->now = mono_add(r->now, steps[rcur_u8(&r->c) % (sizeof(steps) / sizeof(steps[0]))]);
	l2tp3_expire(r->l, r->now);
}

/* To the next deadline, exactly. */
static void op_deadline(struct run *r)
{
	struct mono at = l2tp3_deadline(r->l);

	if (at.us == INT64_MAX)
		return;
	if (at.us > r->now.us)
		r->now = at;
	l2tp3_expire(r->l, r->now);
}

/* Everything ends; then nothing is left. */
static void finish(struct run *r)
{
	struct l2tp3_counters c;

	for (adit_handle h = l2tp3_conn_next(r->l, 0); h; h = l2tp3_conn_next(r->l, h)) {
		struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_CLOSE, .conn = h };

		command(r, &cmd);
	}
	drain(r);
	for (int i = 0; i < 2000 && l2tp3_deadline(r->l).us != INT64_MAX; i++) {
		op_deadline(r);
		drain(r);
	}
	l2tp3_counters(r->l, &c);
	CHECK(c.conns == 0 && c.sessions == 0 && c.halfopen == 0);
	CHECK(r->l->account == 0);
	CHECK(r->record_count == 0 || r->records_full);
}

static void start(struct run *r, uint8_t options)
{
	struct l2tp3_config cfg = config();
	struct l2tp3_params p = { .host_name = "fuzzed",
				  .router_id = 9,
				  .tie_breaker_off = options & 1,
				  .allow_port_change = options & 2,
				  .allow_address_change = options & 2,
				  .digest_optional = options & 4,
				  .mirror_sublayer = options & 8,
				  .empty_us = options & 16 ? 5 * US_S : 0,
				  .max_sessions = options & 16 ? 6 : 0,
				  .quirks = options & 2 ? L2TP3_QUIRK_LAX_MANDATORY : 0 };
	int err;

	if (options & 32) {
		p.secret[0] = (struct l2tp3_secret_param){ "secret", 6 };
		p.challenge = options & 64;
		p.hide = options & 128;
		p.follow = options & 2;
	} else if (options & 64) {
		p.digest = options & 128 ? L2TP3_AUTH_SHA1 : L2TP3_AUTH_MD5;
	}
	r->profile = l2tp3_profile_new(&p, &err);
	r->l = l2tp3_new(&cfg);
	CHECK(r->profile && r->l);
}

static void step(struct run *r)
{
	uint8_t op = rcur_u8(&r->c);

	r->answer = !(op & 0x10);
	r->refuse = op & 0x20;
	switch (op & 15) {
	case 0:
		op_raw(r);
		break;
	case 1:
	case 2:
		op_message(r, true);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		op_message(r, false);
		break;
	case 8:
		op_data(r);
		break;
	case 9:
	case 10:
	case 11:
		op_command(r);
		break;
	case 12:
		op_time(r);
		break;
	case 13:
		op_deadline(r);
		break;
	case 14:
		restart(r, op & 0x40 ? rcur_u8(&r->c) : 0);
		break;
	case 15:
		op_look(r);
		break;
	}
	if (!(op & 0x80))
		drain(r);
}

static void play(struct run *r, const uint8_t *data, size_t size, bool other)
{
	*r = (struct run){ .now = { 1000 * US_S }, .c = rcur_of(data, size), .other = other };
	start(r, rcur_u8(&r->c));
	for (int i = 0; i < 200 && rcur_left(&r->c); i++)
		step(r);
	r->answer = true;
	drain(r);
	finish(r);
	while (r->record_count)
		record_drop(r, 0);
	l2tp3_free(r->l);
	l2tp3_profile_unref(r->profile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;

	play(&run, data, size, false);
	play(&run, data, size, true);
	return 0;
}
