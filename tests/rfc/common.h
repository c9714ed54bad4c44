/* SPDX-License-Identifier: MIT
 *
 * What the engine sides of the L2TP transcripts share (harness.c for L2TPv2, harness3.c for
 * L2TPv3): the lines that happened and wait to be looked at, the usual path, words and how they are
 * read.
 */
#ifndef ADIT_TEST_RFC_COMMON_H
#define ADIT_TEST_RFC_COMMON_H

#include <adit/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HARNESS_LINES	4096
#define HARNESS_OBJECTS 8192
#define HARNESS_RECORDS 64
#define START_US	(1000 * US_S) /* times in a scenario count from here */

struct harness_line {
	struct mono at;
	char *text;
};

struct lines {
	struct mono now;
	bool no_ports;	   /* say 1701 where there are none: the scenario is written for UDP */
	struct path usual; /* of the engine: local is its address, remote is mine */
	struct harness_line line[HARNESS_LINES]; /* a ring of what happened and was not looked at */
	unsigned first, count;
	char *keep[32]; /* strings that the parameters point to */
	unsigned kept;
	const char *failed; /* what the harness itself found wrong */
	FILE *capture;	    /* all packets as libpcap has them, or NULL */
};

void lines_init(struct lines *h);
void lines_free(struct lines *h);

/* Something happened now. */
__attribute__((format(printf, 2, 3))) void note(struct lines *h, const char *fmt, ...);

/* The engine breaks its contract. */
void fail(struct lines *h, const char *why);

/* The oldest line nobody has looked at; NULL when there is none. The caller frees it. */
char *lines_take(struct lines *h, struct mono *ret_at);

/* Begin a capture file; and a packet that goes over a path, out of the engine or into it. */
void capture_begin(FILE *f);
void capture(struct lines *h, const struct path *p, const uint8_t *bytes, size_t len, bool out);

/* " to=..., by=..." where the path is not the usual one. */
void path_say(const struct lines *h, const struct path *p, char *buf, size_t cap);
bool addr_read(const char *text, struct addr *ret);

/* The number, from 1, under which an object goes; a new one is put into the list. */
unsigned label(adit_handle *list, unsigned *count, adit_handle handle);

/* A line that is being put together. */
struct text {
	char buf[6000];
	size_t n;
};

__attribute__((format(printf, 2, 3))) void add(struct text *t, const char *fmt, ...);
void add_string(struct text *t, const char *name, const char *value); /* nothing when empty */
void add_number(struct text *t, const char *name, uint32_t v);	      /* nothing when 0 */
void add_octets(struct text *t, const uint8_t *p, size_t n);
const char *cause_word(enum adit_cause cause);

/* "name=value": the value, else NULL. */
const char *value(const char *word, const char *name);

/* Quotes taken off, in place; and a copy that lives as long as the scenario. */
const char *unquote(char *v);
const char *keep(struct lines *h, const char *text);

#endif
