/* SPDX-License-Identifier: MIT
 *
 * Trace records of src/ppp, see trace.h for the form.
 *
 * Packets: {a} protocol, {b} identifier, {c} octets, {d} code; the packet stands beside the record
 * (but never of PAP, it holds a password). The kinds of one protocol and direction follow each
 * other in the order of the codes, after one for codes that have no name.
 */
#ifndef ADIT_TRACE_PPP_H
#define ADIT_TRACE_PPP_H

#define TRACE_PPP_CP(X, name, word)                                                    \
	X(name##_CODE, TRACE_DEBUG, word " code {d}, id {b}, {c} octets")              \
	X(name##_CONF_REQ, TRACE_DEBUG, word " Configure-Request, id {b}, {c} octets") \
	X(name##_CONF_ACK, TRACE_DEBUG, word " Configure-Ack, id {b}, {c} octets")     \
	X(name##_CONF_NAK, TRACE_DEBUG, word " Configure-Nak, id {b}, {c} octets")     \
	X(name##_CONF_REJ, TRACE_DEBUG, word " Configure-Reject, id {b}, {c} octets")  \
	X(name##_TERM_REQ, TRACE_DEBUG, word " Terminate-Request, id {b}, {c} octets") \
	X(name##_TERM_ACK, TRACE_DEBUG, word " Terminate-Ack, id {b}, {c} octets")     \
	X(name##_CODE_REJ, TRACE_DEBUG, word " Code-Reject, id {b}, {c} octets")       \
	X(name##_PROTO_REJ, TRACE_DEBUG, word " Protocol-Reject, id {b}, {c} octets")  \
	X(name##_ECHO_REQ, TRACE_DEBUG, word " Echo-Request, id {b}, {c} octets")      \
	X(name##_ECHO_REP, TRACE_DEBUG, word " Echo-Reply, id {b}, {c} octets")        \
	X(name##_DISCARD, TRACE_DEBUG, word " Discard-Request, id {b}, {c} octets")    \
	X(name##_IDENT, TRACE_DEBUG, word " Identification, id {b}, {c} octets")       \
	X(name##_TIME, TRACE_DEBUG, word " Time-Remaining, id {b}, {c} octets")

#define TRACE_PPP_NCP(X, name, word)                                                   \
	X(name##_CODE, TRACE_DEBUG, word " code {d}, id {b}, {c} octets")              \
	X(name##_CONF_REQ, TRACE_DEBUG, word " Configure-Request, id {b}, {c} octets") \
	X(name##_CONF_ACK, TRACE_DEBUG, word " Configure-Ack, id {b}, {c} octets")     \
	X(name##_CONF_NAK, TRACE_DEBUG, word " Configure-Nak, id {b}, {c} octets")     \
	X(name##_CONF_REJ, TRACE_DEBUG, word " Configure-Reject, id {b}, {c} octets")  \
	X(name##_TERM_REQ, TRACE_DEBUG, word " Terminate-Request, id {b}, {c} octets") \
	X(name##_TERM_ACK, TRACE_DEBUG, word " Terminate-Ack, id {b}, {c} octets")     \
	X(name##_CODE_REJ, TRACE_DEBUG, word " Code-Reject, id {b}, {c} octets")

#define TRACE_PPP_PAP(X, name, word)                                                 \
	X(name##_CODE, TRACE_DEBUG, word " code {d}, id {b}, {c} octets")            \
	X(name##_REQ, TRACE_DEBUG, word " Authenticate-Request, id {b}, {c} octets") \
	X(name##_ACK, TRACE_DEBUG, word " Authenticate-Ack, id {b}, {c} octets")     \
	X(name##_NAK, TRACE_DEBUG, word " Authenticate-Nak, id {b}, {c} octets")

#define TRACE_PPP_CHAP(X, name, word)                                                           \
	X(name##_CODE, TRACE_DEBUG, word " code {d}, id {b}, {c} octets")                       \
	X(name##_CHALLENGE, TRACE_DEBUG, word " Challenge, id {b}, {c} octets")                 \
	X(name##_RESPONSE, TRACE_DEBUG, word " Response, id {b}, {c} octets")                   \
	X(name##_SUCCESS, TRACE_DEBUG, word " Success, id {b}, {c} octets")                     \
	X(name##_FAILURE, TRACE_DEBUG, word " Failure, id {b}, {c} octets")                     \
	X(name##_CHANGE_LM, TRACE_DEBUG,                                                        \
	  word " Change-Password of LAN Manager, id {b}, {c} octets")                           \
	X(name##_CHANGE_V1, TRACE_DEBUG, word " Change-Password version 2, id {b}, {c} octets") \
	X(name##_CHANGE_V2, TRACE_DEBUG, word " Change-Password version 3, id {b}, {c} octets")

#define TRACE_PPP_EAP(X, name, word)                                          \
	X(name##_CODE, TRACE_DEBUG, word " code {d}, id {b}, {c} octets")     \
	X(name##_REQUEST, TRACE_DEBUG, word " Request, id {b}, {c} octets")   \
	X(name##_RESPONSE, TRACE_DEBUG, word " Response, id {b}, {c} octets") \
	X(name##_SUCCESS, TRACE_DEBUG, word " Success, id {b}, {c} octets")   \
	X(name##_FAILURE, TRACE_DEBUG, word " Failure, id {b}, {c} octets")

#define TRACE_KINDS_PPP(X)                                                                         \
	TRACE_PPP_CP(X, PPP_IN_LCP, "received LCP")                                                \
	TRACE_PPP_NCP(X, PPP_IN_IPCP, "received IPCP")                                             \
	TRACE_PPP_NCP(X, PPP_IN_IPV6CP, "received IPv6CP")                                         \
	TRACE_PPP_PAP(X, PPP_IN_PAP, "received PAP")                                               \
	TRACE_PPP_CHAP(X, PPP_IN_CHAP, "received CHAP")                                            \
	TRACE_PPP_NCP(X, PPP_IN_CCP, "received CCP")                                               \
	TRACE_PPP_EAP(X, PPP_IN_EAP, "received EAP")                                               \
	TRACE_PPP_CP(X, PPP_OUT_LCP, "sent LCP")                                                   \
	TRACE_PPP_NCP(X, PPP_OUT_IPCP, "sent IPCP")                                                \
	TRACE_PPP_NCP(X, PPP_OUT_IPV6CP, "sent IPv6CP")                                            \
	TRACE_PPP_PAP(X, PPP_OUT_PAP, "sent PAP")                                                  \
	TRACE_PPP_NCP(X, PPP_OUT_CCP, "sent CCP")                                                  \
	TRACE_PPP_EAP(X, PPP_OUT_EAP, "sent EAP")                                                  \
	TRACE_PPP_CHAP(X, PPP_OUT_CHAP, "sent CHAP")                                               \
	X(PPP_DROP, TRACE_DEBUG, "dropped a frame of protocol {a:x}, {b} octets: {raw}")           \
	X(PPP_NO_ROOM, TRACE_DEBUG, "too many answers at once: one of protocol {a:x} is not sent") \
	X(PPP_STATE, TRACE_DEBUG, "{raw}")                                                         \
	X(PPP_ILLEGAL, TRACE_WARNING, "impossible in this state, ignored: {raw}")                  \
	X(PPP_PHASE, TRACE_DEBUG, "phase {raw}")                                                   \
	X(PPP_OPT_REJ, TRACE_DEBUG, "the peer's {raw} option {b} is rejected")                     \
	X(PPP_OPT_NAK, TRACE_DEBUG, "the peer's {raw} option {b} is Naked with another value")     \
	X(PPP_LCP_UP, TRACE_INFO, "LCP is open: MRU in {a}, out {b}")                              \
	X(PPP_ASK, TRACE_DEBUG, "asks who the user is: {raw}")                                     \
	X(PPP_AUTH_OK, TRACE_INFO, "user {raw} is authenticated")                                  \
	X(PPP_AUTH_BAD, TRACE_INFO, "user {raw} is refused because {a:cause}")                     \
	X(PPP_AUTH_DONE, TRACE_DEBUG, "authentication is complete")                                \
	X(PPP_HOLD, TRACE_DEBUG, "{raw}: our Ack waits for the data path")                         \
	X(PPP_IP_UP, TRACE_INFO, "IPCP is open: our address {a:ip4}, the peer's {b:ip4}")          \
	X(PPP_IPV6_UP, TRACE_INFO, "IPv6CP is open")                                               \
	X(PPP_NCP_DOWN, TRACE_INFO, "{raw} is closed")                                             \
	X(PPP_IP_END, TRACE_INFO, "there will be no IPv4: {raw}")                                  \
	X(PPP_IPV6_END, TRACE_INFO, "there will be no IPv6: {raw}")                                \
	X(PPP_CCP_UP, TRACE_INFO, "CCP is open: data is encrypted with {a} bit keys")              \
	X(PPP_CCP_END, TRACE_INFO, "there will be no encryption: {raw}")                           \
	X(PPP_NOTE, TRACE_INFO, "the peer says: {raw}")                                            \
	X(PPP_WAKE, TRACE_NOTICE, "time has jumped by {a} s: asking the peers before giving up")   \
	X(PPP_CLOSE, TRACE_INFO, "closing because {a:cause}: {raw}")                               \
	X(PPP_DOWN, TRACE_INFO, "the link ended because {a:cause}: {raw}")

#endif
