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
#define NAME_WHO     96 /* who has a name, in words; with NUL */

/* Take the name; a descriptor that has it from now on, or -1 with errno (EADDRINUSE: it is somebody
 * else's). */
int name_take(const char *name);

/* Take the name, but for a moment, as name_whose() tells others: they wait. For whoever removes
 * what its last owner has left. As name_take(). */
int name_borrow(const char *name);

enum name_whose {
	NAME_LIVES,   /* a process that lives has it */
	NAME_DEAD,    /* who has taken it is dead: another process keeps it until it is done */
	NAME_BRIEF,   /* somebody has borrowed it, or nobody has it any more */
	NAME_STRANGER /* somebody has it who is not of our user, so it is no keeper */
};

/* Whose is a name that could not be taken? `ret_who` says it in words. */
enum name_whose name_whose(const char *name, char ret_who[NAME_WHO]);

#endif
