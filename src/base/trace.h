/* SPDX-License-Identifier: MIT
 *
 * The flight recorder: one ring of fixed binary records, and a ring of raw messages beside it, in
 * memory that survives a crash (shared, given by the caller). Engines write what they did and why;
 * the reader makes text of it: the log, a test's transcript, `adit monitor`, later `adit explain`.
 *
 * One writer per ring. Readers copy a record and check its sequence number before and after, so
 * they need no lock and never disturb the writer.
 */
#ifndef ADIT_TRACE_H
#define ADIT_TRACE_H

#include <adit/types.h>

enum trace_level {
	TRACE_DEBUG,
	TRACE_INFO,
	TRACE_NOTICE, /* an operator wants to know */
	TRACE_WARNING /* an operator should act */
};

/*
 * Kinds: X(NAME, level, "text with {a} {b} {c} {d}"). In a text, {a} is the number, {a:x} in hex
 * with 0x, {a:cause} a cause's text, {a:ip4} an IPv4 address (0xc0000201 is 192.0.2.1), {m} the
 * name of the L2TP message type in `a` ({m:b} of that in `b`), {raw} the raw bytes beside the
 * record as escaped text. The tables live with the engines.
 */
#include "trace_kinds.h"

enum trace_kind {
	TRACE_NONE,
#define X(name, level, text) TRACE_##name,
	TRACE_KINDS(X)
#undef X
		TRACE_KIND_COUNT
};

struct trace_record {
	uint64_t seq; /* 1, 2, ...; 0 while the record is being written */
	struct mono at;
	adit_handle handle;
	uint16_t kind;
	uint16_t raw_len; /* octets beside it */
	uint32_t raw_pos; /* low bits of the raw ring's write position */
	uint32_t v[4];
};

struct trace;

/* Octets needed for `records` (a power of two) and `raw` (a power of two) octets of raw bytes. */
size_t trace_size(uint32_t records, uint32_t raw);

/*
 * Start a ring in `mem`, or go on with the one already there when its header fits. `mem` stays the
 * caller's, is aligned to 8 octets and must outlive the trace. Both numbers are powers of two,
 * `raw` at least 64. A ring that another build with other kinds of records wrote is started anew.
 * NULL when out of memory.
 */
struct trace *trace_open(void *mem, uint32_t records, uint32_t raw);
void trace_close(struct trace *t);

/* Write a record. `t` may be NULL: then nothing happens. `raw` may be NULL; longer than the limit
 * of 2048 octets it is cut. Never fails, never blocks. */
void trace_put(struct trace *t, enum trace_kind kind, struct mono now, adit_handle handle,
	       uint32_t a, uint32_t b, uint32_t c, uint32_t d, const void *raw, size_t raw_len);

static inline void trace(struct trace *t, enum trace_kind kind, struct mono now, adit_handle handle,
			 uint32_t a, uint32_t b)
{
	trace_put(t, kind, now, handle, a, b, 0, 0, NULL, 0);
}

/* Same with a text or bytes beside it. */
static inline void trace_bytes(struct trace *t, enum trace_kind kind, struct mono now,
			       adit_handle handle, uint32_t a, uint32_t b, const void *raw,
			       size_t raw_len)
{
	trace_put(t, kind, now, handle, a, b, 0, 0, raw, raw_len);
}

/*
 * The next record after *pos (start with 0) with its raw bytes; *pos moves on. False when there is
 * none yet; then nothing is written. *ret_lost is the number of records between the two that were
 * overwritten before they could be read. ret->raw_len is what was copied: at most `raw_cap`, and 0
 * when the raw bytes have been overwritten meanwhile. `raw` and `ret_lost` may be NULL.
 */
bool trace_read(const struct trace *t, uint64_t *pos, struct trace_record *ret, uint8_t *raw,
		size_t raw_cap, uint64_t *ret_lost);

/* For the writer's own process: is nothing of this level or above behind *pos? Then *pos moves on
 * to the newest record, without a look at those between. */
bool trace_quiet(const struct trace *t, uint64_t *pos, enum trace_level level);

/* Note in the ring that all records up to this position were told, and for a successor where to go
 * on: behind the newest record, if none ever was told. */
void trace_tell(struct trace *t, uint64_t pos);
uint64_t trace_told(const struct trace *t);

enum trace_level trace_level_of(enum trace_kind kind);
const char *trace_name(enum trace_kind kind);
/* The cause that its text names, ADIT_CAUSE_NONE when it names none. */
enum adit_cause trace_cause(const struct trace_record *r);

/* One line of text, NUL-terminated, without time and without newline. Words that only repeat the
 * cause are left out. */
const char *trace_text(const struct trace_record *r, const uint8_t *raw, char *buf, size_t cap);

/* Same with a text of the caller's in place of the kind's. */
const char *trace_expand(const char *text, const struct trace_record *r, const uint8_t *raw,
			 char *buf, size_t cap);

#endif
