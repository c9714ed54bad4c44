/* SPDX-License-Identifier: MIT
 *
 * Network namespaces of sessions; see rooms.h.
 */
#include "rooms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/place.h"

struct rooms {
	size_t n;
	struct {
		uint32_t id;
		struct kernel_room *room; /* NULL = the plane has it */
	} v[KERNEL_NETNS_MAX];
};

static bool known(const struct rooms *r, uint32_t id)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].id == id)
			return true;
	return false;
}

static int open_one(struct rooms *r, const char *name)
{
	char path[CONF_NAME + 16];
	int fd, err;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = kernel_room_open(NULL, fd, &r->v[r->n].room);
	close(fd);
	if (!err)
		r->v[r->n++].id = acc_netns_id(name);
	return err;
}

struct rooms *rooms_open(const struct conf *c, void (*say)(void *arg, const char *text), void *arg)
{
	struct rooms *r = conf_netns(c, 0) ? calloc(1, sizeof(*r)) : NULL;
	const char *name;
	char text[CONF_NAME + 160];

	for (size_t i = 0; r && (name = conf_netns(c, i)) != NULL; i++) {
		int err = known(r, acc_netns_id(name))	 ? 0
			  : r->n == KERNEL_NETNS_MAX - 1 ? -ENOSPC
							 : open_one(r, name);

		if (!err)
			continue;
		snprintf(text, sizeof(text),
			 "network namespace %s cannot be used: %s; make it (ip netns add %s), then "
			 "restart adit-keeper",
			 name, strerror(-err), name);
		say(arg, text);
	}
	return r;
}

void rooms_close(struct rooms *r)
{
	for (size_t i = 0; r && i < r->n; i++)
		kernel_room_close(r->v[i].room);
	free(r);
}

void rooms_enter(struct rooms *r, struct kernel *k)
{
	for (size_t i = 0; r && i < r->n; i++)
		if (r->v[i].room && kernel_netns_room(k, r->v[i].id, r->v[i].room) == 0)
			r->v[i].room = NULL;
}
