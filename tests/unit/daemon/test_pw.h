/* SPDX-License-Identifier: MIT
 *
 * Two sides with pseudowires, a net that loses datagrams, and data planes that are lists of rows;
 * a test may have planes of its own behind these lists.
 */
#ifndef TEST_PW_H
#define TEST_PW_H

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/wire.h"
#include "daemon/conf.h"
#include "dp/dp.h"

#define ROWS	4
#define RECORDS 16
#define FLYING	64

struct side_row {
	uint64_t key;
	struct dp_row row;
};

struct record {
	enum pw_object kind;
	uint64_t id;
	size_t len;
	uint8_t bytes[PW_SAVE_CONN_MAX];
};

/* A plane behind a list of rows, each call until it is carried out. `put` gives the error. */
struct side_plane {
	int (*put)(void *arg, uint64_t key, uint32_t generation, const struct dp_row *row);
	void (*del)(void *arg, uint64_t key, uint32_t generation);
	void (*tunnel)(void *arg, const struct dp_tunnel *t);
	void (*tunnel_del)(void *arg, uint32_t local);
	void *arg;
};

struct side {
	struct pw *pw;
	struct conf *conf;
	struct addr addr;
	uint32_t via;			/* of its socket */
	const struct side_plane *plane; /* NULL = the list alone */
	struct side_row rows[ROWS];
	size_t row_count;
	struct record *records;
	size_t record_count;
	int put_error;
	bool no_route;	    /* the resolver finds no way to anybody */
	struct addr failed; /* whom the last end of a pseudowire was told of */
	uint32_t told;	    /* ends of pseudowires that had been up, by the peer's word */
	uint32_t starts;
	uint32_t drain_rate; /* a successor is told of it, as by the daemon from its STATE record */
};

struct datagram {
	int to;
	struct path path;
	struct mono at;
	size_t len;
	uint8_t bytes[PW_PACKET_MAX];
};

struct world {
	struct side side[2];
	struct mono now;
	struct datagram *flying;
	size_t flying_count;
	uint32_t seed, loss; /* percent */
	uint32_t downs;	     /* of pseudowires that had been up */
	size_t want_rows;
};

static inline struct conf *conf_of(const char *text)
{
	char err[CONF_ERR_MAX] = "";
	struct conf *c = conf_parse(text, "test.conf", 0, err, sizeof(err));

	if (!c)
		fail_msg("%s in %s", err, text);
	return c;
}

static inline uint32_t roll(struct world *w)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return w->seed >> 8;
}

static inline void side_open(struct world *w, int n)
{
	struct side *s = w->side + n;
	struct pw_config config = { .incarnation = 1 };
	struct pw_cmd cmd = { .kind = PW_CMD_CONF, .conf = s->conf->pw };

	config.seed[0] = (uint8_t)(n + 1);
	config.seed[1] = (uint8_t)w->seed;
	config.seed[2] = (uint8_t)++s->starts;
	s->pw = pwe_new(&config);
	assert_non_null(s->pw);
	assert_int_equal(pwe_do(s->pw, w->now, &cmd), 0);
	cmd = (struct pw_cmd){ .kind = PW_CMD_DRAIN, .up = true, .rate = s->drain_rate };
	if (s->drain_rate)
		assert_int_equal(pwe_do(s->pw, w->now, &cmd), 0);
}

/* The addresses are of the family of the first one's peer. */
static inline void world_open(struct world *w, const char *a, const char *b)
{
	static const char *const addrs[2][2] = { { "192.0.2.1", "192.0.2.2" },
						 { "2001:db8::1", "2001:db8::2" } };
	bool v6;

	memset(w, 0, sizeof(*w));
	w->now.us = 1000 * US_S;
	w->seed = 1;
	w->want_rows = 1;
	w->flying = calloc(FLYING, sizeof(*w->flying));
	w->side[0].conf = conf_of(a);
	w->side[1].conf = conf_of(b);
	v6 = w->side[0].conf->sockets[0].addr.family == AF_INET6;
	for (int n = 0; n < 2; n++) {
		assert_int_equal(addr_parse(addrs[v6][n], &w->side[n].addr), 0);
		w->side[n].via = w->side[n].conf->sockets[0].via;
		w->side[n].records = calloc(RECORDS, sizeof(struct record));
		side_open(w, n);
	}
}

static inline void world_close(struct world *w)
{
	for (int n = 0; n < 2; n++) {
		pwe_free(w->side[n].pw);
		conf_free(w->side[n].conf);
		free(w->side[n].records);
	}
	free(w->flying);
}

/* ---- the data plane ---- */

static inline struct side_row *row_at(struct side *s, uint64_t key)
{
	for (size_t i = 0; i < s->row_count; i++)
		if (s->rows[i].key == key)
			return s->rows + i;
	return NULL;
}

static inline struct side_row *row_of(struct side *s, const char *ifname)
{
	for (size_t i = 0; i < s->row_count; i++)
		if (strcmp(s->rows[i].row.ifname, ifname) == 0)
			return s->rows + i;
	return NULL;
}

static inline void plane_put(struct world *w, struct side *s, const struct pw_event *ev)
{
	struct dp_done done = { .op = DP_OP_PUT, .key = ev->key, .generation = ev->generation };
	struct pw_cmd cmd = { .kind = PW_CMD_DP_DONE, .done = &done };
	struct side_row *r = row_at(s, ev->key);

	assert_true(dp_row_ok(ev->row));
	done.error = s->put_error;
	if (s->plane)
		done.error = s->plane->put(s->plane->arg, ev->key, ev->generation, ev->row);
	if (!done.error && !r) {
		/* the interface of a former row is gone before it is made again */
		assert_null(row_of(s, ev->row->ifname));
		assert_true(s->row_count < ROWS);
		r = s->rows + s->row_count++;
		r->key = ev->key;
	}
	if (r)
		r->row = *ev->row;
	pwe_do(s->pw, w->now, &cmd);
}

static inline void plane_del(struct world *w, struct side *s, const struct pw_event *ev)
{
	struct dp_done done = { .op = DP_OP_DEL, .key = ev->key, .generation = ev->generation };
	struct pw_cmd cmd = { .kind = PW_CMD_DP_DONE, .done = &done };
	struct side_row *r = row_at(s, ev->key);

	if (s->plane)
		s->plane->del(s->plane->arg, ev->key, ev->generation);
	if (r) {
		memmove(r, r + 1, (size_t)(s->rows + s->row_count - r - 1) * sizeof(*r));
		s->row_count--;
	}
	pwe_do(s->pw, w->now, &cmd);
}

static inline void resolve(struct world *w, struct side *s, const struct pw_event *ev)
{
	struct pw_cmd cmd = { .kind = PW_CMD_RESOLVED };
	struct path path = { .local = s->addr };
	char name[CONF_NAME];

	snprintf(name, sizeof(name), "%s", ev->name);
	assert_int_equal(addr_parse(ev->host, &path.remote), 0);
	path.via = path.remote.family == AF_INET ? ev->via4 : ev->via6;
	path.remote.port = path.local.port = ev->port;
	cmd.name = name;
	cmd.implied = ev->implied;
	cmd.paths = &path;
	cmd.path_count = !s->no_route;
	cmd.cause = ADIT_CAUSE_UNREACHABLE;
	pwe_do(s->pw, w->now, &cmd);
}

static inline void plane_tunnel(struct side *s, uint32_t local)
{
	struct dp_tunnel t = { .version = 3, .local = local };
	struct pw_tunnel_info i;

	if (!s->plane || !pwe_tunnel(s->pw, local, &i))
		return;
	t.want = i.plane;
	t.remote = i.l2tp.remote_id;
	t.path = i.l2tp.path;
	t.encap = i.l2tp.over_ip ? DP_ENCAP_IP : DP_ENCAP_UDP;
	s->plane->tunnel(s->plane->arg, &t);
}

static inline void take_events(struct world *w, struct side *s)
{
	struct pw_event ev;

	while (pwe_event(s->pw, w->now, &ev)) {
		switch (ev.kind) {
		case PW_EV_DP_PUT:
			plane_put(w, s, &ev);
			break;
		case PW_EV_DP_DEL:
			plane_del(w, s, &ev);
			break;
		case PW_EV_RESOLVE:
			resolve(w, s, &ev);
			break;
		case PW_EV_DOWN:
			w->downs += ev.established;
			s->failed = ev.remote;
			s->told += ev.established && ev.by_peer;
			break;
		case PW_EV_TUNNEL_UP:
			plane_tunnel(s, ev.tunnel);
			break;
		case PW_EV_TUNNEL_DOWN:
			if (s->plane)
				s->plane->tunnel_del(s->plane->arg, ev.tunnel);
			break;
		case PW_EV_NO_CIRCUIT:
		case PW_EV_UP:
		case PW_EV_CIRCUIT:
			break;
		}
	}
}

/* ---- the journal ---- */

static inline void take_records(struct side *s)
{
	enum pw_object kind;
	uint64_t id;
	bool gone;

	while (pwe_dirty(s->pw, &kind, &id, &gone)) {
		struct record *r = s->records;
		struct wcur c;

		while (r < s->records + s->record_count && (r->kind != kind || r->id != id))
			r++;
		if (gone) {
			if (r == s->records + s->record_count)
				continue;
			memmove(r, r + 1,
				(size_t)(s->records + s->record_count - r - 1) * sizeof(*r));
			s->record_count--;
			continue;
		}
		if (r == s->records + s->record_count) {
			assert_true(s->record_count < RECORDS);
			s->record_count++;
		}
		c = wcur_of(r->bytes, sizeof(r->bytes));
		pwe_save(s->pw, kind, id, &c);
		assert_false(c.bad);
		r->kind = kind;
		r->id = id;
		r->len = c.len;
	}
}

/* ---- the net ---- */

static inline void drain(struct world *w, int n)
{
	struct side *s = w->side + n;
	struct datagram d;

	take_events(w, s);
	take_records(s);
	while ((d.len = pwe_output(s->pw, w->now, d.bytes, sizeof(d.bytes), &d.path)) > 0) {
		if (roll(w) % 100 < w->loss)
			continue;
		assert_true(w->flying_count < FLYING);
		d.to = !n;
		d.at = mono_add(w->now, (int64_t)(1 + roll(w) % 30) * US_MS);
		w->flying[w->flying_count++] = d;
	}
}

static inline void deliver(struct world *w)
{
	for (size_t i = 0; i < w->flying_count;) {
		struct datagram d = w->flying[i];
		struct side *s = w->side + d.to;
		struct path path = { .local = d.path.remote, .remote = d.path.local };

		if (!mono_due(d.at, w->now)) {
			i++;
			continue;
		}
		w->flying[i] = w->flying[--w->flying_count];
		path.via = s->via;
		assert_int_equal(pwe_input(s->pw, w->now, &path, d.bytes, d.len), 0);
		drain(w, d.to);
	}
}

static inline bool never(struct world *w)
{
	return false;
}

static inline bool up_everywhere(struct world *w)
{
	struct pw_wire_info i;

	for (int n = 0; n < 2; n++) {
		if (w->side[n].row_count != w->want_rows)
			return false;
		for (size_t k = 0; pwe_wire(w->side[n].pw, k, &i); k++)
			if (!i.up)
				return false;
	}
	/* and both mean the same sessions: not one of before */
	for (size_t k = 0; k < w->want_rows; k++) {
		const struct dp_row *a = &w->side[0].rows[k].row, *b;
		struct side_row *r = row_of(&w->side[1], a->ifname);

		b = r ? &r->row : &w->side[1].rows[k].row;
		if (a->remote_session != b->local_session || b->remote_session != a->local_session)
			return false;
	}
	return true;
}

static inline void run_until(struct world *w, int64_t seconds, bool (*done)(struct world *))
{
	struct mono end = mono_add(w->now, seconds * US_S);

	drain(w, 0);
	drain(w, 1);
	while (!done(w)) {
		struct mono at = mono_min(pwe_deadline(w->side[0].pw), pwe_deadline(w->side[1].pw));

		for (size_t i = 0; i < w->flying_count; i++)
			at = mono_min(at, w->flying[i].at);
		if (at.us > end.us) {
			w->now = end;
			if (done != never)
				fail_msg("not within %lld s", (long long)seconds);
			return;
		}
		if (at.us > w->now.us)
			w->now = at;
		for (int n = 0; n < 2; n++) {
			if (mono_due(pwe_deadline(w->side[n].pw), w->now))
				pwe_expire(w->side[n].pw, w->now);
			drain(w, n);
		}
		deliver(w);
	}
}

/* ---- what tests do ---- */

/* Both rows are of one pseudowire. */
static inline void check_rows(struct world *w)
{
	assert_int_equal(w->side[0].row_count, w->want_rows);
	assert_int_equal(w->side[1].row_count, w->want_rows);
	for (size_t i = 0; i < w->want_rows; i++) {
		const struct dp_row *a = &w->side[0].rows[i].row, *b;
		struct side_row *r = row_of(&w->side[1], a->ifname);

		b = r ? &r->row : &w->side[1].rows[i].row;
		assert_int_equal(a->local_session, b->remote_session);
		assert_int_equal(a->remote_session, b->local_session);
		assert_int_equal(a->local_tunnel, b->remote_tunnel);
		assert_int_equal(a->remote_tunnel, b->local_tunnel);
		assert_int_equal(a->cookie_in_len, b->cookie_out_len);
		assert_int_equal(a->cookie_out_len, b->cookie_in_len);
		assert_memory_equal(a->cookie_in, b->cookie_out, 8);
		assert_memory_equal(a->cookie_out, b->cookie_in, 8);
		assert_int_equal(a->l2spec, b->l2spec);
		assert_int_equal(a->encap, b->encap);
		assert_true(addr_same_ip(&a->path.local, &b->path.remote));
		assert_int_equal(!!(a->flags & DP_F_SEND_SEQ), !!(b->flags & DP_F_REQUIRE_SEQ));
	}
}

static inline size_t tunnels(struct side *s)
{
	size_t n = 0;

	for (uint32_t id = 0; (id = pwe_tunnel_next(s->pw, id));)
		n++;
	return n;
}

static inline void circuit(struct world *w, int n, bool up)
{
	struct pw_cmd cmd = { .kind = PW_CMD_CIRCUIT, .up = up };

	cmd.key = w->side[n].rows[0].key;
	assert_int_equal(pwe_do(w->side[n].pw, w->now, &cmd), 0);
}

/* As after kill -9: the rows stay, the records are read. */
static inline void restart(struct world *w, int n)
{
	struct side *s = w->side + n;

	pwe_free(s->pw);
	side_open(w, n);
	for (enum pw_object kind = PW_OBJ_CONN; kind <= PW_OBJ_SESSION; kind++) {
		for (size_t i = 0; i < s->record_count; i++) {
			struct rcur c = rcur_of(s->records[i].bytes, s->records[i].len);

			if (s->records[i].kind == kind)
				assert_int_equal(
					pwe_load(s->pw, w->now, kind, s->records[i].id, &c), 0);
		}
	}
	pwe_loaded(s->pw, w->now);
	drain(w, n);
	for (size_t i = 0; i < s->row_count;) {
		if (pwe_has(s->pw, s->rows[i].key)) {
			i++;
			continue;
		}
		s->rows[i] = s->rows[--s->row_count];
	}
}

static inline void forget(struct world *w, int n)
{
	w->side[n].record_count = w->side[n].row_count = 0;
	restart(w, n);
}

static inline void terminate(struct world *w, int n)
{
	struct pw_cmd cmd = { .kind = PW_CMD_TERMINATE_TUNNEL };

	cmd.tunnel = pwe_tunnel_next(w->side[n].pw, 0);
	assert_int_equal(pwe_do(w->side[n].pw, w->now, &cmd), 0);
}

static inline void reload(struct world *w, int n, const char *text)
{
	struct conf *next = conf_of(text);
	struct pw_cmd cmd = { .kind = PW_CMD_CONF, .conf = next->pw };

	assert_int_equal(pwe_do(w->side[n].pw, w->now, &cmd), 0);
	conf_free(w->side[n].conf);
	w->side[n].conf = next;
	drain(w, n);
}

#endif
