/* SPDX-License-Identifier: MIT
 *
 * The real system calls of the kernel plane (kernel_sys.h).
 */
#include "kernel_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define OR_ERRNO(call)                        \
	do {                                  \
		__typeof__(call) r_ = (call); \
		return r_ < 0 ? -errno : r_;  \
	} while (0)

static int real_socket(const struct kernel_sys *sys, int domain, int type, int protocol)
{
	OR_ERRNO(socket(domain, type | SOCK_CLOEXEC, protocol));
}

static int real_bind(const struct kernel_sys *sys, int fd, const void *sa, socklen_t len)
{
	OR_ERRNO(bind(fd, (const struct sockaddr *)sa, len));
}

static int real_connect(const struct kernel_sys *sys, int fd, const void *sa, socklen_t len)
{
	OR_ERRNO(connect(fd, (const struct sockaddr *)sa, len));
}

static int real_setsockopt(const struct kernel_sys *sys, int fd, int level, int name,
			   const void *value, socklen_t len)
{
	OR_ERRNO(setsockopt(fd, level, name, value, len));
}

static ssize_t real_send(const struct kernel_sys *sys, int fd, const void *bytes, size_t len,
			 int flags)
{
	OR_ERRNO(send(fd, bytes, len, flags | MSG_NOSIGNAL));
}

static ssize_t real_recv(const struct kernel_sys *sys, int fd, void *bytes, size_t len, int flags)
{
	OR_ERRNO(recv(fd, bytes, len, flags));
}

static int real_open(const struct kernel_sys *sys, const char *path, int flags)
{
	OR_ERRNO(open(path, flags | O_CLOEXEC));
}

static int real_close(const struct kernel_sys *sys, int fd)
{
	OR_ERRNO(close(fd));
}

static int real_ioctl(const struct kernel_sys *sys, int fd, unsigned long request, void *arg)
{
	OR_ERRNO(ioctl(fd, request, arg));
}

static ssize_t real_read(const struct kernel_sys *sys, int fd, void *bytes, size_t len)
{
	OR_ERRNO(read(fd, bytes, len));
}

static ssize_t real_write(const struct kernel_sys *sys, int fd, const void *bytes, size_t len)
{
	OR_ERRNO(write(fd, bytes, len));
}

static void real_sleep(const struct kernel_sys *sys, unsigned int us)
{
	struct timespec ts = { us / 1000000, (long)(us % 1000000) * 1000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		continue;
}

const struct kernel_sys kernel_sys_real = {
	.socket = real_socket,
	.bind = real_bind,
	.connect = real_connect,
	.setsockopt = real_setsockopt,
	.send = real_send,
	.recv = real_recv,
	.open = real_open,
	.close = real_close,
	.ioctl = real_ioctl,
	.read = real_read,
	.write = real_write,
	.sleep = real_sleep,
};
