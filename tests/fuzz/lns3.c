/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: as lns, with PPP over L2TPv3: over UDP and IP, requests for either version, numbered
 * data and pipes, outgoing calls. See lns.c for the input; its options mean these things besides.
 *
 * drives: src/access/l2.c src/access/pipe.c
 */
#define FUZZ_LNS3
#include "lns.c"
