/* SPDX-License-Identifier: MIT
 *
 * Configurations of the nodes: one LNS with a pool, clients with as many dials as the plan says.
 */
#include "world.h"

#include <stdlib.h>

#define MUST(p)                  \
	do {                     \
		if (!(p))        \
			abort(); \
	} while (0)

static struct addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr){ .family = AF_INET, .ip = { a, b, c, d } };
}

static struct l2tp_profile *l2tp_profile(const struct world *w, const char *name)
{
	struct l2tp_params p = { .host_name = name,
				 .secret = "tunnel secret",
				 .secret_len = 13,
				 .challenge = true,
				 .length_bit = true,
				 .hello_us = w->plan.large ? 60 * US_S : 10 * US_S,
				 .setup_us = 30 * US_S,
				 .empty_us = 60 * US_S };
	int err;
	struct l2tp_profile *r = l2tp_profile_new(&p, &err);

	MUST(r);
	return r;
}

static struct ppp_profile *ppp_profile(const struct world *w, const char *user)
{
	struct ppp_params p = { .echo_us = w->plan.large ? 30 * US_S : 8 * US_S,
				.echo_lost = 3,
				.mru = 1460,
				.ipcp = true,
				.ipv6cp = true };
	int err;
	struct ppp_profile *r;

	if (user) {
		p.user = user;
		p.password = "password";
		p.password_len = 8;
		p.peer_auth = PPP_AUTH_PAP | PPP_AUTH_CHAP_MD5;
		p.ask_dns = true;
	} else {
		p.auth_order[0] = w->seed % 3 ? PPP_AUTH_CHAP_MD5 : PPP_AUTH_PAP;
		p.auth_order[1] = PPP_AUTH_PAP;
	}
	r = ppp_profile_new(&p, &err);
	MUST(r);
	return r;
}

static void one_pool(struct world *w, struct access_conf *c)
{
	uint32_t n = w->plan.clients * w->plan.sessions;

	c->pools = calloc(1, sizeof(*c->pools));
	MUST(c->pools);
	c->pool_count = 1;
	memcpy(c->pools->name, "main", 5);
	c->pools->ranges = calloc(1, sizeof(*c->pools->ranges));
	c->pools->prefixes6 = calloc(1, sizeof(*c->pools->prefixes6));
	MUST(c->pools->ranges && c->pools->prefixes6);
	c->pools->range_count = c->pools->prefix6_count = 1;
	/* Hardly more than there are sessions, but some that end linger. */
	c->pools->ranges[0] = (struct conf_range4){ 0x0a400001, 0x0a400000 + n + n / 2 + 4 };
	c->pools->len6 = 64;
	if (prefix_parse("2001:db8:4000::/40", &c->pools->prefixes6[0]) < 0)
		abort();
}

struct access_conf *conf_lns(struct world *w)
{
	struct access_conf *c = access_conf_new();
	struct conf_profile *p = calloc(1, sizeof(*p));

	MUST(c && p);
	memcpy(c->host_name, "lns", 4);
	c->serial = 1;
	one_pool(w, c);
	p->refs = 1;
	memcpy(p->name, "subscribers", 12);
	memcpy(p->pool, "main", 5);
	p->ppp = ppp_profile(w, NULL);
	p->local4 = ip4(10, 64, 255, 1);
	p->dns4[0] = ip4(10, 64, 255, 53);
	p->mss_clamp = p->antispoof = true;
	p->interim_us = w->seed % 2 && !w->plan.large ? 20 * US_S : 0;
	p->max_per_user = w->plan.login_limit ? 1 : 0;
	p->replace = true;
	c->profiles = calloc(1, sizeof(struct conf_profile *));
	c->peers = calloc(1, sizeof(*c->peers));
	MUST(c->profiles && c->peers);
	c->profiles[0] = p;
	c->profile_count = c->peer_count = 1;
	memcpy(c->peers->name, "clients", 8);
	memcpy(c->peers->host_name, "client*", 8);
	c->peers->l2tp = l2tp_profile(w, "lns");
	c->peers->profile = conf_profile_ref(p);
	return c;
}

struct access_conf *conf_client(struct world *w, struct node *n)
{
	struct access_conf *c = access_conf_new();

	MUST(c);
	memcpy(c->host_name, n->name, sizeof(n->name));
	c->serial = 1;
	c->dials = calloc(w->plan.sessions, sizeof(*c->dials));
	MUST(c->dials);
	c->dial_count = w->plan.sessions;
	for (unsigned int i = 0; i < c->dial_count && i < 1000; i++) {
		struct conf_dial *d = &c->dials[i];

		snprintf(d->name, sizeof(d->name), "d%u", i);
		snprintf(d->server, sizeof(d->server), "lns.example");
		snprintf(d->user, sizeof(d->user), "u%u-%u", n->index, i);
		snprintf(d->ifname, sizeof(d->ifname), "l2tp%u", i % 1000);
		d->digest = 1 + i;
		d->via = 1;
		d->l2tp = l2tp_profile(w, n->name);
		d->ppp = ppp_profile(w, d->user);
		d->automatic = true;
		d->redial_first_us = US_S;
		d->redial_cap_us = 10 * US_S;
		d->ip4 = d->ip6 = d->mss_clamp = d->want_dns = true;
		d->default_route = i == 0;
	}
	return c;
}

struct users *users_of(struct world *w)
{
	size_t cap = (size_t)w->plan.clients * w->plan.sessions * 64 + 64, len = 0;
	char *text = malloc(cap), err[128];
	struct users *u;
	int rc;

	MUST(text);
	for (unsigned int i = 1; i <= w->plan.clients; i++) {
		for (unsigned int j = 0; j < w->plan.sessions; j++) {
			len += (size_t)snprintf(text + len, cap - len, "u%u-%u * password", i, j);
			if (w->plan.fixed && (i + j) % 3 == 0)
				len += (size_t)snprintf(text + len, cap - len, " 10.65.%u.%u", i,
							j + 1);
			text[len++] = '\n';
		}
	}
	u = users_parse(text, len, &rc, err, sizeof(err));
	MUST(u);
	free(text);
	return u;
}
