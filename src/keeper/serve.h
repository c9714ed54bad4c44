/* SPDX-License-Identifier: MIT
 *
 * Requests of aditd (proto.h): read, checked against the configuration (rights.h), carried out
 * (hold.h, net.h, child.h), answered.
 */
#ifndef ADIT_KEEPER_SERVE_H
#define ADIT_KEEPER_SERVE_H

#include "base/list.h"
#include "child.h"
#include "daemon/log.h"
#include "hold.h"
#include "net.h"
#include "plane.h"
#include "ports.h"
#include "rights.h"

#define SERVE_SWEEP_US	  (10 * US_S) /* after READY, see client.h */
#define SERVE_PATIENCE_US (30 * US_S) /* after STOPPING */
#define SERVE_KNOWN	  256	      /* addresses of servers that were resolved */

struct server {
	struct conf *conf;
	struct conf *former; /* before the last reload: hooks of its sessions may still run */
	struct log *log;
	struct net *net;
	struct rooms *rooms;
	struct hold *hold;
	struct children *children;
	struct kplane *plane;
	struct ports *ports;

	int pair;	 /* our end, -1 = there is no aditd */
	struct list out; /* datagrams that did not fit into the pair */
	uint32_t out_count;
	uint32_t starts; /* of aditd; the epoch of what it asks for */
	uint32_t incarnation;
	struct mono since, now;
	bool ready; /* this aditd serves */
	bool ever_ready;
	bool patience;	      /* STOPPING has come; taken by whoever waits */
	bool stops;	      /* ... of this aditd */
	bool stopped;	      /* ... and it is done */
	struct mono sweep_at; /* remove what this aditd did not ask for again */

	char forbidden[200]; /* the system call that aditd says it is being ended for, or "" */

	struct addr known[SERVE_KNOWN];
	uint32_t known_n; /* written in all; a ring */
};

/* A new aditd talks over `pair`. */
void server_begin(struct server *s, int pair);
/* It is gone. */
void server_end(struct server *s);

/* What to poll the pair for. */
short server_events(const struct server *s);

/* Send and carry out what is there. False: the pair is broken, aditd cannot go on with it. */
bool server_work(struct server *s);

/* The kernel's data plane, for this server; `alone` as in net.h, `resume` as in plane.h. False: out
 * of memory. */
bool server_plane(struct server *s, bool resume);
/* It has news. */
void server_news(struct server *s);

/* Pass answers of children on. */
void server_children(struct server *s);

struct mono server_deadline(const struct server *s);
void server_expire(struct server *s);

/* Read the configuration again. On failure nothing changes and `text` (CONF_ERR_MAX) says why; else
 * it says what was done that no comparison of configurations shows, in lines, "" = nothing. */
bool server_reload(struct server *s, char *text);
/* The same, unless it is as before: *ret_new. */
bool server_refresh(struct server *s, bool *ret_new, char *text);
/* Tell aditd that it was read again. */
void server_tell_reload(struct server *s);

/*
 * Over an upgrade of the keeper: as in hold.h. Before it server_settle() is called until it says
 * that nothing is under way that could not be carried. server_carried() has all records but those
 * that its owner knows; what it keeps them in (net, hold, children, plane) must be there.
 */
bool server_settle(struct server *s);
void server_carry(struct server *s, struct carry *c);
int server_carried(struct server *s, uint16_t tag, struct rcur v);

void server_say(struct server *s, enum trace_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
