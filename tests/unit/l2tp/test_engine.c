/* SPDX-License-Identifier: MIT
 *
 * Two engines joined in memory: whole exchanges, a bad network, restarts from records.
 */
#include "world.h"

static struct world w;
static struct world_params wp;

static int setup(void **state)
{
	world_params(&wp);
	return 0;
}

static int teardown(void **state)
{
	world_stop(&w);
	return 0;
}

static void open_both(adit_handle *tunnel, adit_handle *session)
{
	world_start(&w, &wp);
	*tunnel = world_dial(&w, 0);
	world_run(&w, US_S / 10);
	assert_int_equal(w.e[0].count[L2TP_EV_TUNNEL_UP], 1);
	assert_int_equal(w.e[1].count[L2TP_EV_TUNNEL_UP], 1);
	*session = world_call(&w, 0, *tunnel);
	world_run(&w, US_S / 10);
	assert_int_equal(w.e[0].count[L2TP_EV_SESSION_UP], 1);
	assert_int_equal(w.e[1].count[L2TP_EV_SESSION_UP], 1);
}

static void test_open_data_close(void **state)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE, .result = L2TP_STOP_SHUTDOWN,
				.cause = ADIT_CAUSE_SHUTDOWN, .text = "bye" };
	adit_handle tunnel, session;

	open_both(&tunnel, &session);
	assert_string_equal(w.e[1].last[L2TP_EV_SESSION_ASK].calling, "0301234");
	assert_true(world_frame(&w, 0, session, "ping"));
	world_run(&w, US_S / 100);
	assert_int_equal(w.e[1].frames, 1);
	assert_memory_equal(w.e[1].frame, "ping", 4);
	assert_true(world_frame(&w, 1, w.e[1].session, "pong"));
	world_run(&w, US_S / 100);
	assert_int_equal(w.e[0].frames, 1);
	cmd.tunnel = tunnel;
	assert_int_equal(world_do(&w, 0, &cmd), 0);
	world_drain(&w, 0);
	world_run(&w, US_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w.e[i].count[L2TP_EV_SESSION_DOWN], 1);
		assert_int_equal(w.e[i].count[L2TP_EV_TUNNEL_DOWN], 1);
	}
	assert_string_equal(w.e[1].text[L2TP_EV_TUNNEL_DOWN], "bye");
	assert_int_equal(w.e[1].last[L2TP_EV_TUNNEL_DOWN].result, L2TP_STOP_SHUTDOWN);
	assert_int_equal(world_tunnels(&w, 1, L2TP_TS_LINGER), 1);
	world_run(&w, 40 * US_S);
	assert_int_equal(world_tunnels(&w, 1, L2TP_TS_LINGER), 0);
	assert_null(w.e[0].records);
	assert_null(w.e[1].records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open_data_close, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
