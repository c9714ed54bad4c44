/* SPDX-License-Identifier: MIT
 *
 * How long to wait for something that gets less, as a stop waits for sessions: on, as long as there
 * is less than there ever was. For run.c, which knows what it waits for.
 */
#ifndef ADIT_DAEMON_PROGRESS_H
#define ADIT_DAEMON_PROGRESS_H

#include <adit/types.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
	uint64_t least; /* that there was when it was looked */
	struct mono by; /* when to wait no longer, if there never is less */
};

/* From now on, for `wait_us` if nothing gets less. */
void progress_begin(struct progress *p, struct mono now, int64_t wait_us);

/* `left` are there now. True: that is less than ever, and there are `wait_us` more for the next
 * ones. What comes back and goes again is none. */
bool progress_less(struct progress *p, uint64_t left, struct mono now, int64_t wait_us);

#endif
