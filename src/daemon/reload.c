/* SPDX-License-Identifier: MIT
 *
 * A new configuration. The file is read and checked; the keeper reads it too, since it carries out
 * only what its own copy allows; sockets that are new are opened; then the engine gets it, in one
 * step. Until then nothing has changed, and an error leaves everything as it was. Sockets that are
 * no longer wanted are closed when the last tunnel over them is gone.
 */
#include "daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 16384

struct reload {
	struct conf *next;
	reload_done_fn fn;
	void *who;
	size_t waiting; /* answers of the keeper */
	size_t len;
	char text[TEXT_MAX]; /* what is told in the end */
};

static void put(struct reload *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct reload *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->len, sizeof(r->text) - r->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		r->len += (size_t)n < sizeof(r->text) - r->len ? (size_t)n
							       : sizeof(r->text) - r->len - 1;
}

static void finish(struct daemon *d, struct reload *r, bool ok)
{
	d->reload = NULL;
	if (r->fn)
		r->fn(d, r->who, ok, r->text);
	conf_free(r->next);
	free(r);
}

/* Options that processes take only when they start. */
static void put_late(const struct daemon *d, struct reload *r, const struct conf *from,
		     const struct conf *to)
{
	const struct {
		const char *key, *a, *b;
	} late[] = {
		{ "control", from->control, to->control },
		{ "user", from->user, to->user },
		{ "state-directory", from->state_dir, to->state_dir },
		{ "interface", from->ifname, to->ifname },
		{ "session-interface", from->session_ifname, to->session_ifname },
	};

	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++)
		if (strcmp(late[i].a, late[i].b) != 0)
			put(r, "%s: takes effect when the keeper is stopped and started\n",
			    late[i].key);
	if (from->groups != to->groups && !d->kernel_missing)
		put(r, "interface-groups: takes effect when the keeper is stopped and started\n");
	if (from->sandbox != to->sandbox)
		put(r, "sandbox: takes effect when aditd is restarted\n");
}

static void apply(struct daemon *d, struct reload *r)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF };
	struct conf *old = d->conf;

	r->next->access->serial = ++d->conf_serial;
	cmd.conf = r->next->access;
	kplane_conf(d, r->next);
	if (access_do(d->access, d->now, &cmd) < 0) {
		r->len = 0;
		put(r, "out of memory; the former configuration stays in force\n");
		finish(d, r, false);
		return;
	}
	d->conf = r->next;
	r->next = NULL;
	if (!pwire_conf(d, d->conf))
		put(r, "out of memory; the former pseudowires stay\n");
	log_configure(d->log, d->conf->log_to, d->conf->log_level);
	plane_trust_conf(d);
	kplane_wires(d, old, false);
	kplane_wires(d, d->conf, true);
	kplane_watch(d, d->conf, true); /* what both have stays known */
	kplane_watch(d, old, false);
	if (acct_path(d->acct, d->conf->accounting) < 0)
		put(r, "out of memory; accounting goes on as before\n");
	for (size_t i = 0; i < d->socket_count; i++) {
		const struct conf_socket *s = conf_socket_find(d->conf, d->sockets[i].via);

		d->sockets[i].stale = !s;
		if (s)
			d->sockets[i].conf = *s;
	}
	d->sockets_at = d->now;
	raw_sockets(d);
	swire_conf(d);
	put_late(d, r, old, d->conf);
	conf_free(old);
	in_force_keep(d);
	daemon_say(d, TRACE_NOTICE, "the configuration was read again from %s", d->conf_path);
	finish(d, r, true);
}

/* Open the sockets that are new. */
static void open_sockets(struct daemon *d, struct reload *r)
{
	for (size_t i = 0; i < r->next->socket_count; i++) {
		const struct conf_socket *s = r->next->sockets + i;
		int rc;

		if (peer_socket(d, s->via) || s->spare)
			continue;
		rc = keeper_socket(d->keeper, COOKIE(COOKIE_SOCKET, s->via), s->via, NULL);
		if (rc == 0)
			r->waiting++;
		else
			put(r, "%s: no socket: %s\n", s->name, strerror(-rc));
	}
	if (!r->waiting)
		apply(d, r);
}

void reload_start(struct daemon *d, bool from_keeper, reload_done_fn fn, void *who)
{
	char err[CONF_ERR_MAX], *diff;
	struct reload *r;
	int rc;

	if (d->reload || d->stopping) {
		if (fn)
			fn(d, who, false,
			   d->stopping ? "aditd is stopping\n"
				       : "the configuration is being read already; try again\n");
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		if (fn)
			fn(d, who, false, "out of memory\n");
		return;
	}
	r->fn = fn;
	r->who = who;
	r->next = conf_load(d->conf_path, CONF_KEEP, err, sizeof(err));
	if (!r->next) {
		daemon_say(d, TRACE_WARNING, "the former configuration stays in force: %s", err);
		put(r, "%s\n", err);
		finish(d, r, false);
		return;
	}
	diff = conf_diff(d->conf, r->next);
	put(r, "%s", diff ? diff : "");
	free(diff);
	reload_effects(d, r->next, r->text + r->len, sizeof(r->text) - r->len);
	r->len += strlen(r->text + r->len);
	d->reload = r;
	if (from_keeper) {
		open_sockets(d, r);
		return;
	}
	rc = keeper_reload(d->keeper, COOKIE(COOKIE_RELOAD, 0), NULL);
	if (rc < 0) {
		r->len = 0;
		put(r, "the keeper cannot be asked: %s\n", strerror(-rc));
		finish(d, r, false);
	}
}

void reload_done(struct daemon *d, const struct keeper_done *done)
{
	struct reload *r = d->reload;
	const struct conf_socket *s = NULL;
	const char *text = done->text[0] ? done->text : strerror(-done->error);

	if (!r) {
		for (uint32_t i = 0; i < done->fd_count; i++)
			close(done->fds[i]);
		return;
	}
	if (COOKIE_KIND(done->cookie) == COOKIE_RELOAD) {
		if (!done->error) {
			put(r, "%s", done->text);
			open_sockets(d, r);
			return;
		}
		daemon_say(d, TRACE_WARNING, "the keeper refuses the configuration: %s", text);
		r->len = 0;
		put(r, "the keeper refuses the configuration: %s\n", text);
		finish(d, r, false);
		return;
	}
	s = conf_socket_find(r->next, (uint32_t)COOKIE_VALUE(done->cookie));
	if (done->error || !done->fd_count) {
		daemon_say(d, TRACE_WARNING, "%s: no socket: %s", done->name, text);
		put(r, "%s: no socket: %s\n", done->name, text);
	} else if (!s || !peer_socket_add(d, s, done->fds[0], done->addrs)) {
		close(done->fds[0]);
		put(r, "%s: the data plane cannot use the socket\n", done->name);
	}
	if (--r->waiting == 0)
		apply(d, r);
}

void reload_forget(struct daemon *d, void *who)
{
	if (d->reload && d->reload->who == who)
		d->reload->fn = NULL;
}

void reload_free(struct daemon *d)
{
	if (d->reload) {
		conf_free(d->reload->next);
		free(d->reload);
		d->reload = NULL;
	}
}

/* ---- what would happen ---- */

static const struct conf_peer *find_peer(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->access->peer_count; i++)
		if (strcmp(c->access->peers[i].name, name) == 0)
			return c->access->peers + i;
	return NULL;
}

void reload_effects(struct daemon *d, const struct conf *next, char *buf, size_t cap)
{
	struct access_session_info info;
	size_t len = 0, gone = 0;

	len = pwire_effects(d, next, buf, cap);
	for (uint64_t key = 0; (key = access_session_next(d->access, key));) {
		const struct conf_dial *now, *then;

		if (!access_session(d->access, key, &info))
			continue;
		if (!info.client) {
			gone += !find_peer(next, info.peer);
			continue;
		}
		now = conf_dial_find(d->conf, info.peer);
		then = conf_dial_find(next, info.peer);
		if (now && then && now->digest == then->digest)
			continue;
		len += (size_t)snprintf(buf + len, cap - len, "session \"%s\" %s\n", info.peer,
					then ? "is ended and dialled anew" : "is ended");
		if (len >= cap)
			return;
	}
	if (gone)
		snprintf(buf + len, cap - len,
			 gone == 1
				 ? "%zu session ends, since the peer block it came by is removed\n"
				 : "%zu sessions end, since the peer block they came by is "
				   "removed\n",
			 gone);
}
