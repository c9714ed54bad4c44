/* SPDX-License-Identifier: MIT
 *
 * The data plane behind one small asynchronous interface: requests in, completions and punts out.
 *
 *   user    TUN devices and one forwarding thread in the daemon, on any kernel
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

struct dp_plane_stats {
	uint64_t rx_packets, tx_packets; /* data forwarded from and to peers */
	uint64_t drop_unknown, drop_path, drop_header, drop_spoof, drop_seq, drop_mtu, drop_other;
	uint64_t punts, punts_dropped; /* over the rate or the ring was full */
	uint32_t rows;
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

	/* Take the reading side of a UDP socket. `fd` stays the caller's. */
	int (*listen)(struct dp *dp, uint32_t via, int fd);
	int (*unlisten)(struct dp *dp, uint32_t via);

	/* A descriptor that becomes readable when there are completions or punts; -1 = none. */
	int (*fd)(struct dp *dp);
	bool (*done)(struct dp *dp, struct dp_done *ret); /* next completion */
	bool (*punt)(struct dp *dp, struct dp_punt *ret); /* next punt */

	/* Counters now, from memory; false when the key is unknown. */
	bool (*stats)(struct dp *dp, uint64_t key, struct dp_counters *ret);

	/* When data last came over a tunnel, by our tunnel id; us = 0: never. */
	struct mono (*heard)(struct dp *dp, uint16_t local_tunnel);

	/* Keys the plane has, for recovery: start with *pos = 0; false at the end. */
	bool (*list)(struct dp *dp, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation);
	void (*plane_stats)(struct dp *dp, struct dp_plane_stats *ret);
};

struct dp {
	const struct dp_ops *ops;
};

#endif
