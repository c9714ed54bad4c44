/* SPDX-License-Identifier: MIT
 *
 * The engine of L2TPv2 beside that of L2TPv3 in a transcript, on the same port: `engine v2`. See
 * harness3.h; the owner does what l2tp3.h asks of it where one request is for either version.
 */
#include "harness3.h"
#include <string.h>

void harness_v2_start(struct harness *h)
{
	struct l2tp_config config = { 0 };
	struct l2tp_params p = { .host_name = h->params.host_name,
				 .secret = h->params.secret[0].p,
				 .secret_len = h->params.secret[0].n,
				 .challenge = h->params.secret[0].n };
	int err;

	if (!h->with_v2)
		return;
	memcpy(config.seed, h->config.seed, sizeof(config.seed));
	h->v2.engine = l2tp_new(&config);
	h->v2.profile = l2tp_profile_new(&p, &err);
	h->v2.peer.secret = h->peer.secret;
	if (!h->v2.engine || !h->v2.profile)
		fail(&h->log, "no engine of L2TPv2");
}

void harness_v2_free(struct harness *h)
{
	if (!h->with_v2)
		return;
	l2tp_free(h->v2.engine);
	l2tp_profile_unref(h->v2.profile);
}

bool harness_v2_offer(struct harness *h, struct l2tp3_cmd *ask)
{
	struct l2tp_offer offer;
	struct l2tp_cmd open = { .kind = L2TP_CMD_TUNNEL_OPEN,
				 .profile = h->v2.profile,
				 .path = ask->path,
				 .offer = &offer };

	if (!h->with_v2)
		return false;
	ask->kind = L2TP3_CMD_CONN_OFFER;
	ask->ret_offer = &offer;
	if (l2tp3_do(h->engine, h->log.now, ask) || l2tp_do(h->v2.engine, h->log.now, &open)) {
		fail(&h->log, "the engines make no offer");
		return true;
	}
	h->v2.offered = ask->ret_handle;
	h->v2.offer = open.ret_handle;
	label(h->v2.tunnel, &h->v2.tunnels, open.ret_handle);
	return true;
}

/* The request was answered in the other version, or is over there: nobody is told. */
static void drop_conn(struct harness *h)
{
	struct l2tp3_cmd close = { .kind = L2TP3_CMD_CONN_CLOSE, .conn = h->v2.offered };

	if (h->v2.offered && l2tp3_do(h->engine, h->log.now, &close) < 0)
		fail(&h->log, "the connection of an offer cannot be closed");
	h->v2.offered = h->v2.offer = 0;
}

void harness_v2_heard(struct harness *h, const struct l2tp3_event *e)
{
	struct l2tp_cmd drop = { .kind = L2TP_CMD_TUNNEL_ABANDON, .tunnel = h->v2.offer };

	if (!h->v2.offered || e->conn != h->v2.offered ||
	    (e->kind != L2TP3_EV_CONN_UP && e->kind != L2TP3_EV_CONN_DOWN))
		return;
	if (l2tp_do(h->v2.engine, h->log.now, &drop) < 0)
		fail(&h->log, "the tunnel of an offer cannot be abandoned");
	h->v2.offered = h->v2.offer = 0;
}

static void event_tell(struct harness *h, const struct l2tp_event *e)
{
	unsigned t = label(h->v2.tunnel, &h->v2.tunnels, e->tunnel);

	if (e->kind == L2TP_EV_TUNNEL_ASK)
		note(&h->log, "! tunnel-ask t%u host=\"%s\"", t, e->host_name);
	else if (e->kind == L2TP_EV_TUNNEL_UP)
		note(&h->log, "! tunnel-up t%u host=\"%s\"", t, e->host_name);
	else if (e->kind == L2TP_EV_TUNNEL_DOWN)
		note(&h->log, "! tunnel-down t%u cause=%s", t, cause_word(e->cause));
	else /* these transcripts have no sessions of L2TPv2 */
		note(&h->log, "! event-of-v2 t%u", t);
}

bool harness_v2_event(struct harness *h)
{
	struct l2tp_event e;
	struct l2tp_cmd accept = { .kind = L2TP_CMD_TUNNEL_ACCEPT, .profile = h->v2.profile };

	if (!h->with_v2 || !l2tp_event(h->v2.engine, &e))
		return false;
	event_tell(h, &e);
	accept.tunnel = e.tunnel;
	if (e.kind == L2TP_EV_TUNNEL_ASK && l2tp_do(h->v2.engine, h->log.now, &accept))
		fail(&h->log, "cannot accept what was asked");
	if (e.tunnel == h->v2.offer &&
	    (e.kind == L2TP_EV_TUNNEL_UP || e.kind == L2TP_EV_TUNNEL_DOWN))
		drop_conn(h);
	return true;
}

bool harness_v2_output(struct harness *h)
{
	enum l2tp_object kind;
	uint8_t buf[L2TP_CONTROL_MAX];
	char words[8000], other[8000], where[200];
	adit_handle handle;
	struct path path;
	bool gone;
	size_t n;

	if (!h->with_v2)
		return false;
	while (l2tp_dirty(h->v2.engine, &kind, &handle, &gone))
		;
	n = l2tp_output(h->v2.engine, h->log.now, buf, sizeof(buf), &path);
	if (!n)
		return false;
	capture(&h->log, &path, buf, n, true);
	wp_tell(&h->v2.peer, buf, n, words, sizeof(words));
	if (l2tp3_which(buf, n) == L2TP3_WHICH_OFFER) /* T may answer in either version */
		wp_tell(&h->peer, buf, n, other, sizeof(other));
	path_say(&h->log, &path, where, sizeof(where));
	note(&h->log, "< v2 %s%s", words, where);
	return true;
}

struct mono harness_v2_deadline(const struct harness *h, struct mono other)
{
	struct mono own = h->with_v2 ? l2tp_deadline(h->v2.engine) : other;

	return own.us < other.us ? own : other;
}

void harness_v2_expire(struct harness *h)
{
	if (h->with_v2)
		l2tp_expire(h->v2.engine, h->log.now);
}

bool harness_v2_input(struct harness *h, const struct path *path, const uint8_t *bytes, size_t len,
		      bool data)
{
	enum l2tp3_which which = h->with_v2 ? l2tp3_which(bytes, len) : L2TP3_WHICH_V3;
	struct l2tp_frame f;
	int rc = L2TP_IN_DROP;

	if (which == L2TP3_WHICH_V3 || which == L2TP3_WHICH_OFFER)
		return false;
	if (which == L2TP3_WHICH_V2)
		rc = l2tp_input(h->v2.engine, h->log.now, path, bytes, len, &f);
	if (rc < 0)
		note(&h->log, "= %d", rc);
	else if (data)
		note(&h->log, rc == L2TP_IN_DROP ? "= dropped" : "= taken");
	return true;
}
