/* SPDX-License-Identifier: MIT
 *
 * Sessions with sequence numbers on data (src/access/pipe.c): the planes of these two machines
 * count as the kernel does, from 0 both ways, and drop what has another number than the one that is
 * due.
 */
#include "pair.h"

#include <errno.h>
#include <string.h>

#define LNS(p)	  (&(p)->m[0])
#define CLIENT(p) (&(p)->m[1])

/* Each test is done for L2TPv2, for L2TPv3, and for L2TPv3 over IP. */
struct way {
	enum conf_version version;
	bool over_ip;
};

static struct pair_options options(void **state)
{
	const struct way *w = *state;

	return (struct pair_options){ .manual = true,
				      .sequencing = true,
				      .pipes = true,
				      .version = { w->version, w->version },
				      .over_ip = w->over_ip };
}

static struct pair *numbered(void **state)
{
	struct pair_options o = options(state);

	return pair_new(&o);
}

static void dial(struct pair *p)
{
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_CONNECT, "d0"), 0);
}

static void up(struct pair *p)
{
	pair_until(p, LNS(p), ACCESS_EV_UP, 1, 20 * US_S);
	pair_until(p, CLIENT(p), ACCESS_EV_UP, 1, 20 * US_S);
	pair_run(p, 40 * US_S); /* echoes, and IPv6 of the link */
	assert_int_equal(pair_told(LNS(p), ACCESS_EV_DOWN), 0);
	assert_int_equal(pair_told(CLIENT(p), ACCESS_EV_DOWN), 0);
}

static const struct dp_row *row_of(struct machine *m)
{
	uint64_t key = access_session_next(m->a, 0);
	const struct pair_row *r = pair_row(m, key);

	assert_non_null(r);
	assert_int_equal(r->row.state, DP_ACTIVE);
	assert_true(r->row.flags & (DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ));
	return &r->row;
}

static void in_the_plane(struct machine *m)
{
	const struct dp_row *r = row_of(m);

	assert_int_equal(r->first_ns, 0);
	assert_int_equal(r->first_nr, 0);
	assert_int_equal(m->late, 0);
}

static void end(struct pair *p)
{
	assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
	pair_run(p, 200 * US_S);
	pair_check_empty(LNS(p));
	pair_check_empty(CLIENT(p));
	pair_free(p);
}

/* Every frame, from the first on, goes by the planes. */
static void from_the_first(void **state)
{
	struct pair *p = numbered(state);

	dial(p);
	up(p);
	in_the_plane(LNS(p));
	in_the_plane(CLIENT(p));
	assert_int_equal(LNS(p)->pipes, 1);
	assert_int_equal(CLIENT(p)->pipes, 1);
	end(p);
}

/* The server hears of the session when the client's plane is ready for it, however long it takes.
 */
static void iccn_waits(void **state)
{
	struct pair *p = numbered(state);

	CLIENT(p)->hold_done = true;
	dial(p);
	pair_run(p, 2 * US_S);
	assert_int_equal(CLIENT(p)->pipes, 1);
	assert_int_not_equal(access_session_next(LNS(p)->a, 0), 0);
	assert_int_equal(LNS(p)->pipes, 0);
	CLIENT(p)->hold_done = false;
	up(p);
	in_the_plane(LNS(p));
	in_the_plane(CLIENT(p));
	end(p);
}

/* A plane that has no pipes: the engine counts, and the row says how far. */
static void no_pipes(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct pair *p = numbered(state);

		p->m[i].no_pipes = true;
		dial(p);
		up(p);
		assert_int_equal(p->m[i].pipes, 1);
		assert_int_not_equal(row_of(&p->m[i])->first_ns, 0);
		assert_int_not_equal(row_of(&p->m[i])->first_nr, 0);
		in_the_plane(&p->m[!i]);
		end(p);
	}
}

/* The client's first frame comes before the server's pipe stands: then it is taken down again. */
static void too_late(void **state)
{
	struct pair *p = numbered(state);

	LNS(p)->hold_done = true;
	dial(p);
	/* it has let the server go first for a moment, and then begun; 0 is read by the engine */
	pair_run(p, 2 * US_S);
	/* The plane that has the row takes what comes: in truth it has not, so far. */
	assert_int_equal(LNS(p)->pipes, 1);
	LNS(p)->rows[0].there = false;
	pair_run(p, 4 * US_S);
	LNS(p)->rows[0].there = true;
	LNS(p)->hold_done = false;
	up(p);
	assert_int_not_equal(row_of(LNS(p))->first_nr, 0);
	in_the_plane(CLIENT(p));
	end(p);
}

/* The session ends while the plane is still at it. */
static void ends_meanwhile(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct pair *p = numbered(state);

		p->m[i].hold_done = true;
		dial(p);
		pair_run(p, 2 * US_S);
		assert_int_equal(p->m[i].pipes, 1);
		assert_int_equal(pair_dial(CLIENT(p), ACCESS_CMD_DISCONNECT, "d0"), 0);
		pair_run(p, 2 * US_S);
		p->m[i].hold_done = false;
		pair_run(p, 200 * US_S);
		pair_check_empty(LNS(p));
		pair_check_empty(CLIENT(p));
		pair_free(p);
	}
}

/* The plane refuses what encryption needs: the row that only prepared the session goes all the
 * same. */
static void refused_later(void **state)
{
	struct pair_options o = options(state);
	struct pair *p;

	o.mppe = true;
	p = pair_new(&o);
	LNS(p)->no_mppe = true;
	dial(p);
	pair_until(p, LNS(p), ACCESS_EV_DOWN, 1, 60 * US_S);
	assert_int_equal(LNS(p)->pipes, 1);
	end(p);
}

/* An outgoing call (RFC 2661 7.5): it is the client's OCCN that asks for numbers, and waits. */
static void outgoing_call(void **state)
{
	struct pair_options o = options(state);
	struct access_cmd call = { .kind = ACCESS_CMD_CALL, .name = "clients", .text = "0800123" };

	o.manual = false;
	o.called_only = true;
	o.number = "0800*";
	for (unsigned int slow = 0; slow < 2; slow++) {
		struct pair *p = pair_new(&o);
		struct access_session_info i;

		pair_until(p, CLIENT(p), ACCESS_EV_TUNNEL_UP, 1, 10 * US_S);
		CLIENT(p)->hold_done = slow;
		assert_int_equal(pair_do(LNS(p), &call), 0);
		pair_run(p, 2 * US_S);
		assert_int_equal(CLIENT(p)->pipes, 1);
		/* the server has OCRP, and OCCN only when the client's plane is ready */
		assert_true(access_session(LNS(p)->a, access_session_next(LNS(p)->a, 0), &i));
		assert_true(i.outgoing);
		assert_int_equal(LNS(p)->pipes, !slow);
		CLIENT(p)->hold_done = false;
		up(p);
		in_the_plane(LNS(p));
		in_the_plane(CLIENT(p));
		assert_int_equal(LNS(p)->pipes, 1);
		assert_int_equal(CLIENT(p)->pipes, 1);
		end(p);
	}
}

/* The server asks for numbers (RFC 3931 5.4.4), and the client does not: they go one way only, and
 * the server's plane has to count from the first as well. */
static void one_way(void **state)
{
	struct pair_options o = options(state);
	const struct dp_row *r;
	struct pair *p;

	o.sequencing = false;
	o.server_asks = true;
	p = pair_new(&o);
	dial(p);
	up(p);
	r = row_of(LNS(p));
	assert_int_equal(r->flags & (DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ), DP_F_REQUIRE_SEQ);
	assert_int_equal(r->first_nr, 0);
	assert_int_equal(LNS(p)->late, 0);
	assert_int_equal(LNS(p)->pipes, 1);
	r = row_of(CLIENT(p));
	assert_int_equal(r->flags & (DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ), DP_F_SEND_SEQ);
	assert_int_equal(r->first_ns, 0);
	end(p);
}

#define ALL(test)                                                                             \
	cmocka_unit_test_prestate(test, &ways[0]), cmocka_unit_test_prestate(test, &ways[1]), \
		cmocka_unit_test_prestate(test, &ways[2])

int main(void)
{
	struct way ways[] = { { CONF_V2, false }, { CONF_V3, false }, { CONF_V3, true } };
	const struct CMUnitTest tests[] = {
		ALL(from_the_first),
		ALL(iccn_waits),
		ALL(no_pipes),
		ALL(too_late),
		ALL(ends_meanwhile),
		ALL(refused_later),
		ALL(outgoing_call),
		cmocka_unit_test_prestate(one_way, &ways[1]),
		cmocka_unit_test_prestate(one_way, &ways[2]),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
