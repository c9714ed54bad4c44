/* SPDX-License-Identifier: MIT
 *
 * Reliable delivery of control messages: sequence numbers, the peer's window, slow start and
 * congestion avoidance, retransmission with back-off, and the queue that puts received messages in
 * order (RFC 2661 5.8 and Appendix A; RFC 3931 4.2 has the same rules).
 *
 * This part knows no protocol version: numbers and ids are 32 bits wide and the modulus is a
 * parameter. It holds what was sent until it is acknowledged; what waits for the window to open is
 * the caller's, who builds a message when rel_room() says there is a place for it. Nr is not part
 * of what is held: rel_output() gives it anew at each transmission, and the caller writes it (and,
 * one day, the digest of v3) into the copy that leaves.
 *
 * Numbers: una <= nxt <= ns. Messages una..ns-1 are held; nxt is the next one to be transmitted.
 * A time-out sets nxt back to una, so the copies come back under the congestion window, the head of
 * the queue first, and an acknowledgement that covers more moves nxt on.
 */
#ifndef ADIT_L2TP_RELIABLE_H
#define ADIT_L2TP_RELIABLE_H

#include <adit/types.h>

struct rel_params {
	uint32_t modulus_mask; /* 0xffff for L2TP: numbers count modulo mask + 1, a power of two */
	uint32_t window;       /* our receive window: bounds the queue of early messages */
	uint32_t peer_window;  /* until rel_peer_window() */
	uint32_t bytes_max;    /* octets held at once, so that a record of them is bounded */
	int64_t first_us, cap_us;
	uint32_t retries;
	size_t *account; /* octets allocated are added here */
};

/* A message that was sent and not yet acknowledged. */
struct rel_msg {
	struct rel_msg *next;
	struct mono at; /* when it was first transmitted */
	uint32_t seq;
	uint32_t session; /* peer's session id for the header */
	uint16_t len;
	uint8_t type;	/* the caller's: message type, for the trace */
	uint8_t copies; /* transmissions so far, saturating */
	uint8_t bytes[];
};

/* A message that came too early. */
struct rel_early {
	struct rel_early *next;
	uint32_t seq, session;
	uint32_t len;
	uint8_t bytes[];
};

/* What a message counts beside its octets: its place in a record. */
#define REL_OVERHEAD 16

struct rel {
	struct rel_params p;
	uint32_t ns, una, nxt, nr;
	uint32_t cwnd, ssthresh, grown; /* `grown`: acknowledgements since cwnd last grew */
	uint32_t tries;			/* time-outs of the head since anything was acknowledged */
	uint32_t bytes;			/* octets held, with REL_OVERHEAD for each message */
	int64_t wait_us;		/* present back-off */
	int64_t rtt_us;			/* smoothed, 0 = not known */
	struct mono rto;		/* when the head is sent again */
	struct rel_msg *first, *last;
	struct rel_msg *next;	 /* the one numbered nxt, NULL when nxt == ns */
	struct rel_early *early; /* sorted by distance from nr */
	uint32_t early_count;
	bool ack_due; /* something has to carry Nr to the peer */
	bool passive; /* no time-outs: the peer has not proved its address yet */
	uint32_t sent, resent, received, duplicates;
};

void rel_init(struct rel *r, const struct rel_params *p);
void rel_free(struct rel *r);

/* ---- receiving ---- */

enum rel_place {
	REL_NEXT,      /* the one expected */
	REL_DUPLICATE, /* had it: acknowledge again (5.8) */
	REL_EARLY,     /* ahead, within our window */
	REL_FAR	       /* ahead, outside the window: drop */
};

enum rel_place rel_place(const struct rel *r, uint32_t ns);

/*
 * Process a received Nr. Values older than what was acknowledged, or beyond what was transmitted,
 * are ignored (the latter: false is returned). *ret_acked is how many messages it freed.
 */
bool rel_ack(struct rel *r, struct mono now, uint32_t nr, uint32_t *ret_acked);

/* The expected message has been processed: Nr moves on and wants to be told. */
void rel_accept(struct rel *r);

/* A duplicate or an early message came: tell the peer where we are. */
void rel_again(struct rel *r);

/* Keep a copy of an early message. 0, 1 when it is there already, -ENOMEM. */
int rel_hold(struct rel *r, uint32_t ns, uint32_t session, const uint8_t *bytes, uint32_t len);

/* The held message that is now the expected one, or NULL. rel_held_done() frees it. */
struct rel_early *rel_held(const struct rel *r);
void rel_held_done(struct rel *r);

/* ---- sending ---- */

/* The peer's receive window is known now. */
void rel_peer_window(struct rel *r, uint32_t window);

/* True when a new message may be given a number now. `last` may exceed the congestion window. */
bool rel_room(const struct rel *r, bool last);

/* Give the next number to a message (its octets are copied). 0 or -ENOMEM. */
int rel_push(struct rel *r, struct mono now, uint8_t type, uint32_t session, const uint8_t *bytes,
	     size_t len);

/* Forget what is held: it is not to be delivered any more. The numbers stay used. */
void rel_abandon(struct rel *r);

/* Send the head of the queue again, without counting it as a time-out. */
void rel_repeat(struct rel *r);

/* Start over with the time-outs: after a suspend, or when a peer has proved its address. */
void rel_restart(struct rel *r, struct mono now);

struct rel_out {
	struct rel_msg *msg; /* NULL: an acknowledgement alone (ZLB) */
	uint32_t ns, nr;
	bool again; /* a retransmission */
};

/* True when there is something to transmit; what is taken counts as transmitted. */
bool rel_output(struct rel *r, struct mono now, struct rel_out *ret);
bool rel_wants_output(const struct rel *r);

enum rel_expiry {
	REL_WAIT, /* nothing was due */
	REL_AGAIN,
	REL_LOST /* all retries are used up */
};

enum rel_expiry rel_expire(struct rel *r, struct mono now);

static inline struct mono rel_deadline(const struct rel *r)
{
	return r->rto;
}

/* Messages that were given a number and are not acknowledged. */
static inline uint32_t rel_held_count(const struct rel *r)
{
	return (r->ns - r->una) & r->p.modulus_mask;
}

#endif
