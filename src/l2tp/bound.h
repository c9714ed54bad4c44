/* SPDX-License-Identifier: MIT
 *
 * Bounds for what strangers have opened: over all, and for each source address. The oldest gives
 * way to the newest. Those whose address the owner trusts are counted by themselves, so that
 * strangers do not push them out.
 */
#ifndef ADIT_L2TP_BOUND_H
#define ADIT_L2TP_BOUND_H

#include <adit/types.h>
#include "base/htab.h"
#include "base/list.h"
#include "base/ration.h"

struct bound_source;

/*
 * A flood must not wash everything else out of the flight recorder: of strangers this many requests
 * and refusals are recorded at once, then one in each interval; the others are counted. And what a
 * stranger goes on to send before its tunnel is up fills no more than a few records.
 */
#define BOUND_TOLD	   64
#define BOUND_TOLD_EACH_US (2 * US_S)
#define BOUND_WORDS	   32

/* In each object that may be half-open. */
struct bound_node {
	struct list all, by_source;
	struct bound_source *source; /* NULL: not counted */
	bool trusted;
	uint8_t words; /* so many records more while its peer is a stranger */
};

struct bound {
	struct list open, trusted;
	struct htab sources;
	uint32_t open_count, trusted_count;
	uint32_t share;	     /* how many there may be of each kind */
	uint32_t per_source; /* of one address */
	size_t *account;     /* octets allocated are added here */
	struct ration told;  /* requests and refusals of strangers that are recorded */
};

void bound_init(struct bound *b, const uint8_t key[16], size_t *account);
void bound_free(struct bound *b); /* all nodes have left */
void bound_node_init(struct bound_node *n);

/* Who has to give way before one more of this source may enter; NULL when there is room. */
struct bound_node *bound_victim(struct bound *b, const struct addr *from);
/* The same before one more may be trusted. */
struct bound_node *bound_victim_trusted(struct bound *b);

/* Count it. 0 or -ENOMEM. The victim has left before. */
int bound_enter(struct bound *b, struct bound_node *n, const struct addr *from);
void bound_leave(struct bound *b, struct bound_node *n);
void bound_trust(struct bound *b, struct bound_node *n);

/* Is one more stranger recorded? *ret_out: how many were not since the last. Else NULL. */
static inline struct trace *bound_tells(struct bound *b, struct trace *t, struct mono now,
					uint32_t *ret_out)
{
	return ration_take(&b->told, now, BOUND_TOLD_EACH_US, BOUND_TOLD, ret_out) ? t : NULL;
}

/* The recorder for one more record about a stranger's object, or NULL. */
static inline struct trace *bound_words(struct bound_node *n, struct trace *t)
{
	if (n->trusted)
		return t;
	if (n->words == 0)
		return NULL;
	n->words--;
	return t;
}

/* Is an answer to this better not sent? Ports that answer anything, and addresses that are nobody's
 * (badinput L22, L23). */
bool bound_source_bad(const struct path *p);

/* Where a request is found again when it is repeated: by its path and the hash of its octets. */
uint64_t bound_request(const struct htab *t, const struct path *path, uint64_t hash);

#endif
