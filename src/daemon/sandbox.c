/* SPDX-License-Identifier: MIT
 *
 * aditd parses what strangers send, so it gives up what it does not need before it reads the first
 * octet of theirs: all capabilities, the possibility to gain new ones, and core dumps (they would
 * hold passwords). The keeper has changed the user already.
 *
 * A filter of system calls is not installed yet. What runs after this point needs
 *
 *   loop      epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 read write close
 *             clock_gettime timerfd_create timerfd_settime rt_sigaction rt_sigprocmask rt_sigreturn
 *             pipe2 fcntl ioctl(FIONBIO) getpid gettid exit exit_group
 *   memory    mmap munmap mremap madvise brk mprotect(no PROT_EXEC) futex
 *   threads   clone clone3 set_robust_list rseq sched_yield sched_getaffinity
 *   sockets   recvmsg recvmmsg sendmsg sendmmsg sendto poll ppoll accept4 setsockopt getsockopt
 *             socket(AF_INET, AF_INET6: SOCK_DGRAM; AF_UNIX: SOCK_DGRAM) bind connect getsockname
 *   files     openat(O_RDONLY for the configuration; O_APPEND for accounting) newfstatat fstat
 *             pread64 ftruncate lseek
 *   rest      getrandom uname
 */
#include "daemon.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2];

	memset(none, 0, sizeof(none));
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

bool sandbox_enter(struct daemon *d)
{
	struct rlimit none = { 0, 0 };
	int rc;

	umask(027);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		daemon_say(d, TRACE_WARNING, "no-new-privileges cannot be set: %s",
			   strerror(errno));
		return false;
	}
	rc = drop_capabilities();
	if (rc < 0) {
		daemon_say(d, TRACE_WARNING, "capabilities cannot be given up: %s", strerror(-rc));
		return false;
	}
	setrlimit(RLIMIT_CORE, &none);
	if (geteuid() == 0)
		daemon_say(
			d, TRACE_INFO,
			"aditd runs as root, though without capabilities; set user to an account "
			"of its own");
	return true;
}
