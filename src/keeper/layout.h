/* SPDX-License-Identifier: MIT
 *
 * How the shared memory is laid out: known to the keeper, which makes it, and to aditd, which uses
 * it and makes it anew when it is of another version.
 */
#ifndef ADIT_KEEPER_LAYOUT_H
#define ADIT_KEEPER_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

/* The kinds of enum access_object, then two of pseudowires (enum pw_object). As a slot touches all
 * pages that it lies on, room for the longest record of a session would be 2 KiB and more of memory
 * for each, so there are three classes: most records are short, ACCESS_OBJ_SESSION has those with
 * long names, LAYOUT_SESSION_LONG the few others. */
#define LAYOUT_JOURNAL_CLASSES 8
#define LAYOUT_PW_CONN	       5
#define LAYOUT_PW_SESSION      6
#define LAYOUT_SESSION_LONG    7
#define LAYOUT_SESSION_SHORT   8
#define LAYOUT_SHORT_MOST      384
#define LAYOUT_SESSION_MOST    592

/* The trace ring: records and octets of raw bytes beside them, for trace_open(). There are 16
 * octets a record where sessions are set up, so that both reach equally far back. */
#define LAYOUT_TRACE_RECORDS 16384u
#define LAYOUT_TRACE_RAW     (256u << 10)

/*
 * The classes of the journal for these limits. There is room beyond them, since in one round what
 * begins may be written before what ended is removed, and for each session some accounting records
 * that are not on disk yet. On a machine of 32 bits there is less: what store_room() says of a new
 * journal is the limit.
 */
void layout_journal(uint32_t max_tunnels, uint32_t max_sessions,
		    struct store_class ret[LAYOUT_JOURNAL_CLASSES]);

/*
 * The classes of a journal that is to take the place of one with the classes `have`: each record
 * fits that did, and each of this release. 0 = they are those of `have`; 1 = they differ; -ERANGE =
 * such a journal would have several times the size of this release's and the `first`: no release
 * wrote that, somebody else did. `first` is the size of the journal before all renewals, as the
 * keeper knows it by itself: `have` is what aditd wrote, and could be made to grow by a little each
 * time. `ret` has room for STORE_CLASSES.
 */
int layout_renewed(const struct store_class *have, size_t have_n, uint64_t first,
		   uint32_t max_tunnels, uint32_t max_sessions, struct store_class *ret,
		   size_t *ret_n);

#endif
