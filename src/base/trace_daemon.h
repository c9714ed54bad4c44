/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/daemon, see trace.h for the form.
 */
#ifndef ADIT_TRACE_DAEMON_H
#define ADIT_TRACE_DAEMON_H

#define TRACE_KINDS_DAEMON(X)                                                                         \
	X(DAEMON_NOTE, TRACE_DEBUG, "{raw}")

#endif
