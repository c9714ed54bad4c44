/* SPDX-License-Identifier: MIT
 *
 * The kernel plane over an upgrade of the process that holds it (dp/carry.h): tunnels, sessions and
 * their descriptors go to the program that takes its place; in the kernel nothing changes.
 */
#ifndef ADIT_DP_KERNEL_CARRY_H
#define ADIT_DP_KERNEL_CARRY_H

#include "carry.h"
#include "kernel.h"

/* Nothing is under way, and nothing is left to be told: kernel_next() has given all it had. */
bool kernel_idle(const struct kernel *k);

/* Write what there is; only while idle. */
void kernel_carry(const struct kernel *k, struct carry *c);

/* Take one record into a new plane: 0; 1 a record of no kind known here; -EBADMSG; -ENOMEM. Until
 * kernel_resume() nothing is asked of the kernel, and nothing is read. */
int kernel_carried(struct kernel *k, uint16_t tag, struct rcur v);
void kernel_resume(struct kernel *k);

#endif
