/* SPDX-License-Identifier: MIT
 *
 * Inside of the configuration: the file as a tree of blocks and values, before it becomes what
 * conf.h promises. Used by conf*.c only.
 */
#ifndef ADIT_DAEMON_CONF_TREE_H
#define ADIT_DAEMON_CONF_TREE_H

#include "base/htab.h"
#include "base/list.h"
#include "conf.h"

/* An option of a block. */
struct conf_value {
	const struct conf_key *key;
	char **v; /* NULL when it is not set */
	size_t n;
	char *file; /* where it stands */
	int line;
};

struct conf_block {
	enum conf_kind kind;
	char name[CONF_NAME]; /* "" of CONF_GLOBAL */
	char *file;
	int line;
	struct conf_value *values; /* one for each key of the kind, in the order of the schema */
	size_t count;
};

/* Where an error is told: the first one wins. */
struct conf_err {
	char *text;
	size_t cap;
	bool set;
};

void conf_fail(struct conf_err *e, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A whole file with a NUL behind it. NULL with the reason in `why`. */
char *conf_slurp(const char *path, char *why, size_t cap);

/* The same of a file that the configuration is made of; of one that is made again (conf_again()),
 * the text of then. Kept where that is wanted. */
char *conf_text_read(struct conf *c, const char *path, char *why, size_t cap);
const char *conf_text_kept(const struct conf *c, const char *path); /* NULL = none */
bool conf_text_keep(struct conf *c, const char *path, const char *text, size_t len);
/* Take the texts of conf_pack(). False: out of memory, or they are none. */
bool conf_unpack(struct conf *c, const void *bytes, size_t len);

/* The rows of a kind, and how many. */
const struct conf_key *conf_keys(enum conf_kind kind, size_t *ret_count);

/* Is `text` a value for this key? False with the reason and the remedy in `why`. */
bool conf_value_ok(const struct conf_key *k, const char *text, char *why, size_t cap);
bool conf_bool(const char *text, bool *ret);
bool conf_number(const char *text, int64_t *ret);
bool conf_range4(const char *text, struct conf_range4 *ret, bool *ret_prefix);

/* Add a block with no value set. NULL when out of memory. */
struct conf_block *conf_block_add(struct conf *c, enum conf_kind kind, const char *name,
				  const char *file, int line);
const struct conf_block *conf_block_find(const struct conf *c, enum conf_kind kind,
					 const char *name);
void conf_blocks_free(struct conf *c);

/* The value of a key, NULL when it is not in the file. The key is one of the kind. */
const struct conf_value *conf_get(const struct conf_block *b, const char *key);
/* The same for a key that the kind may not have. */
const struct conf_value *conf_has(const struct conf_block *b, const char *key);

/* Make everything of `c` from its blocks. False with the error told. */
bool conf_make(struct conf *c, unsigned int flags, struct conf_err *e);

/* ---- making values of the tree: conf_get.c, conf_net.c, conf_build.c ---- */

struct conf_build {
	struct conf *c;
	unsigned int flags;
	struct conf_err *e;
	uint64_t secrets;      /* hash of the secrets of the session being made */
	const char *host_name; /* of the file, "" = the machine's, which may change at any time */
	struct htab once;      /* conf_take() */
};

/* An error that concerns a value, or the block when the value is not in the file. */
#define FAIL(b, block, key, ...)                                         \
	do {                                                             \
		const struct conf_value *at_ = conf_get(block, key);     \
		conf_fail((b)->e, at_ ? at_->file : (block)->file,       \
			  at_ ? at_->line : (block)->line, __VA_ARGS__); \
	} while (0)

bool conf_no_memory(struct conf_build *b); /* tells it; false */

/* The text of a single value or its default; NULL when there is neither. */
const char *conf_text_of(const struct conf_block *block, const char *key);
/* Is it set, and to something else than its default? */
bool conf_differs(const struct conf_block *block, const char *key);
bool conf_bool_of(const struct conf_block *block, const char *key);
uint32_t conf_number_of(const struct conf_block *block, const char *key); /* "auto", "any" are 0 */
/* In microseconds, `never` for "never". */
int64_t conf_duration_of(const struct conf_block *block, const char *key, int64_t never);
struct addr conf_addr_of(const struct conf_block *block, const char *key);
bool conf_prefixes_of(struct conf_build *b, const struct conf_block *block, const char *key,
		      struct prefix **ret, size_t *ret_count);
size_t conf_count_of(const struct conf *c, enum conf_kind kind);
uint64_t conf_hash_text(uint64_t hash, const char *text);
/* Of all that is set to something else than its default, but for secrets and the key `without`: a
 * release with more keys, or other defaults, has the same hash. Not 0. */
uint64_t conf_hash_block(uint64_t hash, const struct conf_block *block, const char *without);

/* A secret from the file itself or from a file of its own; "" when there is none. */
bool conf_secret_of(struct conf_build *b, const struct conf_block *block, const char *key,
		    const char *file_key, char *ret, size_t cap, bool *ret_set);
/* The users file of a profile, read once for all that name it. */
bool conf_users_of(struct conf_build *b, const struct conf_block *block, struct conf_profile *p);

/* What only one pseudowire may have. */
enum conf_once {
	CONF_ONCE_IFNAME,
	CONF_ONCE_TUNNEL_ID,  /* static: the kernel has each once, for all that share it */
	CONF_ONCE_SESSION_ID, /* static, likewise */
	CONF_ONCE_FIXED_ID,   /* in a tunnel, without an agreement */
	CONF_ONCE_END_ID,     /* in its tunnel */
	CONF_ONCE_TUNNEL      /* that several pseudowires imply */
};

struct conf_taken {
	const char *name; /* of the block, whose it stays */
	size_t at;
};

/* Take `key`; `ret` is who has it: `by`, or one that came before. False: out of memory, told. */
bool conf_take(struct conf_build *b, enum conf_once what, const void *key, size_t len,
	       struct conf_taken by, struct conf_taken *ret);
void conf_take_free(struct conf_build *b);
/* When all is made: its names. */
bool conf_index(struct conf_build *b);
void conf_index_free(struct conf *c);

bool conf_listeners(struct conf_build *b);
bool conf_wire_build(struct conf_build *b, const struct conf_block *block); /* conf_wire.c */
/* conf_tunnel.c: a tunnel block; the index of the control connection a pseudowire uses. */
bool conf_tunnel_build(struct conf_build *b, const struct conf_block *block);
bool conf_wire_tunnel(struct conf_build *b, const struct conf_block *block, size_t *ret);
bool conf_wire_port(struct conf_build *b, const struct conf_block *block, const char *key,
		    uint16_t *ret, bool udp);
/* The version of L2TP of a peer or a session, and what its engine has to know in version 3 (NULL in
 * version 2); `v2` is made already. False: told. */
bool conf_version_of(struct conf_build *b, const struct conf_block *block,
		     const struct l2tp_params *v2, enum conf_version *ret,
		     struct l2tp3_profile **ret_l2tp3);
/* What this version of L2TP cannot have is not asked for by a session. */
bool conf_version_ok(struct conf_build *b, const struct conf_block *block,
		     enum conf_version version);
/* Does the block say encapsulation = ip? */
bool conf_over_ip(const struct conf_block *block);
/* ... then it names no port. False: told. */
bool conf_no_port(struct conf_build *b, const struct conf_block *block, const char *key);
enum pw_connect conf_connect_of(const struct conf_block *block);
/* The socket of a control connection at `at`: a listener there, or one for all that want it. */
/* What the option data-plane of a block says, `other` where it does not stand. */
enum dp_want conf_plane_of(const struct conf_block *block, enum dp_want other);

/* Can this be the name of a network namespace (NULL: none)? False: told. */
bool conf_netns_ok(struct conf_build *b, const struct conf_block *block, const char *name);

bool conf_wire_socket(struct conf_build *b, const struct addr *at, uint8_t encap,
		      uint32_t *ret_via);
bool conf_dial_socket_of(struct conf_build *b, const struct conf_block *block, uint16_t family,
			 int *ret_index);
/* conf_place.c: where interfaces lie, and whether the plane `plane` could put them there. */
bool conf_place_of(struct conf_build *b, const struct conf_block *block, struct conf_place *ret);
bool conf_place_carried(struct conf_build *b, const struct conf_block *block,
			const struct conf_place *p, enum dp_want plane);
bool conf_pool_build(struct conf_build *b, const struct conf_block *block);
struct conf_pool *conf_pool_find(struct access_conf *a, const char *name);
bool conf_pools_without_ours(struct conf_build *b);

#endif
