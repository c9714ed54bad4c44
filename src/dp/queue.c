/* SPDX-License-Identifier: MIT
 *
 * Datagrams on their way to the peers. Those of one length to one peer, of whatever session, leave
 * as a train in one send (UDP_SEGMENT): the kernel then walks its stack once for up to 64 of them.
 * Trains of several peers grow side by side; within a tunnel nothing overtakes.
 *
 * Not every way takes trains: a datagram that IP has to cut, or IPsec, wants each by itself. Then
 * the train is sent again as single datagrams, and its tunnel is left alone for a while.
 */
#include "forward_int.h"
#include "pkt3.h"

#include <errno.h>
#include <netinet/udp.h>

#define ALONE_US 5000000u

#define TUNNELS (sizeof(((struct fwd_batch *)0)->train_of))

uint8_t *queue_room(struct fwd *f, size_t n)
{
	struct fwd_batch *b = f->batch;

	if (b->tx_used + FWD_HEADROOM + n > TX_BYTES)
		queue_flush(f);
	return b->tx + b->tx_used + FWD_HEADROOM;
}

void queue_keep(struct fwd *f, const uint8_t *p, size_t n)
{
	/* The next one begins at a cache line of its own. */
	f->batch->tx_used = ((uint32_t)(p - f->batch->tx) + (uint32_t)n + 63u) & ~63u;
}

bool queue_full(const struct fwd *f)
{
	const struct fwd_batch *b = f->batch;

	return b->trains == TRAINS || b->tx_used >= TX_FULL;
}

static struct train *train_new(struct fwd *f, const struct dpt_config *c, uint32_t sock, uint32_t n)
{
	struct fwd_batch *b = f->batch;
	struct train *t;
	struct msghdr *h;

	if (b->trains == TRAINS) {
		uint32_t used = b->tx_used; /* there lies what is being queued */

		queue_flush(f);
		b->tx_used = used;
	}
	t = &b->train[b->trains];
	h = &b->tx_msg[b->trains].msg_hdr;
	b->trains++;
	b->train_of[c->tunnel % TUNNELS] = (uint8_t)b->trains;
	t->sock = sock;
	t->tunnel = c->tunnel;
	t->segment = n;
	t->bytes = 0;
	t->count = t->iovs = t->runs = 0;
	t->closed = !atomic_load_explicit(&f->socks[sock].segment, memory_order_relaxed) ||
		    f->now < b->alone[c->tunnel % TUNNELS];
	fwd_address(dpt_tunnel(f->table, c->tunnel),
		    atomic_load_explicit(&f->socks[sock].v6, memory_order_relaxed), &t->to, h);
	h->msg_iov = t->iov;
	return t;
}

/* The train a datagram of `n` octets goes with. */
static struct train *train_for(struct fwd *f, const struct dpt_config *c, uint32_t sock, uint32_t n)
{
	struct fwd_batch *b = f->batch;
	uint32_t at = b->train_of[c->tunnel % TUNNELS];
	struct train *t = at ? &b->train[at - 1] : NULL;

	if (t && t->tunnel == c->tunnel && t->sock == sock && !t->closed && n <= t->segment &&
	    t->count < TRAIN_MOST && t->bytes + n <= TRAIN_BYTES)
		return t;
	return train_new(f, c, sock, n);
}

/* A datagram: `front` octets of headers before `p`. */
static void queue(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		  uint8_t *p, size_t front, size_t head, const uint8_t *payload, size_t n)
{
	size_t all = front + head + n;
	struct train *t = train_for(f, c, sock, (uint32_t)all);

	t->iov_of[t->count++] = t->iovs;
	t->iov[t->iovs++] = (struct iovec){ p - front, front + head };
	if (n)
		t->iov[t->iovs++] = (struct iovec){ (void *)(uintptr_t)payload, n };
	t->bytes += (uint32_t)all;
	if (all < t->segment) /* only the last may be shorter */
		t->closed = true;
	if (!t->runs || t->run[t->runs - 1].slot != slot)
		t->run[t->runs++] = (struct queued){ .slot = slot };
	t->run[t->runs - 1].packets++;
	t->run[t->runs - 1].bytes += head + n;
}

/* Of L2TPv3: is the next frame numbered, and with what. */
static bool numbers3(const struct dpt_config *c, struct dpt_run *run, uint32_t *ret)
{
	if (!(c->flags & DP_F_SEND_SEQ) || c->l2spec != DP_L2SPEC_DEFAULT)
		return false;
	*ret = atomic_fetch_add_explicit(&run->ns, 1, memory_order_relaxed);
	return true;
}

void queue_packet(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		  uint8_t *p, size_t head, const uint8_t *payload, size_t n, uint8_t version)
{
	struct dpt_run *run = dpt_run(f->table, slot);
	struct pkt3_ppp o3 = { .address = !(c->flags & DP_F_ACFC),
			       .proto = version == 4 ? PPP_IP4 : PPP_IP6,
			       .proto_len = c->flags & DP_F_PFC ? 1 : 2 };
	struct pkt_out o = {
		.tunnel = (uint16_t)(c->remote_tunnel[0] << 8 | c->remote_tunnel[1]),
		.session = (uint16_t)(c->remote_session[0] << 8 | c->remote_session[1]),
		.length = c->flags & DP_F_LENGTH,
		.seq = fwd_sends_seq(c, run),
		.address = !(c->flags & DP_F_ACFC),
		.proto = version == 4 ? PPP_IP4 : PPP_IP6,
		.proto_len = c->flags & DP_F_PFC ? 1 : 2,
	};

	if (c->kind == DPT_PPP3) {
		o3.has_seq = numbers3(c, run, &o3.seq);
		queue(f, c, slot, sock, p, pkt3_build_ppp(p, c, !f->socks[sock].raw, &o3), head,
		      payload, n);
		return;
	}
	/* The control thread sends frames of its own, hence a locked operation. */
	if (o.seq)
		o.ns = (uint16_t)atomic_fetch_add_explicit(&run->ns, 1, memory_order_relaxed);
	queue(f, c, slot, sock, p, pkt_head_build(p, head + n, &o), head, payload, n);
}

void queue_frame(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		 uint8_t *p, size_t head, const uint8_t *payload, size_t n)
{
	uint32_t ns = 0;
	bool seq = numbers3(c, dpt_run(f->table, slot), &ns);

	queue(f, c, slot, sock, p, pkt3_build(p, c, !f->socks[sock].raw, seq, ns), head, payload,
	      n);
}

static void sent(struct fwd *f, const struct train *t)
{
	for (unsigned int i = 0; i < t->runs; i++) {
		struct dpt_run *run = dpt_run(f->table, t->run[i].slot);

		count_by(&run->tx_packets, t->run[i].packets);
		count_by(&run->tx_bytes, t->run[i].bytes);
		atomic_store_explicit(&run->last_tx, f->now, memory_order_relaxed);
	}
	count_by(&f->counts.tx_packets, t->count);
}

static void not_sent(struct fwd *f, const struct train *t, int error)
{
	for (unsigned int i = 0; i < t->runs; i++) {
		struct dpt_run *run = dpt_run(f->table, t->run[i].slot);

		count_by(error == EMSGSIZE ? &run->drop_mtu : &run->drop_down, t->run[i].packets);
	}
	count_by(error == EMSGSIZE ? &f->counts.drop_mtu : &f->counts.drop_other, t->count);
}

/* Say how long each datagram of the train is. */
static void train_seal(struct train *t, struct msghdr *h)
{
	uint16_t segment = (uint16_t)t->segment;
	struct cmsghdr c = { .cmsg_len = CMSG_LEN(sizeof(segment)),
			     .cmsg_level = SOL_UDP,
			     .cmsg_type = UDP_SEGMENT };
	uint8_t *at = t->to.control.bytes + h->msg_controllen;

	h->msg_iovlen = t->iovs;
	if (t->count < 2)
		return;
	memset(at, 0, CMSG_SPACE(sizeof(segment)));
	memcpy(at, &c, sizeof(c));
	memcpy(at + CMSG_LEN(0), &segment, sizeof(segment));
	h->msg_control = t->to.control.bytes;
	h->msg_controllen += CMSG_SPACE(sizeof(segment));
}

/* Send a train again, each datagram by itself, and count those that do not leave. */
static void train_alone(struct fwd *f, struct train *t, struct msghdr *h, int fd)
{
	struct train one = { .count = 1, .runs = 1 };
	struct msghdr m = *h;
	unsigned int at = 0;

	f->batch->alone[t->tunnel % TUNNELS] = f->now + ALONE_US;
	m.msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
	if (!m.msg_controllen)
		m.msg_control = NULL;
	for (unsigned int i = 0; i < t->count; i++) {
		unsigned int end = i + 1 < t->count ? t->iov_of[i + 1] : t->iovs;
		ssize_t n;

		m.msg_iov = t->iov + t->iov_of[i];
		m.msg_iovlen = end - t->iov_of[i];
		do
			n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		while (!t->run[at].packets)
			at++;
		one.run[0] = (struct queued){ t->run[at].slot, 1,
					      t->run[at].bytes / t->run[at].packets };
		t->run[at].bytes -= one.run[0].bytes;
		t->run[at].packets--;
		if (n < 0)
			not_sent(f, &one, errno);
		else
			sent(f, &one);
	}
}

/* Errors of a way that does not take trains. */
static bool takes_no_trains(int error)
{
	return error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP;
}

/* Send what is queued, all of the same socket that is behind each other at once. */
void queue_flush(struct fwd *f)
{
	struct fwd_batch *b = f->batch;
	uint32_t at = 0;
	bool again = false;

	for (uint32_t i = 0; i < b->trains; i++) {
		train_seal(&b->train[i], &b->tx_msg[i].msg_hdr);
		b->train_of[b->train[i].tunnel % TUNNELS] = 0;
	}
	while (at < b->trains) {
		uint32_t sock = b->train[at].sock, n = 1;
		int fd = atomic_load_explicit(&f->socks[sock].fd, memory_order_acquire) - 1;
		int done;

		while (at + n < b->trains && b->train[at + n].sock == sock)
			n++;
		done = fd < 0 ? -1 : sendmmsg(fd, b->tx_msg + at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (done > 0) {
			for (int i = 0; i < done; i++)
				sent(f, &b->train[at++]);
			again = false;
		} else if (fd >= 0 && !again && (errno == EINTR || errno == ECONNREFUSED)) {
			again = true; /* the error was of an earlier packet */
		} else {
			int error = fd < 0 ? ENETDOWN : errno;

			again = false;
			if (b->train[at].count > 1 && takes_no_trains(error)) {
				train_alone(f, &b->train[at], &b->tx_msg[at].msg_hdr, fd);
				at++;
				continue;
			}
			/* The socket is full: none of the run would get through. */
			if (error != EAGAIN && error != ENOBUFS)
				n = 1;
			while (n--)
				not_sent(f, &b->train[at++], error);
		}
	}
	b->trains = 0;
	b->tx_used = b->tx_floor;
}
