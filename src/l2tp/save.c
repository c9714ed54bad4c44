/* SPDX-License-Identifier: MIT
 *
 * Records of tunnels and sessions that outlive the process, as (tag, length, value) with tags that
 * a reader skips when it does not know them. See include/adit/l2tp.h, "what must outlive the
 * process".
 *
 * A tunnel's record has its ids, its path, the sequence numbers and windows, and every message that
 * has a number and is not acknowledged. A session's record exists from the moment the peer may know
 * of it until its CDN has a number; from then on the CDN is in the tunnel's record.
 *
 * What comes back: an established tunnel goes on, and its unacknowledged messages are sent again.
 * A tunnel that was being set up ends with StopCCN, a session with CDN; what was ending goes on
 * doing so. Timers start anew.
 */
#include "l2tp/internal.h"

#define SAVE_VERSION 1

enum tag {
	TAG_VERSION = 1,
	TAG_IDS = 2, /* tunnel: local, remote; session: local tunnel, local, remote */
	TAG_STATE = 3,
	TAG_PATH = 4,
	TAG_NUMBERS = 5, /* tunnel: ns, una, nr, peer's window, cwnd, ssthresh */
	TAG_HOST_NAME = 6,
	TAG_VENDOR_NAME = 7,
	TAG_CAPABILITIES = 8, /* framing, bearer */
	TAG_MESSAGE = 9,      /* number, session, type, copies, octets */
	TAG_SINCE = 10,
	TAG_ENDING = 11, /* cause, result, error, by_peer, text */
	TAG_CALL = 12,	 /* serial, tx speed, rx speed, framing */
	TAG_DATA = 13,	 /* ns, nr */
	TAG_CALLING = 14,
	TAG_CALLED = 15,
	TAG_SUB_ADDRESS = 16,
	TAG_OUTGOING = 17, /* of an OCRQ: slowest, fastest, bearer */
	TAG_PROXY = 18,	   /* the records of struct l2tp_event */
	TAG_LINE = 19,	   /* SLI or not, its masks, errors told by WEN, errors of ours */
	TAG_QUIRKS = 20	   /* of a tunnel: quirks, those used, firmware */
};

/* Bits above the state. */
#define FLAG_INITIATOR 0x0100
#define FLAG_WAS_UP    0x0200
#define FLAG_VERIFIED  0x0400
#define FLAG_STOP      0x0800 /* StopCCN has no number yet */
#define FLAG_SEND_SEQ  0x1000
#define FLAG_NEED_SEQ  0x2000
#define FLAG_OUTGOING  0x4000

/* ---- writing ---- */

static void save_text(struct wcur *c, uint16_t tag, const char *s)
{
	if (s && s[0])
		wcur_tlv_bytes(c, tag, s, strlen(s));
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
		wcur_u32(c, m->session);
		wcur_u8(c, m->type);
		wcur_u8(c, m->copies);
		wcur_bytes(c, m->bytes, m->len);
		wcur_tlv_end(c, at);
	}
}

static void save_tunnel(const struct tunnel *t, struct wcur *c)
{
	uint32_t state = t->state;
	size_t at;

	state |= t->initiator ? FLAG_INITIATOR : 0;
	state |= t->was_up ? FLAG_WAS_UP : 0;
	state |= t->verified ? FLAG_VERIFIED : 0;
	state |= t->want & WANT_STOP ? FLAG_STOP : 0;
	wcur_tlv_u32(c, TAG_VERSION, SAVE_VERSION);
	wcur_tlv_u32(c, TAG_IDS, (uint32_t)t->local_id << 16 | t->remote_id);
	wcur_tlv_u32(c, TAG_STATE, state);
	at = wcur_tlv_begin(c, TAG_PATH);
	path_save(c, &t->path);
	wcur_tlv_end(c, at);
	at = wcur_tlv_begin(c, TAG_CAPABILITIES);
	wcur_u32(c, t->peer_framing);
	wcur_u32(c, t->peer_bearer);
	wcur_tlv_end(c, at);
	at = wcur_tlv_begin(c, TAG_QUIRKS);
	wcur_u8(c, t->quirks);
	wcur_u8(c, t->quirks_used);
	wcur_u16(c, t->firmware);
	wcur_tlv_end(c, at);
	wcur_tlv_u64(c, TAG_SINCE, (uint64_t)t->since.us);
	save_text(c, TAG_HOST_NAME, t->host_name);
	save_text(c, TAG_VENDOR_NAME, t->vendor_name);
	if (t->thing.over)
		save_ending(c, &t->why, t->text);
	save_numbers(c, &t->rel);
}

/* What a call has beside its numbers and its state. */
static void save_call(const struct session *s, struct wcur *c)
{
	size_t at;

	if (s->numbers) {
		save_text(c, TAG_CALLING, s->numbers->text);
		save_text(c, TAG_CALLED, s->numbers->text + s->numbers->called);
		save_text(c, TAG_SUB_ADDRESS, s->numbers->text + s->numbers->sub_address);
	}
	if (s->outgoing && s->numbers) {
		at = wcur_tlv_begin(c, TAG_OUTGOING);
		wcur_u32(c, s->numbers->min_bps);
		wcur_u32(c, s->numbers->max_bps);
		wcur_u32(c, s->numbers->bearer);
		wcur_tlv_end(c, at);
	}
	if (s->proxy)
		wcur_tlv_bytes(c, TAG_PROXY, s->proxy->bytes, s->proxy->len);
	if (!s->line)
		return;
	at = wcur_tlv_begin(c, TAG_LINE);
	wcur_u8(c, s->line->accm);
	wcur_u32(c, s->line->send);
	wcur_u32(c, s->line->recv);
	for (int i = 0; i < 6; i++)
		wcur_u32(c, s->line->got[i]);
	for (int i = 0; i < 6; i++)
		wcur_u32(c, s->line->errors[i]);
	wcur_tlv_end(c, at);
}

static void save_session(const struct session *s, struct wcur *c)
{
	struct ending why = { .cause = (enum adit_cause)s->cause,
			      .result = s->result,
			      .error = s->error,
			      .by_peer = s->by_peer };
	uint32_t state = s->state;
	size_t at;

	state |= s->initiator ? FLAG_INITIATOR : 0;
	state |= s->outgoing ? FLAG_OUTGOING : 0;
	state |= s->send_seq ? FLAG_SEND_SEQ : 0;
	state |= s->require_seq ? FLAG_NEED_SEQ : 0;
	wcur_tlv_u32(c, TAG_VERSION, SAVE_VERSION);
	at = wcur_tlv_begin(c, TAG_IDS);
	wcur_u16(c, s->tunnel->local_id);
	wcur_u16(c, s->local_id);
	wcur_u16(c, s->remote_id);
	wcur_tlv_end(c, at);
	wcur_tlv_u32(c, TAG_STATE, state);
	if (s->state == L2TP_SS_CLOSING) {
		save_ending(c, &why, s->text);
		return;
	}
	at = wcur_tlv_begin(c, TAG_CALL);
	wcur_u32(c, s->serial);
	wcur_u32(c, s->tx_speed);
	wcur_u32(c, s->rx_speed);
	wcur_u32(c, s->framing);
	wcur_tlv_end(c, at);
	at = wcur_tlv_begin(c, TAG_DATA);
	wcur_u16(c, s->data_ns);
	wcur_u16(c, s->data_nr);
	wcur_tlv_end(c, at);
	wcur_tlv_u64(c, TAG_SINCE, (uint64_t)s->since.us);
	save_call(s, c);
}

void l2tp_save(const struct l2tp *l, enum l2tp_object kind, adit_handle h, struct wcur *c)
{
	const struct session *s;
	const struct tunnel *t;

	switch (kind) {
	case L2TP_OBJ_TUNNEL:
		t = pool_get(l->tunnels, h);
		if (t && !t->thing.finished)
			save_tunnel(t, c);
		break;
	case L2TP_OBJ_SESSION:
		s = pool_get(l->sessions, h);
		if (s && !s->thing.finished)
			save_session(s, c);
		break;
	}
}

/* ---- reading ---- */

static struct l2tp_bytes rest(struct rcur *c)
{
	uint16_t n = (uint16_t)rcur_left(c);

	return (struct l2tp_bytes){ rcur_take(c, n), n };
}

struct record {
	uint32_t version, state;
	uint16_t tunnel, local, remote;
	bool has_ids;
	struct path path;
	uint32_t ns, una, nr, window, cwnd, ssthresh;
	struct l2tp_bytes host, vendor;
	uint32_t framing_caps, bearer_caps;
	uint8_t quirks, quirks_used;
	uint16_t firmware;
	uint64_t since;
	struct ending why;
	char text[L2TP_TEXT_MAX];
	uint32_t serial, tx, rx, framing;
	uint16_t data_ns, data_nr;
	char calling[L2TP_NUMBER_MAX], called[L2TP_NUMBER_MAX], sub[L2TP_NUMBER_MAX];
	uint32_t min_bps, max_bps, bearer;
	struct l2tp_bytes proxy;
	struct session_line line;
	bool has_line;
	uint32_t messages;
	bool bad;
};

static void read_ids(struct record *r, struct rcur *v)
{
	/* Two ids: a tunnel; three: a session in one. */
	r->tunnel = rcur_left(v) == 6 ? rcur_u16(v) : 0;
	r->local = rcur_u16(v);
	r->remote = rcur_u16(v);
	r->has_ids = !v->bad && r->local;
}

static void read_ending(struct record *r, struct rcur *v)
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

static void read_numbers(struct record *r, struct rcur *v)
{
	r->ns = rcur_u32(v) & 0xffff;
	r->una = rcur_u32(v) & 0xffff;
	r->nr = rcur_u32(v) & 0xffff;
	r->window = rcur_u32(v);
	r->cwnd = rcur_u32(v);
	r->ssthresh = rcur_u32(v);
}

static void read_call(struct record *r, struct rcur *v)
{
	r->serial = rcur_u32(v);
	r->tx = rcur_u32(v);
	r->rx = rcur_u32(v);
	r->framing = rcur_u32(v);
}

static void read_line(struct record *r, struct rcur *v)
{
	r->line.accm = rcur_u8(v);
	r->line.send = rcur_u32(v);
	r->line.recv = rcur_u32(v);
	for (int i = 0; i < 6; i++)
		r->line.got[i] = rcur_u32(v);
	for (int i = 0; i < 6; i++)
		r->line.errors[i] = rcur_u32(v);
	r->has_line = true;
}

static void read_one(struct record *r, uint16_t tag, struct rcur *v)
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
	case TAG_CAPABILITIES:
		r->framing_caps = rcur_u32(v);
		r->bearer_caps = rcur_u32(v);
		break;
	case TAG_MESSAGE:
		r->messages++;
		break;
	case TAG_SINCE:
		r->since = rcur_u64(v);
		break;
	case TAG_ENDING:
		read_ending(r, v);
		break;
	case TAG_CALL:
		read_call(r, v);
		break;
	case TAG_DATA:
		r->data_ns = rcur_u16(v);
		r->data_nr = rcur_u16(v);
		break;
	case TAG_CALLING:
		engine_name(r->calling, sizeof(r->calling), rest(v));
		break;
	case TAG_CALLED:
		engine_name(r->called, sizeof(r->called), rest(v));
		break;
	case TAG_SUB_ADDRESS:
		engine_name(r->sub, sizeof(r->sub), rest(v));
		break;
	case TAG_OUTGOING:
		r->min_bps = rcur_u32(v);
		r->max_bps = rcur_u32(v);
		r->bearer = rcur_u32(v);
		break;
	case TAG_PROXY:
		r->proxy = rest(v);
		break;
	case TAG_LINE:
		read_line(r, v);
		break;
	case TAG_QUIRKS:
		r->quirks = rcur_u8(v);
		r->quirks_used = rcur_u8(v);
		r->firmware = rcur_u16(v);
		break;
	}
	r->bad |= v->bad;
}

static void read_record(struct record *r, struct rcur *c)
{
	struct rcur v;
	uint16_t tag;

	memset(r, 0, sizeof(*r));
	while (rcur_tlv(c, &tag, &v))
		read_one(r, tag, &v);
	r->bad |= c->bad || r->version != SAVE_VERSION || !r->has_ids;
}

/* ---- tunnels ---- */

static bool tunnel_good(const struct record *r)
{
	uint32_t state = r->state & 0xff;

	if (r->bad || r->tunnel || r->path.remote.family == 0 || r->window == 0 || r->cwnd == 0)
		return false;
	if (state != L2TP_TS_WAIT_REPLY && state != L2TP_TS_WAIT_CONN && state != L2TP_TS_UP &&
	    state != L2TP_TS_CLOSING)
		return false;
	if (state == L2TP_TS_UP && !r->remote)
		return false;
	return ((r->ns - r->una) & 0xffff) == r->messages;
}

/* The unacknowledged messages, in their order. 0, 1 when one is broken, -ENOMEM. */
static int load_messages(struct l2tp *l, struct tunnel *t, struct rcur c)
{
	struct rcur v;
	uint16_t tag;

	while (rcur_tlv(&c, &tag, &v)) {
		struct l2tp_header h;
		uint32_t seq, session;
		uint8_t type, copies;
		struct l2tp_bytes b;

		if (tag != TAG_MESSAGE)
			continue;
		seq = rcur_u32(&v);
		session = rcur_u32(&v);
		type = rcur_u8(&v);
		copies = rcur_u8(&v);
		b = rest(&v);
		if (v.bad || seq != t->rel.ns || b.n > L2TP_CONTROL_MAX ||
		    l2tp_header_parse(b.p, b.n, &h) != L2TP_HDR_OK || !(h.flags & L2TP_HDR_T) ||
		    h.payload + h.len != b.n)
			return 1;
		if (rel_push(&t->rel, l->now, type, session, b.p, b.n) < 0)
			return -ENOMEM;
		t->rel.last->copies = copies ? copies : 1;
	}
	return 0;
}

static void tunnel_fill(struct l2tp *l, struct tunnel *t, const struct record *r, uint64_t owner)
{
	t->owner = owner;
	t->thing.known = true;
	t->thing.recorded = true;
	t->state = (uint8_t)r->state;
	t->initiator = r->state & FLAG_INITIATOR;
	t->was_up = r->state & FLAG_WAS_UP;
	t->verified = r->state & FLAG_VERIFIED;
	t->peer_framing = r->framing_caps;
	t->peer_bearer = r->bearer_caps;
	t->quirks |= r->quirks;
	t->quirks_used = r->quirks_used;
	t->firmware = r->firmware;
	t->since = (struct mono){ (int64_t)r->since };
	t->up_at = (struct mono){ INT64_MIN }; /* long ago: a new SCCRQ is a restart */
	tunnel_key_peer(l, t, r->remote);
}

static void tunnel_resume(struct l2tp *l, struct tunnel *t, const struct record *r)
{
	struct ending restart = { .cause = ADIT_CAUSE_RESTART,
				  .result = L2TP_STOP_CLEAR,
				  .text = "the tunnel was being set up when we restarted" };

	switch ((unsigned)t->state) {
	case L2TP_TS_UP:
		t->was_up = t->verified = true;
		doubt_enter(l, t);
		t->hello_at = t->profile->p.hello_us < 0 || (t->quirks & L2TP_QUIRK_NO_HELLO)
				      ? MONO_NEVER
				      : mono_add(l->now, t->profile->p.hello_us);
		tunnel_empty(l, t);
		break;
	case L2TP_TS_CLOSING:
		t->thing.over = true;
		t->why = r->why;
		t->why.text = NULL;
		t->text = engine_text(l, r->why.text);
		t->want = r->state & FLAG_STOP ? WANT_STOP : 0;
		t->state_at = mono_add(l->now, 2 * L2TP_CYCLE_US);
		thing_news(l, &t->thing, NEWS_DOWN);
		break;
	default:
		rel_abandon(&t->rel);
		t->rel.passive = !t->verified;
		tunnel_step(l, t, TE_CLOSE, &restart);
		break;
	}
}

static int tunnel_load(struct l2tp *l, struct tunnel *t, const struct record *r, struct rcur c,
		       struct l2tp_profile *profile, uint64_t owner)
{
	int rc;

	tunnel_adopt(t, profile);
	t->rel.p.peer_window = r->window < 0x7fff ? r->window : 0x7fff;
	t->rel.cwnd = r->cwnd < t->rel.p.peer_window ? r->cwnd : t->rel.p.peer_window;
	t->rel.ssthresh = r->ssthresh ? r->ssthresh : 1;
	t->rel.ns = t->rel.una = t->rel.nxt = r->una;
	t->rel.nr = r->nr;
	rc = load_messages(l, t, c);
	if (rc)
		return rc;
	if (tunnel_names(l, t, r->host, r->vendor) < 0)
		return -ENOMEM;
	tunnel_fill(l, t, r, owner);
	return 0;
}

int l2tp_load_tunnel(struct l2tp *l, struct mono now, struct rcur *c, struct l2tp_profile *profile,
		     uint64_t owner, adit_handle *ret_handle)
{
	struct rcur again = *c;
	struct record r;
	struct tunnel *t;
	int rc;

	engine_enter(l, now);
	if (!profile)
		return -EINVAL;
	read_record(&r, c);
	if (!tunnel_good(&r))
		return 1;
	rc = tunnel_new_with_id(l, &r.path, r.local, &t);
	if (rc)
		return rc == -ENOMEM ? rc : 1;
	rc = tunnel_load(l, t, &r, again, profile, owner);
	if (rc) {
		tunnel_undo(l, t);
		return rc;
	}
	trace(tunnel_trace(l, t), TRACE_L2TP_LOADED, l->now, t->handle, t->local_id, 0);
	tunnel_resume(l, t, &r);
	thing_dirty(l, &t->thing);
	engine_work(l, t);
	tunnel_timer(l, t);
	*ret_handle = t->handle;
	return 0;
}

/* ---- sessions ---- */

static bool session_good(const struct record *r)
{
	uint32_t state = r->state & 0xff;

	if (r->bad || state >= L2TP_SS_IDLE || state == L2TP_SS_WAIT_TUNNEL)
		return false;
	return (r->remote || state != L2TP_SS_UP) && r->proxy.n <= L2TP_PROXY_MAX;
}

/* What is kept outside of the object. 0 or -ENOMEM. */
static int session_parts(struct l2tp *l, struct session *s, const struct record *r)
{
	struct session_line *line;

	s->outgoing = r->state & FLAG_OUTGOING;
	if (session_set_numbers(l, s, r->calling, r->called, r->sub) < 0 ||
	    session_set_proxy(l, s, r->proxy.p, r->proxy.n) < 0)
		return -ENOMEM;
	if (s->outgoing) {
		s->numbers->min_bps = r->min_bps;
		s->numbers->max_bps = r->max_bps;
		s->numbers->bearer = r->bearer;
	}
	if (!r->has_line)
		return 0;
	line = call_line(l, s);
	if (!line)
		return -ENOMEM;
	*line = r->line;
	line->wen_at = mono_add(l->now, L2TP_WEN_US); /* when the last one went is not known */
	return 0;
}

static void session_fill(struct l2tp *l, struct session *s, const struct record *r, uint64_t owner)
{
	s->owner = owner;
	s->thing.known = true;
	s->thing.recorded = true;
	s->state = (uint8_t)r->state;
	s->initiator = r->state & FLAG_INITIATOR;
	s->send_seq = r->state & FLAG_SEND_SEQ;
	s->require_seq = s->ask_seq = r->state & FLAG_NEED_SEQ;
	s->serial = r->serial;
	s->tx_speed = r->tx;
	s->rx_speed = r->rx;
	s->framing = r->framing;
	s->data_ns = r->data_ns;
	s->data_nr = r->data_nr;
	s->since = (struct mono){ (int64_t)r->since };
	session_key_remote(l, s, r->remote);
}

static void session_resume(struct l2tp *l, struct session *s, const struct record *r)
{
	struct ending restart = { .cause = ADIT_CAUSE_RESTART,
				  .result = L2TP_CDN_NO_FACILITIES,
				  .text = "the session was being set up when we restarted" };

	if (s->state == L2TP_SS_UP)
		return;
	if (s->state == L2TP_SS_CLOSING) {
		restart = r->why;
		s->state = s->initiator ? L2TP_SS_WAIT_REPLY : L2TP_SS_ASKING;
	}
	call_step(l, s, CE_CLOSE, &restart);
}

/* The ids can be read and the rest cannot: the peer shall know that it is over. */
static int session_unusable(struct l2tp *l, struct tunnel *t, const struct record *r)
{
	struct ending why = { .cause = ADIT_CAUSE_JOURNAL,
			      .result = L2TP_CDN_NO_FACILITIES,
			      .text = "the record of the session could not be read" };

	if (!r->has_ids || t->state != L2TP_TS_UP ||
	    idmap_find(l->session_ids, t->local_id, r->local))
		return 1;
	return call_refuse(l, t, r->local, r->remote, &why) < 0 ? -ENOMEM : 1;
}

int l2tp_load_session(struct l2tp *l, struct mono now, struct rcur *c, uint64_t owner,
		      adit_handle *ret_handle)
{
	struct record r;
	struct session *s;
	struct tunnel *t;
	int rc;

	engine_enter(l, now);
	read_record(&r, c);
	t = r.tunnel ? idmap_find(l->tunnel_ids, 0, r.tunnel) : NULL;
	if (!t || t->thing.over)
		return 1;
	if (!session_good(&r))
		return session_unusable(l, t, &r);
	rc = session_new(l, t, r.local, &s);
	if (rc)
		return rc == -ENOMEM ? rc : 1;
	rc = session_parts(l, s, &r);
	if (rc) {
		session_undo(l, s);
		return rc;
	}
	session_fill(l, s, &r, owner);
	trace(l->trace, TRACE_L2TP_LOADED, l->now, s->handle, t->local_id, s->local_id);
	session_resume(l, s, &r);
	thing_dirty(l, &s->thing);
	*ret_handle = s->handle;
	return 0;
}
