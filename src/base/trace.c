/* SPDX-License-Identifier: MIT
 *
 * The flight recorder, see trace.h.
 *
 * The memory: a header, `records` slots, then a ring of raw octets. Each slot is a seqlock: its
 * version is odd while the writer is in it. The payload is written and read word by word with
 * relaxed atomics, so that a reader in another thread or process is no data race; it copies, then
 * looks whether the version is still the same. 32-bit words throughout, so that nothing but plain
 * loads and stores is needed on 32-bit machines.
 *
 * Raw octets: the writer first moves `raw_next` in the header past the place it is about to use,
 * then fills it. A reader that still finds `raw_next` within one ring size of the record's place
 * after it has copied knows that its octets are whole.
 *
 * After a crash the slot that was being written is recognised by its odd version and emptied; the
 * sequence goes on behind the highest number found. A ring with another fingerprint (a daemon with
 * other kinds of records, or another size) is started anew.
 */
#include "trace.h"
#include "htab.h"
#include "text.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_MAGIC   0x61647472u /* "adtr" */
#define TRACE_RAW_MAX 2048u
#define RECORD_WORDS  (sizeof(struct trace_record) / 4)

_Static_assert(sizeof(struct trace_record) == 48, "a record is 48 octets on every machine");

struct slot {
	_Atomic uint32_t version; /* odd: being written */
	_Atomic uint32_t w[RECORD_WORDS];
};

struct head {
	uint32_t magic;
	uint32_t records, raw;
	uint32_t finger[2];
	_Atomic uint32_t raw_next; /* low bits of the position in the raw ring */
	_Atomic uint32_t newest;   /* low bits of the number of the newest record */
	_Atomic uint32_t told;	/* low bits of the number of the last record that was told, ... */
	_Atomic uint32_t tells; /* 1 = if any ever was */
	uint32_t reserved[7];
};

struct trace {
	struct head *head;
	struct slot *slots;
	_Atomic uint32_t *raw;
	uint32_t records, raw_octets;
	uint64_t last;			  /* number of the newest record */
	uint64_t said[TRACE_WARNING + 1]; /* ... of each level, of this process */
	uint32_t raw_next;		  /* a multiple of 4 */
};

static const struct kind {
	enum trace_level level;
	const char *name;
	const char *text;
} kinds[] = { [TRACE_NONE] = { TRACE_DEBUG, "NONE", "nothing" },
#define X(name, level, text) [TRACE_##name] = { level, #name, text },
	      TRACE_KINDS(X)
#undef X
};

_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == TRACE_KIND_COUNT, "one text a kind");

size_t trace_size(uint32_t records, uint32_t raw)
{
	return sizeof(struct head) + (size_t)records * sizeof(struct slot) + raw;
}

/* Two builds agree on the meaning of a record when their tables have the same fingerprint. */
static void fingerprint(uint32_t ret[2])
{
	static const uint8_t key[16] = "adit trace kinds";
	uint64_t sum = 0;

	for (size_t i = 0; i < TRACE_KIND_COUNT; i++) {
		sum = sum << 7 | sum >> 57;
		sum ^= siphash(key, kinds[i].name, strlen(kinds[i].name));
		sum = sum << 7 | sum >> 57;
		sum ^= siphash(key, kinds[i].text, strlen(kinds[i].text));
	}
	ret[0] = (uint32_t)(sum >> 32);
	ret[1] = (uint32_t)sum;
}

static void words_load(void *dst, _Atomic uint32_t *src, size_t words)
{
	for (size_t i = 0; i < words; i++) {
		uint32_t w = atomic_load_explicit(&src[i], memory_order_relaxed);

		memcpy((uint8_t *)dst + 4 * i, &w, 4);
	}
}

static void words_store(_Atomic uint32_t *dst, const void *src, size_t words)
{
	for (size_t i = 0; i < words; i++) {
		uint32_t w;

		memcpy(&w, (const uint8_t *)src + 4 * i, 4);
		atomic_store_explicit(&dst[i], w, memory_order_relaxed);
	}
}

/* Go on with a ring that is there already. */
static void resume(struct trace *t)
{
	for (uint32_t i = 0; i < t->records; i++) {
		struct slot *s = &t->slots[i];
		uint32_t version = atomic_load(&s->version);
		struct trace_record r;

		words_load(&r, s->w, RECORD_WORDS);
		if (version & 1) {
			r = (struct trace_record){ 0 };
			words_store(s->w, &r, RECORD_WORDS);
			atomic_store(&s->version, version + 1);
		}
		if (r.seq > t->last && (r.seq & (t->records - 1)) == i)
			t->last = r.seq;
	}
	t->raw_next = atomic_load(&t->head->raw_next) & ~3u;
	atomic_store(&t->head->newest, (uint32_t)t->last);
	/* trace_quiet() has not seen what came before */
	for (unsigned int i = 0; i <= TRACE_WARNING; i++)
		t->said[i] = t->last;
}

struct trace *trace_open(void *mem, uint32_t records, uint32_t raw)
{
	struct trace *t = calloc(1, sizeof(*t));
	struct head want = { .magic = TRACE_MAGIC, .records = records, .raw = raw };

	if (!t)
		return NULL;
	assert(records && (records & (records - 1)) == 0 && raw >= 64 && (raw & (raw - 1)) == 0);
	fingerprint(want.finger);
	t->head = mem;
	t->slots = (struct slot *)(t->head + 1);
	t->raw = (_Atomic uint32_t *)(t->slots + records);
	t->records = records;
	t->raw_octets = raw;
	if (memcmp(t->head, &want, offsetof(struct head, raw_next)) == 0) {
		resume(t);
	} else {
		memset(mem, 0, trace_size(records, raw));
		memcpy(t->head, &want, offsetof(struct head, raw_next));
	}
	return t;
}

void trace_close(struct trace *t)
{
	free(t);
}

/* Put raw octets beside the next record. */
static void raw_store(struct trace *t, const uint8_t *raw, uint32_t len)
{
	uint32_t mask = t->raw_octets / 4 - 1, words = (len + 3) / 4;

	atomic_store_explicit(&t->head->raw_next, t->raw_next + words * 4, memory_order_relaxed);
	/* A reader that sees an octet written below must also see the position above. */
	atomic_thread_fence(memory_order_release);
	for (uint32_t i = 0; i < words; i++) {
		uint32_t w = 0;

		/* of a number of octets the compiler knows, since this is done for every message */
		if (i < len / 4)
			memcpy(&w, raw + (size_t)4 * i, 4);
		else
			memcpy(&w, raw + (size_t)4 * i, len % 4);
		atomic_store_explicit(&t->raw[(t->raw_next / 4 + i) & mask], w,
				      memory_order_relaxed);
	}
	t->raw_next += words * 4;
}

void trace_put(struct trace *t, enum trace_kind kind, struct mono now, adit_handle handle,
	       uint32_t a, uint32_t b, uint32_t c, uint32_t d, const void *raw, size_t raw_len)
{
	struct trace_record r = {
		.at = now, .handle = handle, .kind = (uint16_t)kind, .v = { a, b, c, d }
	};
	struct slot *s;
	uint32_t version;

	if (!t)
		return;
	if (!raw)
		raw_len = 0;
	if (raw_len > TRACE_RAW_MAX)
		raw_len = TRACE_RAW_MAX;
	if (raw_len > t->raw_octets)
		raw_len = t->raw_octets;
	r.seq = ++t->last;
	t->said[trace_level_of(kind)] = r.seq;
	r.raw_len = (uint16_t)raw_len;
	r.raw_pos = t->raw_next;
	if (raw_len)
		raw_store(t, raw, (uint32_t)raw_len);
	s = &t->slots[(uint32_t)r.seq & (t->records - 1)];
	version = atomic_load_explicit(&s->version, memory_order_relaxed);
	atomic_store_explicit(&s->version, version + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	words_store(s->w, &r, RECORD_WORDS);
	atomic_store_explicit(&s->version, version + 2, memory_order_release);
	atomic_store_explicit(&t->head->newest, (uint32_t)r.seq, memory_order_release);
}

/* Copy the slot of record `seq`; false while it is being written. */
static bool slot_read(const struct trace *t, uint64_t seq, struct trace_record *ret)
{
	struct slot *s = &t->slots[(uint32_t)seq & (t->records - 1)];
	uint32_t version = atomic_load_explicit(&s->version, memory_order_acquire);

	if (version & 1)
		return false;
	words_load(ret, s->w, RECORD_WORDS);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&s->version, memory_order_relaxed) == version;
}

/* Copy up to `cap` raw octets of `r`; none when they have been overwritten. */
static uint16_t raw_load(const struct trace *t, const struct trace_record *r, uint8_t *raw,
			 size_t cap)
{
	uint32_t mask = t->raw_octets - 1, len = r->raw_len;

	if (len > cap)
		len = (uint32_t)cap;
	for (uint32_t i = 0; i < (len + 3) / 4; i++) {
		uint32_t left = len - 4 * i;
		uint32_t w = atomic_load_explicit(&t->raw[((r->raw_pos + 4 * i) & mask) / 4],
						  memory_order_relaxed);

		memcpy(raw + (size_t)4 * i, &w, left < 4 ? left : 4);
	}
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&t->head->raw_next, memory_order_relaxed) - r->raw_pos >
	    t->raw_octets)
		return 0;
	return (uint16_t)len;
}

bool trace_read(const struct trace *t, uint64_t *pos, struct trace_record *ret, uint8_t *raw,
		size_t raw_cap, uint64_t *ret_lost)
{
	uint64_t next = *pos + 1;
	struct trace_record r;
	uint32_t newest;

	/* A writer that laps us again and again ends this after a few rounds; ask again later. */
	for (int i = 0; i < 64; i++) {
		if (!slot_read(t, next, &r) || r.seq < next)
			return false;
		if (r.seq == next) {
			r.raw_len = raw ? raw_load(t, &r, raw, raw_cap) : 0;
			if (ret_lost)
				*ret_lost = next - *pos - 1;
			*pos = next;
			*ret = r;
			return true;
		}
		/*
		 * Lapped: go on with the oldest record there is. A writer in full flight is about
		 * to overwrite just that one, so from the second time on a quarter of the ring is
		 * given up to get ahead of it.
		 */
		newest = atomic_load_explicit(&t->head->newest, memory_order_acquire);
		next = r.seq + (uint32_t)(newest - (uint32_t)r.seq) - t->records + 1 +
		       (i ? t->records / 4 : 0);
	}
	return false;
}

bool trace_quiet(const struct trace *t, uint64_t *pos, enum trace_level level)
{
	for (unsigned int i = level; i <= TRACE_WARNING; i++) {
		if (t->said[i] > *pos)
			return false;
	}
	*pos = t->last;
	return true;
}

void trace_tell(struct trace *t, uint64_t pos)
{
	atomic_store_explicit(&t->head->told, (uint32_t)pos, memory_order_relaxed);
	atomic_store_explicit(&t->head->tells, 1, memory_order_relaxed);
}

uint64_t trace_told(const struct trace *t)
{
	uint32_t behind = (uint32_t)t->last - atomic_load(&t->head->told);

	if (!atomic_load(&t->head->tells))
		return t->last;
	if (behind > t->records)
		behind = t->records;
	return behind < t->last ? t->last - behind : 0;
}

enum trace_level trace_level_of(enum trace_kind kind)
{
	return (unsigned int)kind < TRACE_KIND_COUNT ? kinds[kind].level : TRACE_DEBUG;
}

const char *trace_name(enum trace_kind kind)
{
	return (unsigned int)kind < TRACE_KIND_COUNT ? kinds[kind].name : "UNKNOWN";
}

enum adit_cause trace_cause(const struct trace_record *r)
{
	const char *at = r->kind < TRACE_KIND_COUNT ? strstr(kinds[r->kind].text, ":cause}") : NULL;

	if (!at || at[-1] < 'a' || at[-1] > 'd' || r->v[at[-1] - 'a'] >= ADIT_CAUSE_COUNT)
		return ADIT_CAUSE_NONE;
	return (enum adit_cause)r->v[at[-1] - 'a'];
}

/* Message types of RFC 2661 3.2 and RFC 3931 3.1; 0 is an acknowledgement without a message. */
static const char *const messages[] = {
	[0] = "ZLB",  [1] = "SCCRQ", [2] = "SCCRP", [3] = "SCCCN", [4] = "StopCCN", [6] = "HELLO",
	[7] = "OCRQ", [8] = "OCRP",  [9] = "OCCN",  [10] = "ICRQ", [11] = "ICRP",   [12] = "ICCN",
	[14] = "CDN", [15] = "WEN",  [16] = "SLI",  [20] = "ACK",
};

struct line {
	char *buf;
	size_t len, cap;
	const char *cause; /* the words of one that stand in it */
};

static void put(struct line *l, const char *s, size_t n)
{
	if (n > l->cap - 1 - l->len)
		n = l->cap - 1 - l->len;
	memcpy(l->buf + l->len, s, n);
	l->len += n;
	l->buf[l->len] = '\0';
}

static void put_value(struct line *l, uint32_t v, const char *form, size_t form_len)
{
	char buf[32];
	const char *s = buf;

	if (form_len == 0) {
		*text_decimal(buf, v) = '\0';
	} else if (form_len == 1 && form[0] == 'x') {
		snprintf(buf, sizeof(buf), "0x%x", v);
	} else if (form_len == 3 && memcmp(form, "ip4", 3) == 0) {
		snprintf(buf, sizeof(buf), "%u.%u.%u.%u", v >> 24, v >> 16 & 255, v >> 8 & 255,
			 v & 255);
	} else if (form_len == 5 && memcmp(form, "cause", 5) == 0) {
		s = v < ADIT_CAUSE_COUNT ? cause_text((enum adit_cause)v) : "an unknown cause";
		l->cause = s;
	} else if (form_len == 1 && form[0] == 'm') {
		if (v < sizeof(messages) / sizeof(messages[0]) && messages[v])
			s = messages[v];
		else
			snprintf(buf, sizeof(buf), "message type %u", v);
	} else {
		s = "?";
	}
	put(l, s, strlen(s));
}

/* Without ": " before it when it is nothing, or repeats the cause. */
static void put_raw(struct line *l, const uint8_t *raw, size_t n)
{
	size_t from = l->len;

	if (raw && n)
		text_escape(l->buf + from, l->cap - from, raw, n);
	l->len += strlen(l->buf + from);
	if (from < 2 || memcmp(l->buf + from - 2, ": ", 2) != 0)
		return;
	if (l->len == from || (l->cause && strcmp(l->buf + from, l->cause) == 0)) {
		l->len = from - 2;
		l->buf[l->len] = '\0';
	}
}

/* Expand one "{...}" whose inside is `word`. */
static void put_word(struct line *l, const struct trace_record *r, const uint8_t *raw,
		     const char *word, size_t n)
{
	if (n == 3 && memcmp(word, "raw", 3) == 0) {
		put_raw(l, raw, r->raw_len);
	} else if (n == 1 && word[0] == 'm') {
		put_value(l, r->v[0], "m", 1);
	} else if (n == 3 && memcmp(word, "m:", 2) == 0 && word[2] >= 'a' && word[2] <= 'd') {
		put_value(l, r->v[word[2] - 'a'], "m", 1);
	} else if (n >= 1 && word[0] >= 'a' && word[0] <= 'd' && (n == 1 || word[1] == ':')) {
		put_value(l, r->v[word[0] - 'a'], word + 2, n > 2 ? n - 2 : 0);
	} else {
		put(l, "?", 1);
	}
}

const char *trace_expand(const char *text, const struct trace_record *r, const uint8_t *raw,
			 char *buf, size_t cap)
{
	struct line l = { buf, 0, cap, NULL };

	if (cap == 0)
		return buf;
	buf[0] = '\0';
	while (*text) {
		const char *close = *text == '{' ? strchr(text, '}') : NULL;

		if (close) {
			put_word(&l, r, raw, text + 1, (size_t)(close - text - 1));
			text = close + 1;
		} else {
			size_t plain = strcspn(text + 1, "{") + 1;

			put(&l, text, plain);
			text += plain;
		}
	}
	while (l.len && buf[l.len - 1] == ' ') /* words that were not said */
		buf[--l.len] = '\0';
	return buf;
}

const char *trace_text(const struct trace_record *r, const uint8_t *raw, char *buf, size_t cap)
{
	if (r->kind < TRACE_KIND_COUNT)
		return trace_expand(kinds[r->kind].text, r, raw, buf, cap);
	snprintf(buf, cap, "record of unknown kind %u", r->kind);
	return buf;
}
