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
#include "base/rng.h"
#include "base/text.h"
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

	/* A bad path: this share of datagrams is lost in each direction, and as many leave or come
	 * late, after later ones. */
	uint32_t impair; /* percent */
	struct rng rng;
	struct held {
		uint32_t socket;
		size_t len;
		uint8_t bytes[LAC_PACKET_MAX];
	} late_out, late_in; /* len 0 = none */
};

enum load_fate { LOAD_PASS, LOAD_LOSE, LOAD_LATE };

static enum load_fate load_fate(struct load *g)
{
	uint32_t n = g->impair ? rng_below(&g->rng, 100) : 100;

	return n < g->impair ? LOAD_LOSE : n < 2 * g->impair ? LOAD_LATE : LOAD_PASS;
}

/* Keep it for later; what was kept before goes now. False: it is too long. */
static bool load_hold(struct held *h, uint32_t sock, const uint8_t *bytes, size_t len,
		      struct held *ret_before)
{
	*ret_before = *h;
	if (len > sizeof(h->bytes))
		return false;
	h->socket = sock;
	h->len = len;
	memcpy(h->bytes, bytes, len);
	return true;
}

static volatile sig_atomic_t load_stop, load_begin;

static void load_on_signal(int sig)
{
	(void)sig;
	load_stop = 1;
}

static void load_on_begin(int sig)
{
	(void)sig;
	load_begin = 1;
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
	struct held before;
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
		switch (load_fate(g)) {
		case LOAD_PASS:
			break;
		case LOAD_LOSE:
			continue;
		case LOAD_LATE:
			if (!load_hold(&g->late_out, path.via, room + off, n, &before))
				break;
			if (before.len)
				(void)!send(g->polls[before.socket].fd, before.bytes, before.len,
					    MSG_DONTWAIT);
			continue;
		}
		trains_add(&g->trains, &path, room + off, n, g->most);
	}
	load_flush(g);
}

static void load_input(struct load *g, uint32_t i, struct mono now, const uint8_t *bytes,
		       size_t len)
{
	struct held before;

	switch (load_fate(g)) {
	case LOAD_PASS:
		break;
	case LOAD_LOSE:
		return;
	case LOAD_LATE:
		if (!load_hold(&g->late_in, i, bytes, len, &before))
			break;
		if (before.len)
			lac_input(g->lac, now, &g->paths[before.socket], before.bytes, before.len);
		return;
	}
	lac_input(g->lac, now, &g->paths[i], bytes, len);
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
		load_input(g, i, now, g->received + at, n - at < piece ? n - at : piece);
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

/* One line a session. 0 or a negative errno. */
static int load_records(struct load *g, const char *path)
{
	FILE *f = fopen(path, "we");
	const struct lac_record *r;

	if (!f)
		return -errno;
	for (size_t i = 0; (r = lac_record(g->lac, i)); i++)
		fprintf(f,
			"{\"number\":%u,\"tunnel\":%u,\"session\":%u,\"remote_tunnel\":%u,"
			"\"remote_session\":%u,\"ip4\":\"%u.%u.%u.%u\",\"was_up\":%s,\"ours\":%s,"
			"\"cause\":\"%s\",\"up_ms\":%lld,\"sent\":%llu,\"sent_octets\":%llu,"
			"\"received\":%llu,\"received_octets\":%llu}\n",
			r->number, r->local_tunnel, r->local_session, r->remote_tunnel,
			r->remote_session, r->ip4[0], r->ip4[1], r->ip4[2], r->ip4[3],
			r->was_up ? "true" : "false", r->ours ? "true" : "false",
			cause_name(r->cause), (long long)(r->up_us / US_MS),
			(unsigned long long)r->sent, (unsigned long long)r->sent_octets,
			(unsigned long long)r->received, (unsigned long long)r->received_octets);
	return fclose(f) ? -errno : 0;
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
	      "  --abandon         say nothing to the LNS at the end\n"
	      "  --pings N         echo requests a second from each session to the LNS's address\n"
	      "                    inside\n"
	      "  --ping-count N    so many from each session, and no more\n"
	      "  --await           begin with that, and with --churn, at SIGUSR1 only; at the end "
	      "wait\n"
	      "                    up to half a minute for the last answers\n"
	      "  --churn N         so many more sessions that come and go all the time\n"
	      "  --impair PERCENT  lose so many datagrams in each direction, and let as many come\n"
	      "                    late\n"
	      "  --records FILE    write what became of every session, one JSON object a line, "
	      "when\n"
	      "                    all is over\n",
	      f);
}

struct load_options {
	struct lac_config lac;
	struct addr server;
	int64_t hold, limit;
	bool abandon;
	uint32_t impair;
	const char *records;
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
					       { "password", required_argument, NULL, 'P' },
					       { "secret", required_argument, NULL, 'S' },
					       { "host-name", required_argument, NULL, 'H' },
					       { "ip6", no_argument, NULL, '6' },
					       { "hold", required_argument, NULL, 'h' },
					       { "limit", required_argument, NULL, 'l' },
					       { "abandon", no_argument, NULL, 'a' },
					       { "pings", required_argument, NULL, 'p' },
					       { "impair", required_argument, NULL, 'i' },
					       { "ping-count", required_argument, NULL, 'C' },
					       { "churn", required_argument, NULL, 'c' },
					       { "await", no_argument, NULL, 'A' },
					       { "records", required_argument, NULL, 'r' },
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
		case 'P':
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
		case 'p':
			o->lac.pings = (uint32_t)load_number("pings", optarg, 1, 50);
			break;
		case 'i':
			o->impair = (uint32_t)load_number("impair", optarg, 0, 40);
			break;
		case 'C':
			o->lac.ping_count = (uint32_t)load_number("ping-count", optarg, 1, 1000000);
			break;
		case 'c':
			o->lac.churn = (uint32_t)load_number("churn", optarg, 1, 10000);
			break;
		case 'A':
			o->lac.calm = true;
			break;
		case 'r':
			o->records = optarg;
			o->lac.record = true;
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
	g->impair = o->impair;
	rng_init(&g->rng, o->lac.seed);
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

/* What is under way comes to its end before it is counted. */
static void load_settle(struct load *g, bool all)
{
	struct mono end = mono_add(load_now(), (all ? 30 : 2) * US_S);
	struct lac_stats st;

	lac_calm(g->lac, true);
	for (;;) {
		lac_stats(g->lac, &st);
		if (load_now().us >= end.us || (all && st.answered >= st.asked))
			return;
		load_wait(g, end);
	}
}

/* Wait until `until`, or until every session has come up or failed. */
static void load_until(struct load *g, struct mono until, uint32_t sessions)
{
	struct lac_stats st;

	for (;;) {
		if (load_begin) {
			load_begin = 0;
			lac_calm(g->lac, false);
		}
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
	signal(SIGUSR1, load_on_begin);
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
	if (st.up && (o.lac.pings || o.lac.churn))
		load_settle(g, o.lac.calm);
	lac_stats(g->lac, &st);
	if (o.lac.churn)
		fprintf(stderr,
			"adit-load: of those that come and go %u did, %u did not come up, %u were "
			"lost\n",
			st.churned, st.churn_failed, st.churn_dropped);
	if (st.dropped)
		fprintf(stderr, "adit-load: %u sessions were lost while held: %s\n", st.dropped,
			st.reason);
	if (!o.abandon) {
		struct mono end = mono_add(load_now(), 10 * US_S);

		lac_close(g->lac, load_now());
		load_send(g, load_now());
		while (!lac_closed(g->lac) && load_now().us < end.us)
			load_wait(g, end);
	}
	if (o.records && (err = load_records(g, o.records)) < 0)
		fprintf(stderr, "adit-load: %s: %s\n", o.records, strerror(-err));
	load_free(g);
	return st.up == o.lac.sessions && !st.dropped ? 0 : 1;
}
