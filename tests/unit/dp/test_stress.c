/* SPDX-License-Identifier: MIT
 *
 * Two threads at once: rows, sockets and prefixes come and go while data flows both ways. Worth
 * most under ThreadSanitizer (meson setup -Db_sanitize=thread), which must find no race; without
 * it, a packet must never come out with the data of another session's row.
 */
#include "fake_host.h"
#include "base/wire.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define SESSIONS 32
#define RUN_MS	 1200

static struct fake_host host;
static _Atomic bool stop;
static int lns, peer;
static struct addr lns_addr, peer_addr;

static int udp(struct addr *ret)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct addr any;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	addr_parse("127.0.0.1", &any);
	n = addr_to_sockaddr(&any, &ss);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
	n = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	addr_from_sockaddr((struct sockaddr *)&ss, n, ret);
	return fd;
}

/* Row number k has these marks, so that a mixture shows: session k+1 -> remote k+1000, 10.0.0.k. */
static struct dp_row row(uint32_t k, uint32_t version)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.flags = (uint16_t)(DP_F_IP4 | DP_F_IP6 | DP_F_ANTISPOOF |
			     (version & 1 ? DP_F_LENGTH : 0) | (version & 2 ? DP_F_SEND_SEQ : 0));
	r.path.via = 1;
	r.path.local = lns_addr;
	r.path.remote = peer_addr;
	if (version & 4) /* another tunnel row */
		memset(&r.path.local, 0, sizeof(r.path.local));
	r.local_tunnel = (uint16_t)(10 + k % 4);
	r.remote_tunnel = 20;
	r.local_session = (uint16_t)(k + 1);
	r.remote_session = (uint16_t)(k + 1000);
	r.mtu = (uint16_t)(1400 + version % 8);
	r.prefixes[0].addr.family = AF_INET;
	memcpy(r.prefixes[0].addr.ip, ((uint8_t[]){ 10, 0, 0, (uint8_t)k }), 4);
	r.prefixes[0].len = 32;
	r.prefix_count = 1;
	if (version & 8) {
		r.prefixes[1].addr.family = AF_INET;
		memcpy(r.prefixes[1].addr.ip, ((uint8_t[]){ 10, 1, (uint8_t)k, 0 }), 4);
		r.prefixes[1].len = 24;
		r.prefix_count = 2;
	}
	return r;
}

static size_t ip4(uint8_t *b, uint32_t from, uint32_t to)
{
	struct wcur c = wcur_of(b, 60);

	memset(b, 0, 60);
	wcur_u32(&c, 0x4500003c);
	wcur_u32(&c, 0);
	wcur_u32(&c, 0x40fd0000);
	wcur_u32(&c, from);
	wcur_u32(&c, to);
	return 60;
}

/* The peers and the network behind: send both ways, look at what comes out. */
static void *traffic(void *arg)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&lns_addr, &ss);
	int tun = *(int *)arg;
	unsigned long *bad = calloc(1, sizeof(*bad));

	for (uint32_t k = 0; !atomic_load(&stop); k = (k + 1) % SESSIONS) {
		uint8_t b[100], in[200];
		struct wcur c = wcur_of(b, 20);
		ssize_t n;

		wcur_u16(&c, 2);
		wcur_u16(&c, (uint16_t)(10 + k % 4));
		wcur_u16(&c, (uint16_t)(k + 1));
		wcur_u16(&c, 0xff03);
		wcur_u16(&c, 0x21);
		ip4(b + c.len, 0x0a000000 + k, 0xc0000201);
		sendto(peer, b, c.len + 60, 0, (struct sockaddr *)&ss, len);
		while ((n = recv(tun, in, sizeof(in), 0)) > 0)
			*bad += n != 60 || in[12] != 10 || in[15] >= SESSIONS;
		ip4(b, 0xc0000201, 0x0a000000 + k);
		(void)!send(tun, b, 60, 0);
		ip4(b, 0xc0000201, 0x0a010000 + k * 256 + 7);
		(void)!send(tun, b, 60, 0);
		while ((n = recv(peer, in, sizeof(in), 0)) > 0) {
			size_t at = in[0] & 0x40 ? 4 : 2;
			uint32_t session = (uint32_t)(in[at + 2] << 8 | in[at + 3]);
			const uint8_t *ip = in + n - 60;

			/* The session of the header is the one of the destination. */
			if (in[0] & 0x80)
				continue;
			*bad += session - 1000 != (ip[17] ? ip[18] : ip[19]);
		}
	}
	return bad;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static unsigned int drain(struct dp *dp)
{
	struct dp_done d;
	struct dp_punt p;
	unsigned int n = 0;

	fake_host_answer(&host);
	while (dp->ops->done(dp, &d)) {
		if (d.error)
			fail_msg("%s", d.text);
		n++;
	}
	while (dp->ops->punt(dp, &p))
		n += p.len == 0;
	return n;
}

static void rows_change_while_data_flows(void **state)
{
	struct dp_user_config c = { .host_ops = &fake_host_ops,
				    .host = &host,
				    /* rows of the past rest until the thread has let go */
				    .max_sessions = SESSIONS + 64 };
	struct dp *dp;
	pthread_t t;
	uint32_t version = 0;
	unsigned long sent = 0, got = 0;
	int64_t end;
	void *bad;
	int tun;

	fake_host_init(&host);
	dp = dp_user_new(&c);
	assert_non_null(dp);
	host.dp = dp;
	lns = udp(&lns_addr);
	peer = udp(&peer_addr);
	assert_int_equal(dp->ops->listen(dp, 1, lns), 0);
	for (uint32_t k = 0; k < SESSIONS; k++) {
		struct dp_row r = row(k, 0);

		assert_int_equal(dp->ops->put(dp, k + 1, 1, &r), 0);
		sent++;
	}
	for (int i = 0; i < 100 && got < sent; i++)
		got += drain(dp);
	tun = fake_host_tun(&host, "adit0");
	assert_true(tun >= 0);
	assert_int_equal(pthread_create(&t, NULL, traffic, &tun), 0);
	for (end = now_ms() + RUN_MS; now_ms() < end;) {
		uint32_t k = version * 7 % SESSIONS;
		struct dp_row r = row(k, version);
		uint8_t frame[100] = { 0 };
		struct dp_counters n;

		memcpy(frame + 64, ((uint8_t[]){ 0xc0, 0x21, 9, 1, 0, 4 }), 6);
		if (version % 5 == 0) {
			assert_int_equal(dp->ops->del(dp, k + 1, version), 0);
			sent++;
		}
		assert_int_equal(dp->ops->put(dp, k + 1, version, &r), 0);
		sent++;
		if (version % 50 == 0) {
			int rc;

			assert_int_equal(dp->ops->unlisten(dp, 1), 0);
			while ((rc = dp->ops->listen(dp, 1, lns)) != 0)
				got += drain(dp);
			assert_int_equal(rc, 0);
		}
		dp->ops->stats(dp, k + 1, &n);
		dp->ops->heard(dp, 10);
		got += drain(dp);
		version++;
		while (sent - got > 30) {
			struct pollfd p = { .fd = dp->ops->fd(dp), .events = POLLIN };

			poll(&p, 1, 100);
			got += drain(dp);
		}
	}
	for (int i = 0; i < 30000 && got < sent; i++) {
		usleep(1000);
		got += drain(dp);
	}
	assert_int_equal(got, sent);
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(t, &bad), 0);
	assert_int_equal(*(unsigned long *)bad, 0);
	free(bad);
	dp->ops->free(dp);
	fake_host_fini(&host);
	close(lns);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_change_while_data_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
