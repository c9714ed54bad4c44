/* SPDX-License-Identifier: MIT
 *
 * Asking for L2TPv3, content with L2TPv2 (RFC 3931 4.7.3): one SCCRQ for peers of either version,
 * sent by the v2 engine on behalf of both, and both versions served on one socket.
 *
 * Rows: V3-4.7-01, V3-4.7-02, V3-4.7-05, V3-4.7-06, V3-4.7-08
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>
#include <adit/l2tp3.h>
#include "base/addr.h"

/* What one socket serves. */
struct both {
	struct l2tp *v2;
	struct l2tp3 *v3;
	struct l2tp_profile *p2;
	struct l2tp3_profile *p3;
	bool speaks2, speaks3;
	uint32_t up2, up3, down2, down3;
	adit_handle tunnel, conn;
	struct path path; /* to the other */
	bool authentic;
	uint8_t first[L2TP_CONTROL_MAX]; /* the first packet it sent */
	size_t first_len;
};

static struct mono now = { 1000 * US_S };

static void begin(struct both *b, int i, const char *secret, bool v2, bool v3)
{
	struct l2tp_params p2 = { .host_name = "both", .secret = secret, .challenge = secret };
	struct l2tp3_params p3 = { .host_name = "both", .router_id = 7 };
	struct l2tp_config c2 = { .max_tunnels = 0 };
	struct l2tp3_config c3 = { .max_conns = 0 };
	int err;

	*b = (struct both){ .speaks2 = v2, .speaks3 = v3 };
	p2.secret_len = secret ? strlen(secret) : 0;
	if (secret)
		p3.secret[0] = (struct l2tp3_secret_param){ secret, strlen(secret) };
	memset(c2.seed, 1 + i, sizeof(c2.seed));
	memset(c3.seed, 11 + i, sizeof(c3.seed));
	b->p2 = l2tp_profile_new(&p2, &err);
	b->p3 = l2tp3_profile_new(&p3, &err);
	b->v2 = l2tp_new(&c2);
	b->v3 = l2tp3_new(&c3);
	assert_true(b->p2 && b->p3 && b->v2 && b->v3);
	b->path = (struct path){ .via = 1,
				 .local = { .family = AF_INET, .port = L2TP_PORT },
				 .remote = { .family = AF_INET, .port = L2TP_PORT } };
	b->path.local.ip[0] = b->path.remote.ip[0] = 10;
	b->path.local.ip[3] = (uint8_t)(1 + i);
	b->path.remote.ip[3] = (uint8_t)(2 - i);
}

static void end(struct both *b)
{
	l2tp_free(b->v2);
	l2tp3_free(b->v3);
	l2tp_profile_unref(b->p2);
	l2tp3_profile_unref(b->p3);
}

static void hear2(struct both *b)
{
	struct l2tp_event ev;

	while (l2tp_event(b->v2, &ev)) {
		struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_ACCEPT,
					.tunnel = ev.tunnel,
					.profile = b->p2 };
		struct l2tp3_cmd close = { .kind = L2TP3_CMD_CONN_CLOSE, .conn = b->conn };

		if (ev.kind == L2TP_EV_TUNNEL_ASK)
			assert_int_equal(l2tp_do(b->v2, now, &cmd), 0);
		b->down2 += ev.kind == L2TP_EV_TUNNEL_DOWN;
		b->up2 += ev.kind == L2TP_EV_TUNNEL_UP;
		/* The answer is one of v2. */
		if (ev.kind == L2TP_EV_TUNNEL_UP && b->conn)
			assert_int_equal(l2tp3_do(b->v3, now, &close), 0);
	}
}

static void hear3(struct both *b)
{
	struct l2tp3_event ev;

	while (l2tp3_event(b->v3, &ev)) {
		struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_ACCEPT,
					 .conn = ev.conn,
					 .profile = b->p3 };
		struct l2tp_cmd drop = { .kind = L2TP_CMD_TUNNEL_ABANDON, .tunnel = b->tunnel };

		if (ev.kind == L2TP3_EV_CONN_ASK) {
			assert_true(ev.offer);
			assert_int_equal(l2tp3_do(b->v3, now, &cmd), 0);
		}
		b->down3 += ev.kind == L2TP3_EV_CONN_DOWN;
		b->up3 += ev.kind == L2TP3_EV_CONN_UP;
		b->authentic |= ev.kind == L2TP3_EV_CONN_UP && ev.authentic;
		/* The answer is one of v3. */
		if (ev.kind == L2TP3_EV_CONN_UP && b->tunnel)
			assert_int_equal(l2tp_do(b->v2, now, &drop), 0);
	}
}

static void receive(struct both *b, const uint8_t *bytes, size_t len)
{
	enum l2tp3_which which = l2tp3_which(bytes, len);
	struct l2tp3_frame f3;
	struct l2tp_frame f2;

	if (which == L2TP3_WHICH_V3 || (which == L2TP3_WHICH_OFFER && b->speaks3))
		assert_true(!b->speaks3 || l2tp3_input(b->v3, now, &b->path, bytes, len, &f3) >= 0);
	else if (which != L2TP3_WHICH_NONE && b->speaks2)
		assert_true(l2tp_input(b->v2, now, &b->path, bytes, len, &f2) >= 0);
}

/* All that one has to send goes to the other. */
static size_t exchange(struct both *from, struct both *to)
{
	uint8_t buf[L2TP_CONTROL_MAX];
	struct path path;
	size_t n, count = 0;

	hear2(from);
	hear3(from);
	hear2(from);
	while ((n = l2tp_output(from->v2, now, buf, sizeof(buf), &path)) ||
	       (n = l2tp3_output(from->v3, now, buf, sizeof(buf), &path))) {
		if (!from->first_len) {
			memcpy(from->first, buf, n);
			from->first_len = n;
		}
		receive(to, buf, n);
		count++;
	}
	return count;
}

static void offer(struct both *b)
{
	struct l2tp_offer o;
	struct l2tp3_cmd ask = {
		.kind = L2TP3_CMD_CONN_OFFER, .profile = b->p3, .path = b->path, .ret_offer = &o
	};
	struct l2tp_cmd open = {
		.kind = L2TP_CMD_TUNNEL_OPEN, .profile = b->p2, .path = b->path, .offer = &o
	};

	assert_int_equal(l2tp3_do(b->v3, now, &ask), 0);
	assert_int_equal(l2tp_do(b->v2, now, &open), 0);
	b->conn = ask.ret_handle;
	b->tunnel = open.ret_handle;
}

static void meet(struct both *a, struct both *b)
{
	for (int i = 0; i < 60; i++) {
		while (exchange(a, b) + exchange(b, a))
			;
		now.us += US_S;
		l2tp_expire(a->v2, now);
		l2tp3_expire(a->v3, now);
		l2tp_expire(b->v2, now);
		l2tp3_expire(b->v3, now);
	}
}

static void answers(void **state)
{
	static const char *const secrets[] = { NULL, "swordfish" };

	(void)state;
	for (int n = 0; n < 8; n++) {
		bool v2 = n & 1, v3 = n & 2;
		struct both a, b;

		begin(&a, 0, secrets[n >> 2], true, true);
		begin(&b, 1, secrets[n >> 2], v2, v3);
		offer(&a);
		meet(&a, &b);
		/* The request is one of v2, with all that v2 wants. */
		assert_memory_equal(a.first, "\xc8\x02", 2);
		assert_int_equal(l2tp3_which(a.first, a.first_len), L2TP3_WHICH_OFFER);
		assert_int_equal(a.up3, v3);
		assert_int_equal(b.up3, v3);
		assert_int_equal(a.up2, v2 && !v3);
		assert_int_equal(b.up2, v2 && !v3);
		assert_int_equal(a.authentic, v3 && secrets[n >> 2]);
		/* What did not come up went down, without a word on the wire. */
		if (v2 || v3) {
			assert_int_equal(a.down2, v3);
			assert_int_equal(a.down3, !v3);
			assert_int_equal(b.down2 + b.down3, 0);
		} else {
			assert_int_equal(a.down2, 1);
		}
		end(&a);
		end(&b);
	}
}

/* Over IP there is nothing to fall back to (4.7.1). */
static void not_over_ip(void **state)
{
	struct l2tp_offer o;
	struct both a;
	struct l2tp3_cmd ask = { .kind = L2TP3_CMD_CONN_OFFER, .ret_offer = &o };

	(void)state;
	begin(&a, 0, NULL, true, true);
	ask.profile = a.p3;
	ask.path = a.path;
	ask.path.remote.port = ask.path.local.port = 0;
	assert_int_equal(l2tp3_do(a.v3, now, &ask), -EINVAL);
	end(&a);
}

static void which(void **state)
{
	static const uint8_t data3[] = { 0, 3, 0, 0, 1, 2, 3, 4 }, data2[] = { 0, 2, 0, 1, 0, 1 };
	static const uint8_t l2f[] = { 0, 1, 0, 0 }, one[] = { 0xc8 };

	(void)state;
	assert_int_equal(l2tp3_which(data3, sizeof(data3)), L2TP3_WHICH_V3);
	assert_int_equal(l2tp3_which(data2, sizeof(data2)), L2TP3_WHICH_V2);
	assert_int_equal(l2tp3_which(l2f, sizeof(l2f)), L2TP3_WHICH_NONE);
	assert_int_equal(l2tp3_which(one, sizeof(one)), L2TP3_WHICH_NONE);
	assert_int_equal(l2tp3_which(NULL, 0), L2TP3_WHICH_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(not_over_ip),
		cmocka_unit_test(which),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
