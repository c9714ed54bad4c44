/* SPDX-License-Identifier: MIT
 *
 * Control connections of L2TPv3: `tunnel` blocks, and the ones that pseudowires without a tunnel
 * block imply. A pseudowire block has options of the same names; the connection it implies is built
 * as if they stood in a tunnel block. Pseudowires whose options are the same share one.
 */
#include "conf_tree.h"

#include "base/crypto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool conf_over_ip(const struct conf_block *block)
{
	return strcmp(conf_text_of(block, "encapsulation"), "ip") == 0;
}

static const char no_ports[] = "there are no ports with encapsulation = ip";

bool conf_no_port(struct conf_build *b, const struct conf_block *block, const char *key)
{
	if (!conf_over_ip(block) || !conf_differs(block, key))
		return true;
	FAIL(b, block, key, "%s", no_ports);
	return false;
}

/* `auto` is the port of L2TP over UDP, and none where there are no ports. */
bool conf_wire_port(struct conf_build *b, const struct conf_block *block, const char *key,
		    uint16_t *ret, bool udp)
{
	uint32_t n = conf_number_of(block, key);

	if (n && !udp) {
		FAIL(b, block, key, "%s", no_ports);
		return false;
	}
	*ret = n ? (uint16_t)n : udp ? L2TP_PORT : 0;
	return true;
}

enum pw_connect conf_connect_of(const struct conf_block *block)
{
	const char *text = conf_text_of(block, "connect");

	return strcmp(text, "manual") == 0 ? PW_MANUAL
	       : strcmp(text, "wait") == 0 ? PW_WAIT
					   : PW_AUTO;
}

/* Name or address of the peer, and ours. */
static bool remote_of(struct conf_build *b, const struct conf_block *block,
		      struct pw_conf_tunnel *t)
{
	const char *remote = conf_text_of(block, "remote");
	struct addr a;

	t->local = conf_addr_of(block, "local");
	if (addr_parse(remote, &a) == 0) {
		if (a.port) {
			FAIL(b, block, "remote",
			     "write the address alone and the port as remote-port = %u", a.port);
			return false;
		}
		if (t->local.family && t->local.family != a.family) {
			FAIL(b, block, "remote",
			     "local and remote of %s \"%s\" are of different families",
			     conf_kind_name(block->kind), block->name);
			return false;
		}
		t->local.family = a.family;
	} else if (strpbrk(remote, " /[]:")) {
		FAIL(b, block, "remote", "\"%s\" is neither a host name nor an address", remote);
		return false;
	}
	snprintf(t->remote, sizeof(t->remote), "%s", remote);
	return true;
}

/* The sockets it leaves by and is answered on, of the families it may be of. */
static bool sockets_of(struct conf_build *b, const struct conf_block *block,
		       struct pw_conf_tunnel *t)
{
	static const uint16_t families[] = { AF_INET, AF_INET6 };
	struct addr want = conf_addr_of(block, "local");
	bool udp = t->encap == DP_ENCAP_UDP;
	uint16_t port;

	if (!conf_wire_port(b, block, "local-port", &port, udp) ||
	    !conf_wire_port(b, block, "remote-port", &t->port, udp))
		return false;
	for (size_t i = 0; i < 2; i++) {
		struct addr at = want;

		if (t->local.family && t->local.family != families[i])
			continue;
		at.family = families[i];
		at.port = port;
		if (!conf_wire_socket(b, &at, t->encap, i == 0 ? &t->via4 : &t->via6))
			return false;
	}
	return true;
}

/* ---- secrets ---- */

/* The secrets: the one we use first. */
static bool secrets_of(struct conf_build *b, const struct conf_block *block, char *ret,
		       char *ret_old, size_t cap)
{
	bool set = false, old = false;

	if (!conf_secret_of(b, block, "secret", "secret-file", ret, cap, &set) ||
	    !conf_secret_of(b, block, "old-secret", "old-secret-file", ret_old, cap, &old))
		return false;
	if (old && !set) {
		FAIL(b, block, conf_get(block, "old-secret") ? "old-secret" : "old-secret-file",
		     "there is an old secret but no new one; set secret");
		return false;
	}
	for (size_t i = 0; !set && i < 2; i++) {
		const char *key = i == 0 ? "challenge" : "hide";

		if (!conf_bool_of(block, key))
			continue;
		FAIL(b, block, key, "%s needs a secret; set secret or secret-file", key);
		return false;
	}
	return true;
}

static bool digest_of(struct conf_build *b, const struct conf_block *block, bool secret,
		      struct l2tp3_params *ret)
{
	const char *text = conf_text_of(block, "digest");

	ret->digest = !text			  ? secret ? L2TP3_AUTH_SHA1 : L2TP3_AUTH_AUTO
		      : strcmp(text, "md5") == 0  ? L2TP3_AUTH_MD5
		      : strcmp(text, "sha1") == 0 ? L2TP3_AUTH_SHA1
						  : L2TP3_AUTH_NONE;
	if (ret->digest == L2TP3_AUTH_NONE && secret && !ret->challenge) {
		FAIL(b, block, "digest",
		     "with digest = none the secret proves nothing; set challenge = yes, or "
		     "remove digest");
		return false;
	}
	if (ret->digest == L2TP3_AUTH_NONE && ret->hide) {
		FAIL(b, block, "hide", "values can only be hidden with a digest; remove one");
		return false;
	}
	return true;
}

/* A number that differs from host to host: an opaque one will do (RFC 3931 5.4.3). */
static uint32_t router_id_of(const struct conf_build *b, const struct conf_block *block)
{
	struct addr a = conf_addr_of(block, "router-id");
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (a.family)
		return (uint32_t)a.ip[0] << 24 | (uint32_t)a.ip[1] << 16 | (uint32_t)a.ip[2] << 8 |
		       a.ip[3];
	hash = conf_hash_text(hash, b->c->host_name);
	return (uint32_t)(hash ^ hash >> 32);
}

static bool profile_of(struct conf_build *b, const struct conf_block *block,
		       struct pw_conf_tunnel *t)
{
	struct l2tp3_params params = { .host_name = b->c->host_name };
	char secret[L2TP_SECRET_MAX + 2], old[L2TP_SECRET_MAX + 2];
	int err = 0;

	if (!secrets_of(b, block, secret, old, sizeof(secret)))
		return false;
	params.secret[0] = (struct l2tp3_secret_param){ secret, strlen(secret) };
	params.secret[1] = (struct l2tp3_secret_param){ old, strlen(old) };
	params.challenge = conf_bool_of(block, "challenge");
	params.hide = conf_bool_of(block, "hide");
	params.router_id = router_id_of(b, block);
	params.receive_window = (uint16_t)conf_number_of(block, "receive-window");
	params.hello_us = conf_duration_of(block, "hello-interval", -1);
	params.retry_max = conf_number_of(block, "retries");
	params.retry_max_sccrq = params.retry_max;
	params.empty_us = -1;
	params.mirror_sublayer = true;
	params.mirror_sequencing = true;
	params.pw_types[0] = L2TP3_PW_ETHERNET;
	params.pw_types[1] = L2TP3_PW_VLAN;
	params.peer_name = conf_text_of(block, "host-name");
	if (digest_of(b, block, secret[0], &params))
		t->l2tp = l2tp3_profile_new(&params, &err);
	t->secrets = conf_hash_text(conf_hash_text(UINT64_C(0xcbf29ce484222325), secret), old);
	bytes_wipe(secret, sizeof(secret));
	bytes_wipe(old, sizeof(old));
	if (!t->l2tp && err == -ENOMEM)
		return conf_no_memory(b);
	if (!t->l2tp && err)
		FAIL(b, block, "secret", "the options of %s \"%s\" do not fit together",
		     t->implied ? "pseudowire" : "tunnel", block->name);
	return t->l2tp != NULL;
}

/* ---- PPP over L2TPv3 ---- */

static uint32_t quirks3(uint32_t v2)
{
	return (v2 & L2TP_QUIRK_LAX_MANDATORY ? L2TP3_QUIRK_LAX_MANDATORY : 0) |
	       (v2 & L2TP_QUIRK_NO_HELLO ? L2TP3_QUIRK_NO_HELLO : 0);
}

bool conf_version_of(struct conf_build *b, const struct conf_block *block,
		     const struct l2tp_params *v2, enum conf_version *ret,
		     struct l2tp3_profile **ret_l2tp3)
{
	struct l2tp3_params p = { .host_name = v2->host_name,
				  .secret = { { v2->secret, v2->secret ? v2->secret_len : 0 } },
				  .digest = v2->secret ? L2TP3_AUTH_SHA1 : L2TP3_AUTH_AUTO,
				  .hide = v2->hide,
				  .mirror_sublayer = true,
				  .mirror_sequencing = true,
				  .allow_port_change = v2->allow_port_change,
				  .allow_address_change = v2->allow_address_change,
				  .receive_window = v2->receive_window,
				  .pw_types = { L2TP3_PW_PPP },
				  .hello_us = v2->hello_us,
				  .retry_max = v2->retry_max,
				  .retry_max_sccrq = v2->retry_max,
				  .empty_us = v2->empty_us,
				  .peer_name = v2->peer_name,
				  .quirks = quirks3(v2->quirks) };
	const char *text = conf_text_of(block, "version");
	uint64_t hash = conf_hash_text(UINT64_C(0xcbf29ce484222325), b->c->host_name);
	int err = 0;

	*ret = strcmp(text, "3") == 0 ? CONF_V3 : strcmp(text, "any") == 0 ? CONF_V_ANY : CONF_V2;
	if (*ret == CONF_V2)
		return true;
	p.router_id = (uint32_t)(hash ^ hash >> 32);
	*ret_l2tp3 = l2tp3_profile_new(&p, &err);
	if (*ret_l2tp3)
		return true;
	if (err == -ENOMEM)
		return conf_no_memory(b);
	FAIL(b, block, "version", "the tunnel options of %s \"%s\" do not fit version %s",
	     conf_kind_name(block->kind), block->name, text);
	return false;
}

bool conf_version_ok(struct conf_build *b, const struct conf_block *block,
		     enum conf_version version)
{
	if (conf_over_ip(block) && version != CONF_V3) {
		FAIL(b, block, "encapsulation",
		     "L2TPv3 alone is carried directly by IP; set version = 3, or remove "
		     "encapsulation");
		return false;
	}
	if (version == CONF_V_ANY && conf_bool_of(block, "wait-for-call")) {
		FAIL(b, block, "wait-for-call",
		     "who waits for calls has to name the version; set version = 2 or 3");
		return false;
	}
	return true;
}

static bool build(struct conf_build *b, const struct conf_block *block, struct pw_conf_tunnel *t)
{
	const char *host = conf_text_of(block, "host-name");

	t->encap = conf_over_ip(block) ? DP_ENCAP_IP : DP_ENCAP_UDP;
	t->plane = (uint8_t)conf_plane_of(block, b->c->plane);
	t->prefer6 = strcmp(conf_text_of(block, "prefer"), "ipv6") == 0;
	t->connect = conf_connect_of(block);
	snprintf(t->host_name, sizeof(t->host_name), "%s", host ? host : "");
	t->redial_first_us = conf_duration_of(block, "redial-first", 0);
	t->redial_cap_us = conf_duration_of(block, "redial-cap", 0);
	if (t->redial_cap_us < t->redial_first_us) {
		FAIL(b, block, "redial-cap", "redial-cap is shorter than redial-first");
		return false;
	}
	t->digest = conf_hash_text(UINT64_C(0xcbf29ce484222325), b->host_name);
	t->digest = conf_hash_block(t->digest, block, "connect");
	return remote_of(b, block, t) && sockets_of(b, block, t) && profile_of(b, block, t);
}

bool conf_tunnel_build(struct conf_build *b, const struct conf_block *block)
{
	struct pw_conf_tunnel *t = b->c->pw->tunnels + b->c->pw->tunnel_count++;

	strcpy(t->name, block->name);
	return build(b, block, t);
}

/* ---- implied by a pseudowire ---- */

/* The same connection: then it is one. `ret`: its place. */
static bool unique(struct conf_build *b, const struct conf_block *block,
		   const struct pw_conf_tunnel *t, size_t *ret)
{
	uint64_t key[] = { t->digest, t->secrets, (uint64_t)t->connect };
	struct conf_taken by = { .name = block->name, .at = *ret };

	if (!conf_take(b, CONF_ONCE_TUNNEL, key, sizeof(key), by, &by))
		return false;
	*ret = by.at;
	return true;
}

static bool imply(struct conf_build *b, const struct conf_block *block, size_t *ret)
{
	size_t n, at = b->c->pw->tunnel_count;
	const struct conf_key *keys = conf_keys(CONF_TUNNEL, &n);
	struct pw_conf_tunnel *t = b->c->pw->tunnels + at;
	struct conf_block as = *block;
	bool ok;

	as.kind = CONF_TUNNEL;
	as.count = n;
	as.values = calloc(n, sizeof(*as.values));
	if (!as.values)
		return conf_no_memory(b);
	for (size_t i = 0; i < n; i++) {
		const struct conf_value *v = conf_has(block, keys[i].key);

		if (v)
			as.values[i] = *v;
		as.values[i].key = keys + i;
	}
	b->c->pw->tunnel_count++;
	strcpy(t->name, block->name);
	t->implied = true;
	ok = build(b, &as, t);
	free(as.values);
	ok = ok && unique(b, block, t, &at);
	if (ok && t != b->c->pw->tunnels + at) {
		l2tp3_profile_unref(t->l2tp);
		memset(t, 0, sizeof(*t));
		b->c->pw->tunnel_count--;
	}
	*ret = at;
	return ok;
}

bool conf_wire_tunnel(struct conf_build *b, const struct conf_block *block, size_t *ret)
{
	static const char *const own[] = { "remote", "secret",	   "secret-file", "encapsulation",
					   "local",  "local-port", "remote-port" };
	const char *name = conf_text_of(block, "tunnel");

	if (!name && !conf_get(block, "remote")) {
		FAIL(b, block, "remote",
		     "pseudowire \"%s\" has no remote; set remote: name or address of the peer",
		     block->name);
		return false;
	}
	if (!name)
		return imply(b, block, ret);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (!conf_differs(block, own[i]))
			continue;
		FAIL(b, block, own[i],
		     "%s belongs into tunnel \"%s\", which pseudowire \"%s\" names", own[i], name,
		     block->name);
		return false;
	}
	for (size_t i = 0; i < b->c->pw->tunnel_count; i++) {
		*ret = i;
		if (!b->c->pw->tunnels[i].implied && strcmp(b->c->pw->tunnels[i].name, name) == 0)
			return true;
	}
	FAIL(b, block, "tunnel", "there is no tunnel \"%s\"; add tunnel \"%s\" { ... }", name,
	     name);
	return false;
}

unsigned int conf_planes(const struct conf *c)
{
	unsigned int set = 0;

	for (size_t i = 0; i < c->access->peer_count; i++)
		set |= 1u << c->access->peers[i].plane;
	for (size_t i = 0; i < c->access->dial_count; i++)
		set |= 1u << c->access->dials[i].plane;
	for (size_t i = 0; i < c->pw->tunnel_count; i++)
		set |= 1u << c->pw->tunnels[i].plane;
	return set;
}
