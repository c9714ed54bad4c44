/* SPDX-License-Identifier: MIT
 *
 * What the files of aditd share: one struct daemon, and who does what with it.
 *
 *   main.c     options, the order of starting and stopping
 *   io.c       the event loop (libuv), descriptors, the clock
 *   run.c      the drain loop between the engine and everything else
 *   journal.c  records of the engine to and from the journal
 *   peer.c     UDP sockets, names and routes to servers
 *   plane.c    the user-space data plane and the keeper's part of it
 *   pwire.c    pseudowires of L2TPv3
 *   swire.c    static ones that the kernel does not carry
 *   kplane.c   the kernel's data plane, which the keeper has
 *   reload.c   a new configuration
 *   hook.c     programs run when a session is up or down
 *   control.c  the control socket; control_call.c what is asked for; show.c what it shows
 *   log.c acct.c spare.c progress.c conf*.c  stand for themselves
 */
#ifndef ADIT_DAEMON_DAEMON_H
#define ADIT_DAEMON_DAEMON_H

#include "access/access.h"
#include "acct.h"
#include "base/list.h"
#include "base/trace.h"
#include "conf.h"
#include "dp/dp.h"
#include "keeper/client.h"
#include "log.h"
#include "progress.h"
#include "spare.h"

struct control;
struct io;
struct io_watch;
struct output;
struct reload;
struct store;

#define DAEMON_STOP_US (5 * US_S) /* an orderly stop waits so long after anything has ended */

/* A UDP socket of the configuration, made by the keeper. */
struct daemon_socket {
	uint32_t via;
	int fd;
	struct addr addr;	 /* what it is bound to, with its port */
	bool stale;		 /* no longer in the configuration; closed when no tunnel uses it */
	struct conf_socket conf; /* as the configuration has it, or had it last */
	int device;		 /* that it is bound to, and its network namespace: 0 = none, or */
	uint64_t room;		 /* not known (before Linux 5.0 and 5.14); a cookie */
};

/* An answer to a question of the engine that was at hand: given after its events were taken. */
#define DAEMON_ANSWERS 128
struct answer {
	struct access_cmd cmd;
	struct dp_done done;
};

/* Are system calls filtered? */
enum sandbox { SANDBOX_OFF, SANDBOX_UNAVAILABLE, SANDBOX_ON };

struct daemon {
	const char *conf_path;
	struct in_force *in_force; /* NULL = the keeper has no room for it */
	size_t in_force_size;
	struct conf *conf;
	uint32_t conf_serial;

	struct access *access;
	struct pw *pw; /* pseudowires */
	struct swires *swires;
	struct dp *dp;		    /* auto.h: the user-space plane and the kernel's */
	struct dp *user;	    /* the former */
	struct dp *remote;	    /* the latter, which is the keeper's */
	const char *kernel_missing; /* why there is no kernel plane, NULL = there is one */
	bool kernel_asked;	    /* the keeper, whether there is one by now */
	bool told_missing;	    /* in the log */
	struct keeper *keeper;
	struct trace *trace;
	uint64_t trace_pos; /* up to where the log has it */
	struct store *store;
	struct log *log;
	struct acct *acct;
	struct control *control;
	struct io *io;
	struct output *output;

	struct mono now; /* of this turn of the loop */
	int64_t wall_us; /* at `now`, since 1970 */

	struct daemon_socket *sockets;
	size_t socket_count;
	struct mono sockets_at; /* to look for stale sockets that nothing uses any more */
	struct list resolving;	/* struct resolving of peer.c */
	uint64_t resolve_count;
	struct reload *reload;

	struct answer answers[DAEMON_ANSWERS];
	size_t answer_count;

	struct del {
		uint64_t key;
		uint32_t generation;
	} * dels; /* rows to be deleted once the journal says so */
	size_t del_count, del_room;

	bool lines_wait;      /* accounting lines wait for others */
	struct mono lines_at; /* until then */

	uint32_t starts, incarnation;
	struct mono since, keeper_since;
	bool ready;
	bool stopping;	       /* orderly: peers are told */
	bool emptying;	       /* ... one after the other, before all that is left is told */
	bool paced;	       /* ... there is a pace, and nobody has asked once more */
	struct progress stop;  /* stopping, emptying: how long to wait */
	struct mono stop_look; /* ... when to look again */
	bool quit;	       /* leave the loop */
	int status;	       /* exit status */
	struct mono drain_say; /* while draining: when to tell how far it is */
	struct spare spare;    /* memory for bad times */
	bool scarce;	       /* ... which have come: nobody new gets in */
	struct mono scarce_at; /* ... when to see whether they are over; else: whether they come */
	bool journal_full;     /* has been told */
	bool no_journal;       /* nothing is written: to measure what it costs */
	enum sandbox sandbox;
	uint64_t sent, send_failed;
};

/* Say something: into the trace, and from there to the log and to `adit monitor`. */
void daemon_say(struct daemon *d, enum trace_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- who asked the keeper: the upper octet of a request's cookie ---- */

enum cookie {
	COOKIE_PLANE = 1, /* plane.c: id of the data plane's request */
	COOKIE_RESOLVE,	  /* peer.c: number of the question */
	COOKIE_SOCKET,	  /* peer.c: via */
	COOKIE_HOOK,	  /* hook.c */
	COOKIE_RELOAD,	  /* reload.c */
	COOKIE_SOCKET_GONE,
	COOKIE_READY,
	COOKIE_STOPPING
};

#define COOKIE(kind, value) ((uint64_t)(kind) << 56 | (value))
#define COOKIE_KIND(c)	    ((enum cookie)((c) >> 56))
#define COOKIE_VALUE(c)	    ((c) & ((UINT64_C(1) << 56) - 1))

/* ---- io.c ---- */

struct mono io_now(void);
int64_t io_wall_us(void);
struct io *io_new(struct daemon *d); /* NULL when out of memory or descriptors */
int io_run(struct io *io);	     /* until d->quit */
void io_free(struct io *io);

/* Watch a descriptor of a control client; `on` is POLLIN, POLLOUT or both. NULL on failure. */
struct io_watch *io_watch(struct io *io, int fd, void *client);
int io_watch_set(struct io_watch *w, short on);
void io_unwatch(struct io_watch *w);
bool io_watch_full(const struct io *io);
void io_unlisten(struct io *io); /* the control listener is about to be closed */

/* The moment and the loop's next turn: read the clock once, and do what is due. */
void io_tick(struct daemon *d);

/* ---- run.c ---- */

/* Take everything the engine has: events, records, packets, lines. Call after each act. */
void run_drain(struct daemon *d);
void run_punts(struct daemon *d);  /* the data plane has something */
void run_keeper(struct daemon *d); /* the keeper has something */
void run_timers(struct daemon *d); /* a deadline is due */
struct mono run_deadline(const struct daemon *d);
void run_stop(struct daemon *d, bool orderly);
/* Is no session left, and each accounting line on disk? */
bool run_nothing_owed(struct daemon *d);
/* Take nobody new and end `rate` sessions and pseudowires a second, or call that off: tells both
 * engines, and the log, from there on every ten seconds how far it is. False: aditd is stopping;
 * but while it tells its peers one after the other, the pace may change. */
bool run_drain_begin(struct daemon *d, bool on, uint32_t rate);

/* An allocation has failed: the reserve is given up, and nobody new gets in until it is there
 * again.
 */
void run_scarce(struct daemon *d);
/* See whether memory is scarce before an allocation fails. */
void run_probe(struct daemon *d);

/* Answer a question when the engine's events have been taken. The room was asked for before. */
struct access_cmd *run_answer(struct daemon *d, enum access_cmd_kind kind);

/* Log what the trace has. */
void run_log(struct daemon *d);

/* ---- output.c ---- */

struct output *output_new(void);
void output_free(struct output *o);
/* Take all packets of the engine and send them. */
void output_drain(struct daemon *d);

/* ---- journal.c ---- */

bool journal_open(struct daemon *d, void *mem, uint64_t size);
/* Load all records. False when out of memory. */
bool journal_load(struct daemon *d);
/* What was found in it that is not as it was written. `former`: the record before the last one;
 * `mute`: tunnels that end without a word, since nobody has their secret any more. */
enum journal_kind { JOURNAL_STATE, JOURNAL_TUNNEL, JOURNAL_SESSION, JOURNAL_LINE, JOURNAL_KINDS };
struct journal_lost {
	size_t bad[JOURNAL_KINDS], former, mute;
};
struct store_record;
/* Count it; false: not even whose it was is known. */
bool journal_found(struct journal_lost *lost, enum journal_kind kind, const struct store_record *r);
/* Count what its engine said of it, which is no error. */
void journal_took(struct journal_lost *lost, enum journal_kind kind, int rc);
/* Commit all dirty records. Returns how many. */
size_t journal_commit(struct daemon *d);

/* ---- peer.c ---- */

/* Ask the keeper for a socket and wait. False with a message said. */
bool peer_socket_open(struct daemon *d, const struct conf_socket *s);
/* A socket that came from the keeper. False with a message said. */
bool peer_socket_add(struct daemon *d, const struct conf_socket *s, int fd,
		     const struct addr *bound);
const struct daemon_socket *peer_socket(const struct daemon *d, uint32_t via);
/* Sockets of before that the configuration no longer has, where what was taken up needs them. */
void peer_sockets_former(struct daemon *d);
/* When `sockets_at` is due. */
void peer_sockets_sweep(struct daemon *d);
void peer_resolve(struct daemon *d, const struct access_event *ev);
void peer_resolved(struct daemon *d, const struct keeper_done *done);
/* Answers to questions for addresses that needed no name service. True when there was one. */
bool peer_answer(struct daemon *d);
void peer_free(struct daemon *d);

void peer_resolve_wire(struct daemon *d, const struct pw_event *ev);

/* ---- raw.c ---- */

/* A socket has come or gone, or its place in the configuration is another: see that each packet
 * over IP comes by one of them. */
void raw_sockets(struct daemon *d);
/* A packet that has come: its path has the socket of the tunnel it is about, see raw.c. */
void socket_settle(const struct daemon *d, struct dp_punt *p);

/* ---- pwire.c ---- */

bool pwire_open(struct daemon *d);
bool pwire_events(struct daemon *d); /* all of them; true when there were any */
/* A datagram of L2TPv3: then *ret is 0 or -ENOMEM. False: it is for the other engine. */
bool pwire_input(struct daemon *d, const struct dp_punt *p, int *ret);
/* A completion, an event of the planes: true when it was about a pseudowire. */
bool pwire_done(struct daemon *d, const struct dp_done *done);
bool pwire_plane_event(struct daemon *d, const struct dp_event *e);
void pwire_tunnel_tell(struct daemon *d, uint32_t local); /* the planes: it is up */
void pwire_tunnels(struct daemon *d);			  /* all that are up, after a restart */
size_t pwire_commit(struct daemon *d);
bool pwire_load(struct daemon *d, struct journal_lost *lost); /* false: out of memory */
bool pwire_conf(struct daemon *d, const struct conf *next);
/* What ends when `next` comes into force, as lines; the octets written. */
size_t pwire_effects(struct daemon *d, const struct conf *next, char *buf, size_t cap);

/* ---- swire.c ---- */

bool swire_open(struct daemon *d); /* the plane and the configuration are there */
void swire_free_all(struct daemon *d);
void swire_conf(struct daemon *d);			       /* d->conf is another one */
bool swire_done(struct daemon *d, const struct dp_done *done); /* true: it was about one */
bool swire_has(const struct daemon *d, uint64_t key);
/* This row of a former aditd is being removed; those were all. Until they are gone, nothing is put
 * that was not there before. */
void swire_former(struct daemon *d, uint64_t key);
void swire_swept(struct daemon *d);
bool swire_uses(const struct daemon *d, uint32_t via);
struct mono swire_deadline(const struct daemon *d);
void swire_expire(struct daemon *d);

/* False: the keeper has this one. */
struct swire_state {
	bool up;
	const char *text; /* why not */
	uint16_t mtu;	  /* of its interface */
	struct dp_counters counters;
};
bool swire_state(const struct daemon *d, const char *name, struct swire_state *ret);

/* ---- plane.c ---- */

bool plane_open(struct daemon *d, void *table, uint64_t size);
void plane_done(struct daemon *d, const struct keeper_done *done);
/* At the start, before the sockets are read: wait for the devices of sessions that are there. */
void plane_wait(struct daemon *d);
/* Remove rows that no session has. After recovery. */
void plane_sweep(struct daemon *d);
/* Who need not stand in line with strangers: an address, the small networks of the configuration,
 * the peers of all tunnels. */
void plane_trust(struct daemon *d, const struct addr *remote);
void plane_trust_conf(struct daemon *d);
void plane_trust_tunnels(struct daemon *d);

/* ---- kplane.c ---- */

/* The plane over `user` and the keeper's. NULL: out of memory. Waits for the keeper. */
struct dp *kplane_open(struct daemon *d, struct dp *user, const uint8_t hash_key[16]);
/* Which planes a configuration needs; says so when it wants the kernel and there is none. */
void kplane_conf(struct daemon *d, const struct conf *c);
bool kplane_input(struct daemon *d); /* records of the keeper: true when there were any */
void kplane_flush(struct daemon *d); /* records for the keeper */
bool kplane_events(struct daemon *d);
void kplane_session_up(struct daemon *d, const struct access_event *ev);
void kplane_tunnel_up(struct daemon *d, uint32_t id);
void kplane_tunnel_down(struct daemon *d, uint32_t id);
/* The static pseudowires that are the keeper's alone are in the kernel now, or are not wanted. */
void kplane_wires(struct daemon *d, const struct conf *c, bool is);
/* Follow the interfaces of all pseudowires, or do not any more: where they are is shown. */
void kplane_watch(struct daemon *d, const struct conf *c, bool is);
struct circuit_link;
bool kplane_link(const struct daemon *d, const char *ifname, struct circuit_link *ret);
void kplane_tunnels(struct daemon *d); /* all that are up, after a restart */

/* ---- hook.c ---- */

void hook_run(struct daemon *d, const struct access_event *ev);
void hook_done(struct daemon *d, const struct keeper_done *done);

/* ---- in_force.c ---- */

/* Room at the keeper for the configuration in force; false: there is none, and nothing is lost but
 * that. Before the sandbox. */
bool in_force_open(struct daemon *d);
/* The one that was in force; NULL: none, or it is of another file. */
struct conf *in_force_load(const struct daemon *d, const char *path);
void in_force_keep(struct daemon *d); /* d->conf */

/* ---- reload.c ---- */

/* Who waits for the end of a reload; `text` is the difference, or why it failed. */
typedef void (*reload_done_fn)(struct daemon *d, void *who, bool ok, const char *text);

/* Read the file again and put it in force. `from_keeper`: the keeper has read it already. */
void reload_start(struct daemon *d, bool from_keeper, reload_done_fn fn, void *who);
void reload_done(struct daemon *d, const struct keeper_done *done);
void reload_forget(struct daemon *d, void *who); /* `who` no longer waits */
void reload_free(struct daemon *d);

/* Sessions that end when `next` comes into force, as lines for people. */
void reload_effects(struct daemon *d, const struct conf *next, char *buf, size_t cap);

/* ---- control.c ---- */

struct control *control_new(struct daemon *d, int listener); /* takes the descriptor */
void control_free(struct control *c);
int control_fd(const struct control *c);
void control_accept(struct control *c);
void control_client(void *client, short events); /* a watched client can be read or written */
/* Something may have changed: go on with answers that wait for it. True when a call was made that
 * may have changed the engine. */
bool control_push(struct control *c);
struct mono control_deadline(const struct control *c);

/* ---- check.c ---- */

/* `aditd -n`: exit status. */
int check_config(const char *path);
/* Say what is no error, but likely a mistake: secrets that all may read, hooks that are not there.
 * `other`: also what only the user of aditd would notice. */
void check_advise(const struct conf *c, bool other, void (*say)(void *arg, const char *text),
		  void *arg);

/* ---- sandbox.c ---- */

/* Give up what is not needed. False with a message said. */
bool sandbox_enter(struct daemon *d);

#endif
