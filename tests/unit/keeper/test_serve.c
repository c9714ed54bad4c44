/* SPDX-License-Identifier: MIT
 *
 * What the keeper hears of an aditd that is gone: the last words count, whatever was left unread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/wire.h"
#include "keeper/child.h"
#include "keeper/proto.h"
#include "keeper/serve.h"

struct fixture {
	struct server s;
	int aditd;
};

static void begin(struct fixture *f)
{
	int pair[2];

	memset(f, 0, sizeof(*f));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	list_init(&f->s.out);
	f->s.pair = pair[0];
	f->aditd = pair[1];
}

static void end(struct fixture *f)
{
	const struct children_config config = { 0 };

	f->s.children = children_new(&config);
	server_end(&f->s);
	children_free(f->s.children);
}

static void say(struct fixture *f, uint8_t type, uint32_t id)
{
	struct keeper_msg m = { .type = type, .id = id };
	uint8_t buf[KEEPER_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));

	keeper_msg_save(&c, &m);
	assert_int_equal(send(f->aditd, buf, c.len, 0), c.len);
}

/* It says that it stops, is answered, says that it is done, and leaves. */
static void test_last_word_behind_an_answer(void **state)
{
	struct fixture f;
	uint8_t buf[KEEPER_MAX];

	for (int reads = 0; reads < 2; reads++) {
		begin(&f);
		say(&f, KEEPER_STOPPING, 1);
		assert_true(server_work(&f.s));
		assert_true(f.s.stops);
		assert_false(f.s.stopped);
		if (reads)
			assert_true(recv(f.aditd, buf, sizeof(buf), 0) > 0);
		say(&f, KEEPER_STOPPED, 2);
		close(f.aditd);
		assert_false(server_work(&f.s));
		assert_true(f.s.stopped);
		end(&f);
	}
}

/* More than one thing that it says and waits for no answer to. */
static void test_last_words_of_one_that_is_gone(void **state)
{
	struct fixture f;

	begin(&f);
	say(&f, KEEPER_STOPPING, 1);
	say(&f, KEEPER_STOPPED, 2);
	close(f.aditd);
	assert_false(server_work(&f.s));
	assert_true(f.s.stops);
	assert_true(f.s.stopped);
	end(&f);
}

/* Answers wait that did not fit into the pair. */
static void test_last_word_behind_answers_that_wait(void **state)
{
	struct fixture f;
	uint32_t id = 0;

	begin(&f);
	while (f.s.out_count == 0) {
		say(&f, KEEPER_STOPPING, ++id);
		assert_true(server_work(&f.s));
	}
	say(&f, KEEPER_STOPPED, ++id);
	assert_true(server_work(&f.s)); /* answers first */
	assert_false(f.s.stopped);
	close(f.aditd);
	assert_false(server_work(&f.s));
	assert_true(f.s.stopped);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_word_behind_an_answer),
		cmocka_unit_test(test_last_words_of_one_that_is_gone),
		cmocka_unit_test(test_last_word_behind_answers_that_wait),
	};

	return cmocka_run_group_tests_name("keeper_serve", tests, NULL, NULL);
}
