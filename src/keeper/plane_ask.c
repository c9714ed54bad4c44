/* SPDX-License-Identifier: MIT
 *
 * Requests of aditd to the kernel's plane: each is held against the configuration (rights.h), then
 * handed on, or answered at once with what speaks against it. Deletions of one datagram are handed
 * over together.
 */
#include "plane_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/wire.h"
#include "rights.h"

#define PROBE_MS 3000 /* what a look at the kernel has found is good for so long */

static const char *refused(struct kplane *p, const char *what, const char *why)
{
	kplane_say(p, TRACE_WARNING, "refused to aditd (%s): %s", what, why);
	return why;
}

/* The LNS's address inside stands on the VRF, as on lo elsewhere; it was held against the profiles
 * with the row. */
static int vrf_addr(struct kplane *p, struct held *h, const struct dp_row *r, char *text)
{
	struct prefix own = { .addr = r->source4, .len = 32 };
	const char *why = "";
	int err;

	if (h->on_vrf || !r->master[0] || r->netns || !r->source4.family || r->flags & DP_F_CLIENT)
		return 0;
	err = net_addr(p->config.net, r->master, &own, true, &why);
	if (err)
		snprintf(text, KERNEL_TEXT, "our address cannot be put on VRF %s: %s", r->master,
			 why[0] ? why : strerror(-err));
	h->on_vrf = !err;
	return err;
}

static void on_put(struct kplane *p, const struct batch_record *r)
{
	char text[KERNEL_TEXT] = "";
	struct held *h;
	int error = 0;

	_Static_assert(KERNEL_TEXT >= RIGHTS_TEXT, "one buffer for both");
	const char *missing =
		!p->missing[0] && r->u.row.ends != DP_L2TP_ETH ? p->no_ppp : p->missing;

	if (missing[0]) {
		kplane_tell_done(p, DP_OP_PUT, r->key, r->generation, -EOPNOTSUPP, missing);
		return;
	}
	if (!rights_row(p->conf, &r->u.row, p->config.known(p->config.arg, &r->u.row.path.remote),
			text)) {
		refused(p, "session", text);
		error = -EPERM;
	} else if (kernel_can_row(&p->probe, &r->u.row, text)) {
		error = -EOPNOTSUPP;
	}
	h = error ? NULL : kplane_held_make(p, r->key);
	if (h)
		h->ended = false;
	if (!error && !h)
		error = -ENOMEM;
	if (!error && p->held_count > p->conf->max_sessions)
		error = -ENFILE;
	if (!error)
		error = vrf_addr(p, h, &r->u.row, text);
	if (!error) {
		/* before its routes are there */
		kplane_held_pin(p, h, r->u.row.pin_peer ? &r->u.row.path.remote : NULL);
		error = kernel_put(p->k, r->key, r->generation, r->u.row.local_tunnel, &r->u.row);
	}
	if (!error)
		return;
	kplane_held_forget(p, r->key);
	kplane_tell_done(p, DP_OP_PUT, r->key, r->generation, error,
			 text[0] ? text : strerror(-error));
}

static void dels_flush(struct kplane *p)
{
	size_t n = p->del_count;
	int rc;

	p->del_count = 0;
	if (!n)
		return;
	rc = kernel_del_many(p->k, p->dels, p->del_generations, n);
	for (size_t i = 0; rc < 0 && i < n; i++)
		kplane_tell_done(p, DP_OP_DEL, p->dels[i], p->del_generations[i], rc,
				 strerror(-rc));
}

/* A former aditd has deleted it, and did not live to write down what it had counted. */
static void tell_again(struct kplane *p, struct held *h, uint32_t generation)
{
	struct batch_record r = { .tag = BATCH_DONE };

	h->epoch = p->epoch;
	r.u.done = (struct dp_done){ .op = DP_OP_DEL, .key = h->key, .generation = generation };
	if (h->last)
		r.u.done.counters = *h->last;
	kplane_tell(p, &r);
}

static void on_forget(struct kplane *p, uint64_t key)
{
	const struct held *h = kplane_held_find(p, key);

	if (h && h->ended)
		kplane_held_drop(p, key);
}

static void on_del(struct kplane *p, const struct batch_record *r)
{
	struct held *h = kplane_held_find(p, r->key);

	if (h && h->ended) {
		tell_again(p, h, r->generation);
		return;
	}
	if (!p->k) {
		kplane_tell_done(p, DP_OP_DEL, r->key, r->generation, 0, "");
		return;
	}
	if (p->del_count == KPLANE_DELS_MAX)
		dels_flush(p);
	p->dels[p->del_count] = r->key;
	p->del_generations[p->del_count++] = r->generation;
}

static bool net_has(const struct prefix *v, uint8_t n, const struct prefix *p)
{
	for (uint8_t i = 0; i < n; i++)
		if (v[i].len == p->len && addr_same_ip(&v[i].addr, &p->addr))
			return true;
	return false;
}

/* The LNS's addresses stand on lo: sessions have no address of their own on our side. */
static void on_net(struct kplane *p, const struct batch_record *r)
{
	const struct dp_net *n = &r->u.net;
	char no[RIGHTS_TEXT] = "";
	const char *text = "";
	int error = 0;

	for (uint8_t i = 0; !error && i < n->local_count; i++) {
		if (!rights_addr(p->conf, "lo", &n->local[i], no)) {
			error = -EPERM;
			text = refused(p, "address", no);
		} else if (p->k) {
			error = net_addr(p->config.net, "lo", &n->local[i], true, &text);
		}
	}
	for (uint8_t i = 0; !error && p->k && i < p->local_count; i++) {
		if (!net_has(n->local, n->local_count, &p->local[i]))
			net_addr(p->config.net, "lo", &p->local[i], false, NULL);
	}
	if (!error && p->k) {
		memcpy(p->local, n->local, sizeof(p->local));
		p->local_count = n->local_count;
	}
	kplane_tell_done(p, DP_OP_NET, 0, r->generation, error, error ? text : "");
}

static struct kernel_tunnel tunnel_of(const struct conf *c, const struct dp_tunnel *t)
{
	const struct conf_socket *s = conf_socket_find(c, t->path.via);
	struct kernel_tunnel k = {
		.version = t->version,
		.encap = t->encap,
		.managed = true,
		.local_id = t->local,
		.remote_id = t->remote,
		.path = t->path,
	};

	if (s) {
		memcpy(k.device, s->device, sizeof(k.device));
		k.mark = s->mark;
	}
	return k;
}

/* The plane's netlink sockets lie in our namespace, and a tunnel has to be where its socket is. */
static bool elsewhere(const struct conf *c, const struct dp_tunnel *t, char *text)
{
	const struct conf_socket *s = conf_socket_find(c, t->path.via);

	if (!s || !s->netns[0])
		return false;
	snprintf(
		text, KERNEL_TEXT,
		"it came in by \"%s\", which lies in network namespace %s: the kernel's data plane "
		"does not work there",
		s->name, s->netns);
	return true;
}

static void on_tunnel(struct kplane *p, const struct dp_tunnel *t)
{
	struct htunnel *h = kplane_tunnel_find(p, t->local);
	struct kernel_tunnel k = tunnel_of(p->conf, t);
	char text[KERNEL_TEXT] = "";
	int error = 0;

	const char *missing = !p->missing[0] && t->version == 2 ? p->no_ppp : p->missing;

	if (missing[0]) { /* L2TPv2 carries PPP alone */
		kplane_tell_tunnel(p, t->local, -EOPNOTSUPP, missing, -1);
		return;
	}
	if (!rights_tunnel(p->conf, t, p->config.known(p->config.arg, &t->path.remote), text)) {
		refused(p, "tunnel", text);
		error = -EPERM;
	} else if (elsewhere(p->conf, t, text)) {
		error = -EOPNOTSUPP;
	} else if (kernel_can_tunnel(&p->probe, &k, text)) {
		error = -EOPNOTSUPP;
	} else if (!h && p->tunnel_count >= p->conf->max_tunnels) {
		error = -ENFILE;
	} else if (!h) {
		h = kplane_tunnel_make(p, t->local);
		error = h ? 0 : -ENOMEM;
	}
	if (!error) {
		h->epoch = p->epoch;
		error = kernel_tunnel_put(p->k, t->local, p->generation + 1, &k);
		if (!error)
			h->generation = ++p->generation;
	}
	if (!error)
		return;
	kplane_tell_tunnel(p, t->local, error, text[0] ? text : strerror(-error), -1);
}

static void on_send(struct kplane *p, const struct batch_record *r)
{
	struct rcur c = rcur_of(r->bytes, r->len);

	if (!p->k)
		return;
	/* An IPv6 packet of the engine: out of the interface, not down the PPP control path. */
	if (r->len > 2 && rcur_u16(&c) == 0x0057)
		kernel_send_local(p->k, r->key, r->bytes + 2, r->len - 2);
	else
		kernel_send(p->k, r->key, r->bytes, r->len);
}

static void on_list(struct kplane *p)
{
	struct batch_record r = { .tag = BATCH_ROW }, end = { .tag = BATCH_LIST_END };
	struct htab_node *n;
	uint64_t pos = 0, tunnel;

	/* It is long, and needed once, at the start: more of them would fill our memory. Whether
	 * there is a plane by now may be asked again after each reload. */
	if (p->answered)
		return;
	p->answered = true;
	while (!p->listed && p->k &&
	       kernel_list(p->k, &pos, &r.key, &r.generation, &tunnel, NULL)) {
		struct held *h = kplane_held_find(p, r.key);

		if (tunnel > UINT32_MAX || !h || h->ended)
			continue; /* static ones are the keeper's own */
		r.tunnel.local = (uint32_t)tunnel;
		h->rx = h->tx = 0; /* this aditd has heard of nothing */
		kplane_tell(p, &r);
	}
	/* Deleted, but perhaps not in the journal: asked for again they are answered once more. */
	for (n = NULL, pos = 0; !p->listed && p->k && (n = htab_walk(&p->held, &pos, n));) {
		const struct held *h = container_of(n, struct held, node);

		if (!h->ended)
			continue;
		r = (struct batch_record){ .tag = BATCH_ROW, .key = h->key };
		kplane_tell(p, &r);
	}
	p->listed = true;
	kplane_tell_wires(p, false);
	if (p->missing[0]) {
		end.error = -EOPNOTSUPP;
		snprintf(end.text, sizeof(end.text), "%s", p->missing);
	}
	kplane_tell(p, &end);
}

/* Could it be tried at all? What is missing below it is told instead. */
static bool tried(const struct kernel_probe *probe, enum kernel_gap gap)
{
	bool l2tp = !KERNEL_HAS_GAP(probe, KERNEL_GAP_GENL) &&
		    !KERNEL_HAS_GAP(probe, KERNEL_GAP_NET_ADMIN);
	bool ppp = !KERNEL_HAS_GAP(probe, KERNEL_GAP_PPP_NODE) &&
		   !KERNEL_HAS_GAP(probe, KERNEL_GAP_PPP);
	bool pipe = !KERNEL_HAS_GAP(probe, KERNEL_GAP_PPPOL2TP);

	switch (gap) {
	case KERNEL_GAP_ETH:
	case KERNEL_GAP_NAMESPACE:
		return l2tp;
	case KERNEL_GAP_TUPLE:
		return l2tp && pipe;
	case KERNEL_GAP_BRIDGE:
		return l2tp && pipe && ppp;
	case KERNEL_GAP_MPPE:
		return ppp;
	case KERNEL_GAP_PPP:
		return !KERNEL_HAS_GAP(probe, KERNEL_GAP_PPP_NODE);
	case KERNEL_GAP_GENL:
	case KERNEL_GAP_NET_ADMIN:
	case KERNEL_GAP_PPP_NODE:
	case KERNEL_GAP_PPPOL2TP:
	case KERNEL_GAP_IP4:
	case KERNEL_GAP_IP6:
	case KERNEL_GAP_UDP6:
	case KERNEL_GAP_COUNT:
		break;
	}
	return true;
}

static void found(struct kplane *p, const char *name, bool ok, const char *text)
{
	struct batch_record r = { .tag = BATCH_FOUND, .ok = ok };

	snprintf(r.name, sizeof(r.name), "%s", name);
	snprintf(r.text, sizeof(r.text), "%s", ok ? "" : text);
	kplane_tell(p, &r);
}

/* What it comes to for each kind of session. */
static void kinds_found(struct kplane *p)
{
	char why[BATCH_LINE] = "";
	bool ok = kplane_carries(&p->probe, KPLANE_PPP, why);

	found(p, "ppp-sessions", ok, why);
	ok = kplane_carries(&p->probe, KPLANE_ETHERNET, why);
	found(p, "ethernet-pseudowires", ok, why);
}

static void on_probe(struct kplane *p, struct mono now)
{
	struct batch_record end = { .tag = BATCH_PROBE_END };
	char text[BATCH_LINE];

	/* It takes some 100 ms, in which the keeper does nothing else. */
	if (mono_due(p->probe_at, now)) {
		kplane_probe(p);
		p->probe_at = mono_add(now, PROBE_MS * US_MS);
	}
	for (enum kernel_gap g = 0; p->probed && g < KERNEL_GAP_COUNT; g++) {
		const char *remedy = kernel_gap_remedy(g);

		if (!tried(&p->probe, g))
			continue;
		snprintf(text, sizeof(text), "%s%s%s", kernel_gap_text(g), remedy[0] ? ": " : "",
			 remedy);
		found(p, kernel_gap_name(g), !KERNEL_HAS_GAP(&p->probe, g), text);
	}
	if (p->probed)
		kinds_found(p);
	else
		found(p, "probe", false, p->missing);
	if (p->others)
		found(p, "interface-groups", false, p->missing);
	kplane_tell(p, &end);
}

/* The pseudowires are the keeper's own: whoever has taken aditd over must not reach them. */
static bool key_refused(struct kplane *p, const struct batch_record *r)
{
	static const char why[] = "this key belongs to the keeper's own pseudowires";

	if (r->key < WIRES_KEY_FIRST)
		return false;
	if (r->tag == BATCH_PUT || r->tag == BATCH_DEL)
		kplane_tell_done(p, r->tag == BATCH_PUT ? DP_OP_PUT : DP_OP_DEL, r->key,
				 r->generation, -EPERM, refused(p, "session", why));
	return true;
}

static void take(struct kplane *p, const struct batch_record *r, struct mono now)
{
	if (key_refused(p, r))
		return;
	switch (r->tag) {
	case BATCH_PUT:
		on_put(p, r);
		break;
	case BATCH_DEL:
		on_del(p, r);
		break;
	case BATCH_NET:
		on_net(p, r);
		break;
	case BATCH_TUNNEL:
		on_tunnel(p, &r->tunnel);
		break;
	case BATCH_TUNNEL_DEL:
		kplane_tunnel_end(p, r->tunnel.local);
		break;
	case BATCH_SEND:
		on_send(p, r);
		break;
	case BATCH_FORGET:
		on_forget(p, r->key);
		break;
	case BATCH_LIST:
		on_list(p);
		break;
	case BATCH_PROBE:
		on_probe(p, now);
		break;
	case BATCH_DONE:
	case BATCH_TUNNEL_DONE:
	case BATCH_PUNT:
	case BATCH_COUNTERS:
	case BATCH_ROW_LOST:
	case BATCH_TUNNEL_LOST:
	case BATCH_ROW:
	case BATCH_LIST_END:
	case BATCH_FOUND:
	case BATCH_PROBE_END:
	case BATCH_WIRE:
		break; /* only the other way */
	}
}

/* A request that could not be read is answered as far as it is known whose it was. */
static void unreadable(struct kplane *p, const struct batch_record *r)
{
	static const char text[] = "the keeper could not read the request";

	if (r->tag == BATCH_PUT)
		kplane_tell_done(p, DP_OP_PUT, r->key, r->generation, -EBADMSG, text);
	else if (r->tag == BATCH_NET)
		kplane_tell_done(p, DP_OP_NET, 0, r->generation, -EBADMSG, text);
	else if (r->tag == BATCH_TUNNEL)
		kplane_tell_tunnel(p, r->tunnel.local, -EBADMSG, text, -1);
}

void kplane_input(struct kplane *p, struct mono now, const uint8_t *records, size_t len)
{
	struct rcur c = rcur_of(records, len);
	struct batch_record r;
	int rc;

	while ((rc = batch_load(&c, &r)) != 0) {
		if (r.tag != BATCH_DEL || rc < 0)
			dels_flush(p); /* requests stay in their order */
		if (rc > 0)
			take(p, &r, now);
		else if (c.bad)
			break;
		else
			unreadable(p, &r);
	}
	dels_flush(p);
	kplane_flush(p, false);
}
