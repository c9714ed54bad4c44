/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/access, see trace.h for the form. The handle is the key of the session or
 * tunnel, 0 where there is none.
 */
#ifndef ADIT_TRACE_ACCESS_H
#define ADIT_TRACE_ACCESS_H

#define TRACE_KINDS_ACCESS(X)                                                                      \
	X(ACCESS_CONF, TRACE_INFO, "configuration {a} in use: {b} peer blocks, {c} dials")         \
	X(ACCESS_SHUTDOWN, TRACE_INFO, "shutting down: {a} tunnels, {b} sessions")                 \
	X(ACCESS_TUNNEL_TAKEN, TRACE_INFO, "tunnel {a} accepted from {raw}")                       \
	X(ACCESS_TUNNEL_REFUSED, TRACE_NOTICE, "tunnel refused because {a:cause}: {raw}")          \
	X(ACCESS_STRANGERS, TRACE_NOTICE, "{a} more requests of strangers are not told of")        \
	X(ACCESS_TUNNEL_OPEN, TRACE_INFO, "tunnel {a} dialled for {raw}")                          \
	X(ACCESS_TUNNEL_UP, TRACE_INFO, "tunnel {a} up, theirs {b}: {raw}")                        \
	X(ACCESS_TUNNEL_DOWN, TRACE_INFO, "tunnel {a} down because {b:cause}: {raw}")              \
	X(ACCESS_TUNNEL_FAILED, TRACE_NOTICE, "tunnel {a} failed because {b:cause}: {raw}")        \
	X(ACCESS_TUNNEL_LIMIT, TRACE_WARNING, "no tunnel could be made: {a:cause}")                \
	X(ACCESS_SESSION_CALL, TRACE_INFO, "session in tunnel {a}, ours {b}, theirs {c}: {raw}")   \
	X(ACCESS_SESSION_REFUSED, TRACE_NOTICE, "session in tunnel {a} refused because {b:cause}") \
	X(ACCESS_SESSION_LINK, TRACE_DEBUG, "L2TP session is up, PPP begins")                      \
	X(ACCESS_AUTH_ASK, TRACE_INFO, "login as {raw}")                                           \
	X(ACCESS_AUTH_YES, TRACE_INFO, "login accepted: {raw}")                                    \
	X(ACCESS_AUTH_NO, TRACE_INFO, "login refused because {a:cause}: {raw}")                    \
	X(ACCESS_AUTH_WAIT, TRACE_INFO, "login waits until another session has ended")             \
	X(ACCESS_LEASE4, TRACE_DEBUG, "address {a:ip4}")                                           \
	X(ACCESS_LEASE6, TRACE_DEBUG, "prefix {a:x} {b:x} /{c}")                                   \
	X(ACCESS_NCP, TRACE_DEBUG, "network protocol {a:x}: {raw}")                                \
	X(ACCESS_ROW_PUT, TRACE_DEBUG, "data plane row {a} wanted, MTU {b}, flags {c:x}")          \
	X(ACCESS_ROW_DEL, TRACE_DEBUG, "data plane row {a} to be removed")                         \
	X(ACCESS_ROW_DONE, TRACE_DEBUG, "data plane: {a} of row {b} done")                         \
	X(ACCESS_ROW_FAILED, TRACE_WARNING, "data plane: {raw}")                                   \
	X(ACCESS_UP, TRACE_INFO, "session up: {raw}, address {a:ip4}, MTU {b}")                    \
	X(ACCESS_ENDING, TRACE_INFO, "session ends because {a:cause}: {raw}")                      \
	X(ACCESS_DOWN, TRACE_INFO, "session down because {a:cause}, after {b} s: {raw}")           \
	X(ACCESS_RA, TRACE_DEBUG, "router advertisement sent, {a} more to come")                   \
	X(ACCESS_RS, TRACE_DEBUG, "router solicitation {a} sent")                                  \
	X(ACCESS_RA_TAKEN, TRACE_INFO, "router advertisement taken: prefix {a:x} {b:x} /{c}")      \
	X(ACCESS_DIAL_RESOLVE, TRACE_INFO, "dialling {raw}, attempt {a}")                          \
	X(ACCESS_DIAL_FAILED, TRACE_NOTICE, "session {raw}")                                       \
	X(ACCESS_DIAL_WAIT, TRACE_INFO, "next attempt in {a} ms: {raw}")                           \
	X(ACCESS_DIAL_IDLE, TRACE_INFO, "no further attempt: {raw}")                               \
	X(ACCESS_LINE, TRACE_DEBUG, "accounting line {a}")                                         \
	X(ACCESS_LOAD_TUNNEL, TRACE_INFO, "tunnel {a} is back: {raw}")                             \
	X(ACCESS_LOAD_SESSION, TRACE_INFO, "session is back, state {a}: {raw}")                    \
	X(ACCESS_LOAD_BAD, TRACE_WARNING, "a record of kind {a} could not be used: {raw}")         \
	X(ACCESS_NO_MEMORY, TRACE_WARNING, "out of memory: {raw}")                                 \
	X(ACCESS_NOTE, TRACE_DEBUG, "{raw}")                                                       \
	X(ACCESS_CIRCUIT, TRACE_NOTICE, "the circuit of the peer {raw}")

#endif
