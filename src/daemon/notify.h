/* SPDX-License-Identifier: MIT
 *
 * Telling systemd how we are, sd_notify(3): one datagram, so no library is needed. Without systemd
 * (no NOTIFY_SOCKET in the environment) nothing happens.
 */
#ifndef ADIT_DAEMON_NOTIFY_H
#define ADIT_DAEMON_NOTIFY_H

#include <stdint.h>

/* A line such as "READY=1". */
void notify_send(const char *line);

/* How often a "WATCHDOG=1" is due, in microseconds: half the time after which systemd loses its
 * patience. 0 = it does not want any. */
int64_t notify_watchdog(void);

#endif
