/* SPDX-License-Identifier: MIT
 *
 * The keeper takes its own place by execve(), with all its descriptors: the new program, which may
 * be another release, goes on as the same process with the same children. What it must know is
 * carried in a memfd (dp/carry.h).
 *
 * Whether the new program can read that is found out before the point of no return: it is started
 * beside us with --check-state, loads all of it as it would in our place, and says so by its exit
 * status. Until then nothing has changed, and the keeper goes on as it is when the answer is no.
 */
#ifndef ADIT_KEEPER_UPGRADE_H
#define ADIT_KEEPER_UPGRADE_H

#include "dp/carry.h"

#define UPGRADE_TEXT  256
#define UPGRADE_ARGS  12
#define UPGRADE_CHECK 10000 /* ms that the new program has for --check-state */

/* Write it into a new memfd, *ret_fd. 0 or negative errno. */
int upgrade_write(const struct carry *c, int *ret_fd);

/* What a former keeper wrote, mapped for good. */
struct upgrade_state {
	struct rcur records; /* of rcur_tlv() */
	uint32_t proto;	     /* KEEPER_MAGIC of the former keeper: what its aditd speaks */
};

/* 0, or negative errno with `text` (UPGRADE_TEXT) saying why it cannot be read. */
int upgrade_read(int fd, struct upgrade_state *ret, char *text);

/* Run `argv` (its first word is the program) and wait for it; of the descriptors it gets `fd` and
 * no other. 0 when it ended with status 0; else negative errno with `text`: the first line it said.
 */
int upgrade_check(char *const *argv, int fd, char *text);

/* Become `argv` with the descriptors of `c` and `fd`. Returns only when that failed: negative
 * errno, and everything is as before. */
int upgrade_exec(char *const *argv, const struct carry *c, int fd);

#endif
