/* SPDX-License-Identifier: MIT
 *
 * The option negotiation automaton of RFC 1661 section 4, which LCP and the network control
 * protocols share.
 *
 * struct cp is one automaton; struct cp_ops is what a protocol adds: its options. The table itself
 * is in cp.c in the rows and columns of RFC 1661 4.1. A request of ours is built from the state of
 * the link whenever it is sent, so retransmission needs no copy and an Ack is checked by building
 * the request again.
 */
#ifndef ADIT_PPP_CP_H
#define ADIT_PPP_CP_H

#include <adit/ppp.h>
#include "base/wire.h"

struct ppp;
struct link;
struct held;

/* RFC 1661 4.2, with its numbers. */
enum cp_state {
	CP_INITIAL,
	CP_STARTING,
	CP_CLOSED,
	CP_STOPPED,
	CP_CLOSING,
	CP_STOPPING,
	CP_REQ_SENT,
	CP_ACK_RCVD,
	CP_ACK_SENT,
	CP_OPENED,
	CP_STATES
};

/* RFC 1661 4.3, in the order of the table. */
enum cp_event {
	CP_EV_UP,
	CP_EV_DOWN,
	CP_EV_OPEN,
	CP_EV_CLOSE,
	CP_EV_TO_PLUS,
	CP_EV_TO_MINUS,
	CP_EV_RCR_PLUS,
	CP_EV_RCR_MINUS,
	CP_EV_RCA,
	CP_EV_RCN,
	CP_EV_RTR,
	CP_EV_RTA,
	CP_EV_RUC,
	CP_EV_RXJ_PLUS,
	CP_EV_RXJ_MINUS,
	CP_EV_RXR,
	CP_EVENTS
};

/* RFC 1661 4.4, a set. */
enum cp_action {
	CP_TLU = 1 << 0,
	CP_TLD = 1 << 1,
	CP_TLS = 1 << 2,
	CP_TLF = 1 << 3,
	CP_IRC = 1 << 4,
	CP_ZRC = 1 << 5,
	CP_SCR = 1 << 6,
	CP_SCA = 1 << 7,
	CP_SCN = 1 << 8,
	CP_STR = 1 << 9,
	CP_STA = 1 << 10,
	CP_SCJ = 1 << 11,
	CP_SER = 1 << 12
};

#define CP_ILLEGAL 0xff /* the dash of the table */

struct cp_cell {
	uint8_t next; /* enum cp_state or CP_ILLEGAL */
	uint16_t actions;
};

extern const struct cp_cell cp_table[CP_EVENTS][CP_STATES];

/* Codes of RFC 1661 5. */
#define CP_CONF_REQ   1
#define CP_CONF_ACK   2
#define CP_CONF_NAK   3
#define CP_CONF_REJ   4
#define CP_TERM_REQ   5
#define CP_TERM_ACK   6
#define CP_CODE_REJ   7
#define LCP_PROTO_REJ 8
#define LCP_ECHO_REQ  9
#define LCP_ECHO_REP  10
#define LCP_DISCARD   11
#define LCP_IDENT     12 /* RFC 1570 1.1 */
#define LCP_TIME      13 /* RFC 1570 1.2 */

enum cp_kind { CP_LCP, CP_IPCP, CP_IPV6CP, CP_CCP, CP_KINDS };

#define CP_NEVER INT64_MAX

struct cp {
	int64_t restart_at;  /* restart timer, CP_NEVER = stopped */
	uint32_t acked_hash; /* of the options acknowledged last, see is_repeat() */
	uint32_t opened_ms;  /* when it opened last, the lower bits; valid when `opened` */
	uint8_t kind;	     /* enum cp_kind */
	uint8_t state;	     /* enum cp_state */
	uint8_t restarts;    /* restart counter */
	uint8_t next_id;     /* last identifier given out */
	uint8_t req_id;	     /* identifier of the request under way */
	bool answered;	     /* a valid reply to req_id has been seen; others are repeats */
	bool renew;	     /* the next request needs a new identifier (RFC 1661 5.1) */
	uint8_t naks;	     /* Configure-Naks sent since our last Ack, for Max-Failure */
	uint8_t refusals;    /* Configure-Naks and -Rejects sent since our last Ack */
	uint8_t naked_id;    /* identifier of the request Naked last */
	uint8_t naks_in;     /* the same received */
	uint8_t refused; /* options of ours the peer rejected, a set of the protocol's own bits */
	uint8_t acked_id;
	uint8_t repeats; /* repeats answered while open */
	bool held : 1;	 /* a good request waits for PPP_CMD_NCP_GO */
	bool opened : 1; /* it has been open */
};

_Static_assert(sizeof(struct cp) <= 32, "a link has three or four of them");

enum cp_verdict { CP_ACK, CP_NAK, CP_REJ };

/* What the peer asks for in one request, decoded while it is checked. */
union cp_peer {
	struct {
		uint32_t magic;
		uint16_t mru;
		uint8_t auth;
		bool has_auth, pfc, acfc;
	} lcp;
	struct {
		uint8_t ip4[4];
		bool has_ip4;
	} ip;
	struct {
		uint8_t iid[8];
		bool has_iid;
	} ip6;
	struct {
		uint32_t strength;
		bool has_mppe;
	} ccp;
};

struct cp_ops {
	uint16_t proto;
	const char *name;
	/* our options back to what the configuration wants: before a negotiation starts */
	void (*reset)(struct ppp *e, struct link *l);
	/* write the options of our request */
	void (*request)(const struct ppp *e, const struct link *l, struct wcur *c);
	/* check one option of the peer's request; for CP_NAK write the option as it should be */
	void (*begin)(union cp_peer *peer);
	enum cp_verdict (*option)(struct ppp *e, struct link *l, union cp_peer *peer, uint8_t type,
				  struct rcur value, struct wcur *nak);
	/* append options the peer should have sent (RFC 1661 5.3); `last` = do not insist */
	void (*missing)(struct ppp *e, struct link *l, const union cp_peer *peer, struct wcur *nak);
	/* the request is acknowledged: its values hold */
	void (*accept)(struct ppp *e, struct link *l, const union cp_peer *peer);
	/* the peer's Nak of one option; false when it means nothing to us */
	bool (*naked)(struct ppp *e, struct link *l, uint8_t type, struct rcur value);
	/* the peer rejected this option of ours */
	void (*rejected)(struct ppp *e, struct link *l, uint8_t type);
	void (*up)(struct ppp *e, struct link *l);
	void (*down)(struct ppp *e, struct link *l);
	void (*finished)(struct ppp *e, struct link *l);
	/* the negotiation cannot come to an end */
	void (*hopeless)(struct ppp *e, struct link *l, enum adit_cause cause, const char *why);
	/* codes above 7; false = unknown code. *ret_why: the packet is dropped for this reason */
	bool (*code)(struct ppp *e, struct link *l, const char **ret_why);
};

const struct cp_ops *cp_ops(const struct cp *cp);
const char *cp_state_name(enum cp_state state);

void cp_init(struct cp *cp, enum cp_kind kind);

/* Run one event through the table. e->in is the packet in question, when there is one. */
void cp_event(struct ppp *e, struct link *l, struct cp *cp, enum cp_event event);

/* A packet of this protocol: `p` points at the code octet. */
enum ppp_input cp_input(struct ppp *e, struct link *l, struct cp *cp, const uint8_t *p, size_t len);

/* The restart timer has run out. */
void cp_timeout(struct ppp *e, struct link *l, struct cp *cp);

/* The data path is ready: treat the held request as if it came now. */
void cp_release(struct ppp *e, struct link *l, struct cp *cp, const struct held *h);

/* Build the packet under way; for ppp_output(). */
void cp_build_request(const struct ppp *e, const struct link *l, const struct cp *cp,
		      struct wcur *c);
void cp_build_terminate(const struct link *l, const struct cp *cp, struct wcur *c);

#endif
