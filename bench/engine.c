/* SPDX-License-Identifier: MIT
 *
 * The engines alone: a whole LNS (src/access) and a LAC with its PPP clients (src/load/lac.c) in
 * one process, joined in memory, no sockets, no data plane, no disk. Each session is set up with
 * CHAP, IPCP and IPv6CP. Prints one JSON object:
 *
 *   us_per_session       CPU time of the process per session, both ends together
 *   bytes_per_session    memory the LNS took from the allocator per established session
 *
 * usage: engine SESSIONS TUNNELS
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "access/access.h"
#include "base/wire.h"
#include "load/lac.h"

/* Memory of the LNS: everything it allocates or frees while `lns_runs` is set. */
static bool lns_runs;
static int64_t lns_bytes;

#define OVERHEAD ((int64_t)sizeof(size_t)) /* what glibc keeps before each block */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

static void *account(void *p)
{
	if (lns_runs && p)
		lns_bytes += (int64_t)malloc_usable_size(p) + OVERHEAD;
	return p;
}

static void forget(void *p)
{
	if (lns_runs && p)
		lns_bytes -= (int64_t)malloc_usable_size(p) + OVERHEAD;
}

void *__wrap_malloc(size_t n)
{
	return account(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t m)
{
	return account(__real_calloc(n, m));
}

void *__wrap_realloc(void *p, size_t n)
{
	forget(p);
	return account(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

static void die(const char *what)
{
	fprintf(stderr, "engine: %s\n", what);
	exit(1);
}

static struct access_conf *make_conf(void)
{
	struct l2tp_params lp = { .host_name = "lns",
				  .secret = "secret",
				  .secret_len = 6,
				  .challenge = true,
				  .receive_window = 64 };
	struct ppp_params pp = { .auth_order = { PPP_AUTH_CHAP_MD5 },
				 .ipcp = true,
				 .ipv6cp = true };
	struct access_conf *c = access_conf_new();
	struct conf_profile *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!c || !p)
		die("out of memory");
	c->serial = 1;
	strcpy(c->host_name, "lns");
	c->pools = calloc(1, sizeof(*c->pools));
	c->pools[0].ranges = calloc(1, sizeof(struct conf_range4));
	c->pools[0].prefixes6 = calloc(1, sizeof(struct prefix));
	c->pools[0].range_count = c->pools[0].prefix6_count = c->pool_count = 1;
	strcpy(c->pools[0].name, "pool");
	c->pools[0].ranges[0] = (struct conf_range4){ 0x0a400002, 0x0a4ffffe };
	prefix_parse("2001:db8::/40", &c->pools[0].prefixes6[0]);
	c->pools[0].len6 = 64;
	p->refs = 1;
	strcpy(p->name, "profile");
	strcpy(p->users, "users");
	strcpy(p->pool, "pool");
	addr_parse("10.64.0.1", &p->local4);
	p->ppp = ppp_profile_new(&pp, &err);
	p->antispoof = p->mss_clamp = true;
	c->profiles = calloc(1, sizeof(struct conf_profile *));
	c->profiles[0] = p;
	c->profile_count = 1;
	c->peers = calloc(1, sizeof(*c->peers));
	strcpy(c->peers[0].name, "any");
	c->peers[0].l2tp = l2tp_profile_new(&lp, &err);
	c->peers[0].profile = conf_profile_ref(p);
	c->peer_count = 1;
	if (err)
		die("a profile was refused");
	return c;
}

/* The network: a queue of packets in each direction. Nothing is lost on it. */
#define QUEUE 65536

struct packet {
	struct path path;
	uint16_t len;
	uint8_t bytes[256];
};

struct queue {
	struct packet *v;
	uint32_t head, tail;
};

struct bench {
	struct access *lns;
	struct lac *lac;
	struct users *users;
	struct queue to_lns, to_lac;
	struct mono now;
};

static void queue_put(struct queue *q, const struct path *path, const uint8_t *bytes, size_t len)
{
	struct packet *p = &q->v[q->tail++ % QUEUE];

	if (q->tail - q->head > QUEUE || len > sizeof(p->bytes))
		die("the network is full");
	p->path = (struct path){ path->via, path->remote, path->local };
	p->len = (uint16_t)len;
	memcpy(p->bytes, bytes, len);
}

static struct packet *queue_take(struct queue *q)
{
	return q->head == q->tail ? NULL : &q->v[q->head++ % QUEUE];
}

static void lns_events(struct bench *b)
{
	static uint8_t record[ACCESS_SAVE_TUNNEL_MAX];
	struct access_event ev;
	enum access_object kind;
	uint64_t id;
	bool gone;

	while (access_event(b->lns, b->now, &ev)) {
		struct dp_done done = { .key = ev.key, .generation = ev.generation };
		struct access_cmd cmd = { .key = ev.key, .done = &done };

		switch (ev.kind) {
		case ACCESS_EV_DP_PUT:
		case ACCESS_EV_DP_DEL:
		case ACCESS_EV_DP_NET:
			done.op = ev.kind == ACCESS_EV_DP_PUT	? DP_OP_PUT
				  : ev.kind == ACCESS_EV_DP_DEL ? DP_OP_DEL
								: DP_OP_NET;
			cmd.kind = ACCESS_CMD_DP_DONE;
			break;
		case ACCESS_EV_AUTH:
			cmd.kind = ACCESS_CMD_AUTH;
			users_check(b->users, &ev, "lns", &cmd);
			break;
		case ACCESS_EV_ACCT:
			cmd.kind = ACCESS_CMD_ACCT_WRITTEN;
			cmd.acct_seq = ev.acct_seq;
			break;
		case ACCESS_EV_STATS:
			cmd.kind = ACCESS_CMD_STATS;
			break;
		case ACCESS_EV_HEARD:
			cmd.kind = ACCESS_CMD_HEARD;
			cmd.tunnel = ev.tunnel;
			break;
		case ACCESS_EV_RESOLVE:
		case ACCESS_EV_UP:
		case ACCESS_EV_DOWN:
		case ACCESS_EV_TUNNEL_UP:
		case ACCESS_EV_TUNNEL_DOWN:
			continue;
		}
		access_do(b->lns, b->now, &cmd);
	}
	while (access_dirty(b->lns, &kind, &id, &gone)) {
		struct wcur c = wcur_of(record, sizeof(record));

		if (!gone)
			access_save(b->lns, kind, id, &c);
	}
}

/* What a data plane would do with a PPP frame of an active session: the L2TP header before it. */
static size_t lns_wrap(struct bench *b, uint64_t key, const uint8_t *frame, size_t n, uint8_t *ret,
		       size_t cap, struct path *ret_path)
{
	struct access_session_info info;
	struct wcur c = wcur_of(ret, cap);

	if (!access_session(b->lns, key, &info))
		return 0;
	wcur_u16(&c, 0x0002);
	wcur_u16(&c, info.remote_tunnel);
	wcur_u16(&c, info.remote_session);
	wcur_u16(&c, 0xff03);
	wcur_bytes(&c, frame, n);
	*ret_path = info.path;
	return c.bad ? 0 : c.len;
}

static void lns_output(struct bench *b)
{
	static uint8_t buf[ACCESS_PACKET_MAX], wrapped[ACCESS_PACKET_MAX];
	struct access_packet packet;
	size_t n, off;

	while ((n = access_output(b->lns, b->now, buf, sizeof(buf), &off, &packet))) {
		const uint8_t *bytes = buf + off;

		if (packet.key) {
			n = lns_wrap(b, packet.key, bytes, n, wrapped, sizeof(wrapped),
				     &packet.path);
			bytes = wrapped;
		}
		if (n)
			queue_put(&b->to_lac, &packet.path, bytes, n);
	}
}

static void lac_send(struct bench *b)
{
	uint8_t buf[LAC_PACKET_MAX];
	struct path path;
	size_t n, off;

	while ((n = lac_output(b->lac, b->now, buf, &off, &path)))
		queue_put(&b->to_lns, &path, buf + off, n);
}

/* Deliver everything under way; each side drains after each packet. False when there was nothing.
 */
static bool exchange(struct bench *b)
{
	struct packet *p;
	bool any = false;

	lns_runs = true;
	while ((p = queue_take(&b->to_lns))) {
		access_input(b->lns, b->now, &p->path, p->bytes, p->len);
		lns_events(b);
		lns_output(b);
		any = true;
	}
	lns_runs = false;
	while ((p = queue_take(&b->to_lac))) {
		lac_input(b->lac, b->now, &p->path, p->bytes, p->len);
		lac_send(b);
		any = true;
	}
	return any;
}

static void run(struct bench *b, uint32_t sessions)
{
	struct lac_stats st;

	for (uint64_t rounds = 0;; rounds++) {
		bool any = exchange(b);

		lac_stats(b->lac, &st);
		if (st.up + st.failed >= sessions)
			break;
		b->now.us += any ? 100 : 100 * US_MS;
		if (rounds % 64 == 0 || !any) {
			lac_expire(b->lac, b->now);
			lac_send(b);
			lns_runs = true;
			access_expire(b->lns, b->now);
			lns_events(b);
			lns_output(b);
			lns_runs = false;
		}
		if (!any && b->now.us > 3600 * US_S)
			die("no progress");
	}
	if (st.failed)
		die(st.reason);
}

static int64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * US_S + ts.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	uint32_t sessions = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000;
	uint32_t tunnels = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
	struct access_config ac = { .seed = { 1 }, .incarnation = 1 };
	struct lac_config lc = { .seed = { 2 },
				 .host_name = "lac",
				 .secret = "secret",
				 .user = "alice",
				 .password = "password",
				 .tunnels = tunnels,
				 .sessions = sessions,
				 .window = 64,
				 .ip6 = true };
	struct access_cmd conf = { .kind = ACCESS_CMD_CONF, .conf = make_conf() };
	static const char users[] = "* * password *\n";
	struct access_summary sum;
	struct bench b = { .now = { US_S } };
	int64_t begun, took, before;
	char text[128];
	int err = 0;

	lns_runs = true;
	b.lns = access_new(&ac);
	b.users = users_parse(users, strlen(users), &err, text, sizeof(text));
	if (!b.lns || !b.users || access_do(b.lns, b.now, &conf) != 0)
		die("the LNS did not start");
	lns_events(&b);
	before = lns_bytes;
	lns_runs = false;
	b.lac = lac_new(&lc, &err);
	if (!b.lac)
		die("the LAC did not start");
	b.to_lns.v = calloc(QUEUE, sizeof(struct packet));
	b.to_lac.v = calloc(QUEUE, sizeof(struct packet));
	if (!b.to_lns.v || !b.to_lac.v)
		die("out of memory");
	begun = cpu_us();
	for (uint32_t i = 0; i < tunnels; i++) {
		struct path path = { .via = i };

		addr_parse("192.0.2.1:1701", &path.remote);
		addr_parse("192.0.2.2", &path.local);
		path.local.port = (uint16_t)(2000 + i);
		if (lac_open(b.lac, b.now, &path) != 0)
			die("a tunnel was not opened");
		lac_send(&b);
		while (exchange(&b)) /* one after the other: an LNS bounds half-open tunnels */
			;
	}
	run(&b, sessions);
	took = cpu_us() - begun;
	access_summary(b.lns, &sum);
	if (sum.sessions_up != sessions)
		die("the LNS does not have all sessions");
	printf("{\"sessions\":%u,\"tunnels\":%u,\"us_per_session\":%.2f,\"bytes_per_session\":%.0f}"
	       "\n",
	       sessions, tunnels, (double)took / sessions, (double)(lns_bytes - before) / sessions);
	free(b.to_lns.v);
	free(b.to_lac.v);
	lac_free(b.lac);
	lns_runs = true;
	access_free(b.lns);
	users_free(b.users);
	access_conf_unref(conf.conf);
	return 0;
}
