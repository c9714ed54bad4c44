/* SPDX-License-Identifier: MIT
 *
 * The user-space data plane, control side: the operations of dp.h over the session table (table.h),
 * the forwarding thread (forward.h) and the requests to the host (job.c).
 *
 * The owner's thread alone comes in here. It shares with the forwarding thread: the table (read
 * there without locks), the descriptors (closed only after a quiet state) and the ring of punts.
 */
#include "user_int.h"
#include "admit.h"
#include "pkt.h"
#include "pkt3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS_DEFAULT 10000u
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static struct user *user_of(struct dp *dp)
{
	return container_of(dp, struct user, dp);
}

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* ---- requests ---- */

static int user_put(struct dp *dp, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	struct user *u = user_of(dp);
	struct job *j = job_new(JOB_PUT, key, generation);

	if (!j)
		return -ENOMEM;
	job_poll(u);
	j->row = *row;
	return job_start(u, j);
}

static int user_del(struct dp *dp, uint64_t key, uint32_t generation)
{
	struct user *u = user_of(dp);
	struct job *j = job_new(JOB_DEL, key, generation);

	if (!j)
		return -ENOMEM;
	job_poll(u);
	return job_start(u, j);
}

static int user_net(struct dp *dp, uint32_t generation, const struct dp_net *net)
{
	struct user *u = user_of(dp);
	struct job *j = job_new(JOB_NET, 0, generation);

	if (!j)
		return -ENOMEM;
	job_poll(u);
	*j->net = *net;
	return job_start(u, j);
}

/* Close the sockets that the forwarding thread has let go of. */
static void socks_poll(struct user *u)
{
	for (uint32_t i = 0; u->closing && i < FWD_SOCKS; i++) {
		struct user_sock *s = &u->socks[i];

		if (!s->closing || !qsbr_passed(&u->qsbr, s->tag))
			continue;
		close(s->fd);
		s->closing = false;
		u->closing--;
	}
	if (u->closing)
		qsbr_want(&u->qsbr);
	attach_poll(u);
}

static bool has_news(const struct user *u)
{
	return !list_empty(&u->done);
}

/* Nothing more of one kind: if there is nothing of any kind, let the descriptor turn quiet. */
static void rest(struct user *u)
{
	/* What woke us by fwd_watch_wake() may not have been looked at since. */
	if (!has_news(u) && !u->peeked && !atomic_load(&u->fwd.woken))
		ring_sleep(&u->fwd.ring);
}

static bool user_done(struct dp *dp, struct dp_done *ret)
{
	struct user *u = user_of(dp);
	struct list *l;
	struct job *j;

	job_poll(u);
	socks_poll(u);
	l = list_pop(&u->done);
	if (!l) {
		rest(u);
		return false;
	}
	j = container_of(l, struct job, link);
	memset(ret, 0, sizeof(*ret));
	ret->op = (uint8_t)j->op;
	ret->key = j->key;
	ret->generation = j->generation;
	ret->error = j->error;
	memcpy(ret->text, j->text, sizeof(ret->text));
	if (j->op == JOB_PUT && !j->error)
		memcpy(ret->ifname, j->ifname, sizeof(ret->ifname));
	if (j->op == JOB_DEL)
		ret->counters = j->counters;
	if (j->held)
		list_push(&u->ended, &j->link);
	else
		job_free(j);
	return true;
}

static void user_committed(struct dp *dp)
{
	job_committed(user_of(dp));
}

int dp_user_wake(struct dp *dp, int fd)
{
	return fwd_watch_wake(&user_of(dp)->fwd, fd);
}

void dp_user_awake(struct dp *dp)
{
	atomic_store(&user_of(dp)->fwd.woken, false);
}

static bool user_punt(struct dp *dp, struct dp_punt *ret)
{
	struct user *u = user_of(dp);
	uint8_t *record;
	uint32_t n;

	if (u->peeked) {
		ring_pop(&u->fwd.ring);
		u->peeked = false;
	}
	while ((record = ring_peek(&u->fwd.ring, &n)) != NULL) {
		const struct fwd_punt *p = (const struct fwd_punt *)(const void *)record;

		if (p->class == FWD_LOST) {
			uint32_t dev = p->dev;

			ring_pop(&u->fwd.ring);
			/* Opened again, but not over and over when that does not help. */
			if (fwd_bucket_take(&u->losses, clock_now()))
				job_lost(u, dev);
			continue;
		}
		memset(ret, 0, sizeof(*ret));
		ret->class = (enum dp_punt_class)p->class;
		ret->key = p->key;
		ret->path = p->path;
		ret->bytes = p->bytes;
		ret->len = p->len;
		u->peeked = true;
		return true;
	}
	job_poll(u);
	rest(u);
	return false;
}

static int user_fd(struct dp *dp)
{
	return user_of(dp)->fwd.ring.fd;
}

/* ---- sending ---- */

static bool is_lcp(const uint8_t *frame, size_t len)
{
	return len >= 2 && frame[0] == 0xc0 && frame[1] == 0x21;
}

static size_t build3(const struct dpt_config *c, bool udp, struct dpt_run *run, uint8_t *frame,
		     size_t len)
{
	struct pkt3_ppp o = {
		.has_seq = c->flags & DP_F_SEND_SEQ && c->l2spec == DP_L2SPEC_DEFAULT,
		.address = !(c->flags & DP_F_ACFC) || is_lcp(frame, len),
	};

	if (o.has_seq)
		o.seq = atomic_fetch_add_explicit(&run->ns, 1, memory_order_relaxed);
	return pkt3_build_ppp(frame, c, udp, &o);
}

/* Put the headers in front of a frame; NULL when there is no such active row. */
static uint8_t *build(struct user *u, uint64_t key, uint8_t *frame, size_t *len, bool priority,
		      const struct dpt_tunnel **ret)
{
	uint32_t slot = dpt_find(u->table, key);
	struct dpt_config c;
	struct dpt_run *run;
	struct pkt_out o = { .priority = priority };
	size_t head;

	if (slot == DPT_NONE || !dpt_snapshot(u->table, slot, &c) || !(c.state & DPT_UP) ||
	    c.kind == DPT_ETH)
		return NULL;
	if (*len >= 2 && frame[0] == 0xff && frame[1] == 0x03) {
		frame += 2;
		*len -= 2;
	}
	run = dpt_run(u->table, slot);
	if (c.kind == DPT_PPP3) {
		*ret = dpt_tunnel(u->table, c.tunnel);
		head = build3(&c, (*ret)->encap == DP_ENCAP_UDP, run, frame, *len);
		*len += head;
		return frame - head;
	}
	o.tunnel = (uint16_t)(c.remote_tunnel[0] << 8 | c.remote_tunnel[1]);
	o.session = (uint16_t)(c.remote_session[0] << 8 | c.remote_session[1]);
	o.length = c.flags & DP_F_LENGTH;
	o.seq = fwd_sends_seq(&c, run);
	if (o.seq)
		o.ns = (uint16_t)atomic_fetch_add_explicit(&run->ns, 1, memory_order_relaxed);
	/* RFC 1661 6.6: LCP keeps address and control whatever was agreed. */
	o.address = !(c.flags & DP_F_ACFC) || is_lcp(frame, *len);
	head = pkt_head_build(frame, *len, &o);
	*len += head;
	*ret = dpt_tunnel(u->table, c.tunnel);
	return frame - head;
}

static uint8_t *user_wrap(struct dp *dp, uint64_t key, uint8_t *frame, size_t *len, bool priority,
			  struct path *ret)
{
	struct user *u = user_of(dp);
	const struct dpt_tunnel *t;
	struct path p;

	frame = build(u, key, frame, len, priority, &t);
	if (!frame)
		return NULL;
	memset(&p, 0, sizeof(p));
	p.via = t->via;
	p.local.family = p.remote.family = t->family;
	p.local.port = t->local_port;
	p.remote.port = t->remote_port;
	p.local.scope = t->local_scope;
	p.remote.scope = t->remote_scope;
	memcpy(p.local.ip, t->local, 16);
	memcpy(p.remote.ip, t->remote, 16);
	*ret = p;
	return frame;
}

static int user_send(struct dp *dp, uint64_t key, uint8_t *frame, size_t len, bool priority)
{
	struct user *u = user_of(dp);
	const struct dpt_tunnel *t;
	struct fwd_to to;
	struct msghdr m;
	struct iovec iov;
	uint32_t sock;
	int fd;

	frame = build(u, key, frame, &len, priority, &t);
	if (!frame)
		return 1;
	sock = fwd_sock_of(&u->fwd, t->via);
	if (sock == FWD_SOCKS)
		return 0; /* lost, as any packet may be; PPP sends it again */
	fd = atomic_load(&u->fwd.socks[sock].fd) - 1;
	fwd_address(t, atomic_load(&u->fwd.socks[sock].v6), &to, &m);
	iov = (struct iovec){ frame, len };
	m.msg_iov = &iov;
	m.msg_iovlen = 1;
	/* The error may be an earlier packet's; a second one is this packet's. */
	if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    (errno == ECONNREFUSED || errno == EINTR))
		(void)!sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

/* ---- sockets ---- */

/* The kernel has to say where a datagram went to, unless that is clear. */
static int prepare(int fd, struct sockaddr_storage *ret_name, struct addr *ret)
{
	socklen_t n = sizeof(*ret_name);
	int one = 1, rc;

	if (getsockname(fd, (struct sockaddr *)ret_name, &n) < 0)
		return -errno;
	rc = addr_from_sockaddr((struct sockaddr *)ret_name, n, ret);
	if (rc < 0 || !fwd_unspecified(ret->ip))
		return rc;
	/* Of a socket that takes IPv4 as well, see fwd_outer(); one that does not may refuse. */
	if (ret_name->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	if (ret_name->ss_family == AF_INET6)
		rc = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	else if (ret_name->ss_family == AF_INET)
		rc = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	else
		return -EAFNOSUPPORT;
	return rc < 0 ? -errno : 0;
}

/* Where a socket lies; an old kernel does not say it all. */
void dp_user_place(int fd, int *ret_device, uint64_t *ret_room)
{
	socklen_t n = sizeof(*ret_device), m = sizeof(*ret_room);

	*ret_device = 0;
	*ret_room = 0;
	(void)getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, ret_device, &n);
	(void)getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_room, &m);
}

static int user_listen(struct dp *dp, uint32_t via, int fd)
{
	struct user *u = user_of(dp);
	struct sockaddr_storage name;
	struct fwd_sock *s;
	uint32_t i = 0;
	struct addr a;
	int rc, own;

	socks_poll(u);
	if (fwd_sock_of(&u->fwd, via) != FWD_SOCKS)
		return -EEXIST;
	while (i < FWD_SOCKS && (atomic_load(&u->fwd.socks[i].fd) || u->socks[i].closing))
		i++;
	if (i == FWD_SOCKS)
		return -ENOSPC;
	rc = prepare(fd, &name, &a);
	if (rc < 0)
		return rc;
	/* A duplicate: the caller may close its own at any time. */
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return -errno;
	s = &u->fwd.socks[i];
	s->raw = fwd_is_raw(fd);
	dp_user_place(fd, &s->device, &s->room);
	if (s->raw)
		a.port = 0; /* the kernel shows the protocol there */
	atomic_store(&s->via, via);
	atomic_store(&s->port, a.port);
	memcpy(s->local, a.ip, sizeof(s->local));
	s->local_scope = a.scope;
	atomic_store(&s->v6, name.ss_family == AF_INET6);
	atomic_store(&s->fd, own + 1);
	if (atomic_load(&u->fwd.sock_high) <= i)
		atomic_store(&u->fwd.sock_high, i + 1);
	rc = fwd_watch_sock(&u->fwd, i);
	if (rc < 0) {
		atomic_store(&s->fd, 0);
		u->socks[i] = (struct user_sock){ true, own, qsbr_advance(&u->qsbr) };
		u->closing++;
	}
	return rc;
}

static int user_unlisten(struct dp *dp, uint32_t via)
{
	struct user *u = user_of(dp);
	uint32_t i = fwd_sock_of(&u->fwd, via);
	int fd;

	if (i == FWD_SOCKS)
		return -ENOENT;
	fd = fwd_unwatch_sock(&u->fwd, i);
	u->socks[i] = (struct user_sock){ true, fd, qsbr_advance(&u->qsbr) };
	u->closing++;
	socks_poll(u);
	return 0;
}

/* ---- what is there ---- */

static bool user_stats(struct dp *dp, uint64_t key, struct dp_counters *ret)
{
	return dpt_stats(user_of(dp)->table, key, ret);
}

static struct mono user_heard(struct dp *dp, uint32_t local_tunnel)
{
	return (struct mono){ (int64_t)dpt_heard(user_of(dp)->table, local_tunnel) };
}

static bool user_list(struct dp *dp, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation)
{
	return dpt_list(user_of(dp)->table, pos, ret_key, ret_generation);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void user_plane_stats(struct dp *dp, struct dp_plane_stats *ret)
{
	struct user *u = user_of(dp);
	const struct fwd_counts *n = &u->fwd.counts;

	memset(ret, 0, sizeof(*ret));
	ret->rx_packets = get(&n->rx_packets);
	ret->tx_packets = get(&n->tx_packets);
	ret->drop_unknown = get(&n->drop_unknown);
	ret->drop_path = get(&n->drop_path);
	ret->drop_header = get(&n->drop_header);
	ret->drop_spoof = get(&n->drop_spoof);
	ret->drop_seq = get(&n->drop_seq);
	ret->drop_mtu = get(&n->drop_mtu);
	ret->drop_other = get(&n->drop_other);
	ret->punts = get(&n->punts);
	ret->punts_dropped = get(&n->punts_dropped);
	ret->rows = dpt_rows(u->table);
	ret->offloads = atomic_load(&u->fwd.offload_used);
	ret->memory = sizeof(*u) + u->fwd.ring.size + dpt_memory(u->table);
}

/* ---- beginning and end ---- */

static void jobs_free(struct list *list)
{
	for (struct list *l; (l = list_pop(list)) != NULL;) {
		struct job *j = container_of(l, struct job, link);

		while (j) {
			struct job *next = j->next;

			if (j->fd >= 0)
				close(j->fd);
			job_free(j);
			j = next;
		}
	}
}

static void user_free(struct dp *dp)
{
	struct user *u;

	if (!dp)
		return;
	u = user_of(dp);
	if (u->table)
		fwd_stop(&u->fwd);
	for (uint32_t i = 0; i < FWD_SOCKS; i++) {
		if (u->socks[i].closing)
			close(u->socks[i].fd);
	}
	/* Done ones have given up their place to `next` before. */
	for (struct list *l = u->done.next; l != &u->done; l = l->next)
		container_of(l, struct job, link)->next = NULL;
	jobs_free(&u->done);
	jobs_free(&u->ended);
	jobs_free(&u->asking);
	jobs_free(&u->shared_wait);
	jobs_free(&u->quiet);
	devices_free(u);
	attach_free(u);
	htab_free(&u->keys);
	admit_free(u->fwd.admit);
	dpt_close(u->table);
	if (u->own_table)
		munmap(u->own_table, u->own_size);
	free(u);
}

static void user_trust(struct dp *dp, const struct addr *remote)
{
	admit_trust(user_of(dp)->fwd.admit, remote);
}

static void user_trust_nets(struct dp *dp, const struct prefix *nets, size_t n)
{
	admit_nets(user_of(dp)->fwd.admit, nets, n);
}

void dp_user_elsewhere(struct dp *dp, uint32_t session, bool is)
{
	admit_elsewhere(user_of(dp)->fwd.admit, session, is);
}

static const struct dp_ops user_ops = {
	.name = "user",
	.free = user_free,
	.put = user_put,
	.del = user_del,
	.net = user_net,
	.send = user_send,
	.wrap = user_wrap,
	.listen = user_listen,
	.unlisten = user_unlisten,
	.fd = user_fd,
	.done = user_done,
	.committed = user_committed,
	.punt = user_punt,
	.stats = user_stats,
	.heard = user_heard,
	.list = user_list,
	.plane_stats = user_plane_stats,
	.trust = user_trust,
	.trust_nets = user_trust_nets,
};

size_t dp_user_table_size(uint32_t max_sessions)
{
	return dpt_size(max_sessions);
}

static struct fwd_bucket bucket(struct dp_rate rate, uint32_t per_s, uint32_t burst)
{
	struct fwd_bucket b = { .rate = rate };

	if (!b.rate.per_s)
		b.rate.per_s = per_s;
	if (!b.rate.burst)
		b.rate.burst = burst;
	b.tokens = (uint64_t)b.rate.burst * 1000000u;
	return b;
}

static uint32_t ring_size(const struct dp_user_config *c, uint32_t sessions)
{
	uint32_t size = 256 * 1024;

	if (c->ring) {
		while (size < c->ring && size < 1u << 30)
			size *= 2;
		return size;
	}
	/* A LAC may set up thousands at once, a client has one session. */
	while (size < 8u * 1024 * 1024 && size / 64 < sessions)
		size *= 2;
	return size;
}

/* The table, in the caller's memory or our own. 0 or a negative errno. */
static int open_table(struct user *u, const struct dp_user_config *c)
{
	uint32_t sessions = c->max_sessions ? c->max_sessions : SESSIONS_DEFAULT, found;
	void *mem = c->table;
	size_t size = c->table_size;

	if (!mem) {
		size = dpt_size(sessions);
		mem = size ? mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
			   : MAP_FAILED;
		if (mem == MAP_FAILED)
			return size ? -ENOMEM : -EINVAL;
		u->own_table = mem;
		u->own_size = size;
	}
	if (size < dpt_size(1))
		return -EINVAL;
	u->table = dpt_open(mem, size, c->max_sessions, c->hash_key, &u->qsbr, &found);
	return u->table ? 0 : -ENOMEM;
}

struct dp *dp_user_new(const struct dp_user_config *c)
{
	struct user *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return NULL;
	u->dp.ops = &user_ops;
	u->host_ops = *c->host_ops;
	u->host = c->host;
	snprintf(u->ifname, sizeof(u->ifname), "%s", c->ifname ? c->ifname : "adit0");
	list_init(&u->asking);
	list_init(&u->shared_wait);
	list_init(&u->quiet);
	list_init(&u->done);
	list_init(&u->ended);
	u->keep_ended = c->keep_ended;
	list_init(&u->clients);
	list_init(&u->leaving);
	qsbr_init(&u->qsbr);
	htab_init(&u->keys, c->hash_key);
	u->losses = bucket((struct dp_rate){ 0 }, 1, 5);
	u->fwd.admit = admit_new(c->hash_key);
	rc = u->fwd.admit ? htab_reserve(&u->keys) : -ENOMEM; /* a request finds its place */
	if (rc == 0)
		rc = open_table(u, c);
	if (rc == 0) {
		u->fwd.table = u->table;
		u->fwd.qsbr = &u->qsbr;
		u->fwd.offload = DP_OFFLOAD_ALL & ~c->no_offload;
		u->fwd.control = bucket(c->control, 200000, 65536);
		u->fwd.unproven = bucket(c->unproven, 20000, 2000);
		u->fwd.asker = bucket(c->asker, 20000, 4000);
		u->fwd.stranger = bucket(c->stranger, 2000, 500);
		u->fwd.negotiation = bucket(c->negotiation, 100000, 65536);
		u->fwd.unknown = bucket(c->unknown, 100, 100);
		u->fwd.stray = bucket(c->unknown, 100, 100);
		u->fwd.stray_known = bucket(c->unknown, 100, 100);
		u->fwd.frames = bucket(c->frames, 20000, 20000);
		u->fwd.session = bucket(c->session, 100, 100).rate;
		rc = fwd_start(&u->fwd, ring_size(c, dpt_slots(u->table)));
		if (rc < 0) {
			dpt_close(u->table);
			u->table = NULL;
		}
	}
	if (rc < 0) {
		user_free(&u->dp);
		errno = -rc;
		return NULL;
	}
	job_recover(u);
	return &u->dp;
}

bool dp_user_ready(const struct dp *dp)
{
	const struct user *u = container_of((struct dp *)(uintptr_t)dp, struct user, dp);

	return u->shared != SHARED_OPENING && list_empty(&u->asking) && list_empty(&u->shared_wait);
}

void dp_user_host_done(struct dp *dp, uint32_t id, int error, const char *text, int fd)
{
	job_answered(user_of(dp), id, error, text, fd);
}
