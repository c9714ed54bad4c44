/* SPDX-License-Identifier: MIT
 *
 * Jobs of Ethernet pseudowires (RFC 4719), and the addresses and routes of all sessions. Runs on
 * the workers (kernel_work.c).
 *
 * The interface is always named by us: names of the kernel's own ("l2tpeth%d") cost a walk over all
 * interfaces each, and end at 32768. The kernel sets its MTU once, from the route at that moment;
 * ours is that of the row.
 *
 * What is done here is done under the kernel's one lock of interfaces. Workers that went for it
 * together would turn round and round until they have it, and take the processor from who holds
 * it: so one of them does all of it (kernel.wires). Each thing that is changed of an interface that
 * is up is told to all who listen: so all but its being up is changed before.
 */
#include "kernel_int.h"

#include <errno.h>
#include <stdio.h>

/* The index of the bridge or VRF that the interface goes into; 0 = none. */
int kmaster(struct kwork *w, struct kjob *j, int *ret_index)
{
	struct nlm *rt = kwork_rt(w, j->row.netns);

	*ret_index = 0;
	if (!j->row.master[0])
		return 0;
	*ret_index = nlm_link_index(rt, j->row.master);
	return *ret_index ? 0 : kjob_fail(j, KERNEL_STEP_MASTER, -ENODEV, j->row.master);
}

static int eth_create(struct kwork *w, struct kjob *j)
{
	const struct dp_row *r = &j->row;
	unsigned int tries = 0;
	char name[DP_IFNAME];
	int err;

	for (;;) {
		if (kjob_cancelled(j))
			return -ECANCELED;
		if (r->ifname[0])
			snprintf(name, sizeof(name), "%s", r->ifname);
		else
			snprintf(name, sizeof(name), "l2tpeth%u",
				 atomic_fetch_add(&w->k->names, 1) % 10000000);
		err = nlm_l2tp_session_create(&w->l2tp, r, name);
		/* The ids of a former session may be taken a moment longer; a name that we chose,
		 * for good. */
		if (err != -EEXIST || !kwork_again(w, &tries))
			break;
	}
	if (err && err != -EEXIST && err != -ENODEV && err != -EINVAL && err != -EPROTONOSUPPORT &&
	    nlm_l2tp_session_get(&w->l2tp, r->local_tunnel, r->local_session, NULL) == 0)
		err = 0; /* the failure was that of the notification */
	if (err) {
		kjob_fail(j, KERNEL_STEP_SESSION, err, r->ifname);
		kjob_note(j, &w->l2tp.m);
		if (err == -EPROTONOSUPPORT)
			j->result = KERNEL_CANNOT;
		return err;
	}
	j->have.session = true;
	snprintf(j->have.ifname, sizeof(j->have.ifname), "%s", name);
	return 0;
}

/* The far circuit is down (RFC 3931 5.4.5): l2tpeth has no carrier to lose, so the interface is
 * dormant, and a bridge sends nothing into it. Only what changes is told. */
static int eth_far(struct nlm *rt, const struct kjob *j)
{
	bool down = j->row.flags & DP_F_FAR_DOWN;
	bool was = !j->first && (j->old.flags & DP_F_FAR_DOWN) != 0;

	return down == was ? 0 : nlm_link_dormant_gather(rt, j->have.ifindex, down);
}

/* The kernel has no sessions of the type Ethernet VLAN: frames get their tag, and lose it, on their
 * way through the interface. */
static int eth_tag(struct nlm *rt, struct kjob *j)
{
	int err;

	if (!j->first || !j->row.tag)
		return 0;
	err = nlm_link_tag(rt, j->have.ifindex, j->row.tag);
	if (!err)
		return 0;
	kjob_fail(j, KERNEL_STEP_TAG, err, j->have.ifname);
	kjob_note(j, rt);
	if (err == -ENOENT)
		j->result = KERNEL_CANNOT;
	return err;
}

/* A new one. In a bridge that looks at VLANs a port that is up forwards those it has by default: so
 * it gets its own before. */
static int eth_begin(struct nlm *rt, const struct kjob *j, int master)
{
	const struct dp_row *r = &j->row;
	int ifindex = j->have.ifindex, err;

	err = nlm_link_gather(rt, ifindex, r->mtu, r->txqlen, j->group, master ? master : -1);
	if (!err && (r->vlan || r->vlan_count))
		err = nlm_port_vlans(rt, ifindex, r->vlan, r->vlans, r->vlan_count);
	return err;
}

/* What is as before stays as others may have made it: down (which is told to the peer, too), or in
 * a bridge of theirs. */
static int eth_change(struct nlm *rt, const struct kjob *j, int master)
{
	const struct dp_row *r = &j->row;
	bool moved = strcmp(r->master, j->old.master) != 0;

	return nlm_link_gather(rt, j->have.ifindex, r->mtu,
			       r->txqlen == j->old.txqlen ? 0 : r->txqlen, j->group,
			       moved ? master : -1);
}

/* The kernel goes on with a batch behind what it has refused: a port is up only when its bridge has
 * taken it, with its VLANs, and knows that nobody is there if the far circuit is down. The driver
 * never makes its sender wait, so what queues there waits for nothing; the kernel's own queue takes
 * 24 KiB. */
static int eth_set(struct nlm *rt, const struct kjob *j, int master)
{
	const struct dp_row *r = &j->row;
	bool up = r->state == DP_ACTIVE && (j->first || j->old.state != DP_ACTIVE);
	int err = j->first ? eth_begin(rt, j, master) : eth_change(rt, j, master);

	if (!err && (!up || r->master[0]))
		err = nlm_flush(rt);
	if (!err && r->state == DP_ACTIVE)
		err = eth_far(rt, j);
	if (!err && up)
		err = nlm_link_up_gather(rt, j->have.ifindex, r->txqlen == 0);
	return err ? err : nlm_flush(rt);
}

static int eth_link(struct kwork *w, struct kjob *j, int master)
{
	struct nlm *rt = kwork_rt(w, 0);
	int err;

	if (!j->have.ifindex)
		j->have.ifindex = nlm_link_index(rt, j->have.ifname);
	if (!j->have.ifindex)
		return kjob_fail(j, KERNEL_STEP_LINK, -ENODEV, j->have.ifname);
	err = eth_tag(rt, j);
	if (err)
		return err;
	err = eth_set(rt, j, master);
	if (err) {
		kjob_fail(j, KERNEL_STEP_LINK, err, j->have.ifname);
		kjob_note(j, rt);
	}
	return err;
}

static bool same_wire(const struct dp_row *a, const struct dp_row *b)
{
	return a->ends == b->ends && a->encap == b->encap && a->version == b->version &&
	       a->local_tunnel == b->local_tunnel && a->local_session == b->local_session &&
	       a->remote_session == b->remote_session && a->l2spec == b->l2spec &&
	       a->cookie_in_len == b->cookie_in_len && a->cookie_out_len == b->cookie_out_len &&
	       memcmp(a->cookie_in, b->cookie_in, sizeof(a->cookie_in)) == 0 &&
	       memcmp(a->cookie_out, b->cookie_out, sizeof(a->cookie_out)) == 0 &&
	       strcmp(a->ifname, b->ifname) == 0 && a->tag == b->tag && a->netns == b->netns &&
	       ((a->flags ^ b->flags) & (DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ)) == 0;
}

int keth_put(struct kwork *w, struct kjob *j)
{
	bool moves = j->first || strcmp(j->row.master, j->old.master) != 0;
	struct khave was = j->have;
	int err = 0, master = 0;

	if (!j->first && !same_wire(&j->row, &j->old))
		return kjob_fail(j, KERNEL_STEP_SESSION, -EBUSY, j->have.ifname);
	if (j->row.netns)
		return kjob_fail(j, KERNEL_STEP_LINK, -EOPNOTSUPP, j->row.ifname);
	if (moves) /* else the bridge may be gone */
		err = kmaster(w, j, &master);
	if (!err && j->first)
		err = eth_create(w, j);
	if (!err)
		err = eth_link(w, j, master);
	if (!err && j->row.state == DP_ACTIVE)
		err = kroutes_put(w, j, j->first ? NULL : &j->old, &j->row, false);
	if (!err && j->first && kjob_cancelled(j))
		err = -ECANCELED;
	if (!err) {
		j->have.stage = K_ETH;
		return 0;
	}
	if (j->have.session && !was.session)
		nlm_l2tp_session_delete(&w->l2tp, j->row.local_tunnel, j->row.local_session);
	j->have = was;
	return err;
}

/* ---- addresses and routes ---- */

#define ITEMS_MAX (DP_PREFIXES * 2 + DP_HOST_ADDRS + 2)

/* One address or route that a row asks for. */
struct kitem {
	bool address;
	bool ours; /* of the client's own table and metric, else a plain route to the session */
	struct prefix p;
};

static bool open_for(const struct dp_row *r, const struct prefix *p)
{
	if (r->state != DP_ACTIVE)
		return false;
	if (r->ends == DP_L2TP_ETH)
		return true;
	return (r->flags & (p->addr.family == AF_INET ? DP_F_IP4 : DP_F_IP6)) != 0;
}

static void item_put(struct kitem *v, size_t *n, const struct dp_row *r, const struct prefix *p,
		     bool address, bool ours)
{
	if (!open_for(r, p))
		return;
	memset(&v[*n], 0, sizeof(*v));
	v[*n].address = address;
	v[*n].ours = ours;
	v[(*n)++].p = *p;
}

/* A default route with metric 0 shall win over another one that is there: then it is put as its two
 * halves, which are more specific. */
static void route_put(struct kitem *v, size_t *n, const struct dp_row *r, const struct prefix *p)
{
	struct prefix half = *p;

	if (p->len || r->metric) {
		item_put(v, n, r, p, false, true);
		return;
	}
	half.len = 1;
	item_put(v, n, r, &half, false, true);
	half.addr.ip[0] = 0x80;
	item_put(v, n, r, &half, false, true);
}

static size_t items(const struct dp_row *r, struct kitem v[ITEMS_MAX])
{
	size_t n = 0;

	if (!r)
		return 0;
	for (int i = 0; i < r->host_addr_count; i++)
		item_put(v, &n, r, &r->host_addrs[i], true, false);
	for (int i = 0; i < r->prefix_count && !(r->flags & DP_F_CLIENT); i++)
		item_put(v, &n, r, &r->prefixes[i], false, false);
	for (int i = 0; i < r->route_count && n + 2 <= ITEMS_MAX; i++)
		route_put(v, &n, r, &r->routes[i]);
	return n;
}

static bool has(const struct kitem *v, size_t n, const struct kitem *it)
{
	for (size_t i = 0; i < n; i++) {
		if (memcmp(&v[i], it, sizeof(*it)) == 0)
			return true;
	}
	return false;
}

/* Routes of an interface in a VRF are in the VRF's table, unless the row names one. */
static uint32_t table_of(struct nlm *rt, const struct dp_row *r)
{
	int master = r->table || !r->master[0] ? 0 : nlm_link_index(rt, r->master);

	return master ? nlm_link_vrf_table(rt, master) : r->table;
}

static int item_gather(struct kwork *w, const struct kjob *j, const struct dp_row *r,
		       uint32_t table, const struct kitem *it, bool add)
{
	struct nlm *rt = kwork_rt(w, j->row.netns);
	uint8_t proto = w->k->config.proto;
	bool v4 = it->p.addr.family == AF_INET;
	struct nlm_route route = { .family = (uint8_t)it->p.addr.family,
				   .type = RTN_UNICAST,
				   .proto = proto,
				   .len = it->p.len,
				   .table = table,
				   .metric = it->ours ? r->metric : 0,
				   .prefix = it->p };

	if (it->address)
		return nlm_addr_gather(rt, j->have.ifindex, &it->p, v4 ? &r->peer4 : NULL, proto,
				       add);
	route.hop.ifindex = j->have.ifindex;
	if (v4)
		route.hop.source = r->source4;
	/* A route of another session to the same address, on its way out, must not be in the way:
	 * so ours goes before it. The routes of a configuration may not hide others'. */
	return nlm_route_gather(rt, &route, add, it->ours ? NLM_F_EXCL : 0);
}

int kroutes_put(struct kwork *w, struct kjob *j, const struct dp_row *old, const struct dp_row *r,
		bool up)
{
	struct nlm *rt = kwork_rt(w, r->netns);
	struct kitem now[ITEMS_MAX], was[ITEMS_MAX];
	size_t n = items(r, now), m = items(old, was), i;
	uint32_t table = n + m ? table_of(rt, r) : 0;
	bool moved = old && (old->table != r->table || old->metric != r->metric ||
			     memcmp(&old->source4, &r->source4, sizeof(old->source4)) != 0 ||
			     memcmp(&old->peer4, &r->peer4, sizeof(old->peer4)) != 0);
	int err = 0;

	for (i = 0; i < m; i++) {
		if (moved || !has(now, n, &was[i]))
			item_gather(w, j, old, old->table ? old->table : table, &was[i], false);
	}
	nlm_flush(rt); /* what is gone already is gone */
	/* A PPP interface never makes its sender wait, so what queues there waits for nothing; the
	 * kernel's own queue costs 68 KiB, and as much time as half the interface. */
	if (up)
		err = nlm_link_up_gather(rt, j->have.ifindex, r->txqlen == 0);
	for (i = 0; i < n && !err; i++) {
		if (moved || !has(was, m, &now[i]))
			err = item_gather(w, j, r, table, &now[i], true);
	}
	if (!err)
		err = nlm_flush(rt);
	if (err) {
		kjob_fail(j, KERNEL_STEP_ROUTE, err, j->have.ifname);
		kjob_note(j, rt);
	}
	return err;
}

size_t kroutes_list(const struct dp_row *r, int ifindex, struct kroute v[DP_PREFIXES])
{
	size_t n = 0;

	/* The table of a VRF would have to be asked for. */
	for (int i = 0; i < r->prefix_count && !r->master[0] && !(r->flags & DP_F_CLIENT); i++) {
		if (open_for(r, &r->prefixes[i]))
			v[n++] = (struct kroute){ r->prefixes[i], r->table, ifindex };
	}
	return n;
}

void kroutes_drop(struct kwork *w, const struct kroute *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct nlm_route route = { .family = (uint8_t)v[i].p.addr.family,
					   .type = RTN_UNICAST,
					   .proto = w->k->config.proto,
					   .len = v[i].p.len,
					   .table = v[i].table,
					   .prefix = v[i].p };

		route.hop.ifindex = v[i].ifindex;
		nlm_route_gather(w->rt[0], &route, false, 0);
	}
	nlm_flush(w->rt[0]); /* what is gone already is gone */
}
