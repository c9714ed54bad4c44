/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/access, see trace.h for the form.
 */
#ifndef ADIT_TRACE_ACCESS_H
#define ADIT_TRACE_ACCESS_H

#define TRACE_KINDS_ACCESS(X)                                                                         \
	X(ACCESS_NOTE, TRACE_DEBUG, "{raw}")

#endif
