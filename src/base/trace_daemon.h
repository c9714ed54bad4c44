/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/daemon, see trace.h for the form: what it has to say for itself stands as
 * text beside the record; the kind is its level.
 */
#ifndef ADIT_TRACE_DAEMON_H
#define ADIT_TRACE_DAEMON_H

#define TRACE_KINDS_DAEMON(X)                   \
	X(DAEMON_DEBUG, TRACE_DEBUG, "{raw}")   \
	X(DAEMON_INFO, TRACE_INFO, "{raw}")     \
	X(DAEMON_NOTICE, TRACE_NOTICE, "{raw}") \
	X(DAEMON_WARNING, TRACE_WARNING, "{raw}")

#endif
