/* SPDX-License-Identifier: MIT
 *
 * A simulated network of adit nodes in virtual time, made from one seed. A node is what a machine
 * is: an engine (struct access), a journal, a data plane, an accounting file, and the drain loop
 * of the daemon between them. The network loses, doubles, delays and re-orders packets. Nodes are
 * restarted, with and without their journal, and killed at any step of the drain loop.
 *
 * Files: world.c events, time, the network, the plan of a run; node.c a machine and its drain loop;
 * plane.c the data plane; check.c what must be true at the end.
 */
#ifndef ADIT_SIM_WORLD_H
#define ADIT_SIM_WORLD_H

#include "access/access.h"
#include "base/addr.h"
#include "base/htab.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/trace.h"
#include "base/wire.h"

#include <stdio.h>

struct world;

/* What a run looks like; world_plan() draws one from the seed. */
struct plan {
	bool large;
	unsigned int clients, sessions; /* sessions each client dials */
	unsigned int loss, twice, late; /* of 1,000 packets */
	int64_t delay_us, jitter_us;
	int64_t trouble_us;    /* how long there are faults */
	unsigned int restarts; /* nodes that are stopped and started again, journal kept */
	unsigned int amnesia;  /* same, journal lost */
	unsigned int kills;    /* kill -9 at a random step of the drain loop */
	unsigned int dp_fail;  /* of 1,000 row requests */
	unsigned int reloads;  /* new configurations */
	unsigned int commands; /* sessions terminated, dials disconnected and connected */
	bool login_limit;      /* one session a user, the new one replaces the old one */
	bool fixed;	       /* some users have addresses of their own */
};

/* ---- the data plane of a node ---- */

struct row {
	struct htab_node by_key, by_id;
	uint64_t key;
	uint32_t generation;
	struct dp_row row;
	struct dp_counters counters;
	int64_t busy_until; /* the last request for this key is carried out then */
	bool there;
};

struct plane {
	struct htab rows, ids;
	size_t count;		  /* rows that are there */
	uint64_t sum_in, sum_out; /* octets of rows that are gone */
};

void plane_init(struct plane *p, uint64_t seed);
void plane_free(struct plane *p);
struct row *plane_find(const struct plane *p, uint64_t key);
struct row *plane_by_id(const struct plane *p, uint16_t tunnel, uint16_t session);
/* The request is carried out now; the completion is written to *ret. */
void plane_carry_out(struct world *w, struct plane *p, uint8_t op, uint64_t key,
		     uint32_t generation, const struct dp_row *row, struct dp_done *ret);
/* A row object for this key, for its order of requests. */
struct row *plane_row(struct plane *p, uint64_t key);

/* ---- accounting as the file has it ---- */

struct acct_line {
	uint64_t key;
	uint32_t seq;
	char event; /* 's'tart, 'i'nterim, 'e'nd */
	uint64_t in, out;
};

struct acct_file {
	struct acct_line *v;
	size_t n, cap;
	uint32_t *index; /* open addressing: place in `v` plus one; twice as long as `v` */
};

/* ---- journal ---- */

struct record {
	struct htab_node node;
	uint32_t kind, len;
	uint64_t id;
	uint8_t bytes[];
};

struct journal {
	struct htab records;
	size_t n;
};

/* ---- a node ---- */

struct question { /* what the owner answers later */
	uint64_t key;
	struct access_cmd cmd;
};

struct pending_line {
	uint64_t key;
	uint32_t seq;
	char text[ACCESS_LINE_MAX];
};

struct node {
	struct world *w;
	unsigned int index;
	char name[24];
	struct addr addr;
	struct access *a; /* NULL while it is down */
	uint32_t incarnation;
	uint64_t life; /* grows with each start: what was on its way to a former life is void */
	struct access_conf *conf;
	struct users *users;
	struct plane plane;
	struct journal journal;
	struct acct_file acct;
	struct pending_line *lines;
	size_t line_count, line_cap;
	bool drain_planned;
	int64_t wake_at;	 /* the earliest planned look at the clock */
	uint64_t steps, kill_at; /* kill points passed since armed; 0 = not armed */
	bool was_killed;
	uint64_t lost_below; /* keys of incarnations whose journal was lost */
	void *trace_mem;
	struct trace *trace;
	uint64_t trace_pos;
};

/* ---- the world ---- */

enum happening {
	H_WAKE,
	H_DRAIN,
	H_PACKET,
	H_DP, /* the plane carries a request out */
	H_DP_DONE,
	H_AUTH,
	H_RESOLVED,
	H_STOP, /* restart, in its two halves */
	H_START,
	H_AMNESIA,
	H_ARM, /* arm a kill */
	H_RELOAD,
	H_COMMAND,
	H_TRAFFIC,
	H_CALM /* the end of all trouble */
};

struct event {
	int64_t at;
	uint64_t order;
	enum happening kind;
	unsigned int node;
	uint64_t life;
	void *data; /* owned */
};

struct packet {
	struct path path; /* as the sender sees it */
	size_t len;
	uint8_t bytes[];
};

struct dp_request {
	uint8_t op;
	uint64_t key;
	uint32_t generation;
	struct dp_row row;
};

struct world {
	struct plan plan;
	uint64_t seed;
	struct rng rng;
	int64_t now;
	uint64_t order;
	struct event *heap;
	size_t heap_n, heap_cap;
	struct node *nodes; /* 0 is the LNS */
	unsigned int node_count;
	bool calm;
	uint64_t packets, lost, kills, restarts, ups, downs;
	bool verbose;
	FILE *pcap;
	char *failure; /* the first broken invariant */
};

void world_plan(struct plan *ret, uint64_t seed, bool large);
/* Build, run and check. True when all invariants hold; else w->failure says which does not. */
bool world_run(struct world *w, uint64_t seed, bool large, bool verbose, FILE *pcap);
void world_free(struct world *w);

uint32_t world_below(struct world *w, uint32_t n);
bool world_chance(struct world *w, unsigned int of_1000);
struct mono world_now(const struct world *w);
void world_at(struct world *w, int64_t at, enum happening kind, unsigned int node, void *data);
void world_send(struct world *w, const struct path *path, const uint8_t *bytes, size_t len);
void world_fail(struct world *w, const char *form, ...) __attribute__((format(printf, 2, 3)));
void world_note(struct world *w, const struct node *n, const char *form, ...)
	__attribute__((format(printf, 3, 4)));

/* node.c */
bool node_init(struct world *w, struct node *n, unsigned int index);
void node_free(struct node *n);
void node_start(struct node *n);
void node_crash(struct node *n);
void node_forget(struct node *n); /* the journal and the plane are lost as well */
void node_packet(struct node *n, const struct packet *p);
void node_dp(struct node *n, const struct dp_request *q);
void node_dp_done(struct node *n, const struct dp_done *d);
void node_auth(struct node *n, const struct question *q);
void node_resolved(struct node *n, const char *name);
void node_reload(struct node *n);
void node_command(struct node *n);
void node_traffic(struct node *n);
void node_wake(struct node *n);
void node_drain(struct node *n);
void node_do(struct node *n, const struct access_cmd *cmd);
void node_trace(struct node *n);

/* conf.c */
struct access_conf *conf_lns(struct world *w);
struct access_conf *conf_client(struct world *w, struct node *n);
struct users *users_of(struct world *w);

/* check.c */
void check_up(struct world *w);
void check_empty(struct world *w);
void check_accounts(struct world *w);

#endif
