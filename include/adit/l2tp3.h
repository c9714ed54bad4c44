/* SPDX-License-Identifier: MIT
 *
 * The L2TPv3 engine: control connections and pseudowire sessions of RFC 3931, both ends, over UDP
 * and directly over IP (protocol 115). See types.h for the contract of an engine (act, then drain);
 * it has the shape of l2tp.h, which has L2TPv2, and shares with it what is the same.
 *
 * Objects. A connection is one control connection; a session is one pseudowire in it. Both are
 * known by handles; the owner may hang a number of its own (`owner`) on each and gets it back with
 * every event and frame. What the engine has to know about a peer stands in a profile: the owner
 * makes one, the engine keeps references, so a changed configuration never changes what lives.
 *
 * Questions. Who may open a connection, and which session is welcome, is decided by the owner: the
 * engine raises L2TP3_EV_CONN_ASK or L2TP3_EV_SESSION_ASK and waits for the answer as a command,
 * which may come at once or later. Without an answer the object ends after L2TP_ANSWER_US.
 *
 * Encapsulation. A path whose remote port is 0 is IP protocol 115, any other is UDP: the bytes in
 * and out are the IP payload (session id in front, 0 for control) or the UDP payload.
 *
 * Two versions on one UDP socket. The owner gives a payload to the engine that l2tp3_which() names.
 *
 * Asking for v3, content with v2 (RFC 3931 4.7.3), over UDP only. The request is a v2 SCCRQ with
 * the AVPs of v3 in it; the version of the answer decides. The owner
 *     1. opens the connection here with L2TP3_CMD_CONN_OFFER: nothing is sent, ret_offer is filled;
 *     2. opens a tunnel in the v2 engine with L2TP_CMD_TUNNEL_OPEN and `offer`: it sends the SCCRQ;
 *     3. an answer in v3 ends in CONN_UP here: the owner drops the tunnel with
 *        L2TP_CMD_TUNNEL_ABANDON (nothing is sent). An answer in v2 ends in TUNNEL_UP there: the
 *        owner closes the connection here with CONN_CLOSE (nothing is sent, nobody has it yet);
 *     4. when the tunnel goes down before, the connection is closed likewise; when the connection
 *        goes down, the tunnel is abandoned.
 *
 * What must outlive the process. After each act the owner drains events, then l2tp3_dirty(), whose
 * objects it saves with l2tp3_save(), and only then takes output.
 */
#ifndef ADIT_L2TP3_H
#define ADIT_L2TP3_H

#include <adit/l2tp.h>
#include <adit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct l2tp3;
struct l2tp3_profile;
struct l2tp_offer; /* see l2tp.h */

#define L2TP3_END_ID_MAX   64 /* octets of a Remote End ID, Local End ID, group id that we keep */
#define L2TP3_SECRETS	   2  /* during a change of the key there are two */
#define L2TP3_COOKIE_MAX   8
#define L2TP3_PW_TYPES_MAX 8

/* Pseudowire types (RFC 3931 5.4.3, RFC 4719, IANA) that a session can have. */
enum l2tp3_pw { L2TP3_PW_VLAN = 0x0004, L2TP3_PW_ETHERNET = 0x0005, L2TP3_PW_PPP = 0x0007 };

/* "Ethernet port"; NULL for a type nobody gave a name. All IANA types have one. */
const char *l2tp3_pw_name(uint16_t type);

/* L2-Specific Sublayer (5.4.4) and Data Sequencing level. */
enum l2tp3_sublayer { L2TP3_SUBLAYER_NONE = 0, L2TP3_SUBLAYER_DEFAULT = 1 };
enum l2tp3_seq { L2TP3_SEQ_NONE = 0, L2TP3_SEQ_NON_IP = 1, L2TP3_SEQ_ALL = 2 };

/* Circuit Status bits (5.4.5, RFC 5641). A is the inverse of (R or T or I or E): the engine sees to
 * that for what we send. NEW is set by the engine in set-up messages. */
#define L2TP3_STATUS_ACTIVE  0x0001
#define L2TP3_STATUS_NEW     0x0002
#define L2TP3_STATUS_AC_RX   0x0004 /* attachment circuit: receive fault */
#define L2TP3_STATUS_AC_TX   0x0008
#define L2TP3_STATUS_PSN_RX  0x0010
#define L2TP3_STATUS_PSN_TX  0x0020
#define L2TP3_STATUS_STANDBY 0x0040
#define L2TP3_STATUS_FAULTS  0x003c

/* May data be sent to who has told this status? Not while its circuit is not active (5.4.5) or
 * stands by (RFC 5641 2). */
static inline bool l2tp3_status_takes_data(uint16_t status)
{
	return (status & (L2TP3_STATUS_ACTIVE | L2TP3_STATUS_STANDBY)) == L2TP3_STATUS_ACTIVE;
}

/* Result codes of CDN beyond those of enum l2tp_cdn_result (5.4.2; RFC 4667). StopCCN has those of
 * enum l2tp_stop_result, error codes those of enum l2tp_error. */
enum l2tp3_cdn_result {
	L2TP3_CDN_TIE_LOST = 13,
	L2TP3_CDN_PW_TYPE = 14,
	L2TP3_CDN_SEQ_NO_SUBLAYER = 15,
	L2TP3_CDN_FSM = 16,
	L2TP3_CDN_MTU = 23,
	L2TP3_CDN_NO_FORWARDER = 24,
	L2TP3_CDN_FORWARDER_DENIED = 25
};

/* Control Message Authentication (4.3). */
enum l2tp3_auth_mode {
	L2TP3_AUTH_AUTO, /* MD5 when there is a secret, or over IP (there an integrity check with
			      an empty secret, 4.1.1.2); else none */
	L2TP3_AUTH_NONE,
	L2TP3_AUTH_MD5, /* HMAC-MD5; without a secret an integrity check */
	L2TP3_AUTH_SHA1
};

/* What some peers get wrong, and what is done about it. */
#define L2TP3_QUIRK_LAX_MANDATORY 0x01u /* skip unknown AVPs although they are mandatory */
#define L2TP3_QUIRK_NO_HELLO	  0x02u /* send no HELLO: the peer does not acknowledge it */

struct l2tp3_secret_param {
	const void *p;
	size_t n; /* ..L2TP_SECRET_MAX; 0: there is none */
};

/* What is known of a peer. Strings and bytes are copied by l2tp3_profile_new(). 0 = the default. */
struct l2tp3_params {
	const char *host_name;	 /* our Host Name AVP; required, 1..63 octets */
	const char *vendor_name; /* Vendor Name AVP, NULL = "adit" */
	uint32_t router_id;	 /* our Router ID, an opaque number; 0 is allowed */
	struct l2tp3_secret_param secret[L2TP3_SECRETS]; /* what comes may be of either; we
				    ask for a connection with both, then send with the one the peer
				    has; [1] without [0] is refused */
	enum l2tp3_auth_mode digest;
	bool digest_optional; /* a peer without digest is taken too, although we have a secret */
	bool challenge; /* the older form: demand an answer to a Challenge AVP (as RFC 2661) */
	bool hide;	/* hide AVPs we send (needs a secret and authentication, 5.3) */
	bool tie_breaker_off;	/* send no tie breakers in SCCRQ, ICRQ, OCRQ */
	bool allow_port_change; /* initiator over UDP: follow a responder to another port */
	bool allow_address_change;
	bool follow; /* an authenticated message of the peer from another address or port moves the
			connection there (UDP); needs a secret with digest */
	bool mirror_sublayer; /* ask for the sublayer when the peer asks us for it: for data planes
				 with one setting for both directions. Who places an outgoing
				 call has no message left for that: its called side does not ask
				 for what it was not asked for */
	bool mirror_sequencing;		       /* the same for numbers; with mirror_sublayer */
	uint16_t receive_window;	       /* 1.., default 16 */
	uint16_t pw_types[L2TP3_PW_TYPES_MAX]; /* Pseudowire Capabilities List; all 0 = VLAN,
				    Ethernet, PPP */
	int64_t hello_us;	/* quiet time before HELLO, default 60 s; <0 = never. Jittered */
	int64_t retry_first_us; /* first retransmission, default 1 s */
	int64_t retry_cap_us;	/* longest wait between two, default 8 s, not below 8 s */
	uint32_t retry_max;	/* retransmissions before the connection is given up, default 10 */
	uint32_t retry_max_sccrq; /* the same for SCCRQ, default retry_max */
	int64_t setup_us;	  /* limit for a connection or session to be established, 80 s */
	int64_t empty_us; /* close a connection without sessions after this; <0 = never (default)
			   */
	uint32_t max_sessions; /* per connection, 0 = no limit */
	const char
		*peer_name; /* initiator: Host Name the responder has to have, `*` and `?` as in a
			       shell; NULL = any. Tells peers behind one address apart in a tie */
	uint32_t peer_router_id; /* initiator: likewise its Router ID; 0 = any */
	uint32_t quirks;	 /* L2TP3_QUIRK_* */
};

/* NULL with *ret_err = -ENOMEM or -EINVAL (a value out of range). One reference is the caller's. */
struct l2tp3_profile *l2tp3_profile_new(const struct l2tp3_params *params, int *ret_err);
struct l2tp3_profile *l2tp3_profile_ref(struct l2tp3_profile *p);
void l2tp3_profile_unref(struct l2tp3_profile *p); /* NULL is allowed */

struct l2tp3_config {
	uint8_t seed[32];      /* key of the engine's random generator */
	struct trace *trace;   /* where it tells what it does, or NULL; not owned */
	uint32_t max_conns;    /* 0 = 65534; half-open ones count */
	uint32_t max_sessions; /* 0 = no limit of its own */
	uint32_t
		max_halfopen; /* connections opened by strangers and not authenticated, default 4096
			       */
	uint32_t max_halfopen_source; /* of these from one address, default 64 */
	uint32_t id_base, id_len; /* slice of connection and session ids this engine may give out,
				     0/0 = 1..2^32-1. Session ids of static pseudowires are best
				     reserved with l2tp3_reserve_session() */
};

/* NULL when out of memory. */
struct l2tp3 *l2tp3_new(const struct l2tp3_config *config);
/* Frees everything, sends nothing. NULL is allowed. */
void l2tp3_free(struct l2tp3 *l);

/* No more than so many connections and sessions from now on, 0 = as the engine was made with, which
 * is never exceeded. Of the connections half-open ones get a quarter at most. What is there already
 * stays. */
void l2tp3_limit(struct l2tp3 *l, uint32_t max_conns, uint32_t max_sessions);

/* As l2tp_scarce(): nobody new gets in. */
void l2tp3_scarce(struct l2tp3 *l, bool scarce);

/* A session id that is used without this engine (a static pseudowire): it is not given out until
 * it is released. 0, also when it was reserved before; 1 when it is in use or was until lately;
 * -ENOMEM. */
int l2tp3_reserve_session(struct l2tp3 *l, uint32_t id);
void l2tp3_release_session(struct l2tp3 *l, struct mono now, uint32_t id);

/* ---- packets in ---- */

/* Who gets a UDP payload on a socket that serves both versions (4.1.2.1, 4.7.2, 4.7.3). */
enum l2tp3_which {
	L2TP3_WHICH_NONE, /* neither: drop */
	L2TP3_WHICH_V2,
	L2TP3_WHICH_V3,
	L2TP3_WHICH_OFFER /* an SCCRQ of v2 that offers v3: for this engine if the owner serves v3
			     on that socket, else for the v2 engine */
};
enum l2tp3_which l2tp3_which(const uint8_t *bytes, size_t len);

/* Is it a StopCCN of a peer that does not know our connection's id, or has none? Then each engine
 * that shares a socket gets it: the payload does not say whose it is. */
bool l2tp3_stops_all(const struct path *path, const uint8_t *bytes, size_t len);

/* A packet may come by another socket than its connection's: directly over IP there are no ports,
 * and several match; over UDP one for fewer addresses gets it. The `via` of the connection that it
 * is about by the ids in it (a StopCCN without one: by its sender), if that talks to this address
 * of ours; 0 = it is about none. */
uint32_t l2tp3_via(const struct l2tp3 *l, const struct path *path, const uint8_t *bytes,
		   size_t len);

enum l2tp3_input {
	L2TP3_IN_CONTROL, /* taken */
	L2TP3_IN_FRAME,	  /* a data frame of a session: see struct l2tp3_frame */
	L2TP3_IN_DROP,	  /* not for us, or broken; traced with the reason */
	L2TP3_IN_LOST	  /* dropped, but its session may have been ours: l2tp3_tell_lost() */
};

/* A frame inside the bytes given to l2tp3_input(), behind cookie and sublayer. */
struct l2tp3_frame {
	adit_handle conn, session;
	uint64_t owner; /* of the session */
	uint16_t pw_type;
	uint32_t off, len;
};

/*
 * A UDP or IP payload (see Encapsulation above) has come over `path`. `bytes` need to live only
 * until the return. A v2 SCCRQ that offers v3 is taken too (4.7.3). Data is checked for session id,
 * cookie, path and sequence before anything else (4.5, 4.6). Returns enum l2tp3_input, or -ENOMEM.
 */
int l2tp3_input(struct l2tp3 *l, struct mono now, const struct path *path, const uint8_t *bytes,
		size_t len, struct l2tp3_frame *ret_frame);

/*
 * Data came for a session that nobody knows (L2TP3_IN_LOST), over `path`: we may have lost it. Tell
 * the sender, so that it need not wait for HELLOs that run out: CDN 2/5 in a connection that is up
 * between the two, else StopCCN 2/1, which names the session. It is never larger than what came,
 * and there are few in a second. `profile`: of the peer at that address, whose secret signs the
 * StopCCN; a guess at a weak secret can be held against that, so it is for addresses that are a
 * peer's alone. NULL: not known. 0 or -ENOMEM.
 */
int l2tp3_tell_lost(struct l2tp3 *l, const struct path *path, const uint8_t *bytes, size_t len,
		    const struct l2tp3_profile *profile);

/* ---- commands ---- */

enum l2tp3_cmd_kind {
	L2TP3_CMD_CONN_OPEN,	/* send SCCRQ to path.remote; ret_handle is the connection */
	L2TP3_CMD_CONN_OFFER,	/* the same, but the v2 engine sends it: ret_offer; UDP only */
	L2TP3_CMD_CONN_ACCEPT,	/* answer to CONN_ASK: go on with this profile */
	L2TP3_CMD_CONN_REFUSE,	/* answer to CONN_ASK: StopCCN with result, error, text */
	L2TP3_CMD_CONN_CLOSE,	/* StopCCN with result, error, text; sessions end without CDN */
	L2TP3_CMD_CONN_HEARD,	/* answer to CONN_QUIET: `at` is when data last came */
	L2TP3_CMD_SESSION_OPEN, /* ICRQ, or OCRQ with `outgoing`, in `conn` (queued until it is up);
				   ret_handle */
	L2TP3_CMD_SESSION_ACCEPT,   /* answer to SESSION_ASK */
	L2TP3_CMD_SESSION_REFUSE,   /* answer to SESSION_ASK: CDN */
	L2TP3_CMD_SESSION_CLOSE,    /* CDN with result, error, text */
	L2TP3_CMD_SESSION_ANSWERED, /* an OCRQ that was accepted: the circuit is there (OCCN) */
	L2TP3_CMD_SESSION_GO,	    /* ICCN or OCCN that was to wait (`hold`) may leave; 0: or none
				       does */
	L2TP3_CMD_SESSION_STATUS,   /* our circuit's status has changed: `status`; SLI once the
				       session is known to the peer */
	L2TP3_CMD_SESSION_ERRORS /* WEN with `errors`, once they have changed and no more than one
				    a minute; what comes sooner waits (6.13) */
};

/* What a session is asked for or accepted with. */
struct l2tp3_circuit {
	uint8_t cookie_len; /* we assign: 0, 4 or 8 random octets that the peer puts on its data */
	uint8_t sublayer;   /* enum l2tp3_sublayer: what the peer has to put on data to us */
	uint8_t sequencing; /* enum l2tp3_seq: what the peer has to number; needs the sublayer */
	uint16_t status;    /* L2TP3_STATUS_*: ours */
	uint16_t mtu; /* Interface MTU (RFC 4667), 0 = not said. When both say it, it has to be
			 the same: else CDN 23 */
	uint64_t tx_speed, rx_speed; /* bits/s, 0 = not known, left out */
	uint32_t channel_id;	     /* Physical Channel ID, 0 = left out */
};

struct l2tp3_cmd {
	enum l2tp3_cmd_kind kind;
	adit_handle conn, session;
	uint64_t owner; /* CONN_OPEN, _OFFER, _ACCEPT, SESSION_OPEN, SESSION_ACCEPT */
	struct l2tp3_profile
		*profile; /* CONN_OPEN, _OFFER, _ACCEPT; the engine takes a reference */
	bool trusted;	  /* CONN_ACCEPT: as in l2tp.h: strangers can hardly forge this address */
	struct path path; /* CONN_OPEN, _OFFER: complete, local address known */
	struct mono at;	  /* CONN_HEARD */
	uint16_t result, error; /* REFUSE, CLOSE */
	const char *text;	/* REFUSE, CLOSE: error message, or NULL */
	enum adit_cause cause;	/* CLOSE: handed back in the DOWN event */
	uint16_t pw_type;	/* SESSION_OPEN: enum l2tp3_pw */
	bool outgoing;		/* SESSION_OPEN: OCRQ; SESSION_ACCEPT of one needs ANSWERED later */
	const void
		*remote_end_id;	  /* SESSION_OPEN: Remote End ID (66), 1..L2TP3_END_ID_MAX octets */
	const void *local_end_id; /* SESSION_OPEN: what the peer calls our end, sent as Local End ID
				     (90); NULL = the same as remote_end_id, not sent. A request of
				     the peer for it is the same circuit: a tie (5.4.4, RFC 4667) */
	const void *group_id;	  /* SESSION_OPEN: Attachment Group Identifier (89), or NULL */
	uint8_t remote_end_id_len, local_end_id_len, group_id_len;
	struct l2tp3_circuit circuit; /* SESSION_OPEN, SESSION_ACCEPT */
	bool hold;	    /* SESSION_OPEN, SESSION_ANSWERED: where data is numbered, ICCN or OCCN
			       waits for SESSION_GO after SESSION_UP: none comes before the owner is
			       ready for it (4.6.1: numbers begin with the first message) */
	uint16_t status;    /* SESSION_STATUS, SESSION_ANSWERED */
	uint32_t errors[6]; /* SESSION_ERRORS: as in l2tp.h */
	adit_handle ret_handle;	      /* set by the engine */
	struct l2tp_offer *ret_offer; /* CONN_OFFER: where to put it */
};

/*
 * 0 done; 1 the handle is stale (nothing done); 2 a limit is reached or the ids are used up; 3 the
 * connection is closing; 4 the peer does not support the pseudowire type (where the connection is
 * not up yet SESSION_DOWN says it later, PW_TYPE); -ENOMEM; -EINVAL for a command that makes no
 * sense in the object's state or with these values (a mistake of the owner).
 */
int l2tp3_do(struct l2tp3 *l, struct mono now, struct l2tp3_cmd *cmd);

/* ---- time ---- */

void l2tp3_expire(struct l2tp3 *l, struct mono now);
struct mono l2tp3_deadline(const struct l2tp3 *l); /* MONO_NEVER when there is nothing to do */

/* ---- events ---- */

enum l2tp3_event_kind {
	L2TP3_EV_CONN_ASK, /* an SCCRQ: answer with CONN_ACCEPT or CONN_REFUSE */
	L2TP3_EV_CONN_UP,
	L2TP3_EV_CONN_QUIET,  /* nothing received for hello_us: as L2TP_EV_TUNNEL_QUIET */
	L2TP3_EV_CONN_MOVED,  /* the peer has another address or port now (params.follow): path */
	L2TP3_EV_CONN_DOWN,   /* the handle is dead after this; its sessions' DOWN came before */
	L2TP3_EV_SESSION_ASK, /* an ICRQ or OCRQ: answer with SESSION_ACCEPT or SESSION_REFUSE.
				 Crossing requests for one circuit (same connection, end ids, type)
				 are settled by the engine: the session that was opened goes on
				 under its handle, whoever wins */
	L2TP3_EV_SESSION_UP,  /* frames may flow, if both circuits are active */
	L2TP3_EV_SESSION_STATUS, /* the peer's circuit status has changed: remote_status */
	L2TP3_EV_SESSION_ERRORS, /* WEN: sum of all error counters in a */
	L2TP3_EV_SESSION_DOWN	 /* the handle is dead after this */
};

/*
 * Strings point into the engine and are valid until the next call into it. They are as the peer
 * sent them, cut to their limits, NUL-terminated, never NULL; escape before showing. Octets
 * (end ids) may hold anything and are not terminated.
 */
struct l2tp3_event {
	enum l2tp3_event_kind kind;
	adit_handle conn, session;
	uint64_t owner; /* of the session in SESSION_*, of the connection in CONN_* */
	uint64_t conn_owner;
	const struct path *path; /* CONN_ASK, CONN_UP, CONN_MOVED */
	const char *host_name;	 /* CONN_ASK, CONN_UP: the peer's */
	const char *vendor_name;
	uint32_t router_id; /* CONN_ASK, CONN_UP: the peer's */
	bool over_ip;	    /* CONN_*: IP protocol 115 */
	bool authentic;	    /* CONN_UP: the peer has proved that it knows the secret */
	bool offer;	    /* CONN_ASK: it came as a v2 SCCRQ that offers v3 */
	uint16_t pw_type;   /* SESSION_ASK, SESSION_UP */
	bool outgoing;	    /* SESSION_ASK, SESSION_UP: OCRQ began it */
	uint32_t serial;
	const uint8_t *remote_end_id; /* SESSION_ASK: what the peer asks for (our end) */
	const uint8_t *local_end_id;  /* SESSION_ASK: the peer's own end, when it said so */
	const uint8_t *group_id;
	uint8_t remote_end_id_len, local_end_id_len, group_id_len;
	uint16_t mtu;		     /* SESSION_ASK, SESSION_UP: the peer's, 0 = not said */
	uint16_t remote_status;	     /* SESSION_ASK, _UP, _STATUS: the peer's circuit */
	uint64_t tx_speed, rx_speed; /* SESSION_ASK, _UP: as the peer said */
	enum adit_cause cause;	     /* DOWN */
	uint16_t result, error;	     /* DOWN: codes sent or received, 0 = none */
	const char *text;	     /* DOWN: the peer's error message or our own reason */
	bool by_peer;		     /* DOWN */
	uint32_t a;
};

/* True and the next event; false when there is none. */
bool l2tp3_event(struct l2tp3 *l, struct l2tp3_event *ret);

/* ---- packets out ---- */

/* Write the next control message into `buf` (at least L2TP_CONTROL_MAX octets). Returns its length
 * and the path to send it over; 0 when there is none. Over IP it begins with the four octets 0. */
size_t l2tp3_output(struct l2tp3 *l, struct mono now, uint8_t *buf, size_t cap,
		    struct path *ret_path);

/*
 * Put the data header of a session (session id, cookie, sublayer with sequence; over UDP also the
 * first four octets) before `frame`, which has L2TP_HEADROOM octets of room in front of it. Returns
 * the octets prepended and the path, 0 when the session is not established or the peer's circuit is
 * not active. For frames that the data plane does not carry.
 */
size_t l2tp3_wrap(struct l2tp3 *l, adit_handle session, uint8_t *frame, size_t len,
		  struct path *ret_path);

/* ---- what is there ---- */

enum l2tp3_conn_state {
	L2TP3_CS_ASKING,     /* CONN_ASK is open */
	L2TP3_CS_WAIT_REPLY, /* RFC 3931 7.2 wait-ctl-reply */
	L2TP3_CS_WAIT_CONN,  /* wait-ctl-conn */
	L2TP3_CS_UP,
	L2TP3_CS_CLOSING, /* StopCCN sent, waiting for its acknowledgement */
	L2TP3_CS_LINGER	  /* StopCCN received: kept for a full cycle, to acknowledge repeats */
};

enum l2tp3_session_state {
	L2TP3_SS_ASKING,
	L2TP3_SS_WAIT_CONN, /* the connection is not up yet, or its window is full */
	L2TP3_SS_WAIT_REPLY,
	L2TP3_SS_WAIT_CONNECT,
	L2TP3_SS_UP,
	L2TP3_SS_CLOSING /* CDN queued */
};

struct l2tp3_conn_info {
	adit_handle handle;
	uint64_t owner;
	enum l2tp3_conn_state state;
	uint32_t local_id, remote_id;
	struct path path;
	bool over_ip, initiator;
	bool authentic;		     /* messages prove the secret */
	enum l2tp3_auth_mode digest; /* what we put on messages */
	uint8_t secret_used;	     /* 1, 2: which secret the peer's last message had; 0 none */
	const char *host_name, *vendor_name;   /* the peer's */
	uint32_t router_id;		       /* the peer's */
	uint16_t pw_types[L2TP3_PW_TYPES_MAX]; /* of the peer that we know too; 0 = end */
	uint32_t quirks_used;
	uint32_t sessions;
	uint16_t ns, nr, peer_window, cwnd, ssthresh;
	uint32_t queued, in_flight, retransmits, sent, received, duplicates;
	struct mono since, heard;
	int64_t rtt_us; /* smoothed time to acknowledgement, 0 = not known */
};

struct l2tp3_session_info {
	adit_handle handle, conn;
	uint64_t owner;
	enum l2tp3_session_state state;
	uint32_t local_id, remote_id, local_conn_id, remote_conn_id;
	struct path path;
	bool over_ip, initiator, outgoing;
	uint16_t pw_type;
	uint8_t cookie_in_len, cookie_out_len;
	uint8_t cookie_in[L2TP3_COOKIE_MAX];  /* on data we receive: we assigned it */
	uint8_t cookie_out[L2TP3_COOKIE_MAX]; /* on data we send: the peer assigned it */
	uint8_t sublayer_in, sublayer_out;    /* enum l2tp3_sublayer on data we receive, send */
	uint8_t seq_in, seq_out;	      /* enum l2tp3_seq of data we receive, send */
	uint32_t data_ns, data_nr; /* numbers of the next frame we send, expect: of those that came
				      and went by the engine */
	uint16_t local_status, remote_status; /* L2TP3_STATUS_* */
	uint16_t mtu;			      /* the peer's Interface MTU, 0 = not said */
	uint32_t serial;
	const uint8_t *remote_end_id; /* as in the request, whoever sent it; until the next call */
	uint8_t remote_end_id_len;
	uint64_t tx_speed, rx_speed; /* the peer's */
	uint32_t errors[6];	     /* of the peer's circuit, as WEN told last */
	struct mono since;
};

/* False when the handle is stale. Strings as in struct l2tp3_event. */
bool l2tp3_conn_info(const struct l2tp3 *l, adit_handle h, struct l2tp3_conn_info *ret);
bool l2tp3_session_info(const struct l2tp3 *l, adit_handle h, struct l2tp3_session_info *ret);

/* Walk: start with 0, returns 0 at the end. Sessions of one connection when `conn` is not 0. */
adit_handle l2tp3_conn_next(const struct l2tp3 *l, adit_handle prev);
adit_handle l2tp3_session_next(const struct l2tp3 *l, adit_handle conn, adit_handle prev);

struct l2tp3_counters {
	uint64_t control_in, control_out, retransmits, duplicates, frames_in;
	uint64_t drop_header, drop_unknown_conn, drop_unknown_session, drop_path, drop_state,
		drop_sequence, drop_avp, drop_window, drop_limit, drop_digest, drop_cookie;
	uint32_t conns, sessions, halfopen;
	size_t memory; /* octets held by the engine */
};

void l2tp3_counters(const struct l2tp3 *l, struct l2tp3_counters *ret);

/* ---- what must outlive the process ---- */

enum l2tp3_object { L2TP3_OBJ_CONN = 1, L2TP3_OBJ_SESSION = 2 };

/*
 * The next object whose record has to be written (l2tp3_save) or removed (*ret_gone) before output
 * is taken; false when there is none. A record is kept under (kind, handle). An owner that keeps no
 * records need not call this.
 */
bool l2tp3_dirty(struct l2tp3 *l, enum l2tp3_object *ret_kind, adit_handle *ret_handle,
		 bool *ret_gone);

/* Write the object's record; the cursor turns bad when it does not fit. */
void l2tp3_save(const struct l2tp3 *l, enum l2tp3_object kind, adit_handle h, struct wcur *c);

/* Upper bounds of a record. A connection's holds its unacknowledged messages. */
#define L2TP3_SAVE_CONN_MAX    16384
#define L2TP3_SAVE_SESSION_MAX 1024

/*
 * Bring objects back, all connections first. What was loaded has a record: the one it came from is
 * from now on that of its new handle, and l2tp3_dirty() says to write it again, or that it is gone
 * should the object have ended by then. What was established goes on where it was: ids, Ns, Nr,
 * window, nonces, cookies and unacknowledged messages; a connection also with the keys that it had,
 * whatever the secrets of `profile` are. What was being set up ends with StopCCN or CDN. Handles
 * are new; `owner` is the caller's. 0; 1 when the record cannot be used (its object is not made,
 * the caller removes it; a session whose ids could be read gets a CDN); a connection also
 * LOAD_MUTE, a session LOAD_ALONE, which come to the same, but the record is whole; -ENOMEM.
 */
int l2tp3_load_conn(struct l2tp3 *l, struct mono now, struct rcur *c, struct l2tp3_profile *profile,
		    uint64_t owner, adit_handle *ret_handle);
#define L2TP3_LOAD_ALONE 2 /* its connection is not there, or ends */
#define L2TP3_LOAD_MUTE                                                              \
	3 /* the profile has no secret to sign with, nor has the record the keys, as \
	     one of a former release */
int l2tp3_load_session(struct l2tp3 *l, struct mono now, struct rcur *c, uint64_t owner,
		       adit_handle *ret_handle);

#ifdef __cplusplus
}
#endif
#endif
