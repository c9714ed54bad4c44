/* SPDX-License-Identifier: MIT
 *
 * Work that takes long or runs foreign code, in children of the keeper: name resolution and hook
 * programs. Each ends in one answer. Hooks of one name run one after the other in the order asked.
 */
#ifndef ADIT_KEEPER_CHILD_H
#define ADIT_KEEPER_CHILD_H

#include <poll.h>
#include <sys/types.h>

#include "base/dp_types.h"
#include "dp/carry.h"
#include "proto.h"

#define CHILD_RUNNING_MAX 16   /* children at once; more wait */
#define CHILD_QUEUE_MAX	  4096 /* jobs in all */

struct children;

struct children_config {
	uid_t uid; /* resolution runs as these */
	gid_t gid;
	int64_t resolve_us, hook_us; /* time limits */
};

struct child_answer {
	uint64_t tag; /* of the asker */
	bool hook;
	char name[KEEPER_NAME_MAX]; /* hook */
	int error;		    /* 0 or negative errno */
	char text[KEEPER_TEXT_MAX];
	struct addr addrs[KEEPER_ADDRS]; /* resolution */
	uint32_t addr_count;
	uint32_t status; /* hook: as of waitpid() */
};

struct children *children_new(const struct children_config *config);

/* Kills what runs and forgets the rest. NULL is fine. */
void children_free(struct children *k);

/* Ask. 0, -ENOMEM, or -EAGAIN: too many jobs. `envs` are copied. */
int child_resolve(struct children *k, struct mono now, uint64_t tag, const char *host,
		  uint16_t port);
int child_hook(struct children *k, struct mono now, uint64_t tag, const char *name,
	       const char *program, const struct keeper_env *envs, uint32_t env_count);

/* Descriptors to poll for POLLIN: fills at most `cap`, returns how many. */
size_t children_poll(const struct children *k, struct pollfd *fds, size_t cap);
struct mono children_deadline(const struct children *k);

/* One of the descriptors is readable, or the deadline has come, or a child has ended. */
void children_work(struct children *k, struct mono now);

/* A child of the process has ended and was not waited for yet: ends what one that was told to end
 * has left behind in its group. */
void children_ending(const struct children *k, pid_t pid);

/* A child of the process has ended: true if it was one of ours. */
bool children_ended(struct children *k, struct mono now, pid_t pid, int status);

/* The next answer; false when there is none. */
bool children_next(struct children *k, struct child_answer *ret);

/* Forget whom to answer (aditd is gone): what runs runs on, answers are thrown away; resolutions
 * are ended. */
void children_orphan(struct children *k);

/* Over an upgrade of the keeper: as in hold.h. What runs stays a child of the process; answers must
 * have been taken before (children_next()). */
void children_carry(const struct children *k, struct carry *c);
int children_carried(struct children *k, uint16_t tag, struct rcur v);

/* Hooks running or waiting. */
size_t children_hooks(const struct children *k);

#endif
