/* SPDX-License-Identifier: MIT
 *
 * What aditd may ask for and what not, against a configuration; when aditd is started again; how
 * hooks queue.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "access/place.h"
#include "dp/dp.h"
#include "failmalloc.h"
#include "keeper/child.h"
#include "keeper/layout.h"
#include "keeper/rights.h"
#include "keeper/spawn.h"

static const char text_of_conf[] =
	"interface = lns0\n"
	"pool \"a\" { addresses = { 10.1.0.0/24, 10.1.1.0/24, 10.3.0.10-10.3.0.20 }\n"
	"  prefixes = { 2001:db8:1::/48 } }\n"
	"profile \"a\" { users = @USERS@ pool = \"a\" local-address = 10.1.0.1 }\n"
	"peer \"all\" { profile = \"a\" }\n"
	"session \"vpn\" { server = lns.example user = \"u\" password = \"p\" interface = vpn0\n"
	"  routes = { 10.9.0.0/16 } route-table = 5 route-metric = 6 hook-up = @HOOK@ }\n"
	"session \"all\" { server = \"2001:db8:9::1\" user = \"u\" password = \"p\"\n"
	"  interface = vpn1 default-route = yes }\n";

struct fixture {
	char dir[64], users[80], hook[80];
	struct conf *c;
};

static void file_write(const char *path, const char *content, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(content, f);
	fclose(f);
	chmod(path, mode);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char text[2048], err[CONF_ERR_MAX], *at = text;
	const char *p;

	strcpy(f->dir, "/tmp/adit-rights-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->users, sizeof(f->users), "%s/users", f->dir);
	snprintf(f->hook, sizeof(f->hook), "%s/hook", f->dir);
	file_write(f->users,
		   "# alice * x 203.0.113.99\n"
		   "bob\t*\t\"a secret\"\t203.0.113.5\n"
		   "eve * secret * 2001:db8:5::/56\n",
		   0600);
	file_write(f->hook, "#!/bin/sh\n", 0755);
	for (p = text_of_conf; *p; p++) {
		if (strncmp(p, "@USERS@", 7) == 0) {
			at += sprintf(at, "%s", f->users);
			p += 6;
		} else if (strncmp(p, "@HOOK@", 6) == 0) {
			at += sprintf(at, "%s", f->hook);
			p += 5;
		} else {
			*at++ = *p;
		}
	}
	*at = 0;
	f->c = conf_parse(text, "test", CONF_NO_FILES, err, sizeof(err));
	if (!f->c)
		fail_msg("%s", err);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	conf_free(f->c);
	unlink(f->users);
	unlink(f->hook);
	rmdir(f->dir);
	free(f);
	return 0;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;
	char addr[64];
	char *slash;

	/* With host bits, as addresses of devices have them. */
	snprintf(addr, sizeof(addr), "%s", text);
	slash = strchr(addr, '/');
	*slash = 0;
	memset(&p, 0, sizeof(p));
	assert_int_equal(addr_parse(addr, &p.addr), 0);
	p.len = (uint8_t)atoi(slash + 1);
	return p;
}

static bool route(struct fixture *f, const char *dev, const char *to, uint32_t table,
		  uint32_t metric)
{
	struct prefix p = prefix(to);
	char no[RIGHTS_TEXT] = "";
	bool yes = rights_route(f->c, dev, &p, table, metric, no);

	assert_true(yes == (no[0] == 0));
	return yes;
}

static bool addr(struct fixture *f, const char *dev, const char *what)
{
	struct prefix p = prefix(what);
	char no[RIGHTS_TEXT] = "";
	bool yes = rights_addr(f->c, dev, &p, no);

	assert_true(yes == (no[0] == 0));
	return yes;
}

static void test_devices(void **state)
{
	struct fixture *f = *state;
	char no[RIGHTS_TEXT];

	assert_true(rights_device(f->c, "lns0", no));
	assert_true(rights_device(f->c, "vpn0", no));
	assert_true(rights_device(f->c, "vpn1", no));
	assert_false(rights_device(f->c, "vpn2", no));
	assert_false(rights_device(f->c, "lo", no));
	assert_false(rights_device(f->c, "", no));
	assert_non_null(strstr(no, "not in the configuration"));
}

static void test_routes(void **state)
{
	struct fixture *f = *state;

	/* Pools, with the network's own address, ours and the last one in the route. */
	assert_true(route(f, "lns0", "10.1.0.0/24", 0, 0));
	assert_true(route(f, "lns0", "10.1.0.0/23", 0, 0)); /* two pools that touch */
	assert_true(route(f, "lns0", "10.1.1.255/32", 0, 0));
	assert_true(route(f, "lns0", "10.3.0.12/30", 0, 0));
	assert_true(route(f, "lns0", "2001:db8:1::/48", 0, 0));
	assert_true(route(f, "lns0", "2001:db8:1:7::/64", 0, 0));
	assert_false(route(f, "lns0", "10.1.0.0/22", 0, 0));
	assert_false(route(f, "lns0", "10.3.0.0/27", 0, 0));
	assert_false(route(f, "lns0", "10.0.255.0/24", 0, 0));
	assert_false(route(f, "lns0", "2001:db8::/32", 0, 0));
	assert_false(route(f, "lns0", "0.0.0.0/0", 0, 0));
	assert_false(route(f, "lns0", "128.0.0.0/1", 0, 0));
	assert_false(route(f, "lns0", "::/0", 0, 0));
	assert_false(route(f, "lns0", "10.1.0.0/24", 5, 0));
	/* The users file. */
	assert_true(route(f, "lns0", "203.0.113.5/32", 0, 0));
	assert_true(route(f, "lns0", "2001:db8:5:1::/64", 0, 0));
	assert_false(route(f, "lns0", "203.0.113.4/32", 0, 0));
	assert_false(route(f, "lns0", "203.0.113.99/32", 0, 0)); /* a comment */
	/* Dialled sessions. */
	assert_true(route(f, "vpn0", "10.9.0.0/16", 5, 6));
	assert_true(route(f, "vpn0", "10.77.0.1/32", 0, 0));
	assert_true(route(f, "vpn0", "10.77.0.1/32", 5, 6));
	assert_false(route(f, "vpn0", "10.77.0.1/32", 5, 0));
	assert_false(route(f, "vpn0", "10.9.0.0/16", 0, 0));
	assert_false(route(f, "vpn0", "10.9.0.0/17", 5, 6));
	assert_false(route(f, "vpn0", "0.0.0.0/0", 5, 6));
	assert_true(route(f, "vpn1", "0.0.0.0/0", 0, 0));
	assert_true(route(f, "vpn1", "::/0", 0, 0));
	assert_false(route(f, "vpn1", "10.9.0.0/16", 0, 0));
	assert_false(route(f, "vpn2", "10.77.0.1/32", 0, 0));
	assert_false(route(f, "vpn1", "10.9.0.1/16", 0, 0));
	assert_false(route(f, "vpn1", "224.0.0.1/32", 0, 0));
}

static void test_addresses(void **state)
{
	struct fixture *f = *state;

	assert_true(addr(f, "lo", "10.1.0.1/32"));
	assert_true(addr(f, "lns0", "10.1.0.1/32"));
	assert_true(addr(f, "lns0", "fe80::1/64"));
	assert_false(addr(f, "lo", "fe80::1/64"));
	assert_false(addr(f, "lo", "10.1.0.1/24"));
	assert_false(addr(f, "lo", "10.1.0.2/32"));
	assert_false(addr(f, "eth0", "10.1.0.1/32"));
	assert_true(addr(f, "vpn0", "10.200.0.9/32"));
	assert_true(addr(f, "vpn0", "2001:db8:77::5/64"));
	assert_false(addr(f, "vpn0", "127.0.0.1/8"));
	/* No route by way of the length of an address. */
	assert_false(addr(f, "vpn0", "192.0.2.1/1"));
	assert_false(addr(f, "vpn0", "10.200.0.9/31"));
	assert_false(addr(f, "vpn0", "2001:db8:77::5/3"));
	assert_true(addr(f, "vpn0", "2001:db8:77::5/128"));
	assert_false(addr(f, "lns0", "fe80::1/10"));
	assert_false(addr(f, "vpn0", "0.0.0.0/32"));
	assert_false(addr(f, "vpn0", "255.255.255.255/32"));
	assert_false(addr(f, "vpn0", "::1/128"));
	assert_false(addr(f, "vpn0", "ff02::1/128"));
}

static void test_hooks(void **state)
{
	struct fixture *f = *state;
	char no[RIGHTS_TEXT] = "";

	if (geteuid() != 0)
		skip(); /* owners and users are changed */
	assert_int_equal(chown(f->hook, 0, 0), 0);
	assert_true(rights_hook(f->c, "vpn", f->hook, no));
	assert_false(rights_hook(f->c, "vpn", "/bin/sh", no));
	assert_false(rights_hook(f->c, "vpn", "", no));
	assert_false(rights_hook(f->c, "all", f->hook, no));
	assert_false(rights_hook(f->c, "nobody", f->hook, no));
	chmod(f->hook, 0775);
	assert_false(rights_hook(f->c, "vpn", f->hook, no));
	assert_non_null(strstr(no, "belong to root"));
	chmod(f->hook, 0644);
	assert_false(rights_hook(f->c, "vpn", f->hook, no));
	chmod(f->hook, 0755);
	assert_int_equal(chown(f->hook, 65534, 0), 0);
	assert_false(rights_hook(f->c, "vpn", f->hook, no));
	unlink(f->hook);
	assert_false(rights_hook(f->c, "vpn", f->hook, no));
	assert_true(rights_env("ADIT_X=", 7, no));
	assert_true(rights_env("ADIT_DNS4_2=a b", 15, no));
	assert_false(rights_env("ADIT_=x", 7, no));
	assert_false(rights_env("ADIT_x=1", 8, no));
	assert_false(rights_env("ADIT_X", 6, no));
	assert_false(rights_env("LD_PRELOAD=x", 12, no));
	assert_false(rights_env("PATH=x", 6, no));
	assert_false(rights_env("ADI", 3, no));
}

static void test_servers(void **state)
{
	struct fixture *f = *state;
	char no[RIGHTS_TEXT];
	struct addr a;

	assert_true(rights_host(f->c, "lns.example", no));
	assert_false(rights_host(f->c, "example", no));
	assert_int_equal(addr_parse("2001:db8:9::1", &a), 0);
	assert_true(rights_pin(f->c, &a, false, no));
	a.port = 1701;
	assert_true(rights_pin(f->c, &a, false, no));
	assert_int_equal(addr_parse("8.8.8.8", &a), 0);
	assert_false(rights_pin(f->c, &a, false, no));
	assert_true(rights_pin(f->c, &a, true, no));
	assert_int_equal(addr_parse("224.0.0.1", &a), 0);
	assert_false(rights_pin(f->c, &a, true, no));
}

/* Pseudowires that are agreed with their peers: interface, bridge, circuit and peer of the
 * configuration, and nothing next to them. */
static void test_wires(void **state)
{
	static const char conf[] =
		"tunnel \"t\" { remote = peer.example.net encapsulation = ip }\n"
		"pseudowire \"w\" { remote = 198.51.100.7 bridge = br0 circuit = eth1 }\n"
		"pseudowire \"v\" { tunnel = t }\n"
		"pseudowire \"f\" { remote = 198.51.100.7 session-id = 3000000000 peer-session-id "
		"= 6 }\n"
		"pseudowire \"s\" { local = 192.0.2.1 remote = 198.51.100.7 tunnel-id = 1 "
		"peer-tunnel-id = 1 session-id = 5 peer-session-id = 6 local-port = 5000 }";
	char text[RIGHTS_TEXT], err[CONF_ERR_MAX];
	struct conf *c = conf_parse(conf, "test", CONF_NO_FILES, err, sizeof(err));
	struct dp_tunnel t = { .version = 3, .encap = DP_ENCAP_UDP, .local = 7, .remote = 8 }, u;
	struct dp_row r = { .ends = DP_L2TP_ETH, .version = 3, .local_session = 7 }, q;

	assert_non_null(c);
	t.path.via = c->pw->tunnels[1].via4;
	addr_parse("192.0.2.1:1701", &t.path.local);
	addr_parse("198.51.100.7:1701", &t.path.remote);
	assert_true(rights_tunnel(c, &t, false, text));
	u = t;
	addr_parse("198.51.100.8:1701", &u.path.remote);
	assert_false(rights_tunnel(c, &u, true, text));
	u = t;
	u.encap = DP_ENCAP_IP;
	assert_false(rights_tunnel(c, &u, false, text));
	u = t;
	u.version = 2;
	assert_false(rights_tunnel(c, &u, false, text));
	/* a name: what the keeper has given out for it */
	u = (struct dp_tunnel){ .version = 3, .encap = DP_ENCAP_IP, .local = 7, .remote = 8 };
	u.path.via = c->pw->tunnels[0].via4;
	addr_parse("192.0.2.1", &u.path.local);
	addr_parse("198.51.100.9", &u.path.remote);
	assert_false(rights_tunnel(c, &u, false, text));
	assert_true(rights_tunnel(c, &u, true, text));
	assert_true(rights_host(c, "peer.example.net", text));
	assert_false(rights_host(c, "other.example.net", text));

	r.path = t.path;
	strcpy(r.ifname, "w");
	strcpy(r.master, "br0");
	strcpy(r.circuit, "eth1");
	assert_true(rights_row(c, &r, false, text));
	assert_true(rights_ethernet(c, "w", text));
	assert_false(rights_ethernet(c, "br0", text));
	q = r;
	strcpy(q.ifname, "eth0");
	assert_false(rights_row(c, &q, false, text));
	q = r;
	strcpy(q.master, "br1");
	assert_false(rights_row(c, &q, false, text));
	q = r;
	strcpy(q.circuit, "eth0");
	assert_false(rights_row(c, &q, false, text));
	q = r;
	q.version = 2;
	assert_false(rights_row(c, &q, false, text));
	q = r;
	assert_int_equal(prefix_parse("10.0.0.1/32", &q.host_addrs[q.host_addr_count++]), 0);
	assert_false(rights_row(c, &q, false, text));
	q = r;
	addr_parse("198.51.100.8:1701", &q.path.remote);
	assert_false(rights_row(c, &q, true, text));
	/* any id, as of an older version, but those that the configuration has */
	q = r;
	q.local_session = DP_PPP3_IDS - 1;
	assert_true(rights_row(c, &q, false, text));
	q.local_session = DP_PPP3_IDS;
	assert_true(rights_row(c, &q, false, text));
	q.local_session = 0;
	assert_false(rights_row(c, &q, false, text));
	q.local_session = 3000000000u; /* a static one's, too */
	assert_false(rights_row(c, &q, false, text));
	q.local_session = 5; /* of the static one */
	assert_false(rights_row(c, &q, false, text));
	q.local_session = 3000000000u;
	strcpy(q.ifname, "f");
	q.master[0] = q.circuit[0] = '\0';
	assert_false(rights_row(c, &q, false, text));
	q.remote_session = 6;
	assert_true(rights_row(c, &q, false, text));
	q.local_session = 7;
	assert_false(rights_row(c, &q, false, text));
	conf_free(c);
}

static void test_backoff(void **state)
{
	struct backoff b = { 0 };
	struct mono now = { 1000 * US_S };
	static const int64_t waits_ms[] = { 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };

	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
		struct mono next;

		backoff_started(&b, now);
		now = mono_add(now, US_S);
		next = backoff_next(&b, now);
		assert_int_equal((next.us - now.us) / US_MS, waits_ms[i]);
		now = next;
	}
	backoff_started(&b, now);
	now = mono_add(now, 3 * US_S);
	assert_int_equal(backoff_next(&b, now).us, now.us); /* a long life forgets */
	backoff_started(&b, now);
	assert_int_equal(backoff_next(&b, now).us, now.us);
}

/* Wait for children until `n` answers have come. */
static void children_run(struct children *k, struct mono *now, struct child_answer *ret, size_t n)
{
	siginfo_t ended = { 0 };
	size_t got = 0;
	int status;
	pid_t pid;

	while (got < n) {
		struct pollfd fds[CHILD_RUNNING_MAX];
		size_t count = children_poll(k, fds, CHILD_RUNNING_MAX);

		poll(fds, count, 10);
		*now = mono_add(*now, 10 * US_MS);
		children_work(k, *now);
		while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		       (pid = ended.si_pid) > 0) {
			children_ending(k, pid);
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_true(children_ended(k, *now, pid, status));
			ended.si_pid = 0;
		}
		while (got < n && children_next(k, &ret[got]))
			got++;
	}
}

static void test_children(void **state)
{
	struct fixture *f = *state;
	struct children_config config = { 65534, 65534, 20 * US_S, 300 * US_MS };
	struct children *k = children_new(&config);
	struct mono now = { US_S };
	struct child_answer a[2];
	struct keeper_env env = { "ADIT_X=5", 8 };

	if (geteuid() != 0)
		skip(); /* owners and users are changed */
	file_write(f->hook, "#!/bin/sh\ncd / || exit 99\nexit $ADIT_X\n", 0755);
	assert_int_equal(child_hook(k, now, 11, "vpn", f->hook, &env, 1), 0);
	children_run(k, &now, a, 1);
	assert_true(a[0].hook);
	assert_int_equal(a[0].tag, 11);
	assert_int_equal(a[0].error, 0);
	assert_string_equal(a[0].name, "vpn");
	assert_int_equal(WEXITSTATUS(a[0].status), 5);
	/* One after the other by name, both at once by different names. */
	file_write(f->hook, "#!/bin/sh\nsleep 0.05\n", 0755);
	assert_int_equal(child_hook(k, now, 1, "vpn", f->hook, NULL, 0), 0);
	assert_int_equal(child_hook(k, now, 2, "vpn", f->hook, NULL, 0), 0);
	assert_int_equal(children_hooks(k), 2);
	children_run(k, &now, a, 2);
	assert_int_equal(a[0].tag, 1);
	assert_int_equal(a[1].tag, 2);
	/* Too long. */
	file_write(f->hook, "#!/bin/sh\ntrap '' TERM\nsleep 100 & wait; sleep 100\n", 0755);
	assert_int_equal(child_hook(k, now, 3, "vpn", f->hook, NULL, 0), 0);
	children_run(k, &now, a, 1);
	assert_int_equal(a[0].error, -ETIMEDOUT);
	assert_non_null(strstr(a[0].text, "took too long"));
	/* Not a program. */
	file_write(f->hook, "\1\2\3", 0755);
	assert_int_equal(child_hook(k, now, 4, "vpn", f->hook, NULL, 0), 0);
	children_run(k, &now, a, 1);
	assert_int_equal(a[0].error, -ENOEXEC);
	/* Names. */
	assert_int_equal(child_resolve(k, now, 5, "localhost", 1701), 0);
	children_run(k, &now, a, 1);
	assert_false(a[0].hook);
	assert_int_equal(a[0].tag, 5);
	assert_int_equal(a[0].error, 0);
	assert_in_range(a[0].addr_count, 1, KEEPER_ADDRS);
	assert_int_equal(a[0].addrs[0].port, 1701);
	assert_int_equal(child_resolve(k, now, 6, "no.such.name.invalid", 1701), 0);
	children_run(k, &now, a, 1);
	assert_true(a[0].error == -ENOENT || a[0].error == -EAGAIN);
	assert_non_null(strstr(a[0].text, "no.such.name.invalid"));
	/* Nobody to tell. */
	file_write(f->hook, "#!/bin/sh\nexit 0\n", 0755);
	assert_int_equal(child_hook(k, now, 7, "vpn", f->hook, NULL, 0), 0);
	assert_int_equal(child_hook(k, now, 8, "vpn", f->hook, NULL, 0), 0);
	children_orphan(k);
	while (children_hooks(k) > 0) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);

		assert_true(children_ended(k, now, pid, status));
	}
	assert_false(children_next(k, &a[0]));
	failmalloc_arm(1);
	assert_int_equal(child_resolve(k, now, 9, "x", 1), -ENOMEM);
	assert_true(failmalloc_disarm());
	failmalloc_arm(2);
	assert_int_equal(child_hook(k, now, 9, "vpn", f->hook, NULL, 0), -ENOMEM);
	assert_true(failmalloc_disarm());
	children_free(k);
}

static void test_layout(void **state)
{
	struct store_class c[LAYOUT_JOURNAL_CLASSES];

	layout_journal(1, 1, c);
	assert_true(store_size(c, LAYOUT_JOURNAL_CLASSES) > 0);
	layout_journal(65534, 10000000, c);
	assert_true(store_size(c, LAYOUT_JOURNAL_CLASSES) > 0);
	if (sizeof(void *) > 4) {
		assert_true(c[0].count > 65534);
		assert_true(c[1].count > 10000000);
	}
}

/* ---- the kernel's data plane ---- */

static struct dp_tunnel tunnel_of(const struct conf_socket *s, const char *local,
				  const char *remote)
{
	struct dp_tunnel t = { .local = 1, .remote = 2, .version = 2, .path.via = s->via };

	assert_int_equal(addr_parse(local, &t.path.local), 0);
	assert_int_equal(addr_parse(remote, &t.path.remote), 0);
	return t;
}

static void test_kernel_tunnels(void **state)
{
	const struct fixture *f = *state;
	const struct conf_socket *listener = NULL, *dial = conf_dial_socket(f->c, "all", AF_INET6);
	char text[RIGHTS_TEXT];
	struct dp_tunnel t, u;

	for (size_t i = 0; i < f->c->socket_count; i++)
		if (f->c->sockets[i].listener && f->c->sockets[i].addr.family == AF_INET)
			listener = &f->c->sockets[i];
	assert_non_null(listener);
	assert_non_null(dial);
	t = tunnel_of(listener, "192.0.2.1:1701", "198.51.100.7:5000");
	assert_true(rights_tunnel(f->c, &t, false, text));
	u = t;
	u.path.via++;
	assert_false(rights_tunnel(f->c, &u, false, text));
	u = t;
	u.path.local.port = 53;
	assert_false(rights_tunnel(f->c, &u, false, text));
	u = t;
	u.version = 3;
	assert_false(rights_tunnel(f->c, &u, false, text));
	u = tunnel_of(listener, "192.0.2.1:1701", "127.0.0.1:5000");
	assert_false(rights_tunnel(f->c, &u, true, text));
	u = tunnel_of(listener, "[2001:db8::1]:1701", "[2001:db8::2]:1701");
	assert_false(rights_tunnel(f->c, &u, false, text));
	/* by the socket of a dialled session to its server alone, or to what its name gave */
	t = tunnel_of(dial, "[2001:db8::1]:40000", "[2001:db8:9::1]:1701");
	assert_true(rights_tunnel(f->c, &t, false, text));
	t = tunnel_of(dial, "[2001:db8::1]:40000", "[2001:db8:9::2]:1701");
	assert_false(rights_tunnel(f->c, &t, false, text));
	assert_true(rights_tunnel(f->c, &t, true, text));
	t.path.local.port = 1000;
	assert_false(rights_tunnel(f->c, &t, true, text));
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static void test_kernel_rows(void **state)
{
	const struct fixture *f = *state;
	struct dp_row r, t;
	char text[RIGHTS_TEXT];

	memset(&r, 0, sizeof(r));
	r.ends = DP_L2TP_PPP;
	r.prefixes[0] = prefix_of("10.1.0.7/32");
	r.prefixes[1] = prefix_of("2001:db8:1:5::/64");
	r.prefix_count = 2;
	addr_parse("10.1.0.1", &r.source4);
	assert_true(rights_row(f->c, &r, false, text));
	t = r;
	t.prefixes[0] = prefix_of("10.2.0.7/32"); /* in no pool */
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	addr_parse("10.1.0.2", &t.source4);
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	strcpy(t.ifname, "eth0");
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	strcpy(t.master, "br0");
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	t.ends = DP_L2TP_ETH;
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	t.table = 7;
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	t.routes[t.route_count++] = prefix_of("0.0.0.0/0");
	assert_false(rights_row(f->c, &t, false, text));

	memset(&r, 0, sizeof(r));
	r.ends = DP_L2TP_PPP;
	r.flags = DP_F_CLIENT;
	strcpy(r.ifname, "vpn0");
	r.host_addrs[r.host_addr_count++] = prefix_of("203.0.113.9/32");
	r.routes[r.route_count++] = prefix_of("10.9.0.0/16");
	r.table = 5;
	r.metric = 6;
	assert_true(rights_row(f->c, &r, false, text));
	r.pin_peer = 1;
	assert_false(rights_row(f->c, &r, false, text)); /* a pin of no address */
	assert_int_equal(addr_parse("[2001:db8:9::1]:1701", &r.path.remote), 0);
	assert_true(rights_row(f->c, &r, false, text));
	/* to the servers of the configuration and what their names gave alone */
	t = r;
	assert_int_equal(addr_parse("[2001:db8:9::2]:1701", &t.path.remote), 0);
	assert_false(rights_row(f->c, &t, false, text));
	assert_true(rights_row(f->c, &t, true, text));
	assert_int_equal(addr_parse("127.0.0.1:1701", &t.path.remote), 0);
	assert_false(rights_row(f->c, &t, true, text));
	t = r;
	assert_true(rights_row(f->c, &r, false, text));
	t = r;
	t.table = 0;
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	t.routes[0] = prefix_of("10.0.0.0/8");
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	t.host_addrs[0] = prefix_of("127.0.0.1/32");
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	strcpy(t.ifname, "vpn9");
	assert_false(rights_row(f->c, &t, false, text));
	t = r;
	t.prefixes[t.prefix_count++] = prefix_of("10.1.0.7/32");
	assert_false(rights_row(f->c, &t, false, text));
}

/* PPP over L2TPv3: over UDP and IP, who may speak it with whom. */
static void test_ppp_v3(void **state)
{
	static const char conf[] =
		"listen \"u\" { address = 192.0.2.1 }\n"
		"listen \"i\" { address = 192.0.2.1 encapsulation = ip }\n"
		"pool \"a\" { addresses = { 10.1.0.0/24 } }\n"
		"profile \"p\" { auth = none pool = \"a\" local-address = 10.1.0.1 }\n"
		"peer \"old\" { from = { 198.51.100.0/25 } profile = p }\n"
		"peer \"new\" { from = { 198.51.100.128/25 } profile = p version = 3 }\n"
		"peer \"both\" { from = { 203.0.113.0/24 } profile = p version = any }\n"
		"session \"s2\" { server = 192.0.2.7 interface = two }\n"
		"session \"s3\" { server = 192.0.2.8 version = 3 encapsulation = ip interface = "
		"three }";
	static const struct {
		const char *remote;
		bool v2, v3;
	} peers[] = { { "198.51.100.7", true, false },
		      { "198.51.100.200", false, true },
		      { "203.0.113.7", true, true },
		      { "192.0.2.9", false, false } };
	char text[RIGHTS_TEXT], err[CONF_ERR_MAX];
	struct conf *c = conf_parse(conf, "test", CONF_NO_FILES, err, sizeof(err));
	struct dp_row r = { .ends = DP_L2TP_PPP,
			    .flags = DP_F_CLIENT,
			    .version = 3,
			    .local_session = DP_PPP3_IDS };
	struct dp_tunnel t;

	(void)state;
	assert_non_null(c);
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		char remote[40];

		snprintf(remote, sizeof(remote), "%s:1701", peers[i].remote);
		t = tunnel_of(&c->sockets[0], "192.0.2.1:1701", remote);
		assert_true(rights_tunnel(c, &t, false, text) == peers[i].v2);
		t.version = 3;
		assert_true(rights_tunnel(c, &t, false, text) == peers[i].v3);
		t = tunnel_of(&c->sockets[1], "192.0.2.1", peers[i].remote);
		assert_false(rights_tunnel(c, &t, false, text));
		t.version = 3;
		t.encap = DP_ENCAP_IP;
		assert_true(rights_tunnel(c, &t, false, text) == peers[i].v3);
	}
	/* the servers of sessions, each in its version */
	t = tunnel_of(conf_dial_socket(c, "s2", AF_INET), "192.0.2.1:40000", "192.0.2.7:1701");
	assert_true(rights_tunnel(c, &t, false, text));
	t.version = 3;
	assert_false(rights_tunnel(c, &t, false, text));
	t = tunnel_of(conf_dial_socket(c, "s3", AF_INET), "192.0.2.1", "192.0.2.8");
	t.version = 3;
	t.encap = DP_ENCAP_IP;
	assert_true(rights_tunnel(c, &t, false, text));
	strcpy(r.ifname, "three");
	assert_true(rights_row(c, &r, false, text));
	r.local_session--; /* a pseudowire may have this one */
	assert_false(rights_row(c, &r, false, text));
	assert_non_null(strstr(text, "session id"));
	r.local_session++;
	r.ends = DP_L2TP_L2TP;
	assert_false(rights_row(c, &r, false, text));
	conf_free(c);
	c = conf_parse("session \"s2\" { server = 192.0.2.7 interface = three }", "test",
		       CONF_NO_FILES, err, sizeof(err));
	assert_non_null(c);
	r.ends = DP_L2TP_PPP;
	assert_false(rights_row(c, &r, false, text));
	r.version = 2;
	assert_true(rights_row(c, &r, false, text));
	conf_free(c);
}

static const char text_of_places[] =
	"pool \"a\" { addresses = { 10.1.0.0/24 } }\n"
	"profile \"plain\" { auth = none pool = \"a\" local-address = 192.0.2.1 }\n"
	"profile \"red\" { auth = none pool = \"a\" local-address = 192.0.2.2 vrf = red\n"
	"  interface-name = \"red-%u\" queue-length = 50 }\n"
	"profile \"far\" { auth = none pool = \"a\" local-address = 192.0.2.3\n"
	"  namespace = far }\n"
	"session \"vpn\" { server = 192.0.2.9 interface = vpn0 vrf = blue }\n";

/* Exactly one profile's VRF, namespace, name, queue and address; nothing of two of them. */
static void test_kernel_places(void **state)
{
	char text[RIGHTS_TEXT], err[CONF_ERR_MAX] = "";
	struct conf *c = conf_parse(text_of_places, "t", CONF_NO_FILES, err, sizeof(err));
	struct dp_row red, far, t;

	assert_string_equal(err, "");
	assert_non_null(c);
	memset(&red, 0, sizeof(red));
	red.ends = DP_L2TP_PPP;
	red.prefixes[red.prefix_count++] = prefix_of("10.1.0.7/32");
	far = red;
	addr_parse("192.0.2.2", &red.source4);
	strcpy(red.master, "red");
	strcpy(red.ifname, "red-bob");
	red.txqlen = 50;
	assert_true(rights_row(c, &red, false, text));
	t = red;
	t.ifname[0] = '\0';
	assert_true(rights_row(c, &t, false, text));
	for (int i = 0; i < 7; i++) {
		t = red;
		if (i == 0)
			strcpy(t.master, "blue"); /* a dialled session's */
		else if (i == 1)
			t.master[0] = '\0';
		else if (i == 2)
			strcpy(t.ifname, "eth0");
		else if (i == 3)
			strcpy(t.ifname, "red-a b");
		else if (i == 4)
			t.txqlen = 60000;
		else if (i == 5)
			addr_parse("192.0.2.1", &t.source4); /* another profile's */
		else
			t.netns = acc_netns_id("far");
		assert_false(rights_row(c, &t, false, text));
	}

	addr_parse("192.0.2.3", &far.source4);
	far.netns = acc_netns_id("far");
	far.host_addrs[far.host_addr_count++] = prefix_of("192.0.2.3/32");
	addr_parse("10.1.0.7", &far.peer4);
	assert_true(rights_row(c, &far, false, text));
	for (int i = 0; i < 5; i++) {
		t = far;
		if (i == 0)
			t.netns = acc_netns_id("elsewhere");
		else if (i == 1)
			t.netns = 0;
		else if (i == 2)
			t.host_addrs[0] = prefix_of("192.0.2.2/32");
		else if (i == 3)
			addr_parse("10.1.0.8", &t.peer4); /* a route to somebody else */
		else
			t.host_addrs[t.host_addr_count++] = prefix_of("192.0.2.1/32");
		assert_false(rights_row(c, &t, false, text));
	}

	memset(&t, 0, sizeof(t));
	t.ends = DP_L2TP_PPP;
	t.flags = DP_F_CLIENT;
	strcpy(t.ifname, "vpn0");
	assert_false(rights_row(c, &t, false, text));
	strcpy(t.master, "red");
	assert_false(rights_row(c, &t, false, text));
	strcpy(t.master, "blue");
	assert_true(rights_row(c, &t, false, text));
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hooks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_tunnels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_rows, setup, teardown),
		cmocka_unit_test(test_kernel_places),
		cmocka_unit_test(test_ppp_v3),
		cmocka_unit_test(test_wires),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test_setup_teardown(test_children, setup, teardown),
		cmocka_unit_test(test_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
