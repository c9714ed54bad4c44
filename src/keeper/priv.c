/* SPDX-License-Identifier: MIT
 *
 * Users and capabilities, by the system calls themselves: see capabilities(7), "Effect of user ID
 * changes on capabilities" and "The capability bounding set".
 */
#include "priv.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int priv_user(const char *name, uid_t *ret_uid, gid_t *ret_gid, bool *ret_found, char *text)
{
	const struct passwd *pw = getpwnam(name);

	*ret_found = pw != NULL;
	if (!pw)
		pw = getpwnam("nobody");
	if (!pw) {
		snprintf(text, PRIV_TEXT, "there is neither a user %.60s nor nobody", name);
		return -ENOENT;
	}
	*ret_uid = pw->pw_uid;
	*ret_gid = pw->pw_gid;
	return 0;
}

static int caps_set(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	memset(data, 0, sizeof(data));
	data[0].effective = data[0].permitted = (uint32_t)keep;
	data[1].effective = data[1].permitted = (uint32_t)(keep >> 32);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static int caps_get(uint64_t *ret_permitted)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static uint64_t bit(int cap)
{
	return (uint64_t)1 << cap;
}

int priv_drop(bool low_port)
{
	uint64_t keep = bit(CAP_NET_ADMIN) | bit(CAP_NET_RAW) | bit(CAP_SETUID) | bit(CAP_SETGID) |
			bit(CAP_KILL);
	uint64_t have = 0;
	int cap, err;

	if (low_port)
		keep |= bit(CAP_NET_BIND_SERVICE);
	err = caps_get(&have);
	if (err)
		return err;
	for (cap = 0; cap < 64; cap++) {
		if (keep & bit(cap))
			continue;
		/* EINVAL: no such capability in this kernel. EPERM: a container has taken
		 * CAP_SETPCAP, and with it most of what would be dropped here. */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
			return -errno;
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return caps_set(keep & have);
}

int priv_become(uid_t uid, gid_t gid)
{
	int err;

	if (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	err = caps_set(0);
	if (err)
		return err;
	/* Nothing brings the rights back. */
	return uid != 0 && setuid(0) == 0 ? -EPERM : 0;
}
