/* SPDX-License-Identifier: MIT
 *
 * Tables of objects, see fmt.h. Text that came from a peer was escaped by the daemon, so it is
 * written as it is.
 */
#include "fmt.h"

#include "base/text.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define COLUMNS_MAX 48
#define CELL_MAX    160

struct fmt_table {
	const struct fmt_column *columns[COLUMNS_MAX];
	size_t width[COLUMNS_MAX];
	bool hidden[COLUMNS_MAX]; /* nothing but "-" so far */
	size_t column_count;
	char **cells;
	size_t count, cap; /* cells */
};

/* Places on the screen: characters of UTF-8, not octets. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static const struct fmt_column *find(const struct fmt_column *columns, const char *name, size_t n)
{
	for (; columns->field; columns++)
		if (strlen(columns->field) == n && strncmp(columns->field, name, n) == 0)
			return columns;
	return NULL;
}

static void unknown(const struct fmt_column *columns, const char *word, size_t n, char *why)
{
	const char *names[COLUMNS_MAX], *near;
	char name[64];
	size_t count = 0;

	snprintf(name, sizeof(name), "%.*s", (int)n, word);
	for (; columns[count].field && count < COLUMNS_MAX; count++)
		names[count] = columns[count].field;
	near = text_nearest(name, names, count);
	n = (size_t)snprintf(why, FMT_WHY_MAX, "there is no column \"%s\"; ", name);
	if (near) {
		snprintf(why + n, FMT_WHY_MAX - n, "did you mean \"%s\"?", near);
		return;
	}
	n += (size_t)snprintf(why + n, FMT_WHY_MAX - n, "there are");
	for (size_t i = 0; i < count && n < FMT_WHY_MAX - 1; i++)
		n += (size_t)snprintf(why + n, FMT_WHY_MAX - n, " %s", names[i]);
}

struct fmt_table *fmt_table_new(const struct fmt_column *columns, const char *choice, char *why)
{
	struct fmt_table *t = calloc(1, sizeof(*t));
	bool all = choice && strcmp(choice, "all") == 0;

	if (!t) {
		snprintf(why, FMT_WHY_MAX, "out of memory");
		return NULL;
	}
	for (const struct fmt_column *c = columns; c->field && (!choice || all); c++)
		if ((all || c->usual) && t->column_count < COLUMNS_MAX)
			t->columns[t->column_count++] = c;
	while (choice && !all && *choice && t->column_count < COLUMNS_MAX) {
		size_t n = strcspn(choice, ",");

		t->columns[t->column_count] = find(columns, choice, n);
		if (!t->columns[t->column_count]) {
			unknown(columns, choice, n, why);
			free(t);
			return NULL;
		}
		t->column_count++;
		choice += n + (choice[n] == ',');
	}
	for (size_t i = 0; i < t->column_count; i++) {
		t->width[i] = strlen(t->columns[i]->head);
		t->hidden[i] = !choice;
	}
	return t;
}

void fmt_table_free(struct fmt_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

static const char *count_text(double v, const char *const *units, double step, char *buf,
			      size_t cap)
{
	size_t unit = 0;

	while (v >= step && units[unit + 1]) {
		v /= step;
		unit++;
	}
	snprintf(buf, cap, unit && v < 100 ? "%.1f%s" : "%.0f%s", v, units[unit]);
	return buf;
}

/* "192.0.2.1:1701" and "[2001:db8::1]:1701" without the port. */
static void cut_port(char *text)
{
	char *colon = strrchr(text, ':');
	size_t n = strlen(text);

	if (text[0] == '[' && colon && colon > text && colon[-1] == ']') {
		n = (size_t)(colon - text) - 2;
		memmove(text, text + 1, n);
		text[n] = '\0';
	} else if (colon && strchr(text, ':') == colon) {
		*colon = '\0';
	}
}

const char *fmt_value(json_t *value, enum fmt_kind kind, char *buf, size_t cap)
{
	static const char *const thousands[] = { "", "k", "M", "G", "T", "P", NULL };
	static const char *const octets[] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB", NULL };

	if (json_is_string(value)) {
		snprintf(buf, cap, "%s", json_string_value(value));
		if (kind == FMT_HOST)
			cut_port(buf);
	} else if (json_is_integer(value) && kind == FMT_COUNT)
		count_text((double)json_integer_value(value), thousands, 1000, buf, cap);
	else if (json_is_integer(value) && kind == FMT_OCTETS)
		count_text((double)json_integer_value(value), octets, 1024, buf, cap);
	else if (json_is_integer(value) && kind == FMT_DURATION)
		text_duration(buf, cap, json_integer_value(value));
	else if (json_is_integer(value) && kind == FMT_LIMIT && !json_integer_value(value))
		snprintf(buf, cap, "-");
	else if (json_is_integer(value))
		snprintf(buf, cap, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		snprintf(buf, cap, "%.1f", json_real_value(value));
	else if (json_is_boolean(value))
		snprintf(buf, cap, "%s", json_is_true(value) ? "yes" : "no");
	else
		snprintf(buf, cap, "-");
	return buf;
}

/* The value of a column: a field, or what is made of several. */
static json_t *cell_of(json_t *object, const struct fmt_column *c)
{
	json_t *value = json_object_get(object, c->field);
	const char *role;

	if (c->kind == FMT_MORE)
		return json_equal(value, json_object_get(object, "because")) ? NULL : value;
	if (c->kind != FMT_ADDRESS)
		return value;
	role = json_string_value(json_object_get(object, "role"));
	return json_object_get(object,
			       role && strcmp(role, "client") == 0 ? "our_ip4" : "peer_ip4");
}

bool fmt_table_add(struct fmt_table *t, json_t *object)
{
	if (t->count + t->column_count > t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 1024;
		char **grown = realloc(t->cells, cap * sizeof(*grown));

		if (!grown)
			return false;
		t->cells = grown;
		t->cap = cap;
	}
	for (size_t i = 0; i < t->column_count; i++) {
		char buf[CELL_MAX];
		size_t n;
		char *cell = strdup(fmt_value(cell_of(object, t->columns[i]), t->columns[i]->kind,
					      buf, sizeof(buf)));

		if (!cell)
			return false;
		t->cells[t->count++] = cell;
		if (strcmp(cell, "-") != 0)
			t->hidden[i] = false;
		n = width_of(cell);
		if (n > t->width[i])
			t->width[i] = n;
	}
	return true;
}

static void put_cell(const struct fmt_table *t, size_t i, const char *text, FILE *f)
{
	size_t n = width_of(text), pad = t->width[i] > n ? t->width[i] - n : 0;
	bool last = true;

	for (size_t j = i + 1; j < t->column_count; j++)
		last = last && t->hidden[j];
	if (t->hidden[i])
		return;
	if (t->columns[i]->right)
		fprintf(f, "%*s%s", (int)pad, "", text);
	else
		fprintf(f, "%s%*s", text, last ? 0 : (int)pad, "");
	fputs(last ? "\n" : "  ", f);
}

void fmt_table_print(const struct fmt_table *t, FILE *f)
{
	for (size_t i = 0; i < t->column_count; i++)
		put_cell(t, i, t->columns[i]->head, f);
	for (size_t i = 0; i < t->count; i++)
		put_cell(t, i % t->column_count, t->cells[i], f);
}

bool fmt_match(json_t *object, char *const *filters, int count)
{
	for (int i = 0; i < count; i++) {
		const char *value = strchr(filters[i], '=');
		char field[64], buf[CELL_MAX];

		snprintf(field, sizeof(field), "%.*s", (int)(value - filters[i]), filters[i]);
		if (strcmp(field, "address") == 0) {
			struct fmt_column c = { .field = field, .kind = FMT_ADDRESS };

			fmt_value(cell_of(object, &c), FMT_TEXT, buf, sizeof(buf));
		} else {
			fmt_value(json_object_get(object, field), FMT_TEXT, buf, sizeof(buf));
		}
		if (fnmatch(value + 1, buf, 0) != 0)
			return false;
	}
	return true;
}

bool fmt_filters_ok(const struct fmt_column *columns, char *const *filters, int count, char *why)
{
	for (int i = 0; i < count; i++) {
		const char *value = strchr(filters[i], '=');

		if (!value || value == filters[i]) {
			snprintf(why, FMT_WHY_MAX, "\"%s\" is no filter; write column=value",
				 filters[i]);
			return false;
		}
		if (!find(columns, filters[i], (size_t)(value - filters[i]))) {
			unknown(columns, filters[i], (size_t)(value - filters[i]), why);
			return false;
		}
	}
	return true;
}
