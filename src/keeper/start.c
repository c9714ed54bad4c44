/* SPDX-License-Identifier: MIT
 *
 * Options, going into the background, and the number of the start, which makes session keys unique
 * over reboots.
 */
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/conf.h"

#define FAR_FUTURE_S (10u * 366 * 86400)

static const char usage[] =
	"Usage: adit-keeper [-c FILE] [-b] [--run [ADITD]]\n"
	"       adit-keeper [-c FILE] --upgrade\n"
	"\n"
	"The privileged process of adit: holds sockets, interfaces and routes, and starts aditd, "
	"or\n"
	"waits for one that systemd starts.\n"
	"\n"
	"  -c, --config FILE   configuration, " CONF_FILE " if not given\n"
	"  -b, --background    go into the background once aditd serves; log to syslog\n"
	"  -f, --foreground    stay in the foreground (as without -b)\n"
	"      --run [ADITD]   start aditd, and start it again when it dies\n"
	"      --upgrade       have the keeper that runs replaced by the program that is "
	"installed\n"
	"                      now; sessions and their data go on\n"
	"  -h, --help          this text\n"
	"  -V, --version       the version\n"
	"\n"
	"Signals: HUP reads the configuration again, USR1 restarts aditd alone (sessions go on),\n"
	"USR2 is --upgrade, TERM and INT end all sessions and stop.\n";

/* A program without a path: beside the keeper, or where it is installed. */
static void find_program(const char *name, char *ret, size_t cap)
{
	static const char *const places[] = { "/usr/local/sbin", "/usr/sbin" };
	char self[200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	size_t i;

	self[n > 0 ? n : 0] = 0;
	slash = strrchr(self, '/');
	if (slash) {
		*slash = 0;
		snprintf(ret, cap, "%s/%s", self, name);
		if (access(ret, X_OK) == 0)
			return;
		snprintf(ret, cap, "%s/../daemon/%s", self, name); /* in a build directory */
		if (access(ret, X_OK) == 0)
			return;
	}
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(ret, cap, "%s/%s", places[i], name);
		if (access(ret, X_OK) == 0)
			return;
	}
}

void start_self(char *ret, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", ret, cap - 1);

	ret[n > 0 && (size_t)n < cap - 1 ? n : 0] = 0;
}

static int usage_error(const char *what)
{
	fprintf(stderr, "adit-keeper: %s\n%s", what, usage);
	return 2;
}

int start_options(int argc, char **argv, struct options *ret)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "background", no_argument, NULL, 'b' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "run", no_argument, NULL, 'r' },
		{ "upgrade", no_argument, NULL, 'u' },
		/* for the keeper's own use, see upgrade.h */
		{ "resume", required_argument, NULL, 'R' },
		{ "check-state", required_argument, NULL, 'C' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	bool run = false;
	int c;

	memset(ret, 0, sizeof(*ret));
	ret->resume = ret->check = -1;
	snprintf(ret->conf, sizeof(ret->conf), "%s", CONF_FILE);
	while ((c = getopt_long(argc, argv, "bc:fhV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			if (strlen(optarg) >= sizeof(ret->conf))
				return usage_error("the name of the configuration is too long");
			snprintf(ret->conf, sizeof(ret->conf), "%s", optarg);
			break;
		case 'b':
		case 'f':
			ret->background = c == 'b';
			break;
		case 'r':
			run = true;
			break;
		case 'u':
			ret->upgrade = true;
			break;
		case 'R':
			ret->resume = atoi(optarg);
			break;
		case 'C':
			ret->check = atoi(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("adit-keeper " ADIT_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind > (run ? 1 : 0))
		return usage_error("too many arguments");
	if (!run) {
		find_program("aditd", ret->finisher, sizeof(ret->finisher));
		return -1;
	}
	if (optind < argc && strlen(argv[optind]) >= sizeof(ret->program))
		return usage_error("the name of aditd is too long");
	if (optind < argc && strchr(argv[optind], '/'))
		snprintf(ret->program, sizeof(ret->program), "%s", argv[optind]);
	else
		find_program(optind < argc ? argv[optind] : "aditd", ret->program,
			     sizeof(ret->program));
	return -1;
}

/* ---- the number of the start ---- */

static uint32_t number_read(int dir)
{
	char text[32] = "";
	int fd = openat(dir, "incarnation", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	unsigned long n;

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	n = strtoul(text, NULL, 10);
	return n > UINT32_MAX ? 0 : (uint32_t)n;
}

/* By a new file that takes the old one's place: aditd may own the directory, so nothing that lies
 * there is written through. */
static int number_write(int dir, uint32_t n)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%u\n", n), fd, err = 0;

	unlinkat(dir, "incarnation.new", 0);
	fd = openat(dir, "incarnation.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)len) != len || fsync(fd) < 0)
		err = -EIO;
	close(fd);
	if (!err && renameat(dir, "incarnation.new", dir, "incarnation") < 0)
		err = -errno;
	return err;
}

uint32_t start_incarnation(const char *path, char *why, size_t cap)
{
	uint32_t now = (uint32_t)time(NULL), last, n;
	int dir, err;

	why[0] = 0;
	mkdir(path, 0755);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		snprintf(why, cap, "%s: %s", path, strerror(errno));
		return now;
	}
	last = number_read(dir);
	/* The time, or more if the clock was set back; a number out of all reason is no number. */
	n = last >= now && last - now < FAR_FUTURE_S ? last + 1 : now;
	err = number_write(dir, n);
	close(dir);
	if (err)
		snprintf(why, cap, "%s/incarnation: %s", path, strerror(-err));
	return n;
}

/* ---- the background ---- */

int start_background(void)
{
	int ends[2], status;
	char word;
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(ends[0]);
		setsid();
		return ends[1];
	}
	close(ends[1]);
	do {
		n = read(ends[0], &word, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	_exit(1);
}

void start_ready(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (write(fd, "r", 1) < 0) {
		/* The parent is gone; nobody waits. */
	}
	close(fd);
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
	if (chdir("/") < 0) {
		/* Then it stays where it is. */
	}
}
