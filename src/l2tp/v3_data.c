/* SPDX-License-Identifier: MIT
 *
 * Data messages of L2TPv3 that come by the engine: PPP negotiation, and whatever the data plane
 * does not carry (RFC 3931 4.1, 4.5, 4.6, Appendix C).
 *
 * The session id alone finds the session (4.1.1); then the cookie has to be the one that we
 * assigned, all of it, before anything else is looked at. Sequence numbers have 24 bits and count
 * only where the S bit is set: a number that was passed already is old or a duplicate and is
 * dropped; a run of L2TP_OOS_MAX consecutive numbers past a gap makes us follow the sender.
 */
#include "l2tp/v3_int.h"

#define SEQ_MASK 0x00ffffffu
#define SEQ_S	 0x40000000u

/* True when the frame is to be passed on. */
static bool in_sequence(struct pw *s, uint32_t sublayer)
{
	uint32_t ns = sublayer & SEQ_MASK;

	if (!(sublayer & SEQ_S))
		return true;
	if (((ns - s->data_nr) & SEQ_MASK) <= SEQ_MASK / 2) {
		s->data_nr = (ns + 1) & SEQ_MASK;
		s->oos = 0;
		return true;
	}
	s->oos = s->oos && ns == s->data_oos ? (uint8_t)(s->oos + 1) : 1;
	s->data_oos = (ns + 1) & SEQ_MASK;
	if (s->oos <= L2TP_OOS_MAX)
		return false;
	s->data_nr = s->data_oos;
	s->oos = 0;
	return true;
}

int data3_input(struct l2tp3 *l, const struct path *path, const struct l2tp3_header *h,
		const uint8_t *bytes, struct l2tp3_frame *ret)
{
	struct pw *s = pw_find(l, h->session);
	struct rcur c = rcur_of(bytes + h->payload, h->len);
	const uint8_t *cookie;
	uint32_t sublayer;

	if (!s) {
		(void)v3_drop(l, DROP3_SESSION, h->session, path);
		return doubt3_lost(l, h->session) ? L2TP3_IN_LOST : L2TP3_IN_DROP;
	}
	cookie = rcur_take(&c, s->cookie_in_len);
	if (!cookie || !bytes_equal_ct(cookie, s->cookie_in, s->cookie_in_len))
		return v3_drop(l, DROP3_COOKIE, h->session, path);
	if (!path_equal(&s->conn->path, path))
		return v3_drop(l, DROP3_PATH, s->conn->local_id, path);
	if (s->state != L2TP3_SS_UP || s->conn->state != L2TP3_CS_UP)
		return v3_drop(l, DROP3_STATE, h->session, path);
	sublayer = s->sublayer_in ? rcur_u32(&c) : 0;
	if (c.bad || rcur_left(&c) == 0)
		return v3_drop(l, DROP3_HEADER, L2TP_HDR_SHORT, path);
	s->conn->heard = l->now; /* the timer looks when it fires */
	doubt3_end(l, s->conn);
	if (!in_sequence(s, sublayer))
		return v3_drop(l, DROP3_SEQUENCE, h->session, path);
	l->count.frames_in++;
	*ret = (struct l2tp3_frame){ .conn = s->conn->handle,
				     .session = s->handle,
				     .owner = s->owner,
				     .pw_type = s->type,
				     .off = (uint32_t)(c.p - bytes),
				     .len = (uint32_t)rcur_left(&c) };
	return L2TP3_IN_FRAME;
}

/* Level 1 numbers all but IP; what cannot be told is numbered (5.4.4). */
static bool is_ip(const struct pw *s, const uint8_t *frame, size_t len)
{
	struct rcur c = rcur_of(frame, len);
	uint16_t protocol;

	if (s->type == L2TP3_PW_PPP) {
		protocol = rcur_u16(&c);
		if (protocol == 0xff03)
			protocol = rcur_u16(&c);
		return !c.bad && (protocol == 0x0021 || protocol == 0x0057);
	}
	(void)rcur_take(&c, 12);
	protocol = rcur_u16(&c);
	return !c.bad && (protocol == 0x0800 || protocol == 0x86dd);
}

static uint32_t next_sublayer(struct pw *s, const uint8_t *frame, size_t len)
{
	uint32_t ns = s->data_ns;

	if (s->seq_out == L2TP3_SEQ_NONE ||
	    (s->seq_out == L2TP3_SEQ_NON_IP && is_ip(s, frame, len)))
		return 0;
	s->data_ns = (ns + 1) & SEQ_MASK;
	return SEQ_S | ns;
}

size_t l2tp3_wrap(struct l2tp3 *l, adit_handle session, uint8_t *frame, size_t len,
		  struct path *ret_path)
{
	struct pw *s = pool_get(l->sessions, session);
	struct conn *k = s ? s->conn : NULL;
	size_t head;
	struct wcur c;

	if (!k || s->state != L2TP3_SS_UP || k->state != L2TP3_CS_UP ||
	    !l2tp3_status_takes_data(s->remote_status))
		return 0;
	head = (k->over_ip ? L2TP3_DATA_IP : L2TP3_DATA_UDP) + s->cookie_out_len +
	       (s->sublayer_out ? L2TP3_SUBLAYER_LEN : 0u);
	c = wcur_of(frame - head, head);
	if (!k->over_ip)
		wcur_u32(&c, 0x00030000); /* T=0, version 3, reserved (4.1.2.1) */
	wcur_u32(&c, s->remote_id);
	wcur_bytes(&c, s->cookie_out, s->cookie_out_len);
	if (s->sublayer_out)
		wcur_u32(&c, next_sublayer(s, frame, len));
	*ret_path = k->path;
	return head;
}
