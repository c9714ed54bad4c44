/* SPDX-License-Identifier: MIT
 *
 * The configuration as src/access sees it: plain, complete, with all defaults filled in. It is made
 * by the daemon from the file and never changed afterwards; a new configuration is a new object,
 * and each session keeps a reference to the profile it was made with.
 */
#ifndef ADIT_ACCESS_CONF_H
#define ADIT_ACCESS_CONF_H

#include <adit/l2tp.h>
#include <adit/l2tp3.h>
#include <adit/ppp.h>
#include "base/addr.h"
#include "base/dp_types.h"

#define CONF_NAME 64 /* names of blocks, with NUL */

/* Two engines give out ids of control connections and sessions of L2TPv3, and share sockets: those
 * of PPP (access.h) begin here, those of pseudowires (pw.h) are smaller. */
#define ACCESS_V3_IDS DP_PPP3_IDS

struct conf_range4 {
	uint32_t first, last; /* host order, inclusive */
};

struct conf_pool {
	char name[CONF_NAME];
	struct conf_range4 *ranges;
	size_t range_count;
	struct prefix *prefixes6; /* cut into /len6 for the sessions */
	size_t prefix6_count;
	uint8_t len6; /* 64 by default */
};

/* Where the interfaces of sessions lie, in planes that give each session one. */
struct conf_place {
	char vrf[16];	       /* "" = none */
	char netns[CONF_NAME]; /* name of a network namespace, "" = the keeper's own */
	char ifname[32];       /* pattern of names (place.h), "" = named by the plane; profiles */
	uint16_t txqlen;       /* queue in packets, 0 = the plane's default */
};

/* How sessions of a kind behave; shared, counted. */
struct conf_profile {
	uint32_t refs;
	char name[CONF_NAME];
	struct ppp_profile *ppp; /* with authentication as the server side */
	bool no_login;		 /* `ppp` asks nobody to log in: addresses are given at once */
	char users[CONF_NAME];	 /* name of the users source, "" = none */
	char pool[CONF_NAME];	 /* "" = only addresses the user's entry names */
	struct addr local4;	 /* our address inside */
	struct addr dns4[2], dns6[2];
	uint16_t mtu;	    /* upper bound for the session's MTU, 0 = from the path */
	bool mru_from_path; /* ask peers to send what fits the path, not what `ppp` says */
	bool mss_clamp, antispoof;
	int64_t session_us, idle_us; /* 0 = no limit */
	int64_t interim_us;	     /* accounting, 0 = none */
	uint32_t max_per_user;	     /* 0 = no limit */
	bool replace;		     /* a user at the limit: true = the new login wins */
	struct conf_place place;
};

/* The version of L2TP that carries PPP. */
enum conf_version {
	CONF_V2,   /* RFC 2661 */
	CONF_V3,   /* RFC 3931, pseudowires of type PPP */
	CONF_V_ANY /* peers: either; dials: ask for L2TPv3 and be content with L2TPv2 (4.7.3) */
};

/* Who may open tunnels to us. The first that fits wins. */
struct conf_peer {
	char name[CONF_NAME];
	struct prefix *from; /* addresses; none = all */
	size_t from_count;
	char host_name[L2TP_NAME_MAX]; /* glob over the SCCRQ's Host Name, "" = all */
	struct l2tp_profile *l2tp;
	struct l2tp3_profile *l2tp3; /* NULL with CONF_V2 */
	enum conf_version version;
	struct conf_profile *profile;
	bool numbered;			    /* L2TPv3: ask for sequence numbers on data */
	uint32_t max_tunnels, max_sessions; /* of this peer block in all, 0 = no limit */
	uint8_t plane;			    /* enum dp_want, for the daemon */
};

/* What a peer that no block fits is told, in few words: an answer is no larger than its question.
 */
#define CONF_NO_BLOCK "no block here for this peer"

/* A session we dial. */
struct conf_dial {
	char name[CONF_NAME];
	uint64_t digest;	/* hash over all settings of the block, those inside `l2tp` and
				   `ppp` too: a dial whose digest is the same is left alone by a
				   new configuration. 0 = compare the fields and pointers here */
	uint64_t digest_former; /* the same as an earlier release made it; 0 = none */
	char server[256];	/* name or address */
	uint16_t port;
	uint32_t via;		      /* listener to use */
	struct addr source;	      /* local address, family 0 = by the route */
	struct l2tp_profile *l2tp;    /* with Bearer Capabilities where `called_only` */
	struct l2tp3_profile *l2tp3;  /* NULL with CONF_V2 */
	enum conf_version version;    /* not CONF_V_ANY where `called_only` */
	uint8_t encap;		      /* enum dp_encap; IP with CONF_V3 alone */
	bool numbered;		      /* L2TPv3: ask for sequence numbers on data */
	bool called_only;	      /* open the tunnel and wait there for a call of the server
					 (OCRQ) instead of making one */
	char number[L2TP_NUMBER_MAX]; /* called_only: Called Number that is ours, `*` and `?` as in
					 a shell, "" = any */
	struct ppp_profile *ppp;      /* with user and password */
	char user[PPP_USER_MAX];
	bool automatic;				/* connect at start and after every loss */
	bool prefer6;				/* of a name with both families take IPv6 first */
	int64_t redial_first_us, redial_cap_us; /* back-off, doubled, +-25 % jitter */
	uint32_t redial_max;			/* attempts in a row, 0 = for ever */
	char ifname[16];
	bool ip4, ip6, want_dns;
	struct prefix *routes;
	size_t route_count;
	uint8_t plane;	    /* enum dp_want, for the daemon */
	bool default_route; /* 0.0.0.0/0 and ::/0 for the families that come up */
	uint32_t table, metric;
	uint16_t mtu;
	bool mru_from_path;
	bool mss_clamp;
	int64_t idle_us, session_us;
	char hook_up[256], hook_down[256]; /* programs the keeper runs, "" = none */
	struct conf_place place;
};

struct access_conf {
	uint32_t refs;
	uint32_t serial; /* number of the configuration, grows */
	char host_name[L2TP_NAME_MAX];
	uint32_t max_tunnels, max_sessions;
	uint32_t quirks; /* L2TP_QUIRK_* that some peer block names */
	struct conf_pool *pools;
	size_t pool_count;
	struct conf_profile **profiles;
	size_t profile_count;
	struct conf_peer *peers;
	size_t peer_count;
	struct conf_dial *dials;
	size_t dial_count;
	uint32_t *reserved; /* session ids of L2TPv3 that are in use without an agreement */
	size_t reserved_count;
};

struct access_conf *access_conf_new(void); /* empty, one reference; NULL when out of memory */
struct access_conf *access_conf_ref(struct access_conf *c);
void access_conf_unref(struct access_conf *c); /* frees everything in it with the last reference */
struct conf_profile *conf_profile_ref(struct conf_profile *p);
void conf_profile_unref(struct conf_profile *p);

/* A network so small that a stranger's forged address hardly lies in it. */
static inline bool conf_net_small(const struct prefix *p)
{
	return p->len >= (p->addr.family == AF_INET ? 24 : 48);
}

#endif
