/* SPDX-License-Identifier: MIT
 *
 * The scripted peer of the L2TP transcripts: builds messages from words and makes words of messages
 * (RFC 2661 3.1, 4). It shares no code with src/l2tp, so a mistake there does not hide itself here.
 *
 * A message in words, to be sent:
 *
 *     SCCRQ tid=0 ns=0 nr=0 version=1.0 framing=3 host="lac" tunnel=7
 *
 * First the type: its name, ZLB, `type=60` or `bare` (no Message Type AVP). tid, sid, ns, nr are
 * the header; left out, they are what a well-behaved peer would put there. flags=cd02, length=+1
 * (or 11) and junk=00ff change the header or add octets behind the message. All else are AVPs, in
 * this order on the wire. Before a name may stand, each with a dot: m0 or m1 (M bit), h (hidden
 * with the secret and the vector last given), r (a reserved bit). A value is a number, "text",
 * x0102 (octets, of any length) or @100 (a hundred times the letter x). Also:
 *
 *     vector=x00ff       Random Vector          avp=9:4:x00   vendor 9, attribute 4
 *     result=2/8/"text"  Result Code            response=good | id3 | x...
 *     pad=15             padding of later hidden AVPs         octets=x80   no AVP at all
 *
 * With `v3` set it is a peer of L2TPv3 (RFC 3931). Then the header has tid alone, of 32 bits (our
 * names for AVPs are in wire_peer.c: conn=7 is the Assigned Control Connection ID), over IP four
 * zeros stand in front, and one word more says which Message Digests a message has:
 *
 *     digest=md5,sha1        these two, right; also: none, wrong, late (at the end of the message),
 *                            empty (the secret ""), old (the second secret), odd (type 7),
 *                            bare (the secret, without nonces)
 *
 * Left out, it is md5 when there is a secret and none without one.
 *
 * A message that was received is told in the same words, AVPs sorted by number; `response` is good
 * or wrong; what is against the RFC is told as BAD(why).
 */
#ifndef ADIT_TEST_WIRE_PEER_H
#define ADIT_TEST_WIRE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WP_TUNNELS 32
#define WP_WORDS   64

struct wp_nonce {
	uint8_t p[128];
	size_t n;
};

struct wp_tunnel {
	uint32_t mine, theirs; /* ids: what I gave out, what the engine did; 0 = not known */
	uint16_t ns, nr;       /* what I send next */
	struct wp_nonce own, peer;
};

struct wire_peer {
	bool v3, over_ip;
	const char *secret;	/* NULL = none */
	const char *old_secret; /* v3: a second one, or NULL */
	const char *digest;	/* v3: what messages have when they do not say, or NULL */
	struct wp_tunnel tunnel[WP_TUNNELS];
	unsigned tunnels, last; /* `last`: the one that was touched last */
	uint8_t asked[1024];	/* my last Challenge, to check a response */
	size_t asked_len;
	uint8_t challenge[1024]; /* the engine's last Challenge, to answer it */
	size_t challenge_len;
	uint8_t vector[16]; /* the engine's last Random Vector and the Ns of its message */
	unsigned vector_ns;
	bool vector_seen;
};

/* Split at blanks outside of quotes, in place. The number of words. */
unsigned wp_split(char *line, char *words[WP_WORDS]);

/* Build; returns the length, or 0 with a message on stderr when the words make no sense. */
size_t wp_build(struct wire_peer *w, char **words, unsigned count, uint8_t *buf, size_t cap);

/* Tell what the engine sent, and learn ids and numbers from it. */
void wp_tell(struct wire_peer *w, const uint8_t *bytes, size_t len, char *ret, size_t cap);

/* The tunnel that goes by this id of the engine's, or NULL. */
struct wp_tunnel *wp_tunnel_of(struct wire_peer *w, uint32_t theirs);

/*
 * wire_digest.c: L2TPv3's way with secrets (RFC 3931 5.3, 5.4.1), by nettle alone.
 *
 * The hiding key; room for the digests that `kinds` asks for, as AVPs, returns the octets; then,
 * when the message is complete, the digests; and the words for those that a message has.
 */
void wp_hide_key(const char *secret, uint8_t ret[16]);
size_t wp_digest_room(const char *kinds, uint8_t *ret);
void wp_digest_sign(const struct wire_peer *w, const struct wp_tunnel *t, const char *kinds,
		    uint8_t *msg, size_t len, size_t at, bool first);
void wp_digest_tell(const struct wire_peer *w, const struct wp_tunnel *t, const uint8_t *msg,
		    size_t len, char *ret, size_t cap);

/* "x0aff" or "0aff" to octets; returns how many. */
size_t wp_hex(const char *text, uint8_t *ret, size_t cap);

#endif
