/* SPDX-License-Identifier: MIT
 *
 * The keeper takes its own place, see upgrade.h.
 *
 *   memfd = u32 magic "adkc", u16 version, u16 0, u32 KEEPER_MAGIC, u32 0, u64 octets of records,
 *           records
 *
 * The version is that of this head alone; records say for themselves what must be understood.
 */
#include "upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "proto.h"

#define STATE_MAGIC   0x61646b63u
#define STATE_VERSION 1
#define STATE_HEAD    24

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int upgrade_write(const struct carry *c, int *ret_fd)
{
	uint8_t head[STATE_HEAD];
	struct wcur w = wcur_of(head, sizeof(head));
	int fd, err;

	if (c->bad)
		return -ENOMEM;
	fd = memfd_create("adit-keeper-state", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	wcur_u32(&w, STATE_MAGIC);
	wcur_u16(&w, STATE_VERSION);
	wcur_u16(&w, 0);
	wcur_u32(&w, KEEPER_MAGIC);
	wcur_u32(&w, 0);
	wcur_u64(&w, c->len);
	err = write_all(fd, head, w.len);
	if (!err)
		err = write_all(fd, c->buf, c->len);
	if (err) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int upgrade_read(int fd, struct upgrade_state *ret, char *text)
{
	struct stat st;
	struct rcur c;
	const void *mem = MAP_FAILED;
	uint32_t magic, version;
	uint64_t len;

	if (fstat(fd, &st) == 0 && st.st_size >= STATE_HEAD)
		mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mem == MAP_FAILED) {
		snprintf(text, UPGRADE_TEXT, "descriptor %d holds no state of a keeper", fd);
		return -EBADF;
	}
	c = rcur_of(mem, (size_t)st.st_size);
	magic = rcur_u32(&c);
	version = rcur_u16(&c);
	rcur_u16(&c);
	ret->proto = rcur_u32(&c);
	rcur_u32(&c);
	len = rcur_u64(&c);
	if (magic != STATE_MAGIC || version != STATE_VERSION || len != rcur_left(&c)) {
		snprintf(text, UPGRADE_TEXT,
			 "the state of the former keeper has version %u, this program reads %u",
			 magic == STATE_MAGIC ? version : 0, STATE_VERSION);
		return -EBADMSG;
	}
	ret->records = c;
	return 0;
}

/* ---- the new program beside us ---- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* In the child. Threads of ours may hold any lock: only system calls until execve(). */
static void check_run(char *const *argv, int fd, int out)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0 ||
	    fcntl(fd, F_SETFD, 0) < 0)
		_exit(126);
	execve(argv[0], argv, environ);
	_exit(127);
}

/* What it says, until it has closed its output or the time is over. */
static void check_listen(int pipe, int64_t end, char *said, size_t cap)
{
	struct pollfd p = { .fd = pipe, .events = POLLIN };
	char buf[512];
	size_t len = 0;

	for (;;) {
		int64_t left = end - now_ms();
		ssize_t n;

		if (left <= 0)
			break;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(pipe, buf, sizeof(buf));
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			break;
		for (ssize_t i = 0; i < n && len + 1 < cap; i++)
			said[len++] = buf[i];
	}
	said[len] = 0;
	said[strcspn(said, "\n")] = 0;
}

/* The end of the child: its wait status, -1 when it had to be killed. */
static int check_wait(pid_t pid, int64_t end)
{
	const struct timespec tick = { .tv_nsec = 2000000 };
	int status;

	while (now_ms() < end) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return status;
		if (got < 0 && errno != EINTR)
			return -1;
		nanosleep(&tick, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

int upgrade_check(char *const *argv, int fd, char *text)
{
	char said[200] = "", shown[400];
	int64_t end = now_ms() + UPGRADE_CHECK;
	int ends[2], status, err;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		err = -errno;
		snprintf(text, UPGRADE_TEXT, "could not start the new program: %s", strerror(-err));
		return err;
	}
	if (pid == 0)
		check_run(argv, fd, ends[1]);
	close(ends[1]);
	check_listen(ends[0], end, said, sizeof(said));
	close(ends[0]);
	status = check_wait(pid, end);
	if (status == 0)
		return 0;
	if (said[0])
		snprintf(text, UPGRADE_TEXT, "%.*s", UPGRADE_TEXT - 1,
			 text_escape(shown, sizeof(shown), said, strlen(said)));
	else if (status == -1)
		snprintf(text, UPGRADE_TEXT, "%.100s did not answer within %d s", argv[0],
			 UPGRADE_CHECK / 1000);
	else if (WIFEXITED(status) && WEXITSTATUS(status) >= 126)
		snprintf(text, UPGRADE_TEXT, "%.100s could not be started", argv[0]);
	else
		snprintf(text, UPGRADE_TEXT, "%.100s cannot take over, and did not say why",
			 argv[0]);
	return -ENOEXEC;
}

static void inherit(const struct carry *c, int fd, bool on)
{
	for (size_t i = 0; i < c->fd_n; i++)
		fcntl(c->fds[i], F_SETFD, on ? 0 : FD_CLOEXEC);
	fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC);
}

int upgrade_exec(char *const *argv, const struct carry *c, int fd)
{
	int err;

	inherit(c, fd, true);
	execve(argv[0], argv, environ);
	err = -errno;
	inherit(c, fd, false);
	return err;
}
