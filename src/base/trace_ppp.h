/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/ppp, see trace.h for the form.
 */
#ifndef ADIT_TRACE_PPP_H
#define ADIT_TRACE_PPP_H

#define TRACE_KINDS_PPP(X)                                                                         \
	X(PPP_NOTE, TRACE_DEBUG, "{raw}")

#endif
