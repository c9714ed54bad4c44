/* SPDX-License-Identifier: MIT
 *
 * The plane of sim.h: the session table and the packet functions of the user-space plane without
 * its thread, devices and sockets. Each request gets its time of execution when it is made;
 * requests of one key never overtake each other.
 */
#include "sim.h"
#include "base/heap.h"
#include "base/htab.h"
#include "base/list.h"
#include "base/rng.h"
#include "forward.h"
#include "pkt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LISTENERS 64

struct request {
	struct heap_node due;
	struct list link; /* in `done` */
	struct htab_node node;
	bool latest; /* of its key: it is in sim->keys */
	struct dp_done done;
	struct dp_row row;
	struct dp_net net;
};

/* A packet on its way out, or a punt. */
struct packet {
	struct list link;
	uint32_t class;
	uint64_t key;
	struct path path;
	size_t len;
	uint8_t bytes[];
};

struct sim {
	struct dp dp;
	struct dp_sim_config config;
	struct rng rng;
	struct mono now;
	struct qsbr qsbr;
	void *memory;
	struct dpt *table;
	struct heap due;
	uint32_t waiting;
	struct htab keys; /* the latest request of each key */
	struct list done, punts, to_host, to_peer;
	struct packet *shown[3]; /* given out last, of each list */
	uint32_t listeners[LISTENERS];
	uint32_t listener_count;
	struct {
		uint64_t key;
		int error;
	} fail;
	struct dp_sim_counts counts;
	struct dp_plane_stats stats;
};

static struct sim *sim_of(struct dp *dp)
{
	return container_of(dp, struct sim, dp);
}

static const struct sim *sim_of_const(const struct dp *dp)
{
	return (const struct sim *)(const void *)((const char *)dp - offsetof(struct sim, dp));
}

/* ---- packets ---- */

static int packet_push(struct list *list, uint32_t class, uint64_t key, const struct path *path,
		       const uint8_t *bytes, size_t len)
{
	struct packet *p = calloc(1, sizeof(*p) + len);

	if (!p)
		return -ENOMEM;
	p->class = class;
	p->key = key;
	if (path)
		p->path = *path;
	p->len = len;
	memcpy(p->bytes, bytes, len);
	list_push(list, &p->link);
	return 0;
}

/* The oldest packet; the one given out before it is freed. */
static struct packet *packet_pop(struct sim *s, struct list *list, unsigned int which)
{
	struct list *l = list_pop(list);

	free(s->shown[which]);
	s->shown[which] = l ? container_of(l, struct packet, link) : NULL;
	return s->shown[which];
}

static void packets_free(struct list *list)
{
	for (struct list *l; (l = list_pop(list)) != NULL;)
		free(container_of(l, struct packet, link));
}

static void punt(struct sim *s, uint32_t class, uint64_t key, const struct path *path,
		 const uint8_t *bytes, size_t len)
{
	if (packet_push(&s->punts, class, key, path, bytes, len) == 0)
		s->stats.punts++;
	else
		s->stats.punts_dropped++;
}

/* ---- requests ---- */

static struct request *latest_of(const struct sim *s, uint64_t key, uint64_t hash)
{
	for (struct htab_node *n = htab_find(&s->keys, hash); n; n = htab_next(n)) {
		struct request *r = container_of(n, struct request, node);

		if (r->done.key == key)
			return r;
	}
	return NULL;
}

static struct request *request_new(struct sim *s, uint8_t op, uint64_t key, uint32_t generation)
{
	struct request *r;

	if (rng_below(&s->rng, 1000) < s->config.no_memory_per_1000)
		return NULL;
	if (htab_reserve(&s->keys) < 0 || heap_reserve(&s->due, s->waiting + 1) < 0)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->done.op = op;
	r->done.key = key;
	r->done.generation = generation;
	return r;
}

static int request_start(struct sim *s, struct request *r)
{
	uint64_t hash = htab_hash(&s->keys, &r->done.key, sizeof(r->done.key));
	struct request *before = latest_of(s, r->done.key, hash);
	int64_t range = s->config.delay_max_us - s->config.delay_min_us;
	struct mono at =
		mono_add(s->now, s->config.delay_min_us +
					 (range > 0 ? rng_below(&s->rng, (uint32_t)range + 1) : 0));

	if (before) {
		if (before->due.at.us >= at.us)
			at = mono_add(before->due.at, 1);
		htab_drop(&s->keys, &before->node);
		before->latest = false;
	}
	htab_put(&s->keys, &r->node, hash);
	r->latest = true;
	s->waiting++;
	heap_set(&s->due, &r->due, at);
	return 0;
}

static int sim_put(struct dp *dp, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	struct sim *s = sim_of(dp);
	struct request *r = request_new(s, DP_OP_PUT, key, generation);

	if (!r)
		return -ENOMEM;
	r->row = *row;
	return request_start(s, r);
}

static int sim_del(struct dp *dp, uint64_t key, uint32_t generation)
{
	struct sim *s = sim_of(dp);
	struct request *r = request_new(s, DP_OP_DEL, key, generation);

	return r ? request_start(s, r) : -ENOMEM;
}

static int sim_net(struct dp *dp, uint32_t generation, const struct dp_net *net)
{
	struct sim *s = sim_of(dp);
	struct request *r = request_new(s, DP_OP_NET, 0, generation);

	if (!r)
		return -ENOMEM;
	r->net = *net;
	return request_start(s, r);
}

static void refuse(struct request *r, int error, const char *text)
{
	r->done.error = error;
	snprintf(r->done.text, sizeof(r->done.text), "%s", text);
}

static bool fails(struct sim *s, const struct request *r)
{
	if (s->fail.error && (!s->fail.key || s->fail.key == r->done.key))
		return true;
	return rng_below(&s->rng, 1000) < s->config.fail_per_1000;
}

static void carry_out_put(struct sim *s, struct request *r)
{
	uint32_t slot;
	uint64_t other;
	int rc;

	s->counts.puts++;
	if (fails(s, r)) {
		refuse(r, s->fail.error ? s->fail.error : -EIO, "the simulated plane failed");
		s->fail.error = 0;
		s->counts.failed++;
		return;
	}
	if (!dp_row_ok(&r->row) || r->done.key == 0) {
		refuse(r, -EINVAL, "the row is not valid");
		return;
	}
	if (r->row.flags & DP_F_CLIENT) {
		if (!r->row.ifname[0])
			snprintf(r->row.ifname, sizeof(r->row.ifname), "sim%u",
				 (unsigned int)(r->done.key % 1000000));
		memcpy(r->done.ifname, r->row.ifname, sizeof(r->done.ifname));
	}
	rc = dpt_put(s->table, r->done.key, r->done.generation, &r->row, 0,
		     r->row.state == DP_ACTIVE, &slot, &other);
	if (rc)
		refuse(r, rc > 0 ? -EEXIST : rc, "the session table refused the row");
}

static void carry_out(struct sim *s, struct request *r)
{
	uint32_t slot;

	switch ((enum dp_op)r->done.op) {
	case DP_OP_PUT:
		carry_out_put(s, r);
		break;
	case DP_OP_DEL:
		s->counts.dels++;
		slot = dpt_find(s->table, r->done.key);
		if (slot == DPT_NONE)
			break;
		dpt_stop(s->table, slot);
		dpt_counters(s->table, slot, &r->done.counters);
		dpt_free(s->table, slot);
		break;
	case DP_OP_NET:
		s->counts.nets++;
		if (dp_net_ok(&r->net))
			dpt_net_put(s->table, &r->net);
		else
			refuse(r, -EINVAL, "the addresses of the plane are not valid");
		break;
	}
}

/* Take a request out of the times and the keys. */
static void request_take(struct sim *s, struct request *r)
{
	heap_clear(&s->due, &r->due);
	if (r->latest)
		htab_drop(&s->keys, &r->node);
	s->waiting--;
}

void dp_sim_advance(struct dp *dp, struct mono now)
{
	struct sim *s = sim_of(dp);
	struct heap_node *n;

	while ((n = heap_first(&s->due)) != NULL && mono_due(n->at, now)) {
		struct request *r = container_of(n, struct request, due);

		if (n->at.us > s->now.us)
			s->now = n->at;
		request_take(s, r);
		carry_out(s, r);
		list_push(&s->done, &r->link);
	}
	s->now = now;
}

struct mono dp_sim_deadline(const struct dp *dp)
{
	return heap_deadline(&sim_of_const(dp)->due);
}

static bool sim_done(struct dp *dp, struct dp_done *ret)
{
	struct list *l = list_pop(&sim_of(dp)->done);

	if (!l)
		return false;
	*ret = container_of(l, struct request, link)->done;
	free(container_of(l, struct request, link));
	return true;
}

void dp_sim_fail(struct dp *dp, uint64_t key, int error)
{
	struct sim *s = sim_of(dp);

	s->fail.key = key;
	s->fail.error = error;
}

static void requests_free(struct sim *s)
{
	struct heap_node *n;

	while ((n = heap_first(&s->due)) != NULL) {
		struct request *r = container_of(n, struct request, due);

		request_take(s, r);
		free(r);
	}
	for (struct list *l; (l = list_pop(&s->done)) != NULL;)
		free(container_of(l, struct request, link));
}

void dp_sim_crash(struct dp *dp)
{
	struct sim *s = sim_of(dp);

	requests_free(s);
	packets_free(&s->punts);
}

void dp_sim_counts(const struct dp *dp, struct dp_sim_counts *ret)
{
	const struct sim *s = sim_of_const(dp);

	*ret = s->counts;
	ret->waiting = s->waiting;
}

bool dp_sim_row(const struct dp *dp, uint64_t key, struct dp_row *ret)
{
	const struct sim *s = sim_of_const(dp);
	uint32_t slot = dpt_find(s->table, key);
	struct dpt_info info;

	if (slot == DPT_NONE || !dpt_get(s->table, slot, &info))
		return false;
	*ret = info.row;
	return true;
}

/* ---- data up ---- */

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void up_ip(struct sim *s, const struct dpt_config *c, uint32_t slot, const uint8_t *p,
		  size_t len, uint8_t version)
{
	const struct index *x = dpt_index(s->table);
	struct dpt_run *run = dpt_run(s->table, slot);
	uint64_t key = index_key_of(x, slot);
	struct pkt_ip ip;

	if (!(c->flags & (version == 4 ? DP_F_IP4 : DP_F_IP6)) ||
	    !pkt_ip_parse(p, len, version, &ip)) {
		s->stats.drop_other++;
		count(&run->drop_up, 1);
		return;
	}
	if (!fwd_source_ok(x, c, slot, &ip)) {
		s->stats.drop_spoof++;
		count(&run->drop_spoof, 1);
	} else if (version == 6 && pkt_ip6_local(ip.dst)) {
		punt(s, DP_PUNT_LOCAL, key, NULL, p, ip.len);
	} else if (packet_push(&s->to_host, 0, key, NULL, p, ip.len) == 0) {
		s->stats.rx_packets++;
		count(&run->rx_packets, 1);
		count(&run->rx_bytes, ip.len);
		atomic_store(&run->last_rx, (uint64_t)s->now.us);
	}
}

static bool path_fits(const struct dpt_tunnel *t, const struct path *path)
{
	return t->via == path->via && t->family == path->remote.family &&
	       t->remote_port == path->remote.port && t->remote_scope == path->remote.scope &&
	       memcmp(t->remote, path->remote.ip, 16) == 0 &&
	       (fwd_unspecified(t->local) || memcmp(t->local, path->local.ip, 16) == 0);
}

void dp_sim_datagram(struct dp *dp, const struct path *path, const uint8_t *bytes, size_t len)
{
	struct sim *s = sim_of(dp);
	struct dpt_config c = { 0 };
	struct pkt_head h;
	struct pkt_ppp ppp;
	uint32_t slot;

	switch (pkt_head_parse(bytes, len, &h)) {
	case PKT_BAD:
		s->stats.drop_header++;
		return;
	case PKT_CONTROL:
		punt(s, DP_PUNT_DATAGRAM, 0, path, bytes, len);
		return;
	case PKT_DATA:
		break;
	}
	slot = index_ids_find(dpt_index(s->table), index_ids_v2(h.tunnel, h.session));
	if (slot != INDEX_NONE && dpt_snapshot(s->table, slot, &c)) {
		if (!path_fits(dpt_tunnel(s->table, c.tunnel), path)) {
			s->stats.drop_path++;
			return;
		}
		dpt_hear(s->table, c.tunnel, (uint64_t)s->now.us);
	} else {
		s->stats.drop_unknown++;
	}
	if (!(c.state & DPT_UP)) {
		punt(s, DP_PUNT_DATAGRAM, 0, path, bytes, len);
		return;
	}
	if (!fwd_seq_ok(&c, dpt_run(s->table, slot), h.has_seq, h.ns, (uint64_t)s->now.us)) {
		s->stats.drop_seq++;
		count(&dpt_run(s->table, slot)->drop_seq, 1);
		return;
	}
	bytes += h.off;
	if (!pkt_ppp_parse(bytes, h.len, &ppp)) {
		s->stats.drop_header++;
		count(&dpt_run(s->table, slot)->drop_up, 1);
	} else if (ppp.proto == PPP_IP4 || ppp.proto == PPP_IP6) {
		up_ip(s, &c, slot, bytes + ppp.data, h.len - ppp.data,
		      ppp.proto == PPP_IP4 ? 4 : 6);
	} else {
		punt(s, DP_PUNT_PPP, index_key_of(dpt_index(s->table), slot), NULL, bytes + ppp.off,
		     h.len - ppp.off);
	}
}

/* ---- down ---- */

/* To the peer of a slot: `frame` begins with the protocol, or with IP when `proto_len` is not 0. */
static void to_peer(struct sim *s, uint32_t slot, const struct dpt_config *c, const uint8_t *frame,
		    size_t len, struct pkt_out o)
{
	struct dpt_run *run = dpt_run(s->table, slot);
	const struct dpt_tunnel *t = dpt_tunnel(s->table, c->tunnel);
	struct path path;
	uint8_t *buf = malloc(len + PKT_HEAD_MAX);
	size_t head;

	if (!buf)
		return;
	memset(&path, 0, sizeof(path));
	path.via = t->via;
	path.local.family = path.remote.family = t->family;
	path.local.port = t->local_port;
	path.remote.port = t->remote_port;
	path.local.scope = t->local_scope;
	path.remote.scope = t->remote_scope;
	memcpy(path.local.ip, t->local, 16);
	memcpy(path.remote.ip, t->remote, 16);
	o.tunnel = (uint16_t)(c->remote_tunnel[0] << 8 | c->remote_tunnel[1]);
	o.session = (uint16_t)(c->remote_session[0] << 8 | c->remote_session[1]);
	o.length = c->flags & DP_F_LENGTH;
	o.seq = fwd_sends_seq(c, run);
	if (o.seq)
		o.ns = (uint16_t)atomic_fetch_add(&run->ns, 1);
	memcpy(buf + PKT_HEAD_MAX, frame, len);
	head = pkt_head_build(buf + PKT_HEAD_MAX, len, &o);
	packet_push(&s->to_peer, 0, index_key_of(dpt_index(s->table), slot), &path,
		    buf + PKT_HEAD_MAX - head, len + head);
	free(buf);
}

static int sim_send(struct dp *dp, uint64_t key, uint8_t *frame, size_t len, bool priority)
{
	struct sim *s = sim_of(dp);
	uint32_t slot = dpt_find(s->table, key);
	struct pkt_out o = { .priority = priority };
	struct dpt_config c;

	if (slot == DPT_NONE || !dpt_snapshot(s->table, slot, &c) || !(c.state & DPT_UP))
		return 1;
	if (len >= 2 && frame[0] == 0xff && frame[1] == 0x03) {
		frame += 2;
		len -= 2;
	}
	o.address = !(c.flags & DP_F_ACFC) || (len >= 2 && frame[0] == 0xc0 && frame[1] == 0x21);
	to_peer(s, slot, &c, frame, len, o);
	return 0;
}

void dp_sim_packet(struct dp *dp, uint64_t key, const uint8_t *bytes, size_t len)
{
	struct sim *s = sim_of(dp);
	const struct index *x = dpt_index(s->table);
	struct dpt_config c;
	struct dpt_run *run;
	struct pkt_ip ip;
	struct pkt_out o = { 0 };
	uint32_t slot;

	if (!len || !pkt_ip_parse(bytes, len, bytes[0] >> 4, &ip))
		return;
	if (key)
		slot = dpt_find(s->table, key);
	else
		slot = ip.version == 4 ? index_route4(x, ip.dst) : index_route6(x, ip.dst);
	if (slot == INDEX_NONE || !dpt_snapshot(s->table, slot, &c) || !(c.state & DPT_UP) ||
	    c.flags & DP_F_FAR_DOWN || !(c.flags & (ip.version == 4 ? DP_F_IP4 : DP_F_IP6))) {
		s->stats.drop_other++;
		return;
	}
	run = dpt_run(s->table, slot);
	if (ip.len > c.mtu) {
		s->stats.drop_mtu++;
		count(&run->drop_mtu, 1);
		return;
	}
	o.address = !(c.flags & DP_F_ACFC);
	o.proto = ip.version == 4 ? PPP_IP4 : PPP_IP6;
	o.proto_len = c.flags & DP_F_PFC ? 1 : 2;
	to_peer(s, slot, &c, bytes, ip.len, o);
	s->stats.tx_packets++;
	count(&run->tx_packets, 1);
	count(&run->tx_bytes, ip.len);
	atomic_store(&run->last_tx, (uint64_t)s->now.us);
}

/* ---- what the test takes ---- */

int dp_sim_inject(struct dp *dp, const struct dp_punt *p)
{
	return packet_push(&sim_of(dp)->punts, p->class, p->key, &p->path, p->bytes, p->len);
}

static bool sim_punt(struct dp *dp, struct dp_punt *ret)
{
	struct sim *s = sim_of(dp);
	struct packet *p = packet_pop(s, &s->punts, 0);

	if (!p)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->class = (enum dp_punt_class)p->class;
	ret->key = p->key;
	ret->path = p->path;
	ret->bytes = p->bytes;
	ret->len = p->len;
	return true;
}

static bool out(struct packet *p, struct dp_sim_out *ret)
{
	if (p)
		*ret = (struct dp_sim_out){ p->key, p->path, p->bytes, p->len };
	return p;
}

bool dp_sim_to_host(struct dp *dp, struct dp_sim_out *ret)
{
	return out(packet_pop(sim_of(dp), &sim_of(dp)->to_host, 1), ret);
}

bool dp_sim_to_peer(struct dp *dp, struct dp_sim_out *ret)
{
	return out(packet_pop(sim_of(dp), &sim_of(dp)->to_peer, 2), ret);
}

/* ---- the rest of dp.h ---- */

static int sim_listen(struct dp *dp, uint32_t via, int fd)
{
	struct sim *s = sim_of(dp);

	for (uint32_t i = 0; i < s->listener_count; i++) {
		if (s->listeners[i] == via)
			return -EEXIST;
	}
	if (s->listener_count == LISTENERS)
		return -ENOSPC;
	s->listeners[s->listener_count++] = via;
	return 0;
}

static int sim_unlisten(struct dp *dp, uint32_t via)
{
	struct sim *s = sim_of(dp);

	for (uint32_t i = 0; i < s->listener_count; i++) {
		if (s->listeners[i] == via) {
			s->listeners[i] = s->listeners[--s->listener_count];
			return 0;
		}
	}
	return -ENOENT;
}

static int sim_fd(struct dp *dp)
{
	return -1;
}

static bool sim_stats(struct dp *dp, uint64_t key, struct dp_counters *ret)
{
	return dpt_stats(sim_of(dp)->table, key, ret);
}

static struct mono sim_heard(struct dp *dp, uint32_t local_tunnel)
{
	return (struct mono){ (int64_t)dpt_heard(sim_of(dp)->table, local_tunnel) };
}

static bool sim_list(struct dp *dp, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation)
{
	return dpt_list(sim_of(dp)->table, pos, ret_key, ret_generation);
}

static void sim_plane_stats(struct dp *dp, struct dp_plane_stats *ret)
{
	struct sim *s = sim_of(dp);

	*ret = s->stats;
	ret->rows = dpt_rows(s->table);
	ret->memory = sizeof(*s) + dpt_memory(s->table);
}

static void sim_free(struct dp *dp)
{
	struct sim *s;

	if (!dp)
		return;
	s = sim_of(dp);
	requests_free(s);
	packets_free(&s->punts);
	packets_free(&s->to_host);
	packets_free(&s->to_peer);
	for (unsigned int i = 0; i < 3; i++)
		free(s->shown[i]);
	heap_free(&s->due);
	htab_free(&s->keys);
	dpt_close(s->table);
	free(s->memory);
	free(s);
}

static const struct dp_ops sim_ops = {
	.name = "sim",
	.free = sim_free,
	.put = sim_put,
	.del = sim_del,
	.net = sim_net,
	.send = sim_send,
	.listen = sim_listen,
	.unlisten = sim_unlisten,
	.fd = sim_fd,
	.done = sim_done,
	.punt = sim_punt,
	.stats = sim_stats,
	.heard = sim_heard,
	.list = sim_list,
	.plane_stats = sim_plane_stats,
};

struct dp *dp_sim_new(const struct dp_sim_config *config)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint8_t seed[RNG_SEED] = { 0 }, key[16];
	uint32_t max = config->max_sessions ? config->max_sessions : 1000, found;
	size_t size = dpt_size(max);

	if (!s)
		return NULL;
	s->dp.ops = &sim_ops;
	s->config = *config;
	memcpy(seed, &config->seed, sizeof(config->seed));
	rng_init(&s->rng, seed);
	rng_bytes(&s->rng, key, sizeof(key));
	qsbr_init(&s->qsbr); /* its one reader sleeps for ever */
	htab_init(&s->keys, key);
	list_init(&s->done);
	list_init(&s->punts);
	list_init(&s->to_host);
	list_init(&s->to_peer);
	s->memory = aligned_alloc(4096, size);
	if (s->memory) {
		memset(s->memory, 0, size);
		s->table = dpt_open(s->memory, size, max, key, &s->qsbr, &found);
	}
	if (!s->table) {
		sim_free(&s->dp);
		return NULL;
	}
	return &s->dp;
}
