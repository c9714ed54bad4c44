/* SPDX-License-Identifier: MIT
 *
 * Sessions with sequence numbers on data (RFC 2661 5.4, RFC 3931 4.6.1), where the data plane may
 * be the kernel's. It counts by itself, from 0 both ways, and nobody can tell it to begin
 * elsewhere: so a pipe through it has to stand before the first frame. The row is put as
 * DP_PREPARED when L2TP has the session; PPP runs already, but its frames wait until the plane has
 * answered. A client's ICCN, or OCCN, waits with them, because the server may send as soon as it
 * has come; and the first frame afterwards lets the server go first for a moment, whose pipe may
 * take as long as ours.
 *
 * Where the plane has no pipe, or a numbered frame of the peer was read before it stood, frames go
 * by the L2TP engine, and the row that follows says so with its numbers (first_ns, first_nr).
 */
#include "internal.h"

#include <stdlib.h>

#define WAITING_MOST 16
#define LISTEN_US    (250 * US_MS)

struct acc_waiting {
	struct acc_waiting *next;
	uint16_t len;
	bool priority;
	uint8_t bytes[];
};

static enum dp_want plane_of(const struct acc_session *s)
{
	const struct acc_peer *p = s->tunnel->peer;

	if (s->dial)
		return (enum dp_want)s->dial->c->plane;
	return p && p->c ? (enum dp_want)p->c->plane : DP_WANT_USER;
}

bool acc_pipe_wanted(const struct access *a, const struct acc_session *s)
{
	return a->config.pipes && plane_of(s) != DP_WANT_USER;
}

/* A client's ICCN may leave: it has waited since the call began, see dial.c. */
static void iccn_go(struct access *a, struct mono now, const struct acc_session *s)
{
	struct l2tp_cmd go = { .kind = L2TP_CMD_SESSION_GO, .session = s->l2tp };

	if (s->dial && s->l2tp)
		(void)acc_l2_do(a, now, s->tunnel->version, &go);
}

void acc_pipe_begin(struct access *a, struct mono now, struct acc_session *s, bool numbered)
{
	if (!acc_pipe_wanted(a, s) || !numbered || s->row || s->row_busy) {
		iccn_go(a, now, s);
		return;
	}
	s->pipe = ACC_PIPE_ASKED;
	s->row = s->row_busy = true;
	s->generation++;
	acc_session_tell(a, s, ACC_N_PUT);
}

/* What has waited may leave. */
static void release(struct access *a, struct acc_session *s)
{
	if (s->waiting)
		acc_queue_push(&a->out, &s->out);
}

static void listen_timer(struct access *a, struct acc_session *s, struct mono at)
{
	s->ra_at = at; /* nothing is advertised before the session is up */
	acc_session_timer(a, s);
}

/* The plane has answered, or has let go: ICCN leaves, and what of the row was put off is done. */
static void settled(struct access *a, struct mono now, struct acc_session *s)
{
	s->row_busy = false;
	iccn_go(a, now, s);
	if (s->pipe == ACC_PIPE_STANDS && s->dial && !s->row_again) {
		s->pipe = ACC_PIPE_LISTENS;
		listen_timer(a, s, mono_add(now, LISTEN_US));
	} else {
		release(a, s);
	}
	if (s->row_again)
		acc_session_want_row(a, now, s);
}

void acc_pipe_put_done(struct access *a, struct mono now, struct acc_session *s, int error)
{
	struct acc_call i = { .version = 2 };

	trace(a->trace, TRACE_ACCESS_ROW_DONE, now, s->key, DP_OP_PUT, s->generation);
	if (error) {
		s->row = s->put_told = false;
		s->pipe = ACC_PIPE_NONE;
		settled(a, now, s);
		return;
	}
	(void)acc_l2_call(a, s->tunnel->version, s->l2tp, &i);
	if (i.l2tp.data_nr == 0 && i.l2tp.data_ns == 0) {
		s->pipe = ACC_PIPE_STANDS;
		settled(a, now, s);
		return;
	}
	/* The kernel would take what follows for lost and late. */
	s->pipe = ACC_PIPE_LEAVES;
	s->row_busy = true;
	s->generation++;
	acc_session_tell(a, s, ACC_N_DEL);
}

void acc_pipe_del_done(struct access *a, struct mono now, struct acc_session *s)
{
	s->row = s->put_told = false;
	s->pipe = ACC_PIPE_NONE;
	settled(a, now, s);
}

void acc_pipe_heard(struct access *a, struct acc_session *s)
{
	s->pipe = ACC_PIPE_STANDS;
	listen_timer(a, s, MONO_NEVER);
	release(a, s);
}

/* ---- frames that wait ---- */

static bool holding(const struct acc_session *s)
{
	return s->pipe == ACC_PIPE_ASKED || s->pipe == ACC_PIPE_LISTENS ||
	       s->pipe == ACC_PIPE_LEAVES;
}

bool acc_pipe_holds(struct access *a, struct acc_session *s, const uint8_t *frame, size_t len,
		    bool priority)
{
	struct acc_waiting *w, **at = &s->waiting;

	if (!holding(s))
		return false;
	w = s->waiting_count < WAITING_MOST && len <= UINT16_MAX ? malloc(sizeof(*w) + len) : NULL;
	if (!w)
		return true; /* as if the network had lost it */
	w->next = NULL;
	w->len = (uint16_t)len;
	w->priority = priority;
	memcpy(w->bytes, frame, len);
	while (*at)
		at = &(*at)->next;
	*at = w;
	s->waiting_count++;
	a->bytes += sizeof(*w) + len;
	return true;
}

static size_t take(struct access *a, struct acc_session *s, uint8_t *buf, size_t cap,
		   bool *ret_priority)
{
	struct acc_waiting *w = s->waiting;
	size_t len = w->len <= cap ? w->len : 0;

	if (buf && len) {
		memcpy(buf, w->bytes, len);
		*ret_priority = w->priority;
	}
	s->waiting = w->next;
	s->waiting_count--;
	a->bytes -= sizeof(*w) + w->len;
	free(w);
	return len;
}

size_t acc_pipe_output(struct access *a, struct acc_session *s, uint8_t *buf, size_t cap,
		       bool *ret_priority)
{
	size_t len = 0;

	if (holding(s))
		return 0;
	while (s->waiting && !len)
		len = take(a, s, buf, cap, ret_priority);
	release(a, s);
	return len;
}

void acc_pipe_free(struct access *a, struct acc_session *s)
{
	while (s->waiting)
		take(a, s, NULL, 0, NULL);
}
