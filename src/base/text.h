/* SPDX-License-Identifier: MIT
 *
 * Text for people: what a peer sent is escaped before it reaches a log, a terminal or JSON.
 */
#ifndef ADIT_TEXT_H
#define ADIT_TEXT_H

#include <adit/types.h>

/*
 * Copy `n` octets of a peer's text into `buf`, always NUL-terminated: printable ASCII and well
 * formed UTF-8 stay, all else (controls, DEL, C1, bad UTF-8, backslash, invisible characters and
 * those that turn the reading direction) becomes \xNN for each octet. What does not fit ends in
 * "...". Returns `buf`.
 */
const char *text_escape(char *buf, size_t cap, const void *bytes, size_t n);

/* Write a number in decimal, up to 20 digits and no NUL. Returns the place behind it. */
char *text_decimal(char *at, uint64_t v);

/* "because ..." of a cause, see ADIT_CAUSES. */
const char *cause_text(enum adit_cause cause);

/* Its stable name in lower case, "auth-failed"; for JSON and scripts. */
const char *cause_name(enum adit_cause cause);

/* The nearest of `names` to `word` by edit distance (at most 3, less for a word of up to five
 * letters), NULL when none is near. Two letters that changed places count as one step. */
const char *text_nearest(const char *word, const char *const *names, size_t count);

/* Does `text` fit? `*` stands for any text, `?` for any character; letters in either case, as host
 * names are. The time is bounded by the product of the lengths. */
bool text_glob(const char *pattern, const char *text);

/* "2 d 03:04:05" or "03:04:05", for a duration in seconds. */
const char *text_duration(char *buf, size_t cap, int64_t seconds);

#endif
