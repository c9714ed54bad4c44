/* SPDX-License-Identifier: MIT
 *
 * The session table of the user-space plane: flat arrays in memory that outlives the process (a
 * shared mapping held by the keeper), laid out so that an eBPF plane can share it later. The slot
 * number is the session's identity.
 *
 *   head      magic, version, sizes, the redo record, two copies of the plane's network
 *   slots     64 octets each: what forwarding needs; plain data, no pointers;
 *             written by the control thread only, read by the forwarding thread without locks
 *   runs      128 octets each: counters, Ns, Nr, last times;
 *             one cache line a direction, all atomic
 *   exts      192 octets each: key, generation, the row in its flat encoding, for recovery
 *   mores     what of the encoding does not fit there; rarely touched
 *   tunnels   72 octets each: the outer path
 *   heards    when data of PPP last came over a tunnel
 *
 * Changing a slot. Word 0 of a slot is {state, seq}. The writer sets BUSY and clears UP in it,
 * writes the other words, and sets UP last. A reader takes word 0, then the rest, then word 0
 * again: the same word means one consistent copy, BUSY or another one means try again.
 *
 * A crash at any store. Before a slot is changed, the whole change lies in the redo record, which
 * becomes valid by one store; it turns invalid when the change is complete. Opening the table does
 * a valid record again. So a process that dies anywhere leaves either the old or the new row.
 * Stores of a process that has died are all visible, in program order: only the compiler must be
 * held back.
 *
 * One thread writes; the functions marked "reader" are for the forwarding thread.
 */
#ifndef ADIT_DP_TABLE_H
#define ADIT_DP_TABLE_H

#include "base/dp_types.h"
#include "index.h"

#define DPT_MAGIC   0x61647074u /* "adpt" */
#define DPT_VERSION 1u
#define DPT_NONE    UINT32_MAX

/* State of a slot, the low half of word 0; flags of the row (DP_F_*) are beside it. */
enum {
	DPT_USED = 1 << 0,
	DPT_UP = 1 << 1,   /* forward; set last, cleared first */
	DPT_BUSY = 1 << 2, /* being written */
	DPT_ENDED = 1 << 3 /* dpt_stop(): only its key and its counters are left */
};

/* What a slot carries. */
enum dpt_kind {
	DPT_PPP = 0,
	DPT_ETH = 1, /* Ethernet over L2TPv3 */
	DPT_PPP3 = 2 /* PPP over L2TPv3 */
};

/* 64 octets. Ids and addresses as on the wire, the rest in host order. */
struct dpt_config {
	uint16_t state;
	uint16_t flags; /* DP_F_* */
	uint32_t seq;	/* of changes */
	union {
		struct {
			uint8_t local_tunnel[2], local_session[2], remote_tunnel[2],
				remote_session[2];
		};
		struct {
			uint8_t local_session3[4], remote_session3[4]; /* L2TPv3 */
		};
	};
	uint32_t tunnel; /* index */
	uint16_t mtu, mss4, mss6;
	uint8_t len4, len6; /* the first prefix of each family; 255 = none, or of IPv6 in
			       L2TPv3 in the lookups alone */
	uint8_t ip4[4];
	union {
		uint8_t ip6[16];
		struct {
			uint8_t cookie_in[8], cookie_out[8]; /* L2TPv3 */
		};
	};
	uint32_t rate_up, rate_down;
	uint8_t kind;			       /* enum dpt_kind */
	uint8_t l2spec;			       /* L2TPv3: enum dp_l2spec */
	uint8_t cookie_in_len, cookie_out_len; /* L2TPv3 */
	uint16_t tag;			       /* ETH: dp_row.tag */
	uint8_t reserved[2];
};

struct dpt_slot {
	_Atomic uint64_t word[8];
};

struct dpt_run {
	/* from the peer */
	_Atomic uint64_t rx_packets, rx_bytes, last_rx, drop_spoof, drop_seq, drop_up;
	_Atomic uint32_t nr;	 /* next Ns expected */
	_Atomic uint32_t late;	 /* high half: run of late packets in order; low half: next of it */
	_Atomic uint64_t tat_up; /* for a policer */
	/* to the peer */
	_Atomic uint64_t tx_packets, tx_bytes, last_tx, drop_mtu, drop_down;
	_Atomic uint32_t ns;	   /* next Ns to send, modulo 2^16 */
	_Atomic uint32_t peer_seq; /* of the last data packet: 0 none yet, 1 had no Ns, 2 had */
	_Atomic uint64_t tat_down;
	_Atomic uint64_t last_seq; /* when data with Ns was last accepted; its own line is full */
};

/* 72 octets. */
struct dpt_tunnel {
	uint32_t state; /* DPT_USED */
	uint16_t family;
	uint16_t local_id, remote_id; /* L2TPv2 */
	uint16_t local_port, remote_port;
	uint16_t encap; /* enum dp_encap */
	uint32_t via, local_scope, remote_scope, oif;
	uint8_t local[16], remote[16];	/* local all zero: any */
	uint32_t local_id3, remote_id3; /* L2TPv3 */
};

struct dpt;

/* Octets of a table for `max` sessions; 0 when max is 0 or beyond 2^24. */
size_t dpt_size(uint32_t max);

/*
 * Use the table in `mem` (page-aligned), which is made anew for `max` sessions (0 or too many: as
 * many as it has room for) when it is not one of ours, of another version or size. *ret_found is
 * the number of sessions that were found in it. NULL: out of memory, or `size` is below
 * dpt_size(1). The memory stays the caller's.
 */
struct dpt *dpt_open(void *mem, size_t size, uint32_t max, const uint8_t hash_key[16],
		     struct qsbr *qsbr, uint32_t *ret_found);
void dpt_close(struct dpt *t);

uint32_t dpt_slots(const struct dpt *t); /* how many fit */
uint32_t dpt_high(const struct dpt *t);	 /* slots from here on were never used */
uint32_t dpt_rows(const struct dpt *t);
uint32_t dpt_tunnels(const struct dpt *t); /* how many fit */
size_t dpt_memory(const struct dpt *t);	   /* octets in use, of the table and of the lookups */

/* ---- writer ---- */

uint32_t dpt_find(const struct dpt *t, uint64_t key);

struct dpt_info {
	uint64_t key;
	uint32_t generation;
	bool up;
	bool ended;	   /* by dpt_stop() */
	uint8_t routed;	   /* bit i: prefixes[i] has a route of its own */
	struct dp_row row; /* with the interface name that was chosen */
};

/* What a walk over all slots asks first. */
struct dpt_brief {
	uint64_t key;
	uint32_t generation;
	uint8_t routed;
	bool ended;
	bool device; /* it has a device of its own: a client's, or Ethernet */
};

/* The same without reading the row, which takes ten times as long. False: not in use. */
bool dpt_brief(const struct dpt *t, uint32_t slot, struct dpt_brief *ret);

/* False when the slot is not in use. `ret` may be NULL. */
bool dpt_get(const struct dpt *t, uint32_t slot, struct dpt_info *ret);

enum dpt_refusal {
	DPT_REFUSED_IDS = 1,   /* another session has these local ids */
	DPT_REFUSED_PREFIX = 2 /* another session has one of the prefixes; *ret_other is it */
};

/*
 * Write the row of `key`: a new slot, or a change of the slot it has. `up`: forward from now on.
 * When it was not up and is now, Ns and Nr are taken from the row. 0 with *ret_slot; enum
 * dpt_refusal; -EAGAIN: there is room once the reader has been quiet, so ask again after that;
 * -ENOSPC: all slots or tunnels are in use; -ENOMEM. Nothing has changed unless it returns 0. The
 * local ids of a key never change.
 */
int dpt_put(struct dpt *t, uint64_t key, uint32_t generation, const struct dp_row *row,
	    uint8_t routed, bool up, uint32_t *ret_slot, uint64_t *ret_other);

/* The row is as it is, but asked for anew. */
void dpt_regenerate(struct dpt *t, uint32_t slot, uint32_t generation);
void dpt_routed(struct dpt *t, uint32_t slot, uint8_t routed);

/* Stop forwarding and take the slot out of all lookups of packets; it keeps its key and its
 * counters, also when the table is opened anew, until dpt_free(). */
void dpt_stop(struct dpt *t, uint32_t slot);

/* Give the slot back. It was stopped, and the reader has been quiet since. */
void dpt_free(struct dpt *t, uint32_t slot);

void dpt_counters(const struct dpt *t, uint32_t slot, struct dp_counters *ret);

/* dp_stats() and dp_list() of a plane that has this table. */
bool dpt_stats(const struct dpt *t, uint64_t key, struct dp_counters *ret);
bool dpt_list(const struct dpt *t, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation);

/* When data of PPP last came over any tunnel with this id; 0 never. */
uint64_t dpt_heard(const struct dpt *t, uint32_t local_tunnel);

/* What the plane as a whole was told last; survives as the rows do. False: nothing yet. */
void dpt_net_put(struct dpt *t, const struct dp_net *net);
bool dpt_net_get(const struct dpt *t, struct dp_net *ret);

/* ---- reader ---- */

const struct index *dpt_index(const struct dpt *t);

/* A consistent copy. False when the writer is at it and does not get ready. */
bool dpt_snapshot(const struct dpt *t, uint32_t slot, struct dpt_config *ret);
void dpt_prefetch(const struct dpt *t, uint32_t slot); /* any number */
struct dpt_run *dpt_run(const struct dpt *t, uint32_t slot);
const struct dpt_tunnel *dpt_tunnel(const struct dpt *t, uint32_t tunnel);
void dpt_hear(const struct dpt *t, uint32_t tunnel, uint64_t now_us);

#endif
