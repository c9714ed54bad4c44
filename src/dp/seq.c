/* SPDX-License-Identifier: MIT
 *
 * Sequence numbers of data (RFC 2661 5.4, RFC 3931 4.6.1) and the token buckets of the punts: the
 * two small pieces of arithmetic in the forwarding thread, apart so that tests can drive them
 * without it.
 *
 * Data is never sent again, so a late packet is dropped, not waited for: TCP inside recovers faster
 * than a reordering queue would. Nr of data messages is ignored.
 */
#include "forward.h"

#define LATE_RUN   16	    /* so many old packets in order: the peer counts anew */
#define SILENCE_US 5000000u /* after so long without a good one, any Ns is good */

bool fwd_sends_seq(const struct dpt_config *c, const struct dpt_run *run)
{
	uint32_t peer = atomic_load_explicit(&run->peer_seq, memory_order_relaxed);

	if ((c->flags & DP_F_CLIENT) && !(c->flags & DP_F_REQUIRE_SEQ) && peer)
		return peer == 2;
	return c->flags & DP_F_SEND_SEQ;
}

bool fwd_seq_ok(const struct dpt_config *c, struct dpt_run *run, bool has_seq, uint32_t ns,
		uint64_t now_us)
{
	unsigned int unused = c->kind == DPT_PPP ? 16 : 8; /* bits of 32 above the number */
	uint32_t mask = UINT32_MAX >> unused;
	uint32_t nr = atomic_load_explicit(&run->nr, memory_order_relaxed);
	uint32_t late = atomic_load_explicit(&run->late, memory_order_relaxed);
	uint64_t last = atomic_load_explicit(&run->last_seq, memory_order_relaxed);
	uint32_t in_order = late >> 16;

	if (!has_seq) {
		if (c->flags & DP_F_REQUIRE_SEQ)
			return false;
		atomic_store_explicit(&run->peer_seq, 1, memory_order_relaxed);
		return true;
	}
	if ((int32_t)((ns - nr) << unused) < 0 && (!last || now_us - last < SILENCE_US)) {
		/* Late or a duplicate: drop. But a peer that counts anew, or that has sent more
		 * than half the space into the void, must not be shut out for ever. */
		in_order = (uint16_t)late == (uint16_t)ns ? in_order + 1 : 1;
		atomic_store_explicit(&run->late, in_order << 16 | (uint16_t)(ns + 1),
				      memory_order_relaxed);
		if (in_order < LATE_RUN)
			return false;
	}
	if (late)
		atomic_store_explicit(&run->late, 0, memory_order_relaxed);
	atomic_store_explicit(&run->nr, (ns + 1) & mask, memory_order_relaxed);
	atomic_store_explicit(&run->peer_seq, 2, memory_order_relaxed);
	atomic_store_explicit(&run->last_seq, now_us, memory_order_relaxed);
	return true;
}

bool fwd_bucket_take(struct fwd_bucket *b, uint64_t now_us)
{
	uint64_t most = (uint64_t)b->rate.burst * 1000000u;
	uint64_t passed = now_us > b->at ? now_us - b->at : 0;

	if (passed > 100000000u) /* long enough to fill any bucket, short enough not to overflow */
		passed = 100000000u;
	b->at = now_us;
	b->tokens += passed * b->rate.per_s;
	if (b->tokens > most)
		b->tokens = most;
	if (b->tokens < 1000000u)
		return false;
	b->tokens -= 1000000u;
	return true;
}
