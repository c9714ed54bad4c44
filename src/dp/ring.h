/* SPDX-License-Identifier: MIT
 *
 * A queue of records from the forwarding thread to the control thread without locks: one producer,
 * one consumer, octets in a ring. The consumer's eventfd is written only when it sleeps.
 *
 * Waking. Whoever has news takes `asleep` from true to false and, if it was true, writes the
 * eventfd: one write for each turn. The consumer goes to sleep by reading that write off, setting
 * `asleep`, and looking once more. When it finds nothing to read, the write is still on its way: it
 * does not go to sleep, for the eventfd will be readable at once.
 */
#ifndef ADIT_DP_RING_H
#define ADIT_DP_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
	uint8_t *buf;
	uint32_t size; /* a power of two */

	uint8_t apart1[64]; /* each side writes to cache lines of its own */

	/* producer */
	uint64_t filled;    /* octets written, perhaps not published yet */
	uint32_t filled_at; /* where that is in the buffer */
	uint32_t back_at;   /* the place from which it went back, and `filled` there; 0 = it is */
	uint64_t back;	    /* past that */
	uint64_t tail_seen;
	_Atomic uint64_t head; /* published */

	uint8_t apart2[64];

	/* consumer */
	_Atomic uint64_t tail;
	uint64_t head_seen;
	uint32_t tail_at; /* where `tail` is in the buffer */

	uint8_t apart3[64];

	_Atomic bool asleep;
	int fd; /* eventfd, non-blocking */
};

/* -ENOMEM or what eventfd() said. `size` is a power of two, at least 64 KiB. */
int ring_init(struct ring *r, uint32_t size);
void ring_fini(struct ring *r);

/* Producer: room for a record of `n` octets, 8-aligned, when the ring then is at most `fill` octets
 * full; NULL when it would be fuller. The record is complete with ring_push(). */
uint8_t *ring_room(struct ring *r, uint32_t n, uint32_t fill);
void ring_push(struct ring *r);

/* Producer: let the consumer see what was pushed, and wake it if it sleeps. */
void ring_publish(struct ring *r);

/* Any thread: wake the consumer if it sleeps. */
void ring_wake(struct ring *r);

/* Consumer: the oldest record, NULL when there is none; it stays until ring_pop(). */
uint8_t *ring_peek(struct ring *r, uint32_t *ret_n);
void ring_pop(struct ring *r);

/* Consumer: nothing to do now. False: there is news, look again (the eventfd stays readable). */
bool ring_sleep(struct ring *r);

#endif
