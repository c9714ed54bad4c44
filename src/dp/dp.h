/* SPDX-License-Identifier: MIT
 *
 * The data plane behind one small asynchronous interface: requests in, completions and punts out.
 *
 *   user    TUN devices and one forwarding thread in the daemon, on any kernel
 *   remote  the kernel's own L2TP, driven by the keeper (src/keeper/plane.c, kernel.h)
 *   auto    both of them: each session goes where it can be carried best
 *   sim     in memory with fault injection, for tests
 *
 * A plane owns the reading side of the UDP sockets it is given (dp_listen): data of active sessions
 * is forwarded without anybody else seeing it, everything else comes up as punts, each class at a
 * bounded rate. All functions are called from one thread, the owner's.
 */
#ifndef ADIT_DP_H
#define ADIT_DP_H

#include "base/dp_types.h"

struct dp;

struct dp_punt {
	enum dp_punt_class class;
	uint64_t key;	      /* PPP, LOCAL: the session */
	struct path path;     /* DATAGRAM */
	const uint8_t *bytes; /* DATAGRAM: UDP payload; PPP: from the protocol's first octet, FF 03
				removed; LOCAL: the IPv6 packet. Valid until the next call */
	size_t len;
};

/* A tunnel whose control connection is up, for planes that have an object for each. */
struct dp_tunnel {
	uint8_t want;		/* enum dp_want: of the tunnel and its sessions; of `auto` alone */
	uint32_t local, remote; /* ids */
	struct path path;
	uint8_t version; /* 2 or 3 */
	uint8_t encap;	 /* enum dp_encap */
};

enum dp_event_kind {
	DP_EV_TUNNEL = 1,      /* the answer to `tunnel` */
	DP_EV_TUNNEL_LOST = 2, /* somebody else has removed the tunnel from the plane */
	DP_EV_ROW_LOST = 3,    /* ... a session; its row is still to be deleted */
	/* DP_L2TP_ETH: our circuit (dp_row.circuit) is up or down. One comes soon after each put
	 * that made the row active or changed its circuit, then one with each change. */
	DP_EV_CIRCUIT = 4,
	/* Nobody tells how circuits change: told once, until it works again and fails anew. */
	DP_EV_CIRCUITS_DEAF = 5
};

struct dp_event {
	enum dp_event_kind kind;
	uint32_t tunnel;    /* TUNNEL, TUNNEL_LOST: our id */
	uint64_t key;	    /* ROW_LOST, CIRCUIT */
	bool up;	    /* CIRCUIT */
	bool missing;	    /* CIRCUIT: not up, for there is no interface of its name */
	int error;	    /* TUNNEL: 0 or a negative errno; CIRCUITS_DEAF: a negative errno */
	int fd;		    /* TUNNEL: the tunnel's own connected socket, the taker's; -1 = none */
	char text[DP_TEXT]; /* in words, with a remedy where there is one */
};

/* What the kernel does for many packets at once. */
enum {
	DP_OFFLOAD_RECEIVE = 1 << 0, /* takes trains of datagrams (UDP_GRO) */
	DP_OFFLOAD_SEND = 1 << 1,    /* sends trains of datagrams (UDP_SEGMENT) */
	DP_OFFLOAD_TCP = 1 << 2	     /* long TCP packets from and to devices (IFF_VNET_HDR) */
};
#define DP_OFFLOAD_ALL (DP_OFFLOAD_RECEIVE | DP_OFFLOAD_SEND | DP_OFFLOAD_TCP)

struct dp_plane_stats {
	uint64_t rx_packets, tx_packets; /* data forwarded from and to peers */
	uint64_t drop_unknown, drop_path, drop_header, drop_spoof, drop_seq, drop_mtu, drop_other;
	uint64_t punts, punts_dropped; /* over the rate or the ring was full */
	uint32_t rows;
	uint32_t offloads; /* DP_OFFLOAD_* in use, on any socket or device */
	size_t memory;
};

struct dp_ops {
	const char *name;
	void (*free)(struct dp *dp);

	/* -ENOMEM when the request could not even be queued (then there is no completion), else 0.
	 */
	int (*put)(struct dp *dp, uint64_t key, uint32_t generation, const struct dp_row *row);
	int (*del)(struct dp *dp, uint64_t key, uint32_t generation);
	int (*net)(struct dp *dp, uint32_t generation, const struct dp_net *net);

	/* Send a PPP frame (protocol first, FF 03 is added when the row says so) on a session the
	 * plane has as active. `frame` has 64 octets of headroom. 0; 1 no such active row. */
	int (*send)(struct dp *dp, uint64_t key, uint8_t *frame, size_t len, bool priority);

	/* The same as far as the socket, so that the owner can send many at once: puts the headers
	 * in front of `frame`, and says which way the datagram goes. Returns its first octet, *len
	 * is then its length; NULL no such active row. The operation is NULL when the plane has
	 * nothing the owner could send. */
	uint8_t *(*wrap)(struct dp *dp, uint64_t key, uint8_t *frame, size_t *len, bool priority,
			 struct path *ret);

	/* Take the reading side of a UDP socket. `fd` stays the caller's. */
	int (*listen)(struct dp *dp, uint32_t via, int fd);
	int (*unlisten)(struct dp *dp, uint32_t via);

	/* A descriptor that becomes readable when there are completions or punts; -1 = none. */
	int (*fd)(struct dp *dp);
	bool (*done)(struct dp *dp, struct dp_done *ret); /* next completion */
	bool (*punt)(struct dp *dp, struct dp_punt *ret); /* next punt */

	/* What the completions taken so far say is where a successor of the owner finds it. Before
	 * that, a deletion that a successor asks for again is answered with the same last counters.
	 * NULL in planes that keep nothing. */
	void (*committed)(struct dp *dp);

	/* Counters now, from memory; false when the key is unknown. */
	bool (*stats)(struct dp *dp, uint64_t key, struct dp_counters *ret);

	/* When data of PPP last came over a tunnel, by our tunnel id (of L2TPv3 DP_PPP3_IDS or
	 * more, so it says the version); us = 0: never. Of pseudowires nobody asks: that the peer
	 * sends frames does not show that it hears us. */
	struct mono (*heard)(struct dp *dp, uint32_t local_tunnel);

	/* Keys the plane has, for recovery: start with *pos = 0; false at the end. */
	bool (*list)(struct dp *dp, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation);
	void (*plane_stats)(struct dp *dp, struct dp_plane_stats *ret);

	/* Whose control messages come before those of strangers when there are too many: an address
	 * that has shown that it receives what we send there, or that we ask ourselves; and, all at
	 * once, the small networks of the configuration. NULL in planes that read no socket. */
	void (*trust)(struct dp *dp, const struct addr *remote);
	void (*trust_nets)(struct dp *dp, const struct prefix *nets, size_t n);

	/* The following are NULL in planes that know nothing of the kind. */

	/* A tunnel is up (also: is still up, after a restart), it is down. 0, and one DP_EV_TUNNEL
	 * follows; or -ENOMEM. Rows of the tunnel may be put at once. */
	int (*tunnel)(struct dp *dp, const struct dp_tunnel *t);
	int (*tunnel_del)(struct dp *dp, uint32_t local);
	bool (*event)(struct dp *dp, struct dp_event *ret);

	/* The plane that carries a session (tunnel), "" = none; *ret_why is why it is not the
	 * kernel, "" when there is nothing to say. Valid until the next call. */
	const char *(*where)(struct dp *dp, uint64_t key, const char **ret_why);
	const char *(*where_tunnel)(struct dp *dp, uint32_t local, const char **ret_why);
};

struct dp {
	const struct dp_ops *ops;
};

/* Ids, addresses and ports as the wire allows them. */
bool dp_tunnel_ok(const struct dp_tunnel *t);

#endif
