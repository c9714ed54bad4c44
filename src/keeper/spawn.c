/* SPDX-License-Identifier: MIT
 *
 * aditd as a child: another user, no capability, no new privileges, and no descriptor but the three
 * standard ones and its end of the pair.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "priv.h"
#include "proto.h"

#define PAIR_FD 3

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* asm-generic/socket.h */
#endif

static void die(const char *what)
{
	fprintf(stderr, "adit-keeper: could not %s for aditd: %s\n", what, strerror(errno));
	_exit(126);
}

bool spawn_fresh(void)
{
	sigset_t none;
	int null;

	setpgid(0, 0);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDWR);
	return null >= 0 && dup2(null, STDIN_FILENO) >= 0;
}

static void run(const struct spawn_config *config, int end)
{
	int err;

	/* What a terminal sends to all in its foreground goes to the keeper alone: asked by both,
	 * aditd would not wait for its peers. */
	if (!spawn_fresh())
		die("open /dev/null");
	if (config->log_fd >= 0 &&
	    (dup2(config->log_fd, STDOUT_FILENO) < 0 || dup2(config->log_fd, STDERR_FILENO) < 0))
		die("set up the output");
	/* dup2() onto itself would leave close-on-exec set. */
	if (end == PAIR_FD ? fcntl(end, F_SETFD, 0) < 0 : dup2(end, PAIR_FD) < 0)
		die("set up the descriptor");
	if (close_range(PAIR_FD + 1, ~0u, 0) < 0)
		die("close descriptors");
	setenv(KEEPER_FD_ENV, "3", 1);
	unsetenv("NOTIFY_SOCKET"); /* the keeper tells systemd */
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	err = priv_become(config->uid, config->gid);
	if (err) {
		errno = -err;
		die("give up the rights of root");
	}
	execl(config->program, config->program, "-c", config->conf_path, (char *)NULL);
	fprintf(stderr, "adit-keeper: could not start %s: %s\n", config->program, strerror(errno));
	_exit(127);
}

pid_t spawn_aditd(const struct spawn_config *config, int *ret_pair)
{
	int ends[2], size = 4 << 20, i;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	for (i = 0; i < 2; i++)
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		close(ends[0]);
		close(ends[1]);
		return err;
	}
	if (pid == 0)
		run(config, ends[1]);
	close(ends[1]);
	*ret_pair = ends[0];
	return pid;
}

int spawn_pidfd(pid_t pid, int pair, bool child)
{
	struct pollfd p = { .fd = pair };
	socklen_t len = sizeof(int);
	int fd = -1;

	/* Of the process that connected, whoever has its number now (Linux 6.5). Asked of our
	 * own socketpair, it would be ourselves. */
	if (!child && getsockopt(pair, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd;
	if (!child && errno != ENOPROTOOPT)
		return -1; /* it was waited for: the number is nobody's, or another's */
	fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	/* While it holds its end of the pair it has not ended, and its number is its own. */
	if (fd >= 0 && poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLERR | POLLNVAL)))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void backoff_started(struct backoff *b, struct mono now)
{
	b->started = now;
}

struct mono backoff_next(struct backoff *b, struct mono now)
{
	if (now.us - b->started.us >= SPAWN_SHORT_LIFE_US) {
		b->wait_us = 0;
		b->short_lives = 0;
		return now;
	}
	/* A first short life may be an accident. */
	if (b->short_lives++ == 0)
		return now;
	b->wait_us = b->wait_us ? b->wait_us * 2 : SPAWN_FIRST_WAIT_US;
	if (b->wait_us > SPAWN_MOST_WAIT_US)
		b->wait_us = SPAWN_MOST_WAIT_US;
	return mono_add(now, b->wait_us);
}
