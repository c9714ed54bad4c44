/* SPDX-License-Identifier: MIT
 *
 * The automaton: each cell of the table against the table as printed in RFC 1661 4.1, then each
 * cell as it is carried out on a link.
 *
 * Rows: LCP-4.1-01
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "ppp/internal.h"

/* Copied from the RFC, pages 12 and 13: the two halves of each row joined. */
static const char *const rfc1661_4_1[] = {
	"Up   |    2     irc,scr/6     -         -         -         -        "
	" |    -         -         -           -",
	"Down |    -         -         0       tls/1       0         1        "
	" |    1         1         1         tld/1",
	"Open |  tls/1       1     irc,scr/6     3r        5r        5r       "
	" |    6         7         8           9r",
	"Close|    0       tlf/0       2         2         4         4        "
	" |irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4",
	" TO+ |    -         -         -         -       str/4     str/5      "
	" |  scr/6     scr/6     scr/8         -",
	" TO- |    -         -         -         -       tlf/2     tlf/3      "
	" |  tlf/3p    tlf/3p    tlf/3p        -",
	"RCR+ |    -         -       sta/2 irc,scr,sca/8   4         5        "
	" |  sca/8   sca,tlu/9   sca/8   tld,scr,sca/8",
	"RCR- |    -         -       sta/2 irc,scr,scn/6   4         5        "
	" |  scn/6     scn/7     scn/6   tld,scr,scn/6",
	"RCA  |    -         -       sta/2     sta/3       4         5        "
	" |  irc/7     scr/6x  irc,tlu/9   tld,scr/6x",
	"RCN  |    -         -       sta/2     sta/3       4         5        "
	" |irc,scr/6   scr/6x  irc,scr/8   tld,scr/6x",
	"RTR  |    -         -       sta/2     sta/3     sta/4     sta/5      "
	" |  sta/6     sta/6     sta/6   tld,zrc,sta/5",
	"RTA  |    -         -         2         3       tlf/2     tlf/3      "
	" |    6         6         8       tld,scr/6",
	"RUC  |    -         -       scj/2     scj/3     scj/4     scj/5      "
	" |  scj/6     scj/7     scj/8       scj/9",
	"RXJ+ |    -         -         2         3         4         5        "
	" |    6         6         8           9",
	"RXJ- |    -         -       tlf/2     tlf/3     tlf/2     tlf/3      "
	" |  tlf/3     tlf/3     tlf/3   tld,irc,str/5",
	"RXR  |    -         -         2         3         4         5        "
	" |    6         7         8         ser/9",
};

static const struct {
	const char *word;
	unsigned action;
} words[] = { { "tlu", CP_TLU }, { "tld", CP_TLD }, { "tls", CP_TLS }, { "tlf", CP_TLF },
	      { "irc", CP_IRC }, { "zrc", CP_ZRC }, { "scr", CP_SCR }, { "sca", CP_SCA },
	      { "scn", CP_SCN }, { "str", CP_STR }, { "sta", CP_STA }, { "scj", CP_SCJ },
	      { "ser", CP_SER } };

static struct cp_cell parse_cell(const char *text)
{
	struct cp_cell cell = { CP_ILLEGAL, 0 };

	if (strcmp(text, "-") == 0)
		return cell;
	while (*text >= 'a' && *text <= 'z') {
		bool found = false;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			if (strncmp(text, words[i].word, 3) == 0) {
				cell.actions |= (uint16_t)words[i].action;
				found = true;
			}
		}
		assert_true(found);
		text += 3;
		assert_true(*text == ',' || *text == '/');
		text++;
	}
	assert_in_range(*text, '0', '9');
	cell.next = (uint8_t)(*text - '0');
	return cell;
}

static void parse_rfc(struct cp_cell ret[CP_EVENTS][CP_STATES])
{
	assert_int_equal(sizeof(rfc1661_4_1) / sizeof(rfc1661_4_1[0]), CP_EVENTS);
	for (unsigned ev = 0; ev < CP_EVENTS; ev++) {
		char line[256], *save = NULL;
		unsigned n = 0;

		snprintf(line, sizeof(line), "%s", strchr(rfc1661_4_1[ev], '|'));
		for (char *t = strtok_r(line, " |", &save); t; t = strtok_r(NULL, " |", &save)) {
			assert_true(n < CP_STATES);
			ret[ev][n++] = parse_cell(t);
		}
		assert_int_equal(n, CP_STATES);
	}
}

static void test_table(void **state)
{
	struct cp_cell rfc[CP_EVENTS][CP_STATES];

	parse_rfc(rfc);
	for (unsigned ev = 0; ev < CP_EVENTS; ev++) {
		for (unsigned st = 0; st < CP_STATES; st++) {
			assert_int_equal(cp_table[ev][st].next, rfc[ev][st].next);
			assert_int_equal(cp_table[ev][st].actions, rfc[ev][st].actions);
		}
	}
}

struct bench {
	struct ppp *e;
	struct link *l;
};

static struct bench bench_new(void)
{
	struct ppp_config config = { .seed = { 7 } };
	struct ppp_params params = { .ipcp = true, .echo_us = -1 };
	struct ppp_cmd open = { .kind = PPP_CMD_OPEN };
	struct bench b;
	struct ppp_frame f;
	uint8_t buf[PPP_FRAME_MAX];
	int rc;

	b.e = ppp_new(&config);
	assert_non_null(b.e);
	open.profile = ppp_profile_new(&params, &rc);
	assert_non_null(open.profile);
	assert_int_equal(ppp_do(b.e, (struct mono){ 1000 }, &open), 0);
	ppp_profile_unref(open.profile);
	b.l = link_get(b.e, open.ret_link);
	while (ppp_output(b.e, b.e->now, buf, sizeof(buf), &f) > 0)
		;
	assert_int_equal(b.l->out, 0);
	assert_int_equal(b.l->news, 0);
	return b;
}

static bool queued(const struct ppp *e, unsigned code)
{
	for (uint32_t i = 0; i < e->queue_n; i++)
		if (e->queue[(e->queue_first + i) % PPP_QUEUE].bytes[4] == code)
			return true;
	return false;
}

/* One cell on the LCP of a link: what it leads to must be what the table says, and no more. */
static void run_cell(unsigned event, unsigned from)
{
	static const uint8_t packet[] = { 1, 5, 0, 8, 0, 0, 0, 0 };
	const struct cp_cell *cell = &cp_table[event][from];
	struct bench b = bench_new();
	struct cp *cp = &b.l->cp[CP_LCP];
	unsigned a = cell->actions;
	bool timer;

	cp->state = (uint8_t)from;
	cp->restarts = 77;
	cp->restart_at = 99;
	b.l->flags |= F_WE_DONE; /* cleared by This-Layer-Down */
	b.l->phase = PH_NETWORK;
	b.e->in = (struct packet){ packet, packet + 4, 8, 4, 1, 5 };
	b.e->answer_code = CP_CONF_NAK;
	b.e->answer_len = 0;
	lcp_ops.begin(&b.e->peer);
	cp_event(b.e, b.l, cp, (enum cp_event)event);
	if (cell->next == CP_ILLEGAL) {
		assert_int_equal(cp->state, from);
		assert_int_equal(cp->restarts, 77);
		assert_int_equal(b.l->out | b.l->news | b.e->queue_n, 0);
		ppp_free(b.e);
		return;
	}
	assert_int_equal(cp->state, cell->next);
	assert_int_equal(b.l->phase == PH_DEAD, (a & CP_TLF) != 0);
	if (!(a & CP_TLF)) {
		assert_int_equal((b.l->out & OUT_LCP_REQ) || queued(b.e, CP_CONF_REQ),
				 (a & CP_SCR) != 0);
		assert_int_equal((b.l->out & OUT_LCP_TERM) != 0, (a & CP_STR) != 0);
		assert_int_equal((b.l->news & NEWS_LCP_UP) != 0, (a & CP_TLU) != 0);
		if (!(a & CP_TLU))
			assert_int_equal((b.l->flags & F_WE_DONE) == 0, (a & CP_TLD) != 0);
	}
	assert_int_equal(queued(b.e, CP_CONF_ACK), (a & CP_SCA) != 0);
	assert_int_equal(queued(b.e, CP_CONF_NAK), (a & CP_SCN) != 0);
	assert_int_equal(queued(b.e, CP_TERM_ACK), (a & CP_STA) != 0);
	assert_int_equal(queued(b.e, CP_CODE_REJ), (a & CP_SCJ) != 0);
	assert_int_equal(queued(b.e, LCP_ECHO_REP), (a & CP_SER) != 0);
	/* The counter, one less for each transmission; the timer runs where there are TO events. */
	if (a & CP_IRC)
		assert_int_equal(cp->restarts, a & CP_STR ? 1 : a & CP_SCR ? 9 : 10);
	else if (a & CP_ZRC)
		assert_int_equal(cp->restarts, 0);
	else if (a & (CP_SCR | CP_STR))
		assert_int_equal(cp->restarts, from == CP_OPENED ? 9 : 76);
	else
		assert_int_equal(cp->restarts, 77);
	timer = cp_table[CP_EV_TO_PLUS][cell->next].next != CP_ILLEGAL;
	if (!timer)
		assert_int_equal(cp->restart_at, CP_NEVER);
	else if (a & (CP_SCR | CP_STR | CP_ZRC))
		assert_int_equal(cp->restart_at, 1000 + 3 * US_S);
	else
		assert_int_equal(cp->restart_at, 99);
	ppp_free(b.e);
}

static void test_every_cell(void **state)
{
	for (unsigned ev = 0; ev < CP_EVENTS; ev++)
		for (unsigned st = 0; st < CP_STATES; st++)
			run_cell(ev, st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_every_cell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
