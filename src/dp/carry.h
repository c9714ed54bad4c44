/* SPDX-License-Identifier: MIT
 *
 * What a process hands to the program that takes its place by execve(): records, and descriptors
 * named in them by their numbers. The keeper carries itself over an upgrade this way.
 *
 * A record is (u16 tag, u16 length, value), its value a sequence of such fields (base/wire.h). Who
 * reads skips fields it does not know, and records it does not know unless their tag has
 * CARRY_MUST: that is set on those without which something would be lost, such as a descriptor.
 */
#ifndef ADIT_DP_CARRY_H
#define ADIT_DP_CARRY_H

#include "base/wire.h"

#define CARRY_MUST 0x8000u

/* Who writes which records. */
enum carry_from {
	CARRY_KEEPER = 0x100,
	CARRY_HOLD = 0x200,
	CARRY_NET = 0x300,
	CARRY_CHILD = 0x400,
	CARRY_PLANE = 0x500,
	CARRY_KERNEL = 0x600
};
#define CARRY_FROM(tag) ((tag)&0x7f00u)

struct carry {
	uint8_t *buf;
	size_t len, cap;
	int *fds; /* all that were named */
	size_t fd_n, fd_cap;
	struct wcur w; /* the record that is being written */
	bool bad;      /* out of memory, or a record was too long */
};

/* Begin from zeroed memory. carry_begin() gives the cursor for the fields of one record, valid
 * until carry_end(). Failures are kept in `bad`. */
struct wcur *carry_begin(struct carry *c, uint16_t tag);
void carry_end(struct carry *c);

/* A field that names a descriptor; -1 stands for none. */
void carry_fd(struct carry *c, uint16_t tag, int fd);
/* A field with a text, without its NUL. */
void carry_text(struct carry *c, uint16_t tag, const char *text);

void carry_free(struct carry *c);

/* Read a text field into `ret` (`cap` octets with NUL): false when it is too long or holds a NUL.
 */
bool carry_text_load(struct rcur v, char *ret, size_t cap);

#endif
