/* SPDX-License-Identifier: MIT
 *
 * The user-space data plane: TUN devices, the UDP sockets of the listeners and one forwarding
 * thread of its own. Works on any kernel, needs no right once the devices are open.
 */
#ifndef ADIT_DP_USER_H
#define ADIT_DP_USER_H

#include "dp.h"
#include "host.h"

/* A token bucket: packets a second and how many at once. Zeros mean the default. */
struct dp_rate {
	uint32_t per_s, burst;
};

struct dp_user_config {
	const struct dp_host_ops *host_ops;
	void *host; /* first argument of host_ops */

	const char *ifname; /* the shared TUN of all sessions terminated here; NULL = "adit0". A
			       session of a client gets the name its row asks for, or the first free
			       of "adit1", "adit2", ... */

	/* The session table: memory shared with whoever outlives this process, zeroed at first use,
	 * at least dp_user_table_size(); it must stay mapped until free. NULL: memory of its own,
	 * nothing survives. Sessions found in it are forwarded again as soon as their sockets are
	 * given (listen); dp list tells their keys. A table of another version, or one that is
	 * damaged, is made anew and starts empty. */
	void *table;
	size_t table_size;
	uint32_t max_sessions; /* without a table: its size, 0 = 10,000. With one: as many as the
				  table was made for */

	uint8_t hash_key[16]; /* random */

	bool keep_ended; /* the owner calls `committed` (dp.h): until then the counters of a deleted
			    session stay in the table */

	/* Limits of what comes up to the control plane. */
	struct dp_rate control;	    /* control messages of known sources (see `trust` in dp.h):
				       200,000/s, 65,536 */
	struct dp_rate unproven;    /* the same of others: 20,000/s, 2,000 */
	struct dp_rate asker;	    /* requests for a tunnel, without a tunnel id, of known
				       sources: 20,000/s, 4,000 */
	struct dp_rate stranger;    /* the same of others, so anybody's: 2,000/s, 500 */
	struct dp_rate negotiation; /* PPP control frames of sessions the plane does not forward
				       yet: 100,000/s, 65,536 */
	struct dp_rate unknown; /* any other data of unknown sessions: 100/s, 100 of each version */
	struct dp_rate frames;	/* PPP and LOCAL of active sessions: 20,000/s, 20,000 */
	struct dp_rate session; /* the same for one session: 100/s, 100 */

	uint32_t no_offload; /* DP_OFFLOAD_* that are not to be used */

	size_t ring; /* octets of the queue of punts, a power of two; 0 = by max_sessions */
};

/* Size of a table for so many sessions; memory that is not used yet is never touched. */
size_t dp_user_table_size(uint32_t max_sessions);

/*
 * Starts the forwarding thread (which blocks all signals). May already call host_ops. NULL with
 * errno: EINVAL (table too small), ENOMEM, or what a system call said. dp->ops->free() ends the
 * thread and leaves table, devices, addresses and routes as they are: the next plane takes over.
 */
struct dp *dp_user_new(const struct dp_user_config *config);

/* Is every device of the sessions that were found in the table open, or known not to be? Before
 * that, packets for them would be dropped. */
bool dp_user_ready(const struct dp *dp);

/* Read the socket of tunnel `tunnel` (our id), which another plane carries, as if it were listener
 * `via`; `fd` stays the caller's. One that was attached before is let go. 0 or a negative errno;
 * -ENOSPC: there is no place left near those of other tunnels with the same last 16 bits. */
int dp_user_attach(struct dp *dp, uint32_t tunnel, uint32_t via, int fd);

/* The session of L2TPv3 over IP with this id of ours is carried by another plane, or not any more:
 * a raw socket is given its data, too, which is not looked at. */
void dp_user_elsewhere(struct dp *dp, uint32_t session, bool is);
void dp_user_detach(struct dp *dp, uint32_t tunnel);

/* Let the plane's descriptor (dp_ops.fd) become readable, too, when `fd` has something to read;
 * `fd` stays the caller's and open. 0 or a negative errno. */
int dp_user_wake(struct dp *dp, int fd);
/* All that such descriptors have will be read now: what comes from here on wakes again. Until this
 * is called after such news the plane's descriptor stays readable. */
void dp_user_awake(struct dp *dp);

/*
 * The answer to a request of host_ops. `error` is 0 or a positive or negative errno, `text` says it
 * in words (may be NULL). `fd` is the descriptor of tun_open, else -1; it becomes the plane's.
 */
void dp_user_host_done(struct dp *dp, uint32_t id, int error, const char *text, int fd);

/* The device that a socket is bound to (an index), and the cookie of its network namespace; 0:
 * none, or the kernel does not tell (before Linux 5.0 and 5.14). */
void dp_user_place(int fd, int *ret_device, uint64_t *ret_room);

#endif
