/* SPDX-License-Identifier: MIT
 *
 * The caller's side of the control socket (varlink's wire format: a JSON object and a NUL a
 * message), blocking. For the control tool and for `aditd -n`.
 */
#ifndef ADIT_CTL_VARLINK_H
#define ADIT_CTL_VARLINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define VARLINK_ERROR_MAX 1600

struct varlink;

/* Where many wait already, wait up to `timeout_ms` to be let into the queue; a call waits so long,
 * too, for room to be sent. NULL with errno, ETIMEDOUT: nobody takes the connections. Being
 * connected does not mean that a daemon serves: the keeper holds the listener. */
struct varlink *varlink_open(const char *path, int timeout_ms);
void varlink_close(struct varlink *v);

/* Send a call; takes the reference to `parameters`, NULL = none. 0, -ETIMEDOUT or
 * another -errno. */
int varlink_call(struct varlink *v, const char *method, json_t *parameters, bool more);

struct varlink_answer {
	json_t *root;	    /* to be freed by the caller */
	json_t *parameters; /* inside root; never NULL */
	bool continues;
};

/* The next answer, waiting up to `timeout_ms` (-1 = for ever). 0; 1 the daemon says no, and
 * `error` (VARLINK_ERROR_MAX) has its words; -ETIMEDOUT, -ECONNRESET the connection ended,
 * -EBADMSG, -ENOMEM or another -errno. */
int varlink_next(struct varlink *v, int timeout_ms, struct varlink_answer *ret, char *error);

/* Wait up to `timeout_ms` for something to read. False: nothing came. */
bool varlink_ready(const struct varlink *v, int timeout_ms);

#endif
