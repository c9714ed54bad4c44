/* SPDX-License-Identifier: MIT
 *
 * A data plane in memory for tests: everything happens when the test says so, at the time the test
 * says it is, from one seed. It forwards as the user-space plane does (same table, same checks) and
 * has the faults a real one may have: requests take their time and overtake each other (never those
 * of one key), some fail.
 */
#ifndef ADIT_DP_SIM_H
#define ADIT_DP_SIM_H

#include "dp.h"

struct dp_sim_config {
	uint64_t seed;
	uint32_t max_sessions;		    /* 0 = 1,000 */
	int64_t delay_min_us, delay_max_us; /* how long a request takes */
	uint32_t fail_per_1000;		    /* so many of 1,000 PUTs fail */
	uint32_t no_memory_per_1000;	    /* so many requests cannot even be queued */
};

/* NULL: out of memory. */
struct dp *dp_sim_new(const struct dp_sim_config *config);

/* Time passes: what is due is carried out. */
void dp_sim_advance(struct dp *dp, struct mono now);

/* When the next request is due, MONO_NEVER = none is under way. */
struct mono dp_sim_deadline(const struct dp *dp);

/* The next PUT of `key` (0: of any) that is carried out fails with this negative errno. */
void dp_sim_fail(struct dp *dp, uint64_t key, int error);

/* A UDP payload comes in over `path`: it goes to the host, comes up as a punt, or is dropped. */
void dp_sim_datagram(struct dp *dp, const struct path *path, const uint8_t *bytes, size_t len);

/* The host sends an IP packet: by its destination, or out of the device of client session `key`. */
void dp_sim_packet(struct dp *dp, uint64_t key, const uint8_t *bytes, size_t len);

/* A punt out of nowhere. -ENOMEM. */
int dp_sim_inject(struct dp *dp, const struct dp_punt *punt);

/* What left the plane, oldest first: an IP packet to the host (key: from which session), or a
 * datagram to a peer. Valid until the next call. False: none. */
struct dp_sim_out {
	uint64_t key;
	struct path path;
	const uint8_t *bytes;
	size_t len;
};
bool dp_sim_to_host(struct dp *dp, struct dp_sim_out *ret);
bool dp_sim_to_peer(struct dp *dp, struct dp_sim_out *ret);

/* What a peer of the plane sees of a crash of its process: requests under way, completions and
 * punts are lost, rows and counters stay. */
void dp_sim_crash(struct dp *dp);

struct dp_sim_counts {
	uint32_t puts, dels, nets, failed; /* carried out */
	uint32_t waiting;		   /* not yet */
};
void dp_sim_counts(const struct dp *dp, struct dp_sim_counts *ret);

/* The row as it is; false when there is none. */
bool dp_sim_row(const struct dp *dp, uint64_t key, struct dp_row *ret);

#endif
