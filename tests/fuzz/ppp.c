/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a whole PPP engine with one link. The input is a list of steps: frames of the peer,
 * raw or put together (also valid answers to what the engine asked, so that deep states are
 * reached), answers and commands of the owner, time, restarts with the saved record.
 * tools/vectors/ppp_corpus.py writes inputs of this form and names the steps.
 *
 * Checked besides the sanitizers: frames are well formed and fit, no network protocol opens before
 * the login, deadlines move on, a closed link ends in time, nothing is left behind.
 *
 * drives: src/ppp/auth.c src/ppp/ccp.c src/ppp/chap.c src/ppp/cp.c src/ppp/eap.c src/ppp/ipcp.c
 * drives: src/ppp/ipv6cp.c src/ppp/lcp.c src/ppp/link.c src/ppp/mschap.c src/ppp/output.c
 * drives: src/ppp/pap.c src/ppp/save.c
 */
#include <adit/ppp.h>
#include "base/wire.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_RAW,    /* n, octets: a frame */
	STEP_PACKET, /* protocol 0..6, code, id, n, octets of the body */
	STEP_ACK,    /* protocol: acknowledge the engine's last request */
	STEP_NAK,    /* protocol, n, options: Nak it */
	STEP_REJ,    /* protocol, k: reject its option k */
	STEP_TIME,   /* u16, in 10 ms */
	STEP_ANSWER, /* flags: 1 ok, 2 no IPv4, 4 no IPv6, 8 with text; cause in the high bits */
	STEP_GO,
	STEP_CLOSE,
	STEP_RESTART, /* save, load into the same engine */
	STEP_HEARD,
	STEP_CHAP,    /* a response to the last challenge */
	STEP_AGAIN,   /* profile, flags: drop the link, open another */
	STEP_LONG,    /* protocol, code, n: a packet of 16 * n octets */
	STEP_REFLECT, /* the engine's last frame comes back */
	STEP_SLEEP,   /* an hour without anybody looking */
	STEP_METHODS, /* methods, profile, flags: as AGAIN, with other ways to log in */
	STEP_MS,      /* MS-CHAP: a response to the last challenge */
	STEP_EAP,     /* type, what: a Response of EAP to the last Request */
	STEP_ASK,     /* what: a challenge of MS-CHAPv2 for the engine, or the result of its answer;
			     4: the data plane cannot encrypt */
	STEPS
};

#define PROTOS 7

struct peer {
	struct ppp *e;
	adit_handle link;
	struct mono now;
	struct ppp_profile *profile;
	bool wants_auth, auth_up, open;
	uint8_t req[PROTOS][256];
	size_t req_len[PROTOS];
	uint8_t last[PPP_FRAME_MAX];
	size_t last_len;
	uint8_t chap_id, eap_id;
	uint8_t methods;      /* of STEP_METHODS */
	uint8_t response[49]; /* the engine's last, of MS-CHAPv2 */
	uint32_t ask;
};

static const uint16_t protos[PROTOS] = { PPP_PROTO_LCP, PPP_PROTO_IPCP, PPP_PROTO_IPV6CP,
					 PPP_PROTO_PAP, PPP_PROTO_CHAP, PPP_PROTO_EAP,
					 PPP_PROTO_CCP };
static const char challenge[] = "0123456789abcdef";

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void take_frame(struct peer *p, const uint8_t *f, size_t n)
{
	struct rcur c = rcur_of(f, n);
	uint16_t proto, len;
	uint8_t code, id;

	check(n <= PPP_FRAME_MAX && n >= 6, "size of a frame");
	if (f[0] == 0xff)
		rcur_take(&c, 2);
	proto = rcur_u16(&c);
	check(f[0] == 0xff || proto != PPP_PROTO_LCP, "LCP without address");
	code = rcur_u8(&c);
	id = rcur_u8(&c);
	len = rcur_u16(&c);
	check(!c.bad && len == rcur_left(&c) + 4, "length field");
	memcpy(p->last, f, n);
	p->last_len = n;
	if (proto == PPP_PROTO_CHAP && code == 1)
		p->chap_id = id;
	if (proto == PPP_PROTO_EAP && code == 1)
		p->eap_id = id;
	if (proto == PPP_PROTO_CHAP && code == 2 && len >= 54 && c.p[0] == 49)
		memcpy(p->response, c.p + 1, 49);
	if (proto == PPP_PROTO_EAP && code == 2 && len >= 59 && c.p[0] == 26 && c.p[1] == 2)
		memcpy(p->response, c.p + 6, 49);
	for (unsigned i = 0; i < PROTOS; i++) {
		if (protos[i] != proto || code != 1 || len > sizeof(p->req[0]))
			continue;
		memcpy(p->req[i], c.p - 4, len);
		p->req_len[i] = len;
	}
	if (proto == PPP_PROTO_IPCP || proto == PPP_PROTO_IPV6CP)
		check(p->auth_up, "network protocol before the login");
}

static void drain(struct peer *p)
{
	uint8_t frame[PPP_FRAME_MAX];
	struct ppp_event ev;
	struct ppp_frame f;
	size_t n;

	while (ppp_event(p->e, &ev)) {
		check(ev.link == p->link && ev.owner == 7 && ev.text, "event");
		switch (ev.kind) {
		case PPP_EV_LCP_UP:
			p->auth_up = false;
			check(ev.mru_in >= 128 && ev.mru_out >= 64, "MRU");
			break;
		case PPP_EV_AUTH_ASK:
			check(p->wants_auth && ev.user && ev.response, "question");
			p->ask = ev.ask;
			break;
		case PPP_EV_AUTH_UP:
			p->auth_up = true;
			break;
		case PPP_EV_CCP:
			break;
		case PPP_EV_NCP_READY:
		case PPP_EV_NCP_UP:
			check(p->auth_up, "open before the login");
			break;
		case PPP_EV_NCP_DOWN:
		case PPP_EV_NOTE:
			break;
		case PPP_EV_DOWN:
			p->open = false;
			check(ev.cause < ADIT_CAUSE_COUNT && ev.cause != ADIT_CAUSE_NONE, "cause");
			break;
		}
	}
	while ((n = ppp_output(p->e, p->now, frame, sizeof(frame), &f)) > 0)
		take_frame(p, frame, n);
	check(!ppp_event(p->e, &ev), "news after draining");
}

/* How the peer logs in (3 bits), encryption (2), its strengths (1), we as peer (2). */
static void methods_of(uint8_t m, struct ppp_params *p)
{
	static const uint8_t orders[8][6] = {
		{ PPP_AUTH_MSCHAPV2 },
		{ PPP_AUTH_MSCHAP },
		{ PPP_AUTH_EAP_MSCHAPV2, PPP_AUTH_EAP_MD5 },
		{ PPP_AUTH_EAP_MD5 },
		{ PPP_AUTH_MSCHAPV2, PPP_AUTH_EAP_MSCHAPV2, PPP_AUTH_EAP_MD5, PPP_AUTH_CHAP_MD5,
		  PPP_AUTH_PAP, PPP_AUTH_MSCHAP },
		{ 0 },
		{ PPP_AUTH_EAP_MD5, PPP_AUTH_EAP_MSCHAPV2, PPP_AUTH_MSCHAPV2 },
		{ PPP_AUTH_CHAP_MD5, PPP_AUTH_MSCHAPV2 }
	};

	memcpy(p->auth_order, orders[m & 7], 6);
	p->mppe = (enum ppp_mppe)((m >> 3 & 3) % 3);
	p->mppe_strengths = m & 32 ? PPP_MPPE_ALL : 0;
	p->peer_auth = m & 128 ? PPP_AUTH_ALL : m & 64 ? PPP_AUTH_EAP_MD5 | PPP_AUTH_MSCHAP : 0;
}

static struct ppp_profile *profile_of(uint8_t a, uint8_t b, uint8_t methods)
{
	struct ppp_params p = { .user = "alice",
				.password = "secret",
				.password_len = 6,
				.ipcp = !(a & 1) || !(a & 2),
				.ipv6cp = a & 2 || a & 1,
				.acfc = a & 4,
				.pfc = a & 8,
				.mru = a & 16 ? 1400 : 0,
				.mru_min = a & 32 ? 128 : 0,
				.passive = a & 64,
				.ask_dns = a & 128,
				.peer_auth = b & 3,
				.auth_again_us = b & 32 ? 20 * US_S : 0,
				.auth_tries = b & 64 ? 2 : 0,
				.echo_us = 10 * US_S };
	int rc;

	if (b & 4)
		p.auth_order[0] = PPP_AUTH_CHAP_MD5;
	if (b & 8)
		p.auth_order[b & 4 ? 1 : 0] = PPP_AUTH_PAP;
	p.require_ipv6cp = (b & 128) && p.ipv6cp;
	if (methods)
		methods_of(methods, &p);
	return ppp_profile_new(&p, &rc);
}

static void open_link(struct peer *p, uint8_t a, uint8_t b)
{
	static const struct ppp_addresses server = { .our_ip4 = { 192, 0, 2, 1 },
						     .peer_ip4 = { 192, 0, 2, 77 },
						     .dns4 = { { 192, 0, 2, 53 } } };
	struct ppp_cmd c = { .kind = PPP_CMD_OPEN, .owner = 7 };

	ppp_profile_unref(p->profile);
	p->profile = profile_of(a, b, p->methods);
	check(p->profile, "profile");
	if (b & 16)
		c.addresses = server;
	c.profile = p->profile;
	check(ppp_do(p->e, p->now, &c) == 0, "open");
	p->link = c.ret_link;
	p->open = true;
	p->auth_up = false;
	p->wants_auth = p->methods ? (p->methods & 7) != 5 : b & 12;
	memset(p->req_len, 0, sizeof(p->req_len));
	drain(p);
}

static void input(struct peer *p, const uint8_t *frame, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct ppp_info info;
	size_t off = 0;
	int rc;

	if (len)
		memcpy(copy, frame, len);
	rc = ppp_input(p->e, p->now, p->link, copy, len, &off);
	check(rc >= 0 && rc <= PPP_IN_DROP && off <= len, "outcome");
	check(rc != PPP_IN_IP || p->auth_up, "data before the login");
	check(rc != PPP_IN_IP || !ppp_info(p->e, p->link, &info) || !info.mppe_keys,
	      "data in clear");
	free(copy);
	drain(p);
}

static void packet(struct peer *p, unsigned proto, uint8_t code, uint8_t id, const uint8_t *body,
		   size_t len)
{
	uint8_t frame[8 + 4096];
	struct wcur c = wcur_of(frame, sizeof(frame));

	wcur_u16(&c, 0xff03);
	wcur_u16(&c, protos[proto % PROTOS]);
	wcur_u8(&c, code);
	wcur_u8(&c, id);
	wcur_u16(&c, (uint16_t)(4 + len));
	wcur_bytes(&c, body, len);
	input(p, frame, c.len);
}

static void reject(struct peer *p, unsigned proto, unsigned k)
{
	const uint8_t *q = p->req[proto];
	size_t at = 4;

	while (at + 2 <= p->req_len[proto] && k > 0) {
		at += q[at + 1];
		k--;
	}
	if (at + 2 <= p->req_len[proto])
		packet(p, proto, 4, q[1], q + at, q[at + 1]);
}

static void command(struct peer *p, enum ppp_cmd_kind kind, uint8_t flags)
{
	static const struct ppp_addresses give = { .our_ip4 = { 192, 0, 2, 1 },
						   .peer_ip4 = { 192, 0, 2, 99 },
						   .dns4 = { { 192, 0, 2, 53 } } };
	static const struct ppp_proof proof = { .has_keys = true };
	struct ppp_cmd c = { .kind = kind,
			     .link = p->link,
			     .ok = flags & 1,
			     .no_ip4 = flags & 2,
			     .no_ip6 = flags & 4,
			     .text = flags & 8 ? "hello" : NULL,
			     .cause = (enum adit_cause)(flags >> 4),
			     .addresses = give,
			     .proof = &proof,
			     .no_mppe = kind == PPP_CMD_NCP_GO && flags & 1,
			     .ask = p->ask };

	check(ppp_do(p->e, p->now, &c) >= 0, "command");
	drain(p);
}

static void pass(struct peer *p, int64_t us)
{
	struct mono end = mono_add(p->now, us);
	unsigned turns = 0;

	while (ppp_deadline(p->e).us <= end.us) {
		if (ppp_deadline(p->e).us > p->now.us)
			p->now = ppp_deadline(p->e);
		ppp_expire(p->e, p->now);
		check(ppp_deadline(p->e).us > p->now.us, "deadline stands still");
		check(++turns < 10000, "too many deadlines");
		drain(p);
	}
	p->now = end;
}

static void restart(struct peer *p)
{
	uint8_t record[PPP_SAVE_MAX];
	struct wcur w = wcur_of(record, sizeof(record));
	struct ppp_cmd drop = { .kind = PPP_CMD_DROP, .link = p->link };
	struct rcur r;

	if (!ppp_can_save(p->e, p->link))
		return;
	ppp_save(p->e, p->link, &w);
	check(!w.bad, "record too long");
	ppp_do(p->e, p->now, &drop);
	r = rcur_of(record, w.len);
	check(ppp_load(p->e, p->now, &r, p->profile, 7, &p->link) == 0, "own record refused");
}

/* A Response of EAP that suits type and question, as far as that can be known from outside. */
static void eap_response(struct peer *p, uint8_t type, uint8_t what)
{
	static const uint8_t value[49] = { 1 };
	uint8_t body[80];
	struct wcur c = wcur_of(body, sizeof(body));

	wcur_u8(&c, type);
	if (type == 4) {
		wcur_u8(&c, 16);
		wcur_bytes(&c, challenge, 16);
	} else if (type == 26 && what == 2) {
		wcur_u8(&c, 2);
		wcur_u8(&c, p->eap_id);
		wcur_u16(&c, 5 + 49 + 5);
		wcur_u8(&c, 49);
		wcur_bytes(&c, value, sizeof(value));
		wcur_bytes(&c, "alice", 5);
	} else if (type == 1) {
		wcur_bytes(&c, "alice", 5);
	} else {
		wcur_u8(&c, what);
	}
	packet(p, 5, 2, p->eap_id, body, c.len);
}

/* MS-CHAPv2 of the engine as peer: 0, 1 challenge and Success in CHAP, 2, 3 the same in EAP. */
static void ask_engine(struct peer *p, uint8_t what)
{
	struct ppp_proof proof = { .has_keys = false };
	uint8_t body[128];
	struct wcur c = wcur_of(body, sizeof(body));
	bool success = what & 1;

	(void)ppp_mschap2_check("alice", 5, "secret", 6, (const uint8_t *)challenge, 16,
				p->response, 49, &proof);
	if (what & 2) {
		wcur_u8(&c, 26);
		wcur_u8(&c, success ? 3 : 1);
		wcur_u8(&c, 7);
		wcur_u16(&c, success ? 4 + 42 : 4 + 17);
	}
	if (success) {
		wcur_bytes(&c, "S=", 2);
		for (unsigned i = 0; i < PPP_PROOF_LEN; i++) {
			wcur_u8(&c, (uint8_t) "0123456789ABCDEF"[proof.authenticator[i] >> 4]);
			wcur_u8(&c, (uint8_t) "0123456789abcdef"[proof.authenticator[i] & 15]);
		}
	} else {
		wcur_u8(&c, 16);
		wcur_bytes(&c, challenge, 16);
	}
	packet(p, what & 2 ? 5 : 4,
	       what & 2	 ? 1
	       : success ? 3
			 : 1,
	       what & 2 ? what : 60, body, c.len);
}

static void step_login(struct peer *p, enum step kind, struct rcur *c)
{
	uint8_t a = rcur_u8(c), b, ms[60] = { 49 };

	if (kind == STEP_MS) {
		ms[49] = 1;
		memcpy(ms + 50, "alice", 5);
		packet(p, 4, 2, (uint8_t)(p->chap_id + a), ms, 55);
	} else if (kind == STEP_EAP) {
		b = rcur_u8(c);
		eap_response(p, a, b);
	} else if (kind == STEP_ASK && a == 4) {
		command(p, PPP_CMD_NCP_GO, 1);
	} else if (kind == STEP_ASK) {
		ask_engine(p, a);
	} else {
		b = rcur_u8(c);
		p->methods = a;
		command(p, PPP_CMD_DROP, 0);
		open_link(p, b, rcur_u8(c));
	}
}

static void step(struct peer *p, struct rcur *c)
{
	uint8_t kind = rcur_u8(c) % STEPS, proto, code, id, n;
	static const uint8_t filler[4096];
	const uint8_t *body;
	struct ppp_info info;

	switch ((enum step)kind) {
	case STEP_RAW:
		n = rcur_u8(c);
		body = rcur_take(c, n);
		if (body)
			input(p, body, n);
		break;
	case STEP_PACKET:
		proto = rcur_u8(c);
		code = rcur_u8(c);
		id = rcur_u8(c);
		n = rcur_u8(c);
		body = rcur_take(c, n);
		if (body)
			packet(p, proto, code, id, body, n);
		break;
	case STEP_ACK:
		proto = rcur_u8(c) % PROTOS;
		if (p->req_len[proto] > 0)
			packet(p, proto, 2, p->req[proto][1], p->req[proto] + 4,
			       p->req_len[proto] - 4);
		break;
	case STEP_NAK:
		proto = rcur_u8(c) % PROTOS;
		n = rcur_u8(c);
		body = rcur_take(c, n);
		if (body)
			packet(p, proto, 3, p->req[proto][1], body, n);
		break;
	case STEP_REJ:
		proto = rcur_u8(c) % PROTOS;
		reject(p, proto, rcur_u8(c));
		break;
	case STEP_TIME:
		pass(p, rcur_u16(c) * 10 * US_MS);
		break;
	case STEP_ANSWER:
		command(p, PPP_CMD_AUTH_ANSWER, rcur_u8(c));
		break;
	case STEP_GO:
		command(p, PPP_CMD_NCP_GO, 0);
		break;
	case STEP_CLOSE:
		command(p, PPP_CMD_CLOSE, rcur_u8(c));
		break;
	case STEP_RESTART:
		restart(p);
		break;
	case STEP_HEARD:
		ppp_heard(p->e, p->now, p->link);
		if (ppp_info(p->e, p->link, &info))
			check(info.phase != NULL, "info");
		break;
	case STEP_CHAP:
		packet(p, 4, 2, p->chap_id,
		       (const uint8_t *)"\x10"
					"0123456789abcdefalice",
		       22);
		break;
	case STEP_AGAIN:
		proto = rcur_u8(c);
		code = rcur_u8(c);
		command(p, PPP_CMD_DROP, 0);
		open_link(p, proto, code);
		break;
	case STEP_LONG:
		proto = rcur_u8(c);
		code = rcur_u8(c);
		packet(p, proto, code, 1, filler, 16u * rcur_u8(c));
		break;
	case STEP_REFLECT:
		input(p, p->last, p->last_len);
		break;
	case STEP_METHODS:
	case STEP_MS:
	case STEP_EAP:
	case STEP_ASK:
		step_login(p, (enum step)kind, c);
		break;
	case STEPS:
		break;
	case STEP_SLEEP:
		p->now.us += 3600 * US_S;
		ppp_expire(p->e, p->now);
		drain(p);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ppp_config config = { .seed = { 1 } };
	struct rcur c = rcur_of(data, size);
	struct peer p = { .now = { 1000 * US_S } };
	uint8_t a = rcur_u8(&c), b = rcur_u8(&c);
	adit_handle h;
	uint64_t owner;

	p.e = ppp_new(&config);
	open_link(&p, a, b);
	for (unsigned steps = 0; !c.bad && rcur_left(&c) > 0 && steps < 400; steps++) {
		step(&p, &c);
		while (ppp_dirty(p.e, &h, &owner))
			check(h == p.link, "dirty");
	}
	if (p.open) {
		command(&p, PPP_CMD_CLOSE, 0x10);
		pass(&p, 10 * US_S);
		check(!p.open, "a closed link does not end");
	}
	check(ppp_count(p.e) == 0, "a link is left");
	check(ppp_deadline(p.e).us == INT64_MAX, "a deadline is left");
	ppp_profile_unref(p.profile);
	ppp_free(p.e);
	return 0;
}
