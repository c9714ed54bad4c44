/* SPDX-License-Identifier: MIT
 *
 * The part of rights.h that is about pseudowires; used by rights.c, and where the keeper makes
 * their interfaces.
 */
#ifndef ADIT_KEEPER_RIGHTS_WIRE_H
#define ADIT_KEEPER_RIGHTS_WIRE_H

#include "dp/dp.h"
#include "rights.h"

/* What the configuration says of the row of the pseudowire with this interface, NULL = none. */
const struct dp_row *rights_wire_of(const struct conf *c, const char *ifname);

/* Is it the name of a peer? */
bool rights_wire_host(const struct conf *c, const char *host);

/* A tunnel of L2TPv3, a row of one; `known`: the keeper has given out this address itself. */
bool rights_wire_tunnel(const struct conf *c, const struct dp_tunnel *t, bool known, char *text);
bool rights_wire_row(const struct conf *c, const struct dp_row *r, bool known, char *text);

#endif
