/* SPDX-License-Identifier: MIT
 *
 * One data plane made of two: sessions are carried by the kernel where it can, and in user space
 * where it cannot, each with the reason why.
 *
 * A tunnel is given to the kernel plane when it comes up, unless the configuration says otherwise;
 * its sessions follow it. A session that the kernel plane refuses goes to the user-space plane when
 * its tunnel is DP_WANT_AUTO, and fails when it is DP_WANT_KERNEL. One that has already sent much
 * data with sequence numbers goes to user space in both cases: the kernel counts from 0. Once
 * a session is somewhere it stays there. The tunnel's own socket, which the kernel plane makes, is
 * read by the user-space plane, as the listeners are: so whatever the kernel does not take reaches
 * the engine, and a session in user space may share a tunnel with others in the kernel.
 */
#ifndef ADIT_DP_AUTO_H
#define ADIT_DP_AUTO_H

#include "circuit.h"
#include "dp.h"

struct dp_auto_config {
	struct dp *user;   /* user.h, or one that can `attach` */
	struct dp *kernel; /* remote.h, or NULL */
	const char *why;   /* why it is of no use, copied; NULL = it is */
	/* Let `user` read the connected socket of a tunnel as well, which came by listener `via`;
	 * a duplicate is made of `fd`. `detach` ends it. */
	int (*attach)(struct dp *user, uint32_t tunnel, uint32_t via, int fd);
	void (*detach)(struct dp *user, uint32_t tunnel);
	/* The kernel carries the session of L2TPv3 over IP with this id of ours, or does not any
	 * more: dp_user_elsewhere(). NULL: `user` need not know. */
	void (*elsewhere)(struct dp *user, uint32_t session, bool is);
	/* See that dp_ops.fd becomes readable when `fd` has news (dp_user_wake()); NULL = nobody
	 * tells of circuits by himself. */
	int (*wake)(struct dp *user, int fd);
	void (*awake)(struct dp *user); /* dp_user_awake(); NULL where `wake` is */
	uint8_t hash_key[16];		/* random */
};

/* NULL: out of memory; then the planes stay the caller's. Both are asked which rows they have. */
struct dp *dp_auto_new(const struct dp_auto_config *config);

/* Whether any tunnel of the configuration may be carried in user space, by the kernel: what is
 * needed for the net (addresses, routes of pools) is set up in these planes alone. For `net`. */
void dp_auto_use(struct dp *dp, bool user, bool kernel);

/* As dp_auto_config.elsewhere, of a session that the kernel has from somebody else. */
void dp_auto_elsewhere(struct dp *dp, uint32_t session, bool is);

/* Why there is no kernel plane, "" = there is one. */
const char *dp_auto_missing(const struct dp *dp);

/*
 * The kernel plane that was of no use so far (dp_auto_config.why) can be used from now on (NULL),
 * or it cannot for another reason. Sessions stay where they are; new ones of a tunnel may go there
 * once the tunnel is asked for again. -ENOMEM: it stays unused.
 */
int dp_auto_kernel(struct dp *dp, const char *why);

/* As circuits_watch(), circuits_unwatch() and circuits_link() (circuit.h), of the interfaces of
 * pseudowires, whoever carries them. */
int dp_auto_watch(struct dp *dp, const char *ifname);
void dp_auto_unwatch(struct dp *dp, const char *ifname);
bool dp_auto_link(const struct dp *dp, const char *ifname, struct circuit_link *ret);

#endif
