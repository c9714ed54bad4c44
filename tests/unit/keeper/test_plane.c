/* SPDX-License-Identifier: MIT
 *
 * The keeper's side of the kernel plane over a kernel played by the test (../dp/fake_kernel.h):
 * what is missing, what is full and what others remove ends in one clear line and in a state that
 * goes on working. The part of net.h it uses is played here, too.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../dp/fake_kernel.h"
#include "base/wire.h"
#include "dp/batch.h"
#include "dp/kernel.h"
#include "keeper/name.h"
#include "keeper/plane.h"

#define LOG 64

static const char text_of_conf[] =
	"max-tunnels = 2 max-sessions = 3 data-plane = kernel\n"
	"pool \"a\" { addresses = { 10.1.0.0/24 } }\n"
	"profile \"a\" { auth = none pool = \"a\" local-address = 192.0.2.1 }\n"
	"listen \"all\" { address = 192.0.2.1 }\n"
	"peer \"all\" { profile = \"a\" }\n"
	"session \"vpn\" { server = 192.0.2.9 interface = vpn0 routes = { 10.9.0.0/16 } }\n"
	"pseudowire \"w0\" { remote = 192.0.2.8 }\n";

struct world {
	struct fake_kernel f;
	struct kernel_probe probe;
	struct conf *c;
	struct kplane *p;
	struct mono now;
	struct batch_record log[LOG]; /* what aditd was told */
	size_t count, at;
	uint32_t generation;
};

/* ---- net.h ---- */

static struct {
	int pins; /* asked for less taken away */
} net;

uint8_t net_proto(const struct net *n)
{
	return 0xad;
}

int net_addr(struct net *n, const char *ifname, const struct prefix *p, bool add,
	     const char **ret_text)
{
	return 0;
}

int net_pin(struct net *n, const struct addr *to, enum net_holder holder, bool add,
	    const char **ret_text)
{
	net.pins += add ? 1 : -1;
	return 0;
}

/* ---- the lab ---- */

static void on_send(void *arg, const uint8_t *bytes, size_t len, int fd, bool dispensable)
{
	struct world *w = arg;
	struct rcur c = rcur_of(bytes, len);

	if (w->at == w->count)
		w->at = w->count = 0;
	while (w->count < LOG && batch_load(&c, &w->log[w->count]) == 1)
		w->count++;
	assert_int_equal(rcur_left(&c), 0);
}

static bool on_behind(void *arg)
{
	return false;
}

static void on_say(void *arg, enum trace_level level, const char *text)
{
}

static bool on_known(void *arg, const struct addr *a)
{
	return false;
}

/* `groups`: take the name of this set of interface groups, 0 = none. */
static struct world *begin_in(uint32_t gaps, int groups)
{
	struct world *w = calloc(1, sizeof(*w));
	char err[CONF_ERR_MAX] = "", text[sizeof(text_of_conf) + 32];
	struct kplane_config config = { .sys = &w->f.sys,
					.probe = &w->probe,
					.unclaimed = groups == 0,
					.send = on_send,
					.behind = on_behind,
					.say = on_say,
					.known = on_known,
					.arg = w };

	w->probe.gaps = gaps;
	w->now.us = US_S;
	net.pins = 0;
	fake_kernel_init(&w->f);
	snprintf(text, sizeof(text), "interface-groups = %d\n%s", groups ? groups : 1,
		 text_of_conf);
	w->c = conf_parse(text, "t", CONF_NO_FILES, err, sizeof(err));
	assert_string_equal(err, "");
	w->p = kplane_new(&config, w->c);
	assert_non_null(w->p);
	kplane_begin(w->p, 1);
	return w;
}

static struct world *begin(uint32_t gaps)
{
	return begin_in(gaps, 0);
}

static void end(struct world *w)
{
	kplane_free(w->p);
	fake_kernel_end(&w->f); /* no descriptor is left */
	conf_free(w->c);
	free(w);
}

/* The next thing aditd is told; fails when nothing comes within two minutes. */
static const struct batch_record *told(struct world *w, enum batch_tag tag)
{
	for (int i = 0; i < 12000 && w->at == w->count; i++) {
		struct pollfd p = { kplane_fd(w->p), POLLIN, 0 };

		poll(&p, 1, 10);
		kplane_work(w->p, w->now);
	}
	assert_true(w->at < w->count);
	assert_int_equal(w->log[w->at].tag, tag);
	return &w->log[w->at++];
}

static void ask(struct world *w, const struct batch_record *r)
{
	uint8_t buf[BATCH_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));

	assert_true(batch_save(&c, r));
	kplane_input(w->p, w->now, buf, c.len);
}

static struct path path(const struct world *w, uint8_t peer)
{
	struct path p = { .via = w->c->sockets[0].via };

	assert_int_equal(addr_parse("192.0.2.1:1701", &p.local), 0);
	assert_int_equal(addr_parse("192.0.2.9:1701", &p.remote), 0);
	p.remote.ip[3] = peer;
	return p;
}

static const struct batch_record *tunnel(struct world *w, uint16_t id)
{
	struct batch_record r = { .tag = BATCH_TUNNEL };

	r.tunnel = (struct dp_tunnel){ .local = id, .remote = 7, .version = 2 };
	r.tunnel.path = path(w, (uint8_t)id);
	ask(w, &r);
	return told(w, BATCH_TUNNEL_DONE);
}

static const struct dp_done *put(struct world *w, uint64_t key, uint16_t in_tunnel)
{
	struct batch_record r = { .tag = BATCH_PUT, .key = key, .generation = ++w->generation };
	struct dp_row *row = &r.u.row;

	row->state = DP_ACTIVE;
	row->ends = DP_L2TP_PPP;
	row->flags = DP_F_IP4;
	row->path = path(w, (uint8_t)in_tunnel);
	row->local_tunnel = in_tunnel;
	row->remote_tunnel = 7;
	row->local_session = row->remote_session = (uint32_t)key;
	row->mtu = 1400;
	row->prefixes[0] = (struct prefix){ { .family = AF_INET, .ip = { 10, 1, 0, 9 } }, 32 };
	row->prefixes[0].addr.ip[3] = (uint8_t)key;
	row->prefix_count = 1;
	ask(w, &r);
	return &told(w, BATCH_DONE)->u.done;
}

static void del(struct world *w, uint64_t key)
{
	struct batch_record r = { .tag = BATCH_DEL, .key = key, .generation = ++w->generation };

	ask(w, &r);
	assert_int_equal(told(w, BATCH_DONE)->u.done.error, 0);
	r = (struct batch_record){ .tag = BATCH_FORGET, .key = key };
	ask(w, &r);
}

static void assert_counts(struct world *w, uint32_t tunnels, uint32_t sessions)
{
	uint32_t t, s;

	kplane_counts(w->p, &t, &s);
	assert_int_equal(t, tunnels);
	assert_int_equal(s, sessions);
}

static void assert_says(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("\"%s\" does not say \"%s\"", text, word);
}

/* ---- what is missing ---- */

static void what_the_kernel_lacks_is_said(void **state)
{
	static const struct {
		enum kernel_gap gap;
		const char *word;
	} all[] = {
		{ KERNEL_GAP_GENL, "modprobe" },     { KERNEL_GAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ KERNEL_GAP_PPP_NODE, "/dev/ppp" }, { KERNEL_GAP_PPPOL2TP, "modprobe" },
		{ KERNEL_GAP_PPP, "modprobe" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct world *w = begin(1u << all[i].gap | 1u << KERNEL_GAP_ETH);
		struct batch_record r = { .tag = BATCH_LIST };

		assert_int_equal(tunnel(w, 5)->error, -EOPNOTSUPP);
		assert_says(w->log[w->at - 1].text, all[i].word);
		assert_int_equal(put(w, 1, 5)->error, -EOPNOTSUPP);
		assert_says(w->log[w->at - 1].u.done.text, all[i].word);
		ask(w, &r);
		assert_says(told(w, BATCH_LIST_END)->text, all[i].word);
		del(w, 1); /* of nothing */
		assert_counts(w, 0, 0);
		end(w);
	}
}

/* An Ethernet pseudowire agreed with its peer, and its connection. */
static const struct dp_done *put_wire(struct world *w, uint64_t key, int *ret_tunnel)
{
	struct batch_record r = { .tag = BATCH_TUNNEL };
	struct path path = { .via = w->c->pw->tunnels[0].via4 };
	const struct conf_socket *s = conf_socket_find(w->c, path.via);

	assert_non_null(s);
	assert_int_equal(addr_parse("192.0.2.1", &path.local), 0);
	path.local.port = s->addr.port ? s->addr.port : 1701;
	assert_int_equal(addr_parse("192.0.2.8:1701", &path.remote), 0);
	r.tunnel = (struct dp_tunnel){ .local = 70000, .remote = 8, .version = 3, .path = path };
	ask(w, &r);
	*ret_tunnel = told(w, BATCH_TUNNEL_DONE)->error;
	r = (struct batch_record){ .tag = BATCH_PUT, .key = key, .generation = ++w->generation };
	r.u.row = w->c->pw->wires[0].row;
	r.u.row.state = DP_ACTIVE;
	r.u.row.ends = DP_L2TP_ETH;
	r.u.row.version = 3;
	r.u.row.path = path;
	r.u.row.local_tunnel = 70000;
	r.u.row.remote_tunnel = 8;
	r.u.row.local_session = r.u.row.remote_session = (uint32_t)key;
	r.u.row.mtu = 1400;
	snprintf(r.u.row.ifname, sizeof(r.u.row.ifname), "w0");
	ask(w, &r);
	return &told(w, BATCH_DONE)->u.done;
}

/* What is missing is of one kind of session: the other is carried. */
static void each_kind_by_itself(void **state)
{
	static const struct {
		uint32_t gaps;
		bool ppp, ethernet;
		const char *word; /* of what is missing */
	} all[] = {
		{ 0, true, true, "" },
		{ 1u << KERNEL_GAP_PPP_NODE, false, true, "/dev/ppp" },
		{ 1u << KERNEL_GAP_PPPOL2TP, false, true, "modprobe l2tp_ppp" },
		{ 1u << KERNEL_GAP_PPP, false, true, "modprobe ppp_generic" },
		{ 1u << KERNEL_GAP_ETH, true, false, "modprobe l2tp_eth" },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct world *w = begin(all[i].gaps);
		struct batch_record r = { .tag = BATCH_LIST };
		const struct dp_done *d;
		int error;

		ask(w, &r);
		assert_int_equal(told(w, BATCH_LIST_END)->error, 0); /* there is a plane */
		assert_int_equal(tunnel(w, 5)->error, all[i].ppp ? 0 : -EOPNOTSUPP);
		if (!all[i].ppp)
			assert_says(w->log[w->at - 1].text, all[i].word);
		d = put(w, 1, 5);
		assert_int_equal(d->error, all[i].ppp ? 0 : -EOPNOTSUPP);
		if (!all[i].ppp)
			assert_says(d->text, all[i].word);
		d = put_wire(w, 2, &error);
		assert_int_equal(error, 0);
		assert_int_equal(d->error, all[i].ethernet ? 0 : -EOPNOTSUPP);
		if (!all[i].ethernet)
			assert_says(d->text, all[i].word);
		assert_counts(w, 1 + all[i].ppp, (uint32_t)all[i].ppp + all[i].ethernet);
		end(w);
	}
}

/* The sets of interface groups that this test has taken: other programs may have some of them. */
static struct world *begin_in_free(int first, int *ret_groups)
{
	struct world *w = NULL;
	uint16_t groups;

	for (int n = first; !w && n <= CONF_GROUPS_MAX; n++) {
		w = begin_in(0, n);
		if (kplane_claim(w->p, &groups) < 0) {
			end(w);
			w = NULL;
			continue;
		}
		assert_int_equal(groups, KERNEL_GROUPS - 1 + n);
		*ret_groups = n;
	}
	assert_non_null(w);
	return w;
}

/* Two keepers of one network namespace: what one sweeps, or removes for the other when that dies,
 * is known by its interface group alone. */
static void interface_groups_are_of_one_keeper(void **state)
{
	struct batch_record list = { .tag = BATCH_LIST }, probe = { .tag = BATCH_PROBE };
	struct world *a, *b, *c;
	uint16_t groups;
	int has, other;

	a = begin_in_free(1, &has);
	b = begin_in(0, has);
	assert_int_equal(kplane_claim(b->p, &groups), -1);
	assert_int_equal(tunnel(b, 5)->error, -EOPNOTSUPP);
	assert_says(b->log[b->at - 1].text, "interface-groups");
	ask(b, &list);
	assert_says(told(b, BATCH_LIST_END)->text, "another number");
	ask(b, &probe);
	while (b->at < b->count && strcmp(b->log[b->at].name, "interface-groups") != 0)
		b->at++;
	assert_false(told(b, BATCH_FOUND)->ok); /* what `adit doctor` shows */
	told(b, BATCH_PROBE_END);
	c = begin_in_free(has + 1, &other);
	assert_true(other > has);
	assert_int_equal(tunnel(a, 5)->error, 0);
	assert_int_equal(tunnel(c, 5)->error, 0);
	end(c);
	end(b);
	end(a);
}

/* Somebody without rights has the name: no other keeper is to blame, and a reload asks again. */
static void interface_groups_of_a_stranger(void **state)
{
	int pair[2], hold[2], status;
	char name[64], who[128], c;
	struct world *w;
	uint16_t groups;
	pid_t pid;
	int free_one;

	if (geteuid() != 0)
		skip();
	end(begin_in_free(1, &free_one));
	snprintf(name, sizeof(name), "adit-keeper-groups-%d", free_one);
	assert_int_equal(pipe(pair) | pipe(hold), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(hold[1]);
		if (setuid(65534) < 0 || name_take(name) < 0 || write(pair[1], "", 1) != 1)
			_exit(1);
		_exit(read(hold[0], &c, 1) != 0); /* until the other side is closed */
	}
	assert_int_equal(read(pair[0], &c, 1), 1);
	w = begin_in(0, free_one);
	assert_int_equal(kplane_claim(w->p, &groups), -1);
	assert_int_equal(tunnel(w, 5)->error, -EOPNOTSUPP);
	snprintf(who, sizeof(who), "@%s is that of process %d of user 65534,", name, (int)pid);
	assert_says(w->log[w->at - 1].text, who);
	close(hold[0]);
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	kplane_conf(w->p, w->c, w->now);
	assert_true(kplane_claim(w->p, &groups) >= 0);
	end(w);
	close(pair[0]);
	close(pair[1]);
}

/* `adit doctor` tells only of what could be tried: not that all is well with what stands on
 * something missing, nor that it lacks it, too. */
static void doctor_tells_what_was_tried(void **state)
{
	static const struct {
		uint32_t gaps;
		const char *missing, *untried; /* names, with a space on both sides */
	} all[] = {
		{ 1u << KERNEL_GAP_GENL | 1u << KERNEL_GAP_TUPLE,
		  " l2tp-netlink ppp-sessions ethernet-pseudowires ",
		  " l2tp-eth one-tunnel-per-address bridge namespace " },
		{ 1u << KERNEL_GAP_NET_ADMIN | 1u << KERNEL_GAP_TUPLE,
		  " net-admin ppp-sessions ethernet-pseudowires ",
		  " l2tp-eth one-tunnel-per-address bridge namespace " },
		{ 1u << KERNEL_GAP_PPPOL2TP, " l2tp-ppp ppp-sessions ",
		  " one-tunnel-per-address bridge " },
		{ 1u << KERNEL_GAP_PPP_NODE | 1u << KERNEL_GAP_MPPE, " dev-ppp ppp-sessions ",
		  " ppp mppe bridge " },
		{ 1u << KERNEL_GAP_PPP, " ppp ppp-sessions ", " mppe bridge " },
		{ 1u << KERNEL_GAP_ETH | 1u << KERNEL_GAP_TUPLE,
		  " l2tp-eth ethernet-pseudowires one-tunnel-per-address ", " " },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct world *w = begin(all[i].gaps);
		struct batch_record r = { .tag = BATCH_PROBE };
		char word[sizeof(w->log[0].name) + 2];

		ask(w, &r);
		while (w->at < w->count && w->log[w->at].tag == BATCH_FOUND) {
			snprintf(word, sizeof(word), " %s ", w->log[w->at].name);
			assert_null(strstr(all[i].untried, word));
			assert_int_equal(!w->log[w->at].ok, strstr(all[i].missing, word) != NULL);
			w->at++;
		}
		assert_true(w->at > 5);
		told(w, BATCH_PROBE_END);
		end(w);
	}
}

/* It was there when we looked. */
static void dev_ppp_that_vanishes(void **state)
{
	struct world *w = begin(0);
	const struct dp_done *d;

	assert_int_equal(tunnel(w, 5)->error, 0);
	fake_kernel_fail(&w->f, "open-ppp", 1, 0, -ENOENT);
	d = put(w, 1, 5);
	assert_int_equal(d->error, -EOPNOTSUPP);
	assert_says(d->text, "/dev/ppp");
	assert_counts(w, 1, 0);
	assert_int_equal(put(w, 2, 5)->error, 0);
	end(w);
}

/* ---- what is full ---- */

static void limits(void **state)
{
	struct world *w = begin(0);
	struct batch_record r = { .tag = BATCH_TUNNEL_DEL };

	assert_int_equal(tunnel(w, 5)->error, 0);
	assert_int_equal(tunnel(w, 6)->error, 0);
	assert_int_equal(tunnel(w, 7)->error, -ENFILE);
	assert_int_equal(tunnel(w, 6)->error, 0); /* the same again is no further one */
	for (uint64_t key = 1; key <= 3; key++)
		assert_int_equal(put(w, key, 5)->error, 0);
	assert_int_equal(put(w, 4, 5)->error, -ENFILE);
	assert_int_equal(put(w, 3, 5)->error, 0);
	assert_counts(w, 2, 3);
	del(w, 1);
	assert_int_equal(put(w, 4, 5)->error, 0);
	r.tunnel.local = 6;
	ask(w, &r);
	assert_int_equal(tunnel(w, 7)->error, 0);
	end(w);
}

static void out_of_descriptors(void **state)
{
	static const char *const steps[] = { "socket-pppox", "open-ppp" };
	struct world *w = begin(0);

	fake_kernel_fail(&w->f, "socket-udp", 1, 0, -EMFILE);
	assert_int_equal(tunnel(w, 5)->error, -EMFILE);
	assert_says(w->log[w->at - 1].text, "LimitNOFILE");
	assert_counts(w, 0, 0);
	assert_int_equal(tunnel(w, 5)->error, 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		fake_kernel_fail(&w->f, steps[i], 1, 0, -EMFILE);
		assert_int_equal(put(w, 10 + i, 5)->error, -EMFILE);
		assert_says(w->log[w->at - 1].u.done.text, "LimitNOFILE");
		assert_counts(w, 1, 0);
	}
	/* none of them is held against the limit of three */
	for (uint64_t key = 1; key <= 3; key++)
		assert_int_equal(put(w, key, 5)->error, 0);
	end(w);
}

/* The kernel has no buffers for the list of counters: nothing is taken for gone. */
static void no_buffers_for_the_counters(void **state)
{
	struct world *w = begin(0);

	assert_int_equal(tunnel(w, 5)->error, 0);
	assert_int_equal(put(w, 1, 5)->error, 0);
	fake_kernel_fail(&w->f, "getstats", 1, 0, -ENOBUFS);
	w->now = mono_add(w->now, 60 * US_S);
	assert_true(mono_due(kplane_deadline(w->p), w->now));
	kplane_expire(w->p, w->now);
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		kplane_work(w->p, w->now);
	}
	assert_int_equal(w->at, w->count); /* aditd hears nothing of it */
	assert_counts(w, 1, 1);
	end(w);
}

/* ---- what others do ---- */

static void tunnel_removed_by_somebody_else(void **state)
{
	struct batch_record again = { .tag = BATCH_DEL, .key = 1 };
	struct world *w = begin(0);
	const struct batch_record *r;

	assert_int_equal(tunnel(w, 5)->error, 0);
	assert_int_equal(put(w, 1, 5)->error, 0);
	/* a notification alone is nothing: anybody may send it */
	fake_kernel_notify(&w->f, 5, 0);
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		kplane_work(w->p, w->now);
	}
	assert_int_equal(w->at, w->count);
	fake_kernel_fail(&w->f, "tunnel-get", 1, 0, -ENODEV);
	fake_kernel_notify(&w->f, 5, 0);
	r = told(w, BATCH_ROW_LOST);
	assert_int_equal(r->key, 1);
	assert_true(r->text[0] != '\0');
	r = told(w, BATCH_TUNNEL_LOST);
	assert_int_equal(r->tunnel.local, 5);
	assert_true(r->text[0] != '\0');
	/* what it had counted is told with the deletion, and once more to a successor */
	for (int i = 0; i < 2; i++) {
		again.generation = ++w->generation;
		ask(w, &again);
		assert_true(told(w, BATCH_DONE)->u.done.counters.rx_packets > 0);
	}
	del(w, 1);
	assert_counts(w, 0, 0);
	assert_int_equal(tunnel(w, 5)->error, 0);
	assert_int_equal(put(w, 2, 5)->error, 0);
	end(w);
}

/* What an aditd gone wrong may ask for. */
static void more_than_the_configuration(void **state)
{
	struct world *w = begin(0);
	struct batch_record r = { .tag = BATCH_PUT, .key = UINT64_MAX, .generation = 1 };

	assert_int_equal(tunnel(w, 5)->error, 0);
	r.u.row.state = DP_ACTIVE;
	r.u.row.ends = DP_L2TP_PPP;
	r.u.row.path = path(w, 5);
	r.u.row.local_tunnel = r.u.row.remote_tunnel = 5;
	r.u.row.local_session = r.u.row.remote_session = 9;
	r.u.row.mtu = 1400;
	ask(w, &r); /* a key of the keeper's own pseudowires */
	assert_int_equal(told(w, BATCH_DONE)->u.done.error, -EPERM);
	r.key = 9;
	strcpy(r.u.row.master, "br0");
	ask(w, &r);
	assert_int_equal(told(w, BATCH_DONE)->u.done.error, -EPERM);
	assert_counts(w, 1, 0);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_kernel_lacks_is_said),
		cmocka_unit_test(each_kind_by_itself),
		cmocka_unit_test(interface_groups_are_of_one_keeper),
		cmocka_unit_test(interface_groups_of_a_stranger),
		cmocka_unit_test(doctor_tells_what_was_tried),
		cmocka_unit_test(dev_ppp_that_vanishes),
		cmocka_unit_test(limits),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(no_buffers_for_the_counters),
		cmocka_unit_test(tunnel_removed_by_somebody_else),
		cmocka_unit_test(more_than_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
