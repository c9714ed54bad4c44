/* SPDX-License-Identifier: MIT
 *
 * Other network namespaces, for the interfaces of sessions: what the plane needs there are sockets
 * that were made there. Making them takes CAP_SYS_ADMIN, which the keeper gives up before the plane
 * begins, so the two are apart.
 */
#include "kernel_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

struct kernel_room {
	const struct kernel_sys *sys;
	int fd, packet;
	struct nlm *rt[KERNEL_WORKERS];
};

void kernel_room_close(struct kernel_room *room)
{
	if (!room)
		return;
	for (unsigned int i = 0; i < KERNEL_WORKERS; i++) {
		if (room->rt[i])
			nlm_close(room->rt[i]);
		free(room->rt[i]);
	}
	if (room->packet >= 0)
		room->sys->close(room->sys, room->packet);
	if (room->fd >= 0)
		close(room->fd);
	free(room);
}

/* Sockets in the namespace this thread is in now. */
static int room_fill(struct kernel_room *room)
{
	for (unsigned int i = 0; i < KERNEL_WORKERS; i++) {
		struct nlm *m = calloc(1, sizeof(*m));
		int err = m ? nlm_open_on(m, room->sys, NETLINK_ROUTE) : -ENOMEM;

		if (err) {
			free(m);
			return err;
		}
		room->rt[i] = m;
	}
	room->packet = kframe_packet(room->sys); /* -1: IPv6 of the link stays unanswered */
	return 0;
}

int kernel_room_open(const struct kernel_sys *sys, int fd, struct kernel_room **ret)
{
	struct kernel_room *room = calloc(1, sizeof(*room));
	int here, err;

	if (!room)
		return -ENOMEM;
	room->sys = sys ? sys : &kernel_sys_real;
	room->packet = -1;
	room->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	err = room->fd < 0 || here < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
	if (!err) {
		err = room_fill(room);
		if (setns(here, CLONE_NEWNET) < 0)
			abort(); /* what followed would happen in the wrong namespace */
	}
	if (here >= 0)
		close(here);
	if (err) {
		kernel_room_close(room);
		return err;
	}
	*ret = room;
	return 0;
}

int kernel_netns_room(struct kernel *k, uint32_t id, struct kernel_room *room)
{
	uint32_t slot = k->netns_n;

	if (!id || k->worker_n > KERNEL_WORKERS)
		return -EINVAL;
	for (uint32_t i = 0; i < k->netns_n; i++)
		if (k->netns[i].id == id)
			return -EEXIST;
	if (slot == KERNEL_NETNS_MAX)
		return -ENOSPC;
	for (unsigned int i = 0; i < k->worker_n; i++) {
		k->workers[i].rt[slot] = room->rt[i];
		room->rt[i] = NULL;
	}
	k->netns[slot] = (struct knetns){ id, room->fd, room->packet };
	room->fd = room->packet = -1;
	kernel_room_close(room);
	kframe_watch_packet(k, slot);
	k->netns_n++; /* jobs that name it come later, through the lock */
	return 0;
}

int kernel_netns(struct kernel *k, uint32_t id, int fd)
{
	struct kernel_room *room = NULL;
	int err = id && fd >= 0 ? kernel_room_open(k->sys, fd, &room) : -EINVAL;

	if (!err)
		err = kernel_netns_room(k, id, room);
	if (err)
		kernel_room_close(room);
	return err;
}
