/* SPDX-License-Identifier: MIT
 *
 * The list of system calls that aditd may make; see filter.c. Used by sandbox.c and its test.
 */
#ifndef ADIT_DAEMON_FILTER_H
#define ADIT_DAEMON_FILTER_H

/*
 * From here on every thread of the process, those there are and those to come, is held to the list.
 * A call that is not on it ends the process with SIGSYS; before, the number and name of the call
 * are told to the keeper over `keeper` (KEEPER_FORBIDDEN; -1: nobody is told). 0; -ENOSYS the
 * kernel has no filters, nothing has changed; -ENOMEM, or what a system call said.
 */
int filter_load(int keeper);

#endif
