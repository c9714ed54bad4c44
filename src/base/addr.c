/* SPDX-License-Identifier: MIT
 *
 * Addresses, prefixes and paths: compare, parse, print, save. Everything works on `struct addr`,
 * whose unused octets are zero; the kernel's sockaddr appears here and nowhere else in the engines.
 */
#include "addr.h"
#include "text.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {
	[10] = 0xff, [11] = 0xff
}; /* ::ffff:0:0/96, RFC 4291 2.5.5.2 */

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->scope == b->scope && memcmp(a->ip, b->ip, 16) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_same_ip(a, b);
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t zero[16];

	return a->family != 0 && memcmp(a->ip, zero, 16) == 0;
}

bool path_equal(const struct path *a, const struct path *b)
{
	return a->via == b->via && addr_equal(&a->local, &b->local) &&
	       addr_equal(&a->remote, &b->remote);
}

/* Without printf(): these stand in every line of the log and of accounting. */
static void text_v4(const struct addr *a, char *at)
{
	for (int i = 0; i < 4; i++) {
		if (i)
			*at++ = '.';
		at = text_decimal(at, a->ip[i]);
	}
	if (a->port) {
		*at++ = ':';
		at = text_decimal(at, a->port);
	}
	*at = '\0';
}

const char *addr_text(const struct addr *a, char buf[ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN], scope[12] = "";

	if (a->family == AF_INET) {
		text_v4(a, buf);
		return buf;
	}
	if (a->family != AF_INET6) {
		snprintf(buf, ADDR_TEXT_MAX, "-");
		return buf;
	}
	inet_ntop(AF_INET6, a->ip, ip, sizeof(ip));
	if (a->scope)
		snprintf(scope, sizeof(scope), "%%%u", a->scope);
	if (!a->port)
		snprintf(buf, ADDR_TEXT_MAX, "%s%s", ip, scope);
	else
		snprintf(buf, ADDR_TEXT_MAX, "[%s%s]:%u", ip, scope, a->port);
	return buf;
}

const char *path_text(const struct path *p, char buf[PATH_TEXT_MAX])
{
	char local[ADDR_TEXT_MAX], remote[ADDR_TEXT_MAX];

	snprintf(buf, PATH_TEXT_MAX, "%s -> %s", addr_text(&p->local, local),
		 addr_text(&p->remote, remote));
	return buf;
}

const char *prefix_text(const struct prefix *p, char buf[ADDR_TEXT_MAX])
{
	size_t n = strlen(addr_text(&p->addr, buf));

	snprintf(buf + n, ADDR_TEXT_MAX - n, "/%u", p->len);
	return buf;
}

/* A decimal number without sign or leading zeros, up to `max`. */
static int number(const char *s, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;

	if (*s == '\0' || (*s == '0' && s[1] != '\0'))
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > max)
			return -EINVAL;
	}
	*ret = (uint32_t)v;
	return 0;
}

static bool link_local(const uint8_t ip[16])
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

/* "2001:db8::1" or "fe80::1%3". Writes over `text`. */
static int parse_v6(char *text, struct addr *ret)
{
	struct addr a = { .family = AF_INET6 };
	char *percent = strchr(text, '%');

	if (percent)
		*percent = '\0';
	if (inet_pton(AF_INET6, text, a.ip) != 1)
		return -EINVAL;
	if (percent &&
	    (!link_local(a.ip) || number(percent + 1, INT32_MAX, &a.scope) < 0 || !a.scope))
		return -EINVAL;
	*ret = a;
	return 0;
}

static void unmap(struct addr *a)
{
	if (a->family != AF_INET6 || memcmp(a->ip, mapped, sizeof(mapped)) != 0)
		return;
	memmove(a->ip, a->ip + 12, 4);
	memset(a->ip + 4, 0, 12);
	a->family = AF_INET;
	a->scope = 0;
}

int addr_parse(const char *text, struct addr *ret)
{
	char copy[ADDR_TEXT_MAX], *colon, *port_text = NULL;
	struct addr a = { 0 };
	uint32_t port = 0;
	size_t n = strlen(text);
	int rc;

	if (n >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, n + 1);
	colon = strchr(copy, ':');
	if (copy[0] == '[') {
		char *close = strchr(copy, ']');

		if (!close || close[1] != ':')
			return -EINVAL;
		*close = '\0';
		port_text = close + 2;
		rc = parse_v6(copy + 1, &a);
	} else if (colon && strchr(colon + 1, ':')) {
		rc = parse_v6(copy, &a);
	} else {
		if (colon) {
			*colon = '\0';
			port_text = colon + 1;
		}
		a.family = AF_INET;
		rc = inet_pton(AF_INET, copy, a.ip) == 1 ? 0 : -EINVAL;
	}
	if (rc == 0 && port_text) {
		rc = number(port_text, UINT16_MAX, &port);
		if (rc == 0 && port == 0)
			rc = -EINVAL;
	}
	if (rc < 0)
		return rc;
	a.port = (uint16_t)port;
	unmap(&a);
	*ret = a;
	return 0;
}

/* True when the bits of `ip` from `len` on are zero. */
static bool host_bits_zero(const uint8_t ip[16], unsigned int len)
{
	unsigned int i = len / 8;

	if (len % 8 && (ip[i++] & 0xff >> len % 8))
		return false;
	for (; i < 16; i++) {
		if (ip[i])
			return false;
	}
	return true;
}

int prefix_parse(const char *text, struct prefix *ret)
{
	char copy[ADDR_TEXT_MAX], *slash;
	struct prefix p = { 0 };
	uint32_t most, len;
	size_t n = strlen(text);

	if (n >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, n + 1);
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	if (strchr(copy, ':')) {
		if (parse_v6(copy, &p.addr) < 0 || p.addr.scope)
			return -EINVAL;
		most = 128;
	} else {
		p.addr.family = AF_INET;
		if (inet_pton(AF_INET, copy, p.addr.ip) != 1)
			return -EINVAL;
		most = 32;
	}
	len = most;
	if (slash && number(slash + 1, most, &len) < 0)
		return -EINVAL;
	if (!host_bits_zero(p.addr.ip, len))
		return -EINVAL;
	p.len = (uint8_t)len;
	*ret = p;
	return 0;
}

bool prefix_has(const struct prefix *p, const struct addr *a)
{
	unsigned int whole = p->len / 8, rest = p->len % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	if (p->addr.family != a->family || p->addr.family == 0)
		return false;
	if (memcmp(p->addr.ip, a->ip, whole) != 0)
		return false;
	return rest == 0 || ((p->addr.ip[whole] ^ a->ip[whole]) & mask) == 0;
}

int addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *ret)
{
	struct addr a = { 0 };

	/* Copied, since the caller's buffer may be aligned for less. */
	if (len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		a.family = AF_INET;
		a.port = ntohs(in.sin_port);
		memcpy(a.ip, &in.sin_addr, 4);
	} else if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		a.family = AF_INET6;
		a.port = ntohs(in6.sin6_port);
		memcpy(a.ip, &in6.sin6_addr, 16);
		if (link_local(a.ip))
			a.scope = in6.sin6_scope_id;
		unmap(&a);
	} else {
		return -EAFNOSUPPORT;
	}
	*ret = a;
	return 0;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (a->family == AF_INET) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };

		memcpy(&in.sin_addr, a->ip, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->family == AF_INET6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
					    .sin6_port = htons(a->port),
					    .sin6_scope_id = a->scope };

		memcpy(&in6.sin6_addr, a->ip, 16);
		memcpy(ret, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}

/*
 * The saved form: 0, 4 or 6 (not the kernel's numbers), a zero octet before it, port, scope, ip.
 */
void addr_save(struct wcur *c, const struct addr *a)
{
	wcur_u16(c, a->family == AF_INET ? 4 : a->family == AF_INET6 ? 6 : 0);
	wcur_u16(c, a->port);
	wcur_u32(c, a->scope);
	wcur_bytes(c, a->ip, sizeof(a->ip));
}

void addr_load(struct rcur *c, struct addr *ret)
{
	uint16_t version = rcur_u16(c);
	struct addr a = { .family = version == 4 ? AF_INET : version == 6 ? AF_INET6 : 0 };

	a.port = rcur_u16(c);
	a.scope = rcur_u32(c);
	rcur_copy(c, a.ip, sizeof(a.ip));
	/* The octets come from a file: keep the promise that what is unused is zero. */
	if ((version != 0 && version != 4 && version != 6) ||
	    (version == 4 && (a.scope || !host_bits_zero(a.ip, 32))) ||
	    (version == 0 && (a.port || a.scope || !host_bits_zero(a.ip, 0))))
		c->bad = true;
	*ret = c->bad ? (struct addr){ 0 } : a;
}

void path_save(struct wcur *c, const struct path *p)
{
	wcur_u32(c, p->via);
	addr_save(c, &p->local);
	addr_save(c, &p->remote);
}

void path_load(struct rcur *c, struct path *ret)
{
	ret->via = rcur_u32(c);
	addr_load(c, &ret->local);
	addr_load(c, &ret->remote);
}
