/* SPDX-License-Identifier: MIT
 *
 * The circuits of pseudowires, see circuit.h. Found by their pseudowire and by the name of their
 * interface, since many pseudowires may share one. A name without an interface is a circuit that
 * is down, until one of that name appears.
 *
 * The kernel is listened to while there are circuits: it says something several times of each
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
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER	      32768
#define SOCKET_BUFFER (1 << 20)
#define QUESTIONS     4 /* under way */

enum { STATE_DOWN, STATE_UP, STATE_UNKNOWN };

struct circuit {
	struct htab_node by_key, by_name;
	struct list news;  /* in circuits.news while there is something to tell */
	struct list doubt; /* in circuits.doubt while it is to be asked for */
	uint64_t key;
	bool own;
	bool held; /* circuits_expect(): nothing is told yet */
	uint8_t state, told;
	char ifname[DP_IFNAME];
};

struct circuits {
	int fd;
	bool joined; /* the kernel tells of all interfaces */
	int error;   /* why it does not: a negative errno */
	bool told;   /* ... which was told */
	struct htab keys, names;
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

static struct circuit *find(const struct circuits *c, uint64_t key)
{
	for (struct htab_node *n = htab_find(&c->keys, key_hash(c, key)); n; n = htab_next(n))
		if (container_of(n, struct circuit, by_key)->key == key)
			return container_of(n, struct circuit, by_key);
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

static void is_now(struct circuits *c, struct circuit *i, uint8_t state)
{
	i->state = state;
	list_drop(&i->news);
	if (i->state != i->told && !i->held)
		list_push(&c->news, &i->news);
}

/* An interface has these flags, or is gone. */
static void seen(struct circuits *c, const char *name, unsigned int flags, bool gone)
{
	struct htab_node *n = htab_find(&c->names, name_hash(c, name));

	for (; n; n = htab_next(n)) {
		struct circuit *i = container_of(n, struct circuit, by_name);
		unsigned int needs = i->own ? IFF_UP : IFF_UP | IFF_RUNNING;

		if (strcmp(i->ifname, name) == 0)
			is_now(c, i, !gone && (flags & needs) == needs ? STATE_UP : STATE_DOWN);
	}
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

/* The name in a message about a link, or "". */
static void name_of(const uint8_t *at, size_t len, char ret[DP_IFNAME])
{
	const void *name = attr_find(at, len, IFLA_IFNAME, &len);

	memset(ret, 0, DP_IFNAME);
	if (name && len <= DP_IFNAME)
		memcpy(ret, name, len);
	ret[DP_IFNAME - 1] = '\0';
}

static void link_message(struct circuits *c, uint16_t type, const uint8_t *at, size_t len)
{
	struct ifinfomsg ifi;
	char name[DP_IFNAME];

	if (len < sizeof(ifi))
		return;
	memcpy(&ifi, at, sizeof(ifi));
	if (ifi.ifi_family != AF_UNSPEC) /* a bridge tells of its ports in a message of its own */
		return;
	name_of(at + sizeof(ifi), len - sizeof(ifi), name);
	if (name[0])
		seen(c, name, ifi.ifi_flags, type == RTM_DELLINK);
}

/* A question that failed: it carries the question, and there the name is. */
static void error_message(struct circuits *c, const uint8_t *at, size_t len)
{
	size_t head = sizeof(int) + sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);
	char name[DP_IFNAME];

	if (len <= head)
		return;
	name_of(at + head, len - head, name);
	if (name[0])
		seen(c, name, 0, true);
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

/* About the interface of that index, or (0) of that name. */
static void question_fill(struct question *q, const char *ifname, int ifindex)
{
	memset(q, 0, sizeof(*q));
	q->h.nlmsg_type = RTM_GETLINK;
	q->h.nlmsg_flags = NLM_F_REQUEST;
	q->h.nlmsg_len = (uint32_t)offsetof(struct question, a);
	q->ifi.ifi_index = ifindex;
	if (ifindex)
		return;
	q->a.rta_type = IFLA_IFNAME;
	q->a.rta_len = (unsigned short)(sizeof(q->a) + strlen(ifname) + 1);
	snprintf(q->name, sizeof(q->name), "%s", ifname);
	q->h.nlmsg_len += (uint32_t)RTA_ALIGN((size_t)q->a.rta_len);
}

static bool ask_now(struct circuits *c, const struct circuit *i)
{
	struct question m;

	question_fill(&m, i->ifname, 0);
	m.h.nlmsg_seq = ++c->seq;
	if (c->fd < 0 || send(c->fd, &m, m.h.nlmsg_len, MSG_DONTWAIT) < 0)
		return false;
	c->asked++;
	return true;
}

static void ask_more(struct circuits *c)
{
	while (c->asked < QUESTIONS && !list_empty(&c->doubt)) {
		struct circuit *i = container_of(list_pop(&c->doubt), struct circuit, doubt);

		if (!ask_now(c, i))
			is_now(c, i, STATE_UP); /* nobody says otherwise */
	}
}

static void ask(struct circuits *c, struct circuit *i)
{
	list_drop(&i->doubt);
	list_push(&c->doubt, &i->doubt);
	ask_more(c);
}

/* Messages were lost, answers too perhaps. */
static void doubt_all(struct circuits *c)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	c->asked = 0;
	while ((n = htab_walk(&c->keys, &pos, n))) {
		struct circuit *i = container_of(n, struct circuit, by_key);

		list_drop(&i->doubt);
		if (i->held)
			i->state = STATE_UNKNOWN; /* circuits_put() asks */
		else
			list_push(&c->doubt, &i->doubt);
	}
}

static void read_all(struct circuits *c)
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
	} else if (on) {
		c->error = -errno;
	}
}

int circuits_deaf(struct circuits *c)
{
	if (!c->error || c->told || !c->keys.n)
		return 0;
	c->told = true;
	return c->error;
}

static void drop(struct circuits *c, struct circuit *i)
{
	list_drop(&i->news);
	list_drop(&i->doubt);
	htab_drop(&c->keys, &i->by_key);
	htab_drop(&c->names, &i->by_name);
	free(i);
	if (c->fd >= 0 && !c->keys.n) {
		listen_to(c, false);
		read_all(c); /* what it has said until now is of nobody */
	}
}

void circuits_free(struct circuits *c)
{
	struct htab_node *n;
	uint64_t pos;

	if (!c)
		return;
	while (pos = 0, (n = htab_walk(&c->keys, &pos, NULL)))
		drop(c, container_of(n, struct circuit, by_key));
	htab_free(&c->keys);
	htab_free(&c->names);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

static struct circuit *add(struct circuits *c, uint64_t key, const char *ifname, bool own)
{
	struct circuit *i = find(c, key);

	if (i)
		drop(c, i);
	if (htab_reserve(&c->keys) < 0 || htab_reserve(&c->names) < 0 ||
	    !(i = calloc(1, sizeof(*i))))
		return NULL;
	list_init(&i->news);
	list_init(&i->doubt);
	i->key = key;
	i->own = own;
	i->state = i->told = STATE_UNKNOWN;
	snprintf(i->ifname, sizeof(i->ifname), "%s", ifname);
	htab_put(&c->keys, &i->by_key, key_hash(c, key));
	htab_put(&c->names, &i->by_name, name_hash(c, ifname));
	listen_to(c, true);
	return i;
}

/* What was said of it until now is read first: half of it would be an interface that is made but
 * not up yet. */
static void release(struct circuits *c, struct circuit *i)
{
	if (c->fd >= 0)
		read_all(c);
	i->held = false;
	if (i->state == STATE_UNKNOWN)
		ask(c, i);
	else
		is_now(c, i, i->state);
}

int circuits_put(struct circuits *c, uint64_t key, const char *ifname, bool own)
{
	struct circuit *i = find(c, key);

	if (i && i->held && i->own == own && strcmp(i->ifname, ifname) == 0) {
		release(c, i);
		return 0;
	}
	i = add(c, key, ifname, own);
	if (!i)
		return -ENOMEM;
	ask(c, i);
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

bool circuits_event(struct circuits *c, uint64_t *ret_key, bool *ret_up)
{
	struct circuit *i;
	struct list *l;

	if (c->fd >= 0 && c->keys.n)
		read_all(c);
	l = list_pop(&c->news);
	if (!l)
		return false;
	i = container_of(l, struct circuit, news);
	i->told = i->state;
	*ret_key = i->key;
	*ret_up = i->state == STATE_UP;
	return true;
}

/* ---- bridges ---- */

/* The answer to a question about the interface `ifname`, or `ifindex`. */
static bool link_ask(int fd, const char *ifname, int ifindex, char ret_name[DP_IFNAME],
		     int *ret_master)
{
	union {
		struct nlmsghdr align;
		uint8_t bytes[BUFFER];
	} buf;
	struct question q;
	struct nlmsghdr h;
	size_t head = sizeof(h) + sizeof(struct ifinfomsg), len;
	const void *master;
	ssize_t n;

	question_fill(&q, ifname, ifindex);
	if (send(fd, &q, q.h.nlmsg_len, MSG_DONTWAIT) < 0)
		return false;
	n = recv(fd, buf.bytes, sizeof(buf), MSG_DONTWAIT); /* the kernel has answered */
	if (n < (ssize_t)head)
		return false;
	h = buf.align;
	if (h.nlmsg_type != RTM_NEWLINK || h.nlmsg_len < head || h.nlmsg_len > (size_t)n)
		return false;
	len = h.nlmsg_len - head;
	name_of(buf.bytes + head, len, ret_name);
	master = attr_find(buf.bytes + head, len, IFLA_MASTER, &len);
	*ret_master = 0;
	if (master && len == sizeof(*ret_master))
		memcpy(ret_master, master, len);
	return true;
}

bool circuit_master(const char *ifname, char ret[DP_IFNAME])
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), master, none;
	bool ok = fd >= 0 && link_ask(fd, ifname, 0, ret, &master);

	ret[0] = '\0';
	if (ok && master)
		ok = link_ask(fd, "", master, ret, &none);
	if (fd >= 0)
		close(fd);
	return ok;
}
