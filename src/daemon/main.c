/* SPDX-License-Identifier: MIT
 *
 * aditd: options, and the order in which it starts and stops.
 *
 * Start: configuration; the keeper's memory (journal, session table, trace); rights are given up;
 * data plane, engine, records of the journal; sockets. Then everything the engine has to say is
 * carried out once, so the keeper hears of all that is still wanted, and "ready" lets it remove the
 * rest. From there on the loop runs.
 *
 * Stop: an orderly stop tells the peers and waits for them up to five seconds. A restart just ends:
 * what must outlive the process is in the journal already, as it would be after a kill.
 */
#include "control.h"
#include "notify.h"

#include "base/crypto.h"
#include "base/fault.h"
#include "keeper/layout.h"
#include "keeper/store.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define HELLO_MS 10000
#define UNUSABLE 2 /* exit status: options or configuration; starting again would not help */

struct options {
	const char *conf;
	bool check, foreground, verbose;
};

static void usage(FILE *f)
{
	fprintf(f, "usage: aditd [-c FILE] [-n] [-f] [-v]\n"
		   "\n"
		   "The L2TP daemon. adit-keeper holds its rights, and starts it:\n"
		   "    adit-keeper -c FILE --run aditd\n"
		   "or systemd does (adit.service).\n"
		   "\n"
		   "  -c FILE     configuration (" CONF_FILE ")\n"
		   "  -n          check it, say what it would change in the daemon that runs, and "
		   "end\n"
		   "  -f          log to standard error, whatever the configuration says\n"
		   "  -v          log everything\n"
		   "  -V, --version, -h, --help\n"
		   "\n"
		   "See aditd(8) and adit.conf(5).\n");
}

/* Exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *ret)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'n' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*ret = (struct options){ .conf = CONF_FILE };
	while ((c = getopt_long(argc, argv, "c:nfvVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			ret->conf = optarg;
			break;
		case 'n':
			ret->check = true;
			break;
		case 'f':
			ret->foreground = true;
			break;
		case 'v':
			ret->verbose = true;
			break;
		case 'V':
			printf("aditd %s\n", ADIT_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "aditd: unexpected argument %s\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	return -1;
}

/* ---- start ---- */

static void *map(struct daemon *d, int fd, uint64_t size, const char *what)
{
	void *mem =
		mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	close(fd);
	if (mem != MAP_FAILED)
		return mem;
	daemon_say(d, TRACE_WARNING, "the keeper's %s (%llu octets) cannot be mapped: %s", what,
		   (unsigned long long)size, strerror(errno));
	return NULL;
}

struct memory {
	void *journal, *table, *trace;
	uint64_t journal_size, table_size, trace_size;
};

static bool say_hello(struct daemon *d, struct memory *ret, int *ret_control)
{
	struct keeper_done done = { 0 };
	uint32_t id;
	int rc = keeper_hello(d->keeper, 0, &id);

	if (rc == 0)
		rc = keeper_wait(d->keeper, id, HELLO_MS, &done);
	if (rc == 0)
		rc = done.error;
	if (rc == 0 && done.fd_count < 4)
		rc = -EBADMSG;
	if (rc < 0) {
		daemon_say(d, TRACE_WARNING, "the keeper does not serve us: %s",
			   rc == done.error && done.text[0] ? done.text : strerror(-rc));
		return false;
	}
	*ret = (struct memory){ .journal = map(d, done.fds[0], done.sizes[0], "journal"),
				.table = map(d, done.fds[1], done.sizes[1], "session table"),
				.trace = map(d, done.fds[2], done.sizes[2], "trace"),
				.journal_size = done.sizes[0],
				.table_size = done.sizes[1],
				.trace_size = done.sizes[2] };
	*ret_control = done.fds[3];
	d->starts = done.starts;
	d->incarnation = done.incarnation;
	d->keeper_since = done.since;
	return ret->journal && ret->table && ret->trace;
}

static bool open_trace(struct daemon *d, const struct memory *m)
{
	struct trace *t = NULL;

	if (m->trace_size >= trace_size(LAYOUT_TRACE_RECORDS, LAYOUT_TRACE_RAW))
		t = trace_open(m->trace, LAYOUT_TRACE_RECORDS, LAYOUT_TRACE_RAW);
	if (!t) {
		daemon_say(d, TRACE_WARNING,
			   "the trace ring of the keeper cannot be used; stop the "
			   "keeper and start it anew");
		return false;
	}
	/* the last words of one that has died come first */
	d->trace_pos = trace_told(t);
	d->trace = t;
	return true;
}

static bool open_engine(struct daemon *d)
{
	struct access_config config = {
		.trace = d->trace,
		.incarnation = d->incarnation,
		.pipes = true,
	};
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF };

	if (getrandom(config.seed, sizeof(config.seed), 0) != sizeof(config.seed)) {
		daemon_say(d, TRACE_WARNING, "no random numbers: %s", strerror(errno));
		return false;
	}
	d->access = access_new(&config);
	bytes_wipe(config.seed, sizeof(config.seed));
	if (!d->access) {
		daemon_say(d, TRACE_WARNING, "out of memory");
		return false;
	}
	access_wall(d->access, d->now, d->wall_us);
	d->conf->access->serial = d->conf_serial = 1;
	cmd.conf = d->conf->access;
	if (access_do(d->access, d->now, &cmd) < 0) {
		daemon_say(d, TRACE_WARNING, "out of memory");
		return false;
	}
	return true;
}

static bool start(struct daemon *d, const struct memory *m, int control)
{
	if (!open_trace(d, m) || !sandbox_enter(d) ||
	    !journal_open(d, m->journal, m->journal_size) ||
	    !plane_open(d, m->table, m->table_size) || !open_engine(d) || !pwire_open(d) ||
	    !journal_load(d))
		return false;
	if (!spare_fill(&d->spare))
		run_scarce(d);
	plane_wait(d); /* or what waits in the sockets would find no way */
	for (size_t i = 0; i < d->conf->socket_count; i++)
		if (!d->conf->sockets[i].spare)
			peer_socket_open(d, d->conf->sockets + i);
	peer_sockets_former(d);
	if (!swire_open(d))
		return false;
	FAULT("loaded");
	acct_recover(d->acct);
	io_tick(d);
	run_drain(d);
	acct_recovered(d->acct);
	FAULT("before-sweep");
	plane_sweep(d);
	plane_trust_conf(d);
	kplane_wires(d, d->conf, true);
	plane_trust_tunnels(d);
	kplane_tunnels(d);
	pwire_tunnels(d);
	d->control = control_new(d, control);
	d->io = d->control ? io_new(d) : NULL;
	if (!d->io) {
		daemon_say(d, TRACE_WARNING, "the event loop cannot be set up: %s",
			   strerror(errno));
		return false;
	}
	FAULT("before-ready");
	if (keeper_ready(d->keeper, COOKIE(COOKIE_READY, 0), NULL) < 0)
		return false;
	daemon_say(d, TRACE_NOTICE, "aditd %s serves as \"%s\" (start %u)", ADIT_VERSION,
		   d->conf->host_name, d->starts);
	run_drain(d);
	in_force_keep(d);
	notify_send("READY=1");
	return true;
}

/* The last word to the keeper: no other aditd has to tell anybody. */
static void say_stopped(struct daemon *d)
{
	if (keeper_stopped(d->keeper, COOKIE(COOKIE_STOPPING, 0), NULL) == 0)
		(void)keeper_flush(d->keeper);
}

static void stop(struct daemon *d)
{
	if (d->trace && d->log)
		run_log(d);
	control_free(d->control);
	d->control = NULL;
	io_free(d->io);
	d->io = NULL;
	if (d->dp)
		d->dp->ops->free(d->dp);
	access_free(d->access);
	swire_free_all(d);
	pwe_free(d->pw);
	reload_free(d);
	peer_free(d);
	if (d->store)
		store_close(d->store);
	acct_free(d->acct);
	output_free(d->output);
	free(d->dels);
	spare_drop(&d->spare);
	keeper_close(d->keeper);
	log_free(d->log, io_wall_us());
	if (d->trace)
		trace_close(d->trace);
	conf_free(d->conf);
	free(d);
}

/* ---- main ---- */

static void say_advice(void *arg, const char *text)
{
	daemon_say(arg, TRACE_WARNING, "%s", text);
}

/* The keeper that started us, or the one of this configuration when somebody else did. */
static int open_keeper(const char *control, bool tell, struct keeper **ret)
{
	int fd = keeper_fd_from_env(), err = 0;

	if (fd == -ENOENT) {
		fd = keeper_connect(control);
		if (fd < 0 && tell)
			fprintf(stderr,
				"aditd: no keeper answers at %s.keeper (%s); adit-keeper holds the "
				"rights of aditd and starts it: adit-keeper -c FILE --run aditd\n",
				control, strerror(-fd));
		if (fd < 0)
			return 1;
	}
	*ret = fd < 0 ? NULL : keeper_open(fd, &err);
	if (*ret)
		return 0;
	fprintf(stderr, "aditd: " KEEPER_FD_ENV " does not name the socket to the keeper: %s\n",
		strerror(fd < 0	   ? -fd
			 : err < 0 ? -err
				   : err));
	return 1;
}

/* Until it serves. Exit status. Where the file is not right, the configuration goes on that was in
 * force under this keeper. */
static int begin(struct daemon *d, const struct options *o)
{
	char err[CONF_ERR_MAX];
	struct memory m;
	int control = -1, status;
	bool again;

	d->log = log_new("aditd", STDERR_FILENO);
	if (!d->log)
		return 1;
	io_tick(d);
	d->since = d->now;
	d->conf = conf_load(o->conf, CONF_KEEP, err, sizeof(err));
	again = !d->conf;
	if (again)
		status = open_keeper(CONF_CONTROL, false, &d->keeper);
	else
		status = open_keeper(d->conf->control, true, &d->keeper);
	if (status == 0 && !say_hello(d, &m, &control))
		status = 1;
	if (status == 0 && in_force_open(d) && again)
		d->conf = in_force_load(d, o->conf);
	if (!d->conf) {
		fprintf(stderr, "aditd: %s\n", err);
		return UNUSABLE;
	}
	if (status)
		return status;
	log_configure(d->log, o->foreground ? CONF_LOG_STDERR : d->conf->log_to,
		      o->verbose ? TRACE_DEBUG : d->conf->log_level);
	if (again)
		daemon_say(d, TRACE_WARNING,
			   "the configuration that was in force stays so: %s; mend that, then: "
			   "adit reload",
			   err);
	d->acct = acct_new(d->conf->accounting);
	d->output = output_new();
	if (!d->acct || !d->output)
		return 1;
	check_advise(d->conf, false, say_advice, d);
	return start(d, &m, control) ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options o;
	struct daemon *d;
	int status = parse_options(argc, argv, &o);

	if (status >= 0)
		return status;
	if (o.check)
		return check_config(o.conf);
#ifdef M_MMAP_THRESHOLD
	/* Tables that are as long as the limits say, and of which little is used, shall be mapped:
	 * in the heap calloc() would touch all of them. */
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
#endif
	d = calloc(1, sizeof(*d));
	if (!d)
		return 1;
#ifdef ADIT_FAULTS
	fault_open(1);
#endif
	list_init(&d->resolving);
	d->conf_path = o.conf;
	status = begin(d, &o);
	if (status == 0)
		status = io_run(d->io);
	if (d->stopping && run_nothing_owed(d))
		say_stopped(d);
	status = status ? status : d->status;
	stop(d);
	return status;
}
