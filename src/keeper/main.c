/* SPDX-License-Identifier: MIT
 *
 * adit-keeper: the privileged process of adit. It makes and holds what needs rights or must outlive
 * aditd (shared memory, sockets, devices, addresses, routes), starts aditd without any right, and
 * starts it again when it dies; the new one gets the same descriptors, so sessions go on.
 *
 * Theory of operation. One thread, one poll() over signals, the pair to aditd and the pipes of
 * children; nothing blocks but rtnetlink. The life of aditd is in life.c. A stop ends when aditd is
 * gone for good (life_over()) and hooks have had five seconds more; then all that carries our mark
 * is removed.
 *
 * An upgrade replaces this process by a new program: see replace.c.
 *
 * If the keeper itself is killed, aditd is told by the end of the pair; the devices vanish with
 * their last descriptor, addresses and routes are removed by the next start.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "client.h"
#include "daemon/notify.h"
#include "main_int.h"
#include "priv.h"

#define RESOLVE_US (30 * US_S)
#define HOOK_US	   (60 * US_S)
#define ASK_MS	   20000 /* for the keeper that runs to be replaced */

struct mono keeper_main_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

/* ---- signals ---- */

/* None can be made of whom somebody ends again and again; the next keeper has one. */
static void guard_ended(struct keeper_main *k)
{
	k->guard.pid = -1;
	fd_drop(&k->guard.self);
	server_say(
		&k->s, TRACE_WARNING,
		"somebody has ended the process adit-guard: if the keeper dies now, its sessions "
		"leave the kernel one after the other");
}

static void reap(struct keeper_main *k)
{
	siginfo_t ended = { 0 };
	int status;
	pid_t pid;

	/* Looked at before it is waited for: until then its number is no other's. */
	while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       (pid = ended.si_pid) > 0) {
		children_ending(k->s.children, pid);
		ended.si_pid = 0;
		if (waitpid(pid, &status, 0) != pid)
			break;
		if (pid == k->aditd && k->child)
			life_ended(k, status);
		else if (pid == k->guard.pid)
			guard_ended(k);
		else
			children_ended(k->s.children, k->s.now, pid, status);
	}
}

static void reload(struct keeper_main *k)
{
	char err[CONF_ERR_MAX];

	notify_send("RELOADING=1");
	if (server_reload(&k->s, err)) {
		server_say(&k->s, TRACE_NOTICE, "the configuration was read again");
		server_tell_reload(&k->s);
	} else {
		server_say(&k->s, TRACE_WARNING, "the configuration stays as it was: %s", err);
	}
	notify_send("READY=1");
}

static void signals_read(struct keeper_main *k)
{
	struct signalfd_siginfo si;

	while (read(k->signals, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			life_stop(k, 0);
			break;
		case SIGHUP:
			reload(k);
			break;
		case SIGUSR1:
			life_restart(k);
			break;
		case SIGUSR2:
			k->upgrade = true;
			break;
		default: /* SIGCHLD: several may have come as one */
			reap(k);
			break;
		}
	}
}

/* ---- output of children in the background ---- */

static void output_read(struct keeper_main *k)
{
	char buf[2048], *line, *save = NULL;
	ssize_t n = read(k->output[0], buf, sizeof(buf) - 1);

	if (n <= 0)
		return;
	buf[n] = 0;
	if (k->parent >= 0 && write(STDERR_FILENO, buf, (size_t)n) < 0) {
		/* Nobody looks. */
	}
	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		syslog(LOG_NOTICE, "%s", line);
}

static void ready_tell(struct keeper_main *k)
{
	if (k->told_ready || (k->opt.program[0] && !k->s.ready))
		return;
	k->told_ready = true;
	notify_send("READY=1");
	if (k->parent < 0)
		return;
	start_ready(k->parent);
	k->parent = -1;
	if (dup2(k->output[1], STDOUT_FILENO) < 0 || dup2(k->output[1], STDERR_FILENO) < 0)
		server_say(&k->s, TRACE_WARNING, "the output of programs is lost: %s",
			   strerror(errno));
}

/* ---- the gate ---- */

static void gate_read(struct keeper_main *k)
{
	enum gate_call call;
	pid_t pid = 0;
	int fd = -1;

	/* With --run there is an aditd, or there will be one. */
	while ((call = gate_next(k->gate, k->spawn.uid,
				 !k->opt.program[0] && !k->aditd && !k->stopping, &fd, &pid))) {
		if (call == GATE_ADITD)
			life_welcome(k, fd, pid);
		else
			k->upgrade = true;
	}
}

/* ---- the loop ---- */

static struct mono deadline(const struct keeper_main *k)
{
	struct mono d = server_deadline(&k->s);

	d = mono_min(d, ports_deadline(k->s.ports));
	d = mono_min(d, k->start_at);
	d = mono_min(d, k->kill_at);
	if (life_over(k))
		d = mono_min(d, k->hooks_end);
	d = mono_min(d, k->watchdog_at);
	return mono_min(d, log_deadline(k->s.log));
}

static int timeout_ms(const struct keeper_main *k)
{
	struct mono d = deadline(k);
	int64_t us = d.us - k->s.now.us;

	if (d.us == MONO_NEVER.us)
		return -1;
	if (us <= 0)
		return 0;
	return us / US_MS >= INT32_MAX ? INT32_MAX : (int)(us / US_MS) + 1;
}

static void expire(struct keeper_main *k)
{
	struct server *s = &k->s;
	struct timespec ts;

	server_expire(s);
	ports_expire(s->ports, s->now);
	life_expire(k);
	if (life_over(k) && (children_hooks(s->children) == 0 || mono_due(k->hooks_end, s->now)))
		k->done = true;
	if (mono_due(k->watchdog_at, s->now)) {
		notify_send("WATCHDOG=1");
		k->watchdog_at = mono_add(s->now, k->watchdog_us);
	}
	if (mono_due(log_deadline(s->log), s->now)) {
		clock_gettime(CLOCK_REALTIME, &ts);
		log_expire(s->log, s->now, (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000);
	}
}

/* As soon as there may be sessions in the kernel. */
static void guard_keep(struct keeper_main *k)
{
	struct guard_keeps keeps = { .name = net_name(k->s.net) };
	int err;

	if (k->guard.pid || kplane_fd(k->s.plane) < 0)
		return;
	keeps.claim = kplane_claim(k->s.plane, &keeps.groups);
	err = guard_start(&k->guard, &keeps);
	if (!err)
		return;
	k->guard.pid = -1;
	server_say(&k->s, TRACE_WARNING,
		   "no process could be made that clears up after the keeper, should it die: %s",
		   strerror(-err));
}

static bool any_event(const struct pollfd *fds, size_t n)
{
	while (n && !fds[n - 1].revents)
		n--;
	return n;
}

static void loop(struct keeper_main *k)
{
	struct server *s = &k->s;
	struct pollfd fds[5 + GATE_FDS + CHILD_RUNNING_MAX];
	size_t n, gates;

	while (!k->done) {
		guard_keep(k);
		fds[0] = (struct pollfd){ .fd = k->signals, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = s->pair, .events = server_events(s) };
		fds[2] = (struct pollfd){ .fd = k->output[0], .events = POLLIN };
		fds[3] = (struct pollfd){ .fd = kplane_fd(s->plane), .events = POLLIN };
		fds[4] = (struct pollfd){ .fd = ports_fd(s->ports), .events = POLLIN };
		gates = gate_poll(k->gate, fds + 5);
		n = 5 + gates;
		n += children_poll(s->children, fds + n, CHILD_RUNNING_MAX);
		if (poll(fds, n, timeout_ms(k)) < 0 && errno != EINTR)
			break;
		s->now = keeper_main_now();
		if (fds[2].revents)
			output_read(k);
		if (fds[3].revents)
			server_news(s);
		if (fds[4].revents)
			ports_read(s->ports, s->now);
		life_work(k, fds[1].revents != 0);
		if (fds[0].revents)
			signals_read(k);
		if (any_event(fds + 5, gates))
			gate_read(k);
		if (k->upgrade)
			keeper_main_replace(k);
		expire(k);
		server_children(s);
		ready_tell(k);
	}
}

/* ---- start and end ---- */

static void log_begin(struct keeper_main *k)
{
	enum conf_log to = k->s.conf->log_to;

	/* In the background there is no standard error, and under systemd it is the journal. */
	if (k->opt.background && (to == CONF_LOG_AUTO || to == CONF_LOG_STDERR))
		to = CONF_LOG_SYSLOG;
	log_configure(k->s.log, to, k->s.conf->log_level);
}

static bool low_port(const struct conf *c)
{
	size_t i;

	for (i = 0; i < c->socket_count; i++)
		if (c->sockets[i].addr.port && c->sockets[i].addr.port < 1024)
			return true;
	return false;
}

bool keeper_main_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("adit-keeper: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	return false;
}

static bool signals_begin(struct keeper_main *k)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signals >= 0 || keeper_main_fail("signals: %s", strerror(errno));
}

static bool user_begin(struct keeper_main *k, bool resume, gid_t *ret_group)
{
	struct server *s = &k->s;
	char text[PRIV_TEXT];
	bool found;

	if (priv_user(s->conf->user, &k->spawn.uid, &k->spawn.gid, &found, text) < 0)
		return keeper_main_fail("%s", text);
	/* Whom nobody's group holds is nobody's business. */
	*ret_group = found ? k->spawn.gid : 0;
	if (resume)
		return true; /* it was said already */
	if (!found)
		server_say(s, TRACE_WARNING,
			   "there is no user %s: aditd runs as nobody; make one with: adduser "
			   "--system --group %s",
			   s->conf->user, s->conf->user);
	if (k->spawn.uid == 0)
		server_say(s, TRACE_WARNING,
			   "aditd runs as %s: without capabilities, but every file of root is its "
			   "own; better give it a user of its own",
			   s->conf->user);
	return true;
}

static void former_waited(void *arg)
{
	struct keeper_main *k = arg;

	k->former_died = true;
	server_say(&k->s, TRACE_NOTICE,
		   "the keeper before this one has died: waiting until its sessions have left the "
		   "kernel");
}

/* The number of this keeper in its network namespace. */
static bool number_begin(struct keeper_main *k)
{
	struct server *s = &k->s;
	bool took = net_take(s->net, s->conf->groups, former_waited, k), keeper;
	const char *taken = net_taken(s->net, &keeper);

	if (!took)
		return keeper_main_fail(
			"all %u names that adit-keepers of one network namespace can have are "
			"taken: %s; `ss -xap` shows who has @adit-keeper-2 to @adit-keeper-%u: end "
			"one of them",
			NET_NUMBERS, taken, NET_NUMBERS);
	if (net_number(s->net) == s->conf->groups)
		return true;
	if (keeper)
		server_say(
			s, TRACE_INFO,
			"another adit-keeper runs in this network namespace; routes and addresses "
			"of this one have the protocol number %u",
			net_proto(s->net));
	else
		server_say(s, TRACE_WARNING,
			   "%s, so routes and addresses of this adit-keeper have the protocol "
			   "number %u instead of %u; `ss -xap` shows who has the name: end it, and "
			   "start adit-keeper again",
			   taken, net_proto(s->net), KERNEL_PROTO(s->conf->groups));
	return true;
}

/* Everything is new: nothing of ours is there, but what a former run has left. */
static bool parts_make(struct keeper_main *k, gid_t group)
{
	struct server *s = &k->s;
	const struct timespec tick = { .tv_nsec = 100000000 };
	char text[HOLD_TEXT], why[256];
	bool left = false;
	uint32_t swept;
	int err;

	if (!number_begin(k))
		return false;
	err = hold_new(s->conf, 0, group, &s->hold, text);
	/* Its aditd has been told, and is about to end. */
	for (int i = 0; err == -EADDRINUSE && k->former_died && i < 100; i++) {
		nanosleep(&tick, NULL);
		err = hold_new(s->conf, 0, group, &s->hold, text);
	}
	if (err < 0)
		return keeper_main_fail("%s", text);
	if (gate_new(s->conf->control, group, &k->gate, &left, text) < 0) {
		if (!k->opt.program[0])
			return keeper_main_fail("%s", text);
		server_say(s, TRACE_WARNING, "%s; `adit-keeper --upgrade` cannot be used", text);
	}
	k->former_died |= left;
	swept = net_sweep_all(s->net) + net_sweep_dead(s->net);
	if (swept)
		server_say(s, TRACE_NOTICE,
			   "removed %u addresses, routes and interfaces of a former run", swept);
	s->incarnation = start_incarnation(s->conf->state_dir, why, sizeof(why));
	if (why[0])
		server_say(s, TRACE_WARNING,
			   "the number of starts cannot be kept (%s); the time is used instead",
			   why);
	return true;
}

/* `resume`: they are filled by records of a former keeper. */
static bool parts_begin(struct keeper_main *k, bool resume)
{
	struct server *s = &k->s;
	struct children_config children = { .resolve_us = RESOLVE_US, .hook_us = HOOK_US };
	gid_t group = 0;

	if (!user_begin(k, resume, &group))
		return false;
	s->net = net_open();
	if (!s->net)
		return keeper_main_fail("could not open rtnetlink: %s", strerror(errno));
	children.uid = k->spawn.uid;
	children.gid = k->spawn.gid;
	s->children = children_new(&children);
	if (!s->children)
		return keeper_main_fail("out of memory");
	if (!resume)
		return parts_make(k, group);
	s->hold = hold_blank();
	k->gate = gate_blank();
	return (s->hold && k->gate) || keeper_main_fail("out of memory");
}

/* A reload comes when the working directory may be another. */
static bool absolute(char *path, size_t cap)
{
	char dir[512];
	size_t n, m = strlen(path);

	if (path[0] == '/')
		return true;
	if (!getcwd(dir, sizeof(dir) - 1))
		return false;
	n = strlen(dir);
	dir[n++] = '/';
	if (n + m >= cap)
		return false;
	memmove(path + n, path, m + 1);
	memcpy(path, dir, n);
	return true;
}

static bool background_begin(struct keeper_main *k)
{
	if (!k->opt.background)
		return true;
	openlog("adit", LOG_PID, LOG_DAEMON);
	if (k->opt.resume >= 0 || k->opt.check >= 0)
		return true; /* we are there already */
	if (pipe2(k->output, O_CLOEXEC | O_NONBLOCK) < 0)
		return keeper_main_fail("a pipe: %s", strerror(errno));
	/* Writers wait when the keeper is slow. */
	fcntl(k->output[1], F_SETFL, 0);
	k->parent = start_background();
	return k->parent >= 0 || keeper_main_fail("the background: %s", strerror(-k->parent));
}

static bool conf_begin(struct keeper_main *k)
{
	char err[CONF_ERR_MAX];

	if (geteuid() != 0)
		return keeper_main_fail(
			"must be started as root; it gives up what it does not need");
	if (!absolute(k->opt.conf, sizeof(k->opt.conf)) ||
	    (k->opt.program[0] && !absolute(k->opt.program, sizeof(k->opt.program))))
		return keeper_main_fail("a path is too long");
	k->s.conf = conf_load(k->opt.conf, CONF_NO_FILES, err, sizeof(err));
	if (!k->s.conf)
		return keeper_main_fail("%s", err);
	if (k->opt.program[0] && access(k->opt.program, X_OK) < 0)
		return keeper_main_fail("%s: %s", k->opt.program, strerror(errno));
	return true;
}

static void say_room(void *arg, const char *text)
{
	server_say(arg, TRACE_WARNING, "%s", text);
}

static bool own_link(void *arg, const struct nlm_link *l)
{
	const struct server *s = arg;
	uint16_t groups;

	kplane_claim(s->plane, &groups);
	return l->group == net_group(s->net) || (groups && l->group >> 16 == groups);
}

static void say_port(void *arg, enum trace_level level, const char *text)
{
	server_say(arg, level, "%s", text);
}

static bool begin(struct keeper_main *k)
{
	struct server *s = &k->s;
	int state = k->opt.resume >= 0 ? k->opt.resume : k->opt.check;
	uint32_t proto = KEEPER_MAGIC;

	if (!conf_begin(k) || !background_begin(k))
		return false;
	s->log = log_new("adit-keeper", STDERR_FILENO);
	if (!s->log)
		return keeper_main_fail("out of memory");
	log_begin(k);
	s->since = s->now = keeper_main_now();
	start_self(k->self, sizeof(k->self));
	if (!signals_begin(k) || !parts_begin(k, state >= 0))
		return false;
	k->spawn.program = k->opt.program[0] ? k->opt.program : k->opt.finisher;
	k->spawn.conf_path = k->opt.conf;
	/* Of a former keeper the plane has them, and the right to enter is gone. */
	s->rooms = state >= 0 ? NULL : rooms_open(s->conf, say_room, s);
	if (state < 0)
		hold_rooms(s->hold, s->conf, say_room, s);
	if (priv_drop(low_port(s->conf)) < 0)
		return keeper_main_fail("could not give up rights");
	/* Rights belong to threads: those of the plane are made with what is left. */
	if (!server_plane(s, state >= 0))
		return keeper_main_fail("out of memory");
	if (k->former_died)
		server_say(
			s, TRACE_NOTICE,
			"the keeper before this one has died; nothing of its sessions is left in "
			"the kernel");
	k->start_at = k->opt.program[0] ? s->now : MONO_NEVER;
	if (state >= 0 && !keeper_main_load(k, state, &proto))
		return false;
	if (k->opt.check >= 0)
		_exit(0); /* it can be done; nothing was done */
	s->ports = ports_new(s->net, own_link, say_port, s);
	if (!s->ports)
		return keeper_main_fail("out of memory");
	ports_conf(s->ports, s->conf, s->now);
	hold_reload(s->hold, s->conf, s->starts); /* it was read anew */
	k->spawn.log_fd = k->output[1];
	if (state >= 0) {
		close(state);
		keeper_main_resumed(k, proto);
	}
	k->watchdog_us = notify_watchdog();
	if (k->watchdog_us)
		k->watchdog_at = s->now;
	return true;
}

static void end(struct keeper_main *k)
{
	struct server *s = &k->s;
	struct timespec ts;

	rooms_close(s->rooms);
	ports_free(s->ports);
	kplane_free(s->plane); /* says what it has to say through the log and net */
	if (s->net && s->hold) {
		hold_tun_sweep(s->hold, s->net, UINT32_MAX);
		net_sweep_all(s->net);
	}
	children_free(s->children);
	gate_free(k->gate);
	fd_drop(&k->aditd_fd);
	fd_drop(&k->former_fd);
	hold_free(s->hold);
	net_close(s->net);
	guard_end(&k->guard);
	conf_free(s->former);
	conf_free(s->conf);
	clock_gettime(CLOCK_REALTIME, &ts);
	if (s->log)
		log_free(s->log, (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000);
}

/* --upgrade: root asks the keeper that runs. Exit status. */
static int upgrade_ask(const char *path)
{
	char err[CONF_ERR_MAX];
	struct conf *c = conf_load(path, CONF_NO_FILES, err, sizeof(err));
	struct keeper *keeper = NULL;
	struct keeper_done done;
	int fd, rc;
	uint32_t id;

	if (!c)
		return !keeper_main_fail("%s", err);
	fd = keeper_connect(c->control);
	rc = fd < 0 ? fd : 0;
	if (rc < 0)
		keeper_main_fail("no keeper answers at %s.keeper: %s", c->control, strerror(-rc));
	else if (!(keeper = keeper_open(fd, &rc)))
		close(fd);
	conf_free(c);
	if (!keeper)
		return 1;
	if (keeper_upgrade(keeper, 0, &id) < 0 || keeper_wait(keeper, id, ASK_MS, &done) < 0 ||
	    done.error == -ECONNRESET)
		rc = !keeper_main_fail("the keeper did not answer; its log says more");
	else if (done.error)
		rc = !keeper_main_fail("the keeper could not be replaced and goes on as it is: %s",
				       done.text);
	else
		puts(done.text);
	keeper_close(keeper);
	return rc;
}

int main(int argc, char **argv)
{
	struct keeper_main *k = calloc(1, sizeof(*k));
	int status;

	if (!k)
		return 1;
#ifdef M_ARENA_MAX
	/* What the plane's threads allocate is freed by the main one: an arena for each of them
	 * would keep hundreds of octets a session that nobody uses. */
	mallopt(M_ARENA_MAX, 1);
	/* Each reading of the counters takes an array that is as long as there are sessions, for a
	 * moment. It is given back to the system; otherwise the limit would rise to its size after
	 * the first, and the heap keep a hole for it. */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
	k->s.pair = k->signals = k->parent = k->output[0] = k->output[1] = -1;
	k->aditd_fd = k->former_fd = -1;
	k->start_at = k->kill_at = k->hooks_end = k->watchdog_at = k->s.sweep_at = MONO_NEVER;
	list_init(&k->s.out);
	status = start_options(argc, argv, &k->opt);
	if (status < 0 && k->opt.upgrade)
		status = upgrade_ask(k->opt.conf);
	if (status >= 0) {
		free(k);
		return status;
	}
#ifdef ADIT_FAULTS
	fault_open(0);
#endif
	/* What a former keeper has left open for us is not for our children. */
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	if (begin(k)) {
		loop(k);
		status = k->status;
	} else {
		status = 1;
		if (k->opt.check >= 0)
			_exit(status); /* what it knows of is not its own */
	}
	end(k);
	free(k);
	return status;
}
