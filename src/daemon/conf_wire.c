/* SPDX-License-Identifier: MIT
 *
 * Pseudowire blocks: Ethernet over L2TPv3 with everything configured (RFC 3931 7.4), as rows for
 * the kernel's data plane.
 *
 * MTU. What fits into 1,500 octets: less IP 20 or 40; UDP 8 and the flags word 4, or with IP
 * nothing of the kind; the session id 4; the cookie we send; the sublayer 4 (RFC 3931 4.1); and the
 * Ethernet header 14 of what is carried.
 */
#include "conf_tree.h"

#include <adit/l2tp.h>

#include <stdio.h>
#include <string.h>

#define PATH_MTU 1500u

static bool cookie_of(struct conf_build *b, const struct conf_block *block, const char *key,
		      uint8_t cookie[8], uint8_t *ret_len)
{
	static const char digits[] = "0123456789abcdef";
	const char *text = conf_text_of(block, key);
	size_t n = text ? strlen(text) : 0;

	*ret_len = (uint8_t)(n / 2);
	for (size_t i = 0; i < n && (n == 8 || n == 16); i++) {
		const char *at = memchr(digits, text[i] | 0x20, 16);

		if (!at || (text[i] < '0')) {
			n = 1;
			break;
		}
		cookie[i / 2] = (uint8_t)(cookie[i / 2] << 4 | (at - digits));
	}
	if (n == 0 || n == 8 || n == 16)
		return true;
	FAIL(b, block, key, "%s of pseudowire \"%s\" is not 8 or 16 hexadecimal digits", key,
	     block->name);
	return false;
}

/* `auto` is the port of L2TP over UDP, and none where there are no ports. */
static bool port(struct conf_build *b, const struct conf_block *block, const char *key,
		 uint16_t *ret, bool udp)
{
	uint32_t n = conf_number_of(block, key);

	if (n && !udp) {
		FAIL(b, block, key, "there are no ports with encapsulation = ip");
		return false;
	}
	*ret = n ? (uint16_t)n : udp ? L2TP_PORT : 0;
	return true;
}

static bool addresses(struct conf_build *b, const struct conf_block *block, struct dp_row *r)
{
	bool udp = r->encap == DP_ENCAP_UDP;

	r->path.local = conf_addr_of(block, "local");
	r->path.remote = conf_addr_of(block, "remote");
	if (r->path.local.family != r->path.remote.family) {
		FAIL(b, block, "remote",
		     "local and remote of pseudowire \"%s\" are of different families",
		     block->name);
		return false;
	}
	return port(b, block, "local-port", &r->path.local.port, udp) &&
	       port(b, block, "remote-port", &r->path.remote.port, udp);
}

/* What the kernel can have once only. */
static bool alone(struct conf_build *b, const struct conf_block *block, const struct conf_wire *w)
{
	const struct conf *c = b->c;

	for (size_t i = 0; i + 1 < c->wire_count; i++) {
		const struct conf_wire *o = c->wires + i;
		const char *key = o->local_tunnel == w->local_tunnel		 ? "tunnel-id"
				  : o->row.local_session == w->row.local_session ? "session-id"
				  : strcmp(o->row.ifname, w->row.ifname) == 0	 ? "interface"
										 : NULL;

		if (!key)
			continue;
		FAIL(b, block, key, "pseudowire \"%s\" has this %s already; use another one",
		     o->name, key);
		return false;
	}
	if (strcmp(w->row.ifname, c->ifname) == 0 || conf_dial_by_ifname(c, w->row.ifname)) {
		FAIL(b, block, "interface", "the interface %s is another block's; use another name",
		     w->row.ifname);
		return false;
	}
	return true;
}

bool conf_wire_build(struct conf_build *b, const struct conf_block *block)
{
	struct conf_wire *w = b->c->wires + b->c->wire_count++;
	const char *bridge = conf_text_of(block, "bridge");
	struct dp_row *r = &w->row;
	uint32_t mtu = conf_number_of(block, "mtu"), head;

	strcpy(w->name, block->name);
	r->state = DP_ACTIVE;
	r->ends = DP_L2TP_ETH;
	r->version = 3;
	r->encap = strcmp(conf_text_of(block, "encapsulation"), "ip") == 0 ? DP_ENCAP_IP
									   : DP_ENCAP_UDP;
	r->l2spec = strcmp(conf_text_of(block, "sublayer"), "none") == 0 ? DP_L2SPEC_NONE
									 : DP_L2SPEC_DEFAULT;
	r->local_tunnel = w->local_tunnel = conf_number_of(block, "tunnel-id");
	r->remote_tunnel = w->remote_tunnel = conf_number_of(block, "peer-tunnel-id");
	r->local_session = conf_number_of(block, "session-id");
	r->remote_session = conf_number_of(block, "peer-session-id");
	if (!addresses(b, block, r) ||
	    !cookie_of(b, block, "cookie", r->cookie_in, &r->cookie_in_len) ||
	    !cookie_of(b, block, "peer-cookie", r->cookie_out, &r->cookie_out_len))
		return false;
	if (conf_bool_of(block, "sequencing"))
		r->flags = DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ;
	if (r->flags && r->l2spec == DP_L2SPEC_NONE) {
		FAIL(b, block, "sequencing",
		     "sequence numbers stand in the sublayer; set sublayer = default");
		return false;
	}
	snprintf(r->ifname, sizeof(r->ifname), "%s", conf_text_of(block, "interface"));
	snprintf(r->master, sizeof(r->master), "%s", bridge ? bridge : "");
	head = (r->path.remote.family == AF_INET6 ? 40u : 20u) +
	       (r->encap == DP_ENCAP_UDP ? 8u + 4u : 0u) + 4u + r->cookie_out_len +
	       (r->l2spec == DP_L2SPEC_DEFAULT ? 4u : 0u) + 14u;
	r->mtu = (uint16_t)(mtu ? mtu : PATH_MTU - head);
	return alone(b, block, w);
}
