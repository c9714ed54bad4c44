/* SPDX-License-Identifier: MIT
 *
 * The journal in shared memory.
 *
 * Theory of operation. The memory has a header, which says what is where and is never changed after
 * store_format(), and for each class an area of slots: a draft, then one place for each record.
 *
 *     slot = mark | len | seq | id | kind | place | body checksum | head checksum | bytes
 *
 * A slot counts when its mark is set. What is written over a record goes into the draft first; once
 * that has its mark, the place is overwritten (mark cleared, filled, mark set), and the mark of the
 * draft is cleared. Who finds a draft with a mark writes it to its place once more. A new record
 * goes to a free place right away, a removal clears a mark. So at any instruction there is either
 * the former record or the new one. Memory is shared by mapping, so what a killed process stored is
 * there in the order it was stored; only the compiler must be kept from turning that order, which
 * the release stores of the mark do.
 *
 * Version 1, which an aditd of today gets from a keeper of yesterday, has a pair of slots for each
 * record and no draft: a write takes the one that is not the newest, a removal clears the older
 * one's mark first, and of two with a mark the newer one counts. Such a journal is worked on as it
 * is; when the keeper is replaced it makes one of today of it (hold_journal_renew()).
 *
 * Version 2 differs in its checksums alone: they are of SipHash-2-4, as those of version 1. Now the
 * records have SipHash-1-3. That half the work of the journal was to compute checksums was too much
 * for what they have to find: no crash leaves a record that does not fit them.
 *
 * A slot with a mark whose checksums do not fit was damaged by something else than a crash: that is
 * reported, never taken for the record. The head has a checksum of its own, so that mostly the name
 * of a record whose bytes are damaged is still known.
 *
 * Pages that were never written cost nothing, so reading must not touch them either: each class has
 * a high-water mark, with its complement beside it. If the two do not fit, all pairs are looked at.
 * Numbers are little endian, so a journal kept as a file loads on any machine.
 *
 * What is needed to write (places, free ones, sequence numbers, an index by id) is kept in private
 * memory, made by store_open() in full size (pages of it that are not used cost nothing), so that
 * writing never fails for want of memory and never believes what stands in the journal.
 *
 * The keeper, which has rights, opens the journal too (hold.c), and the checksums keep nobody from
 * writing what he likes. An aditd that was taken over may even go on writing while the keeper
 * reads. So whatever decides about memory is fetched once into private memory, and looked at there.
 */
#include "store.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/htab.h"

#define STORE_MAGIC    0x6c6e727574696461ull /* "aditurnl" */
#define STORE_MARK     0x6b72616du	     /* "mark" */
#define STORE_PAGE     4096u
#define STORE_MAX_LEN  (1u << 20)
#define STORE_MAX_RECS (1u << 26)
#define STORE_PAIRS    1u /* the first version, see above */
#define STORE_SLOW     2u /* the second */
#define FIRST_INDEX    1024u
#define INDEX_GROUP    16u
#define NONE	       UINT32_MAX

/* Not secret: it only makes the checksums those of this layout. */
static const uint8_t store_key[16] = "adit journal v1";

struct head {
	uint32_t mark;
	uint32_t len;
	uint64_t seq;
	uint64_t id;
	uint32_t kind;
	uint32_t place; /* where it belongs, draft or not; of a pair 0 */
	uint64_t body;	/* checksum of the bytes */
	uint64_t check; /* checksum of all fields above, with the mark set */
};

struct class_entry {
	uint32_t kind, max, count, slot; /* slot: octets of one, head included */
	uint64_t offset;
};

struct header {
	uint64_t magic;
	uint32_t version;
	uint32_t class_count;
	uint64_t size;
	struct class_entry classes[STORE_CLASSES];
	uint64_t check;
	uint64_t high[STORE_CLASSES]; /* pairs ever used, complement in the upper half */
};

_Static_assert(sizeof(struct head) == 48, "the layout is the same everywhere");
_Static_assert(sizeof(struct class_entry) == 24, "the layout is the same everywhere");
_Static_assert(sizeof(struct header) == 544, "the layout is the same everywhere");

enum pair_state { PAIR_FREE, PAIR_OK, PAIR_FORMER, PAIR_UNREADABLE };

struct pair {
	uint64_t id, seq;
	uint8_t state;	/* enum pair_state */
	uint8_t newest; /* slot of a pair; UNREADABLE: the one whose name is known */
	bool id_known;
};

struct class
{
	uint8_t kind;
	bool paired; /* version 1 */
	bool slow;   /* version 1 and 2 */
	uint32_t max, count, slot;
	uint8_t *area;
	uint32_t high;	    /* pairs below may be in use */
	uint32_t used;	    /* pairs in use */
	struct pair *pairs; /* a place is a pair of one */
	uint32_t *free;	    /* stack of pairs below `high` that are not in use */
	uint32_t free_n;
	uint32_t *index; /* pair + 1 by hash of id, linear probing; 0 = empty */
	uint32_t mask, most_mask;
};

struct store {
	struct header *header;
	size_t class_count;
	struct class classes[STORE_CLASSES];
};

/* ---- layout ---- */

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static uint32_t slot_size(uint32_t max)
{
	return (uint32_t)(sizeof(struct head) + round_up(max, 8));
}

static uint64_t area_size(uint32_t version, uint32_t max, uint32_t count)
{
	uint64_t slots = version == STORE_PAIRS ? 2 * (uint64_t)count : (uint64_t)count + 1;

	return round_up(slot_size(max) * slots, STORE_PAGE);
}

static uint64_t size_of(uint32_t version, const struct store_class *classes, size_t class_count)
{
	uint64_t size = STORE_PAGE;
	size_t i, j;

	if (class_count == 0 || class_count > STORE_CLASSES)
		return 0;
	for (i = 0; i < class_count; i++) {
		if (!classes[i].kind || !classes[i].max || classes[i].max > STORE_MAX_LEN ||
		    !classes[i].count || classes[i].count > STORE_MAX_RECS)
			return 0;
		for (j = 0; j < i; j++)
			if (classes[j].kind == classes[i].kind)
				return 0;
		size += area_size(version, classes[i].max, classes[i].count);
	}
	return size;
}

uint64_t store_size(const struct store_class *classes, size_t class_count)
{
	return size_of(STORE_VERSION, classes, class_count);
}

static uint64_t header_check(const struct header *h)
{
	return htole64(siphash(store_key, h, offsetof(struct header, check)));
}

static uint64_t high_word(uint32_t n)
{
	return htole64((uint64_t)~n << 32 | n);
}

int store_format(void *mem, uint64_t size, const struct store_class *classes, size_t class_count)
{
	uint64_t need = store_size(classes, class_count), offset = STORE_PAGE;
	struct header h;
	size_t i;

	if (!need || size < need)
		return -EINVAL;
	memset(&h, 0, sizeof(h));
	h.magic = htole64(STORE_MAGIC);
	h.version = htole32(STORE_VERSION);
	h.class_count = htole32((uint32_t)class_count);
	h.size = htole64(need);
	for (i = 0; i < class_count; i++) {
		h.classes[i].kind = htole32(classes[i].kind);
		h.classes[i].max = htole32(classes[i].max);
		h.classes[i].count = htole32(classes[i].count);
		h.classes[i].slot = htole32(slot_size(classes[i].max));
		h.classes[i].offset = htole64(offset);
		offset += area_size(STORE_VERSION, classes[i].max, classes[i].count);
	}
	h.check = header_check(&h);
	for (i = 0; i < STORE_CLASSES; i++)
		h.high[i] = high_word(0);
	memcpy(mem, &h, sizeof(h));
	return 0;
}

/* Fetch what another process may write at the same time. The compiler must not look again. */
static void fetch(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	__asm__ volatile("" : : "r"(to) : "memory");
}

static int refuse(char *text, const char *why)
{
	snprintf(text, STORE_TEXT_MAX, "%s", why);
	return -EINVAL;
}

/* Is this a journal this program can work with? Fills the classes of `s`. */
static int header_read(struct store *s, uint8_t *mem, uint64_t size, char *text)
{
	struct store_class classes[STORE_CLASSES];
	struct header copy, *h = &copy;
	uint64_t offset = STORE_PAGE;
	uint32_t version;
	size_t i;

	if (size < sizeof(*h))
		return refuse(text, "this is not a journal of adit");
	fetch(&copy, s->header, sizeof(copy));
	if (le64toh(h->magic) != STORE_MAGIC)
		return refuse(text, "this is not a journal of adit");
	version = le32toh(h->version);
	if (version < STORE_PAIRS || version > STORE_VERSION) {
		snprintf(text, STORE_TEXT_MAX,
			 "the journal has version %u, but this program reads versions 1 to %u",
			 version, STORE_VERSION);
		return -EINVAL;
	}
	s->class_count = le32toh(h->class_count);
	if (h->check != header_check(h) || !s->class_count || s->class_count > STORE_CLASSES)
		return refuse(text, "the header of the journal is damaged");
	for (i = 0; i < s->class_count; i++) {
		const struct class_entry *e = &h->classes[i];
		struct class *c = &s->classes[i];

		if (le32toh(e->kind) > UINT8_MAX || le64toh(e->offset) != offset ||
		    le32toh(e->max) > STORE_MAX_LEN ||
		    le32toh(e->slot) != slot_size(le32toh(e->max)))
			return refuse(text, "the header of the journal is damaged");
		classes[i].kind = c->kind = (uint8_t)le32toh(e->kind);
		classes[i].max = c->max = le32toh(e->max);
		classes[i].count = c->count = le32toh(e->count);
		c->slot = slot_size(c->max);
		c->area = mem + offset;
		c->paired = version == STORE_PAIRS;
		c->slow = version <= STORE_SLOW;
		offset += area_size(version, c->max, c->count);
	}
	/* Size 0 stands for classes that cannot be: their areas may lie anywhere. */
	if (!h->size || size_of(version, classes, s->class_count) != le64toh(h->size))
		return refuse(text, "the header of the journal is damaged");
	if (size < le64toh(h->size))
		return refuse(text, "the journal is shorter than its header says");
	return 0;
}

/* ---- slots ---- */

static struct head *slot_head(const struct class *c, uint32_t pair, unsigned int slot)
{
	uint64_t at = c->paired ? (uint64_t)pair * 2 + slot : (uint64_t)pair + 1;

	return (struct head *)(void *)(c->area + at * c->slot);
}

static struct head *draft_head(const struct class *c)
{
	return (struct head *)(void *)c->area;
}

static uint8_t *slot_bytes(struct head *h)
{
	return (uint8_t *)(h + 1);
}

static uint64_t sum(const struct class *c, const void *bytes, size_t len)
{
	return htole64(c->slow ? siphash(store_key, bytes, len) : siphash13(store_key, bytes, len));
}

static uint64_t head_check(const struct class *c, const struct head *h)
{
	struct head copy = *h;

	copy.mark = htole32(STORE_MARK);
	return sum(c, &copy, offsetof(struct head, check));
}

static void mark_store(struct head *h, uint32_t mark)
{
	__atomic_store_n(&h->mark, htole32(mark), __ATOMIC_RELEASE);
	/* Nothing that follows in the program may come before it in memory. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

enum slot_state {
	SLOT_EMPTY,
	SLOT_BAD,	/* not even its name is certain */
	SLOT_HEAD_ONLY, /* name and sequence are certain, the bytes are damaged */
	SLOT_VALID
};

/* `ret`: its head, as it was judged. */
static enum slot_state slot_look(const struct class *c, struct head *slot, struct head *ret)
{
	uint32_t mark = __atomic_load_n(&slot->mark, __ATOMIC_ACQUIRE);

	memset(ret, 0, sizeof(*ret));
	if (mark == 0)
		return SLOT_EMPTY;
	fetch(ret, slot, sizeof(*ret));
	if (le32toh(mark) != STORE_MARK || ret->check != head_check(c, ret) ||
	    le32toh(ret->kind) != c->kind || le32toh(ret->len) > c->max)
		return SLOT_BAD;
	if (ret->body != sum(c, slot_bytes(slot), le32toh(ret->len)))
		return SLOT_HEAD_ONLY;
	return SLOT_VALID;
}

/* ---- index by id ---- */

/* Ids are our own numbers, one after the other, no stranger chooses them. So neighbours lie beside
 * each other, in one line of the cache, and such groups anywhere. */
static uint32_t index_hash(uint64_t id)
{
	uint32_t at = (uint32_t)id & (INDEX_GROUP - 1);

	/* the mixing of splitmix64 */
	id /= INDEX_GROUP;
	id ^= id >> 30;
	id *= 0xbf58476d1ce4e5b9ull;
	id ^= id >> 27;
	id *= 0x94d049bb133111ebull;
	return (uint32_t)(id ^ id >> 31) * INDEX_GROUP | at;
}

/* Where the id stands, or the empty place where it would. */
static uint32_t index_at(const struct class *c, uint64_t id)
{
	uint32_t at = index_hash(id) & c->mask;

	while (c->index[at] && c->pairs[c->index[at] - 1].id != id)
		at = (at + 1) & c->mask;
	return at;
}

static uint32_t index_find(const struct class *c, uint64_t id)
{
	uint32_t v = c->index[index_at(c, id)];

	return v ? v - 1 : NONE;
}

static void index_remove(struct class *c, uint64_t id)
{
	uint32_t hole = index_at(c, id), at = hole;

	if (!c->index[hole])
		return;
	for (;;) {
		uint32_t home;

		at = (at + 1) & c->mask;
		if (!c->index[at])
			break;
		home = index_hash(c->pairs[c->index[at] - 1].id) & c->mask;
		/* Move it into the hole unless its home lies behind the hole. */
		if (((at - home) & c->mask) >= ((at - hole) & c->mask)) {
			c->index[hole] = c->index[at];
			hole = at;
		}
	}
	c->index[hole] = 0;
}

/* ---- opening ---- */

/* What a pair holds, from its two slots; of a place the second is as if it was empty. */
static void pair_look(const struct class *c, uint32_t n, struct pair *ret)
{
	struct head h[2] = { 0 };
	enum slot_state st[2] = { slot_look(c, slot_head(c, n, 0), &h[0]),
				  c->paired ? slot_look(c, slot_head(c, n, 1), &h[1])
					    : SLOT_EMPTY };
	uint64_t seq[2] = { le64toh(h[0].seq), le64toh(h[1].seq) };
	unsigned int best, other;

	memset(ret, 0, sizeof(*ret));
	if (st[0] == SLOT_EMPTY && st[1] == SLOT_EMPTY)
		return;
	/* The better state wins; of two alike the newer one. SLOT_VALID is the greatest. */
	if (st[0] != st[1])
		best = st[1] > st[0];
	else
		best = seq[1] > seq[0];
	other = !best;
	ret->newest = (uint8_t)best;
	ret->id_known = st[best] >= SLOT_HEAD_ONLY;
	ret->id = ret->id_known ? le64toh(h[best].id) : 0;
	ret->seq = ret->id_known ? seq[best] : 0;
	if (st[best] != SLOT_VALID) {
		ret->state = PAIR_UNREADABLE;
		return;
	}
	ret->state = PAIR_OK;
	/* Was the damaged one the newer? If its head is damaged too, nobody knows: say so. */
	if (st[other] == SLOT_BAD || (st[other] == SLOT_HEAD_ONLY && seq[other] > seq[best]))
		ret->state = PAIR_FORMER;
}

static void pair_wipe(const struct class *c, uint32_t n, unsigned int last)
{
	if (c->paired)
		mark_store(slot_head(c, n, !last), 0);
	FAULT("in-wipe");
	mark_store(slot_head(c, n, last), 0);
}

static int class_alloc(struct class *c)
{
	uint64_t cap = 16;

	while (cap < (uint64_t)c->count * 2)
		cap *= 2;
	c->most_mask = (uint32_t)(cap - 1);
	c->mask = cap < FIRST_INDEX ? c->most_mask : FIRST_INDEX - 1;
	c->pairs = calloc(c->count, sizeof(*c->pairs));
	c->free = calloc(c->count, sizeof(*c->free));
	c->index = calloc(cap, sizeof(*c->index));
	return c->pairs && c->free && c->index ? 0 : -ENOMEM;
}

/* Put the name of a pair into the index. False: it is there already. */
static bool index_put(struct class *c, uint32_t n)
{
	uint32_t at = index_at(c, c->pairs[n].id);

	if (c->index[at])
		return false;
	c->index[at] = n + 1;
	return true;
}

/* Names scatter over the whole index, so it is no larger than those there are make it; the room for
 * more is there from the beginning. True: it has grown, all names are to be put once more. */
static bool index_grow(struct class *c)
{
	uint32_t mask = c->mask;

	while (2 * (uint64_t)c->used > mask && mask < c->most_mask)
		mask = 2 * mask + 1;
	if (mask == c->mask)
		return false;
	c->mask = mask;
	memset(c->index, 0, ((size_t)mask + 1) * sizeof(*c->index));
	return true;
}

static void index_fill(struct class *c)
{
	for (uint32_t n = 0; n < c->high; n++)
		if (c->pairs[n].id_known)
			index_put(c, n);
}

/* The draft, whose head was read as `h`, to its place. */
static void draft_apply(const struct class *c, const struct head *h, struct head *place)
{
	size_t len = le32toh(h->len);

	mark_store(place, 0);
	if (len)
		memcpy(slot_bytes(place), slot_bytes(draft_head(c)), len);
	FAULT("in-place");
	memcpy((uint8_t *)place + sizeof(h->mark), (const uint8_t *)h + sizeof(h->mark),
	       sizeof(*h) - sizeof(h->mark));
	mark_store(place, STORE_MARK);
	mark_store(draft_head(c), 0);
}

/* What a killed writer has left in the draft is on its way to its place, or has arrived. Where
 * another name stands: no writer leaves that behind. */
static void draft_load(const struct class *c)
{
	struct head h, is;
	uint32_t n;

	if (c->paired || slot_look(c, draft_head(c), &h) != SLOT_VALID)
		return;
	n = le32toh(h.place);
	if (n < c->count && (slot_look(c, slot_head(c, n, 0), &is) != SLOT_VALID || is.id == h.id))
		draft_apply(c, &h, slot_head(c, n, 0));
}

/* A draft that has a mark and cannot be read: its place was being overwritten, then the record is
 * lost; or that had not begun, then its last change is. */
static void draft_lost(struct class *c)
{
	enum slot_state st = SLOT_EMPTY;
	uint32_t n = 0;
	struct head h;

	if (!c->paired)
		st = slot_look(c, draft_head(c), &h);
	if (st == SLOT_EMPTY || st == SLOT_VALID)
		return;
	mark_store(draft_head(c), 0);
	if (st == SLOT_HEAD_ONLY && le32toh(h.place) < c->high) {
		struct pair *p = &c->pairs[le32toh(h.place)];

		if (p->state == PAIR_OK && p->id == le64toh(h.id)) {
			if (p->seq < le64toh(h.seq))
				p->state = PAIR_FORMER;
			return;
		}
	}
	while (n < c->high && c->pairs[n].state != PAIR_FREE)
		n++;
	if (n == c->count)
		return; /* all places are as they should be */
	c->high += n == c->high;
	c->pairs[n].state = PAIR_UNREADABLE;
}

static void class_load(struct store *s, struct class *c, uint64_t *high)
{
	uint32_t n, i;
	uint64_t word;

	fetch(&word, high, sizeof(word));
	word = le64toh(word);
	n = (uint32_t)word;
	if ((uint32_t)(word >> 32) != ~n || n > c->count)
		n = c->count;
	draft_load(c);
	while (n > 0) {
		pair_look(c, n - 1, &c->pairs[n - 1]);
		if (c->pairs[n - 1].state != PAIR_FREE)
			break;
		n--;
	}
	c->high = n;
	for (i = 0; i < n; i++)
		pair_look(c, i, &c->pairs[i]);
	draft_lost(c);
	for (i = 0; i < c->high; i++)
		c->used += c->pairs[i].state != PAIR_FREE;
	index_grow(c);
	for (i = 0; i < c->high; i++) {
		struct pair *p = &c->pairs[i];

		if (p->id_known && !index_put(c, i)) {
			/* two of one name: no writer leaves that behind */
			p->state = PAIR_UNREADABLE;
			p->id_known = false;
		}
	}
	/* The lowest places on top, so that few pages are used. */
	for (i = c->high; i-- > 0;)
		if (c->pairs[i].state == PAIR_FREE)
			c->free[c->free_n++] = i;
	*high = high_word(c->high);
}

struct store *store_open(void *mem, uint64_t size, int *ret_err, char *text)
{
	struct store *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;
	size_t i;

	if (!s) {
		refuse(text, "out of memory");
		*ret_err = err;
		return NULL;
	}
	s->header = mem;
	err = header_read(s, mem, size, text);
	for (i = 0; !err && i < s->class_count; i++) {
		err = class_alloc(&s->classes[i]);
		if (err)
			refuse(text, "out of memory");
	}
	if (err) {
		store_close(s);
		*ret_err = err;
		return NULL;
	}
	for (i = 0; i < s->class_count; i++)
		class_load(s, &s->classes[i], &s->header->high[i]);
	return s;
}

void store_close(struct store *s)
{
	size_t i;

	if (!s)
		return;
	for (i = 0; i < STORE_CLASSES; i++) {
		free(s->classes[i].pairs);
		free(s->classes[i].free);
		free(s->classes[i].index);
	}
	free(s);
}

/* ---- writing ---- */

static struct class *class_of(struct store *s, uint8_t kind)
{
	size_t i;

	for (i = 0; i < s->class_count; i++)
		if (s->classes[i].kind == kind)
			return &s->classes[i];
	return NULL;
}

static void slot_write(const struct class *c, struct head *h, uint32_t place, const struct pair *p,
		       const void *bytes, size_t len)
{
	mark_store(h, 0);
	if (len)
		memcpy(slot_bytes(h), bytes, len);
	FAULT("in-write");
	h->len = htole32((uint32_t)len);
	h->seq = htole64(p->seq + 1);
	h->id = htole64(p->id);
	h->kind = htole32(c->kind);
	h->place = htole32(place);
	h->body = sum(c, bytes, len);
	h->check = head_check(c, h);
	mark_store(h, STORE_MARK);
}

/* A place for a new record, or NONE. */
static uint32_t pair_take(struct store *s, struct class *c)
{
	if (c->free_n)
		return c->free[--c->free_n];
	if (c->high == c->count)
		return NONE;
	/* Nothing was ever there, unless the high-water mark was damaged. */
	pair_wipe(c, c->high, 0);
	c->high++;
	s->header->high[c - s->classes] = high_word(c->high);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return c->high - 1;
}

int store_put(struct store *s, uint8_t kind, uint64_t id, const void *bytes, size_t len)
{
	struct class *c = class_of(s, kind);
	bool fresh = false;
	struct pair *p;
	uint32_t n;

	if (!c)
		return -EINVAL;
	if (len > c->max)
		return -EMSGSIZE;
	n = index_find(c, id);
	if (n == NONE) {
		n = pair_take(s, c);
		if (n == NONE)
			return -ENOSPC;
		c->pairs[n] = (struct pair){ .id = id, .id_known = true, .state = PAIR_OK };
		c->used++;
		if (index_grow(c))
			index_fill(c);
		else
			index_put(c, n);
		fresh = true;
	}
	p = &c->pairs[n];
	if (c->paired) {
		p->newest = !p->newest;
		slot_write(c, slot_head(c, n, p->newest), 0, p, bytes, len);
	} else if (fresh) {
		slot_write(c, slot_head(c, n, 0), n, p, bytes, len);
	} else {
		slot_write(c, draft_head(c), n, p, bytes, len);
		draft_apply(c, draft_head(c), slot_head(c, n, 0));
	}
	p->seq++;
	p->state = PAIR_OK;
	return 0;
}

static void pair_free(struct class *c, uint32_t n)
{
	struct pair *p = &c->pairs[n];

	pair_wipe(c, n, p->newest);
	memset(p, 0, sizeof(*p));
	c->free[c->free_n++] = n;
	c->used--;
}

int store_del(struct store *s, uint8_t kind, uint64_t id)
{
	struct class *c = class_of(s, kind);
	uint32_t n = c ? index_find(c, id) : NONE;

	if (n == NONE)
		return 1;
	index_remove(c, id);
	pair_free(c, n);
	return 0;
}

size_t store_forget_unreadable(struct store *s)
{
	size_t i, n = 0;
	uint32_t k;

	for (i = 0; i < s->class_count; i++) {
		struct class *c = &s->classes[i];

		for (k = 0; k < c->high; k++) {
			if (c->pairs[k].state != PAIR_UNREADABLE)
				continue;
			if (c->pairs[k].id_known)
				index_remove(c, c->pairs[k].id);
			pair_free(c, k);
			n++;
		}
	}
	return n;
}

/* ---- reading ---- */

static void record_of(const struct class *c, uint32_t n, struct store_record *ret)
{
	const struct pair *p = &c->pairs[n];
	struct head *slot = slot_head(c, n, p->newest), h;

	memset(ret, 0, sizeof(*ret));
	ret->kind = c->kind;
	ret->id = p->id;
	ret->id_known = p->id_known;
	if (p->state == PAIR_UNREADABLE) {
		ret->state = STORE_UNREADABLE;
		return;
	}
	ret->state = p->state == PAIR_FORMER ? STORE_FORMER : STORE_OK;
	fetch(&h, slot, sizeof(h));
	ret->bytes = slot_bytes(slot);
	ret->len = le32toh(h.len);
	if (ret->len > c->max) { /* damaged since it was opened */
		ret->state = STORE_UNREADABLE;
		ret->bytes = NULL;
		ret->len = 0;
	}
}

bool store_walk(const struct store *s, uint8_t kind, uint64_t *pos, struct store_record *ret)
{
	size_t i = (size_t)(*pos >> 32);
	uint32_t n = (uint32_t)*pos;

	for (; i < s->class_count; i++, n = 0) {
		const struct class *c = &s->classes[i];

		if (kind && c->kind != kind)
			continue;
		for (; n < c->high; n++) {
			if (c->pairs[n].state == PAIR_FREE)
				continue;
			record_of(c, n, ret);
			*pos = (uint64_t)i << 32 | (n + 1);
			return true;
		}
	}
	*pos = (uint64_t)i << 32;
	return false;
}

static const struct class *class_seen(const struct store *s, uint8_t kind)
{
	size_t i;

	for (i = 0; i < s->class_count; i++)
		if (s->classes[i].kind == kind)
			return &s->classes[i];
	return NULL;
}

bool store_get(const struct store *s, uint8_t kind, uint64_t id, struct store_record *ret)
{
	const struct class *c = class_seen(s, kind);
	uint32_t n = c ? index_find(c, id) : NONE;

	if (n == NONE)
		return false;
	record_of(c, n, ret);
	return true;
}

uint32_t store_count(const struct store *s, uint8_t kind)
{
	const struct class *c = class_seen(s, kind);

	return c ? c->used : 0;
}

uint32_t store_room(const struct store *s, uint8_t kind)
{
	const struct class *c = class_seen(s, kind);

	return c ? c->count - c->used : 0;
}

int store_look(void *mem, uint64_t size, struct store_class ret[STORE_CLASSES], size_t *ret_n,
	       char *text)
{
	struct store s = { .header = mem };
	int err = header_read(&s, mem, size, text);

	if (err)
		return err;
	for (size_t i = 0; i < s.class_count; i++)
		ret[i] = (struct store_class){ s.classes[i].kind, s.classes[i].max,
					       s.classes[i].count };
	*ret_n = s.class_count;
	return s.classes[0].slow;
}

int store_copy(const struct store *from, struct store *to)
{
	struct store_record r;
	uint64_t pos = 0;
	int err = 0;

	while (store_walk(from, 0, &pos, &r))
		if (r.state == STORE_UNREADABLE)
			return 1;
	pos = 0;
	while (!err && store_walk(from, 0, &pos, &r))
		err = store_put(to, r.kind, r.id, r.bytes, r.len);
	return err;
}
