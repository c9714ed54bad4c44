/* SPDX-License-Identifier: MIT
 *
 * The way to a peer: the UDP sockets (made by the keeper, read by the data plane, written by
 * output.c), names of servers (looked up in a child of the keeper), and which of our addresses a
 * packet to a server leaves from. The latter is asked of the kernel by connecting a scratch socket,
 * which sends nothing and needs no right.
 */
#include "daemon.h"

#include "dp/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_WAIT_MS 10000
#define PATHS_MAX      KEEPER_ADDRS
#define SWEEP_US       US_S

/* A question of the engine for the paths to a server. */
struct resolving {
	struct list in;
	uint64_t number;
	char name[CONF_NAME]; /* of the dial */
	char host[256];
	bool prefer6;
	struct addr source;
	bool wire;	     /* of a control connection of pseudowires: */
	bool implied;	     /* by one of them */
	uint32_t via4, via6; /* its sockets */
	bool at_hand;	     /* no name service is needed, or none can be asked */
	struct addr server;  /* at hand: the address, family 0 = none */
	char failure[160];
};

/* ---- sockets ---- */

const struct daemon_socket *peer_socket(const struct daemon *d, uint32_t via)
{
	for (size_t i = 0; i < d->socket_count; i++)
		if (d->sockets[i].via == via)
			return d->sockets + i;
	return NULL;
}

bool peer_socket_add(struct daemon *d, const struct conf_socket *s, int fd,
		     const struct addr *bound)
{
	struct daemon_socket *grown;
	char text[ADDR_TEXT_MAX];
	int rc;

	grown = realloc(d->sockets, (d->socket_count + 1) * sizeof(*grown));
	if (!grown) {
		daemon_say(d, TRACE_WARNING, "out of memory");
		return false;
	}
	d->sockets = grown;
	grown[d->socket_count++] =
		(struct daemon_socket){ .via = s->via, .fd = fd, .addr = *bound, .conf = *s };
	grown += d->socket_count - 1;
	/* it knows better than a configuration that may have it no more */
	dp_user_place(fd, &grown->device, &grown->room);
	raw_sockets(d);
	rc = d->dp->ops->listen(d->dp, s->via, fd);
	if (rc < 0) {
		d->socket_count--;
		raw_sockets(d);
		daemon_say(d, TRACE_WARNING, "the data plane cannot listen on %s: %s",
			   addr_text(bound, text), strerror(-rc));
		return false;
	}
	daemon_say(d, TRACE_DEBUG, "socket %08x on %s", s->via, addr_text(bound, text));
	return true;
}

bool peer_socket_open(struct daemon *d, const struct conf_socket *s)
{
	struct keeper_done done;
	char text[ADDR_TEXT_MAX];
	uint32_t id;
	int rc = keeper_socket(d->keeper, COOKIE(COOKIE_SOCKET, s->via), s->via, &id);

	if (rc == 0)
		rc = keeper_wait(d->keeper, id, SOCKET_WAIT_MS, &done);
	if (rc == 0 && done.error && done.text[0]) {
		daemon_say(d, TRACE_WARNING, "%s", done.text); /* names the socket */
		return false;
	}
	if (rc < 0 || done.error) {
		daemon_say(d, TRACE_WARNING, "%s: no socket on %s: %s", s->name,
			   addr_text(&s->addr, text), strerror(rc < 0 ? -rc : -done.error));
		return false;
	}
	if (done.fd_count < 1)
		return false;
	if (peer_socket_add(d, s, done.fds[0], done.addr_count ? &done.addrs[0] : &s->addr))
		return true;
	close(done.fds[0]);
	return false;
}

/* Numbers of former sockets that could not be had; each is asked for once. */
struct lost {
	uint32_t via[16];
	size_t count, tunnels;
};

/* A socket of before, which the configuration no longer has: what goes on over it was taken up. */
static void open_former(struct daemon *d, const struct path *path, struct lost *lost)
{
	struct conf_socket s = { .name = "a former socket", .via = path->via };

	if (!path->via || peer_socket(d, path->via) || conf_socket_find(d->conf, path->via))
		return;
	for (size_t i = 0; i < lost->count; i++) {
		if (lost->via[i] != path->via)
			continue;
		lost->tunnels++;
		return;
	}
	s.addr = path->local;
	s.encap = path->remote.port ? DP_ENCAP_UDP : DP_ENCAP_IP;
	if (!peer_socket_open(d, &s)) {
		if (lost->count < sizeof(lost->via) / sizeof(lost->via[0]))
			lost->via[lost->count++] = path->via;
		lost->tunnels++;
		return;
	}
	d->sockets[d->socket_count - 1].stale = true;
	d->sockets_at = d->now;
	raw_sockets(d);
}

void peer_sockets_former(struct daemon *d)
{
	uint64_t pos[2] = { 0 }, wires = 0;
	struct lost lost = { .count = 0 };
	struct path path;

	while (access_paths(d->access, pos, &path))
		open_former(d, &path, &lost);
	while (pwe_paths(d->pw, &wires, &path))
		open_former(d, &path, &lost);
	if (lost.tunnels)
		daemon_say(d, TRACE_WARNING,
			   "%zu tunnels have lost the socket they came by, and end; to keep them "
			   "put its `listen` block back, then run `adit reload`",
			   lost.tunnels);
}

/* Does anything go on over it? Who closes waits for an acknowledgement. */
static bool in_use(struct daemon *d, uint32_t via)
{
	uint64_t pos[2] = { 0 }, wires = 0;
	struct path path;

	while (access_paths(d->access, pos, &path))
		if (path.via == via)
			return true;
	while (pwe_paths(d->pw, &wires, &path))
		if (path.via == via)
			return true;
	return swire_uses(d, via);
}

/* Close sockets that are no longer in the configuration once nothing uses them. */
void peer_sockets_sweep(struct daemon *d)
{
	bool left = false;

	if (!mono_due(d->sockets_at, d->now))
		return;
	for (size_t i = 0; i < d->socket_count;) {
		struct daemon_socket *s = d->sockets + i;

		if (!s->stale || in_use(d, s->via)) {
			left |= s->stale;
			i++;
			continue;
		}
		d->dp->ops->unlisten(d->dp, s->via);
		close(s->fd);
		/* should it not be heard, the keeper closes it when the next one of us serves */
		(void)keeper_socket_gone(d->keeper, COOKIE(COOKIE_SOCKET_GONE, 0), s->via, NULL);
		memmove(s, s + 1, (d->socket_count - i - 1) * sizeof(*s));
		d->socket_count--;
		raw_sockets(d);
	}
	d->sockets_at = left ? mono_add(d->now, SWEEP_US) : MONO_NEVER; /* it may be a long walk */
}

/* ---- paths ---- */

/* The address packets to `remote` leave from, by the routes of now. 0 or -errno. */
static int local_for(const struct daemon_socket *s, const struct addr *source,
		     const struct addr *remote, struct addr *ret)
{
	struct sockaddr_storage to, from;
	socklen_t n = addr_to_sockaddr(remote, &to), got = sizeof(from);
	struct addr want = *source;
	int rc = 0, fd = socket(remote->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	want.port = 0;
	if (want.family) {
		socklen_t m = addr_to_sockaddr(&want, &from);

		if (bind(fd, (struct sockaddr *)&from, m) < 0)
			rc = -errno;
	}
	if (rc == 0 && connect(fd, (struct sockaddr *)&to, n) < 0)
		rc = -errno;
	if (rc == 0 && getsockname(fd, (struct sockaddr *)&from, &got) < 0)
		rc = -errno;
	close(fd);
	if (rc == 0)
		rc = addr_from_sockaddr((struct sockaddr *)&from, got, ret);
	/* a raw socket tells its protocol for a port */
	if (rc == 0)
		ret->port = remote->port ? s->addr.port : 0;
	return rc;
}

/* Append the path to one address of the server. 0, or why there is none in `why`. */
static int path_to(struct daemon *d, const struct resolving *r, const struct addr *remote,
		   struct path *ret, char *why, size_t cap)
{
	const struct conf_socket *cs =
		r->wire ? conf_socket_find(d->conf, remote->family == AF_INET ? r->via4 : r->via6)
			: conf_dial_socket(d->conf, r->name, remote->family);
	const struct daemon_socket *s = cs ? peer_socket(d, cs->via) : NULL;
	char text[ADDR_TEXT_MAX], source[ADDR_TEXT_MAX];
	struct addr local;
	int rc;

	if (!s && cs) {
		snprintf(why, cap, "the one on %s could not be made; the log says why",
			 addr_text(&cs->addr, text));
		return -ENOTSOCK;
	}
	if (!s) {
		snprintf(why, cap, "none of ours is of the family of %s", addr_text(remote, text));
		return -ENOTSOCK;
	}
	rc = local_for(s, r->source.family ? &r->source : &(struct addr){ 0 }, remote, &local);
	if (rc == -EADDRNOTAVAIL && r->source.family) {
		snprintf(why, cap, "%s is no address of this machine",
			 addr_text(&r->source, source));
		return rc;
	}
	if (rc < 0) {
		snprintf(why, cap, "no route to %s: %s", addr_text(remote, text), strerror(-rc));
		return rc;
	}
	*ret = (struct path){ .via = cs->via, .local = local, .remote = *remote };
	plane_trust(d, remote);
	return 0;
}

/* Tell the engine: the paths in the order to try, the preferred family first. */
static void answer(struct daemon *d, struct resolving *r, const struct addr *addrs, size_t count,
		   const char *failure)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_RESOLVED, .name = r->name };
	struct path paths[PATHS_MAX];
	char why[1024];
	enum adit_cause cause = ADIT_CAUSE_NAME_NOT_FOUND;
	size_t n = 0;
	int rc;

	snprintf(why, sizeof(why), "%s", failure);
	for (int turn = 0; turn < 2; turn++) {
		uint16_t family = (turn == 0) == r->prefer6 ? AF_INET6 : AF_INET;

		for (size_t i = 0; i < count && n < PATHS_MAX; i++) {
			if (addrs[i].family != family)
				continue;
			rc = path_to(d, r, addrs + i, paths + n, why, sizeof(why));
			cause = rc == -ENOTSOCK ? ADIT_CAUSE_NO_SOCKET : ADIT_CAUSE_NO_ROUTE;
			n += rc == 0;
		}
	}
	cmd.paths = paths;
	cmd.path_count = n;
	cmd.cause = n ? ADIT_CAUSE_NONE : cause;
	cmd.text = n ? NULL : why[0] ? why : "the name has no address";
	list_drop(&r->in);
	if (r->wire) {
		struct pw_cmd wire = { .kind = PW_CMD_RESOLVED,
				       .name = r->name,
				       .implied = r->implied };

		wire.paths = paths;
		wire.path_count = n;
		wire.cause = cmd.cause;
		wire.text = cmd.text;
		pwe_do(d->pw, d->now, &wire);
	} else if (access_do(d->access, d->now, &cmd) < 0)
		daemon_say(d, TRACE_WARNING, "out of memory");
	free(r);
}

/* NULL: out of memory; then the engine's own time limit ends the attempt. */
static struct resolving *resolving_new(struct daemon *d, const char *name, const char *host)
{
	struct resolving *r = calloc(1, sizeof(*r));

	if (!r) {
		daemon_say(d, TRACE_WARNING, "out of memory: %s is not looked up", host);
		return NULL;
	}
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->host, sizeof(r->host), "%s", host);
	return r;
}

static void start(struct daemon *d, struct resolving *r, uint16_t port)
{
	int rc;

	r->number = d->resolve_count++;
	list_push(&d->resolving, &r->in);
	if (addr_parse(r->host, &r->server) == 0) {
		r->server.port = port;
		r->at_hand = true;
		return;
	}
	rc = keeper_resolve(d->keeper, COOKIE(COOKIE_RESOLVE, r->number), r->host, port, NULL);
	if (rc < 0) {
		snprintf(r->failure, sizeof(r->failure), "the keeper cannot look it up: %s",
			 strerror(-rc));
		r->server.family = 0;
		r->at_hand = true;
	}
}

void peer_resolve(struct daemon *d, const struct access_event *ev)
{
	struct resolving *r = resolving_new(d, ev->name, ev->host);

	if (!r)
		return;
	r->prefer6 = ev->prefer6;
	r->source = ev->source;
	start(d, r, ev->port);
}

void peer_resolve_wire(struct daemon *d, const struct pw_event *ev)
{
	struct resolving *r = resolving_new(d, ev->name, ev->host);

	if (!r)
		return;
	r->prefer6 = ev->prefer6;
	if (!addr_is_any(&ev->source))
		r->source = ev->source;
	r->wire = true;
	r->implied = ev->implied;
	r->via4 = ev->via4;
	r->via6 = ev->via6;
	start(d, r, ev->port);
}

bool peer_answer(struct daemon *d)
{
	bool any = false;

	list_for_each_safe (it, &d->resolving) {
		struct resolving *r = container_of(it, struct resolving, in);

		if (!r->at_hand)
			continue;
		answer(d, r, &r->server, r->server.family != 0, r->failure);
		any = true;
	}
	return any;
}

void peer_resolved(struct daemon *d, const struct keeper_done *done)
{
	char failure[1024] = "";

	list_for_each_safe (it, &d->resolving) {
		struct resolving *r = container_of(it, struct resolving, in);

		if (r->at_hand || r->number != COOKIE_VALUE(done->cookie))
			continue;
		if (done->error)
			snprintf(failure, sizeof(failure), "%s: %s", r->host,
				 done->text[0] ? done->text : strerror(-done->error));
		answer(d, r, done->addrs, done->error ? 0 : done->addr_count, failure);
		return;
	}
}

void peer_free(struct daemon *d)
{
	struct list *it;

	while ((it = list_pop(&d->resolving)))
		free(container_of(it, struct resolving, in));
	for (size_t i = 0; i < d->socket_count; i++)
		close(d->sockets[i].fd);
	free(d->sockets);
	d->sockets = NULL;
	d->socket_count = 0;
}
