/* SPDX-License-Identifier: MIT
 *
 * One of the two has lost its state, and the other one does not know: what doubt.c says of v2, for
 * L2TPv3. Three things are different.
 *
 *   - Data names a session alone (RFC 3931 4.1), and we cannot tell under which id the sender knows
 *     our connection. The StopCCN (2/1, "no control connection exists yet for this pair of LCCEs")
 *     goes to connection 0 and names the session, as a CDN would. It is sent only where there is no
 *     connection between these two ends; one that names no session means all there are.
 *   - Where a connection is up between the two, CDN (2/5) in it names the session by our id.
 *   - Where messages are authenticated (4.3) the StopCCN has a digest made with the secret, without
 *     nonces, as an SCCRQ has: whoever lost its state knows none. Without it nothing is believed.
 *
 * Nothing of that ends a connection. It is asked: HELLO at once, and again until something is heard
 * or the time is over. An id of 32 random bits is known to those alone who see our data, so who
 * sends a StopCCN that names a session of ours is there, and has nearly surely lost it: the answer
 * has to come soon, unless the peer was heard a moment before. A host that opens another connection
 * may have several, and may just now be restarting without losing any; and anybody can send a
 * StopCCN that names no session. Then there is more time for an answer.
 *
 * Not all peers choose ids at random, and without a secret whoever guesses one can say the same. So
 * a StopCCN is nearly sure once in the life of a connection: a second one shows that the first was
 * false, and is no better than one without a session. Each makes the rest before the next longer.
 */
#include "l2tp/v3_int.h"

/* What casts doubt on a connection. */
enum hint {
	HINT_STOP,   /* a StopCCN that names no session */
	HINT_HOST,   /* its host has opened another one */
	HINT_SESSION /* a StopCCN that names one of its sessions */
};

#define ASK_US	  (1 * US_S)
#define SURE_US	  (250 * US_MS) /* the same for HINT_SESSION */
#define ASK_MOST  6
#define REST_US	  (10 * US_S) /* after an answer a connection is not doubted for a StopCCN */
#define REST_MOST (60 * US_S) /* ... twice as long for each one before, up to this */
#define SURE_REST (1 * US_S)  /* ... nor for a host, or the first session that is named */
#define QUIET_US  (3 * US_S)  /* who was heard since is not lost soon, nor doubted at HINT_STOP */
#define HOST_MOST 2	      /* connections that one message casts doubt on */
#define HOST_LOOK 64	      /* connections of one address that are known for that */
#define TOLD_MOST 32	      /* in a second, of connections nobody knows; of sessions as many */

/* ---- what the peer may have lost ---- */

/* Until it is asked again, or the answer is too late: more than the round trip. */
static int64_t pace(const struct conn *c)
{
	if (!c->doubt_sure)
		return ASK_US;
	return c->rel.rtt_us > SURE_US ? c->rel.rtt_us : SURE_US;
}

/* Ask once more. */
static void ask(struct l2tp3 *l, struct conn *c)
{
	c->doubts++;
	c->doubt_at = mono_add(l->now, pace(c));
	if (rel_held_count(&c->rel)) {
		rel_repeat(&c->rel);
		v3_work(l, c);
	} else {
		conn_hello(l, c);
	}
	conn_timer(l, c);
}

/* Nearly surely lost: it was never said before. */
static bool sure(const struct conn *c, enum hint hint)
{
	return hint == HINT_SESSION && !c->alarms;
}

static int64_t rest(const struct conn *c, enum hint hint)
{
	int64_t us = REST_US;

	if (hint == HINT_HOST || sure(c, hint))
		return SURE_REST;
	for (unsigned int i = 1; i < c->alarms && us < REST_MOST; i++)
		us *= 2;
	return us < REST_MOST ? us : REST_MOST;
}

static bool askable(const struct l2tp3 *l, const struct conn *c, enum hint hint)
{
	if (c->state != L2TP3_CS_UP || c->quirks & L2TP3_QUIRK_NO_HELLO ||
	    c->profile->p.hello_us < 0)
		return false;
	if (c->doubts)
		return sure(c, hint); /* what began as less */
	return mono_due(mono_add(c->doubt_at, rest(c, hint)), l->now) &&
	       (hint != HINT_STOP || mono_due(mono_add(c->heard, QUIET_US), l->now));
}

static void begin(struct l2tp3 *l, struct conn *c, enum hint hint)
{
	trace(l->trace, TRACE_L2TP3_CONN_DOUBT, l->now, c->handle, c->local_id, c->remote_id);
	c->doubts = 0;
	c->doubt_sure = sure(c, hint);
	c->doubted = l->now;
	if (hint != HINT_HOST && c->alarms < UINT8_MAX)
		c->alarms++;
	ask(l, c);
}

void doubt3_end(const struct l2tp3 *l, struct conn *c)
{
	if (!c->doubts)
		return;
	c->doubts = 0;
	c->doubt_at = l->now;
}

void doubt3_heard(const struct l2tp3 *l, struct conn *c)
{
	if (c->doubted.us < c->heard.us)
		doubt3_end(l, c);
}

void doubt3_due(struct l2tp3 *l, struct conn *c)
{
	struct ending why = { .cause = ADIT_CAUSE_TUNNEL_LOST,
			      .text = "the peer does not know the connection any more" };
	struct mono soon = mono_add(c->heard, c->doubt_sure ? QUIET_US : 0);

	if (c->state != L2TP3_CS_UP || !c->doubts || !mono_due(c->doubt_at, l->now))
		return;
	if (!mono_due(l->grace, l->now)) {
		c->doubt_at = l->grace;
	} else if (c->doubts < ASK_MOST) {
		ask(l, c);
	} else if (c->doubts == ASK_MOST) { /* whoever stands still may have data that goes on */
		c->doubts++;
		c->doubt_at = mono_add(l->now, c->doubt_sure ? pace(c) : L2TP_QUIET_US);
		v3_news(l, &c->thing, NEWS_QUIET);
	} else if (!mono_due(soon, l->now)) { /* then once more */
		c->doubts = ASK_MOST - 1;
		c->doubt_at = soon;
	} else {
		conn_step(l, c, TE_LOST, &why);
	}
}

/* ---- connections by their host ---- */

void doubt3_enter(struct l2tp3 *l, struct conn *c)
{
	uint64_t hash = conn_dial_hash(l, &c->path.remote);
	struct htab_node *n = htab_find(&l->by_host, hash);
	int count = 0;

	for (; n && count < HOST_LOOK; n = htab_next(n))
		count++;
	if (c->in_host || c->in_dial || count == HOST_LOOK)
		return;
	htab_put(&l->by_host, &c->by_dial, hash);
	c->in_host = true;
}

void doubt3_leave(struct l2tp3 *l, struct conn *c)
{
	if (c->in_host)
		htab_drop(&l->by_host, &c->by_dial);
	c->in_host = false;
	c->doubts = 0;
}

/* What casts doubt on `o`: a connection that the same host has opened, proven where `o` is. */
static bool by_conn(const struct conn *o, const struct conn *c)
{
	return o != c && addr_same_ip(&o->path.remote, &c->path.remote) &&
	       o->router_id == c->router_id && o->host_name && c->host_name &&
	       strcmp(o->host_name, c->host_name) == 0 &&
	       (o->auth != CONN_AUTH_ON || (c->auth == CONN_AUTH_ON && c->proved));
}

/*
 * ... or a message on this path that says that there is none, or knows nothing of `session`; with a
 * digest where there are such.
 */
static bool by_message(struct l2tp3 *l, const struct conn *o, const struct in3 *in,
		       uint32_t session)
{
	const struct l2tp3_auth *keys = &l->sum;

	if (!path_equal(&o->path, in->path) || (session && !pw_by_remote(l, o, session)))
		return false;
	if (o->auth == CONN_AUTH_OFF)
		return true;
	if (o->auth == CONN_AUTH_ON)
		keys = &o->profile->auth;
	return l2tp3_verify(in->msg, in->len, keys, NULL, NULL) == L2TP3_CHECK_GOOD;
}

/* The connection that was silent for longest of those that are in doubt now. */
static struct conn *silent(struct l2tp3 *l, const struct addr *remote, const struct conn *c,
			   const struct in3 *in, uint32_t session)
{
	struct htab_node *n = htab_find(&l->by_host, conn_dial_hash(l, remote));
	enum hint hint = c ? HINT_HOST : session ? HINT_SESSION : HINT_STOP;
	struct conn *best = NULL;

	for (; n; n = htab_next(n)) {
		struct conn *o = container_of(n, struct conn, by_dial);

		if (!askable(l, o, hint) || (best && best->heard.us <= o->heard.us) ||
		    !(c ? by_conn(o, c) : by_message(l, o, in, session)))
			continue;
		best = o;
	}
	return best;
}

void doubt3_others(struct l2tp3 *l, struct conn *c)
{
	struct conn *o;

	for (int i = 0; i < HOST_MOST && (o = silent(l, &c->path.remote, c, NULL, 0)); i++)
		begin(l, o, HINT_HOST);
}

void doubt3_told(struct l2tp3 *l, const struct in3 *in, uint32_t session)
{
	struct conn *o;

	for (int i = 0; i < HOST_MOST && (o = silent(l, &in->path->remote, NULL, in, session)); i++)
		begin(l, o, session ? HINT_SESSION : HINT_STOP);
}

/* ---- what we have lost ---- */

/* Whoever comes for no connection does not use up what peers are told. */
static bool may_tell(struct l2tp3 *l, bool peer)
{
	if (mono_due(l->told_at, l->now)) {
		l->told_at = mono_add(l->now, US_S);
		l->told[0] = l->told[1] = 0;
	}
	return l->told[peer]++ < TOLD_MOST;
}

/* Several engines may share a port, each with ids of its own; static pseudowires have some, too,
 * and on the way to sessions that have just ended there may be data still. */
bool doubt3_lost(const struct l2tp3 *l, uint32_t id)
{
	return id && id >= l->cfg.id_base &&
	       (!l->cfg.id_len || id - l->cfg.id_base < l->cfg.id_len) &&
	       !idmap_find(l->session_ids, 0, id) && !idmap_resting(l->session_ids, 0, id);
}

/* No connection at all: the answer to all there are at the sender. Never larger than what came. */
static void tell_none(struct l2tp3 *l, const struct path *path, uint32_t session, size_t came,
		      const struct l2tp3_profile *profile)
{
	struct l2tp3_auth one;
	const struct l2tp3_auth *keys = digest_bare(l, profile, path_is_ip(path), &one);
	size_t len = path_is_ip(path) ? L2TP3_IP_PREFIX : 0;
	struct l2tp_build b;
	struct reply3 *r;

	len += L2TP3_HEADER + 8 + 10 + 10; /* we have told no id of ours: there is no AVP 61 */
	len += keys ? 7 + l2tp3_digest_len(keys->keys[0].digest) : 0;
	if (came < len || bound_source_bad(path) || l->reply_count == L2TP_REPLIES ||
	    !may_tell(l, false))
		goto out;
	r = &l->replies[(l->reply_first + l->reply_count) % L2TP_REPLIES];
	l2tp3_build_begin(&b, r->bytes, sizeof(r->bytes), L2TP_STOPCCN, keys, false, &l->rng);
	l2tp_build_result(&b, L2TP_STOP_ERROR, L2TP_ERR_NO_CONNECTION, NULL);
	l2tp_build_u32(&b, L2TP3_AVP_LOCAL_SESSION, session);
	r->len = (uint16_t)l2tp_build_end(&b);
	if (!r->len)
		goto out;
	l2tp_build_stamp3(r->bytes, r->len, 0, 0, 0);
	if (keys)
		l2tp3_sign(r->bytes, r->len, keys, NULL);
	r->path = *path;
	r->told = open_tell(l);
	l->reply_count++;
out:
	bytes_wipe(&one, sizeof(one));
}

/* Octets of the CDN that pw_refuse() puts into a connection, with its digest, what hiding takes,
 * and the session id in front. */
static size_t refusal_len(struct l2tp3 *l, const struct conn *c, const struct ending *why)
{
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp_build b;

	conn_build(l, c, &b, buf, L2TP_CDN);
	l2tp_build_u32(&b, L2TP3_AVP_LOCAL_SESSION, 0);
	l2tp_build_u32(&b, L2TP3_AVP_REMOTE_SESSION, 0);
	l2tp_build_result(&b, why->result, why->error, NULL);
	return l2tp_build_end(&b) + (c->over_ip ? L2TP3_IP_PREFIX : 0);
}

int l2tp3_tell_lost(struct l2tp3 *l, const struct path *path, const uint8_t *bytes, size_t len,
		    const struct l2tp3_profile *profile)
{
	struct ending why = { .cause = ADIT_CAUSE_PROTOCOL_ERROR,
			      .result = L2TP_CDN_ERROR,
			      .error = L2TP_ERR_SESSION_ID };
	enum l2tp3_carrier carrier = path_is_ip(path) ? L2TP3_IP : L2TP3_UDP;
	struct htab_node *n = htab_find(&l->by_host, conn_dial_hash(l, &path->remote));
	struct conn *c = NULL;
	struct l2tp3_header h;

	if (l2tp3_header_parse(carrier, bytes, len, &h) != L2TP_HDR_OK || h.control ||
	    !doubt3_lost(l, h.session))
		return 0;
	for (; n && !c; n = htab_next(n)) {
		c = container_of(n, struct conn, by_dial);
		c = path_equal(&c->path, path) ? c : NULL;
	}
	if (!c)
		tell_none(l, path, h.session, len, profile);
	else if (!c->orphans && rel_room(&c->rel, false) && len >= refusal_len(l, c, &why) &&
		 may_tell(l, true))
		return pw_refuse(l, c, h.session, 0, &why);
	return 0;
}
