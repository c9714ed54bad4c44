/* SPDX-License-Identifier: MIT
 *
 * Accounting: one JSON object (RFC 8259) per start, interim and stop of a session, and one that
 * says that nothing of before goes on (what RFC 2866, 5.1 calls Accounting-On).
 *
 * A line is an object with a record of its own from the moment it is made until the owner says it
 * is on disk. `id` is the session's key in hex, unique over restarts; `seq` counts the lines of a
 * session from 1, so a reader sees at once whether one is missing or came twice.
 *
 * Peers' text is UTF-8 as a rule. An octet that is not becomes the character of the same number
 * (ISO 8859-1, what old clients send), so every line is valid JSON and names stay apart.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct out {
	char *buf;
	size_t len, cap;
};

/* Each session has at least two lines, so they are put together without printf(). */
static void put(struct out *o, const char *text)
{
	size_t n = strlen(text), left = o->cap - 1 - o->len;

	if (n > left)
		n = left;
	memcpy(o->buf + o->len, text, n);
	o->len += n;
}

static void put_number(struct out *o, const char *before, uint64_t v)
{
	char digits[21];

	*text_decimal(digits, v) = '\0';
	put(o, before);
	put(o, digits);
}

/* The same with zeros before it. */
static void put_digits(struct out *o, const char *before, unsigned int v, unsigned int width)
{
	char digits[8] = { 0 };

	while (width) {
		digits[--width] = (char)('0' + v % 10);
		v /= 10;
	}
	put(o, before);
	put(o, digits);
}

static void put_hex(struct out *o, uint64_t v)
{
	char digits[17] = { 0 };

	for (int i = 15; i >= 0; i--, v >>= 4)
		digits[i] = "0123456789abcdef"[v & 15];
	put(o, digits);
}

/* The character at `p` and its length in octets; one that is not UTF-8 stands for itself. */
static size_t character(const uint8_t *p, size_t n, uint32_t *ret)
{
	size_t len = p[0] < 0xc2 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 1;
	uint32_t c = p[0];

	*ret = p[0];
	if (len == 1 || len > n)
		return 1;
	c &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((len == 3 && c < 0x800) || (len == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c < 0xe000))
		return 1;
	*ret = c;
	return len;
}

/* Controls, and what hides or turns text on a terminal. */
static bool must_escape(uint32_t c, size_t octets)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (octets == 1 && c >= 0x80) ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0x061c;
}

/* A JSON string with its quotes; what does not fit into `cap` is cut between characters. */
size_t acc_json_string(char *buf, size_t cap, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t out = 0;

	if (cap < 3) {
		if (cap)
			buf[0] = '\0';
		return 0;
	}
	buf[out++] = '"';
	for (size_t i = 0; i < n;) {
		char piece[8];
		uint32_t c;
		size_t len = character(p + i, n - i, &c), need;

		if (c == '"' || c == '\\') {
			piece[0] = '\\';
			piece[1] = (char)c;
			need = 2;
		} else if (c >= 0x20 && c < 0x7f) {
			piece[0] = (char)c;
			need = 1;
		} else if (must_escape(c, len)) {
			need = (size_t)snprintf(piece, sizeof(piece), "\\u%04x", c & 0xffff);
		} else {
			memcpy(piece, p + i, len);
			need = len;
		}
		if (out + need + 2 > cap)
			break;
		memcpy(buf + out, piece, need);
		out += need;
		i += len;
	}
	buf[out++] = '"';
	buf[out] = '\0';
	return out;
}

static void put_string(struct out *o, const char *name, const void *bytes, size_t n, size_t most)
{
	size_t left;

	put(o, ",\"");
	put(o, name);
	put(o, "\":");
	left = o->cap - o->len;
	o->len += acc_json_string(o->buf + o->len, left < most ? left : most, bytes, n);
}

/* A string of our own, in which nothing is to be escaped. */
static void put_word(struct out *o, const char *name, const char *word)
{
	put(o, ",\"");
	put(o, name);
	put(o, "\":\"");
	put(o, word);
	put(o, "\"");
}

/* Days since 1970-01-01 to a date (proleptic Gregorian calendar). */
static void civil(int64_t days, int *ret_y, int *ret_m, int *ret_d)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_y = (int)(yoe + era * 400 + (*ret_m <= 2));
}

static void put_time(struct out *o, int64_t unix_us)
{
	int64_t s = unix_us / US_S, us = unix_us % US_S, day;
	int y, m, d;

	if (us < 0) {
		us += US_S;
		s--;
	}
	day = s / 86400;
	s %= 86400;
	if (s < 0) {
		s += 86400;
		day--;
	}
	civil(day, &y, &m, &d);
	put_digits(o, "{\"time\":\"", (unsigned int)y, 4);
	put_digits(o, "-", (unsigned int)m, 2);
	put_digits(o, "-", (unsigned int)d, 2);
	put_digits(o, "T", (unsigned int)(s / 3600), 2);
	put_digits(o, ":", (unsigned int)(s / 60 % 60), 2);
	put_digits(o, ":", (unsigned int)(s % 60), 2);
	put_digits(o, ".", (unsigned int)(us / 1000), 3);
	put(o, "Z\"");
}

static const char *const event_names[] = {
	[ACC_LINE_START] = "start",
	[ACC_LINE_INTERIM] = "interim",
	[ACC_LINE_STOP] = "stop",
	[ACC_LINE_ON] = "on",
};

static void put_addresses(struct out *o, const struct acc_session *s)
{
	struct addr ip4 = { .family = AF_INET };
	char text[ADDR_TEXT_MAX];
	struct prefix p;

	memcpy(ip4.ip, s->peer_ip4, 4);
	if (!addr_is_any(&ip4))
		put_word(o, "ip4", addr_text(&ip4, text));
	if (acc_session_prefix6(s, &p))
		put_word(o, "ip6", prefix_text(&p, text));
}

static void line_head(const struct access *a, struct out *o, struct mono now,
		      enum acc_line_event event, uint64_t key, uint32_t seq)
{
	put_time(o, now.us + a->wall_us);
	put_word(o, "event", event_names[event]);
	put(o, ",\"id\":\"");
	put_hex(o, key);
	put_number(o, "\",\"seq\":", seq);
}

static void line_text(struct access *a, struct out *o, struct mono now, const struct acc_session *s,
		      enum acc_line_event event, uint32_t seq, const struct dp_counters *c)
{
	const struct acc_tunnel *t = s->tunnel;
	char text[ADDR_TEXT_MAX];

	line_head(a, o, now, event, s->key, seq);
	put_word(o, "role", s->dial ? "client" : "server");
	put_string(o, "user", acc_user(s), s->user_len, 700);
	put_string(o, "peer", t->name, strlen(t->name), 140);
	if (t->host)
		put_string(o, "host", t->host, strlen(t->host), 140);
	put_string(o, "calling", acc_calling(s), s->calling_len, 140);
	put_string(o, "called", acc_called(s), s->called_len, 140);
	put_addresses(o, s);
	put_number(o, ",\"tunnel\":", t->local_id);
	put_number(o, ",\"remote_tunnel\":", t->remote_id);
	put_number(o, ",\"session\":", s->local_id);
	put_number(o, ",\"remote_session\":", s->remote_id);
	put_word(o, "remote", addr_text(&t->path.remote, text));
	if (event != ACC_LINE_START) {
		put_number(o, ",\"seconds\":",
			   now.us > s->since.us ? (uint64_t)(now.us - s->since.us) / US_S : 0);
		put_number(o, ",\"in_octets\":", c->rx_bytes);
		put_number(o, ",\"out_octets\":", c->tx_bytes);
		put_number(o, ",\"in_packets\":", c->rx_packets);
		put_number(o, ",\"out_packets\":", c->tx_packets);
	}
	if (event == ACC_LINE_STOP) {
		const char *words = acc_session_text(s);

		put_word(o, "cause", cause_name((enum adit_cause)s->cause));
		put_string(o, "text", words, strlen(words), 300);
	}
	put(o, "}");
}

static uint64_t line_hash(const struct access *a, uint64_t key, uint32_t seq)
{
	uint64_t k[2] = { key, seq };

	return htab_hash(&a->lines, k, sizeof(k));
}

struct acc_line *acc_line_find(const struct access *a, uint64_t key, uint32_t seq)
{
	struct htab_node *n = htab_find(&a->lines, line_hash(a, key, seq));

	for (; n; n = htab_next(n)) {
		struct acc_line *l = container_of(n, struct acc_line, node);

		if (l->key == key && l->seq == seq)
			return l;
	}
	return NULL;
}

int acc_line_add(struct access *a, uint64_t id, uint64_t key, uint32_t seq,
		 enum acc_line_event event, const void *text, size_t len, struct acc_line **ret)
{
	struct acc_line *l;

	if (htab_reserve(&a->lines) < 0)
		return -ENOMEM;
	l = malloc(sizeof(*l) + len + 1);
	if (!l)
		return -ENOMEM;
	*l = (struct acc_line){ .id = id, .key = key, .seq = seq, .event = (uint8_t)event };
	l->len = (uint16_t)len;
	memcpy(l->text, text, len);
	l->text[len] = '\0';
	htab_put(&a->lines, &l->node, line_hash(a, key, seq));
	acc_queue_push(&a->line_news, &l->news);
	a->bytes += sizeof(*l) + len + 1;
	a->lines_on += event == ACC_LINE_ON;
	*ret = l;
	return 0;
}

int acc_line_make(struct access *a, struct mono now, struct acc_session *s,
		  enum acc_line_event event, const struct dp_counters *counters)
{
	char buf[ACCESS_LINE_MAX];
	struct out o = { buf, 0, sizeof(buf) };
	struct acc_line *l;
	int rc;

	line_text(a, &o, now, s, event, s->acct_seq + 1, counters);
	rc = acc_line_add(a, acc_key_new(a), s->key, s->acct_seq + 1, event, buf, o.len, &l);
	if (rc < 0)
		return rc;
	s->acct_seq++;
	acc_queue_push(&a->line_dirty, &l->dirty);
	return 0;
}

/* See access.h. The line has a number of its own as its only content. A keeper that could not read
 * its journal has had others under the same incarnation. */
int access_on(struct access *a, struct mono now)
{
	char buf[ACCESS_LINE_MAX];
	struct out o = { buf, 0, sizeof(buf) };
	struct acc_line *l;
	uint64_t key;
	int rc;

	acc_begin(a);
	acc_keys_lost(a, now);
	key = acc_key_new(a);
	line_head(a, &o, now, ACC_LINE_ON, key, 1);
	put(&o, "}");
	rc = acc_line_add(a, key, key, 1, ACC_LINE_ON, buf, o.len, &l);
	if (rc < 0)
		return rc;
	acc_queue_push(&a->line_dirty, &l->dirty);
	a->line_first = true;
	return 0;
}

/* See access.h. It is in no queue of news, having been told. */
void access_line_later(struct access *a, uint64_t key, uint32_t seq)
{
	struct acc_line *l = acc_line_find(a, key, seq);

	if (!l || l->gone)
		return;
	l->told = false;
	acc_queue_push(&a->line_later, &l->news);
}

/* Lines are written in the order in which they were made: a stop before its start would say at
 * recovery that the start is on disk. So all that come behind one that waits wait, too. */
void acc_line_behind(struct access *a)
{
	struct acc_link *l;

	while (a->line_later.first && (l = acc_queue_pop(&a->line_news)))
		if (!container_of(l, struct acc_line, news)->told) /* void at recovery */
			acc_queue_push(&a->line_later, l);
}

void access_lines_again(struct access *a)
{
	struct acc_link *l;

	acc_line_behind(a);
	while ((l = acc_queue_pop(&a->line_later)))
		acc_queue_push(&a->line_news, l);
}

/* The owner has it on disk: the record goes, or was never needed. */
void acc_line_written(struct access *a, struct acc_line *l)
{
	l->gone = true;
	if (!l->dirty.next)
		acc_queue_push(&a->line_gone, &l->dirty);
}

void acc_line_free(struct access *a, struct acc_line *l)
{
	if (a->last_line == l)
		a->last_line = NULL;
	htab_drop(&a->lines, &l->node);
	a->bytes -= sizeof(*l) + l->len + 1u;
	a->lines_on -= l->event == ACC_LINE_ON;
	free(l);
}

/* Will the session of this line get, or has it got, a stop line? Lines that wait are consecutive.
 */
static bool stop_follows(const struct access *a, const struct acc_line *l)
{
	for (uint32_t seq = l->seq; l && l->event != ACC_LINE_STOP; seq++)
		l = acc_line_find(a, l->key, seq + 1);
	return l != NULL;
}

/*
 * Recovery, when all records are there. A session's record follows that of its lines in a batch, so
 * a line may be newer than the session's record. When the session was up, the line counts: it is
 * adopted, and a stop ends the session. When it was not, the start line is of a batch that was cut
 * short: nobody saw it, and the session never was up. A line whose session is gone and that no stop
 * follows is on disk, because its stop is.
 */
void acc_lines_loaded(struct access *a, struct mono now)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;

	while ((n = htab_walk(&a->lines, &pos, n))) {
		struct acc_line *l = container_of(n, struct acc_line, node);
		struct acc_session *s = acc_session_find(a, l->key);

		if (l->event == ACC_LINE_ON)
			continue;
		if (s ? !s->established : !stop_follows(a, l)) {
			l->told = true;
			acc_line_written(a, l);
			continue;
		}
		if (!s)
			continue;
		if (s->acct_seq < l->seq)
			s->acct_seq = l->seq;
		if (l->event == ACC_LINE_STOP && !s->stopped) {
			s->stopped = true;
			acc_session_end(a, now, s, ADIT_CAUSE_RESTART, NULL, false);
		}
	}
}
