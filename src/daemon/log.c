/* SPDX-License-Identifier: MIT
 *
 * The log, see log.h.
 *
 * Repetition: the last few different lines are remembered for LOG_WINDOW_US. A line found among
 * them is only counted. When its time is over, or its place is needed, one line says how often it
 * came, and when last: other things may have happened since. So a peer that makes the same mistake
 * a thousand times a second fills no disk, also when two of them take turns.
 *
 * Kinds: lines that differ only in whom they are about (a user whose password is wrong, a tunnel
 * that is refused) are of one kind. Of each so many are written in a window, and when it is over
 * one line says how many more there were, with the last of them. What nobody can cause from outside
 * is of no kind, and so are lines for debugging: who asks for those wants all.
 */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LOG_RECENT 8
#define DATE	   11 /* octets of a date before its time: "2026-01-01 " */
#define LOG_KINDS  32
#define JOURNAL	   "/run/systemd/journal/socket"

struct recent {
	struct mono until; /* us = 0: free */
	uint32_t count;	   /* how often it came again */
	int64_t last_us;   /* the time of day when it did last */
	enum trace_level level;
	char text[LOG_LINE_MAX];
};

struct kind {
	uint32_t kind;	   /* 0: free */
	struct mono until; /* the end of its window */
	uint32_t written, more;
	int64_t last_us; /* of `more` */
	enum trace_level level;
	char text[160]; /* the last that was left out */
};

struct log {
	char program[32];
	int fd;	     /* for standard error */
	int journal; /* socket to the journal, -1 = none */
	enum conf_log to;
	enum trace_level level;
	struct recent recent[LOG_RECENT];
	struct kind kinds[LOG_KINDS];
	int64_t second; /* `date` is this one's */
	char date[64];
	bool held; /* lines wait in `out` */
	size_t n;
	char out[8192];
};

static const char *const level_names[] = {
	[TRACE_DEBUG] = "debug",
	[TRACE_INFO] = "info",
	[TRACE_NOTICE] = "notice",
	[TRACE_WARNING] = "warning",
};

static const int priorities[] = {
	[TRACE_DEBUG] = LOG_DEBUG,
	[TRACE_INFO] = LOG_INFO,
	[TRACE_NOTICE] = LOG_NOTICE,
	[TRACE_WARNING] = LOG_WARNING,
};

struct log *log_new(const char *program, int fd)
{
	struct log *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	snprintf(l->program, sizeof(l->program), "%s", program);
	l->fd = fd;
	l->journal = -1;
	l->to = CONF_LOG_STDERR;
	l->level = TRACE_NOTICE;
	return l;
}

/* Is standard error the journal (JOURNAL_STREAM is "device:inode" of the stream)? */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static bool journal_open(struct log *l)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL };

	if (l->journal >= 0)
		return true;
	l->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->journal >= 0 && connect(l->journal, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	if (l->journal >= 0)
		close(l->journal);
	l->journal = -1;
	return false;
}

void log_configure(struct log *l, enum conf_log to, enum trace_level level)
{
	l->level = level;
	if (to == CONF_LOG_AUTO)
		to = stderr_is_journal() ? CONF_LOG_JOURNAL : CONF_LOG_STDERR;
	if (to == CONF_LOG_JOURNAL && !journal_open(l))
		to = CONF_LOG_STDERR;
	if (to == CONF_LOG_SYSLOG && l->to != CONF_LOG_SYSLOG)
		openlog(l->program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	l->to = to;
}

enum trace_level log_level(const struct log *l)
{
	return l->level;
}

static void flush(struct log *l)
{
	/* a log that cannot be written is nothing a daemon can do anything about */
	ssize_t done = l->n ? write(l->fd, l->out, l->n) : 0;

	(void)done;
	l->n = 0;
}

void log_hold(struct log *l, bool hold)
{
	l->held = hold;
	if (!hold)
		flush(l);
}

/* Lines come many a second, when they do. */
static const char *date_of(struct log *l, int64_t second)
{
	time_t s = (time_t)second;
	struct tm tm;

	if (l->date[0] && l->second == second)
		return l->date;
	localtime_r(&s, &tm);
	snprintf(l->date, sizeof(l->date), "%04d-%02d-%02d %02d:%02d:%02d", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	l->second = second;
	return l->date;
}

static void to_stderr(struct log *l, int64_t wall_us, enum trace_level level, const char *text)
{
	size_t len = strnlen(text, LOG_LINE_MAX + 48);
	char head[160];
	int n;

	n = snprintf(head, sizeof(head), "%s.%03d %s %s: ", date_of(l, wall_us / US_S),
		     (int)(wall_us % US_S / US_MS), l->program, level_names[level]);
	if (l->n + (size_t)n + len + 1 > sizeof(l->out))
		flush(l);
	memcpy(l->out + l->n, head, (size_t)n);
	memcpy(l->out + l->n + n, text, len);
	l->n += (size_t)n + len;
	l->out[l->n++] = '\n';
	if (!l->held)
		flush(l);
}

/* The journal's native protocol: FIELD=value lines in one datagram. */
static void to_journal(struct log *l, int64_t wall_us, enum trace_level level, const char *text)
{
	char line[LOG_LINE_MAX + 128];
	int n = snprintf(line, sizeof(line), "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=%s\n",
			 priorities[level], l->program, text);

	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (send(l->journal, line, (size_t)n, MSG_NOSIGNAL) < 0)
		to_stderr(l, wall_us, level, text);
}

static void write_line(struct log *l, int64_t wall_us, enum trace_level level, const char *text)
{
	switch (l->to) {
	case CONF_LOG_AUTO:
	case CONF_LOG_STDERR:
		to_stderr(l, wall_us, level, text);
		break;
	case CONF_LOG_SYSLOG:
		syslog(priorities[level], "%s", text);
		break;
	case CONF_LOG_JOURNAL:
		to_journal(l, wall_us, level, text);
		break;
	}
}

/* Its time is over: tell how often it came, and give the place free. */
static void recent_end(struct log *l, struct recent *r, int64_t wall_us)
{
	char text[LOG_LINE_MAX + 48];

	if (r->count) {
		const char *at = date_of(l, r->last_us / US_S) + DATE;

		if (r->count == 1)
			snprintf(text, sizeof(text), "(once more, at %s) %s", at, r->text);
		else
			snprintf(text, sizeof(text), "(%u more times, last at %s) %s", r->count, at,
				 r->text);
		write_line(l, wall_us, r->level, text);
	}
	r->until.us = 0;
	r->count = 0;
}

/* Its window is over: tell what was left out, and give the place free. */
static void kind_end(struct log *l, struct kind *k, int64_t wall_us)
{
	char text[sizeof(k->text) + 64];

	if (k->more) {
		snprintf(text, sizeof(text), "(%u more like this, last at %s) %s", k->more,
			 date_of(l, k->last_us / US_S) + DATE, k->text);
		write_line(l, wall_us, k->level, text);
	}
	*k = (struct kind){ 0 };
}

/* Is this line one too many of its kind? Then it is counted. */
static bool too_many(struct log *l, struct mono now, int64_t wall_us, enum trace_level level,
		     uint32_t kind, const char *text)
{
	uint32_t most = level == TRACE_INFO ? 10 * LOG_OF_KIND : LOG_OF_KIND;
	struct kind *k = NULL, *oldest = l->kinds;

	if (kind == 0 || level == TRACE_DEBUG)
		return false;
	for (size_t i = 0; i < LOG_KINDS && !k; i++) {
		if (l->kinds[i].kind == kind)
			k = l->kinds + i;
		else if (l->kinds[i].until.us < oldest->until.us)
			oldest = l->kinds + i;
	}
	if (!k) {
		k = oldest;
		kind_end(l, k, wall_us);
		k->kind = kind;
		k->until = mono_add(now, LOG_WINDOW_US);
	}
	if (k->written < most) {
		k->written++;
		return false;
	}
	k->more++;
	k->last_us = wall_us;
	k->level = level;
	snprintf(k->text, sizeof(k->text), "%s", text);
	return true;
}

void log_line(struct log *l, struct mono now, int64_t wall_us, enum trace_level level,
	      const char *text)
{
	log_line_of(l, now, wall_us, level, 0, text);
}

void log_line_of(struct log *l, struct mono now, int64_t wall_us, enum trace_level level,
		 uint32_t kind, const char *text)
{
	struct recent *oldest = l->recent;
	size_t n;

	if (level < l->level)
		return;
	log_expire(l, now, wall_us);
	for (size_t i = 0; i < LOG_RECENT; i++) {
		struct recent *r = l->recent + i;

		if (r->until.us && r->level == level &&
		    strncmp(r->text, text, sizeof(r->text) - 1) == 0) {
			r->count++;
			r->last_us = wall_us;
			return;
		}
		if (r->until.us < oldest->until.us)
			oldest = r;
	}
	if (too_many(l, now, wall_us, level, kind, text))
		return;
	if (oldest->until.us)
		recent_end(l, oldest, wall_us);
	oldest->until = mono_add(now, LOG_WINDOW_US);
	oldest->level = level;
	n = strnlen(text, sizeof(oldest->text) - 1);
	memcpy(oldest->text, text, n);
	oldest->text[n] = '\0';
	write_line(l, wall_us, level, oldest->text);
}

void log_expire(struct log *l, struct mono now, int64_t wall_us)
{
	for (size_t i = 0; i < LOG_RECENT; i++)
		if (l->recent[i].until.us && mono_due(l->recent[i].until, now))
			recent_end(l, l->recent + i, wall_us);
	for (size_t i = 0; i < LOG_KINDS; i++)
		if (l->kinds[i].kind && mono_due(l->kinds[i].until, now))
			kind_end(l, l->kinds + i, wall_us);
}

struct mono log_deadline(const struct log *l)
{
	struct mono at = MONO_NEVER;

	for (size_t i = 0; i < LOG_RECENT; i++)
		if (l->recent[i].count)
			at = mono_min(at, l->recent[i].until);
	for (size_t i = 0; i < LOG_KINDS; i++)
		if (l->kinds[i].more)
			at = mono_min(at, l->kinds[i].until);
	return at;
}

void log_free(struct log *l, int64_t wall_us)
{
	if (!l)
		return;
	for (size_t i = 0; i < LOG_RECENT; i++)
		if (l->recent[i].until.us)
			recent_end(l, l->recent + i, wall_us);
	for (size_t i = 0; i < LOG_KINDS; i++)
		kind_end(l, l->kinds + i, wall_us);
	flush(l);
	if (l->journal >= 0)
		close(l->journal);
	free(l);
}
