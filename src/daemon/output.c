/* SPDX-License-Identifier: MIT
 *
 * Sending what the engine has. Packets are collected and wait here until the journal has what makes
 * them true: output_flush() commits first. So a batch costs each changed object one record, and
 * many datagrams one system call.
 *
 * Control messages and frames of sessions that the data plane does not carry yet go out through the
 * listener's socket; frames of sessions it carries go through the data plane. A datagram leaves
 * from the address its peer knows us by (RFC 2661 8.1), told to the kernel by IP_PKTINFO.
 */
#include "daemon.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH	64
#define WAIT_MS 5 /* for room in a socket's buffer, once a batch */

/* Room for the one ancillary record a datagram has. */
union source {
	struct cmsghdr head; /* for its alignment */
	char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
	char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct output {
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_storage to[BATCH];
	union source from[BATCH];
	uint8_t buf[BATCH][ACCESS_PACKET_MAX];
	int fd[BATCH];
	uint64_t key[BATCH]; /* not 0: a frame for the data plane */
	bool priority[BATCH];
	unsigned int n;
};

struct output *output_new(void)
{
	return calloc(1, sizeof(struct output));
}

void output_free(struct output *o)
{
	free(o);
}

/*
 * Hand datagrams `at` .. `at` + `n` - 1, all of one socket, to the kernel. What cannot be sent is
 * lost: L2TP and PPP repeat.
 */
static void send_run(struct daemon *d, struct output *o, int fd, unsigned int at, unsigned int n)
{
	unsigned int end = at + n;
	bool waited = false;

	while (at < end) {
		int rc = sendmmsg(fd, o->msgs + at, end - at, MSG_NOSIGNAL);

		if (rc > 0) {
			at += (unsigned int)rc;
			d->sent += (unsigned int)rc;
			continue;
		}
		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0 && (errno == EAGAIN || errno == ENOBUFS) && !waited) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			waited = true;
			poll(&p, 1, WAIT_MS);
			continue;
		}
		d->send_failed++;
		if (d->send_failed == 1 || d->send_failed % 10000 == 0) {
			struct addr to;
			char text[ADDR_TEXT_MAX];

			addr_from_sockaddr((struct sockaddr *)&o->to[at],
					   o->msgs[at].msg_hdr.msg_namelen, &to);
			daemon_say(d, TRACE_INFO, "a packet to %s could not be sent: %s",
				   addr_text(&to, text), strerror(errno));
		}
		at++; /* this one; the next may go elsewhere */
	}
}

size_t output_flush(struct daemon *d)
{
	struct output *o = d->output;
	size_t records = journal_commit(d);
	unsigned int at = 0, n;

	for (; at < o->n; at += n) {
		struct iovec *v = &o->iov[at];

		n = 1;
		if (o->key[at]) {
			d->dp->ops->send(d->dp, o->key[at], v->iov_base, v->iov_len,
					 o->priority[at]);
			continue;
		}
		while (at + n < o->n && !o->key[at + n] && o->fd[at + n] == o->fd[at])
			n++;
		send_run(d, o, o->fd[at], at, n);
	}
	o->n = 0;
	return records;
}

/* The source address of a datagram, for the kernel. */
static size_t put_source(union source *s, const struct addr *local)
{
	struct cmsghdr *c = &s->head;

	memset(s, 0, sizeof(*s));
	if (!local->family || addr_is_any(local))
		return 0;
	if (local->family == AF_INET) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, local->ip, 4);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		return sizeof(s->v4);
	}
	struct in6_pktinfo info6 = { .ipi6_ifindex = local->scope };

	memcpy(&info6.ipi6_addr, local->ip, 16);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info6));
	memcpy(CMSG_DATA(c), &info6, sizeof(info6));
	return sizeof(s->v6);
}

static void put_datagram(struct output *o, unsigned int i, const struct path *path)
{
	struct msghdr *m = &o->msgs[i].msg_hdr;

	*m = (struct msghdr){ .msg_iov = &o->iov[i], .msg_iovlen = 1 };
	m->msg_namelen = addr_to_sockaddr(&path->remote, &o->to[i]);
	m->msg_name = &o->to[i];
	m->msg_controllen = put_source(&o->from[i], &path->local);
	m->msg_control = m->msg_controllen ? &o->from[i] : NULL;
}

void output_collect(struct daemon *d)
{
	struct output *o = d->output;
	struct access_packet p;
	size_t len, off;

	for (;;) {
		const struct daemon_socket *s;
		unsigned int i;

		if (o->n == BATCH)
			output_flush(d);
		i = o->n;
		len = access_output(d->access, d->now, o->buf[i], sizeof(o->buf[i]), &off, &p);
		if (!len)
			return;
		o->iov[i] = (struct iovec){ o->buf[i] + off, len };
		o->key[i] = p.key;
		o->priority[i] = p.priority;
		if (!p.key) {
			s = peer_socket(d, p.path.via);
			if (!s) {
				d->send_failed++;
				continue;
			}
			o->fd[i] = s->fd;
			put_datagram(o, i, &p.path);
		}
		o->n++;
	}
}
