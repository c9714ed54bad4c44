/* SPDX-License-Identifier: MIT
 *
 * The configuration of pseudowires as an object: references, freeing, and the MTU that follows from
 * it.
 */
#include "pw.h"

#include "base/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pw_conf *pw_conf_new(void)
{
	struct pw_conf *c = calloc(1, sizeof(*c));

	if (c)
		c->refs = 1;
	return c;
}

struct pw_conf *pw_conf_ref(struct pw_conf *c)
{
	c->refs++;
	return c;
}

void pw_conf_unref(struct pw_conf *c)
{
	if (!c || --c->refs)
		return;
	for (size_t i = 0; i < c->tunnel_count; i++)
		l2tp3_profile_unref(c->tunnels[i].l2tp);
	if (c->wires)
		bytes_wipe(c->wires, c->wire_count * sizeof(*c->wires)); /* cookies */
	free(c->tunnels);
	free(c->wires);
	free(c->reserved);
	free(c);
}

/* The place of `id` among the reserved ids, or where it would be. */
static size_t place(const struct pw_conf *c, uint32_t id)
{
	size_t low = 0, high = c->reserved_count;

	while (low < high) {
		size_t at = low + (high - low) / 2;

		if (c->reserved[at] < id)
			low = at + 1;
		else
			high = at;
	}
	return low;
}

bool pw_conf_reserves(const struct pw_conf *c, uint32_t id)
{
	size_t at = place(c, id);

	return at < c->reserved_count && c->reserved[at] == id;
}

void pw_conf_reserve(struct pw_conf *c, uint32_t id)
{
	size_t at = place(c, id);

	if (at < c->reserved_count && c->reserved[at] == id)
		return;
	memmove(c->reserved + at + 1, c->reserved + at,
		(c->reserved_count - at) * sizeof(*c->reserved));
	c->reserved[at] = id;
	c->reserved_count++;
}

uint16_t pw_mtu(const struct dp_row *r, uint16_t path_mtu)
{
	unsigned int head = (r->path.remote.family == AF_INET6 ? 40u : 20u) +
			    (r->encap == DP_ENCAP_UDP ? 8u + 4u : 0u) + 4u + r->cookie_out_len +
			    (r->l2spec == DP_L2SPEC_DEFAULT ? 4u : 0u) + 14u + (r->tag ? 4u : 0u);
	unsigned int mtu = path_mtu > head ? path_mtu - head : 0;

	return (uint16_t)(mtu < PW_MTU_MAX ? mtu : PW_MTU_MAX);
}

bool pw_mtu_large(const struct dp_row *r, uint16_t path_mtu, char *buf, size_t cap)
{
	uint16_t fits = pw_mtu(r, path_mtu);
	struct addr remote = r->path.remote;
	char text[ADDR_TEXT_MAX];

	remote.port = 0; /* the path is not that of a port */
	if (!path_mtu || r->mtu <= fits)
		return false;
	snprintf(buf, cap,
		 "mtu = %u is more than the path to %s takes in one piece: larger frames are sent "
		 "in "
		 "fragments; set mtu = %u, or leave it out",
		 r->mtu, addr_text(&remote, text), fits);
	return true;
}
