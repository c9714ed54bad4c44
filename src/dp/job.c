/* SPDX-License-Identifier: MIT
 *
 * Requests to the user-space plane, step by step. Requests for one key wait for each other; those
 * for different keys run side by side. Most sessions of an LNS need nothing of the host (their
 * addresses lie in a pool that is routed to the shared device as a whole) and are done at once.
 *
 * What a row asks of the host is a list of items in a fixed order: keep the peer reachable, then
 * addresses, then routes. A change adds the items the old row has not, then switches the row, then
 * removes the items the new row has not. So a PUT is complete only when everything is in place, and
 * a failed one is undone by removing what it added. A new row is written into the table, not
 * forwarding yet, before the host is asked for anything: a process that dies in between leaves a
 * row whose deletion takes everything with it.
 */
#include "user_int.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PICKS_MAX   64
#define MTU_DEFAULT 1500

static void step(struct user *u, struct job *j);

static void again(struct user *u, uint64_t key, uint32_t generation)
{
	struct job *j = job_new(JOB_AGAIN, key, generation);

	if (j && job_start(u, j) < 0)
		job_free(j);
}

/* ---- errors in words ---- */

static void say(struct job *j, int error, const char *what, const char *why)
{
	if (j->error)
		return; /* the first one counts */
	j->error = error > 0 ? -error : error;
	if (snprintf(j->text, sizeof(j->text), "%s: %s", what, why ? why : strerror(-j->error)) >=
	    (int)sizeof(j->text))
		memcpy(j->text + sizeof(j->text) - 4, "...", 4);
}

/* ---- items ---- */

static unsigned int item_count(const struct job *j)
{
	return j->op == JOB_NET || j->op == JOB_SHARED ? ITEM_NETS : ITEM_ROWS;
}

/* Item i of what the job brings, or of what was there before. */
static struct item item_at(const struct job *j, bool old, unsigned int i)
{
	if (j->op == JOB_NET || j->op == JOB_SHARED)
		return item_of_net(old ? j->old_net : j->net, i);
	if (old)
		return item_of_row(&j->old, j->old_routed, i);
	return item_of_row(&j->row, j->routed, i);
}

static bool has_item(const struct job *j, bool old, const struct item *it)
{
	for (unsigned int i = 0; i < item_count(j); i++) {
		struct item other = item_at(j, old, i);

		if (item_same(&other, it))
			return true;
	}
	return false;
}

static const char *device(const struct user *u, const struct job *j)
{
	return j->ifname[0] ? j->ifname : u->ifname;
}

/* ---- asking the host ---- */

/* The request was made, or refused at once: then go on as if that were the answer. */
static void asked(struct user *u, struct job *j, int rc)
{
	list_drop(&j->link);
	list_push(&u->asking, &j->link);
	if (rc < 0)
		job_answered(u, j->ask, rc,
			     "the request could not be made, the daemon is short of memory", -1);
}

static void ask_item(struct user *u, struct job *j, const struct item *it, bool add)
{
	int rc;

	j->ask = ++u->ask;
	if (it->kind == ITEM_IS_PIN)
		rc = u->host_ops.pin(u->host, j->ask, &it->p.addr, add);
	else if (it->kind == ITEM_IS_ADDR)
		rc = u->host_ops.addr(u->host, j->ask, device(u, j), &it->p, add);
	else
		rc = u->host_ops.route(u->host, j->ask, device(u, j), &it->p, it->table, it->metric,
				       add);
	asked(u, j, rc);
}

static void say_item(const struct user *u, struct job *j, int error, const char *text)
{
	struct item it = item_at(j, false, j->at);
	char prefix[ADDR_TEXT_MAX], what[DP_TEXT];

	if (it.kind == ITEM_IS_PIN)
		snprintf(what, sizeof(what), "the route to %s could not be kept",
			 addr_text(&it.p.addr, prefix));
	else
		snprintf(what, sizeof(what), "%s %s could not be added to %s",
			 it.kind == ITEM_IS_ADDR ? "address" : "route", prefix_text(&it.p, prefix),
			 device(u, j));
	say(j, error, what, text);
}

/* ---- ends ---- */

static void close_later(struct job *j, int fd)
{
	if (j->fd >= 0) /* never both */
		close(j->fd);
	j->fd = fd;
}

/* Let those in that wait for the same key, and give the completion out. */
static void finish(struct user *u, struct job *j)
{
	struct job *next = j->next;

	htab_drop(&u->keys, &j->node);
	list_drop(&j->link);
	/* Only of a session that is gone: its deletion has waited since the descriptor was taken.
	 */
	close_later(j, -1);
	if (next)
		htab_put(&u->keys, &next->node, j->node.hash);
	if (j->op <= JOB_NET) {
		list_push(&u->done, &j->link);
		ring_wake(&u->fwd.ring);
	} else {
		job_free(j);
	}
	if (next)
		step(u, next);
}

/* Wait until the forwarding thread has let go of what was taken away just now. */
static void wait_quiet(struct user *u, struct job *j)
{
	if (!j->tag)
		j->tag = qsbr_advance(&u->qsbr);
	list_drop(&j->link);
	list_push(&u->quiet, &j->link);
}

/* ---- putting ---- */

static bool same_row(const struct dp_row *a, const struct dp_row *b)
{
	struct dp_row x = *a, y = *b;

	x.first_ns = y.first_ns;
	x.first_nr = y.first_nr;
	if (!item_client(&x) || !x.ifname[0])
		memcpy(x.ifname, y.ifname, sizeof(x.ifname));
	return memcmp(&x, &y, sizeof(x)) == 0;
}

/* What this plane does not do. */
static const char *cannot(const struct dp_row *r)
{
	if (r->ends == DP_L2TP_ETH && r->netns)
		return "it makes interfaces in its own network namespace only";
	if (r->ends != DP_L2TP_ETH && r->ends != DP_L2TP_PPP)
		return "it terminates PPP, and Ethernet over L2TPv3";
	if (r->ends != DP_L2TP_ETH && (r->master[0] || r->netns))
		return "it has no interface for the session that a VRF or namespace could have";
	if (r->flags & (DP_F_MPPE | DP_F_MPPE_KEYS))
		return "it does not encrypt (MPPE)";
	return NULL;
}

/* A change that a row in place cannot have. */
static const char *fixed(const struct job *j)
{
	if (item_client(&j->row) != item_client(&j->old) || j->row.ends != j->old.ends)
		return "a session cannot change its side while it is up";
	if (j->row.local_tunnel != j->old.local_tunnel ||
	    j->row.local_session != j->old.local_session)
		return "a session cannot change its ids while it is up";
	if (item_client(&j->row) && j->row.ifname[0] && strcmp(j->row.ifname, j->old.ifname) != 0)
		return "a session cannot change its interface name while it is up";
	return NULL;
}

/* False: refused, and said; or `later`: what others gave up is still in the reader's hands. */
static bool table_put(struct user *u, struct job *j, bool up)
{
	uint64_t other = 0;
	int rc = dpt_put(u->table, j->key, j->generation, &j->row, j->routed, up, &j->slot, &other);
	char why[DP_TEXT];

	if (rc == 0)
		return true;
	if (rc == -EAGAIN) {
		j->later = true;
		return false;
	}
	if (rc == DPT_REFUSED_IDS)
		snprintf(why, sizeof(why), "session %016llx has the same ids",
			 (unsigned long long)other);
	else if (rc == DPT_REFUSED_PREFIX)
		snprintf(why, sizeof(why),
			 "one of its addresses belongs to session %016llx; end that one first",
			 (unsigned long long)other);
	else if (rc == -ENOSPC)
		snprintf(why, sizeof(why), "all %u places are taken; raise max-sessions",
			 dpt_slots(u->table));
	else
		snprintf(why, sizeof(why), "the machine is out of memory");
	say(j, rc > 0 ? -EEXIST : rc, "no row in the session table", why);
	return false;
}

/* The device of a client's new session: its name, and the place for it. */
static bool take_name(struct user *u, struct job *j)
{
	if (j->row.ifname[0] && device_used(u, j->row.ifname)) {
		say(j, -EBUSY, j->row.ifname, "this interface belongs to another session");
		return false;
	}
	j->picked = !j->row.ifname[0];
	if (j->picked)
		device_pick(u, j->picks, j->row.ifname);
	memcpy(j->ifname, j->row.ifname, sizeof(j->ifname));
	return true;
}

/* A new row: into the table first. It is complete at once when the host has nothing to do. */
static void begin_fresh(struct user *u, struct job *j)
{
	bool client = item_client(&j->row);
	bool simple = !client && !j->routed && u->shared == SHARED_OPEN;

	if ((client && !take_name(u, j)) || !table_put(u, j, simple && j->row.state == DP_ACTIVE)) {
		if (j->later && j->picked)
			j->row.ifname[0] = '\0'; /* it may be taken by then */
		j->phase = j->later ? JOB_BEGIN : JOB_END;
		return;
	}
	if (client && !device_add(u, j->slot, j->ifname)) {
		say(j, -ENOMEM, "no interface", "the machine is out of memory");
		j->undo = true;
		j->phase = JOB_GONE;
		return;
	}
	j->phase = simple ? JOB_END : JOB_OPEN;
}

static void begin_put(struct user *u, struct job *j)
{
	struct dpt_info info;
	struct dpt_brief row;
	const char *why = NULL;

	j->at = 0;
	if (!dp_row_ok(&j->row) || j->key == 0) {
		say(j, -EINVAL, "the row is not valid", "a value is out of range");
		j->phase = JOB_END;
		return;
	}
	why = cannot(&j->row);
	if (why) {
		say(j, -EOPNOTSUPP, "the user-space plane cannot carry it", why);
		j->phase = JOB_END;
		return;
	}
	if (!item_client(&j->row))
		memset(j->row.ifname, 0, sizeof(j->row.ifname));
	j->routed = item_routed(&u->net, &j->row);
	j->slot = dpt_find(u->table, j->key);
	if (j->slot != DPT_NONE && dpt_brief(u->table, j->slot, &row) && row.ended) {
		dpt_free(u->table, j->slot); /* of a deletion; nobody asks for its counters now */
		j->slot = DPT_NONE;
	}
	j->fresh = j->slot == DPT_NONE;
	if (j->fresh) {
		begin_fresh(u, j);
		return;
	}
	if (!dpt_get(u->table, j->slot, &info))
		why = "its row in the session table is damaged";
	else
		j->old = info.row;
	if (!why)
		why = fixed(j);
	if (why) {
		say(j, -EINVAL, "the row was not changed", why);
		j->phase = JOB_END;
		return;
	}
	j->old_routed = info.routed;
	/* A route that is there stays, even when a pool covers it by now. */
	for (unsigned int i = 0; i < j->row.prefix_count; i++) {
		for (unsigned int k = 0; k < j->old.prefix_count; k++) {
			if ((info.routed >> k & 1) &&
			    j->row.prefixes[i].len == j->old.prefixes[k].len &&
			    addr_same_ip(&j->row.prefixes[i].addr, &j->old.prefixes[k].addr))
				j->routed |= (uint8_t)(1u << i);
		}
	}
	memcpy(j->row.ifname, j->old.ifname, sizeof(j->row.ifname));
	memcpy(j->ifname, j->row.ifname, sizeof(j->ifname));
	if (same_row(&j->row, &j->old) && info.up == (j->row.state == DP_ACTIVE) &&
	    j->routed == info.routed) {
		dpt_regenerate(u->table, j->slot, j->generation);
		j->phase = JOB_END;
		return;
	}
	j->phase = JOB_OPEN;
}

/* ---- taking away ---- */

static void begin_del(struct user *u, struct job *j)
{
	struct dpt_info info;

	j->slot = dpt_find(u->table, j->key);
	if (j->slot == DPT_NONE || !dpt_get(u->table, j->slot, &info)) {
		j->phase = JOB_END;
		return;
	}
	j->old = info.row;
	j->old_routed = info.routed;
	memcpy(j->ifname, info.row.ifname, sizeof(j->ifname));
	dpt_stop(u->table, j->slot);
	FAULT("in-del");
	if (item_client(&info.row))
		close_later(j, fwd_unwatch_dev(&u->fwd, j->slot + 1));
	j->tag = qsbr_advance(&u->qsbr);
	j->at = ITEM_ROWS;
	j->phase = JOB_REMOVE;
}

/* The last step of a deletion, and of a new row that failed: the slot comes back, unless the owner
 * says when its last counters are where a successor finds them. */
static void end_slot(struct user *u, struct job *j)
{
	dpt_counters(u->table, j->slot, &j->counters);
	device_drop(u, j->slot);
	j->held = j->op == JOB_DEL && u->keep_ended;
	if (!j->held)
		dpt_free(u->table, j->slot);
}

/* ---- the net ---- */

/* Rows whose prefixes no pool covers any more need routes of their own. */
static void check_routes(struct user *u)
{
	struct dpt_info info;

	for (uint32_t slot = 0; slot < dpt_high(u->table); slot++) {
		if (dpt_get(u->table, slot, &info) && !info.ended &&
		    (item_routed(&u->net, &info.row) & ~info.routed))
			again(u, info.key, info.generation);
	}
}

static void begin_net(struct user *u, struct job *j)
{
	if (!dp_net_ok(j->net)) {
		say(j, -EINVAL, "the addresses of the plane are not valid",
		    "a value is out of range");
		j->phase = JOB_END;
		return;
	}
	*j->old_net = u->net;
	j->at = 0;
	j->phase = JOB_OPEN;
	/* A client alone has no sessions to route to, and needs no shared device. */
	if (!j->net->local_count && !j->net->pool_count && u->shared == SHARED_NONE)
		j->phase = JOB_COMMIT;
}

static void commit_net(struct user *u, struct job *j)
{
	bool same = memcmp(&u->net, j->net, sizeof(u->net)) == 0;

	u->net = *j->net;
	dpt_net_put(u->table, j->net);
	/* After a restart: each row is put anew, and its routes are looked at then. */
	if (!same)
		check_routes(u);
}

/* ---- our own ---- */

static void begin_again(struct user *u, struct job *j)
{
	struct dpt_info info;

	j->slot = dpt_find(u->table, j->key);
	if (j->slot == DPT_NONE || !dpt_get(u->table, j->slot, &info) || info.ended) {
		j->phase = JOB_END;
		return;
	}
	j->row = info.row;
	j->stays = info.up && !j->lost;
	j->routed = (uint8_t)(info.routed | item_routed(&u->net, &info.row));
	dpt_routed(u->table, j->slot, j->routed);
	memcpy(j->ifname, info.row.ifname, sizeof(j->ifname));
	j->at = 0;
	j->phase = JOB_QUIET;
}

/* ---- steps ---- */

static uint32_t dev_of(const struct job *j)
{
	return j->ifname[0] ? j->slot + 1 : 0;
}

static uint16_t link_mtu(const struct user *u, const struct job *j)
{
	if (j->ifname[0])
		return j->row.mtu;
	if (j->op == JOB_NET && j->net->mtu)
		return j->net->mtu;
	return u->net.mtu ? u->net.mtu : MTU_DEFAULT;
}

/* Begin to open the shared device for all that wait for it. `fd` is of one that was lost. */
static void open_shared(struct user *u, int fd)
{
	struct job *j = job_new(JOB_SHARED, 0, 0);

	u->shared = SHARED_OPENING;
	if (!j) {
		u->shared = SHARED_NONE;
		return;
	}
	j->fd = fd;
	j->lost = fd >= 0;
	*j->net = u->net;
	/* It has no key that anybody waits for; it is in the table all the same, as every job is.
	 */
	htab_put(&u->keys, &j->node, 0);
	step(u, j);
}

/* The shared device is open, or could not be opened. */
static void shared_ended(struct user *u, const struct job *j)
{
	struct list waiting;
	struct dpt_brief row;

	u->shared = j->error ? SHARED_NONE : SHARED_OPEN;
	list_init(&waiting);
	for (struct list *l; (l = list_pop(&u->shared_wait)) != NULL;)
		list_push(&waiting, l);
	for (struct list *l; (l = list_pop(&waiting)) != NULL;) {
		struct job *w = container_of(l, struct job, link);

		if (j->error) {
			w->error = j->error;
			memcpy(w->text, j->text, sizeof(w->text));
			w->undo = w->fresh;
			w->phase = w->fresh ? JOB_WAIT : JOB_END;
			if (w->fresh)
				dpt_stop(u->table, w->slot);
		} else {
			w->phase = JOB_LINK;
		}
		step(u, w);
	}
	for (uint32_t slot = 0; j->lost && !j->error && slot < dpt_high(u->table); slot++) {
		if (dpt_brief(u->table, slot, &row) && row.routed && !row.ended)
			again(u, row.key, row.generation);
	}
}

/* JOB_OPEN: false when the job has to wait. */
static bool step_open(struct user *u, struct job *j)
{
	bool own = j->ifname[0];

	if (own && atomic_load(&u->fwd.devs[dev_of(j)])) {
		j->phase = JOB_LINK;
		return true;
	}
	if (!own && j->op != JOB_SHARED) {
		if (u->shared == SHARED_OPEN) {
			j->phase = JOB_LINK;
			return true;
		}
		list_drop(&j->link);
		list_push(&u->shared_wait, &j->link);
		if (u->shared == SHARED_NONE)
			open_shared(u, -1);
		if (u->shared == SHARED_NONE && !list_empty(&u->shared_wait)) {
			struct job failed = { .error = -ENOMEM, .text = "out of memory" };

			shared_ended(u, &failed);
		}
		return false;
	}
	j->ask = ++u->ask;
	asked(u, j,
	      u->host_ops.tun_open(u->host, j->ask, device(u, j),
				   own && j->row.ends == DP_L2TP_ETH));
	return false;
}

/* JOB_LINK: false when the host was asked. */
static bool step_link(struct user *u, struct job *j)
{
	uint16_t mtu = link_mtu(u, j);
	bool own = j->ifname[0];
	bool moves = j->op == JOB_PUT ? j->fresh || strcmp(j->old.master, j->row.master) != 0
				      : !j->stays;

	/* Only the first to open the shared device and a new net set its MTU. */
	if ((!own && (j->op == JOB_PUT || j->op == JOB_AGAIN)) ||
	    (!own && j->op == JOB_NET && u->shared_mtu == mtu) ||
	    (own && !moves && j->old.mtu == mtu)) {
		j->phase = JOB_ADD;
		return true;
	}
	if (!own)
		u->shared_mtu = mtu;
	j->ask = ++u->ask;
	/* With another MTU, and under another owner, it stays where it is: somebody may have moved
	 * it, or the bridge be gone. */
	asked(u, j,
	      u->host_ops.link_up(u->host, j->ask, device(u, j), mtu,
				  own && moves && j->row.ends == DP_L2TP_ETH ? j->row.master
									     : NULL));
	return false;
}

static bool step_add(struct user *u, struct job *j)
{
	/* Of a row that is not new the old items are there already. */
	bool old = j->op == JOB_NET || (j->op == JOB_PUT && !j->fresh);

	for (; j->at < item_count(j); j->at++) {
		struct item it = item_at(j, false, j->at);

		if (it.kind == ITEM_NONE || (old && has_item(j, true, &it)))
			continue;
		ask_item(u, j, &it, true);
		return false;
	}
	j->phase = JOB_COMMIT;
	return true;
}

/* A pseudowire whose far circuit is down has no carrier; no right is needed to say so. */
static void show_carrier(struct user *u, const struct job *j)
{
	int fd = (atomic_load(&u->fwd.devs[dev_of(j)]) >> 1) - 1;
	int carrier = !(j->row.flags & DP_F_FAR_DOWN);

	if (j->row.ends == DP_L2TP_ETH && fd >= 0)
		ioctl(fd, TUNSETCARRIER, &carrier); /* before Linux 4.18: it always has one */
}

static void step_commit(struct user *u, struct job *j)
{
	j->at = item_count(j);
	if (j->op == JOB_PUT) {
		bool put = table_put(u, j, j->row.state == DP_ACTIVE);

		if (j->later)
			return;
		j->undo = !put;
		j->phase = put && j->fresh ? JOB_END : JOB_REMOVE;
		show_carrier(u, j);
	} else if (j->op == JOB_NET) {
		commit_net(u, j);
		j->phase = JOB_REMOVE;
	} else {
		if (j->op == JOB_SHARED)
			shared_ended(u, j);
		j->phase = JOB_END;
	}
}

/* What to remove: normally of the old what the new has not; undoing, of the new what the old has
 * not (all of it for a new row, whose device goes as a whole). */
static bool step_remove(struct user *u, struct job *j)
{
	bool device_goes = j->ifname[0] && (j->op == JOB_DEL || (j->undo && j->fresh));
	bool other = j->undo ? !j->fresh : j->op != JOB_DEL;

	while (j->at > 0) {
		struct item it = item_at(j, !j->undo, --j->at);

		if (it.kind == ITEM_NONE || (device_goes && it.kind != ITEM_IS_PIN) ||
		    (other && has_item(j, j->undo, &it)) ||
		    (it.kind == ITEM_IS_PIN && pin_shared(u, j->key, &it.p.addr)))
			continue;
		ask_item(u, j, &it, false);
		return false;
	}
	if (j->op == JOB_DEL || (j->undo && j->fresh))
		j->phase = JOB_GONE;
	else
		j->phase = JOB_END;
	return true;
}

static bool step_gone(struct user *u, struct job *j)
{
	j->phase = JOB_WAIT;
	if (j->op != JOB_DEL) { /* a new row that failed */
		dpt_stop(u->table, j->slot);
		if (j->ifname[0])
			close_later(j, fwd_unwatch_dev(&u->fwd, j->slot + 1));
		j->tag = qsbr_advance(&u->qsbr);
	}
	/* Never a device that was not ours to begin with. */
	if (!j->ifname[0] || (j->op != JOB_DEL && !j->made))
		return true;
	j->ask = ++u->ask;
	asked(u, j, u->host_ops.tun_gone(u->host, j->ask, j->ifname));
	return false;
}

/* True when nothing is to be waited for. */
static bool step_quiet(struct user *u, struct job *j)
{
	if (j->phase == JOB_QUIET && j->fd < 0) {
		j->phase = JOB_OPEN;
		return true;
	}
	wait_quiet(u, j);
	if (!qsbr_passed(&u->qsbr, j->tag)) {
		qsbr_want(&u->qsbr);
		if (!qsbr_passed(&u->qsbr, j->tag))
			return false;
	}
	list_drop(&j->link);
	close_later(j, -1);
	j->tag = 0;
	if (j->phase == JOB_WAIT) {
		end_slot(u, j);
		j->phase = JOB_END;
	} else {
		j->phase = JOB_OPEN;
	}
	return true;
}

static void begin(struct user *u, struct job *j)
{
	switch (j->op) {
	case JOB_PUT:
		begin_put(u, j);
		break;
	case JOB_DEL:
		begin_del(u, j);
		break;
	case JOB_NET:
		begin_net(u, j);
		break;
	case JOB_AGAIN:
		begin_again(u, j);
		break;
	case JOB_SHARED:
		j->phase = JOB_QUIET;
		break;
	}
}

/* False when the phase is to be tried again after the forwarding thread was quiet. */
static bool not_later(struct user *u, struct job *j)
{
	if (j->later)
		wait_quiet(u, j);
	return !j->later;
}

/* As far as it goes without waiting. */
static void step(struct user *u, struct job *j)
{
	if (j->later) {
		list_drop(&j->link);
		j->tag = 0;
		j->later = false;
	}
	for (bool go = true; go;) {
		switch (j->phase) {
		case JOB_BEGIN:
			begin(u, j);
			go = not_later(u, j);
			break;
		case JOB_QUIET:
		case JOB_WAIT:
			go = step_quiet(u, j);
			break;
		case JOB_OPEN:
			go = step_open(u, j);
			break;
		case JOB_LINK:
			go = step_link(u, j);
			break;
		case JOB_ADD:
			go = step_add(u, j);
			break;
		case JOB_COMMIT:
			step_commit(u, j);
			go = not_later(u, j);
			break;
		case JOB_REMOVE:
			go = step_remove(u, j);
			break;
		case JOB_GONE:
			go = step_gone(u, j);
			break;
		case JOB_END:
			finish(u, j);
			return;
		}
	}
}

/* ---- answers ---- */

/* A step failed. What was added so far goes again; a removal that fails changes nothing. */
static void failed(struct user *u, struct job *j, int error, const char *text)
{
	switch (j->phase) {
	case JOB_OPEN:
		/* Somebody else's interface has the name we picked: try the next. */
		if (j->picked && ++j->picks < PICKS_MAX && (error == EBUSY || error == EEXIST)) {
			device_drop(u, j->slot);
			device_pick(u, j->picks, j->row.ifname);
			memcpy(j->ifname, j->row.ifname, sizeof(j->ifname));
			if (table_put(u, j, false) && device_add(u, j->slot, j->ifname))
				return;
			j->later = false; /* the name is taken: that is what is said */
		}
		say(j, error, device(u, j), text);
		break;
	case JOB_LINK:
		say(j, error, device(u, j), text);
		if (!j->ifname[0])
			u->shared_mtu = 0;
		break;
	case JOB_ADD:
		/* Two sessions to one server have the same far end: the first one's route serves.
		 */
		if (error == EEXIST && j->op == JOB_PUT && item_client(&j->row) &&
		    item_is_far_end(j->at)) {
			j->at++;
			return;
		}
		if (j->op == JOB_PUT || j->op == JOB_NET)
			say_item(u, j, error, text);
		break;
	case JOB_BEGIN:
	case JOB_QUIET:
	case JOB_COMMIT:
	case JOB_REMOVE:
	case JOB_GONE:
	case JOB_WAIT:
	case JOB_END:
		return;
	}
	if ((j->op == JOB_SHARED || j->op == JOB_AGAIN) && j->phase == JOB_ADD) {
		j->at++; /* better the others than none */
	} else if (j->op == JOB_SHARED) {
		shared_ended(u, j);
		j->phase = JOB_END;
	} else if (j->op == JOB_AGAIN) {
		j->phase =
			JOB_END; /* the row stays; its packets find no way until it is put again */
	} else {
		j->undo = true;
		j->phase = JOB_REMOVE; /* from item j->at downwards */
		if (j->op == JOB_PUT && j->fresh && j->at == 0)
			j->phase = JOB_GONE;
	}
}

static void opened(struct user *u, struct job *j, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int rc = 0;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		rc = -errno;
	if (rc == 0)
		rc = fwd_watch_dev(&u->fwd, dev_of(j), fd);
	if (rc < 0) {
		close(fd);
		failed(u, j, -rc, NULL);
		return;
	}
	j->made = true;
	j->phase = JOB_LINK;
	show_carrier(u, j);
}

void job_answered(struct user *u, uint32_t id, int error, const char *text, int fd)
{
	struct job *j = NULL;

	list_for_each (l, &u->asking) { /* answers come in order, so it is the first */
		if (container_of(l, struct job, link)->ask == id) {
			j = container_of(l, struct job, link);
			break;
		}
	}
	if (!j) {
		if (fd >= 0)
			close(fd);
		return;
	}
	list_drop(&j->link);
	if (error < 0)
		error = -error;
	if (error == 0 && j->phase == JOB_OPEN && fd < 0)
		error = EBADF;
	if (error) {
		if (fd >= 0)
			close(fd);
		failed(u, j, error, text);
	} else if (j->phase == JOB_OPEN) {
		opened(u, j, fd);
	} else if (j->phase == JOB_LINK) {
		j->phase = JOB_ADD;
	} else if (j->phase == JOB_ADD) {
		j->at++;
	}
	step(u, j);
}

/* ---- from outside ---- */

struct job *job_new(enum job_op op, uint64_t key, uint32_t generation)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	list_init(&j->link);
	j->op = op;
	j->key = key;
	j->generation = generation;
	j->slot = DPT_NONE;
	j->fd = -1;
	if (op == JOB_NET || op == JOB_SHARED) {
		j->net = calloc(1, sizeof(*j->net));
		j->old_net = calloc(1, sizeof(*j->old_net));
		if (!j->net || !j->old_net) {
			job_free(j);
			return NULL;
		}
	}
	return j;
}

void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->net);
	free(j->old_net);
	free(j);
}

int job_start(struct user *u, struct job *j)
{
	/* Rows never have key 0: that queue is the net's. */
	uint64_t hash = htab_hash(&u->keys, &j->key, sizeof(j->key));
	struct htab_node *n;

	for (n = htab_find(&u->keys, hash); n; n = htab_next(n)) {
		struct job *other = container_of(n, struct job, node);

		if (other->key != j->key || other->op == JOB_SHARED)
			continue;
		while (other->next)
			other = other->next;
		other->next = j;
		return 0;
	}
	if (htab_reserve(&u->keys) < 0)
		return -ENOMEM;
	htab_put(&u->keys, &j->node, hash);
	step(u, j);
	return 0;
}

void job_committed(struct user *u)
{
	for (struct list *l; (l = list_pop(&u->ended)) != NULL;) {
		struct job *j = container_of(l, struct job, link);
		uint64_t hash = htab_hash(&u->keys, &j->key, sizeof(j->key));
		struct htab_node *n = htab_find(&u->keys, hash);
		struct dpt_brief row;

		while (n && container_of(n, struct job, node)->key != j->key)
			n = htab_next(n);
		/* Asked for once more meanwhile: that request has the slot. */
		if (!n && dpt_find(u->table, j->key) == j->slot &&
		    dpt_brief(u->table, j->slot, &row) && row.ended)
			dpt_free(u->table, j->slot);
		job_free(j);
	}
}

void job_poll(struct user *u)
{
	while (!list_empty(&u->quiet)) {
		struct job *j = container_of(u->quiet.next, struct job, link);

		/* In order of their tags, but for a few that come from elsewhere a little late. */
		if (!qsbr_passed(&u->qsbr, j->tag)) {
			qsbr_want(&u->qsbr);
			if (!qsbr_passed(&u->qsbr, j->tag))
				return;
		}
		step(u, j);
	}
}

void job_recover(struct user *u)
{
	struct dpt_info info;
	struct dpt_brief row;
	bool shared = dpt_net_get(u->table, &u->net) && (u->net.local_count || u->net.pool_count);

	for (uint32_t slot = 0; slot < dpt_high(u->table); slot++) {
		if (!dpt_brief(u->table, slot, &row) || row.ended)
			continue;
		if (!row.device)
			shared = true;
		else if (dpt_get(u->table, slot, &info) && device_add(u, slot, info.row.ifname))
			again(u, info.key, info.generation);
	}
	if (shared)
		open_shared(u, -1);
}

void job_lost(struct user *u, uint32_t dev)
{
	struct dpt_info info;
	struct job *j;

	if (dev == 0) {
		int fd = fwd_unwatch_dev(&u->fwd, 0);

		if (fd >= 0) {
			u->shared_mtu = 0;
			open_shared(u, fd);
		}
		return;
	}
	j = dpt_get(u->table, dev - 1, &info) ? job_new(JOB_AGAIN, info.key, info.generation)
					      : NULL;
	if (!j)
		return;
	j->lost = true;
	j->fd = fwd_unwatch_dev(&u->fwd, dev);
	if (j->fd < 0 || job_start(u, j) < 0)
		job_free(j);
}
