/* SPDX-License-Identifier: MIT
 *
 * The configuration object: references, and freeing all that is in it.
 */
#include "conf.h"

#include <stdlib.h>

struct access_conf *access_conf_new(void)
{
	struct access_conf *c = calloc(1, sizeof(*c));

	if (c)
		c->refs = 1;
	return c;
}

struct access_conf *access_conf_ref(struct access_conf *c)
{
	c->refs++;
	return c;
}

void access_conf_unref(struct access_conf *c)
{
	if (!c || --c->refs)
		return;
	for (size_t i = 0; i < c->pool_count; i++) {
		free(c->pools[i].ranges);
		free(c->pools[i].prefixes6);
	}
	for (size_t i = 0; i < c->profile_count; i++)
		conf_profile_unref(c->profiles[i]);
	for (size_t i = 0; i < c->peer_count; i++) {
		free(c->peers[i].from);
		l2tp_profile_unref(c->peers[i].l2tp);
		l2tp3_profile_unref(c->peers[i].l2tp3);
		conf_profile_unref(c->peers[i].profile);
	}
	for (size_t i = 0; i < c->dial_count; i++) {
		l2tp_profile_unref(c->dials[i].l2tp);
		l2tp3_profile_unref(c->dials[i].l2tp3);
		ppp_profile_unref(c->dials[i].ppp);
		free(c->dials[i].routes);
	}
	free(c->pools);
	free(c->profiles);
	free(c->peers);
	free(c->dials);
	free(c->reserved);
	free(c);
}

struct conf_profile *conf_profile_ref(struct conf_profile *p)
{
	p->refs++;
	return p;
}

void conf_profile_unref(struct conf_profile *p)
{
	if (!p || --p->refs)
		return;
	ppp_profile_unref(p->ppp);
	free(p);
}
