/* SPDX-License-Identifier: MIT
 *
 * Pseudowires: Ethernet over L2TPv3 (RFC 3931, RFC 4719) with a control connection. Beside
 * access.h, whose sessions speak PPP, this is the owner of the engine of adit/l2tp3.h: it opens
 * control connections to the peers of the configuration and takes theirs, finds the pseudowire that
 * an incoming call is for, has the data plane carry it, and tells either side of the circuit of
 * the other. An engine itself (see adit/types.h for the contract): no I/O, no clock.
 *
 * The owner, for which the daemon and the tests stand, does as with access.h: acts, takes all
 * events, then all dirty records, then all output.
 */
#ifndef ADIT_ACCESS_PW_H
#define ADIT_ACCESS_PW_H

#include <adit/l2tp3.h>

#include "base/dp_types.h"
#include "conf.h"

struct pw;
struct rcur;
struct trace;
struct wcur;

#define PW_END_ID_MAX 63    /* octets of a Remote End ID that we give */
#define PW_PATH_MTU   1500  /* of a path nothing else is known about */
#define PW_MTU_MAX    16384 /* of an interface: no path makes it larger */
#define PW_PATHS_MAX  8	    /* addresses of one peer */

/* What is agreed with the peer (RFC 4719 2.1, IANA's pseudowire types). */
enum pw_type { PW_VLAN = 4, PW_ETHERNET = 5 };

/* Who begins. */
enum pw_connect {
	PW_AUTO,   /* we, at start and after every loss */
	PW_MANUAL, /* we, when told */
	PW_WAIT	   /* the peer */
};

/* A control connection. */
struct pw_conf_tunnel {
	char name[CONF_NAME]; /* of the `tunnel` block, or of the first pseudowire without one */
	bool implied;	      /* the latter */
	uint64_t digest;      /* hash over all that needs a new connection when it changes */
	char remote[256];     /* name or address */
	struct addr local;    /* family 0 = by the route */
	uint16_t port;	      /* of the peer */
	uint8_t encap;	      /* enum dp_encap */
	uint8_t plane;	      /* enum dp_want, for the daemon */
	bool prefer6;
	enum pw_connect connect;
	uint32_t via4, via6;	       /* sockets, 0 = none */
	char host_name[L2TP_NAME_MAX]; /* glob over the peer's Host Name, "" = any */
	int64_t redial_first_us, redial_cap_us;
	uint64_t secrets; /* hash of them: may change in a living connection */
	struct l2tp3_profile *l2tp;
};

/* A pseudowire. */
struct pw_conf_wire {
	char name[CONF_NAME];
	uint64_t digest;
	size_t tunnel; /* index */
	enum pw_type type;
	enum pw_connect connect;
	char end_id[PW_END_ID_MAX + 1]; /* Remote End ID, both ways */
	char circuit[DP_IFNAME];	/* whose link is our circuit, "" = it is always up */
	uint8_t cookie_len;		/* 0, 4, 8: of the cookie we assign */
	bool fixed;			/* ids and cookies are configured, nothing is agreed: the
					   control connection is there to see that the peer lives */
	uint16_t mtu;			/* 0 = what fits */
	/* What the configuration says of the row: ends, version, interface, bridge, sublayer,
	 * sequencing; with `fixed` the session's ids and cookies. */
	struct dp_row row;
};

struct pw_conf {
	uint32_t refs;
	uint32_t max_tunnels, max_sessions;
	struct pw_conf_tunnel *tunnels;
	size_t tunnel_count;
	struct pw_conf_wire *wires;
	size_t wire_count;
	uint32_t *reserved; /* session ids of pseudowires that are not agreed, static ones too:
			       none of them may be given to another. In order */
	size_t reserved_count;
};

struct pw_conf *pw_conf_new(void); /* empty, one reference; NULL when out of memory */
struct pw_conf *pw_conf_ref(struct pw_conf *c);
void pw_conf_unref(struct pw_conf *c);
/* Put a session id among the reserved ones, for which there is room. */
void pw_conf_reserve(struct pw_conf *c, uint32_t id);
bool pw_conf_reserves(const struct pw_conf *c, uint32_t id);

/* The MTU of the interface of a pseudowire over a path of `path_mtu`: less IP 20 or 40; UDP 8 and
 * the flags word 4, or with IP nothing of the kind; the session id 4; the cookie we send; the
 * sublayer 4 (RFC 3931 4.1); and the Ethernet header 14 of what is carried, with a tag 18.
 * PW_MTU_MAX at most. */
uint16_t pw_mtu(const struct dp_row *r, uint16_t path_mtu);

/* Whether the MTU of the interface is more than that; then a text says so, and what to do. With
 * path_mtu 0 nothing is known. */
#define PW_MTU_TEXT 192
bool pw_mtu_large(const struct dp_row *r, uint16_t path_mtu, char *buf, size_t cap);

/* ---- the engine ---- */

#define PW_PACKET_MAX L2TP_CONTROL_MAX
#define PW_TEXT_MAX   192 /* a reason, with NUL */

struct pw_config {
	uint8_t seed[32];
	struct trace *trace;
	uint32_t incarnation; /* as in access.h: makes keys unique */
};

struct pw *pwe_new(const struct pw_config *config); /* NULL when out of memory */
void pwe_free(struct pw *p);			    /* sends nothing; NULL is allowed */

/* Memory is scarce, or no longer: as access_scarce(). */
void pwe_scarce(struct pw *p, bool scarce);

/* A payload of UDP, or of IP where path.remote.port is 0. 0 or -ENOMEM. */
int pwe_input(struct pw *p, struct mono now, const struct path *path, const uint8_t *bytes,
	      size_t len);

/* Is there a control connection in the configuration for a peer at this address, over UDP or over
 * IP? Then a request in v2 that offers v3 (RFC 3931 4.7.3) is for pwe_input(). */
bool pwe_serves(const struct pw *p, const struct path *path);

/* As access_paths(). */
bool pwe_paths(const struct pw *p, uint64_t *pos, struct path *ret);

/* As l2tp3_via(). */
uint32_t pwe_via(const struct pw *p, const struct path *path, const uint8_t *bytes, size_t len);

enum pw_cmd_kind {
	PW_CMD_CONF,	   /* a new configuration (also the first); takes a reference. What it no
			      longer has, or has otherwise, ends with cause CONFIG */
	PW_CMD_CONNECT,	   /* bring pseudowire `name` up */
	PW_CMD_DISCONNECT, /* take it down and leave it so */
	PW_CMD_TERMINATE,  /* end the session of row `key`; it is asked for again */
	PW_CMD_TERMINATE_TUNNEL, /* end the control connection with our id `tunnel`; likewise */
	PW_CMD_RESOLVED,	 /* answer to EV_RESOLVE */
	PW_CMD_DP_DONE,		 /* a completion of the data plane */
	PW_CMD_DP_LOST, /* the data plane has lost row `key`, or, when that is 0, the tunnel
			   with our id `tunnel`; `text` says why */
	PW_CMD_PATH,	/* what fits unfragmented on the path of the tunnel with our id `tunnel`:
			   `mtu` octets, 0 = not known. Interfaces follow */
	PW_CMD_CIRCUIT, /* the circuit of row `key` is `up` or not, perhaps because its interface is
			   `missing` (DP_EV_CIRCUIT) */
	PW_CMD_DRAIN,	/* `up`: accept and open nothing new, and end `rate` pseudowires a second,
			   0 = none; their connections with the last of each. Else as before */
	PW_CMD_SHUTDOWN /* end everything; nothing new is accepted */
};

struct pw_cmd {
	enum pw_cmd_kind kind;
	struct pw_conf *conf;
	const char *name;	    /* CONNECT, DISCONNECT; RESOLVED: the control connection */
	bool implied;		    /* RESOLVED */
	uint64_t key;		    /* TERMINATE, DP_LOST, CIRCUIT */
	uint32_t tunnel;	    /* TERMINATE_TUNNEL, DP_LOST, PATH */
	uint16_t mtu;		    /* PATH */
	bool up;		    /* CIRCUIT, DRAIN */
	bool missing;		    /* CIRCUIT */
	uint32_t rate;		    /* DRAIN */
	const char *text;	    /* RESOLVED failed, DP_LOST */
	enum adit_cause cause;	    /* RESOLVED failed */
	const struct path *paths;   /* RESOLVED: to try in this order; complete */
	size_t path_count;	    /* RESOLVED: 0 = failed */
	const struct dp_done *done; /* DP_DONE */
};

/* 0; 1 nothing there (name unknown, key stale); 2 already in that state; -ENOMEM. */
int pwe_do(struct pw *p, struct mono now, const struct pw_cmd *cmd);

void pwe_expire(struct pw *p, struct mono now);
struct mono pwe_deadline(const struct pw *p);

enum pw_event_kind {
	PW_EV_DP_PUT,	   /* key, generation, row -> CMD_DP_DONE */
	PW_EV_DP_DEL,	   /* key, generation -> CMD_DP_DONE */
	PW_EV_RESOLVE,	   /* name (of the control connection), host, port, source, prefer6, via4,
			      via6, implied -> CMD_RESOLVED with the same name and `implied` */
	PW_EV_TUNNEL_UP,   /* tunnel, remote_tunnel, path, encap, plane, name, host */
	PW_EV_TUNNEL_DOWN, /* tunnel, path, name, cause, text, by_peer */
	PW_EV_UP,	   /* a pseudowire carries frames: key, name, ifname, mtu, path */
	PW_EV_NO_CIRCUIT,  /* there is no interface row->circuit: name; once until there is, or
			      the session ends */
	PW_EV_CIRCUIT,	   /* the circuit of either side has changed: name, near_up, far_up */
	PW_EV_DOWN	   /* a pseudowire, or an attempt at one, ended: name, cause, text, by_peer,
			      established */
};

/* Pointers are valid until the next call into the engine. Texts of peers are not escaped. */
struct pw_event {
	enum pw_event_kind kind;
	uint64_t key;
	uint32_t generation;
	const struct dp_row *row;
	uint32_t tunnel, remote_tunnel; /* ids */
	uint8_t encap, plane;		/* enum dp_encap, dp_want */
	bool implied;			/* it has the name of a pseudowire, not of a block */
	const char *name; /* of the pseudowire; TUNNEL_*, RESOLVE: of the connection */
	const char *host; /* RESOLVE; TUNNEL_UP: the peer's host name */
	uint16_t port;
	struct addr source; /* RESOLVE: family 0 = any; no address = by the route */
	bool prefer6;
	uint32_t via4, via6;
	const struct path *path;
	struct addr remote; /* DOWN: the peer's, also of an attempt; family 0 = not known */
	const char *ifname;
	uint16_t mtu;
	bool near_up, far_up;
	enum adit_cause cause;
	const char *text; /* in words, never NULL */
	bool by_peer, established;
};

bool pwe_event(struct pw *p, struct mono now, struct pw_event *ret);

/* The next control message into `buf` (PW_PACKET_MAX octets or more); its length, 0 = none. */
size_t pwe_output(struct pw *p, struct mono now, uint8_t *buf, size_t cap, struct path *ret);

/* ---- what must outlive the process ---- */

enum pw_object { PW_OBJ_CONN = 1, PW_OBJ_SESSION = 2 };

#define PW_SAVE_CONN_MAX    (L2TP3_SAVE_CONN_MAX + 256)
#define PW_SAVE_SESSION_MAX (L2TP3_SAVE_SESSION_MAX + 256)

/* As access_dirty() and access_save(). What was told of a pseudowire by CONNECT and DISCONNECT is a
 * record of the kind SESSION, too, with an id beyond those of sessions. */
bool pwe_dirty(struct pw *p, enum pw_object *ret_kind, uint64_t *ret_id, bool *ret_gone);
void pwe_save(const struct pw *p, enum pw_object kind, uint64_t id, struct wcur *c);

/* Recovery: CMD_CONF, then all records, connections first, then pwe_loaded(). 0, also
 * when the configuration has no place for it any more: its peer is told, its record goes; 1 the
 * record could not be used; L2TP3_LOAD_MUTE as with access_load(); -ENOMEM. */
int pwe_load(struct pw *p, struct mono now, enum pw_object kind, uint64_t id, struct rcur *c);
void pwe_loaded(struct pw *p, struct mono now);

/* ---- what is there ---- */

struct pw_wire_info {
	const char *name;
	const char *state; /* "idle", "connecting", "up", "waiting", "listening", "closing" */
	uint64_t key;	   /* of its row, 0 = none */
	const struct pw_conf_wire *conf;
	const struct pw_conf_tunnel *tunnel;
	struct dp_row row;		/* up */
	struct l2tp3_session_info l2tp; /* up; zero with `conf->fixed` */
	bool up, near_up, far_up;
	bool missing;	       /* near_up is not, for there is no interface row.circuit */
	uint32_t attempts;     /* in a row */
	struct mono next;      /* "waiting" */
	struct mono since;     /* up since */
	enum adit_cause cause; /* of the last failure */
	const char *text;
};

struct pw_tunnel_info {
	struct l2tp3_conn_info l2tp;
	const char *name;
	uint16_t path_mtu; /* 0 = not known: PW_PATH_MTU is taken */
	uint8_t plane;	   /* enum dp_want */
};

bool pwe_wire(const struct pw *p, size_t index, struct pw_wire_info *ret); /* false at the end */
bool pwe_wire_find(const struct pw *p, const char *name, struct pw_wire_info *ret);
/* Walk over control connections, 0 starts and ends; it ends, too, where `prev` is gone. */
uint32_t pwe_tunnel_next(const struct pw *p, uint32_t prev);
bool pwe_tunnel(const struct pw *p, uint32_t local, struct pw_tunnel_info *ret);
/* Is this key that of a row we want? */
bool pwe_has(const struct pw *p, uint64_t key);
/* How many pseudowires are up or on their way. */
uint32_t pwe_count(const struct pw *p);
/* Has everything ended, but for what acknowledges repeats? */
bool pwe_ended(const struct pw *p);
void pwe_counters(const struct pw *p, struct l2tp3_counters *ret);

#endif
