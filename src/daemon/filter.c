/* SPDX-License-Identifier: MIT
 *
 * Which system calls aditd makes, and why (seccomp(2), through libseccomp). What is not here is
 * refused, so whoever takes aditd over through a packet finds no way to run a program, to write a
 * file other than at the end of the accounting file, to open a socket of another kind, to trace or
 * to make memory executable.
 *
 * Theory of operation. A call that is not on the list is not carried out; the kernel raises SIGSYS
 * instead. on_forbidden() tells the keeper, which writes the log line, and then makes a forbidden
 * call again: with SIGSYS blocked, as it is in its own handler, the kernel ends the process. Who
 * blocks SIGSYS beforehand is ended the same way, only that the keeper cannot name the call; and
 * the handler cannot be replaced, since rt_sigaction(SIGSYS) is not on the list.
 *
 * A rule with arguments allows the call when all of them hold. What a newer C library may try first
 * gets "no such call" (ENOSYS), so that it falls back to what the list can look into: pointers it
 * cannot.
 */
#include "filter.h"

#include "base/wire.h"
#include "keeper/proto.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define FILTER_ARGS 2
#define CALLS	    512 /* names are known of calls below this number */
#define NAMES	    8192
/* What of the flags of open() decides. O_TMPFILE holds O_DIRECTORY, which is harmless alone. */
#define OPEN_BITS (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define OPEN_ADD  (O_RDWR | O_APPEND | O_CREAT)

#if defined(__SANITIZE_ADDRESS__)
#define FILTER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FILTER_ASAN 1
#endif
#endif

struct rule {
	int call;
	struct {
		uint8_t arg; /* number plus one; 0 = none */
		enum scmp_compare op;
		uint64_t value, mask; /* mask: of SCMP_CMP_MASKED_EQ */
	} args[FILTER_ARGS];
};

#define ANY(name)                 \
	{                         \
		SCMP_SYS(name),   \
		{                 \
			{         \
				0 \
			}         \
		}                 \
	}
#define IS(name, n, v)                                       \
	{                                                    \
		SCMP_SYS(name),                              \
		{                                            \
			{                                    \
				(n) + 1, SCMP_CMP_EQ, (v), 0 \
			}                                    \
		}                                            \
	}
#define NOT(name, n, v)                                      \
	{                                                    \
		SCMP_SYS(name),                              \
		{                                            \
			{                                    \
				(n) + 1, SCMP_CMP_NE, (v), 0 \
			}                                    \
		}                                            \
	}
#define BITS(name, n, v, m)                                           \
	{                                                             \
		SCMP_SYS(name),                                       \
		{                                                     \
			{                                             \
				(n) + 1, SCMP_CMP_MASKED_EQ, (v), (m) \
			}                                             \
		}                                                     \
	}
#define DATAGRAM(family)                                                    \
	{                                                                   \
		SCMP_SYS(socket),                                           \
		{                                                           \
			{ 1, SCMP_CMP_EQ, (family), 0 },                    \
				{ 2, SCMP_CMP_MASKED_EQ, SOCK_DGRAM, 0xf }, \
		}                                                           \
	}

#define LINKS                                                                                    \
	{                                                                                        \
		SCMP_SYS(socket),                                                                \
		{                                                                                \
			{ 1, SCMP_CMP_EQ, AF_NETLINK, 0 }, { 3, SCMP_CMP_EQ, NETLINK_ROUTE, 0 }, \
		}                                                                                \
	}

/* clang-format off */
static const struct rule rules[] = {
	/* the loop (libuv) and the forwarding thread */
	ANY(epoll_create1), ANY(epoll_ctl), ANY(epoll_wait), ANY(epoll_pwait), ANY(epoll_pwait2),
	ANY(eventfd2),			/* punts, the end of the forwarding thread */
	ANY(pipe2),			/* libuv: signals */
	ANY(poll), ANY(ppoll),		/* io.c, output.c, client.c: room in a socket */
	ANY(read), ANY(readv), ANY(write), ANY(writev), ANY(close),
	/* many packets to a device at once */
	ANY(io_setup), ANY(io_submit), ANY(io_getevents), ANY(io_destroy),
	ANY(clock_gettime), ANY(clock_gettime64), ANY(clock_getres), ANY(gettimeofday),
	ANY(timerfd_create), ANY(timerfd_settime), ANY(nanosleep), ANY(clock_nanosleep),
	ANY(clock_nanosleep_time64),
	ANY(restart_syscall),		/* a wait that a stop and a continue have cut short */

	/* packets: UDP sockets of the keeper, the pair to it, control clients */
	ANY(recvmsg), ANY(recvmmsg), ANY(recvfrom), ANY(sendmsg), ANY(sendmmsg), ANY(sendto),
	ANY(accept4), ANY(accept), ANY(shutdown),
	ANY(setsockopt), ANY(getsockopt), /* IP_PKTINFO, UDP_SEGMENT, UDP_GRO, SO_PEERCRED */
	DATAGRAM(AF_INET), DATAGRAM(AF_INET6), /* peer.c: the address we have towards a server */
	DATAGRAM(AF_UNIX),		/* log.c: the journal, syslog */
	LINKS,				/* circuit.c: which interfaces are up */
	ANY(bind), ANY(connect), ANY(getsockname), ANY(getpeername),

	/* descriptors */
	IS(ioctl, 1, FIONBIO), IS(ioctl, 1, FIOCLEX), /* libuv */
	/* the forwarding thread's devices */
	IS(ioctl, 1, TUNGETIFF), IS(ioctl, 1, TUNSETOFFLOAD), IS(ioctl, 1, TUNSETCARRIER),
	IS(ioctl, 1, SIOCGIFINDEX),	/* circuit.c: is there such an interface? */
	IS(ioctl, 1, TCGETS),		/* C library: is standard error a terminal? */
	IS(fcntl, 1, F_GETFD), IS(fcntl, 1, F_SETFD), IS(fcntl, 1, F_GETFL), IS(fcntl, 1, F_SETFL),
	IS(fcntl, 1, F_DUPFD_CLOEXEC), IS(fcntl64, 1, F_GETFD), IS(fcntl64, 1, F_SETFD),
	IS(fcntl64, 1, F_GETFL), IS(fcntl64, 1, F_SETFL), IS(fcntl64, 1, F_DUPFD_CLOEXEC),

	/* files: the configuration and what it names, time zone; accounting is added to */
	BITS(openat, 2, O_RDONLY, OPEN_BITS), BITS(open, 1, O_RDONLY, OPEN_BITS),
	BITS(openat, 2, OPEN_ADD, OPEN_BITS), BITS(open, 1, OPEN_ADD, OPEN_BITS),
	ANY(fstat), ANY(fstat64), ANY(newfstatat), ANY(fstatat64), ANY(stat), ANY(stat64),
	ANY(statx), ANY(access), ANY(faccessat), ANY(faccessat2),
	ANY(lseek), ANY(_llseek), ANY(pread64),
	ANY(ftruncate), ANY(ftruncate64), /* acct.c: half a line at the end */
	ANY(fsync), ANY(fdatasync),

	/* memory; never executable */
	ANY(brk), ANY(munmap), ANY(mremap), ANY(madvise),
	BITS(mmap, 2, 0, PROT_EXEC), BITS(mmap2, 2, 0, PROT_EXEC), BITS(mprotect, 2, 0, PROT_EXEC),

	/* threads: made, named, ended; no processes */
	BITS(clone, 0, CLONE_THREAD, CLONE_THREAD),
	ANY(futex), ANY(futex_time64), ANY(set_robust_list), ANY(rseq), ANY(sched_yield),
	ANY(sched_getaffinity),		/* C library: arenas of malloc */
	ANY(gettid), ANY(getpid), ANY(getuid), ANY(geteuid), ANY(getgid), ANY(getegid),
	IS(prctl, 0, PR_SET_NAME),	/* the thread's name */
	IS(prctl, 0, PR_SET_VMA),	/* C library: names of its mappings */
	ANY(exit), ANY(exit_group),

	/* signals */
	NOT(rt_sigaction, 0, SIGSYS), ANY(rt_sigprocmask), ANY(rt_sigreturn), ANY(sigreturn),
	ANY(sigaltstack),

	/* the rest */
	ANY(getrandom), ANY(uname), ANY(umask),
	ANY(sysinfo),			/* C library: qsort() */
	IS(prlimit64, 2, 0), ANY(getrlimit), ANY(ugetrlimit), /* only asked */
#ifdef FILTER_ASAN
	/* AddressSanitizer looks for leaks in a process that traces the others */
	ANY(clone), ANY(ptrace), ANY(wait4), ANY(waitpid), ANY(prctl), ANY(getdents64),
	ANY(getppid), ANY(readlink), ANY(readlinkat), ANY(process_vm_readv),
#endif
};
/* clang-format on */

/* Asked for with another way to fall back on. */
static const int absent[] = {
	SCMP_SYS(clone3),	  /* then clone(), whose flags are no pointer */
	SCMP_SYS(io_uring_setup), /* libuv: then epoll */
	SCMP_SYS(set_mempolicy_home_node),
};

/* A build that counts what its tests reach (gcov) writes that down when it ends. */
static const struct rule counting[] = {
	BITS(openat, 2, O_RDWR | O_CREAT, OPEN_BITS),
	ANY(fcntl),
	ANY(mkdir),
	ANY(readlink),
};

extern void __gcov_dump(void) __attribute__((weak));

/* ---- a forbidden call ---- */

/* For the handler, to which nothing else can be given. */
static struct {
	int keeper;
	uint16_t at[CALLS]; /* names of calls, in `names` */
	char *names;
} told;

static void tell(int call)
{
	uint8_t buf[256];
	struct wcur c = wcur_of(buf, sizeof(buf));
	const char *name = "";
	size_t at;

	if (call >= 0 && call < CALLS && told.names)
		name = told.names + told.at[call];
	/* keeper_msg_save() by hand: its message would be large for a signal's stack */
	wcur_u32(&c, KEEPER_MAGIC);
	wcur_u32(&c, UINT32_MAX);
	wcur_u16(&c, KEEPER_FORBIDDEN);
	wcur_u16(&c, 0);
	at = wcur_tlv_begin(&c, KEEPER_T_NAME);
	wcur_bytes(&c, name, strlen(name));
	wcur_tlv_end(&c, at);
	at = wcur_tlv_begin(&c, KEEPER_T_STATUS);
	wcur_u32(&c, (uint32_t)call);
	wcur_tlv_end(&c, at);
	if (send(told.keeper, buf, c.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static void on_forbidden(int number, siginfo_t *info, void *context)
{
	tell(info->si_syscall);
	signal(SIGSYS, SIG_DFL); /* forbidden, too: the end */
	_exit(128 + SIGSYS);
}

static int handle(int keeper)
{
	struct sigaction act = { .sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO };
	size_t n = 1;

	told.keeper = keeper;
	if (!told.names)
		told.names = calloc(1, NAMES);
	if (!told.names)
		return -ENOMEM;
	for (int i = 0; i < CALLS; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
		size_t len = name ? strlen(name) + 1 : 0;

		told.at[i] = 0; /* "" */
		if (len > 1 && len < KEEPER_NAME_MAX && n + len <= NAMES) {
			told.at[i] = (uint16_t)n;
			memcpy(told.names + n, name, len);
			n += len;
		}
		free(name);
	}
	return sigaction(SIGSYS, &act, NULL) < 0 ? -errno : 0;
}

/* ---- the filter ---- */

static int add(scmp_filter_ctx ctx, const struct rule *rule, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		struct scmp_arg_cmp args[FILTER_ARGS];
		unsigned int n = 0;

		for (; n < FILTER_ARGS && rule[i].args[n].arg; n++) {
			bool masked = rule[i].args[n].op == SCMP_CMP_MASKED_EQ;

			args[n].arg = rule[i].args[n].arg - 1u;
			args[n].op = rule[i].args[n].op;
			args[n].datum_a = masked ? rule[i].args[n].mask : rule[i].args[n].value;
			args[n].datum_b = masked ? rule[i].args[n].value : 0;
		}
		/* A call that this machine does not have is passed over. */
		rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rule[i].call, n, args);
		if (rc == -EEXIST)
			rc = 0;
	}
	return rc;
}

static int fill(scmp_filter_ctx ctx)
{
	int rc = add(ctx, rules, sizeof(rules) / sizeof(rules[0]));

	if (rc == 0 && __gcov_dump)
		rc = add(ctx, counting, sizeof(counting) / sizeof(counting[0]));
	/* abort() and the C library's checks: only this process can be ended */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]) && rc == 0; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), absent[i], 0);
	/* name services ask a daemon of their own first */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 2,
				      SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM));
	return rc;
}

int filter_load(int keeper)
{
	scmp_filter_ctx ctx;
	int rc;

	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
		return -ENOSYS;
	rc = handle(keeper);
	if (rc < 0)
		return rc;
	ctx = seccomp_init(SCMP_ACT_TRAP);
	if (!ctx)
		return -ENOMEM;
	rc = fill(ctx);
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc;
}
