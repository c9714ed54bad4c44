/* SPDX-License-Identifier: MIT
 *
 * Static pseudowires that the kernel does not carry: those the configuration wants in user space
 * (data-plane = user), and those the keeper has said the kernel cannot have (data-plane = auto).
 * All others are the keeper's own.
 *
 * The row of a pseudowire has a key made of its name and its values. So the next aditd puts the
 * same row under the same key, which changes nothing: frames flow on; and a pseudowire that was
 * changed in the configuration is another one, put when the former is gone, also when that was put
 * by a former aditd. What fails (the bridge
 * is not there yet) is tried again and again. There may be thousands: what happens to one of them
 * looks at no more than those that have a name, an id or an interface in common with it.
 */
#include "daemon.h"

#include "access/pw.h"
#include "base/crypto.h"
#include "base/heap.h"
#include "base/htab.h"
#include "base/list.h"
#include "dp/path.h"
#include "dp/remote.h"
#include "keeper/wires.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define AGAIN_US (5 * US_S)

enum swire_phase { SWIRE_NONE, SWIRE_PUTTING, SWIRE_UP, SWIRE_ENDING };

struct swire {
	struct list in;
	struct htab_node by_key, by_name, by_id, by_if;
	struct conf_wire c; /* row.path.via is set */
	uint64_t key;
	uint32_t generation;
	uint16_t mtu; /* of the row as the plane has it */
	bool wanted;
	bool there; /* put by a former aditd */
	bool waits; /* for step() */
	bool told;  /* that it failed */
	enum swire_phase phase;
	struct heap_node again; /* try then */
	char ifname[DP_IFNAME], text[DP_TEXT];
};

struct swires {
	struct list all;
	struct htab keys, names, ids, ifs;
	struct heap timers;
	uint32_t count;
	uint32_t former;  /* rows that a former aditd has left, and the search for them */
	struct mono look; /* whether the keeper has a word on those it may carry */
};

static uint64_t u64_hash(const struct htab *t, uint64_t v)
{
	return htab_hash(t, &v, sizeof(v));
}

static uint64_t text_hash(const struct htab *t, const char *text)
{
	return htab_hash(t, text, strlen(text));
}

static struct swire *find(const struct daemon *d, uint64_t key)
{
	struct htab_node *n = htab_find(&d->swires->keys, u64_hash(&d->swires->keys, key));

	for (; n; n = htab_next(n)) {
		struct swire *s = container_of(n, struct swire, by_key);

		if (s->key == key)
			return s;
	}
	return NULL;
}

/* The lower half of the key; FNV-1a over all that makes the pseudowire what it is. */
static uint64_t key_of(const struct daemon *d, const struct conf_wire *c)
{
	uint32_t hash = 0x811c9dc5u;
	const uint8_t *row = (const uint8_t *)&c->row; /* of zeroed memory, padding too */
	uint64_t key;

	for (size_t i = 0; i < sizeof(c->name) && c->name[i]; i++)
		hash = (hash ^ (uint8_t)c->name[i]) * 0x01000193u;
	for (size_t i = 0; i < sizeof(c->row); i++)
		hash = (hash ^ row[i]) * 0x01000193u;
	for (key = WIRES_KEY_FIRST | hash; find(d, key);
	     key = WIRES_KEY_FIRST | (uint32_t)(key + 1))
		;
	return key;
}

static struct swire *find_name(const struct daemon *d, const char *name)
{
	struct htab_node *n = htab_find(&d->swires->names, text_hash(&d->swires->names, name));

	for (; n; n = htab_next(n)) {
		struct swire *s = container_of(n, struct swire, by_name);

		if (s->wanted && strcmp(s->c.name, name) == 0)
			return s;
	}
	return NULL;
}

static int enter(struct swires *all, struct swire *s)
{
	if (htab_reserve(&all->keys) < 0 || htab_reserve(&all->names) < 0 ||
	    htab_reserve(&all->ids) < 0 || htab_reserve(&all->ifs) < 0 ||
	    heap_reserve(&all->timers, all->count + 1) < 0)
		return -ENOMEM;
	htab_put(&all->keys, &s->by_key, u64_hash(&all->keys, s->key));
	htab_put(&all->names, &s->by_name, text_hash(&all->names, s->c.name));
	htab_put(&all->ids, &s->by_id, u64_hash(&all->ids, s->c.row.local_session));
	htab_put(&all->ifs, &s->by_if, text_hash(&all->ifs, s->c.row.ifname));
	list_push(&all->all, &s->in);
	all->count++;
	return 0;
}

static void swire_wipe(struct swire *s)
{
	bytes_wipe(&s->c, sizeof(s->c)); /* cookies */
	free(s);
}

static void swire_free(struct swires *all, struct swire *s)
{
	heap_clear(&all->timers, &s->again);
	htab_drop(&all->keys, &s->by_key);
	htab_drop(&all->names, &s->by_name);
	htab_drop(&all->ids, &s->by_id);
	htab_drop(&all->ifs, &s->by_if);
	list_drop(&s->in);
	all->count--;
	swire_wipe(s);
}

/* Is it ours to carry? */
static bool ours(const struct daemon *d, const struct conf_wire *c)
{
	struct dp_wire w = { .text = "" };

	if (c->plane != DP_WANT_AUTO)
		return c->plane == DP_WANT_USER;
	return dp_remote_wire(d->remote, c->name, &w) && w.cannot;
}

static void again_at(struct daemon *d, struct swire *s, struct mono at)
{
	heap_set(&d->swires->timers, &s->again, at);
}

static void failed(struct daemon *d, struct swire *s, const char *why)
{
	s->phase = SWIRE_NONE;
	again_at(d, s, mono_add(d->now, AGAIN_US));
	snprintf(s->text, sizeof(s->text), "%.*s", DP_TEXT - 1, why);
	if (!s->told)
		daemon_say(d, TRACE_WARNING,
			   "pseudowire \"%s\" is not up, and is tried again and again: %s",
			   s->c.name, why);
	s->told = true;
}

/* Hand its row to the plane, with an MTU that fits on the path now. */
static int row_put(struct daemon *d, struct swire *s)
{
	struct dp_row row = s->c.row;
	uint16_t path = s->c.auto_mtu ? path_mtu(&row.path) : 0;

	if (path)
		row.mtu = pw_mtu(&row, path);
	if (s->phase == SWIRE_UP && row.mtu == s->mtu)
		return 0;
	s->mtu = row.mtu;
	return d->dp->ops->put(d->dp, s->key, ++s->generation, &row);
}

static void say_mtu(struct daemon *d, const struct swire *s)
{
	char text[PW_MTU_TEXT];

	if (!s->c.auto_mtu && pw_mtu_large(&s->c.row, path_mtu(&s->c.row.path), text, sizeof(text)))
		daemon_say(d, TRACE_WARNING, "pseudowire \"%s\": %s", s->c.name, text);
}

static void put(struct daemon *d, struct swire *s)
{
	const struct conf_socket *socket = conf_socket_find(d->conf, s->c.via);
	int rc;

	again_at(d, s, MONO_NEVER);
	if (!peer_socket(d, s->c.via) && (!socket || !peer_socket_open(d, socket))) {
		failed(d, s, "there is no socket for it");
		return;
	}
	s->phase = SWIRE_PUTTING;
	rc = row_put(d, s);
	if (rc < 0)
		failed(d, s, strerror(-rc));
}

static void end(struct daemon *d, struct swire *s)
{
	again_at(d, s, MONO_NEVER);
	s->phase = SWIRE_ENDING;
	if (d->dp->ops->del(d->dp, s->key, ++s->generation) < 0) {
		s->phase = SWIRE_UP;
		again_at(d, s, mono_add(d->now, AGAIN_US));
	}
}

static bool needs_both(const struct swire *a, const struct swire *b)
{
	return a->c.row.local_session == b->c.row.local_session ||
	       strcmp(a->c.row.ifname, b->c.row.ifname) == 0;
}

/* Calls `each` with all that have something `s` needs, itself among them; it may not change which
 * there are. */
static void rivals(struct daemon *d, struct swire *s,
		   void (*each)(struct daemon *d, struct swire *s, struct swire *other))
{
	const struct swires *all = d->swires;
	struct htab_node *n;

	for (n = htab_find(&all->ids, s->by_id.hash); n; n = htab_next(n))
		if (needs_both(s, container_of(n, struct swire, by_id)))
			each(d, s, container_of(n, struct swire, by_id));
	for (n = htab_find(&all->ifs, s->by_if.hash); n; n = htab_next(n))
		if (needs_both(s, container_of(n, struct swire, by_if)))
			each(d, s, container_of(n, struct swire, by_if));
}

static void waits_for(struct daemon *d, struct swire *s, struct swire *other)
{
	s->waits = s->waits || !other->wanted;
}

static void begin(struct daemon *d, struct swire *s)
{
	if (!s->wanted || s->phase != SWIRE_NONE || s->again.pos ||
	    (d->swires->former && !s->there))
		return;
	s->waits = false;
	rivals(d, s, waits_for);
	if (!s->waits)
		put(d, s);
}

static void wake(struct daemon *d, struct swire *gone, struct swire *other)
{
	if (other != gone)
		begin(d, other);
}

/* Nothing of it is there any more: others may have what it had. */
static void leave(struct daemon *d, struct swire *s)
{
	s->wanted = true; /* by nobody, but it is in nobody's way */
	rivals(d, s, wake);
	swire_free(d->swires, s);
}

/* The next step towards what is wanted. May free it. */
static void step(struct daemon *d, struct swire *s)
{
	if (s->wanted)
		begin(d, s);
	else if (s->phase == SWIRE_UP)
		end(d, s);
	else if (s->phase == SWIRE_NONE)
		leave(d, s);
}

static void step_all(struct daemon *d)
{
	list_for_each_safe (it, &d->swires->all) {
		struct swire *s = container_of(it, struct swire, in);

		if (!s->wanted)
			step(d, s);
	}
	list_for_each (it, &d->swires->all) {
		struct swire *s = container_of(it, struct swire, in);

		if (s->wanted)
			step(d, s);
	}
}

static void add(struct daemon *d, const struct conf_wire *c)
{
	struct swire *s = calloc(1, sizeof(*s));

	if (s) {
		list_init(&s->in);
		s->c = *c;
		s->c.row.path.via = c->via;
		s->key = key_of(d, c);
		s->wanted = true;
	}
	if (s && enter(d->swires, s) == 0)
		return;
	if (s)
		swire_wipe(s);
	daemon_say(d, TRACE_WARNING, "out of memory: pseudowire \"%s\" is not brought up", c->name);
}

static bool same(const struct conf_wire *a, const struct swire *s)
{
	struct dp_row row = a->row;

	row.path.via = a->via;
	return strcmp(a->name, s->c.name) == 0 && memcmp(&row, &s->c.row, sizeof(row)) == 0;
}

/* The one that has these values. */
static struct swire *former(const struct daemon *d, const struct conf_wire *c)
{
	struct htab_node *n = htab_find(&d->swires->names, text_hash(&d->swires->names, c->name));

	for (; n; n = htab_next(n)) {
		struct swire *s = container_of(n, struct swire, by_name);

		if (!s->wanted && s->phase != SWIRE_ENDING && same(c, s))
			return s;
	}
	return NULL;
}

/* What the configuration wants, and the keeper leaves to us. */
static void want(struct daemon *d)
{
	const struct conf *c = d->conf;

	d->swires->look = MONO_NEVER;
	list_for_each (it, &d->swires->all)
		container_of(it, struct swire, in)->wanted = false;
	for (size_t i = 0; i < c->wire_count; i++) {
		struct swire *found;

		if (c->wires[i].plane == DP_WANT_AUTO) /* the keeper may change its mind */
			d->swires->look = mono_add(d->now, AGAIN_US);
		if (!ours(d, c->wires + i))
			continue;
		found = former(d, c->wires + i);
		if (found)
			found->wanted = true, found->c.auto_mtu = c->wires[i].auto_mtu;
		else
			add(d, c->wires + i);
	}
}

static void look(struct daemon *d)
{
	want(d);
	step_all(d);
}

static void find_there(struct daemon *d)
{
	uint32_t generation;
	uint64_t pos = 0, key;

	while (d->dp->ops->list(d->dp, &pos, &key, &generation)) {
		struct swire *s = key < WIRES_KEY_FIRST ? NULL : find(d, key);

		if (s)
			s->there = true;
	}
}

bool swire_open(struct daemon *d)
{
	uint8_t key[16];

	d->swires = calloc(1, sizeof(*d->swires));
	if (!d->swires || getrandom(key, sizeof(key), 0) != sizeof(key)) {
		daemon_say(d, TRACE_WARNING, "out of memory");
		free(d->swires);
		d->swires = NULL;
		return false;
	}
	list_init(&d->swires->all);
	htab_init(&d->swires->keys, key);
	htab_init(&d->swires->names, key);
	htab_init(&d->swires->ids, key);
	htab_init(&d->swires->ifs, key);
	d->swires->former = 1;
	want(d);
	find_there(d);
	step_all(d);
	return true;
}

void swire_former(struct daemon *d, uint64_t key)
{
	d->swires->former += key >= WIRES_KEY_FIRST;
}

static void former_gone(struct daemon *d)
{
	if (d->swires->former && --d->swires->former == 0)
		step_all(d);
}

void swire_swept(struct daemon *d)
{
	former_gone(d);
}

void swire_free_all(struct daemon *d)
{
	if (!d->swires)
		return;
	list_for_each_safe (it, &d->swires->all)
		swire_free(d->swires, container_of(it, struct swire, in));
	htab_free(&d->swires->keys);
	htab_free(&d->swires->names);
	htab_free(&d->swires->ids);
	htab_free(&d->swires->ifs);
	heap_free(&d->swires->timers);
	free(d->swires);
	d->swires = NULL;
}

void swire_conf(struct daemon *d)
{
	look(d);
	list_for_each (it, &d->swires->all) {
		struct swire *s = container_of(it, struct swire, in);
		int rc = s->wanted && s->phase == SWIRE_UP ? row_put(d, s) : 0;

		if (rc < 0)
			failed(d, s, strerror(-rc));
	}
}

bool swire_done(struct daemon *d, const struct dp_done *done)
{
	struct swire *s;

	if (done->op == DP_OP_NET || done->key < WIRES_KEY_FIRST)
		return false;
	s = find(d, done->key);
	if (done->op == DP_OP_DEL && (!s || s->phase != SWIRE_ENDING)) {
		former_gone(d);
		return true;
	}
	if (!s || done->generation != s->generation)
		return true;
	if (done->op == DP_OP_DEL) {
		s->phase = SWIRE_NONE;
		step(d, s);
		return true;
	}
	if (done->error) {
		failed(d, s, done->text[0] ? done->text : strerror(-done->error));
	} else if (s->phase != SWIRE_UP) {
		s->phase = SWIRE_UP;
		s->told = false;
		s->text[0] = '\0';
		memcpy(s->ifname, done->ifname, sizeof(s->ifname));
		daemon_say(d, TRACE_NOTICE, "pseudowire \"%s\" is up on %s, in user space",
			   s->c.name, s->ifname);
		say_mtu(d, s);
	}
	step(d, s);
	return true;
}

bool swire_has(const struct daemon *d, uint64_t key)
{
	return find(d, key) != NULL;
}

bool swire_uses(const struct daemon *d, uint32_t via)
{
	list_for_each (it, &d->swires->all)
		if (container_of(it, struct swire, in)->c.via == via)
			return true;
	return false;
}

bool swire_state(const struct daemon *d, const char *name, struct swire_state *ret)
{
	const struct swire *s = find_name(d, name);

	if (!s)
		return false;
	*ret = (struct swire_state){ .up = s->phase == SWIRE_UP, .text = s->text, .mtu = s->mtu };
	d->dp->ops->stats(d->dp, s->key, &ret->counters);
	return true;
}

struct mono swire_deadline(const struct daemon *d)
{
	return mono_min(d->swires->look, heap_deadline(&d->swires->timers));
}

void swire_expire(struct daemon *d)
{
	struct heap_node *n;

	while ((n = heap_first(&d->swires->timers)) && mono_due(n->at, d->now)) {
		heap_clear(&d->swires->timers, n);
		step(d, container_of(n, struct swire, again));
	}
	if (mono_due(d->swires->look, d->now))
		look(d);
}
