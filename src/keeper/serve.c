/* SPDX-License-Identifier: MIT
 *
 * Requests of aditd.
 *
 * Theory of operation. A datagram is decoded (proto.c), asked for its rights (rights.c), carried
 * out and answered, one after the other in the order they came; only resolutions and hooks are
 * answered later. An answer that does not fit into the pair waits in a list, and as long as
 * something waits there no more requests are read: so an aditd that does not read cannot fill the
 * keeper's memory.
 *
 * To remove something needs no right: only what this keeper has made can be removed.
 */
#include "serve.h"
#include "rights_wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/text.h"
#include "base/wire.h"

#define ROUND_MAX  64	/* requests before the rest of the keeper gets its turn */
#define LAST_MAX   1024 /* ... of one that is gone: more than fit into the pair */
#define DIAL_HOSTS 8	/* addresses, and routes to single hosts, of a dialled session */
#define MTU_MIN	   68
#define MTU_MAX	   65535
#define BEHIND	   4096 /* datagrams aditd has not read: then counters and the like are dropped */

struct out {
	struct list node;
	int fds[KEEPER_FDS]; /* our own duplicates */
	size_t fd_count, len;
	uint8_t bytes[];
};

void server_say(struct server *s, enum trace_level level, const char *format, ...)
{
	char line[LOG_LINE_MAX];
	struct timespec ts;
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	clock_gettime(CLOCK_REALTIME, &ts);
	log_line(s->log, s->now, (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000, level, line);
}

/* ---- the pair ---- */

static void out_free(struct server *s, struct out *o)
{
	size_t i;

	s->out_count--;
	list_drop(&o->node);
	for (i = 0; i < o->fd_count; i++)
		close(o->fds[i]);
	free(o);
}

void server_begin(struct server *s, int pair)
{
	s->pair = pair;
	s->starts++;
	s->ready = s->patience = s->stops = s->stopped = false;
	s->forbidden[0] = 0;
	s->sweep_at = MONO_NEVER;
	net_epoch(s->net, s->starts);
	kplane_begin(s->plane, s->starts);
}

void server_end(struct server *s)
{
	list_for_each_safe (it, &s->out) {
		out_free(s, container_of(it, struct out, node));
	}
	if (s->pair >= 0)
		close(s->pair);
	s->pair = -1;
	s->ready = false;
	s->sweep_at = MONO_NEVER;
	children_orphan(s->children);
}

short server_events(const struct server *s)
{
	return list_empty(&s->out) ? POLLIN : POLLOUT;
}

static ssize_t send_with_fds(int pair, const uint8_t *bytes, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(KEEPER_FDS * sizeof(int))];
	} control;
	union {
		const uint8_t *in;
		void *out;
	} base = { .in = bytes }; /* sendmsg() does not write to it */
	struct iovec iov = { base.out, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t sent;

	if (n) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	do {
		sent = sendmsg(pair, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent;
}

static void out_queue(struct server *s, const uint8_t *bytes, size_t len, const int *fds, size_t n)
{
	struct out *o = calloc(1, sizeof(*o) + len);
	size_t i;

	if (!o) {
		server_say(s, TRACE_WARNING, "out of memory: an answer to aditd is lost");
		return;
	}
	list_init(&o->node);
	o->len = len;
	memcpy(o->bytes, bytes, len);
	for (i = 0; i < n; i++) {
		o->fds[i] = dup(fds[i]);
		if (o->fds[i] >= 0)
			o->fd_count++;
		else
			break;
	}
	list_push(&s->out, &o->node);
	s->out_count++;
}

static void send_bytes(struct server *s, const uint8_t *bytes, size_t len, const int *fds, size_t n)
{
	if (list_empty(&s->out) && send_with_fds(s->pair, bytes, len, fds, n) >= 0)
		return;
	/* Also after an error: aditd's end is told by reading. */
	out_queue(s, bytes, len, fds, n);
}

static void send_msg(struct server *s, const struct keeper_msg *m, const int *fds, size_t n)
{
	uint8_t buf[KEEPER_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));

	if (s->pair < 0)
		return;
	keeper_msg_save(&c, m);
	send_bytes(s, buf, c.len, fds, n);
}

/* False: the other end is gone. */
static bool send_waiting(struct server *s)
{
	list_for_each_safe (it, &s->out) {
		struct out *o = container_of(it, struct out, node);

		if (send_with_fds(s->pair, o->bytes, o->len, o->fds, o->fd_count) < 0)
			return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ||
			       errno == ETOOMANYREFS;
		out_free(s, o);
	}
	return true;
}

/* ---- answers ---- */

struct answer {
	struct keeper_msg msg;
	int fds[KEEPER_FDS];
	size_t fd_count;
	bool later; /* a child will answer */
};

static void answer_fd(struct answer *a, int fd)
{
	a->fds[a->fd_count++] = fd;
}

static void answer_text(struct answer *a, const char *text)
{
	a->msg.have |= 1u << KEEPER_T_TEXT;
	snprintf(a->msg.text, sizeof(a->msg.text), "%.*s", KEEPER_TEXT_MAX - 1, text);
}

static void answer_error(struct answer *a, int err, const char *text)
{
	a->msg.have |= 1u << KEEPER_T_ERROR;
	a->msg.error = (uint32_t)-err;
	if (!text || !text[0])
		text = strerror(-err);
	answer_text(a, text);
}

static void refuse_at(struct server *s, struct answer *a, const struct keeper_msg *m,
		      enum trace_level level, const char *why)
{
	char shown[RIGHTS_TEXT * 2];

	answer_error(a, -EPERM, why);
	server_say(s, level, "refused to aditd (%s): %s", keeper_type_name(m->type),
		   text_escape(shown, sizeof(shown), why, strlen(why)));
}

static void refuse(struct server *s, struct answer *a, const struct keeper_msg *m, const char *why)
{
	refuse_at(s, a, m, TRACE_WARNING, why);
}

static void answer_facts(const struct server *s, struct answer *a)
{
	a->msg.have |= 1u << KEEPER_T_STARTS | 1u << KEEPER_T_INCARNATION | 1u << KEEPER_T_SINCE;
	a->msg.starts = s->starts;
	a->msg.incarnation = s->incarnation;
	a->msg.since = (uint64_t)s->since.us;
}

static void do_hello(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	int i;

	answer_facts(s, a);
	a->msg.have |= 1u << KEEPER_T_SIZE;
	a->msg.size_count = HOLD_CONF;
	for (i = 0; i < HOLD_CONF; i++)
		answer_fd(a, hold_memory(s->hold, (enum hold_memory)i, &a->msg.sizes[i]));
	answer_fd(a, hold_control(s->hold));
}

static void do_conf(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char text[HOLD_TEXT] = "";
	int err = hold_conf(s->hold, text);

	if (err) {
		answer_error(a, err, text);
		return;
	}
	a->msg.have |= 1u << KEEPER_T_SIZE;
	a->msg.size_count = 1;
	answer_fd(a, hold_memory(s->hold, HOLD_CONF, &a->msg.sizes[0]));
}

static void do_socket(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	const struct conf_socket *conf = conf_socket_find(s->conf, m->via);
	char text[HOLD_TEXT] = "";
	int err = 0, fd;

	if (!conf && !hold_former(s->hold, m->via, s->starts, &fd, &a->msg.addrs[0])) {
		refuse(s, a, m, "this socket is not in the configuration");
		return;
	}
	if (conf)
		err = hold_socket(s->hold, conf, &fd, &a->msg.addrs[0], text);
	if (err) {
		answer_error(a, err, text);
		return;
	}
	a->msg.have |= 1u << KEEPER_T_ADDR;
	a->msg.addr_count = 1;
	answer_fd(a, fd);
}

static void do_socket_gone(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	hold_former_drop(s->hold, m->via);
}

static void do_tun(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char text[HOLD_TEXT] = "";
	int err, fd;

	if (m->ethernet ? !rights_ethernet(s->conf, m->name, text)
			: !rights_device(s->conf, m->name, text)) {
		/* A new aditd asks for all that the one before had, then for what is to go. */
		refuse_at(s, a, m, hold_has_tun(s->hold, m->name) ? TRACE_DEBUG : TRACE_WARNING,
			  text);
		return;
	}
	err = hold_tun(s->hold, s->net, m->name, m->ethernet, s->starts, &fd, text);
	if (err)
		answer_error(a, err, text);
	else
		answer_fd(a, fd);
}

static void do_link(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	const char *text = "there is no such interface of ours";
	const char *master = KEEPER_HAS(m, KEEPER_T_MASTER) ? m->master : NULL;
	char no[RIGHTS_TEXT];
	int err = -ENODEV;

	if (!rights_master(s->conf, m->name, m->master, no)) {
		refuse(s, a, m, no);
		return;
	}
	if (m->mtu < MTU_MIN || m->mtu > MTU_MAX) {
		answer_error(a, -EINVAL, "this MTU is not possible");
		return;
	}
	if (hold_has_tun(s->hold, m->name))
		err = net_link_up(s->net, net_index(m->name), m->mtu, master,
				  rights_wire_of(s->conf, m->name), &text);
	if (err)
		answer_error(a, err, text);
}

/*
 * The address and the peer of a dialled session are the server's to choose, so any may be asked
 * for; but not any number: each draws somebody's packets here.
 */
static bool too_many(const struct server *s, const char *name, uint32_t held, const char *what,
		     char *text)
{
	if (!conf_dial_by_ifname(s->conf, name) || held < DIAL_HOSTS)
		return false;
	snprintf(text, RIGHTS_TEXT, "interface %.15s has %u %s already, a session needs no more",
		 name, held, what);
	return true;
}

static void do_addr(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char no[RIGHTS_TEXT];
	const char *text = NULL;
	int err;

	if (m->add &&
	    (!rights_addr(s->conf, m->name, &m->prefix, no) ||
	     too_many(s, m->name, net_addr_count(s->net, m->name, &m->prefix), "addresses", no))) {
		refuse(s, a, m, no);
		return;
	}
	if (m->add && strcmp(m->name, "lo") != 0 && !hold_has_tun(s->hold, m->name)) {
		answer_error(a, -ENODEV, "there is no such interface of ours");
		return;
	}
	err = net_addr(s->net, m->name, &m->prefix, m->add, &text);
	if (err)
		answer_error(a, err, text);
}

static void do_route(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char no[RIGHTS_TEXT];
	const char *text = NULL;
	int err;

	if (m->add && (!rights_route(s->conf, m->name, &m->prefix, m->table, m->metric, no) ||
		       (m->prefix.len == (m->prefix.addr.family == AF_INET ? 32 : 128) &&
			too_many(s, m->name, net_host_count(s->net, m->name, &m->prefix),
				 "routes to single hosts", no)))) {
		refuse(s, a, m, no);
		return;
	}
	if (m->add && !hold_has_tun(s->hold, m->name)) {
		answer_error(a, -ENODEV, "there is no such interface of ours");
		return;
	}
	err = net_route(s->net, m->name, &m->prefix, m->table, m->metric, m->add, &text);
	if (err)
		answer_error(a, err, text);
}

static bool is_known(const struct server *s, const struct addr *to)
{
	uint32_t i, n = s->known_n < SERVE_KNOWN ? s->known_n : SERVE_KNOWN;

	for (i = 0; i < n; i++)
		if (addr_same_ip(&s->known[i], to))
			return true;
	return false;
}

static void do_pin(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	const struct addr *to = &m->addrs[0];
	char no[RIGHTS_TEXT];
	const char *text = NULL;
	int err;

	/* A server that was resolved stays a server: redialling may choose it again. */
	if (m->add && !rights_pin(s->conf, to, is_known(s, to), no)) {
		refuse(s, a, m, no);
		return;
	}
	err = net_pin(s->net, to, NET_HOLDER_ADITD, m->add, &text);
	if (err)
		answer_error(a, err, text);
}

/* ---- the kernel's data plane ---- */

static void plane_send(void *arg, const uint8_t *records, size_t len, int fd, bool dispensable)
{
	struct server *s = arg;
	uint8_t buf[KEEPER_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));

	if (s->pair < 0 || (dispensable && s->out_count > BEHIND))
		return;
	keeper_plane_head(&c);
	wcur_bytes(&c, records, len);
	if (!c.bad)
		send_bytes(s, buf, c.len, &fd, fd >= 0);
}

static bool plane_behind(void *arg)
{
	const struct server *s = arg;

	return s->pair < 0 || s->out_count > BEHIND;
}

static void plane_say(void *arg, enum trace_level level, const char *text)
{
	char shown[1024];

	server_say(arg, level, "%s", text_escape(shown, sizeof(shown), text, strlen(text)));
}

static bool plane_known(void *arg, const struct addr *a)
{
	return is_known(arg, a);
}

bool server_plane(struct server *s, bool resume)
{
	struct kplane_config config = { .net = s->net,
					.rooms = s->rooms,
					.resume = resume,
					.send = plane_send,
					.behind = plane_behind,
					.say = plane_say,
					.known = plane_known,
					.arg = s };

	s->plane = kplane_new(&config, s->conf);
	return s->plane != NULL;
}

void server_news(struct server *s)
{
	kplane_work(s->plane, s->now);
}

static uint64_t tag_of(const struct server *s, const struct keeper_msg *m)
{
	return (uint64_t)s->starts << 32 | m->id;
}

static void do_resolve(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char no[RIGHTS_TEXT];
	int err;

	if (!rights_host(s->conf, m->host, no)) {
		refuse(s, a, m, no);
		return;
	}
	err = m->port > UINT16_MAX ? -EINVAL
				   : child_resolve(s->children, s->now, tag_of(s, m), m->host,
						   (uint16_t)m->port);
	a->later = !err;
	if (err)
		answer_error(a, err, err == -EAGAIN ? "too many names are being resolved" : NULL);
}

static void do_hook(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char no[RIGHTS_TEXT], former[RIGHTS_TEXT];
	uint32_t i;
	int err;

	for (i = 0; i < m->env_count; i++) {
		if (rights_env(m->envs[i].text, m->envs[i].len, no))
			continue;
		refuse(s, a, m, no);
		return;
	}
	/* What a reload has removed ends now, and its program is told so. */
	if (!rights_hook(s->conf, m->name, m->program, no) &&
	    !(s->former && rights_hook(s->former, m->name, m->program, former))) {
		refuse(s, a, m, no);
		return;
	}
	err = child_hook(s->children, s->now, tag_of(s, m), m->name, m->program, m->envs,
			 m->env_count);
	a->later = !err;
	if (err)
		answer_error(a, err, err == -EAGAIN ? "too many programs are waiting" : NULL);
}

static void do_ready(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	s->ready = true;
	s->ever_ready = true;
	hold_former_sweep(s->hold, s->starts); /* it has asked for those that it needs */
	s->sweep_at = mono_add(s->now, SERVE_SWEEP_US);
}

static void do_reload(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char text[CONF_ERR_MAX];

	if (!server_reload(s, text))
		answer_error(a, -EINVAL, text);
	else
		answer_text(a, text);
}

static void do_stopping(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	s->patience = s->stops = true;
}

static void do_stopped(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	s->stopped = true;
}

static void do_status(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	uint32_t sockets, tuns, tunnels, sessions;

	answer_facts(s, a);
	hold_counts(s->hold, &sockets, &tuns);
	kplane_counts(s->plane, &tunnels, &sessions);
	a->msg.have |= 1u << KEEPER_T_TEXT;
	snprintf(a->msg.text, sizeof(a->msg.text),
		 "%u sockets, %u interfaces, %u addresses and routes, %zu programs, %u tunnels and "
		 "%u sessions in the kernel",
		 sockets, tuns, net_count(s->net), children_hooks(s->children), tunnels, sessions);
}

/* Said when aditd has ended; until then it is only what aditd says. */
static void do_forbidden(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	char name[KEEPER_NAME_MAX * 2];

	snprintf(s->forbidden, sizeof(s->forbidden), "%s (%u)",
		 m->name[0] ? text_escape(name, sizeof(name), m->name, strlen(m->name)) : "number",
		 m->status);
	a->later = true;
}

static void do_tun_gone(struct server *s, const struct keeper_msg *m, struct answer *a)
{
	hold_tun_drop(s->hold, s->net, m->name);
}

/* ---- requests ---- */

struct request_row {
	void (*act)(struct server *s, const struct keeper_msg *m, struct answer *a);
	uint32_t needs; /* tags that must be there */
};

#define BIT(tag) (1u << KEEPER_T_##tag)

static const struct request_row requests[] = {
	[KEEPER_HELLO] = { do_hello, 0 },
	[KEEPER_SOCKET] = { do_socket, BIT(VIA) },
	[KEEPER_TUN] = { do_tun, BIT(NAME) },
	[KEEPER_TUN_GONE] = { do_tun_gone, BIT(NAME) },
	[KEEPER_LINK] = { do_link, BIT(NAME) | BIT(MTU) },
	[KEEPER_ADDR] = { do_addr, BIT(NAME) | BIT(PREFIX) | BIT(ADD) },
	[KEEPER_ROUTE] = { do_route, BIT(NAME) | BIT(PREFIX) | BIT(ADD) },
	[KEEPER_PIN] = { do_pin, BIT(ADDR) | BIT(ADD) },
	[KEEPER_RESOLVE] = { do_resolve, BIT(HOST) | BIT(PORT) },
	[KEEPER_HOOK] = { do_hook, BIT(NAME) | BIT(PROGRAM) },
	[KEEPER_READY] = { do_ready, 0 },
	[KEEPER_RELOAD] = { do_reload, 0 },
	[KEEPER_STATUS] = { do_status, 0 },
	[KEEPER_STOPPING] = { do_stopping, 0 },
	[KEEPER_STOPPED] = { do_stopped, 0 },
	[KEEPER_SOCKET_GONE] = { do_socket_gone, BIT(VIA) },
	[KEEPER_CONF] = { do_conf, 0 },
	[KEEPER_FORBIDDEN] = { do_forbidden, BIT(STATUS) },
};

static void serve(struct server *s, const uint8_t *bytes, size_t len)
{
	const struct request_row *row = NULL;
	struct keeper_msg m;
	struct answer a;
	size_t n;
	const uint8_t *records = keeper_plane_body(bytes, len, &n);
	int err;

	if (records) {
		kplane_input(s->plane, s->now, records, n);
		return;
	}
	err = keeper_msg_load(bytes, len, &m);
	memset(&a, 0, sizeof(a));
	a.msg.id = m.id;
	a.msg.type = KEEPER_REPLY;
	if (!err && m.type < sizeof(requests) / sizeof(requests[0]))
		row = &requests[m.type];
	if (err || !m.id)
		answer_error(&a, -EBADMSG, "the keeper could not read the request");
	else if (!row || !row->act)
		answer_error(&a, -EOPNOTSUPP,
			     "the keeper does not know this request; restart it "
			     "to run the new version");
	else if ((m.have & row->needs) != row->needs || m.add > 1)
		answer_error(&a, -EBADMSG, "the request lacks a value");
	else
		row->act(s, &m, &a);
	if (a.later || !m.id)
		return;
	if (!a.msg.error)
		a.msg.have |= 1u << KEEPER_T_ERROR;
	send_msg(s, &a.msg, a.fds, a.fd_count);
}

bool server_work(struct server *s)
{
	uint8_t buf[KEEPER_MAX];
	bool whole = true;
	int i;

	/* Who is gone has perhaps said before that it was done. */
	for (i = 0; i < (whole ? ROUND_MAX : LAST_MAX); i++) {
		struct iovec iov = { buf, sizeof(buf) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		/* No room for descriptors: the kernel closes any that aditd sends. */
		ssize_t n;

		whole = whole && send_waiting(s);
		if (whole && !list_empty(&s->out))
			break; /* it takes no more answers, so no more requests of it */
		n = recvmsg(s->pair, &msg, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ECONNRESET) {
			whole = false; /* it has not read all answers; what it sent comes next */
			continue;
		}
		if (n < 0)
			return whole && errno == EAGAIN;
		if (n == 0)
			return false;
		serve(s, buf, msg.msg_flags & MSG_TRUNC ? 0 : (size_t)n);
	}
	return whole;
}

void server_children(struct server *s)
{
	struct child_answer c;

	while (children_next(s->children, &c)) {
		struct answer a;
		uint32_t i;

		if (c.tag >> 32 != s->starts)
			continue;
		memset(&a, 0, sizeof(a));
		a.msg.id = (uint32_t)c.tag;
		a.msg.type = KEEPER_REPLY;
		a.msg.have = 1u << KEEPER_T_ERROR;
		if (c.error)
			answer_error(&a, c.error, c.text);
		if (c.hook) {
			a.msg.have |= 1u << KEEPER_T_STATUS;
			a.msg.status = c.status;
		} else if (c.addr_count) {
			a.msg.have |= 1u << KEEPER_T_ADDR;
			a.msg.addr_count = c.addr_count;
			memcpy(a.msg.addrs, c.addrs, sizeof(c.addrs));
		}
		for (i = 0; i < c.addr_count; i++)
			if (!is_known(s, &c.addrs[i]))
				s->known[s->known_n++ % SERVE_KNOWN] = c.addrs[i];
		send_msg(s, &a.msg, NULL, 0);
	}
}

/* ---- time ---- */

struct mono server_deadline(const struct server *s)
{
	return mono_min(mono_min(s->sweep_at, kplane_deadline(s->plane)),
			children_deadline(s->children));
}

void server_expire(struct server *s)
{
	uint32_t n;

	children_work(s->children, s->now);
	kplane_expire(s->plane, s->now);
	if (!mono_due(s->sweep_at, s->now))
		return;
	s->sweep_at = MONO_NEVER;
	n = net_sweep_before(s->net, s->starts);
	n += hold_tun_sweep(s->hold, s->net, s->starts);
	n += kplane_sweep(s->plane, s->starts);
	if (n)
		server_say(s, TRACE_NOTICE,
			   "removed %u addresses, routes, interfaces and tunnels that aditd no "
			   "longer uses",
			   n);
}

/* ---- configuration ---- */

static void conf_use(struct server *s, struct conf *c, char *text)
{
	if (strcmp(c->control, s->conf->control) != 0 || strcmp(c->user, s->conf->user) != 0 ||
	    c->max_tunnels > s->conf->max_tunnels || c->max_sessions > s->conf->max_sessions)
		server_say(s, TRACE_WARNING,
			   "`control`, `user` and larger limits take effect when adit is stopped "
			   "and started");
	conf_free(s->former);
	s->former = s->conf;
	s->conf = c;
	hold_reload(s->hold, c, s->starts);
	kplane_conf(s->plane, c, s->now);
	snprintf(text, CONF_ERR_MAX, "%s", ports_conf(s->ports, c, s->now));
}

bool server_reload(struct server *s, char *text)
{
	struct conf *c = conf_load(s->conf->path, CONF_NO_FILES, text, CONF_ERR_MAX);

	if (c)
		conf_use(s, c, text);
	return c != NULL;
}

bool server_refresh(struct server *s, bool *ret_new, char *text)
{
	struct conf *c = conf_load(s->conf->path, CONF_NO_FILES, text, CONF_ERR_MAX);
	char *diff = c ? conf_diff(s->conf, c) : NULL;

	*ret_new = c && (!diff || diff[0]);
	if (*ret_new)
		conf_use(s, c, text);
	else
		conf_free(c);
	free(diff);
	return c != NULL;
}

void server_tell_reload(struct server *s)
{
	struct keeper_msg m = { .type = KEEPER_RELOAD };

	send_msg(s, &m, NULL, 0);
}

/* ---- over an upgrade ---- */

enum {
	REC_SERVER = CARRY_KEEPER | CARRY_MUST | 0x20,
	REC_OUT = CARRY_KEEPER | CARRY_MUST | 0x21,
	REC_KNOWN = CARRY_KEEPER | 0x22
};

enum {
	F_FD = 1, /* the pair; of a datagram, may repeat */
	F_STARTS = 2,
	F_INCARNATION = 3,
	F_SINCE = 4, /* u64 */
	F_READY = 5, /* u32: 1 ready, 2 ever ready */
	F_SWEEP = 6, /* u64 */
	F_BYTES = 7,
	F_ADDR = 8
};

bool server_settle(struct server *s)
{
	bool settled = kplane_settle(s->plane, s->now);

	server_children(s);
	return settled;
}

void server_carry(struct server *s, struct carry *c)
{
	uint32_t n = s->known_n < SERVE_KNOWN ? s->known_n : SERVE_KNOWN;
	struct wcur *w = carry_begin(c, REC_SERVER);
	size_t at;

	wcur_tlv_u32(w, F_STARTS, s->starts);
	wcur_tlv_u32(w, F_INCARNATION, s->incarnation);
	wcur_tlv_u64(w, F_SINCE, (uint64_t)s->since.us);
	wcur_tlv_u32(w, F_READY, (s->ready ? 1u : 0) | (s->ever_ready ? 2u : 0));
	wcur_tlv_u64(w, F_SWEEP, (uint64_t)s->sweep_at.us);
	carry_fd(c, F_FD, s->pair);
	carry_end(c);
	list_for_each (it, &s->out) {
		const struct out *o = container_of(it, struct out, node);

		w = carry_begin(c, REC_OUT);
		wcur_tlv_bytes(w, F_BYTES, o->bytes, o->len);
		for (size_t i = 0; i < o->fd_count; i++)
			carry_fd(c, F_FD, o->fds[i]);
		carry_end(c);
	}
	for (uint32_t i = 0; i < n; i++) {
		w = carry_begin(c, REC_KNOWN);
		at = wcur_tlv_begin(w, F_ADDR);
		addr_save(w, &s->known[i]);
		wcur_tlv_end(w, at);
		carry_end(c);
	}
	net_carry(s->net, c);
	hold_carry(s->hold, c);
	children_carry(s->children, c);
	kplane_carry(s->plane, c);
}

static int carried_server(struct server *s, struct rcur v)
{
	uint16_t field;
	struct rcur f;
	uint32_t ready;
	bool ok = true;

	while (ok && rcur_tlv(&v, &field, &f)) {
		switch (field) {
		case F_FD:
			s->pair = (int)rcur_u32(&f);
			break;
		case F_STARTS:
			s->starts = rcur_u32(&f);
			break;
		case F_INCARNATION:
			s->incarnation = rcur_u32(&f);
			break;
		case F_SINCE:
			s->since.us = (int64_t)rcur_u64(&f);
			break;
		case F_READY:
			ready = rcur_u32(&f);
			s->ready = ready & 1;
			s->ever_ready = ready & 2;
			break;
		case F_SWEEP:
			s->sweep_at.us = (int64_t)rcur_u64(&f);
			break;
		default:
			break;
		}
		ok = !f.bad;
	}
	return ok && !v.bad ? 0 : -EBADMSG;
}

static int carried_out(struct server *s, struct rcur v)
{
	struct out *o = calloc(1, sizeof(*o) + rcur_left(&v));
	uint16_t field;
	struct rcur f;
	bool ok = true;

	if (!o)
		return -ENOMEM;
	list_init(&o->node);
	while (ok && rcur_tlv(&v, &field, &f)) {
		if (field == F_BYTES) {
			o->len = rcur_left(&f);
			rcur_copy(&f, o->bytes, o->len);
		} else if (field == F_FD) {
			ok = o->fd_count < KEEPER_FDS;
			if (ok)
				o->fds[o->fd_count++] = (int)rcur_u32(&f);
		}
	}
	if (!ok || v.bad) {
		free(o);
		return -EBADMSG;
	}
	list_push(&s->out, &o->node);
	s->out_count++;
	return 0;
}

static int carried_known(struct server *s, struct rcur v)
{
	struct addr a = { 0 };
	uint16_t field;
	struct rcur f;

	while (rcur_tlv(&v, &field, &f))
		if (field == F_ADDR)
			addr_load(&f, &a);
	if (v.bad || !a.family)
		return -EBADMSG;
	s->known[s->known_n++ % SERVE_KNOWN] = a;
	return 0;
}

int server_carried(struct server *s, uint16_t tag, struct rcur v)
{
	switch (CARRY_FROM(tag)) {
	case CARRY_NET:
		return net_carried(s->net, tag, v);
	case CARRY_HOLD:
		return hold_carried(s->hold, tag, v);
	case CARRY_CHILD:
		return children_carried(s->children, tag, v);
	case CARRY_PLANE:
	case CARRY_KERNEL:
		return kplane_carried(s->plane, tag, v);
	default:
		break;
	}
	if (tag == REC_SERVER)
		return carried_server(s, v);
	if (tag == REC_OUT)
		return carried_out(s, v);
	return tag == REC_KNOWN ? carried_known(s, v) : 1;
}
