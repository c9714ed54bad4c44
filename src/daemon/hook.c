/* SPDX-License-Identifier: MIT
 *
 * Hooks: programs of the configuration that the keeper runs when a dialled session is up or down.
 * They get what they need in their environment:
 *
 *   ADIT_EVENT      up, down
 *   ADIT_NAME       name of the session block
 *   ADIT_IFNAME     interface
 *   ADIT_LOCAL_IP4  our address inside           ADIT_PEER_IP4  the other side's
 *   ADIT_PREFIX6    our IPv6 prefix              ADIT_MTU
 *   ADIT_DNS4, ADIT_DNS6   name servers learnt, separated by spaces
 *   ADIT_SERVER     address of the server
 *   ADIT_CAUSE      down: why, "idle-timeout"    ADIT_TEXT      down: in words
 *
 * What is not known is not set. A peer's text is escaped; it is text, not code: a hook must quote
 * it. The hooks of one session run one after the other, in the order of the events.
 */
#include "daemon.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define VARS_MAX 16
#define VAR_MAX	 320

struct vars {
	char text[VARS_MAX][VAR_MAX];
	const char *p[VARS_MAX];
	size_t n;
};

static void set(struct vars *v, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void set(struct vars *v, const char *name, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (v->n == VARS_MAX)
		return;
	n = snprintf(v->text[v->n], VAR_MAX, "%s=", name);
	va_start(ap, fmt);
	vsnprintf(v->text[v->n] + n, VAR_MAX - (size_t)n, fmt, ap);
	va_end(ap);
	v->p[v->n] = v->text[v->n];
	v->n++;
}

static void set_ip4(struct vars *v, const char *name, const uint8_t ip[4])
{
	static const uint8_t none[4];

	if (memcmp(ip, none, 4) != 0)
		set(v, name, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
}

static void set_dns(struct vars *v, const char *name, const struct addr dns[2])
{
	char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

	if (dns[0].family && dns[1].family)
		set(v, name, "%s %s", addr_text(&dns[0], a), addr_text(&dns[1], b));
	else if (dns[0].family)
		set(v, name, "%s", addr_text(&dns[0], a));
}

void hook_run(struct daemon *d, const struct access_event *ev)
{
	bool up = ev->kind == ACCESS_EV_UP;
	struct vars v = { .n = 0 };
	char text[ADDR_TEXT_MAX], escaped[256];
	const char *program;
	int rc;

	if (!ev->dial || (!up && !ev->established))
		return;
	program = up ? ev->dial->hook_up : ev->dial->hook_down;
	if (!program[0])
		return;
	set(&v, "ADIT_EVENT", "%s", up ? "up" : "down");
	set(&v, "ADIT_NAME", "%s", ev->dial->name);
	if (ev->ifname && ev->ifname[0])
		set(&v, "ADIT_IFNAME", "%s", ev->ifname);
	set_ip4(&v, "ADIT_LOCAL_IP4", ev->our_ip4);
	set_ip4(&v, "ADIT_PEER_IP4", ev->peer_ip4);
	if (ev->prefix6.addr.family)
		set(&v, "ADIT_PREFIX6", "%s", prefix_text(&ev->prefix6, text));
	if (ev->mtu)
		set(&v, "ADIT_MTU", "%u", ev->mtu);
	set_dns(&v, "ADIT_DNS4", ev->dns4);
	set_dns(&v, "ADIT_DNS6", ev->dns6);
	if (ev->path) {
		struct addr server = ev->path->remote;

		server.port = 0;
		set(&v, "ADIT_SERVER", "%s", addr_text(&server, text));
	}
	if (!up) {
		set(&v, "ADIT_CAUSE", "%s", cause_name(ev->cause));
		set(&v, "ADIT_TEXT", "%s",
		    text_escape(escaped, sizeof(escaped), ev->text, strlen(ev->text)));
	}
	rc = keeper_hook(d->keeper, COOKIE(COOKIE_HOOK, up), ev->dial->name, program, v.p, v.n,
			 NULL);
	if (rc < 0)
		daemon_say(d, TRACE_WARNING, "the hook %s cannot be run: %s", program,
			   strerror(-rc));
}

void hook_done(struct daemon *d, const struct keeper_done *done)
{
	const char *which = COOKIE_VALUE(done->cookie) ? "up" : "down";

	if (done->error)
		daemon_say(d, TRACE_WARNING, "the %s hook of session \"%s\" could not be run: %s",
			   which, done->name, done->text[0] ? done->text : strerror(-done->error));
	else if (WIFSIGNALED(done->status))
		daemon_say(d, TRACE_WARNING, "the %s hook of session \"%s\" died of signal %d",
			   which, done->name, WTERMSIG(done->status));
	else if (WEXITSTATUS(done->status))
		daemon_say(d, TRACE_WARNING, "the %s hook of session \"%s\" ended with status %d",
			   which, done->name, WEXITSTATUS(done->status));
}
