/* SPDX-License-Identifier: MIT
 *
 * The life of aditd, as the keeper sees it: started, heard, restarted, asked to stop, killed.
 *
 * Theory of operation. aditd is in one of three states: running (pid), waiting to be started
 * (start_at), or gone for good (stopping). Stopping: aditd is asked to end its sessions (SIGTERM)
 * and killed after ten seconds, later while it says that it tells its peers one after the other
 * (STOPPING). One that dies before it is done is started again, as one that was away when the stop
 * began, and is asked as soon as it serves.
 *
 * aditd is a child (--run), or a process that systemd has started and that came to the keeper's own
 * socket (gate.h); then its end is the end of the connection, and nobody here starts the next, but
 * to finish a stop in which it died.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "daemon/notify.h"
#include "main_int.h"

#define STOP_US	      (10 * US_S) /* for aditd to end its sessions */
#define STOP_HOOKS_US (5 * US_S)
#define STOP_START_US (60 * US_S)   /* for the next aditd to serve: only then it can be asked */
#define STOP_SLACK_US (120 * US_S)  /* beside what a stop with a pace takes */
#define STOP_CLOSE_US (100 * US_MS) /* for a session to leave the kernel, all alone */
#define STOP_DEATHS   3		    /* of aditd during a stop: then who is left stays untold */
#define RESTART_US    (2 * US_S)    /* for aditd to end when it shall be replaced */
#define FORMER_MS     1000	    /* for a killed process to end */
#define HOPELESS      4		    /* starts in a row that never came to serve */
#define UNUSABLE      2 /* exit status of aditd: its options or configuration cannot be used */

/* It reads the configuration when it begins. What we had before would be refused to it, or taken
 * for what is wanted. */
static void conf_renew(struct keeper_main *k)
{
	char text[CONF_ERR_MAX];
	bool is_new;

	if (!server_refresh(&k->s, &is_new, text))
		server_say(&k->s, TRACE_WARNING, "the configuration stays as it was: %s", text);
	else if (is_new)
		server_say(&k->s, TRACE_NOTICE, "the configuration was read again");
}

/* It maps the journal when it begins, so this is the time to change it. */
static void journal_renew(struct keeper_main *k)
{
	char text[HOLD_TEXT] = "";
	int rc = hold_journal_renew(k->s.hold, k->s.conf, text);

	if (rc || text[0])
		server_say(&k->s, rc > 0 ? TRACE_NOTICE : TRACE_WARNING, "%s", text);
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

/* ... all that are left at once. Another signal than the first, which may still be on its way. */
static void hurry_tell(struct keeper_main *k)
{
	k->told_again = true;
	aditd_signal(k, SIGINT);
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
	conf_renew(k);
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
void life_welcome(struct keeper_main *k, int pair, pid_t pid)
{
	former_end(k);
	conf_renew(k);
	journal_renew(k);
	k->aditd_fd = spawn_pidfd(pid, pair, false);
	k->aditd = k->aditd_fd >= 0 ? pid : -1;
	k->child = false;
	k->start_at = k->kill_at = MONO_NEVER;
	k->replacing = k->told = k->told_again = false;
	server_begin(&k->s, pair);
	server_say(&k->s, TRACE_INFO, "aditd has come, process %d", (int)pid);
}

void life_stop(struct keeper_main *k, int status)
{
	/* Asked twice where there is a pace: all peers at once. */
	if (k->stopping && !k->hurry && k->aditd && (k->s.conf->stop_rate || !k->told)) {
		k->hurry = true;
		k->stop_until = MONO_NEVER;
		if (k->told)
			hurry_tell(k);
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

/* How long a stop may take: what it takes to have them out of the kernel, and, if there is a pace,
 * as many as there may be at that pace. */
static int64_t stop_most_us(const struct keeper_main *k)
{
	const struct conf *c = k->s.conf;
	uint64_t most = (uint64_t)c->access->max_sessions + c->access->max_tunnels +
			2 * (uint64_t)c->pw->wire_count;
	uint32_t tunnels, sessions;
	int64_t us;

	kplane_counts(k->s.plane, &tunnels, &sessions);
	us = STOP_SLACK_US + sessions * STOP_CLOSE_US;
	most += most / 4; /* as the journal has room for */
	return c->stop_rate && !k->hurry ? us + (int64_t)(most / c->stop_rate) * US_S : us;
}

/* aditd has more to tell than ten seconds are enough for. It cannot put off its end by that for
 * longer than stop_most_us(), counted once more when somebody is in a hurry. */
static void patience(struct keeper_main *k)
{
	const struct conf *c = k->s.conf;

	k->s.patience = false;
	if (!ends(k) || !k->aditd || !k->told)
		return;
	if (k->stop_until.us == MONO_NEVER.us)
		k->stop_until = mono_add(k->s.now, stop_most_us(k));
	if (k->hurry && !k->told_again &&
	    c->stop_rate) /* it was not the one that was asked twice */
		hurry_tell(k);
	if (mono_due(k->stop_until, k->s.now))
		return;
	k->kill_at = mono_add(k->s.now, c->stop_rate && !k->hurry ? SERVE_PATIENCE_US : STOP_US);
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

void life_ended(struct keeper_main *k, int status)
{
	struct server *s = &k->s;
	bool served = s->ready;

	if (s->pair >= 0)
		aditd_hear(k); /* what it still had to say */
	server_end(s);
	k->aditd = 0;
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
		life_stop(k, 1);
		return;
	}
	k->start_at = backoff_next(&k->backoff, s->now);
	if (!s->ever_ready && !served && k->backoff.short_lives >= HOPELESS) {
		server_say(s, TRACE_WARNING,
			   "aditd ended %u times before it served anybody: giving up",
			   k->backoff.short_lives);
		life_stop(k, 1);
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

void life_restart(struct keeper_main *k)
{
	if (!k->aditd || ends(k))
		return;
	aditd_signal(k, SIGUSR1); /* end, but not the sessions */
	k->replacing = true;
	k->kill_at = mono_add(k->s.now, RESTART_US);
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

void life_work(struct keeper_main *k, bool news)
{
	struct server *s = &k->s;

	if (s->pair >= 0 && news && !aditd_hear(k))
		pair_broken(k);
	if (s->patience)
		patience(k);
	if (ends(k) && k->aditd && !k->told && s->ready)
		stop_tell(k);
}

void life_expire(struct keeper_main *k)
{
	if (mono_due(k->kill_at, k->s.now)) {
		k->kill_at = MONO_NEVER;
		if (k->s.pair < 0)
			k->given_up = k->stopping && k->told; /* it hung up when it was done */
		else if (k->stopping)
			stop_give_up(k, "aditd did not end in time");
		aditd_signal(k, SIGKILL);
		if (k->aditd && !k->child)
			aditd_left(k);
	}
	if (mono_due(k->start_at, k->s.now))
		aditd_start(k);
}

bool life_over(const struct keeper_main *k)
{
	return k->stopping && !k->aditd && k->start_at.us == MONO_NEVER.us;
}
