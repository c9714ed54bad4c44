/* SPDX-License-Identifier: MIT
 *
 * See failmalloc.h. The counters are atomic, since the code under test may have threads.
 */
#include "failmalloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t count, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t count, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static _Atomic long asked;    /* allocations since the start */
static _Atomic long fail_at;  /* value of `asked` that fails, 0 = none */
static _Atomic bool fail_all; /* also every later one */
static _Atomic long failed;

static bool fails(void)
{
	long n = atomic_fetch_add(&asked, 1) + 1;
	long at = atomic_load(&fail_at);

	if (at == 0 || n < at || (n > at && !atomic_load(&fail_all)))
		return false;
	atomic_fetch_add(&failed, 1);
	errno = ENOMEM;
	return true;
}

static void arm(long n, bool all)
{
	atomic_store(&failed, 0);
	atomic_store(&fail_all, all);
	atomic_store(&fail_at, atomic_load(&asked) + n);
}

void failmalloc_arm(long n)
{
	arm(n, false);
}

void failmalloc_arm_from(long n)
{
	arm(n, true);
}

bool failmalloc_disarm(void)
{
	atomic_store(&fail_at, 0);
	return atomic_load(&failed) != 0;
}

long failmalloc_count(void)
{
	return atomic_load(&asked);
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t count, size_t n)
{
	return fails() ? NULL : __real_reallocarray(p, count, n);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return fails() ? NULL : __real_strndup(s, n);
}
