/* SPDX-License-Identifier: MIT
 *
 * Records of L2TPv3 connections and sessions that outlive the process, as (tag, length, value) with
 * tags that a reader skips when it does not know them. See include/adit/l2tp3.h, "what must outlive
 * the process".
 *
 * A connection's record has its ids, its path, both nonces and the keys that it signs with, the
 * sequence numbers and windows, and every message that has a number and is not acknowledged. The
 * keys are made of the secret (auth3.c), which the configuration may have otherwise by the time the
 * record is read, or not at all: the connection goes on with those it was made with, and one that
 * has to end can tell its peer. A
 * session's record exists from the moment the peer may know of it until its CDN has a number; from
 * then on the CDN is in the connection's record.
 *
 * What comes back: an established connection goes on, and its unacknowledged messages are sent
 * again, signed anew. What was being set up ends with StopCCN or CDN; what was ending goes on doing
 * so. Timers start anew.
 */
#include "l2tp/v3_int.h"

#define SAVE_VERSION 1

enum tag {
	TAG_VERSION = 1,
	TAG_IDS = 2, /* connection: local, remote; session: local connection, local, remote */
	TAG_STATE = 3,
	TAG_PATH = 4,
	TAG_NUMBERS = 5, /* ns, una, nr, peer's window, cwnd, ssthresh */
	TAG_HOST_NAME = 6,
	TAG_VENDOR_NAME = 7,
	TAG_PEER = 8,	 /* router id, quirks, quirks used */
	TAG_MESSAGE = 9, /* number, type, copies, octets */
	TAG_SINCE = 10,
	TAG_ENDING = 11, /* cause, result, error, by_peer, text */
	TAG_AUTH = 12,	 /* mode, key */
	TAG_OWN_NONCE = 13,
	TAG_PEER_NONCE = 14,
	TAG_PW_TYPES = 15,
	TAG_CIRCUIT = 16, /* of a session: type, serial, sublayers, sequencing, statuses, MTUs */
	TAG_COOKIE_IN = 17,
	TAG_COOKIE_OUT = 18,
	TAG_DATA = 19, /* ns, nr */
	TAG_REMOTE_END = 20,
	TAG_LOCAL_END = 21,
	TAG_GROUP = 22,
	TAG_LINE = 23, /* our speeds, the peer's, channel id, errors told by WEN, errors of ours */
	TAG_KEYS = 24  /* of the connection's digests, each: kind, to sign, to hide */
};

/* Bits above the state. */
#define FLAG_INITIATOR	 0x0100
#define FLAG_WAS_UP	 0x0200
#define FLAG_VERIFIED	 0x0400
#define FLAG_STOP	 0x0800 /* StopCCN has no number yet */
#define FLAG_PROVED	 0x1000
#define FLAG_TOLD_NONCE	 0x2000
#define FLAG_OUTGOING	 0x4000
#define FLAG_STATUS_TOLD 0x8000

/* ---- writing ---- */

static void save_some(struct wcur *c, uint16_t tag, const void *p, size_t n)
{
	if (n)
		wcur_tlv_bytes(c, tag, p, n);
}

static void save_ending(struct wcur *c, const struct ending *why, const char *text)
{
	size_t at = wcur_tlv_begin(c, TAG_ENDING);

	wcur_u16(c, (uint16_t)why->cause);
	wcur_u16(c, why->result);
	wcur_u16(c, why->error);
	wcur_u8(c, why->by_peer);
	if (text)
		wcur_bytes(c, text, strlen(text));
	wcur_tlv_end(c, at);
}

static void save_numbers(struct wcur *c, const struct rel *r)
{
	size_t at = wcur_tlv_begin(c, TAG_NUMBERS);

	wcur_u32(c, r->ns);
	wcur_u32(c, r->una);
	wcur_u32(c, r->nr);
	wcur_u32(c, r->p.peer_window);
	wcur_u32(c, r->cwnd);
	wcur_u32(c, r->ssthresh);
	wcur_tlv_end(c, at);
	for (const struct rel_msg *m = r->first; m; m = m->next) {
		at = wcur_tlv_begin(c, TAG_MESSAGE);
		wcur_u32(c, m->seq);
		wcur_u8(c, m->type);
		wcur_u8(c, m->copies);
		wcur_bytes(c, m->bytes, m->len);
		wcur_tlv_end(c, at);
	}
}

static uint32_t conn_state(const struct conn *c)
{
	uint32_t state = c->state;

	state |= c->initiator ? FLAG_INITIATOR : 0;
	state |= c->was_up ? FLAG_WAS_UP : 0;
	state |= c->verified ? FLAG_VERIFIED : 0;
	state |= c->want & WANT_STOP ? FLAG_STOP : 0;
	state |= c->proved ? FLAG_PROVED : 0;
	state |= c->told_nonce ? FLAG_TOLD_NONCE : 0;
	return state;
}

static void save_keys(struct wcur *c, const struct l2tp3_auth *auth)
{
	size_t at = wcur_tlv_begin(c, TAG_KEYS);

	for (unsigned int i = 0; i < auth->n; i++) {
		wcur_u8(c, (uint8_t)auth->keys[i].digest);
		wcur_bytes(c, auth->keys[i].sign, sizeof(auth->keys[i].sign));
		wcur_bytes(c, auth->keys[i].hide, sizeof(auth->keys[i].hide));
	}
	wcur_tlv_end(c, at);
}

static void save_conn(const struct conn *k, struct wcur *c)
{
	size_t at;

	wcur_tlv_u32(c, TAG_VERSION, SAVE_VERSION);
	at = wcur_tlv_begin(c, TAG_IDS);
	wcur_u32(c, k->local_id);
	wcur_u32(c, k->remote_id);
	wcur_tlv_end(c, at);
	wcur_tlv_u32(c, TAG_STATE, conn_state(k));
	at = wcur_tlv_begin(c, TAG_PATH);
	path_save(c, &k->path);
	wcur_tlv_end(c, at);
	at = wcur_tlv_begin(c, TAG_PEER);
	wcur_u32(c, k->router_id);
	wcur_u8(c, k->quirks);
	wcur_u8(c, k->quirks_used);
	wcur_tlv_end(c, at);
	at = wcur_tlv_begin(c, TAG_AUTH);
	wcur_u8(c, k->auth);
	wcur_u8(c, k->key);
	wcur_tlv_end(c, at);
	if (k->auth == CONN_AUTH_ON && k->profile)
		save_keys(c, &k->profile->auth);
	save_some(c, TAG_OWN_NONCE, k->own_nonce, k->own_nonce_len);
	save_some(c, TAG_PEER_NONCE, k->peer_nonce, k->peer_nonce_len);
	at = wcur_tlv_begin(c, TAG_PW_TYPES);
	for (int i = 0; i < L2TP3_PW_TYPES_MAX && k->pw_types[i]; i++)
		wcur_u16(c, k->pw_types[i]);
	wcur_tlv_end(c, at);
	wcur_tlv_u64(c, TAG_SINCE, (uint64_t)k->since.us);
	save_some(c, TAG_HOST_NAME, k->host_name, k->host_name ? strlen(k->host_name) : 0);
	save_some(c, TAG_VENDOR_NAME, k->vendor_name, k->vendor_name ? strlen(k->vendor_name) : 0);
	if (k->thing.over)
		save_ending(c, &k->why, k->text);
	save_numbers(c, &k->rel);
}

static void save_line(const struct pw_line *line, struct wcur *c)
{
	size_t at = wcur_tlv_begin(c, TAG_LINE);

	wcur_u64(c, line->tx_speed);
	wcur_u64(c, line->rx_speed);
	wcur_u64(c, line->peer_tx_speed);
	wcur_u64(c, line->peer_rx_speed);
	wcur_u32(c, line->channel_id);
	for (int i = 0; i < 6; i++)
		wcur_u32(c, line->got[i]);
	for (int i = 0; i < 6; i++)
		wcur_u32(c, line->errors[i]);
	wcur_tlv_end(c, at);
}

static void save_circuit(const struct pw *s, struct wcur *c)
{
	struct l2tp_bytes remote, local, group;
	size_t at = wcur_tlv_begin(c, TAG_CIRCUIT);

	wcur_u16(c, s->type);
	wcur_u32(c, s->serial);
	wcur_u8(c, s->sublayer_in);
	wcur_u8(c, s->sublayer_out);
	wcur_u8(c, s->seq_in);
	wcur_u8(c, s->seq_out);
	wcur_u16(c, s->local_status);
	wcur_u16(c, s->remote_status);
	wcur_u16(c, s->mtu);
	wcur_u16(c, s->peer_mtu);
	wcur_tlv_end(c, at);
	save_some(c, TAG_COOKIE_IN, s->cookie_in, s->cookie_in_len);
	save_some(c, TAG_COOKIE_OUT, s->cookie_out, s->cookie_out_len);
	at = wcur_tlv_begin(c, TAG_DATA);
	wcur_u32(c, s->data_ns);
	wcur_u32(c, s->data_nr);
	wcur_tlv_end(c, at);
	pw_get_ends(s, &remote, &local, &group);
	save_some(c, TAG_REMOTE_END, remote.p, remote.n);
	save_some(c, TAG_LOCAL_END, local.p, local.n);
	save_some(c, TAG_GROUP, group.p, group.n);
	if (s->line)
		save_line(s->line, c);
}

static void save_pw(const struct pw *s, struct wcur *c)
{
	struct ending why = { .cause = (enum adit_cause)s->cause,
			      .result = s->result,
			      .error = s->error,
			      .by_peer = s->by_peer };
	uint32_t state = s->state;
	size_t at;

	state |= s->initiator ? FLAG_INITIATOR : 0;
	state |= s->outgoing ? FLAG_OUTGOING : 0;
	state |= s->status_told ? FLAG_STATUS_TOLD : 0;
	wcur_tlv_u32(c, TAG_VERSION, SAVE_VERSION);
	at = wcur_tlv_begin(c, TAG_IDS);
	wcur_u32(c, s->conn->local_id);
	wcur_u32(c, s->local_id);
	wcur_u32(c, s->remote_id);
	wcur_tlv_end(c, at);
	wcur_tlv_u32(c, TAG_STATE, state);
	if (s->state == L2TP3_SS_CLOSING) {
		save_ending(c, &why, s->text);
		return;
	}
	wcur_tlv_u64(c, TAG_SINCE, (uint64_t)s->since.us);
	save_circuit(s, c);
}

void l2tp3_save(const struct l2tp3 *l, enum l2tp3_object kind, adit_handle h, struct wcur *c)
{
	const struct conn *k;
	const struct pw *s;

	switch (kind) {
	case L2TP3_OBJ_CONN:
		k = pool_get(l->conns, h);
		if (k && !k->thing.finished)
			save_conn(k, c);
		break;
	case L2TP3_OBJ_SESSION:
		s = pool_get(l->sessions, h);
		if (s && !s->thing.finished)
			save_pw(s, c);
		break;
	}
}

/* ---- reading ---- */

static struct l2tp_bytes rest(struct rcur *c)
{
	uint16_t n = (uint16_t)rcur_left(c);

	return (struct l2tp_bytes){ rcur_take(c, n), n };
}

struct record3 {
	uint32_t version, state;
	uint32_t conn, local, remote;
	bool has_ids;
	struct path path;
	uint32_t ns, una, nr, window, cwnd, ssthresh;
	struct l2tp_bytes host, vendor, own_nonce, peer_nonce;
	uint32_t router_id;
	uint8_t quirks, quirks_used, auth, key;
	struct l2tp3_auth keys;
	uint16_t pw_types[L2TP3_PW_TYPES_MAX];
	uint64_t since;
	struct ending why;
	char text[L2TP_TEXT_MAX];
	struct pw circuit; /* what TAG_CIRCUIT and TAG_DATA have */
	struct l2tp_bytes cookie_in, cookie_out, remote_end, local_end, group;
	struct pw_line line;
	bool has_circuit, has_line;
	uint32_t messages;
	bool bad;
};

static void read_ids(struct record3 *r, struct rcur *v)
{
	/* Two ids: a connection; three: a session in one. */
	r->conn = rcur_left(v) == 12 ? rcur_u32(v) : 0;
	r->local = rcur_u32(v);
	r->remote = rcur_u32(v);
	r->has_ids = !v->bad && r->local;
}

static void read_ending(struct record3 *r, struct rcur *v)
{
	r->why.cause = (enum adit_cause)rcur_u16(v);
	r->why.result = rcur_u16(v);
	r->why.error = rcur_u16(v);
	r->why.by_peer = rcur_u8(v);
	engine_name(r->text, sizeof(r->text), rest(v));
	r->why.text = r->text;
	if (r->why.cause >= ADIT_CAUSE_COUNT)
		r->why.cause = ADIT_CAUSE_NONE;
}

static void read_numbers(struct record3 *r, struct rcur *v)
{
	r->ns = rcur_u32(v) & 0xffff;
	r->una = rcur_u32(v) & 0xffff;
	r->nr = rcur_u32(v) & 0xffff;
	r->window = rcur_u32(v);
	r->cwnd = rcur_u32(v);
	r->ssthresh = rcur_u32(v);
}

static void read_circuit(struct record3 *r, struct rcur *v)
{
	struct pw *s = &r->circuit;

	s->type = rcur_u16(v);
	s->serial = rcur_u32(v);
	s->sublayer_in = rcur_u8(v);
	s->sublayer_out = rcur_u8(v);
	s->seq_in = rcur_u8(v);
	s->seq_out = rcur_u8(v);
	s->local_status = rcur_u16(v);
	s->remote_status = rcur_u16(v);
	s->mtu = rcur_u16(v);
	s->peer_mtu = rcur_u16(v);
	r->has_circuit = !v->bad;
}

static void read_line(struct record3 *r, struct rcur *v)
{
	struct pw_line *line = &r->line;

	line->tx_speed = rcur_u64(v);
	line->rx_speed = rcur_u64(v);
	line->peer_tx_speed = rcur_u64(v);
	line->peer_rx_speed = rcur_u64(v);
	line->channel_id = rcur_u32(v);
	for (int i = 0; i < 6; i++)
		line->got[i] = rcur_u32(v);
	for (int i = 0; i < 6; i++)
		line->errors[i] = rcur_u32(v);
	r->has_line = true;
}

static void read_pw_types(struct record3 *r, struct rcur *v)
{
	for (int i = 0; i < L2TP3_PW_TYPES_MAX && rcur_left(v); i++)
		r->pw_types[i] = rcur_u16(v);
}

/* Of a session; false when the tag is not one of them. */
static bool read_session(struct record3 *r, uint16_t tag, struct rcur *v)
{
	switch (tag) {
	case TAG_CIRCUIT:
		read_circuit(r, v);
		return true;
	case TAG_COOKIE_IN:
		r->cookie_in = rest(v);
		return true;
	case TAG_COOKIE_OUT:
		r->cookie_out = rest(v);
		return true;
	case TAG_DATA:
		r->circuit.data_ns = rcur_u32(v);
		r->circuit.data_nr = rcur_u32(v);
		return true;
	case TAG_REMOTE_END:
		r->remote_end = rest(v);
		return true;
	case TAG_LOCAL_END:
		r->local_end = rest(v);
		return true;
	case TAG_GROUP:
		r->group = rest(v);
		return true;
	case TAG_LINE:
		read_line(r, v);
		return true;
	}
	return false;
}

static void read_keys(struct record3 *r, struct rcur *v)
{
	while (rcur_left(v) && !v->bad) {
		struct l2tp3_key *key = r->keys.keys + r->keys.n;

		if (r->keys.n++ == L2TP3_SECRETS_MAX) {
			v->bad = true;
			return;
		}
		key->digest =
			rcur_u8(v) == L2TP3_DIGEST_SHA1 ? L2TP3_DIGEST_SHA1 : L2TP3_DIGEST_MD5;
		rcur_copy(v, key->sign, sizeof(key->sign));
		rcur_copy(v, key->hide, sizeof(key->hide));
	}
}

static void read_conn(struct record3 *r, uint16_t tag, struct rcur *v)
{
	switch (tag) {
	case TAG_PATH:
		path_load(v, &r->path);
		break;
	case TAG_NUMBERS:
		read_numbers(r, v);
		break;
	case TAG_HOST_NAME:
		r->host = rest(v);
		break;
	case TAG_VENDOR_NAME:
		r->vendor = rest(v);
		break;
	case TAG_PEER:
		r->router_id = rcur_u32(v);
		r->quirks = rcur_u8(v);
		r->quirks_used = rcur_u8(v);
		break;
	case TAG_MESSAGE:
		r->messages++;
		break;
	case TAG_AUTH:
		r->auth = rcur_u8(v);
		r->key = rcur_u8(v);
		break;
	case TAG_KEYS:
		read_keys(r, v);
		break;
	case TAG_OWN_NONCE:
		r->own_nonce = rest(v);
		break;
	case TAG_PEER_NONCE:
		r->peer_nonce = rest(v);
		break;
	case TAG_PW_TYPES:
		read_pw_types(r, v);
		break;
	}
}

static void read_one(struct record3 *r, uint16_t tag, struct rcur *v)
{
	switch (tag) {
	case TAG_VERSION:
		r->version = rcur_u32(v);
		break;
	case TAG_IDS:
		read_ids(r, v);
		break;
	case TAG_STATE:
		r->state = rcur_u32(v);
		break;
	case TAG_SINCE:
		r->since = rcur_u64(v);
		break;
	case TAG_ENDING:
		read_ending(r, v);
		break;
	default:
		if (!read_session(r, tag, v))
			read_conn(r, tag, v);
		break;
	}
	r->bad |= v->bad;
}

static void read_record(struct record3 *r, struct rcur *c)
{
	struct rcur v;
	uint16_t tag;

	memset(r, 0, sizeof(*r));
	while (rcur_tlv(c, &tag, &v))
		read_one(r, tag, &v);
	r->bad |= c->bad || r->version != SAVE_VERSION || !r->has_ids;
}

/* ---- connections ---- */

static bool conn_good(const struct record3 *r)
{
	uint32_t state = r->state & 0xff;

	if (r->bad || r->conn || r->path.remote.family == 0 || r->window == 0 || r->cwnd == 0)
		return false;
	if (state != L2TP3_CS_WAIT_REPLY && state != L2TP3_CS_WAIT_CONN && state != L2TP3_CS_UP &&
	    state != L2TP3_CS_CLOSING)
		return false;
	if (state == L2TP3_CS_UP && !r->remote)
		return false;
	if (r->auth > CONN_AUTH_ON || r->own_nonce.n > L2TP3_NONCE ||
	    r->peer_nonce.n > L2TP3_NONCE_MAX)
		return false;
	return ((r->ns - r->una) & 0xffff) == r->messages;
}

/* The profile with the keys of the record, where they are others: its own to unref. NULL: out of
 * memory. */
static struct l2tp3_profile *profile_of(const struct record3 *r, struct l2tp3_profile *p)
{
	struct l2tp3_profile *own;
	int err;

	if (r->auth != CONN_AUTH_ON || !r->keys.n || l2tp3_auth_same(&r->keys, &p->auth))
		return l2tp3_profile_ref(p);
	own = l2tp3_profile_new(&p->p, &err);
	if (own)
		own->auth = r->keys;
	return own;
}

/* The unacknowledged messages, in their order. 0, 1 when one is broken, -ENOMEM. */
static int load_messages(struct l2tp3 *l, struct conn *k, struct rcur c)
{
	struct rcur v;
	uint16_t tag;

	while (rcur_tlv(&c, &tag, &v)) {
		struct l2tp3_header h;
		uint32_t seq;
		uint8_t type, copies;
		struct l2tp_bytes b;

		if (tag != TAG_MESSAGE)
			continue;
		seq = rcur_u32(&v);
		type = rcur_u8(&v);
		copies = rcur_u8(&v);
		b = rest(&v);
		if (v.bad || seq != k->rel.ns || b.n > L2TP_CONTROL_MAX - L2TP3_IP_PREFIX ||
		    l2tp3_header_parse(L2TP3_UDP, b.p, b.n, &h) != L2TP_HDR_OK || !h.control ||
		    h.total != b.n)
			return 1;
		if (rel_push(&k->rel, l->now, type, 0, b.p, b.n) < 0)
			return -ENOMEM;
		k->rel.last->copies = copies ? copies : 1;
	}
	return 0;
}

static void conn_fill(struct l2tp3 *l, struct conn *k, const struct record3 *r, uint64_t owner)
{
	k->owner = owner;
	k->thing.known = true;
	k->thing.recorded = true;
	k->state = (uint8_t)r->state;
	k->initiator = r->state & FLAG_INITIATOR;
	k->was_up = r->state & FLAG_WAS_UP;
	k->verified = r->state & FLAG_VERIFIED;
	k->proved = r->state & FLAG_PROVED;
	k->told_nonce = r->state & FLAG_TOLD_NONCE;
	k->auth = r->auth;
	k->key = k->got_key = r->key < k->profile->auth.n ? r->key : 0;
	k->own_nonce_len = (uint8_t)r->own_nonce.n;
	if (r->own_nonce.n)
		memcpy(k->own_nonce, r->own_nonce.p, r->own_nonce.n);
	digest_peer_nonce(k, r->peer_nonce);
	memcpy(k->pw_types, r->pw_types, sizeof(k->pw_types));
	k->router_id = r->router_id;
	k->quirks |= r->quirks;
	k->quirks_used = r->quirks_used;
	k->since = (struct mono){ (int64_t)r->since };
	k->up_at = (struct mono){ INT64_MIN }; /* long ago: a new SCCRQ is a restart */
	conn_key_peer(l, k, r->remote);
}

static void conn_resume(struct l2tp3 *l, struct conn *k, const struct record3 *r)
{
	struct ending restart = { .cause = ADIT_CAUSE_RESTART,
				  .result = L2TP_STOP_CLEAR,
				  .text = "the connection was being set up when we restarted" };

	switch ((unsigned)k->state) {
	case L2TP3_CS_UP:
		k->was_up = k->verified = true;
		k->heard = l->now;
		doubt3_enter(l, k);
		conn_arm_hello(l, k);
		conn_empty(l, k);
		break;
	case L2TP3_CS_CLOSING:
		k->thing.over = true;
		k->why = r->why;
		k->why.text = NULL;
		k->text = v3_text(l, r->why.text);
		k->want = r->state & FLAG_STOP ? WANT_STOP : 0;
		k->state_at = mono_add(l->now, 2 * L2TP_CYCLE_US);
		v3_news(l, &k->thing, NEWS_DOWN);
		break;
	default:
		rel_abandon(&k->rel);
		k->rel.passive = !k->verified;
		conn_step(l, k, TE_CLOSE, &restart);
		break;
	}
}

static int conn_load(struct l2tp3 *l, struct conn *k, const struct record3 *r, struct rcur c,
		     struct l2tp3_profile *profile, uint64_t owner)
{
	struct l2tp3_profile *own = profile_of(r, profile);
	int rc;

	if (!own)
		return -ENOMEM;
	conn_adopt(k, own);
	l2tp3_profile_unref(own);
	k->rel.p.peer_window = r->window < 0x7fff ? r->window : 0x7fff;
	k->rel.cwnd = r->cwnd < k->rel.p.peer_window ? r->cwnd : k->rel.p.peer_window;
	k->rel.ssthresh = r->ssthresh ? r->ssthresh : 1;
	k->rel.ns = k->rel.una = k->rel.nxt = r->una;
	k->rel.nr = r->nr;
	rc = load_messages(l, k, c);
	if (rc)
		return rc;
	if (conn_names(l, k, r->host, r->vendor) < 0)
		return -ENOMEM;
	conn_fill(l, k, r, owner);
	return 0;
}

int l2tp3_load_conn(struct l2tp3 *l, struct mono now, struct rcur *c, struct l2tp3_profile *profile,
		    uint64_t owner, adit_handle *ret_handle)
{
	struct rcur again = *c;
	struct record3 r;
	struct conn *k;
	int rc;

	v3_enter(l, now);
	if (!profile)
		return -EINVAL;
	read_record(&r, c);
	if (!conn_good(&r))
		return 1;
	if (r.auth == CONN_AUTH_ON && !r.keys.n && !profile->auth.n)
		return L2TP3_LOAD_MUTE;
	rc = conn_new(l, &r.path, false, r.local, &k);
	if (rc)
		return rc == -ENOMEM ? rc : 1;
	rc = conn_load(l, k, &r, again, profile, owner);
	if (rc) {
		conn_undo(l, k);
		return rc;
	}
	trace(l->trace, TRACE_L2TP3_LOADED, l->now, k->handle, k->local_id, 0);
	conn_resume(l, k, &r);
	v3_dirty(l, &k->thing);
	v3_work(l, k);
	conn_timer(l, k);
	*ret_handle = k->handle;
	return 0;
}

/* ---- sessions ---- */

static bool cookie_good(struct l2tp_bytes b)
{
	return b.n == 0 || b.n == 4 || b.n == 8;
}

static bool pw_good(const struct record3 *r)
{
	uint32_t state = r->state & 0xff;
	const struct pw *s = &r->circuit;

	if (r->bad || state >= L2TP_SS_IDLE || state == L2TP3_SS_WAIT_CONN)
		return false;
	if (state == L2TP3_SS_CLOSING)
		return true;
	if (!r->has_circuit || !pw_known(s->type) || !cookie_good(r->cookie_in) ||
	    !cookie_good(r->cookie_out) || r->remote_end.n > L2TP3_END_ID_MAX ||
	    r->local_end.n > L2TP3_END_ID_MAX || r->group.n > L2TP3_END_ID_MAX)
		return false;
	if (s->sublayer_in > L2TP3_SUBLAYER_DEFAULT || s->sublayer_out > L2TP3_SUBLAYER_DEFAULT ||
	    s->seq_in > L2TP3_SEQ_ALL || s->seq_out > L2TP3_SEQ_ALL)
		return false;
	return r->remote || state != L2TP3_SS_UP;
}

/* What is kept outside of the object. 0 or -ENOMEM. */
static int pw_parts(struct l2tp3 *l, struct pw *s, const struct record3 *r)
{
	struct pw_line *line;

	if (pw_set_ends(l, s, r->remote_end, r->local_end, r->group) < 0)
		return -ENOMEM;
	if (!r->has_line)
		return 0;
	line = pw_line(l, s);
	if (!line)
		return -ENOMEM;
	*line = r->line;
	line->wen_at = mono_add(l->now, L2TP_WEN_US); /* when the last one went is not known */
	return 0;
}

static void pw_fill(struct l2tp3 *l, struct pw *s, const struct record3 *r, uint64_t owner)
{
	const struct pw *from = &r->circuit;

	s->owner = owner;
	s->thing.known = true;
	s->thing.recorded = true;
	s->state = (uint8_t)r->state;
	s->initiator = r->state & FLAG_INITIATOR;
	s->outgoing = r->state & FLAG_OUTGOING;
	s->status_told = r->state & FLAG_STATUS_TOLD;
	s->type = from->type;
	s->serial = from->serial;
	s->sublayer_in = from->sublayer_in;
	s->sublayer_out = from->sublayer_out;
	s->seq_in = from->seq_in;
	s->seq_out = from->seq_out;
	s->local_status = from->local_status;
	s->remote_status = from->remote_status;
	s->mtu = from->mtu;
	s->peer_mtu = from->peer_mtu;
	s->data_ns = from->data_ns & 0x00ffffff;
	s->data_nr = from->data_nr & 0x00ffffff;
	s->cookie_in_len = (uint8_t)r->cookie_in.n;
	s->cookie_out_len = (uint8_t)r->cookie_out.n;
	if (r->cookie_in.n)
		memcpy(s->cookie_in, r->cookie_in.p, r->cookie_in.n);
	if (r->cookie_out.n)
		memcpy(s->cookie_out, r->cookie_out.p, r->cookie_out.n);
	s->since = (struct mono){ (int64_t)r->since };
	s->named = true;
	pw_key_remote(l, s, r->remote);
}

static void pw_resume(struct l2tp3 *l, struct pw *s, const struct record3 *r)
{
	struct ending restart = { .cause = ADIT_CAUSE_RESTART,
				  .result = L2TP_CDN_NO_FACILITIES,
				  .text = "the session was being set up when we restarted" };

	if (s->state == L2TP3_SS_UP) {
		if (!s->status_told)
			pw_want(l, s, SEND_SLI);
		return;
	}
	if (s->state == L2TP3_SS_CLOSING) {
		restart = r->why;
		s->state = s->initiator ? L2TP3_SS_WAIT_REPLY : L2TP3_SS_ASKING;
	}
	pw_step(l, s, CE_CLOSE, &restart);
}

/* The ids can be read and the rest cannot: the peer shall know that it is over. */
static int pw_unusable(struct l2tp3 *l, struct conn *k, const struct record3 *r)
{
	struct ending why = { .cause = ADIT_CAUSE_JOURNAL,
			      .result = L2TP_CDN_NO_FACILITIES,
			      .text = "the record of the session could not be read" };

	if (!r->has_ids || k->state != L2TP3_CS_UP || pw_find(l, r->local))
		return 1;
	return pw_refuse(l, k, r->local, r->remote, &why) < 0 ? -ENOMEM : 1;
}

int l2tp3_load_session(struct l2tp3 *l, struct mono now, struct rcur *c, uint64_t owner,
		       adit_handle *ret_handle)
{
	struct record3 r;
	struct conn *k;
	struct pw *s;
	int rc;

	v3_enter(l, now);
	read_record(&r, c);
	k = r.conn ? idmap_find(l->conn_ids, 0, r.conn) : NULL;
	if (!k || k->thing.over)
		return r.bad || !r.conn ? 1 : L2TP3_LOAD_ALONE;
	if (!pw_good(&r))
		return pw_unusable(l, k, &r);
	rc = pw_new(l, k, r.local, &s);
	if (rc)
		return rc == -ENOMEM ? rc : 1;
	rc = pw_parts(l, s, &r);
	if (rc) {
		pw_undo(l, s);
		return rc;
	}
	pw_fill(l, s, &r, owner);
	trace(l->trace, TRACE_L2TP3_LOADED, l->now, s->handle, k->local_id, s->local_id);
	pw_resume(l, s, &r);
	v3_dirty(l, &s->thing);
	*ret_handle = s->handle;
	return 0;
}
