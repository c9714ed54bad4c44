/* SPDX-License-Identifier: MIT
 *
 * Local ids: random, never sequential, unique in their space, and resting two minutes after they
 * were given back (RFC 2661 9.1 and 5.7: an id must not be guessable, nor reused while packets of
 * its former owner may still be under way). One map serves all spaces of an engine: tunnel ids are
 * space 0, the session ids of a tunnel are the space of that tunnel's id.
 *
 * A slice bounds the ids an engine may choose, so that several engines can share one port.
 */
#ifndef ADIT_IDMAP_H
#define ADIT_IDMAP_H

#include <adit/types.h>
#include "heap.h"
#include "htab.h"
#include "rng.h"

#define IDMAP_REST_US (120 * US_S)

struct idmap;

/*
 * `max` is the largest id (65535 for L2TPv2); ids are taken from `slice_base` ..
 * `slice_base + slice_len - 1`, never 0. slice_len 0 means all. `rng` is kept, not copied, and must
 * outlive the map. NULL when out of memory.
 */
struct idmap *idmap_new(struct rng *rng, uint32_t max, uint32_t slice_base, uint32_t slice_len);
void idmap_free(struct idmap *m);

/*
 * Choose a free id for `obj`. 0 with the id; 1 when the space is used up (then the caller refuses
 * with "no resources"); -ENOMEM. The cost does not grow with the number of ids in use.
 */
int idmap_take(struct idmap *m, uint32_t space, void *obj, uint32_t *ret_id);

/*
 * Take exactly this id, for an object that comes back from the journal; it may lie outside the
 * slice. 1 when it is in use or resting, -EINVAL when it is 0 or larger than `max`, -ENOMEM.
 */
int idmap_put(struct idmap *m, uint32_t space, uint32_t id, void *obj);

/* The object, NULL when the id is free or resting. */
void *idmap_find(const struct idmap *m, uint32_t space, uint32_t id);

/* Give the id back; it rests until now + IDMAP_REST_US. Never fails. */
void idmap_drop(struct idmap *m, uint32_t space, uint32_t id, struct mono now);

/* Give the id back without a rest: nobody can have come to rely on it. Never fails. */
void idmap_forget(struct idmap *m, uint32_t space, uint32_t id);

/* Forget ids whose rest is over; cheap when there are none. */
void idmap_expire(struct idmap *m, struct mono now);

/* Ids in use, resting ones left out. */
uint32_t idmap_count(const struct idmap *m);

/* True when the id is resting. */
bool idmap_resting(const struct idmap *m, uint32_t space, uint32_t id);

#endif
