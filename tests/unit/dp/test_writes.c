/* SPDX-License-Identifier: MIT
 *
 * Many writes in one call (writes.h): order, results, errors in the middle, and the same without
 * the kernel's help.
 */
#include "dp/writes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct world {
	struct writes w;
	int fd[2]; /* written, read: each write is a record */
};

static struct world *world_new(bool helped)
{
	struct world *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, x->fd), 0);
	if (helped)
		writes_open(&x->w); /* an emulator may have none: then it is the other case again */
	return x;
}

static void world_free(struct world *x)
{
	writes_close(&x->w);
	writes_close(&x->w); /* again does no harm */
	close(x->fd[0]);
	close(x->fd[1]);
	free(x);
}

static void expect(struct world *x, const void *bytes, size_t n)
{
	uint8_t got[4096];

	assert_int_equal(read(x->fd[1], got, sizeof(got)), n);
	assert_memory_equal(got, bytes, n);
}

static void expect_nothing(struct world *x)
{
	uint8_t got[4];

	assert_int_equal(read(x->fd[1], got, sizeof(got)), -1);
	assert_int_equal(errno, EAGAIN);
}

/* `n` writes of 1, 2, ... octets, every third of two parts; again, so that results come round. */
static void order(bool helped, uint32_t n)
{
	struct world *x = world_new(helped);
	struct iovec iov[WRITES_MOST][2];
	uint8_t bytes[WRITES_MOST + 1];

	for (unsigned int round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(i + round);
		for (uint32_t i = 0; i < n; i++) {
			iov[i][0] = (struct iovec){ bytes, 1 };
			iov[i][1] = (struct iovec){ bytes + 1, i };
			assert_int_equal(i % 3 ? writes_add(&x->w, x->fd[0], bytes, i + 1)
					       : writes_add_all(&x->w, x->fd[0], iov[i], 2),
					 i);
		}
		writes_run(&x->w);
		assert_int_equal(x->w.count, 0);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(x->w.done[i], i + 1);
			expect(x, bytes, i + 1);
		}
		expect_nothing(x);
	}
	world_free(x);
}

static void all_in_order(void **state)
{
	for (uint32_t n = 0; n <= 9; n++) {
		order(true, n);
		order(false, n);
	}
}

static void bad_ones_fail_alone(bool helped, uint32_t n, uint32_t bad, uint32_t bad2)
{
	struct world *x = world_new(helped);
	uint8_t bytes[16];

	for (uint32_t i = 0; i < n; i++) {
		bytes[i] = (uint8_t)i;
		writes_add(&x->w, i == bad || i == bad2 ? -1 : x->fd[0], bytes + i, 1);
	}
	writes_run(&x->w);
	for (uint32_t i = 0; i < n; i++) {
		if (i == bad || i == bad2) {
			assert_int_equal(x->w.done[i], -EBADF);
			continue;
		}
		assert_int_equal(x->w.done[i], 1);
		expect(x, bytes + i, 1);
	}
	expect_nothing(x);
	world_free(x);
}

static void others_are_written(void **state)
{
	for (uint32_t bad = 0; bad < 9; bad++) {
		for (uint32_t bad2 = bad; bad2 < 9; bad2++) {
			bad_ones_fail_alone(true, 9, bad, bad2);
			bad_ones_fail_alone(false, 9, bad, bad2);
		}
	}
}

/* A receiver that is full: what was written is there, the rest says so, and nobody waits. */
static void full(bool helped)
{
	struct world *x = world_new(helped);
	uint8_t bytes[2048];
	int size = 16 * 2048;
	bool refused = false;

	assert_int_equal(setsockopt(x->fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	memset(bytes, 'x', sizeof(bytes));
	for (unsigned int round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < WRITES_MOST; i++)
			writes_add(&x->w, x->fd[0], bytes, sizeof(bytes));
		writes_run(&x->w);
		for (uint32_t i = 0; i < WRITES_MOST; i++) {
			if (x->w.done[i] == -EAGAIN) {
				refused = true;
				continue;
			}
			assert_int_equal(x->w.done[i], sizeof(bytes));
			expect(x, bytes, sizeof(bytes));
		}
		expect_nothing(x);
	}
	assert_true(refused);
	world_free(x);
}

static void full_receiver(void **state)
{
	full(true);
	full(false);
}

static void one_by_one(void **state)
{
	struct world *x = world_new(false);
	uint8_t bytes[4] = "abc";
	struct iovec iov[2] = { { bytes, 1 }, { bytes + 1, 2 } };

	assert_int_equal(writes_one(x->fd[0], bytes, 3), 3);
	assert_int_equal(writes_one_all(x->fd[0], iov, 2), 3);
	expect(x, bytes, 3);
	expect(x, bytes, 3);
	assert_int_equal(writes_one(-1, bytes, 3), -EBADF);
	assert_int_equal(writes_one_all(-1, iov, 2), -EBADF);
	world_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_in_order),
		cmocka_unit_test(others_are_written),
		cmocka_unit_test(full_receiver),
		cmocka_unit_test(one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
