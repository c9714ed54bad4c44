/* SPDX-License-Identifier: MIT
 *
 * Descriptors the keeper holds and hands to each aditd: shared memory, control listener, UDP
 * sockets, TUN devices. What is asked for by name is made once and is the same ever after, so that
 * nothing that waits in a socket or a queue is lost while aditd is away.
 *
 * Descriptors stay the holder's. Failures are negative errno with `text` (HOLD_TEXT octets) saying
 * what failed and what to do about it.
 */
#ifndef ADIT_KEEPER_HOLD_H
#define ADIT_KEEPER_HOLD_H

#include "daemon/conf.h"
#include "dp/carry.h"
#include "net.h"

#define HOLD_TEXT 256

/* The last one is made when it is asked for first, the others with the holder. */
enum hold_memory { HOLD_JOURNAL, HOLD_TABLE, HOLD_TRACE, HOLD_CONF, HOLD_MEMORIES };

struct hold;

/* Makes the shared memory for the limits of the configuration and the control listener, owned by
 * `uid` with group `gid`. */
int hold_new(const struct conf *c, uid_t uid, gid_t gid, struct hold **ret, char *text);

/* Close everything, and remove the control listener from the file system. NULL is fine. */
void hold_free(struct hold *h);

/*
 * Before an aditd begins: has the journal what this release keeps? After an upgrade it may be of a
 * former one: then a new journal takes its place, with all its records. One that cannot be read at
 * all is replaced by an empty one. 0 = it is fine as it is; 1 = replaced, `text` (HOLD_TEXT) says
 * how; negative errno: it stays, and `text` says why.
 */
int hold_journal_renew(struct hold *h, const struct conf *c, char *text);

/* Room for the texts of a configuration (HOLD_CONF). Negative errno, and why. */
int hold_conf(struct hold *h, char *text);

/* The descriptor, -1 = there is none. */
int hold_memory(const struct hold *h, enum hold_memory which, uint64_t *ret_size);
int hold_control(const struct hold *h);

/* The socket `s` of the configuration. *ret_fd, *ret_bound: what it is bound to. */
int hold_socket(struct hold *h, const struct conf_socket *s, int *ret_fd, struct addr *ret_bound,
		char *text);

/* While there is the right to enter them (CAP_SYS_ADMIN): make the sockets that lie in other
 * network namespaces. `say` is told of what could not be made. */
void hold_rooms(struct hold *h, const struct conf *c, void (*say)(void *arg, const char *text),
		void *arg);

/* The TUN device `name`, of which the caller has checked that it may be. `epoch` as in net.h. */
int hold_tun(struct hold *h, struct net *net, const char *name, bool ethernet, uint32_t epoch,
	     int *ret_fd, char *text);
bool hold_has_tun(const struct hold *h, const char *name);
/* Close and remove; fine when there is none. */
void hold_tun_drop(struct hold *h, struct net *net, const char *name);
/* Remove the devices last asked for before `epoch`. Returns how many. */
uint32_t hold_tun_sweep(struct hold *h, struct net *net, uint32_t epoch);

/* After a reload: the sockets that are no longer in the configuration are former ones, which the
 * aditd of `epoch` (as in net.h) may still use. */
void hold_reload(struct hold *h, const struct conf *c, uint32_t epoch);
/* A former socket, for the aditd of `epoch`; false: there is none. */
bool hold_former(struct hold *h, uint32_t via, uint32_t epoch, int *ret_fd, struct addr *ret_bound);
/* Close a former socket; fine when there is none. */
void hold_former_drop(struct hold *h, uint32_t via);
/* Close the former sockets that no aditd from `epoch` on has asked for. */
void hold_former_sweep(struct hold *h, uint32_t epoch);

/*
 * Over an upgrade of the keeper (dp/carry.h): hold_carry() writes what is held, hold_carried()
 * takes one record into what hold_blank() made: 0; 1 a record of no kind known here; -EBADMSG,
 * -ENOMEM. hold_whole(): nothing is missing. NULL: out of memory.
 */
void hold_carry(const struct hold *h, struct carry *c);
struct hold *hold_blank(void);
int hold_carried(struct hold *h, uint16_t tag, struct rcur v);
bool hold_whole(const struct hold *h);

/* How many sockets and devices there are. */
void hold_counts(const struct hold *h, uint32_t *ret_sockets, uint32_t *ret_tuns);

#endif
