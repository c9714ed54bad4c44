/* SPDX-License-Identifier: MIT
 *
 * What becomes of the tunnels and Ethernet sessions that the kernel plane makes in a kernel of
 * fake_kernel.h: each frame into an interface comes out as the datagram that Linux would send, and
 * the other way round. Written after Linux's behaviour (net/l2tp: cookies by their attribute, the
 * sublayer, numbers as LNS and as LAC), not after our own planes, so that both can be held against
 * it. L2TPv3 alone.
 */
#ifndef ADIT_TEST_FAKE_L2TP_H
#define ADIT_TEST_FAKE_L2TP_H

#include "fake_kernel.h"

#define FAKE_L2TP_MAX 16 /* of each kind */

struct fake_l2tp_tunnel {
	uint32_t id, peer_id;
	uint16_t encap;
	struct path path; /* without via */
};

struct fake_l2tp_session {
	uint32_t tunnel, id, peer_id;
	char ifname[DP_IFNAME];
	uint8_t l2spec, send_seq, recv_seq, lns_mode;
	uint8_t send_cookie[8], recv_cookie[8];
	size_t send_cookie_len, recv_cookie_len;
	uint32_t ns, nr;
	bool heard; /* nr is one that came */
};

struct fake_l2tp {
	pthread_mutex_t lock;
	struct fake_l2tp_tunnel tunnels[FAKE_L2TP_MAX];
	struct fake_l2tp_session sessions[FAKE_L2TP_MAX];
	uint32_t tunnel_count, session_count;
	const char *wrong; /* what no kernel may be asked for: a test looks at it at its end */
};

/* Stands behind `f` from now on. */
void fake_l2tp_init(struct fake_l2tp *l, struct fake_kernel *f);
void fake_l2tp_end(struct fake_l2tp *l);

/* A frame into an interface: the datagram's payload into `ret`, which has 64 octets more than
 * the frame. 0: there is no such interface. */
size_t fake_l2tp_send(struct fake_l2tp *l, const char *ifname, const uint8_t *frame, size_t len,
		      uint8_t *ret, struct path *ret_path);

/* A datagram's payload, over a path as seen from here. True when it is taken: *ret_off is where
 * the frame begins in it, `ifname` (DP_IFNAME) is where it comes out. */
bool fake_l2tp_receive(struct fake_l2tp *l, const struct path *path, const uint8_t *bytes,
		       size_t len, size_t *ret_off, char *ifname);

#endif
