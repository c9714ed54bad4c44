/* SPDX-License-Identifier: MIT
 *
 * Static pseudowires.
 *
 * Each is a session in a tunnel of the kernel's own socket, under keys no aditd uses. A wire is
 * wanted or not, and is in one of four states: nothing of it is there, it is being made, it is up,
 * it is being taken down. Wires with the same tunnel ids share the tunnel, which is made with the
 * first of them and ends with the last. What fails (there is no route to the peer yet, the bridge
 * is not there) or is removed by somebody else is tried again after a while. A wire that was
 * changed in the configuration is taken down and made anew. An MTU that nobody configured is what
 * fits on the path when it is made and at each new configuration.
 *
 * There may be thousands: what happens to one of them looks at no other.
 */
#include "wires.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "access/pw.h"
#include "base/crypto.h"
#include "base/heap.h"
#include "base/htab.h"
#include "base/list.h"
#include "dp/path.h"

#define AGAIN_US (5 * US_S)

enum wire_phase { WIRE_NONE, WIRE_MAKING, WIRE_UP, WIRE_ENDING };

struct tunnel {
	struct list link;
	struct htab_node by_key, by_id;
	struct kernel_tunnel is;
	uint64_t key;
	uint32_t generation;
	struct list wires; /* in any state but WIRE_NONE */
	uint32_t live;	   /* of them, those not in WIRE_ENDING */
	bool ending;	   /* nothing new in it: another one takes its place once it is gone */
};

struct wire {
	struct list link;
	struct htab_node by_key, by_name;
	struct conf_wire c;
	struct tunnel *tunnel; /* NULL in WIRE_NONE */
	struct list in_tunnel;
	uint64_t key; /* of the session */
	bool wanted;  /* in the configuration, with these values */
	bool told;    /* that it failed, in the log */
	bool cannot;  /* the kernel has none of the kind: aditd carries it (data-plane = auto) */
	enum wire_phase phase;
	uint32_t generation;
	uint16_t mtu;		/* of the row as the plane has it */
	struct heap_node again; /* try again then */
	uint32_t rx, tx;	/* packets that were counted last, see wires_counted() */
	char ifname[DP_IFNAME];
	char text[KERNEL_TEXT];
};

struct wires {
	struct wires_config config;
	struct kernel *k;
	struct list all, tunnels;
	struct htab keys, names, tunnel_keys, tunnel_ids;
	struct heap timers;
	uint32_t last_key;
	uint32_t count, ending; /* all of them; those in WIRE_ENDING */
};

struct wires *wires_new(const struct wires_config *config)
{
	struct wires *w = calloc(1, sizeof(*w));
	uint8_t key[16];

	if (!w || getrandom(key, sizeof(key), 0) != sizeof(key)) {
		free(w);
		return NULL;
	}
	w->config = *config;
	list_init(&w->all);
	list_init(&w->tunnels);
	htab_init(&w->keys, key);
	htab_init(&w->names, key);
	htab_init(&w->tunnel_keys, key);
	htab_init(&w->tunnel_ids, key);
	return w;
}

static uint64_t key_hash(const struct wires *w, uint64_t key)
{
	return htab_hash(&w->keys, &key, sizeof(key));
}

static uint64_t name_hash(const struct wires *w, const char *name)
{
	return htab_hash(&w->names, name, strlen(name));
}

static uint64_t tunnel_key_hash(const struct wires *w, uint64_t key)
{
	return htab_hash(&w->tunnel_keys, &key, sizeof(key));
}

static uint64_t tunnel_id_hash(const struct wires *w, uint32_t id)
{
	return htab_hash(&w->tunnel_ids, &id, sizeof(id));
}

static void phase_set(struct wires *w, struct wire *i, enum wire_phase phase)
{
	w->ending -= i->phase == WIRE_ENDING;
	w->ending += phase == WIRE_ENDING;
	i->phase = phase;
}

static struct wire *wire_new(void)
{
	struct wire *i = calloc(1, sizeof(*i));

	if (i) {
		list_init(&i->link);
		list_init(&i->in_tunnel);
	}
	return i;
}

/* ---- their tunnels ---- */

static struct kernel_tunnel tunnel_values(const struct wire *i)
{
	return (struct kernel_tunnel){ .version = 3,
				       .encap = i->c.row.encap,
				       .local_id = i->c.local_tunnel,
				       .remote_id = i->c.remote_tunnel,
				       .path = i->c.row.path };
}

static struct tunnel *tunnel_find(const struct wires *w, uint64_t key)
{
	for (struct htab_node *n = htab_find(&w->tunnel_keys, tunnel_key_hash(w, key)); n;
	     n = htab_next(n)) {
		struct tunnel *t = container_of(n, struct tunnel, by_key);

		if (t->key == key)
			return t;
	}
	return NULL;
}

/* The one with this id of ours, of which there is one at most. */
static struct tunnel *tunnel_of_id(const struct wires *w, uint32_t id)
{
	for (struct htab_node *n = htab_find(&w->tunnel_ids, tunnel_id_hash(w, id)); n;
	     n = htab_next(n)) {
		struct tunnel *t = container_of(n, struct tunnel, by_id);

		if (t->is.local_id == id)
			return t;
	}
	return NULL;
}

/* One for this wire, which is not in it yet; NULL when out of memory. */
static struct tunnel *tunnel_new(struct wires *w, const struct wire *i, uint64_t key)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (!t || htab_reserve(&w->tunnel_keys) < 0 || htab_reserve(&w->tunnel_ids) < 0) {
		free(t);
		return NULL;
	}
	t->is = tunnel_values(i);
	t->key = key;
	list_init(&t->wires);
	list_push(&w->tunnels, &t->link);
	htab_put(&w->tunnel_keys, &t->by_key, tunnel_key_hash(w, key));
	htab_put(&w->tunnel_ids, &t->by_id, tunnel_id_hash(w, t->is.local_id));
	return t;
}

static void tunnel_free(struct wires *w, struct tunnel *t)
{
	htab_drop(&w->tunnel_keys, &t->by_key);
	htab_drop(&w->tunnel_ids, &t->by_id);
	list_drop(&t->link);
	free(t);
}

/* -ENOMEM: it stays, and the next wire with these ids is made in it. */
static int tunnel_end(struct wires *w, struct tunnel *t)
{
	if (t->ending || !w->k)
		return 0;
	if (kernel_tunnel_del(w->k, t->key, t->generation + 1) < 0)
		return -ENOMEM;
	t->generation++;
	t->ending = true;
	return 0;
}

static void attach(struct wire *i, struct tunnel *t)
{
	i->tunnel = t;
	list_push(&t->wires, &i->in_tunnel);
	t->live += i->phase != WIRE_ENDING;
}

/* Nothing of the wire is in its tunnel any more, if it was in one. */
static void detach(struct wires *w, struct wire *i)
{
	struct tunnel *t = i->tunnel;

	if (!t)
		return;
	i->tunnel = NULL;
	list_drop(&i->in_tunnel);
	t->live -= i->phase != WIRE_ENDING;
	if (list_empty(&t->wires))
		(void)tunnel_end(w, t);
}

/* ---- wires ---- */

/* Its name and key are known: from now on it can be found. -ENOMEM. */
static int wire_enter(struct wires *w, struct wire *i)
{
	if (htab_reserve(&w->keys) < 0 || htab_reserve(&w->names) < 0 ||
	    heap_reserve(&w->timers, w->count + 1) < 0)
		return -ENOMEM;
	htab_put(&w->keys, &i->by_key, key_hash(w, i->key));
	htab_put(&w->names, &i->by_name, name_hash(w, i->c.name));
	list_push(&w->all, &i->link);
	w->count++;
	return 0;
}

static void wire_wipe(struct wire *i)
{
	bytes_wipe(i, sizeof(*i)); /* cookies */
	free(i);
}

static void wire_free(struct wires *w, struct wire *i)
{
	detach(w, i);
	phase_set(w, i, WIRE_NONE);
	heap_clear(&w->timers, &i->again);
	htab_drop(&w->keys, &i->by_key);
	htab_drop(&w->names, &i->by_name);
	list_drop(&i->link);
	w->count--;
	wire_wipe(i);
}

void wires_free(struct wires *w)
{
	if (!w)
		return;
	w->k = NULL;
	list_for_each_safe (it, &w->all)
		wire_free(w, container_of(it, struct wire, link));
	list_for_each_safe (it, &w->tunnels)
		tunnel_free(w, container_of(it, struct tunnel, link));
	htab_free(&w->keys);
	htab_free(&w->names);
	htab_free(&w->tunnel_keys);
	htab_free(&w->tunnel_ids);
	heap_free(&w->timers);
	free(w);
}

static void again_at(struct wires *w, struct wire *i, struct mono at)
{
	heap_set(&w->timers, &i->again, at);
}

static void say(struct wires *w, enum trace_level level, const struct wire *i, const char *what,
		const char *why)
{
	char text[KERNEL_TEXT + CONF_NAME + 64];

	snprintf(text, sizeof(text), "pseudowire \"%s\" %s%s%s", i->c.name, what,
		 why[0] ? ": " : "", why);
	w->config.say(w->config.arg, level, text);
}

/* It is not up: why, and when to try again. Told once, until it was up. */
static void failed(struct wires *w, struct wire *i, const char *why, struct mono now)
{
	detach(w, i);
	phase_set(w, i, WIRE_NONE);
	again_at(w, i, mono_add(now, AGAIN_US));
	snprintf(i->text, sizeof(i->text), "%s", why);
	if (!i->told)
		say(w, TRACE_WARNING, i, "is not up, and is tried again and again", why);
	i->told = true;
	w->config.changed(w->config.arg, i->c.name);
}

/* The kernel has none of the kind: aditd takes it. */
static void leave(struct wires *w, struct wire *i, const char *why)
{
	detach(w, i);
	phase_set(w, i, WIRE_NONE);
	again_at(w, i, MONO_NEVER);
	i->cannot = true;
	snprintf(i->text, sizeof(i->text), "%s", why);
	w->config.changed(w->config.arg, i->c.name);
}

static void say_mtu(struct wires *w, const struct wire *i)
{
	char text[PW_MTU_TEXT];

	if (!i->c.auto_mtu && pw_mtu_large(&i->c.row, path_mtu(&i->c.row.path), text, sizeof(text)))
		say(w, TRACE_WARNING, i, "is up", text);
}

static struct dp_row row_of(const struct wire *i)
{
	struct dp_row r = i->c.row;
	uint16_t path = i->c.auto_mtu ? path_mtu(&r.path) : 0;

	if (path)
		r.mtu = pw_mtu(&r, path);
	return r;
}

static void make(struct wires *w, struct wire *i, struct mono now)
{
	const struct kernel_tunnel is = tunnel_values(i);
	const struct dp_row row = row_of(i);
	struct tunnel *t = tunnel_of_id(w, is.local_id);
	int rc = 0;

	again_at(w, i, MONO_NEVER);
	if (t && !kernel_tunnel_same(&t->is, &is) && list_empty(&t->wires))
		(void)tunnel_end(w, t);
	if (t && (t->ending || !kernel_tunnel_same(&t->is, &is)))
		return; /* when that is gone */
	if (!t)
		t = tunnel_new(w, i, WIRES_KEY_FIRST | ++w->last_key);
	if (!t) {
		failed(w, i, strerror(ENOMEM), now);
		return;
	}
	if (list_empty(&t->wires))
		rc = kernel_tunnel_put(w->k, t->key, ++t->generation, &is);
	phase_set(w, i, WIRE_MAKING);
	attach(i, t);
	i->generation++;
	i->mtu = row.mtu;
	if (rc == 0)
		rc = kernel_put(w->k, i->key, i->generation, t->key, &row);
	if (rc < 0)
		failed(w, i, strerror(-rc), now);
}

/* A tunnel takes its sessions along. */
static void end(struct wires *w, struct wire *i, struct mono now)
{
	struct tunnel *t = i->tunnel;
	int rc = t->live > 1 ? kernel_del(w->k, i->key, i->generation + 1) : tunnel_end(w, t);

	if (rc < 0) {
		again_at(w, i, mono_add(now, AGAIN_US)); /* nothing would end WIRE_ENDING */
		return;
	}
	i->generation++;
	t->live--;
	phase_set(w, i, WIRE_ENDING);
}

/* The next step towards what is wanted. May free it. */
static void step(struct wires *w, struct wire *i, struct mono now)
{
	if (i->phase == WIRE_MAKING || i->phase == WIRE_ENDING)
		return;
	if (i->wanted && i->phase == WIRE_NONE && !i->cannot)
		make(w, i, now);
	else if (!i->wanted && i->phase == WIRE_UP)
		end(w, i, now);
	else if (!i->wanted)
		wire_free(w, i);
}

/* It has ended. May free it. */
static void ended(struct wires *w, struct wire *i, struct mono now)
{
	detach(w, i);
	phase_set(w, i, WIRE_NONE);
	i->ifname[0] = '\0';
	if (!i->wanted)
		step(w, i, now);
}

static bool same(const struct conf_wire *a, const struct conf_wire *b)
{
	/* rows are made from zeroed memory: octet by octet */
	return strcmp(a->name, b->name) == 0 && a->local_tunnel == b->local_tunnel &&
	       a->remote_tunnel == b->remote_tunnel &&
	       memcmp(&a->row, &b->row, sizeof(a->row)) == 0;
}

/* The configuration has it as it is: but its path may have another MTU by now. */
static void keep(struct wires *w, struct wire *i, const struct conf_wire *c)
{
	struct dp_row row;

	i->wanted = true;
	i->c.plane = c->plane;
	i->c.auto_mtu = c->auto_mtu;
	row = row_of(i);
	if (!w->k || i->phase != WIRE_UP || row.mtu == i->mtu)
		return;
	if (kernel_put(w->k, i->key, i->generation + 1, i->tunnel->key, &row) < 0)
		return; /* as it was, until the next configuration */
	i->generation++;
	i->mtu = row.mtu;
	w->config.changed(w->config.arg, i->c.name);
}

static int add(struct wires *w, const struct conf_wire *c)
{
	struct wire *i = wire_new();

	if (!i)
		return -ENOMEM;
	i->c = *c;
	i->key = WIRES_KEY_FIRST | ++w->last_key;
	i->wanted = true;
	if (wire_enter(w, i) == 0)
		return 0;
	wire_wipe(i);
	return -ENOMEM;
}

/* Those that are being taken down keep ids that a changed one may want: they go first. */
static void make_all(struct wires *w, struct mono now)
{
	if (w->ending)
		return;
	list_for_each_safe (it, &w->all) {
		struct wire *i = container_of(it, struct wire, link);

		if (!i->again.pos)
			step(w, i, now);
	}
}

static void step_all(struct wires *w, struct mono now)
{
	list_for_each_safe (it, &w->all) {
		struct wire *i = container_of(it, struct wire, link);

		if (!i->wanted)
			step(w, i, now);
	}
	make_all(w, now);
}

/* The one that has these values, and none that ends where another would do. */
static struct wire *former(const struct wires *w, const struct conf_wire *c)
{
	struct wire *found = NULL;

	for (struct htab_node *n = htab_find(&w->names, name_hash(w, c->name)); n;
	     n = htab_next(n)) {
		struct wire *i = container_of(n, struct wire, by_name);

		if (!i->wanted && same(&i->c, c) && (!found || found->phase == WIRE_ENDING))
			found = i;
	}
	return found;
}

void wires_conf(struct wires *w, struct kernel *k, const struct conf *c, const char *why,
		struct mono now)
{
	w->k = k;
	list_for_each (it, &w->all)
		container_of(it, struct wire, link)->wanted = false;
	for (size_t n = 0; n < c->wire_count; n++) {
		struct wire *found;

		if (c->wires[n].plane == DP_WANT_USER)
			continue; /* aditd's */
		found = former(w, &c->wires[n]);
		if (found)
			keep(w, found, &c->wires[n]);
		else if (add(w, &c->wires[n]) < 0)
			w->config.say(w->config.arg, TRACE_WARNING,
				      "out of memory: a pseudowire is not brought up");
	}
	if (k) {
		step_all(w, now);
		list_for_each (it, &w->tunnels) {
			struct tunnel *t = container_of(it, struct tunnel, link);

			if (list_empty(&t->wires)) /* left over from before an upgrade */
				(void)tunnel_end(w, t);
		}
		return;
	}
	list_for_each_safe (it, &w->all) {
		struct wire *i = container_of(it, struct wire, link);

		if (!i->wanted) {
			wire_free(w, i);
			continue;
		}
		if (i->c.plane == DP_WANT_AUTO)
			leave(w, i, why);
		else
			failed(w, i, why, now);
		again_at(w, i, MONO_NEVER); /* nothing changes before the next configuration */
	}
}

static struct wire *find(const struct wires *w, uint64_t key)
{
	for (struct htab_node *n = htab_find(&w->keys, key_hash(w, key)); n; n = htab_next(n)) {
		struct wire *i = container_of(n, struct wire, by_key);

		if (i->key == key)
			return i;
	}
	return NULL;
}

static void put_failed(struct wires *w, struct wire *i, const struct kernel_news *n,
		       struct mono now)
{
	bool cannot = n->result == KERNEL_CANNOT && i->c.plane == DP_WANT_AUTO;
	char why[KERNEL_TEXT];

	if (n->result == KERNEL_TUPLE_TAKEN)
		snprintf(why, sizeof(why),
			 "another tunnel has these addresses and ports, and this kernel carries "
			 "one; use the tunnel-id and peer-tunnel-id of that, other ports, "
			 "encapsulation = ip, or Linux 6.10 or later");
	else
		snprintf(why, sizeof(why), "%s", n->text);
	if (cannot)
		leave(w, i, why);
	else
		failed(w, i, why, now);
}

static void put_done(struct wires *w, struct wire *i, const struct kernel_news *n, struct mono now)
{
	if (n->generation != i->generation || i->phase != WIRE_MAKING)
		return;
	if (n->result != KERNEL_OK) {
		put_failed(w, i, n, now);
		return;
	}
	phase_set(w, i, WIRE_UP);
	i->told = false;
	i->text[0] = '\0';
	snprintf(i->ifname, sizeof(i->ifname), "%s", n->ifname);
	say(w, TRACE_NOTICE, i, "is up on", n->ifname);
	say_mtu(w, i);
	w->config.changed(w->config.arg, i->c.name);
	step(w, i, now); /* it may not be wanted any more */
}

static void tunnel_news(struct wires *w, struct tunnel *t, const struct kernel_news *n,
			struct mono now)
{
	if (n->kind != KERNEL_NEWS_DONE || n->generation != t->generation)
		return; /* gone: so are its sessions, each with a word of its own */
	if (n->op == KERNEL_OP_TUNNEL_DEL) {
		list_for_each_safe (it, &t->wires)
			ended(w, container_of(it, struct wire, in_tunnel), now);
		tunnel_free(w, t);
		make_all(w, now);
	} else if (n->result != KERNEL_OK) {
		list_for_each_safe (it, &t->wires)
			put_failed(w, container_of(it, struct wire, in_tunnel), n, now);
	}
}

bool wires_news(struct wires *w, const struct kernel_news *n, struct mono now)
{
	bool done = n->kind == KERNEL_NEWS_DONE;
	struct tunnel *t;
	struct wire *i;

	if (n->key < WIRES_KEY_FIRST)
		return false;
	if (n->kind == KERNEL_NEWS_TUNNEL_GONE ||
	    (done && (n->op == KERNEL_OP_TUNNEL_PUT || n->op == KERNEL_OP_TUNNEL_DEL))) {
		t = tunnel_find(w, n->key);
		if (t)
			tunnel_news(w, t, n, now);
		return true;
	}
	i = find(w, n->key);
	if (!i)
		return true; /* it was freed meanwhile */
	if (done && n->op == KERNEL_OP_PUT) {
		put_done(w, i, n, now);
	} else if (done && n->op == KERNEL_OP_DEL && i->phase == WIRE_ENDING) {
		ended(w, i, now);
		make_all(w, now);
	} else if (n->kind == KERNEL_NEWS_GONE && i->phase == WIRE_UP) {
		say(w, TRACE_WARNING, i, "was removed by another program, it is made again",
		    n->text);
		i->told = true;
		failed(w, i, n->text, now);
	}
	return true;
}

struct mono wires_deadline(const struct wires *w)
{
	return heap_deadline(&w->timers);
}

void wires_expire(struct wires *w, struct mono now)
{
	struct heap_node *n;

	while ((n = heap_first(&w->timers)) && mono_due(n->at, now)) {
		heap_clear(&w->timers, n);
		if (w->k)
			step(w, container_of(n, struct wire, again), now);
	}
}

/* ---- what there is ---- */

size_t wires_count(const struct wires *w)
{
	return w->count;
}

static void state_of(const struct wire *i, struct wire_state *ret)
{
	*ret = (struct wire_state){ i->c.name, i->ifname, i->key, i->phase == WIRE_UP,
				    i->cannot, i->text,	  i->mtu };
}

bool wires_next(const struct wires *w, const void **pos, struct wire_state *ret)
{
	const struct list *at = *pos ? *pos : &w->all;

	at = at->next;
	if (at == &w->all)
		return false;
	*pos = at;
	state_of(container_of((uintptr_t)at, struct wire, link), ret);
	return true;
}

bool wires_find(const struct wires *w, const char *name, struct wire_state *ret)
{
	const struct wire *found = NULL;

	/* one that ends may have the name, too */
	for (struct htab_node *n = htab_find(&w->names, name_hash(w, name)); n; n = htab_next(n)) {
		const struct wire *i = container_of(n, struct wire, by_name);

		if (strcmp(i->c.name, name) == 0 && (!found || i->wanted))
			found = i;
	}
	if (found)
		state_of(found, ret);
	return found != NULL;
}

bool wires_counted(struct wires *w, uint64_t key, const struct dp_counters *now)
{
	uint32_t tx = (uint32_t)now->tx_packets;
	uint32_t rx = (uint32_t)(now->rx_packets + now->drop_spoof + now->drop_seq + now->drop_mtu +
				 now->drop_other);
	struct wire *i = find(w, key);
	bool more = i && (i->rx != rx || i->tx != tx);

	if (more) {
		i->rx = rx;
		i->tx = tx;
	}
	return more;
}

/* ---- over an upgrade ---- */

enum { REC_WIRE = CARRY_PLANE | CARRY_MUST | 0x20 };

enum {
	F_NAME = 1,
	F_KEY = 2, /* u64 */
	F_IDS = 3, /* u32 local and remote tunnel */
	F_ROW = 4, /* dp_row_save() */
	F_UP = 5,  /* u32 0 or 1 */
	F_GENERATION = 6,
	F_IFNAME = 7,
	F_TUNNEL = 8 /* u64 key and u32 generation; earlier releases: key and generation above */
};

void wires_carry(const struct wires *w, struct carry *c)
{
	list_for_each (it, &w->all) {
		const struct wire *i = container_of(it, struct wire, link);
		struct wcur *cur = carry_begin(c, REC_WIRE);
		size_t at;

		carry_text(c, F_NAME, i->c.name);
		wcur_tlv_u64(cur, F_KEY, i->key);
		at = wcur_tlv_begin(cur, F_IDS);
		wcur_u32(cur, i->c.local_tunnel);
		wcur_u32(cur, i->c.remote_tunnel);
		wcur_tlv_end(cur, at);
		at = wcur_tlv_begin(cur, F_ROW);
		dp_row_save(cur, &i->c.row);
		wcur_tlv_end(cur, at);
		wcur_tlv_u32(cur, F_UP, i->phase == WIRE_UP);
		wcur_tlv_u32(cur, F_GENERATION, i->generation);
		carry_text(c, F_IFNAME, i->ifname);
		if (i->tunnel) {
			at = wcur_tlv_begin(cur, F_TUNNEL);
			wcur_u64(cur, i->tunnel->key);
			wcur_u32(cur, i->tunnel->generation);
			wcur_tlv_end(cur, at);
		}
		carry_end(c);
	}
}

static bool wire_field(struct wire *i, struct tunnel *t, uint16_t field, struct rcur f)
{
	switch (field) {
	case F_NAME:
		return carry_text_load(f, i->c.name, sizeof(i->c.name));
	case F_KEY:
		i->key = rcur_u64(&f);
		break;
	case F_IDS:
		i->c.local_tunnel = rcur_u32(&f);
		i->c.remote_tunnel = rcur_u32(&f);
		break;
	case F_ROW:
		return dp_row_load(&f, &i->c.row);
	case F_UP:
		i->phase = rcur_u32(&f) ? WIRE_UP : WIRE_NONE; /* not entered yet */
		break;
	case F_GENERATION:
		i->generation = rcur_u32(&f);
		break;
	case F_IFNAME:
		return carry_text_load(f, i->ifname, sizeof(i->ifname));
	case F_TUNNEL:
		t->key = rcur_u64(&f);
		t->generation = rcur_u32(&f);
		break;
	default:
		break;
	}
	return !f.bad;
}

/* None that is given out later may be the same. False: it is none of these. */
static bool key_seen(struct wires *w, uint64_t key)
{
	if ((uint32_t)key > w->last_key)
		w->last_key = (uint32_t)key;
	return key >= WIRES_KEY_FIRST;
}

/* Its tunnel is in the plane, or was on its way there. */
static int tunnel_carried(struct wires *w, struct wire *i, const struct tunnel *was)
{
	struct tunnel *t = tunnel_find(w, was->key);

	if (!t)
		t = tunnel_new(w, i, was->key);
	if (!t)
		return -ENOMEM;
	t->generation = was->generation;
	if (i->phase == WIRE_UP)
		attach(i, t);
	return 0;
}

int wires_carried(struct wires *w, uint16_t tag, struct rcur v)
{
	struct tunnel t = { 0 };
	struct wire *i;
	uint16_t field;
	struct rcur f;
	bool ok = true;

	if (tag != REC_WIRE)
		return 1;
	i = wire_new();
	if (!i)
		return -ENOMEM;
	while (ok && rcur_tlv(&v, &field, &f))
		ok = wire_field(i, &t, field, f);
	if (!t.key && i->phase == WIRE_UP) {
		t.key = i->key;
		t.generation = i->generation;
	}
	if (!ok || v.bad || !key_seen(w, i->key) || (t.key && !key_seen(w, t.key))) {
		wire_wipe(i);
		return -EBADMSG;
	}
	if (wire_enter(w, i) < 0) {
		wire_wipe(i);
		return -ENOMEM;
	}
	return t.key ? tunnel_carried(w, i, &t) : 0;
}
