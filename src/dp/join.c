/* SPDX-License-Identifier: MIT
 *
 * TCP segments become one packet, see join.h. The rules, and where the kernel has them:
 *
 *   IPv4 without options, no fragment, id the same (with DF) or counting up     inet_gro_receive
 *   same TOS, TTL, DF; IPv6 without extension headers, same class, label, limit  inet_gro_flush
 *   ACK alone among the flags; PSH and FIN end a run                            tcp_gro_receive
 *   same acknowledgement, window, reserved bits, options; exactly next in sequence
 *   none longer than the first; one that is shorter ends the run
 *   the checksums of the IPv4 header and of TCP are right (RFC 9293 3.1)
 */
#include "join.h"
#include "base/wire.h"

#include <netinet/in.h>

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_ECE 0x40

static uint16_t get_u16(const uint8_t *at)
{
	struct rcur c = rcur_of(at, 2);

	return rcur_u16(&c);
}

static uint32_t get_u32(const uint8_t *at)
{
	struct rcur c = rcur_of(at, 4);

	return rcur_u32(&c);
}

static void put_u16(uint8_t *at, uint16_t v)
{
	struct wcur c = wcur_of(at, 2);

	wcur_u16(&c, v);
}

bool join_parse(uint8_t *p, const struct pkt_ip *ip, struct join_seg *ret)
{
	struct join_seg s = { .p = p, .version = ip->version };
	size_t left = ip->len - ip->transport, tcp;

	if (ip->proto != IPPROTO_TCP || left <= 20)
		return false;
	if (ip->version == 4 ? p[0] != 0x45 || (get_u16(p + 6) & 0xbfff) != 0 : ip->transport != 40)
		return false;
	tcp = (p[ip->transport + 12] >> 4) * 4u;
	s.flags = p[ip->transport + 13];
	if (tcp < 20 || tcp >= left || ip->len > UINT16_MAX ||
	    (s.flags & ~(TCP_FIN | TCP_PSH | TCP_ECE)) != TCP_ACK)
		return false;
	s.transport = (uint16_t)ip->transport;
	s.head = (uint16_t)(ip->transport + tcp);
	s.len = (uint16_t)ip->len;
	s.payload = (uint16_t)(s.len - s.head);
	s.seq = get_u32(p + s.transport + 4);
	*ret = s;
	return true;
}

bool join_opens(const struct join_seg *s)
{
	return !(s->flags & (TCP_FIN | TCP_PSH));
}

void join_begin(struct join *j, uint32_t dev, uint32_t slot, const struct join_seg *s)
{
	j->dev = dev;
	j->slot = slot;
	j->first = *s;
	j->right = false;
	j->closed = !join_opens(s);
	j->more = 0;
	j->id_step = 0;
	j->next = s->seq + s->payload;
	j->len = s->len;
	j->count = 1;
	j->iov[1] = (struct iovec){ s->p - s->link, (size_t)s->link + s->len };
}

bool join_same_flow(const struct join *j, uint32_t slot, const struct join_seg *s)
{
	const uint8_t *a = j->first.p, *b = s->p;

	if (j->slot != slot || j->first.version != s->version ||
	    memcmp(a + j->first.transport, b + s->transport, 4) != 0 || j->first.link != s->link ||
	    memcmp(a - s->link, b - s->link, s->link) != 0)
		return false;
	return s->version == 4 ? memcmp(a + 12, b + 12, 8) == 0 : memcmp(a + 8, b + 8, 32) == 0;
}

/* The sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1) for `n` octets of TCP. */
static uint32_t pseudo(const struct join_seg *s, size_t n)
{
	return s->version == 4 ? pkt_sum(s->p + 12, 8, (uint32_t)(IPPROTO_TCP + n))
			       : pkt_sum(s->p + 8, 32, (uint32_t)(IPPROTO_TCP + n));
}

static bool sums_right(const struct join_seg *s)
{
	size_t n = (size_t)s->len - s->transport;

	if (s->version == 4 && pkt_checksum(s->p, 20, 0) != 0)
		return false;
	return pkt_checksum(s->p + s->transport, n, pseudo(s, n)) == 0;
}

static bool ip_fits(const struct join *j, const struct join_seg *s)
{
	const uint8_t *a = j->first.p, *b = s->p;

	if (s->version == 6) /* version, class, label; next header and hop limit */
		return memcmp(a, b, 4) == 0 && memcmp(a + 6, b + 6, 2) == 0;
	if (a[1] != b[1] || memcmp(a + 6, b + 6, 4) != 0) /* TOS; flags, TTL, protocol */
		return false;
	/* The kernel gives ids that count up when it cuts; with DF they do not matter (RFC 6864
	 * 4.1) as long as they do not jump. */
	if (j->count > 1 && j->id_step == 0)
		return get_u16(a + 4) == get_u16(b + 4);
	if (get_u16(b + 4) == (uint16_t)(get_u16(a + 4) + j->count))
		return true;
	return j->count == 1 && get_u16(a + 4) == get_u16(b + 4) && (a[6] & 0x40);
}

static bool tcp_fits(const struct join *j, const struct join_seg *s)
{
	const uint8_t *a = j->first.p + j->first.transport, *b = s->p + s->transport;
	size_t tcp = (size_t)s->head - s->transport;

	return j->first.head == s->head && s->seq == j->next && /* no gap, nothing twice */
	       memcmp(a + 8, b + 8, 5) == 0 &&			/* acknowledgement, reserved bits */
	       ((j->first.flags ^ s->flags) & ~(TCP_FIN | TCP_PSH)) == 0 &&
	       memcmp(a + 14, b + 14, 2) == 0 && /* window */
	       memcmp(a + 20, b + 20, tcp - 20) == 0;
}

bool join_add(struct join *j, const struct join_seg *s)
{
	if (j->closed || j->count == JOIN_SEGMENTS || s->payload > j->first.payload ||
	    j->len + s->payload > UINT16_MAX || !ip_fits(j, s) || !tcp_fits(j, s))
		return false;
	if (!j->right && !sums_right(&j->first))
		return false;
	j->right = true;
	if (!sums_right(s))
		return false;
	if (j->count == 1 && s->version == 4)
		j->id_step = get_u16(s->p + 4) != get_u16(j->first.p + 4);
	j->count++;
	j->iov[j->count] = (struct iovec){ s->p + s->head, s->payload };
	j->len += s->payload;
	j->next += s->payload;
	j->more |= s->flags & (TCP_FIN | TCP_PSH);
	j->closed = s->payload < j->first.payload || !join_opens(s);
	return true;
}

void join_finish(struct join *j, int *ret_n)
{
	const struct join_seg *s = &j->first;
	uint8_t *tcp = s->p + s->transport;
	uint32_t sum;

	memset(&j->vnet, 0, sizeof(j->vnet));
	j->iov[0] = (struct iovec){ &j->vnet, sizeof(j->vnet) };
	*ret_n = (int)j->count + 1;
	if (j->count == 1)
		return;
	if (s->version == 4) {
		put_u16(s->p + 2, (uint16_t)j->len);
		put_u16(s->p + 10, 0);
		put_u16(s->p + 10, pkt_checksum(s->p, 20, 0));
	} else {
		put_u16(s->p + 4, (uint16_t)(j->len - 40));
	}
	tcp[13] |= j->more;
	/* The rest of the sum is the kernel's, if the packet ever leaves the host again. */
	sum = pseudo(s, j->len - s->transport);
	put_u16(tcp + 16, (uint16_t)~pkt_checksum(NULL, 0, sum));
	j->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	j->vnet.gso_type = s->version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	j->vnet.hdr_len = (uint16_t)(s->link + s->head);
	j->vnet.gso_size = s->payload;
	j->vnet.csum_start = (uint16_t)(s->link + s->transport);
	j->vnet.csum_offset = 16;
}
