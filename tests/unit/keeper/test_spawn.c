/* SPDX-License-Identifier: MIT
 *
 * Who is at the other end: an aditd that came to the keeper's socket may have ended before it is
 * looked at, and its number be another's by then. The keeper signals and waits for what it was
 * given here, so it must never be the other one.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/spawn.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* A process that comes to the listener, and stays until it is killed; or one that only stays. */
static pid_t come(const struct sockaddr_un *to)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

		if (to && connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	return pid;
}

static int listener(struct sockaddr_un *ret)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	/* abstract: nothing stays in the file system */
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "adit-test-spawn-%d", getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* What the descriptor stands for is `pid`, and nobody else: it ends of the signal. */
static void ends_by(int pidfd, pid_t pid)
{
	int status;

	assert_true(pidfd >= 0);
	assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	close(pidfd);
}

/* There is none, or one of a process that has ended (Linux 6.16 still gives it out). */
static void is_nobody(int pidfd)
{
	if (pidfd < 0)
		return;
	assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0), -1);
	assert_int_equal(errno, ESRCH);
	close(pidfd);
}

static bool kernel_knows_peers(int fd)
{
	socklen_t len = sizeof(int);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		close(pidfd);
	else if (errno == ENOPROTOOPT)
		return false;
	return true;
}

static void test_who_came(void **state)
{
	struct sockaddr_un name;
	int l = listener(&name), pair;
	pid_t pid = come(&name);

	pair = accept(l, NULL, NULL);
	assert_true(pair >= 0);
	ends_by(spawn_pidfd(pid, pair, false), pid);
	is_nobody(spawn_pidfd(pid, pair, false));
	close(pair);
	close(l);
}

static void test_number_of_another(void **state)
{
	struct sockaddr_un name;
	int l = listener(&name), pair;
	pid_t pid = come(&name), other = come(NULL);
	bool known;

	pair = accept(l, NULL, NULL);
	assert_true(pair >= 0);
	known = kernel_knows_peers(pair);
	if (known) /* as if `pid` had ended and its number were given out anew */
		ends_by(spawn_pidfd(other, pair, false), pid);
	else
		end(pid);
	is_nobody(spawn_pidfd(other, pair, false));
	assert_int_equal(kill(other, 0), 0);
	end(other);
	close(pair);
	close(l);
}

/* Of a pair that we made, both ends are ours as far as the kernel knows. */
static void test_child(void **state)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid = come(NULL);
	close(ends[1]);
	ends_by(spawn_pidfd(pid, ends[0], true), pid);
	close(ends[0]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_came),
		cmocka_unit_test(test_number_of_another),
		cmocka_unit_test(test_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
