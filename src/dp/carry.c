/* SPDX-License-Identifier: MIT
 *
 * Records for the program that takes this one's place, see carry.h.
 */
#include "carry.h"

#include <stdlib.h>

#define RECORD_MAX (4u + UINT16_MAX)

struct wcur *carry_begin(struct carry *c, uint16_t tag)
{
	if (!c->bad && c->cap - c->len < RECORD_MAX) {
		size_t cap = 2 * c->cap + RECORD_MAX;
		uint8_t *buf = realloc(c->buf, cap);

		if (buf) {
			c->buf = buf;
			c->cap = cap;
		} else {
			c->bad = true;
		}
	}
	c->w = c->bad ? wcur_of(NULL, 0) : wcur_of(c->buf + c->len, RECORD_MAX);
	wcur_tlv_begin(&c->w, tag);
	return &c->w;
}

void carry_end(struct carry *c)
{
	wcur_tlv_end(&c->w, 4);
	if (c->w.bad)
		c->bad = true;
	else
		c->len += c->w.len;
}

void carry_fd(struct carry *c, uint16_t tag, int fd)
{
	if (fd < 0)
		return;
	wcur_tlv_u32(&c->w, tag, (uint32_t)fd);
	if (c->fd_n == c->fd_cap) {
		size_t cap = c->fd_cap ? 2 * c->fd_cap : 64;
		int *fds = reallocarray(c->fds, cap, sizeof(*fds));

		if (!fds) {
			c->bad = true;
			return;
		}
		c->fds = fds;
		c->fd_cap = cap;
	}
	c->fds[c->fd_n++] = fd;
}

void carry_text(struct carry *c, uint16_t tag, const char *text)
{
	wcur_tlv_bytes(&c->w, tag, text, strlen(text));
}

void carry_free(struct carry *c)
{
	free(c->buf);
	free(c->fds);
	memset(c, 0, sizeof(*c));
}

bool carry_text_load(struct rcur v, char *ret, size_t cap)
{
	size_t n = rcur_left(&v);

	if (n >= cap || (n && memchr(v.p, 0, n)))
		return false;
	if (n)
		memcpy(ret, v.p, n);
	ret[n] = 0;
	return true;
}
