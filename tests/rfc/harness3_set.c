/* SPDX-License-Identifier: MIT
 *
 * The words at the head of a transcript of L2TPv3, see harness3.h: what the engine is told, and
 * where it and the scripted peer are.
 */
#include "harness3.h"
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

bool harness_circuit_word(struct l2tp3_circuit *c, const char *word, const char *v)
{
	unsigned long long n = strtoull(v, NULL, 0);

	if (!strcmp(word, "cookie"))
		c->cookie_len = (uint8_t)n;
	else if (!strcmp(word, "sublayer"))
		c->sublayer = (uint8_t)n;
	else if (!strcmp(word, "sequencing"))
		c->sequencing = (uint8_t)n;
	else if (!strcmp(word, "circuit"))
		c->status = (uint16_t)n;
	else if (!strcmp(word, "mtu"))
		c->mtu = (uint16_t)n;
	else if (!strcmp(word, "tx"))
		c->tx_speed = n;
	else if (!strcmp(word, "rx"))
		c->rx_speed = n;
	else if (!strcmp(word, "channel"))
		c->channel_id = (uint32_t)n;
	else
		return false;
	return true;
}

/* Words that change the scripted peer, or where both are. */
static bool set_peer(struct harness *h, const char *word)
{
	const char *v;

	if ((v = value(word, "peer-secret"))) {
		h->peer.secret = keep(&h->log, v);
	} else if ((v = value(word, "peer-digest"))) {
		h->peer.digest = keep(&h->log, v);
	} else if ((v = value(word, "me"))) {
		return addr_read(v, &h->log.usual.remote);
	} else if ((v = value(word, "iut"))) {
		return addr_read(v, &h->log.usual.local);
	} else {
		return false;
	}
	return true;
}

bool harness_over_ip(struct harness *h, bool instead)
{
	h->peer.over_ip = true;
	h->over_ip_instead = h->log.no_ports = instead;
	return true;
}

static bool set_flag(struct l2tp3_params *p, const char *word)
{
	const struct {
		const char *name;
		bool *to;
	} flags[] = {
		{ "challenge", &p->challenge },
		{ "hide", &p->hide },
		{ "digest-optional", &p->digest_optional },
		{ "tie-breaker-off", &p->tie_breaker_off },
		{ "follow-port", &p->allow_port_change },
		{ "follow-address", &p->allow_address_change },
		{ "follow", &p->follow },
		{ "mirror-sublayer", &p->mirror_sublayer },
		{ "mirror-sequencing", &p->mirror_sequencing },
	};

	for (size_t i = 0; i < COUNT(flags); i++) {
		if (!strcmp(word, flags[i].name))
			return *flags[i].to = true;
	}
	return false;
}

static bool set_number(struct l2tp3_params *p, const char *word)
{
	const struct {
		const char *name;
		int64_t *to;
	} times[] = {
		{ "hello", &p->hello_us },   { "first", &p->retry_first_us },
		{ "cap", &p->retry_cap_us }, { "setup", &p->setup_us },
		{ "empty", &p->empty_us },
	};
	const struct {
		const char *name;
		uint32_t *to;
	} numbers[] = {
		{ "retries", &p->retry_max },	       { "retries-sccrq", &p->retry_max_sccrq },
		{ "max-sessions", &p->max_sessions },  { "router", &p->router_id },
		{ "peer-router", &p->peer_router_id },
	};
	const char *v;

	for (size_t i = 0; i < COUNT(times); i++) {
		if ((v = value(word, times[i].name))) {
			*times[i].to =
				strcmp(v, "never") ? (int64_t)(strtod(v, NULL) * 1e6 + 0.5) : -1;
			return true;
		}
	}
	for (size_t i = 0; i < COUNT(numbers); i++) {
		if ((v = value(word, numbers[i].name))) {
			*numbers[i].to = (uint32_t)strtoul(v, NULL, 0);
			return true;
		}
	}
	return false;
}

static bool set_word(struct harness *h, const char *word)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} quirks[] = {
		{ "lax-mandatory", L2TP3_QUIRK_LAX_MANDATORY },
		{ "no-hello", L2TP3_QUIRK_NO_HELLO },
	};
	struct l2tp3_params *p = &h->params;
	const char *v;

	if ((v = value(word, "window"))) {
		p->receive_window = (uint16_t)strtoul(v, NULL, 0);
	} else if ((v = value(word, "host"))) {
		p->host_name = keep(&h->log, v);
	} else if ((v = value(word, "peer-name"))) {
		p->peer_name = keep(&h->log, v);
	} else if ((v = value(word, "quirk"))) {
		for (size_t i = 0; i < COUNT(quirks); i++)
			p->quirks |= strcmp(v, quirks[i].name) ? 0 : quirks[i].bit;
	} else if ((v = value(word, "pw-type"))) {
		if (h->pw_types == L2TP3_PW_TYPES_MAX)
			return false;
		p->pw_types[h->pw_types++] = (uint16_t)strtoul(v, NULL, 0);
	} else if ((v = value(word, "digest"))) {
		p->digest = !strcmp(v, "none")	 ? L2TP3_AUTH_NONE
			    : !strcmp(v, "md5")	 ? L2TP3_AUTH_MD5
			    : !strcmp(v, "sha1") ? L2TP3_AUTH_SHA1
						 : L2TP3_AUTH_AUTO;
	} else if ((v = value(word, "secret"))) {
		h->peer.secret = keep(&h->log, v);
		p->secret[0].p = h->peer.secret;
		p->secret[0].n = strlen(h->peer.secret);
	} else if ((v = value(word, "old-secret"))) {
		h->peer.old_secret = keep(&h->log, v);
		p->secret[1].p = h->peer.old_secret;
		p->secret[1].n = strlen(h->peer.old_secret);
	} else {
		return false;
	}
	return true;
}

bool harness_set(struct harness *h, const char *word)
{
	const char *eq = strchr(word, '=');
	char name[64];

	if (!strncmp(word, "our-", 4) && eq && eq - word < 60) { /* of our circuit */
		snprintf(name, sizeof(name), "%.*s", (int)(eq - word - 4), word + 4);
		return harness_circuit_word(&h->circuit, name, eq + 1);
	}
	return set_flag(&h->params, word) || set_number(&h->params, word) || set_word(h, word) ||
	       set_peer(h, word);
}

bool harness_set_engine(struct harness *h, const char *word)
{
	const struct {
		const char *name;
		uint32_t *to;
	} numbers[] = {
		{ "max-conns", &h->config.max_conns },
		{ "max-sessions", &h->config.max_sessions },
		{ "max-halfopen", &h->config.max_halfopen },
		{ "max-halfopen-source", &h->config.max_halfopen_source },
		{ "id-base", &h->config.id_base },
		{ "id-len", &h->config.id_len },
	};
	const char *v;

	if (!strcmp(word, "v2"))
		return h->with_v2 = true;
	for (size_t i = 0; i < COUNT(numbers); i++) {
		if ((v = value(word, numbers[i].name))) {
			*numbers[i].to = (uint32_t)strtoul(v, NULL, 0);
			return true;
		}
	}
	return false;
}
