/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: clients of the control socket, around a daemon of paper (tests/unit/daemon/paper.c).
 *
 * drives: src/daemon/control.c src/daemon/control_call.c src/daemon/control_msg.c src/daemon/show.c
 *
 * Input: what a client sends. An octet 0x01 instead lets the daemon work and changes the state of
 * the dialled session, 0x02 ends a reload. Besides what the sanitizers find it is an error when an
 * answer is no JSON, or when a client is left over.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dp/remote.h"
#include "paper.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const states[] = { "resolving", "connecting", "up", "waiting", "idle" };

/* All answers there are. */
static void check_answers(int fd)
{
	static char buf[1 << 20];
	size_t n = 0;
	ssize_t got;

	for (int turn = 0; turn < 64; turn++) {
		got = recv(fd, buf + n, sizeof(buf) - n, MSG_DONTWAIT);
		if (got <= 0)
			break;
		n += (size_t)got;
		paper_pump();
		if (n == sizeof(buf))
			break;
	}
	for (size_t at = 0; at < n;) {
		char *end = memchr(buf + at, '\0', n - at);
		json_t *root;

		if (!end)
			break;
		root = json_loads(buf + at, 0, NULL);
		CHECK(json_is_object(root));
		json_decref(root);
		at = (size_t)(end - buf) + 1;
	}
}

/* `state`: of this input, so that it does the same again. */
static void special(uint8_t octet, size_t *state)
{
	if (octet == 1) {
		paper.dial_state = states[(*state)++ % 5];
		paper.dial_key = *state % 4;
		paper.d.now.us += US_S;
		trace_bytes(paper.d.trace, TRACE_DAEMON_NOTICE, paper.d.now, 0, 0, 0, "x", 1);
		dp_remote_flush(paper.d.remote);
		run_drain(&paper.d);
	} else if (paper.reload_fn) {
		reload_done_fn fn = paper.reload_fn;

		paper.reload_fn = NULL;
		fn(&paper.d, paper.reload_who, (*state)++ % 2, "changed\n");
		run_drain(&paper.d);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;
	size_t from = 0, state = 0;

	if (!paper_begin())
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(at.sun_path, paper_path());
	CHECK(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	paper_pump();
	for (size_t i = 0; i <= size; i++) {
		if (i < size && data[i] != 1 && data[i] != 2)
			continue;
		if (i > from)
			send(fd, data + from, i - from, MSG_NOSIGNAL | MSG_DONTWAIT);
		paper_pump();
		CHECK(control_deadline(paper.d.control).us > 0);
		if (i < size)
			special(data[i], &state);
		from = i + 1;
	}
	check_answers(fd);
	close(fd);
	paper_pump();
	paper_end();
	CHECK(paper_watching() == 0);
	return 0;
}
