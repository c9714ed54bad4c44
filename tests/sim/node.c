/* SPDX-License-Identifier: MIT
 *
 * A machine of the simulated network, with the drain loop of the daemon: events, journal, output,
 * then accounting lines. Each step of that loop is a place where the machine may be killed.
 */
#include "world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define UNIX_AT_ZERO INT64_C(1750000000000000)

/* ---- journal ---- */

static uint64_t record_hash(const struct journal *j, uint32_t kind, uint64_t id)
{
	uint64_t key[2] = { kind, id };

	return htab_hash(&j->records, key, sizeof(key));
}

static void journal_init(struct journal *j)
{
	static const uint8_t key[16] = "simulated journ";

	htab_init(&j->records, key);
	j->n = 0;
}

static struct record *journal_find(const struct journal *j, uint32_t kind, uint64_t id)
{
	struct htab_node *n = htab_find(&j->records, record_hash(j, kind, id));

	for (; n; n = htab_next(n)) {
		struct record *r = container_of(n, struct record, node);

		if (r->kind == kind && r->id == id)
			return r;
	}
	return NULL;
}

static void journal_drop(struct journal *j, uint32_t kind, uint64_t id)
{
	struct record *r = journal_find(j, kind, id);

	if (!r)
		return;
	htab_drop(&j->records, &r->node);
	j->n--;
	free(r);
}

static void journal_put(struct journal *j, uint32_t kind, uint64_t id, const uint8_t *bytes,
			size_t len)
{
	struct record *r = malloc(sizeof(*r) + len);

	if (!r || htab_reserve(&j->records) < 0)
		abort();
	journal_drop(j, kind, id);
	*r = (struct record){ .kind = kind, .id = id, .len = (uint32_t)len };
	memcpy(r->bytes, bytes, len);
	htab_put(&j->records, &r->node, record_hash(j, kind, id));
	j->n++;
}

static void journal_free(struct journal *j)
{
	struct htab_node *n, *next;
	uint64_t pos = 0;

	for (n = htab_walk(&j->records, &pos, NULL); n; n = next) {
		next = htab_walk(&j->records, &pos, n);
		free(container_of(n, struct record, node));
	}
	htab_free(&j->records);
	journal_init(j);
}

/* ---- life ---- */

bool node_init(struct world *w, struct node *n, unsigned int index)
{
	n->w = w;
	n->index = index;
	n->incarnation = 1;
	n->addr = (struct addr){ .family = AF_INET,
				 .port = 1701,
				 .ip = { 192, 0, (uint8_t)(2 + index / 250),
					 (uint8_t)(1 + index % 250) } };
	if (index)
		snprintf(n->name, sizeof(n->name), "client%u", index);
	else
		snprintf(n->name, sizeof(n->name), "lns");
	journal_init(&n->journal);
	plane_init(&n->plane, w->seed + index);
	n->conf = index ? conf_client(w, n) : conf_lns(w);
	n->users = index ? NULL : users_of(w);
	if (w->verbose) {
		n->trace_mem = calloc(1, trace_size(1024, 65536));
		n->trace = n->trace_mem ? trace_open(n->trace_mem, 1024, 65536) : NULL;
	}
	return true;
}

void node_free(struct node *n)
{
	access_free(n->a);
	access_conf_unref(n->conf);
	users_free(n->users);
	plane_free(&n->plane);
	journal_free(&n->journal);
	trace_close(n->trace);
	free(n->trace_mem);
	free(n->acct.v);
	free(n->acct.index);
	free(n->lines);
}

void node_crash(struct node *n)
{
	if (!n->a)
		return;
	world_note(n->w, n, "--- stops ---");
	node_trace(n);
	access_free(n->a);
	n->a = NULL;
	n->life++;
	n->line_count = 0;
	n->drain_planned = false;
	n->kill_at = 0;
	n->wake_at = INT64_MAX;
}

void node_forget(struct node *n)
{
	uint64_t seed = n->w->seed + n->index;

	journal_free(&n->journal);
	plane_free(&n->plane);
	plane_init(&n->plane, seed);
	n->incarnation++;
	n->lost_below = (uint64_t)n->incarnation << 40;
	n->was_killed = true;
}

static void load_kind(struct node *n, enum access_object kind)
{
	struct htab_node *it = NULL;
	uint64_t pos = 0;

	while ((it = htab_walk(&n->journal.records, &pos, it))) {
		struct record *r = container_of(it, struct record, node);
		struct rcur c = rcur_of(r->bytes, r->len);
		int rc;

		if (r->kind != kind)
			continue;
		rc = access_load(n->a, world_now(n->w), kind, r->id, &c);
		if (rc < 0 || (rc > 0 && kind != ACCESS_OBJ_TUNNEL))
			world_fail(n->w, "%s: a record of kind %u was refused (%d)", n->name, kind,
				   rc);
	}
}

/* What the owner does after recovery: rows of nobody go. */
static void reconcile(struct node *n)
{
	struct access_session_info i;
	struct htab_node *it, *next;
	uint64_t pos = 0;

	for (it = htab_walk(&n->plane.rows, &pos, NULL); it; it = next) {
		struct row *r = container_of(it, struct row, by_key);
		struct dp_done done;

		next = htab_walk(&n->plane.rows, &pos, it);
		if (r->there && !access_session(n->a, r->key, &i))
			plane_carry_out(n->w, &n->plane, DP_OP_DEL, r->key, 0, NULL, &done);
	}
}

void node_start(struct node *n)
{
	struct world *w = n->w;
	struct access_config c = { .trace = n->trace, .incarnation = n->incarnation };
	struct access_cmd conf = { .kind = ACCESS_CMD_CONF, .conf = n->conf };

	if (n->a)
		return;
	rng_fork(&w->rng, c.seed);
	n->a = access_new(&c);
	if (!n->a)
		abort();
	n->wake_at = INT64_MAX;
	world_note(w, n, "--- starts, %zu records ---", n->journal.n);
	access_wall(n->a, world_now(w), UNIX_AT_ZERO + w->now);
	if (access_do(n->a, world_now(w), &conf) < 0)
		abort();
	if (n->journal.n) {
		load_kind(n, ACCESS_OBJ_STATE);
		load_kind(n, ACCESS_OBJ_TUNNEL);
		load_kind(n, ACCESS_OBJ_SESSION);
		load_kind(n, ACCESS_OBJ_ACCT);
	}
	access_loaded(n->a, world_now(w));
	reconcile(n);
	access_expire(n->a, world_now(w));
	node_drain(n);
}

/* A step of the drain loop. True when the node was killed here. */
static bool step(struct node *n)
{
	n->steps++;
	if (!n->kill_at || n->steps < n->kill_at)
		return false;
	n->w->kills++;
	n->was_killed = true;
	world_note(n->w, n, "--- killed ---");
	node_crash(n);
	world_at(n->w, n->w->now + US_S / 100 + world_below(n->w, 3 * US_S), H_START, n->index,
		 NULL);
	return true;
}

/* ---- events ---- */

static void ask_plane(struct node *n, uint8_t op, const struct access_event *ev)
{
	struct world *w = n->w;
	struct row *r = plane_row(&n->plane, ev->key);
	struct dp_request *q = calloc(1, sizeof(*q));
	int64_t at = w->now + 50 + world_below(w, 20000);

	if (!q)
		abort();
	if (at <= r->busy_until)
		at = r->busy_until + 1;
	r->busy_until = at;
	*q = (struct dp_request){ .op = op, .key = ev->key, .generation = ev->generation };
	if (op == DP_OP_PUT)
		q->row = *ev->row;
	world_at(w, at, H_DP, n->index, q);
}

static void ask_user(struct node *n, const struct access_event *ev)
{
	struct world *w = n->w;
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		abort();
	users_check(n->users, ev, "adit", &q->cmd);
	if (world_chance(w, 500)) {
		access_do(n->a, world_now(w), &q->cmd);
		free(q);
		return;
	}
	world_at(w, w->now + world_below(w, 100000), H_AUTH, n->index, q);
}

static void answer_stats(struct node *n, uint64_t key)
{
	struct row *r = plane_find(&n->plane, key);
	struct access_cmd cmd = { .kind = ACCESS_CMD_STATS, .key = key };

	cmd.known = r && r->there;
	if (cmd.known)
		cmd.counters = r->counters;
	access_do(n->a, world_now(n->w), &cmd);
}

static void keep_line(struct node *n, const struct access_event *ev)
{
	if (n->line_count == n->line_cap) {
		n->line_cap = n->line_cap ? 2 * n->line_cap : 8;
		n->lines = reallocarray(n->lines, n->line_cap, sizeof(*n->lines));
		if (!n->lines)
			abort();
	}
	n->lines[n->line_count].key = ev->key;
	n->lines[n->line_count].seq = ev->acct_seq;
	snprintf(n->lines[n->line_count].text, ACCESS_LINE_MAX, "%s", ev->line);
	n->line_count++;
}

static void on_event(struct node *n, const struct access_event *ev)
{
	struct world *w = n->w;
	struct access_cmd heard = { .kind = ACCESS_CMD_HEARD, .tunnel = ev->tunnel };
	char *name;

	switch (ev->kind) {
	case ACCESS_EV_DP_PUT:
		ask_plane(n, DP_OP_PUT, ev);
		break;
	case ACCESS_EV_DP_DEL:
		ask_plane(n, DP_OP_DEL, ev);
		break;
	case ACCESS_EV_DP_NET:
		break;
	case ACCESS_EV_AUTH:
		ask_user(n, ev);
		break;
	case ACCESS_EV_RESOLVE:
		name = strdup(ev->name);
		if (!name)
			abort();
		world_at(w, w->now + 1000 + world_below(w, 50000), H_RESOLVED, n->index, name);
		break;
	case ACCESS_EV_STATS:
		answer_stats(n, ev->key);
		break;
	case ACCESS_EV_HEARD:
		access_do(n->a, world_now(w), &heard);
		break;
	case ACCESS_EV_ACCT:
		keep_line(n, ev);
		break;
	case ACCESS_EV_UP:
		w->ups++;
		break;
	case ACCESS_EV_DOWN:
		w->downs++;
		world_note(w, n, "session %016" PRIx64 " down: %s (%s)", ev->key,
			   cause_name(ev->cause), ev->text);
		break;
	case ACCESS_EV_TUNNEL_UP:
	case ACCESS_EV_TUNNEL_DOWN:
		break;
	}
}

/* ---- the drain loop ---- */

static int drain_events(struct node *n)
{
	struct access_event ev;
	int any = 0;

	while (access_event(n->a, world_now(n->w), &ev)) {
		any = 1;
		on_event(n, &ev);
		if (step(n))
			return -1;
	}
	return any;
}

static size_t most_of(enum access_object kind)
{
	switch (kind) {
	case ACCESS_OBJ_TUNNEL:
		return ACCESS_SAVE_TUNNEL_MAX;
	case ACCESS_OBJ_SESSION:
		return ACCESS_SAVE_SESSION_MAX;
	case ACCESS_OBJ_ACCT:
		return ACCESS_SAVE_ACCT_MAX;
	case ACCESS_OBJ_STATE:
		return ACCESS_SAVE_STATE_MAX;
	}
	return 0;
}

static int drain_journal(struct node *n)
{
	uint8_t buf[ACCESS_SAVE_TUNNEL_MAX];
	enum access_object kind;
	uint64_t id;
	bool gone;
	int any = 0;

	while (access_dirty(n->a, &kind, &id, &gone)) {
		struct wcur c = wcur_of(buf, most_of(kind));

		any = 1;
		if (gone) {
			journal_drop(&n->journal, kind, id);
		} else {
			access_save(n->a, kind, id, &c);
			if (c.bad || c.len == 0)
				world_fail(n->w, "%s: a record of kind %u does not fit", n->name,
					   kind);
			journal_put(&n->journal, kind, id, buf, c.len);
		}
		if (step(n))
			return -1;
	}
	return any;
}

/* The plane sends a PPP frame on an active row. */
static void plane_send(struct node *n, const struct row *r, const uint8_t *frame, size_t len)
{
	uint8_t buf[2048];
	struct wcur c = wcur_of(buf, sizeof(buf));
	bool length = r->row.flags & DP_F_LENGTH;
	size_t at;

	wcur_u16(&c, (uint16_t)(0x0002 | (length ? 0x4000 : 0)));
	at = c.len;
	if (length)
		wcur_u16(&c, 0);
	wcur_u16(&c, r->row.remote_tunnel);
	wcur_u16(&c, r->row.remote_session);
	if (!(r->row.flags & DP_F_ACFC) || (len >= 2 && frame[0] == 0xc0 && frame[1] == 0x21))
		wcur_u16(&c, 0xff03);
	wcur_bytes(&c, frame, len);
	if (length)
		wcur_patch_u16(&c, at, (uint16_t)c.len);
	world_send(n->w, &r->row.path, buf, c.len);
}

static int drain_output(struct node *n)
{
	uint8_t buf[ACCESS_PACKET_MAX];
	struct access_packet p;
	size_t len, off;

	while ((len = access_output(n->a, world_now(n->w), buf, sizeof(buf), &off, &p))) {
		struct row *r = p.key ? plane_find(&n->plane, p.key) : NULL;

		if (!p.key)
			world_send(n->w, &p.path, buf + off, len);
		else if (r && r->there)
			plane_send(n, r, buf + off, len);
		if (step(n))
			return -1;
	}
	return 0;
}

static uint64_t number_of(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

/* Where this line stands in the index, or the free place where it belongs. */
static uint32_t *line_place(const struct acct_file *f, uint64_t key, uint32_t seq)
{
	size_t mask = 2 * f->cap - 1,
	       i = (size_t)((key * 31 + seq) * UINT64_C(0x9e3779b97f4a7c15) >> 20);

	for (;; i++) {
		uint32_t *p = &f->index[i & mask];

		if (!*p || (f->v[*p - 1].key == key && f->v[*p - 1].seq == seq))
			return p;
	}
}

static bool has_line(const struct acct_file *f, uint64_t key, uint32_t seq)
{
	return f->cap && *line_place(f, key, seq);
}

static void grow_file(struct acct_file *f)
{
	f->cap = f->cap ? 2 * f->cap : 64;
	f->v = reallocarray(f->v, f->cap, sizeof(*f->v));
	free(f->index);
	f->index = calloc(2 * f->cap, sizeof(*f->index));
	if (!f->v || !f->index)
		abort();
	for (size_t i = 0; i < f->n; i++)
		*line_place(f, f->v[i].key, f->v[i].seq) = (uint32_t)i + 1;
}

static void write_line(struct node *n, const struct pending_line *l)
{
	struct acct_file *f = &n->acct;
	const char *event = strstr(l->text, "\"event\":\""), *id = strstr(l->text, "\"id\":\"");
	char key[17];

	snprintf(key, sizeof(key), "%016" PRIx64, l->key);
	if (!event || !id || strncmp(id + 6, key, 16) != 0 ||
	    number_of(l->text, "\"seq\":") != l->seq)
		world_fail(n->w, "%s: a broken accounting line: %s", n->name, l->text);
	if (has_line(f, l->key, l->seq)) {
		if (!n->life)
			world_fail(n->w, "%s: an accounting line came twice", n->name);
		return; /* it was on disk before the crash */
	}
	if (f->n == f->cap)
		grow_file(f);
	*line_place(f, l->key, l->seq) = (uint32_t)f->n + 1;
	f->v[f->n++] = (struct acct_line){
		.key = l->key,
		.seq = l->seq,
		.event = strncmp(event + 9, "sto", 3) == 0 ? 'e'
			 : event			   ? event[9]
							   : '?',
		.in = number_of(l->text, "\"in_octets\":"),
		.out = number_of(l->text, "\"out_octets\":"),
	};
}

static int drain_lines(struct node *n)
{
	size_t count = n->line_count;

	for (size_t i = 0; i < count; i++) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_ACCT_WRITTEN,
					  .key = n->lines[i].key,
					  .acct_seq = n->lines[i].seq };

		write_line(n, &n->lines[i]);
		if (step(n))
			return -1;
		access_do(n->a, world_now(n->w), &cmd);
	}
	n->line_count = 0;
	return count != 0;
}

void node_trace(struct node *n)
{
	struct trace_record r;
	uint8_t raw[2048];
	char text[512];

	if (!n->trace)
		return;
	while (trace_read(n->trace, &n->trace_pos, &r, raw, sizeof(raw), NULL)) {
		/* Of ten thousand sessions every packet would be too much. */
		if (n->w->plan.large &&
		    strncmp(trace_name((enum trace_kind)r.kind), "ACCESS", 6) != 0)
			continue;
		printf("%12.6f %-9s %" PRIx64 " %s\n", (double)r.at.us / 1e6, n->name, r.handle,
		       trace_text(&r, raw, text, sizeof(text)));
	}
}

static void plan_wake(struct node *n)
{
	int64_t at = access_deadline(n->a).us;

	if (at == INT64_MAX || at >= n->wake_at)
		return;
	n->wake_at = at;
	world_at(n->w, at > n->w->now ? at : n->w->now + 1, H_WAKE, n->index, NULL);
}

void node_drain(struct node *n)
{
	int any;

	n->drain_planned = false;
	if (!n->a)
		return;
	do {
		int rc;

		any = drain_events(n);
		if (any < 0)
			return;
		rc = drain_journal(n);
		if (rc < 0 || drain_output(n) < 0)
			return;
		any |= rc;
		rc = drain_lines(n);
		if (rc < 0)
			return;
		any |= rc;
		node_trace(n);
	} while (any);
	plan_wake(n);
}

/* Something was put in: drain now, or together with what comes in the next moments. */
static void drain_soon(struct node *n)
{
	struct world *w = n->w;

	if (n->drain_planned)
		return;
	if (world_chance(w, 700)) {
		node_drain(n);
		return;
	}
	n->drain_planned = true;
	world_at(w, w->now + 1 + world_below(w, 3000), H_DRAIN, n->index, NULL);
}

/* ---- what happens to a node ---- */

void node_wake(struct node *n)
{
	if (!n->a)
		return;
	n->wake_at = INT64_MAX;
	access_expire(n->a, world_now(n->w));
	node_drain(n);
}

void node_do(struct node *n, const struct access_cmd *cmd)
{
	if (!n->a)
		return;
	access_do(n->a, world_now(n->w), cmd);
	drain_soon(n);
}

static bool is_local(const uint8_t *ip6, size_t len)
{
	return len >= 40 && (ip6[24] == 0xff || (ip6[24] == 0xfe && (ip6[25] & 0xc0) == 0x80));
}

/* A data message of an active row. */
static void plane_input(struct node *n, struct row *r, const uint8_t *ppp, size_t len)
{
	struct world *w = n->w;
	uint16_t proto;

	if (len >= 2 && ppp[0] == 0xff && ppp[1] == 0x03) {
		ppp += 2;
		len -= 2;
	}
	if (len < 2)
		return;
	proto = (uint16_t)(ppp[0] << 8 | ppp[1]);
	if (proto == PPP_PROTO_IPV6 && is_local(ppp + 2, len - 2)) {
		access_frame(n->a, world_now(w), r->key, DP_PUNT_LOCAL, ppp + 2, len - 2);
	} else if (proto == PPP_PROTO_IP || proto == PPP_PROTO_IPV6) {
		r->counters.rx_packets++;
		r->counters.rx_bytes += len - 2;
		r->counters.last_rx = world_now(w);
		return;
	} else {
		access_frame(n->a, world_now(w), r->key, DP_PUNT_PPP, ppp, len);
	}
	drain_soon(n);
}

void node_packet(struct node *n, const struct packet *p)
{
	struct path path = { .via = 1, .local = p->path.remote, .remote = p->path.local };
	struct rcur c = rcur_of(p->bytes, p->len);
	uint16_t flags = rcur_u16(&c), tunnel, session;
	struct row *r;

	if (!n->a)
		return;
	if (!(flags & 0x8000)) {
		if (flags & 0x4000)
			rcur_u16(&c);
		tunnel = rcur_u16(&c);
		session = rcur_u16(&c);
		r = plane_by_id(&n->plane, tunnel, session);
		if (!c.bad && r && !(flags & 0x0a00) && path_equal(&r->row.path, &path)) {
			plane_input(n, r, c.p, rcur_left(&c));
			return;
		}
	}
	access_input(n->a, world_now(n->w), &path, p->bytes, p->len);
	drain_soon(n);
}

void node_dp(struct node *n, const struct dp_request *q)
{
	struct world *w = n->w;
	struct dp_done *d = calloc(1, sizeof(*d));

	if (!d)
		abort();
	plane_carry_out(w, &n->plane, q->op, q->key, q->generation, &q->row, d);
	world_at(w, w->now + 10 + world_below(w, 5000), H_DP_DONE, n->index, d);
}

void node_dp_done(struct node *n, const struct dp_done *d)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_DP_DONE, .done = d };

	node_do(n, &cmd);
}

void node_auth(struct node *n, const struct question *q)
{
	node_do(n, &q->cmd);
}

void node_resolved(struct node *n, const char *name)
{
	struct path path = { .via = 1, .local = n->addr, .remote = n->w->nodes[0].addr };
	struct access_cmd cmd = {
		.kind = ACCESS_CMD_RESOLVED, .name = name, .paths = &path, .path_count = 1
	};

	if (!n->w->calm && world_chance(n->w, 100)) {
		cmd.path_count = 0;
		cmd.text = "the name server is away";
	}
	node_do(n, &cmd);
}

void node_reload(struct node *n)
{
	struct access_conf *c = n->index ? conf_client(n->w, n) : conf_lns(n->w);
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = c };

	c->serial = n->conf->serial + 1;
	if (n->index && c->dial_count && world_chance(n->w, 500))
		c->dials[0].digest = n->conf->dials[0].digest + 1000;
	access_conf_unref(n->conf);
	n->conf = c;
	node_do(n, &cmd);
}

void node_command(struct node *n)
{
	struct world *w = n->w;
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONNECT };
	char name[CONF_NAME];
	uint64_t key;

	if (!n->a)
		return;
	snprintf(name, sizeof(name), "d%u", world_below(w, w->plan.sessions));
	cmd.name = name;
	switch (world_below(w, 3)) {
	case 0:
		key = access_session_next(n->a, 0);
		cmd.kind = ACCESS_CMD_TERMINATE;
		cmd.key = key;
		break;
	case 1:
		cmd.kind = ACCESS_CMD_TERMINATE_TUNNEL;
		cmd.tunnel = access_tunnel_next(n->a, (uint16_t)world_below(w, 65536));
		break;
	default:
		cmd.kind = ACCESS_CMD_DISCONNECT;
		break;
	}
	node_do(n, &cmd);
}

/* Some IP from a client's host into its session. */
void node_traffic(struct node *n)
{
	uint8_t frame[1402] = { 0x00, 0x21, 0x45 };
	struct htab_node *it = NULL;
	uint64_t pos = 0;
	size_t len = 22 + world_below(n->w, 1300);

	if (!n->a)
		return;
	while ((it = htab_walk(&n->plane.rows, &pos, it))) {
		struct row *r = container_of(it, struct row, by_key);

		if (!r->there || !(r->row.flags & DP_F_IP4) || len > r->row.mtu)
			continue;
		plane_send(n, r, frame, len + 2);
		r->counters.tx_packets++;
		r->counters.tx_bytes += len;
		r->counters.last_tx = world_now(n->w);
	}
}
