/* SPDX-License-Identifier: MIT
 *
 * How many control messages come up to the control thread, by who sent them (forward.c).
 *
 * Anybody can send a request for a tunnel, from any address. So that a flood of such costs next to
 * nothing, and keeps nobody waiting whom we know, a message is counted against one of four buckets:
 *
 *   control   with a tunnel id, of a known source
 *   unproven  with a tunnel id, of any other: the third message of a stranger's handshake
 *   asker     without a tunnel id (SCCRQ), of a known source
 *   stranger  without a tunnel id, of any other
 *
 * Messages without a tunnel id are counted for each source, too. A source is known when a tunnel
 * with it has been up lately (trust), when we ask it ourselves, or when it lies in a small network
 * of the configuration (nets). Whoever forges a known address shares its lot with nobody else: the
 * limit of the source holds first.
 *
 * Data of a session of L2TPv3 that nobody has comes up once a second for each session, so that its
 * sender can be told; of known sources and others there are so many a second, and of each source.
 * The sessions over IP that the kernel has are known here, since raw sockets get their data, too.
 */
#ifndef ADIT_DP_ADMIT_H
#define ADIT_DP_ADMIT_H

#include "forward.h"

#define ADMIT_NETS 256 /* networks of the configuration that are looked at */

struct admit;

/* NULL: out of memory. `key`: random. */
struct admit *admit_new(const uint8_t key[16]);
void admit_free(struct admit *a);

/* Control thread: from now on this address is known; the least lately added gives way. */
void admit_trust(struct admit *a, const struct addr *addr);
/* Control thread: all networks that are known. Those past ADMIT_NETS are left out. */
void admit_nets(struct admit *a, const struct prefix *nets, size_t n);

/* Control thread: the kernel carries this session of L2TPv3 over IP, or does not any more. */
void admit_elsewhere(struct admit *a, uint32_t session, bool is);
/* Forwarding thread: does it? */
bool admit_is_elsewhere(const struct admit *a, uint32_t session);

/* Forwarding thread: the class of a message for a session of L2TPv3 that nobody has; NULL: enough
 * was handed up of this session, or of its source. */
struct fwd_bucket *admit_stray(struct fwd *f, const struct fwd_outer *o, uint32_t session);

/* Forwarding thread: the class of a control message; NULL: its source has had its share. */
struct fwd_bucket *admit_control(struct fwd *f, const struct fwd_outer *o, bool has_tunnel);

#endif
