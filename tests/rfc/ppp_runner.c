/* SPDX-License-Identifier: MIT
 *
 * Runs the scenarios of tests/rfc/ppp against the PPP engine, in virtual time. Each scenario is one
 * text file, named after a row of the conformance table; the program takes the directory (or single
 * files) and speaks TAP.
 *
 *     # comment                    the first comment says what is tested
 *     use FILE                     run another file first (NAME.inc)
 *     set NAME VALUE               a parameter of the profile or an address, before "open"
 *     open | close [CAUSE] | drop | heard
 *     go [no-mppe]                 the data path is ready, but cannot encrypt
 *     keys                         what ppp_info() says of encryption, as "! keys ..."
 *     answer ok|no [CAUSE] [TEXT]  of the question that is open
 *     auto                         answer questions and NCP_READY by itself from now on
 *     wait 2.9s                    let time pass
 *     > FRAME                      a frame comes from the peer, see ppp_wire.h
 *     = taken|ip|ipv6|drop         what became of it
 *     < FRAME                      the next thing the engine did: it sent this
 *     ! EVENT                      or reported this
 *     ...                          whatever else it did until now does not matter
 *     repeat N LINE                LINE N times, '%' being the count from 1; what follows is about
 * the last time
 *
 * Everything the engine does must be named in order: an answer too many fails like one missing. In
 * what is expected "*" is any value, "**" at the end any further words, $x stands for a value: at
 * first sight it is stored, later it must be the same (hex in either case); !$x must differ. In a
 * frame to the engine $x is replaced by the value, md5(ID,SECRET,VALUE) by a CHAP response, and
 * proof(USER,SECRET,CHALLENGE,RESPONSE) by what the Success of MS-CHAPv2 has to say, when the
 * response is right. Answers to MS-CHAPv2 carry the proof 000102...13.
 */
#include <adit/ppp.h>
#include "base/text.h"
#include "ppp_wire.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <nettle/md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define LINE_MAX_ 8192
#define PENDING	  256
#define VARIABLES 64

struct run {
	const char *dir;
	struct ppp *e;
	adit_handle link;
	struct mono now;
	struct ppp_params params;
	struct ppp_addresses addresses;
	char strings[8][PPP_USER_MAX];
	unsigned n_strings;
	uint32_t ask;
	bool automatic, no_mppe;
	int last; /* enum ppp_input */

	char *pending[PENDING];
	unsigned first, n;
	char names[VARIABLES][32], *values[VARIABLES];
	unsigned n_variables;

	char error[2 * LINE_MAX_];
	bool show;
};

static bool fail(struct run *r, const char *what, const char *a, const char *b)
{
	snprintf(r->error, sizeof(r->error), "%s%s%s%s%s", what, a ? ": " : "", a ? a : "",
		 b ? "\n#      got: " : "", b ? b : "");
	return false;
}

static void keep(struct run *r, const char *line)
{
	if (r->show)
		printf("#   [%8.3f] %s\n", (double)r->now.us / 1e6 - 1000, line);
	if (r->n < PENDING)
		r->pending[(r->first + r->n++) % PENDING] = strdup(line);
}

static char *ip_text(const uint8_t ip[4], char buf[16])
{
	snprintf(buf, 16, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
	return buf;
}

static char *hex_text(const uint8_t *p, size_t n, char *buf, size_t cap)
{
	buf[0] = '\0';
	for (size_t i = 0; i < n && 2 * i + 2 < cap; i++)
		snprintf(buf + 2 * i, 3, "%02x", p[i]);
	return buf;
}

static void addresses_text(const struct ppp_event *ev, char *buf, size_t cap)
{
	const struct ppp_addresses *a = &ev->addresses;
	char x[4][24];

	if (ev->proto == PPP_PROTO_IPCP)
		snprintf(buf, cap, "ipcp our=%s peer=%s dns1=%s dns2=%s", ip_text(a->our_ip4, x[0]),
			 ip_text(a->peer_ip4, x[1]), ip_text(a->dns4[0], x[2]),
			 ip_text(a->dns4[1], x[3]));
	else
		snprintf(buf, cap, "ipv6cp our=%s peer=%s", hex_text(a->our_iid, 8, x[0], 24),
			 hex_text(a->peer_iid, 8, x[1], 24));
}

static void underline(char *text)
{
	for (; *text; text++)
		if (*text == ' ')
			*text = '_';
}

static void event_text(const struct ppp_event *ev, char *buf, size_t cap)
{
	char a[256], b[700], words[PPP_TEXT_MAX];

	snprintf(words, sizeof(words), "%s", ev->text);
	underline(words);
	switch (ev->kind) {
	case PPP_EV_LCP_UP:
		snprintf(buf, cap, "! lcp-up mru-in=%u mru-out=%u%s%s", ev->mru_in, ev->mru_out,
			 ev->acfc_out ? " acfc" : "", ev->pfc_out ? " pfc" : "");
		break;
	case PPP_EV_AUTH_ASK:
		if (ev->auth == PPP_AUTH_PAP)
			snprintf(buf, cap, "! ask pap user=%s pass=%.*s",
				 text_escape(a, sizeof(a), ev->user, ev->user_len),
				 (int)ev->response_len, (const char *)ev->response);
		else
			snprintf(buf, cap, "! ask %s user=%s id=%u challenge=%s response=%s",
				 ppp_auth_name(ev->auth),
				 text_escape(a, sizeof(a), ev->user, ev->user_len), ev->chap_id,
				 hex_text(ev->challenge, ev->challenge_len, b, 512),
				 hex_text(ev->response, ev->response_len, b + 520, 160));
		break;
	case PPP_EV_AUTH_UP:
		snprintf(buf, cap, "! auth-up");
		break;
	case PPP_EV_CCP:
		snprintf(buf, cap, "! ccp");
		break;
	case PPP_EV_NCP_READY:
	case PPP_EV_NCP_UP:
		if (ev->proto == PPP_PROTO_CCP) {
			snprintf(buf, cap, "! ready ccp");
			break;
		}
		addresses_text(ev, a, sizeof(a));
		snprintf(buf, cap, "! %s %s", ev->kind == PPP_EV_NCP_UP ? "up" : "ready", a);
		break;
	case PPP_EV_NCP_DOWN:
		snprintf(buf, cap, "! down %s", ev->proto == PPP_PROTO_IPCP ? "ipcp" : "ipv6cp");
		break;
	case PPP_EV_NOTE:
		snprintf(buf, cap, "! note %s", words);
		break;
	case PPP_EV_DOWN:
		snprintf(buf, cap, "! END %s%s %s", cause_name(ev->cause),
			 ev->by_peer ? " by-peer" : "", words);
		break;
	}
}

static int command(struct run *r, enum ppp_cmd_kind kind, enum adit_cause cause, bool ok,
		   const char *text)
{
	struct ppp_proof proof = { .has_keys = true };
	struct ppp_cmd c = { .kind = kind,
			     .link = r->link,
			     .proof = &proof,
			     .cause = cause,
			     .ok = ok,
			     .text = text,
			     .no_mppe = r->no_mppe,
			     .ask = r->ask,
			     .addresses = r->addresses };

	for (unsigned i = 0; i < sizeof(proof.authenticator); i++)
		proof.authenticator[i] = (uint8_t)i;
	memset(proof.send_key, 0xaa, sizeof(proof.send_key));
	memset(proof.recv_key, 0xbb, sizeof(proof.recv_key));
	return ppp_do(r->e, r->now, &c);
}

static void time_left(struct run *r, const char *seconds, const char *text)
{
	struct ppp_cmd c = { .kind = PPP_CMD_TIME_LEFT,
			     .link = r->link,
			     .seconds = (uint32_t)strtoul(seconds, NULL, 10),
			     .text = text };

	ppp_do(r->e, r->now, &c);
}

static void drain(struct run *r)
{
	char line[LINE_MAX_] = "";
	uint8_t frame[PPP_FRAME_MAX];
	struct ppp_event ev;
	struct ppp_frame f;
	size_t n;

	while (ppp_event(r->e, &ev)) {
		event_text(&ev, line, sizeof(line));
		keep(r, line);
		if (ev.kind == PPP_EV_AUTH_ASK)
			r->ask = ev.ask;
		if (r->automatic && ev.kind == PPP_EV_AUTH_ASK)
			command(r, PPP_CMD_AUTH_ANSWER, ADIT_CAUSE_NONE, true, NULL);
		if (r->automatic && ev.kind == PPP_EV_NCP_READY)
			command(r, PPP_CMD_NCP_GO, ADIT_CAUSE_NONE, true, NULL);
	}
	while ((n = ppp_output(r->e, r->now, frame, sizeof(frame), &f)) > 0) {
		memcpy(line, "< ", 2);
		wire_text(frame, n, line + 2, sizeof(line) - 2);
		keep(r, line);
	}
}

static char **variable(struct run *r, const char *name, bool make)
{
	for (unsigned i = 0; i < r->n_variables; i++)
		if (strcmp(r->names[i], name) == 0)
			return &r->values[i];
	if (!make || r->n_variables == VARIABLES)
		return NULL;
	snprintf(r->names[r->n_variables], sizeof(r->names[0]), "%s", name);
	return &r->values[r->n_variables++];
}

/* The same value; octets in hex are written in either case (C= of a Failure, RFC 2759 6). */
static bool same_value(const char *a, const char *b)
{
	size_t n = strlen(a);

	if (n >= 16 && strspn(a, "0123456789abcdefABCDEF") == n)
		return strcasecmp(a, b) == 0;
	return strcmp(a, b) == 0;
}

/* One value against what was expected of it. */
static bool value_fits(struct run *r, const char *want, const char *got)
{
	bool differ = want[0] == '!' && want[1] == '$';
	char **v;

	if (strcmp(want, "*") == 0)
		return true;
	if (want[0] != '$' && !differ)
		return strcmp(want, got) == 0;
	v = variable(r, want + (differ ? 2 : 1), true);
	if (!v)
		return false;
	if (!*v) {
		*v = strdup(got);
		return !differ;
	}
	return same_value(*v, got) != differ;
}

static bool line_fits(struct run *r, const char *want, const char *got)
{
	char w[LINE_MAX_], g[LINE_MAX_], *ws = NULL, *gs = NULL;
	char *a, *b;

	snprintf(w, sizeof(w), "%s", want);
	snprintf(g, sizeof(g), "%s", got);
	a = strtok_r(w, " ", &ws);
	b = strtok_r(g, " ", &gs);
	while (a || b) {
		char *av, *bv;

		if (a && strcmp(a, "**") == 0)
			return true;
		if (!a || !b)
			return false;
		av = strchr(a, '=');
		bv = strchr(b, '=');
		if (av && bv) {
			*av++ = *bv++ = '\0';
			if (strcmp(a, b) != 0 || !value_fits(r, av, bv))
				return false;
		} else if (!value_fits(r, a, b)) {
			return false;
		}
		a = strtok_r(NULL, " ", &ws);
		b = strtok_r(NULL, " ", &gs);
	}
	return true;
}

static void chap_response(const char *id, const char *secret, const char *value, char *out)
{
	struct md5_ctx ctx;
	uint8_t octet = (uint8_t)atoi(id), digest[16];

	md5_init(&ctx);
	md5_update(&ctx, 1, &octet);
	md5_update(&ctx, strlen(secret), (const uint8_t *)secret);
	for (; value[0] && value[1]; value += 2) {
		char pair[3] = { value[0], value[1], 0 };
		uint8_t v = (uint8_t)strtoul(pair, NULL, 16);

		md5_update(&ctx, 1, &v);
	}
	md5_digest(&ctx, 16, digest);
	hex_text(digest, 16, out, 64);
}

static size_t octets(const char *hex, uint8_t *ret, size_t cap)
{
	size_t n = 0;

	for (; hex[0] && hex[1] && n < cap; hex += 2) {
		char pair[3] = { hex[0], hex[1], 0 };

		ret[n++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return n;
}

static bool proof_of(const char *user, const char *secret, const char *challenge,
		     const char *response, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t c[64], v[64];
	size_t cn = octets(challenge, c, sizeof(c)), vn = octets(response, v, sizeof(v));
	struct ppp_proof proof;

	if (!ppp_mschap2_check(user, strlen(user), secret, strlen(secret), c, cn, v, vn, &proof))
		return false;
	for (unsigned i = 0; i < PPP_PROOF_LEN; i++) {
		*out++ = digits[proof.authenticator[i] >> 4];
		*out++ = digits[proof.authenticator[i] & 15];
	}
	*out = '\0';
	return true;
}

/* Replace the one md5(...) or proof(...) of a line. */
static bool compute(struct run *r, const char *text, char *out, size_t cap)
{
	const char *md5 = strstr(text, "md5("), *proof = strstr(text, "proof(");
	const char *at = md5 ? md5 : proof;
	char a[4][1024], result[96];
	int used = 0;

	if (!at) {
		snprintf(out, cap, "%s", text);
		return true;
	}
	if (md5) {
		if (sscanf(md5, "md5(%15[^,],%255[^,],%1023[^)])%n", a[0], a[1], a[2], &used) != 3)
			return fail(r, "bad md5()", md5, NULL);
		chap_response(a[0], a[1], a[2], result);
	} else {
		if (sscanf(proof, "proof(%255[^,],%255[^,],%255[^,],%255[^)])%n", a[0], a[1], a[2],
			   a[3], &used) != 4)
			return fail(r, "bad proof()", proof, NULL);
		if (!proof_of(a[0], a[1], a[2], a[3], result))
			return fail(r, "the response is wrong", proof, NULL);
	}
	snprintf(out, cap, "%.*s%s%s", (int)(at - text), text, result, at + used);
	return true;
}

/* Replace $x by its value, then what is to be computed. */
static bool substitute(struct run *r, const char *in, char *out, size_t cap)
{
	char text[LINE_MAX_ - 100];
	size_t n = 0;

	for (; *in && n + 1 < sizeof(text); in++) {
		char name[32];
		size_t k = 0;
		char **v;

		if (*in != '$') {
			text[n++] = *in;
			continue;
		}
		while (k + 1 < sizeof(name) && in[1] &&
		       strchr("abcdefghijklmnopqrstuvwxyz0123456789", in[1]))
			name[k++] = *++in;
		name[k] = '\0';
		v = variable(r, name, false);
		if (!v || !*v)
			return fail(r, "no such value", name, NULL);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", *v);
	}
	text[n] = '\0';
	return compute(r, text, out, cap);
}

static bool expect(struct run *r, const char *line)
{
	char computed[LINE_MAX_], *got;
	bool ok;

	if (r->n == 0)
		return fail(r, "expected but nothing happened", line, NULL);
	if (strstr(line, "md5(") || strstr(line, "proof(")) {
		if (!substitute(r, line, computed, sizeof(computed)))
			return false;
		line = computed;
	}
	got = r->pending[r->first];
	ok = line_fits(r, line, got);
	if (!ok)
		fail(r, "expected", line, got);
	free(got);
	r->first = (r->first + 1) % PENDING;
	r->n--;
	return ok;
}

static void forget(struct run *r)
{
	while (r->n > 0) {
		free(r->pending[r->first]);
		r->first = (r->first + 1) % PENDING;
		r->n--;
	}
}

static bool quiet(struct run *r)
{
	return r->n == 0 || fail(r, "not expected", r->pending[r->first], NULL);
}

static bool stimulus(struct run *r, const char *line)
{
	char words[LINE_MAX_];
	uint8_t frame[4096], *copy;
	size_t n, off = 0;

	if (!substitute(r, line, words, sizeof(words)))
		return false;
	n = wire_build(words, frame, sizeof(frame));
	if (n == 0)
		return fail(r, "no frame can be made of", line, NULL);
	copy = malloc(n); /* of the exact size, for AddressSanitizer */
	memcpy(copy, frame, n);
	r->last = ppp_input(r->e, r->now, r->link, copy, n, &off);
	free(copy);
	drain(r);
	return true;
}

static bool pass_time(struct run *r, const char *text)
{
	char *unit;
	double amount = strtod(text, &unit);
	int64_t us = (int64_t)(amount * (strcmp(unit, "ms") == 0 ? 1e3 : 1e6) + 0.5);
	struct mono end = { r->now.us + us };

	if (strcmp(unit, "ms") != 0 && strcmp(unit, "s") != 0)
		return fail(r, "bad time", text, NULL);
	while (ppp_deadline(r->e).us <= end.us) {
		if (ppp_deadline(r->e).us > r->now.us)
			r->now = ppp_deadline(r->e);
		ppp_expire(r->e, r->now);
		drain(r);
	}
	r->now = end;
	return true;
}

static const char *own_string(struct run *r, const char *value)
{
	char *p = r->strings[r->n_strings++ % 8];

	snprintf(p, sizeof(r->strings[0]), "%s", value);
	return p;
}

/* A list of methods, in order; returns the set as well. */
static uint8_t auth_list(const char *value, uint8_t order[8])
{
	static const enum ppp_auth all[] = { PPP_AUTH_PAP,     PPP_AUTH_CHAP_MD5,
					     PPP_AUTH_MSCHAP,  PPP_AUTH_MSCHAPV2,
					     PPP_AUTH_EAP_MD5, PPP_AUTH_EAP_MSCHAPV2 };
	char copy[128], *save = NULL;
	unsigned n = 0;
	uint8_t set = 0;

	snprintf(copy, sizeof(copy), "%s", value);
	memset(order, 0, 8);
	for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
		for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			if (strcmp(ppp_auth_name(all[i]), t) != 0)
				continue;
			order[n++] = (uint8_t)all[i];
			set |= (uint8_t)all[i];
		}
	}
	return set;
}

static bool set_ip(struct run *r, uint8_t ret[4], const char *value)
{
	unsigned a, b, c, d;

	if (sscanf(value, "%u.%u.%u.%u", &a, &b, &c, &d) != 4)
		return fail(r, "bad address", value, NULL);
	ret[0] = (uint8_t)a;
	ret[1] = (uint8_t)b;
	ret[2] = (uint8_t)c;
	ret[3] = (uint8_t)d;
	return true;
}

static bool set_iid(uint8_t ret[8], const char *value)
{
	uint64_t v = strtoull(value, NULL, 16);

	for (unsigned i = 0; i < 8; i++)
		ret[i] = (uint8_t)(v >> (56 - 8 * i));
	return true;
}

static bool set(struct run *r, const char *name, const char *value)
{
	struct ppp_params *p = &r->params;
	int64_t us = (int64_t)(atof(value) * 1e6 + 0.5);
	bool yes = strcmp(value, "yes") == 0;
	unsigned n = (unsigned)atoi(value);
	uint8_t order[8];
	const struct {
		const char *name;
		bool *flag;
		uint32_t *number;
		uint16_t *small;
		int64_t *time;
	} fields[] = {
		{ "ipcp", &p->ipcp, NULL, NULL, NULL },
		{ "ipv6cp", &p->ipv6cp, NULL, NULL, NULL },
		{ "require-ipcp", &p->require_ipcp, NULL, NULL, NULL },
		{ "require-ipv6cp", &p->require_ipv6cp, NULL, NULL, NULL },
		{ "ask-dns", &p->ask_dns, NULL, NULL, NULL },
		{ "acfc", &p->acfc, NULL, NULL, NULL },
		{ "pfc", &p->pfc, NULL, NULL, NULL },
		{ "passive", &p->passive, NULL, NULL, NULL },
		{ "auth-tries", NULL, &p->auth_tries, NULL, NULL },
		{ "echo-lost", NULL, &p->echo_lost, NULL, NULL },
		{ "max-configure", NULL, &p->max_configure, NULL, NULL },
		{ "max-failure", NULL, &p->max_failure, NULL, NULL },
		{ "mru", NULL, NULL, &p->mru, NULL },
		{ "mru-min", NULL, NULL, &p->mru_min, NULL },
		{ "mru-max", NULL, NULL, &p->mru_max, NULL },
		{ "echo", NULL, NULL, NULL, &p->echo_us },
		{ "restart", NULL, NULL, NULL, &p->restart_us },
		{ "chap-again", NULL, NULL, NULL, &p->auth_again_us },
		{ "ncp-time", NULL, NULL, NULL, &p->ncp_us },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (strcmp(fields[i].name, name) != 0)
			continue;
		if (fields[i].flag)
			*fields[i].flag = yes;
		if (fields[i].number)
			*fields[i].number = n;
		if (fields[i].small)
			*fields[i].small = (uint16_t)n;
		if (fields[i].time)
			*fields[i].time = us;
		return true;
	}
	if (strcmp(name, "auth") == 0)
		return auth_list(value, p->auth_order) || strcmp(value, "none") == 0;
	if (strcmp(name, "peer-auth") == 0) {
		p->peer_auth = auth_list(value, order);
		return p->peer_auth != 0;
	}
	if (strcmp(name, "user") == 0) {
		p->user = own_string(r, value);
		return true;
	}
	if (strcmp(name, "identification") == 0) {
		p->identification = own_string(r, value);
		return true;
	}
	if (strcmp(name, "password") == 0) {
		p->password = own_string(r, value);
		p->password_len = strlen(value);
		return true;
	}
	if (strcmp(name, "our") == 0)
		return set_ip(r, r->addresses.our_ip4, value);
	if (strcmp(name, "peer") == 0)
		return set_ip(r, r->addresses.peer_ip4, value);
	if (strcmp(name, "dns1") == 0)
		return set_ip(r, r->addresses.dns4[0], value);
	if (strcmp(name, "dns2") == 0)
		return set_ip(r, r->addresses.dns4[1], value);
	if (strcmp(name, "mppe") == 0) {
		p->mppe = strcmp(value, "require") == 0	 ? PPP_MPPE_REQUIRE
			  : strcmp(value, "prefer") == 0 ? PPP_MPPE_PREFER
							 : PPP_MPPE_OFF;
		return true;
	}
	if (strcmp(name, "mppe-strengths") == 0) {
		p->mppe_strengths = (uint8_t)((strstr(value, "128") ? PPP_MPPE_128 : 0) |
					      (strstr(value, "56") ? PPP_MPPE_56 : 0) |
					      (strstr(value, "40") ? PPP_MPPE_40 : 0));
		return true;
	}
	if (strcmp(name, "wins1") == 0)
		return set_ip(r, p->wins4[0], value);
	if (strcmp(name, "wins2") == 0)
		return set_ip(r, p->wins4[1], value);
	if (strcmp(name, "our-iid") == 0)
		return set_iid(r->addresses.our_iid, value);
	if (strcmp(name, "peer-iid") == 0)
		return set_iid(r->addresses.peer_iid, value);
	return fail(r, "no such parameter", name, NULL);
}

static bool open_link(struct run *r)
{
	struct ppp_cmd c = { .kind = PPP_CMD_OPEN, .owner = 1, .addresses = r->addresses };
	int rc = 0;

	c.profile = ppp_profile_new(&r->params, &rc);
	if (!c.profile)
		return fail(r, "the parameters are refused", NULL, NULL);
	rc = ppp_do(r->e, r->now, &c);
	ppp_profile_unref(c.profile);
	r->link = c.ret_link;
	drain(r);
	return rc == 0 || fail(r, "open failed", NULL, NULL);
}

static enum adit_cause find_cause(const char *name)
{
	for (unsigned i = 0; i < ADIT_CAUSE_COUNT; i++)
		if (strcmp(cause_name((enum adit_cause)i), name) == 0)
			return (enum adit_cause)i;
	return ADIT_CAUSE_NONE;
}

static bool outcome(struct run *r, const char *word)
{
	static const char *const words[] = { "taken", "ip", "ipv6", "drop" };

	if (r->last < 0 || r->last > 3)
		return fail(r, "the engine failed", NULL, NULL);
	return strcmp(words[r->last], word) == 0 || fail(r, "outcome", word, words[r->last]);
}

static bool run_file(struct run *r, const char *name);
static bool run_line(struct run *r, char *line);

static bool repeat(struct run *r, char *rest)
{
	char *line;
	unsigned n = (unsigned)strtoul(rest, &line, 10);

	while (*line == ' ')
		line++;
	for (unsigned i = 1; i <= n; i++) {
		char copy[LINE_MAX_];
		size_t k = 0;

		for (const char *p = line; *p && k + 12 < sizeof(copy); p++) {
			if (*p == '%')
				k += (size_t)snprintf(copy + k, 12, "%u", i);
			else
				copy[k++] = *p;
		}
		copy[k] = '\0';
		if (i > 1)
			forget(r); /* the scenario looks at the last time only */
		if (!run_line(r, copy))
			return false;
	}
	return true;
}

/* The keys the data plane would be given now, so that a scenario can look at them. */
static void keep_keys(struct run *r)
{
	struct ppp_info i;
	char line[200], x[3][40];

	if (!ppp_info(r->e, r->link, &i))
		return;
	snprintf(line, sizeof(line), "! keys %s options=%s send=%s recv=%s",
		 i.mppe	       ? "open"
		 : i.mppe_keys ? "wanted"
			       : "none",
		 hex_text(i.mppe_options, 4, x[0], 40), hex_text(i.mppe_send_key, 16, x[1], 40),
		 hex_text(i.mppe_recv_key, 16, x[2], 40));
	keep(r, line);
}

static bool run_command(struct run *r, char *line)
{
	char *save = NULL, *word = strtok_r(line, " ", &save);
	char *a = strtok_r(NULL, " ", &save), *b = strtok_r(NULL, " ", &save);
	char *c = strtok_r(NULL, " ", &save);

	if (strcmp(word, "use") == 0 && a)
		return run_file(r, a);
	if (strcmp(word, "set") == 0 && a && b)
		return set(r, a, b);
	if (strcmp(word, "auto") == 0) {
		r->automatic = true;
		return true;
	}
	if (!quiet(r))
		return false;
	if (strcmp(word, "open") == 0)
		return open_link(r);
	if (strcmp(word, "wait") == 0 && a)
		return pass_time(r, a);
	if (strcmp(word, "close") == 0)
		command(r, PPP_CMD_CLOSE, a ? find_cause(a) : ADIT_CAUSE_ADMIN, false, NULL);
	else if (strcmp(word, "drop") == 0)
		command(r, PPP_CMD_DROP, ADIT_CAUSE_NONE, false, NULL);
	else if (strcmp(word, "time-left") == 0 && a && b)
		time_left(r, a, b);
	else if (strcmp(word, "keys") == 0)
		keep_keys(r);
	else if (strcmp(word, "go") == 0) {
		r->no_mppe = a && strcmp(a, "no-mppe") == 0;
		command(r, PPP_CMD_NCP_GO, ADIT_CAUSE_NONE, false, NULL);
		r->no_mppe = false;
	} else if (strcmp(word, "heard") == 0)
		ppp_heard(r->e, r->now, r->link);
	else if (strcmp(word, "answer") == 0 && a)
		command(r, PPP_CMD_AUTH_ANSWER, b ? find_cause(b) : ADIT_CAUSE_NONE,
			strcmp(a, "ok") == 0, c);
	else
		return fail(r, "not understood", word, NULL);
	drain(r);
	return true;
}

static bool run_line(struct run *r, char *line)
{
	if (line[0] == '#' || line[0] == '\0')
		return true;
	if (strcmp(line, "...") == 0) {
		forget(r);
		return true;
	}
	if (line[0] == '<' || line[0] == '!')
		return expect(r, line);
	if (line[0] == '=')
		return outcome(r, line + 2);
	if (line[0] == '>')
		return quiet(r) && stimulus(r, line + 2);
	if (strncmp(line, "repeat ", 7) == 0)
		return repeat(r, line + 7);
	return run_command(r, line);
}

static bool run_file(struct run *r, const char *name)
{
	char path[1024], line[LINE_MAX_];
	unsigned number = 0;
	bool ok = true;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	f = fopen(path, "r");
	if (!f)
		return fail(r, "cannot open", path, NULL);
	while (ok && fgets(line, sizeof(line), f)) {
		char before[sizeof(r->error)];

		number++;
		line[strcspn(line, "\n")] = '\0';
		if (r->show && line[0] && line[0] != '#')
			printf("# %4u %s\n", number, line);
		ok = run_line(r, line);
		if (!ok) {
			snprintf(before, sizeof(before), "%s", r->error);
			snprintf(r->error, sizeof(r->error), "%.500s:%u: %.12000s", name, number,
				 before);
		}
	}
	fclose(f);
	return ok;
}

static bool run_scenario(const char *dir, const char *name, bool show, char *error, size_t cap)
{
	struct ppp_config config = { .seed = { 42 } };
	struct run r = { .dir = dir, .show = show, .now = { 1000 * US_S } };
	bool ok;

	r.params.ipcp = true;
	r.e = ppp_new(&config);
	ok = run_file(&r, name) && quiet(&r);
	snprintf(error, cap, "%s", r.error);
	forget(&r);
	for (unsigned i = 0; i < r.n_variables; i++)
		free(r.values[i]);
	ppp_free(r.e);
	return ok;
}

static int is_scenario(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 4 && strcmp(d->d_name + n - 4, ".txt") == 0;
}

static unsigned report(unsigned number, const char *dir, const char *name, bool show)
{
	static char error[2 * LINE_MAX_];
	bool ok = run_scenario(dir, name, show, error, sizeof(error));

	printf("%s %u - %s\n", ok ? "ok" : "not ok", number, name);
	if (!ok)
		printf("#      %s\n", error);
	fflush(stdout);
	return !ok;
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	unsigned failed = 0, number = 0;
	int n;

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIRECTORY [SCENARIO...]\n", argv[0]);
		return 2;
	}
	if (argc > 2) {
		for (int i = 2; i < argc; i++)
			failed += report(++number, argv[1], argv[i], true);
		return failed != 0;
	}
	n = scandir(argv[1], &entries, is_scenario, alphasort);
	if (n <= 0)
		return 2;
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		failed += report(++number, argv[1], entries[i]->d_name, false);
		free(entries[i]);
	}
	free(entries);
	return failed != 0;
}
