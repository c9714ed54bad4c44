/* SPDX-License-Identifier: MIT
 *
 * What aditd asks the keeper: typed requests over one SOCK_SEQPACKET pair, one datagram each,
 * answered in any order by the same id. Values are TLVs (wire.h) in network order. Descriptors
 * travel by SCM_RIGHTS. The keeper carries out only what the configuration it has read itself
 * allows, and says no in words otherwise.
 *
 *   datagram = u32 magic "adk1", u32 id, u16 type, u16 0, TLVs
 *
 * Descriptors and memory named here are the keeper's: it hands the same ones to the next aditd.
 */
#ifndef ADIT_KEEPER_PROTO_H
#define ADIT_KEEPER_PROTO_H

#include "base/dp_types.h"

#define KEEPER_MAGIC   0x61646b31u
#define KEEPER_MAX     8192 /* a datagram */
#define KEEPER_FD_ENV  "ADIT_KEEPER_FD" /* environment: number of aditd's end of the pair */

enum keeper_type {
	KEEPER_HELLO = 1,    /* -> shared memory and facts; fds: journal, table, trace, control listener */
	KEEPER_SOCKET = 2,   /* NAME of a listen block, VIA -> fd of a bound UDP socket, ADDR */
	KEEPER_TUN = 3,      /* NAME -> fd, made on first use, persistent while the keeper lives */
	KEEPER_TUN_GONE = 4, /* NAME: close and remove */
	KEEPER_LINK = 5,     /* NAME, MTU: set up */
	KEEPER_ADDR = 6,     /* NAME of the device, PREFIX, ADD 0/1 */
	KEEPER_ROUTE = 7,    /* NAME of the device, PREFIX, TABLE, METRIC, ADD 0/1 */
	KEEPER_PIN = 8,      /* ADDR: keep the route it has now, ADD 0/1 */
	KEEPER_RESOLVE = 9,  /* HOST, PORT -> ADDRs; done in a child */
	KEEPER_HOOK = 10,    /* PROGRAM, ENV...: run in a child, one after the other per NAME -> STATUS */
	KEEPER_READY = 11,   /* aditd serves */
	KEEPER_RELOAD = 12,  /* read the configuration again */
	KEEPER_STATUS = 13,  /* -> facts */
	KEEPER_REPLY = 100   /* to any of these: ERROR (0 or errno), TEXT, and what is named above */
};

enum keeper_tag {
	KEEPER_T_ERROR = 1,   /* u32 errno, 0 = done */
	KEEPER_T_TEXT = 2,
	KEEPER_T_NAME = 3,
	KEEPER_T_VIA = 4,     /* u32 */
	KEEPER_T_ADDR = 5,    /* addr_save() */
	KEEPER_T_PREFIX = 6,  /* addr_save(), u8 length */
	KEEPER_T_MTU = 7,     /* u32 */
	KEEPER_T_TABLE = 8,   /* u32 */
	KEEPER_T_METRIC = 9,  /* u32 */
	KEEPER_T_ADD = 10,    /* u32 0 or 1 */
	KEEPER_T_HOST = 11,
	KEEPER_T_PORT = 12,   /* u32 */
	KEEPER_T_PROGRAM = 13,
	KEEPER_T_ENV = 14,    /* "NAME=value", may repeat */
	KEEPER_T_STATUS = 15, /* u32 wait status */
	KEEPER_T_STARTS = 16, /* u32: how often aditd was started by this keeper */
	KEEPER_T_INCARNATION = 17, /* u32, see access.h */
	KEEPER_T_SINCE = 18,  /* u64: keeper's start, CLOCK_BOOTTIME us */
	KEEPER_T_SIZE = 19    /* u64, may repeat: sizes of the shared memory in the order of the fds */
};

#endif
