/* SPDX-License-Identifier: MIT
 *
 * Objects of one size with handles: index and generation. Memory comes in chunks and is reused;
 * a stale handle gives NULL. Objects never move.
 */
#ifndef ADIT_POOL_H
#define ADIT_POOL_H

#include <adit/types.h>

struct pool;

/* At most `limit` objects of `size` octets (0 = no limit). NULL when out of memory. */
struct pool *pool_new(size_t size, uint32_t limit);

/* Frees all objects with it. */
void pool_free(struct pool *p);

/* A zeroed object and its handle. NULL when out of memory or at the limit. */
void *pool_take(struct pool *p, adit_handle *ret_handle);
void pool_give(struct pool *p, adit_handle h);

/* NULL when the handle is 0, stale or foreign. */
void *pool_get(const struct pool *p, adit_handle h);

uint32_t pool_count(const struct pool *p);

/* Walk: start with 0; returns the next object's handle, 0 at the end. Objects may be given back. */
adit_handle pool_next(const struct pool *p, adit_handle prev);

/* Octets of memory held, for the accounts of `adit status` and bench. */
size_t pool_memory(const struct pool *p);

#endif
