/* SPDX-License-Identifier: MIT
 *
 * Many writes in one system call, see writes.h.
 */
#include "writes.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FEW 4 /* are not worth the two calls more */

/* The C library's own are places where a thread can be cancelled: in a process with threads that
 * costs two locked operations a call. */
ssize_t writes_one(int fd, const void *p, size_t len)
{
	ssize_t n;

	do
		n = syscall(SYS_write, fd, p, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t writes_one_all(int fd, const struct iovec *iov, int count)
{
	ssize_t n;

	do
		n = syscall(SYS_writev, fd, iov, count);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Newer machines of 32 bits have the call for waiting only with another kind of time. */
#ifdef SYS_io_getevents

void writes_open(struct writes *w)
{
	w->count = 0;
	w->context = 0;
	if (syscall(SYS_io_setup, WRITES_MOST, &w->context) < 0)
		w->context = 0;
}

void writes_close(struct writes *w)
{
	if (w->context)
		syscall(SYS_io_destroy, w->context);
	w->context = 0;
}

static long submit(struct writes *w, uint32_t from)
{
	return syscall(SYS_io_submit, w->context, (long)(w->count - from), w->list + from);
}

/* Take the results of `n` requests, all of which are done. */
static void reap(struct writes *w, long n)
{
	while (n > 0) {
		long got = syscall(SYS_io_getevents, w->context, n, n, w->event, NULL);

		if (got <= 0 && errno != EINTR)
			return;
		for (long i = 0; i < got; i++)
			w->done[w->event[i].data] = (ssize_t)w->event[i].res;
		n -= got > 0 ? got : 0;
	}
}

#else

void writes_open(struct writes *w)
{
	w->count = 0;
	w->context = 0;
}

void writes_close(struct writes *w)
{
	w->context = 0;
}

static long submit(struct writes *w, uint32_t from)
{
	return -1;
}

static void reap(struct writes *w, long n)
{
}

#endif

static uint32_t add(struct writes *w, uint16_t opcode, int fd, const void *p, size_t n)
{
	uint32_t at = w->count++;

	w->request[at] = (struct iocb){ .aio_data = at,
					.aio_lio_opcode = opcode,
					.aio_fildes = (uint32_t)fd,
					.aio_buf = (uintptr_t)p,
					.aio_nbytes = n };
	w->list[at] = &w->request[at];
	w->done[at] = -EIO;
	return at;
}

uint32_t writes_add(struct writes *w, int fd, const void *p, size_t len)
{
	return add(w, IOCB_CMD_PWRITE, fd, p, len);
}

uint32_t writes_add_all(struct writes *w, int fd, const struct iovec *iov, int count)
{
	return add(w, IOCB_CMD_PWRITEV, fd, iov, (size_t)count);
}

static ssize_t alone(const struct iocb *r)
{
	const void *p = (const void *)(uintptr_t)r->aio_buf;

	return r->aio_lio_opcode == IOCB_CMD_PWRITE
		       ? writes_one((int)r->aio_fildes, p, r->aio_nbytes)
		       : writes_one_all((int)r->aio_fildes, p, (int)r->aio_nbytes);
}

void writes_run(struct writes *w)
{
	uint32_t at = 0;
	long taken = 0, n;

	/* The kernel stops at a request it cannot begin with (a descriptor that is none): that one
	 * fails by itself, and those behind it have their turn. */
	while (w->context && w->count - at >= FEW && (n = submit(w, at)) > 0) {
		taken += n;
		at += (uint32_t)n;
		if (at < w->count) {
			w->done[at] = alone(&w->request[at]);
			at++;
		}
	}
	for (; at < w->count; at++)
		w->done[at] = alone(&w->request[at]);
	reap(w, taken);
	w->count = 0;
}
