/* SPDX-License-Identifier: MIT
 *
 * What a data plane needs of the privileged side: devices, addresses, routes. The daemon carries it
 * over to the keeper (src/keeper/proto.h), a test may do it by itself.
 *
 * Every function starts one request and returns at once: 0, and then exactly one answer comes by
 * dp_user_host_done() with the same id, later, never from inside the call; or a negative errno,
 * and then there is no answer. Requests are carried out in the order they are made. All of them
 * are idempotent: to add what is there, or to remove what is not, is a success. The texts are
 * valid during the call only.
 */
#ifndef ADIT_DP_HOST_H
#define ADIT_DP_HOST_H

#include "base/dp_types.h"

struct dp_host_ops {
	/* Make the TUN device `name` if it is not there (IFF_TUN, for Ethernet IFF_TAP, with
	 * IFF_NO_PI, and IFF_VNET_HDR unless the host will not: the plane looks, and sets the
	 * offloads) and give its descriptor, non-blocking; the plane closes it. A device of this
	 * name that is not ours: EBUSY. */
	int (*tun_open)(void *host, uint32_t id, const char *name, bool ethernet);

	/* Remove the device; its addresses and routes go with it. */
	int (*tun_gone)(void *host, uint32_t id, const char *name);

	/* Set the MTU, put the device into the bridge or VRF `master` ("" = into none, NULL = it
	 * stays where it is) and bring it up. May be asked again with other values. */
	int (*link_up)(void *host, uint32_t id, const char *name, uint16_t mtu, const char *master);

	/* An address of the device. */
	int (*addr)(void *host, uint32_t id, const char *name, const struct prefix *p, bool add);

	/* A route to `p` through the device. table 0 = main; metric 0 = the kernel's default. */
	int (*route)(void *host, uint32_t id, const char *name, const struct prefix *p,
		     uint32_t table, uint32_t metric, bool add);

	/* Keep `a` reachable by the route it has now, whatever routes come; add = false: no more.
	 */
	int (*pin)(void *host, uint32_t id, const struct addr *a, bool add);
};

#endif
