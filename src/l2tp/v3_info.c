/* SPDX-License-Identifier: MIT
 *
 * Profiles of L2TPv3 peers, and looking at what is there (see include/adit/l2tp3.h).
 */
#include "l2tp/v3_int.h"

/* ---- profiles ---- */

static bool name_good(const char *s)
{
	return !s || strlen(s) < L2TP_NAME_MAX;
}

static bool secrets_good(const struct l2tp3_params *p)
{
	for (int i = 0; i < L2TP3_SECRETS; i++) {
		if (p->secret[i].n > L2TP_SECRET_MAX || (p->secret[i].n && !p->secret[i].p))
			return false;
	}
	return p->secret[0].n || !p->secret[1].n;
}

static bool params_good(const struct l2tp3_params *p)
{
	if (!p->host_name || !p->host_name[0] || !name_good(p->host_name) ||
	    !name_good(p->vendor_name) || !name_good(p->peer_name) || !secrets_good(p))
		return false;
	if ((unsigned)p->digest > L2TP3_AUTH_SHA1)
		return false;
	/* 5.3: hidden only while messages are authenticated. */
	if (!p->secret[0].n && (p->challenge || p->hide || p->follow))
		return false;
	if (p->digest == L2TP3_AUTH_NONE && (p->hide || p->follow))
		return false;
	for (int i = 0; i < L2TP3_PW_TYPES_MAX; i++) {
		if (p->pw_types[i] && !pw_known(p->pw_types[i]))
			return false;
	}
	if (p->retry_first_us < 0 || p->setup_us < 0)
		return false;
	/* 4.2: a cap on the wait must not be below 8 seconds. */
	return p->retry_cap_us == 0 || p->retry_cap_us >= 8 * US_S;
}

static void fill_defaults(struct l2tp3_params *p)
{
	static const uint16_t all[] = { L2TP3_PW_VLAN, L2TP3_PW_ETHERNET, L2TP3_PW_PPP };

	if (!p->vendor_name || !p->vendor_name[0])
		p->vendor_name = "adit";
	if (!p->receive_window)
		p->receive_window = 16;
	if (!p->hello_us)
		p->hello_us = 60 * US_S;
	if (!p->retry_first_us)
		p->retry_first_us = US_S;
	if (!p->retry_cap_us)
		p->retry_cap_us = 8 * US_S;
	if (!p->retry_max)
		p->retry_max = 10;
	if (!p->retry_max_sccrq)
		p->retry_max_sccrq = p->retry_max;
	if (!p->setup_us)
		p->setup_us = 80 * US_S; /* eleven tries take 71 s */
	if (!p->empty_us)
		p->empty_us = -1;
	if (!p->pw_types[0])
		memcpy(p->pw_types, all, sizeof(all));
}

static void fill_caps(struct l2tp3_profile *p)
{
	struct wcur c = wcur_of(p->caps, sizeof(p->caps));

	for (int i = 0; i < L2TP3_PW_TYPES_MAX && p->p.pw_types[i]; i++)
		wcur_u16(&c, p->p.pw_types[i]);
	p->caps_len = (uint8_t)c.len;
}

static void fill_secrets(struct l2tp3_profile *p)
{
	enum l2tp3_digest digest =
		p->p.digest == L2TP3_AUTH_SHA1 ? L2TP3_DIGEST_SHA1 : L2TP3_DIGEST_MD5;
	struct l2tp_secret secrets[L2TP3_SECRETS];
	unsigned n = 0;

	for (int i = 0; i < L2TP3_SECRETS; i++) {
		size_t len = p->p.secret[i].n;

		if (len)
			memcpy(p->secret[i], p->p.secret[i].p, len);
		p->p.secret[i].p = p->secret[i];
		if (len)
			secrets[n++] = (struct l2tp_secret){ p->secret[i], len };
	}
	if (n)
		l2tp3_auth_set(&p->auth, secrets, n, digest);
}

static void fill_name(char to[L2TP_NAME_MAX], const char **name)
{
	if (!*name || !(*name)[0]) {
		*name = NULL;
		return;
	}
	memcpy(to, *name, strlen(*name) + 1);
	*name = to;
}

struct l2tp3_profile *l2tp3_profile_new(const struct l2tp3_params *params, int *ret_err)
{
	struct l2tp3_profile *p;

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
	fill_caps(p);
	fill_secrets(p);
	fill_name(p->host_name, &p->p.host_name);
	fill_name(p->vendor_name, &p->p.vendor_name);
	fill_name(p->peer_name, &p->p.peer_name);
	return p;
}

struct l2tp3_profile *l2tp3_profile_ref(struct l2tp3_profile *p)
{
	p->refs++;
	return p;
}

void l2tp3_profile_unref(struct l2tp3_profile *p)
{
	if (!p || --p->refs)
		return;
	bytes_wipe(p->secret, sizeof(p->secret));
	bytes_wipe(&p->auth, sizeof(p->auth));
	free(p);
}

/* ---- what is there ---- */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static enum l2tp3_auth_mode digest_of(const struct conn *c)
{
	enum l2tp3_auth_mode wanted = c->profile ? c->profile->p.digest : L2TP3_AUTH_AUTO;

	if (c->auth == CONN_AUTH_OFF)
		return L2TP3_AUTH_NONE;
	return wanted == L2TP3_AUTH_SHA1 ? L2TP3_AUTH_SHA1 : L2TP3_AUTH_MD5;
}

bool l2tp3_conn_info(const struct l2tp3 *l, adit_handle h, struct l2tp3_conn_info *ret)
{
	const struct conn *c = pool_get(l->conns, h);

	if (!c || c->thing.finished)
		return false;
	*ret = (struct l2tp3_conn_info){
		.handle = c->handle,
		.owner = c->owner,
		.state = (enum l2tp3_conn_state)c->state,
		.local_id = c->local_id,
		.remote_id = c->remote_id,
		.path = c->path,
		.over_ip = c->over_ip,
		.initiator = c->initiator,
		.authentic = c->auth == CONN_AUTH_ON && c->proved,
		.digest = digest_of(c),
		.secret_used = c->proved ? (uint8_t)(c->key + 1) : 0,
		.host_name = or_empty(c->host_name),
		.vendor_name = or_empty(c->vendor_name),
		.router_id = c->router_id,
		.quirks_used = c->quirks_used,
		.sessions = c->session_count - c->orphans,
		.ns = (uint16_t)c->rel.ns,
		.nr = (uint16_t)c->rel.nr,
		.peer_window = (uint16_t)c->rel.p.peer_window,
		.cwnd = (uint16_t)c->rel.cwnd,
		.ssthresh = (uint16_t)c->rel.ssthresh,
		.queued = c->queued,
		.in_flight = rel_held_count(&c->rel),
		.retransmits = c->rel.resent,
		.sent = c->rel.sent,
		.received = c->rel.received,
		.duplicates = c->rel.duplicates,
		.since = c->since,
		.heard = c->heard,
		.rtt_us = c->rel.rtt_us,
	};
	memcpy(ret->pw_types, c->pw_types, sizeof(ret->pw_types));
	return true;
}

static bool shown(const struct pw *s)
{
	return s->conn && !s->conn->thing.finished && !s->thing.finished && !s->orphan;
}

static void info_of(const struct pw *s, struct l2tp3_session_info *ret)
{
	const struct conn *c = s->conn;
	struct l2tp_bytes remote, local, group;

	pw_get_ends(s, &remote, &local, &group);
	*ret = (struct l2tp3_session_info){
		.handle = s->handle,
		.conn = c->handle,
		.owner = s->owner,
		.state = (enum l2tp3_session_state)s->state,
		.local_id = s->local_id,
		.remote_id = s->remote_id,
		.local_conn_id = c->local_id,
		.remote_conn_id = c->remote_id,
		.path = c->path,
		.over_ip = c->over_ip,
		.initiator = s->initiator,
		.outgoing = s->outgoing,
		.pw_type = s->type,
		.cookie_in_len = s->cookie_in_len,
		.cookie_out_len = s->cookie_out_len,
		.sublayer_in = s->sublayer_in,
		.sublayer_out = s->sublayer_out,
		.seq_in = s->seq_in,
		.seq_out = s->seq_out,
		.data_ns = s->data_ns,
		.data_nr = s->data_nr,
		.local_status = s->local_status,
		.remote_status = s->remote_status,
		.mtu = s->peer_mtu,
		.serial = s->serial,
		.remote_end_id = remote.p,
		.remote_end_id_len = (uint8_t)remote.n,
		.since = s->since,
	};
	memcpy(ret->cookie_in, s->cookie_in, sizeof(ret->cookie_in));
	memcpy(ret->cookie_out, s->cookie_out, sizeof(ret->cookie_out));
}

bool l2tp3_session_info(const struct l2tp3 *l, adit_handle h, struct l2tp3_session_info *ret)
{
	const struct pw *s = pool_get(l->sessions, h);

	if (!s || !shown(s))
		return false;
	info_of(s, ret);
	if (s->line) {
		ret->tx_speed = s->line->peer_tx_speed;
		ret->rx_speed = s->line->peer_rx_speed;
		memcpy(ret->errors, s->line->got, sizeof(ret->errors));
	}
	return true;
}

adit_handle l2tp3_conn_next(const struct l2tp3 *l, adit_handle prev)
{
	adit_handle h = pool_next(l->conns, prev);

	while (h && ((struct conn *)pool_get(l->conns, h))->thing.finished)
		h = pool_next(l->conns, h);
	return h;
}

static adit_handle next_in(const struct l2tp3 *l, const struct conn *c, adit_handle prev)
{
	const struct pw *s = prev ? pool_get(l->sessions, prev) : NULL;
	struct list *it;

	if (!c || (prev && (!s || s->conn != c)))
		return 0;
	for (it = s ? s->link.next : c->sessions.next; it != &c->sessions; it = it->next) {
		s = container_of(it, struct pw, link);
		if (shown(s))
			return s->handle;
	}
	return 0;
}

adit_handle l2tp3_session_next(const struct l2tp3 *l, adit_handle conn, adit_handle prev)
{
	adit_handle h;

	if (conn)
		return next_in(l, pool_get(l->conns, conn), prev);
	h = pool_next(l->sessions, prev);
	while (h && !shown(pool_get(l->sessions, h)))
		h = pool_next(l->sessions, h);
	return h;
}

void l2tp3_counters(const struct l2tp3 *l, struct l2tp3_counters *ret)
{
	*ret = l->count;
	ret->conns = pool_count(l->conns);
	ret->sessions = l->session_count;
	ret->halfopen = l->bound.open_count + l->bound.trusted_count;
	ret->memory = sizeof(*l) + pool_memory(l->conns) + pool_memory(l->sessions) + l->account;
}
