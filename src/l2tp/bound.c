/* SPDX-License-Identifier: MIT
 *
 * Bounds for what strangers have opened, see bound.h.
 */
#include "l2tp/bound.h"

#include <errno.h>
#include <stdlib.h>
#include "base/addr.h"

struct bound_source {
	struct htab_node node;
	struct addr addr; /* without port */
	struct list nodes;
	uint32_t count;
};

void bound_init(struct bound *b, const uint8_t key[16], size_t *account)
{
	*b = (struct bound){ .account = account };
	list_init(&b->open);
	list_init(&b->trusted);
	htab_init(&b->sources, key);
}

void bound_free(struct bound *b)
{
	htab_free(&b->sources);
}

void bound_node_init(struct bound_node *n)
{
	*n = (struct bound_node){ .source = NULL };
	list_init(&n->all);
	list_init(&n->by_source);
}

static struct addr key_of(const struct addr *a)
{
	struct addr key = *a;

	key.port = 0;
	return key;
}

static struct bound_source *find(struct bound *b, const struct addr *key)
{
	struct htab_node *n = htab_find(&b->sources, htab_hash(&b->sources, key, sizeof(*key)));

	for (; n; n = htab_next(n)) {
		struct bound_source *s = container_of(n, struct bound_source, node);

		if (addr_equal(&s->addr, key))
			return s;
	}
	return NULL;
}

struct bound_node *bound_victim(struct bound *b, const struct addr *from)
{
	struct addr key = key_of(from);
	struct bound_source *s = find(b, &key);

	if (s && s->count >= b->per_source)
		return container_of(s->nodes.next, struct bound_node, by_source);
	if (b->open_count >= b->share)
		return container_of(b->open.next, struct bound_node, all);
	return NULL;
}

struct bound_node *bound_victim_trusted(struct bound *b)
{
	if (b->trusted_count < b->share)
		return NULL;
	return container_of(b->trusted.next, struct bound_node, all);
}

int bound_enter(struct bound *b, struct bound_node *n, const struct addr *from)
{
	struct addr key = key_of(from);
	struct bound_source *s = find(b, &key);

	if (!s) {
		if (htab_reserve(&b->sources) < 0)
			return -ENOMEM;
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		*b->account += sizeof(*s);
		s->addr = key;
		list_init(&s->nodes);
		htab_put(&b->sources, &s->node, htab_hash(&b->sources, &key, sizeof(key)));
	}
	s->count++;
	n->source = s;
	list_push(&s->nodes, &n->by_source);
	list_push(&b->open, &n->all);
	b->open_count++;
	return 0;
}

void bound_leave(struct bound *b, struct bound_node *n)
{
	struct bound_source *s = n->source;

	if (!s)
		return;
	n->source = NULL;
	list_drop(&n->by_source);
	list_drop(&n->all);
	if (n->trusted)
		b->trusted_count--;
	else
		b->open_count--;
	if (--s->count == 0) {
		htab_drop(&b->sources, &s->node);
		*b->account -= sizeof(*s);
		free(s);
	}
}

void bound_trust(struct bound *b, struct bound_node *n)
{
	if (!n->source || n->trusted)
		return;
	n->trusted = true;
	list_drop(&n->all);
	b->open_count--;
	list_push(&b->trusted, &n->all);
	b->trusted_count++;
}

bool bound_source_bad(const struct path *p)
{
	static const uint16_t ports[] = { 7, 19, 53, 123 };
	const uint8_t *ip = p->remote.ip, *to = p->local.ip;

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (p->remote.port == ports[i])
			return true;
	}
	if (addr_is_any(&p->remote) || addr_equal(&p->local, &p->remote))
		return true;
	if (p->remote.family == AF_INET) /* multicast, reserved, broadcast */
		return ip[0] >= 224 || to[0] >= 224;
	return ip[0] == 0xff || to[0] == 0xff;
}

uint64_t bound_request(const struct htab *t, const struct path *path, uint64_t hash)
{
	struct {
		uint64_t hash;
		struct path path;
		uint32_t zero;
	} key = { hash, *path, 0 };

	return htab_hash(t, &key, sizeof(key));
}
