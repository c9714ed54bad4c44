/* SPDX-License-Identifier: MIT
 *
 * See peer.h.
 */
#include "peer.h"

static struct l2tp_build b;
static uint8_t buf[4096];
static uint8_t scratch[L2TP_SCRATCH];

void peer_start(struct peer *p, const struct l2tp_params *params)
{
	struct l2tp_config config = { .seed = { 3, 1, 4 } };
	struct l2tp_params dflt = { .host_name = "iut" };
	int err = 0;

	memset(p, 0, sizeof(*p));
	p->now.us = 5000 * US_S;
	p->answer = true;
	p->tid = 0x1234;
	p->path.via = 1;
	p->path.local =
		(struct addr){ .family = AF_INET, .port = L2TP_PORT, .ip = { 192, 0, 2, 1 } };
	p->path.remote =
		(struct addr){ .family = AF_INET, .port = L2TP_PORT, .ip = { 192, 0, 2, 2 } };
	p->l = l2tp_new(&config);
	assert_non_null(p->l);
	p->profile = l2tp_profile_new(params ? params : &dflt, &err);
	assert_non_null(p->profile);
}

void peer_stop(struct peer *p)
{
	l2tp_free(p->l);
	l2tp_profile_unref(p->profile);
}

void peer_clear(struct peer *p)
{
	p->outs = 0;
	memset(p->events, 0, sizeof(p->events));
}

static void hear(struct peer *p, const struct l2tp_event *ev)
{
	struct l2tp_cmd cmd = { .tunnel = ev->tunnel,
				.session = ev->session,
				.profile = p->profile };

	p->events[ev->kind]++;
	p->last[ev->kind] = *ev;
	snprintf(p->text[ev->kind], L2TP_TEXT_MAX, "%s", ev->text ? ev->text : "");
	if (ev->kind == L2TP_EV_TUNNEL_ASK) {
		snprintf(p->host, sizeof(p->host), "%s", ev->host_name);
		p->tunnel = ev->tunnel;
	}
	if (ev->kind == L2TP_EV_SESSION_ASK)
		p->session = ev->session;
	if (!p->answer)
		return;
	if (ev->kind == L2TP_EV_TUNNEL_ASK)
		cmd.kind = L2TP_CMD_TUNNEL_ACCEPT;
	else if (ev->kind == L2TP_EV_SESSION_ASK)
		cmd.kind = L2TP_CMD_SESSION_ACCEPT;
	else
		return;
	assert_int_equal(l2tp_do(p->l, p->now, &cmd), 0);
}

void peer_drain(struct peer *p)
{
	struct l2tp_event ev;
	struct l2tp_verdict v;
	uint8_t *msg;
	struct out *o;
	size_t len;

	while (l2tp_event(p->l, &ev))
		hear(p, &ev);
	for (;;) {
		assert_true(p->outs < PEER_OUT);
		o = &p->out[p->outs];
		msg = o->bytes;
		len = l2tp_output(p->l, p->now, msg, sizeof(o->bytes), &o->path);
		if (!len)
			return;
		o->len = len;
		assert_int_equal(l2tp_header_parse(msg, len, &o->h), L2TP_HDR_OK);
		assert_int_equal(msg[0], 0xc8);
		assert_int_equal(msg[1], 2);
		l2tp_msg_parse(msg + 12, len - 12,
			       p->profile->secret.n ? &p->profile->secret : NULL, scratch, &o->m,
			       &v);
		assert_int_equal(v.scope, L2TP_MSG_OK);
		engine_name(o->text, sizeof(o->text), o->m.text);
		if (o->m.tunnel_id && o->m.type != L2TP_STOPCCN)
			p->engine_tid = o->m.tunnel_id;
		if (o->h.len && o->h.ns == p->nr)
			p->nr++;
		p->outs++;
	}
}

void peer_wait(struct peer *p, int64_t us)
{
	struct mono end = mono_add(p->now, us);

	while (mono_due(l2tp_deadline(p->l), end)) {
		if (l2tp_deadline(p->l).us > p->now.us)
			p->now = l2tp_deadline(p->l);
		l2tp_expire(p->l, p->now);
		peer_drain(p);
	}
	p->now = end;
}

void peer_bytes(struct peer *p, const uint8_t *bytes, size_t len)
{
	struct l2tp_frame f;
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	if (len)
		memcpy(copy, bytes, len);
	assert_true(l2tp_input(p->l, p->now, &p->path, copy, len, &f) >= 0);
	free(copy);
	peer_drain(p);
}

struct l2tp_build *peer_begin(struct peer *p, uint16_t type)
{
	l2tp_build_begin(&b, buf, sizeof(buf), type, NULL, NULL);
	return &b;
}

void peer_send_as(struct peer *p, uint16_t tid, uint16_t session, uint16_t ns, uint16_t nr)
{
	size_t len = l2tp_build_end(&b);

	assert_true(len > 0);
	l2tp_build_stamp(buf, len, tid, session, ns, nr);
	peer_bytes(p, buf, len);
}

void peer_send(struct peer *p, uint16_t session)
{
	p->ns++;
	peer_send_as(p, p->engine_tid, session, (uint16_t)(p->ns - 1), p->nr);
}

void peer_zlb(struct peer *p)
{
	uint8_t zlb[12];

	l2tp_build_zlb(zlb, sizeof(zlb), p->engine_tid, p->ns, p->nr);
	peer_bytes(p, zlb, sizeof(zlb));
}

struct l2tp_build *peer_hello_words(struct peer *p, uint16_t type, uint16_t tid)
{
	peer_begin(p, type);
	l2tp_build_u16(&b, 2, 0x0100);
	l2tp_build_bytes(&b, 7, "peer", 4);
	l2tp_build_u32(&b, 3, 3);
	l2tp_build_u16(&b, 9, tid);
	return &b;
}

void peer_open(struct peer *p)
{
	peer_hello_words(p, L2TP_SCCRQ, p->tid);
	p->ns = 1;
	p->nr = 0;
	peer_send_as(p, 0, 0, 0, 0);
	peer_begin(p, L2TP_SCCCN);
	peer_send(p, 0);
}

adit_handle peer_dial(struct peer *p)
{
	struct l2tp_cmd cmd = {
		.kind = L2TP_CMD_TUNNEL_OPEN, .profile = p->profile, .path = p->path, .owner = 5
	};

	p->nr = 0;
	assert_int_equal(l2tp_do(p->l, p->now, &cmd), 0);
	p->tunnel = cmd.ret_handle;
	peer_drain(p);
	return cmd.ret_handle;
}

void peer_answer_dial(struct peer *p)
{
	peer_hello_words(p, L2TP_SCCRP, p->tid);
	p->ns = 0;
	peer_send(p, 0);
	peer_zlb(p);
}

adit_handle peer_call(struct peer *p)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN, .tunnel = p->tunnel, .owner = 6 };

	assert_int_equal(l2tp_do(p->l, p->now, &cmd), 0);
	p->session = cmd.ret_handle;
	peer_drain(p);
	return cmd.ret_handle;
}

uint16_t peer_call_in(struct peer *p, uint16_t sid)
{
	uint16_t id;

	peer_begin(p, L2TP_ICRQ);
	l2tp_build_u16(&b, 14, sid);
	l2tp_build_u32(&b, 15, 1);
	peer_send(p, 0);
	assert_non_null(peer_last(p, L2TP_ICRP));
	id = peer_last(p, L2TP_ICRP)->m.session_id;
	peer_begin(p, L2TP_ICCN);
	l2tp_build_u32(&b, 24, 1000);
	l2tp_build_u32(&b, 19, 1);
	peer_send(p, id);
	return id;
}

uint16_t peer_call_out(struct peer *p, uint16_t sid)
{
	uint16_t id;

	peer_call(p);
	assert_non_null(peer_last(p, L2TP_ICRQ));
	id = peer_last(p, L2TP_ICRQ)->m.session_id;
	peer_begin(p, L2TP_ICRP);
	l2tp_build_u16(&b, 14, sid);
	peer_send(p, id);
	return id;
}

int peer_do(struct peer *p, struct l2tp_cmd *cmd)
{
	int rc = l2tp_do(p->l, p->now, cmd);

	peer_drain(p);
	return rc;
}

uint32_t peer_count(const struct peer *p, uint16_t type)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->outs; i++)
		n += p->out[i].m.type == type;
	return n;
}

const struct out *peer_last(const struct peer *p, uint16_t type)
{
	for (uint32_t i = p->outs; i > 0; i--) {
		if (p->out[i - 1].m.type == type)
			return &p->out[i - 1];
	}
	return NULL;
}

unsigned peer_state(const struct peer *p)
{
	struct l2tp_tunnel_info info;

	return l2tp_tunnel_info(p->l, p->tunnel, &info) ? info.state : (unsigned)L2TP_TS_IDLE;
}

unsigned peer_session_state(const struct peer *p)
{
	struct l2tp_session_info info;

	return l2tp_session_info(p->l, p->session, &info) ? info.state : (unsigned)L2TP_SS_IDLE;
}
