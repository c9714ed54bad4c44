/* SPDX-License-Identifier: MIT
 *
 * Sockets of tunnels that another plane carries (the kernel's, which gives each tunnel a connected
 * socket of its own): what that plane does not take, control messages and data of sessions it does
 * not know, is read here as from the listener they belong to. Nothing is sent through them, and no
 * option is set: while one is set the kernel drops the data of the tunnel.
 */
#include "user_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_US	   100
#define WAIT_STEPS 2000

/* A descriptor the forwarding thread may still read. */
struct leaving {
	struct list link;
	int fd;
	uint64_t tag;
};

void attach_poll(struct user *u)
{
	list_for_each_safe (it, &u->leaving) {
		struct leaving *l = container_of(it, struct leaving, link);

		if (!qsbr_passed(&u->qsbr, l->tag)) {
			qsbr_want(&u->qsbr);
			return;
		}
		list_drop(it);
		close(l->fd);
		free(l);
	}
}

/* After the end of the thread. */
void attach_free(struct user *u)
{
	for (struct list *it; (it = list_pop(&u->leaving)) != NULL;) {
		close(container_of(it, struct leaving, link)->fd);
		free(container_of(it, struct leaving, link));
	}
}

/* The forwarding thread may still be in a batch of the socket before: it does not stay there for
 * long, but what it reads must not change meanwhile. */
static int wait_for_thread(struct user *u, uint64_t tag)
{
	for (int i = 0; i < WAIT_STEPS; i++) {
		if (qsbr_passed(&u->qsbr, tag))
			return 0;
		usleep(WAIT_US);
	}
	return -EBUSY;
}

/*
 * The place of a tunnel's socket: the number that the event has, which is shorter than an id of
 * L2TPv3. Ids are random; one stands in the place of its last 16 bits or soon behind it. A place
 * that was left keeps its id, so that who was put behind it is still found.
 */
static struct fwd_tunnel *place_of(struct user *u, uint32_t tunnel, bool take)
{
	struct fwd_tunnel *free_one = NULL;

	for (uint32_t i = 0; i < FWD_PROBES; i++) {
		struct fwd_tunnel *t = &u->fwd.tunnels[(tunnel + i) % FWD_TUNNELS];
		bool used = atomic_load(&t->sock.fd) != 0;

		if (used && t->id == tunnel)
			return t;
		if (!used && !free_one)
			free_one = t;
		if (!t->id)
			break;
	}
	return take ? free_one : NULL;
}

int dp_user_attach(struct dp *dp, uint32_t tunnel, uint32_t via, int fd)
{
	struct user *u = container_of(dp, struct user, dp);
	struct sockaddr_storage name;
	socklen_t n = sizeof(name);
	struct fwd_tunnel *t;
	struct addr local;
	int own, rc;

	if (!tunnel)
		return -ERANGE;
	dp_user_detach(dp, tunnel);
	if (getsockname(fd, (struct sockaddr *)&name, &n) < 0)
		return -errno;
	rc = addr_from_sockaddr((struct sockaddr *)&name, n, &local);
	if (rc < 0)
		return rc;
	t = place_of(u, tunnel, true);
	if (!t)
		return -ENOSPC;
	rc = wait_for_thread(u, t->left);
	if (rc < 0)
		return rc;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return -errno;
	memcpy(t->sock.local, local.ip, sizeof(t->sock.local));
	t->sock.local_scope = local.scope;
	t->sock.raw = t->sock.stripped = fwd_is_raw(fd);
	t->id = tunnel;
	atomic_store(&t->sock.via, via);
	atomic_store(&t->sock.port, local.port);
	atomic_store(&t->sock.v6, name.ss_family == AF_INET6);
	atomic_store(&t->sock.fd, own + 1);
	u->fwd.attached = true;
	rc = fwd_watch_tunnel(&u->fwd, (uint32_t)(t - u->fwd.tunnels));
	if (rc < 0) {
		atomic_store(&t->sock.fd, 0);
		close(own);
	}
	return rc;
}

void dp_user_detach(struct dp *dp, uint32_t tunnel)
{
	struct user *u = container_of(dp, struct user, dp);
	struct fwd_tunnel *t = place_of(u, tunnel, false);
	struct leaving *l;
	int fd;

	attach_poll(u);
	if (!t)
		return;
	fd = fwd_unwatch_tunnel(&u->fwd, (uint32_t)(t - u->fwd.tunnels));
	if (fd < 0)
		return;
	t->left = qsbr_advance(&u->qsbr);
	l = malloc(sizeof(*l));
	if (!l)
		return; /* better one descriptor too many than one that is read as another */
	list_init(&l->link);
	l->fd = fd;
	l->tag = t->left;
	list_push(&u->leaving, &l->link);
	attach_poll(u);
}
