/* SPDX-License-Identifier: MIT
 *
 * Counters of the kernel plane: one reading of all on a worker, merged on the owner's thread. What
 * a reading does not find any more was taken away by somebody else.
 */
#include "kernel_int.h"

#include <errno.h>
#include <stdlib.h>

#define SHUT_MOST (60 * US_S) /* CCP gives up before */

void kstat_one(struct kernel *k, struct ksession *s, const struct kstat *st)
{
	if (st->rx_packets != s->rx_packets) {
		s->last_rx = k->now;
		if (s->tunnel)
			s->tunnel->heard = k->now;
	}
	if (st->tx_packets != s->tx_packets)
		s->last_tx = k->now;
	s->rx_packets = st->rx_packets;
	s->rx_bytes = st->rx_bytes;
	s->tx_packets = st->tx_packets;
	s->tx_bytes = st->tx_bytes;
	s->errors = st->rx_errors + st->tx_errors;
}

static void vanished(struct kernel *k)
{
	list_for_each (at, &k->all_sessions) {
		struct ksession *s = container_of(at, struct ksession, all);

		if (s->indexed && !s->busy && !s->end && s->born < k->reading &&
		    s->seen != k->reading)
			ksession_lost(k, s, "its interface was deleted by another program");
	}
}

/* Whoever has shut them with a packet that the owner could make nothing of, must not for good. */
static void shut_too_long(struct kernel *k)
{
	list_for_each (at, &k->all_sessions) {
		struct ksession *s = container_of(at, struct ksession, all);

		if (s->shut_at.us && !s->busy && !s->end &&
		    mono_due(mono_add(s->shut_at, SHUT_MOST), k->now))
			ksession_lost(k, s,
				      "its encryption was switched off by a packet of CCP that "
				      "nothing followed");
	}
}

void kstat_merge(struct kernel *k, struct kjob *j)
{
	for (size_t i = 0; i < j->stat_n; i++) {
		const struct kstat *st = &j->stats[i];
		struct ksession *s = st->key ? ksession_find(k, st->key)
					     : kframe_session(k, st->netns, st->ifindex);

		if (!s || (st->key && !st->read))
			continue;
		s->seen = k->reading;
		kstat_one(k, s, st);
	}
	if (j->kind == KJ_STATS && j->result == KERNEL_OK && !j->stats_cut)
		vanished(k);
	if (j->kind == KJ_STATS)
		shut_too_long(k);
}

void kstat_counters(const struct ksession *s, struct dp_counters *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->rx_packets = s->rx_packets;
	ret->rx_bytes = s->rx_bytes;
	ret->tx_packets = s->tx_packets;
	ret->tx_bytes = s->tx_bytes;
	ret->drop_other = s->errors;
	ret->last_rx = s->last_rx;
	ret->last_tx = s->last_tx;
}

/* The joined ones are asked for by name. */
int kstat_job(struct kernel *k)
{
	struct kjob *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	list_init(&j->frames);
	j->kind = KJ_STATS;
	list_for_each (at, &k->all_sessions) {
		struct ksession *s = container_of(at, struct ksession, all);
		struct kstat st = { .key = s->key, .session = s->local_session };

		if (s->have.stage != K_JOINED || !s->tunnel)
			continue;
		st.tunnel = s->tunnel->is.local_id;
		if (kstat_add(j, &st) < 0) {
			free(j->stats);
			free(j);
			return -ENOMEM;
		}
	}
	k->reading++;
	kwork_push(k, j);
	return 0;
}

int kernel_stats_read(struct kernel *k, uint32_t generation)
{
	struct kreq *r;
	int err;

	if (k->stats)
		return 1;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	list_init(&r->node);
	r->op = KERNEL_OP_STATS;
	r->generation = generation;
	r->fd = -1;
	err = kstat_job(k);
	if (err) {
		free(r);
		return err;
	}
	k->stats = r;
	return 0;
}

bool kernel_stats(const struct kernel *k, uint64_t key, struct dp_counters *ret)
{
	const struct ksession *s = ksession_find(k, key);

	if (!s)
		return false;
	kstat_counters(s, ret);
	return true;
}

struct mono kernel_heard(const struct kernel *k, uint64_t tunnel)
{
	const struct ktunnel *t = ktunnel_find(k, tunnel);

	return t ? t->heard : (struct mono){ 0 };
}

void kernel_stats_all(const struct kernel *k, struct kernel_stats_all *ret)
{
	*ret = k->count;
	ret->tunnels = k->tunnel_n;
	ret->sessions = k->session_n;
	ret->retries = atomic_load(&k->retries);
	list_for_each (at, &k->all_sessions) {
		const struct ksession *s = container_of(at, struct ksession, all);

		ret->descriptors += (uint32_t)((s->have.pppox >= 0) + (s->have.chan >= 0) +
					       (s->have.unit >= 0));
	}
}
