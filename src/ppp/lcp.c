/* SPDX-License-Identifier: MIT
 *
 * The Link Control Protocol: its options (RFC 1661 6, with the ACCM of RFC 1662 7.1 tolerated) and
 * its codes above 7 (RFC 1661 5.7 to 5.9, RFC 1570 1).
 *
 * We ask for: MRU when it is not 1500, one authentication protocol at a time in the order of the
 * profile, a magic number, PFC and ACFC when the profile wants them. Of the peer's wishes we accept
 * any sane MRU, an authentication protocol our profile can serve, a magic number other than our
 * own, and the compressions (they only say what the peer can receive). All else is rejected.
 *
 * A looped link shows our own magic number in requests, echo requests and echo replies; several in
 * a row end the link.
 */
#include "internal.h"

enum { OPT_MRU = 1, OPT_ACCM = 2, OPT_AUTH = 3, OPT_MAGIC = 5, OPT_PFC = 7, OPT_ACFC = 8 };

/* Algorithms of CHAP: RFC 1994 3, RFC 2433 3, RFC 2759 2. */
enum { CHAP_MD5 = 5, CHAP_MS = 0x80, CHAP_MSV2 = 0x81 };

/* Bits of cp.refused. */
enum { NO_MRU = 1, NO_MAGIC = 2, NO_PFC = 4, NO_ACFC = 8 };

static uint32_t new_magic(struct ppp *e)
{
	uint32_t m;

	do
		m = rng_u32(&e->rng);
	while (m == 0); /* RFC 1661 6.4: zero is illegal */
	return m;
}

static void lcp_reset(struct ppp *e, struct link *l)
{
	l->mru_in = l->mru_wish;
	l->auth_idx = 0;
	l->auth_naks = 0;
	l->magic = new_magic(e);
}

static enum ppp_auth asked_auth(const struct link *l)
{
	return l->auth_idx < l->profile->auths
		       ? (enum ppp_auth)l->profile->p.auth_order[l->auth_idx]
		       : PPP_AUTH_NONE;
}

static void put_auth(struct wcur *c, enum ppp_auth auth)
{
	uint16_t proto = auth == PPP_AUTH_PAP  ? PPP_PROTO_PAP
			 : auth & PPP_AUTH_EAP ? PPP_PROTO_EAP
					       : PPP_PROTO_CHAP;

	wcur_u8(c, OPT_AUTH);
	wcur_u8(c, proto == PPP_PROTO_CHAP ? 5 : 4);
	wcur_u16(c, proto);
	if (proto == PPP_PROTO_CHAP)
		wcur_u8(c, auth == PPP_AUTH_MSCHAPV2 ? CHAP_MSV2
			   : auth == PPP_AUTH_MSCHAP ? CHAP_MS
						     : CHAP_MD5);
}

/* A set of enum ppp_auth: one method, all of EAP, or PPP_AUTH_NONE when we do not know it. */
static uint8_t get_auth(struct rcur value)
{
	uint16_t proto = rcur_u16(&value);
	size_t left = rcur_left(&value);
	uint8_t algorithm;

	if (value.bad)
		return PPP_AUTH_NONE;
	if (proto == PPP_PROTO_PAP && left == 0)
		return PPP_AUTH_PAP;
	if (proto == PPP_PROTO_EAP && left == 0)
		return PPP_AUTH_EAP;
	if (proto != PPP_PROTO_CHAP || left != 1)
		return PPP_AUTH_NONE;
	algorithm = rcur_u8(&value);
	return algorithm == CHAP_MD5	? PPP_AUTH_CHAP_MD5
	       : algorithm == CHAP_MS	? PPP_AUTH_MSCHAP
	       : algorithm == CHAP_MSV2 ? PPP_AUTH_MSCHAPV2
					: PPP_AUTH_NONE;
}

static void put_mru(struct wcur *c, uint16_t mru)
{
	wcur_u8(c, OPT_MRU);
	wcur_u8(c, 4);
	wcur_u16(c, mru);
}

static void put_magic(struct wcur *c, uint32_t magic)
{
	wcur_u8(c, OPT_MAGIC);
	wcur_u8(c, 6);
	wcur_u32(c, magic);
}

static void lcp_request(const struct ppp *e, const struct link *l, struct wcur *c)
{
	uint8_t refused = l->cp[CP_LCP].refused;

	if (l->mru_in != PPP_MRU_DEFAULT && !(refused & NO_MRU))
		put_mru(c, l->mru_in);
	if (asked_auth(l) != PPP_AUTH_NONE)
		put_auth(c, asked_auth(l));
	if (!(refused & NO_MAGIC))
		put_magic(c, l->magic);
	if (l->profile->p.pfc && !(refused & NO_PFC)) {
		wcur_u8(c, OPT_PFC);
		wcur_u8(c, 2);
	}
	if (l->profile->p.acfc && !(refused & NO_ACFC)) {
		wcur_u8(c, OPT_ACFC);
		wcur_u8(c, 2);
	}
}

static void lcp_begin(union cp_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	peer->lcp.mru = PPP_MRU_DEFAULT;
}

static uint16_t lowest_mru(const struct link *l)
{
	uint16_t min = l->profile->p.mru_min;

	return l->profile->p.require_ipv6cp && min < PPP_MRU_IPV6 ? PPP_MRU_IPV6 : min;
}

static enum cp_verdict check_mru(struct link *l, union cp_peer *peer, struct rcur value,
				 struct wcur *nak)
{
	uint16_t mru = rcur_u16(&value);

	if (value.bad || rcur_left(&value) != 0) {
		put_mru(nak, PPP_MRU_DEFAULT);
		return CP_NAK;
	}
	if (mru < lowest_mru(l)) {
		put_mru(nak, lowest_mru(l));
		return CP_NAK;
	}
	if (mru > PPP_MRU_LIMIT) {
		put_mru(nak, l->profile->p.mru_max);
		return CP_NAK;
	}
	peer->lcp.mru = mru;
	return CP_ACK;
}

/* The `n`-th best of our methods, counted round. */
static enum ppp_auth best_auth(uint8_t can, unsigned n)
{
	static const uint8_t best[] = { PPP_AUTH_MSCHAPV2, PPP_AUTH_EAP, PPP_AUTH_CHAP_MD5,
					PPP_AUTH_PAP, PPP_AUTH_MSCHAP };
	unsigned have = 0;

	for (size_t i = 0; i < sizeof(best); i++)
		have += (best[i] & can) != 0;
	n %= have;
	for (size_t i = 0;; i++)
		if ((best[i] & can) && n-- == 0)
			return (enum ppp_auth)(best[i] & can);
}

/*
 * The peer wants us to log in. An unsuitable method is answered with the best of ours; when the
 * peer then still names another, with the next one (RFC 1661 6.2).
 */
static enum cp_verdict check_auth(struct link *l, union cp_peer *peer, struct rcur value,
				  struct wcur *nak)
{
	uint8_t can = l->profile->p.peer_auth;
	uint8_t want = get_auth(value);

	if (!can) {
		l->flags |= F_AUTH_REFUSED;
		return CP_REJ;
	}
	if (want & can) {
		peer->lcp.has_auth = true;
		peer->lcp.auth = want & can;
		return CP_ACK;
	}
	put_auth(nak, best_auth(can, l->auth_naks++));
	return CP_NAK;
}

static void looped(struct ppp *e, struct link *l)
{
	if (++l->loops >= PPP_LOOP_MAX)
		link_close(e, l, ADIT_CAUSE_LOOP, "our own magic number keeps coming back");
}

static enum cp_verdict check_magic(struct ppp *e, struct link *l, union cp_peer *peer,
				   struct rcur value, struct wcur *nak)
{
	uint32_t magic = rcur_u32(&value);
	bool sound = !value.bad && rcur_left(&value) == 0;

	if (sound && magic != 0 && (magic != l->magic || l->cp[CP_LCP].refused & NO_MAGIC)) {
		peer->lcp.magic = magic;
		l->loops = 0;
		return CP_ACK;
	}
	if (sound && magic == l->magic)
		looped(e, l);
	do
		l->nak_magic = new_magic(e);
	while (l->nak_magic == l->magic);
	put_magic(nak, l->nak_magic);
	return CP_NAK;
}

static enum cp_verdict lcp_option(struct ppp *e, struct link *l, union cp_peer *peer, uint8_t type,
				  struct rcur value, struct wcur *nak)
{
	l->flags |= F_HEARD_LCP;
	switch (type) {
	case OPT_MRU:
		return check_mru(l, peer, value, nak);
	case OPT_ACCM: /* means nothing without asynchronous framing */
		if (rcur_left(&value) == 4)
			return CP_ACK;
		wcur_u8(nak, OPT_ACCM);
		wcur_u8(nak, 6);
		wcur_u32(nak, 0);
		return CP_NAK;
	case OPT_AUTH:
		return check_auth(l, peer, value, nak);
	case OPT_MAGIC:
		return check_magic(e, l, peer, value, nak);
	case OPT_PFC:
		peer->lcp.pfc = true;
		return rcur_left(&value) == 0 ? CP_ACK : CP_REJ;
	case OPT_ACFC:
		peer->lcp.acfc = true;
		return rcur_left(&value) == 0 ? CP_ACK : CP_REJ;
	default:
		return CP_REJ;
	}
}

static void lcp_missing(struct ppp *e, struct link *l, const union cp_peer *peer, struct wcur *nak)
{
}

static void set_flag(struct link *l, uint32_t flag, bool on)
{
	l->flags = on ? l->flags | flag : l->flags & ~flag;
}

static void lcp_accept(struct ppp *e, struct link *l, const union cp_peer *peer)
{
	const struct ppp_params *p = &l->profile->p;

	l->flags |= F_HEARD_LCP;
	l->flags &= ~(uint32_t)F_AUTH_REFUSED; /* it can do without */
	l->mru_out = peer->lcp.mru < p->mru_max ? peer->lcp.mru : p->mru_max;
	l->auth_peer = peer->lcp.has_auth ? peer->lcp.auth : PPP_AUTH_NONE;
	l->peer_magic = peer->lcp.magic;
	set_flag(l, F_PFC_OUT, peer->lcp.pfc && p->pfc);
	set_flag(l, F_ACFC_OUT, peer->lcp.acfc && p->acfc);
}

/* The peer does not want the method we asked for: the one it names, the next one of our list (with
 * EAP go all methods of EAP), or the end. */
static void next_auth(struct ppp *e, struct link *l, uint8_t suggested)
{
	uint8_t refused = asked_auth(l) & PPP_AUTH_EAP ? PPP_AUTH_EAP : (uint8_t)asked_auth(l);
	unsigned next = 0;

	if (auth_next(l, suggested & ~refused, &next) == PPP_AUTH_NONE &&
	    auth_next(l, PPP_AUTH_ALL & ~refused, &next) == PPP_AUTH_NONE) {
		link_close(e, l, ADIT_CAUSE_AUTH_NO_METHOD,
			   "the peer refuses all our authentication methods");
		return;
	}
	l->auth_idx = (uint8_t)next;
}

static bool lcp_naked(struct ppp *e, struct link *l, uint8_t type, struct rcur value)
{
	const struct ppp_params *p = &l->profile->p;
	uint16_t mru;
	uint32_t magic;

	l->flags |= F_HEARD_LCP;
	switch (type) {
	case OPT_MRU:
		mru = rcur_u16(&value);
		/* We can take what we asked for and always 1500 (RFC 1661 6.1). */
		if (value.bad || mru < 128 ||
		    mru > (l->mru_wish > PPP_MRU_DEFAULT ? l->mru_wish : PPP_MRU_DEFAULT))
			return false;
		l->mru_in = mru;
		return true;
	case OPT_AUTH:
		if (asked_auth(l) == PPP_AUTH_NONE)
			return false;
		next_auth(e, l, get_auth(value));
		return true;
	case OPT_MAGIC:
		magic = rcur_u32(&value);
		if (value.bad || (l->cp[CP_LCP].refused & NO_MAGIC))
			return false;
		if (magic == l->nak_magic && magic != 0)
			looped(e, l); /* our own Nak came back */
		l->magic = new_magic(e);
		return true;
	case OPT_PFC: /* not to be Naked (RFC 1661 5.3), but the meaning is plain */
		l->cp[CP_LCP].refused |= NO_PFC;
		return p->pfc;
	case OPT_ACFC:
		l->cp[CP_LCP].refused |= NO_ACFC;
		return p->acfc;
	default:
		return false;
	}
}

static void lcp_rejected(struct ppp *e, struct link *l, uint8_t type)
{
	struct cp *cp = &l->cp[CP_LCP];

	l->flags |= F_HEARD_LCP;
	switch (type) {
	case OPT_MRU:
		cp->refused |= NO_MRU;
		l->mru_in = PPP_MRU_DEFAULT;
		break;
	case OPT_AUTH:
		link_close(e, l, ADIT_CAUSE_AUTH_NO_METHOD, "the peer refuses to log in");
		break;
	case OPT_MAGIC: /* RFC 1661 6.4: then the link is not looped, and no magic is used */
		cp->refused |= NO_MAGIC;
		l->magic = 0;
		break;
	case OPT_PFC:
		cp->refused |= NO_PFC;
		break;
	case OPT_ACFC:
		cp->refused |= NO_ACFC;
		break;
	default:
		break;
	}
}

/* Identification and Time-Remaining: advice for people, which nobody answers (RFC 1570 1.1, 1.2).
 */
static void tell(struct ppp *e, struct link *l, uint8_t code, uint32_t seconds, const char *text)
{
	struct wcur c = wcur_of(e->answer, sizeof(e->answer));

	wcur_u32(&c, l->magic);
	if (code == LCP_TIME)
		wcur_u32(&c, seconds);
	wcur_bytes(&c, text, strnlen(text, PPP_TEXT_MAX - 1));
	reply_put(e, l, PPP_PROTO_LCP, code, ++l->cp[CP_LCP].next_id, e->answer, c.len);
}

void lcp_time_left(struct ppp *e, struct link *l, uint32_t seconds, const char *text)
{
	if (l->cp[CP_LCP].state == CP_OPENED)
		tell(e, l, LCP_TIME, seconds, text);
}

static void lcp_up(struct ppp *e, struct link *l)
{
	const struct ppp_params *p = &l->profile->p;
	uint8_t refused = l->cp[CP_LCP].refused;

	l->auth_we = (uint8_t)asked_auth(l);
	set_flag(l, F_PFC_IN, p->pfc && !(refused & NO_PFC));
	set_flag(l, F_ACFC_IN, p->acfc && !(refused & NO_ACFC));
	trace(e->trace, TRACE_PPP_LCP_UP, e->now, l->handle, l->mru_in, l->mru_out);
	link_tell(e, l, NEWS_LCP_UP);
	l->echo_open = 0;
	l->heard = e->now.us;
	if (p->echo_us > 0)
		l->echo_at = mono_add(e->now, p->echo_us).us;
	if (*p->identification)
		tell(e, l, LCP_IDENT, 0, p->identification);
	auth_start(e, l);
}

static void ncp_drop(struct ppp *e, struct link *l, enum cp_kind kind)
{
	struct cp *cp = link_cp(l, kind);

	if (cp->state > CP_STARTING)
		cp_event(e, l, cp, CP_EV_DOWN);
	cp_init(cp, kind); /* from scratch next time */
}

/* Leaving Opened: everything above starts anew (RFC 1661 3.4). */
static void lcp_down(struct ppp *e, struct link *l)
{
	if (l->phase < PH_TERMINATE) {
		link_phase(e, l, PH_ESTABLISH);
		l->phase_at = mono_add(e->now, l->profile->p.lcp_us).us;
	}
	ncp_drop(e, l, CP_IPCP);
	ncp_drop(e, l, CP_IPV6CP);
	if (l->ms) {
		ncp_drop(e, l, CP_CCP);
		l->ms->mppe_in = l->ms->mppe_out = 0;
		memset(l->ms->early, 0, sizeof(l->ms->early));
	}
	auth_stop(e, l);
	l->out &= OUT_RESULTS | OUT_LCP_REQ | OUT_LCP_TERM;
	l->news &= ~(uint32_t)(NEWS_LCP_UP | NEWS_ASK | NEWS_AUTH_UP | NEWS_CCP_READY | NEWS_CCP |
			       NEWS_IPCP_READY | NEWS_IPV6CP_READY);
	l->echo_at = l->hold_at = CP_NEVER;
	l->flags &= ~(uint32_t)(F_WE_DONE | F_PEER_DONE | F_PATH_READY | F_ANY_UP | F_IP4_OFF |
				F_IP6_OFF | F_PFC_IN | F_ACFC_IN | F_PFC_OUT | F_ACFC_OUT |
				F_CCP_OVER | F_CCP_HELD | F_NCPS);
	l->mru_out =
		PPP_MRU_DEFAULT < l->profile->p.mru_max ? PPP_MRU_DEFAULT : l->profile->p.mru_max;
	link_dirty(e, l);
}

/* The peer has sent Terminate-Request and got its Ack. */
void lcp_peer_left(struct ppp *e, struct link *l)
{
	l->flags |= F_BY_PEER;
	if (l->flags & F_AUTH_REFUSED)
		link_down(e, l, ADIT_CAUSE_AUTH_NO_METHOD,
			  "the peer wants a login and this side has none to offer");
	else
		link_down(e, l, ADIT_CAUSE_PEER_CLOSED_PPP, NULL);
}

/* The automaton has come to rest: the link is over. */
static void lcp_finished(struct ppp *e, struct link *l)
{
	if (l->cause == ADIT_CAUSE_NONE && (l->flags & F_PEER_TERM)) {
		lcp_peer_left(e, l);
	} else if (l->flags & F_HEARD_LCP) {
		link_down(e, l, ADIT_CAUSE_LCP_TIMEOUT, "the peer stopped answering LCP");
	} else {
		link_down(e, l, ADIT_CAUSE_LCP_TIMEOUT, "no answer to our Configure-Requests");
	}
}

static void lcp_hopeless(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	link_close(e, l, cause != ADIT_CAUSE_NONE ? cause : ADIT_CAUSE_LCP_NO_AGREEMENT, why);
}

/* A Protocol-Reject of the peer (RFC 1661 5.7): stop that protocol. */
static const char *protocol_rejected(struct ppp *e, struct link *l)
{
	struct rcur c = rcur_of(e->in.body, e->in.body_len);
	uint16_t proto = rcur_u16(&c);
	enum cp_kind kind = proto == PPP_PROTO_IPCP ? CP_IPCP : CP_IPV6CP;

	if (c.bad)
		return "Protocol-Reject without a protocol";
	if (l->cp[CP_LCP].state != CP_OPENED)
		return "Protocol-Reject before LCP is open";
	if (proto == PPP_PROTO_LCP) {
		link_ending(e, l, ADIT_CAUSE_PROTOCOL_REJECTED, "the peer rejected LCP");
		cp_event(e, l, &l->cp[CP_LCP], CP_EV_RXJ_MINUS);
		return NULL;
	}
	cp_event(e, l, &l->cp[CP_LCP], CP_EV_RXJ_PLUS);
	if (proto == PPP_PROTO_PAP || proto == PPP_PROTO_CHAP || proto == PPP_PROTO_EAP) {
		uint8_t used = l->auth_we | l->auth_peer;

		if (!(used &
		      (proto == PPP_PROTO_PAP	? PPP_AUTH_PAP
		       : proto == PPP_PROTO_EAP ? PPP_AUTH_EAP
						: PPP_AUTH_ALL & ~PPP_AUTH_EAP & ~PPP_AUTH_PAP)))
			return NULL;
		if (l->phase == PH_AUTHENTICATE)
			link_close(e, l, ADIT_CAUSE_AUTH_NO_METHOD,
				   "the peer rejected the authentication protocol it agreed to");
		return NULL;
	}
	if (proto == PPP_PROTO_CCP && (l->flags & F_CCP_HELD)) {
		return NULL; /* of an old request; ours is still to come */
	} else if (proto == PPP_PROTO_CCP && link_cp_state(l, CP_CCP) > CP_STARTING) {
		cp_event(e, l, &l->ms->ccp, CP_EV_DOWN);
		cp_init(&l->ms->ccp, CP_CCP);
		l->out &= ~(uint32_t)(OUT_CCP_REQ | OUT_CCP_TERM);
		ccp_peer_rejected(e, l);
		return NULL;
	}
	if ((proto == PPP_PROTO_IPCP || proto == PPP_PROTO_IPV6CP) &&
	    l->cp[kind].state > CP_STARTING) {
		/* No packet of it any more, so no Terminate-Request either. */
		cp_event(e, l, &l->cp[kind], CP_EV_DOWN);
		cp_init(&l->cp[kind], kind);
		l->out &= ~(uint32_t)(kind == CP_IPCP ? OUT_IPCP_REQ | OUT_IPCP_TERM
						      : OUT_IPV6CP_REQ | OUT_IPV6CP_TERM);
		l->flags |= kind == CP_IPCP ? F_IP4_OFF : F_IP6_OFF;
		link_ncp_end(e, l, kind, ADIT_CAUSE_PROTOCOL_REJECTED,
			     kind == CP_IPCP ? "the peer rejected IPCP"
					     : "the peer rejected IPv6CP");
	}
	return NULL;
}

/* Echo-Request, Echo-Reply, Discard-Request (RFC 1661 5.8, 5.9). */
static const char *echo_input(struct ppp *e, struct link *l)
{
	struct rcur c = rcur_of(e->in.body, e->in.body_len);
	uint32_t magic = rcur_u32(&c);

	if (c.bad)
		return "no magic number";
	if (l->cp[CP_LCP].state != CP_OPENED)
		return "echo or discard before LCP is open";
	if (magic != 0 && magic == l->magic) {
		looped(e, l);
		return "carries our own magic number";
	}
	l->loops = 0;
	if (e->in.code == LCP_ECHO_REQ) /* "there is no reply" to the two others (RFC 1661 4.3) */
		cp_event(e, l, &l->cp[CP_LCP], CP_EV_RXR);
	return NULL;
}

static bool lcp_code(struct ppp *e, struct link *l, const char **ret_why)
{
	const char *why = NULL;

	switch (e->in.code) {
	case LCP_PROTO_REJ:
		why = protocol_rejected(e, l);
		break;
	case LCP_ECHO_REQ:
	case LCP_ECHO_REP:
	case LCP_DISCARD:
		why = echo_input(e, l);
		break;
	case LCP_IDENT:
		if (e->in.body_len < 4)
			why = "Identification without magic number";
		else
			link_says(e, l, e->in.body + 4, e->in.body_len - 4, true);
		break;
	case LCP_TIME:
		if (e->in.body_len < 8)
			why = "Time-Remaining without a time";
		else
			link_says(e, l, e->in.body + 8, e->in.body_len - 8, true);
		break;
	default:
		return false;
	}
	if (why)
		*ret_why = why;
	return true;
}

void lcp_build_echo(const struct link *l, struct wcur *c)
{
	wcur_u8(c, LCP_ECHO_REQ);
	wcur_u8(c, l->echo_id);
	wcur_u16(c, 8);
	wcur_u32(c, l->magic);
}

/* Answer a frame of a protocol we do not know (RFC 1661 5.7), at most a few per second. */
void lcp_protocol_reject(struct ppp *e, struct link *l, uint16_t proto, const uint8_t *p,
			 size_t len)
{
	struct cp *lcp = &l->cp[CP_LCP];
	uint32_t s = (uint32_t)(e->now.us / US_S);
	struct wcur c = wcur_of(e->answer, sizeof(e->answer));

	if (s != l->reject_s) {
		l->reject_s = s;
		l->rejects = 0;
	}
	if (l->rejects >= PPP_REJECTS_S)
		return;
	l->rejects++;
	wcur_u16(&c, proto);
	wcur_bytes(&c, p, len < c.cap - 2 ? len : c.cap - 2);
	reply_put(e, l, PPP_PROTO_LCP, LCP_PROTO_REJ, ++lcp->next_id, e->answer, c.len);
}

const struct cp_ops lcp_ops = {
	.proto = PPP_PROTO_LCP,
	.name = "LCP",
	.reset = lcp_reset,
	.request = lcp_request,
	.begin = lcp_begin,
	.option = lcp_option,
	.missing = lcp_missing,
	.accept = lcp_accept,
	.naked = lcp_naked,
	.rejected = lcp_rejected,
	.up = lcp_up,
	.down = lcp_down,
	.finished = lcp_finished,
	.hopeless = lcp_hopeless,
	.code = lcp_code,
};
