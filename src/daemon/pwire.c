/* SPDX-License-Identifier: MIT
 *
 * Pseudowires in aditd: the engine of access/pw.h between the data plane, the journal, the sockets
 * and people, as run.c does it for sessions of access/access.h. Its records are kinds of their own
 * in the same journal.
 */
#include "daemon.h"

#include "base/crypto.h"
#include "base/text.h"
#include "base/wire.h"
#include "dp/path.h"
#include "keeper/layout.h"
#include "keeper/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define RECORD_MAX (PW_SAVE_CONN_MAX > PW_SAVE_SESSION_MAX ? PW_SAVE_CONN_MAX : PW_SAVE_SESSION_MAX)

bool pwire_open(struct daemon *d)
{
	struct pw_config config = { .trace = d->trace, .incarnation = d->incarnation };
	struct pw_cmd cmd = { .kind = PW_CMD_CONF, .conf = d->conf->pw };

	if (getrandom(config.seed, sizeof(config.seed), 0) != sizeof(config.seed)) {
		daemon_say(d, TRACE_WARNING, "no random numbers: %s", strerror(errno));
		return false;
	}
	d->pw = pwe_new(&config);
	bytes_wipe(config.seed, sizeof(config.seed));
	if (d->pw && pwe_do(d->pw, d->now, &cmd) == 0)
		return true;
	daemon_say(d, TRACE_WARNING, "out of memory");
	return false;
}

/* ---- events ---- */

static const char *reason(const struct pw_event *ev, char *buf, size_t cap)
{
	const char *because = cause_text(ev->cause);
	char text[256];

	text_escape(text, sizeof(text), ev->text, strlen(ev->text));
	if (ev->text[0] && strcmp(ev->text, because) != 0)
		snprintf(buf, cap, "%s: %s", because, text);
	else
		snprintf(buf, cap, "%s", because);
	return buf;
}

static void say_circuits(struct daemon *d, const struct pw_event *ev)
{
	daemon_say(d, TRACE_NOTICE, "pseudowire \"%s\": the circuit is %s here and %s there",
		   ev->name, ev->near_up ? "up" : "down", ev->far_up ? "up" : "down");
}

/* What fits on the way to the peer: the interfaces have MTUs that follow from it. */
static void look_path(struct daemon *d, uint32_t tunnel, const struct path *path)
{
	struct pw_cmd cmd = { .kind = PW_CMD_PATH, .tunnel = tunnel };

	cmd.mtu = path_mtu(path);
	pwe_do(d->pw, d->now, &cmd);
}

static void on_tunnel_up(struct daemon *d, const struct pw_event *ev)
{
	struct path path = *ev->path;
	uint32_t tunnel = ev->tunnel;
	char remote[ADDR_TEXT_MAX], host[3 * L2TP_NAME_MAX];

	plane_trust(d, &ev->path->remote);
	daemon_say(d, TRACE_NOTICE, "tunnel %u with %s (%s, \"%s\") is up, L2TPv3 over %s",
		   ev->tunnel, addr_text(&ev->path->remote, remote), ev->name,
		   text_escape(host, sizeof(host), ev->host, strlen(ev->host)),
		   ev->encap == DP_ENCAP_IP ? "IP" : "UDP");
	pwire_tunnel_tell(d, tunnel);
	look_path(d, tunnel, &path);
}

/* A request the plane could not even queue. */
static void plane_failed(struct daemon *d, enum dp_op op, uint64_t key, uint32_t generation,
			 int error)
{
	struct dp_done done = { .op = (uint8_t)op, .key = key, .generation = generation };
	struct pw_cmd cmd = { .kind = PW_CMD_DP_DONE, .done = &done };

	done.error = error;
	snprintf(done.text, sizeof(done.text), "%s", strerror(-error));
	pwe_do(d->pw, d->now, &cmd);
}

static void say_mtu(struct daemon *d, const struct pw_event *ev)
{
	struct pw_wire_info i;
	char text[PW_MTU_TEXT];

	if (pwe_wire_find(d->pw, ev->name, &i) && i.conf && i.conf->mtu &&
	    pw_mtu_large(&i.row, path_mtu(&i.row.path), text, sizeof(text)))
		daemon_say(d, TRACE_WARNING, "pseudowire \"%s\": %s", i.name, text);
}

static void on_event(struct daemon *d, const struct pw_event *ev)
{
	char why[512], remote[ADDR_TEXT_MAX];
	uint32_t generation = ev->generation;
	uint64_t key = ev->key;
	int rc;

	switch (ev->kind) {
	case PW_EV_DP_PUT:
		rc = d->dp->ops->put(d->dp, key, generation, ev->row);
		if (rc < 0)
			plane_failed(d, DP_OP_PUT, key, generation, rc);
		break;
	case PW_EV_DP_DEL:
		rc = d->dp->ops->del(d->dp, key, generation);
		if (rc < 0)
			plane_failed(d, DP_OP_DEL, key, generation, rc);
		break;
	case PW_EV_RESOLVE:
		peer_resolve_wire(d, ev);
		break;
	case PW_EV_TUNNEL_UP:
		on_tunnel_up(d, ev);
		break;
	case PW_EV_TUNNEL_DOWN:
		if (d->dp->ops->tunnel_del(d->dp, ev->tunnel) < 0)
			daemon_say(d, TRACE_WARNING, "tunnel %u: out of memory", ev->tunnel);
		daemon_say(d, TRACE_NOTICE, "tunnel %u with %s (%s) ended because %s", ev->tunnel,
			   addr_text(&ev->path->remote, remote), ev->name,
			   reason(ev, why, sizeof(why)));
		break;
	case PW_EV_UP:
		daemon_say(d, TRACE_NOTICE, "pseudowire \"%s\" to %s is up on %s, MTU %u", ev->name,
			   addr_text(&ev->path->remote, remote), ev->ifname, ev->mtu);
		if (!ev->near_up || !ev->far_up)
			say_circuits(d, ev);
		say_mtu(d, ev);
		break;
	case PW_EV_NO_CIRCUIT:
		daemon_say(
			d, TRACE_WARNING,
			"pseudowire \"%s\": there is no interface %s, which is to be its circuit; "
			"to the peer it is down until there is",
			ev->name, ev->row->circuit);
		break;
	case PW_EV_CIRCUIT:
		say_circuits(d, ev);
		break;
	case PW_EV_DOWN:
		daemon_say(d, TRACE_NOTICE, "pseudowire \"%s\" %s because %s", ev->name,
			   ev->established ? "ended" : "failed", reason(ev, why, sizeof(why)));
		access_fail(d->access, d->now, ev->key, ev->name, &ev->remote, ev->cause, ev->text);
		break;
	}
}

bool pwire_events(struct daemon *d)
{
	struct pw_event ev;
	bool any = false;

	while (pwe_event(d->pw, d->now, &ev)) {
		on_event(d, &ev);
		any = true;
	}
	return any;
}

/* ---- tunnels ---- */

void pwire_tunnel_tell(struct daemon *d, uint32_t local)
{
	struct dp_tunnel t = { .version = 3, .local = local };
	struct pw_tunnel_info i;

	if (!pwe_tunnel(d->pw, local, &i))
		return;
	t.want = i.plane;
	t.remote = i.l2tp.remote_id;
	t.path = i.l2tp.path;
	t.encap = i.l2tp.over_ip ? DP_ENCAP_IP : DP_ENCAP_UDP;
	if (d->dp->ops->tunnel(d->dp, &t) < 0)
		daemon_say(d, TRACE_WARNING, "tunnel %u: out of memory", local);
}

void pwire_tunnels(struct daemon *d)
{
	struct pw_tunnel_info i;

	for (uint32_t id = 0; (id = pwe_tunnel_next(d->pw, id));) {
		if (!pwe_tunnel(d->pw, id, &i))
			continue;
		plane_trust(d, &i.l2tp.path.remote);
		pwire_tunnel_tell(d, id);
	}
}

/* ---- what comes in ---- */

/* Over IP all shares one socket, which may be there for pseudowires alone. */
static bool listener(const struct daemon *d, uint32_t via)
{
	const struct conf_socket *s = conf_socket_find(d->conf, via);

	return s && s->listener;
}

/* Is it about PPP over L2TPv3, which is access.h's? Its ids are of its own range, but pseudowires
 * of a release that did not part them keep theirs. Who has a block for pseudowires is asked for
 * them. */
static bool of_ppp(struct daemon *d, const struct dp_punt *p)
{
	struct rcur c = rcur_of(p->bytes, p->len);
	bool udp = p->path.remote.port != 0, control;
	uint32_t first = rcur_u32(&c), id = first;
	struct pw_tunnel_info i;

	control = udp ? first >> 31 : !first;
	if (control && !udp)
		rcur_u32(&c);
	if (control || udp)
		id = rcur_u32(&c);
	if (c.bad || !access_serves3(d->access, &p->path, p->bytes, p->len))
		return false;
	if (control && !id)
		return !pwe_serves(d->pw, &p->path) && (udp || listener(d, p->path.via));
	return !control || !pwe_tunnel(d->pw, id, &i);
}

bool pwire_input(struct daemon *d, const struct dp_punt *p, int *ret)
{
	enum l2tp3_which which =
		p->path.remote.port ? l2tp3_which(p->bytes, p->len) : L2TP3_WHICH_V3;

	if (which != L2TP3_WHICH_V3 && !(which == L2TP3_WHICH_OFFER && pwe_serves(d->pw, &p->path)))
		return false;
	if (!l2tp3_stops_all(&p->path, p->bytes, p->len) && of_ppp(d, p))
		return false;
	*ret = pwe_input(d->pw, d->now, &p->path, p->bytes, p->len);
	/* Whose connection it is about each engine has to find out. */
	return !l2tp3_stops_all(&p->path, p->bytes, p->len) ||
	       !access_serves3(d->access, &p->path, p->bytes, p->len);
}

bool pwire_done(struct daemon *d, const struct dp_done *done)
{
	struct pw_cmd cmd = { .kind = PW_CMD_DP_DONE, .done = done };

	if (done->op == DP_OP_NET || !pwe_has(d->pw, done->key))
		return false;
	pwe_do(d->pw, d->now, &cmd);
	return true;
}

bool pwire_plane_event(struct daemon *d, const struct dp_event *e)
{
	struct pw_cmd cmd = { .kind = PW_CMD_DP_LOST, .key = e->key, .text = e->text };
	struct pw_tunnel_info i;

	if (e->kind == DP_EV_TUNNEL || e->kind == DP_EV_TUNNEL_LOST) {
		if (!pwe_tunnel(d->pw, e->tunnel, &i))
			return false;
		cmd.key = 0;
		cmd.tunnel = e->tunnel;
		if (e->kind == DP_EV_TUNNEL_LOST)
			pwe_do(d->pw, d->now, &cmd);
		else if (e->error)
			daemon_say(d, d->kernel_missing ? TRACE_DEBUG : TRACE_NOTICE,
				   "tunnel %u is carried in user space: %s", e->tunnel, e->text);
		else
			daemon_say(d, TRACE_INFO, "tunnel %u is carried by the kernel", e->tunnel);
		return true;
	}
	if (!pwe_has(d->pw, e->key))
		return false;
	if (e->kind == DP_EV_CIRCUIT) {
		cmd.kind = PW_CMD_CIRCUIT;
		cmd.up = e->up;
		cmd.missing = e->missing;
	}
	pwe_do(d->pw, d->now, &cmd);
	return true;
}

/* ---- the journal ---- */

static uint8_t store_kind(enum pw_object kind)
{
	return kind == PW_OBJ_CONN ? LAYOUT_PW_CONN : LAYOUT_PW_SESSION;
}

size_t pwire_commit(struct daemon *d)
{
	uint8_t buf[RECORD_MAX];
	enum pw_object kind;
	size_t n = 0;
	uint64_t id;
	bool gone;

	for (; pwe_dirty(d->pw, &kind, &id, &gone); n++) {
		struct wcur c = wcur_of(buf, sizeof(buf));
		int rc = 0;

		if (gone) {
			store_del(d->store, store_kind(kind), id);
			continue;
		}
		pwe_save(d->pw, kind, id, &c);
		rc = c.bad ? -EMSGSIZE : store_put(d->store, store_kind(kind), id, c.buf, c.len);
		if (rc == 0)
			continue;
		store_del(d->store, store_kind(kind), id);
		if (!d->journal_full)
			daemon_say(d, TRACE_WARNING,
				   "a record does not fit into the journal (%s); what has none "
				   "ends when aditd restarts",
				   strerror(-rc));
		d->journal_full = true;
	}
	return n;
}

bool pwire_load(struct daemon *d, struct journal_lost *lost)
{
	static const enum pw_object kinds[] = { PW_OBJ_CONN, PW_OBJ_SESSION };

	struct access_summary s;

	access_summary(d->access, &s);
	if (s.draining) /* before it, too: it is part of the STATE record */
		pwe_do(d->pw, d->now,
		       &(struct pw_cmd){ .kind = PW_CMD_DRAIN, .up = true, .rate = s.drain_rate });
	for (size_t i = 0; i < 2; i++) {
		enum journal_kind kind = i ? JOURNAL_SESSION : JOURNAL_TUNNEL;
		struct store_record r;
		uint64_t pos = 0;

		while (store_walk(d->store, store_kind(kinds[i]), &pos, &r)) {
			struct rcur c = rcur_of(r.bytes, r.len);
			int rc;

			if (!journal_found(lost, kind, &r))
				continue;
			rc = pwe_load(d->pw, d->now, kinds[i], r.id, &c);
			if (rc < 0)
				return false;
			journal_took(lost, kind, rc);
		}
	}
	pwe_loaded(d->pw, d->now);
	return true;
}

/* ---- a new configuration ---- */

bool pwire_conf(struct daemon *d, const struct conf *next)
{
	struct pw_cmd cmd = { .kind = PW_CMD_CONF, .conf = next->pw };
	struct pw_tunnel_info i;

	if (pwe_do(d->pw, d->now, &cmd) != 0)
		return false;
	for (uint32_t id = 0; (id = pwe_tunnel_next(d->pw, id));)
		if (pwe_tunnel(d->pw, id, &i))
			look_path(d, id, &i.l2tp.path);
	return true;
}

size_t pwire_effects(struct daemon *d, const struct conf *next, char *buf, size_t cap)
{
	struct pw_wire_info i;
	size_t len = 0;

	buf[0] = '\0';
	for (size_t n = 0; pwe_wire(d->pw, n, &i) && len < cap; n++) {
		const struct pw_conf_wire *to = i.conf ? conf_pw_find(next, i.name) : NULL;

		if (!i.up || !i.conf)
			continue;
		if (to && to->digest == i.conf->digest &&
		    next->pw->tunnels[to->tunnel].digest == i.tunnel->digest)
			continue;
		len += (size_t)snprintf(buf + len, cap - len, "pseudowire \"%s\" %s\n", i.name,
					to ? "is ended and set up anew" : "is ended");
	}
	return len < cap ? len : cap - 1;
}
