/* SPDX-License-Identifier: MIT
 *
 * See ppp_wire.h.
 */
#include "ppp_wire.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct name {
	unsigned number;
	const char *word;
};

static const struct name protos[] = { { 0xc021, "lcp" },  { 0xc023, "pap" },	{ 0xc223, "chap" },
				      { 0x8021, "ipcp" }, { 0x8057, "ipv6cp" }, { 0xc227, "eap" },
				      { 0x80fd, "ccp" },  { 0, NULL } };

static const struct name cp_codes[] = { { 1, "conf-req" },   { 2, "conf-ack" },	 { 3, "conf-nak" },
					{ 4, "conf-rej" },   { 5, "term-req" },	 { 6, "term-ack" },
					{ 7, "code-rej" },   { 8, "proto-rej" }, { 9, "echo-req" },
					{ 10, "echo-rep" },  { 11, "discard" },	 { 12, "ident" },
					{ 13, "time-left" }, { 0, NULL } };
static const struct name ccp_codes[] = { { 1, "conf-req" },   { 2, "conf-ack" },
					 { 3, "conf-nak" },   { 4, "conf-rej" },
					 { 5, "term-req" },   { 6, "term-ack" },
					 { 7, "code-rej" },   { 14, "reset-req" },
					 { 15, "reset-ack" }, { 0, NULL } };
static const struct name pap_codes[] = {
	{ 1, "request" }, { 2, "ack" }, { 3, "nak" }, { 0, NULL }
};
static const struct name chap_codes[] = {
	{ 1, "challenge" }, { 2, "response" }, { 3, "success" }, { 4, "failure" }, { 0, NULL }
};
static const struct name eap_codes[] = {
	{ 1, "request" }, { 2, "response" }, { 3, "success" }, { 4, "failure" }, { 0, NULL }
};
static const struct name auths[] = { { 0xc02300, "pap" },    { 0xc22305, "chap" },
				     { 0xc22380, "mschap" }, { 0xc22381, "mschapv2" },
				     { 0xc22700, "eap" },    { 0, NULL } };

static const struct name *codes_of(unsigned proto)
{
	return proto == 0xc023	 ? pap_codes
	       : proto == 0xc223 ? chap_codes
	       : proto == 0xc227 ? eap_codes
	       : proto == 0x80fd ? ccp_codes
				 : cp_codes;
}

/* Kinds of option values. */
enum kind { NUMBER16, HEX, AUTH, IP4, FLAG };

static const struct option {
	unsigned proto, type, len; /* len of the value */
	enum kind kind;
	const char *word;
} options[] = {
	{ 0xc021, 1, 2, NUMBER16, "mru" }, { 0xc021, 2, 4, HEX, "accm" },
	{ 0xc021, 3, 0, AUTH, "auth" },	   { 0xc021, 5, 4, HEX, "magic" },
	{ 0xc021, 7, 0, FLAG, "pfc" },	   { 0xc021, 8, 0, FLAG, "acfc" },
	{ 0x8021, 3, 4, IP4, "addr" },	   { 0x8021, 129, 4, IP4, "dns1" },
	{ 0x8021, 130, 4, IP4, "nbns1" },  { 0x8021, 131, 4, IP4, "dns2" },
	{ 0x8021, 132, 4, IP4, "nbns2" },  { 0x8057, 1, 8, HEX, "iid" },
	{ 0x80fd, 18, 4, HEX, "mppe" },
};

struct out {
	uint8_t *buf;
	size_t n, cap;
	bool bad;
};

static void put(struct out *o, unsigned octet)
{
	if (o->n < o->cap)
		o->buf[o->n++] = (uint8_t)octet;
	else
		o->bad = true;
}

static void put_hex(struct out *o, const char *hex)
{
	while (hex[0] && hex[1]) {
		char pair[3] = { hex[0], hex[1], 0 };
		char *end;

		put(o, (unsigned)strtoul(pair, &end, 16));
		if (*end)
			o->bad = true;
		hex += 2;
	}
	if (*hex)
		o->bad = true;
}

static void put_text(struct out *o, const char *text)
{
	for (; *text; text++)
		put(o, *text == '_' ? ' ' : (unsigned char)*text);
}

static void put_counted(struct out *o, const char *text)
{
	put(o, (unsigned)strlen(text));
	put_text(o, text);
}

static unsigned find(const struct name *names, const char *word)
{
	for (; names->word; names++)
		if (strcmp(names->word, word) == 0)
			return names->number;
	return 0;
}

static void put_value(struct out *o, const struct option *opt, const char *value)
{
	unsigned a, b, c, d;

	switch (opt->kind) {
	case NUMBER16:
		put(o, (unsigned)atoi(value) >> 8);
		put(o, (unsigned)atoi(value) & 255);
		break;
	case HEX:
		put_hex(o, value);
		break;
	case AUTH:
		a = find(auths, value);
		if (!a) {
			put_hex(o, value);
			break;
		}
		put(o, a >> 16);
		put(o, a >> 8 & 255);
		if (a & 255)
			put(o, a & 255);
		break;
	case IP4:
		if (sscanf(value, "%u.%u.%u.%u", &a, &b, &c, &d) != 4) {
			o->bad = true;
			break;
		}
		put(o, a);
		put(o, b);
		put(o, c);
		put(o, d);
		break;
	case FLAG:
		break;
	}
}

/* One option; false when the word is none. */
static bool put_option(struct out *o, unsigned proto, const char *key, const char *value)
{
	size_t at = o->n;
	unsigned type;

	put(o, 0);
	put(o, 0);
	if (sscanf(key, "opt%u", &type) == 1) {
		put(o, 0);
		o->n--;
		put_hex(o, value);
	} else {
		const struct option *opt = NULL;

		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
			if (options[i].proto == proto && strcmp(options[i].word, key) == 0)
				opt = &options[i];
		if (!opt) {
			o->n = at;
			return false;
		}
		type = opt->type;
		put_value(o, opt, value);
	}
	if (!o->bad) {
		o->buf[at] = (uint8_t)type;
		o->buf[at + 1] = (uint8_t)(o->n - at);
	}
	return true;
}

static bool put_field(struct out *o, unsigned proto, unsigned code, const char *key,
		      const char *value)
{
	bool cp = proto != 0xc023 && proto != 0xc223 && proto != 0xc227;

	if (strcmp(key, "fill") == 0) {
		for (int i = 0; i < atoi(value); i++)
			put(o, 'U');
		return true;
	}
	if (cp && code >= 1 && code <= 4)
		return put_option(o, proto, key, value);
	if (!cp && key[0] >= 'A' && key[0] <= 'Z' && !key[1]) { /* words of MS-CHAP */
		if (o->n > 0 &&
		    (o->buf[o->n - 1] > ' ' && strchr("SRCVM", key[0]) && key[0] != 'S'))
			put(o, ' ');
		put_text(o, key);
		put(o, '=');
		put_text(o, value);
		return true;
	}
	if (proto == 0xc227 && (strcmp(key, "type") == 0 || strcmp(key, "op") == 0)) {
		put(o, (unsigned)atoi(value));
		return true;
	}
	if (proto == 0xc227 && strcmp(key, "ms") == 0) { /* its length is known at the end */
		put(o, (unsigned)atoi(value));
		put(o, 0);
		put(o, 0);
		return true;
	}
	if (strcmp(key, "data") == 0 || strcmp(key, "pkt") == 0 || strcmp(key, "magic") == 0 ||
	    strcmp(key, "proto") == 0 || strcmp(key, "secs") == 0) {
		put_hex(o, value);
	} else if (strcmp(key, "value") == 0) {
		put(o, (unsigned)strlen(value) / 2);
		put_hex(o, value);
	} else if (strcmp(key, "name") == 0) {
		put_text(o, value);
	} else if (strcmp(key, "user") == 0 || strcmp(key, "pass") == 0 ||
		   (strcmp(key, "text") == 0 && proto == 0xc023)) {
		put_counted(o, value);
	} else if (strcmp(key, "text") == 0) {
		put_text(o, value);
	} else {
		return false;
	}
	return true;
}

static size_t build_raw(char **save, const char *first, uint8_t *buf, size_t cap)
{
	struct out o = { buf, 0, cap, false };
	char *word;

	if (strcmp(first, "proto") == 0)
		put_hex(&o, "ff03");
	while ((word = strtok_r(NULL, " ", save)))
		put_hex(&o, word);
	return o.bad ? 0 : o.n;
}

size_t wire_build(char *words, uint8_t *buf, size_t cap)
{
	struct out o = { buf, 0, cap, false };
	char *save = NULL, *word = strtok_r(words, " ", &save), *pad = NULL;
	bool brief = false;
	unsigned proto, code, length = 0;
	size_t start;

	if (word && (strcmp(word, "raw") == 0 || strcmp(word, "proto") == 0))
		return build_raw(&save, word, buf, cap);
	if (word && strcmp(word, "short") == 0) {
		brief = true;
		word = strtok_r(NULL, " ", &save);
	}
	proto = word ? find(protos, word) : 0;
	word = strtok_r(NULL, " ", &save);
	if (!proto || !word)
		return 0;
	if (sscanf(word, "code%u", &code) != 1)
		code = find(codes_of(proto), word);
	word = strtok_r(NULL, " ", &save);
	if (!word)
		return 0;
	if (!brief)
		put_hex(&o, "ff03");
	put(&o, proto >> 8);
	put(&o, proto & 255);
	start = o.n;
	put(&o, code);
	put(&o, (unsigned)atoi(word));
	put(&o, 0);
	put(&o, 0);
	while ((word = strtok_r(NULL, " ", &save))) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		if (strcmp(word, "len") == 0 && value)
			length = (unsigned)atoi(value) | 0x10000;
		else if (strcmp(word, "pad") == 0)
			pad = value;
		else if (!put_field(&o, proto, code, word, value ? value : ""))
			return 0;
	}
	if (!length)
		length = (unsigned)(o.n - start);
	if (o.bad)
		return 0;
	if (proto == 0xc227 && o.n >= start + 9 && buf[start + 4] == 26 && buf[start + 7] == 0 &&
	    buf[start + 8] == 0) {
		buf[start + 7] = (uint8_t)((o.n - start - 5) >> 8);
		buf[start + 8] = (uint8_t)(o.n - start - 5);
	}
	buf[start + 2] = (uint8_t)(length >> 8);
	buf[start + 3] = (uint8_t)length;
	if (pad)
		put_hex(&o, pad);
	return o.bad ? 0 : o.n;
}

struct text {
	char *p;
	size_t n, cap;
};

static void say(struct text *t, const char *format, ...)
{
	va_list ap;
	int k;

	va_start(ap, format);
	k = vsnprintf(t->p + t->n, t->cap - t->n, format, ap);
	va_end(ap);
	if (k > 0)
		t->n = t->n + (size_t)k < t->cap ? t->n + (size_t)k : t->cap - 1;
}

static void say_hex(struct text *t, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		say(t, "%02x", p[i]);
}

static void say_chars(struct text *t, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		say(t, "%c", p[i] == ' ' ? '_' : p[i] > ' ' && p[i] < 127 ? p[i] : '?');
}

static const char *name_of(const struct name *names, unsigned number)
{
	for (; names->word; names++)
		if (names->number == number)
			return names->word;
	return NULL;
}

static void say_option(struct text *t, unsigned proto, const uint8_t *p, size_t n)
{
	const struct option *opt = NULL;
	const uint8_t *v = p + 2;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (options[i].proto == proto && options[i].type == p[0] &&
		    (options[i].kind == AUTH || options[i].len == n - 2))
			opt = &options[i];
	if (!opt) {
		say(t, " opt%u=", p[0]);
		say_hex(t, v, n - 2);
		return;
	}
	say(t, " %s", opt->word);
	switch (opt->kind) {
	case NUMBER16:
		say(t, "=%u", v[0] << 8 | v[1]);
		break;
	case HEX:
		say(t, "=");
		say_hex(t, v, n - 2);
		break;
	case AUTH:
		say(t, "=");
		if ((n == 4 || n == 5) &&
		    name_of(auths, (unsigned)(v[0] << 16 | v[1] << 8) | (n == 5 ? v[2] : 0u)))
			say(t, "%s",
			    name_of(auths,
				    (unsigned)(v[0] << 16 | v[1] << 8) | (n == 5 ? v[2] : 0u)));
		else
			say_hex(t, v, n - 2);
		break;
	case IP4:
		say(t, "=%u.%u.%u.%u", v[0], v[1], v[2], v[3]);
		break;
	case FLAG:
		break;
	}
}

static void say_options(struct text *t, unsigned proto, const uint8_t *p, size_t n)
{
	while (n >= 2 && p[1] >= 2 && p[1] <= n) {
		say_option(t, proto, p, p[1]);
		n -= p[1];
		p += p[1];
	}
	if (n > 0) {
		say(t, " BROKEN=");
		say_hex(t, p, n);
	}
}

static void say_cp(struct text *t, unsigned proto, unsigned code, const uint8_t *p, size_t n)
{
	size_t head = 0;

	if (code >= 1 && code <= 4) {
		say_options(t, proto, p, n);
		return;
	}
	if (code == 8 && n >= 2) {
		say(t, " proto=%02x%02x", p[0], p[1]);
		head = 2;
	} else if (code >= 9 && n >= 4) {
		say(t, " magic=");
		say_hex(t, p, 4);
		head = 4;
	}
	if (n == head)
		return;
	say(t, code == 5 || code == 6 || code == 12 ? " text=" : code <= 8 ? " pkt=" : " data=");
	if (code == 5 || code == 6 || code == 12)
		say_chars(t, p + head, n - head);
	else
		say_hex(t, p + head, n - head);
}

/* The words of a Success or Failure; those of MS-CHAP one by one. */
static void say_result(struct text *t, const uint8_t *p, size_t n)
{
	bool ms = n > 2 && p[1] == '=' && (p[0] == 'S' || p[0] == 'E');

	if (n == 0)
		return;
	say(t, ms ? " " : " text=");
	for (size_t i = 0; i < n; i++) {
		if (ms && p[i] == ' ') {
			say(t, " ");
		} else {
			say_chars(t, p + i, 1);
			if (ms && p[i] == 'M' && i + 1 < n && p[i + 1] == '=')
				ms = false;
		}
	}
}

static void say_value(struct text *t, const uint8_t *p, size_t n)
{
	if (n < 1 || p[0] + 1u > n) {
		say(t, " BROKEN=");
		say_hex(t, p, n);
		return;
	}
	say(t, " value=");
	say_hex(t, p + 1, p[0]);
	say(t, " name=");
	say_chars(t, p + 1 + p[0], n - 1 - p[0]);
}

static void say_eap(struct text *t, unsigned code, const uint8_t *p, size_t n)
{
	if (code > 2 || n == 0)
		return;
	say(t, " type=%u", p[0]);
	if (p[0] == 4) {
		say_value(t, p + 1, n - 1);
	} else if (p[0] == 26 && n == 2) {
		say(t, " op=%u", p[1]);
	} else if (p[0] == 26 && n >= 5) {
		say(t, " op=%u ms=%u", p[1], p[2]);
		if ((size_t)(p[3] << 8 | p[4]) != n - 1)
			say(t, " BROKEN");
		if (p[1] <= 2)
			say_value(t, p + 5, n - 5);
		else
			say_result(t, p + 5, n - 5);
	} else if (n > 1 && p[0] <= 2) {
		say(t, " text=");
		say_chars(t, p + 1, n - 1);
	} else if (n > 1) {
		say(t, " data=");
		say_hex(t, p + 1, n - 1);
	}
}

static void say_auth(struct text *t, unsigned proto, unsigned code, const uint8_t *p, size_t n)
{
	if (proto == 0xc227) {
		say_eap(t, code, p, n);
		return;
	}
	if (proto == 0xc223 && code >= 3) {
		say_result(t, p, n);
		return;
	}
	if (n < 1 || p[0] + 1u > n) {
		say(t, " BROKEN=");
		say_hex(t, p, n);
		return;
	}
	if (proto == 0xc223) {
		say_value(t, p, n);
	} else if (code == 1) {
		const uint8_t *q = p + 1 + p[0];

		say(t, " user=");
		say_chars(t, p + 1, p[0]);
		say(t, " pass=");
		if (q < p + n && q + 1 + q[0] <= p + n)
			say_chars(t, q + 1, q[0]);
		else
			say(t, "BROKEN");
	} else if (p[0] > 0) {
		say(t, " text=");
		say_chars(t, p + 1, p[0]);
	}
}

void wire_text(const uint8_t *frame, size_t len, char *out, size_t cap)
{
	struct text t = { out, 0, cap };
	const uint8_t *p = frame;
	unsigned proto, length;
	const char *word;

	out[0] = '\0';
	if (len >= 2 && p[0] == 0xff && p[1] == 0x03) {
		p += 2;
		len -= 2;
	} else {
		say(&t, "short ");
	}
	proto = len >= 2 ? (unsigned)(p[0] << 8 | p[1]) : 0;
	word = name_of(protos, proto);
	if (!word || len < 6) {
		say(&t, "proto ");
		say_hex(&t, p, len);
		return;
	}
	p += 2;
	len -= 2;
	length = (unsigned)(p[2] << 8 | p[3]);
	say(&t, "%s ", word);
	word = name_of(codes_of(proto), p[0]);
	if (word)
		say(&t, "%s %u", word, p[1]);
	else
		say(&t, "code%u %u", p[0], p[1]);
	if (length != len) {
		say(&t, " len=%u of %zu", length, len);
		return;
	}
	if (proto == 0xc023 || proto == 0xc223 || proto == 0xc227)
		say_auth(&t, proto, p[0], p + 4, len - 4);
	else
		say_cp(&t, proto, p[0], p + 4, len - 4);
}
