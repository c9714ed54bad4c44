/* SPDX-License-Identifier: MIT
 *
 * A ration: so many at once, then one in each interval. It keeps what strangers do from filling the
 * flight recorder, the log and the list of failures (badinput X09): what is beyond it is counted.
 */
#ifndef ADIT_BASE_RATION_H
#define ADIT_BASE_RATION_H

#include <adit/types.h>

struct ration {
	struct mono full; /* when all of it is there again; zero = now */
	uint32_t out;	  /* how many were refused since the last one that was not */
};

/* True when there is one left; *ret_out is then how many got none since the last that did. */
static inline bool ration_take(struct ration *r, struct mono now, int64_t each_us, uint32_t burst,
			       uint32_t *ret_out)
{
	int64_t from = r->full.us > now.us ? r->full.us : now.us;

	if (from - now.us > (int64_t)(burst - 1) * each_us) {
		r->out += r->out < UINT32_MAX;
		return false;
	}
	r->full.us = from + each_us;
	*ret_out = r->out;
	r->out = 0;
	return true;
}

#endif
