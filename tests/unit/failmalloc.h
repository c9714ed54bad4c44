/* SPDX-License-Identifier: MIT
 *
 * Failing allocations for unit tests. The linker sends every malloc, calloc, realloc,
 * reallocarray, strdup and strndup of the test and of the code under test through failmalloc.c
 * (-Wl,--wrap); shared libraries are not touched.
 *
 * The usual test fails each allocation of a piece of code in turn until the code runs through:
 *
 *     for (long n = 1;; n++) {
 *             failmalloc_arm(n);
 *             int rc = thing_do(t);
 *             if (!failmalloc_disarm())
 *                     break;                      // allocation n did not happen: all were tried
 *             assert_int_equal(rc, -ENOMEM);
 *             assert_thing_is_unchanged(t);
 *     }
 */
#ifndef ADIT_FAILMALLOC_H
#define ADIT_FAILMALLOC_H

#include <stdbool.h>

/* Let the n-th allocation from now on fail (1 = the next), and only that one. */
void failmalloc_arm(long n);

/* Let the n-th allocation and all later ones fail. */
void failmalloc_arm_from(long n);

/* Back to normal. True when an allocation has failed since the arming. */
bool failmalloc_disarm(void);

/* Allocations asked for since the program began, failed ones included. */
long failmalloc_count(void);

#endif
