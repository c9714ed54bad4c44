/* SPDX-License-Identifier: MIT
 *
 * The IP Control Protocol: addresses (RFC 1332 3.3), DNS and NBNS servers (RFC 1877 1).
 *
 * Who names addresses follows from what the owner set. With peer_ip4 we are the side that assigns:
 * the peer gets this address and no other (another, or 0.0.0.0, is Naked with it), and our own
 * address stays whatever the peer suggests. Without peer_ip4 we are the client: an address the peer
 * suggests for us is taken, any sane address the peer has is accepted.
 *
 * NBNS servers (which Windows calls WINS) are only told, never asked for. IP-Addresses (option 1),
 * header compression (2) and all else are rejected: a Reject is always understood, and nothing here
 * compresses headers.
 */
#include "internal.h"

enum {
	OPT_ADDRESSES = 1,
	OPT_COMPRESSION = 2,
	OPT_ADDRESS = 3,
	OPT_DNS1 = 129,
	OPT_NBNS1 = 130,
	OPT_DNS2 = 131,
	OPT_NBNS2 = 132
};

/* Bits of cp.refused. */
enum { NO_ADDRESS = 1, NO_DNS1 = 2, NO_DNS2 = 4 };

static bool assigns(const struct link *l)
{
	return !ip4_none(l->want.peer_ip4);
}

/* An address a host can have: not 0/8, loopback, multicast, reserved or broadcast. */
static bool host_address(const uint8_t ip[4])
{
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224;
}

static void ipcp_reset(struct ppp *e, struct link *l)
{
	memcpy(l->got.our_ip4, l->want.our_ip4, 4);
	memcpy(l->got.peer_ip4, l->want.peer_ip4, 4);
	memcpy(l->got.dns4, l->want.dns4, sizeof(l->got.dns4));
	if (l->profile->p.ask_dns)
		memset(l->got.dns4, 0, sizeof(l->got.dns4));
}

static void put_address(struct wcur *c, uint8_t type, const uint8_t ip[4])
{
	wcur_u8(c, type);
	wcur_u8(c, 6);
	wcur_bytes(c, ip, 4);
}

static void ipcp_request(const struct ppp *e, const struct link *l, struct wcur *c)
{
	uint8_t refused = l->cp[CP_IPCP].refused;

	if (!(refused & NO_ADDRESS))
		put_address(c, OPT_ADDRESS, l->got.our_ip4);
	if (l->profile->p.ask_dns && !(refused & NO_DNS1))
		put_address(c, OPT_DNS1, l->got.dns4[0]);
	if (l->profile->p.ask_dns && !(refused & NO_DNS2))
		put_address(c, OPT_DNS2, l->got.dns4[1]);
}

static void ipcp_begin(union cp_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
}

static enum cp_verdict check_address(struct link *l, union cp_peer *peer, struct rcur value,
				     struct wcur *nak)
{
	uint8_t ip[4];
	bool sound;

	rcur_copy(&value, ip, 4);
	sound = !value.bad && rcur_left(&value) == 0;
	peer->ip.has_ip4 = true;
	if (assigns(l)) {
		if (!sound || memcmp(ip, l->want.peer_ip4, 4) != 0) {
			put_address(nak, OPT_ADDRESS, l->want.peer_ip4);
			return CP_NAK;
		}
	} else if (!sound || !host_address(ip) || memcmp(ip, l->got.our_ip4, 4) == 0) {
		return CP_REJ; /* we have no address to give */
	}
	memcpy(peer->ip.ip4, ip, 4);
	return CP_ACK;
}

/* RFC 1877 1: the peer asks by a wrong value, usually 0.0.0.0. */
static enum cp_verdict check_server(const uint8_t ours[4], uint8_t type, struct rcur value,
				    struct wcur *nak)
{
	uint8_t ip[4];

	if (ip4_none(ours))
		return CP_REJ;
	rcur_copy(&value, ip, 4);
	if (!value.bad && rcur_left(&value) == 0 && memcmp(ip, ours, 4) == 0)
		return CP_ACK;
	put_address(nak, type, ours);
	return CP_NAK;
}

static enum cp_verdict ipcp_option(struct ppp *e, struct link *l, union cp_peer *peer, uint8_t type,
				   struct rcur value, struct wcur *nak)
{
	switch (type) {
	case OPT_ADDRESS:
		return check_address(l, peer, value, nak);
	case OPT_DNS1:
	case OPT_DNS2:
		if (l->profile->p.ask_dns)
			return CP_REJ;
		return check_server(l->want.dns4[type == OPT_DNS1 ? 0 : 1], type, value, nak);
	case OPT_NBNS1:
	case OPT_NBNS2:
		return check_server(l->profile->p.wins4[type == OPT_NBNS1 ? 0 : 1], type, value,
				    nak);
	case OPT_ADDRESSES:
	case OPT_COMPRESSION:
	default:
		return CP_REJ;
	}
}

/* RFC 1332 3.3: the address the peer has to use is named even when it did not ask. */
static void ipcp_missing(struct ppp *e, struct link *l, const union cp_peer *peer, struct wcur *nak)
{
	if (assigns(l) && !peer->ip.has_ip4)
		put_address(nak, OPT_ADDRESS, l->want.peer_ip4);
}

static void ipcp_accept(struct ppp *e, struct link *l, const union cp_peer *peer)
{
	memcpy(l->got.peer_ip4, peer->ip.has_ip4 ? peer->ip.ip4 : l->want.peer_ip4, 4);
}

static bool ipcp_naked(struct ppp *e, struct link *l, uint8_t type, struct rcur value)
{
	uint8_t refused = l->cp[CP_IPCP].refused, ip[4];
	unsigned i = type == OPT_DNS1 ? 0 : 1;

	rcur_copy(&value, ip, 4);
	if (value.bad || rcur_left(&value) != 0)
		return false;
	switch (type) {
	case OPT_ADDRESS:
		if (refused & NO_ADDRESS)
			return false;
		/* An assigning side keeps its own; the same request again, a bounded number of
		 * times. */
		if (!assigns(l) && host_address(ip))
			memcpy(l->got.our_ip4, ip, 4);
		return true;
	case OPT_DNS1:
	case OPT_DNS2:
		if (!l->profile->p.ask_dns || (refused & (i == 0 ? NO_DNS1 : NO_DNS2)))
			return false;
		if (host_address(ip))
			memcpy(l->got.dns4[i], ip, 4);
		else
			l->cp[CP_IPCP].refused |= i == 0 ? NO_DNS1 : NO_DNS2;
		return true;
	default:
		return false;
	}
}

static void ipcp_rejected(struct ppp *e, struct link *l, uint8_t type)
{
	struct cp *cp = &l->cp[CP_IPCP];

	if (type == OPT_ADDRESS) {
		cp->refused |= NO_ADDRESS;
		if (ip4_none(l->got.our_ip4)) {
			cp_event(e, l, cp, CP_EV_CLOSE);
			link_ncp_end(e, l, CP_IPCP, ADIT_CAUSE_NCP_NO_AGREEMENT,
				     "the peer gives us no IPv4 address");
		}
	} else {
		cp->refused |= type == OPT_DNS1 ? NO_DNS1 : NO_DNS2;
	}
}

static uint32_t number(const uint8_t ip[4])
{
	return (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];
}

static void ipcp_up(struct ppp *e, struct link *l)
{
	/* An Ack to "which address?" is no answer. */
	if (ip4_none(l->got.our_ip4)) {
		cp_event(e, l, &l->cp[CP_IPCP], CP_EV_CLOSE);
		link_ncp_end(e, l, CP_IPCP, ADIT_CAUSE_NCP_NO_AGREEMENT,
			     "the peer gives us no IPv4 address");
		return;
	}
	trace(e->trace, TRACE_PPP_IP_UP, e->now, l->handle, number(l->got.our_ip4),
	      number(l->got.peer_ip4));
	link_ncp_up(e, l, CP_IPCP);
}

static void ipcp_down(struct ppp *e, struct link *l)
{
	link_ncp_down(e, l, CP_IPCP);
}

static void ipcp_finished(struct ppp *e, struct link *l)
{
	link_ncp_finished(e, l, CP_IPCP);
}

static void ipcp_hopeless(struct ppp *e, struct link *l, enum adit_cause cause, const char *why)
{
	cp_event(e, l, &l->cp[CP_IPCP], CP_EV_CLOSE);
	link_ncp_end(e, l, CP_IPCP, cause != ADIT_CAUSE_NONE ? cause : ADIT_CAUSE_NCP_NO_AGREEMENT,
		     why);
}

const struct cp_ops ipcp_ops = {
	.proto = PPP_PROTO_IPCP,
	.name = "IPCP",
	.reset = ipcp_reset,
	.request = ipcp_request,
	.begin = ipcp_begin,
	.option = ipcp_option,
	.missing = ipcp_missing,
	.accept = ipcp_accept,
	.naked = ipcp_naked,
	.rejected = ipcp_rejected,
	.up = ipcp_up,
	.down = ipcp_down,
	.finished = ipcp_finished,
	.hopeless = ipcp_hopeless,
};
