/* SPDX-License-Identifier: MIT
 *
 * Which plane gets a session, over the simulated plane in user space and a keeper played by the
 * test: it reads the records remote.c sends and answers with records of its own.
 */
#include "dp/auto.h"
#include "base/wire.h"
#include "dp/batch.h"
#include "dp/remote.h"
#include "dp/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "failmalloc.h"

#define TUNNEL 10
#define LOG    256

static const uint8_t hash_key[16] = { 7 };

/* What the keeper has been asked, in order. */
struct keeper {
	struct batch_record log[LOG];
	size_t count, at;
	int send_error;
};

static struct {
	uint32_t tunnel, via;
	int attached, detached, error;
	bool wakes;
	uint32_t elsewhere; /* a session that is, 0 = none */
} attach;

static int keeper_send(void *arg, const uint8_t *bytes, size_t len)
{
	struct keeper *k = arg;
	struct rcur c = rcur_of(bytes, len);

	if (k->send_error)
		return k->send_error;
	while (k->count < LOG && batch_load(&c, &k->log[k->count]) == 1)
		k->count++;
	assert_int_equal(rcur_left(&c), 0);
	return 0;
}

static void on_elsewhere(struct dp *user, uint32_t session, bool is)
{
	(void)user;
	assert_true(is || attach.elsewhere == session);
	attach.elsewhere = is ? session : 0;
}

static int on_attach(struct dp *user, uint32_t tunnel, uint32_t via, int fd)
{
	if (attach.error)
		return attach.error;
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) >= 0);
	attach.tunnel = tunnel;
	attach.via = via;
	attach.attached++;
	return 0;
}

static void on_detach(struct dp *user, uint32_t tunnel)
{
	attach.detached++;
}

static int on_wake(struct dp *user, int fd)
{
	return 0;
}

struct lab {
	struct keeper keeper;
	struct dp *sim, *remote, *dp;
	struct mono now;
};

/* `why`: there is no kernel plane. `had`: a row the keeper has already, 0 = none. */
static struct lab *lab_new(const char *why, uint64_t had)
{
	struct lab *l = calloc(1, sizeof(*l));
	struct dp_remote_config rc = { .send = keeper_send, .arg = &l->keeper };
	struct dp_sim_config sc = { .seed = 1 };
	struct dp_auto_config ac = {
		.attach = on_attach, .detach = on_detach, .elsewhere = on_elsewhere, .why = why
	};
	struct batch_record row = {
		.tag = BATCH_ROW, .key = had, .generation = 3, .tunnel.local = TUNNEL
	};
	struct batch_record end = { .tag = BATCH_LIST_END };
	uint8_t buf[BATCH_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));
	const char *text;
	int error;

	assert_non_null(l);
	if (attach.wakes)
		ac.wake = on_wake;
	memset(&attach, 0, sizeof(attach));
	memcpy(rc.hash_key, hash_key, sizeof(hash_key));
	memcpy(ac.hash_key, hash_key, sizeof(hash_key));
	l->sim = dp_sim_new(&sc);
	l->remote = dp_remote_new(&rc);
	assert_int_equal(dp_remote_ask(l->remote), 0);
	assert_false(dp_remote_listed(l->remote, &error, &text));
	dp_remote_flush(l->remote);
	assert_int_equal(l->keeper.log[l->keeper.at++].tag, BATCH_LIST);
	if (had)
		assert_true(batch_save(&c, &row));
	assert_true(batch_save(&c, &end));
	dp_remote_input(l->remote, buf, c.len, -1);
	assert_true(dp_remote_listed(l->remote, &error, &text));
	assert_int_equal(error, 0);
	ac.user = l->sim;
	ac.kernel = l->remote;
	l->dp = dp_auto_new(&ac);
	assert_non_null(l->dp);
	return l;
}

static void lab_free(struct lab *l)
{
	assert_int_equal(l->keeper.at, l->keeper.count); /* nothing else was asked */
	l->dp->ops->free(l->dp);
	free(l);
}

/* The next thing the keeper was asked. */
static const struct batch_record *asked(struct lab *l, enum batch_tag tag)
{
	dp_remote_flush(l->remote);
	assert_true(l->keeper.at < l->keeper.count);
	assert_int_equal(l->keeper.log[l->keeper.at].tag, tag);
	return &l->keeper.log[l->keeper.at++];
}

static void answer(struct lab *l, const struct batch_record *r, int fd)
{
	uint8_t buf[BATCH_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));

	assert_true(batch_save(&c, r));
	dp_remote_input(l->remote, buf, c.len, fd);
}

static void answer_done(struct lab *l, enum dp_op op, uint64_t key, uint32_t generation, int error,
			const char *text)
{
	struct batch_record r = { .tag = BATCH_DONE };

	r.u.done.op = (uint8_t)op;
	r.u.done.key = key;
	r.u.done.generation = generation;
	r.u.done.error = error;
	strcpy(r.u.done.text, text);
	if (op == DP_OP_PUT && !error)
		strcpy(r.u.done.ifname, "l2tp0");
	if (op == DP_OP_DEL)
		r.u.done.counters.rx_bytes = 4711;
	answer(l, &r, -1);
}

static struct dp_tunnel tunnel(enum dp_want want)
{
	struct dp_tunnel t = { .want = (uint8_t)want, .local = TUNNEL, .remote = 20, .version = 2 };

	t.path.via = 99;
	addr_parse("192.0.2.1:1701", &t.path.local);
	addr_parse("192.0.2.2:1701", &t.path.remote);
	return t;
}

static struct dp_row row(uint16_t session)
{
	struct dp_row r;
	struct dp_tunnel t = tunnel(DP_WANT_AUTO);

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.flags = DP_F_IP4;
	r.path = t.path;
	r.local_tunnel = t.local;
	r.remote_tunnel = t.remote;
	r.local_session = session;
	r.remote_session = session;
	r.mtu = 1400;
	r.prefixes[0] = (struct prefix){ .addr.family = AF_INET, .len = 32 };
	r.prefixes[0].addr.ip[0] = 10;
	r.prefixes[0].addr.ip[3] = (uint8_t)session;
	r.prefix_count = 1;
	return r;
}

static void tunnel_up(struct lab *l, enum dp_want want, int error, const char *text)
{
	struct dp_tunnel t = tunnel(want);
	struct batch_record r = { .tag = BATCH_TUNNEL_DONE,
				  .tunnel.local = TUNNEL,
				  .error = error };
	struct dp_event e;

	assert_int_equal(l->dp->ops->tunnel(l->dp, &t), 0);
	assert_true(path_equal(&asked(l, BATCH_TUNNEL)->tunnel.path, &t.path));
	assert_false(l->dp->ops->event(l->dp, &e));
	strcpy(r.text, text);
	answer(l, &r, error ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC));
	assert_true(l->dp->ops->event(l->dp, &e));
	assert_int_equal(e.kind, DP_EV_TUNNEL);
	assert_int_equal(e.tunnel, TUNNEL);
	assert_int_equal(e.fd, -1); /* the planes keep it to themselves */
	assert_int_equal(e.error, attach.error ? attach.error : error);
	assert_false(l->dp->ops->event(l->dp, &e));
}

static int put(struct lab *l, uint64_t key, uint32_t generation)
{
	struct dp_row r = row((uint16_t)key);

	return l->dp->ops->put(l->dp, key, generation, &r);
}

static void sim_runs(struct lab *l)
{
	l->now.us += US_S;
	dp_sim_advance(l->sim, l->now);
}

static void assert_done(struct lab *l, enum dp_op op, uint64_t key, uint32_t generation, int error)
{
	struct dp_done d;

	assert_true(l->dp->ops->done(l->dp, &d));
	assert_int_equal(d.op, op);
	assert_int_equal(d.key, key);
	assert_int_equal(d.generation, generation);
	assert_int_equal(d.error, error);
	assert_false(l->dp->ops->done(l->dp, &d));
}

static void assert_where(struct lab *l, uint64_t key, const char *plane, const char *why)
{
	const char *text;

	assert_string_equal(l->dp->ops->where(l->dp, key, &text), plane);
	assert_string_equal(text, why);
}

static void no_done(struct lab *l)
{
	struct dp_done d;

	assert_false(l->dp->ops->done(l->dp, &d));
}

/* ---- where sessions go ---- */

static void test_kernel_carries(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_plane_stats all;
	const char *why;

	tunnel_up(l, DP_WANT_AUTO, 0, "");
	assert_int_equal(attach.attached, 1);
	assert_int_equal(attach.tunnel, TUNNEL);
	assert_int_equal(attach.via, 99);
	assert_string_equal(l->dp->ops->where_tunnel(l->dp, TUNNEL, &why), "kernel");
	assert_int_equal(put(l, 1, 1), 0);
	assert_int_equal(asked(l, BATCH_PUT)->u.row.local_session, 1);
	no_done(l);
	answer_done(l, DP_OP_PUT, 1, 1, 0, "");
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "kernel", "");
	l->dp->ops->plane_stats(l->dp, &all);
	assert_int_equal(all.rows, 1);
	/* a change of the row goes to the same place, and its failure is told as it is */
	assert_int_equal(put(l, 1, 2), 0);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 1, 2, -EIO, "no");
	assert_done(l, DP_OP_PUT, 1, 2, -EIO);
	assert_int_equal(l->dp->ops->del(l->dp, 1, 3), 0);
	asked(l, BATCH_DEL);
	answer_done(l, DP_OP_DEL, 1, 3, 0, "");
	assert_done(l, DP_OP_DEL, 1, 3, 0);
	assert_where(l, 1, "", "");
	assert_int_equal(l->dp->ops->tunnel_del(l->dp, TUNNEL), 0);
	assert_int_equal(asked(l, BATCH_TUNNEL_DEL)->tunnel.local, TUNNEL);
	assert_int_equal(attach.detached, 1);
	lab_free(l);
}

/* What the kernel carries over IP comes to raw sockets, too: the other plane has to know. */
static void test_sessions_over_ip(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_row r = row(1);
	struct batch_record lost = { .tag = BATCH_ROW_LOST, .key = 2, .text = "gone" };
	struct dp_tunnel t = tunnel(DP_WANT_AUTO);
	struct dp_event e;

	t.version = 3;
	assert_int_equal(l->dp->ops->tunnel(l->dp, &t), 0);
	asked(l, BATCH_TUNNEL);
	r.version = 3;
	r.encap = DP_ENCAP_IP;
	for (uint32_t key = 1; key <= 2; key++) {
		r.local_session = 0x12340000 + key;
		assert_int_equal(l->dp->ops->put(l->dp, key, 1, &r), 0);
		asked(l, BATCH_PUT);
		assert_int_equal(attach.elsewhere, 0); /* it has not got it yet */
		answer_done(l, DP_OP_PUT, key, 1, 0, "");
		assert_done(l, DP_OP_PUT, key, 1, 0);
		assert_int_equal(attach.elsewhere, r.local_session);
		if (key == 2)
			break;
		/* an answer that comes after it was given up */
		assert_int_equal(l->dp->ops->put(l->dp, key, 2, &r), 0);
		asked(l, BATCH_PUT);
		assert_int_equal(l->dp->ops->del(l->dp, key, 3), 0);
		asked(l, BATCH_DEL);
		answer_done(l, DP_OP_PUT, key, 2, 0, "");
		assert_done(l, DP_OP_PUT, key, 2, 0);
		assert_int_equal(attach.elsewhere, 0);
		answer_done(l, DP_OP_DEL, key, 3, 0, "");
		assert_done(l, DP_OP_DEL, key, 3, 0);
	}
	answer(l, &lost, -1);
	while (l->dp->ops->event(l->dp, &e))
		;
	assert_int_equal(attach.elsewhere, 0);
	/* over UDP the tunnel's socket has it to itself */
	r.encap = DP_ENCAP_UDP;
	assert_int_equal(l->dp->ops->put(l->dp, 3, 1, &r), 0);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 3, 1, 0, "");
	assert_done(l, DP_OP_PUT, 3, 1, 0);
	assert_int_equal(attach.elsewhere, 0);
	lab_free(l);
}

static void test_refused_session_goes_to_user_space(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_sim_counts n;

	tunnel_up(l, DP_WANT_AUTO, 0, "");
	put(l, 1, 1);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 1, 1, -EOPNOTSUPP, "numbers were sent already");
	no_done(l); /* not the refusal */
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user", "numbers were sent already");
	put(l, 1, 2);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 2, 0);
	assert_int_equal(l->dp->ops->del(l->dp, 1, 3), 0);
	sim_runs(l);
	assert_done(l, DP_OP_DEL, 1, 3, 0);
	dp_sim_counts(l->sim, &n);
	assert_int_equal(n.puts, 2);
	assert_int_equal(n.dels, 1);
	lab_free(l);
}

/* In user space it would be let out of its VRF: neither at once nor when the kernel refuses it. */
static void test_place_is_never_left(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_row r = row(1);
	struct dp_done d;

	tunnel_up(l, DP_WANT_AUTO, 0, "");
	strcpy(r.master, "red");
	l->dp->ops->put(l->dp, 1, 1, &r);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 1, 1, -EOPNOTSUPP, "there is no VRF red");
	assert_done(l, DP_OP_PUT, 1, 1, -EOPNOTSUPP);
	assert_int_equal(l->dp->ops->tunnel_del(l->dp, TUNNEL), 0);
	asked(l, BATCH_TUNNEL_DEL);
	tunnel_up(l, DP_WANT_AUTO, -EOPNOTSUPP, "no L2TP here");
	l->dp->ops->put(l->dp, 2, 2, &r);
	assert_true(l->dp->ops->done(l->dp, &d));
	assert_int_equal(d.error, -EOPNOTSUPP);
	assert_string_equal(d.text, "it belongs into VRF red, which takes the kernel's data plane: "
				    "no L2TP here");
	lab_free(l);
}

static void test_deleted_before_it_is_refused(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_sim_counts n;
	struct dp_done d;

	tunnel_up(l, DP_WANT_AUTO, 0, "");
	put(l, 1, 1);
	assert_int_equal(l->dp->ops->del(l->dp, 1, 2), 0);
	asked(l, BATCH_PUT);
	asked(l, BATCH_DEL);
	answer_done(l, DP_OP_PUT, 1, 1, -ECANCELED, "cancelled");
	answer_done(l, DP_OP_DEL, 1, 2, 0, "");
	assert_true(l->dp->ops->done(l->dp, &d));
	assert_int_equal(d.error, -ECANCELED);
	assert_true(l->dp->ops->done(l->dp, &d));
	assert_int_equal(d.op, DP_OP_DEL);
	assert_int_equal(d.counters.rx_bytes, 4711);
	dp_sim_counts(l->sim, &n);
	assert_int_equal(n.puts + n.waiting, 0);
	lab_free(l);
}

static void test_refused_tunnel(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	const char *why;

	tunnel_up(l, DP_WANT_AUTO, -EOPNOTSUPP, "there is one between these ports");
	assert_string_equal(l->dp->ops->where_tunnel(l->dp, TUNNEL, &why), "user");
	assert_string_equal(why, "there is one between these ports");
	put(l, 1, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user", "there is one between these ports");
	lab_free(l);
}

static void test_kernel_or_nothing(void **state)
{
	struct lab *l = lab_new(NULL, 0);

	tunnel_up(l, DP_WANT_KERNEL, 0, "");
	put(l, 1, 1);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 1, 1, -EOPNOTSUPP, "cannot");
	assert_done(l, DP_OP_PUT, 1, 1, -EOPNOTSUPP);
	lab_free(l);

	l = lab_new(NULL, 0);
	tunnel_up(l, DP_WANT_KERNEL, -EPERM, "no");
	assert_int_equal(put(l, 1, 1), 0);
	assert_done(l, DP_OP_PUT, 1, 1, -EOPNOTSUPP);
	lab_free(l);
}

static void test_user_is_user(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_tunnel t = tunnel(DP_WANT_USER);
	struct dp_event e;

	assert_int_equal(l->dp->ops->tunnel(l->dp, &t), 0);
	assert_true(l->dp->ops->event(l->dp, &e));
	assert_int_equal(e.error, -EOPNOTSUPP);
	put(l, 1, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user", "the configuration says data-plane = user");
	assert_int_equal(l->dp->ops->tunnel_del(l->dp, TUNNEL), 0);
	dp_remote_flush(l->remote);
	lab_free(l); /* the keeper has heard of nothing */
}

static void test_no_kernel_plane(void **state)
{
	struct lab *l = lab_new("the module is missing: modprobe l2tp_ppp", 0);
	struct dp_tunnel t = tunnel(DP_WANT_AUTO);
	struct dp_net net = { .mtu = 1400 };
	struct dp_event e;
	struct dp_done d;

	assert_string_equal(dp_auto_missing(l->dp), "the module is missing: modprobe l2tp_ppp");
	l->dp->ops->tunnel(l->dp, &t);
	assert_true(l->dp->ops->event(l->dp, &e));
	assert_string_equal(e.text, "the module is missing: modprobe l2tp_ppp");
	put(l, 1, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user", "the module is missing: modprobe l2tp_ppp");
	dp_auto_use(l->dp, false, true);
	assert_int_equal(l->dp->ops->net(l->dp, 1, &net), 0);
	sim_runs(l);
	assert_done(l, DP_OP_NET, 0, 1, 0);
	t.want = DP_WANT_KERNEL;
	l->dp->ops->tunnel(l->dp, &t);
	put(l, 2, 1);
	assert_true(l->dp->ops->done(l->dp, &d));
	assert_int_equal(d.error, -EOPNOTSUPP);
	assert_string_equal(d.text, "the module is missing: modprobe l2tp_ppp");
	lab_free(l);
}

static void test_kernel_plane_comes_late(void **state)
{
	struct lab *l = lab_new("the configuration says data-plane = user", 0);
	struct dp_tunnel t = tunnel(DP_WANT_AUTO);
	struct dp_net net = { .mtu = 1400 };
	struct dp_event e;

	assert_int_equal(l->dp->ops->net(l->dp, 1, &net), 0);
	sim_runs(l);
	assert_done(l, DP_OP_NET, 0, 1, 0);
	l->dp->ops->tunnel(l->dp, &t);
	assert_true(l->dp->ops->event(l->dp, &e));
	put(l, 1, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);

	assert_int_equal(dp_auto_kernel(l->dp, "a module is missing"), 0);
	assert_string_equal(dp_auto_missing(l->dp), "a module is missing");
	put(l, 2, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 2, 1, 0);
	assert_where(l, 2, "user", "the configuration says data-plane = user");

	/* Now it is there: it hears of the net, and of the tunnel once that is asked for again. */
	assert_int_equal(dp_auto_kernel(l->dp, NULL), 0);
	assert_string_equal(dp_auto_missing(l->dp), "");
	assert_int_equal(asked(l, BATCH_NET)->u.net.mtu, 1400);
	answer_done(l, DP_OP_NET, 0, 1, 0, "");
	no_done(l); /* it was told that the net is there */
	put(l, 3, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 3, 1, 0);
	tunnel_up(l, DP_WANT_AUTO, 0, "");
	put(l, 4, 1);
	assert_int_equal(asked(l, BATCH_PUT)->key, 4);
	answer_done(l, DP_OP_PUT, 4, 1, 0, "");
	assert_done(l, DP_OP_PUT, 4, 1, 0);
	assert_where(l, 1, "user", "");
	assert_where(l, 4, "kernel", "");
	assert_int_equal(dp_auto_kernel(l->dp, "no more"), 0); /* too late */
	assert_string_equal(dp_auto_missing(l->dp), "");
	lab_free(l);
}

static void test_kernel_plane_comes_late_to_a_net_under_way(void **state)
{
	struct lab *l = lab_new("the configuration says data-plane = user", 0);
	struct dp_net net = { .mtu = 1400 };

	assert_int_equal(l->dp->ops->net(l->dp, 1, &net), 0);
	assert_int_equal(dp_auto_kernel(l->dp, NULL), 0);
	asked(l, BATCH_NET);
	sim_runs(l);
	no_done(l); /* the one that came late has not answered */
	answer_done(l, DP_OP_NET, 0, 1, 0, "");
	assert_done(l, DP_OP_NET, 0, 1, 0);
	lab_free(l);
}

static void test_socket_that_cannot_be_read(void **state)
{
	struct lab *l = lab_new(NULL, 0);

	attach.error = -EMFILE;
	tunnel_up(l, DP_WANT_AUTO, 0, "");
	asked(l, BATCH_TUNNEL_DEL);
	put(l, 1, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user", "its socket cannot be read: Too many open files");
	lab_free(l);
}

/* Whoever passes descriptors on may have run out of them: the answer then comes without. */
static void test_socket_that_was_lost(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_tunnel t = tunnel(DP_WANT_AUTO);
	struct batch_record r = { .tag = BATCH_TUNNEL_DONE, .tunnel.local = TUNNEL };
	struct dp_event e;

	assert_int_equal(l->dp->ops->tunnel(l->dp, &t), 0);
	asked(l, BATCH_TUNNEL);
	answer(l, &r, -1);
	assert_true(l->dp->ops->event(l->dp, &e));
	assert_int_equal(e.kind, DP_EV_TUNNEL);
	assert_int_equal(e.error, -EMFILE);
	asked(l, BATCH_TUNNEL_DEL);
	put(l, 1, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user", "its socket cannot be read: Too many open files");
	lab_free(l);
}

static void numbered_data(enum dp_want want)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_row r = row(1);
	struct dp_net net = { .mtu = 1400 };
	struct dp_sim_counts n;

	dp_auto_use(l->dp, want != DP_WANT_KERNEL, true);
	assert_int_equal(l->dp->ops->net(l->dp, 1, &net), 0);
	asked(l, BATCH_NET);
	answer_done(l, DP_OP_NET, 0, 1, 0, "");
	sim_runs(l);
	assert_done(l, DP_OP_NET, 0, 1, 0);
	tunnel_up(l, want, 0, "");
	r.flags |= DP_F_SEND_SEQ;
	r.first_ns = DP_NS_MOST + 1;
	assert_int_equal(l->dp->ops->put(l->dp, 1, 1, &r), 0);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user",
		     "too much data with sequence numbers had come or gone before the kernel knew "
		     "of the session");
	/* the net is there for it, once */
	dp_sim_counts(l->sim, &n);
	assert_int_equal(n.nets, 1);
	r = row(2);
	r.flags |= DP_F_SEND_SEQ;
	r.first_ns = DP_NS_MOST;
	r.first_nr = DP_NR_MOST;
	assert_int_equal(l->dp->ops->put(l->dp, 2, 1, &r), 0);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 2, 1, 0, "");
	assert_done(l, DP_OP_PUT, 2, 1, 0);
	lab_free(l);
}

/* A numbered session before its first frame: the kernel's or nobody's. */
static void test_pipe(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_row r = row(1);

	tunnel_up(l, DP_WANT_AUTO, 0, "");
	r.state = DP_PREPARED;
	r.flags = DP_F_SEND_SEQ;
	/* one that fails is forgotten, and the other plane never hears of it */
	assert_int_equal(l->dp->ops->put(l->dp, 1, 1, &r), 0);
	assert_int_equal(asked(l, BATCH_PUT)->u.row.state, DP_PREPARED);
	answer_done(l, DP_OP_PUT, 1, 1, -EIO, "no");
	assert_done(l, DP_OP_PUT, 1, 1, -EIO);
	assert_where(l, 1, "", "");
	/* then the session is complete, and numbers have moved: to user space */
	r.state = DP_ACTIVE;
	r.flags |= DP_F_IP4;
	r.first_nr = DP_NR_MOST + 1;
	assert_int_equal(l->dp->ops->put(l->dp, 1, 2, &r), 0);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 2, 0);
	assert_where(l, 1, "user",
		     "too much data with sequence numbers had come or gone before the kernel knew "
		     "of the session");
	/* one that stands becomes the session's row */
	r = row(2);
	r.state = DP_PREPARED;
	r.flags = DP_F_SEND_SEQ;
	assert_int_equal(l->dp->ops->put(l->dp, 2, 1, &r), 0);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 2, 1, 0, "");
	assert_done(l, DP_OP_PUT, 2, 1, 0);
	assert_where(l, 2, "kernel", "");
	r.state = DP_ACTIVE;
	assert_int_equal(l->dp->ops->put(l->dp, 2, 2, &r), 0);
	assert_int_equal(asked(l, BATCH_PUT)->u.row.state, DP_ACTIVE);
	answer_done(l, DP_OP_PUT, 2, 2, -EIO, "no");
	assert_done(l, DP_OP_PUT, 2, 2, -EIO);
	assert_where(l, 2, "kernel", "");
	lab_free(l);
	/* no kernel: a refusal, and nothing is asked */
	l = lab_new("it has none", 0);
	r.state = DP_PREPARED;
	assert_int_equal(l->dp->ops->put(l->dp, 1, 1, &r), 0);
	assert_done(l, DP_OP_PUT, 1, 1, -EOPNOTSUPP);
	assert_where(l, 1, "", "");
	lab_free(l);
}

static void test_numbered_data(void **state)
{
	numbered_data(DP_WANT_AUTO);
	numbered_data(DP_WANT_KERNEL);
}

/* ---- the net ---- */

static void test_net_of_both(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct dp_net net = { .mtu = 1400 };

	dp_auto_use(l->dp, true, true);
	assert_int_equal(l->dp->ops->net(l->dp, 1, &net), 0);
	asked(l, BATCH_NET);
	sim_runs(l);
	no_done(l);
	answer_done(l, DP_OP_NET, 0, 1, -EPERM, "not yours");
	assert_done(l, DP_OP_NET, 0, 1, -EPERM);
	/* one that is overtaken is not told */
	l->dp->ops->net(l->dp, 2, &net);
	l->dp->ops->net(l->dp, 3, &net);
	asked(l, BATCH_NET);
	asked(l, BATCH_NET);
	sim_runs(l);
	answer_done(l, DP_OP_NET, 0, 2, 0, "");
	no_done(l);
	answer_done(l, DP_OP_NET, 0, 3, 0, "");
	assert_done(l, DP_OP_NET, 0, 3, 0);
	dp_auto_use(l->dp, false, true);
	l->dp->ops->net(l->dp, 4, &net);
	asked(l, BATCH_NET);
	answer_done(l, DP_OP_NET, 0, 4, 0, "");
	assert_done(l, DP_OP_NET, 0, 4, 0);
	lab_free(l);
}

/* ---- what comes from the kernel ---- */

static void test_frames_counters_and_losses(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	static const uint8_t echo[] = { 0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4 };
	struct batch_record r = { .tag = BATCH_PUNT, .key = 1, .class = DP_PUNT_PPP };
	uint8_t frame[64 + 16] = { 0 };
	struct dp_counters n;
	struct dp_event e;
	struct dp_punt p;
	struct path path;
	size_t len = 10;

	tunnel_up(l, DP_WANT_AUTO, 0, "");
	put(l, 1, 1);
	asked(l, BATCH_PUT);
	memcpy(frame + 64, echo, sizeof(echo));
	assert_int_equal(l->dp->ops->send(l->dp, 1, frame + 64, 10, false), 1); /* not there yet */
	answer_done(l, DP_OP_PUT, 1, 1, 0, "");
	assert_done(l, DP_OP_PUT, 1, 1, 0);

	r.bytes = echo;
	r.len = sizeof(echo);
	answer(l, &r, -1);
	r.key = 2; /* unknown */
	answer(l, &r, -1);
	assert_true(l->dp->ops->punt(l->dp, &p));
	assert_int_equal(p.class, DP_PUNT_PPP);
	assert_int_equal(p.key, 1);
	assert_int_equal(p.len, sizeof(echo));
	assert_memory_equal(p.bytes, echo, sizeof(echo));
	assert_false(l->dp->ops->punt(l->dp, &p));

	assert_null(l->dp->ops->wrap(l->dp, 1, frame + 64, &len, true, &path));
	assert_int_equal(l->dp->ops->send(l->dp, 1, frame + 64, 10, true), 0);
	assert_memory_equal(asked(l, BATCH_SEND)->bytes, echo, 0);
	memcpy(frame + 62, "\xff\x03", 2);
	assert_int_equal(l->dp->ops->send(l->dp, 1, frame + 62, 12, false), 0);
	assert_int_equal(asked(l, BATCH_SEND)->len, 10);

	r = (struct batch_record){ .tag = BATCH_COUNTERS, .key = 1 };
	r.u.counters.rx_bytes = 77;
	r.u.counters.last_rx.us = 5 * US_S;
	answer(l, &r, -1);
	assert_true(l->dp->ops->stats(l->dp, 1, &n));
	assert_int_equal(n.rx_bytes, 77);
	assert_int_equal(l->dp->ops->heard(l->dp, TUNNEL).us, 5 * US_S);
	assert_false(l->dp->ops->stats(l->dp, 2, &n));

	r = (struct batch_record){ .tag = BATCH_ROW_LOST, .key = 1, .text = "somebody removed it" };
	answer(l, &r, -1);
	r = (struct batch_record){ .tag = BATCH_TUNNEL_LOST,
				   .tunnel.local = TUNNEL,
				   .text = "ip l2tp del" };
	answer(l, &r, -1);
	assert_true(l->dp->ops->event(l->dp, &e));
	assert_int_equal(e.kind, DP_EV_ROW_LOST);
	assert_int_equal(e.key, 1);
	assert_string_equal(e.text, "somebody removed it");
	assert_true(l->dp->ops->event(l->dp, &e));
	assert_int_equal(e.kind, DP_EV_TUNNEL_LOST);
	assert_int_equal(attach.detached, 1);
	assert_false(l->dp->ops->event(l->dp, &e));
	lab_free(l);
}

/* ---- after a restart ---- */

static void test_recovery(void **state)
{
	struct lab *l = lab_new(NULL, 42);
	uint32_t generation;
	uint64_t pos = 0, key;

	assert_true(l->dp->ops->list(l->dp, &pos, &key, &generation));
	assert_int_equal(key, 42);
	assert_int_equal(generation, 3);
	assert_false(l->dp->ops->list(l->dp, &pos, &key, &generation));
	assert_where(l, 42, "kernel", "");
	tunnel_up(l, DP_WANT_AUTO, 0, "");
	assert_int_equal(put(l, 42, 4), 0);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 42, 3, 0, ""); /* of the former aditd */
	no_done(l);
	answer_done(l, DP_OP_PUT, 42, 4, 0, "");
	assert_done(l, DP_OP_PUT, 42, 4, 0);
	lab_free(l);
}

/* `data-plane = user` came with the restart: sessions stay where they are, new ones obey. */
static void test_recovery_of_what_is_no_longer_wanted(void **state)
{
	struct lab *l = lab_new(NULL, 42);
	struct dp_tunnel t = tunnel(DP_WANT_USER);
	struct dp_net net = { .mtu = 1400 };
	struct dp_event e;

	dp_auto_use(l->dp, true, false);
	assert_int_equal(l->dp->ops->net(l->dp, 1, &net), 0);
	asked(l, BATCH_NET);
	answer_done(l, DP_OP_NET, 0, 1, 0, "");
	sim_runs(l);
	assert_done(l, DP_OP_NET, 0, 1, 0);
	tunnel_up(l, DP_WANT_USER, 0, "");
	assert_int_equal(attach.attached, 1);
	assert_int_equal(put(l, 42, 4), 0);
	asked(l, BATCH_PUT);
	answer_done(l, DP_OP_PUT, 42, 4, 0, "");
	assert_done(l, DP_OP_PUT, 42, 4, 0);
	assert_where(l, 42, "kernel", "");
	put(l, 1, 1);
	sim_runs(l);
	assert_done(l, DP_OP_PUT, 1, 1, 0);
	assert_where(l, 1, "user", "the configuration says data-plane = user");
	assert_int_equal(l->dp->ops->del(l->dp, 42, 5), 0);
	asked(l, BATCH_DEL);
	answer_done(l, DP_OP_DEL, 42, 5, 0, "");
	assert_done(l, DP_OP_DEL, 42, 5, 0);
	assert_int_equal(l->dp->ops->tunnel_del(l->dp, TUNNEL), 0);
	asked(l, BATCH_TUNNEL_DEL);
	/* nothing is in the kernel any more: it is not asked */
	assert_int_equal(l->dp->ops->tunnel(l->dp, &t), 0);
	assert_true(l->dp->ops->event(l->dp, &e));
	assert_int_equal(e.error, -EOPNOTSUPP);
	assert_int_equal(l->dp->ops->net(l->dp, 2, &net), 0);
	sim_runs(l);
	assert_done(l, DP_OP_NET, 0, 2, 0);
	dp_remote_flush(l->remote);
	lab_free(l);
}

static void test_findings(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct batch_record r = { .tag = BATCH_FOUND, .ok = true, .name = "dev-ppp" };
	struct dp_finding f;

	assert_int_equal(dp_remote_probe(l->remote), 0);
	asked(l, BATCH_PROBE);
	answer(l, &r, -1);
	r = (struct batch_record){ .tag = BATCH_FOUND, .name = "mppe", .text = "missing" };
	answer(l, &r, -1);
	assert_false(dp_remote_found(l->remote, 0, &f));
	answer(l, &(struct batch_record){ .tag = BATCH_PROBE_END }, -1);
	assert_true(dp_remote_probed(l->remote));
	assert_true(dp_remote_found(l->remote, 0, &f) && f.ok);
	assert_string_equal(f.name, "dev-ppp");
	assert_true(dp_remote_found(l->remote, 1, &f) && !f.ok);
	assert_string_equal(f.text, "missing");
	assert_false(dp_remote_found(l->remote, 2, &f));
	lab_free(l);
}

static void test_nonsense_is_harmless(void **state)
{
	struct lab *l = lab_new(NULL, 0);
	struct batch_record r = { .tag = BATCH_TUNNEL_DONE, .tunnel.local = 4 };
	uint8_t buf[BATCH_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));
	struct dp_event e;
	struct dp_punt p;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	answer(l, &r, fd); /* nobody has asked: the descriptor is closed */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	r = (struct batch_record){ .tag = BATCH_ROW_LOST, .key = 9, .text = "x" };
	answer(l, &r, -1);
	answer_done(l, DP_OP_DEL, 9, 1, 0, "");
	answer_done(l, DP_OP_NET, 0, 1, 0, "");
	/* requests do not come this way */
	assert_true(batch_save(&c, &(struct batch_record){ .tag = BATCH_PROBE }));
	assert_true(batch_save(&c, &(struct batch_record){ .tag = BATCH_DEL, .key = 1 }));
	for (size_t cut = 0; cut <= c.len; cut++)
		dp_remote_input(l->remote, buf, cut, -1);
	no_done(l);
	assert_false(l->dp->ops->event(l->dp, &e));
	assert_false(l->dp->ops->punt(l->dp, &p));
	lab_free(l);
}

static void test_out_of_memory(void **state)
{
	for (long n = 1;; n++) {
		struct lab *l = lab_new(NULL, 0);
		struct dp_tunnel t = tunnel(DP_WANT_AUTO);
		const char *why;
		int rc;

		failmalloc_arm(n);
		rc = l->dp->ops->tunnel(l->dp, &t);
		if (rc == 0)
			rc = put(l, 1, 1);
		if (!failmalloc_disarm()) {
			assert_int_equal(rc, 0);
			asked(l, BATCH_TUNNEL);
			asked(l, BATCH_PUT);
			lab_free(l);
			return;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_string_equal(l->dp->ops->where(l->dp, 1, &why), "");
		dp_remote_flush(l->remote);
		l->keeper.at = l->keeper.count;
		lab_free(l);
	}
}

/* ---- records ---- */

static void test_many_in_a_datagram(void **state)
{
	struct lab *l = lab_new(NULL, 0);

	tunnel_up(l, DP_WANT_AUTO, 0, "");
	for (uint16_t i = 1; i <= 200; i++)
		assert_int_equal(put(l, i, 1), 0);
	for (uint16_t i = 1; i <= 200; i++)
		assert_int_equal(asked(l, BATCH_PUT)->key, i);
	lab_free(l);
}

static void test_records_come_back(void **state)
{
	struct batch_record r = { .tag = BATCH_PUT, .key = UINT64_MAX, .generation = 5 }, back;
	uint8_t buf[2048];
	struct wcur c = wcur_of(buf, sizeof(buf));
	struct rcur in;

	r.u.row = row(3);
	assert_true(batch_save(&c, &r));
	in = rcur_of(buf, c.len);
	assert_int_equal(batch_load(&in, &back), 1);
	assert_int_equal(back.key, r.key);
	assert_memory_equal(&back.u.row, &r.u.row, sizeof(r.u.row));
	assert_int_equal(batch_load(&in, &back), 0);
	/* cut short anywhere it is bad, and never read beyond */
	for (size_t cut = 1; cut < c.len; cut++) {
		uint8_t *copy = malloc(cut);

		memcpy(copy, buf, cut);
		in = rcur_of(copy, cut);
		assert_int_equal(batch_load(&in, &back), -EBADMSG);
		free(copy);
	}
	/* a record that does not fit leaves the buffer as it was */
	c = wcur_of(buf, 30);
	assert_false(batch_save(&c, &r));
	assert_int_equal(c.len, 0);
	assert_true(batch_save(&c, &(struct batch_record){ .tag = BATCH_TUNNEL_DEL }));
}

static void test_tunnels_that_cannot_be(void **state)
{
	struct dp_tunnel t = tunnel(DP_WANT_AUTO), u = t;

	assert_true(dp_tunnel_ok(&t));
	u.local = 0;
	assert_false(dp_tunnel_ok(&u));
	u = t;
	u.remote = 65536;
	assert_false(dp_tunnel_ok(&u));
	u.version = 3;
	assert_true(dp_tunnel_ok(&u));
	u = t;
	u.encap = DP_ENCAP_IP;
	assert_false(dp_tunnel_ok(&u));
	u = t;
	u.path.remote.port = 0;
	assert_false(dp_tunnel_ok(&u));
	u = t;
	u.path.remote.family = AF_INET6;
	assert_false(dp_tunnel_ok(&u));
}

/* The circuit of a pseudowire, while it is there: that its interface goes with it is no news. */
static void test_circuit_of_a_row_that_goes(void **state)
{
	struct lab *l;
	struct dp_event e;
	struct dp_row r = row(1);

	attach.wakes = true;
	l = lab_new("none", 0);
	r.ends = DP_L2TP_ETH;
	r.version = 3;
	r.flags = 0;
	r.prefix_count = 0;
	strcpy(r.circuit, "adit-no-such1");
	for (uint64_t key = 1; key <= 2; key++) {
		assert_int_equal(l->dp->ops->put(l->dp, key, 1, &r), 0);
		sim_runs(l);
		assert_done(l, DP_OP_PUT, key, 1, 0);
		if (key == 1) {
			assert_true(l->dp->ops->event(l->dp, &e));
			assert_int_equal(e.kind, DP_EV_CIRCUIT);
			assert_int_equal(e.key, key);
			assert_false(e.up);
		}
		assert_int_equal(l->dp->ops->del(l->dp, key, 2), 0);
		assert_false(l->dp->ops->event(l->dp, &e));
		sim_runs(l);
		assert_done(l, DP_OP_DEL, key, 2, 0);
		assert_false(l->dp->ops->event(l->dp, &e));
	}
	lab_free(l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_carries),
		cmocka_unit_test(test_sessions_over_ip),
		cmocka_unit_test(test_refused_session_goes_to_user_space),
		cmocka_unit_test(test_place_is_never_left),
		cmocka_unit_test(test_deleted_before_it_is_refused),
		cmocka_unit_test(test_refused_tunnel),
		cmocka_unit_test(test_kernel_or_nothing),
		cmocka_unit_test(test_user_is_user),
		cmocka_unit_test(test_no_kernel_plane),
		cmocka_unit_test(test_socket_that_cannot_be_read),
		cmocka_unit_test(test_socket_that_was_lost),
		cmocka_unit_test(test_numbered_data),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_net_of_both),
		cmocka_unit_test(test_frames_counters_and_losses),
		cmocka_unit_test(test_recovery),
		cmocka_unit_test(test_recovery_of_what_is_no_longer_wanted),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_kernel_plane_comes_late),
		cmocka_unit_test(test_kernel_plane_comes_late_to_a_net_under_way),
		cmocka_unit_test(test_nonsense_is_harmless),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_many_in_a_datagram),
		cmocka_unit_test(test_records_come_back),
		cmocka_unit_test(test_tunnels_that_cannot_be),
		cmocka_unit_test(test_circuit_of_a_row_that_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
