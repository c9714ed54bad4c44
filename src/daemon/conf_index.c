/* SPDX-License-Identifier: MIT
 *
 * Pseudowires by what they are looked for: what only one of them may have while a configuration is
 * made, and their names and interfaces once it is. There may be ten thousand.
 */
#include "conf_tree.h"

#include <stdlib.h>
#include <string.h>

/* ---- what may be there once ---- */

struct taken {
	struct htab_node node;
	enum conf_once what;
	struct conf_taken by;
	size_t len;
	uint8_t key[];
};

static struct taken *find(const struct htab *t, uint64_t hash, enum conf_once what, const void *key,
			  size_t len)
{
	for (struct htab_node *n = htab_find(t, hash); n; n = htab_next(n)) {
		struct taken *o = container_of(n, struct taken, node);

		if (o->what == what && o->len == len && memcmp(o->key, key, len) == 0)
			return o;
	}
	return NULL;
}

bool conf_take(struct conf_build *b, enum conf_once what, const void *key, size_t len,
	       struct conf_taken by, struct conf_taken *ret)
{
	uint64_t hash = htab_hash(&b->once, key, len) + (uint64_t)what;
	struct taken *o = find(&b->once, hash, what, key, len);

	if (o) {
		*ret = o->by;
		return true;
	}
	o = htab_reserve(&b->once) < 0 ? NULL : malloc(sizeof(*o) + len);
	if (!o)
		return conf_no_memory(b);
	o->what = what;
	o->by = by;
	o->len = len;
	memcpy(o->key, key, len);
	htab_put(&b->once, &o->node, hash);
	*ret = by;
	return true;
}

void conf_take_free(struct conf_build *b)
{
	struct htab_node *n;
	uint64_t pos;

	while (pos = 0, (n = htab_walk(&b->once, &pos, NULL))) {
		htab_drop(&b->once, n);
		free(container_of(n, struct taken, node));
	}
	htab_free(&b->once);
}

/* ---- names of what is there ---- */

static int order(const void *a, const void *b)
{
	const struct conf_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static size_t static_ifnames(const struct conf *c, struct conf_name *v)
{
	for (size_t i = 0; i < c->wire_count; i++)
		v[i] = (struct conf_name){ c->wires[i].row.ifname, i };
	return c->wire_count;
}

static size_t agreed_ifnames(const struct conf *c, struct conf_name *v)
{
	for (size_t i = 0; i < c->pw->wire_count; i++)
		v[i] = (struct conf_name){ c->pw->wires[i].row.ifname, i };
	return c->pw->wire_count;
}

static size_t agreed_names(const struct conf *c, struct conf_name *v)
{
	for (size_t i = 0; i < c->pw->wire_count; i++)
		v[i] = (struct conf_name){ c->pw->wires[i].name, i };
	return c->pw->wire_count;
}

bool conf_index(struct conf_build *b)
{
	static size_t (*const fill[])(const struct conf *, struct conf_name *) = {
		[CONF_BY_STATIC_IFNAME] = static_ifnames,
		[CONF_BY_IFNAME] = agreed_ifnames,
		[CONF_BY_NAME] = agreed_names,
	};
	size_t most = b->c->wire_count + b->c->pw->wire_count + 1;

	for (size_t i = 0; i < CONF_BY_COUNT; i++) {
		struct conf_names *v = b->c->names + i;

		v->v = calloc(most, sizeof(*v->v));
		if (!v->v)
			return conf_no_memory(b);
		v->n = fill[i](b->c, v->v);
		qsort(v->v, v->n, sizeof(*v->v), order);
	}
	return true;
}

void conf_index_free(struct conf *c)
{
	for (size_t i = 0; i < CONF_BY_COUNT; i++)
		free(c->names[i].v);
}

/* The index of the one with this name, SIZE_MAX = none. */
static size_t index_of(const struct conf *c, enum conf_by by, const char *name)
{
	const struct conf_names *v = c->names + by;
	struct conf_name want = { name, 0 }, *found;

	found = v->n ? bsearch(&want, v->v, v->n, sizeof(*v->v), order) : NULL;
	return found ? found->at : SIZE_MAX;
}

const struct conf_wire *conf_wire_by_ifname(const struct conf *c, const char *ifname)
{
	size_t at = index_of(c, CONF_BY_STATIC_IFNAME, ifname);

	return at == SIZE_MAX ? NULL : c->wires + at;
}

const struct pw_conf_wire *conf_pw_by_ifname(const struct conf *c, const char *ifname)
{
	size_t at = index_of(c, CONF_BY_IFNAME, ifname);

	return at == SIZE_MAX ? NULL : c->pw->wires + at;
}

const struct pw_conf_wire *conf_pw_find(const struct conf *c, const char *name)
{
	size_t at = index_of(c, CONF_BY_NAME, name);

	return at == SIZE_MAX ? NULL : c->pw->wires + at;
}
