/* SPDX-License-Identifier: MIT
 *
 * See world3.h.
 */
#include "world3.h"
#include <errno.h>
#include "failmalloc.h"

/* The fail_at-th allocation from now on fails, once. */
static void enter(struct world3 *w)
{
	if (w->fail_at > 0)
		failmalloc_arm(w->fail_at);
}

static void leave(struct world3 *w)
{
	if (w->fail_at > 0) {
		w->full |= failmalloc_disarm();
		if (w->full)
			w->fail_at = 0;
	}
}

uint32_t world3_random(struct world3 *w, uint32_t n)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w->seed >> 33) % n;
}

void world3_params(struct world3_params *wp)
{
	*wp = (struct world3_params){ .seed = 1 };
	for (int i = 0; i < 2; i++) {
		wp->p[i] = (struct l2tp3_params){ .host_name = i ? "west" : "east",
						  .router_id = 0x01010100u + (uint32_t)i };
		wp->circuit[i] =
			(struct l2tp3_circuit){ .cookie_len = 8, .status = L2TP3_STATUS_ACTIVE };
	}
}

void world3_start(struct world3 *w, const struct world3_params *wp)
{
	int err = 0;

	memset(w, 0, sizeof(*w));
	w->seed = wp->seed * 77 + 5;
	w->now.us = 1000 * US_S;
	w->delay_us = 1000;
	for (int i = 0; i < 2; i++) {
		struct end3 *e = &w->e[i];

		e->w = w;
		e->index = i;
		e->circuit = wp->circuit[i];
		memset(e->config.seed, (int)wp->seed + i, sizeof(e->config.seed));
		e->addr = (struct addr){ .family = wp->v6 ? AF_INET6 : AF_INET,
					 .port = wp->ip ? 0 : L2TP_PORT };
		e->addr.ip[0] = wp->v6 ? 0x20 : 10;
		e->addr.ip[wp->v6 ? 15 : 3] = (uint8_t)(i + 1);
		e->profile = l2tp3_profile_new(&wp->p[i], &err);
		assert_non_null(e->profile);
		e->config.trace = wp->trace;
		e->l = l2tp3_new(&e->config);
		assert_non_null(e->l);
	}
}

static void records_free(struct record3 *r)
{
	while (r) {
		struct record3 *next = r->next;

		free(r->bytes);
		free(r);
		r = next;
	}
}

void world3_stop(struct world3 *w)
{
	for (int i = 0; i < 2; i++) {
		l2tp3_free(w->e[i].l);
		l2tp3_profile_unref(w->e[i].profile);
		records_free(w->e[i].records);
	}
	for (uint32_t i = 0; i < w->in_flight; i++)
		free(w->flight[i].bytes);
	w->in_flight = 0;
}

/* ---- the owner ---- */

int world3_do(struct world3 *w, int i, struct l2tp3_cmd *cmd)
{
	int rc;

	do {
		enter(w);
		rc = l2tp3_do(w->e[i].l, w->now, cmd);
		leave(w);
	} while (rc == -ENOMEM);
	return rc;
}

static void answer(struct end3 *e, const struct l2tp3_event *ev)
{
	struct l2tp3_cmd cmd = { .conn = ev->conn, .session = ev->session };

	if (ev->kind == L2TP3_EV_CONN_ASK) {
		cmd.kind = e->refuse_conn ? L2TP3_CMD_CONN_REFUSE : L2TP3_CMD_CONN_ACCEPT;
		cmd.profile = e->profile;
		cmd.owner = 70;
		cmd.text = "not today";
	} else if (ev->kind == L2TP3_EV_SESSION_ASK) {
		cmd.kind = e->refuse_session ? L2TP3_CMD_SESSION_REFUSE : L2TP3_CMD_SESSION_ACCEPT;
		cmd.owner = 80;
		cmd.circuit = e->circuit;
		cmd.result = e->refuse_session ? L2TP3_CDN_NO_FORWARDER : 0;
	} else {
		cmd.kind = L2TP3_CMD_CONN_HEARD;
	}
	assert_int_equal(world3_do(e->w, e->index, &cmd), 0);
	if (ev->kind == L2TP3_EV_SESSION_ASK && ev->outgoing && !e->refuse_session) {
		cmd.kind = L2TP3_CMD_SESSION_ANSWERED;
		cmd.status = e->circuit.status;
		assert_int_equal(world3_do(e->w, e->index, &cmd), 0);
	}
}

static void owner_hears(struct end3 *e, const struct l2tp3_event *ev)
{
	e->count[ev->kind]++;
	e->last[ev->kind] = *ev;
	snprintf(e->text[ev->kind], L2TP_TEXT_MAX, "%s", ev->text);
	if (ev->kind == L2TP3_EV_CONN_ASK)
		e->conn = ev->conn;
	if (ev->kind == L2TP3_EV_SESSION_ASK) {
		e->session = ev->session;
		if (ev->remote_end_id_len)
			memcpy(e->end_id, ev->remote_end_id, ev->remote_end_id_len);
	}
	if (!e->mute && (ev->kind == L2TP3_EV_CONN_ASK || ev->kind == L2TP3_EV_SESSION_ASK ||
			 ev->kind == L2TP3_EV_CONN_QUIET))
		answer(e, ev);
}

/* ---- records ---- */

static void record_write(struct end3 *e, enum l2tp3_object kind, adit_handle h, bool gone)
{
	size_t cap = kind == L2TP3_OBJ_CONN ? L2TP3_SAVE_CONN_MAX : L2TP3_SAVE_SESSION_MAX;
	struct record3 **at = &e->records, *r;
	uint8_t buf[L2TP3_SAVE_CONN_MAX];
	struct wcur c = wcur_of(buf, cap);

	while (*at && ((*at)->kind != kind || (*at)->handle != h))
		at = &(*at)->next;
	r = *at;
	if (gone) {
		assert_non_null(r);
		*at = r->next;
		free(r->bytes);
		free(r);
		return;
	}
	l2tp3_save(e->l, kind, h, &c);
	assert_false(c.bad);
	assert_true(c.len > 0);
	if (!r) {
		r = calloc(1, sizeof(*r));
		assert_non_null(r);
		*r = (struct record3){ .kind = kind, .handle = h, .next = e->records };
		e->records = r;
	}
	r->bytes = realloc(r->bytes, c.len);
	assert_non_null(r->bytes);
	memcpy(r->bytes, buf, c.len);
	r->len = c.len;
}

/* What is brought back has its record under its new handle. */
static void load_kind(struct world3 *w, struct end3 *e, struct record3 **old,
		      enum l2tp3_object kind)
{
	while (*old) {
		struct record3 *r = *old;
		struct rcur c = rcur_of(r->bytes, r->len);
		adit_handle h;
		int rc;

		if (r->kind != kind) {
			old = &r->next;
			continue;
		}
		*old = r->next;
		if (kind == L2TP3_OBJ_CONN)
			rc = l2tp3_load_conn(e->l, w->now, &c, e->profile, 71, &h);
		else
			rc = l2tp3_load_session(e->l, w->now, &c, 81, &h);
		assert_true(rc >= 0);
		if (rc) {
			free(r->bytes);
			free(r);
			continue;
		}
		r->handle = h;
		r->next = e->records;
		e->records = r;
		if (kind == L2TP3_OBJ_CONN)
			e->conn = h;
		else
			e->session = h;
	}
}

void world3_restart(struct world3 *w, int i)
{
	struct end3 *e = &w->e[i];
	struct record3 *old = e->records;

	l2tp3_free(e->l);
	e->config.seed[0] ^= 0x55;
	e->config.seed[1]++;
	e->l = l2tp3_new(&e->config);
	assert_non_null(e->l);
	e->records = NULL;
	load_kind(w, e, &old, L2TP3_OBJ_CONN);
	load_kind(w, e, &old, L2TP3_OBJ_SESSION);
	world3_drain(w, i);
}

/* ---- the network ---- */

struct path world3_path(const struct world3 *w, int i)
{
	return (struct path){ .via = 1, .local = w->e[i].addr, .remote = w->e[1 - i].addr };
}

static void launch(struct world3 *w, const struct path *path, const uint8_t *bytes, size_t len,
		   int64_t extra_us)
{
	struct packet3 *p;

	assert_true(w->in_flight < W3_FLIGHT);
	p = &w->flight[w->in_flight++];
	p->at = (uint64_t)(w->now.us + w->delay_us + extra_us);
	p->path = *path;
	p->len = len;
	p->bytes = malloc(len);
	assert_non_null(p->bytes);
	memcpy(p->bytes, bytes, len);
}

static void transmit(struct world3 *w, const struct path *path, const uint8_t *bytes, size_t len)
{
	if (w->loss && world3_random(w, 100) < w->loss)
		return;
	if (w->dup && world3_random(w, 100) < w->dup)
		launch(w, path, bytes, len, world3_random(w, 50000));
	launch(w, path, bytes, len,
	       w->reorder && world3_random(w, 100) < w->reorder ? world3_random(w, 200000) : 0);
}

void world3_drain(struct world3 *w, int i)
{
	struct end3 *e = &w->e[i];
	enum l2tp3_object kind;
	struct l2tp3_event ev;
	struct path path;
	adit_handle h;
	bool gone;
	size_t n;

	while (l2tp3_event(e->l, &ev))
		owner_hears(e, &ev);
	while (l2tp3_dirty(e->l, &kind, &h, &gone))
		record_write(e, kind, h, gone);
	while ((n = l2tp3_output(e->l, w->now, e->out, sizeof(e->out), &path))) {
		e->sent++;
		e->out_len = n;
		transmit(w, &path, e->out, n);
	}
}

int world3_inject(struct world3 *w, int to, const struct path *path, const uint8_t *bytes,
		  size_t len)
{
	struct end3 *e = &w->e[to];
	uint8_t *copy = malloc(len ? len : 1); /* exact, so that a read past the end is seen */
	struct l2tp3_frame f;
	int rc;

	assert_non_null(copy);
	if (len)
		memcpy(copy, bytes, len);
	enter(w);
	rc = l2tp3_input(e->l, w->now, path, copy, len, &f);
	leave(w);
	assert_true(rc >= 0 || (rc == -ENOMEM && w->full));
	if (rc == L2TP3_IN_FRAME) {
		e->frames++;
		e->frame_len = f.len < sizeof(e->frame) ? f.len : sizeof(e->frame);
		memcpy(e->frame, copy + f.off, e->frame_len);
	}
	if (rc == L2TP3_IN_LOST) {
		enter(w);
		assert_true(l2tp3_tell_lost(e->l, path, copy, len, NULL) == 0 || w->full);
		leave(w);
	}
	free(copy);
	world3_drain(w, to);
	return rc;
}

static bool deliver_one(struct world3 *w)
{
	uint32_t best = w->in_flight;
	struct packet3 p;
	struct path path;

	for (uint32_t i = 0; i < w->in_flight; i++) {
		if (w->flight[i].at <= (uint64_t)w->now.us &&
		    (best == w->in_flight || w->flight[i].at < w->flight[best].at))
			best = i;
	}
	if (best == w->in_flight)
		return false;
	p = w->flight[best];
	memmove(&w->flight[best], &w->flight[best + 1], (--w->in_flight - best) * sizeof(p));
	path = (struct path){ .via = p.path.via, .local = p.path.remote, .remote = p.path.local };
	w->steps++;
	for (int i = 0; i < 2; i++) {
		if (addr_same_ip(&w->e[i].addr, &path.local))
			world3_inject(w, i, &path, p.bytes, p.len);
	}
	free(p.bytes);
	return true;
}

void world3_run(struct world3 *w, int64_t us)
{
	struct mono end = mono_add(w->now, us);

	for (;;) {
		struct mono next = end;

		while (deliver_one(w))
			;
		for (int i = 0; i < 2; i++)
			next = mono_min(next, l2tp3_deadline(w->e[i].l));
		for (uint32_t i = 0; i < w->in_flight; i++)
			next = mono_min(next, (struct mono){ (int64_t)w->flight[i].at });
		if (next.us > w->now.us)
			w->now = next;
		for (int i = 0; i < 2; i++) {
			if (mono_due(l2tp3_deadline(w->e[i].l), w->now)) {
				l2tp3_expire(w->e[i].l, w->now);
				world3_drain(w, i);
			}
		}
		if (w->now.us >= end.us)
			return;
	}
}

/* ---- what an owner does ---- */

adit_handle world3_dial(struct world3 *w, int i)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_OPEN,
				 .owner = 7,
				 .profile = w->e[i].profile,
				 .path = world3_path(w, i) };

	assert_int_equal(world3_do(w, i, &cmd), 0);
	world3_drain(w, i);
	return cmd.ret_handle;
}

adit_handle world3_session(struct world3 *w, int i, adit_handle conn, const char *end)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_OPEN,
				 .conn = conn,
				 .owner = 8,
				 .pw_type = L2TP3_PW_ETHERNET,
				 .remote_end_id = end,
				 .remote_end_id_len = (uint8_t)strlen(end),
				 .circuit = w->e[i].circuit };

	assert_int_equal(world3_do(w, i, &cmd), 0);
	world3_drain(w, i);
	return cmd.ret_handle;
}

bool world3_frame(struct world3 *w, int i, adit_handle session, const char *text)
{
	uint8_t buf[L2TP_HEADROOM + 64];
	size_t len = strlen(text), head;
	struct path path;

	memcpy(buf + L2TP_HEADROOM, text, len);
	head = l2tp3_wrap(w->e[i].l, session, buf + L2TP_HEADROOM, len, &path);
	if (head)
		launch(w, &path, buf + L2TP_HEADROOM - head, head + len, 0);
	return head;
}

uint32_t world3_sessions(struct world3 *w, int i, enum l2tp3_session_state state)
{
	struct l2tp3_session_info info;
	uint32_t n = 0;

	for (adit_handle h = l2tp3_session_next(w->e[i].l, 0, 0); h;
	     h = l2tp3_session_next(w->e[i].l, 0, h))
		n += l2tp3_session_info(w->e[i].l, h, &info) && info.state == state;
	return n;
}

uint32_t world3_conns(struct world3 *w, int i, enum l2tp3_conn_state state)
{
	struct l2tp3_conn_info info;
	uint32_t n = 0;

	for (adit_handle h = l2tp3_conn_next(w->e[i].l, 0); h; h = l2tp3_conn_next(w->e[i].l, h))
		n += l2tp3_conn_info(w->e[i].l, h, &info) && info.state == state;
	return n;
}
