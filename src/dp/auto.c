/* SPDX-License-Identifier: MIT
 *
 * Each session to the plane that can carry it; see auto.h.
 *
 * While the kernel plane works on the first put of a session, the row is kept: if it is refused,
 * the same row goes to the user-space plane, and the owner sees one completion, that of the plane
 * that took it.
 */
#include "auto.h"

#include "base/htab.h"
#include "circuit.h"
#include "base/list.h"
#include "remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum place { PLACE_NONE, PLACE_USER, PLACE_KERNEL };

enum tunnel_state {
	TUNNEL_ASKED, /* the kernel plane was asked */
	TUNNEL_KERNEL,
	TUNNEL_USER /* `why` it is not in the kernel */
};

struct atunnel {
	struct htab_node node;
	uint32_t local, via;
	uint8_t version;
	enum dp_want want;
	enum tunnel_state state;
	bool attached;
	bool asked; /* the kernel plane knows of it */
	char why[DP_TEXT];
};

static const char says_user[] = "the configuration says data-plane = user";

/* A row that may still go to the other plane. */
struct asked {
	uint32_t generation; /* of its put */
	struct dp_row row;
};

/*
 * A session in user space; or in the kernel, as long as there is more to know of it than that: its
 * first put is not done, or it is not PPP. Of the others, which are many, the kernel plane knows.
 */
struct arow {
	struct htab_node node;
	uint64_t key;
	struct asked *asked; /* or NULL */
	char *why;	     /* why it is not in the kernel, NULL = as its tunnel */
	char *circuit;	     /* of an Ethernet pseudowire, NULL = its own interface */
	uint32_t tunnel;
	uint8_t place;		       /* enum place */
	bool ethernet : 1, active : 1; /* as it was put last */
	bool pipe : 1;		       /* nothing but a pipe was asked for yet, see put_pipe() */
};

/* A completion or an event of our own. */
struct own {
	struct list link;
	struct dp_done done;
	struct dp_event event;
};

struct dual {
	struct dp dp;
	struct dp_auto_config config;
	struct dp *unused; /* a kernel plane that is of no use */
	char missing[DP_TEXT];
	struct htab rows, tunnels;
	struct list done, events;
	bool use_user, use_kernel;
	bool user_rows; /* there are or were some: the net is needed there, too */

	/* The net: one completion when both planes have answered. */
	uint32_t net_generation;
	uint8_t net_waiting;
	bool has_net;
	struct dp_net net;
	struct dp_done net_done;

	bool punt_kernel; /* whose turn it is */

	struct circuits *circuits; /* of the pseudowires of both planes; NULL: nobody asks */
};

static struct dual *dual_of(const struct dp *dp)
{
	return container_of((struct dp *)(uintptr_t)dp, struct dual, dp);
}

static uint64_t hash64(const struct htab *t, uint64_t v)
{
	return htab_hash(t, &v, sizeof(v));
}

static struct arow *row_find(const struct dual *d, uint64_t key)
{
	struct htab_node *n = htab_find(&d->rows, hash64(&d->rows, key));

	for (; n; n = htab_next(n)) {
		struct arow *r = container_of(n, struct arow, node);

		if (r->key == key)
			return r;
	}
	return NULL;
}

static struct atunnel *tunnel_find(const struct dual *d, uint32_t local)
{
	struct htab_node *n = htab_find(&d->tunnels, hash64(&d->tunnels, local));

	for (; n; n = htab_next(n)) {
		struct atunnel *t = container_of(n, struct atunnel, node);

		if (t->local == local)
			return t;
	}
	return NULL;
}

static struct atunnel *tunnel_make(struct dual *d, uint32_t local)
{
	struct atunnel *t = tunnel_find(d, local);

	if (t)
		return t;
	t = htab_reserve(&d->tunnels) < 0 ? NULL : calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->local = local;
	htab_put(&d->tunnels, &t->node, hash64(&d->tunnels, local));
	return t;
}

static struct arow *row_make(struct dual *d, uint64_t key, enum place place, uint32_t tunnel)
{
	struct arow *r = htab_reserve(&d->rows) < 0 ? NULL : calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->key = key;
	r->place = (uint8_t)place;
	r->tunnel = tunnel;
	htab_put(&d->rows, &r->node, hash64(&d->rows, key));
	d->user_rows |= place == PLACE_USER;
	return r;
}

static void row_drop(struct dual *d, struct arow *r)
{
	htab_drop(&d->rows, &r->node);
	free(r->asked);
	free(r->why);
	free(r->circuit);
	free(r);
}

static struct dp *plane_of(const struct dual *d, unsigned int place)
{
	return place == PLACE_KERNEL ? d->config.kernel : d->config.user;
}

/* Where a session is, of which there is this row or none. */
static enum place place_of(const struct dual *d, uint64_t key, const struct arow *r)
{
	if (r)
		return (enum place)r->place;
	return d->config.kernel && dp_remote_has(d->config.kernel, key) ? PLACE_KERNEL : PLACE_USER;
}

/* ---- sessions ---- */

static int say_done(struct dual *d, enum dp_op op, uint64_t key, uint32_t generation, int error,
		    const char *text)
{
	struct own *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	list_init(&o->link);
	o->done.op = (uint8_t)op;
	o->done.key = key;
	o->done.generation = generation;
	o->done.error = error;
	snprintf(o->done.text, sizeof(o->done.text), "%s", text);
	list_push(&d->done, &o->link);
	return 0;
}

/* Where a new session goes. */
static enum place choose(const struct dual *d, const struct atunnel *t)
{
	if (!d->config.kernel)
		return t && t->want == DP_WANT_KERNEL ? PLACE_NONE : PLACE_USER;
	if (!t || t->want == DP_WANT_USER)
		return PLACE_USER;
	if (t->state == TUNNEL_USER)
		return t->want == DP_WANT_KERNEL ? PLACE_NONE : PLACE_USER;
	return PLACE_KERNEL;
}

/* The first session in user space where none was expected: what it needs of the net. */
static int need_user(struct dual *d)
{
	int rc;

	if (d->use_user || d->user_rows || !d->has_net)
		return 0;
	rc = d->config.user->ops->net(d->config.user, d->net_generation, &d->net);
	if (rc == 0 && d->net_waiting)
		d->net_waiting++;
	return rc;
}

/* In user space all sessions share an interface: what belongs into a VRF or a namespace would be
 * let out of it. */
static bool placed(const struct dp_row *row)
{
	/* a pseudowire has an interface of its own in both planes */
	return row->netns || (row->master[0] && row->ends != DP_L2TP_ETH);
}

static int refuse_place(struct dual *d, uint64_t key, uint32_t generation, const struct dp_row *row,
			const char *why)
{
	char text[DP_TEXT];

	snprintf(text, sizeof(text),
		 "it belongs into %s %.15s, which takes the kernel's data plane: %.150s",
		 row->netns ? "a network namespace" : "VRF", row->netns ? "" : row->master,
		 why[0] ? why : d->missing);
	return say_done(d, DP_OP_PUT, key, generation, -EOPNOTSUPP, text);
}

/* A static pseudowire may have the number of a tunnel of L2TPv2. */
static const struct atunnel *tunnel_of_row(const struct dual *d, const struct dp_row *row)
{
	const struct atunnel *t = tunnel_find(d, row->local_tunnel);

	return t && (t->version == 3) == (row->version == 3) ? t : NULL;
}

/* What the circuit of a pseudowire is, for when the row is in place. -ENOMEM. */
static int row_wants(struct arow *r, const struct dp_row *row)
{
	char *circuit = row->circuit[0] ? strndup(row->circuit, sizeof(row->circuit) - 1) : NULL;

	if (row->circuit[0] && !circuit)
		return -ENOMEM;
	free(r->circuit);
	r->circuit = circuit;
	r->ethernet = row->ends == DP_L2TP_ETH;
	r->active = row->state == DP_ACTIVE;
	return 0;
}

/* A put is complete. Interfaces of other namespaces cannot be seen from here: those are up. */
static void row_circuit(struct dual *d, const struct arow *r, const char *ifname)
{
	if (!r->ethernet || !d->circuits)
		return;
	if (!r->active)
		circuits_drop(d->circuits, r->key);
	else if (circuits_put(d->circuits, r->key, r->circuit ? r->circuit : ifname, !r->circuit) <
		 0)
		circuits_drop(d->circuits, r->key); /* nothing is told of it */
}

/*
 * A PPP session with sequence numbers before its first frame: only the kernel needs to know. Where
 * it does not take it the answer is a refusal, and nothing is kept: the owner goes on by itself,
 * and puts the row when the session is complete.
 */
static int put_pipe(struct dual *d, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	struct dp *kernel = d->config.kernel;
	struct arow *r;
	int rc;

	if (choose(d, tunnel_of_row(d, row)) != PLACE_KERNEL)
		return say_done(d, DP_OP_PUT, key, generation, -EOPNOTSUPP,
				"the kernel does not carry it");
	r = row_make(d, key, PLACE_KERNEL, row->local_tunnel);
	if (!r)
		return -ENOMEM;
	r->pipe = true;
	rc = kernel->ops->put(kernel, key, generation, row);
	if (rc < 0)
		row_drop(d, r);
	return rc;
}

/* The kernel numbers from 0, which its plane makes up for within limits (kernel_ppp.c), and takes
 * the first number that comes. */
static bool numbers_too_far(const struct dp_row *row)
{
	if (row->version == 3)
		return row->first_ns || row->first_nr;
	return row->first_ns > DP_NS_MOST || row->first_nr > DP_NR_MOST;
}

static int put_new(struct dual *d, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	const struct atunnel *t = tunnel_of_row(d, row);
	enum place place = choose(d, t);
	const char *why = NULL;
	struct arow *r;
	int rc;

	if (row->state == DP_PREPARED && row->ends == DP_L2TP_PPP)
		return put_pipe(d, key, generation, row);
	if (place == PLACE_NONE)
		return say_done(d, DP_OP_PUT, key, generation, -EOPNOTSUPP,
				t && t->why[0] ? t->why : d->missing);
	if (place == PLACE_KERNEL && numbers_too_far(row)) {
		place = PLACE_USER;
		why = "too much data with sequence numbers had come or gone before the kernel knew "
		      "of the session";
	}
	if (place == PLACE_USER && placed(row))
		return refuse_place(d, key, generation, row, why ? why : t ? t->why : "");
	/* Its tunnel is there for sessions of before. */
	if (place == PLACE_USER && t && t->want == DP_WANT_USER && t->state != TUNNEL_USER)
		why = says_user;
	rc = place == PLACE_USER ? need_user(d) : 0;
	if (rc < 0)
		return rc;
	r = row_make(d, key, place, row->local_tunnel);
	if (!r)
		return -ENOMEM;
	r->why = why ? strdup(why) : NULL;
	rc = row_wants(r, row);
	if (rc == 0 && place == PLACE_KERNEL && t->want == DP_WANT_AUTO && !placed(row)) {
		r->asked = malloc(sizeof(*r->asked));
		if (r->asked)
			*r->asked = (struct asked){ generation, *row };
		else
			rc = -ENOMEM;
	}
	if (rc == 0)
		rc = plane_of(d, place)->ops->put(plane_of(d, place), key, generation, row);
	if (rc < 0)
		row_drop(d, r);
	else if (r->ethernet && r->active && !r->circuit && row->ifname[0] && d->circuits)
		circuits_expect(d->circuits, key, row->ifname);
	return rc;
}

static int dual_put(struct dp *dp, uint64_t key, uint32_t generation, const struct dp_row *row)
{
	struct dual *d = dual_of(dp);
	struct arow *r = row_find(d, key);
	enum place place = place_of(d, key, r);
	struct dp *plane = plane_of(d, place);

	if (!r && place != PLACE_KERNEL)
		return put_new(d, key, generation, row);
	if (!r && row->ends == DP_L2TP_ETH) {
		r = row_make(d, key, place, row->local_tunnel);
		if (!r)
			return -ENOMEM;
	}
	if (r && row_wants(r, row) < 0)
		return -ENOMEM;
	if (r) {
		r->tunnel = row->local_tunnel;
		r->pipe = r->pipe && row->state == DP_PREPARED;
	}
	return plane->ops->put(plane, key, generation, row);
}

/* A raw socket is given what the kernel carries, too. */
static void elsewhere(const struct dual *d, uint64_t key, bool is)
{
	uint32_t session = d->config.kernel ? dp_remote_over_ip(d->config.kernel, key) : 0;

	if (session && d->config.elsewhere)
		d->config.elsewhere(d->config.user, session, is);
}

static int dual_del(struct dp *dp, uint64_t key, uint32_t generation)
{
	struct dual *d = dual_of(dp);
	struct arow *r = row_find(d, key);
	struct dp *plane = plane_of(d, place_of(d, key, r));
	int rc;

	elsewhere(d, key, false);
	rc = plane->ops->del(plane, key, generation);

	if (rc == 0 && r) {
		free(r->asked); /* it is not wanted anywhere any more */
		r->asked = NULL;
	}
	if (rc == 0 && d->circuits)
		circuits_drop(d->circuits, key); /* that its interface goes is no news */
	return rc;
}

/* The kernel plane has refused a row: the other one takes it. True = its completion follows. */
static bool fall_back(struct dual *d, struct arow *r, const struct dp_done *done)
{
	struct dp *user = d->config.user;
	int rc;

	if (!r->asked || r->asked->generation != done->generation)
		return false;
	rc = user->ops->put(user, r->key, done->generation, &r->asked->row);
	free(r->asked);
	r->asked = NULL;
	if (rc < 0)
		return false;
	r->place = PLACE_USER;
	free(r->why);
	r->why = strdup(done->text);
	return true;
}

/* A completion of one of the planes. False: the owner does not see it. */
static bool row_done(struct dual *d, enum place from, const struct dp_done *done)
{
	struct arow *r = row_find(d, done->key);

	if (from == PLACE_KERNEL && done->op == DP_OP_PUT && !done->error)
		elsewhere(d, done->key, true);
	if (!r || r->place != from)
		return true;
	if (done->op == DP_OP_DEL) {
		if (d->circuits)
			circuits_drop(d->circuits, r->key);
		row_drop(d, r);
		return true;
	}
	if (done->error && r->pipe) {
		row_drop(d, r);
		return true;
	}
	if (done->error)
		return !(from == PLACE_KERNEL && fall_back(d, r, done));
	free(r->asked);
	r->asked = NULL;
	row_circuit(d, r, done->ifname);
	if (from == PLACE_KERNEL && !r->ethernet && !r->pipe)
		row_drop(d, r);
	return true;
}

static bool net_done(struct dual *d, struct dp_done *done)
{
	if (done->generation != d->net_generation || !d->net_waiting)
		return false; /* of a net before this one */
	if (done->error && !d->net_done.error)
		d->net_done = *done;
	if (--d->net_waiting)
		return false;
	*done = d->net_done;
	return true;
}

static bool dual_done(struct dp *dp, struct dp_done *ret)
{
	struct dual *d = dual_of(dp);
	struct list *l = list_pop(&d->done);

	if (l) {
		*ret = container_of(l, struct own, link)->done;
		free(container_of(l, struct own, link));
		return true;
	}
	for (enum place p = PLACE_USER; p <= PLACE_KERNEL; p++) {
		struct dp *plane = plane_of(d, p);

		while (plane && plane->ops->done(plane, ret)) {
			if (ret->op == DP_OP_NET ? net_done(d, ret) : row_done(d, p, ret))
				return true;
		}
	}
	return false;
}

static void dual_committed(struct dp *dp)
{
	struct dual *d = dual_of(dp);

	for (enum place p = PLACE_USER; p <= PLACE_KERNEL; p++) {
		struct dp *plane = plane_of(d, p);

		if (plane && plane->ops->committed)
			plane->ops->committed(plane);
	}
}

static int dual_net(struct dp *dp, uint32_t generation, const struct dp_net *net)
{
	struct dual *d = dual_of(dp);
	bool kernel = d->config.kernel && (d->use_kernel || dp_remote_rows(d->config.kernel));
	bool user = d->use_user || d->user_rows;
	int rc = 0;

	d->net_generation = generation;
	d->net_waiting = 0;
	d->net_done = (struct dp_done){ .op = DP_OP_NET, .generation = generation };
	d->net = *net;
	d->has_net = true;
	if (!user && !kernel)
		return say_done(d, DP_OP_NET, 0, generation, 0, ""); /* nobody will need it */
	if (user) {
		rc = d->config.user->ops->net(d->config.user, generation, net);
		d->net_waiting += rc == 0;
	}
	if (rc == 0 && kernel) {
		rc = d->config.kernel->ops->net(d->config.kernel, generation, net);
		d->net_waiting += rc == 0;
	}
	return d->net_waiting ? 0 : rc;
}

static int dual_send(struct dp *dp, uint64_t key, uint8_t *frame, size_t len, bool priority)
{
	struct dual *d = dual_of(dp);
	struct dp *plane = plane_of(d, place_of(d, key, row_find(d, key)));

	return plane->ops->send(plane, key, frame, len, priority);
}

static uint8_t *dual_wrap(struct dp *dp, uint64_t key, uint8_t *frame, size_t *len, bool priority,
			  struct path *ret)
{
	struct dual *d = dual_of(dp);
	struct dp *user = d->config.user;

	if (place_of(d, key, row_find(d, key)) == PLACE_KERNEL)
		return NULL; /* the kernel puts its own headers there: see `send` */
	return user->ops->wrap ? user->ops->wrap(user, key, frame, len, priority, ret) : NULL;
}

static void dual_trust(struct dp *dp, const struct addr *remote)
{
	struct dp *user = dual_of(dp)->config.user;

	if (user->ops->trust)
		user->ops->trust(user, remote);
}

static void dual_trust_nets(struct dp *dp, const struct prefix *nets, size_t n)
{
	struct dp *user = dual_of(dp)->config.user;

	if (user->ops->trust_nets)
		user->ops->trust_nets(user, nets, n);
}

/* ---- tunnels ---- */

static void tunnel_leave(struct dual *d, struct atunnel *t, const char *why)
{
	if (t->attached)
		d->config.detach(d->config.user, t->local);
	t->attached = false;
	t->state = TUNNEL_USER;
	snprintf(t->why, sizeof(t->why), "%s", why);
}

static int say_tunnel(struct dual *d, const struct atunnel *t)
{
	struct own *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	list_init(&o->link);
	o->event = (struct dp_event){
		.kind = DP_EV_TUNNEL, .tunnel = t->local, .error = -EOPNOTSUPP, .fd = -1
	};
	snprintf(o->event.text, sizeof(o->event.text), "%s", t->why);
	list_push(&d->events, &o->link);
	return 0;
}

static int dual_tunnel(struct dp *dp, const struct dp_tunnel *tunnel)
{
	struct dual *d = dual_of(dp);
	struct dp *kernel = d->config.kernel;
	struct atunnel *t = tunnel_make(d, tunnel->local);
	int rc;

	if (!t)
		return -ENOMEM;
	t->want = (enum dp_want)tunnel->want;
	t->version = tunnel->version;
	t->via = tunnel->path.via;
	/* Sessions stay where they are: those in the kernel need it whatever is wanted by now. */
	if (!kernel || (t->want == DP_WANT_USER && !dp_remote_uses(kernel, t->local))) {
		tunnel_leave(d, t, t->want == DP_WANT_USER ? says_user : d->missing);
		return say_tunnel(d, t);
	}
	t->state = TUNNEL_ASKED;
	t->asked = true;
	rc = kernel->ops->tunnel(kernel, tunnel);
	if (rc < 0)
		tunnel_leave(d, t, "out of memory when it came up");
	return rc;
}

static int dual_tunnel_del(struct dp *dp, uint32_t local)
{
	struct dual *d = dual_of(dp);
	struct dp *kernel = d->config.kernel;
	struct atunnel *t = tunnel_find(d, local);
	int rc = 0;

	if (!t)
		return 0;
	if (kernel && t->asked)
		rc = kernel->ops->tunnel_del(kernel, local);
	tunnel_leave(d, t, "");
	htab_drop(&d->tunnels, &t->node);
	free(t);
	return rc;
}

/* The kernel plane's answer, or its loss. */
static void on_tunnel(struct dual *d, struct dp_event *e)
{
	struct atunnel *t = tunnel_find(d, e->tunnel);
	int rc = 0;

	if (t && e->kind == DP_EV_TUNNEL_LOST)
		tunnel_leave(d, t, e->text);
	if (e->kind != DP_EV_TUNNEL)
		return;
	if (t && e->error)
		tunnel_leave(d, t, e->text);
	if (t && !e->error && e->fd < 0) {
		rc = -EMFILE; /* the descriptor was lost on its way: one of us has too many */
	} else if (t && !e->error) {
		if (t->attached)
			d->config.detach(d->config.user, t->local);
		t->attached = false;
		t->state = TUNNEL_KERNEL;
		t->why[0] = '\0';
		rc = d->config.attach(d->config.user, t->local, t->via, e->fd);
		t->attached = rc == 0;
	}
	if (rc < 0) {
		/* Its control messages would reach nobody: leave the kernel again. */
		e->error = rc;
		snprintf(e->text, sizeof(e->text), "its socket cannot be read: %s", strerror(-rc));
		d->config.kernel->ops->tunnel_del(d->config.kernel, t->local);
		tunnel_leave(d, t, e->text);
	}
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

static bool dual_event(struct dp *dp, struct dp_event *ret)
{
	struct dual *d = dual_of(dp);
	struct dp *kernel = d->config.kernel;
	struct list *l = list_pop(&d->events);

	if (l) {
		*ret = container_of(l, struct own, link)->event;
		free(container_of(l, struct own, link));
		return true;
	}
	if (kernel && kernel->ops->event(kernel, ret)) {
		on_tunnel(d, ret);
		if (ret->kind == DP_EV_ROW_LOST)
			elsewhere(d, ret->key, false);
		return true;
	}
	if (!d->circuits)
		return false;
	*ret = (struct dp_event){ .kind = DP_EV_CIRCUITS_DEAF, .fd = -1 };
	ret->error = circuits_deaf(d->circuits);
	if (ret->error)
		return true;
	ret->kind = DP_EV_CIRCUIT;
	if (d->config.awake)
		d->config.awake(d->config.user);
	if (!circuits_event(d->circuits, &ret->key, &ret->up))
		return false;
	ret->missing = circuits_missing(d->circuits, ret->key);
	return true;
}

/* ---- the rest ---- */

static int dual_listen(struct dp *dp, uint32_t via, int fd)
{
	struct dp *user = dual_of(dp)->config.user;

	return user->ops->listen(user, via, fd);
}

static int dual_unlisten(struct dp *dp, uint32_t via)
{
	struct dp *user = dual_of(dp)->config.user;

	return user->ops->unlisten(user, via);
}

static int dual_fd(struct dp *dp)
{
	struct dp *user = dual_of(dp)->config.user;

	return user->ops->fd(user);
}

static bool dual_punt(struct dp *dp, struct dp_punt *ret)
{
	struct dual *d = dual_of(dp);

	/* In turns, so that a flood over one plane does not silence the other. */
	for (int i = 0; i < 2; i++) {
		struct dp *plane = plane_of(d, d->punt_kernel ? PLACE_KERNEL : PLACE_USER);

		d->punt_kernel = !d->punt_kernel;
		if (plane && plane->ops->punt(plane, ret))
			return true;
	}
	return false;
}

static bool dual_stats(struct dp *dp, uint64_t key, struct dp_counters *ret)
{
	struct dual *d = dual_of(dp);
	struct dp *plane = plane_of(d, place_of(d, key, row_find(d, key)));

	return plane->ops->stats(plane, key, ret);
}

static struct mono dual_heard(struct dp *dp, uint32_t local_tunnel)
{
	struct dual *d = dual_of(dp);
	struct dp *user = d->config.user, *kernel = d->config.kernel;
	struct mono at = user->ops->heard(user, local_tunnel), other = { 0 };

	if (kernel)
		other = kernel->ops->heard(kernel, local_tunnel);
	return other.us > at.us ? other : at;
}

/* The upper bit of *pos says that the first plane's rows have all been given out. */
#define SECOND (UINT64_C(1) << 63)

static bool dual_list(struct dp *dp, uint64_t *pos, uint64_t *ret_key, uint32_t *ret_generation)
{
	struct dual *d = dual_of(dp);
	struct dp *user = d->config.user, *kernel = d->config.kernel;
	uint64_t at;

	if (!(*pos & SECOND)) {
		if (user->ops->list(user, pos, ret_key, ret_generation))
			return true;
		*pos = SECOND;
	}
	if (!kernel)
		return false;
	at = *pos & ~SECOND;
	if (!kernel->ops->list(kernel, &at, ret_key, ret_generation))
		return false;
	*pos = at | SECOND;
	return true;
}

static void dual_plane_stats(struct dp *dp, struct dp_plane_stats *ret)
{
	struct dual *d = dual_of(dp);
	struct dp_plane_stats k = { 0 };

	d->config.user->ops->plane_stats(d->config.user, ret);
	if (!d->config.kernel)
		return;
	d->config.kernel->ops->plane_stats(d->config.kernel, &k);
	ret->rows += k.rows;
	ret->punts += k.punts;
	ret->punts_dropped += k.punts_dropped;
	ret->memory += sizeof(*d) + k.memory + d->rows.n * sizeof(struct arow);
}

static const char *dual_where(struct dp *dp, uint64_t key, const char **ret_why)
{
	struct dual *d = dual_of(dp);
	const struct arow *r = row_find(d, key);
	const struct atunnel *t = r ? tunnel_find(d, r->tunnel) : NULL;

	*ret_why = "";
	if (place_of(d, key, r) == PLACE_KERNEL)
		return "kernel";
	if (!r)
		return "";
	*ret_why = r->why ? r->why : t ? t->why : d->missing;
	return "user";
}

static const char *dual_where_tunnel(struct dp *dp, uint32_t local, const char **ret_why)
{
	struct dual *d = dual_of(dp);
	const struct atunnel *t = tunnel_find(d, local);

	*ret_why = "";
	if (!t || t->state == TUNNEL_ASKED)
		return "";
	*ret_why = t->why;
	return t->state == TUNNEL_KERNEL ? "kernel" : "user";
}

static void forget_all(struct dual *d)
{
	struct htab_node *n;
	uint64_t pos;

	while (pos = 0, (n = htab_walk(&d->rows, &pos, NULL)))
		row_drop(d, container_of(n, struct arow, node));
	while (pos = 0, (n = htab_walk(&d->tunnels, &pos, NULL))) {
		htab_drop(&d->tunnels, n);
		free(container_of(n, struct atunnel, node));
	}
	htab_free(&d->rows);
	htab_free(&d->tunnels);
}

static void dual_free(struct dp *dp)
{
	struct dual *d;

	if (!dp)
		return;
	d = dual_of(dp);
	forget_all(d);
	circuits_free(d->circuits);
	for (struct list *l; (l = list_pop(&d->done)) != NULL;)
		free(container_of(l, struct own, link));
	for (struct list *l; (l = list_pop(&d->events)) != NULL;)
		free(container_of(l, struct own, link));
	d->config.user->ops->free(d->config.user);
	if (d->config.kernel)
		d->config.kernel->ops->free(d->config.kernel);
	if (d->unused)
		d->unused->ops->free(d->unused);
	free(d);
}

static const struct dp_ops dual_ops = {
	.name = "auto",
	.free = dual_free,
	.put = dual_put,
	.del = dual_del,
	.net = dual_net,
	.send = dual_send,
	.wrap = dual_wrap,
	.trust = dual_trust,
	.trust_nets = dual_trust_nets,
	.listen = dual_listen,
	.unlisten = dual_unlisten,
	.fd = dual_fd,
	.done = dual_done,
	.committed = dual_committed,
	.punt = dual_punt,
	.stats = dual_stats,
	.heard = dual_heard,
	.list = dual_list,
	.plane_stats = dual_plane_stats,
	.tunnel = dual_tunnel,
	.tunnel_del = dual_tunnel_del,
	.event = dual_event,
	.where = dual_where,
	.where_tunnel = dual_where_tunnel,
};

void dp_auto_use(struct dp *dp, bool user, bool kernel)
{
	struct dual *d = dual_of(dp);

	d->use_user = user;
	d->use_kernel = kernel;
}

void dp_auto_elsewhere(struct dp *dp, uint32_t session, bool is)
{
	struct dual *d = dual_of(dp);

	if (d->config.elsewhere)
		d->config.elsewhere(d->config.user, session, is);
}

const char *dp_auto_missing(const struct dp *dp)
{
	const struct dual *d = dual_of(dp);

	return d->config.kernel ? "" : d->missing;
}

int dp_auto_kernel(struct dp *dp, const char *why)
{
	struct dual *d = dual_of(dp);
	int rc = 0;

	if (!d->unused)
		return 0;
	snprintf(d->missing, sizeof(d->missing), "%.*s", DP_TEXT - 1, why ? why : "");
	if (why)
		return 0;
	/* What it needs of the net; see need_user(). */
	if (d->has_net && d->use_kernel)
		rc = d->unused->ops->net(d->unused, d->net_generation, &d->net);
	if (rc < 0)
		return rc;
	if (d->has_net && d->use_kernel && d->net_waiting)
		d->net_waiting++;
	d->config.kernel = d->unused;
	d->unused = NULL;
	return 0;
}

static int adopt(struct dual *d, enum place place)
{
	struct dp *plane = plane_of(d, place);
	uint32_t generation, tunnel = 0;
	uint64_t pos = 0, key;

	while (plane && plane->ops->list(plane, &pos, &key, &generation)) {
		if (place == PLACE_KERNEL)
			tunnel = dp_remote_tunnel_of(plane, key);
		if (tunnel && !tunnel_make(d, tunnel))
			return -ENOMEM;
		if (place == PLACE_USER && place_of(d, key, NULL) == PLACE_USER &&
		    !row_make(d, key, place, tunnel))
			return -ENOMEM;
	}
	return 0;
}

int dp_auto_watch(struct dp *dp, const char *ifname)
{
	struct dual *d = dual_of(dp);

	return d->circuits ? circuits_watch(d->circuits, ifname) : 0;
}

void dp_auto_unwatch(struct dp *dp, const char *ifname)
{
	struct dual *d = dual_of(dp);

	if (d->circuits)
		circuits_unwatch(d->circuits, ifname);
}

bool dp_auto_link(const struct dp *dp, const char *ifname, struct circuit_link *ret)
{
	const struct dual *d = dual_of(dp);

	return d->circuits && circuits_link(d->circuits, ifname, ret);
}

struct dp *dp_auto_new(const struct dp_auto_config *config)
{
	struct dual *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->dp.ops = &dual_ops;
	d->config = *config;
	d->use_user = d->use_kernel = true;
	d->unused = config->why ? config->kernel : NULL;
	if (config->why)
		d->config.kernel = NULL;
	snprintf(d->missing, sizeof(d->missing), "%.*s", DP_TEXT - 1,
		 config->why ? config->why : "");
	list_init(&d->done);
	list_init(&d->events);
	htab_init(&d->rows, config->hash_key);
	htab_init(&d->tunnels, config->hash_key);
	if (config->wake) {
		d->circuits = circuits_new(config->hash_key);
		if (d->circuits && circuits_fd(d->circuits) >= 0)
			config->wake(config->user, circuits_fd(d->circuits));
	}
	if ((!config->wake || d->circuits) && adopt(d, PLACE_KERNEL) == 0 &&
	    adopt(d, PLACE_USER) == 0)
		return &d->dp;
	circuits_free(d->circuits);
	forget_all(d);
	free(d);
	return NULL;
}
