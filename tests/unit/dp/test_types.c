/* SPDX-License-Identifier: MIT
 *
 * The flat encodings of dp_types.h: round trips of rows, nets and completions, every cut, and
 * hostile octets. */
#include "base/dp_types.h"
#include "base/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint32_t rnd_state;

static uint32_t rnd(uint32_t below)
{
	rnd_state = rnd_state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(rnd_state >> 4) * below) >> 28);
}

static struct prefix some_prefix(bool host_bits)
{
	struct prefix p;

	memset(&p, 0, sizeof(p));
	p.addr.family = rnd(2) ? AF_INET : AF_INET6;
	p.len = (uint8_t)rnd(p.addr.family == AF_INET ? 33 : 129);
	for (unsigned int i = 0; i < (p.addr.family == AF_INET ? 4u : 16u); i++)
		p.addr.ip[i] = (uint8_t)rnd(256);
	for (unsigned int i = p.len; !host_bits && i < 128; i++)
		p.addr.ip[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	return p;
}

static struct addr some_addr(uint16_t family)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.family = family;
	a.port = (uint16_t)rnd(65536);
	for (unsigned int i = 0; i < (family == AF_INET ? 4u : 16u); i++)
		a.ip[i] = (uint8_t)rnd(256);
	if (family == AF_INET6)
		a.scope = rnd(100);
	return a;
}

static void some_cookie(uint8_t cookie[8], uint8_t *ret_len)
{
	*ret_len = (uint8_t)(4 * rnd(3));
	for (unsigned int i = 0; i < *ret_len; i++)
		cookie[i] = (uint8_t)rnd(256);
}

/* What only some planes and versions have. */
static void some_more(struct dp_row *r)
{
	if (rnd(2)) {
		r->version = 3;
		r->encap = (uint8_t)rnd(2);
		r->l2spec = (uint8_t)rnd(2);
		r->local_tunnel = 1 + rnd(UINT32_MAX);
		r->remote_tunnel = 1 + rnd(UINT32_MAX);
		r->local_session = 1 + rnd(UINT32_MAX);
		r->remote_session = 1 + rnd(UINT32_MAX);
		some_cookie(r->cookie_in, &r->cookie_in_len);
		some_cookie(r->cookie_out, &r->cookie_out_len);
		if (rnd(2))
			r->ends = DP_L2TP_ETH;
		if (r->ends == DP_L2TP_ETH && rnd(2))
			snprintf(r->circuit, sizeof(r->circuit), "eth%u.%u", rnd(100), rnd(4095));
		if (r->ends == DP_L2TP_ETH && rnd(2))
			r->flags |= DP_F_FAR_DOWN;
		if (r->ends == DP_L2TP_ETH)
			r->tag = (uint16_t)rnd(4095);
	}
	if (r->ends != DP_L2TP_ETH && rnd(2)) {
		r->ends = DP_L2TP_L2TP;
		r->partner = 1 + rnd(UINT32_MAX);
	}
	r->txqlen = (uint16_t)rnd(65536);
	if (rnd(2))
		snprintf(r->master, sizeof(r->master), "br%u", rnd(1000000));
	if (r->ends == DP_L2TP_ETH && r->master[0] && rnd(2)) {
		r->vlan = (uint16_t)rnd(4095);
		r->vlan_count = (uint8_t)rnd(DP_VLANS + 1);
		for (int i = 0; i < r->vlan_count; i++) {
			r->vlans[i].first = (uint16_t)(1 + rnd(4094));
			r->vlans[i].last =
				(uint16_t)(r->vlans[i].first + rnd(4095 - r->vlans[i].first));
		}
	}
	r->netns = rnd(3);
	if (rnd(2)) {
		r->source4 = some_addr(AF_INET);
		r->source4.port = 0;
	}
}

static struct dp_row some_row(void)
{
	struct dp_row r;
	uint16_t family = rnd(2) ? AF_INET : AF_INET6;

	memset(&r, 0, sizeof(r));
	r.state = (uint8_t)(1 + rnd(2));
	r.ends = DP_L2TP_PPP;
	r.flags = (uint16_t)rnd(1 << 10);
	r.path.via = rnd(1000);
	r.path.remote = some_addr(family);
	if (rnd(4))
		r.path.local = some_addr(family);
	r.local_tunnel = (uint16_t)(1 + rnd(65535));
	r.remote_tunnel = (uint16_t)(1 + rnd(65535));
	r.local_session = (uint16_t)(1 + rnd(65535));
	r.remote_session = (uint16_t)(1 + rnd(65535));
	r.mtu = (uint16_t)(68 + rnd(9000));
	r.mss4 = (uint16_t)rnd(1500);
	r.mss6 = (uint16_t)rnd(1500);
	r.rate_up = rnd(1 << 28);
	r.rate_down = rnd(1 << 28);
	r.first_ns = (uint16_t)rnd(65536);
	r.first_nr = (uint16_t)rnd(65536);
	r.prefix_count = (uint8_t)rnd(DP_PREFIXES + 1);
	for (unsigned int i = 0; i < r.prefix_count; i++)
		r.prefixes[i] = some_prefix(false);
	if (rnd(2))
		snprintf(r.ifname, sizeof(r.ifname), "ppp%u", rnd(1000000));
	r.host_addr_count = (uint8_t)rnd(DP_HOST_ADDRS + 1);
	for (unsigned int i = 0; i < r.host_addr_count; i++)
		r.host_addrs[i] = some_prefix(true);
	if (rnd(2)) {
		r.peer4 = some_addr(AF_INET);
		r.peer4.port = 0;
	}
	r.route_count = (uint8_t)rnd(DP_PREFIXES + 1);
	for (unsigned int i = 0; i < r.route_count; i++)
		r.routes[i] = some_prefix(false);
	r.table = rnd(1 << 20);
	r.metric = rnd(1 << 20);
	r.pin_peer = (uint8_t)rnd(2);
	if (rnd(2))
		some_more(&r);
	return r;
}

static void rows_come_back(void **state)
{
	rnd_state = 1;
	for (int i = 0; i < 3000; i++) {
		struct dp_row r = some_row(), back;
		uint8_t buf[DP_ROW_SAVE_MAX];
		struct wcur w = wcur_of(buf, sizeof(buf));
		struct rcur c;

		assert_true(dp_row_ok(&r));
		dp_row_save(&w, &r);
		wcur_u8(&w, 0xaa);
		assert_false(w.bad);
		c = rcur_of(buf, w.len);
		memset(&back, 0xee, sizeof(back));
		assert_true(dp_row_load(&c, &back));
		assert_int_equal(rcur_left(&c), 1);
		assert_memory_equal(&back, &r, sizeof(r));
	}
}

static void the_largest_row_fits(void **state)
{
	struct dp_row r;
	uint8_t buf[DP_ROW_SAVE_MAX];
	struct wcur w = wcur_of(buf, sizeof(buf));

	rnd_state = 2;
	r = some_row();
	r.prefix_count = r.route_count = DP_PREFIXES;
	r.host_addr_count = DP_HOST_ADDRS;
	for (unsigned int i = 0; i < DP_PREFIXES; i++)
		r.prefixes[i] = r.routes[i] = (struct prefix){ { .family = AF_INET6 }, 128 };
	for (unsigned int i = 0; i < DP_HOST_ADDRS; i++)
		r.host_addrs[i] = r.prefixes[0];
	strcpy(r.ifname, "abcdefghijklmno");
	strcpy(r.master, "abcdefghijklmno");
	r.peer4 = r.source4 = (struct addr){ .family = AF_INET };
	r.version = 3;
	r.ends = DP_L2TP_L2TP;
	r.l2spec = DP_L2SPEC_DEFAULT;
	r.txqlen = 1000;
	r.netns = 1;
	r.partner = 1;
	r.flags |= DP_F_MPPE;
	r.local_tunnel = r.local_session = UINT32_MAX;
	r.cookie_in_len = r.cookie_out_len = 8;
	assert_true(dp_row_ok(&r));
	dp_row_save(&w, &r);
	assert_false(w.bad);
}

static void cut_rows_are_refused(void **state)
{
	rnd_state = 3;
	for (int i = 0; i < 20; i++) {
		struct dp_row r = some_row(), back, before;
		uint8_t buf[DP_ROW_SAVE_MAX];
		struct wcur w = wcur_of(buf, sizeof(buf));

		dp_row_save(&w, &r);
		memset(&before, 0x5a, sizeof(before));
		for (size_t n = 0; n < w.len; n++) {
			uint8_t *exact = malloc(n ? n : 1); /* so that ASan sees one octet more */
			struct rcur c = rcur_of(exact, n);

			memcpy(exact, buf, n);
			back = before;
			assert_false(dp_row_load(&c, &back));
			assert_memory_equal(&back, &before, sizeof(back));
			free(exact);
		}
	}
}

/* A changed octet gives either a refusal or another row that is ok and comes back. */
static void hostile_rows_do_no_harm(void **state)
{
	rnd_state = 4;
	for (int i = 0; i < 20000; i++) {
		struct dp_row r = some_row(), back, again;
		uint8_t buf[DP_ROW_SAVE_MAX], buf2[DP_ROW_SAVE_MAX];
		struct wcur w = wcur_of(buf, sizeof(buf)), w2 = wcur_of(buf2, sizeof(buf2));
		struct rcur c;

		dp_row_save(&w, &r);
		for (uint32_t n = 1 + rnd(4); n; n--)
			buf[rnd((uint32_t)w.len)] = (uint8_t)rnd(256);
		c = rcur_of(buf, w.len);
		if (!dp_row_load(&c, &back))
			continue;
		assert_true(dp_row_ok(&back));
		dp_row_save(&w2, &back);
		assert_false(w2.bad);
		c = rcur_of(buf2, w2.len);
		assert_true(dp_row_load(&c, &again));
		assert_memory_equal(&back, &again, sizeof(back));
	}
}

#define BAD(change)                          \
	do {                                 \
		struct dp_row r = good;      \
		change;                      \
		assert_false(dp_row_ok(&r)); \
	} while (0)

static void rows_out_of_range_are_not_ok(void **state)
{
	struct dp_row good;

	memset(&good, 0, sizeof(good));
	good.state = DP_ACTIVE;
	good.ends = DP_L2TP_PPP;
	good.path.remote.family = AF_INET;
	good.local_tunnel = good.remote_tunnel = good.local_session = good.remote_session = 1;
	good.mtu = 1400;
	assert_true(dp_row_ok(&good));
	BAD(r.state = 0);
	BAD(r.state = 3);
	BAD(r.ends = 0);
	BAD(r.ends = 4);
	BAD(r.ends = DP_L2TP_ETH);
	BAD(r.ends = DP_L2TP_L2TP);
	BAD(r.partner = 5);
	BAD(strcpy(r.circuit, "eth1")); /* of Ethernet alone */
	BAD(r.flags = DP_F_FAR_DOWN);
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, strcpy(r.circuit, "a/b")));
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, r.vlan = 7)); /* of no bridge */
	BAD((r.vlan = 7, strcpy(r.master, "br0")));
	BAD(r.tag = 7);
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, r.tag = 4095));
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, strcpy(r.master, "br0"), r.vlan = 4095));
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, strcpy(r.master, "br0"), r.vlan_count = 1));
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, strcpy(r.master, "br0"), r.vlan_count = 1,
	     r.vlans[0].first = 9, r.vlans[0].last = 8));
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, strcpy(r.master, "br0"),
	     r.vlan_count = DP_VLANS + 1));
	BAD((r.version = 3, r.ends = DP_L2TP_ETH, memset(r.circuit, 'a', DP_IFNAME)));
	BAD(r.version = 1);
	BAD(r.version = 4);
	BAD(r.encap = DP_ENCAP_IP);
	BAD((r.version = 3, r.encap = 2));
	BAD((r.version = 3, r.l2spec = 2));
	BAD(r.l2spec = 1);
	BAD((r.version = 3, r.cookie_in_len = 5));
	BAD((r.version = 3, r.cookie_out_len = 9));
	BAD((r.version = 3, r.cookie_out_len = 4, r.cookie_out[4] = 1));
	BAD(r.cookie_in_len = 4);
	BAD(r.local_session = 65536);
	BAD(strcpy(r.master, "a/b"));
	BAD(r.source4.family = AF_INET6);
	BAD(r.flags = 1 << 15);
	BAD(r.mtu = 67);
	BAD(r.local_tunnel = 0);
	BAD(r.remote_tunnel = 0);
	BAD(r.local_session = 0);
	BAD(r.remote_session = 0);
	BAD(r.path.remote.family = 0);
	BAD(r.path.remote.family = AF_UNIX);
	BAD(r.path.local.family = AF_INET6);
	BAD(r.path.remote.scope = 3);
	BAD(r.path.remote.ip[4] = 1);
	BAD(r.peer4.family = AF_INET6);
	BAD(r.pin_peer = 2);
	BAD(r.prefix_count = DP_PREFIXES + 1);
	BAD(r.prefix_count = 1);
	BAD((r.prefix_count = 1, r.prefixes[0] = (struct prefix){ { .family = AF_INET }, 33 }));
	BAD((r.prefix_count = 1,
	     r.prefixes[0] = (struct prefix){ { .family = AF_INET, .ip = { 1 } }, 7 }));
	BAD((r.prefix_count = 1,
	     r.prefixes[0] = (struct prefix){ { .family = AF_INET, .port = 1 }, 7 }));
	BAD(r.host_addr_count = DP_HOST_ADDRS + 1);
	BAD(r.route_count = 1);
	BAD(memset(r.ifname, 'a', DP_IFNAME));
	BAD(strcpy(r.ifname, "a/b"));
	BAD(strcpy(r.ifname, "a b"));
	BAD(strcpy(r.ifname, ".."));
	BAD(strcpy(r.ifname, "\xc3\xa4"));
}

static void nets_come_back(void **state)
{
	rnd_state = 5;
	for (int i = 0; i < 500; i++) {
		struct dp_net n, back, before;
		uint8_t buf[DP_NET_SAVE_MAX];
		struct wcur w = wcur_of(buf, sizeof(buf));
		struct rcur c;

		memset(&n, 0, sizeof(n));
		n.local_count = (uint8_t)rnd(DP_NET_MAX + 1);
		n.pool_count = (uint8_t)rnd(DP_NET_MAX + 1);
		for (unsigned int k = 0; k < n.local_count; k++)
			n.local[k] = some_prefix(true);
		for (unsigned int k = 0; k < n.pool_count; k++)
			n.pools[k] = some_prefix(false);
		n.mtu = (uint16_t)(rnd(2) ? 0 : 68 + rnd(2000));
		dp_net_save(&w, &n);
		assert_false(w.bad);
		c = rcur_of(buf, w.len);
		memset(&back, 0xee, sizeof(back));
		assert_true(dp_net_load(&c, &back));
		assert_memory_equal(&back, &n, sizeof(n));
		before = back;
		for (size_t cut = 0; i < 5 && cut < w.len; cut++) {
			c = rcur_of(buf, cut);
			assert_false(dp_net_load(&c, &back));
			assert_memory_equal(&back, &before, sizeof(back));
		}
	}
}

static void completions_come_back(void **state)
{
	rnd_state = 6;
	for (int i = 0; i < 500; i++) {
		struct dp_done d, back;
		uint8_t buf[DP_DONE_SAVE_MAX];
		struct wcur w = wcur_of(buf, sizeof(buf));
		struct rcur c;

		memset(&d, 0, sizeof(d));
		d.op = (uint8_t)(1 + rnd(3));
		d.key = (uint64_t)rnd(1 << 28) << 36 | rnd(1 << 28);
		d.generation = rnd(1 << 28);
		d.error = rnd(2) ? -ENOSPC : 0;
		memset(d.text, 'x', rnd(DP_TEXT));
		memset(d.ifname, 'i', rnd(DP_IFNAME));
		d.counters.rx_packets = rnd(1 << 28);
		d.counters.tx_bytes = (uint64_t)rnd(1 << 28) << 30;
		d.counters.drop_other = 7;
		d.counters.last_rx.us = rnd(1 << 28);
		d.counters.last_tx.us = INT64_MAX;
		dp_done_save(&w, &d);
		assert_false(w.bad);
		c = rcur_of(buf, w.len);
		assert_true(dp_done_load(&c, &back));
		assert_memory_equal(&back, &d, sizeof(d));
		for (size_t cut = 0; i < 5 && cut < w.len; cut++) {
			c = rcur_of(buf, cut);
			assert_false(dp_done_load(&c, &back));
		}
		buf[1] = 4; /* no such operation */
		c = rcur_of(buf, w.len);
		assert_false(dp_done_load(&c, &back));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_come_back),
		cmocka_unit_test(the_largest_row_fits),
		cmocka_unit_test(cut_rows_are_refused),
		cmocka_unit_test(hostile_rows_do_no_harm),
		cmocka_unit_test(rows_out_of_range_are_not_ok),
		cmocka_unit_test(nets_come_back),
		cmocka_unit_test(completions_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
