/* SPDX-License-Identifier: MIT
 *
 * The circuits of pseudowires, see circuit.h, and the interfaces they are. Many circuits may share
 * an interface. It is wanted by name; one that is a pseudowire's own stays the same when somebody
 * renames it, and is found by its index then. A name without an interface is a circuit that is
 * down, until one of that name appears. The bridge an interface is in is known by its index: its
 * name is asked for once, and heard from then on.
 *
 * The kernel is listened to while there are any: it says something several times of each
 * interface of PPP sessions, too, of which there may be thousands.
 *
 * When the kernel has dropped messages because nobody read them, all are asked for anew. An answer
 * takes as much of the socket's buffer as a message does, and each question takes the kernel's one
 * lock of interfaces: so there are few questions at a time, and the next one follows an answer. All
 * at once they would fill the buffer, and so on without end.
 */
#include "circuit.h"
#include "base/htab.h"
#include "base/list.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER	      32768
#define SOCKET_BUFFER (1 << 20)
#define QUESTIONS     4 /* under way */

enum { STATE_DOWN, STATE_UP, STATE_MISSING, STATE_UNKNOWN };

enum there { UNKNOWN, THERE, GONE };

struct link {
	struct htab_node by_name, by_index;
	struct list doubt;    /* in circuits.doubt while it is to be asked for */
	struct list circuits; /* struct circuit.on */
	uint32_t users;	      /* circuits and watches; of a bridge: what is in it */
	uint32_t watches;     /* those of them that circuits_unwatch() ends */
	bool own;	      /* a pseudowire's: another name does not make another one of it */
	enum there is;
	unsigned int flags;
	int index;		/* 0 = not known, or gone */
	struct link *master;	/* NULL = none */
	char name[DP_IFNAME];	/* by which it is wanted, "" = a bridge */
	char is_now[DP_IFNAME]; /* its name, "" = not known */
};

struct circuit {
	struct htab_node by_key;
	struct list on;	  /* link->circuits */
	struct list news; /* in circuits.news while there is something to tell */
	struct link *link;
	uint64_t key;
	bool own;
	bool held; /* circuits_expect(): nothing is told yet */
	uint8_t told;
};

struct circuits {
	int fd;
	bool joined; /* the kernel tells of all interfaces */
	int error;   /* why it does not: a negative errno */
	bool told;   /* ... which was told */
	struct htab keys, names, indexes, bridges;
	struct list news, doubt;
	uint32_t seq, port; /* of our questions */
	unsigned int asked; /* questions under way */
};

static uint64_t key_hash(const struct circuits *c, uint64_t key)
{
	return htab_hash(&c->keys, &key, sizeof(key));
}

static uint64_t name_hash(const struct circuits *c, const char *name)
{
	return htab_hash(&c->names, name, strnlen(name, DP_IFNAME));
}

static uint64_t index_hash(const struct circuits *c, int index)
{
	return htab_hash(&c->indexes, &index, sizeof(index));
}

static struct circuit *find(const struct circuits *c, uint64_t key)
{
	for (struct htab_node *n = htab_find(&c->keys, key_hash(c, key)); n; n = htab_next(n))
		if (container_of(n, struct circuit, by_key)->key == key)
			return container_of(n, struct circuit, by_key);
	return NULL;
}

static struct link *link_find(const struct circuits *c, const char *name)
{
	for (struct htab_node *n = htab_find(&c->names, name_hash(c, name)); n; n = htab_next(n))
		if (strcmp(container_of(n, struct link, by_name)->name, name) == 0)
			return container_of(n, struct link, by_name);
	return NULL;
}

static struct link *bridge_find(const struct circuits *c, int index)
{
	for (struct htab_node *n = htab_find(&c->bridges, index_hash(c, index)); n;
	     n = htab_next(n))
		if (container_of(n, struct link, by_index)->index == index)
			return container_of(n, struct link, by_index);
	return NULL;
}

struct circuits *circuits_new(const uint8_t hash_key[16])
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK };
	struct circuits *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(nl);
	int size = SOCKET_BUFFER;

	if (!c)
		return NULL;
	htab_init(&c->keys, hash_key);
	htab_init(&c->names, hash_key);
	htab_init(&c->indexes, hash_key);
	htab_init(&c->bridges, hash_key);
	list_init(&c->news);
	list_init(&c->doubt);
	c->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	c->error = c->fd < 0 ? -errno : 0;
	if (c->fd >= 0 && (bind(c->fd, (struct sockaddr *)&nl, sizeof(nl)) < 0 ||
			   getsockname(c->fd, (struct sockaddr *)&nl, &len) < 0)) {
		c->error = -errno;
		close(c->fd);
		c->fd = -1;
	}
	c->port = nl.nl_pid;
	if (c->fd >= 0)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return c;
}

int circuits_fd(const struct circuits *c)
{
	return c->fd;
}

/* ---- state ---- */

static uint8_t state_of(const struct circuit *i)
{
	const struct link *l = i->link;
	unsigned int needs = i->own ? IFF_UP : IFF_UP | IFF_RUNNING;

	if (l->is == UNKNOWN)
		return STATE_UNKNOWN;
	/* by another name it may still be a pseudowire's own, but not what others have named */
	if (l->is == GONE || (!i->own && strcmp(l->is_now, l->name) != 0))
		return i->own ? STATE_DOWN : STATE_MISSING;
	return (l->flags & needs) == needs ? STATE_UP : STATE_DOWN;
}

static void tell(struct circuits *c, struct circuit *i)
{
	uint8_t state = state_of(i);

	list_drop(&i->news);
	if (state != STATE_UNKNOWN && state != i->told && !i->held)
		list_push(&c->news, &i->news);
}

static void tell_all(struct circuits *c, struct link *l)
{
	list_for_each (at, &l->circuits)
		tell(c, container_of(at, struct circuit, on));
}

/* ---- interfaces ---- */

/* What is said of one. */
struct said {
	int index, master; /* 0 = none, or not said */
	unsigned int flags;
	bool gone;
	char name[DP_IFNAME]; /* "" = not said */
};

/* It is asked for when all that has come is read. */
static void ask(struct circuits *c, struct link *l)
{
	list_drop(&l->doubt);
	list_push(&c->doubt, &l->doubt);
}

/* One without an index is where nobody looks. */
static void index_set(struct circuits *c, struct link *l, int index)
{
	htab_drop(&c->indexes, &l->by_index);
	l->index = index;
	htab_put(&c->indexes, &l->by_index, index ? index_hash(c, index) : l->by_name.hash);
}

static void master_set(struct circuits *c, struct link *l, int index)
{
	struct link *b = l->master;

	if (b && b->index == index)
		return;
	l->master = NULL;
	if (b && --b->users == 0) {
		list_drop(&b->doubt);
		htab_drop(&c->bridges, &b->by_index);
		free(b);
	}
	if (!index)
		return;
	b = bridge_find(c, index);
	if (!b) {
		b = htab_reserve(&c->bridges) < 0 ? NULL : calloc(1, sizeof(*b));
		if (!b)
			return;
		list_init(&b->doubt);
		list_init(&b->circuits);
		b->index = index;
		htab_put(&c->bridges, &b->by_index, index_hash(c, index));
		ask(c, b);
	}
	b->users++;
	l->master = b;
}

static void link_gone(struct circuits *c, struct link *l)
{
	bool other = l->is == THERE && strcmp(l->is_now, l->name) != 0;

	l->is = GONE;
	l->is_now[0] = '\0';
	index_set(c, l, 0);
	master_set(c, l, 0);
	tell_all(c, l);
	if (other)
		ask(c, l); /* there may be another one by its name */
}

static void link_is(struct circuits *c, struct link *l, const struct said *s)
{
	l->is = THERE;
	l->flags = s->flags;
	if (l->index != s->index)
		index_set(c, l, s->index);
	snprintf(l->is_now, sizeof(l->is_now), "%s", s->name);
	master_set(c, l, s->master);
	tell_all(c, l);
}

static struct link *index_find(const struct circuits *c, int index)
{
	for (struct htab_node *n = htab_find(&c->indexes, index_hash(c, index)); n;
	     n = htab_next(n))
		if (container_of(n, struct link, by_index)->index == index)
			return container_of(n, struct link, by_index);
	return NULL;
}

static void seen(struct circuits *c, const struct said *s)
{
	struct link *b = s->index ? bridge_find(c, s->index) : NULL;
	struct link *l = s->index ? index_find(c, s->index) : NULL;

	if (b)
		snprintf(b->is_now, sizeof(b->is_now), "%s", s->gone ? "" : s->name);
	if (l && !s->gone && (l->own || strcmp(l->is_now, s->name) == 0)) {
		link_is(c, l, s);
		return;
	}
	if (l)
		link_gone(c, l); /* or it is another one by its name */
	l = s->name[0] ? link_find(c, s->name) : NULL;
	if (!l || (l->index && strcmp(l->is_now, l->name) != 0))
		return; /* nobody wants it, or who had the name is known by another one now */
	if (s->gone)
		link_gone(c, l);
	else
		link_is(c, l, s);
}

/* ---- netlink ---- */

/* An attribute of a message about a link, NULL = it has none. */
static const void *attr_find(const uint8_t *at, size_t len, uint16_t type, size_t *ret_len)
{
	struct rtattr a;

	while (len >= sizeof(a)) {
		size_t whole;

		memcpy(&a, at, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > len)
			return NULL;
		*ret_len = a.rta_len - sizeof(a);
		if (a.rta_type == type)
			return at + sizeof(a);
		whole = RTA_ALIGN((size_t)a.rta_len);
		if (whole > len)
			return NULL;
		at += whole;
		len -= whole;
	}
	return NULL;
}

/* What follows the head of a message about a link. */
static void attrs_read(const uint8_t *at, size_t len, struct said *ret)
{
	size_t n;
	const void *name = attr_find(at, len, IFLA_IFNAME, &n);

	if (name && n <= DP_IFNAME)
		memcpy(ret->name, name, n);
	ret->name[DP_IFNAME - 1] = '\0';
	name = attr_find(at, len, IFLA_MASTER, &n);
	if (name && n == sizeof(ret->master))
		memcpy(&ret->master, name, n);
}

static void link_message(struct circuits *c, uint16_t type, const uint8_t *at, size_t len)
{
	struct said s = { .gone = type == RTM_DELLINK };
	struct ifinfomsg ifi;

	if (len < sizeof(ifi))
		return;
	memcpy(&ifi, at, sizeof(ifi));
	if (ifi.ifi_family != AF_UNSPEC) /* a bridge tells of its ports in a message of its own */
		return;
	attrs_read(at + sizeof(ifi), len - sizeof(ifi), &s);
	s.index = ifi.ifi_index;
	s.flags = ifi.ifi_flags;
	if (s.name[0])
		seen(c, &s);
}

/* A question that failed: it carries the question, and there the name is, or the index. */
static void error_message(struct circuits *c, const uint8_t *at, size_t len)
{
	size_t head = sizeof(int) + sizeof(struct nlmsghdr);
	struct said s = { .gone = true };
	struct ifinfomsg ifi;

	if (len < head + sizeof(ifi))
		return;
	memcpy(&ifi, at + head, sizeof(ifi));
	attrs_read(at + head + sizeof(ifi), len - head - sizeof(ifi), &s);
	s.index = ifi.ifi_index;
	seen(c, &s);
}

bool circuits_input(struct circuits *c, const uint8_t *bytes, size_t len)
{
	struct nlmsghdr h;

	while (len >= sizeof(h)) {
		size_t whole;

		memcpy(&h, bytes, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			return false;
		if (h.nlmsg_seq && h.nlmsg_pid == c->port && c->asked)
			c->asked--; /* an answer */
		if (h.nlmsg_type == RTM_NEWLINK || h.nlmsg_type == RTM_DELLINK)
			link_message(c, h.nlmsg_type, bytes + sizeof(h), h.nlmsg_len - sizeof(h));
		else if (h.nlmsg_type == NLMSG_ERROR)
			error_message(c, bytes + sizeof(h), h.nlmsg_len - sizeof(h));
		whole = NLMSG_ALIGN((size_t)h.nlmsg_len);
		if (whole > len)
			return true;
		bytes += whole;
		len -= whole;
	}
	return len == 0;
}

struct question {
	struct nlmsghdr h;
	struct ifinfomsg ifi;
	struct rtattr a;
	char name[DP_IFNAME];
};

/* By its index if it has one: its name may not be what it was. */
static bool ask_now(struct circuits *c, const struct link *l)
{
	struct question m;

	memset(&m, 0, sizeof(m));
	m.h.nlmsg_type = RTM_GETLINK;
	m.h.nlmsg_flags = NLM_F_REQUEST;
	m.h.nlmsg_len = (uint32_t)offsetof(struct question, a);
	m.h.nlmsg_seq = ++c->seq;
	m.ifi.ifi_index = l->index;
	if (!l->index) {
		m.a.rta_type = IFLA_IFNAME;
		m.a.rta_len = (unsigned short)(sizeof(m.a) + strlen(l->name) + 1);
		snprintf(m.name, sizeof(m.name), "%s", l->name);
		m.h.nlmsg_len += (uint32_t)RTA_ALIGN((size_t)m.a.rta_len);
	}
	if (c->fd < 0 || send(c->fd, &m, m.h.nlmsg_len, MSG_DONTWAIT) < 0)
		return false;
	c->asked++;
	return true;
}

static void ask_more(struct circuits *c)
{
	while (c->asked < QUESTIONS && !list_empty(&c->doubt)) {
		struct link *l = container_of(list_pop(&c->doubt), struct link, doubt);

		if (ask_now(c, l) || !l->name[0])
			continue;
		l->is = THERE; /* nobody says otherwise */
		l->flags = IFF_UP | IFF_RUNNING;
		snprintf(l->is_now, sizeof(l->is_now), "%s", l->name);
		tell_all(c, l);
	}
}

/* Messages were lost, answers too perhaps. */
static void doubt_all(struct circuits *c)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	c->asked = 0;
	while ((n = htab_walk(&c->names, &pos, n)))
		ask(c, container_of(n, struct link, by_name));
	for (pos = 0, n = NULL; (n = htab_walk(&c->bridges, &pos, n));)
		ask(c, container_of(n, struct link, by_index));
}

static void read_now(struct circuits *c)
{
	union {
		struct nlmsghdr align;
		uint8_t bytes[BUFFER];
	} buf;
	ssize_t n;

	for (;;) {
		n = recv(c->fd, buf.bytes, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == ENOBUFS)
			doubt_all(c);
		else if (n < 0 && errno != EINTR)
			break;
		else if (n > 0)
			circuits_input(c, buf.bytes, (size_t)n);
	}
}

/* The kernel answers before it lets us go on: the name of a bridge is known at once. */
static void read_all(struct circuits *c)
{
	read_now(c);
	ask_more(c);
	if (!c->asked)
		return;
	read_now(c);
	ask_more(c);
}

/* ---- from outside ---- */

static void listen_to(struct circuits *c, bool on)
{
	int group = RTNLGRP_LINK, how = on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP;

	if (c->fd < 0 || on == c->joined)
		return;
	if (setsockopt(c->fd, SOL_NETLINK, how, &group, sizeof(group)) == 0) {
		c->joined = on;
		c->error = 0;
		c->told = false;
		if (on)
			doubt_all(c); /* those of when it did not tell */
	} else if (on) {
		c->error = -errno;
	}
}

int circuits_deaf(struct circuits *c)
{
	if (!c->error || c->told || !c->names.n)
		return 0;
	c->told = true;
	return c->error;
}

/* One by this name, for one user more. NULL: out of memory. */
static struct link *link_take(struct circuits *c, const char *name, bool own)
{
	struct link *l = link_find(c, name);

	if (!l) {
		if (htab_reserve(&c->names) < 0 || htab_reserve(&c->indexes) < 0 ||
		    !(l = calloc(1, sizeof(*l))))
			return NULL;
		listen_to(c, true);
		list_init(&l->doubt);
		list_init(&l->circuits);
		snprintf(l->name, sizeof(l->name), "%s", name);
		htab_put(&c->names, &l->by_name, name_hash(c, l->name));
		htab_put(&c->indexes, &l->by_index, l->by_name.hash);
	} else {
		listen_to(c, true);
	}
	l->users++;
	l->own = l->own || own;
	return l;
}

static void link_leave(struct circuits *c, struct link *l)
{
	if (--l->users)
		return;
	master_set(c, l, 0);
	list_drop(&l->doubt);
	htab_drop(&c->names, &l->by_name);
	htab_drop(&c->indexes, &l->by_index);
	free(l);
	if (c->fd >= 0 && !c->names.n) {
		listen_to(c, false);
		read_all(c); /* what it has said until now is of nobody */
	}
}

static void drop(struct circuits *c, struct circuit *i)
{
	list_drop(&i->news);
	list_drop(&i->on);
	htab_drop(&c->keys, &i->by_key);
	link_leave(c, i->link);
	free(i);
}

void circuits_free(struct circuits *c)
{
	struct htab_node *n;
	uint64_t pos;

	if (!c)
		return;
	while (pos = 0, (n = htab_walk(&c->keys, &pos, NULL)))
		drop(c, container_of(n, struct circuit, by_key));
	while (pos = 0, (n = htab_walk(&c->names, &pos, NULL))) /* watched */
		link_leave(c, container_of(n, struct link, by_name));
	htab_free(&c->keys);
	htab_free(&c->names);
	htab_free(&c->indexes);
	htab_free(&c->bridges);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

static struct circuit *add(struct circuits *c, uint64_t key, const char *ifname, bool own)
{
	struct circuit *i = find(c, key);

	if (i)
		drop(c, i);
	if (htab_reserve(&c->keys) < 0 || !(i = calloc(1, sizeof(*i))))
		return NULL;
	list_init(&i->on);
	list_init(&i->news);
	i->key = key;
	i->own = own;
	i->told = STATE_UNKNOWN;
	i->link = link_take(c, ifname, own);
	if (!i->link) {
		free(i);
		return NULL;
	}
	list_push(&i->link->circuits, &i->on);
	htab_put(&c->keys, &i->by_key, key_hash(c, key));
	return i;
}

int circuits_put(struct circuits *c, uint64_t key, const char *ifname, bool own)
{
	struct circuit *i = find(c, key);

	if (!i || !i->held || i->own != own || strcmp(i->link->name, ifname) != 0)
		i = add(c, key, ifname, own);
	if (!i)
		return -ENOMEM;
	/* What was said of it until now comes first: half of it would be an interface that is made
	 * but not up yet. */
	if (c->fd >= 0)
		read_all(c);
	i->held = false;
	if (i->link->is == UNKNOWN || !c->joined)
		ask(c, i->link);
	else if (list_empty(&i->link->doubt))
		tell(c, i);
	ask_more(c);
	return 0;
}

int circuits_expect(struct circuits *c, uint64_t key, const char *ifname)
{
	struct circuit *i = find(c, key) ? NULL : add(c, key, ifname, true);

	if (i)
		i->held = true;
	return i || find(c, key) ? 0 : -ENOMEM;
}

void circuits_drop(struct circuits *c, uint64_t key)
{
	struct circuit *i = find(c, key);

	if (i)
		drop(c, i);
}

bool circuits_missing(const struct circuits *c, uint64_t key)
{
	const struct circuit *i = find(c, key);

	return i && i->told == STATE_MISSING;
}

bool circuits_event(struct circuits *c, uint64_t *ret_key, bool *ret_up)
{
	struct circuit *i;
	struct list *l;

	if (c->fd >= 0 && c->names.n)
		read_all(c);
	l = list_pop(&c->news);
	if (!l)
		return false;
	i = container_of(l, struct circuit, news);
	i->told = state_of(i);
	*ret_key = i->key;
	*ret_up = i->told == STATE_UP;
	return true;
}

/* ---- names and bridges ---- */

/* Without the kernel's lock of interfaces. */
static bool is_none(const struct circuits *c, const char *ifname)
{
	struct ifreq r = { .ifr_ifindex = 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
	return ioctl(c->fd, SIOCGIFINDEX, &r) < 0 && errno == ENODEV;
}

int circuits_watch(struct circuits *c, const char *ifname)
{
	struct link *l = link_take(c, ifname, true);

	if (!l)
		return -ENOMEM;
	l->watches++;
	if (c->fd < 0 || l->is != UNKNOWN)
		return 0;
	if (is_none(c, ifname))
		l->is = GONE; /* that one appears is said */
	else
		ask(c, l);
	ask_more(c);
	return 0;
}

void circuits_unwatch(struct circuits *c, const char *ifname)
{
	struct link *l = link_find(c, ifname);

	if (!l || !l->watches)
		return;
	l->watches--;
	link_leave(c, l);
}

bool circuits_link(const struct circuits *c, const char *ifname, struct circuit_link *ret)
{
	const struct link *l = link_find(c, ifname);

	if (!c->joined || !l || l->is != THERE || (l->master && !l->master->is_now[0]))
		return false;
	memcpy(ret->name, l->is_now, sizeof(ret->name));
	memcpy(ret->master, l->master ? l->master->is_now : "", l->master ? DP_IFNAME : 1);
	return true;
}
