/* SPDX-License-Identifier: MIT
 *
 * The engine as its owner sees it: entry points, the glue between the two protocol engines and the
 * sessions, and looking at what is there. internal.h has the theory of operation.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

static void init(struct access *a)
{
	uint8_t key[16];
	struct htab *tables[] = { &a->by_key,	  &a->by_user,	      &a->tunnel_keys,
				  &a->tunnel_ids, &a->tunnel_records, &a->lines };
	struct acc_queue *queues[] = { &a->news,       &a->tunnel_news,	 &a->dial_news,
				       &a->line_news,  &a->out,		 &a->dirty,
				       &a->gone,       &a->tunnel_dirty, &a->tunnel_first,
				       &a->line_dirty, &a->line_gone,	 &a->line_later };

	rng_init(&a->rng, a->config.seed);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		rng_bytes(&a->rng, key, sizeof(key));
		htab_init(tables[i], key);
	}
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		acc_queue_init(queues[i]);
	list_init(&a->held);
	acc_leases_init(a);
	/* 24 bits of first starts, 40 of keys: a thousand sessions a second for 17 years. */
	a->next_key = (uint64_t)(a->config.incarnation & 0xffffff) << 40 | 1;
	a->keys_until = a->next_key;
}

struct access *access_new(const struct access_config *config)
{
	struct access *a = calloc(1, sizeof(*a));
	struct l2tp_config l = { .trace = config->trace };
	struct ppp_config p = { .trace = config->trace };

	if (!a)
		return NULL;
	a->config = *config;
	a->trace = config->trace;
	init(a);
	if (config->max_tunnels && config->max_tunnels < 65534)
		l.max_tunnels = config->max_tunnels;
	rng_fork(&a->rng, l.seed);
	rng_fork(&a->rng, p.seed);
	a->l2tp = l2tp_new(&l);
	a->ppp = ppp_new(&p);
	a->sessions = pool_new(sizeof(struct acc_session), config->max_sessions);
	a->tunnels = pool_new(sizeof(struct acc_tunnel), 0);
	a->ring = calloc(ACC_FAILURES, sizeof(*a->ring));
	if (!a->l2tp || !a->ppp || !a->sessions || !a->tunnels || !a->ring) {
		access_free(a);
		return NULL;
	}
	return a;
}

static void free_lines(struct access *a)
{
	struct htab_node *n, *next;
	uint64_t pos = 0;

	for (n = htab_walk(&a->lines, &pos, NULL); n; n = next) {
		next = htab_walk(&a->lines, &pos, n);
		free(container_of(n, struct acc_line, node));
	}
	htab_free(&a->lines);
}

static void free_objects(struct access *a)
{
	adit_handle h, next;

	a->shown_session = NULL;
	a->shown_tunnel = NULL;
	for (h = pool_next(a->sessions, 0); h; h = next) {
		next = pool_next(a->sessions, h);
		acc_session_free(a, pool_get(a->sessions, h));
	}
	for (h = pool_next(a->tunnels, 0); h; h = next) {
		next = pool_next(a->tunnels, h);
		acc_tunnel_drop(a, pool_get(a->tunnels, h));
	}
}

void access_free(struct access *a)
{
	if (!a)
		return;
	if (a->sessions && a->tunnels)
		free_objects(a);
	free_lines(a);
	acc_leases_free(a);
	acc_dials_free(a);
	acc_peers_free(a);
	pool_free(a->sessions);
	pool_free(a->tunnels);
	htab_free(&a->by_key);
	htab_free(&a->by_user);
	htab_free(&a->tunnel_keys);
	htab_free(&a->tunnel_ids);
	htab_free(&a->tunnel_records);
	heap_free(&a->timers);
	heap_free(&a->dial_timers);
	l2tp_free(a->l2tp);
	l2tp3_free(a->l2tp3);
	ppp_free(a->ppp);
	access_conf_unref(a->conf);
	free(a->ring);
	free(a);
}

void access_wall(struct access *a, struct mono now, int64_t unix_us)
{
	a->wall_us = unix_us - now.us;
}

void access_scarce(struct access *a, bool scarce)
{
	a->scarce = scarce;
	l2tp_scarce(a->l2tp, scarce);
	if (a->l2tp3)
		l2tp3_scarce(a->l2tp3, scarce);
}

void acc_begin(struct access *a)
{
	struct acc_session *s = a->shown_session;
	struct acc_tunnel *t = a->shown_tunnel;

	a->shown_session = NULL;
	a->shown_tunnel = NULL;
	if (t)
		acc_tunnel_settle(a, t);
	if (s)
		acc_session_settle(a, s);
	if (a->former) {
		a->former = false;
		acc_dials_purge(a);
		acc_peers_purge(a);
	}
}

void acc_failure(struct access *a, struct mono now, uint64_t key, const char *who, size_t who_len,
		 const struct addr *remote, enum adit_cause cause, const char *text)
{
	struct access_failure *f = &a->ring[a->ring_next++ % ACC_FAILURES];

	if (!text || !text[0])
		text = cause_text(cause);
	*f = (struct access_failure){
		.at = now, .unix_us = now.us + a->wall_us, .key = key, .cause = cause
	};
	if (remote)
		f->remote = *remote;
	text_escape(f->who, sizeof(f->who), who, who_len);
	text_escape(f->text, sizeof(f->text), text, strlen(text));
	a->failures++;
	a->state_dirty = true;
}

bool acc_wanted(enum adit_cause cause)
{
	return cause == ADIT_CAUSE_ADMIN || cause == ADIT_CAUSE_SHUTDOWN ||
	       cause == ADIT_CAUSE_CONFIG;
}

void access_fail(struct access *a, struct mono now, uint64_t key, const char *who,
		 const struct addr *remote, enum adit_cause cause, const char *text)
{
	acc_begin(a);
	if (!acc_wanted(cause))
		acc_failure(a, now, key, who, strlen(who), remote, cause, text);
}

/* ---- glue ---- */

/* The tunnel that an event is about; NULL when it is not in use any more. */
static struct acc_tunnel *tunnel_about(struct access *a, struct mono now, uint8_t version,
				       const struct l2tp_event *ev)
{
	struct acc_tunnel *t = acc_tunnel_of(a, ev->owner);

	if (t && t->offer && !acc_l2_decided(a, now, t, version, ev))
		return NULL;
	return t && t->version == version && t->l2tp == ev->tunnel ? t : NULL;
}

static void on_l2tp(struct access *a, struct mono now, uint8_t version, const struct l2tp_event *ev)
{
	struct acc_tunnel *t;
	struct acc_session *s;

	switch (ev->kind) {
	case L2TP_EV_TUNNEL_ASK:
		acc_server_tunnel_ask(a, now, version, ev);
		break;
	case L2TP_EV_TUNNEL_UP:
		t = tunnel_about(a, now, version, ev);
		if (t)
			acc_tunnel_up(a, now, t, ev);
		break;
	case L2TP_EV_TUNNEL_QUIET:
		t = acc_tunnel_of(a, ev->owner);
		if (t && t->version == version && t->l2tp == ev->tunnel)
			acc_tunnel_tell(a, t, ACC_TN_HEARD);
		break;
	case L2TP_EV_TUNNEL_DOWN:
		t = tunnel_about(a, now, version, ev);
		if (t)
			acc_tunnel_down(a, now, t, ev);
		break;
	case L2TP_EV_SESSION_ASK:
		acc_server_session_ask(a, now, version, ev);
		break;
	case L2TP_EV_SESSION_UP:
		s = acc_session_of(a, ev->owner);
		if (s && s->l2tp == ev->session && s->tunnel->version == version)
			acc_session_l2tp_up(a, now, s);
		break;
	case L2TP_EV_SESSION_ERRORS:
		s = acc_session_of(a, ev->owner);
		if (s && s->l2tp == ev->session && s->tunnel->version == version)
			acc_session_line(a, now, s);
		break;
	case L2TP_EV_SESSION_ACCM:
		break; /* of interest to links with a modem at the far end only */
	case L2TP_EV_SESSION_DOWN:
		s = acc_session_of(a, ev->owner);
		if (s && s->l2tp == ev->session && s->tunnel->version == version)
			acc_session_l2tp_down(a, now, s, ev);
		break;
	}
}

void acc_pump(struct access *a, struct mono now)
{
	struct l2tp_event l;
	struct ppp_event p;
	uint8_t version;
	bool more;

	do {
		more = false;
		while (acc_l2_event(a, &l, &version)) {
			more = true;
			on_l2tp(a, now, version, &l);
		}
		while (ppp_event(a->ppp, &p)) {
			struct acc_session *s = acc_session_of(a, p.owner);

			more = true;
			if (s)
				acc_session_ppp(a, now, s, &p);
		}
	} while (more);
}

/* A raw socket is given all that comes over IP, also what the plane has taken. */
static bool taken(const struct acc_session *s, const struct path *path)
{
	return !path->remote.port &&
	       (s->row_active || s->pipe == ACC_PIPE_STANDS || s->pipe == ACC_PIPE_LISTENS);
}

static int ppp_frame_in(struct access *a, struct mono now, struct acc_session *s,
			const uint8_t *bytes, size_t len)
{
	size_t off = 0;
	int rc;

	if (!s->ppp)
		return 0;
	if (s->pipe == ACC_PIPE_LISTENS)
		acc_pipe_heard(a, s);
	rc = ppp_input(a->ppp, now, s->ppp, bytes, len, &off);
	if (rc == PPP_IN_IPV6)
		acc_local_input(a, now, s, bytes + off, len - off);
	return rc < 0 ? rc : 0;
}

int access_input(struct access *a, struct mono now, const struct path *path, const uint8_t *bytes,
		 size_t len)
{
	struct l2tp_frame f;
	struct acc_session *s;
	uint8_t version;
	int rc;

	acc_begin(a);
	rc = acc_l2_input(a, now, path, bytes, len, &f, &version);
	if (rc == L2TP_IN_FRAME) {
		s = acc_session_of(a, f.owner);
		rc = s && s->l2tp == f.session && s->tunnel->version == version && !taken(s, path)
			     ? ppp_frame_in(a, now, s, bytes + f.off, f.len)
			     : 0;
	}
	acc_pump(a, now);
	return rc < 0 ? rc : 0;
}

int access_frame(struct access *a, struct mono now, uint64_t key, enum dp_punt_class class,
		 const uint8_t *bytes, size_t len)
{
	struct acc_session *s;
	int rc = 0;

	acc_begin(a);
	s = acc_session_find(a, key);
	if (s && class == DP_PUNT_PPP)
		rc = ppp_frame_in(a, now, s, bytes, len);
	else if (s && class == DP_PUNT_LOCAL)
		acc_local_input(a, now, s, bytes, len);
	acc_pump(a, now);
	return rc;
}

/* ---- commands ---- */

static bool speaks_v3(const struct access_conf *conf)
{
	bool any = false;

	for (size_t i = 0; i < conf->peer_count; i++)
		any |= conf->peers[i].version != CONF_V2;
	for (size_t i = 0; i < conf->dial_count; i++)
		any |= conf->dials[i].version != CONF_V2;
	return any;
}

/* Session ids of others are not given out. Where one is ours already the plane says who has it. */
static void reserve(struct access *a, struct mono now, const struct access_conf *old,
		    const struct access_conf *conf)
{
	for (size_t i = 0; old && i < old->reserved_count; i++)
		l2tp3_release_session(a->l2tp3, now, old->reserved[i]);
	for (size_t i = 0; i < conf->reserved_count; i++)
		(void)l2tp3_reserve_session(a->l2tp3, conf->reserved[i]);
}

static int do_conf(struct access *a, struct mono now, struct access_conf *conf)
{
	struct acc_pool *pools = acc_leases_prepare(conf);
	struct acc_peer **peers = acc_peers_prepare(a, conf);
	struct acc_dial **dials = acc_dials_prepare(a, conf);
	struct access_conf *old = a->conf;

	if (!pools || !peers || !dials || (speaks_v3(conf) && !acc_l2_v3(a))) {
		free(pools);
		acc_peers_cancel(a, conf, peers);
		acc_dials_cancel(a, conf, dials);
		return -ENOMEM;
	}
	a->conf = access_conf_ref(conf);
	acc_leases_commit(a, conf, pools);
	acc_peers_commit(a, now, conf, peers);
	acc_dials_commit(a, now, conf, dials);
	l2tp_share_halfopen(a->l2tp, conf->max_tunnels);
	l2tp_lenient(a->l2tp, conf->quirks);
	if (a->l2tp3) {
		l2tp3_limit(a->l2tp3, conf->max_tunnels, conf->max_sessions);
		reserve(a, now, old, conf);
	}
	acc_net(conf, &a->net);
	a->net_generation++;
	a->net_news = true;
	trace_put(a->trace, TRACE_ACCESS_CONF, now, 0, conf->serial, (uint32_t)conf->peer_count,
		  (uint32_t)conf->dial_count, 0, NULL, 0);
	access_conf_unref(old);
	return 0;
}

static int do_shutdown(struct access *a, struct mono now)
{
	adit_handle h, next;

	if (a->ended)
		return 2;
	a->ended = a->shutdown = true;
	a->drain = false;
	trace(a->trace, TRACE_ACCESS_SHUTDOWN, now, 0, pool_count(a->tunnels),
	      pool_count(a->sessions));
	for (size_t i = 0; i < a->dial_count; i++)
		acc_dial_disconnect(a, now, a->dials[i], ADIT_CAUSE_SHUTDOWN);
	for (h = pool_next(a->tunnels, 0); h; h = next) {
		struct acc_tunnel *t = pool_get(a->tunnels, h);

		next = pool_next(a->tunnels, h);
		acc_tunnel_close(a, now, t, L2TP_STOP_SHUTDOWN, ADIT_CAUSE_SHUTDOWN,
				 cause_text(ADIT_CAUSE_SHUTDOWN));
	}
	return 0;
}

static int do_dp_done(struct access *a, struct mono now, const struct dp_done *done)
{
	struct acc_session *s = acc_session_find(a, done->key);

	if (done->op == DP_OP_NET) {
		if (done->error)
			trace_put(a->trace, TRACE_ACCESS_ROW_FAILED, now, 0, done->op,
				  done->generation, (uint32_t)-done->error, 0, done->text,
				  strnlen(done->text, sizeof(done->text)));
		return 0;
	}
	if (!s)
		return 1;
	acc_session_row_done(a, now, s, done);
	return 0;
}

static int do_terminate(struct access *a, struct mono now, uint64_t key)
{
	struct acc_session *s = acc_session_find(a, key);

	if (!s || s->state == ACC_DEAD)
		return 1;
	if (s->ending)
		return 2;
	acc_session_hangup(a, now, s, ADIT_CAUSE_ADMIN, NULL);
	return 0;
}

static int do_terminate_tunnel(struct access *a, struct mono now, uint32_t id)
{
	struct acc_tunnel *t = acc_tunnel_by_id(a, id);

	if (!t)
		return 1;
	if (t->closing)
		return 2;
	acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR, ADIT_CAUSE_ADMIN,
			 cause_text(ADIT_CAUSE_ADMIN));
	return 0;
}

static int do_heard(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	struct acc_tunnel *t = acc_tunnel_by_id(a, cmd->tunnel);
	struct l2tp_cmd l = { .kind = L2TP_CMD_TUNNEL_HEARD, .at = cmd->heard };

	if (!t)
		return 1;
	l.tunnel = t->l2tp;
	return acc_l2_do(a, now, t->version, &l) < 0 ? 2 : 0;
}

static int do_stats(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	struct acc_session *s = acc_session_find(a, cmd->key);

	if (!s)
		return 1;
	if (cmd->known && s->ppp && cmd->counters.last_rx.us > 0)
		ppp_heard(a->ppp, cmd->counters.last_rx, s->ppp);
	acc_session_stats(a, now, s, cmd);
	return 0;
}

static int do_auth(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	struct acc_session *s = acc_session_find(a, cmd->key);

	return s ? acc_session_auth(a, now, s, cmd) : 1;
}

static int do_written(struct access *a, const struct access_cmd *cmd)
{
	struct acc_line *l = acc_line_find(a, cmd->key, cmd->acct_seq);

	if (!l)
		return 1;
	if (l->gone || !l->told)
		return 2;
	acc_line_written(a, l);
	return 0;
}

/* Somebody has removed it from under us. The peer is told: its side would send into the void. */
static int do_lost(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	struct acc_session *s = cmd->key ? acc_session_find(a, cmd->key) : NULL;
	struct acc_tunnel *t = cmd->key ? NULL : acc_tunnel_by_id(a, cmd->tunnel);

	if (s && !s->ending)
		acc_session_end(a, now, s, ADIT_CAUSE_DATA_PLANE, cmd->text, false);
	else if (t && !t->closing)
		acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR, ADIT_CAUSE_DATA_PLANE, cmd->text);
	else
		return s || t ? 2 : 1;
	return 0;
}

static int act(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	struct acc_dial *d =
		cmd->name && cmd->kind != ACCESS_CMD_CONF ? acc_dial_find(a, cmd->name) : NULL;

	switch (cmd->kind) {
	case ACCESS_CMD_CONF:
		return do_conf(a, now, cmd->conf);
	case ACCESS_CMD_CONNECT:
		if (a->shutdown)
			return 2;
		return d ? acc_dial_connect(a, now, d) : 1;
	case ACCESS_CMD_DISCONNECT:
		return d ? acc_dial_disconnect(a, now, d, ADIT_CAUSE_ADMIN) : 1;
	case ACCESS_CMD_CALL:
		return acc_server_call(a, now, cmd);
	case ACCESS_CMD_TERMINATE:
		return do_terminate(a, now, cmd->key);
	case ACCESS_CMD_TERMINATE_TUNNEL:
		return do_terminate_tunnel(a, now, cmd->tunnel);
	case ACCESS_CMD_DP_LOST:
		return do_lost(a, now, cmd);
	case ACCESS_CMD_AUTH:
		return do_auth(a, now, cmd);
	case ACCESS_CMD_RESOLVED:
		return d ? acc_dial_resolved(a, now, d, cmd) : 1;
	case ACCESS_CMD_DP_DONE:
		return do_dp_done(a, now, cmd->done);
	case ACCESS_CMD_STATS:
		return do_stats(a, now, cmd);
	case ACCESS_CMD_HEARD:
		return do_heard(a, now, cmd);
	case ACCESS_CMD_ACCT_WRITTEN:
		return do_written(a, cmd);
	case ACCESS_CMD_DRAIN:
		return acc_drain(a, now, cmd->ok, cmd->rate, cmd->stop);
	case ACCESS_CMD_SHUTDOWN:
		return do_shutdown(a, now);
	}
	return 1;
}

int access_do(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	int rc;

	acc_begin(a);
	rc = act(a, now, cmd);
	acc_pump(a, now);
	return rc;
}

/* ---- time ---- */

void access_expire(struct access *a, struct mono now)
{
	struct heap_node *n;

	acc_begin(a);
	l2tp_expire(a->l2tp, now);
	if (a->l2tp3)
		l2tp3_expire(a->l2tp3, now);
	ppp_expire(a->ppp, now);
	acc_pump(a, now);
	while ((n = heap_first(&a->timers)) && mono_due(n->at, now))
		acc_session_expire(a, now, container_of(n, struct acc_session, timer));
	while ((n = heap_first(&a->dial_timers)) && mono_due(n->at, now))
		acc_dial_expire(a, now, container_of(n, struct acc_dial, timer));
	acc_drain_expire(a, now);
	acc_pump(a, now);
}

struct mono access_deadline(const struct access *a)
{
	struct mono at = mono_min(l2tp_deadline(a->l2tp), ppp_deadline(a->ppp));

	at = mono_min(at, heap_deadline(&a->timers));
	if (a->l2tp3)
		at = mono_min(at, l2tp3_deadline(a->l2tp3));
	if (a->drain)
		at = mono_min(at, a->drain_at);
	return mono_min(at, heap_deadline(&a->dial_timers));
}

/* ---- packets out ---- */

/*
 * `frame` in `buf` from `off` on is to leave on session `s`: by the data plane when it has the
 * row, else wrapped here. False when the session cannot send.
 */
static bool send_frame(struct access *a, const struct acc_session *s, uint8_t *buf, size_t *off,
		       size_t *len, struct access_packet *ret)
{
	size_t head;

	if (s->row_active || s->pipe == ACC_PIPE_STANDS) {
		if (s->quiet)
			return false;
		/* The plane adds address and control octets itself. */
		if (*len >= 2 && buf[*off] == 0xff && buf[*off + 1] == 0x03) {
			*off += 2;
			*len -= 2;
		}
		ret->key = s->key;
		return true;
	}
	head = acc_l2_wrap(a, s, buf + *off, *len, ret->priority, &ret->path);
	*off -= head;
	*len += head;
	return head != 0;
}

static size_t output_local(struct access *a, uint8_t *buf, size_t cap, size_t *ret_off,
			   struct access_packet *ret)
{
	struct acc_link *l;

	while ((l = acc_queue_pop(&a->out))) {
		struct acc_session *s = container_of(l, struct acc_session, out);
		struct access_packet p = { .key = 0 };
		size_t off = L2TP_HEADROOM, len = 0;

		len = acc_pipe_output(a, s, buf + off, cap - off, &p.priority);
		if (!len && s->row_active)
			len = acc_local_output(s, buf + off, cap - off);
		if (len && send_frame(a, s, buf, &off, &len, &p)) {
			*ret_off = off;
			*ret = p;
			return len;
		}
		acc_session_settle(a, s);
	}
	return 0;
}

size_t access_output(struct access *a, struct mono now, uint8_t *buf, size_t cap, size_t *ret_off,
		     struct access_packet *ret)
{
	struct access_packet p = { .priority = true };
	struct ppp_frame f;
	size_t off, len;

	acc_begin(a);
	len = acc_l2_output(a, now, buf, cap, &p.path);
	if (len) {
		*ret_off = 0;
		*ret = p;
		return len;
	}
	len = output_local(a, buf, cap, ret_off, ret);
	if (len)
		return len;
	while ((len = ppp_output(a->ppp, now, buf + L2TP_HEADROOM, cap - L2TP_HEADROOM, &f))) {
		struct acc_session *s = acc_session_of(a, f.owner);

		p = (struct access_packet){ .priority = f.priority };
		off = L2TP_HEADROOM;
		if (s && s->ppp == f.link && acc_pipe_holds(a, s, buf + off, len, f.priority))
			continue;
		if (s && s->ppp == f.link && send_frame(a, s, buf, &off, &len, &p)) {
			*ret_off = off;
			*ret = p;
			return len;
		}
	}
	return 0;
}

/* ---- what is there ---- */

static const char *state_name(const struct acc_session *s)
{
	switch ((enum acc_state)s->state) {
	case ACC_CALL:
		return s->dial ? "dialling" : "connecting";
	case ACC_LINK:
		return "connecting";
	case ACC_AUTH:
	case ACC_WAIT:
		return "authenticating";
	case ACC_NET:
	case ACC_ROW:
		return "negotiating";
	case ACC_UP:
		return "up";
	case ACC_HANGUP:
	case ACC_DEL:
		return "closing";
	case ACC_DEAD:
		return "down";
	}
	return "";
}

static void session_engines(const struct access *a, const struct acc_session *s,
			    struct access_session_info *i)
{
	struct acc_call call;
	const struct l2tp_session_info *l = &call.l2tp;
	struct ppp_info p;

	if (!s->l2tp || !acc_l2_call(a, s->tunnel->version, s->l2tp, &call))
		return;
	i->path = l->path;
	i->outgoing = l->outgoing;
	i->tx_speed = l->tx_speed;
	i->rx_speed = l->rx_speed;
	i->accm = l->accm;
	i->accm_send = l->accm_send;
	i->accm_recv = l->accm_recv;
	memcpy(i->errors, l->errors, sizeof(i->errors));
	i->quiet = call.quiet;
	i->proxy_len = l->proxy_len <= sizeof(i->proxy) ? l->proxy_len : 0;
	if (i->proxy_len)
		memcpy(i->proxy, l->proxy, i->proxy_len);
	if (!s->ppp || !ppp_info(a->ppp, s->ppp, &p))
		return;
	i->mru_in = p.mru_in;
	i->mru_out = p.mru_out;
	i->overhead = acc_overhead(&l->path, &call, &p);
	if (!i->mtu)
		i->mtu = acc_mtu(&l->path, &call, &p, s->dial ? s->dial->c->mtu : s->profile->mtu);
}

bool access_has(const struct access *a, uint64_t key)
{
	return acc_session_find(a, key) != NULL;
}

bool access_session(const struct access *a, uint64_t key, struct access_session_info *ret)
{
	const struct acc_session *s = acc_session_find(a, key);
	struct access_session_info i = { .key = key };

	if (!s)
		return false;
	i.state = state_name(s);
	i.user = acc_user(s);
	i.peer = s->tunnel->name;
	i.host_name = s->tunnel->host ? s->tunnel->host : "";
	i.client = s->tunnel->client;
	i.up = s->state == ACC_UP;
	i.row_busy = s->row_busy || s->row_again;
	i.path = s->tunnel->path;
	i.version = s->tunnel->version;
	i.local_tunnel = s->tunnel->local_id;
	i.remote_tunnel = s->tunnel->remote_id;
	i.local_session = s->local_id;
	i.remote_session = s->remote_id;
	memcpy(i.our_ip4, s->our_ip4, 4);
	memcpy(i.peer_ip4, s->peer_ip4, 4);
	(void)acc_session_prefix6(s, &i.prefix6);
	if (s->ifname)
		memcpy(i.ifname, s->ifname, strnlen(s->ifname, sizeof(i.ifname) - 1));
	i.mtu = s->mtu;
	session_engines(a, s, &i);
	i.auth = (enum ppp_auth)s->method;
	i.calling = acc_calling(s);
	i.called = acc_called(s);
	i.since = s->since;
	i.ends_at = s->state == ACC_UP ? s->ends_at : MONO_NEVER;
	i.profile = s->profile;
	*ret = i;
	return true;
}

uint64_t access_session_next(const struct access *a, uint64_t prev)
{
	const struct acc_session *s = prev ? acc_session_find(a, prev) : NULL;
	adit_handle h;

	if (prev && !s)
		return 0;
	h = pool_next(a->sessions, s ? s->self : 0);
	return h ? ((struct acc_session *)pool_get(a->sessions, h))->key : 0;
}

bool access_failure(const struct access *a, size_t back, struct access_failure *ret)
{
	if (back >= ACC_FAILURES || back >= a->ring_next)
		return false;
	*ret = a->ring[(a->ring_next - 1 - back) % ACC_FAILURES];
	return true;
}

static size_t table_size(const struct htab *t)
{
	size_t n = t->v ? (size_t)t->mask + 1 : 0;

	if (t->old)
		n += (size_t)t->old_mask + 1;
	return n * sizeof(struct htab_node *);
}

static size_t memory(const struct access *a, const struct l2tp_counters *l)
{
	const struct htab *tables[] = { &a->by_key,	   &a->by_user, &a->tunnel_keys,
					&a->tunnel_ids,	   &a->lines,	&a->leases.by_place,
					&a->leases.by_user };
	size_t n = sizeof(*a) + a->bytes + a->leases.memory + l->memory + ppp_memory(a->ppp);
	struct l2tp3_counters l3 = { .memory = 0 };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		n += table_size(tables[i]);
	if (a->l2tp3)
		l2tp3_counters(a->l2tp3, &l3);
	n += l3.memory + pool_memory(a->sessions) + pool_memory(a->tunnels);
	n += (a->timers.cap + a->dial_timers.cap) * sizeof(struct heap_node *);
	return n + ACC_FAILURES * sizeof(*a->ring);
}

void access_summary(const struct access *a, struct access_summary *ret)
{
	struct access_summary i = { .oldest = MONO_NEVER };
	adit_handle h;

	l2tp_counters(a->l2tp, &i.l2tp);
	i.tunnels = pool_count(a->tunnels);
	i.sessions = pool_count(a->sessions);
	i.sessions_up = a->up;
	i.draining = a->drain;
	i.drain_rate = a->drain_rate;
	i.halfopen = i.l2tp.halfopen;
	i.setups = a->setups;
	i.failures = a->failures;
	for (h = pool_next(a->sessions, 0); h; h = pool_next(a->sessions, h)) {
		const struct acc_session *s = pool_get(a->sessions, h);

		if (s->state == ACC_UP)
			i.oldest = mono_min(i.oldest, s->since);
	}
	i.lines = a->lines.n - a->lines_on;
	i.memory = memory(a, &i.l2tp);
	*ret = i;
}
