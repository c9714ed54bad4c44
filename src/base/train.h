/* SPDX-License-Identifier: MIT
 *
 * Datagrams on their way out, put together for the kernel: a train is a row of datagrams of one
 * length on one path, which UDP_SEGMENT sends as if they were one. In a storm of set-ups most of
 * what is sent are the same few messages to the same few peers.
 *
 * What belongs together keeps its order: the control messages of a tunnel, which the peer otherwise
 * had to sort (RFC 2661 5.8), and everything of one session. Datagrams of different sessions may
 * overtake one another within one batch.
 */
#ifndef ADIT_TRAIN_H
#define ADIT_TRAIN_H

#include <adit/types.h>

#define TRAIN_PACKETS  256	     /* in a batch */
#define TRAIN_SEGMENTS 64	     /* in a train: what the kernel takes (UDP_MAX_SEGMENTS) */
#define TRAIN_LONGEST  576	     /* octets of a datagram that is joined with others */
#define TRAIN_ARENA    (96u * 1024u) /* octets of all of them, with the gaps between them */

struct train_packet {
	uint32_t at; /* in the arena */
	uint16_t len;
	uint16_t next; /* in the train */
};

struct train {
	struct path path;
	uint32_t way; /* hash of it */
	uint16_t first, last, count;
	uint16_t len;	  /* of each datagram */
	uint64_t seen[4]; /* of whom there are datagrams: bits by hash */
};

struct trains {
	struct train train[TRAIN_PACKETS];
	struct train_packet packet[TRAIN_PACKETS];
	unsigned int count, packets;
	size_t used; /* of the arena */
	uint8_t arena[TRAIN_ARENA];
};

void trains_clear(struct trains *b);

/* Where the next datagram may be built, `need` octets; NULL: the batch is full. */
uint8_t *trains_room(struct trains *b, size_t need);

/* `bytes`, which lie in that room, are a datagram for `path`. No more than `most` share a train (1:
 * every datagram is a train of its own). */
void trains_add(struct trains *b, const struct path *path, const uint8_t *bytes, size_t len,
		unsigned int most);

#endif
