/* SPDX-License-Identifier: MIT
 *
 * For the figures of pseudowires in the kernel's plane (bench/kernel_wires.py):
 *
 *   wires far LOCAL:PORT REMOTE:PORT COUNT
 *       a peer without a data plane: opens a control connection of L2TPv3 (RFC 3931), then asks for
 *       the Ethernet pseudowires "w0", "w1" ... of the other side. Says when all are up, and goes
 * on until the input ends wires bare COUNT what the kernel is asked for in any case, in the
 * namespace it is called in: one tunnel, and for each pseudowire a session with its interface,
 * which is given its MTU and is up. Prints the seconds of all of them
 */
#include <adit/l2tp3.h>

#include "base/addr.h"
#include "dp/kernel_sys.h"
#include "dp/nl.h"
#include "dp/nl_l2tp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW 64 /* requests at a time */

struct far {
	struct l2tp3 *l;
	adit_handle conn;
	unsigned int count, asked, up;
	int fd;
};

static _Noreturn void die(const char *what, int err)
{
	fprintf(stderr, "wires: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(1);
}

static struct mono now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct mono){ (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

static struct addr address(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a) < 0)
		die(text, EINVAL);
	return a;
}

static int udp(const struct addr *local, const struct addr *remote)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(local, &ss);
	int fd = socket(local->family, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, n) < 0)
		die("bind", errno);
	n = addr_to_sockaddr(remote, &ss);
	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		die("connect", errno);
	return fd;
}

/* ---- far ---- */

static void conn_open(struct far *f, const struct addr *local, const struct addr *remote)
{
	struct l2tp3_params params = { .host_name = "far",
				       .digest = L2TP3_AUTH_NONE,
				       .receive_window = 64,
				       .retry_max = 100,
				       .setup_us = 3600 * US_S };
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_OPEN };
	int err = 0;

	cmd.profile = l2tp3_profile_new(&params, &err);
	if (!cmd.profile)
		die("profile", err);
	cmd.path.local = *local;
	cmd.path.remote = *remote;
	err = l2tp3_do(f->l, now(), &cmd);
	if (err)
		die("open", EIO);
	f->conn = cmd.ret_handle;
	l2tp3_profile_unref(cmd.profile);
}

static void ask(struct far *f)
{
	while (f->asked < f->count && f->asked - f->up < WINDOW) {
		struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_OPEN, .conn = f->conn };
		char name[16];

		cmd.pw_type = L2TP3_PW_ETHERNET;
		cmd.remote_end_id_len = (uint8_t)snprintf(name, sizeof(name), "w%u", f->asked++);
		cmd.remote_end_id = name;
		cmd.circuit.cookie_len = 8;
		cmd.circuit.sublayer = L2TP3_SUBLAYER_DEFAULT;
		cmd.circuit.status = L2TP3_STATUS_ACTIVE;
		if (l2tp3_do(f->l, now(), &cmd))
			die("session", EIO);
	}
}

static void events(struct far *f)
{
	struct l2tp3_event ev;

	while (l2tp3_event(f->l, &ev)) {
		if (ev.kind == L2TP3_EV_CONN_DOWN || ev.kind == L2TP3_EV_SESSION_DOWN) {
			fprintf(stderr, "wires: the peer said: %s\n", ev.text);
			exit(1);
		}
		if (ev.kind == L2TP3_EV_SESSION_UP && ++f->up == f->count) {
			printf("up\n");
			fflush(stdout);
		}
		if (ev.kind == L2TP3_EV_CONN_UP || ev.kind == L2TP3_EV_SESSION_UP)
			ask(f);
	}
}

static void pump(struct far *f)
{
	uint8_t buf[L2TP_CONTROL_MAX];
	struct path path;
	size_t n;

	l2tp3_expire(f->l, now());
	events(f);
	while ((n = l2tp3_output(f->l, now(), buf, sizeof(buf), &path)))
		if (send(f->fd, buf, n, 0) < 0 && errno != ECONNREFUSED)
			die("send", errno);
}

static void take(struct far *f, const struct path *path)
{
	struct l2tp3_frame frame;
	uint8_t buf[65536];
	ssize_t n;

	while ((n = recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0)
		l2tp3_input(f->l, now(), path, buf, (size_t)n, &frame);
}

static int far(char **arg)
{
	struct l2tp3_config config = { .seed = { 1 } };
	struct far f = { .l = l2tp3_new(&config), .count = (unsigned int)atoi(arg[2]) };
	struct path path = { .local = address(arg[0]), .remote = address(arg[1]) };
	struct pollfd fds[2] = { { .fd = 0, .events = POLLIN } };

	if (!f.l)
		die("engine", ENOMEM);
	f.fd = udp(&path.local, &path.remote);
	fds[1] = (struct pollfd){ .fd = f.fd, .events = POLLIN };
	conn_open(&f, &path.local, &path.remote);
	while (!fds[0].revents) {
		pump(&f);
		if (poll(fds, 2, 20) < 0)
			die("poll", errno);
		take(&f, &path);
	}
	l2tp3_free(f.l);
	close(f.fd);
	return 0;
}

/* ---- bare ---- */

static int bare(unsigned int count)
{
	struct addr local = address("127.0.0.1:5001"), remote = address("127.0.0.1:5002");
	struct kernel_tunnel t = { .local_id = 1, .remote_id = 2, .version = 3, .managed = true };
	struct dp_row r = { .ends = DP_L2TP_ETH,
			    .version = 3,
			    .local_tunnel = 1,
			    .remote_tunnel = 2,
			    .l2spec = DP_L2SPEC_DEFAULT,
			    .cookie_in_len = 8,
			    .cookie_out_len = 8 };
	int fd = udp(&local, &remote), err;
	struct nlm_l2tp l;
	struct mono begun;
	struct nlm rt;

	t.path.local = local;
	t.path.remote = remote;
	if ((err = nlm_l2tp_open(&l, &kernel_sys_real)) < 0 || (err = nlm_open(&rt)) < 0)
		die("netlink", err);
	if ((err = nlm_l2tp_tunnel_create(&l, &t, fd)) < 0)
		die("tunnel", err);
	begun = now();
	for (unsigned int i = 0; i < count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "w%u", i);
		r.local_session = r.remote_session = 100 + i;
		if ((err = nlm_l2tp_session_create(&l, &r, name)) < 0)
			die("session", err);
		err = nlm_link_set(&rt, nlm_link_index(&rt, name), 1442, -1, true);
		if (err < 0)
			die("interface", err);
	}
	printf("%.6f\n", (double)(now().us - begun.us) / US_S);
	return 0; /* the rest goes with the socket and the namespace */
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "far") == 0)
		return far(argv + 2);
	if (argc == 3 && strcmp(argv[1], "bare") == 0)
		return bare((unsigned int)atoi(argv[2]));
	fprintf(stderr, "usage: wires far LOCAL:PORT REMOTE:PORT COUNT | bare COUNT\n");
	return 2;
}
