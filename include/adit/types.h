/* SPDX-License-Identifier: MIT
 *
 * Types that every engine shares: time, addresses, paths, handles and the causes of an end.
 *
 * The engines (l2tp.h, ppp.h) do no I/O, read no clock and call nobody back. Bytes, commands and
 * the time go in; bytes, events and the next deadline come out:
 *
 *     x_input(e, now, ...)     bytes have come
 *     x_do(e, now, &cmd)       the owner wants something, or answers a question of an event
 *     x_expire(e, now)         time has passed
 *     x_deadline(e)            when to call x_expire next
 *     x_output(e, ...)         take the next packet to send, until there is none
 *     x_event(e, &ev)          take the next thing that happened, until there is none
 *
 * Act, then drain: after each x_input, x_do or x_expire the owner takes all events. Then, or after
 * a batch of at most 64 packets, it commits what has to outlive the process, and takes all output.
 * Return values: negative is a failure of our own (-ENOMEM, forwarded unchanged), 0 is done,
 * positive is a documented outcome. A mistake of the peer is never a negative return.
 */
#ifndef ADIT_TYPES_H
#define ADIT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An instant: CLOCK_BOOTTIME in microseconds. Durations are plain int64_t with `_us` in the name.
 */
struct mono {
	int64_t us;
};

#define MONO_NEVER ((struct mono){ INT64_MAX })
#define US_MS	   ((int64_t)1000)
#define US_S	   ((int64_t)1000000)

/* Add a duration; MONO_NEVER stays MONO_NEVER and the sum saturates. */
static inline struct mono mono_add(struct mono t, int64_t d_us)
{
	if (t.us == INT64_MAX || (d_us > 0 && t.us > INT64_MAX - d_us)) {
		struct mono never = { INT64_MAX };
		return never;
	}
	t.us += d_us;
	return t;
}

/* True when `t` has been reached at `now`. */
static inline bool mono_due(struct mono t, struct mono now)
{
	return t.us <= now.us;
}

static inline struct mono mono_min(struct mono a, struct mono b)
{
	return a.us < b.us ? a : b;
}

/*
 * A transport address. `family` is AF_INET, AF_INET6 or 0 (none); `ip` is in network order, IPv4 in
 * the first four octets and the rest zero; `port` is in host order; `scope` is the interface index
 * of an IPv6 link-local address, else 0. Unused octets are zero, so two addresses are equal when
 * all their fields are.
 */
struct addr {
	uint16_t family;
	uint16_t port;
	uint32_t scope;
	uint8_t ip[16];
};

/*
 * The way between two ends. `via` names the listener with its namespace, VRF and mark; it is given
 * out by the owner of the sockets and means nothing to an engine but "the same or not". Replies
 * leave from `local`.
 */
struct path {
	uint32_t via;
	struct addr local, remote;
};

/* Longest text of addr_text() and path_text(), with the terminating NUL. */
#define ADDR_TEXT_MAX 72
#define PATH_TEXT_MAX 160

/*
 * A handle to an object inside an engine: index and generation in one word. 0 is "none". A handle
 * that outlives its object is recognised and refused, it never reaches another object.
 */
typedef uint64_t adit_handle;

/*
 * Why something ended. X(NAME, "sentence fragment for people"). The text completes "the session
 * ended because ...". The numbers are kept for ever (journal, accounting): append only.
 */
#define ADIT_CAUSES(X)                                                                      \
	X(NONE, "no cause was given")                                                       \
	X(ADMIN, "an administrator closed it")                                              \
	X(SHUTDOWN, "the daemon is shutting down")                                          \
	X(PEER_CLOSED_PPP, "the peer closed the PPP link")                                  \
	X(PEER_CLOSED_SESSION, "the peer closed the session (CDN)")                         \
	X(PEER_CLOSED_TUNNEL, "the peer closed the tunnel (StopCCN)")                       \
	X(TUNNEL_LOST, "the peer stopped answering control messages")                       \
	X(LCP_ECHO_LOST, "the peer stopped answering LCP echo requests")                    \
	X(SESSION_TIMEOUT, "the session time limit was reached")                            \
	X(IDLE_TIMEOUT, "no data passed for the idle time limit")                           \
	X(AUTH_FAILED, "the user name or the password was wrong")                           \
	X(AUTH_REFUSED, "the user is not allowed to connect")                               \
	X(AUTH_TIMEOUT, "authentication was not finished in time")                          \
	X(AUTH_NO_METHOD, "no authentication method suits both sides")                      \
	X(PEER_AUTH_FAILED, "the peer refused our login")                                   \
	X(TUNNEL_AUTH_FAILED, "the tunnel secrets of the two sides differ")                 \
	X(TUNNEL_REFUSED, "no peer block of the configuration accepts this tunnel")         \
	X(LCP_TIMEOUT, "the peer did not answer LCP")                                       \
	X(LCP_NO_AGREEMENT, "the two sides could not agree on LCP options")                 \
	X(NCP_TIMEOUT, "no network protocol came up in time")                               \
	X(NCP_NO_AGREEMENT, "the two sides could not agree on an address")                  \
	X(PROTOCOL_REJECTED, "the peer rejected a protocol that is required")               \
	X(LOOP, "the link is looped back to us")                                            \
	X(NO_ADDRESS, "the address pool is exhausted")                                      \
	X(ADDRESS_IN_USE, "the address of this user is in use by another session")          \
	X(LIMIT_TUNNELS, "the limit of tunnels is reached")                                 \
	X(LIMIT_SESSIONS, "the limit of sessions is reached")                               \
	X(LIMIT_USER, "the limit of sessions for this user is reached")                     \
	X(SETUP_TIMEOUT, "it was not established in time")                                  \
	X(PROTOCOL_ERROR, "the peer broke the protocol")                                    \
	X(NO_MEMORY, "the machine is out of memory")                                        \
	X(DATA_PLANE, "the data plane could not carry the session")                         \
	X(RESTART, "it was being set up when the daemon restarted")                         \
	X(JOURNAL, "its record in the journal could not be read")                           \
	X(NAME_NOT_FOUND, "the name of the server could not be resolved")                   \
	X(NO_ROUTE, "there is no route to the server")                                      \
	X(REPLACED, "the same peer connected again")                                        \
	X(CONFIG, "the configuration was changed")                                          \
	X(UNREACHABLE, "the server did not answer")                                         \
	X(TIE_LOST, "the peer opened the same tunnel at the same time and its request won") \
	X(PEER_UNPROVEN, "the server could not prove that it knows the password")           \
	X(NO_ENCRYPTION, "encryption is required and could not be agreed")                  \
	X(NO_DIAL_OUT, "the peer does not place such calls")                                \
	X(CALL_REFUSED, "no session block of the configuration takes this call")            \
	X(PW_TYPE, "the peer does not support this type of pseudowire")                     \
	X(NO_SOCKET, "there is no socket to send from")

enum adit_cause {
#define X(name, text) ADIT_CAUSE_##name,
	ADIT_CAUSES(X)
#undef X
		ADIT_CAUSE_COUNT
};

#ifdef __cplusplus
}
#endif
#endif
