/* SPDX-License-Identifier: MIT
 *
 * The user-space data plane, and the privileged side it asks for devices, addresses and routes: its
 * requests go to the keeper, the keeper's answers come back to it.
 */
#include "daemon.h"

#include "base/rng.h"
#include "dp/user.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define DEVICES_US (2 * US_S)

static struct keeper *keeper_of(void *host)
{
	return ((struct daemon *)host)->keeper;
}

static int host_tun_open(void *host, uint32_t id, const char *name, bool ethernet)
{
	return keeper_tun(keeper_of(host), COOKIE(COOKIE_PLANE, id), name, ethernet, NULL);
}

static int host_tun_gone(void *host, uint32_t id, const char *name)
{
	return keeper_tun_gone(keeper_of(host), COOKIE(COOKIE_PLANE, id), name, NULL);
}

static int host_link_up(void *host, uint32_t id, const char *name, uint16_t mtu, const char *master)
{
	return keeper_link(keeper_of(host), COOKIE(COOKIE_PLANE, id), name, mtu, master, NULL);
}

static int host_addr(void *host, uint32_t id, const char *name, const struct prefix *p, bool add)
{
	return keeper_addr(keeper_of(host), COOKIE(COOKIE_PLANE, id), name, p, add, NULL);
}

static int host_route(void *host, uint32_t id, const char *name, const struct prefix *p,
		      uint32_t table, uint32_t metric, bool add)
{
	return keeper_route(keeper_of(host), COOKIE(COOKIE_PLANE, id), name, p, table, metric, add,
			    NULL);
}

static int host_pin(void *host, uint32_t id, const struct addr *a, bool add)
{
	return keeper_pin(keeper_of(host), COOKIE(COOKIE_PLANE, id), a, add, NULL);
}

static const struct dp_host_ops host_ops = {
	.tun_open = host_tun_open,
	.tun_gone = host_tun_gone,
	.link_up = host_link_up,
	.addr = host_addr,
	.route = host_route,
	.pin = host_pin,
};

bool plane_open(struct daemon *d, void *table, uint64_t size)
{
	struct dp_user_config config = {
		.host_ops = &host_ops,
		.host = d,
		.ifname = d->conf->ifname,
		.table = table,
		.table_size = (size_t)size,
		.keep_ended = true,
	};
	struct dp *user;

	if (getrandom(config.hash_key, sizeof(config.hash_key), 0) < 0) {
		daemon_say(d, TRACE_WARNING, "no random numbers: %s", strerror(errno));
		return false;
	}
	user = dp_user_new(&config);
	if (!user) {
		daemon_say(d, TRACE_WARNING, "the data plane cannot start: %s", strerror(errno));
		return false;
	}
	d->user = user;
	d->dp = kplane_open(d, user, config.hash_key);
	if (!d->dp) {
		daemon_say(d, TRACE_WARNING, "out of memory");
		user->ops->free(user);
		return false;
	}
	kplane_conf(d, d->conf);
	kplane_watch(d, d->conf, true);
	return true;
}

void plane_trust(struct daemon *d, const struct addr *remote)
{
	if (d->dp->ops->trust)
		d->dp->ops->trust(d->dp, remote);
}

void plane_trust_conf(struct daemon *d)
{
	const struct access_conf *c = d->conf->access;
	struct prefix *nets;
	size_t n = 0, max = 0;

	if (!d->dp->ops->trust_nets)
		return;
	for (size_t i = 0; i < c->peer_count; i++)
		max += c->peers[i].from_count;
	nets = calloc(max + 1, sizeof(*nets));
	if (!nets) {
		daemon_say(d, TRACE_WARNING, "out of memory: peers wait in line with strangers");
		return;
	}
	for (size_t i = 0; i < c->peer_count; i++)
		for (size_t j = 0; j < c->peers[i].from_count; j++)
			if (conf_net_small(&c->peers[i].from[j]))
				nets[n++] = c->peers[i].from[j];
	d->dp->ops->trust_nets(d->dp, nets, n);
	free(nets);
}

void plane_trust_tunnels(struct daemon *d)
{
	struct access_tunnel_info info;

	for (uint32_t id = 0; (id = access_tunnel_next(d->access, id));)
		if (access_tunnel(d->access, id, &info))
			plane_trust(d, &info.l2tp.path.remote);
}

void plane_done(struct daemon *d, const struct keeper_done *done)
{
	int fd = done->fd_count ? done->fds[0] : -1;

	if (done->error)
		daemon_say(d, TRACE_DEBUG, "keeper: %s: %s", done->name,
			   done->text[0] ? done->text : strerror(-done->error));
	dp_user_host_done(d->user, (uint32_t)COOKIE_VALUE(done->cookie), done->error,
			  done->text[0] ? done->text : NULL, fd);
}

void plane_wait(struct daemon *d)
{
	struct pollfd p = { .fd = keeper_fd(d->keeper) };
	struct mono end = mono_add(io_now(), DEVICES_US);
	struct keeper_done done;

	for (;;) {
		/* First what is here already: an answer that came with another is in the queue,
		   and nothing more will make the socket readable. */
		while (keeper_next(d->keeper, &done))
			if (COOKIE_KIND(done.cookie) == COOKIE_PLANE)
				plane_done(d, &done);
		kplane_input(d);
		if (dp_user_ready(d->user) || mono_due(end, io_now()))
			return;
		p.events = keeper_events(d->keeper);
		if (poll(&p, 1, 100) < 0 && errno != EINTR)
			return;
		if (keeper_work(d->keeper) < 0)
			return; /* the loop will find that, too */
	}
}

void plane_sweep(struct daemon *d)
{
	uint32_t generation;
	uint64_t pos = 0, key;
	size_t n = 0;

	while (d->dp->ops->list(d->dp, &pos, &key, &generation)) {
		if (access_has(d->access, key) || pwe_has(d->pw, key) || swire_has(d, key))
			continue;
		if (d->dp->ops->del(d->dp, key, generation) < 0)
			continue;
		swire_former(d, key);
		n++;
	}
	swire_swept(d);
	if (n)
		daemon_say(d, TRACE_NOTICE,
			   "removing %zu rows of the data plane that no session has", n);
}
