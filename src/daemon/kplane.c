/* SPDX-License-Identifier: MIT
 *
 * The kernel's data plane, as far as aditd has to do with it: its records to and from the keeper,
 * tunnels that come up and go, what others have done to them, and what people are told about where
 * a session is carried and why.
 */
#include "daemon.h"

#include "dp/auto.h"
#include "dp/remote.h"
#include "dp/user.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#define LIST_MS 10000 /* the keeper may be loading kernel modules */

static int to_keeper(void *arg, const uint8_t *bytes, size_t len)
{
	struct daemon *d = arg;

	return keeper_plane(d->keeper, bytes, len);
}

bool kplane_input(struct daemon *d)
{
	const uint8_t *records;
	bool any = false;
	size_t len;
	int fd;

	while (keeper_plane_next(d->keeper, &records, &len, &fd)) {
		dp_remote_input(d->remote, records, len, fd);
		any = true;
	}
	return any;
}

void kplane_flush(struct daemon *d)
{
	dp_remote_flush(d->remote);
}

/* Before there is a loop: wait for the keeper's list of rows. */
static int wait_list(struct daemon *d, int *ret_error, const char **ret_text)
{
	struct pollfd p = { .fd = keeper_fd(d->keeper) };
	struct mono end = mono_add(io_now(), LIST_MS * US_MS);
	int rc = dp_remote_ask(d->remote);

	dp_remote_flush(d->remote);
	while (rc == 0 && !dp_remote_listed(d->remote, ret_error, ret_text)) {
		if (mono_due(end, io_now()))
			return -ETIMEDOUT;
		p.events = keeper_events(d->keeper);
		if (poll(&p, 1, 100) < 0 && errno != EINTR)
			return -errno;
		rc = keeper_work(d->keeper);
		kplane_input(d);
	}
	return rc;
}

static bool may_user(const struct conf *c)
{
	return (conf_planes(c) & ~(1u << DP_WANT_KERNEL)) != 0;
}

static bool may_kernel(const struct conf *c)
{
	return (conf_planes(c) & ~(1u << DP_WANT_USER)) != 0;
}

static bool needs_kernel(const struct conf *c)
{
	return (conf_planes(c) & 1u << DP_WANT_KERNEL) != 0;
}

/* Sessions of this configuration that are to be the kernel's cannot be. */
static void say_missing(struct daemon *d, const struct conf *c, const char *why)
{
	if (needs_kernel(c))
		daemon_say(d, TRACE_WARNING,
			   "data-plane = kernel cannot be carried out, such sessions will fail: %s",
			   why);
	else if (!d->told_missing)
		daemon_say(d, TRACE_NOTICE,
			   "the kernel cannot carry sessions, aditd does it itself: %s", why);
	d->told_missing = true;
}

void kplane_conf(struct daemon *d, const struct conf *c)
{
	const char *why = d->kernel_missing;

	dp_auto_use(d->dp, may_user(c), may_kernel(c));
	if (!why || !may_kernel(c))
		return;
	/* The keeper has read the configuration already, and begun the plane if it could. */
	if (d->io && dp_remote_ask(d->remote) == 0)
		d->kernel_asked = true;
	else
		say_missing(d, c, why);
}

/* The keeper has answered: new sessions may go to the kernel from now on, or why not. */
static void asked(struct daemon *d)
{
	const char *text;
	int error;

	if (!dp_remote_listed(d->remote, &error, &text))
		return;
	d->kernel_asked = false;
	if (dp_auto_kernel(d->dp, error ? text : NULL) < 0) {
		daemon_say(d, TRACE_WARNING, "data-plane: out of memory, the kernel is not used");
		return;
	}
	if (error) {
		say_missing(d, d->conf, text);
		return;
	}
	d->kernel_missing = NULL;
	d->told_missing = false;
	daemon_say(d, TRACE_NOTICE,
		   "data-plane: the kernel carries new sessions; others stay where they are");
	kplane_tunnels(d);
}

struct dp *kplane_open(struct daemon *d, struct dp *user, const uint8_t hash_key[16])
{
	struct dp_remote_config remote = { .send = to_keeper, .arg = d };
	struct dp_auto_config config = { .user = user,
					 .attach = dp_user_attach,
					 .elsewhere = dp_user_elsewhere,
					 .detach = dp_user_detach,
					 .wake = dp_user_wake,
					 .awake = dp_user_awake };
	const char *text = "";
	int error = 0, rc;
	struct dp *dp;

	memcpy(remote.hash_key, hash_key, 16);
	memcpy(config.hash_key, hash_key, 16);
	d->remote = dp_remote_new(&remote);
	if (!d->remote)
		return NULL;
	rc = wait_list(d, &error, &text);
	if (rc < 0)
		text = "the keeper does not answer";
	config.kernel = d->remote;
	config.why = rc < 0 || error ? text : NULL;
	dp = dp_auto_new(&config);
	if (!dp) {
		d->remote->ops->free(d->remote);
		d->remote = NULL;
		return NULL;
	}
	d->kernel_missing = config.why ? dp_auto_missing(dp) : NULL;
	return dp;
}

/* ---- tunnels ---- */

static enum dp_want want_of(const struct daemon *d, const struct access_tunnel_info *i)
{
	const struct access_conf *a = d->conf->access;

	if (i->l2tp.initiator) {
		const struct conf_dial *dial = conf_dial_find(d->conf, i->peer);

		return dial ? (enum dp_want)dial->plane : d->conf->plane;
	}
	for (size_t j = 0; j < a->peer_count; j++)
		if (strcmp(a->peers[j].name, i->peer) == 0)
			return (enum dp_want)a->peers[j].plane;
	return d->conf->plane;
}

void kplane_session_up(struct daemon *d, const struct access_event *ev)
{
	struct access_tunnel_info i;
	const char *why;

	if (!access_tunnel(d->access, ev->tunnel, &i) || want_of(d, &i) != DP_WANT_KERNEL ||
	    strcmp(d->dp->ops->where(d->dp, ev->key, &why), "user") != 0)
		return;
	daemon_say(d, TRACE_NOTICE, "session %016" PRIx64 " is carried in user space: %s", ev->key,
		   why);
}

void kplane_tunnel_up(struct daemon *d, uint32_t id)
{
	struct access_tunnel_info i;
	struct dp_tunnel t = { .version = 2 };

	if (!access_tunnel(d->access, id, &i))
		return;
	t.version = i.version;
	t.want = (uint8_t)want_of(d, &i);
	t.local = i.l2tp.local_id;
	t.remote = i.l2tp.remote_id;
	t.path = i.l2tp.path;
	t.encap = t.path.remote.port ? DP_ENCAP_UDP : DP_ENCAP_IP;
	if (d->dp->ops->tunnel(d->dp, &t) < 0)
		daemon_say(d, TRACE_WARNING, "tunnel %u: out of memory", id);
}

void kplane_tunnel_down(struct daemon *d, uint32_t id)
{
	if (d->dp->ops->tunnel_del(d->dp, id) < 0)
		daemon_say(d, TRACE_WARNING, "tunnel %u: out of memory", id);
}

void kplane_tunnels(struct daemon *d)
{
	struct access_tunnel_info i;

	for (uint32_t id = 0; (id = access_tunnel_next(d->access, id));)
		if (access_tunnel(d->access, id, &i) && i.l2tp.state == L2TP_TS_UP)
			kplane_tunnel_up(d, id);
}

void kplane_wires(struct daemon *d, const struct conf *c, bool is)
{
	for (size_t i = 0; i < c->wire_count; i++) {
		const struct conf_wire *w = c->wires + i;

		/* marked although the plane itself carries it: no harm, it finds the row first */
		if (w->plane != DP_WANT_USER && w->row.encap == DP_ENCAP_IP)
			dp_auto_elsewhere(d->dp, w->row.local_session, is);
	}
}

static void watch(struct daemon *d, const char *ifname, bool is)
{
	if (!ifname[0])
		return;
	if (!is)
		dp_auto_unwatch(d->dp, ifname);
	else if (dp_auto_watch(d->dp, ifname) < 0)
		daemon_say(d, TRACE_WARNING, "out of memory: interface %s is not watched", ifname);
}

void kplane_watch(struct daemon *d, const struct conf *c, bool is)
{
	for (size_t i = 0; i < c->wire_count; i++)
		watch(d, c->wires[i].row.ifname, is);
	for (size_t i = 0; i < c->pw->wire_count; i++)
		watch(d, c->pw->wires[i].row.ifname, is);
}

bool kplane_link(const struct daemon *d, const char *ifname, struct circuit_link *ret)
{
	return dp_auto_link(d->dp, ifname, ret);
}

/* ---- events ---- */

static void on_tunnel(struct daemon *d, const struct dp_event *e)
{
	struct access_tunnel_info i;

	if (!e->error) {
		daemon_say(d, TRACE_INFO, "tunnel %u is carried by the kernel", e->tunnel);
		return;
	}
	if (!access_tunnel(d->access, e->tunnel, &i))
		return;
	/* That there is no kernel plane at all was told once and for all. */
	daemon_say(d,
		   want_of(d, &i) == DP_WANT_AUTO && !d->kernel_missing ? TRACE_NOTICE
									: TRACE_DEBUG,
		   "tunnel %u is carried in user space: %s", e->tunnel, e->text);
}

static void on_lost(struct daemon *d, const struct dp_event *e)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_DP_LOST, .key = e->key, .text = e->text };

	cmd.tunnel = e->tunnel;
	access_do(d->access, d->now, &cmd);
}

bool kplane_events(struct daemon *d)
{
	struct dp_event e;
	bool any = false;

	if (d->kernel_asked)
		asked(d);
	while (d->dp->ops->event(d->dp, &e)) {
		any = true;
		if (pwire_plane_event(d, &e))
			continue;
		switch (e.kind) {
		case DP_EV_TUNNEL:
			on_tunnel(d, &e);
			break;
		case DP_EV_TUNNEL_LOST:
			e.key = 0;
			on_lost(d, &e);
			break;
		case DP_EV_ROW_LOST:
			on_lost(d, &e);
			break;
		case DP_EV_CIRCUITS_DEAF:
			daemon_say(
				d, TRACE_WARNING,
				"interfaces are not watched: %s; the circuits of pseudowires stay "
				"as they are found when each is set up",
				strerror(-e.error));
			break;
		case DP_EV_CIRCUIT:
			daemon_say(d, TRACE_DEBUG, "the circuit of session %016" PRIx64 " is %s",
				   e.key, e.up ? "up" : "down");
			break;
		}
	}
	return any;
}
