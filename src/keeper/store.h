/* SPDX-License-Identifier: MIT
 *
 * The journal: records that outlive the process, in shared memory that the keeper holds and each
 * aditd maps. A record is found under (kind, id). A write goes to a draft first and counts with the
 * last word of that, so a writer that is killed at any instruction leaves either the former record
 * or the new one. Checksums tell what was damaged by something else.
 *
 * One writer at a time. The keeper lays the journal out once (store_format); every aditd opens it
 * (store_open), walks what is there, and writes. The layout does not depend on the machine.
 */
#ifndef ADIT_KEEPER_STORE_H
#define ADIT_KEEPER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_CLASSES  16
#define STORE_VERSION  3
#define STORE_TEXT_MAX 160

/* Records of one kind: how long the longest may be, in octets, and how many there may be. */
struct store_class {
	uint8_t kind; /* not 0 */
	uint32_t max;
	uint32_t count;
};

struct store;

/* Octets a journal of these classes needs; most of them are never touched. 0 = bad classes. */
uint64_t store_size(const struct store_class *classes, size_t class_count);

/* Lay an empty journal out in `mem` (zeroed, aligned to 8 octets). 0; -EINVAL bad classes or `size`
 * is too small. */
int store_format(void *mem, uint64_t size, const struct store_class *classes, size_t class_count);

/*
 * Open the journal in `mem`, which must outlive the store: checks every record once, finishes what
 * a killed writer left half done, and never allocates again afterwards. NULL with *ret_err =
 * -ENOMEM, or -EINVAL when this is no journal, one of another version, or damaged in its header:
 * then `text` (at least STORE_TEXT_MAX) says why in words.
 */
struct store *store_open(void *mem, uint64_t size, int *ret_err, char *text);
void store_close(struct store *s);

/* Write the record (kind, id), new or over the former one. 0; -ENOSPC no room for another record of
 * this kind (store_room() tells before); -EMSGSIZE longer than the class allows; -EINVAL a kind the
 * journal has no class for. Nothing changes on failure. */
int store_put(struct store *s, uint8_t kind, uint64_t id, const void *bytes, size_t len);

/* Remove it. 0; 1 not there. */
int store_del(struct store *s, uint8_t kind, uint64_t id);

enum store_state {
	STORE_OK = 1,
	STORE_FORMER = 2,    /* the newest write is damaged; this is the one before it. Only where a
				writer died in it, or in a journal of version 1 */
	STORE_UNREADABLE = 3 /* no valid slot */
};

struct store_record {
	uint8_t kind;
	enum store_state state;
	bool id_known; /* UNREADABLE: is `id` certain */
	uint64_t id;
	const uint8_t *bytes; /* in the journal; valid until this record is written or removed */
	size_t len;	      /* UNREADABLE: bytes NULL, len 0 */
};

/* The next record of `kind` (0 = of all kinds): start with *pos = 0; false at the end. Records may
 * be written and removed meanwhile; new ones are seen or not. */
bool store_walk(const struct store *s, uint8_t kind, uint64_t *pos, struct store_record *ret);

/* Look one up. False when there is none. */
bool store_get(const struct store *s, uint8_t kind, uint64_t id, struct store_record *ret);

/* Give the places of all unreadable records free: call after the walk that reported them. Returns
 * how many there were. */
size_t store_forget_unreadable(struct store *s);

/* Records of a kind there are, and how many more may be put. */
uint32_t store_count(const struct store *s, uint8_t kind);
uint32_t store_room(const struct store *s, uint8_t kind);

/* The classes of the journal in `mem`; its records are not looked at. 0; 1 it is of a former
 * version, which takes more time or memory; or -EINVAL with `text` as store_open(). */
int store_look(void *mem, uint64_t size, struct store_class ret[STORE_CLASSES], size_t *ret_n,
	       char *text);

/* Write all records of `from` into `to`, for a journal that takes the place of another. 0; 1 a
 * record is unreadable, nothing was written; else as store_put(). */
int store_copy(const struct store *from, struct store *to);

#endif
