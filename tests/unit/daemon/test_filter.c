/* SPDX-License-Identifier: MIT
 *
 * The filter of system calls (src/daemon/filter.c): each test runs in a child, which is held to the
 * list, makes one call, and is looked at when it has ended. What is told to the keeper is read from
 * the other end of a pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/filter.h"
#include "dp/writes.h"
#include "keeper/proto.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#define NO_FILTER 77 /* the kernel has none */

static int pair[2];

/* Run `act` under the filter; the wait status. */
static int under_filter(void (*act)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int rc = filter_load(pair[1]);

		if (rc < 0)
			_exit(rc == -ENOSYS ? NO_FILTER : 1);
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
		skip();
	return status;
}

/* What the process said about its end; false when it said nothing. */
static bool heard(struct keeper_msg *ret)
{
	uint8_t buf[KEEPER_MAX];
	ssize_t n = recv(pair[0], buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0)
		return false;
	assert_int_equal(keeper_msg_load(buf, (size_t)n, ret), 0);
	assert_int_equal(ret->type, KEEPER_FORBIDDEN);
	return true;
}

static void call_execve(void)
{
	char *const argv[] = { NULL };

	execve("/bin/true", argv, argv);
}

#ifndef WITH_ASAN /* which needs these to look for leaks */
static void call_fork(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void call_kill(void)
{
	kill(getppid(), 0);
}
#endif

static void call_write_file(void)
{
	if (open("/tmp", O_WRONLY | O_CREAT | O_TRUNC, 0600) < 0)
		return;
}

static void call_tmpfile(void)
{
	if (open("/tmp", O_RDWR | O_TMPFILE, 0600) < 0)
		return;
}

static void call_netlink(void)
{
	socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}

static void call_packet(void)
{
	socket(AF_PACKET, SOCK_RAW, 0);
}

static void call_raw(void)
{
	socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
}

static void call_tcp(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void call_mmap_code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void call_mprotect_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static void call_ioctl(void)
{
	ioctl(0, 0x400454ca /* TUNSETIFF */, 0);
}

static void call_tgkill(void)
{
	syscall(SYS_tgkill, 1, 1, 0);
}

static void call_unlink(void)
{
	unlink("/nonexistent/file");
}

static void call_handler(void)
{
	signal(SIGSYS, SIG_IGN);
}

static void call_bpf(void)
{
	syscall(SYS_bpf, 0, 0, 0);
}

static void call_limit(void)
{
	uint64_t most[2] = { 1, 1 };

	syscall(SYS_prlimit64, 0, 4, most, NULL);
}

static const struct forbidden {
	const char *name;
	int call;
	void (*act)(void);
} forbidden[] = {
	{ "execve", SYS_execve, call_execve },
	{ "openat", SYS_openat, call_write_file },
	{ "openat", SYS_openat, call_tmpfile },
	{ "socket", SYS_socket, call_netlink },
	{ "socket", SYS_socket, call_packet },
	{ "socket", SYS_socket, call_raw },
	{ "socket", SYS_socket, call_tcp },
	{ "mmap", SYS_mmap, call_mmap_code },
	{ "mprotect", SYS_mprotect, call_mprotect_code },
	{ "ioctl", SYS_ioctl, call_ioctl },
	{ "tgkill", SYS_tgkill, call_tgkill },
	{ "unlink", SYS_unlink, call_unlink },
	{ "rt_sigaction", SYS_rt_sigaction, call_handler },
	{ "bpf", SYS_bpf, call_bpf },
	{ "prlimit64", SYS_prlimit64, call_limit },
#ifndef WITH_ASAN
	{ "clone", SYS_clone, call_fork },
	{ "getppid", SYS_getppid, call_kill },
#endif
};

static void forbidden_calls_end_the_process(void **state)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		const struct forbidden *f = &forbidden[i];
		int status = under_filter(f->act);
		struct keeper_msg m;

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s (%zu) was let through: status %x", f->name, i, status);
		if (!heard(&m))
			fail_msg("%s (%zu): nobody was told", f->name, i);
		assert_string_equal(m.name, f->name);
		assert_int_equal((int)m.status, f->call);
	}
}

/* ---- threads ---- */

static pthread_barrier_t gate;

static void *early(void *arg)
{
	pthread_barrier_wait(&gate);
	socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	return NULL;
}

static void *blocked(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	return NULL;
}

static void a_thread_that_was_there_before(void **state)
{
	struct keeper_msg m;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t t;
		int rc;

		pthread_barrier_init(&gate, NULL, 2);
		pthread_create(&t, NULL, early, NULL);
		rc = filter_load(pair[1]);
		if (rc < 0)
			_exit(rc == -ENOSYS ? NO_FILTER : 1);
		pthread_barrier_wait(&gate);
		pthread_join(t, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER)
		skip();
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	assert_true(heard(&m));
	assert_string_equal(m.name, "socket");
}

static void block_and_call(void)
{
	pthread_t t;

	pthread_create(&t, NULL, blocked, NULL);
	pthread_join(t, NULL);
}

/* Nobody can be told, but the call is not made either. */
static void a_thread_that_blocks_the_signal(void **state)
{
	struct keeper_msg m;
	int status = under_filter(block_and_call);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	assert_false(heard(&m));
}

/* ---- what aditd does all day ---- */

static void need(bool ok)
{
	if (!ok)
		_exit(2);
}

static void *in_thread(void *arg)
{
	prctl(PR_SET_NAME, "forwarding");
	return arg;
}

/* As the forwarding thread writes to its devices. */
static void write_many(void)
{
	static const char bytes[] = "12345678";
	struct writes *w = calloc(1, sizeof(*w));
	char buf[16];
	int fd[2];

	need(w && pipe2(fd, O_NONBLOCK | O_CLOEXEC) == 0);
	writes_open(w);
	for (int i = 0; i < 8; i++)
		writes_add(w, fd[1], &bytes[i], 1);
	writes_run(w);
	need(read(fd[0], buf, sizeof(buf)) == 8 && memcmp(buf, bytes, 8) == 0);
	writes_close(w);
	free(w);
}

static void everyday(void)
{
	struct timespec ts;
	struct sockaddr sa;
	socklen_t n = sizeof(sa);
	char buf[16];
	pthread_t t;
	int fd, one = 1;

	need((fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) >= 0);
	need(read(fd, buf, sizeof(buf)) > 0);
	need(close(fd) == 0);
	need((fd = open("/nonexistent/accounting",
			O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640)) <
	     0);
	need(errno == ENOENT);
	need(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) >= 0);
	need((fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0);
	need(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	need(getsockname(fd, &sa, &n) == 0);
	need(recv(fd, buf, sizeof(buf), MSG_ERRQUEUE | MSG_DONTWAIT) < 0);
	need(ioctl(fd, FIONBIO, &one) == 0);
	need(ioctl(fd, 0x8933 /* SIOCGIFINDEX */, &(char[64]){ "lo" }) == 0);
	need(fcntl(fd, F_DUPFD_CLOEXEC, 3) > 0);
	write_many();
	need(epoll_create1(EPOLL_CLOEXEC) >= 0);
	need(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) >= 0);
	need(clock_gettime(CLOCK_BOOTTIME, &ts) == 0);
	need(pthread_create(&t, NULL, in_thread, NULL) == 0);
	need(pthread_join(t, NULL) == 0);
	need(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	need(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EACCES);
}

static void what_is_needed_is_allowed(void **state)
{
	int status = under_filter(everyday);
	struct keeper_msg m;

	if (heard(&m))
		fail_msg("%s (%u) is not allowed", m.name, m.status);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int setup(void **state)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
}

static int teardown(void **state)
{
	return close(pair[0]) | close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_end_the_process),
		cmocka_unit_test(a_thread_that_was_there_before),
		cmocka_unit_test(a_thread_that_blocks_the_signal),
		cmocka_unit_test(what_is_needed_is_allowed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
