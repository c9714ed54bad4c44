/* SPDX-License-Identifier: MIT
 *
 * The descriptors that outlive aditd. Shared memory is a memfd each, sealed against changes of its
 * size, so that an aditd gone wrong cannot pull it away under the next one. A TUN device is there
 * as long as a descriptor of it is open; nothing persistent is asked of the kernel, so a device
 * cannot outlive the suite.
 */
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/htab.h"
#include "base/list.h"
#include "dp/user.h"
#include "layout.h"

/* For the texts of a configuration: what is not used takes no memory. */
#define CONF_ROOM (UINT64_C(64) << 20)

#define SOCKET_BUFFER (8 << 20) /* thousands of peers may send at once */
#define L2TP_IP	      115	/* protocol, RFC 3931 4.1.1 */
#define CONTROL_QUEUE 64	/* clients wait in it while aditd is away */

struct held_socket {
	struct list node;
	struct conf_socket conf;
	int fd;
	bool former;	/* no longer in the configuration: there until aditd lets go of it */
	uint32_t epoch; /* former: of the aditd that may use it */
};

struct held_tun {
	struct list node;
	struct htab_node by_name;
	char name[DP_IFNAME];
	int fd, ifindex;
	uint32_t epoch;
};

struct hold {
	int memory[HOLD_MEMORIES];
	uint64_t size[HOLD_MEMORIES];
	uint64_t first; /* size of the journal before it was renewed for the first time */
	int control;
	char control_path[CONF_CONTROL_MAX];
	struct list sockets, tuns;
	struct htab tun_names;
	const char *inside; /* the network namespace that hold_rooms() is in just now, or NULL */
};

static int fail(char *text, int err, const char *what)
{
	snprintf(text, HOLD_TEXT, "%s: %s", what, strerror(-err));
	return err;
}

/* ---- shared memory ---- */

static int memory_make(struct hold *h, enum hold_memory which, const char *name, uint64_t size,
		       char *text)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return fail(text, -errno, "could not make shared memory");
	if ((off_t)size < 0 || (uint64_t)(off_t)size != size || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		int err = -errno;

		close(fd);
		return fail(text, err, "could not size the shared memory");
	}
	h->memory[which] = fd;
	h->size[which] = size;
	return 0;
}

static void *journal_map(const struct hold *h)
{
	uint64_t size = h->size[HOLD_JOURNAL];
	void *mem = MAP_FAILED;

	if (size <= SIZE_MAX)
		mem = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED,
			   h->memory[HOLD_JOURNAL], 0);
	return mem == MAP_FAILED ? NULL : mem;
}

static int journal_make(struct hold *h, const struct store_class *classes, size_t n, char *text)
{
	int err = memory_make(h, HOLD_JOURNAL, "adit-journal", store_size(classes, n), text);
	void *mem;

	if (err)
		return err;
	mem = journal_map(h);
	if (!mem)
		return fail(text, -errno,
			    "could not map the journal, lower max-sessions or max-tunnels");
	err = store_format(mem, h->size[HOLD_JOURNAL], classes, n);
	munmap(mem, (size_t)h->size[HOLD_JOURNAL]);
	return err ? fail(text, err, "could not lay out the journal") : 0;
}

/* All records of the journal in `mem` into the one that `h` has now. */
static int journal_fill(const struct hold *h, void *mem, uint64_t size, char *text)
{
	void *new = journal_map(h);
	char why[STORE_TEXT_MAX];
	struct store *from, *to = NULL;
	int err = -ENOMEM;

	if (!new)
		return fail(text, -ENOMEM, "could not map the new journal");
	from = store_open(mem, size, &err, why);
	if (from)
		to = store_open(new, h->size[HOLD_JOURNAL], &err, why);
	if (to)
		err = store_copy(from, to);
	store_close(to);
	store_close(from);
	munmap(new, (size_t)h->size[HOLD_JOURNAL]);
	if (err > 0)
		snprintf(text, HOLD_TEXT,
			 "the journal is of a former release and has unreadable records; it is "
			 "renewed when they are gone");
	else if (err)
		fail(text, err, "could not renew the journal");
	return err > 0 ? -EBADMSG : err;
}

int hold_journal_renew(struct hold *h, const struct conf *c, char *text)
{
	struct store_class have[STORE_CLASSES], want[STORE_CLASSES];
	int fd = h->memory[HOLD_JOURNAL], look, err;
	bool unknown;
	uint64_t size = h->size[HOLD_JOURNAL];
	char why[STORE_TEXT_MAX] = "";
	void *mem = journal_map(h);
	size_t have_n, n = LAYOUT_JOURNAL_CLASSES;

	if (!mem)
		return fail(text, -ENOMEM, "could not map the journal");
	look = store_look(mem, size, have, &have_n, why);
	unknown = look < 0;
	if (!unknown) {
		/* aditd can write there what it likes: root makes no journal of any size for it. */
		err = layout_renewed(have, have_n, h->first, c->max_tunnels, c->max_sessions, want,
				     &n);
		unknown = err < 0;
		if (unknown)
			snprintf(why, sizeof(why),
				 "the journal says that it needs a size that no "
				 "release of adit would give it");
		else if (err == 0 && look == 0)
			n = 0;
	}
	if (unknown)
		layout_journal(c->max_tunnels, c->max_sessions, want);
	err = n ? journal_make(h, want, n, text) : 0;
	if (n && !err && !unknown)
		err = journal_fill(h, mem, size, text);
	munmap(mem, (size_t)size);
	if (err) {
		if (h->memory[HOLD_JOURNAL] != fd)
			close(h->memory[HOLD_JOURNAL]);
		h->memory[HOLD_JOURNAL] = fd;
		h->size[HOLD_JOURNAL] = size;
		return err;
	}
	if (n == 0)
		return 0;
	close(fd);
	if (unknown)
		h->first = h->size[HOLD_JOURNAL];
	if (unknown)
		snprintf(text, HOLD_TEXT,
			 "%.150s: it begins anew, and all sessions of before are lost", why);
	else
		snprintf(text, HOLD_TEXT, "the journal was renewed with all its records");
	return 1;
}

static int memories_make(struct hold *h, const struct conf *c, char *text)
{
	struct store_class classes[LAYOUT_JOURNAL_CLASSES];
	int err;

	layout_journal(c->max_tunnels, c->max_sessions, classes);
	err = journal_make(h, classes, LAYOUT_JOURNAL_CLASSES, text);
	h->first = h->size[HOLD_JOURNAL];
	/* As many rows as the journal has room for, less the quarter beyond the limit. */
	if (!err)
		err = memory_make(h, HOLD_TABLE, "adit-table",
				  dp_user_table_size(c->max_sessions < classes[1].count
							     ? c->max_sessions
							     : classes[1].count),
				  text);
	if (!err)
		err = memory_make(h, HOLD_TRACE, "adit-trace",
				  trace_size(LAYOUT_TRACE_RECORDS, LAYOUT_TRACE_RAW), text);
	return err;
}

/* ---- control listener ---- */

/* The directory of the socket, if it is not there. */
static void directory_make(const char *path)
{
	char dir[CONF_CONTROL_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return;
	*slash = 0;
	mkdir(dir, 0755);
}

/* Does somebody listen there? */
static bool somebody_listens(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return false;
	yes = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 || errno == EAGAIN;
	close(fd);
	return yes;
}

static int control_make(struct hold *h, const char *path, uid_t uid, gid_t gid, char *text)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, err = 0;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	directory_make(path);
	if (somebody_listens(&un)) {
		snprintf(text, HOLD_TEXT,
			 "%s is in use: adit runs already; stop it, or choose another `control`",
			 path);
		return -EADDRINUSE;
	}
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(text, -errno, "could not make the control socket");
	/* Nobody may connect between bind() and chmod(): the listener does not listen yet. */
	if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) < 0 || chown(path, uid, gid) < 0 ||
	    chmod(path, 0660) < 0 || listen(fd, CONTROL_QUEUE) < 0)
		err = -errno;
	if (err) {
		close(fd);
		snprintf(text, HOLD_TEXT, "could not make the control socket %s: %s", path,
			 strerror(-err));
		return err;
	}
	h->control = fd;
	snprintf(h->control_path, sizeof(h->control_path), "%s", path);
	return 0;
}

struct hold *hold_blank(void)
{
	struct hold *h = calloc(1, sizeof(*h));
	uint8_t key[16];

	if (!h || getrandom(key, sizeof(key), 0) != sizeof(key)) {
		free(h);
		return NULL;
	}
	htab_init(&h->tun_names, key);
	for (int i = 0; i < HOLD_MEMORIES; i++)
		h->memory[i] = -1;
	h->control = -1;
	list_init(&h->sockets);
	list_init(&h->tuns);
	return h;
}

int hold_new(const struct conf *c, uid_t uid, gid_t gid, struct hold **ret, char *text)
{
	struct hold *h = hold_blank();
	int err;

	if (!h)
		return fail(text, -ENOMEM, "could not start");
	err = memories_make(h, c, text);
	if (!err)
		err = control_make(h, c->control, uid, gid, text);
	if (err) {
		hold_free(h);
		return err;
	}
	*ret = h;
	return 0;
}

static void socket_drop(struct held_socket *s)
{
	list_drop(&s->node);
	close(s->fd);
	free(s);
}

static uint64_t tun_hash(const struct hold *h, const char *name)
{
	return htab_hash(&h->tun_names, name, strlen(name));
}

/* Room for it was reserved. */
static void tun_enter(struct hold *h, struct held_tun *t)
{
	htab_put(&h->tun_names, &t->by_name, tun_hash(h, t->name));
	list_push(&h->tuns, &t->node);
}

static void tun_drop(struct hold *h, struct held_tun *t)
{
	htab_drop(&h->tun_names, &t->by_name);
	list_drop(&t->node);
	close(t->fd);
	free(t);
}

void hold_free(struct hold *h)
{
	int i;

	if (!h)
		return;
	list_for_each_safe (it, &h->sockets) {
		socket_drop(container_of(it, struct held_socket, node));
	}
	list_for_each_safe (it, &h->tuns) {
		tun_drop(h, container_of(it, struct held_tun, node));
	}
	htab_free(&h->tun_names);
	for (i = 0; i < HOLD_MEMORIES; i++)
		if (h->memory[i] >= 0)
			close(h->memory[i]);
	if (h->control >= 0) {
		close(h->control);
		unlink(h->control_path);
	}
	free(h);
}

int hold_memory(const struct hold *h, enum hold_memory which, uint64_t *ret_size)
{
	*ret_size = h->size[which];
	return h->memory[which];
}

int hold_conf(struct hold *h, char *text)
{
	return h->memory[HOLD_CONF] >= 0
		       ? 0
		       : memory_make(h, HOLD_CONF, "adit-configuration", CONF_ROOM, text);
}

int hold_control(const struct hold *h)
{
	return h->control;
}

/* ---- sockets ---- */

/* A failure of a socket, with what the user can do. */
static int socket_fail(const struct conf_socket *s, int err, const char *step, char *text)
{
	char addr[ADDR_TEXT_MAX];
	const char *hint = "";

	if (err == -EADDRINUSE)
		hint = "; another program has this address and port, such as xl2tpd: stop it or "
		       "choose another port";
	else if (err == -EADDRNOTAVAIL)
		hint = "; no interface has this address";
	else if (err == -ENODEV)
		hint = "; there is no such interface";
	snprintf(text, HOLD_TEXT, "%s, %s %s%s%s: could not %s: %s%s", s->name,
		 s->encap == DP_ENCAP_IP ? "IP protocol 115 on" : "UDP", addr_text(&s->addr, addr),
		 s->device[0] ? " on " : "", s->device, step, strerror(-err), hint);
	return err;
}

static void options_set(int fd, uint16_t family)
{
	int on = 1, size = SOCKET_BUFFER, pmtu;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (family == AF_INET) {
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
		/* Fragments are made where needed, DF is not set: a tunnel's datagrams get
		 * through whatever the path is. */
		pmtu = IP_PMTUDISC_DONT;
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &pmtu, sizeof(pmtu));
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		pmtu = IPV6_PMTUDISC_DONT;
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &pmtu, sizeof(pmtu));
	}
}

/*
 * Does another program have this address and port? SO_REUSEADDR, which lets our own sockets of one
 * port stand beside each other, would let us take datagrams away from it without a word.
 */
static bool taken_by_others(const struct hold *h, const struct conf_socket *s)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&s->addr, &sa);
	int fd, on = 1;
	bool taken;

	if (!s->addr.port || s->device[0] || s->encap == DP_ENCAP_IP)
		return false;
	list_for_each (it, &h->sockets) {
		const struct conf_socket *o = &container_of(it, struct held_socket, node)->conf;

		if (o->addr.port == s->addr.port && strcmp(o->netns, s->netns) == 0)
			return false;
	}
	fd = socket(s->addr.family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
	if (fd < 0)
		return false;
	if (s->addr.family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	taken = bind(fd, (const struct sockaddr *)&sa, len) < 0 && errno == EADDRINUSE;
	close(fd);
	return taken;
}

static int socket_make(const struct hold *h, const struct conf_socket *s, int *ret_fd, char *text)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd, err;

	if (s->netns[0] && !h->inside) {
		snprintf(text, HOLD_TEXT,
			 "%.44s: sockets in network namespace %.44s are made when adit-keeper is "
			 "started, "
			 "and this one was not; see that the namespace is there (ip netns add), "
			 "then restart adit-keeper",
			 s->name, s->netns);
		return -ENOENT;
	}
	if (taken_by_others(h, s))
		return socket_fail(s, -EADDRINUSE, "bind", text);

	if (s->encap == DP_ENCAP_IP)
		fd = socket(s->addr.family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, L2TP_IP);
	else
		fd = socket(s->addr.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	if (fd < 0)
		return socket_fail(s, -errno, "make a socket", text);
	options_set(fd, s->addr.family);
	if (s->mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &s->mark, sizeof(s->mark)) < 0) {
		err = socket_fail(s, -errno, "set the mark", text);
		close(fd);
		return err;
	}
	if (s->device[0] && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, s->device,
				       (socklen_t)strlen(s->device)) < 0) {
		err = socket_fail(s, -errno, "bind to the interface", text);
		close(fd);
		return err;
	}
	len = addr_to_sockaddr(&s->addr, &sa);
	if (bind(fd, (const struct sockaddr *)&sa, len) < 0) {
		err = socket_fail(s, -errno, "bind", text);
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

static bool same_socket(const struct conf_socket *a, const struct conf_socket *b)
{
	return a->via == b->via && a->encap == b->encap && addr_equal(&a->addr, &b->addr) &&
	       strcmp(a->device, b->device) == 0;
}

static int socket_bound(int fd, struct addr *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return addr_from_sockaddr((const struct sockaddr *)&sa, len, ret);
}

int hold_socket(struct hold *h, const struct conf_socket *s, int *ret_fd, struct addr *ret_bound,
		char *text)
{
	struct held_socket *held;
	int err;

	list_for_each (it, &h->sockets) {
		held = container_of(it, struct held_socket, node);
		if (!same_socket(&held->conf, s))
			continue;
		err = socket_bound(held->fd, ret_bound);
		if (err)
			return socket_fail(s, err, "look at the socket", text);
		held->former = false;
		*ret_fd = held->fd;
		return 0;
	}
	held = calloc(1, sizeof(*held));
	if (!held)
		return socket_fail(s, -ENOMEM, "make a socket", text);
	list_init(&held->node);
	held->conf = *s;
	err = socket_make(h, s, &held->fd, text);
	if (!err && (err = socket_bound(held->fd, ret_bound)) < 0) {
		close(held->fd);
		socket_fail(s, err, "look at the socket", text);
	}
	if (err) {
		free(held);
		return err;
	}
	list_push(&h->sockets, &held->node);
	*ret_fd = held->fd;
	return 0;
}

/* All sockets of one namespace. The thread comes back, or the process ends. */
static void room_sockets(struct hold *h, const struct conf *c, const char *netns,
			 void (*say)(void *arg, const char *text), void *arg)
{
	char path[CONF_NAME + 16], text[HOLD_TEXT];
	int fd, here, err;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	here = fd < 0 ? -1 : open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	err = fd < 0 || here < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
	if (err) {
		snprintf(text, HOLD_TEXT,
			 "network namespace %s cannot be used: %s; make it (ip netns add %s), then "
			 "restart adit-keeper",
			 netns, strerror(-err), netns);
		say(arg, text);
	}
	h->inside = netns;
	for (size_t i = 0; !err && i < c->socket_count; i++) {
		struct addr bound;
		int held;

		if (strcmp(c->sockets[i].netns, netns) == 0 &&
		    hold_socket(h, c->sockets + i, &held, &bound, text) < 0)
			say(arg, text);
	}
	h->inside = NULL;
	if (!err && setns(here, CLONE_NEWNET) < 0)
		abort(); /* what followed would happen in the wrong namespace */
	if (fd >= 0)
		close(fd);
	if (here >= 0)
		close(here);
}

void hold_rooms(struct hold *h, const struct conf *c, void (*say)(void *arg, const char *text),
		void *arg)
{
	for (size_t i = 0; i < c->socket_count; i++) {
		bool first = c->sockets[i].netns[0];

		for (size_t j = 0; first && j < i; j++)
			first = strcmp(c->sockets[j].netns, c->sockets[i].netns) != 0;
		if (first)
			room_sockets(h, c, c->sockets[i].netns, say, arg);
	}
}

void hold_reload(struct hold *h, const struct conf *c, uint32_t epoch)
{
	list_for_each (it, &h->sockets) {
		struct held_socket *s = container_of(it, struct held_socket, node);
		const struct conf_socket *now = conf_socket_find(c, s->conf.via);
		bool was = s->former;

		s->former = !now || !same_socket(&s->conf, now);
		if (!was)
			s->epoch = epoch;
	}
}

bool hold_former(struct hold *h, uint32_t via, uint32_t epoch, int *ret_fd, struct addr *ret_bound)
{
	list_for_each (it, &h->sockets) {
		struct held_socket *s = container_of(it, struct held_socket, node);

		if (!s->former || s->conf.via != via || socket_bound(s->fd, ret_bound) < 0)
			continue;
		s->epoch = epoch;
		*ret_fd = s->fd;
		return true;
	}
	return false;
}

void hold_former_drop(struct hold *h, uint32_t via)
{
	list_for_each_safe (it, &h->sockets) {
		struct held_socket *s = container_of(it, struct held_socket, node);

		if (s->former && s->conf.via == via)
			socket_drop(s);
	}
}

void hold_former_sweep(struct hold *h, uint32_t epoch)
{
	list_for_each_safe (it, &h->sockets) {
		struct held_socket *s = container_of(it, struct held_socket, node);

		if (s->former && s->epoch < epoch)
			socket_drop(s);
	}
}

/* ---- TUN devices ---- */

static struct held_tun *tun_find(const struct hold *h, const char *name)
{
	for (struct htab_node *n = htab_find(&h->tun_names, tun_hash(h, name)); n;
	     n = htab_next(n)) {
		struct held_tun *t = container_of(n, struct held_tun, by_name);

		if (strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

bool hold_has_tun(const struct hold *h, const char *name)
{
	return tun_find(h, name) != NULL;
}

static bool is_ethernet(int fd)
{
	struct ifreq ifr = { 0 };

	return ioctl(fd, TUNGETIFF, &ifr) == 0 && (ifr.ifr_flags & IFF_TAP);
}

static int tun_make(const char *name, bool ethernet, int *ret_fd, char *text)
{
	struct ifreq ifr = { 0 };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0) {
		err = -errno;
		snprintf(text, HOLD_TEXT,
			 "could not open /dev/net/tun: %s; load the module (modprobe tun), or give "
			 "the container this device",
			 strerror(-err));
		return err;
	}
	/* Never somebody else's device: the flag does not fit into ifr_flags as signed. The data
	 * plane sees by itself whether packets have a vnet header, and asks for offloads then. */
	ifr.ifr_flags =
		(short)((ethernet ? IFF_TAP : IFF_TUN) | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		err = -errno;
		close(fd);
		if (err == -EBUSY || err == -EEXIST) {
			snprintf(text, HOLD_TEXT,
				 "there is an interface %s already that is not ours; choose "
				 "another name in the configuration",
				 name);
			return -EBUSY;
		}
		snprintf(text, HOLD_TEXT, "could not make the interface %s: %s", name,
			 strerror(-err));
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int hold_tun(struct hold *h, struct net *net, const char *name, bool ethernet, uint32_t epoch,
	     int *ret_fd, char *text)
{
	struct held_tun *t = tun_find(h, name);
	const char *why = NULL;
	int err;

	/* somebody removed it, or the configuration made something else of it */
	if (t && (net_index(name) != t->ifindex || is_ethernet(t->fd) != ethernet)) {
		hold_tun_drop(h, net, name);
		t = NULL;
	}
	if (t) {
		t->epoch = epoch;
		*ret_fd = t->fd;
		return 0;
	}
	t = htab_reserve(&h->tun_names) < 0 ? NULL : calloc(1, sizeof(*t));
	if (!t)
		return fail(text, -ENOMEM, "could not make the interface");
	list_init(&t->node);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->epoch = epoch;
	err = tun_make(name, ethernet, &t->fd, text);
	if (err) {
		free(t);
		return err;
	}
	t->ifindex = net_index(name);
	err = net_link_mark(net, t->ifindex, ethernet, &why);
	if (err) {
		snprintf(text, HOLD_TEXT, "interface %s: %.200s", name, why);
		close(t->fd);
		free(t);
		return err;
	}
	tun_enter(h, t);
	*ret_fd = t->fd;
	return 0;
}

void hold_tun_drop(struct hold *h, struct net *net, const char *name)
{
	struct held_tun *t = tun_find(h, name);
	const char *why;

	if (!t)
		return;
	/* aditd may still have its descriptor: without this the device would stay as long. */
	if (net_index(name) == t->ifindex)
		net_link_del(net, t->ifindex, &why);
	net_forget_device(net, t->name);
	tun_drop(h, t); /* `name` may be its own */
}

uint32_t hold_tun_sweep(struct hold *h, struct net *net, uint32_t epoch)
{
	uint32_t n = 0;

	list_for_each_safe (it, &h->tuns) {
		struct held_tun *t = container_of(it, struct held_tun, node);

		if (t->epoch >= epoch)
			continue;
		hold_tun_drop(h, net, t->name);
		n++;
	}
	return n;
}

void hold_counts(const struct hold *h, uint32_t *ret_sockets, uint32_t *ret_tuns)
{
	uint32_t sockets = 0, tuns = 0;

	list_for_each (it, &h->sockets) {
		sockets++;
	}
	list_for_each (it, &h->tuns) {
		tuns++;
	}
	*ret_sockets = sockets;
	*ret_tuns = tuns;
}

/* ---- over an upgrade ---- */

enum {
	REC_MEMORY = CARRY_HOLD | CARRY_MUST | 1,
	REC_CONTROL = CARRY_HOLD | CARRY_MUST | 2,
	REC_SOCKET = CARRY_HOLD | CARRY_MUST | 3,
	REC_TUN = CARRY_HOLD | CARRY_MUST | 4
};

enum {
	F_FD = 1,
	F_WHICH = 2, /* u32 enum hold_memory */
	F_SIZE = 3,  /* u64 */
	F_PATH = 4,
	F_VIA = 5,    /* u32 */
	F_NAME = 6,   /* of a socket's block, of a device */
	F_ADDR = 7,   /* addr_save() */
	F_DEVICE = 8, /* a socket is bound to */
	F_ENCAP = 9,  /* u32 enum dp_encap */
	F_INDEX = 10, /* u32, of a device */
	F_EPOCH = 11, /* u32 */
	F_FIRST = 12, /* u64; absent: the journal was never renewed */
	F_FORMER = 13 /* u32 0 or 1, of a socket: with F_EPOCH */
};

void hold_carry(const struct hold *h, struct carry *c)
{
	struct wcur *w;
	size_t at;

	for (uint32_t i = 0; i < HOLD_MEMORIES; i++) {
		if (h->memory[i] < 0)
			continue;
		w = carry_begin(c, REC_MEMORY);
		wcur_tlv_u32(w, F_WHICH, i);
		wcur_tlv_u64(w, F_SIZE, h->size[i]);
		if (i == HOLD_JOURNAL)
			wcur_tlv_u64(w, F_FIRST, h->first);
		carry_fd(c, F_FD, h->memory[i]);
		carry_end(c);
	}
	carry_begin(c, REC_CONTROL);
	carry_text(c, F_PATH, h->control_path);
	carry_fd(c, F_FD, h->control);
	carry_end(c);
	list_for_each (it, &h->sockets) {
		const struct held_socket *s = container_of(it, struct held_socket, node);

		w = carry_begin(c, REC_SOCKET);
		wcur_tlv_u32(w, F_VIA, s->conf.via);
		carry_text(c, F_NAME, s->conf.name);
		at = wcur_tlv_begin(w, F_ADDR);
		addr_save(w, &s->conf.addr);
		wcur_tlv_end(w, at);
		carry_text(c, F_DEVICE, s->conf.device);
		wcur_tlv_u32(w, F_ENCAP, s->conf.encap);
		wcur_tlv_u32(w, F_FORMER, s->former);
		wcur_tlv_u32(w, F_EPOCH, s->epoch);
		carry_fd(c, F_FD, s->fd);
		carry_end(c);
	}
	list_for_each (it, &h->tuns) {
		const struct held_tun *t = container_of(it, struct held_tun, node);

		w = carry_begin(c, REC_TUN);
		carry_text(c, F_NAME, t->name);
		wcur_tlv_u32(w, F_INDEX, (uint32_t)t->ifindex);
		wcur_tlv_u32(w, F_EPOCH, t->epoch);
		carry_fd(c, F_FD, t->fd);
		carry_end(c);
	}
}

/* A record in plain values. */
struct carried {
	int fd;
	uint32_t which, index, epoch, former;
	uint64_t size, first;
	struct conf_socket socket;
	char path[CONF_CONTROL_MAX], name[DP_IFNAME];
};

static bool carried_load(uint16_t tag, struct rcur v, struct carried *ret)
{
	struct rcur f;
	uint16_t field;
	bool ok = true;

	memset(ret, 0, sizeof(*ret));
	ret->fd = -1;
	while (ok && rcur_tlv(&v, &field, &f)) {
		switch (field) {
		case F_FD:
			ret->fd = (int)rcur_u32(&f);
			break;
		case F_WHICH:
			ret->which = rcur_u32(&f);
			break;
		case F_SIZE:
			ret->size = rcur_u64(&f);
			break;
		case F_FIRST:
			ret->first = rcur_u64(&f);
			break;
		case F_PATH:
			ok = carry_text_load(f, ret->path, sizeof(ret->path));
			break;
		case F_VIA:
			ret->socket.via = rcur_u32(&f);
			break;
		case F_NAME:
			ok = tag == REC_TUN ? carry_text_load(f, ret->name, sizeof(ret->name))
					    : carry_text_load(f, ret->socket.name,
							      sizeof(ret->socket.name));
			break;
		case F_ADDR:
			addr_load(&f, &ret->socket.addr);
			break;
		case F_DEVICE:
			ok = carry_text_load(f, ret->socket.device, sizeof(ret->socket.device));
			break;
		case F_ENCAP:
			ret->socket.encap = (uint8_t)rcur_u32(&f);
			break;
		case F_INDEX:
			ret->index = rcur_u32(&f);
			break;
		case F_EPOCH:
			ret->epoch = rcur_u32(&f);
			break;
		case F_FORMER:
			ret->former = rcur_u32(&f);
			break;
		default:
			break;
		}
		ok = ok && !f.bad;
	}
	return ok && !v.bad && ret->fd >= 0;
}

static int carried_socket(struct hold *h, const struct carried *r)
{
	struct held_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	list_init(&s->node);
	s->conf = r->socket;
	s->fd = r->fd;
	s->former = r->former;
	s->epoch = r->epoch;
	list_push(&h->sockets, &s->node);
	return 0;
}

static int carried_tun(struct hold *h, const struct carried *r)
{
	struct held_tun *t = htab_reserve(&h->tun_names) < 0 ? NULL : calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	list_init(&t->node);
	memcpy(t->name, r->name, sizeof(t->name));
	t->fd = r->fd;
	t->ifindex = (int)r->index;
	t->epoch = r->epoch;
	tun_enter(h, t);
	return 0;
}

int hold_carried(struct hold *h, uint16_t tag, struct rcur v)
{
	struct carried r;

	if (tag < REC_MEMORY || tag > REC_TUN)
		return 1;
	if (!carried_load(tag, v, &r) || (tag == REC_MEMORY && r.which >= HOLD_MEMORIES))
		return -EBADMSG;
	if (tag == REC_SOCKET)
		return carried_socket(h, &r);
	if (tag == REC_TUN)
		return carried_tun(h, &r);
	if (tag == REC_MEMORY) {
		h->memory[r.which] = r.fd;
		h->size[r.which] = r.size;
		if (r.which == HOLD_JOURNAL)
			h->first = r.first ? r.first : r.size;
	} else {
		h->control = r.fd;
		memcpy(h->control_path, r.path, sizeof(h->control_path));
	}
	return 0;
}

bool hold_whole(const struct hold *h)
{
	for (int i = 0; i < HOLD_CONF; i++)
		if (h->memory[i] < 0)
			return false;
	return h->control >= 0;
}
