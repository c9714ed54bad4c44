/* SPDX-License-Identifier: MIT
 *
 * Sockets that overlap: one is for all addresses, another for one of them, or the configuration
 * has given one up that tunnels still use. Of UDP the kernel gives a packet to the narrowest.
 *
 * With protocol 115 (L2TPv3 directly over IP) there are no ports, and the kernel gives a copy to
 * each raw socket that matches.
 *
 * So a packet has one owner, the first of its sockets by these rules: one bound to the device, a
 * listener that the configuration has, one bound to the address, any that the configuration has.
 * Each socket has a filter (classic BPF) that keeps away what another one owns: the kernel makes no
 * copy then, and the filters hold while aditd is away. They are made anew whenever a socket comes,
 * goes or changes its place.
 *
 * A tunnel stays on the socket that it was set up with, whoever gets its packets later: that one
 * has the mark, and is in the journal. What names a tunnel of ours, or a session, is handled as if
 * it had come by that socket, if it matches there (socket_settle(); data of sessions with a row:
 * fwd_path_ok() of the plane).
 *
 * A socket bound to an interface that lies in a VRF gets packets whose device is the VRF: such
 * come twice where another socket, bound to no device, takes all that VRFs receive.
 */
#include "daemon.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

#define RULE	 12 /* instructions of one rule at most */
#define SOCKETS	 64 /* others that are looked at: more than the plane takes */
#define DST_IP4	 16 /* in the header of IP */
#define DST_IP6	 24
#define DISCARDS 4096

struct filter {
	struct sock_filter code[SOCKETS * RULE + 1];
	unsigned short n;
};

static bool is_raw(const struct daemon_socket *s)
{
	return s->conf.encap == DP_ENCAP_IP;
}

static bool same_room(const struct daemon_socket *a, const struct daemon_socket *b)
{
	return a->conf.encap == b->conf.encap && a->addr.family == b->addr.family &&
	       (is_raw(a) || a->addr.port == b->addr.port) &&
	       (a->room && b->room ? a->room == b->room
				   : strcmp(a->conf.netns, b->conf.netns) == 0);
}

static bool has_device(const struct daemon_socket *s)
{
	return s->device || s->conf.device[0];
}

static bool same_device(const struct daemon_socket *a, const struct daemon_socket *b)
{
	return a->device && b->device ? a->device == b->device
				      : strcmp(a->conf.device, b->conf.device) == 0;
}

/* A packet over IP may match both. */
static bool overlap(const struct daemon_socket *a, const struct daemon_socket *b)
{
	return is_raw(a) && same_room(a, b) &&
	       (!has_device(a) || !has_device(b) || same_device(a, b)) &&
	       (addr_is_any(&a->addr) || addr_is_any(&b->addr) || addr_same_ip(&a->addr, &b->addr));
}

static unsigned int rank(const struct daemon_socket *s)
{
	return (has_device(s) ? 8u : 0u) + (s->conf.listener && !s->stale ? 4u : 0u) +
	       (addr_is_any(&s->addr) ? 0u : 2u) + (s->stale ? 0u : 1u);
}

/* Of two that overlap: is a packet that matches both `a`'s? */
static bool before(const struct daemon_socket *a, const struct daemon_socket *b)
{
	return rank(a) != rank(b) ? rank(a) > rank(b) : a > b; /* of one list: the newer one */
}

/* ---- filters ---- */

static uint32_t word_of(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Discard what matches `t`. False: it cannot be told what does. */
static bool put_rule(struct filter *f, const struct daemon_socket *t)
{
	uint32_t at[5], want[5];
	unsigned int n = 0, words = t->addr.family == AF_INET6 ? 4 : 1;

	if (has_device(t)) {
		if (!t->device)
			return false; /* before Linux 5.0 */
		at[n] = (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX);
		want[n++] = (uint32_t)t->device;
	} else if (t->addr.scope) {
		at[n] = (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX);
		want[n++] = t->addr.scope;
	}
	for (unsigned int i = 0; i < words && !addr_is_any(&t->addr); i++) {
		at[n] = (uint32_t)SKF_NET_OFF + (words == 1 ? DST_IP4 : DST_IP6) + 4 * i;
		want[n++] = word_of(t->addr.ip + 4 * (size_t)i);
	}
	for (unsigned int i = 0; i < n; i++) {
		uint8_t to_end = (uint8_t)(2 * (n - i) - 1);

		f->code[f->n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at[i]);
		f->code[f->n++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, want[i], 0, to_end);
	}
	f->code[f->n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	return true;
}

/* Was it in use before, here or in an aditd that is gone? */
static bool is_fresh(const struct daemon_socket *s)
{
	socklen_t n = 0;

	return getsockopt(s->fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n) == 0 && n == 0;
}

static void filter(struct daemon *d, struct daemon_socket *s)
{
	struct filter f = { .n = 0 };
	struct sock_fprog program = { .filter = f.code };
	unsigned int others = 0;

	for (size_t i = 0; i < d->socket_count && others < SOCKETS; i++) {
		const struct daemon_socket *t = d->sockets + i;

		if (t != s && overlap(s, t) && before(t, s))
			others += put_rule(&f, t);
	}
	f.code[f.n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	program.len = f.n;
	if (setsockopt(s->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		daemon_say(d, TRACE_WARNING,
			   "%s: packets that come to another socket, too, are handled twice: the "
			   "socket takes no filter: %s",
			   s->conf.name, strerror(errno));
}

void raw_sockets(struct daemon *d)
{
	struct daemon_socket *fresh[SOCKETS];
	size_t count = 0;
	uint8_t byte;

	for (size_t i = 0; i < d->socket_count; i++) {
		struct daemon_socket *s = d->sockets + i;

		if (!is_raw(s))
			continue;
		if (count < SOCKETS && is_fresh(s))
			fresh[count++] = s;
		filter(d, s);
	}
	/* What a new one has received until now others have, too: they had no filter against it. */
	for (size_t i = 0; i < count; i++)
		for (int n = 0; n < DISCARDS; n++)
			if (recv(fresh[i]->fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) < 0)
				break;
}

/* ---- whose it is ---- */

/* Would `s` have got what came by `at` to this address, if that had not been `at`'s? */
static bool matches(const struct daemon_socket *s, const struct daemon_socket *at,
		    const struct addr *local)
{
	return same_room(s, at) && (!has_device(s) || same_device(s, at)) &&
	       (addr_is_any(&s->addr) || addr_same_ip(&s->addr, local));
}

void socket_settle(const struct daemon *d, struct dp_punt *p)
{
	const struct daemon_socket *at, *own;
	uint32_t via = pwe_via(d->pw, &p->path, p->bytes, p->len);

	if (!via)
		via = access_via(d->access, &p->path, p->bytes, p->len);
	if (!via || via == p->path.via)
		return;
	at = peer_socket(d, p->path.via);
	own = peer_socket(d, via);
	if (at && own && matches(own, at, &p->path.local))
		p->path.via = via;
}
