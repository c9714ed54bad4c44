/* SPDX-License-Identifier: MIT
 *
 * The session table from inside, for table.c (slots, rows, what a crash leaves) and table_tunnel.c.
 */
#ifndef ADIT_DP_TABLE_INT_H
#define ADIT_DP_TABLE_INT_H

#include "base/fault.h"
#include "table.h"

#include <assert.h>
#include <string.h>

#ifndef DPT_STEP
#define DPT_STEP() FAULT("in-table")
#endif

#define PAGE	    4096u
#define HEAD_OCTETS (2 * PAGE)
#define INLINE_ROW  168
#define MORE_ROW    (DP_ROW_SAVE_MAX - INLINE_ROW)
#define MAX_SLOTS   (1u << 24)
#define MAX_TUNNELS 65536u

struct ext {
	uint64_t key;
	uint32_t generation;
	uint32_t check; /* over key and row */
	uint16_t len;	/* of the encoding */
	uint8_t routed;
	uint8_t reserved[5];
	uint8_t row[INLINE_ROW];
};

struct more {
	uint8_t row[MORE_ROW];
};

struct redo {
	_Atomic uint32_t valid;
	uint32_t slot, generation, check;
	uint64_t key;
	uint16_t len;
	uint8_t routed, up;
	uint8_t fresh; /* the slot was free: its counters begin at 0 */
	uint8_t seq;   /* forwarding begins: take Ns and Nr from the row */
	uint8_t reserved[2];
	uint8_t row[DP_ROW_SAVE_MAX];
};

struct net {
	uint32_t len, check;
	uint8_t bytes[DP_NET_SAVE_MAX];
};

struct head {
	_Atomic uint32_t magic; /* written last */
	uint32_t version, slots, tunnels;
	uint64_t size;
	_Atomic uint32_t slot_high, tunnel_high; /* numbers below have been used */
	_Atomic uint32_t net_which;		 /* 0 none, else net[which - 1] holds */
	uint8_t reserved[28];
	struct redo redo;
	struct net net[2];
};

static_assert(sizeof(struct dpt_config) == 64, "a cache line");
static_assert(sizeof(struct dpt_slot) == 64, "a cache line");
static_assert(sizeof(struct dpt_run) == 128, "two cache lines");
static_assert(offsetof(struct dpt_run, tx_packets) == 64, "one for each direction");
static_assert(sizeof(struct dpt_tunnel) == 72, "as the eBPF plane has it");
static_assert(sizeof(struct ext) == 192, "three cache lines");
static_assert(sizeof(struct head) <= HEAD_OCTETS, "the head has its room");

struct dpt {
	struct head *head;
	struct dpt_slot *slots;
	struct dpt_run *runs;
	struct ext *exts;
	struct more *mores;
	struct dpt_tunnel *tunnels;
	_Atomic uint64_t *heards;
	struct index *index;
	struct qsbr *qsbr;
	uint32_t slot_max, tunnel_max, rows;

	/* Slots given back, a stack of them; slots above slot_high come when it is empty. */
	uint32_t *slot_free, slot_free_count;

	/* Tunnels: references by slots, chains by our id (plus one), and those given back, which
	 * wait for the reader like the nodes of index.c. */
	uint32_t *tunnel_refs, *tunnel_next, *tunnel_heads;
	uint32_t tunnel_spare, tunnel_retired, tunnel_waiting;
	uint64_t tunnel_tag;
};

#define TUNNEL_HEADS 1024u

/* ---- stores into the shared memory, one after the other ---- */

static inline void store_bytes(void *at, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		DPT_STEP();
		memcpy((uint8_t *)at + i, (const uint8_t *)bytes + i, n - i < 8 ? n - i : 8);
	}
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void store32(_Atomic uint32_t *at, uint32_t v)
{
	DPT_STEP();
	atomic_store_explicit(at, v, memory_order_release);
}

static inline void store64(_Atomic uint64_t *at, uint64_t v)
{
	DPT_STEP();
	atomic_store_explicit(at, v, memory_order_release);
}

/* ---- table_tunnel.c ---- */

/* The tunnel that a row asks for. */
struct dpt_tunnel dpt_tunnel_of(const struct dp_row *r);

/* A tunnel row for `n`, new or there already; nobody refers to a new one yet, and a crash now
 * leaves a row that the next opening takes as free. DPT_NONE when all are in use. */
uint32_t dpt_tunnel_take(struct dpt *t, const struct dpt_tunnel *n);

/* One slot less refers to it, or none did: then it is given back. */
void dpt_tunnel_drop(struct dpt *t, uint32_t i);

/* Opening: the tunnel of a slot when it is the one its row asks for, else one that is; as
 * dpt_tunnel_take(). */
uint32_t dpt_tunnel_again(struct dpt *t, uint32_t tunnel, const struct dp_row *row);

/* Opening: tunnels nobody refers to are free. Before this, none is spare: they are taken above the
 * mark. */
void dpt_tunnels_spare(struct dpt *t);

#endif
