/* SPDX-License-Identifier: MIT
 *
 * The configuration in force, in memory that stays with the keeper: when aditd has to start again
 * and the file is not right just then, because somebody is at work on it, it goes on with what was
 * in force. A keeper that starts anew has none: then the file has to be right.
 */
#include "daemon.h"

#include "base/htab.h"
#include "keeper/client.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ASK_MS 5000
#define MAGIC  UINT64_C(0x61646974636f6e66)

struct in_force {
	uint64_t magic;
	_Atomic uint64_t len; /* 0 = nothing; the last word, once the texts are there */
	uint64_t sum;	      /* siphash() of the texts */
	uint8_t texts[];
};

static uint64_t sum_of(const struct in_force *f, size_t len)
{
	static const uint8_t key[16];

	return siphash(key, f->texts, len);
}

bool in_force_open(struct daemon *d)
{
	struct keeper_done done = { 0 };
	void *mem = MAP_FAILED;
	uint32_t id;

	if (keeper_conf(d->keeper, 0, &id) < 0 || keeper_wait(d->keeper, id, ASK_MS, &done) < 0 ||
	    done.error || done.fd_count != 1)
		return false;
	if (done.sizes[0] > sizeof(struct in_force) && done.sizes[0] <= SIZE_MAX)
		mem = mmap(NULL, (size_t)done.sizes[0], PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE, done.fds[0], 0);
	close(done.fds[0]);
	if (mem == MAP_FAILED)
		return false;
	d->in_force = mem;
	d->in_force_size = (size_t)done.sizes[0];
	return true;
}

struct conf *in_force_load(const struct daemon *d, const char *path)
{
	const struct in_force *f = d->in_force;
	char err[CONF_ERR_MAX];
	uint64_t len;

	if (!f || f->magic != MAGIC)
		return NULL;
	len = atomic_load(&f->len);
	if (!len || len > d->in_force_size - sizeof(*f) || sum_of(f, (size_t)len) != f->sum)
		return NULL;
	return conf_again(f->texts, (size_t)len, path, err, sizeof(err));
}

void in_force_keep(struct daemon *d)
{
	struct in_force *f = d->in_force;
	size_t before, len;

	if (!f || d->conf->again) {
		conf_texts_free(d->conf);
		return;
	}
	before = f->magic == MAGIC ? (size_t)atomic_load(&f->len) : 0;
	f->magic = MAGIC;
	atomic_store(&f->len, 0);
	len = conf_pack(d->conf, f->texts, d->in_force_size - sizeof(*f));
	conf_texts_free(d->conf);
	if (len < before && before <= d->in_force_size - sizeof(*f))
		memset(f->texts + len, 0, before - len); /* secrets */
	f->sum = sum_of(f, len);
	atomic_store(&f->len, len);
}
