/* SPDX-License-Identifier: MIT
 *
 * What the files of the L2TPv3 engine share.
 *
 *     v3.c         the public entry points, demultiplexing, time, events, output
 *     v3_open.c    packets of strangers: SCCRQs, what bounds them, ties of connections (5.4.3)
 *     v3_conn.c    the control connection: timers, keepalive, actions of its table (4.4, 7.2)
 *     v3_ctl.c     its messages and commands (3.3, 4.2, 6.1 to 6.5, 6.15)
 *     v3_digest.c  which digests and nonces a connection goes by (4.3, 5.4.1)
 *     v3_session.c sessions: making, commands, actions of their tables (7.3, 7.4)
 *     v3_smsg.c    their messages (6.6 to 6.14), ties of sessions (5.4.4)
 *     v3_doubt.c   one of the two has lost its state
 *     v3_data.c    data messages: cookie, sublayer, sequence (4.1, 4.5, 4.6)
 *     v3_save.c    records that outlive the process
 *     v3_info.c    what is there; profiles
 *
 * The automata of RFC 3931 7.2 to 7.4 are those of RFC 2661 7.2 to 7.5: the tables of v2
 * (tunnel.c, call.c) serve both. What v3 has more stands outside of them: whoever loses a tie, and
 * circuit status and errors, which either side may tell of in every state.
 *
 * Life of an object, sending, and news are as internal.h says it of v2: nothing is freed inside an
 * act, nothing is built before there is room for it in the window, an object with news stands once
 * in a list.
 */
#ifndef ADIT_L2TP_V3_INT_H
#define ADIT_L2TP_V3_INT_H

#include <adit/l2tp3.h>
#include "l2tp/bound.h"
#include "l2tp/internal.h"
#include "l2tp/msg3.h"

#define L2TP3_BEATEN_US (3 * US_S) /* how long we wait for the request that beat ours */
#define L2TP3_LATE_US	(1 * US_S) /* how far the net may put a request behind its answer */
#define L2TP3_RESTARTS	3	   /* equal tie breakers in a row that we take for chance */
#define L2TP3_DROPS	11

/* News beside those of internal.h: NEWS_ASK, NEWS_UP, NEWS_QUIET, NEWS_ERRORS, NEWS_DOWN. */
#define NEWS_MOVED  0x08 /* connections */
#define NEWS_STATUS 0x08 /* sessions */

/* How the messages of a connection are protected (4.3). */
enum conn_auth {
	CONN_AUTH_OFF, /* no digests */
	CONN_AUTH_SUM, /* digests of an empty secret, without nonces: a checksum */
	CONN_AUTH_ON   /* Control Message Authentication */
};

struct l2tp3_profile {
	uint32_t refs;
	struct l2tp3_params p;	/* defaults filled in; pointers lead into this object */
	struct l2tp3_auth auth; /* all keys; n = 0: no secret */
	char host_name[L2TP_NAME_MAX];
	char vendor_name[L2TP_NAME_MAX];
	char peer_name[L2TP_NAME_MAX];
	uint8_t secret[L2TP3_SECRETS][L2TP_SECRET_MAX];
	uint8_t caps[2 * L2TP3_PW_TYPES_MAX]; /* value of AVP 62 */
	uint8_t caps_len;
};

/* A control connection. */
struct conn {
	struct thing thing;
	adit_handle handle;
	uint64_t owner;
	struct l2tp3_profile *profile; /* NULL while the owner has not answered */
	struct path path;
	uint32_t local_id, remote_id;
	uint8_t state;	 /* enum l2tp3_conn_state, or L2TP_TS_IDLE, L2TP_TS_DEAD */
	uint8_t want;	 /* WANT_* */
	uint8_t auth;	 /* enum conn_auth */
	uint8_t key;	 /* which key the peer uses: ours too */
	uint8_t got_key; /* that of the message in hand */
	uint8_t equal;	 /* ties with equal values in a row */
	bool over_ip;
	bool initiator;
	bool was_up;
	bool verified;	  /* the peer has shown that it receives what we send to its address */
	bool proved;	  /* a digest of the peer was right */
	bool quiet_asked; /* CONN_QUIET is open */
	bool in_peer, in_request, in_dial, in_host;
	bool challenged; /* our challenge has to be answered */
	bool respond;	 /* `response` goes into SCCRP or SCCCN */
	bool has_tie;
	bool offered;	 /* the v2 engine sends our SCCRQ (4.7.3) */
	bool from_offer; /* it was asked for by a v2 SCCRQ */
	bool doubt_sure; /* the peer is there, and has nearly surely lost it */
	bool told_nonce; /* our SCCRP, with our nonce, has a number */
	bool beaten;	 /* the peer refused ours for its own, which has not come yet */
	uint8_t unlike;	 /* enum l2tp3_check of a request from there that has not our secret */
	struct rel rel;

	struct heap_node timer; /* the earliest of these and of rel's */
	struct mono state_at, hello_at, empty_at, pump_at;
	struct mono since, heard, up_at;
	struct mono doubt_at; /* next doubt; without doubts: when the last one ended */
	struct mono doubted;  /* when the doubt began */

	struct list sessions; /* all */
	struct list answers;  /* with something to send but a request: these go first */
	struct list requests; /* with ICRQ or OCRQ to send */
	uint32_t session_count, orphans;
	uint32_t queued;
	struct list work, out;
	struct list dead; /* in l2tp3.dead_conns */

	struct htab_node by_peer;    /* path and the peer's id */
	struct htab_node by_request; /* path and hash of the SCCRQ, as it may be repeated */
	struct htab_node by_dial;    /* peer's address, while our SCCRQ waits for its answer, or in
					by_host while it is up */
	uint64_t request_hash;
	struct bound_node bound;
	adit_handle yields; /* ours lost the tie to this one of the peer, which may yet fail */
	adit_handle loser;  /* the other way round */

	uint64_t tie;
	uint8_t own_nonce[L2TP3_NONCE], peer_nonce[L2TP3_NONCE_MAX];
	uint8_t own_nonce_len, peer_nonce_len;
	uint8_t challenge[L2TP_CHALLENGE];
	uint8_t response[16];
	uint8_t *request; /* the SCCRQ from the T bit on, while the owner thinks */
	uint16_t request_len;
	uint16_t asked; /* octets of the SCCRQ; 0: what we send is not measured against it */
	uint16_t pw_types[L2TP3_PW_TYPES_MAX]; /* of the peer, those that we know; 0 = end */
	uint32_t router_id;		       /* the peer's */
	uint8_t quirks, quirks_used;
	uint8_t doubts; /* how often the peer was asked whether it still has the connection */
	uint8_t alarms; /* StopCCNs that made us ask */

	struct ending why; /* text is in `text` */
	char *text;
	char *hint; /* what the peer said without proving that it was the peer, or NULL */
	char *host_name, *vendor_name; /* the peer's, or NULL */
};

/* What names the circuit of a session, in one block. */
struct pw_ends {
	uint8_t remote, local, group; /* octets of each, in this order in `bytes` */
	uint8_t bytes[];
};

/* What only few sessions have. */
struct pw_line {
	struct mono wen_at;		       /* not before this may a WEN go out */
	uint32_t errors[6];		       /* of our circuit, to be sent */
	uint32_t got[6];		       /* told by the peer's WEN */
	uint64_t tx_speed, rx_speed;	       /* ours */
	uint64_t peer_tx_speed, peer_rx_speed; /* the peer's */
	uint32_t channel_id;
	bool wen; /* errors have changed since the last WEN */
};

/* A session. */
struct pw {
	struct thing thing;
	adit_handle handle;
	uint64_t owner;
	struct conn *conn; /* NULL once finished */
	struct list link;  /* in conn.sessions */
	struct list send;  /* in conn.answers or conn.requests */
	struct heap_node timer;
	struct htab_node by_remote;
	struct htab_node by_end; /* while our request waits for its answer */
	struct pw_ends *ends;	 /* or NULL */
	struct pw_line *line;	 /* or NULL */
	char *text;		 /* or NULL */
	struct mono since;
	uint64_t tie;
	uint32_t serial, local_id, remote_id;
	uint32_t data_ns, data_nr, data_oos;
	uint16_t type; /* of the pseudowire */
	uint16_t local_status, remote_status;
	uint16_t mtu, peer_mtu;
	uint16_t result, error;
	uint8_t cookie_in[L2TP3_COOKIE_MAX], cookie_out[L2TP3_COOKIE_MAX];
	uint8_t cookie_in_len, cookie_out_len;
	uint8_t sublayer_in, sublayer_out, seq_in, seq_out;
	uint8_t cause;
	uint8_t state; /* enum l2tp3_session_state, or L2TP_SS_IDLE, L2TP_SS_DEAD */
	uint8_t want;  /* enum session_want */
	uint8_t oos;   /* length of a run of numbers past a gap */
	uint8_t equal; /* ties with equal values in a row */
	bool initiator : 1;
	bool outgoing : 1;
	bool answered : 1; /* OCCN is to follow the OCRP that still waits */
	bool by_peer : 1;
	bool in_remote : 1;
	bool in_end : 1;
	bool has_tie : 1;
	bool orphan : 1;      /* only there to refuse a request */
	bool status_told : 1; /* the peer knows local_status */
	bool named : 1;	      /* the peer knows our id: it rests when it is given back */
	bool mirrored : 1;    /* pw_mirror() has changed something after the request */
	bool hold : 1;	      /* ICCN or OCCN waits for the owner where data is numbered, */
	bool held : 1;	      /* ... now */
};

_Static_assert(sizeof(struct pw) <= 400, "a session is small");

/* The order of states is that of v2, whose tables are used. */
_Static_assert((int)L2TP3_CS_LINGER == (int)L2TP_TS_LINGER, "states of a connection");
_Static_assert((int)L2TP3_SS_CLOSING == (int)L2TP_SS_CLOSING, "states of a session");

struct reply3 {
	struct path path;
	uint16_t len;
	bool told; /* is recorded */
	uint8_t bytes[96 + L2TP_TEXT_MAX];
};

struct l2tp3 {
	struct rng rng;
	struct trace *trace;
	struct l2tp3_config cfg;
	uint32_t max_conns, max_sessions; /* at present */
	bool scarce;			  /* memory: nobody new */
	struct mono now;		  /* of the last call */
	struct mono grace;		  /* after a suspend nothing is given up before this */
	struct pool *conns, *sessions;
	struct idmap *conn_ids, *session_ids;
	struct htab by_peer, by_request, by_dial, by_host, by_remote, by_end;
	struct heap conn_timers, session_timers;
	struct list news, journal_conns, journal_sessions, work, out;
	struct list dead_conns, dead_sessions;
	struct reply3 replies[L2TP_REPLIES];
	uint32_t reply_first, reply_count;
	struct bound bound;
	uint32_t session_count;
	uint32_t serial;
	size_t account;
	struct l2tp3_counters count;
	struct mono drop_at[L2TP3_DROPS];
	uint32_t drop_count[L2TP3_DROPS];
	struct mono told_at;   /* until then `told` counts */
	uint32_t told[2];      /* who was told that we know no connection, no session */
	struct l2tp3_auth sum; /* of the empty secret, MD5 */
	struct l2tp3_auth sum_sha1;
	char text[L2TP_TEXT_MAX];
	uint8_t reserved; /* the object of session ids that are used without us */
};

/* The recorder for what concerns `c`; NULL when a stranger has filled enough of it. */
static inline struct trace *conn_trace(const struct l2tp3 *l, struct conn *c)
{
	return c->initiator || c->was_up ? l->trace : bound_words(&c->bound, l->trace);
}

/* A control message as it came: everything counts from the T bit. */
struct in3 {
	const struct path *path;
	const uint8_t *msg;
	uint32_t len;
	uint32_t connection;
	uint16_t ns, nr;
	uint16_t type; /* as far as it can be told without decoding; L2TP_ZLB */
	bool offer;    /* it has the header of v2 */
};

/* ---- v3.c ---- */

void v3_enter(struct l2tp3 *l, struct mono now); /* the start of every act */
void *v3_alloc(struct l2tp3 *l, size_t n);
void v3_release(struct l2tp3 *l, void *p, size_t n);
char *v3_text(struct l2tp3 *l, const char *text); /* a copy cut to its limit, or NULL */
void v3_text_free(struct l2tp3 *l, char **text);

/* Which counter of a drop; the order of the trace kinds L2TP3_DROP_*. */
enum drop3 {
	DROP3_HEADER,
	DROP3_CONN,
	DROP3_SESSION,
	DROP3_PATH,
	DROP3_STATE,
	DROP3_SEQUENCE,
	DROP3_AVP,
	DROP3_WINDOW,
	DROP3_LIMIT,
	DROP3_DIGEST,
	DROP3_COOKIE
};

/* Count it and tell, at most once a second and reason. Returns L2TP3_IN_DROP. */
int v3_drop(struct l2tp3 *l, enum drop3 why, uint32_t id, const struct path *path);
void v3_news(struct l2tp3 *l, struct thing *th, uint8_t news);
void v3_dirty(struct l2tp3 *l, struct thing *th);
void v3_work(struct l2tp3 *l, struct conn *c); /* it has something to build */
void v3_out(struct l2tp3 *l, struct conn *c);  /* it has something to transmit */
void v3_pump(struct l2tp3 *l);
uint16_t v3_peek_type(const uint8_t *payload, size_t len);

static inline bool path_is_ip(const struct path *p)
{
	return p->remote.port == 0;
}

/* ---- v3_open.c ---- */

/* A control message without connection id. Returns as l2tp3_input(). */
int open_input(struct l2tp3 *l, const struct in3 *in);
/* Is this stranger's request recorded, with what becomes of it? */
bool open_tell(struct l2tp3 *l);
/* The owner trusts its address. */
void open_trust(struct l2tp3 *l, struct conn *c);

/* ---- v3_digest.c ---- */

/* A new connection of ours, or one whose SCCRQ the owner has accepted: how it begins. */
void digest_begin(struct l2tp3 *l, struct conn *c);
/* The keys to send a message with, NULL for none. `one` is room for them. */
const struct l2tp3_auth *digest_keys(const struct l2tp3 *l, const struct conn *c, uint16_t type,
				     struct l2tp3_auth *one);
/* The same without a connection, for a peer with this profile or, with NULL, for anybody. */
const struct l2tp3_auth *digest_bare(const struct l2tp3 *l, const struct l2tp3_profile *p,
				     bool over_ip, struct l2tp3_auth *one);
void digest_sign(const struct l2tp3 *l, const struct conn *c, uint8_t *msg, size_t len,
		 uint16_t type);
/* May this message be believed? Notes its key. */
bool digest_good(struct l2tp3 *l, struct conn *c, const struct in3 *in);
/* The SCCRQ that a connection was asked for with. */
enum l2tp3_check digest_request(struct l2tp3 *l, struct conn *c, const uint8_t *msg, size_t len);
/* The message in hand is new: we send with its key from now on. */
void digest_settle(struct conn *c);
/* The hiding key of the message in hand, or NULL. */
const struct l2tp_secret *digest_hide(const struct conn *c, struct l2tp_secret *room);
void digest_peer_nonce(struct conn *c, struct l2tp_bytes nonce);

/* ---- v3_conn.c ---- */

int conn_new(struct l2tp3 *l, const struct path *path, bool initiator, uint32_t id,
	     struct conn **ret); /* id 0: choose one. 0, 1 at a limit or not free, -ENOMEM */
void conn_undo(struct l2tp3 *l, struct conn *c);
void conn_reap(struct l2tp3 *l, struct conn *c);
void conn_adopt(struct conn *c, struct l2tp3_profile *p);
void conn_step(struct l2tp3 *l, struct conn *c, enum tunnel_event ev, const struct ending *why);
void conn_timer(struct l2tp3 *l, struct conn *c);
void conn_expire(struct l2tp3 *l, struct conn *c);
void conn_arm_hello(struct l2tp3 *l, struct conn *c);
void conn_heard(struct l2tp3 *l, struct conn *c, struct mono at);
void conn_awake(struct l2tp3 *l, struct conn *c);
void conn_hello(struct l2tp3 *l, struct conn *c);
void conn_empty(struct l2tp3 *l, struct conn *c);
void conn_release_request(struct l2tp3 *l, struct conn *c);
bool conn_worth_record(const struct conn *c);
int conn_names(struct l2tp3 *l, struct conn *c, struct l2tp_bytes host, struct l2tp_bytes vendor);
void conn_hint(struct l2tp3 *l, struct conn *c, const char *text);
/* The request of `c` was not made with the secret of its profile: our own request to the same peer,
 * should nobody answer it, has this to tell. */
void conn_unlike(struct l2tp3 *l, const struct conn *c, enum l2tp3_check check);
void conn_key_peer(struct l2tp3 *l, struct conn *c, uint32_t remote_id);
struct conn *conn_by_peer(struct l2tp3 *l, const struct path *path, uint32_t remote_id,
			  const struct conn *after);
uint64_t conn_dial_hash(const struct l2tp3 *l, const struct addr *a);
void conn_dial(struct l2tp3 *l, struct conn *c); /* its SCCRQ is under way */
/* Ours lost the tie to `winner`. */
void conn_yield(struct l2tp3 *l, struct conn *loser, struct conn *winner);
/* Both sides chose the same value: ask again with other ids and values. */
void conn_again(struct l2tp3 *l, struct conn *c);

/* ---- v3_ctl.c ---- */

int conn_open(struct l2tp3 *l, struct l2tp3_cmd *cmd);
int conn_accept(struct l2tp3 *l, struct conn *c, struct l2tp3_cmd *cmd);
int conn_receive(struct l2tp3 *l, struct conn *c, const struct in3 *in);
bool conn_may_come_from(const struct conn *c, const struct path *path);
void conn_pump(struct l2tp3 *l, struct conn *c);
void conn_build(struct l2tp3 *l, const struct conn *c, struct l2tp_build *b, void *buf,
		uint16_t type);
int conn_push(struct l2tp3 *l, struct conn *c, struct l2tp_build *b);
bool conn_peer_has(const struct conn *c, uint16_t pw_type);

/* ---- v3_session.c ---- */

static inline struct pw *pw_find(const struct l2tp3 *l, uint32_t id)
{
	void *obj = id ? idmap_find(l->session_ids, 0, id) : NULL;

	return obj == (const void *)&l->reserved ? NULL : (struct pw *)obj;
}

static inline enum call_role pw_role(const struct pw *s)
{
	if (s->outgoing)
		return s->initiator ? CALL_ROLE_LNS_OUT : CALL_ROLE_LAC_OUT;
	return s->initiator ? CALL_ROLE_LAC_IN : CALL_ROLE_LNS_IN;
}

void pw_step(struct l2tp3 *l, struct pw *s, enum call_event ev, const struct ending *why);
/* local_id 0: choose one. 0, 1 when there is none, -ENOMEM. */
int pw_new(struct l2tp3 *l, struct conn *c, uint32_t local_id, struct pw **ret);
void pw_undo(struct l2tp3 *l, struct pw *s);
void pw_finish(struct l2tp3 *l, struct pw *s);
void pw_reap(struct l2tp3 *l, struct pw *s);
void pw_free(struct l2tp3 *l, struct pw *s);
void pw_expire(struct l2tp3 *l, struct pw *s);
void pw_end_with(struct l2tp3 *l, struct pw *s, const struct ending *why);
bool pw_worth_record(const struct pw *s);
void pw_key_remote(struct l2tp3 *l, struct pw *s, uint32_t remote_id);
struct pw *pw_by_remote(struct l2tp3 *l, const struct conn *c, uint32_t remote_id);
int pw_set_ends(struct l2tp3 *l, struct pw *s, struct l2tp_bytes remote, struct l2tp_bytes local,
		struct l2tp_bytes group);
void pw_get_ends(const struct pw *s, struct l2tp_bytes *ret_remote, struct l2tp_bytes *ret_local,
		 struct l2tp_bytes *ret_group);
/* Our session that waits for the answer to its request for the circuit of this request. */
struct pw *pw_by_end(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m);
void pw_watch_end(struct l2tp3 *l, struct pw *s, bool on);
struct pw_line *pw_line(struct l2tp3 *l, struct pw *s); /* makes it; NULL: no memory */
void pw_want(struct l2tp3 *l, struct pw *s, enum session_want what);
void pw_move(struct l2tp3 *l, struct conn *from, struct conn *to);
/* A new id of its own, for a new request of the same session. 0, 1, -ENOMEM. */
int pw_new_id(struct l2tp3 *l, struct pw *s);
/* CDN for a request that gets no session: `remote_id` is the peer's, `local_id` ours or 0. */
int pw_refuse(struct l2tp3 *l, struct conn *c, uint32_t local_id, uint32_t remote_id,
	      const struct ending *why);
/* As the profile says: what the peer asked for is asked for, too. True: something was added. */
bool pw_mirror(struct pw *s);
/* As status of a circuit is sent: A is the inverse of the faults (RFC 5641 3). */
uint16_t pw_status(uint16_t status);
bool pw_known(uint16_t pw_type); /* a type that sessions can have */
int pw_circuit(struct l2tp3 *l, struct pw *s, const struct l2tp3_circuit *c);

int pw_open(struct l2tp3 *l, struct conn *c, struct l2tp3_cmd *cmd);
int pw_accept(struct l2tp3 *l, struct pw *s, struct l2tp3_cmd *cmd);
int pw_answered(struct l2tp3 *l, struct pw *s, const struct l2tp3_cmd *cmd);
int pw_go(struct l2tp3 *l, struct pw *s);
int pw_set_status(struct l2tp3 *l, struct pw *s, const struct l2tp3_cmd *cmd);
int pw_errors(struct l2tp3 *l, struct pw *s, const struct l2tp3_cmd *cmd);

/* ---- v3_smsg.c ---- */

/* A session message, in order. `v` is its verdict (OK or CLEAR). 0 or -ENOMEM: not taken. */
int pw_message(struct l2tp3 *l, struct conn *c, const struct l2tp_msg *m,
	       const struct l2tp_verdict *v);
/* Build the next message of a session that wants to send. 0, 1 when there is none, -ENOMEM. */
int pw_build_next(struct l2tp3 *l, struct conn *c);
const char *cdn3_result_text(uint16_t result, uint16_t error);

/* ---- v3_doubt.c ---- */

/* Could we have given out this id of a session that nobody knows? */
bool doubt3_lost(const struct l2tp3 *l, uint32_t id);
/* A StopCCN to connection 0 says that there is no connection between the two, and names the session
 * by which its sender found out, or 0. */
void doubt3_told(struct l2tp3 *l, const struct in3 *in, uint32_t session);
/* This one is up: are others of its host still alive? */
void doubt3_others(struct l2tp3 *l, struct conn *c);
/* The peer has it. */
void doubt3_end(const struct l2tp3 *l, struct conn *c);
/* What the planes have heard of it was told. */
void doubt3_heard(const struct l2tp3 *l, struct conn *c);
void doubt3_due(struct l2tp3 *l, struct conn *c);
/* While it is up it is known by its host. by_host has been reserved. */
void doubt3_enter(struct l2tp3 *l, struct conn *c);
void doubt3_leave(struct l2tp3 *l, struct conn *c);

/* ---- v3_data.c ---- */

int data3_input(struct l2tp3 *l, const struct path *path, const struct l2tp3_header *h,
		const uint8_t *bytes, struct l2tp3_frame *ret);

static inline struct conn *conn_of_thing(struct thing *th)
{
	return container_of(th, struct conn, thing);
}

static inline struct pw *pw_of_thing(struct thing *th)
{
	return container_of(th, struct pw, thing);
}

#endif
