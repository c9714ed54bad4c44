/* SPDX-License-Identifier: MIT
 *
 * When may the control thread reuse what it has taken out of a table that the forwarding thread
 * reads without locks? After the forwarding thread has once stood outside of all tables:
 * quiescent-state-based reclamation for one reader.
 *
 *   control     unlink it; tag = qsbr_advance(); ... when qsbr_passed(tag), reuse it
 *   forwarding  qsbr_quiet() between two batches, qsbr_idle() before it sleeps
 *
 * All is sequentially consistent: what was unlinked before the advance is not seen by a reader that
 * has seen the new epoch.
 */
#ifndef ADIT_DP_QSBR_H
#define ADIT_DP_QSBR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct qsbr {
	_Atomic uint64_t epoch; /* written by control */
	_Atomic uint64_t seen;	/* written by forwarding; UINT64_MAX while it sleeps */
	_Atomic bool want;	/* control waits: wake it when `seen` moves */
};

static inline void qsbr_init(struct qsbr *q)
{
	atomic_init(&q->epoch, 1);
	atomic_init(&q->seen, UINT64_MAX);
	atomic_init(&q->want, false);
}

static inline uint64_t qsbr_advance(struct qsbr *q)
{
	return atomic_fetch_add(&q->epoch, 1) + 1;
}

static inline bool qsbr_passed(struct qsbr *q, uint64_t tag)
{
	return atomic_load(&q->seen) >= tag;
}

/* Ask to be told when the reader moves on; look at qsbr_passed() once more after it. */
static inline void qsbr_want(struct qsbr *q)
{
	atomic_store(&q->want, true);
}

/* Reader: no reference is held now. True when somebody waits for it. */
static inline bool qsbr_quiet(struct qsbr *q)
{
	uint64_t epoch = atomic_load(&q->epoch);

	if (atomic_load_explicit(&q->seen, memory_order_relaxed) == epoch)
		return false;
	/* Coming back from idle: an advance between load and store would have been taken as passed,
	 * so look again. */
	do {
		epoch = atomic_load(&q->epoch);
		atomic_store(&q->seen, epoch);
	} while (atomic_load(&q->epoch) != epoch);
	return atomic_load(&q->want) && atomic_exchange(&q->want, false);
}

/* Reader: none is held until the next qsbr_quiet(), which must come before the first use. */
static inline bool qsbr_idle(struct qsbr *q)
{
	atomic_store(&q->seen, UINT64_MAX);
	return atomic_load(&q->want) && atomic_exchange(&q->want, false);
}

#endif
