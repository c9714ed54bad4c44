/* SPDX-License-Identifier: MIT
 *
 * Tunnels as access sees them: whose they are, what the owner is told of them, and when their
 * object goes. The control connection itself is src/l2tp's. The object outlives the connection
 * while sessions that ran in it are still being accounted for.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t key_hash(const struct htab *t, uint64_t key)
{
	return htab_hash(t, &key, sizeof(key));
}

struct acc_tunnel *acc_tunnel_by_key(const struct access *a, uint64_t key)
{
	struct htab_node *n = htab_find(&a->tunnel_keys, key_hash(&a->tunnel_keys, key));

	for (; n; n = htab_next(n)) {
		struct acc_tunnel *t = container_of(n, struct acc_tunnel, by_key);

		if (t->key == key)
			return t;
	}
	return NULL;
}

struct acc_tunnel *acc_tunnel_by_id(const struct access *a, uint32_t id)
{
	struct htab_node *n = htab_find(&a->tunnel_ids, key_hash(&a->tunnel_ids, id));

	for (; n; n = htab_next(n)) {
		struct acc_tunnel *t = container_of(n, struct acc_tunnel, by_id);

		if (t->local_id == id)
			return t;
	}
	return NULL;
}

struct acc_tunnel *acc_tunnel_by_record(const struct access *a, uint8_t version, adit_handle record)
{
	struct htab_node *n = htab_find(&a->tunnel_records, key_hash(&a->tunnel_records, record));

	for (; n; n = htab_next(n)) {
		struct acc_tunnel *t = container_of(n, struct acc_tunnel, by_record);

		if (t->record == record && t->version == version)
			return t;
	}
	return NULL;
}

void acc_tunnel_record(struct access *a, struct acc_tunnel *t, adit_handle record)
{
	if (t->record == record)
		return;
	if (t->record)
		htab_drop(&a->tunnel_records, &t->by_record);
	t->record = record;
	if (record)
		htab_put(&a->tunnel_records, &t->by_record, key_hash(&a->tunnel_records, record));
}

struct acc_tunnel *acc_tunnel_of(struct access *a, adit_handle owner)
{
	return pool_get(a->tunnels, owner);
}

struct acc_tunnel *acc_tunnel_new(struct access *a, const char *name, uint64_t key)
{
	struct acc_tunnel *t;
	adit_handle h;

	if (htab_reserve(&a->tunnel_keys) < 0 || htab_reserve(&a->tunnel_ids) < 0 ||
	    htab_reserve(&a->tunnel_records) < 0)
		return NULL;
	t = pool_take(a->tunnels, &h);
	if (!t)
		return NULL;
	t->self = h;
	t->version = 2;
	t->key = key ? key : acc_key_new(a);
	memcpy(t->name, name, strnlen(name, CONF_NAME - 1));
	htab_put(&a->tunnel_keys, &t->by_key, key_hash(&a->tunnel_keys, t->key));
	return t;
}

void acc_tunnel_list(struct access *a, struct acc_tunnel *t)
{
	struct l2tp_tunnel_info i;

	if (!acc_l2_tunnel(a, t->version, t->l2tp, &i))
		return;
	t->remote_id = i.remote_id;
	t->path = i.path;
	if (t->listed)
		return;
	t->local_id = i.local_id;
	t->listed = true;
	htab_put(&a->tunnel_ids, &t->by_id, key_hash(&a->tunnel_ids, t->local_id));
	if (t->version == 2)
		a->tunnel_bits[t->local_id / 64] |= UINT64_C(1) << t->local_id % 64;
}

void acc_tunnel_unlist(struct access *a, struct acc_tunnel *t)
{
	if (!t->listed)
		return;
	t->listed = false;
	htab_drop(&a->tunnel_ids, &t->by_id);
	if (t->version == 2 && !acc_tunnel_by_id(a, t->local_id))
		a->tunnel_bits[t->local_id / 64] &= ~(UINT64_C(1) << t->local_id % 64);
}

void acc_tunnel_drop(struct access *a, struct acc_tunnel *t)
{
	htab_drop(&a->tunnel_keys, &t->by_key);
	acc_tunnel_unlist(a, t);
	acc_tunnel_record(a, t, 0);
	if (t->peer) {
		t->peer->tunnels--;
		t->peer->up -= t->counted;
	}
	if (t->dial && t->dial->tunnel == t)
		t->dial->tunnel = NULL;
	conf_profile_unref(t->profile);
	free(t->host);
	free(t->text);
	pool_give(a->tunnels, t->self);
}

void acc_tunnel_tell(struct access *a, struct acc_tunnel *t, unsigned int bits)
{
	t->bits |= (uint8_t)bits;
	acc_queue_push(&a->tunnel_news, &t->news);
}

/* A tunnel that is closing goes before the sessions, see internal.h. */
void acc_tunnel_dirty(struct access *a, struct acc_tunnel *t)
{
	t->changed = true;
	if (t->closing || !t->l2tp)
		acc_queue_push(&a->tunnel_first, &t->first);
	else
		acc_queue_push(&a->tunnel_dirty, &t->dirty);
}

void acc_tunnel_close(struct access *a, struct mono now, struct acc_tunnel *t, uint16_t result,
		      enum adit_cause cause, const char *text)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE,
				.tunnel = t->l2tp,
				.result = result,
				.text = text,
				.cause = cause };

	if (!t->l2tp || t->closing)
		return;
	if (result == L2TP_STOP_ERROR)
		cmd.error = L2TP_ERR_RESOURCES;
	t->closing = true;
	acc_tunnel_dirty(a, t);
	(void)acc_l2_do(a, now, t->version, &cmd);
}

static void set_host(struct acc_tunnel *t, const char *host)
{
	char *copy = host && host[0] ? strdup(host) : NULL;

	if (!copy)
		return;
	free(t->host);
	t->host = copy;
}

void acc_tunnel_up(struct access *a, struct mono now, struct acc_tunnel *t,
		   const struct l2tp_event *ev)
{
	t->up = true;
	set_host(t, ev->host_name);
	acc_tunnel_list(a, t);
	trace_put(a->trace, TRACE_ACCESS_TUNNEL_UP, now, t->key, t->local_id, t->remote_id, 0, 0,
		  t->name, strlen(t->name));
	acc_tunnel_tell(a, t, ACC_TN_UP);
	acc_tunnel_dirty(a, t);
	if (t->dial && t->dial->tunnel == t)
		acc_dial_tunnel_up(a, now, t->dial);
	if (!t->peer || t->counted)
		return;
	/* Requests are not counted, or strangers that forge addresses would use the limit up. */
	if (t->peer->c && t->peer->c->max_tunnels && t->peer->up >= t->peer->c->max_tunnels)
		acc_tunnel_close(a, now, t, L2TP_STOP_ERROR, ADIT_CAUSE_LIMIT_TUNNELS,
				 cause_text(ADIT_CAUSE_LIMIT_TUNNELS));
	acc_tunnel_count(t);
}

/* It is established: it counts for the limit of its peer. */
void acc_tunnel_count(struct acc_tunnel *t)
{
	if (t->peer && !t->counted)
		t->peer->up++;
	t->counted = t->peer;
}

/* So many requests of strangers are told of at once, then one in each interval: they must not fill
 * the log, nor wash everything else out of the list of failures (badinput X09). */
#define TOLD_MOST    16
#define TOLD_EACH_US (30 * US_S)

bool acc_stranger_told(struct access *a, struct mono now)
{
	uint32_t out;

	if (!ration_take(&a->strangers, now, TOLD_EACH_US, TOLD_MOST, &out))
		return false;
	if (out)
		trace(a->trace, TRACE_ACCESS_STRANGERS, now, 0, out, 0);
	return true;
}

/* A tunnel that somebody else opened never came up: no event says so, and no session. */
static void trace_failed(struct access *a, struct mono now, const struct acc_tunnel *t)
{
	const char *because = cause_text((enum adit_cause)t->cause);
	bool more = t->text && strcmp(t->text, because) != 0;
	char raw[ADDR_TEXT_MAX + 512];
	size_t n;

	addr_text(&t->path.remote, raw);
	n = strlen(raw);
	snprintf(raw + n, sizeof(raw) - n, " (%s)%s%s", t->name, more ? ": " : "",
		 more ? t->text : "");
	trace_bytes(a->trace, TRACE_ACCESS_TUNNEL_FAILED, now, t->key, t->local_id, t->cause, raw,
		    strlen(raw));
}

/* The engine has let go; DOWN of all its sessions came before. */
void acc_tunnel_down(struct access *a, struct mono now, struct acc_tunnel *t,
		     const struct l2tp_event *ev)
{
	t->cause = (uint8_t)ev->cause;
	t->by_peer = ev->by_peer;
	if (ev->text && ev->text[0])
		t->text = strdup(ev->text);
	if (t->up || t->client || t->known || acc_stranger_told(a, now)) {
		trace_bytes(a->trace, TRACE_ACCESS_TUNNEL_DOWN, now, t->key, t->local_id, t->cause,
			    t->name, strlen(t->name));
		if (!t->up && !t->client) {
			trace_failed(a, now, t);
			acc_failure(a, now, t->key, t->name, strlen(t->name), &t->path.remote,
				    ev->cause, t->text);
		}
	}
	t->l2tp = 0;
	acc_tunnel_unlist(a, t);
	if (t->up)
		acc_tunnel_tell(a, t, ACC_TN_DOWN);
	acc_tunnel_dirty(a, t);
	if (t->peer)
		t->peer->up -= t->counted;
	t->counted = false;
	if (t->dial && t->dial->tunnel == t) {
		t->dial->tunnel = NULL;
		acc_dial_tunnel_gone(a, now, t->dial, t);
	}
	t->dial = NULL;
	acc_tunnel_settle(a, t);
}

/* Free the object when nothing points to it and nothing is left to be told. */
void acc_tunnel_settle(struct access *a, struct acc_tunnel *t)
{
	if (t->l2tp || t->sessions || t->news.next || t->dirty.next || t->first.next || t->bits ||
	    t->saved || t->record)
		return;
	if (t != a->shown_tunnel)
		acc_tunnel_drop(a, t);
}

const char *acc_tunnel_text(const struct acc_tunnel *t)
{
	return t->text ? t->text : cause_text((enum adit_cause)t->cause);
}

/* One bit of news of `t` as an event. */
void acc_tunnel_event(struct access *a, struct acc_tunnel *t, struct access_event *ret)
{
	a->shown_tunnel = t;
	ret->tunnel = t->local_id;
	ret->name = t->name;
	ret->host = t->host ? t->host : "";
	ret->path = &t->path;
	if (t->bits & ACC_TN_UP) {
		t->bits &= (uint8_t)~ACC_TN_UP;
		ret->kind = ACCESS_EV_TUNNEL_UP;
	} else if (t->bits & ACC_TN_HEARD) {
		t->bits &= (uint8_t)~ACC_TN_HEARD;
		ret->kind = ACCESS_EV_HEARD;
	} else {
		t->bits &= (uint8_t)~ACC_TN_DOWN;
		ret->kind = ACCESS_EV_TUNNEL_DOWN;
		ret->cause = (enum adit_cause)t->cause;
		ret->text = acc_tunnel_text(t);
		ret->by_peer = t->by_peer;
	}
}

bool access_tunnel(const struct access *a, uint32_t local_id, struct access_tunnel_info *ret)
{
	const struct acc_tunnel *t = acc_tunnel_by_id(a, local_id);
	struct access_tunnel_info i;

	if (!t || !acc_l2_tunnel(a, t->version, t->l2tp, &i.l2tp))
		return false;
	i.version = t->version;
	i.peer = t->name;
	*ret = i;
	return true;
}

/* Those of L2TPv3 follow the others, in the order of their objects. */
static uint32_t next_v3(const struct access *a, adit_handle h)
{
	while ((h = pool_next(a->tunnels, h))) {
		const struct acc_tunnel *t = pool_get(a->tunnels, h);

		if (t->listed && t->version == 3)
			return t->local_id;
	}
	return 0;
}

uint32_t access_tunnel_next(const struct access *a, uint32_t prev)
{
	const struct acc_tunnel *t = prev > UINT16_MAX ? acc_tunnel_by_id(a, prev) : NULL;
	uint32_t id = prev + 1u;

	if (prev > UINT16_MAX)
		return t ? next_v3(a, t->self) : 0;
	while (id <= UINT16_MAX) {
		uint64_t bits = a->tunnel_bits[id / 64] >> id % 64;

		if (bits)
			return id + (uint32_t)__builtin_ctzll(bits);
		id = (id / 64 + 1) * 64;
	}
	return a->l2tp3 ? next_v3(a, 0) : 0;
}
