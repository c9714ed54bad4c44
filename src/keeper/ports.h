/* SPDX-License-Identifier: MIT
 *
 * The interfaces of pseudowires in the bridges of the configuration. Whoever makes an interface
 * puts it into its bridge once. Bridges come and go, and interfaces are taken out of them: that is
 * said here, and an interface is put into its bridge again when there is one of that name again.
 * Who takes it out of a bridge that stays, or puts it into another one, has meant it: it is put
 * back by the next ports_conf(), but never taken from the other one.
 */
#ifndef ADIT_KEEPER_PORTS_H
#define ADIT_KEEPER_PORTS_H

#include <adit/types.h>
#include "base/trace.h"
#include "daemon/conf.h"
#include "dp/nl.h"
#include "net.h"

struct ports;

/* Has this keeper made it? */
typedef bool ports_own_fn(void *arg, const struct nlm_link *l);
typedef void ports_say_fn(void *arg, enum trace_level level, const char *text);

/* NULL: out of memory. Without netlink nothing is watched, which is said. */
struct ports *ports_new(struct net *net, ports_own_fn *own, ports_say_fn *say, void *arg);
void ports_free(struct ports *p);

/* A configuration is in force, again perhaps; it is there until the next one is. Returns what was
 * done with interfaces that others had taken out, in lines (KEEPER_TEXT_MAX); "" = nothing. Valid
 * until the next call. */
const char *ports_conf(struct ports *p, const struct conf *c, struct mono now);

/* Readable when an interface has changed while there are bridges in the configuration; -1 = never.
 */
int ports_fd(const struct ports *p);
void ports_read(struct ports *p, struct mono now);

/* Look at what has changed. */
struct mono ports_deadline(const struct ports *p);
void ports_expire(struct ports *p, struct mono now);

#endif
