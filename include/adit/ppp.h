/* SPDX-License-Identifier: MIT
 *
 * The PPP engine: many links, each with LCP (RFC 1661, 1570), authentication by PAP (RFC 1334),
 * CHAP (RFC 1994), MS-CHAP (RFC 2759, 2433) or EAP (RFC 3748) in either direction, IPCP (RFC 1332,
 * 1877), IPv6CP (RFC 5072), and CCP for MPPE (RFC 1962, 3078). See types.h for the contract of an
 * engine (act, then drain).
 *
 * A link carries frames of some lower layer (an L2TP session, a PPPoE session). Frames start with
 * the address and control octets or, when these are compressed, with the protocol. There is no
 * framing, escaping or FCS here.
 *
 * Questions: who a user is (PPP_EV_AUTH_ASK) is answered by the owner with PPP_CMD_AUTH_ANSWER, at
 * once or later. Before the first network protocol opens, PPP_EV_NCP_READY tells the owner to make
 * the data path ready; the Ack that would open the peer's side is held until PPP_CMD_NCP_GO, so no
 * packet can be lost in between. It is held at most PPP_HOLD_US.
 */
#ifndef ADIT_PPP_H
#define ADIT_PPP_H

#include <adit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ppp;
struct ppp_profile;
struct trace;
struct rcur;
struct wcur;

#define PPP_PROTO_IP	 0x0021
#define PPP_PROTO_IPV6	 0x0057
#define PPP_PROTO_COMP	 0x00fd
#define PPP_PROTO_IPCP	 0x8021
#define PPP_PROTO_IPV6CP 0x8057
#define PPP_PROTO_CCP	 0x80fd
#define PPP_PROTO_LCP	 0xc021
#define PPP_PROTO_PAP	 0xc023
#define PPP_PROTO_CHAP	 0xc223
#define PPP_PROTO_EAP	 0xc227

#define PPP_USER_MAX   256 /* user names we keep, with NUL */
#define PPP_SECRET_MAX 256
#define PPP_PROOF_LEN  20 /* octets of an authenticator response (RFC 2759 8.7) */
#define PPP_KEY_LEN    16
#define PPP_TEXT_MAX   128
#define PPP_FRAME_MAX  1600 /* largest frame the engine builds */
#define PPP_HOLD_US    (5 * US_S)

/*
 * Authentication methods, a set; in a profile's order list one bit each. The two of EAP are one
 * protocol for LCP: which one is settled inside EAP.
 */
enum ppp_auth {
	PPP_AUTH_NONE = 0,
	PPP_AUTH_PAP = 1,
	PPP_AUTH_CHAP_MD5 = 2,
	PPP_AUTH_MSCHAP = 4,   /* version 1 (RFC 2433): broken, for old peers only */
	PPP_AUTH_MSCHAPV2 = 8, /* RFC 2759 */
	PPP_AUTH_EAP_MD5 = 16, /* RFC 3748 5.4 */
	PPP_AUTH_EAP_MSCHAPV2 = 32
};

#define PPP_AUTH_EAP  (PPP_AUTH_EAP_MD5 | PPP_AUTH_EAP_MSCHAPV2)
#define PPP_AUTH_ALL  63
#define PPP_AUTH_KEYS (PPP_AUTH_MSCHAPV2 | PPP_AUTH_EAP_MSCHAPV2) /* those with keys for MPPE */

/* Encryption of data (RFC 3078), and strengths of its keys, a set. */
enum ppp_mppe { PPP_MPPE_OFF, PPP_MPPE_PREFER, PPP_MPPE_REQUIRE };
#define PPP_MPPE_128 1
#define PPP_MPPE_56  2
#define PPP_MPPE_40  4
#define PPP_MPPE_ALL 7

/* What follows from a good MS-CHAPv2 response, to be given with the answer about the user. */
struct ppp_proof {
	uint8_t authenticator[PPP_PROOF_LEN];		      /* we know the password as well */
	uint8_t send_key[PPP_KEY_LEN], recv_key[PPP_KEY_LEN]; /* master keys (RFC 3079 3.4) */
	bool has_keys;
};

/* How links of a kind behave. Strings are copied by ppp_profile_new(). 0 = the default. */
struct ppp_params {
	/* we as authenticator: in the order we ask; all PPP_AUTH_NONE = the peer need not log in */
	uint8_t auth_order[8];
	const char *auth_name; /* our name in challenges, default "adit" */
	uint32_t auth_tries;   /* wrong answers before the link is closed, default 3 for PAP and
				  MS-CHAP, in EAP or not; 1 for MD5, as most peers do not retry */
	int64_t auth_us;       /* time limit of the authentication phase, default 30 s */
	int64_t auth_again_us; /* ask again while the link is up, not with PAP; 0 = never */

	const char *identification; /* words about us, told when LCP opens (RFC 1570 1.1); at most
				       PPP_TEXT_MAX - 1 octets, NULL or "" = none */

	/* we as peer: methods we agree to use, and who we are */
	uint8_t peer_auth; /* set of enum ppp_auth; 0 = we refuse to log in */
	const char *user;
	const void *password;
	size_t password_len;

	uint16_t mru;	    /* what we ask the peer to send at most; 128..16384, default 1500 */
	uint16_t mru_max;   /* the largest frame payload our side can send; default 1500; a
			       larger MRU of the peer is accepted and this limit used */
	uint16_t mru_min;   /* a peer's MRU below this is refused; default 576 */
	bool acfc, pfc;	    /* ask for compression of address/control, protocol; also the
			       permission to use it when the peer asks */
	int64_t echo_us;    /* LCP Echo-Request interval when nothing was heard, default 30 s;
			       <0 = never */
	uint32_t echo_lost; /* unanswered requests before the link is lost, default 4 */
	int64_t restart_us; /* RFC 1661 4.6 restart timer, default 3 s */
	uint32_t max_configure, max_terminate, max_failure; /* defaults 10, 2, 5 */
	int64_t lcp_us; /* time limit for LCP to open, default 30 s */
	int64_t ncp_us; /* time limit for the first NCP to open, default 60 s */
	bool passive;	/* wait for the peer's first Configure-Request (LNS towards a LAC
			   that dials): default off, we speak first */

	bool ipcp, ipv6cp;		   /* which network protocols; at least one */
	bool require_ipcp, require_ipv6cp; /* the link ends when this one does not come up */
	bool ask_dns;			   /* client: ask for DNS servers (RFC 1877) */
	enum ppp_mppe mppe;	/* needs a login by one of PPP_AUTH_KEYS in some direction */
	uint8_t mppe_strengths; /* those that may be used, default PPP_MPPE_128 */
	uint8_t wins4[2][4];	/* NBNS servers told to the peer (RFC 1877 1.2, 1.4); zero = none */
};

/* NULL with *ret_err = -ENOMEM or -EINVAL. One reference is the caller's. */
struct ppp_profile *ppp_profile_new(const struct ppp_params *params, int *ret_err);
struct ppp_profile *ppp_profile_ref(struct ppp_profile *p);
void ppp_profile_unref(struct ppp_profile *p);

struct ppp_config {
	uint8_t seed[32];
	struct trace *trace;
	uint32_t max_links; /* 0 = no limit of its own */
};

struct ppp *ppp_new(const struct ppp_config *config);
void ppp_free(struct ppp *p);

/* Addresses of a link's network layer: what our side has and what the peer is to get. IPv4 in
 * network octets; all zero = not set: then the other side has to name it. */
struct ppp_addresses {
	uint8_t our_ip4[4], peer_ip4[4];
	uint8_t dns4[2][4]; /* authenticator: told to the peer; client: learnt from the peer */
	uint8_t our_iid[8],
		peer_iid[8]; /* interface identifiers; zero = random / the peer's choice */
};

enum ppp_cmd_kind {
	PPP_CMD_OPEN,  /* make a link; the lower layer is up; ret_link */
	PPP_CMD_CLOSE, /* Terminate-Request, then PPP_EV_DOWN with `cause` */
	PPP_CMD_DROP,  /* the lower layer is gone: the link ends at once, silently; its handle is
			  dead, no event follows */
	PPP_CMD_AUTH_ANSWER, /* answer to AUTH_ASK */
	PPP_CMD_NCP_GO,	     /* answer to NCP_READY: the data path is ready */
	PPP_CMD_TIME_LEFT    /* tell the peer that the link ends in `seconds` (RFC 1570 1.2), with
				`text`; nothing happens while LCP is not open */
};

struct ppp_cmd {
	enum ppp_cmd_kind kind;
	adit_handle link;
	uint64_t owner;		     /* OPEN */
	struct ppp_profile *profile; /* OPEN; the engine takes a reference */
	struct ppp_addresses
		addresses;   /* OPEN (a client's wishes), AUTH_ANSWER (what the user gets) */
	uint16_t mru;	     /* OPEN: what to ask the peer to send at most on this link,
				128..16384; 0 = the profile's */
	bool ok;	     /* AUTH_ANSWER */
	bool no_mppe;	     /* NCP_GO of CCP: the data plane cannot encrypt */
	bool no_ip4, no_ip6; /* OPEN, AUTH_ANSWER: this user does not get this protocol */
	const char *text;    /* AUTH_ANSWER, TIME_LEFT: message for the peer, or NULL */
	uint32_t seconds;    /* TIME_LEFT */
	const struct ppp_proof *proof; /* AUTH_ANSWER with ok = true of MS-CHAPv2, else NULL */
	enum adit_cause cause;	       /* CLOSE; AUTH_ANSWER with ok = false: why */
	uint32_t ask; /* AUTH_ANSWER: the event's number; 0 = the question that is open */
	adit_handle ret_link;
};

/*
 * 0; 1 the handle is stale, or the question of AUTH_ANSWER is no longer open (the link renegotiated
 * or is ending); 2 the limit of links is reached; -ENOMEM; -EINVAL (owner's mistake). A pointer in
 * the command need not outlive the call.
 */
int ppp_do(struct ppp *p, struct mono now, struct ppp_cmd *cmd);

/*
 * A frame has come on a link. IP frames (0021, 0057) are not handled here: they are reported by
 * the return so that the caller can forward or drop them. Returns an enum ppp_input or -ENOMEM.
 */
enum ppp_input {
	PPP_IN_TAKEN,
	PPP_IN_IP,   /* an IPv4 packet at *ret_off, and IPCP is open */
	PPP_IN_IPV6, /* an IPv6 packet at *ret_off, and IPv6CP is open */
	PPP_IN_DROP  /* broken, or not allowed in this phase; traced with the reason */
};

int ppp_input(struct ppp *p, struct mono now, adit_handle link, const uint8_t *frame, size_t len,
	      size_t *ret_off);

/* Something was heard from the peer that this engine did not see (data): restarts the echo clock.
 */
void ppp_heard(struct ppp *p, struct mono now, adit_handle link);

void ppp_expire(struct ppp *p, struct mono now);
struct mono ppp_deadline(const struct ppp *p);

/*
 * The next frame to send, with address and control octets where they belong. Returns its length and
 * the link, its owner and whether it is an LCP echo (sent with priority, RFC 2661 3.1); 0 when
 * there is none. `cap` is at least PPP_FRAME_MAX.
 */
struct ppp_frame {
	adit_handle link;
	uint64_t owner;
	bool priority;
};

size_t ppp_output(struct ppp *p, struct mono now, uint8_t *buf, size_t cap, struct ppp_frame *ret);

enum ppp_event_kind {
	PPP_EV_LCP_UP,	  /* LCP opened: mru in both directions, compression */
	PPP_EV_AUTH_ASK,  /* a user wants in: answer with AUTH_ANSWER */
	PPP_EV_AUTH_UP,	  /* authentication is complete in all directions asked for */
	PPP_EV_NCP_READY, /* addresses of `proto` are agreed, our Ack is held: answer with NCP_GO.
			     Of CCP: the keys are there (ppp_info) and CCP may begin; CCP's packets
			     then pass through the data path, the network protocols come after it */
	PPP_EV_CCP,	  /* encryption was agreed or has ended, see ppp_info */
	PPP_EV_NCP_UP,	  /* `proto` opened: addresses are final */
	PPP_EV_NCP_DOWN,  /* `proto` closed, the link goes on; or LCP renegotiates: a new LCP_UP or
			     DOWN  follows */
	PPP_EV_NOTE,	  /* the peer said something for people (`text`) */
	PPP_EV_DOWN	  /* the link ended; the handle is dead after this */
};

struct ppp_event {
	enum ppp_event_kind kind;
	adit_handle link;
	uint64_t owner;
	uint16_t proto; /* NCP_*: PPP_PROTO_IPCP or PPP_PROTO_IPV6CP; READY: CCP too */
	struct ppp_addresses addresses; /* NCP_READY, NCP_UP */
	uint16_t mru_in, mru_out;	/* LCP_UP: largest payload we take, we may send */
	bool acfc_out, pfc_out;		/* LCP_UP: we may compress what we send */
	enum ppp_auth auth;		/* AUTH_ASK: the method in use */
	uint32_t ask;			/* AUTH_ASK: the question's number, never 0; an answer that
					   names it cannot be taken for the answer to a later one */
	/* AUTH_ASK; pointers are valid until the next call into the engine */
	const char *user; /* as sent, cut to PPP_USER_MAX, NUL-terminated; escape it */
	size_t user_len;
	uint8_t chap_id;
	const uint8_t *challenge; /* our challenge; NULL with PAP */
	size_t challenge_len;
	const uint8_t *response; /* PAP: the password; MD5: 16 octets; MS-CHAP: the 49 octets of
				    RFC 2759 4 */
	size_t response_len;
	enum adit_cause cause; /* DOWN */
	bool by_peer;	       /* DOWN: the peer ended it */
	const char *text;      /* DOWN, NOTE: words, may come from the peer, then already escaped
				  (base/text.h); valid until the next call; never NULL */
};

bool ppp_event(struct ppp *p, struct ppp_event *ret);

struct ppp_info {
	adit_handle link;
	uint64_t owner;
	const char *phase; /* "establish", "authenticate", "network", "terminate" */
	bool lcp_open, ipcp_open, ipv6cp_open;
	uint16_t mru_in, mru_out;
	bool acfc_out, pfc_out;
	enum ppp_auth auth; /* how the peer logged in */
	struct ppp_addresses addresses;
	enum adit_cause cause; /* why the link is being closed, NONE while it is not */
	const char *text;      /* the same in words; valid until the next call */
	/* Encryption: `mppe_keys` while it is wanted or there, so that nothing may pass in clear;
	 * `mppe_known` when the login has given the keys;
	 * `mppe` when CCP is open, with the Supported Bits as in its option (RFC 3078 2) */
	bool mppe_keys, mppe_known, mppe;
	uint8_t mppe_options[4];
	uint8_t mppe_send_key[PPP_KEY_LEN], mppe_recv_key[PPP_KEY_LEN];
};

bool ppp_info(const struct ppp *p, adit_handle link, struct ppp_info *ret);
size_t ppp_memory(const struct ppp *p);
uint32_t ppp_count(const struct ppp *p);

/*
 * Check a CHAP-MD5 response against a password (RFC 1994 4.1): for whoever answers AUTH_ASK.
 */
bool ppp_chap_md5_check(uint8_t id, const void *password, size_t password_len,
			const uint8_t *challenge, size_t challenge_len, const uint8_t *response,
			size_t response_len);

/*
 * The same for MS-CHAPv2 (RFC 2759), with what the answer needs in *ret, and for version 1 (RFC
 * 2433; only the NT response counts). `user` as the peer sent it: a domain in front is left out
 * where the RFC says so. Passwords are UTF-8.
 */
bool ppp_mschap2_check(const char *user, size_t user_len, const void *password, size_t password_len,
		       const uint8_t *challenge, size_t challenge_len, const uint8_t *response,
		       size_t response_len, struct ppp_proof *ret);
bool ppp_mschap1_check(const void *password, size_t password_len, const uint8_t *challenge,
		       size_t challenge_len, const uint8_t *response, size_t response_len);

/* The name of one method as the configuration and `adit show` write it. */
const char *ppp_auth_name(enum ppp_auth auth);

/*
 * What must outlive the process: links whose authentication is complete and at least one NCP open.
 * ppp_dirty() gives links whose record changed since it was last taken; ppp_save() writes one.
 * A record is kept by the owner inside its own. ppp_load() makes the link again, with the phase it
 * had: options, magic numbers, addresses, echo clock. Returns 0; 1 when the record cannot be used;
 * -ENOMEM.
 */
#define PPP_SAVE_MAX 640
bool ppp_dirty(struct ppp *p, adit_handle *ret_link, uint64_t *ret_owner);
bool ppp_can_save(const struct ppp *p, adit_handle link);
void ppp_save(const struct ppp *p, adit_handle link, struct wcur *c);
int ppp_load(struct ppp *p, struct mono now, struct rcur *c, struct ppp_profile *profile,
	     uint64_t owner, adit_handle *ret_link);

#ifdef __cplusplus
}
#endif
#endif
