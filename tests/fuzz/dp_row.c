/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the flat encodings of rows, nets and completions, and the session table as it lies
 * in shared memory.
 *
 * drives: src/base/dp_types.c src/dp/table.c src/dp/table_tunnel.c src/dp/index.c
 *
 * Input: one octet that says what follows. 0 a row, 1 a net, 2 a completion: what is accepted must
 * come back the same after it was written. 3: changes of a table (offset in two octets, octet),
 * after which it is opened: every row that is found must be in order, and it must take another one.
 * 4: operations on a table, an octet each with its operands.
 */
#include <stdlib.h>
#include "base/dp_types.h"
#include "base/wire.h"
#include "dp/table.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define SLOTS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t hash_key[16] = { 1 };

static void row(struct rcur *c)
{
	uint8_t buf[DP_ROW_SAVE_MAX];
	struct wcur w = wcur_of(buf, sizeof(buf));
	struct dp_row r, again;
	struct rcur back;

	if (!dp_row_load(c, &r))
		return;
	CHECK(dp_row_ok(&r));
	dp_row_save(&w, &r);
	CHECK(!w.bad);
	back = rcur_of(buf, w.len);
	CHECK(dp_row_load(&back, &again) && memcmp(&r, &again, sizeof(r)) == 0);
}

static void net(struct rcur *c)
{
	uint8_t buf[DP_NET_SAVE_MAX];
	struct wcur w = wcur_of(buf, sizeof(buf));
	struct dp_net n, again;
	struct rcur back;

	if (!dp_net_load(c, &n))
		return;
	CHECK(dp_net_ok(&n));
	dp_net_save(&w, &n);
	CHECK(!w.bad);
	back = rcur_of(buf, w.len);
	CHECK(dp_net_load(&back, &again) && memcmp(&n, &again, sizeof(n)) == 0);
}

static void completion(struct rcur *c)
{
	uint8_t buf[DP_DONE_SAVE_MAX];
	struct wcur w = wcur_of(buf, sizeof(buf));
	struct dp_done d, again;
	struct rcur back;

	if (!dp_done_load(c, &d))
		return;
	dp_done_save(&w, &d);
	CHECK(!w.bad);
	back = rcur_of(buf, w.len);
	CHECK(dp_done_load(&back, &again) && memcmp(&d, &again, sizeof(d)) == 0);
}

static struct dp_row some_row(uint8_t a, uint8_t b)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.flags = (uint16_t)(DP_F_IP4 | (b & 0x40 ? DP_F_CLIENT : 0));
	r.path.remote.family = AF_INET;
	r.path.remote.ip[3] = (uint8_t)(b & 3);
	r.path.remote.port = 1701;
	r.local_tunnel = (uint16_t)(1 + (a & 3)); /* the ids of a key never change */
	r.remote_tunnel = 1;
	r.local_session = (uint16_t)(1 + (a & 15));
	r.remote_session = 7;
	r.mtu = 1400;
	r.prefix_count = (uint8_t)(b >> 2 & 7);
	for (unsigned int i = 0; i < r.prefix_count; i++) {
		struct prefix *p = &r.prefixes[i];

		p->addr.family = (a + i) & 1 ? AF_INET : AF_INET6;
		p->addr.ip[0] = (uint8_t)(10 + (b & 1));
		p->addr.ip[1] = (uint8_t)(a & 15);
		p->addr.ip[2] = (uint8_t)i;
		p->len = (uint8_t)((a + i) & 1 ? 32 - (b & 2) * 4 : 64 - (b & 2) * 4);
	}
	return r;
}

struct space {
	void *mem;
	size_t size;
	struct qsbr qsbr;
	struct dpt *t;
};

static bool space_open(struct space *s)
{
	uint32_t found;

	qsbr_init(&s->qsbr);
	s->t = dpt_open(s->mem, s->size, SLOTS, hash_key, &s->qsbr, &found);
	return s->t;
}

static bool space_new(struct space *s)
{
	s->size = dpt_size(SLOTS);
	s->mem = aligned_alloc(4096, s->size);
	if (!s->mem)
		return false;
	memset(s->mem, 0, s->size);
	return space_open(s);
}

static void put(struct space *s, uint8_t a, uint8_t b)
{
	struct dp_row r = some_row(a, b);
	uint32_t slot;
	uint64_t other;
	int rc = dpt_put(s->t, 1 + (a & 15), b, &r, 0, b & 0x80, &slot, &other);
	struct dpt_info i;

	if (rc == 0) {
		CHECK(dpt_get(s->t, slot, &i) && i.key == 1u + (a & 15));
		CHECK(memcmp(&i.row, &r, sizeof(r)) == 0);
	}
}

static void check(struct space *s)
{
	struct dpt_info i;
	struct dpt_config c;
	struct dp_counters seen;
	uint64_t pos = 0, key;
	uint32_t rows = 0, generation;

	for (uint32_t slot = 0; slot < dpt_slots(s->t); slot++) {
		if (!dpt_get(s->t, slot, &i))
			continue;
		rows++;
		CHECK(dp_row_ok(&i.row));
		CHECK(dpt_find(s->t, i.key) == slot);
		if (i.ended)
			continue; /* nothing finds it any more, its counters wait to be read */
		CHECK(dpt_snapshot(s->t, slot, &c));
		CHECK(c.tunnel < dpt_tunnels(s->t));
		CHECK(index_ids_find(dpt_index(s->t),
				     i.row.version == 3
					     ? index_ids_v3(i.row.local_session)
					     : index_ids_v2((uint16_t)i.row.local_tunnel,
							    (uint16_t)i.row.local_session)) ==
		      slot);
		for (unsigned int n = 0; !(i.row.flags & DP_F_CLIENT) &&
					 i.row.ends != DP_L2TP_ETH && n < i.row.prefix_count;
		     n++)
			CHECK(index_prefix_find(dpt_index(s->t), &i.row.prefixes[n]) == slot);
	}
	CHECK(rows == dpt_rows(s->t));
	for (; dpt_list(s->t, &pos, &key, &generation); rows--)
		CHECK(dpt_stats(s->t, key, &seen));
	CHECK(rows == 0);
}

static void damage(struct rcur *c)
{
	struct space s;

	if (!space_new(&s))
		return;
	for (uint8_t k = 0; k < 8; k++)
		put(&s, k, (uint8_t)(0x80 | k << 2 | (k & 1)));
	dpt_close(s.t);
	while (rcur_left(c) >= 3) {
		uint16_t at = rcur_u16(c);

		((uint8_t *)s.mem)[at % s.size] = rcur_u8(c);
	}
	if (space_open(&s)) {
		check(&s);
		put(&s, 15, 0x80);
		check(&s);
		dpt_close(s.t);
	}
	free(s.mem);
}

static void del(struct space *s, uint8_t a)
{
	uint32_t slot = dpt_find(s->t, 1 + (a & 15));

	if (slot != DPT_NONE) {
		dpt_stop(s->t, slot);
		dpt_free(s->t, slot);
	}
}

static void operations(struct rcur *c)
{
	struct space s;
	struct dp_net n;
	uint8_t ip[16] = { 10 };

	if (!space_new(&s))
		return;
	memset(&n, 0, sizeof(n));
	for (unsigned int i = 0; i < 60 && rcur_left(c) >= 3; i++) {
		uint8_t op = rcur_u8(c), a = rcur_u8(c), b = rcur_u8(c);

		switch (op & 7) {
		case 0:
			del(&s, a);
			break;
		case 1:
			dpt_close(s.t);
			if (!space_open(&s)) {
				free(s.mem);
				return;
			}
			break;
		case 2:
			n.mtu = (uint16_t)(68 + b);
			dpt_net_put(s.t, &n);
			CHECK(dpt_net_get(s.t, &n) && n.mtu == 68 + b);
			break;
		case 3:
			ip[1] = a;
			ip[2] = b;
			index_route4(dpt_index(s.t), ip);
			index_route6(dpt_index(s.t), ip);
			dpt_heard(s.t, a);
			break;
		default:
			put(&s, a, b);
			break;
		}
		if (i % 8 == 0)
			check(&s);
	}
	check(&s);
	dpt_close(s.t);
	free(s.mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rcur c = rcur_of(data, size);

	switch (rcur_u8(&c) % 5) {
	case 0:
		row(&c);
		break;
	case 1:
		net(&c);
		break;
	case 2:
		completion(&c);
		break;
	case 3:
		damage(&c);
		break;
	case 4:
		operations(&c);
		break;
	}
	return 0;
}
