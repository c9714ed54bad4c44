/* SPDX-License-Identifier: MIT
 *
 * The control side of the user-space plane, inside: user.c (the operations of dp.h, sockets,
 * punts), job.c (requests that take several steps at the host), device.c (who has a device of its
 * own).
 */
#ifndef ADIT_DP_USER_INT_H
#define ADIT_DP_USER_INT_H

#include "base/htab.h"
#include "base/list.h"
#include "forward.h"
#include "item.h"
#include "user.h"

enum job_op {
	JOB_PUT = DP_OP_PUT,
	JOB_DEL = DP_OP_DEL,
	JOB_NET = DP_OP_NET,
	JOB_SHARED, /* our own: open the shared device */
	JOB_AGAIN   /* our own: see that what a row asks for at the host is there */
};

enum job_phase {
	JOB_BEGIN,
	JOB_QUIET, /* until the forwarding thread has let go of `fd` */
	JOB_OPEN,  /* tun_open */
	JOB_LINK,  /* link_up */
	JOB_ADD,   /* items of the new row or net that the old has not; `at` counts up */
	JOB_COMMIT,
	JOB_REMOVE, /* items of the old that the new has not; `at` counts down */
	JOB_GONE,   /* tun_gone */
	JOB_WAIT,   /* until the forwarding thread has let go of the slot */
	JOB_END
};

/*
 * A request on its way. It is in u->keys (head of the queue of its key) while at work, and in one
 * of the lists: `asking` (the host), `shared_wait` (for the shared device), `quiet` (for the
 * forwarding thread), then `done`.
 */
struct job {
	struct htab_node node;
	struct list link;
	struct job *next; /* later ones for the same key */
	enum job_op op;
	enum job_phase phase;
	uint64_t key;
	uint32_t generation;
	uint32_t slot;
	uint32_t ask;	 /* id of the request at the host */
	uint64_t tag;	 /* what to wait for, see qsbr.h */
	int fd;		 /* to be closed after it, -1 = none */
	unsigned int at; /* item at work */
	bool fresh;	 /* PUT: there was no row before */
	bool undo;	 /* it failed: remove what was added */
	bool picked;	 /* the name of the device is ours to choose */
	uint32_t picks;
	bool held;  /* DEL: the slot keeps its counters until job_committed() */
	bool made;  /* the device was opened by this job */
	bool lost;  /* SHARED, AGAIN: its device was there before, and is gone */
	bool stays; /* AGAIN: its device is as it was set up, or as others have made it since */
	bool later; /* its phase is tried again when the forwarding thread was quiet */
	uint8_t routed, old_routed;
	int error;
	char text[DP_TEXT];
	char ifname[DP_IFNAME];
	struct dp_counters counters;
	struct dp_row row, old;
	struct dp_net *net, *old_net; /* NET, SHARED */
};

/* A session of a client: it has a device of its own. */
struct client {
	struct list link;
	uint32_t slot;
	char name[DP_IFNAME];
};

struct user_sock {
	bool closing;
	int fd; /* our duplicate */
	uint64_t tag;
};

enum shared_state { SHARED_NONE, SHARED_OPENING, SHARED_OPEN };

struct user {
	struct dp dp;
	struct dp_host_ops host_ops;
	void *host;
	char ifname[DP_IFNAME];
	void *own_table; /* to unmap, NULL = the caller's */
	size_t own_size;
	struct qsbr qsbr;
	struct fwd fwd;
	struct dpt *table;

	struct htab keys; /* struct job */
	struct list asking, shared_wait, quiet, done;
	struct list ended; /* deletions given out whose slots are held */
	bool keep_ended;
	struct list clients;
	uint32_t ask; /* last id */
	enum shared_state shared;
	uint16_t shared_mtu;
	struct dp_net net;
	struct fwd_bucket losses; /* of devices: so often we open one again */

	struct user_sock socks[FWD_SOCKS];
	uint32_t closing;
	struct list leaving; /* of attach.c */
	bool peeked;	     /* the oldest record of the ring was given out */
};

/* attach.c: close what the forwarding thread has let go of. */
void attach_poll(struct user *u);
void attach_free(struct user *u);

/* device.c: does a session, or the shared device, have this name? */
bool device_used(const struct user *u, const char *name);
/* The first of "adit1", "adit2", ... that nobody has, leaving out `skip` of them. */
void device_pick(const struct user *u, uint32_t skip, char ret[DP_IFNAME]);
/* The session of a slot has the device `name`; false when out of memory. It has it no more. */
bool device_add(struct user *u, uint32_t slot, const char *name);
void device_drop(struct user *u, uint32_t slot);
void devices_free(struct user *u);

/* pin.c: does a session other than `key` need the pin of `to`? Walks over all rows. */
bool pin_shared(const struct user *u, uint64_t key, const struct addr *to);

/* Queue a request; the structure becomes the plane's. -ENOMEM. */
int job_start(struct user *u, struct job *j);
struct job *job_new(enum job_op op, uint64_t key, uint32_t generation);
void job_free(struct job *j);

/* Give the slots of all deletions back that were given out. */
void job_committed(struct user *u);

/* Finish what the forwarding thread has let go of. */
void job_poll(struct user *u);

/* The answer of the host. */
void job_answered(struct user *u, uint32_t id, int error, const char *text, int fd);

/* What the table has at the start: open the devices. A device that was lost: the same again. */
void job_recover(struct user *u);
void job_lost(struct user *u, uint32_t dev);

#endif
