/* SPDX-License-Identifier: MIT
 *
 * What must be true when the troubles are over and everything had time to settle.
 */
#include "world.h"

#include <inttypes.h>
#include <stdlib.h>

/* The LNS's session that is the other half of `c`, or false. */
static bool other_half(const struct node *lns, const struct access_session_info *c,
		       struct access_session_info *ret)
{
	const struct row *r = plane_by_id(&lns->plane, c->remote_tunnel, c->remote_session);

	return r && access_session(lns->a, r->key, ret);
}

static void check_pair(struct world *w, struct node *n, const struct access_session_info *c)
{
	struct access_session_info s;
	struct row *row = plane_find(&n->plane, c->key), *far;

	if (!other_half(&w->nodes[0], c, &s) || !s.up) {
		world_fail(w, "%s: session %016" PRIx64 " (%u/%u to %u/%u) is not up at the LNS",
			   n->name, c->key, c->local_tunnel, c->local_session, c->remote_tunnel,
			   c->remote_session);
		return;
	}
	far = plane_find(&w->nodes[0].plane, s.key);
	if (s.remote_tunnel != c->local_tunnel || s.remote_session != c->local_session)
		world_fail(w, "%s: the two sides do not agree on ids", n->name);
	if (memcmp(s.peer_ip4, c->our_ip4, 4) != 0 || memcmp(s.our_ip4, c->peer_ip4, 4) != 0)
		world_fail(w,
			   "%s: session %016" PRIx64 " and %016" PRIx64
			   " of the LNS do not agree on addresses",
			   n->name, c->key, s.key);
	if (c->prefix6.len != 64 || !addr_same_ip(&c->prefix6.addr, &s.prefix6.addr))
		world_fail(w, "%s: session %016" PRIx64 " does not have the prefix of %016" PRIx64,
			   n->name, c->key, s.key);
	if (strcmp(s.user, c->user) != 0)
		world_fail(w, "%s: the session is %s's at the LNS", n->name, s.user);
	if (!row || !row->there || !far || !far->there)
		world_fail(w, "%s: a session without a row", n->name);
	else if ((row->row.flags & far->row.flags & (DP_F_IP4 | DP_F_IP6)) != (DP_F_IP4 | DP_F_IP6))
		world_fail(w, "%s: session %016" PRIx64 ": rows with flags %x, at the LNS %x",
			   n->name, c->key, row->row.flags, far->row.flags);
	else if (row->row.mtu != c->mtu || !row->row.pin_peer != !row->row.route_count)
		world_fail(w, "%s: a row that is not right", n->name);
}

static void check_client(struct world *w, struct node *n)
{
	struct access_session_info i;
	struct access_dial_info d;
	struct access_summary sum;

	if (!n->a) {
		world_fail(w, "%s does not run", n->name);
		return;
	}
	for (size_t j = 0; j < w->plan.sessions && !w->failure; j++) {
		if (!access_dial(n->a, j, &d) || strcmp(d.state, "up") != 0 ||
		    !access_session(n->a, d.key, &i) || !i.up) {
			world_fail(w, "%s: dial %zu is %s, %s (%s)", n->name, j, d.state,
				   cause_name(d.cause), d.text);
			return;
		}
		check_pair(w, n, &i);
	}
	access_summary(n->a, &sum);
	if (sum.sessions != w->plan.sessions || sum.tunnels != w->plan.sessions)
		world_fail(w, "%s has %u sessions in %u tunnels instead of %u", n->name,
			   sum.sessions, sum.tunnels, w->plan.sessions);
}

static int by_ip4(const void *a, const void *b)
{
	return memcmp(a, b, 4);
}

/* No address twice. */
static void check_addresses(struct world *w, const struct node *lns, size_t want)
{
	uint8_t(*v)[4] = calloc(want + 1, 4);
	struct access_session_info i;
	uint64_t key = 0;
	size_t n = 0;

	if (!v)
		abort();
	while ((key = access_session_next(lns->a, key)) && n < want) {
		if (access_session(lns->a, key, &i))
			memcpy(v[n++], i.peer_ip4, 4);
	}
	qsort(v, n, 4, by_ip4);
	for (size_t k = 1; k < n; k++) {
		if (memcmp(v[k - 1], v[k], 4) == 0)
			world_fail(w, "an address is in use twice");
	}
	free(v);
}

void check_up(struct world *w)
{
	struct node *lns = &w->nodes[0];
	size_t want = (size_t)w->plan.clients * w->plan.sessions;
	struct access_pool_info p;
	struct access_summary sum;
	size_t fixed = 0;

	if (!lns->a) {
		world_fail(w, "the LNS does not run");
		return;
	}
	for (unsigned int i = 1; i < w->node_count && !w->failure; i++)
		check_client(w, &w->nodes[i]);
	access_summary(lns->a, &sum);
	if (sum.sessions != want || sum.sessions_up != want)
		world_fail(w, "the LNS has %u sessions, %u up, instead of %zu", sum.sessions,
			   sum.sessions_up, want);
	if (sum.halfopen)
		world_fail(w, "the LNS has %u half-open tunnels", sum.halfopen);
	if (lns->plane.count != want)
		world_fail(w, "the LNS has %zu rows instead of %zu", lns->plane.count, want);
	for (unsigned int i = 1; w->plan.fixed && i <= w->plan.clients; i++) {
		for (unsigned int j = 0; j < w->plan.sessions; j++)
			fixed += (i + j) % 3 == 0;
	}
	if (!access_pool(lns->a, 0, &p) || p.used4 != want - fixed || p.used6 != want)
		world_fail(w, "the pool has %u and %u leases instead of %zu and %zu",
			   (unsigned int)p.used4, (unsigned int)p.used6, want - fixed, want);
	check_addresses(w, lns, want);
}

void check_empty(struct world *w)
{
	for (unsigned int i = 0; i < w->node_count && !w->failure; i++) {
		struct node *n = &w->nodes[i];
		struct access_summary sum;
		struct access_pool_info p;

		access_summary(n->a, &sum);
		if (sum.sessions || sum.tunnels || sum.l2tp.sessions || sum.l2tp.tunnels)
			world_fail(w, "%s has %u sessions and %u tunnels left", n->name,
				   sum.sessions, sum.tunnels);
		if (n->plane.count)
			world_fail(w, "%s has %zu rows left", n->name, n->plane.count);
		if (n->journal.n > 1)
			world_fail(w, "%s has %zu records left", n->name, n->journal.n);
		if (access_pool(n->a, 0, &p) && (p.used4 || p.used6))
			world_fail(w, "%s has leases left", n->name);
	}
}

/* ---- accounting ---- */

static int by_session(const void *a, const void *b)
{
	const struct acct_line *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Lines `v` of one session: start first, stop last, every number once. */
static void check_session(struct world *w, const struct node *n, const struct acct_line *v,
			  size_t count)
{
	bool lost = v->key < n->lost_below;

	for (size_t i = 0; i < count; i++) {
		char want = i == 0 ? 's' : 'i';

		if (v[i].seq != i + 1)
			world_fail(w, "%s: session %016" PRIx64 " has line %u where %zu should be",
				   n->name, v->key, v[i].seq, i + 1);
		if (v[i].event != want && !(v[i].event == 'e' && i && i + 1 == count))
			world_fail(w, "%s: session %016" PRIx64 ": line %zu is of the wrong kind",
				   n->name, v->key, i + 1);
	}
	/* A machine that lost its journal cannot say when its sessions ended. */
	if (v[count - 1].event != 'e' && !lost)
		world_fail(w, "%s: session %016" PRIx64 " was never stopped", n->name, v->key);
}

static void check_file(struct world *w, struct node *n)
{
	struct acct_file *f = &n->acct;
	uint64_t in = 0, out = 0;

	if (f->n)
		qsort(f->v, f->n, sizeof(*f->v), by_session);
	for (size_t i = 0, j; i < f->n; i = j) {
		for (j = i + 1; j < f->n && f->v[j].key == f->v[i].key; j++)
			;
		check_session(w, n, &f->v[i], j - i);
		if (f->v[j - 1].event == 'e') {
			in += f->v[j - 1].in;
			out += f->v[j - 1].out;
		}
	}
	if (!n->was_killed && (in != n->plane.sum_in || out != n->plane.sum_out))
		world_fail(w,
			   "%s: %" PRIu64 " octets in %" PRIu64 " out accounted, %" PRIu64
			   " and %" PRIu64 " carried",
			   n->name, in, out, n->plane.sum_in, n->plane.sum_out);
}

void check_accounts(struct world *w)
{
	for (unsigned int i = 0; i < w->node_count && !w->failure; i++)
		check_file(w, &w->nodes[i]);
}
