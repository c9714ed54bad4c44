/* SPDX-License-Identifier: MIT
 *
 * aditd's side of the data plane in the keeper.
 *
 * Every request is one object from the call to the moment its completion is taken, and has the room
 * for the completion: so what the keeper answers is never lost for want of memory. Requests are
 * gathered in one buffer and leave together, when it is full or at the end of the owner's turn.
 */
#include "remote.h"

#include "base/htab.h"
#include "base/list.h"
#include "base/wire.h"
#include "batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FRAMES_MAX 4096 /* waiting for the owner; more are dropped, PPP repeats them */
#define FOUND_MAX  64

struct request {
	struct list link; /* of its row (or remote.nets), then remote.done */
	struct dp_done done;
};

/* A session the keeper has, or is asked for. There is one for every session, so of the counters it
 * has those alone that the kernel has, too. */
struct rrow {
	struct htab_node node;
	struct list requests; /* struct request, oldest first */
	uint64_t key;
	uint32_t tunnel;
	uint32_t over_ip; /* our session id, of a row of L2TPv3 over IP that is wanted; else 0 */
	bool active;	  /* a put has succeeded */
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, drop_other;
	struct mono last_rx, last_tx;
};

struct rtunnel {
	struct htab_node node;
	uint32_t local;
	struct mono heard;
	struct dp_event *answer; /* room for it, NULL = it was given */
};

struct frame {
	struct list link;
	uint64_t key;
	uint8_t class;
	size_t len;
	uint8_t bytes[];
};

struct wire {
	struct htab_node node;
	bool ok, cannot;
	char name[BATCH_NAME], text[BATCH_LINE], ifname[DP_IFNAME];
	struct dp_counters counters;
	uint16_t mtu;
};

struct event {
	struct list link;
	struct dp_event e;
};

struct remote {
	struct dp dp;
	struct dp_remote_config config;
	struct htab rows, tunnels;
	struct list done, nets, frames, events;
	struct list ended; /* deletions that were given out, to be told as committed */
	uint32_t frame_count, row_count;
	struct frame *shown; /* given out by the last punt() */
	uint64_t punts, punts_dropped;
	struct listed {
		uint64_t key;
		uint32_t generation;
	} * list; /* what the keeper had when it was asked */
	size_t list_count, list_room;
	bool listed;
	int list_error;
	char list_text[BATCH_LINE];
	struct found {
		bool ok;
		char name[BATCH_NAME], text[BATCH_LINE];
	} * found;
	size_t found_count;
	bool probed;
	struct htab wires; /* struct wire, by name */
	size_t out_len;
	uint8_t out[BATCH_MAX];
};

static struct remote *remote_of(const struct dp *dp)
{
	return container_of((struct dp *)(uintptr_t)dp, struct remote, dp);
}

/* ---- out ---- */

/* All requests of the batch have failed: the keeper cannot be reached, which ends aditd soon. */
static void flush(struct remote *r)
{
	size_t n = r->out_len;

	r->out_len = 0;
	if (n)
		(void)r->config.send(r->config.arg, r->out, n);
}

static int put_record(struct remote *r, const struct batch_record *record)
{
	struct wcur c;

	for (int turn = 0; turn < 2; turn++) {
		c = wcur_of(r->out + r->out_len, sizeof(r->out) - r->out_len);
		if (batch_save(&c, record)) {
			r->out_len += c.len;
			return 0;
		}
		flush(r);
	}
	return -EMSGSIZE;
}

void dp_remote_flush(struct dp *dp)
{
	flush(remote_of(dp));
}

/* ---- rows ---- */

static uint64_t hash64(const struct htab *t, uint64_t v)
{
	return htab_hash(t, &v, sizeof(v));
}

static struct rrow *row_find(const struct remote *r, uint64_t key)
{
	struct htab_node *n = htab_find(&r->rows, hash64(&r->rows, key));

	for (; n; n = htab_next(n)) {
		struct rrow *row = container_of(n, struct rrow, node);

		if (row->key == key)
			return row;
	}
	return NULL;
}

static struct rrow *row_make(struct remote *r, uint64_t key)
{
	struct rrow *row = row_find(r, key);

	if (row)
		return row;
	if (htab_reserve(&r->rows) < 0)
		return NULL;
	row = calloc(1, sizeof(*row));
	if (!row)
		return NULL;
	row->key = key;
	list_init(&row->requests);
	htab_put(&r->rows, &row->node, hash64(&r->rows, key));
	r->row_count++;
	return row;
}

static void row_free(struct remote *r, struct rrow *row)
{
	for (struct list *l; (l = list_pop(&row->requests)) != NULL;)
		free(container_of(l, struct request, link));
	htab_drop(&r->rows, &row->node);
	r->row_count--;
	free(row);
}

static struct rtunnel *tunnel_find(const struct remote *r, uint32_t local)
{
	struct htab_node *n = htab_find(&r->tunnels, hash64(&r->tunnels, local));

	for (; n; n = htab_next(n)) {
		struct rtunnel *t = container_of(n, struct rtunnel, node);

		if (t->local == local)
			return t;
	}
	return NULL;
}

static int request(struct remote *r, struct list *to, const struct batch_record *record,
		   enum dp_op op)
{
	struct request *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return -ENOMEM;
	q->done.op = (uint8_t)op;
	q->done.key = record->key;
	q->done.generation = record->generation;
	rc = put_record(r, record);
	if (rc < 0) {
		free(q);
		return rc;
	}
	list_push(to, &q->link);
	return 0;
}

/* A request about a row; one that could not be made leaves nothing behind. */
static int row_request(struct remote *r, struct rrow *row, const struct batch_record *record,
		       enum dp_op op)
{
	int rc = request(r, &row->requests, record, op);

	if (rc < 0 && !row->active && list_empty(&row->requests))
		row_free(r, row);
	return rc;
}

static int remote_put(struct dp *dp, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	struct remote *r = remote_of(dp);
	struct rrow *e = row_make(r, key);
	struct batch_record record = {
		.tag = BATCH_PUT, .key = key, .generation = generation, .u.row = *row
	};

	if (!e)
		return -ENOMEM;
	e->tunnel = row->local_tunnel;
	e->over_ip = row->version == 3 && row->encap == DP_ENCAP_IP ? row->local_session : 0;
	return row_request(r, e, &record, DP_OP_PUT);
}

static int remote_del(struct dp *dp, uint64_t key, uint32_t generation)
{
	struct remote *r = remote_of(dp);
	struct rrow *e = row_make(r, key);
	struct batch_record record = { .tag = BATCH_DEL, .key = key, .generation = generation };

	if (!e)
		return -ENOMEM;
	e->over_ip = 0;
	return row_request(r, e, &record, DP_OP_DEL);
}

static int remote_net(struct dp *dp, uint32_t generation, const struct dp_net *net)
{
	struct remote *r = remote_of(dp);
	struct batch_record record = { .tag = BATCH_NET, .generation = generation, .u.net = *net };

	return request(r, &r->nets, &record, DP_OP_NET);
}

static int remote_send(struct dp *dp, uint64_t key, uint8_t *frame, size_t len, bool priority)
{
	struct remote *r = remote_of(dp);
	struct rrow *e = row_find(r, key);
	struct batch_record record = { .tag = BATCH_SEND, .key = key, .priority = priority };

	if (!e || !e->active)
		return 1;
	/* The kernel puts address and control there itself. */
	if (len >= 2 && frame[0] == 0xff && frame[1] == 0x03) {
		frame += 2;
		len -= 2;
	}
	record.bytes = frame;
	record.len = len;
	if (len && len <= BATCH_FRAME)
		(void)put_record(r, &record);
	return 0;
}

/* ---- tunnels ---- */

static int remote_tunnel(struct dp *dp, const struct dp_tunnel *tunnel)
{
	struct remote *r = remote_of(dp);
	struct rtunnel *t = tunnel_find(r, tunnel->local);
	struct batch_record record = { .tag = BATCH_TUNNEL, .tunnel = *tunnel };
	struct event *e = calloc(1, sizeof(*e));
	int rc;

	if (!e || htab_reserve(&r->tunnels) < 0) {
		free(e);
		return -ENOMEM;
	}
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t) {
			free(e);
			return -ENOMEM;
		}
		t->local = tunnel->local;
		htab_put(&r->tunnels, &t->node, hash64(&r->tunnels, t->local));
	}
	rc = put_record(r, &record);
	if (rc < 0 || t->answer) {
		free(e); /* the question before this one is still open: one answer will do */
		return rc;
	}
	list_init(&e->link);
	t->answer = &e->e;
	return 0;
}

static void tunnel_free(struct remote *r, struct rtunnel *t)
{
	if (t->answer)
		free(container_of(t->answer, struct event, e));
	htab_drop(&r->tunnels, &t->node);
	free(t);
}

static int remote_tunnel_del(struct dp *dp, uint32_t local)
{
	struct remote *r = remote_of(dp);
	struct rtunnel *t = tunnel_find(r, local);
	struct batch_record record = { .tag = BATCH_TUNNEL_DEL, .tunnel.local = local };

	if (t)
		tunnel_free(r, t);
	return put_record(r, &record);
}

/* ---- in ---- */

static void take_done(struct remote *r, const struct dp_done *done)
{
	struct rrow *row = done->op == DP_OP_NET ? NULL : row_find(r, done->key);
	struct list *from = row					  ? &row->requests
			    : done->op == DP_OP_NET && !done->key ? &r->nets
								  : NULL;
	struct request *q = NULL;

	if (!from)
		return;
	list_for_each (it, from) {
		struct request *at = container_of(it, struct request, link);

		if (at->done.op == done->op && at->done.generation == done->generation) {
			q = at;
			break;
		}
	}
	if (!q)
		return; /* of a former aditd */
	list_drop(&q->link);
	q->done = *done;
	list_push(&r->done, &q->link);
	if (!row)
		return;
	if (done->op == DP_OP_PUT && !done->error)
		row->active = true;
	/* Nothing is left of a first put that failed, nor after a delete. */
	if ((done->op == DP_OP_DEL || (done->error && !row->active)) && list_empty(&row->requests))
		row_free(r, row);
}

static void take_counters(struct remote *r, uint64_t key, const struct dp_counters *n)
{
	struct rrow *row = row_find(r, key);
	struct rtunnel *t;

	if (!row)
		return;
	row->rx_packets = n->rx_packets;
	row->rx_bytes = n->rx_bytes;
	row->tx_packets = n->tx_packets;
	row->tx_bytes = n->tx_bytes;
	row->drop_other = n->drop_other;
	row->last_rx = n->last_rx;
	row->last_tx = n->last_tx;
	t = tunnel_find(r, row->tunnel);
	if (t && n->last_rx.us > t->heard.us)
		t->heard = n->last_rx;
}

static void take_frame(struct remote *r, const struct batch_record *record)
{
	struct frame *f;

	if (!row_find(r, record->key))
		return;
	f = r->frame_count < FRAMES_MAX ? malloc(sizeof(*f) + record->len) : NULL;
	if (!f) {
		r->punts_dropped++;
		return;
	}
	list_init(&f->link);
	f->key = record->key;
	f->class = record->class;
	f->len = record->len;
	memcpy(f->bytes, record->bytes, record->len);
	list_push(&r->frames, &f->link);
	r->frame_count++;
	r->punts++;
}

static void text_to(char text[DP_TEXT], const char *from)
{
	snprintf(text, DP_TEXT, "%.*s", DP_TEXT - 1, from);
}

static void take_event(struct remote *r, enum dp_event_kind kind, const struct batch_record *record)
{
	struct event *e = calloc(1, sizeof(*e));

	if (!e)
		return; /* the peer's silence will tell */
	list_init(&e->link);
	e->e.kind = kind;
	e->e.fd = -1;
	e->e.key = record->key;
	e->e.tunnel = record->tunnel.local;
	text_to(e->e.text, record->text);
	list_push(&r->events, &e->link);
}

/* Takes *fd when somebody waits for it. */
static void take_tunnel(struct remote *r, const struct batch_record *record, int *fd)
{
	struct rtunnel *t = tunnel_find(r, record->tunnel.local);
	struct dp_event *e = t ? t->answer : NULL;

	if (!e)
		return;
	t->answer = NULL;
	e->kind = DP_EV_TUNNEL;
	e->tunnel = record->tunnel.local;
	e->error = record->error;
	e->fd = -1;
	text_to(e->text, record->text);
	if (!e->error) {
		e->fd = *fd;
		*fd = -1;
	}
	list_push(&r->events, &container_of(e, struct event, e)->link);
}

static void take_row(struct remote *r, const struct batch_record *record)
{
	struct rrow *row = row_make(r, record->key);

	if (!row)
		return; /* it will be put again, or stay until the keeper ends */
	row->tunnel = record->tunnel.local;
	row->active = true;
	if (r->list_count == r->list_room) {
		size_t room = r->list_room ? r->list_room * 2 : 64;
		struct listed *grown = realloc(r->list, room * sizeof(*grown));

		if (!grown)
			return;
		r->list = grown;
		r->list_room = room;
	}
	r->list[r->list_count++] = (struct listed){ record->key, record->generation };
}

static void take_found(struct remote *r, const struct batch_record *record)
{
	struct found *grown;

	if (r->found_count == FOUND_MAX)
		return;
	grown = realloc(r->found, (r->found_count + 1) * sizeof(*grown));
	if (!grown)
		return;
	r->found = grown;
	grown += r->found_count++;
	grown->ok = record->ok;
	memcpy(grown->name, record->name, sizeof(grown->name));
	memcpy(grown->text, record->text, sizeof(grown->text));
}

static uint64_t name_hash(const struct remote *r, const char *name)
{
	return htab_hash(&r->wires, name, strlen(name));
}

static struct wire *wire_find(const struct remote *r, const char *name)
{
	struct htab_node *n = htab_find(&r->wires, name_hash(r, name));

	for (; n; n = htab_next(n)) {
		struct wire *w = container_of(n, struct wire, node);

		if (strcmp(w->name, name) == 0)
			return w;
	}
	return NULL;
}

static void take_wire(struct remote *r, const struct batch_record *record)
{
	struct wire *w = wire_find(r, record->name);

	if (!w) {
		w = htab_reserve(&r->wires) < 0 ? NULL : calloc(1, sizeof(*w));
		if (!w)
			return; /* it is told again */
		memcpy(w->name, record->name, sizeof(w->name));
		htab_put(&r->wires, &w->node, name_hash(r, w->name));
	}
	w->ok = record->ok;
	w->cannot = record->cannot;
	memcpy(w->text, record->text, sizeof(w->text));
	memcpy(w->ifname, record->ifname, sizeof(w->ifname));
	w->counters = record->u.counters;
	w->mtu = record->mtu;
}

static void take(struct remote *r, const struct batch_record *record, int *fd)
{
	switch (record->tag) {
	case BATCH_DONE:
		take_done(r, &record->u.done);
		break;
	case BATCH_TUNNEL_DONE:
		take_tunnel(r, record, fd);
		break;
	case BATCH_PUNT:
		take_frame(r, record);
		break;
	case BATCH_COUNTERS:
		take_counters(r, record->key, &record->u.counters);
		break;
	case BATCH_ROW_LOST:
		if (row_find(r, record->key))
			take_event(r, DP_EV_ROW_LOST, record);
		break;
	case BATCH_TUNNEL_LOST:
		if (tunnel_find(r, record->tunnel.local))
			take_event(r, DP_EV_TUNNEL_LOST, record);
		break;
	case BATCH_ROW:
		take_row(r, record);
		break;
	case BATCH_LIST_END:
		r->listed = true;
		r->list_error = record->error;
		memcpy(r->list_text, record->text, sizeof(r->list_text));
		break;
	case BATCH_FOUND:
		take_found(r, record);
		break;
	case BATCH_PROBE_END:
		r->probed = true;
		break;
	case BATCH_WIRE:
		take_wire(r, record);
		break;
	case BATCH_PUT:
	case BATCH_DEL:
	case BATCH_NET:
	case BATCH_TUNNEL:
	case BATCH_TUNNEL_DEL:
	case BATCH_SEND:
	case BATCH_FORGET:
	case BATCH_LIST:
	case BATCH_PROBE:
		break; /* only the other way */
	}
}

void dp_remote_input(struct dp *dp, const uint8_t *bytes, size_t len, int fd)
{
	struct remote *r = remote_of(dp);
	struct rcur c = rcur_of(bytes, len);
	struct batch_record record;
	int rc;

	while ((rc = batch_load(&c, &record)) != 0) {
		if (rc > 0)
			take(r, &record, &fd);
		else if (c.bad)
			break;
	}
	if (fd >= 0)
		close(fd);
}

/* ---- what the owner takes ---- */

static int remote_fd(struct dp *dp)
{
	return -1; /* the owner brings what comes */
}

static bool remote_done(struct dp *dp, struct dp_done *ret)
{
	struct remote *r = remote_of(dp);
	struct list *l = list_pop(&r->done);
	struct request *q;

	if (!l)
		return false;
	q = container_of(l, struct request, link);
	*ret = q->done;
	if (ret->op == DP_OP_DEL && !ret->error)
		list_push(&r->ended, &q->link);
	else
		free(q);
	return true;
}

/* The keeper keeps last counters until it hears this, or until a new aditd is ready. */
static void remote_committed(struct dp *dp)
{
	struct remote *r = remote_of(dp);

	for (struct list *l; (l = list_pop(&r->ended)) != NULL;) {
		struct request *q = container_of(l, struct request, link);
		struct batch_record record = { .tag = BATCH_FORGET, .key = q->done.key };

		(void)put_record(r, &record);
		free(q);
	}
}

static bool remote_punt(struct dp *dp, struct dp_punt *ret)
{
	struct remote *r = remote_of(dp);
	struct list *l = list_pop(&r->frames);

	free(r->shown);
	r->shown = NULL;
	if (!l)
		return false;
	r->shown = container_of(l, struct frame, link);
	r->frame_count--;
	memset(ret, 0, sizeof(*ret));
	ret->class = (enum dp_punt_class)r->shown->class;
	ret->key = r->shown->key;
	ret->bytes = r->shown->bytes;
	ret->len = r->shown->len;
	return true;
}

static bool remote_event(struct dp *dp, struct dp_event *ret)
{
	struct list *l = list_pop(&remote_of(dp)->events);

	if (!l)
		return false;
	*ret = container_of(l, struct event, link)->e;
	free(container_of(l, struct event, link));
	return true;
}

static int remote_listen(struct dp *dp, uint32_t via, int fd)
{
	return -EOPNOTSUPP;
}

static int remote_unlisten(struct dp *dp, uint32_t via)
{
	return -ENOENT;
}

static bool remote_stats(struct dp *dp, uint64_t key, struct dp_counters *ret)
{
	const struct rrow *row = row_find(remote_of(dp), key);

	if (!row || !row->active)
		return false;
	*ret = (struct dp_counters){ .rx_packets = row->rx_packets,
				     .rx_bytes = row->rx_bytes,
				     .tx_packets = row->tx_packets,
				     .tx_bytes = row->tx_bytes,
				     .drop_other = row->drop_other,
				     .last_rx = row->last_rx,
				     .last_tx = row->last_tx };
	return true;
}

static struct mono remote_heard(struct dp *dp, uint32_t local_tunnel)
{
	const struct rtunnel *t = tunnel_find(remote_of(dp), local_tunnel);

	return t ? t->heard : (struct mono){ 0 };
}

static bool remote_list(struct dp *dp, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation)
{
	const struct remote *r = remote_of(dp);

	while (*pos < r->list_count) {
		const struct listed *l = r->list + (*pos)++;

		if (!row_find(r, l->key))
			continue;
		*ret_key = l->key;
		*ret_generation = l->generation;
		return true;
	}
	return false;
}

static void remote_plane_stats(struct dp *dp, struct dp_plane_stats *ret)
{
	const struct remote *r = remote_of(dp);

	memset(ret, 0, sizeof(*ret));
	ret->rows = r->row_count;
	ret->punts = r->punts;
	ret->punts_dropped = r->punts_dropped;
	ret->memory = sizeof(*r) + r->row_count * sizeof(struct rrow);
}

/* ---- questions to the keeper ---- */

int dp_remote_ask(struct dp *dp)
{
	struct remote *r = remote_of(dp);
	struct batch_record record = { .tag = BATCH_LIST };

	r->listed = false;
	r->list_count = 0;
	return put_record(r, &record);
}

bool dp_remote_listed(const struct dp *dp, int *ret_error, const char **ret_text)
{
	const struct remote *r = remote_of(dp);

	if (!r->listed)
		return false;
	*ret_error = r->list_error;
	*ret_text = r->list_text;
	return true;
}

bool dp_remote_has(const struct dp *dp, uint64_t key)
{
	return row_find(remote_of(dp), key) != NULL;
}

uint32_t dp_remote_rows(const struct dp *dp)
{
	return remote_of(dp)->row_count;
}

bool dp_remote_uses(const struct dp *dp, uint32_t tunnel)
{
	const struct remote *r = remote_of(dp);
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	while ((n = htab_walk(&r->rows, &pos, n))) {
		if (container_of(n, struct rrow, node)->tunnel == tunnel)
			return true;
	}
	return false;
}

uint32_t dp_remote_tunnel_of(const struct dp *dp, uint64_t key)
{
	const struct rrow *row = row_find(remote_of(dp), key);

	return row ? row->tunnel : 0;
}

uint32_t dp_remote_over_ip(const struct dp *dp, uint64_t key)
{
	const struct rrow *row = row_find(remote_of(dp), key);

	return row ? row->over_ip : 0;
}

int dp_remote_probe(struct dp *dp)
{
	struct remote *r = remote_of(dp);
	struct batch_record record = { .tag = BATCH_PROBE };

	r->found_count = 0;
	r->probed = false;
	return put_record(r, &record);
}

bool dp_remote_probed(const struct dp *dp)
{
	return remote_of(dp)->probed;
}

bool dp_remote_wire(const struct dp *dp, const char *name, struct dp_wire *ret)
{
	const struct wire *w = wire_find(remote_of(dp), name);

	if (!w)
		return false;
	*ret = (struct dp_wire){
		w->name, w->ifname, w->ok, w->cannot, w->text, w->counters, w->mtu
	};
	return true;
}

bool dp_remote_found(const struct dp *dp, size_t index, struct dp_finding *ret)
{
	const struct remote *r = remote_of(dp);

	if (!r->probed || index >= r->found_count)
		return false;
	*ret = (struct dp_finding){ r->found[index].ok, r->found[index].name,
				    r->found[index].text };
	return true;
}

/* ---- beginning and end ---- */

static void remote_free(struct dp *dp)
{
	struct remote *r;
	struct htab_node *n;
	uint64_t pos;

	if (!dp)
		return;
	r = remote_of(dp);
	while (pos = 0, (n = htab_walk(&r->rows, &pos, NULL)))
		row_free(r, container_of(n, struct rrow, node));
	while (pos = 0, (n = htab_walk(&r->tunnels, &pos, NULL)))
		tunnel_free(r, container_of(n, struct rtunnel, node));
	for (struct list *l; (l = list_pop(&r->done)) != NULL;)
		free(container_of(l, struct request, link));
	for (struct list *l; (l = list_pop(&r->ended)) != NULL;)
		free(container_of(l, struct request, link));
	for (struct list *l; (l = list_pop(&r->nets)) != NULL;)
		free(container_of(l, struct request, link));
	for (struct list *l; (l = list_pop(&r->frames)) != NULL;)
		free(container_of(l, struct frame, link));
	while (pos = 0, (n = htab_walk(&r->wires, &pos, NULL))) {
		htab_drop(&r->wires, n);
		free(container_of(n, struct wire, node));
	}
	for (struct list *l; (l = list_pop(&r->events)) != NULL;) {
		struct event *e = container_of(l, struct event, link);

		if (e->e.fd >= 0)
			close(e->e.fd);
		free(e);
	}
	htab_free(&r->rows);
	htab_free(&r->tunnels);
	htab_free(&r->wires);
	free(r->shown);
	free(r->found);
	free(r->list);
	free(r);
}

static const struct dp_ops remote_ops = {
	.name = "kernel",
	.free = remote_free,
	.put = remote_put,
	.del = remote_del,
	.net = remote_net,
	.send = remote_send,
	.listen = remote_listen,
	.unlisten = remote_unlisten,
	.fd = remote_fd,
	.done = remote_done,
	.committed = remote_committed,
	.punt = remote_punt,
	.stats = remote_stats,
	.heard = remote_heard,
	.list = remote_list,
	.plane_stats = remote_plane_stats,
	.tunnel = remote_tunnel,
	.tunnel_del = remote_tunnel_del,
	.event = remote_event,
};

struct dp *dp_remote_new(const struct dp_remote_config *config)
{
	struct remote *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->dp.ops = &remote_ops;
	r->config = *config;
	list_init(&r->done);
	list_init(&r->ended);
	list_init(&r->nets);
	list_init(&r->frames);
	list_init(&r->events);
	htab_init(&r->rows, config->hash_key);
	htab_init(&r->tunnels, config->hash_key);
	htab_init(&r->wires, config->hash_key);
	return &r->dp;
}
