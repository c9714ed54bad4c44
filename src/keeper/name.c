/* SPDX-License-Identifier: MIT
 *
 * Names of a network namespace, see name.h.
 */
#include "name.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_QUEUE 4096 /* who asked whose the name is: nobody answers */

/* Bind to the name, or connect to who has it. -1 with errno. */
static int name_open(const char *name, int (*how)(int fd, const struct sockaddr *sa, socklen_t len))
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
	size_t n = strnlen(name, NAME_MAX_LEN);

	if (fd < 0)
		return -1;
	memcpy(un.sun_path + 1, name, n); /* the first octet is NUL: abstract */
	if (how(fd, (const struct sockaddr *)&un,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) < 0) {
		err = errno;
		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

int name_take(const char *name)
{
	int fd = name_open(name, bind);

	if (fd >= 0)
		listen(fd, NAME_QUEUE);
	return fd;
}

int name_borrow(const char *name)
{
	return name_open(name, bind);
}

enum name_whose name_whose(const char *name, char ret_who[NAME_WHO])
{
	struct pollfd p = { .events = POLLIN };
	struct ucred who = { .uid = geteuid() };
	socklen_t len = sizeof(who);
	int fd = name_open(name, connect);
	char process[32] = "a process";
	bool dead;

	if (fd < 0 && errno == ECONNREFUSED) {
		snprintf(ret_who, NAME_WHO, "a process that does not listen there");
		return NAME_BRIEF;
	}
	snprintf(ret_who, NAME_WHO, "another adit-keeper");
	if (fd < 0)
		return NAME_LIVES;
	/* As it was when it listened. 0: it is in another PID namespace, and nobody can say. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		who.pid = 0;
	close(fd);
	if (who.pid > 0)
		snprintf(process, sizeof(process), "process %d", (int)who.pid);
	if (who.uid != geteuid()) {
		snprintf(ret_who, NAME_WHO, "%s of user %u, which is no adit-keeper", process,
			 (unsigned int)who.uid);
		return NAME_STRANGER;
	}
	if (who.pid <= 0)
		return NAME_LIVES;
	snprintf(ret_who, NAME_WHO, "another adit-keeper, %s", process);
	p.fd = (int)syscall(SYS_pidfd_open, who.pid, 0);
	/* EINVAL: it has gone, but its number is still that of a process group or session. */
	dead = p.fd < 0 ? errno == ESRCH || errno == EINVAL : poll(&p, 1, 0) == 1;
	if (p.fd >= 0)
		close(p.fd);
	return dead ? NAME_DEAD : NAME_LIVES;
}
