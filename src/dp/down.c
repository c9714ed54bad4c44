/* SPDX-License-Identifier: MIT
 *
 * From the devices to the peers: read from a TUN until it is empty, find the session by the
 * destination (or the client whose device it is), then MTU, MSS clamp, headers, and into a train
 * (queue.c). A device with offloads gives TCP packets of up to 64 KiB, which are cut here (cut.h).
 */
#include "forward_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#ifndef IPPROTO_L2TP
#define IPPROTO_L2TP 115
#endif
#define DEPTH_MAX 2   /* tunnels of ours inside each other, see pkt_own_depth() */
#define READS	  256 /* packets from one device before others get their turn */

static void drop(struct fwd *f, uint32_t slot, uint32_t packets)
{
	count_by(&f->counts.drop_other, packets);
	count_by(&dpt_run(f->table, slot)->drop_down, packets);
}

/* ---- too big ---- */

/* A packet in `spare` becomes fragments. False: it cannot be cut. */
static bool fragment(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		     const struct pkt_ip *ip)
{
	size_t pos = 0, n;

	for (;;) {
		uint8_t *p = queue_room(f, c->mtu);

		n = pkt_fragment(f->batch->spare, ip, c->mtu, &pos, p);
		if (!n)
			return pos != 0;
		queue_keep(f, p, n);
		queue_packet(f, c, slot, sock, p, n, NULL, 0, 4);
	}
}

/* A packet that does not fit: cut it, or tell its sender (RFC 791, RFC 1191, RFC 8201). */
static void too_big(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		    const uint8_t *p, const struct pkt_ip *ip)
{
	uint8_t *spare = f->batch->spare, answer[FWD_HEADROOM + PKT_ICMP_MAX];
	size_t n;

	if (pkt_may_fragment(p, ip)) {
		if (p != spare)
			memcpy(spare, p, ip->len);
		if (fragment(f, c, slot, sock, ip))
			return;
	} else if (fwd_bucket_take(&f->icmp, f->now)) {
		n = pkt_too_big(p, ip, c->mtu, answer + FWD_HEADROOM);
		if (n)
			tun_write(f, dev_of(c, slot), answer + FWD_HEADROOM, n, FWD_HEADROOM);
	}
	count(&f->counts.drop_mtu);
	count(&dpt_run(f->table, slot)->drop_mtu);
}

/* ---- one packet ---- */

/*
 * Our own packets, routed into the session that they carry, or round in circles through several.
 * Each turn would make them longer until they are cut in two, and so on without end.
 */
static bool loops(struct fwd *f, const struct dpt_tunnel *t, const uint8_t *p,
		  const struct pkt_ip *ip)
{
	unsigned int octets = ip->version == 4 ? 4 : 16;
	bool to_peer = t->family == (ip->version == 4 ? AF_INET : AF_INET6) &&
		       memcmp(ip->dst, t->remote, octets) == 0;
	unsigned int depth;

	if (t->encap == DP_ENCAP_IP && ip->proto == IPPROTO_L2TP)
		return to_peer && memcmp(ip->src, t->local, octets) == 0;
	if (ip->proto != IPPROTO_UDP)
		return false;
	if (ip->later_fragment)
		return to_peer && memcmp(ip->src, t->local, octets) == 0;
	depth = pkt_own_depth(p, ip->len, f->batch->ports, f->batch->port_count);
	if (depth && to_peer)
		return true;
	return depth > DEPTH_MAX;
}

/* Which session a packet from a device belongs to. */
static uint32_t slot_of(struct fwd *f, uint32_t dev, const struct pkt_ip *ip)
{
	/* Of the link only: what the kernel itself says on a new interface. The addresses of that
	 * kind were negotiated, so the control plane speaks on the link. */
	if (ip->version == 6 && pkt_ip6_local(ip->dst))
		return INDEX_NONE;
	if (dev)
		return dev - 1;
	return ip->version == 4 ? index_route4(dpt_index(f->table), ip->dst)
				: index_route6(dpt_index(f->table), ip->dst);
}

/* The session of a packet, and the socket of its tunnel. False: dropped and counted. */
static bool way_of(struct fwd *f, uint32_t dev, const uint8_t *p, const struct pkt_ip *ip,
		   struct dpt_config *c, uint32_t *ret_slot, uint32_t *ret_sock)
{
	uint32_t slot = slot_of(f, dev, ip), sock;
	const struct dpt_tunnel *t;

	if (slot == INDEX_NONE) {
		count(&f->counts.drop_other);
		return false;
	}
	if (!dpt_snapshot(f->table, slot, c) || !(c->state & DPT_UP) || dev_of(c, slot) != dev ||
	    c->flags & DP_F_FAR_DOWN || !(c->flags & (ip->version == 4 ? DP_F_IP4 : DP_F_IP6))) {
		drop(f, slot, 1);
		return false;
	}
	t = dpt_tunnel(f->table, c->tunnel);
	sock = fwd_sock_of(f, t->via);
	if (sock == FWD_SOCKS || loops(f, t, p, ip)) {
		drop(f, slot, 1);
		return false;
	}
	*ret_slot = slot;
	*ret_sock = sock;
	return true;
}

/* ---- many in one ---- */

/* Segments longer than the session takes. */
static void cut_too_big(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
			struct cut *cut)
{
	struct fwd_batch *b = f->batch;
	uint32_t left = cut_count(cut);
	const uint8_t *payload;
	size_t head, n;

	while ((head = cut_next(cut, b->spare, &payload, &n)) != 0) {
		struct pkt_ip ip;

		memcpy(b->spare + head, payload, n);
		left--;
		if (!pkt_ip_parse(b->spare, head + n, cut->version, &ip))
			break;
		if (ip.len > c->mtu && !pkt_may_fragment(b->spare, &ip)) {
			/* One answer tells the sender about all of them. */
			too_big(f, c, slot, sock, b->spare, &ip);
			count_by(&f->counts.drop_mtu, left);
			count_by(&dpt_run(f->table, slot)->drop_mtu, left);
			break;
		}
		if (ip.len > c->mtu) {
			too_big(f, c, slot, sock, b->spare, &ip);
		} else {
			uint8_t *to = queue_room(f, ip.len);

			memcpy(to, b->spare, ip.len);
			queue_keep(f, to, ip.len);
			queue_packet(f, c, slot, sock, to, ip.len, NULL, 0, ip.version);
		}
	}
}

static void cut_fits(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		     struct cut *cut)
{
	for (;;) {
		uint8_t *to = queue_room(f, CUT_HEAD_MAX);
		const uint8_t *payload;
		size_t n, head = cut_next(cut, to, &payload, &n);

		if (!head)
			return;
		queue_keep(f, to, head);
		queue_packet(f, c, slot, sock, to, head, payload, n, cut->version);
	}
}

static void down_many(struct fwd *f, uint32_t dev, uint8_t *p, const struct pkt_ip *ip,
		      const struct virtio_net_hdr *v)
{
	struct dpt_config c;
	uint32_t slot, sock;
	struct cut cut;

	if (!cut_begin(&cut, p, ip, v)) {
		count(&f->counts.drop_other);
		return;
	}
	if (!way_of(f, dev, p, ip, &c, &slot, &sock))
		return;
	/* The packet stays where it is while its segments come and go behind it. */
	queue_keep(f, p, ip->len);
	f->batch->tx_floor = f->batch->tx_used;
	if (cut_longest(&cut) > c.mtu)
		cut_too_big(f, &c, slot, sock, &cut);
	else
		cut_fits(f, &c, slot, sock, &cut);
	f->batch->tx_floor = 0;
}

/* The packet lies in the room that queue_room() gave. */
static void down(struct fwd *f, uint32_t dev, uint8_t *p, size_t len,
		 const struct virtio_net_hdr *v)
{
	struct dpt_config c;
	struct pkt_ip ip;
	uint32_t slot, sock;

	if (((v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !v->gso_type &&
	     !cut_checksum(p, len, v)) ||
	    !len || !pkt_ip_parse(p, len, p[0] >> 4, &ip)) {
		count(&f->counts.drop_other);
		return;
	}
	if (v->gso_type) {
		down_many(f, dev, p, &ip, v);
		return;
	}
	if (!way_of(f, dev, p, &ip, &c, &slot, &sock))
		return;
	if (c.flags & DP_F_MSS_CLAMP)
		pkt_mss_clamp(p, &ip, ip.version == 4 ? c.mss4 : c.mss6);
	if (ip.len > c.mtu) {
		too_big(f, &c, slot, sock, p, &ip);
		return;
	}
	queue_keep(f, p, ip.len);
	queue_packet(f, &c, slot, sock, p, ip.len, NULL, 0, ip.version);
}

/* ---- the device ---- */

/* A device that was removed by somebody else: leave it, and say so. */
static void device_lost(struct fwd *f, uint32_t dev, int fd)
{
	struct fwd_punt *p =
		(struct fwd_punt *)(void *)ring_room(&f->ring, sizeof(*p), f->ring.size);

	if (!p)
		return; /* comes again with the next event */
	epoll_ctl(f->epoll, EPOLL_CTL_DEL, fd, NULL);
	memset(p, 0, sizeof(*p));
	p->class = FWD_LOST;
	p->dev = dev;
	ring_push(&f->ring);
	ring_publish(&f->ring);
}

void down_from(struct fwd *f, uint32_t dev)
{
	bool vnet;
	int fd = tun_fd(f, dev, &vnet);
	size_t front = vnet ? JOIN_VNET : 0;
	bool eth = eth_is(f, dev);

	if (fd < 0)
		return;
	for (unsigned int i = 0; i < READS; i++) {
		uint8_t *p = queue_room(f, TX_READ - FWD_HEADROOM);
		struct virtio_net_hdr v = { 0 };
		ssize_t n;

		n = tun_read(fd, p - front, TX_READ - FWD_HEADROOM + front);
		if (n < (ssize_t)front || n == 0) {
			if (n >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM))
				device_lost(f, dev, fd);
			break;
		}
		if (vnet)
			memcpy(&v, p - front, front);
		if (eth)
			eth_down(f, dev - 1, p, (size_t)n - front, &v);
		else
			down(f, dev, p, (size_t)n - front, &v);
		if (queue_full(f)) {
			queue_flush(f);
			fwd_clock(f);
		}
	}
	queue_flush(f);
}
