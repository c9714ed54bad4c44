/* SPDX-License-Identifier: MIT
 *
 * Which sessions of the user-space plane have a device of their own, and its name: those of clients
 * and Ethernet pseudowires. There are few.
 */
#include "user_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct client *client_of(const struct user *u, uint32_t slot)
{
	list_for_each (l, &u->clients) {
		struct client *c = container_of(l, struct client, link);

		if (c->slot == slot)
			return c;
	}
	return NULL;
}

bool device_used(const struct user *u, const char *name)
{
	if (strcmp(name, u->ifname) == 0)
		return true;
	list_for_each (l, &u->clients) {
		if (strcmp(container_of(l, struct client, link)->name, name) == 0)
			return true;
	}
	return false;
}

void device_pick(const struct user *u, uint32_t skip, char ret[DP_IFNAME])
{
	for (uint32_t n = 1;; n++) {
		snprintf(ret, DP_IFNAME, "adit%u", n);
		if (!device_used(u, ret) && skip-- == 0)
			return;
	}
}

bool device_add(struct user *u, uint32_t slot, const char *name)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return false;
	c->slot = slot;
	memcpy(c->name, name, sizeof(c->name));
	list_push(&u->clients, &c->link);
	return true;
}

void device_drop(struct user *u, uint32_t slot)
{
	struct client *c = client_of(u, slot);

	if (c) {
		list_drop(&c->link);
		free(c);
	}
}

void devices_free(struct user *u)
{
	for (struct list *l; (l = list_pop(&u->clients)) != NULL;)
		free(container_of(l, struct client, link));
}
