/* SPDX-License-Identifier: MIT
 *
 * Packets of strangers: control messages without a tunnel id (RFC 2661 5.1, 7.2, 4.4.3).
 *
 * Anybody can send an SCCRQ, with any source address. So a tunnel that was asked for and is not up
 * yet is bounded, over all and for each source; the oldest gives way. Those whose address the owner
 * trusts are counted by themselves: strangers do not push them out. Until its peer has shown that
 * it receives what we send to its address, nothing is sent to it but one packet for each of its
 * own: SCCRP is not repeated by time but whenever the SCCRQ comes again, which the initiator has to
 * repeat anyway as long as it has no answer.
 *
 * RFC 2661 has no cookie, so an SCCRP goes to whoever the SCCRQ claims to be from. What may be left
 * out of it is left out where it would be larger than the SCCRQ (control.c): Vendor Name, Firmware
 * Revision, Receive Window Size. What may not is larger only by our host name, our bearer
 * capabilities, our challenge, and the response where the peer's challenge was shorter than 16
 * octets. A refusal needs no object when the SCCRQ is broken, and is never larger than what it
 * answers.
 *
 * Which SCCRQ is which:
 *   same path, same content           a repetition: its answer goes out again
 *   same path, same tunnel id         the peer has restarted: it gets a new tunnel at once; the old
 *                                     one ends (REPLACED) when the new one is up, so that a forged
 *                                     SCCRQ cannot end a tunnel
 *   anything else                     a further tunnel
 *
 * Ties (4.4.3): both sides sent an SCCRQ to each other. The peer is known by its address, and by
 * its Host Name where the profile says what that is: behind one address there may be many hosts,
 * and who we dial has not told us its name yet. When the peer's request wins, ours only waits; it
 * ends when the winner is up and goes on when the winner fails, so that a forged tie breaker cannot
 * stop us either.
 */
#include "l2tp/internal.h"

/* ---- bounds ---- */

static void evict(struct l2tp *l, struct bound_node *n)
{
	struct ending why = { .cause = ADIT_CAUSE_LIMIT_TUNNELS,
			      .text = "too many tunnels are being opened, the oldest gives way" };
	struct tunnel *t = container_of(n, struct tunnel, bound);

	engine_drop(l, DROP_LIMIT, l->bound.open_count + l->bound.trusted_count, &t->path);
	tunnel_step(l, t, TE_LOST, &why);
	halfopen_leave(l, t);
}

int halfopen_enter(struct l2tp *l, struct tunnel *t)
{
	struct bound_node *victim = bound_victim(&l->bound, &t->path.remote);

	if (victim)
		evict(l, victim);
	return bound_enter(&l->bound, &t->bound, &t->path.remote);
}

void halfopen_leave(struct l2tp *l, struct tunnel *t)
{
	bound_leave(&l->bound, &t->bound);
}

/* Its header is made anew; that of an SCCRQ has nothing but its length to tell. */
static void record_request(struct l2tp *l, struct tunnel *t)
{
	uint8_t bytes[12 + L2TP_REQUEST_MAX] = { 0xc8, 0x02 };
	struct wcur c = wcur_of(bytes, sizeof(bytes));

	if (!t->request)
		return;
	c.len = 12;
	wcur_bytes(&c, t->request, t->request_len);
	wcur_patch_u16(&c, 2, (uint16_t)c.len);
	trace_put(l->trace, TRACE_L2TP_IN, l->now, t->handle, L2TP_SCCRQ, 0, 0, 0, bytes, c.len);
}

void halfopen_trust(struct l2tp *l, struct tunnel *t)
{
	struct bound_node *victim;

	if (!t->bound.source || t->bound.trusted)
		return;
	victim = bound_victim_trusted(&l->bound);
	if (victim)
		evict(l, victim);
	t->asked = 0;
	bound_trust(&l->bound, &t->bound);
	/* Who it is was not known before: the record of its request is made up for. */
	if (t->bound.words == 0)
		record_request(l, t);
}

/* ---- refusals without an object ---- */

/* An id for a StopCCN of a tunnel that never was: one that nobody has. */
static uint16_t spare_id(struct l2tp *l)
{
	uint32_t base = l->cfg.id_base ? l->cfg.id_base : 1;
	uint32_t len = l->cfg.id_len ? l->cfg.id_len : 65536 - base;
	uint32_t id = 0;

	for (int i = 0; i < 16; i++) {
		id = base + rng_below(&l->rng, len);
		if (id <= 65535 && !idmap_find(l->tunnel_ids, 0, id))
			break;
	}
	return (uint16_t)id;
}

bool stranger_tell(struct l2tp *l)
{
	uint32_t out = 0;
	struct trace *t = bound_tells(&l->bound, l->trace, l->now, &out);

	if (out)
		trace(t, TRACE_L2TP_STRANGERS, l->now, 0, out, 0);
	return t != NULL;
}

/* StopCCN to a stranger, never larger than its `request` octets. */
static int refuse(struct l2tp *l, const struct path *path, uint16_t tunnel, size_t request,
		  const struct ending *why)
{
	char text[L2TP_TEXT_MAX];
	struct l2tp_build b;
	struct reply *r;
	size_t bare = 12 + 8 + 8 + 10;

	engine_drop(l, why->error == L2TP_ERR_RESOURCES ? DROP_LIMIT : DROP_AVP, L2TP_SCCRQ, path);
	if (l->reply_count == L2TP_REPLIES || request < bare)
		return L2TP_IN_DROP;
	engine_words(text, request - bare, why->text);
	r = &l->replies[(l->reply_first + l->reply_count) % L2TP_REPLIES];
	l2tp_build_begin(&b, r->bytes, sizeof(r->bytes), L2TP_STOPCCN, NULL, NULL);
	l2tp_build_u16(&b, 9, spare_id(l));
	l2tp_build_result(&b, why->result, why->error, text);
	r->len = (uint16_t)l2tp_build_end(&b);
	if (!r->len)
		return L2TP_IN_DROP;
	l2tp_build_stamp(r->bytes, r->len, tunnel, 0, 0, 1);
	r->path = *path;
	l->reply_count++;
	r->told = stranger_tell(l);
	if (r->told)
		trace_put(l->trace, TRACE_L2TP_STRANGER_REFUSED, l->now, 0, why->result, why->error,
			  0, 0, why->text, strlen(why->text));
	return L2TP_IN_DROP;
}

/* ---- ties ---- */

enum tie { TIE_NONE, TIE_OURS, TIE_THEIRS, TIE_EQUAL };

static enum tie tie_of(const struct tunnel *t, const struct l2tp_msg *m)
{
	bool theirs = l2tp_msg_has(m, 5);

	if (!theirs)
		return t->has_tie ? TIE_OURS : TIE_NONE;
	if (!t->has_tie)
		return TIE_THEIRS;
	if (t->tie == m->tie)
		return TIE_EQUAL;
	return t->tie < m->tie ? TIE_OURS : TIE_THEIRS;
}

static bool same_host(const struct tunnel *t, const char *host)
{
	return !t->profile->p.peer_name || text_glob(t->profile->p.peer_name, host);
}

/*
 * Settle a collision. True when the peer's SCCRQ is to be ignored. *ret_loser is our tunnel that
 * has to wait for the peer's, or NULL.
 */
static bool tie_settle(struct l2tp *l, const struct path *path, const struct l2tp_msg *m,
		       struct tunnel **ret_loser)
{
	static const char same[] = "both sides sent the same tie breaker";
	struct ending why = { .cause = ADIT_CAUSE_LOOP, .text = same };
	struct htab_node *n = htab_find(&l->by_dial, tunnel_dial_hash(l, &path->remote));
	struct tunnel *loser = NULL;
	char host[L2TP_NAME_MAX];

	engine_name(host, sizeof(host), m->host_name);
	for (; n; n = htab_next(n)) {
		struct tunnel *t = container_of(n, struct tunnel, by_dial);
		enum tie tie = tie_of(t, m);

		if (!addr_same_ip(&t->path.remote, &path->remote) || t->yields ||
		    !same_host(t, host))
			continue;
		if (tie == TIE_EQUAL) {
			tunnel_step(l, t, TE_TIE_LOST, &why);
			return true;
		}
		if (tie == TIE_OURS) {
			if (stranger_tell(l))
				trace(l->trace, TRACE_L2TP_TUNNEL_TIE_WON, l->now, t->handle,
				      t->local_id, 0);
			return true;
		}
		if (tie == TIE_THEIRS && !loser)
			loser = t;
	}
	*ret_loser = loser;
	return false;
}

static void tie_yield(struct l2tp *l, struct tunnel *loser, struct tunnel *winner)
{
	loser->yields = winner->handle;
	winner->loser = loser->handle;
	loser->rel.passive = true;
	rel_restart(&loser->rel, l->now);
	loser->state_at = MONO_NEVER;
	list_drop(&loser->out);
	tunnel_timer(l, loser);
	trace(l->trace, TRACE_L2TP_TUNNEL_YIELD, l->now, loser->handle, loser->local_id,
	      winner->local_id);
}

/* ---- SCCRQ ---- */

static uint64_t request_hash(const struct l2tp *l, const uint8_t *payload, size_t len)
{
	return siphash(l->by_request.key, payload, len);
}

static struct tunnel *find_request(struct l2tp *l, const struct path *path, uint64_t hash)
{
	struct htab_node *n = htab_find(&l->by_request, bound_request(&l->by_request, path, hash));

	for (; n; n = htab_next(n)) {
		struct tunnel *t = container_of(n, struct tunnel, by_request);

		if (t->request_hash == hash && path_equal(&t->path, path))
			return t;
	}
	return NULL;
}

static void forget_request(struct l2tp *l, struct tunnel *t)
{
	if (t->in_request)
		htab_drop(&l->by_request, &t->by_request);
	t->in_request = false;
}

/* An SCCRQ that we had before. True when it is a repetition and was dealt with. */
static bool repeated(struct l2tp *l, struct tunnel *t, const struct l2tp_header *h)
{
	bool waiting = t->state == L2TP_TS_WAIT_CONN || (t->state == L2TP_TS_CLOSING && !t->was_up);
	bool settling =
		t->state == L2TP_TS_UP && !mono_due(mono_add(t->up_at, L2TP_SETTLE_US), l->now);

	if (t->state != L2TP_TS_ASKING && !waiting && !settling) {
		/* The peer has started anew and asks in the same words. */
		forget_request(l, t);
		return false;
	}
	t->rel.duplicates++;
	l->count.duplicates++;
	trace_put(tunnel_trace(l, t), TRACE_L2TP_REPEATED, l->now, t->handle, 0, h->ns, t->rel.nr,
		  0, NULL, 0);
	if (waiting) {
		rel_repeat(&t->rel);
		engine_work(l, t);
	} else if (settling) {
		rel_again(&t->rel);
		engine_work(l, t);
	}
	return true;
}

/* Everything a tunnel has to keep of its SCCRQ while the owner thinks. */
static int remember(struct l2tp *l, struct tunnel *t, const struct l2tp_msg *m, uint64_t hash,
		    const uint8_t *payload, uint32_t len)
{
	if (tunnel_names(l, t, m->host_name, m->vendor_name) < 0)
		return -ENOMEM;
	t->request = engine_alloc(l, len);
	if (!t->request)
		return -ENOMEM;
	memcpy(t->request, payload, len);
	t->request_len = (uint16_t)len;
	if (halfopen_enter(l, t) < 0)
		return -ENOMEM;
	t->request_hash = hash;
	htab_put(&l->by_request, &t->by_request, bound_request(&l->by_request, &t->path, hash));
	t->in_request = true;
	if (m->tunnel_id)
		tunnel_key_peer(l, t, m->tunnel_id);
	return 0;
}

/* Is nothing wrong with it but what this peer, or some peer that is configured, gets wrong? */
static bool forgivable(const struct l2tp *l, const uint8_t *payload, size_t len,
		       const struct l2tp_msg *m)
{
	uint32_t lax = m->lax & (l->lenient | quirks_known(m));
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp_msg again;

	if (!lax)
		return false;
	l2tp_msg_parse_lax(payload, len, NULL, lax, scratch, &again, &v);
	return v.scope == L2TP_MSG_OK;
}

static int sccrq_input(struct l2tp *l, const struct path *path, const struct l2tp_header *h,
		       const uint8_t *payload, const struct l2tp_msg *m,
		       const struct l2tp_verdict *v)
{
	static const char full[] = "no more tunnels are possible";
	struct ending why = { .result = v->result, .error = v->error, .text = v->text };
	size_t octets = h->payload + h->len;
	uint64_t hash = request_hash(l, payload, h->len);
	struct tunnel *t = find_request(l, path, hash), *loser = NULL;
	int rc;

	if (t && repeated(l, t, h))
		return L2TP_IN_CONTROL;
	/* What is hidden can be judged only when the owner has told the secret. */
	if (v->scope == L2TP_MSG_CLEAR && !(m->needs_secret && l2tp_msg_has(m, 7)) &&
	    !forgivable(l, payload, h->len, m))
		return refuse(l, path, m->tunnel_id, octets, &why);
	if (h->len > L2TP_REQUEST_MAX)
		return engine_drop(l, DROP_LIMIT, h->len, path);
	if (tie_settle(l, path, m, &loser))
		return L2TP_IN_CONTROL;
	rc = l->scarce ? 1 : tunnel_new(l, path, false, &t);
	if (rc > 0) {
		why = (struct ending){ .result = L2TP_STOP_ERROR,
				       .error = L2TP_ERR_RESOURCES,
				       .text = l->scarce ? engine_scarce : full };
		return refuse(l, path, m->tunnel_id, octets, &why);
	}
	if (rc < 0)
		return rc;
	rc = remember(l, t, m, hash, payload, h->len);
	if (rc < 0) {
		tunnel_undo(l, t);
		return rc;
	}
	t->asked = (uint16_t)octets;
	t->bound.words = stranger_tell(l) ? BOUND_WORDS : 0;
	if (loser)
		tie_yield(l, loser, t);
	trace_put(tunnel_trace(l, t), TRACE_L2TP_IN, l->now, t->handle, L2TP_SCCRQ, h->ns, h->nr,
		  h->session, payload - h->payload, octets);
	tunnel_step(l, t, TE_SCCRQ, NULL);
	return L2TP_IN_CONTROL;
}

/*
 * StopCCN of a peer that does not know our id yet: found by its own (RFC 2661 4.4.3). Who has an
 * established tunnel with us knows our id, unless it has lost it; it would be enough to guess the
 * peer's to end that.
 */
static int stopccn_input(struct l2tp *l, const struct path *path, const struct l2tp_header *h,
			 const uint8_t *bytes, const struct l2tp_msg *m)
{
	struct tunnel *t = m->tunnel_id ? tunnel_by_peer(l, path, m->tunnel_id, NULL) : NULL;

	/* It only says that the peer does not have it any more: ask. */
	if (t && m->result == L2TP_STOP_ERROR && m->error == L2TP_ERR_NO_CONNECTION)
		doubt_begin(l, t);
	while (t && t->was_up)
		t = tunnel_by_peer(l, path, m->tunnel_id, t);
	if (!t)
		return engine_drop(l, DROP_TUNNEL, 0, path);
	return tunnel_receive(l, t, path, h, bytes);
}

int stranger_input(struct l2tp *l, const struct path *path, const struct l2tp_header *h,
		   const uint8_t *bytes)
{
	const uint8_t *payload = bytes + h->payload;
	uint8_t scratch[L2TP_SCRATCH];
	struct l2tp_verdict v;
	struct l2tp_msg m;

	if (!path->remote.port || bound_source_bad(path) || h->len == 0)
		return engine_drop(l, DROP_TUNNEL, 0, path);
	l2tp_msg_parse(payload, h->len, NULL, scratch, &m, &v);
	if (v.scope == L2TP_MSG_DROP || v.scope == L2TP_MSG_IGNORE || !m.known)
		return engine_drop(l, DROP_AVP, m.type, path);
	if (m.type == L2TP_STOPCCN)
		return stopccn_input(l, path, h, bytes, &m);
	/* Nothing else is answered: it would go to whoever the sender claims to be. */
	if (m.type != L2TP_SCCRQ || h->ns != 0)
		return engine_drop(l, DROP_TUNNEL, 0, path);
	return sccrq_input(l, path, h, payload, &m, &v);
}
