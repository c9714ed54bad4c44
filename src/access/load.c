/* SPDX-License-Identifier: MIT
 *
 * Recovery from the records of save.c: first everything is brought back as it was, access_loaded()
 * then decides what goes on.
 */
#include "save.h"

#include <errno.h>
#include <stdlib.h>

struct record {
	uint32_t flags;
	char name[CONF_NAME], host[L2TP_NAME_MAX], profile[CONF_NAME], ifname[DP_IFNAME];
	char calling[L2TP_NUMBER_MAX], called[L2TP_NUMBER_MAX], user[PPP_USER_MAX];
	char text[L2TP_TEXT_MAX];
	size_t user_len;
	struct rcur l2tp, ppp;
	bool has_ids, has_l2tp, has_ppp;
	uint64_t tunnel, digest;
	uint8_t version;
	uint32_t ids[4];
	bool has_ids3;
	struct path path;
	uint64_t times[4];
	uint32_t idle_s, limit_s, generation, acct_seq;
	uint16_t mtu;
	uint8_t method, cause;
	uint8_t addresses[24];
	struct prefix prefix6, routes[DP_PREFIXES - 2];
	uint8_t route_count;
	struct addr dns4[2], dns6[2];
	uint64_t keys, setups, failures, stopped[ACC_STOPPED];
	size_t stopped_count;
	uint64_t line_key;
	uint32_t line_seq;
	uint8_t line_event;
	struct rcur line;
	bool has_line, bad;
	bool drain;
	uint32_t drain_rate;
};

static size_t get_text(struct rcur *v, char *ret, size_t cap)
{
	size_t n = rcur_left(v), most = n < cap - 1 ? n : cap - 1;

	rcur_copy(v, ret, most);
	return most;
}

static void get_prefix(struct rcur *v, struct prefix *ret)
{
	uint8_t family = rcur_u8(v);

	*ret = (struct prefix){ .addr.family = family == 6 ? AF_INET6 : AF_INET };
	ret->len = rcur_u8(v);
	rcur_copy(v, ret->addr.ip, 16);
	if (ret->len > (family == 6 ? 128 : 32))
		v->bad = true;
}

static void get_ids(struct rcur *v, struct record *r)
{
	r->tunnel = rcur_u64(v);
	for (int i = 0; i < 4; i++) {
		uint16_t id = rcur_u16(v);

		if (!r->has_ids3)
			r->ids[i] = id;
	}
	r->has_ids = !v->bad;
}

static void get_ids3(struct rcur *v, struct record *r)
{
	for (int i = 0; i < 4; i++)
		r->ids[i] = rcur_u32(v);
	r->has_ids3 = true;
}

static void get_path4(struct rcur *v, struct path *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->local.family = ret->remote.family = AF_INET;
	ret->via = rcur_u32(v);
	rcur_copy(v, ret->local.ip, 4);
	ret->local.port = rcur_u16(v);
	rcur_copy(v, ret->remote.ip, 4);
	ret->remote.port = rcur_u16(v);
}

static void get_times(struct rcur *v, struct record *r)
{
	for (int i = 0; i < 4; i++)
		r->times[i] = rcur_u64(v);
	r->idle_s = rcur_u32(v);
	r->limit_s = rcur_u32(v);
}

static void get_numbers(struct rcur *v, struct record *r)
{
	r->generation = rcur_u32(v);
	r->acct_seq = rcur_u32(v);
	r->mtu = rcur_u16(v);
	r->method = rcur_u8(v);
}

static void get_dns(struct rcur *v, struct record *r)
{
	for (int i = 0; i < 2; i++) {
		addr_load(v, &r->dns4[i]);
		addr_load(v, &r->dns6[i]);
	}
}

static void get_line(struct rcur *v, struct record *r)
{
	r->line_key = rcur_u64(v);
	r->line_seq = rcur_u32(v);
	r->line_event = rcur_u8(v);
	r->line = *v;
	r->has_line = !v->bad && rcur_left(v) < ACCESS_LINE_MAX;
}

static void get_field(struct record *r, enum acc_tag tag, struct rcur *v)
{
	switch (tag) {
	case ACC_TAG_KEYS:
		r->keys = rcur_u64(v);
		break;
	case ACC_TAG_COUNTS:
		r->setups = rcur_u64(v);
		r->failures = rcur_u64(v);
		break;
	case ACC_TAG_STOPPED:
		while (rcur_left(v) >= 8 && r->stopped_count < ACC_STOPPED)
			r->stopped[r->stopped_count++] = rcur_u64(v);
		break;
	case ACC_TAG_FLAGS:
		r->flags = rcur_u32(v);
		break;
	case ACC_TAG_NAME:
		get_text(v, r->name, sizeof(r->name));
		break;
	case ACC_TAG_HOST:
		get_text(v, r->host, sizeof(r->host));
		break;
	case ACC_TAG_L2TP:
		r->l2tp = *v;
		r->has_l2tp = true;
		break;
	case ACC_TAG_PPP:
		r->ppp = *v;
		r->has_ppp = true;
		break;
	case ACC_TAG_IDS:
		get_ids(v, r);
		break;
	case ACC_TAG_PATH:
		path_load(v, &r->path);
		break;
	case ACC_TAG_PATH4:
		get_path4(v, &r->path);
		break;
	case ACC_TAG_PROFILE:
		get_text(v, r->profile, sizeof(r->profile));
		break;
	case ACC_TAG_DIGEST:
		r->digest = rcur_u64(v);
		break;
	case ACC_TAG_CALLING:
		get_text(v, r->calling, sizeof(r->calling));
		break;
	case ACC_TAG_CALLED:
		get_text(v, r->called, sizeof(r->called));
		break;
	case ACC_TAG_USER:
		r->user_len = get_text(v, r->user, sizeof(r->user));
		break;
	case ACC_TAG_TIMES:
		get_times(v, r);
		break;
	case ACC_TAG_ADDRESSES:
		rcur_copy(v, r->addresses, sizeof(r->addresses));
		break;
	case ACC_TAG_PREFIX6:
		get_prefix(v, &r->prefix6);
		break;
	case ACC_TAG_ROUTES:
		while (rcur_left(v) && !v->bad && r->route_count < DP_PREFIXES - 2)
			get_prefix(v, &r->routes[r->route_count++]);
		break;
	case ACC_TAG_NUMBERS:
		get_numbers(v, r);
		break;
	case ACC_TAG_END:
		r->cause = rcur_u8(v);
		get_text(v, r->text, sizeof(r->text));
		break;
	case ACC_TAG_DNS:
		get_dns(v, r);
		break;
	case ACC_TAG_IFNAME:
		get_text(v, r->ifname, sizeof(r->ifname));
		break;
	case ACC_TAG_DRAIN:
		r->drain_rate = rcur_u32(v);
		r->drain = !v->bad;
		break;
	case ACC_TAG_LINE:
		get_line(v, r);
		break;
	case ACC_TAG_VERSION:
		r->version = rcur_u8(v);
		v->bad |= r->version != 2 && r->version != 3;
		break;
	case ACC_TAG_IDS3:
		get_ids3(v, r);
		break;
	}
}

static void get_record(struct record *r, struct rcur *c)
{
	struct rcur v;
	uint16_t tag;

	memset(r, 0, sizeof(*r));
	r->version = 2;
	while (rcur_tlv(c, &tag, &v)) {
		get_field(r, (enum acc_tag)tag, &v);
		r->bad |= v.bad;
	}
	r->bad |= c->bad;
}

/* ---- STATE ---- */

/* Keys that may have been given out after the last one that a record tells of. */
#define KEYS_MORE    65536
#define KEYS_OF(key) ((key) >> 40) /* the incarnation */

/* What has this key was there before: STATE says so, too, unless it is lost. */
static void key_seen(struct access *a, uint64_t key)
{
	if (key < a->next_key || KEYS_OF(key + KEYS_MORE) != KEYS_OF(a->next_key))
		return;
	a->next_key = a->keys_until = key + KEYS_MORE;
	a->state_dirty = true;
	(void)acc_key_new(a); /* moves the bound */
}

/* Sessions that have ended had keys that nobody knows any more, and lines under them: go on where
 * nobody has been, by the time, with 65536 keys for each second. */
void acc_keys_lost(struct access *a, struct mono now)
{
	uint64_t us = (uint64_t)(now.us + a->wall_us);
	uint64_t s = us / US_S & 0x7fffff, part = us % US_S * 65536 / US_S;

	key_seen(a, a->next_key + (s << 16 | part));
}

static int load_state(struct access *a, struct mono now, const struct record *r)
{
	if (r->bad || r->keys == 0) {
		acc_keys_lost(a, now);
		return 1;
	}
	if (r->drain)
		(void)acc_drain(a, now, true, r->drain_rate, false);
	if (r->keys > a->next_key) {
		a->next_key = r->keys;
		a->state_dirty = true;
		(void)acc_key_new(a); /* moves the bound */
	}
	a->setups += r->setups;
	a->failures += r->failures;
	memcpy(a->stopped, r->stopped, sizeof(a->stopped));
	a->stopped_count = r->stopped_count;
	for (size_t i = 0; i < a->stopped_count; i++) {
		for (size_t j = 0; j < a->dial_count; j++) {
			struct acc_dial *d = a->dials[j];

			if (acc_dial_hash(d->c->name) != a->stopped[i])
				continue;
			d->stopped = true;
			acc_dial_rest(a, d);
		}
	}
	return 0;
}

/* ---- tunnels ---- */

/* What the tunnel was made with; false when the configuration does not know it any more. */
static bool profiles_of(const struct access *a, const struct record *r, struct acc_tunnel *t,
			struct l2tp_profile **ret, struct l2tp3_profile **ret3)
{
	struct acc_dial *d;
	struct acc_peer *p;

	if (r->flags & FLAG_CLIENT) {
		d = acc_dial_find(a, r->name);
		*ret = d ? d->c->l2tp : NULL;
		*ret3 = d ? d->c->l2tp3 : NULL;
		return t->version == 3 ? *ret3 != NULL : *ret != NULL;
	}
	p = acc_peer_find(a, r->name);
	if (!p || !p->c || (t->version == 3 && !p->c->l2tp3))
		return false;
	t->peer = p;
	p->tunnels++;
	t->profile = conf_profile_ref(p->c->profile);
	*ret = p->c->l2tp;
	*ret3 = p->c->l2tp3;
	return true;
}

static const char *our_name(const struct access *a)
{
	return a->conf && a->conf->host_name[0] ? a->conf->host_name : "adit";
}

/* The engine takes its half of a tunnel back; with a profile of no meaning one that is only brought
 * back to be closed. */
static int tunnel_back(struct access *a, struct mono now, struct record *r, struct acc_tunnel *t,
		       bool *ret_known)
{
	struct l2tp_params p = { .host_name = our_name(a) };
	struct l2tp3_params p3 = { .host_name = our_name(a) };
	struct l2tp_profile *use = NULL, *made = NULL;
	struct l2tp3_profile *use3 = NULL, *made3 = NULL;
	bool known = profiles_of(a, r, t, &use, &use3);
	int err, rc = -ENOMEM;

	if (t->version == 3) {
		if (!known)
			use3 = made3 = l2tp3_profile_new(&p3, &err);
		if (use3 && acc_l2_v3(a))
			rc = l2tp3_load_conn(a->l2tp3, now, &r->l2tp, use3, t->self, &t->l2tp);
	} else {
		if (!known)
			use = made = l2tp_profile_new(&p, &err);
		if (use)
			rc = l2tp_load_tunnel(a->l2tp, now, &r->l2tp, use, t->self, &t->l2tp);
	}
	l2tp_profile_unref(made);
	l2tp3_profile_unref(made3);
	*ret_known = known;
	return rc;
}

static int load_tunnel(struct access *a, struct mono now, uint64_t key, struct record *r)
{
	struct acc_tunnel *t;
	bool known;
	int rc;

	if (r->bad || !r->has_l2tp || acc_tunnel_by_key(a, key) || acc_session_find(a, key))
		return 1;
	t = acc_tunnel_new(a, r->name, key);
	if (!t)
		return -ENOMEM;
	t->client = r->flags & FLAG_CLIENT;
	t->up = r->flags & FLAG_UP;
	t->version = r->version;
	t->digest = r->digest;
	t->host = r->host[0] ? strdup(r->host) : NULL;
	rc = tunnel_back(a, now, r, t, &known);
	if (rc != 0) {
		acc_tunnel_drop(a, t);
		return rc;
	}
	t->saved = true;
	if (t->up)
		acc_tunnel_count(t);
	acc_tunnel_list(a, t);
	trace_bytes(a->trace, TRACE_ACCESS_LOAD_TUNNEL, now, key, t->local_id, 0, t->name,
		    strlen(t->name));
	if (!known)
		acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR, ADIT_CAUSE_CONFIG,
				 cause_text(ADIT_CAUSE_CONFIG));
	return 0;
}

/* The tunnel of a session; a dead one is made when its own record is not there, because it still
 * says whose session it was. */
static struct acc_tunnel *tunnel_of(struct access *a, const struct record *r)
{
	struct acc_tunnel *t = acc_tunnel_by_key(a, r->tunnel);

	if (t)
		return t;
	if (acc_session_find(a, r->tunnel))
		return NULL;
	t = acc_tunnel_new(a, r->name, r->tunnel);
	if (!t)
		return NULL;
	t->client = r->flags & FLAG_CLIENT;
	t->host = r->host[0] ? strdup(r->host) : NULL;
	t->path = r->path;
	t->version = r->version;
	t->local_id = r->ids[0];
	t->remote_id = r->ids[1];
	t->cause = ADIT_CAUSE_TUNNEL_LOST;
	t->peer = t->client ? NULL : acc_peer_find(a, r->name);
	if (t->peer) {
		t->peer->tunnels++;
		if (t->peer->c)
			t->profile = conf_profile_ref(t->peer->c->profile);
	}
	return t;
}

/* ---- sessions ---- */

static struct conf_profile *profile_named(const struct access *a, const char *name)
{
	for (size_t i = 0; a->conf && i < a->conf->profile_count; i++) {
		if (strcmp(a->conf->profiles[i]->name, name) == 0)
			return a->conf->profiles[i];
	}
	return NULL;
}

/* The profile by its name; a session of the server side always has one. */
static bool find_profile(struct access *a, struct acc_session *s, const struct record *r)
{
	struct conf_profile *p = profile_named(a, r->profile);

	if (r->flags & FLAG_CLIENT) {
		struct acc_dial *d = acc_dial_find(a, r->name);

		if (!d || (d->session && d->session != s))
			return false;
		acc_dial_adopt(a, d, s);
		return acc_dial_same(d, r->digest);
	}
	if (p) {
		conf_profile_ref(p);
		conf_profile_unref(s->profile);
		s->profile = p;
	}
	return s->profile != NULL;
}

static struct mono moment(uint64_t us)
{
	return (struct mono){ us > INT64_MAX ? INT64_MAX : (int64_t)us };
}

static int fill(struct access *a, struct acc_session *s, const struct record *r)
{
	if (acc_session_strings(a, s, r->calling, r->called, r->user, r->user_len) < 0)
		return -ENOMEM;
	if (r->route_count) {
		s->routes = calloc(r->route_count, sizeof(*s->routes));
		if (!s->routes)
			return -ENOMEM;
		memcpy(s->routes, r->routes, r->route_count * sizeof(*s->routes));
		s->route_count = r->route_count;
	}
	if (r->ifname[0])
		s->ifname = strdup(r->ifname);
	s->local_id = r->ids[2];
	s->remote_id = r->ids[3];
	s->since = moment(r->times[0]);
	s->idle_s = r->idle_s;
	s->limit_s = r->limit_s;
	s->generation = r->generation;
	s->acct_seq = r->acct_seq;
	s->mtu = r->mtu;
	s->method = r->method;
	memcpy(s->our_ip4, r->addresses, 4);
	memcpy(s->peer_ip4, r->addresses + 4, 4);
	memcpy(s->our_iid, r->addresses + 8, 8);
	memcpy(s->peer_iid, r->addresses + 16, 8);
	s->ip4 = r->flags & FLAG_IP4;
	s->ip6 = r->flags & FLAG_IP6;
	s->want_ip4 = r->flags & FLAG_WANT_IP4;
	s->want_ip6 = r->flags & FLAG_WANT_IP6;
	/* The plane may have heard of a row that no record tells of. */
	s->row = s->put_told = r->flags & FLAG_ROW || !(r->flags & FLAG_ENDING);
	s->ra_got = r->flags & FLAG_RA;
	s->stopped = r->flags & FLAG_STOPPED;
	s->by_peer = r->flags & FLAG_BY_PEER;
	s->saved = true;
	if (!(r->flags & FLAG_CLIENT)) {
		memcpy(s->prefix6, r->prefix6.addr.ip, 8);
		s->len6 = r->prefix6.len;
	}
	return 0;
}

static void fill_dial(struct acc_session *s, const struct record *r)
{
	struct acc_dial *d = s->dial;

	if (!d)
		return;
	d->prefix6 = r->prefix6;
	memcpy(d->dns4, r->dns4, sizeof(d->dns4));
	memcpy(d->dns6, r->dns6, sizeof(d->dns6));
}

/* Why a session was about to end, as its record says. */
static enum adit_cause cause_of(const struct record *r, enum adit_cause otherwise)
{
	return r->cause && r->cause < ADIT_CAUSE_COUNT ? (enum adit_cause)r->cause : otherwise;
}

/* Both engines take their half back. The cause when one does not, NONE when the session goes on,
 * COUNT when out of memory. */
static enum adit_cause revive(struct access *a, struct mono now, struct acc_session *s,
			      struct record *r)
{
	struct ppp_profile *ppp = s->dial ? s->dial->c->ppp : s->profile ? s->profile->ppp : NULL;
	int rc = 1;

	if (r->has_l2tp && s->tunnel->l2tp && s->tunnel->version == 3)
		rc = l2tp3_load_session(a->l2tp3, now, &r->l2tp, s->self, &s->l2tp);
	else if (r->has_l2tp && s->tunnel->l2tp)
		rc = l2tp_load_session(a->l2tp, now, &r->l2tp, s->self, &s->l2tp);
	if (rc < 0)
		return ADIT_CAUSE_COUNT;
	if (rc > 0) {
		s->l2tp = 0;
		/* The half that has ended already has no record of its own. */
		if (r->flags & FLAG_ENDING && !r->has_l2tp)
			return cause_of(r, ADIT_CAUSE_RESTART);
		if (s->tunnel->version == 3 && rc == L2TP3_LOAD_ALONE)
			return cause_of(r, ADIT_CAUSE_TUNNEL_LOST); /* its connection ends */
		return s->tunnel->l2tp ? ADIT_CAUSE_JOURNAL : ADIT_CAUSE_TUNNEL_LOST;
	}
	if (r->flags & FLAG_ENDING)
		return cause_of(r, ADIT_CAUSE_NONE);
	if (!(r->flags & FLAG_ESTABLISHED))
		return ADIT_CAUSE_RESTART;
	if (!ppp)
		return ADIT_CAUSE_CONFIG;
	if (!r->has_ppp) /* PPP was ending, or began anew */
		return cause_of(r, ADIT_CAUSE_RESTART);
	rc = ppp_load(a->ppp, now, &r->ppp, ppp, s->self, &s->ppp);
	if (rc < 0)
		return ADIT_CAUSE_COUNT;
	return rc ? ADIT_CAUSE_JOURNAL : ADIT_CAUSE_NONE;
}

static void go_on(struct access *a, struct mono now, struct acc_session *s, const struct record *r)
{
	uint32_t spread = (uint32_t)(s->key * UINT32_C(2654435761)) % (s->dial ? 4 : 600);

	s->state = ACC_UP;
	s->established = true;
	a->up++;
	s->ends_at = moment(r->times[1]);
	s->idle_at = moment(r->times[2]);
	s->interim_at = moment(r->times[3]);
	if (s->idle_s && s->idle_at.us == INT64_MAX)
		s->idle_at = mono_add(now, US_S);
	if (s->dial || !s->profile->interim_us)
		s->interim_at = MONO_NEVER;
	s->up_told = r->flags & FLAG_TOLD;
	if (s->dial)
		acc_dial_session_back(a, now, s->dial, s->up_told);
	else if (!s->up_told)
		acc_session_tell(a, s, ACC_N_UP);
	/* It was advertised; the repetitions of ten thousand sessions do not come at once. */
	s->ra_started = s->ip6;
	if (s->ip6 && (s->dial ? !s->ra_got : s->len6 != 0))
		s->ra_at = mono_add(now, spread * US_S);
	acc_session_timer(a, s);
	acc_grant_list_user(a, s);
	acc_session_want_row(a, now, s);
}

static int load_session(struct access *a, struct mono now, uint64_t key, struct record *r)
{
	struct acc_tunnel *t;
	struct acc_session *s;
	enum adit_cause cause;
	bool allowed;

	if (!r->has_ids || acc_session_find(a, key) || acc_tunnel_by_key(a, key))
		return 1;
	t = tunnel_of(a, r);
	s = t ? acc_session_new(a, now, t, key) : NULL;
	if (!s || fill(a, s, r) < 0) {
		if (s)
			acc_session_free(a, s);
		else if (t)
			acc_tunnel_settle(a, t);
		return -ENOMEM;
	}
	allowed = find_profile(a, s, r);
	fill_dial(s, r);
	cause = r->bad ? ADIT_CAUSE_JOURNAL : revive(a, now, s, r);
	if (cause == ADIT_CAUSE_NONE && !(r->flags & FLAG_ENDING) && !allowed)
		cause = ADIT_CAUSE_CONFIG;
	if (cause == ADIT_CAUSE_NONE && !(r->flags & FLAG_ENDING) && s->profile &&
	    !acc_grant_again(a, s))
		cause = ADIT_CAUSE_ADDRESS_IN_USE;
	trace_bytes(a->trace, TRACE_ACCESS_LOAD_SESSION, now, key, cause, 0, t->name,
		    strlen(t->name));
	if (cause == ADIT_CAUSE_NONE && !(r->flags & FLAG_ENDING)) {
		go_on(a, now, s, r);
		return 0;
	}
	s->established = r->flags & FLAG_ESTABLISHED;
	if (s->established)
		a->up++; /* the end takes it off again */
	acc_session_end(a, now, s, cause == ADIT_CAUSE_COUNT ? ADIT_CAUSE_NO_MEMORY : cause,
			r->text, s->by_peer);
	return cause == ADIT_CAUSE_COUNT ? -ENOMEM : 0;
}

/* ---- lines ---- */

static int load_line(struct access *a, uint64_t id, struct record *r)
{
	struct acc_line *l;
	size_t n = rcur_left(&r->line);
	int rc;

	if (r->bad || !r->has_line || r->line_event < ACC_LINE_START ||
	    r->line_event > ACC_LINE_ON || acc_line_find(a, r->line_key, r->line_seq))
		return 1;
	rc = acc_line_add(a, id, r->line_key, r->line_seq, (enum acc_line_event)r->line_event,
			  rcur_take(&r->line, n), n, &l);
	if (rc < 0)
		return rc;
	l->saved = true;
	return 0;
}

int access_load(struct access *a, struct mono now, enum access_object kind, uint64_t id,
		struct rcur *c)
{
	static const char *const names[] = { "unknown kind", "tunnel", "session", "line", "state" };
	struct record r;
	int rc = 1;

	acc_begin(a);
	get_record(&r, c);
	if (kind == ACCESS_OBJ_TUNNEL || kind == ACCESS_OBJ_SESSION)
		key_seen(a, id);
	else if (kind == ACCESS_OBJ_ACCT)
		key_seen(a, r.bad || id > r.line_key ? id : r.line_key);
	switch (kind) {
	case ACCESS_OBJ_STATE:
		rc = load_state(a, now, &r);
		break;
	case ACCESS_OBJ_TUNNEL:
		rc = id ? load_tunnel(a, now, id, &r) : 1;
		break;
	case ACCESS_OBJ_SESSION:
		rc = id ? load_session(a, now, id, &r) : 1;
		break;
	case ACCESS_OBJ_ACCT:
		rc = load_line(a, id, &r);
		break;
	}
	if (rc != 0 && rc != L2TP3_LOAD_MUTE)
		trace_bytes(a->trace, TRACE_ACCESS_LOAD_BAD, now, id, kind, 0,
			    names[kind <= ACCESS_OBJ_STATE ? kind : 0],
			    strlen(names[kind <= ACCESS_OBJ_STATE ? kind : 0]));
	return rc;
}

/* All is there: what came back without its other half ends. */
void access_loaded(struct access *a, struct mono now)
{
	adit_handle h;

	acc_begin(a);
	acc_lines_loaded(a, now);
	/* Nobody gets the addresses of what has ended before its row is gone; those that another
	 * session has by now were free already. */
	for (h = pool_next(a->sessions, 0); h; h = pool_next(a->sessions, h)) {
		struct acc_session *s = pool_get(a->sessions, h);

		if (s->state == ACC_DEL && s->row && s->profile && !s->lease4 && !s->lease6)
			(void)acc_grant_again(a, s);
	}
	for (h = pool_next(a->tunnels, 0); h; h = pool_next(a->tunnels, h)) {
		struct acc_tunnel *t = pool_get(a->tunnels, h);

		struct acc_dial *d = t->client ? acc_dial_find(a, t->name) : NULL;

		if (t->client && !t->dial && t->l2tp && d && acc_dial_wants_tunnel(d, t))
			acc_dial_adopt_tunnel(a, now, d, t);
		else if (t->client && !t->dial && t->l2tp)
			acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR,
					 d && acc_dial_changed(d, t) ? ADIT_CAUSE_CONFIG
								     : ADIT_CAUSE_RESTART,
					 NULL);
	}
	a->state_dirty = true;
	acc_pump(a, now);
}
