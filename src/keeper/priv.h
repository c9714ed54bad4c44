/* SPDX-License-Identifier: MIT
 *
 * Who runs with which rights.
 */
#ifndef ADIT_KEEPER_PRIV_H
#define ADIT_KEEPER_PRIV_H

#include <stdbool.h>
#include <sys/types.h>

#define PRIV_TEXT 256

/* The user aditd runs as: `name`, or nobody when there is no such user; *ret_found says which. */
int priv_user(const char *name, uid_t *ret_uid, gid_t *ret_gid, bool *ret_found, char *text);

/*
 * The keeper gives up what it does not need: it keeps CAP_NET_ADMIN (devices, addresses, routes),
 * CAP_NET_RAW (SO_BINDTODEVICE), CAP_SETUID and CAP_SETGID (to start aditd as its user), CAP_KILL
 * (to signal it), and CAP_NET_BIND_SERVICE if `low_port`. The bounding set goes too, so hook
 * programs run as root with these capabilities and no others. 0 or negative errno.
 */
int priv_drop(bool low_port);

/* In a child: become the user, for good, without any capability. 0 or negative errno. */
int priv_become(uid_t uid, gid_t gid);

#endif
