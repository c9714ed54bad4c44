/* SPDX-License-Identifier: MIT
 *
 * plane.c by itself: the wait for the first device of the user-space plane, with a keeper that is
 * the test. The rest of the daemon and the plane are invented.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/wire.h"
#include "daemon/daemon.h"
#include "dp/user.h"

struct plane_test {
	struct daemon d;
	int far; /* the keeper's end */
	bool ready;
	unsigned int polls, inputs;
	int device; /* what the plane was given */
};

static struct plane_test t;

/* What plane.c calls. */

void daemon_say(struct daemon *d, enum trace_level level, const char *fmt, ...)
{
	(void)d, (void)level, (void)fmt;
}

struct mono io_now(void)
{
	static uint64_t us;

	us += US_MS; /* so that a wait without an end ends */
	return (struct mono){ us };
}

bool kplane_input(struct daemon *d)
{
	(void)d;
	t.inputs++;
	return false;
}

struct dp *kplane_open(struct daemon *d, struct dp *user, const uint8_t hash_key[16])
{
	(void)d, (void)hash_key;
	return user;
}

void kplane_conf(struct daemon *d, const struct conf *c)
{
	(void)d, (void)c;
}

void kplane_watch(struct daemon *d, const struct conf *c, bool is)
{
	(void)d, (void)c, (void)is;
}

void swire_former(struct daemon *d, uint64_t key)
{
	(void)d, (void)key;
}

void swire_swept(struct daemon *d)
{
	(void)d;
}

bool swire_has(const struct daemon *d, uint64_t key)
{
	(void)d, (void)key;
	return false;
}

struct dp *dp_user_new(const struct dp_user_config *config)
{
	(void)config;
	return NULL;
}

bool dp_user_ready(const struct dp *dp)
{
	(void)dp;
	return t.ready;
}

void dp_user_host_done(struct dp *dp, uint32_t id, int error, const char *text, int fd)
{
	(void)dp, (void)error, (void)text;
	assert_int_equal(id, 7);
	t.ready = true;
	t.device = fd;
}

/* In place of libc's: nobody sleeps here, and each would-be sleep is counted. */
int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	(void)timeout;
	assert_int_equal(n, 1);
	fds->revents = POLLIN;
	return t.polls++ < 100 ? 1 : 0;
}

static int setup(void **state)
{
	int ends[2], err = 0;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.device = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	t.far = ends[0];
	t.d.keeper = keeper_open(ends[1], &err);
	assert_non_null(t.d.keeper);
	assert_int_equal(keeper_tun(t.d.keeper, COOKIE(COOKIE_PLANE, 7), "adit0", false, NULL), 0);
	assert_int_equal(keeper_work(t.d.keeper), 0); /* it is sent */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	keeper_close(t.d.keeper);
	close(t.far);
	return 0;
}

/* The keeper answers the request for the device, without a device: plane.c passes on what comes. */
static void answer(void)
{
	uint8_t buf[KEEPER_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));
	struct keeper_msg m;
	ssize_t n = recv(t.far, buf, sizeof(buf), 0);

	assert_true(n > 0);
	assert_int_equal(keeper_msg_load(buf, (size_t)n, &m), 0);
	assert_int_equal(m.type, KEEPER_TUN);
	m = (struct keeper_msg){ .id = m.id, .type = KEEPER_REPLY, .error = EPERM };
	m.have = 1u << KEEPER_T_ERROR;
	keeper_msg_save(&c, &m);
	assert_int_equal(send(t.far, buf, c.len, 0), (ssize_t)c.len);
}

static void test_waits_for_the_answer(void **state)
{
	(void)state;
	answer();
	plane_wait(&t.d);
	assert_true(t.ready);
	assert_int_equal(t.polls, 1);
	assert_true(t.inputs > 0);
}

/* Another wait (kplane.c's, for the list of rows) has read the answer along with its own. Nothing
   more will come: who sleeps first and looks then loses a tenth of a second of each restart. */
static void test_takes_what_was_read_before(void **state)
{
	(void)state;
	answer();
	assert_int_equal(keeper_work(t.d.keeper), 0);
	plane_wait(&t.d);
	assert_true(t.ready);
	assert_int_equal(t.polls, 0);
}

static void test_a_keeper_that_says_nothing(void **state)
{
	(void)state;
	plane_wait(&t.d);
	assert_false(t.ready);
	assert_int_equal(t.device, -1);
}

static void test_a_keeper_that_is_gone(void **state)
{
	(void)state;
	assert_int_equal(shutdown(t.far, SHUT_RDWR), 0);
	plane_wait(&t.d);
	assert_false(t.ready);
	assert_int_equal(t.polls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits_for_the_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_takes_what_was_read_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_keeper_that_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_keeper_that_is_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
