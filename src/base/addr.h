/* SPDX-License-Identifier: MIT
 *
 * Addresses, prefixes and paths: compare, parse, print, and convert to and from the kernel's form.
 */
#ifndef ADIT_ADDR_H
#define ADIT_ADDR_H

#include <adit/types.h>
#include <sys/socket.h>

struct prefix {
	struct addr addr; /* port and scope 0; host bits zero */
	uint8_t len;	  /* 0..32 or 0..128 */
};

bool addr_equal(const struct addr *a, const struct addr *b);   /* all fields */
bool addr_same_ip(const struct addr *a, const struct addr *b); /* family, scope and ip */
bool addr_is_any(const struct addr *a);			       /* 0.0.0.0 or :: */
bool path_equal(const struct path *a, const struct path *b);

/* "192.0.2.1", "2001:db8::1", "fe80::1%3"; with a port not 0 "192.0.2.1:1701",
 * "[2001:db8::1]:1701". */
const char *addr_text(const struct addr *a, char buf[ADDR_TEXT_MAX]);
const char *path_text(const struct path *p, char buf[PATH_TEXT_MAX]);
const char *prefix_text(const struct prefix *p, char buf[ADDR_TEXT_MAX]);

/* Literal addresses only, no names. The forms of addr_text(). 0, or -EINVAL. */
int addr_parse(const char *text, struct addr *ret);

/* "192.0.2.0/24"; without a length a host prefix. Host bits that are set: -EINVAL. */
int prefix_parse(const char *text, struct prefix *ret);
bool prefix_has(const struct prefix *p, const struct addr *a);

/* IPv4-mapped IPv6 addresses become IPv4. -EAFNOSUPPORT for other families. */
int addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *ret);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret);

/* Write into / read from a record: a fixed 24-octet form. */
struct rcur;
struct wcur;
void addr_save(struct wcur *c, const struct addr *a);
void addr_load(struct rcur *c, struct addr *ret);
void path_save(struct wcur *c, const struct path *p);
void path_load(struct rcur *c, struct path *ret);

#endif
