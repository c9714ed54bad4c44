/* SPDX-License-Identifier: MIT
 *
 * All kinds of trace records. Each engine's list stands in a file of its own beside that engine's
 * texts; this file only joins them, so that a kind is one number for the whole suite.
 */
#ifndef ADIT_TRACE_KINDS_H
#define ADIT_TRACE_KINDS_H

#include "trace_l2tp.h"
#include "trace_l2tp3.h"
#include "trace_ppp.h"
#include "trace_access.h"
#include "trace_daemon.h"

#define TRACE_KINDS_BASE(X) X(NOTE, TRACE_DEBUG, "{raw}")

#define TRACE_KINDS(X)        \
	TRACE_KINDS_BASE(X)   \
	TRACE_KINDS_L2TP(X)   \
	TRACE_KINDS_L2TP3(X)  \
	TRACE_KINDS_PPP(X)    \
	TRACE_KINDS_ACCESS(X) \
	TRACE_KINDS_DAEMON(X)

#endif
