/* SPDX-License-Identifier: MIT
 *
 * Where the interfaces of sessions lie in the kernel's plane: VRF, network namespace, name, queue.
 */
#include "conf_tree.h"

#include <stdio.h>
#include <string.h>

#include "access/place.h"

/* A file of /run/netns: what `ip netns add` makes. */
bool conf_netns_ok(struct conf_build *b, const struct conf_block *block, const char *name)
{
	if (!name || (name[0] != '.' && !strchr(name, '/') && strlen(name) < CONF_NAME))
		return true;
	FAIL(b, block, "namespace",
	     "\"%s\" is no network namespace; it is the name that `ip netns` shows", name);
	return false;
}

/* Two names with one number would be one namespace. */
static bool netns_number_free(const struct conf_build *b, const char *name)
{
	for (size_t i = 0; conf_netns(b->c, i); i++)
		if (strcmp(conf_netns(b->c, i), name) != 0 &&
		    acc_netns_id(conf_netns(b->c, i)) == acc_netns_id(name))
			return false;
	return true;
}

bool conf_place_of(struct conf_build *b, const struct conf_block *block, struct conf_place *ret)
{
	const char *vrf = conf_text_of(block, "vrf"), *netns = conf_text_of(block, "namespace");
	const struct conf_value *name = conf_has(block, "interface-name");
	const char *wrong = name ? acc_ifname_wrong(name->v[0]) : "";

	if (!conf_netns_ok(b, block, netns))
		return false;
	if (netns && !netns_number_free(b, netns)) {
		FAIL(b, block, "namespace",
		     "\"%s\" cannot be told from another namespace; "
		     "rename one",
		     netns);
		return false;
	}
	if (wrong[0]) {
		FAIL(b, block, "interface-name", "\"%s\" is no name with a user's in it: %s",
		     name->v[0], wrong);
		return false;
	}
	snprintf(ret->vrf, sizeof(ret->vrf), "%s", vrf ? vrf : "");
	snprintf(ret->netns, sizeof(ret->netns), "%s", netns ? netns : "");
	snprintf(ret->ifname, sizeof(ret->ifname), "%s", name ? name->v[0] : "");
	ret->txqlen = (uint16_t)conf_number_of(block, "queue-length");
	return true;
}

bool conf_place_carried(struct conf_build *b, const struct conf_block *block,
			const struct conf_place *p, enum dp_want plane)
{
	const char *key = p->vrf[0] ? "vrf" : "namespace";

	if (plane != DP_WANT_USER || !acc_place_needed(p))
		return true;
	conf_fail(b->e, block->file, block->line,
		  "%s \"%s\" has data-plane = user, whose sessions have no interface that could be "
		  "put into a %s; use data-plane = auto or kernel",
		  conf_kind_name(block->kind), block->name, key);
	return false;
}

const char *conf_netns(const struct conf *c, size_t index)
{
	const struct access_conf *a = c->access;
	size_t n = a->profile_count + a->dial_count;

	for (size_t i = 0; i < n; i++) {
		const struct conf_place *p = i < a->profile_count
						     ? &a->profiles[i]->place
						     : &a->dials[i - a->profile_count].place;

		if (p->netns[0] && index-- == 0)
			return p->netns;
	}
	return NULL;
}
