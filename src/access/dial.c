/* SPDX-License-Identifier: MIT
 *
 * The client side: from a `session` block of the configuration to a session that is up, and again
 * after a loss.
 *
 *   IDLE        nothing is wanted, or all attempts are used up
 *   RESOLVING   the owner was asked for the server's addresses
 *   CONNECTING  a tunnel and a session in it are on their way, or their end is being settled
 *   LISTENING   the tunnel is up and the server may call us in it (`called_only`)
 *   UP          the session carries IP
 *   WAITING     for the next attempt
 *
 * Each dial has a tunnel of its own, so dials share nothing: what ends one leaves the others alone.
 * When a server does not answer, the next of its addresses is tried at once; when all have failed,
 * or the failure is one that another address would repeat (a wrong password), the dial waits: the
 * first time redial_first_us, then twice as long each time up to redial_cap_us, always give or take
 * a quarter, so that a thousand clients that lost one server do not come back in the same second.
 * Then the name is resolved anew.
 *
 * A dial that is `called_only` opens the tunnel, tells the server that it has a line (Bearer
 * Capabilities) and waits for an outgoing call of the server (OCRQ, RFC 2661 7.5.1). There is no
 * telephone line behind it: a call for a number that is ours is connected at once, and PPP ends
 * here, as the client that it is in every other dial; one for another number is refused with result
 * 6, one while there is a session already with 8. The tunnel stays when a call ends.
 *
 * EV_UP is held back until all network protocols that were asked for are up, UP_US at most: hooks
 * then know all addresses.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_US    US_S
#define CAP_US	    (60 * US_S)
#define RESOLVE_US  (60 * US_S) /* the resolver owes an answer */
#define UP_US	    (3 * US_S)
#define OLD_GONE_US (US_S / 5) /* look again whether a former dial of the name is gone */

uint64_t acc_dial_hash(const char *name)
{
	static const uint8_t key[16] = "adit dial names ";

	return siphash(key, name, strlen(name));
}

struct acc_dial *acc_dial_find(const struct access *a, const char *name)
{
	for (size_t i = 0; i < a->dial_count; i++) {
		if (!a->dials[i]->gone && strcmp(a->dials[i]->c->name, name) == 0)
			return a->dials[i];
	}
	return NULL;
}

static void trace_dial(struct access *a, enum trace_kind kind, struct mono now,
		       const struct acc_dial *d, uint32_t x, uint32_t y)
{
	trace_bytes(a->trace, kind, now, d->session ? d->session->key : 0, x, y, d->c->name,
		    strlen(d->c->name));
}

static void forget_paths(struct acc_dial *d)
{
	free(d->paths);
	d->paths = NULL;
	d->path_count = d->path_next = 0;
}

static void note_failure(struct acc_dial *d, enum adit_cause cause, const char *text)
{
	if (!text || !text[0])
		text = cause_text(cause);
	d->cause = cause;
	memset(d->text, 0, sizeof(d->text));
	memcpy(d->text, text, strnlen(text, sizeof(d->text) - 1));
}

/* ---- when ---- */

static void rest(struct access *a, struct mono now, struct acc_dial *d)
{
	d->state = ACC_D_IDLE;
	d->asked = false;
	heap_clear(&a->dial_timers, &d->timer);
	trace_dial(a, TRACE_ACCESS_DIAL_IDLE, now, d, 0, 0);
}

void acc_dial_rest(struct access *a, struct acc_dial *d)
{
	d->wanted = d->asked = false;
	d->state = ACC_D_IDLE;
	heap_clear(&a->dial_timers, &d->timer);
}

/* Wait before the next attempt; `attempts` in a row have failed. */
static void wait_longer(struct access *a, struct mono now, struct acc_dial *d)
{
	int64_t us = d->c->redial_first_us > 0 ? d->c->redial_first_us : FIRST_US;
	int64_t cap = d->c->redial_cap_us > 0 ? d->c->redial_cap_us : CAP_US;
	int64_t quarter;

	forget_paths(d);
	if (!d->wanted || d->gone || a->shutdown ||
	    (d->c->redial_max && d->attempts >= d->c->redial_max)) {
		rest(a, now, d);
		return;
	}
	for (uint32_t i = 1; i < d->attempts && us < cap; i++)
		us *= 2;
	if (us > cap)
		us = cap;
	quarter = us / 4;
	if (quarter > UINT32_MAX / 2)
		quarter = UINT32_MAX / 2;
	us += (int64_t)rng_below(&a->rng, (uint32_t)(2 * quarter) + 1) - quarter;
	d->state = ACC_D_WAITING;
	heap_set(&a->dial_timers, &d->timer, mono_add(now, us));
	trace_dial(a, TRACE_ACCESS_DIAL_WAIT, now, d, (uint32_t)(us / 1000), 0);
}

static void resolve(struct access *a, struct mono now, struct acc_dial *d)
{
	d->attempts++;
	d->state = ACC_D_RESOLVING;
	d->ask = true;
	heap_set(&a->dial_timers, &d->timer, mono_add(now, RESOLVE_US));
	acc_queue_push(&a->dial_news, &d->news);
	trace_dial(a, TRACE_ACCESS_DIAL_RESOLVE, now, d, d->attempts, 0);
}

/* The attempt failed before there was a session. */
static void failed(struct access *a, struct mono now, struct acc_dial *d, enum adit_cause cause,
		   const char *text)
{
	char raw[sizeof(d->text) + 512];
	int n;

	note_failure(d, cause, text);
	n = snprintf(raw, sizeof(raw), "\"%s\" failed because %s%s%s", d->c->name,
		     cause_text(cause), strcmp(d->text, cause_text(cause)) ? ": " : "",
		     strcmp(d->text, cause_text(cause)) ? d->text : "");
	trace_bytes(a->trace, TRACE_ACCESS_DIAL_FAILED, now, 0, (uint32_t)cause, 0, raw,
		    (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1);
	acc_failure(a, now, 0, d->c->name, strlen(d->c->name),
		    d->path_next ? &d->paths[d->path_next - 1].remote : NULL, cause, d->text);
	wait_longer(a, now, d);
}

/* ---- one address ---- */

/* 0; 1 a limit; -ENOMEM. */
static int open_tunnel(struct access *a, struct mono now, struct acc_dial *d,
		       const struct path *path, struct acc_tunnel **ret)
{
	struct acc_tunnel *t = acc_tunnel_new(a, d->c->name, 0);
	int rc;

	if (!t)
		return -ENOMEM;
	t->client = true;
	t->path = *path;
	rc = acc_l2_open(a, now, t, d->c, path);
	if (rc != 0) {
		acc_tunnel_drop(a, t);
		return rc < 0 ? rc : 1;
	}
	t->dial = d;
	acc_tunnel_list(a, t);
	*ret = t;
	return 0;
}

static int open_session(struct access *a, struct mono now, struct acc_dial *d, struct acc_tunnel *t)
{
	struct acc_session *s = acc_session_new(a, now, t, 0);
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN, .tunnel = t->l2tp };
	int rc = s ? acc_session_strings(a, s, "", "", d->c->user, strlen(d->c->user)) : -ENOMEM;

	if (rc == 0) {
		acc_dial_own(d, s);
		s->idle_s = acc_seconds(d->c->idle_us, 0);
		s->limit_s = acc_seconds(d->c->session_us, 0);
		cmd.owner = s->self;
		cmd.hold = acc_pipe_wanted(a, s);
		cmd.sequencing = d->c->numbered;
		rc = acc_l2_do(a, now, t->version, &cmd);
	}
	if (rc != 0) {
		if (s)
			acc_session_free(a, s);
		return rc < 0 ? rc : 1;
	}
	s->l2tp = cmd.ret_handle;
	d->session = s;
	acc_session_call(a, now, s);
	return 0;
}

/* A session of this dial: the dial stays while there is one. */
void acc_dial_own(struct acc_dial *d, struct acc_session *s)
{
	s->dial = d;
	d->owned++;
}

/* A tunnel without a session: calls come from the server, or the version is open still. */
static bool no_call_yet(const struct acc_dial *d, const struct acc_tunnel *t)
{
	return d->c->called_only || t->offer;
}

/* Try the next address. */
static void try_next(struct access *a, struct mono now, struct acc_dial *d)
{
	struct acc_tunnel *t;
	int rc;

	d->state = ACC_D_CONNECTING;
	heap_clear(&a->dial_timers, &d->timer);
	rc = open_tunnel(a, now, d, &d->paths[d->path_next], &t);
	if (rc == 0) {
		trace_dial(a, TRACE_ACCESS_TUNNEL_OPEN, now, d, t->local_id, 0);
		d->tunnel = t;
		rc = no_call_yet(d, t) ? 0 : open_session(a, now, d, t);
		if (rc != 0) {
			t->dial = NULL;
			d->tunnel = NULL;
			acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR, ADIT_CAUSE_NO_MEMORY, NULL);
		}
	}
	if (rc != 0)
		failed(a, now, d, rc < 0 ? ADIT_CAUSE_NO_MEMORY : ADIT_CAUSE_LIMIT_TUNNELS, NULL);
	else
		d->path_next++;
}

int acc_dial_resolved(struct access *a, struct mono now, struct acc_dial *d,
		      const struct access_cmd *cmd)
{
	if (d->state != ACC_D_RESOLVING)
		return 2;
	forget_paths(d);
	if (cmd->path_count == 0) {
		failed(a, now, d, cmd->cause ? cmd->cause : ADIT_CAUSE_NAME_NOT_FOUND, cmd->text);
		return 0;
	}
	d->paths = calloc(cmd->path_count, sizeof(*d->paths));
	if (!d->paths) {
		failed(a, now, d, ADIT_CAUSE_NO_MEMORY, NULL);
		return 0;
	}
	memcpy(d->paths, cmd->paths, cmd->path_count * sizeof(*d->paths));
	d->path_count = cmd->path_count;
	try_next(a, now, d);
	return 0;
}

/* Would another address of the same server help? */
static bool elsewhere(enum adit_cause cause)
{
	return cause == ADIT_CAUSE_UNREACHABLE || cause == ADIT_CAUSE_TUNNEL_LOST ||
	       cause == ADIT_CAUSE_NO_ROUTE || cause == ADIT_CAUSE_SETUP_TIMEOUT ||
	       cause == ADIT_CAUSE_PEER_CLOSED_TUNNEL || cause == ADIT_CAUSE_LCP_TIMEOUT ||
	       cause == ADIT_CAUSE_PEER_CLOSED_SESSION;
}

/* ---- waiting for calls ---- */

/* The version is agreed: now a session can be asked for. */
static void call_now(struct access *a, struct mono now, struct acc_dial *d)
{
	struct acc_tunnel *t = d->tunnel;
	int rc = open_session(a, now, d, t);

	if (rc == 0)
		return;
	t->dial = NULL;
	d->tunnel = NULL;
	acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR, ADIT_CAUSE_NO_MEMORY, NULL);
	failed(a, now, d, rc < 0 ? ADIT_CAUSE_NO_MEMORY : ADIT_CAUSE_LIMIT_SESSIONS, NULL);
}

void acc_dial_tunnel_up(struct access *a, struct mono now, struct acc_dial *d)
{
	if (d->session)
		return;
	if (!d->c->called_only) {
		if (d->c->version == CONF_V_ANY && d->state == ACC_D_CONNECTING)
			call_now(a, now, d);
		return;
	}
	d->state = ACC_D_LISTENING;
	d->attempts = 0;
	d->cause = ADIT_CAUSE_NONE;
	d->text[0] = '\0';
	forget_paths(d);
	heap_clear(&a->dial_timers, &d->timer);
}

/* Where there is a session, its own end has said all. */
void acc_dial_tunnel_gone(struct access *a, struct mono now, struct acc_dial *d,
			  const struct acc_tunnel *t)
{
	enum adit_cause cause = (enum adit_cause)t->cause;

	if ((!d->c->called_only && d->c->version != CONF_V_ANY) || d->session ||
	    (d->state != ACC_D_CONNECTING && d->state != ACC_D_LISTENING))
		return;
	if (d->gone || a->shutdown || !(d->wanted || d->asked)) {
		rest(a, now, d);
	} else if (d->path_next < d->path_count && elsewhere(cause)) {
		note_failure(d, cause, acc_tunnel_text(t));
		try_next(a, now, d);
	} else {
		failed(a, now, d, cause, acc_tunnel_text(t));
	}
}

static bool call_welcome(const struct access *a, const struct acc_dial *d,
			 const struct l2tp_event *ev, struct refusal *ret)
{
	if (a->shutdown || d->gone || !d->c->called_only || !(d->wanted || d->asked))
		*ret = (struct refusal){ L2TP_CDN_ADMIN, 0, ADIT_CAUSE_CALL_REFUSED };
	else if (d->c->number[0] && !text_glob(d->c->number, ev->called))
		*ret = (struct refusal){ L2TP_CDN_DESTINATION, 0, ADIT_CAUSE_CALL_REFUSED };
	else if (d->session)
		*ret = (struct refusal){ L2TP_CDN_BUSY, 0, ADIT_CAUSE_LIMIT_SESSIONS };
	else
		return true;
	return false;
}

void acc_dial_called(struct access *a, struct mono now, struct acc_dial *d, struct acc_tunnel *t,
		     const struct l2tp_event *ev)
{
	struct refusal none = { L2TP_CDN_ERROR, L2TP_ERR_RESOURCES, ADIT_CAUSE_NO_MEMORY }, why;
	struct l2tp_cmd take = { .kind = L2TP_CMD_SESSION_ACCEPT, .session = ev->session };
	struct l2tp_cmd answered = { .kind = L2TP_CMD_SESSION_ANSWERED, .session = ev->session };
	struct acc_session *s;

	if (!call_welcome(a, d, ev, &why)) {
		acc_session_refuse(a, now, t->version, t, ev->session, &why);
		return;
	}
	s = acc_session_new(a, now, t, 0);
	if (!s || acc_session_strings(a, s, "", ev->called, d->c->user, strlen(d->c->user)) < 0) {
		if (s)
			acc_session_free(a, s);
		acc_session_refuse(a, now, t->version, t, ev->session, &none);
		return;
	}
	acc_dial_own(d, s);
	s->idle_s = acc_seconds(d->c->idle_us, 0);
	s->limit_s = acc_seconds(d->c->session_us, 0);
	s->l2tp = ev->session;
	take.owner = s->self;
	answered.hold = acc_pipe_wanted(a, s);
	take.sequencing = d->c->numbered;
	d->session = s;
	d->state = ACC_D_CONNECTING;
	if (acc_l2_do(a, now, t->version, &take) != 0 ||
	    acc_l2_do(a, now, t->version, &answered) != 0) {
		acc_session_free(a, s);
		d->state = ACC_D_LISTENING;
		return;
	}
	acc_session_call(a, now, s);
}

bool acc_dial_same(const struct acc_dial *d, uint64_t digest)
{
	return digest == d->c->digest || (digest && digest == d->c->digest_former);
}

bool acc_dial_changed(const struct acc_dial *d, const struct acc_tunnel *t)
{
	return t->digest && !acc_dial_same(d, t->digest);
}

bool acc_dial_wants_tunnel(const struct acc_dial *d, const struct acc_tunnel *t)
{
	return d->c->called_only && !d->tunnel && !d->session && !d->gone && !d->stopped &&
	       d->c->automatic && t->up && !acc_dial_changed(d, t);
}

void acc_dial_adopt_tunnel(struct access *a, struct mono now, struct acc_dial *d,
			   struct acc_tunnel *t)
{
	d->tunnel = t;
	t->dial = d;
	acc_dial_tunnel_up(a, now, d);
}

/* ---- its session ---- */

void acc_dial_dns4(struct acc_dial *d, const struct ppp_addresses *p)
{
	memset(d->dns4, 0, sizeof(d->dns4));
	for (int i = 0; i < 2; i++) {
		const uint8_t *ip = p->dns4[i];

		/* None, or one that no server can have: this network, loopback, multicast. */
		if (ip[0] == 0 || ip[0] == 127 || ip[0] >= 224)
			continue;
		d->dns4[i].family = AF_INET;
		memcpy(d->dns4[i].ip, p->dns4[i], 4);
	}
}

static bool complete(const struct acc_dial *d)
{
	const struct acc_session *s = d->session;

	return (!d->c->ip4 || s->ip4) && (!d->c->ip6 || (s->ip6 && s->ra_got));
}

static void tell_up(struct access *a, struct acc_dial *d)
{
	d->telling = false;
	heap_clear(&a->dial_timers, &d->timer);
	acc_session_tell(a, d->session, ACC_N_UP);
}

void acc_dial_session_up(struct access *a, struct mono now, struct acc_dial *d)
{
	d->state = ACC_D_UP;
	d->attempts = 0;
	d->cause = ADIT_CAUSE_NONE;
	d->text[0] = '\0';
	d->telling = true;
	forget_paths(d);
	heap_set(&a->dial_timers, &d->timer, mono_add(now, UP_US));
	acc_dial_settled(a, d);
}

void acc_dial_session_back(struct access *a, struct mono now, struct acc_dial *d, bool told)
{
	d->state = ACC_D_UP;
	if (told)
		return;
	d->telling = true;
	heap_set(&a->dial_timers, &d->timer, mono_add(now, UP_US));
}

void acc_dial_settled(struct access *a, struct acc_dial *d)
{
	if (d->telling && complete(d))
		tell_up(a, d);
}

static void close_tunnel(struct access *a, struct mono now, struct acc_dial *d,
			 const struct acc_session *s)
{
	struct acc_tunnel *t = d->tunnel;

	d->tunnel = NULL;
	if (!t)
		return;
	t->dial = NULL;
	acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR, (enum adit_cause)s->cause, NULL);
}

/* The call is over; the server may call again. */
static bool keeps_tunnel(const struct access *a, const struct acc_dial *d)
{
	const struct acc_tunnel *t = d->tunnel;

	return d->c->called_only && t && t->up && t->l2tp && !t->closing && !d->gone &&
	       !a->shutdown && (d->wanted || d->asked);
}

void acc_dial_session_gone(struct access *a, struct mono now, struct acc_dial *d,
			   struct acc_session *s)
{
	enum adit_cause cause = (enum adit_cause)s->cause;

	if (d->session != s)
		return;
	d->session = NULL;
	d->telling = false;
	d->prefix6.len = 0;
	if (keeps_tunnel(a, d)) {
		d->again = false;
		acc_dial_tunnel_up(a, now, d);
		if (cause != ADIT_CAUSE_ADMIN)
			note_failure(d, cause, acc_session_text(s));
		return;
	}
	close_tunnel(a, now, d, s);
	if (cause != ADIT_CAUSE_ADMIN || !s->established)
		note_failure(d, cause, acc_session_text(s));
	if (d->gone || a->shutdown) {
		rest(a, now, d);
	} else if (d->again || cause == ADIT_CAUSE_RESTART) {
		/* CONNECT came while the former session was ending; or we were restarted */
		d->again = false;
		d->state = ACC_D_WAITING;
		heap_set(&a->dial_timers, &d->timer, now);
	} else if (!s->established && d->path_next < d->path_count && elsewhere(cause) &&
		   (d->wanted || d->asked)) {
		try_next(a, now, d);
	} else {
		wait_longer(a, now, d);
	}
}

void acc_dial_adopt(struct access *a, struct acc_dial *d, struct acc_session *s)
{
	acc_dial_own(d, s);
	d->session = s;
	d->tunnel = s->tunnel;
	s->tunnel->dial = d;
	d->state = s->state == ACC_UP ? ACC_D_UP : ACC_D_CONNECTING;
	heap_clear(&a->dial_timers, &d->timer);
}

/* ---- commands ---- */

int acc_dial_connect(struct access *a, struct mono now, struct acc_dial *d)
{
	if (d->stopped)
		a->state_dirty = true;
	d->stopped = false;
	d->wanted = d->c->automatic;
	d->asked = true;
	if (d->session && d->session->ending) {
		d->again = true;
		return 0;
	}
	if (d->state != ACC_D_IDLE && d->state != ACC_D_WAITING)
		return 2;
	d->attempts = 0;
	d->state = ACC_D_WAITING;
	heap_set(&a->dial_timers, &d->timer, now);
	return 0;
}

/* The tunnel in which it waits for calls. */
static void stop_waiting(struct access *a, struct mono now, struct acc_dial *d,
			 enum adit_cause cause)
{
	struct acc_tunnel *t = d->tunnel;

	d->tunnel = NULL;
	if (!t)
		return;
	t->dial = NULL;
	acc_tunnel_close(a, now, t,
			 cause == ADIT_CAUSE_SHUTDOWN ? L2TP_STOP_SHUTDOWN : L2TP_STOP_CLEAR, cause,
			 NULL);
}

int acc_dial_disconnect(struct access *a, struct mono now, struct acc_dial *d,
			enum adit_cause cause)
{
	bool idle = d->state == ACC_D_IDLE;

	if (cause == ADIT_CAUSE_ADMIN && !d->stopped) {
		d->stopped = true;
		a->state_dirty = true;
	}
	d->wanted = d->asked = d->again = d->ask = false;
	if (d->session) {
		acc_session_hangup(a, now, d->session, cause, NULL);
	} else {
		stop_waiting(a, now, d, cause);
		rest(a, now, d);
	}
	return idle ? 2 : 0;
}

/* A dial of that name that the configuration no longer has still holds its interface. */
static bool former_there(const struct access *a, const struct acc_dial *d)
{
	for (size_t i = 0; i < a->dial_count; i++) {
		const struct acc_dial *o = a->dials[i];

		if (o->gone && o->session && strcmp(o->c->name, d->c->name) == 0)
			return true;
	}
	return false;
}

void acc_dial_expire(struct access *a, struct mono now, struct acc_dial *d)
{
	heap_clear(&a->dial_timers, &d->timer);
	switch (d->state) {
	case ACC_D_RESOLVING:
		failed(a, now, d, ADIT_CAUSE_NAME_NOT_FOUND, "the resolver did not answer");
		break;
	case ACC_D_UP:
		if (d->telling)
			tell_up(a, d);
		break;
	case ACC_D_WAITING:
		if (former_there(a, d))
			heap_set(&a->dial_timers, &d->timer, mono_add(now, OLD_GONE_US));
		else
			resolve(a, now, d);
		break;
	case ACC_D_IDLE:
	case ACC_D_CONNECTING:
	case ACC_D_LISTENING:
		break;
	}
}

void acc_dial_event(struct acc_dial *d, struct access_event *ret)
{
	ret->kind = ACCESS_EV_RESOLVE;
	ret->name = d->c->name;
	ret->host = d->c->server;
	ret->port = d->c->encap == DP_ENCAP_IP ? 0 : d->c->port ? d->c->port : L2TP_PORT;
	ret->via = d->c->via;
	ret->prefer6 = d->c->prefer6;
	ret->source = d->c->source;
	ret->dial = d->c;
}

/* ---- configuration ---- */

static bool same_routes(const struct conf_dial *a, const struct conf_dial *b)
{
	if (a->route_count != b->route_count)
		return false;
	for (size_t i = 0; i < a->route_count; i++) {
		if (a->routes[i].len != b->routes[i].len ||
		    !addr_equal(&a->routes[i].addr, &b->routes[i].addr))
			return false;
	}
	return true;
}

static bool same_dial(const struct conf_dial *a, const struct conf_dial *b)
{
	if (a->digest || b->digest)
		return a->digest == b->digest;
	return strcmp(a->server, b->server) == 0 && a->port == b->port && a->via == b->via &&
	       addr_equal(&a->source, &b->source) && a->l2tp == b->l2tp && a->l2tp3 == b->l2tp3 &&
	       a->version == b->version && a->encap == b->encap && a->numbered == b->numbered &&
	       a->called_only == b->called_only && strcmp(a->number, b->number) == 0 &&
	       a->ppp == b->ppp && strcmp(a->user, b->user) == 0 && a->automatic == b->automatic &&
	       a->prefer6 == b->prefer6 && a->redial_first_us == b->redial_first_us &&
	       a->redial_cap_us == b->redial_cap_us && a->redial_max == b->redial_max &&
	       strcmp(a->ifname, b->ifname) == 0 && a->ip4 == b->ip4 && a->ip6 == b->ip6 &&
	       a->want_dns == b->want_dns && same_routes(a, b) &&
	       a->default_route == b->default_route && a->table == b->table &&
	       a->metric == b->metric && a->mtu == b->mtu && a->mru_from_path == b->mru_from_path &&
	       a->mss_clamp == b->mss_clamp && a->idle_us == b->idle_us &&
	       a->session_us == b->session_us && strcmp(a->hook_up, b->hook_up) == 0 &&
	       strcmp(a->hook_down, b->hook_down) == 0;
}

static bool was_stopped(const struct access *a, const char *name)
{
	uint64_t h = acc_dial_hash(name);

	for (size_t i = 0; i < a->stopped_count; i++) {
		if (a->stopped[i] == h)
			return true;
	}
	return false;
}

static struct acc_dial *unchanged(const struct access *a, const struct conf_dial *c)
{
	struct acc_dial *d = acc_dial_find(a, c->name);

	return d && same_dial(d->c, c) ? d : NULL;
}

void acc_dials_cancel(const struct access *a, const struct access_conf *conf, struct acc_dial **v)
{
	for (size_t i = 0; v && i < conf->dial_count; i++) {
		if (v[i] && v[i] != unchanged(a, &conf->dials[i]))
			free(v[i]);
	}
	free(v);
}

struct acc_dial **acc_dials_prepare(struct access *a, const struct access_conf *conf)
{
	size_t most = conf->dial_count + a->dial_count;
	struct acc_dial **v = calloc(most + 1, sizeof(*v));

	if (v && heap_reserve(&a->dial_timers, (uint32_t)most) < 0) {
		free(v);
		return NULL;
	}
	for (size_t i = 0; v && i < conf->dial_count; i++) {
		v[i] = unchanged(a, &conf->dials[i]);
		if (!v[i])
			v[i] = calloc(1, sizeof(*v[i]));
		if (!v[i]) {
			acc_dials_cancel(a, conf, v);
			return NULL;
		}
	}
	return v;
}

static void dial_free(struct access *a, struct acc_dial *d)
{
	heap_clear(&a->dial_timers, &d->timer);
	forget_paths(d);
	access_conf_unref(d->conf);
	free(d);
}

static void dial_set_conf(struct acc_dial *d, struct access_conf *conf, const struct conf_dial *c)
{
	access_conf_ref(conf);
	access_conf_unref(d->conf);
	d->conf = conf;
	d->c = c;
}

static void dial_start(struct access *a, struct mono now, struct acc_dial *d,
		       struct access_conf *conf, const struct conf_dial *c)
{
	struct acc_dial *old = acc_dial_find(a, c->name);

	dial_set_conf(d, conf, c);
	d->stopped = old ? old->stopped : was_stopped(a, c->name);
	d->wanted = c->automatic && !d->stopped;
	if (d->wanted || (old && old->asked)) {
		d->asked = true;
		d->state = ACC_D_WAITING;
		heap_set(&a->dial_timers, &d->timer, now);
	}
}

/* Dials of the configuration in its order, then former ones that still have a session. */
void acc_dials_commit(struct access *a, struct mono now, struct access_conf *conf,
		      struct acc_dial **v)
{
	struct acc_dial **old;
	size_t n = conf->dial_count, old_count;

	acc_dials_purge(a);
	old = a->dials;
	old_count = a->dial_count;

	for (size_t i = 0; i < n; i++) {
		const struct conf_dial *c = &conf->dials[i];

		if (v[i]->c)
			dial_set_conf(v[i], conf, c);
		else
			dial_start(a, now, v[i], conf, c);
	}
	a->dials = v;
	a->dial_count = n;
	for (size_t i = 0; i < old_count; i++) {
		struct acc_dial *d = old[i];
		bool kept = false;

		for (size_t j = 0; j < n && !kept; j++)
			kept = v[j] == d;
		if (kept)
			continue;
		if (!d->gone) {
			d->gone = true;
			acc_dial_disconnect(a, now, d, ADIT_CAUSE_CONFIG);
		}
		a->dials[a->dial_count++] = d;
		a->former = true;
	}
	free(old);
}

/* Free former dials of which nothing is left. */
void acc_dials_purge(struct access *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->dial_count; i++) {
		struct acc_dial *d = a->dials[i];

		if (d->gone && !d->owned && !d->news.next && !d->tunnel) {
			dial_free(a, d);
			continue;
		}
		a->former |= d->gone;
		a->dials[n++] = d;
	}
	a->dial_count = n;
}

void acc_dials_free(struct access *a)
{
	for (size_t i = 0; i < a->dial_count; i++)
		dial_free(a, a->dials[i]);
	free(a->dials);
}

bool access_dial(const struct access *a, size_t index, struct access_dial_info *ret)
{
	static const char *const names[] = { [ACC_D_IDLE] = "idle",
					     [ACC_D_RESOLVING] = "resolving",
					     [ACC_D_CONNECTING] = "connecting",
					     [ACC_D_LISTENING] = "listening",
					     [ACC_D_UP] = "up",
					     [ACC_D_WAITING] = "waiting" };
	const struct acc_dial *d;

	if (index >= a->dial_count)
		return false;
	d = a->dials[index];
	*ret = (struct access_dial_info){ .name = d->c->name,
					  .state = names[d->state],
					  .key = d->session ? d->session->key : 0,
					  .attempts = d->attempts,
					  .next = d->state == ACC_D_WAITING && d->timer.pos
							  ? d->timer.at
							  : MONO_NEVER,
					  .cause = d->cause,
					  .text = d->text };
	return true;
}
