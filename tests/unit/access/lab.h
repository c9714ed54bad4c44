/* SPDX-License-Identifier: MIT
 *
 * A client and an LNS on one wire in virtual time, both whole (struct access), with data planes
 * that do at once what they are told: for tests of one thing at a time.
 */
#ifndef ADIT_TEST_LAB_H
#define ADIT_TEST_LAB_H

#include "access/access.h"
#include "base/wire.h"

#define LAB_LINES 64
#define LAB_ROWS  32

struct lab_row {
	uint64_t key;
	bool there;
	unsigned int puts;
	struct dp_row row;
	struct dp_counters counters;
};

/* The last event of a kind, with its strings copied. */
struct lab_seen {
	unsigned int count;
	uint64_t key;
	enum adit_cause cause;
	bool by_peer, established;
	char text[160], user[64], ifname[16];
	uint8_t our_ip4[4], peer_ip4[4];
	struct prefix prefix6;
	struct addr dns4[2], dns6[2];
	uint16_t mtu;
};

struct lab_node {
	struct access *a;
	struct access_conf *conf;
	struct addr addr;
	struct lab_row rows[LAB_ROWS];
	struct lab_seen up, down, tunnel_up, tunnel_down;
	char lines[LAB_LINES][ACCESS_LINE_MAX];
	uint64_t line_key[LAB_LINES];
	uint32_t line_seq[LAB_LINES];
	unsigned int line_count, lines_told;
	unsigned int asked, resolves, nets;
	unsigned int keyless; /* puts that speak of keys and have none */
	struct dp_net net;
	struct addr told; /* the last packet went there */
	bool deaf;	  /* nothing reaches it */
};

struct lab {
	struct mono now;
	struct lab_node lns, client;
	struct users *users;
	const char *refuse;    /* the LNS's owner refuses everybody with these words */
	bool hold_auth;	       /* it does not answer at all */
	int dp_error;	       /* of puts at the LNS */
	bool hold_dp;	       /* the LNS's plane does not answer */
	struct addr first_try; /* the resolver gives this address before the right one */
	uint64_t held_key;     /* question that was not answered, and its number */
	uint32_t held_ask;
	bool slow_dp; /* it does with lab_plane_answers() */
	bool waits;   /* for that: `late`, `late_row` */
	struct dp_done late;
	struct dp_row late_row;
	bool no_mppe; /* the LNS's plane cannot encrypt */
};

struct lab_options {
	const char *users;    /* text of the users file */
	const char *password; /* the client's */
	unsigned int dials;   /* 1 by default; users u0, u1, ... */
	bool one_user;	      /* all dial as u0 */
	bool no_login;
	enum ppp_mppe mppe; /* then all log in by MS-CHAPv2 */
	bool manual;	    /* dials do not start by themselves */
	uint32_t max_per_user, max_sessions, max_tunnels, redial_max;
	bool replace;
	int64_t session_us, idle_us, interim_us;
	unsigned int pool_size; /* 0 = 10 */
	const char *from;	/* address range of the peer block */
};

/* NULL when out of memory. */
struct lab *lab_new(const struct lab_options *o);
void lab_free(struct lab *l);
struct access_conf *lab_conf_lns(const struct lab_options *o);
struct access_conf *lab_conf_client(const struct lab_options *o);

/* Let `us` of time pass; everything that happens in it is done. */
void lab_run(struct lab *l, int64_t us);
/* Drain what is there now. */
void lab_drain(struct lab *l);
/* The LNS's slow plane carries out what it was told. False: nothing. */
bool lab_plane_answers(struct lab *l);
int lab_do(struct lab *l, struct lab_node *n, struct access_cmd cmd);
struct lab_row *lab_row(struct lab_node *n, uint64_t key);
unsigned int lab_rows(const struct lab_node *n);
/* The only session of a node, 0 when there is not exactly one. */
uint64_t lab_only(const struct lab_node *n);
bool lab_is_up(const struct lab_node *n, uint64_t key);

#endif
