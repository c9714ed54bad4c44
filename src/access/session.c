/* SPDX-License-Identifier: MIT
 *
 * The life of a session; internal.h has its states and invariants. What PPP and L2TP report about
 * their halves comes together here, and the end of either half ends the other:
 *
 *   PPP ends              -> CDN with the code and the words that fit (RFC 2661 4.4.2)
 *   CDN, StopCCN, lost    -> the PPP link is dropped without a word
 *   we want it to end     -> Terminate-Request (RFC 1661 5.5), then as above
 *
 * The first cause wins. A cause known before the end shows (a login was refused, the peer will hang
 * up) is kept as a hint and used when the end itself is told in general terms only.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_US US_S	     /* memory for a stop line */
#define LAST_US	 (60 * US_S) /* before its time is over a session is told so */

/* ---- small things ---- */

struct acc_session *acc_session_of(struct access *a, adit_handle owner)
{
	return pool_get(a->sessions, owner);
}

struct acc_session *acc_session_find(const struct access *a, uint64_t key)
{
	struct htab_node *n = htab_find(&a->by_key, htab_hash(&a->by_key, &key, sizeof(key)));

	for (; n; n = htab_next(n)) {
		struct acc_session *s = container_of(n, struct acc_session, by_key);

		if (s->key == key)
			return s;
	}
	return NULL;
}

const char *acc_calling(const struct acc_session *s)
{
	return s->strings ? s->strings : "";
}

const char *acc_called(const struct acc_session *s)
{
	return s->strings ? s->strings + s->calling_len + 1 : "";
}

const char *acc_user(const struct acc_session *s)
{
	return s->strings ? s->strings + s->calling_len + s->called_len + 2 : "";
}

static size_t strings_size(const struct acc_session *s)
{
	return s->strings ? s->calling_len + s->called_len + s->user_len + 3u : 0;
}

int acc_session_strings(struct access *a, struct acc_session *s, const char *calling,
			const char *called, const char *user, size_t user_len)
{
	size_t n = strnlen(calling, L2TP_NUMBER_MAX - 1);
	size_t m = strnlen(called, L2TP_NUMBER_MAX - 1);
	char *p = NULL;

	if (user_len > PPP_USER_MAX - 1)
		user_len = PPP_USER_MAX - 1;
	if (n + m + user_len) {
		p = calloc(1, n + m + user_len + 3);
		if (!p)
			return -ENOMEM;
		memcpy(p, calling, n);
		memcpy(p + n + 1, called, m);
		memcpy(p + n + m + 2, user, user_len);
	}
	a->bytes -= strings_size(s);
	free(s->strings);
	s->strings = p;
	s->calling_len = (uint8_t)n;
	s->called_len = (uint8_t)m;
	s->user_len = (uint16_t)user_len;
	a->bytes += strings_size(s);
	return 0;
}

/* Who it is, for people: the user, or where the call comes from. */
static const char *who(const struct acc_session *s, size_t *ret_len)
{
	if (s->user_len) {
		*ret_len = s->user_len;
		return acc_user(s);
	}
	*ret_len = strlen(s->tunnel->name);
	return s->tunnel->name;
}

static void trace_who(struct access *a, enum trace_kind kind, struct mono now,
		      const struct acc_session *s, uint32_t x, uint32_t y, uint32_t z)
{
	size_t n;
	const char *name;

	if (!a->trace)
		return;
	name = who(s, &n);
	trace_put(a->trace, kind, now, s->key, x, y, z, 0, name, n);
}

const char *acc_session_text(const struct acc_session *s)
{
	return s->end && s->end->text[0] ? s->end->text : cause_text((enum adit_cause)s->cause);
}

bool acc_session_prefix6(const struct acc_session *s, struct prefix *ret)
{
	if (s->dial) {
		*ret = s->dial->prefix6;
	} else {
		*ret = (struct prefix){ .addr.family = AF_INET6, .len = s->len6 };
		memcpy(ret->addr.ip, s->prefix6, 8);
	}
	if (!ret->len)
		*ret = (struct prefix){ .len = 0 };
	return ret->len != 0;
}

void acc_session_tell(struct access *a, struct acc_session *s, unsigned int bits)
{
	s->bits |= (uint8_t)bits;
	acc_queue_push(&a->news, &s->news);
}

void acc_session_dirty(struct access *a, struct acc_session *s)
{
	s->changed = true;
	acc_queue_push(&a->dirty, &s->dirty);
}

/* When the user is told that the session's time is nearly over. */
static struct mono warn_at(const struct acc_session *s)
{
	return s->state == ACC_UP && !s->last_told && s->ends_at.us != MONO_NEVER.us
		       ? mono_add(s->ends_at, -LAST_US)
		       : MONO_NEVER;
}

void acc_session_timer(struct access *a, struct acc_session *s)
{
	struct mono at =
		mono_min(mono_min(s->ends_at, s->idle_at), mono_min(s->interim_at, s->ra_at));

	heap_set(&a->timers, &s->timer, mono_min(at, warn_at(s)));
}

/* Of our users; as a client, how long we stay is nobody else's business (RFC 1570 1.2). */
static void time_left(struct access *a, struct mono now, const struct acc_session *s)
{
	struct ppp_cmd cmd = { .kind = PPP_CMD_TIME_LEFT, .link = s->ppp };
	char text[64];

	if (s->dial || s->ends_at.us == MONO_NEVER.us)
		return;
	cmd.seconds = (uint32_t)((s->ends_at.us - now.us + US_S - 1) / US_S);
	snprintf(text, sizeof(text), "This session ends in %u seconds.", cmd.seconds);
	cmd.text = text;
	ppp_do(a->ppp, now, &cmd);
}

/* ---- made and freed ---- */

struct acc_session *acc_session_new(struct access *a, struct mono now, struct acc_tunnel *t,
				    uint64_t key)
{
	struct acc_session *s;
	adit_handle h;

	if (heap_reserve(&a->timers, pool_count(a->sessions) + 1) < 0 ||
	    htab_reserve(&a->by_key) < 0 || htab_reserve(&a->by_user) < 0)
		return NULL;
	s = pool_take(a->sessions, &h);
	if (!s)
		return NULL;
	s->self = h;
	s->key = key ? key : acc_key_new(a);
	s->since = now;
	s->ends_at = s->idle_at = s->interim_at = s->ra_at = MONO_NEVER;
	s->want_ip4 = s->want_ip6 = true;
	s->tunnel = t;
	t->sessions++;
	if (t->peer) {
		t->peer->sessions++;
		s->profile = conf_profile_ref(t->profile);
	}
	htab_put(&a->by_key, &s->by_key, htab_hash(&a->by_key, &s->key, sizeof(s->key)));
	return s;
}

void acc_session_forget_auth(struct access *a, struct acc_session *s)
{
	if (s->auth)
		a->bytes -= sizeof(*s->auth) + s->auth->challenge_len + s->auth->response_len;
	free(s->auth);
	s->auth = NULL;
}

void acc_session_free(struct access *a, struct acc_session *s)
{
	struct acc_tunnel *t = s->tunnel;

	if (a->last_session == s)
		a->last_session = NULL;
	heap_clear(&a->timers, &s->timer);
	htab_drop(&a->by_key, &s->by_key);
	if (s->user_listed)
		htab_drop(&a->by_user, &s->by_user);
	acc_lease_give(a, s->lease4);
	acc_lease_give(a, s->lease6);
	if (s->dial && s->dial->session == s)
		s->dial->session = NULL;
	if (s->dial)
		s->dial->owned--;
	a->bytes -= strings_size(s);
	acc_session_forget_auth(a, s);
	conf_profile_unref(s->profile);
	acc_pipe_free(a, s);
	free(s->strings);
	free(s->ifname);
	if (s->end)
		list_drop(&s->end->held);
	free(s->end);
	free(s->routes);
	t->sessions--;
	if (t->peer)
		t->peer->sessions--;
	pool_give(a->sessions, s->self);
	acc_tunnel_settle(a, t);
}

/* Free a session that is over when nothing is left to be told or stored of it. */
void acc_session_settle(struct access *a, struct acc_session *s)
{
	if (s->state != ACC_DEAD || s->bits || s->saved || s->news.next || s->dirty.next ||
	    s->out.next || s == a->shown_session)
		return;
	acc_session_free(a, s);
}

/* ---- the way up ---- */

/* The L2TP engine has the session; its ids are known. */
void acc_session_call(struct access *a, struct mono now, struct acc_session *s)
{
	struct acc_call i;

	if (acc_l2_call(a, s->tunnel->version, s->l2tp, &i)) {
		s->local_id = i.l2tp.local_id;
		s->remote_id = i.l2tp.remote_id;
	}
	trace_put(a->trace, TRACE_ACCESS_SESSION_CALL, now, s->key, s->tunnel->local_id,
		  s->local_id, s->remote_id, 0, s->tunnel->name, strlen(s->tunnel->name));
}

void acc_session_l2tp_up(struct access *a, struct mono now, struct acc_session *s)
{
	struct ppp_cmd cmd = { .kind = PPP_CMD_OPEN, .owner = s->self };
	struct access_grant grant = { .session_us = 0 };
	enum adit_cause cause = ADIT_CAUSE_NO_MEMORY;
	struct acc_call i = { .version = 2 };
	bool numbered = false;
	int rc = 0;

	if (s->state != ACC_CALL || s->ending)
		return;
	if (acc_l2_call(a, s->tunnel->version, s->l2tp, &i)) {
		s->local_id = i.l2tp.local_id;
		s->remote_id = i.l2tp.remote_id;
		numbered = i.l2tp.send_seq || i.l2tp.require_seq;
		s->quiet = i.quiet;
		if (s->dial ? s->dial->c->mru_from_path : s->profile->mru_from_path)
			cmd.mru = acc_mru(&i.l2tp.path, &i,
					  s->dial ? s->dial->c->mtu : s->profile->mtu);
	}
	s->state = ACC_LINK;
	acc_session_dirty(a, s);
	if (i.version == 3 && i.sublayer != i.sublayer_in) {
		/* The planes have one setting for both directions. */
		acc_session_end(a, now, s, ADIT_CAUSE_DATA_PLANE,
				"one side sends the L2-Specific Sublayer and the other does not",
				false);
		return;
	}
	cmd.profile = s->dial ? s->dial->c->ppp : s->profile->ppp;
	if (!s->dial && s->profile->no_login) {
		rc = acc_grant_addresses(a, now, s, &grant, &cause);
		acc_grant_ppp(s, &cmd.addresses);
		/* A peer that is given no address would name its own. */
		cmd.no_ip4 = !s->want_ip4;
		cmd.no_ip6 = !s->want_ip6;
	}
	if (rc == 0) {
		rc = ppp_do(a->ppp, now, &cmd);
		if (rc > 0)
			cause = ADIT_CAUSE_LIMIT_SESSIONS;
	}
	if (rc != 0) {
		acc_session_end(a, now, s, cause, NULL, false);
		return;
	}
	s->ppp = cmd.ret_link;
	trace(a->trace, TRACE_ACCESS_SESSION_LINK, now, s->key, 0, 0);
	acc_pipe_begin(a, now, s, numbered);
}

void acc_session_line(struct access *a, struct mono now, struct acc_session *s)
{
	struct acc_call i;

	if (!acc_l2_call(a, s->tunnel->version, s->l2tp, &i) || i.quiet == s->quiet)
		return;
	s->quiet = i.quiet;
	trace_put(a->trace, TRACE_ACCESS_CIRCUIT, now, s->key, 0, 0, 0, 0,
		  s->quiet ? "takes no data now" : "takes data again", s->quiet ? 17 : 16);
	if (s->state == ACC_ROW || s->state == ACC_UP)
		acc_session_want_row(a, now, s);
}

static void on_ncp(struct access *a, struct mono now, struct acc_session *s,
		   const struct ppp_event *ev)
{
	bool six = ev->proto == PPP_PROTO_IPV6CP, down = ev->kind == PPP_EV_NCP_DOWN;
	bool changed = (six ? s->ip6 : s->ip4) == down;
	const struct ppp_addresses *p = &ev->addresses;

	if (s->ending)
		return;
	trace_put(a->trace, TRACE_ACCESS_NCP, now, s->key, ev->proto, 0, 0, 0,
		  down			      ? "down"
		  : ev->kind == PPP_EV_NCP_UP ? "up"
					      : "ready",
		  down			      ? 4
		  : ev->kind == PPP_EV_NCP_UP ? 2
					      : 5);
	if (six) {
		s->ip6 = !down;
		if (!down) {
			changed |= memcmp(s->our_iid, p->our_iid, 8) != 0;
			memcpy(s->our_iid, p->our_iid, 8);
			memcpy(s->peer_iid, p->peer_iid, 8);
		}
	} else {
		s->ip4 = !down;
		if (!down) {
			changed |= memcmp(s->our_ip4, p->our_ip4, 4) != 0 ||
				   memcmp(s->peer_ip4, p->peer_ip4, 4) != 0;
			memcpy(s->our_ip4, p->our_ip4, 4);
			memcpy(s->peer_ip4, p->peer_ip4, 4);
		}
	}
	if (s->dial && !six && !down)
		acc_dial_dns4(s->dial, p);
	if (ev->kind == PPP_EV_NCP_READY)
		s->go = true;
	if (changed || s->go)
		acc_session_want_row(a, now, s);
	if (six && down)
		acc_local_stop(a, s);
	else if (six && s->row_active)
		acc_local_start(a, now, s);
	acc_session_dirty(a, s);
}

/* A row, and not just a pipe for numbered frames. */
static bool has_row(const struct acc_session *s)
{
	return s->row && (s->row_active || s->pipe == ACC_PIPE_NONE);
}

/* CCP may begin once the data plane has the keys; no protocol is agreed yet. */
static void on_ccp(struct access *a, struct mono now, struct acc_session *s,
		   const struct ppp_event *ev)
{
	if (s->ending)
		return;
	if (ev->kind == PPP_EV_NCP_READY)
		s->go = true;
	if (s->go || has_row(s))
		acc_session_want_row(a, now, s);
	acc_session_dirty(a, s);
}

/* Ask for the row as it has to be now. One put at a time: what changes meanwhile is put after it.
 */
void acc_session_want_row(struct access *a, struct mono now, struct acc_session *s)
{
	if (s->ending || s->bits & ACC_N_PUT)
		return;
	if (s->row_busy) {
		s->row_again = true;
		return;
	}
	if (s->pipe == ACC_PIPE_LISTENS)
		acc_pipe_heard(a, s);
	s->row = s->row_busy = true;
	s->row_again = false;
	s->generation++;
	if (s->state == ACC_NET || s->state == ACC_LINK)
		s->state = ACC_ROW;
	acc_session_tell(a, s, ACC_N_PUT);
}

static struct mono after_s(struct mono now, uint32_t seconds)
{
	return seconds ? mono_add(now, seconds * US_S) : MONO_NEVER;
}

/* The first row is active: IP flows from now on. */
static void session_up(struct access *a, struct mono now, struct acc_session *s)
{
	struct dp_counters none = { .rx_packets = 0 };
	struct mono made = s->since;
	struct rcur c = rcur_of(s->dial ? s->our_ip4 : s->peer_ip4, 4);

	s->since = now;
	if (acc_line_make(a, now, s, ACC_LINE_START, &none) < 0) {
		s->since = made;
		acc_session_end(a, now, s, ADIT_CAUSE_NO_MEMORY, NULL, false);
		return;
	}
	s->state = ACC_UP;
	s->established = true;
	a->up++;
	a->setups++;
	a->state_dirty = true;
	s->ends_at = after_s(now, s->limit_s);
	s->idle_at = after_s(now, s->idle_s);
	if (s->profile && s->profile->interim_us > 0)
		s->interim_at = mono_add(now, s->profile->interim_us);
	s->last_told = s->limit_s * US_S <= LAST_US;
	time_left(a, now, s);
	acc_session_timer(a, s);
	acc_session_dirty(a, s);
	trace_who(a, TRACE_ACCESS_UP, now, s, rcur_u32(&c), s->mtu, 0);
	if (s->dial)
		acc_dial_session_up(a, now, s->dial);
	else
		acc_session_tell(a, s, ACC_N_UP);
}

static void ncp_go(struct access *a, struct mono now, struct acc_session *s, bool no_mppe)
{
	struct ppp_cmd cmd = { .kind = PPP_CMD_NCP_GO, .link = s->ppp, .no_mppe = no_mppe };

	s->go = false;
	(void)ppp_do(a->ppp, now, &cmd);
}

static void row_put_done(struct access *a, struct mono now, struct acc_session *s,
			 const struct dp_done *done)
{
	if (!s->row_busy || done->generation != s->generation)
		return;
	s->row_busy = false;
	if (s->ending && s->state != ACC_HANGUP)
		return;
	if (s->pipe == ACC_PIPE_ASKED) {
		acc_pipe_put_done(a, now, s, done->error);
		return;
	}
	if (done->error == -EOPNOTSUPP && s->go && !s->ip4 && !s->ip6) {
		/* It was asked for encryption, and cannot: PPP knows whether that is the end. */
		s->state = s->state == ACC_ROW ? ACC_NET : s->state;
		/* One from before LCP began again is still there, and so is the pipe. */
		s->row = s->row_active || s->pipe == ACC_PIPE_STANDS;
		s->row_again = false;
		ncp_go(a, now, s, true);
		return;
	}
	if (done->error) {
		size_t n = strnlen(done->text, sizeof(done->text));

		trace_put(a->trace, TRACE_ACCESS_ROW_FAILED, now, s->key, done->op,
			  done->generation, (uint32_t)-done->error, 0, done->text, n);
		acc_session_end(a, now, s, ADIT_CAUSE_DATA_PLANE, done->text, false);
		return;
	}
	trace(a->trace, TRACE_ACCESS_ROW_DONE, now, s->key, done->op, done->generation);
	s->row_active = true;
	if (done->ifname[0] && !s->ifname) {
		s->ifname = strndup(done->ifname, sizeof(done->ifname) - 1);
		acc_session_dirty(a, s);
	}
	if (s->row_again) { /* this is not yet the row that PPP waits for */
		acc_session_want_row(a, now, s);
		return;
	}
	if (s->state == ACC_ROW && (s->ip4 || s->ip6))
		session_up(a, now, s);
	else if (s->state == ACC_ROW)
		s->state = ACC_NET; /* the row is there for the keys: CCP comes first */
	if (s->ending)
		return;
	if (s->go)
		ncp_go(a, now, s, false);
	if (s->ip6)
		acc_local_start(a, now, s);
}

/* ---- the way down ---- */

static void cdn_of(enum adit_cause cause, uint16_t *ret_result, uint16_t *ret_error)
{
	*ret_error = L2TP_ERR_NONE;
	switch (cause) {
	case ADIT_CAUSE_LCP_ECHO_LOST:
	case ADIT_CAUSE_LOOP:
		*ret_result = L2TP_CDN_CARRIER;
		return;
	case ADIT_CAUSE_NO_ADDRESS:
	case ADIT_CAUSE_LIMIT_TUNNELS:
	case ADIT_CAUSE_LIMIT_SESSIONS:
	case ADIT_CAUSE_LIMIT_USER:
	case ADIT_CAUSE_ADDRESS_IN_USE:
	case ADIT_CAUSE_RESTART:
		*ret_result = L2TP_CDN_NO_FACILITIES;
		return;
	case ADIT_CAUSE_SETUP_TIMEOUT:
	case ADIT_CAUSE_LCP_TIMEOUT:
	case ADIT_CAUSE_AUTH_TIMEOUT:
	case ADIT_CAUSE_NCP_TIMEOUT:
		*ret_result = L2TP_CDN_TIMEOUT;
		return;
	case ADIT_CAUSE_NO_MEMORY:
	case ADIT_CAUSE_DATA_PLANE:
		*ret_result = L2TP_CDN_ERROR;
		*ret_error = L2TP_ERR_RESOURCES;
		return;
	case ADIT_CAUSE_LCP_NO_AGREEMENT:
	case ADIT_CAUSE_NCP_NO_AGREEMENT:
	case ADIT_CAUSE_PROTOCOL_REJECTED:
		*ret_result = L2TP_CDN_FRAMING;
		return;
	case ADIT_CAUSE_NONE:
	case ADIT_CAUSE_ADMIN:
	case ADIT_CAUSE_SHUTDOWN:
	case ADIT_CAUSE_PEER_CLOSED_PPP:
	case ADIT_CAUSE_PEER_CLOSED_SESSION:
	case ADIT_CAUSE_PEER_CLOSED_TUNNEL:
	case ADIT_CAUSE_TUNNEL_LOST:
	case ADIT_CAUSE_SESSION_TIMEOUT:
	case ADIT_CAUSE_IDLE_TIMEOUT:
	case ADIT_CAUSE_AUTH_FAILED:
	case ADIT_CAUSE_AUTH_REFUSED:
	case ADIT_CAUSE_AUTH_NO_METHOD:
	case ADIT_CAUSE_PEER_AUTH_FAILED:
	case ADIT_CAUSE_TUNNEL_AUTH_FAILED:
	case ADIT_CAUSE_TUNNEL_REFUSED:
	case ADIT_CAUSE_PROTOCOL_ERROR:
	case ADIT_CAUSE_JOURNAL:
	case ADIT_CAUSE_NAME_NOT_FOUND:
	case ADIT_CAUSE_NO_ROUTE:
	case ADIT_CAUSE_REPLACED:
	case ADIT_CAUSE_CONFIG:
	case ADIT_CAUSE_UNREACHABLE:
	case ADIT_CAUSE_TIE_LOST:
	case ADIT_CAUSE_PEER_UNPROVEN:
	case ADIT_CAUSE_NO_ENCRYPTION:
	case ADIT_CAUSE_NO_DIAL_OUT:
	case ADIT_CAUSE_CALL_REFUSED:
	case ADIT_CAUSE_PW_TYPE:
	case ADIT_CAUSE_NO_SOCKET:
	case ADIT_CAUSE_COUNT:
		break;
	}
	*ret_result = L2TP_CDN_ADMIN;
}

/* Causes that say only that somebody hung up: a hint knows better. */
static bool is_general(enum adit_cause cause)
{
	return cause == ADIT_CAUSE_NONE || cause == ADIT_CAUSE_PEER_CLOSED_PPP ||
	       cause == ADIT_CAUSE_PEER_CLOSED_SESSION || cause == ADIT_CAUSE_PEER_CLOSED_TUNNEL;
}

static bool is_usual(enum adit_cause cause)
{
	return acc_wanted(cause) || cause == ADIT_CAUSE_PEER_CLOSED_PPP ||
	       cause == ADIT_CAUSE_PEER_CLOSED_SESSION || cause == ADIT_CAUSE_PEER_CLOSED_TUNNEL ||
	       cause == ADIT_CAUSE_SESSION_TIMEOUT || cause == ADIT_CAUSE_IDLE_TIMEOUT ||
	       cause == ADIT_CAUSE_REPLACED;
}

/*
 * The cause is known: from here on the session only goes down. Its L2TP record as it is now goes
 * into the records of its end. Without memory for words and record the cause alone has to do.
 */
static void set_end(struct access *a, struct mono now, struct acc_session *s, enum adit_cause cause,
		    const char *text, bool by_peer)
{
	uint8_t blob[L2TP_SAVE_SESSION_MAX > L2TP3_SAVE_SESSION_MAX ? L2TP_SAVE_SESSION_MAX
								    : L2TP3_SAVE_SESSION_MAX];
	struct wcur c = wcur_of(blob, sizeof(blob));

	if (s->ending)
		return;
	if (s->hint != ADIT_CAUSE_NONE && is_general(cause)) {
		cause = (enum adit_cause)s->hint;
		text = NULL;
		by_peer = false;
	}
	if (s->l2tp && s->saved)
		acc_l2_save(a, s->tunnel->version, L2TP_OBJ_SESSION, s->l2tp, &c);
	if (c.bad)
		c.len = 0;
	s->ending = true;
	s->cause = (uint8_t)cause;
	s->by_peer = by_peer;
	s->end = calloc(1, sizeof(*s->end) + c.len);
	if (s->end) {
		s->end->s = s;
		s->end->closing = s->l2tp;
		list_init(&s->end->held);
		s->end->blob_len = (uint16_t)c.len;
		memcpy(s->end->blob, blob, c.len);
		if (text && text[0])
			memcpy(s->end->text, text, strnlen(text, L2TP_TEXT_MAX - 1));
	}
	if (s->established)
		a->up--;
	s->bits &= (uint8_t) ~(ACC_N_AUTH | ACC_N_STATS);
	s->ends_at = s->idle_at = s->interim_at = s->ra_at = MONO_NEVER;
	acc_session_timer(a, s);
	trace_bytes(a->trace, TRACE_ACCESS_ENDING, now, s->key, cause, 0, acc_session_text(s),
		    strlen(acc_session_text(s)));
}

/* Everything is settled but what is to be told. */
static void session_dead(struct access *a, struct mono now, struct acc_session *s)
{
	uint64_t heir = s->end ? s->end->heir : 0;
	const char *name;
	size_t n;

	s->state = ACC_DEAD;
	acc_lease_give(a, s->lease4);
	acc_lease_give(a, s->lease6);
	s->lease4 = s->lease6 = NULL;
	if (s->user_listed)
		htab_drop(&a->by_user, &s->by_user);
	s->user_listed = false;
	acc_session_forget_auth(a, s);
	trace_who(a, TRACE_ACCESS_DOWN, now, s, s->cause,
		  s->established ? (uint32_t)((now.us - s->since.us) / US_S) : 0, 0);
	if (s->established ? !is_usual((enum adit_cause)s->cause)
			   : !acc_wanted((enum adit_cause)s->cause)) {
		name = who(s, &n);
		acc_failure(a, now, s->key, name, n, &s->tunnel->path.remote,
			    (enum adit_cause)s->cause, acc_session_text(s));
	}
	acc_session_tell(a, s, ACC_N_DOWN);
	acc_session_dirty(a, s);
	if (s->dial)
		acc_dial_session_gone(a, now, s->dial, s);
	if (heir)
		acc_grant_retry(a, now, heir);
}

/* The row is gone, or there was none: the last line, then the end. */
static void session_stop(struct access *a, struct mono now, struct acc_session *s,
			 const struct dp_counters *last)
{
	if (s->established && !s->stopped) {
		if (acc_line_make(a, now, s, ACC_LINE_STOP, last) < 0) {
			trace_who(a, TRACE_ACCESS_NO_MEMORY, now, s, 0, 0, 0);
			s->no_memory = true;
			s->state = ACC_DEL;
			s->ends_at = mono_add(now, RETRY_US);
			acc_session_timer(a, s);
			return;
		}
		s->stopped = true;
	}
	session_dead(a, now, s);
}

/* Both engines let go; the row goes. */
static void session_finish(struct access *a, struct mono now, struct acc_session *s)
{
	struct dp_counters none = { .rx_packets = 0 };

	if (s->state == ACC_DEL || s->state == ACC_DEAD)
		return;
	s->state = ACC_DEL;
	s->row_active = false;
	acc_session_dirty(a, s);
	if (s->ppp) {
		struct ppp_cmd drop = { .kind = PPP_CMD_DROP, .link = s->ppp };

		(void)ppp_do(a->ppp, now, &drop);
		s->ppp = 0;
	}
	if (s->l2tp) {
		struct l2tp_cmd close = { .kind = L2TP_CMD_SESSION_CLOSE,
					  .session = s->l2tp,
					  .cause = (enum adit_cause)s->cause,
					  .text = acc_session_text(s) };

		cdn_of(close.cause, &close.result, &close.error);
		(void)acc_l2_do(a, now, s->tunnel->version, &close);
		s->l2tp = 0;
	}
	s->row = s->put_told; /* when it never heard of it; a row that it refused may have a pipe */
	s->bits &= (uint8_t)~ACC_N_PUT;
	if (!s->row) {
		session_stop(a, now, s, &none);
		return;
	}
	s->generation++;
	acc_session_tell(a, s, ACC_N_DEL);
}

void acc_session_end(struct access *a, struct mono now, struct acc_session *s,
		     enum adit_cause cause, const char *text, bool by_peer)
{
	set_end(a, now, s, cause, text, by_peer);
	session_finish(a, now, s);
}

void acc_session_hangup(struct access *a, struct mono now, struct acc_session *s,
			enum adit_cause cause, const char *text)
{
	struct ppp_cmd cmd = { .kind = PPP_CMD_CLOSE, .link = s->ppp, .cause = cause };

	if (s->ending)
		return;
	set_end(a, now, s, cause, text, false);
	if (s->ppp && s->state >= ACC_NET && s->state <= ACC_UP && ppp_do(a->ppp, now, &cmd) == 0) {
		s->state = ACC_HANGUP;
		acc_session_dirty(a, s);
		return;
	}
	session_finish(a, now, s);
}

void acc_session_l2tp_down(struct access *a, struct mono now, struct acc_session *s,
			   const struct l2tp_event *ev)
{
	enum adit_cause cause = ev->cause;
	const char *text = ev->text;
	struct ppp_info link;

	if (s->l2tp != ev->session)
		return;
	if (s->dial && !s->tunnel->up && cause == ADIT_CAUSE_TUNNEL_LOST)
		cause = ADIT_CAUSE_UNREACHABLE;
	/* A CDN often overtakes the end of PPP, and PPP knows better why: a refused password, say.
	 */
	if (s->ppp && ppp_info(a->ppp, s->ppp, &link) && link.cause != ADIT_CAUSE_NONE) {
		cause = link.cause;
		text = link.text;
	}
	set_end(a, now, s, cause, text, ev->by_peer);
	s->l2tp = 0;
	session_finish(a, now, s);
}

/* ---- PPP ---- */

static void on_auth_ask(struct access *a, struct mono now, struct acc_session *s,
			const struct ppp_event *ev)
{
	struct ppp_cmd refuse = { .kind = PPP_CMD_AUTH_ANSWER,
				  .link = s->ppp,
				  .cause = ADIT_CAUSE_NO_MEMORY,
				  .ask = ev->ask };
	bool again = s->state >= ACC_NET && s->state <= ACC_UP;
	struct acc_auth *q;

	if (s->ending)
		return;
	q = calloc(1, sizeof(*q) + ev->challenge_len + ev->response_len);
	/* A check of somebody who is in already does not change who they are. */
	if (q && again &&
	    (ev->user_len != s->user_len || memcmp(ev->user, acc_user(s), s->user_len) != 0)) {
		refuse.cause = ADIT_CAUSE_AUTH_FAILED;
		free(q);
		q = NULL;
	}
	if (!q || (!again && acc_session_strings(a, s, acc_calling(s), acc_called(s), ev->user,
						 ev->user_len) < 0)) {
		free(q);
		s->hint = (uint8_t)refuse.cause;
		(void)ppp_do(a->ppp, now, &refuse);
		return;
	}
	acc_session_forget_auth(a, s);
	q->method = ev->auth;
	q->ask = ev->ask;
	q->again = again;
	q->chap_id = ev->chap_id;
	q->challenge_len = (uint8_t)ev->challenge_len;
	q->response_len = (uint16_t)ev->response_len;
	if (ev->challenge_len)
		memcpy(q->bytes, ev->challenge, ev->challenge_len);
	if (ev->response_len)
		memcpy(q->bytes + ev->challenge_len, ev->response, ev->response_len);
	s->auth = q;
	s->method = (uint8_t)ev->auth;
	a->bytes += sizeof(*q) + ev->challenge_len + ev->response_len;
	if (!again)
		s->state = ACC_AUTH;
	trace_who(a, TRACE_ACCESS_AUTH_ASK, now, s, 0, 0, 0);
	acc_session_tell(a, s, ACC_N_AUTH);
}

void acc_session_ppp(struct access *a, struct mono now, struct acc_session *s,
		     const struct ppp_event *ev)
{
	if (s->ppp != ev->link)
		return;
	switch (ev->kind) {
	case PPP_EV_LCP_UP:
		if (has_row(s))
			acc_session_want_row(a, now, s);
		break;
	case PPP_EV_AUTH_ASK:
		on_auth_ask(a, now, s, ev);
		break;
	case PPP_EV_AUTH_UP:
		s->hint = ADIT_CAUSE_NONE;
		if (s->state == ACC_LINK)
			s->state = ACC_NET;
		break;
	case PPP_EV_NCP_READY:
	case PPP_EV_NCP_UP:
	case PPP_EV_NCP_DOWN:
		if (ev->proto == PPP_PROTO_CCP)
			on_ccp(a, now, s, ev);
		else
			on_ncp(a, now, s, ev);
		break;
	case PPP_EV_CCP:
		on_ccp(a, now, s, ev);
		break;
	case PPP_EV_NOTE:
		trace_bytes(a->trace, TRACE_ACCESS_NOTE, now, s->key, 0, 0, ev->text,
			    strlen(ev->text));
		break;
	case PPP_EV_DOWN:
		s->ppp = 0;
		acc_session_end(a, now, s, ev->cause, ev->text, ev->by_peer);
		break;
	}
}

/* ---- the data plane ---- */

void acc_session_row_done(struct access *a, struct mono now, struct acc_session *s,
			  const struct dp_done *done)
{
	if (done->op == DP_OP_PUT) {
		row_put_done(a, now, s, done);
	} else if (done->op == DP_OP_DEL && s->pipe == ACC_PIPE_LEAVES && s->state != ACC_DEL &&
		   done->generation == s->generation) {
		acc_pipe_del_done(a, now, s);
	} else if (done->op == DP_OP_DEL && s->state == ACC_DEL && s->row &&
		   !(s->bits & ACC_N_DEL) && done->generation == s->generation) {
		trace(a->trace, TRACE_ACCESS_ROW_DONE, now, s->key, done->op, done->generation);
		s->row = false;
		if (s->end)
			s->end->last = done->counters;
		session_stop(a, now, s, &done->counters);
	}
}

static void make_interim(struct access *a, struct mono now, struct acc_session *s,
			 const struct dp_counters *counters)
{
	s->interim_ask = false;
	if (acc_line_make(a, now, s, ACC_LINE_INTERIM, counters) < 0)
		trace_who(a, TRACE_ACCESS_NO_MEMORY, now, s, 0, 0, 0);
	acc_session_dirty(a, s);
}

/* Counters for a check of idleness or an interim line; unknown ones count as no news. */
void acc_session_stats(struct access *a, struct mono now, struct acc_session *s,
		       const struct access_cmd *cmd)
{
	struct mono last = s->since;

	if (s->ending)
		return;
	if (s->interim_ask && cmd->known)
		make_interim(a, now, s, &cmd->counters);
	s->interim_ask = false;
	if (!s->idle_ask)
		return;
	s->idle_ask = false;
	if (!cmd->known)
		last = now;
	if (cmd->counters.last_rx.us > last.us)
		last = cmd->counters.last_rx;
	if (cmd->counters.last_tx.us > last.us)
		last = cmd->counters.last_tx;
	s->idle_at = mono_add(last, s->idle_s * US_S);
	if (mono_due(s->idle_at, now))
		acc_session_hangup(a, now, s, ADIT_CAUSE_IDLE_TIMEOUT, NULL);
	else
		acc_session_timer(a, s);
}

void acc_session_expire(struct access *a, struct mono now, struct acc_session *s)
{
	struct dp_counters none = { .rx_packets = 0 };

	if (s->no_memory && mono_due(s->ends_at, now)) {
		s->no_memory = false;
		s->ends_at = MONO_NEVER;
		acc_session_timer(a, s);
		session_stop(a, now, s, s->end ? &s->end->last : &none);
		return;
	}
	if (s->pipe == ACC_PIPE_LISTENS && mono_due(s->ra_at, now))
		acc_pipe_heard(a, s);
	if (mono_due(s->ends_at, now)) {
		acc_session_hangup(a, now, s, ADIT_CAUSE_SESSION_TIMEOUT, NULL);
		return;
	}
	if (mono_due(warn_at(s), now)) {
		s->last_told = true;
		time_left(a, now, s);
	}
	if (mono_due(s->idle_at, now)) {
		s->idle_ask = true;
		s->idle_at = MONO_NEVER;
		acc_session_tell(a, s, ACC_N_STATS);
	}
	if (mono_due(s->interim_at, now)) {
		s->interim_ask = true;
		s->interim_at = mono_add(now, s->profile->interim_us);
		acc_session_tell(a, s, ACC_N_STATS);
	}
	if (mono_due(s->ra_at, now))
		acc_local_expire(a, now, s);
	acc_session_timer(a, s);
}
