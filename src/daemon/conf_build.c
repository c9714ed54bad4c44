/* SPDX-License-Identifier: MIT
 *
 * From the tree of blocks to what conf.h promises: defaults filled in, names resolved, files read,
 * what contradicts itself refused. Single values have been checked before (conf_schema.c), so
 * converting one cannot fail; what is checked here takes more than one value.
 */
#include "conf_tree.h"

#include "base/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MRU_AUTO \
	1436 /* fits 1500 octets: IPv6, UDP, L2TP with Length and Ns/Nr, FF 03 and protocol */

struct build {
	struct conf *c;
	unsigned int flags;
	struct conf_err *e;
	uint64_t secrets; /* hash of the secrets of the session being made */
};

/* An error that concerns a value, or the block when the value is not in the file. */
#define FAIL(b, block, key, ...)                                         \
	do {                                                             \
		const struct conf_value *at_ = conf_get(block, key);     \
		conf_fail((b)->e, at_ ? at_->file : (block)->file,       \
			  at_ ? at_->line : (block)->line, __VA_ARGS__); \
	} while (0)

static bool no_memory(struct build *b)
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
static const char *text_of(const struct conf_block *block, const char *key)
{
	const struct conf_value *v = conf_get(block, key);

	return v ? v->v[0] : key_of(block, key)->def;
}

static bool bool_of(const struct conf_block *block, const char *key)
{
	const char *text = text_of(block, key);
	bool v = false;

	if (text)
		conf_bool(text, &v);
	return v;
}

/* "auto" and "any" are 0. */
static uint32_t number_of(const struct conf_block *block, const char *key)
{
	const char *text = text_of(block, key);
	int64_t v = 0;

	if (text)
		conf_number(text, &v);
	return (uint32_t)v;
}

/* In microseconds, `never` for "never". */
static int64_t duration_of(const struct conf_block *block, const char *key, int64_t never)
{
	const char *text = text_of(block, key);
	int64_t v = -1;

	if (text)
		conf_duration(text, &v);
	return v < 0 ? never : v;
}

static struct addr addr_of(const struct conf_block *block, const char *key)
{
	const char *text = text_of(block, key);
	struct addr a = { 0 };

	if (text)
		addr_parse(text, &a);
	return a;
}

static bool prefixes_of(struct build *b, const struct conf_block *block, const char *key,
			struct prefix **ret, size_t *ret_count)
{
	const struct conf_value *v = conf_get(block, key);
	struct prefix *p;

	if (!v)
		return true;
	p = calloc(v->n, sizeof(*p));
	if (!p)
		return no_memory(b);
	for (size_t i = 0; i < v->n; i++)
		prefix_parse(v->v[i], p + i);
	*ret = p;
	*ret_count = v->n;
	return true;
}

static size_t count_of(const struct conf *c, enum conf_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < c->block_count; i++)
		n += c->blocks[i].kind == kind;
	return n;
}

/* ---- secrets and users ---- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
	do
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return hash;
}

/* The first line of a file. */
static bool first_line(struct build *b, const struct conf_block *block, const char *key,
		       const char *path, char *ret, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, cap - 1);
	int error = errno;
	size_t len;

	if (fd >= 0)
		close(fd);
	if (n < 0) {
		FAIL(b, block, key, "%s cannot be read: %s", path, strerror(error));
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
	return true;
}

/* A secret from the file itself or from a file of its own; "" when there is none. */
static bool secret_of(struct build *b, const struct conf_block *block, const char *key,
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
	return true;
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

static bool users_load(struct build *b, const struct conf_block *block, struct conf_users *ret)
{
	char why[256] = "", *text = conf_slurp(ret->path, why, sizeof(why));
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
		no_memory(b);
	bytes_wipe(text, strlen(text));
	free(text);
	ret->users = users;
	return users != NULL;
}

static bool users_of(struct build *b, const struct conf_block *block, struct conf_profile *p)
{
	const char *path = text_of(block, "users");
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
		return no_memory(b);
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

/* ---- global ---- */

static bool build_global(struct build *b)
{
	const struct conf_block *g = b->c->blocks;
	static const char *const levels[] = {
		[TRACE_DEBUG] = "debug",
		[TRACE_INFO] = "info",
		[TRACE_NOTICE] = "notice",
		[TRACE_WARNING] = "warning",
	};
	static const char *const logs[] = {
		[CONF_LOG_AUTO] = "auto",
		[CONF_LOG_STDERR] = "stderr",
		[CONF_LOG_SYSLOG] = "syslog",
		[CONF_LOG_JOURNAL] = "journal",
	};
	struct conf *c = b->c;
	const char *name = text_of(g, "host-name"), *accounting = text_of(g, "accounting");

	if (name)
		snprintf(c->host_name, sizeof(c->host_name), "%s", name);
	else if (gethostname(c->host_name, sizeof(c->host_name) - 1) < 0 || !c->host_name[0])
		strcpy(c->host_name, "adit");
	snprintf(c->control, sizeof(c->control), "%s", text_of(g, "control"));
	snprintf(c->user, sizeof(c->user), "%s", text_of(g, "user"));
	snprintf(c->state_dir, sizeof(c->state_dir), "%s", text_of(g, "state-directory"));
	snprintf(c->accounting, sizeof(c->accounting), "%s", accounting ? accounting : "");
	snprintf(c->ifname, sizeof(c->ifname), "%s", text_of(g, "interface"));
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i], text_of(g, "log-level")) == 0)
			c->log_level = (enum trace_level)i;
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++)
		if (strcmp(logs[i], text_of(g, "log")) == 0)
			c->log_to = (enum conf_log)i;
	c->max_tunnels = number_of(g, "max-tunnels");
	c->max_sessions = number_of(g, "max-sessions");

	c->access = access_conf_new();
	if (!c->access)
		return no_memory(b);
	strcpy(c->access->host_name, c->host_name);
	c->access->max_tunnels = c->max_tunnels;
	c->access->max_sessions = c->max_sessions;
	return true;
}

/* ---- sockets ---- */

/* The number of a socket: the same in every process and after every restart. */
static uint32_t socket_via(const struct conf *c, const struct conf_socket *s)
{
	char text[ADDR_TEXT_MAX];
	uint32_t hash = 0x811c9dc5u;
	const char *parts[] = { s->name, addr_text(&s->addr, text), s->device };

	for (size_t i = 0; i < 3; i++) {
		for (const char *p = parts[i]; *p; p++)
			hash = (hash ^ (uint8_t)*p) * 0x01000193u;
		hash = (hash ^ '/') * 0x01000193u;
	}
	while (hash == 0 || conf_socket_find(c, hash))
		hash++;
	return hash;
}

static bool socket_add(struct build *b, const struct conf_socket *s, int *ret_index)
{
	struct conf *c = b->c;
	struct conf_socket *grown = realloc(c->sockets, (c->socket_count + 1) * sizeof(*grown));

	if (!grown)
		return no_memory(b);
	c->sockets = grown;
	grown[c->socket_count] = *s;
	grown[c->socket_count].via = socket_via(c, s);
	if (ret_index)
		*ret_index = (int)c->socket_count;
	c->socket_count++;
	return true;
}

/* Two sockets that cannot both be bound. */
static const struct conf_socket *socket_clash(const struct conf *c, const struct conf_socket *s)
{
	for (size_t i = 0; i < c->socket_count; i++) {
		const struct conf_socket *o = c->sockets + i;

		if (o->addr.family == s->addr.family && o->addr.port == s->addr.port &&
		    strcmp(o->device, s->device) == 0 && addr_same_ip(&o->addr, &s->addr))
			return o;
	}
	return NULL;
}

static bool build_listen(struct build *b, const struct conf_block *block)
{
	struct conf_socket s = { .listener = true };
	struct addr addr = addr_of(block, "address");
	const char *device = text_of(block, "device");
	static const uint16_t families[] = { AF_INET, AF_INET6 };

	snprintf(s.name, sizeof(s.name), "listen %s", block->name);
	snprintf(s.device, sizeof(s.device), "%s", device ? device : "");
	for (size_t i = 0; i < 2; i++) {
		const struct conf_socket *clash;

		if (addr.family && addr.family != families[i])
			continue;
		s.addr = addr;
		s.addr.family = families[i];
		s.addr.port = (uint16_t)number_of(block, "port");
		clash = socket_clash(b->c, &s);
		if (clash) {
			FAIL(b, block, "address",
			     "%s has the address and port of \"%s\"; change or remove one", s.name,
			     clash->name);
			return false;
		}
		if (!socket_add(b, &s, NULL))
			return false;
	}
	return true;
}

static bool build_listeners(struct build *b)
{
	static const uint16_t families[] = { AF_INET, AF_INET6 };
	struct conf *c = b->c;
	bool any = false;

	for (size_t i = 0; i < c->block_count; i++) {
		if (c->blocks[i].kind != CONF_LISTEN)
			continue;
		any = true;
		if (!build_listen(b, c->blocks + i))
			return false;
	}
	if (any || !count_of(c, CONF_PEER))
		return true;
	for (size_t i = 0; i < 2; i++) {
		struct conf_socket s = { .name = "listen default", .listener = true };

		s.addr.family = families[i];
		s.addr.port = L2TP_PORT;
		if (!socket_add(b, &s, NULL))
			return false;
	}
	return true;
}

/*
 * The socket of a dialled session for one family: one of its own when any port will do; else a
 * listener on that port, or a socket shared by all sessions that want it.
 */
static bool dial_socket(struct build *b, const struct conf_block *block, uint16_t family,
			int *ret_index)
{
	uint16_t port = (uint16_t)number_of(block, "source-port");
	struct addr source = addr_of(block, "source-address");
	struct conf_socket s = { .addr = source };

	if (source.family && source.family != family)
		return true;
	s.addr.family = family;
	s.addr.port = port;
	if (port == 0) {
		snprintf(s.name, sizeof(s.name), "session %s", block->name);
		return socket_add(b, &s, ret_index);
	}
	for (size_t i = 0; i < b->c->socket_count; i++) {
		const struct conf_socket *o = b->c->sockets + i;

		if (o->addr.family == family && o->addr.port == port && !o->device[0] &&
		    (addr_is_any(&o->addr) || addr_same_ip(&o->addr, &s.addr))) {
			*ret_index = (int)i;
			return true;
		}
	}
	snprintf(s.name, sizeof(s.name), "port %u", port);
	return socket_add(b, &s, ret_index);
}

/* ---- pools ---- */

static bool range_add(struct conf_pool *p, uint32_t first, uint32_t last)
{
	struct conf_range4 *grown;

	grown = realloc(p->ranges, (p->range_count + 1) * sizeof(*grown));
	if (!grown)
		return false;
	p->ranges = grown;
	grown[p->range_count++] = (struct conf_range4){ first, last };
	return true;
}

/* Take one address out of a pool: it is ours. */
static bool range_without(struct conf_pool *p, uint32_t ip)
{
	for (size_t i = 0; i < p->range_count; i++) {
		struct conf_range4 *r = p->ranges + i;

		if (ip < r->first || ip > r->last)
			continue;
		if (r->first == r->last) {
			memmove(r, r + 1, (p->range_count - i - 1) * sizeof(*r));
			p->range_count--;
		} else if (ip == r->first) {
			r->first++;
		} else if (ip == r->last) {
			r->last--;
		} else {
			uint32_t last = r->last;

			r->last = ip - 1;
			return range_add(p, ip + 1, last);
		}
		return true;
	}
	return true;
}

static bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return prefix_has(a, &b->addr) || prefix_has(b, &a->addr);
}

/* No address is in two pools, or twice in one. */
static bool pool_overlaps(struct build *b, const struct conf_block *block,
			  const struct conf_pool *pool)
{
	const struct access_conf *a = b->c->access;
	const struct conf_value *v4 = conf_get(block, "addresses");

	for (size_t o = 0; o < a->pool_count; o++) {
		const struct conf_pool *other = a->pools + o;

		for (size_t i = 0; i < pool->range_count; i++) {
			for (size_t j = 0; j < (other == pool ? i : other->range_count); j++) {
				const struct conf_range4 *x = pool->ranges + i,
							 *y = other->ranges + j;

				if (x->first <= y->last && y->first <= x->last) {
					FAIL(b, block, "addresses",
					     "%s of pool \"%s\" overlaps pool \"%s\"; an address "
					     "belongs to one place",
					     v4->v[i], pool->name, other->name);
					return false;
				}
			}
		}
		for (size_t i = 0; i < pool->prefix6_count; i++) {
			for (size_t j = 0; j < (other == pool ? i : other->prefix6_count); j++) {
				char text[ADDR_TEXT_MAX];

				if (!prefix_overlaps(pool->prefixes6 + i, other->prefixes6 + j))
					continue;
				FAIL(b, block, "prefixes",
				     "%s of pool \"%s\" overlaps pool \"%s\"; a prefix belongs to "
				     "one place",
				     prefix_text(pool->prefixes6 + i, text), pool->name,
				     other->name);
				return false;
			}
		}
	}
	return true;
}

static bool build_pool(struct build *b, const struct conf_block *block)
{
	struct access_conf *a = b->c->access;
	struct conf_pool *p = a->pools + a->pool_count++;
	const struct conf_value *v = conf_get(block, "addresses");

	strcpy(p->name, block->name);
	p->len6 = (uint8_t)number_of(block, "prefix-length");
	for (size_t i = 0; v && i < v->n; i++) {
		struct conf_range4 r;
		bool prefix;

		conf_range4(v->v[i], &r, &prefix);
		if (!range_add(p, r.first + prefix, r.last - prefix))
			return no_memory(b);
	}
	if (!prefixes_of(b, block, "prefixes", &p->prefixes6, &p->prefix6_count))
		return false;
	if (!p->range_count && !p->prefix6_count) {
		FAIL(b, block, "addresses", "pool \"%s\" is empty; set addresses, prefixes or both",
		     block->name);
		return false;
	}
	for (size_t i = 0; i < p->prefix6_count; i++) {
		char text[ADDR_TEXT_MAX];

		if (p->prefixes6[i].len <= p->len6)
			continue;
		FAIL(b, block, "prefixes",
		     "%s is smaller than the /%u that a session gets; make it larger, or change "
		     "prefix-length",
		     prefix_text(p->prefixes6 + i, text), p->len6);
		return false;
	}
	return pool_overlaps(b, block, p);
}

static struct conf_pool *pool_find(struct access_conf *a, const char *name)
{
	for (size_t i = 0; i < a->pool_count; i++)
		if (strcmp(a->pools[i].name, name) == 0)
			return a->pools + i;
	return NULL;
}

/* ---- profiles ---- */

static uint8_t auth_bit(const char *text)
{
	return strcmp(text, "chap") == 0  ? PPP_AUTH_CHAP_MD5
	       : strcmp(text, "pap") == 0 ? PPP_AUTH_PAP
					  : PPP_AUTH_NONE;
}

/* The methods in their order, PPP_AUTH_NONE behind the last. False when they contradict. */
static bool auth_of(struct build *b, const struct conf_block *block, uint8_t order[4])
{
	const struct conf_value *v = conf_get(block, "auth");
	size_t n = 0;

	memset(order, 0, 4);
	if (!v) {
		order[0] = PPP_AUTH_CHAP_MD5;
		order[1] = block->kind == CONF_SESSION ? PPP_AUTH_PAP : PPP_AUTH_NONE;
		return true;
	}
	for (size_t i = 0; i < v->n; i++) {
		uint8_t bit = auth_bit(v->v[i]);

		if (bit == PPP_AUTH_NONE && v->n > 1) {
			FAIL(b, block, "auth", "none stands beside other methods; remove one");
			return false;
		}
		if (bit != PPP_AUTH_NONE && (order[0] == bit || order[1] == bit)) {
			FAIL(b, block, "auth", "%s is named twice; remove one", v->v[i]);
			return false;
		}
		if (bit != PPP_AUTH_NONE)
			order[n++] = bit;
	}
	return true;
}

static void link_params(const struct conf_block *block, struct ppp_params *ret)
{
	uint32_t mru = number_of(block, "mru");

	ret->mru = (uint16_t)(mru ? mru : MRU_AUTO);
	ret->mru_max = mru > 1500 ? (uint16_t)mru : 0;
	ret->acfc = ret->pfc = bool_of(block, "header-compression");
	ret->echo_us = duration_of(block, "echo-interval", -1);
	ret->echo_lost = number_of(block, "echo-failures");
	ret->ipcp = bool_of(block, "ipv4");
	ret->ipv6cp = bool_of(block, "ipv6");
}

static bool families_ok(struct build *b, const struct conf_block *block)
{
	if (bool_of(block, "ipv4") || bool_of(block, "ipv6"))
		return true;
	FAIL(b, block, "ipv6", "ipv4 and ipv6 are both no in %s \"%s\"; at least one is needed",
	     conf_kind_name(block->kind), block->name);
	return false;
}

static bool profile_ppp(struct build *b, const struct conf_block *block, struct conf_profile *p)
{
	struct ppp_params params = { 0 };
	int err = 0;

	if (!auth_of(b, block, params.auth_order) || !families_ok(b, block))
		return false;
	if (params.auth_order[0] && !conf_get(block, "users")) {
		FAIL(b, block, "auth",
		     "users of profile \"%s\" have to log in, but no users file is named; set "
		     "users, "
		     "or auth = none",
		     block->name);
		return false;
	}
	if (!params.auth_order[0] && conf_get(block, "users")) {
		FAIL(b, block, "users",
		     "nobody logs in with auth = none; remove users, or set auth");
		return false;
	}
	params.auth_name = b->c->host_name;
	params.chap_again_us = duration_of(block, "chap-interval", 0);
	link_params(block, &params);
	p->ppp = ppp_profile_new(&params, &err);
	if (!p->ppp && err == -EINVAL)
		FAIL(b, block, "mru", "the PPP options of profile \"%s\" do not fit together",
		     block->name);
	else if (!p->ppp)
		return no_memory(b);
	return p->ppp != NULL;
}

/* The name servers, at most two of each family. */
static bool profile_dns(struct build *b, const struct conf_block *block, struct conf_profile *p)
{
	const struct conf_value *v = conf_get(block, "dns");
	size_t n4 = 0, n6 = 0;

	for (size_t i = 0; v && i < v->n; i++) {
		struct addr a;

		addr_parse(v->v[i], &a);
		if ((a.family == AF_INET ? n4 : n6) == 2) {
			FAIL(b, block, "dns",
			     "%s is the third name server of its family; two can be told to users",
			     v->v[i]);
			return false;
		}
		if (a.family == AF_INET)
			p->dns4[n4++] = a;
		else
			p->dns6[n6++] = a;
	}
	return true;
}

static bool profile_pool(struct build *b, const struct conf_block *block, struct conf_profile *p)
{
	const char *name = text_of(block, "pool");
	struct conf_pool *pool = name ? pool_find(b->c->access, name) : NULL;
	uint32_t ip;

	if (name && !pool) {
		FAIL(b, block, "pool", "there is no pool \"%s\"; add pool \"%s\" { ... }", name,
		     name);
		return false;
	}
	snprintf(p->pool, sizeof(p->pool), "%s", name ? name : "");
	p->local4 = addr_of(block, "local-address");
	if (!p->local4.family && pool && pool->range_count) {
		ip = pool->ranges[0].first;
		p->local4 = (struct addr){ .family = AF_INET,
					   .ip = { (uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
						   (uint8_t)(ip >> 8), (uint8_t)ip } };
	}
	if (!p->local4.family && bool_of(block, "ipv4")) {
		FAIL(b, block, "pool",
		     "profile \"%s\" offers IPv4 but has no address of our own; set local-address, "
		     "or "
		     "ipv4 = no",
		     block->name);
		return false;
	}
	return true;
}

static bool build_profile(struct build *b, const struct conf_block *block)
{
	struct access_conf *a = b->c->access;
	struct conf_profile *p = calloc(1, sizeof(*p));

	if (!p)
		return no_memory(b);
	p->refs = 1;
	a->profiles[a->profile_count++] = p;
	strcpy(p->name, block->name);
	if (!profile_pool(b, block, p) || !profile_dns(b, block, p) || !users_of(b, block, p) ||
	    !profile_ppp(b, block, p))
		return false;
	p->no_login = !p->users[0];
	p->mtu = (uint16_t)number_of(block, "mtu");
	p->mss_clamp = bool_of(block, "mss-clamp");
	p->antispoof = bool_of(block, "anti-spoofing");
	p->session_us = duration_of(block, "session-timeout", 0);
	p->idle_us = duration_of(block, "idle-timeout", 0);
	p->interim_us = duration_of(block, "interim-interval", 0);
	p->max_per_user = number_of(block, "max-per-user");
	p->replace = bool_of(block, "replace");
	return true;
}

/* Our own addresses are given to nobody. */
static bool pools_without_ours(struct build *b)
{
	struct access_conf *a = b->c->access;

	for (size_t i = 0; i < a->profile_count; i++) {
		const struct addr *ours = &a->profiles[i]->local4;
		uint32_t ip = (uint32_t)ours->ip[0] << 24 | (uint32_t)ours->ip[1] << 16 |
			      (uint32_t)ours->ip[2] << 8 | ours->ip[3];

		for (size_t j = 0; ours->family && j < a->pool_count; j++)
			if (!range_without(a->pools + j, ip))
				return no_memory(b);
	}
	return true;
}

/* ---- peers and sessions ---- */

static bool tunnel_of(struct build *b, const struct conf_block *block, struct l2tp_profile **ret)
{
	struct l2tp_params params = { .host_name = b->c->host_name };
	char secret[L2TP_SECRET_MAX + 2];
	bool set = false;
	int err = 0;

	if (!secret_of(b, block, "secret", "secret-file", secret, sizeof(secret), &set))
		return false;
	if (!set && (bool_of(block, "challenge") || bool_of(block, "hide"))) {
		const char *key = bool_of(block, "challenge") ? "challenge" : "hide";

		FAIL(b, block, key, "%s needs a secret; set secret or secret-file", key);
		return false;
	}
	b->secrets = hash_text(b->secrets, secret);
	params.secret = secret[0] ? secret : NULL;
	params.secret_len = strlen(secret);
	params.challenge =
		secret[0] && (!conf_get(block, "challenge") || bool_of(block, "challenge"));
	params.hide = secret[0] && bool_of(block, "hide");
	params.sequencing = bool_of(block, "sequencing");
	params.receive_window = (uint16_t)number_of(block, "receive-window");
	params.hello_us = duration_of(block, "hello-interval", -1);
	params.retry_max = number_of(block, "retries");
	params.empty_us = -1;
	params.allow_port_change = block->kind == CONF_SESSION;
	*ret = l2tp_profile_new(&params, &err);
	bytes_wipe(secret, sizeof(secret));
	if (!*ret && err == -EINVAL)
		FAIL(b, block, "secret", "the tunnel options of %s \"%s\" do not fit together",
		     conf_kind_name(block->kind), block->name);
	else if (!*ret)
		return no_memory(b);
	return *ret != NULL;
}

static bool build_peer(struct build *b, const struct conf_block *block)
{
	struct access_conf *a = b->c->access;
	struct conf_peer *p = a->peers + a->peer_count++;
	const char *profile = text_of(block, "profile"), *host = text_of(block, "host-name");

	strcpy(p->name, block->name);
	for (size_t i = 0; i < a->profile_count; i++)
		if (strcmp(a->profiles[i]->name, profile) == 0)
			p->profile = conf_profile_ref(a->profiles[i]);
	if (!p->profile) {
		FAIL(b, block, "profile", "there is no profile \"%s\"; add profile \"%s\" { ... }",
		     profile, profile);
		return false;
	}
	snprintf(p->host_name, sizeof(p->host_name), "%s", host ? host : "");
	p->max_tunnels = number_of(block, "max-tunnels");
	p->max_sessions = number_of(block, "max-sessions");
	return prefixes_of(b, block, "from", &p->from, &p->from_count) &&
	       tunnel_of(b, block, &p->l2tp);
}

static bool dial_ppp(struct build *b, const struct conf_block *block, struct conf_dial *d)
{
	struct ppp_params params = { 0 };
	char password[PPP_SECRET_MAX + 2];
	const char *user = text_of(block, "user");
	uint8_t order[4];
	bool set = false;
	int err = 0;

	if (!families_ok(b, block) || !auth_of(b, block, order) ||
	    !secret_of(b, block, "password", "password-file", password, sizeof(password), &set))
		return false;
	if (!user && set) {
		FAIL(b, block, "password", "there is a password but no user; set user");
		return false;
	}
	if (user && !set) {
		FAIL(b, block, "user",
		     "there is a user but no password; set password or "
		     "password-file");
		return false;
	}
	snprintf(d->user, sizeof(d->user), "%s", user ? user : "");
	b->secrets = hash_text(b->secrets, password);
	params.peer_auth = user ? order[0] | order[1] : 0;
	params.user = d->user;
	params.password = password;
	params.password_len = strlen(password);
	params.ask_dns = bool_of(block, "dns");
	link_params(block, &params);
	d->ppp = ppp_profile_new(&params, &err);
	bytes_wipe(password, sizeof(password));
	if (!d->ppp && err == -EINVAL)
		FAIL(b, block, "mru", "the PPP options of session \"%s\" do not fit together",
		     block->name);
	else if (!d->ppp)
		return no_memory(b);
	return d->ppp != NULL;
}

/* A free name adit1, adit2, ...: neither another session's nor the LNS's. */
static void dial_ifname(const struct conf *c, uint32_t *next, char ret[DP_IFNAME])
{
	bool taken = true;

	while (taken) {
		snprintf(ret, DP_IFNAME, "adit%u", (*next)++);
		taken = strcmp(ret, c->ifname) == 0;
		for (size_t i = 0; i < c->block_count && !taken; i++) {
			const struct conf_value *v = c->blocks[i].kind == CONF_SESSION
							     ? conf_get(c->blocks + i, "interface")
							     : NULL;

			taken = v && strcmp(v->v[0], ret) == 0;
		}
	}
}

static bool dial_interface(struct build *b, const struct conf_block *block, struct conf_dial *d,
			   uint32_t *next)
{
	const char *name = text_of(block, "interface");

	if (!name) {
		dial_ifname(b->c, next, d->ifname);
		return true;
	}
	if (strcmp(name, b->c->ifname) == 0) {
		FAIL(b, block, "interface",
		     "%s is the interface of the sessions others dial; use another name", name);
		return false;
	}
	if (conf_dial_by_ifname(b->c, name)) {
		FAIL(b, block, "interface",
		     "session \"%s\" has the interface %s already; use "
		     "another name",
		     conf_dial_by_ifname(b->c, name)->name, name);
		return false;
	}
	snprintf(d->ifname, sizeof(d->ifname), "%s", name);
	return true;
}

static bool dial_routes(struct build *b, const struct conf_block *block, struct conf_dial *d)
{
	const struct conf_value *v = conf_get(block, "routes");

	if (v && v->n > DP_PREFIXES - 2) {
		FAIL(b, block, "routes", "there are %zu routes; a session can have %d", v->n,
		     DP_PREFIXES - 2);
		return false;
	}
	d->default_route = bool_of(block, "default-route");
	d->table = number_of(block, "route-table");
	d->metric = number_of(block, "route-metric");
	return prefixes_of(b, block, "routes", &d->routes, &d->route_count);
}

/* "2001:db8::1" needs no brackets, and a port has an option of its own. */
static bool dial_server(struct build *b, const struct conf_block *block, struct conf_dial *d)
{
	const char *server = text_of(block, "server");
	struct addr a, source = addr_of(block, "source-address");

	if (addr_parse(server, &a) == 0) {
		if (a.port) {
			FAIL(b, block, "server",
			     "write the address alone and the port as port = %u", a.port);
			return false;
		}
		if (source.family && source.family != a.family) {
			FAIL(b, block, "source-address",
			     "the address of the server and source-address are of different "
			     "families");
			return false;
		}
	} else if (strpbrk(server, " /[]")) {
		FAIL(b, block, "server", "\"%s\" is neither a host name nor an address", server);
		return false;
	}
	snprintf(d->server, sizeof(d->server), "%s", server);
	d->source = source;
	d->port = (uint16_t)number_of(block, "port");
	return true;
}

/* All that makes this dial what it is: a new configuration with the same digest leaves it alone. */
static uint64_t dial_digest(const struct build *b, const struct conf_block *block,
			    const struct conf_dial *d)
{
	uint64_t hash = hash_text(b->secrets, b->c->host_name);

	hash = hash_text(hash, d->ifname);
	for (size_t i = 0; i < block->count; i++) {
		const struct conf_value *v = block->values + i;

		hash = hash_text(hash, v->key->key);
		for (size_t j = 0; j < v->n; j++)
			hash = hash_text(hash, v->v[j]);
	}
	return hash ? hash : 1;
}

static bool build_session(struct build *b, const struct conf_block *block, uint32_t *next_if)
{
	struct access_conf *a = b->c->access;
	size_t index = a->dial_count++;
	struct conf_dial *d = a->dials + index;
	struct conf_dial_socket *s = b->c->dial_sockets + index;
	const char *up = text_of(block, "hook-up"), *down = text_of(block, "hook-down");

	b->secrets = UINT64_C(0xcbf29ce484222325);
	strcpy(d->name, block->name);
	*s = (struct conf_dial_socket){ -1, -1 };
	if (!dial_server(b, block, d) || !dial_socket(b, block, AF_INET, &s->v4) ||
	    !dial_socket(b, block, AF_INET6, &s->v6) || !dial_interface(b, block, d, next_if) ||
	    !dial_routes(b, block, d) || !dial_ppp(b, block, d) || !tunnel_of(b, block, &d->l2tp))
		return false;
	d->via = b->c->sockets[s->v4 >= 0 ? s->v4 : s->v6].via;
	d->automatic = strcmp(text_of(block, "connect"), "auto") == 0;
	d->prefer6 = strcmp(text_of(block, "prefer"), "ipv6") == 0;
	d->redial_first_us = duration_of(block, "redial-first", 0);
	d->redial_cap_us = duration_of(block, "redial-cap", 0);
	if (d->redial_cap_us < d->redial_first_us) {
		FAIL(b, block, "redial-cap", "redial-cap is shorter than redial-first");
		return false;
	}
	d->redial_max = number_of(block, "redial-attempts");
	d->ip4 = bool_of(block, "ipv4");
	d->ip6 = bool_of(block, "ipv6");
	d->want_dns = bool_of(block, "dns");
	d->mtu = (uint16_t)number_of(block, "mtu");
	d->mss_clamp = bool_of(block, "mss-clamp");
	d->idle_us = duration_of(block, "idle-timeout", 0);
	d->session_us = duration_of(block, "session-timeout", 0);
	snprintf(d->hook_up, sizeof(d->hook_up), "%s", up ? up : "");
	snprintf(d->hook_down, sizeof(d->hook_down), "%s", down ? down : "");
	d->digest = dial_digest(b, block, d);
	return true;
}

/* ---- all ---- */

static bool required_set(struct build *b)
{
	for (size_t i = 0; i < b->c->block_count; i++) {
		const struct conf_block *block = b->c->blocks + i;

		for (size_t j = 0; j < block->count; j++) {
			const struct conf_key *k = block->values[j].key;

			if (!(k->flags & CONF_K_REQUIRED) || block->values[j].n)
				continue;
			conf_fail(b->e, block->file, block->line, "%s \"%s\" has no %s; set %s: %s",
				  conf_kind_name(block->kind), block->name, k->key, k->key,
				  k->help);
			return false;
		}
	}
	return true;
}

static bool room(struct build *b)
{
	struct access_conf *a = b->c->access;
	size_t pools = count_of(b->c, CONF_POOL), profiles = count_of(b->c, CONF_PROFILE),
	       peers = count_of(b->c, CONF_PEER), dials = count_of(b->c, CONF_SESSION);

	a->pools = calloc(pools + 1, sizeof(*a->pools));
	a->profiles = calloc(profiles + 1, sizeof(struct conf_profile *));
	a->peers = calloc(peers + 1, sizeof(*a->peers));
	a->dials = calloc(dials + 1, sizeof(*a->dials));
	b->c->dial_sockets = calloc(dials + 1, sizeof(*b->c->dial_sockets));
	if (!a->pools || !a->profiles || !a->peers || !a->dials || !b->c->dial_sockets)
		return no_memory(b);
	return true;
}

static bool build_kind(struct build *b, enum conf_kind kind)
{
	uint32_t next_if = 1;
	bool ok = true;

	for (size_t i = 0; ok && i < b->c->block_count; i++) {
		const struct conf_block *block = b->c->blocks + i;

		if (block->kind != kind)
			continue;
		if (kind == CONF_POOL)
			ok = build_pool(b, block);
		else if (kind == CONF_PROFILE)
			ok = build_profile(b, block);
		else if (kind == CONF_PEER)
			ok = build_peer(b, block);
		else if (kind == CONF_SESSION)
			ok = build_session(b, block, &next_if);
	}
	return ok;
}

bool conf_build(struct conf *c, unsigned int flags, struct conf_err *e)
{
	struct build b = { c, flags, e, 0 };

	return required_set(&b) && build_global(&b) && room(&b) && build_listeners(&b) &&
	       build_kind(&b, CONF_POOL) && build_kind(&b, CONF_PROFILE) &&
	       pools_without_ours(&b) && build_kind(&b, CONF_PEER) && build_kind(&b, CONF_SESSION);
}

/* ---- look up ---- */

const struct conf_socket *conf_socket_find(const struct conf *c, uint32_t via)
{
	for (size_t i = 0; i < c->socket_count; i++)
		if (c->sockets[i].via == via)
			return c->sockets + i;
	return NULL;
}

const struct conf_dial *conf_dial_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->access->dial_count; i++)
		if (strcmp(c->access->dials[i].name, name) == 0)
			return c->access->dials + i;
	return NULL;
}

const struct conf_dial *conf_dial_by_ifname(const struct conf *c, const char *ifname)
{
	for (size_t i = 0; i < c->access->dial_count; i++)
		if (strcmp(c->access->dials[i].ifname, ifname) == 0)
			return c->access->dials + i;
	return NULL;
}

const struct conf_socket *conf_dial_socket(const struct conf *c, const char *dial, int family)
{
	for (size_t i = 0; i < c->access->dial_count; i++) {
		const struct conf_dial_socket *s = c->dial_sockets + i;
		int index = family == AF_INET ? s->v4 : s->v6;

		if (strcmp(c->access->dials[i].name, dial) == 0)
			return index < 0 ? NULL : c->sockets + index;
	}
	return NULL;
}

const struct users *conf_users_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->users_count; i++)
		if (strcmp(c->users[i].name, name) == 0)
			return c->users[i].users;
	return NULL;
}
