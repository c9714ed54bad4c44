/* SPDX-License-Identifier: MIT
 *
 * A LAC without a data plane, for load: brings PPP sessions up in tunnels to an LNS, a bounded
 * number at a time, on the engines of adit/l2tp.h and adit/ppp.h. It does no I/O itself (adit-load
 * gives it sockets, bench/engine.c joins it to an LNS in memory); the contract is that of types.h,
 * with events drained inside.
 */
#ifndef ADIT_LOAD_LAC_H
#define ADIT_LOAD_LAC_H

#include <adit/l2tp.h>
#include <adit/ppp.h>

struct lac;

#define LAC_PACKET_MAX (L2TP_HEADROOM + PPP_FRAME_MAX)

struct lac_config {
	uint8_t seed[32];
	const char *host_name, *secret; /* secret NULL = none */
	const char *user, *password;
	uint32_t tunnels, sessions; /* sessions go round the tunnels */
	uint32_t window;	    /* set-ups under way at a time */
	bool ip6;		    /* a session is up when IPv6 is up, too */

	/* Traffic: echo requests to the LNS's address inside, from every session that is up. */
	uint32_t pings;	     /* a second and session, 0 = none */
	uint32_t ping_count; /* so many of a session, then it is quiet; 0 = no limit */
	bool calm;	     /* none of that, and nothing of the next, before lac_calm(false) */

	/* Sessions that come and go besides: each is up for a second or so, is quiet for a moment,
	 * is ended by us (one time by CDN, one time by PPP) and begins again. They begin when all
	 * others are up. */
	uint32_t churn;
	bool record; /* keep what became of every session: lac_record() */
};

/* What became of one session. */
struct lac_record {
	uint32_t number;
	uint16_t local_tunnel, local_session, remote_tunnel, remote_session;
	uint8_t ip4[4];
	bool was_up, ours; /* we ended it */
	enum adit_cause cause;
	int64_t up_us;					       /* how long it was up */
	uint64_t sent, sent_octets, received, received_octets; /* IP packets */
};

struct lac_stats {
	uint32_t tunnels_up, setting_up, up, failed;
	uint32_t dropped;		/* were up and ended before lac_close() */
	uint32_t churned, churn_failed; /* of those that come and go: ended by us, never up */
	uint32_t churn_dropped;		/* were up, and not ended by us */
	uint64_t asked, answered;	/* echo requests that left; IP packets that came */
	const char *reason;		/* of the first failure, "" = none; valid with the lac */
};

/* NULL with *ret_err = -ENOMEM or -EINVAL. */
struct lac *lac_new(const struct lac_config *config, int *ret_err);
void lac_free(struct lac *c);

/* Open tunnel number `path->via` (0 .. tunnels-1) over this path. -ENOMEM. */
int lac_open(struct lac *c, struct mono now, const struct path *path);
void lac_input(struct lac *c, struct mono now, const struct path *path, const uint8_t *bytes,
	       size_t len);
void lac_expire(struct lac *c, struct mono now);
struct mono lac_deadline(const struct lac *c);

/* The next packet: its length and place in `buf` (LAC_PACKET_MAX octets), 0 when there is none. */
size_t lac_output(struct lac *c, struct mono now, uint8_t *buf, size_t *ret_off,
		  struct path *ret_path);

/* `calm`: no further session comes or goes, and none sends data any more. */
void lac_calm(struct lac *c, bool calm);

/* No further session is begun; all tunnels are closed. */
void lac_close(struct lac *c, struct mono now);

/* Is everything that was closed acknowledged? */
bool lac_closed(const struct lac *c);

/* The `index`-th session that has ended (lac_config.record), NULL at the end. */
const struct lac_record *lac_record(const struct lac *c, size_t index);
void lac_stats(const struct lac *c, struct lac_stats *ret);

/* Set-up times of the sessions that came up, in microseconds, in the order they came up. */
const int64_t *lac_latencies(const struct lac *c);

#endif
