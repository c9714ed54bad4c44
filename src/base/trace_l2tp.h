/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/l2tp, see trace.h for the form. The handle of a record is the tunnel's in
 * L2TP_TUNNEL_* and in messages, the session's in L2TP_SESSION_*, 0 where there is neither.
 * Messages have their octets beside them (UDP payload), for `adit capture`.
 */
#ifndef ADIT_TRACE_L2TP_H
#define ADIT_TRACE_L2TP_H

#define TRACE_KINDS_L2TP(X)                                                                        \
	X(L2TP_IN, TRACE_DEBUG, "<- {m} Ns {b} Nr {c} session {d}")                                \
	X(L2TP_OUT, TRACE_DEBUG, "-> {m} Ns {b} Nr {c} session {d}")                               \
	X(L2TP_OUT_AGAIN, TRACE_DEBUG, "-> {m} again, Ns {b} Nr {c} session {d}")                  \
	X(L2TP_REPEATED, TRACE_DEBUG, "<- a repeated message: Ns {b}, {c} is expected")            \
	X(L2TP_EARLY, TRACE_DEBUG, "<- a message ahead of its turn: Ns {b}, {c} is expected")      \
	X(L2TP_ODD_NR, TRACE_DEBUG, "Nr {a} acknowledges what was never sent, the next is {b}")    \
	X(L2TP_AVP_SKIPPED, TRACE_DEBUG, "{m}: {raw}")                                             \
	X(L2TP_MESSAGE_BAD, TRACE_NOTICE, "{m} refused, result {b} error {c}: {raw}")              \
	X(L2TP_MESSAGE_IGNORED, TRACE_DEBUG, "{m} acknowledged and ignored: {raw}")                \
	X(L2TP_DROP_HEADER, TRACE_DEBUG, "dropped {a}: broken header ({b}) from {raw}")            \
	X(L2TP_DROP_TUNNEL, TRACE_DEBUG, "dropped {a}: no tunnel has the id {b}, from {raw}")      \
	X(L2TP_DROP_SESSION, TRACE_DEBUG, "dropped {a}: no session has the id {b}, from {raw}")    \
	X(L2TP_DROP_PATH, TRACE_DEBUG,                                                             \
	  "dropped {a}: for tunnel {b}, but from {raw}, which is not its peer")                    \
	X(L2TP_DROP_STATE, TRACE_DEBUG,                                                            \
	  "dropped {a}: session or tunnel {b} is not open for it, from {raw}")                     \
	X(L2TP_DROP_SEQUENCE, TRACE_DEBUG,                                                         \
	  "dropped {a}: data of session {b} out of sequence, from {raw}")                          \
	X(L2TP_DROP_AVP, TRACE_DEBUG,                                                              \
	  "dropped {a}: a message of type {b} that cannot be used, from {raw}")                    \
	X(L2TP_DROP_WINDOW, TRACE_DEBUG,                                                           \
	  "dropped {a}: Ns {b} is outside the receive window, from {raw}")                         \
	X(L2TP_DROP_LIMIT, TRACE_DEBUG, "dropped {a}: a limit is reached ({b}), from {raw}")       \
	X(L2TP_STRANGER_REFUSED, TRACE_NOTICE, "SCCRQ refused, result {a} error {b}: {raw}")       \
	X(L2TP_STRANGERS, TRACE_DEBUG,                                                             \
	  "{a} requests of strangers are not recorded: too many came")                             \
	X(L2TP_TUNNEL_DIAL, TRACE_INFO, "tunnel {a}: opening to {raw}")                            \
	X(L2TP_TUNNEL_ASK, TRACE_INFO, "tunnel {a}: asked for by {raw}, its id there is {b}")      \
	X(L2TP_TUNNEL_ACCEPTED, TRACE_DEBUG, "tunnel {a}: accepted, its id there is {b}")          \
	X(L2TP_TUNNEL_FOLLOW, TRACE_NOTICE, "tunnel {a}: the peer answers from {raw}")             \
	X(L2TP_TUNNEL_YIELD, TRACE_INFO,                                                           \
	  "tunnel {a}: waits, since the peer opened tunnel {b} at the same time and won")          \
	X(L2TP_TUNNEL_TIE_WON, TRACE_INFO,                                                         \
	  "tunnel {a}: the peer opened one at the same time and lost; its request is ignored")     \
	X(L2TP_TUNNEL_UP, TRACE_INFO, "tunnel {a}: up with {raw}, its id there is {b}")            \
	X(L2TP_TUNNEL_QUIET, TRACE_DEBUG, "tunnel {a}: nothing heard")                             \
	X(L2TP_TUNNEL_SUSPENDED, TRACE_INFO, "time has jumped by {a} seconds: asking {b} tunnels") \
	X(L2TP_TUNNEL_END, TRACE_INFO,                                                             \
	  "tunnel {a}: ended because {b:cause}; result {c} error {d} {raw}")                       \
	X(L2TP_TUNNEL_GONE, TRACE_DEBUG, "tunnel {a}: its id rests now")                           \
	X(L2TP_SESSION_OPEN, TRACE_DEBUG, "session {b} in tunnel {a}: queued")                     \
	X(L2TP_SESSION_ASK, TRACE_DEBUG,                                                           \
	  "session {b} in tunnel {a}: asked for, its id there is {c}")                             \
	X(L2TP_SESSION_UP, TRACE_INFO, "session {b} in tunnel {a}: up, its id there is {c}")       \
	X(L2TP_SESSION_END, TRACE_INFO,                                                            \
	  "session {a}: ended because {b:cause}; result {c} error {d} {raw}")                      \
	X(L2TP_SESSION_REFUSED, TRACE_INFO,                                                        \
	  "call of the peer's session {a} refused, result {b} error {c}: {raw}")                   \
	X(L2TP_LOADED, TRACE_DEBUG, "tunnel {a} session {b}: taken over from its record")          \
	X(L2TP_TUNNEL_DOUBT, TRACE_INFO,                                                           \
	  "tunnel {a}: the peer may have forgotten it ({b} there): it is asked")

#endif
