/* SPDX-License-Identifier: MIT
 *
 * What the files of the L2TP engine share.
 *
 *     l2tp.c      the public entry points, demultiplexing, time, events, output
 *     halfopen.c  packets of strangers: SCCRQs and what bounds them
 *     tunnel.c    the control connection: table, timers, keepalive (RFC 2661 5.5, 5.7, 7.2)
 *     control.c   its messages and commands (RFC 2661 5.1, 6.1 to 6.5)
 *     call.c      sessions: tables of all roles, making, commands (RFC 2661 5.2, 5.6, 7.4, 7.5)
 *     callmsg.c   their messages (RFC 2661 6.6 to 6.14)
 *     quirk.c     what known peers get wrong
 *     data.c      data messages: sequencing, the header (RFC 2661 3.1, 5.3, 5.4)
 *     reliable.c  Ns, Nr, window, retransmission (RFC 2661 5.8)
 *     save.c      records that outlive the process
 *     info.c      what is there; profiles
 *
 * Life of an object. A tunnel or session is given back to its pool by *_reap(), once nothing needs
 * it any more: its automaton is finished, its DOWN event was taken and its record was reported
 * gone. Nothing is freed inside an act, so pointers stay good until it returns: what is finished
 * and known to nobody stands in a list (`dead`) that engine_bury() empties between acts. A tunnel
 * that ends does not touch its sessions at once: they end one by one as l2tp_event() takes their
 * DOWN events, so that no call does work for fifty thousand sessions.
 *
 * Sending. Nothing is built before there is room for it in the window: a tunnel has a mask of what
 * it wants to send, a session at most one message it wants to send, and both stand in lists. The
 * pump builds what there is room for and gives it a number. It runs before records are reported,
 * so a record has every message that may leave.
 */
#ifndef ADIT_L2TP_INTERNAL_H
#define ADIT_L2TP_INTERNAL_H

#include <adit/l2tp.h>
#include <errno.h>
#include <stdlib.h>
#include "base/addr.h"
#include "base/crypto.h"
#include "base/heap.h"
#include "base/htab.h"
#include "base/idmap.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/trace.h"
#include "l2tp/bound.h"
#include "l2tp/msg.h"
#include "l2tp/reliable.h"

#define L2TP_CYCLE_US	   (31 * US_S) /* a full retransmission cycle: 1+2+4+8+8+8 s (5.7) */
#define L2TP_GAP_US	   (30 * US_S) /* time jumps of this size are a suspend */
#define L2TP_QUIET_US	   (1 * US_S)  /* how long TUNNEL_QUIET may stay unanswered */
#define L2TP_SETTLE_US	   (5 * US_S)  /* an SCCRQ repeated so soon after the start is an echo */
#define L2TP_RETRY_MEM_US  (US_S / 10) /* when memory was short: try again after this */
#define L2TP_HELD_MAX	   2048	       /* largest early message we keep */
#define L2TP_REQUEST_MAX   2048	       /* largest SCCRQ we keep while the owner thinks */
#define L2TP_HALF_HELD	   2	       /* early messages we keep of a half-open tunnel, */
#define L2TP_HALF_HELD_MAX 256	       /* and how large they may be */
#define L2TP_FLIGHT_MAX	   12288       /* octets of unacknowledged messages of one tunnel */
#define L2TP_ORPHANS_MAX   256	       /* refusals of one tunnel that wait to be sent */
#define L2TP_CHALLENGE	   16	       /* octets of our challenges */
#define L2TP_REPLIES	   16
#define L2TP_OOS_MAX	   4 /* packets in a row past a gap that make us resynchronise */
#define L2TP_DROPS	   9
#define L2TP_WEN_US	   (60 * US_S) /* at most one WEN of a call in this time (6.13) */

struct tunnel;

/* What tunnels and sessions have in common: news for the owner, and a record. */
struct thing {
	struct list news;    /* in l2tp.news while `mask` is not 0 */
	struct list journal; /* in a list of l2tp while the record is out of date */
	uint8_t kind;	     /* enum l2tp_object */
	uint8_t mask;	     /* NEWS_* */
	bool recorded;	     /* the owner has a record: told to write it, or loaded from it */
	bool known;	     /* the owner knows the handle */
	bool over;	     /* DOWN was raised, or the owner never knew */
	bool finished;	     /* the automaton is done with it */
};

/* News, in the order they are told. */
#define NEWS_ASK    0x01
#define NEWS_UP	    0x02
#define NEWS_QUIET  0x04 /* tunnels */
#define NEWS_ACCM   0x08 /* sessions */
#define NEWS_ERRORS 0x10 /* sessions */
#define NEWS_DOWN   0x20

/* Why something ends: what is told to the owner and to the peer. */
struct ending {
	enum adit_cause cause;
	uint16_t result, error;
	const char *text; /* or NULL */
	bool by_peer;
};

struct l2tp_profile {
	uint32_t refs;
	struct l2tp_params p;	   /* defaults filled in; pointers lead into this object */
	struct l2tp_secret secret; /* n = 0: none */
	char host_name[L2TP_NAME_MAX];
	char vendor_name[L2TP_NAME_MAX];
	char peer_name[L2TP_NAME_MAX];
	uint8_t secret_bytes[L2TP_SECRET_MAX];
};

/* Messages of a tunnel that wait for room in the window. */
#define WANT_SCCRQ 0x01
#define WANT_SCCRP 0x02
#define WANT_SCCCN 0x04
#define WANT_STOP  0x08
#define WANT_HELLO 0x10

/* Internal states beside those of the public header. */
enum { L2TP_TS_IDLE = L2TP_TS_LINGER + 1, L2TP_TS_DEAD, L2TP_TS_COUNT };
enum { L2TP_SS_IDLE = L2TP_SS_CLOSING + 1, L2TP_SS_DEAD, L2TP_SS_COUNT };

struct tunnel {
	struct thing thing;
	adit_handle handle;
	uint64_t owner;
	struct l2tp_profile *profile; /* NULL while the owner has not answered */
	struct path path;
	uint16_t local_id, remote_id;
	uint8_t state; /* enum l2tp_tunnel_state or L2TP_TS_* above */
	uint8_t want;  /* WANT_* */
	bool initiator;
	bool was_up;
	bool verified;	  /* the peer has shown that it receives what we send to its address */
	bool quiet_asked; /* TUNNEL_QUIET is open */
	bool in_peer, in_request, in_dial;
	bool in_host;	 /* `by_dial` is in l2tp.by_host: it is up */
	uint8_t doubts;	 /* how often the peer was asked whether it still has the tunnel */
	bool challenged; /* our challenge has to be answered */
	bool respond;	 /* `response` goes into SCCRP or SCCCN */
	bool has_tie;
	struct rel rel;

	struct heap_node timer; /* the earliest of these and of rel's */
	struct mono state_at, hello_at, empty_at, pump_at;
	struct mono doubt_at; /* next doubt; without doubts: none before */
	struct mono since, heard, up_at;

	struct list sessions; /* all */
	struct list answers;  /* with ICRP, ICCN or CDN to send: these go first */
	struct list requests; /* with ICRQ to send */
	uint32_t session_count, orphans;
	uint32_t queued;       /* in both */
	struct list work, out; /* in l2tp.work: has to be pumped; in l2tp.out: has to transmit */
	struct list dead;      /* in l2tp.dead_tunnels */

	struct htab_node by_peer;    /* path and the peer's id */
	struct htab_node by_request; /* path and hash of the SCCRQ, as it may be repeated */
	struct htab_node by_dial;    /* peer's address, while our SCCRQ waits for its answer */
	uint64_t request_hash;
	struct bound_node bound; /* while half-open */
	adit_handle yields;	 /* ours lost the tie to this one of the peer, which may yet fail */
	adit_handle loser;	 /* the other way round */

	uint64_t tie;
	uint8_t challenge[L2TP_CHALLENGE];
	uint8_t response[16];
	struct l2tp_offer *offer; /* what our SCCRQ says to peers of L2TPv3, or NULL */
	uint8_t *request;	  /* the SCCRQ's payload, while the owner thinks */
	uint16_t request_len;
	uint16_t asked; /* octets of the SCCRQ; 0: what we send is not measured against it */
	uint32_t peer_framing, peer_bearer;
	uint16_t firmware;	     /* the peer's */
	uint8_t quirks, quirks_used; /* L2TP_QUIRK_* */

	struct ending why; /* text is in `text` */
	char *text;
	char *host_name, *vendor_name; /* the peer's, or NULL */
};

/* The first three are ICRQ, ICRP, ICCN of an incoming call and OCRQ, OCRP, OCCN of an outgoing one.
 */
enum session_want {
	SEND_NOTHING,
	SEND_REQUEST,
	SEND_REPLY,
	SEND_CONNECTED,
	SEND_CDN,
	SEND_SLI,
	SEND_WEN
};

struct session_numbers {
	uint16_t size, called, sub_address; /* offsets of the strings; calling is at 0 */
	uint32_t min_bps, max_bps, bearer;  /* of an outgoing call */
	char text[];
};

/* What only few sessions have: a line behind the LAC that tells of itself. */
struct session_line {
	struct mono wen_at; /* not before this may a WEN go out */
	uint32_t errors[6]; /* of our line, to be sent */
	bool wen;	    /* they have changed since the last WEN */
	uint32_t got[6];    /* told by the peer's WEN */
	bool accm;	    /* SLI has come or gone: */
	uint32_t send, recv;
};

struct session_proxy {
	uint32_t len;
	uint8_t bytes[];
};

struct session {
	struct thing thing;
	adit_handle handle;
	uint64_t owner;
	struct tunnel *tunnel; /* NULL once finished */
	struct list link;      /* in tunnel.sessions */
	struct list send;      /* in tunnel.answers or tunnel.requests */
	struct heap_node timer;
	struct htab_node by_remote;
	struct session_numbers *numbers; /* or NULL */
	struct session_proxy *proxy;	 /* or NULL */
	struct session_line *line;	 /* or NULL */
	char *text;			 /* or NULL */
	struct mono since;
	uint32_t serial, tx_speed, rx_speed, framing;
	uint16_t local_id, remote_id;
	uint16_t data_ns, data_nr, data_oos; /* data_oos: the next number of a run past a gap */
	uint16_t result, error;
	uint8_t cause;
	uint8_t state; /* enum l2tp_session_state or L2TP_SS_* above */
	uint8_t want;  /* enum session_want */
	uint8_t oos;   /* length of that run */
	bool initiator : 1;
	bool outgoing : 1; /* OCRQ began it */
	bool answered : 1; /* OCCN is to follow the OCRP that still waits */
	bool hold : 1;	   /* ICCN waits for the owner, */
	bool held : 1;	   /* ... now */
	bool by_peer : 1;
	bool ask_seq : 1; /* we ask for sequencing */
	bool send_seq : 1, require_seq : 1;
	bool in_remote : 1;
	bool orphan : 1; /* only there to refuse a call */
};

_Static_assert(sizeof(struct session) <= 256, "a session is small");

/* A StopCCN to somebody who gets no object. */
struct reply {
	struct path path;
	uint16_t tunnel, len;
	bool told; /* is recorded */
	uint8_t bytes[64 + L2TP_TEXT_MAX];
};

struct l2tp {
	struct rng rng;
	struct trace *trace;
	struct l2tp_config cfg;
	struct mono now;   /* of the last call */
	struct mono grace; /* after a suspend nothing is given up before this */
	struct pool *tunnels, *sessions;
	struct idmap *tunnel_ids, *session_ids;
	struct htab by_peer, by_request, by_dial, by_remote, by_host;
	struct heap tunnel_timers, session_timers;
	struct list news, journal_tunnels, journal_sessions, work, out;
	struct list dead_tunnels, dead_sessions; /* finished: may be freed between acts */
	struct reply replies[L2TP_REPLIES];
	uint32_t reply_first, reply_count;
	uint32_t session_count; /* without finished ones */
	struct bound bound;	/* half-open tunnels */
	uint32_t serial, lenient;
	bool scarce; /* memory: nobody new */
	size_t account;
	struct l2tp_counters count;
	struct mono drop_at[L2TP_DROPS];
	uint32_t drop_count[L2TP_DROPS];
	struct mono told_at; /* what nobody knows was told since then: */
	uint32_t told[2];    /* [0] of tunnels, [1] of sessions in a tunnel */
	char text[L2TP_TEXT_MAX];
};

/* ---- l2tp.c ---- */

void engine_enter(struct l2tp *l, struct mono now); /* the start of every act */

void *engine_alloc(struct l2tp *l, size_t n); /* NULL when out of memory */
void engine_release(struct l2tp *l, void *p, size_t n);
char *engine_text(struct l2tp *l, const char *text); /* a copy cut to its limit, or NULL */
void engine_text_free(struct l2tp *l, char **text);
/* Why somebody is refused while l2tp_scarce(). */
extern const char engine_scarce[];
/* Copy octets of the peer as a string of at most `max` octets with NUL. */
void engine_name(char *dst, size_t max, struct l2tp_bytes b);
/* A reason for a message that may have `room` octets of it, 0 too: as many whole words as fit into
 * that and into `dst`, of L2TP_TEXT_MAX. NULL = none. */
void engine_words(char *dst, size_t room, const char *text);

/* Which counter of a drop; the order of the trace kinds L2TP_DROP_*. */
enum drop {
	DROP_HEADER,
	DROP_TUNNEL,
	DROP_SESSION,
	DROP_PATH,
	DROP_STATE,
	DROP_SEQUENCE,
	DROP_AVP,
	DROP_WINDOW,
	DROP_LIMIT
};

/* Count it and tell, at most once a second and reason. Returns L2TP_IN_DROP. */
int engine_drop(struct l2tp *l, enum drop why, uint32_t id, const struct path *path);

void thing_init(struct thing *th, enum l2tp_object kind);
void thing_news(struct l2tp *l, struct thing *th, uint8_t news);
void thing_dirty(struct l2tp *l, struct thing *th);
/* Leave the lists; used when the object is freed. */
void thing_quit(struct thing *th);
void engine_work(struct l2tp *l, struct tunnel *t); /* it has something to build */
void engine_out(struct l2tp *l, struct tunnel *t);  /* it has something to transmit */
void engine_pump(struct l2tp *l);

/* The recorder for what concerns `t`; NULL when a stranger has filled enough of it. */
static inline struct trace *tunnel_trace(const struct l2tp *l, struct tunnel *t)
{
	return t->initiator || t->was_up ? l->trace : bound_words(&t->bound, l->trace);
}

/* ---- halfopen.c ---- */

/* A control message without tunnel id. Returns as l2tp_input(). */
int stranger_input(struct l2tp *l, const struct path *path, const struct l2tp_header *h,
		   const uint8_t *bytes);
/* Bound the half-open tunnels of a source and of all; the oldest goes. 0 or -ENOMEM. */
int halfopen_enter(struct l2tp *l, struct tunnel *t);
void halfopen_leave(struct l2tp *l, struct tunnel *t);
/* Is this stranger's request recorded, with what becomes of it? */
bool stranger_tell(struct l2tp *l);
/* The owner trusts its address: strangers do not push it out any more. */
void halfopen_trust(struct l2tp *l, struct tunnel *t);

/* ---- doubt.c ---- */

/* Data for a tunnel, for a session that nobody knows: dropped, and the peer is told. */
int doubt_no_tunnel(struct l2tp *l, const struct path *path, const struct l2tp_header *h);
int doubt_no_session(struct l2tp *l, struct tunnel *t, const struct path *path,
		     const struct l2tp_header *h);
/* The peer may have forgotten this tunnel: ask. It has answered. The time has come. */
void doubt_begin(struct l2tp *l, struct tunnel *t);
void doubt_end(struct l2tp *l, struct tunnel *t);
/* What the planes have heard of it was told. */
void doubt_heard(struct l2tp *l, struct tunnel *t);
void doubt_due(struct l2tp *l, struct tunnel *t);
/* This one came up: its host may have forgotten its others. */
void doubt_others(struct l2tp *l, struct tunnel *t);
/* A tunnel is up: it can be found by its host. It is not any more. */
void doubt_enter(struct l2tp *l, struct tunnel *t);
void doubt_leave(struct l2tp *l, struct tunnel *t);

/* ---- tunnel.c, control.c ---- */

enum tunnel_event {
	TE_OPEN,      /* local open request */
	TE_SCCRQ,     /* acceptable, from a stranger; inside a tunnel: any */
	TE_SCCRQ_BAD, /* not acceptable */
	TE_ACCEPT,    /* the owner wants it */
	TE_SCCRP,
	TE_SCCRP_BAD,
	TE_SCCCN,
	TE_SCCCN_BAD,
	TE_STOPCCN,
	TE_HELLO,
	TE_CALL,     /* a message that belongs to a session */
	TE_BAD,	     /* a message that clears the tunnel */
	TE_CLOSE,    /* local close, refusal, time limit with a peer that is there */
	TE_LOST,     /* the peer is not there: retries used up, evicted, time limit */
	TE_TIE_LOST, /* the peer's SCCRQ won and its tunnel is up */
	TE_REPLACED, /* the peer has restarted */
	TE_ACKED,    /* all we sent is acknowledged, StopCCN too */
	TE_EXPIRED,  /* end of the wait after StopCCN */
	TE_COUNT
};

#define TA_SCCRQ  0x01 /* send SCCRQ */
#define TA_ASK	  0x02 /* raise TUNNEL_ASK */
#define TA_SCCRP  0x04
#define TA_SCCCN  0x08
#define TA_STOP	  0x10	/* send StopCCN */
#define TA_UP	  0x20	/* raise TUNNEL_UP, let waiting sessions go */
#define TA_END	  0x40	/* raise TUNNEL_DOWN after its sessions' DOWN */
#define TA_WAIT	  0x80	/* wait a full cycle (CLOSING, LINGER) */
#define TA_FINISH 0x100 /* nothing more to do for it */

struct tunnel_row {
	uint8_t next; /* state; TS_SAME */
	uint16_t act;
};

#define TS_SAME 0xff

/* [event][state]; states in the order of enum l2tp_tunnel_state, then L2TP_TS_IDLE. */
extern const struct tunnel_row tunnel_table[TE_COUNT][L2TP_TS_DEAD];

/* A tunnel with an id and everything reserved. 0, 1 when a limit is reached, -ENOMEM. */
int tunnel_new(struct l2tp *l, const struct path *path, bool initiator, struct tunnel **ret);
/* The same with a certain id, for a record. 1 also when the id is not free. */
int tunnel_new_with_id(struct l2tp *l, const struct path *path, uint16_t id, struct tunnel **ret);
void tunnel_adopt(struct tunnel *t, struct l2tp_profile *p); /* go by this profile */
/* Take it back at once; nobody knows of it. */
void tunnel_undo(struct l2tp *l, struct tunnel *t);
/* Free it if nothing needs it any more; not inside an act. */
void tunnel_reap(struct l2tp *l, struct tunnel *t);
void tunnel_step(struct l2tp *l, struct tunnel *t, enum tunnel_event ev, const struct ending *why);
int tunnel_open(struct l2tp *l, struct l2tp_cmd *cmd);
int tunnel_accept(struct l2tp *l, struct tunnel *t, struct l2tp_cmd *cmd);
void tunnel_heard(struct l2tp *l, struct tunnel *t, struct mono at);
/* A message for this tunnel. Returns as l2tp_input(). */
int tunnel_receive(struct l2tp *l, struct tunnel *t, const struct path *path,
		   const struct l2tp_header *h, const uint8_t *bytes);
bool tunnel_may_come_from(const struct tunnel *t, const struct path *path);
void tunnel_pump(struct l2tp *l, struct tunnel *t);
void tunnel_timer(struct l2tp *l, struct tunnel *t);
void tunnel_expire(struct l2tp *l, struct tunnel *t);
void tunnel_hello(struct l2tp *l, struct tunnel *t); /* send one */
void tunnel_arm_hello(struct tunnel *t);	     /* quiet time counts from `heard` */
void tunnel_release_request(struct l2tp *l, struct tunnel *t);
void tunnel_awake(struct l2tp *l, struct tunnel *t); /* after a suspend */
void tunnel_empty(struct l2tp *l, struct tunnel *t); /* a session has left */
bool tunnel_worth_record(const struct tunnel *t);
int tunnel_names(struct l2tp *l, struct tunnel *t, struct l2tp_bytes host,
		 struct l2tp_bytes vendor);
void tunnel_key_peer(struct l2tp *l, struct tunnel *t, uint16_t remote_id);
struct tunnel *tunnel_by_peer(struct l2tp *l, const struct path *path, uint16_t remote_id,
			      const struct tunnel *after);
uint64_t tunnel_dial_hash(const struct l2tp *l, const struct addr *a);
/* A built message gets the next number. 0 or -ENOMEM. */
int tunnel_push(struct l2tp *l, struct tunnel *t, struct l2tp_build *b, uint32_t session);
void tunnel_build(struct l2tp *l, const struct tunnel *t, struct l2tp_build *b, void *buf,
		  uint16_t type);

static inline const struct l2tp_secret *tunnel_secret(const struct tunnel *t)
{
	return t->profile && t->profile->secret.n ? &t->profile->secret : NULL;
}

/* In words, when a peer gave a result without text. */
const char *stop_result_text(uint16_t result, uint16_t error);
const char *cdn_result_text(uint16_t result, uint16_t error);
/* ... that is in no RFC; into `text`. NULL when it gave 0. */
const char *result_number_text(char text[L2TP_TEXT_MAX], uint16_t result, uint16_t error);

/* ---- call.c ---- */

enum call_event {
	CE_OPEN,    /* local: a call came in (LAC), or one is wanted (LNS) */
	CE_TUNNEL,  /* the tunnel is open and there is room: the request goes out */
	CE_REQUEST, /* ICRQ, OCRQ */
	CE_ACCEPT,  /* the owner wants it */
	CE_REPLY,   /* ICRP, OCRP */
	CE_REPLY_BAD,
	CE_ANSWERED,  /* local: the line that we called has answered (LAC) */
	CE_CONNECTED, /* ICCN, OCCN */
	CE_CONNECTED_BAD,
	CE_CDN,
	CE_SLI,
	CE_WEN,
	CE_BAD,	    /* a message that clears the session */
	CE_CLOSE,   /* local close, refusal */
	CE_EXPIRED, /* not established in time */
	CE_SENT,    /* the CDN, or our ICCN or OCCN, has its number */
	CE_COUNT
};

#define CA_QUEUE     0x01 /* stand in line with ICRQ or OCRQ */
#define CA_ASK	     0x02
#define CA_REPLY     0x04
#define CA_CONNECTED 0x08
#define CA_CDN	     0x10
#define CA_UP	     0x20
#define CA_END	     0x40
#define CA_FINISH    0x80
#define CA_ACCM	     0x100
#define CA_ERRORS    0x200
#define CA_TIMER     0x400 /* the time limit of the set-up starts */

enum call_role {
	CALL_ROLE_LNS_IN,
	CALL_ROLE_LAC_IN,
	CALL_ROLE_LAC_OUT,
	CALL_ROLE_LNS_OUT,
	CALL_ROLES
};

/* [role][event][state] */
extern const struct tunnel_row call_table[CALL_ROLES][CE_COUNT][L2TP_SS_DEAD];

static inline enum call_role call_role(const struct session *s)
{
	if (s->outgoing)
		return s->initiator ? CALL_ROLE_LNS_OUT : CALL_ROLE_LAC_OUT;
	return s->initiator ? CALL_ROLE_LAC_IN : CALL_ROLE_LNS_IN;
}

/* The LAC of a call sends the ICRQ, or gets the OCRQ. */
static inline bool call_is_lac(const struct session *s)
{
	return s->initiator != s->outgoing;
}

void call_step(struct l2tp *l, struct session *s, enum call_event ev, const struct ending *why);
int call_open(struct l2tp *l, struct tunnel *t, struct l2tp_cmd *cmd);
int call_accept(struct l2tp *l, struct session *s, struct l2tp_cmd *cmd);
int call_answered(struct l2tp *l, struct session *s, const struct l2tp_cmd *cmd);
int call_accm(struct l2tp *l, struct session *s, const struct l2tp_cmd *cmd);
int call_errors(struct l2tp *l, struct session *s, const struct l2tp_cmd *cmd);
int call_go(struct l2tp *l, struct session *s);
/* What this peer cannot be asked for in an outgoing call, in words; NULL when it can. */
const char *call_cannot(const struct tunnel *t, uint32_t bearer, uint32_t framing);
struct session *call_by_remote(struct l2tp *l, const struct tunnel *t, uint16_t remote_id);
struct session_line *call_line(struct l2tp *l, struct session *s); /* makes it; NULL: no memory */
/* The proxy AVPs as (u16 type, u16 length, value) records. */
int session_set_proxy(struct l2tp *l, struct session *s, const void *bytes, size_t len);
/* A session message, in order. `v` is its verdict (OK or CLEAR). 0 or -ENOMEM: not taken. */
int call_message(struct l2tp *l, struct tunnel *t, uint32_t session, const struct l2tp_msg *m,
		 const struct l2tp_verdict *v);
/* Build the next message of a session that wants to send. 0, 1 when there is none, -ENOMEM. */
int call_build_next(struct l2tp *l, struct tunnel *t);
int session_new(struct l2tp *l, struct tunnel *t, uint16_t local_id, struct session **ret);
void session_undo(struct l2tp *l, struct session *s);
void session_finish(struct l2tp *l, struct session *s);
void session_reap(struct l2tp *l, struct session *s);
void session_free(struct l2tp *l, struct session *s);
void session_expire(struct l2tp *l, struct session *s);
/* The tunnel ends: raise DOWN for this session on its behalf. */
void session_end_with(struct l2tp *l, struct session *s, const struct ending *why);
bool session_worth_record(const struct session *s);
void session_key_remote(struct l2tp *l, struct session *s, uint16_t remote_id);
int session_set_numbers(struct l2tp *l, struct session *s, const char *calling, const char *called,
			const char *sub_address);
/* CDN for a call that gets no session: `remote_id` is the peer's, `local_id` ours or 0. 0, -ENOMEM.
 */
int call_refuse(struct l2tp *l, struct tunnel *t, uint16_t local_id, uint16_t remote_id,
		const struct ending *why);
void call_want(struct l2tp *l, struct session *s, enum session_want what);
/* Waiting calls go over to the tunnel that won the tie. */
void call_move(struct l2tp *l, struct tunnel *from, struct tunnel *to);

static inline struct tunnel *tunnel_of_thing(struct thing *th)
{
	return container_of(th, struct tunnel, thing);
}

static inline struct session *session_of_thing(struct thing *th)
{
	return container_of(th, struct session, thing);
}

/* ---- quirk.c ---- */

/* L2TP_QUIRK_* of a peer that says this of itself: by the table, and by the profile too. */
uint32_t quirks_known(const struct l2tp_msg *m);
uint32_t quirks_of(const struct l2tp_profile *p, const struct l2tp_msg *m);

/* ---- data.c ---- */

/* Is data without a number dropped? */
bool session_needs_seq(const struct session *s);
int data_input(struct l2tp *l, const struct path *path, const struct l2tp_header *h,
	       struct l2tp_frame *ret);

#endif
