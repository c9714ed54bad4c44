/* SPDX-License-Identifier: MIT
 *
 * Records that outlive the process, and recovery from them. internal.h says in which order they are
 * handed out and why. A record is a sequence of (tag, length, value); tags that a reader does not
 * know are skipped.
 *
 * Keys. Session keys, tunnel keys and line ids come from one counter. The STATE record has an upper
 * bound (keys_until) that is KEYS_AHEAD in front of what was given out, so keys are never used
 * twice although the data plane hears of a key before the journal does.
 *
 * Recovery. Tunnels and sessions that were established go on. What was being set up, and what was
 * ending, is ended: L2TP is told again, the row is removed once more, the stop line is made if it
 * was not yet.
 */
#include "save.h"

#define KEYS_AHEAD 65536
#define STATE_ID   1

uint64_t acc_key_new(struct access *a)
{
	uint64_t key = a->next_key++;

	if (a->next_key + KEYS_AHEAD / 2 > a->keys_until) {
		a->keys_until = a->next_key + KEYS_AHEAD;
		a->state_dirty = true;
	}
	return key;
}

/* ---- what changed ---- */

/* Is the CDN of this session still on its way into the tunnel's record? */
static bool closing(const struct access *a, const struct acc_end *e)
{
	struct acc_call i;

	return acc_l2_call(a, e->s->tunnel->version, e->closing, &i);
}

/* Dead sessions whose CDN had no number: is it in the tunnel's record now? */
static void look_again(struct access *a)
{

	list_for_each_safe (it, &a->held) {
		struct acc_end *e = container_of(it, struct acc_end, held);

		if (closing(a, e))
			continue;
		list_drop(&e->held);
		acc_queue_push(&a->gone, &e->s->dirty);
	}
}

static void pull_tunnel(struct access *a, uint8_t version, adit_handle h, bool gone)
{
	struct acc_tunnel *t = acc_tunnel_by_record(a, version, h);
	struct l2tp_tunnel_info i;

	if (!t && !gone && acc_l2_tunnel(a, version, h, &i))
		t = acc_tunnel_of(a, i.owner);
	if (!t || t->version != version)
		return; /* ended before there was a record */
	acc_tunnel_record(a, t, gone ? 0 : h);
	acc_tunnel_dirty(a, t);
}

static void pull_l2tp(struct access *a)
{
	enum l2tp_object kind;
	struct acc_session *s;
	struct acc_call i;
	uint8_t version;
	adit_handle h;
	bool gone, any = false;

	while (acc_l2_dirty(a, &version, &kind, &h, &gone)) {
		if (kind == L2TP_OBJ_TUNNEL) {
			pull_tunnel(a, version, h, gone);
		} else if (gone) {
			any = true;
		} else if (acc_l2_call(a, version, h, &i)) {
			s = acc_session_of(a, i.l2tp.owner);
			if (s && s->l2tp == h)
				acc_session_dirty(a, s);
		}
	}
	if (any)
		look_again(a);
}

static void pull_ppp(struct access *a)
{
	struct acc_session *s;
	adit_handle h;
	uint64_t owner;

	while (ppp_dirty(a->ppp, &h, &owner)) {
		s = acc_session_of(a, owner);
		if (s && s->ppp == h)
			acc_session_dirty(a, s);
	}
}

/* One object that access_dirty() returns. */
struct found {
	enum access_object kind;
	uint64_t id;
	bool gone;
};

static bool dirty_line(struct access *a, struct found *ret)
{
	struct acc_link *link;

	while ((link = acc_queue_pop(&a->line_dirty))) {
		struct acc_line *l = container_of(link, struct acc_line, dirty);

		if (l->gone) {
			acc_line_free(a, l);
			continue;
		}
		l->saved = true;
		a->last_line = l;
		*ret = (struct found){ ACCESS_OBJ_ACCT, l->id, false };
		return true;
	}
	return false;
}

static bool dirty_line_gone(struct access *a, struct found *ret)
{
	struct acc_link *link;

	while ((link = acc_queue_pop(&a->line_gone))) {
		struct acc_line *l = container_of(link, struct acc_line, dirty);
		bool saved = l->saved;

		*ret = (struct found){ ACCESS_OBJ_ACCT, l->id, true };
		acc_line_free(a, l);
		if (saved)
			return true;
	}
	return false;
}

static bool dirty_tunnel(struct access *a, struct acc_tunnel *t, struct found *ret)
{
	bool there = t->record != 0, tell = t->changed && (there || t->saved);

	*ret = (struct found){ ACCESS_OBJ_TUNNEL, t->key, !there };
	if (t->changed)
		t->saved = there;
	t->changed = false;
	acc_tunnel_settle(a, t);
	return tell;
}

/*
 * A successor ends what was being set up, and needs the ids of the call for that. The addresses
 * too, once there may be a row that has them. What else has changed by then makes no difference to
 * it.
 */
static bool same_to_successor(const struct acc_session *s)
{
	return s->saved && s->ids_saved && !s->established && !s->ending && !s->row &&
	       s->state < ACC_ROW;
}

static bool dirty_session(struct access *a, struct acc_session *s, struct found *ret)
{
	bool tell = s->changed && !same_to_successor(s);

	*ret = (struct found){ ACCESS_OBJ_SESSION, s->key, false };
	a->last_session = s;
	s->changed = false;
	if (s->state != ACC_DEAD) {
		s->saved = true;
		s->ids_saved = s->remote_id != 0;
		s->end_saved = s->ending;
		return tell;
	}
	if (!s->saved) {
		acc_session_settle(a, s); /* may be the end of it */
		return false;
	}
	tell = !s->end_saved;
	s->end_saved = true;
	acc_queue_push(&a->gone, &s->dirty);
	return tell;
}

static bool dirty_session_gone(struct access *a, struct acc_session *s, struct found *ret)
{
	if (s->end && s->end->closing && closing(a, s->end)) {
		list_push(&a->held, &s->end->held);
		return false;
	}
	*ret = (struct found){ ACCESS_OBJ_SESSION, s->key, true };
	s->saved = false;
	acc_session_settle(a, s);
	return true;
}

static bool next_dirty(struct access *a, struct found *ret)
{
	struct acc_link *link;

	if (a->line_first && dirty_line(a, ret))
		return true;
	a->line_first = false;
	if (a->state_dirty) {
		a->state_dirty = false;
		*ret = (struct found){ ACCESS_OBJ_STATE, STATE_ID, false };
		return true;
	}
	if (dirty_line(a, ret))
		return true;
	while ((link = acc_queue_pop(&a->tunnel_first))) {
		if (dirty_tunnel(a, container_of(link, struct acc_tunnel, first), ret))
			return true;
	}
	while ((link = acc_queue_pop(&a->dirty))) {
		if (dirty_session(a, container_of(link, struct acc_session, dirty), ret))
			return true;
	}
	while ((link = acc_queue_pop(&a->tunnel_dirty))) {
		if (dirty_tunnel(a, container_of(link, struct acc_tunnel, dirty), ret))
			return true;
	}
	while ((link = acc_queue_pop(&a->gone))) {
		if (dirty_session_gone(a, container_of(link, struct acc_session, dirty), ret))
			return true;
	}
	return dirty_line_gone(a, ret);
}

bool access_dirty(struct access *a, enum access_object *ret_kind, uint64_t *ret_id, bool *ret_gone)
{
	struct found f;

	acc_begin(a);
	pull_l2tp(a);
	pull_ppp(a);
	if (!next_dirty(a, &f))
		return false;
	*ret_kind = f.kind;
	*ret_id = f.id;
	*ret_gone = f.gone;
	return true;
}

/* ---- writing ---- */

static void put_text(struct wcur *c, uint16_t tag, const char *s)
{
	if (s && s[0])
		wcur_tlv_bytes(c, tag, s, strlen(s));
}

/* Each session has it, for a successor that has lost its tunnel: so there is a short form. */
static void put_path(struct wcur *c, const struct path *p)
{
	bool short4 = p->local.family == AF_INET && p->remote.family == AF_INET &&
		      !p->local.scope && !p->remote.scope;
	size_t at = wcur_tlv_begin(c, short4 ? ACC_TAG_PATH4 : ACC_TAG_PATH);

	if (short4) {
		wcur_u32(c, p->via);
		wcur_bytes(c, p->local.ip, 4);
		wcur_u16(c, p->local.port);
		wcur_bytes(c, p->remote.ip, 4);
		wcur_u16(c, p->remote.port);
	} else {
		path_save(c, p);
	}
	wcur_tlv_end(c, at);
}

static void put_prefix(struct wcur *c, const struct prefix *p)
{
	wcur_u8(c, p->addr.family == AF_INET6 ? 6 : 4);
	wcur_u8(c, p->len);
	wcur_bytes(c, p->addr.ip, 16);
}

static void put_version(struct wcur *c, const struct acc_tunnel *t)
{
	size_t at;

	if (t->version == 2)
		return;
	at = wcur_tlv_begin(c, ACC_TAG_VERSION);
	wcur_u8(c, t->version);
	wcur_tlv_end(c, at);
}

static void save_state(const struct access *a, struct wcur *c)
{
	size_t at, n = 0;

	wcur_tlv_u64(c, ACC_TAG_KEYS, a->keys_until);
	at = wcur_tlv_begin(c, ACC_TAG_COUNTS);
	wcur_u64(c, a->setups);
	wcur_u64(c, a->failures);
	wcur_tlv_end(c, at);
	if (a->drain && !a->drain_stop)
		wcur_tlv_u32(c, ACC_TAG_DRAIN, a->drain_rate);
	at = wcur_tlv_begin(c, ACC_TAG_STOPPED);
	for (size_t i = 0; i < a->dial_count && n < ACC_STOPPED; i++) {
		if (!a->dials[i]->stopped || a->dials[i]->gone)
			continue;
		wcur_u64(c, acc_dial_hash(a->dials[i]->c->name));
		n++;
	}
	wcur_tlv_end(c, at);
}

static void save_tunnel(const struct access *a, const struct acc_tunnel *t, struct wcur *c)
{
	uint32_t flags = (t->client ? FLAG_CLIENT : 0) | (t->up ? FLAG_UP : 0) |
			 (t->closing ? FLAG_ENDING : 0);
	size_t at;

	wcur_tlv_u32(c, ACC_TAG_FLAGS, flags);
	put_version(c, t);
	put_text(c, ACC_TAG_NAME, t->name);
	put_text(c, ACC_TAG_HOST, t->host);
	if (t->dial)
		wcur_tlv_u64(c, ACC_TAG_DIGEST, t->dial->c->digest);
	at = wcur_tlv_begin(c, ACC_TAG_L2TP);
	acc_l2_save(a, t->version, L2TP_OBJ_TUNNEL, t->record, c);
	wcur_tlv_end(c, at);
}

static void save_line(const struct acc_line *l, struct wcur *c)
{
	size_t at = wcur_tlv_begin(c, ACC_TAG_LINE);

	wcur_u64(c, l->key);
	wcur_u32(c, l->seq);
	wcur_u8(c, l->event);
	wcur_bytes(c, l->text, l->len);
	wcur_tlv_end(c, at);
}

static uint32_t session_flags(const struct acc_session *s)
{
	return (s->dial ? FLAG_CLIENT : 0) | (s->established ? FLAG_ESTABLISHED : 0) |
	       (s->ending ? FLAG_ENDING : 0) | (s->stopped ? FLAG_STOPPED : 0) |
	       (s->by_peer ? FLAG_BY_PEER : 0) | (s->ip4 ? FLAG_IP4 : 0) | (s->ip6 ? FLAG_IP6 : 0) |
	       (s->want_ip4 ? FLAG_WANT_IP4 : 0) | (s->want_ip6 ? FLAG_WANT_IP6 : 0) |
	       (s->row ? FLAG_ROW : 0) | (s->ra_got ? FLAG_RA : 0) | (s->up_told ? FLAG_TOLD : 0);
}

static void save_whose(const struct acc_session *s, struct wcur *c)
{
	const struct acc_tunnel *t = s->tunnel;
	size_t at;

	wcur_tlv_u32(c, ACC_TAG_FLAGS, session_flags(s));
	at = wcur_tlv_begin(c, ACC_TAG_IDS);
	wcur_u64(c, t->key);
	wcur_u16(c, (uint16_t)t->local_id);
	wcur_u16(c, (uint16_t)t->remote_id);
	wcur_u16(c, (uint16_t)s->local_id);
	wcur_u16(c, (uint16_t)s->remote_id);
	wcur_tlv_end(c, at);
	put_version(c, t);
	if (t->version == 3) {
		at = wcur_tlv_begin(c, ACC_TAG_IDS3);
		wcur_u32(c, t->local_id);
		wcur_u32(c, t->remote_id);
		wcur_u32(c, s->local_id);
		wcur_u32(c, s->remote_id);
		wcur_tlv_end(c, at);
	}
	put_path(c, &t->path);
	put_text(c, ACC_TAG_NAME, t->name);
	put_text(c, ACC_TAG_HOST, t->host);
	if (s->profile)
		put_text(c, ACC_TAG_PROFILE, s->profile->name);
	if (s->dial)
		wcur_tlv_u64(c, ACC_TAG_DIGEST, s->dial->c->digest);
	if (s->calling_len)
		wcur_tlv_bytes(c, ACC_TAG_CALLING, acc_calling(s), s->calling_len);
	if (s->called_len)
		wcur_tlv_bytes(c, ACC_TAG_CALLED, acc_called(s), s->called_len);
	if (s->user_len)
		wcur_tlv_bytes(c, ACC_TAG_USER, acc_user(s), s->user_len);
	put_text(c, ACC_TAG_IFNAME, s->ifname);
}

static void save_addresses(const struct acc_session *s, struct wcur *c)
{
	struct prefix p;
	size_t at = wcur_tlv_begin(c, ACC_TAG_ADDRESSES);

	wcur_bytes(c, s->our_ip4, 4);
	wcur_bytes(c, s->peer_ip4, 4);
	wcur_bytes(c, s->our_iid, 8);
	wcur_bytes(c, s->peer_iid, 8);
	wcur_tlv_end(c, at);
	if (acc_session_prefix6(s, &p)) {
		at = wcur_tlv_begin(c, ACC_TAG_PREFIX6);
		put_prefix(c, &p);
		wcur_tlv_end(c, at);
	}
	if (s->route_count) {
		at = wcur_tlv_begin(c, ACC_TAG_ROUTES);
		for (uint8_t i = 0; i < s->route_count; i++)
			put_prefix(c, &s->routes[i]);
		wcur_tlv_end(c, at);
	}
	if (s->dial) {
		at = wcur_tlv_begin(c, ACC_TAG_DNS);
		for (int i = 0; i < 2; i++) {
			addr_save(c, &s->dial->dns4[i]);
			addr_save(c, &s->dial->dns6[i]);
		}
		wcur_tlv_end(c, at);
	}
}

static void save_engines(const struct access *a, const struct acc_session *s, struct wcur *c)
{
	size_t at;

	if (s->l2tp || (s->end && s->end->blob_len)) {
		at = wcur_tlv_begin(c, ACC_TAG_L2TP);
		if (s->l2tp)
			acc_l2_save(a, s->tunnel->version, L2TP_OBJ_SESSION, s->l2tp, c);
		else
			wcur_bytes(c, s->end->blob, s->end->blob_len);
		wcur_tlv_end(c, at);
	}
	if (s->ppp && !s->ending && ppp_can_save(a->ppp, s->ppp)) {
		at = wcur_tlv_begin(c, ACC_TAG_PPP);
		ppp_save(a->ppp, s->ppp, c);
		wcur_tlv_end(c, at);
	}
}

static void save_session(const struct access *a, const struct acc_session *s, struct wcur *c)
{
	struct ppp_info link;
	size_t at;

	save_whose(s, c);
	at = wcur_tlv_begin(c, ACC_TAG_NUMBERS);
	wcur_u32(c, s->generation);
	wcur_u32(c, s->acct_seq);
	wcur_u16(c, s->mtu);
	wcur_u8(c, s->method);
	wcur_tlv_end(c, at);
	at = wcur_tlv_begin(c, ACC_TAG_TIMES);
	wcur_u64(c, (uint64_t)s->since.us);
	wcur_u64(c, (uint64_t)s->ends_at.us);
	wcur_u64(c, (uint64_t)s->idle_at.us);
	wcur_u64(c, (uint64_t)s->interim_at.us);
	wcur_u32(c, s->idle_s);
	wcur_u32(c, s->limit_s);
	wcur_tlv_end(c, at);
	save_addresses(s, c);
	save_engines(a, s, c);
	/* PPP has begun to end: the session does not yet, but would not be brought back. */
	if (!s->ending && s->ppp && ppp_info(a->ppp, s->ppp, &link) &&
	    link.cause != ADIT_CAUSE_NONE) {
		at = wcur_tlv_begin(c, ACC_TAG_END);
		wcur_u8(c, (uint8_t)link.cause);
		wcur_bytes(c, link.text, strlen(link.text));
		wcur_tlv_end(c, at);
	}
	if (s->ending) {
		at = wcur_tlv_begin(c, ACC_TAG_END);
		wcur_u8(c, s->cause);
		if (s->end)
			wcur_bytes(c, s->end->text, strlen(s->end->text));
		wcur_tlv_end(c, at);
	}
}

static const struct acc_line *line_by_id(const struct access *a, uint64_t id)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	while ((n = htab_walk(&a->lines, &pos, n))) {
		if (container_of(n, struct acc_line, node)->id == id)
			return container_of(n, struct acc_line, node);
	}
	return NULL;
}

void access_save(const struct access *a, enum access_object kind, uint64_t id, struct wcur *c)
{
	const struct acc_session *s;
	const struct acc_tunnel *t;
	const struct acc_line *l;

	switch (kind) {
	case ACCESS_OBJ_STATE:
		save_state(a, c);
		break;
	case ACCESS_OBJ_TUNNEL:
		t = acc_tunnel_by_key(a, id);
		if (t)
			save_tunnel(a, t, c);
		break;
	case ACCESS_OBJ_SESSION:
		s = a->last_session && a->last_session->key == id ? a->last_session
								  : acc_session_find(a, id);
		if (s)
			save_session(a, s, c);
		break;
	case ACCESS_OBJ_ACCT:
		l = a->last_line && a->last_line->id == id ? a->last_line : line_by_id(a, id);
		if (l)
			save_line(l, c);
		break;
	}
}
