/* SPDX-License-Identifier: MIT
 *
 * What the kernel leaves to a device with offloads (TUNSETOFFLOAD): checksums it has only begun,
 * and TCP packets longer than a segment. Pure functions over bytes.
 */
#ifndef ADIT_DP_CUT_H
#define ADIT_DP_CUT_H

#include "pkt.h"

#include <linux/virtio_net.h>

#define CUT_HEAD_MAX 256 /* IP and TCP headers; longer ones are refused */

/* A TCP packet on its way to become segments. */
struct cut {
	const uint8_t *p;
	uint8_t version;
	uint16_t transport, head; /* octets before TCP, and before the payload */
	uint16_t size;		  /* payload of a segment, of the last at most */
	uint32_t payload, pos;	  /* octets in all; done */
	uint32_t sum;		  /* of the pseudo header without the length */
};

/* Finish the checksum of a packet that was read with VIRTIO_NET_HDR_F_NEEDS_CSUM. False: the
 * header points outside of the packet. */
bool cut_checksum(uint8_t *p, size_t len, const struct virtio_net_hdr *v);

/* False: nothing that can be cut. `v` says how; `p` stays as it is and must stay there. */
bool cut_begin(struct cut *c, const uint8_t *p, const struct pkt_ip *ip,
	       const struct virtio_net_hdr *v);

/* Octets of the longest segment, headers of IP and TCP counted; how many there are. */
size_t cut_longest(const struct cut *c);
uint32_t cut_count(const struct cut *c);

/*
 * The next segment: its headers into `head` (CUT_HEAD_MAX octets of room), its payload is a part of
 * the packet. Returns the length of the headers, 0 after the last segment.
 */
size_t cut_next(struct cut *c, uint8_t *head, const uint8_t **ret_payload, size_t *ret_len);

#endif
