/* SPDX-License-Identifier: MIT
 *
 * The threads of the kernel plane, and the jobs that belong to no single session: tunnels, the
 * deletion of a group of interfaces, counters. For kernel.c.
 *
 * A worker takes the oldest job, carries it out with sockets of its own, and lays it among the
 * finished ones. Its calls may wait for RCU grace periods and the RTNL as long as they like.
 * Pseudowires are made one after the other (kernel_eth.c): one worker at a time takes those jobs.
 * What is to be closed of many sessions that end together (kernel_end.c) waits for workers that
 * have nothing better to do, but for some that prefer it: sessions that come do not keep others
 * from going.
 */
#include "kernel_int.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/l2tp.h> /* after netinet/in.h, with which it agrees in this order alone */

#ifndef UDP_NO_CHECK6_TX
#define UDP_NO_CHECK6_TX 101
#define UDP_NO_CHECK6_RX 102
#endif
#define PROTO_L2TP 115 /* glibc 2.36 has no IPPROTO_L2TP */

#define CLOSERS	     4		  /* one of so many workers prefers to close */
#define SOCKET_QUEUE (512 * 1024) /* control messages, and data before its session is attached */

/* ---- helpers of all jobs ---- */

bool kjob_cancelled(struct kjob *j)
{
	if (!atomic_load_explicit(&j->cancel, memory_order_relaxed))
		return false;
	j->result = KERNEL_CANCELLED;
	return true;
}

int kjob_fail(struct kjob *j, enum kernel_step step, int err, const char *name)
{
	j->result = KERNEL_FAILED;
	j->error = err;
	kernel_error_text(step, err, name, j->text);
	return err;
}

void kjob_note(struct kjob *j, const struct nlm *m)
{
	size_t n = strlen(j->text);

	if (m->text[0] && n + 4 < sizeof(j->text))
		snprintf(j->text + n, sizeof(j->text) - n, " (%s)", m->text);
}

/* Others need not wait while this one sleeps; it goes on beside them. */
static void wiring_leave(struct kwork *w)
{
	struct kernel *k = w->k;

	if (!w->wiring)
		return;
	pthread_mutex_lock(&k->lock);
	w->wiring = k->wiring = false;
	if (!list_empty(&k->wires))
		pthread_cond_signal(&k->more);
	pthread_mutex_unlock(&k->lock);
}

bool kwork_again(struct kwork *w, unsigned int *tries)
{
	if (*tries >= K_RETRIES)
		return false;
	wiring_leave(w);
	/* Random, so that eight workers do not meet again, and longer from try to try. */
	w->seed = w->seed * 1664525u + 1013904223u;
	w->sys->sleep(w->sys, 500 + (w->seed >> 8) % (1000u * (1 + *tries)));
	++*tries;
	atomic_fetch_add_explicit(&w->k->retries, 1, memory_order_relaxed);
	return true;
}

static int netns_slot(const struct kernel *k, uint32_t netns)
{
	for (uint32_t i = 0; i < k->netns_n; i++) {
		if (k->netns[i].id == netns)
			return (int)i;
	}
	return -1;
}

struct nlm *kwork_rt(struct kwork *w, uint32_t netns)
{
	int i = netns_slot(w->k, netns);

	return i < 0 ? NULL : w->rt[i];
}

int kwork_netns_fd(struct kwork *w, uint32_t netns)
{
	int i = netns_slot(w->k, netns);

	return i < 0 ? -1 : w->k->netns[i].fd;
}

int kstat_add(struct kjob *j, const struct kstat *st)
{
	if (j->stat_n == j->stat_max) {
		size_t max = j->stat_max ? 2 * j->stat_max : 64;
		struct kstat *v = reallocarray(j->stats, max, sizeof(*v));

		if (!v)
			return -ENOMEM;
		j->stats = v;
		j->stat_max = max;
	}
	j->stats[j->stat_n++] = *st;
	return 0;
}

/* ---- the socket of a managed tunnel ---- */

static int options(struct kwork *w, const struct kernel_tunnel *t, int fd)
{
	const struct kernel_sys *sys = w->sys;
	bool v4 = t->path.remote.family == AF_INET;
	int on = 1, queue = SOCKET_QUEUE, tos = t->tos, err = 0;

	err = sys->setsockopt(sys, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!err && !v4 && t->encap == DP_ENCAP_UDP) /* those of L2TP over IP are so anyway */
		err = sys->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (!err && t->device[0])
		err = sys->setsockopt(sys, fd, SOL_SOCKET, SO_BINDTODEVICE, t->device,
				      (socklen_t)strnlen(t->device, sizeof(t->device)));
	if (!err && t->mark)
		err = sys->setsockopt(sys, fd, SOL_SOCKET, SO_MARK, &t->mark, sizeof(t->mark));
	if (!err && tos)
		err = v4 ? sys->setsockopt(sys, fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos))
			 : sys->setsockopt(sys, fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	if (!err && t->no_checksum && t->encap == DP_ENCAP_UDP && v4)
		err = sys->setsockopt(sys, fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on));
	if (!err && t->no_checksum && t->encap == DP_ENCAP_UDP && !v4) {
		err = sys->setsockopt(sys, fd, IPPROTO_UDP, UDP_NO_CHECK6_TX, &on, sizeof(on));
		if (!err)
			err = sys->setsockopt(sys, fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, &on,
					      sizeof(on));
	}
	/* A short queue is no reason to do without the tunnel. */
	sys->setsockopt(sys, fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue));
	return err;
}

static socklen_t sockaddr_of(const struct kernel_tunnel *t, const struct addr *a, uint32_t id,
			     struct sockaddr_storage *ss)
{
	socklen_t len;

	if (t->encap == DP_ENCAP_UDP)
		return addr_to_sockaddr(a, ss);
	memset(ss, 0, sizeof(*ss));
	if (a->family == AF_INET) {
		struct sockaddr_l2tpip s = { .l2tp_family = AF_INET, .l2tp_conn_id = id };

		memcpy(&s.l2tp_addr, a->ip, 4);
		len = sizeof(s);
		memcpy(ss, &s, len);
	} else {
		struct sockaddr_l2tpip6 s = { .l2tp_family = AF_INET6, .l2tp_conn_id = id };

		memcpy(&s.l2tp_addr, a->ip, 16);
		s.l2tp_scope_id = a->scope;
		len = sizeof(s);
		memcpy(ss, &s, len);
	}
	return len;
}

/* Between bind() and connect() the new socket would win every datagram for the address and port,
 * also those of other peers: so it takes none until it is connected (peers repeat theirs). */
static int bind_connect(struct kwork *w, struct kjob *j, int fd)
{
	static const struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog nothing = { 1, (struct sock_filter *)(uintptr_t)&drop };
	const struct kernel_tunnel *t = &j->tunnel;
	const struct kernel_sys *sys = w->sys;
	struct sockaddr_storage ss;
	socklen_t len;
	int err, none = 0;

	err = sys->setsockopt(sys, fd, SOL_SOCKET, SO_ATTACH_FILTER, &nothing, sizeof(nothing));
	if (err < 0)
		return kjob_fail(j, KERNEL_STEP_OPTIONS, err, t->device);
	len = sockaddr_of(t, &t->path.local, t->local_id, &ss);
	err = sys->bind(sys, fd, &ss, len);
	if (err < 0) {
		kjob_fail(j, KERNEL_STEP_BIND, err, "");
		if (err == -EADDRINUSE && t->encap == DP_ENCAP_IP)
			j->result = KERNEL_ID_TAKEN; /* the connection id is part of the name */
		return err;
	}
	len = sockaddr_of(t, &t->path.remote, t->remote_id, &ss);
	err = sys->connect(sys, fd, &ss, len);
	if (err < 0)
		return kjob_fail(j, KERNEL_STEP_CONNECT, err, "");
	err = sys->setsockopt(sys, fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
	return err < 0 ? kjob_fail(j, KERNEL_STEP_OPTIONS, err, t->device) : 0;
}

static int socket_open(struct kwork *w, struct kjob *j)
{
	const struct kernel_tunnel *t = &j->tunnel;
	int fd = w->sys->socket(w->sys, t->path.remote.family, SOCK_DGRAM | SOCK_NONBLOCK,
				t->encap == DP_ENCAP_IP ? PROTO_L2TP : 0);
	int err;

	if (fd < 0) {
		kjob_fail(j, KERNEL_STEP_SOCKET, fd, "");
		if (fd == -EAFNOSUPPORT || fd == -EPROTONOSUPPORT)
			j->result = KERNEL_CANNOT;
		return fd;
	}
	err = options(w, t, fd);
	if (err < 0)
		kjob_fail(j, KERNEL_STEP_OPTIONS, err, t->device);
	else
		err = bind_connect(w, j, fd);
	if (err < 0) {
		w->sys->close(w->sys, fd);
		return err;
	}
	return fd;
}

/* ---- tunnels ---- */

static bool tunnel_is_there(struct kwork *w, const struct kernel_tunnel *t)
{
	struct nlm_l2tp_info info;

	return nlm_l2tp_tunnel_get(&w->l2tp, t->local_id, &info) == 0 &&
	       info.remote_tunnel == t->remote_id;
}

static int tunnel_create(struct kwork *w, struct kjob *j, int fd)
{
	unsigned int tries = 0;
	int err;

	for (;;) {
		err = nlm_l2tp_tunnel_create(&w->l2tp, &j->tunnel, fd);
		/* A former tunnel of this id may still be on its way out (6.12 and later). */
		if (err != -EEXIST || tries >= 8 || !kwork_again(w, &tries))
			break;
	}
	switch (-err) {
	case 0:
		return 0;
	case EEXIST:
	case EINVAL:
	case EBUSY:
	case EPERM:
	case EPROTONOSUPPORT:
	case EADDRINUSE:
	case EADDRNOTAVAIL:
		break;
	default:
		/* Some kernels tell the failure of the notification as ours (CVE-2026-80996). */
		if (tunnel_is_there(w, &j->tunnel))
			return 0;
	}
	kjob_fail(j, KERNEL_STEP_TUNNEL, err, "");
	kjob_note(j, &w->l2tp.m);
	if (err == -EEXIST)
		j->result = KERNEL_ID_TAKEN;
	return err;
}

static void tunnel_make(struct kwork *w, struct kjob *j)
{
	int fd = -1;

	if (kjob_cancelled(j))
		return;
	if (j->tunnel.managed) {
		fd = socket_open(w, j);
		if (fd < 0)
			return;
	}
	if (kjob_cancelled(j) || tunnel_create(w, j, fd) < 0) {
		if (fd >= 0)
			w->sys->close(w->sys, fd);
		return;
	}
	j->tunnel_fd = fd;
}

/* The peer is at another address now: connecting again moves the data with it. */
static void tunnel_move(struct kwork *w, struct kjob *j)
{
	struct sockaddr_storage ss;
	socklen_t len = sockaddr_of(&j->tunnel, &j->tunnel.path.remote, j->tunnel.remote_id, &ss);
	int err = w->sys->connect(w->sys, j->tunnel_fd, &ss, len);

	if (err < 0)
		kjob_fail(j, KERNEL_STEP_CONNECT, err, "");
}

static void tunnel_end(struct kwork *w, struct kjob *j)
{
	/* Others may hold the socket too, so its end alone would not be that of the tunnel. */
	int err = nlm_l2tp_tunnel_delete(&w->l2tp, j->tunnel.local_id);

	if (j->tunnel_fd >= 0)
		w->sys->close(w->sys, j->tunnel_fd);
	if (err && err != -ENODEV && tunnel_is_there(w, &j->tunnel)) {
		kjob_fail(j, KERNEL_STEP_TUNNEL, err, "");
		kjob_note(j, &w->l2tp.m);
	}
}

static void tunnel_check(struct kwork *w, struct kjob *j)
{
	j->error = nlm_l2tp_tunnel_get(&w->l2tp, j->tunnel.local_id, NULL);
}

static void session_check(struct kwork *w, struct kjob *j)
{
	j->error = nlm_l2tp_session_get(&w->l2tp, j->row.local_tunnel, j->row.local_session, NULL);
}

/* ---- counters ---- */

static void stat_each(void *arg, const struct nlm_stats *s)
{
	struct kjob *j = arg;
	const struct kstat st = { .ifindex = s->ifindex,
				  .netns = j->netns,
				  .rx_packets = s->rx_packets,
				  .rx_bytes = s->rx_bytes,
				  .tx_packets = s->tx_packets,
				  .tx_bytes = s->tx_bytes,
				  .rx_errors = s->rx_errors + s->rx_dropped,
				  .tx_errors = s->tx_errors + s->tx_dropped };

	if (kstat_add(j, &st) < 0)
		j->stats_cut = true;
}

/* Joined sessions have no interface: `stats` names them to begin with. */
static void stats_job(struct kwork *w, struct kjob *j)
{
	size_t i, asked = j->stat_n;
	int err;

	for (i = 0; i < asked; i++) {
		struct kstat *st = &j->stats[i];
		struct nlm_l2tp_info info;

		if (nlm_l2tp_session_get(&w->l2tp, st->tunnel, st->session, &info) < 0)
			continue;
		st->rx_packets = info.rx_packets;
		st->rx_bytes = info.rx_bytes;
		st->tx_packets = info.tx_packets;
		st->tx_bytes = info.tx_bytes;
		st->rx_errors = info.rx_errors;
		st->tx_errors = info.tx_errors;
		st->read = true;
	}
	for (i = 0; i < w->k->netns_n && w->rt[i]; i++) {
		j->netns = w->k->netns[i].id;
		err = nlm_stats(w->rt[i], 0, stat_each, j);
		if (err == -EINTR)
			j->stats_cut = true;
		else if (err)
			kjob_fail(j, KERNEL_STEP_LINK, err, "");
	}
}

/*
 * The last word of all counters, then all interfaces of a tunnel's sessions in one go: one set of
 * grace periods instead of one for each. Their routes go before: for each interface that goes down
 * with a route the kernel looks through its whole table (fib_flush() of its fib_frontend.c), which
 * with many sessions takes longer than all else.
 */
static void group_end(struct kwork *w, struct kjob *j)
{
	int err;

	/* Nothing is sent without a route: so the counters miss as little as can be. */
	kroutes_drop(w, j->routes, j->route_n);
	nlm_stats(w->rt[0], 0, stat_each, j);
	err = nlm_link_del_group(w->rt[0], j->group);
	if (err && err != -ENODEV) {
		kjob_fail(j, KERNEL_STEP_LINK, err, "");
		kjob_note(j, w->rt[0]);
	}
	/* An interface that is still there goes with its unit. */
	for (size_t i = 0; i < j->fd_n; i++)
		w->sys->close(w->sys, j->fds[i]);
}

/* ---- the threads ---- */

static void carry_out(struct kwork *w, struct kjob *j)
{
	switch (j->kind) {
	case KJ_TUNNEL_MAKE:
		tunnel_make(w, j);
		break;
	case KJ_TUNNEL_MOVE:
		tunnel_move(w, j);
		break;
	case KJ_TUNNEL_END:
		tunnel_end(w, j);
		break;
	case KJ_TUNNEL_CHECK:
		tunnel_check(w, j);
		break;
	case KJ_GROUP_END:
		group_end(w, j);
		break;
	case KJ_CLOSE: /* kend_closes() */
		break;
	case KJ_PUT:
		if (j->row.ends == DP_L2TP_ETH)
			keth_put(w, j);
		else
			kppp_put(w, j);
		break;
	case KJ_END:
		kppp_end(w, j, &j->have, &j->row);
		break;
	case KJ_CHECK:
		session_check(w, j);
		break;
	case KJ_STATS:
		stats_job(w, j);
		break;
	}
}

static bool is_wire(const struct kjob *j)
{
	return j->kind == KJ_PUT && j->row.ends == DP_L2TP_ETH;
}

/* The next job, NULL = none that this one could begin now. */
static struct kjob *take(struct kwork *w)
{
	struct kernel *k = w->k;
	struct list *node = NULL;

	/* All would wait for the same lock of the kernel's: one at a time. */
	if (!k->grouped && (node = list_pop(&k->grouping)))
		k->grouped = true;
	else if (!k->wiring && (node = list_pop(&k->wires)))
		w->wiring = k->wiring = true;
	else
		node = list_pop(&k->jobs);
	return node ? container_of(node, struct kjob, node) : NULL;
}

static void *work(void *arg)
{
	struct kwork *w = arg;
	struct kernel *k = w->k;
	bool closer = w->number % CLOSERS == CLOSERS - 1;
	struct kjob *j;

	pthread_mutex_lock(&k->lock);
	for (;;) {
		if (closer && (k->grouped || list_empty(&k->grouping)) && kend_closes(k))
			continue;
		j = take(w);
		if (!j && kend_closes(k))
			continue;
		if (!j && k->stop)
			break; /* whoever has one of these makes those that are left, too */
		if (!j) {
			pthread_cond_wait(&k->more, &k->lock);
			continue;
		}
		pthread_mutex_unlock(&k->lock);
		carry_out(w, j);
		pthread_mutex_lock(&k->lock);
		if (w->wiring)
			w->wiring = k->wiring = false;
		if (j->kind == KJ_GROUP_END)
			k->grouped = false;
		kwork_done(k, j);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

static int sockets_open(struct kwork *w)
{
	int err = nlm_l2tp_open(&w->l2tp, w->sys);

	if (err)
		return err;
	w->rt[0] = calloc(1, sizeof(*w->rt[0]));
	if (!w->rt[0])
		return -ENOMEM;
	return nlm_open_on(w->rt[0], w->sys, NETLINK_ROUTE);
}

int kwork_start(struct kernel *k)
{
	sigset_t all, old;
	int err = 0;

	k->workers = calloc(k->config.workers, sizeof(*k->workers));
	if (!k->workers)
		return -ENOMEM;
	/* Signals are for the owner's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned int i = 0; i < k->config.workers && !err; i++) {
		struct kwork *w = &k->workers[i];

		w->k = k;
		w->sys = k->sys;
		w->number = i;
		w->seed = i * 2654435761u + 1;
		w->l2tp.m.fd = -1;
		k->worker_n = i + 1;
		err = sockets_open(w);
		if (!err)
			err = -pthread_create(&w->thread, NULL, work, w);
		w->running = !err;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

void kwork_stop(struct kernel *k)
{
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_broadcast(&k->more);
	pthread_mutex_unlock(&k->lock);
	kend_stop(k);
	for (unsigned int i = 0; i < k->worker_n; i++) {
		struct kwork *w = &k->workers[i];

		if (w->running)
			pthread_join(w->thread, NULL);
		nlm_l2tp_close(&w->l2tp);
		for (int n = 0; n < KERNEL_NETNS_MAX; n++) {
			if (w->rt[n])
				nlm_close(w->rt[n]);
			free(w->rt[n]);
		}
	}
	free(k->workers);
	k->workers = NULL;
	k->worker_n = 0;
}

void kwork_push(struct kernel *k, struct kjob *j)
{
	pthread_mutex_lock(&k->lock);
	list_push(j->kind == KJ_GROUP_END ? &k->grouping
		  : j->kind == KJ_CLOSE	  ? &k->closing
		  : is_wire(j)		  ? &k->wires
					  : &k->jobs,
		  &j->node);
	if (j->kind == KJ_CLOSE) /* there is work for all */
		pthread_cond_broadcast(&k->more);
	/* One who cannot begin it yet has no need to look. */
	else if (!is_wire(j) || !k->wiring)
		pthread_cond_signal(&k->more);
	pthread_mutex_unlock(&k->lock);
}

void kwork_done(struct kernel *k, struct kjob *j)
{
	if (list_empty(&k->finished))
		kernel_wake(k);
	list_push(&k->finished, &j->node);
}

struct kjob *kwork_finished(struct kernel *k)
{
	struct list *node;

	pthread_mutex_lock(&k->lock);
	node = list_pop(&k->finished);
	pthread_mutex_unlock(&k->lock);
	return node ? container_of(node, struct kjob, node) : NULL;
}
