/* SPDX-License-Identifier: MIT
 *
 * What this kernel's L2TP and PPP can do, found out by doing it: for the choice between the planes
 * and for `adit doctor`. Modules are loaded by the kernel where it is allowed to. What differs from
 * release to release is tried out on loopback with tunnels of random ids between random addresses
 * of 127.0.0.0/8, which are gone afterwards. Where loopback is down, what cannot be tried counts as
 * the older behaviour.
 */
#include "kernel_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/capability.h> /* these after netinet/in.h */
#include <linux/if_pppol2tp.h>
#include <linux/if_pppox.h>
#include <linux/ppp-ioctl.h>

#ifndef PPPIOCBRIDGECHAN
#define PPPIOCBRIDGECHAN _IOW('t', 53, int)
#endif
#define PROTO_L2TP 115

/* Two ends on loopback: `a` is where tunnels are made, `b` plays the peer. */
struct lab {
	const struct kernel_sys *sys;
	struct nlm_l2tp l;
	struct kernel_probe *p;
	struct kernel_tunnel t; /* from a to b */
	uint32_t ids;		/* the next id to use */
	int a, b;
};

static void gap_set(struct kernel_probe *p, enum kernel_gap gap)
{
	p->gaps |= 1u << gap;
}

static void close_fd(const struct kernel_sys *sys, int fd)
{
	if (fd >= 0)
		sys->close(sys, fd);
}

static int udp_socket(struct lab *lab, const struct addr *from, const struct addr *to)
{
	const struct kernel_sys *sys = lab->sys;
	int fd = sys->socket(sys, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;
	struct sockaddr_storage ss;
	socklen_t len;

	if (fd < 0)
		return fd;
	sys->setsockopt(sys, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	len = addr_to_sockaddr(from, &ss);
	if (sys->bind(sys, fd, &ss, len) >= 0) {
		len = addr_to_sockaddr(to, &ss);
		if (sys->connect(sys, fd, &ss, len) >= 0)
			return fd;
	}
	sys->close(sys, fd);
	return -EADDRNOTAVAIL;
}

static struct kernel_tunnel tunnel_of(struct lab *lab, uint8_t version)
{
	struct kernel_tunnel t = lab->t;

	t.version = version;
	t.local_id = t.remote_id = lab->ids++;
	return t;
}

static int pipe_make(struct lab *lab, const struct kernel_tunnel *t, uint16_t session)
{
	struct sockaddr_pppol2tp sa;
	int fd = lab->sys->socket(lab->sys, AF_PPPOX, SOCK_DGRAM | SOCK_NONBLOCK, PX_PROTO_OL2TP);

	if (fd < 0)
		return fd;
	memset(&sa, 0, sizeof(sa));
	sa.sa_family = AF_PPPOX;
	sa.sa_protocol = PX_PROTO_OL2TP;
	sa.pppol2tp.fd = -1;
	sa.pppol2tp.s_tunnel = sa.pppol2tp.d_tunnel = (uint16_t)t->local_id;
	sa.pppol2tp.s_session = sa.pppol2tp.d_session = session;
	if (lab->sys->connect(lab->sys, fd, &sa, sizeof(sa)) < 0) {
		lab->sys->close(lab->sys, fd);
		return -ENOENT;
	}
	return fd;
}

/* A PPP frame from the peer: L2TPv2 data header without options, FF 03 and an LCP Echo-Request. */
static void frame_send(struct lab *lab, const struct kernel_tunnel *t, uint16_t session)
{
	uint8_t bytes[32];
	struct wcur c = wcur_of(bytes, sizeof(bytes));
	static const uint8_t echo[] = { 0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0 };

	wcur_u16(&c, 2);
	wcur_u16(&c, (uint16_t)t->local_id);
	wcur_u16(&c, session);
	wcur_bytes(&c, echo, sizeof(echo));
	lab->sys->send(lab->sys, lab->b, bytes, c.len, 0);
}

static bool frame_came(struct lab *lab, int fd, bool channel)
{
	uint8_t buf[64];
	ssize_t n;

	for (int i = 0; i < 20; i++) {
		n = channel ? lab->sys->read(lab->sys, fd, buf, sizeof(buf))
			    : lab->sys->recv(lab->sys, fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n >= 10)
			return true;
		lab->sys->sleep(lab->sys, 500);
	}
	return false;
}

/* Before 6.10 the newest of several sockets between the same addresses gets all packets. */
static void probe_tuple(struct lab *lab)
{
	struct kernel_tunnel one = tunnel_of(lab, 2), two = tunnel_of(lab, 2);
	int other = udp_socket(lab, &lab->t.path.local, &lab->t.path.remote), pipe = -1;
	bool ok = false;

	if (other >= 0 && nlm_l2tp_tunnel_create(&lab->l, &one, lab->a) == 0) {
		if (nlm_l2tp_tunnel_create(&lab->l, &two, other) == 0) {
			pipe = pipe_make(lab, &one, 7);
			if (pipe >= 0) {
				frame_send(lab, &one, 7);
				ok = frame_came(lab, pipe, false);
			}
			close_fd(lab->sys, pipe);
			nlm_l2tp_tunnel_delete(&lab->l, two.local_id);
		}
		nlm_l2tp_tunnel_delete(&lab->l, one.local_id);
	}
	close_fd(lab->sys, other);
	if (!ok)
		gap_set(lab->p, KERNEL_GAP_TUPLE);
}

/* The same socket again, once its tunnel is deleted. */
static void probe_socket_again(struct lab *lab)
{
	struct kernel_tunnel t = tunnel_of(lab, 2);
	int err = -EBUSY;

	for (int i = 0; i < 10 && err == -EBUSY; i++) {
		lab->sys->sleep(lab->sys, 2000);
		err = nlm_l2tp_tunnel_create(&lab->l, &t, lab->a);
	}
	lab->p->socket_reusable = err == 0;
	if (err == 0)
		nlm_l2tp_tunnel_delete(&lab->l, t.local_id);
	close_fd(lab->sys, lab->a);
	lab->a = udp_socket(lab, &lab->t.path.local, &lab->t.path.remote);
}

static void probe_eth(struct lab *lab)
{
	struct kernel_tunnel t = tunnel_of(lab, 3);
	struct dp_row r;
	char name[DP_IFNAME];
	int err;

	memset(&r, 0, sizeof(r));
	r.ends = DP_L2TP_ETH;
	r.version = 3;
	r.local_tunnel = r.remote_tunnel = t.local_id;
	r.local_session = r.remote_session = t.local_id;
	snprintf(name, sizeof(name), "l2tpx%u", t.local_id % 1000000000);
	if (nlm_l2tp_tunnel_create(&lab->l, &t, lab->a) != 0)
		return;
	err = nlm_l2tp_session_create(&lab->l, &r, name);
	if (err == -EPROTONOSUPPORT)
		gap_set(lab->p, KERNEL_GAP_ETH);
	if (err == 0) {
		nlm_l2tp_session_delete(&lab->l, t.local_id, t.local_id);
		err = nlm_l2tp_session_create(&lab->l, &r, name);
		lab->p->async_delete = err == -EEXIST;
		if (err == 0)
			nlm_l2tp_session_delete(&lab->l, t.local_id, t.local_id);
	}
	nlm_l2tp_tunnel_delete(&lab->l, t.local_id);
	close_fd(lab->sys, lab->a);
	lab->a = udp_socket(lab, &lab->t.path.local, &lab->t.path.remote);
}

/* A channel: does it keep what was queued on the pipe, and can it be joined with another? */
static void probe_channel(struct lab *lab)
{
	struct kernel_tunnel t = tunnel_of(lab, 2);
	int pipe = -1, chan = -1, number = -1, nobody = 0x7ffffff0, err;

	if (nlm_l2tp_tunnel_create(&lab->l, &t, lab->a) != 0)
		return;
	pipe = pipe_make(lab, &t, 9);
	if (pipe >= 0) {
		frame_send(lab, &t, 9);
		lab->sys->sleep(lab->sys, 2000);
		chan = lab->sys->open(lab->sys, "/dev/ppp", O_RDWR | O_NONBLOCK);
	}
	if (chan >= 0 && lab->sys->ioctl(lab->sys, pipe, PPPIOCGCHAN, &number) >= 0 &&
	    lab->sys->ioctl(lab->sys, chan, PPPIOCATTCHAN, &number) >= 0) {
		lab->p->gchan_drains = frame_came(lab, chan, true);
		err = lab->sys->ioctl(lab->sys, chan, PPPIOCBRIDGECHAN, &nobody);
		if (err == -ENOTTY || err == -EINVAL)
			gap_set(lab->p, KERNEL_GAP_BRIDGE);
	}
	close_fd(lab->sys, chan);
	close_fd(lab->sys, pipe);
	nlm_l2tp_tunnel_delete(&lab->l, t.local_id);
	close_fd(lab->sys, lab->a);
	lab->a = udp_socket(lab, &lab->t.path.local, &lab->t.path.remote);
}

/* Nobody listens at b any more: does a tunnel's socket say so? */
static void probe_icmp(struct lab *lab)
{
	struct kernel_tunnel t = tunnel_of(lab, 2);
	static const uint8_t zlb[12] = { 0xc8, 0x02, 0, 12 };
	uint8_t buf[16];
	ssize_t n = -EAGAIN;

	close_fd(lab->sys, lab->b);
	lab->b = -1;
	if (nlm_l2tp_tunnel_create(&lab->l, &t, lab->a) != 0)
		return;
	lab->sys->send(lab->sys, lab->a, zlb, sizeof(zlb), 0);
	for (int i = 0; i < 20 && n == -EAGAIN; i++) {
		lab->sys->sleep(lab->sys, 500);
		n = lab->sys->recv(lab->sys, lab->a, buf, sizeof(buf), MSG_DONTWAIT);
	}
	lab->p->icmp_errors = n == -ECONNREFUSED;
	nlm_l2tp_tunnel_delete(&lab->l, t.local_id);
}

/* By asking for something that needs it. Where there is no L2TP to ask, by our own capabilities. */
static bool net_admin(struct nlm_l2tp *l, bool genl)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (genl)
		return nlm_l2tp_tunnel_get(l, 0xfffffffe, NULL) != -EPERM;
	return syscall(SYS_capget, &head, data) == 0 && (data[0].effective >> CAP_NET_ADMIN & 1);
}

static void probe_sockets(const struct kernel_sys *sys, struct kernel_probe *p)
{
	static const struct {
		int domain, protocol;
		enum kernel_gap gap;
	} kinds[] = { { AF_INET6, 0, KERNEL_GAP_UDP6 },
		      { AF_INET, PROTO_L2TP, KERNEL_GAP_IP4 },
		      { AF_INET6, PROTO_L2TP, KERNEL_GAP_IP6 },
		      { AF_PPPOX, PX_PROTO_OL2TP, KERNEL_GAP_PPPOL2TP } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd = sys->socket(sys, kinds[i].domain, SOCK_DGRAM, kinds[i].protocol);

		if (fd < 0)
			gap_set(p, kinds[i].gap);
		close_fd(sys, fd);
	}
}

/* A unit for a moment, to see whether it takes MPPE. */
static void probe_ppp(const struct kernel_sys *sys, struct kernel_probe *p)
{
	int fd = sys->open(sys, "/dev/ppp", O_RDWR | O_NONBLOCK), unit = -1;
	uint8_t bytes[22] = { 18, 6, 1, 0, 0, 0x40 }; /* stateless, 128 bits, any key */
	struct ppp_option_data mppe;

	if (fd < 0) {
		gap_set(p, fd == -ENXIO || fd == -ENODEV ? KERNEL_GAP_PPP : KERNEL_GAP_PPP_NODE);
		gap_set(p, KERNEL_GAP_MPPE);
		return;
	}
	memset(&mppe, 0, sizeof(mppe));
	mppe.ptr = bytes;
	mppe.length = sizeof(bytes);
	mppe.transmit = 1;
	if (sys->ioctl(sys, fd, PPPIOCNEWUNIT, &unit) < 0)
		gap_set(p, KERNEL_GAP_PPP);
	else if (sys->ioctl(sys, fd, PPPIOCSCOMPRESS, &mppe) < 0)
		gap_set(p, KERNEL_GAP_MPPE);
	sys->close(sys, fd);
}

static bool lab_open(struct lab *lab)
{
	uint8_t r[12];

	lab->a = lab->b = -1;
	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return false;
	lab->t.managed = true;
	lab->t.path.local = (struct addr){ .family = AF_INET,
					   .port = (uint16_t)(20000 + (r[0] << 4 | r[1] >> 4)),
					   .ip = { 127, r[2], r[3], (uint8_t)(r[4] | 1) } };
	lab->t.path.remote = (struct addr){ .family = AF_INET,
					    .port = (uint16_t)(26000 + (r[5] << 4 | r[6] >> 4)),
					    .ip = { 127, r[7], r[8], (uint8_t)(r[9] | 1) } };
	/* 16 bits, and room for the few that are used. */
	lab->ids = 0x4000u + (r[10] << 4 | r[11] >> 4);
	lab->a = udp_socket(lab, &lab->t.path.local, &lab->t.path.remote);
	lab->b = udp_socket(lab, &lab->t.path.remote, &lab->t.path.local);
	return lab->a >= 0 && lab->b >= 0;
}

/* Can a tunnel be made at all? */
static bool lab_works(struct lab *lab)
{
	struct kernel_tunnel t = tunnel_of(lab, 2);
	int err = nlm_l2tp_tunnel_create(&lab->l, &t, lab->a);

	if (err == 0)
		nlm_l2tp_tunnel_delete(&lab->l, t.local_id);
	else if (err == -EINVAL)
		gap_set(lab->p, KERNEL_GAP_NAMESPACE);
	return err == 0;
}

int kernel_probe(const struct kernel_sys *sys, struct kernel_probe *ret)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct kernel_probe p;
	struct utsname uts;
	bool genl;

	if (!lab)
		return -ENOMEM;
	memset(&p, 0, sizeof(p));
	sys = sys ? sys : &kernel_sys_real;
	if (uname(&uts) == 0)
		snprintf(p.release, sizeof(p.release), "%.64s", uts.release);
	lab->sys = sys;
	lab->p = &p;
	lab->a = lab->b = -1; /* 0 may be a descriptor of ours */
	genl = nlm_l2tp_open(&lab->l, sys) == 0;
	if (!genl)
		gap_set(&p, KERNEL_GAP_GENL);
	if (!net_admin(&lab->l, genl))
		gap_set(&p, KERNEL_GAP_NET_ADMIN);
	probe_sockets(sys, &p);
	probe_ppp(sys, &p);
	if (genl && !KERNEL_HAS_GAP(&p, KERNEL_GAP_NET_ADMIN) && lab_open(lab) && lab_works(lab)) {
		probe_socket_again(lab);
		if (!KERNEL_HAS_GAP(&p, KERNEL_GAP_PPPOL2TP)) {
			probe_tuple(lab);
			close_fd(sys, lab->a);
			lab->a = udp_socket(lab, &lab->t.path.local, &lab->t.path.remote);
		}
		probe_eth(lab);
		if (!KERNEL_HAS_GAP(&p, KERNEL_GAP_PPP_NODE) && !KERNEL_HAS_GAP(&p, KERNEL_GAP_PPP))
			probe_channel(lab);
		probe_icmp(lab);
	} else {
		gap_set(&p, KERNEL_GAP_TUPLE);
	}
	if (genl)
		nlm_l2tp_close(&lab->l);
	close_fd(sys, lab->a);
	close_fd(sys, lab->b);
	free(lab);
	*ret = p;
	return 0;
}
