/* SPDX-License-Identifier: MIT
 *
 * The configuration as text: as a file again (`adit show config`), and as the difference between
 * two (`aditd -n`, `adit reload`). What it prints is read back to the same configuration.
 */
#include "conf_tree.h"

#include "base/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_quoted(FILE *f, const char *text)
{
	fputc('"', f);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', f);
		if (*text == '$')
			fputs("\\x24", f); /* libconfuse would put an environment variable there */
		else
			fputc(*text, f);
	}
	fputc('"', f);
}

/* Numbers and plain words stand without quotes. */
static bool plain(const struct conf_key *k, const char *text)
{
	return k->type == CONF_T_BOOL || k->type == CONF_T_NUMBER || k->type == CONF_T_CHOICE ||
	       k->type == CONF_T_PORT || (k->type == CONF_T_DURATION && !strchr(text, ' '));
}

static void put_value(FILE *f, const struct conf_key *k, const char *text)
{
	if (plain(k, text))
		fputs(text, f);
	else
		put_quoted(f, text);
}

static void put_option(FILE *f, const struct conf_value *v, const char *indent, unsigned int flags)
{
	const struct conf_key *k = v->key;

	fprintf(f, "%s%s = ", indent, k->key);
	if (k->flags & CONF_K_SECRET && !(flags & CONF_PRINT_SECRETS)) {
		fputs("\"(hidden)\"\n", f);
		return;
	}
	if (v->n == 1) {
		put_value(f, k, v->v[0]);
		fputc('\n', f);
		return;
	}
	for (size_t i = 0; i < v->n; i++) {
		fputs(i ? ", " : "{ ", f);
		put_value(f, k, v->v[i]);
	}
	fputs(" }\n", f);
}

static void put_default(FILE *f, const struct conf *c, const struct conf_key *k, const char *indent)
{
	const char *text = k->def;

	if (k->kind == CONF_GLOBAL && strcmp(k->key, "host-name") == 0) {
		fprintf(f, "# host-name is not set: it is the machine's, %s\n", c->host_name);
		return;
	}
	if (!text) {
		fprintf(f, "%s# %s is not set: %s\n", indent, k->key, k->help);
		return;
	}
	fprintf(f, "%s%s = ", indent, k->key);
	if (strchr(text, ','))
		fprintf(f, "{ %s }", text); /* a list of plain words */
	else
		put_value(f, k, text);
	fputs(" # default\n", f);
}

char *conf_print(const struct conf *c, unsigned int flags)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	bool failed;

	if (!f)
		return NULL;
	for (size_t i = 0; i < c->block_count; i++) {
		const struct conf_block *b = c->blocks + i;
		const char *indent = b->kind == CONF_GLOBAL ? "" : "\t";

		if (b->kind != CONF_GLOBAL) {
			fprintf(f, "\n%s ", conf_kind_name(b->kind));
			put_quoted(f, b->name);
			fputs(" {\n", f);
		}
		for (size_t j = 0; j < b->count; j++) {
			if (b->values[j].n)
				put_option(f, b->values + j, indent, flags);
			else if (flags & CONF_PRINT_DEFAULTS)
				put_default(f, c, b->values[j].key, indent);
		}
		if (b->kind != CONF_GLOBAL)
			fputs("}\n", f);
	}
	failed = ferror(f);
	if (fclose(f) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- difference ---- */

/* The values of an option, or its default, one behind the other. */
static char *value_text(const struct conf_value *v)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (!v->n && v->key->def)
		fputs(v->key->def, f);
	for (size_t i = 0; i < v->n; i++)
		fprintf(f, "%s%s", i ? ", " : "", v->v[i]);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* Out of memory counts as a difference. */
static bool value_same(const struct conf_value *a, const struct conf_value *b)
{
	char *x = value_text(a), *y = value_text(b);
	int64_t t, u;
	bool same = x && y && strcmp(x, y) == 0;

	if (!same && x && y && a->key->type == CONF_T_DURATION)
		same = conf_duration(x, &t) && conf_duration(y, &u) && t == u; /* 1 min, 60 s */
	if (a->key->flags & CONF_K_SECRET) {
		if (x)
			bytes_wipe(x, strlen(x));
		if (y)
			bytes_wipe(y, strlen(y));
	}
	free(x);
	free(y);
	return same;
}

static void put_shown(FILE *f, const struct conf_value *v)
{
	if (!v->n) {
		fputs(v->key->def ? v->key->def : "not set", f);
		return;
	}
	if (v->key->flags & CONF_K_SECRET) {
		fputs("(hidden)", f);
		return;
	}
	for (size_t i = 0; i < v->n; i++)
		fprintf(f, "%s%s", i ? ", " : "", v->v[i]);
}

static void put_place(FILE *f, const struct conf_block *b)
{
	if (b->kind != CONF_GLOBAL)
		fprintf(f, "%s \"%s\": ", conf_kind_name(b->kind), b->name);
}

char *conf_diff(const struct conf *from, const struct conf *to)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	bool failed;

	if (!f)
		return NULL;
	for (size_t i = 0; i < from->block_count; i++) {
		const struct conf_block *b = from->blocks + i;
		const struct conf_block *now = conf_block_find(to, b->kind, b->name);

		if (!now) {
			put_place(f, b);
			fputs("removed\n", f);
			continue;
		}
		for (size_t j = 0; j < b->count; j++) {
			if (value_same(b->values + j, now->values + j))
				continue;
			put_place(f, b);
			fprintf(f, "%s: ", b->values[j].key->key);
			put_shown(f, b->values + j);
			fputs(" -> ", f);
			put_shown(f, now->values + j);
			fputc('\n', f);
		}
	}
	for (size_t i = 0; i < to->block_count; i++) {
		if (conf_block_find(from, to->blocks[i].kind, to->blocks[i].name))
			continue;
		put_place(f, to->blocks + i);
		fputs("added\n", f);
	}
	failed = ferror(f);
	if (fclose(f) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}
