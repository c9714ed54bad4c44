/* SPDX-License-Identifier: MIT
 *
 * What the files of src/ppp share.
 *
 * A link goes through the phases of RFC 1661 3.2. The automata (cp.c) tell a protocol's file that
 * it is up, down or finished; that file moves the phase by link_*() of link.c. Nothing is sent or
 * reported from inside: a link gets bits in `out` and `news` and stands once on the engine's lists;
 * output.c builds packets from the state of the link when the owner asks for them, events.c does so
 * for events. Only answers that repeat bytes of the peer wait in a small queue of the engine.
 */
#ifndef ADIT_PPP_INTERNAL_H
#define ADIT_PPP_INTERNAL_H

#include <adit/ppp.h>
#include "base/crypto.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/trace.h"
#include "base/wire.h"
#include "cp.h"

#define PPP_MRU_DEFAULT 1500 /* RFC 1661 6.1 */
#define PPP_MRU_IPV6	1280 /* RFC 5072 2 */
#define PPP_MRU_LIMIT	16384
#define PPP_CHAL_LEN	24 /* octets of our challenges: 16 random, 8 to know them again by */
#define MS_CHAL_LEN	16 /* RFC 2759 3 */
#define MS_NT_LEN	24
#define MS_RESP_LEN	49
#define PPP_QUEUE	512 /* answers: two for each packet between two drains of the owner */
#define PPP_WAKE_US	(30 * US_S)
#define PPP_RENEG_US	(60 * US_S)
#define PPP_RENEG_MAX	5 /* renegotiations in PPP_RENEG_US */
#define PPP_LOOP_MAX	4 /* own magic numbers seen in a row before the link counts as looped */
#define PPP_REJECTS_S	8 /* Protocol-Rejects per second and link */
#define PPP_REPEAT_US	(10 * US_S)
#define PPP_REPEAT_MAX	3

enum phase { PH_ESTABLISH, PH_AUTHENTICATE, PH_NETWORK, PH_TERMINATE, PH_DEAD };

/* What a link has to send, in the order of sending. */
enum link_out {
	OUT_PAP_RESULT = 1 << 0,
	OUT_CHAP_RESULT = 1 << 1,
	OUT_EAP_RESULT = 1 << 2,
	OUT_LCP_REQ = 1 << 3,
	OUT_LCP_TERM = 1 << 4,
	OUT_ECHO = 1 << 5,
	OUT_PAP_REQ = 1 << 6,
	OUT_CHAP_CHAL = 1 << 7,
	OUT_CHAP_RESP = 1 << 8,
	OUT_EAP_REQ = 1 << 9,
	OUT_EAP_RESP = 1 << 10,
	OUT_CCP_REQ = 1 << 11,
	OUT_CCP_TERM = 1 << 12,
	OUT_IPCP_REQ = 1 << 13,
	OUT_IPCP_TERM = 1 << 14,
	OUT_IPV6CP_REQ = 1 << 15,
	OUT_IPV6CP_TERM = 1 << 16
};

/* The results of logins are sent even when the link is being closed. */
#define OUT_RESULTS (OUT_PAP_RESULT | OUT_CHAP_RESULT | OUT_EAP_RESULT)

/* What a link has to report, in the order of reporting. */
enum link_news {
	NEWS_IPCP_DOWN = 1 << 0,
	NEWS_IPV6CP_DOWN = 1 << 1,
	NEWS_NOTE = 1 << 2,
	NEWS_LCP_UP = 1 << 3,
	NEWS_ASK = 1 << 4,
	NEWS_AUTH_UP = 1 << 5,
	NEWS_CCP_READY = 1 << 6,
	NEWS_CCP = 1 << 7,
	NEWS_IPCP_READY = 1 << 8,
	NEWS_IPV6CP_READY = 1 << 9,
	NEWS_IPCP_UP = 1 << 10,
	NEWS_IPV6CP_UP = 1 << 11,
	NEWS_DOWN = 1 << 12
};

enum link_flag {
	F_WE_DONE = 1 << 0,	 /* the peer has logged in, or need not */
	F_PEER_DONE = 1 << 1,	 /* we have logged in, or need not */
	F_ASKED = 1 << 2,	 /* AUTH_ASK awaits its answer */
	F_PATH_READY = 1 << 3,	 /* no more holding of Acks */
	F_PEER_TERM = 1 << 4,	 /* the peer sent Terminate-Request */
	F_TEXT_IS_WHY = 1 << 5,	 /* `text` says why the link ends */
	F_AUTH_REFUSED = 1 << 6, /* we rejected the peer's wish that we log in */
	F_PFC_IN = 1 << 7,	 /* the peer may send one-octet protocols */
	F_ACFC_IN = 1 << 8,
	F_ACFC_OUT = 1 << 9,
	F_PFC_OUT = 1 << 10,
	F_NO_ECHO = 1 << 11, /* the peer does not know Echo-Request */
	F_IP4_OFF = 1 << 12, /* this user gets no IPv4 */
	F_IP6_OFF = 1 << 13,
	F_AUTH_BEFORE = 1 << 14, /* authenticated at least once: what follows is a new check */
	F_ANY_UP = 1 << 15,	 /* a network protocol has been open in this network phase */
	F_HEARD_LCP = 1 << 16,	 /* the peer has sent some LCP packet */
	F_TOLD_IP4 = 1 << 17,	 /* the owner knows IPCP as open */
	F_TOLD_IP6 = 1 << 18,
	F_BY_PEER = 1 << 19,
	F_IP4_NEVER = 1 << 20, /* the owner said so at OPEN; renegotiation does not change it */
	F_IP6_NEVER = 1 << 21,
	F_CCP_OVER = 1 << 22, /* there is no encryption, and the profile can do without */
	F_CCP_HELD = 1 << 23, /* CCP waits for the data path */
	F_NCPS = 1 << 24      /* the network protocols have been begun in this network phase */
};

/* EAP as authenticator: the Request that is out (RFC 3748 4.1). */
enum eap_we {
	EAP_WE_IDLE, /* nothing asked yet, or Success has been sent */
	EAP_WE_IDENTITY,
	EAP_WE_METHOD,
	EAP_WE_CHECK,	/* the owner has been asked */
	EAP_WE_SUCCESS, /* MSCHAPv2 in EAP: its Success, to be acknowledged */
	EAP_WE_FAILURE
};

/* EAP as peer: what we answered last. */
enum eap_peer {
	EAP_PEER_IDLE,
	EAP_PEER_IDENTITY,
	EAP_PEER_NAK,
	EAP_PEER_MD5,	   /* from here on a method is under way */
	EAP_PEER_MSCHAPV2, /* the response */
	EAP_PEER_PROVEN,   /* the server's Success was right */
	EAP_PEER_FAILED	   /* the server's Failure */
};

/* A Configure-Request that came before its protocol was begun. */
struct early {
	uint8_t id, len; /* of the options; 0 = none */
	uint8_t options[48];
};

/* A Configure-Request whose Ack waits for the data path. */
struct held {
	uint8_t id, len; /* of the options */
	uint8_t options[24];
};

/* Of logins by MS-CHAPv2, in EAP or not: for repeats of the result, and for MPPE. */
struct ms {
	struct cp ccp;
	uint32_t mppe_in, mppe_out; /* strength agreed, one of the Supported Bits; 0 = none */
	int64_t reset_at;	    /* no Reset-Request of CCP before */
	struct early early[3];	    /* IPCP, IPv6CP, CCP */
	struct ppp_proof we, peer;
	uint8_t response[MS_RESP_LEN];	/* ours, for repeats */
	uint8_t challenge[MS_CHAL_LEN]; /* what it answers */
	bool responded;			/* in this login; else these two and `peer` prove nothing */
};

/* Only while the peer logs in: what it says, until the owner has answered. */
struct login {
	uint8_t challenge[PPP_CHAL_LEN];
	uint16_t user_len;
	uint16_t response_len;
	char user[PPP_USER_MAX];
	uint8_t response[PPP_SECRET_MAX];
	char msg[PPP_TEXT_MAX];
};

struct link {
	struct heap_node timer;
	struct list news_node, out_node, dirty_node;
	adit_handle handle;
	uint64_t owner;
	struct ppp_profile *profile;
	struct login *login;  /* NULL most of the time */
	struct ms *ms;	      /* NULL when neither side can use it */
	struct held *held;    /* of IPCP, IPv6CP; NULL but while an Ack is held */
	char *text;	      /* PPP_TEXT_MAX octets once the peer has said something */
	const char *why;      /* why the link ends, a constant */
	struct cp cp[CP_CCP]; /* those before it, see link_cp() */
	int64_t phase_at;     /* limit of the phase, CP_NEVER = none; all times in us */
	int64_t we_at;	      /* authenticator: next challenge */
	int64_t peer_at;      /* peer: repeat our request or response */
	int64_t hold_at;      /* Ack held until */
	int64_t heard;	      /* last sign of life of the peer */
	int64_t echo_at;      /* next look at the echo clock */
	struct ppp_addresses want, got;
	uint32_t magic, peer_magic, nak_magic;
	uint32_t ask; /* number of the question to the owner */
	uint32_t reneg_s, reject_s;
	uint32_t flags, out, news;
	uint16_t mru_wish; /* what we ask the peer to send at most */
	uint16_t mru_in, mru_out;
	uint16_t cause; /* enum adit_cause, why the link ends */
	uint8_t nak_iid[8];
	uint8_t resp[MD5_LEN]; /* our CHAP response, for repeats */
	uint8_t phase;
	uint8_t wake;		    /* last jump of time that was dealt with */
	uint8_t auth_idx;	    /* which method of the profile's order we ask for */
	uint8_t auth_we, auth_peer; /* agreed methods, enum ppp_auth */
	uint8_t auth_bad;	    /* wrong answers so far, kept over renegotiation */
	uint8_t we_sent, peer_sent; /* challenges, requests or responses sent without an answer */
	uint8_t chap_id;	    /* of the open challenge, or of EAP's Request */
	uint8_t chap_result;	    /* code of the result given last, to the response `result_id` */
	uint8_t result_id, pap_id, pap_result;
	uint8_t eap_we, eap_peer;
	uint8_t eap_ms_id;  /* MSCHAPv2 in EAP: the identifier inside, of the open challenge */
	uint8_t fail_error; /* MS-CHAP: 600 less than E= of the Failure */
	uint8_t fail_cause; /* EAP: why the login fails once the peer has seen the Failure */
	bool fail_retry;    /* R=1, or EAP asks for the Identity again */
	bool eap_noted;	    /* our last Response acknowledged a Notification */
	uint8_t pap_req_id, resp_id;
	uint8_t echo_id, echo_open; /* Echo-Requests without an answer */
	uint8_t loops;
	uint8_t renegs, rejects;
	uint8_t auth_naks; /* how often we named another method to the peer */
};

_Static_assert(sizeof(struct link) <= 448, "a link is kept for every subscriber");

struct ppp_profile {
	uint32_t refs;
	struct ppp_params p; /* with all defaults filled in; strings point behind this struct */
	uint8_t auths;	     /* length of auth_order */
	uint8_t auth_set;    /* of the same */
	uint8_t user_len, name_len;
};

/* The packet being handled. */
struct packet {
	const uint8_t *bytes, *body; /* from the code octet; behind the length field */
	size_t len, body_len;
	uint8_t code, id;
};

/* An answer waiting to be sent. */
struct reply {
	adit_handle link;
	uint16_t len;
	bool priority;
	uint8_t bytes[PPP_FRAME_MAX];
};

struct ppp {
	struct mono now;
	bool called; /* `now` has been set before */
	struct rng rng;
	uint8_t key[16]; /* our mark in challenges */
	struct trace *trace;
	struct pool *links;
	struct heap timers;
	struct list news, out, dirty;
	uint32_t max_links;
	uint8_t wake;
	size_t extra; /* octets in logins, texts and the like */

	struct packet in;
	union cp_peer peer;  /* decoded from the request being handled */
	uint8_t answer_code; /* CP_CONF_NAK or CP_CONF_REJ with `answer` */
	size_t answer_len;
	uint8_t answer[PPP_FRAME_MAX], nak[PPP_FRAME_MAX];
	char text[PPP_TEXT_MAX]; /* of the event given out last */
	char user[PPP_USER_MAX];

	uint32_t queue_first, queue_n;
	struct reply queue[PPP_QUEUE];
};

/* The automaton of a protocol. Few links have one of CCP: it is NULL when there are no logins by
 * MS-CHAPv2, and then CCP is neither wanted nor begun. */
static inline struct cp *link_cp(struct link *l, enum cp_kind kind)
{
	return kind != CP_CCP ? &l->cp[kind] : l->ms ? &l->ms->ccp : NULL;
}

static inline enum cp_state link_cp_state(const struct link *l, enum cp_kind kind)
{
	return (enum cp_state)(kind != CP_CCP ? l->cp[kind].state
			       : l->ms	      ? l->ms->ccp.state
					      : CP_INITIAL);
}

/* link.c: life of a link, phases, timers */
struct link *link_get(const struct ppp *e, adit_handle h);
int link_new(struct ppp *e, struct ppp_profile *profile, uint64_t owner, struct link **ret);
void link_free(struct ppp *e, struct link *l);
void link_arm(struct ppp *e, struct link *l);
void link_expire(struct ppp *e, struct link *l);
void link_phase(struct ppp *e, struct link *l, enum phase phase);
void link_send(struct ppp *e, struct link *l, uint32_t out);
void link_tell(struct ppp *e, struct link *l, uint32_t news);
void link_dirty(struct ppp *e, struct link *l);
/* Begin the end: Terminate-Request. The first cause stays. `why` is a constant, or NULL when the
 * text the peer sent says it. */
void link_close(struct ppp *e, struct link *l, enum adit_cause cause, const char *why);
/* The automaton of LCP is about to end the link by itself. */
void link_ending(struct ppp *e, struct link *l, enum adit_cause cause, const char *why);
const char *link_words(const struct link *l);
void link_down(struct ppp *e, struct link *l, enum adit_cause cause, const char *why);
void link_says(struct ppp *e, struct link *l, const uint8_t *text, size_t len, bool note);
void link_network(struct ppp *e, struct link *l);
void link_ncp_start(struct ppp *e, struct link *l, enum cp_kind kind);
/* CCP is settled: the network protocols begin, if they have not. */
void link_ncps_start(struct ppp *e, struct link *l);
/* Where the request of IPCP or IPv6CP is held; NULL: out of memory. */
struct held *link_held(struct ppp *e, struct link *l, enum cp_kind kind);
void link_held_free(struct ppp *e, struct link *l);
/* A packet of a protocol that has not been begun: true when it is kept, or is none to be kept. */
/* Keep a Configure-Request for link_early_replay(). False: it has no options, or too many. */
bool link_keep(struct link *l, enum cp_kind kind, uint8_t id, const uint8_t *options, size_t len);
bool link_early(struct ppp *e, struct link *l, enum cp_kind kind, const uint8_t *p, size_t len);
void link_early_replay(struct ppp *e, struct link *l, enum cp_kind kind);
void link_ncp_up(struct ppp *e, struct link *l, enum cp_kind kind);
void link_ncp_down(struct ppp *e, struct link *l, enum cp_kind kind);
void link_ncp_end(struct ppp *e, struct link *l, enum cp_kind kind, enum adit_cause cause,
		  const char *why);
/* The automaton has come to rest. */
void link_ncp_finished(struct ppp *e, struct link *l, enum cp_kind kind);
bool link_ncp_wanted(const struct link *l, enum cp_kind kind);
bool link_renegotiates(struct ppp *e, struct link *l);

/* auth.c: what PAP and CHAP share */
int auth_reserve(struct ppp *e, struct link *l);
int auth_reserve_ms(struct ppp *e, struct link *l);
void auth_start(struct ppp *e, struct link *l);
/* Our response to a challenge of MS-CHAPv2, in EAP or not, into l->ms. */
void auth_respond_ms(struct ppp *e, struct link *l, const uint8_t challenge[MS_CHAL_LEN]);
/* True when `text` of a Success proves that the peer knows the password (RFC 2759 5). */
bool auth_peer_proven(const struct link *l, const uint8_t *text, size_t len);
void auth_stop(struct ppp *e, struct link *l);
void auth_ask(struct ppp *e, struct link *l);
void auth_failed(struct ppp *e, struct link *l, enum adit_cause cause);
/* What a Failure says: E= and R= of MS-CHAP (RFC 2759 6), words where the owner gave none. */
void auth_fail_words(struct link *l, enum adit_cause cause, bool retry);
void auth_done(struct ppp *e, struct link *l, uint32_t flag);
void auth_peer_in(struct ppp *e, struct link *l);
int auth_answer(struct ppp *e, struct link *l, const struct ppp_cmd *cmd);
void auth_expire(struct ppp *e, struct link *l);
void auth_peer_failed(struct ppp *e, struct link *l, const uint8_t *text, size_t len);
void auth_forget(struct ppp *e, struct link *l);
void auth_free(struct ppp *e, struct link *l);
uint32_t auth_tries(const struct link *l);
/* The next method of the profile's order behind the present one that is in `set`, or NONE. */
enum ppp_auth auth_next(const struct link *l, uint8_t set, unsigned *ret_idx);
/* Octets of a challenge of ours. */
size_t auth_challenge_len(uint8_t auth);
void auth_put_mark(const struct ppp *e, uint8_t *challenge, size_t len);
bool auth_is_ours(const struct ppp *e, const uint8_t *challenge, size_t len);
void auth_keep_keys(struct ppp_proof *now, const struct ppp_proof *old);
void auth_take_user(struct login *g, const uint8_t *name, size_t len);

/* mschap.c */
void mschap2_respond(const char *user, size_t user_len, const void *password, size_t password_len,
		     const uint8_t peer[MS_CHAL_LEN], const uint8_t challenge[MS_CHAL_LEN],
		     uint8_t ret_response[MS_RESP_LEN], struct ppp_proof *ret);
void mschap1_respond(const void *password, size_t password_len, const uint8_t challenge[8],
		     uint8_t ret_response[MS_RESP_LEN]);
void mschap2_put_success(const struct ppp_proof *proof, const char *text, struct wcur *c);
void mschap_put_failure(enum ppp_auth auth, unsigned error, bool retry, const uint8_t *challenge,
			const char *text, struct wcur *c);
bool mschap2_success_fits(const struct ppp_proof *proof, const uint8_t *text, size_t len);
struct bytes mschap_words(const uint8_t *text, size_t len);

/* eap.c */
enum ppp_input eap_input(struct ppp *e, struct link *l, const uint8_t *p, size_t len);
void eap_start(struct ppp *e, struct link *l);
void eap_passed(struct ppp *e, struct link *l);
void eap_failed(struct ppp *e, struct link *l, enum adit_cause cause, bool retry);
void eap_due(struct ppp *e, struct link *l);
bool eap_indicated(struct ppp *e, struct link *l);
void eap_build_request(const struct link *l, struct wcur *c);
void eap_build_response(const struct link *l, struct wcur *c);
void eap_build_result(const struct link *l, struct wcur *c);

/* pap.c, chap.c */
enum ppp_input pap_input(struct ppp *e, struct link *l, const uint8_t *p, size_t len);
void pap_build_request(const struct link *l, struct wcur *c);
void pap_build_result(const struct link *l, struct wcur *c);
enum ppp_input chap_input(struct ppp *e, struct link *l, const uint8_t *p, size_t len);
void chap_challenge(struct ppp *e, struct link *l);
void chap_failed(struct ppp *e, struct link *l, enum adit_cause cause, bool retry);
void chap_build_challenge(const struct link *l, struct wcur *c);
void chap_build_response(const struct link *l, struct wcur *c);
void chap_build_result(const struct link *l, struct wcur *c);

/* lcp.c, ipcp.c, ipv6cp.c */
extern const struct cp_ops lcp_ops, ipcp_ops, ipv6cp_ops, ccp_ops;
void lcp_peer_left(struct ppp *e, struct link *l);
void lcp_build_echo(const struct link *l, struct wcur *c);
void lcp_time_left(struct ppp *e, struct link *l, uint32_t seconds, const char *text);
void lcp_protocol_reject(struct ppp *e, struct link *l, uint16_t proto, const uint8_t *p,
			 size_t len);

/* ccp.c */
bool ccp_wanted(const struct link *l);	/* encryption is wanted and not given up */
bool ccp_settled(const struct link *l); /* it is there, or there will be none */
const struct ppp_proof *ccp_keys(const struct link *l);
/* The peer negotiates CCP anew: the keys are put once more first, since the kernel arms its MPPE by
 * looking at CCP packets only while its row says that CCP is not open. */
void ccp_again(struct ppp *e, struct link *l);
/* An encrypted frame came that the data plane has not decrypted. Linux gives up a direction at the
 * first packet that comes late, until it sees a Reset-Ack. */
void ccp_lost(struct ppp *e, struct link *l);
bool ccp_begin_phase(struct ppp *e, struct link *l);
void ccp_go(struct ppp *e, struct link *l, bool can);
void ccp_peer_rejected(struct ppp *e, struct link *l);
void ccp_options(const struct link *l, uint8_t ret[4]);
bool ccp_load(struct link *l, uint32_t in);

/* output.c */
void frame_begin(const struct link *l, uint16_t proto, struct wcur *c);
/* Queue `code`, `id` and `len` octets of `body`, cut to the peer's MRU when `cut`. */
void reply_put(struct ppp *e, struct link *l, uint16_t proto, uint8_t code, uint8_t id,
	       const uint8_t *body, size_t len);

enum ppp_input input_drop(struct ppp *e, struct link *l, uint16_t proto, size_t len,
			  const char *why);
void trace_packet(struct ppp *e, const struct link *l, bool out, uint16_t proto, const uint8_t *p,
		  size_t len);
void trace_words(struct ppp *e, const struct link *l, enum trace_kind kind, uint32_t a, uint32_t b,
		 const char *words);

/* All four, or all eight, octets zero. */
static inline bool ip4_none(const uint8_t ip[4])
{
	return !(ip[0] | ip[1] | ip[2] | ip[3]);
}

static inline bool iid_none(const uint8_t iid[8])
{
	return !(iid[0] | iid[1] | iid[2] | iid[3] | iid[4] | iid[5] | iid[6] | iid[7]);
}

static inline uint16_t proto_of(enum cp_kind kind)
{
	return kind == CP_LCP	 ? PPP_PROTO_LCP
	       : kind == CP_IPCP ? PPP_PROTO_IPCP
	       : kind == CP_CCP	 ? PPP_PROTO_CCP
				 : PPP_PROTO_IPV6CP;
}

#endif
