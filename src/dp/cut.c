/* SPDX-License-Identifier: MIT
 *
 * A TCP packet of up to 64 KiB becomes segments, as the kernel's tcp_gso_segment() makes them: the
 * IPv4 id counts up, sequence numbers follow each other, CWR stays on the first (RFC 3168 6.1.2),
 * FIN and PSH on the last, and every checksum is made here, once, over the octets as they lie.
 */
#include "cut.h"
#include "base/wire.h"

#include <netinet/in.h>

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

static uint16_t get_u16(const uint8_t *at)
{
	struct rcur c = rcur_of(at, 2);

	return rcur_u16(&c);
}

static void put_u16(uint8_t *at, uint16_t v)
{
	struct wcur c = wcur_of(at, 2);

	wcur_u16(&c, v);
}

bool cut_checksum(uint8_t *p, size_t len, const struct virtio_net_hdr *v)
{
	size_t at = (size_t)v->csum_start + v->csum_offset;
	uint16_t sum;

	if (at + 2 > len)
		return false;
	/* The field holds the sum of the pseudo header. UDP says 0 for "none", RFC 768; to others
	 * both zeros are the same. */
	sum = pkt_checksum(p + v->csum_start, len - v->csum_start, 0);
	put_u16(p + at, sum ? sum : 0xffff);
	return true;
}

bool cut_begin(struct cut *c, const uint8_t *p, const struct pkt_ip *ip,
	       const struct virtio_net_hdr *v)
{
	uint8_t type = v->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	size_t left = ip->len - ip->transport, tcp, all;

	if (type != (ip->version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6) ||
	    !v->gso_size || ip->proto != IPPROTO_TCP || ip->later_fragment || left < 20 ||
	    !(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || v->csum_start != ip->transport ||
	    v->csum_offset != 16)
		return false;
	tcp = (p[ip->transport + 12] >> 4) * 4u;
	if (tcp < 20 || tcp >= left || ip->transport + tcp > CUT_HEAD_MAX)
		return false;
	all = left;
	*c = (struct cut){ .p = p,
			   .version = ip->version,
			   .transport = (uint16_t)ip->transport,
			   .head = (uint16_t)(ip->transport + tcp),
			   .size = v->gso_size,
			   .payload = (uint32_t)(left - tcp) };
	/* The kernel has summed the pseudo header, with the address behind a routing header if
	 * there is one; its length is of all segments together (RFC 1624). */
	c->sum = (uint32_t)get_u16(p + ip->transport + 16) + (uint16_t) ~(all & 0xffff) +
		 (uint16_t) ~(all >> 16);
	return true;
}

size_t cut_longest(const struct cut *c)
{
	return c->head + (size_t)(c->payload < c->size ? c->payload : c->size);
}

uint32_t cut_count(const struct cut *c)
{
	return (c->payload + c->size - 1) / c->size;
}

size_t cut_next(struct cut *c, uint8_t *head, const uint8_t **ret_payload, size_t *ret_len)
{
	uint32_t left = c->payload - c->pos, n = left < c->size ? left : c->size;
	uint8_t *tcp = head + c->transport;
	struct rcur r = rcur_of(c->p + c->transport + 4, 4);
	struct wcur w = wcur_of(tcp + 4, 4);
	size_t octets = (size_t)c->head - c->transport + n;

	if (!left)
		return 0;
	memcpy(head, c->p, c->head);
	if (c->version == 4) {
		put_u16(head + 2, (uint16_t)(c->head + n));
		put_u16(head + 4, (uint16_t)(get_u16(head + 4) + c->pos / c->size));
		put_u16(head + 10, 0);
		put_u16(head + 10, pkt_checksum(head, c->transport, 0));
	} else {
		put_u16(head + 4, (uint16_t)(c->head - 40 + n));
	}
	wcur_u32(&w, rcur_u32(&r) + c->pos);
	if (c->pos)
		tcp[13] &= (uint8_t)~TCP_CWR;
	if (left > n)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	put_u16(tcp + 16, 0);
	put_u16(tcp + 16,
		pkt_checksum(tcp, (size_t)c->head - c->transport,
			     pkt_sum(c->p + c->head + c->pos, n, c->sum + (uint32_t)octets)));
	*ret_payload = c->p + c->head + c->pos;
	*ret_len = n;
	c->pos += n;
	return c->head;
}
