/* SPDX-License-Identifier: MIT
 *
 * May aditd have this? The answer follows from the configuration alone, as the keeper has read it
 * itself. Nothing here does anything.
 */
#ifndef ADIT_KEEPER_RIGHTS_H
#define ADIT_KEEPER_RIGHTS_H

#include "daemon/conf.h"

#define RIGHTS_TEXT 256

/* All functions: true, or false with the refusal in words in `text` (RIGHTS_TEXT octets). */

/* Is `name` a TUN device of the configuration? */
bool rights_device(const struct conf *c, const char *name, char *text);

/* A TAP device: the interface of a pseudowire; and the bridge or VRF ("" = none) that it goes into.
 */
bool rights_ethernet(const struct conf *c, const char *name, char *text);
bool rights_master(const struct conf *c, const char *name, const char *master, char *text);

/*
 * An address on a device. On the device of a dialled session any unicast address, since the peer
 * assigns it, as that of a host or of an IPv6 link (/64), because the kernel makes a route of the
 * length; on `lo` and the device of the sessions that others dial the local addresses of the
 * profiles, on the latter link-local ones too.
 */
bool rights_addr(const struct conf *c, const char *name, const struct prefix *p, char *text);

/*
 * A route through a device. On the device of a dialled session its configured routes and single
 * hosts (the peer), in its table with its metric; on the device of the sessions that others dial
 * what lies in the pools or stands in a users file.
 */
bool rights_route(const struct conf *c, const char *name, const struct prefix *p, uint32_t table,
		  uint32_t metric, char *text);

/* A program run for a dialled session. The program itself must be root's alone to write. */
bool rights_hook(const struct conf *c, const char *name, const char *program, char *text);

/* Variables for a program: "ADIT_" and capitals, digits, underscores. */
bool rights_env(const char *env, size_t len, char *text);

/* A name to resolve: a server of a dialled session. */
bool rights_host(const struct conf *c, const char *host, char *text);

/* A peer to keep the route to: unicast. `known` = the keeper has given out this address itself or
 * it stands in the configuration. */
bool rights_pin(const struct conf *c, const struct addr *to, bool known, char *text);

/* A tunnel in the kernel: by a socket of the configuration, with a peer that may open tunnels to us
 * or a server we dial; `known` as above. */
struct dp_tunnel;
bool rights_tunnel(const struct conf *c, const struct dp_tunnel *t, bool known, char *text);

/* A session in the kernel: PPP over L2TPv2, with the addresses and routes rights_addr() and
 * rights_route() allow, and a pin rights_pin() allows, `known` as there. */
bool rights_row(const struct conf *c, const struct dp_row *r, bool known, char *text);

/* Write the words of a refusal; false. For those who check a part of it. */
bool rights_refuse(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
