/* SPDX-License-Identifier: MIT
 *
 * See fake_l2tp.h.
 */
#include "fake_l2tp.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/l2tp.h>
#include <stdio.h>
#include <string.h>
#include <libmnl/libmnl.h>

#include "base/wire.h"

#define HAS_NUMBER 0x40000000u
#define NUMBER	   0x00ffffffu

/* ---- requests ---- */

struct request {
	uint8_t cmd;
	const struct nlattr *attr[L2TP_ATTR_MAX + 1];
};

static int attr_cb(const struct nlattr *a, void *arg)
{
	struct request *r = arg;

	if (mnl_attr_get_type(a) <= L2TP_ATTR_MAX)
		r->attr[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static uint32_t u32_of(const struct request *r, int type)
{
	return r->attr[type] ? mnl_attr_get_u32(r->attr[type]) : 0;
}

static uint8_t u8_of(const struct request *r, int type, uint8_t none)
{
	return r->attr[type] ? mnl_attr_get_u8(r->attr[type]) : none;
}

static uint16_t u16_of(const struct request *r, int type)
{
	return r->attr[type] ? mnl_attr_get_u16(r->attr[type]) : 0;
}

static struct fake_l2tp_tunnel *tunnel_of(struct fake_l2tp *l, uint32_t id)
{
	for (uint32_t i = 0; i < l->tunnel_count; i++)
		if (l->tunnels[i].id == id)
			return l->tunnels + i;
	return NULL;
}

static struct fake_l2tp_session *session_of(struct fake_l2tp *l, uint32_t id)
{
	for (uint32_t i = 0; i < l->session_count; i++)
		if (l->sessions[i].id == id)
			return l->sessions + i;
	return NULL;
}

/* The socket's addresses; that of L2TP over IP has no ports where UDP has them. */
static void path_of(struct fake_kernel *f, int fd, uint16_t encap, struct path *ret)
{
	pthread_mutex_lock(&f->lock);
	addr_from_sockaddr((struct sockaddr *)&f->fds[fd].name[0], sizeof(f->fds[fd].name[0]),
			   &ret->local);
	addr_from_sockaddr((struct sockaddr *)&f->fds[fd].name[1], sizeof(f->fds[fd].name[1]),
			   &ret->remote);
	pthread_mutex_unlock(&f->lock);
	if (encap == L2TP_ENCAPTYPE_IP)
		ret->local.port = ret->remote.port = 0;
}

static int tunnel_create(struct fake_l2tp *l, struct fake_kernel *f, const struct request *r)
{
	struct fake_l2tp_tunnel *t = l->tunnels + l->tunnel_count;

	if (!r->attr[L2TP_ATTR_FD] || l->tunnel_count == FAKE_L2TP_MAX)
		return -EINVAL;
	if (tunnel_of(l, u32_of(r, L2TP_ATTR_CONN_ID)))
		return -EEXIST;
	memset(t, 0, sizeof(*t));
	t->id = u32_of(r, L2TP_ATTR_CONN_ID);
	t->peer_id = u32_of(r, L2TP_ATTR_PEER_CONN_ID);
	t->encap = u16_of(r, L2TP_ATTR_ENCAP_TYPE);
	path_of(f, (int)u32_of(r, L2TP_ATTR_FD), t->encap, &t->path);
	if (!t->id || !t->peer_id || u8_of(r, L2TP_ATTR_PROTO_VERSION, 0) != 3)
		l->wrong = "a tunnel without an id, or of another version";
	if (!t->path.local.family || t->path.local.family != t->path.remote.family)
		l->wrong = "a tunnel over a socket that is not bound or not connected";
	l->tunnel_count++;
	return 0;
}

static void cookie_of(struct fake_l2tp *l, const struct request *r, int type, uint8_t *ret,
		      size_t *ret_len)
{
	*ret_len = r->attr[type] ? mnl_attr_get_payload_len(r->attr[type]) : 0;
	if (*ret_len != 0 && *ret_len != 4 && *ret_len != 8)
		l->wrong = "a cookie that has neither 4 nor 8 octets";
	else if (*ret_len)
		memcpy(ret, mnl_attr_get_payload(r->attr[type]), *ret_len);
}

static int session_create(struct fake_l2tp *l, const struct request *r)
{
	struct fake_l2tp_session *s = l->sessions + l->session_count;

	if (!tunnel_of(l, u32_of(r, L2TP_ATTR_CONN_ID)))
		return -ENODEV;
	if (session_of(l, u32_of(r, L2TP_ATTR_SESSION_ID)))
		return -EEXIST;
	if (l->session_count == FAKE_L2TP_MAX || !r->attr[L2TP_ATTR_IFNAME])
		return -EINVAL;
	memset(s, 0, sizeof(*s));
	s->tunnel = u32_of(r, L2TP_ATTR_CONN_ID);
	s->id = u32_of(r, L2TP_ATTR_SESSION_ID);
	s->peer_id = u32_of(r, L2TP_ATTR_PEER_SESSION_ID);
	snprintf(s->ifname, sizeof(s->ifname), "%s", mnl_attr_get_str(r->attr[L2TP_ATTR_IFNAME]));
	s->l2spec = u8_of(r, L2TP_ATTR_L2SPEC_TYPE, L2TP_L2SPECTYPE_DEFAULT);
	s->send_seq = u8_of(r, L2TP_ATTR_SEND_SEQ, 0);
	s->recv_seq = u8_of(r, L2TP_ATTR_RECV_SEQ, 0);
	s->lns_mode = u8_of(r, L2TP_ATTR_LNS_MODE, 0);
	/* The one is sent, the other is the peer's to send. */
	cookie_of(l, r, L2TP_ATTR_COOKIE, s->send_cookie, &s->send_cookie_len);
	cookie_of(l, r, L2TP_ATTR_PEER_COOKIE, s->recv_cookie, &s->recv_cookie_len);
	if (!s->id || !s->peer_id || u16_of(r, L2TP_ATTR_PW_TYPE) != L2TP_PWTYPE_ETH)
		l->wrong = "a session without an id, or not of Ethernet";
	l->session_count++;
	return 0;
}

static int session_delete(struct fake_l2tp *l, uint32_t id)
{
	struct fake_l2tp_session *s = session_of(l, id);

	if (!s)
		return -ENODEV;
	*s = l->sessions[--l->session_count];
	return 0;
}

static int tunnel_delete(struct fake_l2tp *l, uint32_t id)
{
	struct fake_l2tp_tunnel *t = tunnel_of(l, id);

	if (!t)
		return -ENODEV;
	*t = l->tunnels[--l->tunnel_count];
	for (uint32_t i = l->session_count; i-- > 0;)
		if (l->sessions[i].tunnel == id)
			session_delete(l, l->sessions[i].id);
	return 0;
}

static int carry_out(struct fake_l2tp *l, struct fake_kernel *f, const struct request *r)
{
	switch (r->cmd) {
	case L2TP_CMD_TUNNEL_CREATE:
		return tunnel_create(l, f, r);
	case L2TP_CMD_TUNNEL_DELETE:
		return tunnel_delete(l, u32_of(r, L2TP_ATTR_CONN_ID));
	case L2TP_CMD_SESSION_CREATE:
		return session_create(l, r);
	case L2TP_CMD_SESSION_DELETE:
		return session_delete(l, u32_of(r, L2TP_ATTR_SESSION_ID));
	}
	return 0;
}

static int on_request(struct fake_kernel *f, const struct nlmsghdr *h)
{
	const struct genlmsghdr *g = mnl_nlmsg_get_payload(h);
	struct fake_l2tp *l = f->l2tp_arg;
	struct request r = { .cmd = g->cmd };
	int rc;

	mnl_attr_parse(h, sizeof(*g), attr_cb, &r);
	pthread_mutex_lock(&l->lock);
	rc = carry_out(l, f, &r);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void fake_l2tp_init(struct fake_l2tp *l, struct fake_kernel *f)
{
	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	f->l2tp = on_request;
	f->l2tp_arg = l;
}

void fake_l2tp_end(struct fake_l2tp *l)
{
	pthread_mutex_destroy(&l->lock);
}

/* ---- data ---- */

static size_t send_frame(struct fake_l2tp *l, struct fake_l2tp_session *s, const uint8_t *frame,
			 size_t len, uint8_t *ret, struct path *ret_path)
{
	const struct fake_l2tp_tunnel *t = tunnel_of(l, s->tunnel);
	struct wcur c = wcur_of(ret, len + 64);

	if (t->encap == L2TP_ENCAPTYPE_UDP)
		wcur_u32(&c, 3u << 16); /* T clear, version 3, reserved */
	wcur_u32(&c, s->peer_id);
	wcur_bytes(&c, s->send_cookie, s->send_cookie_len);
	if (s->l2spec == L2TP_L2SPECTYPE_DEFAULT) {
		wcur_u32(&c, s->send_seq ? HAS_NUMBER | s->ns : 0);
		s->ns = (s->ns + (s->send_seq ? 1 : 0)) & NUMBER;
	}
	wcur_bytes(&c, frame, len);
	*ret_path = t->path;
	return c.len;
}

size_t fake_l2tp_send(struct fake_l2tp *l, const char *ifname, const uint8_t *frame, size_t len,
		      uint8_t *ret, struct path *ret_path)
{
	size_t n = 0;

	pthread_mutex_lock(&l->lock);
	for (uint32_t i = 0; i < l->session_count && !n; i++)
		if (strcmp(l->sessions[i].ifname, ifname) == 0)
			n = send_frame(l, l->sessions + i, frame, len, ret, ret_path);
	pthread_mutex_unlock(&l->lock);
	return n;
}

/* As LAC it follows the peer, as LNS it insists. What is not the next one is dropped, unless none
 * has come yet: so it is without a reorder queue. */
static bool number_ok(struct fake_l2tp_session *s, uint32_t word)
{
	if (!(word & HAS_NUMBER)) {
		if (s->recv_seq || (s->lns_mode && s->send_seq))
			return false;
		s->send_seq = 0;
		return true;
	}
	if (!s->lns_mode)
		s->send_seq = 1;
	if (s->heard && (word & NUMBER) != s->nr)
		return false;
	s->heard = true;
	s->nr = ((word & NUMBER) + 1) & NUMBER;
	return true;
}

static bool take(struct fake_l2tp *l, const struct path *path, struct rcur *c, char *ifname)
{
	const struct fake_l2tp_tunnel *t;
	struct fake_l2tp_session *s;
	const uint8_t *cookie;

	if (path->remote.port && rcur_u32(c) != 3u << 16)
		return false;
	s = session_of(l, rcur_u32(c));
	t = s ? tunnel_of(l, s->tunnel) : NULL;
	/* A connected socket: of another peer nothing reaches it. */
	if (!t || !addr_same_ip(&t->path.local, &path->local) ||
	    !addr_same_ip(&t->path.remote, &path->remote) ||
	    t->path.remote.port != path->remote.port)
		return false;
	cookie = rcur_take(c, s->recv_cookie_len);
	if (c->bad || (s->recv_cookie_len && memcmp(cookie, s->recv_cookie, s->recv_cookie_len)))
		return false;
	if (s->l2spec == L2TP_L2SPECTYPE_DEFAULT && !number_ok(s, rcur_u32(c)))
		return false;
	snprintf(ifname, DP_IFNAME, "%s", s->ifname);
	return !c->bad;
}

bool fake_l2tp_receive(struct fake_l2tp *l, const struct path *path, const uint8_t *bytes,
		       size_t len, size_t *ret_off, char *ifname)
{
	struct rcur c = rcur_of(bytes, len);
	bool taken;

	pthread_mutex_lock(&l->lock);
	taken = take(l, path, &c, ifname);
	pthread_mutex_unlock(&l->lock);
	*ret_off = len - rcur_left(&c);
	return taken;
}
