/* SPDX-License-Identifier: MIT
 *
 * The L2TP engine: control connections (tunnels) and sessions of L2TPv2 (RFC 2661), both roles.
 * See types.h for the contract of an engine (act, then drain).
 *
 * Objects. A tunnel is one control connection; a session is one call in it. Both are known by
 * handles; the owner may hang a number of its own (`owner`) on each and gets it back with every
 * event and frame. What the engine has to know about a peer stands in a profile: the owner makes
 * one, the engine keeps references, so a changed configuration never changes a living tunnel.
 *
 * Questions. Who may open a tunnel, and which call is welcome, is decided by the owner: the engine
 * raises L2TP_EV_TUNNEL_ASK or L2TP_EV_SESSION_ASK and waits for the answer as a command, which
 * may come at once or later. Without an answer the object ends after L2TP_ANSWER_US.
 *
 * What must outlive the process. After each act the owner drains events, then l2tp_dirty(), whose
 * objects it saves with l2tp_save(), and only then takes output: so nothing leaves, and no Nr is
 * raised on the wire, before the record that makes it true is committed.
 */
#ifndef ADIT_L2TP_H
#define ADIT_L2TP_H

#include <adit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct l2tp;
struct l2tp_profile;
struct trace;
struct rcur;
struct wcur;

#define L2TP_PORT	 1701
#define L2TP_NAME_MAX	 64 /* host names we keep, with NUL; longer ones are cut, escaped in text */
#define L2TP_NUMBER_MAX	 64 /* calling, called number, sub-address, with NUL */
#define L2TP_TEXT_MAX	 128 /* error message of a Result Code AVP, with NUL */
#define L2TP_SECRET_MAX	 128
#define L2TP_HEADROOM	 64   /* octets l2tp_wrap() may need before a frame */
#define L2TP_CONTROL_MAX 1460 /* largest control message we build */
#define L2TP_PROXY_MAX                                                            \
	384 /* octets of proxy AVPs that are kept of a session; of more, none are \
	     */
#define L2TP_ANSWER_US (30 * US_S)

/* Bearer Capabilities and Bearer Type: digital, analogue. Framing likewise: synchronous,
 * asynchronous (RFC 2661 4.4.3, 4.4.4). */
#define L2TP_CALL_MASK 3u

/* Result codes of StopCCN and CDN, error codes of result 2 (RFC 2661 4.4.2; avps.md 5.2, 5.3). */
enum l2tp_stop_result {
	L2TP_STOP_CLEAR = 1,
	L2TP_STOP_ERROR = 2,
	L2TP_STOP_EXISTS = 3,
	L2TP_STOP_UNAUTHORISED = 4,
	L2TP_STOP_VERSION = 5,
	L2TP_STOP_SHUTDOWN = 6,
	L2TP_STOP_FSM = 7
};

enum l2tp_cdn_result {
	L2TP_CDN_CARRIER = 1,
	L2TP_CDN_ERROR = 2,
	L2TP_CDN_ADMIN = 3,
	L2TP_CDN_NO_FACILITIES = 4,
	L2TP_CDN_NO_FACILITIES_EVER = 5,
	L2TP_CDN_DESTINATION = 6,
	L2TP_CDN_NO_CARRIER = 7,
	L2TP_CDN_BUSY = 8,
	L2TP_CDN_NO_DIAL_TONE = 9,
	L2TP_CDN_TIMEOUT = 10,
	L2TP_CDN_FRAMING = 11
};

enum l2tp_error {
	L2TP_ERR_NONE = 0,
	L2TP_ERR_NO_CONNECTION = 1,
	L2TP_ERR_LENGTH = 2,
	L2TP_ERR_VALUE = 3,
	L2TP_ERR_RESOURCES = 4,
	L2TP_ERR_SESSION_ID = 5,
	L2TP_ERR_VENDOR = 6,
	L2TP_ERR_TRY_ANOTHER = 7,
	L2TP_ERR_UNKNOWN_AVP = 8
};

/*
 * Quirks: what some peers get wrong and what is done about it. A table knows some peers by what
 * they say of themselves (src/l2tp/quirk.c); a profile may name more.
 */
#define L2TP_QUIRK_PLAIN_SETUP \
	0x01u /* hide nothing in SCCRQ, SCCRP: the peer cannot read it (Cisco) */
#define L2TP_QUIRK_LAX_MANDATORY 0x02u /* skip unknown AVPs although they are mandatory */
#define L2TP_QUIRK_LAX_LENGTH	 0x04u /* skip AVPs of a wrong length although they are mandatory */
#define L2TP_QUIRK_NO_HELLO	 0x08u /* send no HELLO: the peer does not acknowledge it */

/* The name of the i-th quirk, "no-hello", and its bit; NULL and 0 behind the last. */
const char *l2tp_quirk_name(unsigned int i);
uint32_t l2tp_quirk_bit(unsigned int i);

/* What is known of a peer. Strings and bytes are copied by l2tp_profile_new(). 0 = the default. */
struct l2tp_params {
	const char *host_name;	 /* our Host Name AVP; required, 1..63 octets */
	const char *vendor_name; /* Vendor Name AVP, NULL = "adit" */
	uint16_t firmware;	 /* Firmware Revision AVP */
	const void *secret;	 /* shared secret, NULL = none */
	size_t secret_len;	 /* ..L2TP_SECRET_MAX */
	bool challenge;		 /* demand that the peer proves it knows the secret */
	bool hide;		 /* hide AVPs we send (needs a secret) */
	bool sequencing;	 /* LNS: put sequence numbers on data; LAC: ask for them (AVP 39) */
	bool length_bit;	 /* L bit on data we send */
	bool tie_breaker;	 /* send a Tie Breaker in SCCRQ */
	bool allow_port_change;	 /* initiator: follow a responder that answers from another port;
				    from another address too when allow_address_change */
	bool allow_address_change;
	uint16_t receive_window; /* 1.., default 16 */
	uint32_t framing;	 /* Framing Capabilities, default 3 (sync and async) */
	uint32_t bearer;	 /* Bearer Capabilities, default 0 = AVP left out: then the peer may
				    not ask us to place calls (OCRQ), otherwise it may */
	int64_t hello_us;	 /* quiet time before HELLO, default 60 s; <0 = never */
	int64_t retry_first_us;	 /* first retransmission, default 1 s */
	int64_t retry_cap_us;	 /* longest wait between two, default 8 s, not below 8 s */
	uint32_t retry_max;	 /* retransmissions before the tunnel is given up, default 5 */
	int64_t setup_us;	 /* limit for a session to be established, default 60 s */
	int64_t empty_us;      /* close a tunnel without sessions after this; <0 = never (default);
				  counts from the end of the last session */
	uint32_t max_sessions; /* per tunnel, default 65535 */
	const char *peer_name; /* initiator: Host Name that the responder has to have, `*` and `?`
				  as in a shell; NULL = any. Tells peers behind one address apart
				  when tunnels collide (RFC 2661 4.4.3) */
	uint32_t quirks;       /* L2TP_QUIRK_* of this peer */
	bool known_quirks_off; /* do not look the peer up in the table of known peers */
};

/* NULL with *ret_err = -ENOMEM or -EINVAL (a value out of range). One reference is the caller's. */
struct l2tp_profile *l2tp_profile_new(const struct l2tp_params *params, int *ret_err);
struct l2tp_profile *l2tp_profile_ref(struct l2tp_profile *p);
void l2tp_profile_unref(struct l2tp_profile *p); /* NULL is allowed */

struct l2tp_config {
	uint8_t seed[32];      /* key of the engine's random generator */
	struct trace *trace;   /* where it tells what it does, or NULL; not owned */
	uint32_t max_tunnels;  /* 1..65534, 0 = 65534; half-open ones count */
	uint32_t max_sessions; /* 0 = no limit of its own */
	uint32_t max_halfopen; /* tunnels opened by strangers and not authenticated, default 4096 */
	uint32_t max_halfopen_source; /* of these from one address, default 64 */
	uint16_t id_base, id_len;     /* slice of tunnel ids this engine may give out, 0/0 = all */
};

/* NULL when out of memory. */
struct l2tp *l2tp_new(const struct l2tp_config *config);

/*
 * The owner takes at most `max_tunnels` tunnels (0 = no limit of its own): half-open ones get a
 * quarter of them at most, so that a flood of requests leaves room for what is established.
 */
void l2tp_share_halfopen(struct l2tp *l, uint32_t max_tunnels);

/* Some profile has these quirks: an SCCRQ that nothing else is wrong with is put to the owner
 * (TUNNEL_ASK) instead of being refused at once. */
void l2tp_lenient(struct l2tp *l, uint32_t quirks);

/* Memory is scarce, or no longer: a peer that asks for a tunnel or a session is refused as long
 * (Result Code 2, Error Code 4, RFC 2661 4.4.2), the former without any memory. What is there
 * stays, and what the owner opens is opened. */
void l2tp_scarce(struct l2tp *l, bool scarce);

/* Frees everything, sends nothing. NULL is allowed. */
void l2tp_free(struct l2tp *l);

/* ---- packets in ---- */

enum l2tp_input {
	L2TP_IN_CONTROL, /* taken */
	L2TP_IN_FRAME,	 /* a data frame of a session: see struct l2tp_frame */
	L2TP_IN_DROP	 /* not for us, or broken; traced with the reason */
};

/* A frame inside the bytes given to l2tp_input(): PPP, from its first octet (FF 03 or protocol). */
struct l2tp_frame {
	adit_handle tunnel, session;
	uint64_t owner; /* of the session */
	uint32_t off, len;
};

/* A packet may come by another socket than its tunnel's, which would have got it, too, were there
 * not that one for fewer addresses. The `via` of the tunnel that it names, if that talks to this
 * address of ours; 0 = it names none. */
uint32_t l2tp_via(const struct l2tp *l, const struct path *path, const uint8_t *bytes, size_t len);

/*
 * A UDP payload has come over `path`. `bytes` need to live only until the return. Data of a
 * session that is not established yet, out of sequence, or from another path than the tunnel's is
 * dropped (RFC 2661 5.4, 8.1). Returns enum l2tp_input, or -ENOMEM.
 */
int l2tp_input(struct l2tp *l, struct mono now, const struct path *path, const uint8_t *bytes,
	       size_t len, struct l2tp_frame *ret_frame);

/* ---- commands ---- */

enum l2tp_cmd_kind {
	L2TP_CMD_TUNNEL_OPEN,	 /* send SCCRQ to path.remote; ret_handle is the tunnel */
	L2TP_CMD_TUNNEL_ACCEPT,	 /* answer to TUNNEL_ASK: go on with this profile */
	L2TP_CMD_TUNNEL_REFUSE,	 /* answer to TUNNEL_ASK: StopCCN with result, error, text */
	L2TP_CMD_TUNNEL_CLOSE,	 /* StopCCN with result, error, text; sessions end without CDN */
	L2TP_CMD_TUNNEL_ABANDON, /* forget it: nothing is sent; the peer has answered in L2TPv3 */
	L2TP_CMD_TUNNEL_HEARD,	 /* answer to TUNNEL_QUIET: `at` is when data last came */
	L2TP_CMD_SESSION_OPEN,	 /* ICRQ, or OCRQ for an outgoing call, in `tunnel` (queued until it
				    is up); ret_handle */
	L2TP_CMD_SESSION_ACCEPT, /* answer to SESSION_ASK; for an outgoing call: it is being placed
				    (OCRP) */
	L2TP_CMD_SESSION_REFUSE, /* answer to SESSION_ASK: CDN */
	L2TP_CMD_SESSION_CLOSE,	 /* CDN with result, error, text; a line that does not answer: 7 to
				    11 (RFC 2661 4.4.2) */
	L2TP_CMD_SESSION_ANSWERED, /* the line of an outgoing call that we were asked for has
				      answered: OCCN with speeds, framing, sequencing */
	L2TP_CMD_SESSION_ACCM,	   /* LNS: SLI with accm_send, accm_recv (6.14) */
	L2TP_CMD_SESSION_ERRORS, /* LAC: WEN with `errors`, once they have changed and no more than
				   one a minute; what comes sooner waits (6.13) */
	L2TP_CMD_SESSION_GO /* ICCN or OCCN that was to wait (`hold`) may leave; 0: or none does */
};

/*
 * What an SCCRQ has to say for peers that speak L2TPv3 too (RFC 3931 4.7.3): filled by the L2TPv3
 * engine, see l2tp3.h.
 */
struct l2tp_offer {
	uint32_t connection, router_id; /* Assigned Control Connection ID, Router ID */
	uint8_t caps[16], caps_len;	/* Pseudowire Capabilities List */
	uint8_t nonce[16], nonce_len;
	bool has_tie;
	uint64_t tie;	 /* the tie breaker of both */
	bool sign;	 /* with a Message Digest, */
	uint8_t key[16]; /* made with this key */
	bool sha1;	 /* by HMAC-SHA-1 */
};

struct l2tp_cmd {
	enum l2tp_cmd_kind kind;
	adit_handle tunnel;	      /* ACCEPT, REFUSE, CLOSE, HEARD, SESSION_OPEN */
	adit_handle session;	      /* SESSION_ACCEPT, _REFUSE, _CLOSE */
	uint64_t owner;		      /* TUNNEL_OPEN, TUNNEL_ACCEPT, SESSION_OPEN, SESSION_ACCEPT */
	struct l2tp_profile *profile; /* TUNNEL_OPEN, TUNNEL_ACCEPT; the engine takes a reference */
	bool trusted; /* TUNNEL_ACCEPT: strangers can hardly forge this address: their requests do
			 not push this one out, and its answer may be larger than it was */
	struct path path;			    /* TUNNEL_OPEN: complete, local address known */
	const struct l2tp_offer *offer;		    /* TUNNEL_OPEN: offer L2TPv3 as well, or NULL */
	struct mono at;				    /* TUNNEL_HEARD */
	uint16_t result, error;			    /* REFUSE, CLOSE */
	const char *text;			    /* REFUSE, CLOSE: error message, or NULL */
	enum adit_cause cause;			    /* CLOSE: handed back in the DOWN event */
	const char *calling, *called, *sub_address; /* SESSION_OPEN, or NULL */
	uint32_t tx_speed, rx_speed; /* SESSION_OPEN of an incoming call, SESSION_ANSWERED: bits/s,
					0 = 1,000,000,000 / left out */
	uint32_t framing; /* SESSION_OPEN: Framing Type, 0 = sync (1), of an outgoing call 0 = what
			     the peer offers; SESSION_ANSWERED: 0 = as asked */
	bool sequencing;  /* SESSION_OPEN of an incoming call, SESSION_ANSWERED: Sequencing Required
			   */
	/* SESSION_OPEN of an incoming call, SESSION_ANSWERED: if data gets numbers, ICCN or OCCN
	 * waits for SESSION_GO after SESSION_UP: none comes before the owner is ready for it. */
	bool hold;
	bool outgoing;		   /* SESSION_OPEN: OCRQ; the peer is to call the number `called` */
	uint32_t min_bps, max_bps; /* SESSION_OPEN, outgoing: 0 = 1,000,000,000 for max_bps */
	uint32_t bearer;	   /* SESSION_OPEN, outgoing: Bearer Type, 0 = what the peer has */
	uint32_t accm_send, accm_recv; /* SESSION_ACCM */
	uint32_t errors[6];	/* SESSION_ERRORS: since the call began: CRC, framing, hardware
				   overruns, buffer overruns, time-outs, alignment */
	adit_handle ret_handle; /* set by the engine */
};

/*
 * 0 done; 1 the handle is stale (the object ended in between; nothing done); 2 a limit is reached
 * or the ids are used up; 3 the tunnel is closing; 4 the peer places no such calls (RFC 2661 4.4.3;
 * where the tunnel is not up yet, SESSION_DOWN says it later, NO_DIAL_OUT); -ENOMEM; -EINVAL for a
 * command that makes no sense in the object's state (a mistake of the owner).
 */
int l2tp_do(struct l2tp *l, struct mono now, struct l2tp_cmd *cmd);

/* ---- time ---- */

void l2tp_expire(struct l2tp *l, struct mono now);
struct mono l2tp_deadline(const struct l2tp *l); /* MONO_NEVER when there is nothing to wait for */

/* ---- events ---- */

enum l2tp_event_kind {
	L2TP_EV_TUNNEL_ASK, /* an SCCRQ: answer with TUNNEL_ACCEPT or TUNNEL_REFUSE */
	L2TP_EV_TUNNEL_UP,
	L2TP_EV_TUNNEL_QUIET, /* nothing received for hello_us: tell with TUNNEL_HEARD when data
				 last came (or any older time); then HELLO goes out, or the timer
				 restarts */
	L2TP_EV_TUNNEL_DOWN, /* the handle is dead after this; its sessions' DOWN events came before
			      */
	L2TP_EV_SESSION_ASK, /* an ICRQ, or an OCRQ (`outgoing`): answer with SESSION_ACCEPT, then
				for an OCRQ SESSION_ANSWERED; or with SESSION_REFUSE */
	L2TP_EV_SESSION_UP,  /* frames may flow */
	L2TP_EV_SESSION_ACCM,	/* SLI: send/receive masks in a, b */
	L2TP_EV_SESSION_ERRORS, /* WEN: sum of all error counters in a */
	L2TP_EV_SESSION_DOWN	/* the handle is dead after this */
};

/*
 * Strings point into the engine and are valid until the next call into it. They are as the peer
 * sent them, cut to their limits, NUL-terminated, never NULL; escape before showing.
 */
struct l2tp_event {
	enum l2tp_event_kind kind;
	adit_handle tunnel, session;
	uint64_t owner; /* of the session in SESSION_*, of the tunnel in TUNNEL_* */
	uint64_t tunnel_owner;
	const struct path *path; /* TUNNEL_ASK, TUNNEL_UP: of the tunnel */
	const char *host_name;	 /* TUNNEL_ASK, TUNNEL_UP: the peer's */
	const char *vendor_name;
	const char *calling, *called, *sub_address; /* SESSION_ASK; UP of an outgoing call */
	uint32_t serial, tx_speed, rx_speed, framing;
	bool outgoing;			   /* SESSION_ASK, SESSION_UP: an outgoing call */
	uint32_t min_bps, max_bps, bearer; /* SESSION_ASK, outgoing */
	bool sequencing;	 /* SESSION_UP: data we send carries Ns, and Ns is required */
	bool require_sequencing; /* SESSION_UP: drop data without Ns */
	enum adit_cause cause;	 /* DOWN */
	uint16_t result, error;	 /* DOWN: codes sent or received, 0 = none */
	const char *text;	 /* DOWN: the peer's error message or our own reason */
	bool by_peer;		 /* DOWN */
	uint32_t a, b;
	const uint8_t *proxy; /* SESSION_UP: raw proxy LCP/auth AVPs (types 26..33) of ICCN as
				 (u16 type, u16 length, value) records, or NULL */
	uint32_t proxy_len;
};

/* True and the next event; false when there is none. */
bool l2tp_event(struct l2tp *l, struct l2tp_event *ret);

/* ---- packets out ---- */

/*
 * Write the next control message into `buf` (at least L2TP_CONTROL_MAX octets). Returns its length
 * and the path to send it over (from path.local to path.remote by path.via); 0 when there is none.
 */
size_t l2tp_output(struct l2tp *l, struct mono now, uint8_t *buf, size_t cap,
		   struct path *ret_path);

/*
 * Put the data header of a session before `frame`, which has L2TP_HEADROOM octets of room in front
 * of it; `priority` sets the P bit (RFC 2661 3.1, LCP echo). Returns the octets prepended and the
 * path, 0 when the session is not established. For frames that the data plane does not carry.
 */
size_t l2tp_wrap(struct l2tp *l, adit_handle session, uint8_t *frame, size_t len, bool priority,
		 struct path *ret_path);

/* ---- what is there ---- */

enum l2tp_tunnel_state {
	L2TP_TS_ASKING,	    /* TUNNEL_ASK is open */
	L2TP_TS_WAIT_REPLY, /* RFC 2661 7.2.1 wait-ctl-reply */
	L2TP_TS_WAIT_CONN,  /* wait-ctl-conn */
	L2TP_TS_UP,
	L2TP_TS_CLOSING, /* StopCCN sent, waiting for its acknowledgement */
	L2TP_TS_LINGER	 /* StopCCN received: kept for a full cycle, to acknowledge repeats */
};

enum l2tp_session_state {
	L2TP_SS_ASKING,
	L2TP_SS_WAIT_TUNNEL,
	L2TP_SS_WAIT_REPLY,
	L2TP_SS_WAIT_CONNECT,
	L2TP_SS_UP,
	L2TP_SS_CLOSING /* CDN queued */
};

struct l2tp_tunnel_info {
	adit_handle handle;
	uint64_t owner;
	enum l2tp_tunnel_state state;
	uint32_t local_id, remote_id; /* 16 bits of each are in use */
	struct path path;
	bool initiator;
	const char *host_name, *vendor_name; /* the peer's, as in struct l2tp_event */
	uint16_t firmware;		     /* the peer's Firmware Revision, 0 = not said */
	uint32_t bearer;	      /* the peer's Bearer Capabilities: not 0 = it places calls */
	uint32_t quirks, quirks_used; /* that are looked for, and that made a difference */
	uint32_t sessions;
	uint16_t ns, nr, peer_window, cwnd, ssthresh;
	uint32_t queued, in_flight, retransmits, sent, received, duplicates;
	struct mono since, heard;
	int64_t rtt_us; /* smoothed time to acknowledgement, 0 = not known */
};

struct l2tp_session_info {
	adit_handle handle, tunnel;
	uint64_t owner;
	enum l2tp_session_state state;
	uint32_t local_id, remote_id, local_tunnel_id, remote_tunnel_id; /* likewise */
	bool initiator;				/* we sent the ICRQ or OCRQ */
	bool outgoing;				/* an OCRQ began it */
	bool send_seq, require_seq, length_bit; /* require_seq: drop data without Ns. What we asked
						   for as the LAC only once the peer has sent Ns */
	uint32_t serial;
	uint16_t data_ns, data_nr;
	struct path path;
	struct mono since;
	uint32_t tx_speed, rx_speed, framing; /* as ICCN or OCCN said; 0 = not said */
	bool accm;			      /* SLI told: */
	uint32_t accm_send, accm_recv;	      /* all ones until then (4.4.6) */
	uint32_t errors[6];		      /* of the LAC's line, as WEN told last */
	const uint8_t *proxy; /* as in struct l2tp_event, or NULL; until the next call that changes
				 something */
	uint32_t proxy_len;
};

/* False when the handle is stale. Strings as in struct l2tp_event. */
bool l2tp_tunnel_info(const struct l2tp *l, adit_handle h, struct l2tp_tunnel_info *ret);
bool l2tp_session_info(const struct l2tp *l, adit_handle h, struct l2tp_session_info *ret);

/* Walk: start with 0, returns 0 at the end. Sessions of one tunnel when `tunnel` is not 0. */
adit_handle l2tp_tunnel_next(const struct l2tp *l, adit_handle prev);
adit_handle l2tp_session_next(const struct l2tp *l, adit_handle tunnel, adit_handle prev);

struct l2tp_counters {
	uint64_t control_in, control_out, retransmits, duplicates, frames_in;
	uint64_t drop_header, drop_unknown_tunnel, drop_unknown_session, drop_path, drop_state,
		drop_sequence, drop_avp, drop_window, drop_limit;
	uint32_t tunnels, sessions, halfopen;
	size_t memory; /* octets held by the engine */
};

void l2tp_counters(const struct l2tp *l, struct l2tp_counters *ret);

/* ---- what must outlive the process ---- */

enum l2tp_object { L2TP_OBJ_TUNNEL = 1, L2TP_OBJ_SESSION = 2 };

/*
 * The next object whose record has to be written (l2tp_save) or removed (*ret_gone) before output
 * is taken; false when there is none. A record is kept under (kind, handle). An owner that keeps no
 * records need not call this.
 */
bool l2tp_dirty(struct l2tp *l, enum l2tp_object *ret_kind, adit_handle *ret_handle,
		bool *ret_gone);

/* Write the object's record; the cursor turns bad when it does not fit. */
void l2tp_save(const struct l2tp *l, enum l2tp_object kind, adit_handle h, struct wcur *c);

/* Upper bounds of a record. A tunnel's holds its unacknowledged messages. */
#define L2TP_SAVE_TUNNEL_MAX  16384
#define L2TP_SAVE_SESSION_MAX (512 + L2TP_PROXY_MAX)

/*
 * Bring objects back, all tunnels first. What was loaded has a record: the one it came from is from
 * now on that of its new handle, and l2tp_dirty() says to write it again, or that it is gone should
 * the object have ended by then. What was established goes on where it was: ids, Ns, Nr, window and
 * unacknowledged messages. What was being set up ends with StopCCN or CDN. Handles are new; `owner`
 * is the caller's. 0; 1 when the record cannot be used (its object is not made, the caller removes
 * it; a session whose ids could be read gets a CDN); -ENOMEM.
 */
int l2tp_load_tunnel(struct l2tp *l, struct mono now, struct rcur *c, struct l2tp_profile *profile,
		     uint64_t owner, adit_handle *ret_handle);
int l2tp_load_session(struct l2tp *l, struct mono now, struct rcur *c, uint64_t owner,
		      adit_handle *ret_handle);

#ifdef __cplusplus
}
#endif
#endif
