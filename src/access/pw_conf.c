/* SPDX-License-Identifier: MIT
 *
 * The configuration of pseudowires as an object: references, freeing, and the MTU that follows from
 * it.
 */
#include "pw.h"

#include "base/crypto.h"

#include <stdlib.h>

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
	free(c);
}

uint16_t pw_mtu(const struct dp_row *r, uint16_t path_mtu)
{
	unsigned int head = (r->path.remote.family == AF_INET6 ? 40u : 20u) +
			    (r->encap == DP_ENCAP_UDP ? 8u + 4u : 0u) + 4u + r->cookie_out_len +
			    (r->l2spec == DP_L2SPEC_DEFAULT ? 4u : 0u) + 14u;

	return (uint16_t)(path_mtu > head ? path_mtu - head : 0);
}
