/* SPDX-License-Identifier: MIT
 *
 * The guard, see guard.h.
 *
 * Theory of operation. clone() with CLONE_FILES gives a process with memory of its own and the
 * keeper's table of descriptors. It sleeps until the keeper's pidfd says that all its threads have
 * ended, then it closes:
 *
 *   1. what is no session: the pair to aditd, which ends, listeners, TUN, sockets of tunnels;
 *   2. the PPPoX sockets, by processes of the same kind side by side: each close waits for RCU,
 *      but for the same grace periods as the others. Meanwhile the interfaces are deleted by
 *      groups;
 *   3. /dev/ppp, whose units are empty by then (those in other namespaces are not);
 *   4. the names.
 *
 * Threads of the keeper may have held any lock when it was made: it makes system calls and asks for
 * no memory but by mmap(). If it fails at anything, it ends, and the kernel does the rest as if
 * there had been no guard.
 */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dp/kernel.h"
#include "dp/nl.h"

#define CLOSERS	    32	       /* processes; they sleep nearly all the time */
#define FDS_MAX	    (1u << 20) /* the most that /proc/sys/fs/nr_open allows by default */
#define PPP_MAJOR   108	       /* /dev/ppp, of Linux's Documentation/admin-guide/devices.txt */
#define LISTING_BUF 4096

/* As the kernel lays it out, see getdents64(2). */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* PPPoX sockets from the front on, descriptors of /dev/ppp from the end. */
struct fds {
	int *v;
	uint32_t pipes, ppps;
};

/* fork() with the same descriptors. */
static pid_t fork_shared(void)
{
#ifdef __s390x__
	return (pid_t)syscall(SYS_clone, NULL, CLONE_FILES | SIGCHLD, NULL, NULL, 0);
#else
	return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
#endif
}

static void take(struct fds *f, int fd, int listing, const struct guard_keeps *keeps)
{
	int domain = 0;
	socklen_t len = sizeof(domain);
	struct stat st;

	if (fd == listing || fd == keeps->name || fd == keeps->claim || fstat(fd, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode))
		getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	if (f->pipes + f->ppps < FDS_MAX && domain == AF_PPPOX)
		f->v[f->pipes++] = fd;
	else if (f->pipes + f->ppps < FDS_MAX && S_ISCHR(st.st_mode) &&
		 st.st_rdev == makedev(PPP_MAJOR, 0))
		f->v[FDS_MAX - ++f->ppps] = fd;
	else
		close(fd);
}

/* Sort out what there is, and close what is no session. */
static bool sort_out(struct fds *f, const struct guard_keeps *keeps)
{
	_Alignas(8) char buf[LISTING_BUF];
	int listing = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n = -1;

	f->v = mmap(NULL, FDS_MAX * sizeof(*f->v), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (listing < 0 || f->v == MAP_FAILED)
		return false;
	while ((n = syscall(SYS_getdents64, listing, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			const struct entry *e = (const struct entry *)(const void *)(buf + at);

			at += e->len;
			if (e->name[0] != '.')
				take(f, atoi(e->name), listing, keeps);
		}
	}
	close(listing);
	return n == 0;
}

static void close_share(const int *v, uint32_t n, uint32_t which)
{
	for (uint32_t i = which; i < n; i += CLOSERS)
		close(v[i]);
}

/* Close them side by side; goes on at once. */
static void close_begin(const int *v, uint32_t n)
{
	for (uint32_t i = 0; i < CLOSERS && i < n; i++) {
		pid_t pid = fork_shared();

		if (pid <= 0)
			close_share(v, n, i);
		if (pid == 0)
			_exit(0);
	}
}

static void close_wait(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
}

static void watch(struct nlm *rt, int self, const struct guard_keeps *keeps)
{
	struct pollfd p = { .fd = self, .events = POLLIN };
	struct fds f = { 0 };

	prctl(PR_SET_NAME, "adit-guard");
	while (poll(&p, 1, -1) < 1)
		continue;
	/* Only this says that it has ended; never what became of the descriptor. */
	if (!(p.revents & POLLIN) || !sort_out(&f, keeps))
		_exit(1);
	close_begin(f.v, f.pipes);
	/* Without the claim they may be those of another keeper, which lives. */
	if (keeps->claim >= 0 && nlm_open(rt) == 0)
		kernel_groups_del(rt, keeps->groups);
	close_wait();
	close_begin(f.v + FDS_MAX - f.ppps, f.ppps);
	close_wait();
	_exit(0);
}

int guard_start(struct guard *g, const struct guard_keeps *keeps)
{
	struct nlm *rt = calloc(1, sizeof(*rt)); /* for the other process */
	int self = rt ? (int)syscall(SYS_pidfd_open, getpid(), 0) : -1, err;
	pid_t pid = self < 0 ? -1 : fork_shared();

	err = -errno;
	if (pid == 0)
		watch(rt, self, keeps);
	free(rt);
	if (pid > 0) {
		*g = (struct guard){ pid, self };
		return 0;
	}
	if (self >= 0)
		close(self);
	return err ? err : -ENOMEM;
}

void guard_end(struct guard *g)
{
	if (g->pid <= 0)
		return;
	kill(g->pid, SIGKILL);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	close(g->self);
	g->pid = 0;
}
