/* SPDX-License-Identifier: MIT
 *
 * The log of aditd: lines with levels to standard error, syslog or the journal of systemd. A line
 * that comes again and again is written once and then counted, and of lines that say the same of
 * many so many are written, the rest is counted.
 */
#ifndef ADIT_DAEMON_LOG_H
#define ADIT_DAEMON_LOG_H

#include "conf.h"

#define LOG_LINE_MAX  1024	  /* a line with NUL; longer ones are cut */
#define LOG_WINDOW_US (10 * US_S) /* a line that comes again within this time is counted */
#define LOG_OF_KIND   20 /* lines of one kind in this time; of TRACE_INFO ten times as many */

struct log;

/* `program` stands before each line on syslog. `fd` takes the lines of CONF_LOG_STDERR. NULL when
 * out of memory. */
struct log *log_new(const char *program, int fd);
void log_free(struct log *l, int64_t wall_us); /* tells what is still counted */

/* May be called again at any time. CONF_LOG_AUTO: the journal when standard error goes there, else
 * standard error. */
void log_configure(struct log *l, enum conf_log to, enum trace_level level);
enum trace_level log_level(const struct log *l);

/* One line without newline, already escaped (trace_text() does that). `wall_us` is since 1970. */
void log_line(struct log *l, struct mono now, int64_t wall_us, enum trace_level level,
	      const char *text);

/* The same for a line of a kind: those past LOG_OF_KIND are counted, and one line says how many
 * there were. 0 = of no kind. */
void log_line_of(struct log *l, struct mono now, int64_t wall_us, enum trace_level level,
		 uint32_t kind, const char *text);

/* While held, lines to standard error are kept together; the end of it writes them at once. */
void log_hold(struct log *l, bool hold);

/* Tell how often lines were repeated or left out whose time is over; when to call this next. */
void log_expire(struct log *l, struct mono now, int64_t wall_us);
struct mono log_deadline(const struct log *l);

#endif
