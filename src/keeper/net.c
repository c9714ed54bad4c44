/* SPDX-License-Identifier: MIT
 *
 * Links, addresses and routes that carry our mark.
 *
 * Theory of operation. What was put into the kernel is remembered as items, found by what they are
 * (kind, device, prefix, table, metric). An item exists exactly if the kernel has it because of us:
 * so removal takes away only what is ours, and asking twice is cheap. Each item has the epoch (the
 * number of the aditd) that asked for it last; what hangs on no device of ours and is not asked for
 * again by the next aditd is swept.
 *
 * A pin is a host route to a peer by the route its packets take when ours are left out. The kernel
 * says which route matches (RTM_GETROUTE with RTM_F_FIB_MATCH); when that is one of ours, the main
 * table is searched for the best one that is not.
 *
 * A default route with metric 0 shall carry the traffic even when there is another default route,
 * so then it is put as 0.0.0.0/1 and 128.0.0.0/1 (or ::/1 and 8000::/1), which are more specific.
 *
 * A number is had by a name (name.h); a guard (guard.h) keeps it for a moment longer. What has the
 * marks of a number is removed only by who has its name: that of our own number, at the start and
 * at the end, or, at the start, one that nobody has any more, which is borrowed for that.
 */
#include "net.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/htab.h"
#include "base/list.h"
#include "daemon/notify.h"
#include "dp/kernel.h"
#include "dp/nl.h"
#include "name.h"

#define LINK_QUEUE  4096 /* packets that wait in a device while aditd is busy or away */
#define BRIEF_TICKS 500	 /* of 20 ms: how long another one may sweep the number we want */

enum item_kind { ITEM_ADDR = 1, ITEM_ROUTE, ITEM_PIN };

/* What an item is found by; hashed as octets, so made by item_key() alone. */
struct item_key {
	uint32_t kind, table, metric, len;
	struct addr addr;
	char ifname[DP_IFNAME];
};

struct item {
	struct htab_node node;
	struct list all;
	struct item_key key;
	uint32_t epoch;
	int ifindex;	    /* ADDR, ROUTE */
	bool halves;	    /* ROUTE: a default route put as two */
	struct nlm_hop hop; /* PIN */
	uint32_t holders;   /* PIN: bits of enum net_holder */
};

struct net {
	struct nlm m;
	uint32_t number;
	int name_fd;	       /* abstract socket, -1 = none: another keeper has the number */
	enum name_whose whose; /* ... who: of the number that was wanted */
	char taken[NAME_MAX_LEN + NAME_WHO + 32]; /* ... in words, with the name */
	struct htab items;
	struct list all;
	uint32_t epoch;
	char text[512];
};

/* ---- texts ---- */

static int fail(struct net *n, const char **ret_text, int err, const char *what)
{
	snprintf(n->text, sizeof(n->text), "%s: %s%s%s%s", what, strerror(-err),
		 n->m.text[0] ? " (" : "", n->m.text, n->m.text[0] ? ")" : "");
	if (ret_text)
		*ret_text = n->text;
	return err;
}

static int fail_no_device(struct net *n, const char **ret_text, const char *ifname)
{
	snprintf(n->text, sizeof(n->text), "there is no interface %s", ifname);
	if (ret_text)
		*ret_text = n->text;
	return -ENODEV;
}

/* ---- opening ---- */

uint8_t net_proto(const struct net *n)
{
	return KERNEL_PROTO(n->number);
}

static uint32_t group_of(uint32_t number)
{
	return NET_MARK_GROUP + number - 1;
}

static const char *name_of(uint32_t number, char name[NAME_MAX_LEN])
{
	if (number == 1)
		snprintf(name, NAME_MAX_LEN, "adit-keeper");
	else
		snprintf(name, NAME_MAX_LEN, "adit-keeper-%u", number);
	return name;
}

static void number_take(struct net *n)
{
	char name[NAME_MAX_LEN];

	n->name_fd = name_take(name_of(n->number, name));
}

/* NAME_DEAD: it is ours, or soon nobody's. NAME_BRIEF: for so many ticks somebody who does not
 * listen has it. `ret_who` says who has it, if it is not ours. */
static enum name_whose number_try(struct net *n, uint32_t number, int ticks, char ret_who[NAME_WHO])
{
	const struct timespec tick = { .tv_nsec = 20000000 };
	enum name_whose whose;
	char name[NAME_MAX_LEN];

	n->number = number;
	number_take(n);
	for (int i = 0; n->name_fd < 0; i++) {
		whose = name_whose(name_of(number, name), ret_who);
		if (whose != NAME_BRIEF || i == ticks)
			return whose;
		if (i % 50 == 1)
			notify_send("EXTEND_TIMEOUT_USEC=10000000");
		if (i)
			nanosleep(&tick, NULL);
		number_take(n); /* a guard, or who swept it, may have been done just now */
	}
	return NAME_DEAD;
}

bool net_take(struct net *n, uint32_t wanted, net_waits_fn *waits, void *arg)
{
	const struct timespec tick = { .tv_nsec = 20000000 };
	char name[NAME_MAX_LEN], who[NAME_WHO];
	bool found, told = false;

	for (;;) {
		n->whose = number_try(n, wanted, BRIEF_TICKS, who);
		found = n->whose == NAME_DEAD;
		if (!found)
			snprintf(n->taken, sizeof(n->taken), "the name @%s is that of %s",
				 name_of(wanted, name), who);
		for (uint32_t i = 1; !found && i <= NET_NUMBERS; i++)
			found = number_try(n, i, 1, who) == NAME_DEAD;
		if (!found || n->name_fd >= 0)
			return found;
		if (!told)
			waits(arg);
		told = true;
		notify_send("EXTEND_TIMEOUT_USEC=10000000");
		for (uint32_t ticks = 0; n->name_fd < 0 && ticks < 50; ticks++) {
			nanosleep(&tick, NULL);
			number_take(n);
		}
		if (n->name_fd >= 0)
			return true;
	}
}

const char *net_taken(const struct net *n, bool *ret_keeper)
{
	*ret_keeper = n->whose == NAME_LIVES;
	return n->taken;
}

struct net *net_open(void)
{
	struct net *n = calloc(1, sizeof(*n));
	uint8_t key[16];
	int err;

	if (!n)
		return NULL;
	err = getrandom(key, sizeof(key), 0) == sizeof(key) ? nlm_open(&n->m) : -EIO;
	if (err) {
		free(n);
		errno = -err;
		return NULL;
	}
	htab_init(&n->items, key);
	list_init(&n->all);
	n->number = 1;
	n->name_fd = -1;
	return n;
}

static void item_free(struct net *n, struct item *it)
{
	list_drop(&it->all);
	htab_drop(&n->items, &it->node);
	free(it);
}

void net_close(struct net *n)
{
	if (!n)
		return;
	list_for_each_safe (it, &n->all) {
		item_free(n, container_of(it, struct item, all));
	}
	htab_free(&n->items);
	nlm_close(&n->m);
	if (n->name_fd >= 0)
		close(n->name_fd);
	free(n);
}

/* ---- items ---- */

static struct item_key item_key(enum item_kind kind, const char *ifname, const struct addr *addr,
				uint32_t len, uint32_t table, uint32_t metric)
{
	struct item_key k;

	memset(&k, 0, sizeof(k));
	k.kind = kind;
	k.table = table;
	k.metric = metric;
	k.len = len;
	k.addr = *addr;
	k.addr.port = 0;
	snprintf(k.ifname, sizeof(k.ifname), "%s", ifname);
	return k;
}

static struct item *item_find(const struct net *n, const struct item_key *key)
{
	uint64_t hash = htab_hash(&n->items, key, sizeof(*key));
	struct htab_node *node;

	for (node = htab_find(&n->items, hash); node; node = htab_next(node)) {
		struct item *it = container_of(node, struct item, node);

		if (memcmp(&it->key, key, sizeof(*key)) == 0)
			return it;
	}
	return NULL;
}

/* A new item that is in no list yet, with room for it in the table. */
static struct item *item_new(struct net *n, const struct item_key *key, int *ret_err,
			     const char **ret_text)
{
	struct item *it = NULL;

	n->m.text[0] = 0;
	if (n->items.n >= NET_ITEMS_MAX) {
		*ret_err = fail(n, ret_text, -ENOSPC, "too many addresses and routes");
		return NULL;
	}
	if (htab_reserve(&n->items) == 0)
		it = calloc(1, sizeof(*it));
	if (!it) {
		*ret_err = fail(n, ret_text, -ENOMEM, "could not remember it");
		return NULL;
	}
	it->key = *key;
	list_init(&it->all);
	return it;
}

static void item_keep(struct net *n, struct item *it)
{
	htab_put(&n->items, &it->node, htab_hash(&n->items, &it->key, sizeof(it->key)));
	list_push(&n->all, &it->all);
	it->epoch = n->epoch;
}

/* Gone is gone, whoever did it. */
static bool was_gone(int err)
{
	return err == -ESRCH || err == -ENOENT || err == -EADDRNOTAVAIL || err == -ENODEV ||
	       err == -ENXIO;
}

/* ---- links ---- */

int net_index(const char *ifname)
{
	return (int)if_nametoindex(ifname);
}

int net_link_mark(struct net *n, int ifindex, bool ethernet, const char **ret_text)
{
	int err = nlm_link_mark(&n->m, ifindex, group_of(n->number), LINK_QUEUE, ethernet);

	return err ? fail(n, ret_text, err, "could not mark the interface") : 0;
}

int net_port_vlans(struct net *n, int ifindex, const struct dp_row *wire, const char **ret_text)
{
	int err = nlm_port_vlans(&n->m, ifindex, wire->vlan, wire->vlans, wire->vlan_count);

	if (!err)
		return 0;
	err = fail(n, ret_text, err, "could not give the interface its VLANs");
	nlm_link_set(&n->m, ifindex, 0, 0, false);
	return err;
}

/* A bridge gives a port its default VLAN as it takes it: so it is down until it has its own. */
static int into_vlans(struct net *n, int ifindex, uint32_t mtu, int into, const struct dp_row *wire,
		      const char **ret_text)
{
	int err = nlm_link_down(&n->m, ifindex);

	if (!err)
		err = nlm_link_set(&n->m, ifindex, mtu, into, false);
	if (err)
		err = fail(n, ret_text, err, "could not put the interface into its bridge");
	else
		err = net_port_vlans(n, ifindex, wire, ret_text);
	/* rather out of the bridge than in the VLAN of others */
	if (err && nlm_link_set(&n->m, ifindex, 0, 0, false) == 0)
		nlm_link_set(&n->m, ifindex, 0, -1, true);
	return err;
}

int net_link_up(struct net *n, int ifindex, uint32_t mtu, const char *master,
		const struct dp_row *wire, const char **ret_text)
{
	int into = !master ? -1 : master[0] ? net_index(master) : 0, err = 0;

	if (master && master[0] && !into)
		return fail_no_device(n, ret_text, master);
	if (into > 0 && wire && (wire->vlan || wire->vlan_count))
		err = into_vlans(n, ifindex, mtu, into, wire, ret_text);
	if (err)
		return err;
	err = nlm_link_set(&n->m, ifindex, mtu, into, true);
	return err ? fail(n, ret_text, err, "could not set the interface up") : 0;
}

int net_link_del(struct net *n, int ifindex, const char **ret_text)
{
	int err = ifindex ? nlm_link_del(&n->m, ifindex) : 0;

	return err && !was_gone(err) ? fail(n, ret_text, err, "could not remove the interface") : 0;
}

/* ---- addresses ---- */

static int addr_remove(struct net *n, struct item *it)
{
	struct prefix p = { it->key.addr, (uint8_t)it->key.len };
	int err = nlm_addr(&n->m, it->ifindex, &p, net_proto(n), false);

	if (err && !was_gone(err))
		return err;
	item_free(n, it);
	return 0;
}

int net_addr(struct net *n, const char *ifname, const struct prefix *p, bool add,
	     const char **ret_text)
{
	struct item_key key = item_key(ITEM_ADDR, ifname, &p->addr, p->len, 0, 0);
	struct item *it = item_find(n, &key);
	int err;

	if (!add) {
		err = it ? addr_remove(n, it) : 0;
		return err ? fail(n, ret_text, err, "could not remove the address") : 0;
	}
	if (it) {
		it->epoch = n->epoch;
		return 0;
	}
	it = item_new(n, &key, &err, ret_text);
	if (!it)
		return err;
	it->ifindex = net_index(ifname);
	err = it->ifindex ? nlm_addr(&n->m, it->ifindex, p, net_proto(n), true) : -ENODEV;
	if (!err) {
		item_keep(n, it);
		return 0;
	}
	free(it);
	if (err == -EEXIST) /* it was there before us and stays */
		return 0;
	if (err == -ENODEV)
		return fail_no_device(n, ret_text, ifname);
	return fail(n, ret_text, err, "could not add the address");
}

/* ---- routes ---- */

static struct nlm_route route_of(const struct net *n, const struct item *it)
{
	struct nlm_route r = { .family = (uint8_t)it->key.addr.family,
			       .type = RTN_UNICAST,
			       .proto = net_proto(n),
			       .len = (uint8_t)it->key.len,
			       .table = it->key.table ? it->key.table : RT_TABLE_MAIN,
			       .metric = it->key.metric,
			       .prefix = { it->key.addr, (uint8_t)it->key.len } };

	if (it->key.kind == ITEM_PIN)
		r.hop = it->hop;
	else
		r.hop.ifindex = it->ifindex;
	return r;
}

/* Half of the default route, 0 or 1. */
static struct nlm_route half_of(const struct net *n, const struct item *it, int which)
{
	struct nlm_route r = route_of(n, it);

	r.len = r.prefix.len = 1;
	r.prefix.addr.ip[0] = which ? 0x80 : 0;
	return r;
}

static int route_remove(struct net *n, struct item *it)
{
	struct nlm_route r = route_of(n, it);
	int err, i;

	if (!it->halves) {
		err = nlm_route(&n->m, &r, false, 0);
		if (err && !was_gone(err))
			return err;
	}
	for (i = 0; it->halves && i < 2; i++) {
		r = half_of(n, it, i);
		err = nlm_route(&n->m, &r, false, 0);
		if (err && !was_gone(err))
			return err;
	}
	item_free(n, it);
	return 0;
}

struct other_default {
	uint32_t table;
	bool found;
};

static void other_default_each(void *arg, const struct nlm_route *r)
{
	struct other_default *o = arg;

	if (r->len == 0 && r->table == o->table && !KERNEL_PROTO_IS(r->proto) &&
	    r->type == RTN_UNICAST)
		o->found = true;
}

static int route_put(struct net *n, struct item *it)
{
	struct nlm_route r = route_of(n, it), low;
	struct other_default other = { r.table, false };
	int err;

	if (r.len == 0 && r.metric == 0) {
		err = nlm_routes(&n->m, r.family, other_default_each, &other);
		if (err)
			return err;
		it->halves = other.found;
	}
	if (!it->halves)
		return nlm_route(&n->m, &r, true, NLM_F_EXCL);
	low = half_of(n, it, 0);
	err = nlm_route(&n->m, &low, true, NLM_F_EXCL);
	if (err)
		return err;
	r = half_of(n, it, 1);
	err = nlm_route(&n->m, &r, true, NLM_F_EXCL);
	if (err) {
		char text[sizeof(n->m.text)];

		memcpy(text, n->m.text, sizeof(text));
		nlm_route(&n->m, &low, false, 0);
		memcpy(n->m.text, text, sizeof(text));
	}
	return err;
}

int net_route(struct net *n, const char *ifname, const struct prefix *p, uint32_t table,
	      uint32_t metric, bool add, const char **ret_text)
{
	struct item_key key = item_key(ITEM_ROUTE, ifname, &p->addr, p->len, table, metric);
	struct item *it = item_find(n, &key);
	int err;

	if (!add) {
		err = it ? route_remove(n, it) : 0;
		return err ? fail(n, ret_text, err, "could not remove the route") : 0;
	}
	if (it) {
		it->epoch = n->epoch;
		return 0;
	}
	it = item_new(n, &key, &err, ret_text);
	if (!it)
		return err;
	it->ifindex = net_index(ifname);
	err = it->ifindex ? route_put(n, it) : -ENODEV;
	if (!err) {
		item_keep(n, it);
		return 0;
	}
	free(it);
	if (err == -ENODEV)
		return fail_no_device(n, ret_text, ifname);
	if (err == -EEXIST)
		return fail(n, ret_text, err,
			    "there is one with the same metric; choose another metric or table");
	return fail(n, ret_text, err, "could not add the route");
}

/* ---- pins ---- */

struct best_route {
	const struct addr *to;
	struct nlm_route route;
	bool found;
};

static void best_route_each(void *arg, const struct nlm_route *r)
{
	struct best_route *b = arg;

	if (r->table != RT_TABLE_MAIN || KERNEL_PROTO_IS(r->proto) || r->type != RTN_UNICAST ||
	    !r->hop.ifindex || !prefix_has(&r->prefix, b->to))
		return;
	if (b->found &&
	    (r->len < b->route.len || (r->len == b->route.len && r->metric >= b->route.metric)))
		return;
	b->route = *r;
	b->found = true;
}

/* The next hop to `to` without our routes. 0; 1 it needs no pin; negative errno. */
static int pin_hop(struct net *n, const struct addr *to, struct nlm_hop *ret)
{
	struct best_route best = { .to = to };
	struct nlm_route r;
	int err = nlm_route_to(&n->m, to, &r);

	if (err)
		return err;
	if (!KERNEL_PROTO_IS(r.proto)) {
		if (r.type == RTN_LOCAL)
			return 1;
		if (r.type != RTN_UNICAST || !r.hop.ifindex)
			return -ENETUNREACH;
		*ret = r.hop;
		return 0;
	}
	err = nlm_routes(&n->m, (uint8_t)to->family, best_route_each, &best);
	if (err)
		return err;
	if (!best.found)
		return -ENETUNREACH;
	*ret = best.route.hop;
	return 0;
}

static bool link_local(const struct addr *a)
{
	return a->family == AF_INET6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

int net_pin(struct net *n, const struct addr *to, enum net_holder holder, bool add,
	    const char **ret_text)
{
	uint8_t len = to->family == AF_INET ? 32 : 128;
	struct addr plain = { .family = to->family };
	struct nlm_route r;
	struct item_key key;
	struct item *it;
	bool known;
	int err;

	if (link_local(to))
		return 0; /* no route leads away from a link */
	memcpy(plain.ip, to->ip, sizeof(plain.ip));
	key = item_key(ITEM_PIN, "", &plain, len, 0, 0);
	it = item_find(n, &key);
	known = it != NULL;
	if (!add) {
		if (it)
			it->holders &= ~(uint32_t)holder;
		err = it && !it->holders ? route_remove(n, it) : 0;
		return err ? fail(n, ret_text, err, "could not remove the route to the server") : 0;
	}
	if (!it)
		it = item_new(n, &key, &err, ret_text);
	if (!it)
		return err;
	err = pin_hop(n, &plain, &it->hop);
	if (!err) {
		r = route_of(n, it);
		/* Somebody else's host route does the same: then it is not ours. */
		err = nlm_route(&n->m, &r, true, known ? NLM_F_REPLACE : NLM_F_EXCL);
		if (!err && !known)
			item_keep(n, it);
		if (!err) {
			if (it->epoch != n->epoch)
				it->holders = 0; /* every holder asks again for a new aditd */
			it->epoch = n->epoch;
			it->holders |= (uint32_t)holder;
			return 0;
		}
	}
	if (!known)
		free(it);
	if (err == 1 || err == -EEXIST)
		return 0;
	if (err == -ENETUNREACH)
		n->m.text[0] = 0;
	return fail(n, ret_text, err, "could not keep the route to the server");
}

/* ---- removing ---- */

void net_forget_device(struct net *n, const char *ifname)
{
	list_for_each_safe (node, &n->all) {
		struct item *it = container_of(node, struct item, all);

		if (it->key.kind != ITEM_PIN && strcmp(it->key.ifname, ifname) == 0)
			item_free(n, it);
	}
}

void net_epoch(struct net *n, uint32_t epoch)
{
	n->epoch = epoch;
}

static bool on_device_of_ours(const struct item *it)
{
	return it->key.kind != ITEM_PIN && strcmp(it->key.ifname, "lo") != 0;
}

static uint32_t sweep(struct net *n, uint32_t epoch, bool devices_too)
{
	uint32_t count = 0;

	list_for_each_safe (node, &n->all) {
		struct item *it = container_of(node, struct item, all);
		int err;

		if (it->epoch >= epoch || (on_device_of_ours(it) && !devices_too))
			continue;
		err = it->key.kind == ITEM_ADDR ? addr_remove(n, it) : route_remove(n, it);
		count += !err;
	}
	return count;
}

uint32_t net_sweep_before(struct net *n, uint32_t epoch)
{
	return sweep(n, epoch, false);
}

/* Things to remove, gathered while the kernel lists them. */
struct marked {
	struct nlm_route *routes;
	struct nlm_addr *addrs;
	struct nlm_link *links;
	size_t route_n, addr_n, link_n;
	uint32_t number;
};

static void *grown(void *v, size_t n, size_t size)
{
	/* Room is doubled whenever the number is a power of two. */
	if (n & (n - 1))
		return v;
	return reallocarray(v, n ? 2 * n : 1, size);
}

static void marked_route(void *arg, const struct nlm_route *r)
{
	struct marked *m = arg;
	struct nlm_route *v;

	if (r->proto != KERNEL_PROTO(m->number))
		return;
	v = grown(m->routes, m->route_n, sizeof(*v));
	if (!v)
		return;
	m->routes = v;
	v[m->route_n++] = *r;
}

static void marked_addr(void *arg, const struct nlm_addr *a)
{
	struct marked *m = arg;
	struct nlm_addr *v;

	if (a->proto != KERNEL_PROTO(m->number))
		return;
	v = grown(m->addrs, m->addr_n, sizeof(*v));
	if (!v)
		return;
	m->addrs = v;
	v[m->addr_n++] = *a;
}

static void marked_link(void *arg, const struct nlm_link *l)
{
	struct marked *m = arg;
	struct nlm_link *v;

	if (l->group != group_of(m->number))
		return;
	v = grown(m->links, m->link_n, sizeof(*v));
	if (!v)
		return;
	m->links = v;
	v[m->link_n++] = *l;
}

/* What carries the marks of a number, whose name is ours. */
static uint32_t sweep_number(struct net *n, uint32_t number)
{
	struct marked m = { .number = number };
	uint32_t count = 0;
	size_t i;

	nlm_routes(&n->m, AF_INET, marked_route, &m);
	nlm_routes(&n->m, AF_INET6, marked_route, &m);
	nlm_addrs(&n->m, marked_addr, &m);
	nlm_links(&n->m, marked_link, &m);
	for (i = 0; i < m.route_n; i++) {
		m.routes[i].hop.source.family = 0;
		count += nlm_route(&n->m, &m.routes[i], false, 0) == 0;
	}
	for (i = 0; i < m.addr_n; i++)
		count += nlm_addr(&n->m, m.addrs[i].ifindex, &m.addrs[i].prefix,
				  KERNEL_PROTO(number), false) == 0;
	for (i = 0; i < m.link_n; i++)
		count += nlm_link_del(&n->m, m.links[i].ifindex) == 0;
	free(m.routes);
	free(m.addrs);
	free(m.links);
	return count;
}

uint32_t net_sweep_all(struct net *n)
{
	uint32_t count = sweep(n, UINT32_MAX, true);

	return n->name_fd < 0 ? count : count + sweep_number(n, n->number);
}

/* Numbers, a bit each, of which there are marks. */
static void seen_proto(uint32_t *seen, uint8_t proto)
{
	for (uint32_t i = 1; i <= NET_NUMBERS; i++)
		if (proto == KERNEL_PROTO(i))
			*seen |= 1u << i;
}

static void seen_route(void *arg, const struct nlm_route *r)
{
	seen_proto(arg, r->proto);
}

static void seen_addr(void *arg, const struct nlm_addr *a)
{
	seen_proto(arg, a->proto);
}

static void seen_link(void *arg, const struct nlm_link *l)
{
	uint32_t *seen = arg;

	if (l->group - NET_MARK_GROUP < NET_NUMBERS)
		*seen |= 2u << (l->group - NET_MARK_GROUP);
}

uint32_t net_sweep_dead(struct net *n)
{
	uint32_t seen = 0, count = 0;
	char name[NAME_MAX_LEN];
	int fd;

	nlm_routes(&n->m, AF_INET, seen_route, &seen);
	nlm_routes(&n->m, AF_INET6, seen_route, &seen);
	nlm_addrs(&n->m, seen_addr, &seen);
	nlm_links(&n->m, seen_link, &seen);
	for (uint32_t i = 1; i <= NET_NUMBERS; i++) {
		if (i == n->number || !(seen & 1u << i))
			continue;
		fd = name_borrow(name_of(i, name));
		if (fd < 0)
			continue; /* a keeper has it, or its guard; another one sweeps it */
		count += sweep_number(n, i); /* as there is now: one may have come and gone */
		close(fd);
	}
	return count;
}

static uint32_t count_on(const struct net *n, uint32_t kind, const char *ifname,
			 const struct prefix *p)
{
	uint32_t found = 0;

	list_for_each (it, &n->all) {
		const struct item_key *k = &container_of(it, struct item, all)->key;

		found += k->kind == kind && strcmp(k->ifname, ifname) == 0 &&
			 (kind != ITEM_ROUTE || k->len == (k->addr.family == AF_INET ? 32 : 128)) &&
			 !(k->len == p->len && addr_same_ip(&k->addr, &p->addr));
	}
	return found;
}

uint32_t net_addr_count(const struct net *n, const char *ifname, const struct prefix *p)
{
	return count_on(n, ITEM_ADDR, ifname, p);
}

uint32_t net_host_count(const struct net *n, const char *ifname, const struct prefix *p)
{
	return count_on(n, ITEM_ROUTE, ifname, p);
}

uint32_t net_count(const struct net *n)
{
	return n->items.n;
}

/* ---- over an upgrade ---- */

enum { REC_NAME = CARRY_NET | CARRY_MUST | 1, REC_ITEM = CARRY_NET | 2 };

enum {
	F_FD = 1,
	F_EPOCH = 2, /* u32, of the net or of the item */
	F_KIND = 3,  /* u32 enum item_kind */
	F_TABLE = 4, /* u32 */
	F_METRIC = 5,
	F_LEN = 6,
	F_ADDR = 7, /* addr_save() */
	F_IFNAME = 8,
	F_INDEX = 9,   /* u32 */
	F_HALVES = 10, /* u32 0 or 1 */
	F_HOP = 11,    /* u32 index, gateway and source by addr_save() */
	F_HOLDERS = 12,
	F_NUMBER = 13 /* u32; absent = 1 */
};

uint32_t net_group(const struct net *n)
{
	return group_of(n->number);
}

uint32_t net_number(const struct net *n)
{
	return n->number;
}

int net_name(const struct net *n)
{
	return n->name_fd;
}

static void item_carry(const struct item *it, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_ITEM);
	size_t at;

	wcur_tlv_u32(w, F_KIND, it->key.kind);
	wcur_tlv_u32(w, F_TABLE, it->key.table);
	wcur_tlv_u32(w, F_METRIC, it->key.metric);
	wcur_tlv_u32(w, F_LEN, it->key.len);
	at = wcur_tlv_begin(w, F_ADDR);
	addr_save(w, &it->key.addr);
	wcur_tlv_end(w, at);
	carry_text(c, F_IFNAME, it->key.ifname);
	wcur_tlv_u32(w, F_EPOCH, it->epoch);
	wcur_tlv_u32(w, F_INDEX, (uint32_t)it->ifindex);
	wcur_tlv_u32(w, F_HALVES, it->halves);
	wcur_tlv_u32(w, F_HOLDERS, it->holders);
	at = wcur_tlv_begin(w, F_HOP);
	wcur_u32(w, (uint32_t)it->hop.ifindex);
	addr_save(w, &it->hop.gateway);
	addr_save(w, &it->hop.source);
	wcur_tlv_end(w, at);
	carry_end(c);
}

void net_carry(const struct net *n, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_NAME);

	wcur_tlv_u32(w, F_EPOCH, n->epoch);
	wcur_tlv_u32(w, F_NUMBER, n->number);
	carry_fd(c, F_FD, n->name_fd);
	carry_end(c);
	list_for_each (at, &n->all) {
		item_carry(container_of(at, struct item, all), c);
	}
}

static bool item_load(struct rcur v, struct item *ret)
{
	struct addr addr = { 0 };
	uint32_t kind = 0, table = 0, metric = 0, len = 0;
	char ifname[DP_IFNAME] = "";
	bool ok = true;
	struct rcur f;
	uint16_t field;

	memset(ret, 0, sizeof(*ret));
	while (ok && rcur_tlv(&v, &field, &f)) {
		switch (field) {
		case F_KIND:
			kind = rcur_u32(&f);
			break;
		case F_TABLE:
			table = rcur_u32(&f);
			break;
		case F_METRIC:
			metric = rcur_u32(&f);
			break;
		case F_LEN:
			len = rcur_u32(&f);
			break;
		case F_ADDR:
			addr_load(&f, &addr);
			break;
		case F_IFNAME:
			ok = carry_text_load(f, ifname, sizeof(ifname));
			break;
		case F_EPOCH:
			ret->epoch = rcur_u32(&f);
			break;
		case F_INDEX:
			ret->ifindex = (int)rcur_u32(&f);
			break;
		case F_HALVES:
			ret->halves = rcur_u32(&f) != 0;
			break;
		case F_HOLDERS:
			ret->holders = rcur_u32(&f);
			break;
		case F_HOP:
			ret->hop.ifindex = (int)rcur_u32(&f);
			addr_load(&f, &ret->hop.gateway);
			addr_load(&f, &ret->hop.source);
			break;
		default:
			break;
		}
		ok = ok && !f.bad;
	}
	ret->key = item_key((enum item_kind)kind, ifname, &addr, len, table, metric);
	return ok && !v.bad && kind >= ITEM_ADDR && kind <= ITEM_PIN && addr.family && len <= 128;
}

int net_carried(struct net *n, uint16_t tag, struct rcur v)
{
	uint16_t field;
	struct rcur f;
	struct item *it, from;
	uint32_t epoch;

	if (tag == REC_NAME) {
		/* As net_open() left it: number 1, and whoever wrote no descriptor has no name. */
		while (rcur_tlv(&v, &field, &f)) {
			if (field == F_FD)
				n->name_fd = (int)rcur_u32(&f);
			else if (field == F_NUMBER)
				n->number = rcur_u32(&f);
			else if (field == F_EPOCH)
				n->epoch = rcur_u32(&f);
		}
		return v.bad || !n->number || n->number > NET_NUMBERS ? -EBADMSG : 0;
	}
	if (tag != REC_ITEM)
		return 1;
	if (!item_load(v, &from))
		return -EBADMSG;
	if (htab_reserve(&n->items) < 0 || !(it = calloc(1, sizeof(*it))))
		return -ENOMEM;
	*it = from;
	list_init(&it->all);
	epoch = it->epoch;
	item_keep(n, it);
	it->epoch = epoch;
	return 0;
}
