/* SPDX-License-Identifier: MIT
 *
 * The queue of ring.h. A record is {u32 length, u32 0} and its octets, rounded up to 8. It never
 * wraps: what is left at the end of the buffer is skipped by a record of length SKIP.
 */
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SKIP	   UINT32_MAX
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

static uint32_t length_at(const struct ring *r, uint64_t at)
{
	uint32_t n;

	memcpy(&n, r->buf + (at & (r->size - 1)), sizeof(n));
	return n;
}

static void length_put(struct ring *r, uint64_t at, uint32_t n)
{
	memcpy(r->buf + (at & (r->size - 1)), &n, sizeof(n));
}

uint8_t *ring_room(struct ring *r, uint32_t n, uint32_t fill)
{
	uint32_t need = whole(n), at = (uint32_t)(r->filled & (r->size - 1));
	uint32_t skip = need > r->size - at ? r->size - at : 0;
	uint64_t after = r->filled + skip + need;

	if (fill > r->size)
		fill = r->size;
	if (after - r->tail_seen > fill) {
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		if (after - r->tail_seen > fill)
			return NULL;
	}
	if (skip) {
		length_put(r, r->filled, SKIP);
		r->filled += skip;
	}
	length_put(r, r->filled, n);
	return r->buf + (r->filled & (r->size - 1)) + 8;
}

void ring_push(struct ring *r)
{
	r->filled += whole(length_at(r, r->filled));
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
		n = length_at(r, tail);
		if (n != SKIP) {
			*ret_n = n;
			return r->buf + (tail & (r->size - 1)) + 8;
		}
		tail += r->size - (tail & (r->size - 1));
		atomic_store_explicit(&r->tail, tail, memory_order_release);
	}
}

void ring_pop(struct ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	atomic_store_explicit(&r->tail, tail + whole(length_at(r, tail)), memory_order_release);
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
