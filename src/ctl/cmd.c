/* SPDX-License-Identifier: MIT
 *
 * A command of adit under way, see cmd.h.
 */
#include "cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cmd_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("adit: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

static int no_answer(void)
{
	return cmd_fail("the daemon does not answer; is it busy or stopped? see its log");
}

/* Is an aditd there, and not only the keeper's listener? What changes something, or may be silent
 * for long, is asked for only then. Each release knows this call. */
static int greet(struct cmd *c)
{
	struct varlink_answer a;

	if (cmd_call(c, "org.varlink.service.GetInfo", NULL, false) || cmd_next(c, QUICK_MS, &a))
		return 1;
	json_decref(a.root);
	return 0;
}

static int connect_daemon(struct cmd *c)
{
	c->v = varlink_open(c->control, QUICK_MS);
	if (c->v)
		return greet(c);
	if (errno == ETIMEDOUT)
		return no_answer();
	if (errno == EACCES || errno == EPERM)
		return cmd_fail(
			"%s: %s; run adit as root or as a member of the group of aditd's user",
			c->control, strerror(errno));
	return cmd_fail("no daemon answers on %s (%s); start it as root with: adit-keeper --run",
			c->control, strerror(errno));
}

int cmd_call(struct cmd *c, const char *method, json_t *parameters, bool more)
{
	int rc;

	if (!c->v && connect_daemon(c)) {
		json_decref(parameters);
		return 1;
	}
	rc = varlink_call(c->v, method, parameters, more);
	if (rc == -ETIMEDOUT)
		return no_answer();
	return rc < 0 ? cmd_fail("the daemon takes no command: %s", strerror(-rc)) : 0;
}

int cmd_next(struct cmd *c, int timeout_ms, struct varlink_answer *ret)
{
	char error[VARLINK_ERROR_MAX];
	int rc = varlink_next(c->v, timeout_ms, ret, error);

	if (rc == 1)
		return cmd_fail("%s", error);
	if (rc == -ETIMEDOUT)
		return no_answer();
	if (rc == -ECONNRESET)
		return cmd_fail("the daemon ended the connection; it may be restarting, try again");
	if (rc < 0)
		return cmd_fail("the daemon's answer cannot be read: %s", strerror(-rc));
	return 0;
}

int cmd_print(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | REAL);
	putchar('\n');
	return 0;
}

bool cmd_too_many(const struct cmd *c, int words)
{
	if (c->count <= 1 + words)
		return false;
	cmd_fail("\"%s\" is one word too many after %s; see adit --help", c->words[1 + words],
		 c->words[words]);
	return true;
}

const char *cmd_text(json_t *o, const char *field)
{
	const char *text = json_string_value(json_object_get(o, field));

	return text ? text : "-";
}

long long cmd_number(json_t *o, const char *field)
{
	return (long long)json_integer_value(json_object_get(o, field));
}
