/* SPDX-License-Identifier: MIT
 *
 * See pair.h.
 */
#include "pair.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned chance(struct pair *p)
{
	p->random = p->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(p->random >> 33) % 1000;
}

void pair_init(struct pair *p, uint64_t seed)
{
	memset(p, 0, sizeof(*p));
	p->now.us = 1000 * US_S;
	p->random = seed;
	p->delay_us = 10 * US_MS;
	for (unsigned i = 0; i < 2; i++) {
		struct ppp_config c = { .seed = { (uint8_t)(i + 1), (uint8_t)seed,
						  (uint8_t)(seed >> 8) } };

		p->s[i].e = ppp_new(&c);
		assert(p->s[i].e);
		p->s[i].user = "alice";
		p->s[i].password = "secret";
		p->s[i].answer_at = INT64_MAX;
	}
	p->s[0].give = (struct ppp_addresses){
		.our_ip4 = { 192, 0, 2, 1 },
		.peer_ip4 = { 192, 0, 2, 77 },
		.dns4 = { { 192, 0, 2, 53 }, { 192, 0, 2, 54 } },
	};
	p->s[0].wish = p->s[0].give;
}

void pair_free(struct pair *p)
{
	ppp_free(p->s[0].e);
	ppp_free(p->s[1].e);
}

struct ppp_params pair_params(unsigned side)
{
	struct ppp_params a = { .ipcp = true, .ipv6cp = true };

	if (side == 0) {
		a.auth_order[0] = PPP_AUTH_CHAP_MD5;
		a.auth_order[1] = PPP_AUTH_PAP;
		a.auth_name = "server";
	} else {
		a.peer_auth = PPP_AUTH_CHAP_MD5 | PPP_AUTH_PAP;
		a.user = "alice";
		a.password = "secret";
		a.password_len = 6;
		a.ask_dns = true;
	}
	return a;
}

int pair_open(struct pair *p, unsigned side, const struct ppp_params *params)
{
	struct side *s = &p->s[side];
	int rc = 0;
	struct ppp_profile *f = ppp_profile_new(params, &rc);
	struct ppp_cmd c = { .kind = PPP_CMD_OPEN,
			     .owner = side + 100,
			     .addresses = s->wish,
			     .no_ip4 = s->never_ip4 };

	if (!f)
		return rc;
	c.profile = f;
	rc = ppp_do(s->e, p->now, &c);
	ppp_profile_unref(f);
	if (rc == 0) {
		s->link = c.ret_link;
		pair_drain(p, side);
	}
	return rc;
}

void pair_open_both(struct pair *p, const struct ppp_params *server,
		    const struct ppp_params *client)
{
	int rc = pair_open(p, 0, server);

	assert(rc == 0);
	rc = pair_open(p, 1, client);
	assert(rc == 0);
}

static void answer(struct pair *p, unsigned side)
{
	struct side *s = &p->s[side];
	struct ppp_cmd c = { .kind = PPP_CMD_AUTH_ANSWER,
			     .link = s->link,
			     .ok = s->answer_ok && s->refuse == ADIT_CAUSE_NONE,
			     .addresses = s->give,
			     .no_ip4 = s->no_ip4,
			     .no_ip6 = s->no_ip6,
			     .text = s->say,
			     .proof = &s->proof,
			     .cause = s->refuse,
			     .ask = s->ask };
	int rc;

	s->answer_at = INT64_MAX;
	rc = ppp_do(s->e, p->now, &c);
	if (rc == -ENOMEM) { /* the owner tries again */
		s->failures++;
		s->answer_at = p->now.us + 100 * US_MS;
	}
}

static void on_ask(struct pair *p, unsigned side, const struct ppp_event *ev)
{
	struct side *s = &p->s[side];
	bool user = s->user && ev->user_len == strlen(s->user) && strcmp(ev->user, s->user) == 0;

	s->asks++;
	s->ask = ev->ask;
	assert(ev->ask != 0);
	if (ev->auth & (PPP_AUTH_CHAP_MD5 | PPP_AUTH_EAP_MD5)) {
		s->answer_ok =
			user && ppp_chap_md5_check(ev->chap_id, s->password, strlen(s->password),
						   ev->challenge, ev->challenge_len, ev->response,
						   ev->response_len);
	} else if (ev->auth & PPP_AUTH_KEYS) {
		s->answer_ok = user && ppp_mschap2_check(ev->user, ev->user_len, s->password,
							 strlen(s->password), ev->challenge,
							 ev->challenge_len, ev->response,
							 ev->response_len, &s->proof);
	} else if (ev->auth == PPP_AUTH_MSCHAP) {
		s->answer_ok = user &&
			       ppp_mschap1_check(s->password, strlen(s->password), ev->challenge,
						 ev->challenge_len, ev->response, ev->response_len);
	} else {
		assert(ev->auth == PPP_AUTH_PAP);
		s->answer_ok = user && ev->response_len == strlen(s->password) &&
			       memcmp(ev->response, s->password, ev->response_len) == 0;
	}
	s->answer_at = p->now.us + s->answer_us;
}

static void on_event(struct pair *p, unsigned side, const struct ppp_event *ev)
{
	struct side *s = &p->s[side];
	struct ppp_cmd go = { .kind = PPP_CMD_NCP_GO, .link = s->link };
	bool ip4 = ev->proto == PPP_PROTO_IPCP;

	assert(ev->owner == side + 100 && ev->link == s->link && ev->text);
	switch (ev->kind) {
	case PPP_EV_LCP_UP:
		s->lcp_ups++;
		s->mru_in = ev->mru_in;
		s->mru_out = ev->mru_out;
		s->acfc_out = ev->acfc_out;
		s->pfc_out = ev->pfc_out;
		break;
	case PPP_EV_AUTH_ASK:
		on_ask(p, side, ev);
		if (s->mute)
			s->answer_at = INT64_MAX;
		else if (s->answer_us == 0)
			answer(p, side);
		break;
	case PPP_EV_AUTH_UP:
		s->auth_ups++;
		break;
	case PPP_EV_CCP:
		s->ccps++;
		break;
	case PPP_EV_NCP_READY:
		if (ev->proto == PPP_PROTO_CCP) {
			go.no_mppe = s->no_mppe;
			s->ccp_readies++;
			ppp_do(s->e, p->now, &go);
			break;
		}
		s->readies++;
		if (!s->no_go)
			ppp_do(s->e, p->now, &go);
		break;
	case PPP_EV_NCP_UP:
		if (ip4) {
			s->ip_ups++;
			s->ip_addresses = ev->addresses;
		} else {
			s->ip6_ups++;
			s->ip6_addresses = ev->addresses;
		}
		break;
	case PPP_EV_NCP_DOWN:
		if (ip4)
			s->ip_downs++;
		else
			s->ip6_downs++;
		break;
	case PPP_EV_NOTE:
		s->notes++;
		snprintf(s->note, sizeof(s->note), "%s", ev->text);
		break;
	case PPP_EV_DOWN:
		s->downs++;
		s->cause = ev->cause;
		s->by_peer = ev->by_peer;
		s->answer_at = INT64_MAX;
		snprintf(s->text, sizeof(s->text), "%s", ev->text);
		break;
	}
}

static void put_wire(struct pair *p, unsigned to, const uint8_t *frame, size_t len)
{
	struct wire *w;

	if (p->cut || p->wires == PAIR_WIRE || chance(p) < p->loss)
		return;
	w = &p->wire[p->wires++];
	w->at = p->now.us + p->delay_us;
	w->to = to;
	w->len = len;
	memcpy(w->bytes, frame, len);
}

void pair_drain(struct pair *p, unsigned side)
{
	struct side *s = &p->s[side];
	uint8_t frame[PPP_FRAME_MAX];
	struct ppp_event ev;
	struct ppp_frame f;
	size_t n;

	while (ppp_event(s->e, &ev))
		on_event(p, side, &ev);
	while ((n = ppp_output(s->e, p->now, frame, sizeof(frame), &f)) > 0) {
		assert(f.link == s->link && f.owner == side + 100);
		s->sent++;
		if (p->tap && !p->tap(p, side, frame, n))
			continue;
		put_wire(p, !side, frame, n);
		if (chance(p) < p->dup)
			put_wire(p, !side, frame, n);
	}
	assert(!ppp_event(s->e, &ev));
}

int pair_inject(struct pair *p, unsigned side, const void *frame, size_t len)
{
	struct side *s = &p->s[side];
	size_t off = 0;
	void *copy = NULL;
	int rc;

	/* exact size, for ASan; a function that failmalloc.h does not touch */
	rc = posix_memalign(&copy, 16, len ? len : 1);
	assert(rc == 0);
	memcpy(copy, frame, len);
	rc = ppp_input(s->e, p->now, s->link, copy, len, &off);
	if (rc < 0)
		s->failures++;
	else if (rc == PPP_IN_DROP)
		s->dropped++;
	else if (rc == PPP_IN_IP || rc == PPP_IN_IPV6)
		s->got_ip++;
	free(copy);
	pair_drain(p, side);
	return rc;
}

static int64_t next_time(struct pair *p)
{
	int64_t at = INT64_MAX;

	for (unsigned i = 0; i < 2; i++) {
		int64_t d = ppp_deadline(p->s[i].e).us;

		at = d < at ? d : at;
		at = p->s[i].answer_at < at ? p->s[i].answer_at : at;
	}
	for (unsigned i = 0; i < p->wires; i++)
		at = p->wire[i].at < at ? p->wire[i].at : at;
	return at;
}

static void step(struct pair *p)
{
	for (unsigned i = 0; i < p->wires; i++) {
		struct wire w = p->wire[i];

		if (w.at > p->now.us)
			continue;
		memmove(p->wire + i, p->wire + i + 1, (p->wires - i - 1) * sizeof(p->wire[0]));
		p->wires--;
		i--;
		pair_inject(p, w.to, w.bytes, w.len);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (p->s[i].answer_at <= p->now.us)
			answer(p, i);
		ppp_expire(p->s[i].e, p->now);
		pair_drain(p, i);
	}
}

void pair_run(struct pair *p, int64_t us)
{
	int64_t end = p->now.us + us;

	for (;;) {
		int64_t at = next_time(p);

		if (at > end)
			break;
		if (at > p->now.us)
			p->now.us = at;
		step(p);
	}
	p->now.us = end;
}

void pair_close(struct pair *p, unsigned side, enum adit_cause cause)
{
	struct ppp_cmd c = { .kind = PPP_CMD_CLOSE, .link = p->s[side].link, .cause = cause };

	ppp_do(p->s[side].e, p->now, &c);
	pair_drain(p, side);
}

bool pair_info(struct pair *p, unsigned side, struct ppp_info *ret)
{
	return ppp_info(p->s[side].e, p->s[side].link, ret);
}
