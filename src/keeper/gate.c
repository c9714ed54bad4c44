/* SPDX-License-Identifier: MIT
 *
 * The keeper's own socket, see gate.h.
 */
#include "gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "daemon/conf.h"

#define UNREAD_MOST 16 /* messages of somebody who is sent away: he may go on and on */
#define QUEUE	    8
#define SEND_BUFFER (4 << 20) /* as of the pair of spawn.c */

struct gate {
	int fd;
	char path[CONF_CONTROL_MAX];
	struct {
		int fd;
		struct ucred who;
	} clients[GATE_CLIENTS];
	size_t client_n;
	int asking; /* who has asked for an upgrade, -1 = nobody */
	uint32_t asking_id;
};

struct gate *gate_blank(void)
{
	struct gate *g = calloc(1, sizeof(*g));

	if (g)
		g->fd = g->asking = -1;
	return g;
}

static int listen_at(const char *path, gid_t gid, bool *ret_left)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	/* a former keeper's: the control socket was free to be taken */
	*ret_left = unlink(path) == 0;
	/* Nobody may connect between bind() and chmod(): it does not listen yet. */
	if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) == 0 && chown(path, 0, gid) == 0 &&
	    chmod(path, 0660) == 0 && listen(fd, QUEUE) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int gate_new(const char *control, gid_t gid, struct gate **ret, bool *ret_left, char *text)
{
	struct gate *g = gate_blank();
	int err = g ? keeper_gate_path(control, g->path, sizeof(g->path)) : -ENOMEM;

	if (!err) {
		g->fd = listen_at(g->path, gid, ret_left);
		err = g->fd < 0 ? g->fd : 0;
	}
	if (!err) {
		*ret = g;
		return 0;
	}
	snprintf(text, GATE_TEXT, "could not make the keeper's socket beside %.120s: %s", control,
		 strerror(-err));
	free(g);
	return err;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->client_n; i++)
		close(g->clients[i].fd);
	if (g->asking >= 0)
		close(g->asking);
	if (g->fd >= 0) {
		close(g->fd);
		unlink(g->path);
	}
	free(g);
}

size_t gate_poll(const struct gate *g, struct pollfd *fds)
{
	size_t n = 0;

	if (!g || g->fd < 0)
		return 0;
	fds[n++] = (struct pollfd){ .fd = g->fd, .events = POLLIN };
	for (size_t i = 0; i < g->client_n; i++)
		fds[n++] = (struct pollfd){ .fd = g->clients[i].fd, .events = POLLIN };
	return n;
}

static void client_forget(struct gate *g, size_t i)
{
	g->client_n--;
	memmove(g->clients + i, g->clients + i + 1, (g->client_n - i) * sizeof(g->clients[0]));
}

static void accept_all(struct gate *g)
{
	for (;;) {
		struct ucred who;
		socklen_t len = sizeof(who);
		int fd = accept4(g->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0) {
			close(fd);
			continue;
		}
		if (g->client_n == GATE_CLIENTS) {
			close(g->clients[0].fd);
			client_forget(g, 0);
		}
		g->clients[g->client_n].fd = fd;
		g->clients[g->client_n++].who = who;
	}
}

/* Answer and close. */
static void reply(int fd, uint32_t id, int error, const char *text)
{
	uint8_t buf[KEEPER_MAX];
	struct wcur c = wcur_of(buf, sizeof(buf));
	struct keeper_msg m = { .id = id,
				.type = KEEPER_REPLY,
				.have = 1u << KEEPER_T_ERROR | 1u << KEEPER_T_TEXT,
				.error = (uint32_t)-error };

	/* His request was only looked at; closed with that in it, the socket would take the answer
	 * along (ECONNRESET). */
	for (int i = 0; i < UNREAD_MOST && recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0; i++)
		;
	snprintf(m.text, sizeof(m.text), "%s", text);
	keeper_msg_save(&c, &m);
	if (!c.bad && send(fd, buf, c.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		/* He has gone and does not want to know. */
	}
	close(fd);
}

/* What does the client want? He is taken out of the list, or stays when he has not said. */
static enum gate_call client_look(struct gate *g, size_t i, uid_t uid, bool free, int *ret_fd,
				  pid_t *ret_pid, bool *ret_stays)
{
	uint8_t buf[KEEPER_MAX];
	int fd = g->clients[i].fd, size = SEND_BUFFER;
	struct ucred who = g->clients[i].who;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
	struct keeper_msg m;

	*ret_stays = n < 0 && (errno == EAGAIN || errno == EINTR);
	if (*ret_stays)
		return GATE_NOBODY;
	client_forget(g, i);
	if (n <= 0 || keeper_msg_load(buf, (size_t)n, &m) != 0 || !m.id) {
		close(fd);
	} else if (m.type == KEEPER_UPGRADE && who.uid == 0 && g->asking < 0) {
		g->asking = fd;
		g->asking_id = m.id;
		return GATE_UPGRADE;
	} else if (m.type == KEEPER_HELLO && who.uid == uid && free) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		*ret_fd = fd;
		*ret_pid = who.pid;
		return GATE_ADITD;
	} else if (m.type == KEEPER_UPGRADE) {
		reply(fd, m.id, who.uid ? -EPERM : -EBUSY,
		      who.uid ? "only root may ask for an upgrade" : "an upgrade is under way");
	} else {
		reply(fd, m.id, who.uid == uid ? -EBUSY : -EPERM,
		      who.uid == uid
			      ? "another aditd serves, or the keeper starts one by itself (--run)"
			      : "this user is not the `user` of the configuration");
	}
	return GATE_NOBODY;
}

enum gate_call gate_next(struct gate *g, uid_t uid, bool free, int *ret_fd, pid_t *ret_pid)
{
	size_t i = 0;

	if (!g || g->fd < 0)
		return GATE_NOBODY;
	accept_all(g);
	while (i < g->client_n) {
		bool stays;
		enum gate_call call = client_look(g, i, uid, free, ret_fd, ret_pid, &stays);

		if (call != GATE_NOBODY)
			return call;
		i += stays;
	}
	return GATE_NOBODY;
}

void gate_answer(struct gate *g, int error, const char *text)
{
	if (!g || g->asking < 0)
		return;
	reply(g->asking, g->asking_id, error, text);
	g->asking = -1;
}

/* ---- over an upgrade ---- */

enum { REC_GATE = CARRY_KEEPER | CARRY_MUST | 0x40 };

enum { F_FD = 1, F_PATH = 2, F_ASKING = 3, F_ID = 4 };

void gate_carry(const struct gate *g, struct carry *c)
{
	if (!g || g->fd < 0)
		return;
	carry_begin(c, REC_GATE);
	carry_fd(c, F_FD, g->fd);
	carry_text(c, F_PATH, g->path);
	carry_fd(c, F_ASKING, g->asking);
	wcur_tlv_u32(&c->w, F_ID, g->asking_id);
	carry_end(c);
}

int gate_carried(struct gate *g, uint16_t tag, struct rcur v)
{
	bool ok = true;
	uint16_t field;
	struct rcur f;

	if (tag != REC_GATE)
		return 1;
	while (ok && rcur_tlv(&v, &field, &f)) {
		if (field == F_FD)
			g->fd = (int)rcur_u32(&f);
		else if (field == F_PATH)
			ok = carry_text_load(f, g->path, sizeof(g->path));
		else if (field == F_ASKING)
			g->asking = (int)rcur_u32(&f);
		else if (field == F_ID)
			g->asking_id = rcur_u32(&f);
		ok = ok && !f.bad;
	}
	return ok && !v.bad && g->fd >= 0 ? 0 : -EBADMSG;
}
