/* SPDX-License-Identifier: MIT
 *
 * Sessions: joins two ends, L2TP and PPP, in both directions (LNS: somebody dials us; client: we
 * dial), and holds what belongs to a session as a whole: who it is, its addresses, limits, data
 * plane row, accounting, and why it ended. It drives the engines of adit/l2tp.h and adit/ppp.h and
 * is an engine itself: a whole LNS without I/O (see adit/types.h for the contract).
 *
 * The owner (the daemon, a test, a fuzzer)
 *   1. gives it datagrams, punted frames, commands and the time,
 *   2. takes all events: carries out data plane requests, looks up users, resolves names,
 *   3. takes all dirty records and commits them to the journal,
 *   4. takes all output and sends it,
 *   5. writes accounting lines whose records are now in the journal, then says so.
 */
#ifndef ADIT_ACCESS_H
#define ADIT_ACCESS_H

#include "base/dp_types.h"
#include "conf.h"

struct access;
struct trace;
struct rcur;
struct wcur;

#define ACCESS_PACKET_MAX 1700 /* octets of buffer access_output() needs */
#define ACCESS_LINE_MAX	  2048 /* an accounting line with NUL */

struct access_config {
	uint8_t seed[32];
	struct trace *trace;
	uint32_t incarnation; /* grows with each first start of the suite on this machine (never
				 with a restart that loads a journal): makes session keys unique */
	uint32_t max_tunnels, max_sessions; /* 0 = from the configuration */
	/* The data plane answers a put of a row that is DP_PREPARED: 0, and PPP frames of the
	 * session go by it from then on; anything else, and it has forgotten the row. */
	bool pipes;
};

struct access *access_new(const struct access_config *config);
void access_free(struct access *a);

/* Wall time at `now`, in microseconds since 1970: for accounting records only. Call at start and
 * whenever it may have changed. */
void access_wall(struct access *a, struct mono now, int64_t unix_us);

/* Memory is scarce, or no longer: as long peers that ask for a tunnel or a session are refused. */
void access_scarce(struct access *a, bool scarce);

/* The line that EV_ACCT has told could not be kept: it is told once more after the next
 * access_lines_again(), and so are all lines behind it. */
void access_line_later(struct access *a, uint64_t key, uint32_t seq);
void access_lines_again(struct access *a);

/* ---- in ---- */

/* A UDP payload. 0 or -ENOMEM. */
int access_input(struct access *a, struct mono now, const struct path *path, const uint8_t *bytes,
		 size_t len);

/* Whose is a payload of UDP in L2TPv3, or a request for either version (RFC 3931 4.7.3), where
 * another engine shares the socket? True: give it to access_input(). A StopCCN that names no
 * connection (l2tp3_stops_all()) is also for the other one. */
bool access_serves3(const struct access *a, const struct path *path, const uint8_t *bytes,
		    size_t len);

/* Walk over the paths of all tunnels, also of those that are closing: their sockets are needed.
 * `pos` is zero at first; false at the end. */
bool access_paths(const struct access *a, uint64_t pos[2], struct path *ret);

/* As l2tp_via() and l2tp3_via(), whichever it is for. */
uint32_t access_via(const struct access *a, const struct path *path, const uint8_t *bytes,
		    size_t len);

/* A frame the data plane gives up: class PPP or LOCAL of an active row. */
int access_frame(struct access *a, struct mono now, uint64_t key, enum dp_punt_class class,
		 const uint8_t *bytes, size_t len);

enum access_cmd_kind {
	ACCESS_CMD_CONF,       /* a new configuration (also the first); takes a reference. Sessions
				  that it no longer allows end with cause CONFIG */
	ACCESS_CMD_CONNECT,    /* dial `name` */
	ACCESS_CMD_DISCONNECT, /* end it and stop redialling */
	ACCESS_CMD_CALL,       /* ask the peer `name`, in a tunnel that is up, to call the number
				  `text` (an outgoing call, OCRQ; `sub_address` or NULL) */
	ACCESS_CMD_TERMINATE,  /* end session `key` */
	ACCESS_CMD_TERMINATE_TUNNEL, /* end the tunnel with our id `tunnel` */
	ACCESS_CMD_DP_LOST,	 /* the data plane has lost session `key`, or, when that is 0, the
				    tunnel with our id `tunnel`; `text` says why */
	ACCESS_CMD_AUTH,	 /* answer to EV_AUTH */
	ACCESS_CMD_RESOLVED,	 /* answer to EV_RESOLVE */
	ACCESS_CMD_DP_DONE,	 /* a completion of the data plane */
	ACCESS_CMD_STATS,	 /* answer to EV_STATS */
	ACCESS_CMD_HEARD,	 /* answer to EV_HEARD */
	ACCESS_CMD_ACCT_WRITTEN, /* the accounting line `key`, `acct_seq` is on disk */
	ACCESS_CMD_DRAIN,	 /* `ok`: refuse what is new and end `rate` sessions a second, 0 =
				    they end by themselves; else take everybody again */
	ACCESS_CMD_SHUTDOWN	 /* end everything; nothing new is accepted */
};

/* What a user's entry says. Zero fields mean "the profile decides". */
struct access_grant {
	uint8_t ip4[4];			       /* fixed address, 0 = from the pool */
	struct prefix prefix6;		       /* fixed prefix, len 0 = from the pool */
	struct prefix routes[DP_PREFIXES - 2]; /* networks behind the user */
	uint8_t route_count;
	int64_t session_us, idle_us;
	bool no_ip4, no_ip6;
};

struct access_cmd {
	enum access_cmd_kind kind;
	struct access_conf *conf;
	const char *name;	   /* CONNECT, DISCONNECT, RESOLVED: the dial */
	uint64_t key;		   /* TERMINATE, DP_LOST, AUTH, STATS, ACCT_WRITTEN */
	uint32_t tunnel;	   /* TERMINATE_TUNNEL, DP_LOST, HEARD */
	bool ok;		   /* AUTH, DRAIN */
	uint32_t rate;		   /* DRAIN */
	bool stop;		   /* DRAIN: to stop afterwards; the next start takes everybody */
	enum adit_cause cause;	   /* AUTH refused */
	const char *text;	   /* AUTH refused, RESOLVED failed, DP_LOST: in words */
	struct access_grant grant; /* AUTH */
	struct ppp_proof proof;	   /* AUTH granted, of MS-CHAPv2 */
	uint32_t ask;		   /* AUTH: number of the question; 0 = the one that is open */
	const char *sub_address;   /* CALL */
	const struct path *paths;  /* RESOLVED: to try in this order; complete */
	size_t path_count;
	const struct dp_done *done;  /* DP_DONE */
	bool known;		     /* STATS: the plane has the row */
	struct dp_counters counters; /* STATS */
	struct mono heard;	     /* HEARD */
	uint32_t acct_seq;	     /* ACCT_WRITTEN */
};

/* 0; 1 nothing there (name unknown, key stale); 2 already in that state, or for CALL: a limit is
 * reached; CALL: 3 no tunnel to that peer is up, 4 the peer places no calls; -ENOMEM. */
int access_do(struct access *a, struct mono now, const struct access_cmd *cmd);

/* The session that the last successful CMD_CALL made. */
uint64_t access_called(const struct access *a);

void access_expire(struct access *a, struct mono now);
struct mono access_deadline(const struct access *a);

/* ---- out ---- */

enum access_event_kind {
	ACCESS_EV_DP_PUT,  /* key, generation, row -> CMD_DP_DONE */
	ACCESS_EV_DP_DEL,  /* key, generation -> CMD_DP_DONE */
	ACCESS_EV_DP_NET,  /* generation, net -> CMD_DP_DONE */
	ACCESS_EV_AUTH,	   /* is this user who it claims? -> CMD_AUTH */
	ACCESS_EV_RESOLVE, /* name (of the dial), host, port, via, source -> CMD_RESOLVED with the
			      same name; no paths = failed, `text` says why */
	ACCESS_EV_STATS,   /* counters of key -> CMD_STATS */
	ACCESS_EV_HEARD,   /* when did data last come on tunnel -> CMD_HEARD */
	ACCESS_EV_ACCT, /* an accounting line -> write after the journal, in the order given, then
			   ACCT_WRITTEN with its key and acct_seq. Who keeps no accounts answers at
			   once, then the line never reaches the journal */
	ACCESS_EV_UP,	/* a session carries IP: for people, hooks and `monitor` */
	ACCESS_EV_DOWN, /* a session, or an attempt at one, ended */
	ACCESS_EV_TUNNEL_UP,
	ACCESS_EV_TUNNEL_DOWN
};

/* Pointers are valid until the next call into the engine. Texts of peers are not escaped. */
struct access_event {
	enum access_event_kind kind;
	uint64_t key;
	uint32_t generation;
	const struct dp_row *row;
	const struct dp_net *net;
	uint32_t tunnel;  /* our tunnel id; of L2TPv3 ACCESS_V3_IDS or more */
	const char *name; /* dial or peer block */
	const char *host; /* RESOLVE; the peer's host name elsewhere */
	uint16_t port;
	uint32_t via;
	bool prefer6;
	struct addr source; /* RESOLVE: local address wanted, family 0 = by the route */
	const struct conf_profile *profile; /* AUTH */
	const struct conf_dial *dial;	    /* UP, DOWN of a dialled session: for hooks */
	const char *user;		    /* AUTH, UP, DOWN */
	size_t user_len;
	enum ppp_auth auth; /* AUTH */
	uint32_t ask;	    /* AUTH: the question's number, to be repeated in the answer: a session
			       can be asked about again before a slow answer comes */
	uint8_t chap_id;
	const uint8_t *challenge, *response;
	size_t challenge_len, response_len;
	const char *calling, *called;
	const struct path *path;
	const char *line; /* ACCT: one JSON object, no newline */
	uint32_t acct_seq;
	const char *ifname; /* UP, DOWN */
	uint8_t our_ip4[4], peer_ip4[4];
	struct prefix prefix6;
	struct addr dns4[2], dns6[2]; /* UP of a dialled session: learnt from the peer */
	uint16_t mtu;
	enum adit_cause cause; /* DOWN, TUNNEL_DOWN */
	const char *text;      /* DOWN, TUNNEL_DOWN: in words, never NULL */
	bool by_peer;
	bool established; /* DOWN: it had been up */
};

bool access_event(struct access *a, struct mono now, struct access_event *ret);

struct access_packet {
	uint64_t key; /* not 0: a PPP frame of a session whose row is active: give it to dp send */
	struct path path; /* key 0: a datagram to send from path.local to path.remote */
	bool priority;
};

/*
 * Take the next packet. `buf` has at least ACCESS_PACKET_MAX octets; the packet starts at *ret_off
 * (there are 64 octets of headroom before a frame). Returns its length, 0 when there is none.
 */
size_t access_output(struct access *a, struct mono now, uint8_t *buf, size_t cap, size_t *ret_off,
		     struct access_packet *ret);

/* ---- what must outlive the process ---- */

enum access_object {
	ACCESS_OBJ_TUNNEL = 1,
	ACCESS_OBJ_SESSION = 2,
	ACCESS_OBJ_ACCT = 3, /* accounting lines that are not on disk yet */
	ACCESS_OBJ_STATE = 4 /* one record: session counter and what else is global */
};

/* Upper bound of a record of each kind. */
#define ACCESS_SAVE_TUNNEL_MAX	(L2TP_SAVE_TUNNEL_MAX + 256)
#define ACCESS_SAVE_SESSION_MAX 2560
#define ACCESS_SAVE_ACCT_MAX	(ACCESS_LINE_MAX + 64)
#define ACCESS_SAVE_STATE_MAX	256

/* The next object whose record must be written (access_save) or removed (*ret_gone) before output
 * is taken. Records are kept under (kind, id); ids are never reused for another object. Take and
 * commit them in the order given: a crash between any two of them is then harmless. */
bool access_dirty(struct access *a, enum access_object *ret_kind, uint64_t *ret_id, bool *ret_gone);
void access_save(const struct access *a, enum access_object kind, uint64_t id, struct wcur *c);

/*
 * Recovery: the configuration first (CMD_CONF), then all records in the order STATE, TUNNEL,
 * SESSION, ACCT, then access_loaded(). What was established goes on; what was being set up ends and
 * its peer is told; a record that cannot be read ends its session with a CDN. Accounting lines that
 * were not confirmed come again as EV_ACCT (the writer looks whether it has them). 0; 1 the record
 * could not be used, the caller removes it; L2TP3_LOAD_MUTE likewise, but nothing is wrong with it:
 * what it was of ends, and its peer cannot be told; -ENOMEM.
 */
int access_load(struct access *a, struct mono now, enum access_object kind, uint64_t id,
		struct rcur *c);
void access_loaded(struct access *a, struct mono now);

/*
 * When there was no record at all to recover from: the accounting begins with a line "on", which
 * closes whatever has a start before it and no stop (RFC 2866, 5.1: Accounting-On). Its record is
 * committed before any other one, so a crash neither loses nor doubles it. 0; -ENOMEM, there is no
 * line.
 */
int access_on(struct access *a, struct mono now);

/* ---- what is there, for `adit show` ---- */

struct access_session_info {
	uint64_t key;
	const char *state; /* "dialling", "connecting", "authenticating", "up", "closing", ... */
	const char *user, *peer; /* peer: block name or dial name */
	const char *host_name;	 /* of the peer */
	bool client, up;
	bool row_busy; /* the data plane has not yet done all that it was asked for this session */
	struct path path;
	uint8_t version; /* of L2TP */
	uint32_t local_tunnel, remote_tunnel, local_session, remote_session;
	uint8_t our_ip4[4], peer_ip4[4];
	struct prefix prefix6;
	char ifname[DP_IFNAME];
	uint16_t mtu, mru_in, mru_out;
	uint16_t overhead; /* octets around an IP packet on the outer path */
	enum ppp_auth auth;
	const char *calling, *called;
	bool outgoing;		     /* an outgoing call (OCRQ) */
	uint32_t tx_speed, rx_speed; /* of the LAC's line, bits/s, 0 = not said */
	bool accm;		     /* SLI told masks: */
	uint32_t accm_send, accm_recv;
	bool quiet;		       /* L2TPv3: the peer's circuit takes no data now */
	uint32_t errors[6];	       /* of the LAC's line (WEN), as in struct l2tp_session_info */
	uint8_t proxy[L2TP_PROXY_MAX]; /* proxy AVPs, as in struct l2tp_event */
	uint32_t proxy_len;
	struct mono since;   /* up since, or made at */
	struct mono ends_at; /* session time limit, MONO_NEVER = none */
	const struct conf_profile *profile;
};

struct access_tunnel_info {
	uint8_t version;
	struct l2tp_tunnel_info l2tp; /* of L2TPv3 what both versions have */
	const char *peer;
};

struct access_dial_info {
	const char *name;
	const char *state;     /* "idle", "resolving", "connecting", "up", "listening", "waiting" */
	uint64_t key;	       /* of its session, 0 = none */
	uint32_t attempts;     /* in a row */
	struct mono next;      /* state "waiting": next attempt */
	enum adit_cause cause; /* of the last failure */
	const char *text;
};

struct access_pool_info {
	const char *name;
	uint64_t size4, used4, size6, used6;
};

struct access_peer_info {
	const char *name;
	uint32_t tunnels, sessions, max_tunnels, max_sessions;
	uint64_t accepted, refused;
};

struct access_failure { /* `adit show errors` */
	struct mono at;
	int64_t unix_us;
	uint64_t key;
	char who[96]; /* user, peer or pseudowire, escaped */
	struct addr remote;
	enum adit_cause cause;
	char text[160]; /* escaped */
};

/* Walk over sessions: take all keys at once when something else may happen in between, since the
 * walk ends at a key that is no longer there. */
bool access_session(const struct access *a, uint64_t key, struct access_session_info *ret);

/* Is there a session of this key? */
bool access_has(const struct access *a, uint64_t key);
uint64_t access_session_next(const struct access *a, uint64_t prev); /* 0 starts and ends */
bool access_tunnel(const struct access *a, uint32_t local_id, struct access_tunnel_info *ret);
/* Walk over tunnels by our ids; 0 starts and ends. */
uint32_t access_tunnel_next(const struct access *a, uint32_t prev);
bool access_dial(const struct access *a, size_t index, struct access_dial_info *ret);
bool access_pool(const struct access *a, size_t index, struct access_pool_info *ret);
bool access_peer(const struct access *a, size_t index, struct access_peer_info *ret);
/* The `back`-th newest failure, 0 = the newest; false when there are not so many. */
bool access_failure(const struct access *a, size_t back, struct access_failure *ret);
/* Put the end of something that is not this engine's, a pseudowire, among the failures, unless an
 * administrator wanted it. `key` may be 0, `remote` and `text` NULL. */
void access_fail(struct access *a, struct mono now, uint64_t key, const char *who,
		 const struct addr *remote, enum adit_cause cause, const char *text);

struct access_summary {
	uint32_t tunnels, sessions, sessions_up, halfopen;
	uint64_t setups, failures; /* since the first start */
	bool draining;
	uint32_t drain_rate;
	struct mono oldest; /* since when the oldest session is up */
	uint32_t lines;	    /* accounting lines of sessions that are not known to be on disk; a
				       line "on" is owed to nobody, the next keeper makes one */
	size_t memory;
	struct l2tp_counters l2tp;
};

void access_summary(const struct access *a, struct access_summary *ret);

/* ---- users from a file ---- */

/*
 * chap-secrets form: `client server secret addresses...`, quotes and backslashes as pppd reads
 * them, # comments. client or server "*" fits everybody. Addresses: an IPv4 address, an IPv6
 * prefix, "*" = from the pool, "-" = none. NULL with *ret_err = -ENOMEM, or -EINVAL with the line
 * and the reason in `err_text`. Text is copied.
 */
struct users;
struct users *users_parse(const char *text, size_t len, int *ret_err, char *err_text, size_t cap);
void users_free(struct users *u);
size_t users_count(const struct users *u);

/* The `index`-th line that is no error, but whose secret is perhaps not what was meant: false when
 * there are not so many. The text is a constant. */
bool users_odd(const struct users *u, size_t index, unsigned int *ret_line, const char **ret_text);

/* Answer an EV_AUTH from the file: fills ok, cause, text and grant of `ret`. */
void users_check(const struct users *u, const struct access_event *question, const char *server,
		 struct access_cmd *ret);

#endif
