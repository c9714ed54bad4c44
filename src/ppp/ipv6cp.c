/* SPDX-License-Identifier: MIT
 *
 * The IPv6 Control Protocol (RFC 5072 4.1): interface identifiers, nothing else. Addresses and
 * prefixes come later, by router advertisements and DHCPv6.
 *
 * Our identifier is the owner's or random; random ones have the "u" bit zero. The peer may use any
 * other than zero and ours, unless the owner names the one it has to use. A suggestion for the peer
 * stays the same for a link, so that it is reproducible.
 */
#include "internal.h"

enum { OPT_IID = 1 };

/* Bits of cp.refused: the peer rejected our identifier; we have asked for the peer's. */
enum { NO_IID = 1, ASKED_IID = 2 };

static void random_iid(struct ppp *e, uint8_t ret[8])
{
	do {
		rng_bytes(&e->rng, ret, 8);
		ret[0] &= 0xfd; /* the universal/local bit (RFC 5072 4.1) */
	} while (iid_none(ret));
}

static void ipv6cp_reset(struct ppp *e, struct link *l)
{
	if (!iid_none(l->want.our_iid))
		memcpy(l->got.our_iid, l->want.our_iid, 8);
	else if (iid_none(l->got.our_iid))
		random_iid(e, l->got.our_iid);
	memcpy(l->got.peer_iid, l->want.peer_iid, 8);
}

static void put_iid(struct wcur *c, const uint8_t iid[8])
{
	wcur_u8(c, OPT_IID);
	wcur_u8(c, 10);
	wcur_bytes(c, iid, 8);
}

static void ipv6cp_request(const struct ppp *e, const struct link *l, struct wcur *c)
{
	if (!(l->cp[CP_IPV6CP].refused & NO_IID))
		put_iid(c, l->got.our_iid);
}

static void ipv6cp_begin(union cp_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
}

/* What the peer should use. */
static void put_suggestion(struct ppp *e, struct link *l, struct wcur *nak)
{
	if (!iid_none(l->want.peer_iid))
		memcpy(l->nak_iid, l->want.peer_iid, 8);
	while (iid_none(l->nak_iid) || memcmp(l->nak_iid, l->got.our_iid, 8) == 0)
		random_iid(e, l->nak_iid);
	put_iid(nak, l->nak_iid);
}

static enum cp_verdict ipv6cp_option(struct ppp *e, struct link *l, union cp_peer *peer,
				     uint8_t type, struct rcur value, struct wcur *nak)
{
	uint8_t iid[8];
	bool ours_set = !iid_none(l->want.peer_iid);

	if (type != OPT_IID)
		return CP_REJ;
	rcur_copy(&value, iid, 8);
	peer->ip6.has_iid = true;
	if (value.bad || rcur_left(&value) != 0 || iid_none(iid) ||
	    memcmp(iid, l->got.our_iid, 8) == 0 ||
	    (ours_set && memcmp(iid, l->want.peer_iid, 8) != 0)) {
		put_suggestion(e, l, nak);
		return CP_NAK;
	}
	memcpy(peer->ip6.iid, iid, 8);
	return CP_ACK;
}

/* RFC 5072 4.1: once; a peer that leaves it out again does not know it. */
static void ipv6cp_missing(struct ppp *e, struct link *l, const union cp_peer *peer,
			   struct wcur *nak)
{
	if (peer->ip6.has_iid || (l->cp[CP_IPV6CP].refused & ASKED_IID))
		return;
	l->cp[CP_IPV6CP].refused |= ASKED_IID;
	put_suggestion(e, l, nak);
}

static void ipv6cp_accept(struct ppp *e, struct link *l, const union cp_peer *peer)
{
	memcpy(l->got.peer_iid, peer->ip6.has_iid ? peer->ip6.iid : l->want.peer_iid, 8);
}

static bool ipv6cp_naked(struct ppp *e, struct link *l, uint8_t type, struct rcur value)
{
	uint8_t iid[8];

	if (type != OPT_IID || (l->cp[CP_IPV6CP].refused & NO_IID))
		return false;
	rcur_copy(&value, iid, 8);
	if (value.bad || rcur_left(&value) != 0)
		return false;
	/* Zero, what we had, or our own suggestion come back: choose anew (RFC 5072 4.1). */
	if (iid_none(iid) || memcmp(iid, l->got.our_iid, 8) == 0 ||
	    memcmp(iid, l->nak_iid, 8) == 0 || memcmp(iid, l->got.peer_iid, 8) == 0)
		random_iid(e, l->got.our_iid);
	else
		memcpy(l->got.our_iid, iid, 8);
	return true;
}

static void ipv6cp_rejected(struct ppp *e, struct link *l, uint8_t type)
{
	l->cp[CP_IPV6CP].refused |= NO_IID;
}

static void ipv6cp_up(struct ppp *e, struct link *l)
{
	trace(e->trace, TRACE_PPP_IPV6_UP, e->now, l->handle, 0, 0);
	link_ncp_up(e, l, CP_IPV6CP);
}

static void ipv6cp_down(struct ppp *e, struct link *l)
{
	link_ncp_down(e, l, CP_IPV6CP);
}

static void ipv6cp_finished(struct ppp *e, struct link *l)
{
	link_ncp_finished(e, l, CP_IPV6CP);
}

static void ipv6cp_hopeless(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	cp_event(e, l, &l->cp[CP_IPV6CP], CP_EV_CLOSE);
	link_ncp_end(e, l, CP_IPV6CP,
		     cause != ADIT_CAUSE_NONE ? cause : ADIT_CAUSE_NCP_NO_AGREEMENT, why);
}

const struct cp_ops ipv6cp_ops = {
	.proto = PPP_PROTO_IPV6CP,
	.name = "IPv6CP",
	.reset = ipv6cp_reset,
	.request = ipv6cp_request,
	.begin = ipv6cp_begin,
	.option = ipv6cp_option,
	.missing = ipv6cp_missing,
	.accept = ipv6cp_accept,
	.naked = ipv6cp_naked,
	.rejected = ipv6cp_rejected,
	.up = ipv6cp_up,
	.down = ipv6cp_down,
	.finished = ipv6cp_finished,
	.hopeless = ipv6cp_hopeless,
};
