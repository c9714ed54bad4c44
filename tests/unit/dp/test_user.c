/* SPDX-License-Identifier: MIT
 *
 * The user-space plane as a whole over sockets of loopback, with socket pairs for TUN devices: what
 * is asked of the host and undone when it fails, both ways of data, what is dropped, what comes up,
 * and what a next plane on the same table does.
 */
#include "fake_host.h"
#include "base/wire.h"
#include "dp/pkt.h"
#include "dp/user_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "failmalloc.h"

/* For what must come, however slow the machine is. */
#define WAIT_MS 30000

struct world {
	struct fake_host host;
	struct dp *dp;
	void *table;
	size_t size;
	int lns, peer, stranger; /* UDP sockets */
	struct addr lns_addr, peer_addr;
};

static int udp(struct addr *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in, n, ret), 0);
	return fd;
}

static void plane_new(struct world *w)
{
	struct dp_user_config c = { .stranger = { 1, 20 },
				    .host_ops = &fake_host_ops,
				    .host = &w->host,
				    .table = w->table,
				    .table_size = w->size,
				    .max_sessions = 100 };

	w->dp = dp_user_new(&c);
	assert_non_null(w->dp);
	w->host.dp = w->dp;
}

static void world_new(struct world *w)
{
	struct addr unused;

	memset(w, 0, sizeof(*w));
	fake_host_init(&w->host);
	w->size = dp_user_table_size(100);
	w->table = mmap(NULL, w->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->table != MAP_FAILED);
	plane_new(w);
	w->lns = udp(&w->lns_addr);
	w->peer = udp(&w->peer_addr);
	w->stranger = udp(&unused);
	assert_int_equal(w->dp->ops->listen(w->dp, 1, w->lns), 0);
}

static void world_free(struct world *w)
{
	w->dp->ops->free(w->dp);
	fake_host_fini(&w->host);
	munmap(w->table, w->size);
	close(w->lns);
	close(w->peer);
	close(w->stranger);
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static struct dp_row row(const struct world *w, uint16_t session, const char *address)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.flags = DP_F_IP4 | DP_F_IP6 | DP_F_ANTISPOOF;
	r.path.via = 1;
	r.path.local = w->lns_addr;
	r.path.remote = w->peer_addr;
	r.local_tunnel = 100;
	r.remote_tunnel = 200;
	r.local_session = session;
	r.remote_session = (uint16_t)(session + 1000);
	r.mtu = 1400;
	if (address) {
		r.prefixes[0] = prefix(address);
		r.prefix_count = 1;
	}
	return r;
}

static struct dp_row client_row(const struct world *w, uint16_t session)
{
	struct dp_row r = row(w, session, NULL);

	r.flags = DP_F_CLIENT | DP_F_IP4 | DP_F_IP6;
	r.host_addrs[0] = prefix("10.7.0.2");
	r.host_addrs[1] = prefix("2001:db8:7::2");
	r.host_addr_count = 2;
	addr_parse("10.7.0.1", &r.peer4);
	r.routes[0] = prefix("0.0.0.0/0");
	r.routes[1] = prefix("2001:db8::/32");
	r.route_count = 2;
	r.metric = 50;
	r.pin_peer = 1;
	return r;
}

/* The next completion; waits for the forwarding thread if it must. */
static struct dp_done completion(struct world *w)
{
	struct dp_done d;

	for (int i = 0; i < WAIT_MS / 10; i++) {
		struct pollfd p = { .fd = w->dp->ops->fd(w->dp), .events = POLLIN };

		fake_host_answer(&w->host);
		if (w->dp->ops->done(w->dp, &d))
			return d;
		poll(&p, 1, 10);
	}
	fail_msg("no completion");
	return d;
}

static void put_ok(struct world *w, uint64_t key, const struct dp_row *r)
{
	struct dp_done d;

	assert_int_equal(w->dp->ops->put(w->dp, key, 1, r), 0);
	d = completion(w);
	if (d.error)
		fail_msg("%s", d.text);
	assert_int_equal(d.key, key);
	assert_int_equal(d.op, DP_OP_PUT);
}

/* ---- packets ---- */

static size_t ip4(uint8_t *b, const char *from, const char *to, size_t n)
{
	struct addr a, z;
	uint16_t sum;

	assert_int_equal(addr_parse(from, &a), 0);
	assert_int_equal(addr_parse(to, &z), 0);
	memset(b, 0, n);
	b[0] = 0x45;
	b[2] = (uint8_t)(n >> 8);
	b[3] = (uint8_t)n;
	b[6] = 0x40;
	b[8] = 64;
	b[9] = 253;
	memcpy(b + 12, a.ip, 4);
	memcpy(b + 16, z.ip, 4);
	sum = pkt_checksum(b, 20, 0);
	b[10] = (uint8_t)(sum >> 8);
	b[11] = (uint8_t)sum;
	return n;
}

static size_t ip6(uint8_t *b, const char *from, const char *to, size_t n)
{
	struct addr a, z;

	assert_int_equal(addr_parse(from, &a), 0);
	assert_int_equal(addr_parse(to, &z), 0);
	memset(b, 0, n);
	b[0] = 0x60;
	b[4] = (uint8_t)((n - 40) >> 8);
	b[5] = (uint8_t)(n - 40);
	b[6] = 253;
	b[7] = 64;
	memcpy(b + 8, a.ip, 16);
	memcpy(b + 24, z.ip, 16);
	return n;
}

/* Send a PPP frame as the peer (or somebody else) would. */
static void send_from(struct world *w, int fd, uint16_t session, uint16_t proto,
		      const uint8_t *data, size_t n)
{
	uint8_t b[2000];
	struct wcur c = wcur_of(b, sizeof(b));
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&w->lns_addr, &ss);

	wcur_u16(&c, 2);
	wcur_u16(&c, 100);
	wcur_u16(&c, session);
	wcur_u16(&c, 0xff03);
	wcur_u16(&c, proto);
	wcur_bytes(&c, data, n);
	assert_false(c.bad);
	assert_int_equal(sendto(fd, b, c.len, 0, (struct sockaddr *)&ss, len), c.len);
}

/* Something to read, within a time; 0 = nothing. */
static ssize_t get(int fd, uint8_t *b, size_t cap, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, ms) != 1)
		return 0;
	return recv(fd, b, cap, 0);
}

static bool next_punt(struct world *w, struct dp_punt *ret)
{
	for (int i = 0; i < 100; i++) {
		struct pollfd p = { .fd = w->dp->ops->fd(w->dp), .events = POLLIN };
		struct dp_done d;

		if (w->dp->ops->punt(w->dp, ret))
			return true;
		assert_false(w->dp->ops->done(w->dp, &d));
		poll(&p, 1, 10);
	}
	return false;
}

/* All that was sent before has been dealt with when this one comes out. */
static void flush_up(struct world *w, uint16_t session, const char *from)
{
	uint8_t b[2000], in[2000];
	size_t n = ip4(b, from, "192.0.2.77", 60);

	send_from(w, w->peer, session, 0x21, b, n);
	for (int i = 0; i < 100; i++) {
		if (get(fake_host_tun(&w->host, "adit0"), in, sizeof(in), WAIT_MS) == 60 &&
		    in[19] == 77)
			return;
	}
	fail_msg("nothing came through");
}

/* Places that were given up come back only after the forwarding thread has looked away. When it
 * does not run for a while, requests that need one wait; they are not refused. */
static void a_reader_that_stands_still_delays_changes(void **state)
{
	struct world w;
	struct qsbr *q;
	struct dp_row r[2], fresh;
	struct dp_done d;
	uint32_t n = 0;

	world_new(&w);
	q = &container_of(w.dp, struct user, dp)->qsbr;
	r[0] = row(&w, 1, "10.0.0.1");
	r[1] = row(&w, 1, "10.0.0.2");
	fresh = row(&w, 2, "10.0.0.3");
	put_ok(&w, 1, &r[0]);
	flush_up(&w, 1, "10.0.0.1"); /* so it has begun its work */
	while (atomic_load(&q->seen) != UINT64_MAX)
		usleep(1000);
	/* It sleeps, and nothing comes that would wake it: look as if it stood in the tables. */
	atomic_store(&q->seen, 0);
	do {
		n++;
		assert_int_equal(w.dp->ops->put(w.dp, 1, n, &r[n % 2]), 0);
		fake_host_answer(&w.host);
	} while (w.dp->ops->done(w.dp, &d) && n < 1000000);
	assert_true(n < 1000000);
	assert_int_equal(w.dp->ops->put(w.dp, 2, 1, &fresh), 0);
	fake_host_answer(&w.host);
	assert_false(w.dp->ops->done(w.dp, &d));
	atomic_store(&q->seen, UINT64_MAX);
	for (int i = 0; i < 2; i++) {
		d = completion(&w);
		assert_int_equal(d.error, 0);
		assert_int_equal(d.generation, d.key == 1 ? n : 1);
	}
	world_free(&w);
}

/* The counters once so many packets were counted, which is after they came through. */
static struct dp_counters stats(struct world *w, uint64_t key, uint64_t rx, uint64_t tx)
{
	struct dp_counters n;

	for (int i = 0; i < 500; i++) {
		assert_true(w->dp->ops->stats(w->dp, key, &n));
		if (n.rx_packets >= rx && n.tx_packets >= tx)
			break;
		usleep(1000);
	}
	assert_int_equal(n.rx_packets, rx);
	assert_int_equal(n.tx_packets, tx);
	return n;
}

/* ---- tests ---- */

static void a_session_of_the_lns(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_net net;
	struct dp_done d;
	uint64_t pos = 0, key;
	uint32_t generation;

	world_new(&w);
	memset(&net, 0, sizeof(net));
	net.local[0] = prefix("10.0.0.254");
	net.local_count = 1;
	net.pools[0] = prefix("10.0.0.0/24");
	net.pools[1] = prefix("2001:db8:1::/48");
	net.pool_count = 2;
	net.mtu = 1400;
	assert_int_equal(w.dp->ops->net(w.dp, 9, &net), 0);
	d = completion(&w);
	assert_int_equal(d.op, DP_OP_NET);
	assert_int_equal(d.generation, 9);
	assert_int_equal(d.error, 0);
	assert_true(fake_host_has(&w.host, "tun adit0"));
	assert_true(fake_host_has(&w.host, "link adit0 1400"));
	assert_true(fake_host_has(&w.host, "addr adit0 10.0.0.254/32"));
	assert_true(fake_host_has(&w.host, "route adit0 10.0.0.0/24 0 0"));
	assert_int_equal(w.host.there_count, 5);

	/* In a pool: the host has nothing to do. Outside: a route of its own. */
	w.host.asked = 0;
	r = row(&w, 1, "10.0.0.1");
	put_ok(&w, 1, &r);
	assert_int_equal(w.host.asked, 0);
	r = row(&w, 2, "10.0.0.2");
	r.prefixes[1] = prefix("172.16.0.0/16");
	r.prefix_count = 2;
	put_ok(&w, 2, &r);
	assert_int_equal(w.host.asked, 1);
	assert_true(fake_host_has(&w.host, "route adit0 172.16.0.0/16 0 0"));

	/* Again the same: nothing happens. A pool that goes leaves nobody without a route. */
	put_ok(&w, 2, &r);
	assert_int_equal(w.host.asked, 1);
	net.pool_count = 0;
	assert_int_equal(w.dp->ops->net(w.dp, 10, &net), 0);
	completion(&w);
	fake_host_answer(&w.host);
	assert_false(fake_host_has(&w.host, "route adit0 10.0.0.0/24 0 0"));
	assert_true(fake_host_has(&w.host, "route adit0 10.0.0.1/32 0 0"));
	assert_true(fake_host_has(&w.host, "route adit0 10.0.0.2/32 0 0"));

	assert_true(w.dp->ops->list(w.dp, &pos, &key, &generation));
	assert_true(w.dp->ops->list(w.dp, &pos, &key, &generation));
	assert_false(w.dp->ops->list(w.dp, &pos, &key, &generation));

	for (key = 1; key <= 3; key++) { /* the third is not there: also fine */
		assert_int_equal(w.dp->ops->del(w.dp, key, 5), 0);
		d = completion(&w);
		assert_int_equal(d.op, DP_OP_DEL);
		assert_int_equal(d.key, key);
		assert_int_equal(d.error, 0);
	}
	assert_int_equal(w.host.there_count, 3); /* tun, link, local address */
	pos = 0;
	assert_false(w.dp->ops->list(w.dp, &pos, &key, &generation));
	world_free(&w);
}

/* The first of two sessions to one server that ends leaves the pin to the other. */
static void sessions_to_one_server_share_its_pin(void **state)
{
	struct world w;
	struct dp_row r;

	world_new(&w);
	r = client_row(&w, 1);
	r.table = 11;
	put_ok(&w, 7, &r);
	r = client_row(&w, 2);
	r.table = 12;
	put_ok(&w, 8, &r);
	assert_true(fake_host_has(&w.host, "pin 127.0.0.1"));
	assert_int_equal(w.dp->ops->del(w.dp, 7, 2), 0);
	assert_int_equal(completion(&w).error, 0);
	assert_true(fake_host_has(&w.host, "pin 127.0.0.1"));

	/* A put that fails takes nothing from it either. */
	r = client_row(&w, 3);
	r.table = 13;
	w.host.asked = 0;
	w.host.fail_at = 5; /* device, link, pin, address, address */
	w.host.fail_with = EIO;
	assert_int_equal(w.dp->ops->put(w.dp, 9, 1, &r), 0);
	assert_int_not_equal(completion(&w).error, 0);
	w.host.fail_at = 0;
	assert_true(fake_host_has(&w.host, "pin 127.0.0.1"));
	assert_int_equal(w.dp->ops->del(w.dp, 8, 2), 0);
	assert_int_equal(completion(&w).error, 0);
	assert_false(fake_host_has(&w.host, "pin 127.0.0.1"));

	/* Both at once: neither leaves it to the other. */
	r = client_row(&w, 1);
	r.table = 11;
	put_ok(&w, 17, &r);
	r = client_row(&w, 2);
	r.table = 12;
	put_ok(&w, 18, &r);
	assert_int_equal(w.dp->ops->del(w.dp, 17, 2), 0);
	assert_int_equal(w.dp->ops->del(w.dp, 18, 2), 0);
	assert_int_equal(completion(&w).error, 0);
	assert_int_equal(completion(&w).error, 0);
	assert_false(fake_host_has(&w.host, "pin 127.0.0.1"));
	world_free(&w);
}

static void a_session_of_a_client(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_net net;
	struct dp_done d;

	world_new(&w);
	memset(&net, 0, sizeof(net));
	net.mtu = 1400;
	assert_int_equal(w.dp->ops->net(w.dp, 1, &net), 0);
	assert_int_equal(completion(&w).error, 0);
	r = client_row(&w, 1);
	assert_int_equal(w.dp->ops->put(w.dp, 7, 1, &r), 0);
	d = completion(&w);
	assert_int_equal(d.error, 0);
	assert_string_equal(d.ifname, "adit1");
	assert_true(fake_host_has(&w.host, "tun adit1"));
	assert_true(fake_host_has(&w.host, "link adit1 1400"));
	assert_true(fake_host_has(&w.host, "addr adit1 10.7.0.2/32"));
	assert_true(fake_host_has(&w.host, "addr adit1 2001:db8:7::2/128"));
	assert_true(fake_host_has(&w.host, "route adit1 10.7.0.1/32 0 0"));
	assert_true(fake_host_has(&w.host, "route adit1 0.0.0.0/0 0 50"));
	assert_true(fake_host_has(&w.host, "route adit1 2001:db8::/32 0 50"));
	assert_true(fake_host_has(&w.host, "pin 127.0.0.1"));
	assert_int_equal(w.host.there_count, 8);
	assert_false(fake_host_has(&w.host, "tun adit0")); /* needs no shared device */

	/* A change: only the difference. */
	r.routes[0] = prefix("10.0.0.0/8");
	r.host_addr_count = 1;
	memset(&r.host_addrs[1], 0, sizeof(r.host_addrs[1]));
	r.mtu = 1300;
	w.host.asked = 0;
	put_ok(&w, 7, &r);
	assert_int_equal(w.host.asked, 4);
	assert_true(fake_host_has(&w.host, "route adit1 10.0.0.0/8 0 50"));
	assert_true(fake_host_has(&w.host, "link adit1 1300"));
	assert_false(fake_host_has(&w.host, "route adit1 0.0.0.0/0 0 50"));
	assert_false(fake_host_has(&w.host, "addr adit1 2001:db8:7::2/128"));

	/* A second one gets the next name, a third the one it asks for. */
	r = client_row(&w, 2);
	put_ok(&w, 8, &r);
	assert_true(fake_host_has(&w.host, "tun adit2"));
	r = client_row(&w, 3);
	strcpy(r.ifname, "vpn0");
	put_ok(&w, 9, &r);
	assert_true(fake_host_has(&w.host, "tun vpn0"));
	r = client_row(&w, 4);
	strcpy(r.ifname, "vpn0");
	assert_int_equal(w.dp->ops->put(w.dp, 10, 1, &r), 0);
	d = completion(&w);
	assert_int_equal(d.error, -EBUSY);
	assert_non_null(strstr(d.text, "vpn0"));

	for (uint64_t key = 7; key <= 10; key++) {
		assert_int_equal(w.dp->ops->del(w.dp, key, 1), 0);
		assert_int_equal(completion(&w).error, 0);
	}
	assert_int_equal(w.host.there_count, 0);

	/* Somebody else has adit1: the next name is tried, and that device is never removed. */
	strcpy(w.host.foreign, "adit1");
	r = client_row(&w, 5);
	assert_int_equal(w.dp->ops->put(w.dp, 11, 1, &r), 0);
	assert_string_equal(completion(&w).ifname, "adit2");
	strcpy(r.ifname, "adit1");
	r.local_session = 6;
	assert_int_equal(w.dp->ops->put(w.dp, 12, 1, &r), 0);
	w.host.there_count = 0; /* so that a removal would show */
	d = completion(&w);
	assert_int_equal(d.error, -EBUSY);
	assert_non_null(strstr(d.text, "adit1: not today"));
	world_free(&w);
}

/* Every request to the host fails in turn, by an answer or at once: all is undone. */
static void what_fails_is_undone(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		for (unsigned int n = 1;; n++) {
			struct world w;
			struct dp_row r;
			struct dp_done d;
			unsigned int before;
			uint64_t pos = 0, key;
			uint32_t generation;

			world_new(&w);
			r = row(&w, 50, "10.0.0.50");
			put_ok(&w, 50, &r);
			before = w.host.there_count;
			r = client_row(&w, 1);
			if (kind & 1) {
				r = row(&w, 1, "172.16.1.1");
				r.prefixes[1] = prefix("172.16.2.0/24");
				r.prefixes[2] = prefix("2001:db8:9::/64");
				r.prefix_count = 3;
			}
			w.host.refuse = kind & 2;
			w.host.asked = 0;
			w.host.fail_at = n;
			assert_int_equal(w.dp->ops->put(w.dp, 1, 1, &r), 0);
			d = completion(&w);
			fake_host_answer(&w.host);
			if (w.host.asked < n) {
				assert_int_equal(d.error, 0);
				world_free(&w);
				break;
			}
			assert_int_equal(d.error, -EPERM);
			assert_int_not_equal(d.text[0], 0);
			assert_int_equal(w.host.there_count, before);
			assert_true(w.dp->ops->list(w.dp, &pos, &key, &generation));
			assert_false(w.dp->ops->list(w.dp, &pos, &key, &generation));
			/* and the next attempt succeeds */
			w.host.fail_at = 0;
			put_ok(&w, 1, &r);
			world_free(&w);
		}
	}
}

static void a_failed_change_leaves_the_old_row(void **state)
{
	for (unsigned int n = 1;; n++) {
		struct world w;
		struct dp_row r, changed;
		struct dp_done d;
		unsigned int before;

		world_new(&w);
		r = client_row(&w, 1);
		put_ok(&w, 1, &r);
		before = w.host.there_count;
		changed = r;
		changed.host_addrs[2] = prefix("10.7.0.3");
		changed.host_addr_count = 3;
		changed.routes[2] = prefix("192.168.0.0/16");
		changed.routes[3] = prefix("192.0.2.0/24");
		changed.route_count = 4;
		w.host.asked = 0;
		w.host.fail_at = n;
		assert_int_equal(w.dp->ops->put(w.dp, 1, 2, &changed), 0);
		d = completion(&w);
		if (!d.error) {
			assert_int_equal(w.host.there_count, before + 3);
			world_free(&w);
			assert_int_equal(n, 4);
			break;
		}
		assert_int_equal(w.host.there_count, before);
		w.host.asked = 0;
		w.host.fail_at = 0;
		put_ok(&w, 1, &r); /* nothing to do */
		assert_int_equal(w.host.asked, 0);
		world_free(&w);
	}
}

static void refused_rows_say_why(void **state)
{
	struct world w;
	struct dp_row r, other;
	struct dp_done d;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	put_ok(&w, 1, &r);

	other = row(&w, 2, "10.0.0.1");
	assert_int_equal(w.dp->ops->put(w.dp, 2, 1, &other), 0);
	d = completion(&w);
	assert_int_equal(d.error, -EEXIST);
	assert_non_null(strstr(d.text, "0000000000000001"));

	other = row(&w, 1, "10.0.0.2");
	assert_int_equal(w.dp->ops->put(w.dp, 2, 1, &other), 0);
	assert_int_equal(completion(&w).error, -EEXIST);

	r.mtu = 10;
	assert_int_equal(w.dp->ops->put(w.dp, 3, 1, &r), 0);
	assert_int_equal(completion(&w).error, -EINVAL);
	r = row(&w, 9, "10.0.0.1");
	assert_int_equal(w.dp->ops->put(w.dp, 1, 1, &r), 0);
	assert_int_equal(completion(&w).error, -EINVAL);

	/* Full. */
	for (uint16_t i = 2; i <= 100; i++) {
		r = row(&w, i, NULL);
		put_ok(&w, i, &r);
	}
	r = row(&w, 101, NULL);
	assert_int_equal(w.dp->ops->put(w.dp, 101, 1, &r), 0);
	d = completion(&w);
	assert_int_equal(d.error, -ENOSPC);
	assert_non_null(strstr(d.text, "max-sessions"));
	world_free(&w);
}

static void requests_of_a_key_keep_their_order(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_done d;

	world_new(&w);
	for (uint32_t i = 0; i < 50; i++) {
		r = client_row(&w, (uint16_t)(1 + i));
		assert_int_equal(w.dp->ops->put(w.dp, 5, 2 * i, &r), 0);
		assert_int_equal(w.dp->ops->del(w.dp, 5, 2 * i + 1), 0);
	}
	for (uint32_t i = 0; i < 100; i++) {
		d = completion(&w);
		assert_int_equal(d.generation, i);
		assert_int_equal(d.error, 0);
		assert_int_equal(d.op, i & 1 ? DP_OP_DEL : DP_OP_PUT);
	}
	assert_int_equal(w.host.there_count, 0);
	/* Freed with requests at work: nothing leaks. */
	r = client_row(&w, 1);
	w.dp->ops->put(w.dp, 5, 1, &r);
	w.dp->ops->del(w.dp, 5, 2);
	r = row(&w, 2, "10.0.0.1");
	w.dp->ops->put(w.dp, 6, 1, &r);
	world_free(&w);
}

static void data_goes_both_ways(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_counters n;
	uint8_t b[2000], in[2000];
	size_t len;
	int tun;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	r.prefixes[1] = prefix("2001:db8:1::/64");
	r.prefix_count = 2;
	put_ok(&w, 1, &r);
	tun = fake_host_tun(&w.host, "adit0");

	len = ip4(b, "10.0.0.1", "192.0.2.1", 100);
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(tun, in, sizeof(in), WAIT_MS), len);
	assert_memory_equal(in, b, len);
	len = ip6(b, "2001:db8:1::99", "2001:db8:ffff::1", 90);
	send_from(&w, w.peer, 1, 0x57, b, len);
	assert_int_equal(get(tun, in, sizeof(in), WAIT_MS), len);
	assert_memory_equal(in, b, len);

	len = ip4(b, "192.0.2.1", "10.0.0.1", 200);
	assert_int_equal(send(tun, b, len, 0), len);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), len + 10);
	assert_memory_equal(
		in, ((uint8_t[]){ 0, 2, 0, 200, 1001 >> 8, 1001 & 255, 0xff, 3, 0, 0x21 }), 10);
	assert_memory_equal(in + 10, b, len);
	len = ip6(b, "2001:db8:ffff::1", "2001:db8:1::5", 1400);
	assert_int_equal(send(tun, b, len, 0), len);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), len + 10);

	n = stats(&w, 1, 2, 2);
	assert_int_equal(n.rx_bytes, 190);
	assert_true(n.last_rx.us > 0);
	assert_int_equal(w.dp->ops->heard(w.dp, 100).us, n.last_rx.us);
	assert_int_equal(w.dp->ops->heard(w.dp, 101).us, 0);
	assert_int_equal(n.tx_bytes, 1600);
	assert_false(w.dp->ops->stats(w.dp, 2, &n));
	world_free(&w);
}

/* A data message of L2TPv3 as the peer would send it. */
static void send_v3(struct world *w, uint32_t session, const uint8_t *data, size_t n)
{
	uint8_t b[2000];
	struct wcur c = wcur_of(b, sizeof(b));
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&w->lns_addr, &ss);

	wcur_u32(&c, 0x00030000);
	wcur_u32(&c, session);
	wcur_bytes(&c, data, n);
	assert_int_equal(sendto(w->peer, b, c.len, 0, (struct sockaddr *)&ss, len), c.len);
}

/* PPP shows that the peer of a tunnel lives, of either version; what a static pseudowire carries
 * says nothing of the tunnel that has the same number. */
static void ppp_is_heard_and_frames_are_not(void **state)
{
	struct world w;
	struct dp_row r, wire;
	uint8_t b[100] = { 0xff, 3, 0, 0x21 }, in[2000];

	world_new(&w);
	for (unsigned int v = 2; v <= 3; v++) {
		uint32_t base = v == 3 ? DP_PPP3_IDS : 0;
		uint64_t key = 2 * v;

		r = row(&w, 1, v == 3 ? "10.0.0.3" : "10.0.0.2");
		r.version = (uint8_t)v;
		r.local_tunnel += base;
		r.local_session += base;
		put_ok(&w, key, &r);
		wire = row(&w, (uint16_t)(3 + v), NULL);
		wire.ends = DP_L2TP_ETH;
		wire.version = 3;
		wire.flags = 0;
		wire.local_tunnel = r.local_tunnel;
		snprintf(wire.ifname, sizeof(wire.ifname), "x%u", v);
		put_ok(&w, key + 1, &wire);
		send_v3(&w, wire.local_session, b, sizeof(b));
		assert_int_equal(get(fake_host_tun(&w.host, wire.ifname), in, sizeof(in), WAIT_MS),
				 sizeof(b));
		assert_true(stats(&w, key + 1, 1, 0).last_rx.us > 0);
		assert_int_equal(w.dp->ops->heard(w.dp, r.local_tunnel).us, 0);

		ip4(b + 4, v == 3 ? "10.0.0.3" : "10.0.0.2", "192.0.2.1", sizeof(b) - 4);
		if (v == 3)
			send_v3(&w, r.local_session, b, sizeof(b));
		else
			send_from(&w, w.peer, 1, 0x21, b + 4, sizeof(b) - 4);
		assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), WAIT_MS),
				 sizeof(b) - 4);
		assert_true(w.dp->ops->heard(w.dp, r.local_tunnel).us > 0);
	}
	world_free(&w);
}

static void header_options_of_the_row(void **state)
{
	struct world w;
	struct dp_row r;
	uint8_t b[2000], in[2000], frame[64 + 20], *f = frame + 64;
	size_t len;
	int tun;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	r.flags |= DP_F_ACFC | DP_F_PFC | DP_F_LENGTH | DP_F_SEND_SEQ;
	r.first_ns = 65535;
	put_ok(&w, 1, &r);
	tun = fake_host_tun(&w.host, "adit0");
	len = ip4(b, "192.0.2.1", "10.0.0.1", 40);
	assert_int_equal(send(tun, b, len, 0), len);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), len + 13);
	assert_memory_equal(in,
			    ((uint8_t[]){ 0x48, 2, 0, 53, 0, 200, 1001 >> 8, 1001 & 255, 0xff, 0xff,
					  0, 0, 0x21 }),
			    13);
	/* A frame of the control plane goes on with the same numbers. LCP keeps FF 03, others not.
	 */
	memcpy(f, ((uint8_t[]){ 0xc0, 0x21, 9, 1, 0, 8 }), 6);
	assert_int_equal(w.dp->ops->send(w.dp, 1, f, 6, true), 0);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), 20);
	assert_memory_equal(in,
			    ((uint8_t[]){ 0x49, 2, 0, 20, 0, 200, 1001 >> 8, 1001 & 255, 0, 0, 0, 0,
					  0xff, 3, 0xc0, 0x21 }),
			    16);
	memcpy(f, ((uint8_t[]){ 0xff, 3, 0x80, 0x21, 1, 1, 0, 4 }), 8);
	assert_int_equal(w.dp->ops->send(w.dp, 1, f, 8, false), 0);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), 18);
	assert_memory_equal(in,
			    ((uint8_t[]){ 0x48, 2, 0, 18, 0, 200, 1001 >> 8, 1001 & 255, 0, 1, 0, 0,
					  0x80, 0x21 }),
			    14);
	assert_int_equal(w.dp->ops->send(w.dp, 2, f, 8, false), 1);
	r.state = DP_PREPARED;
	put_ok(&w, 1, &r);
	assert_int_equal(w.dp->ops->send(w.dp, 1, f, 8, false), 1);
	world_free(&w);
}

static void what_must_not_pass_is_dropped(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_counters n;
	struct dp_plane_stats s;
	uint8_t b[2000], in[2000];
	size_t len;
	int tun;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	r.prefixes[1] = prefix("2001:db8:1::/64");
	r.prefixes[2] = prefix("172.16.0.0/24");
	r.prefix_count = 3;
	put_ok(&w, 1, &r);
	r = row(&w, 2, "10.0.0.2");
	r.prefixes[1] = prefix("172.16.0.9");
	r.prefix_count = 2;
	r.flags &= (uint16_t)~DP_F_IP6;
	put_ok(&w, 2, &r);
	tun = fake_host_tun(&w.host, "adit0");

	/* a source that is not the session's; also one inside its net that belongs to another */
	len = ip4(b, "10.0.0.2", "192.0.2.1", 60);
	send_from(&w, w.peer, 1, 0x21, b, len);
	ip4(b, "172.16.0.9", "192.0.2.1", 60);
	send_from(&w, w.peer, 1, 0x21, b, len);
	ip6(b, "2001:db8:2::1", "2001:db8:3::1", 60);
	send_from(&w, w.peer, 1, 0x57, b, len);
	ip6(b, "fe80::1", "2001:db8:3::1", 60);
	send_from(&w, w.peer, 1, 0x57, b, len);
	/* somebody else's port */
	ip4(b, "10.0.0.1", "192.0.2.1", 60);
	send_from(&w, w.stranger, 1, 0x21, b, len);
	/* a protocol that is not open, the wrong version, cut short, nothing */
	ip6(b, "2001:db8:1::1", "2001:db8:3::1", 60);
	send_from(&w, w.peer, 2, 0x57, b, len);
	send_from(&w, w.peer, 2, 0x21, b, len);
	ip4(b, "10.0.0.1", "192.0.2.1", 60);
	send_from(&w, w.peer, 1, 0x21, b, 59);
	send_from(&w, w.peer, 1, 0x21, b, 0);
	/* what is in order passes: also another prefix of the session */
	ip4(b, "172.16.0.8", "192.0.2.1", 60);
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(tun, in, sizeof(in), WAIT_MS), 60);
	assert_memory_equal(in, b, 60);
	n = stats(&w, 1, 1, 0);
	assert_int_equal(n.drop_spoof, 4);
	assert_int_equal(n.drop_other, 2);
	assert_true(w.dp->ops->stats(w.dp, 2, &n));
	assert_int_equal(n.drop_other, 2);
	w.dp->ops->plane_stats(w.dp, &s);
	assert_int_equal(s.drop_spoof, 4);
	assert_int_equal(s.drop_path, 1);
	assert_int_equal(s.rows, 2);

	/* down: nobody's address, a closed protocol, link-local */
	len = ip4(b, "192.0.2.1", "10.0.0.3", 60);
	assert_int_equal(send(tun, b, len, 0), len);
	ip6(b, "fe80::1", "ff02::2", 60);
	assert_int_equal(send(tun, b, len, 0), len);
	ip4(b, "192.0.2.1", "10.0.0.2", 60);
	assert_int_equal(send(tun, b, len, 0), len);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), 70);
	assert_int_equal(get(w.peer, in, sizeof(in), 50), 0);
	world_free(&w);
}

static void what_is_too_big(void **state)
{
	struct world w;
	struct dp_row r;
	uint8_t b[2000], in[2000];
	struct pkt_ip ip;
	size_t len, got = 0;
	int tun;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	r.prefixes[1] = prefix("2001:db8:1::/64");
	r.prefix_count = 2;
	r.mtu = 1300;
	put_ok(&w, 1, &r);
	tun = fake_host_tun(&w.host, "adit0");

	len = ip4(b, "192.0.2.1", "10.0.0.1", 1301);
	assert_int_equal(send(tun, b, len, 0), len);
	assert_int_equal(get(tun, in, sizeof(in), WAIT_MS), 576);
	assert_memory_equal(in + 12, ((uint8_t[]){ 10, 0, 0, 1, 192, 0, 2, 1 }), 8);
	assert_memory_equal(in + 20, ((uint8_t[]){ 3, 4 }), 2);
	assert_memory_equal(in + 26, ((uint8_t[]){ 1300 >> 8, 1300 & 255 }), 2);
	len = ip6(b, "2001:db8:3::1", "2001:db8:1::1", 1301);
	assert_int_equal(send(tun, b, len, 0), len);
	assert_int_equal(get(tun, in, sizeof(in), WAIT_MS), 1280);
	assert_int_equal(in[40], 2);

	/* with DF clear it is cut */
	len = ip4(b, "192.0.2.1", "10.0.0.1", 1900);
	b[6] = 0;
	assert_int_equal(send(tun, b, len, 0), len);
	for (int i = 0; i < 2; i++) {
		ssize_t n = get(w.peer, in, sizeof(in), WAIT_MS);

		assert_true(n > 10 && n <= 1310);
		assert_true(pkt_ip_parse(in + 10, (size_t)n - 10, 4, &ip));
		got += ip.len - 20;
	}
	assert_int_equal(got, 1880);
	assert_int_equal(get(w.peer, in, sizeof(in), 30), 0);
	world_free(&w);
}

static void what_comes_up(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_punt p;
	uint8_t b[2000], echo[] = { 9, 1, 0, 8, 1, 2, 3, 4 };
	uint8_t control[] = { 0xc8, 2, 0, 12, 0, 100, 0, 0, 0, 1, 0, 1 };
	struct sockaddr_storage ss;
	socklen_t sl;
	size_t len;

	world_new(&w);
	sl = addr_to_sockaddr(&w.lns_addr, &ss);
	r = row(&w, 1, "10.0.0.1");
	r.prefixes[1] = prefix("2001:db8:1::/64");
	r.prefix_count = 2;
	put_ok(&w, 1, &r);
	r = row(&w, 2, "10.0.0.2");
	r.state = DP_PREPARED;
	put_ok(&w, 2, &r);

	assert_int_equal(sendto(w.stranger, control, 12, 0, (struct sockaddr *)&ss, sl), 12);
	assert_true(next_punt(&w, &p));
	assert_int_equal(p.class, DP_PUNT_DATAGRAM);
	assert_int_equal(p.len, 12);
	assert_memory_equal(p.bytes, control, 12);
	assert_int_equal(p.path.via, 1);
	assert_true(addr_equal(&p.path.local, &w.lns_addr));
	assert_false(addr_equal(&p.path.remote, &w.peer_addr));

	send_from(&w, w.peer, 1, 0xc021, echo, 8);
	assert_true(next_punt(&w, &p));
	assert_int_equal(p.class, DP_PUNT_PPP);
	assert_int_equal(p.key, 1);
	assert_int_equal(p.len, 10);
	assert_memory_equal(p.bytes, ((uint8_t[]){ 0xc0, 0x21, 9, 1 }), 4);

	/* of a prepared session, and of one that is not here: the whole datagram */
	for (uint16_t session = 2; session <= 3; session++) {
		send_from(&w, w.peer, session, 0xc021, echo, 8);
		assert_true(next_punt(&w, &p));
		assert_int_equal(p.class, DP_PUNT_DATAGRAM);
		assert_int_equal(p.len, 18);
		assert_true(addr_equal(&p.path.remote, &w.peer_addr));
	}
	len = ip6(b, "fe80::5", "ff02::2", 60);
	send_from(&w, w.peer, 1, 0x57, b, len);
	assert_true(next_punt(&w, &p));
	assert_int_equal(p.class, DP_PUNT_LOCAL);
	assert_int_equal(p.key, 1);
	assert_int_equal(p.len, 60);
	assert_memory_equal(p.bytes, b, 60);
	assert_false(w.dp->ops->punt(w.dp, &p));
	world_free(&w);
}

/* What a descriptor that wakes has is not passed over, whatever else is looked at before it. */
static void woken_until_it_is_looked_at(void **state)
{
	struct world w;
	struct pollfd p;
	struct dp_punt punt;
	struct dp_done d;
	int news[2];

	world_new(&w);
	assert_int_equal(pipe(news), 0);
	assert_int_equal(dp_user_wake(w.dp, news[0]), 0);
	p = (struct pollfd){ .fd = w.dp->ops->fd(w.dp), .events = POLLIN };
	assert_false(w.dp->ops->done(w.dp, &d));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(write(news[1], "", 1), 1);
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		for (int k = 0; k < 3; k++) {
			assert_false(w.dp->ops->done(w.dp, &d));
			assert_false(w.dp->ops->punt(w.dp, &punt));
			assert_int_equal(poll(&p, 1, 0), 1);
		}
		dp_user_awake(w.dp);
		assert_false(w.dp->ops->done(w.dp, &d));
		assert_int_equal(poll(&p, 1, 0), 0);
	}
	close(news[0]);
	close(news[1]);
	world_free(&w);
}

/* Messages of one length in one send, as the kernel hands them over at once (UDP_GRO); the last is
 * shorter. */
static void send_train(struct world *w, const uint8_t *b, size_t n, uint16_t segment)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&w->lns_addr, &ss);
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)b, n };
	struct msghdr m = { .msg_name = &ss,
			    .msg_namelen = len,
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };

	memset(&control, 0, sizeof(control));
	control.align.cmsg_level = SOL_UDP;
	control.align.cmsg_type = UDP_SEGMENT;
	control.align.cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(&control.align), &segment, sizeof(segment));
	assert_int_equal(sendmsg(w->peer, &m, 0), n);
}

/* Control and data of several sessions in one train: each is a message of its own. */
static void trains_are_taken_apart(void **state)
{
	static const uint8_t hello[30] = { 0xc8, 2, 0, 30, 0, 100 };
	static const uint8_t echo[4] = { 9, 7, 0, 4 };
	struct world w;
	struct dp_row r;
	struct dp_punt p;
	uint8_t b[150], in[2000];
	int tun;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	put_ok(&w, 1, &r);
	r = row(&w, 2, "10.0.0.2");
	put_ok(&w, 2, &r);
	tun = fake_host_tun(&w.host, "adit0");
	memset(b, 0, sizeof(b));
	for (uint8_t i = 0; i < 5; i++) {
		struct wcur c = wcur_of(b + 30u * i, 10);

		wcur_u16(&c, 2);
		wcur_u16(&c, 100);
		wcur_u16(&c, i == 3 ? 2 : 1);
		wcur_u16(&c, 0xff03);
		wcur_u16(&c, i == 4 ? 0xc021 : 0x21);
	}
	ip4(b + 10, "10.0.0.1", "192.0.2.1", 20);
	memcpy(b + 30, hello, sizeof(hello));
	ip4(b + 70, "10.0.0.2", "192.0.2.2", 20); /* not this session's: dropped */
	ip4(b + 100, "10.0.0.2", "192.0.2.3", 20);
	memcpy(b + 130, echo, sizeof(echo));
	send_train(&w, b, 134, 30);

	assert_int_equal(get(tun, in, sizeof(in), WAIT_MS), 20);
	assert_int_equal(in[19], 1);
	assert_int_equal(get(tun, in, sizeof(in), WAIT_MS), 20);
	assert_int_equal(in[19], 3);
	assert_true(next_punt(&w, &p));
	assert_int_equal(p.class, DP_PUNT_DATAGRAM);
	assert_int_equal(p.len, sizeof(hello));
	assert_memory_equal(p.bytes, hello, sizeof(hello));
	assert_int_equal(p.path.remote.port, w.peer_addr.port);
	assert_true(next_punt(&w, &p));
	assert_int_equal(p.class, DP_PUNT_PPP);
	assert_int_equal(p.key, 1);
	assert_int_equal(p.len, 6);
	assert_memory_equal(p.bytes + 2, echo, sizeof(echo));
	assert_int_equal(get(tun, in, sizeof(in), 20), 0);
	assert_int_equal(stats(&w, 1, 1, 0).drop_spoof, 1);
	stats(&w, 2, 1, 0);
	world_free(&w);
}

/* Data of L2TPv3 for sessions that are not here: of each one message, so that its sender can be
 * told.
 */
static void strays_of_v3(void **state)
{
	static const uint8_t data[2][12] = { { 0, 3, 0, 0, 0, 0, 0x10, 0x92, 1, 2, 3, 4 },
					     { 0, 3, 0, 0, 0x80, 0, 0x10, 0x92, 5, 6, 7, 8 } };
	struct dp_plane_stats s;
	struct world w;
	struct dp_punt p;
	uint8_t b[60];

	world_new(&w);
	for (int i = 0; i < 5; i++)
		memcpy(b + sizeof(b) / 5 * (size_t)i, data[i > 2], sizeof(b) / 5);
	send_train(&w, b, sizeof(b), sizeof(b) / 5);
	for (int i = 0; i < 2; i++) {
		assert_true(next_punt(&w, &p));
		assert_int_equal(p.class, DP_PUNT_DATAGRAM);
		assert_int_equal(p.len, sizeof(data[i]));
		assert_memory_equal(p.bytes, data[i], sizeof(data[i]));
		assert_true(addr_equal(&p.path.remote, &w.peer_addr));
	}
	assert_false(w.dp->ops->punt(w.dp, &p));
	w.dp->ops->plane_stats(w.dp, &s);
	assert_int_equal(s.drop_unknown, 5);
	world_free(&w);
}

static void floods_stay_below_their_rate(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_punt p;
	struct dp_plane_stats s;
	uint8_t b[100], echo[8] = { 9, 1, 0, 8 };
	unsigned int frames = 0, data = 0, negotiation = 0;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	put_ok(&w, 1, &r);
	ip4(b, "10.0.0.1", "192.0.2.1", 60);
	for (int i = 0; i < 30; i++) {
		for (int k = 0; k < 100; k++) {
			send_from(&w, w.peer, 1, 0xc021, echo, 8); /* echo of one session */
			send_from(&w, w.peer, 2, 0x21, b, 60);	   /* data of nobody's session */
			if (k % 10 == 0)
				send_from(&w, w.peer, 3, 0xc021, echo, 8); /* one is set up */
		}
		flush_up(&w, 1, "10.0.0.1");
		while (w.dp->ops->punt(w.dp, &p)) {
			frames += p.class == DP_PUNT_PPP;
			data += p.class == DP_PUNT_DATAGRAM && p.len > 40;
			negotiation += p.class == DP_PUNT_DATAGRAM && p.len <= 40;
		}
	}
	assert_true(frames >= 100 && frames < 1500);
	assert_true(data >= 100 && data < 1500);
	assert_int_equal(negotiation, 300);
	w.dp->ops->plane_stats(w.dp, &s);
	assert_int_equal(s.punts, frames + data + negotiation);
	assert_int_equal(s.punts_dropped, 6300 - s.punts);
	world_free(&w);
}

/* Whoever opens tunnels takes nothing from those that are up (badinput X01). */
static void requests_of_strangers_have_a_rate_of_their_own(void **state)
{
	uint8_t request[] = { 0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0 };
	uint8_t ack[] = { 0xc8, 2, 0, 12, 0, 100, 0, 0, 0, 1, 0, 1 };
	unsigned int requests = 0, acks = 0;
	struct sockaddr_storage ss;
	struct dp_punt p;
	struct world w;
	socklen_t sl;

	world_new(&w);
	sl = addr_to_sockaddr(&w.lns_addr, &ss);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(sendto(w.stranger, request, 12, 0, (struct sockaddr *)&ss, sl),
				 12);
		if (i % 10 == 0)
			assert_int_equal(sendto(w.peer, ack, 12, 0, (struct sockaddr *)&ss, sl),
					 12);
	}
	while (acks < 20 && next_punt(&w, &p)) {
		acks += p.bytes[5] == 100;
		requests += p.bytes[5] == 0;
	}
	assert_int_equal(acks, 20);
	assert_true(requests >= 20 && requests < 100);
	world_free(&w);
}

static void a_client_has_its_own_device(void **state)
{
	struct world w;
	struct dp_row r;
	uint8_t b[200], in[200];
	size_t len;

	world_new(&w);
	r = client_row(&w, 1);
	put_ok(&w, 1, &r);
	r = client_row(&w, 2);
	put_ok(&w, 2, &r);
	/* any source comes in by the right device */
	len = ip4(b, "8.8.8.8", "10.7.0.2", 60);
	send_from(&w, w.peer, 2, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit2"), in, sizeof(in), WAIT_MS), 60);
	/* any destination goes out by the session of its device */
	len = ip4(b, "10.7.0.2", "8.8.8.8", 60);
	assert_int_equal(send(fake_host_tun(&w.host, "adit1"), b, len, 0), len);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), 70);
	assert_memory_equal(in + 4, ((uint8_t[]){ 1001 >> 8, 1001 & 255 }), 2);
	/* a packet of the tunnel itself that was routed into it goes nowhere */
	b[9] = 17;
	memcpy(b + 12, w.lns_addr.ip, 4);
	memcpy(b + 16, w.peer_addr.ip, 4);
	b[20] = (uint8_t)(w.lns_addr.port >> 8);
	b[21] = (uint8_t)w.lns_addr.port;
	memset(b + 22, 0, 38);
	b[29] = 2;
	assert_int_equal(send(fake_host_tun(&w.host, "adit1"), b, len, 0), len);
	b[20] ^= 0x55; /* any other port is no business of ours */
	assert_int_equal(send(fake_host_tun(&w.host, "adit1"), b, len, 0), len);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), 70);
	assert_int_equal(in[30], b[20]);
	assert_int_equal(get(w.peer, in, sizeof(in), 30), 0);
	world_free(&w);
}

/* Another plane on the same table, as after a crash: the sessions are there and forward. */
static void the_next_plane_goes_on(void **state)
{
	struct world w;
	struct dp_row r, c;
	struct dp_counters n;
	struct dp_net net;
	uint8_t b[200], in[200];
	uint64_t pos = 0, key;
	uint32_t generation;
	size_t len;

	world_new(&w);
	memset(&net, 0, sizeof(net));
	net.pools[0] = prefix("10.0.0.0/24");
	net.pool_count = 1;
	assert_int_equal(w.dp->ops->net(w.dp, 1, &net), 0);
	completion(&w);
	r = row(&w, 1, "10.0.0.1");
	r.flags |= DP_F_SEND_SEQ;
	put_ok(&w, 1, &r);
	c = client_row(&w, 2);
	put_ok(&w, 2, &c);
	len = ip4(b, "10.0.0.1", "192.0.2.1", 60);
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), WAIT_MS), 60);
	stats(&w, 1, 1, 0);

	w.dp->ops->free(w.dp);
	plane_new(&w);
	fake_host_answer(&w.host);
	assert_int_equal(w.dp->ops->listen(w.dp, 1, w.lns), 0);
	assert_true(w.dp->ops->stats(w.dp, 1, &n));
	assert_int_equal(n.rx_packets, 1);
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), WAIT_MS), 60);
	len = ip4(b, "10.7.0.2", "8.8.8.8", 60);
	assert_int_equal(send(fake_host_tun(&w.host, "adit1"), b, len, 0), len);
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), 70);
	assert_true(w.dp->ops->list(w.dp, &pos, &key, &generation));
	assert_true(w.dp->ops->list(w.dp, &pos, &key, &generation));
	assert_false(w.dp->ops->list(w.dp, &pos, &key, &generation));

	/* The same rows and the same net again change nothing. */
	w.host.asked = 0;
	put_ok(&w, 1, &r);
	put_ok(&w, 2, &c);
	assert_int_equal(w.dp->ops->net(w.dp, 2, &net), 0);
	assert_int_equal(completion(&w).error, 0);
	assert_int_equal(w.host.asked, 0);
	for (key = 1; key <= 2; key++) {
		assert_int_equal(w.dp->ops->del(w.dp, key, 1), 0);
		completion(&w);
	}
	net.pool_count = 0;
	assert_int_equal(w.dp->ops->net(w.dp, 3, &net), 0);
	completion(&w);
	assert_int_equal(w.host.there_count, 2); /* the shared device and its MTU */
	world_free(&w);
}

/* A pseudowire is put into the bridge of its row, or into none, when that is new. Else it stays
 * where somebody may have put it. */
static void a_pseudowire_stays_or_moves(void **state)
{
	struct world w;
	struct dp_row r;

	world_new(&w);
	r = row(&w, 1, NULL);
	r.ends = DP_L2TP_ETH;
	r.version = 3;
	r.flags = 0;
	strcpy(r.ifname, "x");
	put_ok(&w, 1, &r);
	assert_true(fake_host_has(&w.host, "link x 1400 in none"));
	strcpy(r.master, "br0");
	put_ok(&w, 1, &r);
	assert_true(fake_host_has(&w.host, "link x 1400 in br0"));
	r.mtu = 1300;
	put_ok(&w, 1, &r);
	assert_true(fake_host_has(&w.host, "link x 1300"));

	/* The next plane sets it up as it is, and hears of another configuration then. */
	w.dp->ops->free(w.dp);
	plane_new(&w);
	assert_int_equal(w.dp->ops->listen(w.dp, 1, w.lns), 0);
	r.master[0] = '\0';
	assert_int_equal(w.dp->ops->put(w.dp, 1, 2, &r), 0);
	assert_int_equal(completion(&w).error, 0);
	assert_true(fake_host_has(&w.host, "link x 1300 in none"));
	world_free(&w);
}

static void a_device_that_is_lost_comes_back(void **state)
{
	struct world w;
	struct dp_row r;
	struct dp_punt p;
	uint8_t b[200], in[200];
	size_t len;
	int old;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	put_ok(&w, 1, &r);
	/* The other end shut down looks like a device that somebody removed. */
	old = fake_host_tun(&w.host, "adit0");
	w.host.there_count = 0;
	assert_int_equal(shutdown(old, SHUT_RDWR), 0);
	len = ip4(b, "192.0.2.1", "10.0.0.1", 60);
	for (int i = 0; i < 100; i++) {
		assert_false(w.dp->ops->punt(w.dp, &p));
		fake_host_answer(&w.host);
		if (fake_host_tun(&w.host, "adit0") != old &&
		    send(fake_host_tun(&w.host, "adit0"), b, len, 0) == (ssize_t)len)
			break;
		usleep(5000);
	}
	assert_true(fake_host_has(&w.host, "tun adit0"));
	assert_int_equal(get(w.peer, in, sizeof(in), WAIT_MS), 70);
	fake_host_answer(&w.host);
	assert_true(fake_host_has(&w.host, "route adit0 10.0.0.1/32 0 0"));
	world_free(&w);
}

static void sockets_come_and_go(void **state)
{
	struct world w;
	struct dp_row r;
	uint8_t b[200], in[200];
	struct addr unused;
	size_t len;
	int fd, rc;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	put_ok(&w, 1, &r);
	assert_int_equal(w.dp->ops->listen(w.dp, 1, w.lns), -EEXIST);
	assert_int_equal(w.dp->ops->unlisten(w.dp, 2), -ENOENT);
	assert_int_equal(w.dp->ops->unlisten(w.dp, 1), 0);
	len = ip4(b, "10.0.0.1", "192.0.2.1", 60);
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), 50), 0);
	assert_int_equal(w.dp->ops->listen(w.dp, 1, w.lns), 0); /* the socket was the caller's */
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), WAIT_MS), 60);
	for (uint32_t i = 0; i < 300; i++) { /* more than there is room for at once */
		fd = udp(&unused);
		/* All places may wait for the forwarding thread. */
		while ((rc = w.dp->ops->listen(w.dp, 100 + i, fd)) == -ENOSPC)
			usleep(1000);
		assert_int_equal(rc, 0);
		close(fd);
		assert_int_equal(w.dp->ops->unlisten(w.dp, 100 + i), 0);
	}
	world_free(&w);
}

/* The connected socket of a tunnel that the kernel carries: what comes up there is treated as if it
 * had come by the listener. */
static void sockets_of_tunnels(void **state)
{
	struct sockaddr_storage to;
	uint8_t b[200], in[200];
	struct addr own_addr;
	struct world w;
	struct dp_row r;
	socklen_t n;
	size_t len;
	int own;

	world_new(&w);
	r = row(&w, 1, "10.0.0.1");
	put_ok(&w, 1, &r);
	own = udp(&own_addr);
	n = addr_to_sockaddr(&w.peer_addr, &to);
	assert_int_equal(connect(own, (struct sockaddr *)&to, n), 0);
	assert_int_equal(dp_user_attach(w.dp, 0, 1, own), -ERANGE);
	assert_true(dp_user_attach(w.dp, 100, 1, -1) < 0);
	assert_int_equal(dp_user_attach(w.dp, 100, 1, own), 0);
	assert_int_equal(dp_user_attach(w.dp, 100, 1, own), 0); /* once more: the same */
	w.lns_addr = own_addr;
	len = ip4(b, "10.0.0.1", "192.0.2.1", 60);
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), WAIT_MS), 60);
	dp_user_detach(w.dp, 100);
	dp_user_detach(w.dp, 100);
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), 50), 0);
	/* one after the other in the same place, while packets come */
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(dp_user_attach(w.dp, 100, 1 + i % 2, own), 0);
		send_from(&w, w.peer, 1, 0x21, b, len);
	}
	dp_user_detach(w.dp, 100);
	for (uint32_t i = 1; i <= 300; i++) {
		assert_int_equal(dp_user_attach(w.dp, i, 1, own), 0);
		if (i % 3)
			dp_user_detach(w.dp, i);
		else if (i > 3)
			dp_user_detach(w.dp, i - 3);
	}
	dp_user_detach(w.dp, 300);
	/* Ids of L2TPv3 are longer: those that end alike stand behind each other. */
	for (uint32_t i = 1; i <= 64; i++)
		assert_int_equal(dp_user_attach(w.dp, i << 16 | 700, 1, own), 0);
	assert_int_equal(dp_user_attach(w.dp, 65u << 16 | 700, 1, own), -ENOSPC);
	for (uint32_t i = 1; i < 64; i++)
		dp_user_detach(w.dp, i << 16 | 700);
	assert_int_equal(dp_user_attach(w.dp, 64u << 16 | 700, 1, own), 0); /* the same again */
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), WAIT_MS), 60);
	dp_user_detach(w.dp, 64u << 16 | 700);
	while (get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), 50) > 0)
		;
	send_from(&w, w.peer, 1, 0x21, b, len);
	assert_int_equal(get(fake_host_tun(&w.host, "adit0"), in, sizeof(in), 50), 0);
	close(own); /* the plane has duplicates, and closes them in the end */
	world_free(&w);
}

static void memory_that_runs_out(void **state)
{
	struct world w;
	struct dp_row r;

	for (long n = 1;; n++) {
		struct fake_host h;
		struct dp_user_config c = { .host_ops = &fake_host_ops, .host = &h };
		struct dp *dp;

		fake_host_init(&h);
		failmalloc_arm(n);
		dp = dp_user_new(&c);
		if (!failmalloc_disarm()) {
			dp->ops->free(dp);
			break;
		}
		assert_null(dp);
		assert_int_equal(errno, ENOMEM);
	}
	for (long n = 1;; n++) {
		int rc;

		world_new(&w);
		r = client_row(&w, 1);
		failmalloc_arm(n);
		rc = w.dp->ops->put(w.dp, 1, 1, &r);
		fake_host_answer(&w.host);
		if (!failmalloc_disarm()) {
			assert_int_equal(completion(&w).error, 0);
			world_free(&w);
			break;
		}
		if (rc == 0)
			assert_int_equal(completion(&w).error, -ENOMEM);
		else
			assert_int_equal(rc, -ENOMEM);
		assert_int_equal(w.host.there_count, 0);
		put_ok(&w, 1, &r);
		world_free(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_of_the_lns),
		cmocka_unit_test(a_session_of_a_client),
		cmocka_unit_test(sessions_to_one_server_share_its_pin),
		cmocka_unit_test(what_fails_is_undone),
		cmocka_unit_test(a_failed_change_leaves_the_old_row),
		cmocka_unit_test(refused_rows_say_why),
		cmocka_unit_test(woken_until_it_is_looked_at),
		cmocka_unit_test(a_reader_that_stands_still_delays_changes),
		cmocka_unit_test(requests_of_a_key_keep_their_order),
		cmocka_unit_test(data_goes_both_ways),
		cmocka_unit_test(ppp_is_heard_and_frames_are_not),
		cmocka_unit_test(header_options_of_the_row),
		cmocka_unit_test(what_must_not_pass_is_dropped),
		cmocka_unit_test(what_is_too_big),
		cmocka_unit_test(what_comes_up),
		cmocka_unit_test(trains_are_taken_apart),
		cmocka_unit_test(strays_of_v3),
		cmocka_unit_test(floods_stay_below_their_rate),
		cmocka_unit_test(requests_of_strangers_have_a_rate_of_their_own),
		cmocka_unit_test(a_client_has_its_own_device),
		cmocka_unit_test(the_next_plane_goes_on),
		cmocka_unit_test(a_pseudowire_stays_or_moves),
		cmocka_unit_test(a_device_that_is_lost_comes_back),
		cmocka_unit_test(sockets_come_and_go),
		cmocka_unit_test(sockets_of_tunnels),
		cmocka_unit_test(memory_that_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
