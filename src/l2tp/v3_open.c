/* SPDX-License-Identifier: MIT
 *
 * Packets of strangers (RFC 3931 3.3.1, 4.3, 4.7.3, 5.4.3, 7.2): SCCRQs, and StopCCNs of those who
 * do not know our id yet.
 *
 * What halfopen.c says of v2 holds here: half-open connections are bounded (bound.c), a source that
 * has not been proved to be there gets one packet for each of its own and none larger, a request
 * that comes again gets the same answer, and one for an id that the peer uses already ends the old
 * connection only when the new one is up.
 *
 * Whether an SCCRQ is authentic is known only when the owner has said which secret is the peer's;
 * conn_accept() checks it then and before it believes anything in it.
 *
 * Ties: the peer is known by its address, and by Host Name and Router ID where the profile says
 * what these are. Whoever loses waits until the winner's connection is up, so that a forged tie
 * breaker cannot stop us; a losing request of the peer is answered with StopCCN 3, also when it
 * comes a little later than the answer to ours. Equal values:
 * ours starts over with another one, theirs is not answered (they do the same). Without any there
 * are two connections.
 */
#include "l2tp/v3_int.h"

/* ---- bounds ---- */

static void evict(struct l2tp3 *l, struct bound_node *n)
{
	struct ending why = {
		.cause = ADIT_CAUSE_LIMIT_TUNNELS,
		.text = "too many connections are being opened, the oldest gives way"
	};
	struct conn *c = container_of(n, struct conn, bound);

	v3_drop(l, DROP3_LIMIT, l->bound.open_count + l->bound.trusted_count, &c->path);
	conn_step(l, c, TE_LOST, &why);
	bound_leave(&l->bound, n);
}

static int enter(struct l2tp3 *l, struct conn *c)
{
	struct bound_node *victim = bound_victim(&l->bound, &c->path.remote);

	if (victim)
		evict(l, victim);
	return bound_enter(&l->bound, &c->bound, &c->path.remote);
}

void open_trust(struct l2tp3 *l, struct conn *c)
{
	struct bound_node *victim;

	if (!c->bound.source || c->bound.trusted)
		return;
	victim = bound_victim_trusted(&l->bound);
	if (victim)
		evict(l, victim);
	c->asked = 0;
	bound_trust(&l->bound, &c->bound);
	/* Who it is was not known before: the record of its request is made up for. */
	if (c->bound.words == 0 && c->request)
		trace_put(l->trace, TRACE_L2TP3_IN, l->now, c->handle, L2TP_SCCRQ, 0, 0, 0,
			  c->request, c->request_len);
}

/* ---- refusals without an object ---- */

/* An id for a StopCCN of a connection that never was: one that nobody has. */
static uint32_t spare_id(struct l2tp3 *l)
{
	uint32_t id = 0;

	for (int i = 0; i < 16 && (id == 0 || idmap_find(l->conn_ids, 0, id)); i++)
		id = rng_u32(&l->rng);
	return id;
}

/* Is this stranger's request recorded, with what becomes of it? */
bool open_tell(struct l2tp3 *l)
{
	uint32_t out = 0;
	struct trace *t = bound_tells(&l->bound, l->trace, l->now, &out);

	if (out)
		trace(t, TRACE_L2TP3_STRANGERS, l->now, 0, out, 0);
	return t != NULL;
}

/* Is this message of somebody who knows the secret of `c`? */
static bool proven(const struct in3 *in, const struct conn *c)
{
	return l2tp3_peek_nonce(in->msg + L2TP3_HEADER, in->len - L2TP3_HEADER).n <=
		       L2TP3_NONCE_MAX &&
	       l2tp3_verify(in->msg, in->len, &c->profile->auth, NULL, NULL) == L2TP3_CHECK_GOOD;
}

/* May a request have a say about the one we sent? Others are refused when they are answered. */
static bool believed(const struct conn *c, const struct in3 *in)
{
	return c->auth != CONN_AUTH_ON || c->profile->p.digest_optional || proven(in, c);
}

/*
 * StopCCN to a stranger, never larger than its request. `like`: a connection of ours to the same
 * peer, whose keys sign it, or NULL.
 */
static int refuse(struct l2tp3 *l, const struct in3 *in, uint32_t remote_id,
		  const struct conn *like, const struct ending *why)
{
	const uint8_t *payload = in->msg + L2TP3_HEADER;
	struct l2tp3_nonces n = { .peer = l2tp3_peek_nonce(payload, in->len - L2TP3_HEADER) };
	/* Nobody without the secret gets a digest over octets of his choice. */
	bool signs = like && like->auth == CONN_AUTH_ON && n.peer.n && proven(in, like);
	const struct l2tp3_auth *keys = path_is_ip(in->path) ? &l->sum : NULL;
	struct l2tp3_auth one;
	char text[L2TP_TEXT_MAX];
	struct l2tp_build b;
	struct reply3 *r;
	size_t bare = L2TP3_HEADER + 8 + 10 + 10;

	if (signs)
		keys = digest_keys(l, like, L2TP_STOPCCN, &one);
	bare += keys ? 7 + l2tp3_digest_len(keys->keys[0].digest) : 0;
	v3_drop(l, why->error == L2TP_ERR_RESOURCES ? DROP3_LIMIT : DROP3_AVP, L2TP_SCCRQ,
		in->path);
	if (l->reply_count == L2TP_REPLIES || in->len < bare)
		return L2TP3_IN_DROP;
	engine_words(text, in->len - bare, why->text);
	r = &l->replies[(l->reply_first + l->reply_count) % L2TP_REPLIES];
	l2tp3_build_begin(&b, r->bytes, sizeof(r->bytes), L2TP_STOPCCN, keys, false, &l->rng);
	l2tp_build_u32(&b, L2TP3_AVP_CONNECTION_ID, spare_id(l));
	l2tp_build_result(&b, why->result, why->error, text);
	r->len = (uint16_t)l2tp_build_end(&b);
	if (!r->len)
		return L2TP3_IN_DROP;
	l2tp_build_stamp3(r->bytes, r->len, remote_id, 0, 1);
	if (keys)
		l2tp3_sign(r->bytes, r->len, keys, signs ? &n : NULL);
	r->path = *in->path;
	l->reply_count++;
	r->told = open_tell(l);
	if (r->told && like) /* an ordinary thing where both sides dial */
		trace(l->trace, TRACE_L2TP3_CONN_TIE_WON, l->now, like->handle, like->local_id, 0);
	else if (r->told)
		trace_put(l->trace, TRACE_L2TP3_STRANGER_REFUSED, l->now, 0, why->result,
			  why->error, 0, 0, why->text, strlen(why->text));
	return L2TP3_IN_DROP;
}

/* ---- ties ---- */

enum tie { TIE_NONE, TIE_OURS, TIE_THEIRS, TIE_EQUAL };

static enum tie tie_of(const struct conn *c, const struct l2tp_msg *m)
{
	bool theirs = l2tp_msg_has(m, L2TP3_AVP_TIE);

	if (!theirs)
		return c->has_tie ? TIE_OURS : TIE_NONE;
	if (!c->has_tie)
		return TIE_THEIRS;
	if (c->tie == m->tie)
		return TIE_EQUAL;
	return c->tie < m->tie ? TIE_OURS : TIE_THEIRS;
}

static bool same_peer(const struct conn *c, const struct l2tp_msg *m)
{
	const struct l2tp3_params *p = &c->profile->p;
	char host[L2TP_NAME_MAX];

	if (p->peer_router_id && p->peer_router_id != m->router_id)
		return false;
	engine_name(host, sizeof(host), m->host_name);
	return !p->peer_name || text_glob(p->peer_name, host);
}

/* Between the same two: of messages that we believe. */
static bool same_pair(const struct conn *c, const struct in3 *in, const struct l2tp_msg *m)
{
	return addr_same_ip(&c->path.remote, &in->path->remote) &&
	       c->over_ip == path_is_ip(in->path) && same_peer(c, m) && believed(c, in);
}

/* Our connection that is up already, where the peer has answered our request and knows that its
 * own has lost: that one was overtaken by its answer. NULL: there is none. */
static struct conn *won_before(struct l2tp3 *l, const struct in3 *in, const struct l2tp_msg *m)
{
	struct htab_node *n = htab_find(&l->by_host, conn_dial_hash(l, &in->path->remote));

	for (; n && l2tp_msg_has(m, L2TP3_AVP_TIE); n = htab_next(n)) {
		struct conn *c = container_of(n, struct conn, by_dial);

		if (c->state == L2TP3_CS_UP && c->initiator && tie_of(c, m) == TIE_OURS &&
		    !mono_due(mono_add(c->up_at, L2TP3_LATE_US), l->now) && same_pair(c, in, m))
			return c;
	}
	return NULL;
}

/*
 * Settle a collision. True when the peer's SCCRQ is dealt with. *ret_loser is our connection that
 * has to wait for the peer's, or NULL.
 */
static bool tie_settle(struct l2tp3 *l, const struct in3 *in, const struct l2tp_msg *m,
		       struct conn **ret_loser)
{
	struct ending lost = { .result = L2TP_STOP_EXISTS,
			       .text = "a connection was being opened already and has the lower "
				       "tie breaker" };
	struct htab_node *n = htab_find(&l->by_dial, conn_dial_hash(l, &in->path->remote)), *next;
	struct conn *loser = NULL, *winner = won_before(l, in, m);

	if (winner) {
		refuse(l, in, m->connection_id, winner, &lost);
		return true;
	}
	for (; n; n = next) {
		struct conn *c = container_of(n, struct conn, by_dial);

		next = htab_next(n);
		if (c->yields || c->state != L2TP3_CS_WAIT_REPLY || !same_pair(c, in, m))
			continue;
		switch (tie_of(c, m)) {
		case TIE_NONE:
			break;
		case TIE_EQUAL:
			conn_again(l, c);
			return true;
		case TIE_OURS:
			refuse(l, in, m->connection_id, c, &lost);
			return true;
		case TIE_THEIRS:
			if (!loser)
				loser = c;
			break;
		}
	}
	*ret_loser = loser;
	return false;
}

/* ---- SCCRQ ---- */

static struct conn *find_request(struct l2tp3 *l, const struct path *path, uint64_t hash)
{
	struct htab_node *n = htab_find(&l->by_request, bound_request(&l->by_request, path, hash));

	for (; n; n = htab_next(n)) {
		struct conn *c = container_of(n, struct conn, by_request);

		if (c->request_hash == hash && path_equal(&c->path, path))
			return c;
	}
	return NULL;
}

/* An SCCRQ that we had before. True when it is a repetition and was dealt with. */
static bool repeated(struct l2tp3 *l, struct conn *c, const struct in3 *in)
{
	bool waiting =
		c->state == L2TP3_CS_WAIT_CONN || (c->state == L2TP3_CS_CLOSING && !c->was_up);
	bool settling =
		c->state == L2TP3_CS_UP && !mono_due(mono_add(c->up_at, L2TP_SETTLE_US), l->now);

	if (c->state != L2TP3_CS_ASKING && !waiting && !settling) {
		/* The peer has started anew and asks in the same words. */
		htab_drop(&l->by_request, &c->by_request);
		c->in_request = false;
		return false;
	}
	c->rel.duplicates++;
	l->count.duplicates++;
	trace_put(conn_trace(l, c), TRACE_L2TP3_REPEATED, l->now, c->handle, 0, in->ns, c->rel.nr,
		  0, NULL, 0);
	if (waiting)
		rel_repeat(&c->rel);
	else if (settling)
		rel_again(&c->rel);
	v3_work(l, c);
	return true;
}

/* Everything a connection has to keep of its SCCRQ while the owner thinks. */
static int remember(struct l2tp3 *l, struct conn *c, const struct in3 *in, const struct l2tp_msg *m,
		    uint64_t hash)
{
	if (conn_names(l, c, m->host_name, m->vendor_name) < 0)
		return -ENOMEM;
	c->request = v3_alloc(l, in->len);
	if (!c->request)
		return -ENOMEM;
	memcpy(c->request, in->msg, in->len);
	c->request_len = (uint16_t)in->len;
	if (enter(l, c) < 0)
		return -ENOMEM;
	c->request_hash = hash;
	htab_put(&l->by_request, &c->by_request, bound_request(&l->by_request, &c->path, hash));
	c->in_request = true;
	c->router_id = m->router_id;
	c->from_offer = in->offer;
	c->asked = (uint16_t)in->len;
	if (m->connection_id)
		conn_key_peer(l, c, m->connection_id);
	return 0;
}

/* What can be wrong with it but for AVPs that only the owner's secret or quirks let us read. */
static bool hopeless(const struct l2tp_msg *m, const struct l2tp_verdict *v)
{
	return v->scope == L2TP_MSG_CLEAR && !m->lax &&
	       !(m->needs_secret && l2tp_msg_has(m, L2TP3_AVP_HOST_NAME));
}

static int sccrq_input(struct l2tp3 *l, const struct in3 *in, const struct l2tp_msg *m,
		       const struct l2tp_verdict *v)
{
	static const char full[] = "no more connections are possible";
	struct ending why = { .result = v->result, .error = v->error, .text = v->text };
	uint64_t hash = siphash(l->by_request.key, in->msg + L2TP3_HEADER, in->len - L2TP3_HEADER);
	struct conn *c = find_request(l, in->path, hash), *loser = NULL;
	int rc;

	if (c && repeated(l, c, in))
		return L2TP3_IN_CONTROL;
	if (hopeless(m, v))
		return refuse(l, in, m->connection_id, NULL, &why);
	if (in->len > L2TP_REQUEST_MAX)
		return v3_drop(l, DROP3_LIMIT, in->len, in->path);
	if (tie_settle(l, in, m, &loser))
		return L2TP3_IN_CONTROL;
	rc = l->scarce ? 1 : conn_new(l, in->path, false, 0, &c);
	if (rc > 0) {
		why = (struct ending){ .result = L2TP_STOP_ERROR,
				       .error = L2TP_ERR_RESOURCES,
				       .text = l->scarce ? engine_scarce : full };
		return refuse(l, in, m->connection_id, NULL, &why);
	}
	if (rc < 0)
		return rc;
	rc = remember(l, c, in, m, hash);
	if (rc < 0) {
		conn_undo(l, c);
		return rc;
	}
	c->bound.words = open_tell(l) ? BOUND_WORDS : 0;
	if (loser)
		conn_yield(l, loser, c);
	trace_put(conn_trace(l, c), TRACE_L2TP3_IN, l->now, c->handle, L2TP_SCCRQ, in->ns, in->nr,
		  0, in->msg, in->len);
	conn_step(l, c, TE_SCCRQ, NULL);
	return L2TP3_IN_CONTROL;
}

/*
 * StopCCN of a peer that does not know our id yet: found by its own (5.4.3). Who has an established
 * connection with us knows our id; it would be enough to guess the peer's to end that. That there
 * is none (2/1) is only a reason to ask.
 */
static int stopccn_input(struct l2tp3 *l, const struct in3 *in, const struct l2tp_msg *m)
{
	struct conn *c =
		m->connection_id ? conn_by_peer(l, in->path, m->connection_id, NULL) : NULL;

	while (c && (c->was_up || c->initiator))
		c = conn_by_peer(l, in->path, m->connection_id, c);
	if (!c) {
		if (m->result == L2TP_STOP_ERROR && m->error == L2TP_ERR_NO_CONNECTION)
			doubt3_told(l, in, m->local_id);
		return v3_drop(l, DROP3_CONN, 0, in->path);
	}
	return conn_receive(l, c, in);
}

int open_input(struct l2tp3 *l, const struct in3 *in)
{
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp_msg m;

	if (bound_source_bad(in->path) || in->len <= L2TP3_HEADER ||
	    (in->type != L2TP_SCCRQ && in->type != L2TP_STOPCCN))
		return v3_drop(l, DROP3_CONN, 0, in->path);
	l2tp3_msg_parse(in->msg + L2TP3_HEADER, in->len - L2TP3_HEADER, NULL, 0, scratch, &m, &v);
	if (v.scope == L2TP_MSG_DROP || v.scope == L2TP_MSG_IGNORE || !m.known)
		return v3_drop(l, DROP3_AVP, m.type, in->path);
	if (in->type == L2TP_STOPCCN)
		return stopccn_input(l, in, &m);
	/* Nothing else is answered: it would go to whoever the sender claims to be. */
	if (in->ns != 0)
		return v3_drop(l, DROP3_CONN, 0, in->path);
	return sccrq_input(l, in, &m, &v);
}
