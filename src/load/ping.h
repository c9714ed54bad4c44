/* SPDX-License-Identifier: MIT
 *
 * An echo request (RFC 792) in IPv4 (RFC 791) behind the header of a PPP frame (RFC 1661), as the
 * load generator sends it through its sessions.
 */
#ifndef ADIT_LOAD_PING_H
#define ADIT_LOAD_PING_H

#include <stddef.h>
#include <stdint.h>

#define PING_PPP 4   /* octets of PPP header */
#define PING_LEN 100 /* of the IP packet */

/* Write it at `at` (PING_PPP + PING_LEN octets); returns its length. */
size_t ping_build(uint8_t *at, const uint8_t from[4], const uint8_t to[4], uint16_t id,
		  uint16_t seq);

#endif
