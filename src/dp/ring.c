/* SPDX-License-Identifier: MIT
 *
 * The queue of ring.h. A record is {u32 length, u32 0} and its octets, rounded up to 8. It never
 * wraps: what is left at the end of the buffer is skipped by a record of length SKIP.
 *
 * Who is read as fast as he writes does not walk through all of a large buffer: past FRONT he
 * begins again once all was read, so that the rest is touched only when it is needed. Until the
 * reader has come past that place (BACK), there is room as far as there and no further.
 */
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SKIP	   UINT32_MAX	    /* the rest of the buffer: on with its beginning */
#define BACK	   (UINT32_MAX - 1) /* the same, when the ring was empty: counts 8 octets */
#define FRONT	   (1u << 17)
#define LARGE_PAGE ((size_t)2 << 20)

/*
 * Mapped rather than allocated: pages that are never reached are never touched. A ring is walked
 * through from end to end whatever it holds; so a large one shall lie on large pages, which are
 * touched a few times instead of thousands. But for its beginning: who hardly ever has anything to
 * say, a client, shall not take a large page for it. Where there are none, nothing is lost.
 */
static void *map(uint32_t size)
{
	size_t more = size >= 2 * LARGE_PAGE ? LARGE_PAGE : 0, skip;
	uint8_t *p =
		mmap(NULL, size + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || !more)
		return p;
	skip = (LARGE_PAGE - ((uintptr_t)p & (LARGE_PAGE - 1))) & (LARGE_PAGE - 1);
	if (skip)
		munmap(p, skip);
	if (skip < more)
		munmap(p + skip + size, more - skip);
	madvise(p + skip + LARGE_PAGE, size - LARGE_PAGE, MADV_HUGEPAGE);
	return p + skip;
}

int ring_init(struct ring *r, uint32_t size)
{
	memset(r, 0, sizeof(*r));
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	r->buf = map(size);
	if (r->buf == MAP_FAILED) {
		close(r->fd);
		return -ENOMEM;
	}
	r->size = size;
	atomic_init(&r->asleep, true);
	return 0;
}

void ring_fini(struct ring *r)
{
	if (!r->buf)
		return;
	munmap(r->buf, r->size);
	close(r->fd);
	r->buf = NULL;
}

static uint32_t whole(uint32_t n)
{
	return (n + 8 + 7) & ~7u;
}

static uint32_t length_at(const struct ring *r, uint32_t at)
{
	uint32_t n;

	memcpy(&n, r->buf + at, sizeof(n));
	return n;
}

static void length_put(struct ring *r, uint32_t at, uint32_t n)
{
	memcpy(r->buf + at, &n, sizeof(n));
}

/* Producer: see how far the other one is. Returns how far it may write. */
static uint32_t limit(struct ring *r)
{
	r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
	if (r->back_at && r->tail_seen > r->back)
		r->back_at = 0;
	return r->back_at ? r->back_at : r->size;
}

/* Producer, when all it has written is published: to the beginning if all was read. */
static void go_back(struct ring *r)
{
	(void)limit(r);
	if (r->tail_seen != r->filled)
		return;
	length_put(r, r->filled_at, BACK);
	r->back = r->filled;
	r->back_at = r->filled_at;
	r->filled += 8;
	r->filled_at = 0;
}

uint8_t *ring_room(struct ring *r, uint32_t n, uint32_t fill)
{
	uint32_t need = whole(n), skip;
	uint64_t after;

	if (r->filled_at >= FRONT &&
	    r->filled == atomic_load_explicit(&r->head, memory_order_relaxed))
		go_back(r);
	skip = need > r->size - r->filled_at ? r->size - r->filled_at : 0;
	after = r->filled + skip + need;
	if (fill > r->size)
		fill = r->size;
	if (after - r->tail_seen > fill || (r->back_at && r->filled_at + need > r->back_at)) {
		uint32_t end = limit(r);

		if (after - r->tail_seen > fill || (end < r->size && r->filled_at + need > end))
			return NULL;
	}
	if (skip) {
		length_put(r, r->filled_at, SKIP);
		r->filled += skip;
		r->filled_at = 0;
	}
	length_put(r, r->filled_at, n);
	return r->buf + r->filled_at + 8;
}

void ring_push(struct ring *r)
{
	uint32_t n = whole(length_at(r, r->filled_at));

	r->filled += n;
	r->filled_at = (r->filled_at + n) & (r->size - 1);
}

void ring_wake(struct ring *r)
{
	static const uint64_t one = 1;
	ssize_t n;

	if (!atomic_load(&r->asleep) || !atomic_exchange(&r->asleep, false))
		return;
	do
		n = write(r->fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

void ring_publish(struct ring *r)
{
	if (atomic_load_explicit(&r->head, memory_order_relaxed) == r->filled)
		return;
	atomic_store(&r->head, r->filled);
	ring_wake(r);
}

uint8_t *ring_peek(struct ring *r, uint32_t *ret_n)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	for (;;) {
		uint32_t n;

		if (tail == r->head_seen) {
			r->head_seen = atomic_load(&r->head);
			if (tail == r->head_seen)
				return NULL;
		}
		n = length_at(r, r->tail_at);
		if (n != SKIP && n != BACK) {
			*ret_n = n;
			return r->buf + r->tail_at + 8;
		}
		tail += n == BACK ? 8 : r->size - r->tail_at;
		r->tail_at = 0;
		atomic_store_explicit(&r->tail, tail, memory_order_release);
	}
}

void ring_pop(struct ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t n = whole(length_at(r, r->tail_at));

	r->tail_at = (r->tail_at + n) & (r->size - 1);
	atomic_store_explicit(&r->tail, tail + n, memory_order_release);
}

bool ring_sleep(struct ring *r)
{
	uint64_t count;
	uint32_t n;

	if (!atomic_load(&r->asleep)) {
		if (read(r->fd, &count, sizeof(count)) < 0)
			return true;
		atomic_store(&r->asleep, true);
	}
	if (!ring_peek(r, &n))
		return true;
	ring_wake(r);
	return false;
}
