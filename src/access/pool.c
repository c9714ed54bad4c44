/* SPDX-License-Identifier: MIT
 *
 * Addresses and prefixes for sessions: no address twice, the same one again for the same user.
 *
 * A lease is an address or prefix that a session has (used) or had (kept for its former user until
 * others need it). Memory goes with the leases, never with the size of a pool: a /32 cut into /64
 * costs nothing by itself.
 *
 * Choice, first that works:
 *   1. the address the user had last in this pool;
 *   2. one that nobody has had: PROBES places drawn by the hash of the user's name, so a user tends
 *      to get the same address even when everything was forgotten;
 *   3. the same by search: a cursor that goes round the pool. Kept leases are forgotten only while
 *      there are more of them than were ever in use, thus while at most half of the pool is known
 *      and probes succeed; so a round finds what is left after at least half the pool was handed
 *      out, and the search costs a constant per lease. A round without result is not repeated
 *      before something was forgotten;
 *   4. the address kept longest (LRU).
 *
 * Fixed addresses of users may lie inside a pool or not; all stand in one table, so that two pools
 * or a pool and a fixed prefix of another length never give out the same address.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

#define PROBES	   32
#define KEEP_LEAST 256
#define SAME_USER  8

static uint64_t place_hash(const struct htab *t, bool six, uint64_t value, uint8_t len)
{
	uint8_t key[10];

	memcpy(key, &value, 8);
	key[8] = len;
	key[9] = six;
	return htab_hash(t, key, sizeof(key));
}

static struct acc_lease *place_find(const struct acc_leases *ls, bool six, uint64_t value,
				    uint8_t len)
{
	struct htab_node *n = htab_find(&ls->by_place, place_hash(&ls->by_place, six, value, len));

	for (; n; n = htab_next(n)) {
		struct acc_lease *l = container_of(n, struct acc_lease, by_place);

		if (l->value == value && l->len == len && l->six == six)
			return l;
	}
	return NULL;
}

static uint64_t upper64(const uint8_t ip[16])
{
	struct rcur c = rcur_of(ip, 8);

	return rcur_u64(&c);
}

static uint32_t upper32(const uint8_t ip[4])
{
	struct rcur c = rcur_of(ip, 4);

	return rcur_u32(&c);
}

static uint64_t mask64(uint8_t len)
{
	return len ? ~UINT64_C(0) << (64 - len) : 0;
}

/* ---- pools as numbers 0..size-1 ---- */

static uint64_t range_size(const struct conf_pool *c, bool six, size_t i)
{
	if (!six)
		return (uint64_t)c->ranges[i].last - c->ranges[i].first + 1;
	if (c->len6 < c->prefixes6[i].len || c->len6 > 64)
		return 0;
	if (c->len6 - c->prefixes6[i].len > 48)
		return UINT64_C(1) << 48;
	return UINT64_C(1) << (c->len6 - c->prefixes6[i].len);
}

static size_t range_count(const struct conf_pool *c, bool six)
{
	return six ? c->prefix6_count : c->range_count;
}

static uint64_t range_first(const struct conf_pool *c, bool six, size_t i)
{
	return six ? upper64(c->prefixes6[i].addr.ip) : c->ranges[i].first;
}

static unsigned int range_shift(const struct conf_pool *c, bool six)
{
	return six ? 64u - c->len6 : 0;
}

static uint64_t pool_value(const struct acc_pool *p, bool six, uint64_t index)
{
	for (size_t i = 0;; i++) {
		uint64_t size = range_size(p->c, six, i);

		if (index < size)
			return range_first(p->c, six, i) + (index << range_shift(p->c, six));
		index -= size;
	}
}

static bool pool_has(const struct conf_pool *c, bool six, uint64_t value, uint8_t len)
{
	if (six && len != c->len6)
		return false;
	for (size_t i = 0; i < range_count(c, six); i++) {
		uint64_t first = range_first(c, six, i), size = range_size(c, six, i);

		if (size && value >= first && (value - first) >> range_shift(c, six) < size)
			return true;
	}
	return false;
}

struct acc_pool *acc_pool_find(const struct access *a, const char *name)
{
	if (!name[0])
		return NULL;
	for (size_t i = 0; i < a->leases.pool_count; i++) {
		if (strcmp(a->leases.pools[i].c->name, name) == 0)
			return &a->leases.pools[i];
	}
	return NULL;
}

static struct acc_pool *pool_of(const struct acc_leases *ls, bool six, uint64_t value, uint8_t len)
{
	for (size_t i = 0; i < ls->pool_count; i++) {
		if (pool_has(ls->pools[i].c, six, value, len))
			return &ls->pools[i];
	}
	return NULL;
}

/* Does this place of pool `p` lie in another pool as well? */
static bool is_shared(const struct acc_leases *ls, const struct acc_pool *p,
		      const struct acc_lease *l)
{
	for (size_t i = 0; ls->overlap && i < ls->pool_count; i++) {
		if (&ls->pools[i] != p && pool_has(ls->pools[i].c, l->six, l->value, l->len))
			return true;
	}
	return false;
}

/* ---- conflicts ---- */

/* Our own address inside belongs to nobody else. */
static bool is_ours(const struct access *a, bool six, uint64_t value)
{
	if (six || !a->conf)
		return false;
	for (size_t i = 0; i < a->conf->profile_count; i++) {
		const struct addr *l = &a->conf->profiles[i]->local4;

		if (l->family == AF_INET && upper32(l->ip) == value)
			return true;
	}
	return false;
}

/* The lease in use that covers part of this place without being this place, or NULL. */
static struct acc_lease *overlapping(struct acc_leases *ls, uint64_t value, uint8_t len)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	for (uint8_t l = 0; l < len; l++) {
		struct acc_lease *have;

		if (!ls->lens6[l])
			continue;
		have = place_find(ls, true, value & mask64(l), l);
		if (have && have->used)
			return have;
	}
	for (uint8_t l = (uint8_t)(len + 1); l <= 64; l++) {
		if (!ls->lens6[l])
			continue;
		/* A few places are looked up one by one, many by walking over what is there. */
		if (l - len > 8)
			goto walk;
		for (uint64_t i = 0; i < UINT64_C(1) << (l - len); i++) {
			struct acc_lease *have = place_find(ls, true, value + (i << (64 - l)), l);

			if (have && have->used)
				return have;
		}
	}
	return NULL;
walk:
	while ((n = htab_walk(&ls->by_place, &pos, n))) {
		struct acc_lease *have = container_of(n, struct acc_lease, by_place);

		if (have->six && have->used && have->len > len &&
		    (have->value & mask64(len)) == value)
			return have;
	}
	return NULL;
}

/* ---- leases ---- */

/* Many sessions under one name share one chain; only so many of them are remembered. */
static void lease_index_user(struct access *a, struct acc_lease *l, uint64_t user)
{
	struct htab_node *n = user ? htab_find(&a->leases.by_user, user) : NULL;
	int have = 0;

	if (l->by_user.hash)
		htab_drop(&a->leases.by_user, &l->by_user);
	l->by_user.hash = 0;
	for (; n; n = htab_next(n))
		have++;
	if (user && have < SAME_USER)
		htab_put(&a->leases.by_user, &l->by_user, user);
}

static void lease_forget(struct access *a, struct acc_lease *l)
{
	struct acc_leases *ls = &a->leases;

	list_drop(&l->u.lru);
	if (l->pool)
		l->pool->kept[l->six]--;
	lease_index_user(a, l, 0);
	htab_drop(&ls->by_place, &l->by_place);
	ls->forgotten++;
	ls->memory -= sizeof(*l);
	free(l);
}

static int lease_make(struct access *a, bool six, uint64_t value, uint8_t len,
		      struct acc_lease **ret)
{
	struct acc_leases *ls = &a->leases;
	struct acc_lease *l;

	if (htab_reserve(&ls->by_place) < 0 || htab_reserve(&ls->by_user) < 0)
		return -ENOMEM;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->value = value;
	l->len = len;
	l->six = six;
	htab_put(&ls->by_place, &l->by_place, place_hash(&ls->by_place, six, value, len));
	ls->memory += sizeof(*l);
	*ret = l;
	return 0;
}

/* `l` is new or kept; from now on session `key` has it. */
static void lease_use(struct access *a, struct acc_lease *l, bool kept, struct acc_pool *pool,
		      uint64_t user, uint64_t key)
{
	if (kept) {
		list_drop(&l->u.lru);
		if (l->pool)
			l->pool->kept[l->six]--;
	}
	l->used = true;
	l->u.key = key;
	l->pool = pool;
	if (l->by_user.hash != user)
		lease_index_user(a, l, user);
	if (l->six)
		a->leases.lens6[l->len]++;
	if (pool) {
		uint32_t used = ++pool->used[l->six];

		if (used > pool->peak[l->six])
			pool->peak[l->six] = used;
	}
}

void acc_lease_give(struct access *a, struct acc_lease *l)
{
	struct acc_leases *ls = &a->leases;
	struct acc_pool *p;
	uint32_t most;

	if (!l)
		return;
	p = l->pool;
	l->used = false;
	list_init(&l->u.lru);
	if (l->six)
		ls->lens6[l->len]--;
	if (ls->overlap)
		ls->forgotten++;
	if (p)
		p->used[l->six]--;
	/* Kept in one pool it could not be had from the other. */
	if (!p || is_shared(ls, p, l)) {
		l->pool = NULL;
		lease_forget(a, l);
		return;
	}
	p->kept[l->six]++;
	list_push(&p->lru[l->six], &l->u.lru);
	most = p->peak[l->six] > KEEP_LEAST ? p->peak[l->six] : KEEP_LEAST;
	if (p->kept[l->six] > most)
		lease_forget(a, container_of(p->lru[l->six].next, struct acc_lease, u.lru));
}

int acc_lease_exact(struct access *a, bool six, uint64_t value, uint8_t len, uint64_t user,
		    uint64_t key, struct acc_lease **ret, uint64_t *ret_holder)
{
	struct acc_leases *ls = &a->leases;
	struct acc_lease *l = place_find(ls, six, value, len), *other;
	bool kept = l != NULL;
	int rc;

	if (l && l->used) {
		*ret_holder = l->u.key;
		return 1;
	}
	other = six ? overlapping(ls, value, len) : NULL;
	if (other || is_ours(a, six, value)) {
		*ret_holder = other ? other->u.key : 0;
		return 1;
	}
	if (!l) {
		rc = lease_make(a, six, value, len, &l);
		if (rc < 0)
			return rc;
	}
	lease_use(a, l, kept, pool_of(ls, six, value, len), user, key);
	*ret = l;
	return 0;
}

/* May this place be given out? 0 nobody has it; 1 no; 2 it is kept for somebody, in *ret. */
static int place_state(struct access *a, bool six, uint64_t value, uint8_t len,
		       struct acc_lease **ret)
{
	struct acc_lease *l = place_find(&a->leases, six, value, len);

	if (l && l->used)
		return 1;
	if (is_ours(a, six, value) || (six && overlapping(&a->leases, value, len)))
		return 1;
	*ret = l;
	return l ? 2 : 0;
}

/*
 * The user's former address in this pool, or NULL. *ret_in says that the user has an address now:
 * an account shared by many. Then only the first few leases are looked at, so that a login does not
 * cost more the more of them there are.
 */
static struct acc_lease *former(struct access *a, struct acc_pool *p, bool six, uint64_t user,
				bool *ret_in)
{
	struct htab_node *n = user ? htab_find(&a->leases.by_user, user) : NULL;

	*ret_in = false;
	for (int i = 0; n && i < PROBES; n = htab_next(n), i++) {
		struct acc_lease *l = container_of(n, struct acc_lease, by_user), *same;

		if (l->six != six || l->pool != p)
			continue;
		if (l->used)
			*ret_in = true;
		else if (place_state(a, six, l->value, l->len, &same) == 2)
			return l;
	}
	return NULL;
}

/* An address that nobody has had, at *ret. False when there is none or it is not found. */
static bool fresh(struct access *a, struct acc_pool *p, bool six, uint64_t user, uint8_t len,
		  uint64_t *ret)
{
	uint64_t size = p->size[six], known = (uint64_t)p->used[six] + p->kept[six];
	uint64_t at, step, places[2];
	struct acc_lease *l;

	if (known >= size || p->barren[six] == a->leases.forgotten)
		return false;
	if (user) {
		at = user % size;
		step = (user >> 20) % size | 1;
	} else {
		rng_bytes(&a->rng, places, sizeof(places));
		at = places[0] % size;
		step = places[1] % size | 1;
	}
	for (int i = 0; i < PROBES; i++) {
		*ret = pool_value(p, six, at);
		if (place_state(a, six, *ret, len, &l) == 0)
			return true;
		at = (at + step) % size;
	}
	for (uint64_t i = 0; i < size; i++) {
		*ret = pool_value(p, six, p->cursor[six]);
		p->cursor[six] = (p->cursor[six] + 1) % size;
		if (place_state(a, six, *ret, len, &l) == 0)
			return true;
	}
	p->barren[six] = a->leases.forgotten;
	return false;
}

int acc_lease_take(struct access *a, struct acc_pool *p, bool six, uint64_t user, uint64_t key,
		   struct acc_lease **ret)
{
	uint8_t len = six ? p->c->len6 : 32;
	struct acc_lease *l;
	uint64_t value;
	bool in;
	int rc;

	if (p->size[six] == 0)
		return 1;
	if (htab_reserve(&a->leases.by_user) < 0)
		return -ENOMEM;
	l = former(a, p, six, user, &in);
	if (l) {
		lease_use(a, l, true, p, user, key);
		*ret = l;
		return 0;
	}
	/* the place that goes with the name is taken when the user is in already */
	if (fresh(a, p, six, in ? 0 : user, len, &value)) {
		rc = lease_make(a, six, value, len, &l);
		if (rc < 0)
			return rc;
		lease_use(a, l, false, p, user, key);
		*ret = l;
		return 0;
	}
	list_for_each (it, &p->lru[six]) {
		struct acc_lease *same;

		l = container_of(it, struct acc_lease, u.lru);
		if (place_state(a, six, l->value, l->len, &same) == 2) {
			lease_use(a, l, true, p, user, key);
			*ret = l;
			return 0;
		}
	}
	return 1;
}

uint64_t acc_user_hash(const struct access *a, const void *user, size_t len)
{
	uint64_t h;

	if (len == 0)
		return 0;
	h = htab_hash(&a->leases.by_user, user, len);
	return h ? h : 1;
}

/* ---- configuration ---- */

void acc_leases_init(struct access *a)
{
	/* The choice by name is to be the same after a restart, so this key is not random; it
	 * orders addresses, and a user who chooses a name chooses at most their own. */
	static const uint8_t stable[16] = "adit user hash 1";
	uint8_t key[16];

	rng_bytes(&a->rng, key, sizeof(key));
	htab_init(&a->leases.by_place, key);
	htab_init(&a->leases.by_user, stable);
	a->leases.forgotten = 1;
}

void acc_leases_free(struct access *a)
{
	struct acc_leases *ls = &a->leases;
	struct htab_node *n = NULL, *next;
	uint64_t pos = 0;

	for (n = htab_walk(&ls->by_place, &pos, NULL); n; n = next) {
		next = htab_walk(&ls->by_place, &pos, n);
		free(container_of(n, struct acc_lease, by_place));
	}
	htab_free(&ls->by_place);
	htab_free(&ls->by_user);
	free(ls->pools);
}

static bool ranges_meet(const struct conf_pool *a, const struct conf_pool *b, bool six)
{
	for (size_t i = 0; i < range_count(a, six); i++) {
		for (size_t j = 0; j < range_count(b, six); j++) {
			uint64_t a0 = range_first(a, six, i), b0 = range_first(b, six, j);
			uint64_t an = range_size(a, six, i) << range_shift(a, six);
			uint64_t bn = range_size(b, six, j) << range_shift(b, six);

			if (a0 <= b0 ? b0 - a0 < an : a0 - b0 < bn)
				return true;
		}
	}
	return false;
}

/* Put a lease where it belongs under the new pools; those kept that belong nowhere are freed. */
static void lease_adopt(struct access *a, struct acc_lease *l)
{
	struct acc_leases *ls = &a->leases;
	struct acc_pool *p = pool_of(ls, l->six, l->value, l->len);

	l->pool = p;
	if (l->used && p) {
		p->used[l->six]++;
		if (p->used[l->six] > p->peak[l->six])
			p->peak[l->six] = p->used[l->six];
	} else if (p && !is_shared(ls, p, l)) {
		p->kept[l->six]++;
		list_push(&p->lru[l->six], &l->u.lru);
	} else if (!l->used) {
		l->pool = NULL;
		list_init(&l->u.lru);
		lease_forget(a, l);
	}
}

struct acc_pool *acc_leases_prepare(const struct access_conf *conf)
{
	struct acc_pool *pools = calloc(conf->pool_count + 1, sizeof(*pools));

	for (size_t i = 0; pools && i < conf->pool_count; i++) {
		struct acc_pool *p = &pools[i];

		p->c = &conf->pools[i];
		for (int six = 0; six < 2; six++) {
			for (size_t r = 0; r < range_count(p->c, six); r++)
				p->size[six] += range_size(p->c, six, r);
			list_init(&p->lru[six]);
		}
	}
	return pools;
}

void acc_leases_commit(struct access *a, const struct access_conf *conf, struct acc_pool *pools)
{
	struct acc_leases *ls = &a->leases;
	struct acc_pool *old = ls->pools;
	struct htab_node *n, *next;
	uint64_t pos = 0;

	ls->overlap = false;
	for (size_t i = 0; i < conf->pool_count; i++) {
		for (size_t j = 0; j < i; j++)
			ls->overlap |= ranges_meet(pools[i].c, pools[j].c, false) ||
				       ranges_meet(pools[i].c, pools[j].c, true);
		for (size_t j = 0; j < ls->pool_count; j++) {
			if (strcmp(old[j].c->name, pools[i].c->name) == 0)
				memcpy(pools[i].peak, old[j].peak, sizeof(old[j].peak));
		}
	}
	ls->pools = pools;
	ls->pool_count = conf->pool_count;
	ls->forgotten++;
	for (n = htab_walk(&ls->by_place, &pos, NULL); n; n = next) {
		next = htab_walk(&ls->by_place, &pos, n);
		lease_adopt(a, container_of(n, struct acc_lease, by_place));
	}
	free(old);
}

bool access_pool(const struct access *a, size_t index, struct access_pool_info *ret)
{
	const struct acc_pool *p;

	if (index >= a->leases.pool_count)
		return false;
	p = &a->leases.pools[index];
	*ret = (struct access_pool_info){ .name = p->c->name,
					  .size4 = p->size[0],
					  .used4 = p->used[0],
					  .size6 = p->size[1],
					  .used6 = p->used[1] };
	return true;
}
