/* SPDX-License-Identifier: MIT
 *
 * How objects of the daemon are shown to people: tables with chosen columns, filters.
 */
#ifndef ADIT_CTL_FMT_H
#define ADIT_CTL_FMT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define FMT_WHY_MAX 1024

/* How a value is written. */
enum fmt_kind {
	FMT_TEXT,
	FMT_COUNT,    /* 12.3M */
	FMT_OCTETS,   /* 1.2 GiB */
	FMT_DURATION, /* seconds as 2 d 03:04:05 */
	FMT_LIMIT,    /* 0 is none */
	FMT_ADDRESS,  /* of a session: what the other side has (server), what we have (client) */
	FMT_HOST,     /* an address without its port */
	FMT_MORE,     /* words, where they say more than the field "because" */
};

struct fmt_column {
	const char *field; /* name in the object; also the name for -o */
	const char *head;
	enum fmt_kind kind;
	bool right;
	bool usual; /* shown when nothing is chosen */
};

struct fmt_table;

/* `columns` ends with a NULL field. Without a choice, columns that are empty in all rows are left
 * out. `choice`: names separated by commas, "all", or NULL. NULL with
 * the reason in `why` (FMT_WHY_MAX). */
struct fmt_table *fmt_table_new(const struct fmt_column *columns, const char *choice, char *why);
void fmt_table_free(struct fmt_table *t);

/* Add a row. False when out of memory. */
bool fmt_table_add(struct fmt_table *t, json_t *object);
void fmt_table_print(const struct fmt_table *t, FILE *f);

/* Does the object have these values? `filters` are "field=value", value with * and ?. */
bool fmt_match(json_t *object, char *const *filters, int count);

/* Check filters against the columns. False with the reason in `why` (FMT_WHY_MAX). */
bool fmt_filters_ok(const struct fmt_column *columns, char *const *filters, int count, char *why);

/* A value as text, "-" for none. Returns `buf`. */
const char *fmt_value(json_t *value, enum fmt_kind kind, char *buf, size_t cap);

#endif
