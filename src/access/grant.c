/* SPDX-License-Identifier: MIT
 *
 * The answer about a user becomes addresses and limits of the session, or a refusal.
 *
 * A user at the limit of sessions, or whose fixed address another session has, is refused or, when
 * the profile says `replace`, gets in and the former session ends. The new one then waits (state
 * WAIT) until the former is over: only then is the address free, because a row with it might still
 * pass packets. PPP's own limit for the authentication phase bounds the wait.
 */
#include "internal.h"
#include "base/crypto.h"

#include <errno.h>
#include <stdlib.h>

static bool same_user(const struct acc_session *a, const struct acc_session *b)
{
	return a->user_len == b->user_len && a->user_len &&
	       memcmp(acc_user(a), acc_user(b), a->user_len) == 0;
}

static uint64_t hash_of(const struct access *a, const struct acc_session *s)
{
	return acc_user_hash(a, acc_user(s), s->user_len);
}

void acc_grant_ppp(const struct acc_session *s, struct ppp_addresses *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->our_ip4, s->our_ip4, 4);
	memcpy(ret->peer_ip4, s->peer_ip4, 4);
	memcpy(ret->our_iid, s->our_iid, 8);
	memcpy(ret->peer_iid, s->peer_iid, 8);
	for (int i = 0; s->profile && i < 2; i++) {
		if (s->profile->dns4[i].family == AF_INET)
			memcpy(ret->dns4[i], s->profile->dns4[i].ip, 4);
	}
}

static void refuse(struct access *a, struct mono now, struct acc_session *s, enum adit_cause cause,
		   const char *text)
{
	struct ppp_cmd cmd = { .kind = PPP_CMD_AUTH_ANSWER,
			       .link = s->ppp,
			       .ok = false,
			       .cause = cause,
			       .text = text,
			       .ask = s->auth ? s->auth->ask : 0 };

	if (!cmd.text && cause != ADIT_CAUSE_AUTH_FAILED)
		cmd.text = cause_text(cause);
	trace_bytes(a->trace, TRACE_ACCESS_AUTH_NO, now, s->key, cause, 0, acc_user(s),
		    s->user_len);
	s->hint = (uint8_t)cause;
	s->state = s->state == ACC_WAIT || s->state == ACC_AUTH ? ACC_LINK : s->state;
	acc_session_forget_auth(a, s);
	(void)ppp_do(a->ppp, now, &cmd);
}

/*
 * Let session `s` be told when `old` is over; `old` ends when it does not already. 2 = wait,
 * 0 = it is over, -ENOMEM = its end could not be noted.
 */
static int wait_for(struct access *a, struct mono now, struct acc_session *s,
		    struct acc_session *old)
{
	struct acc_session *other;

	acc_session_end(a, now, old, ADIT_CAUSE_REPLACED, NULL, false);
	if (old->state == ACC_DEAD)
		return 0;
	if (!old->end)
		return -ENOMEM;
	/* The newest login wins here as well. */
	other = old->end->heir && old->end->heir != s->key ? acc_session_find(a, old->end->heir)
							   : NULL;
	old->end->heir = s->key;
	if (other && other->state == ACC_WAIT)
		refuse(a, now, other, ADIT_CAUSE_REPLACED, NULL);
	return 2;
}

/* Another session has the fixed address. 1 = refuse, else as wait_for(). */
static int conflict(struct access *a, struct mono now, struct acc_session *s, uint64_t holder)
{
	struct acc_session *old = holder ? acc_session_find(a, holder) : NULL;

	if (!old || old == s)
		return 1;
	if (old->ending || (s->profile->replace && same_user(s, old)))
		return wait_for(a, now, s, old);
	return 1;
}

static int take_fixed(struct access *a, struct mono now, struct acc_session *s, bool six,
		      uint64_t value, uint8_t len, struct acc_lease **ret)
{
	uint64_t holder;
	int rc;

	do {
		rc = acc_lease_exact(a, six, value, len, hash_of(a, s), s->key, ret, &holder);
		if (rc != 1)
			return rc;
		rc = conflict(a, now, s, holder);
	} while (rc == 0);
	return rc;
}

static int take_ip4(struct access *a, struct mono now, struct acc_session *s,
		    const struct access_grant *g, struct acc_pool *pool)
{
	struct rcur c = rcur_of(g->ip4, 4);
	uint32_t ip = rcur_u32(&c);
	struct wcur w;
	int rc;

	s->want_ip4 = !g->no_ip4 && (ip || (pool && pool->size[0]));
	if (!s->want_ip4)
		return 0;
	if (ip)
		rc = take_fixed(a, now, s, false, ip, 32, &s->lease4);
	else
		rc = acc_lease_take(a, pool, false, hash_of(a, s), s->key, &s->lease4);
	if (rc != 0)
		return rc;
	w = wcur_of(s->peer_ip4, 4);
	wcur_u32(&w, (uint32_t)s->lease4->value);
	if (s->profile->local4.family == AF_INET)
		memcpy(s->our_ip4, s->profile->local4.ip, 4);
	trace(a->trace, TRACE_ACCESS_LEASE4, now, s->key, (uint32_t)s->lease4->value, 0);
	return 0;
}

static int take_ip6(struct access *a, struct mono now, struct acc_session *s,
		    const struct access_grant *g, struct acc_pool *pool)
{
	const struct prefix *p = &g->prefix6;
	struct rcur c = rcur_of(p->addr.ip, 8);
	struct wcur w;
	int rc;

	s->want_ip6 = !g->no_ip6 && (p->len || (pool && pool->size[1]));
	if (!s->want_ip6)
		return 0;
	if (p->len > 64)
		return 1;
	if (p->len)
		rc = take_fixed(a, now, s, true, rcur_u64(&c), p->len, &s->lease6);
	else
		rc = acc_lease_take(a, pool, true, hash_of(a, s), s->key, &s->lease6);
	if (rc != 0)
		return rc;
	w = wcur_of(s->prefix6, 8);
	wcur_u64(&w, s->lease6->value);
	s->len6 = s->lease6->len;
	trace_put(a->trace, TRACE_ACCESS_LEASE6, now, s->key, (uint32_t)(s->lease6->value >> 32),
		  (uint32_t)s->lease6->value, s->len6, 0, NULL, 0);
	return 0;
}

uint32_t acc_seconds(int64_t own_us, int64_t profile_us)
{
	int64_t us = own_us > 0 ? own_us : profile_us;

	if (us <= 0)
		return 0;
	us = us / US_S + (us % US_S != 0);
	return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int take_routes(struct acc_session *s, const struct access_grant *g)
{
	size_t n = g->route_count;

	if (n > DP_PREFIXES - 2)
		n = DP_PREFIXES - 2;
	if (n == 0)
		return 0;
	s->routes = calloc(n, sizeof(*s->routes));
	if (!s->routes)
		return -ENOMEM;
	memcpy(s->routes, g->routes, n * sizeof(*s->routes));
	s->route_count = (uint8_t)n;
	return 0;
}

int acc_grant_addresses(struct access *a, struct mono now, struct acc_session *s,
			const struct access_grant *g, enum adit_cause *ret_cause)
{
	struct acc_pool *pool = acc_pool_find(a, s->profile->pool);
	enum adit_cause cause = ADIT_CAUSE_NO_ADDRESS;
	static const uint8_t none[4];
	int rc;

	rc = take_ip4(a, now, s, g, pool);
	if (rc == 1 && memcmp(g->ip4, none, 4) != 0)
		cause = ADIT_CAUSE_ADDRESS_IN_USE;
	if (rc == 0) {
		rc = take_ip6(a, now, s, g, pool);
		if (rc == 1 && g->prefix6.len)
			cause = ADIT_CAUSE_ADDRESS_IN_USE;
	}
	if (rc == 0 && !s->want_ip4 && !s->want_ip6)
		rc = 1;
	if (rc == 0)
		rc = take_routes(s, g);
	if (rc == 0) {
		s->limit_s = acc_seconds(g->session_us, s->profile->session_us);
		s->idle_s = acc_seconds(g->idle_us, s->profile->idle_us);
		return 0;
	}
	acc_lease_give(a, s->lease4);
	acc_lease_give(a, s->lease6);
	s->lease4 = s->lease6 = NULL;
	if (rc == 1)
		*ret_cause = cause;
	return rc;
}

/* ---- sessions per user ---- */

void acc_grant_list_user(struct access *a, struct acc_session *s)
{
	if (!s->profile || !s->profile->max_per_user || !s->user_len || s->user_listed)
		return;
	htab_put(&a->by_user, &s->by_user, hash_of(a, s));
	s->user_listed = true;
}

/* 0 there is room; 1 refuse; 2 wait; -ENOMEM. */
static int user_limit(struct access *a, struct mono now, struct acc_session *s)
{
	struct htab_node *n;
	struct acc_session *oldest = NULL;
	uint32_t count = 0;

	if (!s->profile->max_per_user || !s->user_len)
		return 0;
	for (n = htab_find(&a->by_user, hash_of(a, s)); n; n = htab_next(n)) {
		struct acc_session *it = container_of(n, struct acc_session, by_user);

		if (it == s || it->ending || !same_user(it, s))
			continue;
		count++;
		if (!oldest || it->since.us < oldest->since.us)
			oldest = it;
	}
	if (count < s->profile->max_per_user)
		return 0;
	return s->profile->replace ? wait_for(a, now, s, oldest) : 1;
}

/* ---- the answer ---- */

static void grant_go(struct access *a, struct mono now, struct acc_session *s)
{
	struct ppp_cmd cmd = {
		.kind = PPP_CMD_AUTH_ANSWER, .link = s->ppp, .ok = true, .ask = s->auth->ask
	};
	struct ppp_proof proof = s->auth->proof;
	enum adit_cause cause = ADIT_CAUSE_LIMIT_USER;
	int rc = user_limit(a, now, s);

	if (rc == 0)
		rc = acc_grant_addresses(a, now, s, &s->auth->grant, &cause);
	if (rc == 2) {
		s->auth->granted = true;
		s->state = ACC_WAIT;
		trace(a->trace, TRACE_ACCESS_AUTH_WAIT, now, s->key, 0, 0);
		return;
	}
	if (rc != 0) {
		refuse(a, now, s, rc < 0 ? ADIT_CAUSE_NO_MEMORY : cause, NULL);
		return;
	}
	acc_grant_ppp(s, &cmd.addresses);
	cmd.proof = &proof;
	cmd.no_ip4 = !s->want_ip4;
	cmd.no_ip6 = !s->want_ip6;
	trace_bytes(a->trace, TRACE_ACCESS_AUTH_YES, now, s->key, 0, 0, acc_user(s), s->user_len);
	acc_session_forget_auth(a, s);
	acc_grant_list_user(a, s);
	s->hint = ADIT_CAUSE_NONE;
	s->state = ACC_NET;
	(void)ppp_do(a->ppp, now, &cmd);
	bytes_wipe(&proof, sizeof(proof));
}

int acc_session_auth(struct access *a, struct mono now, struct acc_session *s,
		     const struct access_cmd *cmd)
{
	struct ppp_cmd again = { .kind = PPP_CMD_AUTH_ANSWER, .link = s->ppp, .ok = true };

	if (s->ending || !s->auth || s->auth->granted || s->bits & ACC_N_AUTH ||
	    (cmd->ask && cmd->ask != s->auth->ask))
		return 1;
	if (!cmd->ok) {
		refuse(a, now, s,
		       cmd->cause == ADIT_CAUSE_NONE ? ADIT_CAUSE_AUTH_FAILED : cmd->cause,
		       cmd->text);
		return 0;
	}
	if (s->auth->again) {
		again.ask = s->auth->ask;
		again.proof = &cmd->proof;
		acc_session_forget_auth(a, s);
		acc_grant_ppp(s, &again.addresses);
		again.no_ip4 = !s->want_ip4;
		again.no_ip6 = !s->want_ip6;
		(void)ppp_do(a->ppp, now, &again);
		return 0;
	}
	s->auth->grant = cmd->grant;
	s->auth->proof = cmd->proof;
	grant_go(a, now, s);
	return 0;
}

void acc_grant_retry(struct access *a, struct mono now, uint64_t key)
{
	struct acc_session *s = acc_session_find(a, key);

	if (s && s->state == ACC_WAIT && !s->ending && s->auth)
		grant_go(a, now, s);
}

/* ---- recovery ---- */

bool acc_grant_again(struct access *a, struct acc_session *s)
{
	static const uint8_t none[4];
	struct rcur c4 = rcur_of(s->peer_ip4, 4), c6 = rcur_of(s->prefix6, 8);
	uint64_t holder, user = hash_of(a, s);

	if (memcmp(s->peer_ip4, none, 4) != 0 &&
	    acc_lease_exact(a, false, rcur_u32(&c4), 32, user, s->key, &s->lease4, &holder) != 0)
		return false;
	return s->len6 == 0 || acc_lease_exact(a, true, rcur_u64(&c6), s->len6, user, s->key,
					       &s->lease6, &holder) == 0;
}
