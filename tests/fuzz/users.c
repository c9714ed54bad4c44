/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: users from a file, and the answer to a login.
 *
 * drives: src/access/aaa.c
 *
 * Input: method (0 none, 1 PAP, 2 CHAP), length of the name, of the response, of the challenge;
 * name, response, challenge; the rest is the file. It is an error when a file is refused without a
 * line number and a reason, when an answer holds what no file can say, when somebody gets in with
 * an empty proof, or when two answers to one question differ.
 */
#include <errno.h>
#include <stdlib.h>

#include "access/access.h"
#include "base/wire.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_grant(const struct access_grant *g)
{
	CHECK(g->prefix6.len <= 64);
	CHECK(g->prefix6.len == 0 || g->prefix6.addr.family == AF_INET6);
	CHECK(g->route_count <= DP_PREFIXES - 2);
	CHECK(!(g->no_ip4 && g->no_ip6));
	for (uint8_t i = 0; i < g->route_count; i++) {
		const struct prefix *p = &g->routes[i];

		CHECK(p->addr.family == AF_INET ? p->len < 32 : p->len <= 128);
	}
}

static void ask(const struct users *u, const struct access_event *q, const char *server)
{
	struct access_cmd a, b;

	memset(&a, 0, sizeof(a));
	memset(&b, 0xff, sizeof(b));
	users_check(u, q, server, &a);
	users_check(u, q, server, &b);
	CHECK(a.kind == ACCESS_CMD_AUTH && a.key == q->key && a.ask == q->ask);
	CHECK(memcmp(&a.proof, &b.proof, sizeof(a.proof)) == 0);
	CHECK(a.proof.has_keys == (a.ok && q->auth & PPP_AUTH_KEYS) || !a.ok);
	CHECK(a.ok == b.ok && a.cause == b.cause);
	CHECK(memcmp(&a.grant, &b.grant, sizeof(a.grant)) == 0);
	CHECK(a.ok == (a.cause == ADIT_CAUSE_NONE));
	if (!a.ok)
		return;
	CHECK(users_count(u) > 0 && q->response_len > 0 && q->auth != PPP_AUTH_NONE);
	check_grant(&a.grant);
}

/* None, PAP and CHAP below 64; those of MS-CHAP and EAP from there on. */
static enum ppp_auth method_of(uint8_t method)
{
	static const enum ppp_auth old[] = { PPP_AUTH_NONE, PPP_AUTH_PAP, PPP_AUTH_CHAP_MD5 };
	static const enum ppp_auth later[] = { PPP_AUTH_MSCHAP, PPP_AUTH_MSCHAPV2, PPP_AUTH_EAP_MD5,
					       PPP_AUTH_EAP_MSCHAPV2 };

	return method < 64 ? old[method % 3] : later[method % 4];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const servers[] = { "adit", "other", "", NULL };
	struct rcur c = rcur_of(data, size);
	uint8_t method = rcur_u8(&c), name = rcur_u8(&c), response = rcur_u8(&c);
	uint8_t challenge = rcur_u8(&c);
	struct access_event q = { .key = 7,
				  .auth = method_of(method),
				  .ask = 3,
				  .chap_id = method,
				  .user_len = name,
				  .response_len = response,
				  .challenge_len = challenge };
	char why[160] = "";
	const char *odd;
	unsigned int line;
	struct users *u;
	int rc = 0;

	q.user = (const char *)rcur_take(&c, name);
	q.response = rcur_take(&c, response);
	q.challenge = rcur_take(&c, challenge);
	if (c.bad)
		return 0;
	u = users_parse((const char *)c.p, rcur_left(&c), &rc, why, sizeof(why));
	if (!u) {
		CHECK(rc == -EINVAL || rc == -ENOMEM);
		CHECK(rc == -ENOMEM || (strncmp(why, "line ", 5) == 0 && strlen(why) > 8));
		CHECK(rc == -EINVAL || strcmp(why, "out of memory") == 0);
		return 0;
	}
	for (size_t i = 0; users_odd(u, i, &line, &odd); i++)
		CHECK(line > 0 && odd[0]);
	for (size_t i = 0; i < 4; i++)
		ask(u, &q, servers[i]);
	users_free(u);
	return 0;
}
