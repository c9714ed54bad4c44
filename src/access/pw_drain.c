/* SPDX-License-Identifier: MIT
 *
 * Pseudowires that end one after the other, as drain.c does it for sessions of PPP: nothing new is
 * opened or accepted, so many agreed sessions a second are ended with a CDN, and a connection that
 * carries none any more with a StopCCN, at the same pace; with it pseudowires end whose ids are
 * configured, since their peers learn it from nothing else.
 */
#include "pw_int.h"

#define TICK_US (100 * US_MS)

static bool agreed(const struct pww *w)
{
	return w->session && w->c && !w->c->fixed;
}

static void end_some(struct pw *p, struct mono now, uint32_t most)
{
	for (size_t i = 0; i < p->wire_count && most; i++) {
		struct pww *w = p->wires[i];

		if (!w->session)
			continue;
		pww_end(p, now, w, L2TP_CDN_ADMIN, ADIT_CAUSE_SHUTDOWN, NULL);
		most--;
	}
}

static bool needed(const struct pwt *t)
{
	list_for_each (it, &t->wires)
		if (agreed(container_of(it, struct pww, in_tunnel)))
			return true;
	return false;
}

/* Is there one that is not about to end? */
static bool open_there(const struct pw *p, const struct pwt *t)
{
	struct l2tp3_conn_info i;

	list_for_each (it, &t->conns) {
		const struct pwc *c = container_of(it, struct pwc, in);

		if (c->h && l2tp3_conn_info(p->l, c->h, &i) && i.state != L2TP3_CS_CLOSING &&
		    i.state != L2TP3_CS_LINGER)
			return true;
	}
	return false;
}

static void close_some(struct pw *p, struct mono now, uint32_t most)
{
	list_for_each_safe (it, &p->tunnels) {
		struct pwt *t = container_of(it, struct pwt, in);

		if (!most)
			break;
		if (needed(t) || !open_there(p, t))
			continue;
		pwt_close(p, now, t, ADIT_CAUSE_SHUTDOWN, NULL);
		most--;
	}
}

static bool any_left(const struct pw *p)
{
	list_for_each (it, &p->tunnels)
		if (!list_empty(&container_of(it, struct pwt, in)->conns))
			return true;
	return false;
}

void pw_drain(struct pw *p, struct mono now, bool on, uint32_t rate)
{
	p->drain = on;
	p->drain_rate = rate;
	p->drain_part = 0;
	p->drain_at = on && rate ? now : MONO_NEVER;
	if (on)
		return;
	for (size_t i = 0; i < p->wire_count; i++) {
		p->wires[i]->waiting = false;
		heap_clear(&p->wire_timers, &p->wires[i]->timer);
	}
	list_for_each_safe (it, &p->tunnels)
		pwt_advance(p, now, container_of(it, struct pwt, in));
	for (size_t i = 0; i < p->wire_count; i++)
		pww_advance(p, now, p->wires[i]);
}

void pw_drain_expire(struct pw *p, struct mono now)
{
	uint64_t per_tick;

	if (!p->drain || !mono_due(p->drain_at, now))
		return;
	per_tick = (uint64_t)p->drain_rate * TICK_US + p->drain_part;
	p->drain_part = (uint32_t)(per_tick % US_S);
	close_some(p, now, (uint32_t)(per_tick / US_S));
	end_some(p, now, (uint32_t)(per_tick / US_S));
	p->drain_at = any_left(p) ? mono_add(now, TICK_US) : MONO_NEVER;
}
