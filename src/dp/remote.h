/* SPDX-License-Identifier: MIT
 *
 * The data plane of the keeper (the kernel's L2TP), as seen from aditd: the operations of dp.h as
 * records (batch.h) that the owner carries over, and the answers it brings back. Counters are those
 * the keeper has sent last, a few seconds old at most.
 */
#ifndef ADIT_DP_REMOTE_H
#define ADIT_DP_REMOTE_H

#include "dp.h"

struct dp_remote_config {
	/* Take a datagram of records for the keeper. Never waits. 0 or a negative errno: then what
	 * it asked for has failed. */
	int (*send)(void *arg, const uint8_t *bytes, size_t len);
	void *arg;
	uint8_t hash_key[16]; /* random */
};

/* NULL: out of memory. Rows the keeper has are known once dp_remote_listed(). */
struct dp *dp_remote_new(const struct dp_remote_config *config);

/* Hand over what is gathered: requests and frames wait for it. */
void dp_remote_flush(struct dp *dp);

/* A datagram of the keeper. `fd` came with it, -1 = none; it becomes the plane's. */
void dp_remote_input(struct dp *dp, const uint8_t *bytes, size_t len, int fd);

/* Ask what rows the keeper has. -ENOMEM. */
int dp_remote_ask(struct dp *dp);

/* Has the answer come? *ret_error: 0, or the keeper has no kernel plane and *ret_text says why. */
bool dp_remote_listed(const struct dp *dp, int *ret_error, const char **ret_text);

/* Is there such a row, or is it asked for? How many of these there are; is one of this tunnel? */
bool dp_remote_has(const struct dp *dp, uint64_t key);
uint32_t dp_remote_rows(const struct dp *dp);
bool dp_remote_uses(const struct dp *dp, uint32_t tunnel);

/* The local id of the tunnel of a row, 0 = there is no such row. */
uint32_t dp_remote_tunnel_of(const struct dp *dp, uint64_t key);
/* Our session id of a row of L2TPv3 over IP, 0 = it is not such, or a delete was asked for. */
uint32_t dp_remote_over_ip(const struct dp *dp, uint64_t key);

/* What the keeper found out about this kernel, for `adit doctor`: ask, and take the findings one by
 * one once they are complete. */
struct dp_finding {
	bool ok;
	const char *name, *text; /* valid until the next dp_remote_probe() */
};
int dp_remote_probe(struct dp *dp);

/* Static pseudowires, which are the keeper's own, as it last told of them. */
struct dp_wire {
	const char *name, *ifname;
	bool ok;
	bool cannot; /* the kernel cannot carry it: it is aditd's, if the configuration says so */
	const char *text; /* why not */
	struct dp_counters counters;
	uint16_t mtu; /* of its interface, 0 = not known */
};
bool dp_remote_wire(const struct dp *dp, const char *name, struct dp_wire *ret);

bool dp_remote_found(const struct dp *dp, size_t index, struct dp_finding *ret);
bool dp_remote_probed(const struct dp *dp);

#endif
