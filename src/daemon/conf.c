/* SPDX-License-Identifier: MIT
 *
 * Reading the configuration: the file goes through libconfuse, whose option arrays are made from
 * the schema; each value is checked while its line is known, and lands in a tree of blocks. What
 * the tree means is conf_build.c's business.
 *
 * libconfuse hands no pointer of ours to its callbacks and keeps its lexer in static memory, so the
 * reading state stands in one static pointer, set only while conf_parse() runs. Configurations are
 * read one at a time.
 *
 * A file that ends inside a block is no error to libconfuse. So one line is added behind the text:
 * an option that exists nowhere. At the top level it is taken silently, inside a block it fails.
 */
#include "conf_tree.h"

#include "base/crypto.h"
#include "base/text.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SENTINEL  "end-of-adit-configuration"
#define FILE_MAX  (4 << 20) /* a configuration file in octets */
#define KEYS_MAX  128
#define DEPTH_MAX 8 /* files that include files */

/* A file named by include(): read when the one that names it has been read, since libconfuse's own
 * way of reading it leaves its lexer in disorder after an error. */
struct included {
	char *path;
	size_t at; /* its blocks belong before the block of this index */
	int line;
};

struct reading {
	struct conf *conf;
	const char *name; /* of the main file */
	struct conf_err *err;
	bool open;		       /* the last block is being filled */
	bool complete;		       /* the sentinel was met at the top level */
	const struct conf_value *last; /* the value read last */
	int last_line;
	const char *dir; /* of the main file, for the names of included ones */
	struct included *included;
	size_t included_count;
};

static struct reading *reading;

void conf_fail(struct conf_err *e, const char *file, int line, const char *fmt, ...)
{
	size_t n = 0;
	va_list ap;

	if (e->set)
		return;
	e->set = true;
	if (file && line > 0)
		n = (size_t)snprintf(e->text, e->cap, "%s:%d: ", file, line);
	else if (file)
		n = (size_t)snprintf(e->text, e->cap, "%s: ", file);
	if (n >= e->cap)
		return;
	va_start(ap, fmt);
	vsnprintf(e->text + n, e->cap - n, fmt, ap);
	va_end(ap);
	/* a value may hold anything between its quotes; the message is one line */
	for (char *p = e->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
}

/* ---- the tree ---- */

struct conf_block *conf_block_add(struct conf *c, enum conf_kind kind, const char *name,
				  const char *file, int line)
{
	struct conf_block *grown, *b;
	size_t n;
	const struct conf_key *keys = conf_keys(kind, &n);

	grown = realloc(c->blocks, (c->block_count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	c->blocks = grown;
	b = grown + c->block_count;
	*b = (struct conf_block){ .kind = kind, .line = line };
	snprintf(b->name, sizeof(b->name), "%s", name);
	b->file = strdup(file);
	b->values = calloc(n, sizeof(*b->values));
	if (!b->file || !b->values) {
		free(b->file);
		free(b->values);
		return NULL;
	}
	b->count = n;
	for (size_t i = 0; i < n; i++)
		b->values[i].key = keys + i;
	c->block_count++;
	return b;
}

void conf_blocks_free(struct conf *c)
{
	for (size_t i = 0; i < c->block_count; i++) {
		struct conf_block *b = c->blocks + i;

		for (size_t j = 0; j < b->count; j++) {
			struct conf_value *v = b->values + j;

			for (size_t k = 0; k < v->n; k++) {
				if (v->key->flags & CONF_K_SECRET)
					bytes_wipe(v->v[k], strlen(v->v[k]));
				free(v->v[k]);
			}
			free(v->v);
			free(v->file);
		}
		free(b->values);
		free(b->file);
	}
	free(c->blocks);
	c->blocks = NULL;
	c->block_count = 0;
}

const struct conf_block *conf_block_find(const struct conf *c, enum conf_kind kind,
					 const char *name)
{
	for (size_t i = 0; i < c->block_count; i++)
		if (c->blocks[i].kind == kind && strcmp(c->blocks[i].name, name) == 0)
			return c->blocks + i;
	return NULL;
}

static struct conf_value *value_of(const struct conf_block *b, const char *key)
{
	for (size_t i = 0; i < b->count; i++)
		if (strcmp(b->values[i].key->key, key) == 0)
			return b->values + i;
	return NULL;
}

const struct conf_value *conf_get(const struct conf_block *b, const char *key)
{
	const struct conf_value *v = value_of(b, key);

	return v && v->n ? v : NULL;
}

const struct conf_value *conf_has(const struct conf_block *b, const char *key)
{
	for (size_t i = 0; i < b->count; i++)
		if (strcmp(b->values[i].key->key, key) == 0)
			return b->values[i].n ? b->values + i : NULL;
	return NULL;
}

/* ---- what libconfuse calls ---- */

/* libconfuse calls the text it is given "[buf]". */
static const char *file_of(const cfg_t *cfg)
{
	if (!cfg->filename || strcmp(cfg->filename, "[buf]") == 0)
		return reading->name;
	return cfg->filename;
}

static enum conf_kind kind_of(const cfg_t *cfg)
{
	for (int k = CONF_GLOBAL + 1; k < CONF_KIND_COUNT; k++)
		if (strcmp(cfg->name, conf_kind_name((enum conf_kind)k)) == 0)
			return (enum conf_kind)k;
	return CONF_GLOBAL;
}

/* "peer \"isp\"" or "the top level". */
static const char *place_of(const cfg_t *cfg, char *buf, size_t cap)
{
	char title[CONF_NAME];

	if (kind_of(cfg) == CONF_GLOBAL)
		snprintf(buf, cap, "the top level");
	else
		snprintf(buf, cap, "%s \"%s\"", cfg->name,
			 text_escape(title, sizeof(title), cfg->title ? cfg->title : "",
				     cfg->title ? strlen(cfg->title) : 0));
	return buf;
}

static void out_of_memory(void)
{
	conf_fail(reading->err, reading->name, 0, "out of memory");
}

static bool title_ok(const char *title)
{
	size_t n = strlen(title);

	if (n == 0 || n >= CONF_NAME)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)title[i] <= 0x20 || title[i] == 0x7f || strchr("\"'\\{}", title[i]))
			return false;
	return true;
}

/* The block that `cfg` is; made when its first option is met, or at its end when it has none. */
static struct conf_block *block_of(cfg_t *cfg)
{
	enum conf_kind kind = kind_of(cfg);
	struct conf *c = reading->conf;
	struct conf_block *b;

	if (kind == CONF_GLOBAL)
		return c->blocks;
	if (reading->open)
		return c->blocks + c->block_count - 1;
	if (!cfg->title || !title_ok(cfg->title)) {
		conf_fail(
			reading->err, file_of(cfg), cfg->line,
			"this is not a name for a %s block; use 1 to %d characters without spaces, "
			"quotes, braces and backslashes",
			conf_kind_name(kind), CONF_NAME - 1);
		return NULL;
	}
	if (conf_block_find(c, kind, cfg->title)) { /* of another file; else libconfuse says so */
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "there is already a block of this kind with the name \"%s\"; use another "
			  "name",
			  cfg->title);
		return NULL;
	}
	b = conf_block_add(c, kind, cfg->title, file_of(cfg), cfg->line);
	if (!b)
		out_of_memory();
	else
		reading->open = true;
	return b;
}

static bool value_add(struct conf_value *v, const char *text, const char *file, int line)
{
	char **grown = realloc(v->v, (v->n + 1) * sizeof(*grown));

	if (!grown)
		return false;
	v->v = grown;
	if (!v->file) {
		v->file = strdup(file);
		v->line = line;
		if (!v->file)
			return false;
	}
	grown[v->n] = strdup(text);
	if (!grown[v->n])
		return false;
	v->n++;
	return true;
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct conf_block *b;
	struct conf_value *v;
	char why[256], shown[96];

	if (strcmp(opt->name, SENTINEL) == 0) {
		reading->complete = true;
		*(const char **)result = text;
		return 0;
	}
	if (strcmp(text, SENTINEL) == 0) {
		conf_fail(reading->err, file_of(cfg), cfg->line - 1,
			  "the file ends behind %s =; write the value", opt->name);
		return -1;
	}
	b = block_of(cfg);
	if (!b)
		return -1;
	v = value_of(b, opt->name);
	if (v->n && !(v->key->flags & CONF_K_LIST && cfg_opt_size(opt) > 1)) {
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "%s is set a second time (first in line %d); remove one%s", opt->name,
			  v->line, v->key->flags & CONF_K_LIST ? ", or write += to add" : "");
		return -1;
	}
	if (!conf_value_ok(v->key, text, why, sizeof(why))) {
		if (v->key->flags & CONF_K_SECRET)
			conf_fail(reading->err, file_of(cfg), cfg->line, "%s does not suit: %s",
				  opt->name, why);
		else
			conf_fail(reading->err, file_of(cfg), cfg->line,
				  "\"%s\" does not suit %s: %s",
				  text_escape(shown, sizeof(shown), text, strlen(text)), opt->name,
				  why);
		return -1;
	}
	if (!value_add(v, text, file_of(cfg), cfg->line)) {
		out_of_memory();
		return -1;
	}
	reading->last = v;
	reading->last_line = cfg->line;
	*(const char **)result = v->v[v->n - 1];
	return 0;
}

static int on_block_end(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *block = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	if (!block_of(block))
		return -1;
	reading->open = false;
	return 0;
}

/* include("file"): relative to the directory of the main file. */
static int on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	struct included *grown;
	char *path = NULL;

	if (argc != 1) {
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "include takes one file; write include(\"file\")");
		return -1;
	}
	grown = realloc(reading->included, (reading->included_count + 1) * sizeof(*grown));
	if (grown)
		reading->included = grown;
	if (!grown || asprintf(&path, "%s%s%s", argv[0][0] == '/' ? "" : reading->dir,
			       argv[0][0] == '/' ? "" : "/", argv[0]) < 0) {
		out_of_memory();
		return -1;
	}
	grown[reading->included_count++] = (struct included){ .path = path,
							      .at = reading->conf->block_count,
							      .line = cfg->line };
	return 0;
}

static bool unit_word(const char *word)
{
	char text[32];
	int64_t us;

	snprintf(text, sizeof(text), "1 %s", word);
	return conf_duration(text, &us);
}

/* Line ends inside the value read last: most likely a quote was forgotten. */
static int lines_of(const struct conf_value *v)
{
	int n = 0;

	for (const char *p = v && v->n ? v->v[v->n - 1] : ""; *p; p++)
		n += *p == '\n';
	return n;
}

static void unknown_option(cfg_t *cfg, const char *word)
{
	const char *names[KEYS_MAX], *near, *other = NULL;
	enum conf_kind kind = kind_of(cfg);
	size_t n, count = 0;
	const struct conf_key *keys = conf_keys(kind, &n), *all;
	char place[CONF_NAME + 32], shown[64];

	place_of(cfg, place, sizeof(place));
	if (strcmp(word, SENTINEL) == 0) {
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "the file ends inside %s; close the block with }", place);
		return;
	}
	for (size_t i = 0; i < n; i++)
		names[count++] = keys[i].key;
	for (int k = CONF_GLOBAL + 1; kind == CONF_GLOBAL && k < CONF_KIND_COUNT; k++)
		names[count++] = conf_kind_name((enum conf_kind)k);
	if (kind == CONF_GLOBAL)
		names[count++] = "include";
	all = conf_schema(&n);
	for (size_t i = 0; i < n && !other; i++)
		if (strcmp(all[i].key, word) == 0)
			other = conf_kind_name(all[i].kind);
	near = text_nearest(word, names, count);
	/* "user" for "users": more likely a slip than an option of another block */
	if (near &&
	    (strncmp(near, word, strlen(word)) == 0 || strncmp(near, word, strlen(near)) == 0))
		other = NULL;
	text_escape(shown, sizeof(shown), word, strlen(word));
	if (lines_of(reading->last))
		conf_fail(reading->err, file_of(cfg), reading->last_line - lines_of(reading->last),
			  "the value of %s goes on over the end of the line; is a quote missing?",
			  reading->last->key->key);
	else if (reading->last && reading->last->key->type == CONF_T_DURATION &&
		 reading->last_line == cfg->line && unit_word(word))
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "a value with a space needs quotes; write %s = \"%s %s\"",
			  reading->last->key->key, reading->last->v[0], shown);
	else if (other)
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "\"%s\" is no option of %s; it belongs %s%s%s", shown, place,
			  *other ? "into a " : "to the top level", other, *other ? " block" : "");
	else if (near)
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "unknown option \"%s\" in %s; did you mean \"%s\"?", shown, place, near);
	else
		conf_fail(reading->err, file_of(cfg), cfg->line,
			  "unknown option \"%s\" in %s; see adit.conf(5) for the options", shown,
			  place);
}

/* libconfuse found an error: its format tells which one; ours say what to do about it. */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[256], word[128] = "", place[CONF_NAME + 32];
	const char *file = file_of(cfg);

	if (strncmp(fmt, "%s: %s", 6) != 0 && strstr(fmt, "'%s'")) {
		va_list copy;

		va_copy(copy, ap);
		snprintf(word, sizeof(word), "%s", va_arg(copy, const char *));
		va_end(copy);
	}
	vsnprintf(text, sizeof(text), fmt, ap);
	place_of(cfg, place, sizeof(place));
	if (strncmp(fmt, "no such option", 14) == 0)
		unknown_option(cfg, word);
	else if (strstr(text, SENTINEL) || strncmp(fmt, "premature end", 13) == 0)
		conf_fail(reading->err, file, cfg->line,
			  "the file ends in the middle of a value in %s; complete it", place);
	else if (strncmp(fmt, "missing title", 13) == 0)
		conf_fail(reading->err, file, cfg->line,
			  "this %s block has no name; write %s \"name\" { ... }", word, word);
	else if (strncmp(fmt, "found duplicate title", 21) == 0)
		conf_fail(reading->err, file, cfg->line,
			  "there is already a block of this kind with the name \"%s\"; use another "
			  "name",
			  text_escape(text, 128, word, strlen(word)));
	else if (strncmp(fmt, "missing equal sign", 18) == 0)
		conf_fail(reading->err, file, cfg->line,
			  "a = is missing after %s in %s; write %s = "
			  "value",
			  word, place, word);
	else if (strncmp(fmt, "unexpected token", 16) == 0 && strcmp(word, "{") == 0)
		conf_fail(reading->err, file, cfg->line,
			  "a list in braces stands where one value belongs, in %s; write one value",
			  place);
	else if (strncmp(fmt, "unexpected closing brace", 24) == 0)
		conf_fail(reading->err, file, cfg->line,
			  "this } closes nothing; remove it, or look for a { missing above");
	else
		conf_fail(reading->err, file, cfg->line,
			  "%s in %s; quote values that hold spaces or any of = { } ( ) + , #", text,
			  place);
}

/* ---- reading ---- */

static cfg_opt_t *opts_of(enum conf_kind kind, size_t extra)
{
	size_t n;
	const struct conf_key *keys = conf_keys(kind, &n);
	cfg_opt_t *opts = calloc(n + extra + 1, sizeof(*opts));
	cfg_opt_t end = CFG_END();

	for (size_t i = 0; opts && i < n; i++) {
		cfg_opt_t one = CFG_STR_CB(keys[i].key, NULL, CFGF_NODEFAULT, on_value);
		cfg_opt_t list = CFG_STR_LIST_CB(keys[i].key, NULL, CFGF_NODEFAULT, on_value);

		opts[i] = keys[i].flags & CONF_K_LIST ? list : one;
	}
	if (opts)
		opts[n + extra] = end;
	return opts;
}

/* libconfuse's tree of options, made from the schema. NULL when out of memory. */
static cfg_t *grammar(void)
{
	const size_t extra = CONF_KIND_COUNT - 1 + 2;
	cfg_opt_t *blocks[CONF_KIND_COUNT] = { NULL };
	cfg_t *cfg = NULL;
	bool ok = true;
	size_t n;

	conf_keys(CONF_GLOBAL, &n);
	for (int k = 0; k < CONF_KIND_COUNT; k++) {
		blocks[k] = opts_of((enum conf_kind)k, k == CONF_GLOBAL ? extra : 0);
		ok = ok && blocks[k];
	}
	if (ok) {
		cfg_opt_t include = CFG_FUNC("include", on_include);
		cfg_opt_t end = CFG_STR_CB(SENTINEL, NULL, CFGF_NODEFAULT, on_value);

		for (int k = CONF_GLOBAL + 1; k < CONF_KIND_COUNT; k++) {
			cfg_opt_t block = CFG_SEC(conf_kind_name((enum conf_kind)k), blocks[k],
						  CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);

			block.validcb = on_block_end;
			blocks[CONF_GLOBAL][n++] = block;
		}
		blocks[CONF_GLOBAL][n++] = include;
		blocks[CONF_GLOBAL][n++] = end;
		cfg = cfg_init(blocks[CONF_GLOBAL], CFGF_NONE);
	}
	for (int k = 0; k < CONF_KIND_COUNT; k++)
		free(blocks[k]);
	return cfg;
}

/* One file, without those it includes. */
static void read_text(struct reading *state, const char *text)
{
	char *with = NULL;
	cfg_t *cfg;

	reading = state;
	if (asprintf(&with, "%s\n%s = x\n", text, SENTINEL) < 0)
		with = NULL;
	cfg = grammar();
	if (!cfg || !with) {
		out_of_memory();
	} else {
		cfg_set_error_function(cfg, on_error);
		if (cfg_parse_buf(cfg, with) != CFG_SUCCESS)
			conf_fail(state->err, state->name, cfg->line,
				  "this is not understood; see adit.conf(5)");
		else if (!state->complete)
			conf_fail(state->err, state->name, 0,
				  "the file ends inside a comment or a quoted text; close it");
	}
	if (cfg)
		cfg_free(cfg);
	if (with)
		bytes_wipe(with, strlen(with));
	free(with);
	reading = NULL;
}

static bool read_tree(struct conf *c, const char *text, const char *name, const char *dir,
		      int depth, struct conf_err *e);

/* Read what a file includes; its blocks move from the end to where they were named. */
static bool read_included(struct conf *c, const struct included *in, const char *name,
			  const char *dir, int depth, struct conf_err *e)
{
	size_t before = c->block_count, n;
	struct conf_block *moved;
	char why[256], *text;
	bool ok;

	if (depth < 0) {
		conf_fail(e, name, in->line,
			  "include is not possible here; put the text of %s in its place",
			  in->path);
		return false;
	}
	if (depth == DEPTH_MAX) {
		conf_fail(
			e, name, in->line,
			"files include one another more than %d deep; does a file include itself?",
			DEPTH_MAX);
		return false;
	}
	text = conf_text_read(c, in->path, why, sizeof(why));
	if (!text) {
		conf_fail(e, name, in->line, "%s %s", in->path, why);
		return false;
	}
	ok = read_tree(c, text, in->path, dir, depth + 1, e);
	bytes_wipe(text, strlen(text));
	free(text);
	n = c->block_count - before;
	if (!ok || n == 0 || in->at == before)
		return ok;
	moved = calloc(n, sizeof(*moved));
	if (!moved) {
		conf_fail(e, name, in->line, "out of memory");
		return false;
	}
	memcpy(moved, c->blocks + before, n * sizeof(*moved));
	memmove(c->blocks + in->at + n, c->blocks + in->at, (before - in->at) * sizeof(*moved));
	memcpy(c->blocks + in->at, moved, n * sizeof(*moved));
	free(moved);
	return true;
}

static bool read_tree(struct conf *c, const char *text, const char *name, const char *dir,
		      int depth, struct conf_err *e)
{
	struct reading state = { .conf = c, .name = name, .err = e, .dir = dir };

	read_text(&state, text);
	/* from the last to the first, so that the indices of those before stay right */
	for (size_t i = state.included_count; i-- > 0;) {
		if (!e->set)
			read_included(c, state.included + i, name, dir, depth, e);
		free(state.included[i].path);
	}
	free(state.included);
	return !e->set;
}

/* `c` is taken, also where it comes to nothing; it may be NULL. */
static struct conf *parse(struct conf *c, const char *text, const char *name, unsigned int flags,
			  struct conf_err *e)
{
	char dir[CONF_PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", name);
	if (!c || !conf_block_add(c, CONF_GLOBAL, "", name, 0)) {
		conf_fail(e, name, 0, "out of memory");
		conf_free(c);
		return NULL;
	}
	snprintf(c->path, sizeof(c->path), "%s", name);
	if (read_tree(c, text, name, dirname(dir), flags & CONF_NO_INCLUDE ? -1 : 0, e) &&
	    conf_make(c, flags, e))
		return c;
	conf_free(c);
	return NULL;
}

struct conf *conf_parse(const char *text, const char *name, unsigned int flags, char *err,
			size_t cap)
{
	struct conf_err e = { err, cap, false };

	err[0] = '\0';
	return parse(calloc(1, sizeof(struct conf)), text, name, flags, &e);
}

char *conf_slurp(const char *path, char *why, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	ssize_t got = 1;

	why[0] = '\0';
	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(why, cap, "cannot be read: %s%s", strerror(errno),
			 errno == EACCES ? "; it has to be readable for the user of aditd" : "");
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		snprintf(why, cap, "is not a plain file of at most %d octets", FILE_MAX);
	} else {
		text = malloc((size_t)st.st_size + 1);
		while (text && n < (size_t)st.st_size &&
		       (got = read(fd, text + n, (size_t)st.st_size - n)) > 0)
			n += (size_t)got;
		if (!text)
			snprintf(why, cap, "out of memory");
		else if (got < 0)
			snprintf(why, cap, "cannot be read: %s", strerror(errno));
		else if (memchr(text, '\0', n))
			snprintf(why, cap, "holds a NUL octet; is it a text file?");
		else
			text[n] = '\0';
	}
	if (fd >= 0)
		close(fd);
	if (!why[0])
		return text;
	free(text);
	return NULL;
}

struct conf *conf_load(const char *path, unsigned int flags, char *err, size_t cap)
{
	struct conf_err e = { err, cap, false };
	struct conf *c = calloc(1, sizeof(*c));
	char *text, why[256] = "out of memory";

	err[0] = '\0';
	if (strlen(path) >= CONF_PATH_MAX) {
		conf_fail(&e, path, 0, "the path is longer than %d characters", CONF_PATH_MAX - 1);
		free(c);
		return NULL;
	}
	if (c)
		c->keeps = flags & CONF_KEEP;
	text = c ? conf_text_read(c, path, why, sizeof(why)) : NULL;
	if (!text) {
		conf_fail(&e, path, 0, "%s", why);
		conf_free(c);
		return NULL;
	}
	c = parse(c, text, path, flags, &e);
	bytes_wipe(text, strlen(text));
	free(text);
	return c;
}

struct conf *conf_again(const void *bytes, size_t len, const char *path, char *err, size_t cap)
{
	struct conf_err e = { err, cap, false };
	struct conf *c = calloc(1, sizeof(*c));
	const char *text;

	err[0] = '\0';
	if (c && conf_unpack(c, bytes, len) && (text = conf_text_kept(c, path)))
		return parse(c, text, path, 0, &e);
	conf_fail(&e, path, 0, "there is no former text of it");
	conf_free(c);
	return NULL;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	conf_texts_free(c);
	if (c->access)
		access_conf_unref(c->access);
	for (size_t i = 0; i < c->users_count; i++)
		users_free(c->users[i].users);
	free(c->users);
	free(c->sockets);
	free(c->dial_sockets);
	if (c->wires)
		bytes_wipe(c->wires, c->wire_count * sizeof(*c->wires)); /* cookies */
	free(c->wires);
	pw_conf_unref(c->pw);
	conf_index_free(c);
	conf_blocks_free(c);
	free(c);
}
