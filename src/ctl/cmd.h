/* SPDX-License-Identifier: MIT
 *
 * A command of adit under way: its words and options, the connection to the daemon, and how it
 * tells what went wrong. For adit.c, which knows the verbs, and show.c.
 */
#ifndef ADIT_CTL_CMD_H
#define ADIT_CTL_CMD_H

#include <stdbool.h>

#include "varlink.h"

#define CONTROL	  "/run/adit/control"
#define QUICK_MS  10000 /* for an answer that is at hand */
#define WORDS_MAX 64
#define REAL	  JSON_REAL_PRECISION(6)

struct cmd {
	const char *control;
	const char *columns; /* -o */
	const char *level;   /* --level */
	bool json, no_wait;
	long rate;		/* --rate, -1 = not given */
	char *words[WORDS_MAX]; /* verb and its arguments */
	int count;
	struct varlink *v;
};

/* One line on standard error. Returns 1, the exit status. */
int cmd_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Call a method of the daemon, the first time after it has answered at all; with or without more
 * than one answer to come; takes the reference to `parameters`. 0, or the exit status; then it is
 * told. */
int cmd_call(struct cmd *c, const char *method, json_t *parameters, bool more);

/* The next answer; as cmd_call(). */
int cmd_next(struct cmd *c, int timeout_ms, struct varlink_answer *ret);

/* Print a value as JSON. Returns 0. */
int cmd_print(json_t *value);

/* Nothing may follow the verb but `words` words. True: there is more, and it is told. */
bool cmd_too_many(const struct cmd *c, int words);

/* A field of an object: "-" or 0 when it is not there. */
const char *cmd_text(json_t *o, const char *field);
long long cmd_number(json_t *o, const char *field);

/* adit show ... (show.c). Returns the exit status. */
int show_verb(struct cmd *c);

#endif
