/* SPDX-License-Identifier: MIT
 *
 * Requests for tunnels from forged addresses, for the figure of the same name (bench/run.py flood)
 * and the tests of hostile input:
 *
 *   flood SECONDS RATE DESTINATION[:PORT] SOURCES [KIND]
 *       RATE a second, each from a random address of SOURCES (IPv4 prefix) and a random port
 *
 * KIND: sccrq (a new tunnel id and host name each), zlb (for random tunnels), data (for random
 * sessions), junk (random octets). Needs CAP_NET_RAW, so a namespace of its own. Prints one line of
 * JSON: how many were sent and how long it took.
 */
#include "base/addr.h"
#include "base/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	   64
#define HEADERS	   (sizeof(struct iphdr) + sizeof(struct udphdr))
#define PACKET_MAX 256

enum kind { SCCRQ, ZLB, DATA, JUNK };

struct flood {
	int fd;
	uint64_t random; /* xorshift64 */
	struct sockaddr_in to;
	uint32_t net, hosts; /* host order */
	enum kind kind;
	uint8_t bytes[BATCH][HEADERS + PACKET_MAX];
	struct iovec iov[BATCH];
	struct mmsghdr msg[BATCH];
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t draw(struct flood *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

static void avp(struct wcur *c, uint16_t type, const void *value, size_t n)
{
	wcur_u16(c, (uint16_t)(0x8000 | (6 + n)));
	wcur_u16(c, 0);
	wcur_u16(c, type);
	wcur_bytes(c, value, n);
}

static void put_sccrq(struct flood *f, struct wcur *c)
{
	uint16_t id = (uint16_t)(draw(f) | 1);
	uint8_t tunnel[2] = { (uint8_t)(id >> 8), (uint8_t)id };
	char name[20];

	snprintf(name, sizeof(name), "host%08x", (unsigned int)draw(f));
	wcur_u16(c, 0xc802);
	wcur_u16(c, 0); /* Length: known at the end */
	wcur_u32(c, 0);
	wcur_u32(c, 0);
	avp(c, 0, "\0\1", 2);
	avp(c, 2, "\1\0", 2);
	avp(c, 3, "\0\0\0\3", 4);
	avp(c, 7, name, strlen(name));
	avp(c, 9, tunnel, 2);
	avp(c, 10, "\0\x10", 2);
}

static size_t put_payload(struct flood *f, uint8_t *p)
{
	struct wcur c = wcur_of(p, PACKET_MAX);

	switch (f->kind) {
	case SCCRQ:
		put_sccrq(f, &c);
		p[3] = (uint8_t)c.len;
		break;
	case ZLB:
		wcur_u32(&c, 0xc802000c);
		wcur_u32(&c, (uint32_t)draw(f));
		wcur_u32(&c, (uint32_t)draw(f));
		break;
	case DATA:
		wcur_u16(&c, 0x0002);
		wcur_u32(&c, (uint32_t)draw(f));
		wcur_u32(&c, 0xff03c021);
		wcur_u32(&c, 0x01010004);
		break;
	case JUNK:
		for (int i = 0; i < 12; i++)
			wcur_u64(&c, draw(f));
		break;
	}
	return c.len;
}

/* The kernel fills in the lengths and checksum of IP; UDP over IPv4 may go without one. */
static void put_packet(struct flood *f, unsigned int i)
{
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .ttl = 64,
			    .protocol = IPPROTO_UDP,
			    .saddr = htonl(f->net + (uint32_t)draw(f) % f->hosts),
			    .daddr = f->to.sin_addr.s_addr };
	struct udphdr udp = { .source = htons((uint16_t)(1024 + draw(f) % 64000)),
			      .dest = f->to.sin_port };
	size_t n = put_payload(f, f->bytes[i] + HEADERS);

	udp.len = htons((uint16_t)(sizeof(udp) + n));
	memcpy(f->bytes[i], &ip, sizeof(ip));
	memcpy(f->bytes[i] + sizeof(ip), &udp, sizeof(udp));
	f->iov[i] = (struct iovec){ f->bytes[i], HEADERS + n };
	f->msg[i].msg_hdr = (struct msghdr){ .msg_name = &f->to,
					     .msg_namelen = sizeof(f->to),
					     .msg_iov = &f->iov[i],
					     .msg_iovlen = 1 };
}

static double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t run(struct flood *f, double seconds, double rate)
{
	double begun = seconds_now(), now = begun;
	uint64_t sent = 0, lost = 0;

	while (now < begun + seconds) {
		uint64_t due = (uint64_t)((now - begun) * rate);

		/* Late by more than a tenth of a second: the machine cannot do more. */
		if (due > sent + lost + (uint64_t)(rate / 10))
			lost = due - sent - (uint64_t)(rate / 10);
		while (sent + lost < due) {
			unsigned int n = due - sent - lost < BATCH
						 ? (unsigned int)(due - sent - lost)
						 : BATCH;
			int done;

			for (unsigned int i = 0; i < n; i++)
				put_packet(f, i);
			done = sendmmsg(f->fd, f->msg, n, 0);
			if (done < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
				die("sendmmsg");
			sent += done > 0 ? (unsigned int)done : 0;
			lost += done > 0 ? 0 : n;
		}
		usleep(500);
		now = seconds_now();
	}
	return sent;
}

static bool parse(struct flood *f, char **argv)
{
	static const char *const kinds[] = { "sccrq", "zlb", "data", "junk" };
	struct prefix net;
	struct addr to;
	int kind = 0;

	if (addr_parse(argv[3], &to) < 0 || to.family != AF_INET ||
	    prefix_parse(argv[4], &net) < 0 || net.addr.family != AF_INET || net.len > 31)
		return false;
	while (argv[5] && kind < 4 && strcmp(kinds[kind], argv[5]) != 0)
		kind++;
	if (kind == 4)
		return false;
	f->kind = (enum kind)kind;
	f->to = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_port = htons(to.port ? to.port : 1701) };
	memcpy(&f->to.sin_addr, to.ip, 4);
	memcpy(&f->net, net.addr.ip, 4);
	f->net = ntohl(f->net);
	f->hosts = net.len ? 1u << (32 - net.len) : UINT32_MAX;
	return true;
}

int main(int argc, char **argv)
{
	static struct flood f;
	int big = 8 << 20; /* packets that wait at the other end count as ours */
	double begun;
	uint64_t sent;

	if (argc < 5 || argc > 6 || !parse(&f, argv)) {
		fprintf(stderr, "usage: flood SECONDS RATE DESTINATION[:PORT] SOURCES "
				"[sccrq|zlb|data|junk]\n");
		return 2;
	}
	f.random = (uint64_t)getpid() << 32 ^ 0x9e3779b97f4a7c15u;
	f.fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (f.fd < 0)
		die("raw socket");
	if (setsockopt(f.fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big)) < 0)
		die("send buffer");
	begun = seconds_now();
	sent = run(&f, atof(argv[1]), atof(argv[2]));
	printf("{\"sent\": %llu, \"seconds\": %.2f}\n", (unsigned long long)sent,
	       seconds_now() - begun);
	return 0;
}
