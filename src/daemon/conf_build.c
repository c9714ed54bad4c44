/* SPDX-License-Identifier: MIT
 *
 * From the tree of blocks to what conf.h promises: defaults filled in, names resolved, what
 * contradicts itself refused. Values by themselves are conf_get.c's business, sockets and pools
 * conf_net.c's.
 */
#include "conf_tree.h"

#include "base/crypto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- global ---- */

enum dp_want conf_plane_of(const struct conf_block *block, enum dp_want other)
{
	const char *text = conf_text_of(block, "data-plane");

	return !text			     ? other
	       : strcmp(text, "kernel") == 0 ? DP_WANT_KERNEL
	       : strcmp(text, "user") == 0   ? DP_WANT_USER
					     : DP_WANT_AUTO;
}

static bool build_global(struct conf_build *b)
{
	const struct conf_block *g = b->c->blocks;
	static const char *const levels[] = {
		[TRACE_DEBUG] = "debug",
		[TRACE_INFO] = "info",
		[TRACE_NOTICE] = "notice",
		[TRACE_WARNING] = "warning",
	};
	static const char *const logs[] = {
		[CONF_LOG_AUTO] = "auto",
		[CONF_LOG_STDERR] = "stderr",
		[CONF_LOG_SYSLOG] = "syslog",
		[CONF_LOG_JOURNAL] = "journal",
	};
	struct conf *c = b->c;
	const char *name = conf_text_of(g, "host-name"),
		   *accounting = conf_text_of(g, "accounting");

	b->host_name = name ? name : "";
	if (name)
		snprintf(c->host_name, sizeof(c->host_name), "%s", name);
	else if (gethostname(c->host_name, sizeof(c->host_name) - 1) < 0 || !c->host_name[0])
		strcpy(c->host_name, "adit");
	snprintf(c->control, sizeof(c->control), "%s", conf_text_of(g, "control"));
	snprintf(c->user, sizeof(c->user), "%s", conf_text_of(g, "user"));
	snprintf(c->state_dir, sizeof(c->state_dir), "%s", conf_text_of(g, "state-directory"));
	snprintf(c->accounting, sizeof(c->accounting), "%s", accounting ? accounting : "");
	snprintf(c->ifname, sizeof(c->ifname), "%s", conf_text_of(g, "interface"));
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i], conf_text_of(g, "log-level")) == 0)
			c->log_level = (enum trace_level)i;
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++)
		if (strcmp(logs[i], conf_text_of(g, "log")) == 0)
			c->log_to = (enum conf_log)i;
	c->max_tunnels = conf_number_of(g, "max-tunnels");
	c->max_sessions = conf_number_of(g, "max-sessions");
	c->stop_rate = conf_number_of(g, "stop-rate");
	c->groups = (uint8_t)conf_number_of(g, "interface-groups");
	c->sandbox = conf_bool_of(g, "sandbox");
	snprintf(c->session_ifname, sizeof(c->session_ifname), "%s",
		 conf_text_of(g, "session-interface"));
	if (strlen(c->session_ifname) > DP_IFNAME - 7) {
		FAIL(b, g, "session-interface",
		     "a number of up to six digits follows the name; write at most %d characters",
		     DP_IFNAME - 7);
		return false;
	}
	c->plane = conf_plane_of(g, DP_WANT_AUTO);

	c->access = access_conf_new();
	if (!c->access)
		return conf_no_memory(b);
	strcpy(c->access->host_name, c->host_name);
	c->access->max_tunnels = c->max_tunnels;
	c->access->max_sessions = c->max_sessions;
	return true;
}

/* ---- profiles ---- */

/* The bits of one word. EAP is both of its methods, the stronger one first. */
static void auth_bits(const char *text, uint8_t ret[2])
{
	static const struct {
		const char *word;
		uint8_t bits[2];
	} words[] = { { "mschapv2", { PPP_AUTH_MSCHAPV2 } },
		      { "eap", { PPP_AUTH_EAP_MSCHAPV2, PPP_AUTH_EAP_MD5 } },
		      { "chap", { PPP_AUTH_CHAP_MD5 } },
		      { "pap", { PPP_AUTH_PAP } },
		      { "mschapv1", { PPP_AUTH_MSCHAP } } };

	ret[0] = ret[1] = PPP_AUTH_NONE;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i].word) == 0)
			memcpy(ret, words[i].bits, 2);
	}
}

/* What a session block agrees to when it does not say. */
static const char *const session_auth[] = { "mschapv2", "eap", "chap", "pap" };

#define SESSION_AUTH (sizeof(session_auth) / sizeof(session_auth[0]))

/* Has the user chosen methods? Who writes the default out has not. */
static bool auth_chosen(const struct conf_block *block)
{
	const struct conf_value *v = conf_get(block, "auth");
	size_t same = 0;

	if (!v || block->kind != CONF_SESSION || v->n != SESSION_AUTH)
		return v != NULL;
	while (same < v->n && strcmp(v->v[same], session_auth[same]) == 0)
		same++;
	return same < v->n;
}

/* The methods in their order, PPP_AUTH_NONE behind the last. False when they contradict. */
static bool auth_of(struct conf_build *b, const struct conf_block *block, uint8_t order[8])
{
	const struct conf_value *v = conf_get(block, "auth");
	size_t count = v ? v->n : block->kind == CONF_SESSION ? SESSION_AUTH : 1;
	size_t n = 0;

	memset(order, 0, 8);
	for (size_t i = 0; i < count; i++) {
		const char *word = v ? v->v[i] : count == 1 ? "chap" : session_auth[i];
		uint8_t bits[2];

		auth_bits(word, bits);
		if (bits[0] == PPP_AUTH_NONE && count > 1) {
			FAIL(b, block, "auth", "none stands beside other methods; remove one");
			return false;
		}
		if (bits[0] != PPP_AUTH_NONE && memchr(order, bits[0], n)) {
			FAIL(b, block, "auth", "%s is named twice; remove one", word);
			return false;
		}
		for (size_t j = 0; j < 2 && bits[j] != PPP_AUTH_NONE; j++)
			order[n++] = bits[j];
	}
	return true;
}

/* Encryption, and the methods that give keys for it. False when `auth` leaves none. */
static bool mppe_of(struct conf_build *b, const struct conf_block *block, struct ppp_params *ret,
		    uint8_t order[8])
{
	const struct conf_value *v = conf_get(block, "mppe-strength");
	const char *want = conf_text_of(block, "mppe");
	size_t n = 0;

	ret->mppe = strcmp(want, "require") == 0  ? PPP_MPPE_REQUIRE
		    : strcmp(want, "prefer") == 0 ? PPP_MPPE_PREFER
						  : PPP_MPPE_OFF;
	for (size_t i = 0; v && i < v->n; i++)
		ret->mppe_strengths |= strcmp(v->v[i], "128") == 0  ? PPP_MPPE_128
				       : strcmp(v->v[i], "56") == 0 ? PPP_MPPE_56
								    : PPP_MPPE_40;
	if (ret->mppe != PPP_MPPE_REQUIRE)
		return true;
	for (size_t i = 0; i < 8; i++) {
		if (order[i] & PPP_AUTH_KEYS)
			order[n++] = order[i];
		else if (auth_chosen(block) && order[i] && order[i] != PPP_AUTH_EAP_MD5)
			n = 8; /* a word that cannot be meant */
		if (n == 8)
			break;
	}
	if (n == 0 || n == 8) {
		FAIL(b, block, "mppe",
		     "mppe = require needs a login that gives keys; set auth = mschapv2, or "
		     "mschapv2, "
		     "eap, and nothing else");
		return false;
	}
	memset(order + n, 0, 8 - n);
	return true;
}

static void link_params(const struct conf_block *block, struct ppp_params *ret)
{
	uint32_t mru = conf_number_of(block, "mru");

	ret->mru = (uint16_t)mru; /* auto: each session says what fits its path */
	ret->mru_max = mru > 1500 ? (uint16_t)mru : 0;
	ret->acfc = ret->pfc = conf_bool_of(block, "header-compression");
	ret->echo_us = conf_duration_of(block, "echo-interval", -1);
	ret->echo_lost = conf_number_of(block, "echo-failures");
	ret->ipcp = conf_bool_of(block, "ipv4");
	ret->ipv6cp = conf_bool_of(block, "ipv6");
}

static bool families_ok(struct conf_build *b, const struct conf_block *block)
{
	if (conf_bool_of(block, "ipv4") || conf_bool_of(block, "ipv6"))
		return true;
	FAIL(b, block, "ipv6", "ipv4 and ipv6 are both no in %s \"%s\"; at least one is needed",
	     conf_kind_name(block->kind), block->name);
	return false;
}

/* The WINS servers; two at most, as the schema says. */
static void profile_wins(const struct conf_block *block, struct ppp_params *ret)
{
	const struct conf_value *v = conf_get(block, "wins");

	for (size_t i = 0; v && i < v->n && i < 2; i++) {
		struct addr a;

		addr_parse(v->v[i], &a);
		memcpy(ret->wins4[i], a.ip, 4);
	}
}

static bool profile_ppp(struct conf_build *b, const struct conf_block *block,
			struct conf_profile *p)
{
	struct ppp_params params = { 0 };
	int err = 0;

	if (!auth_of(b, block, params.auth_order) || !families_ok(b, block) ||
	    !mppe_of(b, block, &params, params.auth_order))
		return false;
	if (params.auth_order[0] && !conf_get(block, "users")) {
		FAIL(b, block, "auth",
		     "users of profile \"%s\" have to log in, but no users file is named; set "
		     "users, "
		     "or auth = none",
		     block->name);
		return false;
	}
	if (!params.auth_order[0] && conf_get(block, "users")) {
		FAIL(b, block, "users",
		     "nobody logs in with auth = none; remove users, or set auth");
		return false;
	}
	params.auth_name = b->c->host_name;
	params.identification = conf_text_of(block, "identification");
	params.auth_again_us = conf_duration_of(block, "chap-interval", 0);
	if (conf_get(block, "auth-attempts"))
		params.auth_tries = conf_number_of(block, "auth-attempts");
	profile_wins(block, &params);
	link_params(block, &params);
	p->ppp = ppp_profile_new(&params, &err);
	if (!p->ppp && err == -EINVAL)
		FAIL(b, block, "mru", "the PPP options of profile \"%s\" do not fit together",
		     block->name);
	else if (!p->ppp)
		return conf_no_memory(b);
	return p->ppp != NULL;
}

/* The name servers, at most two of each family. */
static bool profile_dns(struct conf_build *b, const struct conf_block *block,
			struct conf_profile *p)
{
	const struct conf_value *v = conf_get(block, "dns");
	size_t n4 = 0, n6 = 0;

	for (size_t i = 0; v && i < v->n; i++) {
		struct addr a;

		addr_parse(v->v[i], &a);
		if ((a.family == AF_INET ? n4 : n6) == 2) {
			FAIL(b, block, "dns",
			     "%s is the third name server of its family; two can be told to users",
			     v->v[i]);
			return false;
		}
		if (a.family == AF_INET)
			p->dns4[n4++] = a;
		else
			p->dns6[n6++] = a;
	}
	return true;
}

static bool profile_pool(struct conf_build *b, const struct conf_block *block,
			 struct conf_profile *p)
{
	const char *name = conf_text_of(block, "pool");
	struct conf_pool *pool = name ? conf_pool_find(b->c->access, name) : NULL;
	uint32_t ip;

	if (name && !pool) {
		FAIL(b, block, "pool", "there is no pool \"%s\"; add pool \"%s\" { ... }", name,
		     name);
		return false;
	}
	snprintf(p->pool, sizeof(p->pool), "%s", name ? name : "");
	p->local4 = conf_addr_of(block, "local-address");
	if (!p->local4.family && pool && pool->range_count) {
		ip = pool->ranges[0].first;
		p->local4 = (struct addr){ .family = AF_INET,
					   .ip = { (uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
						   (uint8_t)(ip >> 8), (uint8_t)ip } };
	}
	if (!p->local4.family && conf_bool_of(block, "ipv4")) {
		FAIL(b, block, "pool",
		     "profile \"%s\" offers IPv4 but has no address of our own; set local-address, "
		     "or "
		     "ipv4 = no",
		     block->name);
		return false;
	}
	return true;
}

static bool build_profile(struct conf_build *b, const struct conf_block *block)
{
	struct access_conf *a = b->c->access;
	struct conf_profile *p = calloc(1, sizeof(*p));

	if (!p)
		return conf_no_memory(b);
	p->refs = 1;
	a->profiles[a->profile_count++] = p;
	strcpy(p->name, block->name);
	if (!profile_pool(b, block, p) || !profile_dns(b, block, p) ||
	    !conf_users_of(b, block, p) || !profile_ppp(b, block, p) ||
	    !conf_place_of(b, block, &p->place))
		return false;
	p->no_login = !p->users[0];
	p->mtu = (uint16_t)conf_number_of(block, "mtu");
	p->mru_from_path = conf_number_of(block, "mru") == 0;
	p->mss_clamp = conf_bool_of(block, "mss-clamp");
	p->antispoof = conf_bool_of(block, "anti-spoofing");
	p->session_us = conf_duration_of(block, "session-timeout", 0);
	p->idle_us = conf_duration_of(block, "idle-timeout", 0);
	p->interim_us = conf_duration_of(block, "interim-interval", 0);
	p->max_per_user = conf_number_of(block, "max-per-user");
	p->replace = conf_bool_of(block, "replace");
	return true;
}

/* ---- peers and sessions ---- */

/* The quirks that are named; `auto` beside them keeps the table of known peers, too. */
static bool quirks_named(struct conf_build *b, const struct conf_block *block,
			 struct l2tp_params *ret)
{
	const struct conf_value *v = conf_get(block, "quirks");

	ret->known_quirks_off = v != NULL;
	for (size_t i = 0; v && i < v->n; i++) {
		if (strcmp(v->v[i], "none") == 0 && v->n > 1) {
			FAIL(b, block, "quirks", "none stands beside other quirks; remove one");
			return false;
		}
		if (strcmp(v->v[i], "auto") == 0)
			ret->known_quirks_off = false;
		for (unsigned int q = 0; l2tp_quirk_name(q); q++)
			if (strcmp(v->v[i], l2tp_quirk_name(q)) == 0)
				ret->quirks |= l2tp_quirk_bit(q);
	}
	if (block->kind == CONF_PEER)
		b->c->access->quirks |= ret->quirks;
	return true;
}

/* What only an initiator has to know. */
static bool initiator_of(struct conf_build *b, const struct conf_block *block,
			 struct l2tp_params *ret)
{
	const char *from;

	if (block->kind != CONF_SESSION)
		return true;
	if (conf_get(block, "number") && !conf_bool_of(block, "wait-for-call")) {
		FAIL(b, block, "number",
		     "number says which calls of the server are ours; set wait-for-call = yes, or "
		     "remove it");
		return false;
	}
	from = conf_text_of(block, "answer-from");
	ret->allow_port_change = strcmp(from, "same") != 0;
	ret->allow_address_change = strcmp(from, "address") == 0;
	ret->tie_breaker = conf_bool_of(block, "tie-breaker");
	ret->peer_name = conf_text_of(block, "server-name");
	if (conf_bool_of(block, "wait-for-call"))
		ret->bearer = L2TP_CALL_MASK;
	return true;
}

static bool tunnel_of(struct conf_build *b, const struct conf_block *block,
		      struct l2tp_profile **ret, enum conf_version *ret_version,
		      struct l2tp3_profile **ret_l2tp3)
{
	bool ok = true;

	struct l2tp_params params = { .host_name = b->c->host_name };
	char secret[L2TP_SECRET_MAX + 2];
	bool set = false;
	int err = 0;

	if (!conf_secret_of(b, block, "secret", "secret-file", secret, sizeof(secret), &set))
		return false;
	if (!set && (conf_bool_of(block, "challenge") || conf_bool_of(block, "hide"))) {
		const char *key = conf_bool_of(block, "challenge") ? "challenge" : "hide";

		FAIL(b, block, key, "%s needs a secret; set secret or secret-file", key);
		return false;
	}
	b->secrets = conf_hash_text(b->secrets, secret);
	params.secret = secret[0] ? secret : NULL;
	params.secret_len = strlen(secret);
	params.challenge =
		secret[0] && (!conf_get(block, "challenge") || conf_bool_of(block, "challenge"));
	params.hide = secret[0] && conf_bool_of(block, "hide");
	params.sequencing = conf_bool_of(block, "sequencing");
	params.receive_window = (uint16_t)conf_number_of(block, "receive-window");
	params.hello_us = conf_duration_of(block, "hello-interval", -1);
	params.retry_max = conf_number_of(block, "retries");
	params.empty_us = -1;
	if (quirks_named(b, block, &params) && initiator_of(b, block, &params))
		*ret = l2tp_profile_new(&params, &err);
	if (*ret)
		ok = conf_version_of(b, block, &params, ret_version, ret_l2tp3);
	bytes_wipe(secret, sizeof(secret));
	if (!ok || (!*ret && !err))
		return false;
	if (!*ret && err == -EINVAL)
		FAIL(b, block, "secret", "the tunnel options of %s \"%s\" do not fit together",
		     conf_kind_name(block->kind), block->name);
	else if (!*ret)
		return conf_no_memory(b);
	return *ret != NULL;
}

static bool build_peer(struct conf_build *b, const struct conf_block *block)
{
	struct access_conf *a = b->c->access;
	struct conf_peer *p = a->peers + a->peer_count++;
	const char *profile = conf_text_of(block, "profile"),
		   *host = conf_text_of(block, "host-name");

	strcpy(p->name, block->name);
	for (size_t i = 0; i < a->profile_count; i++)
		if (strcmp(a->profiles[i]->name, profile) == 0)
			p->profile = conf_profile_ref(a->profiles[i]);
	if (!p->profile) {
		FAIL(b, block, "profile", "there is no profile \"%s\"; add profile \"%s\" { ... }",
		     profile, profile);
		return false;
	}
	snprintf(p->host_name, sizeof(p->host_name), "%s", host ? host : "");
	p->plane = (uint8_t)conf_plane_of(block, b->c->plane);
	p->numbered = conf_bool_of(block, "sequencing");
	p->max_tunnels = conf_number_of(block, "max-tunnels");
	p->max_sessions = conf_number_of(block, "max-sessions");
	return conf_place_carried(b, block, &p->profile->place, p->plane) &&
	       conf_prefixes_of(b, block, "from", &p->from, &p->from_count) &&
	       tunnel_of(b, block, &p->l2tp, &p->version, &p->l2tp3);
}

static bool dial_ppp(struct conf_build *b, const struct conf_block *block, struct conf_dial *d)
{
	struct ppp_params params = { 0 };
	char password[PPP_SECRET_MAX + 2];
	const char *user = conf_text_of(block, "user");
	uint8_t order[8], methods = 0;
	bool set = false;
	int err = 0;

	if (!families_ok(b, block) || !auth_of(b, block, order) ||
	    !mppe_of(b, block, &params, order) ||
	    !conf_secret_of(b, block, "password", "password-file", password, sizeof(password),
			    &set))
		return false;
	if (!user && set) {
		FAIL(b, block, "password", "there is a password but no user; set user");
		return false;
	}
	if (user && !set) {
		FAIL(b, block, "user",
		     "there is a user but no password; set password or "
		     "password-file");
		return false;
	}
	snprintf(d->user, sizeof(d->user), "%s", user ? user : "");
	b->secrets = conf_hash_text(b->secrets, password);
	for (size_t i = 0; i < sizeof(order); i++)
		methods |= order[i];
	params.peer_auth = user ? methods : 0;
	params.user = d->user;
	params.password = password;
	params.password_len = strlen(password);
	params.ask_dns = conf_bool_of(block, "dns");
	link_params(block, &params);
	d->ppp = ppp_profile_new(&params, &err);
	bytes_wipe(password, sizeof(password));
	if (!d->ppp && err == -EINVAL)
		FAIL(b, block, "mru", "the PPP options of session \"%s\" do not fit together",
		     block->name);
	else if (!d->ppp)
		return conf_no_memory(b);
	return d->ppp != NULL;
}

/* A free name adit1, adit2, ...: neither another session's nor the LNS's. */
static void dial_ifname(const struct conf *c, uint32_t *next, char ret[DP_IFNAME])
{
	bool taken = true;

	while (taken) {
		snprintf(ret, DP_IFNAME, "adit%u", (*next)++);
		taken = strcmp(ret, c->ifname) == 0;
		for (size_t i = 0; i < c->block_count && !taken; i++) {
			const struct conf_value *v = c->blocks[i].kind == CONF_SESSION
							     ? conf_get(c->blocks + i, "interface")
							     : NULL;

			taken = v && strcmp(v->v[0], ret) == 0;
		}
	}
}

static bool dial_interface(struct conf_build *b, const struct conf_block *block,
			   struct conf_dial *d, uint32_t *next)
{
	const char *name = conf_text_of(block, "interface");

	if (!name) {
		dial_ifname(b->c, next, d->ifname);
		return true;
	}
	if (strcmp(name, b->c->ifname) == 0) {
		FAIL(b, block, "interface",
		     "%s is the interface of the sessions others dial; use another name", name);
		return false;
	}
	if (conf_dial_by_ifname(b->c, name)) {
		FAIL(b, block, "interface",
		     "session \"%s\" has the interface %s already; use "
		     "another name",
		     conf_dial_by_ifname(b->c, name)->name, name);
		return false;
	}
	snprintf(d->ifname, sizeof(d->ifname), "%s", name);
	return true;
}

static bool dial_routes(struct conf_build *b, const struct conf_block *block, struct conf_dial *d)
{
	const struct conf_value *v = conf_get(block, "routes");

	if (v && v->n > DP_PREFIXES - 2) {
		FAIL(b, block, "routes", "there are %zu routes; a session can have %d", v->n,
		     DP_PREFIXES - 2);
		return false;
	}
	d->default_route = conf_bool_of(block, "default-route");
	d->table = conf_number_of(block, "route-table");
	d->metric = conf_number_of(block, "route-metric");
	return conf_prefixes_of(b, block, "routes", &d->routes, &d->route_count);
}

/* "2001:db8::1" needs no brackets, and a port has an option of its own. */
static bool dial_server(struct conf_build *b, const struct conf_block *block, struct conf_dial *d)
{
	const char *server = conf_text_of(block, "server");
	struct addr a, source = conf_addr_of(block, "source-address");

	if (addr_parse(server, &a) == 0) {
		if (a.port) {
			FAIL(b, block, "server",
			     "write the address alone and the port as port = %u", a.port);
			return false;
		}
		if (source.family && source.family != a.family) {
			FAIL(b, block, "source-address",
			     "the address of the server and source-address are of different "
			     "families");
			return false;
		}
	} else if (strchr(server, ':')) {
		FAIL(b, block, "server",
		     "\"%s\" is neither a host name nor an address; a port is an option of its "
		     "own, "
		     "port = number",
		     server);
		return false;
	} else if (strpbrk(server, " /[]")) {
		FAIL(b, block, "server", "\"%s\" is neither a host name nor an address", server);
		return false;
	}
	snprintf(d->server, sizeof(d->server), "%s", server);
	d->source = source;
	d->port = (uint16_t)conf_number_of(block, "port");
	return true;
}

/* As earlier records have it. */
static uint64_t dial_digest_former(const struct conf_build *b, const struct conf_block *block,
				   const struct conf_dial *d)
{
	uint64_t hash = conf_hash_text(b->secrets, b->c->host_name);

	hash = conf_hash_text(hash, d->ifname);
	for (size_t i = 0; i < block->count; i++) {
		const struct conf_value *v = block->values + i;

		/* not there in earlier releases: what is up since then goes on */
		if (!v->n && (strcmp(v->key->key, "version") == 0 ||
			      strcmp(v->key->key, "encapsulation") == 0))
			continue;
		hash = conf_hash_text(hash, v->key->key);
		for (size_t j = 0; j < v->n; j++)
			hash = conf_hash_text(hash, v->v[j]);
	}
	return hash ? hash : 1;
}

static bool build_session(struct conf_build *b, const struct conf_block *block, uint32_t *next_if)
{
	struct access_conf *a = b->c->access;
	size_t index = a->dial_count++;
	struct conf_dial *d = a->dials + index;
	struct conf_dial_socket *s = b->c->dial_sockets + index;
	const char *up = conf_text_of(block, "hook-up"), *down = conf_text_of(block, "hook-down");
	const char *number;

	b->secrets = UINT64_C(0xcbf29ce484222325);
	strcpy(d->name, block->name);
	*s = (struct conf_dial_socket){ -1, -1 };
	if (!dial_server(b, block, d) || !conf_dial_socket_of(b, block, AF_INET, &s->v4) ||
	    !conf_dial_socket_of(b, block, AF_INET6, &s->v6) ||
	    !dial_interface(b, block, d, next_if) || !dial_routes(b, block, d) ||
	    !dial_ppp(b, block, d) || !tunnel_of(b, block, &d->l2tp, &d->version, &d->l2tp3))
		return false;
	d->via = b->c->sockets[s->v4 >= 0 ? s->v4 : s->v6].via;
	d->encap = conf_over_ip(block) ? DP_ENCAP_IP : DP_ENCAP_UDP;
	d->numbered = conf_bool_of(block, "sequencing");
	d->called_only = conf_bool_of(block, "wait-for-call");
	number = conf_text_of(block, "number");
	snprintf(d->number, sizeof(d->number), "%s", number ? number : "");
	d->automatic = strcmp(conf_text_of(block, "connect"), "auto") == 0;
	d->prefer6 = strcmp(conf_text_of(block, "prefer"), "ipv6") == 0;
	d->redial_first_us = conf_duration_of(block, "redial-first", 0);
	d->redial_cap_us = conf_duration_of(block, "redial-cap", 0);
	if (d->redial_cap_us < d->redial_first_us) {
		FAIL(b, block, "redial-cap", "redial-cap is shorter than redial-first");
		return false;
	}
	d->redial_max = conf_number_of(block, "redial-attempts");
	d->plane = (uint8_t)conf_plane_of(block, b->c->plane);
	d->ip4 = conf_bool_of(block, "ipv4");
	d->ip6 = conf_bool_of(block, "ipv6");
	d->want_dns = conf_bool_of(block, "dns");
	d->mtu = (uint16_t)conf_number_of(block, "mtu");
	d->mru_from_path = conf_number_of(block, "mru") == 0;
	d->mss_clamp = conf_bool_of(block, "mss-clamp");
	d->idle_us = conf_duration_of(block, "idle-timeout", 0);
	d->session_us = conf_duration_of(block, "session-timeout", 0);
	snprintf(d->hook_up, sizeof(d->hook_up), "%s", up ? up : "");
	snprintf(d->hook_down, sizeof(d->hook_down), "%s", down ? down : "");
	d->digest_former = dial_digest_former(b, block, d);
	d->digest = conf_hash_text(conf_hash_text(b->secrets, b->host_name), d->ifname);
	d->digest = conf_hash_block(d->digest, block, "");
	return conf_place_of(b, block, &d->place) &&
	       conf_place_carried(b, block, &d->place, d->plane) &&
	       conf_version_ok(b, block, d->version);
}

/* ---- all ---- */

static bool required_set(struct conf_build *b)
{
	for (size_t i = 0; i < b->c->block_count; i++) {
		const struct conf_block *block = b->c->blocks + i;

		for (size_t j = 0; j < block->count; j++) {
			const struct conf_key *k = block->values[j].key;

			if (!(k->flags & CONF_K_REQUIRED) || block->values[j].n)
				continue;
			conf_fail(b->e, block->file, block->line, "%s \"%s\" has no %s; set %s: %s",
				  conf_kind_name(block->kind), block->name, k->key, k->key,
				  k->help);
			return false;
		}
	}
	return true;
}

static bool room(struct conf_build *b)
{
	struct access_conf *a = b->c->access;
	size_t pools = conf_count_of(b->c, CONF_POOL), profiles = conf_count_of(b->c, CONF_PROFILE),
	       peers = conf_count_of(b->c, CONF_PEER), dials = conf_count_of(b->c, CONF_SESSION),
	       wires = conf_count_of(b->c, CONF_WIRE);

	a->pools = calloc(pools + 1, sizeof(*a->pools));
	a->profiles = calloc(profiles + 1, sizeof(struct conf_profile *));
	a->peers = calloc(peers + 1, sizeof(*a->peers));
	a->dials = calloc(dials + 1, sizeof(*a->dials));
	b->c->dial_sockets = calloc(dials + 1, sizeof(*b->c->dial_sockets));
	b->c->wires = calloc(wires + 1, sizeof(*b->c->wires));
	b->c->pw = pw_conf_new();
	if (!a->pools || !a->profiles || !a->peers || !a->dials || !b->c->dial_sockets ||
	    !b->c->wires || !b->c->pw)
		return conf_no_memory(b);
	b->c->pw->tunnels =
		calloc(conf_count_of(b->c, CONF_TUNNEL) + wires + 1, sizeof(*b->c->pw->tunnels));
	b->c->pw->wires = calloc(wires + 1, sizeof(*b->c->pw->wires));
	if (!b->c->pw->tunnels || !b->c->pw->wires)
		return conf_no_memory(b);
	b->c->pw->reserved = calloc(wires + 1, sizeof(*b->c->pw->reserved));
	if (!b->c->pw->reserved)
		return conf_no_memory(b);
	b->c->pw->max_tunnels = b->c->max_tunnels;
	b->c->pw->max_sessions = b->c->max_sessions;
	return true;
}

static bool build_kind(struct conf_build *b, enum conf_kind kind)
{
	uint32_t next_if = 1;
	bool ok = true;

	for (size_t i = 0; ok && i < b->c->block_count; i++) {
		const struct conf_block *block = b->c->blocks + i;

		if (block->kind != kind)
			continue;
		if (kind == CONF_POOL)
			ok = conf_pool_build(b, block);
		else if (kind == CONF_PROFILE)
			ok = build_profile(b, block);
		else if (kind == CONF_PEER)
			ok = build_peer(b, block);
		else if (kind == CONF_TUNNEL)
			ok = conf_tunnel_build(b, block);
		else if (kind == CONF_WIRE)
			ok = conf_wire_build(b, block);
		else if (kind == CONF_SESSION)
			ok = build_session(b, block, &next_if);
	}
	return ok;
}

/* Session ids of pseudowires that are not agreed are nobody else's either. */
static bool reserved_of(struct conf_build *b)
{
	const struct pw_conf *from = b->c->pw;
	struct access_conf *to = b->c->access;

	to->reserved = calloc(from->reserved_count + 1, sizeof(*to->reserved));
	if (!to->reserved)
		return conf_no_memory(b);
	for (size_t i = 0; i < from->reserved_count; i++)
		to->reserved[to->reserved_count++] = from->reserved[i];
	return true;
}

bool conf_make(struct conf *c, unsigned int flags, struct conf_err *e)
{
	/* Whoever writes the configuration may make it slow in simpler ways than by chains. */
	static const uint8_t hash_key[16] = { 0 };
	struct conf_build b = { .c = c, .flags = flags, .e = e };
	bool ok;

	htab_init(&b.once, hash_key);
	ok = required_set(&b) && build_global(&b) && room(&b) && conf_listeners(&b) &&
	     build_kind(&b, CONF_POOL) && build_kind(&b, CONF_PROFILE) &&
	     conf_pools_without_ours(&b) && build_kind(&b, CONF_PEER) &&
	     build_kind(&b, CONF_SESSION) && build_kind(&b, CONF_TUNNEL) &&
	     build_kind(&b, CONF_WIRE) && conf_index(&b) && reserved_of(&b);
	conf_take_free(&b);
	return ok;
}

/* ---- look up ---- */

const struct conf_socket *conf_socket_find(const struct conf *c, uint32_t via)
{
	for (size_t i = 0; i < c->socket_count; i++)
		if (c->sockets[i].via == via)
			return c->sockets + i;
	return NULL;
}

const struct conf_dial *conf_dial_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->access->dial_count; i++)
		if (strcmp(c->access->dials[i].name, name) == 0)
			return c->access->dials + i;
	return NULL;
}

const struct conf_dial *conf_dial_by_ifname(const struct conf *c, const char *ifname)
{
	for (size_t i = 0; i < c->access->dial_count; i++)
		if (strcmp(c->access->dials[i].ifname, ifname) == 0)
			return c->access->dials + i;
	return NULL;
}

const struct conf_socket *conf_dial_socket(const struct conf *c, const char *dial, int family)
{
	for (size_t i = 0; i < c->access->dial_count; i++) {
		const struct conf_dial_socket *s = c->dial_sockets + i;
		int index = family == AF_INET ? s->v4 : s->v6;

		if (strcmp(c->access->dials[i].name, dial) == 0)
			return index < 0 ? NULL : c->sockets + index;
	}
	return NULL;
}

const struct users *conf_users_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->users_count; i++)
		if (strcmp(c->users[i].name, name) == 0)
			return c->users[i].users;
	return NULL;
}
