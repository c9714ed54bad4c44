/* SPDX-License-Identifier: MIT
 *
 * The configuration file, for the daemon and the keeper: parsed by libconfuse, described by one
 * table (conf_schema), turned into values that are complete and checked. Whoever holds a
 * `struct conf` may rely on every field: defaults are filled in, names are resolved, ranges hold.
 *
 * A configuration is never changed after it was made; a reload makes a new one.
 *
 * Sockets. Every UDP socket the suite needs stands in `sockets`: those of `listen` blocks and those
 * that dialled sessions use as their source. Each has a number, `via`, which is made from its name
 * and address alone: the same socket has the same number in every process and after every restart.
 */
#ifndef ADIT_DAEMON_CONF_H
#define ADIT_DAEMON_CONF_H

#include "access/access.h"
#include "access/pw.h"
#include "base/trace.h"

#define CONF_PATH_MAX	 256  /* files and programs, with NUL */
#define CONF_CONTROL_MAX 108  /* path of a Unix socket, with NUL */
#define CONF_GROUPS_MAX	 15   /* sets of interface groups, see KERNEL_GROUPS of dp/kernel.h */
#define CONF_ERR_MAX	 1024 /* an error message, with NUL */
#define CONF_FILE	 "/etc/adit/adit.conf"
#define CONF_CONTROL	 "/run/adit/control"

/* A UDP socket the keeper makes and aditd uses, or a raw one of protocol 115 (L2TPv3 over IP). */
struct conf_socket {
	uint32_t via;		  /* never 0 */
	char name[CONF_NAME + 8]; /* "listen NAME", "session NAME", "port N" */
	struct addr addr;	  /* to bind to: any address or one of ours; port 0 = any port */
	char device[16];	  /* bind to this device, "" = none */
	char netns[CONF_NAME];	  /* of /run/netns, "" = the keeper's own */
	uint32_t mark;		  /* SO_MARK of what is sent, 0 = none */
	bool listener;		  /* of a `listen` block (or there by default) */
	bool spare;		  /* of pseudowires alone that the kernel may carry: opened when
				     it cannot */
	uint8_t encap;		  /* enum dp_encap; IP: without a port */
};

/* A users file; `name` is what conf_profile.users holds. */
struct conf_users {
	char name[CONF_NAME];
	char path[CONF_PATH_MAX];
	struct users *users; /* NULL with CONF_NO_FILES */
};

/* An Ethernet pseudowire without a control connection (RFC 3931 7.4: all values are configured on
 * both sides), carried by the kernel and looked after by the keeper alone; or, where `plane` is not
 * the kernel, by aditd (swire.c). */
struct conf_wire {
	char name[CONF_NAME];
	uint32_t local_tunnel, remote_tunnel;
	uint32_t via;	   /* the socket in user space; 0 with DP_WANT_KERNEL */
	uint8_t plane;	   /* enum dp_want */
	struct dp_row row; /* complete, active; without `via` */
	bool auto_mtu;	   /* that of the row suits a path of PW_PATH_MTU: take what fits */
};

enum conf_log { CONF_LOG_AUTO, CONF_LOG_STDERR, CONF_LOG_SYSLOG, CONF_LOG_JOURNAL };

/* How a dialled session finds its socket: index into `sockets` for each family, -1 = none. */
struct conf_dial_socket {
	int v4, v6;
};

struct conf_block;

/* Names in order, and what has them. */
struct conf_name {
	const char *name;
	size_t at;
};

struct conf_names {
	struct conf_name *v;
	size_t n;
};

enum conf_by { CONF_BY_STATIC_IFNAME, CONF_BY_IFNAME, CONF_BY_NAME, CONF_BY_COUNT };

struct conf {
	char path[CONF_PATH_MAX]; /* the file it came from */
	char host_name[L2TP_NAME_MAX];
	char control[CONF_CONTROL_MAX]; /* control socket */
	char user[33];			/* aditd runs as */
	char state_dir[CONF_PATH_MAX];
	char accounting[CONF_PATH_MAX]; /* file for accounting lines, "" = none */
	char ifname[DP_IFNAME];		/* TUN device of the sessions others dial */
	char session_ifname[DP_IFNAME]; /* before the number, of interfaces in the kernel's plane */
	uint8_t groups;			/* 1..CONF_GROUPS_MAX, of interfaces there */
	enum dp_want plane;		/* of blocks that do not say */
	enum trace_level log_level;
	enum conf_log log_to;
	uint32_t max_tunnels, max_sessions;
	uint32_t stop_rate; /* sessions a second, 0 = all at once */
	bool sandbox;	    /* aditd's system calls are filtered */

	struct conf_socket *sockets;
	size_t socket_count;
	struct conf_users *users;
	size_t users_count;
	struct conf_wire *wires; /* static ones */
	size_t wire_count;
	struct pw_conf *pw;			/* those agreed with their peers */
	struct conf_names names[CONF_BY_COUNT]; /* of `wires` and `pw->wires` */

	/* Ready for ACCESS_CMD_CONF. `serial` is 0: whoever puts it in force numbers it. Every
	 * dial's ifname is set and no two are equal. dials[i].via is the number of its IPv4 socket,
	 * or of its IPv6 socket when it has none. */
	struct access_conf *access;
	struct conf_dial_socket *dial_sockets; /* one for each of access->dials */

	/* The file as it was written, for printing and comparing. */
	struct conf_block *blocks;
	size_t block_count;

	/* The texts of all files, where they are kept; made `again` of them, not of the files. */
	struct conf_text *texts;
	size_t text_count;
	bool keeps, again;
};

/* Flags of conf_load() and conf_parse(). */
enum {
	CONF_NO_FILES =
		1 << 0, /* open no users file and no secret file: for the keeper, which needs
			  neither, and for comparing. A secret from a file is then "?" */
	CONF_NO_INCLUDE = 1 << 1, /* include() is refused: the text comes from somebody who may not
				     read what we may */
	CONF_KEEP = 1 << 2	  /* the texts of all files are kept, for conf_pack() */
};

/*
 * Read a file, or text that is shown as `name` in errors. NULL with one clear line in `err` ("file:
 * line: what is wrong; what to do"). `cap` is CONF_ERR_MAX or more.
 */
struct conf *conf_load(const char *path, unsigned int flags, char *err, size_t cap);
struct conf *conf_parse(const char *text, const char *name, unsigned int flags, char *err,
			size_t cap);
void conf_free(struct conf *c); /* NULL is allowed; wipes secrets */

/* The texts of all files that it was made of (CONF_KEEP), and the configuration made again of them,
 * whatever the files say now. conf_pack(): octets written, 0 = they do not fit. conf_again(): as
 * conf_load(); NULL also when these are not such texts, or those of another file than `path`. */
size_t conf_pack(const struct conf *c, void *buf, size_t cap);
void conf_texts_free(struct conf *c); /* keep them no longer */
struct conf *conf_again(const void *bytes, size_t len, const char *path, char *err, size_t cap);

/* NULL when there is none. */
const struct conf_socket *conf_socket_find(const struct conf *c, uint32_t via);
const struct conf_dial *conf_dial_find(const struct conf *c, const char *name);
const struct conf_dial *conf_dial_by_ifname(const struct conf *c, const char *ifname);

/* The pseudowire that has this interface, a static one or one agreed with its peer; the latter by
 * its name. NULL = none. */
const struct conf_wire *conf_wire_by_ifname(const struct conf *c, const char *ifname);
const struct pw_conf_wire *conf_pw_by_ifname(const struct conf *c, const char *ifname);
const struct pw_conf_wire *conf_pw_find(const struct conf *c, const char *name);

/* Which planes sessions and pseudowires agreed with a peer are to be carried in: 1 << DP_WANT_...
 * of each kind that there is. */
unsigned int conf_planes(const struct conf *c);

/* The socket a dialled session uses towards a server of this family, NULL = none suits. */
const struct conf_socket *conf_dial_socket(const struct conf *c, const char *dial, int family);

/* The file of the secret-file or password-file option number `index` from 0, NULL behind the last.
 */
const char *conf_secret_file(const struct conf *c, size_t index);

/* The name of the network namespace number `index` from 0 that sessions lie in, NULL behind the
 * last; some come twice. acc_netns_id() of access/place.h is its number in rows. */
const char *conf_netns(const struct conf *c, size_t index);

/* The parsed users file of a profile, NULL = none. */
const struct users *conf_users_find(const struct conf *c, const char *name);

/* ---- text ---- */

enum {
	CONF_PRINT_DEFAULTS = 1 << 0, /* also what was not set, marked "# default" */
	CONF_PRINT_SECRETS = 1 << 1   /* else a secret is shown as "(hidden)" */
};

/* The configuration as a file that means the same, malloc()ed. NULL when out of memory. */
char *conf_print(const struct conf *c, unsigned int flags);

/*
 * What differs, as lines for people ("peer \"isp\": hello-interval 60 s -> 30 s"), each ended by a
 * newline, malloc()ed; "" when nothing does. Secrets are compared but never shown.
 */
char *conf_diff(const struct conf *from, const struct conf *to);

/* ---- the schema ---- */

enum conf_kind {
	CONF_GLOBAL,
	CONF_LISTEN,
	CONF_POOL,
	CONF_PROFILE,
	CONF_PEER,
	CONF_SESSION,
	CONF_TUNNEL,
	CONF_WIRE,
	CONF_KIND_COUNT
};

enum conf_type {
	CONF_T_BOOL,	 /* yes, no */
	CONF_T_NUMBER,	 /* min..max */
	CONF_T_DURATION, /* "30 s", "500 ms", "5 min", "1 h", "1 d"; min..max in ms */
	CONF_T_TEXT,	 /* min..max characters */
	CONF_T_CHOICE,	 /* one of `choices` */
	CONF_T_PATH,	 /* absolute path */
	CONF_T_ADDR,	 /* an address */
	CONF_T_ADDR4,	 /* an IPv4 address */
	CONF_T_PREFIX,	 /* an address or prefix */
	CONF_T_PREFIX6,
	CONF_T_RANGE4, /* "10.1.0.0/16" or "10.1.0.10-10.1.0.20" */
	CONF_T_IFNAME,
	CONF_T_PORT, /* "any" or min..max */
	CONF_T_REF   /* name of a `choices` block */
};

enum {
	CONF_K_LIST = 1 << 0,
	CONF_K_SECRET = 1 << 1,
	CONF_K_REQUIRED = 1 << 2,
	CONF_K_NEVER = 1 << 3, /* a duration may be "never" */
	CONF_K_AUTO = 1 << 4   /* a number may be "auto" */
};

/* One option. All that is known about it stands here: the parser, the checks, the output of `adit
 * show config` and the test of the manual page are driven by it. */
struct conf_key {
	enum conf_kind kind;
	const char *key;
	enum conf_type type;
	unsigned int flags;
	const char *def; /* as in the file, list elements separated by ", "; NULL = not set */
	int64_t min, max;
	const char *choices; /* separated by "|" */
	const char *help;
};

/* All rows, those of one kind together and in the order they are printed. */
const struct conf_key *conf_schema(size_t *ret_count);
const char *conf_kind_name(enum conf_kind kind); /* "peer"; "" for CONF_GLOBAL */

/* A duration in microseconds, -1 for "never". False when the text is none. */
bool conf_duration(const char *text, int64_t *ret_us);

#endif
