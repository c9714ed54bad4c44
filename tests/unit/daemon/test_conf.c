/* SPDX-License-Identifier: MIT
 *
 * The configuration: every option, every error with its line, what is printed is read back, files,
 * sockets, pools, differences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "daemon/conf.h"
#include "failmalloc.h"

#define POOL	"pool \"p\" { addresses = 192.0.2.0/24 }\n"
#define PROFILE POOL "profile \"q\" { pool = p auth = none }\n"
#define PLACE	"profile \"q\" { auth = none local-address = 192.0.2.1 "
#define NO_AUTH "auth = none local-address = 192.0.2.1 "

static struct conf *parse(const char *text)
{
	char err[CONF_ERR_MAX];
	struct conf *c = conf_parse(text, "test.conf", CONF_NO_FILES, err, sizeof(err));

	if (!c)
		fail_msg("%s\n%s", err, text);
	return c;
}

/* The name of the machine: instead of the C library's. */
static const char *host_now = "machine";

int gethostname(char *name, size_t len)
{
	snprintf(name, len, "%s", host_now);
	return 0;
}

/* ---- every option ---- */

static const char *example_of(const struct conf_key *k, char *buf, size_t cap)
{
	switch (k->type) {
	case CONF_T_BOOL:
		return "yes";
	case CONF_T_NUMBER:
		snprintf(buf, cap, "%lld", (long long)k->max);
		return buf;
	case CONF_T_PORT:
		return "1701";
	case CONF_T_DURATION:
		return "\"1 min\"";
	case CONF_T_TEXT:
		return strcmp(k->key, "interface-name") == 0 ? "\"ppp-%u\""
							     : "\"a $HOME \\\"b\\\" \\\\ #c\"";
	case CONF_T_CHOICE:
		snprintf(buf, cap, "%.*s", (int)strcspn(k->choices, "|"), k->choices);
		return buf;
	case CONF_T_PATH:
		return "/some/where";
	case CONF_T_ADDR:
		return "192.0.2.7";
	case CONF_T_ADDR4:
		return "192.0.2.8";
	case CONF_T_PREFIX:
		return "198.51.100.0/24";
	case CONF_T_PREFIX6:
		return "2001:db8::/32";
	case CONF_T_RANGE4:
		return "192.0.2.16-192.0.2.31";
	case CONF_T_IFNAME:
		return "if0";
	case CONF_T_REF:
		return strcmp(k->choices, "pool") == 0	   ? "p"
		       : strcmp(k->choices, "tunnel") == 0 ? "t"
							   : "q";
	}
	return NULL;
}

#define WIRE(more)                                                                                \
	"pseudowire \"a\" { local = 192.0.2.1 remote = 192.0.2.2 tunnel-id = 1 peer-tunnel-id = " \
	"2 "                                                                                      \
	"peer-session-id = 4 interface = w0 " more " }"
#define SECOND_WIRE(more)                                                                       \
	"pseudowire \"b\" { local = 192.0.2.1 remote = 192.0.2.2 tunnel-id = 1 session-id = 5 " \
	"peer-session-id = 6 interface = w1 " more " }"

/* What an option needs beside it. */
static const char *partner_of(const struct conf_key *k)
{
	static const struct {
		enum conf_kind kind;
		const char *key, *more;
	} partners[] = {
		{ CONF_PROFILE, "auth", "users = /u pool = p" },
		{ CONF_PROFILE, "users", "auth = chap pool = p" },
		{ CONF_PROFILE, "pool", "auth = none" },
		{ CONF_PROFILE, "local-address", "auth = none pool = p" },
		{ CONF_PROFILE, NULL, "auth = none pool = p" },
		{ CONF_PEER, "profile", "" },
		{ CONF_PEER, "challenge", "profile = q secret = x" },
		{ CONF_PEER, "hide", "profile = q secret = x" },
		{ CONF_PEER, NULL, "profile = q" },
		{ CONF_SESSION, "server", "" },
		{ CONF_SESSION, "user", "server = s password = x" },
		{ CONF_SESSION, "password", "server = s user = x" },
		{ CONF_SESSION, "password-file", "server = s user = x" },
		{ CONF_SESSION, "challenge", "server = s secret = x" },
		{ CONF_SESSION, "hide", "server = s secret = x" },
		{ CONF_SESSION, "number", "server = s wait-for-call = yes" },
		{ CONF_SESSION, "redial-first", "server = s redial-cap = 1h" },
		{ CONF_SESSION, NULL, "server = s" },
		{ CONF_TUNNEL, "remote", "" },
		{ CONF_TUNNEL, "old-secret", "remote = 192.0.2.8 secret = y" },
		{ CONF_TUNNEL, "old-secret-file", "remote = 192.0.2.8 secret = y" },
		{ CONF_TUNNEL, "challenge", "remote = 192.0.2.8 secret = y" },
		{ CONF_TUNNEL, "hide", "remote = 192.0.2.8 secret = y" },
		{ CONF_TUNNEL, "redial-first", "remote = 192.0.2.8 redial-cap = 1h" },
		{ CONF_TUNNEL, NULL, "remote = peer.example.net" },
		{ CONF_WIRE, "tunnel", "" },
		{ CONF_WIRE, "secret", "remote = 192.0.2.8" },
		{ CONF_WIRE, "secret-file", "remote = 192.0.2.8" },
		{ CONF_WIRE, "remote-end-id", "remote = 192.0.2.8" },
		{ CONF_WIRE, "circuit", "remote = 192.0.2.8" },
		{ CONF_WIRE, "vlan", "remote = 192.0.2.8 bridge = br0" },
		{ CONF_WIRE, "tagged-vlans", "remote = 192.0.2.8 bridge = br0" },
		{ CONF_WIRE, "type", "remote = 192.0.2.8" },
		{ CONF_WIRE, "tag", "remote = 192.0.2.8 type = vlan" },
		{ CONF_WIRE, "cookie-length", "remote = 192.0.2.8" },
		{ CONF_WIRE, "connect", "remote = 192.0.2.8" },
		{ CONF_WIRE, "local",
		  "remote = 192.0.2.8 tunnel-id = 7 peer-tunnel-id = 8 session-id = 9 "
		  "peer-session-id = 10 interface = w0" },
		{ CONF_WIRE, "remote",
		  "local = 192.0.2.9 tunnel-id = 7 peer-tunnel-id = 8 session-id = 9 "
		  "peer-session-id = 10 interface = w0" },
		{ CONF_WIRE, "tunnel-id",
		  "local = 192.0.2.9 remote = 192.0.2.8 peer-tunnel-id = 8 session-id = 9 "
		  "peer-session-id = 10 interface = w0" },
		{ CONF_WIRE, "peer-tunnel-id",
		  "local = 192.0.2.9 remote = 192.0.2.8 tunnel-id = 7 session-id = 9 "
		  "peer-session-id = 10 interface = w0" },
		{ CONF_WIRE, "session-id",
		  "local = 192.0.2.9 remote = 192.0.2.8 tunnel-id = 7 peer-tunnel-id = 8 "
		  "peer-session-id = 10 interface = w0" },
		{ CONF_WIRE, "peer-session-id",
		  "local = 192.0.2.9 remote = 192.0.2.8 tunnel-id = 7 peer-tunnel-id = 8 "
		  "session-id = 9 interface = w0" },
		{ CONF_WIRE, "interface",
		  "local = 192.0.2.9 remote = 192.0.2.8 tunnel-id = 7 peer-tunnel-id = 8 "
		  "session-id = 9 peer-session-id = 10" },
		{ CONF_WIRE, NULL,
		  "local = 192.0.2.9 remote = 192.0.2.8 tunnel-id = 7 peer-tunnel-id = 8 "
		  "session-id = 9 peer-session-id = 10 interface = w0" },
		{ CONF_POOL, "addresses", "" },
		{ CONF_POOL, NULL, "addresses = 192.0.2.0/28" },
	};

	for (size_t i = 0; i < sizeof(partners) / sizeof(partners[0]); i++)
		if (partners[i].kind == k->kind &&
		    (!partners[i].key || strcmp(partners[i].key, k->key) == 0))
			return partners[i].more;
	return "";
}

static void config_with(const struct conf_key *k, char *buf, size_t cap)
{
	char value[64];
	const char *example = strcmp(k->key, "server") == 0	    ? "lns.example.net"
			      : strcmp(k->key, "remote") == 0	    ? "192.0.2.7"
			      : strcmp(k->key, "tagged-vlans") == 0 ? "{ 10-19, 7 }"
			      : strstr(k->key, "cookie") && k->type == CONF_T_TEXT
				      ? "0123456789abcdef"
				      : example_of(k, value, sizeof(value));
	const char *before = k->kind == CONF_PROFILE	     ? POOL
			     : k->kind == CONF_PEER	     ? PROFILE
			     : strcmp(k->key, "tunnel") == 0 ? "tunnel \"t\" { remote = ::9 }\n"
							     : "";

	if (k->kind == CONF_GLOBAL)
		snprintf(buf, cap, "%s = %s\n", k->key, example);
	else
		snprintf(buf, cap, "%s%s \"x\" { %s %s = %s }\n", before, conf_kind_name(k->kind),
			 partner_of(k), k->key, example);
}

static void read_back(const struct conf *c, unsigned int flags)
{
	char *text = conf_print(c, CONF_PRINT_SECRETS | flags), *again, *diff;
	struct conf *d;

	assert_non_null(text);
	d = parse(text);
	diff = conf_diff(c, d);
	assert_string_equal(diff, "");
	again = conf_print(d, CONF_PRINT_SECRETS);
	if (!flags)
		assert_string_equal(text, again);
	assert_int_equal(c->socket_count, d->socket_count);
	for (size_t i = 0; i < c->socket_count; i++)
		assert_int_equal(c->sockets[i].via, d->sockets[i].via);
	free(diff);
	free(again);
	free(text);
	conf_free(d);
}

static void test_every_key(void **state)
{
	size_t count;
	const struct conf_key *all = conf_schema(&count);

	for (size_t i = 0; i < count; i++) {
		char text[1024], *diff;
		struct conf *c, *without;

		config_with(all + i, text, sizeof(text));
		c = parse(text);
		read_back(c, 0);
		read_back(c, CONF_PRINT_DEFAULTS);
		without = parse("");
		diff = conf_diff(without, c);
		assert_true(strlen(diff) > 0 || all[i].def);
		free(diff);
		conf_free(without);
		conf_free(c);
	}
}

/* A site-to-site bridge takes one short block. */
static void test_wire_agreed(void **state)
{
	struct conf *c =
		parse("pseudowire \"paris\" { remote = 198.51.100.2 secret = s bridge = br0 "
		      "}");
	const struct pw_conf_tunnel *t = c->pw->tunnels;
	const struct pw_conf_wire *w = c->pw->wires;

	assert_int_equal(c->wire_count, 0);
	assert_int_equal(c->pw->wire_count, 1);
	assert_int_equal(c->pw->tunnel_count, 1);
	assert_string_equal(t->name, "paris");
	assert_true(t->implied);
	assert_string_equal(t->remote, "198.51.100.2");
	assert_int_equal(t->port, 1701);
	assert_int_equal(t->encap, DP_ENCAP_UDP);
	assert_int_equal(t->via6, 0);
	assert_int_equal(c->socket_count, 1);
	assert_int_equal(c->sockets[0].addr.port, 1701);
	assert_int_equal(c->sockets[0].via, t->via4);
	assert_int_equal(w->tunnel, 0);
	assert_int_equal(w->type, PW_ETHERNET);
	assert_int_equal(w->cookie_len, 8);
	assert_false(w->fixed);
	assert_string_equal(w->end_id, "paris");
	assert_string_equal(w->row.ifname, "paris");
	assert_string_equal(w->row.master, "br0");
	assert_int_equal(w->row.l2spec, DP_L2SPEC_DEFAULT);
	assert_ptr_equal(conf_pw_by_ifname(c, "paris"), w);
	assert_null(conf_pw_by_ifname(c, "br0"));
	conf_free(c);
}

/* Pseudowires to one peer with the same options share a control connection; others do not. */
static void test_wires_share(void **state)
{
	struct conf *c = parse("listen \"all\" { }\n"
			       "pseudowire \"a\" { remote = 192.0.2.8 secret = s }\n"
			       "pseudowire \"b\" { remote = 192.0.2.8 secret = s circuit = eth1 }\n"
			       "pseudowire \"c\" { remote = 192.0.2.8 secret = t }\n"
			       "pseudowire \"d\" { remote = 192.0.2.8 encapsulation = ip }\n"
			       "tunnel \"t\" { remote = peer.example.net }\n"
			       "pseudowire \"e\" { tunnel = t remote-end-id = 7 type = vlan }\n"
			       "pseudowire \"f\" { tunnel = t session-id = 5 peer-session-id = 6 "
			       "cookie = 01234567 }\n");
	const struct pw_conf *pw = c->pw;

	assert_int_equal(pw->tunnel_count, 4);
	assert_string_equal(pw->tunnels[0].name, "t");
	assert_int_not_equal(pw->tunnels[0].via4, 0);
	assert_int_not_equal(pw->tunnels[0].via6, 0);
	assert_int_equal(pw->wires[0].tunnel, 1);
	assert_int_equal(pw->wires[1].tunnel, 1);
	assert_string_equal(pw->wires[1].row.circuit, "eth1");
	assert_int_equal(pw->wires[2].tunnel, 2);
	assert_int_equal(pw->wires[3].tunnel, 3);
	assert_int_equal(pw->wires[4].tunnel, 0);
	assert_int_equal(pw->wires[4].type, PW_VLAN);
	assert_string_equal(pw->wires[4].end_id, "7");
	assert_true(pw->wires[5].fixed);
	assert_int_equal(pw->wires[5].row.cookie_in_len, 4);
	/* the listeners, and one socket of protocol 115 */
	assert_int_equal(c->socket_count, 3);
	assert_int_equal(c->sockets[2].encap, DP_ENCAP_IP);
	assert_int_equal(c->sockets[2].addr.port, 0);
	assert_int_equal(pw->tunnels[3].via4, c->sockets[2].via);
	conf_free(c);
}

/* Many of them are looked for by their names. */
static void test_wires_by_name(void **state)
{
	char text[2048], name[16];
	struct conf *c;
	size_t n = 0;

	for (int i = 0; i < 30; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "pseudowire n%d { remote = 192.0.2.%d interface = i%d }\n",
				      29 - i, i % 7 + 1, i * 11 % 30);
	snprintf(text + n, sizeof(text) - n,
		 "pseudowire s { local = 192.0.2.1 remote = 192.0.2.2 tunnel-id = 1 "
		 "peer-tunnel-id = 1 session-id = 1 peer-session-id = 1 interface = here }");
	c = parse(text);
	assert_int_equal(c->pw->wire_count, 30);
	assert_int_equal(c->pw->tunnel_count, 7);
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "n%d", 29 - i);
		assert_ptr_equal(conf_pw_find(c, name), c->pw->wires + i);
		assert_int_equal(c->pw->wires[i].tunnel, i % 7);
		snprintf(name, sizeof(name), "i%d", i * 11 % 30);
		assert_ptr_equal(conf_pw_by_ifname(c, name), c->pw->wires + i);
		assert_null(conf_wire_by_ifname(c, name));
	}
	assert_ptr_equal(conf_wire_by_ifname(c, "here"), c->wires);
	assert_null(conf_pw_by_ifname(c, "here"));
	assert_null(conf_pw_find(c, "s"));
	assert_null(conf_pw_find(c, ""));
	conf_free(c);
	c = parse("log-level = info");
	assert_null(conf_pw_find(c, "s"));
	assert_null(conf_wire_by_ifname(c, "here"));
	conf_free(c);
}

/* VLANs of the bridge that a pseudowire is a port of; with others it is another pseudowire. */
static void test_wire_vlans(void **state)
{
	struct conf *c =
		parse("pseudowire a { remote = 192.0.2.8 type = vlan tag = 9 bridge = br0 vlan = 7 "
		      "tagged-vlans = {10, 20-29, 4094} }\n"
		      "pseudowire b { remote = 192.0.2.8 bridge = br0 }");
	struct conf *d = parse("pseudowire a { remote = 192.0.2.8 bridge = br0 vlan = 7 "
			       "tagged-vlans = {10, 20-29} }");
	const struct dp_row *r = &c->pw->wires[0].row;

	assert_int_equal(r->vlan, 7);
	assert_int_equal(r->vlan_count, 3);
	assert_int_equal(r->vlans[0].first, 10);
	assert_int_equal(r->vlans[0].last, 10);
	assert_int_equal(r->vlans[1].first, 20);
	assert_int_equal(r->vlans[1].last, 29);
	assert_int_equal(r->vlans[2].last, 4094);
	assert_int_equal(r->tag, 9);
	assert_int_equal(c->pw->wires[1].row.tag, 0);
	assert_int_equal(c->pw->wires[1].row.vlan, 0);
	assert_int_equal(c->pw->wires[1].row.vlan_count, 0);
	assert_int_not_equal(c->pw->wires[0].digest, d->pw->wires[0].digest);
	conf_free(c);
	conf_free(d);
}

/* What makes a control connection another one, and what may change while it lives. */
static void test_tunnel_digests(void **state)
{
	static const char *const texts[] = {
		"tunnel \"t\" { remote = 192.0.2.8 secret = a }",
		"tunnel \"t\" { remote = 192.0.2.8 secret = b old-secret = a }",
		"tunnel \"t\" { remote = 192.0.2.8 secret = a digest = md5 }",
	};
	struct conf *c[3];

	for (size_t i = 0; i < 3; i++)
		c[i] = parse(texts[i]);
	assert_int_equal(c[0]->pw->tunnels[0].digest, c[1]->pw->tunnels[0].digest);
	assert_int_not_equal(c[0]->pw->tunnels[0].secrets, c[1]->pw->tunnels[0].secrets);
	assert_int_not_equal(c[0]->pw->tunnels[0].digest, c[2]->pw->tunnels[0].digest);
	for (size_t i = 0; i < 3; i++)
		conf_free(c[i]);
}

/* Found by the fuzzer: a port by default is no port where there are none. */
/* A configuration of pseudowires alone can want the kernel, too. */
static void test_planes(void **state)
{
	static const struct {
		const char *text;
		unsigned int planes;
	} v[] = {
		{ "data-plane = kernel", 0 },
		{ "pseudowire \"w\" { remote = 192.0.2.2 }", 1u << DP_WANT_AUTO },
		{ "data-plane = kernel\npseudowire \"w\" { remote = 192.0.2.2 }",
		  1u << DP_WANT_KERNEL },
		{ "data-plane = user\ntunnel \"t\" { remote = 192.0.2.2 data-plane = kernel }\n"
		  "pseudowire \"w\" { remote = 192.0.2.3 }",
		  1u << DP_WANT_KERNEL | 1u << DP_WANT_USER },
		{ "session \"s\" { server = 192.0.2.3 data-plane = user }", 1u << DP_WANT_USER },
	};
	char err[CONF_ERR_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct conf *c = conf_parse(v[i].text, "test.conf", 0, err, sizeof(err));

		assert_non_null(c);
		assert_int_equal(conf_planes(c), v[i].planes);
		conf_free(c);
	}
}

static void test_wire_without_ports(void **state)
{
	struct conf *c = parse(WIRE("session-id = 3 encapsulation = ip"));

	read_back(c, CONF_PRINT_DEFAULTS);
	assert_int_equal(c->wires[0].row.path.local.port, 0);
	conf_free(c);
	c = parse(WIRE("session-id = 3 remote-port = 5"));
	read_back(c, CONF_PRINT_DEFAULTS);
	assert_int_equal(c->wires[0].row.path.local.port, 1701);
	assert_int_equal(c->wires[0].row.path.remote.port, 5);
	conf_free(c);
}

/* Defaults in the table suit their own checks. */
static void test_defaults_suit(void **state)
{
	size_t count;
	const struct conf_key *all = conf_schema(&count);

	for (size_t i = 0; i < count; i++) {
		assert_non_null(all[i].help);
		assert_true(strlen(all[i].help) > 3);
		if (i && all[i].kind != all[i - 1].kind)
			assert_true(all[i].kind > all[i - 1].kind);
		for (size_t j = 0; j < i; j++)
			assert_false(all[i].kind == all[j].kind &&
				     strcmp(all[i].key, all[j].key) == 0);
	}
}

static void test_secrets_are_hidden(void **state)
{
	struct conf *c = parse(PROFILE "peer \"x\" { profile = q secret = \"topsecret\" }\n"
				       "session \"s\" { server = a user = u password = p4ssw0rd }");
	struct conf *d = parse(PROFILE "peer \"x\" { profile = q secret = \"other\" }\n"
				       "session \"s\" { server = a user = u password = p4ssw0rd }");
	char *text = conf_print(c, CONF_PRINT_DEFAULTS), *diff = conf_diff(c, d);

	assert_null(strstr(text, "topsecret"));
	assert_null(strstr(text, "p4ssw0rd"));
	assert_string_equal(diff, "peer \"x\": secret: (hidden) -> (hidden)\n");
	free(text);
	free(diff);
	conf_free(c);
	conf_free(d);
}

/* ---- every error ---- */

static const struct {
	const char *text, *error;
} errors[] = {
	{ "foo-bar-baz = 1", "test.conf:1: unknown option \"foo-bar-baz\" in the top level; see "
			     "adit.conf(5) for the options" },
	{ "\nhost-nam = 1", "test.conf:2: unknown option \"host-nam\" in the top level; did you "
			    "mean \"host-name\"?" },
	{ "pear \"x\" {}", "test.conf:1: unknown option \"pear\" in the top level; did you mean "
			   "\"peer\"?" },
	{ "peer \"x\" {\n\n profil = q }",
	  "test.conf:3: unknown option \"profil\" in peer \"x\"; did you mean \"profile\"?" },
	{ "server = a", "test.conf:1: \"server\" is no option of the top level; it belongs into a "
			"session block" },
	{ "peer \"x\" { log-level = info }",
	  "test.conf:1: \"log-level\" is no option of peer \"x\"; it belongs to the top level" },
	{ "peer \"x\" {\n}",
	  "test.conf:2: peer \"x\" has no profile; set profile: how its sessions "
	  "are treated" },
	{ "peer { }", "test.conf:1: this peer block has no name; write peer \"name\" { ... }" },
	{ "pool \"a\" { addresses = 10.0.0.0/24 }\npool \"a\" {}",
	  "test.conf:2: there is already a block of this kind with the name \"a\"; use another "
	  "name" },
	{ "pool \"a b\" {}", "test.conf:1: this is not a name for a pool block; use 1 to 63 "
			     "characters without spaces, "
			     "quotes, braces and backslashes" },
	{ "peer \"x\" {\n profile = ",
	  "test.conf:2: the file ends behind profile =; write the value" },
	{ "peer \"x\" {\n profile = q\n",
	  "test.conf:4: the file ends inside peer \"x\"; close the block with }" },
	{ "log-level = \"info", "test.conf:3: the file ends in the middle of a value in the top "
				"level; complete it" },
	{ "/* all", "test.conf: the file ends inside a comment or a quoted text; close it" },
	{ "}", "test.conf:1: this } closes nothing; remove it, or look for a { missing above" },
	{ "max-tunnels = { 1, 2 }", "test.conf:1: a list in braces stands where one value belongs, "
				    "in the top level; write one value" },
	{ "max-tunnels 3", "test.conf:1: a = is missing after max-tunnels in the top level; write "
			   "max-tunnels = value" },
	{ "max-tunnels = 0",
	  "test.conf:1: \"0\" does not suit max-tunnels: write a number from 1 to "
	  "65534" },
	{ "max-tunnels = 12x",
	  "test.conf:1: \"12x\" does not suit max-tunnels: write a number from "
	  "1 to 65534" },
	{ "log-level = info\nlog-level = info",
	  "test.conf:2: log-level is set a second time (first in line 1); remove one" },
	{ "peer \"x\" { from = {10.0.0.0/8}\n from = {11.0.0.0/8} profile = q }",
	  "test.conf:2: from is set a second time (first in line 1); remove one, or write += to "
	  "add" },
	{ "log-level = loud", "test.conf:1: \"loud\" does not suit log-level: write debug, info, "
			      "notice or warning" },
	{ "control = run",
	  "test.conf:1: \"run\" does not suit control: write an absolute path, one "
	  "that begins with /" },
	{ "host-name = \"\"",
	  "test.conf:1: \"\" does not suit host-name: it is empty; write a value "
	  "or remove the option" },
	{ "host-name = \"a\tb\"", "test.conf:1: \"a\\x09b\" does not suit host-name: it holds a "
				  "control character; remove it" },
	{ "interface = \"a/b\"", "test.conf:1: \"a/b\" does not suit interface: write an interface "
				 "name, 1 to 15 characters without /, : and spaces" },
	{ "pool \"a\" { addresses = 10.0.0.9-10.0.0.1 }",
	  "test.conf:1: \"10.0.0.9-10.0.0.1\" does not suit addresses: write an IPv4 prefix such "
	  "as "
	  "10.1.0.0/16 or a range such as 10.1.0.10-10.1.0.20" },
	{ "pool \"a\" { prefixes = 10.0.0.0/8 }",
	  "test.conf:1: \"10.0.0.0/8\" does not suit prefixes: write an IPv6 prefix such as "
	  "2001:db8::/40" },
	{ "peer \"x\" { from = 10.0.0.1/8 }",
	  "test.conf:1: \"10.0.0.1/8\" does not suit from: bits behind the prefix length are set; "
	  "write 10.0.0.0/8" },
	{ "pool \"x\" { addresses = 10.1.0.5/24 }",
	  "test.conf:1: \"10.1.0.5/24\" does not suit addresses: bits behind the prefix length are "
	  "set; write 10.1.0.0/24" },
	{ POOL "profile \"x\" { user = /u }",
	  "test.conf:2: unknown option \"user\" in profile \"x\"; did you mean \"users\"?" },
	{ POOL "profile \"x\" {\n pool = \"p }\n\npeer \"y\" { }\n",
	  "test.conf:3: the value of pool goes on over the end of the line; is a quote missing?" },
	{ "session \"x\" { server = \"vpn.example.net:1701\" }",
	  "test.conf:1: \"vpn.example.net:1701\" is neither a host name nor an address; a port is "
	  "an "
	  "option of its own, port = number" },
	{ "peer \"x\" { from = here }", "test.conf:1: \"here\" does not suit from: write a prefix "
					"such as 192.0.2.0/24 or 2001:db8::/40" },
	{ "listen \"x\" { address = here }",
	  "test.conf:1: \"here\" does not suit address: write an "
	  "address such as 192.0.2.1 or 2001:db8::1" },
	{ "profile \"q\" { local-address = ::1 }",
	  "test.conf:1: \"::1\" does not suit local-address: write an IPv4 address such as "
	  "192.0.2.1" },
	{ "session \"s\" { source-port = all }",
	  "test.conf:1: \"all\" does not suit source-port: write \"any\" or a number from 1 to "
	  "65535" },
	{ "session \"s\" { mtu = 100 }",
	  "test.conf:1: \"100\" does not suit mtu: write \"auto\" or "
	  "a number from 576 to 16384" },
	{ "session \"s\" { dns = maybe }",
	  "test.conf:1: \"maybe\" does not suit dns: write yes or no" },
	{ "session \"s\" { hello-interval = 2w }",
	  "test.conf:1: \"2w\" does not suit hello-interval: write a duration such as \"30 s\", "
	  "\"5 min\" or \"1 h\", or \"never\"" },
	{ "session \"s\" { hello-interval = 5ms }",
	  "test.conf:1: \"5ms\" does not suit hello-interval: write a duration from \"1 s\" to \"1 "
	  "d\", or \"never\"" },
	{ "session \"s\" { hello-interval = 30 s }",
	  "test.conf:1: a value with a space needs quotes; write hello-interval = \"30 s\"" },
	{ "session \"s\" { redial-first = never }",
	  "test.conf:1: \"never\" does not suit redial-first: write a duration from \"100 ms\" to "
	  "\"1 d\"" },
	{ "peer \"x\" { secret = \"\" }", "test.conf:1: secret does not suit: it is empty; write a "
					  "value or remove the option" },
	{ "profile \"q\" { pool = \"\" }",
	  "test.conf:1: \"\" does not suit pool: write the name of a pool block" },
	/* what takes more than one value */
	{ "pool \"a\" {\n prefix-length = 64 }",
	  "test.conf:2: pool \"a\" is empty; set addresses, prefixes or both" },
	{ "pool \"a\" { addresses = { 10.0.0.0/24, 10.0.0.5-10.0.0.9 } }",
	  "test.conf:1: 10.0.0.5-10.0.0.9 of pool \"a\" overlaps pool \"a\"; an address belongs to "
	  "one place" },
	{ "pool \"a\" { prefixes = 2001:db8::/32 }\npool \"b\" { prefixes = 2001:db8:7::/48 }",
	  "test.conf:2: 2001:db8:7::/48 of pool \"b\" overlaps pool \"a\"; a prefix belongs to one "
	  "place" },
	{ "pool \"a\" { prefixes = 2001:db8::/64 prefix-length = 56 }",
	  "test.conf:1: 2001:db8::/64 is smaller than the /56 that a session gets; make it larger, "
	  "or change prefix-length" },
	{ "interface-groups = 0",
	  "test.conf:1: \"0\" does not suit interface-groups: write a number from 1 to 15" },
	{ "interface-groups = 16",
	  "test.conf:1: \"16\" does not suit interface-groups: write a number from 1 to 15" },
	{ "session-interface = elevenchars",
	  "test.conf:1: a number of up to six digits follows the "
	  "name; write at most 9 characters" },
	{ "pseudowire \"a\" { }",
	  "test.conf:1: pseudowire \"a\" has no remote; set remote: name or address of the peer" },
	{ "pseudowire \"longer-than-allowed\" { remote = 192.0.2.1 }",
	  "test.conf:1: \"longer-than-allowed\" cannot be the name of an interface; set "
	  "interface" },
	{ "pseudowire \"a\" { remote = 192.0.2.1 }\npseudowire \"b\" { remote = 192.0.2.1\n "
	  "interface = a }",
	  "test.conf:3: pseudowire \"a\" has this interface already; use another one" },
	{ "pseudowire \"a\" { remote = 192.0.2.1 }\npseudowire \"b\" { remote = 192.0.2.1\n "
	  "remote-end-id = a }",
	  "test.conf:3: pseudowire \"a\" has the remote-end-id \"a\" already; use another one" },
	{ "tunnel t { remote = 192.0.2.1 }\npseudowire \"a\" { tunnel = t session-id = 5 "
	  "peer-session-id = 6 }\npseudowire \"b\" { tunnel = t session-id = 5 peer-session-id = 7 "
	  "}",
	  "test.conf:3: pseudowire \"a\" has this session-id already; use another one" },
	{ WIRE("session-id = 3") "\n" SECOND_WIRE("peer-tunnel-id = 3"),
	  "test.conf:2: pseudowire \"a\" has this tunnel-id with another peer-tunnel-id; use the "
	  "same, or another tunnel-id" },
	{ WIRE("session-id = 3") "\n" SECOND_WIRE("peer-tunnel-id = 2 encapsulation = ip"),
	  "test.conf:2: pseudowire \"a\" has this tunnel-id with another encapsulation; use the "
	  "same, or another tunnel-id" },
	{ WIRE("session-id = 3") "\n" SECOND_WIRE("peer-tunnel-id = 2 remote-port = 5"),
	  "test.conf:2: pseudowire \"a\" has this tunnel-id with another port; use the same, or "
	  "another tunnel-id" },
	{ WIRE("session-id = 3") "\n" SECOND_WIRE("peer-tunnel-id = 2 data-plane = user"),
	  "test.conf:2: pseudowire \"a\" has this tunnel-id with another data-plane; use the same, "
	  "or another tunnel-id" },
	{ WIRE("session-id = 3") "\npseudowire \"b\" { local = 192.0.2.1 remote = 192.0.2.3 "
				 "tunnel-id = 1 "
				 "peer-tunnel-id = 2 session-id = 5 peer-session-id = 6 interface "
				 "= w1 }",
	  "test.conf:2: pseudowire \"a\" has this tunnel-id with another address; use the same, or "
	  "another tunnel-id" },
	{ "pseudowire a { remote = 192.0.2.1\n tag = 7 }",
	  "test.conf:2: pseudowire \"a\" is of type ethernet, whose frames pass as they are; set "
	  "type = vlan, or remove tag" },
	{ "pseudowire a { remote = 192.0.2.1 vlan = 7 }",
	  "test.conf:1: pseudowire \"a\" has VLANs but no bridge; set bridge" },
	{ "pseudowire a { remote = 192.0.2.1 bridge = b\n tagged-vlans = {7, 29-20} }",
	  "test.conf:2: \"29-20\" is neither a VLAN from 1 to 4094 nor a range such as 20-29" },
	{ "pseudowire a { remote = 192.0.2.1 bridge = b vlan = 25\n tagged-vlans = {7, 20-29} }",
	  "test.conf:2: VLAN 25 is with a tag here and without one by vlan; remove one of both" },
	{ "pseudowire a { remote = 192.0.2.1 bridge = b\n tagged-vlans = {1,2,3,4,5,6,7,8,9} }",
	  "test.conf:2: there are more than 8 VLANs or ranges of them" },
	{ "pseudowire \"a\" { remote = 192.0.2.1 cookie = 01234567 }",
	  "test.conf:1: cookie of pseudowire \"a\" is for pseudowires with session-id; set "
	  "cookie-length" },
	{ "pseudowire \"a\" { tunnel = t }",
	  "test.conf:1: there is no tunnel \"t\"; add tunnel \"t\" { ... }" },
	{ "tunnel \"t\" { remote = ::1 }\npseudowire \"a\" { tunnel = t\n secret = x }",
	  "test.conf:3: secret belongs into tunnel \"t\", which pseudowire \"a\" names" },
	{ "tunnel \"t\" { remote = ::1 local = 192.0.2.1 }",
	  "test.conf:1: local and remote of tunnel \"t\" are of different families" },
	{ "tunnel \"t\" { remote = 192.0.2.1:99 }",
	  "test.conf:1: write the address alone and the port as remote-port = 99" },
	{ "tunnel \"t\" { remote = \"no way\" }",
	  "test.conf:1: \"no way\" is neither a host name nor an address" },
	{ "tunnel \"t\" { remote = ::1 hide = yes }",
	  "test.conf:1: hide needs a secret; set secret or secret-file" },
	{ "tunnel \"t\" { remote = ::1 old-secret = a }",
	  "test.conf:1: there is an old secret but no new one; set secret" },
	{ "tunnel \"t\" { remote = ::1 secret = a digest = none }",
	  "test.conf:1: with digest = none the secret proves nothing; set challenge = yes, or "
	  "remove digest" },
	{ "tunnel \"t\" { remote = ::1 redial-first = 1h }",
	  "test.conf:1: redial-cap is shorter than redial-first" },
	{ "pseudowire \"a\" { remote = ::1 session-id = 4 }",
	  "test.conf:1: pseudowire \"a\" has no peer-session-id; set peer-session-id: number of "
	  "the "
	  "session on the peer's side, that stands in packets to it" },
	{ WIRE("session-id = 3 secret = a"), "test.conf:1: secret of pseudowire \"a\" is for "
					     "pseudowires that are agreed with the peer; "
					     "remove it, or tunnel-id and peer-tunnel-id" },
	{ WIRE("session-id = 3 cookie = 0123456g"),
	  "test.conf:1: cookie of pseudowire \"a\" is not 8 or 16 hexadecimal digits" },
	{ WIRE("session-id = 3 cookie = 0123456"),
	  "test.conf:1: cookie of pseudowire \"a\" is not 8 or 16 hexadecimal digits" },
	{ WIRE("session-id = 3 peer-cookie = 01234567890123456"),
	  "test.conf:1: peer-cookie of pseudowire \"a\" is not 8 or 16 hexadecimal digits" },
	{ WIRE("session-id = 3 peer-cookie = 0123456789"),
	  "test.conf:1: peer-cookie of pseudowire \"a\" is not 8 or 16 hexadecimal digits" },
	{ WIRE("session-id = 3 sequencing = yes sublayer = none"),
	  "test.conf:1: sequence numbers stand in the sublayer; set sublayer = default" },
	{ WIRE("session-id = 3 encapsulation = ip remote-port = 5"),
	  "test.conf:1: there are no ports with encapsulation = ip" },
	{ "pseudowire \"a\" { remote = 192.0.2.2 tunnel-id = 1 }",
	  "test.conf:1: pseudowire \"a\" has no local; set local: our address, that packets to the "
	  "peer come from; needed with tunnel-id alone" },
	{ WIRE(""),
	  "test.conf:1: pseudowire \"a\" has no session-id; set session-id: number of the "
	  "session on our side, that stands in packets to us" },
	{ WIRE("session-id = 3") "\npseudowire \"b\" { local = 192.0.2.1 remote = 192.0.2.2 "
				 "tunnel-id = 5\n peer-tunnel-id = 2 session-id = 3 "
				 "peer-session-id = 4 interface = w1 }",
	  "test.conf:3: pseudowire \"a\" has this session-id already; use another one" },
	{ WIRE("session-id = 3") "\nsession \"s\" { server = a interface = w0 }",
	  "test.conf:1: the interface w0 is another block's; use another name" },
	{ "pseudowire \"a\" { local = 192.0.2.1 remote = ::2 tunnel-id = 1 peer-tunnel-id = 2 "
	  "session-id = 3 peer-session-id = 4 interface = w0 }",
	  "test.conf:1: local and remote of pseudowire \"a\" are of different families" },
	{ "profile \"q\" { auth = none\n pool = nix }",
	  "test.conf:2: there is no pool \"nix\"; add pool \"nix\" { ... }" },
	{ "profile \"q\" { auth = none\n}", "test.conf:1: profile \"q\" offers IPv4 but has no "
					    "address of our own; set local-address, "
					    "or ipv4 = no" },
	{ "profile \"q\" { local-address = 1.1.1.1\n}",
	  "test.conf:1: users of profile \"q\" have to log in, but no users file is named; set "
	  "users, or auth = none" },
	{ "profile \"q\" { local-address = 1.1.1.1 auth = none\n users = /u }",
	  "test.conf:2: nobody logs in with auth = none; remove users, or set auth" },
	{ "profile \"q\" { local-address = 1.1.1.1 auth = { none, pap } }",
	  "test.conf:1: none stands beside other methods; remove one" },
	{ "profile \"q\" { local-address = 1.1.1.1 auth = { pap, pap } }",
	  "test.conf:1: pap is named twice; remove one" },
	{ "profile \"q\" { " NO_AUTH "ipv4 = no\n ipv6 = no }",
	  "test.conf:2: ipv4 and ipv6 are both no in profile \"q\"; at least one is needed" },
	{ "profile \"q\" { " NO_AUTH "dns = {1.1.1.1, 2.2.2.2, ::1, 3.3.3.3} }",
	  "test.conf:1: 3.3.3.3 is the third name server of its family; two can be told to users" },
	{ "profile \"q\" { auth = {mschapv2, chap} local-address = 192.0.2.1 users = /u mppe = "
	  "require }",
	  "test.conf:1: mppe = require needs a login that gives keys; set auth = mschapv2, or "
	  "mschapv2, eap, and nothing else" },
	{ "profile \"q\" { " NO_AUTH "mppe = require }",
	  "test.conf:1: mppe = require needs a login that gives keys; set auth = mschapv2, or "
	  "mschapv2, eap, and nothing else" },
	{ "profile \"q\" { auth = {eap, mschapv2, eap} local-address = 192.0.2.1 users = /u }",
	  "test.conf:1: eap is named twice; remove one" },
	{ "peer \"x\" { profile = nix }",
	  "test.conf:1: there is no profile \"nix\"; add profile \"nix\" { ... }" },
	{ PROFILE "peer \"x\" { profile = q hide = yes }",
	  "test.conf:3: hide needs a secret; set secret or secret-file" },
	{ PROFILE "peer \"x\" { profile = q quirks = {none, no-hello} }",
	  "test.conf:3: none stands beside other quirks; remove one" },
	{ "session \"x\" { server = s number = 1 }", "test.conf:1: number says which calls of the "
						     "server are ours; set wait-for-call = yes, or "
						     "remove it" },
	{ PROFILE "peer \"x\" { profile = q challenge = yes }",
	  "test.conf:3: challenge needs a secret; set secret or secret-file" },
	{ PROFILE "peer \"x\" { profile = q secret = a\n secret-file = /b }",
	  "test.conf:4: secret and secret-file are both set; remove one" },
	{ "session \"s\" {\n}", "test.conf:2: session \"s\" has no server; set server: name or "
				"address of the LNS to dial" },
	{ "session \"s\" { server = 192.0.2.1:1702 }",
	  "test.conf:1: write the address alone and the port as port = 1702" },
	{ "session \"s\" { server = \"a b\" }",
	  "test.conf:1: \"a b\" is neither a host name nor an address" },
	{ "session \"s\" { server = ::1 version = any wait-for-call = yes }",
	  "test.conf:1: who waits for calls has to name the version; set version = 2 or 3" },
	{ "session \"s\" { server = ::1 version = any encapsulation = ip }",
	  "test.conf:1: L2TPv3 alone is carried directly by IP; set version = 3, or remove "
	  "encapsulation" },
	{ "session \"s\" { server = ::1 version = 3 encapsulation = ip port = 1702 }",
	  "test.conf:1: there are no ports with encapsulation = ip" },
	{ "session \"s\" { server = ::1 version = 3 encapsulation = ip source-port = 1701 }",
	  "test.conf:1: there are no ports with encapsulation = ip" },
	{ "listen \"x\" { encapsulation = ip port = 1702 }",
	  "test.conf:1: there are no ports with encapsulation = ip" },
	{ "session \"s\" { server = ::1 source-address = 1.1.1.1 }",
	  "test.conf:1: the address of the server and source-address are of different families" },
	{ "session \"s\" { server = a user = u }",
	  "test.conf:1: there is a user but no password; set password or password-file" },
	{ "session \"s\" { server = a password = u }",
	  "test.conf:1: there is a password but no user; set user" },
	{ "session \"s\" { server = a ipv4 = no ipv6 = no }",
	  "test.conf:1: ipv4 and ipv6 are both no in session \"s\"; at least one is needed" },
	{ "session \"s\" { server = a redial-first = 1h redial-cap = 1s }",
	  "test.conf:1: redial-cap is shorter than redial-first" },
	{ "session \"s\" { server = a interface = adit0 }",
	  "test.conf:1: adit0 is the interface of the sessions others dial; use another name" },
	{ "session \"s\" { server = a interface = x }\nsession \"t\" { server = a interface = x }",
	  "test.conf:2: session \"s\" has the interface x already; use another name" },
	{ "session \"s\" { server = a routes = {1.0.0.0/8,2.0.0.0/8,3.0.0.0/8,4.0.0.0/8,5.0.0.0/8,"
	  "6.0.0.0/8,7.0.0.0/8} }",
	  "test.conf:1: there are 7 routes; a session can have 6" },
	{ "listen \"a\" { port = 1701 }\nlisten \"b\" { address = 0.0.0.0 }",
	  "test.conf:2: listen b has the address and port of \"listen a\"; change or remove one" },
	{ PLACE "vrf = red }\npeer \"x\" { profile = q data-plane = user }",
	  "test.conf:2: peer \"x\" has data-plane = user, whose sessions have no interface that "
	  "could "
	  "be put into a vrf; use data-plane = auto or kernel" },
	{ "session \"s\" { server = a data-plane = user namespace = n }",
	  "test.conf:1: session \"s\" has data-plane = user, whose sessions have no interface that "
	  "could be put into a namespace; use data-plane = auto or kernel" },
	{ PLACE "namespace = \"../n\" }",
	  "test.conf:1: \"../n\" is no network namespace; it is the name that `ip netns` shows" },
	{ PLACE "interface-name = ppp }",
	  "test.conf:1: \"ppp\" is no name with a user's in it: it needs one %u, which stands for "
	  "the user's name" },
	{ PLACE "interface-name = \"%u\" }",
	  "test.conf:1: \"%u\" is no name with a user's in it: it has to begin with two or more "
	  "letters, digits, '-', '_' or '.'" },
	{ PLACE "interface-name = \"a/b%u\" }",
	  "test.conf:1: \"a/b%u\" is no name with a user's in it: beside %u it may have letters, "
	  "digits, '-', '_' and '.' only" },
	{ PLACE "interface-name = \"subscriber%u\" }",
	  "test.conf:1: \"subscriber%u\" is no name with a user's in it: names of interfaces have "
	  "15 octets; it leaves the user's name too few" },
	{ "include()", "test.conf:1: include takes one file; write include(\"file\")" },
	{ "include(\"/nonexistent\")",
	  "test.conf:1: /nonexistent cannot be read: No such file or directory" },
};

static void test_every_error(void **state)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		char err[CONF_ERR_MAX];
		struct conf *c =
			conf_parse(errors[i].text, "test.conf", CONF_NO_FILES, err, sizeof(err));

		if (c)
			fail_msg("accepted: %s", errors[i].text);
		if (strcmp(err, errors[i].error) != 0)
			fail_msg("\n%s\nsays  %s\nnot   %s", errors[i].text, err, errors[i].error);
	}
}

/* ---- values ---- */

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} good[] = {
		{ "0", 0 },
		{ "30", 30 * US_S },
		{ "30 s", 30 * US_S },
		{ "30s", 30 * US_S },
		{ "500 ms", 500 * US_MS },
		{ "5 min", 300 * US_S },
		{ "5m", 300 * US_S },
		{ "1 h", 3600 * US_S },
		{ "2 d", 172800 * US_S },
		{ "1 hour", 3600 * US_S },
		{ "never", -1 },
		{ "2   days", 172800 * US_S },
	};
	static const char *const bad[] = { "",	    "s",     "-1",     "1.5 h",	    "1 w",
					   "30 S",  "30 s ", "never ", "1 h 5 min", "9999999999999",
					   "0x10 s" };
	int64_t us;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(conf_duration(good[i].text, &us));
		assert_int_equal(us, good[i].us);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(conf_duration(bad[i], &us));
}

static void test_values_arrive(void **state)
{
	struct conf *c =
		parse("host-name = lns1 user = l2tp log = syslog log-level = debug\n"
		      "accounting = /var/log/a max-sessions = 7\n" POOL
		      "profile \"q\" { pool = p users = /u auth = {pap, chap}\n"
		      "  dns = {9.9.9.9, 2620:fe::fe} mtu = 1400 mss-clamp = no\n"
		      "  anti-spoofing = no session-timeout = \"1 h\" idle-timeout = never\n"
		      "  interim-interval = \"5 min\" max-per-user = 2 replace = yes }\n"
		      "peer \"x\" { profile = q from = {10.0.0.0/8, 2001:db8::/32}\n"
		      "  host-name = \"lac*\" max-tunnels = 3 max-sessions = 4 }\n"
		      "session \"s\" { server = lns.example.net port = 1702 user = u\n"
		      "  password = p connect = manual prefer = ipv4 default-route = yes\n"
		      "  route-table = 100 route-metric = 5 redial-first = \"1 s\"\n"
		      "  redial-cap = \"10 s\" redial-attempts = 3 hook-up = /h }");
	const struct access_conf *a = c->access;
	const struct conf_profile *p = a->profiles[0];
	const struct conf_dial *d = a->dials;
	char text[ADDR_TEXT_MAX];

	assert_string_equal(c->host_name, "lns1");
	assert_string_equal(a->host_name, "lns1");
	assert_string_equal(c->user, "l2tp");
	assert_int_equal(c->log_to, CONF_LOG_SYSLOG);
	assert_int_equal(c->log_level, TRACE_DEBUG);
	assert_string_equal(c->accounting, "/var/log/a");
	assert_int_equal(a->max_sessions, 7);
	assert_int_equal(c->users_count, 1);
	assert_string_equal(p->users, c->users[0].name);
	assert_string_equal(addr_text(&p->local4, text), "192.0.2.1");
	assert_string_equal(addr_text(&p->dns4[0], text), "9.9.9.9");
	assert_string_equal(addr_text(&p->dns6[0], text), "2620:fe::fe");
	assert_int_equal(p->mtu, 1400);
	assert_false(p->mss_clamp);
	assert_false(p->antispoof);
	assert_false(p->no_login);
	assert_int_equal(p->session_us, 3600 * US_S);
	assert_int_equal(p->idle_us, 0);
	assert_int_equal(p->interim_us, 300 * US_S);
	assert_int_equal(p->max_per_user, 2);
	assert_true(p->replace);
	assert_int_equal(a->peers[0].from_count, 2);
	assert_string_equal(a->peers[0].host_name, "lac*");
	assert_int_equal(a->peers[0].max_tunnels, 3);
	assert_int_equal(a->peers[0].max_sessions, 4);
	assert_ptr_equal(a->peers[0].profile, p);
	assert_string_equal(d->server, "lns.example.net");
	assert_int_equal(d->port, 1702);
	assert_false(d->automatic);
	assert_false(d->prefer6);
	assert_true(d->default_route);
	assert_int_equal(d->table, 100);
	assert_int_equal(d->metric, 5);
	assert_int_equal(d->redial_first_us, US_S);
	assert_int_equal(d->redial_cap_us, 10 * US_S);
	assert_int_equal(d->redial_max, 3);
	assert_string_equal(d->hook_up, "/h");
	assert_string_equal(d->ifname, "adit1");
	conf_free(c);
}

/* The name of the machine may change at any time: what goes on under the former is the same. */
static void test_digest_of_a_renamed_machine(void **state)
{
	static const char text[] = "tunnel \"t\" { remote = 192.0.2.8 }\n"
				   "session \"s\" { server = 192.0.2.8 }";
	static const char named[] = "host-name = %s\ntunnel \"t\" { remote = 192.0.2.8 }\n"
				    "session \"s\" { server = 192.0.2.8 }";
	char a[256], b[256];
	struct conf *c[4];

	(void)state;
	snprintf(a, sizeof(a), named, "a");
	snprintf(b, sizeof(b), named, "b");
	c[0] = parse(text);
	host_now = "renamed";
	c[1] = parse(text);
	host_now = "machine";
	c[2] = parse(a);
	c[3] = parse(b);
	assert_string_equal(c[1]->host_name, "renamed");
	assert_string_equal(c[0]->host_name, "machine");
	assert_int_equal(c[0]->pw->tunnels[0].digest, c[1]->pw->tunnels[0].digest);
	assert_int_equal(c[0]->access->dials[0].digest, c[1]->access->dials[0].digest);
	for (int i = 0; i < 4; i += 2) {
		assert_int_not_equal(c[3]->pw->tunnels[0].digest, c[i]->pw->tunnels[0].digest);
		assert_int_not_equal(c[3]->access->dials[0].digest, c[i]->access->dials[0].digest);
	}
	for (int i = 0; i < 4; i++)
		conf_free(c[i]);
}

/* What is the default may be said or not; a list that begins with it is something else. */
static void test_digest_of_defaults(void **state)
{
	static const char *const texts[] = { "", "mppe-strength = {128}",
					     "mppe-strength = {128, 56}",
					     "mppe-strength = {128, 40}", "quirks = {auto}" };
	static const bool same[] = { true, true, false, false, true };
	struct conf *first = parse("session \"s\" { server = a }");

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char text[128];
		struct conf *c;

		snprintf(text, sizeof(text), "session \"s\" { server = a %s }", texts[i]);
		c = parse(text);
		assert_int_equal(first->access->dials[0].digest == c->access->dials[0].digest,
				 same[i]);
		conf_free(c);
	}
	conf_free(first);
}

static void test_digest(void **state)
{
	struct conf *a = parse("session \"s\" { server = a user = u password = p }");
	struct conf *b =
		parse("log-level = debug session \"s\" { server = a user = u password = p }");
	struct conf *c = parse("session \"s\" { server = a user = u password = q }");

	assert_true(a->access->dials[0].digest != 0);
	assert_true(a->access->dials[0].digest == b->access->dials[0].digest);
	assert_true(a->access->dials[0].digest != c->access->dials[0].digest);
	conf_free(a);
	conf_free(b);
	conf_free(c);
}

/* ---- sockets and pools ---- */

static void test_sockets_elsewhere(void **state)
{
	static const char peer[] = PROFILE "peer \"x\" { profile = q }\n"
					   "session \"s\" { server = h source-port = 1701 }\n";
	char text[1024];
	struct conf *c, *marked;
	uint32_t via;

	snprintf(text, sizeof(text), "%s%s", peer,
		 "listen \"a\" { namespace = red }\nlisten \"b\" { namespace = blue }");
	c = parse(text);
	assert_int_equal(c->socket_count, 6);
	assert_string_equal(c->sockets[0].netns, "red");
	assert_int_equal(c->sockets[0].mark, 0);
	assert_string_equal(c->sockets[2].netns, "blue");
	assert_true(c->sockets[0].via != c->sockets[2].via);
	/* a dialled session stays where adit is */
	assert_string_equal(conf_dial_socket(c, "s", AF_INET)->name, "port 1701");
	conf_free(c);
	snprintf(text, sizeof(text), "%s%s", peer, "listen \"a\" { }");
	c = parse(text);
	via = c->sockets[0].via;
	conf_free(c);
	snprintf(text, sizeof(text), "%s%s", peer, "listen \"a\" { mark = 4294967295 }");
	marked = parse(text);
	assert_int_equal(marked->sockets[0].mark, UINT32_MAX);
	assert_true(marked->sockets[0].via != via); /* so a reload opens it anew */
	assert_string_equal(conf_dial_socket(marked, "s", AF_INET)->name, "listen a");
	conf_free(marked);
}

/* The version of L2TP that carries PPP. */
static void test_versions(void **state)
{
	struct conf *c = parse(
		PROFILE
		"peer \"a\" { profile = q }\n"
		"peer \"b\" { profile = q version = 3 secret = x }\n"
		"peer \"c\" { profile = q version = any hide = yes secret = x }\n"
		"session \"s\" { server = h }\n"
		"session \"t\" { server = h version = any quirks = no-hello }\n"
		"pseudowire \"w\" { remote = 192.0.2.9 local = 192.0.2.1 session-id = 4000000000\n"
		"  peer-session-id = 7 tunnel-id = 5 peer-tunnel-id = 6 }");
	const struct access_conf *a = c->access;

	(void)state;
	assert_int_equal(a->peers[0].version, CONF_V2);
	assert_null(a->peers[0].l2tp3);
	assert_int_equal(a->peers[1].version, CONF_V3);
	assert_non_null(a->peers[1].l2tp3);
	assert_int_equal(a->peers[2].version, CONF_V_ANY);
	assert_non_null(a->peers[2].l2tp3);
	assert_int_equal(a->dials[0].version, CONF_V2);
	assert_null(a->dials[0].l2tp3);
	assert_int_equal(a->dials[1].version, CONF_V_ANY);
	assert_non_null(a->dials[1].l2tp3);
	/* what a static pseudowire has is not given to anybody */
	assert_int_equal(a->reserved_count, 1);
	assert_int_equal(a->reserved[0], 4000000000u);
	conf_free(c);
}

static void test_sockets(void **state)
{
	struct conf *none = parse("log = stderr"),
		    *lns = parse(PROFILE "peer \"x\" { profile = q }");
	struct conf *two = parse(PROFILE "peer \"x\" { profile = q }\n"
					 "listen \"a\" { address = 192.0.2.1 }\n"
					 "listen \"b\" { port = 1702 device = eth0 }\n"
					 "session \"s\" { server = h }\n"
					 "session \"t\" { server = h source-port = 1701 }\n"
					 "session \"u\" { server = h source-port = 1701\n"
					 "  source-address = 192.0.2.1 }");
	const struct conf_socket *s;

	assert_int_equal(none->socket_count, 0);
	assert_int_equal(lns->socket_count, 2);
	assert_int_equal(lns->sockets[0].addr.port, 1701);
	assert_true(lns->sockets[0].listener);
	assert_true(lns->sockets[0].via != lns->sockets[1].via);
	assert_ptr_equal(conf_socket_find(lns, lns->sockets[1].via), lns->sockets + 1);

	/* a: one; b: two; s: two of its own; t: two shared; u: the listener's */
	assert_int_equal(two->socket_count, 7);
	s = conf_dial_socket(two, "s", AF_INET6);
	assert_non_null(s);
	assert_int_equal(s->addr.port, 0);
	assert_string_equal(s->name, "session s");
	s = conf_dial_socket(two, "t", AF_INET);
	assert_string_equal(s->name, "port 1701");
	assert_false(s->listener);
	assert_string_equal(conf_dial_socket(two, "u", AF_INET)->name, "listen a");
	assert_null(conf_dial_socket(two, "u", AF_INET6));
	assert_null(conf_dial_socket(two, "nix", AF_INET));
	assert_string_equal(conf_dial_by_ifname(two, "adit2")->name, "t");
	assert_null(conf_dial_find(two, "v"));
	conf_free(none);
	conf_free(lns);
	conf_free(two);
}

static void test_pool_without_ours(void **state)
{
	struct conf *c = parse("pool \"p\" { addresses = {10.0.0.0/24, 10.1.0.1-10.1.0.3} }\n"
			       "profile \"a\" { pool = p auth = none }\n"
			       "profile \"b\" { pool = p auth = none local-address = 10.0.0.9 }\n"
			       "profile \"c\" { pool = p auth = none local-address = 10.1.0.3 }");
	const struct conf_pool *p = c->access->pools;

	assert_int_equal(p->range_count, 3);
	assert_int_equal(p->ranges[0].first, 0x0a000002); /* .0 is the net, .1 is ours */
	assert_int_equal(p->ranges[0].last, 0x0a000008);
	assert_int_equal(p->ranges[1].first, 0x0a010001);
	assert_int_equal(p->ranges[1].last, 0x0a010002);
	assert_int_equal(p->ranges[2].first, 0x0a00000a);
	assert_int_equal(p->ranges[2].last, 0x0a0000fe);
	assert_int_equal(p->len6, 64);
	conf_free(c);
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void expect_error(const char *path, const char *part)
{
	char err[CONF_ERR_MAX];
	struct conf *c = conf_load(path, 0, err, sizeof(err));

	assert_null(c);
	if (!strstr(err, part))
		fail_msg("\"%s\" has no \"%s\"", err, part);
	assert_null(strchr(err, '\n'));
}

/* A configuration is made again of the texts it was made of, whatever became of the files. */
static void test_again(void **state)
{
	char dir[] = "/tmp/adit-conf-XXXXXX", err[CONF_ERR_MAX], text[1024], pack[4096];
	char *before, *after;
	struct conf *c, *d;
	size_t len;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	snprintf(text, sizeof(text),
		 POOL "include(\"peers.conf\")\nprofile \"q\" { pool = p users = %s/users }\n"
		      "session \"s\" { server = a user = u password-file = %s/secret }\n",
		 dir, dir);
	write_file("main.conf", text);
	snprintf(text, sizeof(text), "peer \"x\" { profile = q secret-file = %s/secret }\n", dir);
	write_file("peers.conf", text);
	write_file("users", "alice * secret *\nbob * secret *\n");
	write_file("secret", "s3cret\nsecond line\n");
	c = conf_load("main.conf", 0, err, sizeof(err));
	assert_non_null(c);
	assert_int_equal(conf_pack(c, pack, sizeof(pack)), 0); /* nothing was kept */
	conf_free(c);
	c = conf_load("main.conf", CONF_KEEP, err, sizeof(err));
	assert_non_null(c);
	len = conf_pack(c, pack, sizeof(pack));
	assert_in_range(len, 100, sizeof(pack) - 1);
	assert_int_equal(conf_pack(c, pack + len, 100), 0);

	write_file("main.conf", "nonsense\n");
	assert_int_equal(unlink("users") | unlink("secret") | unlink("peers.conf"), 0);
	d = conf_again(pack, len, "main.conf", err, sizeof(err));
	if (!d)
		fail_msg("%s", err);
	before = conf_print(c, 0);
	after = conf_print(d, 0);
	assert_string_equal(before, after);
	assert_string_equal(d->path, "main.conf");
	assert_int_equal(users_count(conf_users_find(d, d->access->profiles[0]->users)), 2);
	assert_int_equal(c->access->dials[0].digest, d->access->dials[0].digest);
	assert_int_equal(conf_pack(d, text, sizeof(text)), len);
	assert_memory_equal(pack, text, len);
	free(before);
	free(after);
	conf_free(c);
	conf_free(d);
	/* those of another file, cut off, none */
	assert_null(conf_again(pack, len, "other.conf", err, sizeof(err)));
	for (size_t n = 0; n < len; n++) {
		uint8_t *cut = malloc(n + 1);

		assert_non_null(cut);
		memcpy(cut, pack, n);
		assert_null(conf_again(cut, n, "main.conf", err, sizeof(err)));
		free(cut);
	}
	assert_int_equal(unlink("main.conf"), 0);
	assert_int_equal(chdir("/") | rmdir(dir), 0);
}

static void test_files(void **state)
{
	char dir[] = "/tmp/adit-conf-XXXXXX", err[CONF_ERR_MAX], text[512];
	struct conf *c;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	expect_error("nix.conf", "nix.conf: cannot be read: No such file or directory");
	expect_error(dir, "is not a plain file");

	write_file("peers.conf", "peer \"x\" { profile = q\n secret-file = /nonexistent }\n");
	write_file("main.conf", PROFILE "include(\"peers.conf\")\n");
	expect_error("main.conf", "peers.conf:2: /nonexistent cannot be read");
	snprintf(text, sizeof(text), "peer \"x\" { profile = q secret-file = %s/secret }\n", dir);
	write_file("peers.conf", text);
	write_file("secret", "\nx");
	expect_error("main.conf", "secret is empty; its first line is the secret");
	write_file("secret", "s3cret\nsecond line\n");
	c = conf_load("main.conf", 0, err, sizeof(err));
	assert_non_null(c);
	assert_string_equal(c->access->peers[0].name, "x");
	conf_free(c);
	/* blocks stand where they are included: the first peer that fits wins */
	write_file("main.conf", "peer \"a\" { profile = q }\ninclude(\"peers.conf\")\n" PROFILE
				"peer \"z\" { profile = q }\n");
	c = conf_load("main.conf", 0, err, sizeof(err));
	assert_non_null(c);
	assert_int_equal(c->access->peer_count, 3);
	assert_string_equal(c->access->peers[0].name, "a");
	assert_string_equal(c->access->peers[1].name, "x");
	assert_string_equal(c->access->peers[2].name, "z");
	conf_free(c);
	write_file("main.conf", PROFILE "peer \"x\" { profile = q }\ninclude(\"peers.conf\")\n");
	expect_error("main.conf", "peers.conf:1: there is already a block of this kind");
	write_file("main.conf", PROFILE "include(\"peers.conf\")\n");
	write_file("peers.conf", "peer \"x\" { nix }");
	expect_error("main.conf", "peers.conf:1: unknown option");
	write_file("peers.conf", "include(\"peers.conf\")\n");
	expect_error("main.conf", "does a file include itself?");
	/* text of somebody who may not read what we may (adit.CompareConfig) */
	assert_null(conf_parse(PROFILE "include(\"peers.conf\")\n", "main.conf", CONF_NO_INCLUDE,
			       err, sizeof(err)));
	assert_non_null(strstr(err, "main.conf:3: include is not possible here"));

	snprintf(text, sizeof(text), POOL "profile \"q\" { pool = p users = %s/users }\n", dir);
	write_file("main.conf", text);
	expect_error("main.conf", "main.conf:2: ");
	write_file("users", "alice * secret *\n");
	c = conf_load("main.conf", 0, err, sizeof(err));
	assert_non_null(c);
	assert_int_equal(users_count(conf_users_find(c, c->access->profiles[0]->users)), 1);
	conf_free(c);
	write_file("users", "");
	c = conf_load("main.conf", 0, err, sizeof(err));
	assert_non_null(c);
	conf_free(c);
	write_file("users", "alice * \"secret\n");
	expect_error("main.conf", "users");

	assert_int_equal(
		unlink("main.conf") | unlink("peers.conf") | unlink("secret") | unlink("users"), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

static size_t lines_of(const char *path)
{
	size_t n = 0;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	for (int ch; (ch = getc(f)) != EOF;)
		n += ch == '\n';
	fclose(f);
	return n;
}

/* The shortest useful files are under ten lines and correct. */
static void test_examples(void **state)
{
	static const char *const files[] = { "lns.conf", "client.conf", "bridge.conf" };

	for (size_t i = 0; i < 3; i++) {
		char path[512], err[CONF_ERR_MAX];
		struct conf *c;

		snprintf(path, sizeof(path), "%s/doc/examples/%s", ADIT_SOURCE, files[i]);
		c = conf_load(path, CONF_NO_FILES, err, sizeof(err));
		if (!c)
			fail_msg("%s", err);
		assert_true(lines_of(path) < 10);
		assert_int_equal(c->access->peer_count + c->access->dial_count + c->pw->wire_count,
				 1);
		conf_free(c);
	}
}

/* Every option, and nothing else, has its paragraph in the manual page. */
static void test_manual(void **state)
{
	char path[512], *text;
	size_t count, n;
	const struct conf_key *all = conf_schema(&count);
	enum conf_kind kind = CONF_KIND_COUNT;
	const char *at;
	FILE *f;

	snprintf(path, sizeof(path), "%s/doc/man/adit.conf.5.scd", ADIT_SOURCE);
	f = fopen(path, "r");
	assert_non_null(f);
	text = calloc(1, 1 << 18);
	assert_non_null(text);
	n = fread(text, 1, (1 << 18) - 1, f);
	assert_true(n > 0 && n < (1 << 18) - 1);
	fclose(f);
	at = text;
	for (size_t i = 0; i < count; i++) {
		char want[128];

		if (all[i].kind != kind && all[i].kind != CONF_GLOBAL) {
			snprintf(want, sizeof(want), "*%s* \"", conf_kind_name(all[i].kind));
			at = strstr(at, want);
			if (!at)
				fail_msg("the manual has no section of %s blocks",
					 conf_kind_name(all[i].kind));
		}
		kind = all[i].kind;
		snprintf(want, sizeof(want), "\n*%s* =", all[i].key);
		at = strstr(at, want);
		if (!at)
			fail_msg("the manual lacks %s of %s, or has it elsewhere", all[i].key,
				 conf_kind_name(kind));
	}
	free(text);
}

/* ---- differences ---- */

static void test_diff(void **state)
{
	struct conf *a = parse(PROFILE "peer \"x\" { profile = q hello-interval = \"60 s\" }\n"
				       "session \"s\" { server = a }");
	struct conf *b = parse("log-level = info\n" PROFILE
			       "peer \"x\" { profile = q hello-interval = \"1 min\" retries = 7\n"
			       "  from = {10.0.0.0/8, 11.0.0.0/8} }\n"
			       "peer \"y\" { profile = q }");
	char *diff = conf_diff(a, b);

	assert_string_equal(diff, "log-level: notice -> info\n"
				  "peer \"x\": from: not set -> 10.0.0.0/8, 11.0.0.0/8\n"
				  "peer \"x\": retries: 5 -> 7\n"
				  "session \"s\": removed\n"
				  "peer \"y\": added\n");
	free(diff);
	conf_free(a);
	conf_free(b);
}

/* Whatever allocation fails: no configuration, an error, nothing lost. */
static void test_out_of_memory(void **state)
{
	static const char text[] =
		"host-name = a\n" POOL "profile \"q\" { pool = p auth = none dns = 1.1.1.1 }\n"
		"peer \"x\" { profile = q secret = s from = {10.0.0.0/8, 11.0.0.0/8} }\n"
		"session \"s\" { server = a user = u password = p routes = {10.0.0.0/8} }";
	char err[CONF_ERR_MAX];

	for (long n = 1;; n++) {
		struct conf *c;

		failmalloc_arm(n);
		c = conf_parse(text, "test.conf", CONF_NO_FILES, err, sizeof(err));
		if (!failmalloc_disarm()) {
			assert_non_null(c);
			conf_free(c);
			break;
		}
		if (c)
			conf_free(c); /* an allocation that is not ours to miss (asprintf) */
		else
			assert_true(strlen(err) > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_wire_without_ports),
		cmocka_unit_test(test_wire_agreed),
		cmocka_unit_test(test_planes),
		cmocka_unit_test(test_wires_share),
		cmocka_unit_test(test_wires_by_name),
		cmocka_unit_test(test_wire_vlans),
		cmocka_unit_test(test_tunnel_digests),
		cmocka_unit_test(test_defaults_suit),
		cmocka_unit_test(test_secrets_are_hidden),
		cmocka_unit_test(test_every_error),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_values_arrive),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_digest_of_defaults),
		cmocka_unit_test(test_digest_of_a_renamed_machine),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_sockets_elsewhere),
		cmocka_unit_test(test_pool_without_ours),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
