/* SPDX-License-Identifier: MIT
 *
 * Datagrams between aditd and the keeper, both ways, from and to plain values. The keeper has the
 * rights and aditd reads what strangers send, so what comes from aditd is checked here as if it
 * were hostile: one table says what each tag may look like, and only a datagram that fits in every
 * point gets any further.
 */
#include "proto.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/wire.h"

#define ADDR_OCTETS 24 /* addr_save() */

enum form { FORM_NONE, FORM_U32, FORM_U64, FORM_TEXT, FORM_ADDR, FORM_PREFIX, FORM_ENV };

struct tag_row {
	enum form form;
	bool repeats;
	size_t offset; /* in struct keeper_msg */
	size_t cap;    /* TEXT: octets with NUL; repeated: how many */
	size_t count;  /* repeated: where its count stands */
};

#define U32(field) FORM_U32, false, offsetof(struct keeper_msg, field), 0, 0
#define TEXT(field)                                           \
	FORM_TEXT, false, offsetof(struct keeper_msg, field), \
		sizeof(((struct keeper_msg *)0)->field), 0

static const struct tag_row rows[] = {
	[KEEPER_T_ERROR] = { U32(error) },
	[KEEPER_T_TEXT] = { TEXT(text) },
	[KEEPER_T_NAME] = { TEXT(name) },
	[KEEPER_T_VIA] = { U32(via) },
	[KEEPER_T_ADDR] = { FORM_ADDR, true, offsetof(struct keeper_msg, addrs), KEEPER_ADDRS,
			    offsetof(struct keeper_msg, addr_count) },
	[KEEPER_T_PREFIX] = { FORM_PREFIX, false, offsetof(struct keeper_msg, prefix), 0, 0 },
	[KEEPER_T_MTU] = { U32(mtu) },
	[KEEPER_T_TABLE] = { U32(table) },
	[KEEPER_T_METRIC] = { U32(metric) },
	[KEEPER_T_ADD] = { U32(add) },
	[KEEPER_T_HOST] = { TEXT(host) },
	[KEEPER_T_PORT] = { U32(port) },
	[KEEPER_T_PROGRAM] = { TEXT(program) },
	[KEEPER_T_ENV] = { FORM_ENV, true, offsetof(struct keeper_msg, envs), KEEPER_ENVS,
			   offsetof(struct keeper_msg, env_count) },
	[KEEPER_T_STATUS] = { U32(status) },
	[KEEPER_T_STARTS] = { U32(starts) },
	[KEEPER_T_INCARNATION] = { U32(incarnation) },
	[KEEPER_T_SINCE] = { FORM_U64, false, offsetof(struct keeper_msg, since), 0, 0 },
	[KEEPER_T_SIZE] = { FORM_U64, true, offsetof(struct keeper_msg, sizes), KEEPER_FDS,
			    offsetof(struct keeper_msg, size_count) },
	[KEEPER_T_ETHERNET] = { U32(ethernet) },
	[KEEPER_T_MASTER] = { TEXT(master) },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

_Static_assert(ROWS <= 32, "`have` is one word");

static void value_save(struct wcur *c, const struct tag_row *r, const uint8_t *at)
{
	const struct keeper_env *e;
	const struct prefix *p;
	uint32_t v32;
	uint64_t v64;

	switch (r->form) {
	case FORM_U32:
		memcpy(&v32, at, sizeof(v32));
		wcur_u32(c, v32);
		break;
	case FORM_U64:
		memcpy(&v64, at, sizeof(v64));
		wcur_u64(c, v64);
		break;
	case FORM_TEXT:
		wcur_bytes(c, at, strnlen((const char *)at, r->cap));
		break;
	case FORM_ADDR:
		addr_save(c, (const struct addr *)(const void *)at);
		break;
	case FORM_PREFIX:
		p = (const struct prefix *)(const void *)at;
		addr_save(c, &p->addr);
		wcur_u8(c, p->len);
		break;
	case FORM_ENV:
		e = (const struct keeper_env *)(const void *)at;
		wcur_bytes(c, e->text, e->len);
		break;
	case FORM_NONE:
		break;
	}
}

static size_t element_size(enum form form)
{
	switch (form) {
	case FORM_U64:
		return sizeof(uint64_t);
	case FORM_ADDR:
		return sizeof(struct addr);
	case FORM_ENV:
		return sizeof(struct keeper_env);
	case FORM_U32:
	case FORM_TEXT:
	case FORM_PREFIX:
	case FORM_NONE:
		break;
	}
	return 0;
}

void keeper_msg_save(struct wcur *c, const struct keeper_msg *m)
{
	const uint8_t *base = (const uint8_t *)m;
	uint32_t i, n;
	uint16_t tag;

	wcur_u32(c, KEEPER_MAGIC);
	wcur_u32(c, m->id);
	wcur_u16(c, m->type);
	wcur_u16(c, 0);
	for (tag = 1; tag < ROWS; tag++) {
		const struct tag_row *r = &rows[tag];

		if (!KEEPER_HAS(m, tag))
			continue;
		n = 1;
		if (r->repeats)
			memcpy(&n, base + r->count, sizeof(n));
		for (i = 0; i < n; i++) {
			size_t at = wcur_tlv_begin(c, tag);

			value_save(c, r, base + r->offset + i * element_size(r->form));
			wcur_tlv_end(c, at);
		}
	}
}

static bool addr_valid(const struct addr *a)
{
	static const uint8_t zero[12];

	if (a->family == AF_INET)
		return a->scope == 0 && memcmp(a->ip + 4, zero, sizeof(zero)) == 0;
	return a->family == AF_INET6;
}

/* Host bits may be set: the address of a device comes with the length of its network. */
static bool prefix_valid(const struct prefix *p)
{
	return addr_valid(&p->addr) && !p->addr.port && !p->addr.scope &&
	       p->len <= (p->addr.family == AF_INET ? 32 : 128);
}

static bool value_load(struct rcur *v, const struct tag_row *r, uint8_t *at)
{
	size_t len = rcur_left(v);
	const uint8_t *p;
	struct keeper_env e;
	struct prefix prefix;
	struct addr addr;
	uint32_t v32;
	uint64_t v64;

	switch (r->form) {
	case FORM_U32:
		v32 = rcur_u32(v);
		memcpy(at, &v32, sizeof(v32));
		return len == sizeof(v32);
	case FORM_U64:
		v64 = rcur_u64(v);
		memcpy(at, &v64, sizeof(v64));
		return len == sizeof(v64);
	case FORM_TEXT:
		p = rcur_take(v, len);
		if (len >= r->cap || memchr(p, 0, len))
			return false;
		memcpy(at, p, len);
		at[len] = 0;
		return true;
	case FORM_ADDR:
		addr_load(v, &addr);
		memcpy(at, &addr, sizeof(addr));
		return len == ADDR_OCTETS && addr_valid(&addr);
	case FORM_PREFIX:
		memset(&prefix, 0, sizeof(prefix));
		addr_load(v, &prefix.addr);
		prefix.len = rcur_u8(v);
		memcpy(at, &prefix, sizeof(prefix));
		return len == ADDR_OCTETS + 1 && prefix_valid(&prefix);
	case FORM_ENV:
		p = rcur_take(v, len);
		e = (struct keeper_env){ (const char *)p, (uint16_t)len };
		memcpy(at, &e, sizeof(e));
		return len > 1 && p[0] != '=' && memchr(p, '=', len) && !memchr(p, 0, len);
	case FORM_NONE:
		break;
	}
	return true;
}

int keeper_msg_load(const uint8_t *bytes, size_t len, struct keeper_msg *ret)
{
	struct rcur c = rcur_of(bytes, len), value;
	uint8_t *base = (uint8_t *)ret;
	uint16_t tag;
	uint32_t n;

	memset(ret, 0, sizeof(*ret));
	if (rcur_u32(&c) != KEEPER_MAGIC)
		return -EBADMSG;
	ret->id = rcur_u32(&c);
	ret->type = rcur_u16(&c);
	if (rcur_u16(&c) != 0 || c.bad)
		return -EBADMSG;
	while (rcur_tlv(&c, &tag, &value)) {
		const struct tag_row *r = &rows[tag < ROWS ? tag : 0];

		if (r->form == FORM_NONE)
			continue;
		n = 0;
		if (r->repeats) {
			memcpy(&n, base + r->count, sizeof(n));
			if (n >= r->cap)
				return -EBADMSG;
		} else if (KEEPER_HAS(ret, tag)) {
			return -EBADMSG;
		}
		if (!value_load(&value, r, base + r->offset + n * element_size(r->form)))
			return -EBADMSG;
		ret->have |= 1u << tag;
		if (r->repeats) {
			n++;
			memcpy(base + r->count, &n, sizeof(n));
		}
	}
	return c.bad ? -EBADMSG : 0;
}

void keeper_plane_head(struct wcur *c)
{
	wcur_u32(c, KEEPER_MAGIC);
	wcur_u32(c, 0);
	wcur_u16(c, KEEPER_PLANE);
	wcur_u16(c, 0);
}

const uint8_t *keeper_plane_body(const uint8_t *bytes, size_t len, size_t *ret_len)
{
	struct rcur c = rcur_of(bytes, len);
	bool ours = rcur_u32(&c) == KEEPER_MAGIC && rcur_u32(&c) == 0 &&
		    rcur_u16(&c) == KEEPER_PLANE && rcur_u16(&c) == 0 && !c.bad;

	*ret_len = rcur_left(&c);
	return ours ? c.p : NULL;
}

const char *keeper_type_name(uint16_t type)
{
	static const char *const names[] = {
		[KEEPER_HELLO] = "hello",     [KEEPER_SOCKET] = "socket",
		[KEEPER_TUN] = "tun",	      [KEEPER_TUN_GONE] = "tun-gone",
		[KEEPER_LINK] = "link",	      [KEEPER_ADDR] = "addr",
		[KEEPER_ROUTE] = "route",     [KEEPER_PIN] = "pin",
		[KEEPER_RESOLVE] = "resolve", [KEEPER_HOOK] = "hook",
		[KEEPER_READY] = "ready",     [KEEPER_RELOAD] = "reload",
		[KEEPER_STATUS] = "status",   [KEEPER_PLANE] = "plane",
		[KEEPER_UPGRADE] = "upgrade", [KEEPER_STOPPING] = "stopping",
		[KEEPER_STOPPED] = "stopped", [KEEPER_SOCKET_GONE] = "socket-gone",
		[KEEPER_CONF] = "conf",
	};

	if (type == KEEPER_REPLY)
		return "reply";
	if (type == KEEPER_FORBIDDEN)
		return "forbidden";
	if (type >= sizeof(names) / sizeof(names[0]) || !names[type])
		return "unknown";
	return names[type];
}
