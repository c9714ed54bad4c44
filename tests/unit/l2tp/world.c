/* SPDX-License-Identifier: MIT
 *
 * See world.h.
 */
#include "world.h"
#include "failmalloc.h"
#include <errno.h>

static long entered;

void world_enter(struct world *w)
{
	entered = failmalloc_count();
	if (w->fail_at > 0 && w->fail_all)
		failmalloc_arm_from(w->fail_at);
	else if (w->fail_at > 0)
		failmalloc_arm(w->fail_at);
}

void world_leave(struct world *w)
{
	bool failed = failmalloc_disarm();

	w->failed += failed;
	if (w->fail_at > 0)
		w->fail_at -= failmalloc_count() - entered;
	if (w->fail_at <= 0)
		w->fail_at = w->fail_all;
}

uint32_t world_random(struct world *w, uint32_t n)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w->seed >> 33) % n;
}

void world_params(struct world_params *wp)
{
	*wp = (struct world_params){ .seed = 1 };
	wp->p[0] = (struct l2tp_params){ .host_name = "lac" };
	wp->p[1] = (struct l2tp_params){ .host_name = "lns" };
}

static void end_start(struct end *e)
{
	e->l = l2tp_new(&e->config);
	assert_non_null(e->l);
}

void world_start(struct world *w, const struct world_params *wp)
{
	int err = 0;

	memset(w, 0, sizeof(*w));
	w->seed = wp->seed * 77 + 5;
	w->now.us = 1000 * US_S;
	for (int i = 0; i < WORLD_ENDS; i++) {
		struct end *e = &w->e[i];

		e->w = w;
		e->index = i;
		e->journal = true;
		memset(e->config.seed, (int)wp->seed + i, sizeof(e->config.seed));
		e->addr = (struct addr){ .family = AF_INET, .port = L2TP_PORT };
		e->addr.ip[0] = 10;
		e->addr.ip[3] = (uint8_t)(i + 1);
		e->profile = l2tp_profile_new(&wp->p[i], &err);
		assert_non_null(e->profile);
		end_start(e);
	}
}

static void records_free(struct end *e)
{
	while (e->records) {
		struct record *r = e->records;

		e->records = r->next;
		free(r->bytes);
		free(r);
	}
}

void world_stop(struct world *w)
{
	for (int i = 0; i < WORLD_ENDS; i++) {
		l2tp_free(w->e[i].l);
		l2tp_profile_unref(w->e[i].profile);
		records_free(&w->e[i]);
	}
	for (uint32_t i = 0; i < w->in_flight; i++)
		free(w->flight[i].bytes);
	w->in_flight = 0;
}

/* ---- the owner ---- */

int world_do(struct world *w, int i, struct l2tp_cmd *cmd)
{
	int rc;

	world_enter(w);
	rc = l2tp_do(w->e[i].l, w->now, cmd);
	world_leave(w);
	return rc;
}

static void owner_hears(struct end *e, const struct l2tp_event *ev)
{
	struct l2tp_cmd cmd = { .tunnel = ev->tunnel, .session = ev->session };
	struct world *w = e->w;
	int rc;

	e->count[ev->kind]++;
	e->last[ev->kind] = *ev;
	if (ev->text)
		snprintf(e->text[ev->kind], L2TP_TEXT_MAX, "%s", ev->text);
	switch (ev->kind) {
	case L2TP_EV_TUNNEL_ASK:
		e->tunnel = ev->tunnel;
		if (e->mute)
			return;
		cmd.kind = e->refuse_tunnel ? L2TP_CMD_TUNNEL_REFUSE : L2TP_CMD_TUNNEL_ACCEPT;
		cmd.profile = e->profile;
		cmd.owner = 70;
		cmd.text = "not today";
		do
			rc = world_do(w, e->index, &cmd);
		while (rc == -ENOMEM && !w->fail_all);
		assert_true(rc == 0 || rc == -ENOMEM);
		break;
	case L2TP_EV_SESSION_ASK:
		e->session = ev->session;
		snprintf(e->calling, sizeof(e->calling), "%s", ev->calling ? ev->calling : "");
		if (e->mute)
			return;
		cmd.kind = e->refuse_session ? L2TP_CMD_SESSION_REFUSE : L2TP_CMD_SESSION_ACCEPT;
		cmd.owner = 80;
		cmd.result = e->refuse_session ? L2TP_CDN_BUSY : 0;
		do
			rc = world_do(w, e->index, &cmd);
		while (rc == -ENOMEM && !w->fail_all);
		assert_true(rc == 0 || rc == -ENOMEM);
		break;
	case L2TP_EV_TUNNEL_QUIET:
		if (e->mute)
			return;
		cmd.kind = L2TP_CMD_TUNNEL_HEARD;
		world_do(w, e->index, &cmd);
		break;
	case L2TP_EV_TUNNEL_UP:
	case L2TP_EV_TUNNEL_DOWN:
	case L2TP_EV_SESSION_UP:
	case L2TP_EV_SESSION_ACCM:
	case L2TP_EV_SESSION_ERRORS:
	case L2TP_EV_SESSION_DOWN:
		break;
	}
}

/* ---- records ---- */

static struct record **record_at(struct end *e, enum l2tp_object kind, adit_handle h)
{
	struct record **at = &e->records;

	while (*at && ((*at)->kind != kind || (*at)->handle != h))
		at = &(*at)->next;
	return at;
}

static void record_write(struct end *e, enum l2tp_object kind, adit_handle h, bool gone)
{
	size_t cap = kind == L2TP_OBJ_TUNNEL ? L2TP_SAVE_TUNNEL_MAX : L2TP_SAVE_SESSION_MAX;
	struct record **at = record_at(e, kind, h), *r = *at;
	uint8_t buf[L2TP_SAVE_TUNNEL_MAX];
	struct wcur c = wcur_of(buf, cap);

	if (gone) {
		assert_non_null(r);
		*at = r->next;
		free(r->bytes);
		free(r);
		return;
	}
	l2tp_save(e->l, kind, h, &c);
	assert_false(c.bad);
	assert_true(c.len > 0);
	if (!r) {
		r = calloc(1, sizeof(*r));
		assert_non_null(r);
		r->kind = kind;
		r->handle = h;
		r->next = e->records;
		e->records = r;
	}
	r->bytes = realloc(r->bytes, c.len);
	assert_non_null(r->bytes);
	memcpy(r->bytes, buf, c.len);
	r->len = c.len;
}

void world_restart(struct world *w, int i)
{
	struct end *e = &w->e[i];
	struct record **at, *r, *old = e->records;
	adit_handle h;

	l2tp_free(e->l);
	e->config.seed[0] ^= 0x55;
	e->config.seed[1]++;
	end_start(e);
	e->records = NULL;
	for (int kind = L2TP_OBJ_TUNNEL; kind <= L2TP_OBJ_SESSION; kind++) {
		for (at = &old; (r = *at);) {
			struct rcur c = rcur_of(r->bytes, r->len);
			int rc = 0;

			if (r->kind != (enum l2tp_object)kind) {
				at = &r->next;
				continue;
			}
			*at = r->next;
			if (kind == L2TP_OBJ_TUNNEL)
				rc = l2tp_load_tunnel(e->l, w->now, &c, e->profile, 71, &h);
			else
				rc = l2tp_load_session(e->l, w->now, &c, 81, &h);
			assert_true(rc >= 0);
			if (rc) {
				free(r->bytes);
				free(r);
				continue;
			}
			r->handle = h; /* what is brought back has its record under it */
			r->next = e->records;
			e->records = r;
		}
	}
	world_drain(w, i);
}

/* ---- the network ---- */

static void launch(struct world *w, int from, const struct path *path, const uint8_t *bytes,
		   size_t len, uint32_t extra_ms)
{
	struct packet *p;

	assert_true(w->in_flight < WORLD_FLIGHT);
	p = &w->flight[w->in_flight++];
	p->from = from;
	p->at = (uint32_t)(w->now.us / 1000) + w->delay_ms + extra_ms;
	p->path = *path;
	p->len = len;
	p->bytes = malloc(len);
	assert_non_null(p->bytes);
	memcpy(p->bytes, bytes, len);
}

static void transmit(struct world *w, int from, const struct path *path, const uint8_t *bytes,
		     size_t len)
{
	if (w->loss && world_random(w, 100) < w->loss) {
		w->lost++;
		return;
	}
	if (w->dup && world_random(w, 100) < w->dup)
		launch(w, from, path, bytes, len, world_random(w, 50));
	launch(w, from, path, bytes, len,
	       w->reorder && world_random(w, 100) < w->reorder ? world_random(w, 200) : 0);
}

static bool next_event(struct end *e, struct l2tp_event *ev)
{
	bool more;

	world_enter(e->w);
	more = l2tp_event(e->l, ev);
	world_leave(e->w);
	return more;
}

static bool next_dirty(struct end *e, enum l2tp_object *kind, adit_handle *h, bool *gone)
{
	bool more;

	world_enter(e->w);
	more = l2tp_dirty(e->l, kind, h, gone);
	world_leave(e->w);
	return more;
}

void world_drain(struct world *w, int i)
{
	struct end *e = &w->e[i];
	uint8_t buf[L2TP_CONTROL_MAX];
	struct l2tp_event ev;
	struct path path;
	enum l2tp_object kind;
	adit_handle h;
	bool gone;
	size_t n;

	while (next_event(e, &ev))
		owner_hears(e, &ev);
	while (e->journal && next_dirty(e, &kind, &h, &gone))
		record_write(e, kind, h, gone);
	for (;;) {
		world_enter(w);
		n = l2tp_output(e->l, w->now, buf, sizeof(buf), &path);
		world_leave(w);
		if (!n)
			break;
		e->sent++;
		e->sent_zlb += n == 12;
		transmit(w, i, &path, buf, n);
	}
	assert_false(l2tp_event(e->l, &ev));
}

void world_inject(struct world *w, int to, const struct path *path, const uint8_t *bytes,
		  size_t len)
{
	struct path elsewhere = *path;
	struct end *e = &w->e[to];
	struct l2tp_frame f;
	uint8_t *copy = malloc(len ? len : 1); /* exact, so that a read past the end is seen */
	int rc;

	assert_non_null(copy);
	if (len)
		memcpy(copy, bytes, len);
	elsewhere.via++;
	assert_in_range(l2tp_via(e->l, &elsewhere, copy, len), 0, path->via);
	world_enter(w);
	rc = l2tp_input(e->l, w->now, path, copy, len, &f);
	world_leave(w);
	assert_true(rc >= 0 || (rc == -ENOMEM && w->failed));
	if (rc == L2TP_IN_FRAME) {
		e->frames++;
		e->frame_len = f.len < sizeof(e->frame) ? f.len : sizeof(e->frame);
		memcpy(e->frame, copy + f.off, e->frame_len);
	}
	free(copy);
	world_drain(w, to);
}

/* Whose address it is; -1 when nobody's. */
static int whose(const struct world *w, const struct addr *a)
{
	for (int i = 0; i < WORLD_ENDS; i++) {
		if (addr_same_ip(&w->e[i].addr, a))
			return i;
	}
	return -1;
}

static bool deliver_one(struct world *w)
{
	uint32_t now_ms = (uint32_t)(w->now.us / 1000), best = w->in_flight;
	struct packet p;
	struct path path;
	int to;

	for (uint32_t i = 0; i < w->in_flight; i++) {
		if (w->flight[i].at <= now_ms &&
		    (best == w->in_flight || w->flight[i].at < w->flight[best].at))
			best = i;
	}
	if (best == w->in_flight)
		return false;
	p = w->flight[best];
	w->in_flight--;
	memmove(&w->flight[best], &w->flight[best + 1],
		(w->in_flight - best) * sizeof(w->flight[0]));
	to = whose(w, &p.path.remote);
	path = (struct path){ .via = 1, .local = p.path.remote, .remote = p.path.local };
	if (to >= 0)
		world_inject(w, to, &path, p.bytes, p.len);
	free(p.bytes);
	return true;
}

void world_run(struct world *w, int64_t us)
{
	struct mono end = mono_add(w->now, us);

	for (;;) {
		struct mono next = end;

		while (deliver_one(w))
			;
		for (int i = 0; i < WORLD_ENDS; i++)
			next = mono_min(next, l2tp_deadline(w->e[i].l));
		for (uint32_t i = 0; i < w->in_flight; i++)
			next = mono_min(next, (struct mono){ (int64_t)w->flight[i].at * 1000 });
		if (next.us > w->now.us)
			w->now = next;
		for (int i = 0; i < WORLD_ENDS; i++) {
			if (mono_due(l2tp_deadline(w->e[i].l), w->now)) {
				world_enter(w);
				l2tp_expire(w->e[i].l, w->now);
				world_leave(w);
				world_drain(w, i);
			}
		}
		if (w->now.us >= end.us && !w->in_flight)
			return;
		if (w->now.us >= end.us) {
			bool due = false;

			for (uint32_t i = 0; i < w->in_flight; i++)
				due |= w->flight[i].at <= (uint32_t)(w->now.us / 1000);
			if (!due)
				return;
		}
	}
}

/* ---- what an owner does ---- */

adit_handle world_dial(struct world *w, int i)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_OPEN,
				.owner = 7,
				.profile = w->e[i].profile };
	int rc;

	cmd.path = (struct path){ .via = 1, .local = w->e[i].addr, .remote = w->e[1 - i].addr };
	while ((rc = world_do(w, i, &cmd)) == -ENOMEM && !w->fail_all)
		;
	assert_true(rc == 0 || rc == -ENOMEM);
	w->e[i].tunnel = cmd.ret_handle;
	world_drain(w, i);
	return cmd.ret_handle;
}

adit_handle world_call(struct world *w, int i, adit_handle tunnel)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN,
				.tunnel = tunnel,
				.owner = 8,
				.calling = "0301234",
				.called = "world" };
	int rc;

	while ((rc = world_do(w, i, &cmd)) == -ENOMEM && !w->fail_all)
		;
	assert_true(rc >= 0 || rc == -ENOMEM);
	w->e[i].session = cmd.ret_handle;
	world_drain(w, i);
	return cmd.ret_handle;
}

bool world_frame(struct world *w, int i, adit_handle session, const char *text)
{
	uint8_t buf[L2TP_HEADROOM + 256];
	size_t len = strlen(text), head;
	struct path path;

	memcpy(buf + L2TP_HEADROOM, text, len);
	head = l2tp_wrap(w->e[i].l, session, buf + L2TP_HEADROOM, len, false, &path);
	if (head)
		transmit(w, i, &path, buf + L2TP_HEADROOM - head, head + len);
	return head > 0;
}

uint32_t world_sessions(struct world *w, int i, enum l2tp_session_state state)
{
	struct l2tp_session_info info;
	uint32_t n = 0;

	for (adit_handle h = l2tp_session_next(w->e[i].l, 0, 0); h;
	     h = l2tp_session_next(w->e[i].l, 0, h)) {
		assert_true(l2tp_session_info(w->e[i].l, h, &info));
		n += info.state == state;
	}
	return n;
}

uint32_t world_tunnels(struct world *w, int i, enum l2tp_tunnel_state state)
{
	struct l2tp_tunnel_info info;
	uint32_t n = 0;

	for (adit_handle h = l2tp_tunnel_next(w->e[i].l, 0); h;
	     h = l2tp_tunnel_next(w->e[i].l, h)) {
		assert_true(l2tp_tunnel_info(w->e[i].l, h, &info));
		n += info.state == state;
	}
	return n;
}
