/* SPDX-License-Identifier: MIT
 *
 * The data planes of one side, whole, without a right and without a network: aditd's `auto` over
 * the user-space plane and, by its records, the keeper's kernel plane.
 *
 *   user    its own forwarding thread. A listener is a pair of local sockets; the system calls that
 *           would show the difference (recvmmsg() and sendmmsg() with addresses, getsockname(),
 *           SO_PROTOCOL, TUNSETCARRIER) are wrapped, see planes_wraps of meson.build. Interfaces
 *           are those of ../dp/fake_host.h
 *   kernel  rights, plane.c, kernel.h and its workers over ../dp/fake_kernel.h, and behind that
 *           ../dp/fake_l2tp.h: what Linux would make of it
 *
 * Time does not pass for the planes while a test waits for them.
 */
#ifndef ADIT_TEST_PLANES_H
#define ADIT_TEST_PLANES_H

#include "daemon/conf.h"
#include "dp/dp.h"

#define PLANES_FRAME 256 /* the longest frame */

struct planes;

struct planes *planes_new(void);
void planes_free(struct planes *p);

/* Another configuration, which has one socket; `c` stays the caller's until the next one, NULL = as
 * at first. Our address is `own`. The planes are empty. */
void planes_conf(struct planes *p, const struct conf *c, const struct addr *own);

/* A request, until it is carried out. The error of a put is a negative errno. */
int planes_put(void *planes, uint64_t key, uint32_t generation, const struct dp_row *row);
void planes_del(void *planes, uint64_t key, uint32_t generation);
void planes_tunnel(void *planes, const struct dp_tunnel *t);
void planes_tunnel_del(void *planes, uint32_t local);

/* "user", "kernel", "". */
const char *planes_where(struct planes *p, uint64_t key);

/* Has the interface of the only pseudowire a carrier (of the kernel's: is it not dormant)? */
bool planes_carrier(struct planes *p, uint64_t key);

/* A frame into an interface: the payload of the datagram that leaves, up to PLANES_FRAME + 64
 * octets, and its way. */
size_t planes_send(struct planes *p, uint64_t key, const char *ifname, const uint8_t *frame,
		   size_t len, uint8_t *ret, struct path *ret_path);

/* The payload of a datagram comes in, over a path as seen from here. */
void planes_receive(struct planes *p, uint64_t key, const struct path *path, const uint8_t *bytes,
		    size_t len);

/* The oldest frame that came out of an interface; fails the test when there is none. */
size_t planes_frame(struct planes *p, uint64_t key, const char *ifname, uint8_t *ret);

/* Fails the test if anything is left: sessions, tunnels, sockets of theirs, interfaces. */
void planes_empty(struct planes *p);

#endif
