/* SPDX-License-Identifier: MIT
 *
 * Children of the keeper.
 *
 * Theory of operation. A job waits, runs, and is done; each state is a list. A resolution forks,
 * becomes the unprivileged user, calls getaddrinfo() and writes what it found into a pipe, in one
 * piece; so neither the resolver's modules nor their time concern the keeper. A hook forks, becomes
 * the leader of a process group of its own and executes the program with a small environment; its
 * pipe has nothing to say, it only holds the end of the job until the group's leader is reaped.
 *
 * A job over its time is sent SIGTERM, and SIGKILL three seconds later, together with all of its
 * process group. Its end is always told by waitpid(), which the owner of the process does.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "base/text.h"
#include "base/wire.h"
#include "spawn.h"

#define GRACE_US (3 * US_S)

struct job {
	struct list node;
	struct child_answer answer;
	bool hook, orphan;
	char host[KEEPER_HOST_MAX];
	uint16_t port;
	char program[KEEPER_PATH_MAX];
	char **env; /* NULL-terminated; one allocation with its texts */
	pid_t pid;
	int pipe; /* resolution: reading end, else -1 */
	struct mono deadline;
	bool termed;
	uint8_t got[8 + KEEPER_ADDRS * 24];
	size_t got_len;
};

struct children {
	struct children_config config;
	struct list waiting, running, done;
	size_t jobs, running_n;
};

struct children *children_new(const struct children_config *config)
{
	struct children *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->config = *config;
	list_init(&k->waiting);
	list_init(&k->running);
	list_init(&k->done);
	return k;
}

static void job_free(struct children *k, struct job *j)
{
	list_drop(&j->node);
	if (j->pipe >= 0)
		close(j->pipe);
	free(j->env);
	free(j);
	k->jobs--;
}

void children_free(struct children *k)
{
	struct list *lists[3];
	size_t i;

	if (!k)
		return;
	lists[0] = &k->waiting;
	lists[1] = &k->running;
	lists[2] = &k->done;
	for (i = 0; i < 3; i++) {
		list_for_each_safe (it, lists[i]) {
			struct job *j = container_of(it, struct job, node);

			if (i == 1 && j->pid > 0)
				kill(-j->pid, SIGKILL);
			job_free(k, j);
		}
	}
	free(k);
}

static struct job *job_new(struct children *k, uint64_t tag)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	list_init(&j->node);
	j->answer.tag = tag;
	j->pipe = -1;
	j->deadline = MONO_NEVER;
	k->jobs++;
	return j;
}

/* ---- in the child ---- */

static void become(uid_t uid, gid_t gid)
{
	if (setgroups(1, &gid) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
		_exit(126);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* What a resolution writes: u32 error of getaddrinfo, u32 errno, then addresses. */
static void resolve_run(const struct children *k, const struct job *j, int out)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG }, *list, *a;
	uint8_t buf[sizeof(j->got)];
	struct wcur c = wcur_of(buf, sizeof(buf));
	struct addr addr;
	uint32_t n = 0;
	int err;

	become(k->config.uid, k->config.gid);
	if (dup2(out, 3) < 0 || close_range(4, ~0u, 0) < 0)
		_exit(126);
	err = getaddrinfo(j->host, NULL, &hints, &list);
	if (err == EAI_NONAME || err == EAI_ADDRFAMILY) {
		/* A machine with nothing but a loopback address still resolves such names. */
		hints.ai_flags = 0;
		err = getaddrinfo(j->host, NULL, &hints, &list);
	}
	wcur_u32(&c, (uint32_t)err);
	wcur_u32(&c, (uint32_t)errno);
	for (a = err ? NULL : list; a && n < KEEPER_ADDRS; a = a->ai_next) {
		if (addr_from_sockaddr(a->ai_addr, a->ai_addrlen, &addr) < 0)
			continue;
		addr.port = j->port;
		addr_save(&c, &addr);
		n++;
	}
	_exit(c.bad || write(3, c.buf, c.len) != (ssize_t)c.len);
}

static void hook_run(const struct job *j)
{
	char program[KEEPER_PATH_MAX];
	char *argv[2] = { program, NULL };

	memcpy(program, j->program, sizeof(program));
	if (chdir("/") < 0)
		_exit(126);
	close_range(3, ~0u, 0);
	execve(program, argv, j->env);
	_exit(127);
}

/* ---- starting and ending ---- */

static void answer_error(struct job *j, int err, const char *what, const char *why)
{
	char shown[120];
	const char *name = j->hook ? j->program : j->host;

	j->answer.error = err;
	snprintf(j->answer.text, sizeof(j->answer.text), "%s %s: %s", what,
		 text_escape(shown, sizeof(shown), name, strlen(name)), why);
}

static void job_finish(struct children *k, struct job *j)
{
	list_drop(&j->node);
	if (j->orphan) {
		job_free(k, j);
		return;
	}
	list_push(&k->done, &j->node);
}

static int job_start(struct children *k, struct job *j, struct mono now)
{
	int ends[2] = { -1, -1 };
	pid_t pid;

	if (!j->hook && pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		if (!j->hook) {
			close(ends[0]);
			close(ends[1]);
		}
		return err;
	}
	if (pid == 0) {
		spawn_fresh();
		if (j->hook)
			hook_run(j);
		resolve_run(k, j, ends[1]);
	}
	setpgid(pid, pid); /* both do it, so it is done for whoever comes first */
	j->pid = pid;
	if (!j->hook) {
		close(ends[1]);
		fcntl(ends[0], F_SETFL, O_NONBLOCK);
		j->pipe = ends[0];
	}
	j->deadline = mono_add(now, j->hook ? k->config.hook_us : k->config.resolve_us);
	return 0;
}

static bool name_runs(const struct children *k, const char *name)
{
	list_for_each (it, &k->running) {
		struct job *j = container_of(it, struct job, node);

		if (j->hook && strcmp(j->answer.name, name) == 0)
			return true;
	}
	return false;
}

/* Start what may start, the oldest first. */
static void start_waiting(struct children *k, struct mono now)
{
	list_for_each_safe (it, &k->waiting) {
		struct job *j = container_of(it, struct job, node);
		int err;

		if (k->running_n >= CHILD_RUNNING_MAX)
			return;
		if (j->hook && name_runs(k, j->answer.name))
			continue;
		list_drop(it);
		err = job_start(k, j, now);
		if (err) {
			answer_error(j, err, "could not start a process for", strerror(-err));
			job_finish(k, j);
			continue;
		}
		list_push(&k->running, it);
		k->running_n++;
	}
}

int child_resolve(struct children *k, struct mono now, uint64_t tag, const char *host,
		  uint16_t port)
{
	struct job *j;

	if (k->jobs >= CHILD_QUEUE_MAX)
		return -EAGAIN;
	j = job_new(k, tag);
	if (!j)
		return -ENOMEM;
	snprintf(j->host, sizeof(j->host), "%s", host);
	j->port = port;
	list_push(&k->waiting, &j->node);
	start_waiting(k, now);
	return 0;
}

/* The environment of a hook in one allocation. */
static char **env_make(const struct keeper_env *envs, uint32_t n)
{
	static const char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
				   "/sbin:/bin";
	size_t size = (n + 2) * sizeof(char *) + sizeof(path);
	char **v, *at;
	uint32_t i;

	for (i = 0; i < n; i++)
		size += envs[i].len + 1u;
	v = malloc(size);
	if (!v)
		return NULL;
	at = (char *)(v + n + 2);
	v[0] = memcpy(at, path, sizeof(path));
	at += sizeof(path);
	for (i = 0; i < n; i++) {
		v[i + 1] = memcpy(at, envs[i].text, envs[i].len);
		at[envs[i].len] = 0;
		at += envs[i].len + 1u;
	}
	v[n + 1] = NULL;
	return v;
}

int child_hook(struct children *k, struct mono now, uint64_t tag, const char *name,
	       const char *program, const struct keeper_env *envs, uint32_t env_count)
{
	struct job *j;

	if (k->jobs >= CHILD_QUEUE_MAX)
		return -EAGAIN;
	j = job_new(k, tag);
	if (!j)
		return -ENOMEM;
	j->hook = j->answer.hook = true;
	snprintf(j->answer.name, sizeof(j->answer.name), "%s", name);
	snprintf(j->program, sizeof(j->program), "%s", program);
	j->env = env_make(envs, env_count);
	if (!j->env) {
		job_free(k, j);
		return -ENOMEM;
	}
	list_push(&k->waiting, &j->node);
	start_waiting(k, now);
	return 0;
}

size_t children_poll(const struct children *k, struct pollfd *fds, size_t cap)
{
	size_t n = 0;

	list_for_each (it, &k->running) {
		const struct job *j = container_of(it, struct job, node);

		if (j->pipe >= 0 && n < cap)
			fds[n++] = (struct pollfd){ .fd = j->pipe, .events = POLLIN };
	}
	return n;
}

struct mono children_deadline(const struct children *k)
{
	struct mono d = MONO_NEVER;

	list_for_each (it, &k->running) {
		d = mono_min(d, container_of(it, struct job, node)->deadline);
	}
	return d;
}

static void pipe_read(struct job *j)
{
	ssize_t n;

	while (j->pipe >= 0) {
		n = read(j->pipe, j->got + j->got_len, sizeof(j->got) - j->got_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(j->pipe);
			j->pipe = -1;
			return;
		}
		j->got_len += (size_t)n;
	}
}

void children_work(struct children *k, struct mono now)
{
	list_for_each (it, &k->running) {
		struct job *j = container_of(it, struct job, node);

		pipe_read(j);
		if (!mono_due(j->deadline, now))
			continue;
		kill(-j->pid, j->termed ? SIGKILL : SIGTERM);
		j->deadline = j->termed ? MONO_NEVER : mono_add(now, GRACE_US);
		j->termed = true;
	}
}

/* What a resolution found. */
static void resolve_end(struct job *j, int status)
{
	struct rcur c = rcur_of(j->got, j->got_len);
	uint32_t err = rcur_u32(&c), sys = rcur_u32(&c);

	if (j->termed || c.bad || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		answer_error(j, -EAGAIN, "could not resolve",
			     j->termed ? "no name server answered in time"
				       : "the resolver process failed");
		return;
	}
	if (err) {
		int code = (int)err == EAI_NONAME ? -ENOENT : -EAGAIN;
		const char *why =
			(int)err == EAI_NONAME ? "there is no such name" : gai_strerror((int)err);

#ifdef EAI_NODATA
		if ((int)err == EAI_NODATA) {
			code = -ENOENT;
			why = "the name has no address";
		}
#endif
		if ((int)err == EAI_SYSTEM)
			why = strerror((int)sys);
		if ((int)err == EAI_AGAIN)
			why = "no name server answers";
		answer_error(j, code, "could not resolve", why);
		return;
	}
	while (rcur_left(&c) > 0 && j->answer.addr_count < KEEPER_ADDRS) {
		struct addr a;

		addr_load(&c, &a);
		if (c.bad || !a.family)
			break;
		j->answer.addrs[j->answer.addr_count++] = a;
	}
	if (j->answer.addr_count == 0)
		answer_error(j, -ENOENT, "could not resolve", "the name has no address");
}

static void hook_end(struct job *j, int status)
{
	char why[64];

	j->answer.status = (uint32_t)status;
	if (j->termed) {
		answer_error(j, -ETIMEDOUT, "hook program", "it took too long and was ended");
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		answer_error(j, -ENOEXEC, "hook program", "it could not be started");
	} else if (WIFSIGNALED(status)) {
		snprintf(why, sizeof(why), "it was ended by signal %d", WTERMSIG(status));
		answer_error(j, -EPIPE, "hook program", why);
	}
}

void children_ending(const struct children *k, pid_t pid)
{
	list_for_each (it, &k->running) {
		const struct job *j = container_of(it, struct job, node);

		if (j->pid == pid && j->termed)
			kill(-pid, SIGKILL); /* what it left behind in its group */
	}
}

bool children_ended(struct children *k, struct mono now, pid_t pid, int status)
{
	list_for_each (it, &k->running) {
		struct job *j = container_of(it, struct job, node);

		if (j->pid != pid)
			continue;
		pipe_read(j);
		if (j->hook)
			hook_end(j, status);
		else
			resolve_end(j, status);
		j->pid = 0;
		k->running_n--;
		job_finish(k, j);
		start_waiting(k, now);
		return true;
	}
	return false;
}

bool children_next(struct children *k, struct child_answer *ret)
{
	struct list *node = k->done.next;
	struct job *j;

	if (list_empty(&k->done))
		return false;
	j = container_of(node, struct job, node);
	*ret = j->answer;
	job_free(k, j);
	return true;
}

void children_orphan(struct children *k)
{
	list_for_each_safe (it, &k->done) {
		job_free(k, container_of(it, struct job, node));
	}
	list_for_each_safe (it, &k->waiting) {
		struct job *j = container_of(it, struct job, node);

		j->orphan = true;
		if (!j->hook)
			job_free(k, j);
	}
	list_for_each (it, &k->running) {
		struct job *j = container_of(it, struct job, node);

		j->orphan = true;
		if (!j->hook)
			kill(-j->pid, SIGKILL);
	}
}

size_t children_hooks(const struct children *k)
{
	size_t n = 0;

	list_for_each (it, &k->waiting) {
		n += container_of(it, struct job, node)->hook;
	}
	list_for_each (it, &k->running) {
		n += container_of(it, struct job, node)->hook;
	}
	return n;
}

/* ---- over an upgrade ---- */

enum { REC_JOB = CARRY_CHILD | CARRY_MUST | 1 };

enum {
	F_TAG = 1, /* u64 */
	F_BITS = 2,
	F_NAME = 3, /* of a hook */
	F_PROGRAM = 4,
	F_ENV = 5, /* may repeat */
	F_HOST = 6,
	F_PORT = 7,
	F_PID = 8, /* 0 = it waits */
	F_FD = 9,
	F_DEADLINE = 10, /* u64 */
	F_GOT = 11
};

#define BIT_HOOK   1u
#define BIT_ORPHAN 2u
#define BIT_TERMED 4u

static void job_carry(const struct job *j, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_JOB);

	wcur_tlv_u64(w, F_TAG, j->answer.tag);
	wcur_tlv_u32(w, F_BITS,
		     (j->hook ? BIT_HOOK : 0) | (j->orphan ? BIT_ORPHAN : 0) |
			     (j->termed ? BIT_TERMED : 0));
	carry_text(c, F_NAME, j->answer.name);
	carry_text(c, F_PROGRAM, j->program);
	carry_text(c, F_HOST, j->host);
	wcur_tlv_u32(w, F_PORT, j->port);
	for (char **env = j->env ? j->env + 1 : NULL; env && *env; env++) /* PATH is put anew */
		carry_text(c, F_ENV, *env);
	wcur_tlv_u32(w, F_PID, (uint32_t)j->pid);
	wcur_tlv_u64(w, F_DEADLINE, (uint64_t)j->deadline.us);
	wcur_tlv_bytes(w, F_GOT, j->got, j->got_len);
	carry_fd(c, F_FD, j->pipe);
	carry_end(c);
}

void children_carry(const struct children *k, struct carry *c)
{
	list_for_each (it, &k->running) {
		job_carry(container_of(it, struct job, node), c);
	}
	list_for_each (it, &k->waiting) {
		job_carry(container_of(it, struct job, node), c);
	}
}

static bool job_field(struct job *j, uint16_t field, struct rcur f)
{
	uint32_t bits;

	switch (field) {
	case F_TAG:
		j->answer.tag = rcur_u64(&f);
		break;
	case F_BITS:
		bits = rcur_u32(&f);
		j->hook = j->answer.hook = bits & BIT_HOOK;
		j->orphan = bits & BIT_ORPHAN;
		j->termed = bits & BIT_TERMED;
		break;
	case F_NAME:
		return carry_text_load(f, j->answer.name, sizeof(j->answer.name));
	case F_PROGRAM:
		return carry_text_load(f, j->program, sizeof(j->program));
	case F_HOST:
		return carry_text_load(f, j->host, sizeof(j->host));
	case F_PORT:
		j->port = (uint16_t)rcur_u32(&f);
		break;
	case F_PID:
		j->pid = (pid_t)rcur_u32(&f);
		break;
	case F_DEADLINE:
		j->deadline.us = (int64_t)rcur_u64(&f);
		break;
	case F_GOT:
		j->got_len = rcur_left(&f);
		if (j->got_len > sizeof(j->got))
			return false;
		rcur_copy(&f, j->got, j->got_len);
		break;
	case F_FD:
		j->pipe = (int)rcur_u32(&f);
		break;
	default:
		break;
	}
	return !f.bad;
}

int children_carried(struct children *k, uint16_t tag, struct rcur v)
{
	struct keeper_env envs[KEEPER_ENVS];
	uint32_t env_n = 0;
	struct job *j;
	struct rcur f;
	uint16_t field;
	bool ok = true;

	if (tag != REC_JOB)
		return 1;
	j = job_new(k, 0);
	if (!j)
		return -ENOMEM;
	while (ok && rcur_tlv(&v, &field, &f)) {
		if (field != F_ENV) {
			ok = job_field(j, field, f);
			continue;
		}
		ok = env_n < KEEPER_ENVS;
		if (ok)
			envs[env_n++] =
				(struct keeper_env){ (const char *)f.p, (uint16_t)rcur_left(&f) };
	}
	if (ok && !v.bad && j->hook)
		j->env = env_make(envs, env_n);
	if (!ok || v.bad || (j->hook && !j->env)) {
		bool memory = ok && !v.bad;

		j->pipe = -1; /* not ours to close: somebody else may have this number */
		job_free(k, j);
		return memory ? -ENOMEM : -EBADMSG;
	}
	list_push(j->pid ? &k->running : &k->waiting, &j->node);
	k->running_n += j->pid != 0;
	return 0;
}
