/* SPDX-License-Identifier: MIT
 *
 * The fields of records, for the writer (save.c) and the reader (load.c). Numbers are kept for
 * ever: append only.
 */
#ifndef ADIT_ACCESS_SAVE_H
#define ADIT_ACCESS_SAVE_H

#include "internal.h"

enum acc_tag {
	ACC_TAG_KEYS = 1,
	ACC_TAG_COUNTS = 2,  /* set-ups, failures */
	ACC_TAG_STOPPED = 3, /* hashes of disconnected dials */
	ACC_TAG_FLAGS = 4,
	ACC_TAG_NAME = 5, /* peer block or dial */
	ACC_TAG_HOST = 6,
	ACC_TAG_L2TP = 7,
	ACC_TAG_PPP = 8,
	ACC_TAG_IDS = 9, /* tunnel key, local and remote ids of tunnel and session */
	ACC_TAG_PATH = 10,
	ACC_TAG_PROFILE = 11,
	ACC_TAG_DIGEST = 12, /* of the dial's settings */
	ACC_TAG_CALLING = 13,
	ACC_TAG_CALLED = 14,
	ACC_TAG_USER = 15,
	ACC_TAG_TIMES = 16, /* since, ends, idle, interim; limits in seconds */
	ACC_TAG_ADDRESSES = 17,
	ACC_TAG_PREFIX6 = 18,
	ACC_TAG_ROUTES = 19,
	ACC_TAG_NUMBERS = 20, /* generation, lines made, MTU, login method */
	ACC_TAG_END = 21,     /* cause, then words */
	ACC_TAG_DNS = 22,
	ACC_TAG_IFNAME = 23,
	ACC_TAG_DRAIN = 25,   /* rate: there while it drains */
	ACC_TAG_VERSION = 26, /* of L2TP, where it is not 2 */
	ACC_TAG_IDS3 = 27,    /* of L2TPv3: as IDS, of 32 bits, without the key */
	ACC_TAG_PATH4 = 28,   /* instead of PATH, of IPv4: via, local and remote address and port */
	ACC_TAG_LINE = 24     /* key, seq, event, then the text */
};

/* Flags of tunnels and sessions. */
enum {
	FLAG_CLIENT = 1 << 0,
	FLAG_UP = 1 << 1,	   /* tunnel */
	FLAG_ESTABLISHED = 1 << 2, /* session */
	FLAG_ENDING = 1 << 3,
	FLAG_STOPPED = 1 << 4,
	FLAG_BY_PEER = 1 << 5,
	FLAG_IP4 = 1 << 6,
	FLAG_IP6 = 1 << 7,
	FLAG_WANT_IP4 = 1 << 8,
	FLAG_WANT_IP6 = 1 << 9,
	FLAG_ROW = 1 << 10,
	FLAG_RA = 1 << 11,
	FLAG_TOLD = 1 << 12 /* EV_UP was told */
};

#endif
