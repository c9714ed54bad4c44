/* SPDX-License-Identifier: MIT
 *
 * Which number a keeper of a network namespace has: whoever believes in one that is another's
 * removes the other's routes, addresses and interfaces at its end. Names are those of a namespace
 * of the test's own where it may make one.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "dp/kernel.h"
#include "dp/nl.h"
#include "keeper/name.h"
#include "keeper/net.h"

#define REC_NAME (CARRY_NET | CARRY_MUST | 1)
#define F_FD	 1
#define F_EPOCH	 2
#define F_NUMBER 13

/* Record what a former keeper has written, and let a new one read it. */
static struct net *carried(struct carry *c)
{
	struct net *n = net_open();
	struct rcur r, v;
	uint16_t tag;

	assert_non_null(n);
	assert_false(c->bad);
	r = rcur_of(c->buf, c->len);
	while (rcur_tlv(&r, &tag, &v))
		assert_int_equal(net_carried(n, tag, v), 0);
	carry_free(c);
	return n;
}

/* Of a release that had one name for all: the second keeper had none. */
static void test_former_release_without_the_name(void **state)
{
	struct carry c = { 0 };
	struct wcur *w = carry_begin(&c, REC_NAME);
	struct net *n;

	(void)state;
	wcur_tlv_u32(w, F_EPOCH, 7);
	carry_end(&c);
	n = carried(&c);
	/* what it has put there is marked so; the number is the other's */
	assert_int_equal(net_number(n), 1);
	assert_int_equal(net_proto(n), KERNEL_PROTO(1));
	assert_int_equal(net_name(n), -1);
	/* and so it is after the next upgrade */
	net_carry(n, &c);
	net_close(n);
	n = carried(&c);
	assert_int_equal(net_number(n), 1);
	assert_int_equal(net_name(n), -1);
	net_close(n);
}

static void test_with_the_name(void **state)
{
	struct carry c = { 0 };
	struct wcur *w = carry_begin(&c, REC_NAME);
	struct net *n;
	int fd = dup(STDERR_FILENO);

	(void)state;
	carry_fd(&c, F_FD, fd);
	wcur_tlv_u32(w, F_NUMBER, 15);
	carry_end(&c);
	n = carried(&c);
	assert_int_equal(net_number(n), 15);
	assert_int_equal(net_name(n), fd);
	net_close(n);
}

static void test_number_that_cannot_be(void **state)
{
	static const uint32_t numbers[] = { 0, NET_NUMBERS + 1 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct carry c = { 0 };
		struct wcur *w = carry_begin(&c, REC_NAME);
		struct net *n = net_open();
		struct rcur r, v;
		uint16_t tag = 0;

		wcur_tlv_u32(w, F_NUMBER, numbers[i]);
		carry_end(&c);
		r = rcur_of(c.buf, c.len);
		assert_true(rcur_tlv(&r, &tag, &v));
		assert_true(net_carried(n, tag, v) < 0);
		carry_free(&c);
		net_close(n);
	}
}

/* The name as a guard keeps it: bound and open, but who listened is dead. */
static int orphan(const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), status;
	size_t n = (size_t)snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "%s", name);
	pid_t pid;

	assert_int_equal(bind(fd, (struct sockaddr *)&un,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
			 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(listen(fd, 4096) < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return fd;
}

struct guard_done {
	int fd;
	uint32_t asked;
};

static void guard_done(void *arg)
{
	struct guard_done *g = arg;

	close(g->fd);
	g->asked++;
}

static void never(void *arg)
{
	(void)arg;
	fail_msg("nobody is to be waited for");
}

/* Who has lost number 2, as 1 was taken by one that lives, gets 2 again, where its routes are. */
static void test_number_of_the_dead(void **state)
{
	struct net *one, *two, *three;
	struct guard_done g = { 0 };

	if (!*state)
		skip();
	one = net_open();
	two = net_open();
	three = net_open();
	assert_true(net_take(one, 1, never, NULL) && net_number(one) == 1);
	g.fd = orphan("adit-keeper-2");
	assert_true(net_take(two, 1, guard_done, &g) && net_number(two) == 2 && g.asked == 1);
	assert_true(net_take(three, 2, never, NULL) && net_number(three) == 3);
	net_close(three);
	net_close(two);
	net_close(one);
}

static void test_wanted_number_of_the_dead(void **state)
{
	struct guard_done g = { 0 };
	struct net *n;

	if (!*state)
		skip();
	g.fd = orphan("adit-keeper-5");
	n = net_open();
	assert_true(net_take(n, 5, guard_done, &g) && net_number(n) == 5 && g.asked == 1);
	net_close(n);
}

/* Another keeper just removes what a dead one has left under the number: it is waited for. */
static void test_number_that_is_swept(void **state)
{
	const struct timespec while_ = { .tv_nsec = 200000000 };
	struct net *n;
	int pair[2], status;
	char c;
	pid_t pid;

	if (!*state)
		skip();
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (name_borrow("adit-keeper-5") < 0 || write(pair[1], "", 1) != 1)
			_exit(1);
		nanosleep(&while_, NULL);
		_exit(0);
	}
	assert_int_equal(read(pair[0], &c, 1), 1);
	n = net_open();
	assert_true(net_take(n, 5, never, NULL) && net_number(n) == 5);
	net_close(n);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pair[0]);
	close(pair[1]);
}

static void count_protos(void *arg, const struct nlm_route *r)
{
	uint32_t *count = arg;

	for (uint32_t i = 1; i <= NET_NUMBERS; i++)
		count[i] += r->proto == KERNEL_PROTO(i);
}

/* Of numbers 1 to 4 one is our own, one a keeper's that lives, one is a guard's, one nobody's. */
static void test_leftovers_of_others(void **state)
{
	uint32_t count[NET_NUMBERS + 1] = { 0 };
	struct nlm m;
	struct net *n;
	int lives, guard, free_now;

	if (!*state)
		skip();
	assert_int_equal(nlm_open(&m), 0);
	assert_int_equal(nlm_link_set(&m, 1, 0, 0, true), 0);
	for (uint32_t i = 1; i <= 4; i++) {
		struct nlm_route r = { .family = AF_INET,
				       .type = RTN_UNICAST,
				       .proto = KERNEL_PROTO(i),
				       .len = 32,
				       .table = RT_TABLE_MAIN };

		r.prefix = (struct prefix){ { .family = AF_INET, .ip = { 10, 0, 0, (uint8_t)i } },
					    32 };
		r.hop.ifindex = 1;
		assert_int_equal(nlm_route(&m, &r, true, NLM_F_EXCL), 0);
	}
	n = net_open();
	assert_true(net_take(n, 1, never, NULL));
	lives = name_take("adit-keeper-2");
	guard = orphan("adit-keeper-3");
	assert_int_equal(net_sweep_dead(n), 1);
	assert_int_equal(nlm_routes(&m, AF_INET, count_protos, count), 0);
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(count[i], i < 4);
	free_now = name_take("adit-keeper-4"); /* given back */
	assert_true(lives >= 0 && free_now >= 0);
	close(lives);
	close(guard);
	close(free_now);
	assert_int_equal(net_sweep_dead(n), 2);
	assert_int_equal(net_sweep_dead(n), 0);
	assert_int_equal(net_sweep_all(n), 1);
	net_close(n);
	nlm_close(&m);
}

static void test_more_than_there_are_numbers(void **state)
{
	struct net *v[NET_NUMBERS], *n;
	char who[NAME_WHO];
	bool keeper;

	if (!*state)
		skip();
	for (uint32_t i = 0; i < NET_NUMBERS; i++) {
		v[i] = net_open();
		assert_true(net_take(v[i], 1, never, NULL) && net_number(v[i]) == i + 1);
	}
	n = net_open();
	assert_false(net_take(n, 4, never, NULL));
	assert_int_equal(net_name(n), -1);
	snprintf(who, sizeof(who), "@adit-keeper-4 is that of another adit-keeper, process %d",
		 (int)getpid());
	assert_non_null(strstr(net_taken(n, &keeper), who));
	assert_true(keeper);
	net_close(n);
	for (uint32_t i = 0; i < NET_NUMBERS; i++)
		net_close(v[i]);
}

/* Somebody without rights has it, and has died, or has not even listened. */
static void test_names_of_strangers(void **state)
{
	static const char *const names[] = { "adit-keeper-4", "adit-keeper-5" };
	char who[NAME_WHO], expected[NAME_WHO];
	int pair[2], hold[2], status;
	struct net *n;
	bool keeper;
	pid_t pid;
	char c;

	if (!*state)
		skip();
	assert_int_equal(pipe(pair) | pipe(hold), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(hold[1]);
		if (setuid(65534) < 0 || name_take(names[0]) < 0 || name_borrow(names[1]) < 0)
			_exit(1);
		if (fork() == 0 && write(pair[1], "", 1) == 1 && read(hold[0], &c, 1) < 0)
			_exit(2); /* not before the other one has closed it */
		_exit(0);
	}
	assert_int_equal(read(pair[0], &c, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	snprintf(expected, sizeof(expected), "process %d of user 65534, which is no adit-keeper",
		 (int)pid);
	assert_int_equal(name_whose(names[0], who), NAME_STRANGER);
	assert_string_equal(who, expected);
	assert_int_equal(name_whose(names[1], who), NAME_BRIEF);
	n = net_open();
	assert_true(net_take(n, 4, never, NULL) && net_number(n) == 1);
	assert_non_null(strstr(net_taken(n, &keeper), expected));
	assert_false(keeper);
	net_close(n);
	close(hold[0]);
	close(hold[1]);
	close(pair[0]);
	close(pair[1]);
}

/* State is NULL where the names are not the test's own. */
static int setup(void **state)
{
	static char own[] = "own";

	*state = unshare(CLONE_NEWNET) == 0 ? own : NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_former_release_without_the_name),
		cmocka_unit_test(test_with_the_name),
		cmocka_unit_test(test_number_that_cannot_be),
		cmocka_unit_test(test_number_of_the_dead),
		cmocka_unit_test(test_wanted_number_of_the_dead),
		cmocka_unit_test(test_number_that_is_swept),
		cmocka_unit_test(test_leftovers_of_others),
		cmocka_unit_test(test_more_than_there_are_numbers),
		cmocka_unit_test(test_names_of_strangers),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
