/* SPDX-License-Identifier: MIT
 *
 * What the kernel knows of the way to a peer, see path.h. For the MTU of pseudowires, which must
 * not have their datagrams cut (RFC 3931 4.1.4, RFC 4719 3.3); used by aditd and by the keeper.
 */
#include "path.h"
#include "base/addr.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Anybody can tell the kernel by a forged ICMP of a narrow path; what fits through each path of
 * IPv6 is believed, and larger packets are cut on the way. */
#define MTU_LEAST 1280

uint16_t path_mtu(const struct path *path)
{
	bool v6 = path->remote.family == AF_INET6;
	struct addr local = path->local, remote = path->remote;
	struct sockaddr_storage from, to;
	socklen_t n, m, size = sizeof(int);
	int mtu = 0, fd;

	local.port = 0;
	if (!remote.port)
		remote.port = 1; /* of an IP path; nothing is sent */
	n = addr_to_sockaddr(&local, &from);
	m = addr_to_sockaddr(&remote, &to);
	fd = socket(path->remote.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (bind(fd, (struct sockaddr *)&from, n) < 0 ||
	    connect(fd, (struct sockaddr *)&to, m) < 0 ||
	    getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &size) < 0)
		mtu = 0;
	close(fd);
	if (mtu <= 0)
		return 0;
	return (uint16_t)(mtu < MTU_LEAST ? MTU_LEAST : mtu < UINT16_MAX ? mtu : UINT16_MAX);
}
