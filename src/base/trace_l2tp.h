/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/l2tp, see trace.h for the form.
 */
#ifndef ADIT_TRACE_L2TP_H
#define ADIT_TRACE_L2TP_H

#define TRACE_KINDS_L2TP(X)                                                                         \
	X(L2TP_NOTE, TRACE_DEBUG, "{raw}")

#endif
