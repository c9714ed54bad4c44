/* SPDX-License-Identifier: MIT
 *
 * The network namespaces that the configuration puts sessions into: opened before the keeper gives
 * up CAP_SYS_ADMIN, handed to the kernel's plane when it begins.
 */
#ifndef ADIT_KEEPER_ROOMS_H
#define ADIT_KEEPER_ROOMS_H

#include "daemon/conf.h"
#include "dp/kernel.h"

struct rooms;

/* Those of /run/netns; `say` is told of one that cannot be opened. NULL: none is named, or out of
 * memory. */
struct rooms *rooms_open(const struct conf *c, void (*say)(void *arg, const char *text), void *arg);
void rooms_close(struct rooms *r); /* NULL is fine */

/* Hand what is not handed over yet to a plane. */
void rooms_enter(struct rooms *r, struct kernel *k);

#endif
