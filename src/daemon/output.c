/* SPDX-License-Identifier: MIT
 *
 * Sending what the engine has: control messages and PPP frames, many with one system call and,
 * where several of one length go to one peer, many as one datagram that the kernel cuts into pieces
 * (UDP_SEGMENT, see train.h). A datagram leaves from the address its peer knows us by
 * (RFC 2661 8.1), told to the kernel by IP_PKTINFO.
 *
 * Not every way can cut: devices without checksums of their own and IPsec refuse it (EIO), a small
 * path MTU does (EINVAL, EMSGSIZE). Then what was refused is sent one by one, and for a while all.
 */
#include "daemon.h"
#include "base/fault.h"
#include "base/train.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WAIT_MS	 5 /* for room in a socket's buffer, once a batch */
#define PLAIN_US (10 * US_S)

#ifndef UDP_SEGMENT /* linux 4.18 */
#define UDP_SEGMENT 103
#endif

/* Room for the ancillary records a datagram has: its source, and where to cut it. */
union ancillary {
	struct cmsghdr head; /* for its alignment */
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

struct output {
	struct trains trains;
	struct mmsghdr msgs[TRAIN_PACKETS];
	struct iovec iov[TRAIN_PACKETS];
	struct sockaddr_storage to[TRAIN_PACKETS];
	union ancillary ancillary[TRAIN_PACKETS];
	bool probed, cuts;	 /* the kernel knows UDP_SEGMENT */
	struct mono plain_until; /* no way was found to cut */
};

struct output *output_new(void)
{
	return calloc(1, sizeof(struct output));
}

void output_free(struct output *o)
{
	free(o);
}

static void failed(struct daemon *d, const struct train *t, int error, unsigned int datagrams)
{
	char text[ADDR_TEXT_MAX];

	if (d->send_failed == 0 || d->send_failed / 10000 < (d->send_failed + datagrams) / 10000)
		daemon_say(d, TRACE_INFO, "a packet to %s could not be sent: %s",
			   addr_text(&t->path.remote, text), strerror(error));
	d->send_failed += datagrams;
}

/* The source address of a datagram, for the kernel. Returns the octets used. */
static size_t put_source(struct cmsghdr *c, const struct addr *local)
{
	if (!local->family || addr_is_any(local))
		return 0;
	if (local->family == AF_INET) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, local->ip, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		return CMSG_SPACE(sizeof(info));
	}
	struct in6_pktinfo info6 = { .ipi6_ifindex = local->scope };

	memcpy(&info6.ipi6_addr, local->ip, 16);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info6));
	memcpy(CMSG_DATA(c), &info6, sizeof(info6));
	return CMSG_SPACE(sizeof(info6));
}

static size_t put_segment(struct cmsghdr *c, uint16_t len)
{
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(len));
	memcpy(CMSG_DATA(c), &len, sizeof(len));
	return CMSG_SPACE(sizeof(len));
}

/* The message of train `i`; its datagrams from `iov` on. */
static void put_message(struct output *o, unsigned int i, struct iovec *iov)
{
	const struct train *t = &o->trains.train[i];
	struct msghdr *m = &o->msgs[i].msg_hdr;
	union ancillary *a = &o->ancillary[i];
	uint16_t at = t->first;

	memset(a, 0, sizeof(*a));
	*m = (struct msghdr){ .msg_iov = iov, .msg_iovlen = t->count, .msg_name = &o->to[i] };
	m->msg_namelen = addr_to_sockaddr(&t->path.remote, &o->to[i]);
	m->msg_controllen = put_source(&a->head, &t->path.local);
	if (t->count > 1)
		m->msg_controllen += put_segment(
			(struct cmsghdr *)(void *)(a->bytes + m->msg_controllen), t->len);
	m->msg_control = m->msg_controllen ? a : NULL;
	for (unsigned int k = 0; k < t->count; k++) {
		const struct train_packet *p = &o->trains.packet[at];

		iov[k] = (struct iovec){ o->trains.arena + p->at, p->len };
		at = p->next;
	}
}

/* The kernel does not cut train `i`: send it one by one. */
static void send_plain(struct daemon *d, struct output *o, int fd, unsigned int i)
{
	const struct train *t = &o->trains.train[i];
	struct msghdr m = o->msgs[i].msg_hdr;

	o->plain_until = mono_add(d->now, PLAIN_US);
	m.msg_controllen = put_source(&o->ancillary[i].head, &t->path.local);
	if (!m.msg_controllen)
		m.msg_control = NULL;
	m.msg_iovlen = 1;
	for (unsigned int k = 0; k < t->count; k++, m.msg_iov++) {
		if (sendmsg(fd, &m, MSG_NOSIGNAL) < 0)
			failed(d, t, errno, 1);
		else
			d->sent++;
	}
}

/* Could it be the cutting that failed? */
static bool cut_refused(int error)
{
	return error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP;
}

/* Trains `from` to `to` (not included) leave by one socket. What cannot be sent is lost: L2TP and
 * PPP repeat. */
static void send_some(struct daemon *d, struct output *o, int fd, unsigned int from,
		      unsigned int to)
{
	bool waited = false;

	while (from < to) {
		int rc = sendmmsg(fd, o->msgs + from, to - from, MSG_NOSIGNAL);

		for (; rc > 0; rc--)
			d->sent += o->trains.train[from++].count;
		if (rc == 0 || errno == EINTR)
			continue;
		if ((errno == EAGAIN || errno == ENOBUFS) && !waited) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			waited = true;
			poll(&p, 1, WAIT_MS);
			continue;
		}
		/* this one; the next may go elsewhere */
		if (o->trains.train[from].count > 1 && cut_refused(errno))
			send_plain(d, o, fd, from);
		else
			failed(d, &o->trains.train[from], errno, o->trains.train[from].count);
		from++;
	}
}

/* Hand the batch to the kernel. */
static void flush(struct daemon *d, struct output *o)
{
	const struct train *t = o->trains.train;
	struct iovec *iov = o->iov;
	unsigned int from = 0, i;

	for (i = 0; i < o->trains.count; i++) {
		put_message(o, i, iov);
		iov += t[i].count;
	}
	for (i = 1; i <= o->trains.count; i++) {
		const struct daemon_socket *s;

		if (i < o->trains.count && t[i].path.via == t[from].path.via)
			continue;
		s = peer_socket(d, t[from].path.via);
		if (s)
			send_some(d, o, s->fd, from, i);
		from = i;
	}
	FAULT("in-send");
	trains_clear(&o->trains);
}

/* How many datagrams may be one train. */
static unsigned int most(const struct daemon *d, struct output *o, int fd)
{
	if (!o->probed) {
		int none = 0;

		o->probed = true;
		o->cuts = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none)) == 0;
	}
	return o->cuts && mono_due(o->plain_until, d->now) ? TRAIN_SEGMENTS : 1;
}

/* Control messages of pseudowires. */
static void drain_wires(struct daemon *d, struct output *o)
{
	const struct daemon_socket *s;
	struct path path;
	uint8_t *room;
	size_t len;

	for (;;) {
		room = trains_room(&o->trains, PW_PACKET_MAX);
		if (!room) {
			flush(d, o);
			continue;
		}
		len = pwe_output(d->pw, d->now, room, PW_PACKET_MAX, &path);
		if (!len)
			break;
		s = peer_socket(d, path.via);
		if (s)
			trains_add(&o->trains, &path, room, len,
				   path.remote.port ? most(d, o, s->fd) : 1);
		else
			d->send_failed++;
	}
}

void output_drain(struct daemon *d)
{
	struct output *o = d->output;
	struct access_packet p;
	const struct daemon_socket *s;
	uint8_t *room, *wrapped;
	size_t len, off;
	uint8_t *(*wrap)(struct dp *, uint64_t, uint8_t *, size_t *, bool, struct path *) =
		d->dp->ops->wrap;

	for (;;) {
		room = trains_room(&o->trains, ACCESS_PACKET_MAX);
		if (!room) {
			flush(d, o);
			continue;
		}
		len = access_output(d->access, d->now, room, ACCESS_PACKET_MAX, &off, &p);
		if (!len)
			break;
		room += off;
		wrapped =
			p.key && wrap ? wrap(d->dp, p.key, room, &len, p.priority, &p.path) : NULL;
		if (p.key && !wrapped) {
			/* the plane has a way of its own for it */
			d->dp->ops->send(d->dp, p.key, room, len, p.priority);
			continue;
		}
		room = wrapped ? wrapped : room;
		s = peer_socket(d, p.path.via);
		if (s)
			trains_add(&o->trains, &p.path, room, len,
				   p.path.remote.port ? most(d, o, s->fd) : 1);
		else
			d->send_failed++;
	}
	drain_wires(d, o);
	flush(d, o);
}
