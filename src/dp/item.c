/* SPDX-License-Identifier: MIT
 *
 * What a row and the net ask of the host, as lists of items (item.h). Pure functions: job.c
 * compares an old and a new list and carries out the difference.
 */
#include "item.h"

#include <assert.h>

#define ITEM_ADDR  1
#define ITEM_PEER  (ITEM_ADDR + DP_HOST_ADDRS)
#define ITEM_ROUTE (ITEM_PEER + 1)
#define ITEM_OWN   (ITEM_ROUTE + DP_PREFIXES)
#define ITEM_POOL  DP_NET_MAX

static_assert(ITEM_OWN + DP_PREFIXES == ITEM_ROWS, "all items of a row");

bool item_client(const struct dp_row *r)
{
	return r->flags & DP_F_CLIENT || r->ends == DP_L2TP_ETH;
}

bool item_same(const struct item *a, const struct item *b)
{
	return a->kind == b->kind && a->p.len == b->p.len && a->table == b->table &&
	       a->metric == b->metric && addr_equal(&a->p.addr, &b->p.addr);
}

static bool covered(const struct dp_net *net, const struct prefix *p)
{
	for (unsigned int i = 0; i < net->pool_count; i++) {
		if (net->pools[i].len <= p->len && prefix_has(&net->pools[i], &p->addr))
			return true;
	}
	return false;
}

uint8_t item_routed(const struct dp_net *net, const struct dp_row *r)
{
	uint8_t bits = 0;

	for (unsigned int i = 0; !item_client(r) && i < r->prefix_count; i++) {
		if (!covered(net, &r->prefixes[i]))
			bits |= (uint8_t)(1u << i);
	}
	return bits;
}

static struct item client_item(const struct dp_row *r, unsigned int i)
{
	struct item it = { ITEM_NONE };

	if (i == 0 && r->pin_peer) {
		it.kind = ITEM_IS_PIN;
		it.p.addr = r->path.remote;
		it.p.addr.port = 0;
	} else if (i >= ITEM_ADDR && i < ITEM_PEER && i - ITEM_ADDR < r->host_addr_count) {
		it.kind = ITEM_IS_ADDR;
		it.p = r->host_addrs[i - ITEM_ADDR];
	} else if (i == ITEM_PEER && r->peer4.family) {
		it.kind = ITEM_IS_ROUTE;
		it.p.addr = r->peer4;
		it.p.len = 32;
	} else if (i >= ITEM_ROUTE && i < ITEM_OWN && i - ITEM_ROUTE < r->route_count) {
		it.kind = ITEM_IS_ROUTE;
		it.p = r->routes[i - ITEM_ROUTE];
		it.table = r->table;
		it.metric = r->metric;
	}
	return it;
}

bool item_is_far_end(unsigned int i)
{
	return i == ITEM_PEER;
}

struct item item_of_row(const struct dp_row *r, uint8_t routed, unsigned int i)
{
	struct item it = { ITEM_NONE };

	if (item_client(r))
		return client_item(r, i);
	if (i >= ITEM_OWN && i - ITEM_OWN < r->prefix_count && (routed >> (i - ITEM_OWN) & 1)) {
		it.kind = ITEM_IS_ROUTE;
		it.p = r->prefixes[i - ITEM_OWN];
	}
	return it;
}

struct item item_of_net(const struct dp_net *n, unsigned int i)
{
	struct item it = { ITEM_NONE };

	if (i < n->local_count) {
		it.kind = ITEM_IS_ADDR;
		it.p = n->local[i];
	} else if (i >= ITEM_POOL && i - ITEM_POOL < n->pool_count) {
		it.kind = ITEM_IS_ROUTE;
		it.p = n->pools[i - ITEM_POOL];
	}
	return it;
}
