/* SPDX-License-Identifier: MIT
 *
 * The control socket: varlink's wire format, a JSON object and a NUL a message, so that other
 * programs need no library. Who may connect is decided by the rights of the socket, which the
 * keeper makes.
 *
 * Answers that are long or go on for ever are made piece by piece: the next piece is made when the
 * client has taken most of the former ones. So a client that reads slowly, or not at all, costs a
 * bounded amount of memory and delays nobody; `monitor` tells it how many lines it missed. A
 * client has one call under way at a time; further ones wait in its buffer. What the calls do is in
 * control_call.c.
 *
 * While no aditd serves clients queue at the listener, which the keeper holds. So a call may be
 * read long after its caller has given it up: what somebody asked for that has hung up is not
 * begun. Who has ended its writing side alone still listens, and is served.
 */
#include "control_int.h"

#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_HIGH 65536 /* octets that wait for a client: make no more answers */
#define IDLE_US	 US_S  /* a client that asked for nothing for so long may have to give way */
#define READ_MAX 16384
/* ---- answers ---- */

static bool out_room(struct client *c, size_t n)
{
	size_t cap = c->out_cap ? c->out_cap : 4096;
	char *grown;

	if (c->out_sent) {
		memmove(c->out, c->out + c->out_sent, c->out_len - c->out_sent);
		c->out_len -= c->out_sent;
		c->out_sent = 0;
	}
	if (c->out_len + n <= c->out_cap)
		return true;
	while (cap < c->out_len + n)
		cap *= 2;
	grown = realloc(c->out, cap);
	if (!grown)
		return false;
	c->out = grown;
	c->out_cap = cap;
	return true;
}

/* Queue a message; takes the reference. A client whose answer does not fit into memory is closed.
 */
static void send_json(struct client *c, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) + 1 : 0;

	json_decref(message);
	if (!text || !out_room(c, n)) {
		c->dead = true;
	} else {
		memcpy(c->out + c->out_len, text, n);
		c->out_len += n;
	}
	free(text);
}

void control_reply(struct client *c, json_t *parameters, bool continues)
{
	json_t *message = json_object();

	if (json_object_set_new(message, "parameters", parameters) < 0 ||
	    (continues && json_object_set_new(message, "continues", json_true()) < 0))
		c->dead = true;
	send_json(c, message);
	if (!continues)
		c->op = OP_NONE;
}

void control_reply_one(struct client *c, const char *name, json_t *value, bool continues)
{
	json_t *o = json_object();

	if (!value || json_object_set_new(o, name, value) < 0)
		c->dead = true;
	control_reply(c, o, continues);
}

void control_error(struct client *c, const char *error, const char *field, const char *fmt, ...)
{
	char text[CONF_ERR_MAX + 512], safe[CONF_ERR_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_escape(safe, sizeof(safe), text, strlen(text));
	send_json(c, json_pack("{s:s, s:{s:s}}", "error", error, "parameters", field, safe));
	c->op = OP_NONE;
}

/* ---- clients ---- */

static void client_free(struct client *c)
{
	reload_forget(c->control->d, c);
	list_drop(&c->in);
	if (c->watch)
		io_unwatch(c->watch);
	close(c->fd);
	free(c->req);
	free(c->out);
	free(c->keys);
	free(c);
}

static void client_write(struct client *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			c->dead = true;
		if (n <= 0)
			return;
		c->out_sent += (size_t)n;
	}
	c->out_len = c->out_sent = 0;
}

/* Has it closed the connection altogether, so that no answer can reach it? */
static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd }; /* POLLHUP and POLLERR are told unasked */

	return poll(&p, 1, 0) > 0;
}

/* Take what the client sent. */
static void client_read(struct client *c)
{
	char buf[READ_MAX];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0)
		c->eof = true;
	if (n < 0 || (n == 0 && c->op == OP_MONITOR))
		c->dead = true;
	if (n <= 0)
		return;
	if (c->req_len + (size_t)n > c->req_cap) {
		size_t cap = c->req_cap ? c->req_cap : 1024;
		char *grown;

		while (cap < c->req_len + (size_t)n)
			cap *= 2;
		grown = realloc(c->req, cap);
		if (!grown) {
			c->dead = true;
			return;
		}
		c->req = grown;
		c->req_cap = cap;
	}
	memcpy(c->req + c->req_len, buf, (size_t)n);
	c->req_len += (size_t)n;
	c->heard = c->control->d->now;
}

/* Handle calls and make answers, as far as the client's buffer allows. True when anything was
 * done that may have changed the engine. */
static bool client_work(struct client *c)
{
	bool any = false;

	while (!c->dead && !c->ending) {
		char *end;

		c->waits = false;
		while (c->op != OP_NONE && !c->waits && c->out_len - c->out_sent < OUT_HIGH &&
		       !c->dead)
			c->waits = !control_step(c);
		if (c->op != OP_NONE || c->out_len - c->out_sent >= OUT_HIGH)
			break;
		end = c->req_len ? memchr(c->req, '\0', c->req_len) : NULL;
		if (!end) {
			c->ending = c->eof;
			if (c->req_len >= CONTROL_REQUEST_MAX) {
				control_error(c, "org.adit.BadRequest", "text",
					      "the request is longer than %zu octets",
					      CONTROL_REQUEST_MAX);
				c->ending = true;
			}
			break;
		}
		c->dead = hung_up(c->fd);
		if (c->dead)
			break;
		control_handle(c, c->req, (size_t)(end - c->req));
		c->req_len -= (size_t)(end - c->req) + 1;
		memmove(c->req, end + 1, c->req_len);
		any = true;
		if (c->op == OP_CONNECT || c->op == OP_DISCONNECT)
			break; /* its first state is known when the engine has been drained */
	}
	return any;
}

/* Send, and watch for what can happen next. Frees a client that is done. */
static void client_settle(struct client *c)
{
	short on = 0;

	if (!c->dead)
		client_write(c);
	if (c->dead || (c->ending && c->out_len == 0)) {
		client_free(c);
		return;
	}
	/* while a call is under way read on only to see the client leave */
	if (!c->ending && !c->eof && c->req_len < CONTROL_REQUEST_MAX)
		on |= POLLIN;
	/* also when everything is sent but there is more to make: others have their turn first */
	if (c->out_len || (c->op != OP_NONE && !c->waits))
		on |= POLLOUT;
	if (io_watch_set(c->watch, on) < 0)
		client_free(c);
}

void control_client(void *client, short events)
{
	struct client *c = client;
	struct daemon *d = c->control->d;
	bool news = kplane_events(d); /* what is shown is as it is now */

	run_probe(d);
	if (events & POLLOUT)
		client_write(c);
	if (events & POLLIN)
		client_read(c);
	if (client_work(c) || news)
		run_drain(d); /* settles all clients, this one too */
	else
		client_settle(c);
}

bool control_push(struct control *ctl)
{
	bool any = false;

	list_for_each_safe (it, &ctl->clients) {
		struct client *c = container_of(it, struct client, in);

		any |= client_work(c);
		client_settle(c);
	}
	return any;
}

/* A place for one more: who has asked for nothing for the longest time gives way. */
static bool make_room(struct control *ctl)
{
	static const char gone[] = "{\"error\":\"org.adit.Failed\",\"parameters\":{\"text\":"
				   "\"another client needed the place of this idle one\"}}";
	struct client *idlest = NULL;

	if (!io_watch_full(ctl->d->io))
		return true;
	list_for_each (it, &ctl->clients) {
		struct client *c = container_of(it, struct client, in);

		if (c->op == OP_NONE && c->out_len == 0 &&
		    mono_due(mono_add(c->heard, IDLE_US), ctl->d->now) &&
		    (!idlest || c->heard.us < idlest->heard.us))
			idlest = c;
	}
	if (!idlest)
		return false;
	send(idlest->fd, gone, sizeof(gone), MSG_NOSIGNAL | MSG_DONTWAIT);
	client_free(idlest);
	return true;
}

void control_accept(struct control *ctl)
{
	struct client *c;
	bool room;
	int fd;

	run_probe(ctl->d);
	while ((fd = accept4(ctl->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		static const char full[] =
			"{\"error\":\"org.adit.Failed\",\"parameters\":{\"text\":"
			"\"too many control clients; end one of them\"}}";
		static const char out[] = "{\"error\":\"org.adit.Failed\",\"parameters\":{"
					  "\"text\":\"aditd is out of memory\"}}";

		if (hung_up(fd)) {
			close(fd);
			continue;
		}
		room = make_room(ctl);
		c = room ? calloc(1, sizeof(*c)) : NULL;
		if (!c) {
			send(fd, room ? out : full, room ? sizeof(out) : sizeof(full),
			     MSG_NOSIGNAL | MSG_DONTWAIT);
			close(fd);
			continue;
		}
		c->control = ctl;
		c->fd = fd;
		c->heard = ctl->d->now;
		list_init(&c->in);
		list_push(&ctl->clients, &c->in);
		c->watch = io_watch(ctl->d->io, fd, c);
		if (!c->watch || io_watch_set(c->watch, POLLIN) < 0)
			client_free(c);
	}
}

struct control *control_new(struct daemon *d, int listener)
{
	struct control *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return NULL;
	ctl->d = d;
	ctl->fd = listener;
	list_init(&ctl->clients);
	return ctl;
}

void control_free(struct control *ctl)
{
	if (!ctl)
		return;
	list_for_each_safe (it, &ctl->clients) {
		struct client *c = container_of(it, struct client, in);

		client_write(c);
		client_free(c);
	}
	if (ctl->d->io)
		io_unlisten(ctl->d->io); /* before its descriptor is closed */
	close(ctl->fd);
	free(ctl);
}

int control_fd(const struct control *ctl)
{
	return ctl->fd;
}

struct mono control_deadline(const struct control *ctl)
{
	struct mono at = MONO_NEVER;

	list_for_each (it, &ctl->clients) {
		const struct client *c = container_of(it, struct client, in);

		if (c->op == OP_CONNECT && c->until.us)
			at = mono_min(at, c->until);
	}
	return at;
}
