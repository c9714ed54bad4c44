/* SPDX-License-Identifier: MIT
 *
 * The kernel plane: what is known of tunnels and sessions, and what is to be done next for each.
 * Runs on the owner's thread; jobs go to the workers (kernel_work.c) and come back here.
 *
 * A request waits in the list of its key. A tunnel or session with something to do is in a list of
 * those to be looked at; looking at one (tunnel_look(), session_look()) either completes requests
 * at once or begins one job. No more than a few jobs per worker are prepared at a time, so ten
 * thousand requests cost their flat rows and no more.
 *
 * Ending a tunnel, or all its sessions: kernel_end.c.
 */
#include "kernel_int.h"

#include "base/zeros.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- small things ---- */

void kernel_wake(struct kernel *k)
{
	uint64_t one = 1;

	/* Once is enough until it is taken. It fails only when the counter is full, and then it is
	 * readable already. */
	if (atomic_exchange(&k->waking, true) || write(k->wake, &one, sizeof(one)) < 0)
		return;
}

static struct htab_node *find(const struct htab *t, uint64_t key)
{
	return htab_find(t, htab_hash(t, &key, sizeof(key)));
}

struct ksession *ksession_find(const struct kernel *k, uint64_t key)
{
	for (struct htab_node *n = find(&k->sessions, key); n; n = htab_next(n)) {
		struct ksession *s = container_of(n, struct ksession, node);

		if (s->key == key)
			return s;
	}
	return NULL;
}

struct ktunnel *ktunnel_find(const struct kernel *k, uint64_t key)
{
	for (struct htab_node *n = find(&k->tunnels, key); n; n = htab_next(n)) {
		struct ktunnel *t = container_of(n, struct ktunnel, node);

		if (t->key == key)
			return t;
	}
	return NULL;
}

void ksession_ready(struct kernel *k, struct ksession *s)
{
	if (!list_empty(&s->ready))
		return;
	list_push(&k->ready_sessions, &s->ready);
	kernel_wake(k);
}

void ktunnel_ready(struct kernel *k, struct ktunnel *t)
{
	if (!list_empty(&t->ready))
		return;
	list_push(&k->ready_tunnels, &t->ready);
	kernel_wake(k);
}

/* The ticks that are to come, when those in `looks` are added and one is over. */
static bool look_now(struct kernel *k, uint16_t *looks, unsigned int more)
{
	unsigned int all = *looks | more;

	*looks = (uint16_t)(all >> 1);
	if (*looks)
		kframe_tick(k);
	return all & 1;
}

/* While a job is on its way, too: it may have asked already, and waits for something else now. */
void ksession_check(struct kernel *k, struct ksession *s, unsigned int looks)
{
	if (s->end || !look_now(k, &s->looks, looks))
		return;
	s->check = true;
	ksession_ready(k, s);
}

void ktunnel_check(struct kernel *k, struct ktunnel *t, unsigned int looks)
{
	if (t->ending || !look_now(k, &t->looks, looks))
		return;
	t->check = true;
	ktunnel_ready(k, t);
}

void klook_tick(struct kernel *k)
{
	list_for_each (at, &k->all_tunnels) {
		struct ktunnel *t = container_of(at, struct ktunnel, all);

		if (t->looks)
			ktunnel_check(k, t, 0);
	}
	list_for_each (at, &k->all_sessions) {
		struct ksession *s = container_of(at, struct ksession, all);

		if (s->muted)
			kframe_unmute(k, s);
		if (s->looks)
			ksession_check(k, s, 0);
	}
}

/* ---- requests and completions ---- */

struct kreq *kreq_new(enum kernel_op op, uint64_t key, uint32_t generation, size_t len)
{
	struct kreq *r = calloc(1, sizeof(*r) + len);

	if (!r)
		return NULL;
	list_init(&r->node);
	r->op = op;
	r->key = key;
	r->generation = generation;
	r->fd = -1;
	r->len = (uint16_t)len;
	return r;
}

void kreq_free(struct kreq *r)
{
	free(r->text);
	free(r);
}

void kreq_done(struct kernel *k, struct kreq *r, enum kernel_result result, int error,
	       const char *text)
{
	r->result = result;
	r->error = error;
	if (text && text[0])
		r->text = strdup(text);
	list_drop(&r->node);
	list_push(&k->done, &r->node);
	k->count.busy--;
	kernel_wake(k);
}

static void req_fail(struct kernel *k, struct kreq *r, enum kernel_result result,
		     enum kernel_step step, int error, const char *name)
{
	char text[KERNEL_TEXT];

	kernel_error_text(step, error, name, text);
	kreq_done(k, r, result, error, text);
}

struct kreq *kreq_first(const struct list *reqs)
{
	return list_empty(reqs) ? NULL : container_of(reqs->next, struct kreq, node);
}

static bool has_del(const struct list *reqs, enum kernel_op op)
{
	list_for_each (at, reqs) {
		if (container_of(at, struct kreq, node)->op == op)
			return true;
	}
	return false;
}

struct kjob *kjob_new(enum kjob_kind kind)
{
	struct kjob *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	list_init(&j->frames);
	j->kind = kind;
	j->tunnel_fd = -1;
	j->have = j->partner_have = (struct khave){ .pppox = -1, .chan = -1, .unit = -1 };
	return j;
}

void kframes_free(struct list *frames)
{
	struct list *node;

	while ((node = list_pop(frames)))
		free(container_of(node, struct kframe, node));
}

void kjob_free(struct kjob *j)
{
	if (!j)
		return;
	kframes_free(&j->frames);
	free(j->stats);
	free(j->routes);
	free(j->fds);
	free(j);
}

/* ---- objects ---- */

struct ktunnel *ktunnel_new(struct kernel *k, uint64_t key)
{
	struct ktunnel *t = htab_reserve(&k->tunnels) ? NULL : calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->key = key;
	t->fd = -1;
	list_init(&t->ready);
	list_init(&t->sessions);
	list_init(&t->reqs);
	list_init(&t->gone);
	list_push(&k->all_tunnels, &t->all);
	htab_put(&k->tunnels, &t->node, htab_hash(&k->tunnels, &key, sizeof(key)));
	k->tunnel_n++;
	return t;
}

struct ksession *ksession_new(struct kernel *k, uint64_t key)
{
	struct ksession *s = htab_reserve(&k->sessions) || htab_reserve(&k->by_index)
				     ? NULL
				     : calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->key = key;
	s->have = (struct khave){ .pppox = -1, .chan = -1, .unit = -1 };
	list_init(&s->in_tunnel);
	list_init(&s->ready);
	list_init(&s->reqs);
	list_init(&s->gone);
	list_push(&k->all_sessions, &s->all);
	htab_put(&k->sessions, &s->node, htab_hash(&k->sessions, &key, sizeof(key)));
	k->session_n++;
	return s;
}

int krow_keep(struct ksession *s, const uint8_t *flat, size_t len)
{
	uint8_t packed[ZEROS_MOST(K_ROW_MAX)], *row;
	size_t n = zeros_pack(flat, len, packed);

	row = realloc(s->row, n);
	if (!row)
		return -ENOMEM;
	memcpy(row, packed, n);
	s->row = row;
	s->row_len = (uint16_t)len;
	return 0;
}

void krow_forget(struct ksession *s)
{
	free(s->row);
	s->row = NULL;
	s->row_len = 0;
}

size_t krow_flat(const struct ksession *s, uint8_t *buf)
{
	struct rcur row = rcur_of(s->row, ZEROS_MOST(s->row_len));

	if (s->row)
		zeros_unpack(&row, buf, s->row_len);
	return s->row_len;
}

bool krow_load(const struct ksession *s, struct dp_row *ret)
{
	uint8_t flat[K_ROW_MAX];
	struct rcur c = rcur_of(flat, krow_flat(s, flat));

	return s->row && dp_row_load(&c, ret);
}

uint64_t krow_partner(const struct ksession *s)
{
	struct dp_row row;

	return krow_load(s, &row) ? row.partner : 0;
}

/* It is to be deleted: when all of a tunnel are, their interfaces go as a group. */
void ksession_leaves(struct ksession *s)
{
	if (s->leaving)
		return;
	s->leaving = true;
	if (s->tunnel)
		s->tunnel->leave++;
}

void ksession_enter(struct ksession *s, struct ktunnel *t)
{
	if (s->tunnel)
		return;
	s->tunnel = t;
	list_push(&t->sessions, &s->in_tunnel);
	t->n++;
	t->leave += s->leaving;
}

static void session_out(struct kernel *k, struct ksession *s)
{
	struct ktunnel *t = s->tunnel;

	if (!t)
		return;
	list_drop(&s->in_tunnel);
	t->n--;
	t->leave -= s->leaving;
	s->tunnel = NULL;
	if (t->ending)
		ktunnel_ready(k, t);
}

static void index_drop(struct kernel *k, struct ksession *s)
{
	if (s->indexed)
		htab_drop(&k->by_index, &s->by_index);
	s->indexed = false;
}

void ksession_free(struct kernel *k, struct ksession *s)
{
	session_out(k, s);
	index_drop(k, s);
	list_drop(&s->all);
	list_drop(&s->ready);
	list_drop(&s->gone);
	htab_drop(&k->sessions, &s->node);
	k->session_n--;
	free(s->row);
	free(s);
}

static void group_give(struct kernel *k, struct ktunnel *t)
{
	uint32_t i;

	if (t->group)
		return;
	for (uint32_t n = 0; n < KERNEL_GROUP_COUNT; n++) {
		i = (k->next_group + n) % KERNEL_GROUP_COUNT;
		if (!(k->groups[i / 8] & 1u << i % 8)) {
			k->groups[i / 8] |= (uint8_t)(1u << i % 8);
			k->next_group = i + 1;
			t->group = KERNEL_GROUP(k->config.groups, i);
			return;
		}
	}
	/* So many tunnels: then their interfaces are deleted one by one. */
	t->group = KERNEL_GROUP_LAST(k->config.groups);
}

static void group_take(struct kernel *k, struct ktunnel *t)
{
	uint32_t i = t->group & KERNEL_GROUP_COUNT;

	if (t->group && i != KERNEL_GROUP_COUNT)
		k->groups[i / 8] &= (uint8_t) ~(1u << i % 8);
	t->group = 0;
}

void ktunnel_free(struct kernel *k, struct ktunnel *t)
{
	list_for_each_safe (at, &t->sessions) {
		struct ksession *s = container_of(at, struct ksession, in_tunnel);

		t->ending = false;
		session_out(k, s);
		ksession_ready(k, s);
	}
	group_take(k, t);
	list_drop(&t->all);
	list_drop(&t->ready);
	list_drop(&t->gone);
	htab_drop(&k->tunnels, &t->node);
	k->tunnel_n--;
	free(t);
}

/* ---- sessions ---- */

void ksession_lost(struct kernel *k, struct ksession *s, const char *why)
{
	if (s->end || s->failing || s->have.stage == K_NONE)
		return;
	s->end = true;
	s->why = why;
	ksession_leaves(s);
	ksession_ready(k, s);
}

/* All of the job is set before it is pushed: then it is a worker's. */
static void session_begin(struct kernel *k, struct ksession *s, struct kjob *j, struct kreq *r)
{
	struct ktunnel *t = s->tunnel;

	j->s = s;
	j->req = r;
	j->key = s->key;
	j->have = s->have;
	j->first = s->have.stage == K_NONE;
	j->txqlen = j->row.txqlen ? j->row.txqlen : k->config.txqlen;
	snprintf(j->prefix, sizeof(j->prefix), "%s", k->config.ifname);
	if (t)
		j->group = t->group;
	if (j->row.ends == DP_L2TP_ETH)
		j->group = KERNEL_GROUP_LAST(k->config.groups);
	(void)krow_load(s, &j->old);
	s->job = j;
	s->busy = true;
	k->inflight++;
	kwork_push(k, j);
}

static void end_begin(struct kernel *k, struct ksession *s, struct kreq *r)
{
	struct kjob *j = kjob_new(KJ_END);

	if (!j) {
		k->starved = true;
		ksession_ready(k, s);
		return;
	}
	(void)krow_load(s, &j->row);
	kframe_unwatch(k, s);
	index_drop(k, s);
	session_begin(k, s, j, r);
}

static void check_begin(struct kernel *k, struct ksession *s)
{
	struct kjob *j = kjob_new(KJ_CHECK);

	s->check = false;
	if (!j || !krow_load(s, &j->row)) {
		free(j);
		return;
	}
	session_begin(k, s, j, NULL);
}

static void put_begin(struct kernel *k, struct ksession *s, struct kreq *r)
{
	struct kjob *j = kjob_new(KJ_PUT);
	struct rcur row = rcur_of(r->row, r->len);

	if (!j || !dp_row_load(&row, &j->row)) {
		free(j);
		req_fail(k, r, KERNEL_FAILED, KERNEL_STEP_MEMORY, -ENOMEM, "");
		ksession_ready(k, s);
		return;
	}
	group_give(k, s->tunnel);
	/* What waits on a pipe is read by the job that makes a channel of it. */
	if (s->have.stage == K_PIPE && j->row.state == DP_ACTIVE && j->row.ends == DP_L2TP_PPP)
		kframe_unwatch(k, s);
	j->shut = s->shut_at.us != 0;
	s->shut_at = (struct mono){ 0 };
	session_begin(k, s, j, r);
}

/* Two pipes that name each other become one. */
static void join_begin(struct kernel *k, struct ksession *s, struct ksession *p)
{
	struct kjob *j = kjob_new(KJ_PUT);

	if (!j || !krow_load(s, &j->row)) {
		free(j);
		return;
	}
	j->joining = true;
	j->partner = p;
	j->partner_have = p->have;
	p->busy = true;
	p->joinable = s->joinable = false;
	kframe_unwatch(k, s);
	kframe_unwatch(k, p);
	session_begin(k, s, j, NULL);
}

static bool join_try(struct kernel *k, struct ksession *s)
{
	struct ksession *p = s->joinable ? ksession_find(k, krow_partner(s)) : NULL;

	if (!p || p == s || !p->joinable || krow_partner(p) != s->key || p->busy || p->end ||
	    !list_empty(&p->reqs) || p->have.stage != K_PIPE || s->have.stage != K_PIPE)
		return false;
	join_begin(k, s, p);
	return true;
}

static bool put_refused(struct kernel *k, struct ksession *s, struct kreq *r)
{
	struct ktunnel *t = ktunnel_find(k, r->tunnel);
	struct rcur c = rcur_of(r->row, r->len);
	char text[KERNEL_TEXT];
	struct dp_row row;

	if (has_del(&s->reqs, KERNEL_OP_DEL) || k->drop) {
		kreq_done(k, r, KERNEL_CANCELLED, 0, NULL);
		return true;
	}
	if (!dp_row_load(&c, &row)) {
		kreq_done(k, r, KERNEL_FAILED, -EINVAL, "the row is not valid");
		return true;
	}
	if (kernel_can_row(&k->config.probe, &row, text)) {
		kreq_done(k, r, KERNEL_CANNOT, -EOPNOTSUPP, text);
		return true;
	}
	if (!t || t->ending || (s->tunnel && s->tunnel != t) ||
	    (t->up && t->is.local_id != row.local_tunnel)) {
		req_fail(k, r, KERNEL_FAILED, KERNEL_STEP_SESSION, -ENODEV, "");
		return true;
	}
	ksession_enter(s, t);
	s->local_session = row.local_session;
	s->netns = s->indexed ? s->netns : row.netns;
	return false;
}

static bool nothing_new(const struct ksession *s, const struct kreq *r)
{
	uint8_t flat[K_ROW_MAX];

	return s->have.stage != K_NONE && !s->shut_at.us && krow_flat(s, flat) == r->len &&
	       memcmp(flat, r->row, r->len) == 0;
}

static void put_told(const struct ksession *s, struct kreq *r)
{
	snprintf(r->ifname, sizeof(r->ifname), "%s", s->have.ifname);
	r->ifindex = s->have.ifindex;
}

static void session_rest(struct kernel *k, struct ksession *s)
{
	if (s->check && s->have.stage != K_NONE) {
		check_begin(k, s);
		return;
	}
	s->check = false;
	if (s->have.stage == K_NONE)
		s->looks = 0;
	if (join_try(k, s))
		return;
	if (s->have.stage == K_NONE && list_empty(&s->gone))
		ksession_free(k, s);
}

/* Do what can be done for it: complete requests, or begin one job. */
static void session_look(struct kernel *k, struct ksession *s)
{
	struct kreq *r;

	while (!s->busy) {
		if (s->tunnel && s->tunnel->ending)
			ksession_lost(k, s,
				      s->tunnel->lost ? s->tunnel->why : "its tunnel was deleted");
		if (s->tunnel && (s->tunnel->ends || (s->leaving && kend_begin(k, s->tunnel))))
			return; /* looked at again afterwards */
		if (s->end) {
			end_begin(k, s, NULL);
			return;
		}
		r = kreq_first(&s->reqs);
		if (!r) {
			session_rest(k, s);
			return;
		}
		if (r->op == KERNEL_OP_DEL) {
			if (s->have.stage != K_NONE) {
				end_begin(k, s, r);
				return;
			}
			/* Its tunnel may have taken it along. */
			kstat_counters(s, &r->counters);
			kreq_done(k, r, KERNEL_OK, 0, NULL);
			if (!has_del(&s->reqs, KERNEL_OP_DEL) && s->leaving) {
				s->leaving = false;
				if (s->tunnel)
					s->tunnel->leave--;
			}
			continue;
		}
		if (put_refused(k, s, r))
			continue;
		if (!s->tunnel->up || s->tunnel->busy || s->tunnel->ends)
			return; /* the tunnel's job looks at all its sessions */
		if (nothing_new(s, r)) {
			put_told(s, r);
			s->generation = r->generation;
			kreq_done(k, r, KERNEL_OK, 0, NULL);
			continue;
		}
		put_begin(k, s, r);
	}
}

static void row_keep(struct ksession *s, const struct kreq *r, const struct kjob *j)
{
	(void)krow_keep(s, r->row, r->len); /* no memory: the former row, of the same session */
	s->generation = r->generation;
	s->joinable =
		j->row.ends == DP_L2TP_L2TP && j->row.state == DP_ACTIVE && s->have.stage == K_PIPE;
}

void ksession_up(struct kernel *k, struct ksession *s)
{
	if (s->have.ifindex && !s->indexed) {
		htab_put(&k->by_index, &s->by_index,
			 kframe_index_hash(k, s->netns, s->have.ifindex));
		s->indexed = true;
		s->born = k->reading;
	}
	kframe_watch(k, s);
}

static void put_failed(struct kernel *k, struct ksession *s, struct kjob *j)
{
	struct kreq *r = j->req;

	if (j->joining) {
		/* Their channels are no pipes any more: both end. */
		ksession_lost(k, s, "it could not be joined with its partner");
		if (j->partner && j->partner_have.stage == K_JOINED)
			ksession_lost(k, j->partner, "it could not be joined with its partner");
		else if (j->partner)
			kframe_watch(k, j->partner);
		return;
	}
	if (s->have.stage == K_NONE) {
		kreq_done(k, r, j->result, j->error, j->text);
		return;
	}
	/* What was there before the change must go too; then the request completes. */
	r->result = j->result;
	r->error = j->error;
	r->text = strdup(j->text);
	list_drop(&r->node);
	s->failing = r;
	s->end = true;
	ksession_leaves(s);
}

static void put_finished(struct kernel *k, struct ksession *s, struct kjob *j)
{
	struct list *node;

	while ((node = list_pop(&j->frames)))
		list_push(&k->frames, node);
	if (j->partner)
		j->partner->busy = false;
	if (j->result != KERNEL_OK) {
		put_failed(k, s, j);
	} else {
		s->have = j->have;
		if (j->partner)
			j->partner->have.stage = K_JOINED;
		if (j->req) {
			row_keep(s, j->req, j);
			put_told(s, j->req);
			kreq_done(k, j->req, KERNEL_OK, 0, NULL);
		}
		ksession_up(k, s);
	}
	if (j->partner)
		ksession_ready(k, j->partner);
}

static void partner_alone(struct kernel *k, struct ksession *s)
{
	struct ksession *p = s->have.stage == K_JOINED ? ksession_find(k, krow_partner(s)) : NULL;

	if (p && p->have.stage == K_JOINED && krow_partner(p) == s->key)
		ksession_lost(k, p, "the session it was joined with ended");
}

/* Nothing of it is left in the kernel. `r`: the request that was for, NULL = none. */
static void session_ended(struct kernel *k, struct ksession *s, struct kreq *r)
{
	struct kreq *failed = s->failing;
	bool was_end = s->end;

	partner_alone(k, s);
	s->have = (struct khave){ .pppox = -1, .chan = -1, .unit = -1 };
	s->end = s->joinable = false;
	s->failing = NULL;
	krow_forget(s);
	if (r) {
		kstat_counters(s, &r->counters);
		kreq_done(k, r, KERNEL_OK, 0, NULL);
	} else if (failed) {
		list_push(&k->done, &failed->node);
		k->count.busy--;
		kernel_wake(k);
	} else if (was_end && !s->told && !has_del(&s->reqs, KERNEL_OP_DEL)) {
		list_drop(&s->gone);
		list_push(&k->gone_sessions, &s->gone);
		kernel_wake(k);
	}
	if (!has_del(&s->reqs, KERNEL_OP_DEL) && s->leaving) {
		s->leaving = false;
		if (s->tunnel)
			s->tunnel->leave--;
	}
	if (list_empty(&s->reqs))
		session_out(k, s);
}

void ksession_ended(struct kernel *k, struct ksession *s)
{
	struct kreq *r = kreq_first(&s->reqs);

	index_drop(k, s);
	session_ended(k, s, s->end || !r || r->op != KERNEL_OP_DEL ? NULL : r);
}

static void end_finished(struct kernel *k, struct ksession *s, struct kjob *j)
{
	for (size_t i = 0; i < j->stat_n; i++) {
		if (j->stats[i].key || j->stats[i].ifindex == s->have.ifindex)
			kstat_one(k, s, &j->stats[i]);
	}
	session_ended(k, s, j->req);
}

/* ---- tunnels ---- */

static bool same_tuple(const struct kernel_tunnel *a, const struct kernel_tunnel *b)
{
	return a->encap == DP_ENCAP_UDP && b->encap == DP_ENCAP_UDP &&
	       addr_equal(&a->path.local, &b->path.local) &&
	       addr_equal(&a->path.remote, &b->path.remote);
}

static bool tuple_taken(const struct kernel *k, const struct ktunnel *self,
			const struct kernel_tunnel *want)
{
	if (!KERNEL_HAS_GAP(&k->config.probe, KERNEL_GAP_TUPLE))
		return false;
	list_for_each (at, &k->all_tunnels) {
		const struct ktunnel *t = container_of(at, struct ktunnel, all);

		if (t != self && (t->up || t->busy) && same_tuple(&t->is, want))
			return true;
	}
	return false;
}

static void tunnel_begin(struct kernel *k, struct ktunnel *t, enum kjob_kind kind, struct kreq *r)
{
	struct kjob *j = kjob_new(kind);

	if (!j) {
		if (r && r->op == KERNEL_OP_TUNNEL_PUT)
			req_fail(k, r, KERNEL_FAILED, KERNEL_STEP_MEMORY, -ENOMEM, "");
		ktunnel_ready(k, t);
		return;
	}
	if (kind == KJ_TUNNEL_MAKE)
		t->is = r->want;
	j->t = t;
	j->req = r;
	j->tunnel = kind == KJ_TUNNEL_MOVE ? r->want : t->is;
	j->tunnel_fd = t->fd;
	t->job = j;
	t->busy = true;
	kwork_push(k, j);
}

static bool only_moved(const struct kernel_tunnel *a, const struct kernel_tunnel *b)
{
	struct kernel_tunnel x = *a;

	x.path.remote = b->path.remote;
	return kernel_tunnel_same(&x, b) && a->path.remote.family == b->path.remote.family;
}

static void tunnel_put(struct kernel *k, struct ktunnel *t, struct kreq *r)
{
	char text[KERNEL_TEXT];

	if (has_del(&t->reqs, KERNEL_OP_TUNNEL_DEL) || k->drop) {
		kreq_done(k, r, KERNEL_CANCELLED, 0, NULL);
	} else if (kernel_can_tunnel(&k->config.probe, &r->want, text)) {
		kreq_done(k, r, KERNEL_CANNOT, -EOPNOTSUPP, text);
	} else if (tuple_taken(k, t, &r->want)) {
		snprintf(text, sizeof(text), "%s", kernel_gap_text(KERNEL_GAP_TUPLE));
		kreq_done(k, r, KERNEL_TUPLE_TAKEN, -EADDRINUSE, text);
	} else if (!t->up) {
		tunnel_begin(k, t, KJ_TUNNEL_MAKE, r);
	} else if (kernel_tunnel_same(&t->is, &r->want)) {
		t->generation = r->generation;
		r->fd = t->fd;
		kreq_done(k, r, KERNEL_OK, 0, NULL);
	} else if (t->is.managed && only_moved(&t->is, &r->want)) {
		tunnel_begin(k, t, KJ_TUNNEL_MOVE, r);
	} else {
		req_fail(k, r, KERNEL_FAILED, KERNEL_STEP_SESSION, -EBUSY, "");
	}
}

void ktunnel_lost(struct kernel *k, struct ktunnel *t, const char *why)
{
	if (t->lost || !t->up)
		return;
	t->lost = true;
	t->why = why;
	ktunnel_ready(k, t);
}

/* Its sessions first; those that nobody asked to delete are told as gone. */
static void tunnel_sessions_end(struct kernel *k, struct ktunnel *t)
{
	t->ending = true;
	list_for_each_safe (at, &t->sessions) {
		struct ksession *s = container_of(at, struct ksession, in_tunnel);

		if (s->job && s->job->kind == KJ_PUT)
			atomic_store(&s->job->cancel, true);
		ksession_lost(k, s, t->lost ? t->why : "its tunnel was deleted");
		s->told |= k->drop != NULL;
		if (s->have.stage == K_NONE || s->busy)
			ksession_leaves(s);
		ksession_ready(k, s);
	}
}

static void tunnel_ended(struct kernel *k, struct ktunnel *t)
{
	struct kreq *r = kreq_first(&t->reqs);

	t->up = t->ending = t->check = false;
	t->looks = 0;
	t->fd = -1;
	group_take(k, t);
	if (r && r->op == KERNEL_OP_TUNNEL_DEL)
		kreq_done(k, r, KERNEL_OK, 0, NULL);
	else if (t->lost && !k->drop) {
		list_drop(&t->gone);
		list_push(&k->gone_tunnels, &t->gone);
		kernel_wake(k);
	}
	t->lost = false;
}

static void tunnel_look(struct kernel *k, struct ktunnel *t)
{
	struct kreq *r;

	while (!t->busy) {
		r = kreq_first(&t->reqs);
		if (t->lost || (r && r->op == KERNEL_OP_TUNNEL_DEL)) {
			if (!t->ending)
				tunnel_sessions_end(k, t);
			if (t->n)
				return; /* the last one looks at it again */
			if (t->up) {
				tunnel_begin(k, t, KJ_TUNNEL_END, NULL);
				return;
			}
			tunnel_ended(k, t);
			continue;
		}
		if (r) {
			tunnel_put(k, t, r);
			continue;
		}
		if (t->check && t->up) {
			t->check = false;
			tunnel_begin(k, t, KJ_TUNNEL_CHECK, NULL);
			return;
		}
		if (!t->up && list_empty(&t->gone))
			ktunnel_free(k, t);
		return;
	}
}

static void sessions_ready(struct kernel *k, struct ktunnel *t)
{
	list_for_each (at, &t->sessions)
		ksession_ready(k, container_of(at, struct ksession, in_tunnel));
}

static void tunnel_finished(struct kernel *k, struct ktunnel *t, struct kjob *j)
{
	bool made = j->kind == KJ_TUNNEL_MAKE && j->result == KERNEL_OK;

	t->busy = false;
	t->job = NULL;
	if (j->kind == KJ_TUNNEL_CHECK) {
		if (j->error == -ENODEV) {
			k->count.foreign++;
			ktunnel_lost(k, t, "another program has deleted the tunnel in the kernel");
		}
	} else if (j->kind == KJ_TUNNEL_END) {
		tunnel_ended(k, t);
	} else {
		if (made) {
			t->up = true;
			t->fd = j->tunnel_fd;
		}
		if (j->result == KERNEL_OK) {
			t->is = j->tunnel;
			t->generation = j->req->generation;
		}
		j->req->fd = j->result == KERNEL_OK ? t->fd : -1;
		kreq_done(k, j->req, j->result, j->error, j->text);
	}
	sessions_ready(k, t);
	ktunnel_ready(k, t);
}

/* ---- jobs come back ---- */

void klook_finished(struct kernel *k, struct kjob *j)
{
	struct ksession *s = j->s;

	if (j->kind == KJ_STATS) {
		kstat_merge(k, j);
		if (k->stats) {
			k->count.busy++;
			kreq_done(k, k->stats, j->result, j->error, j->text);
			k->stats = NULL;
		}
	} else if (j->kind == KJ_GROUP_END || j->kind == KJ_CLOSE) {
		kend_finished(k, j);
	} else if (j->t) {
		tunnel_finished(k, j->t, j);
	} else {
		k->inflight--;
		s->busy = false;
		s->job = NULL;
		if (j->kind == KJ_PUT)
			put_finished(k, s, j);
		else if (j->kind == KJ_END)
			end_finished(k, s, j);
		else if (j->error == -ENODEV) {
			k->count.foreign++;
			ksession_lost(k, s,
				      "another program has deleted the session in the kernel");
		}
		ksession_ready(k, s);
	}
	kjob_free(j);
}

static void drop_look(struct kernel *k)
{
	if (!k->drop || k->tunnel_n || k->session_n)
		return;
	kreq_done(k, k->drop, KERNEL_OK, 0, NULL);
	k->drop = NULL;
}

void klook(struct kernel *k)
{
	uint32_t most = k->config.workers * K_INFLIGHT;
	struct list *node;

	k->starved = false;
	while (!k->starved) {
		node = list_pop(&k->ready_tunnels);
		if (node) {
			tunnel_look(k, container_of(node, struct ktunnel, ready));
			continue;
		}
		node = k->inflight < most ? list_pop(&k->ready_sessions) : NULL;
		if (!node)
			break;
		session_look(k, container_of(node, struct ksession, ready));
	}
	drop_look(k);
}
