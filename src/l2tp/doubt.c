/* SPDX-License-Identifier: MIT
 *
 * One of the two has lost its state, and the other one does not know (RFC 2661 has no word on it:
 * 5.8 lets retransmissions run out). It shows at once all the same:
 *
 *   - Data comes for a tunnel that nobody knows: we have lost it. A StopCCN says so (2/1, "no
 *     control connection exists yet"), to tunnel 0, with the id that the peer used: it is what we
 *     told it once. A stranger may have sent it, so the answer is never larger than the request,
 *     and there are few of them in a second. Control out of nothing gets no answer.
 *   - Data comes for a session that nobody knows in a tunnel that is there: a CDN (2/5, "the
 *     session id is invalid") names it by our id, as 4.4.4 has it for a peer whose id is not known.
 *   - Such a StopCCN comes for a tunnel of ours, or a host with a tunnel opens another one: the
 *     peer may have begun anew. Anybody can have forged the one, and many hosts have several
 *     tunnels, so it is only a reason to ask: HELLO at once, and more often than usual. Who still
 *     has the tunnel acknowledges one of them, or has data for us. After six seconds without
 *     either the planes are asked, and a second later the tunnel is lost.
 */
#include "l2tp/internal.h"

#define ASK_US	  (1 * US_S)
#define ASK_MOST  6
#define REST_US	  (10 * US_S) /* after an answer a tunnel is not doubted again */
#define QUIET_US  (3 * US_S)  /* who was heard since then is not doubted for its host's sake */
#define HOST_MOST 2	      /* tunnels a new one of the same host casts doubt on */
#define HOST_LOOK 64	      /* tunnels of one address that are known for that */
#define TOLD_MOST 32	      /* in a second, of tunnels nobody knows; of sessions as many */
#define DATA_US	  (2 * US_S)  /* data since then is an answer */

/* StopCCN: header, message type, assigned tunnel id, result code with error code. */
#define STOP_LEN   (12u + 8 + 8 + 10)
#define HIDDEN_LEN (22u + 2) /* what is more of a CDN: Random Vector, length of the id */

/* ---- what we have lost ---- */

/* Whoever comes for no tunnel does not use up what peers are told. */
static bool may_tell(struct l2tp *l, bool peer)
{
	if (mono_due(l->told_at, l->now)) {
		l->told_at = mono_add(l->now, US_S);
		l->told[0] = l->told[1] = 0;
	}
	return l->told[peer]++ < TOLD_MOST;
}

/* Several engines may share a port, each with ids of its own. */
static bool ours(const struct l2tp *l, uint16_t id)
{
	return id && id >= l->cfg.id_base &&
	       (!l->cfg.id_len || id - l->cfg.id_base < l->cfg.id_len);
}

int doubt_no_tunnel(struct l2tp *l, const struct path *path, const struct l2tp_header *h)
{
	struct l2tp_build b;
	struct reply *r;

	if (h->payload + h->len < STOP_LEN || !ours(l, h->tunnel) || bound_source_bad(path) ||
	    !path->remote.port || idmap_resting(l->tunnel_ids, 0, h->tunnel) ||
	    l->reply_count == L2TP_REPLIES || !may_tell(l, false))
		return engine_drop(l, DROP_TUNNEL, h->tunnel, path);
	r = &l->replies[(l->reply_first + l->reply_count) % L2TP_REPLIES];
	l2tp_build_begin(&b, r->bytes, sizeof(r->bytes), L2TP_STOPCCN, NULL, NULL);
	l2tp_build_u16(&b, 9, h->tunnel);
	l2tp_build_result(&b, L2TP_STOP_ERROR, L2TP_ERR_NO_CONNECTION, NULL);
	r->len = (uint16_t)l2tp_build_end(&b);
	if (r->len) {
		l2tp_build_stamp(r->bytes, r->len, 0, 0, 0, 0);
		r->path = *path;
		r->told = stranger_tell(l);
		l->reply_count++;
	}
	return engine_drop(l, DROP_TUNNEL, h->tunnel, path);
}

int doubt_no_session(struct l2tp *l, struct tunnel *t, const struct path *path,
		     const struct l2tp_header *h)
{
	uint16_t session = h->session;
	bool hide = t->profile && t->profile->p.hide && tunnel_secret(t);
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp_build b;

	if (h->payload + h->len < STOP_LEN + (hide ? HIDDEN_LEN : 0) || t->state != L2TP_TS_UP ||
	    !session || !path_equal(&t->path, path) ||
	    idmap_resting(l->session_ids, t->local_id, session) || !rel_room(&t->rel, false) ||
	    !may_tell(l, true))
		return engine_drop(l, DROP_SESSION, session, path);
	tunnel_build(l, t, &b, buf, L2TP_CDN);
	l2tp_build_result(&b, L2TP_CDN_ERROR, L2TP_ERR_SESSION_ID, NULL);
	l2tp_build_u16(&b, 14, session);
	if (tunnel_push(l, t, &b, 0) == 0) {
		thing_dirty(l, &t->thing);
		engine_out(l, t);
		tunnel_timer(l, t);
	}
	return engine_drop(l, DROP_SESSION, session, path);
}

/* ---- what the peer may have lost ---- */

/* Ask once more. */
static void ask(struct l2tp *l, struct tunnel *t)
{
	t->doubts++;
	t->doubt_at = mono_add(l->now, ASK_US);
	if (rel_held_count(&t->rel)) {
		rel_repeat(&t->rel);
		engine_work(l, t);
	} else {
		tunnel_hello(l, t);
	}
	tunnel_timer(l, t);
}

static bool askable(const struct l2tp *l, const struct tunnel *t)
{
	return t->state == L2TP_TS_UP && !t->doubts && mono_due(t->doubt_at, l->now) &&
	       !(t->quirks & L2TP_QUIRK_NO_HELLO) && t->profile && t->profile->p.hello_us >= 0;
}

void doubt_begin(struct l2tp *l, struct tunnel *t)
{
	if (!askable(l, t))
		return;
	trace(l->trace, TRACE_L2TP_TUNNEL_DOUBT, l->now, t->handle, t->local_id, t->remote_id);
	ask(l, t);
}

void doubt_end(struct l2tp *l, struct tunnel *t)
{
	if (!t->doubts)
		return;
	t->doubts = 0;
	t->doubt_at = mono_add(l->now, REST_US);
}

void doubt_due(struct l2tp *l, struct tunnel *t)
{
	struct ending why = { .cause = ADIT_CAUSE_TUNNEL_LOST,
			      .text = "the peer does not know the tunnel any more" };

	if (!t->doubts || !mono_due(t->doubt_at, l->now))
		return;
	if (!mono_due(l->grace, l->now)) {
		t->doubt_at = l->grace;
	} else if (t->doubts < ASK_MOST) {
		ask(l, t);
	} else if (t->doubts == ASK_MOST) { /* whoever stands still may have data that goes on */
		t->doubts++;
		t->doubt_at = mono_add(l->now, L2TP_QUIET_US);
		thing_news(l, &t->thing, NEWS_QUIET);
	} else {
		tunnel_step(l, t, TE_LOST, &why);
	}
}

void doubt_heard(struct l2tp *l, struct tunnel *t)
{
	if (!t->doubts || mono_due(mono_add(t->heard, DATA_US), l->now))
		return;
	doubt_end(l, t);
}

/* ---- tunnels by their host ---- */

void doubt_enter(struct l2tp *l, struct tunnel *t)
{
	uint64_t hash = tunnel_dial_hash(l, &t->path.remote);
	struct htab_node *n = htab_find(&l->by_host, hash);
	int count = 0;

	while (n && count < HOST_LOOK) {
		n = htab_next(n);
		count++;
	}
	if (t->in_host || t->in_dial || count == HOST_LOOK)
		return;
	htab_put(&l->by_host, &t->by_dial, hash);
	t->in_host = true;
}

void doubt_leave(struct l2tp *l, struct tunnel *t)
{
	if (t->in_host)
		htab_drop(&l->by_host, &t->by_dial);
	t->in_host = false;
}

/* Of the tunnels of this one's host the one that was silent for longest, NULL = none to doubt. */
static struct tunnel *silent(struct l2tp *l, const struct tunnel *t)
{
	struct htab_node *n = htab_find(&l->by_host, tunnel_dial_hash(l, &t->path.remote));
	struct tunnel *best = NULL;

	for (; n; n = htab_next(n)) {
		struct tunnel *o = container_of(n, struct tunnel, by_dial);

		if (o == t || !askable(l, o) || !mono_due(mono_add(o->heard, QUIET_US), l->now) ||
		    !addr_same_ip(&o->path.remote, &t->path.remote) || !o->host_name ||
		    !t->host_name || strcmp(o->host_name, t->host_name) != 0)
			continue;
		if (!best || o->heard.us < best->heard.us)
			best = o;
	}
	return best;
}

void doubt_others(struct l2tp *l, struct tunnel *t)
{
	struct tunnel *o;

	for (int i = 0; i < HOST_MOST && (o = silent(l, t)); i++)
		doubt_begin(l, o);
}
