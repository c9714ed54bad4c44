/* SPDX-License-Identifier: MIT
 *
 * Trace records of the L2TPv3 engine (src/l2tp/v3*.c), see trace.h for the form. The handle of a
 * record is the connection's in L2TP3_CONN_* and in messages, the session's in L2TP3_SESSION_*, 0
 * where there is neither. Messages have their octets beside them, from the T bit, also over IP.
 */
#ifndef ADIT_TRACE_L2TP3_H
#define ADIT_TRACE_L2TP3_H

#define TRACE_KINDS_L2TP3(X)                                                                       \
	X(L2TP3_IN, TRACE_DEBUG, "<- {m} Ns {b} Nr {c}")                                           \
	X(L2TP3_OUT, TRACE_DEBUG, "-> {m} Ns {b} Nr {c}")                                          \
	X(L2TP3_OUT_AGAIN, TRACE_DEBUG, "-> {m} again, Ns {b} Nr {c}")                             \
	X(L2TP3_REPEATED, TRACE_DEBUG, "<- a repeated message: Ns {b}, {c} is expected")           \
	X(L2TP3_EARLY, TRACE_DEBUG, "<- a message ahead of its turn: Ns {b}, {c} is expected")     \
	X(L2TP3_ODD_NR, TRACE_DEBUG, "Nr {a} acknowledges what was never sent, the next is {b}")   \
	X(L2TP3_AVP_SKIPPED, TRACE_DEBUG, "{m}: {raw}")                                            \
	X(L2TP3_MESSAGE_BAD, TRACE_NOTICE, "{m} refused, result {b} error {c}: {raw}")             \
	X(L2TP3_MESSAGE_IGNORED, TRACE_DEBUG, "{m} acknowledged and ignored: {raw}")               \
	X(L2TP3_DROP_HEADER, TRACE_DEBUG, "dropped {a}: broken header ({b}) from {raw}")           \
	X(L2TP3_DROP_CONN, TRACE_DEBUG, "dropped {a}: no connection has the id {b}, from {raw}")   \
	X(L2TP3_DROP_SESSION, TRACE_DEBUG, "dropped {a}: no session has the id {b}, from {raw}")   \
	X(L2TP3_DROP_PATH, TRACE_DEBUG,                                                            \
	  "dropped {a}: for connection {b}, but from {raw}, which is not its peer")                \
	X(L2TP3_DROP_STATE, TRACE_DEBUG,                                                           \
	  "dropped {a}: session or connection {b} is not open for it, from {raw}")                 \
	X(L2TP3_DROP_SEQUENCE, TRACE_DEBUG,                                                        \
	  "dropped {a}: data of session {b} out of sequence, from {raw}")                          \
	X(L2TP3_DROP_AVP, TRACE_DEBUG,                                                             \
	  "dropped {a}: a message of type {b} that cannot be used, from {raw}")                    \
	X(L2TP3_DROP_WINDOW, TRACE_DEBUG,                                                          \
	  "dropped {a}: Ns {b} is outside the receive window, from {raw}")                         \
	X(L2TP3_DROP_LIMIT, TRACE_DEBUG, "dropped {a}: a limit is reached ({b}), from {raw}")      \
	X(L2TP3_DROP_DIGEST, TRACE_DEBUG,                                                          \
	  "dropped {a}: the digest of a message for connection {b} is wrong or missing, from "     \
	  "{raw}")                                                                                 \
	X(L2TP3_DROP_COOKIE, TRACE_DEBUG,                                                          \
	  "dropped {a}: data of session {b} with a wrong cookie, from {raw}")                      \
	X(L2TP3_STRANGER_REFUSED, TRACE_NOTICE, "SCCRQ refused, result {a} error {b}: {raw}")      \
	X(L2TP3_STRANGERS, TRACE_DEBUG,                                                            \
	  "{a} requests of strangers are not recorded: too many came")                             \
	X(L2TP3_CONN_DIAL, TRACE_INFO, "connection {a}: opening to {raw}")                         \
	X(L2TP3_CONN_ASK, TRACE_INFO, "connection {a}: asked for by {raw}, its id there is {b}")   \
	X(L2TP3_CONN_ACCEPTED, TRACE_DEBUG, "connection {a}: accepted, its id there is {b}")       \
	X(L2TP3_CONN_FOLLOW, TRACE_NOTICE, "connection {a}: the peer answers from {raw}")          \
	X(L2TP3_CONN_YIELD, TRACE_INFO,                                                            \
	  "connection {a}: waits, since the peer opened connection {b} at the same time and won")  \
	X(L2TP3_CONN_TIE_WON, TRACE_INFO,                                                          \
	  "connection {a}: the peer opened one at the same time and lost; its request is refused") \
	X(L2TP3_CONN_TIE_EQUAL, TRACE_INFO,                                                        \
	  "connection {a}: both sides chose the same tie breaker; asking again")                   \
	X(L2TP3_CONN_UP, TRACE_INFO, "connection {a}: up with {raw}, its id there is {b}")         \
	X(L2TP3_CONN_QUIET, TRACE_DEBUG, "connection {a}: nothing heard")                          \
	X(L2TP3_CONN_SUSPENDED, TRACE_INFO,                                                        \
	  "time has jumped by {a} seconds: asking {b} connections")                                \
	X(L2TP3_CONN_END, TRACE_INFO,                                                              \
	  "connection {a}: ended because {b:cause}; result {c} error {d} {raw}")                   \
	X(L2TP3_CONN_GONE, TRACE_DEBUG, "connection {a}: its id rests now")                        \
	X(L2TP3_SESSION_OPEN, TRACE_DEBUG, "session {b} in connection {a}: queued")                \
	X(L2TP3_SESSION_ASK, TRACE_DEBUG,                                                          \
	  "session {b} in connection {a}: asked for, its id there is {c}")                         \
	X(L2TP3_SESSION_TIE_WON, TRACE_INFO,                                                       \
	  "session {b} in connection {a}: the peer asked for the same circuit and lost")           \
	X(L2TP3_SESSION_TIE_LOST, TRACE_INFO,                                                      \
	  "session {b} in connection {a}: the peer asked for the same circuit and won")            \
	X(L2TP3_SESSION_TIE_EQUAL, TRACE_INFO,                                                     \
	  "session {b} in connection {a}: both sides chose the same tie breaker; asking again")    \
	X(L2TP3_SESSION_UP, TRACE_INFO, "session {b} in connection {a}: up, its id there is {c}")  \
	X(L2TP3_SESSION_STATUS, TRACE_INFO,                                                        \
	  "session {b} in connection {a}: the peer's circuit has the status {c:x}")                \
	X(L2TP3_SESSION_END, TRACE_INFO,                                                           \
	  "session {a}: ended because {b:cause}; result {c} error {d} {raw}")                      \
	X(L2TP3_SESSION_REFUSED, TRACE_INFO,                                                       \
	  "request of the peer's session {a} refused, result {b} error {c}: {raw}")                \
	X(L2TP3_LOADED, TRACE_DEBUG, "connection {a} session {b}: taken over from its record")     \
	X(L2TP3_CONN_DOUBT, TRACE_INFO,                                                            \
	  "connection {a}: the peer may have forgotten it ({b} there): it is asked")

#endif
