/* SPDX-License-Identifier: MIT
 *
 * Calls over the control socket, see varlink.h.
 */
#include "varlink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)16 << 20)

struct varlink {
	int fd;
	char *buf;
	size_t len, cap;
};

/* EAGAIN of a socket that blocks: it has waited as long as it may. */
static int error_of(int error)
{
	return error == EAGAIN ? ETIMEDOUT : error;
}

struct varlink *varlink_open(const char *path, int timeout_ms)
{
	struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct varlink *v;
	int error;

	if (strlen(path) >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	strcpy(to.sun_path, path);
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (v->fd >= 0 && setsockopt(v->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	    connect(v->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return v;
	error = error_of(errno);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
	errno = error;
	return NULL;
}

void varlink_close(struct varlink *v)
{
	if (!v)
		return;
	close(v->fd);
	explicit_bzero(v->buf, v->buf ? v->cap : 0);
	free(v->buf);
	free(v);
}

static int send_all(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t done = send(fd, text, n, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -error_of(errno);
		text += done;
		n -= (size_t)done;
	}
	return 0;
}

int varlink_call(struct varlink *v, const char *method, json_t *parameters, bool more)
{
	json_t *call = json_object();
	char *text = NULL;
	int rc = -ENOMEM;

	if (!parameters)
		parameters = json_object();
	if (json_object_set_new(call, "method", json_string(method)) == 0 &&
	    json_object_set(call, "parameters", parameters) == 0 &&
	    (!more || json_object_set_new(call, "more", json_true()) == 0))
		text = json_dumps(call, JSON_COMPACT);
	json_decref(parameters);
	json_decref(call);
	if (text) {
		rc = send_all(v->fd, text, strlen(text) + 1);
		explicit_bzero(text, strlen(text)); /* it may hold a configuration */
	}
	free(text);
	return rc;
}

/* The words of an error reply: its field "text", or the error's own name. */
static void error_text(json_t *root, json_t *parameters, char *error)
{
	const char *name = json_string_value(json_object_get(root, "error"));
	const char *text = json_string_value(json_object_get(parameters, "text"));
	const char *parameter = json_string_value(json_object_get(parameters, "parameter"));

	if (text)
		snprintf(error, VARLINK_ERROR_MAX, "%s", text);
	else if (parameter)
		snprintf(error, VARLINK_ERROR_MAX, "the daemon does not take this value for %s",
			 parameter);
	else
		snprintf(error, VARLINK_ERROR_MAX, "the daemon answers %s", name);
}

static int take(struct varlink *v, size_t len, struct varlink_answer *ret, char *error)
{
	json_t *root = json_loadb(v->buf, len, 0, NULL), *parameters;

	v->len -= len + 1;
	memmove(v->buf, v->buf + len + 1, v->len);
	parameters = json_object_get(root, "parameters");
	if (!json_is_object(root) || !json_is_object(parameters)) {
		json_decref(root);
		return -EBADMSG;
	}
	if (json_is_string(json_object_get(root, "error"))) {
		error_text(root, parameters, error);
		json_decref(root);
		return 1;
	}
	*ret = (struct varlink_answer){ .root = root, .parameters = parameters };
	ret->continues = json_is_true(json_object_get(root, "continues"));
	return 0;
}

bool varlink_ready(const struct varlink *v, int timeout_ms)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN };

	/* another answer may have come with the last one */
	return (v->len && memchr(v->buf, '\0', v->len)) || poll(&p, 1, timeout_ms) != 0;
}

int varlink_next(struct varlink *v, int timeout_ms, struct varlink_answer *ret, char *error)
{
	size_t looked = 0;

	while (true) {
		struct pollfd p = { .fd = v->fd, .events = POLLIN };
		char *end = v->len ? memchr(v->buf + looked, '\0', v->len - looked) : NULL;
		ssize_t n;

		if (end)
			return take(v, (size_t)(end - v->buf), ret, error);
		looked = v->len;
		if (v->len == v->cap) {
			size_t cap = v->cap ? v->cap * 2 : 16384;
			char *grown = cap <= ANSWER_MAX ? realloc(v->buf, cap) : NULL;

			if (!grown)
				return cap <= ANSWER_MAX ? -ENOMEM : -EBADMSG;
			v->buf = grown;
			v->cap = cap;
		}
		n = poll(&p, 1, timeout_ms);
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0)
			n = recv(v->fd, v->buf + v->len, v->cap - v->len, 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			v->len += (size_t)n;
	}
}
