/* SPDX-License-Identifier: MIT
 *
 * What a row and the net ask of the host: numbered items in the order in which they are added;
 * they are removed in the opposite order.
 */
#ifndef ADIT_DP_ITEM_H
#define ADIT_DP_ITEM_H

#include "base/dp_types.h"

/*
 * Of a client's row: keep the peer reachable (so that no later route cuts the tunnel's own path),
 * addresses, the route to the far end, routes. Of another row: routes of the prefixes that no pool
 * of the net covers.
 */
#define ITEM_ROWS (1 + DP_HOST_ADDRS + 1 + 2 * DP_PREFIXES)
/* Of the net: addresses, pools. */
#define ITEM_NETS (2 * DP_NET_MAX)

enum item_kind { ITEM_NONE, ITEM_IS_PIN, ITEM_IS_ADDR, ITEM_IS_ROUTE };

struct item {
	enum item_kind kind;
	struct prefix p; /* PIN: the address alone */
	uint32_t table, metric;
};

bool item_client(const struct dp_row *r);

/* Prefixes of a row that need a route of their own, a bit each. */
uint8_t item_routed(const struct dp_net *net, const struct dp_row *r);

/* Item i, of kind ITEM_NONE when there is none; `routed` as above. */
struct item item_of_row(const struct dp_row *r, uint8_t routed, unsigned int i);
struct item item_of_net(const struct dp_net *n, unsigned int i);

/* Is item i of a client's row the route to the far end? */
bool item_is_far_end(unsigned int i);
bool item_same(const struct item *a, const struct item *b);

#endif
