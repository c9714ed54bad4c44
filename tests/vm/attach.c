/* SPDX-License-Identifier: MIT
 *
 * Does attaching a PPP session to the kernel lose frames? A peer sends one numbered LCP frame every
 * so many microseconds while the kernel plane (src/dp/kernel.h) attaches one session after the
 * other; each frame must come up once, from the tunnel's socket or as news of the plane. For
 * tests/vm/test_attach.py.
 *
 *   attach COUNT MICROSECONDS
 *
 * Needs lo, and nobody else on port 1701. Prints one line of JSON.
 */
#include "dp/kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	TUNNEL = 101,
	PEER = 201,
	FRAMES = 1 << 16,
	SURE = 5,
	CHANNEL_ROOM = 32 /* PPP_MAX_RQLEN of the kernel */
};

struct sender {
	int fd;
	long interval_ns;
	_Atomic uint32_t session; /* 0 = be quiet */
	_Atomic uint32_t sent;	  /* of this session */
	_Atomic bool quiet, end;
};

static int64_t ns_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static struct mono now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

static void die(const char *what)
{
	fprintf(stderr, "attach: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Data message with Length; LCP Echo-Request whose data is the number of the frame. */
static void *sender_run(void *arg)
{
	struct sender *s = arg;
	uint8_t d[22] = { 0x40, 2, 0, 22, 0, TUNNEL, 0, 0, 0xc0, 0x21, 9, 1, 0, 12, 1, 2, 3, 4 };

	while (!s->end) {
		uint32_t id = s->session, n = s->sent;
		struct timespec ts;
		int64_t at;

		s->quiet = id == 0;
		if (id != 0 && n < FRAMES) {
			d[6] = (uint8_t)(id >> 8);
			d[7] = (uint8_t)id;
			for (int i = 0; i < 4; i++)
				d[18 + i] = (uint8_t)(n >> (24 - 8 * i));
			if (send(s->fd, d, sizeof(d), 0) != sizeof(d))
				die("send");
			s->sent = n + 1;
		}
		/* what was missed is not made up for: that would be a burst */
		at = ns_now() + s->interval_ns;
		ts = (struct timespec){ at / 1000000000, at % 1000000000 };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	}
	return NULL;
}

struct counts {
	uint64_t frames, from_socket, from_plane, lost, twice;
	uint32_t lost_most; /* of one attach */
	/* Attaches during which no more frames came than a channel has room for, and how many of
	 * those lost any all the same. */
	uint32_t roomy, roomy_hurt;
};

struct one {
	uint8_t seen[FRAMES];
	uint32_t socket, plane; /* how many came which way */
	bool done;
};

static void frame_take(struct one *o, struct counts *c, const uint8_t *lcp, size_t len)
{
	uint32_t n;

	if (len < 14 || lcp[0] != 0xc0 || lcp[1] != 0x21)
		return;
	n = (uint32_t)lcp[10] << 24 | (uint32_t)lcp[11] << 16 | (uint32_t)lcp[12] << 8 | lcp[13];
	if (n >= FRAMES)
		return;
	c->twice += o->seen[n];
	o->seen[n] = 1;
}

/* Whatever comes within `ms`; returns whether anything did. */
static bool look(struct kernel *k, int fd, struct one *o, struct counts *c, int ms)
{
	struct pollfd p[2] = { { kernel_fd(k), POLLIN, 0 }, { fd, POLLIN, 0 } };
	struct kernel_news news;
	uint8_t d[2048];
	ssize_t n;

	if (poll(p, 2, ms) <= 0)
		return false;
	while (fd >= 0 && (n = recv(fd, d, sizeof(d), MSG_DONTWAIT)) > 0) {
		if (n > 8 && !(d[0] & 0x80)) {
			frame_take(o, c, d + 8, (size_t)n - 8);
			o->socket++;
		}
	}
	while (kernel_next(k, now(), &news)) {
		if (news.kind == KERNEL_NEWS_FRAME) {
			frame_take(o, c, news.bytes, news.len);
			o->plane++;
		} else if (news.kind == KERNEL_NEWS_DONE) {
			if (news.result != KERNEL_OK) {
				fprintf(stderr, "attach: %s\n", news.text);
				exit(1);
			}
			o->done = true;
		}
	}
	return true;
}

static void attach_one(struct kernel *k, int fd, struct sender *s, uint32_t id, struct counts *c)
{
	static struct one o;
	struct dp_row row;
	uint32_t lost = 0, before;

	memset(&o, 0, sizeof(o));
	memset(&row, 0, sizeof(row));
	row.state = DP_ACTIVE;
	row.ends = DP_L2TP_PPP;
	row.version = 2;
	row.mtu = 1400;
	if (addr_parse("127.0.0.1:1701", &row.path.local) != 0 ||
	    addr_parse("127.0.0.2:1701", &row.path.remote) != 0)
		die("addresses");
	row.local_tunnel = TUNNEL;
	row.remote_tunnel = PEER;
	row.local_session = row.remote_session = id;
	s->sent = 0;
	s->session = id;
	while (o.socket < SURE)
		look(k, fd, &o, c, 1000);
	before = s->sent;
	if (kernel_put(k, id, id, TUNNEL, &row) != 0)
		die("kernel_put");
	while (!o.done || o.plane < SURE)
		look(k, fd, &o, c, 1000);
	s->session = 0;
	while (!s->quiet)
		usleep(100);
	while (look(k, fd, &o, c, 100))
		;
	for (uint32_t i = 0; i < s->sent; i++)
		lost += !o.seen[i];
	c->frames += s->sent;
	c->from_socket += o.socket;
	c->from_plane += o.plane;
	c->lost += lost;
	c->lost_most = lost > c->lost_most ? lost : c->lost_most;
	if (s->sent - before <= CHANNEL_ROOM) {
		c->roomy++;
		c->roomy_hurt += lost != 0;
	}
	o.done = false;
	if (kernel_del(k, id, FRAMES + id) != 0)
		die("kernel_del");
	while (!o.done)
		look(k, -1, &o, c, 1000);
}

static int tunnel_up(struct kernel *k)
{
	struct kernel_tunnel t = {
		.version = 2, .managed = true, .local_id = TUNNEL, .remote_id = PEER
	};
	struct kernel_news news;
	struct pollfd p = { kernel_fd(k), POLLIN, 0 };

	if (addr_parse("127.0.0.1:1701", &t.path.local) != 0 ||
	    addr_parse("127.0.0.2:1701", &t.path.remote) != 0 ||
	    kernel_tunnel_put(k, TUNNEL, 1, &t) != 0)
		die("tunnel");
	for (;;) {
		poll(&p, 1, 1000);
		while (kernel_next(k, now(), &news)) {
			if (news.kind == KERNEL_NEWS_DONE && news.result == KERNEL_OK)
				return news.fd;
			fprintf(stderr, "attach: %s\n", news.text);
			exit(1);
		}
	}
}

static int peer_socket(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(1701) }, to = own;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	own.sin_addr.s_addr = htonl(0x7f000002);
	to.sin_addr.s_addr = htonl(0x7f000001);
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("socket");
	return fd;
}

int main(int argc, char **argv)
{
	struct kernel_config config = { .frames_per_s = 1000000, .frames_all_per_s = 1000000 };
	static struct sender s;
	struct counts c = { 0 };
	struct kernel *k = NULL;
	pthread_t thread;
	uint32_t count;
	int fd;

	if (argc != 3 || atoi(argv[1]) < 1 || atoi(argv[2]) < 1) {
		fprintf(stderr, "usage: attach COUNT MICROSECONDS\n");
		return 2;
	}
	count = (uint32_t)atoi(argv[1]);
	if (kernel_probe(NULL, &config.probe) != 0 || !(k = kernel_new(&config)))
		die("the kernel plane");
	s.fd = peer_socket();
	s.interval_ns = atol(argv[2]) * 1000;
	fd = tunnel_up(k);
	if (pthread_create(&thread, NULL, sender_run, &s) != 0)
		die("thread");
	for (uint32_t id = 1; id <= count; id++)
		attach_one(k, fd, &s, id, &c);
	s.end = true;
	pthread_join(thread, NULL);
	printf("{\"release\":\"%s\",\"drains\":%d,\"attaches\":%u,\"frames\":%llu,"
	       "\"from_socket\":%llu,\"from_plane\":%llu,\"lost\":%llu,\"lost_most\":%u,"
	       "\"roomy\":%u,\"roomy_hurt\":%u,\"twice\":%llu}\n",
	       config.probe.release, config.probe.gchan_drains, count, (unsigned long long)c.frames,
	       (unsigned long long)c.from_socket, (unsigned long long)c.from_plane,
	       (unsigned long long)c.lost, c.lost_most, c.roomy, c.roomy_hurt,
	       (unsigned long long)c.twice);
	close(s.fd);
	kernel_free(k);
	return 0;
}
