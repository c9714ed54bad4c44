/* SPDX-License-Identifier: MIT
 *
 * Two machines for the tests of src/access: an LNS and a client, each a struct access with a
 * journal, a data plane and an accounting file in memory, joined by a network without delay in
 * virtual time. All memory is in struct pair, so an allocation that fails (failmalloc.h) is always
 * one of the code under test.
 *
 * Each machine runs the drain loop that access.h asks for. A step of it is one event, one record,
 * one packet or one line written; a machine can be killed after any step and comes back at once
 * from its journal, with the rows its data plane has.
 */
#ifndef ADIT_TEST_PAIR_H
#define ADIT_TEST_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "access/access.h"
#include "base/wire.h"

#define PAIR_DIALS   3
#define PAIR_RECORDS 64
#define PAIR_LINES   256
#define PAIR_LOG     512
#define PAIR_ROWS    16
#define PAIR_PACKETS 128
#define PAIR_UNIX    INT64_C(1750000000000000)

/* What configurations are made of; zero fields are usual values. */
struct pair_options {
	const char *users;		  /* chap-secrets, default: alice and bob, "secret" */
	const char *user[PAIR_DIALS];	  /* of each dial, default "alice" */
	const char *password[PAIR_DIALS]; /* default "secret" */
	unsigned int dials;		  /* default 1 */
	bool manual;			  /* dials wait for CMD_CONNECT */
	uint32_t redial_max;
	enum ppp_auth auth; /* default CHAP */
	bool no_login;
	int64_t session_us, idle_us, interim_us;
	int64_t auth_us;
	uint32_t max_per_user;
	bool replace;
	uint32_t pool4;				      /* addresses, default 16 */
	uint32_t max_tunnels, max_sessions;	      /* of all */
	uint32_t peer_max_tunnels, peer_max_sessions; /* of the block */
	const char *peer_from;			      /* prefix, default all */
	const char *peer_host;			      /* glob, default "" */
	bool empty;				      /* no peer block, no dial */
	bool called_only;			      /* the client waits for calls */
	const char *number;			      /* ... for this number */
	bool sequencing;			      /* the client asks for numbers on data */
	bool server_asks; /* the LNS does (L2TPv3), and the client does not ask back */
	bool pipes;	  /* both planes number as the kernel does, see struct access_config */
	enum conf_version version[2]; /* of L2TP: what the LNS takes, what the client asks for */
	bool over_ip;		      /* L2TPv3 without UDP; each machine gets all data twice */
	bool no_secret;		      /* of the tunnel */
	bool mppe; /* required by the server, which asks for MS-CHAPv2; the client can */
};

struct access_conf *pair_lns_conf(const struct pair_options *o);
struct access_conf *pair_client_conf(const struct pair_options *o);

struct pair_record {
	enum access_object kind;
	uint64_t id;
	size_t len;
	size_t writes; /* how often it was written */
	uint8_t bytes[ACCESS_SAVE_TUNNEL_MAX];
};

struct pair_row {
	bool used, there;
	uint64_t key;
	uint32_t generation;
	unsigned int life; /* of the machine, at the last PUT */
	struct dp_row row;
	uint16_t ns, nr; /* next to be sent, next to come */
	uint16_t frames; /* sent */
	struct dp_counters counters;
};

struct pair_line {
	uint64_t key;
	uint32_t seq;
	bool owed;    /* to be written, or to be confirmed */
	bool written; /* else it goes with the life that has made it */
	char text[ACCESS_LINE_MAX];
};

/* What an event said, as far as it can be kept. */
struct pair_news {
	enum access_event_kind kind;
	uint64_t key;
	enum adit_cause cause;
	bool established, by_peer;
	char name[CONF_NAME], user[PPP_USER_MAX], text[L2TP_TEXT_MAX], ifname[DP_IFNAME];
	uint8_t our_ip4[4], peer_ip4[4];
	struct prefix prefix6;
	uint16_t mtu;
};

struct pair_packet {
	struct path path; /* as the receiver sees it */
	unsigned int to;
	size_t len;
	uint8_t bytes[ACCESS_PACKET_MAX + 64];
};

struct pair;

struct machine {
	struct pair *pair;
	unsigned int index; /* 0 the LNS, 1 the client */
	struct addr addr;
	struct access *a;
	struct access_config config;
	struct access_conf *conf;
	struct users *users;
	unsigned int lives;

	struct pair_record records[PAIR_RECORDS];
	size_t record_count;
	struct pair_row rows[PAIR_ROWS];
	struct pair_line lines[PAIR_LINES];
	size_t line_count;
	struct pair_news log[PAIR_LOG];
	size_t log_count;

	/* to be answered */
	struct access_cmd auth[PAIR_ROWS];
	size_t auth_count;
	struct dp_done done[PAIR_ROWS * 2];
	size_t done_count;
	uint64_t stats[PAIR_ROWS];
	size_t stats_count;
	char resolve[PAIR_DIALS][CONF_NAME];
	size_t resolve_count;
	uint32_t heard[PAIR_ROWS];
	size_t heard_count;

	/* what the test wants of it */
	bool hold_auth;	    /* answers wait in `auth` until this is cleared */
	bool hold_done;	    /* completions wait in `done` */
	bool hold_lines;    /* accounting lines are not confirmed */
	bool says_on;	    /* its accounting begins with a line "on" where there is no record */
	bool unknown;	    /* EV_STATS is answered with "no such row" */
	bool no_name;	    /* names cannot be resolved */
	int put_error;	    /* the data plane fails each PUT with this errno */
	bool no_pipes;	    /* ... each that is only prepared */
	bool no_mppe;	    /* ... each with keys */
	unsigned int pipes; /* rows that were put as prepared */
	unsigned int late;  /* numbered frames that a kernel would have dropped: others were due */
	uint64_t steps, kill_at; /* killed after so many steps, 0 = never */
	unsigned int kills;
};

struct pair {
	struct mono now;
	struct machine m[2];
	struct pair_packet packets[PAIR_PACKETS];
	size_t first, count;
	bool cut; /* the network carries nothing */
	uint64_t carried;
	const char *iccn;	      /* AVPs in hex that the network adds to each ICCN, or NULL */
	uint16_t result[2], error[2]; /* of the last StopCCN or CDN each machine sent */
	char message[2][L2TP_TEXT_MAX];
};

/* Both machines, switched on. */
struct pair *pair_new(const struct pair_options *o);
void pair_free(struct pair *p);

/* Nothing is switched on yet; then pair_start() for each. False when out of memory. */
struct pair *pair_make(const struct pair_options *o);
bool pair_start(struct machine *m);
/* Off, without a word; the journal and the rows stay. */
void pair_stop(struct machine *m);

/* Let `us` of time pass, with all that happens in it. */
void pair_run(struct pair *p, int64_t us);
/* The next packet, or the next deadline in this time; false = there is none. */
bool pair_step(struct pair *p, int64_t us);
/* Until `m` has told this kind of event `n` times since the test began; fails after `us`. */
void pair_until(struct pair *p, struct machine *m, enum access_event_kind kind, size_t n,
		int64_t us);
/* Drain one machine now. */
void pair_drain(struct machine *m);
int pair_do(struct machine *m, const struct access_cmd *cmd);
int pair_conf(struct machine *m, struct access_conf *conf); /* takes the reference */
int pair_dial(struct machine *m, enum access_cmd_kind kind, const char *name);

size_t pair_told(const struct machine *m, enum access_event_kind kind);
/* The latest event of this kind; fails when there was none. */
const struct pair_news *pair_latest(const struct machine *m, enum access_event_kind kind);
size_t pair_rows(const struct machine *m);
struct pair_row *pair_row(struct machine *m, uint64_t key);
/* Lines of a session (0 = all) whose event is this; "" = any. */
size_t pair_lines(const struct machine *m, uint64_t key, const char *event);
/* Every session that has a start line has one stop line at its end, numbers without a gap. */
void pair_check_lines(const struct machine *m, bool all_stopped);
/* `octets` of user data pass session `key`. */
void pair_traffic(struct machine *m, uint64_t key, uint64_t octets);
/* Nothing is left: no session, tunnel, row, lease or record but STATE. */
void pair_check_empty(struct machine *m);

#endif
