/* SPDX-License-Identifier: MIT
 *
 * How long to wait for something that gets less, see progress.h.
 */
#include "progress.h"

void progress_begin(struct progress *p, struct mono now, int64_t wait_us)
{
	p->least = UINT64_MAX;
	p->by = mono_add(now, wait_us);
}

bool progress_less(struct progress *p, uint64_t left, struct mono now, int64_t wait_us)
{
	if (left >= p->least)
		return false;
	p->least = left;
	p->by = mono_add(now, wait_us);
	return true;
}
