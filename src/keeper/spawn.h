/* SPDX-License-Identifier: MIT
 *
 * Starting aditd, and when to start it again; what each child of the keeper begins with.
 */
#ifndef ADIT_KEEPER_SPAWN_H
#define ADIT_KEEPER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/dp_types.h"

#define SPAWN_SHORT_LIFE_US (2 * US_S)
#define SPAWN_FIRST_WAIT_US (100 * US_MS)
#define SPAWN_MOST_WAIT_US  (5 * US_S)

struct spawn_config {
	const char *program, *conf_path;
	uid_t uid;
	gid_t gid;
	int log_fd; /* its standard output and error, -1 = the keeper's own */
};

/* In a child that was just made: signals as a fresh program expects them, a process group of its
 * own, nothing to read on standard input. False with errno: that could not be opened. */
bool spawn_fresh(void);

/* Start aditd with one end of a new pair; *ret_pair is the other, non-blocking. Returns its process
 * id or negative errno. */
pid_t spawn_aditd(const struct spawn_config *config, int *ret_pair);

/*
 * A descriptor (pidfd) of the process at the other end of `pair`, or -1 when it has gone or cannot
 * be had. `child`: of spawn_aditd(), not waited for yet. Else it came to a socket of ours, and
 * `pid` is what SO_PEERCRED said: the number of a process that may have ended since.
 */
int spawn_pidfd(pid_t pid, int pair, bool child);

/* How long to wait before the next start. */
struct backoff {
	struct mono started;
	int64_t wait_us;      /* of the last wait, 0 = none yet */
	uint32_t short_lives; /* in a row */
};

void backoff_started(struct backoff *b, struct mono now);
/* It has died: when to start it again. */
struct mono backoff_next(struct backoff *b, struct mono now);

#endif
