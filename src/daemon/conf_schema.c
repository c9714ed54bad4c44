/* SPDX-License-Identifier: MIT
 *
 * The table of all options, and how the text of one value is checked. Whatever else knows options
 * (parser, printer, manual page) takes them from here.
 */
#include "conf_tree.h"

#include <adit/ppp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S    INT64_C(1000) /* milliseconds */
#define MIN  (60 * S)
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)

static const char *const kind_names[] = {
	[CONF_GLOBAL] = "",	    [CONF_LISTEN] = "listen",	[CONF_POOL] = "pool",
	[CONF_PROFILE] = "profile", [CONF_PEER] = "peer",	[CONF_SESSION] = "session",
	[CONF_TUNNEL] = "tunnel",   [CONF_WIRE] = "pseudowire",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == CONF_KIND_COUNT, "one name a kind");

/* clang-format off */
static const struct conf_key schema[] = {
	/* ---- global ---- */
	{ CONF_GLOBAL, "host-name", CONF_T_TEXT, 0, NULL, 1, 63, NULL,
	  "name told to peers; without it the machine's host name" },
	{ CONF_GLOBAL, "user", CONF_T_TEXT, 0, "adit", 1, 32, NULL,
	  "user that aditd runs as" },
	{ CONF_GLOBAL, "control", CONF_T_PATH, 0, CONF_CONTROL, 1, CONF_CONTROL_MAX - 1, NULL,
	  "control socket" },
	{ CONF_GLOBAL, "state-directory", CONF_T_PATH, 0, "/var/lib/adit", 1, CONF_PATH_MAX - 1, NULL,
	  "directory for what must outlive a restart of the machine" },
	{ CONF_GLOBAL, "log", CONF_T_CHOICE, 0, "auto", 0, 0, "auto|stderr|syslog|journal",
	  "where log lines go; auto: the journal when started by systemd, else standard error" },
	{ CONF_GLOBAL, "log-level", CONF_T_CHOICE, 0, "notice", 0, 0, "debug|info|notice|warning",
	  "least level of lines that are logged" },
	{ CONF_GLOBAL, "accounting", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file to which accounting records are appended, one JSON object a line" },
	{ CONF_GLOBAL, "interface", CONF_T_IFNAME, 0, "adit0", 0, 0, NULL,
	  "TUN interface of the sessions that others dial" },
	{ CONF_GLOBAL, "data-plane", CONF_T_CHOICE, 0, "auto", 0, 0, "auto|kernel|user",
	  "who carries the data: the kernel, aditd in user space, or the kernel where it can" },
	{ CONF_GLOBAL, "session-interface", CONF_T_IFNAME, 0, "l2tp", 0, 0, NULL,
	  "name, followed by a number, of the interface each session has in the kernel" },
	{ CONF_GLOBAL, "interface-groups", CONF_T_NUMBER, 0, "1", 1, CONF_GROUPS_MAX, NULL,
	  "set of interface groups that the interfaces in the kernel's data plane are in, one a keeper" },
	{ CONF_GLOBAL, "max-tunnels", CONF_T_NUMBER, 0, "20000", 1, 65534, NULL,
	  "tunnels at most" },
	{ CONF_GLOBAL, "max-sessions", CONF_T_NUMBER, 0, "100000", 1, 10000000, NULL,
	  "sessions at most" },
	{ CONF_GLOBAL, "stop-rate", CONF_T_NUMBER, 0, "0", 0, 100000, NULL,
	  "sessions that end a second when adit is stopped, one peer told after the other; 0: all at once" },
	{ CONF_GLOBAL, "sandbox", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "end aditd when it makes a system call that it has no business with; no: for debugging" },

	/* ---- listen ---- */
	{ CONF_LISTEN, "address", CONF_T_ADDR, 0, NULL, 0, 0, NULL,
	  "address to listen on; without it all addresses, IPv4 and IPv6" },
	{ CONF_LISTEN, "encapsulation", CONF_T_CHOICE, 0, "udp", 0, 0, "udp|ip",
	  "what L2TP is carried in: UDP, or IP alone (protocol 115, L2TPv3 only)" },
	{ CONF_LISTEN, "port", CONF_T_NUMBER, 0, "1701", 1, 65535, NULL,
	  "UDP port" },
	{ CONF_LISTEN, "device", CONF_T_IFNAME, 0, NULL, 0, 0, NULL,
	  "only packets that come in on this interface or VRF" },
	{ CONF_LISTEN, "namespace", CONF_T_TEXT, 0, NULL, 1, CONF_NAME - 1, NULL,
	  "network namespace that the socket lies in" },
	{ CONF_LISTEN, "mark", CONF_T_NUMBER, 0, "0", 0, UINT32_MAX, NULL,
	  "mark of the packets that leave, for rules of the routing and the packet filter; 0: none" },

	/* ---- pool ---- */
	{ CONF_POOL, "addresses", CONF_T_RANGE4, CONF_K_LIST, NULL, 0, 0, NULL,
	  "IPv4 prefixes and ranges to give out" },
	{ CONF_POOL, "prefixes", CONF_T_PREFIX6, CONF_K_LIST, NULL, 0, 0, NULL,
	  "IPv6 prefixes to give out, in pieces of prefix-length" },
	{ CONF_POOL, "prefix-length", CONF_T_NUMBER, 0, "64", 32, 64, NULL,
	  "length of the IPv6 prefix that one session gets" },

	/* ---- profile ---- */
	{ CONF_PROFILE, "auth", CONF_T_CHOICE, CONF_K_LIST, "chap", 0, 0,
	  "mschapv2|eap|chap|pap|mschapv1|none",
	  "how users log in, in the order that is asked for; none: nobody has to" },
	{ CONF_PROFILE, "mppe", CONF_T_CHOICE, 0, "off", 0, 0, "off|prefer|require",
	  "encrypt data with MPPE, needs auth = mschapv2 or eap and a data plane that can" },
	{ CONF_PROFILE, "mppe-strength", CONF_T_CHOICE, CONF_K_LIST, "128", 0, 0, "128|56|40",
	  "key lengths in bits that may be used; 56 and 40 can be broken by anyone" },
	{ CONF_PROFILE, "users", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file with users and passwords, see adit-users(5)" },
	{ CONF_PROFILE, "pool", CONF_T_REF, 0, NULL, 0, 0, "pool",
	  "pool the addresses come from; without it only users with an address of their own" },
	{ CONF_PROFILE, "local-address", CONF_T_ADDR4, 0, NULL, 0, 0, NULL,
	  "our address inside the sessions; without it the first of the pool" },
	{ CONF_PROFILE, "dns", CONF_T_ADDR, CONF_K_LIST, NULL, 0, 4, NULL,
	  "name servers told to users, at most two of each family" },
	{ CONF_PROFILE, "wins", CONF_T_ADDR4, CONF_K_LIST, NULL, 0, 2, NULL,
	  "WINS servers told to users, at most two" },
	{ CONF_PROFILE, "ipv4", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "offer IPv4" },
	{ CONF_PROFILE, "ipv6", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "offer IPv6" },
	{ CONF_PROFILE, "mtu", CONF_T_NUMBER, CONF_K_AUTO, "auto", 576, 16384, NULL,
	  "largest IP packet to users at most; auto: what fits the path unfragmented" },
	{ CONF_PROFILE, "mru", CONF_T_NUMBER, CONF_K_AUTO, "auto", 576, 16384, NULL,
	  "largest packet users may send; auto: what fits a path of 1500 octets and mtu" },
	{ CONF_PROFILE, "mss-clamp", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "lower the TCP segment size to what the session carries" },
	{ CONF_PROFILE, "anti-spoofing", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "drop packets from users whose source address is not theirs" },
	{ CONF_PROFILE, "header-compression", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "offer and allow the compression of the PPP header (ACFC, PFC)" },
	{ CONF_PROFILE, "identification", CONF_T_TEXT, 0, NULL, 1, PPP_TEXT_MAX - 1, NULL,
	  "words about this server, told to users when the link opens" },
	{ CONF_PROFILE, "session-timeout", CONF_T_DURATION, CONF_K_NEVER, "never", S, 366 * DAY, NULL,
	  "end sessions after this time" },
	{ CONF_PROFILE, "idle-timeout", CONF_T_DURATION, CONF_K_NEVER, "never", S, 366 * DAY, NULL,
	  "end sessions that carried no data for this time" },
	{ CONF_PROFILE, "interim-interval", CONF_T_DURATION, CONF_K_NEVER, "never", S, 366 * DAY, NULL,
	  "write an accounting record of every session this often" },
	{ CONF_PROFILE, "max-per-user", CONF_T_NUMBER, 0, "0", 0, 1000000, NULL,
	  "sessions of one user at most, 0: no limit" },
	{ CONF_PROFILE, "replace", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "a user at the limit who logs in again: end the oldest session instead of refusing" },
	{ CONF_PROFILE, "chap-interval", CONF_T_DURATION, CONF_K_NEVER, "never", 10 * S, 366 * DAY, NULL,
	  "ask for the password again this often (CHAP, MS-CHAP, EAP)" },
	{ CONF_PROFILE, "auth-attempts", CONF_T_NUMBER, 0, NULL, 1, 20, NULL,
	  "passwords that may be wrong before the session ends; without it 1 with chap, 3 with pap and mschap" },
	{ CONF_PROFILE, "echo-interval", CONF_T_DURATION, CONF_K_NEVER, "30 s", S, DAY, NULL,
	  "after this quiet time ask the peer whether it is there (LCP echo)" },
	{ CONF_PROFILE, "echo-failures", CONF_T_NUMBER, 0, "4", 1, 100, NULL,
	  "end the session after so many echo requests without answer" },
	{ CONF_PROFILE, "vrf", CONF_T_IFNAME, 0, NULL, 0, 0, NULL,
	  "VRF the interfaces of its sessions are put into, takes the kernel's data plane" },
	{ CONF_PROFILE, "namespace", CONF_T_TEXT, 0, NULL, 1, CONF_NAME - 1, NULL,
	  "network namespace of the interfaces of its sessions, takes the kernel's data plane" },
	{ CONF_PROFILE, "interface-name", CONF_T_TEXT, 0, NULL, 1, 31, NULL,
	  "name of a session's interface in the kernel's data plane, %u stands for the user's name" },
	{ CONF_PROFILE, "queue-length", CONF_T_NUMBER, CONF_K_AUTO, "auto", 1, 65535, NULL,
	  "packets that wait for a session at most, in the kernel's data plane; auto: 100" },

	/* ---- peer ---- */
	{ CONF_PEER, "from", CONF_T_PREFIX, CONF_K_LIST, NULL, 0, 0, NULL,
	  "addresses the peer may come from; without it all" },
	{ CONF_PEER, "host-name", CONF_T_TEXT, 0, NULL, 1, 63, NULL,
	  "host name the peer tells, * and ? stand for any characters; without it all" },
	{ CONF_PEER, "profile", CONF_T_REF, CONF_K_REQUIRED, NULL, 0, 0, "profile",
	  "how its sessions are treated" },
	{ CONF_PEER, "version", CONF_T_CHOICE, 0, "2", 0, 0, "2|3|any",
	  "version of L2TP that the peer may speak" },
	{ CONF_PEER, "data-plane", CONF_T_CHOICE, 0, NULL, 0, 0, "auto|kernel|user",
	  "who carries its data; without it as the global option says" },
	{ CONF_PEER, "secret", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, L2TP_SECRET_MAX, NULL,
	  "shared secret of the tunnel" },
	{ CONF_PEER, "secret-file", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file whose first line is the shared secret" },
	{ CONF_PEER, "challenge", CONF_T_BOOL, 0, NULL, 0, 0, NULL,
	  "the peer has to prove that it knows the secret; without it yes if there is a secret" },
	{ CONF_PEER, "hide", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "hide values of control messages with the secret" },
	{ CONF_PEER, "sequencing", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "put sequence numbers on data" },
	{ CONF_PEER, "receive-window", CONF_T_NUMBER, 0, "16", 1, 1024, NULL,
	  "control messages the peer may send before it waits" },
	{ CONF_PEER, "hello-interval", CONF_T_DURATION, CONF_K_NEVER, "60 s", S, DAY, NULL,
	  "after this quiet time ask the peer whether it is there (HELLO)" },
	{ CONF_PEER, "retries", CONF_T_NUMBER, 0, "5", 1, 100, NULL,
	  "repetitions of a control message before the tunnel is given up" },
	{ CONF_PEER, "quirks", CONF_T_CHOICE, CONF_K_LIST, "auto", 0, 0,
	  "auto|none|plain-setup|lax-mandatory|lax-length|no-hello",
	  "what the peer gets wrong; auto: as known of its kind, see adit.conf(5)" },
	{ CONF_PEER, "max-tunnels", CONF_T_NUMBER, 0, "0", 0, 65534, NULL,
	  "tunnels of this block at most, 0: no limit" },
	{ CONF_PEER, "max-sessions", CONF_T_NUMBER, 0, "0", 0, 10000000, NULL,
	  "sessions of this block at most, 0: no limit" },

	/* ---- session ---- */
	{ CONF_SESSION, "server", CONF_T_TEXT, CONF_K_REQUIRED, NULL, 1, 255, NULL,
	  "name or address of the LNS to dial" },
	{ CONF_SESSION, "version", CONF_T_CHOICE, 0, "2", 0, 0, "2|3|any",
	  "version of L2TP; any: 3 if the server has it, else 2" },
	{ CONF_SESSION, "encapsulation", CONF_T_CHOICE, 0, "udp", 0, 0, "udp|ip",
	  "what L2TP is carried in: UDP, or IP alone (protocol 115), with version = 3" },
	{ CONF_SESSION, "data-plane", CONF_T_CHOICE, 0, NULL, 0, 0, "auto|kernel|user",
	  "who carries its data; without it as the global option says" },
	{ CONF_SESSION, "port", CONF_T_NUMBER, 0, "1701", 1, 65535, NULL,
	  "UDP port of the server" },
	{ CONF_SESSION, "user", CONF_T_TEXT, 0, NULL, 1, PPP_USER_MAX - 1, NULL,
	  "user name to log in with" },
	{ CONF_SESSION, "password", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, PPP_SECRET_MAX, NULL,
	  "password" },
	{ CONF_SESSION, "password-file", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file whose first line is the password" },
	{ CONF_SESSION, "auth", CONF_T_CHOICE, CONF_K_LIST, "mschapv2, eap, chap, pap", 0, 0,
	  "mschapv2|eap|chap|pap|mschapv1|none",
	  "methods we agree to log in with; pap shows the password to whoever sees the packets" },
	{ CONF_SESSION, "mppe", CONF_T_CHOICE, 0, "off", 0, 0, "off|prefer|require",
	  "encrypt data with MPPE, needs auth = mschapv2 or eap and a data plane that can" },
	{ CONF_SESSION, "mppe-strength", CONF_T_CHOICE, CONF_K_LIST, "128", 0, 0, "128|56|40",
	  "key lengths in bits that may be used; 56 and 40 can be broken by anyone" },
	{ CONF_SESSION, "connect", CONF_T_CHOICE, 0, "auto", 0, 0, "auto|manual",
	  "auto: at start and after every loss; manual: with `adit connect`" },
	{ CONF_SESSION, "secret", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, L2TP_SECRET_MAX, NULL,
	  "shared secret of the tunnel" },
	{ CONF_SESSION, "secret-file", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file whose first line is the shared secret" },
	{ CONF_SESSION, "challenge", CONF_T_BOOL, 0, NULL, 0, 0, NULL,
	  "the server has to prove that it knows the secret; without it yes if there is a secret" },
	{ CONF_SESSION, "hide", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "hide values of control messages with the secret" },
	{ CONF_SESSION, "quirks", CONF_T_CHOICE, CONF_K_LIST, "auto", 0, 0,
	  "auto|none|plain-setup|lax-mandatory|lax-length|no-hello",
	  "what the server gets wrong; auto: as known of its kind, see adit.conf(5)" },
	{ CONF_SESSION, "server-name", CONF_T_TEXT, 0, NULL, 1, 63, NULL,
	  "host name the server has to tell, * and ? stand for any characters; without it any" },
	{ CONF_SESSION, "answer-from", CONF_T_CHOICE, 0, "port", 0, 0, "same|port|address",
	  "may the server answer from another port, or from another address, too" },
	{ CONF_SESSION, "tie-breaker", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "only one tunnel between us and the server, when both open one at once" },
	{ CONF_SESSION, "wait-for-call", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "open the tunnel only, and wait there for a call of the server" },
	{ CONF_SESSION, "number", CONF_T_TEXT, 0, NULL, 1, 63, NULL,
	  "with wait-for-call: the number that is ours, * and ? stand for any characters" },
	{ CONF_SESSION, "source-port", CONF_T_PORT, 0, "any", 1, 65535, NULL,
	  "UDP port to send from; 1701 where a firewall or an IPsec policy wants it" },
	{ CONF_SESSION, "source-address", CONF_T_ADDR, 0, NULL, 0, 0, NULL,
	  "address to send from; without it the one the route to the server gives" },
	{ CONF_SESSION, "prefer", CONF_T_CHOICE, 0, "ipv6", 0, 0, "ipv6|ipv4",
	  "address family tried first when the server's name has both" },
	{ CONF_SESSION, "ipv4", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "ask for IPv4" },
	{ CONF_SESSION, "ipv6", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "ask for IPv6" },
	{ CONF_SESSION, "dns", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "ask for name servers; they are given to the hook programs" },
	{ CONF_SESSION, "default-route", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "route everything but the way to the server through the session" },
	{ CONF_SESSION, "routes", CONF_T_PREFIX, CONF_K_LIST, NULL, 0, DP_PREFIXES - 2, NULL,
	  "networks to route through the session" },
	{ CONF_SESSION, "route-table", CONF_T_NUMBER, 0, "0", 0, UINT32_MAX, NULL,
	  "routing table for these routes, 0: the main table" },
	{ CONF_SESSION, "route-metric", CONF_T_NUMBER, 0, "0", 0, UINT32_MAX, NULL,
	  "metric of these routes, 0: the kernel's default" },
	{ CONF_SESSION, "interface", CONF_T_IFNAME, 0, NULL, 0, 0, NULL,
	  "name of the interface; without it adit1, adit2, ... in the order of the file" },
	{ CONF_SESSION, "mtu", CONF_T_NUMBER, CONF_K_AUTO, "auto", 576, 16384, NULL,
	  "MTU of the interface at most; auto: what fits the path unfragmented" },
	{ CONF_SESSION, "mru", CONF_T_NUMBER, CONF_K_AUTO, "auto", 576, 16384, NULL,
	  "largest packet the server may send; auto: what fits a path of 1500 octets and mtu" },
	{ CONF_SESSION, "mss-clamp", CONF_T_BOOL, 0, "yes", 0, 0, NULL,
	  "lower the TCP segment size to what the session carries" },
	{ CONF_SESSION, "header-compression", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "offer and allow the compression of the PPP header (ACFC, PFC)" },
	{ CONF_SESSION, "redial-first", CONF_T_DURATION, 0, "2 s", 100, DAY, NULL,
	  "wait before the first attempt after a failure; doubled each time" },
	{ CONF_SESSION, "redial-cap", CONF_T_DURATION, 0, "5 min", 100, DAY, NULL,
	  "longest wait between two attempts" },
	{ CONF_SESSION, "redial-attempts", CONF_T_NUMBER, 0, "0", 0, 1000000, NULL,
	  "give up after so many attempts in a row, 0: never" },
	{ CONF_SESSION, "session-timeout", CONF_T_DURATION, CONF_K_NEVER, "never", S, 366 * DAY, NULL,
	  "hang up after this time" },
	{ CONF_SESSION, "idle-timeout", CONF_T_DURATION, CONF_K_NEVER, "never", S, 366 * DAY, NULL,
	  "hang up when no data passed for this time" },
	{ CONF_SESSION, "sequencing", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "ask for sequence numbers on data" },
	{ CONF_SESSION, "receive-window", CONF_T_NUMBER, 0, "16", 1, 1024, NULL,
	  "control messages the server may send before it waits" },
	{ CONF_SESSION, "hello-interval", CONF_T_DURATION, CONF_K_NEVER, "60 s", S, DAY, NULL,
	  "after this quiet time ask the server whether it is there (HELLO)" },
	{ CONF_SESSION, "retries", CONF_T_NUMBER, 0, "5", 1, 100, NULL,
	  "repetitions of a control message before the tunnel is given up" },
	{ CONF_SESSION, "echo-interval", CONF_T_DURATION, CONF_K_NEVER, "30 s", S, DAY, NULL,
	  "after this quiet time ask the server whether it is there (LCP echo)" },
	{ CONF_SESSION, "echo-failures", CONF_T_NUMBER, 0, "4", 1, 100, NULL,
	  "hang up after so many echo requests without answer" },
	{ CONF_SESSION, "vrf", CONF_T_IFNAME, 0, NULL, 0, 0, NULL,
	  "VRF the interface is put into, takes the kernel's data plane" },
	{ CONF_SESSION, "namespace", CONF_T_TEXT, 0, NULL, 1, CONF_NAME - 1, NULL,
	  "network namespace of the interface, takes the kernel's data plane" },
	{ CONF_SESSION, "queue-length", CONF_T_NUMBER, CONF_K_AUTO, "auto", 1, 65535, NULL,
	  "packets that wait for the interface at most, in the kernel's data plane; auto: 100" },
	{ CONF_SESSION, "hook-up", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "program run when the session is up" },
	{ CONF_SESSION, "hook-down", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "program run when the session is down" },

	/* ---- tunnel ---- */
	{ CONF_TUNNEL, "remote", CONF_T_TEXT, CONF_K_REQUIRED, NULL, 1, 255, NULL,
	  "name or address of the peer" },
	{ CONF_TUNNEL, "local", CONF_T_ADDR, 0, NULL, 0, 0, NULL,
	  "our address; without it the one the route to the peer gives" },
	{ CONF_TUNNEL, "encapsulation", CONF_T_CHOICE, 0, "udp", 0, 0, "udp|ip",
	  "what L2TP is carried in: UDP, or IP alone (protocol 115)" },
	{ CONF_TUNNEL, "local-port", CONF_T_NUMBER, CONF_K_AUTO, "auto", 1, 65535, NULL,
	  "our UDP port; auto: 1701, or none with encapsulation = ip" },
	{ CONF_TUNNEL, "remote-port", CONF_T_NUMBER, CONF_K_AUTO, "auto", 1, 65535, NULL,
	  "UDP port of the peer; auto: 1701, or none with encapsulation = ip" },
	{ CONF_TUNNEL, "prefer", CONF_T_CHOICE, 0, "ipv6", 0, 0, "ipv6|ipv4",
	  "address family tried first when the peer's name has both" },
	{ CONF_TUNNEL, "data-plane", CONF_T_CHOICE, 0, NULL, 0, 0, "auto|kernel|user",
	  "who carries its data; without it as the global option says" },
	{ CONF_TUNNEL, "connect", CONF_T_CHOICE, 0, "auto", 0, 0, "auto|manual|wait",
	  "auto: at start and after every loss; manual: with `adit connect`; wait: the peer does it" },
	{ CONF_TUNNEL, "secret", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, L2TP_SECRET_MAX, NULL,
	  "shared secret of the control connection" },
	{ CONF_TUNNEL, "secret-file", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file whose first line is the shared secret" },
	{ CONF_TUNNEL, "old-secret", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, L2TP_SECRET_MAX, NULL,
	  "secret that the peer may still use while it is being changed" },
	{ CONF_TUNNEL, "old-secret-file", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file whose first line is the former secret" },
	{ CONF_TUNNEL, "digest", CONF_T_CHOICE, 0, NULL, 0, 0, "sha1|md5|none",
	  "how control messages are signed with the secret; without it sha1 if there is a secret" },
	{ CONF_TUNNEL, "challenge", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "the peer has to prove that it knows the secret by the older way, too (CHAP)" },
	{ CONF_TUNNEL, "hide", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "hide values of control messages with the secret" },
	{ CONF_TUNNEL, "router-id", CONF_T_ADDR4, 0, NULL, 0, 0, NULL,
	  "number told to the peer, written as an address; without it one made of our host name" },
	{ CONF_TUNNEL, "host-name", CONF_T_TEXT, 0, NULL, 1, 63, NULL,
	  "host name the peer has to tell, * and ? stand for any characters; without it any" },
	{ CONF_TUNNEL, "receive-window", CONF_T_NUMBER, 0, "16", 1, 1024, NULL,
	  "control messages the peer may send before it waits" },
	{ CONF_TUNNEL, "hello-interval", CONF_T_DURATION, CONF_K_NEVER, "60 s", S, DAY, NULL,
	  "after this quiet time ask the peer whether it is there (HELLO)" },
	{ CONF_TUNNEL, "retries", CONF_T_NUMBER, 0, "5", 1, 100, NULL,
	  "repetitions of a control message before the connection is given up" },
	{ CONF_TUNNEL, "redial-first", CONF_T_DURATION, 0, "2 s", 100, DAY, NULL,
	  "wait before the first attempt after a failure; doubled each time" },
	{ CONF_TUNNEL, "redial-cap", CONF_T_DURATION, 0, "1 min", 100, DAY, NULL,
	  "longest wait between two attempts" },

	/* ---- pseudowire ---- */
	{ CONF_WIRE, "remote", CONF_T_TEXT, 0, NULL, 1, 255, NULL,
	  "name or address of the peer, where no tunnel is named" },
	{ CONF_WIRE, "secret", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, L2TP_SECRET_MAX, NULL,
	  "shared secret of the control connection" },
	{ CONF_WIRE, "secret-file", CONF_T_PATH, 0, NULL, 1, CONF_PATH_MAX - 1, NULL,
	  "file whose first line is the shared secret" },
	{ CONF_WIRE, "tunnel", CONF_T_REF, 0, NULL, 0, 0, "tunnel",
	  "tunnel block that says how to reach the peer, instead of remote and secret" },
	{ CONF_WIRE, "remote-end-id", CONF_T_TEXT, 0, NULL, 1, PW_END_ID_MAX, NULL,
	  "name or number of the pseudowire, the same on both sides; without it the block's name" },
	{ CONF_WIRE, "interface", CONF_T_IFNAME, 0, NULL, 0, 0, NULL,
	  "name of the interface; without it the block's name" },
	{ CONF_WIRE, "bridge", CONF_T_IFNAME, 0, NULL, 0, 0, NULL,
	  "bridge the interface is put into" },
	{ CONF_WIRE, "vlan", CONF_T_NUMBER, 0, "0", 0, DP_VLAN_LAST, NULL,
	  "VLAN of the bridge whose frames are without a tag in the pseudowire; 0: the bridge's default, or none" },
	{ CONF_WIRE, "tagged-vlans", CONF_T_TEXT, CONF_K_LIST, NULL, 1, 9, NULL,
	  "VLANs of the bridge whose frames keep their tag in the pseudowire; numbers, or ranges such as 20-29" },
	{ CONF_WIRE, "circuit", CONF_T_IFNAME, 0, NULL, 0, 0, NULL,
	  "interface whose link is told to the peer as the circuit's; without it always up" },
	{ CONF_WIRE, "type", CONF_T_CHOICE, 0, "ethernet", 0, 0, "ethernet|vlan",
	  "what is agreed with the peer: a whole port, or frames with a VLAN tag" },
	{ CONF_WIRE, "tag", CONF_T_NUMBER, 0, "0", 0, DP_VLAN_LAST, NULL,
	  "VLAN whose tag the frames have in the pseudowire, and do not have on its interface; 0: frames pass as they are" },
	{ CONF_WIRE, "mtu", CONF_T_NUMBER, CONF_K_AUTO, "auto", 576, 16384, NULL,
	  "MTU of the interface; auto: what fits unfragmented on the path to the peer" },
	{ CONF_WIRE, "sublayer", CONF_T_CHOICE, 0, "default", 0, 0, "default|none",
	  "L2-Specific Sublayer of four octets, as the peer has it" },
	{ CONF_WIRE, "sequencing", CONF_T_BOOL, 0, "no", 0, 0, NULL,
	  "put sequence numbers on data and drop what comes out of order" },
	{ CONF_WIRE, "cookie-length", CONF_T_CHOICE, 0, "8", 0, 0, "8|4|0",
	  "octets of the random cookie that data to us has to carry" },
	{ CONF_WIRE, "connect", CONF_T_CHOICE, 0, "auto", 0, 0, "auto|manual|wait",
	  "auto: at start and after every loss; manual: with `adit connect`; wait: the peer does it" },
	{ CONF_WIRE, "data-plane", CONF_T_CHOICE, 0, NULL, 0, 0, "auto|kernel|user",
	  "who carries its data; without it as the global option says" },
	{ CONF_WIRE, "encapsulation", CONF_T_CHOICE, 0, "udp", 0, 0, "udp|ip",
	  "what L2TP is carried in: UDP, or IP alone (protocol 115)" },
	{ CONF_WIRE, "local", CONF_T_ADDR, 0, NULL, 0, 0, NULL,
	  "our address, that packets to the peer come from; needed with tunnel-id alone" },
	{ CONF_WIRE, "local-port", CONF_T_NUMBER, CONF_K_AUTO, "auto", 1, 65535, NULL,
	  "our UDP port; auto: 1701, or none with encapsulation = ip" },
	{ CONF_WIRE, "remote-port", CONF_T_NUMBER, CONF_K_AUTO, "auto", 1, 65535, NULL,
	  "UDP port of the peer; auto: 1701, or none with encapsulation = ip" },
	{ CONF_WIRE, "tunnel-id", CONF_T_NUMBER, 0, NULL, 1, UINT32_MAX, NULL,
	  "number of the tunnel on our side, where nothing is agreed with the peer" },
	{ CONF_WIRE, "peer-tunnel-id", CONF_T_NUMBER, 0, NULL, 1, UINT32_MAX, NULL,
	  "number of the tunnel on the peer's side" },
	{ CONF_WIRE, "session-id", CONF_T_NUMBER, 0, NULL, 1, UINT32_MAX, NULL,
	  "number of the session on our side, that stands in packets to us" },
	{ CONF_WIRE, "peer-session-id", CONF_T_NUMBER, 0, NULL, 1, UINT32_MAX, NULL,
	  "number of the session on the peer's side, that stands in packets to it" },
	{ CONF_WIRE, "cookie", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, 255, NULL,
	  "8 or 16 hexadecimal digits that packets to us have to carry" },
	{ CONF_WIRE, "peer-cookie", CONF_T_TEXT, CONF_K_SECRET, NULL, 1, 255, NULL,
	  "8 or 16 hexadecimal digits that the peer wants to see" },
};
/* clang-format on */

#define SCHEMA_COUNT (sizeof(schema) / sizeof(schema[0]))

const struct conf_key *conf_schema(size_t *ret_count)
{
	*ret_count = SCHEMA_COUNT;
	return schema;
}

const struct conf_key *conf_keys(enum conf_kind kind, size_t *ret_count)
{
	size_t first = 0, n = 0;

	while (first < SCHEMA_COUNT && schema[first].kind != kind)
		first++;
	while (first + n < SCHEMA_COUNT && schema[first + n].kind == kind)
		n++;
	*ret_count = n;
	return schema + first;
}

const char *conf_kind_name(enum conf_kind kind)
{
	return kind_names[kind];
}

/* ---- values ---- */

bool conf_bool(const char *text, bool *ret)
{
	static const char *const words[] = { "yes", "no", "true", "false", "on", "off" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = i % 2 == 0;
			return true;
		}
	}
	return false;
}

bool conf_number(const char *text, int64_t *ret)
{
	int64_t v = 0;

	if (*text == '\0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || v > INT64_MAX / 10 - 1)
			return false;
		v = v * 10 + (*text - '0');
	}
	*ret = v;
	return true;
}

bool conf_duration(const char *text, int64_t *ret_us)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {
		{ "ms", US_MS },	  { "s", US_S },
		{ "sec", US_S },	  { "min", 60 * US_S },
		{ "m", 60 * US_S },	  { "h", 3600 * US_S },
		{ "d", 86400 * US_S },	  { "second", US_S },
		{ "seconds", US_S },	  { "minute", 60 * US_S },
		{ "minutes", 60 * US_S }, { "hour", 3600 * US_S },
		{ "hours", 3600 * US_S }, { "day", 86400 * US_S },
		{ "days", 86400 * US_S },
	};
	int64_t v = 0, unit = US_S; /* a bare number counts seconds */
	size_t digits = 0;

	if (strcmp(text, "never") == 0) {
		*ret_us = -1;
		return true;
	}
	for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
		if (digits == 12)
			return false;
		v = v * 10 + (text[digits] - '0');
	}
	if (digits == 0)
		return false;
	text += digits;
	while (*text == ' ')
		text++;
	if (*text) {
		unit = 0;
		for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strcmp(text, units[i].name) == 0)
				unit = units[i].us;
		if (unit == 0)
			return false;
	}
	if (v > INT64_MAX / unit)
		return false;
	*ret_us = v * unit;
	return true;
}

static uint32_t ip4_host(const struct addr *a)
{
	return (uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 |
	       a->ip[3];
}

bool conf_range4(const char *text, struct conf_range4 *ret, bool *ret_prefix)
{
	char copy[64], *dash;
	struct prefix p;
	struct addr a, b;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	dash = strchr(copy, '-');
	if (!dash) {
		if (prefix_parse(copy, &p) < 0 || p.addr.family != AF_INET)
			return false;
		ret->first = ip4_host(&p.addr);
		ret->last = ret->first |
			    (p.len ? (uint32_t)(UINT64_C(0xffffffff) >> p.len) : UINT32_MAX);
		*ret_prefix = p.len < 31;
		return true;
	}
	*dash++ = '\0';
	for (size_t n = strlen(copy); n && copy[n - 1] == ' '; n--)
		copy[n - 1] = '\0';
	while (*dash == ' ')
		dash++;
	if (addr_parse(copy, &a) < 0 || addr_parse(dash, &b) < 0 || a.family != AF_INET ||
	    b.family != AF_INET || a.port || b.port)
		return false;
	ret->first = ip4_host(&a);
	ret->last = ip4_host(&b);
	*ret_prefix = false;
	return ret->first <= ret->last;
}

static bool choice_ok(const char *choices, const char *text)
{
	size_t n = strlen(text);

	for (const char *p = choices; n && p; p = strchr(p, '|')) {
		p += *p == '|';
		if (strncmp(p, text, n) == 0 && (p[n] == '|' || p[n] == '\0'))
			return true;
	}
	return false;
}

/* "chap|pap|none" as "chap, pap or none". */
static void choice_text(const char *choices, char *buf, size_t cap)
{
	size_t n = 0;

	buf[0] = '\0';
	for (; *choices && n + 5 < cap; choices++) {
		if (*choices != '|') {
			buf[n++] = *choices;
			buf[n] = '\0';
		} else {
			n += (size_t)snprintf(buf + n, cap - n, "%s",
					      strchr(choices + 1, '|') ? ", " : " or ");
		}
	}
}

static bool number_ok(const struct conf_key *k, const char *text, char *why, size_t cap)
{
	const char *other = k->type == CONF_T_PORT   ? "\"any\" or "
			    : k->flags & CONF_K_AUTO ? "\"auto\" or "
						     : "";
	int64_t v;

	if (*other && strcmp(text, k->type == CONF_T_PORT ? "any" : "auto") == 0)
		return true;
	if (conf_number(text, &v) && v >= k->min && v <= k->max)
		return true;
	snprintf(why, cap, "write %sa number from %lld to %lld", other, (long long)k->min,
		 (long long)k->max);
	return false;
}

static void duration_text(char *buf, size_t cap, int64_t ms)
{
	if (ms % DAY == 0)
		snprintf(buf, cap, "%lld d", (long long)(ms / DAY));
	else if (ms % HOUR == 0)
		snprintf(buf, cap, "%lld h", (long long)(ms / HOUR));
	else if (ms % MIN == 0)
		snprintf(buf, cap, "%lld min", (long long)(ms / MIN));
	else if (ms % S == 0)
		snprintf(buf, cap, "%lld s", (long long)(ms / S));
	else
		snprintf(buf, cap, "%lld ms", (long long)ms);
}

static bool duration_ok(const struct conf_key *k, const char *text, char *why, size_t cap)
{
	char min[32], max[32];
	int64_t us;

	if (!conf_duration(text, &us)) {
		snprintf(why, cap, "write a duration such as \"30 s\", \"5 min\" or \"1 h\"%s",
			 k->flags & CONF_K_NEVER ? ", or \"never\"" : "");
		return false;
	}
	if (us < 0 && k->flags & CONF_K_NEVER)
		return true;
	if (us >= k->min * US_MS && us <= k->max * US_MS)
		return true;
	duration_text(min, sizeof(min), k->min);
	duration_text(max, sizeof(max), k->max);
	snprintf(why, cap, "write a duration from \"%s\" to \"%s\"%s", min, max,
		 k->flags & CONF_K_NEVER ? ", or \"never\"" : "");
	return false;
}

static bool text_ok(const struct conf_key *k, const char *text, char *why, size_t cap)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) {
			snprintf(why, cap, "it holds a control character; remove it");
			return false;
		}
	}
	if ((int64_t)n >= k->min && (int64_t)n <= k->max)
		return true;
	if (n == 0)
		snprintf(why, cap, "it is empty; write a value or remove the option");
	else
		snprintf(why, cap, "it has %zu characters; write at most %lld", n,
			 (long long)k->max);
	return false;
}

static bool path_ok(const struct conf_key *k, const char *text, char *why, size_t cap)
{
	if (!text_ok(k, text, why, cap))
		return false;
	if (text[0] == '/')
		return true;
	snprintf(why, cap, "write an absolute path, one that begins with /");
	return false;
}

/* What the kernel takes as an interface name (dev_valid_name). */
static bool ifname_ok(const char *text, char *why, size_t cap)
{
	size_t n = strlen(text);
	bool ok = n > 0 && n < DP_IFNAME && strcmp(text, ".") && strcmp(text, "..");

	for (size_t i = 0; i < n; i++)
		ok = ok && text[i] != '/' && text[i] != ':' && text[i] != '%' &&
		     (uint8_t)text[i] > 0x20 && (uint8_t)text[i] < 0x7f;
	if (!ok)
		snprintf(why, cap,
			 "write an interface name, 1 to 15 characters without /, : and spaces");
	return ok;
}

static bool addr_ok(const struct conf_key *k, const char *text, char *why, size_t cap)
{
	struct addr a;

	if (addr_parse(text, &a) == 0 && !a.port &&
	    (k->type == CONF_T_ADDR || a.family == AF_INET) && !addr_is_any(&a))
		return true;
	if (k->type == CONF_T_ADDR && addr_parse(text, &a) == 0 && addr_is_any(&a) && !a.port &&
	    strcmp(k->key, "address") == 0)
		return true; /* listen on all addresses of one family */
	snprintf(why, cap,
		 k->type == CONF_T_ADDR4 ? "write an IPv4 address such as 192.0.2.1"
					 : "write an address such as 192.0.2.1 or 2001:db8::1");
	return false;
}

/* The usual mistake: host bits are set. Say the prefix that was meant; false: it is another one. */
static bool host_bits(const char *text, bool ip4, bool ip6, char *why, size_t cap)
{
	char copy[64], *slash, fixed[ADDR_TEXT_MAX];
	struct prefix p;
	struct addr a;
	int64_t len;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (!slash)
		return false;
	*slash++ = '\0';
	if (addr_parse(copy, &a) < 0 || a.port || !conf_number(slash, &len) || len < 0 ||
	    len > (a.family == AF_INET ? 32 : 128) || !(a.family == AF_INET ? ip4 : ip6))
		return false;
	for (int64_t bit = len; bit < 128; bit++)
		a.ip[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
	p.addr = a;
	p.len = (uint8_t)len;
	snprintf(why, cap, "bits behind the prefix length are set; write %s",
		 prefix_text(&p, fixed));
	return true;
}

static bool prefix_ok(const struct conf_key *k, const char *text, char *why, size_t cap)
{
	struct prefix p;

	if (prefix_parse(text, &p) == 0 && (k->type == CONF_T_PREFIX || p.addr.family == AF_INET6))
		return true;
	if (!host_bits(text, k->type == CONF_T_PREFIX, true, why, cap))
		snprintf(why, cap,
			 k->type == CONF_T_PREFIX6
				 ? "write an IPv6 prefix such as 2001:db8::/40"
				 : "write a prefix such as 192.0.2.0/24 or 2001:db8::/40");
	return false;
}

bool conf_value_ok(const struct conf_key *k, const char *text, char *why, size_t cap)
{
	struct conf_range4 range;
	bool flag;

	switch (k->type) {
	case CONF_T_BOOL:
		if (conf_bool(text, &flag))
			return true;
		snprintf(why, cap, "write yes or no");
		return false;
	case CONF_T_NUMBER:
	case CONF_T_PORT:
		return number_ok(k, text, why, cap);
	case CONF_T_DURATION:
		return duration_ok(k, text, why, cap);
	case CONF_T_TEXT:
		return text_ok(k, text, why, cap);
	case CONF_T_CHOICE:
		if (choice_ok(k->choices, text))
			return true;
		snprintf(why, cap, "write ");
		choice_text(k->choices, why + strlen(why), cap - strlen(why));
		return false;
	case CONF_T_PATH:
		return path_ok(k, text, why, cap);
	case CONF_T_ADDR:
	case CONF_T_ADDR4:
		return addr_ok(k, text, why, cap);
	case CONF_T_PREFIX:
	case CONF_T_PREFIX6:
		return prefix_ok(k, text, why, cap);
	case CONF_T_RANGE4:
		if (conf_range4(text, &range, &flag))
			return true;
		if (host_bits(text, true, false, why, cap))
			return false;
		snprintf(why, cap,
			 "write an IPv4 prefix such as 10.1.0.0/16 or a range such as "
			 "10.1.0.10-10.1.0.20");
		return false;
	case CONF_T_IFNAME:
		return ifname_ok(text, why, cap);
	case CONF_T_REF:
		if (*text && strlen(text) < CONF_NAME)
			return true;
		snprintf(why, cap, "write the name of a %s block", k->choices);
		return false;
	}
	return false;
}
