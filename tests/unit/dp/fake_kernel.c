/* SPDX-License-Identifier: MIT
 *
 * See fake_kernel.h.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/l2tp.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>
#include <libmnl/libmnl.h>

#include <linux/ppp-ioctl.h>

#ifndef AF_PPPOX
#define AF_PPPOX 24
#endif

#define FAMILY 31
#define GROUP  9

static struct fake_kernel *fake_of(const struct kernel_sys *sys)
{
	return (struct fake_kernel *)(uintptr_t)sys;
}

/* Write the step down, wait where a test wants it, fail where it wants it. */
static int step(struct fake_kernel *f, const char *name)
{
	int err = 0;

	pthread_mutex_lock(&f->lock);
	if (f->step_n < FAKE_STEPS)
		f->steps[f->step_n++] = name;
	if (f->gate && strcmp(f->gate, name) == 0) {
		f->gate = NULL;
		f->at_gate = true;
		pthread_cond_broadcast(&f->changed);
		while (!f->gate_open)
			pthread_cond_wait(&f->changed, &f->lock);
		f->at_gate = false;
	}
	if (f->fail_step && strcmp(f->fail_step, name) == 0) {
		if (f->fail_nth)
			f->fail_nth--;
		if (f->fail_nth == 0) {
			err = f->fail_error;
			if (f->fail_more == 0)
				f->fail_step = NULL;
			else
				f->fail_more--;
			f->fail_nth = f->fail_more || f->fail_step ? 1 : 0;
		}
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static int fd_new(struct fake_kernel *f, const char *kind, bool block)
{
	int v[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, v), 0);
	if (!block)
		fcntl(v[0], F_SETFL, O_NONBLOCK);
	fcntl(v[1], F_SETFL, O_NONBLOCK);
	pthread_mutex_lock(&f->lock);
	assert_true(v[0] < FAKE_FDS);
	f->fds[v[0]].kind = kind;
	f->fds[v[0]].other = v[1];
	f->opened++;
	pthread_mutex_unlock(&f->lock);
	return v[0];
}

static const char *kind_of(struct fake_kernel *f, int fd)
{
	const char *kind;

	pthread_mutex_lock(&f->lock);
	kind = fd >= 0 && fd < FAKE_FDS ? f->fds[fd].kind : NULL;
	pthread_mutex_unlock(&f->lock);
	assert_non_null(kind); /* closed, or never opened */
	return kind;
}

static int fake_socket(const struct kernel_sys *sys, int domain, int type, int protocol)
{
	struct fake_kernel *f = fake_of(sys);
	const char *kind = domain == AF_PPPOX ? "pppox" : "udp";
	int err;

	if (domain == AF_PACKET)
		return -EPERM;
	if (domain == AF_NETLINK)
		return fd_new(f, protocol == NETLINK_GENERIC ? "genl" : "rtnl", true);
	err = step(f, domain == AF_PPPOX ? "socket-pppox" : "socket-udp");
	return err ? err : fd_new(f, kind, false);
}

static void name_set(struct fake_kernel *f, int fd, bool far, const void *sa, socklen_t len)
{
	pthread_mutex_lock(&f->lock);
	memcpy(&f->fds[fd].name[far], sa, len);
	pthread_mutex_unlock(&f->lock);
}

static int fake_bind(const struct kernel_sys *sys, int fd, const void *sa, socklen_t len)
{
	struct fake_kernel *f = fake_of(sys);

	if (strcmp(kind_of(f, fd), "udp") != 0)
		return 0;
	name_set(f, fd, false, sa, len);
	return step(f, "bind");
}

static int fake_connect(const struct kernel_sys *sys, int fd, const void *sa, socklen_t len)
{
	struct fake_kernel *f = fake_of(sys);

	if (strcmp(kind_of(f, fd), "pppox") == 0)
		return step(f, "connect-pppox");
	name_set(f, fd, true, sa, len);
	return step(f, "connect-udp");
}

static int fake_setsockopt(const struct kernel_sys *sys, int fd, int level, int name,
			   const void *value, socklen_t len)
{
	struct fake_kernel *f = fake_of(sys);

	kind_of(f, fd);
	if (level == SOL_NETLINK && name == NETLINK_ADD_MEMBERSHIP)
		f->hints = f->fds[fd].other;
	if (level == SOL_SOCKET && name == SO_ATTACH_FILTER)
		return step(f, "filter");
	if (level == SOL_SOCKET && name == SO_DETACH_FILTER)
		return step(f, "no-filter");
	return 0;
}

static void answer(int to, const struct nlmsghdr *req, int err)
{
	char buf[256];
	struct nlmsghdr *h;
	struct nlmsgerr *e;

	memset(buf, 0, sizeof(buf));
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = NLMSG_ERROR;
	h->nlmsg_seq = req->nlmsg_seq;
	e = mnl_nlmsg_put_extra_header(h, sizeof(*e));
	e->error = err;
	e->msg = *req;
	assert_true(write(to, buf, h->nlmsg_len) > 0);
}

static void answer_family(int to, const struct nlmsghdr *req)
{
	struct genlmsghdr g = { .cmd = CTRL_CMD_NEWFAMILY };
	struct nlattr *groups, *group;
	_Alignas(8) char buf[512];
	struct nlmsghdr *h;

	memset(buf, 0, sizeof(buf));
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = GENL_ID_CTRL;
	h->nlmsg_seq = req->nlmsg_seq;
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof(g)), &g, sizeof(g));
	mnl_attr_put_u16(h, CTRL_ATTR_FAMILY_ID, FAMILY);
	groups = mnl_attr_nest_start(h, CTRL_ATTR_MCAST_GROUPS);
	group = mnl_attr_nest_start(h, 1);
	mnl_attr_put_strz(h, CTRL_ATTR_MCAST_GRP_NAME, L2TP_GENL_MCGROUP);
	mnl_attr_put_u32(h, CTRL_ATTR_MCAST_GRP_ID, GROUP);
	mnl_attr_nest_end(h, group);
	mnl_attr_nest_end(h, groups);
	assert_true(write(to, buf, h->nlmsg_len) > 0);
}

static void answer_info(int to, const struct nlmsghdr *req, uint8_t cmd)
{
	struct genlmsghdr g = { .cmd = cmd };
	_Alignas(8) char buf[512];
	struct nlmsghdr *h;

	memset(buf, 0, sizeof(buf));
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = FAMILY;
	h->nlmsg_seq = req->nlmsg_seq;
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof(g)), &g, sizeof(g));
	mnl_attr_put_u32(h, L2TP_ATTR_CONN_ID, 1);
	mnl_attr_put_u32(h, L2TP_ATTR_PEER_CONN_ID, 2);
	assert_true(write(to, buf, h->nlmsg_len) > 0);
}

/* Each interface has received as many packets as its number says, and sent twice as many. */
static void answer_stats(int to, const struct nlmsghdr *req)
{
	const struct if_stats_msg *asked = mnl_nlmsg_get_payload(req);
	struct rtnl_link_stats64 v = { .rx_packets = asked->ifindex,
				       .tx_packets = 2 * asked->ifindex };
	_Alignas(8) char buf[512];
	struct nlmsghdr *h;

	memset(buf, 0, sizeof(buf));
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = RTM_NEWSTATS;
	h->nlmsg_seq = req->nlmsg_seq;
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof(*asked)), asked, sizeof(*asked));
	mnl_attr_put(h, IFLA_STATS_LINK_64, sizeof(v), &v);
	assert_true(write(to, buf, h->nlmsg_len) > 0);
}

static const char *netlink_step(const struct nlmsghdr *h, bool genl)
{
	static const char *const l2tp[] = { [L2TP_CMD_TUNNEL_CREATE] = "tunnel-create",
					    [L2TP_CMD_TUNNEL_DELETE] = "tunnel-delete",
					    [L2TP_CMD_TUNNEL_GET] = "tunnel-get",
					    [L2TP_CMD_SESSION_CREATE] = "session-create",
					    [L2TP_CMD_SESSION_DELETE] = "session-delete",
					    [L2TP_CMD_SESSION_GET] = "session-get" };
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);

	if (genl)
		return h->nlmsg_type == GENL_ID_CTRL
			       ? "family"
			       : l2tp[((const struct genlmsghdr *)mnl_nlmsg_get_payload(h))->cmd];
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
		return "newlink";
	case RTM_SETLINK:
		return "setlink";
	case RTM_DELLINK:
		return ifi->ifi_index ? "dellink" : "dellink-group";
	case RTM_NEWQDISC:
		return "newqdisc";
	case RTM_NEWTFILTER:
		return "newtfilter";
	case RTM_NEWROUTE:
		return "newroute";
	case RTM_DELROUTE:
		return "delroute";
	case RTM_NEWADDR:
		return "newaddr";
	case RTM_DELADDR:
		return "deladdr";
	case RTM_GETSTATS:
		return "getstats";
	}
	return "other";
}

/* The queue of an interface that is up, or goes up in the same message, is changed last and over a
 * grace period with the RTNL held. */
static void setlink(struct fake_kernel *f, const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct nlattr *a;

	pthread_mutex_lock(&f->lock);
	f->ups += (ifi->ifi_flags & IFF_UP) != 0;
	f->dormant_ups += (ifi->ifi_flags & IFF_UP) && f->dormant;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		f->masters += mnl_attr_get_type(a) == IFLA_MASTER;
		if (mnl_attr_get_type(a) == IFLA_OPERSTATE)
			f->dormant = mnl_attr_get_u8(a) == IF_OPER_DORMANT;
		assert_false(mnl_attr_get_type(a) == IFLA_TXQLEN && ifi->ifi_flags & IFF_UP);
	}
	pthread_mutex_unlock(&f->lock);
}

static ssize_t netlink(struct fake_kernel *f, int fd, const void *bytes, size_t len, bool genl)
{
	const struct nlmsghdr *h = bytes;
	int left = (int)len, to = f->fds[fd].other;

	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		const char *name = netlink_step(h, genl);
		int err = step(f, name);

		if (!err && f->l2tp && h->nlmsg_type == FAMILY)
			err = f->l2tp(f, h);
		if (strcmp(name, "setlink") == 0)
			setlink(f, h);
		if (!err && strcmp(name, "family") == 0)
			answer_family(to, h);
		if (!err && strcmp(name, "tunnel-get") == 0)
			answer_info(to, h, L2TP_CMD_TUNNEL_GET);
		if (!err && strcmp(name, "session-get") == 0)
			answer_info(to, h, L2TP_CMD_SESSION_GET);
		if (!err && h->nlmsg_type == RTM_GETSTATS && !(h->nlmsg_flags & NLM_F_DUMP))
			answer_stats(to, h);
		if (err || h->nlmsg_flags & NLM_F_ACK || h->nlmsg_flags & NLM_F_DUMP)
			answer(to, h, err);
	}
	return (ssize_t)len;
}

static ssize_t fake_send(const struct kernel_sys *sys, int fd, const void *bytes, size_t len,
			 int flags)
{
	struct fake_kernel *f = fake_of(sys);
	ssize_t n;

	if (strcmp(kind_of(f, fd), "genl") == 0 || strcmp(kind_of(f, fd), "rtnl") == 0)
		return netlink(f, fd, bytes, len, strcmp(kind_of(f, fd), "genl") == 0);
	n = send(fd, bytes, len, flags | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static ssize_t fake_recv(const struct kernel_sys *sys, int fd, void *bytes, size_t len, int flags)
{
	struct fake_kernel *f = fake_of(sys);
	ssize_t n;

	kind_of(f, fd);
	if (f->overrun && f->fds[fd].other == f->hints) {
		f->overrun = false;
		f->deaf = true;
		return -ENOBUFS;
	}
	n = recv(fd, bytes, len, flags);
	if (n < 0 && f->deaf && f->fds[fd].other == f->hints) {
		f->deaf = false;
		fake_kernel_fail(f, f->deaf_step, 1, 0, -ENODEV);
		errno = EAGAIN;
	}
	return n < 0 ? -errno : n;
}

static int fake_open(const struct kernel_sys *sys, const char *path, int flags)
{
	struct fake_kernel *f = fake_of(sys);
	int err = step(f, "open-ppp");

	return err ? err : fd_new(f, "ppp", false);
}

static int fake_close(const struct kernel_sys *sys, int fd)
{
	struct fake_kernel *f = fake_of(sys);
	static const char *const names[][2] = {
		{ "pppox", "close-pppox" }, { "chan", "close-chan" }, { "unit", "close-unit" },
		{ "ppp", "close-ppp" },	    { "udp", "close-udp" },   { "netlink", "close-netlink" }
	};
	const char *kind = kind_of(f, fd);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i][0], kind) == 0)
			step(f, names[i][1]);
	}
	pthread_mutex_lock(&f->lock);
	f->fds[fd].kind = NULL;
	f->closed++;
	if (f->fds[fd].other >= 0)
		close(f->fds[fd].other);
	close(fd);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static void kind_set(struct fake_kernel *f, int fd, const char *kind)
{
	pthread_mutex_lock(&f->lock);
	f->fds[fd].kind = kind;
	pthread_mutex_unlock(&f->lock);
}

static int fake_ioctl(const struct kernel_sys *sys, int fd, unsigned long request, void *arg)
{
	struct fake_kernel *f = fake_of(sys);
	struct ifreq *ifr = arg;
	int err;

	kind_of(f, fd);
	switch (request) {
	case PPPIOCGCHAN:
		err = step(f, "gchan");
		*(int *)arg = fd;
		return err;
	case PPPIOCATTCHAN:
		err = step(f, "attchan");
		if (!err)
			kind_set(f, fd, "chan");
		return err;
	case PPPIOCBRIDGECHAN:
		return step(f, "bridge");
	case PPPIOCNEWUNIT:
		return step(f, "newunit");
	case PPPIOCGUNIT:
		err = step(f, "gunit");
		if (!err)
			kind_set(f, fd, "unit");
		*(int *)arg = fd;
		return err;
	case PPPIOCSNPMODE:
		return step(f, "npmode");
	case PPPIOCGFLAGS:
		*(int *)arg = 0;
		return step(f, "gflags");
	case PPPIOCSFLAGS:
		return step(f, "sflags");
	case PPPIOCSCOMPRESS:
		return step(f, "compress");
	case PPPIOCCONNECT:
		return step(f, "connect-unit");
	case SIOCGIFINDEX:
		err = step(f, "ifindex");
		pthread_mutex_lock(&f->lock);
		ifr->ifr_ifindex = f->next_index++;
		pthread_mutex_unlock(&f->lock);
		return err;
	}
	return -ENOTTY;
}

static ssize_t fake_read(const struct kernel_sys *sys, int fd, void *bytes, size_t len)
{
	ssize_t n;

	kind_of(fake_of(sys), fd);
	n = read(fd, bytes, len);
	return n < 0 ? -errno : n;
}

static ssize_t fake_write(const struct kernel_sys *sys, int fd, const void *bytes, size_t len)
{
	ssize_t n;

	kind_of(fake_of(sys), fd);
	n = send(fd, bytes, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static void fake_sleep(const struct kernel_sys *sys, unsigned int us)
{
	step(fake_of(sys), "sleep");
}

void fake_kernel_init(struct fake_kernel *f)
{
	memset(f, 0, sizeof(*f));
	f->sys = (struct kernel_sys){ fake_socket, fake_bind, fake_connect, fake_setsockopt,
				      fake_send,   fake_recv, fake_open,    fake_close,
				      fake_ioctl,  fake_read, fake_write,   fake_sleep };
	f->next_index = 100;
	f->hints = -1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
}

void fake_kernel_end(struct fake_kernel *f)
{
	assert_int_equal(f->opened, f->closed);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
}

void fake_kernel_fail(struct fake_kernel *f, const char *name, uint32_t nth, uint32_t more,
		      int error)
{
	pthread_mutex_lock(&f->lock);
	f->fail_step = name;
	f->fail_nth = nth;
	f->fail_more = more;
	f->fail_error = error;
	pthread_mutex_unlock(&f->lock);
}

void fake_kernel_gate(struct fake_kernel *f, const char *name)
{
	pthread_mutex_lock(&f->lock);
	f->gate = name;
	f->gate_open = false;
	pthread_mutex_unlock(&f->lock);
}

bool fake_kernel_at_gate(struct fake_kernel *f)
{
	bool at;

	pthread_mutex_lock(&f->lock);
	at = f->at_gate;
	pthread_mutex_unlock(&f->lock);
	return at;
}

void fake_kernel_wait_gate(struct fake_kernel *f)
{
	pthread_mutex_lock(&f->lock);
	while (!f->at_gate)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

void fake_kernel_let_go(struct fake_kernel *f)
{
	pthread_mutex_lock(&f->lock);
	f->gate_open = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

uint32_t fake_kernel_count(struct fake_kernel *f, const char *name)
{
	uint32_t n = 0;

	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < f->step_n; i++)
		n += strcmp(f->steps[i], name) == 0;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fake_kernel_forget(struct fake_kernel *f)
{
	pthread_mutex_lock(&f->lock);
	f->step_n = 0;
	pthread_mutex_unlock(&f->lock);
}

int fake_kernel_far(struct fake_kernel *f, const char *kind, uint32_t n)
{
	int fd = -1;

	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < FAKE_FDS && fd < 0; i++) {
		if (f->fds[i].kind && strcmp(f->fds[i].kind, kind) == 0 && n-- == 0)
			fd = f->fds[i].other;
	}
	pthread_mutex_unlock(&f->lock);
	return fd;
}

uint32_t fake_kernel_open_count(struct fake_kernel *f, const char *kind)
{
	uint32_t n = 0;

	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < FAKE_FDS; i++)
		n += f->fds[i].kind && strcmp(f->fds[i].kind, kind) == 0;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fake_kernel_notify(struct fake_kernel *f, uint32_t tunnel, uint32_t session)
{
	struct genlmsghdr g = { .cmd = session ? L2TP_CMD_SESSION_DELETE : L2TP_CMD_TUNNEL_DELETE };
	_Alignas(8) char buf[256];
	struct nlmsghdr *h;

	memset(buf, 0, sizeof(buf));
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = FAMILY;
	memcpy(mnl_nlmsg_put_extra_header(h, sizeof(g)), &g, sizeof(g));
	mnl_attr_put_u32(h, L2TP_ATTR_CONN_ID, tunnel);
	if (session)
		mnl_attr_put_u32(h, L2TP_ATTR_SESSION_ID, session);
	assert_true(write(f->hints, buf, h->nlmsg_len) > 0);
}
