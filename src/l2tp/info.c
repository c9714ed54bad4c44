/* SPDX-License-Identifier: MIT
 *
 * Profiles, and looking at what is there (see include/adit/l2tp.h).
 */
#include "l2tp/internal.h"

/* ---- profiles ---- */

static const struct l2tp_params params_default = {
	.vendor_name = "adit",
	.receive_window = 16,
	.framing = 3,
	.hello_us = 60 * US_S,
	.retry_first_us = US_S,
	.retry_cap_us = 8 * US_S,
	.retry_max = 5,
	.setup_us = 60 * US_S,
	.empty_us = -1,
	.max_sessions = 65535,
};

static bool params_good(const struct l2tp_params *p)
{
	size_t host = p->host_name ? strlen(p->host_name) : 0;

	if (host == 0 || host >= L2TP_NAME_MAX)
		return false;
	if (p->vendor_name && strlen(p->vendor_name) >= L2TP_NAME_MAX)
		return false;
	if (p->peer_name && strlen(p->peer_name) >= L2TP_NAME_MAX)
		return false;
	if (p->secret_len > L2TP_SECRET_MAX || (p->secret_len && !p->secret))
		return false;
	if (p->challenge && !p->secret_len)
		return false;
	if (p->retry_first_us < 0 || p->setup_us < 0 || p->max_sessions > 65535)
		return false;
	/* 5.8: a cap on the wait must not be below 8 seconds. */
	return p->retry_cap_us == 0 || p->retry_cap_us >= 8 * US_S;
}

static void fill_defaults(struct l2tp_params *p)
{
	const struct l2tp_params *d = &params_default;

	if (!p->vendor_name || !p->vendor_name[0])
		p->vendor_name = d->vendor_name;
	if (!p->receive_window)
		p->receive_window = d->receive_window;
	if (!p->framing)
		p->framing = d->framing;
	if (!p->hello_us)
		p->hello_us = d->hello_us;
	if (!p->retry_first_us)
		p->retry_first_us = d->retry_first_us;
	if (!p->retry_cap_us)
		p->retry_cap_us = d->retry_cap_us;
	if (!p->retry_max)
		p->retry_max = d->retry_max;
	if (!p->setup_us)
		p->setup_us = d->setup_us;
	if (!p->empty_us)
		p->empty_us = d->empty_us;
	if (!p->max_sessions)
		p->max_sessions = d->max_sessions;
}

struct l2tp_profile *l2tp_profile_new(const struct l2tp_params *params, int *ret_err)
{
	struct l2tp_profile *p;

	if (!params_good(params)) {
		*ret_err = -EINVAL;
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	p->refs = 1;
	p->p = *params;
	fill_defaults(&p->p);
	memcpy(p->host_name, p->p.host_name, strlen(p->p.host_name) + 1);
	memcpy(p->vendor_name, p->p.vendor_name, strlen(p->p.vendor_name) + 1);
	if (p->p.secret_len)
		memcpy(p->secret_bytes, p->p.secret, p->p.secret_len);
	p->secret = (struct l2tp_secret){ p->secret_bytes, p->p.secret_len };
	if (p->p.peer_name && p->p.peer_name[0]) {
		memcpy(p->peer_name, p->p.peer_name, strlen(p->p.peer_name) + 1);
		p->p.peer_name = p->peer_name;
	} else {
		p->p.peer_name = NULL;
	}
	p->p.host_name = p->host_name;
	p->p.vendor_name = p->vendor_name;
	p->p.secret = p->secret_bytes;
	return p;
}

struct l2tp_profile *l2tp_profile_ref(struct l2tp_profile *p)
{
	p->refs++;
	return p;
}

void l2tp_profile_unref(struct l2tp_profile *p)
{
	if (!p || --p->refs)
		return;
	bytes_wipe(p->secret_bytes, sizeof(p->secret_bytes));
	free(p);
}

/* ---- what is there ---- */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

bool l2tp_tunnel_info(const struct l2tp *l, adit_handle h, struct l2tp_tunnel_info *ret)
{
	const struct tunnel *t = pool_get(l->tunnels, h);

	if (!t || t->thing.finished)
		return false;
	*ret = (struct l2tp_tunnel_info){
		.handle = t->handle,
		.owner = t->owner,
		.state = (enum l2tp_tunnel_state)t->state,
		.local_id = t->local_id,
		.remote_id = t->remote_id,
		.path = t->path,
		.initiator = t->initiator,
		.host_name = or_empty(t->host_name),
		.vendor_name = or_empty(t->vendor_name),
		.firmware = t->firmware,
		.bearer = t->peer_bearer,
		.quirks = t->quirks,
		.quirks_used = t->quirks_used,
		.sessions = t->session_count - t->orphans,
		.ns = (uint16_t)t->rel.ns,
		.nr = (uint16_t)t->rel.nr,
		.peer_window = (uint16_t)t->rel.p.peer_window,
		.cwnd = (uint16_t)t->rel.cwnd,
		.ssthresh = (uint16_t)t->rel.ssthresh,
		.queued = t->queued,
		.in_flight = rel_held_count(&t->rel),
		.retransmits = t->rel.resent,
		.sent = t->rel.sent,
		.received = t->rel.received,
		.duplicates = t->rel.duplicates,
		.since = t->since,
		.heard = t->heard,
		.rtt_us = t->rel.rtt_us,
	};
	return true;
}

static bool shown(const struct session *s)
{
	return s->tunnel && !s->tunnel->thing.finished && !s->thing.finished && !s->orphan;
}

bool l2tp_session_info(const struct l2tp *l, adit_handle h, struct l2tp_session_info *ret)
{
	const struct session *s = pool_get(l->sessions, h);
	const struct tunnel *t;

	if (!s || !shown(s))
		return false;
	t = s->tunnel;
	*ret = (struct l2tp_session_info){
		.handle = s->handle,
		.tunnel = t->handle,
		.owner = s->owner,
		.state = (enum l2tp_session_state)s->state,
		.local_id = s->local_id,
		.remote_id = s->remote_id,
		.local_tunnel_id = t->local_id,
		.remote_tunnel_id = t->remote_id,
		.initiator = s->initiator,
		.outgoing = s->outgoing,
		.send_seq = s->send_seq,
		.require_seq = session_needs_seq(s),
		.length_bit = t->profile && t->profile->p.length_bit,
		.serial = s->serial,
		.data_ns = s->data_ns,
		.data_nr = s->data_nr,
		.path = t->path,
		.since = s->since,
		.tx_speed = s->tx_speed,
		.rx_speed = s->rx_speed,
		.framing = s->framing,
		.accm = s->line && s->line->accm,
		.accm_send = s->line && s->line->accm ? s->line->send : UINT32_MAX,
		.accm_recv = s->line && s->line->accm ? s->line->recv : UINT32_MAX,
		.proxy = s->proxy ? s->proxy->bytes : NULL,
		.proxy_len = s->proxy ? s->proxy->len : 0,
	};
	if (s->line)
		memcpy(ret->errors, s->line->got, sizeof(ret->errors));
	return true;
}

adit_handle l2tp_tunnel_next(const struct l2tp *l, adit_handle prev)
{
	adit_handle h = pool_next(l->tunnels, prev);

	while (h && ((struct tunnel *)pool_get(l->tunnels, h))->thing.finished)
		h = pool_next(l->tunnels, h);
	return h;
}

static adit_handle next_in(const struct l2tp *l, const struct tunnel *t, adit_handle prev)
{
	const struct session *s = prev ? pool_get(l->sessions, prev) : NULL;
	struct list *it;

	if (!t || (prev && (!s || s->tunnel != t)))
		return 0;
	for (it = s ? s->link.next : t->sessions.next; it != &t->sessions; it = it->next) {
		s = container_of(it, struct session, link);
		if (shown(s))
			return s->handle;
	}
	return 0;
}

adit_handle l2tp_session_next(const struct l2tp *l, adit_handle tunnel, adit_handle prev)
{
	adit_handle h;

	if (tunnel)
		return next_in(l, pool_get(l->tunnels, tunnel), prev);
	h = pool_next(l->sessions, prev);
	while (h && !shown(pool_get(l->sessions, h)))
		h = pool_next(l->sessions, h);
	return h;
}

void l2tp_counters(const struct l2tp *l, struct l2tp_counters *ret)
{
	*ret = l->count;
	ret->tunnels = pool_count(l->tunnels);
	ret->sessions = l->session_count;
	ret->halfopen = l->bound.open_count + l->bound.trusted_count;
	ret->memory = sizeof(*l) + pool_memory(l->tunnels) + pool_memory(l->sessions) + l->account;
}
