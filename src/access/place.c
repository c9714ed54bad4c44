/* SPDX-License-Identifier: MIT
 *
 * Names of interfaces from names of users, numbers of namespaces; see place.h. A user's name is a
 * stranger's text: what comes out here is plain ASCII of letters, digits and `-_.`, begins as the
 * configuration says, and is 15 octets at most. That two users may come out alike is no harm: the
 * plane gives the second a number (kernel_ppp.c).
 */
#include "place.h"

#include <string.h>

#define NAME_MOST  (DP_IFNAME - 1)
#define LEAST_HEAD 2
#define LEAST_USER 6

static bool plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

const char *acc_ifname_wrong(const char *pattern)
{
	const char *user = strstr(pattern, "%u");
	size_t fixed = strlen(pattern) - 2;

	if (!user || strchr(user + 1, '%'))
		return "it needs one %u, which stands for the user's name";
	if (user - pattern < LEAST_HEAD)
		return "it has to begin with two or more letters, digits, '-', '_' or '.'";
	for (const char *c = pattern; *c; c++)
		if (c != user && c != user + 1 && !plain(*c))
			return "beside %u it may have letters, digits, '-', '_' and '.' only";
	if (fixed > NAME_MOST - LEAST_USER)
		return "names of interfaces have 15 octets; it leaves the user's name too few";
	return "";
}

void acc_ifname(const char *pattern, const char *user, size_t len, char ret[DP_IFNAME])
{
	const char *at = strstr(pattern, "%u"), *tail = at ? at + 2 : "";
	const char *realm = memchr(user, '\\', len);
	size_t head = at ? (size_t)(at - pattern) : 0, room, n;

	memset(ret, 0, DP_IFNAME);
	if (!at || head + strlen(tail) > NAME_MOST)
		return;
	if (realm) {
		len -= (size_t)(realm + 1 - user);
		user = realm + 1;
	}
	realm = memchr(user, '@', len);
	if (realm)
		len = (size_t)(realm - user);
	room = NAME_MOST - head - strlen(tail);
	n = len < room ? len : room;
	memcpy(ret, pattern, head);
	for (size_t i = 0; i < n; i++)
		ret[head + i] = '_';
	for (size_t i = 0; i < n; i++)
		if (plain(user[i]))
			ret[head + i] = user[i];
	memcpy(ret + head + n, tail, strlen(tail));
}

bool acc_ifname_fits(const char *pattern, const char *name)
{
	const char *at = strstr(pattern, "%u");
	size_t head = at ? (size_t)(at - pattern) : 0, tail = at ? strlen(at + 2) : 0;
	size_t len = strnlen(name, DP_IFNAME);

	if (!at || len > NAME_MOST || len < head + tail || memcmp(name, pattern, head) != 0 ||
	    memcmp(name + len - tail, at + 2, tail) != 0)
		return false;
	for (size_t i = head; i < len - tail; i++)
		if (!plain(name[i]))
			return false;
	return true;
}

/* FNV-1a */
uint32_t acc_netns_id(const char *name)
{
	uint32_t h = 0x811c9dc5u;

	if (!name[0])
		return 0;
	for (const char *c = name; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x01000193u;
	return h ? h : 1;
}

bool acc_place_needed(const struct conf_place *p)
{
	return p->vrf[0] || p->netns[0];
}
