/* SPDX-License-Identifier: MIT
 *
 * Static pseudowires.
 *
 * Each is a tunnel of the kernel's own socket and one session, under keys no aditd uses. A wire is
 * wanted or not, and is in one of four states: nothing of it is there, it is being made, it is up,
 * it is being taken down. What fails (there is no route to the peer yet, the bridge is not there)
 * or is removed by somebody else is tried again after a while. A wire that was changed in the
 * configuration is taken down and made anew. An MTU that nobody configured is what fits on the path
 * when it is made and at each new configuration.
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

struct wire {
	struct list link;
	struct htab_node by_key, by_name;
	struct conf_wire c;
	uint64_t key; /* of the tunnel and of the session */
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
	struct list all;
	struct htab keys, names;
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
	htab_init(&w->keys, key);
	htab_init(&w->names, key);
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

static void phase_set(struct wires *w, struct wire *i, enum wire_phase phase)
{
	w->ending -= i->phase == WIRE_ENDING;
	w->ending += phase == WIRE_ENDING;
	i->phase = phase;
}

static struct wire *wire_new(void)
{
	struct wire *i = calloc(1, sizeof(*i));

	if (i)
		list_init(&i->link);
	return i;
}

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
	list_for_each_safe (it, &w->all)
		wire_free(w, container_of(it, struct wire, link));
	htab_free(&w->keys);
	htab_free(&w->names);
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
	const struct dp_row row = row_of(i), *r = &row;
	struct kernel_tunnel t = {
		.version = 3,
		.encap = r->encap,
		.local_id = i->c.local_tunnel,
		.remote_id = i->c.remote_tunnel,
		.path = r->path,
	};
	int rc;

	again_at(w, i, MONO_NEVER);
	phase_set(w, i, WIRE_MAKING);
	i->generation++;
	i->mtu = row.mtu;
	rc = kernel_tunnel_put(w->k, i->key, i->generation, &t);
	if (rc == 0)
		rc = kernel_put(w->k, i->key, i->generation, i->key, r);
	if (rc < 0)
		failed(w, i, strerror(-rc), now);
}

static void end(struct wires *w, struct wire *i, struct mono now)
{
	/* its session ends with it */
	if (kernel_tunnel_del(w->k, i->key, i->generation + 1) < 0) {
		again_at(w, i, mono_add(now, AGAIN_US)); /* nothing would end WIRE_ENDING */
		return;
	}
	i->generation++;
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
	if (kernel_put(w->k, i->key, i->generation + 1, i->key, &row) < 0)
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

static void put_done(struct wires *w, struct wire *i, const struct kernel_news *n, struct mono now)
{
	if (n->generation != i->generation || i->phase != WIRE_MAKING)
		return;
	if (n->result != KERNEL_OK) {
		char why[KERNEL_TEXT];

		snprintf(why, sizeof(why), "%s", n->text);
		end(w, i, now); /* the tunnel may be there */
		if (n->result == KERNEL_CANNOT && i->c.plane == DP_WANT_AUTO)
			leave(w, i, why);
		else
			failed(w, i, why, now);
		return;
	}
	if (n->op != KERNEL_OP_PUT)
		return; /* the session follows */
	phase_set(w, i, WIRE_UP);
	i->told = false;
	i->text[0] = '\0';
	snprintf(i->ifname, sizeof(i->ifname), "%s", n->ifname);
	say(w, TRACE_NOTICE, i, "is up on", n->ifname);
	say_mtu(w, i);
	w->config.changed(w->config.arg, i->c.name);
	step(w, i, now); /* it may not be wanted any more */
}

bool wires_news(struct wires *w, const struct kernel_news *n, struct mono now)
{
	struct wire *i;

	if (n->key < WIRES_KEY_FIRST)
		return false;
	i = find(w, n->key);
	if (!i)
		return true; /* it was freed meanwhile */
	switch (n->kind) {
	case KERNEL_NEWS_DONE:
		if (n->op == KERNEL_OP_TUNNEL_PUT || n->op == KERNEL_OP_PUT) {
			put_done(w, i, n, now);
		} else if (n->op == KERNEL_OP_TUNNEL_DEL && i->phase == WIRE_ENDING) {
			phase_set(w, i, WIRE_NONE);
			i->ifname[0] = '\0';
			if (!i->wanted)
				step(w, i, now);
			make_all(w, now);
		}
		break;
	case KERNEL_NEWS_GONE:
	case KERNEL_NEWS_TUNNEL_GONE:
		if (i->phase != WIRE_UP)
			break;
		say(w, TRACE_WARNING, i, "was removed by another program, it is made again",
		    n->text);
		i->told = true;
		end(w, i, now);
		failed(w, i, n->text, now);
		break;
	case KERNEL_NEWS_FRAME:
	case KERNEL_NEWS_LOCAL:
		break;
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
	F_IFNAME = 7
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
		carry_end(c);
	}
}

static bool wire_field(struct wire *i, uint16_t field, struct rcur f)
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
	default:
		break;
	}
	return !f.bad;
}

int wires_carried(struct wires *w, uint16_t tag, struct rcur v)
{
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
		ok = wire_field(i, field, f);
	if (!ok || v.bad || i->key < WIRES_KEY_FIRST) {
		wire_wipe(i);
		return -EBADMSG;
	}
	if (wire_enter(w, i) < 0) {
		wire_wipe(i);
		return -ENOMEM;
	}
	if ((uint32_t)i->key > w->last_key)
		w->last_key = (uint32_t)i->key;
	return 0;
}
