/* SPDX-License-Identifier: MIT
 *
 * What the owner is told, one thing a call: tunnels first, then accounting lines, sessions, dials
 * and the data plane as a whole.
 */
#include "internal.h"

static bool session_put(struct access *a, struct mono now, struct acc_session *s,
			struct access_event *ret)
{
	s->bits &= (uint8_t)~ACC_N_PUT;
	if (!acc_row(a, s, &a->row))
		return false; /* an engine has let go; its event follows */
	s->put_told = true;
	if (s->pipe == ACC_PIPE_ASKED)
		a->row.state = DP_PREPARED;
	s->mtu = a->row.mtu;
	ret->kind = ACCESS_EV_DP_PUT;
	ret->generation = s->generation;
	ret->row = &a->row;
	trace_put(a->trace, TRACE_ACCESS_ROW_PUT, now, s->key, s->generation, a->row.mtu,
		  a->row.flags, 0, NULL, 0);
	return true;
}

static void session_who(struct access *a, struct acc_session *s, struct access_event *ret)
{
	struct acc_tunnel *t = s->tunnel;

	ret->name = t->name;
	ret->host = t->host ? t->host : "";
	ret->tunnel = t->local_id;
	ret->path = &t->path;
	ret->user = s->dial ? s->dial->c->user : acc_user(s);
	ret->user_len = s->dial ? strlen(ret->user) : s->user_len;
	ret->calling = acc_calling(s);
	ret->called = acc_called(s);
	ret->profile = s->profile;
	ret->ifname = s->ifname ? s->ifname : "";
	memcpy(ret->our_ip4, s->our_ip4, 4);
	memcpy(ret->peer_ip4, s->peer_ip4, 4);
	(void)acc_session_prefix6(s, &ret->prefix6);
	ret->mtu = s->mtu;
	ret->established = s->established;
	if (s->dial) {
		ret->dial = s->dial->c;
		memcpy(ret->dns4, s->dial->dns4, sizeof(ret->dns4));
		memcpy(ret->dns6, s->dial->dns6, sizeof(ret->dns6));
	}
}

static void session_auth(struct acc_session *s, struct access_event *ret)
{
	const struct acc_auth *q = s->auth;

	ret->kind = ACCESS_EV_AUTH;
	ret->auth = q->method;
	ret->ask = q->ask;
	ret->chap_id = q->chap_id;
	ret->challenge = q->bytes;
	ret->challenge_len = q->challenge_len;
	ret->response = q->bytes + q->challenge_len;
	ret->response_len = q->response_len;
}

/* The next piece of news of `s`. False when there was none after all. */
static bool session_event(struct access *a, struct mono now, struct acc_session *s,
			  struct access_event *ret)
{
	unsigned int bit = s->bits & (0u - s->bits);

	ret->key = s->key;
	if (bit == ACC_N_PUT)
		return session_put(a, now, s, ret);
	s->bits &= (uint8_t)~bit;
	a->shown_session = s;
	if (bit == ACC_N_STATS) {
		ret->kind = ACCESS_EV_STATS;
		return true;
	}
	if (bit == ACC_N_DEL) {
		ret->kind = ACCESS_EV_DP_DEL;
		ret->generation = s->generation;
		trace(a->trace, TRACE_ACCESS_ROW_DEL, now, s->key, s->generation, 0);
		return true;
	}
	session_who(a, s, ret);
	if (bit == ACC_N_AUTH) {
		if (!s->auth)
			return false;
		session_auth(s, ret);
		return true;
	}
	if (bit == ACC_N_UP) {
		s->up_told = true;
		acc_session_dirty(a, s);
		ret->kind = ACCESS_EV_UP;
		return true;
	}
	ret->kind = ACCESS_EV_DOWN;
	ret->cause = (enum adit_cause)s->cause;
	ret->text = acc_session_text(s);
	ret->by_peer = s->by_peer;
	return bit == ACC_N_DOWN;
}

enum news { NEWS_NONE, NEWS_TOLD, NEWS_VOID };

static enum news tunnel_news(struct access *a, struct access_event *ret)
{
	struct acc_link *l = acc_queue_pop(&a->tunnel_news);
	struct acc_tunnel *t;

	if (!l)
		return NEWS_NONE;
	t = container_of(l, struct acc_tunnel, news);
	if (!t->bits) {
		acc_tunnel_settle(a, t);
		return NEWS_VOID;
	}
	acc_tunnel_event(a, t, ret);
	if (t->bits)
		acc_queue_push(&a->tunnel_news, &t->news);
	return NEWS_TOLD;
}

static enum news line_news(struct access *a, struct mono now, struct access_event *ret)
{
	struct acc_link *l;
	struct acc_line *line;

	acc_line_behind(a);
	l = acc_queue_pop(&a->line_news);
	if (!l)
		return NEWS_NONE;
	line = container_of(l, struct acc_line, news);
	if (line->told)
		return NEWS_VOID; /* found void at recovery */
	line->told = true;
	ret->kind = ACCESS_EV_ACCT;
	ret->key = line->key;
	ret->acct_seq = line->seq;
	ret->line = line->text;
	trace(a->trace, TRACE_ACCESS_LINE, now, line->key, line->seq, 0);
	return NEWS_TOLD;
}

static enum news session_news(struct access *a, struct mono now, struct access_event *ret)
{
	struct acc_link *l = acc_queue_pop(&a->news);
	struct acc_session *s;
	bool told;

	if (!l)
		return NEWS_NONE;
	s = container_of(l, struct acc_session, news);
	told = s->bits && session_event(a, now, s, ret);
	if (s->bits)
		acc_queue_push(&a->news, &s->news);
	acc_session_settle(a, s);
	return told ? NEWS_TOLD : NEWS_VOID;
}

static enum news dial_news(struct access *a, struct access_event *ret)
{
	struct acc_link *l = acc_queue_pop(&a->dial_news);
	struct acc_dial *d;

	if (!l)
		return NEWS_NONE;
	d = container_of(l, struct acc_dial, news);
	if (!d->ask)
		return NEWS_VOID;
	d->ask = false;
	acc_dial_event(d, ret);
	return NEWS_TOLD;
}

static enum news net_news(struct access *a, struct access_event *ret)
{
	if (!a->net_news)
		return NEWS_NONE;
	a->net_news = false;
	ret->kind = ACCESS_EV_DP_NET;
	ret->generation = a->net_generation;
	ret->net = &a->net;
	return NEWS_TOLD;
}

bool access_event(struct access *a, struct mono now, struct access_event *ret)
{
	struct access_event ev;
	enum news got;

	acc_begin(a);
	do {
		memset(&ev, 0, sizeof(ev));
		got = net_news(a, &ev);
		if (got == NEWS_NONE)
			got = tunnel_news(a, &ev);
		if (got == NEWS_NONE)
			got = line_news(a, now, &ev);
		if (got == NEWS_NONE)
			got = session_news(a, now, &ev);
		if (got == NEWS_NONE)
			got = dial_news(a, &ev);
	} while (got == NEWS_VOID);
	if (got == NEWS_NONE)
		return false;
	*ret = ev;
	return true;
}
