/* SPDX-License-Identifier: MIT
 *
 * What surrounds the keeper's work: options, the background, the number of the start.
 */
#ifndef ADIT_KEEPER_START_H
#define ADIT_KEEPER_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dp_types.h"

struct options {
	char conf[256];
	char program[256];  /* aditd, "" = somebody else starts it */
	char finisher[256]; /* ... then the one that finishes what that has begun to stop, "" = none
			     */
	bool background;
	bool upgrade;	   /* only ask the keeper that runs to replace itself */
	int resume, check; /* descriptor with the state of a former keeper, -1 = none; `check`: load
			      it and end */
};

/* -1 = go on; else the exit status. */
int start_options(int argc, char **argv, struct options *ret);

/*
 * The number of this start: greater than that of any start before. Kept in `dir`, which is made if
 * need be; when it cannot be kept, the time in seconds, and `why` says so.
 */
uint32_t start_incarnation(const char *dir, char *why, size_t cap);

/* Go into the background. The parent waits there until start_ready() or the end of the child, and
 * exits with its status; the child returns with the end of a pipe, or negative errno. */
int start_background(void);

/* The service is up: let the parent go and leave the terminal. Closes `fd`. */
void start_ready(int fd);

/* The path of this program, "" when it cannot be known. */
void start_self(char *ret, size_t cap);

#endif
