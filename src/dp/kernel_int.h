/* SPDX-License-Identifier: MIT
 *
 * Inside the kernel plane (kernel.h).
 *
 *   kernel.c        the interface: requests come in, news go out
 *   kernel_look.c   what is known of tunnels and sessions, and what is done next, in order per key
 *   kernel_end.c    sessions that end together
 *   kernel_work.c   the threads; jobs of tunnels, counters
 *   kernel_ppp.c    jobs of PPP sessions: pipe, channel, unit, joined pipes
 *   kernel_eth.c    jobs of Ethernet sessions, and addresses and routes of both kinds
 *   kernel_frame.c  PPP control frames up and down, what vanished
 *   kernel_netns.c  sockets in other namespaces
 *   kernel_stat.c   counters
 *   kernel_carry.c  all of it over an upgrade of the process
 *   kernel_text.c   errors in words, the encoding of tunnels
 *   kernel_probe.c  what this kernel can do
 *
 * Two kinds of threads. The owner's has all the objects below. A worker has a job, which is a copy
 * of what it needs, and touches nothing else; it may close only what it opened in the same job.
 * Descriptors of a session are known to the owner's thread from the end of the job that opened
 * them, are taken out of its epoll before the job that closes them, and so never mean something
 * else while the owner uses them.
 */
#ifndef ADIT_DP_KERNEL_INT_H
#define ADIT_DP_KERNEL_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/htab.h"
#include "base/list.h"
#include "base/wire.h"
#include "kernel.h"
#include "kernel_sys.h"
#include "nl_l2tp.h"

#define K_TXQLEN   100
#define K_INFLIGHT 4  /* jobs per worker that may be prepared */
#define K_RETRIES  40 /* of EEXIST after a deletion, of EBUSY while another interface is made */
#define K_EVENTS   64
#define K_ROW_MAX  DP_ROW_SAVE_MAX

/* How far a session is inside the kernel. */
enum kstage {
	K_NONE,
	K_PIPE,	  /* PPPoX socket, connected */
	K_UNIT,	  /* channel and unit */
	K_JOINED, /* its channel is bridged with its partner's */
	K_ETH
};

/* What a session has there. Descriptors -1, index 0 = none. */
struct khave {
	uint8_t stage; /* enum kstage */
	bool session;  /* made by netlink: to be deleted by netlink */
	int pppox, chan, unit;
	int ifindex;
	char ifname[DP_IFNAME];
};

struct kframe {
	struct list node;
	uint64_t key;
	uint16_t len;
	uint8_t bytes[];
};

/* A request of the owner, and then its completion. */
struct kreq {
	struct list node;
	enum kernel_op op;
	enum kernel_result result;
	uint64_t key, tunnel;
	uint32_t generation;
	int error, fd, ifindex;
	char ifname[DP_IFNAME];
	char *text; /* NULL = none */
	struct dp_counters counters;
	struct kernel_tunnel want;
	uint16_t len;
	uint8_t row[]; /* flat */
};

struct ktunnel {
	struct htab_node node;
	struct list all;
	struct list ready;    /* in k->ready_tunnels: it is to be looked at */
	struct list sessions; /* struct ksession.in_tunnel */
	struct list reqs;
	struct list gone; /* in k->gone_tunnels: the owner is to be told */
	uint64_t key;
	uint32_t generation;
	struct kernel_tunnel is; /* valid when `up` */
	int fd;
	uint32_t group;	   /* of its sessions' interfaces, 0 = none yet */
	uint32_t n, leave; /* sessions; those that are to be deleted */
	bool up, busy;	   /* in the kernel; a job is on its way */
	bool ending;	   /* no session may begin; it is deleted when the last one is gone */
	bool lost;	   /* ... without having been asked to */
	bool check;	   /* somebody may have deleted it: look */
	uint16_t looks;	   /* ... and again at these ticks, see ktunnel_check() */
	uint8_t ends;	   /* jobs on their way that end its sessions together */
	const char *why;   /* of `lost`, static */
	struct mono heard;
	struct kjob *job; /* on its way */
};

struct ksession {
	struct htab_node node, by_index;
	struct list all, in_tunnel, ready, reqs, gone;
	uint64_t key;
	struct ktunnel *tunnel;
	struct khave have;
	uint32_t generation;
	uint8_t *row; /* see krow_keep(); NULL before the first put is done */
	uint32_t local_session;
	uint32_t netns; /* of its interface */
	struct kjob *job;
	struct kreq *failing; /* a change failed: it completes when what was there is undone */
	const char *why;      /* of `end`, static */
	uint16_t row_len;     /* of the flat form */
	uint16_t looks;	      /* check, looks: as in struct ktunnel */
	bool check : 1;
	bool muted : 1;	     /* not read before the next tick */
	bool busy : 1;	     /* a job is on its way, or it is lent to that of its partner */
	bool end : 1;	     /* to be taken out of the kernel without having been asked to */
	bool leaving : 1;    /* counted in tunnel->leave */
	bool told : 1;	     /* ended by kernel_drop_all(): no news of it */
	bool indexed : 1;    /* in k->by_index */
	bool watched : 1;    /* its descriptors are in the epoll */
	bool joinable : 1;   /* DP_L2TP_L2TP, active, a pipe */
	bool grouped : 1;    /* it ends together with others, which makes it busy */
	struct mono shut_at; /* kmppe_seen() has shut it, us = 0: no */
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, errors;
	struct mono last_rx, last_tx;
	struct mono frames_at; /* see token() */
	uint32_t born, seen;   /* readings of counters: the one before it, the last that saw it */
};

enum kjob_kind {
	KJ_TUNNEL_MAKE,
	KJ_TUNNEL_MOVE,
	KJ_TUNNEL_END,
	KJ_TUNNEL_CHECK,
	KJ_GROUP_END, /* delete the interfaces of a group, then close `fds` */
	KJ_CLOSE,     /* close `fds`, by several workers */
	KJ_PUT,
	KJ_END,
	KJ_CHECK,
	KJ_STATS
};

struct kstat {
	int ifindex; /* 0: `key` tells whose it is */
	uint32_t netns;
	uint64_t key;
	uint32_t tunnel, session;
	bool read; /* `key`: the kernel answered */
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_errors, tx_errors;
};

/* A route of a session that ends, see kroutes_list(). */
struct kroute {
	struct prefix p;
	uint32_t table;
	int ifindex;
};

struct kjob {
	struct list node;
	enum kjob_kind kind;
	struct ktunnel *t; /* for the owner's thread alone */
	struct ksession *s, *partner;
	struct kreq *req; /* whose job this is, NULL = nobody's */
	uint64_t key;	  /* of the session */
	atomic_bool cancel;

	struct kernel_tunnel tunnel;
	int tunnel_fd;
	uint32_t group;
	uint16_t txqlen;
	uint32_t netns;
	char prefix[DP_IFNAME]; /* names of interfaces */
	bool first;		/* the session has nothing in the kernel */
	bool joining;		/* the partner is there: join them */
	bool shut;		/* kmppe_seen() has shut the session before */
	struct dp_row row, old;
	struct khave have, partner_have;
	struct kstat *stats;
	size_t stat_n, stat_max;
	bool stats_cut;	       /* the list changed while it was read */
	struct kroute *routes; /* of the group */
	size_t route_n;
	int *fds;
	size_t fd_n, fd_at;   /* the next one to be closed */
	unsigned int closers; /* workers that close some of them just now */

	enum kernel_result result;
	int error;
	char text[KERNEL_TEXT];
	struct list frames;
};

/* A thread that does nothing but close what waits for it, and then ends; kernel_end.c. */
#define K_CLOSERS 24
struct kcloser {
	struct kernel *k;
	pthread_t thread;
	bool running; /* it is to be joined */
	bool over;    /* ... and has nothing more to do */
};

/* A worker: its sockets. Those of namespaces are shared out by kernel_netns(). */
struct kwork {
	struct kernel *k;
	const struct kernel_sys *sys;
	unsigned int number;
	pthread_t thread;
	struct nlm_l2tp l2tp;
	struct nlm *rt[KERNEL_NETNS_MAX]; /* one for each namespace, [0] the plane's own */
	bool running;
	bool wiring;   /* it makes a pseudowire, and k->wiring says so */
	uint32_t seed; /* for delays */
};

struct knetns {
	uint32_t id;
	int fd;
	int packet; /* AF_PACKET: IPv6 of the link, -1 = none */
};

struct kernel {
	const struct kernel_sys *sys;
	struct kernel_config config;
	int epoll, wake, timer;
	struct htab tunnels, sessions, by_index;
	struct list all_tunnels, all_sessions;
	struct list ready_tunnels, ready_sessions;
	struct list done, gone_sessions, gone_tunnels, frames;
	bool ticking;	    /* `timer` is set */
	struct kreq *drop;  /* kernel_drop_all() in progress */
	struct kreq *stats; /* kernel_stats_read() in progress */
	struct kernel_stats_all count;
	uint32_t session_n, tunnel_n;
	uint32_t next_group, inflight, reading;
	uint8_t groups[(KERNEL_GROUP_COUNT + 1) / 8]; /* in use */
	struct mono now, frames_at;
	struct nlm_l2tp hints; /* the multicast group */
	struct knetns netns[KERNEL_NETNS_MAX];
	uint32_t netns_n;
	bool woken;	    /* the owner's thread was woken since it looked last */
	atomic_bool waking; /* `wake` was written, and not read yet */
	bool starved;	    /* out of memory: look again later */

	/* Events of the last epoll_wait() that were not looked at yet: what epoll kept for us (a
	 * session and which of its descriptors, or a small number), 0 = forget it. */
	struct {
		uint64_t what;
		uint32_t events;
	} events[K_EVENTS];
	int event_n, event_at, event_reads;
	struct kframe *frame; /* handed to the owner last */
	uint8_t buf[KERNEL_FRAME_MAX];

	/* Held while the kernel is asked for what takes the RTNL. There a worker would not sleep,
	 * but spin as long as another one that has it runs. */
	pthread_mutex_t links;

	/* Between the owner's thread and the workers. */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list jobs, wires, finished; /* wires: puts of pseudowires */
	struct list grouping, closing;	   /* jobs of these kinds */
	struct kcloser closers[K_CLOSERS];
	bool grouped; /* a worker deletes a group */
	bool stop;
	bool wiring; /* a worker makes one of them, the others leave them alone */
	struct kwork *workers;
	unsigned int worker_n;
	_Atomic uint64_t retries;
	_Atomic uint32_t names; /* numbers given to interfaces */
};

/* ---- kernel_look.c ---- */
struct kreq *kreq_new(enum kernel_op op, uint64_t key, uint32_t generation, size_t len);
void kreq_free(struct kreq *r);
void kreq_done(struct kernel *k, struct kreq *r, enum kernel_result result, int error,
	       const char *text);
struct kreq *kreq_first(const struct list *reqs);
struct ktunnel *ktunnel_new(struct kernel *k, uint64_t key);
struct ksession *ksession_new(struct kernel *k, uint64_t key);
/* Its row: most of the octets of the flat form are zero, and there is one for every session, so it
 * is kept as zeros.h says. Keeping fails with -ENOMEM, and the former row stays. */
int krow_keep(struct ksession *s, const uint8_t *flat, size_t len);
void krow_forget(struct ksession *s);
/* The flat form into `buf` (K_ROW_MAX octets); its length, 0 = none. */
size_t krow_flat(const struct ksession *s, uint8_t *buf);
bool krow_load(const struct ksession *s, struct dp_row *ret); /* false: none */
uint64_t krow_partner(const struct ksession *s);	      /* 0: none */
void ktunnel_free(struct kernel *k, struct ktunnel *t);
struct kjob *kjob_new(enum kjob_kind kind);
void kjob_free(struct kjob *j); /* NULL is fine */
void ksession_free(struct kernel *k, struct ksession *s);
void ksession_leaves(struct ksession *s);
void ksession_enter(struct ksession *s, struct ktunnel *t); /* it is one of the tunnel's */
void ksession_up(struct kernel *k, struct ksession *s);	    /* listen to what it has now */
void ksession_ended(struct kernel *k, struct ksession *s);  /* the kernel has nothing of it */
void kframes_free(struct list *frames);
/* A job came back. */
void klook_finished(struct kernel *k, struct kjob *j);
/* Look at all that wants it. */
void klook(struct kernel *k);
struct ksession *ksession_find(const struct kernel *k, uint64_t key);
struct ktunnel *ktunnel_find(const struct kernel *k, uint64_t key);
/* Take it out of the kernel and tell the owner; `why` is a static sentence. */
void ksession_lost(struct kernel *k, struct ksession *s, const char *why);
void ktunnel_lost(struct kernel *k, struct ktunnel *t, const char *why);
/* Look at it again when there is time. */
void ksession_ready(struct kernel *k, struct ksession *s);
void ktunnel_ready(struct kernel *k, struct ktunnel *t);
/* The kernel tells of a deletion when it has queued it (of sessions since 6.12): what is still
 * there may be gone a moment later. What it told of is looked at more often than all that a lost
 * notification may have been about. */
#define LOOKS_TOLD 0x20bu
#define LOOKS_LOST 0x081u
/* Somebody may have deleted it: ask the kernel, at the ticks that are set in `looks` (bit 0 is now,
 * each further one 100 ms later). */
void ksession_check(struct kernel *k, struct ksession *s, unsigned int looks);
void ktunnel_check(struct kernel *k, struct ktunnel *t, unsigned int looks);
void klook_tick(struct kernel *k); /* 100 ms are over */
void kernel_wake(struct kernel *k);

/* ---- kernel_end.c ---- */
/* When all sessions of the tunnel are on their way out, and enough of them: begin to end them. */
bool kend_begin(struct kernel *k, struct ktunnel *t);
void kend_finished(struct kernel *k, struct kjob *j);
/* On a worker, with the lock held: close some of what waits for it. False: nothing does. */
bool kend_closes(struct kernel *k);
void kend_stop(struct kernel *k); /* wait until all is closed */

/* ---- kernel_stat.c ---- */
void kstat_one(struct kernel *k, struct ksession *s, const struct kstat *st);
void kstat_merge(struct kernel *k, struct kjob *j);
void kstat_counters(const struct ksession *s, struct dp_counters *ret);
int kstat_job(struct kernel *k);

/* ---- kernel_work.c ---- */
int kwork_start(struct kernel *k);
void kwork_stop(struct kernel *k);
void kwork_push(struct kernel *k, struct kjob *j);
struct kjob *kwork_finished(struct kernel *k);	   /* NULL = none */
void kwork_done(struct kernel *k, struct kjob *j); /* on a worker, with the lock held */

bool kjob_cancelled(struct kjob *j);
/* The job ends like this. Returns `err`. */
int kjob_fail(struct kjob *j, enum kernel_step step, int err, const char *name);
void kjob_note(struct kjob *j, const struct nlm *m); /* add the kernel's own words */
/* Wait before another try; false when there were enough. */
bool kwork_again(struct kwork *w, unsigned int *tries);
struct nlm *kwork_rt(struct kwork *w, uint32_t netns); /* NULL = unknown namespace */
int kwork_netns_fd(struct kwork *w, uint32_t netns);   /* -1 = the plane's own */
int kstat_add(struct kjob *j, const struct kstat *st);

/* ---- kernel_ppp.c ---- */
int kppp_put(struct kwork *w, struct kjob *j);
void kppp_end(struct kwork *w, struct kjob *j, struct khave *h, const struct dp_row *r);

/* CCP frames on their way down arm the kernel's MPPE, see there. 0 or negative errno. */
int kmppe_peek(struct kernel *k, struct ksession *s, const uint8_t *frame, size_t len);
/* A frame has come up: may it have switched encryption off, then nothing passes any more until the
 * owner has put a row. */
void kmppe_seen(struct kernel *k, struct ksession *s, const uint8_t *frame, size_t len);

/* ---- kernel_eth.c ---- */
int keth_put(struct kwork *w, struct kjob *j);
/* Addresses and routes of the row that `old` has not are added, the others of `old` removed. Either
 * may be NULL. `up`: the interface goes up before. */
int kroutes_put(struct kwork *w, struct kjob *j, const struct dp_row *old, const struct dp_row *r,
		bool up);
int kmaster(struct kwork *w, struct kjob *j, int *ret_index);
/* Routes to single prefixes that a row of this namespace has put: DP_PREFIXES at most. Remove so
 * many of them. */
size_t kroutes_list(const struct dp_row *r, int ifindex, struct kroute v[DP_PREFIXES]);
void kroutes_drop(struct kwork *w, const struct kroute *v, size_t n);

/* ---- kernel_frame.c ---- */
int kframe_open(struct kernel *k);
/* A socket for the IPv6 of PPP links, in the namespace this thread is in; -1 = none. Without it a
 * session has no router advertisements and no DHCPv6, and all else works. */
int kframe_packet(const struct kernel_sys *sys);
void kframe_watch_packet(struct kernel *k, uint32_t slot);
void kframe_close(struct kernel *k);
void kframe_tick(struct kernel *k); /* klook_tick() is to be called in 100 ms */
void kframe_watch(struct kernel *k, struct ksession *s);
void kframe_unwatch(struct kernel *k, struct ksession *s);
void kframe_unmute(struct kernel *k, struct ksession *s); /* a tick is over */
/* The next frame that came; false when none is there. Bounded work. */
bool kframe_next(struct kernel *k, struct kernel_news *ret);
/* The session that has this interface, NULL = none. */
struct ksession *kframe_session(const struct kernel *k, uint32_t netns, int ifindex);
uint64_t kframe_index_hash(const struct kernel *k, uint32_t netns, int ifindex);

#endif
