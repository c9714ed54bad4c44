/* SPDX-License-Identifier: MIT
 *
 * What the engine sides of the L2TP transcripts share, see common.h.
 */
#include "common.h"
#include "base/wire.h"
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fail(struct lines *h, const char *why)
{
	if (!h->failed)
		h->failed = why;
}

void note(struct lines *h, const char *fmt, ...)
{
	struct harness_line *line = &h->line[(h->first + h->count) % HARNESS_LINES];
	char text[8192];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (h->count == HARNESS_LINES) {
		fail(h, "too many lines that nobody looks at");
		return;
	}
	line->at = h->now;
	line->text = strdup(text);
	h->count++;
}

char *lines_take(struct lines *h, struct mono *ret_at)
{
	struct harness_line *line = &h->line[h->first];

	if (!h->count)
		return NULL;
	h->first = (h->first + 1) % HARNESS_LINES;
	h->count--;
	*ret_at = line->at;
	return line->text;
}

/* ---- addresses ---- */

/* "192.0.2.1:1701" or "[2001:db8::1]:1701". */
bool addr_read(const char *text, struct addr *ret)
{
	const char *colon = strrchr(text, ':');
	struct addr a = { 0 };
	char ip[64];
	size_t n;

	if (!colon || colon - text >= (long)sizeof(ip))
		return false;
	n = (size_t)(colon - text);
	if (text[0] == '[' && n > 2) {
		memcpy(ip, text + 1, n - 2);
		ip[n - 2] = 0;
		a.family = AF_INET6;
	} else {
		memcpy(ip, text, n);
		ip[n] = 0;
		a.family = AF_INET;
	}
	if (inet_pton(a.family, ip, a.ip) != 1)
		return false;
	a.port = (uint16_t)strtoul(colon + 1, NULL, 10);
	*ret = a;
	return true;
}

static const char *addr_write(const struct lines *h, const struct addr *a, char *buf, size_t cap)
{
	char ip[64] = "?";

	inet_ntop(a->family, a->ip, ip, sizeof(ip));
	snprintf(buf, cap, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
		 h->no_ports ? 1701 : a->port);
	return buf;
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->port == b->port && a->scope == b->scope &&
	       !memcmp(a->ip, b->ip, sizeof(a->ip));
}

/* " to=..., by=..." where the path is not the usual one. */
void path_say(const struct lines *h, const struct path *p, char *buf, size_t cap)
{
	char a[80];
	size_t n = 0;

	buf[0] = 0;
	if (!same_addr(&p->remote, &h->usual.remote))
		n += (size_t)snprintf(buf, cap, " to=%s", addr_write(h, &p->remote, a, sizeof(a)));
	if (!same_addr(&p->local, &h->usual.local))
		n += (size_t)snprintf(buf + n, cap - n, " by=%s",
				      addr_write(h, &p->local, a, sizeof(a)));
	if (p->via != h->usual.via)
		snprintf(buf + n, cap - n, " via=%u", p->via);
}

/* ---- captures: raw IP packets, so that other programs can look at what was said ---- */

#define LINKTYPE_RAW  101
#define IP_PROTO_UDP  17
#define IP_PROTO_L2TP 115

static void put_le32(FILE *f, uint32_t v)
{
	const uint8_t b[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
			       (uint8_t)(v >> 24) };

	fwrite(b, 1, sizeof(b), f);
}

void capture_begin(FILE *f)
{
	put_le32(f, 0xa1b2c3d4);
	put_le32(f, 4u << 16 | 2); /* version 2.4 */
	put_le32(f, 0);
	put_le32(f, 0);
	put_le32(f, 65535);
	put_le32(f, LINKTYPE_RAW);
}

static void put_ip(struct wcur *c, const struct addr *from, const struct addr *to, uint8_t protocol,
		   size_t len)
{
	bool v4 = from->family == AF_INET;
	uint32_t sum = 0;

	if (!v4) {
		wcur_u32(c, 6u << 28);
		wcur_u16(c, (uint16_t)len);
		wcur_u8(c, protocol);
		wcur_u8(c, 64);
		wcur_bytes(c, from->ip, 16);
		wcur_bytes(c, to->ip, 16);
		return;
	}
	wcur_u16(c, 0x4500);
	wcur_u16(c, (uint16_t)(len + 20));
	wcur_u32(c, 0);
	wcur_u8(c, 64);
	wcur_u8(c, protocol);
	wcur_u16(c, 0);
	wcur_bytes(c, from->ip, 4);
	wcur_bytes(c, to->ip, 4);
	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(c->buf[i] << 8 | c->buf[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	wcur_patch_u16(c, 10, (uint16_t) ~(sum + (sum >> 16)));
}

void capture(struct lines *h, const struct path *p, const uint8_t *bytes, size_t len, bool out)
{
	const struct addr *from = out ? &p->local : &p->remote, *to = out ? &p->remote : &p->local;
	bool udp = p->remote.port;
	uint8_t head[64];
	struct wcur c = wcur_of(head, sizeof(head));

	if (!h->capture)
		return;
	put_ip(&c, from, to, udp ? IP_PROTO_UDP : IP_PROTO_L2TP, len + (udp ? 8 : 0));
	if (udp) {
		wcur_u16(&c, from->port);
		wcur_u16(&c, to->port);
		wcur_u16(&c, (uint16_t)(len + 8));
		wcur_u16(&c, 0);
	}
	put_le32(h->capture, (uint32_t)(h->now.us / US_S));
	put_le32(h->capture, (uint32_t)(h->now.us % US_S));
	put_le32(h->capture, (uint32_t)(c.len + len));
	put_le32(h->capture, (uint32_t)(c.len + len));
	fwrite(head, 1, c.len, h->capture);
	fwrite(bytes, 1, len, h->capture);
}

const char *cause_word(enum adit_cause cause)
{
	static const char *const causes[] = {
#define X(name, text) #name,
		ADIT_CAUSES(X)
#undef X
	};

	return cause < ADIT_CAUSE_COUNT ? causes[cause] : "?";
}

/* ---- words ---- */

unsigned label(adit_handle *list, unsigned *count, adit_handle handle)
{
	for (unsigned i = *count; i--;) {
		if (list[i] == handle)
			return i + 1;
	}
	if (*count < HARNESS_OBJECTS)
		list[(*count)++] = handle;
	return *count;
}

void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->buf + t->n, sizeof(t->buf) - t->n, fmt, args);
	va_end(args);
	t->n += (size_t)n < sizeof(t->buf) - t->n ? (size_t)n : sizeof(t->buf) - t->n - 1;
}

void add_string(struct text *t, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	add(t, " %s=\"", name);
	for (; *value; value++) {
		if (*value >= ' ' && *value < 0x7f && *value != '"')
			add(t, "%c", *value);
		else
			add(t, "\\x%02x", (uint8_t)*value);
	}
	add(t, "\"");
}

void add_number(struct text *t, const char *name, uint32_t v)
{
	if (v)
		add(t, " %s=%u", name, v);
}

void add_octets(struct text *t, const uint8_t *p, size_t n)
{
	add(t, "x");
	for (size_t i = 0; i < n; i++)
		add(t, "%02x", p[i]);
}

/* "name=value": the value, else NULL. */
const char *value(const char *word, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(word, name, n) && word[n] == '=' ? word + n + 1 : NULL;
}

const char *unquote(char *v)
{
	size_t n = strlen(v);

	if (n >= 2 && v[0] == '"' && v[n - 1] == '"') {
		v[n - 1] = 0;
		v++;
	}
	return v;
}

const char *keep(struct lines *h, const char *text)
{
	char *copy = strdup(text);

	if (h->kept < sizeof(h->keep) / sizeof(h->keep[0]))
		h->keep[h->kept++] = copy;
	return unquote(copy);
}

void lines_init(struct lines *h)
{
	h->now.us = START_US;
	h->usual.via = 1;
	addr_read("192.0.2.1:1701", &h->usual.local);
	addr_read("192.0.2.2:1701", &h->usual.remote);
}

void lines_free(struct lines *h)
{
	while (h->count) {
		struct mono at;

		free(lines_take(h, &at));
	}
	for (unsigned i = 0; i < h->kept; i++)
		free(h->keep[i]);
}
