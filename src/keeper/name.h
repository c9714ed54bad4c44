/* SPDX-License-Identifier: MIT
 *
 * Names that one process of a network namespace has at a time: abstract Unix sockets, which belong
 * to the namespace and vanish with the last descriptor. They listen, so that the kernel tells whose
 * they are: a keeper that is dead while its guard (guard.h) still removes what it had keeps them.
 */
#ifndef ADIT_KEEPER_NAME_H
#define ADIT_KEEPER_NAME_H

#include <stdbool.h>

#define NAME_MAX_LEN 64 /* with NUL */

/* Take the name; a descriptor that has it from now on, or -1 with errno (EADDRINUSE: it is somebody
 * else's). */
int name_take(const char *name);

/* Has somebody the name who is dead? */
bool name_orphaned(const char *name);

#endif
