/* SPDX-License-Identifier: MIT
 *
 * The records of each release (tests/golden/aditd-*.records, written by make.py there) are read by
 * this one: everything that was up goes on, nothing is refused, on every machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "access/access.h"
#include "access/pw.h"
#include "base/wire.h"
#include "daemon/conf.h"
#include "keeper/layout.h"

#define RECORDS_MAX 64
#define RECORD_MAX  (PW_SAVE_CONN_MAX + ACCESS_SAVE_TUNNEL_MAX)

struct record {
	unsigned int kind;
	uint64_t id;
	size_t len;
	uint8_t *bytes;
};

struct golden {
	struct mono now;
	char conf[4096];
	unsigned int sessions, tunnels, wires, lines; /* that were up, and waited */
	struct record records[RECORDS_MAX];
	size_t count;
	struct shown {
		unsigned long long key;
		char user[32], ip4[16];
	} shown[RECORDS_MAX]; /* of sessions: how they were shown */
	size_t shown_count;
	struct access *access;
	struct pw *pw;
};

static size_t unhex(const char *hex, uint8_t *ret)
{
	size_t n = 0;
	unsigned int octet;

	while (sscanf(hex + 2 * n, "%2x", &octet) == 1)
		ret[n++] = (uint8_t)octet;
	return n;
}

static void take_line(struct golden *g, char *line)
{
	struct record *r = g->records + g->count;
	struct shown *s = g->shown + g->shown_count;
	unsigned long long v;
	int at = 0;

	assert_true(g->count < RECORDS_MAX && g->shown_count < RECORDS_MAX);
	if (sscanf(line, "session %llx %31s %15s", &s->key, s->user, s->ip4) == 3)
		g->shown_count++;
	else if (sscanf(line, "now %llu", &v) == 1)
		g->now.us = (int64_t)v;
	else if (strncmp(line, "conf ", 5) == 0)
		snprintf(g->conf + strlen(g->conf), sizeof(g->conf) - strlen(g->conf), "%s\n",
			 line + 5);
	else if (strncmp(line, "seen ", 5) == 0)
		assert_int_equal(sscanf(line, "seen %u %u %u %u", &g->sessions, &g->tunnels,
					&g->wires, &g->lines),
				 4);
	else if (sscanf(line, "record %u %llx %n", &r->kind, &v, &at) == 2 && at) {
		r->id = v;
		r->bytes = malloc(RECORD_MAX);
		assert_non_null(r->bytes);
		r->len = unhex(line + at, r->bytes);
		assert_true(r->len > 0);
		g->count++;
	}
}

static FILE *golden_file(const char *name)
{
	const char *dir = getenv("ADIT_GOLDEN");
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : GOLDEN_DIR, name);
	return fopen(path, "r");
}

static struct golden *golden_read(const char *name)
{
	struct golden *g = calloc(1, sizeof(*g));
	FILE *f = golden_file(name);
	size_t cap = 4 * (size_t)RECORD_MAX;
	char *line = malloc(cap);

	assert_non_null(g);
	assert_non_null(f);
	assert_non_null(line);
	while (fgets(line, (int)cap, f)) {
		line[strcspn(line, "\n")] = '\0';
		take_line(g, line);
	}
	fclose(f);
	free(line);
	assert_true(g->count > 0);
	return g;
}

static void load_kind(struct golden *g, unsigned int kind)
{
	for (size_t i = 0; i < g->count; i++) {
		struct record *r = g->records + i;
		struct rcur c = rcur_of(r->bytes, r->len);
		int rc;

		if (r->kind != kind)
			continue;
		if (kind == LAYOUT_PW_CONN || kind == LAYOUT_PW_SESSION)
			rc = pwe_load(g->pw, g->now,
				      kind == LAYOUT_PW_CONN ? PW_OBJ_CONN : PW_OBJ_SESSION, r->id,
				      &c);
		else
			rc = access_load(g->access, g->now,
					 kind == LAYOUT_SESSION_LONG || kind == LAYOUT_SESSION_SHORT
						 ? ACCESS_OBJ_SESSION
						 : (enum access_object)kind,
					 r->id, &c);
		if (rc)
			fail_msg("record %u %llx: %d", kind, (unsigned long long)r->id, rc);
	}
}

static void load(struct golden *g, struct conf *c)
{
	static const unsigned int order[] = { ACCESS_OBJ_STATE,	    ACCESS_OBJ_TUNNEL,
					      ACCESS_OBJ_SESSION,   LAYOUT_SESSION_LONG,
					      LAYOUT_SESSION_SHORT, ACCESS_OBJ_ACCT };
	struct access_config ac = { .incarnation = 1 };
	struct pw_config pc = { .incarnation = 1 };
	struct access_cmd cmd = { .kind = ACCESS_CMD_CONF, .conf = c->access };

	g->access = access_new(&ac);
	g->pw = pwe_new(&pc);
	assert_non_null(g->access);
	assert_non_null(g->pw);
	access_wall(g->access, g->now, INT64_C(1800000000) * US_S);
	assert_int_equal(access_do(g->access, g->now, &cmd), 0);
	assert_int_equal(
		pwe_do(g->pw, g->now, &(struct pw_cmd){ .kind = PW_CMD_CONF, .conf = c->pw }), 0);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		load_kind(g, order[i]);
	access_loaded(g->access, g->now);
	load_kind(g, LAYOUT_PW_CONN);
	load_kind(g, LAYOUT_PW_SESSION);
	pwe_loaded(g->pw, g->now);
}

/* Nothing may be told to have ended; returns how many accounting lines come again. */
static unsigned int take_events(struct golden *g)
{
	struct access_event ev;
	unsigned int lines = 0;

	while (access_event(g->access, g->now, &ev)) {
		lines += ev.kind == ACCESS_EV_ACCT;
		assert_true(ev.kind != ACCESS_EV_DOWN && ev.kind != ACCESS_EV_TUNNEL_DOWN);
	}
	return lines;
}

static void check_sessions(struct golden *g)
{
	struct access_session_info i;

	assert_int_equal(g->shown_count, g->sessions);
	for (size_t n = 0; n < g->shown_count; n++) {
		const struct shown *s = g->shown + n;
		const uint8_t *ip;
		char text[16];

		assert_true(access_session(g->access, s->key, &i));
		ip = i.client ? i.our_ip4 : i.peer_ip4;
		snprintf(text, sizeof(text), "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
		assert_string_equal(text, s->ip4);
		assert_string_equal(i.user, s->user);
		assert_true(i.up);
	}
}

static void golden_check(const char *name)
{
	struct golden *g = golden_read(name);
	char err[CONF_ERR_MAX] = "";
	struct conf *c = conf_parse(g->conf, name, CONF_NO_FILES, err, sizeof(err));
	struct access_session_info s;
	struct access_tunnel_info t;
	struct access_summary sum;
	struct pw_wire_info w;
	struct pw_event ev;
	unsigned int up = 0, tunnels = 0, wires = 0;

	if (!c)
		fail_msg("%s", err);
	load(g, c);
	assert_int_equal(take_events(g), g->lines);
	while (pwe_event(g->pw, g->now, &ev))
		assert_true(ev.kind != PW_EV_TUNNEL_DOWN);
	for (uint64_t key = 0; (key = access_session_next(g->access, key));)
		up += access_session(g->access, key, &s) && s.up;
	for (uint32_t id = 0; (id = access_tunnel_next(g->access, id));)
		tunnels += access_tunnel(g->access, id, &t) && t.l2tp.state == L2TP_TS_UP;
	for (size_t i = 0; pwe_wire(g->pw, i, &w); i++) {
		wires += w.row.local_session != 0 && w.key != 0;
		if (strcmp(w.name, "silent") == 0) /* taken down by an administrator */
			assert_string_equal(w.state, "idle");
	}
	check_sessions(g);
	access_summary(g->access, &sum);
	assert_int_equal(up, g->sessions);
	assert_int_equal(sum.sessions, g->sessions);
	assert_int_equal(sum.setups, g->sessions);
	assert_int_equal(tunnels, g->tunnels);
	assert_int_equal(wires, g->wires);
	access_free(g->access);
	pwe_free(g->pw);
	conf_free(c);
	for (size_t i = 0; i < g->count; i++)
		free(g->records[i].bytes);
	free(g);
}

static void release_0_1_0(void **state)
{
	golden_check("aditd-0.1.0.records");
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(release_0_1_0) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
