/* SPDX-License-Identifier: MIT
 *
 * The forwarding thread, inside: what forward.c (the thread, and the way from the peers), tun.c
 * (packets to the devices), down.c (packets from them) and queue.c (datagrams on their way out)
 * share.
 */
#ifndef ADIT_DP_FORWARD_INT_H
#define ADIT_DP_FORWARD_INT_H

#include "cut.h"
#include "forward.h"
#include "join.h"
#include "pkt.h"
#include "writes.h"

#include <sys/socket.h>

#define ROUNDS 4 /* batches from one descriptor before others get their turn */

#define TRAIN_MOST  64		/* datagrams in one send: UDP_MAX_SEGMENTS of older kernels */
#define TRAIN_BYTES 65000	/* ... and octets: below the most of UDP over both families */
#define TRAINS	    64		/* in one batch */
#define JOINS	    8		/* flows that are joined side by side */
#define JOINED	    32		/* ... and those that wait to be written */
#define PUTS	    WRITES_MOST /* packets that wait to be written */

/* Packets from devices lie behind each other, so that many small ones share pages and cache lines.
 * A batch ends when TX_FULL octets are in use; what is left takes one of the longest, and what it
 * is cut into. */
#define TX_READ	 (65535 + 32 + FWD_HEADROOM) /* a link header more than IP */
#define TX_FULL	 (160 * 1024)
#define TX_BYTES (TX_FULL + 2 * TX_READ + 64)

/* Packets of one session in a train. */
struct queued {
	uint32_t slot, packets;
	uint64_t bytes; /* of IP */
};

/*
 * Datagrams of one length to one peer, of any of its sessions, which leave in one send
 * (UDP_SEGMENT); the last may be shorter. Without that offload a train is one datagram.
 */
struct train {
	uint32_t sock, tunnel;
	uint32_t segment, bytes; /* octets of each, of all */
	uint8_t count, iovs, runs;
	bool closed;
	uint8_t iov_of[TRAIN_MOST]; /* where each datagram begins */
	struct queued run[TRAIN_MOST];
	struct iovec iov[2 * TRAIN_MOST];
	struct fwd_to to; /* last: its control message has an open end */
};

/* A packet on its way to a device. */
struct put {
	struct join *join; /* or NULL and: */
	uint8_t *p;
	uint32_t len, room, dev, slot;

	size_t all;	     /* octets that are written, with the vnet header; 0 = none */
	uint32_t at;	     /* its place in the results */
	struct iovec iov[2]; /* when it has no room for that header */
};

/* What the head of a datagram says, and whose it is. */
struct seen {
	struct pkt_head head; /* of data */
	uint32_t slot;	      /* of data; INDEX_NONE: of nobody */
	enum pkt_kind kind;
};

struct fwd_batch {
	uint8_t spare[TX_READ];
	uint8_t rx[FWD_BATCH][FWD_BUF];
	uint8_t tx[TX_BYTES];
	struct mmsghdr rx_msg[FWD_BATCH], tx_msg[TRAINS];
	struct iovec rx_iov[FWD_BATCH];
	struct fwd_to rx_from[FWD_BATCH];
	struct seen seen[FWD_BATCH];
	uint32_t rx_used; /* messages of the last receive */

	struct train train[TRAINS];
	uint32_t trains;
	uint8_t train_of[64]; /* plus one; by tunnel: the newest train */
	uint64_t alone[64];   /* by tunnel: until then one datagram a send, see queue.c */
	uint32_t tx_used;
	uint32_t tx_floor; /* below is what must outlive a flush */

	struct join join_room[JOINED];
	uint32_t join_used;
	struct join *join[JOINS]; /* those that may grow, the oldest first */
	uint32_t joins;
	struct put put[PUTS];
	uint32_t puts;
	struct writes writes;

	uint16_t ports[FWD_SOCKS];
	uint32_t port_count;
};

static inline void count_by(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer: no locked operation is needed. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void count(_Atomic uint64_t *counter)
{
	count_by(counter, 1);
}

static inline uint32_t dev_of(const struct dpt_config *c, uint32_t slot)
{
	return c->flags & DP_F_CLIENT || c->kind == DPT_ETH ? slot + 1 : 0;
}

void fwd_clock(struct fwd *f);

/* The descriptor of a device, -1 = none; whether each packet has a vnet header before it. */
int tun_fd(const struct fwd *f, uint32_t dev, bool *ret_vnet);

/* Read the next packet, with its vnet header if it has one. As read(2), without EINTR. */
ssize_t tun_read(int fd, void *p, size_t len);

/* Write a packet to a device. `room` octets before it may be overwritten. */
bool tun_write(struct fwd *f, uint32_t dev, uint8_t *p, size_t len, size_t room);

/*
 * An IP packet of a session for its device: written by tun_flush(), or before when there are many,
 * and together with others where that can be; until then it stays where it is. It is counted then.
 * `room` octets before it are its own.
 */
void tun_put(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint8_t *p,
	     const struct pkt_ip *ip, size_t room);
void tun_flush(struct fwd *f);

/* The same for an Ethernet frame of a session of that kind. */
void tun_put_frame(struct fwd *f, uint32_t slot, uint8_t *p, size_t len, size_t room);

/* There is something to read from a device. */
void down_from(struct fwd *f, uint32_t dev);

/*
 * Room for a packet of `n` octets with FWD_HEADROOM before it; a full batch is sent first. It is
 * the packet's until the batch is sent, if queue_keep() is called, else the next one's.
 */
uint8_t *queue_room(struct fwd *f, size_t n);
void queue_keep(struct fwd *f, const uint8_t *p, size_t n);

/*
 * Queue an IP packet, made of `head` octets at `p` (with FWD_HEADROOM before them) and `n` at
 * `payload`. All of them stay where they are until the batch is sent.
 */
void queue_packet(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		  uint8_t *p, size_t head, const uint8_t *payload, size_t n, uint8_t version);
/* The same for an Ethernet frame. */
void queue_frame(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		 uint8_t *p, size_t head, const uint8_t *payload, size_t n);
bool queue_full(const struct fwd *f);
void queue_flush(struct fwd *f);

/* forward.c: a PPP frame of an active session; `room` octets before it are its own. */
void fwd_up_ppp(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint8_t *b, size_t len,
		size_t room);
/* Data of a session that is not here or not active yet, for the control thread: PPP's negotiation,
 * and anything else. */
void fwd_punt_stray(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
		    uint32_t session, const uint8_t *bytes, size_t len);
void fwd_punt_early(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
		    const uint8_t *bytes, size_t len);

/* eth.c: Ethernet pseudowires, and PPP over L2TPv3. Data of L2TPv3 in a UDP payload; false: it is
 * no such thing. In an IP payload: what it was, and only PKT_DATA has been dealt with. */
bool eth_up_udp(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o, uint8_t *b,
		size_t len);
enum pkt_kind eth_up_ip(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
			uint8_t *b, size_t len);

/* Is this the device of one; and a frame from it, in the room that queue_room() gave. */
bool eth_is(const struct fwd *f, uint32_t dev);
void eth_down(struct fwd *f, uint32_t slot, uint8_t *p, size_t len, const struct virtio_net_hdr *v);

#endif
