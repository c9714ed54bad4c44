/* SPDX-License-Identifier: MIT
 *
 * adit-keeper: the privileged process of adit. It makes and holds what needs rights or must outlive
 * aditd (shared memory, sockets, devices, addresses, routes), starts aditd without any right, and
 * starts it again when it dies; the new one gets the same descriptors, so sessions go on.
 *
 * Theory of operation. One thread, one poll() over signals, the pair to aditd and the pipes of
 * children; nothing blocks but rtnetlink. aditd is in one of three states: running (pid), waiting
 * to be started (start_at), or gone for good (stopping). Stopping: aditd is asked to end its
 * sessions (SIGTERM) and killed after ten seconds, later while it says that it tells its peers one
 * after the other (STOPPING). One that dies before it is done is started again, as one that was
 * away when the stop began, and is asked as soon as it serves. Hooks get five seconds more, then
 * all that carries our mark is removed.
 *
 * aditd is a child (--run), or a process that systemd has started and that came to the keeper's own
 * socket (gate.h); then its end is the end of the connection, and nobody here starts the next.
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

#include "client.h"
#include "daemon/notify.h"
#include "main_int.h"
#include "priv.h"

#define STOP_US	      (10 * US_S) /* for aditd to end its sessions */
#define STOP_HOOKS_US (5 * US_S)
#define STOP_START_US (60 * US_S)  /* for the next aditd to serve: only then it can be asked */
#define STOP_SLACK_US (120 * US_S) /* beside what a stop with a pace takes */
#define STOP_DEATHS   3		   /* of aditd during a stop: then who is left stays untold */
#define RESTART_US    (2 * US_S)   /* for aditd to end when it shall be replaced */
#define RESOLVE_US    (30 * US_S)
#define HOOK_US	      (60 * US_S)
#define SETTLE_US     (5 * US_S) /* for the kernel's plane to finish before an upgrade */
#define FORMER_MS     1000	 /* for a killed process to end */
#define ASK_MS	      20000	 /* for the keeper that runs to be replaced */
#define HOPELESS      4		 /* starts in a row that never came to serve */
#define UNUSABLE      2 /* exit status of aditd: its options or configuration cannot be used */

struct mono keeper_main_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

/* ---- aditd ---- */

/* It maps the journal when it begins, so this is the time to change it. */
static void journal_renew(struct keeper_main *k)
{
	char text[HOLD_TEXT] = "";
	int rc = hold_journal_renew(k->s.hold, k->s.conf, text);

	if (rc || text[0])
		server_say(&k->s, rc > 0 ? TRACE_NOTICE : TRACE_WARNING, "%s", text);
}

static void fd_drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void aditd_signal(const struct keeper_main *k, int sig)
{
	if (k->aditd_fd >= 0)
		syscall(SYS_pidfd_send_signal, k->aditd_fd, sig, NULL, 0);
	else if (k->aditd > 0 && k->child)
		kill(k->aditd, sig); /* nobody else has its number before it was waited for */
}

/* There must never be two that write the journal. Who hung up is about to end, or was taken over.
 */
static void former_end(struct keeper_main *k)
{
	struct pollfd p = { .fd = k->former_fd, .events = POLLIN };

	if (k->former_fd < 0)
		return;
	if (poll(&p, 1, 0) == 0) {
		server_say(&k->s, TRACE_WARNING,
			   "the former aditd has hung up but still runs: it is ended");
		syscall(SYS_pidfd_send_signal, k->former_fd, SIGKILL, NULL, 0);
		poll(&p, 1, FORMER_MS);
	}
	fd_drop(&k->former_fd);
}

/* Is aditd to end its sessions? */
static bool ends(const struct keeper_main *k)
{
	return k->stopping || k->finishing;
}

/* Ask aditd to end its sessions. One that does not serve yet would just end: it is asked later, but
 * for the very first, which has no session. */
static void stop_tell(struct keeper_main *k)
{
	if (k->s.pair < 0)
		return; /* it has hung up, and is about to end: the next one is told */
	if (k->s.ever_ready && !k->s.ready) {
		k->kill_at = mono_add(k->s.now, STOP_START_US);
		notify_send("EXTEND_TIMEOUT_USEC=90000000");
		return;
	}
	k->told = true;
	aditd_signal(k, SIGTERM);
	k->kill_at = mono_add(k->s.now, STOP_US);
}

static void stop_give_up(struct keeper_main *k, const char *why)
{
	server_say(&k->s, TRACE_WARNING,
		   "%s while it told the peers that we stop: giving up; who was not told yet has "
		   "to find out, and has no stop record",
		   why);
	k->given_up = true;
	k->start_at = MONO_NEVER;
	k->hooks_end = mono_add(k->s.now, STOP_HOOKS_US);
}

/* What aditd has to say. False: the pair is broken. */
static bool aditd_hear(struct keeper_main *k)
{
	bool whole = server_work(&k->s);

	k->owed = (k->owed || k->s.ready) && !k->s.stopped;
	return whole;
}

static void aditd_start(struct keeper_main *k)
{
	struct server *s = &k->s;
	int pair;
	pid_t pid;

	if (k->aditd)
		return; /* there must never be two that write the journal */
	journal_renew(k);
	pid = spawn_aditd(&k->spawn, &pair);
	k->start_at = MONO_NEVER;
	if (pid < 0) {
		server_say(s, TRACE_WARNING, "could not start %s: %s", k->spawn.program,
			   strerror((int)-pid));
		k->start_at = mono_add(s->now, SPAWN_MOST_WAIT_US);
		if (k->stopping && ++k->stop_deaths >= STOP_DEATHS)
			stop_give_up(k, "aditd could not be started again");
		return;
	}
	k->aditd = pid;
	k->child = true;
	k->aditd_fd = spawn_pidfd(pid, pair, true);
	k->kill_at = MONO_NEVER;
	k->replacing = k->told = k->told_again = false;
	backoff_started(&k->backoff, s->now);
	server_begin(s, pair);
	server_say(s, TRACE_INFO, "started %s, process %d", k->spawn.program, (int)pid);
	if (ends(k))
		stop_tell(k);
}

/* Who comes from elsewhere has gone, or is away, and peers were not told that we stop: have one of
 * our own tell them. False: there is none, or too many have died. */
static bool stop_finish(struct keeper_main *k)
{
	if (!k->owed || k->given_up || k->opt.program[0] || !k->opt.finisher[0])
		return false;
	if (++k->stop_deaths > STOP_DEATHS) {
		stop_give_up(k, "aditd died again and again");
		return false;
	}
	former_end(k);
	aditd_start(k);
	if (!k->aditd && !k->stopping)
		k->start_at = MONO_NEVER; /* the next one comes from elsewhere */
	return k->aditd != 0;
}

/* One that somebody else has started is at the gate. */
static void aditd_welcome(struct keeper_main *k, int pair, pid_t pid)
{
	former_end(k);
	journal_renew(k);
	k->aditd_fd = spawn_pidfd(pid, pair, false);
	k->aditd = k->aditd_fd >= 0 ? pid : -1;
	k->child = false;
	k->start_at = k->kill_at = MONO_NEVER;
	k->replacing = k->told = k->told_again = false;
	server_begin(&k->s, pair);
	server_say(&k->s, TRACE_INFO, "aditd has come, process %d", (int)pid);
}

static void stop_begin(struct keeper_main *k, int status)
{
	/* Asked twice: all peers at once. */
	if (k->stopping && !k->hurry && (k->emptying || (k->aditd && !k->told))) {
		k->emptying = false;
		k->hurry = true;
		if (!k->told)
			return;
		k->told_again = true;
		aditd_signal(k, SIGTERM);
		k->kill_at = mono_add(k->s.now, STOP_US);
		return;
	}
	if (k->stopping) { /* somebody is in a hurry */
		k->given_up = true;
		k->start_at = MONO_NEVER;
		aditd_signal(k, SIGKILL);
		k->hooks_end = k->s.now;
		return;
	}
	k->stopping = true;
	k->stop_until = MONO_NEVER;
	k->status = status;
	k->start_at = MONO_NEVER;
	notify_send("STOPPING=1");
	if (k->aditd && !(k->finishing && k->told))
		stop_tell(k);
	else if (!k->aditd && k->s.ever_ready && k->opt.program[0])
		aditd_start(k); /* it was about to come: sessions wait for it */
	else if (!k->aditd && !stop_finish(k))
		k->hooks_end = mono_add(k->s.now, STOP_HOOKS_US);
}

/* How long a stop may take: as many as there may be, at the pace of the configuration; without one,
 * what it takes to have them out of the kernel. */
static int64_t stop_most_us(const struct conf *c)
{
	uint64_t most = (uint64_t)c->access->max_sessions + c->access->max_tunnels +
			2 * (uint64_t)c->pw->wire_count;

	if (!c->stop_rate)
		return STOP_SLACK_US;
	most += most / 4; /* as the journal has room for */
	return (int64_t)(most / c->stop_rate) * US_S + STOP_SLACK_US;
}

/* aditd has more to tell than ten seconds are enough for. It cannot put off its end by that for
 * longer than its pace takes for all there may be, or two minutes where the configuration has none,
 * nor when somebody is in a hurry. */
static void patience(struct keeper_main *k)
{
	const struct conf *c = k->s.conf;

	k->s.patience = false;
	if (!ends(k) || !k->aditd || !k->told)
		return;
	if (k->stop_until.us == MONO_NEVER.us)
		k->stop_until = mono_add(k->s.now, stop_most_us(c));
	if (k->hurry && !k->told_again) { /* it is not the one that was asked twice */
		k->told_again = true;
		aditd_signal(k, SIGTERM);
	}
	if (k->hurry || mono_due(k->stop_until, k->s.now))
		return;
	k->emptying = c->stop_rate != 0;
	k->kill_at = mono_add(k->s.now, k->emptying ? SERVE_PATIENCE_US : STOP_US);
	notify_send("EXTEND_TIMEOUT_USEC=60000000");
}

/* aditd has ended while we stop. True: the next one was started, to tell the rest. */
static bool stop_again(struct keeper_main *k, int status)
{
	bool asked = WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGTERM;

	/* Who was to be replaced has ended without a word to the peers. */
	if (k->given_up || !k->s.ever_ready || (asked && !k->replacing))
		return false;
	if (!asked && ++k->stop_deaths >= STOP_DEATHS) {
		stop_give_up(k, "aditd died again and again");
		return false;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNUSABLE) {
		stop_give_up(k, "the next aditd could not use its configuration");
		return false;
	}
	if (!asked)
		server_say(&k->s, TRACE_WARNING,
			   "aditd died while it told the peers that we stop; it is started again "
			   "to tell the rest");
	aditd_start(k);
	return true;
}

static void say_ended(struct keeper_main *k, int status, struct mono again)
{
	int64_t wait_ms = (again.us - k->s.now.us) / US_MS;
	char how[64], when[64] = "at once";

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		server_say(&k->s, TRACE_WARNING,
			   "the sandbox has ended aditd because it made a system call that is not "
			   "on its list: %s; somebody may have taken it over through a packet, or "
			   "the list lacks a call: please report this line; `sandbox = no` in %s "
			   "starts aditd without",
			   k->s.forbidden[0] ? k->s.forbidden : "one that could not be named",
			   k->s.conf->path);
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
	if (wait_ms > 0)
		snprintf(when, sizeof(when), "in %lld ms", (long long)wait_ms);
	server_say(&k->s, TRACE_WARNING, "aditd %s; %sit is started again %s", how,
		   k->s.ever_ready ? "sessions are kept, " : "", when);
}

/* The one that finishes a stop, while we do not stop ourselves. */
static void finish_ended(struct keeper_main *k, int status)
{
	if (!k->owed) {
		server_say(&k->s, TRACE_NOTICE, "the peers were told, and all sessions have ended");
	} else if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) &&
		   k->stop_deaths < STOP_DEATHS && stop_finish(k)) {
		return;
	} else {
		server_say(
			&k->s, TRACE_WARNING,
			"the stop of aditd could not be finished, its log says why: sessions and "
			"records are kept until the next one comes, or the keeper is stopped");
	}
	k->finishing = false;
	k->stop_deaths = 0;
}

static void aditd_ended(struct keeper_main *k, int status)
{
	struct server *s = &k->s;
	bool served = s->ready;

	if (s->pair >= 0)
		aditd_hear(k); /* what it still had to say */
	server_end(s);
	k->aditd = 0;
	k->emptying = false;
	fd_drop(&k->aditd_fd);
	k->kill_at = MONO_NEVER;
	if (k->stopping) {
		if (!stop_again(k, status))
			k->hooks_end = mono_add(s->now, STOP_HOOKS_US);
		return;
	}
	if (k->finishing) {
		finish_ended(k, status);
		return;
	}
	if (k->replacing) {
		server_say(s, TRACE_NOTICE, "aditd ended to be replaced");
		k->start_at = s->now;
		return;
	}
	if (!s->ever_ready && WIFEXITED(status) && WEXITSTATUS(status) == UNUSABLE) {
		server_say(s, TRACE_WARNING, "aditd cannot be started like this, it has said why");
		stop_begin(k, 1);
		return;
	}
	k->start_at = backoff_next(&k->backoff, s->now);
	if (!s->ever_ready && !served && k->backoff.short_lives >= HOPELESS) {
		server_say(s, TRACE_WARNING,
			   "aditd ended %u times before it served anybody: giving up",
			   k->backoff.short_lives);
		stop_begin(k, 1);
		return;
	}
	say_ended(k, status, k->start_at);
}

/* One that is no child of ours: the connection has ended. */
static void aditd_left(struct keeper_main *k)
{
	bool unfinished = k->s.stops && !k->s.stopped && !k->replacing;

	server_end(&k->s);
	k->aditd = 0;
	k->emptying = false;
	fd_drop(&k->former_fd);
	k->former_fd = k->aditd_fd;
	k->aditd_fd = -1;
	k->kill_at = MONO_NEVER;
	if (k->stopping || unfinished) {
		if (k->owed)
			server_say(&k->s, TRACE_WARNING,
				   "aditd died while it told the peers that it stops");
		k->finishing = !k->stopping;
		k->stop_until = MONO_NEVER;
		if (stop_finish(k))
			return;
		k->finishing = false;
		if (k->stopping)
			k->hooks_end = mono_add(k->s.now, STOP_HOOKS_US);
		else
			k->stop_deaths = 0;
	} else
		server_say(&k->s, k->replacing ? TRACE_NOTICE : TRACE_WARNING,
			   "aditd has gone; sessions are kept until the next one comes");
}

void keeper_main_restart(struct keeper_main *k)
{
	if (!k->aditd || ends(k))
		return;
	aditd_signal(k, SIGUSR1); /* end, but not the sessions */
	k->replacing = true;
	k->kill_at = mono_add(k->s.now, RESTART_US);
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
			aditd_ended(k, status);
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
			stop_begin(k, 0);
			break;
		case SIGHUP:
			reload(k);
			break;
		case SIGUSR1:
			keeper_main_restart(k);
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
			aditd_welcome(k, fd, pid);
		else
			k->upgrade = true;
	}
}

/* ---- the loop ---- */

/* Is aditd gone for good, so that nothing but hooks is waited for? */
static bool hooks_only(const struct keeper_main *k)
{
	return k->stopping && !k->aditd && k->start_at.us == MONO_NEVER.us;
}

static struct mono deadline(const struct keeper_main *k)
{
	struct mono d = server_deadline(&k->s);

	d = mono_min(d, k->start_at);
	d = mono_min(d, k->kill_at);
	if (hooks_only(k))
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
	if (mono_due(k->kill_at, s->now)) {
		k->kill_at = MONO_NEVER;
		if (k->s.pair < 0)
			k->given_up = k->stopping && k->told; /* it hung up when it was done */
		else if (k->stopping)
			stop_give_up(k, "aditd did not end in time");
		aditd_signal(k, SIGKILL);
		if (k->aditd && !k->child)
			aditd_left(k);
	}
	if (mono_due(k->start_at, s->now))
		aditd_start(k);
	if (hooks_only(k) && (children_hooks(s->children) == 0 || mono_due(k->hooks_end, s->now)))
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

static void pair_broken(struct keeper_main *k)
{
	/* It is about to die; if it only closed the pair, it is of no use any more. */
	if (!k->child) {
		aditd_left(k);
		return;
	}
	server_end(&k->s);
	k->kill_at = mono_min(k->kill_at, mono_add(k->s.now, RESTART_US));
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
	struct pollfd fds[4 + GATE_FDS + CHILD_RUNNING_MAX];
	size_t n, gates;

	while (!k->done) {
		guard_keep(k);
		fds[0] = (struct pollfd){ .fd = k->signals, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = s->pair, .events = server_events(s) };
		fds[2] = (struct pollfd){ .fd = k->output[0], .events = POLLIN };
		fds[3] = (struct pollfd){ .fd = kplane_fd(s->plane), .events = POLLIN };
		gates = gate_poll(k->gate, fds + 4);
		n = 4 + gates;
		n += children_poll(s->children, fds + n, CHILD_RUNNING_MAX);
		if (poll(fds, n, timeout_ms(k)) < 0 && errno != EINTR)
			break;
		s->now = keeper_main_now();
		if (fds[2].revents)
			output_read(k);
		if (fds[3].revents)
			server_news(s);
		if (s->pair >= 0 && fds[1].revents && !aditd_hear(k))
			pair_broken(k);
		if (s->patience)
			patience(k);
		if (ends(k) && k->aditd && !k->told && s->ready)
			stop_tell(k);
		if (fds[0].revents)
			signals_read(k);
		if (any_event(fds + 4, gates))
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

/* Everything is new: nothing of ours is there, but what a former run has left. */
static bool parts_make(struct keeper_main *k, gid_t group)
{
	struct server *s = &k->s;
	const struct timespec tick = { .tv_nsec = 100000000 };
	char text[HOLD_TEXT], why[256];
	bool left = false;
	uint32_t swept;
	int err;

	net_take(s->net, s->conf->groups, former_waited, k);
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
	if (net_number(s->net) != s->conf->groups || !net_alone(s->net))
		server_say(
			s, TRACE_INFO,
			"another adit-keeper runs in this network namespace; routes and addresses "
			"of this one have the protocol number %u",
			net_proto(s->net));
	swept = net_sweep_all(s->net);
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
	if (k->former_died && net_alone(s->net))
		server_say(
			s, TRACE_NOTICE,
			"the keeper before this one has died; nothing of its sessions is left in "
			"the kernel");
	k->start_at = k->opt.program[0] ? s->now : MONO_NEVER;
	if (state >= 0 && !keeper_main_load(k, state, &proto))
		return false;
	if (k->opt.check >= 0)
		_exit(0); /* it can be done; nothing was done */
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
