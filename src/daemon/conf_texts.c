/* SPDX-License-Identifier: MIT
 *
 * The texts of all files that a configuration was made of, so that it can be made once more when
 * they are there no longer, or no longer right: an aditd that has to start again while somebody
 * works on the file goes on with what was in force.
 */
#include "conf_tree.h"

#include "base/crypto.h"
#include "base/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conf_text {
	char *path, *text;
	size_t len;
};

void conf_texts_free(struct conf *c)
{
	for (size_t i = 0; i < c->text_count; i++) {
		bytes_wipe(c->texts[i].text, c->texts[i].len);
		free(c->texts[i].text);
		free(c->texts[i].path);
	}
	free(c->texts);
	c->texts = NULL;
	c->text_count = 0;
}

bool conf_text_keep(struct conf *c, const char *path, const char *text, size_t len)
{
	struct conf_text *grown, *t;

	if (!c->keeps)
		return true;
	grown = realloc(c->texts, (c->text_count + 1) * sizeof(*grown));
	if (!grown)
		return false;
	c->texts = grown;
	t = grown + c->text_count;
	*t = (struct conf_text){ strdup(path), malloc(len + 1), len };
	if (!t->path || !t->text) {
		free(t->path);
		free(t->text);
		return false;
	}
	memcpy(t->text, text, len);
	t->text[len] = '\0';
	c->text_count++;
	return true;
}

const char *conf_text_kept(const struct conf *c, const char *path)
{
	for (size_t i = 0; i < c->text_count; i++)
		if (strcmp(c->texts[i].path, path) == 0)
			return c->texts[i].text;
	return NULL;
}

char *conf_text_read(struct conf *c, const char *path, char *why, size_t cap)
{
	const char *kept = conf_text_kept(c, path);
	char *text;

	why[0] = '\0';
	if (!c->again) {
		text = conf_slurp(path, why, cap);
		if (!text || kept || conf_text_keep(c, path, text, strlen(text)))
			return text;
		bytes_wipe(text, strlen(text));
		free(text);
	} else if (!kept) {
		snprintf(why, cap, "is not among the files that were in force");
		return NULL;
	} else if ((text = strdup(kept))) {
		return text;
	}
	snprintf(why, cap, "out of memory");
	return NULL;
}

size_t conf_pack(const struct conf *c, void *buf, size_t cap)
{
	struct wcur w = wcur_of(buf, cap);

	for (size_t i = 0; i < c->text_count; i++) {
		const struct conf_text *t = c->texts + i;

		wcur_u32(&w, (uint32_t)strlen(t->path));
		wcur_u32(&w, (uint32_t)t->len);
		wcur_bytes(&w, t->path, strlen(t->path));
		wcur_bytes(&w, t->text, t->len);
	}
	return w.bad ? 0 : w.len;
}

bool conf_unpack(struct conf *c, const void *bytes, size_t len)
{
	struct rcur r = rcur_of(bytes, len);

	c->keeps = true;
	while (!r.bad && rcur_left(&r)) {
		size_t path_len = rcur_u32(&r), text_len = rcur_u32(&r);
		char path[CONF_PATH_MAX] = "";
		const uint8_t *text;

		if (path_len >= sizeof(path))
			return false;
		rcur_copy(&r, path, path_len);
		text = rcur_take(&r, text_len);
		if (!text || !conf_text_keep(c, path, (const char *)text, text_len))
			return false;
	}
	c->again = true;
	return !r.bad && c->text_count > 0;
}
