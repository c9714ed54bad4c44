/* SPDX-License-Identifier: MIT
 *
 * What leaves the engine: frames (ppp_output) and events (ppp_event). Both are made from the state
 * of the link at the moment they are asked for; only answers with bytes of the peer wait in the
 * queue. Answers go first: an Ack of ours must not come after what it permits.
 */
#include "internal.h"

void frame_begin(const struct link *l, uint16_t proto, struct wcur *c)
{
	/* LCP is never compressed (RFC 1661 6.5, 6.6); the other protocols we send have no
	 * one-octet form. */
	if (proto == PPP_PROTO_LCP || !(l->flags & F_ACFC_OUT)) {
		wcur_u8(c, 0xff);
		wcur_u8(c, 0x03);
	}
	wcur_u16(c, proto);
}

/* A packet may fill the peer's MRU; codes 1 to 7 of LCP are sent as before any negotiation, but a
 * rejected packet is cut to the MRU in force (RFC 1661 5, 5.6, 5.7). */
static size_t longest(const struct link *l, uint16_t proto, uint8_t code)
{
	if (proto == PPP_PROTO_LCP && code < CP_CODE_REJ)
		return PPP_MRU_DEFAULT;
	return l->mru_out < PPP_MRU_DEFAULT ? l->mru_out : PPP_MRU_DEFAULT;
}

void reply_put(struct ppp *e, struct link *l, uint16_t proto, uint8_t code, uint8_t id,
	       const uint8_t *body, size_t len)
{
	size_t cap = longest(l, proto, code) - 4, start;
	struct reply *r;
	struct wcur c;

	if (e->queue_n == PPP_QUEUE) {
		trace(e->trace, TRACE_PPP_NO_ROOM, e->now, l->handle, proto, 0);
		return;
	}
	if (len > cap)
		len = cap;
	r = &e->queue[(e->queue_first + e->queue_n) % PPP_QUEUE];
	c = wcur_of(r->bytes, sizeof(r->bytes));
	frame_begin(l, proto, &c);
	start = c.len;
	wcur_u8(&c, code);
	wcur_u8(&c, id);
	wcur_u16(&c, (uint16_t)(4 + len));
	wcur_bytes(&c, body, len);
	r->link = l->handle;
	r->len = (uint16_t)c.len;
	r->priority = proto == PPP_PROTO_LCP && code == LCP_ECHO_REP;
	e->queue_n++;
	trace_packet(e, l, true, proto, r->bytes + start, c.len - start);
}

static size_t take_reply(struct ppp *e, uint8_t *buf, size_t cap, struct ppp_frame *ret)
{
	while (e->queue_n > 0) {
		const struct reply *r = &e->queue[e->queue_first];
		const struct link *l = pool_get(e->links, r->link);

		e->queue_first = (e->queue_first + 1) % PPP_QUEUE;
		/* from the front again when it is empty: the same memory serves */
		if (--e->queue_n == 0)
			e->queue_first = 0;
		if (!l || r->len > cap)
			continue;
		memcpy(buf, r->bytes, r->len);
		*ret = (struct ppp_frame){ r->link, l->owner, r->priority };
		return r->len;
	}
	return 0;
}

/* The login has been answered for good: forget the password and the challenge. */
static void result_sent(struct ppp *e, struct link *l)
{
	if ((l->flags & F_WE_DONE) && !(l->flags & F_ASKED) &&
	    (l->auth_we == PPP_AUTH_PAP || l->chap_result != 0))
		auth_forget(e, l);
}

static void build(struct ppp *e, struct link *l, uint32_t bit, struct wcur *c)
{
	switch ((enum link_out)bit) {
	case OUT_PAP_RESULT:
		pap_build_result(l, c);
		break;
	case OUT_CHAP_RESULT:
		chap_build_result(l, c);
		break;
	case OUT_LCP_REQ:
		cp_build_request(e, l, &l->cp[CP_LCP], c);
		break;
	case OUT_LCP_TERM:
		cp_build_terminate(l, &l->cp[CP_LCP], c);
		break;
	case OUT_ECHO:
		lcp_build_echo(l, c);
		break;
	case OUT_PAP_REQ:
		pap_build_request(l, c);
		break;
	case OUT_CHAP_CHAL:
		if (l->login)
			chap_build_challenge(l, c);
		break;
	case OUT_CHAP_RESP:
		chap_build_response(l, c);
		break;
	case OUT_EAP_RESULT:
		eap_build_result(l, c);
		break;
	case OUT_EAP_REQ:
		eap_build_request(l, c);
		break;
	case OUT_EAP_RESP:
		eap_build_response(l, c);
		break;
	case OUT_CCP_REQ:
		cp_build_request(e, l, &l->ms->ccp, c);
		break;
	case OUT_CCP_TERM:
		cp_build_terminate(l, &l->ms->ccp, c);
		break;
	case OUT_IPCP_REQ:
		cp_build_request(e, l, &l->cp[CP_IPCP], c);
		break;
	case OUT_IPCP_TERM:
		cp_build_terminate(l, &l->cp[CP_IPCP], c);
		break;
	case OUT_IPV6CP_REQ:
		cp_build_request(e, l, &l->cp[CP_IPV6CP], c);
		break;
	case OUT_IPV6CP_TERM:
		cp_build_terminate(l, &l->cp[CP_IPV6CP], c);
		break;
	}
}

static uint16_t out_proto(uint32_t bit)
{
	if (bit & (OUT_LCP_REQ | OUT_LCP_TERM | OUT_ECHO))
		return PPP_PROTO_LCP;
	if (bit & (OUT_PAP_RESULT | OUT_PAP_REQ))
		return PPP_PROTO_PAP;
	if (bit & (OUT_IPCP_REQ | OUT_IPCP_TERM))
		return PPP_PROTO_IPCP;
	if (bit & (OUT_IPV6CP_REQ | OUT_IPV6CP_TERM))
		return PPP_PROTO_IPV6CP;
	if (bit & (OUT_CCP_REQ | OUT_CCP_TERM))
		return PPP_PROTO_CCP;
	if (bit & (OUT_EAP_RESULT | OUT_EAP_REQ | OUT_EAP_RESP))
		return PPP_PROTO_EAP;
	return PPP_PROTO_CHAP;
}

size_t ppp_output(struct ppp *e, struct mono now, uint8_t *buf, size_t cap, struct ppp_frame *ret)
{
	size_t n = take_reply(e, buf, cap, ret);

	while (n == 0 && !list_empty(&e->out)) {
		struct link *l = container_of(e->out.next, struct link, out_node);
		uint32_t bit = l->out & (~l->out + 1);
		uint16_t proto = out_proto(bit);
		struct wcur c = wcur_of(buf, cap);
		size_t start;

		l->out &= ~bit;
		if (l->out == 0)
			list_drop(&l->out_node);
		if (bit == 0)
			continue;
		frame_begin(l, proto, &c);
		start = c.len;
		build(e, l, bit, &c);
		if (c.bad || c.len == start)
			continue;
		trace_packet(e, l, true, proto, buf + start, c.len - start);
		if (bit & OUT_RESULTS)
			result_sent(e, l);
		*ret = (struct ppp_frame){ l->handle, l->owner, bit == OUT_ECHO };
		n = c.len;
	}
	return n;
}

static void fill_lcp(const struct link *l, struct ppp_event *ev)
{
	ev->mru_in = l->mru_in;
	ev->mru_out = l->mru_out;
	ev->acfc_out = l->flags & F_ACFC_OUT;
	ev->pfc_out = l->flags & F_PFC_OUT;
}

static void fill_ask(struct ppp *e, const struct link *l, struct ppp_event *ev)
{
	const struct login *g = l->login;

	ev->auth = (enum ppp_auth)l->auth_we;
	ev->ask = l->ask;
	ev->user = g->user;
	ev->user_len = g->user_len;
	ev->chap_id = l->chap_id;
	if (l->auth_we != PPP_AUTH_PAP) {
		ev->challenge = g->challenge;
		ev->challenge_len = auth_challenge_len(l->auth_we);
	}
	ev->response = g->response;
	ev->response_len = g->response_len;
}

static const char *keep_text(struct ppp *e, const char *text)
{
	size_t n = strnlen(text, sizeof(e->text) - 1);

	memcpy(e->text, text, n);
	e->text[n] = '\0';
	return e->text;
}

static void fill_ncp(struct link *l, struct ppp_event *ev, enum ppp_event_kind kind, bool ip4)
{
	uint32_t told = ip4 ? F_TOLD_IP4 : F_TOLD_IP6;

	ev->kind = kind;
	ev->proto = ip4 ? PPP_PROTO_IPCP : PPP_PROTO_IPV6CP;
	if (kind == PPP_EV_NCP_DOWN) {
		l->flags &= ~told;
		return;
	}
	if (kind == PPP_EV_NCP_UP)
		l->flags |= told;
	ev->addresses = l->got;
}

bool ppp_event(struct ppp *e, struct ppp_event *ret)
{
	struct link *l;
	uint32_t bit;

	do { /* news may have been taken back, then the link is on the list with none */
		if (list_empty(&e->news))
			return false;
		l = container_of(e->news.next, struct link, news_node);
		bit = l->news & (~l->news + 1);
		l->news &= ~bit;
		if (l->news == 0)
			list_drop(&l->news_node);
	} while (bit == 0);
	*ret = (struct ppp_event){ .link = l->handle, .owner = l->owner, .text = "", .user = "" };
	switch ((enum link_news)bit) {
	case NEWS_IPCP_DOWN:
	case NEWS_IPV6CP_DOWN:
		fill_ncp(l, ret, PPP_EV_NCP_DOWN, bit == NEWS_IPCP_DOWN);
		break;
	case NEWS_NOTE:
		ret->kind = PPP_EV_NOTE;
		ret->text = keep_text(e, l->text ? l->text : "");
		break;
	case NEWS_LCP_UP:
		ret->kind = PPP_EV_LCP_UP;
		fill_lcp(l, ret);
		break;
	case NEWS_ASK:
		ret->kind = PPP_EV_AUTH_ASK;
		fill_ask(e, l, ret);
		break;
	case NEWS_AUTH_UP:
		ret->kind = PPP_EV_AUTH_UP;
		break;
	case NEWS_CCP_READY:
		ret->kind = PPP_EV_NCP_READY;
		ret->proto = PPP_PROTO_CCP;
		break;
	case NEWS_CCP:
		ret->kind = PPP_EV_CCP;
		break;
	case NEWS_IPCP_READY:
	case NEWS_IPV6CP_READY:
		fill_ncp(l, ret, PPP_EV_NCP_READY, bit == NEWS_IPCP_READY);
		break;
	case NEWS_IPCP_UP:
	case NEWS_IPV6CP_UP:
		fill_ncp(l, ret, PPP_EV_NCP_UP, bit == NEWS_IPCP_UP);
		break;
	case NEWS_DOWN:
		ret->kind = PPP_EV_DOWN;
		ret->cause = (enum adit_cause)l->cause;
		ret->by_peer = l->flags & F_BY_PEER;
		ret->text = keep_text(e, link_words(l));
		link_free(e, l);
		break;
	}
	return true;
}
