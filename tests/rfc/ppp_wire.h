/* SPDX-License-Identifier: MIT
 *
 * PPP frames to text and back, for the scenarios in tests/rfc/ppp. Written from the RFCs without a
 * line of src/ppp, so that a mistake there is not repeated here.
 *
 * A frame is one line of words:
 *
 *     lcp conf-req 1 mru=1400 auth=chap magic=01020304 pfc acfc opt200=aabb
 *     lcp term-req 7 text=good_bye          lcp code-rej 2 pkt=63050004
 *     lcp echo-req 3 magic=01020304 data=00 lcp proto-rej 4 proto=8057 pkt=01010004
 *     ipcp conf-nak 2 addr=192.0.2.1 dns1=192.0.2.53      ipv6cp conf-req 1 iid=0000000000000001
 *     pap request 1 user=alice pass=secret  chap challenge 1 value=00112233 name=server
 *     proto 4021 0102                       raw ff03c021
 *
 * "short" in front: without address and control octets. "shortproto": protocol of one octet.
 * "code99" is a code by number, "optN=hex" any option, "len=N" a wrong length field, "pad=hex"
 * octets behind the packet, "fill=N" N octets of 55. In texts a blank is written as an underscore.
 */
#ifndef ADIT_TEST_PPP_WIRE_H
#define ADIT_TEST_PPP_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Returns the length, 0 when the words make no frame. */
size_t wire_build(char *words, uint8_t *buf, size_t cap);

void wire_text(const uint8_t *frame, size_t len, char *out, size_t cap);

#endif
