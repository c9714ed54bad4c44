/* SPDX-License-Identifier: MIT
 *
 * aditd's side of the pair to the keeper.
 *
 * A request is one object from the call to the moment its answer is taken, and has room for the
 * answer from the start: so receiving never fails for want of memory, and an answer that came is
 * never lost. It moves through three lists: to send, waiting, done.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/wire.h"

struct request {
	struct list node;
	struct keeper_done done; /* id 0: records of the data plane, which are not answered */
	size_t len;
	uint8_t bytes[]; /* the datagram */
};

/* Records of the data plane that came. */
struct records {
	struct list node;
	int fd;
	size_t len;
	uint8_t bytes[];
};

struct keeper {
	int fd;
	uint32_t last_id;
	struct list to_send, waiting, done;
	struct list records;
	struct records *shown; /* given out by keeper_plane_next() */
	size_t open;
	bool told_reload;
	int dead;	       /* negative errno once the pair is unusable */
	struct keeper_msg msg; /* the one being built or read */
	uint8_t buf[KEEPER_MAX];
};

int keeper_fd_from_env(void)
{
	const char *text = getenv(KEEPER_FD_ENV);
	int type = 0;
	socklen_t len = sizeof(type);
	char *end;
	long n;

	if (!text)
		return -ENOENT;
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < 0 || n > INT32_MAX)
		n = -1;
	unsetenv(KEEPER_FD_ENV);
	if (n < 0 || getsockopt((int)n, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET)
		return -EINVAL;
	return (int)n;
}

int keeper_gate_path(const char *control, char *ret, size_t cap)
{
	int n = snprintf(ret, cap, "%s.keeper", control);

	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

int keeper_connect(const char *control)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int err = keeper_gate_path(control, un.sun_path, sizeof(un.sun_path)), fd;

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

struct keeper *keeper_open(int fd, int *ret_err)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int flags;

	if (!k) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		*ret_err = -errno;
		free(k);
		return NULL;
	}
	k->fd = fd;
	list_init(&k->to_send);
	list_init(&k->waiting);
	list_init(&k->done);
	list_init(&k->records);
	return k;
}

static void fds_close(const int *fds, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		close(fds[i]);
}

static void records_free(struct records *r)
{
	if (r && r->fd >= 0)
		close(r->fd);
	free(r);
}

static void list_free(struct list *l)
{
	struct list *node;

	while ((node = list_pop(l))) {
		struct request *r = container_of(node, struct request, node);

		fds_close(r->done.fds, r->done.fd_count);
		free(r);
	}
}

void keeper_close(struct keeper *k)
{
	if (!k)
		return;
	list_free(&k->to_send);
	list_free(&k->waiting);
	list_free(&k->done);
	for (struct list *node; (node = list_pop(&k->records));)
		records_free(container_of(node, struct records, node));
	records_free(k->shown);
	close(k->fd);
	free(k);
}

int keeper_fd(const struct keeper *k)
{
	return k->fd;
}

short keeper_events(const struct keeper *k)
{
	return list_empty(&k->to_send) ? POLLIN : POLLIN | POLLOUT;
}

size_t keeper_open_count(const struct keeper *k)
{
	return k->open;
}

/* Nothing comes any more: all open requests end with `err`. */
static int keeper_fail(struct keeper *k, int err)
{
	struct list *from[2] = { &k->waiting, &k->to_send }, *node;
	size_t i;

	k->dead = err;
	for (i = 0; i < 2; i++) {
		while ((node = list_pop(from[i]))) {
			struct request *r = container_of(node, struct request, node);

			if (!r->done.id) {
				free(r);
				continue;
			}
			r->done.error = err;
			snprintf(r->done.text, sizeof(r->done.text), "%s",
				 err == -ECONNRESET ? "the keeper is gone"
						    : "the keeper does not speak our protocol");
			list_push(&k->done, node);
		}
	}
	return err;
}

/* ---- in ---- */

static int text_copy(char *dst, size_t cap, const char *src)
{
	size_t n = strlen(src);

	if (n == 0 || n >= cap)
		return -EINVAL;
	memcpy(dst, src, n + 1);
	return 0;
}

static void answer_fill(struct keeper_done *d, const struct keeper_msg *m, const int *fds,
			size_t fd_count)
{
	size_t i;

	d->error = m->error > INT32_MAX ? -EIO : -(int)m->error;
	memcpy(d->text, m->text, sizeof(d->text));
	memcpy(d->addrs, m->addrs, sizeof(d->addrs));
	d->addr_count = m->addr_count;
	memcpy(d->sizes, m->sizes, sizeof(d->sizes));
	d->status = m->status;
	d->starts = m->starts;
	d->incarnation = m->incarnation;
	d->since.us = m->since > INT64_MAX ? INT64_MAX : (int64_t)m->since;
	for (i = 0; i < fd_count; i++)
		d->fds[i] = fds[i];
	d->fd_count = (uint32_t)fd_count;
}

/* Keep records of the data plane until they are taken. */
static int records_in(struct keeper *k, const uint8_t *bytes, size_t len, const int *fds,
		      size_t fd_count)
{
	struct records *r = malloc(sizeof(*r) + len);

	if (!r) {
		fds_close(fds, fd_count);
		return keeper_fail(k, -ENOMEM);
	}
	list_init(&r->node);
	r->fd = fd_count ? fds[0] : -1;
	if (fd_count > 1)
		fds_close(fds + 1, fd_count - 1);
	r->len = len;
	memcpy(r->bytes, bytes, len);
	list_push(&k->records, &r->node);
	return 0;
}

static int datagram_in(struct keeper *k, size_t len, const int *fds, size_t fd_count)
{
	struct keeper_msg *m = &k->msg;
	size_t n;
	const uint8_t *records = keeper_plane_body(k->buf, len, &n);

	if (records)
		return records_in(k, records, n, fds, fd_count);
	if (keeper_msg_load(k->buf, len, m) < 0 ||
	    (m->id == 0 ? m->type != KEEPER_RELOAD : m->type != KEEPER_REPLY)) {
		fds_close(fds, fd_count);
		return keeper_fail(k, -EBADMSG);
	}
	if (m->id == 0) {
		fds_close(fds, fd_count);
		k->told_reload = true;
		return 0;
	}
	list_for_each (it, &k->waiting) {
		struct request *r = container_of(it, struct request, node);

		if (r->done.id != m->id)
			continue;
		answer_fill(&r->done, m, fds, fd_count);
		list_drop(it);
		list_push(&k->done, it);
		return 0;
	}
	fds_close(fds, fd_count); /* an answer to nothing */
	return 0;
}

/* Descriptors of a message that came; more than fit are closed. */
static size_t fds_take(struct msghdr *msg, int fds[KEEPER_FDS])
{
	struct cmsghdr *c;
	size_t n = 0, i, count;
	int fd;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < KEEPER_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

/* 1 = took one, 0 = there is none, <0 = the pair is dead. */
static int receive_one(struct keeper *k)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(KEEPER_FDS * sizeof(int))];
	} control;
	struct iovec iov = { k->buf, sizeof(k->buf) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	int fds[KEEPER_FDS], err;
	ssize_t n = recvmsg(k->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	size_t fd_count;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n <= 0)
		return keeper_fail(k, -ECONNRESET);
	fd_count = fds_take(&msg, fds);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		fds_close(fds, fd_count);
		return keeper_fail(k, -EBADMSG);
	}
	err = datagram_in(k, (size_t)n, fds, fd_count);
	return err < 0 ? err : 1;
}

/* ---- out ---- */

static int send_queued(struct keeper *k)
{
	while (!list_empty(&k->to_send)) {
		struct request *r = container_of(k->to_send.next, struct request, node);
		ssize_t n = send(k->fd, r->bytes, r->len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
			return 0;
		if (n < 0) {
			/* What it said before it went is still to be read. */
			while (receive_one(k) > 0)
				;
			return keeper_fail(k, -ECONNRESET);
		}
		list_drop(&r->node);
		if (r->done.id)
			list_push(&k->waiting, &r->node);
		else
			free(r);
	}
	return 0;
}

int keeper_plane(struct keeper *k, const uint8_t *records, size_t len)
{
	struct request *r;
	struct wcur c;

	if (k->dead)
		return k->dead;
	if (len > KEEPER_MAX - KEEPER_HEADER)
		return -EINVAL;
	r = calloc(1, sizeof(*r) + KEEPER_HEADER + len);
	if (!r)
		return -ENOMEM;
	c = wcur_of(r->bytes, KEEPER_HEADER + len);
	keeper_plane_head(&c);
	wcur_bytes(&c, records, len);
	r->len = c.len;
	list_push(&k->to_send, &r->node);
	return send_queued(k);
}

bool keeper_plane_next(struct keeper *k, const uint8_t **ret_records, size_t *ret_len, int *ret_fd)
{
	struct list *node = list_pop(&k->records);

	records_free(k->shown);
	k->shown = NULL;
	if (!node)
		return false;
	k->shown = container_of(node, struct records, node);
	*ret_records = k->shown->bytes;
	*ret_len = k->shown->len;
	*ret_fd = k->shown->fd;
	k->shown->fd = -1;
	return true;
}

int keeper_work(struct keeper *k)
{
	int err;

	if (k->dead)
		return k->dead;
	err = send_queued(k);
	while (!err) {
		err = receive_one(k);
		if (err <= 0)
			return err;
		err = 0;
	}
	return err;
}

int keeper_flush(struct keeper *k)
{
	return k->dead ? k->dead : send_queued(k);
}

bool keeper_next(struct keeper *k, struct keeper_done *ret)
{
	struct list *node = list_pop(&k->done);
	struct request *r;

	if (!node) {
		if (!k->told_reload)
			return false;
		k->told_reload = false;
		memset(ret, 0, sizeof(*ret));
		ret->type = KEEPER_RELOAD;
		return true;
	}
	r = container_of(node, struct request, node);
	*ret = r->done;
	free(r);
	k->open--;
	return true;
}

static bool take_id(struct keeper *k, uint32_t id, struct keeper_done *ret)
{
	list_for_each (it, &k->done) {
		struct request *r = container_of(it, struct request, node);

		if (r->done.id != id)
			continue;
		list_drop(it);
		*ret = r->done;
		free(r);
		k->open--;
		return true;
	}
	return false;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int keeper_wait(struct keeper *k, uint32_t id, int timeout_ms, struct keeper_done *ret)
{
	int64_t end = now_ms() + timeout_ms, left;
	struct pollfd p = { .fd = k->fd };
	int err;

	for (;;) {
		err = keeper_work(k);
		if (take_id(k, id, ret))
			return 0;
		if (err < 0)
			return err;
		left = end - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		p.events = keeper_events(k);
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
}

/* Make a request of k->msg, whose fields and `have` are set, and queue it. */
static int queue(struct keeper *k, enum keeper_type type, uint64_t cookie, uint32_t *ret_id)
{
	struct wcur c = wcur_of(k->buf, sizeof(k->buf));
	struct request *r;
	uint32_t id;

	if (k->dead)
		return k->dead;
	id = k->last_id + 1 ? k->last_id + 1 : 1; /* 0 is no request */
	k->msg.id = id;
	k->msg.type = (uint16_t)type;
	keeper_msg_save(&c, &k->msg);
	if (c.bad)
		return -EINVAL;
	r = malloc(sizeof(*r) + c.len);
	if (!r)
		return -ENOMEM;
	memset(&r->done, 0, sizeof(r->done));
	r->done.id = id;
	r->done.type = type;
	r->done.cookie = cookie;
	memcpy(r->done.name, k->msg.name, sizeof(r->done.name));
	r->len = c.len;
	memcpy(r->bytes, c.buf, c.len);
	list_push(&k->to_send, &r->node);
	k->last_id = id;
	k->open++;
	if (ret_id)
		*ret_id = id;
	return 0;
}

static struct keeper_msg *begin(struct keeper *k)
{
	memset(&k->msg, 0, sizeof(k->msg));
	return &k->msg;
}

static int begin_name(struct keeper *k, const char *name)
{
	struct keeper_msg *m = begin(k);

	m->have = 1u << KEEPER_T_NAME;
	return text_copy(m->name, sizeof(m->name), name);
}

int keeper_hello(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_HELLO, cookie, ret_id);
}

int keeper_conf(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_CONF, cookie, ret_id);
}

int keeper_ready(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_READY, cookie, ret_id);
}

int keeper_stopping(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_STOPPING, cookie, ret_id);
}

int keeper_stopped(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_STOPPED, cookie, ret_id);
}

int keeper_status(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_STATUS, cookie, ret_id);
}

int keeper_upgrade(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_UPGRADE, cookie, ret_id);
}

int keeper_reload(struct keeper *k, uint64_t cookie, uint32_t *ret_id)
{
	begin(k);
	return queue(k, KEEPER_RELOAD, cookie, ret_id);
}

int keeper_socket(struct keeper *k, uint64_t cookie, uint32_t via, uint32_t *ret_id)
{
	struct keeper_msg *m = begin(k);

	m->have = 1u << KEEPER_T_VIA;
	m->via = via;
	return queue(k, KEEPER_SOCKET, cookie, ret_id);
}

int keeper_socket_gone(struct keeper *k, uint64_t cookie, uint32_t via, uint32_t *ret_id)
{
	struct keeper_msg *m = begin(k);

	m->have = 1u << KEEPER_T_VIA;
	m->via = via;
	return queue(k, KEEPER_SOCKET_GONE, cookie, ret_id);
}

int keeper_tun(struct keeper *k, uint64_t cookie, const char *ifname, bool ethernet,
	       uint32_t *ret_id)
{
	int err = begin_name(k, ifname);

	if (ethernet) {
		k->msg.have |= 1u << KEEPER_T_ETHERNET;
		k->msg.ethernet = 1;
	}
	return err ? err : queue(k, KEEPER_TUN, cookie, ret_id);
}

int keeper_tun_gone(struct keeper *k, uint64_t cookie, const char *ifname, uint32_t *ret_id)
{
	int err = begin_name(k, ifname);

	return err ? err : queue(k, KEEPER_TUN_GONE, cookie, ret_id);
}

int keeper_link(struct keeper *k, uint64_t cookie, const char *ifname, uint32_t mtu,
		const char *master, uint32_t *ret_id)
{
	int err = begin_name(k, ifname);

	if (!err && master) {
		k->msg.have |= 1u << KEEPER_T_MASTER;
		err = master[0] ? text_copy(k->msg.master, sizeof(k->msg.master), master) : 0;
	}
	if (err)
		return err;
	k->msg.have |= 1u << KEEPER_T_MTU;
	k->msg.mtu = mtu;
	return queue(k, KEEPER_LINK, cookie, ret_id);
}

int keeper_addr(struct keeper *k, uint64_t cookie, const char *ifname, const struct prefix *prefix,
		bool add, uint32_t *ret_id)
{
	int err = begin_name(k, ifname);

	if (err)
		return err;
	k->msg.have |= 1u << KEEPER_T_PREFIX | 1u << KEEPER_T_ADD;
	k->msg.prefix = *prefix;
	k->msg.add = add;
	return queue(k, KEEPER_ADDR, cookie, ret_id);
}

int keeper_route(struct keeper *k, uint64_t cookie, const char *ifname, const struct prefix *prefix,
		 uint32_t table, uint32_t metric, bool add, uint32_t *ret_id)
{
	int err = begin_name(k, ifname);

	if (err)
		return err;
	k->msg.have |= 1u << KEEPER_T_PREFIX | 1u << KEEPER_T_ADD | 1u << KEEPER_T_TABLE |
		       1u << KEEPER_T_METRIC;
	k->msg.prefix = *prefix;
	k->msg.table = table;
	k->msg.metric = metric;
	k->msg.add = add;
	return queue(k, KEEPER_ROUTE, cookie, ret_id);
}

int keeper_pin(struct keeper *k, uint64_t cookie, const struct addr *to, bool add, uint32_t *ret_id)
{
	struct keeper_msg *m = begin(k);

	m->have = 1u << KEEPER_T_ADDR | 1u << KEEPER_T_ADD;
	m->addrs[0] = *to;
	m->addr_count = 1;
	m->add = add;
	return queue(k, KEEPER_PIN, cookie, ret_id);
}

int keeper_resolve(struct keeper *k, uint64_t cookie, const char *host, uint16_t port,
		   uint32_t *ret_id)
{
	struct keeper_msg *m = begin(k);
	int err = text_copy(m->host, sizeof(m->host), host);

	if (err)
		return err;
	m->have = 1u << KEEPER_T_HOST | 1u << KEEPER_T_PORT;
	m->port = port;
	return queue(k, KEEPER_RESOLVE, cookie, ret_id);
}

int keeper_hook(struct keeper *k, uint64_t cookie, const char *name, const char *program,
		const char *const *env, size_t count, uint32_t *ret_id)
{
	int err = begin_name(k, name);
	struct keeper_msg *m = &k->msg;
	size_t i, n;

	if (!err)
		err = text_copy(m->program, sizeof(m->program), program);
	if (err)
		return err;
	if (count > KEEPER_ENVS)
		return -EINVAL;
	m->have |= 1u << KEEPER_T_PROGRAM;
	if (count)
		m->have |= 1u << KEEPER_T_ENV;
	for (i = 0; i < count; i++) {
		n = strlen(env[i]);
		if (n < 2 || n >= KEEPER_MAX || env[i][0] == '=' || !strchr(env[i], '='))
			return -EINVAL;
		m->envs[i] = (struct keeper_env){ env[i], (uint16_t)n };
	}
	m->env_count = (uint32_t)count;
	return queue(k, KEEPER_HOOK, cookie, ret_id);
}
