/* SPDX-License-Identifier: MIT
 *
 * Sockets and address pools of the configuration: which sockets are needed and what their numbers
 * are, and that no address belongs to two places.
 */
#include "conf_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sockets ---- */

static uint32_t hashed(uint32_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 0x01000193u;
	return (hash ^ '/') * 0x01000193u;
}

/* The number of a socket: the same in every process and after every restart. */
static uint32_t socket_via(const struct conf *c, const struct conf_socket *s)
{
	char text[ADDR_TEXT_MAX];
	uint32_t hash = 0x811c9dc5u;
	const char *parts[] = { s->name, addr_text(&s->addr, text), s->device };

	for (size_t i = 0; i < 3; i++)
		hash = hashed(hash, parts[i]);
	/* with another mark it is another socket, which takes the place of the former */
	if (s->netns[0] || s->mark) {
		snprintf(text, sizeof(text), "%" PRIu32, s->mark);
		hash = hashed(hashed(hash, s->netns), text);
	}
	while (hash == 0 || conf_socket_find(c, hash))
		hash++;
	return hash;
}

static bool socket_add(struct conf_build *b, const struct conf_socket *s, int *ret_index)
{
	struct conf *c = b->c;
	struct conf_socket *grown = realloc(c->sockets, (c->socket_count + 1) * sizeof(*grown));

	if (!grown)
		return conf_no_memory(b);
	c->sockets = grown;
	grown[c->socket_count] = *s;
	grown[c->socket_count].via = socket_via(c, s);
	if (ret_index)
		*ret_index = (int)c->socket_count;
	c->socket_count++;
	return true;
}

/* Two sockets that cannot both be bound. */
static const struct conf_socket *socket_clash(const struct conf *c, const struct conf_socket *s)
{
	for (size_t i = 0; i < c->socket_count; i++) {
		const struct conf_socket *o = c->sockets + i;

		if (o->encap == s->encap && o->addr.family == s->addr.family &&
		    o->addr.port == s->addr.port && strcmp(o->device, s->device) == 0 &&
		    strcmp(o->netns, s->netns) == 0 && addr_same_ip(&o->addr, &s->addr))
			return o;
	}
	return NULL;
}

static bool build_listen(struct conf_build *b, const struct conf_block *block)
{
	struct conf_socket s = { .listener = true,
				 .encap = conf_over_ip(block) ? DP_ENCAP_IP : DP_ENCAP_UDP };
	struct addr addr = conf_addr_of(block, "address");
	const char *device = conf_text_of(block, "device");
	const char *netns = conf_text_of(block, "namespace");
	static const uint16_t families[] = { AF_INET, AF_INET6 };

	snprintf(s.name, sizeof(s.name), "listen %s", block->name);
	snprintf(s.device, sizeof(s.device), "%s", device ? device : "");
	if (!conf_netns_ok(b, block, netns) || !conf_no_port(b, block, "port"))
		return false;
	snprintf(s.netns, sizeof(s.netns), "%s", netns ? netns : "");
	s.mark = conf_number_of(block, "mark");
	for (size_t i = 0; i < 2; i++) {
		const struct conf_socket *clash;

		if (addr.family && addr.family != families[i])
			continue;
		s.addr = addr;
		s.addr.family = families[i];
		s.addr.port = s.encap == DP_ENCAP_IP ? 0 : (uint16_t)conf_number_of(block, "port");
		clash = socket_clash(b->c, &s);
		if (clash) {
			FAIL(b, block, "address",
			     "%s has the address and port of \"%s\"; change or remove one", s.name,
			     clash->name);
			return false;
		}
		if (!socket_add(b, &s, NULL))
			return false;
	}
	return true;
}

bool conf_listeners(struct conf_build *b)
{
	static const uint16_t families[] = { AF_INET, AF_INET6 };
	struct conf *c = b->c;
	bool any = false;

	for (size_t i = 0; i < c->block_count; i++) {
		if (c->blocks[i].kind != CONF_LISTEN)
			continue;
		any = true;
		if (!build_listen(b, c->blocks + i))
			return false;
	}
	if (any || !conf_count_of(c, CONF_PEER))
		return true;
	for (size_t i = 0; i < 2; i++) {
		struct conf_socket s = { .name = "listen default", .listener = true };

		s.addr.family = families[i];
		s.addr.port = L2TP_PORT;
		if (!socket_add(b, &s, NULL))
			return false;
	}
	return true;
}

/* A listener there, or one for all that want it. */
static bool shared_socket(struct conf_build *b, const struct addr *at, uint8_t encap,
			  int *ret_index)
{
	struct conf_socket s = { .addr = *at, .encap = encap };
	struct addr host = *at;
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < b->c->socket_count; i++) {
		const struct conf_socket *o = b->c->sockets + i;

		if (o->encap != encap || o->addr.family != at->family || o->addr.port != at->port ||
		    o->device[0] || o->netns[0] ||
		    !(addr_is_any(&o->addr) || addr_same_ip(&o->addr, at)))
			continue;
		*ret_index = (int)i;
		return true;
	}
	host.port = 0;
	if (encap == DP_ENCAP_IP)
		snprintf(s.name, sizeof(s.name), "L2TP over IP");
	else
		snprintf(s.name, sizeof(s.name), "port %u", at->port);
	if (!addr_is_any(at))
		snprintf(s.name + strlen(s.name), sizeof(s.name) - strlen(s.name), " of %.40s",
			 addr_text(&host, text));
	return socket_add(b, &s, ret_index);
}

bool conf_wire_socket(struct conf_build *b, const struct addr *at, uint8_t encap, uint32_t *ret_via)
{
	int index;

	if (!shared_socket(b, at, encap, &index))
		return false;
	*ret_via = b->c->sockets[index].via;
	return true;
}

/*
 * The socket of a dialled session for one family: one of its own when any port will do; else a
 * listener on that port, or a socket shared by all sessions that want it.
 */
bool conf_dial_socket_of(struct conf_build *b, const struct conf_block *block, uint16_t family,
			 int *ret_index)
{
	uint16_t port = (uint16_t)conf_number_of(block, "source-port");
	struct addr source = conf_addr_of(block, "source-address");
	struct conf_socket s = { .addr = source };

	if (source.family && source.family != family)
		return true;
	s.addr.family = family;
	s.addr.port = port;
	if (conf_over_ip(block)) { /* one for all, as there are no ports */
		s.addr.port = 0;
		return conf_no_port(b, block, "port") && conf_no_port(b, block, "source-port") &&
		       shared_socket(b, &s.addr, DP_ENCAP_IP, ret_index);
	}
	if (port == 0) {
		snprintf(s.name, sizeof(s.name), "session %s", block->name);
		return socket_add(b, &s, ret_index);
	}
	for (size_t i = 0; i < b->c->socket_count; i++) {
		const struct conf_socket *o = b->c->sockets + i;

		if (o->encap == DP_ENCAP_UDP && o->addr.family == family && o->addr.port == port &&
		    !o->device[0] && !o->netns[0] &&
		    (addr_is_any(&o->addr) || addr_same_ip(&o->addr, &s.addr))) {
			*ret_index = (int)i;
			return true;
		}
	}
	snprintf(s.name, sizeof(s.name), "port %u", port);
	return socket_add(b, &s, ret_index);
}

/* ---- pools ---- */

static bool range_add(struct conf_pool *p, uint32_t first, uint32_t last)
{
	struct conf_range4 *grown;

	grown = realloc(p->ranges, (p->range_count + 1) * sizeof(*grown));
	if (!grown)
		return false;
	p->ranges = grown;
	grown[p->range_count++] = (struct conf_range4){ first, last };
	return true;
}

/* Take one address out of a pool: it is ours. */
static bool range_without(struct conf_pool *p, uint32_t ip)
{
	for (size_t i = 0; i < p->range_count; i++) {
		struct conf_range4 *r = p->ranges + i;

		if (ip < r->first || ip > r->last)
			continue;
		if (r->first == r->last) {
			memmove(r, r + 1, (p->range_count - i - 1) * sizeof(*r));
			p->range_count--;
		} else if (ip == r->first) {
			r->first++;
		} else if (ip == r->last) {
			r->last--;
		} else {
			uint32_t last = r->last;

			r->last = ip - 1;
			return range_add(p, ip + 1, last);
		}
		return true;
	}
	return true;
}

static bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return prefix_has(a, &b->addr) || prefix_has(b, &a->addr);
}

/* No address is in two pools, or twice in one. */
static bool pool_overlaps(struct conf_build *b, const struct conf_block *block,
			  const struct conf_pool *pool)
{
	const struct access_conf *a = b->c->access;
	const struct conf_value *v4 = conf_get(block, "addresses");

	for (size_t o = 0; o < a->pool_count; o++) {
		const struct conf_pool *other = a->pools + o;

		for (size_t i = 0; i < pool->range_count; i++) {
			for (size_t j = 0; j < (other == pool ? i : other->range_count); j++) {
				const struct conf_range4 *x = pool->ranges + i,
							 *y = other->ranges + j;

				if (x->first <= y->last && y->first <= x->last) {
					FAIL(b, block, "addresses",
					     "%s of pool \"%s\" overlaps pool \"%s\"; an address "
					     "belongs to one place",
					     v4->v[i], pool->name, other->name);
					return false;
				}
			}
		}
		for (size_t i = 0; i < pool->prefix6_count; i++) {
			for (size_t j = 0; j < (other == pool ? i : other->prefix6_count); j++) {
				char text[ADDR_TEXT_MAX];

				if (!prefix_overlaps(pool->prefixes6 + i, other->prefixes6 + j))
					continue;
				FAIL(b, block, "prefixes",
				     "%s of pool \"%s\" overlaps pool \"%s\"; a prefix belongs to "
				     "one place",
				     prefix_text(pool->prefixes6 + i, text), pool->name,
				     other->name);
				return false;
			}
		}
	}
	return true;
}

bool conf_pool_build(struct conf_build *b, const struct conf_block *block)
{
	struct access_conf *a = b->c->access;
	struct conf_pool *p = a->pools + a->pool_count++;
	const struct conf_value *v = conf_get(block, "addresses");

	strcpy(p->name, block->name);
	p->len6 = (uint8_t)conf_number_of(block, "prefix-length");
	for (size_t i = 0; v && i < v->n; i++) {
		struct conf_range4 r;
		bool prefix;

		conf_range4(v->v[i], &r, &prefix);
		if (!range_add(p, r.first + prefix, r.last - prefix))
			return conf_no_memory(b);
	}
	if (!conf_prefixes_of(b, block, "prefixes", &p->prefixes6, &p->prefix6_count))
		return false;
	if (!p->range_count && !p->prefix6_count) {
		FAIL(b, block, "addresses", "pool \"%s\" is empty; set addresses, prefixes or both",
		     block->name);
		return false;
	}
	for (size_t i = 0; i < p->prefix6_count; i++) {
		char text[ADDR_TEXT_MAX];

		if (p->prefixes6[i].len <= p->len6)
			continue;
		FAIL(b, block, "prefixes",
		     "%s is smaller than the /%u that a session gets; make it larger, or change "
		     "prefix-length",
		     prefix_text(p->prefixes6 + i, text), p->len6);
		return false;
	}
	return pool_overlaps(b, block, p);
}

struct conf_pool *conf_pool_find(struct access_conf *a, const char *name)
{
	for (size_t i = 0; i < a->pool_count; i++)
		if (strcmp(a->pools[i].name, name) == 0)
			return a->pools + i;
	return NULL;
}

/* Our own addresses are given to nobody. */
bool conf_pools_without_ours(struct conf_build *b)
{
	struct access_conf *a = b->c->access;

	for (size_t i = 0; i < a->profile_count; i++) {
		const struct addr *ours = &a->profiles[i]->local4;
		uint32_t ip = (uint32_t)ours->ip[0] << 24 | (uint32_t)ours->ip[1] << 16 |
			      (uint32_t)ours->ip[2] << 8 | ours->ip[3];

		for (size_t j = 0; ours->family && j < a->pool_count; j++)
			if (!range_without(a->pools + j, ip))
				return conf_no_memory(b);
	}
	return true;
}
