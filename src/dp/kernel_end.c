/* SPDX-License-Identifier: MIT
 *
 * The kernel plane: sessions that end together, because their tunnel ends or because all of it was
 * asked to be deleted. Runs on the owner's thread, but for kend_closes().
 *
 * Two things take time, and neither has to wait for the other. Interfaces go as a group: one
 * message, one set of grace periods, a long time with the RTNL; one group at a time, since the next
 * would only hold a worker. And each PPPoX socket waits for RCU when it is closed, without the
 * RTNL, asleep nearly all the time: some threads do that side by side, which are there for as long
 * as it takes, and workers that have nothing better to do. An interface without its channel loses
 * what is sent to it.
 *
 * Descriptors of units are closed behind the deletion of the group: an interface whose owner is
 * closed before is deleted by itself, with grace periods of its own.
 */
#include "kernel_int.h"

#include <signal.h>
#include <stdlib.h>

#include "base/fault.h"

#define GROUP_WORTH 4 /* interfaces that are deleted as a group rather than one by one */
#define SLICE	    8 /* descriptors that a worker closes before it looks for something better */
#define STACK	    (64 * 1024)

static bool belongs(const struct ksession *s)
{
	return s->have.stage == K_UNIT && s->indexed && !s->busy && !s->netns;
}

static struct kjob *job_of(enum kjob_kind kind, struct ktunnel *t, size_t fds)
{
	struct kjob *j = kjob_new(kind);

	if (!j)
		return NULL;
	j->t = t;
	j->group = t->group;
	j->fds = calloc(fds, sizeof(*j->fds));
	if (j->fds)
		return j;
	kjob_free(j);
	return NULL;
}

static void fd_put(struct kjob *j, int *fd)
{
	if (*fd >= 0)
		j->fds[j->fd_n++] = *fd;
	*fd = -1;
}

static void *closer(void *arg)
{
	struct kcloser *c = arg;

	pthread_mutex_lock(&c->k->lock);
	while (kend_closes(c->k))
		continue;
	c->over = true;
	pthread_mutex_unlock(&c->k->lock);
	return NULL;
}

/* Has it ended, or never begun? */
static bool closer_free(struct kernel *k, struct kcloser *c)
{
	bool over;

	pthread_mutex_lock(&k->lock);
	over = c->over;
	pthread_mutex_unlock(&k->lock);
	if (!c->running || !over)
		return !c->running;
	pthread_join(c->thread, NULL);
	c->running = c->over = false;
	return true;
}

/* So many are worth it. Where no thread can be had the workers do it alone. */
static void closers_start(struct kernel *k, uint32_t most)
{
	pthread_attr_t attr;
	sigset_t all, old;

	if (pthread_attr_init(&attr))
		return;
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (uint32_t i = 0; i < K_CLOSERS && i < most; i++) {
		struct kcloser *c = &k->closers[i];

		if (!closer_free(k, c))
			continue;
		c->k = k;
		c->running = pthread_create(&c->thread, &attr, closer, c) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

void kend_stop(struct kernel *k)
{
	for (uint32_t i = 0; i < K_CLOSERS; i++) {
		if (k->closers[i].running)
			pthread_join(k->closers[i].thread, NULL);
		k->closers[i].running = false;
	}
}

/* Without memory for them they go with their interfaces. */
static void routes_put(struct kjob *j, const struct ksession *s)
{
	struct dp_row row;

	if (j->routes && krow_load(s, &row))
		j->route_n += kroutes_list(&row, s->have.ifindex, j->routes + j->route_n);
}

bool kend_begin(struct kernel *k, struct ktunnel *t)
{
	struct kjob *units, *pipes;
	uint32_t n = 0;

	if (t->ends || t->leave < t->n || !t->group ||
	    t->group == KERNEL_GROUP_LAST(k->config.groups))
		return false;
	list_for_each (at, &t->sessions)
		n += belongs(container_of(at, struct ksession, in_tunnel));
	if (n < GROUP_WORTH)
		return false;
	units = job_of(KJ_GROUP_END, t, n);
	pipes = job_of(KJ_CLOSE, t, 2 * (size_t)n);
	if (!units || !pipes) {
		kjob_free(units);
		kjob_free(pipes);
		return false;
	}
	units->routes = calloc(n, DP_PREFIXES * sizeof(*units->routes));
	list_for_each (at, &t->sessions) {
		struct ksession *s = container_of(at, struct ksession, in_tunnel);

		kframe_unwatch(k, s);
		if (!belongs(s))
			continue;
		s->busy = s->grouped = true;
		routes_put(units, s);
		fd_put(units, &s->have.unit);
		fd_put(pipes, &s->have.chan);
		fd_put(pipes, &s->have.pppox);
	}
	t->ends = 2;
	kwork_push(k, units);
	kwork_push(k, pipes);
	closers_start(k, 2 * n / SLICE);
	return true;
}

void kend_finished(struct kernel *k, struct kjob *j)
{
	struct ktunnel *t = j->t;

	if (j->kind == KJ_GROUP_END)
		kstat_merge(k, j);
	if (--t->ends)
		return;
	list_for_each_safe (at, &t->sessions) {
		struct ksession *s = container_of(at, struct ksession, in_tunnel);

		if (s->grouped) {
			s->grouped = s->busy = false;
			ksession_ended(k, s);
		}
		ksession_ready(k, s);
	}
}

/* ---- on the workers ---- */

bool kend_closes(struct kernel *k)
{
	struct kjob *j;
	size_t from, to;

	if (list_empty(&k->closing))
		return false;
	j = container_of(k->closing.next, struct kjob, node);
	from = j->fd_at;
	to = j->fd_n - from > SLICE ? from + SLICE : j->fd_n;
	j->fd_at = to;
	j->closers++;
	if (to == j->fd_n)
		list_drop(&j->node);
	pthread_mutex_unlock(&k->lock);
	for (size_t i = from; i < to; i++) {
		FAULT_SLOW("in-close");
		k->sys->close(k->sys, j->fds[i]);
	}
	pthread_mutex_lock(&k->lock);
	if (--j->closers == 0 && j->fd_at == j->fd_n)
		kwork_done(k, j);
	return true;
}
