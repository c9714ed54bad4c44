/* SPDX-License-Identifier: MIT
 *
 * What aditd asks the keeper: typed requests over one SOCK_SEQPACKET pair, one datagram each,
 * answered in any order by the same id. Values are TLVs (wire.h) in network order. Descriptors
 * travel by SCM_RIGHTS. The keeper carries out only what the configuration it has read itself
 * allows, and says no in words otherwise.
 *
 *   datagram = u32 magic "adk1", u32 id, u16 type, u16 0, TLVs
 *
 * Id 0 is no request: the keeper tells something of its own accord (RELOAD: read the configuration
 * again). Descriptors and memory named here are the keeper's: it hands the same ones to the next
 * aditd. Unknown tags are skipped, so the two may be of different releases.
 */
#ifndef ADIT_KEEPER_PROTO_H
#define ADIT_KEEPER_PROTO_H

#include "base/dp_types.h"

#define KEEPER_MAGIC  0x61646b31u
#define KEEPER_MAX    8192	       /* a datagram */
#define KEEPER_FD_ENV "ADIT_KEEPER_FD" /* environment: number of aditd's end of the pair */

#define KEEPER_NAME_MAX 80  /* names of sockets, sessions and devices, with NUL */
#define KEEPER_TEXT_MAX 512 /* an error in words, with NUL */
#define KEEPER_HOST_MAX 256 /* names to resolve, with NUL */
#define KEEPER_PATH_MAX 256 /* programs, with NUL */
#define KEEPER_ADDRS	16  /* addresses in one answer */
#define KEEPER_FDS	4
#define KEEPER_ENVS	48 /* variables for a hook */

enum keeper_type {
	KEEPER_HELLO = 1,     /* -> shared memory and facts; fds: journal, table, trace, control */
	KEEPER_SOCKET = 2,    /* VIA -> fd of a bound socket of the configuration, or of a former
				 one that was not closed yet, ADDR */
	KEEPER_TUN = 3,	      /* NAME, ETHERNET 0/1 -> fd, made on first use, there as long as the
				 keeper */
	KEEPER_TUN_GONE = 4,  /* NAME: close and remove */
	KEEPER_LINK = 5,      /* NAME, MTU: set up; MASTER: into that bridge or VRF, "" = none */
	KEEPER_ADDR = 6,      /* NAME of the device, PREFIX, ADD 0/1 */
	KEEPER_ROUTE = 7,     /* NAME of the device, PREFIX, TABLE, METRIC, ADD 0/1 */
	KEEPER_PIN = 8,	      /* ADDR: keep the route it has now, ADD 0/1 */
	KEEPER_RESOLVE = 9,   /* HOST, PORT -> ADDRs; done in a child */
	KEEPER_HOOK = 10,     /* NAME, PROGRAM, ENV...: run in a child, one after the other per NAME
				 -> STATUS */
	KEEPER_READY = 11,    /* aditd serves */
	KEEPER_RELOAD = 12,   /* read the configuration again; with id 0: it was read again */
	KEEPER_STATUS = 13,   /* -> facts */
	KEEPER_PLANE = 14,    /* both ways, always with id 0, never answered as such: the TLVs are
				 records of the data plane (src/dp/batch.h), not those below */
	KEEPER_UPGRADE = 15,  /* of root, at the keeper's own socket (gate.h): replace yourself by
				 execve(); answered by the new program, or with the reason why not */
	KEEPER_STOPPING = 16, /* aditd tells its peers that it stops: have patience for another
				 SERVE_PATIENCE_US (ten seconds if the configuration has no
				 stop-rate), if aditd was asked to stop */
	KEEPER_STOPPED = 17,  /* aditd was asked to stop and has told everybody: nothing is left to
				 do  for another one */
	KEEPER_SOCKET_GONE = 18, /* VIA: nothing goes on over this socket, which the configuration
				    no longer has: close it */
	KEEPER_CONF = 19,	 /* -> fd: shared memory for the texts of the configuration that is
				    in force, SIZE; what is in it is aditd's alone */
	KEEPER_FORBIDDEN = 50, /* STATUS, NAME: aditd is being ended by its sandbox because it made
				  the system call of this number and name; not answered */
	KEEPER_REPLY = 100 /* to any of these: ERROR (0 or errno), TEXT, and what is named above */
};

enum keeper_tag {
	KEEPER_T_ERROR = 1, /* u32 errno, 0 = done */
	KEEPER_T_TEXT = 2,
	KEEPER_T_NAME = 3,
	KEEPER_T_VIA = 4,    /* u32 */
	KEEPER_T_ADDR = 5,   /* addr_save(), may repeat in an answer */
	KEEPER_T_PREFIX = 6, /* addr_save(), u8 length */
	KEEPER_T_MTU = 7,    /* u32 */
	KEEPER_T_TABLE = 8,  /* u32, 0 = main */
	KEEPER_T_METRIC = 9, /* u32 */
	KEEPER_T_ADD = 10,   /* u32 0 or 1 */
	KEEPER_T_HOST = 11,
	KEEPER_T_PORT = 12, /* u32 */
	KEEPER_T_PROGRAM = 13,
	KEEPER_T_ENV = 14,	   /* "NAME=value", may repeat */
	KEEPER_T_STATUS = 15,	   /* u32 wait status */
	KEEPER_T_STARTS = 16,	   /* u32: how often aditd was started by this keeper */
	KEEPER_T_INCARNATION = 17, /* u32, see access.h */
	KEEPER_T_SINCE = 18,	   /* u64: keeper's start, CLOCK_BOOTTIME us */
	KEEPER_T_SIZE =
		19, /* u64, may repeat: sizes of the shared memory in the order of the fds */
	KEEPER_T_ETHERNET = 20, /* u32 0 or 1 */
	KEEPER_T_MASTER = 21
};

struct keeper_env {
	const char *text; /* in the datagram, not NUL-terminated; no NUL inside, has a '=' */
	uint16_t len;
};

/*
 * A datagram in plain values. What is not there is 0, "" or empty; `have` has bit 1 << tag for
 * every tag that is. Texts are NUL-terminated and have no NUL inside.
 */
struct keeper_msg {
	uint32_t id;
	uint16_t type; /* enum keeper_type */
	uint32_t have;
	uint32_t error, via, mtu, table, metric, add, port, status, starts, incarnation, ethernet;
	uint64_t since;
	char text[KEEPER_TEXT_MAX];
	char name[KEEPER_NAME_MAX];
	char host[KEEPER_HOST_MAX];
	char program[KEEPER_PATH_MAX];
	char master[DP_IFNAME];
	struct prefix prefix;
	struct addr addrs[KEEPER_ADDRS];
	uint32_t addr_count;
	uint64_t sizes[KEEPER_FDS];
	uint32_t size_count;
	struct keeper_env envs[KEEPER_ENVS];
	uint32_t env_count;
};

#define KEEPER_HAS(msg, tag) (((msg)->have & (1u << (tag))) != 0)

struct wcur;

/* Write what `have` names; of the repeated ones as many as their count says. The cursor turns bad
 * when it does not fit. */
void keeper_msg_save(struct wcur *c, const struct keeper_msg *m);

/*
 * Read a datagram; ret->envs point into it. 0; -EBADMSG it is not of this protocol, a value has the
 * wrong length or is too long, a prefix or address is none, or what must not repeat does; then *ret
 * is undefined, but ret->id is the id if there was one, else 0.
 */
int keeper_msg_load(const uint8_t *bytes, size_t len, struct keeper_msg *ret);

/* The header in front of records of the data plane, and the way back: the records of a datagram of
 * this kind, NULL when it is of another. */
#define KEEPER_HEADER 12
void keeper_plane_head(struct wcur *c);
const uint8_t *keeper_plane_body(const uint8_t *bytes, size_t len, size_t *ret_len);

/* "hello", "socket", ...; "unknown" for other numbers. */
const char *keeper_type_name(uint16_t type);

#endif
