/* SPDX-License-Identifier: MIT
 *
 * Many writes in one system call: io_submit(2). A TUN device takes one packet a write, and for
 * small packets a tenth of its price is the way into the kernel and back; more in a process with a
 * filter of system calls, which is asked each time. Devices and sockets carry such a request out at
 * once, so order and errors are those of write(2).
 *
 * A kernel without it (CONFIG_AIO), or one whose fs.aio-max-nr is used up, gets a call for each.
 */
#ifndef ADIT_DP_WRITES_H
#define ADIT_DP_WRITES_H

#include <linux/aio_abi.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define WRITES_MOST 128

struct writes {
	aio_context_t context; /* 0: none */
	uint32_t count;
	struct iocb request[WRITES_MOST];
	struct iocb *list[WRITES_MOST];
	struct io_event event[WRITES_MOST];
	ssize_t done[WRITES_MOST]; /* what write(2) would have returned, or -errno */
};

/* Of one thread; all zero, and good for use, before. */
void writes_open(struct writes *w);
void writes_close(struct writes *w);

/* One more, of which there is room for WRITES_MOST: its place in `done`. The octets, and the
 * vectors, stay where they are until writes_run(). The descriptor does not block. */
uint32_t writes_add(struct writes *w, int fd, const void *p, size_t len);
uint32_t writes_add_all(struct writes *w, int fd, const struct iovec *iov, int count);

/* Carry out what was added, in this order, and begin anew; `done` is kept until then. */
void writes_run(struct writes *w);

/* One write, without EINTR: its length or -errno. */
ssize_t writes_one(int fd, const void *p, size_t len);
ssize_t writes_one_all(int fd, const struct iovec *iov, int count);

#endif
