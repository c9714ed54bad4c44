/* SPDX-License-Identifier: MIT
 *
 * How a packet finds its session: (our tunnel id, our session id) -> slot, in L2TPv3 our session id
 * of 32 bits alone; and address -> slot by
 * the longest prefix; for the control thread also key -> slot. Private memory, rebuilt from the
 * session table at start.
 *
 * One thread writes (control), another reads without locks (forwarding; the functions marked
 * "reader"). All is chained hashing over arrays that never move; a chain is changed by one atomic
 * store. What is taken out is reused only after the reader has passed a quiet state (qsbr.h): for
 * slots that is the caller's duty, for prefix nodes it is done here.
 *
 * A prefix is looked up once for each prefix length in use, the longest first: nearly always
 * that is /32 alone, or /64 alone.
 */
#ifndef ADIT_DP_INDEX_H
#define ADIT_DP_INDEX_H

#include "base/dp_types.h"
#include "qsbr.h"

#define INDEX_NONE UINT32_MAX

struct index;

/* For slots 0..slots-1. NULL when out of memory. */
struct index *index_new(uint32_t slots, const uint8_t key[16], struct qsbr *qsbr);
void index_free(struct index *x);
size_t index_memory(const struct index *x);

/* Our ids as one number: of L2TPv2, and of L2TPv3, which never equal each other. */
static inline uint64_t index_ids_v2(uint16_t tunnel, uint16_t session)
{
	return (uint32_t)tunnel << 16 | session;
}

static inline uint64_t index_ids_v3(uint32_t session)
{
	return UINT64_C(1) << 32 | session;
}

/* Writer. The slot is in no chain of that kind yet. */
void index_ids_put(struct index *x, uint64_t ids, uint32_t slot);
void index_ids_drop(struct index *x, uint32_t slot);
void index_key_put(struct index *x, uint64_t key, uint32_t slot);
void index_key_drop(struct index *x, uint32_t slot);
uint32_t index_key_find(const struct index *x, uint64_t key);

/* Make sure that `count` prefixes can be put. -EAGAIN: they can when the reader has been quiet;
 * -ENOMEM. */
int index_prefix_reserve(struct index *x, uint32_t count);

/* The slot that has exactly this prefix. */
uint32_t index_prefix_find(const struct index *x, const struct prefix *p);

/* Nobody has the prefix yet; index_prefix_reserve() came before. */
void index_prefix_put(struct index *x, const struct prefix *p, uint32_t slot);
void index_prefix_drop(struct index *x, const struct prefix *p, uint32_t slot);

/* Reader (the writer may call them too). */
uint32_t index_ids_find(const struct index *x, uint64_t ids);
void index_ids_prefetch(const struct index *x, uint64_t ids);
uint64_t index_key_of(const struct index *x, uint32_t slot); /* of a slot found by its ids */
uint32_t index_route4(const struct index *x, const uint8_t ip[4]);
uint32_t index_route6(const struct index *x, const uint8_t ip[16]);

#endif
