/* SPDX-License-Identifier: MIT
 *
 * The system calls of the kernel plane as a table, so that tests can put a kernel of their own
 * beneath it. Each returns what the system call does, or a negative errno. They are called from
 * several threads at once.
 */
#ifndef ADIT_DP_KERNEL_SYS_H
#define ADIT_DP_KERNEL_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct kernel_sys {
	int (*socket)(const struct kernel_sys *sys, int domain, int type, int protocol);
	int (*bind)(const struct kernel_sys *sys, int fd, const void *sa, socklen_t len);
	int (*connect)(const struct kernel_sys *sys, int fd, const void *sa, socklen_t len);
	int (*setsockopt)(const struct kernel_sys *sys, int fd, int level, int name,
			  const void *value, socklen_t len);
	ssize_t (*send)(const struct kernel_sys *sys, int fd, const void *bytes, size_t len,
			int flags);
	ssize_t (*recv)(const struct kernel_sys *sys, int fd, void *bytes, size_t len, int flags);
	int (*open)(const struct kernel_sys *sys, const char *path, int flags);
	int (*close)(const struct kernel_sys *sys, int fd);
	int (*ioctl)(const struct kernel_sys *sys, int fd, unsigned long request, void *arg);
	ssize_t (*read)(const struct kernel_sys *sys, int fd, void *bytes, size_t len);
	ssize_t (*write)(const struct kernel_sys *sys, int fd, const void *bytes, size_t len);
	void (*sleep)(const struct kernel_sys *sys, unsigned int us);
};

/* The real ones. */
extern const struct kernel_sys kernel_sys_real;

#endif
