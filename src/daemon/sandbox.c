/* SPDX-License-Identifier: MIT
 *
 * aditd parses what strangers send, so it gives up what it does not need before it reads the first
 * octet of theirs: all capabilities, the possibility to gain new ones, and core dumps (they would
 * hold passwords). The keeper has changed the user already.
 *
 * From then on a filter holds it to the system calls it needs (filter.c). `sandbox = no` leaves the
 * filter away, for debuggers and profilers; everything else stays.
 */
#include "daemon.h"
#include "filter.h"

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

/* The filter itself. A kernel without filters is worth a warning, but no reason not to serve. */
static bool filter(struct daemon *d)
{
	int rc;

	d->sandbox = SANDBOX_OFF;
	if (!d->conf->sandbox) {
		daemon_say(d, TRACE_WARNING,
			   "the sandbox is off: system calls of aditd are not filtered; remove "
			   "`sandbox = no` when you have finished debugging");
		return true;
	}
	rc = filter_load(keeper_fd(d->keeper));
	if (rc == -ENOSYS || rc == -EINVAL) {
		d->sandbox = SANDBOX_UNAVAILABLE;
		daemon_say(d, TRACE_WARNING,
			   "there is no sandbox: this kernel cannot filter system calls "
			   "(CONFIG_SECCOMP_FILTER)");
		return true;
	}
	if (rc < 0) {
		daemon_say(d, TRACE_WARNING,
			   "the sandbox cannot be set up: %s; `sandbox = no` starts aditd without",
			   strerror(-rc));
		return false;
	}
	d->sandbox = SANDBOX_ON;
	return true;
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
	return filter(d);
}
