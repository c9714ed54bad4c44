/* SPDX-License-Identifier: MIT
 *
 * What the kernel knows of the way to a peer.
 */
#ifndef ADIT_DP_PATH_H
#define ADIT_DP_PATH_H

#include <adit/types.h>

/* The octets of the largest IP packet that goes to the peer in one piece: the MTU of the route or
 * of its link, or what routers on the way have told. 0 = not known. Nothing is sent. */
uint16_t path_mtu(const struct path *path);

#endif
