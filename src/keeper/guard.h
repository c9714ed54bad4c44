/* SPDX-License-Identifier: MIT
 *
 * The guard: what the kernel carries ends fast when the keeper dies.
 *
 * What a dead process had open is closed by the kernel, one descriptor after the other, and each
 * session in the kernel waits there for several grace periods of RCU, and for the end of an
 * interface: with 1,000 sessions a minute and more, in which no new keeper can begin. The guard is
 * a process that shares the keeper's descriptors, so that nothing is closed when the keeper dies,
 * and that then does it as the keeper would: interfaces by groups, descriptors side by side. The
 * names of the only keeper (net.h) and of the interface groups (plane.h) go last: then all is gone.
 */
#ifndef ADIT_KEEPER_GUARD_H
#define ADIT_KEEPER_GUARD_H

#include <stdint.h>
#include <sys/types.h>

struct guard {
	pid_t pid; /* 0 = none, -1 = it was ended by somebody */
	int self;  /* pidfd of the keeper, by which the guard sees its end; valid when pid > 0 */
};

/* What it closes last, -1 = there is none. Interfaces of the groups are deleted only with a claim.
 */
struct guard_keeps {
	int name, claim;
	uint16_t groups; /* as kernel_config.groups */
};

/* Make it. May be called with threads. 0, or negative errno and no guard. */
int guard_start(struct guard *g, const struct guard_keeps *keeps);

/* End it: the keeper is going to close its descriptors itself, or to hand them to another program.
 * Nothing happens when there is none. */
void guard_end(struct guard *g);

#endif
