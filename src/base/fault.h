/* SPDX-License-Identifier: MIT
 *
 * Named places where a test lets a process die. With -Dfaults=true each FAULT("name") looks into a
 * small file that is shared with the test (named by the environment variable ADIT_FAULTS); in all
 * other builds it is nothing.
 *
 * The file has 64 octets: the name of a place, NUL-padded to 48; a count, 32 bits of the machine's
 * order; how often processes have died there, 32 bits. When the named place is passed and the count
 * falls to 0, the name is cleared, the deaths go up by one and the process ends as by SIGKILL:
 * nothing is flushed, no handler runs, all threads stop. At a place where FAULT_SLOW() stands it
 * waits instead, as many milliseconds as the count says, each time.
 */
#ifndef ADIT_BASE_FAULT_H
#define ADIT_BASE_FAULT_H

#ifdef ADIT_FAULTS

#include <stddef.h>

#define FAULT_ENV "ADIT_FAULTS"

/* Map the file; before rights are given up. Without the variable, or the file, nobody dies.
 * `mortal`: 0 = this process never does, it only waits. */
void fault_open(int mortal);
void fault_point(const char *name);
/* If this is the place, wait as many milliseconds as the count says; nobody dies. */
void fault_slow(const char *name);
/* Is this the place and the time to die? Then something can be left half done before. */
int fault_due(const char *name);
void fault_die(void) __attribute__((noreturn));

#define FAULT(name)	 fault_point(name)
#define FAULT_SLOW(name) fault_slow(name)
#else
#define FAULT(name)	 ((void)0)
#define FAULT_SLOW(name) ((void)0)
#endif

#endif
