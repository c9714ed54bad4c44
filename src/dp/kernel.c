/* SPDX-License-Identifier: MIT
 *
 * The kernel plane: what the owner asks for, in order per key, and what it is told (kernel.h). Runs
 * on the owner's thread; jobs go to the workers (kernel_work.c) and come back here.
 *
 * A request becomes the completion it ends with, so that telling it never fails.
 */
#include "kernel_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* ---- news ---- */

static void news_done(struct kernel_news *n, struct kreq *r)
{
	n->kind = KERNEL_NEWS_DONE;
	n->key = r->key;
	n->op = r->op;
	n->result = r->result;
	n->generation = r->generation;
	n->error = r->error;
	n->fd = r->fd;
	n->ifindex = r->ifindex;
	n->counters = r->counters;
	memcpy(n->ifname, r->ifname, sizeof(n->ifname));
	if (r->text)
		snprintf(n->text, sizeof(n->text), "%s", r->text);
	else if (r->result == KERNEL_FAILED)
		snprintf(n->text, sizeof(n->text), "the machine is out of memory");
	kreq_free(r);
}

static bool news_take(struct kernel *k, struct kernel_news *n)
{
	struct list *node = list_pop(&k->frames);

	if (node) {
		k->frame = container_of(node, struct kframe, node);
		n->kind = KERNEL_NEWS_FRAME;
		n->key = k->frame->key;
		n->bytes = k->frame->bytes;
		n->len = k->frame->len;
		k->count.frames++;
		return true;
	}
	node = list_pop(&k->done);
	if (node) {
		news_done(n, container_of(node, struct kreq, node));
		return true;
	}
	node = list_pop(&k->gone_sessions);
	if (node) {
		struct ksession *s = container_of(node, struct ksession, gone);

		n->kind = KERNEL_NEWS_GONE;
		n->key = s->key;
		n->generation = s->generation;
		kstat_counters(s, &n->counters);
		snprintf(n->text, sizeof(n->text), "%s", s->why ? s->why : "");
		ksession_ready(k, s);
		return true;
	}
	/* Its sessions were told before it. */
	node = list_pop(&k->gone_tunnels);
	if (node) {
		struct ktunnel *t = container_of(node, struct ktunnel, gone);

		n->kind = KERNEL_NEWS_TUNNEL_GONE;
		n->key = t->key;
		n->generation = t->generation;
		snprintf(n->text, sizeof(n->text), "%s", t->why ? t->why : "");
		ktunnel_ready(k, t);
		return true;
	}
	return false;
}

bool kernel_next(struct kernel *k, struct mono now, struct kernel_news *ret)
{
	struct kjob *j;

	memset(ret, 0, sizeof(*ret));
	ret->fd = -1;
	k->now = now;
	free(k->frame);
	k->frame = NULL;
	do {
		k->woken = false;
		for (;;) {
			if (news_take(k, ret))
				return true;
			j = kwork_finished(k);
			if (!j)
				break;
			klook_finished(k, j);
		}
		klook(k);
		if (news_take(k, ret) || kframe_next(k, ret))
			return true;
		/* What the wake-up was for may have come after the look above. */
	} while (k->woken && !k->starved);
	return false;
}

int kernel_fd(const struct kernel *k)
{
	return k->epoll;
}

/* ---- requests ---- */

int kernel_tunnel_put(struct kernel *k, uint64_t key, uint32_t generation,
		      const struct kernel_tunnel *want)
{
	struct kreq *r = kreq_new(KERNEL_OP_TUNNEL_PUT, key, generation, 0);
	struct ktunnel *t = ktunnel_find(k, key);

	if (r && !t)
		t = ktunnel_new(k, key);
	if (!r || !t) {
		free(r);
		return -ENOMEM;
	}
	k->count.busy++;
	r->want = *want;
	r->want.path.via = 0;
	list_push(&t->reqs, &r->node);
	if (!kernel_tunnel_ok(&r->want))
		kreq_done(k, r, KERNEL_FAILED, -EINVAL, "the tunnel's values are not valid");
	ktunnel_ready(k, t);
	return 0;
}

int kernel_tunnel_del(struct kernel *k, uint64_t key, uint32_t generation)
{
	struct kreq *r = kreq_new(KERNEL_OP_TUNNEL_DEL, key, generation, 0);
	struct ktunnel *t = ktunnel_find(k, key);

	if (!r)
		return -ENOMEM;
	k->count.busy++;
	if (!t) {
		kreq_done(k, r, KERNEL_OK, 0, NULL);
		return 0;
	}
	list_push(&t->reqs, &r->node);
	if (t->job && t->job->kind == KJ_TUNNEL_MAKE)
		atomic_store(&t->job->cancel, true);
	ktunnel_ready(k, t);
	return 0;
}

int kernel_put(struct kernel *k, uint64_t key, uint32_t generation, uint64_t tunnel,
	       const struct dp_row *row)
{
	uint8_t bytes[K_ROW_MAX];
	struct wcur c = wcur_of(bytes, sizeof(bytes));
	struct ksession *s = ksession_find(k, key);
	struct kreq *r;
	bool ok = dp_row_ok(row);

	if (ok)
		dp_row_save(&c, row);
	r = kreq_new(KERNEL_OP_PUT, key, generation, ok ? c.len : 0);
	if (r && !s && k->session_n < k->config.sessions_max)
		s = ksession_new(k, key);
	if (!r || !s) {
		free(r);
		return -ENOMEM;
	}
	k->count.busy++;
	r->tunnel = tunnel;
	memcpy(r->row, bytes, r->len);
	list_push(&s->reqs, &r->node);
	ksession_ready(k, s);
	return 0;
}

int kernel_del(struct kernel *k, uint64_t key, uint32_t generation)
{
	struct kreq *r = kreq_new(KERNEL_OP_DEL, key, generation, 0);
	struct ksession *s = ksession_find(k, key);

	if (!r)
		return -ENOMEM;
	k->count.busy++;
	if (!s) {
		kreq_done(k, r, KERNEL_OK, 0, NULL);
		return 0;
	}
	list_push(&s->reqs, &r->node);
	if (s->job && s->job->kind == KJ_PUT && s->job->req)
		atomic_store(&s->job->cancel, true);
	ksession_leaves(s);
	ksession_ready(k, s);
	return 0;
}

int kernel_del_many(struct kernel *k, const uint64_t *keys, const uint32_t *generations, size_t n)
{
	/* None is looked at before all are here, so their interfaces go as groups. */
	for (size_t i = 0; i < n; i++) {
		int err = kernel_del(k, keys[i], generations[i]);

		if (err)
			return err;
	}
	return 0;
}

int kernel_drop_all(struct kernel *k, uint32_t generation)
{
	if (k->drop)
		return -EBUSY;
	k->drop = kreq_new(KERNEL_OP_DROP_ALL, 0, generation, 0);
	if (!k->drop)
		return -ENOMEM;
	k->count.busy++;
	list_for_each (at, &k->all_tunnels) {
		struct ktunnel *t = container_of(at, struct ktunnel, all);

		t->lost = true;
		t->why = "everything was dropped";
		if (t->job && t->job->kind == KJ_TUNNEL_MAKE)
			atomic_store(&t->job->cancel, true);
		ktunnel_ready(k, t);
	}
	list_for_each (at, &k->all_sessions)
		ksession_ready(k, container_of(at, struct ksession, all));
	kernel_wake(k);
	return 0;
}

/* ---- lists ---- */

static const struct ktunnel *tunnel_at(const struct list *at)
{
	return container_of((uintptr_t)at, struct ktunnel, all);
}

bool kernel_list(const struct kernel *k, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation,
		 uint64_t *ret_tunnel, struct dp_row *ret_row)
{
	const struct list *at = *pos ? (const struct list *)(uintptr_t)*pos : &k->all_sessions;

	for (at = at->next; at != &k->all_sessions; at = at->next) {
		struct ksession *s = container_of((uintptr_t)at, struct ksession, all);
		const struct kreq *r = kreq_first(&s->reqs);
		uint8_t flat[K_ROW_MAX];
		struct rcur c = rcur_of(flat, krow_flat(s, flat));
		uint64_t tunnel = s->tunnel ? s->tunnel->key : 0;

		if (!s->row && r && r->op == KERNEL_OP_PUT) {
			c = rcur_of(r->row, r->len);
			tunnel = r->tunnel;
		}
		if (rcur_left(&c) == 0 || (ret_row && !dp_row_load(&c, ret_row)))
			continue;
		*pos = (uintptr_t)at;
		*ret_key = s->key;
		*ret_generation = s->row || !r ? s->generation : r->generation;
		if (ret_tunnel)
			*ret_tunnel = tunnel;
		return true;
	}
	return false;
}

bool kernel_tunnel_list(const struct kernel *k, uint64_t *pos, uint64_t *ret_key,
			uint32_t *ret_generation, struct kernel_tunnel *ret)
{
	const struct list *at = *pos ? (const struct list *)(uintptr_t)*pos : &k->all_tunnels;

	at = at->next;
	while (at != &k->all_tunnels && !tunnel_at(at)->up && !tunnel_at(at)->busy)
		at = at->next;
	if (at == &k->all_tunnels)
		return false;
	*pos = (uintptr_t)at;
	*ret_key = tunnel_at(at)->key;
	*ret_generation = tunnel_at(at)->generation;
	if (ret)
		*ret = tunnel_at(at)->is;
	return true;
}

int kernel_tunnel_fd(const struct kernel *k, uint64_t key)
{
	const struct ktunnel *t = ktunnel_find(k, key);

	return t ? t->fd : -1;
}

/* ---- what a former run left behind ---- */

struct leftovers {
	const struct kernel *k;
	uint16_t groups;
	struct nlm_link *v;
	size_t n, max;
};

static void leftover_each(void *arg, const struct nlm_link *l)
{
	struct leftovers *left = arg;

	if (!KERNEL_GROUP_IS(left->groups, l->group) || kframe_session(left->k, 0, l->ifindex))
		return;
	if (left->n == left->max) {
		size_t max = left->max ? 2 * left->max : 16;
		struct nlm_link *v = reallocarray(left->v, max, sizeof(*v));

		if (!v)
			return;
		left->v = v;
		left->max = max;
	}
	left->v[left->n++] = *l;
}

static bool tunnel_known(const struct kernel *k, uint32_t id)
{
	list_for_each (at, &k->all_tunnels) {
		const struct ktunnel *t = tunnel_at(at);

		if ((t->up || t->busy) && t->is.local_id == id)
			return true;
	}
	return false;
}

/* An Ethernet session is not deleted as an interface, but as what it is; and with it the tunnel of
 * the kernel's own that carried it. */
static bool leftover_session(struct kernel *k, struct nlm_l2tp *l, const struct nlm_link *link)
{
	struct nlm_l2tp_info i;

	if (nlm_l2tp_session_by_name(l, link->name, &i) != 0 ||
	    nlm_l2tp_session_delete(l, i.tunnel, i.session) != 0)
		return false;
	if (!tunnel_known(k, i.tunnel))
		nlm_l2tp_tunnel_delete(l, i.tunnel);
	return true;
}

/* How many interfaces each has; the last is that of Ethernet, which goes another way. */
struct groups {
	uint16_t of;
	uint16_t n[KERNEL_GROUP_COUNT];
};

static void group_each(void *arg, const struct nlm_link *l)
{
	struct groups *g = arg;

	uint32_t i = l->group & KERNEL_GROUP_COUNT;

	if (KERNEL_GROUP_IS(g->of, l->group) && i < KERNEL_GROUP_COUNT && g->n[i] < UINT16_MAX)
		g->n[i]++;
}

uint32_t kernel_groups_del(struct nlm *rt, uint16_t groups)
{
	struct groups g;
	uint32_t count = 0;

	memset(&g, 0, sizeof(g));
	g.of = groups;
	nlm_links(rt, group_each, &g);
	for (uint32_t i = 0; i < KERNEL_GROUP_COUNT; i++)
		if (g.n[i] && nlm_link_del_group(rt, KERNEL_GROUP(groups, i)) == 0)
			count += g.n[i];
	return count;
}

static void seen_each(void *arg, const struct nlm_link *l)
{
	uint32_t *seen = arg, of = l->group >> 16;

	if (KERNEL_GROUPS_OK(of))
		*seen |= 1u << (of - KERNEL_GROUPS);
}

uint32_t kernel_groups_seen(const struct kernel *k)
{
	struct nlm *rt = calloc(1, sizeof(*rt));
	uint32_t seen = 0;

	if (rt && nlm_open_on(rt, k->sys, NETLINK_ROUTE) == 0) {
		nlm_links(rt, seen_each, &seen);
		nlm_close(rt);
	}
	free(rt);
	return seen;
}

uint32_t kernel_sweep(struct kernel *k, uint16_t groups)
{
	struct leftovers left = { .k = k, .groups = groups };
	struct nlm_l2tp *l = calloc(1, sizeof(*l));
	struct nlm *rt = calloc(1, sizeof(*rt));
	uint32_t count = 0;

	if (l && rt && nlm_open_on(rt, k->sys, NETLINK_ROUTE) == 0) {
		/* What is no group of theirs any more is looked at one by one. */
		count = kernel_groups_del(rt, groups);
		if (nlm_l2tp_open(l, k->sys) == 0) {
			nlm_links(rt, leftover_each, &left);
			for (size_t i = 0; i < left.n; i++)
				count += nlm_link_del(rt, left.v[i].ifindex) == 0 ||
					 leftover_session(k, l, &left.v[i]);
			nlm_l2tp_close(l);
		}
		nlm_close(rt);
	}
	free(left.v);
	free(rt);
	free(l);
	return count;
}

/* ---- opening ---- */

static int tables_init(struct kernel *k)
{
	uint8_t key[16];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	htab_init(&k->tunnels, key);
	htab_init(&k->sessions, key);
	htab_init(&k->by_index, key);
	return 0;
}

static void defaults(struct kernel_config *c)
{
	if (!c->workers)
		c->workers = KERNEL_WORKERS;
	if (!c->txqlen)
		c->txqlen = K_TXQLEN;
	if (!c->frames_per_s)
		c->frames_per_s = 100;
	if (!c->frames_all_per_s)
		c->frames_all_per_s = 20000;
	if (!c->sessions_max)
		c->sessions_max = 100000;
	if (!c->groups)
		c->groups = KERNEL_GROUPS;
	if (!c->proto)
		c->proto = KERNEL_PROTO(1);
}

/* A PPP session takes three descriptors; the soft limit is usually that of select(), 1024. */
static void descriptors_raise(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

struct kernel *kernel_new(const struct kernel_config *config)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return NULL;
	k->config = *config;
	defaults(&k->config);
	descriptors_raise();
	k->sys = config->sys ? config->sys : &kernel_sys_real;
	list_init(&k->all_tunnels);
	list_init(&k->all_sessions);
	list_init(&k->ready_tunnels);
	list_init(&k->ready_sessions);
	list_init(&k->done);
	list_init(&k->gone_sessions);
	list_init(&k->gone_tunnels);
	list_init(&k->frames);
	list_init(&k->jobs);
	list_init(&k->wires);
	list_init(&k->finished);
	list_init(&k->grouping);
	list_init(&k->closing);
	pthread_mutex_init(&k->links, NULL);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->more, NULL);
	k->hints.m.fd = -1;
	k->netns[0] = (struct knetns){ 0, -1, -1 };
	k->netns_n = 1;
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	k->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	k->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = k->epoll < 0 || k->wake < 0 || k->timer < 0 ? -errno : tables_init(k);
	if (!err)
		err = kframe_open(k);
	if (!err)
		err = kwork_start(k);
	if (err) {
		kernel_free(k);
		errno = -err;
		return NULL;
	}
	return k;
}

static void reqs_free(struct list *reqs)
{
	struct list *node;

	while ((node = list_pop(reqs)))
		kreq_free(container_of(node, struct kreq, node));
}

static void close_one(struct kernel *k, int fd)
{
	if (fd >= 0)
		k->sys->close(k->sys, fd);
}

static void jobs_settle(struct kernel *k)
{
	struct kjob *j;

	while ((j = kwork_finished(k)))
		klook_finished(k, j);
}

void kernel_free(struct kernel *k)
{
	if (!k)
		return;
	kwork_stop(k);
	jobs_settle(k);
	list_for_each_safe (at, &k->all_sessions) {
		struct ksession *s = container_of(at, struct ksession, all);

		close_one(k, s->have.unit);
		close_one(k, s->have.chan);
		close_one(k, s->have.pppox);
		reqs_free(&s->reqs);
		if (s->failing)
			kreq_free(s->failing);
		ksession_free(k, s);
	}
	list_for_each_safe (at, &k->all_tunnels) {
		struct ktunnel *t = container_of(at, struct ktunnel, all);

		close_one(k, t->fd);
		reqs_free(&t->reqs);
		ktunnel_free(k, t);
	}
	reqs_free(&k->done);
	kframes_free(&k->frames);
	free(k->frame);
	if (k->drop)
		kreq_free(k->drop);
	if (k->stats)
		kreq_free(k->stats);
	kframe_close(k);
	for (uint32_t i = 1; i < k->netns_n; i++)
		close(k->netns[i].fd);
	htab_free(&k->tunnels);
	htab_free(&k->sessions);
	htab_free(&k->by_index);
	if (k->timer >= 0)
		close(k->timer);
	if (k->wake >= 0)
		close(k->wake);
	if (k->epoll >= 0)
		close(k->epoll);
	pthread_mutex_destroy(&k->links);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->more);
	free(k);
}
