/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the journal under work and damage. It is worked on as the input says and must then
 * hold what a plain model holds, also after it was opened again; then octets of it are overwritten
 * as the input says, and whatever can still be opened must be usable: every record has an outcome,
 * and writing makes it whole.
 *
 * drives: src/keeper/store.c
 *
 * Input: steps of four octets: what, id, length or offset, value.
 */
#include <stdlib.h>
#include <string.h>

#include "keeper/store.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define KINDS 2
#define IDS   16
#define MOST  40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct store_class classes[KINDS] = { { 1, MOST, 6 }, { 2, 16, 12 } };

struct world {
	uint8_t *mem;
	uint64_t size;
	struct store *s;
	bool damaged;
	struct {
		bool there;
		uint8_t len, value;
	} model[KINDS][IDS];
	unsigned int count[KINDS];
};

static bool open_store(struct world *w)
{
	char text[STORE_TEXT_MAX] = "";
	int err = 0;

	w->s = store_open(w->mem, w->size, &err, text);
	CHECK(w->s || (err < 0 && text[0]));
	CHECK(w->s || w->damaged);
	return w->s != NULL;
}

static void check(const struct world *w)
{
	for (unsigned int k = 0; k < KINDS; k++) {
		CHECK(store_count(w->s, classes[k].kind) == w->count[k]);
		CHECK(store_room(w->s, classes[k].kind) == classes[k].count - w->count[k]);
		for (unsigned int id = 0; id < IDS; id++) {
			struct store_record r;
			bool there = store_get(w->s, classes[k].kind, id, &r);

			CHECK(there == w->model[k][id].there);
			if (!there)
				continue;
			CHECK(r.state == STORE_OK && r.len == w->model[k][id].len);
			for (size_t i = 0; i < r.len; i++)
				CHECK(r.bytes[i] == w->model[k][id].value);
		}
	}
}

static void put(struct world *w, unsigned int k, unsigned int id, uint8_t len, uint8_t value)
{
	uint8_t bytes[256];
	int rc;

	memset(bytes, value, sizeof(bytes));
	rc = store_put(w->s, classes[k].kind, id, bytes, len);
	if (w->damaged)
		return;
	if (len > classes[k].max) {
		CHECK(rc < 0);
	} else if (!w->model[k][id].there && w->count[k] == classes[k].count) {
		CHECK(rc < 0);
	} else {
		CHECK(rc == 0);
		w->count[k] += !w->model[k][id].there;
		w->model[k][id].there = true;
		w->model[k][id].len = len;
		w->model[k][id].value = value;
	}
}

static void del(struct world *w, unsigned int k, unsigned int id)
{
	int rc = store_del(w->s, classes[k].kind, id);

	if (w->damaged)
		return;
	CHECK(rc == !w->model[k][id].there);
	w->count[k] -= w->model[k][id].there;
	w->model[k][id].there = false;
}

/* Whatever is there can be told, and made whole. */
static void check_damaged(struct world *w)
{
	struct store_record r;
	uint64_t pos = 0;
	size_t unreadable = 0, all = 0;

	while (store_walk(w->s, 0, &pos, &r)) {
		uint8_t sum = 0;

		all++;
		unreadable += r.state == STORE_UNREADABLE;
		CHECK((r.state == STORE_UNREADABLE) == (r.bytes == NULL));
		for (size_t i = 0; i < r.len; i++)
			sum ^= r.bytes[i];
		CHECK(r.len <= MOST || sum);
	}
	CHECK(all == store_count(w->s, 1) + store_count(w->s, 2));
	CHECK(store_forget_unreadable(w->s) == unreadable);
	for (pos = 0; store_walk(w->s, 0, &pos, &r);)
		CHECK(store_put(w->s, r.kind, r.id, "whole", 5) == 0);
	store_close(w->s);
	CHECK(open_store(w));
	for (pos = 0; store_walk(w->s, 0, &pos, &r);) {
		CHECK(r.state == STORE_OK && r.len == 5 && memcmp(r.bytes, "whole", 5) == 0);
		CHECK(store_del(w->s, r.kind, r.id) == 0);
	}
	CHECK(store_count(w->s, 1) + store_count(w->s, 2) == 0);
}

static bool step(struct world *w, const uint8_t *op)
{
	unsigned int k = op[0] >> 7, id = op[1] % IDS;

	switch (op[0] & 7) {
	case 0:
	case 1:
	case 2:
		put(w, k, id, op[2] % (MOST + 4), op[3]);
		return true;
	case 3:
		del(w, k, id);
		return true;
	case 4:
	case 5:
		store_close(w->s);
		return open_store(w);
	default:
		/* Near the beginning of a page: heads are more worth than bytes. */
		w->mem[((uint64_t)(op[1] % 4) * 4096 + op[2] * 8u + (op[0] >> 4 & 7)) % w->size] ^=
			op[3];
		w->damaged = w->damaged || op[3];
		return true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .size = store_size(classes, KINDS) };
	bool open;

	w.mem = calloc(1, w.size);
	if (!w.mem)
		return 0;
	CHECK(store_format(w.mem, w.size, classes, KINDS) == 0);
	open = open_store(&w);
	for (; open && size >= 4; data += 4, size -= 4)
		open = step(&w, data);
	if (open) {
		/* Damage is looked for when a journal is opened. */
		if (!w.damaged)
			check(&w);
		store_close(w.s);
		w.s = NULL;
		open = open_store(&w);
	}
	if (open && w.damaged)
		check_damaged(&w);
	else if (open)
		check(&w);
	store_close(w.s);
	free(w.mem);
	return 0;
}
