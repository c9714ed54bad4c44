/* SPDX-License-Identifier: MIT
 *
 * aditd's side of the pair against a keeper that is the test: what is asked arrives, answers come
 * back to their askers in any order, descriptors are not lost, a keeper that vanishes or talks
 * nonsense is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/wire.h"
#include "failmalloc.h"
#include "keeper/client.h"

struct fixture {
	int far; /* the keeper's end */
	struct keeper *k;
	struct keeper_msg got;
	uint8_t buf[KEEPER_MAX];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ends[2], err = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	f->far = ends[0];
	assert_int_equal(fcntl(f->far, F_SETFL, O_NONBLOCK), 0);
	f->k = keeper_open(ends[1], &err);
	assert_non_null(f->k);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	keeper_close(f->k);
	if (f->far >= 0)
		close(f->far);
	free(f);
	return 0;
}

/* The next request at the keeper's end. */
static const struct keeper_msg *request(struct fixture *f)
{
	ssize_t n = recv(f->far, f->buf, sizeof(f->buf), 0);

	assert_true(n > 0);
	assert_int_equal(keeper_msg_load(f->buf, (size_t)n, &f->got), 0);
	return &f->got;
}

static void send_raw(struct fixture *f, const void *bytes, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	union {
		const void *in;
		void *out;
	} base = { bytes };
	struct iovec iov = { base.out, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		struct cmsghdr *c;

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(f->far, &msg, 0), len);
}

static void reply(struct fixture *f, const struct keeper_msg *m, const int *fds, size_t n)
{
	uint8_t buf[KEEPER_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));

	keeper_msg_save(&c, m);
	send_raw(f, buf, c.len, fds, n);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Records of the data plane go both ways between requests, and are answered by nobody. */
static void test_records_of_the_plane(void **state)
{
	struct fixture *f = *state;
	static uint8_t large[KEEPER_MAX];
	uint8_t buf[64];
	struct wcur c = wcur_of(buf, sizeof(buf));
	const uint8_t *records;
	int fds[2], fd, before = open_fds();
	size_t n;
	ssize_t got;

	assert_int_equal(keeper_plane(f->k, (const uint8_t *)"abc", 3), 0);
	assert_int_equal(keeper_open_count(f->k), 0);
	got = recv(f->far, f->buf, sizeof(f->buf), 0); /* it was sent at once */
	assert_int_equal(got, KEEPER_HEADER + 3);
	records = keeper_plane_body(f->buf, (size_t)got, &n);
	assert_non_null(records);
	assert_int_equal(n, 3);
	assert_memory_equal(records, "abc", 3);
	for (size_t cut = 0; cut < KEEPER_HEADER; cut++)
		assert_null(keeper_plane_body(f->buf, cut, &n));
	assert_int_equal(keeper_plane(f->k, large, KEEPER_MAX - KEEPER_HEADER), 0);
	assert_int_equal(recv(f->far, f->buf, sizeof(f->buf), 0), KEEPER_MAX);
	assert_int_equal(keeper_plane(f->k, large, KEEPER_MAX - KEEPER_HEADER + 1), -EINVAL);

	keeper_plane_head(&c);
	wcur_bytes(&c, "xyz", 3);
	assert_int_equal(pipe(fds), 0);
	send_raw(f, buf, c.len, fds, 2); /* one too many, which is closed */
	send_raw(f, buf, c.len, NULL, 0);
	send_raw(f, buf, c.len, fds, 1); /* nobody takes this one */
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(keeper_work(f->k), 0);
	assert_true(keeper_plane_next(f->k, &records, &n, &fd));
	assert_int_equal(n, 3);
	assert_memory_equal(records, "xyz", 3);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_true(keeper_plane_next(f->k, &records, &n, &fd));
	assert_int_equal(fd, -1);
	assert_true(keeper_plane_next(f->k, &records, &n, &fd));
	close(fd);
	assert_false(keeper_plane_next(f->k, &records, &n, &fd));
	assert_int_equal(open_fds(), before);

	/* a keeper that does not read: they wait, and go with the client */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(keeper_plane(f->k, large, KEEPER_MAX - KEEPER_HEADER), 0);
	assert_true(keeper_events(f->k) & POLLOUT);
	close(f->far);
	f->far = -1;
	assert_int_equal(keeper_work(f->k), -ECONNRESET);
	assert_int_equal(keeper_plane(f->k, large, 1), -ECONNRESET);
}

static void test_requests(void **state)
{
	struct fixture *f = *state;
	const char *env[] = { "ADIT_A=1", "ADIT_B=" };
	const struct keeper_msg *m;
	struct prefix p;
	struct addr a;
	uint32_t id;

	assert_int_equal(prefix_parse("10.0.0.0/8", &p), 0);
	assert_int_equal(addr_parse("192.0.2.7:1701", &a), 0);
	assert_int_equal(keeper_hello(f->k, 1, &id), 0);
	assert_int_equal(id, 1);
	assert_int_equal(keeper_events(f->k), POLLIN | POLLOUT);
	assert_int_equal(keeper_socket(f->k, 2, 0xabcd, NULL), 0);
	assert_int_equal(keeper_tun(f->k, 3, "adit0", false, NULL), 0);
	assert_int_equal(keeper_tun_gone(f->k, 4, "adit0", NULL), 0);
	assert_int_equal(keeper_link(f->k, 5, "adit0", 1400, "br0", NULL), 0);
	assert_int_equal(keeper_addr(f->k, 6, "lo", &p, true, NULL), 0);
	assert_int_equal(keeper_route(f->k, 7, "adit0", &p, 5, 6, false, NULL), 0);
	assert_int_equal(keeper_pin(f->k, 8, &a, true, NULL), 0);
	assert_int_equal(keeper_resolve(f->k, 9, "lns.example", 1701, NULL), 0);
	assert_int_equal(keeper_hook(f->k, 10, "vpn", "/bin/x", env, 2, NULL), 0);
	assert_int_equal(keeper_ready(f->k, 11, NULL), 0);
	assert_int_equal(keeper_reload(f->k, 12, NULL), 0);
	assert_int_equal(keeper_status(f->k, 13, &id), 0);
	assert_int_equal(id, 13);
	assert_int_equal(keeper_open_count(f->k), 13);
	assert_int_equal(keeper_work(f->k), 0);
	assert_int_equal(keeper_events(f->k), POLLIN);
	for (uint16_t type = KEEPER_HELLO; type <= KEEPER_STATUS; type++) {
		m = request(f);
		assert_int_equal(m->type, type);
		assert_int_equal(m->id, type);
		if (type == KEEPER_SOCKET)
			assert_int_equal(m->via, 0xabcd);
		if (type == KEEPER_LINK) {
			assert_int_equal(m->mtu, 1400);
			assert_string_equal(m->master, "br0");
		}
		if (type >= KEEPER_TUN && type <= KEEPER_LINK)
			assert_string_equal(m->name, "adit0");
		if (type == KEEPER_ADDR || type == KEEPER_ROUTE) {
			assert_int_equal(m->prefix.len, 8);
			assert_true(addr_equal(&m->prefix.addr, &p.addr));
			assert_int_equal(m->add, type == KEEPER_ADDR);
		}
		if (type == KEEPER_ROUTE) {
			assert_int_equal(m->table, 5);
			assert_int_equal(m->metric, 6);
		}
		if (type == KEEPER_PIN)
			assert_true(addr_equal(&m->addrs[0], &a));
		if (type == KEEPER_RESOLVE) {
			assert_string_equal(m->host, "lns.example");
			assert_int_equal(m->port, 1701);
		}
		if (type == KEEPER_HOOK) {
			assert_string_equal(m->program, "/bin/x");
			assert_int_equal(m->env_count, 2);
			assert_memory_equal(m->envs[1].text, "ADIT_B=", 7);
		}
	}
}

/* In no bridge is one thing, to stay where it is another. */
static void test_places_of_a_link(void **state)
{
	struct fixture *f = *state;
	const struct keeper_msg *m;

	assert_int_equal(keeper_link(f->k, 1, "x", 1400, "", NULL), 0);
	assert_int_equal(keeper_link(f->k, 2, "x", 1400, NULL, NULL), 0);
	assert_int_equal(keeper_work(f->k), 0);
	m = request(f);
	assert_true(KEEPER_HAS(m, KEEPER_T_MASTER));
	assert_string_equal(m->master, "");
	m = request(f);
	assert_false(KEEPER_HAS(m, KEEPER_T_MASTER));
}

static void test_answers_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct keeper_msg m = { .type = KEEPER_REPLY, .have = 1u << KEEPER_T_ERROR };
	struct keeper_done d;
	uint32_t ids[3];

	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(keeper_tun(f->k, 100 + i, "adit0", false, &ids[i]), 0);
	assert_int_equal(keeper_work(f->k), 0);
	assert_false(keeper_next(f->k, &d));
	for (uint32_t i = 3; i-- > 0;) {
		m.id = ids[i];
		m.error = i == 1 ? EPERM : 0;
		m.have = 1u << KEEPER_T_ERROR | (i == 1 ? 1u << KEEPER_T_TEXT : 0);
		strcpy(m.text, "not allowed");
		reply(f, &m, NULL, 0);
	}
	m.id = 999; /* an answer to nothing */
	reply(f, &m, NULL, 0);
	assert_int_equal(keeper_work(f->k), 0);
	for (uint32_t i = 3; i-- > 0;) {
		assert_true(keeper_next(f->k, &d));
		assert_int_equal(d.id, ids[i]);
		assert_int_equal(d.cookie, 100 + i);
		assert_int_equal(d.type, KEEPER_TUN);
		assert_string_equal(d.name, "adit0");
		assert_int_equal(d.error, i == 1 ? -EPERM : 0);
		assert_string_equal(d.text, i == 1 ? "not allowed" : "");
	}
	assert_false(keeper_next(f->k, &d));
	assert_int_equal(keeper_open_count(f->k), 0);
}

static void test_descriptors(void **state)
{
	struct fixture *f = *state;
	struct keeper_msg m = { .type = KEEPER_REPLY, .have = 1u << KEEPER_T_SIZE };
	struct keeper_done d;
	int before = open_fds(), ends[2], fds[KEEPER_FDS];
	uint32_t id;

	assert_int_equal(keeper_hello(f->k, 0, &id), 0);
	assert_int_equal(keeper_hello(f->k, 0, NULL), 0);
	assert_int_equal(keeper_hello(f->k, 0, NULL), 0);
	assert_int_equal(pipe(ends), 0);
	m.sizes[0] = 4096;
	m.sizes[2] = 1 << 20;
	m.size_count = 3;
	m.id = id;
	for (int i = 0; i < KEEPER_FDS; i++)
		fds[i] = ends[i & 1];
	assert_int_equal(keeper_work(f->k), 0);
	reply(f, &m, fds, KEEPER_FDS);
	m.id = id + 1;
	reply(f, &m, fds, 2); /* never taken: closed with the client */
	m.id = 55;
	reply(f, &m, fds, 1); /* for nobody: closed at once */
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(keeper_work(f->k), 0);
	assert_int_equal(open_fds(), before + KEEPER_FDS + 2);
	assert_true(keeper_next(f->k, &d));
	assert_int_equal(d.fd_count, KEEPER_FDS);
	assert_int_equal(d.sizes[0], 4096);
	assert_int_equal(d.sizes[2], 1 << 20);
	for (int i = 0; i < KEEPER_FDS; i++) {
		assert_true(fcntl(d.fds[i], F_GETFD) & FD_CLOEXEC);
		close(d.fds[i]);
	}
	/* More than the protocol knows is an error, and none of them leaks. */
	assert_int_equal(pipe(ends), 0);
	{
		int many[8] = { ends[0], ends[0], ends[0], ends[0],
				ends[0], ends[0], ends[0], ends[0] };

		m.id = id + 2;
		reply(f, &m, many, 8);
	}
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(keeper_work(f->k), -EBADMSG);
	keeper_close(f->k);
	f->k = NULL;
	assert_int_equal(open_fds(), before - 1);
}

static void test_reload_is_told(void **state)
{
	struct fixture *f = *state;
	struct keeper_msg m = { .type = KEEPER_RELOAD };
	struct keeper_done d;

	reply(f, &m, NULL, 0);
	reply(f, &m, NULL, 0);
	assert_int_equal(keeper_work(f->k), 0);
	assert_true(keeper_next(f->k, &d)); /* once is enough */
	assert_int_equal(d.type, KEEPER_RELOAD);
	assert_int_equal(d.id, 0);
	assert_false(keeper_next(f->k, &d));
}

static void test_keeper_gone(void **state)
{
	struct fixture *f = *state;
	struct keeper_msg m = { .id = 1, .type = KEEPER_REPLY };
	struct keeper_done d;

	assert_int_equal(keeper_hello(f->k, 1, NULL), 0);
	assert_int_equal(keeper_status(f->k, 2, NULL), 0);
	assert_int_equal(keeper_work(f->k), 0);
	assert_int_equal(keeper_ready(f->k, 3, NULL), 0); /* not sent yet */
	reply(f, &m, NULL, 0);
	close(f->far);
	f->far = -1;
	assert_int_equal(keeper_work(f->k), -ECONNRESET);
	assert_int_equal(keeper_work(f->k), -ECONNRESET);
	assert_int_equal(keeper_tun(f->k, 9, "adit0", true, NULL), -ECONNRESET);
	assert_true(keeper_next(f->k, &d)); /* its last word */
	assert_int_equal(d.cookie, 1);
	assert_int_equal(d.error, 0);
	for (uint64_t cookie = 2; cookie <= 3; cookie++) {
		assert_true(keeper_next(f->k, &d));
		assert_int_equal(d.cookie, cookie);
		assert_int_equal(d.error, -ECONNRESET);
		assert_string_equal(d.text, "the keeper is gone");
	}
	assert_false(keeper_next(f->k, &d));
}

static void test_nonsense(void **state)
{
	struct keeper_msg wrong_type = { .id = 1, .type = KEEPER_TUN };
	struct keeper_done d;

	for (int i = 0; i < 3; i++) {
		struct fixture *f;

		setup((void **)&f);
		assert_int_equal(keeper_hello(f->k, 1, NULL), 0);
		assert_int_equal(keeper_work(f->k), 0);
		if (i == 0) {
			send_raw(f, "hello, world", 12, NULL, 0);
		} else if (i == 1) {
			reply(f, &wrong_type, NULL, 0);
		} else {
			char *big = calloc(1, KEEPER_MAX + 1);

			send_raw(f, big, KEEPER_MAX + 1, NULL, 0);
			free(big);
		}
		assert_int_equal(keeper_work(f->k), -EBADMSG);
		assert_true(keeper_next(f->k, &d));
		assert_int_equal(d.error, -EBADMSG);
		assert_int_equal(keeper_hello(f->k, 1, NULL), -EBADMSG);
		teardown((void **)&f);
	}
}

static void test_wait(void **state)
{
	struct fixture *f = *state;
	struct keeper_msg m = { .type = KEEPER_REPLY };
	struct keeper_done d;
	uint32_t first, second;

	assert_int_equal(keeper_hello(f->k, 1, &first), 0);
	assert_int_equal(keeper_status(f->k, 2, &second), 0);
	assert_int_equal(keeper_wait(f->k, second, 20, &d), -ETIMEDOUT);
	m.id = first;
	reply(f, &m, NULL, 0);
	m.id = second;
	reply(f, &m, NULL, 0);
	assert_int_equal(keeper_wait(f->k, second, 1000, &d), 0);
	assert_int_equal(d.cookie, 2);
	assert_true(keeper_next(f->k, &d));
	assert_int_equal(d.cookie, 1);
	assert_int_equal(keeper_status(f->k, 3, &second), 0);
	close(f->far);
	f->far = -1;
	assert_int_equal(keeper_wait(f->k, second, 1000, &d), 0);
	assert_int_equal(d.error, -ECONNRESET);
	assert_int_equal(keeper_wait(f->k, 77, 1000, &d), -ECONNRESET);
}

static void test_full_pair(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0;

	/* More than the socket holds: what does not fit waits, nothing is lost or out of order. */
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(keeper_socket(f->k, i, i, NULL), 0);
	for (;;) {
		assert_int_equal(keeper_work(f->k), 0);
		if (keeper_events(f->k) == POLLIN)
			break;
		while (recv(f->far, f->buf, 1, MSG_PEEK) == 1)
			assert_int_equal(request(f)->via, sent++);
	}
	while (recv(f->far, f->buf, 1, MSG_PEEK) == 1)
		assert_int_equal(request(f)->via, sent++);
	assert_int_equal(sent, 3000);
}

static void test_bad_arguments(void **state)
{
	struct fixture *f = *state;
	char name[KEEPER_HOST_MAX + 1], *big = malloc(KEEPER_MAX + 8);
	const char *env[KEEPER_ENVS + 1];

	memset(name, 'x', sizeof(name));
	name[KEEPER_HOST_MAX] = 0;
	assert_int_equal(keeper_resolve(f->k, 0, name, 1, NULL), -EINVAL);
	name[KEEPER_HOST_MAX - 1] = 0;
	assert_int_equal(keeper_resolve(f->k, 0, name, 1, NULL), 0);
	assert_int_equal(keeper_resolve(f->k, 0, "", 1, NULL), -EINVAL);
	assert_int_equal(keeper_tun(f->k, 0, name, false, NULL), -EINVAL);
	assert_int_equal(keeper_tun(f->k, 0, "", true, NULL), -EINVAL);
	for (int i = 0; i <= KEEPER_ENVS; i++)
		env[i] = "A=b";
	assert_int_equal(keeper_hook(f->k, 0, "x", "/y", env, KEEPER_ENVS, NULL), 0);
	assert_int_equal(keeper_hook(f->k, 0, "x", "/y", env, KEEPER_ENVS + 1, NULL), -EINVAL);
	assert_int_equal(keeper_hook(f->k, 0, "x", "", env, 1, NULL), -EINVAL);
	env[0] = "A";
	assert_int_equal(keeper_hook(f->k, 0, "x", "/y", env, 1, NULL), -EINVAL);
	memset(big, 'x', KEEPER_MAX + 8);
	big[1] = '=';
	big[KEEPER_MAX - 20] = 0;
	env[0] = big; /* fits by itself, but not together with the rest */
	assert_int_equal(keeper_hook(f->k, 0, "x", "/y", env, 1, NULL), -EINVAL);
	assert_int_equal(keeper_open_count(f->k), 2);
	free(big);
}

static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;
	int ends[2], err = 0;

	failmalloc_arm(1);
	assert_int_equal(keeper_hello(f->k, 0, NULL), -ENOMEM);
	assert_true(failmalloc_disarm());
	assert_int_equal(keeper_open_count(f->k), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	failmalloc_arm(1);
	assert_null(keeper_open(ends[0], &err));
	assert_true(failmalloc_disarm());
	assert_int_equal(err, -ENOMEM);
	close(ends[0]); /* still ours */
	close(ends[1]);
	assert_null(keeper_open(ends[0], &err));
	assert_int_equal(err, -EBADF);
}

static void test_environment(void **state)
{
	struct fixture *f = *state;
	char text[16];

	unsetenv(KEEPER_FD_ENV);
	assert_int_equal(keeper_fd_from_env(), -ENOENT);
	setenv(KEEPER_FD_ENV, "x", 1);
	assert_int_equal(keeper_fd_from_env(), -EINVAL);
	setenv(KEEPER_FD_ENV, "0", 1);
	assert_int_equal(keeper_fd_from_env(), -EINVAL);
	snprintf(text, sizeof(text), "%d", f->far);
	setenv(KEEPER_FD_ENV, text, 1);
	assert_int_equal(keeper_fd_from_env(), f->far);
	assert_null(getenv(KEEPER_FD_ENV));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_places_of_a_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_records_of_the_plane, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeper_gone, setup, teardown),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_pair, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_arguments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_environment, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
