/* SPDX-License-Identifier: MIT
 *
 * What comes up from the kernel by itself: PPP control frames of pipes, channels and units, IPv6 of
 * the link, notifications that something was deleted; and frames of the owner on their way down.
 * Runs on the owner's thread.
 *
 * Once a channel is connected to a unit, the kernel hands LCP, authentication and the like
 * (protocols from C000 on, and 80FB) to the channel's descriptor, other control protocols to the
 * unit's. A session that sends more than its rate is not read for a while: the kernel keeps 32
 * frames for each descriptor and drops the rest, which costs us nothing.
 */
#include "kernel_int.h"

#include <errno.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <linux/filter.h> /* these after netinet/in.h */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/l2tp.h>

/* What epoll keeps for us: the address of a session and one of these, or one of these alone. */
enum { FROM_PIPE = 1, FROM_CHANNEL = 2, FROM_UNIT = 3, FROM_MASK = 7 };
enum { FROM_WAKE = 1, FROM_TIMER = 2, FROM_HINTS = 3, FROM_PACKET = 4 };
/* The packet socket of a namespace is 4 and its slot above that; addresses are larger than all. */
#define FROM_SLOT     3
#define FROM_SESSIONS ((uint64_t)(KERNEL_NETNS_MAX + 1) << FROM_SLOT)

#define TICK_US	     (100 * US_MS)
#define READS_A_TURN 8
#define HINTS_MOST   65536 /* messages; far more than fit into the queue */

/* ---- the descriptors ---- */

static int watch_one(struct kernel *k, int op, int fd, uint64_t what, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = what };

	return epoll_ctl(k->epoll, op, fd, &ev) < 0 ? -errno : 0;
}

/* IPv6 packets of PPP interfaces for the link itself: ICMPv6 and UDP to link-local or multicast. */
static const struct sock_filter link_filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_HATYPE),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_PPP, 0, 13),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_PKTTYPE),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 11, 0),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* next header */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 8),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 24), /* destination */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xff, 5, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xfe, 0, 5),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 25),
	BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xc0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x80, 0, 2),
	BPF_STMT(BPF_RET | BPF_K, 0xffff),
	BPF_STMT(BPF_RET | BPF_K, 0xffff),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

int kframe_packet(const struct kernel_sys *sys)
{
	const struct sock_fprog prog = { sizeof(link_filter) / sizeof(link_filter[0]),
					 (struct sock_filter *)(uintptr_t)link_filter };
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6) };
	/* Protocol 0: nothing comes in before the filter is there. */
	int fd = sys->socket(sys, AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (sys->setsockopt(sys, fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ||
	    sys->bind(sys, fd, &ll, sizeof(ll)) < 0) {
		sys->close(sys, fd);
		return -1;
	}
	return fd;
}

void kframe_watch_packet(struct kernel *k, uint32_t slot)
{
	struct knetns *ns = &k->netns[slot];

	if (ns->packet < 0 || watch_one(k, EPOLL_CTL_ADD, ns->packet,
					FROM_PACKET | (uint64_t)slot << FROM_SLOT, EPOLLIN) == 0)
		return;
	k->sys->close(k->sys, ns->packet);
	ns->packet = -1;
}

int kframe_open(struct kernel *k)
{
	int err = watch_one(k, EPOLL_CTL_ADD, k->wake, FROM_WAKE, EPOLLIN);

	if (!err)
		err = watch_one(k, EPOLL_CTL_ADD, k->timer, FROM_TIMER, EPOLLIN);
	if (!err)
		err = nlm_l2tp_open(&k->hints, k->sys);
	if (!err) {
		/* Without the group a foreign deletion is noticed by the counters alone. */
		if (nlm_l2tp_join(&k->hints) >= 0)
			err = watch_one(k, EPOLL_CTL_ADD, k->hints.m.fd, FROM_HINTS, EPOLLIN);
	}
	if (!err) {
		k->netns[0].packet = kframe_packet(k->sys);
		kframe_watch_packet(k, 0);
	}
	return err;
}

void kframe_close(struct kernel *k)
{
	nlm_l2tp_close(&k->hints);
	for (uint32_t i = 0; i < k->netns_n; i++)
		if (k->netns[i].packet >= 0)
			k->sys->close(k->sys, k->netns[i].packet);
}

static void watch_all(struct kernel *k, struct ksession *s, int op, uint32_t events)
{
	uint64_t self = (uintptr_t)s;
	int err = 0;

	if (s->have.stage == K_PIPE)
		err = watch_one(k, op, s->have.pppox, self | FROM_PIPE, events);
	if (s->have.stage == K_UNIT) {
		err = watch_one(k, op, s->have.chan, self | FROM_CHANNEL, events);
		if (!err)
			err = watch_one(k, op, s->have.unit, self | FROM_UNIT, events);
	}
	if (err && op == EPOLL_CTL_ADD)
		ksession_lost(k, s, "the keeper is out of memory for its descriptors");
}

void kframe_watch(struct kernel *k, struct ksession *s)
{
	if (s->watched)
		return;
	s->watched = true;
	watch_all(k, s, EPOLL_CTL_ADD, EPOLLIN);
}

void kframe_unwatch(struct kernel *k, struct ksession *s)
{
	if (!s->watched)
		return;
	s->watched = s->muted = false;
	watch_all(k, s, EPOLL_CTL_DEL, 0);
	for (int i = k->event_at; i < k->event_n; i++) {
		if ((k->events[i].what & ~(uint64_t)FROM_MASK) == (uintptr_t)s)
			k->events[i].what = 0;
	}
}

/* ---- rates ---- */

void kframe_tick(struct kernel *k)
{
	const struct itimerspec its = { .it_value = { 0, TICK_US * 1000 } };

	if (!k->ticking && timerfd_settime(k->timer, 0, &its, NULL) == 0)
		k->ticking = true;
}

static void mute(struct kernel *k, struct ksession *s)
{
	if (s->muted)
		return;
	kframe_tick(k);
	s->muted = true;
	watch_all(k, s, EPOLL_CTL_MOD, 0);
}

void kframe_unmute(struct kernel *k, struct ksession *s)
{
	s->muted = false;
	watch_all(k, s, EPOLL_CTL_MOD, EPOLLIN);
}

static void tick(struct kernel *k)
{
	uint64_t ticks;

	if (read(k->timer, &ticks, sizeof(ticks)) < 0)
		return;
	k->ticking = false;
	klook_tick(k);
}

/* A bucket that fills with `rate` a second up to one second's worth; *at is when it will be full.
 */
static bool token(struct mono *at, struct mono now, uint32_t rate)
{
	int64_t full = at->us < now.us || at->us > now.us + US_S ? now.us : at->us;

	if (rate == 0 || full + US_S / rate > now.us + US_S)
		return false;
	at->us = full + US_S / rate;
	return true;
}

static bool allowed(struct kernel *k, struct ksession *s)
{
	if (token(&s->frames_at, k->now, k->config.frames_per_s) &&
	    token(&k->frames_at, k->now, k->config.frames_all_per_s)) {
		k->count.frames++;
		return true;
	}
	k->count.frames_dropped++;
	return false;
}

/* ---- up ---- */

static int from_fd(const struct ksession *s, unsigned int from)
{
	return from == FROM_PIPE      ? s->have.pppox
	       : from == FROM_CHANNEL ? s->have.chan
				      : s->have.unit;
}

/* 1 = *ret is a frame; 0 = nothing more here. */
static int session_read(struct kernel *k, struct ksession *s, unsigned int from, uint32_t events,
			struct kernel_news *ret)
{
	int fd = from_fd(s, from);
	ssize_t n;

	if (events & (EPOLLHUP | EPOLLERR) && from != FROM_PIPE) {
		kframe_unwatch(k, s);
		ksession_lost(
			k, s,
			from == FROM_UNIT
				? "its interface was deleted by another program; sessions are "
				  "ended by adit terminate"
				: "its channel is gone: another program has deleted the session");
		return 0;
	}
	n = from == FROM_PIPE ? k->sys->recv(k->sys, fd, k->buf, sizeof(k->buf), MSG_DONTWAIT)
			      : k->sys->read(k->sys, fd, k->buf, sizeof(k->buf));
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0) {
		/* A unit without a channel is readable for ever. */
		kframe_unwatch(k, s);
		ksession_lost(k, s, "its channel is gone: another program has deleted the session");
		return 0;
	}
	if (from == FROM_UNIT)
		kmppe_seen(k, s, k->buf, (size_t)n);
	if (!allowed(k, s)) {
		mute(k, s);
		return 0;
	}
	if (n < 2)
		return 0;
	ret->kind = KERNEL_NEWS_FRAME;
	ret->key = s->key;
	ret->bytes = k->buf;
	ret->len = (size_t)n;
	return 1;
}

uint64_t kframe_index_hash(const struct kernel *k, uint32_t netns, int ifindex)
{
	uint32_t both[2] = { netns, (uint32_t)ifindex };

	return htab_hash(&k->by_index, both, sizeof(both));
}

struct ksession *kframe_session(const struct kernel *k, uint32_t netns, int ifindex)
{
	uint64_t hash = kframe_index_hash(k, netns, ifindex);

	for (struct htab_node *n = htab_find(&k->by_index, hash); n; n = htab_next(n)) {
		struct ksession *s = container_of(n, struct ksession, by_index);

		if (s->have.ifindex == ifindex && s->netns == netns)
			return s;
	}
	return NULL;
}

static int packet_read(struct kernel *k, const struct knetns *ns, struct kernel_news *ret)
{
	struct sockaddr_ll ll;
	socklen_t len = sizeof(ll);
	ssize_t n = recvfrom(ns->packet, k->buf, sizeof(k->buf), MSG_DONTWAIT,
			     (struct sockaddr *)&ll, &len);
	struct ksession *s;

	if (n < 40)
		return 0;
	s = kframe_session(k, ns->id, ll.sll_ifindex);
	if (!s || s->have.stage != K_UNIT || !allowed(k, s))
		return 0;
	ret->kind = KERNEL_NEWS_LOCAL;
	ret->key = s->key;
	ret->bytes = k->buf;
	ret->len = (size_t)n;
	return 1;
}

/* Anybody may have sent these, in any namespace: so they are a reason to look, no more. */
static void hint(struct kernel *k, const struct nlm_l2tp_info *i)
{
	list_for_each (at, &k->all_tunnels) {
		struct ktunnel *t = container_of(at, struct ktunnel, all);

		if (!t->up || t->is.local_id != i->tunnel)
			continue;
		if (i->cmd == L2TP_CMD_TUNNEL_DELETE)
			ktunnel_check(k, t, LOOKS_TOLD);
		if (i->cmd != L2TP_CMD_SESSION_DELETE)
			return;
		list_for_each (in, &t->sessions) {
			struct ksession *s = container_of(in, struct ksession, in_tunnel);

			if (s->local_session == i->session)
				ksession_check(k, s, LOOKS_TOLD);
		}
		return;
	}
}

static void check_all(struct kernel *k)
{
	list_for_each (at, &k->all_tunnels)
		ktunnel_check(k, container_of(at, struct ktunnel, all), LOOKS_LOST);
	list_for_each (at, &k->all_sessions)
		ksession_check(k, container_of(at, struct ksession, all), LOOKS_LOST);
}

/* Once it has said ENOBUFS the kernel drops without a word until the queue is empty: only a look at
 * everything after that misses nothing. */
static void hints_read(struct kernel *k)
{
	struct nlm *m = &k->hints.m;
	const struct nlmsghdr *h;
	struct nlm_l2tp_info i;
	bool lost = false;
	ssize_t n;
	int len;

	for (int most = HINTS_MOST; most; most--) {
		n = m->sys->recv(m->sys, m->fd, m->buf, sizeof(m->buf), MSG_DONTWAIT);
		lost |= n == -ENOBUFS;
		if (!lost || (n <= 0 && n != -ENOBUFS))
			break;
	}
	if (lost)
		check_all(k);
	if (lost || n <= 0)
		return;
	len = (int)n;
	for (h = (const struct nlmsghdr *)(const void *)m->buf; mnl_nlmsg_ok(h, len);
	     h = mnl_nlmsg_next(h, &len)) {
		if (nlm_l2tp_read(&k->hints, h, &i))
			hint(k, &i);
	}
}

/* Read first: who finds `waking` set afterwards has its news where the look that follows sees it.
 */
static void wake_take(struct kernel *k)
{
	uint64_t ticks;

	if (read(k->wake, &ticks, sizeof(ticks)) < 0)
		return;
	atomic_store(&k->waking, false);
	k->woken = true;
}

static int event_read(struct kernel *k, uint64_t what, uint32_t events, struct kernel_news *ret)
{
	if (what >= FROM_SESSIONS)
		return session_read(k, (struct ksession *)(uintptr_t)(what & ~(uint64_t)FROM_MASK),
				    what & FROM_MASK, events, ret);
	if (what == FROM_WAKE)
		wake_take(k);
	if (what == FROM_TIMER)
		tick(k);
	if (what == FROM_HINTS)
		hints_read(k);
	if ((what & FROM_MASK) == FROM_PACKET)
		return packet_read(k, &k->netns[what >> FROM_SLOT], ret);
	return 0;
}

bool kframe_next(struct kernel *k, struct kernel_news *ret)
{
	struct epoll_event ev[K_EVENTS];

	if (k->event_at >= k->event_n) {
		int n = epoll_wait(k->epoll, ev, K_EVENTS, 0);

		k->event_at = k->event_reads = 0;
		k->event_n = n > 0 ? n : 0;
		for (int i = 0; i < k->event_n; i++) {
			k->events[i].what = ev[i].data.u64;
			k->events[i].events = ev[i].events;
		}
	}
	while (k->event_at < k->event_n) {
		int at = k->event_at;

		if (k->events[at].what &&
		    event_read(k, k->events[at].what, k->events[at].events, ret)) {
			if (++k->event_reads >= READS_A_TURN) {
				k->event_at++;
				k->event_reads = 0;
			}
			return true;
		}
		k->event_at++;
		k->event_reads = 0;
	}
	return false;
}

/* ---- down ---- */

int kernel_send(struct kernel *k, uint64_t key, const uint8_t *frame, size_t len)
{
	struct ksession *s = ksession_find(k, key);
	uint16_t protocol;
	ssize_t n;

	if (!s || s->end || len < 2)
		return 1;
	if (s->have.stage == K_PIPE)
		return k->sys->send(k->sys, s->have.pppox, frame, len, MSG_DONTWAIT) < 0;
	if (s->have.stage != K_UNIT)
		return 1;
	protocol = (uint16_t)(frame[0] << 8 | frame[1]);
	if (kmppe_peek(k, s, frame, len) < 0)
		return 1;
	n = k->sys->write(k->sys,
			  protocol >= 0xc000 || protocol == 0x80fb ? s->have.chan : s->have.unit,
			  frame, len);
	return n < 0;
}

int kernel_send_local(struct kernel *k, uint64_t key, const uint8_t *packet, size_t len)
{
	struct ksession *s = ksession_find(k, key);
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6) };
	int fd = -1;

	if (!s || s->end || s->have.stage != K_UNIT)
		return 1;
	for (uint32_t i = 0; i < k->netns_n; i++)
		if (k->netns[i].id == s->netns)
			fd = k->netns[i].packet;
	if (fd < 0)
		return 1;
	ll.sll_ifindex = s->have.ifindex;
	return sendto(fd, packet, len, MSG_DONTWAIT, (struct sockaddr *)&ll, sizeof(ll)) < 0;
}
