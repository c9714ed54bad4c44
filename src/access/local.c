/* SPDX-License-Identifier: MIT
 *
 * Addresses by router discovery (RFC 4861, RFC 4862) on sessions with IPv6: IPv6CP agrees on
 * interface identifiers only (RFC 5072 4.1), the prefix comes in a router advertisement.
 *
 * Server: the session's /64 is advertised as soon as the row is active, three times in all, later
 * every REPEAT_US so that no lifetime runs out, and in answer to solicitations. Client:
 * solicitations go out until an advertisement is heard, at growing intervals (RFC 7559 2); of what
 * it offers we take the first prefix for autonomous configuration, the default route and DNS.
 */
#include "internal.h"
#include "ip6/ra.h"

#define FIRST_GAP_US (3 * US_S)
#define RS_GAP_US    (4 * US_S)	   /* RFC 7559 2: IRT */
#define RS_DOUBLES   9		   /* then it stays: MRT is 3,600 s */
#define REPEAT_US    (1200 * US_S) /* below the 1,800 s of MaxRtrAdvInterval */
#define ROUTER_S     9000	   /* RFC 4861 6.2.1: the most AdvDefaultLifetime may be */
#define VALID_S	     86400
#define PREFERRED_S  14400
#define TIMES	     3

static void queue_out(struct access *a, struct acc_session *s, unsigned int bit)
{
	s->out_bits |= (uint8_t)bit;
	acc_queue_push(&a->out, &s->out);
}

void acc_local_start(struct access *a, struct mono now, struct acc_session *s)
{
	if (s->ra_started || !s->row_active || s->ending || !s->ip6)
		return;
	if (!s->dial && !s->len6)
		return; /* link-local only: nothing to advertise */
	s->ra_started = true;
	s->ra_left = s->dial ? 0 : TIMES;
	acc_local_expire(a, now, s);
	acc_session_timer(a, s);
}

/* IPv6CP closed: what was learnt is void, and all begins anew when it opens again. */
void acc_local_stop(struct access *a, struct acc_session *s)
{
	s->ra_started = s->ra_got = false;
	s->ra_at = MONO_NEVER;
	s->out_bits = 0;
	if (s->dial)
		s->dial->prefix6.len = 0;
	acc_session_timer(a, s);
}

/* Time for the next advertisement or solicitation. */
void acc_local_expire(struct access *a, struct mono now, struct acc_session *s)
{
	s->ra_at = MONO_NEVER;
	if (!s->ip6 || s->ending)
		return;
	if (!s->row_active) { /* after a restart: it is on its way */
		s->ra_at = mono_add(now, US_S);
		return;
	}
	if (s->dial) {
		if (s->ra_got)
			return;
		s->ra_at = mono_add(now, RS_GAP_US << s->ra_left);
		if (s->ra_left < RS_DOUBLES)
			s->ra_left++;
		queue_out(a, s, ACC_O_RS);
		trace(a->trace, TRACE_ACCESS_RS, now, s->key, s->ra_left, 0);
		return;
	}
	if (s->ra_left)
		s->ra_left--;
	s->ra_at = mono_add(now, s->ra_left ? FIRST_GAP_US : REPEAT_US);
	queue_out(a, s, ACC_O_RA);
	trace(a->trace, TRACE_ACCESS_RA, now, s->key, s->ra_left, 0);
}

static void take_prefix(struct access *a, struct mono now, struct acc_session *s,
			const struct ra *ra)
{
	struct acc_dial *d = s->dial;
	struct prefix p = { .addr.family = AF_INET6, .len = 64 };
	uint32_t upper;
	struct rcur c;

	for (unsigned int i = 0; i < ra->prefixes; i++) {
		const struct ra_prefix *it = &ra->prefix[i];

		if (it->len != 64 || !it->autonomous || it->valid_s == 0)
			continue;
		memcpy(p.addr.ip, it->ip, 8);
		c = rcur_of(p.addr.ip, 8);
		upper = rcur_u32(&c);
		trace_put(a->trace, TRACE_ACCESS_RA_TAKEN, now, s->key, upper, rcur_u32(&c), 64, 0,
			  NULL, 0);
		d->prefix6 = p;
		return;
	}
}

static void take_ra(struct access *a, struct mono now, struct acc_session *s, const struct ra *ra)
{
	struct acc_dial *d = s->dial;
	struct prefix before = d->prefix6;
	bool first = !s->ra_got;

	if (ra->router_s == 0)
		return;
	s->ra_got = true;
	s->ra_at = MONO_NEVER;
	acc_session_timer(a, s);
	take_prefix(a, now, s, ra);
	for (unsigned int i = 0; d->c->want_dns && i < ra->rdnss && i < 2; i++) {
		d->dns6[i] = (struct addr){ .family = AF_INET6 };
		memcpy(d->dns6[i].ip, ra->dns[i], 16);
	}
	if (!first && before.len == d->prefix6.len && addr_equal(&before.addr, &d->prefix6.addr))
		return;
	acc_session_dirty(a, s);
	acc_session_want_row(a, now, s);
	acc_dial_settled(a, d);
}

void acc_local_input(struct access *a, struct mono now, struct acc_session *s,
		     const uint8_t *packet, size_t len)
{
	uint8_t src[16];
	struct ra ra;

	if (!s->ip6 || s->ending)
		return;
	if (!s->dial) {
		if (s->row_active && s->len6 && ra_is_solicitation(packet, len, src))
			queue_out(a, s, ACC_O_RA);
	} else if (ra_parse(packet, len, &ra)) {
		take_ra(a, now, s, &ra);
	}
}

static size_t build_ra(const struct acc_session *s, uint8_t *buf, size_t cap)
{
	struct ra ra = { .hop_limit = 64, .router_s = ROUTER_S, .mtu = s->mtu, .prefixes = 1 };
	struct ra_prefix *p = &ra.prefix[0];

	ra_link_local(ra.src, s->our_iid);
	memcpy(ra.dst, ra_all_nodes, 16);
	if (s->mtu < 1280)
		ra.mtu = 0; /* RFC 8200 5: there is no such IPv6 link */
	memcpy(p->ip, s->prefix6, 8);
	p->len = 64;
	p->autonomous = true;
	p->valid_s = VALID_S;
	p->preferred_s = PREFERRED_S;
	ra.rdnss_s = ROUTER_S;
	for (int i = 0; i < 2; i++) {
		if (s->profile->dns6[i].family == AF_INET6)
			memcpy(ra.dns[ra.rdnss++], s->profile->dns6[i].ip, 16);
	}
	return ra_build(&ra, buf, cap);
}

/* The next packet of the session as a PPP frame, protocol first; 0 when there is none. */
size_t acc_local_output(struct acc_session *s, uint8_t *buf, size_t cap)
{
	struct wcur c = wcur_of(buf, cap);
	uint8_t src[16];
	size_t n = 0;

	wcur_u16(&c, PPP_PROTO_IPV6);
	if (s->out_bits & ACC_O_RA) {
		n = build_ra(s, buf + c.len, cap - c.len);
	} else if (s->out_bits & ACC_O_RS) {
		ra_link_local(src, s->our_iid);
		n = ra_solicit(src, buf + c.len, cap - c.len);
	}
	s->out_bits = 0;
	return n ? c.len + n : 0;
}
