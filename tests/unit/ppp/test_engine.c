/* SPDX-License-Identifier: MIT
 *
 * The engine with many links, an owner that drains late, and what the trace tells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/trace.h"
#include "pair.h"
#include "ppp/internal.h"

#define LINKS 3000

static struct ppp_cmd open_cmd(const struct ppp_params *params)
{
	struct ppp_cmd c = { .kind = PPP_CMD_OPEN };
	int rc = 0;

	c.profile = ppp_profile_new(params, &rc);
	assert_non_null(c.profile);
	return c;
}

/* Ten requests of each link, one event of each, and nothing is left. */
static void test_many(void **state)
{
	struct ppp_params a = { .ipcp = true };
	struct ppp_config config = { .seed = { 3 } };
	struct ppp *e = ppp_new(&config);
	struct ppp_cmd c = open_cmd(&a);
	uint8_t buf[PPP_FRAME_MAX];
	unsigned sent = 0, downs = 0;
	struct mono now = { 0 };
	struct ppp_event ev;
	struct ppp_frame f;
	size_t empty = ppp_memory(e);

	for (unsigned i = 0; i < LINKS; i++) {
		c.owner = i;
		now.us = (int64_t)i * US_MS;
		assert_int_equal(ppp_do(e, now, &c), 0);
		while (ppp_output(e, now, buf, sizeof(buf), &f) > 0)
			sent++;
	}
	printf("# %zu octets a link\n", (ppp_memory(e) - empty) / LINKS);
	assert_true((ppp_memory(e) - empty) / LINKS < 600);
	while (ppp_deadline(e).us != INT64_MAX) {
		now = ppp_deadline(e).us > now.us ? ppp_deadline(e) : now;
		ppp_expire(e, now);
		while (ppp_event(e, &ev)) {
			assert_int_equal(ev.kind, PPP_EV_DOWN);
			assert_int_equal(ev.cause, ADIT_CAUSE_LCP_TIMEOUT);
			downs++;
		}
		while (ppp_output(e, now, buf, sizeof(buf), &f) > 0)
			sent++;
	}
	assert_int_equal(downs, LINKS);
	assert_int_equal(sent, LINKS * 10);
	assert_int_equal(ppp_count(e), 0);
	ppp_profile_unref(c.profile);
	ppp_free(e);
}

/* Answers wait in a queue of fixed size: what does not fit is lost like a packet on the way. */
static void test_late_owner(void **state)
{
	static const uint8_t request[] = { 0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4 };
	struct ppp_params a = { .ipcp = true, .passive = true };
	struct ppp_config config = { .seed = { 3 } };
	struct ppp *e = ppp_new(&config);
	struct ppp_cmd c = open_cmd(&a);
	adit_handle h[PPP_QUEUE / 2 + 12];
	uint8_t buf[PPP_FRAME_MAX];
	struct ppp_frame f;
	struct ppp_event ev;
	unsigned links = sizeof(h) / sizeof(h[0]), n = 0;
	size_t off;

	for (unsigned i = 0; i < links; i++) {
		assert_int_equal(ppp_do(e, (struct mono){ 0 }, &c), 0);
		h[i] = c.ret_link;
	}
	for (unsigned i = 0; i < links; i++)
		ppp_input(e, (struct mono){ 0 }, h[i], request, sizeof(request), &off);
	/* the first is dropped meanwhile: its answers are not given out */
	c.kind = PPP_CMD_DROP;
	c.link = h[0];
	assert_int_equal(ppp_do(e, (struct mono){ 0 }, &c), 0);
	assert_false(ppp_event(e, &ev));
	while (ppp_output(e, (struct mono){ 0 }, buf, sizeof(buf), &f) > 0) {
		assert_int_not_equal(f.link, h[0]);
		n++;
	}
	assert_int_equal(n, PPP_QUEUE - 2);
	/* the peers repeat, and get their answer */
	for (unsigned i = 1; i < links; i++) {
		assert_int_equal(
			ppp_input(e, (struct mono){ 0 }, h[i], request, sizeof(request), &off),
			PPP_IN_TAKEN);
		n = 0;
		while (ppp_output(e, (struct mono){ 0 }, buf, sizeof(buf), &f) > 0)
			n++;
		assert_true(n >= 1);
	}
	ppp_profile_unref(c.profile);
	ppp_free(e);
}

/* Commands whose effects were taken back before the owner looked leave no event. */
static void test_news_taken_back(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	struct ppp_cmd c = { .kind = PPP_CMD_CLOSE };
	struct ppp_event ev;
	struct pair p;

	pair_init(&p, 1);
	p.s[0].mute = true;
	pair_open_both(&p, &a, &b);
	pair_run(&p, US_S);
	assert_int_equal(p.s[0].asks, 1);
	/* a question put and withdrawn in one go */
	c.link = p.s[0].link;
	link_tell(p.s[0].e, link_get(p.s[0].e, c.link), NEWS_ASK);
	assert_int_equal(ppp_do(p.s[0].e, p.now, &c), 0);
	assert_false(ppp_event(p.s[0].e, &ev));
	pair_free(&p);
}

static bool contains(const uint8_t *p, size_t n, const char *word)
{
	for (size_t i = 0; i + strlen(word) <= n; i++)
		if (memcmp(p + i, word, strlen(word)) == 0)
			return true;
	return false;
}

/* The whole life of a link can be read, and no password. */
static void test_trace(void **state)
{
	struct ppp_params a = pair_params(0), b = pair_params(1);
	void *mem = calloc(1, trace_size(1024, 65536));
	struct trace *t = trace_open(mem, 1024, 65536);
	const char *must[] = { "sent LCP Configure-Request, id 1",
			       "received PAP Authenticate-Request",
			       "user alice is authenticated",
			       "sent PAP Authenticate-Ack",
			       "IPCP is open: our address 192.0.2.1, the peer's 192.0.2.77",
			       "IPv6CP is open",
			       "the peer's IPCP option 3 is Naked with another value",
			       "LCP: Opened -> Stopping on RTR",
			       "the link ended because the peer closed the PPP link" };
	bool seen[sizeof(must) / sizeof(must[0])] = { false };
	struct trace_record r;
	uint64_t pos = 0, lost = 0;
	uint8_t raw[4096];
	char line[1024];
	struct pair p;

	a.auth_order[0] = PPP_AUTH_PAP;
	b.password = "hunter2-secret";
	b.password_len = 14;
	pair_init(&p, 1);
	p.s[0].password = b.password;
	p.s[0].e->trace = p.s[1].e->trace = t;
	pair_open_both(&p, &a, &b);
	pair_run(&p, US_S);
	pair_close(&p, 1, ADIT_CAUSE_ADMIN);
	pair_run(&p, 10 * US_S);
	assert_int_equal(p.s[0].ip_ups, 1);
	while (trace_read(t, &pos, &r, raw, sizeof(raw), &lost)) {
		assert_false(contains(raw, r.raw_len, b.password));
		trace_text(&r, raw, line, sizeof(line));
		for (size_t i = 0; i < sizeof(must) / sizeof(must[0]); i++)
			if (strncmp(line, must[i], strlen(must[i])) == 0)
				seen[i] = true;
	}
	for (size_t i = 0; i < sizeof(must) / sizeof(must[0]); i++)
		if (!seen[i])
			fail_msg("not in the trace: %s", must[i]);
	assert_int_equal(lost, 0);
	pair_free(&p);
	trace_close(t);
	free(mem);
}

/* The kinds of packets are found by adding the code: their order must hold. */
static void test_trace_kinds(void **state)
{
	assert_int_equal(TRACE_PPP_IN_LCP_TIME - TRACE_PPP_IN_LCP_CODE, LCP_TIME);
	assert_int_equal(TRACE_PPP_OUT_LCP_ECHO_REP - TRACE_PPP_OUT_LCP_CODE, LCP_ECHO_REP);
	assert_int_equal(TRACE_PPP_IN_IPCP_CODE_REJ - TRACE_PPP_IN_IPCP_CODE, CP_CODE_REJ);
	assert_int_equal(TRACE_PPP_OUT_IPV6CP_CONF_REJ - TRACE_PPP_OUT_IPV6CP_CODE, CP_CONF_REJ);
	assert_int_equal(TRACE_PPP_IN_PAP_NAK - TRACE_PPP_IN_PAP_CODE, 3);
	assert_int_equal(TRACE_PPP_OUT_CHAP_FAILURE - TRACE_PPP_OUT_CHAP_CODE, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_late_owner),
		cmocka_unit_test(test_news_taken_back),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_trace_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
