/* SPDX-License-Identifier: MIT
 *
 * The forwarding thread of the user-space plane, shared between itself (forward.c) and the control
 * side (user.c). The control thread adds and removes descriptors and rows at any time; what it
 * takes away it closes or reuses only after the thread has passed a quiet state (qsbr.h).
 */
#ifndef ADIT_DP_FORWARD_H
#define ADIT_DP_FORWARD_H

#include "pkt.h"
#include "ring.h"
#include "table.h"
#include "user.h"

#include <netinet/in.h>
#include <pthread.h>

#define FWD_SOCKS    64
#define FWD_TUNNELS  65536 /* sockets of tunnels that another plane carries */
#define FWD_PROBES   64	   /* places where the socket of a tunnel may stand */
#define FWD_BATCH    64
#define FWD_HEADROOM 64
/* A datagram, or as many of one length as the kernel gives at once (UDP_GRO). Not a multiple of a
 * page, so that the first octets of the buffers of a batch do not share one set of the cache. */
#define FWD_BUF (65536 + 704)

/* A record in the ring. */
struct fwd_punt {
	uint32_t class; /* enum dp_punt_class, or FWD_LOST */
	uint32_t dev;	/* FWD_LOST: the device that is gone */
	uint64_t key;
	struct path path;
	uint32_t len;
	uint8_t bytes[];
};
#define FWD_LOST 100u

struct fwd_sock {
	_Atomic int fd; /* plus one; 0 = none */
	_Atomic uint32_t via;
	_Atomic uint16_t port; /* ours */
	_Atomic bool v6;       /* an AF_INET6 socket */
	_Atomic bool segment;  /* sends trains */
	/* Of protocol 115 (L2TPv3 over IP), without a port: raw, or one of the kernel's tunnels,
	 * which gives control messages without their first four octets. Set before the descriptor.
	 */
	bool raw, stripped;
	/* The address it is bound to, all zero = any: then the kernel tells with each packet. Set
	 * before the descriptor. */
	uint8_t local[16];
	uint32_t local_scope;
	/* The interface it is bound to, 0 = none, and the namespace it lies in, 0 = the kernel does
	 * not say. Set before the descriptor. */
	int device;
	uint64_t room;
};

/* A tunnel's own socket, connected: read as the listener `via`, see attach.c. */
struct fwd_tunnel {
	struct fwd_sock sock;
	_Atomic uint32_t id; /* ours of the tunnel it is or was for, 0 = never used */
	uint64_t left;	     /* of the control thread: the tag of the last detach, see qsbr.h */
};

struct fwd_bucket {
	struct dp_rate rate;
	uint64_t tokens; /* in millionths of a packet */
	uint64_t at;
};

/* Counts of the thread, which alone writes them. */
struct fwd_counts {
	_Atomic uint64_t rx_packets, tx_packets, drop_unknown, drop_path, drop_header, drop_spoof,
		drop_seq, drop_mtu, drop_other, punts, punts_dropped;
};

/* A bucket in eight octets, of which there are many. All zero: full. */
struct fwd_limit {
	uint32_t tokens; /* thousandths of a packet */
	uint32_t at;	 /* ms */
};

struct fwd_batch; /* buffers */
struct admit;	  /* admit.h */

struct fwd {
	struct dpt *table;
	struct qsbr *qsbr;
	struct ring ring;
	int epoll, stop_fd;
	_Atomic bool stop;
	_Atomic bool woken; /* a descriptor of fwd_watch_wake() has news */
	pthread_t thread;
	bool started;

	struct fwd_sock socks[FWD_SOCKS];
	_Atomic uint32_t sock_high;
	struct fwd_tunnel *tunnels; /* FWD_TUNNELS */
	bool attached;		    /* any of them was used */
	/* TUN descriptors plus one, times two, plus one when packets have a vnet header: [0] the
	 * shared one, [1 + slot] a client's */
	_Atomic int *devs;
	uint32_t offload;	       /* DP_OFFLOAD_*: what may be used */
	_Atomic uint32_t offload_used; /* ... what some socket or device has */

	/* of the thread alone */
	uint64_t now; /* CLOCK_BOOTTIME, us; once a batch */
	struct fwd_bucket control, unproven, asker, stranger, negotiation, unknown, stray,
		stray_known, frames, icmp;
	struct dp_rate session;
	struct fwd_limit *limits; /* of punts, by slot */
	struct admit *admit;	  /* the owner of `fwd` makes and frees it */
	struct fwd_batch *batch;
	struct fwd_counts counts;
};

/* Fill in table, qsbr and the rates before. -ENOMEM or what a system call said. */
int fwd_start(struct fwd *f, uint32_t ring_size);
void fwd_stop(struct fwd *f);

/* Control: begin and end to read a descriptor. The socket's fields are set. fwd_unwatch() leaves
 * the descriptor open. */
int fwd_watch_sock(struct fwd *f, uint32_t sock);
int fwd_watch_dev(struct fwd *f, uint32_t dev, int fd);
int fwd_unwatch_sock(struct fwd *f, uint32_t sock); /* the descriptor */
int fwd_unwatch_dev(struct fwd *f, uint32_t dev);   /* the descriptor, -1 = there was none */
/* Wake the owner when this descriptor has news: each time it gets some, it is not read here. */
int fwd_watch_wake(struct fwd *f, int fd);

int fwd_watch_tunnel(struct fwd *f, uint32_t tunnel);
int fwd_unwatch_tunnel(struct fwd *f, uint32_t tunnel); /* the descriptor, -1 = there was none */

/* Is this a socket of protocol 115? */
bool fwd_is_raw(int fd);

/* The socket of a listener, FWD_SOCKS when there is none. */
uint32_t fwd_sock_of(const struct fwd *f, uint32_t via);

/* The way an outer packet came. */
struct fwd_outer {
	uint16_t family;
	uint16_t port; /* the peer's */
	uint32_t scope, local_scope;
	uint8_t remote[16], local[16];
	bool unicast; /* to an address of ours, not a broadcast or multicast one, and answerable */
	uint32_t segment; /* the octets are datagrams of this length, the last may be shorter; 0 =
			     one datagram */
};

/* Where a packet of a tunnel goes, and from which local address. */
struct fwd_to {
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} name;
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
			      CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
	} control;
};

/* RFC 2661 8.1, RFC 3193 3.3: only from the tunnel's own peer, and to the address it talks to. Over
 * IP several sockets may match a packet, which comes by one of them (src/daemon/raw.c). */
bool fwd_path_ok(const struct fwd *f, const struct dpt_tunnel *t, const struct fwd_sock *s,
		 const struct fwd_outer *o);

/* False: the kernel did not say where it went to; the message is of no use. A port is missed only
 * where there are some. */
bool fwd_outer(const struct msghdr *m, const struct fwd_to *from, struct fwd_outer *ret);
void fwd_address(const struct dpt_tunnel *t, bool v6, struct fwd_to *to, struct msghdr *ret);

/* Whether Ns is put on a packet now. Without Sequencing Required the client follows the LNS, which
 * may switch at any time (RFC 2661 5.4). */
bool fwd_sends_seq(const struct dpt_config *c, const struct dpt_run *run);

/* Accept a data packet by its Ns (RFC 2661 5.4; of 24 bits, RFC 3931 4.6.1)? Moves Nr on. */
bool fwd_seq_ok(const struct dpt_config *c, struct dpt_run *run, bool has_seq, uint32_t ns,
		uint64_t now_us);

/* Is the source one of the session's prefixes, or one that stays on the link? */
bool fwd_source_ok(const struct index *x, const struct dpt_config *c, uint32_t slot,
		   const struct pkt_ip *ip);

bool fwd_unspecified(const uint8_t ip[16]); /* all zero */

/* Take one packet from the bucket. */
bool fwd_limit_take(struct fwd_limit *l, const struct dp_rate *rate, uint64_t now_us);
bool fwd_bucket_take(struct fwd_bucket *b, uint64_t now_us);

#endif
