/* SPDX-License-Identifier: MIT
 *
 * What the files of src/access share.
 *
 * Theory of operation. One struct access owns an L2TP engine, a PPP engine, the sessions that join
 * them, the tunnels they run in, the dials that make sessions and the leases of addresses. Every
 * entry point of access.h acts, then takes all events of the two engines (acc_pump), so that
 * between two calls nothing is left to be done inside. What the owner must hear about is a bit in
 * the object concerned, which then stands in a queue of objects with news; records that changed are
 * marked the same way. So nothing is allocated to tell a thing, however many objects have news.
 *
 * Life of a session (server: an ICRQ came; client: a dial made it)
 *
 *   CALL    the L2TP session is being established
 *   LINK    PPP runs: LCP, then authentication (server: AUTH while the owner looks the user up,
 *           WAIT while a former session of the user has to end first)
 *   NET     addresses are being negotiated
 *   ROW     the first network protocol is agreed, its last Ack is held; the data plane makes the
 * row UP      the row is active, IP flows HANGUP  PPP is being closed politely (Terminate-Request);
 * the row is still there DEL     both engines have let go; the row is being removed, its last
 * counters are awaited DEAD    everything is settled; DOWN and the removal of the record are still
 * to be told
 *
 * Invariants
 *   - the cause is set once, when a session leaves the way towards UP (s->end), and never changed;
 *   - an address is given back when the row is gone, not before: no other session can get it while
 *     packets of the former one might still pass;
 *   - a session that was UP has exactly one start line and gets exactly one stop line: it does not
 *     become DEAD before the line exists.
 *
 * Records. The order in which access_dirty() hands records out makes a crash between any two of
 * them harmless:
 *
 *   a line "on"      only in the first batch of all; it is made where there is no record
 *   STATE
 *   lines            before their session, see acc_lines_loaded(); they are written to disk only
 *                    after the whole batch was committed
 *   closing tunnels  a StopCCN of ours is in the journal before its sessions are marked as ended
 *   sessions         also one that is over, once more, as ended: a CDN of the peer must not be
 *                    acknowledged (Nr is in the tunnel's record) before this is committed. It holds
 *                    the L2TP session as it was before the end, so that a CDN of ours can be sent
 *                    again when the tunnel's record that has it queued was not committed
 *   other tunnels
 *   removals of sessions, once their CDN has a number, that is, stands in the tunnel's record
 *   removals of lines
 */
#ifndef ADIT_ACCESS_INTERNAL_H
#define ADIT_ACCESS_INTERNAL_H

#include "access/access.h"
#include "base/heap.h"
#include "base/htab.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/ration.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/trace.h"
#include "base/wire.h"

#include <adit/l2tp3.h>

/* A queue of objects that are in it at most once; in it: next is not NULL. */
struct acc_link {
	struct acc_link *next;
};

struct acc_queue {
	struct acc_link end; /* end mark; end.next is not used */
	struct acc_link *first, *last;
};

static inline void acc_queue_init(struct acc_queue *q)
{
	q->first = NULL;
}

static inline void acc_queue_push(struct acc_queue *q, struct acc_link *l)
{
	if (l->next)
		return;
	l->next = &q->end;
	if (q->first)
		q->last->next = l;
	else
		q->first = l;
	q->last = l;
}

static inline struct acc_link *acc_queue_pop(struct acc_queue *q)
{
	struct acc_link *l = q->first;

	if (!l)
		return NULL;
	q->first = l->next == &q->end ? NULL : l->next;
	l->next = NULL;
	return l;
}

/* ---- leases ---- */

struct acc_pool {
	const struct conf_pool *c; /* into the configuration in use */
	uint64_t size[2];	   /* of IPv4, of IPv6 */
	uint32_t used[2], kept[2]; /* in use; kept for their former user */
	uint32_t peak[2];	   /* most ever in use */
	uint64_t cursor[2];	   /* search for an address that nobody has had */
	uint64_t barren[2];	   /* value of `forgotten` when a search over all found nothing */
	struct list lru[2];	   /* kept ones, oldest first */
};

struct acc_lease {
	struct htab_node by_place; /* family, value and length */
	struct htab_node by_user;  /* its hash is the user's; 0 = nobody's */
	union {
		struct list lru; /* kept */
		uint64_t key;	 /* in use: the session */
	} u;
	struct acc_pool *pool; /* NULL: it lies in no pool */
	uint64_t value;	       /* IPv4 address in host order; upper half of an IPv6 prefix */
	uint8_t len;	       /* of the IPv6 prefix; 32 for IPv4 */
	bool six, used;
};

struct acc_leases {
	struct htab by_place, by_user;
	struct acc_pool *pools;
	size_t pool_count;
	uint32_t lens6[65]; /* leases in use of each prefix length */
	uint64_t forgotten; /* grows when an address that no pool knew as free may have become so */
	size_t memory;
	bool overlap; /* two pools share addresses */
};

void acc_leases_init(struct access *a);
void acc_leases_free(struct access *a);
/* Pools of a configuration, NULL when out of memory; to be freed or committed. */
struct acc_pool *acc_leases_prepare(const struct access_conf *conf);
void acc_leases_commit(struct access *a, const struct access_conf *conf, struct acc_pool *pools);
struct acc_pool *acc_pool_find(const struct access *a, const char *name);
uint64_t acc_user_hash(const struct access *a, const void *user, size_t len);
/* A free address or prefix of the pool for session `key`. 0; 1 exhausted; -ENOMEM. */
int acc_lease_take(struct access *a, struct acc_pool *pool, bool six, uint64_t user, uint64_t key,
		   struct acc_lease **ret);
/* Exactly this one. 0; 1 in use, *ret_holder is the session's key; -ENOMEM. */
int acc_lease_exact(struct access *a, bool six, uint64_t value, uint8_t len, uint64_t user,
		    uint64_t key, struct acc_lease **ret, uint64_t *ret_holder);
void acc_lease_give(struct access *a, struct acc_lease *l);

/* ---- peers, dials, tunnels, sessions ---- */

struct acc_peer {
	char name[CONF_NAME];
	const struct conf_peer *c; /* NULL: gone from the configuration */
	uint32_t tunnels, sessions;
	uint32_t up; /* of the tunnels: those that are established, which a limit is about */
	uint64_t accepted, refused;
};

enum acc_tunnel_news { ACC_TN_UP = 1, ACC_TN_DOWN = 2, ACC_TN_HEARD = 4 };

struct acc_tunnel {
	struct htab_node by_key, by_id, by_record;
	struct acc_link news, dirty, first;
	uint64_t key;	    /* id of its record */
	adit_handle self;   /* in a->tunnels */
	adit_handle l2tp;   /* 0: the engine has told its end */
	adit_handle offer;  /* of the L2TPv3 engine, while our request is for either version (RFC
			       3931 4.7.3); 0: it is decided */
	adit_handle record; /* same, from when to when the engine wants a record of it: also while
			       its StopCCN is not acknowledged yet. In tunnel_records */
	struct acc_peer *peer;	      /* server */
	struct acc_dial *dial;	      /* client; NULL when it is no longer the dial's */
	uint64_t digest;	      /* of that one's settings, of a record; 0 = not known */
	struct conf_profile *profile; /* server: of its sessions; a reference */
	char *host;		      /* the peer's host name, or NULL */
	char *text;		      /* why it ended, when more is known than the cause */
	struct path path;
	uint32_t sessions; /* session objects that point here */
	uint32_t local_id, remote_id;
	uint8_t version; /* 2 or 3: the engine whose handles these are */
	uint8_t bits;	 /* enum acc_tunnel_news */
	uint8_t cause;
	bool counted; /* among the established ones of `peer` */
	bool client, up, closing, by_peer;
	bool known;	      /* by its address: what becomes of it is always told */
	bool listed;	      /* in tunnel_ids */
	bool changed, saved;  /* its record is to be written; is there */
	char name[CONF_NAME]; /* of peer block or dial */
};

enum acc_state {
	ACC_CALL,
	ACC_LINK,
	ACC_AUTH,
	ACC_WAIT,
	ACC_NET,
	ACC_ROW,
	ACC_UP,
	ACC_HANGUP,
	ACC_DEL,
	ACC_DEAD
};

enum acc_news {
	ACC_N_AUTH = 1,
	ACC_N_PUT = 2,
	ACC_N_STATS = 4,
	ACC_N_UP = 8,
	ACC_N_DEL = 16,
	ACC_N_DOWN = 32
};

/* Packets of ours to send on an active session. */
enum acc_out { ACC_O_RA = 1, ACC_O_RS = 2 };

/* A question about a user, and the answer while it cannot be used yet. */
struct acc_auth {
	enum ppp_auth method;
	bool granted; /* the answer came, and another session has to end first */
	bool again;   /* who it is about is in already */
	struct access_grant grant;
	struct ppp_proof proof;
	uint32_t ask; /* number of the question, of the PPP engine */
	uint8_t chap_id, challenge_len;
	uint16_t response_len;
	uint8_t bytes[]; /* challenge, then response */
};

/* Why a session ends, and its L2TP record as it was before. */
struct acc_end {
	uint64_t heir;	  /* key of the session that waits for this end */
	struct list held; /* in access.held until its CDN has a number */
	struct acc_session *s;
	adit_handle closing; /* the L2TP session */
	struct dp_counters last;
	char text[L2TP_TEXT_MAX];
	uint16_t blob_len;
	uint8_t blob[];
};

/*
 * Frames with sequence numbers (pipe.c). The kernel counts them itself, from 0 in both directions,
 * so it has to see the first one: its row is put (DP_PREPARED) before PPP says anything.
 */
enum acc_pipe {
	ACC_PIPE_NONE,	  /* frames go by the L2TP engine until there is a row */
	ACC_PIPE_ASKED,	  /* the plane was asked; ours wait */
	ACC_PIPE_LISTENS, /* it stands; ours wait for the server's first, or a moment */
	ACC_PIPE_STANDS,  /* frames go by the plane */
	ACC_PIPE_LEAVES	  /* numbers had moved before it stood: its row is deleted; ours wait */
};

struct acc_session {
	struct htab_node by_key;
	struct htab_node by_user; /* when its profile limits sessions per user */
	struct heap_node timer;
	struct acc_link news, dirty, out;
	uint64_t key;
	adit_handle self;      /* in a->sessions */
	adit_handle l2tp, ppp; /* 0: let go */
	struct acc_tunnel *tunnel;
	struct acc_dial *dial;	      /* client */
	struct conf_profile *profile; /* server; a reference */
	char *strings;		      /* calling, called, user; each with NUL; or NULL */
	char *ifname;		      /* NULL: none of its own */
	struct acc_auth *auth;
	struct acc_end *end;
	struct prefix *routes; /* networks behind the user */
	struct acc_lease *lease4, *lease6;
	struct mono since; /* made at; up since once it is up */
	struct mono ends_at, idle_at, interim_at, ra_at;
	struct acc_waiting *waiting; /* frames that wait for the pipe, oldest first */
	uint32_t idle_s, limit_s;    /* time limits, 0 = none */
	uint32_t generation;	     /* of the last request to the data plane */
	uint32_t acct_seq;	     /* lines made */
	uint32_t local_id, remote_id;
	uint16_t user_len, mtu;
	uint8_t calling_len, called_len, route_count, len6;
	uint8_t our_ip4[4], peer_ip4[4];
	uint8_t our_iid[8], peer_iid[8];
	uint8_t prefix6[8];
	uint8_t state;		/* enum acc_state */
	uint8_t cause, hint;	/* enum adit_cause */
	uint8_t method;		/* enum ppp_auth */
	uint8_t bits, out_bits; /* enum acc_news, enum acc_out */
	uint8_t ra_left;
	uint8_t pipe; /* enum acc_pipe */
	uint8_t waiting_count;
	bool by_peer : 1, established : 1;
	bool ending : 1;		 /* the cause is known */
	bool stopped : 1;		 /* the stop line is made */
	bool no_memory : 1;		 /* for the stop line */
	bool changed : 1, saved : 1;	 /* its record is to be written; is there */
	bool end_saved : 1;		 /* as that of one that has ended */
	bool ids_saved : 1;		 /* with the peer's id */
	bool ip4 : 1, ip6 : 1;		 /* agreed (READY or UP) */
	bool quiet : 1;			 /* the peer's circuit takes no data now (RFC 3931 5.4.5) */
	bool want_ip4 : 1, want_ip6 : 1; /* the user gets this protocol */
	bool go : 1;			 /* PPP waits for NCP_GO */
	bool row : 1, row_active : 1;	 /* a row was asked for; the plane has it */
	bool row_busy : 1, row_again : 1; /* a put is under way; things changed meanwhile */
	bool put_told : 1, up_told : 1;
	bool idle_ask : 1, interim_ask : 1;
	bool user_listed : 1;
	bool ra_started : 1, ra_got : 1;
	bool last_told : 1; /* the user knows that the time is nearly over */
};

enum acc_dial_state {
	ACC_D_IDLE,
	ACC_D_RESOLVING,
	ACC_D_CONNECTING,
	ACC_D_LISTENING,
	ACC_D_UP,
	ACC_D_WAITING
};

struct acc_dial {
	struct heap_node timer;
	struct acc_link news;
	struct access_conf *conf; /* holds *c */
	const struct conf_dial *c;
	enum acc_dial_state state;
	bool wanted;	/* redial after a failure or loss */
	bool stopped;	/* by an administrator: stays so over a restart */
	bool asked;	/* by command: try all addresses once */
	bool again;	/* connect when the former session has ended */
	bool gone;	/* not in the configuration any more */
	bool ask;	/* EV_RESOLVE is to be told */
	bool telling;	/* EV_UP is held back until `timer` */
	uint32_t owned; /* session objects that point here */
	struct path *paths;
	size_t path_count, path_next;
	struct acc_tunnel *tunnel;
	struct acc_session *session;
	uint32_t attempts;
	enum adit_cause cause;
	char text[L2TP_TEXT_MAX];
	struct addr dns4[2], dns6[2];
	struct prefix prefix6; /* learnt by router advertisement */
};

struct acc_line {
	struct htab_node node;
	struct acc_link news, dirty;
	uint64_t id, key;
	uint32_t seq;
	uint8_t event; /* enum acc_line_event */
	bool told, saved, gone;
	uint16_t len;
	char text[];
};

/* Numbers of records: never given to anything else. */
enum acc_line_event {
	ACC_LINE_START = 1,
	ACC_LINE_INTERIM = 2,
	ACC_LINE_STOP = 3,
	ACC_LINE_ON = 4
};

#define ACC_FAILURES 64
#define ACC_STOPPED  16 /* dials that were disconnected, remembered over a restart */

struct access {
	struct access_config config;
	struct trace *trace;
	uint64_t called;		   /* session of the last CMD_CALL */
	char number[L2TP3_END_ID_MAX + 1]; /* of the event in hand, see l2.c */
	struct l2tp *l2tp;
	struct l2tp3 *l2tp3; /* NULL: not needed so far */
	struct ppp *ppp;
	struct rng rng;
	struct access_conf *conf;
	int64_t wall_us; /* wall time minus monotonic time */
	struct pool *sessions, *tunnels;
	struct htab by_key, by_user, tunnel_keys, tunnel_ids, tunnel_records, lines;
	uint64_t tunnel_bits[(UINT16_MAX + 1) / 64]; /* the ids in tunnel_ids, to walk them */
	struct heap timers, dial_timers;
	struct acc_queue news, tunnel_news, dial_news, line_news, out;
	struct acc_queue dirty, gone, tunnel_dirty, tunnel_first, line_dirty, line_gone, line_later;
	struct list held; /* dead sessions whose CDN has no number yet */
	struct acc_leases leases;
	struct acc_peer **peers; /* those of the configuration in its order, then those gone */
	size_t peer_count;
	struct acc_dial **dials; /* same */
	size_t dial_count;
	struct acc_line *last_line;	  /* whose record is asked for next */
	struct acc_session *last_session; /* the same, of sessions */
	uint64_t next_key, keys_until; /* journal: keys below keys_until may have been given out */
	uint64_t setups, failures;
	uint32_t up;
	uint32_t net_generation;
	size_t bytes; /* strings and the like, for the summary */
	/* The last event points into these: they are not freed before the next call. */
	struct acc_tunnel *shown_tunnel;
	struct acc_session *shown_session;
	uint64_t stopped[ACC_STOPPED]; /* hashes of disconnected dials, from the record */
	size_t stopped_count;
	bool state_dirty, net_news;
	bool line_first;   /* there is a line whose record goes before that of STATE */
	uint32_t lines_on; /* of the lines: those that are nobody's */
	bool shutdown;	   /* nothing new */
	bool ended;	   /* CMD_SHUTDOWN: everything is being closed */
	bool drain;	   /* drain.c */
	bool drain_stop;   /* ... for a stop: a successor does not go on with it */
	uint32_t drain_rate, drain_part;
	struct mono drain_at;
	adit_handle drain_pos, drain_tunnel;
	struct ration strangers; /* their tunnels that are told of */
	bool scarce;		 /* memory: nobody new */
	bool former;		 /* there are peers or dials that the configuration no longer has */
	struct dp_row row;	 /* what the last event points to */
	struct dp_net net;
	struct access_failure *ring;
	uint64_t ring_next;
};

/* access.c */
/* Each entry point begins with this: what the last event pointed to may go now. */
void acc_begin(struct access *a);
void acc_pump(struct access *a, struct mono now);
void acc_failure(struct access *a, struct mono now, uint64_t key, const char *who, size_t who_len,
		 const struct addr *remote, enum adit_cause cause, const char *text);
/* Ends an administrator or the user asked for: no failure, even before a session was up. */
bool acc_wanted(enum adit_cause cause);
struct acc_tunnel *acc_tunnel_of(struct access *a, adit_handle owner);
struct acc_session *acc_session_of(struct access *a, adit_handle owner);
struct acc_session *acc_session_find(const struct access *a, uint64_t key);
struct acc_tunnel *acc_tunnel_by_id(const struct access *a, uint32_t id);
struct acc_tunnel *acc_tunnel_by_key(const struct access *a, uint64_t key);
struct acc_tunnel *acc_tunnel_by_record(const struct access *a, uint8_t version,
					adit_handle record);
/* The engine wants a record of `t` under this handle; 0 = not any more. */
void acc_tunnel_record(struct access *a, struct acc_tunnel *t, adit_handle record);

/* save.c */
uint64_t acc_key_new(struct access *a);

/* load.c */
void acc_keys_lost(struct access *a, struct mono now);

/* l2.c: the engines of both versions of L2TP behind one set of calls. `version` is 2 or 3. */

/* What is known of a session in its engine. */
struct acc_call {
	struct l2tp_session_info l2tp; /* of L2TPv3 what both have */
	uint8_t version;	       /* 3: L2TPv3, and then: */
	bool sublayer;		       /* the default L2-Specific Sublayer, on what we send */
	bool sublayer_in;	       /* ... on what we receive */
	bool quiet;		       /* the peer's circuit takes no data now (5.4.5) */
	bool over_ip;
	uint8_t cookie_in_len, cookie_out_len;
	uint8_t cookie_in[L2TP3_COOKIE_MAX], cookie_out[L2TP3_COOKIE_MAX];
};

/* The engine of L2TPv3, made when it is needed first. NULL: out of memory. */
struct l2tp3 *acc_l2_v3(struct access *a);
/* As l2tp_do(), for both. What L2TPv3 has no message for is -EINVAL. Of tunnels TUNNEL_OPEN has a
 * call of its own, and so has TUNNEL_ACCEPT. */
int acc_l2_do(struct access *a, struct mono now, uint8_t version, struct l2tp_cmd *cmd);
/* Open the control connection of a dial, in the version its configuration names. */
int acc_l2_open(struct access *a, struct mono now, struct acc_tunnel *t, const struct conf_dial *c,
		const struct path *path);
int acc_l2_accept(struct access *a, struct mono now, struct acc_tunnel *t,
		  const struct conf_peer *c, bool trusted);
bool acc_l2_call(const struct access *a, uint8_t version, adit_handle session,
		 struct acc_call *ret);
bool acc_l2_tunnel(const struct access *a, uint8_t version, adit_handle tunnel,
		   struct l2tp_tunnel_info *ret);
/* The next event of either engine. False: there is none. */
bool acc_l2_event(struct access *a, struct l2tp_event *ret, uint8_t *ret_version);
/* An undecided tunnel: one engine has told its end or that it is up. True: go on with this event;
 * false: it was about the version that has lost. */
bool acc_l2_decided(struct access *a, struct mono now, struct acc_tunnel *t, uint8_t version,
		    const struct l2tp_event *ev);
/* As l2tp_input(); `owner` of the session. */
int acc_l2_input(struct access *a, struct mono now, const struct path *path, const uint8_t *bytes,
		 size_t len, struct l2tp_frame *ret, uint8_t *ret_version);
size_t acc_l2_wrap(struct access *a, const struct acc_session *s, uint8_t *frame, size_t len,
		   bool priority, struct path *ret);
size_t acc_l2_output(struct access *a, struct mono now, uint8_t *buf, size_t cap, struct path *ret);
/* As l2tp_dirty() over both. */
bool acc_l2_dirty(struct access *a, uint8_t *ret_version, enum l2tp_object *ret_kind,
		  adit_handle *ret_handle, bool *ret_gone);
void acc_l2_save(const struct access *a, uint8_t version, enum l2tp_object kind, adit_handle h,
		 struct wcur *c);

/* drain.c */
/* Refuse what is new and end what is there, `rate` sessions a second (0: they end by themselves);
 * or take everybody again. 0; 2 everything is being closed. */
int acc_drain(struct access *a, struct mono now, bool on, uint32_t rate, bool stop);
void acc_drain_expire(struct access *a, struct mono now);

/* tunnel.c */
/* NULL when out of memory or at the limit. `key` 0 = a new one. */
struct acc_tunnel *acc_tunnel_new(struct access *a, const char *name, uint64_t key);
/* The engine's ids and path are known, or changed: list it. */
void acc_tunnel_list(struct access *a, struct acc_tunnel *t);
void acc_tunnel_unlist(struct access *a, struct acc_tunnel *t);
const char *acc_tunnel_text(const struct acc_tunnel *t);
void acc_tunnel_drop(struct access *a, struct acc_tunnel *t);
void acc_tunnel_tell(struct access *a, struct acc_tunnel *t, unsigned int bits);
void acc_tunnel_dirty(struct access *a, struct acc_tunnel *t);
void acc_tunnel_close(struct access *a, struct mono now, struct acc_tunnel *t, uint16_t result,
		      enum adit_cause cause, const char *text);
void acc_tunnel_up(struct access *a, struct mono now, struct acc_tunnel *t,
		   const struct l2tp_event *ev);
/* Is one more request of a stranger told of, in the log and the list of failures? */
bool acc_stranger_told(struct access *a, struct mono now);
void acc_tunnel_down(struct access *a, struct mono now, struct acc_tunnel *t,
		     const struct l2tp_event *ev);
void acc_tunnel_settle(struct access *a, struct acc_tunnel *t);
void acc_tunnel_event(struct access *a, struct acc_tunnel *t, struct access_event *ret);
void acc_tunnel_count(struct acc_tunnel *t);

/* server.c */
void acc_server_tunnel_ask(struct access *a, struct mono now, uint8_t version,
			   const struct l2tp_event *ev);
void acc_server_session_ask(struct access *a, struct mono now, uint8_t version,
			    const struct l2tp_event *ev);
/* ACCESS_CMD_CALL */
int acc_server_call(struct access *a, struct mono now, const struct access_cmd *cmd);
struct refusal {
	uint16_t result, error;
	enum adit_cause cause;
};
void acc_session_refuse(struct access *a, struct mono now, uint8_t version,
			const struct acc_tunnel *t, adit_handle session, const struct refusal *r);
/* By name; a peer object that is no longer in the configuration is made when needed (recovery). */
struct acc_peer *acc_peer_find(const struct access *a, const char *name);
/* Make ready for `conf`: what acc_peers_commit() needs, NULL when out of memory. */
struct acc_peer **acc_peers_prepare(const struct access *a, const struct access_conf *conf);
void acc_peers_cancel(const struct access *a, const struct access_conf *conf, struct acc_peer **v);
void acc_peers_commit(struct access *a, struct mono now, const struct access_conf *conf,
		      struct acc_peer **v);
void acc_peers_purge(struct access *a);
void acc_peers_free(struct access *a);

/* session.c */
/* NULL when out of memory or at the limit. `key` 0 = a new one. */
struct acc_session *acc_session_new(struct access *a, struct mono now, struct acc_tunnel *t,
				    uint64_t key);
void acc_session_free(struct access *a, struct acc_session *s);
void acc_session_settle(struct access *a, struct acc_session *s);
void acc_session_call(struct access *a, struct mono now, struct acc_session *s);
void acc_session_l2tp_up(struct access *a, struct mono now, struct acc_session *s);
/* The peer has told something of its line (WEN; L2TPv3: SLI). While its circuit is not active, no
 * IP passes the row, and PPP is silent; LCP's echo, if there is any, ends what lasts too long. */
void acc_session_line(struct access *a, struct mono now, struct acc_session *s);
void acc_session_l2tp_down(struct access *a, struct mono now, struct acc_session *s,
			   const struct l2tp_event *ev);
void acc_session_ppp(struct access *a, struct mono now, struct acc_session *s,
		     const struct ppp_event *ev);
/* End it at once: CDN, and PPP is dropped. */
void acc_session_end(struct access *a, struct mono now, struct acc_session *s,
		     enum adit_cause cause, const char *text, bool by_peer);
/* End it politely: PPP first. */
void acc_session_hangup(struct access *a, struct mono now, struct acc_session *s,
			enum adit_cause cause, const char *text);
void acc_session_row_done(struct access *a, struct mono now, struct acc_session *s,
			  const struct dp_done *done);
void acc_session_stats(struct access *a, struct mono now, struct acc_session *s,
		       const struct access_cmd *cmd);
void acc_session_expire(struct access *a, struct mono now, struct acc_session *s);
void acc_session_timer(struct access *a, struct acc_session *s);
void acc_session_dirty(struct access *a, struct acc_session *s);
void acc_session_tell(struct access *a, struct acc_session *s, unsigned int bits);
void acc_session_want_row(struct access *a, struct mono now, struct acc_session *s);
/* Store calling, called and user anew. 0 or -ENOMEM. */
int acc_session_strings(struct access *a, struct acc_session *s, const char *calling,
			const char *called, const char *user, size_t user_len);
void acc_session_forget_auth(struct access *a, struct acc_session *s);
const char *acc_calling(const struct acc_session *s);
const char *acc_called(const struct acc_session *s);
const char *acc_user(const struct acc_session *s);
const char *acc_session_text(const struct acc_session *s);
bool acc_session_prefix6(const struct acc_session *s, struct prefix *ret);

/* pipe.c */
/* PPP of `s` begins: may its frames be numbered, then a plane that counts has to be there first. */
void acc_pipe_begin(struct access *a, struct mono now, struct acc_session *s, bool numbered);
/* May a numbered session have a pipe? Then the ICCN of a client waits for acc_pipe_begin(). */
bool acc_pipe_wanted(const struct access *a, const struct acc_session *s);
void acc_pipe_put_done(struct access *a, struct mono now, struct acc_session *s, int error);
void acc_pipe_del_done(struct access *a, struct mono now, struct acc_session *s);
/* A frame has come by the plane, or the time is over: ours need not wait any longer. */
void acc_pipe_heard(struct access *a, struct acc_session *s);
/* A frame of ours: true = it waits (or was dropped: PPP says it again). */
bool acc_pipe_holds(struct access *a, struct acc_session *s, const uint8_t *frame, size_t len,
		    bool priority);
/* The next frame that has waited and need not any more. Its length, 0 = there is none. */
size_t acc_pipe_output(struct access *a, struct acc_session *s, uint8_t *buf, size_t cap,
		       bool *ret_priority);
void acc_pipe_free(struct access *a, struct acc_session *s);

/* grant.c */
/* A time limit in whole seconds: the user's own or the profile's, 0 = none. */
uint32_t acc_seconds(int64_t own_us, int64_t profile_us);
int acc_session_auth(struct access *a, struct mono now, struct acc_session *s,
		     const struct access_cmd *cmd);
/* 0 with addresses in `s`; 1 with a cause; 2 another session has to end first; -ENOMEM. */
int acc_grant_addresses(struct access *a, struct mono now, struct acc_session *s,
			const struct access_grant *grant, enum adit_cause *ret_cause);
void acc_grant_ppp(const struct acc_session *s, struct ppp_addresses *ret);
/* The session that session `key` waited for has ended. */
void acc_grant_retry(struct access *a, struct mono now, uint64_t key);
/* Recovery: take the addresses the record names. False when somebody else has one. */
bool acc_grant_again(struct access *a, struct acc_session *s);
void acc_grant_list_user(struct access *a, struct acc_session *s);

/* row.c */
uint16_t acc_overhead(const struct path *path, const struct acc_call *l2tp,
		      const struct ppp_info *ppp);
/* The largest packet the peer of this session may send so that it fits the path (RFC 1661 6.1). */
uint16_t acc_mru(const struct path *path, const struct acc_call *l2tp, uint16_t limit);
uint16_t acc_mtu(const struct path *path, const struct acc_call *l2tp, const struct ppp_info *ppp,
		 uint16_t limit);
bool acc_row(struct access *a, struct acc_session *s, struct dp_row *ret);
void acc_net(const struct access_conf *conf, struct dp_net *ret);

/* local.c */
void acc_local_start(struct access *a, struct mono now, struct acc_session *s);
void acc_local_stop(struct access *a, struct acc_session *s);
void acc_local_expire(struct access *a, struct mono now, struct acc_session *s);
void acc_local_input(struct access *a, struct mono now, struct acc_session *s,
		     const uint8_t *packet, size_t len);
size_t acc_local_output(struct acc_session *s, uint8_t *buf, size_t cap);

/* dial.c */
struct acc_dial **acc_dials_prepare(struct access *a, const struct access_conf *conf);
void acc_dials_cancel(const struct access *a, const struct access_conf *conf, struct acc_dial **v);
void acc_dials_commit(struct access *a, struct mono now, struct access_conf *conf,
		      struct acc_dial **v);
void acc_dials_free(struct access *a);
/* The one in use, not those that are being taken down. */
struct acc_dial *acc_dial_find(const struct access *a, const char *name);
int acc_dial_connect(struct access *a, struct mono now, struct acc_dial *d);
int acc_dial_disconnect(struct access *a, struct mono now, struct acc_dial *d,
			enum adit_cause cause);
int acc_dial_resolved(struct access *a, struct mono now, struct acc_dial *d,
		      const struct access_cmd *cmd);
void acc_dial_expire(struct access *a, struct mono now, struct acc_dial *d);
void acc_dial_dns4(struct acc_dial *d, const struct ppp_addresses *p);
void acc_dial_session_up(struct access *a, struct mono now, struct acc_dial *d);
void acc_dial_session_gone(struct access *a, struct mono now, struct acc_dial *d,
			   struct acc_session *s);
/* More is known of the session that came up: is it time to tell? */
void acc_dial_settled(struct access *a, struct acc_dial *d);
void acc_dial_event(struct acc_dial *d, struct access_event *ret);
/* Of a dial that waits for calls: its tunnel is up, or gone; the server calls. */
void acc_dial_tunnel_up(struct access *a, struct mono now, struct acc_dial *d);
void acc_dial_tunnel_gone(struct access *a, struct mono now, struct acc_dial *d,
			  const struct acc_tunnel *t);
void acc_dial_called(struct access *a, struct mono now, struct acc_dial *d, struct acc_tunnel *t,
		     const struct l2tp_event *ev);
/* Recovery: the tunnel in which `d` waits goes on. */
void acc_dial_adopt_tunnel(struct access *a, struct mono now, struct acc_dial *d,
			   struct acc_tunnel *t);
/* Recovery: are these its settings, by a record; has it others than a tunnel was opened with? */
bool acc_dial_same(const struct acc_dial *d, uint64_t digest);
bool acc_dial_changed(const struct acc_dial *d, const struct acc_tunnel *t);
bool acc_dial_wants_tunnel(const struct acc_dial *d, const struct acc_tunnel *t);
void acc_dial_own(struct acc_dial *d, struct acc_session *s);
void acc_dials_purge(struct access *a);
/* Recovery: it was disconnected before the restart. */
void acc_dial_rest(struct access *a, struct acc_dial *d);
/* Recovery: its session goes on; EV_UP may still have to be told. */
void acc_dial_session_back(struct access *a, struct mono now, struct acc_dial *d, bool told);
/* Recovery: `s` is this dial's session. */
void acc_dial_adopt(struct access *a, struct acc_dial *d, struct acc_session *s);
uint64_t acc_dial_hash(const char *name);

/* acct.c */
/* Make a line. 0 or -ENOMEM; then nothing changed. */
int acc_line_make(struct access *a, struct mono now, struct acc_session *s,
		  enum acc_line_event event, const struct dp_counters *counters);
struct acc_line *acc_line_find(const struct access *a, uint64_t key, uint32_t seq);
int acc_line_add(struct access *a, uint64_t id, uint64_t key, uint32_t seq,
		 enum acc_line_event event, const void *text, size_t len, struct acc_line **ret);
void acc_line_behind(struct access *a);
void acc_line_written(struct access *a, struct acc_line *l);
void acc_line_free(struct access *a, struct acc_line *l);
void acc_lines_loaded(struct access *a, struct mono now);
size_t acc_json_string(char *buf, size_t cap, const void *bytes, size_t n);

#endif
