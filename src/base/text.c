/* SPDX-License-Identifier: MIT
 *
 * Text for people: peers' text made harmless, the causes of an end in words, the nearest name for
 * a misspelt one, durations.
 *
 * Escaping: what a stranger sends may hold terminal control sequences, line ends that forge log
 * lines, or Unicode controls that turn the reading direction. All of that becomes \xNN.
 */
#include "text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/*
 * The length of the well-formed UTF-8 sequence at `p` (RFC 3629 4), 0 when there is none, and its
 * code point.
 */
static size_t utf8_at(const uint8_t *p, size_t n, uint32_t *ret_point)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = p[0];
	size_t len;

	if (c < 0x80)
		len = 1;
	else if (c >= 0xc2 && c < 0xe0)
		len = 2;
	else if (c >= 0xe0 && c < 0xf0)
		len = 3;
	else if (c >= 0xf0 && c < 0xf5)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	if (len > 1)
		c &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret_point = c;
	return len;
}

static bool harmless(uint32_t c)
{
	if (c < 0x20 || c == '\\' || (c >= 0x7f && c < 0xa0))
		return false; /* controls, DEL, C1 */
	if (c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0x061c)
		return false; /* line and paragraph separator, BOM, Arabic letter mark */
	if ((c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f))
		return false; /* invisible ones and those that change the direction */
	if ((c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef))
		return false; /* not characters at all */
	return true;
}

char *text_decimal(char *at, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	memcpy(at, digits + n, sizeof(digits) - n);
	return at + sizeof(digits) - n;
}

const char *text_escape(char *buf, size_t cap, const void *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = bytes;
	size_t out = 0, cut = 0; /* `cut`: the last place where "..." still fits behind */

	if (cap == 0)
		return buf;
	for (size_t i = 0;;) {
		uint32_t point = 0;
		size_t len, need;
		bool plain;

		/* most is ASCII, and short enough */
		while (i < n && out + 4 < cap && p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\')
			buf[out++] = (char)p[i++];
		if (i == n)
			break;
		len = utf8_at(p + i, n - i, &point);
		plain = len && harmless(point);
		if (!plain)
			len = 1; /* octet by octet; the rest of a refused sequence is refused too */
		need = plain ? len : 4;
		if (out + 3 < cap)
			cut = out;
		if (out + need >= cap) {
			size_t dots = cap - 1 - cut < 3 ? cap - 1 - cut : 3;

			memcpy(buf + cut, "...", dots);
			buf[cut + dots] = '\0';
			return buf;
		}
		if (plain) {
			memcpy(buf + out, p + i, len);
		} else {
			buf[out] = '\\';
			buf[out + 1] = 'x';
			buf[out + 2] = hex[p[i] >> 4];
			buf[out + 3] = hex[p[i] & 15];
		}
		out += need;
		i += len;
	}
	buf[out] = '\0';
	return buf;
}

const char *cause_text(enum adit_cause cause)
{
	static const char *const texts[] = {
#define X(name, text) text,
		ADIT_CAUSES(X)
#undef X
	};

	_Static_assert(sizeof(texts) / sizeof(texts[0]) == ADIT_CAUSE_COUNT, "one text a cause");
	if ((unsigned int)cause >= ADIT_CAUSE_COUNT)
		return "of a cause this version does not know";
	return texts[cause];
}

/*
 * The names in lower case are made from the enum's by the compiler, so that adding a cause needs
 * one line in one place.
 */
#define CAUSE_NAME_MAX 24
#define AT(s, i)       ((i) < sizeof(s) ? (s)[(i) < sizeof(s) ? (i) : 0] : '\0')
#define LOWER(c)       ((c) == '_' ? '-' : (c) >= 'A' && (c) <= 'Z' ? (c) - 'A' + 'a' : (c))
#define L1(s, i)       LOWER(AT(s, i))
#define L4(s, i)       L1(s, i), L1(s, (i) + 1), L1(s, (i) + 2), L1(s, (i) + 3)
#define L8(s, i)       L4(s, i), L4(s, (i) + 4)

struct cause_name {
	char t[CAUSE_NAME_MAX];
};

#define X(name, text) \
	_Static_assert(sizeof(#name) <= CAUSE_NAME_MAX, "the name of a cause is too long");
ADIT_CAUSES(X)
#undef X

const char *cause_name(enum adit_cause cause)
{
	static const struct cause_name names[] = {
#define X(name, text) { { L8(#name, 0), L8(#name, 8), L8(#name, 16) } },
		ADIT_CAUSES(X)
#undef X
	};

	if ((unsigned int)cause >= ADIT_CAUSE_COUNT)
		return "unknown";
	return names[cause].t;
}

#define WORD_MAX 48

/*
 * Edit distance of two words (insert, delete, replace, swap two neighbours), or `limit` + 1 when
 * it is larger than `limit`.
 */
static unsigned int distance(const char *a, size_t na, const char *b, size_t nb, unsigned int limit)
{
	unsigned int rows[3][WORD_MAX + 1];
	unsigned int *before = rows[0], *prev = rows[1], *row = rows[2];

	if (na > WORD_MAX || nb > WORD_MAX || na > nb + limit || nb > na + limit)
		return limit + 1;
	for (size_t j = 0; j <= nb; j++)
		prev[j] = (unsigned int)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned int *spare = before;

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned int d = prev[j - 1] + (a[i - 1] != b[j - 1]);

			if (d > prev[j] + 1)
				d = prev[j] + 1;
			if (d > row[j - 1] + 1)
				d = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d > before[j - 2] + 1)
				d = before[j - 2] + 1;
			row[j] = d;
		}
		before = prev;
		prev = row;
		row = spare;
	}
	return prev[nb] <= limit ? prev[nb] : limit + 1;
}

const char *text_nearest(const char *word, const char *const *names, size_t count)
{
	size_t n = strlen(word);
	/* Three wrong letters of four are another word: short ones must be nearer. */
	unsigned int limit = n <= 2 ? 1 : n <= 5 ? 2 : 3;
	const char *best = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned int d = distance(word, n, names[i], strlen(names[i]), limit);

		if (d <= limit) {
			best = names[i];
			if (d == 0)
				break;
			limit = d - 1; /* from now on only a nearer one */
		}
	}
	return best;
}

const char *text_duration(char *buf, size_t cap, int64_t seconds)
{
	const char *sign = seconds < 0 ? "-" : "";
	uint64_t s = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
	unsigned int h = (unsigned int)(s / 3600 % 24), min = (unsigned int)(s / 60 % 60);
	unsigned long long days = s / 86400;

	if (days)
		snprintf(buf, cap, "%s%llu d %02u:%02u:%02u", sign, days, h, min,
			 (unsigned int)(s % 60));
	else
		snprintf(buf, cap, "%s%02u:%02u:%02u", sign, h, min, (unsigned int)(s % 60));
	return buf;
}

/* On a mismatch only the last star is tried again. */
bool text_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *again = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			again = text;
		} else if (*pattern == '?' ||
			   (*pattern && tolower((uint8_t)*pattern) == tolower((uint8_t)*text))) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++again;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
