/* SPDX-License-Identifier: MIT
 *
 * What the files of the pseudowires' engine share.
 *
 *   pw.c        the engine: in, out, what is there
 *   pw_tunnel.c control connections: dialled, answered, lost
 *   pw_wire.c   pseudowires: sessions, rows, circuits
 *   pw_conf.c   the configuration as an object;  pw_apply.c  a new one in force
 *   pw_save.c   records that outlive the process
 *   pw_drain.c  one after the other is ended
 *
 * Theory of operation. A `pwt` is a control connection of the configuration; it has any number of
 * `pwc`, connections of the engine: mostly one, more while the peer opens one anew before we know
 * that the former is lost. `t->conn` is the one in use. A `pww` is a pseudowire; it has one session
 * at most, and one row.
 *
 * A session and its row are made and ended one after the other: the row of a former session is
 * deleted, and the data plane has said so, before the row of the next one is put, because both have
 * the same interface (pww_advance).
 *
 * What the owner must hear about is a bit in the object concerned, which then stands in a list of
 * objects with news. Connections that came up are told first, then rows, then connections that
 * ended: so a row always finds its tunnel.
 */
#ifndef ADIT_ACCESS_PW_INT_H
#define ADIT_ACCESS_PW_INT_H

#include "base/heap.h"
#include "base/htab.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/wire.h"
#include "pw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* News of a pwt, a pwc, a pww. */
enum { PWT_N_RESOLVE = 1 };
enum { PWC_N_UP = 1, PWC_N_DOWN = 2 };
enum {
	PWW_N_PUT = 1,
	PWW_N_DEL = 2,
	PWW_N_UP = 4,
	PWW_N_CIRCUIT = 8,
	PWW_N_DOWN = 16,
	PWW_N_MISSING = 32
};

/* Why something failed last. */
struct pw_reason {
	enum adit_cause cause;
	bool by_peer, established;
	char text[PW_TEXT_MAX];
};

enum pwt_state {
	PWT_IDLE,      /* nothing is wanted, or the peer is waited for */
	PWT_RESOLVING, /* the owner was asked for addresses */
	PWT_TRYING,    /* a connection is on its way */
	PWT_UP,
	PWT_WAITING /* for the next attempt */
};

/* An address that the peer of a tunnel may have. */
struct pwt_peer {
	struct htab_node node; /* p->tunnels_by_peer */
	struct pwt *t;	       /* NULL: not in there */
	struct addr remote;
};

struct pwt {
	struct list in; /* p->tunnels */
	struct htab_node by_name;
	uint64_t id;
	const struct pw_conf_tunnel *c; /* NULL: no longer in the configuration */
	enum pwt_state state;
	bool asked; /* `adit connect` */
	bool off;   /* all its pseudowires were taken down */
	struct path paths[PW_PATHS_MAX];
	size_t path_count, path_next;
	struct pwt_peer peers[PW_PATHS_MAX + 1]; /* of `paths`; the last one is configured */
	struct pwc *conn;			 /* in use or being opened by us, NULL = none */
	struct list conns;			 /* pwc */
	struct list wires;			 /* pww */
	uint32_t attempts;			 /* in a row */
	uint8_t waits; /* in a row, for a connection that the peer seems to open */
	struct heap_node timer;
	struct list news;
	uint8_t bits;
	struct pw_reason why;
};

struct pwc {
	struct list in; /* t->conns */
	struct htab_node by_id, by_local;
	uint64_t id; /* owner of the connection in the engine */
	struct pwt *t;
	adit_handle h; /* 0 once it is down */
	bool up, told;
	uint32_t local, remote; /* in by_local while up */
	struct path path;
	char name[CONF_NAME]; /* of its tunnel, which may have another by now */
	char host[L2TP_NAME_MAX];
	uint8_t encap, plane;
	uint16_t path_mtu; /* 0 = not known */
	struct list news;
	uint8_t bits;
	struct pw_reason why;
};

enum pww_row { PWW_ROW_NONE, PWW_ROW_PUT, PWW_ROW_DEL };

struct pww {
	struct htab_node by_id, by_key, by_end, by_name;
	uint64_t id;		      /* owner of the session in the engine */
	const struct pw_conf_wire *c; /* NULL: no longer in the configuration */
	char name[CONF_NAME];
	struct pwt *t; /* NULL: likewise */
	struct list in_tunnel;
	bool wanted;	     /* not taken down by `adit disconnect` */
	bool asked;	     /* `adit connect` */
	adit_handle session; /* 0 = none */
	bool session_up;     /* fixed: the connection is up */
	bool carried;	     /* the data plane has the row of this session */
	bool told;	     /* EV_UP */
	bool near_up, far_up;
	bool missing;		  /* our circuit: no interface has its name */
	bool keyed, ended, named; /* in by_key, by_end, by_name */
	enum pww_row row_state;
	uint64_t key;
	uint32_t generation;
	struct dp_row row;
	uint32_t attempts;
	bool waiting; /* the timer runs */
	struct heap_node timer;
	struct mono since;
	struct list news;
	uint8_t bits;
	struct pw_reason why;
	uint64_t rec_id; /* of the record of `wanted` and `asked`, 0 = there is none */
	struct list rec; /* p->recs_wires: that record has to be written or removed */
};

struct pw {
	struct pw_config config;
	struct l2tp3 *l;
	struct pw_conf *conf; /* NULL before the first */
	struct rng rng;
	uint8_t hash_key[16];
	struct list tunnels; /* pwt */
	struct pww **wires;  /* in the order of the configuration, then those that go */
	size_t wire_count;
	uint32_t tunnel_count, tunnels_up;
	struct htab tunnels_by_name;			  /* pwt, of the configuration */
	struct htab tunnels_by_peer;			  /* pwt_peer, likewise */
	struct htab conns_by_id, conns_by_local;	  /* pwc */
	struct htab wires_by_id, by_key, by_end, by_name; /* pww */
	struct heap tunnel_timers, wire_timers;
	struct list news_t, news_c, news_w;
	uint64_t next_id;
	uint8_t roll; /* of keys */
	bool shutdown;
	bool drain; /* pw_drain.c */
	uint32_t drain_rate, drain_part;
	struct mono drain_at;

	struct htab recs, recs_by_id; /* pw_save.c */
	struct list recs_dirty;
	struct list recs_gone;
	struct list recs_wires;
	uint64_t next_rec;
	struct pww *rec_wire; /* whose record was asked for last */
};

/* ---- pw.c ---- */

uint64_t pw_hash(const struct htab *t, uint64_t v);
void pw_pump(struct pw *p, struct mono now); /* all events of the engine */
void pw_news_t(struct pw *p, struct pwt *t, uint8_t bit);
void pw_news_c(struct pw *p, struct pwc *c, uint8_t bit);
void pw_news_w(struct pw *p, struct pww *w, uint8_t bit);
void pw_reason_set(struct pw_reason *r, enum adit_cause cause, const char *text, bool by_peer);
/* The wait before attempt number `attempts` + 1: doubled each time, give or take a quarter. */
int64_t pw_backoff(struct pw *p, const struct pw_conf_tunnel *c, uint32_t attempts);

/* ---- pw_drain.c ---- */

void pw_drain(struct pw *p, struct mono now, bool on, uint32_t rate);
void pw_drain_expire(struct pw *p, struct mono now);

/* Is nothing new to come? */
static inline bool pw_closed(const struct pw *p)
{
	return p->shutdown || p->drain;
}

/* ---- pw_tunnel.c ---- */

/* `c` may be NULL: then it is there for a connection that ends. */
struct pwt *pwt_new(struct pw *p, const struct pw_conf_tunnel *c);
/* Put it under its configuration; NULL = it is no longer in there. */
void pwt_place(struct pw *p, struct pwt *t, const struct pw_conf_tunnel *c);
/* It is no longer in the configuration: end it; frees it once nothing is left. */
void pwt_drop(struct pw *p, struct mono now, struct pwt *t, enum adit_cause cause,
	      const char *text);
void pwt_release(struct pw *p, struct pwt *t); /* free it if nothing needs it any more */
void pwt_free(struct pw *p, struct pwt *t);
void pwt_state(struct pw *p, struct pwt *t, enum pwt_state state);
/* A block and what a pseudowire implies may have the same name. */
struct pwt *pwt_find(const struct pw *p, const char *name, bool implied);
/* The next step towards what is wanted. */
void pwt_advance(struct pw *p, struct mono now, struct pwt *t);
void pwt_close(struct pw *p, struct mono now, struct pwt *t, enum adit_cause cause,
	       const char *text);
void pwt_expire(struct pw *p, struct mono now, struct pwt *t);
int pwt_resolved(struct pw *p, struct mono now, const struct pw_cmd *cmd);
void pwt_event(struct pw *p, struct mono now, const struct l2tp3_event *ev);
struct pwc *pwc_find(const struct pw *p, uint64_t id);
struct pwc *pwc_new(struct pw *p, struct pwt *t);
struct pwc *pwc_by_local(const struct pw *p, uint32_t local);
void pwc_up(struct pw *p, struct pwc *c, const struct l2tp3_conn_info *i);
void pwc_free(struct pw *p, struct pwc *c);
/* The one whose peer may speak over this path, as the host of this name (NULL: any). One that has
 * no connection comes first, then one that was there first. */
struct pwt *pwt_for(const struct pw *p, const struct path *path, const char *host);

/* ---- pw_wire.c ---- */

struct pww *pww_find(const struct pw *p, uint64_t id);
struct pww *pww_by_key(const struct pw *p, uint64_t key);
struct pww *pww_by_name(const struct pw *p, const char *name);
struct pww *pww_new(struct pw *p, const struct pw_conf_wire *c, struct pwt *t);
void pww_place(struct pw *p, struct pww *w, const struct pw_conf_wire *c, struct pwt *t);
void pww_unplace(struct pw *p, struct pww *w);
void pww_free(struct pw *p, struct pww *w);
void pww_advance(struct pw *p, struct mono now, struct pww *w);
/* End a session, tell the peer. */
void pww_close_session(struct pw *p, struct mono now, adit_handle h, uint16_t result,
		       enum adit_cause cause, const char *text);
/* End its session, tell the peer. It is asked for again when it is wanted. */
void pww_end(struct pw *p, struct mono now, struct pww *w, uint16_t result, enum adit_cause cause,
	     const char *text);
void pww_tunnel_up(struct pw *p, struct mono now, struct pwt *t);
void pww_tunnel_down(struct pw *p, struct mono now, struct pwt *t, const struct pw_reason *why);
void pww_expire(struct pw *p, struct mono now, struct pww *w);
void pww_event(struct pw *p, struct mono now, const struct l2tp3_event *ev);
int pww_done(struct pw *p, struct mono now, const struct dp_done *done);
void pww_path(struct pw *p, struct pww *w); /* its path has another MTU now */
void pww_circuit(struct pw *p, struct mono now, struct pww *w, bool up, bool missing);
int pww_take_up(struct pw *p, struct mono now, struct pww *w, adit_handle session, uint64_t key,
		uint32_t generation, bool near_up); /* after recovery */
/* After recovery: its session (0: there is none) is not what it is to be any more. It ends, and the
 * next one waits until the row is gone. */
void pww_take_changed(struct pw *p, struct mono now, struct pww *w, adit_handle session,
		      uint64_t key, uint32_t generation, enum adit_cause cause);
void pww_key_set(struct pw *p, struct pww *w, uint64_t key);

/* ---- pw_apply.c ---- */

int pw_apply(struct pw *p, struct mono now, struct pw_conf *conf);
void pw_swept(struct pw *p);
/* Its record has to be written again. */
void pw_touch_conn(struct pw *p, adit_handle h); /* frees pseudowires that have ended for good */

/* ---- pw_save.c ---- */

/* The row of this session has changed: its record, if there is one, has to be written again. */
void pw_touch_session(struct pw *p, adit_handle h);
/* What an administrator said of it has changed: its record has to be written again. */
void pw_touch_wire(struct pw *p, struct pww *w);
void pw_untouch_wire(struct pw *p, struct pww *w); /* it is freed */
/* Taken down: it is not to be, and its connection neither if that was there for it alone. */
void pww_take_down(struct pw *p, struct mono now, struct pww *w);
void pw_recs_init(struct pw *p);
void pw_recs_free(struct pw *p);

#endif
