/* SPDX-License-Identifier: MIT
 *
 * The kernel plane alone (src/dp/kernel.h), driven by lines on standard input; each piece of news
 * is a line of JSON on standard output. For tests/vm/test_kernel_plane.py and for trying things
 * out.
 *
 *   probe                         what this kernel can do
 *   open [frames-per-second]
 *   tunnel KEY ID=.. PEER=.. [version=2 encap=0 managed=1 local=A:P remote=A:P device=..]
 *   tunneldel KEY
 *   put KEY TUNNEL name=value...  a row; see set() for the names
 *   puts KEY COUNT TUNNEL name=value...   KEY.., session ids and host routes counted up
 *   del KEY | dels KEY COUNT | drop | stats | stat KEY | all | sweep
 *   netns ID PATH                 name a namespace for the rows
 *   send KEY HEX | fill N         (N descriptors taken away, to be out of them)
 *   bench COUNT TUNNELS           set up and take down, figures only
 *   read FD                       a datagram of a tunnel's socket
 *   quit
 */
#include "dp/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct kernel *k;
static struct kernel_probe probe;
static uint32_t generation;
static bool quiet;
static uint32_t done_ok, done_other;

static struct mono now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

static void hex(const uint8_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", v[i]);
}

static size_t unhex(const char *text, uint8_t *v, size_t cap)
{
	size_t n = 0;
	unsigned int octet;

	while (n < cap && sscanf(text + 2 * n, "%2x", &octet) == 1)
		v[n++] = (uint8_t)octet;
	return n;
}

static void text_out(const char *text)
{
	for (; *text; text++)
		putchar(*text == '"' || *text == '\\' ? '\'' : *text);
}

static void counters_out(const struct dp_counters *c)
{
	printf("\"rx\":%llu,\"rx_bytes\":%llu,\"tx\":%llu,\"tx_bytes\":%llu,\"last_rx\":%lld",
	       (unsigned long long)c->rx_packets, (unsigned long long)c->rx_bytes,
	       (unsigned long long)c->tx_packets, (unsigned long long)c->tx_bytes,
	       (long long)c->last_rx.us);
}

static void news_out(const struct kernel_news *n)
{
	static const char *const kinds[] = { "", "done", "frame", "local", "gone", "tunnel-gone" };
	static const char *const ops[] = {
		"", "tunnel", "tunneldel", "put", "del", "drop", "stats"
	};
	static const char *const results[] = { "ok",	   "failed",	  "cancelled",
					       "id-taken", "tuple-taken", "cannot" };

	if (n->kind == KERNEL_NEWS_DONE) {
		done_ok += n->result == KERNEL_OK;
		done_other += n->result != KERNEL_OK;
	}
	if (quiet && (n->kind == KERNEL_NEWS_GONE || n->result == KERNEL_OK))
		return;
	printf("{\"kind\":\"%s\",\"key\":%llu", kinds[n->kind], (unsigned long long)n->key);
	if (n->kind == KERNEL_NEWS_DONE)
		printf(",\"op\":\"%s\",\"result\":\"%s\",\"generation\":%u,\"error\":%d,\"fd\":%d,"
		       "\"ifname\":\"%s\",\"ifindex\":%d",
		       ops[n->op], results[n->result], n->generation, n->error, n->fd, n->ifname,
		       n->ifindex);
	if (n->bytes) {
		printf(",\"bytes\":\"");
		hex(n->bytes, n->len);
		printf("\"");
	}
	if (n->text[0]) {
		printf(",\"text\":\"");
		text_out(n->text);
		printf("\"");
	}
	printf(",");
	counters_out(&n->counters);
	printf("}\n");
}

static void prefix_add(const char *value, struct prefix *v, uint8_t *n, uint8_t most, bool host)
{
	struct prefix p;
	char copy[80];
	char *slash;

	snprintf(copy, sizeof(copy), "%s", value);
	slash = strchr(copy, '/');
	if (host && slash) {
		*slash = 0;
		if (addr_parse(copy, &p.addr) == 0 && *n < most) {
			p.len = (uint8_t)atoi(slash + 1);
			v[(*n)++] = p;
		}
	} else if (prefix_parse(value, &p) == 0 && *n < most) {
		v[(*n)++] = p;
	}
}

static void set(struct dp_row *r, const char *name, const char *value)
{
	uint32_t v = (uint32_t)strtoul(value, NULL, 0);

	if (!strcmp(name, "state"))
		r->state = (uint8_t)v;
	else if (!strcmp(name, "ends"))
		r->ends = (uint8_t)v;
	else if (!strcmp(name, "flags"))
		r->flags = (uint16_t)v;
	else if (!strcmp(name, "version"))
		r->version = (uint8_t)v;
	else if (!strcmp(name, "encap"))
		r->encap = (uint8_t)v;
	else if (!strcmp(name, "lt"))
		r->local_tunnel = v;
	else if (!strcmp(name, "rt"))
		r->remote_tunnel = v;
	else if (!strcmp(name, "ls"))
		r->local_session = v;
	else if (!strcmp(name, "rs"))
		r->remote_session = v;
	else if (!strcmp(name, "mtu"))
		r->mtu = (uint16_t)v;
	else if (!strcmp(name, "l2spec"))
		r->l2spec = (uint8_t)v;
	else if (!strcmp(name, "netns"))
		r->netns = v;
	else if (!strcmp(name, "table"))
		r->table = v;
	else if (!strcmp(name, "metric"))
		r->metric = v;
	else if (!strcmp(name, "txqlen"))
		r->txqlen = (uint16_t)v;
	else if (!strcmp(name, "partner"))
		r->partner = v;
	else if (!strcmp(name, "ifname"))
		snprintf(r->ifname, sizeof(r->ifname), "%s", value);
	else if (!strcmp(name, "master"))
		snprintf(r->master, sizeof(r->master), "%s", value);
	else if (!strcmp(name, "cookie_in"))
		r->cookie_in_len = (uint8_t)unhex(value, r->cookie_in, 8);
	else if (!strcmp(name, "cookie_out"))
		r->cookie_out_len = (uint8_t)unhex(value, r->cookie_out, 8);
	else if (!strcmp(name, "mppe"))
		unhex(value, r->mppe_options, 4);
	else if (!strcmp(name, "sendkey"))
		unhex(value, r->mppe_send_key, 16);
	else if (!strcmp(name, "recvkey"))
		unhex(value, r->mppe_recv_key, 16);
	else if (!strcmp(name, "prefix"))
		prefix_add(value, r->prefixes, &r->prefix_count, DP_PREFIXES, false);
	else if (!strcmp(name, "route"))
		prefix_add(value, r->routes, &r->route_count, DP_PREFIXES, false);
	else if (!strcmp(name, "host"))
		prefix_add(value, r->host_addrs, &r->host_addr_count, DP_HOST_ADDRS, true);
	else if (!strcmp(name, "peer4"))
		addr_parse(value, &r->peer4);
	else if (!strcmp(name, "source4"))
		addr_parse(value, &r->source4);
	else
		printf("{\"kind\":\"bad\",\"text\":\"%s\"}\n", name);
}

static struct dp_row row_of(char *rest)
{
	struct dp_row r;
	char *save = NULL, *word, *value;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.mtu = 1400;
	r.path.remote.family = AF_INET;
	r.local_tunnel = r.remote_tunnel = r.local_session = r.remote_session = 1;
	for (word = strtok_r(rest, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		value = strchr(word, '=');
		if (!value)
			continue;
		*value = 0;
		set(&r, word, value + 1);
	}
	return r;
}

static struct kernel_tunnel tunnel_of(char *rest)
{
	struct kernel_tunnel t;
	char *save = NULL, *word, *value;

	memset(&t, 0, sizeof(t));
	t.version = 2;
	t.managed = true;
	for (word = strtok_r(rest, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		value = strchr(word, '=');
		if (!value)
			continue;
		*value++ = 0;
		if (!strcmp(word, "version"))
			t.version = (uint8_t)atoi(value);
		else if (!strcmp(word, "encap"))
			t.encap = (uint8_t)atoi(value);
		else if (!strcmp(word, "managed"))
			t.managed = atoi(value) != 0;
		else if (!strcmp(word, "ID"))
			t.local_id = (uint32_t)strtoul(value, NULL, 0);
		else if (!strcmp(word, "PEER"))
			t.remote_id = (uint32_t)strtoul(value, NULL, 0);
		else if (!strcmp(word, "local"))
			addr_parse(value, &t.path.local);
		else if (!strcmp(word, "remote"))
			addr_parse(value, &t.path.remote);
		else if (!strcmp(word, "device"))
			snprintf(t.device, sizeof(t.device), "%s", value);
		else if (!strcmp(word, "mark"))
			t.mark = (uint32_t)strtoul(value, NULL, 0);
	}
	return t;
}

static void probe_out(void)
{
	bool first = true;

	kernel_probe(NULL, &probe);
	printf("{\"kind\":\"probe\",\"release\":\"%s\",\"icmp_errors\":%d,\"async_delete\":%d,"
	       "\"gchan_drains\":%d,\"socket_reusable\":%d,\"gaps\":{",
	       probe.release, probe.icmp_errors, probe.async_delete, probe.gchan_drains,
	       probe.socket_reusable);
	for (int g = 0; g < KERNEL_GAP_COUNT; g++) {
		if (!KERNEL_HAS_GAP(&probe, g))
			continue;
		printf("%s\"%s\":\"", first ? "" : ",", kernel_gap_name((enum kernel_gap)g));
		text_out(kernel_gap_text((enum kernel_gap)g));
		printf("; ");
		text_out(kernel_gap_remedy((enum kernel_gap)g));
		printf("\"");
		first = false;
	}
	printf("}}\n");
}

static void open_plane(const char *arg)
{
	struct kernel_config config = { .probe = probe, .frames_per_s = (uint32_t)atoi(arg) };

	k = kernel_new(&config);
	printf("{\"kind\":\"open\",\"error\":%d}\n", k ? 0 : -errno);
}

static void all_out(void)
{
	struct kernel_stats_all a;
	uint64_t pos = 0, key, tunnel;
	uint32_t gen, rows = 0;

	while (kernel_list(k, &pos, &key, &gen, &tunnel, NULL))
		rows++;
	kernel_stats_all(k, &a);
	printf("{\"kind\":\"all\",\"tunnels\":%u,\"sessions\":%u,\"rows\":%u,\"busy\":%u,"
	       "\"descriptors\":%u,\"frames\":%llu,\"dropped\":%llu,\"foreign\":%llu,"
	       "\"retries\":%llu}\n",
	       a.tunnels, a.sessions, rows, a.busy, a.descriptors, (unsigned long long)a.frames,
	       (unsigned long long)a.frames_dropped, (unsigned long long)a.foreign,
	       (unsigned long long)a.retries);
}

static void take_news(void)
{
	struct kernel_news n;

	while (k && kernel_next(k, now(), &n))
		news_out(&n);
	fflush(stdout);
}

/* Sessions KEY, KEY+1, ...: their ids and the last of their host routes count up. */
static void puts_many(uint64_t key, uint32_t count, uint64_t tunnel, struct dp_row r)
{
	for (uint32_t i = 0; i < count; i++) {
		struct dp_row one = r;

		one.local_session += i;
		one.remote_session += i;
		for (int p = 0; p < one.prefix_count; p++) {
			uint8_t *ip = one.prefixes[p].addr.ip;
			uint32_t v = ((uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 |
				      (uint32_t)ip[2] << 8 | ip[3]) +
				     i;

			for (int b = 0; b < 4; b++)
				ip[b] = (uint8_t)(v >> (24 - 8 * b));
		}
		kernel_put(k, key + i, ++generation, tunnel, &one);
	}
}

static void wait_for(uint32_t count)
{
	struct pollfd p = { kernel_fd(k), POLLIN, 0 };

	while (done_ok + done_other < count) {
		take_news();
		if (done_ok + done_other < count)
			poll(&p, 1, 1000);
	}
}

static double seconds(void)
{
	return (double)now().us / 1e6;
}

static double cpu(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static long pss(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[128];
	long v = 0;

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Pss:", 4) == 0)
			v = atol(line + 4);
	}
	if (f)
		fclose(f);
	return v;
}

/* What kfloor does (one host route each, the address on lo), through the plane. */
static void bench(uint32_t count, uint32_t tunnels)
{
	struct kernel_tunnel t = { .version = 2, .managed = true };
	double t0, c0, up, up_cpu;
	uint32_t each = count / tunnels;
	long before = pss(), during;

	quiet = true;
	done_ok = done_other = 0;
	addr_parse("127.0.0.1:1701", &t.path.local);
	for (uint32_t i = 1; i <= tunnels; i++) {
		char text[32];

		snprintf(text, sizeof(text), "127.1.%u.%u:1701", i >> 8, i & 255);
		addr_parse(text, &t.path.remote);
		t.local_id = t.remote_id = i;
		kernel_tunnel_put(k, i, ++generation, &t);
	}
	wait_for(tunnels);
	done_ok = done_other = 0;
	t0 = seconds();
	c0 = cpu();
	for (uint32_t i = 0; i < tunnels; i++) {
		char text[] = "flags=0x20 ls=1 rs=1 prefix=10.64.0.0/32";
		struct dp_row r = row_of(text);

		r.local_tunnel = r.remote_tunnel = i + 1;
		r.prefixes[0].addr.ip[1] = (uint8_t)(64 + i);
		puts_many(1000000 * (uint64_t)(i + 1), each, i + 1, r);
	}
	wait_for(each * tunnels);
	up = seconds() - t0;
	up_cpu = cpu() - c0;
	during = pss();
	printf("{\"kind\":\"bench\",\"ok\":%u,\"other\":%u,\"per_s\":%.0f,\"cpu_us\":%.0f,"
	       "\"pss_bytes\":%.0f",
	       done_ok, done_other, (each * tunnels) / up, up_cpu * 1e6 / (each * tunnels),
	       (double)(during - before) * 1024 / (each * tunnels));
	done_ok = done_other = 0;
	t0 = seconds();
	for (uint32_t i = 0; i < tunnels; i++)
		kernel_tunnel_del(k, i + 1, ++generation);
	wait_for(tunnels);
	printf(",\"down_s\":%.3f,\"down_per_s\":%.0f}\n", seconds() - t0,
	       (each * tunnels) / (seconds() - t0));
	quiet = false;
}

static bool command(char *line)
{
	char verb[16] = "", rest[1024] = "";
	unsigned long long key = 0, a = 0, b = 0;
	uint8_t bytes[2048];
	struct kernel_tunnel t;
	struct dp_counters c;
	struct dp_row r;
	int at = 0;

	sscanf(line, "%15s %n", verb, &at);
	snprintf(rest, sizeof(rest), "%s", line + at);
	if (!strcmp(verb, "quit"))
		return false;
	if (!strcmp(verb, "probe")) {
		probe_out();
	} else if (!strcmp(verb, "open")) {
		open_plane(rest);
	} else if (!k) {
		printf("{\"kind\":\"bad\",\"text\":\"not open\"}\n");
	} else if (!strcmp(verb, "tunnel")) {
		sscanf(rest, "%llu %n", &key, &at);
		t = tunnel_of(rest + at);
		kernel_tunnel_put(k, key, ++generation, &t);
	} else if (!strcmp(verb, "tunneldel")) {
		kernel_tunnel_del(k, strtoull(rest, NULL, 0), ++generation);
	} else if (!strcmp(verb, "put")) {
		sscanf(rest, "%llu %llu %n", &key, &a, &at);
		r = row_of(rest + at);
		kernel_put(k, key, ++generation, a, &r);
	} else if (!strcmp(verb, "puts")) {
		sscanf(rest, "%llu %llu %llu %n", &key, &b, &a, &at);
		r = row_of(rest + at);
		puts_many(key, (uint32_t)b, a, r);
	} else if (!strcmp(verb, "del")) {
		kernel_del(k, strtoull(rest, NULL, 0), ++generation);
	} else if (!strcmp(verb, "dels")) {
		sscanf(rest, "%llu %llu", &key, &a);
		for (unsigned long long i = 0; i < a; i++)
			kernel_del(k, key + i, ++generation);
	} else if (!strcmp(verb, "drop")) {
		kernel_drop_all(k, ++generation);
	} else if (!strcmp(verb, "stats")) {
		kernel_stats_read(k, ++generation);
	} else if (!strcmp(verb, "stat")) {
		key = strtoull(rest, NULL, 0);
		memset(&c, 0, sizeof(c));
		printf("{\"kind\":\"stat\",\"key\":%llu,\"known\":%d,", key,
		       kernel_stats(k, key, &c));
		counters_out(&c);
		printf("}\n");
	} else if (!strcmp(verb, "all")) {
		all_out();
	} else if (!strcmp(verb, "sweep")) {
		printf("{\"kind\":\"sweep\",\"count\":%u}\n", kernel_sweep(k, KERNEL_GROUPS));
	} else if (!strcmp(verb, "send")) {
		sscanf(rest, "%llu %n", &key, &at);
		a = unhex(rest + at, bytes, sizeof(bytes));
		printf("{\"kind\":\"sent\",\"key\":%llu,\"result\":%d}\n", key,
		       kernel_send(k, key, bytes, (size_t)a));
	} else if (!strcmp(verb, "netns")) {
		char path[256] = "";

		sscanf(rest, "%llu %255s", &key, path);
		at = open(path, O_RDONLY | O_CLOEXEC);
		printf("{\"kind\":\"netns\",\"result\":%d}\n", kernel_netns(k, (uint32_t)key, at));
		close(at);
	} else if (!strcmp(verb, "fill")) {
		struct rlimit rl = { (rlim_t)strtoull(rest, NULL, 0), 1 << 20 };

		printf("{\"kind\":\"fill\",\"result\":%d}\n", setrlimit(RLIMIT_NOFILE, &rl));
	} else if (!strcmp(verb, "bench")) {
		sscanf(rest, "%llu %llu", &a, &b);
		bench((uint32_t)a, b ? (uint32_t)b : 1);
	} else if (!strcmp(verb, "read")) {
		ssize_t n = read(atoi(rest), bytes, sizeof(bytes));

		printf("{\"kind\":\"read\",\"bytes\":\"");
		hex(bytes, n > 0 ? (size_t)n : 0);
		printf("\"}\n");
	} else {
		printf("{\"kind\":\"bad\",\"text\":\"unknown command\"}\n");
	}
	return true;
}

int main(void)
{
	struct rlimit rl = { 1 << 20, 1 << 20 };
	char line[1024];
	size_t n = 0;

	setrlimit(RLIMIT_NOFILE, &rl);
	for (;;) {
		struct pollfd p[2] = { { 0, POLLIN, 0 }, { k ? kernel_fd(k) : -1, POLLIN, 0 } };

		take_news();
		poll(p, 2, -1);
		if (!(p[0].revents & (POLLIN | POLLHUP)))
			continue;
		/* One octet at a time: nothing of the next line may be lost. */
		while (n + 1 < sizeof(line) && read(0, line + n, 1) == 1 && line[n] != '\n')
			n++;
		line[n] = 0;
		if ((n == 0 && (p[0].revents & POLLHUP)) || !command(line))
			break;
		n = 0;
	}
	kernel_free(k);
	return 0;
}
