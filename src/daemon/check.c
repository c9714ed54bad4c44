/* SPDX-License-Identifier: MIT
 *
 * `aditd -n`: read and check the configuration; when a daemon runs, ask it over the control socket
 * what would change and which sessions would end. The daemon gets the text with its secrets: the
 * socket is for those who may see them.
 */
#include "control.h"

#include "base/crypto.h"
#include "ctl/varlink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	v = varlink_open(c->control);
	if (v)
		status = compare(v, c);
	else
		printf("no daemon answers on %s, so there is nothing to compare with\n",
		       c->control);
	varlink_close(v);
	conf_free(c);
	return status;
}
