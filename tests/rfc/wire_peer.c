/* SPDX-License-Identifier: MIT
 *
 * Builder and decoder of L2TP messages of both versions for the transcripts, see wire_peer.h.
 */
#include "wire_peer.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <nettle/md5.h>

/* Values: u16, u32, u64, text, octets, nothing, and some of their own. */
enum kind {
	K_U16,
	K_U32,
	K_U64,
	K_TEXT,
	K_HEX,
	K_FLAG,
	K_VERSION,
	K_RESULT,
	K_RESPONSE,
	K_VECTOR,
	K_DIGEST
};

struct attr {
	const char *name;
	unsigned type;
	enum kind kind;
	bool m, hideable;
};

static const struct attr attrs2[] = {
	{ "result", 1, K_RESULT, true, false },
	{ "version", 2, K_VERSION, true, false },
	{ "framing", 3, K_U32, true, true },
	{ "bearer", 4, K_U32, true, true },
	{ "tie", 5, K_U64, false, false },
	{ "firmware", 6, K_U16, false, true },
	{ "host", 7, K_TEXT, true, false },
	{ "vendor", 8, K_TEXT, false, true },
	{ "tunnel", 9, K_U16, true, true },
	{ "window", 10, K_U16, true, false },
	{ "challenge", 11, K_HEX, true, true },
	{ "q931", 12, K_HEX, true, false },
	{ "response", 13, K_RESPONSE, true, true },
	{ "session", 14, K_U16, true, true },
	{ "serial", 15, K_U32, true, true },
	{ "minbps", 16, K_U32, true, true },
	{ "maxbps", 17, K_U32, true, true },
	{ "bearertype", 18, K_U32, true, true },
	{ "framingtype", 19, K_U32, true, true },
	{ "called", 21, K_TEXT, true, true },
	{ "calling", 22, K_TEXT, true, true },
	{ "sub", 23, K_TEXT, true, true },
	{ "tx", 24, K_U32, true, true },
	{ "channel", 25, K_U32, false, true },
	{ "lcp-initial", 26, K_HEX, false, true },
	{ "lcp-sent", 27, K_HEX, false, true },
	{ "lcp-received", 28, K_HEX, false, true },
	{ "proxy-type", 29, K_U16, false, true },
	{ "proxy-name", 30, K_TEXT, false, true },
	{ "proxy-challenge", 31, K_HEX, false, true },
	{ "proxy-id", 32, K_U16, false, true },
	{ "proxy-response", 33, K_HEX, false, true },
	{ "errors", 34, K_HEX, true, true },
	{ "accm", 35, K_HEX, true, true },
	{ "vector", 36, K_VECTOR, true, false },
	{ "group", 37, K_TEXT, false, true },
	{ "rx", 38, K_U32, false, true },
	{ "sequencing", 39, K_FLAG, true, false },
	{ "pppcause", 46, K_HEX, false, true },
	/* Of a request for either version (RFC 3931 4.7.3): none is mandatory there. */
	{ "digest", 59, K_DIGEST, false, false },
	{ "router", 60, K_U32, false, false },
	{ "conn", 61, K_U32, false, false },
	{ "caps", 62, K_HEX, false, false },
	{ "nonce", 73, K_HEX, false, false },
};

static const struct attr attrs3[] = {
	{ "result", 1, K_RESULT, true, false },	    { "tie", 5, K_U64, true, false },
	{ "host", 7, K_TEXT, true, false },	    { "vendor", 8, K_TEXT, false, true },
	{ "window", 10, K_U16, true, false },	    { "challenge", 11, K_HEX, true, true },
	{ "response", 13, K_RESPONSE, true, true }, { "serial", 15, K_U32, false, true },
	{ "channel", 25, K_U32, false, true },	    { "errors", 34, K_HEX, false, true },
	{ "vector", 36, K_VECTOR, true, false },    { "digest", 59, K_DIGEST, true, false },
	{ "router", 60, K_U32, true, false },	    { "conn", 61, K_U32, true, true },
	{ "caps", 62, K_HEX, true, true },	    { "local", 63, K_U32, true, true },
	{ "remote", 64, K_U32, true, true },	    { "cookie", 65, K_HEX, true, true },
	{ "end", 66, K_TEXT, true, true },	    { "pw", 68, K_U16, true, true },
	{ "sublayer", 69, K_U16, true, true },	    { "sequencing", 70, K_U16, true, true },
	{ "circuit", 71, K_U16, true, true },	    { "language", 72, K_TEXT, false, true },
	{ "nonce", 73, K_HEX, true, false },	    { "tx", 74, K_U64, false, true },
	{ "rx", 75, K_U64, false, true },	    { "group", 89, K_TEXT, false, true },
	{ "local-end", 90, K_TEXT, false, true },   { "mtu", 91, K_U16, false, true },
};

static const struct {
	const char *name;
	uint16_t type;
} types[] = {
	{ "SCCRQ", 1 }, { "SCCRP", 2 }, { "SCCCN", 3 }, { "StopCCN", 4 }, { "HELLO", 6 },
	{ "OCRQ", 7 },	{ "OCRP", 8 },	{ "OCCN", 9 },	{ "ICRQ", 10 },	  { "ICRP", 11 },
	{ "ICCN", 12 }, { "CDN", 14 },	{ "WEN", 15 },	{ "SLI", 16 },	  { "ACK", 20 },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct attr *attr_by_name(const struct wire_peer *w, const char *name)
{
	const struct attr *all = w->v3 ? attrs3 : attrs2;

	for (size_t i = 0; i < (w->v3 ? COUNT(attrs3) : COUNT(attrs2)); i++) {
		if (!strcmp(all[i].name, name))
			return &all[i];
	}
	return NULL;
}

static const struct attr *attr_by_type(const struct wire_peer *w, unsigned type)
{
	const struct attr *all = w->v3 ? attrs3 : attrs2;

	for (size_t i = 0; i < (w->v3 ? COUNT(attrs3) : COUNT(attrs2)); i++) {
		if (all[i].type == type)
			return &all[i];
	}
	return NULL;
}

unsigned wp_split(char *line, char *words[WP_WORDS])
{
	unsigned n = 0;
	char *p = line;

	while (n < WP_WORDS) {
		bool quoted = false;

		while (*p && isspace((unsigned char)*p))
			p++;
		if (!*p)
			break;
		words[n++] = p;
		while (*p && (quoted || !isspace((unsigned char)*p))) {
			quoted ^= *p == '"';
			p++;
		}
		if (!*p)
			break;
		*p++ = 0;
	}
	return n;
}

size_t wp_hex(const char *text, uint8_t *ret, size_t cap)
{
	size_t n = 0;

	if (*text == 'x')
		text++;
	for (; text[0] && text[1] && n < cap; text += 2) {
		char two[3] = { text[0], text[1], 0 };

		ret[n++] = (uint8_t)strtoul(two, NULL, 16);
	}
	return n;
}

/* ---- tunnels: what a well-behaved peer would put into the header ---- */

struct wp_tunnel *wp_tunnel_of(struct wire_peer *w, uint32_t theirs)
{
	for (unsigned i = 0; theirs && i < w->tunnels; i++) {
		if (w->tunnel[i].theirs == theirs)
			return &w->tunnel[i];
	}
	return NULL;
}

static struct wp_tunnel *tunnel_of_mine(struct wire_peer *w, uint32_t mine)
{
	for (unsigned i = w->tunnels; mine && i--;) {
		if (w->tunnel[i].mine == mine)
			return &w->tunnel[i];
	}
	return NULL;
}

static struct wp_tunnel *tunnel_new(struct wire_peer *w)
{
	unsigned at = w->tunnels < WP_TUNNELS ? w->tunnels++ : WP_TUNNELS - 1;

	w->tunnel[at] = (struct wp_tunnel){ 0 };
	w->last = at;
	return &w->tunnel[at];
}

/* ---- MD5 ---- */

static void md5_3(uint8_t ret[16], const void *a, size_t an, const void *b, size_t bn,
		  const void *c, size_t cn)
{
	struct md5_ctx ctx;

	md5_init(&ctx);
	md5_update(&ctx, an, a);
	md5_update(&ctx, bn, b);
	md5_update(&ctx, cn, c);
	md5_digest(&ctx, 16, ret);
}

static void response_of(const struct wire_peer *w, uint8_t id, const uint8_t *challenge, size_t n,
			uint8_t ret[16])
{
	const char *secret = w->secret ? w->secret : "";

	md5_3(ret, &id, 1, secret, strlen(secret), challenge, n);
}

/* RFC 2661 4.3, both ways: `from` is the cipher text's buffer when undoing, `to` when hiding. */
static void hide(const struct wire_peer *w, unsigned type, const uint8_t *vector, size_t vn,
		 const uint8_t *from, uint8_t *to, size_t n, const uint8_t *cipher)
{
	const char *secret = w->secret ? w->secret : "";
	uint8_t number[2] = { (uint8_t)(type >> 8), (uint8_t)type }, pad[16], key[16];
	const void *use = secret;
	size_t len = strlen(secret);

	if (w->v3) {
		wp_hide_key(secret, key);
		use = key;
		len = sizeof(key);
	}
	for (size_t i = 0; i < n; i++) {
		if (i == 0)
			md5_3(pad, number, 2, use, len, vector, vn);
		else if (i % 16 == 0)
			md5_3(pad, use, len, cipher + i - 16, 16, "", 0);
		to[i] = from[i] ^ pad[i % 16];
	}
}

/* ---- building ---- */

struct build {
	uint8_t *buf;
	size_t n, cap;
	uint8_t vector[1024];
	size_t vector_len, pad;
	unsigned type; /* of the message */
	const char *digest;
	struct wp_nonce nonce; /* n = 0: there was none */
};

static struct wp_nonce nonce_of(const uint8_t *p, size_t n)
{
	struct wp_nonce nonce = { .n = n < sizeof(nonce.p) ? n : sizeof(nonce.p) };

	memcpy(nonce.p, p, nonce.n);
	return nonce;
}

static void put(struct build *b, const void *p, size_t n)
{
	if (b->n + n > b->cap)
		n = b->cap - b->n;
	memcpy(b->buf + b->n, p, n);
	b->n += n;
}

static void put_u16(struct build *b, unsigned v)
{
	uint8_t o[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	put(b, o, 2);
}

static size_t num(uint8_t *to, size_t size, uint64_t v)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)(v >> 8 * (size - 1 - i));
	return size;
}

/* "text" with its quotes, @100, x0102 */
static bool literal(const char *text, uint8_t *ret, size_t cap, size_t *ret_n)
{
	size_t n;

	if (text[0] == '"') {
		n = strlen(text) - 1;
		n -= n && text[n] == '"';
		memcpy(ret, text + 1, n);
	} else if (text[0] == '@') {
		n = strtoul(text + 1, NULL, 10);
		n = n < cap ? n : cap;
		memset(ret, 'x', n);
	} else if (text[0] == 'x') {
		n = wp_hex(text, ret, cap);
	} else {
		return false;
	}
	*ret_n = n;
	return true;
}

static size_t result_value(const char *text, uint8_t *ret)
{
	char *end;
	size_t n = num(ret, 2, strtoul(text, &end, 10)), more = 0;

	if (*end != '/')
		return n;
	n += num(ret + n, 2, strtoul(end + 1, &end, 10));
	if (*end == '/')
		literal(end + 1, ret + n, 1000, &more);
	return n + more;
}

static size_t value_of(struct wire_peer *w, struct build *b, const struct attr *a, const char *text,
		       uint8_t *ret)
{
	unsigned major, minor;
	size_t n = 0;

	if (literal(text, ret, 1017, &n))
		return n;
	switch (a->kind) {
	case K_U16:
		return num(ret, 2, strtoul(text, NULL, 0));
	case K_U32:
		return num(ret, 4, strtoul(text, NULL, 0));
	case K_U64:
		return num(ret, 8, strtoull(text, NULL, 16));
	case K_VERSION:
		if (sscanf(text, "%u.%u", &major, &minor) == 2)
			return num(ret, 2, major << 8 | minor);
		break;
	case K_RESULT:
		return result_value(text, ret);
	case K_RESPONSE:
		response_of(w, !strcmp(text, "id3") ? 3 : (uint8_t)b->type, w->challenge,
			    w->challenge_len, ret);
		return 16;
	case K_TEXT:
	case K_HEX:
	case K_FLAG:
	case K_VECTOR:
	case K_DIGEST:
		break;
	}
	return 0;
}

static void put_avp(struct wire_peer *w, struct build *b, unsigned head, unsigned vendor,
		    unsigned type, const uint8_t *value, size_t n)
{
	uint8_t plain[2048] = { (uint8_t)(n >> 8), (uint8_t)n }, cipher[2048] = { 0 };
	size_t total = n + 2 + b->pad;

	if (!(head & 0x4000)) {
		put_u16(b, head | (unsigned)(n + 6));
		put_u16(b, vendor);
		put_u16(b, type);
		put(b, value, n);
		return;
	}
	memcpy(plain + 2, value, n);
	hide(w, type, b->vector, b->vector_len, plain, cipher, total, cipher);
	put_u16(b, head | (unsigned)(total + 6));
	put_u16(b, vendor);
	put_u16(b, type);
	put(b, cipher, total);
}

/* Take "m0." and the like off; -1: M as usual. */
static char *prefixes(char *word, int *ret_m, bool *ret_hidden, bool *ret_reserved)
{
	for (;;) {
		if (!strncmp(word, "m0.", 3) || !strncmp(word, "m1.", 3)) {
			*ret_m = word[1] - '0';
			word += 3;
		} else if (!strncmp(word, "h.", 2)) {
			*ret_hidden = true;
			word += 2;
		} else if (!strncmp(word, "r.", 2)) {
			*ret_reserved = true;
			word += 2;
		} else {
			return word;
		}
	}
}

/* One AVP word. False when it is none. */
static bool avp_word(struct wire_peer *w, struct build *b, char *word)
{
	bool hidden = false, reserved = false;
	uint8_t value[2048];
	unsigned head, vendor = 0, type;
	const struct attr *a;
	size_t n = 0;
	char *eq;
	int m = -1;

	word = prefixes(word, &m, &hidden, &reserved);
	head = (hidden ? 0x4000U : 0U) | (reserved ? 0x0400U : 0U);
	eq = strchr(word, '=');
	if (eq)
		*eq++ = 0;
	else
		eq = word + strlen(word);
	if (!strcmp(word, "avp")) {
		vendor = (unsigned)strtoul(eq, &eq, 10);
		type = (unsigned)strtoul(eq + (*eq == ':'), &eq, 10);
		if (*eq == ':')
			literal(eq + 1, value, 1017, &n);
		put_avp(w, b, head | (m == 0 ? 0 : 0x8000), vendor, type, value, n);
		return true;
	}
	if (!strcmp(word, "octets")) {
		literal(eq, value, sizeof(value), &n);
		put(b, value, n);
		return true;
	}
	if (!strcmp(word, "pad")) {
		b->pad = strtoul(eq, NULL, 10);
		return true;
	}
	a = attr_by_name(w, word);
	if (!a)
		return false;
	n = value_of(w, b, a, eq, value);
	if (a->kind == K_VECTOR) {
		memcpy(b->vector, value, n);
		b->vector_len = n;
	}
	if (a->type == 11) {
		memcpy(w->asked, value, n);
		w->asked_len = n;
	}
	if (w->v3 && a->type == 73)
		b->nonce = nonce_of(value, n);
	if (m < 0 ? a->m : m)
		head |= 0x8000;
	put_avp(w, b, head, 0, a->type, value, n);
	return true;
}

struct header {
	long long tid, sid; /* -1: as usual */
	long ns, nr;
	unsigned flags;
	int length_add;
	long length; /* -1: the right one, with length_add */
	uint8_t junk[256];
	size_t junk_len;
};

static bool header_word(struct header *h, const char *word)
{
	if (!strncmp(word, "tid=", 4))
		h->tid = strtoll(word + 4, NULL, 0);
	else if (!strncmp(word, "sid=", 4))
		h->sid = strtol(word + 4, NULL, 0);
	else if (!strncmp(word, "ns=", 3))
		h->ns = strtol(word + 3, NULL, 0);
	else if (!strncmp(word, "nr=", 3))
		h->nr = strtol(word + 3, NULL, 0);
	else if (!strncmp(word, "flags=", 6))
		h->flags = (unsigned)strtoul(word + 6, NULL, 16);
	else if (!strncmp(word, "length=", 7) && strchr("+-", word[7]))
		h->length_add = (int)strtol(word + 7, NULL, 10);
	else if (!strncmp(word, "length=", 7))
		h->length = strtol(word + 7, NULL, 10);
	else if (!strncmp(word, "junk=", 5))
		h->junk_len = wp_hex(word + 5, h->junk, sizeof(h->junk));
	else
		return false;
	return true;
}

/* The first word. False when it names no type. *ret_zlb: no AVP at all. */
static bool type_word(struct build *b, char *word, bool *ret_zlb)
{
	bool hidden = false, reserved = false;
	unsigned head;
	int m = -1;

	word = prefixes(word, &m, &hidden, &reserved);
	*ret_zlb = !strcmp(word, "ZLB");
	if (*ret_zlb || !strcmp(word, "bare"))
		return true;
	head = (m == 0 ? 0U : 0x8000U) | (hidden ? 0x4000U : 0U) | (reserved ? 0x0400U : 0U);
	for (size_t i = 0; i < COUNT(types); i++) {
		if (!strcmp(word, types[i].name))
			b->type = types[i].type;
	}
	if (!strncmp(word, "type=", 5))
		b->type = (unsigned)strtoul(word + 5, NULL, 10);
	else if (!b->type)
		return false;
	put_u16(b, head | 8);
	put_u16(b, 0);
	put_u16(b, 0);
	put_u16(b, b->type);
	return true;
}

/* Which of my tunnels a message belongs to, and the usual header for it. */
static struct wp_tunnel *usual_header(struct wire_peer *w, struct build *b, struct header *h,
				      uint32_t assigned)
{
	struct wp_tunnel *t = h->tid > 0 ? wp_tunnel_of(w, (uint32_t)h->tid) : NULL;

	if (!t && b->type == 1 && h->tid <= 0) {
		t = tunnel_of_mine(w, assigned);
		if (!t) {
			t = tunnel_new(w);
			t->mine = assigned;
		}
		h->tid = 0;
	} else if (!t && h->tid <= 0 && w->tunnels) {
		t = &w->tunnel[w->last];
	}
	if (t)
		w->last = (unsigned)(t - w->tunnel);
	if (t && assigned && !t->mine)
		t->mine = assigned;
	if (h->tid < 0)
		h->tid = t ? t->theirs : 0;
	if (h->sid < 0)
		h->sid = 0;
	return t;
}

/* Header, numbers, digests: the message from `at` on has its AVPs, the header not yet. */
static size_t finish(struct wire_peer *w, struct build *b, struct header *h, struct wp_tunnel *t,
		     size_t at, bool zlb)
{
	size_t length = h->length >= 0 ? (size_t)h->length : b->n - at + (size_t)h->length_add;
	size_t digests = b->n, end;
	uint8_t late[128];

	if (h->ns < 0)
		h->ns = t ? t->ns : 0;
	if (h->nr < 0)
		h->nr = t ? t->nr : 0;
	if (t && !zlb && b->type != 20 && h->ns == t->ns)
		t->ns++;
	if (b->digest && !strcmp(b->digest, "late")) {
		put(b, late, wp_digest_room("md5", late));
		length += b->n - digests;
	}
	put(b, h->junk, h->junk_len);
	end = b->n;
	b->n = at;
	put_u16(b, h->flags);
	put_u16(b, (unsigned)length);
	put_u16(b, (unsigned)(w->v3 ? h->tid >> 16 : h->tid));
	put_u16(b, (unsigned)(w->v3 ? h->tid : h->sid));
	put_u16(b, (unsigned)h->ns);
	put_u16(b, (unsigned)h->nr);
	if (w->v3 && t && b->nonce.n)
		t->own = b->nonce;
	if (b->digest && !zlb)
		wp_digest_sign(w, t, b->digest, b->buf + at, end - at - h->junk_len,
			       strcmp(b->digest, "late") ? 20 : digests - at, b->type == 1);
	return end;
}

/* digest=... anywhere among the words; it says what stands behind the Message Type. */
static const char *digest_word(const struct wire_peer *w, char **words, unsigned count)
{
	for (unsigned i = 1; w->v3 && i < count; i++) {
		if (!strncmp(words[i], "digest=", 7))
			return strcmp(words[i] + 7, "none") ? words[i] + 7 : NULL;
	}
	if (!strcmp(words[0], "bare")) /* there is nothing it could stand behind */
		return NULL;
	if (w->v3 && w->digest)
		return strcmp(w->digest, "none") ? w->digest : NULL;
	return w->v3 && w->secret ? "md5" : NULL;
}

size_t wp_build(struct wire_peer *w, char **words, unsigned count, uint8_t *buf, size_t cap)
{
	size_t at = w->over_ip ? 4 : 0;
	struct build b = { .buf = buf, .n = at + 12, .cap = cap };
	struct header h = { -1, -1, -1, -1, w->v3 ? 0xc803 : 0xc802, 0, -1, { 0 }, 0 };
	const char *id = w->v3 ? "conn=" : "tunnel=";
	uint32_t assigned = 0;
	struct wp_tunnel *t;
	bool zlb;

	memset(buf, 0, at);
	if (!count || !type_word(&b, words[0], &zlb)) {
		fprintf(stderr, "not a message type: %s\n", count ? words[0] : "");
		return 0;
	}
	b.digest = digest_word(w, words, count);
	if (b.digest && strcmp(b.digest, "late") && !zlb) {
		uint8_t room[128];

		put(&b, room, wp_digest_room(b.digest, room));
	}
	for (unsigned i = 1; i < count; i++) {
		if (w->v3 && !strncmp(words[i], "digest=", 7))
			continue;
		if (strstr(words[i], id) && !strchr(words[i], 'x'))
			assigned = (uint32_t)strtoul(strchr(words[i], '=') + 1, NULL, 0);
		if (!header_word(&h, words[i]) && !avp_word(w, &b, words[i])) {
			fprintf(stderr, "not a word of a message: %s\n", words[i]);
			return 0;
		}
	}
	t = usual_header(w, &b, &h, assigned);
	return finish(w, &b, &h, t, at, zlb);
}

/* ---- telling ---- */

struct out {
	char *p;
	size_t n, cap;
};

__attribute__((format(printf, 2, 3))) static void say(struct out *o, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(o->p + o->n, o->cap - o->n, fmt, args);
	va_end(args);
	o->n += (size_t)n < o->cap - o->n ? (size_t)n : o->cap - o->n - 1;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static uint64_t get(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static void say_octets(struct out *o, const uint8_t *p, size_t n, bool text)
{
	bool plain = text;

	for (size_t i = 0; i < n; i++)
		plain = plain && p[i] >= ' ' && p[i] < 0x7f && p[i] != '"';
	if (plain) {
		say(o, "\"%.*s\"", (int)n, (const char *)p);
		return;
	}
	say(o, "x");
	for (size_t i = 0; i < n; i++)
		say(o, "%02x", p[i]);
}

static void say_value(struct wire_peer *w, struct out *o, const struct attr *a, unsigned type,
		      const uint8_t *p, size_t n)
{
	size_t need = a->kind == K_U16 || a->kind == K_VERSION ? 2
		      : a->kind == K_U32		       ? 4
		      : a->kind == K_U64		       ? 8
		      : a->kind == K_RESPONSE		       ? 16
							       : n;
	uint8_t want[16];

	if (n != need || (a->kind == K_FLAG && n) || (a->kind == K_RESULT && (n < 2 || n == 3))) {
		say(o, "=BAD(length-%zu)", n);
		return;
	}
	if (a->kind != K_FLAG)
		say(o, "=");
	if (a->kind == K_RESULT && get16(p) == 0)
		say(o, "BAD(result-0)");
	if (a->kind == K_RESULT && get16(p) == 2 && n < 4)
		say(o, "BAD(result-2-without-error)");
	switch (a->kind) {
	case K_U16:
	case K_U32:
		say(o, "%llu", (unsigned long long)get(p, n));
		break;
	case K_U64:
		say(o, "%016llx", (unsigned long long)get(p, n));
		break;
	case K_TEXT:
		say_octets(o, p, n, true);
		break;
	case K_HEX:
	case K_VECTOR:
		say_octets(o, p, n, false);
		break;
	case K_FLAG:
	case K_DIGEST: /* told by wp_digest_tell() */
		break;
	case K_VERSION:
		say(o, "%u.%u", p[0], p[1]);
		break;
	case K_RESULT:
		say(o, "%u", get16(p));
		if (n >= 4)
			say(o, "/%u", get16(p + 2));
		if (n > 4) {
			say(o, "/");
			say_octets(o, p + 4, n - 4, true);
		}
		break;
	case K_RESPONSE:
		response_of(w, (uint8_t)type, w->asked, w->asked_len, want);
		say(o, memcmp(want, p, 16) ? "wrong" : "good");
		break;
	}
}

struct seen {
	const struct attr *a;
	bool hidden;
	uint8_t value[1024];
	size_t n;
};

/* Take one AVP off the message into `ret`; the octets it took, 0 when it cannot be read. */
static size_t take_avp(struct wire_peer *w, struct out *o, const uint8_t *p, size_t left,
		       struct seen *vector, struct seen *ret)
{
	unsigned head, len, type;

	if (left < 6 || (len = (head = get16(p)) & 0x3ff) < 6 || len > left) {
		say(o, " BAD(avp-length)");
		return 0;
	}
	type = get16(p + 4);
	ret->a = get16(p + 2) ? NULL : attr_by_type(w, type);
	ret->hidden = head & 0x4000;
	ret->n = len - 6;
	memcpy(ret->value, p + 6, ret->n);
	if (!ret->a) {
		say(o, " BAD(unknown-avp-%u-%u)", get16(p + 2), type);
		return len;
	}
	if (head & 0x3c00)
		say(o, " BAD(reserved-bit)");
	if (!!(head & 0x8000) != ret->a->m)
		say(o, " BAD(%s-m-bit)", ret->a->name);
	if (ret->hidden && (!ret->a->hideable || !vector->n || !w->secret || ret->n < 2)) {
		say(o, " BAD(%s-hidden)", ret->a->name);
	} else if (ret->hidden) {
		uint8_t cipher[1024];
		size_t n;

		memcpy(cipher, ret->value, ret->n);
		hide(w, type, vector->value, vector->n, cipher, ret->value, ret->n, cipher);
		n = get16(ret->value);
		if (n > ret->n - 2) {
			say(o, " BAD(%s-hidden-length)", ret->a->name);
			n = 0;
		}
		memmove(ret->value, ret->value + 2, n);
		ret->n = n;
	}
	if (ret->a->kind == K_VECTOR) {
		if (ret->hidden || ret->n < 16)
			say(o, " BAD(vector)");
		*vector = *ret;
	}
	return len;
}

/* Learn the engine's id and challenge, and which tunnel of mine it is. */
static void learn(struct wire_peer *w, const uint8_t *bytes, unsigned type, const struct seen *s)
{
	uint32_t mine = w->v3 ? (uint32_t)get(bytes + 4, 4) : get16(bytes + 4);
	struct wp_tunnel *t = tunnel_of_mine(w, mine);
	unsigned id = w->v3 ? 61 : 9;
	size_t size = w->v3 ? 4 : 2;

	if (s && s->a->type == id && s->n == size) {
		uint32_t theirs = (uint32_t)get(s->value, size);

		if (!t)
			t = wp_tunnel_of(w, theirs);
		if (!t)
			t = tunnel_new(w);
		if (theirs && type != 4)
			t->theirs = theirs;
	}
	if (s && s->a->type == 11) {
		memcpy(w->challenge, s->value, s->n);
		w->challenge_len = s->n;
	}
	if (t)
		w->last = (unsigned)(t - w->tunnel);
}

static int by_type(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return (int)x->a->type - (int)y->a->type;
}

/* A fresh Random Vector in each message; a retransmission has its own once more. */
static void check_vector(struct wire_peer *w, struct out *o, const struct seen *vector, unsigned ns)
{
	if (vector->n < sizeof(w->vector))
		return;
	if (w->vector_seen && ns != w->vector_ns &&
	    memcmp(w->vector, vector->value, sizeof(w->vector)) == 0)
		say(o, " BAD(vector-again)");
	memcpy(w->vector, vector->value, sizeof(w->vector));
	w->vector_ns = ns;
	w->vector_seen = true;
}

static void tell_avps(struct wire_peer *w, struct out *o, const uint8_t *bytes, size_t len,
		      unsigned type)
{
	static struct seen all[64];
	struct seen vector = { .n = 0 };
	size_t count = 0, at = 20, took, digests = 0;

	while (at < len && count < COUNT(all)) {
		took = take_avp(w, o, bytes + at, len - at, &vector, &all[count]);
		if (!took)
			break;
		at += took;
		if (!all[count].a)
			continue;
		learn(w, bytes, type, &all[count]);
		if (all[count].a->kind == K_DIGEST && (at - took != 20 + digests))
			say(o, " BAD(digest-place)");
		if (all[count].a->kind == K_DIGEST)
			digests += took;
		count += all[count].a->kind != K_VECTOR && all[count].a->kind != K_DIGEST;
	}
	learn(w, bytes, type, NULL);
	for (size_t i = 0; w->v3 && w->tunnels && i < count;
	     i++) { /* now that the tunnel is known */
		if (all[i].a->type == 73)
			w->tunnel[w->last].peer = nonce_of(all[i].value, all[i].n);
	}
	check_vector(w, o, &vector, get16(bytes + 8));
	qsort(all, count, sizeof(all[0]), by_type);
	for (size_t i = 0; i < count; i++) {
		say(o, " %s%s", all[i].hidden ? "h." : "", all[i].a->name);
		if (w->v3 && all[i].a->type == 63 && all[i].n == 4 && !get(all[i].value, 4))
			say(o, " BAD(local-session-0)");
		say_value(w, o, all[i].a, type, all[i].value, all[i].n);
		if (i && all[i].a == all[i - 1].a)
			say(o, " BAD(twice)");
	}
}

/* What follows the session id, cookie first, in one run: the scenario knows what should be there.
 */
static void tell_data3(const struct wire_peer *w, struct out *o, const uint8_t *p, size_t len)
{
	size_t at = w->over_ip ? 0 : 4;

	say(o, "data");
	if (!w->over_ip && memcmp(p, "\0\3\0\0", 4))
		say(o, " BAD(flags-%04x)", get16(p));
	if (len < at + 4)
		return;
	say(o, " sid=%llu rest=", (unsigned long long)get(p + at, 4));
	say_octets(o, p + at + 4, len - at - 4, false);
}

static void tell_data(struct out *o, const uint8_t *p, size_t len)
{
	unsigned flags = get16(p);
	size_t at = 2;

	say(o, "data");
	if (flags & 0x34f0 || (flags & 15) != 2)
		say(o, " BAD(flags-%04x)", flags);
	if (flags & 0x4000) {
		say(o, " L");
		if (get16(p + at) != len)
			say(o, " BAD(length)");
		at += 2;
	}
	if (flags & 0x0100)
		say(o, " P");
	say(o, " tid=%u sid=%u", get16(p + at), get16(p + at + 2));
	at += 4;
	if (flags & 0x0800) {
		say(o, " ns=%u", get16(p + at));
		at += 4;
	}
	if (flags & 0x0200)
		at += 2 + get16(p + at);
	say(o, " payload=");
	say_octets(o, p + at, at < len ? len - at : 0, false);
}

void wp_tell(struct wire_peer *w, const uint8_t *bytes, size_t len, char *ret, size_t cap)
{
	struct out o = { ret, 0, cap };
	const char *name = NULL;
	char digests[64];
	unsigned type = 0;
	struct wp_tunnel *t;

	ret[0] = 0;
	if (w->over_ip && len >= 4 && !get(bytes, 4)) {
		bytes += 4;
		len -= 4;
	} else if (w->over_ip && len >= 4) {
		tell_data3(w, &o, bytes, len);
		return;
	}
	if (len < 6 || !(bytes[0] & 0x80)) {
		if (len >= 6 && w->v3)
			tell_data3(w, &o, bytes, len);
		else if (len >= 6)
			tell_data(&o, bytes, len);
		else
			say(&o, "BAD(short)");
		return;
	}
	if (len < 12) {
		say(&o, "BAD(short)");
		return;
	}
	if (len >= 20) {
		type = get16(bytes + 18);
		for (size_t i = 0; i < COUNT(types); i++)
			name = types[i].type == type ? types[i].name : name;
	}
	say(&o, "%s", len == 12 ? "ZLB" : name ? name : "BAD(type)");
	if (w->v3)
		say(&o, " tid=%llu", (unsigned long long)get(bytes + 4, 4));
	else
		say(&o, " tid=%u sid=%u", get16(bytes + 4), get16(bytes + 6));
	say(&o, " ns=%u nr=%u", get16(bytes + 8), get16(bytes + 10));
	if (get16(bytes) != (w->v3 ? 0xc803 : 0xc802))
		say(&o, " BAD(flags-%04x)", get16(bytes));
	if (get16(bytes + 2) != len)
		say(&o, " BAD(length)");
	if (len == 12) {
		learn(w, bytes, 0, NULL);
		return;
	}
	if (len < 20 || memcmp(bytes + 12, "\x80\x08\0\0\0\0", 6))
		say(&o, " BAD(message-type)");
	tell_avps(w, &o, bytes, len, type);
	learn(w, bytes, type, NULL);
	t = w->tunnels ? &w->tunnel[w->last] : NULL;
	wp_digest_tell(w, t, bytes, len, digests, sizeof(digests));
	say(&o, "%s", digests);
	if (t && type != 20 && get16(bytes + 8) == t->nr)
		t->nr++;
}
