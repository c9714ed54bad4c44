/* SPDX-License-Identifier: MIT
 *
 * The forwarding thread: one epoll over UDP sockets and TUN devices, batches of up to 64 packets,
 * no lock, no allocation, and one look at the clock per batch.
 *
 *   up    recvmmsg -> trains apart (UDP_GRO) -> L2TP header -> slot by our ids -> from the
 *         tunnel's own peer? -> Ns -> PPP -> IP of an open network protocol, allowed source -> MSS
 *         -> TCP segments joined -> write to the TUN (tun.c)
 *   down  read from the TUN -> slot by destination (or the client whose device it is) -> MSS
 *         -> MTU -> long TCP packets cut (down.c) -> headers -> trains (UDP_SEGMENT) -> sendmmsg
 *         from the tunnel's local address (queue.c)
 *
 * TTL is the kernel's business: packets to and from the TUN are routed by it. All that is not IP of
 * an active session goes to the control thread through a ring, every class at its own rate
 * (RFC 2661 gives no rate; the point is that a flood of one kind cannot starve another).
 *
 * Nothing here ends the thread: a device that is gone is left and reported, errors of sockets
 * (ICMP, no buffers) cost the packet at hand.
 */
#include "forward_int.h"
#include "admit.h"
#include "pkt3.h"
#include "base/wire.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS	   4 /* batches from one descriptor before others get their turn */
#define ICMP_PER_S 1000
#ifndef IPPROTO_L2TP
#define IPPROTO_L2TP 115
#endif
#define MRU_MOST     16384 /* the largest MRU that can be configured: nobody may send more */
#define EVENT_DEV    ((uint64_t)1 << 32)
#define EVENT_STOP   ((uint64_t)2 << 32)
#define EVENT_TUNNEL ((uint64_t)4 << 32)
#define EVENT_WAKE   ((uint64_t)8 << 32)

#define GATHER_US 2000

/* What the thread had done when it looked last. */
struct fwd_turn {
	uint64_t punts, data;
	bool busy; /* the owner, when this turn began */
};

void fwd_clock(struct fwd *f)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	f->now = (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* ---- rates ---- */

bool fwd_limit_take(struct fwd_limit *l, const struct dp_rate *rate, uint64_t now_us)
{
	uint32_t now = (uint32_t)(now_us / 1000u) | 1u; /* 0: never used */
	uint64_t tokens = (uint64_t)rate->burst * 1000u;

	if (l->at) {
		uint64_t more = l->tokens + (uint64_t)(now - l->at) * rate->per_s;

		if (more < tokens)
			tokens = more;
	}
	l->at = now;
	l->tokens = (uint32_t)(tokens < 1000 ? tokens : tokens - 1000);
	return tokens >= 1000;
}

/* ---- punts ---- */

/*
 * Hand something up. Control messages of those we know may fill the ring, all else three quarters
 * of it: so no flood of requests keeps an acknowledgement from a tunnel that is up.
 */
static void punt(struct fwd *f, struct fwd_bucket *bucket, uint32_t class, uint64_t key,
		 const struct path *path, const uint8_t *bytes, size_t len)
{
	bool first = bucket == &f->control || bucket == &f->asker;
	uint32_t fill = first ? f->ring.size : f->ring.size / 4 * 3;
	struct fwd_punt *p;

	if (!fwd_bucket_take(bucket, f->now) ||
	    !(p = (struct fwd_punt *)(void *)ring_room(&f->ring, (uint32_t)(sizeof(*p) + len),
						       fill))) {
		count(&f->counts.punts_dropped);
		return;
	}
	p->class = class;
	p->dev = 0;
	p->key = key;
	if (path)
		p->path = *path;
	else
		memset(&p->path, 0, sizeof(p->path));
	p->len = (uint32_t)len;
	memcpy(p->bytes, bytes, len);
	ring_push(&f->ring);
	count(&f->counts.punts);
}

static void punt_datagram(struct fwd *f, struct fwd_bucket *bucket, const struct fwd_sock *s,
			  const struct fwd_outer *o, const uint8_t *bytes, size_t len)
{
	struct path path;

	memset(&path, 0, sizeof(path));
	path.via = atomic_load_explicit(&s->via, memory_order_relaxed);
	path.local.family = path.remote.family = o->family;
	path.local.port = atomic_load_explicit(&s->port, memory_order_relaxed);
	path.remote.port = o->port;
	path.local.scope = o->local_scope;
	path.remote.scope = o->scope;
	memcpy(path.local.ip, o->local, 16);
	memcpy(path.remote.ip, o->remote, 16);
	punt(f, bucket, DP_PUNT_DATAGRAM, 0, &path, bytes, len);
}

/*
 * Data of a session that is not here, or only prepared. PPP control frames are how a session is set
 * up before there is a row; anything else is a leftover of one that ended.
 */
static void punt_unknown(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
			 const struct pkt_head *h, const uint8_t *bytes, size_t len, bool known)
{
	struct pkt_ppp ppp;
	bool control = pkt_ppp_parse(bytes + h->off, h->len, &ppp) && ppp.proto >= 0x8000;

	if (!known)
		count(&f->counts.drop_unknown);
	punt_datagram(f, control ? &f->negotiation : &f->unknown, s, o, bytes, len);
}

void fwd_punt_early(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
		    const uint8_t *bytes, size_t len)
{
	punt_datagram(f, &f->negotiation, s, o, bytes, len);
}

void fwd_punt_stray(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
		    uint32_t session, const uint8_t *bytes, size_t len)
{
	struct fwd_bucket *bucket = admit_stray(f, o, session);

	if (bucket)
		punt_datagram(f, bucket, s, o, bytes, len);
}

static void punt_frame(struct fwd *f, uint32_t slot, uint32_t class, const uint8_t *bytes,
		       size_t len)
{
	if (!fwd_limit_take(&f->limits[slot], &f->session, f->now)) {
		count(&f->counts.punts_dropped);
		return;
	}
	punt(f, &f->frames, class, index_key_of(dpt_index(f->table), slot), NULL, bytes, len);
}

/* ---- up ---- */

/* An IP packet of an active session. */
static void up_ip(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint8_t *p, size_t len,
		  uint8_t version, size_t room)
{
	struct dpt_run *run = dpt_run(f->table, slot);
	struct pkt_ip ip;

	if (!(c->flags & (version == 4 ? DP_F_IP4 : DP_F_IP6)) ||
	    !pkt_ip_parse(p, len, version, &ip) || ip.len > MRU_MOST) {
		count(&f->counts.drop_other);
		count(&run->drop_up);
		return;
	}
	if (!fwd_source_ok(dpt_index(f->table), c, slot, &ip)) {
		count(&f->counts.drop_spoof);
		count(&run->drop_spoof);
		return;
	}
	if (version == 6 && pkt_ip6_local(ip.dst)) {
		punt_frame(f, slot, DP_PUNT_LOCAL, p, ip.len);
		return;
	}
	if (c->flags & DP_F_MSS_CLAMP)
		pkt_mss_clamp(p, &ip, version == 4 ? c->mss4 : c->mss6);
	tun_put(f, c, slot, p, &ip, room);
}

void fwd_up_ppp(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint8_t *b, size_t len,
		size_t room)
{
	struct pkt_ppp ppp;

	if (!pkt_ppp_parse(b, len, &ppp)) {
		count(&f->counts.drop_header);
		count(&dpt_run(f->table, slot)->drop_up);
		return;
	}
	if (ppp.proto == PPP_IP4 || ppp.proto == PPP_IP6)
		up_ip(f, c, slot, b + ppp.data, len - ppp.data, ppp.proto == PPP_IP4 ? 4 : 6,
		      room + ppp.data);
	else
		punt_frame(f, slot, DP_PUNT_PPP, b + ppp.off, len - ppp.off);
}

/* Would the socket `via` have got what came by `s`, if it had been alone? */
static bool shares(const struct fwd *f, uint32_t via, const struct fwd_sock *s,
		   const struct fwd_outer *o)
{
	uint32_t i = fwd_sock_of(f, via);
	const struct fwd_sock *own = f->socks + i;

	return i != FWD_SOCKS && own->raw == s->raw && own->room == s->room &&
	       atomic_load_explicit(&own->port, memory_order_relaxed) ==
		       atomic_load_explicit(&s->port, memory_order_relaxed) &&
	       (!own->device || own->device == s->device) &&
	       (fwd_unspecified(own->local) || memcmp(own->local, o->local, 16) == 0);
}

bool fwd_path_ok(const struct fwd *f, const struct dpt_tunnel *t, const struct fwd_sock *s,
		 const struct fwd_outer *o)
{
	return (t->via == atomic_load_explicit(&s->via, memory_order_relaxed) ||
		shares(f, t->via, s, o)) &&
	       t->family == o->family && t->remote_port == o->port && t->remote_scope == o->scope &&
	       memcmp(t->remote, o->remote, 16) == 0 &&
	       (fwd_unspecified(t->local) || memcmp(t->local, o->local, 16) == 0);
}

static bool same_ids(const struct dpt_config *c, const struct pkt_head *h)
{
	return c->kind == DPT_PPP && (c->local_tunnel[0] << 8 | c->local_tunnel[1]) == h->tunnel &&
	       (c->local_session[0] << 8 | c->local_session[1]) == h->session;
}

/* Does a control message name a tunnel (RFC 2661 3.1, RFC 3931 3.2.1)? Only what opens one does
 * not.
 */
static bool has_tunnel(const uint8_t *b, size_t len)
{
	struct rcur c = rcur_of(b, len);
	uint16_t flags = rcur_u16(&c);

	rcur_u16(&c); /* Length */
	return (flags & 15) == 3 ? rcur_u32(&c) != 0 : rcur_u16(&c) != 0;
}

/* A control message: `b` is what goes up, `head` is where it begins in it. */
static void up_control(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
		       const uint8_t *b, size_t len, size_t head)
{
	struct fwd_bucket *bucket = admit_control(f, o, has_tunnel(b + head, len - head));

	if (bucket)
		punt_datagram(f, bucket, s, o, b, len);
	else
		count(&f->counts.punts_dropped);
}

static void up(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
	       const struct seen *seen, uint8_t *b, size_t len)
{
	const struct pkt_head *h = &seen->head;
	uint32_t slot = seen->slot;
	struct dpt_config c;
	struct dpt_run *run;

	if (seen->kind == PKT_BAD || !o->unicast) {
		if (seen->kind != PKT_BAD || !eth_up_udp(f, s, o, b, len))
			count(&f->counts.drop_header);
		return;
	}
	if (seen->kind == PKT_CONTROL) {
		up_control(f, s, o, b, len, 0);
		return;
	}
	if (slot == INDEX_NONE) {
		punt_unknown(f, s, o, h, b, len, false);
		return;
	}
	run = dpt_run(f->table, slot);
	if (!dpt_snapshot(f->table, slot, &c)) {
		count(&f->counts.drop_other);
		count(&run->drop_up);
		return;
	}
	if (!(c.state & DPT_USED) || !same_ids(&c, h)) {
		punt_unknown(f, s, o, h, b, len, false);
		return;
	}
	if (!fwd_path_ok(f, dpt_tunnel(f->table, c.tunnel), s, o)) {
		count(&f->counts.drop_path);
		return;
	}
	dpt_hear(f->table, c.tunnel, f->now);
	if (!(c.state & DPT_UP)) {
		punt_unknown(f, s, o, h, b, len, true);
		return;
	}
	if (!fwd_seq_ok(&c, run, h->has_seq, h->ns, f->now)) {
		count(&f->counts.drop_seq);
		count(&run->drop_seq);
		return;
	}
	fwd_up_ppp(f, &c, slot, b + h->off, h->len, h->off);
}

static void see(struct fwd *f, const uint8_t *b, size_t len, struct seen *ret)
{
	ret->kind = pkt_head_parse(b, len, &ret->head);
	ret->slot = ret->kind == PKT_DATA
			    ? index_ids_find(dpt_index(f->table),
					     index_ids_v2(ret->head.tunnel, ret->head.session))
			    : INDEX_NONE;
}

/* What one receive gave: a datagram that was seen, or some of one length behind each other. Each of
 * these is a message of its own, data or control, whatever the others are. */
static void up_all(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
		   const struct seen *seen, uint8_t *b, size_t len)
{
	struct seen one;

	if (!o->segment || len <= o->segment) {
		up(f, s, o, seen, b, len);
		return;
	}
	for (size_t n; len > 0; b += n, len -= n) {
		n = len < o->segment ? len : o->segment;
		see(f, b, n, &one);
		up(f, s, o, &one, b, n);
	}
}

/* Has the connection that a control message names a socket of its own, which gets it from the
 * kernel, too? A flood of data that fills the queue of the raw one does not reach that. */
static bool has_own(const struct fwd *f, const uint8_t *b, size_t len)
{
	struct rcur c = rcur_of(b, len);
	uint32_t id;

	rcur_u32(&c); /* flags and version, Length */
	id = rcur_u32(&c);
	for (uint32_t i = 0; f->attached && id && i < FWD_PROBES; i++) {
		const struct fwd_tunnel *t = &f->tunnels[(id + i) % FWD_TUNNELS];
		uint32_t at = atomic_load_explicit(&t->id, memory_order_acquire);

		if (at == id && atomic_load_explicit(&t->sock.fd, memory_order_acquire))
			return t->sock.stripped;
		if (!at)
			break;
	}
	return false;
}

/* L2TPv3 over IP. The octets of an IPv4 socket begin with the IP header. */
static void up_raw(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o, uint8_t *b,
		   size_t len)
{
	size_t head = 0;
	enum pkt_kind kind;

	if (s->stripped) { /* there is room: no packet of IP fills its buffer */
		memmove(b + 4, b, len);
		memset(b, 0, 4);
		len += 4;
	} else if (o->family == AF_INET) {
		head = pkt3_ip4_payload(b, len);
		if (!head) {
			count(&f->counts.drop_header);
			return;
		}
	}
	kind = eth_up_ip(f, s, o, b + head, len - head);
	if (kind == PKT_CONTROL && !s->stripped && has_own(f, b + head + 4, len - head - 4))
		return;
	if (kind == PKT_CONTROL && o->unicast)
		up_control(f, s, o, b + head, len - head, 4);
	else if (kind != PKT_DATA)
		count(&f->counts.drop_header);
}

static int receive(struct fwd *f, int fd)
{
	struct fwd_batch *b = f->batch;
	int n;

	/* Those that were used last time. */
	for (unsigned int i = 0; i < b->rx_used; i++) {
		struct msghdr *h = &b->rx_msg[i].msg_hdr;

		h->msg_namelen = sizeof(b->rx_from[i].name);
		h->msg_controllen = sizeof(b->rx_from[i].control);
		h->msg_flags = 0;
	}
	do
		n = recvmmsg(fd, b->rx_msg, FWD_BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	b->rx_used = n > 0 ? (uint32_t)n : 0;
	return n;
}

/* Answers of ICMP that somebody asked to be queued; otherwise epoll would report them for ever. */
static void drain_errors(int fd)
{
	uint8_t bytes[256];

	for (unsigned int i = 0; i < FWD_BATCH; i++) {
		if (recv(fd, bytes, sizeof(bytes), MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
	}
}

/* A socket may have one local address: then the kernel need not tell it with each packet. */
static bool outer_of(const struct msghdr *m, const struct fwd_to *from, const struct fwd_sock *s,
		     struct fwd_outer *ret)
{
	bool told = fwd_outer(m, from, ret);

	if (!ret->port && !s->raw)
		ret->unicast = false; /* it cannot be answered */
	if (told)
		return true;
	memcpy(ret->local, s->local, sizeof(ret->local));
	ret->local_scope = s->local_scope;
	return !fwd_unspecified(s->local);
}

/*
 * Look at the heads of all datagrams of a batch, and ask for the memory they will need all at once:
 * what the kernel did since the last batch has driven it out of the caches.
 */
static void see_all(struct fwd *f, unsigned int n)
{
	struct fwd_batch *b = f->batch;
	const struct index *x = dpt_index(f->table);

	for (unsigned int i = 0; i < n; i++) {
		struct seen *t = &b->seen[i];

		t->kind = pkt_head_parse(b->rx[i], b->rx_msg[i].msg_len, &t->head);
		t->slot = INDEX_NONE;
		if (t->kind == PKT_DATA)
			index_ids_prefetch(x, index_ids_v2(t->head.tunnel, t->head.session));
	}
	for (unsigned int i = 0; i < n; i++) {
		struct seen *t = &b->seen[i];

		if (t->kind != PKT_DATA)
			continue;
		t->slot = index_ids_find(x, index_ids_v2(t->head.tunnel, t->head.session));
		dpt_prefetch(f->table, t->slot);
	}
}

static void from_sock(struct fwd *f, const struct fwd_sock *s, uint32_t events)
{
	struct fwd_batch *b = f->batch;
	int fd = atomic_load_explicit(&s->fd, memory_order_acquire) - 1;
	bool known = false;
	struct fwd_outer o;

	if (fd < 0)
		return;
	if (events & EPOLLERR)
		drain_errors(fd);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		/* A negative count is EAGAIN, or an ICMP error that this call has taken off. */
		int n = receive(f, fd);

		if (n > 0 && !s->raw)
			see_all(f, (unsigned int)n);
		for (int i = 0; i < n; i++) {
			const struct msghdr *h = &b->rx_msg[i].msg_hdr;

			/* Most come from where the one before them came from. */
			if (!i || h->msg_controllen || b->rx_msg[i - 1].msg_hdr.msg_controllen ||
			    memcmp(&b->rx_from[i].name, &b->rx_from[i - 1].name,
				   sizeof(b->rx_from[i].name)) != 0)
				known = outer_of(h, &b->rx_from[i], s, &o);
			if ((h->msg_flags & MSG_TRUNC) || !known)
				count(&f->counts.drop_header);
			else if (s->raw)
				up_raw(f, s, &o, b->rx[i], b->rx_msg[i].msg_len);
			else
				up_all(f, s, &o, &b->seen[i], b->rx[i], b->rx_msg[i].msg_len);
		}
		tun_flush(f); /* before the buffers are used again */
		ring_publish(&f->ring);
		if (n < FWD_BATCH)
			return;
		fwd_clock(f);
	}
}

bool fwd_is_raw(int fd)
{
	socklen_t n = sizeof(int);
	int protocol = 0;

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) == 0 &&
	       protocol == IPPROTO_L2TP;
}

uint32_t fwd_sock_of(const struct fwd *f, uint32_t via)
{
	uint32_t high = atomic_load_explicit(&f->sock_high, memory_order_acquire);

	for (uint32_t i = 0; i < high; i++) {
		if (atomic_load_explicit(&f->socks[i].fd, memory_order_acquire) &&
		    atomic_load_explicit(&f->socks[i].via, memory_order_relaxed) == via)
			return i;
	}
	return FWD_SOCKS;
}

/* ---- the thread ---- */

/* Our ports, for loops(): looked up once for each round. */
static void collect_ports(struct fwd *f)
{
	uint32_t high = atomic_load_explicit(&f->sock_high, memory_order_acquire);

	f->batch->port_count = 0;
	for (uint32_t i = 0; i < high; i++) {
		if (atomic_load_explicit(&f->socks[i].fd, memory_order_acquire) && !f->socks[i].raw)
			f->batch->ports[f->batch->port_count++] =
				atomic_load_explicit(&f->socks[i].port, memory_order_relaxed);
	}
}

static void wake(struct fwd *f)
{
	atomic_store(&f->woken, true);
	ring_wake(&f->ring);
}

/*
 * When many sessions come up at once, their messages arrive one by one, each soon after the one
 * before; to be woken for each costs more than the message. So while the owner has its hands full
 * with former ones, and nothing but such comes, some are left to gather.
 */
static bool storm(struct fwd *f, struct fwd_turn *t)
{
	uint64_t punts = atomic_load_explicit(&f->counts.punts, memory_order_relaxed);
	uint64_t data = atomic_load_explicit(&f->counts.rx_packets, memory_order_relaxed) +
			atomic_load_explicit(&f->counts.tx_packets, memory_order_relaxed);
	bool is = t->busy && punts != t->punts && data == t->data;

	t->punts = punts;
	t->data = data;
	return is;
}

static void *run(void *arg)
{
	static const struct timespec gather = { 0, GATHER_US * 1000 };
	struct fwd *f = arg;
	struct epoll_event events[64];
	struct fwd_turn turn = { 0 };

	pthread_setname_np(pthread_self(), "forwarding");
	while (!atomic_load(&f->stop)) {
		int n;

		if (qsbr_idle(f->qsbr))
			ring_wake(&f->ring);
		if (storm(f, &turn))
			nanosleep(&gather, NULL);
		n = epoll_wait(f->epoll, events, 64, -1);
		turn.busy = !atomic_load(&f->ring.asleep);
		if (qsbr_quiet(f->qsbr))
			ring_wake(&f->ring);
		fwd_clock(f);
		collect_ports(f);
		for (int i = 0; i < n; i++) {
			uint32_t number = (uint32_t)events[i].data.u64;

			if (events[i].data.u64 & EVENT_DEV)
				down_from(f, number);
			else if (events[i].data.u64 & EVENT_TUNNEL)
				from_sock(f, &f->tunnels[number].sock, events[i].events);
			else if (events[i].data.u64 & EVENT_WAKE)
				wake(f);
			else if (!(events[i].data.u64 & EVENT_STOP))
				from_sock(f, &f->socks[number], events[i].events);
		}
	}
	qsbr_idle(f->qsbr);
	return NULL;
}

static int watch(struct fwd *f, int fd, uint64_t number)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = number };

	return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* Take datagrams of one length from one peer at once, and send them so; a kernel before 5.0
 * refuses. Whoever reads the socket after us does not expect it. */
static void trains(struct fwd *f, struct fwd_sock *s, int fd)
{
	int on = f->offload & DP_OFFLOAD_RECEIVE ? 1 : 0, segment = 0;
	socklen_t n = sizeof(segment);

	if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) == 0 && on)
		atomic_fetch_or(&f->offload_used, DP_OFFLOAD_RECEIVE);
	atomic_store(&s->segment, (f->offload & DP_OFFLOAD_SEND) &&
					  getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &n) == 0);
	if (atomic_load(&s->segment))
		atomic_fetch_or(&f->offload_used, DP_OFFLOAD_SEND);
}

int fwd_watch_sock(struct fwd *f, uint32_t sock)
{
	int fd = atomic_load(&f->socks[sock].fd) - 1;

	trains(f, &f->socks[sock], fd);
	return watch(f, fd, sock);
}

int fwd_unwatch_sock(struct fwd *f, uint32_t sock)
{
	static const int zero;
	int fd = atomic_exchange(&f->socks[sock].fd, 0) - 1;

	if (fd >= 0) {
		epoll_ctl(f->epoll, EPOLL_CTL_DEL, fd, NULL);
		setsockopt(fd, SOL_UDP, UDP_GRO, &zero, sizeof(zero));
	}
	return fd;
}

int fwd_watch_wake(struct fwd *f, int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = EVENT_WAKE };

	return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int fwd_watch_tunnel(struct fwd *f, uint32_t tunnel)
{
	return watch(f, atomic_load(&f->tunnels[tunnel].sock.fd) - 1, EVENT_TUNNEL | tunnel);
}

int fwd_unwatch_tunnel(struct fwd *f, uint32_t tunnel)
{
	int fd = atomic_exchange(&f->tunnels[tunnel].sock.fd, 0) - 1;

	if (fd >= 0)
		epoll_ctl(f->epoll, EPOLL_CTL_DEL, fd, NULL);
	return fd;
}

/* Does the device put a header before each packet? Then it may give long TCP packets, too, and
 * leave checksums to us; a device that refuses still takes them. */
static bool offloads(struct fwd *f, int fd)
{
	unsigned int wanted = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	if (ioctl(fd, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_VNET_HDR))
		return false;
	if (!(f->offload & DP_OFFLOAD_TCP) || ioctl(fd, TUNSETOFFLOAD, wanted) < 0)
		ioctl(fd, TUNSETOFFLOAD, 0);
	else
		atomic_fetch_or(&f->offload_used, DP_OFFLOAD_TCP);
	return true;
}

int fwd_watch_dev(struct fwd *f, uint32_t dev, int fd)
{
	int rc;

	atomic_store(&f->devs[dev], (fd + 1) << 1 | (offloads(f, fd) ? 1 : 0));
	rc = watch(f, fd, EVENT_DEV | dev);
	if (rc < 0)
		atomic_store(&f->devs[dev], 0);
	return rc;
}

int fwd_unwatch_dev(struct fwd *f, uint32_t dev)
{
	int fd = (atomic_exchange(&f->devs[dev], 0) >> 1) - 1;

	if (fd >= 0)
		epoll_ctl(f->epoll, EPOLL_CTL_DEL, fd, NULL);
	return fd;
}

static void batch_init(struct fwd_batch *b)
{
	b->rx_used = FWD_BATCH;
	writes_open(&b->writes);
	for (unsigned int i = 0; i < FWD_BATCH; i++) {
		b->rx_iov[i] = (struct iovec){ b->rx[i], FWD_BUF };
		b->rx_msg[i].msg_hdr = (struct msghdr){
			.msg_name = &b->rx_from[i].name,
			.msg_iov = &b->rx_iov[i],
			.msg_iovlen = 1,
			.msg_control = b->rx_from[i].control.bytes,
		};
	}
}

static int start_thread(struct fwd *f)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	sigfillset(&all);
	sigdelset(&all, SIGSYS); /* of a sandbox, which wants to say what happened */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&f->thread, &attr, run, f);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	f->started = rc == 0;
	return -rc;
}

int fwd_start(struct fwd *f, uint32_t ring_size)
{
	int rc;

	f->epoll = f->stop_fd = -1;
	f->icmp.rate = (struct dp_rate){ ICMP_PER_S, ICMP_PER_S / 10 };
	rc = ring_init(&f->ring, ring_size);
	if (rc < 0)
		return rc;
	f->devs = calloc((size_t)dpt_slots(f->table) + 1, sizeof(*f->devs));
	f->limits = calloc(dpt_slots(f->table), sizeof(*f->limits));
	f->tunnels = calloc(FWD_TUNNELS, sizeof(*f->tunnels)); /* only what is used is touched */
	/* Mapped: of most buffers only the first page is ever touched. */
	f->batch = mmap(NULL, sizeof(*f->batch), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->batch == MAP_FAILED)
		f->batch = NULL;
	if (!f->devs || !f->limits || !f->tunnels || !f->batch) {
		fwd_stop(f);
		return -ENOMEM;
	}
	batch_init(f->batch);
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	f->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = f->epoll < 0 || f->stop_fd < 0 ? -errno : watch(f, f->stop_fd, EVENT_STOP);
	if (rc == 0)
		rc = start_thread(f);
	if (rc < 0)
		fwd_stop(f);
	return rc;
}

void fwd_stop(struct fwd *f)
{
	static const uint64_t one = 1;

	if (f->started) {
		atomic_store(&f->stop, true);
		while (write(f->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(f->thread, NULL);
		f->started = false;
	}
	for (uint32_t i = 0; i < FWD_SOCKS; i++) {
		int fd = atomic_exchange(&f->socks[i].fd, 0) - 1;

		if (fd >= 0)
			close(fd);
	}
	for (uint32_t i = 0; f->attached && i < FWD_TUNNELS; i++) {
		int fd = atomic_exchange(&f->tunnels[i].sock.fd, 0) - 1;

		if (fd >= 0)
			close(fd);
	}
	for (uint32_t i = 0; f->devs && i <= dpt_slots(f->table); i++) {
		int fd = (atomic_load(&f->devs[i]) >> 1) - 1;

		if (fd >= 0)
			close(fd);
	}
	if (f->epoll >= 0)
		close(f->epoll);
	if (f->stop_fd >= 0)
		close(f->stop_fd);
	f->epoll = f->stop_fd = -1;
	if (f->batch) {
		writes_close(&f->batch->writes);
		munmap(f->batch, sizeof(*f->batch));
	}
	free(f->devs);
	free(f->limits);
	free(f->tunnels);
	f->tunnels = NULL;
	f->attached = false;
	f->batch = NULL;
	f->devs = NULL;
	f->limits = NULL;
	ring_fini(&f->ring);
}
