/* SPDX-License-Identifier: MIT
 *
 * Pins of the user-space plane: the host route that keeps the way to a server outside of the routes
 * of the session. Sessions to one server share it, so it goes with the last of them.
 */
#include "user_int.h"

static bool wants(const struct dp_row *r, const struct addr *to)
{
	return r->pin_peer && addr_same_ip(&r->path.remote, to);
}

static const struct job *job_of(const struct user *u, uint64_t key)
{
	struct htab_node *n = htab_find(&u->keys, htab_hash(&u->keys, &key, sizeof(key)));

	while (n && container_of(n, struct job, node)->key != key)
		n = htab_next(n);
	return n ? container_of(n, struct job, node) : NULL;
}

bool pin_shared(const struct user *u, uint64_t key, const struct addr *to)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;
	struct dpt_info info;

	/* One that is being made has asked for the pin before its row is there. */
	while ((n = htab_walk(&u->keys, &pos, n))) {
		const struct job *j = container_of(n, struct job, node);

		if (j->key != key && j->op == JOB_PUT && !j->undo && wants(&j->row, to))
			return true;
	}
	for (uint32_t slot = 0; slot < dpt_high(u->table); slot++) {
		const struct job *j;

		if (!dpt_get(u->table, slot, &info) || info.ended || info.key == key ||
		    !wants(&info.row, to))
			continue;
		j = job_of(u, info.key);
		if (!j || (j->op != JOB_DEL && j->op != JOB_PUT))
			return true; /* else it is being removed, or was looked at above */
	}
	return false;
}
