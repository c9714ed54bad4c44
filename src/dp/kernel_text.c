/* SPDX-License-Identifier: MIT
 *
 * What the kernel plane says to people: every error of the kernel's L2TP and PPP interfaces with
 * its remedy, every gap of a kernel with the command that mends it. And the flat encoding of a
 * tunnel.
 */
#include "kernel.h"

#include <errno.h>
#include <stdio.h>

struct known {
	enum kernel_step step;
	int error; /* positive, 0 = any other */
	const char *text;
};

/* What was tried, then what it means and what to do. %s is the name the step has. */
static const struct known known[] = {
	{ KERNEL_STEP_SOCKET, EAFNOSUPPORT,
	  "this kernel has no such address family; load the module (modprobe l2tp_ip l2tp_ip6) or "
	  "enable IPv6" },
	{ KERNEL_STEP_SOCKET, EPROTONOSUPPORT,
	  "this kernel has no L2TP over IP; load the modules: modprobe l2tp_ip l2tp_ip6" },
	{ KERNEL_STEP_OPTIONS, ENODEV,
	  "there is no interface %s to bind the tunnel to; create it or change the listener" },
	{ KERNEL_STEP_OPTIONS, EPERM, "the keeper may not set it; give it CAP_NET_ADMIN" },
	{ KERNEL_STEP_BIND, EADDRINUSE,
	  "the address and port are in use; stop the other L2TP program (ss -ulpn) or use another "
	  "port" },
	{ KERNEL_STEP_BIND, EADDRNOTAVAIL,
	  "the local address is not on this machine; add it or correct the configuration" },
	{ KERNEL_STEP_CONNECT, ENETUNREACH,
	  "there is no route to the peer; add one (ip route get shows what is used)" },
	{ KERNEL_STEP_CONNECT, EHOSTUNREACH,
	  "there is no route to the peer; add one (ip route get shows what is used)" },
	{ KERNEL_STEP_CONNECT, EINVAL, "the peer's address cannot be reached from the local one" },
	{ KERNEL_STEP_TUNNEL, EEXIST,
	  "its id is in use by a tunnel of another program; it will be tried with another id (ip "
	  "l2tp show tunnel lists them)" },
	{ KERNEL_STEP_TUNNEL, EPERM,
	  "the keeper has no CAP_NET_ADMIN in this network namespace; start it with that "
	  "capability" },
	{ KERNEL_STEP_TUNNEL, EINVAL,
	  "the kernel finds a value missing or the socket in another network namespace" },
	{ KERNEL_STEP_TUNNEL, EBUSY, "the socket carries a tunnel already" },
	{ KERNEL_STEP_TUNNEL, EPROTONOSUPPORT,
	  "the kernel cannot carry a tunnel in this kind of socket" },
	{ KERNEL_STEP_TUNNEL, EADDRINUSE,
	  "the port is in use by a socket; static tunnels need a port of their own (ss -uanp)" },
	{ KERNEL_STEP_TUNNEL, EADDRNOTAVAIL,
	  "the local address is not on this machine; add it or correct the configuration" },
	{ KERNEL_STEP_TUNNEL, ENETUNREACH,
	  "there is no route to the peer at this moment; add one (ip route get shows what is "
	  "used)" },
	{ KERNEL_STEP_TUNNEL, EHOSTUNREACH,
	  "there is no route to the peer at this moment; add one (ip route get shows what is "
	  "used)" },
	{ KERNEL_STEP_TUNNEL, ENOENT,
	  "this kernel has no L2TP; load it (modprobe l2tp_netlink) or use data-plane = user" },
	{ KERNEL_STEP_SESSION, ENODEV, "its tunnel is gone or being deleted" },
	{ KERNEL_STEP_SESSION, ENOENT, "its tunnel has no socket any more" },
	{ KERNEL_STEP_SESSION, EEXIST,
	  "its id or the name of its interface is in use (ip l2tp show session, ip link)" },
	{ KERNEL_STEP_SESSION, EPROTONOSUPPORT,
	  "this kernel lacks the module for this kind of session; load it: modprobe l2tp_eth "
	  "l2tp_ppp" },
	{ KERNEL_STEP_SESSION, EINVAL, "the kernel refuses its cookie or sublayer" },
	{ KERNEL_STEP_SESSION, ENFILE, "all names of L2TP interfaces are taken; give it a name" },
	{ KERNEL_STEP_SESSION, EBUSY,
	  "its ids, cookies or interface cannot change while it is up; it must be put down first" },
	{ KERNEL_STEP_PPPOX, EAFNOSUPPORT,
	  "this kernel has no PPP sockets; load the modules (modprobe pppox l2tp_ppp) or use "
	  "data-plane = user" },
	{ KERNEL_STEP_PPPOX, EPROTONOSUPPORT,
	  "this kernel has no PPP over L2TP; load the module (modprobe l2tp_ppp) or use data-plane "
	  "= user" },
	{ KERNEL_STEP_PIPE, ENOENT, "its tunnel is gone" },
	{ KERNEL_STEP_PIPE, ENODEV, "its tunnel is being deleted" },
	{ KERNEL_STEP_PIPE, EEXIST,
	  "a session with this id is there already; another program may use it (ip l2tp show "
	  "session)" },
	{ KERNEL_STEP_PIPE, EPROTOTYPE, "a session with this id is there and is no PPP session" },
	{ KERNEL_STEP_DEV_PPP, ENOENT,
	  "there is no /dev/ppp; make it (mknod /dev/ppp c 108 0) or let the container have it, or "
	  "use data-plane = user" },
	{ KERNEL_STEP_DEV_PPP, ENXIO,
	  "this kernel has no PPP; load the module (modprobe ppp_generic) or use data-plane = "
	  "user" },
	{ KERNEL_STEP_DEV_PPP, ENODEV,
	  "this kernel has no PPP; load the module (modprobe ppp_generic) or use data-plane = "
	  "user" },
	{ KERNEL_STEP_DEV_PPP, EPERM,
	  "the keeper may not open /dev/ppp; give it CAP_NET_ADMIN and allow device 108:0 in its "
	  "control group" },
	{ KERNEL_STEP_DEV_PPP, EACCES,
	  "the keeper may not open /dev/ppp; give it the rights, and allow device 108:0 in its "
	  "control group" },
	{ KERNEL_STEP_CHANNEL, ENXIO, "the channel is gone: its session was deleted meanwhile" },
	{ KERNEL_STEP_CHANNEL, ENOTCONN, "its session was deleted meanwhile" },
	{ KERNEL_STEP_UNIT, EEXIST,
	  "there is an interface %s already; remove it or choose another name" },
	{ KERNEL_STEP_UNIT, EBUSY, "PPP was busy for a second; the machine is overloaded" },
	{ KERNEL_STEP_UNIT, EOPNOTSUPP,
	  "this kernel cannot make PPP interfaces; load the module: modprobe ppp_generic" },
	{ KERNEL_STEP_UNIT, EPERM,
	  "the keeper has no CAP_NET_ADMIN in this network namespace; start it with that "
	  "capability" },
	{ KERNEL_STEP_UNIT, ENODEV, "the interface %s was removed meanwhile by another program" },
	{ KERNEL_STEP_ATTACH, ENXIO, "the interface was removed meanwhile" },
	{ KERNEL_STEP_ATTACH, ENOTCONN, "its session was deleted meanwhile" },
	{ KERNEL_STEP_ATTACH, EINVAL, "its channel is in use already" },
	{ KERNEL_STEP_MPPE, EINVAL,
	  "this kernel has no MPPE or forbids it (FIPS); load the module (modprobe ppp_mppe) or do "
	  "without encryption" },
	{ KERNEL_STEP_MPPE, ENOBUFS,
	  "this kernel has no MPPE or forbids it (FIPS); load the module (modprobe ppp_mppe) or do "
	  "without encryption" },
	{ KERNEL_STEP_JOIN, ENOTTY,
	  "this kernel cannot join two PPP sessions; Linux 5.11 or later can" },
	{ KERNEL_STEP_JOIN, EINVAL,
	  "this kernel cannot join two PPP sessions; Linux 5.11 or later can" },
	{ KERNEL_STEP_JOIN, EALREADY, "one of the two sessions is joined with another already" },
	{ KERNEL_STEP_JOIN, ENXIO, "the other session is gone" },
	{ KERNEL_STEP_MASTER, ENODEV,
	  "there is no bridge or VRF %s; create it or correct the configuration" },
	{ KERNEL_STEP_LINK, ENODEV, "the interface %s was removed meanwhile by another program" },
	{ KERNEL_STEP_LINK, ESRCH,
	  "its network namespace is not known; name it in the configuration and restart the "
	  "keeper" },
	{ KERNEL_STEP_LINK, EOPNOTSUPP,
	  "an Ethernet session lies in the namespace of its tunnel; move it by ip link set %s "
	  "netns" },
	{ KERNEL_STEP_LINK, EINVAL, "its MTU does not suit the interface %s" },
	{ KERNEL_STEP_TAG, ENOENT,
	  "this kernel cannot tag the frames of %s; load the modules (modprobe sch_ingress "
	  "cls_matchall act_vlan) or use data-plane = user" },
	{ KERNEL_STEP_ROUTE, EEXIST,
	  "there is an address or a route like it already, not on %s; choose another metric or "
	  "table" },
	{ KERNEL_STEP_ROUTE, ENETDOWN, "the interface %s was set down by another program" },
	{ KERNEL_STEP_ROUTE, ENODEV, "the interface %s was removed meanwhile by another program" },
	{ KERNEL_STEP_ROUTE, EACCES, "IPv6 is switched off on %s (sysctl disable_ipv6)" },
	{ KERNEL_STEP_ROUTE, EINVAL,
	  "the kernel refuses an address or route on %s; is the source address on this machine?" },
};

/* Errors that mean the same at each step. */
static const struct known anywhere[] = {
	{ 0, EMFILE,
	  "the keeper has run out of descriptors; raise LimitNOFILE (or ulimit -n): a PPP session "
	  "takes three" },
	{ 0, ENFILE, "the machine has run out of descriptors; raise the sysctl fs.file-max" },
	{ 0, ENOMEM, "the machine is out of memory; free some or lower the limit of sessions" },
	{ 0, ENOBUFS,
	  "the kernel is out of buffers; raise the sysctl net.core.rmem_max, or try again" },
	{ 0, EPERM, "the keeper may not do it; give it CAP_NET_ADMIN" },
};

static const char *const steps[] = {
	[KERNEL_STEP_SOCKET] = "open the tunnel's socket",
	[KERNEL_STEP_OPTIONS] = "set the options of the tunnel's socket",
	[KERNEL_STEP_BIND] = "bind the tunnel's socket",
	[KERNEL_STEP_CONNECT] = "connect the tunnel's socket",
	[KERNEL_STEP_TUNNEL] = "create the tunnel in the kernel",
	[KERNEL_STEP_SESSION] = "create the session in the kernel",
	[KERNEL_STEP_PPPOX] = "open a PPP socket",
	[KERNEL_STEP_PIPE] = "connect the PPP socket of the session",
	[KERNEL_STEP_DEV_PPP] = "open /dev/ppp",
	[KERNEL_STEP_CHANNEL] = "get at the PPP channel",
	[KERNEL_STEP_UNIT] = "make the PPP interface",
	[KERNEL_STEP_ATTACH] = "attach the session to its interface",
	[KERNEL_STEP_MPPE] = "switch encryption on",
	[KERNEL_STEP_JOIN] = "join the two sessions",
	[KERNEL_STEP_MASTER] = "put the interface into its bridge or VRF",
	[KERNEL_STEP_LINK] = "set up the interface",
	[KERNEL_STEP_TAG] = "tag the frames of the pseudowire",
	[KERNEL_STEP_ADDRESS] = "add an address",
	[KERNEL_STEP_ROUTE] = "add an address or a route",
	[KERNEL_STEP_MEMORY] = "reserve memory",
};

#define COUNT(v) (sizeof(v) / sizeof((v)[0]))

static const char *find(enum kernel_step step, int error)
{
	for (size_t i = 0; i < COUNT(known); i++) {
		if (known[i].step == step && known[i].error == error)
			return known[i].text;
	}
	for (size_t i = 0; i < COUNT(anywhere); i++) {
		if (anywhere[i].error == error)
			return anywhere[i].text;
	}
	return NULL;
}

void kernel_error_text(enum kernel_step step, int error, const char *name, char text[KERNEL_TEXT])
{
	const char *why = find(step, error < 0 ? -error : error), *slot;
	int n = snprintf(text, KERNEL_TEXT, "could not %s: ", steps[step]);

	if (n < 0 || n >= KERNEL_TEXT)
		return;
	if (!why) {
		char buf[80];

		snprintf(text + n, (size_t)(KERNEL_TEXT - n), "%s",
			 strerror_r(error < 0 ? -error : error, buf, sizeof(buf)));
		return;
	}
	slot = strstr(why, "%s");
	if (!slot)
		snprintf(text + n, (size_t)(KERNEL_TEXT - n), "%s", why);
	else
		snprintf(text + n, (size_t)(KERNEL_TEXT - n), "%.*s%s%s", (int)(slot - why), why,
			 name && name[0] ? name : "of it", slot + 2);
}

/* ---- gaps ---- */

static const struct {
	const char *name, *text, *remedy;
} gaps[KERNEL_GAP_COUNT] = {
	[KERNEL_GAP_GENL] = { "l2tp-netlink",
			      "this kernel has no L2TP (generic netlink family l2tp)",
			      "modprobe l2tp_netlink (Debian: in the kernel package; Fedora, RHEL: "
			      "kernel-modules-extra; look for a blacklist in /etc/modprobe.d)" },
	[KERNEL_GAP_NET_ADMIN] = { "net-admin", "the keeper has no CAP_NET_ADMIN here",
				   "start it as root, or in a container with --cap-add NET_ADMIN" },
	[KERNEL_GAP_PPP_NODE] = { "dev-ppp", "/dev/ppp is missing or may not be opened",
				  "mknod /dev/ppp c 108 0 (in a container: --device /dev/ppp)" },
	[KERNEL_GAP_PPPOL2TP] = { "l2tp-ppp", "this kernel has no PPP over L2TP",
				  "modprobe l2tp_ppp" },
	[KERNEL_GAP_PPP] = { "ppp", "this kernel has no PPP", "modprobe ppp_generic" },
	[KERNEL_GAP_ETH] = { "l2tp-eth", "this kernel has no Ethernet over L2TPv3",
			     "modprobe l2tp_eth" },
	[KERNEL_GAP_IP4] = { "l2tp-ip", "this kernel has no L2TPv3 over IPv4", "modprobe l2tp_ip" },
	[KERNEL_GAP_IP6] = { "l2tp-ip6", "this kernel has no L2TPv3 over IPv6",
			     "modprobe l2tp_ip6" },
	[KERNEL_GAP_UDP6] = { "ipv6", "this kernel has no IPv6 here",
			      "sysctl net.ipv6.conf.all.disable_ipv6=0" },
	[KERNEL_GAP_MPPE] = { "mppe", "this kernel has no MPPE encryption, or forbids it (FIPS)",
			      "modprobe ppp_mppe" },
	[KERNEL_GAP_BRIDGE] = { "bridge", "this kernel cannot switch PPP between two tunnels",
				"use Linux 5.11 or later" },
	[KERNEL_GAP_TUPLE] = { "one-tunnel-per-address",
			       "this kernel carries one tunnel between two addresses and ports; "
			       "further ones go to the user-space plane",
			       "use Linux 6.10 or later" },
	[KERNEL_GAP_NAMESPACE] = { "namespace",
				   "L2TP of this kernel does not work in this network "
				   "namespace",
				   "start the keeper in the first network namespace" },
};

const char *kernel_gap_text(enum kernel_gap gap)
{
	return gap < KERNEL_GAP_COUNT ? gaps[gap].text : "";
}

const char *kernel_gap_remedy(enum kernel_gap gap)
{
	return gap < KERNEL_GAP_COUNT ? gaps[gap].remedy : "";
}

const char *kernel_gap_name(enum kernel_gap gap)
{
	return gap < KERNEL_GAP_COUNT ? gaps[gap].name : "";
}

static int gap_is(const struct kernel_probe *p, enum kernel_gap gap, char *text)
{
	if (!KERNEL_HAS_GAP(p, gap))
		return 0;
	if (text)
		snprintf(text, KERNEL_TEXT, "%s; %s", gaps[gap].text, gaps[gap].remedy);
	return 1;
}

int kernel_can_tunnel(const struct kernel_probe *p, const struct kernel_tunnel *t, char *text)
{
	bool v4 = t->path.remote.family == AF_INET;

	return gap_is(p, KERNEL_GAP_GENL, text) || gap_is(p, KERNEL_GAP_NET_ADMIN, text) ||
	       gap_is(p, KERNEL_GAP_NAMESPACE, text) || (!v4 && gap_is(p, KERNEL_GAP_UDP6, text)) ||
	       (t->encap == DP_ENCAP_IP && gap_is(p, v4 ? KERNEL_GAP_IP4 : KERNEL_GAP_IP6, text));
}

int kernel_can_row(const struct kernel_probe *p, const struct dp_row *r, char *text)
{
	if (gap_is(p, KERNEL_GAP_GENL, text) || gap_is(p, KERNEL_GAP_NET_ADMIN, text) ||
	    gap_is(p, KERNEL_GAP_NAMESPACE, text))
		return 1;
	/* l2tp_recv_common(): who sends numbers drops what has none, or stops to send them. */
	if (r->version == 3 && (r->flags & DP_F_SEND_SEQ) && !(r->flags & DP_F_REQUIRE_SEQ)) {
		if (text)
			snprintf(text, KERNEL_TEXT,
				 "the kernel numbers both directions or none, and the peer wants "
				 "numbers without sending any");
		return 1;
	}
	if (r->ends == DP_L2TP_ETH)
		return gap_is(p, KERNEL_GAP_ETH, text);
	if (gap_is(p, KERNEL_GAP_PPPOL2TP, text) || gap_is(p, KERNEL_GAP_PPP, text) ||
	    gap_is(p, KERNEL_GAP_PPP_NODE, text))
		return 1;
	if (r->ends == DP_L2TP_L2TP && gap_is(p, KERNEL_GAP_BRIDGE, text))
		return 1;
	if (r->flags & (DP_F_MPPE | DP_F_MPPE_KEYS)) {
		if (gap_is(p, KERNEL_GAP_MPPE, text))
			return 1;
		/* RFC 3078 2: M, 56 bits, is the one the kernel's MPPE has not. */
		if ((r->flags & DP_F_MPPE) && (r->mppe_options[3] & 0xe0) == 0x80) {
			if (text)
				snprintf(text, KERNEL_TEXT,
					 "the kernel has no MPPE with 56 bits; use 128");
			return 1;
		}
	}
	return 0;
}

/* ---- tunnels ---- */

static bool name_ok(const char name[DP_IFNAME])
{
	size_t n = strnlen(name, DP_IFNAME);

	for (size_t i = 0; i < n; i++) {
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return false;
	}
	return n < DP_IFNAME;
}

bool kernel_tunnel_ok(const struct kernel_tunnel *t)
{
	const struct path *p = &t->path;
	bool udp = t->encap == DP_ENCAP_UDP;

	if ((t->version != 2 && t->version != 3) || t->encap > DP_ENCAP_IP ||
	    (t->version == 2 &&
	     (!udp || !t->managed || t->local_id > UINT16_MAX || t->remote_id > UINT16_MAX)))
		return false;
	if (!t->local_id || !t->remote_id || !name_ok(t->device))
		return false;
	if ((p->local.family != AF_INET && p->local.family != AF_INET6) ||
	    p->local.family != p->remote.family || addr_is_any(&p->remote))
		return false;
	return udp ? p->remote.port && (t->managed || p->local.port)
		   : !p->remote.port && !p->local.port;
}

bool kernel_tunnel_same(const struct kernel_tunnel *a, const struct kernel_tunnel *b)
{
	return a->version == b->version && a->encap == b->encap && a->managed == b->managed &&
	       a->no_checksum == b->no_checksum && a->local_id == b->local_id &&
	       a->remote_id == b->remote_id && addr_equal(&a->path.local, &b->path.local) &&
	       addr_equal(&a->path.remote, &b->path.remote) && a->mark == b->mark &&
	       a->tos == b->tos && strcmp(a->device, b->device) == 0;
}
