/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/ppp, see trace.h for the form. A protocol is shown by its number: c021 LCP,
 * c023 PAP, c223 CHAP, 8021 IPCP, 8057 IPv6CP.
 *
 * Packets: {a} protocol, {b} identifier, {c} octets, {d} code; the packet stands beside the record
 * (but never a PAP request, it holds a password). The kinds of one direction are consecutive: code
 * 0..13 of LCP and the network protocols, then 1..3 of PAP, then 1..4 of CHAP.
 */
#ifndef ADIT_TRACE_PPP_H
#define ADIT_TRACE_PPP_H

#define TRACE_PPP_PACKETS(X, dir, word)                                                            \
	X(PPP_##dir##_CODE, TRACE_DEBUG, word " {a:x} code {d}, id {b}, {c} octets")               \
	X(PPP_##dir##_CONF_REQ, TRACE_DEBUG, word " {a:x} Configure-Request, id {b}, {c} octets")  \
	X(PPP_##dir##_CONF_ACK, TRACE_DEBUG, word " {a:x} Configure-Ack, id {b}, {c} octets")      \
	X(PPP_##dir##_CONF_NAK, TRACE_DEBUG, word " {a:x} Configure-Nak, id {b}, {c} octets")      \
	X(PPP_##dir##_CONF_REJ, TRACE_DEBUG, word " {a:x} Configure-Reject, id {b}, {c} octets")   \
	X(PPP_##dir##_TERM_REQ, TRACE_DEBUG, word " {a:x} Terminate-Request, id {b}, {c} octets")  \
	X(PPP_##dir##_TERM_ACK, TRACE_DEBUG, word " {a:x} Terminate-Ack, id {b}, {c} octets")      \
	X(PPP_##dir##_CODE_REJ, TRACE_DEBUG, word " {a:x} Code-Reject, id {b}, {c} octets")        \
	X(PPP_##dir##_PROTO_REJ, TRACE_DEBUG, word " {a:x} Protocol-Reject, id {b}, {c} octets")   \
	X(PPP_##dir##_ECHO_REQ, TRACE_DEBUG, word " {a:x} Echo-Request, id {b}, {c} octets")       \
	X(PPP_##dir##_ECHO_REP, TRACE_DEBUG, word " {a:x} Echo-Reply, id {b}, {c} octets")         \
	X(PPP_##dir##_DISCARD, TRACE_DEBUG, word " {a:x} Discard-Request, id {b}, {c} octets")     \
	X(PPP_##dir##_IDENT, TRACE_DEBUG, word " {a:x} Identification, id {b}, {c} octets")        \
	X(PPP_##dir##_TIME, TRACE_DEBUG, word " {a:x} Time-Remaining, id {b}, {c} octets")         \
	X(PPP_##dir##_PAP_REQ, TRACE_DEBUG, word " PAP Authenticate-Request, id {b}, {c} octets")  \
	X(PPP_##dir##_PAP_ACK, TRACE_DEBUG, word " PAP Authenticate-Ack, id {b}, {c} octets")      \
	X(PPP_##dir##_PAP_NAK, TRACE_DEBUG, word " PAP Authenticate-Nak, id {b}, {c} octets")      \
	X(PPP_##dir##_CHAP_CHAL, TRACE_DEBUG, word " CHAP Challenge, id {b}, {c} octets")          \
	X(PPP_##dir##_CHAP_RESP, TRACE_DEBUG, word " CHAP Response, id {b}, {c} octets")           \
	X(PPP_##dir##_CHAP_OK, TRACE_DEBUG, word " CHAP Success, id {b}, {c} octets")              \
	X(PPP_##dir##_CHAP_FAIL, TRACE_DEBUG, word " CHAP Failure, id {b}, {c} octets")

#define TRACE_KINDS_PPP(X)                                                                         \
	TRACE_PPP_PACKETS(X, IN, "received")                                                       \
	TRACE_PPP_PACKETS(X, OUT, "sent")                                                          \
	X(PPP_DROP, TRACE_DEBUG, "dropped a frame of protocol {a:x}, {b} octets: {raw}")           \
	X(PPP_STATE, TRACE_DEBUG, "{a:x}: {raw}")                                                  \
	X(PPP_ILLEGAL, TRACE_WARNING, "{a:x}: impossible in this state, ignored: {raw}")           \
	X(PPP_PHASE, TRACE_DEBUG, "phase {raw}")                                                   \
	X(PPP_OPTION, TRACE_DEBUG, "{a:x} option {b}: {raw}")                                      \
	X(PPP_NO_ROOM, TRACE_DEBUG, "too many answers at once, one of protocol {a:x} not sent")    \
	X(PPP_LCP_UP, TRACE_INFO, "LCP is open: MRU in {a}, out {b}")                              \
	X(PPP_ASK, TRACE_DEBUG, "asks who the user is: {raw}")                                     \
	X(PPP_AUTH_OK, TRACE_INFO, "user {raw} is authenticated")                                  \
	X(PPP_AUTH_BAD, TRACE_NOTICE, "user {raw} is refused: {a:cause}")                          \
	X(PPP_AUTH_DONE, TRACE_DEBUG, "authentication is complete")                                \
	X(PPP_HOLD, TRACE_DEBUG, "{a:x}: our Ack waits for the data path")                         \
	X(PPP_IP_UP, TRACE_INFO, "IPCP is open: our address {a:ip4}, the peer's {b:ip4}")          \
	X(PPP_IPV6_UP, TRACE_INFO, "IPv6CP is open")                                               \
	X(PPP_NCP_DOWN, TRACE_INFO, "{a:x} is closed")                                             \
	X(PPP_NCP_END, TRACE_NOTICE, "{a:x} does not come up: {raw}")                              \
	X(PPP_NOTE, TRACE_INFO, "the peer says: {raw}")                                            \
	X(PPP_WAKE, TRACE_NOTICE, "time has jumped by {a} s: asking the peer before giving up")    \
	X(PPP_CLOSE, TRACE_INFO, "closing because {a:cause}: {raw}")                               \
	X(PPP_DOWN, TRACE_INFO, "the link ended because {a:cause}: {raw}")

#endif
