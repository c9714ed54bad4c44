/* SPDX-License-Identifier: MIT
 *
 * Who may come up; see admit.h.
 *
 * Theory of operation. Known addresses are kept as keyed hashes in a table of fixed size, sets of
 * four: nothing is allocated, nothing is removed but by newer ones, and the forwarding thread reads
 * while the control thread writes, word by word. A hash that is found by accident (2^-62) or a
 * network read while it is being replaced puts one packet into another class, no more. Sources are
 * counted in a table of small buckets by the same hash, without telling those apart that meet in
 * one: a flood of forged sources takes from every bucket alike, which is why known sources have a
 * table of their own.
 *
 * The ids of the kernel's sessions over IP stand in sets of eight, by keyed hash. One that finds
 * its set full takes the place of another, whose data then counts as that of a lost session: a
 * message in a second comes up, and the engine knows better.
 */
#include "admit.h"

#include "base/htab.h"

#include <stdlib.h>

#define SETS	8192 /* with the ways: addresses that are known */
#define WAYS	4
#define SOURCES 1024

#define OTHERS	   65536 /* with the ways: sessions that are carried elsewhere */
#define OTHER_WAYS 8
#define STRAYS	   4096
#define STRAY_US   1000000u

/* Strays of one source. It is told of one, and then looks after the others by itself. */
#define STRAYS_PER_S	   20
#define KNOWN_STRAYS_PER_S 60

/* Requests of one source: as many tunnels as somebody may want at once, see also the limit of the
 * half-open (src/l2tp/halfopen.c). */
#define SOURCE_PER_S	   200
#define SOURCE_BURST	   200
#define KNOWN_SOURCE_PER_S 1000
#define KNOWN_SOURCE_BURST 1000

/* A network: its address and mask in two halves; mask_high 0 = none. */
struct net {
	_Atomic uint64_t high, low, mask_high, mask_low;
	_Atomic uint16_t family;
};

/* A session of L2TPv3 that is not here, and when of it something was handed up. */
struct stray {
	uint64_t at; /* us */
	uint32_t session;
};

struct admit {
	uint8_t key[16];
	_Atomic uint64_t known[SETS][WAYS]; /* 0 = free */
	uint8_t next[SETS];		    /* control thread: the way to be taken next */
	struct net nets[ADMIT_NETS];
	_Atomic uint32_t net_count;
	/* of the forwarding thread */
	struct fwd_limit strangers[SOURCES], knowns[SOURCES], askers[SOURCES];
	struct stray strays[STRAYS];
	_Atomic uint32_t others[OTHERS][OTHER_WAYS]; /* session ids, 0 = free */
};

struct admit *admit_new(const uint8_t key[16])
{
	/* Large and zero: pages that nobody reaches are never there. */
	struct admit *a = calloc(1, sizeof(*a));

	if (a)
		memcpy(a->key, key, sizeof(a->key));
	return a;
}

void admit_free(struct admit *a)
{
	free(a);
}

/* ---- known sources ---- */

static uint64_t source_hash(const struct admit *a, uint16_t family, const uint8_t ip[16])
{
	uint8_t bytes[18];
	uint64_t h;

	memcpy(bytes, ip, 16);
	memcpy(bytes + 16, &family, 2);
	h = siphash(a->key, bytes, sizeof(bytes));
	return h ? h : 1;
}

void admit_trust(struct admit *a, const struct addr *addr)
{
	uint64_t hash = source_hash(a, addr->family, addr->ip);
	size_t set = hash % SETS;
	unsigned int way;

	for (way = 0; way < WAYS; way++)
		if (atomic_load_explicit(&a->known[set][way], memory_order_relaxed) == hash)
			return;
	way = a->next[set]++ % WAYS;
	atomic_store_explicit(&a->known[set][way], hash, memory_order_relaxed);
}

static uint64_t half(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* The `len` first of 64 bits. */
static uint64_t mask_of(unsigned int len)
{
	return len == 0 ? 0 : len >= 64 ? UINT64_MAX : ~(UINT64_MAX >> len);
}

void admit_nets(struct admit *a, const struct prefix *nets, size_t n)
{
	if (n > ADMIT_NETS)
		n = ADMIT_NETS;
	for (size_t i = 0; i < n; i++) {
		struct net *net = &a->nets[i];
		unsigned int len = nets[i].len;
		uint64_t high = mask_of(len), low = len > 64 ? mask_of(len - 64) : 0;

		atomic_store(&net->family, nets[i].addr.family);
		atomic_store(&net->mask_high, high);
		atomic_store(&net->mask_low, low);
		atomic_store(&net->high, half(nets[i].addr.ip) & high);
		atomic_store(&net->low, half(nets[i].addr.ip + 8) & low);
	}
	atomic_store(&a->net_count, (uint32_t)n);
}

static uint64_t word(const _Atomic uint64_t *w)
{
	return atomic_load_explicit(w, memory_order_relaxed);
}

static bool in_nets(const struct admit *a, const struct fwd_outer *o)
{
	uint32_t n = atomic_load_explicit(&a->net_count, memory_order_relaxed);
	uint64_t high = half(o->remote), low = half(o->remote + 8);

	for (uint32_t i = 0; i < n; i++) {
		const struct net *net = &a->nets[i];

		if (((high & word(&net->mask_high)) ^ word(&net->high)) == 0 &&
		    ((low & word(&net->mask_low)) ^ word(&net->low)) == 0 &&
		    atomic_load_explicit(&net->family, memory_order_relaxed) == o->family)
			return true;
	}
	return false;
}

static bool is_known(const struct admit *a, const struct fwd_outer *o, uint64_t hash)
{
	for (unsigned int way = 0; way < WAYS; way++)
		if (word(&a->known[hash % SETS][way]) == hash)
			return true;
	return in_nets(a, o);
}

/* ---- classes ---- */

/* Who shares a limit with a source: who has one address of an IPv6 link has all of them. */
static uint64_t share_of(const struct admit *a, const struct fwd_outer *o, uint64_t hash)
{
	uint8_t link[16] = { 0 };

	if (o->family != AF_INET6)
		return hash;
	memcpy(link, o->remote, 8);
	return source_hash(a, o->family, link);
}

struct fwd_bucket *admit_control(struct fwd *f, const struct fwd_outer *o, bool has_tunnel)
{
	static const struct dp_rate stranger = { SOURCE_PER_S, SOURCE_BURST },
				    known = { KNOWN_SOURCE_PER_S, KNOWN_SOURCE_BURST };
	struct admit *a = f->admit;
	uint64_t hash = source_hash(a, o->family, o->remote);
	bool is = is_known(a, o, hash);

	if (has_tunnel)
		return is ? &f->control : &f->unproven;
	if (is)
		return fwd_limit_take(&a->knowns[hash / SETS % SOURCES], &known, f->now) ? &f->asker
											 : NULL;
	return fwd_limit_take(&a->strangers[share_of(a, o, hash) % SOURCES], &stranger, f->now)
		       ? &f->stranger
		       : NULL;
}

/* ---- sessions of L2TPv3 that are not here ---- */

static uint64_t session_hash(const struct admit *a, uint32_t session)
{
	return siphash(a->key, &session, sizeof(session));
}

void admit_elsewhere(struct admit *a, uint32_t session, bool is)
{
	uint64_t hash = session_hash(a, session);
	_Atomic uint32_t *set = a->others[hash % OTHERS], *at = NULL;

	for (unsigned int i = 0; i < OTHER_WAYS; i++) {
		uint32_t id = atomic_load_explicit(set + i, memory_order_relaxed);

		if (id == session) {
			at = set + i;
			break;
		}
		if (!id && !at)
			at = set + i;
	}
	if (is)
		atomic_store_explicit(at ? at : set + hash / OTHERS % OTHER_WAYS, session,
				      memory_order_relaxed);
	else if (at)
		atomic_store_explicit(at, 0, memory_order_relaxed);
}

bool admit_is_elsewhere(const struct admit *a, uint32_t session)
{
	const _Atomic uint32_t *set = a->others[session_hash(a, session) % OTHERS];

	for (unsigned int i = 0; i < OTHER_WAYS; i++)
		if (atomic_load_explicit(set + i, memory_order_relaxed) == session)
			return true;
	return false;
}

struct fwd_bucket *admit_stray(struct fwd *f, const struct fwd_outer *o, uint32_t session)
{
	static const struct dp_rate stranger = { STRAYS_PER_S, STRAYS_PER_S },
				    known = { KNOWN_STRAYS_PER_S, KNOWN_STRAYS_PER_S };
	struct admit *a = f->admit;
	struct stray *t = &a->strays[session_hash(a, session) % STRAYS];
	uint64_t hash;
	bool is;

	/* Sessions that meet in one place take turns. */
	if (t->session == session && f->now - t->at < STRAY_US)
		return NULL;
	hash = source_hash(a, o->family, o->remote);
	is = is_known(a, o, hash);
	if (!fwd_limit_take(&a->askers[(is ? hash : share_of(a, o, hash)) % SOURCES],
			    is ? &known : &stranger, f->now))
		return NULL;
	*t = (struct stray){ .session = session, .at = f->now };
	return is ? &f->stray_known : &f->stray;
}
