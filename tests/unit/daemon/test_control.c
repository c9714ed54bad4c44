/* SPDX-License-Identifier: MIT
 *
 * The control socket with hostile, slow and ordinary clients, around a daemon made of paper: the
 * engine's answers are invented here, the sockets are real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "dp/remote.h"
#include "paper.h"

/* ---- the test's side ---- */

static int client_new(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(at.sun_path, paper_path());
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void say_bytes(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (done < 0 && errno == EAGAIN) {
			paper_pump();
			continue;
		}
		if (done < 0)
			return; /* the daemon has closed it */
		p += done;
		n -= (size_t)done;
	}
	paper_pump();
}

static void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text) + 1);
}

/* The next message, NULL at the end of the connection, "" when there is none now. */
static const char *hear(int fd, char *buf, size_t cap)
{
	size_t n = 0, idle = 0;

	while (n < cap) {
		ssize_t got = recv(fd, buf + n, cap - n, MSG_DONTWAIT | MSG_PEEK);
		char *end = got > 0 ? memchr(buf + n, '\0', (size_t)got) : NULL;

		if (got > 0) {
			/* take what belongs to this message and leave the next one */
			got = recv(fd, buf + n, end ? (size_t)(end - buf) - n + 1 : (size_t)got, 0);
			n += (size_t)got;
			if (end)
				return buf;
			continue;
		}
		if (got == 0 || errno != EAGAIN)
			return NULL;
		if (idle++ && n == 0) {
			buf[0] = '\0';
			return buf;
		}
		paper_pump();
	}
	fail_msg("a message is longer than %zu octets", cap);
	return NULL;
}

static void expect(int fd, const char *part)
{
	static char buf[1 << 18];
	const char *text = hear(fd, buf, sizeof(buf));

	if (!text || !strstr(text, part))
		fail_msg("\"%s\" has no \"%s\"", text ? text : "(end)", part);
	if (*text) {
		json_t *root = json_loads(text, 0, NULL);

		assert_non_null(root);
		json_decref(root);
	}
}

static void expect_end(int fd)
{
	char buf[4096];

	assert_null(hear(fd, buf, sizeof(buf)));
	close(fd);
}

/* ---- ordinary clients ---- */

static void test_status(void **state)
{
	int fd = client_new();

	say(fd, "{\"method\":\"org.adit.Status\"}");
	expect(fd, "\"sessions\":3000");
	say(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");
	expect(fd, "\"org.adit\"");
	say(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
		"{\"interface\":\"org.adit\"}}");
	expect(fd, "method ShowSessions");
	say(fd, "{\"method\":\"org.adit.ShowConfig\"}");
	expect(fd, "(hidden)");
	close(fd);
	paper_pump();
	assert_int_equal(paper_watching(), 0);
}

static void test_lists(void **state)
{
	int fd = client_new();

	say(fd, "{\"method\":\"org.adit.ShowSessions\"}");
	expect(fd, "org.varlink.service.ExpectedMore");
	say(fd, "{\"method\":\"org.adit.ShowSessions\",\"more\":true}");
	/* a peer's text is escaped */
	expect(fd, "\"user\":\"al\\\\x1b[31mice\\\\xff\"");
	expect(fd, "\"call\":\"incoming\"");
	/* what a LAC has told of the caller; not the response, which may be the password */
	expect(fd, "\"call\":\"outgoing\",\"tx_speed\":64000,\"rx_speed\":0,"
		   "\"accm\":\"000a0000/00000000\",\"line_errors\":{\"crc\":0,\"framing\":0,"
		   "\"hardware_overrun\":0,\"buffer_overrun\":0,\"time_out\":0,"
		   "\"alignment\":7},\"proxy\":{\"lcp_initial\":\"010405dc\","
		   "\"lcp_sent\":\"ff\",\"lcp_received\":\"\",\"auth_type\":2,"
		   "\"auth_name\":\"626f62\",\"auth_challenge\":\"abcd\",\"auth_id\":5}");
	for (int i = 3; i < SESSIONS; i++)
		expect(fd, "\"continues\":true");
	expect(fd, "{\"parameters\":{\"count\":3000}}");
	say(fd, "{\"method\":\"org.adit.ShowTunnels\",\"more\":true}");
	expect(fd, "\"state\":\"up\"");
	expect(fd, "\"state\":\"closing\"");
	expect(fd, "\"quirks\":\"lax-length, no-hello\"");
	expect(fd, "\"count\":3");
	say(fd, "{\"method\":\"org.adit.ShowPools\",\"more\":true}");
	expect(fd, "\"size4\":254");
	expect(fd, "\"size4\":254");
	expect(fd, "\"count\":2");
	say(fd, "{\"method\":\"org.adit.ShowErrors\",\"more\":true}");
	expect(fd, "\"cause\":\"loop\"");
	expect(fd, "\"cause\":\"loop\"");
	expect(fd, "\"count\":2");
	say(fd, "{\"method\":\"org.adit.ShowPeers\",\"more\":true}");
	expect(fd, "\"name\":\"isp\"");
	expect(fd, "\"count\":1");
	close(fd);
	paper_pump();
}

static void test_planes(void **state)
{
	int fd = client_new();

	say(fd, "{\"method\":\"org.adit.Doctor\"}");
	expect(fd, "org.varlink.service.ExpectedMore");
	/* the answer waits for the keeper */
	say(fd, "{\"method\":\"org.adit.Doctor\",\"more\":true}");
	dp_remote_flush(paper.d.remote);
	run_drain(&paper.d);
	expect(fd, "\"name\":\"dev-ppp\",\"ok\":true");
	expect(fd, "\"ok\":false,\"text\":\"modprobe ppp_mppe\"");
	expect(fd, "{\"parameters\":{\"count\":2}}");
	say(fd, "{\"method\":\"org.adit.ShowPseudowires\",\"more\":true}");
	expect(fd, "\"name\":\"w\",\"state\":\"up\",\"interface\":\"w0\"");
	expect(fd, "\"name\":\"x\",\"state\":");
	expect(fd, "\"count\":2");
	say(fd, "{\"method\":\"org.adit.ShowTunnels\",\"more\":true}");
	expect(fd, "\"plane\":\"user\",\"plane_why\":\"because\"");
	close(fd);
	paper_pump();
}

static void test_connect(void **state)
{
	int fd = client_new();

	paper.dial_state = "resolving";
	say(fd,
	    "{\"method\":\"org.adit.Connect\",\"parameters\":{\"name\":\"vpn\"},\"more\":true}");
	assert_int_equal(paper.last, ACCESS_CMD_CONNECT);
	expect(fd, "\"state\":\"resolving\"");
	run_drain(&paper.d);
	expect(fd, ""); /* nothing new */
	paper.dial_state = "connecting";
	paper.dial_key = 5;
	paper.session_state = "authenticating";
	run_drain(&paper.d);
	expect(fd, "\"session_state\":\"authenticating\"");
	paper.dial_state = "waiting";
	paper.dial_key = 0;
	run_drain(&paper.d);
	expect(fd, "\"cause\":\"auth-failed\"");
	/* up with IPv4 alone: IPv6 is waited for, but not for ever */
	paper.dial_state = "connecting";
	say(fd,
	    "{\"method\":\"org.adit.Connect\",\"parameters\":{\"name\":\"vpn\"},\"more\":true}");
	expect(fd, "\"state\":\"connecting\"");
	paper.dial_state = "up";
	paper.dial_key = 5;
	/* its addresses are known, its routes are not there yet */
	paper.row_busy = true;
	run_drain(&paper.d);
	expect(fd, "");
	assert_int_equal(control_deadline(paper.d.control).us, INT64_MAX);
	paper.row_busy = false;
	run_drain(&paper.d);
	expect(fd, "");
	assert_int_equal(control_deadline(paper.d.control).us, paper.d.now.us + 1500 * US_MS);
	paper.d.now = control_deadline(paper.d.control);
	run_drain(&paper.d);
	expect(fd, "\"our_ip4\":\"10.0.0.1\"");
	assert_int_equal(control_deadline(paper.d.control).us, INT64_MAX);
	paper.dial_key = 0;
	/* without "more": one answer */
	paper.dial_state = "connecting";
	say(fd, "{\"method\":\"org.adit.Connect\",\"parameters\":{\"name\":\"vpn\"}}");
	expect(fd, "\"state\":\"connecting\"");
	say(fd, "{\"method\":\"org.adit.Connect\",\"parameters\":{\"name\":\"vpm\"}}");
	expect(fd, "did you mean \\\"vpn\\\"?");
	say(fd, "{\"method\":\"org.adit.Connect\",\"parameters\":{\"name\":7}}");
	expect(fd, "InvalidParameter");
	say(fd,
	    "{\"method\":\"org.adit.Disconnect\",\"parameters\":{\"name\":\"vpn\"},\"more\":true}");
	expect(fd, "\"state\":\"connecting\"");
	paper.dial_state = "idle";
	run_drain(&paper.d);
	expect(fd, "\"state\":\"idle\"");
	close(fd);
	paper_pump();
}

static void test_call(void **state)
{
	static const char *const answers[] = { "\"session\":\"0000000000000077\"", "NotFound",
					       "limit of sessions", "no tunnel of peer",
					       "places no calls" };
	int fd = client_new();
	char text[200];

	for (int n = 1; n <= 5; n++) {
		snprintf(text, sizeof(text),
			 "{\"method\":\"org.adit.Call\",\"parameters\":{\"peer\":\"isp\","
			 "\"number\":\"%.*s\"}}",
			 n, "12345");
		say(fd, text);
		expect(fd, answers[n - 1]);
	}
	say(fd, "{\"method\":\"org.adit.Call\",\"parameters\":{\"peer\":\"isp\"}}");
	expect(fd, "InvalidParameter");
	say(fd, "{\"method\":\"org.adit.Call\",\"parameters\":{\"number\":\"1\"}}");
	expect(fd, "InvalidParameter");
	close(fd);
	paper_pump();
}

static void test_terminate(void **state)
{
	int fd = client_new();
	size_t before;

	say(fd, "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"session\":"
		"\"0000000000000010\"}}");
	expect(fd, "\"count\":1");
	assert_int_equal(paper.last_key, 16);
	say(fd, "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"user\":\"bob\"}}");
	expect(fd, "\"count\":1500");
	say(fd, "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"user\":\"eve\\u001b\"}}");
	expect(fd, "user \\\"eve\\\\x1b\\\" has no session");
	say(fd, "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"tunnel\":2}}");
	expect(fd, "\"count\":1");
	assert_int_equal(paper.last, ACCESS_CMD_TERMINATE_TUNNEL);
	before = paper.commands;
	say(fd, "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"tunnel\":65538}}");
	expect(fd, "NotFound");
	say(fd, "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"session\":\"zz\"}}");
	expect(fd, "InvalidParameter");
	say(fd, "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"user\":\"a\",\"tunnel\":2}}");
	expect(fd, "InvalidParameter");
	say(fd, "{\"method\":\"org.adit.Terminate\"}");
	expect(fd, "InvalidParameter");
	assert_int_equal(paper.commands, before);
	close(fd);
	paper_pump();
}

static void test_reload(void **state)
{
	int fd = client_new(), other = client_new();

	say(fd, "{\"method\":\"org.adit.Reload\"}");
	assert_non_null(paper.reload_fn);
	say(other, "{\"method\":\"org.adit.Status\"}"); /* nobody waits for it */
	expect(other, "\"pid\"");
	paper.reload_fn(&paper.d, paper.reload_who, true, "log-level: a -> b\n");
	run_drain(&paper.d);
	expect(fd, "\"changes\":\"log-level: a -> b\\n\"");
	say(fd, "{\"method\":\"org.adit.Reload\"}");
	paper.reload_fn(&paper.d, paper.reload_who, false, "adit.conf:3: wrong\n");
	run_drain(&paper.d);
	expect(fd, "\"text\":\"adit.conf:3: wrong\"");
	/* the client leaves before the end */
	say(fd, "{\"method\":\"org.adit.Reload\"}");
	close(fd);
	paper_pump();
	paper.reload_who = NULL;
	say(other,
	    "{\"method\":\"org.adit.CompareConfig\",\"parameters\":{\"config\":\"foo = 1\"}}");
	expect(other, "unknown option");
	say(other, "{\"method\":\"org.adit.CompareConfig\",\"parameters\":{\"config\":\"\"}}");
	expect(other, "session \\\"vpn\\\": removed\\npseudowire \\\"w\\\": removed\\n"
		      "pseudowire \\\"x\\\": removed\\nsession \\\"vpn\\\" is ended\\n");
	close(other);
	paper_pump();
}

static void test_monitor(void **state)
{
	int fd = client_new();

	say(fd, "{\"method\":\"org.adit.Monitor\",\"more\":true,\"parameters\":{\"level\":"
		"\"notice\"}}");
	expect(fd, "");
	trace_bytes(paper.d.trace, TRACE_DAEMON_INFO, paper.d.now, 0, 0, 0, "hidden", 6);
	trace_bytes(paper.d.trace, TRACE_DAEMON_NOTICE, paper.d.now, 0, 0, 0, "shown\n", 6);
	run_drain(&paper.d);
	expect(fd, "\"text\":\"shown\\\\x0a\"");
	expect(fd, "");
	/* far more than the ring holds while nobody reads */
	for (int i = 0; i < 5000; i++)
		trace_bytes(paper.d.trace, TRACE_DAEMON_NOTICE, paper.d.now, 0, 0, 0, "x", 1);
	run_drain(&paper.d);
	expect(fd, "\"lost\":");
	expect(fd, "\"text\":\"x\"");
	close(fd);
	paper_pump();
	say(fd = client_new(), "{\"method\":\"org.adit.Monitor\",\"more\":true,\"parameters\":"
			       "{\"level\":\"loud\"}}");
	expect(fd, "InvalidParameter");
	close(fd);
	paper_pump();
}

/* A request and the end of the writing side at once: its caller still listens. */
static void test_half_closed(void **state)
{
	static const char call[] = "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"session\":"
				   "\"0000000000000010\"}}";
	int fd = client_new();

	assert_int_equal(send(fd, call, sizeof(call), 0), sizeof(call));
	shutdown(fd, SHUT_WR);
	paper_pump();
	expect(fd, "\"count\":1");
	assert_int_equal(paper.last_key, 16);
	expect_end(fd);
}

/* What a client asked for that has hung up since is thrown away, be it that nobody has taken its
 * connection yet, that its request has not been read, or that it waits behind another one. */
static void test_hung_up(void **state)
{
	static const char end[] = "{\"method\":\"org.adit.Terminate\",\"parameters\":{\"session\":"
				  "\"0000000000000010\"}}";
	static const char connect_end[] =
		"{\"method\":\"org.adit.Connect\",\"parameters\":{\"name\":\"vpn\"},\"more\":true}"
		"\0"
		"{\"method\":\"org.adit.Terminate\",\"parameters\":{\"session\":"
		"\"0000000000000010\"}}";
	int fds[40], fd = client_new();
	size_t before;

	paper_pump();
	assert_int_equal(send(fd, end, sizeof(end), 0), sizeof(end));
	close(fd);
	paper_pump();
	assert_int_equal(paper.commands, 0);
	/* those that nobody took before they were given up do not keep others out */
	for (size_t i = 0; i < 40; i++) {
		fds[i] = client_new();
		assert_int_equal(send(fds[i], end, sizeof(end), 0), sizeof(end));
	}
	for (size_t i = 0; i < 40; i++)
		close(fds[i]);
	fd = client_new();
	say(fd, "{\"method\":\"org.adit.Status\"}");
	expect(fd, "\"sessions\":3000");
	assert_int_equal(paper.commands, 0);
	assert_int_equal(paper_watching(), 1);

	paper.dial_state = "resolving";
	say_bytes(fd, connect_end, sizeof(connect_end));
	before = paper.commands;
	close(fd);
	paper_pump();
	paper.dial_state = "idle";
	run_drain(&paper.d);
	assert_int_equal(paper.commands, before);
	assert_int_equal(paper_watching(), 0);
}

static void test_oneness(void **state)
{
	static const char calls[] = "{\"method\":\"org.adit.Status\"}\0"
				    "{\"method\":\"org.adit.ShowPeers\",\"more\":true}\0"
				    "{\"method\":\"org.adit.Nix\"}\0"
				    "{\"method\":\"org.adit.Sta";
	int fd = client_new();

	/* several at once are answered in order, a piece of one waits for its rest */
	say_bytes(fd, calls, sizeof(calls) - 1);
	expect(fd, "\"pid\"");
	expect(fd, "isp");
	expect(fd, "\"count\":1");
	expect(fd, "MethodNotFound");
	expect(fd, "");
	say(fd, "tus\"}");
	expect(fd, "\"pid\"");
	close(fd);
	paper_pump();
}

/* ---- hostile clients ---- */

static void test_garbage(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} all[] = {
		{ "", 1 },
		{ "hello", 6 },
		{ "{", 2 },
		{ "[]", 3 },
		{ "7", 2 },
		{ "{\"method\":7}", 13 },
		{ "{\"method\":\"a\",\"parameters\":[]}", 31 },
		{ "{\"method\":\"a\",\"method\":\"b\"}", 28 },
		{ "{\"method\":\"\xff\xfe\"}", 16 },
		{ "{\"method\":\"a\\u0000b\"}", 22 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int fd = client_new();

		say_bytes(fd, all[i].text, all[i].len);
		expect(fd, "org.adit.BadRequest");
		expect_end(fd);
	}
}

static void test_deep_nesting(void **state)
{
	size_t n = 200000;
	char *text = malloc(n + 1);
	int fd = client_new();

	memset(text, '[', n);
	text[n] = '\0';
	say_bytes(fd, text, n + 1);
	expect(fd, "org.adit.BadRequest");
	expect_end(fd);
	free(text);
}

static void test_endless_request(void **state)
{
	char block[4096];
	int fd = client_new();

	memset(block, ' ', sizeof(block));
	for (size_t sent = 0; sent < 2 * CONTROL_REQUEST_MAX; sent += sizeof(block))
		say_bytes(fd, block, sizeof(block));
	expect(fd, "is longer than 1048576 octets");
	close(fd);
	paper_pump();
	assert_int_equal(paper_watching(), 0);
}

/* Clients that ask for a lot and read nothing cost little and delay nobody. */
static void test_slow_clients(void **state)
{
	int slow[8], quick;

	for (size_t i = 0; i < 8; i++) {
		slow[i] = client_new();
		for (int j = 0; j < 3; j++)
			say(slow[i], "{\"method\":\"org.adit.ShowSessions\",\"more\":true}");
	}
	quick = client_new();
	say(quick, "{\"method\":\"org.adit.Status\"}");
	expect(quick, "\"sessions\":3000");
	/* one of them reads everything after all */
	for (int j = 0; j < 3; j++) {
		for (int i = 0; i < SESSIONS; i++)
			expect(slow[3], "\"continues\":true");
		expect(slow[3], "\"count\":3000");
	}
	for (size_t i = 0; i < 8; i++)
		close(slow[i]);
	close(quick);
	paper_pump();
	assert_int_equal(paper_watching(), 0);
}

static void test_too_many_clients(void **state)
{
	int fds[40];

	for (size_t i = 0; i < 40; i++) {
		fds[i] = client_new();
		paper_pump();
	}
	assert_int_equal(paper_watching(), 32);
	expect(fds[39], "too many control clients");
	say(fds[0], "{\"method\":\"org.adit.Status\"}");
	expect(fds[0], "\"pid\"");
	close(fds[0]);
	paper_pump();
	fds[0] = client_new();
	say(fds[0], "{\"method\":\"org.adit.Status\"}");
	expect(fds[0], "\"pid\"");
	for (size_t i = 0; i < 40; i++)
		close(fds[i]);
	paper_pump();
	assert_int_equal(paper_watching(), 0);
}

/* Clients that ask for nothing do not keep others out; those that wait for something stay. */
static void test_idle_clients_give_way(void **state)
{
	int busy, fresh, fds[31];
	char buf[256];

	busy = client_new();
	say(busy, "{\"method\":\"org.adit.Monitor\",\"more\":true,\"parameters\":{\"level\":"
		  "\"warning\"}}");
	for (size_t i = 0; i < 31; i++) {
		fds[i] = client_new();
		paper_pump();
	}
	assert_int_equal(paper_watching(), 32);
	paper.d.now.us += 2 * US_S;
	say(fds[0], "{\"method\":\"org.adit.Status\"}");
	expect(fds[0], "\"pid\"");
	fresh = client_new();
	say(fresh, "{\"method\":\"org.adit.Status\"}");
	expect(fresh, "\"pid\"");
	assert_int_equal(paper_watching(), 32);
	expect(fds[1], "another client needed the place");
	assert_null(hear(fds[1], buf, sizeof(buf)));
	say(fds[0], "{\"method\":\"org.adit.Status\"}");
	expect(fds[0], "\"pid\"");
	close(busy);
	close(fresh);
	for (size_t i = 0; i < 31; i++)
		close(fds[i]);
	paper_pump();
	assert_int_equal(paper_watching(), 0);
}

/* Random octets, cut at random places; the seed is fixed. */
static void test_noise(void **state)
{
	unsigned int seed = 1;

	for (int round = 0; round < 300; round++) {
		char bytes[512];
		size_t n = (size_t)rand_r(&seed) % sizeof(bytes);
		int fd = client_new();

		for (size_t i = 0; i < n; i++)
			bytes[i] = rand_r(&seed) % 4 ? "{}[]\",:\\\0method"[rand_r(&seed) % 15]
						     : (char)rand_r(&seed);
		say_bytes(fd, bytes, n);
		close(fd);
		paper_pump();
	}
	assert_int_equal(paper_watching(), 0);
}

static int setup(void **state)
{
	assert_true(paper_begin());
	return 0;
}

static int teardown(void **state)
{
	paper_end();
	assert_int_equal(paper_watching(), 0);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status),
		TEST(test_lists),
		TEST(test_connect),
		TEST(test_planes),
		TEST(test_call),
		TEST(test_terminate),
		TEST(test_reload),
		TEST(test_monitor),
		TEST(test_half_closed),
		TEST(test_hung_up),
		TEST(test_oneness),
		TEST(test_garbage),
		TEST(test_deep_nesting),
		TEST(test_endless_request),
		TEST(test_slow_clients),
		TEST(test_too_many_clients),
		TEST(test_idle_clients_give_way),
		TEST(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
