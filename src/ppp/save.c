/* SPDX-License-Identifier: MIT
 *
 * Records of links that outlive the process: a sequence of tagged fields (base/wire.h); unknown
 * tags are skipped, so records of a newer version can be read. Only links that carry traffic are
 * kept, that is with all authentication done and a network protocol open, or open before and
 * negotiated once more.
 *
 * After ppp_load() the link goes on where it was: open automata stay open and answer, a network
 * protocol that was being negotiated starts again, since the peer may have opened its side
 * meanwhile and would not speak first; one that had ended waits for the peer (Stopped). The echo
 * clock runs on with the saved times, spread a little when many are overdue.
 */
#include "internal.h"
#include "base/zeros.h"

enum tag {
	TAG_LCP = 1,
	TAG_AUTH = 2,
	/* 3 was the user, whom the owner knows */
	TAG_WANT = 4,
	TAG_GOT = 5,
	TAG_IPCP = 6,
	TAG_IPV6CP = 7,
	TAG_CLOCK = 8,
	TAG_PROOF_WE = 9, /* of MS-CHAPv2: proof and keys */
	TAG_PROOF_PEER = 10,
	TAG_CCP = 11,
	TAG_ADDRESSES = 12 /* instead of WANT and GOT, which older records have */
};

/* The flags that are state of the protocol; the others belong to the process. */
#define SAVED_FLAGS                                                                          \
	(F_PFC_IN | F_ACFC_IN | F_ACFC_OUT | F_PFC_OUT | F_NO_ECHO | F_IP4_OFF | F_IP6_OFF | \
	 F_IP4_NEVER | F_IP6_NEVER | F_CCP_OVER)

bool ppp_can_save(const struct ppp *e, adit_handle link)
{
	const struct link *l = link_get(e, link);
	/* Open, or on the way there again: a repeat of the peer's request is enough for that. */
	enum cp_state least = l && l->flags & F_ANY_UP ? CP_REQ_SENT : CP_OPENED;

	return l && l->phase == PH_NETWORK && l->cp[CP_LCP].state == CP_OPENED &&
	       (l->cp[CP_IPCP].state >= least || l->cp[CP_IPV6CP].state >= least);
}

bool ppp_dirty(struct ppp *e, adit_handle *ret_link, uint64_t *ret_owner)
{
	struct list *node = list_pop(&e->dirty);
	struct link *l;

	if (!node)
		return false;
	l = container_of(node, struct link, dirty_node);
	*ret_link = l->handle;
	*ret_owner = l->owner;
	return true;
}

_Static_assert(sizeof(struct ppp_addresses) == 32, "octets, in the order of the record");

/* Mostly what was got is what was wanted, or nothing: then little is left of both. */
static void save_addresses(struct wcur *c, const struct link *l)
{
	uint8_t both[2][sizeof(l->want)], packed[ZEROS_MOST(sizeof(both))];

	memcpy(both[0], &l->want, sizeof(l->want));
	memcpy(both[1], &l->got, sizeof(l->got));
	for (size_t i = 0; i < sizeof(l->want); i++)
		both[1][i] ^= both[0][i];
	wcur_tlv_bytes(c, TAG_ADDRESSES, packed, zeros_pack(both, sizeof(both), packed));
}

static void load_both(struct rcur *c, struct link *l)
{
	uint8_t both[2][sizeof(l->want)];

	zeros_unpack(c, both, sizeof(both));
	for (size_t i = 0; i < sizeof(l->want); i++)
		both[1][i] ^= both[0][i];
	memcpy(&l->want, both[0], sizeof(l->want));
	memcpy(&l->got, both[1], sizeof(l->got));
}

static void load_addresses(struct rcur *c, struct ppp_addresses *a)
{
	rcur_copy(c, a->our_ip4, 4);
	rcur_copy(c, a->peer_ip4, 4);
	rcur_copy(c, a->dns4[0], 4);
	rcur_copy(c, a->dns4[1], 4);
	rcur_copy(c, a->our_iid, 8);
	rcur_copy(c, a->peer_iid, 8);
}

static void put_cp(struct wcur *c, const struct cp *cp)
{
	wcur_u8(c, cp->state == CP_OPENED);
	wcur_u8(c, cp->next_id);
	wcur_u8(c, cp->req_id);
	wcur_u8(c, cp->refused);
	wcur_u8(c, cp->state >= CP_REQ_SENT); /* was wanted by both, or might be */
}

static void save_cp(struct wcur *c, uint16_t tag, const struct cp *cp)
{
	size_t at = wcur_tlv_begin(c, tag);

	put_cp(c, cp);
	wcur_tlv_end(c, at);
}

static bool load_cp(struct rcur *c, struct cp *cp)
{
	bool open = rcur_u8(c) != 0, active;

	cp->next_id = rcur_u8(c);
	cp->req_id = rcur_u8(c);
	cp->refused = rcur_u8(c);
	active = rcur_left(c) != 0 && rcur_u8(c) != 0;
	if (active && !open)
		cp->state = CP_REQ_SENT; /* only a mark, see ppp_load() */
	if (open) {
		cp->state = CP_OPENED;
		cp->answered = true;
		cp->renew = false;
	}
	return open;
}

static void save_proof(struct wcur *c, uint16_t tag, const struct ppp_proof *p)
{
	size_t at = wcur_tlv_begin(c, tag);

	wcur_bytes(c, p->authenticator, sizeof(p->authenticator));
	wcur_bytes(c, p->send_key, sizeof(p->send_key));
	wcur_bytes(c, p->recv_key, sizeof(p->recv_key));
	wcur_tlv_end(c, at);
}

void ppp_save(const struct ppp *e, adit_handle link, struct wcur *c)
{
	const struct link *l = link_get(e, link);
	size_t at;

	if (!l)
		return;
	at = wcur_tlv_begin(c, TAG_LCP);
	wcur_u32(c, l->magic);
	wcur_u32(c, l->peer_magic);
	wcur_u16(c, l->mru_in);
	wcur_u16(c, l->mru_out);
	wcur_u32(c, l->flags & SAVED_FLAGS);
	wcur_u8(c, l->cp[CP_LCP].next_id);
	wcur_u8(c, l->cp[CP_LCP].req_id);
	wcur_u8(c, l->cp[CP_LCP].refused);
	wcur_u16(c, l->mru_wish);
	wcur_tlv_end(c, at);

	at = wcur_tlv_begin(c, TAG_AUTH);
	wcur_u8(c, l->auth_we);
	wcur_u8(c, l->auth_peer);
	wcur_u8(c, l->auth_idx);
	wcur_u8(c, l->chap_id);
	wcur_tlv_end(c, at);

	if (l->ms && l->ms->we.has_keys)
		save_proof(c, TAG_PROOF_WE, &l->ms->we);
	if (l->ms && l->ms->peer.has_keys)
		save_proof(c, TAG_PROOF_PEER, &l->ms->peer);
	save_addresses(c, l);
	save_cp(c, TAG_IPCP, &l->cp[CP_IPCP]);
	save_cp(c, TAG_IPV6CP, &l->cp[CP_IPV6CP]);

	if (l->profile->p.mppe != PPP_MPPE_OFF && l->ms) {
		at = wcur_tlv_begin(c, TAG_CCP);
		put_cp(c, &l->ms->ccp);
		wcur_u32(c, l->ms->mppe_in);
		wcur_tlv_end(c, at);
	}

	at = wcur_tlv_begin(c, TAG_CLOCK);
	wcur_u64(c, (uint64_t)l->echo_at);
	wcur_u64(c, (uint64_t)l->we_at);
	wcur_tlv_end(c, at);
}

static void load_proof(struct rcur *c, struct ppp_proof *p)
{
	rcur_copy(c, p->authenticator, sizeof(p->authenticator));
	rcur_copy(c, p->send_key, sizeof(p->send_key));
	rcur_copy(c, p->recv_key, sizeof(p->recv_key));
	p->has_keys = true;
}

static void load_lcp(struct rcur *v, struct link *l)
{
	struct cp *cp = &l->cp[CP_LCP];

	l->magic = rcur_u32(v);
	l->peer_magic = rcur_u32(v);
	l->mru_in = rcur_u16(v);
	l->mru_out = rcur_u16(v);
	l->flags |= rcur_u32(v) & SAVED_FLAGS;
	cp->next_id = rcur_u8(v);
	cp->req_id = rcur_u8(v);
	cp->refused = rcur_u8(v);
	l->mru_wish = rcur_u16(v);
	cp->state = CP_OPENED;
	cp->answered = true;
	cp->renew = false;
	if (l->mru_wish < 128 || l->mru_wish > PPP_MRU_LIMIT || l->mru_in < 128 ||
	    l->mru_in > PPP_MRU_LIMIT || l->mru_out < 64 || l->mru_out > PPP_MRU_LIMIT)
		v->bad = true;
}

static void load_auth(struct rcur *v, struct link *l)
{
	l->auth_we = rcur_u8(v);
	l->auth_peer = rcur_u8(v);
	l->auth_idx = rcur_u8(v);
	l->chap_id = rcur_u8(v);
	if ((l->auth_we & ~PPP_AUTH_ALL) || (l->auth_we & (l->auth_we - 1)) ||
	    (l->auth_peer & ~PPP_AUTH_ALL) || l->auth_idx > sizeof(l->profile->p.auth_order))
		v->bad = true;
	if (l->auth_we == PPP_AUTH_PAP)
		l->pap_result = 2;
	else if (l->auth_we != PPP_AUTH_NONE)
		l->chap_result = 3;
	l->result_id = l->chap_id;
}

static int64_t clamp(int64_t at, int64_t now, int64_t most)
{
	if (at < now)
		return now;
	return at > mono_add((struct mono){ now }, most).us
		       ? mono_add((struct mono){ now }, most).us
		       : at;
}

static void load_clock(struct ppp *e, struct rcur *v, struct link *l)
{
	int64_t echo_at = (int64_t)rcur_u64(v), we_at = (int64_t)rcur_u64(v);
	const struct ppp_params *p = &l->profile->p;

	if (p->echo_us > 0) {
		int64_t spread = p->echo_us < 10 * US_S ? p->echo_us : 10 * US_S;

		l->echo_at = clamp(echo_at, e->now.us, p->echo_us);
		if (l->echo_at <= e->now.us)
			l->echo_at += rng_below(&e->rng, (uint32_t)spread);
		l->heard = l->echo_at - p->echo_us;
	}
	if (p->auth_again_us > 0 && l->auth_we & ~PPP_AUTH_PAP && l->profile->auths > 0)
		l->we_at = clamp(we_at, e->now.us + US_S, p->auth_again_us);
}

/* One field. <0 no memory, 0 taken or unknown, 1 not a sound one. `seen` has a bit a tag. */
static int load_field(struct ppp *e, struct link *l, uint16_t tag, struct rcur v, uint32_t *seen)
{
	int rc = 0;

	if (tag < 32)
		*seen |= 1u << tag;
	switch (tag) {
	case TAG_LCP:
		load_lcp(&v, l);
		break;
	case TAG_AUTH:
		load_auth(&v, l);
		break;
	case TAG_WANT:
		load_addresses(&v, &l->want);
		break;
	case TAG_GOT:
		load_addresses(&v, &l->got);
		break;
	case TAG_ADDRESSES:
		load_both(&v, l);
		break;
	case TAG_IPCP:
		if (load_cp(&v, &l->cp[CP_IPCP]))
			l->flags |= F_TOLD_IP4;
		break;
	case TAG_IPV6CP:
		if (load_cp(&v, &l->cp[CP_IPV6CP]))
			l->flags |= F_TOLD_IP6;
		break;
	case TAG_CLOCK:
		load_clock(e, &v, l);
		break;
	case TAG_CCP:
		rc = auth_reserve_ms(e, l);
		if (rc == 0) {
			load_cp(&v, &l->ms->ccp);
			v.bad |= !ccp_load(l, rcur_u32(&v));
		}
		break;
	case TAG_PROOF_WE:
	case TAG_PROOF_PEER:
		rc = auth_reserve_ms(e, l);
		if (rc == 0)
			load_proof(&v, tag == TAG_PROOF_WE ? &l->ms->we : &l->ms->peer);
		break;
	default:
		break;
	}
	return rc < 0 ? rc : v.bad;
}

/* CCP goes on when it was open; in the middle of something it starts anew. Who used to need no
 * encryption needs none now: what the configuration says today holds from the next login on. */
static void load_ccp(struct ppp *e, struct link *l)
{
	enum cp_state state = link_cp_state(l, CP_CCP);
	bool again = state == CP_REQ_SENT;

	if (state == CP_OPENED)
		return;
	if (l->ms)
		l->ms->ccp.state = CP_INITIAL;
	if (!again)
		l->flags |= F_CCP_OVER;
	else if (ccp_wanted(l))
		link_ncp_start(e, l, CP_CCP);
}

int ppp_load(struct ppp *e, struct mono now, struct rcur *c, struct ppp_profile *profile,
	     uint64_t owner, adit_handle *ret_link)
{
	const uint32_t needed = 1u << TAG_LCP | 1u << TAG_AUTH | 1u << TAG_ADDRESSES |
				1u << TAG_IPCP | 1u << TAG_IPV6CP | 1u << TAG_CLOCK;
	const uint32_t former = 1u << TAG_WANT | 1u << TAG_GOT;
	uint32_t seen = 0;
	struct rcur v;
	struct link *l;
	uint16_t tag;
	int rc;

	if (!e->called || now.us > e->now.us)
		e->now = now;
	e->called = true;
	rc = link_new(e, profile, owner, &l);
	if (rc != 0)
		return rc < 0 ? rc : 1;
	l->phase = PH_NETWORK;
	while (rc == 0 && rcur_tlv(c, &tag, &v))
		rc = load_field(e, l, tag, v, &seen);
	if ((seen & former) == former)
		seen |= 1u << TAG_ADDRESSES;
	if (rc == 0 &&
	    (c->bad || (seen & needed) != needed ||
	     (l->cp[CP_IPCP].state < CP_REQ_SENT && l->cp[CP_IPV6CP].state < CP_REQ_SENT)))
		rc = 1;
	/* The peer encrypts: without keys, or against the configuration of today, it cannot go on.
	 */
	if (rc == 0 && link_cp_state(l, CP_CCP) == CP_OPENED && (!ccp_wanted(l) || !l->ms->mppe_in))
		rc = 1;
	/* What was agreed, and what the configuration of today may come to (EAP's Nak). */
	if (rc == 0 && ((l->auth_we | l->auth_peer | profile->auth_set | profile->p.peer_auth) &
			PPP_AUTH_KEYS))
		rc = auth_reserve_ms(e, l);
	if (rc != 0) {
		link_free(e, l);
		return rc;
	}
	l->flags |= F_WE_DONE | F_PEER_DONE | F_AUTH_BEFORE | F_PATH_READY | F_ANY_UP |
		    F_HEARD_LCP | F_NCPS;
	load_ccp(e, l);
	for (unsigned i = CP_IPCP; i <= CP_IPV6CP; i++) {
		bool again = l->cp[i].state == CP_REQ_SENT;

		if (l->cp[i].state == CP_OPENED)
			continue;
		l->cp[i].state = CP_INITIAL;
		if (!link_ncp_wanted(l, (enum cp_kind)i))
			continue;
		if (again)
			link_ncp_start(e, l, (enum cp_kind)i);
		else
			l->cp[i].state = CP_STOPPED;
	}
	link_arm(e, l);
	*ret_link = l->handle;
	return 0;
}
