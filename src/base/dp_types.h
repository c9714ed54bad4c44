/* SPDX-License-Identifier: MIT
 *
 * What a data plane is told: plain values without pointers, made by src/access, carried out by
 * src/dp, and sent across to the keeper in a flat encoding. A row says what is wanted, never the
 * steps.
 *
 * Keys. A row's key is the session's key of src/access: 64 bits, never used twice, also not after
 * a restart. A request carries a generation; requests for one key are carried out in order and each
 * has exactly one completion. Putting the same row again changes nothing.
 */
#ifndef ADIT_DP_TYPES_H
#define ADIT_DP_TYPES_H

#include <adit/types.h>
#include "addr.h"

#define DP_PREFIXES   8	 /* prefixes of one session */
#define DP_IFNAME     16 /* with NUL */
#define DP_HOST_ADDRS 4
#define DP_TEXT	      256

enum dp_state {
	DP_PREPARED = 1, /* everything set up, nothing forwarded */
	DP_ACTIVE = 2
};

/* Which plane the configuration asks for. */
enum dp_want { DP_WANT_AUTO, DP_WANT_KERNEL, DP_WANT_USER };

enum dp_ends {
	DP_L2TP_PPP = 1,  /* L2TP on one side, PPP terminated here on the other */
	DP_L2TP_ETH = 2,  /* an Ethernet pseudowire with an interface of its own (RFC 4719) */
	DP_L2TP_L2TP = 3, /* PPP frames pass to and from the session `partner` */
};

/* Session ids of L2TPv3 that PPP sessions have, and nothing else: these and those above. */
#define DP_PPP3_IDS 0x80000000u

enum dp_encap { DP_ENCAP_UDP = 0, DP_ENCAP_IP = 1 /* protocol 115, L2TPv3 only */ };

/* The L2-Specific Sublayer of L2TPv3 (RFC 3931 4.6). */
enum dp_l2spec { DP_L2SPEC_NONE = 0, DP_L2SPEC_DEFAULT = 1 };

/* Flags of a row; negotiated values only. */
enum {
	DP_F_SEND_SEQ = 1 << 0,	   /* put Ns on data */
	DP_F_REQUIRE_SEQ = 1 << 1, /* drop data without Ns */
	DP_F_LENGTH = 1 << 2,	   /* put the Length field on data */
	DP_F_ACFC = 1 << 3,	   /* leave out FF 03 */
	DP_F_PFC = 1 << 4,	   /* one-octet protocol */
	DP_F_IP4 = 1 << 5,	   /* IPCP is open */
	DP_F_IP6 = 1 << 6,	   /* IPv6CP is open */
	DP_F_ANTISPOOF = 1 << 7, /* drop packets from the session whose source is not in prefixes */
	DP_F_MSS_CLAMP = 1 << 8,
	DP_F_CLIENT = 1 << 9, /* we dialled: the session has an interface of its own here, and
				packets from the peer may have any source */
	DP_F_MPPE = 1 << 10,  /* data is encrypted both ways (RFC 3078), nothing passes in clear */
	DP_F_MPPE_KEYS = 1 << 11, /* CCP is still to open: the keys are here, the options not yet */
	DP_F_FAR_DOWN = 1 << 12,  /* the far circuit is down (RFC 3931 5.4.5). DP_L2TP_ETH: the
				     interface stays, without a carrier; that of the kernel's
				     plane, which has none, is dormant. PPP over L2TPv3: what
				     goes to the session is dropped; its addresses and routes
				     stay, or it would go elsewhere in clear */
};

/* VLANs of a bridge's port: 1 to 4094, from the first to the last. */
#define DP_VLANS     8
#define DP_VLAN_LAST 4094
struct dp_vlans {
	uint16_t first, last;
};

struct dp_row {
	uint8_t state; /* enum dp_state */
	uint8_t ends;  /* enum dp_ends */
	uint16_t flags;
	struct path path;
	uint8_t version; /* 0 or 2: L2TPv2, ids of 16 bits; 3: L2TPv3, ids of 32 bits */
	uint8_t encap;	 /* enum dp_encap */
	uint32_t local_tunnel, remote_tunnel, local_session, remote_session;
	uint16_t mtu;		     /* largest IP packet inside the session, both families */
	uint16_t mss4, mss6;	     /* clamp TCP MSS to at most this; 0 = do not */
	uint32_t rate_up, rate_down; /* bit/s, 0 = no limit; reserved for later planes */

	/* Ns of the next data packet we send and the Ns we expect next, as the L2TP engine left
	 * them. Taken at the moment the row becomes active, ignored in a row that is active. */
	uint16_t first_ns, first_nr;
#define DP_NS_MOST 64u	   /* as far as the kernel's plane can make up for first_ns */
#define DP_NR_MOST 0x4000u /* first_nr there: well within the kernel's window around 0 */

	/* Routed to the session; allowed as sources from it (LNS side). */
	struct prefix prefixes[DP_PREFIXES];
	uint8_t prefix_count;

	/* The host's side of an interface of its own (DP_F_CLIENT). Everything here is added and
	 * removed with the row. A route of length 0 is the default route. */
	char ifname[DP_IFNAME];
	struct prefix host_addrs[DP_HOST_ADDRS];
	uint8_t host_addr_count;
	struct addr peer4; /* the far end's IPv4 address, or none */
	struct prefix routes[DP_PREFIXES];
	uint8_t route_count;
	uint32_t table;	  /* routing table, 0 = main */
	uint32_t metric;  /* of the routes */
	uint8_t pin_peer; /* keep path.remote reachable by the route it has now, so that the
			     routes above never cut the tunnel's own path */

	/* L2TPv3. A cookie has 0, 4 or 8 octets. */
	uint8_t l2spec; /* enum dp_l2spec */
	uint8_t cookie_in_len, cookie_out_len;
	uint8_t cookie_in[8];  /* the one we assigned, checked on receipt */
	uint8_t cookie_out[8]; /* the one the peer assigned, sent */

	/* The interface, in planes that give each session one. */
	uint16_t txqlen;	/* its queue in packets, 0 = the plane's default */
	char master[DP_IFNAME]; /* bridge or VRF it is put into, "" = none */
	uint32_t netns;		/* namespace it lies in, as the plane was told; 0 = the plane's */
	struct addr source4;	/* preferred source of routes to the session, family 0 = none */
	/* DP_L2TP_ETH: the interface whose state is that of our circuit (DP_EV_CIRCUIT), "" = the
	 * pseudowire's own, which is up while it is up administratively. */
	char circuit[DP_IFNAME];
	/* DP_L2TP_ETH in a bridge: its VLANs, instead of the bridge's default. Of one the frames
	 * are without a tag in the pseudowire (0 = of none), of the others with it. */
	uint16_t vlan;
	uint8_t vlan_count;
	struct dp_vlans vlans[DP_VLANS];
	/* DP_L2TP_ETH: frames have the 802.1Q tag of this VLAN in the session, and are without one
	 * on the interface (RFC 4719 3.1: the tag is the attachment circuit's, and whoever takes a
	 * frame out may write another). What comes loses its outer tag, whatever its number. 0 =
	 * frames pass as they are. */
	uint16_t tag;

	uint64_t partner; /* DP_L2TP_L2TP: key of the other session; both rows name each other */

	/* DP_F_MPPE: the Supported Bits agreed by CCP, as in its option (RFC 3078 2), and the
	 * master keys of the two directions (RFC 3079 3.4), of which 40 and 56 bit keys use the
	 * first 8 octets. The planes derive the session keys. A change of any of these in an
	 * active row starts the coherency counts anew. */
	uint8_t mppe_options[4];
	uint8_t mppe_send_key[16], mppe_recv_key[16];
};

/* Addresses of the LNS and prefixes of its pools: routed to the plane as a whole. */
#define DP_NET_MAX 32
struct dp_net {
	struct prefix local[DP_NET_MAX]; /* our addresses inside, host prefixes */
	uint8_t local_count;
	struct prefix pools[DP_NET_MAX]; /* routed to the plane */
	uint8_t pool_count;
	uint16_t mtu; /* usual MTU of sessions */
};

/* Counters of one session since its row was made; octets of IP packets. */
struct dp_counters {
	uint64_t rx_packets, rx_bytes; /* from the peer */
	uint64_t tx_packets, tx_bytes; /* to the peer */
	uint64_t drop_spoof; /* from an address not allowed; L2TPv3: with another cookie */
	uint64_t drop_seq, drop_mtu, drop_other;
	struct mono last_rx, last_tx; /* us = 0: never */
};

enum dp_op { DP_OP_PUT = 1, DP_OP_DEL = 2, DP_OP_NET = 3 };

struct dp_done {
	uint8_t op; /* enum dp_op */
	uint64_t key;
	uint32_t generation;
	int error;		     /* 0 or negative errno */
	char text[DP_TEXT];	     /* error in words with a remedy, "" when none */
	char ifname[DP_IFNAME];	     /* PUT: the interface the session has, "" = none of its own */
	struct dp_counters counters; /* DEL: the last word */
};

/* Why a packet comes up to the control plane. */
enum dp_punt_class {
	DP_PUNT_DATAGRAM = 1, /* control messages, and data of sessions the plane does not know or
				 has only prepared: the whole UDP payload */
	DP_PUNT_PPP = 2,  /* a PPP frame of an active session that is not IP; header and sequence
			     were checked */
	DP_PUNT_LOCAL = 3 /* an IPv6 packet of an active session to a link-local or multicast
			     destination (router and neighbour discovery, DHCPv6) */
};

/* Largest flat encodings. */
#define DP_ROW_SAVE_MAX	 640
#define DP_NET_SAVE_MAX	 1280
#define DP_DONE_SAVE_MAX 384

/* Whether a plane can be told this: everything in range, ids not 0, host bits of prefixes clear. */
bool dp_row_ok(const struct dp_row *r);
bool dp_net_ok(const struct dp_net *n);

/*
 * Flat encodings, for the session table, the way to the keeper and tests. Loading gives false for a
 * bad one, without a change of *ret: cut short, an unknown version, or not ok as above. What
 * follows the encoding stays in the cursor.
 */
struct wcur;
struct rcur;
void dp_row_save(struct wcur *c, const struct dp_row *r);
bool dp_row_load(struct rcur *c, struct dp_row *ret);
void dp_net_save(struct wcur *c, const struct dp_net *n);
bool dp_net_load(struct rcur *c, struct dp_net *ret);
void dp_done_save(struct wcur *c, const struct dp_done *d);
bool dp_done_load(struct rcur *c, struct dp_done *ret);

#endif
