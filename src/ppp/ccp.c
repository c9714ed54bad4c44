/* SPDX-License-Identifier: MIT
 *
 * The Compression Control Protocol (RFC 1962), for one purpose: to agree on MPPE (RFC 3078 2). The
 * data plane encrypts; the keys come from MS-CHAPv2 (RFC 3079 3), so CCP is spoken only when a side
 * has logged in by it, the profile wants encryption, and the data plane can (PPP_CMD_NCP_GO).
 *
 * It comes before the network protocols: first the owner makes the data path ready with the keys
 * (PPP_EV_NCP_READY of CCP), because the kernel arms its MPPE by looking at our packets. Then CCP
 * opens or is given up, and only then are IPCP and IPv6CP begun: nothing can pass in clear that was
 * meant to be encrypted. What the peer asks for meanwhile is kept (link_early()).
 *
 * Only stateless mode: over L2TP packets are lost and reordered, and one lost packet would make a
 * stateful receiver lose all until it is reset. We ask for one strength at a time, the strongest
 * first: an Ack of several would leave open which one counts. The two directions get the same.
 */
#include "internal.h"

enum { OPT_MPPE = 18 };

/* Supported Bits (RFC 3078 2), as one number. */
#define BIT_STATELESS UINT32_C(0x01000000)
#define BIT_128	      UINT32_C(0x40)
#define BIT_56	      UINT32_C(0x80)
#define BIT_40	      UINT32_C(0x20)
#define BIT_STRENGTHS (BIT_128 | BIT_56 | BIT_40)

/* Bits of cp.refused. */
enum { NO_MPPE = 1 };

enum { CCP_RESET_REQ = 14, CCP_RESET_ACK = 15 };

#define PREFER_SENDS 4		/* requests to a peer that may do without */
#define RESET_US     (1 * US_S) /* between our Reset-Requests */

static uint32_t allowed(const struct link *l)
{
	uint8_t s = l->profile->p.mppe_strengths;

	return (s & PPP_MPPE_128 ? BIT_128 : 0) | (s & PPP_MPPE_56 ? BIT_56 : 0) |
	       (s & PPP_MPPE_40 ? BIT_40 : 0);
}

static uint32_t strongest(uint32_t bits)
{
	return bits & BIT_128 ? BIT_128 : bits & BIT_56 ? BIT_56 : bits & BIT_40;
}

static void ccp_reset(struct ppp *e, struct link *l)
{
	struct cp *cp = &l->ms->ccp;

	l->ms->mppe_in = strongest(allowed(l));
	l->ms->mppe_out = 0;
	if (l->profile->p.mppe != PPP_MPPE_REQUIRE && cp->restarts > PREFER_SENDS)
		cp->restarts = PREFER_SENDS;
}

static void put_mppe(struct wcur *c, uint32_t strength)
{
	wcur_u8(c, OPT_MPPE);
	wcur_u8(c, 6);
	wcur_u32(c, BIT_STATELESS | strength);
}

static void ccp_request(const struct ppp *e, const struct link *l, struct wcur *c)
{
	if (!(l->ms->ccp.refused & NO_MPPE))
		put_mppe(c, l->ms->mppe_in);
}

static void ccp_begin(union cp_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
}

/* What the peer should ask for: what we have asked for ourselves once that is settled, else the
 * strongest of its wishes that we allow. */
static uint32_t suggestion(const struct link *l, uint32_t wishes)
{
	uint32_t common = wishes & allowed(l);

	if (l->ms->ccp.state == CP_ACK_RCVD || !common)
		return l->ms->mppe_in;
	return strongest(common);
}

static enum cp_verdict ccp_option(struct ppp *e, struct link *l, union cp_peer *peer, uint8_t type,
				  struct rcur value, struct wcur *nak)
{
	uint32_t bits = rcur_u32(&value), good;

	if (type != OPT_MPPE)
		return CP_REJ; /* nothing here compresses */
	peer->ccp.has_mppe = true;
	if (value.bad || rcur_left(&value) != 0)
		bits = 0;
	good = suggestion(l, bits);
	if (bits == (BIT_STATELESS | good)) {
		peer->ccp.strength = good;
		return CP_ACK;
	}
	put_mppe(nak, good);
	return CP_NAK;
}

static void ccp_missing(struct ppp *e, struct link *l, const union cp_peer *peer, struct wcur *nak)
{
	if (!peer->ccp.has_mppe && l->profile->p.mppe == PPP_MPPE_REQUIRE)
		put_mppe(nak, l->ms->mppe_in);
}

static void ccp_accept(struct ppp *e, struct link *l, const union cp_peer *peer)
{
	l->ms->mppe_out = peer->ccp.has_mppe ? peer->ccp.strength : 0;
}

static bool ccp_naked(struct ppp *e, struct link *l, uint8_t type, struct rcur value)
{
	uint32_t bits = rcur_u32(&value), strength = bits & BIT_STRENGTHS;

	if (type != OPT_MPPE || value.bad || rcur_left(&value) != 0)
		return false;
	/* Without stateless mode, or with a strength we do not allow: asked again as it was, a
	 * bounded number of times. */
	if ((bits & BIT_STATELESS) && (strength & allowed(l)))
		l->ms->mppe_in = strongest(strength & allowed(l));
	return true;
}

/* There will be no encryption: the end of the link, or of the wait for it. */
static void give_up(struct ppp *e, struct link *l, const char *why)
{
	trace_words(e, l, TRACE_PPP_CCP_END, 0, 0, why);
	if (l->profile->p.mppe == PPP_MPPE_REQUIRE) {
		link_close(e, l, ADIT_CAUSE_NO_ENCRYPTION, why);
		return;
	}
	l->flags |= F_CCP_OVER;
	link_dirty(e, l);
	link_ncps_start(e, l);
}

void ccp_peer_rejected(struct ppp *e, struct link *l)
{
	give_up(e, l, "the peer rejected CCP");
}

static void ccp_hopeless(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	cp_event(e, l, &l->ms->ccp, CP_EV_CLOSE);
	give_up(e, l, why);
}

static void ccp_rejected(struct ppp *e, struct link *l, uint8_t type)
{
	l->ms->ccp.refused |= NO_MPPE;
	ccp_hopeless(e, l, ADIT_CAUSE_NONE, "the peer does not do MPPE as we want it");
}

static void ccp_up(struct ppp *e, struct link *l)
{
	if (l->ms->mppe_in == 0 || l->ms->mppe_in != l->ms->mppe_out) {
		ccp_hopeless(e, l, ADIT_CAUSE_NONE,
			     "the peer does not encrypt in both directions alike");
		return;
	}
	trace(e->trace, TRACE_PPP_CCP_UP, e->now, l->handle,
	      l->ms->mppe_in == BIT_128	 ? 128
	      : l->ms->mppe_in == BIT_56 ? 56
					 : 40,
	      0);
	link_tell(e, l, NEWS_CCP);
	link_dirty(e, l);
	link_ncps_start(e, l);
}

/* It renegotiates, or ends: until that is settled the owner lets no data pass. */
static void ccp_down(struct ppp *e, struct link *l)
{
	if (l->phase != PH_NETWORK)
		return;
	link_tell(e, l, NEWS_CCP);
	link_dirty(e, l);
}

static void ccp_finished(struct ppp *e, struct link *l)
{
	if (l->phase == PH_NETWORK && !(l->flags & F_CCP_OVER))
		give_up(e, l,
			l->ms->ccp.opened ? "the peer ended the encryption"
					  : "the peer does not answer CCP");
}

/* RFC 1962 3.1. Stateless MPPE needs no reset; who asks gets its answer. Linux asks for one all the
 * same, see ccp_lost(). */
static bool ccp_code(struct ppp *e, struct link *l, const char **ret_why)
{
	if (e->in.code != CCP_RESET_REQ && e->in.code != CCP_RESET_ACK)
		return false;
	if (l->ms->ccp.state != CP_OPENED)
		*ret_why = "CCP is not open";
	else if (e->in.code == CCP_RESET_REQ)
		reply_put(e, l, PPP_PROTO_CCP, CCP_RESET_ACK, e->in.id, NULL, 0);
	return true;
}

bool ccp_wanted(const struct link *l)
{
	return l->profile->p.mppe != PPP_MPPE_OFF && ccp_keys(l) && !(l->flags & F_CCP_OVER);
}

bool ccp_settled(const struct link *l)
{
	return !ccp_wanted(l) || l->ms->ccp.state == CP_OPENED;
}

/* The keys of the login: of the peer's with us before ours with the peer. */
const struct ppp_proof *ccp_keys(const struct link *l)
{
	if (!l->ms)
		return NULL;
	if ((l->auth_we & PPP_AUTH_KEYS) && l->ms->we.has_keys)
		return &l->ms->we;
	return (l->auth_peer & PPP_AUTH_KEYS) && l->ms->peer.has_keys ? &l->ms->peer : NULL;
}

/* The keys are to be with the data plane before CCP speaks. */
static void hold(struct ppp *e, struct link *l)
{
	l->flags |= F_CCP_HELD;
	l->hold_at = mono_add(e->now, PPP_HOLD_US).us;
	link_tell(e, l, NEWS_CCP_READY);
}

void ccp_again(struct ppp *e, struct link *l)
{
	cp_event(e, l, &l->ms->ccp, CP_EV_DOWN);
	hold(e, l);
}

void ccp_lost(struct ppp *e, struct link *l)
{
	if (e->now.us < l->ms->reset_at)
		return;
	l->ms->reset_at = mono_add(e->now, RESET_US).us;
	reply_put(e, l, PPP_PROTO_CCP, CCP_RESET_REQ, ++l->ms->ccp.next_id, NULL, 0);
}

/* The network phase begins. True when the network protocols have to wait for CCP. */
bool ccp_begin_phase(struct ppp *e, struct link *l)
{
	if (ccp_wanted(l)) {
		hold(e, l);
		return true;
	}
	if (l->profile->p.mppe != PPP_MPPE_REQUIRE)
		return false;
	link_close(e, l, ADIT_CAUSE_NO_ENCRYPTION,
		   "the login gave no keys; MPPE needs MS-CHAPv2, alone or in EAP");
	return true;
}

/* The owner's answer to PPP_EV_NCP_READY of CCP. */
void ccp_go(struct ppp *e, struct link *l, bool can)
{
	l->flags &= ~(uint32_t)F_CCP_HELD;
	l->hold_at = CP_NEVER;
	l->news &= ~(uint32_t)NEWS_CCP_READY;
	if (!can) {
		give_up(e, l, "the data plane that carries the session cannot encrypt");
		return;
	}
	cp_event(e, l, &l->ms->ccp, CP_EV_OPEN);
	cp_event(e, l, &l->ms->ccp, CP_EV_UP);
	link_early_replay(e, l, CP_CCP);
}

void ccp_options(const struct link *l, uint8_t ret[4])
{
	struct wcur c = wcur_of(ret, 4);

	wcur_u32(&c, BIT_STATELESS | l->ms->mppe_in);
}

bool ccp_load(struct link *l, uint32_t in)
{
	l->ms->mppe_in = l->ms->mppe_out = in;
	return in == 0 || (strongest(in) == in && (in & BIT_STRENGTHS));
}

const struct cp_ops ccp_ops = {
	.proto = PPP_PROTO_CCP,
	.name = "CCP",
	.reset = ccp_reset,
	.request = ccp_request,
	.begin = ccp_begin,
	.option = ccp_option,
	.missing = ccp_missing,
	.accept = ccp_accept,
	.naked = ccp_naked,
	.rejected = ccp_rejected,
	.up = ccp_up,
	.down = ccp_down,
	.finished = ccp_finished,
	.hopeless = ccp_hopeless,
	.code = ccp_code,
};
