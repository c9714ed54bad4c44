/* SPDX-License-Identifier: MIT
 *
 * Router advertisements and solicitations (RFC 4861 4.1, 4.2, 6.1) with DNS servers (RFC 6106 5.1),
 * as whole IPv6 packets: a server tells the subscriber its prefix, a client learns its own.
 *
 * Pure functions without state or allocation. Addresses are 16 octets in network order.
 */
#ifndef ADIT_IP6_RA_H
#define ADIT_IP6_RA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RA_PREFIXES   8
#define RA_RDNSS      4
#define RA_PACKET_MAX 512 /* the longest packet that ra_build() writes is shorter */

#define RA_FOREVER UINT32_MAX /* a lifetime without end */

struct ra_prefix {
	uint8_t ip[16];
	uint8_t len; /* 0..128; autonomous configuration needs 64 */
	bool on_link, autonomous;
	uint32_t valid_s, preferred_s; /* seconds; preferred is not longer than valid */
};

struct ra {
	uint8_t src[16], dst[16]; /* src is link-local */
	uint8_t hop_limit;	  /* for the receiver's packets, 0 = does not say */
	bool managed, other;	  /* DHCPv6: addresses, other things */
	uint16_t router_s;	  /* seconds as a default router, 0 = is none */
	uint32_t mtu;		  /* 0 = does not say */
	uint32_t rdnss_s;	  /* of all DNS servers; when parsed, the shortest seen */
	unsigned prefixes, rdnss; /* how many follow; those that do not fit are left out */
	struct ra_prefix prefix[RA_PREFIXES];
	uint8_t dns[RA_RDNSS][16];
};

/* ff02::1 and ff02::2 */
extern const uint8_t ra_all_nodes[16], ra_all_routers[16];

/* fe80:: with an interface identifier (RFC 4291 2.5.6), or any /64 with one. */
void ra_link_local(uint8_t ret[16], const uint8_t iid[8]);
void ra_address(uint8_t ret[16], const uint8_t prefix[16], const uint8_t iid[8]);

/* Write the packet. Its length, or 0 when it does not fit `cap`. */
size_t ra_build(const struct ra *ra, uint8_t *buf, size_t cap);

/*
 * Check (RFC 4861 6.1.2: hop limit 255, link-local source, checksum, code, lengths) and decode.
 * False when the packet is anything else than a valid router advertisement; *ret is then unchanged.
 * Of a prefix whose preferred lifetime exceeds the valid one, and of link-local prefixes, nothing
 * is reported (RFC 4862 5.5.3).
 */
bool ra_parse(const uint8_t *packet, size_t len, struct ra *ret);

/* A router solicitation to all routers, without options. Its length, or 0. */
size_t ra_solicit(const uint8_t src[16], uint8_t *buf, size_t cap);

/* True for a valid router solicitation (RFC 4861 6.1.1), with its source (may be ::). */
bool ra_is_solicitation(const uint8_t *packet, size_t len, uint8_t ret_src[16]);

/*
 * The Internet checksum over the IPv6 pseudo header (RFC 2460 8.1) and `len` octets: the value to
 * put into a checksum field that is zero in `bytes`; 0 when the field is filled in and right.
 */
uint16_t ra_checksum(const uint8_t src[16], const uint8_t dst[16], uint8_t next_header,
		     const void *bytes, size_t len);

#endif
