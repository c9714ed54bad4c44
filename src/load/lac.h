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
};

struct lac_stats {
	uint32_t tunnels_up, setting_up, up, failed;
	uint32_t dropped;   /* were up and ended before lac_close() */
	const char *reason; /* of the first failure, "" = none; valid with the lac */
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

/* No further session is begun; all tunnels are closed. */
void lac_close(struct lac *c, struct mono now);
void lac_stats(const struct lac *c, struct lac_stats *ret);

/* Set-up times of the sessions that came up, in microseconds, in the order they came up. */
const int64_t *lac_latencies(const struct lac *c);

#endif
