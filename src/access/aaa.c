/* SPDX-License-Identifier: MIT
 *
 * Users from a file in the form of pppd's chap-secrets, and the answer to "is this user who it
 * claims?" by PAP (RFC 1334 2), MD5 in CHAP or EAP (RFC 1994 4.1), and MS-CHAP (RFC 2759, 2433).
 *
 * One user a line: client, server, secret, addresses. A word ends at white space; '...' and "..."
 * keep it together; a backslash takes the next character as it is, or is \a \b \f \n \r \s (space)
 * \t \v, three octal digits, or \x and two hex digits; before the end of a line it joins the next
 * line. A word that begins with # makes the rest of the line a comment.
 *
 * Of several lines that fit, an exact client wins over "*", then an exact server over "*", then
 * the earlier line.
 *
 * Addresses, in any order:
 *   192.0.2.1          this IPv4 address         192.0.2.0/24      a network behind the user
 *   2001:db8:1::/64    this IPv6 prefix (at most 64 bits; the first one), further ones are networks
 *   *                  from the pool (as is everything not named)
 *   -                  nothing for the families that are not named; alone: the user is refused
 */
#include "internal.h"
#include "base/crypto.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORD_MAX 256 /* with NUL: as PPP_USER_MAX and PPP_SECRET_MAX */
#define ROUTES	 (DP_PREFIXES - 2)

struct user {
	struct htab_node node; /* in `names`; of "*" in the list of those */
	struct user *next;     /* all, in the order of the file */
	struct user *next_any; /* those for any client */
	size_t order;
	uint8_t ip4[4];
	struct prefix prefix6;
	bool no_ip4, no_ip6, any_client, any_server;
	uint8_t route_count;
	uint16_t name_len, server_len, secret_len;
	struct prefix *routes;
	char text[]; /* name, server, secret; each with NUL */
};

#define ODD_MAX 16 /* lines that are told about */

struct odd {
	unsigned int line;
	const char *text;
};

struct users {
	struct odd odd[ODD_MAX];
	size_t odd_count;
	struct htab names;
	struct user *first, **last, *any_first, **any_last;
	size_t count;
};

static const char *user_server(const struct user *u)
{
	return u->text + u->name_len + 1;
}

static const char *user_secret(const struct user *u)
{
	return user_server(u) + u->server_len + 1;
}

void users_free(struct users *u)
{
	struct user *it, *next;

	if (!u)
		return;
	for (it = u->first; it; it = next) {
		next = it->next;
		bytes_wipe(it->text, it->name_len + it->server_len + it->secret_len + 3u);
		free(it->routes);
		free(it);
	}
	htab_free(&u->names);
	free(u);
}

size_t users_count(const struct users *u)
{
	return u->count;
}

/* ---- words ---- */

struct text {
	const char *p, *end;
	unsigned int line;
	const char *why; /* of an error */
};

struct word {
	size_t len;
	bool quoted; /* then * and - are no wildcards */
	bool bent;   /* a backslash outside quotes made something else of a letter or digit */
	char text[WORD_MAX];
};

static int digit_of(char c, int base)
{
	int v = c >= '0' && c <= '9'   ? c - '0'
		: c >= 'a' && c <= 'f' ? c - 'a' + 10
		: c >= 'A' && c <= 'F' ? c - 'A' + 10
				       : 99;

	return v < base ? v : -1;
}

/* After a backslash. -1: nothing (a joined line); -2: the file ends here. */
static int escaped(struct text *t)
{
	static const char names[] = "abfnrstv", values[] = "\a\b\f\n\r \t\v";
	const char *at;
	char c;
	int v = 0, n;

	if (t->p == t->end)
		return -2;
	c = *t->p++;
	if (c == '\n') {
		t->line++;
		return -1;
	}
	if (c == 'x' && t->p < t->end && digit_of(*t->p, 16) >= 0) {
		for (n = 0; n < 2 && t->p < t->end && digit_of(*t->p, 16) >= 0; n++)
			v = v * 16 + digit_of(*t->p++, 16);
		return v;
	}
	if (digit_of(c, 8) >= 0) {
		v = digit_of(c, 8);
		for (n = 1; n < 3 && t->p < t->end && digit_of(*t->p, 8) >= 0; n++)
			v = v * 8 + digit_of(*t->p++, 8);
		return v & 255;
	}
	at = strchr(names, c);
	return at && c ? values[at - names] : (uint8_t)c;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* White space, joined lines and a comment before the next word. True when there is one on this
 * line. */
static bool skip(struct text *t)
{
	for (; t->p < t->end; t->p++) {
		if (t->p[0] == '\\' && t->end - t->p > 1 && t->p[1] == '\n') {
			t->p++;
			t->line++;
		} else if (*t->p == '#') {
			while (t->p < t->end && *t->p != '\n')
				t->p++;
			return false;
		} else if (!is_space(*t->p)) {
			return *t->p != '\n';
		}
	}
	return false;
}

/* The next word of the line: 1; none: 0; an error: -1 with t->why. */
static int next_word(struct text *t, struct word *w)
{
	char quote = 0;

	w->len = 0;
	w->quoted = w->bent = false;
	if (!skip(t))
		return 0;
	while (t->p < t->end) {
		int c = (uint8_t)*t->p;

		if (!quote && (is_space((char)c) || c == '\n'))
			break;
		t->p++;
		if (c == '\n') {
			t->why = "a quote is not closed";
			return -1;
		}
		if (quote ? c == quote : c == '"' || c == '\'') {
			quote = quote ? 0 : (char)c;
			w->quoted = true;
			continue;
		}
		if (c == '\\') {
			w->bent |= !quote && t->p < t->end && is_alnum(*t->p);
			c = escaped(t);
			if (c == -1)
				continue;
			w->quoted = true;
		}
		if (c <= 0) {
			t->why = c ? "the file ends in a backslash" : "an octet of value 0";
			return -1;
		}
		if (w->len == WORD_MAX - 1) {
			t->why = "a word is longer than 255 octets";
			return -1;
		}
		w->text[w->len++] = (char)c;
	}
	w->text[w->len] = '\0';
	if (quote) {
		t->why = "a quote is not closed";
		return -1;
	}
	return 1;
}

static bool is_mark(const struct word *w, char c)
{
	return !w->quoted && w->len == 1 && w->text[0] == c;
}

/* ---- lines ---- */

static const char *add_route(struct user *u, struct prefix *routes, const struct prefix *p)
{
	if (u->route_count == ROUTES)
		return "more than 6 networks for one user";
	routes[u->route_count++] = *p;
	return NULL;
}

/* One address word. NULL, or what is wrong with it. */
static const char *add_address(struct user *u, struct prefix *routes, const struct word *w)
{
	static const uint8_t none[4];
	struct prefix p;

	if (strlen(w->text) != w->len || prefix_parse(w->text, &p) < 0)
		return "not an IPv4 address, an IPv6 prefix, * or - (host bits must be zero)";
	if (p.addr.family == AF_INET && p.len == 32) {
		if (memcmp(u->ip4, none, 4) != 0)
			return "two IPv4 addresses for one user";
		if (addr_is_any(&p.addr))
			return "0.0.0.0 is no address for a user";
		memcpy(u->ip4, p.addr.ip, 4);
		return NULL;
	}
	if (p.addr.family == AF_INET6 && u->prefix6.len == 0 && p.len > 0) {
		if (p.len > 64)
			return "an IPv6 prefix of a user has at most 64 bits";
		u->prefix6 = p;
		return NULL;
	}
	return add_route(u, routes, &p);
}

/* The rest of a line after the secret. */
static int parse_addresses(struct text *t, struct user *u, struct prefix *routes)
{
	static const uint8_t none[4];
	bool minus = false;
	struct word w;
	int rc;

	while ((rc = next_word(t, &w)) > 0) {
		if (is_mark(&w, '*'))
			continue;
		if (is_mark(&w, '-')) {
			minus = true;
			continue;
		}
		t->why = add_address(u, routes, &w);
		if (t->why)
			return -1;
	}
	u->no_ip4 = minus && memcmp(u->ip4, none, 4) == 0;
	u->no_ip6 = minus && u->prefix6.len == 0;
	return rc;
}

static int add_user(struct users *us, struct user *u, const struct word words[3],
		    const struct prefix *routes)
{
	struct user *n;
	char *p;

	if (htab_reserve(&us->names) < 0)
		return -ENOMEM;
	n = calloc(1, sizeof(*n) + words[0].len + words[1].len + words[2].len + 3);
	if (!n)
		return -ENOMEM;
	*n = *u;
	if (u->route_count) {
		n->routes = calloc(u->route_count, sizeof(*routes));
		if (!n->routes) {
			free(n);
			return -ENOMEM;
		}
		memcpy(n->routes, routes, u->route_count * sizeof(*routes));
	}
	n->name_len = (uint16_t)words[0].len;
	n->server_len = (uint16_t)words[1].len;
	n->secret_len = (uint16_t)words[2].len;
	n->any_client = is_mark(&words[0], '*');
	n->any_server = is_mark(&words[1], '*');
	p = n->text;
	for (int i = 0; i < 3; i++) {
		memcpy(p, words[i].text, words[i].len + 1);
		p += words[i].len + 1;
	}
	if (n->any_client) {
		*us->any_last = n;
		us->any_last = &n->next_any;
	} else {
		htab_put(&us->names, &n->node, htab_hash(&us->names, n->text, n->name_len));
	}
	*us->last = n;
	us->last = &n->next;
	n->order = us->count++;
	return 0;
}

/* What is right, but perhaps not what was meant: the secret is not what stands in the file. */
static void look_at_secret(const struct text *t, const struct word *secret, struct users *us)
{
	const char *p = t->p, *why = NULL;

	while (p < t->end && is_space(*p))
		p++;
	if (secret->bent)
		why = "a backslash in the secret changes the character behind it; write \\\\ for a "
		      "backslash";
	else if (t->end - p > 1 && p[0] == '#' && p[1] > ' ' && p[1] != '#')
		why = "from # on the line is a comment; if it is part of the secret, put the "
		      "secret in "
		      "quotes";
	if (why && us->odd_count < ODD_MAX)
		us->odd[us->odd_count++] = (struct odd){ t->line, why };
}

bool users_odd(const struct users *us, size_t index, unsigned int *ret_line, const char **ret_text)
{
	if (index >= us->odd_count)
		return false;
	*ret_line = us->odd[index].line;
	*ret_text = us->odd[index].text;
	return true;
}

/* One line. 0; -EINVAL with t->why; -ENOMEM. */
static int parse_line(struct text *t, struct users *us)
{
	struct user u = { .name_len = 0 };
	struct prefix routes[ROUTES];
	struct word words[3];
	int rc = 1, n = 0;

	while (n < 3 && rc > 0) {
		rc = next_word(t, &words[n]);
		n += rc > 0;
	}
	if (rc == 0 && n > 0) {
		t->why = "a user needs three words: client, server, secret";
		rc = -1;
	}
	if (rc > 0 && !words[2].quoted && words[2].text[0] == '@') {
		t->why = "secrets in files of their own (@file) are not supported";
		rc = -1;
	}
	if (rc > 0 && (words[0].len == 0 || words[2].len == 0)) {
		t->why = words[0].len ? "the secret is empty" : "the client's name is empty";
		rc = -1;
	}
	if (rc > 0) {
		look_at_secret(t, &words[2], us);
		rc = parse_addresses(t, &u, routes);
	}
	if (rc < 0)
		rc = -EINVAL;
	else if (n == 3)
		rc = add_user(us, &u, words, routes);
	bytes_wipe(words, sizeof(words));
	return rc;
}

struct users *users_parse(const char *text, size_t len, int *ret_err, char *err_text, size_t cap)
{
	static const uint8_t key[16] = "adit users table";
	struct text t = { text, text ? text + len : text, 1, NULL };
	struct users *us = calloc(1, sizeof(*us));
	int rc = us ? 0 : -ENOMEM;

	if (us) {
		htab_init(&us->names, key);
		us->last = &us->first;
		us->any_last = &us->any_first;
	}
	while (rc == 0 && t.p < t.end) {
		rc = parse_line(&t, us);
		if (rc == 0 && t.p < t.end) {
			t.p++; /* the line's end */
			t.line++;
		}
	}
	if (rc == 0)
		return us;
	if (cap) {
		if (rc == -EINVAL)
			snprintf(err_text, cap, "line %u: %s", t.line, t.why);
		else
			snprintf(err_text, cap, "out of memory");
	}
	*ret_err = rc;
	users_free(us);
	return NULL;
}

/* ---- the check ---- */

static bool server_fits(const struct user *u, const char *server, bool exact)
{
	if (exact)
		return !u->any_server && server && strlen(server) == u->server_len &&
		       memcmp(user_server(u), server, u->server_len) == 0;
	return u->any_server;
}

static const struct user *find_user(const struct users *us, const char *name, size_t len,
				    const char *server)
{
	uint64_t hash = htab_hash(&us->names, name, len);

	for (int exact = 1; exact >= 0; exact--) {
		const struct user *best = NULL;
		struct htab_node *n = htab_find(&us->names, hash);

		for (; n; n = htab_next(n)) {
			const struct user *u = container_of(n, struct user, node);

			if (u->name_len == len && memcmp(u->text, name, len) == 0 &&
			    server_fits(u, server, exact) && (!best || u->order < best->order))
				best = u;
		}
		if (best)
			return best;
	}
	for (int exact = 1; exact >= 0; exact--) {
		for (const struct user *u = us->any_first; u; u = u->next_any) {
			if (server_fits(u, server, exact))
				return u;
		}
	}
	return NULL;
}

static bool proves(const struct access_event *q, const char *secret, size_t len,
		   struct ppp_proof *ret)
{
	switch (q->auth) {
	case PPP_AUTH_NONE:
		return false;
	case PPP_AUTH_PAP:
		return q->response_len == len && bytes_equal_ct(q->response, secret, len);
	case PPP_AUTH_CHAP_MD5:
	case PPP_AUTH_EAP_MD5:
		return ppp_chap_md5_check(q->chap_id, secret, len, q->challenge, q->challenge_len,
					  q->response, q->response_len);
	case PPP_AUTH_MSCHAP:
		return ppp_mschap1_check(secret, len, q->challenge, q->challenge_len, q->response,
					 q->response_len);
	case PPP_AUTH_MSCHAPV2:
	case PPP_AUTH_EAP_MSCHAPV2:
		return ppp_mschap2_check(q->user, q->user_len, secret, len, q->challenge,
					 q->challenge_len, q->response, q->response_len, ret);
	}
	return false;
}

void users_check(const struct users *us, const struct access_event *q, const char *server,
		 struct access_cmd *ret)
{
	const struct user *u = find_user(us, q->user, q->user_len, server);
	/* A name that is not there costs the time of one that is. */
	bool ok;

	ret->proof = (struct ppp_proof){ .has_keys = false };
	ok = proves(q, u ? user_secret(u) : "nobody", u ? u->secret_len : 6, &ret->proof) && u;
	ret->kind = ACCESS_CMD_AUTH;
	ret->key = q->key;
	ret->ask = q->ask;
	ret->ok = ok;
	ret->text = NULL;
	ret->cause = ok ? ADIT_CAUSE_NONE : ADIT_CAUSE_AUTH_FAILED;
	ret->grant = (struct access_grant){ 0 };
	if (!ok)
		return;
	if (u->no_ip4 && u->no_ip6) {
		ret->ok = false;
		ret->cause = ADIT_CAUSE_AUTH_REFUSED;
		return;
	}
	memcpy(ret->grant.ip4, u->ip4, 4);
	ret->grant.prefix6 = u->prefix6;
	ret->grant.no_ip4 = u->no_ip4;
	ret->grant.no_ip6 = u->no_ip6;
	ret->grant.route_count = u->route_count;
	if (u->route_count)
		memcpy(ret->grant.routes, u->routes, u->route_count * sizeof(*u->routes));
}
