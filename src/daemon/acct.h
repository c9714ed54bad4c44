/* SPDX-License-Identifier: MIT
 *
 * The accounting file: one JSON object a line, each exactly once, also when aditd is killed between
 * writing a line and saying so, and also when the disk was full for a while.
 */
#ifndef ADIT_DAEMON_ACCT_H
#define ADIT_DAEMON_ACCT_H

#include <adit/types.h>

#define ACCT_TEXT_MAX 320
#define ACCT_RETRY_US (2 * US_S)

struct acct;

/* `path` "" or NULL: no accounting, every line counts as written. NULL when out of memory. */
struct acct *acct_new(const char *path);
void acct_free(struct acct *a);

/* Another file from now on; lines that wait go there. 0; -ENOMEM. */
int acct_path(struct acct *a, const char *path);

/*
 * Recovery: until acct_recovered(), a line that stands at the end of the file already is not
 * written again. A line that was cut short there is removed.
 */
void acct_recover(struct acct *a);
void acct_recovered(struct acct *a);

/* Take a line; it is copied, and written by acct_flush(). 0; -ENOMEM. */
int acct_add(struct acct *a, uint64_t key, uint32_t seq, const char *line);

/*
 * Write what waits. 0 done or nothing to do; 1 it does not work now, and `text` (ACCT_TEXT_MAX
 * octets) says why: each reason is told once; "" when it was told before. 2 it works again after
 * 1, `text` says so. Lines that cannot be written stay and are tried again at acct_deadline().
 */
int acct_flush(struct acct *a, struct mono now, char *text);
struct mono acct_deadline(const struct acct *a);

/* The next line that was written; false when there is none. */
bool acct_written(struct acct *a, uint64_t *ret_key, uint32_t *ret_seq);

size_t acct_waiting(const struct acct *a);

#endif
