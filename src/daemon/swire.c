/* SPDX-License-Identifier: MIT
 *
 * Static pseudowires that the kernel does not carry: those the configuration wants in user space
 * (data-plane = user), and those the keeper has said the kernel cannot have (data-plane = auto).
 * All others are the keeper's own.
 *
 * The row of a pseudowire has a key made of its name and its values. So the next aditd puts the
 * same row under the same key, which changes nothing: frames flow on; and a pseudowire that was
 * changed in the configuration is another one, put when the former is gone. What fails (the bridge
 * is not there yet) is tried again and again.
 */
#include "daemon.h"

#include "access/pw.h"
#include "base/crypto.h"
#include "dp/path.h"
#include "dp/remote.h"
#include "keeper/wires.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_US (5 * US_S)

enum swire_phase { SWIRE_NONE, SWIRE_PUTTING, SWIRE_UP, SWIRE_ENDING };

struct swire {
	struct list in;
	struct conf_wire c; /* row.path.via is set */
	uint64_t key;
	uint32_t generation;
	uint16_t mtu; /* of the row as the plane has it */
	bool wanted;
	bool told; /* that it failed */
	enum swire_phase phase;
	struct mono again;
	char ifname[DP_IFNAME], text[DP_TEXT];
};

struct swires {
	struct list all;
	struct mono look; /* whether the keeper has a word on those it may carry */
};

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
	for (key = WIRES_KEY_FIRST | hash;; key = WIRES_KEY_FIRST | (uint32_t)(key + 1)) {
		bool taken = false;

		list_for_each (it, &d->swires->all)
			taken = taken || container_of(it, struct swire, in)->key == key;
		if (!taken)
			return key;
	}
}

static struct swire *find(const struct daemon *d, uint64_t key)
{
	list_for_each (it, &d->swires->all)
		if (container_of(it, struct swire, in)->key == key)
			return container_of(it, struct swire, in);
	return NULL;
}

static struct swire *find_name(const struct daemon *d, const char *name)
{
	list_for_each (it, &d->swires->all) {
		struct swire *s = container_of(it, struct swire, in);

		if (s->wanted && strcmp(s->c.name, name) == 0)
			return s;
	}
	return NULL;
}

static void swire_free(struct swire *s)
{
	list_drop(&s->in);
	bytes_wipe(&s->c, sizeof(s->c)); /* cookies */
	free(s);
}

/* Is it ours to carry? */
static bool ours(const struct daemon *d, const struct conf_wire *c)
{
	struct dp_wire w = { .text = "" };

	if (c->plane != DP_WANT_AUTO)
		return c->plane == DP_WANT_USER;
	return dp_remote_wire(d->remote, c->name, &w) && w.cannot;
}

static void failed(struct daemon *d, struct swire *s, const char *why)
{
	s->phase = SWIRE_NONE;
	s->again = mono_add(d->now, AGAIN_US);
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

static void put(struct daemon *d, struct swire *s)
{
	const struct conf_socket *socket = conf_socket_find(d->conf, s->c.via);
	int rc;

	s->again = MONO_NEVER;
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
	s->again = MONO_NEVER;
	s->phase = SWIRE_ENDING;
	if (d->dp->ops->del(d->dp, s->key, ++s->generation) < 0) {
		s->phase = SWIRE_UP;
		s->again = mono_add(d->now, AGAIN_US);
	}
}

/* Does a former one that is going have something this one needs? */
static bool waits(const struct daemon *d, const struct swire *s)
{
	list_for_each (it, &d->swires->all) {
		const struct swire *o = container_of(it, struct swire, in);

		if (!o->wanted && (o->c.row.local_session == s->c.row.local_session ||
				   strcmp(o->c.row.ifname, s->c.row.ifname) == 0))
			return true;
	}
	return false;
}

static void step_all(struct daemon *d)
{
	list_for_each_safe (it, &d->swires->all) {
		struct swire *s = container_of(it, struct swire, in);

		if (s->wanted)
			continue;
		if (s->phase == SWIRE_NONE)
			swire_free(s);
		else if (s->phase == SWIRE_UP)
			end(d, s);
	}
	list_for_each (it, &d->swires->all) {
		struct swire *s = container_of(it, struct swire, in);

		if (s->wanted && s->phase == SWIRE_NONE && mono_due(s->again, d->now) &&
		    !waits(d, s))
			put(d, s);
	}
}

static void add(struct daemon *d, const struct conf_wire *c)
{
	struct swire *s = calloc(1, sizeof(*s));

	if (!s) {
		daemon_say(d, TRACE_WARNING, "out of memory: pseudowire \"%s\" is not brought up",
			   c->name);
		return;
	}
	list_init(&s->in);
	s->c = *c;
	s->c.row.path.via = c->via;
	s->key = key_of(d, c);
	s->wanted = true;
	list_push(&d->swires->all, &s->in);
}

static bool same(const struct conf_wire *a, const struct swire *s)
{
	struct dp_row row = a->row;

	row.path.via = a->via;
	return strcmp(a->name, s->c.name) == 0 && memcmp(&row, &s->c.row, sizeof(row)) == 0;
}

/* What the configuration wants, and the keeper leaves to us. */
static void look(struct daemon *d)
{
	const struct conf *c = d->conf;

	d->swires->look = MONO_NEVER;
	list_for_each (it, &d->swires->all)
		container_of(it, struct swire, in)->wanted = false;
	for (size_t i = 0; i < c->wire_count; i++) {
		struct swire *found = NULL;

		if (c->wires[i].plane == DP_WANT_AUTO) /* the keeper may change its mind */
			d->swires->look = mono_add(d->now, AGAIN_US);
		if (!ours(d, c->wires + i))
			continue;
		list_for_each (it, &d->swires->all) {
			struct swire *s = container_of(it, struct swire, in);

			if (!s->wanted && s->phase != SWIRE_ENDING && same(c->wires + i, s))
				found = s;
		}
		if (found)
			found->wanted = true, found->c.auto_mtu = c->wires[i].auto_mtu;
		else
			add(d, c->wires + i);
	}
	step_all(d);
}

bool swire_open(struct daemon *d)
{
	d->swires = calloc(1, sizeof(*d->swires));
	if (!d->swires) {
		daemon_say(d, TRACE_WARNING, "out of memory");
		return false;
	}
	list_init(&d->swires->all);
	look(d);
	return true;
}

void swire_free_all(struct daemon *d)
{
	if (!d->swires)
		return;
	list_for_each_safe (it, &d->swires->all)
		swire_free(container_of(it, struct swire, in));
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
	if (!s || done->generation != s->generation)
		return true;
	if (done->op == DP_OP_DEL) {
		s->phase = SWIRE_NONE;
		step_all(d);
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
	}
	step_all(d);
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
	struct mono at = d->swires->look;

	list_for_each (it, &d->swires->all) {
		const struct swire *s = container_of(it, struct swire, in);

		if (s->again.us > 0)
			at = mono_min(at, s->again);
	}
	return at;
}

void swire_expire(struct daemon *d)
{
	list_for_each (it, &d->swires->all) {
		struct swire *s = container_of(it, struct swire, in);

		if (s->again.us > 0 && s->phase == SWIRE_UP && mono_due(s->again, d->now))
			s->again = MONO_NEVER; /* its deletion is asked for again below */
	}
	if (mono_due(d->swires->look, d->now))
		look(d);
	else
		step_all(d);
}
