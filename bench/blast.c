/* SPDX-License-Identifier: MIT
 *
 * Packets for the figures of the data plane (bench/run.py), as fast as one thread sends them:
 *
 *   blast up LOCAL:PORT REMOTE:PORT TUNNEL SESSIONS DESTINATION SECONDS
 *       L2TP data messages (no Length, no Ns, FF 03) of sessions 1..SESSIONS in turn, each a UDP
 *       packet of 64 octets from 10.0.x.y, x.y = the session's number, to DESTINATION
 *   blast down SESSIONS SECONDS
 *       UDP packets of 64 octets to 10.0.x.y in turn
 *   blast sink LOCAL:PORT
 *       take a port and never read from it, until the input ends
 *
 * Prints how many packets the kernel took.
 */
#include "base/addr.h"
#include "base/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH  64
#define PACKET 64
#define HEAD   10

struct blast {
	int fd;
	unsigned int sessions, next; /* next of the sessions */
	uint8_t bytes[BATCH][HEAD + PACKET];
	struct sockaddr_in to[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr msg[BATCH];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "blast: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct addr address(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a) < 0)
		die(text);
	return a;
}

static int udp(const char *local)
{
	struct sockaddr_storage ss;
	struct addr a = address(local);
	socklen_t n = addr_to_sockaddr(&a, &ss);
	int fd = socket(a.family, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, n) < 0)
		die(local);
	return fd;
}

/* RFC 1071, for the header of our own packets. */
static uint16_t header_sum(const uint8_t *p)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < 20; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void fill_up(uint8_t *b, uint16_t tunnel, uint16_t session, const uint8_t to[4])
{
	struct wcur c = wcur_of(b, HEAD + PACKET);
	uint16_t sum;

	wcur_u16(&c, 2);
	wcur_u16(&c, tunnel);
	wcur_u16(&c, session);
	wcur_u32(&c, 0xff030021);
	wcur_u32(&c, 0x45000000 | PACKET);
	wcur_u32(&c, 0x4000); /* DF */
	wcur_u32(&c, 64u << 24 | IPPROTO_UDP << 16);
	wcur_u32(&c, 10u << 24 | session);
	wcur_bytes(&c, to, 4);
	wcur_u32(&c, 7u << 16 | 9);
	wcur_u32(&c, (PACKET - 20) << 16); /* no UDP checksum */
	memset(b + c.len, 'x', HEAD + PACKET - c.len);
	sum = header_sum(b + HEAD);
	c = wcur_of(b + HEAD + 10, 2);
	wcur_u16(&c, sum);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static unsigned long long run(struct blast *b, double seconds, bool up, uint16_t tunnel,
			      const uint8_t to[4])
{
	unsigned long long sent = 0;
	double end = now() + seconds;

	for (unsigned int i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->bytes[i], up ? HEAD + PACKET : PACKET - 28 };
		b->msg[i].msg_hdr.msg_iov = &b->iov[i];
		b->msg[i].msg_hdr.msg_iovlen = 1;
		if (!up) {
			b->to[i] =
				(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(9) };
			b->msg[i].msg_hdr.msg_name = &b->to[i];
			b->msg[i].msg_hdr.msg_namelen = sizeof(b->to[i]);
		}
	}
	while (now() < end) {
		int n;

		for (unsigned int i = 0; i < BATCH; i++) {
			uint16_t session = (uint16_t)(b->next++ % b->sessions + 1);

			if (up)
				fill_up(b->bytes[i], tunnel, session, to);
			else
				b->to[i].sin_addr.s_addr = htonl(10u << 24 | session);
		}
		n = sendmmsg(b->fd, b->msg, BATCH, 0);
		if (n > 0)
			sent += (unsigned int)n;
		else if (errno != ECONNREFUSED && errno != ENOBUFS && errno != EAGAIN)
			die("sendmmsg");
	}
	return sent;
}

int main(int argc, char **argv)
{
	static struct blast b;

	if (argc == 8 && strcmp(argv[1], "up") == 0) {
		struct sockaddr_storage ss;
		struct addr to = address(argv[3]), inner = address(argv[6]);
		socklen_t n = addr_to_sockaddr(&to, &ss);

		b.fd = udp(argv[2]);
		b.sessions = (unsigned int)atoi(argv[5]);
		if (connect(b.fd, (struct sockaddr *)&ss, n) < 0 || !b.sessions)
			die(argv[3]);
		printf("%llu\n", run(&b, atof(argv[7]), true, (uint16_t)atoi(argv[4]), inner.ip));
	} else if (argc == 4 && strcmp(argv[1], "down") == 0) {
		b.fd = socket(AF_INET, SOCK_DGRAM, 0);
		b.sessions = (unsigned int)atoi(argv[2]);
		if (b.fd < 0 || !b.sessions)
			die("socket");
		printf("%llu\n", run(&b, atof(argv[3]), false, 0, NULL));
	} else if (argc == 3 && strcmp(argv[1], "sink") == 0) {
		char rest[64];

		udp(argv[2]);
		while (read(0, rest, sizeof(rest)) > 0)
			;
	} else {
		fprintf(stderr, "usage: see bench/blast.c\n");
		return 2;
	}
	return 0;
}
