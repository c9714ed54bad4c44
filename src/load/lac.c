/* SPDX-License-Identifier: MIT
 *
 * The load generator's LAC: see lac.h. A session is a number; it is the owner both of the L2TP
 * session and of the PPP link, so every event finds it at once.
 */
#include "lac.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

enum session_state { LAC_IDLE, LAC_SETUP, LAC_UP, LAC_ENDED };

struct lac_session {
	adit_handle l2tp, ppp;
	struct mono begun;
	uint8_t state; /* enum session_state */
	bool ip4, ip6;
};

struct lac_tunnel {
	adit_handle handle;
	bool up;
};

struct lac {
	struct l2tp *l2tp;
	struct ppp *ppp;
	struct l2tp_profile *l2tp_profile;
	struct ppp_profile *ppp_profile;
	struct lac_tunnel *tunnels;
	struct lac_session *sessions;
	int64_t *latency_us;
	uint32_t tunnel_count, session_count, window, next;
	uint32_t tunnels_up, setting_up, up, failed, dropped, came_up;
	bool want_ip6, closing;
	char reason[256];
};

static void lac_note(struct lac *c, enum adit_cause cause, const char *text)
{
	char words[128];

	if (c->reason[0] || c->closing)
		return;
	text_escape(words, sizeof(words), text, strlen(text));
	snprintf(c->reason, sizeof(c->reason), "%s%s%s", cause_text(cause), words[0] ? ": " : "",
		 words);
}

static void lac_ended(struct lac *c, struct lac_session *s, enum adit_cause cause, const char *text)
{
	switch ((enum session_state)s->state) {
	case LAC_SETUP:
		c->setting_up--;
		c->failed++;
		break;
	case LAC_UP:
		c->up--;
		c->dropped += !c->closing;
		break;
	case LAC_IDLE:
	case LAC_ENDED:
		return;
	}
	lac_note(c, cause, text);
	s->state = LAC_ENDED;
}

static void lac_session_up(struct lac *c, struct mono now, uint64_t number)
{
	struct ppp_cmd cmd = { .kind = PPP_CMD_OPEN, .owner = number, .profile = c->ppp_profile };

	if (ppp_do(c->ppp, now, &cmd) == 0)
		c->sessions[number].ppp = cmd.ret_link;
	else
		lac_ended(c, &c->sessions[number], ADIT_CAUSE_NO_MEMORY, "");
}

static void lac_session_down(struct lac *c, struct mono now, const struct l2tp_event *ev)
{
	struct lac_session *s = &c->sessions[ev->owner];
	struct ppp_cmd cmd = { .kind = PPP_CMD_DROP, .link = s->ppp };

	if (s->ppp)
		ppp_do(c->ppp, now, &cmd);
	s->ppp = s->l2tp = 0;
	lac_ended(c, s, ev->cause, ev->text);
}

static void lac_tunnel_down(struct lac *c, const struct l2tp_event *ev)
{
	struct lac_tunnel *t = &c->tunnels[ev->owner];

	c->tunnels_up -= t->up;
	t->up = false;
	t->handle = 0;
	lac_note(c, ev->cause, ev->text);
}

static void lac_l2tp_event(struct lac *c, struct mono now, const struct l2tp_event *ev)
{
	struct l2tp_cmd cmd = { .tunnel = ev->tunnel, .session = ev->session };

	switch (ev->kind) {
	case L2TP_EV_TUNNEL_UP:
		c->tunnels[ev->owner].up = true;
		c->tunnels_up++;
		return;
	case L2TP_EV_TUNNEL_DOWN:
		lac_tunnel_down(c, ev);
		return;
	case L2TP_EV_SESSION_UP:
		lac_session_up(c, now, ev->owner);
		return;
	case L2TP_EV_SESSION_DOWN:
		lac_session_down(c, now, ev);
		return;
	case L2TP_EV_TUNNEL_QUIET:
		cmd.kind = L2TP_CMD_TUNNEL_HEARD;
		break;
	case L2TP_EV_TUNNEL_ASK: /* nobody opens a tunnel or a session to us */
		cmd.kind = L2TP_CMD_TUNNEL_REFUSE;
		cmd.result = L2TP_STOP_UNAUTHORISED;
		break;
	case L2TP_EV_SESSION_ASK:
		cmd.kind = L2TP_CMD_SESSION_REFUSE;
		cmd.result = L2TP_CDN_NO_FACILITIES_EVER;
		break;
	case L2TP_EV_SESSION_ACCM:
	case L2TP_EV_SESSION_ERRORS:
		return;
	}
	l2tp_do(c->l2tp, now, &cmd);
}

static void lac_ncp_up(struct lac *c, struct mono now, const struct ppp_event *ev)
{
	struct lac_session *s = &c->sessions[ev->owner];

	if (ev->proto == PPP_PROTO_IPCP)
		s->ip4 = true;
	else
		s->ip6 = true;
	if (s->state != LAC_SETUP || !s->ip4 || (c->want_ip6 && !s->ip6))
		return;
	s->state = LAC_UP;
	c->setting_up--;
	c->up++;
	c->latency_us[c->came_up++] = now.us - s->begun.us;
}

static void lac_ppp_event(struct lac *c, struct mono now, const struct ppp_event *ev)
{
	struct lac_session *s = &c->sessions[ev->owner];
	struct ppp_cmd go = { .kind = PPP_CMD_NCP_GO, .link = ev->link };
	struct l2tp_cmd close = { .kind = L2TP_CMD_SESSION_CLOSE,
				  .session = s->l2tp,
				  .result = L2TP_CDN_CARRIER,
				  .cause = ev->cause };

	switch (ev->kind) {
	case PPP_EV_CCP:
		break;
	case PPP_EV_NCP_READY:
		ppp_do(c->ppp, now, &go);
		return;
	case PPP_EV_NCP_UP:
		lac_ncp_up(c, now, ev);
		return;
	case PPP_EV_DOWN:
		s->ppp = 0;
		lac_ended(c, s, ev->cause, ev->text);
		if (s->l2tp)
			l2tp_do(c->l2tp, now, &close);
		return;
	case PPP_EV_AUTH_ASK: /* the profile asks nobody to log in */
	case PPP_EV_LCP_UP:
	case PPP_EV_AUTH_UP:
	case PPP_EV_NCP_DOWN:
	case PPP_EV_NOTE:
		return;
	}
}

/* Begin set-ups until the window is full. */
static void lac_begin(struct lac *c, struct mono now)
{
	while (!c->closing && c->tunnels_up == c->tunnel_count && c->next < c->session_count &&
	       c->setting_up < c->window) {
		struct lac_session *s = &c->sessions[c->next];
		struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN,
					.owner = c->next,
					.tunnel = c->tunnels[c->next % c->tunnel_count].handle };

		c->next++;
		s->begun = now;
		s->state = LAC_SETUP;
		c->setting_up++;
		if (l2tp_do(c->l2tp, now, &cmd) == 0)
			s->l2tp = cmd.ret_handle;
		else
			lac_ended(c, s, ADIT_CAUSE_LIMIT_SESSIONS, "");
	}
}

static void lac_drain(struct lac *c, struct mono now)
{
	struct l2tp_event le;
	struct ppp_event pe;
	enum l2tp_object kind;
	adit_handle h;
	uint64_t owner;
	bool gone;

	for (bool again = true; again;) {
		again = false;
		for (; l2tp_event(c->l2tp, &le); again = true)
			lac_l2tp_event(c, now, &le);
		for (; ppp_event(c->ppp, &pe); again = true)
			lac_ppp_event(c, now, &pe);
	}
	lac_begin(c, now);
	/* nothing here outlives the process */
	while (l2tp_dirty(c->l2tp, &kind, &h, &gone))
		;
	while (ppp_dirty(c->ppp, &h, &owner))
		;
}

struct lac *lac_new(const struct lac_config *config, int *ret_err)
{
	struct l2tp_params lp = { .host_name = config->host_name,
				  .secret = config->secret,
				  .secret_len = config->secret ? strlen(config->secret) : 0,
				  .receive_window = 64 };
	struct ppp_params pp = { .peer_auth = PPP_AUTH_PAP | PPP_AUTH_CHAP_MD5,
				 .user = config->user,
				 .password = config->password,
				 .password_len = strlen(config->password),
				 .ipcp = true,
				 .ipv6cp = config->ip6,
				 .ask_dns = true };
	struct l2tp_config lc = { 0 };
	struct ppp_config pc = { 0 };
	struct lac *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (!c) {
		*ret_err = err;
		return NULL;
	}
	memcpy(lc.seed, config->seed, sizeof(lc.seed));
	memcpy(pc.seed, config->seed, sizeof(pc.seed));
	pc.seed[0] ^= 1; /* two generators must not say the same */
	c->tunnel_count = config->tunnels;
	c->session_count = config->sessions;
	c->window = config->window;
	c->want_ip6 = config->ip6;
	c->l2tp = l2tp_new(&lc);
	c->ppp = ppp_new(&pc);
	c->l2tp_profile = l2tp_profile_new(&lp, &err);
	c->ppp_profile = ppp_profile_new(&pp, &err);
	c->tunnels = calloc(c->tunnel_count, sizeof(*c->tunnels));
	c->sessions = calloc(c->session_count, sizeof(*c->sessions));
	c->latency_us = calloc(c->session_count, sizeof(*c->latency_us));
	if (c->l2tp && c->ppp && c->l2tp_profile && c->ppp_profile && c->tunnels && c->sessions &&
	    c->latency_us)
		return c;
	lac_free(c);
	*ret_err = err;
	return NULL;
}

void lac_free(struct lac *c)
{
	if (!c)
		return;
	l2tp_free(c->l2tp);
	ppp_free(c->ppp);
	l2tp_profile_unref(c->l2tp_profile);
	ppp_profile_unref(c->ppp_profile);
	free(c->tunnels);
	free(c->sessions);
	free(c->latency_us);
	free(c);
}

int lac_open(struct lac *c, struct mono now, const struct path *path)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_OPEN,
				.owner = path->via,
				.profile = c->l2tp_profile,
				.path = *path };

	if (l2tp_do(c->l2tp, now, &cmd) != 0)
		return -ENOMEM;
	c->tunnels[path->via].handle = cmd.ret_handle;
	lac_drain(c, now);
	return 0;
}

void lac_input(struct lac *c, struct mono now, const struct path *path, const uint8_t *bytes,
	       size_t len)
{
	struct l2tp_frame frame;
	size_t off;

	if (l2tp_input(c->l2tp, now, path, bytes, len, &frame) == L2TP_IN_FRAME)
		ppp_input(c->ppp, now, c->sessions[frame.owner].ppp, bytes + frame.off, frame.len,
			  &off);
	lac_drain(c, now);
}

void lac_expire(struct lac *c, struct mono now)
{
	l2tp_expire(c->l2tp, now);
	ppp_expire(c->ppp, now);
	lac_drain(c, now);
}

struct mono lac_deadline(const struct lac *c)
{
	return mono_min(l2tp_deadline(c->l2tp), ppp_deadline(c->ppp));
}

size_t lac_output(struct lac *c, struct mono now, uint8_t *buf, size_t *ret_off,
		  struct path *ret_path)
{
	struct ppp_frame frame;
	size_t n, head;

	/* control first: a frame that overtakes its ICCN is dropped at the far end */
	*ret_off = 0;
	n = l2tp_output(c->l2tp, now, buf, LAC_PACKET_MAX, ret_path);
	if (n)
		return n;
	while ((n = ppp_output(c->ppp, now, buf + L2TP_HEADROOM, PPP_FRAME_MAX, &frame))) {
		head = l2tp_wrap(c->l2tp, c->sessions[frame.owner].l2tp, buf + L2TP_HEADROOM, n,
				 frame.priority, ret_path);
		if (!head)
			continue; /* the session ended meanwhile */
		*ret_off = L2TP_HEADROOM - head;
		return n + head;
	}
	return 0;
}

void lac_close(struct lac *c, struct mono now)
{
	c->closing = true;
	for (uint32_t i = 0; i < c->tunnel_count; i++) {
		struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_CLOSE,
					.tunnel = c->tunnels[i].handle,
					.result = L2TP_STOP_CLEAR,
					.cause = ADIT_CAUSE_ADMIN };

		if (cmd.tunnel)
			l2tp_do(c->l2tp, now, &cmd);
	}
	lac_drain(c, now);
}

void lac_stats(const struct lac *c, struct lac_stats *ret)
{
	*ret = (struct lac_stats){ .tunnels_up = c->tunnels_up,
				   .setting_up = c->setting_up,
				   .up = c->up,
				   .failed = c->failed,
				   .dropped = c->dropped,
				   .reason = c->reason };
}

const int64_t *lac_latencies(const struct lac *c)
{
	return c->latency_us;
}
