/* SPDX-License-Identifier: MIT
 *
 * The keeper's own socket, <control>.keeper (SOCK_SEQPACKET, proto.h): an aditd that another
 * service manager has started comes here for what `--run` gives it as a descriptor, and root asks
 * here for an upgrade. Who somebody is, the kernel says (SO_PEERCRED); what he wants, his first
 * datagram. It is not taken from the socket of an aditd: the server reads it there.
 */
#ifndef ADIT_KEEPER_GATE_H
#define ADIT_KEEPER_GATE_H

#include <poll.h>
#include <sys/types.h>

#include "dp/carry.h"

#define GATE_TEXT    256
#define GATE_CLIENTS 8 /* who have not said what they want; more push the first one out */
#define GATE_FDS     (1 + GATE_CLIENTS)

struct gate;

/* Make the socket beside `control`, for root and the group `gid`. Failures are negative errno with
 * `text` (GATE_TEXT). *ret_left: a former keeper has left its own there, so it has died. */
int gate_new(const char *control, gid_t gid, struct gate **ret, bool *ret_left, char *text);
void gate_free(struct gate *g); /* removes it from the file system; NULL is fine */

/* Descriptors to poll, at most GATE_FDS. NULL: none. */
size_t gate_poll(const struct gate *g, struct pollfd *fds);

enum gate_call { GATE_NOBODY, GATE_ADITD, GATE_UPGRADE };

/*
 * Who has come; GATE_NOBODY at the end. ADITD: *ret_fd is the caller's, with the first datagram
 * still in it; only a process of `uid` is taken for one, and only while `free`. UPGRADE: to be
 * answered by gate_answer(); a second one meanwhile is refused.
 */
enum gate_call gate_next(struct gate *g, uid_t uid, bool free, int *ret_fd, pid_t *ret_pid);

/* The end of the upgrade somebody has asked for, if anybody has: 0 or negative errno and why. */
void gate_answer(struct gate *g, int error, const char *text);

/* Over an upgrade: as in hold.h. The one who asked for it is carried, too. */
void gate_carry(const struct gate *g, struct carry *c);
struct gate *gate_blank(void);
int gate_carried(struct gate *g, uint16_t tag, struct rcur v);

#endif
