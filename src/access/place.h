/* SPDX-License-Identifier: MIT
 *
 * Where the interface of a session lies and what it is called, in planes that give each session
 * one: for the row (row.c), the configuration, and the keeper, which holds a row against it.
 */
#ifndef ADIT_ACCESS_PLACE_H
#define ADIT_ACCESS_PLACE_H

#include "base/dp_types.h"
#include "conf.h"

/* "" when the pattern of an interface name is good, else what is wrong with it: it begins with two
 * or more letters, digits, `-`, `_` or `.`, has one %u, and leaves the user's name six octets. The
 * beginning keeps users from names that are somebody else's. */
const char *acc_ifname_wrong(const char *pattern);

/* The name for a user: %u is the user's name without a realm behind `@` or before `\`, what no
 * interface can be called made into `_`, cut to what fits. */
void acc_ifname(const char *pattern, const char *user, size_t len, char ret[DP_IFNAME]);

/* Can acc_ifname() have made this of the pattern? */
bool acc_ifname_fits(const char *pattern, const char *name);

/* The number of a namespace by its name: the same in every process; 0 for "". */
uint32_t acc_netns_id(const char *name);

/* Does a place need a plane that gives sessions an interface each? */
bool acc_place_needed(const struct conf_place *p);

#endif
