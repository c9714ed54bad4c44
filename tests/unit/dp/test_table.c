/* SPDX-License-Identifier: MIT
 *
 * The session table: what is put is found, lookups against a naive model, and what is left when the
 * writer dies at any of its stores, also while it recovers.
 */
#include <setjmp.h>

static void step(void);
#define DPT_STEP() step()
#include "dp/table.c"
#include "dp/table_tunnel.c"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "failmalloc.h"

/* ---- dying at a store ---- */

static jmp_buf dead;
static long steps_left; /* 0: live on */
static long steps_done;

static void step(void)
{
	steps_done++;
	if (steps_left && --steps_left == 0)
		longjmp(dead, 1);
}

static const uint8_t hash_key[16] = { 1, 2, 3 };

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static uint32_t rnd_state;

static uint32_t rnd(uint32_t below)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(rnd_state >> 4) * below) >> 28);
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static struct dp_row row(uint16_t session, const char *prefix4)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.flags = DP_F_IP4 | DP_F_ANTISPOOF;
	r.path.via = 1;
	addr_parse("192.0.2.1:1701", &r.path.local);
	addr_parse("192.0.2.2:1701", &r.path.remote);
	r.local_tunnel = 100;
	r.remote_tunnel = 200;
	r.local_session = session;
	r.remote_session = (uint16_t)(session + 1);
	r.mtu = 1446;
	r.first_ns = 7;
	r.first_nr = 9;
	if (prefix4) {
		r.prefixes[0] = prefix(prefix4);
		r.prefix_count = 1;
	}
	return r;
}

struct world {
	void *mem;
	size_t size;
	struct qsbr qsbr;
	struct dpt *t;
	uint32_t found;
};

static void world_new(struct world *w, uint32_t max)
{
	memset(w, 0, sizeof(*w));
	w->size = dpt_size(max);
	w->mem = memory(w->size);
	qsbr_init(&w->qsbr);
	w->t = dpt_open(w->mem, w->size, max, hash_key, &w->qsbr, &w->found);
	assert_non_null(w->t);
	assert_int_equal(dpt_slots(w->t), max);
}

static void world_again(struct world *w)
{
	dpt_close(w->t);
	w->t = dpt_open(w->mem, w->size, 0, hash_key, &w->qsbr, &w->found);
	assert_non_null(w->t);
}

static void world_free(struct world *w)
{
	dpt_close(w->t);
	munmap(w->mem, w->size);
}

static int put(struct world *w, uint64_t key, uint32_t generation, const struct dp_row *r, bool up,
	       uint32_t *ret_slot)
{
	uint64_t other;

	return dpt_put(w->t, key, generation, r, 0, up, ret_slot, &other);
}

static struct dp_row wire(uint32_t session)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_ETH;
	r.version = 3;
	r.encap = DP_ENCAP_IP;
	r.path.via = 1;
	addr_parse("192.0.2.1", &r.path.local);
	addr_parse("192.0.2.2", &r.path.remote);
	r.local_tunnel = r.remote_tunnel = 0x12345678;
	r.local_session = session;
	r.remote_session = session + 1;
	r.l2spec = DP_L2SPEC_DEFAULT;
	r.cookie_in_len = 8;
	r.cookie_out_len = 4;
	memcpy(r.cookie_in, "ABCDEFGH", 8);
	memcpy(r.cookie_out, "abcd", 4);
	r.mtu = 1440;
	snprintf(r.ifname, sizeof(r.ifname), "w%u", session & 0xff);
	snprintf(r.circuit, sizeof(r.circuit), "eth0");
	return r;
}

/* PPP over L2TPv3: the cookies lie where the IPv6 prefix would, which is found all the same. */
static void ppp_of_v3(void **state)
{
	struct world w;
	uint32_t slot;
	struct dpt_config c;
	struct dp_row r = wire(0x80000005);
	uint8_t ip6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 9 };

	(void)state;
	world_new(&w, 4);
	r.ends = DP_L2TP_PPP;
	r.encap = DP_ENCAP_UDP;
	r.path.local.port = r.path.remote.port = 1701;
	r.flags = DP_F_IP4 | DP_F_IP6;
	r.ifname[0] = r.circuit[0] = '\0';
	r.prefixes[0] = prefix("10.0.0.9/32");
	r.prefixes[1] = prefix("2001:db8::/64");
	r.prefix_count = 2;
	assert_true(dp_row_ok(&r));
	assert_int_equal(put(&w, 7, 1, &r, true, &slot), 0);
	assert_true(dpt_snapshot(w.t, slot, &c));
	assert_int_equal(c.kind, DPT_PPP3);
	assert_memory_equal(c.local_session3, "\x80\0\0\x05", 4);
	assert_memory_equal(c.cookie_in, "ABCDEFGH", 8);
	assert_memory_equal(c.cookie_out, "abcd", 4);
	assert_int_equal(c.cookie_in_len, 8);
	assert_int_equal(c.cookie_out_len, 4);
	assert_int_equal(c.len4, 32);
	assert_int_equal(c.len6, 255);
	assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v3(0x80000005)), slot);
	assert_int_equal(index_route6(dpt_index(w.t), ip6), slot);
	world_free(&w);
}

/* Ids of 32 bits, which are others than those of L2TPv2 that look alike; also after a restart. */
static void pseudowires_are_found(void **state)
{
	uint32_t alike = 100 << 16 | 300, slot, slot2;
	struct dp_row r = wire(alike), r2 = row(300, "10.0.0.1");
	struct dpt_config c = { 0 };
	struct dpt_info i;
	struct world w;

	world_new(&w, 10);
	assert_int_equal(put(&w, 1, 1, &r, true, &slot), 0);
	assert_int_equal(put(&w, 2, 1, &r2, true, &slot2), 0);
	for (unsigned int again = 0; again < 2; again++) {
		assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v3(alike)), slot);
		assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v2(100, 300)), slot2);
		assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v3(alike + 1)),
				 INDEX_NONE);
		assert_true(dpt_snapshot(w.t, slot, &c));
		assert_int_equal(c.kind, DPT_ETH);
		assert_memory_equal(c.local_session3, "\x00\x64\x01\x2c", 4);
		assert_memory_equal(c.remote_session3, "\x00\x64\x01\x2d", 4);
		assert_int_equal(c.l2spec, DP_L2SPEC_DEFAULT);
		assert_int_equal(c.cookie_in_len, 8);
		assert_memory_equal(c.cookie_in, "ABCDEFGH", 8);
		assert_int_equal(c.cookie_out_len, 4);
		assert_memory_equal(c.cookie_out, "abcd", 4);
		assert_int_equal(dpt_tunnel(w.t, c.tunnel)->encap, DP_ENCAP_IP);
		assert_true(dpt_get(w.t, slot, &i));
		assert_memory_equal(&i.row, &r, sizeof(r));
		dpt_hear(w.t, c.tunnel, 5);
		assert_int_equal(dpt_heard(w.t, 0x12345678), 5);
		assert_int_equal(dpt_heard(w.t, 0x5678), 0); /* of L2TPv2 */
		assert_true(dpt_snapshot(w.t, slot2, &c));
		assert_int_equal(c.kind, DPT_PPP);
		world_again(&w);
		assert_int_equal(w.found, 2);
	}
	r.local_tunnel++; /* ids of sessions are those of the machine, RFC 3931 4.1 */
	assert_int_equal(put(&w, 3, 1, &r, true, &slot2), DPT_REFUSED_IDS);
	dpt_stop(w.t, slot);
	assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v3(alike)), INDEX_NONE);
	world_free(&w);
}

static void what_is_put_is_found(void **state)
{
	struct world w;
	struct dp_row r = row(300, "10.0.0.1"), r2;
	struct dpt_config c = { 0 };
	struct dpt_info i;
	uint32_t slot, slot2;
	uint64_t other = 0;

	world_new(&w, 100);
	r.prefixes[1] = prefix("2001:db8:1::/64");
	r.prefixes[2] = prefix("10.9.0.0/16");
	r.prefix_count = 3;
	assert_int_equal(put(&w, 77, 1, &r, true, &slot), 0);
	assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v2(100, 300)), slot);
	assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v2(100, 301)), INDEX_NONE);
	assert_int_equal(index_route4(dpt_index(w.t), (uint8_t[]){ 10, 0, 0, 1 }), slot);
	assert_int_equal(index_route4(dpt_index(w.t), (uint8_t[]){ 10, 9, 3, 1 }), slot);
	assert_int_equal(index_route4(dpt_index(w.t), (uint8_t[]){ 10, 0, 0, 2 }), INDEX_NONE);
	assert_int_equal(
		index_route6(dpt_index(w.t), (uint8_t[16]){ 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 9 }),
		slot);
	assert_true(dpt_snapshot(w.t, slot, &c));
	assert_int_equal(c.state, DPT_USED | DPT_UP);
	assert_memory_equal(c.remote_session, ((uint8_t[]){ 301 >> 8, 301 & 255 }), 2);
	assert_int_equal(c.mtu, 1446);
	assert_int_equal(c.len4, 32);
	assert_int_equal(c.len6, 64);
	assert_int_equal(dpt_run(w.t, slot)->ns, 7);
	assert_int_equal(dpt_run(w.t, slot)->nr, 9);
	assert_true(dpt_get(w.t, slot, &i));
	assert_memory_equal(&i.row, &r, sizeof(r));
	assert_int_equal(i.key, 77);

	/* A change keeps slot, counters and Ns; prefixes come and go. */
	atomic_store(&dpt_run(w.t, slot)->rx_packets, 5);
	atomic_store(&dpt_run(w.t, slot)->ns, 70);
	r2 = r;
	r2.prefixes[0] = prefix("10.0.0.2");
	r2.prefix_count = 1;
	r2.mtu = 1400;
	assert_int_equal(put(&w, 77, 2, &r2, true, &slot2), 0);
	assert_int_equal(slot2, slot);
	assert_int_equal(dpt_run(w.t, slot)->rx_packets, 5);
	assert_int_equal(dpt_run(w.t, slot)->ns, 70);
	assert_int_equal(index_route4(dpt_index(w.t), (uint8_t[]){ 10, 0, 0, 2 }), slot);
	assert_int_equal(index_route4(dpt_index(w.t), (uint8_t[]){ 10, 0, 0, 1 }), INDEX_NONE);
	assert_int_equal(index_route4(dpt_index(w.t), (uint8_t[]){ 10, 9, 3, 1 }), INDEX_NONE);

	/* Nobody else may have its ids or its prefix. */
	assert_int_equal(dpt_put(w.t, 78, 1, &r2, 0, true, &slot2, &other), DPT_REFUSED_IDS);
	assert_int_equal(other, 77);
	r2.local_session = 999;
	other = 0;
	assert_int_equal(dpt_put(w.t, 78, 1, &r2, 0, true, &slot2, &other), DPT_REFUSED_PREFIX);
	assert_int_equal(other, 77);
	r2.prefixes[0] = prefix("10.0.0.3");
	assert_int_equal(dpt_put(w.t, 78, 1, &r2, 0, false, &slot2, &other), 0);
	assert_int_equal(dpt_rows(w.t), 2);

	/* Stopped and freed, the slot is found no more and comes back empty. */
	dpt_stop(w.t, slot);
	assert_int_equal(index_ids_find(dpt_index(w.t), index_ids_v2(100, 300)), INDEX_NONE);
	assert_int_equal(index_route4(dpt_index(w.t), (uint8_t[]){ 10, 0, 0, 2 }), INDEX_NONE);
	assert_int_equal(dpt_find(w.t, 77), slot);
	dpt_free(w.t, slot);
	assert_int_equal(dpt_find(w.t, 77), DPT_NONE);
	r.local_session = 5;
	assert_int_equal(put(&w, 79, 1, &r, true, &slot2), 0);
	assert_int_equal(slot2, slot);
	assert_int_equal(dpt_run(w.t, slot)->rx_packets, 0);
	assert_int_equal(dpt_run(w.t, slot)->ns, 7);
	world_free(&w);
}

static void ns_begins_when_forwarding_begins(void **state)
{
	struct world w;
	struct dp_row r = row(300, NULL);
	uint32_t slot;

	world_new(&w, 10);
	r.state = DP_PREPARED;
	assert_int_equal(put(&w, 1, 1, &r, false, &slot), 0);
	r.state = DP_ACTIVE;
	r.first_ns = 20;
	r.first_nr = 30;
	assert_int_equal(put(&w, 1, 2, &r, true, &slot), 0);
	assert_int_equal(dpt_run(w.t, slot)->ns, 20);
	assert_int_equal(dpt_run(w.t, slot)->nr, 30);
	r.first_ns = 50;
	assert_int_equal(put(&w, 1, 3, &r, true, &slot), 0);
	assert_int_equal(dpt_run(w.t, slot)->ns, 20);
	world_free(&w);
}

static void a_full_table_says_so(void **state)
{
	struct world w;
	uint32_t slot;

	world_new(&w, 3);
	for (uint16_t i = 1; i <= 3; i++) {
		struct dp_row r = row(i, NULL);

		r.local_tunnel = i;
		assert_int_equal(put(&w, i, 1, &r, true, &slot), 0);
	}
	for (uint16_t i = 4; i <= 20; i++) {
		struct dp_row r = row(i, NULL);

		r.local_tunnel = i;
		assert_int_equal(put(&w, i, 1, &r, true, &slot), -ENOSPC);
		slot = dpt_find(w.t, i - 3u);
		dpt_stop(w.t, slot);
		dpt_free(w.t, slot);
		assert_int_equal(put(&w, i, 1, &r, true, &slot), 0);
	}
	/* A changed path takes a tunnel of its own for a moment; with a reader at work the old one
	 * is free only after it was quiet. */
	atomic_store(&w.qsbr.seen, 0);
	struct dp_row r = row(20, NULL);

	r.local_tunnel = 20;
	r.path.remote.port = 9;
	assert_int_equal(put(&w, 20, 2, &r, true, &slot), -ENOSPC);
	slot = dpt_find(w.t, 19);
	dpt_stop(w.t, slot);
	dpt_free(w.t, slot);
	assert_int_equal(put(&w, 20, 2, &r, true, &slot), -EAGAIN);
	qsbr_quiet(&w.qsbr);
	assert_int_equal(put(&w, 20, 2, &r, true, &slot), 0);
	world_free(&w);
}

/* A session that gets and loses prefixes faster than the reader looks away waits for it. */
static void prefixes_that_rest_come_back(void **state)
{
	struct world w;
	struct dp_row r[2] = { row(1, "10.0.0.1"), row(1, "10.0.0.2") };
	uint32_t slot, n = 0;
	int rc;

	world_new(&w, 3);
	assert_int_equal(put(&w, 1, 0, &r[0], true, &slot), 0);
	atomic_store(&w.qsbr.seen, 0);
	do {
		n++;
		rc = put(&w, 1, n, &r[n % 2], true, &slot);
	} while (rc == 0 && n < 100000);
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(put(&w, 1, n, &r[n % 2], true, &slot), -EAGAIN);
	assert_true(index_prefix_find(dpt_index(w.t), &r[(n + 1) % 2].prefixes[0]) == slot);
	qsbr_quiet(&w.qsbr);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(put(&w, 1, n + i, &r[(n + i) % 2], true, &slot), 0);
	}
	world_free(&w);
}

static void memory_that_runs_out_changes_nothing(void **state)
{
	struct world w;
	uint32_t slot;
	struct dp_row r = row(300, "10.0.0.1");

	for (long n = 1;; n++) {
		size_t size = dpt_size(10);
		void *mem = memory(size);
		uint32_t found;
		struct qsbr q;
		struct dpt *t;

		qsbr_init(&q);
		failmalloc_arm(n);
		t = dpt_open(mem, size, 10, hash_key, &q, &found);
		if (!failmalloc_disarm()) {
			dpt_close(t);
			munmap(mem, size);
			break;
		}
		assert_null(t);
		munmap(mem, size);
	}
	world_new(&w, 10);
	failmalloc_arm(1);
	assert_int_equal(put(&w, 1, 1, &r, true, &slot), -ENOMEM);
	assert_true(failmalloc_disarm());
	assert_int_equal(dpt_rows(w.t), 0);
	assert_int_equal(put(&w, 1, 1, &r, true, &slot), 0);
	world_free(&w);
}

/* ---- against a naive model ---- */

#define MODEL 300

struct model {
	bool used;
	struct dp_row row;
};

static uint32_t naive(const struct model *m, const struct addr *a)
{
	uint32_t best = UINT32_MAX;
	int len = -1;

	for (uint32_t k = 0; k < MODEL; k++) {
		for (unsigned int i = 0; m[k].used && i < m[k].row.prefix_count; i++) {
			const struct prefix *p = &m[k].row.prefixes[i];

			if (prefix_has(p, a) && p->len > len) {
				best = k;
				len = p->len;
			}
		}
	}
	return best;
}

static struct prefix few_prefix(void)
{
	static const uint8_t lens4[] = { 32, 32, 32, 30, 24, 16, 8, 0 };
	static const uint8_t lens6[] = { 64, 64, 56, 48, 128, 127, 65, 0 };
	struct prefix p;

	memset(&p, 0, sizeof(p));
	if (rnd(2)) {
		p.addr.family = AF_INET;
		p.len = lens4[rnd(8)];
		p.addr.ip[0] = (uint8_t)(10 + rnd(2));
		p.addr.ip[1] = (uint8_t)rnd(2);
		p.addr.ip[2] = (uint8_t)rnd(2);
		p.addr.ip[3] = (uint8_t)rnd(64);
	} else {
		p.addr.family = AF_INET6;
		p.len = lens6[rnd(8)];
		p.addr.ip[0] = 0x20;
		p.addr.ip[6] = (uint8_t)rnd(2);
		p.addr.ip[7] = (uint8_t)rnd(64);
		p.addr.ip[8] = (uint8_t)(rnd(4) << 6);
		p.addr.ip[15] = (uint8_t)rnd(4);
	}
	for (unsigned int i = p.len; i < 128; i++)
		p.addr.ip[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	return p;
}

static bool taken(const struct model *m, uint32_t k, const struct prefix *p)
{
	for (uint32_t other = 0; other < MODEL; other++) {
		for (unsigned int i = 0;
		     other != k && m[other].used && i < m[other].row.prefix_count; i++) {
			if (m[other].row.prefixes[i].len == p->len &&
			    addr_same_ip(&m[other].row.prefixes[i].addr, &p->addr))
				return true;
		}
	}
	return false;
}

static void check_model(const struct world *w, const struct model *m, int tries)
{
	for (int i = 0; i < tries; i++) {
		struct prefix p = few_prefix();
		uint32_t want = naive(m, &p.addr);
		uint32_t got = p.addr.family == AF_INET ? index_route4(dpt_index(w->t), p.addr.ip)
							: index_route6(dpt_index(w->t), p.addr.ip);
		uint32_t k = rnd(MODEL);
		uint32_t slot =
			index_ids_find(dpt_index(w->t), index_ids_v2(100, (uint16_t)(k + 1)));

		assert_int_equal(got, want == UINT32_MAX ? INDEX_NONE : dpt_find(w->t, want + 1));
		assert_int_equal(slot, m[k].used ? dpt_find(w->t, k + 1) : INDEX_NONE);
	}
}

static void lookups_agree_with_a_naive_model(void **state)
{
	struct world w;
	struct model *m = calloc(MODEL, sizeof(*m));

	rnd_state = 11;
	world_new(&w, MODEL);
	for (int i = 0; i < 6000; i++) {
		uint32_t k = rnd(MODEL), slot = dpt_find(w.t, k + 1);

		if (rnd(3) == 0) {
			if (m[k].used) {
				dpt_stop(w.t, slot);
				dpt_free(w.t, slot);
			}
			m[k].used = false;
		} else {
			struct dp_row r = row((uint16_t)(k + 1), NULL);
			bool clash = false;
			uint64_t other;
			int rc;

			r.prefix_count = (uint8_t)rnd(5);
			for (unsigned int n = 0; n < r.prefix_count; n++) {
				r.prefixes[n] = few_prefix();
				clash |= taken(m, k, &r.prefixes[n]);
			}
			r.path.remote.port = (uint16_t)(1 + rnd(5));
			rc = dpt_put(w.t, k + 1, 1, &r, 0, true, &slot, &other);
			assert_int_equal(rc, clash ? DPT_REFUSED_PREFIX : 0);
			if (rc == 0)
				m[k] = (struct model){ true, r };
		}
		check_model(&w, m, 3);
		if (i % 500 == 499) {
			world_again(&w);
			check_model(&w, m, 300);
		}
	}
	world_free(&w);
	free(m);
}

/* ---- a writer that dies ---- */

/* The script: each entry leaves one of these states of each key: absent, or a row. */
#define KEYS 4
struct kept {
	bool there, up, ended;
	struct dp_row row;
};

struct script {
	struct world w;
	struct kept before[KEYS], after[KEYS]; /* of the step at work */
	struct dp_net net_before, net_after;
	bool net_was, net_is;
	int at;
};

static void script_put(struct script *s, unsigned int key, struct dp_row r, bool up)
{
	uint32_t slot;

	s->after[key] = (struct kept){ true, up, false, r };
	s->at++;
	assert_int_equal(put(&s->w, key + 1, 1, &r, up, &slot), 0);
	s->before[key] = s->after[key];
}

static void script_del(struct script *s, unsigned int key)
{
	uint32_t slot = dpt_find(s->w.t, key + 1);

	s->at++;
	s->after[key].up = false;
	s->after[key].ended = true;
	dpt_stop(s->w.t, slot);
	s->before[key] = s->after[key];
	s->after[key].there = false;
	dpt_free(s->w.t, slot);
	s->before[key] = s->after[key];
}

static void script_run(struct script *s)
{
	struct dp_row a = row(1, "10.0.0.1"), b = row(2, "10.0.0.2"), c = row(3, "10.0.0.3");

	script_put(s, 0, a, false);
	script_put(s, 0, a, true);
	b.prefixes[1] = prefix("2001:db8::/64");
	b.prefix_count = 2;
	script_put(s, 1, b, true);
	b.path.remote.port = 4000; /* another tunnel row */
	script_put(s, 1, b, true);
	for (unsigned int i = 0; i < DP_PREFIXES; i++) {
		char text[40];

		snprintf(text, sizeof(text), "2001:db8:%u::/48", i);
		c.prefixes[i] = prefix(text);
		c.routes[i] = c.prefixes[i];
	}
	c.prefix_count = c.route_count = DP_PREFIXES; /* longer than what fits in line */
	script_put(s, 2, c, true);
	script_del(s, 0);
	c.prefix_count = 2;
	memset(&c.prefixes[2], 0, 6 * sizeof(c.prefixes[2]));
	c.mtu = 1280;
	script_put(s, 2, c, true);
	script_put(s, 3, row(9, "10.0.0.1"), true); /* the slot and the prefix of the first */
	s->net_after.pools[0] = prefix("10.0.0.0/8");
	s->net_after.pool_count = 1;
	s->net_is = true;
	s->at++;
	dpt_net_put(s->w.t, &s->net_after);
	s->net_was = true;
	s->net_before = s->net_after;
	s->net_after.mtu = 1400;
	dpt_net_put(s->w.t, &s->net_after);
	s->net_before = s->net_after;
	script_del(s, 2);
	script_put(s, 0, row(70, "10.0.7.1"), true);
}

static bool matches(const struct script *s, unsigned int key, const struct kept *k)
{
	uint32_t slot = dpt_find(s->w.t, key + 1);
	struct dpt_config c = { 0 };
	struct dpt_info i;

	if (!k->there)
		return slot == DPT_NONE;
	if (slot == DPT_NONE || !dpt_get(s->w.t, slot, &i) || i.up != k->up ||
	    i.ended != k->ended || memcmp(&i.row, &k->row, sizeof(i.row)) != 0)
		return false;
	if (k->ended) { /* its ids and addresses are free, its counters are there */
		assert_int_not_equal(
			index_ids_find(dpt_index(s->w.t),
				       index_ids_v2(100, (uint16_t)k->row.local_session)),
			slot);
		for (unsigned int n = 0; n < k->row.prefix_count; n++)
			assert_int_not_equal(
				index_prefix_find(dpt_index(s->w.t), &k->row.prefixes[n]), slot);
		return true;
	}
	assert_true(dpt_snapshot(s->w.t, slot, &c));
	assert_int_equal(c.mtu, k->row.mtu);
	assert_int_equal(dpt_tunnel(s->w.t, c.tunnel)->remote_port, k->row.path.remote.port);
	assert_int_equal(index_ids_find(dpt_index(s->w.t),
					index_ids_v2(100, (uint16_t)k->row.local_session)),
			 slot);
	for (unsigned int n = 0; n < k->row.prefix_count; n++)
		assert_int_equal(index_prefix_find(dpt_index(s->w.t), &k->row.prefixes[n]), slot);
	return true;
}

/* Each key is as it was before or after the step at work, and the table can be used on. */
static void check_survived(struct script *s)
{
	uint32_t rows = 0, slot;
	struct dp_net net;

	for (unsigned int k = 0; k < KEYS; k++) {
		if (!matches(s, k, &s->before[k]) && !matches(s, k, &s->after[k]))
			fail_msg("step %d: key %u is neither old nor new", s->at, k);
		rows += dpt_find(s->w.t, k + 1) != DPT_NONE;
	}
	assert_int_equal(dpt_rows(s->w.t), rows);
	if (dpt_net_get(s->w.t, &net))
		assert_true((s->net_was && memcmp(&net, &s->net_before, sizeof(net)) == 0) ||
			    memcmp(&net, &s->net_after, sizeof(net)) == 0);
	else
		assert_false(s->net_was);

	for (unsigned int i = 0; i < 6 - rows; i++) {
		struct dp_row r = row((uint16_t)(1000 + i), NULL);

		r.local_tunnel = (uint16_t)(500 + i);
		assert_int_equal(put(&s->w, 1000 + i, 1, &r, true, &slot), 0);
		assert_int_equal(dpt_run(s->w.t, slot)->rx_packets, 0);
		assert_int_equal(dpt_run(s->w.t, slot)->ns, 7);
	}
}

/* Another process takes the table over and dies at its m-th store. */
static void die_while_recovering(const struct script *s, long m)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct qsbr q;
		uint32_t found;

		qsbr_init(&q);
		steps_left = m;
		if (!setjmp(dead))
			dpt_open(s->w.mem, s->w.size, 0, hash_key, &q, &found);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_dead_writer_leaves_old_or_new(void **state)
{
	static struct script s; /* static: looked at after longjmp */
	static long n, m;
	static bool died;

	for (n = 1, died = true; died; n++) {
		for (m = 0; died && m < 400; m = m * 3 + 1) {
			memset(&s, 0, sizeof(s));
			world_new(&s.w, 6);
			steps_left = n;
			died = setjmp(dead) != 0;
			if (!died)
				script_run(&s);
			steps_left = 0;
			if (died && m)
				die_while_recovering(&s, m);
			world_again(&s.w);
			check_survived(&s);
			world_free(&s.w);
			if (n % 9) /* each of them with a second death would take long */
				break;
		}
	}
	assert_true(n > 300);
}

static void damage_is_never_believed(void **state)
{
	rnd_state = 21;
	for (int i = 0; i < 300; i++) {
		struct world w;
		uint32_t slot, rows = 0;

		world_new(&w, 20);
		for (uint16_t k = 1; k <= 10; k++) {
			struct dp_row r = row(k, NULL);

			r.prefixes[0] = prefix("10.0.0.0");
			r.prefixes[0].addr.ip[3] = (uint8_t)k;
			r.prefix_count = 1;
			assert_int_equal(put(&w, k, 1, &r, true, &slot), 0);
		}
		for (uint32_t n = 1 + rnd(200); n; n--)
			((uint8_t *)w.mem)[rnd((uint32_t)w.size)] = (uint8_t)rnd(256);
		world_again(&w);
		for (slot = 0; slot < dpt_slots(w.t); slot++) {
			struct dpt_info info;
			struct dpt_config c = { 0 };

			if (!dpt_get(w.t, slot, &info))
				continue;
			rows++;
			assert_true(dp_row_ok(&info.row));
			assert_int_equal(dpt_find(w.t, info.key), slot);
			assert_true(dpt_snapshot(w.t, slot, &c));
			assert_true(c.tunnel < dpt_tunnels(w.t));
		}
		assert_int_equal(rows, dpt_rows(w.t));
		world_free(&w);
	}
}

static void another_version_starts_empty(void **state)
{
	struct world w;
	struct dp_row r = row(1, NULL);
	uint32_t slot;

	world_new(&w, 10);
	assert_int_equal(put(&w, 1, 1, &r, true, &slot), 0);
	atomic_store(&dpt_run(w.t, slot)->rx_packets, 9);
	w.t->head->version++;
	world_again(&w);
	assert_int_equal(w.found, 0);
	assert_int_equal(dpt_find(w.t, 1), DPT_NONE);
	assert_int_equal(put(&w, 1, 1, &r, true, &slot), 0);
	assert_int_equal(dpt_run(w.t, slot)->rx_packets, 0);
	world_again(&w);
	assert_int_equal(w.found, 1);
	world_free(&w);
}

static void heard_is_the_latest_of_a_tunnel(void **state)
{
	struct world w;
	struct dp_row r = row(1, NULL);
	struct dpt_config c = { 0 };
	uint32_t slot;

	world_new(&w, 10);
	assert_int_equal(put(&w, 1, 1, &r, true, &slot), 0);
	assert_int_equal(dpt_heard(w.t, 100), 0);
	assert_true(dpt_snapshot(w.t, slot, &c));
	dpt_hear(w.t, c.tunnel, 5000);
	assert_int_equal(dpt_heard(w.t, 100), 5000);
	assert_int_equal(dpt_heard(w.t, 101), 0);
	world_again(&w);
	assert_int_equal(dpt_heard(w.t, 100), 5000);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_found),
		cmocka_unit_test(pseudowires_are_found),
		cmocka_unit_test(ppp_of_v3),
		cmocka_unit_test(ns_begins_when_forwarding_begins),
		cmocka_unit_test(a_full_table_says_so),
		cmocka_unit_test(prefixes_that_rest_come_back),
		cmocka_unit_test(memory_that_runs_out_changes_nothing),
		cmocka_unit_test(lookups_agree_with_a_naive_model),
		cmocka_unit_test(a_dead_writer_leaves_old_or_new),
		cmocka_unit_test(damage_is_never_believed),
		cmocka_unit_test(another_version_starts_empty),
		cmocka_unit_test(heard_is_the_latest_of_a_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
