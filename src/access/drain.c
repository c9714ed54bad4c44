/* SPDX-License-Identifier: MIT
 *
 * Emptying an LNS before it is stopped. Newcomers are refused (StopCCN with result 6, RFC 2661
 * 4.4.2; in tunnels that are there, CDN with result 3), and what is up is ended at a chosen pace,
 * so that ten thousand clients do not dial somebody else within one second. The state is part of
 * the STATE record: a restart goes on with it.
 *
 * Sessions are taken in the order of their places; one that comes while its tunnel drains cannot
 * be. Tunnels that have none any more are closed at the same pace: clients mostly have one each.
 */
#include "internal.h"

#define TICK_US (100 * US_MS)

/* Close up to `most` tunnels without sessions. */
static void close_some(struct access *a, struct mono now, uint32_t most)
{
	adit_handle h = a->drain_tunnel;
	uint32_t n = 0;

	while (n < most && (h = pool_next(a->tunnels, h))) {
		struct acc_tunnel *t = pool_get(a->tunnels, h);

		a->drain_tunnel = h;
		if (t->sessions || t->closing || !t->l2tp)
			continue;
		acc_tunnel_close(a, now, t, L2TP_STOP_SHUTDOWN, ADIT_CAUSE_SHUTDOWN,
				 cause_text(ADIT_CAUSE_SHUTDOWN));
		n++;
	}
	if (n < most)
		a->drain_tunnel = 0;
}

/* Those that dial stop dialling; a session they have is ended in its turn. */
static void stop_dials(struct access *a, struct mono now)
{
	for (size_t i = 0; i < a->dial_count; i++) {
		struct acc_dial *d = a->dials[i];

		d->wanted = d->asked = false;
		if (!d->session)
			acc_dial_disconnect(a, now, d, ADIT_CAUSE_SHUTDOWN);
	}
}

int acc_drain(struct access *a, struct mono now, bool on, uint32_t rate, bool stop)
{
	if (a->ended)
		return 2;
	a->drain_stop = stop;
	a->state_dirty = true;
	a->drain = on;
	a->shutdown = on;
	a->drain_rate = rate;
	a->drain_at = on && rate ? now : MONO_NEVER;
	a->drain_pos = a->drain_tunnel = 0;
	a->drain_part = 0;
	if (on) {
		stop_dials(a, now);
		return 0;
	}
	for (size_t i = 0; i < a->dial_count; i++) {
		struct acc_dial *d = a->dials[i];

		if (d->c->automatic && !d->stopped && !d->gone)
			(void)acc_dial_connect(a, now, d);
	}
	return 0;
}

/* End up to `most` sessions. */
static void end_some(struct access *a, struct mono now, uint32_t most)
{
	adit_handle h = a->drain_pos;
	uint32_t n = 0;

	while (n < most && (h = pool_next(a->sessions, h))) {
		struct acc_session *s = pool_get(a->sessions, h);

		a->drain_pos = h;
		if (s->ending)
			continue;
		acc_session_hangup(a, now, s, ADIT_CAUSE_SHUTDOWN, NULL);
		n++;
	}
	if (n < most)
		a->drain_pos = 0; /* once more from the start: a handle may have come after it */
}

void acc_drain_expire(struct access *a, struct mono now)
{
	uint64_t per_tick;

	if (!a->drain || !mono_due(a->drain_at, now))
		return;
	per_tick = (uint64_t)a->drain_rate * TICK_US + a->drain_part;
	a->drain_part = (uint32_t)(per_tick % US_S);
	close_some(a, now, (uint32_t)(per_tick / US_S));
	end_some(a, now, (uint32_t)(per_tick / US_S));
	a->drain_at = pool_count(a->tunnels) ? mono_add(now, TICK_US) : MONO_NEVER;
}
