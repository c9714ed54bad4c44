/* SPDX-License-Identifier: MIT
 *
 * Ethernet pseudowires (RFC 4719) in the forwarding thread.
 *
 *   up    session by its id of 32 bits -> cookie -> from the session's own peer? -> sequence (RFC
 *         3931 4.6.1) -> TCP segments joined -> write to the TAP (tun.c)
 *   down  read from the TAP -> long TCP packets cut -> headers -> trains (queue.c)
 *
 * Frames are opaque: tags, broadcasts and whatever length the interface has pass as they are; but
 * for the outer tag of a session that has one (RFC 4719 3.1), which its interface never sees. A
 * datagram that is longer than its path is cut by IP, since Ethernet has no way to say "too big":
 * its sockets do not set DF.
 *
 * PPP over L2TPv3 has the same headers, and then goes the way of PPP (forward.c, down.c).
 *
 * A data message of a session that is not here is counted, and nothing is delivered. PPP's
 * negotiation, which comes before there is a row, goes to the control thread, and so does one
 * message of each session in a second: the sender may not know that we have lost it (admit.c). A
 * raw socket gets what the kernel carries, too: such sessions are known, and left to it.
 */
#include "forward_int.h"
#include "admit.h"
#include "pkt3.h"
#include "base/wire.h"

static void drop_up(struct fwd *f, struct dpt_run *run, _Atomic uint64_t *cause)
{
	count(cause);
	count(&run->drop_up);
}

static bool is_session(const struct dpt_config *c, uint32_t session)
{
	struct rcur r = rcur_of(c->local_session3, sizeof(c->local_session3));

	return c->kind != DPT_PPP && rcur_u32(&r) == session;
}

/* Of a session that is not here, or not yet. */
static void stray(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
		  uint32_t session, const uint8_t *b, size_t len, size_t front)
{
	if (s->raw && admit_is_elsewhere(f->admit, session))
		return;
	count(&f->counts.drop_unknown);
	if (!o->unicast)
		return;
	if ((!s->raw || session >= DP_PPP3_IDS) && pkt3_ppp_control(b, len))
		fwd_punt_early(f, s, o, b - front, len + front);
	else
		fwd_punt_stray(f, s, o, session, b - front, len + front);
}

/* A data message, from behind its session id; `front` octets before that are its own headers. */
static void up(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o, uint32_t session,
	       uint8_t *b, size_t len, size_t front)
{
	uint32_t slot = index_ids_find(dpt_index(f->table), index_ids_v3(session));
	struct pkt3_body body;
	struct dpt_config c;
	size_t off;
	struct dpt_run *run;

	if (slot == INDEX_NONE || !o->unicast) {
		stray(f, s, o, session, b, len, front);
		return;
	}
	run = dpt_run(f->table, slot);
	if (!dpt_snapshot(f->table, slot, &c)) {
		drop_up(f, run, &f->counts.drop_other);
		return;
	}
	if (!(c.state & DPT_UP) || !is_session(&c, session)) {
		stray(f, s, o, session, b, len, front);
		return;
	}
	switch (pkt3_check(&c, b, len, &body)) {
	case PKT3_OK:
		break;
	case PKT3_SHORT:
		drop_up(f, run, &f->counts.drop_header);
		return;
	case PKT3_COOKIE:
		count(&f->counts.drop_spoof);
		count(&run->drop_spoof);
		return;
	}
	if (!fwd_path_ok(f, dpt_tunnel(f->table, c.tunnel), s, o)) {
		count(&f->counts.drop_path);
		return;
	}
	if (c.kind == DPT_PPP3) /* the number of a static pseudowire's may be another tunnel's */
		dpt_hear(f->table, c.tunnel, f->now);
	if (!fwd_seq_ok(&c, run, body.has_seq, body.seq, f->now)) {
		count(&f->counts.drop_seq);
		count(&run->drop_seq);
		return;
	}
	if (c.kind == DPT_PPP3) {
		fwd_up_ppp(f, &c, slot, b + body.off, len - body.off, front + body.off);
		return;
	}
	off = body.off + (c.tag ? pkt3_untag(b + body.off, len - body.off) : 0);
	tun_put_frame(f, slot, b + off, len - off, front + off);
}

bool eth_up_udp(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o, uint8_t *b,
		size_t len)
{
	struct pkt3_head h;

	if (pkt3_parse_udp(b, len, &h) != PKT_DATA)
		return false;
	up(f, s, o, h.session, b + h.off, len - h.off, h.off);
	return true;
}

enum pkt_kind eth_up_ip(struct fwd *f, const struct fwd_sock *s, const struct fwd_outer *o,
			uint8_t *b, size_t len)
{
	struct pkt3_head h;
	enum pkt_kind kind = pkt3_parse_ip(b, len, &h);

	if (kind == PKT_DATA)
		up(f, s, o, h.session, b + h.off, len - h.off, h.off);
	return kind;
}

/* ---- down ---- */

static void drop_down(struct fwd *f, uint32_t slot)
{
	count(&f->counts.drop_other);
	count(&dpt_run(f->table, slot)->drop_down);
}

/* A frame with a long TCP packet: each segment gets the frame's header. */
static bool down_many(struct fwd *f, const struct dpt_config *c, uint32_t slot, uint32_t sock,
		      uint8_t *p, size_t len, const struct virtio_net_hdr *v)
{
	struct virtio_net_hdr inner = *v;
	uint8_t version = 0;
	size_t link = pkt3_ip(p, len, &version);
	struct pkt_ip ip;
	struct cut cut;

	if (!link || v->csum_start < link || !pkt_ip_parse(p + link, len - link, version, &ip))
		return false;
	inner.csum_start = (uint16_t)(v->csum_start - link);
	if (!cut_begin(&cut, p + link, &ip, &inner))
		return false;
	/* The packet stays where it is while its segments come and go behind it. */
	queue_keep(f, p, len);
	f->batch->tx_floor = f->batch->tx_used;
	for (;;) {
		uint8_t *to = queue_room(f, link + CUT_HEAD_MAX);
		const uint8_t *payload;
		size_t n, head = cut_next(&cut, to + link, &payload, &n);

		if (!head)
			break;
		memcpy(to, p, link);
		queue_keep(f, to, link + head);
		queue_frame(f, c, slot, sock, to, link + head, payload, n);
	}
	f->batch->tx_floor = 0;
	return true;
}

void eth_down(struct fwd *f, uint32_t slot, uint8_t *p, size_t len, const struct virtio_net_hdr *v)
{
	struct virtio_net_hdr moved = *v;
	struct dpt_config c;
	uint32_t sock;

	if (len < PKT3_FRAME || !dpt_snapshot(f->table, slot, &c) || !(c.state & DPT_UP)) {
		drop_down(f, slot);
		return;
	}
	sock = fwd_sock_of(f, dpt_tunnel(f->table, c.tunnel)->via);
	if (sock == FWD_SOCKS) {
		drop_down(f, slot);
		return;
	}
	if (c.tag) {
		pkt3_tag(p, c.tag);
		p -= PKT3_TAG;
		len += PKT3_TAG;
		moved.csum_start = (uint16_t)(moved.csum_start + PKT3_TAG);
	}
	v = &moved;
	if (v->gso_type) {
		if (!down_many(f, &c, slot, sock, p, len, v))
			drop_down(f, slot);
		return;
	}
	if ((v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !cut_checksum(p, len, v)) {
		drop_down(f, slot);
		return;
	}
	queue_keep(f, p, len);
	queue_frame(f, &c, slot, sock, p, len, NULL, 0);
}

bool eth_is(const struct fwd *f, uint32_t dev)
{
	struct dpt_config c;

	return dev && dpt_snapshot(f->table, dev - 1, &c) && c.kind == DPT_ETH;
}
