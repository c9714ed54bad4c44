/* SPDX-License-Identifier: MIT
 *
 * Sizes of the shared memory. Memory that is not used is never touched and costs nothing, so there
 * is room for the limits of the configuration and a quarter more.
 */
#include "layout.h"

#include <errno.h>

#include "access/access.h"
#include "access/pw.h"

/* A record that has grown four times makes a journal that has. */
#define GROWTH_MOST 4
/* Room for a journal where addresses are short. */
#define SMALL_MACHINE (512u << 20)

void layout_journal(uint32_t max_tunnels, uint32_t max_sessions,
		    struct store_class ret[LAYOUT_JOURNAL_CLASSES])
{
	struct store_class c[LAYOUT_JOURNAL_CLASSES] = {
		{ ACCESS_OBJ_TUNNEL, ACCESS_SAVE_TUNNEL_MAX, max_tunnels + max_tunnels / 4 + 64 },
		{ ACCESS_OBJ_SESSION, LAYOUT_SESSION_MOST, max_sessions + max_sessions / 4 + 64 },
		{ ACCESS_OBJ_ACCT, ACCESS_SAVE_ACCT_MAX, 2 * max_sessions + 1024 },
		{ ACCESS_OBJ_STATE, ACCESS_SAVE_STATE_MAX, 4 },
		{ LAYOUT_PW_CONN, PW_SAVE_CONN_MAX, max_tunnels + max_tunnels / 4 + 64 },
		{ LAYOUT_PW_SESSION, PW_SAVE_SESSION_MAX, max_sessions + max_sessions / 4 + 64 },
		{ LAYOUT_SESSION_SHORT, LAYOUT_SHORT_MOST, max_sessions + max_sessions / 4 + 64 },
		{ LAYOUT_SESSION_LONG, ACCESS_SAVE_SESSION_MAX,
		  max_sessions + max_sessions / 4 + 64 },
	};
	size_t i;

	while (sizeof(void *) == 4 && store_size(c, LAYOUT_JOURNAL_CLASSES) > SMALL_MACHINE)
		for (i = 0; i < LAYOUT_JOURNAL_CLASSES; i++)
			c[i].count -= c[i].count / 8;
	memcpy(ret, c, sizeof(c));
}

int layout_renewed(const struct store_class *have, size_t have_n, uint64_t first,
		   uint32_t max_tunnels, uint32_t max_sessions, struct store_class *ret,
		   size_t *ret_n)
{
	struct store_class ours[LAYOUT_JOURNAL_CLASSES];
	int differs = 0;
	size_t n = have_n;

	layout_journal(max_tunnels, max_sessions, ours);
	memcpy(ret, have, have_n * sizeof(*have));
	for (size_t i = 0; i < LAYOUT_JOURNAL_CLASSES; i++) {
		size_t at = 0;

		while (at < n && ret[at].kind != ours[i].kind)
			at++;
		if (at == n && n == STORE_CLASSES)
			continue;
		if (at == n) {
			ret[n++] = ours[i];
			differs = 1;
		} else if (ret[at].max < ours[i].max) {
			ret[at].max = ours[i].max;
			differs = 1;
		}
	}
	if (differs &&
	    store_size(ret, n) / GROWTH_MOST > first + store_size(ours, LAYOUT_JOURNAL_CLASSES))
		return -ERANGE;
	*ret_n = n;
	return differs;
}
