/* SPDX-License-Identifier: MIT
 *
 * Sending what the engine has: control messages and frames of sessions that the data plane does not
 * carry yet go out through the listener's socket, many with one system call; frames of sessions it
 * carries go through the data plane. A datagram leaves from the address its peer knows us by
 * (RFC 2661 8.1), told to the kernel by IP_PKTINFO.
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
	unsigned int n;
	int fd; /* of all in the batch */
};

struct output *output_new(void)
{
	struct output *o = calloc(1, sizeof(*o));

	if (o)
		o->fd = -1;
	return o;
}

void output_free(struct output *o)
{
	free(o);
}

/* Hand the batch to the kernel. What cannot be sent is lost: L2TP and PPP repeat. */
static void flush(struct daemon *d, struct output *o)
{
	unsigned int done = 0;
	bool waited = false;

	while (done < o->n) {
		int rc = sendmmsg(o->fd, o->msgs + done, o->n - done, MSG_NOSIGNAL);

		if (rc > 0) {
			done += (unsigned int)rc;
			d->sent += (unsigned int)rc;
			continue;
		}
		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0 && (errno == EAGAIN || errno == ENOBUFS) && !waited) {
			struct pollfd p = { .fd = o->fd, .events = POLLOUT };

			waited = true;
			poll(&p, 1, WAIT_MS);
			continue;
		}
		d->send_failed++;
		if (d->send_failed == 1 || d->send_failed % 10000 == 0) {
			struct addr to;
			char text[ADDR_TEXT_MAX];

			addr_from_sockaddr((struct sockaddr *)&o->to[done],
					   o->msgs[done].msg_hdr.msg_namelen, &to);
			daemon_say(d, TRACE_INFO, "a packet to %s could not be sent: %s",
				   addr_text(&to, text), strerror(errno));
		}
		done++; /* this one; the next may go elsewhere */
	}
	o->n = 0;
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

static void put_datagram(struct output *o, const struct path *path, uint8_t *bytes, size_t len)
{
	unsigned int i = o->n++;
	struct msghdr *m = &o->msgs[i].msg_hdr;

	o->iov[i] = (struct iovec){ bytes, len };
	*m = (struct msghdr){ .msg_iov = &o->iov[i], .msg_iovlen = 1 };
	m->msg_namelen = addr_to_sockaddr(&path->remote, &o->to[i]);
	m->msg_name = &o->to[i];
	m->msg_controllen = put_source(&o->from[i], &path->local);
	m->msg_control = m->msg_controllen ? &o->from[i] : NULL;
}

void output_drain(struct daemon *d)
{
	struct output *o = d->output;
	struct access_packet p;
	size_t len, off;

	while ((len = access_output(d->access, d->now, o->buf[o->n], sizeof(o->buf[0]), &off,
				    &p))) {
		const struct daemon_socket *s;
		uint8_t *bytes = o->buf[o->n] + off;

		if (p.key) {
			d->dp->ops->send(d->dp, p.key, bytes, len, p.priority);
			continue;
		}
		s = peer_socket(d, p.path.via);
		if (!s) {
			d->send_failed++;
			continue;
		}
		if (o->n && s->fd != o->fd) {
			/* the packet stays where it is; the batch before it goes out */
			unsigned int at = o->n;

			flush(d, o);
			memmove(o->buf[0], o->buf[at], sizeof(o->buf[0]));
			bytes = o->buf[0] + off;
		}
		o->fd = s->fd;
		put_datagram(o, &p.path, bytes, len);
		if (o->n == BATCH)
			flush(d, o);
	}
	flush(d, o);
}
