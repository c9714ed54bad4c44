/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: records between aditd and the data plane in the keeper, in both directions.
 *
 * drives: src/dp/batch.c src/dp/remote.c
 *
 * Input: a datagram of records. What is accepted must come back the same after it was written; and
 * aditd's side of the plane takes it as the keeper's, with a session and a tunnel under way.
 */
#include <stdlib.h>
#include "base/wire.h"
#include "dp/batch.h"
#include "dp/remote.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t one[BATCH_MAX], two[BATCH_MAX];

static void there_and_back(const uint8_t *data, size_t size)
{
	struct rcur c = rcur_of(data, size), back;
	struct batch_record r, again;
	int rc;

	while ((rc = batch_load(&c, &r)) != 0) {
		struct wcur w = wcur_of(one, sizeof(one)), v = wcur_of(two, sizeof(two));

		if (rc < 0) {
			if (c.bad)
				return;
			continue;
		}
		CHECK(batch_save(&w, &r));
		back = rcur_of(one, w.len);
		CHECK(batch_load(&back, &again) == 1);
		CHECK(batch_save(&v, &again));
		CHECK(v.len == w.len && memcmp(one, two, w.len) == 0);
	}
}

static int nowhere(void *arg, const uint8_t *bytes, size_t len)
{
	return 0;
}

static void as_keeper(const uint8_t *data, size_t size)
{
	struct dp_remote_config config = { .send = nowhere };
	struct dp_tunnel t = { .local = 1, .remote = 1, .version = 2 };
	struct dp_row row;
	struct dp *dp = dp_remote_new(&config);
	uint8_t frame[12] = { 0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8 };
	struct dp_net net = { .mtu = 1400 };
	struct dp_plane_stats all;
	struct dp_counters counters;
	struct dp_wire wire;
	const char *text;
	struct dp_finding f;
	struct dp_event e;
	int error;
	struct dp_done d;
	struct dp_punt p;
	uint32_t generation;
	uint64_t pos = 0, key;

	CHECK(dp);
	memset(&row, 0, sizeof(row));
	row.local_tunnel = 1;
	CHECK(dp->ops->tunnel(dp, &t) == 0);
	CHECK(dp->ops->put(dp, 1, 1, &row) == 0);
	CHECK(dp->ops->put(dp, 1, 2, &row) == 0);
	CHECK(dp->ops->del(dp, 1, 3) == 0);
	CHECK(dp->ops->net(dp, 1, &net) == 0);
	dp_remote_input(dp, data, size, -1);
	(void)dp_remote_listed(dp, &error, &text);
	(void)dp->ops->send(dp, 1, frame, sizeof(frame), true);
	(void)dp->ops->stats(dp, 1, &counters);
	CHECK(dp->ops->heard(dp, 1).us >= 0);
	dp->ops->plane_stats(dp, &all);
	(void)dp_remote_wire(dp, "a", &wire);
	CHECK(dp_remote_probe(dp) == 0 && !dp_remote_probed(dp));
	CHECK(dp_remote_ask(dp) == 0);
	dp_remote_flush(dp);
	dp_remote_input(dp, data, size, -1); /* once more: what is there already */
	while (dp->ops->done(dp, &d))
		CHECK(d.key <= 1);
	while (dp->ops->punt(dp, &p))
		CHECK(p.len && p.len <= BATCH_FRAME);
	while (dp->ops->event(dp, &e))
		CHECK(memchr(e.text, 0, sizeof(e.text)));
	while (dp->ops->list(dp, &pos, &key, &generation))
		;
	CHECK(dp->ops->tunnel_del(dp, 1) == 0);
	for (size_t i = 0; dp_remote_found(dp, i, &f); i++)
		CHECK(f.name[0] || !f.name[0]);
	dp->ops->free(dp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > BATCH_MAX)
		return 0;
	there_and_back(data, size);
	as_keeper(data, size);
	return 0;
}
