/* SPDX-License-Identifier: MIT
 *
 * What crosses between aditd and a data plane in the keeper: records of plain values, many in one
 * datagram. aditd sends requests and frames, the keeper completions, frames, counters and what
 * others have done to its objects. Each record is a TLV of wire.h; a reader skips tags it does not
 * know, and a record that cannot be read is bad by itself: those around it count.
 *
 * Both sides believe nothing: the keeper because aditd reads what strangers send, aditd because a
 * bug in the keeper must not become one of its own.
 */
#ifndef ADIT_DP_BATCH_H
#define ADIT_DP_BATCH_H

#include "dp.h"

#define BATCH_MAX   8000 /* octets of records in one datagram */
#define BATCH_FRAME 2048 /* a PPP frame at most */
#define BATCH_NAME  64	 /* FOUND: what was looked at, WIRE: which; with NUL */
#define BATCH_LINE  400	 /* what was found, or why; with NUL */

enum batch_tag {
	/* to the keeper */
	BATCH_PUT = 1,	      /* key, generation, row -> DONE */
	BATCH_DEL = 2,	      /* key, generation -> DONE */
	BATCH_NET = 3,	      /* generation, net -> DONE */
	BATCH_TUNNEL = 4,     /* tunnel -> TUNNEL_DONE */
	BATCH_TUNNEL_DEL = 5, /* tunnel.local */
	BATCH_SEND = 6,	      /* key, priority, frame */
	BATCH_LIST = 7,	      /* -> ROW for every row, LIST_END */
	BATCH_FORGET = 9,     /* key: the last counters of a deleted session are in the journal */
	BATCH_PROBE = 8,      /* -> FOUND for everything that was looked at, PROBE_END */

	/* to aditd */
	BATCH_DONE = 32,
	BATCH_TUNNEL_DONE = 33, /* tunnel.local, error, text; with a descriptor, alone in its
				   datagram, when there is no error */
	BATCH_PUNT = 34,	/* key, class, frame */
	BATCH_COUNTERS = 35,	/* key, counters */
	BATCH_ROW_LOST = 36,	/* key, text */
	BATCH_TUNNEL_LOST = 37, /* tunnel.local, text */
	BATCH_ROW = 38,		/* key, generation, tunnel.local, ifname */
	BATCH_LIST_END = 39,	/* error, text: not 0 = there is no kernel plane here */
	BATCH_FOUND = 40,	/* ok, name, text: what is there or missing, and what mends it */
	BATCH_PROBE_END = 41,
	BATCH_WIRE = 42 /* name, ifname, ok, text, counters, mtu: a static pseudowire of the
		       keeper's own, as it is now; text says why it is not ok */
};

struct batch_record {
	enum batch_tag tag;
	uint64_t key;
	uint32_t generation;
	struct dp_tunnel tunnel;
	bool priority;	      /* SEND */
	bool ok;	      /* FOUND, WIRE, CIRCUIT: it is up */
	bool cannot;	      /* WIRE: the kernel has no such pseudowires */
	uint16_t mtu;	      /* WIRE: of its interface, 0 = not told (by an earlier release) */
	uint8_t class;	      /* PUNT: enum dp_punt_class */
	int error;	      /* TUNNEL_DONE: 0 or negative errno */
	const uint8_t *bytes; /* SEND, PUNT: in the datagram */
	size_t len;
	char text[BATCH_LINE];
	char name[BATCH_NAME];
	char ifname[DP_IFNAME];
	union {
		struct dp_row row;
		struct dp_net net;
		struct dp_done done;
		struct dp_counters counters;
	} u;
};

struct wcur;
struct rcur;

/* Write one record. False: it does not fit; then nothing was written. */
bool batch_save(struct wcur *c, const struct batch_record *r);

/* Take the next record. 1 = *ret is it; 0 = there is none; -EBADMSG = it cannot be read: ret->tag,
 * key and generation are what was found of them, 0 otherwise, and the next one can be taken. */
int batch_load(struct rcur *c, struct batch_record *ret);

/* The flat form of counters, also for what outlives a process. */
void batch_counters_save(struct wcur *c, const struct dp_counters *n);
void batch_counters_load(struct rcur *c, struct dp_counters *n);

#endif
