/* SPDX-License-Identifier: MIT
 *
 * adit-load: brings many PPP sessions up on an LNS and measures how long that takes. The protocol
 * is lac.c; here are its sockets, one per tunnel, so that every tunnel has a port of its own, and
 * the report. It loads any LNS the same way: datagrams of one length leave together and are taken
 * together (UDP_SEGMENT, UDP_GRO), and the kernel cuts them for whoever does not ask for that.
 *
 * One JSON object on standard output says what happened; the exit status is 0 only when every
 * session came up (and, with --hold, stayed up).
 */
#include "lac.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/train.h"

#define LOAD_BURST 64 /* datagrams taken before the answers leave: the engines keep them */

#ifndef UDP_SEGMENT /* linux 4.18 */
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO /* linux 5.0 */
#define UDP_GRO 104
#endif

/* Room for the one ancillary record a datagram has: the length of the pieces. */
union load_length {
	struct cmsghdr head; /* for its alignment */
	char bytes[CMSG_SPACE(sizeof(int))];
};

struct load {
	struct trains trains;
	uint8_t received[65536];
	unsigned int most; /* datagrams in a train */
	struct lac *lac;
	struct path *paths;
	struct pollfd *polls;
	uint32_t count; /* of sockets */
};

static volatile sig_atomic_t load_stop;

static void load_on_signal(int sig)
{
	(void)sig;
	load_stop = 1;
}

static struct mono load_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

/* What the socket does not take now is lost on the way: the protocols send it again. */
static void load_send_train(struct load *g, const struct train *t)
{
	struct iovec iov[TRAIN_SEGMENTS];
	union load_length length = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = t->count };
	uint16_t at = t->first;

	for (unsigned int i = 0; i < t->count; i++, at = g->trains.packet[at].next)
		iov[i] = (struct iovec){ g->trains.arena + g->trains.packet[at].at, t->len };
	if (t->count > 1) {
		m.msg_control = &length;
		m.msg_controllen = CMSG_SPACE(sizeof(t->len));
		length.head.cmsg_level = IPPROTO_UDP;
		length.head.cmsg_type = UDP_SEGMENT;
		length.head.cmsg_len = CMSG_LEN(sizeof(t->len));
		memcpy(CMSG_DATA(&length.head), &t->len, sizeof(t->len));
	}
	if (sendmsg(g->polls[t->path.via].fd, &m, MSG_DONTWAIT) < 0 && t->count > 1 &&
	    (errno == EIO || errno == EINVAL || errno == EMSGSIZE))
		g->most = 1; /* this way cannot be cut */
}

static void load_flush(struct load *g)
{
	for (unsigned int i = 0; i < g->trains.count; i++)
		load_send_train(g, &g->trains.train[i]);
	trains_clear(&g->trains);
}

static void load_send(struct load *g, struct mono now)
{
	struct path path;
	uint8_t *room;
	size_t n, off;

	for (;;) {
		room = trains_room(&g->trains, LAC_PACKET_MAX);
		if (!room) {
			load_flush(g);
			continue;
		}
		n = lac_output(g->lac, now, room, &off, &path);
		if (!n)
			break;
		trains_add(&g->trains, &path, room + off, n, g->most);
	}
	load_flush(g);
}

/* One datagram, or several of one length (UDP_GRO). Returns how many, 0 when there is none. */
static unsigned int load_take(struct load *g, uint32_t i, struct mono now)
{
	struct iovec iov = { g->received, sizeof(g->received) };
	union load_length length;
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &length,
			    .msg_controllen = sizeof(length) };
	ssize_t got = recvmsg(g->polls[i].fd, &m, MSG_DONTWAIT);
	size_t n = got > 0 ? (size_t)got : 0, piece = n, at;
	unsigned int count = 0;

	if (got < 0)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		int len;

		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&len, CMSG_DATA(c), sizeof(len));
		if (len > 0)
			piece = (size_t)len;
	}
	for (at = 0; at < n; at += piece, count++)
		lac_input(g->lac, now, &g->paths[i], g->received + at,
			  n - at < piece ? n - at : piece);
	return count ? count : 1;
}

static void load_receive(struct load *g, uint32_t i)
{
	unsigned int n = 0, more;

	for (int burst = 0; burst < 64; burst++) {
		struct mono now = load_now();

		more = load_take(g, i, now);
		n += more;
		if (n >= LOAD_BURST || (n && !more)) {
			load_send(g, now);
			n = 0;
		}
		if (!more)
			return;
	}
	load_send(g, load_now());
}

static void load_wait(struct load *g, struct mono until)
{
	struct mono now = load_now(), at = mono_min(until, lac_deadline(g->lac));
	int64_t ms = at.us <= now.us ? 0 : (at.us - now.us + US_MS - 1) / US_MS;

	if (poll(g->polls, g->count, ms > 1000 ? 1000 : (int)ms) > 0)
		for (uint32_t i = 0; i < g->count; i++)
			if (g->polls[i].revents)
				load_receive(g, i);
	now = load_now();
	lac_expire(g->lac, now);
	load_send(g, now);
}

static int load_open(struct load *g, uint32_t i, const struct addr *server)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(server, &ss);
	int big = 4 << 20, one = 1, none = 0,
	    fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	g->polls[i] = (struct pollfd){ fd, POLLIN, 0 };
	if (fd < 0 || connect(fd, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none)) < 0)
		g->most = 1;
	len = sizeof(ss);
	getsockname(fd, (struct sockaddr *)&ss, &len);
	addr_from_sockaddr((struct sockaddr *)&ss, len, &g->paths[i].local);
	g->paths[i].remote = *server;
	g->paths[i].via = i;
	return lac_open(g->lac, load_now(), &g->paths[i]);
}

static int cmp_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void load_report(struct load *g, const struct lac_config *config, int64_t took_us)
{
	struct lac_stats st;
	struct rusage ru;
	int64_t cpu, p50 = 0, p99 = 0, *sorted;

	lac_stats(g->lac, &st);
	getrusage(RUSAGE_SELF, &ru);
	cpu = (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * US_S + ru.ru_utime.tv_usec +
	      ru.ru_stime.tv_usec;
	sorted = malloc((st.up + 1) * sizeof(*sorted));
	if (st.up && sorted) {
		memcpy(sorted, lac_latencies(g->lac), st.up * sizeof(*sorted));
		qsort(sorted, st.up, sizeof(*sorted), cmp_i64);
		p50 = sorted[st.up / 2];
		p99 = sorted[(uint64_t)st.up * 99 / 100];
	}
	free(sorted);
	printf("{\"tunnels\":%u,\"sessions\":%u,\"up\":%u,\"failed\":%u,\"dropped\":%u,"
	       "\"seconds\":%.3f,\"per_second\":%.0f,\"setup_ms_p50\":%.1f,\"setup_ms_p99\":%.1f,"
	       "\"generator_cpu_us_per_session\":%.1f}\n",
	       config->tunnels, config->sessions, st.up, st.failed, st.dropped,
	       (double)took_us / US_S, took_us ? st.up * 1e6 / (double)took_us : 0.0,
	       (double)p50 / US_MS, (double)p99 / US_MS, st.up ? (double)cpu / st.up : 0.0);
	fflush(stdout);
	if (st.reason[0])
		fprintf(stderr, "adit-load: the first failure: %s\n", st.reason);
}

static void load_usage(FILE *f)
{
	fputs("usage: adit-load --server ADDRESS[:PORT] [options]\n"
	      "  --sessions N      sessions in all (1)\n"
	      "  --tunnels N       tunnels they are spread over, each from a port of its own (1)\n"
	      "  --window N        set-ups under way at a time (64)\n"
	      "  --user NAME       user name of all sessions (user)\n"
	      "  --password TEXT   its password (password)\n"
	      "  --secret TEXT     tunnel secret (none)\n"
	      "  --host-name TEXT  our name towards the LNS (adit-load)\n"
	      "  --ip6             a session is up when IPv6 is up, too\n"
	      "  --hold SECONDS    stay up that long, then check that no session was lost\n"
	      "  --limit SECONDS   give up setting up after that time (120)\n"
	      "  --abandon         say nothing to the LNS at the end\n",
	      f);
}

struct load_options {
	struct lac_config lac;
	struct addr server;
	int64_t hold, limit;
	bool abandon;
};

/* A number from 1 (or 0) to `max`, or -1 after a message. */
static int64_t load_number(const char *option, const char *text, int64_t min, int64_t max)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (end != text && !*end && n >= min && n <= max)
		return n;
	fprintf(stderr, "adit-load: --%s %s: expected a number from %lld to %lld\n", option, text,
		(long long)min, (long long)max);
	exit(2);
}

static int load_parse(int argc, char **argv, struct load_options *o)
{
	static const struct option longs[] = { { "server", required_argument, NULL, 's' },
					       { "sessions", required_argument, NULL, 'n' },
					       { "tunnels", required_argument, NULL, 't' },
					       { "window", required_argument, NULL, 'w' },
					       { "user", required_argument, NULL, 'u' },
					       { "password", required_argument, NULL, 'p' },
					       { "secret", required_argument, NULL, 'S' },
					       { "host-name", required_argument, NULL, 'H' },
					       { "ip6", no_argument, NULL, '6' },
					       { "hold", required_argument, NULL, 'h' },
					       { "limit", required_argument, NULL, 'l' },
					       { "abandon", no_argument, NULL, 'a' },
					       { "help", no_argument, NULL, '?' },
					       { 0 } };
	int c, i;

	while ((c = getopt_long(argc, argv, "", longs, &i)) != -1) {
		switch (c) {
		case 's':
			if (addr_parse(optarg, &o->server) < 0) {
				fprintf(stderr, "adit-load: --server %s: not an address\n", optarg);
				return -1;
			}
			break;
		case 'n':
			o->lac.sessions = (uint32_t)load_number("sessions", optarg, 1, 1000000);
			break;
		case 't':
			o->lac.tunnels = (uint32_t)load_number("tunnels", optarg, 1, 4096);
			break;
		case 'w':
			o->lac.window = (uint32_t)load_number("window", optarg, 1, 1000000);
			break;
		case 'u':
			o->lac.user = optarg;
			break;
		case 'p':
			o->lac.password = optarg;
			break;
		case 'S':
			o->lac.secret = optarg;
			break;
		case 'H':
			o->lac.host_name = optarg;
			break;
		case '6':
			o->lac.ip6 = true;
			break;
		case 'h':
			o->hold = load_number("hold", optarg, 0, 86400);
			break;
		case 'l':
			o->limit = load_number("limit", optarg, 1, 86400);
			break;
		case 'a':
			o->abandon = true;
			break;
		default:
			load_usage(stderr);
			return -1;
		}
	}
	if (!o->server.family || optind != argc) {
		load_usage(stderr);
		return -1;
	}
	if (!o->server.port)
		o->server.port = L2TP_PORT;
	return 0;
}

static int load_make(struct load *g, struct load_options *o)
{
	int err = 0;

	if (getrandom(o->lac.seed, sizeof(o->lac.seed), 0) < 0)
		return -errno;
	g->lac = lac_new(&o->lac, &err);
	g->paths = calloc(o->lac.tunnels, sizeof(*g->paths));
	g->polls = calloc(o->lac.tunnels, sizeof(*g->polls));
	if (!g->lac || !g->paths || !g->polls)
		return err ? err : -ENOMEM;
	for (; g->count < o->lac.tunnels && !err; g->count++)
		err = load_open(g, g->count, &o->server);
	return err;
}

static void load_free(struct load *g)
{
	for (uint32_t i = 0; i < g->count; i++)
		if (g->polls[i].fd >= 0)
			close(g->polls[i].fd);
	lac_free(g->lac);
	free(g->paths);
	free(g->polls);
	free(g);
}

/* Wait until `until`, or until every session has come up or failed. */
static void load_until(struct load *g, struct mono until, uint32_t sessions)
{
	struct lac_stats st;

	for (;;) {
		lac_stats(g->lac, &st);
		if (load_stop || load_now().us >= until.us ||
		    (sessions && st.up + st.failed + st.dropped >= sessions))
			return;
		load_wait(g, until);
	}
}

int main(int argc, char **argv)
{
	struct load_options o = { .lac = { .user = "user",
					   .password = "password",
					   .host_name = "adit-load",
					   .sessions = 1,
					   .tunnels = 1,
					   .window = 64 },
				  .limit = 120 };
	struct load *g = calloc(1, sizeof(*g));
	struct lac_stats st;
	struct mono begun;
	int err;

	if (!g) {
		fputs("adit-load: out of memory\n", stderr);
		return 1;
	}
	if (load_parse(argc, argv, &o) < 0) {
		free(g);
		return 2;
	}
	g->most = TRAIN_SEGMENTS;
	signal(SIGINT, load_on_signal);
	signal(SIGTERM, load_on_signal);
	begun = load_now();
	err = load_make(g, &o);
	if (err < 0) {
		fprintf(stderr, "adit-load: cannot start: %s\n", strerror(-err));
		load_free(g);
		return 1;
	}
	load_send(g, load_now());
	load_until(g, mono_add(begun, o.limit * US_S), o.lac.sessions);
	load_report(g, &o.lac, load_now().us - begun.us);
	load_until(g, mono_add(load_now(), o.hold * US_S), 0);
	lac_stats(g->lac, &st);
	if (st.dropped)
		fprintf(stderr, "adit-load: %u sessions were lost while held: %s\n", st.dropped,
			st.reason);
	if (!o.abandon) {
		struct mono end = mono_add(load_now(), 5 * US_S);
		struct lac_stats now_st = st;

		lac_close(g->lac, load_now());
		load_send(g, load_now());
		while (now_st.tunnels_up && load_now().us < end.us) {
			load_wait(g, end);
			lac_stats(g->lac, &now_st);
		}
	}
	load_free(g);
	return st.up == o.lac.sessions && !st.dropped ? 0 : 1;
}
