/* SPDX-License-Identifier: MIT
 *
 * The keeper's own state, shared by its files:
 *   main.c     the loop, beginning and end
 *   life.c     the life of aditd
 *   replace.c  the keeper is replaced by a new program
 */
#ifndef ADIT_KEEPER_MAIN_INT_H
#define ADIT_KEEPER_MAIN_INT_H

#include <unistd.h>

#include "gate.h"
#include "guard.h"
#include "serve.h"
#include "spawn.h"
#include "start.h"

struct keeper_main {
	struct server s;
	struct options opt;
	struct spawn_config spawn;
	struct backoff backoff;
	struct gate *gate;    /* NULL = none */
	char self[256];	      /* this program */
	uint32_t upgrades;    /* how often the keeper was replaced */
	bool upgrade;	      /* somebody has asked for it */
	pid_t aditd;	      /* 0 = not running; -1 a process we cannot see */
	bool child;	      /* ... is ours */
	int aditd_fd;	      /* ... its pidfd: its number may be another's by now. -1 = none */
	int former_fd;	      /* the one before that is no child and has hung up, -1 = none */
	struct mono start_at; /* not running: when to start it */
	struct mono kill_at;  /* running: when to kill it */
	bool replacing;	      /* it ends because we asked: start the next at once */
	bool owed;	/* whoever has sessions was not told that they end, as far as is known */
	bool finishing; /* aditd is ours, to finish the stop in which one of others' died */
	bool stopping;
	bool hurry;		/* ... and was asked once more: no longer at a pace */
	bool told;		/* ... and this aditd knows of it */
	bool told_again;	/* ... also that there is a hurry */
	bool given_up;		/* ... and no other aditd is to tell who is left */
	struct mono stop_until; /* ... while aditd goes on telling: no longer than this */
	uint32_t stop_deaths;	/* of those that were to tell them */
	struct mono hooks_end;	/* stopping, aditd gone: when to wait for hooks no longer */
	bool done;
	int status; /* to exit with */
	bool told_ready;
	struct guard guard;
	bool former_died; /* the keeper before this one has not removed what it had */
	int signals;
	int parent;    /* pipe to the waiting parent, -1 = none */
	int output[2]; /* in the background: what aditd and hooks print */
	int64_t watchdog_us;
	struct mono watchdog_at;
};

/* ---- main.c ---- */
struct mono keeper_main_now(void);
/* To standard error; false. */
bool keeper_main_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- life.c ---- */
/* One that somebody else has started is at the gate, `pair` is the connection to it. */
void life_welcome(struct keeper_main *k, int pair, pid_t pid);
/* Hear what aditd has to say if there is `news` on the pair, and act upon it. */
void life_work(struct keeper_main *k, bool news);
/* A child that is aditd has ended. */
void life_ended(struct keeper_main *k, int status);
/* Have aditd replaced by the next one; sessions go on. */
void life_restart(struct keeper_main *k);
/* The keeper shall stop, and exit with `status`: aditd tells its peers first. Asked once more where
 * the configuration has a pace for that, it tells all the rest at once; else nobody waits for it.
 */
void life_stop(struct keeper_main *k, int status);
/* Is aditd gone for good, so that nothing but hooks is waited for? */
bool life_over(const struct keeper_main *k);
/* start_at or kill_at may have come. */
void life_expire(struct keeper_main *k);

/* ---- replace.c ---- */
/* Become the program that is installed now; returns only when that was not possible, and has said
 * why. */
void keeper_main_replace(struct keeper_main *k);
/* Take over what the former keeper has left in `fd`; asks nothing of the kernel. *ret_proto: what
 * its aditd speaks. False: it has said why. */
bool keeper_main_load(struct keeper_main *k, int fd, uint32_t *ret_proto);
/* Go on with it. */
void keeper_main_resumed(struct keeper_main *k, uint32_t proto);

static inline void fd_drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#endif
