/* SPDX-License-Identifier: MIT
 *
 * `aditd -n`: read and check the configuration; when a daemon runs, ask it over the control socket
 * what would change and which sessions would end. The daemon gets the text with its secrets: the
 * socket is for those who may see them.
 *
 * And what is no error, but likely a mistake: also told when aditd starts.
 */
#include "control.h"

#include "base/crypto.h"
#include "ctl/varlink.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MS 10000

/* Ask the daemon. Exit status. */
static int compare(struct varlink *v, const struct conf *c)
{
	char *config = conf_print(c, CONF_PRINT_SECRETS), error[VARLINK_ERROR_MAX];
	struct varlink_answer a;
	const char *changes;
	int rc = -ENOMEM;

	if (config) {
		rc = varlink_call(v, "org.adit.CompareConfig",
				  json_pack("{s:s, s:s}", "config", config, "name", c->path),
				  false);
		bytes_wipe(config, strlen(config));
		free(config);
	}
	if (rc == 0)
		rc = varlink_next(v, ANSWER_MS, &a, error);
	if (rc) {
		fprintf(stderr, "the daemon could not compare it: %s\n",
			rc > 0 ? error : strerror(-rc));
		return 1;
	}
	changes = json_string_value(json_object_get(a.parameters, "changes"));
	if (changes && *changes)
		printf("a reload would change:\n%s", changes);
	else
		puts("a reload would change nothing");
	json_decref(a.root);
	return 0;
}

/* ---- what is no error, but likely a mistake ---- */

/* May the user of aditd read it? By the mode alone: access lists are not looked at. */
static bool readable(const struct stat *st, const struct passwd *pw)
{
	gid_t groups[64];
	int n = 64;

	if (st->st_uid == pw->pw_uid || pw->pw_uid == 0)
		return pw->pw_uid == 0 || st->st_mode & S_IRUSR;
	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) < 0)
		n = 0;
	for (int i = 0; i < n; i++)
		if (groups[i] == st->st_gid)
			return st->st_mode & S_IRGRP;
	return st->st_mode & S_IROTH;
}

struct advice {
	const struct conf *c;
	const struct passwd *pw; /* the user of aditd, NULL: there is none */
	void (*say)(void *arg, const char *text);
	void *arg;
	bool other; /* it is about the rights of another user than this process has */
};

static void advise_file(const struct advice *a, const char *path)
{
	char text[CONF_PATH_MAX + 128];
	struct stat st;

	if (!path[0] || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_mode & S_IROTH) {
		snprintf(text, sizeof(text),
			 "everybody may read %s and the secrets in it; run: chmod o-rwx %s", path,
			 path);
		a->say(a->arg, text);
	} else if (a->other && a->pw && !readable(&st, a->pw)) {
		snprintf(text, sizeof(text),
			 "the user %s, as which aditd runs, may not read %s; run: chgrp %s %s and "
			 "chmod g+r %s",
			 a->c->user, path, a->c->user, path, path);
		a->say(a->arg, text);
	}
}

/* Is there a secret in the file itself? Then it is printed as hidden. */
static bool has_secrets(const struct conf *c)
{
	char *text = conf_print(c, 0);
	bool has = text && strstr(text, "(hidden)");

	free(text);
	return has;
}

static void advise_hook(const struct advice *a, const struct conf_dial *d, const char *path)
{
	char text[CONF_PATH_MAX + CONF_NAME + 128];
	const char *why = NULL;
	struct stat st;

	if (!path[0])
		return;
	if (stat(path, &st) < 0)
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		why = "it is no program; see chmod(1)";
	else if (st.st_uid != 0 || st.st_mode & 022) /* the keeper refuses it */
		why = "it must belong to root and be writable by nobody else";
	if (!why)
		return;
	snprintf(text, sizeof(text), "session \"%s\": the hook %s cannot be run: %s", d->name, path,
		 why);
	a->say(a->arg, text);
}

static void advise_users(const struct advice *a, const struct conf_users *users)
{
	char text[CONF_PATH_MAX + 256];
	unsigned int line;
	const char *why;

	for (size_t i = 0; users->users && users_odd(users->users, i, &line, &why); i++) {
		snprintf(text, sizeof(text), "%s:%u: %s", users->path, line, why);
		a->say(a->arg, text);
	}
}

void check_advise(const struct conf *c, bool other, void (*say)(void *arg, const char *text),
		  void *arg)
{
	struct advice a = {
		.c = c, .pw = getpwnam(c->user), .say = say, .arg = arg, .other = other
	};
	const struct access_conf *x = c->access;
	const char *file;

	if (has_secrets(c))
		advise_file(&a, c->path);
	for (size_t i = 0; i < c->users_count; i++) {
		advise_file(&a, c->users[i].path);
		advise_users(&a, c->users + i);
	}
	for (size_t i = 0; (file = conf_secret_file(c, i)); i++)
		advise_file(&a, file);
	for (size_t i = 0; i < x->dial_count; i++) {
		advise_hook(&a, x->dials + i, x->dials[i].hook_up);
		advise_hook(&a, x->dials + i, x->dials[i].hook_down);
	}
	if (x->peer_count || x->dial_count || c->pw->wire_count || c->wire_count)
		return;
	if (c->pw->tunnel_count)
		say(arg, "no pseudowire block uses the tunnel blocks: they carry nothing; see "
			 "adit.conf(5)");
	else
		say(arg,
		    "there is neither a peer nor a session block: nobody is let in, and nobody "
		    "is dialled; see adit.conf(5)");
}

static void print_advice(void *arg, const char *text)
{
	printf("%s: note: %s\n", (const char *)arg, text);
}

int check_config(const char *path)
{
	char err[CONF_ERR_MAX];
	struct conf *c = conf_load(path, 0, err, sizeof(err));
	struct varlink *v;
	int status = 0;

	if (!c) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	printf("%s: no error found\n", path);
	check_advise(c, geteuid() == 0, print_advice, c->path);
	v = varlink_open(c->control, ANSWER_MS);
	if (v)
		status = compare(v, c);
	else
		printf("no daemon answers on %s, so there is nothing to compare with\n",
		       c->control);
	varlink_close(v);
	conf_free(c);
	return status;
}
