/* SPDX-License-Identifier: MIT
 *
 * See fake_host.h.
 */
#include "fake_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int index_of(const struct fake_host *h, const char *what)
{
	for (unsigned int i = 0; i < h->there_count; i++) {
		if (strcmp(h->there[i], what) == 0)
			return (int)i;
	}
	return -1;
}

bool fake_host_has(const struct fake_host *h, const char *what)
{
	return index_of(h, what) >= 0;
}

static void set_there(struct fake_host *h, const char *what, bool add)
{
	int i = index_of(h, what);

	if (add && i < 0)
		snprintf(h->there[h->there_count++], sizeof(h->there[0]), "%s", what);
	else if (!add && i >= 0)
		memcpy(h->there[i], h->there[--h->there_count], sizeof(h->there[0]));
}

static int ask(struct fake_host *h, uint32_t id, bool add, const char *what)
{
	struct fake_ask *a = &h->asks[h->ask_count];
	bool fail = ++h->asked == h->fail_at || h->fail_all;

	if (fail && h->refuse)
		return -h->fail_with;
	memset(a, 0, sizeof(*a));
	a->id = id;
	a->fd = -1;
	a->add = add;
	a->error = fail ? h->fail_with : 0;
	snprintf(a->what, sizeof(a->what), "%s", what);
	h->ask_count++;
	return 0;
}

int fake_host_tun(const struct fake_host *h, const char *name)
{
	for (unsigned int i = 0; i < 32; i++) {
		if (strcmp(h->tuns[i].name, name) == 0)
			return h->tuns[i].fd;
	}
	return -1;
}

static int tun_open(void *host, uint32_t id, const char *name, bool ethernet)
{
	struct fake_host *h = host;
	char what[80];
	int rc;

	snprintf(what, sizeof(what), "%s %s", ethernet ? "tap" : "tun", name);
	rc = ask(h, id, true, what);
	if (rc == 0 && strcmp(name, h->foreign) == 0)
		h->asks[h->ask_count - 1].error = EBUSY;
	return rc;
}

static int tun_gone(void *host, uint32_t id, const char *name)
{
	char what[80];

	snprintf(what, sizeof(what), "tun %s", name);
	return ask(host, id, false, what);
}

static int link_up(void *host, uint32_t id, const char *name, uint16_t mtu, const char *master)
{
	char what[80];

	snprintf(what, sizeof(what), "link %s %u%s%s", name, mtu, master ? " in " : "",
		 !master     ? ""
		 : master[0] ? master
			     : "none");
	return ask(host, id, true, what);
}

static int do_addr(void *host, uint32_t id, const char *name, const struct prefix *p, bool add)
{
	char what[80], text[ADDR_TEXT_MAX];

	snprintf(what, sizeof(what), "addr %s %.50s", name, prefix_text(p, text));
	return ask(host, id, add, what);
}

static int do_route(void *host, uint32_t id, const char *name, const struct prefix *p,
		    uint32_t table, uint32_t metric, bool add)
{
	char what[120], text[ADDR_TEXT_MAX];

	if (snprintf(what, sizeof(what), "route %s %s %u %u", name, prefix_text(p, text), table,
		     metric) >= 80)
		abort();
	return ask(host, id, add, what);
}

static int do_pin(void *host, uint32_t id, const struct addr *a, bool add)
{
	char what[80], text[ADDR_TEXT_MAX];

	snprintf(what, sizeof(what), "pin %.60s", addr_text(a, text));
	return ask(host, id, add, what);
}

const struct dp_host_ops fake_host_ops = {
	.tun_open = tun_open,
	.tun_gone = tun_gone,
	.link_up = link_up,
	.addr = do_addr,
	.route = do_route,
	.pin = do_pin,
};

static int open_pair(struct fake_host *h, const char *name)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	for (unsigned int i = 0; i < 32; i++) {
		if (strcmp(h->tuns[i].name, name) == 0) {
			close(h->tuns[i].fd);
			h->tuns[i].fd = fds[0];
			return fds[1];
		}
	}
	for (unsigned int i = 0; i < 32; i++) {
		if (!h->tuns[i].name[0]) {
			memcpy(h->tuns[i].name, name, strnlen(name, DP_IFNAME - 1));
			h->tuns[i].fd = fds[0];
			return fds[1];
		}
	}
	abort();
}

static bool is_device(const char *what)
{
	return strncmp(what, "tun ", 4) == 0 || strncmp(what, "tap ", 4) == 0;
}

/* A device goes with its addresses and routes. */
static void gone(struct fake_host *h, const char *name)
{
	char tag[DP_IFNAME + 5];

	snprintf(tag, sizeof(tag), " %.15s ", name);
	for (unsigned int i = h->there_count; i-- > 0;) {
		if (strstr(h->there[i], tag))
			set_there(h, h->there[i], false);
	}
	snprintf(tag, sizeof(tag), "tap %.15s", name);
	set_there(h, tag, false);
	for (unsigned int i = 0; i < 32; i++) {
		if (strcmp(h->tuns[i].name, name) == 0) {
			close(h->tuns[i].fd);
			memset(h->tuns[i].name, 0, DP_IFNAME);
		}
	}
}

static void take_link(struct fake_host *h, const char *what)
{
	size_t name = (size_t)(strchr(what + 5, ' ') - what) + 1; /* with the space */

	for (unsigned int i = h->there_count; i-- > 0;) {
		if (strncmp(h->there[i], what, name) == 0)
			set_there(h, h->there[i], false);
	}
}

void fake_host_answer(struct fake_host *h)
{
	while (h->ask_count) {
		struct fake_ask a = h->asks[0];

		memmove(&h->asks[0], &h->asks[1], --h->ask_count * sizeof(a));
		if (!a.error) {
			if (strncmp(a.what, "link ", 5) == 0)
				take_link(h, a.what);
			if (is_device(a.what) && a.add)
				a.fd = open_pair(h, a.what + 4);
			else if (is_device(a.what))
				gone(h, a.what + 4);
			set_there(h, a.what, a.add);
		}
		dp_user_host_done(h->dp, a.id, a.error, a.error ? "not today" : NULL, a.fd);
	}
}

void fake_host_init(struct fake_host *h)
{
	memset(h, 0, sizeof(*h));
	h->fail_with = EPERM;
}

void fake_host_fini(struct fake_host *h)
{
	for (unsigned int i = 0; i < 32; i++) {
		if (h->tuns[i].name[0])
			close(h->tuns[i].fd);
	}
}
