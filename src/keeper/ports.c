/* SPDX-License-Identifier: MIT
 *
 * The interfaces of pseudowires in their bridges, see ports.h. The kernel tells of every interface
 * that changes: only which ones is taken from that. What has become of them is asked a moment
 * later, when all of it has happened: a bridge that goes drops its interfaces before. An interface
 * that is not up yet is being made.
 */
#include "ports.h"

#include "base/htab.h"
#include "base/list.h"
#include "proto.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER	      32768
#define SOCKET_BUFFER (1 << 20)
#define PAUSE_US      (100 * US_MS)
#define LOOKS	      16 /* at most in one turn: each waits for the lock of the kernel's links */

enum where {
	UNKNOWN,
	IN,    /* its bridge */
	GONE,  /* the bridge is */
	OUT,   /* the bridge is there, it is in none */
	OTHER, /* in another one */
};

struct port {
	struct htab_node by_name, by_bridge;
	const char *wire;	  /* of the configuration */
	const struct dp_row *row; /* same: interface, bridge, VLANs */
	enum where where;
	int ifindex; /* of the interface that is ours, 0 = there is none */
	int bridge;  /* index of the bridge it was seen in */
	bool look;
	bool left; /* that bridge, since it was looked at */
	bool put;  /* back, though somebody has taken it out */
};

struct ports {
	struct net *net;
	ports_own_fn *own;
	ports_say_fn *say;
	void *arg;
	int fd;		 /* news; -1 = none */
	struct nlm asks; /* open while there are ports */
	struct htab names, bridges;
	struct port *all;
	size_t count, next; /* to be looked at */
	struct mono look_at;
	bool telling; /* what is said now is also told to who has asked for the configuration */
	unsigned int untold;
	char told[KEEPER_TEXT_MAX];
};

struct ports *ports_new(struct net *net, ports_own_fn *own, ports_say_fn *say, void *arg)
{
	struct ports *p = calloc(1, sizeof(*p));
	uint8_t key[16];

	if (!p || getrandom(key, sizeof(key), 0) != sizeof(key)) {
		free(p);
		return NULL;
	}
	*p = (struct ports){ .net = net, .own = own, .say = say, .arg = arg, .fd = -1 };
	p->look_at = MONO_NEVER;
	p->asks.fd = -1;
	htab_init(&p->names, key);
	htab_init(&p->bridges, key);
	return p;
}

static uint64_t hash_of(const struct htab *t, const char *name)
{
	return htab_hash(t, name, strlen(name));
}

/* ---- news ---- */

static void look_soon(struct ports *p, struct port *i, struct mono now)
{
	i->look = true;
	p->look_at = mono_min(p->look_at, mono_add(now, PAUSE_US));
}

/* `master`: index of what it is in now, 0 = nothing. */
static void changed(struct ports *p, const char *name, int master, struct mono now)
{
	struct htab_node *n;

	for (n = htab_find(&p->names, hash_of(&p->names, name)); n; n = htab_next(n)) {
		struct port *i = container_of(n, struct port, by_name);

		if (strcmp(i->row->ifname, name) != 0)
			continue;
		i->left |= i->where == IN && master != i->bridge;
		look_soon(p, i, now);
	}
	for (n = htab_find(&p->bridges, hash_of(&p->bridges, name)); n; n = htab_next(n))
		if (strcmp(container_of(n, struct port, by_bridge)->row->master, name) == 0)
			look_soon(p, container_of(n, struct port, by_bridge), now);
}

static void message(struct ports *p, const struct nlmsghdr *h, struct mono now)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	char name[DP_IFNAME] = "";
	const struct nlattr *a;
	int left, master = 0;

	if ((h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK) ||
	    mnl_nlmsg_get_payload_len(h) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC)
		return;
	nlm_for_each_msg_attr(a, left, h, ifi)
	{
		if (mnl_attr_get_type(a) == IFLA_IFNAME)
			snprintf(name, sizeof(name), "%.*s", (int)mnl_attr_get_payload_len(a),
				 mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == IFLA_MASTER && mnl_attr_get_payload_len(a) >= 4)
			master = (int)mnl_attr_get_u32(a);
	}
	changed(p, name, master, now);
}

int ports_fd(const struct ports *p)
{
	return p->fd;
}

void ports_read(struct ports *p, struct mono now)
{
	union {
		struct nlmsghdr align;
		uint8_t bytes[BUFFER];
	} buf;

	for (;;) {
		ssize_t n = recv(p->fd, buf.bytes, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *h = &buf.align;
		int left = (int)n;

		if (n < 0 && errno == ENOBUFS) { /* some were lost */
			for (size_t i = 0; i < p->count; i++) {
				p->all[i].left |= p->all[i].where == IN;
				look_soon(p, p->all + i, now);
			}
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			message(p, h, now);
	}
}

/* ---- what has become of one ---- */

/* There may be more than there is room for: of those it is told how many they are. */
static void tell(struct ports *p, const char *line)
{
	size_t n = strlen(p->told);

	if (!p->untold && n + strlen(line) + 2 + 40 <= sizeof(p->told))
		snprintf(p->told + n, sizeof(p->told) - n, "%s\n", line);
	else
		p->untold++;
}

static void say(struct ports *p, const struct port *i, enum trace_level level, const char *what,
		const char *then)
{
	char text[CONF_NAME + 512];

	snprintf(text, sizeof(text), "pseudowire \"%s\": %s %s %s%s", i->wire, i->row->ifname, what,
		 i->row->master, then);
	p->say(p->arg, level, text);
	if (p->telling)
		tell(p, text);
}

static void is_in(struct port *i, int bridge)
{
	i->where = IN;
	i->bridge = bridge;
	i->left = false;
}

static void refused(struct ports *p, struct port *i, const char *what, const char *why)
{
	char then[256];

	snprintf(then, sizeof(then), ": %s; correct that, then run `adit reload`", why);
	say(p, i, TRACE_WARNING, what, then);
	i->where = OUT;
}

static void put_back(struct ports *p, struct port *i, int bridge, struct mono now)
{
	const char *why = "";

	if (net_link_up(p->net, i->ifindex, 0, i->row->master, i->row, &why) < 0) {
		refused(p, i, "cannot be put into bridge", why);
		return;
	}
	say(p, i, TRACE_NOTICE, "is put into bridge", " again");
	ports_read(p, now); /* what is told of that is no news */
	is_in(i, bridge);
}

static void vlans_again(struct ports *p, struct port *i, int bridge)
{
	const char *why = "";

	if (net_port_vlans(p->net, i->ifindex, i->row, &why) < 0) {
		refused(p, i, "is taken out, as it cannot have its VLANs, of bridge", why);
		return;
	}
	say(p, i, TRACE_NOTICE, "is given its VLANs in bridge", " again");
	is_in(i, bridge);
}

static enum where where_is(const struct nlm_link *link, int bridge)
{
	if (link->master)
		return link->master == bridge ? IN : OTHER;
	return bridge ? OUT : GONE;
}

/* Nobody has taken it out of the bridge that is there now. */
static bool nobody(const struct port *i, int bridge)
{
	return i->where == UNKNOWN || i->where == GONE || (i->where == IN && i->bridge != bridge);
}

/* Made by this keeper. One of the same name may be the host's own, or another keeper's, which
 * nobody has told us to move. What others make of its group later does not matter. */
static bool ours(const struct ports *p, struct port *i, const struct nlm_link *l)
{
	if (i->ifindex != l->ifindex)
		i->ifindex = p->own(p->arg, l) ? l->ifindex : 0;
	return i->ifindex != 0;
}

/* Others have put it there, and they know of no VLANs: those that it had went as it left. */
static bool bare(const struct port *i, int bridge)
{
	return i->where != UNKNOWN && (i->where != IN || i->bridge != bridge || i->left) &&
	       (i->row->vlan || i->row->vlan_count);
}

/* False: the kernel does not answer, and is asked again. */
static bool look(struct ports *p, struct port *i, struct mono now)
{
	struct nlm_link link;
	enum where where;
	int err, bridge;
	bool put;

	i->look = false;
	err = nlm_link_find(&p->asks, i->row->ifname, &link);
	if (err < 0 && err != -ENODEV) {
		look_soon(p, i, now);
		return false;
	}
	if (err < 0 || !ours(p, i, &link)) {
		i->where = UNKNOWN;
		i->ifindex = 0;
		return true;
	}
	bridge = nlm_link_index(&p->asks, i->row->master);
	where = where_is(&link, bridge);
	if (!link.up && where != IN)
		return true; /* it is being made, or out of use */
	put = i->put || nobody(i, bridge);
	i->put = false;
	if (where == IN && bare(i, bridge)) {
		vlans_again(p, i, bridge);
		return true;
	}
	if (where == IN) {
		if (i->where == GONE || i->where == OUT || i->where == OTHER)
			say(p, i, TRACE_NOTICE, "is in bridge", " again");
		is_in(i, bridge);
	} else if (where == OTHER) {
		if (i->where != UNKNOWN && i->where != OTHER)
			say(p, i, TRACE_WARNING,
			    "was put into another bridge and stays there; the configuration wants",
			    "");
	} else if (where == GONE) {
		if (i->where != GONE)
			say(p, i, TRACE_WARNING, "carries nothing, there is no bridge",
			    " any more; make it again, then the interface is put into it");
	} else if (put) {
		put_back(p, i, bridge, now);
		return true;
	} else if (i->where != OUT) {
		say(p, i, TRACE_WARNING, "was taken out of bridge",
		    " by another program; `adit reload` puts it back");
	}
	i->where = where;
	return true;
}

struct mono ports_deadline(const struct ports *p)
{
	return p->look_at;
}

void ports_expire(struct ports *p, struct mono now)
{
	if (!mono_due(p->look_at, now))
		return;
	p->look_at = MONO_NEVER;
	for (size_t round = 0, n = 0; round < p->count; round++, p->next++) {
		struct port *i = p->all + p->next % p->count;

		if (!i->look)
			continue;
		if (n++ == LOOKS) {
			p->look_at = now; /* after what else there is to do */
			return;
		}
		if (!look(p, i, now)) {
			p->next++;
			return; /* the others after the same pause */
		}
	}
}

/* ---- the configuration ---- */

static void deaf(const struct ports *p, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "the bridges of pseudowires are not watched: %s; after a change to one run "
		 "`adit disconnect` and `adit connect`",
		 why);
	p->say(p->arg, TRACE_WARNING, text);
}

static void listen_to(struct ports *p)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK };
	int size = SOCKET_BUFFER, group = RTNLGRP_LINK, err;

	if (p->fd >= 0)
		return;
	err = nlm_open(&p->asks);
	if (err < 0) {
		deaf(p, strerror(-err));
		return;
	}
	p->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (p->fd >= 0 && bind(p->fd, (struct sockaddr *)&nl, sizeof(nl)) == 0 &&
	    setsockopt(p->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0) {
		if (setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
			setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		return;
	}
	deaf(p, strerror(errno));
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	nlm_close(&p->asks);
}

static void fall_silent(struct ports *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	nlm_close(&p->asks);
	p->look_at = MONO_NEVER;
}

static void drop_all(struct ports *p)
{
	for (size_t i = 0; i < p->count; i++) {
		htab_drop(&p->names, &p->all[i].by_name);
		htab_drop(&p->bridges, &p->all[i].by_bridge);
	}
	free(p->all);
	p->all = NULL;
	p->count = 0;
}

void ports_free(struct ports *p)
{
	if (!p)
		return;
	drop_all(p);
	fall_silent(p);
	htab_free(&p->names);
	htab_free(&p->bridges);
	free(p);
}

/* What was known of it by the configuration before. */
static void known(const struct ports *p, struct port *i)
{
	struct htab_node *n = htab_find(&p->names, hash_of(&p->names, i->row->ifname));

	for (; n; n = htab_next(n)) {
		const struct port *was = container_of(n, struct port, by_name);

		if (strcmp(was->row->ifname, i->row->ifname) != 0 ||
		    strcmp(was->row->master, i->row->master) != 0)
			continue;
		i->where = was->where;
		i->ifindex = was->ifindex;
		i->bridge = was->bridge;
		i->left = was->left;
		i->look = was->look;
	}
}

static void take(const struct ports *p, struct port *all, size_t *n, const char *name,
		 const struct dp_row *row)
{
	if (!row->master[0] || !row->ifname[0])
		return;
	all[*n] = (struct port){ .wire = name, .row = row, .put = true };
	known(p, &all[(*n)++]);
}

/* Those that were taken out, at once; all others, of which nothing is known to be said, later. */
static void look_all(struct ports *p, struct mono now)
{
	unsigned int looks = 0;
	size_t n;

	p->telling = true;
	for (size_t i = 0; i < p->count; i++) {
		struct port *at = p->all + i;

		if ((at->look || at->where == OUT) && looks++ < LOOKS)
			look(p, at, now);
		else
			look_soon(p, at, now);
	}
	p->telling = false;
	n = strlen(p->told);
	if (p->untold)
		snprintf(p->told + n, sizeof(p->told) - n, "and %u more, see the log\n", p->untold);
}

const char *ports_conf(struct ports *p, const struct conf *c, struct mono now)
{
	size_t max = c->wire_count + c->pw->wire_count, n = 0;
	struct port *all = calloc(max + 1, sizeof(*all));

	p->told[0] = '\0';
	p->untold = 0;
	if (p->fd >= 0)
		ports_read(p, now);
	for (size_t i = 0; all && i < c->wire_count; i++)
		take(p, all, &n, c->wires[i].name, &c->wires[i].row);
	for (size_t i = 0; all && i < c->pw->wire_count; i++)
		take(p, all, &n, c->pw->wires[i].name, &c->pw->wires[i].row);
	drop_all(p);
	p->all = all;
	if (!n) {
		fall_silent(p);
		if (!all)
			deaf(p, strerror(ENOMEM));
		return p->told;
	}
	listen_to(p);
	for (; p->fd >= 0 && p->count < n; p->count++) {
		struct port *i = all + p->count;

		if (htab_reserve(&p->names) < 0 || htab_reserve(&p->bridges) < 0) {
			deaf(p, strerror(ENOMEM));
			break;
		}
		htab_put(&p->names, &i->by_name, hash_of(&p->names, i->row->ifname));
		htab_put(&p->bridges, &i->by_bridge, hash_of(&p->bridges, i->row->master));
	}
	look_all(p, now);
	return p->told;
}
