/* SPDX-License-Identifier: MIT
 *
 * Reliable delivery of control messages, see reliable.h (RFC 2661 5.8, Appendix A and B).
 *
 * - Duplicates are recognised over half the number space and acknowledged again.
 * - Early messages are kept in a queue that our own window bounds.
 * - CWND starts at 1. Below SSTHRESH it grows by one for each message acknowledged, above by one
 *   for each CWND of them; never above the peer's window. A retransmission halves SSTHRESH and sets
 *   CWND to 1 (Appendix A).
 * - The head of the queue is sent again after 1, 2, 4, 8, 8 s; anything acknowledged starts the
 *   count anew. While the peer has not proved that it owns its address (`passive`) nothing is sent
 *   again by time: a stranger's one packet never draws more than one from us.
 */
#include "l2tp/reliable.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t dist(const struct rel *r, uint32_t from, uint32_t to)
{
	return (to - from) & r->p.modulus_mask;
}

static uint32_t half(const struct rel *r)
{
	return (r->p.modulus_mask >> 1) + 1;
}

static uint32_t next_of(const struct rel *r, uint32_t seq)
{
	return (seq + 1) & r->p.modulus_mask;
}

void rel_init(struct rel *r, const struct rel_params *p)
{
	*r = (struct rel){ .p = *p, .cwnd = 1, .ssthresh = p->peer_window, .rto = MONO_NEVER };
	r->wait_us = p->first_us;
}

static void msg_free(struct rel *r, struct rel_msg *m)
{
	r->bytes -= m->len + REL_OVERHEAD;
	*r->p.account -= sizeof(*m) + m->len;
	free(m);
}

static void early_free(struct rel *r, struct rel_early *e)
{
	*r->p.account -= sizeof(*e) + e->len;
	r->early_count--;
	free(e);
}

void rel_free(struct rel *r)
{
	rel_abandon(r);
	while (r->early) {
		struct rel_early *e = r->early;

		r->early = e->next;
		early_free(r, e);
	}
}

/* ---- receiving ---- */

enum rel_place rel_place(const struct rel *r, uint32_t ns)
{
	uint32_t ahead = dist(r, r->nr, ns);

	if (ahead == 0)
		return REL_NEXT;
	/* Last received and the 32767 before it are duplicates, the other half is ahead. */
	if (ahead >= half(r))
		return REL_DUPLICATE;
	return ahead < r->p.window ? REL_EARLY : REL_FAR;
}

static void grow(struct rel *r, uint32_t acked)
{
	while (acked--) {
		if (r->cwnd >= r->p.peer_window)
			return;
		if (r->cwnd < r->ssthresh) {
			r->cwnd++;
		} else if (++r->grown >= r->cwnd) {
			r->cwnd++;
			r->grown = 0;
		}
	}
}

static void measure(struct rel *r, struct mono now, const struct rel_msg *m)
{
	int64_t rtt = now.us - m->at.us;

	/* A message that was sent twice does not tell which copy was answered (Karn). */
	if (m->copies != 1 || rtt < 0)
		return;
	r->rtt_us = r->rtt_us ? r->rtt_us + (rtt - r->rtt_us) / 8 : (rtt ? rtt : 1);
}

/* The head is waited for from now on, or nothing is. */
static void arm(struct rel *r, struct mono now)
{
	r->rto = r->passive || !r->first ? MONO_NEVER : mono_add(now, r->wait_us);
}

bool rel_ack(struct rel *r, struct mono now, uint32_t nr, uint32_t *ret_acked)
{
	uint32_t acked = dist(r, r->una, nr);

	*ret_acked = 0;
	if (acked == 0 || acked >= half(r))
		return true;
	if (acked > dist(r, r->una, r->ns))
		return false;
	for (uint32_t i = 0; i < acked; i++) {
		struct rel_msg *m = r->first;

		measure(r, now, m);
		if (r->next == m) {
			r->next = m->next;
			r->nxt = next_of(r, r->nxt);
		}
		r->first = m->next;
		if (!r->first)
			r->last = NULL;
		msg_free(r, m);
		r->una = next_of(r, r->una);
	}
	grow(r, acked);
	r->tries = 0;
	r->wait_us = r->p.first_us;
	arm(r, now);
	*ret_acked = acked;
	return true;
}

void rel_accept(struct rel *r)
{
	r->nr = next_of(r, r->nr);
	r->received++;
	r->ack_due = true;
}

void rel_again(struct rel *r)
{
	r->ack_due = true;
}

int rel_hold(struct rel *r, uint32_t ns, uint32_t session, const uint8_t *bytes, uint32_t len)
{
	struct rel_early **at = &r->early, *e;
	uint32_t ahead = dist(r, r->nr, ns);

	while (*at && dist(r, r->nr, (*at)->seq) < ahead)
		at = &(*at)->next;
	if (*at && (*at)->seq == ns)
		return 1;
	e = malloc(sizeof(*e) + len);
	if (!e)
		return -ENOMEM;
	*e = (struct rel_early){ .next = *at, .seq = ns, .session = session, .len = len };
	memcpy(e->bytes, bytes, len);
	*at = e;
	r->early_count++;
	*r->p.account += sizeof(*e) + len;
	return 0;
}

struct rel_early *rel_held(const struct rel *r)
{
	return r->early && r->early->seq == r->nr ? r->early : NULL;
}

void rel_held_done(struct rel *r)
{
	struct rel_early *e = r->early;

	r->early = e->next;
	early_free(r, e);
}

/* ---- sending ---- */

void rel_peer_window(struct rel *r, uint32_t window)
{
	/* At most half the number space may be under way, or duplicates look new. */
	if (window > r->p.modulus_mask >> 1)
		window = r->p.modulus_mask >> 1;
	r->p.peer_window = window;
	r->ssthresh = window;
	if (r->cwnd > window)
		r->cwnd = window;
}

bool rel_room(const struct rel *r, bool last)
{
	uint32_t held = rel_held_count(r);

	if (held == 0)
		return true;
	if (held >= r->p.peer_window || r->bytes >= r->p.bytes_max)
		return false;
	return last || held < r->cwnd;
}

int rel_push(struct rel *r, struct mono now, uint8_t type, uint32_t session, const uint8_t *bytes,
	     size_t len)
{
	struct rel_msg *m = malloc(sizeof(*m) + len);

	if (!m)
		return -ENOMEM;
	*m = (struct rel_msg){
		.seq = r->ns, .session = session, .len = (uint16_t)len, .type = type
	};
	memcpy(m->bytes, bytes, len);
	if (r->last)
		r->last->next = m;
	else
		r->first = m;
	r->last = m;
	if (!r->next)
		r->next = m;
	r->bytes += m->len + REL_OVERHEAD;
	*r->p.account += sizeof(*m) + len;
	r->ns = next_of(r, r->ns);
	if (r->first == m)
		arm(r, now);
	return 0;
}

void rel_abandon(struct rel *r)
{
	while (r->first) {
		struct rel_msg *m = r->first;

		r->first = m->next;
		msg_free(r, m);
	}
	r->last = r->next = NULL;
	r->una = r->nxt = r->ns;
	r->rto = MONO_NEVER;
	r->tries = 0;
	r->wait_us = r->p.first_us;
}

void rel_repeat(struct rel *r)
{
	r->nxt = r->una;
	r->next = r->first;
}

void rel_restart(struct rel *r, struct mono now)
{
	r->tries = 0;
	r->wait_us = r->p.first_us;
	arm(r, now);
}

/* New messages were let in by rel_room(); copies come back under the congestion window. */
static bool may_transmit(const struct rel *r)
{
	return r->next && (r->next->copies == 0 || dist(r, r->una, r->nxt) < r->cwnd);
}

bool rel_wants_output(const struct rel *r)
{
	return r->ack_due || may_transmit(r);
}

bool rel_output(struct rel *r, struct mono now, struct rel_out *ret)
{
	if (may_transmit(r)) {
		struct rel_msg *m = r->next;

		r->next = m->next;
		r->nxt = next_of(r, r->nxt);
		ret->msg = m;
		ret->ns = m->seq;
		ret->nr = r->nr;
		ret->again = m->copies > 0;
		if (!m->copies)
			m->at = now;
		if (m->copies < UINT8_MAX)
			m->copies++;
		if (ret->again)
			r->resent++;
		r->sent++;
		r->ack_due = false;
		return true;
	}
	if (!r->ack_due)
		return false;
	/* A ZLB carries the number of the next new message and uses none (B.2). */
	*ret = (struct rel_out){ .ns = r->ns, .nr = r->nr };
	r->ack_due = false;
	r->sent++;
	return true;
}

enum rel_expiry rel_expire(struct rel *r, struct mono now)
{
	if (!mono_due(r->rto, now))
		return REL_WAIT;
	if (r->tries >= r->p.retries) {
		r->rto = MONO_NEVER;
		return REL_LOST;
	}
	r->tries++;
	r->ssthresh = r->cwnd / 2 > 1 ? r->cwnd / 2 : 1;
	r->cwnd = 1;
	r->grown = 0;
	rel_repeat(r);
	r->wait_us = r->wait_us * 2 < r->p.cap_us ? r->wait_us * 2 : r->p.cap_us;
	arm(r, now);
	return REL_AGAIN;
}
