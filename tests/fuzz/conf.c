/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the configuration.
 *
 * drives: src/daemon/conf_schema.c src/daemon/conf_build.c src/daemon/conf_net.c
 * src/daemon/conf_print.c
 *
 * Input: the text of a file. Besides what the sanitizers find it is an error when a refusal has no
 * words or more than one line, when what is printed is not read back, or not to the same.
 */
#include <stdlib.h>
#include "daemon/conf.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[CONF_ERR_MAX], *text, *printed, *again, *diff;
	struct conf *c, *d;

	/* libconfuse reads one level of include and of the environment: neither is of interest */
	if (memchr(data, 0, size) || memmem(data, size, "include", 7) ||
	    memmem(data, size, "${", 2))
		return 0;
	text = strndup((const char *)data, size);
	if (!text)
		return 0;
	c = conf_parse(text, "fuzz.conf", CONF_NO_FILES, err, sizeof(err));
	free(text);
	if (!c) {
		CHECK(err[0] && !strchr(err, '\n'));
		return 0;
	}
	printed = conf_print(c, CONF_PRINT_SECRETS | CONF_PRINT_DEFAULTS);
	CHECK(printed);
	d = conf_parse(printed, "again.conf", CONF_NO_FILES, err, sizeof(err));
	CHECK(d);
	diff = conf_diff(c, d);
	CHECK(diff && !*diff);
	free(diff);
	free(printed);
	printed = conf_print(c, CONF_PRINT_SECRETS);
	conf_free(d);
	d = conf_parse(printed, "again.conf", CONF_NO_FILES, err, sizeof(err));
	CHECK(d);
	again = conf_print(d, CONF_PRINT_SECRETS);
	CHECK(again && strcmp(printed, again) == 0);
	free(again);
	free(printed);
	conf_free(d);
	d = conf_parse("host-name = x", "empty.conf", CONF_NO_FILES, err, sizeof(err));
	CHECK(d);
	diff = conf_diff(d, c);
	CHECK(diff);
	free(diff);
	conf_free(d);
	conf_free(c);
	return 0;
}
