/* SPDX-License-Identifier: MIT
 *
 * Packets of sessions on their way into TUN devices. TCP segments of one batch that follow each
 * other become one packet where the device takes it (join.h); none waits longer than its batch.
 */
#include "forward_int.h"
#include "pkt3.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in writes.c, not the C library's own. */
ssize_t tun_read(int fd, void *p, size_t len)
{
	ssize_t n;

	do
		n = syscall(SYS_read, fd, p, len);
	while (n < 0 && errno == EINTR);
	return n;
}

int tun_fd(const struct fwd *f, uint32_t dev, bool *ret_vnet)
{
	int v = atomic_load_explicit(&f->devs[dev], memory_order_acquire);

	*ret_vnet = v & 1;
	return (v >> 1) - 1;
}

static const uint8_t none[JOIN_VNET]; /* a vnet header that asks for nothing */

/* ... before a packet. */
static void none_before(uint8_t *p, size_t len, struct iovec ret[2])
{
	ret[0] = (struct iovec){ (void *)(uintptr_t)none, sizeof(none) };
	ret[1] = (struct iovec){ p, len };
}

/* How a packet is written to a device: `*p` and `*len`, with a vnet header before it if the device
 * has one. False: the octets before it are not ours, so the header comes by itself. */
static bool in_one(uint8_t **p, size_t *len, size_t room, bool vnet)
{
	if (!vnet)
		return true;
	if (room < JOIN_VNET)
		return false;
	*p -= JOIN_VNET;
	*len += JOIN_VNET;
	memset(*p, 0, JOIN_VNET);
	return true;
}

bool tun_write(struct fwd *f, uint32_t dev, uint8_t *p, size_t len, size_t room)
{
	bool vnet;
	int fd = tun_fd(f, dev, &vnet);

	if (fd < 0)
		return false;
	if (!in_one(&p, &len, room, vnet)) {
		struct iovec iov[2];

		none_before(p, len, iov);
		return writes_one_all(fd, iov, 2) == (ssize_t)(len + sizeof(none));
	}
	return writes_one(fd, p, len) == (ssize_t)len;
}

/* What became of packets of a session. */
static void written(struct fwd *f, uint32_t slot, bool ok, uint32_t packets, uint64_t bytes)
{
	struct dpt_run *run = dpt_run(f->table, slot);

	if (!ok) {
		count_by(&f->counts.drop_other, packets);
		count_by(&run->drop_up, packets);
		return;
	}
	count_by(&run->rx_packets, packets);
	count_by(&run->rx_bytes, bytes);
	atomic_store_explicit(&run->last_rx, f->now, memory_order_relaxed);
	count_by(&f->counts.rx_packets, packets);
}

/* Prepare to write joined segments. */
static void join_prepare(struct fwd *f, struct put *w)
{
	struct join *j = w->join;
	int iovs, fd;
	bool vnet;

	fd = tun_fd(f, j->dev, &vnet);
	if (fd < 0 || !vnet) /* the device has changed in the middle of the batch */
		return;
	join_finish(j, &iovs);
	w->all = JOIN_VNET + j->first.link + j->len;
	w->at = writes_add_all(&f->batch->writes, fd, j->iov, iovs);
}

static void alone_prepare(struct fwd *f, struct put *w)
{
	size_t len = w->len;
	uint8_t *p = w->p;
	bool vnet;
	int fd = tun_fd(f, w->dev, &vnet);

	if (fd < 0)
		return;
	if (in_one(&p, &len, w->room, vnet)) {
		w->at = writes_add(&f->batch->writes, fd, p, len);
	} else {
		none_before(p, len, w->iov);
		len += sizeof(none);
		w->at = writes_add_all(&f->batch->writes, fd, w->iov, 2);
	}
	w->all = len;
}

/* Was it written? EIO: the device is down; ENOBUFS, EAGAIN: full; EBADFD: gone. */
static void put_count(struct fwd *f, const struct put *w)
{
	bool ok = w->all && f->batch->writes.done[w->at] == (ssize_t)w->all;
	const struct join *j = w->join;

	if (!j)
		written(f, w->slot, ok, 1, w->len);
	else
		written(f, j->slot, ok, j->count,
			j->first.link + j->len +
				(uint64_t)(j->count - 1) * (j->first.link + j->first.head));
}

/*
 * Everything is written at the end of a batch, not one by one as it comes: each system call throws
 * out of the processor what the checks of the next packet would need, and one call writes many.
 */
static void puts_write(struct fwd *f)
{
	struct fwd_batch *b = f->batch;

	for (uint32_t i = 0; i < b->puts; i++) {
		struct put *w = &b->put[i];

		if (w->join)
			join_prepare(f, w);
		else
			alone_prepare(f, w);
	}
	writes_run(&b->writes);
	for (uint32_t i = 0; i < b->puts; i++)
		put_count(f, &b->put[i]);
	b->puts = 0;
}

/* Nothing can be joined with it any more; the others keep their order. */
static void join_close(struct fwd *f, uint32_t at)
{
	struct fwd_batch *b = f->batch;

	if (b->puts == PUTS)
		puts_write(f);
	b->put[b->puts++] = (struct put){ .join = b->join[at] };
	b->joins--;
	memmove(&b->join[at], &b->join[at + 1], (b->joins - at) * sizeof(b->join[0]));
}

void tun_flush(struct fwd *f)
{
	while (f->batch->joins)
		join_close(f, 0);
	puts_write(f);
	f->batch->join_used = 0;
}

/* Join a segment, or begin with it. False: it goes by itself. */
static bool join_put(struct fwd *f, uint32_t dev, uint32_t slot, const struct join_seg *s)
{
	struct fwd_batch *b = f->batch;

	for (uint32_t i = 0; i < b->joins; i++) {
		if (!join_same_flow(b->join[i], slot, s))
			continue;
		if (join_add(b->join[i], s)) {
			if (b->join[i]->closed)
				join_close(f, i);
			return true;
		}
		join_close(f, i);
		break;
	}
	if (!join_opens(s))
		return false;
	if (b->join_used == JOINED)
		tun_flush(f);
	else if (b->joins == JOINS)
		join_close(f, 0);
	b->join[b->joins] = &b->join_room[b->join_used++];
	join_begin(b->join[b->joins++], dev, slot, s);
	return true;
}

/* What cannot be joined does not overtake what waits of its session. */
static void joins_of(struct fwd *f, uint32_t slot)
{
	struct fwd_batch *b = f->batch;

	for (uint32_t i = 0; i < b->joins;) {
		if (b->join[i]->slot == slot)
			join_close(f, i);
		else
			i++;
	}
}

static void put_alone(struct fwd *f, uint32_t dev, uint32_t slot, uint8_t *p, size_t len,
		      size_t room)
{
	struct fwd_batch *b = f->batch;

	if (b->puts == PUTS)
		puts_write(f);
	b->put[b->puts++] = (struct put){
		.p = p, .len = (uint32_t)len, .room = (uint32_t)room, .dev = dev, .slot = slot
	};
}

void tun_put(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint8_t *p,
	     const struct pkt_ip *ip, size_t room)
{
	uint32_t dev = dev_of(c, slot);
	struct join_seg s;
	bool vnet;

	tun_fd(f, dev, &vnet);
	if (vnet && (f->offload & DP_OFFLOAD_TCP) && join_parse(p, ip, &s)) {
		if (join_put(f, dev, slot, &s))
			return;
	} else if (f->batch->joins) {
		joins_of(f, slot);
	}
	put_alone(f, dev, slot, p, ip->len, room);
}

void tun_put_frame(struct fwd *f, uint32_t slot, uint8_t *p, size_t len, size_t room)
{
	uint32_t dev = slot + 1;
	uint8_t version = 0;
	size_t link = pkt3_ip(p, len, &version);
	struct join_seg s;
	struct pkt_ip ip;
	bool vnet;

	tun_fd(f, dev, &vnet);
	/* What is shorter than its frame is padded: that is not to be joined. */
	if (vnet && (f->offload & DP_OFFLOAD_TCP) && link &&
	    pkt_ip_parse(p + link, len - link, version, &ip) && ip.len == len - link &&
	    join_parse(p + link, &ip, &s)) {
		s.link = (uint16_t)link;
		if (join_put(f, dev, slot, &s))
			return;
	} else if (f->batch->joins) {
		joins_of(f, slot);
	}
	put_alone(f, dev, slot, p, len, room);
}
