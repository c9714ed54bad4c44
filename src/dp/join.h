/* SPDX-License-Identifier: MIT
 *
 * Joining TCP segments of a session into one packet for the device (IFF_VNET_HDR), so that the
 * kernel walks its stack once for many. The kernel may cut the packet again, or give its octets to
 * a socket without a look at the segments' checksums: they are no more. So a segment is joined
 * only when its own checksums are right, and only with what it follows exactly; the rules are those
 * of the kernel's own GRO (net/ipv4/tcp_offload.c), so that cutting gives the same segments again.
 *
 * Pure functions over bytes. What is joined lies where it was received and must stay there until
 * the packet is written.
 */
#ifndef ADIT_DP_JOIN_H
#define ADIT_DP_JOIN_H

#include "pkt.h"

#include <linux/virtio_net.h>
#include <sys/uio.h>

/* What a device with IFF_VNET_HDR has before each packet. */
#define JOIN_VNET sizeof(struct virtio_net_hdr)

#define JOIN_SEGMENTS 64

/* A TCP segment that may be joined with others. */
struct join_seg {
	uint8_t *p; /* the IP packet */
	uint8_t version;
	uint8_t flags;		  /* of TCP */
	uint16_t transport, head; /* octets before TCP, and before the payload */
	uint16_t len, payload;	  /* of the packet, of its payload; not 0 */
	uint16_t link;		  /* octets of a frame before the packet, for the caller to set */
	uint32_t seq;
};

/* Segments that wait to be written as one packet. */
struct join {
	uint32_t dev, slot; /* where they go to; the session they came from */
	struct join_seg first;
	bool right;	  /* the first one's checksums were looked at and are right */
	bool closed;	  /* nothing can follow */
	uint8_t more;	  /* FIN and PSH of later ones */
	uint16_t id_step; /* of the IPv4 id: 0 or 1; known from the second segment on */
	uint32_t next;	  /* sequence number that follows */
	uint32_t len;	  /* of the packet as it is now, without `link` */
	uint32_t count;	  /* segments */
	struct virtio_net_hdr vnet;
	struct iovec iov[1 + JOIN_SEGMENTS]; /* [0] is `vnet` */
};

/* False: the packet has to be written as it is. */
bool join_parse(uint8_t *p, const struct pkt_ip *ip, struct join_seg *ret);

/* Could anything follow this segment? One with PSH or FIN ends its run. */
bool join_opens(const struct join_seg *s);
void join_begin(struct join *j, uint32_t dev, uint32_t slot, const struct join_seg *s);

/* Addresses and ports are the same: what is not joined may not overtake it. */
bool join_same_flow(const struct join *j, uint32_t slot, const struct join_seg *s);

/* Join a segment of the same flow. False when it does not follow exactly or a checksum is wrong:
 * then `j` has to be written before it. */
bool join_add(struct join *j, const struct join_seg *s);

/* Put the packet together: *ret_n vectors of j->iov are to be written, the vnet header first. */
void join_finish(struct join *j, int *ret_n);

#endif
