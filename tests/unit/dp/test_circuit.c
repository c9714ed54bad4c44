/* SPDX-License-Identifier: MIT
 *
 * Circuits of pseudowires and the bridges of their interfaces: what messages of the kernel come to,
 * whole, cut short and damaged. The socket is a real one; what it says of other interfaces does not
 * matter here. */
#include "dp/circuit.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>
#include "failmalloc.h"

static const uint8_t hash_key[16] = "0123456789abcde";

static int join_error;	  /* what joining the group of interfaces comes to */
static int joins, leaves; /* how often it was asked for */
static int questions;	  /* sent to the kernel */

/* In place of the one of libc. */
ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
	questions++;
	return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

/* In place of the one of libc. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_NETLINK && name == NETLINK_ADD_MEMBERSHIP) {
		joins++;
		errno = join_error;
		if (join_error)
			return -1;
	}
	leaves += level == SOL_NETLINK && name == NETLINK_DROP_MEMBERSHIP;
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* A message about a link: `type`, its name behind another attribute, its flags and index, and what
 * it is in, if that is not 0. */
static size_t link_whole(uint8_t *at, uint16_t type, const char *name, unsigned int flags,
			 uint8_t family, int index, uint32_t master)
{
	struct nlmsghdr h = { .nlmsg_type = type };
	struct ifinfomsg ifi = { .ifi_family = family, .ifi_flags = flags, .ifi_index = index };
	struct rtattr mtu = { .rta_len = 8, .rta_type = IFLA_MTU },
		      a = { .rta_len = (unsigned short)(4 + strlen(name) + 1),
			    .rta_type = IFLA_IFNAME };
	size_t n = sizeof(h);

	memcpy(at + n, &ifi, sizeof(ifi));
	n += sizeof(ifi);
	memcpy(at + n, &mtu, 4);
	n += 8;
	memcpy(at + n, &a, 4);
	memcpy(at + n + 4, name, strlen(name) + 1);
	n += NLMSG_ALIGN(a.rta_len);
	if (master) {
		a = (struct rtattr){ .rta_len = 8, .rta_type = IFLA_MASTER };
		memcpy(at + n, &a, 4);
		memcpy(at + n + 4, &master, 4);
		n += 8;
	}
	h.nlmsg_len = (uint32_t)n;
	memcpy(at, &h, sizeof(h));
	return n;
}

static size_t link_message(uint8_t *at, uint16_t type, const char *name, unsigned int flags,
			   uint8_t family)
{
	return link_whole(at, type, name, flags, family, 0, 0);
}

static void tell(struct circuits *c, uint16_t type, const char *name, unsigned int flags)
{
	uint8_t buf[256] = { 0 };

	assert_true(circuits_input(c, buf, link_message(buf, type, name, flags, AF_UNSPEC)));
}

/* The same of one with an index, and with a bridge or none. */
static void tell_in(struct circuits *c, uint16_t type, int index, const char *name, uint32_t master)
{
	uint8_t buf[256] = { 0 };

	assert_true(circuits_input(c, buf,
				   link_whole(buf, type, name, IFF_UP, AF_UNSPEC, index, master)));
}

/* What is known of the interface that is wanted by this name: its own, and its bridge's. */
static void is_in(const struct circuits *c, const char *wanted, const char *name,
		  const char *master)
{
	struct circuit_link l;

	assert_true(circuits_link(c, wanted, &l));
	assert_string_equal(l.name, name);
	assert_string_equal(l.master, master);
}

static void unknown(const struct circuits *c, const char *wanted)
{
	struct circuit_link l;

	assert_false(circuits_link(c, wanted, &l));
}

static void expect(struct circuits *c, uint64_t key, bool up)
{
	uint64_t got;
	bool is;

	assert_true(circuits_event(c, &got, &is));
	assert_int_equal(got, key);
	assert_int_equal(is, up);
}

static void quiet(struct circuits *c)
{
	uint64_t key;
	bool up;

	assert_false(circuits_event(c, &key, &up));
}

/* No such interface is down, as far as the kernel answers. */
static void nothing_there(struct circuits *c, uint64_t key)
{
	if (circuits_fd(c) >= 0)
		expect(c, key, false);
	else
		expect(c, key, true);
	quiet(c);
}

static void test_own_and_others(void **state)
{
	struct circuits *c = circuits_new(hash_key);

	assert_non_null(c);
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	nothing_there(c, 1);
	assert_int_equal(circuits_put(c, 2, "adit-no-such2", false), 0);
	nothing_there(c, 2);
	assert_false(circuits_missing(c, 1)); /* its plane knows of it */
	assert_int_equal(circuits_missing(c, 2), circuits_fd(c) >= 0);
	/* its own interface: it is enough that somebody has set it up */
	tell(c, RTM_NEWLINK, "adit-no-such1", IFF_UP);
	expect(c, 1, true);
	quiet(c);
	/* another one has to run */
	tell(c, RTM_NEWLINK, "adit-no-such2", IFF_UP | IFF_RUNNING);
	expect(c, 2, true);
	tell(c, RTM_NEWLINK, "adit-no-such2", IFF_UP);
	expect(c, 2, false);
	assert_false(circuits_missing(c, 2));
	/* it is down still, but for another reason */
	tell(c, RTM_DELLINK, "adit-no-such2", IFF_UP);
	expect(c, 2, false);
	assert_true(circuits_missing(c, 2));
	tell(c, RTM_NEWLINK, "adit-no-such2", IFF_UP);
	expect(c, 2, false);
	assert_false(circuits_missing(c, 2));
	/* down and up before anybody looks is nothing to tell */
	tell(c, RTM_NEWLINK, "adit-no-such1", 0);
	tell(c, RTM_NEWLINK, "adit-no-such1", IFF_UP);
	quiet(c);
	tell(c, RTM_DELLINK, "adit-no-such1", IFF_UP);
	expect(c, 1, false);
	tell(c, RTM_NEWLINK, "adit-no-such3", IFF_UP | IFF_RUNNING);
	quiet(c);
	circuits_drop(c, 2);
	circuits_drop(c, 2);
	tell(c, RTM_NEWLINK, "adit-no-such2", IFF_UP | IFF_RUNNING);
	quiet(c);
	circuits_free(c);
}

static void test_one_interface_of_many(void **state)
{
	struct circuits *c = circuits_new(hash_key);
	uint64_t key, sum = 0;
	bool up;

	for (uint64_t i = 1; i <= 1000; i++) {
		assert_int_equal(circuits_put(c, i, "adit-no-such1", false), 0);
		while (circuits_event(c, &key, &up))
			;
	}
	tell(c, RTM_NEWLINK, "adit-no-such1", IFF_UP | IFF_RUNNING);
	while (circuits_event(c, &key, &up)) {
		assert_true(up);
		sum += key;
	}
	assert_int_equal(sum, circuits_fd(c) >= 0 ? 500500 : 0);
	/* put again: told again */
	assert_int_equal(circuits_put(c, 7, "adit-no-such1", false), 0);
	assert_true(circuits_event(c, &key, &up));
	assert_int_equal(key, 7);
	circuits_free(c);
}

static void test_damaged(void **state)
{
	struct circuits *c = circuits_new(hash_key);
	uint8_t buf[600] = { 0 };
	size_t n = link_message(buf, RTM_NEWLINK, "adit-no-such1", IFF_UP, AF_UNSPEC);
	uint64_t key;
	bool up;

	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	nothing_there(c, 1);
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc(cut + 1);

		memcpy(exact, buf, cut);
		assert_int_equal(circuits_input(c, exact, cut), cut == 0);
		free(exact);
	}
	for (size_t at = 0; at < n * 256; at++) {
		uint8_t bent[600];

		memcpy(bent, buf, n);
		bent[at / 256] = (uint8_t)at;
		circuits_input(c, bent, n);
		while (circuits_event(c, &key, &up))
			;
	}
	/* a bridge's own message about its port says nothing of the interface */
	tell(c, RTM_NEWLINK, "adit-no-such1", IFF_UP);
	while (circuits_event(c, &key, &up))
		;
	n = link_message(buf, RTM_DELLINK, "adit-no-such1", 0, AF_BRIDGE);
	assert_true(circuits_input(c, buf, n));
	quiet(c);
	/* several in one */
	n = link_message(buf, RTM_NEWLINK, "x", 0, AF_UNSPEC);
	n += link_message(buf + n, RTM_DELLINK, "adit-no-such1", 0, AF_UNSPEC);
	assert_true(circuits_input(c, buf, n));
	expect(c, 1, false);
	circuits_free(c);
}

/* While an interface is being made nothing is told of it; then what it has become, without a
 * question: the kernel, which has no such interface, would say that it is down. */
static void test_expected(void **state)
{
	struct circuits *c = circuits_new(hash_key);

	assert_non_null(c);
	assert_int_equal(circuits_expect(c, 1, "adit-no-such1"), 0);
	quiet(c);
	tell(c, RTM_NEWLINK, "adit-no-such1", 0);
	quiet(c);
	tell(c, RTM_NEWLINK, "adit-no-such1", IFF_UP);
	assert_int_equal(circuits_expect(c, 1, "adit-no-such1"), 0); /* once more */
	quiet(c);
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	expect(c, 1, true);
	quiet(c);
	tell(c, RTM_NEWLINK, "adit-no-such1", 0);
	expect(c, 1, false);
	/* put again it is as without */
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	nothing_there(c, 1);
	/* nothing was heard of it, or it has become another one */
	assert_int_equal(circuits_expect(c, 2, "adit-no-such2"), 0);
	assert_int_equal(circuits_put(c, 2, "adit-no-such2", true), 0);
	nothing_there(c, 2);
	assert_int_equal(circuits_expect(c, 3, "adit-no-such3"), 0);
	tell(c, RTM_NEWLINK, "adit-no-such3", IFF_UP);
	assert_int_equal(circuits_put(c, 3, "adit-no-such4", true), 0);
	nothing_there(c, 3);
	circuits_expect(c, 4, "adit-no-such4");
	circuits_drop(c, 4);
	tell(c, RTM_NEWLINK, "adit-no-such4", IFF_UP);
	expect(c, 3, true);
	quiet(c);
	circuits_free(c);
}

/* More circuits than answers fit into the socket: each is told. All asked
 * for at once the answers would be lost, and asked for again without an end. */
static void test_more_than_the_socket_holds(void **state)
{
	enum { MANY = 3000 };
	struct circuits *c = circuits_new(hash_key);
	struct pollfd fd = { .events = POLLIN };
	char name[DP_IFNAME];
	size_t told[MANY + 1] = { 0 }, n = 0;
	uint64_t key;
	bool up;

	assert_non_null(c);
	fd.fd = circuits_fd(c);
	for (unsigned int i = 1; i <= MANY; i++) {
		snprintf(name, sizeof(name), "adit-none%u", i);
		assert_int_equal(circuits_put(c, i, name, true), 0);
	}
	while (n < MANY) {
		if (!circuits_event(c, &key, &up)) {
			assert_int_equal(poll(&fd, 1, 60000), 1);
			continue;
		}
		assert_in_range(key, 1, MANY);
		n += told[key]++ == 0;
	}
	circuits_free(c);
}

/* The kernel says a lot of interfaces: only while there is somebody to hear it. */
static void test_listens_while_there_are_any(void **state)
{
	struct circuits *c;

	(void)state;
	joins = leaves = 0;
	c = circuits_new(hash_key);
	assert_non_null(c);
	if (circuits_fd(c) < 0)
		skip();
	quiet(c);
	assert_int_equal(joins, 0);
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	assert_int_equal(circuits_expect(c, 2, "adit-no-such2"), 0);
	assert_int_equal(joins, 1);
	circuits_drop(c, 1);
	assert_int_equal(leaves, 0);
	circuits_drop(c, 2);
	assert_int_equal(leaves, 1);
	assert_int_equal(circuits_deaf(c), 0);
	circuits_free(c);
	assert_int_equal(joins, 1);
}

/* That it cannot be listened to is told once; a circuit has the state it was found in. */
static void test_cannot_listen(void **state)
{
	struct circuits *c;

	(void)state;
	joins = 0;
	c = circuits_new(hash_key);
	assert_non_null(c);
	if (circuits_fd(c) < 0)
		skip();
	join_error = ENOMEM;
	assert_int_equal(circuits_deaf(c), 0); /* nobody wants it */
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	assert_int_equal(joins, 1);
	assert_int_equal(circuits_deaf(c), -ENOMEM);
	assert_int_equal(circuits_deaf(c), 0);
	nothing_there(c, 1);
	assert_int_equal(circuits_put(c, 2, "lo", true), 0);
	assert_int_equal(joins, 2); /* the next one tries again */
	assert_int_equal(circuits_deaf(c), 0);
	join_error = 0;
	assert_int_equal(circuits_put(c, 3, "adit-no-such3", true), 0);
	assert_int_equal(joins, 3);
	circuits_drop(c, 1);
	circuits_drop(c, 2);
	circuits_drop(c, 3);
	join_error = EPERM; /* it worked meanwhile */
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	assert_int_equal(circuits_deaf(c), -EPERM);
	join_error = 0;
	circuits_free(c);
}

enum { BR0 = 0x7fff0001, BR1, BR2 }; /* indexes that no interface here has */

/* The bridge of an interface is known from what the kernel says by itself: whoever looks, however
 * often, asks for nothing. */
static void test_looking_asks_nothing(void **state)
{
	enum { MANY = 1000 };
	struct circuits *c = circuits_new(hash_key);
	char name[DP_IFNAME];

	(void)state;
	assert_non_null(c);
	if (circuits_fd(c) < 0)
		skip();
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "adit-none%d", i);
		assert_int_equal(circuits_watch(c, name), 0);
		unknown(c, name);
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "adit-none%d", i);
		tell_in(c, RTM_NEWLINK, BR0 + 100 + i, name, BR0);
	}
	quiet(c); /* asks for the bridge, which was not told of yet */
	tell_in(c, RTM_NEWLINK, BR0, "br0", 0);
	questions = 0;
	for (int i = 0; i < 10 * MANY; i++) {
		snprintf(name, sizeof(name), "adit-none%d", i % MANY);
		is_in(c, name, name, "br0");
		quiet(c);
	}
	assert_int_equal(questions, 0);
	circuits_free(c);
}

/* What is there already, as after a restart, is asked for once, and so is its bridge. */
static void test_there_before(void **state)
{
	struct circuits *c = circuits_new(hash_key);

	(void)state;
	assert_non_null(c);
	if (circuits_fd(c) < 0)
		skip();
	questions = 0;
	assert_int_equal(circuits_watch(c, "lo"), 0);
	assert_int_equal(questions, 1);
	quiet(c);
	is_in(c, "lo", "lo", "");
	/* one more who wants it, and one less */
	assert_int_equal(circuits_watch(c, "lo"), 0);
	circuits_unwatch(c, "lo");
	is_in(c, "lo", "lo", "");
	assert_int_equal(circuits_put(c, 1, "lo", true), 0);
	assert_int_equal(questions, 1);
	circuits_unwatch(c, "lo");
	is_in(c, "lo", "lo", "");
	leaves = 0;
	circuits_drop(c, 1);
	assert_int_equal(leaves, 1);
	unknown(c, "lo");
	circuits_free(c);
}

/* Who could not watch for want of memory stops watching all the same: the interface stays the
 * circuit that it is. */
static void test_unwatched_that_was_not_watched(void **state)
{
	struct circuits *c = circuits_new(hash_key);

	(void)state;
	assert_non_null(c);
	if (circuits_fd(c) < 0)
		skip();
	failmalloc_arm(1);
	assert_int_equal(circuits_watch(c, "adit-no-such1"), -ENOMEM);
	assert_true(failmalloc_disarm());
	circuits_unwatch(c, "adit-no-such1"); /* there is nothing of this name */
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	nothing_there(c, 1);
	circuits_unwatch(c, "adit-no-such1");
	tell(c, RTM_NEWLINK, "adit-no-such1", IFF_UP);
	expect(c, 1, true);
	is_in(c, "adit-no-such1", "adit-no-such1", "");
	/* a watch goes on without the circuit, and ends once */
	assert_int_equal(circuits_watch(c, "adit-no-such1"), 0);
	circuits_drop(c, 1);
	is_in(c, "adit-no-such1", "adit-no-such1", "");
	circuits_unwatch(c, "adit-no-such1");
	unknown(c, "adit-no-such1");
	circuits_free(c);
}

static void test_bridges_come_and_go(void **state)
{
	struct circuits *c = circuits_new(hash_key);

	(void)state;
	assert_non_null(c);
	if (circuits_fd(c) < 0)
		skip();
	assert_int_equal(circuits_watch(c, "adit-no-such1"), 0);
	assert_int_equal(circuits_watch(c, "adit-no-such2"), 0);
	unknown(c, "adit-no-such1");
	tell_in(c, RTM_NEWLINK, BR0 + 10, "adit-no-such1", 0);
	is_in(c, "adit-no-such1", "adit-no-such1", "");
	unknown(c, "adit-no-such2");
	tell_in(c, RTM_NEWLINK, BR0 + 10, "adit-no-such1", BR0);
	tell_in(c, RTM_NEWLINK, BR0 + 11, "adit-no-such2", BR0);
	unknown(c, "adit-no-such1"); /* in one without a name yet */
	tell_in(c, RTM_NEWLINK, BR0, "br0", 0);
	is_in(c, "adit-no-such1", "adit-no-such1", "br0");
	/* the bridge gets another name */
	tell_in(c, RTM_NEWLINK, BR0, "lan", 0);
	is_in(c, "adit-no-such1", "adit-no-such1", "lan");
	is_in(c, "adit-no-such2", "adit-no-such2", "lan");
	/* one of them is moved */
	tell_in(c, RTM_NEWLINK, BR0 + 10, "adit-no-such1", BR1);
	tell_in(c, RTM_NEWLINK, BR1, "br1", 0);
	is_in(c, "adit-no-such1", "adit-no-such1", "br1");
	is_in(c, "adit-no-such2", "adit-no-such2", "lan");
	/* deleted, and made again under the same name */
	tell_in(c, RTM_NEWLINK, BR0 + 11, "adit-no-such2", 0);
	tell_in(c, RTM_DELLINK, BR0, "lan", 0);
	is_in(c, "adit-no-such2", "adit-no-such2", "");
	tell_in(c, RTM_NEWLINK, BR2, "lan", 0);
	tell_in(c, RTM_NEWLINK, BR0 + 11, "adit-no-such2", BR2);
	tell_in(c, RTM_NEWLINK, BR2, "lan", 0);
	is_in(c, "adit-no-such2", "adit-no-such2", "lan");
	tell_in(c, RTM_DELLINK, BR0 + 10, "adit-no-such1", 0);
	unknown(c, "adit-no-such1");
	circuits_free(c);
}

/* A pseudowire's own interface is the same under another name, and its circuit is not down for
 * that. The circuit of another interface is what has the name. */
static void test_renamed(void **state)
{
	struct circuits *c = circuits_new(hash_key);

	(void)state;
	assert_non_null(c);
	if (circuits_fd(c) < 0)
		skip();
	assert_int_equal(circuits_put(c, 1, "adit-no-such1", true), 0);
	nothing_there(c, 1);
	assert_int_equal(circuits_put(c, 2, "adit-no-such2", false), 0);
	nothing_there(c, 2);
	tell_in(c, RTM_NEWLINK, BR0 + 10, "adit-no-such1", 0);
	expect(c, 1, true);
	tell_in(c, RTM_NEWLINK, BR0 + 10, "other", 0);
	quiet(c);
	is_in(c, "adit-no-such1", "other", "");
	tell_in(c, RTM_NEWLINK, BR0 + 11, "adit-no-such1", 0); /* not ours */
	is_in(c, "adit-no-such1", "other", "");
	tell_in(c, RTM_DELLINK, BR0 + 10, "other", 0);
	expect(c, 1, false);
	unknown(c, "adit-no-such1");
	/* one that took a name away, and one that gets it */
	tell_in(c, RTM_NEWLINK, BR0 + 12, "adit-no-such1", 0);
	expect(c, 1, true);
	tell_in(c, RTM_NEWLINK, BR0 + 12, "adit-no-such1", 0);
	quiet(c);
	tell(c, RTM_NEWLINK, "adit-no-such2", IFF_UP | IFF_RUNNING);
	expect(c, 2, true);
	tell_in(c, RTM_NEWLINK, BR0 + 13, "adit-no-such2", 0);
	expect(c, 2, false); /* it does not run */
	tell_in(c, RTM_NEWLINK, BR0 + 13, "other", 0);
	expect(c, 2, false); /* and now it is not there */
	assert_true(circuits_missing(c, 2));
	quiet(c);
	unknown(c, "adit-no-such2");
	circuits_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_and_others),
		cmocka_unit_test(test_one_interface_of_many),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_expected),
		cmocka_unit_test(test_more_than_the_socket_holds),
		cmocka_unit_test(test_listens_while_there_are_any),
		cmocka_unit_test(test_cannot_listen),
		cmocka_unit_test(test_looking_asks_nothing),
		cmocka_unit_test(test_there_before),
		cmocka_unit_test(test_unwatched_that_was_not_watched),
		cmocka_unit_test(test_bridges_come_and_go),
		cmocka_unit_test(test_renamed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
