/* SPDX-License-Identifier: MIT
 *
 * Two PPP engines joined by a wire in memory, in virtual time: for the unit tests of src/ppp.
 *
 * Side 0 is the server (assigns addresses), side 1 the client, unless a test says otherwise. Each
 * side's owner answers questions at once, or after `answer_us`, from the fields of struct side. The
 * wire delays every frame by `delay_us` and loses or doubles some, by a seeded generator.
 */
#ifndef ADIT_TEST_PPP_PAIR_H
#define ADIT_TEST_PPP_PAIR_H

#include <adit/ppp.h>

#define PAIR_WIRE 512

struct side {
	struct ppp *e;
	adit_handle link;
	struct ppp_addresses wish; /* OPEN */

	/* the owner's answers */
	const char *user, *password; /* who may log in */
	struct ppp_addresses give;
	bool never_ip4;		   /* OPEN */
	bool no_ip4, no_ip6, mute; /* mute: questions are counted, not answered */
	bool no_go;		   /* NCP_READY is not answered */
	bool no_mppe;		   /* the data plane cannot encrypt */
	int64_t answer_us;
	enum adit_cause refuse; /* answer every question with this cause */
	const char *say;	/* text of the answer */

	/* what happened */
	unsigned lcp_ups, asks, auth_ups, readies, ip_ups, ip6_ups, ip_downs, ip6_downs, notes,
		downs;
	unsigned ccp_readies, ccps;
	unsigned sent, got_ip, dropped, failures;
	struct ppp_addresses ip_addresses, ip6_addresses;
	enum adit_cause cause;
	bool by_peer;
	char text[PPP_TEXT_MAX], note[PPP_TEXT_MAX];
	uint16_t mru_in, mru_out;
	bool acfc_out, pfc_out;
	uint32_t ask;
	int64_t answer_at; /* INT64_MAX = no answer under way */
	bool answer_ok;
	struct ppp_proof proof;
};

struct pair {
	struct mono now;
	struct side s[2];
	int64_t delay_us;
	unsigned loss, dup; /* per thousand */
	uint64_t random;
	bool cut; /* nothing arrives any more */
	struct wire {
		int64_t at;
		unsigned to;
		size_t len;
		uint8_t bytes[PPP_FRAME_MAX];
	} wire[PAIR_WIRE];
	unsigned wires;
	/* sees each frame as it is sent; false = lose it */
	bool (*tap)(struct pair *p, unsigned from, const uint8_t *frame, size_t len);
	void *tap_arg;
};

/* Fills in the usual: user "alice", password "secret", addresses. */
void pair_init(struct pair *p, uint64_t seed);
void pair_free(struct pair *p);

struct ppp_params pair_params(unsigned side);

/* Open a link on one side; returns ppp_do()'s result. */
int pair_open(struct pair *p, unsigned side, const struct ppp_params *params);
void pair_open_both(struct pair *p, const struct ppp_params *server,
		    const struct ppp_params *client);

/* Let `us` of virtual time pass. */
void pair_run(struct pair *p, int64_t us);
void pair_close(struct pair *p, unsigned side, enum adit_cause cause);

/* Give `frame` to a side's engine as if it came from the wire now, and drain. */
int pair_inject(struct pair *p, unsigned side, const void *frame, size_t len);
void pair_drain(struct pair *p, unsigned side);
bool pair_info(struct pair *p, unsigned side, struct ppp_info *ret);

#endif
