/* SPDX-License-Identifier: MIT
 *
 * The simulated plane: order, delays and failures of requests from a seed, data both ways, punts.
 */
#include "dp/sim.h"
#include "base/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "failmalloc.h"

static struct dp_row row(uint16_t session)
{
	struct dp_row r;

	memset(&r, 0, sizeof(r));
	r.state = DP_ACTIVE;
	r.ends = DP_L2TP_PPP;
	r.flags = DP_F_IP4 | DP_F_IP6 | DP_F_ANTISPOOF;
	r.path.via = 1;
	addr_parse("192.0.2.1:1701", &r.path.local);
	addr_parse("192.0.2.2:1701", &r.path.remote);
	r.local_tunnel = 10;
	r.remote_tunnel = 20;
	r.local_session = session;
	r.remote_session = (uint16_t)(session + 1000);
	r.mtu = 1400;
	r.prefixes[0].addr.family = AF_INET;
	memcpy(r.prefixes[0].addr.ip,
	       ((uint8_t[]){ 10, 0, (uint8_t)(session >> 8), (uint8_t)session }), 4);
	r.prefixes[0].len = 32;
	r.prefix_count = 1;
	return r;
}

static size_t ip4(uint8_t *b, uint32_t from, uint32_t to)
{
	struct wcur c = wcur_of(b, 60);

	memset(b, 0, 60);
	wcur_u32(&c, 0x4500003c);
	wcur_u32(&c, 0);
	wcur_u32(&c, 0x40fd0000);
	wcur_u32(&c, from);
	wcur_u32(&c, to);
	return 60;
}

/* Run to the end; the sum of all completions in their order. */
static uint64_t run(uint64_t seed, unsigned int *ret_failed, bool *ret_overtaken)
{
	struct dp_sim_config c = { .seed = seed, .delay_max_us = 1000, .fail_per_1000 = 200 };
	struct dp *dp = dp_sim_new(&c);
	uint32_t last[51] = { 0 };
	uint64_t sum = 0, prev = 0;
	struct dp_sim_counts n;
	struct dp_done d;
	struct mono now = { 0 };

	assert_non_null(dp);
	*ret_failed = 0;
	for (uint32_t g = 1; g <= 4; g++) {
		for (uint16_t k = 1; k <= 50; k++) {
			struct dp_row r = row(k);

			if (g == 3)
				assert_int_equal(dp->ops->del(dp, k, g), 0);
			else
				assert_int_equal(dp->ops->put(dp, k, g, &r), 0);
		}
	}
	while (dp_sim_deadline(dp).us != INT64_MAX) {
		now = mono_add(now, 10);
		dp_sim_advance(dp, now);
		while (dp->ops->done(dp, &d)) {
			assert_int_equal(d.generation, last[d.key] + 1);
			last[d.key] = d.generation;
			*ret_failed += d.error != 0;
			*ret_overtaken |= d.key < prev;
			prev = d.key;
			sum = sum * 31 + d.key * 5 + d.generation + (uint64_t)-d.error;
		}
	}
	for (uint16_t k = 1; k <= 50; k++)
		assert_int_equal(last[k], 4);
	dp_sim_counts(dp, &n);
	assert_int_equal(n.puts, 150);
	assert_int_equal(n.dels, 50);
	assert_int_equal(n.failed, *ret_failed);
	assert_int_equal(n.waiting, 0);
	dp->ops->free(dp);
	return sum;
}

static void a_seed_says_it_all(void **state)
{
	unsigned int failed;
	bool overtaken = false;
	uint64_t first = run(1, &failed, &overtaken);

	assert_true(failed > 10 && failed < 60);
	assert_true(overtaken);
	assert_true(run(1, &failed, &overtaken) == first);
	assert_true(run(2, &failed, &overtaken) != first);
}

static void failures_on_order(void **state)
{
	struct dp_sim_config c = { .seed = 1, .delay_min_us = 5, .delay_max_us = 5 };
	struct dp *dp = dp_sim_new(&c);
	struct dp_row r = row(1);
	struct dp_done d;

	dp_sim_fail(dp, 2, -ENOSPC);
	assert_int_equal(dp->ops->put(dp, 1, 1, &r), 0);
	r = row(2);
	assert_int_equal(dp->ops->put(dp, 2, 1, &r), 0);
	dp_sim_advance(dp, (struct mono){ 4 });
	assert_false(dp->ops->done(dp, &d));
	assert_int_equal(dp_sim_deadline(dp).us, 5);
	dp_sim_advance(dp, (struct mono){ 5 });
	for (int i = 0; i < 2; i++) {
		assert_true(dp->ops->done(dp, &d));
		assert_int_equal(d.error, d.key == 2 ? -ENOSPC : 0);
	}
	assert_int_equal(dp->ops->put(dp, 2, 2, &r), 0);
	dp_sim_crash(dp); /* never carried out, never completed */
	dp_sim_advance(dp, (struct mono){ 100 });
	assert_false(dp->ops->done(dp, &d));
	assert_false(dp_sim_row(dp, 2, &r));
	assert_true(dp_sim_row(dp, 1, &r));
	failmalloc_arm(1);
	assert_int_equal(dp->ops->put(dp, 3, 2, &r), -ENOMEM);
	failmalloc_disarm();
	dp->ops->free(dp);
}

static void data_and_punts(void **state)
{
	struct dp_sim_config c = { .seed = 1 };
	struct dp *dp = dp_sim_new(&c);
	struct dp_row r = row(7);
	struct path path = r.path;
	struct dp_sim_out out;
	struct dp_counters n;
	struct dp_punt p;
	struct dp_done d;
	uint8_t b[200], ppp[] = { 0, 2, 0, 10, 0, 7, 0xff, 3, 0xc0, 0x21, 9, 1, 0, 4 };
	uint8_t frame[80], control[20] = { 0xc8, 2 };

	assert_int_equal(dp->ops->put(dp, 1, 1, &r), 0);
	dp_sim_advance(dp, (struct mono){ 50 });
	assert_true(dp->ops->done(dp, &d));

	memcpy(b, ((uint8_t[]){ 0, 2, 0, 10, 0, 7, 0, 0x21 }), 8);
	ip4(b + 8, 0x0a000007, 0xc0000209);
	dp_sim_datagram(dp, &path, b, 68);
	assert_true(dp_sim_to_host(dp, &out));
	assert_int_equal(out.key, 1);
	assert_int_equal(out.len, 60);
	assert_memory_equal(out.bytes, b + 8, 60);
	ip4(b + 8, 0x0a000008, 0xc0000209); /* spoofed */
	dp_sim_datagram(dp, &path, b, 68);
	assert_false(dp_sim_to_host(dp, &out));
	path.remote.port++;
	dp_sim_datagram(dp, &path, b, 68); /* from elsewhere */
	path.remote.port--;
	dp_sim_datagram(dp, &path, control, 20);
	dp_sim_datagram(dp, &path, ppp, sizeof(ppp));
	ppp[5] = 8;
	dp_sim_datagram(dp, &path, ppp, sizeof(ppp)); /* nobody's */
	assert_true(dp->ops->punt(dp, &p));
	assert_int_equal(p.class, DP_PUNT_DATAGRAM);
	assert_int_equal(p.len, 20);
	assert_true(dp->ops->punt(dp, &p));
	assert_int_equal(p.class, DP_PUNT_PPP);
	assert_int_equal(p.key, 1);
	assert_int_equal(p.bytes[0], 0xc0);
	assert_true(dp->ops->punt(dp, &p));
	assert_int_equal(p.len, sizeof(ppp));
	assert_false(dp->ops->punt(dp, &p));

	ip4(b, 0xc0000209, 0x0a000007);
	dp_sim_packet(dp, 0, b, 60);
	assert_true(dp_sim_to_peer(dp, &out));
	assert_int_equal(out.len, 70);
	assert_true(path_equal(&out.path, &r.path));
	memcpy(frame + 64, ((uint8_t[]){ 0xc0, 0x21, 10, 1, 0, 4 }), 6);
	assert_int_equal(dp->ops->send(dp, 1, frame + 64, 6, true), 0);
	assert_true(dp_sim_to_peer(dp, &out));
	assert_int_equal(out.bytes[0], 1);
	assert_int_equal(out.len, 14);
	assert_int_equal(dp->ops->send(dp, 2, frame + 64, 6, true), 1);
	assert_true(dp->ops->stats(dp, 1, &n));
	assert_int_equal(n.rx_packets, 1);
	assert_int_equal(n.tx_packets, 1);
	assert_int_equal(n.drop_spoof, 1);
	assert_int_equal(dp->ops->heard(dp, 10).us, 50);
	p.class = DP_PUNT_LOCAL;
	p.key = 77;
	p.bytes = control;
	p.len = 3;
	assert_int_equal(dp_sim_inject(dp, &p), 0);
	assert_true(dp->ops->punt(dp, &p));
	assert_int_equal(p.key, 77);
	dp->ops->free(dp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_says_it_all),
		cmocka_unit_test(failures_on_order),
		cmocka_unit_test(data_and_punts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
