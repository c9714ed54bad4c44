/* SPDX-License-Identifier: MIT
 *
 * Data messages that come by the engine: PPP negotiation, and whatever the data plane does not
 * carry (RFC 2661 3.1, 5.3, 5.4).
 *
 * Sequence numbers: a number that was passed already is old or a duplicate and is dropped; nothing
 * is put in order, nothing is sent again. When more than half the number space was lost, all that
 * comes looks old; then a run of L2TP_OOS_MAX consecutive numbers makes us follow the sender. The
 * LAC sends numbers as long as the LNS does, unless it asked for them itself; Nr is ignored. Some
 * servers (xl2tpd) ignore Sequencing Required: what we asked for, as the LAC, is insisted on from
 * the first number on that comes.
 */
#include "l2tp/internal.h"

bool session_needs_seq(const struct session *s)
{
	return s->require_seq && (!call_is_lac(s) || s->data_nr != 0);
}

/* True when the message is to be passed on. */
static bool in_sequence(struct session *s, const struct l2tp_header *h)
{
	if (!(h->flags & L2TP_HDR_S)) {
		if (session_needs_seq(s))
			return false;
		if (call_is_lac(s) && !s->require_seq)
			s->send_seq = false;
		return true;
	}
	if (call_is_lac(s))
		s->send_seq = true;
	if ((uint16_t)(h->ns - s->data_nr) < 0x8000) {
		s->data_nr = (uint16_t)(h->ns + 1);
		s->oos = 0;
		return true;
	}
	s->oos = s->oos && h->ns == s->data_oos ? (uint8_t)(s->oos + 1) : 1;
	s->data_oos = (uint16_t)(h->ns + 1);
	if (s->oos <= L2TP_OOS_MAX)
		return false;
	s->data_nr = s->data_oos;
	s->oos = 0;
	return true;
}

int data_input(struct l2tp *l, const struct path *path, const struct l2tp_header *h,
	       struct l2tp_frame *ret)
{
	struct session *s = idmap_find(l->session_ids, h->tunnel, h->session);
	struct tunnel *t;

	if (!s) {
		t = idmap_find(l->tunnel_ids, 0, h->tunnel);
		return t ? doubt_no_session(l, t, path, h) : doubt_no_tunnel(l, path, h);
	}
	t = s->tunnel;
	if (!path_equal(&t->path, path))
		return engine_drop(l, DROP_PATH, t->local_id, path);
	if (s->state != L2TP_SS_UP || t->state != L2TP_TS_UP)
		return engine_drop(l, DROP_STATE, h->session, path);
	t->heard = l->now; /* the timer looks when it fires */
	doubt_end(l, t);
	if (!in_sequence(s, h))
		return engine_drop(l, DROP_SEQUENCE, h->session, path);
	if (h->len == 0)
		return engine_drop(l, DROP_HEADER, L2TP_HDR_SHORT, path);
	l->count.frames_in++;
	*ret = (struct l2tp_frame){ .tunnel = t->handle,
				    .session = s->handle,
				    .owner = s->owner,
				    .off = h->payload,
				    .len = h->len };
	return L2TP_IN_FRAME;
}

size_t l2tp_wrap(struct l2tp *l, adit_handle session, uint8_t *frame, size_t len, bool priority,
		 struct path *ret_path)
{
	struct session *s = pool_get(l->sessions, session);
	struct tunnel *t = s ? s->tunnel : NULL;
	uint16_t flags = 2;
	size_t head = 6;
	struct wcur c;

	if (!t || s->state != L2TP_SS_UP || t->state != L2TP_TS_UP)
		return 0;
	if (t->profile->p.length_bit) {
		flags |= L2TP_HDR_L;
		head += 2;
	}
	if (s->send_seq) {
		flags |= L2TP_HDR_S;
		head += 4;
	}
	if (priority)
		flags |= L2TP_HDR_P;
	if (head + len > UINT16_MAX)
		return 0;
	c = wcur_of(frame - head, head);
	wcur_u16(&c, flags);
	if (flags & L2TP_HDR_L)
		wcur_u16(&c, (uint16_t)(head + len));
	wcur_u16(&c, t->remote_id);
	wcur_u16(&c, s->remote_id);
	if (flags & L2TP_HDR_S) {
		wcur_u16(&c, s->data_ns++);
		wcur_u16(&c, 0); /* Nr is reserved in data (3.1) */
	}
	*ret_path = t->path;
	return head;
}
