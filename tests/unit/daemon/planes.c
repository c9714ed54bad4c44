/* SPDX-License-Identifier: MIT
 *
 * See planes.h.
 */
#include "planes.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "../dp/fake_host.h"
#include "../dp/fake_kernel.h"
#include "../dp/fake_l2tp.h"
#include "dp/auto.h"
#include "dp/batch.h"
#include "dp/kernel.h"
#include "dp/remote.h"
#include "dp/user.h"
#include "keeper/plane.h"

#define QUEUE	64 /* records and frames on their way */
#define WAIT_MS 120000
#define IP_HEAD 20
#ifndef IPPROTO_L2TP
#define IPPROTO_L2TP 115
#endif

struct records {
	int fd;
	size_t len;
	uint8_t bytes[BATCH_MAX];
};

struct frame {
	char ifname[DP_IFNAME];
	size_t len;
	uint8_t bytes[PLANES_FRAME];
};

struct listener {
	uint32_t via;
	int fd; /* the net's end */
};

struct planes {
	struct fake_kernel kernel;
	struct fake_l2tp l2tp;
	struct kernel_probe probe;
	struct fake_host host;
	struct kplane *k;
	struct conf *first; /* of the beginning */
	struct dp *user, *remote, *dp;
	struct addr own;
	struct listener socket; /* a side has one; via 0 = none */
	struct mono now;
	struct records *up, *down; /* QUEUE each: to aditd, to the keeper */
	size_t up_count, down_count;
	uint32_t asked; /* tunnels that are not answered yet */
	struct dp_done done;
	struct frame frames[8]; /* out of interfaces of the kernel */
	size_t frame_count;
};

/* ---- the net ---- */

/* Before each datagram in a listener's pair: its way as seen from the plane. */
struct head {
	struct path path;
	bool raw;
};

/* What getsockname() and SO_PROTOCOL say of local sockets just now. */
static const struct addr *shown;
static bool shown_raw;
static bool carrier; /* that was told last */

int __real_getsockname(int fd, struct sockaddr *name, socklen_t *len);
int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_getsockname(int fd, struct sockaddr *name, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_recvmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags, struct timespec *end);
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags);

int __wrap_getsockname(int fd, struct sockaddr *name, socklen_t *len)
{
	struct sockaddr_storage ss;

	if (!shown)
		return __real_getsockname(fd, name, len);
	*len = addr_to_sockaddr(shown, &ss);
	memcpy(name, &ss, *len);
	return 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	if (!shown || level != SOL_SOCKET || option != SO_PROTOCOL)
		return __real_getsockopt(fd, level, option, value, len);
	*(int *)value = shown_raw ? IPPROTO_L2TP : 0;
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (request != TUNSETCARRIER)
		return __real_ioctl(fd, request, arg);
	carrier = *(int *)arg != 0;
	return 0;
}

/* As from a raw socket of IPv4, whose packets have their header. */
static size_t ip_head(const struct head *h, uint8_t *to, size_t len)
{
	if (!h->raw || h->path.remote.family != AF_INET)
		return 0;
	memset(to, 0, IP_HEAD);
	to[0] = 0x45;
	to[2] = (uint8_t)((len + IP_HEAD) >> 8);
	to[3] = (uint8_t)(len + IP_HEAD);
	to[9] = IPPROTO_L2TP;
	memcpy(to + 12, h->path.remote.ip, 4);
	memcpy(to + 16, h->path.local.ip, 4);
	return IP_HEAD;
}

static bool receive_one(int fd, struct mmsghdr *m)
{
	uint8_t buf[sizeof(struct head) + PLANES_FRAME + 64], *to = m->msg_hdr.msg_iov->iov_base;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	struct sockaddr_storage ss;
	struct head h;
	size_t len;

	if (n < (ssize_t)sizeof(h))
		return false;
	memcpy(&h, buf, sizeof(h));
	len = (size_t)n - sizeof(h);
	m->msg_hdr.msg_namelen = addr_to_sockaddr(&h.path.remote, &ss);
	memcpy(m->msg_hdr.msg_name, &ss, m->msg_hdr.msg_namelen);
	m->msg_hdr.msg_controllen = 0; /* the listener has one address */
	m->msg_hdr.msg_flags = 0;
	to += ip_head(&h, to, len);
	memcpy(to, buf + sizeof(h), len);
	m->msg_len = (unsigned int)(to + len - (uint8_t *)m->msg_hdr.msg_iov->iov_base);
	return true;
}

int __wrap_recvmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags, struct timespec *end)
{
	unsigned int i = 0;

	while (i < n && receive_one(fd, m + i))
		i++;
	errno = EAGAIN;
	return i ? (int)i : -1;
}

/* The address it is sent from, as IP_PKTINFO asks for it. */
static void local_of(struct msghdr *m, struct addr *ret)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	memset(ret, 0, sizeof(*ret));
	if (c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo i;

		memcpy(&i, CMSG_DATA(c), sizeof(i));
		ret->family = AF_INET;
		memcpy(ret->ip, &i.ipi_spec_dst, 4);
	} else if (c && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo i;

		memcpy(&i, CMSG_DATA(c), sizeof(i));
		ret->family = AF_INET6;
		memcpy(ret->ip, &i.ipi6_addr, 16);
	}
}

int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	for (unsigned int i = 0; i < n; i++) {
		struct msghdr *h = &m[i].msg_hdr;
		uint8_t buf[sizeof(struct head) + PLANES_FRAME + 64];
		size_t len = sizeof(struct head);
		struct head head;

		memset(&head, 0, sizeof(head));
		if (addr_from_sockaddr(h->msg_name, h->msg_namelen, &head.path.remote) < 0)
			return -1;
		local_of(h, &head.path.local);
		memcpy(buf, &head, sizeof(head));
		for (size_t k = 0; k < h->msg_iovlen; k++) {
			if (len + h->msg_iov[k].iov_len > sizeof(buf)) {
				errno = EMSGSIZE;
				return -1;
			}
			memcpy(buf + len, h->msg_iov[k].iov_base, h->msg_iov[k].iov_len);
			len += h->msg_iov[k].iov_len;
		}
		m[i].msg_len = (unsigned int)(len - sizeof(head));
		if (send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			return -1;
	}
	return (int)n;
}

static void listen_on(struct planes *p, const struct conf_socket *s)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	p->socket = (struct listener){ s->via, fds[0] };
	shown_raw = s->encap == DP_ENCAP_IP;
	shown = &p->own;
	assert_int_equal(p->dp->ops->listen(p->dp, s->via, fds[1]), 0);
	shown = NULL;
	close(fds[1]);
}

/* ---- the part of the keeper's net.h that its plane uses ---- */

uint8_t net_proto(const struct net *n)
{
	return 0xad;
}

int net_addr(struct net *n, const char *ifname, const struct prefix *p, bool add,
	     const char **ret_text)
{
	return 0;
}

int net_pin(struct net *n, const struct addr *to, enum net_holder holder, bool add,
	    const char **ret_text)
{
	return 0;
}

/* ---- between aditd and the keeper ---- */

static void queue(struct records *q, size_t *count, const uint8_t *bytes, size_t len, int fd)
{
	assert_true(*count < QUEUE);
	q[*count].fd = fd;
	q[*count].len = len;
	memcpy(q[*count].bytes, bytes, len);
	++*count;
}

static int to_keeper(void *arg, const uint8_t *bytes, size_t len)
{
	struct planes *p = arg;

	queue(p->down, &p->down_count, bytes, len, -1);
	return 0;
}

static void to_aditd(void *arg, const uint8_t *bytes, size_t len, int fd, bool dispensable)
{
	struct planes *p = arg;

	queue(p->up, &p->up_count, bytes, len, fd < 0 ? -1 : dup(fd));
}

static bool on_behind(void *arg)
{
	return false;
}

static void on_say(void *arg, enum trace_level level, const char *text)
{
	if (level == TRACE_WARNING)
		fail_msg("the keeper says: %s", text);
}

static bool on_known(void *arg, const struct addr *a)
{
	return false;
}

static void events(struct planes *p)
{
	struct dp_event e;

	shown = &p->own; /* of the tunnel's own socket */
	while (p->dp->ops->event(p->dp, &e)) {
		if (e.kind != DP_EV_TUNNEL || !p->asked)
			fail_msg("tunnel %u: %s", e.tunnel, e.text);
		p->asked--;
	}
	shown = NULL;
}

static void pump(struct planes *p)
{
	size_t n;

	fake_host_answer(&p->host);
	dp_remote_flush(p->remote);
	n = p->down_count;
	for (size_t i = 0; i < n; i++)
		kplane_input(p->k, p->now, p->down[i].bytes, p->down[i].len);
	p->down_count = 0;
	kplane_work(p->k, p->now);
	n = p->up_count;
	for (size_t i = 0; i < n; i++)
		dp_remote_input(p->remote, p->up[i].bytes, p->up[i].len, p->up[i].fd);
	p->up_count = 0;
	if (!p->dp)
		return;
	events(p);
	if (!p->done.op && p->dp->ops->done(p->dp, &p->done))
		p->dp->ops->committed(p->dp);
}

/* Whatever of both planes has news, or half a tick: some ends are not told. */
static void wait_news(struct planes *p)
{
	struct pollfd fds[] = { { .fd = kplane_fd(p->k), .events = POLLIN },
				{ .fd = p->user->ops->fd(p->user), .events = POLLIN } };

	poll(fds, 2, 2);
}

#define WAIT(p, condition)                                              \
	do {                                                            \
		for (int wait_i = 0; pump(p), !(condition); wait_i++) { \
			if (wait_i == WAIT_MS / 2)                      \
				fail_msg("not in time: " #condition);   \
			wait_news(p);                                   \
		}                                                       \
	} while (0)

/* ---- beginning and end ---- */

static bool listed(const struct planes *p)
{
	const char *text;
	int error;

	return dp_remote_listed(p->remote, &error, &text);
}

static void keeper_open(struct planes *p)
{
	struct kplane_config config = { .sys = &p->kernel.sys,
					.probe = &p->probe,
					.unclaimed = true,
					.send = to_aditd,
					.behind = on_behind,
					.say = on_say,
					.known = on_known,
					.arg = p };
	char err[CONF_ERR_MAX] = "";

	p->first = conf_parse("pseudowire \"x\" { remote = 192.0.2.1 data-plane = kernel }", "t",
			      CONF_NO_FILES, err, sizeof(err));
	assert_string_equal(err, "");
	fake_kernel_init(&p->kernel);
	fake_l2tp_init(&p->l2tp, &p->kernel);
	p->k = kplane_new(&config, p->first);
	assert_non_null(p->k);
	kplane_begin(p->k, 1);
}

struct planes *planes_new(void)
{
	struct planes *p = calloc(1, sizeof(*p));
	struct dp_user_config user = {
		.host_ops = &fake_host_ops, .host = &p->host, .max_sessions = 16, .keep_ended = true
	};
	struct dp_remote_config remote = { .send = to_keeper, .arg = p };
	struct dp_auto_config both = { .attach = dp_user_attach, .detach = dp_user_detach };

	p->now.us = US_S;
	p->up = calloc(QUEUE, sizeof(*p->up));
	p->down = calloc(QUEUE, sizeof(*p->down));
	fake_host_init(&p->host);
	keeper_open(p);
	p->user = both.user = p->host.dp = dp_user_new(&user);
	p->remote = both.kernel = dp_remote_new(&remote);
	assert_true(p->user && p->remote);
	assert_int_equal(dp_remote_ask(p->remote), 0);
	WAIT(p, listed(p));
	p->dp = dp_auto_new(&both);
	assert_non_null(p->dp);
	return p;
}

static void unlisten(struct planes *p)
{
	if (!p->socket.via)
		return;
	assert_int_equal(p->dp->ops->unlisten(p->dp, p->socket.via), 0);
	close(p->socket.fd);
	p->socket.via = 0;
}

void planes_free(struct planes *p)
{
	unlisten(p);
	p->dp->ops->free(p->dp);
	kplane_free(p->k);
	fake_kernel_end(&p->kernel);
	fake_l2tp_end(&p->l2tp);
	fake_host_fini(&p->host);
	conf_free(p->first);
	free(p->up);
	free(p->down);
	free(p);
}

void planes_conf(struct planes *p, const struct conf *c, const struct addr *own)
{
	unlisten(p);
	fake_kernel_forget(&p->kernel);
	kplane_conf(p->k, c ? c : p->first, p->now);
	if (!c)
		return;
	p->own = *own;
	p->own.port = c->sockets[0].addr.port;
	assert_int_equal(c->socket_count, 1);
	listen_on(p, c->sockets);
}

/* ---- requests ---- */

/* Its completion. */
static int done(struct planes *p, uint8_t op, uint64_t key, uint32_t generation)
{
	WAIT(p, p->done.op);
	assert_int_equal(p->done.op, op);
	assert_int_equal(p->done.key, key);
	assert_int_equal(p->done.generation, generation);
	if (p->done.error)
		print_error("the data plane: %s\n", p->done.text);
	p->done.op = 0;
	return p->done.error;
}

int planes_put(void *planes, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	struct planes *p = planes;

	assert_int_equal(p->dp->ops->put(p->dp, key, generation, row), 0);
	return done(p, DP_OP_PUT, key, generation);
}

void planes_del(void *planes, uint64_t key, uint32_t generation)
{
	struct planes *p = planes;

	assert_int_equal(p->dp->ops->del(p->dp, key, generation), 0);
	assert_int_equal(done(p, DP_OP_DEL, key, generation), 0);
}

void planes_tunnel(void *planes, const struct dp_tunnel *t)
{
	struct planes *p = planes;
	const char *why;

	assert_true(dp_tunnel_ok(t));
	assert_int_equal(p->dp->ops->tunnel(p->dp, t), 0);
	p->asked++;
	WAIT(p, !p->asked);
	assert_string_equal(p->dp->ops->where_tunnel(p->dp, t->local, &why),
			    t->want == DP_WANT_USER ? "user" : "kernel");
}

void planes_tunnel_del(void *planes, uint32_t local)
{
	struct planes *p = planes;

	assert_int_equal(p->dp->ops->tunnel_del(p->dp, local), 0);
	pump(p);
}

/* ---- what is there ---- */

const char *planes_where(struct planes *p, uint64_t key)
{
	const char *why;

	return p->dp->ops->where(p->dp, key, &why);
}

static bool in_kernel(struct planes *p, uint64_t key)
{
	return strcmp(planes_where(p, key), "kernel") == 0;
}

bool planes_carrier(struct planes *p, uint64_t key)
{
	return in_kernel(p, key) ? !p->kernel.dormant : carrier;
}

static bool none_left(struct planes *p)
{
	uint32_t tunnels, sessions;

	kplane_counts(p->k, &tunnels, &sessions);
	return !tunnels && !sessions && !fake_kernel_open_count(&p->kernel, "udp");
}

void planes_empty(struct planes *p)
{
	struct dp_plane_stats s;
	uint32_t generation;
	uint64_t pos = 0, key;

	WAIT(p, none_left(p));
	assert_int_equal(p->l2tp.session_count, 0);
	assert_int_equal(p->l2tp.tunnel_count, 0);
	if (p->l2tp.wrong)
		fail_msg("the kernel was asked for %s", p->l2tp.wrong);
	p->dp->ops->plane_stats(p->dp, &s);
	assert_int_equal(s.rows, 0);
	assert_false(p->dp->ops->list(p->dp, &pos, &key, &generation));
	assert_int_equal(p->host.there_count, 0);
	assert_int_equal(p->frame_count, 0);
}

/* ---- frames ---- */

/* Something to read; fails when nothing comes. */
static size_t read_from(int fd, uint8_t *to, size_t cap)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&f, 1, WAIT_MS) != 1)
		fail_msg("nothing comes out");
	n = recv(fd, to, cap, 0);
	assert_true(n > 0);
	return (size_t)n;
}

size_t planes_send(struct planes *p, uint64_t key, const char *ifname, const uint8_t *frame,
		   size_t len, uint8_t *ret, struct path *ret_path)
{
	uint8_t buf[sizeof(struct head) + PLANES_FRAME + 64];
	struct head h;
	size_t n;

	if (in_kernel(p, key)) {
		n = fake_l2tp_send(&p->l2tp, ifname, frame, len, ret, ret_path);
		assert_true(n > 0);
		return n;
	}
	assert_int_equal(send(fake_host_tun(&p->host, ifname), frame, len, 0), len);
	n = read_from(p->socket.fd, buf, sizeof(buf)) - sizeof(h);
	memcpy(&h, buf, sizeof(h));
	memcpy(ret, buf + sizeof(h), n);
	*ret_path = h.path;
	ret_path->local.port = h.path.remote.port ? p->own.port : 0;
	return n;
}

static void kernel_receive(struct planes *p, const struct path *path, const uint8_t *bytes,
			   size_t len)
{
	struct frame *f = p->frames + p->frame_count;
	size_t off;

	if (!fake_l2tp_receive(&p->l2tp, path, bytes, len, &off, f->ifname))
		return;
	assert_true(p->frame_count < sizeof(p->frames) / sizeof(p->frames[0]));
	f->len = len - off;
	memcpy(f->bytes, bytes + off, f->len);
	p->frame_count++;
}

void planes_receive(struct planes *p, uint64_t key, const struct path *path, const uint8_t *bytes,
		    size_t len)
{
	uint8_t buf[sizeof(struct head) + PLANES_FRAME + 64];
	struct head h;

	if (in_kernel(p, key)) {
		kernel_receive(p, path, bytes, len);
		return;
	}
	memset(&h, 0, sizeof(h));
	h.path = *path;
	h.raw = !path->remote.port;
	assert_true(sizeof(h) + len <= sizeof(buf));
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), bytes, len);
	assert_int_equal(send(p->socket.fd, buf, sizeof(h) + len, 0), sizeof(h) + len);
}

size_t planes_frame(struct planes *p, uint64_t key, const char *ifname, uint8_t *ret)
{
	struct frame f;

	if (!in_kernel(p, key))
		return read_from(fake_host_tun(&p->host, ifname), ret, PLANES_FRAME);
	if (!p->frame_count)
		fail_msg("nothing comes out of %s", ifname);
	f = p->frames[0];
	memmove(p->frames, p->frames + 1, --p->frame_count * sizeof(f));
	assert_string_equal(f.ifname, ifname);
	memcpy(ret, f.bytes, f.len);
	return f.len;
}
