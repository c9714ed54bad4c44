/* SPDX-License-Identifier: MIT
 *
 * The user-space data plane alone, for tests in network namespaces: rows come as lines on standard
 * input, what happens goes out as lines of JSON. It is its own host: devices are made here,
 * addresses and routes by ip(8).
 *
 *   listen VIA ADDRESS:PORT
 *   net local=PREFIX... pool=PREFIX... mtu=N
 *   put KEY local=ADDRESS:PORT remote=ADDRESS:PORT flags=N [state=1] [via=1] [tunnel=10,20]
 *       [session=1,2] [mtu=N] [mss4=N] [mss6=N] [prefix=P]... [host=P]... [route=P]... [peer4=A]
 *       [pin=1] [metric=N] [ns=N]
 *       of Ethernet: wire=NAME [encap=ip] [l2spec=1] [cookiein=HEX] [cookieout=HEX] [master=NAME]
 *       [tag=N]
 *   listen VIA ip:ADDRESS: raw, of protocol 115
 *   del KEY | stats KEY | send KEY HEX | plane
 */
#include "dp/user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct answer {
	uint32_t id;
	int error, fd;
};

struct host {
	struct answer answers[64];
	unsigned int count;
};

static int answer(struct host *h, uint32_t id, int error, int fd)
{
	if (h->count == 64)
		return -ENOMEM;
	h->answers[h->count++] = (struct answer){ id, error, fd };
	return 0;
}

/* Run ip(8) with the words of `line`; 0 or EIO. */
static int ip(const char *line)
{
	char copy[300], *argv[40] = { NULL }, *save = NULL;
	int n = 0, status;
	pid_t pid;

	snprintf(copy, sizeof(copy), "ip %s", line);
	for (char *w = strtok_r(copy, " ", &save); w && n < 39; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	if (posix_spawnp(&pid, "ip", NULL, NULL, argv, environ) != 0)
		return EIO;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? EIO : 0;
}

static int tun_open(void *host, uint32_t id, const char *name, bool ethernet)
{
	struct ifreq ifr = { .ifr_flags = IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	ifr.ifr_flags |= ethernet ? IFF_TAP : IFF_TUN;
	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) < 0) {
		int error = errno;

		close(fd);
		return answer(host, id, error, -1);
	}
	return answer(host, id, fd < 0 ? errno : 0, fd);
}

static int tun_gone(void *host, uint32_t id, const char *name)
{
	char line[100];

	snprintf(line, sizeof(line), "link del %s", name);
	return answer(host, id, ip(line), -1);
}

static int link_up(void *host, uint32_t id, const char *name, uint16_t mtu, const char *master)
{
	char line[100];

	snprintf(line, sizeof(line), "link set %s mtu %u up %s %s", name, mtu,
		 !master     ? ""
		 : master[0] ? "master"
			     : "nomaster",
		 master ? master : "");
	return answer(host, id, ip(line), -1);
}

static int do_addr(void *host, uint32_t id, const char *name, const struct prefix *p, bool add)
{
	char line[200], text[ADDR_TEXT_MAX];

	snprintf(line, sizeof(line), "addr %s %s dev %s%s", add ? "replace" : "del",
		 prefix_text(p, text), name, p->addr.family == AF_INET6 && add ? " nodad" : "");
	return answer(host, id, ip(line), -1);
}

static int do_route(void *host, uint32_t id, const char *name, const struct prefix *p,
		    uint32_t table, uint32_t metric, bool add)
{
	char line[250], text[ADDR_TEXT_MAX];
	int n = snprintf(line, sizeof(line), "-%c route %s %s dev %s",
			 p->addr.family == AF_INET ? '4' : '6', add ? "replace" : "del",
			 prefix_text(p, text), name);

	if (metric)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " metric %u", metric);
	if (table)
		snprintf(line + n, sizeof(line) - (size_t)n, " table %u", table);
	return answer(host, id, ip(line), -1);
}

/* The tests give the peer a gateway "via" by an environment variable; a real host looks it up. */
static int do_pin(void *host, uint32_t id, const struct addr *a, bool add)
{
	char line[250], text[ADDR_TEXT_MAX];
	const char *via = getenv("PIN_VIA");

	snprintf(line, sizeof(line), "route %s %s %s", add ? "replace" : "del", addr_text(a, text),
		 via ? via : "via 127.0.0.1");
	return answer(host, id, ip(line), -1);
}

static const struct dp_host_ops ops = { tun_open, tun_gone, link_up, do_addr, do_route, do_pin };

/* ---- commands ---- */

static bool option(const char *word, const char *name, const char **ret)
{
	size_t n = strlen(name);

	if (strncmp(word, name, n) != 0 || word[n] != '=')
		return false;
	*ret = word + n + 1;
	return true;
}

static void die(const char *why, const char *what)
{
	fprintf(stderr, "dp_driver: %s: %s\n", why, what);
	exit(2);
}

static void add_prefix(struct prefix *v, uint8_t *count, const char *text)
{
	if (prefix_parse(text, &v[*count]) < 0)
		die("bad prefix", text);
	++*count;
}

static struct addr address(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a) < 0)
		die("bad address", text);
	return a;
}

static void pair(const char *text, uint32_t *a, uint32_t *b)
{
	char *end;

	*a = (uint32_t)strtoul(text, &end, 0);
	*b = (uint32_t)strtoul(*end ? end + 1 : end, NULL, 0);
}

static uint8_t cookie(const char *hex, uint8_t *bytes)
{
	unsigned int octet;
	uint8_t n = 0;

	for (; n < 8 && sscanf(hex + 2 * n, "%2x", &octet) == 1; n++)
		bytes[n] = (uint8_t)octet;
	return n;
}

static bool put_wire_word(struct dp_row *r, const char *word)
{
	const char *v;

	if (option(word, "wire", &v)) {
		r->ends = DP_L2TP_ETH;
		r->version = 3;
		snprintf(r->ifname, sizeof(r->ifname), "%s", v);
	} else if (option(word, "encap", &v)) {
		r->encap = strcmp(v, "ip") == 0 ? DP_ENCAP_IP : DP_ENCAP_UDP;
	} else if (option(word, "l2spec", &v)) {
		r->l2spec = (uint8_t)atoi(v);
	} else if (option(word, "cookiein", &v)) {
		r->cookie_in_len = cookie(v, r->cookie_in);
	} else if (option(word, "cookieout", &v)) {
		r->cookie_out_len = cookie(v, r->cookie_out);
	} else if (option(word, "tag", &v)) {
		r->tag = (uint16_t)atoi(v);
	} else if (option(word, "master", &v)) {
		snprintf(r->master, sizeof(r->master), "%s", v);
	} else {
		return false;
	}
	return true;
}

static void put_word(struct dp_row *r, const char *word)
{
	const char *v;

	if (option(word, "local", &v))
		r->path.local = address(v);
	else if (option(word, "remote", &v))
		r->path.remote = address(v);
	else if (option(word, "flags", &v))
		r->flags = (uint16_t)strtoul(v, NULL, 0);
	else if (option(word, "state", &v))
		r->state = (uint8_t)atoi(v);
	else if (option(word, "via", &v))
		r->path.via = (uint32_t)atoi(v);
	else if (option(word, "tunnel", &v))
		pair(v, &r->local_tunnel, &r->remote_tunnel);
	else if (option(word, "session", &v))
		pair(v, &r->local_session, &r->remote_session);
	else if (option(word, "mtu", &v))
		r->mtu = (uint16_t)atoi(v);
	else if (option(word, "mss4", &v))
		r->mss4 = (uint16_t)atoi(v);
	else if (option(word, "mss6", &v))
		r->mss6 = (uint16_t)atoi(v);
	else if (option(word, "ns", &v))
		r->first_ns = (uint16_t)atoi(v);
	else if (option(word, "prefix", &v))
		add_prefix(r->prefixes, &r->prefix_count, v);
	else if (option(word, "host", &v))
		add_prefix(r->host_addrs, &r->host_addr_count, v);
	else if (option(word, "route", &v))
		add_prefix(r->routes, &r->route_count, v);
	else if (option(word, "peer4", &v))
		r->peer4 = address(v);
	else if (option(word, "pin", &v))
		r->pin_peer = (uint8_t)atoi(v);
	else if (option(word, "metric", &v))
		r->metric = (uint32_t)atoi(v);
	else if (!put_wire_word(r, word))
		die("unknown option", word);
}

static void do_put(struct dp *dp, uint64_t key, char *rest)
{
	struct dp_row r;
	char *save = NULL;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.path.via = 1;
	r.local_tunnel = 10;
	r.remote_tunnel = 20;
	r.local_session = (uint16_t)key;
	r.remote_session = (uint16_t)(key + 1000);
	r.mtu = 1400;
	for (char *w = strtok_r(rest, " ", &save); w; w = strtok_r(NULL, " ", &save))
		put_word(&r, w);
	if (dp->ops->put(dp, key, 1, &r) < 0)
		die("no memory", "put");
}

static void do_net(struct dp *dp, char *rest)
{
	struct dp_net n;
	char *save = NULL;
	const char *v;

	memset(&n, 0, sizeof(n));
	for (char *w = strtok_r(rest, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (option(w, "local", &v))
			add_prefix(n.local, &n.local_count, v);
		else if (option(w, "pool", &v))
			add_prefix(n.pools, &n.pool_count, v);
		else if (option(w, "mtu", &v))
			n.mtu = (uint16_t)atoi(v);
		else
			die("unknown option", w);
	}
	if (dp->ops->net(dp, 1, &n) < 0)
		die("no memory", "net");
}

static void do_listen(struct dp *dp, uint32_t via, const char *text)
{
	struct sockaddr_storage ss;
	bool raw = strncmp(text, "ip:", 3) == 0;
	struct addr a = address(text + (raw ? 3 : 0));
	socklen_t n = addr_to_sockaddr(&a, &ss);
	int one = 1, zero = 0, big = 8 << 20,
	    fd = socket(a.family, (raw ? SOCK_RAW : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC,
			raw ? 115 : 0);
	int rc;

	/* "[::]:1701" takes both families. Room for many, as the keeper's listeners have. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (a.family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, n) < 0)
		die("cannot bind", strerror(errno));
	rc = dp->ops->listen(dp, via, fd);
	printf("{\"listen\": %u, \"error\": %d}\n", via, rc);
}

static void do_send(struct dp *dp, uint64_t key, const char *hex)
{
	uint8_t frame[64 + 2000];
	size_t n = 0;
	unsigned int octet;

	for (; n < 2000 && sscanf(hex + 2 * n, "%2x", &octet) == 1; n++)
		frame[64 + n] = (uint8_t)octet;
	printf("{\"send\": %d}\n", dp->ops->send(dp, key, frame + 64, n, true));
}

static void do_stats(struct dp *dp, uint64_t key)
{
	struct dp_counters n = { 0 };
	bool known = dp->ops->stats(dp, key, &n);

	printf("{\"stats\": %d, \"rx\": %llu, \"rx_bytes\": %llu, \"tx\": %llu, \"tx_bytes\": "
	       "%llu, "
	       "\"spoof\": %llu, \"seq\": %llu, \"mtu\": %llu, \"other\": %llu}\n",
	       known, (unsigned long long)n.rx_packets, (unsigned long long)n.rx_bytes,
	       (unsigned long long)n.tx_packets, (unsigned long long)n.tx_bytes,
	       (unsigned long long)n.drop_spoof, (unsigned long long)n.drop_seq,
	       (unsigned long long)n.drop_mtu, (unsigned long long)n.drop_other);
}

static void do_plane(struct dp *dp)
{
	struct dp_plane_stats n;

	dp->ops->plane_stats(dp, &n);
	printf("{\"plane\": 1, \"rx\": %llu, \"tx\": %llu, \"unknown\": %llu, \"path\": %llu, "
	       "\"header\": %llu, \"spoof\": %llu, \"seq\": %llu, \"mtu\": %llu, \"other\": %llu, "
	       "\"rows\": %u, "
	       "\"offloads\": %u}\n",
	       (unsigned long long)n.rx_packets, (unsigned long long)n.tx_packets,
	       (unsigned long long)n.drop_unknown, (unsigned long long)n.drop_path,
	       (unsigned long long)n.drop_header, (unsigned long long)n.drop_spoof,
	       (unsigned long long)n.drop_seq, (unsigned long long)n.drop_mtu,
	       (unsigned long long)n.drop_other, n.rows, n.offloads);
}

static void command(struct dp *dp, char *line)
{
	char verb[20] = "", first[60] = "";
	int used = 0;
	uint64_t key;

	sscanf(line, "%19s %n", verb, &used);
	if (strcmp(verb, "net") == 0) {
		do_net(dp, line + used);
		return;
	}
	line += used;
	used = 0;
	sscanf(line, "%59s %n", first, &used);
	line += used;
	key = strtoull(first, NULL, 0);
	if (strcmp(verb, "put") == 0)
		do_put(dp, key, line);
	else if (strcmp(verb, "del") == 0)
		dp->ops->del(dp, key, 2);
	else if (strcmp(verb, "listen") == 0)
		do_listen(dp, (uint32_t)key, line);
	else if (strcmp(verb, "stats") == 0)
		do_stats(dp, key);
	else if (strcmp(verb, "send") == 0)
		do_send(dp, key, line);
	else if (strcmp(verb, "plane") == 0)
		do_plane(dp);
	else
		die("unknown command", verb);
}

static void tell(struct dp *dp)
{
	static const char *const classes[] = { "", "datagram", "ppp", "local" };
	static const char *const verbs[] = { "", "put", "del", "net" };
	char path[PATH_TEXT_MAX];
	struct dp_done d;
	struct dp_punt p;

	while (dp->ops->done(dp, &d))
		printf("{\"done\": \"%s\", \"key\": %llu, \"error\": %d, \"text\": \"%s\", "
		       "\"ifname\": \"%s\", \"rx\": %llu, \"tx\": %llu}\n",
		       verbs[d.op], (unsigned long long)d.key, d.error, d.text, d.ifname,
		       (unsigned long long)d.counters.rx_packets,
		       (unsigned long long)d.counters.tx_packets);
	while (dp->ops->punt(dp, &p)) {
		printf("{\"punt\": \"%s\", \"key\": %llu, \"path\": \"%s\", \"bytes\": \"",
		       classes[p.class], (unsigned long long)p.key,
		       p.class == DP_PUNT_DATAGRAM ? path_text(&p.path, path) : "");
		for (size_t i = 0; i < p.len; i++)
			printf("%02x", p.bytes[i]);
		printf("\"}\n");
	}
}

static void host_answers(struct host *h, struct dp *dp)
{
	while (h->count) {
		struct answer a = h->answers[0];

		memmove(&h->answers[0], &h->answers[1], --h->count * sizeof(a));
		dp_user_host_done(dp, a.id, a.error, NULL, a.fd);
	}
}

int main(void)
{
	static struct host host;
	const char *without = getenv("DP_NO_OFFLOAD"); /* a mask, as in dp.h */
	struct dp_user_config c = { .host_ops = &ops,
				    .host = &host,
				    .no_offload = without ? (uint32_t)atoi(without) : 0 };
	struct dp *dp = dp_user_new(&c);
	char line[2000];
	size_t have = 0;

	if (!dp)
		die("cannot start", strerror(errno));
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		struct pollfd p[2] = { { .fd = 0, .events = POLLIN },
				       { .fd = dp->ops->fd(dp), .events = POLLIN } };
		ssize_t n = 1;
		char *end;

		host_answers(&host, dp);
		tell(dp);
		if (host.count)
			continue;
		poll(p, 2, -1);
		if (p[0].revents)
			n = read(0, line + have, sizeof(line) - 1 - have);
		if (n <= 0)
			break;
		if (!p[0].revents)
			continue;
		have += (size_t)n;
		line[have] = '\0';
		while ((end = strchr(line, '\n')) != NULL) {
			*end++ = '\0';
			command(dp, line);
			have -= (size_t)(end - line);
			memmove(line, end, have + 1);
			host_answers(&host, dp);
			tell(dp);
		}
	}
	dp->ops->free(dp);
	return 0;
}
