/* SPDX-License-Identifier: MIT
 *
 * Inside of the configuration: the file as a tree of blocks and values, before it becomes what
 * conf.h promises. Used by conf*.c only.
 */
#ifndef ADIT_DAEMON_CONF_TREE_H
#define ADIT_DAEMON_CONF_TREE_H

#include "conf.h"

/* An option of a block. */
struct conf_value {
	const struct conf_key *key;
	char **v; /* NULL when it is not set */
	size_t n;
	char *file; /* where it stands */
	int line;
};

struct conf_block {
	enum conf_kind kind;
	char name[CONF_NAME]; /* "" of CONF_GLOBAL */
	char *file;
	int line;
	struct conf_value *values; /* one for each key of the kind, in the order of the schema */
	size_t count;
};

/* Where an error is told: the first one wins. */
struct conf_err {
	char *text;
	size_t cap;
	bool set;
};

void conf_fail(struct conf_err *e, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A whole file with a NUL behind it. NULL with the reason in `why`. */
char *conf_slurp(const char *path, char *why, size_t cap);

/* The rows of a kind, and how many. */
const struct conf_key *conf_keys(enum conf_kind kind, size_t *ret_count);

/* Is `text` a value for this key? False with the reason and the remedy in `why`. */
bool conf_value_ok(const struct conf_key *k, const char *text, char *why, size_t cap);
bool conf_bool(const char *text, bool *ret);
bool conf_number(const char *text, int64_t *ret);
bool conf_range4(const char *text, struct conf_range4 *ret, bool *ret_prefix);

/* Add a block with no value set. NULL when out of memory. */
struct conf_block *conf_block_add(struct conf *c, enum conf_kind kind, const char *name,
				  const char *file, int line);
const struct conf_block *conf_block_find(const struct conf *c, enum conf_kind kind,
					 const char *name);
void conf_blocks_free(struct conf *c);

/* The value of a key, NULL when it is not in the file. The key is one of the kind. */
const struct conf_value *conf_get(const struct conf_block *b, const char *key);

/* Make everything of `c` from its blocks. False with the error told. */
bool conf_build(struct conf *c, unsigned int flags, struct conf_err *e);

#endif
