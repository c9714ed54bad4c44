/* SPDX-License-Identifier: MIT
 *
 * The option negotiation automaton (RFC 1661 section 4) and the packets it is driven by (section 5,
 * codes 1 to 7), for LCP, IPCP, IPv6CP and CCP alike.
 *
 * cp_table holds RFC 1661 4.1 cell by cell. cp_input() turns a packet into an event, after the
 * checks of sections 5.1 to 5.7: identifiers, exact options in an Ack, a subset in a Reject.
 * cp_event() takes the transition and carries out the actions.
 *
 * Additions to the table, all outside it:
 *  - Replies repeated by the network are discarded (`answered`): section 5.1 wants a new identifier
 *    after a valid reply, so a second reply to the same identifier is not valid.
 *  - A repeat of the very request we acknowledged last, shortly after the automaton opened, is
 *    acknowledged again without leaving Opened: either our Ack was lost or the network duplicated
 *    the request. Any other request renegotiates (section 4.3).
 *  - The Ack that would open a network protocol can be held, see PPP_EV_NCP_READY. Its restart
 * timer rests meanwhile.
 *  - Section 4.5 asks for a guard against endless negotiation: Naks and Rejects are counted in both
 *    directions.
 */
#include "internal.h"
#include "base/htab.h"

/* Our own requests are shorter than this. */
#define OPTIONS_MAX 64

/* clang-format off */
#define TO(state, actions) { CP_##state, (actions) }
#define DASH               { CP_ILLEGAL, 0 }

const struct cp_cell cp_table[CP_EVENTS][CP_STATES] = {
	/* The columns: Initial, Starting, Closed, Stopped, Closing, Stopping, Req-Sent, Ack-Rcvd,
	 * Ack-Sent, Opened. */
	[CP_EV_UP] = {
		TO(CLOSED, 0), TO(REQ_SENT, CP_IRC | CP_SCR), DASH, DASH, DASH, DASH,
		DASH, DASH, DASH, DASH },
	[CP_EV_DOWN] = {
		DASH, DASH, TO(INITIAL, 0), TO(STARTING, CP_TLS), TO(INITIAL, 0), TO(STARTING, 0),
		TO(STARTING, 0), TO(STARTING, 0), TO(STARTING, 0), TO(STARTING, CP_TLD) },
	[CP_EV_OPEN] = {
		TO(STARTING, CP_TLS), TO(STARTING, 0), TO(REQ_SENT, CP_IRC | CP_SCR), TO(STOPPED, 0),
		TO(STOPPING, 0), TO(STOPPING, 0),
		TO(REQ_SENT, 0), TO(ACK_RCVD, 0), TO(ACK_SENT, 0), TO(OPENED, 0) },
	[CP_EV_CLOSE] = {
		TO(INITIAL, 0), TO(INITIAL, CP_TLF), TO(CLOSED, 0), TO(CLOSED, 0), TO(CLOSING, 0),
		TO(CLOSING, 0),
		TO(CLOSING, CP_IRC | CP_STR), TO(CLOSING, CP_IRC | CP_STR), TO(CLOSING, CP_IRC | CP_STR),
		TO(CLOSING, CP_TLD | CP_IRC | CP_STR) },
	[CP_EV_TO_PLUS] = {
		DASH, DASH, DASH, DASH, TO(CLOSING, CP_STR), TO(STOPPING, CP_STR),
		TO(REQ_SENT, CP_SCR), TO(REQ_SENT, CP_SCR), TO(ACK_SENT, CP_SCR), DASH },
	[CP_EV_TO_MINUS] = {
		DASH, DASH, DASH, DASH, TO(CLOSED, CP_TLF), TO(STOPPED, CP_TLF),
		TO(STOPPED, CP_TLF), TO(STOPPED, CP_TLF), TO(STOPPED, CP_TLF), DASH },
	[CP_EV_RCR_PLUS] = {
		DASH, DASH, TO(CLOSED, CP_STA), TO(ACK_SENT, CP_IRC | CP_SCR | CP_SCA), TO(CLOSING, 0),
		TO(STOPPING, 0),
		TO(ACK_SENT, CP_SCA), TO(OPENED, CP_SCA | CP_TLU), TO(ACK_SENT, CP_SCA),
		TO(ACK_SENT, CP_TLD | CP_SCR | CP_SCA) },
	[CP_EV_RCR_MINUS] = {
		DASH, DASH, TO(CLOSED, CP_STA), TO(REQ_SENT, CP_IRC | CP_SCR | CP_SCN), TO(CLOSING, 0),
		TO(STOPPING, 0),
		TO(REQ_SENT, CP_SCN), TO(ACK_RCVD, CP_SCN), TO(REQ_SENT, CP_SCN),
		TO(REQ_SENT, CP_TLD | CP_SCR | CP_SCN) },
	[CP_EV_RCA] = {
		DASH, DASH, TO(CLOSED, CP_STA), TO(STOPPED, CP_STA), TO(CLOSING, 0), TO(STOPPING, 0),
		TO(ACK_RCVD, CP_IRC), TO(REQ_SENT, CP_SCR), TO(OPENED, CP_IRC | CP_TLU),
		TO(REQ_SENT, CP_TLD | CP_SCR) },
	[CP_EV_RCN] = {
		DASH, DASH, TO(CLOSED, CP_STA), TO(STOPPED, CP_STA), TO(CLOSING, 0), TO(STOPPING, 0),
		TO(REQ_SENT, CP_IRC | CP_SCR), TO(REQ_SENT, CP_SCR), TO(ACK_SENT, CP_IRC | CP_SCR),
		TO(REQ_SENT, CP_TLD | CP_SCR) },
	[CP_EV_RTR] = {
		DASH, DASH, TO(CLOSED, CP_STA), TO(STOPPED, CP_STA), TO(CLOSING, CP_STA),
		TO(STOPPING, CP_STA),
		TO(REQ_SENT, CP_STA), TO(REQ_SENT, CP_STA), TO(REQ_SENT, CP_STA),
		TO(STOPPING, CP_TLD | CP_ZRC | CP_STA) },
	[CP_EV_RTA] = {
		DASH, DASH, TO(CLOSED, 0), TO(STOPPED, 0), TO(CLOSED, CP_TLF), TO(STOPPED, CP_TLF),
		TO(REQ_SENT, 0), TO(REQ_SENT, 0), TO(ACK_SENT, 0), TO(REQ_SENT, CP_TLD | CP_SCR) },
	[CP_EV_RUC] = {
		DASH, DASH, TO(CLOSED, CP_SCJ), TO(STOPPED, CP_SCJ), TO(CLOSING, CP_SCJ),
		TO(STOPPING, CP_SCJ),
		TO(REQ_SENT, CP_SCJ), TO(ACK_RCVD, CP_SCJ), TO(ACK_SENT, CP_SCJ), TO(OPENED, CP_SCJ) },
	[CP_EV_RXJ_PLUS] = {
		DASH, DASH, TO(CLOSED, 0), TO(STOPPED, 0), TO(CLOSING, 0), TO(STOPPING, 0),
		TO(REQ_SENT, 0), TO(REQ_SENT, 0), TO(ACK_SENT, 0), TO(OPENED, 0) },
	[CP_EV_RXJ_MINUS] = {
		DASH, DASH, TO(CLOSED, CP_TLF), TO(STOPPED, CP_TLF), TO(CLOSED, CP_TLF),
		TO(STOPPED, CP_TLF),
		TO(STOPPED, CP_TLF), TO(STOPPED, CP_TLF), TO(STOPPED, CP_TLF),
		TO(STOPPING, CP_TLD | CP_IRC | CP_STR) },
	[CP_EV_RXR] = {
		DASH, DASH, TO(CLOSED, 0), TO(STOPPED, 0), TO(CLOSING, 0), TO(STOPPING, 0),
		TO(REQ_SENT, 0), TO(ACK_RCVD, 0), TO(ACK_SENT, 0), TO(OPENED, CP_SER) },
};
/* clang-format on */

static const char *const state_names[CP_STATES] = { "Initial",	"Starting", "Closed",	"Stopped",
						    "Closing",	"Stopping", "Req-Sent", "Ack-Rcvd",
						    "Ack-Sent", "Opened" };

static const char *const event_names[CP_EVENTS] = { "Up",   "Down", "Open", "Close", "TO+", "TO-",
						    "RCR+", "RCR-", "RCA",  "RCN",   "RTR", "RTA",
						    "RUC",  "RXJ+", "RXJ-", "RXR" };

static const struct cp_ops *const all_ops[CP_KINDS] = { &lcp_ops, &ipcp_ops, &ipv6cp_ops,
							&ccp_ops };

static const struct {
	uint32_t req, term;
} out_bits[CP_KINDS] = { { OUT_LCP_REQ, OUT_LCP_TERM },
			 { OUT_IPCP_REQ, OUT_IPCP_TERM },
			 { OUT_IPV6CP_REQ, OUT_IPV6CP_TERM },
			 { OUT_CCP_REQ, OUT_CCP_TERM } };

const struct cp_ops *cp_ops(const struct cp *cp)
{
	return all_ops[cp->kind];
}

const char *cp_state_name(enum cp_state state)
{
	return state_names[state];
}

void cp_init(struct cp *cp, enum cp_kind kind)
{
	memset(cp, 0, sizeof(*cp));
	cp->kind = (uint8_t)kind;
	cp->restart_at = CP_NEVER;
	cp->renew = true;
}

/* The states in which the restart timer runs: those with TO events (RFC 1661 4.1). */
static bool timer_runs(enum cp_state state)
{
	return cp_table[CP_EV_TO_PLUS][state].next != CP_ILLEGAL;
}

static void trace_state(struct ppp *e, const struct link *l, const struct cp *cp, unsigned from,
			enum cp_event event)
{
	char words[64];
	size_t n = 0;
	const char *parts[] = { cp_ops(cp)->name,	": ",	state_names[from], " -> ",
				state_names[cp->state], " on ", event_names[event] };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t k = strlen(parts[i]);

		memcpy(words + n, parts[i], k);
		n += k;
	}
	trace_bytes(e->trace, TRACE_PPP_STATE, e->now, l->handle, cp_ops(cp)->proto, 0, words, n);
}

static void start_timer(struct ppp *e, struct link *l, struct cp *cp)
{
	cp->restart_at = mono_add(e->now, l->profile->p.restart_us).us;
	if (cp->restarts > 0)
		cp->restarts--;
}

static void send_request(struct ppp *e, struct link *l, struct cp *cp)
{
	if (cp->renew || cp->answered)
		cp->req_id = ++cp->next_id;
	cp->renew = cp->answered = false;
	start_timer(e, l, cp);
	l->out &= ~out_bits[cp->kind].term;
	link_send(e, l, out_bits[cp->kind].req);
}

static void send_terminate(struct ppp *e, struct link *l, struct cp *cp, bool first)
{
	if (first)
		cp->req_id = ++cp->next_id;
	cp->renew = true;
	start_timer(e, l, cp);
	l->out &= ~out_bits[cp->kind].req;
	link_send(e, l, out_bits[cp->kind].term);
}

static uint32_t now_ms(const struct ppp *e)
{
	return (uint32_t)(e->now.us / US_MS);
}

/* A number by which to know a request again. */
static uint32_t hash_of(const struct ppp *e, const uint8_t *p, size_t len)
{
	return (uint32_t)siphash(e->key, p, len);
}

static void send_ack(struct ppp *e, struct link *l, struct cp *cp)
{
	cp_ops(cp)->accept(e, l, &e->peer);
	cp->naks = cp->refusals = 0;
	cp->acked_id = e->in.id;
	cp->acked_hash = hash_of(e, e->in.body, e->in.body_len);
	reply_put(e, l, cp_ops(cp)->proto, CP_CONF_ACK, e->in.id, e->in.body, e->in.body_len);
}

static void send_nak(struct ppp *e, struct link *l, struct cp *cp)
{
	/* Sent again because our Nak was lost, a request is still the same one (RFC 1661 4.6). */
	bool again = cp->naks && cp->naked_id == e->in.id;

	if (e->answer_code == CP_CONF_NAK && !again && cp->naks < UINT8_MAX)
		cp->naks++;
	if (e->answer_code == CP_CONF_NAK)
		cp->naked_id = e->in.id;
	if (cp->refusals < UINT8_MAX)
		cp->refusals++;
	reply_put(e, l, cp_ops(cp)->proto, e->answer_code, e->in.id, e->answer, e->answer_len);
}

static size_t our_options(const struct ppp *e, const struct link *l, const struct cp *cp,
			  uint8_t *buf, size_t cap)
{
	struct wcur c = wcur_of(buf, cap);

	cp_ops(cp)->request(e, l, &c);
	return c.len;
}

static void do_sends(struct ppp *e, struct link *l, struct cp *cp, unsigned actions, unsigned from)
{
	uint16_t proto = cp_ops(cp)->proto;

	if (actions & CP_SCR)
		send_request(e, l, cp);
	/*
	 * The request must reach the peer before our answer. The other way round, a peer in
	 * Ack-Sent opens by our Ack and takes our request for a renegotiation; its own request then
	 * comes behind its Ack to us, and the two go on like this for ever.
	 */
	if ((actions & CP_SCR) && (actions & (CP_SCA | CP_SCN))) {
		uint8_t ours[OPTIONS_MAX];
		size_t n = our_options(e, l, cp, ours, sizeof(ours));

		reply_put(e, l, proto, CP_CONF_REQ, cp->req_id, ours, n);
		l->out &= ~out_bits[cp->kind].req;
	}
	if (actions & CP_SCA)
		send_ack(e, l, cp);
	if (actions & CP_SCN)
		send_nak(e, l, cp);
	if (actions & CP_STR)
		send_terminate(e, l, cp, from != CP_CLOSING && from != CP_STOPPING);
	if (actions & CP_STA)
		reply_put(e, l, proto, CP_TERM_ACK, e->in.id, NULL, 0);
	if (actions & CP_SCJ)
		reply_put(e, l, proto, CP_CODE_REJ, ++cp->next_id, e->in.bytes, e->in.len);
	if (actions & CP_SER) {
		uint8_t *echo = e->answer;
		size_t n = e->in.body_len < sizeof(e->answer) ? e->in.body_len : sizeof(e->answer);
		struct wcur c = wcur_of(echo, sizeof(e->answer));

		wcur_u32(&c, l->magic);
		wcur_bytes(&c, e->in.body + 4, n - 4);
		reply_put(e, l, proto, LCP_ECHO_REP, e->in.id, echo, n);
	}
}

void cp_event(struct ppp *e, struct link *l, struct cp *cp, enum cp_event event)
{
	const struct cp_ops *ops = cp_ops(cp);
	unsigned from = cp->state;
	const struct cp_cell *cell = &cp_table[event][from];
	unsigned actions = cell->actions;

	if (cell->next == CP_ILLEGAL) {
		trace_words(e, l, TRACE_PPP_ILLEGAL, ops->proto, event, event_names[event]);
		return;
	}
	cp->state = cell->next;
	if (cp->state != from)
		trace_state(e, l, cp, from, event);
	if (!timer_runs(cp->state))
		cp->restart_at = CP_NEVER;
	if (cp->state != CP_ACK_RCVD)
		cp->held = false;
	/* The passive option: silence of the peer is not the end (RFC 1661 4.2, Stopped). */
	if (event == CP_EV_TO_MINUS && from >= CP_REQ_SENT && cp->kind == CP_LCP &&
	    l->profile->p.passive)
		actions &= ~(unsigned)CP_TLF;

	if (actions & CP_IRC)
		cp->restarts = (uint8_t)(actions & CP_STR ? l->profile->p.max_terminate
							  : l->profile->p.max_configure);
	if (actions & CP_TLD)
		ops->down(e, l);
	/* A negotiation begins: our wishes as configured, counters at zero. */
	if ((actions & CP_SCR) && (from < CP_CLOSING || from == CP_OPENED)) {
		if (!(actions & CP_IRC))
			cp->restarts = (uint8_t)l->profile->p.max_configure;
		cp->renew = true;
		cp->naks = cp->refusals = cp->naks_in = cp->refused = 0;
		ops->reset(e, l);
	}
	if (actions & CP_ZRC) {
		cp->restarts = 0;
		cp->restart_at = mono_add(e->now, l->profile->p.restart_us).us;
	}
	do_sends(e, l, cp, actions, from);
	if (actions & CP_TLU) {
		cp->opened = true;
		cp->opened_ms = now_ms(e);
		cp->repeats = 0;
		l->out &= ~out_bits[cp->kind].req;
		ops->up(e, l);
	}
	if (actions & CP_TLF)
		ops->finished(e, l);
}

void cp_timeout(struct ppp *e, struct link *l, struct cp *cp)
{
	memset(&e->in, 0, sizeof(e->in));
	cp_event(e, l, cp, cp->restarts > 0 ? CP_EV_TO_PLUS : CP_EV_TO_MINUS);
}

void cp_build_request(const struct ppp *e, const struct link *l, const struct cp *cp,
		      struct wcur *c)
{
	size_t at = c->len;

	wcur_u8(c, CP_CONF_REQ);
	wcur_u8(c, cp->req_id);
	wcur_u16(c, 0);
	cp_ops(cp)->request(e, l, c);
	wcur_patch_u16(c, at + 2, (uint16_t)(c->len - at));
}

void cp_build_terminate(const struct link *l, const struct cp *cp, struct wcur *c)
{
	size_t at = c->len;

	wcur_u8(c, CP_TERM_REQ);
	wcur_u8(c, cp->req_id);
	wcur_u16(c, 0);
	if (cp->kind == CP_LCP && l->cause != ADIT_CAUSE_NONE) {
		const char *text = cause_text((enum adit_cause)l->cause);

		wcur_bytes(c, text, strlen(text));
	}
	wcur_patch_u16(c, at + 2, (uint16_t)(c->len - at));
}

/* Options must fill the packet exactly, each at least its own header (RFC 1661 6). */
static bool options_fit(const uint8_t *p, size_t len)
{
	struct rcur c = rcur_of(p, len);

	while (!c.bad && rcur_left(&c) > 0) {
		uint8_t n;

		rcur_u8(&c);
		n = rcur_u8(&c);
		if (n < 2)
			return false;
		rcur_take(&c, n - 2u);
	}
	return !c.bad;
}

/*
 * Check a request option by option (RFC 1661 5.2 to 5.4). Rejects win over Naks; after Max-Failure
 * Naks become Rejects and nothing is appended any more (section 4.6). An option that comes twice is
 * rejected: none of ours may. Leaves the answer in e->answer, the peer's values in e->peer.
 */
static enum cp_verdict check_request(struct ppp *e, struct link *l, struct cp *cp)
{
	const struct cp_ops *ops = cp_ops(cp);
	struct rcur c = rcur_of(e->in.body, e->in.body_len);
	struct wcur rej = wcur_of(e->answer, PPP_MRU_DEFAULT - 4);
	struct wcur nak = wcur_of(e->nak, PPP_MRU_DEFAULT - 4);
	bool give_up = cp->naks >= l->profile->p.max_failure;
	uint32_t seen[8] = { 0 };

	ops->begin(&e->peer);
	while (rcur_left(&c) > 0) {
		const uint8_t *option = c.p;
		uint8_t type = rcur_u8(&c), n = rcur_u8(&c);
		struct rcur value = rcur_sub(&c, n - 2u);
		size_t at = nak.len;
		enum cp_verdict v = CP_REJ;

		if (!(seen[type / 32] & 1u << type % 32))
			v = ops->option(e, l, &e->peer, type, value, &nak);
		seen[type / 32] |= 1u << type % 32;
		if (v == CP_NAK && give_up) {
			nak.len = at;
			v = CP_REJ;
		}
		if (v == CP_REJ && rej.cap - rej.len >= n)
			wcur_bytes(&rej, option, n);
		if (v != CP_ACK)
			trace_words(e, l, v == CP_REJ ? TRACE_PPP_OPT_REJ : TRACE_PPP_OPT_NAK,
				    ops->proto, type, ops->name);
	}
	if (rej.len > 0) {
		e->answer_code = CP_CONF_REJ;
		e->answer_len = rej.len;
		return CP_REJ;
	}
	if (!give_up)
		ops->missing(e, l, &e->peer, &nak);
	if (nak.len > 0) {
		memcpy(e->answer, nak.buf, nak.len);
		e->answer_code = CP_CONF_NAK;
		e->answer_len = nak.len;
		return CP_NAK;
	}
	return CP_ACK;
}

/* The Ack that would open this protocol waits for the owner (see ppp.h). */
static bool hold_ack(struct ppp *e, struct link *l, struct cp *cp)
{
	unsigned i = cp->kind;
	struct held *h;

	if (i == CP_LCP || i == CP_CCP || cp->state != CP_ACK_RCVD || (l->flags & F_PATH_READY) ||
	    e->in.body_len > sizeof(h->options))
		return false;
	h = link_held(e, l, cp->kind);
	if (!h)
		return true; /* the peer repeats it */
	cp_ops(cp)->accept(e, l, &e->peer);
	memcpy(h->options, e->in.body, e->in.body_len);
	h->len = (uint8_t)e->in.body_len;
	h->id = e->in.id;
	if (cp->held)
		return true;
	cp->held = true;
	cp->restart_at = CP_NEVER;
	trace_words(e, l, TRACE_PPP_HOLD, cp_ops(cp)->proto, 0, cp_ops(cp)->name);
	if (l->hold_at == CP_NEVER) {
		l->hold_at = mono_add(e->now, PPP_HOLD_US).us;
		link_tell(e, l, i == CP_IPCP ? NEWS_IPCP_READY : NEWS_IPV6CP_READY);
	}
	return true;
}

/* See "Additions" above. */
static bool is_repeat(struct ppp *e, const struct link *l, struct cp *cp)
{
	if (cp->state != CP_OPENED || e->in.id != cp->acked_id || cp->repeats >= PPP_REPEAT_MAX ||
	    !cp->opened || now_ms(e) - cp->opened_ms > PPP_REPEAT_US / US_MS ||
	    hash_of(e, e->in.body, e->in.body_len) != cp->acked_hash)
		return false;
	cp->repeats++;
	return true;
}

static enum ppp_input input_request(struct ppp *e, struct link *l, struct cp *cp)
{
	const struct cp_ops *ops = cp_ops(cp);
	enum cp_verdict v;

	if (!options_fit(e->in.body, e->in.body_len))
		return input_drop(e, l, ops->proto, e->in.len, "an option runs over the end");
	if (cp->state == CP_CLOSED || cp->state == CP_CLOSING || cp->state == CP_STOPPING) {
		cp_event(e, l, cp, CP_EV_RCR_PLUS);
		return PPP_IN_TAKEN;
	}
	if (cp->kind == CP_LCP && cp->state >= CP_REQ_SENT)
		l->flags &= ~(uint32_t)(F_PEER_TERM | F_TEXT_IS_WHY); /* it has changed its mind */
	if (is_repeat(e, l, cp)) {
		reply_put(e, l, ops->proto, CP_CONF_ACK, e->in.id, e->in.body, e->in.body_len);
		return PPP_IN_TAKEN;
	}
	if (cp->state == CP_OPENED && !link_renegotiates(e, l))
		return PPP_IN_TAKEN;
	if (cp->state == CP_OPENED && cp->kind == CP_CCP) {
		ccp_again(e, l);
		link_keep(l, CP_CCP, e->in.id, e->in.body, e->in.body_len);
		return PPP_IN_TAKEN;
	}
	v = check_request(e, l, cp);
	if (v == CP_ACK && hold_ack(e, l, cp))
		return PPP_IN_TAKEN;
	if (v != CP_ACK && cp->held) {
		cp->held = false;
		cp->restart_at = mono_add(e->now, l->profile->p.restart_us).us;
	}
	if (v != CP_ACK && cp->refusals >= 4 * l->profile->p.max_failure) {
		ops->hopeless(e, l, ADIT_CAUSE_NONE,
			      "the peer insists on options we cannot accept");
		return PPP_IN_TAKEN;
	}
	cp_event(e, l, cp, v == CP_ACK ? CP_EV_RCR_PLUS : CP_EV_RCR_MINUS);
	return PPP_IN_TAKEN;
}

void cp_release(struct ppp *e, struct link *l, struct cp *cp, const struct held *h)
{
	if (!cp->held)
		return;
	cp->held = false;
	cp->restart_at = mono_add(e->now, l->profile->p.restart_us).us;
	e->in = (struct packet){ h->options, h->options, h->len, h->len, CP_CONF_REQ, h->id };
	input_request(e, l, cp);
}

/* A reply must carry the identifier of the request under way, and be the first (RFC 1661 5.2). */
static bool reply_fits(const struct cp *cp, uint8_t id)
{
	return cp->state >= CP_STOPPED && id == cp->req_id && !cp->answered && !cp->renew;
}

static enum ppp_input input_ack(struct ppp *e, struct link *l, struct cp *cp)
{
	uint8_t ours[OPTIONS_MAX];
	size_t n = our_options(e, l, cp, ours, sizeof(ours));

	if (!reply_fits(cp, e->in.id))
		return input_drop(e, l, cp_ops(cp)->proto, e->in.len,
				  "Ack with another identifier than our request");
	if (n != e->in.body_len || memcmp(ours, e->in.body, n) != 0)
		return input_drop(e, l, cp_ops(cp)->proto, e->in.len,
				  "Ack with other options than our request");
	cp->answered = true;
	cp->naks_in = 0;
	cp_event(e, l, cp, CP_EV_RCA);
	return PPP_IN_TAKEN;
}

/* The rejected options must be ours, unchanged and in order (RFC 1661 5.4). */
static bool reject_fits(struct ppp *e, struct link *l, struct cp *cp)
{
	uint8_t ours[OPTIONS_MAX];
	size_t n = our_options(e, l, cp, ours, sizeof(ours)), at = 0;
	struct rcur c = rcur_of(e->in.body, e->in.body_len);

	while (rcur_left(&c) > 0) {
		const uint8_t *option = c.p;
		uint8_t len = option[1];

		while (at < n && (ours[at + 1] != len || memcmp(ours + at, option, len) != 0))
			at += ours[at + 1];
		if (at >= n)
			return false;
		at += len;
		rcur_take(&c, len);
	}
	return true;
}

static enum ppp_input input_refusal(struct ppp *e, struct link *l, struct cp *cp)
{
	const struct cp_ops *ops = cp_ops(cp);
	bool reject = e->in.code == CP_CONF_REJ, meant = reject;
	struct rcur c = rcur_of(e->in.body, e->in.body_len);

	if (!reply_fits(cp, e->in.id))
		return input_drop(e, l, ops->proto, e->in.len,
				  "refusal with another identifier than our request");
	if (e->in.body_len == 0 || !options_fit(e->in.body, e->in.body_len))
		return input_drop(e, l, ops->proto, e->in.len,
				  "refusal without well-formed options");
	if (reject && !reject_fits(e, l, cp))
		return input_drop(e, l, ops->proto, e->in.len,
				  "Reject of options we did not send, or out of order");
	if (cp->state < CP_REQ_SENT) {
		cp_event(e, l, cp, CP_EV_RCN);
		return PPP_IN_TAKEN;
	}
	while (rcur_left(&c) > 0 && l->phase != PH_TERMINATE) {
		uint8_t type = rcur_u8(&c), n = rcur_u8(&c);
		struct rcur value = rcur_sub(&c, n - 2u);

		if (reject)
			ops->rejected(e, l, type);
		else if (ops->naked(e, l, type, value))
			meant = true;
	}
	if (!meant)
		return input_drop(e, l, ops->proto, e->in.len,
				  "Nak of nothing we could ask otherwise");
	if (cp->state < CP_REQ_SENT) /* an option was indispensable: we are closing */
		return PPP_IN_TAKEN;
	cp->answered = true;
	if (++cp->naks_in > l->profile->p.max_configure) {
		ops->hopeless(e, l, ADIT_CAUSE_NONE, "the peer refuses whatever we ask for");
		return PPP_IN_TAKEN;
	}
	cp_event(e, l, cp, CP_EV_RCN);
	return PPP_IN_TAKEN;
}

/*
 * Code-Reject (RFC 1661 5.6). Codes 1 to 7 are indispensable; of the others we only ever send
 * Echo-Request and Protocol-Reject and can do without.
 */
static enum ppp_input input_code_reject(struct ppp *e, struct link *l, struct cp *cp)
{
	struct rcur c = rcur_of(e->in.body, e->in.body_len);
	uint8_t code = rcur_u8(&c);

	rcur_take(&c, 3);
	if (c.bad)
		return input_drop(e, l, cp_ops(cp)->proto, e->in.len,
				  "Code-Reject without the rejected packet");
	if (code >= CP_CONF_REQ && code <= CP_CODE_REJ) {
		if (cp->kind == CP_LCP)
			link_ending(e, l, ADIT_CAUSE_PROTOCOL_ERROR,
				    "the peer does not know the basic codes of LCP");
		cp_event(e, l, cp, CP_EV_RXJ_MINUS);
		return PPP_IN_TAKEN;
	}
	if (cp->kind == CP_LCP && code == LCP_ECHO_REQ)
		l->flags |= F_NO_ECHO;
	cp_event(e, l, cp, CP_EV_RXJ_PLUS);
	return PPP_IN_TAKEN;
}

static enum ppp_input input_code(struct ppp *e, struct link *l, struct cp *cp)
{
	const struct cp_ops *ops = cp_ops(cp);
	const char *why = NULL;

	switch (e->in.code) {
	case CP_CONF_REQ:
		return input_request(e, l, cp);
	case CP_CONF_ACK:
		return input_ack(e, l, cp);
	case CP_CONF_NAK:
	case CP_CONF_REJ:
		return input_refusal(e, l, cp);
	case CP_TERM_REQ:
		if (cp->kind == CP_LCP) {
			l->flags |= F_PEER_TERM;
			link_says(e, l, e->in.body, e->in.body_len, false);
			if (cp->state == CP_OPENED)
				link_ending(e, l, ADIT_CAUSE_NONE, NULL);
		}
		cp_event(e, l, cp, CP_EV_RTR);
		return PPP_IN_TAKEN;
	case CP_TERM_ACK:
		if (cp->state == CP_OPENED && !link_renegotiates(e, l))
			return PPP_IN_TAKEN;
		cp_event(e, l, cp, CP_EV_RTA);
		return PPP_IN_TAKEN;
	case CP_CODE_REJ:
		return input_code_reject(e, l, cp);
	default:
		if (!ops->code || !ops->code(e, l, &why))
			cp_event(e, l, cp, CP_EV_RUC);
		return why ? input_drop(e, l, ops->proto, e->in.len, why) : PPP_IN_TAKEN;
	}
}

enum ppp_input cp_input(struct ppp *e, struct link *l, struct cp *cp, const uint8_t *p, size_t len)
{
	struct rcur c = rcur_of(p, len);
	uint8_t code = rcur_u8(&c), id = rcur_u8(&c);
	uint16_t n = rcur_u16(&c);

	/* Octets behind the length are padding (RFC 1661 5). */
	if (c.bad || n < 4 || n > len)
		return input_drop(e, l, cp_ops(cp)->proto, len, "Length does not fit the packet");
	if (cp->state <= CP_STARTING)
		return input_drop(e, l, cp_ops(cp)->proto, len, "not in this phase");
	trace_packet(e, l, false, cp_ops(cp)->proto, p, n);
	e->in = (struct packet){ p, p + 4, n, n - 4u, code, id };
	return input_code(e, l, cp);
}
