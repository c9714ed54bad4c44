/* SPDX-License-Identifier: MIT
 *
 * Accounting lines to a file, see acct.h.
 *
 * A line is taken when it is made, written after its record is in the journal, and confirmed after
 * the write. After a kill in between, the journal still has the record and the line comes again.
 * Then the file knows: nobody else writes it, and no more than ACCT_BATCH lines are written before
 * they are confirmed, so a line that was written stands within the last ACCT_TAIL octets. At
 * recovery the lines there are hashed and compared.
 *
 * The disk is full: what was written of a batch is cut off to the last whole line, the rest waits.
 * The file may be moved away at any time (rotation): before each batch it is looked at by its name.
 */
#include "acct.h"
#include "access/access.h"
#include "base/fault.h"
#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ACCT_BATCH 256
#define ACCT_TAIL  ((size_t)2 * ACCT_BATCH * ACCESS_LINE_MAX)

struct line {
	struct list in; /* waiting or written */
	uint64_t key;
	uint32_t seq;
	uint32_t len; /* with the newline */
	char text[];
};

struct acct {
	char *path; /* NULL: no accounting */
	int fd;
	dev_t dev;
	ino_t ino;
	struct list waiting, written;
	size_t count;
	struct mono retry; /* MONO_NEVER: nothing went wrong */
	int told;	   /* errno that was told */
	uint64_t *tail;	   /* hashes of lines in the file, sorted; while recovering */
	size_t tail_count;
};

struct acct *acct_new(const char *path)
{
	struct acct *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->fd = -1;
	a->retry = MONO_NEVER;
	list_init(&a->waiting);
	list_init(&a->written);
	if (acct_path(a, path) < 0) {
		free(a);
		return NULL;
	}
	return a;
}

static void close_file(struct acct *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

void acct_free(struct acct *a)
{
	struct list *l;

	if (!a)
		return;
	while ((l = list_pop(&a->waiting)) || (l = list_pop(&a->written)))
		free(container_of(l, struct line, in));
	close_file(a);
	free(a->tail);
	free(a->path);
	free(a);
}

int acct_path(struct acct *a, const char *path)
{
	char *copy = NULL;

	if (path && *path) {
		copy = strdup(path);
		if (!copy)
			return -ENOMEM;
	}
	if (!copy || !a->path || strcmp(copy, a->path) != 0)
		close_file(a);
	free(a->path);
	a->path = copy;
	a->retry = MONO_NEVER;
	return 0;
}

static uint64_t hash_of(const char *text, size_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* A line without its end is one that a kill or a full disk cut short: it is written anew. */
static void cut_short_line(int fd, off_t size)
{
	char buf[ACCESS_LINE_MAX + 1];
	size_t n = size < (off_t)sizeof(buf) ? (size_t)size : sizeof(buf);
	ssize_t got = pread(fd, buf, n, size - (off_t)n);
	size_t keep;

	if (got <= 0 || buf[got - 1] == '\n')
		return;
	for (keep = (size_t)got; keep > 0 && buf[keep - 1] != '\n'; keep--)
		;
	if (keep == 0 && size > got)
		return; /* longer than any line of ours: leave it alone */
	if (ftruncate(fd, size - got + (off_t)keep) < 0)
		return; /* it stays: a reader finds one broken line */
}

/* Open the file unless it is the one that is open already. 0 or -errno. */
static int open_file(struct acct *a)
{
	struct stat st;

	if (a->fd >= 0 && stat(a->path, &st) == 0 && st.st_dev == a->dev && st.st_ino == a->ino)
		return 0;
	close_file(a);
	a->fd = open(a->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		     0640);
	if (a->fd < 0)
		return -errno;
	if (fstat(a->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close_file(a);
		return -EINVAL;
	}
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	if (st.st_size > 0)
		cut_short_line(a->fd, st.st_size);
	return 0;
}

/* Hash the lines at the end of the file. */
static void read_tail(struct acct *a, off_t size)
{
	size_t n = size < (off_t)ACCT_TAIL ? (size_t)size : ACCT_TAIL, count = 0, begin = 0;
	char *buf = malloc(n ? n : 1);
	ssize_t got = buf ? pread(a->fd, buf, n, size - (off_t)n) : -1;

	for (ssize_t i = 0; i < got; i++)
		count += buf[i] == '\n';
	a->tail = got > 0 ? calloc(count + 1, sizeof(*a->tail)) : NULL;
	for (size_t i = 0; a->tail && i < (size_t)got; i++) {
		if (buf[i] != '\n')
			continue;
		a->tail[a->tail_count++] = hash_of(buf + begin, i - begin);
		begin = i + 1;
	}
	if (a->tail)
		qsort(a->tail, a->tail_count, sizeof(*a->tail), by_value);
	free(buf);
}

void acct_recover(struct acct *a)
{
	struct stat st;

	if (a->path && open_file(a) == 0 && fstat(a->fd, &st) == 0)
		read_tail(a, st.st_size);
}

void acct_recovered(struct acct *a)
{
	free(a->tail);
	a->tail = NULL;
	a->tail_count = 0;
}

int acct_add(struct acct *a, uint64_t key, uint32_t seq, const char *line)
{
	size_t len = strlen(line);
	struct line *l = malloc(sizeof(*l) + len + 2);
	uint64_t hash = a->tail ? hash_of(line, len) : 0; /* after a restart alone */
	bool there;

	if (!l)
		return -ENOMEM;
	l->key = key;
	l->seq = seq;
	l->len = (uint32_t)len + 1;
	memcpy(l->text, line, len);
	memcpy(l->text + len, "\n", 2);
	there = !a->path ||
		(a->tail && bsearch(&hash, a->tail, a->tail_count, sizeof(*a->tail), by_value));
	list_push(there ? &a->written : &a->waiting, &l->in);
	a->count += !there;
	return 0;
}

static int failed(struct acct *a, struct mono now, int error, char *text)
{
	a->retry = mono_add(now, ACCT_RETRY_US);
	if (error == a->told)
		return 1;
	a->told = error;
	snprintf(text, ACCT_TEXT_MAX,
		 "accounting records cannot be written to %s: %s; they are kept and tried again",
		 a->path,
		 error == EINVAL   ? "it is not a plain file"
		 : error == EACCES ? "the user that aditd runs as may not write there; give it "
				     "the directory or the file"
				   : strerror(error));
	return 1;
}

/* The lines of a batch; how many. */
static int gather(const struct acct *a, struct iovec iov[ACCT_BATCH], size_t *ret_octets)
{
	int n = 0;

	*ret_octets = 0;
	list_for_each (it, &a->waiting) {
		struct line *l = container_of(it, struct line, in);

		if (n == ACCT_BATCH)
			break;
		iov[n++] = (struct iovec){ l->text, l->len };
		*ret_octets += l->len;
	}
	return n;
}

/* Write up to ACCT_BATCH lines at once, without more memory; only whole lines stay in the file. 0
 * or errno. */
static int write_batch(struct acct *a)
{
	struct iovec iov[ACCT_BATCH];
	size_t n;
	int lines = gather(a, iov, &n), error;
	struct stat st;
	ssize_t done;

	if (fstat(a->fd, &st) < 0)
		return errno;
#ifdef ADIT_FAULTS
	if (fault_due("in-append")) {
		iov[lines / 2].iov_len /= 2;
		done = writev(a->fd, iov, lines / 2 + 1);
		fault_die();
	}
#endif
	done = writev(a->fd, iov, lines);
	error = done < 0 ? errno : (size_t)done < n ? ENOSPC : 0;
	if (done < 0)
		done = 0;
	n = 0;
	while (!list_empty(&a->waiting)) {
		struct line *l = container_of(a->waiting.next, struct line, in);

		if (n + l->len > (size_t)done)
			break;
		n += l->len;
		list_drop(&l->in);
		list_push(&a->written, &l->in);
		a->count--;
	}
	if (n < (size_t)done && ftruncate(a->fd, st.st_size + (off_t)n) < 0)
		return errno;
	return error;
}

int acct_flush(struct acct *a, struct mono now, char *text)
{
	int error = 0;

	text[0] = '\0';
	if (list_empty(&a->waiting))
		return 0;
	if (!a->path) {
		struct list *l;

		while ((l = list_pop(&a->waiting)))
			list_push(&a->written, l);
		a->count = 0;
		return 0;
	}
	if (a->retry.us != INT64_MAX && !mono_due(a->retry, now))
		return 0;
	error = -open_file(a);
	if (!error)
		error = write_batch(a);
	if (error)
		return failed(a, now, error, text);
	a->retry = MONO_NEVER;
	if (!a->told)
		return 0;
	a->told = 0;
	snprintf(text, ACCT_TEXT_MAX, "accounting records are written to %s again", a->path);
	return 2;
}

struct mono acct_deadline(const struct acct *a)
{
	return list_empty(&a->waiting) ? MONO_NEVER : a->retry;
}

bool acct_written(struct acct *a, uint64_t *ret_key, uint32_t *ret_seq)
{
	struct list *it = list_pop(&a->written);
	struct line *l;

	if (!it)
		return false;
	l = container_of(it, struct line, in);
	*ret_key = l->key;
	*ret_seq = l->seq;
	free(l);
	return true;
}

size_t acct_waiting(const struct acct *a)
{
	return a->count;
}
