/* SPDX-License-Identifier: MIT
 *
 * The LNS side: who may open a tunnel to us, and which calls are welcome in it. The first peer
 * block that fits the address and the Host Name of an SCCRQ wins (RFC 2661 4.4.3); limits are those
 * of the whole configuration and of the block. A refusal says why, to the peer in the error message
 * of the Result Code AVP, to the administrator in the list of failures.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool peer_fits(const struct conf_peer *c, uint8_t version, const struct addr *from,
		      const char *host)
{
	bool ok = c->from_count == 0;

	if (c->version == (version == 3 ? CONF_V2 : CONF_V3))
		return false;

	for (size_t i = 0; i < c->from_count && !ok; i++)
		ok = prefix_has(&c->from[i], from);
	return ok && (!c->host_name[0] || text_glob(c->host_name, host));
}

static struct acc_peer *peer_match(const struct access *a, uint8_t version, const struct addr *from,
				   const char *host)
{
	struct addr ip = *from;

	ip.port = 0;
	for (size_t i = 0; i < a->peer_count; i++) {
		if (a->peers[i]->c && peer_fits(a->peers[i]->c, version, &ip, host))
			return a->peers[i];
	}
	return NULL;
}

/* Does it come from a network of the block that is too small to be forged by chance? */
static bool trusted(const struct conf_peer *p, const struct addr *from)
{
	for (size_t i = 0; i < p->from_count; i++)
		if (conf_net_small(&p->from[i]) && prefix_has(&p->from[i], from))
			return true;
	return false;
}

static void tunnel_refuse(struct access *a, struct mono now, uint8_t version, adit_handle tunnel,
			  const char *who, const struct addr *remote, bool known,
			  const struct refusal *r)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_REFUSE,
				.tunnel = tunnel,
				.result = r->result,
				.error = r->error,
				.text = r->cause == ADIT_CAUSE_TUNNEL_REFUSED
						? CONF_NO_BLOCK
						: cause_text(r->cause),
				.cause = r->cause };
	char raw[ADDR_TEXT_MAX + L2TP_NAME_MAX + 4];
	size_t n;

	addr_text(remote, raw);
	n = strlen(raw);
	if (who[0])
		snprintf(raw + n, sizeof(raw) - n, " (%s)", who);
	if (known || acc_stranger_told(a, now)) {
		trace_bytes(a->trace, TRACE_ACCESS_TUNNEL_REFUSED, now, 0, r->cause, 0, raw,
			    strlen(raw));
		acc_failure(a, now, 0, who, strlen(who), remote, r->cause, NULL);
	}
	(void)acc_l2_do(a, now, version, &cmd);
}

static bool tunnel_welcome(const struct access *a, const struct acc_peer *p, struct refusal *ret)
{
	uint32_t most = a->config.max_tunnels;

	if (a->conf && a->conf->max_tunnels && (!most || a->conf->max_tunnels < most))
		most = a->conf->max_tunnels;
	if (a->shutdown)
		*ret = (struct refusal){ L2TP_STOP_SHUTDOWN, 0, ADIT_CAUSE_SHUTDOWN };
	else if (!p)
		*ret = (struct refusal){ L2TP_STOP_UNAUTHORISED, 0, ADIT_CAUSE_TUNNEL_REFUSED };
	else if ((most && pool_count(a->tunnels) >= most) ||
		 (p->c->max_tunnels && p->up >= p->c->max_tunnels))
		*ret = (struct refusal){ L2TP_STOP_ERROR, L2TP_ERR_RESOURCES,
					 ADIT_CAUSE_LIMIT_TUNNELS };
	else
		return true;
	return false;
}

void acc_server_tunnel_ask(struct access *a, struct mono now, uint8_t version,
			   const struct l2tp_event *ev)
{
	struct acc_peer *p = peer_match(a, version, &ev->path->remote, ev->host_name);
	struct addr remote = ev->path->remote;
	char who[L2TP_NAME_MAX];
	bool known = p && trusted(p->c, &remote);
	struct acc_tunnel *t;
	struct refusal r;

	snprintf(who, sizeof(who), "%s", ev->host_name);
	if (!tunnel_welcome(a, p, &r)) {
		if (p)
			p->refused++;
		tunnel_refuse(a, now, version, ev->tunnel, who, &remote, known, &r);
		return;
	}
	t = acc_tunnel_new(a, p->name, 0);
	if (!t) {
		r = (struct refusal){ L2TP_STOP_ERROR, L2TP_ERR_RESOURCES, ADIT_CAUSE_NO_MEMORY };
		tunnel_refuse(a, now, version, ev->tunnel, who, &remote, known, &r);
		return;
	}
	t->peer = p;
	p->tunnels++;
	t->profile = conf_profile_ref(p->c->profile);
	t->path = *ev->path;
	t->version = version;
	t->l2tp = ev->tunnel;
	t->host = who[0] ? strdup(who) : NULL;
	t->known = known;
	if (acc_l2_accept(a, now, t, p->c, known) != 0) {
		/* Out of memory: unanswered, the engine refuses it by itself in time. */
		trace_bytes(a->trace, TRACE_ACCESS_NO_MEMORY, now, t->key, 0, 0, "tunnel", 6);
		acc_tunnel_drop(a, t);
		return;
	}
	p->accepted++;
	acc_tunnel_list(a, t);
	if (known || acc_stranger_told(a, now))
		trace_bytes(a->trace, TRACE_ACCESS_TUNNEL_TAKEN, now, t->key, t->local_id, 0, who,
			    strlen(who));
}

/* ---- calls ---- */

static bool session_welcome(const struct access *a, const struct acc_tunnel *t, struct refusal *ret)
{
	uint32_t most = a->config.max_sessions;

	if (a->conf && a->conf->max_sessions && (!most || a->conf->max_sessions < most))
		most = a->conf->max_sessions;
	if (a->shutdown)
		*ret = (struct refusal){ L2TP_CDN_ADMIN, 0, ADIT_CAUSE_SHUTDOWN };
	else if (!t || !t->peer || !t->peer->c)
		/* A call from the server we dialled, or from a peer that is on its way out */
		*ret = (struct refusal){ L2TP_CDN_ADMIN, 0, ADIT_CAUSE_CONFIG };
	else if ((most && pool_count(a->sessions) >= most) ||
		 (t->peer->c->max_sessions && t->peer->sessions >= t->peer->c->max_sessions))
		*ret = (struct refusal){ L2TP_CDN_NO_FACILITIES, 0, ADIT_CAUSE_LIMIT_SESSIONS };
	else
		return true;
	return false;
}

void acc_session_refuse(struct access *a, struct mono now, uint8_t version,
			const struct acc_tunnel *t, adit_handle session, const struct refusal *r)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_REFUSE,
				.session = session,
				.result = r->result,
				.error = r->error,
				.text = cause_text(r->cause),
				.cause = r->cause };

	trace(a->trace, TRACE_ACCESS_SESSION_REFUSED, now, t ? t->key : 0, t ? t->local_id : 0,
	      r->cause);
	if (t && t->peer)
		t->peer->refused++;
	acc_failure(a, now, 0, t ? t->name : "", t ? strlen(t->name) : 0,
		    t ? &t->path.remote : NULL, r->cause, NULL);
	(void)acc_l2_do(a, now, version, &cmd);
}

void acc_server_session_ask(struct access *a, struct mono now, uint8_t version,
			    const struct l2tp_event *ev)
{
	struct acc_tunnel *t = acc_tunnel_of(a, ev->tunnel_owner);
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_ACCEPT, .session = ev->session };
	struct acc_session *s;
	struct refusal r;

	if (version == 3 && ev->outgoing && !(t && t->dial)) { /* RFC 3931 5.4.2 */
		r = (struct refusal){ L2TP_CDN_NO_FACILITIES_EVER, 0, ADIT_CAUSE_NO_DIAL_OUT };
		acc_session_refuse(a, now, version, t, ev->session, &r);
		return;
	}
	if (ev->outgoing && t && t->dial) {
		acc_dial_called(a, now, t->dial, t, ev);
		return;
	}
	if (!session_welcome(a, t, &r)) {
		acc_session_refuse(a, now, version, t, ev->session, &r);
		return;
	}
	r = (struct refusal){ L2TP_CDN_ERROR, L2TP_ERR_RESOURCES, ADIT_CAUSE_NO_MEMORY };
	s = acc_session_new(a, now, t, 0);
	if (!s || acc_session_strings(a, s, ev->calling, ev->called, "", 0) < 0) {
		if (s)
			acc_session_free(a, s);
		acc_session_refuse(a, now, version, t, ev->session, &r);
		return;
	}
	s->l2tp = ev->session;
	cmd.owner = s->self;
	cmd.sequencing = t->peer->c->numbered;
	if (acc_l2_do(a, now, version, &cmd) != 0) {
		acc_session_free(a, s);
		return;
	}
	acc_session_call(a, now, s);
}

/* The tunnel of this peer with the fewest sessions, that can be asked to place calls. 0, 3, 4. */
static int calling_tunnel(const struct access *a, const struct acc_peer *p, struct acc_tunnel **ret)
{
	struct acc_tunnel *best = NULL;
	adit_handle h;
	int rc = 3;

	for (h = pool_next(a->tunnels, 0); h; h = pool_next(a->tunnels, h)) {
		struct acc_tunnel *t = pool_get(a->tunnels, h);
		struct l2tp_tunnel_info i;

		if (t->peer != p || !t->up || t->closing ||
		    !acc_l2_tunnel(a, t->version, t->l2tp, &i) || i.state != L2TP_TS_UP)
			continue;
		/* of L2TPv3 nobody tells before */
		if (t->version == 2 && !(i.bearer & L2TP_CALL_MASK))
			rc = rc == 3 ? 4 : rc;
		else if (!best || t->sessions < best->sessions)
			best = t;
	}
	*ret = best;
	return best ? 0 : rc;
}

int acc_server_call(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	struct acc_peer *p = acc_peer_find(a, cmd->name);
	struct l2tp_cmd open = { .kind = L2TP_CMD_SESSION_OPEN,
				 .outgoing = true,
				 .called = cmd->text,
				 .sub_address = cmd->sub_address };
	struct acc_session *s;
	struct acc_tunnel *t;
	struct refusal why;
	int rc;

	if (!p || !p->c)
		return 1;
	rc = calling_tunnel(a, p, &t);
	if (rc)
		return rc;
	if (!session_welcome(a, t, &why))
		return 2;
	s = acc_session_new(a, now, t, 0);
	rc = s ? acc_session_strings(a, s, "", cmd->text, "", 0) : -ENOMEM;
	if (rc == 0) {
		open.tunnel = t->l2tp;
		open.sequencing = p->c->numbered;
		open.owner = s->self;
		rc = acc_l2_do(a, now, t->version, &open);
	}
	if (rc) {
		if (s)
			acc_session_free(a, s);
		return rc < 0 || rc == 2 || rc == 4 ? rc : 3;
	}
	s->l2tp = open.ret_handle;
	a->called = s->key;
	acc_session_call(a, now, s);
	return 0;
}

uint64_t access_called(const struct access *a)
{
	return a->called;
}

/* ---- peers ---- */

struct acc_peer *acc_peer_find(const struct access *a, const char *name)
{
	for (size_t i = 0; i < a->peer_count; i++) {
		if (strcmp(a->peers[i]->name, name) == 0)
			return a->peers[i];
	}
	return NULL;
}

void acc_peers_cancel(const struct access *a, const struct access_conf *conf, struct acc_peer **v)
{
	for (size_t i = 0; v && i < conf->peer_count; i++) {
		if (v[i] && !acc_peer_find(a, v[i]->name))
			free(v[i]);
	}
	free(v);
}

struct acc_peer **acc_peers_prepare(const struct access *a, const struct access_conf *conf)
{
	struct acc_peer **v = calloc(conf->peer_count + a->peer_count + 1, sizeof(*v));

	for (size_t i = 0; v && i < conf->peer_count; i++) {
		const char *name = conf->peers[i].name;

		v[i] = acc_peer_find(a, name);
		if (v[i])
			continue;
		v[i] = calloc(1, sizeof(*v[i]));
		if (!v[i]) {
			acc_peers_cancel(a, conf, v);
			return NULL;
		}
		memcpy(v[i]->name, name, strnlen(name, CONF_NAME - 1));
	}
	return v;
}

/* Peers of the configuration in its order, then those that are gone but still have tunnels. */
void acc_peers_commit(struct access *a, struct mono now, const struct access_conf *conf,
		      struct acc_peer **v)
{
	size_t n = conf->peer_count;
	adit_handle h;

	for (size_t i = 0; i < a->peer_count; i++)
		a->peers[i]->c = NULL;
	for (size_t i = 0; i < n; i++)
		v[i]->c = &conf->peers[i];
	for (size_t i = 0; i < a->peer_count; i++) {
		if (a->peers[i]->c)
			continue;
		v[n++] = a->peers[i];
		a->former = true;
	}
	free(a->peers);
	a->peers = v;
	a->peer_count = n;
	for (h = pool_next(a->tunnels, 0); h; h = pool_next(a->tunnels, h)) {
		struct acc_tunnel *t = pool_get(a->tunnels, h);

		if (t->peer && !t->peer->c)
			acc_tunnel_close(a, now, t, L2TP_STOP_CLEAR, ADIT_CAUSE_CONFIG,
					 cause_text(ADIT_CAUSE_CONFIG));
	}
}

/* Free those that are gone and have no tunnel left. */
void acc_peers_purge(struct access *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->peer_count; i++) {
		struct acc_peer *p = a->peers[i];

		if (p->c || p->tunnels) {
			a->former |= !p->c;
			a->peers[n++] = p;
		} else {
			free(p);
		}
	}
	a->peer_count = n;
}

void acc_peers_free(struct access *a)
{
	for (size_t i = 0; i < a->peer_count; i++)
		free(a->peers[i]);
	free(a->peers);
}

bool access_peer(const struct access *a, size_t index, struct access_peer_info *ret)
{
	const struct acc_peer *p;

	if (index >= a->peer_count)
		return false;
	p = a->peers[index];
	*ret = (struct access_peer_info){ .name = p->name,
					  .tunnels = p->tunnels,
					  .sessions = p->sessions,
					  .max_tunnels = p->c ? p->c->max_tunnels : 0,
					  .max_sessions = p->c ? p->c->max_sessions : 0,
					  .accepted = p->accepted,
					  .refused = p->refused };
	return true;
}
