/* SPDX-License-Identifier: MIT
 *
 * The kernel data plane: L2TP tunnels and sessions by generic netlink, PPP sessions by PPPoX and
 * /dev/ppp, Ethernet pseudowires, their interfaces and routes by rtnetlink. For the keeper, which
 * has the privilege (CAP_NET_ADMIN, CAP_NET_RAW), and for the test driver.
 *
 * Theory of operation. The owner calls from one thread. A request (tunnel or session, put or
 * delete) names a key and a generation; it is queued under its key, carried out by one of eight
 * threads of the plane's own, and has exactly one completion. Requests for one key are carried out
 * in order, those for different keys side by side: kernel calls here wait for RCU grace periods
 * and the RTNL, and the waits overlap. The owner polls one descriptor (kernel_fd()) and then takes
 * news (kernel_next()) until there are none.
 *
 * Whatever the plane puts into the kernel carries a mark (KERNEL_PROTO() on routes and
 * addresses, an interface group of KERNEL_GROUP()); what was there before it is never touched.
 * Tunnels, sessions and descriptors are the plane's alone. They last as long as the plane does:
 * when the process that holds it ends, the kernel ends them.
 *
 * States of a PPP session, by its row:
 *   DP_PREPARED              a PPPoX pipe: one descriptor, no interface. Every PPP frame comes up
 *                            as news and frames of the owner go down it. For sessions whose frames
 *                            do not reach the tunnel's socket while the kernel does not know the
 *                            session: IP encapsulation, and data with sequence numbers.
 *   DP_ACTIVE                channel and unit (an interface) are attached; nothing is forwarded
 *                            until DP_F_IP4 or DP_F_IP6 is set, and then only that family. May
 *                            be put at once, without DP_PREPARED: frames that came before the put
 *                            were read from the tunnel's socket by its owner, frames that come
 *                            later come up as news, and none is lost between the two.
 *   DP_ACTIVE, DP_L2TP_L2TP  the pipe joined with that of row.partner inside the kernel; the
 *                            joining happens when the second of the two is put. No frame comes up.
 * A row of DP_L2TP_ETH has an interface named row.ifname (or one the plane names) from DP_PREPARED
 * on, which is set up at DP_ACTIVE.
 *
 * What of a row is used: ids, version, encap, sequencing, cookies, l2spec, mtu, txqlen, ifname,
 * master, netns, prefixes and routes (as routes), host_addrs, peer4, source4, table, metric,
 * MPPE, partner. Not here: rates, MSS, DP_F_ANTISPOOF (the kernel's reverse path filter), pinning
 * of the peer (net.h of the keeper), and first_nr (the kernel takes the first number it sees). It
 * counts what it sends from 0: so a session with numbers is better put as DP_PREPARED before its
 * first frame is sent. With first_ns, DP_NS_MOST at most, so many frames go before that nobody
 * misses.
 */
#ifndef ADIT_DP_KERNEL_H
#define ADIT_DP_KERNEL_H

#include "base/dp_types.h"

/* Protocol of routes and addresses, for each keeper of a network namespace one of its own (net.h of
 * the keeper). */
#define KERNEL_PROTO(number)   ((uint8_t)((number) == 1 ? 0xad : 0x9d + (number)))
#define KERNEL_PROTO_IS(proto) ((proto) >= 0x9f && (proto) <= 0xad)
/* Interface groups, one for each tunnel slot: those whose upper 16 bits are kernel_config.groups.
 * Whoever else uses the same loses its interfaces. */
#define KERNEL_GROUPS	       0x0ad1 /* by default, and the first of those that may be */
#define KERNEL_GROUPS_LAST     0x0adf /* dist/70-adit.rules knows all of these */
#define KERNEL_GROUPS_OK(of)   ((of) >= KERNEL_GROUPS && (of) <= KERNEL_GROUPS_LAST)
#define KERNEL_GROUP(of, i)    ((uint32_t)(of) << 16 | (i))
#define KERNEL_GROUP_COUNT     0xffffu /* for tunnels; the next one is that of Ethernet */
#define KERNEL_GROUP_LAST(of)  KERNEL_GROUP(of, KERNEL_GROUP_COUNT)
#define KERNEL_GROUP_IS(of, g) ((g) >> 16 == (of))

#define KERNEL_TEXT	 256  /* a sentence with its remedy */
#define KERNEL_FRAME_MAX 2048 /* longest PPP control frame that is taken up */
#define KERNEL_WORKERS	 8    /* measured on two CPUs: 1 -> 50 a second, 8 -> 370, 64 -> 95 */
#define KERNEL_NETNS_MAX 64

struct kernel;
struct kernel_sys;

/* ---- what this kernel can do ---- */

enum kernel_gap {
	KERNEL_GAP_GENL,      /* no generic netlink family "l2tp": nothing works */
	KERNEL_GAP_NET_ADMIN, /* no CAP_NET_ADMIN here */
	KERNEL_GAP_PPP_NODE,  /* /dev/ppp is missing or not to be opened */
	KERNEL_GAP_PPPOL2TP,  /* no sockets AF_PPPOX for L2TP */
	KERNEL_GAP_PPP,	      /* no generic PPP behind /dev/ppp */
	KERNEL_GAP_ETH,	      /* no Ethernet pseudowires */
	KERNEL_GAP_IP4,	      /* no L2TPv3 over IPv4 (protocol 115) */
	KERNEL_GAP_IP6,	      /* no L2TPv3 over IPv6 */
	KERNEL_GAP_UDP6,      /* no IPv6 */
	KERNEL_GAP_MPPE,      /* no ppp_mppe */
	KERNEL_GAP_BRIDGE,    /* no PPPIOCBRIDGECHAN (5.11): no switching of tunnels */
	KERNEL_GAP_TUPLE,     /* one tunnel per pair of addresses and ports (before 6.10) */
	KERNEL_GAP_NAMESPACE, /* L2TP does not work in this network namespace */
	KERNEL_GAP_COUNT
};

struct kernel_probe {
	uint32_t gaps; /* bit 1 << enum kernel_gap for each that is there */
	/* What differs by version and is no gap. */
	bool icmp_errors;     /* the tunnel's socket tells ICMP errors (6.10) */
	bool async_delete;    /* a deleted session's id is free only a little later (6.12) */
	bool gchan_drains;    /* frames queued on a pipe survive the hand-over to the channel */
	bool socket_reusable; /* a socket carries another tunnel once the first is deleted (6.12) */
	char release[65];     /* of the kernel, for people only: nothing is decided by it */
};

#define KERNEL_HAS_GAP(p, gap) (((p)->gaps >> (gap)) & 1)

/* What is missing, in one sentence, and the command or setting that mends it ("" = none does). Both
 * are static texts. */
const char *kernel_gap_text(enum kernel_gap gap);
const char *kernel_gap_remedy(enum kernel_gap gap);
/* A stable name for JSON: "l2tp-netlink", "dev-ppp", ... */
const char *kernel_gap_name(enum kernel_gap gap);

/* Try everything out, on loopback, in this process's network namespace; leaves nothing behind.
 * Loads modules if the kernel is allowed to. Takes some 100 ms. `sys` NULL = the real system calls.
 * 0, or a negative errno when not even the trying was possible. */
int kernel_probe(const struct kernel_sys *sys, struct kernel_probe *ret);

/*
 * Whether a kernel with these gaps can carry a tunnel or a row. 0 = yes; else 1, and `text`
 * (KERNEL_TEXT) says why not, for the log and `adit show session`. Never looks at what is there
 * already: a second tunnel between the same addresses and ports is refused by kernel_tunnel_put().
 */
struct kernel_tunnel;
int kernel_can_tunnel(const struct kernel_probe *p, const struct kernel_tunnel *t, char *text);
int kernel_can_row(const struct kernel_probe *p, const struct dp_row *r, char *text);

/* ---- opening ---- */

struct kernel_config {
	const struct kernel_sys *sys; /* system calls, NULL = the real ones; tests give their own */
	struct kernel_probe probe;    /* as kernel_probe() found it */
	unsigned int workers;	      /* 0 = KERNEL_WORKERS */
	char ifname[DP_IFNAME]; /* PPP interfaces without a name of their own are called this and a
				   number; "" = the kernel's "ppp" and a number */
	uint16_t txqlen;	/* of interfaces whose row says 0; 0 = 100 (the kernel's 3 is
				   too short for any qdisc) */
	uint32_t frames_per_s;	/* control frames taken up of one session, 0 = 100 */
	uint32_t frames_all_per_s; /* of all together, 0 = 20,000 */
	uint32_t sessions_max;	   /* 0 = 100,000 */
	uint16_t groups; /* which interface groups, KERNEL_GROUPS..KERNEL_GROUPS_LAST; 0 = first */
	uint8_t proto;	 /* of routes and addresses, 0 = KERNEL_PROTO(1) */
};

/* NULL with errno. Raises the process's limit of descriptors to what it may be: a PPP session takes
 * three. */
struct kernel *kernel_new(const struct kernel_config *config);

/*
 * Ends the threads and closes every descriptor; with it the kernel drops managed tunnels and PPP
 * sessions. What lives on by itself (unmanaged tunnels, addresses) stays unless kernel_drop_all()
 * was called before. Waits for jobs that are being carried out.
 */
void kernel_free(struct kernel *k);

/*
 * What the plane needs in another network namespace, given by a descriptor of it (/run/netns/x).
 * Needs CAP_SYS_ADMIN, and no plane. 0, or the errno of setns() and others. `sys` NULL = the real
 * system calls. kernel_netns_room() names it for row.netns and takes the room, unless it fails:
 * then it is still the caller's. 0; -EEXIST; -ENOSPC; -EINVAL. */
struct kernel_room;
int kernel_room_open(const struct kernel_sys *sys, int fd, struct kernel_room **ret);
void kernel_room_close(struct kernel_room *room); /* NULL is fine */
int kernel_netns_room(struct kernel *k, uint32_t id, struct kernel_room *room);

/* Name a network namespace for row.netns by a descriptor of it (/run/netns/x). Opens sockets
 * there, which needs CAP_SYS_ADMIN now and not later; `fd` stays the caller's. Id 0 is the plane's
 * own. 0; -EEXIST; -ENOSPC; -EINVAL; the errno of setns(). */
int kernel_netns(struct kernel *k, uint32_t id, int fd);

/* ---- requests ---- */

struct kernel_tunnel {
	uint8_t version; /* 2 or 3 */
	uint8_t encap;	 /* enum dp_encap */
	bool managed; /* a socket in user space carries it, and control messages reach that socket.
			 Else the kernel's own socket: static L2TPv3 */
	bool no_checksum; /* UDP without checksums */
	uint32_t local_id, remote_id;
	struct path path;	/* addresses and, with UDP, ports; `via` is not looked at */
	uint32_t mark;		/* SO_MARK of a managed tunnel, 0 = none */
	uint8_t tos;		/* of outer packets, managed */
	char device[DP_IFNAME]; /* device or VRF a managed tunnel is bound to, "" = none */
};

enum kernel_op {
	KERNEL_OP_TUNNEL_PUT = 1,
	KERNEL_OP_TUNNEL_DEL = 2,
	KERNEL_OP_PUT = 3,
	KERNEL_OP_DEL = 4,
	KERNEL_OP_DROP_ALL = 5,
	KERNEL_OP_STATS = 6
};

/* How a request ended. */
enum kernel_result {
	KERNEL_OK = 0,
	KERNEL_FAILED = 1,    /* `error` and `text` say why; nothing of it is left, also when it was
				 the change of a session that was up */
	KERNEL_CANCELLED = 2, /* a DEL of the key came meanwhile; nothing of it is left */
	KERNEL_ID_TAKEN = 3,  /* somebody else has the id: try another */
	KERNEL_TUPLE_TAKEN = 4, /* this kernel carries one tunnel between two addresses and ports,
				   and there is one: the user-space plane must take this one */
	KERNEL_CANNOT = 5 /* this kernel lacks what it takes: the user-space plane must take it */
};

/* Requests. 0: queued, a completion will come. -ENOMEM: not queued. Keys of tunnels and of sessions
 * are two separate sets. Nothing pointed to is kept. */

/* Put a tunnel that is there with the same values: completes at once. With other values: only the
 * remote address and port of a managed one may differ (its data follows at once), else FAILED with
 * -EBUSY. */
int kernel_tunnel_put(struct kernel *k, uint64_t key, uint32_t generation,
		      const struct kernel_tunnel *t);

/* Ends its sessions as well, by the group of their interfaces: each gets a completion of its own
 * only if it was asked to be deleted, else KERNEL_NEWS_GONE. Completes when all is gone. Deleting
 * what is not there completes with KERNEL_OK. */
int kernel_tunnel_del(struct kernel *k, uint64_t key, uint32_t generation);

/* `tunnel` is the key of the tunnel that carries it. It waits for a tunnel whose put is on its
 * way. */
int kernel_put(struct kernel *k, uint64_t key, uint32_t generation, uint64_t tunnel,
	       const struct dp_row *row);
int kernel_del(struct kernel *k, uint64_t key, uint32_t generation);

/* Delete many sessions at once: much cheaper than one by one. A completion for each key. */
int kernel_del_many(struct kernel *k, const uint64_t *keys, const uint32_t *generations, size_t n);

/* End everything the plane has, interfaces by group. One completion with key 0. */
int kernel_drop_all(struct kernel *k, uint32_t generation);

/* ---- news ---- */

enum kernel_news_kind {
	KERNEL_NEWS_DONE = 1,  /* a request is complete */
	KERNEL_NEWS_FRAME = 2, /* a PPP frame for the owner */
	KERNEL_NEWS_LOCAL = 3, /* an IPv6 packet to a link-local or multicast address */
	KERNEL_NEWS_GONE = 4,  /* a session ended without being asked to */
	KERNEL_NEWS_TUNNEL_GONE =
		5 /* a tunnel did; its sessions get GONE of their own, before it */
};

struct kernel_news {
	enum kernel_news_kind kind;
	uint64_t key;

	/* DONE */
	enum kernel_op op;
	enum kernel_result result;
	uint32_t generation;
	int error;		/* negative errno when FAILED */
	char text[KERNEL_TEXT]; /* not OK, GONE, TUNNEL_GONE: a sentence with the remedy */
	int fd; /* TUNNEL_PUT of a managed tunnel: its connected socket, the plane's;
		   give a duplicate away, never close it. Else -1 */
	char ifname[DP_IFNAME]; /* PUT: the session's interface, "" = none */
	int ifindex;
	struct dp_counters counters; /* DEL, GONE: the last word, as far as it was known */

	/* FRAME: from the protocol's first octet, FF 03 removed; LOCAL: the IPv6 packet. Valid
	 * until the next call of the plane. */
	const uint8_t *bytes;
	size_t len;
};

/* A descriptor that becomes readable when there is news. */
int kernel_fd(const struct kernel *k);

/* The next piece of news; false when there is none. `now` is for rate limits. A call does a bounded
 * amount of work. */
bool kernel_next(struct kernel *k, struct mono now, struct kernel_news *ret);

/*
 * Send a PPP frame (protocol first) on a session: through the pipe, or the channel or unit, as its
 * state has it. 0; 1 the session is not known, is joined with another, or its frame was refused by
 * the kernel (queue full: PPP repeats it). LCP frames need six octets.
 */
int kernel_send(struct kernel *k, uint64_t key, const uint8_t *frame, size_t len);

/* Send an IPv6 packet out of the session's interface, past the routing table. 0; 1 as above. */
int kernel_send_local(struct kernel *k, uint64_t key, const uint8_t *packet, size_t len);

/* ---- counters ---- */

/*
 * Ask for the counters of all sessions: one dump of interfaces' RTM_GETSTATS on a worker, about 2
 * us a session, and notice what vanished. Completes with KERNEL_OP_STATS, key 0; from then on
 * kernel_stats() tells the new figures. 0; 1 a reading is under way already, and no other
 * completion will come; -ENOMEM.
 */
int kernel_stats_read(struct kernel *k, uint32_t generation);

/* As of the last reading. last_rx is the time of the reading that first saw packets more than the
 * one before. False when the key is unknown. */
bool kernel_stats(const struct kernel *k, uint64_t key, struct dp_counters *ret);

/* When a tunnel last brought data, by the same measure; us = 0: never, or unknown. */
struct mono kernel_heard(const struct kernel *k, uint64_t tunnel);

/* ---- looking at it, recovery ---- */

/* Sessions (tunnels) the plane has or is making; start with *pos = 0; false at the end. `ret_row`
 * may be NULL. */
bool kernel_list(const struct kernel *k, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation,
		 uint64_t *ret_tunnel, struct dp_row *ret_row);
bool kernel_tunnel_list(const struct kernel *k, uint64_t *pos, uint64_t *ret_key,
			uint32_t *ret_generation, struct kernel_tunnel *ret);
/* The socket of a managed tunnel, -1 = none; the plane's, as in kernel_news. */
int kernel_tunnel_fd(const struct kernel *k, uint64_t key);

struct kernel_stats_all {
	uint32_t tunnels, sessions, busy; /* busy: requests not yet complete */
	uint32_t descriptors;		  /* held for sessions */
	uint64_t frames, frames_dropped;  /* taken up; over the rate */
	uint64_t foreign;		  /* tunnels and sessions ended by somebody else */
	uint64_t retries;		  /* EBUSY, EEXIST and the like that were tried again */
};
void kernel_stats_all(const struct kernel *k, struct kernel_stats_all *ret);

/* Remove interfaces in these groups (as kernel_config.groups) that belong to nothing the plane has
 * (with them their routes and addresses, and the static tunnels that carried them): left over from
 * a former run. Only for who has the groups to itself. Waits for the kernel. Returns how many. */
uint32_t kernel_sweep(struct kernel *k, uint16_t groups);

/* Which sets of groups have interfaces: bit 0 is that of KERNEL_GROUPS, up to
 * KERNEL_GROUPS_LAST. */
uint32_t kernel_groups_seen(const struct kernel *k);

struct nlm;
/* Delete the interfaces of PPP sessions that carry our mark, all of a group in one go. `rt`: an
 * open socket of rtnetlink, and with it the namespace. Asks for no memory. Returns how many. */
uint32_t kernel_groups_del(struct nlm *rt, uint16_t groups);

/* ---- values and words ---- */

/* Whether the plane can be told this: in range, ids not 0. */
bool kernel_tunnel_ok(const struct kernel_tunnel *t);
/* All but path.via. */
bool kernel_tunnel_same(const struct kernel_tunnel *a, const struct kernel_tunnel *b);

/* A sentence with its remedy for an error of the kernel while doing `what` ("create the tunnel").
 * Writes KERNEL_TEXT octets at most. */
enum kernel_step {
	KERNEL_STEP_SOCKET,  /* the tunnel's socket */
	KERNEL_STEP_OPTIONS, /* its options: mark, device */
	KERNEL_STEP_BIND,
	KERNEL_STEP_CONNECT,
	KERNEL_STEP_TUNNEL,  /* L2TP_CMD_TUNNEL_CREATE */
	KERNEL_STEP_SESSION, /* L2TP_CMD_SESSION_CREATE */
	KERNEL_STEP_PPPOX,   /* socket(AF_PPPOX) */
	KERNEL_STEP_PIPE,    /* its connect() */
	KERNEL_STEP_DEV_PPP, /* open("/dev/ppp") */
	KERNEL_STEP_CHANNEL, /* PPPIOCGCHAN, PPPIOCATTCHAN */
	KERNEL_STEP_UNIT,    /* RTM_NEWLINK */
	KERNEL_STEP_ATTACH,  /* PPPIOCCONNECT */
	KERNEL_STEP_MPPE,    /* PPPIOCSCOMPRESS */
	KERNEL_STEP_JOIN,    /* PPPIOCBRIDGECHAN */
	KERNEL_STEP_LINK,    /* MTU, master, up */
	KERNEL_STEP_TAG,     /* what tags the frames of an Ethernet interface */
	KERNEL_STEP_ADDRESS,
	KERNEL_STEP_ROUTE,
	KERNEL_STEP_MASTER, /* finding the bridge or VRF */
	KERNEL_STEP_MEMORY
};
void kernel_error_text(enum kernel_step step, int error, const char *name, char text[KERNEL_TEXT]);

#endif
