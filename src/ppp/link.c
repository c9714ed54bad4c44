/* SPDX-License-Identifier: MIT
 *
 * A link: its phases (RFC 1661 3), timers, and its end.
 *
 * Establish -> Authenticate -> Network -> Terminate, as the automata report. A renegotiation of LCP
 * goes back to Establish; everything above starts anew. Ends: link_close() for an orderly one
 * (Terminate-Request, then the event when the automaton has finished), link_down() when there is
 * nobody to talk to any more.
 *
 * A link has one node in the engine's heap of deadlines, set by link_arm() to the earliest of its
 * times. The echo clock is lazy: a sign of life only notes the time, the timer looks at it when it
 * runs out.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

static const char *const phase_names[] = { "establish", "authenticate", "network", "terminate",
					   "dead" };

struct link *link_get(const struct ppp *e, adit_handle h)
{
	struct link *l = pool_get(e->links, h);

	return l && l->phase != PH_DEAD ? l : NULL;
}

int link_new(struct ppp *e, struct ppp_profile *profile, uint64_t owner, struct link **ret)
{
	struct link *l;
	adit_handle h;
	int rc;

	if (e->max_links != 0 && pool_count(e->links) >= e->max_links)
		return 2;
	rc = heap_reserve(&e->timers, pool_count(e->links) + 1);
	if (rc < 0)
		return rc;
	l = pool_take(e->links, &h);
	if (!l)
		return -ENOMEM;
	l->handle = h;
	l->owner = owner;
	l->profile = ppp_profile_ref(profile);
	list_init(&l->news_node);
	list_init(&l->out_node);
	list_init(&l->dirty_node);
	for (unsigned i = 0; i < CP_CCP; i++)
		cp_init(&l->cp[i], (enum cp_kind)i);
	l->phase_at = l->we_at = l->peer_at = l->hold_at = l->echo_at = CP_NEVER;
	l->heard = e->now.us;
	l->wake = e->wake;
	l->mru_in = l->mru_wish = profile->p.mru;
	l->mru_out = profile->p.mru_max < PPP_MRU_DEFAULT ? profile->p.mru_max : PPP_MRU_DEFAULT;
	*ret = l;
	return 0;
}

void link_free(struct ppp *e, struct link *l)
{
	heap_clear(&e->timers, &l->timer);
	list_drop(&l->news_node);
	list_drop(&l->out_node);
	list_drop(&l->dirty_node);
	link_held_free(e, l);
	auth_free(e, l);
	if (l->text)
		e->extra -= PPP_TEXT_MAX;
	free(l->text);
	ppp_profile_unref(l->profile);
	pool_give(e->links, l->handle);
}

void link_send(struct ppp *e, struct link *l, uint32_t out)
{
	l->out |= out;
	if (list_empty(&l->out_node))
		list_push(&e->out, &l->out_node);
}

void link_tell(struct ppp *e, struct link *l, uint32_t news)
{
	l->news |= news;
	if (list_empty(&l->news_node))
		list_push(&e->news, &l->news_node);
}

void link_dirty(struct ppp *e, struct link *l)
{
	if (list_empty(&l->dirty_node))
		list_push(&e->dirty, &l->dirty_node);
}

void link_phase(struct ppp *e, struct link *l, enum phase phase)
{
	if (l->phase == phase)
		return;
	l->phase = (uint8_t)phase;
	trace_words(e, l, TRACE_PPP_PHASE, phase, 0, phase_names[phase]);
}

/* Keep what the peer said. Without memory for it the words are lost, nothing else. */
void link_says(struct ppp *e, struct link *l, const uint8_t *text, size_t len, bool note)
{
	if (len == 0)
		return;
	trace_bytes(e->trace, TRACE_PPP_NOTE, e->now, l->handle, 0, 0, text, len);
	if (l->cause != ADIT_CAUSE_NONE)
		return; /* the words that go with the cause stay */
	if (!l->text) {
		l->text = malloc(PPP_TEXT_MAX);
		if (!l->text)
			return;
		e->extra += PPP_TEXT_MAX;
	}
	text_escape(l->text, PPP_TEXT_MAX, text, len);
	if (note)
		link_tell(e, l, NEWS_NOTE);
	else
		l->flags |= F_TEXT_IS_WHY;
}

/* Why the link ends, in words. */
const char *link_words(const struct link *l)
{
	if (l->why)
		return l->why;
	if ((l->flags & F_TEXT_IS_WHY) && l->text)
		return l->text;
	return cause_text((enum adit_cause)l->cause);
}

void link_down(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	if (l->phase == PH_DEAD)
		return;
	if (l->cause == ADIT_CAUSE_NONE) {
		l->cause = (uint16_t)cause;
		l->why = why;
	}
	trace_words(e, l, TRACE_PPP_DOWN, l->cause, 0, link_words(l));
	auth_forget(e, l);
	heap_clear(&e->timers, &l->timer);
	list_drop(&l->out_node);
	list_drop(&l->dirty_node);
	l->out = 0;
	l->news = 0;
	l->phase = PH_DEAD;
	link_tell(e, l, NEWS_DOWN);
}

void link_ending(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	if (l->phase >= PH_TERMINATE)
		return;
	if (l->cause == ADIT_CAUSE_NONE) {
		l->cause = (uint16_t)cause;
		l->why = why;
	}
	if (l->cause != ADIT_CAUSE_NONE)
		trace_words(e, l, TRACE_PPP_CLOSE, l->cause, 0, link_words(l));
	auth_stop(e, l);
	link_phase(e, l, PH_TERMINATE);
	l->phase_at = l->hold_at = l->echo_at = CP_NEVER;
	l->news &= ~(uint32_t)(NEWS_ASK | NEWS_AUTH_UP | NEWS_CCP_READY | NEWS_CCP |
			       NEWS_IPCP_READY | NEWS_IPV6CP_READY);
}

void link_close(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	if (l->phase >= PH_TERMINATE)
		return;
	link_ending(e, l, cause, why);
	cp_event(e, l, &l->cp[CP_LCP], CP_EV_CLOSE);
	if (l->cp[CP_LCP].state == CP_CLOSED || l->cp[CP_LCP].state == CP_INITIAL)
		link_down(e, l, cause, why);
}

/* True when the peer may leave Opened once more; else the link is being closed (P13 floods). */
bool link_renegotiates(struct ppp *e, struct link *l)
{
	uint32_t s = (uint32_t)(e->now.us / US_S);

	if (s - l->reneg_s > PPP_RENEG_US / US_S) {
		l->reneg_s = s;
		l->renegs = 0;
	}
	if (l->renegs < PPP_RENEG_MAX) {
		l->renegs++;
		return true;
	}
	link_close(e, l, ADIT_CAUSE_PROTOCOL_ERROR, "the peer renegotiates without end");
	return false;
}

bool link_ncp_wanted(const struct link *l, enum cp_kind kind)
{
	if (kind == CP_CCP)
		return ccp_wanted(l);
	if (kind == CP_IPCP)
		return l->profile->p.ipcp && !(l->flags & (F_IP4_OFF | F_IP4_NEVER));
	/* RFC 5072 2: the link must carry packets of 1280 octets. */
	return l->profile->p.ipv6cp && !(l->flags & (F_IP6_OFF | F_IP6_NEVER)) &&
	       l->mru_out >= PPP_MRU_IPV6 && l->mru_in >= PPP_MRU_IPV6;
}

void link_ncp_start(struct ppp *e, struct link *l, enum cp_kind kind)
{
	if (!link_ncp_wanted(l, kind)) {
		if (kind == CP_IPCP ? l->profile->p.ipcp : l->profile->p.ipv6cp)
			link_ncp_end(e, l, kind, ADIT_CAUSE_NCP_NO_AGREEMENT,
				     l->flags & (kind == CP_IPCP ? F_IP4_OFF | F_IP4_NEVER
								 : F_IP6_OFF | F_IP6_NEVER)
					     ? "this user does not get the protocol"
					     : "IPv6 needs an MRU of 1280 octets");
		return;
	}
	cp_event(e, l, link_cp(l, kind), CP_EV_OPEN);
	cp_event(e, l, link_cp(l, kind), CP_EV_UP);
}

/* All authentication is done: the network protocols may start (RFC 1661 3.6). */
void link_network(struct ppp *e, struct link *l)
{
	link_phase(e, l, PH_NETWORK);
	trace(e->trace, TRACE_PPP_AUTH_DONE, e->now, l->handle, 0, 0);
	link_tell(e, l, NEWS_AUTH_UP);
	l->flags |= F_AUTH_BEFORE;
	l->phase_at = mono_add(e->now, l->profile->p.ncp_us).us;
	if (l->profile->p.auth_again_us > 0 && l->auth_we & ~PPP_AUTH_PAP)
		l->we_at = mono_add(e->now, l->profile->p.auth_again_us).us;
	if (!ccp_begin_phase(e, l))
		link_ncps_start(e, l);
}

void link_ncps_start(struct ppp *e, struct link *l)
{
	if (l->phase != PH_NETWORK || (l->flags & F_NCPS))
		return;
	l->flags |= F_NCPS;
	/* Both are asked for before one can fail, so that a failure sees the other alive. */
	link_ncp_start(e, l, CP_IPCP);
	if (l->phase == PH_NETWORK)
		link_ncp_start(e, l, CP_IPV6CP);
	link_early_replay(e, l, CP_IPCP);
	link_early_replay(e, l, CP_IPV6CP);
}

struct held *link_held(struct ppp *e, struct link *l, enum cp_kind kind)
{
	if (!l->held) {
		l->held = calloc(2, sizeof(*l->held));
		if (!l->held)
			return NULL;
		e->extra += 2 * sizeof(*l->held);
	}
	return &l->held[kind - CP_IPCP];
}

void link_held_free(struct ppp *e, struct link *l)
{
	if (!l->held)
		return;
	e->extra -= 2 * sizeof(*l->held);
	free(l->held);
	l->held = NULL;
}

bool link_keep(struct link *l, enum cp_kind kind, uint8_t id, const uint8_t *options, size_t len)
{
	struct early *early = l->ms ? &l->ms->early[kind - 1] : NULL;

	if (!early || len == 0 || len > sizeof(early->options))
		return false;
	early->id = id;
	early->len = (uint8_t)len;
	memcpy(early->options, options, len);
	return true;
}

/*
 * While CCP is being settled the peer may have begun its network protocols, and before the data
 * path is ready CCP itself. Its requests are kept: dropped ones would come again only after its
 * restart timer.
 */
bool link_early(struct ppp *e, struct link *l, enum cp_kind kind, const uint8_t *p, size_t len)
{
	struct rcur c = rcur_of(p, len);
	uint8_t code = rcur_u8(&c), id = rcur_u8(&c);
	uint16_t n = rcur_u16(&c);

	if (!l->ms || (kind == CP_CCP ? !(l->flags & F_CCP_HELD) : (l->flags & F_NCPS) != 0))
		return false;
	if (c.bad || code != CP_CONF_REQ || n > len || !link_keep(l, kind, id, p + 4, n - 4u))
		return false;
	trace_packet(e, l, false, proto_of(kind), p, n);
	return true;
}

void link_early_replay(struct ppp *e, struct link *l, enum cp_kind kind)
{
	struct early *early = l->ms ? &l->ms->early[kind - 1] : NULL;
	uint8_t bytes[4 + sizeof(early->options)];
	struct wcur c = wcur_of(bytes, sizeof(bytes));
	struct packet in = e->in;

	if (!early || early->len == 0 || l->phase != PH_NETWORK || !link_ncp_wanted(l, kind))
		return;
	wcur_u8(&c, CP_CONF_REQ);
	wcur_u8(&c, early->id);
	wcur_u16(&c, (uint16_t)(4 + early->len));
	wcur_bytes(&c, early->options, early->len);
	early->len = 0;
	cp_input(e, l, link_cp(l, kind), bytes, c.len);
	e->in = in;
}

void link_ncp_up(struct ppp *e, struct link *l, enum cp_kind kind)
{
	bool ip4 = kind == CP_IPCP;

	l->flags |= F_PATH_READY | F_ANY_UP;
	l->phase_at = CP_NEVER;
	link_tell(e, l, ip4 ? NEWS_IPCP_UP : NEWS_IPV6CP_UP);
	link_dirty(e, l);
}

void link_ncp_down(struct ppp *e, struct link *l, enum cp_kind kind)
{
	bool ip4 = kind == CP_IPCP;

	trace_words(e, l, TRACE_PPP_NCP_DOWN, proto_of(kind), 0, cp_ops(&l->cp[kind])->name);
	l->news &= ~(uint32_t)(ip4 ? NEWS_IPCP_UP | NEWS_IPCP_READY
				   : NEWS_IPV6CP_UP | NEWS_IPV6CP_READY);
	if (l->flags & (ip4 ? F_TOLD_IP4 : F_TOLD_IP6))
		link_tell(e, l, ip4 ? NEWS_IPCP_DOWN : NEWS_IPV6CP_DOWN);
	link_dirty(e, l);
}

static bool ncp_alive(const struct link *l, enum cp_kind kind)
{
	return l->cp[kind].state >= CP_CLOSING;
}

/* A network protocol will not come up, or has ended. */
void link_ncp_end(struct ppp *e, struct link *l, enum cp_kind kind, enum adit_cause cause,
		  const char *why)
{
	const struct ppp_params *p = &l->profile->p;
	enum cp_kind other = kind == CP_IPCP ? CP_IPV6CP : CP_IPCP;
	bool required = kind == CP_IPCP ? p->require_ipcp : p->require_ipv6cp;
	bool other_to_come = kind == CP_IPCP && l->cp[other].state <= CP_STARTING &&
			     link_ncp_wanted(l, other) && !(l->flags & F_ANY_UP);

	if (l->phase != PH_NETWORK)
		return;
	trace_words(e, l, kind == CP_IPCP ? TRACE_PPP_IP_END : TRACE_PPP_IPV6_END, proto_of(kind),
		    cause, why);
	if (required || (!ncp_alive(l, other) && !other_to_come))
		link_close(e, l, cause, why);
}

void link_ncp_finished(struct ppp *e, struct link *l, enum cp_kind kind)
{
	const struct cp *cp = &l->cp[kind];

	if (cp->state == CP_CLOSED) {
		link_ncp_end(e, l, kind, ADIT_CAUSE_NCP_NO_AGREEMENT, "we closed the protocol");
	} else if (cp->opened) {
		l->flags |= F_BY_PEER;
		link_ncp_end(e, l, kind, ADIT_CAUSE_PEER_CLOSED_PPP,
			     "the peer closed its last network protocol");
	} else {
		link_ncp_end(e, l, kind, ADIT_CAUSE_NCP_TIMEOUT,
			     "the peer did not answer requests of the network protocol");
	}
}

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void link_arm(struct ppp *e, struct link *l)
{
	int64_t at;

	if (l->phase == PH_DEAD)
		return;
	at = min64(min64(l->phase_at, l->we_at), min64(l->peer_at, l->hold_at));
	at = min64(at, l->echo_at);
	for (unsigned i = 0; i < CP_CCP; i++)
		at = min64(at, l->cp[i].restart_at);
	if (l->ms)
		at = min64(at, l->ms->ccp.restart_at);
	heap_set(&e->timers, &l->timer, (struct mono){ at });
}

static void phase_expired(struct ppp *e, struct link *l)
{
	l->phase_at = CP_NEVER;
	switch ((enum phase)l->phase) {
	case PH_ESTABLISH:
		if (l->cp[CP_LCP].state == CP_STOPPED)
			link_down(e, l, ADIT_CAUSE_LCP_TIMEOUT, "no Configure-Request of the peer");
		else if (l->flags & F_HEARD_LCP)
			link_close(e, l, ADIT_CAUSE_LCP_NO_AGREEMENT, "LCP did not open in time");
		else
			link_down(e, l, ADIT_CAUSE_LCP_TIMEOUT, "nothing was heard from the peer");
		break;
	case PH_AUTHENTICATE:
		if (l->auth_bad > 0 && !(l->flags & (F_ASKED | F_WE_DONE))) {
			link_close(e, l, ADIT_CAUSE_AUTH_FAILED,
				   "a wrong password, and the peer did not try again");
			break;
		}
		link_close(e, l, ADIT_CAUSE_AUTH_TIMEOUT,
			   l->flags & F_ASKED	  ? "the check of the user took too long"
			   : l->flags & F_WE_DONE ? "the peer did not answer our login"
						  : "the peer did not log in");
		break;
	case PH_NETWORK:
		link_close(e, l, ADIT_CAUSE_NCP_TIMEOUT, "no network protocol opened");
		break;
	case PH_TERMINATE:
	case PH_DEAD:
		break;
	}
}

static void send_echo(struct ppp *e, struct link *l)
{
	l->echo_id++;
	if (l->echo_open < UINT8_MAX)
		l->echo_open++;
	l->echo_at = mono_add(e->now, l->profile->p.echo_us).us;
	link_send(e, l, OUT_ECHO);
}

static bool echo_wanted(const struct link *l)
{
	return l->profile->p.echo_us > 0 && !(l->flags & F_NO_ECHO) &&
	       l->cp[CP_LCP].state == CP_OPENED;
}

static void echo_expired(struct ppp *e, struct link *l)
{
	int64_t quiet_until = mono_add((struct mono){ l->heard }, l->profile->p.echo_us).us;

	l->echo_at = CP_NEVER;
	if (!echo_wanted(l))
		return;
	if (l->echo_open == 0 && quiet_until > e->now.us)
		l->echo_at = quiet_until;
	else if (l->echo_open >= l->profile->p.echo_lost)
		link_down(e, l, ADIT_CAUSE_LCP_ECHO_LOST, "no reply to LCP Echo-Requests");
	else
		send_echo(e, l);
}

/*
 * The machine slept, or the daemon did: what ran out meanwhile proves nothing about the peer. Ask
 * it first and give it the time to answer.
 */
static void after_jump(struct ppp *e, struct link *l)
{
	int64_t grace = mono_add(e->now, l->profile->p.restart_us).us;
	int64_t *times[] = { &l->phase_at,
			     &l->we_at,
			     &l->peer_at,
			     &l->hold_at,
			     &l->cp[CP_LCP].restart_at,
			     &l->cp[CP_IPCP].restart_at,
			     &l->cp[CP_IPV6CP].restart_at,
			     l->ms ? &l->ms->ccp.restart_at : NULL };

	l->wake = e->wake;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] && *times[i] < grace)
			*times[i] = grace;
	if (echo_wanted(l))
		send_echo(e, l);
}

static void hold_expired(struct ppp *e, struct link *l)
{
	l->hold_at = CP_NEVER;
	if (l->cp[CP_IPCP].held || l->cp[CP_IPV6CP].held || (l->flags & F_CCP_HELD))
		link_close(e, l, ADIT_CAUSE_DATA_PLANE, "the data path was not ready in time");
}

void link_expire(struct ppp *e, struct link *l)
{
	struct cp *lcp = &l->cp[CP_LCP];

	if (l->wake != e->wake) {
		after_jump(e, l);
		return;
	}
	for (unsigned i = 0; i < CP_KINDS && l->phase != PH_DEAD; i++) {
		struct cp *cp = link_cp(l, (enum cp_kind)i);

		if (!cp || cp->restart_at > e->now.us)
			continue;
		/* It said goodbye while we negotiated, and no request came since (3.7). */
		if (i == CP_LCP && (l->flags & F_PEER_TERM) && lcp->state >= CP_REQ_SENT)
			lcp_peer_left(e, l);
		else
			cp_timeout(e, l, cp);
	}
	if (l->hold_at <= e->now.us && l->phase != PH_DEAD)
		hold_expired(e, l);
	if (l->phase != PH_DEAD)
		auth_expire(e, l);
	if (l->phase_at <= e->now.us && l->phase != PH_DEAD)
		phase_expired(e, l);
	if (l->echo_at <= e->now.us && l->phase != PH_DEAD)
		echo_expired(e, l);
}
