/* SPDX-License-Identifier: MIT
 *
 * Values of the tree with their defaults, and what stands in files of its own: secrets and users.
 * Single values have been checked before (conf_schema.c), so converting one cannot fail.
 */
#include "conf_tree.h"

#include "base/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool conf_no_memory(struct conf_build *b)
{
	conf_fail(b->e, b->c->path, 0, "out of memory");
	return false;
}

/* ---- values with their defaults ---- */

static const struct conf_key *key_of(const struct conf_block *block, const char *key)
{
	for (size_t i = 0; i < block->count; i++)
		if (strcmp(block->values[i].key->key, key) == 0)
			return block->values[i].key;
	return NULL;
}

/* The text of a single value, NULL when it is not set and has no default. */
const char *conf_text_of(const struct conf_block *block, const char *key)
{
	const struct conf_value *v = conf_get(block, key);

	return v ? v->v[0] : key_of(block, key)->def;
}

bool conf_differs(const struct conf_block *block, const char *key)
{
	const struct conf_value *v = conf_get(block, key);

	return v && (v->n > 1 || !v->key->def || strcmp(v->key->def, v->v[0]) != 0);
}

bool conf_bool_of(const struct conf_block *block, const char *key)
{
	const char *text = conf_text_of(block, key);
	bool v = false;

	if (text)
		conf_bool(text, &v);
	return v;
}

/* "auto" and "any" are 0. */
uint32_t conf_number_of(const struct conf_block *block, const char *key)
{
	const char *text = conf_text_of(block, key);
	int64_t v = 0;

	if (text)
		conf_number(text, &v);
	return (uint32_t)v;
}

/* In microseconds, `never` for "never". */
int64_t conf_duration_of(const struct conf_block *block, const char *key, int64_t never)
{
	const char *text = conf_text_of(block, key);
	int64_t v = -1;

	if (text)
		conf_duration(text, &v);
	return v < 0 ? never : v;
}

struct addr conf_addr_of(const struct conf_block *block, const char *key)
{
	const char *text = conf_text_of(block, key);
	struct addr a = { 0 };

	if (text)
		addr_parse(text, &a);
	return a;
}

bool conf_prefixes_of(struct conf_build *b, const struct conf_block *block, const char *key,
		      struct prefix **ret, size_t *ret_count)
{
	const struct conf_value *v = conf_get(block, key);
	struct prefix *p;

	if (!v)
		return true;
	p = calloc(v->n, sizeof(*p));
	if (!p)
		return conf_no_memory(b);
	for (size_t i = 0; i < v->n; i++)
		prefix_parse(v->v[i], p + i);
	*ret = p;
	*ret_count = v->n;
	return true;
}

size_t conf_count_of(const struct conf *c, enum conf_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < c->block_count; i++)
		n += c->blocks[i].kind == kind;
	return n;
}

/* ---- secrets and users ---- */

uint64_t conf_hash_text(uint64_t hash, const char *text)
{
	do
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return hash;
}

uint64_t conf_hash_block(uint64_t hash, const struct conf_block *block, const char *without)
{
	for (size_t i = 0; i < block->count; i++) {
		const struct conf_value *v = block->values + i;
		const char *key = v->key->key;

		if (strstr(key, "secret") || strcmp(key, without) == 0 || !conf_differs(block, key))
			continue;
		hash = conf_hash_text(hash, key);
		for (size_t k = 0; k < v->n; k++)
			hash = conf_hash_text(hash, v->v[k]);
	}
	return hash ? hash : 1;
}

/* The first line of a file. */
static bool first_line(struct conf_build *b, const struct conf_block *block, const char *key,
		       const char *path, char *ret, size_t cap)
{
	const char *kept = b->c->again ? conf_text_kept(b->c, path) : NULL;
	int fd = kept ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = kept ? snprintf(ret, cap, "%s", kept) : fd < 0 ? -1 : read(fd, ret, cap - 1);
	int error = errno;
	size_t len;

	if (fd >= 0)
		close(fd);
	if (n < 0) {
		FAIL(b, block, key, "%s cannot be read: %s%s", path, strerror(error),
		     error == EACCES ? "; it has to be readable for the user of aditd" : "");
		return false;
	}
	ret[n] = '\0';
	len = strcspn(ret, "\r\n");
	if (len == cap - 1) {
		FAIL(b, block, key, "the first line of %s is longer than %zu octets", path,
		     cap - 2);
		return false;
	}
	if (len == 0) {
		FAIL(b, block, key, "%s is empty; its first line is the secret", path);
		return false;
	}
	bytes_wipe(ret + len, (size_t)n - len);
	if (!conf_text_kept(b->c, path) && !conf_text_keep(b->c, path, ret, len))
		return conf_no_memory(b);
	return true;
}

/* A secret from the file itself or from a file of its own; "" when there is none. */
bool conf_secret_of(struct conf_build *b, const struct conf_block *block, const char *key,
		    const char *file_key, char *ret, size_t cap, bool *ret_set)
{
	const struct conf_value *v = conf_get(block, key), *file = conf_get(block, file_key);

	ret[0] = '\0';
	*ret_set = v || file;
	if (v && file) {
		FAIL(b, block, file_key, "%s and %s are both set; remove one", key, file_key);
		return false;
	}
	if (v)
		snprintf(ret, cap, "%s", v->v[0]);
	if (file && !(b->flags & CONF_NO_FILES))
		return first_line(b, block, file_key, file->v[0], ret, cap);
	if (file)
		snprintf(ret, cap, "?");
	return true;
}

const char *conf_secret_file(const struct conf *c, size_t index)
{
	for (size_t i = 0; i < c->block_count; i++) {
		const struct conf_block *b = c->blocks + i;

		for (size_t k = 0; k < b->count; k++) {
			const struct conf_value *v = b->values + k;

			if (v->v &&
			    (strcmp(v->key->key, "secret-file") == 0 ||
			     strcmp(v->key->key, "old-secret-file") == 0 ||
			     strcmp(v->key->key, "password-file") == 0) &&
			    index-- == 0)
				return v->v[0];
		}
	}
	return NULL;
}

/* The name of a users source: its path, or an abbreviation that is the same every time. */
static void users_name(const char *path, char ret[CONF_NAME])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (strlen(path) < CONF_NAME) {
		strcpy(ret, path);
		return;
	}
	for (const char *p = path; *p; p++)
		hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	snprintf(ret, CONF_NAME, "%.40s...%016llx", path, (unsigned long long)hash);
}

static bool users_load(struct conf_build *b, const struct conf_block *block, struct conf_users *ret)
{
	char why[256] = "", *text = conf_text_read(b->c, ret->path, why, sizeof(why));
	struct users *users;
	int err = 0;

	if (!text) {
		FAIL(b, block, "users", "%s %s; see adit-users(5)", ret->path, why);
		return false;
	}
	users = users_parse(text, strlen(text), &err, why, sizeof(why));
	if (!users && err == -EINVAL)
		conf_fail(b->e, ret->path, 0, "%s", why);
	else if (!users)
		conf_no_memory(b);
	bytes_wipe(text, strlen(text));
	free(text);
	ret->users = users;
	return users != NULL;
}

bool conf_users_of(struct conf_build *b, const struct conf_block *block, struct conf_profile *p)
{
	const char *path = conf_text_of(block, "users");
	struct conf *c = b->c;
	struct conf_users *grown;

	if (!path)
		return true;
	users_name(path, p->users);
	for (size_t i = 0; i < c->users_count; i++)
		if (strcmp(c->users[i].path, path) == 0)
			return true;
	grown = realloc(c->users, (c->users_count + 1) * sizeof(*grown));
	if (!grown)
		return conf_no_memory(b);
	c->users = grown;
	grown += c->users_count;
	memset(grown, 0, sizeof(*grown));
	strcpy(grown->name, p->users);
	snprintf(grown->path, sizeof(grown->path), "%s", path);
	if (!(b->flags & CONF_NO_FILES) && !users_load(b, block, grown))
		return false;
	c->users_count++;
	return true;
}
