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
#include "ping.h"

#define LAC_TICK_US  (20 * US_MS)
#define LAC_QUIET_US (400 * US_MS) /* no data before a session that goes is ended */

enum session_state { LAC_IDLE, LAC_SETUP, LAC_UP, LAC_ENDED };

struct lac_session {
	adit_handle l2tp, ppp;
	struct mono begun;
	uint8_t state; /* enum session_state */
	bool ip4, ip6;
	bool ping_due, ours;
	struct mono up_at, ping_at;
	struct mono next; /* churn: ends, or begins again */
	uint32_t lives;	  /* churn */
	struct lac_record r;
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
	uint32_t pings, ping_count, churn, churned, churn_failed, churn_dropped;
	uint32_t ping_scan; /* sessions from here on may have one to send */
	bool keep, calm;
	uint64_t asked, answered;
	struct mono tick;
	struct lac_record *records;
	size_t record_count, record_room;
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

static bool lac_is_churn(const struct lac *c, const struct lac_session *s)
{
	return s >= c->sessions + c->session_count;
}

/* Without memory the record is lost; who counts them finds out. */
static void lac_keep(struct lac *c, struct lac_session *s, struct mono now, enum adit_cause cause)
{
	if (!c->keep)
		return;
	if (c->record_count == c->record_room) {
		size_t room = c->record_room ? c->record_room * 2 : 256;
		struct lac_record *grown = realloc(c->records, room * sizeof(*grown));

		if (!grown)
			return;
		c->records = grown;
		c->record_room = room;
	}
	s->r.number = (uint32_t)(s - c->sessions);
	s->r.was_up = s->state == LAC_UP;
	s->r.ours = s->ours || c->closing;
	s->r.cause = cause;
	s->r.up_us = s->r.was_up ? now.us - s->up_at.us : 0;
	c->records[c->record_count++] = s->r;
}

/* One that comes and goes is over; it comes again soon. */
static void lac_churn_ended(struct lac *c, struct lac_session *s, struct mono now)
{
	if (s->state == LAC_SETUP && !s->ours)
		c->churn_failed++;
	else if (s->state == LAC_UP && !s->ours && !c->closing)
		c->churn_dropped++;
	else
		c->churned++;
	s->state = LAC_ENDED;
	s->next = mono_add(now, (100 + (int64_t)(s->lives * 37 % 300)) * US_MS);
}

static void lac_ended(struct lac *c, struct mono now, struct lac_session *s, enum adit_cause cause,
		      const char *text)
{
	if (s->state == LAC_SETUP || s->state == LAC_UP)
		lac_keep(c, s, now, cause);
	if (lac_is_churn(c, s)) {
		if (s->state == LAC_SETUP || s->state == LAC_UP)
			lac_churn_ended(c, s, now);
		return;
	}
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
	struct lac_session *s = &c->sessions[number];
	struct l2tp_session_info i;

	if (l2tp_session_info(c->l2tp, s->l2tp, &i)) {
		s->r.local_tunnel = i.local_tunnel_id;
		s->r.local_session = i.local_id;
		s->r.remote_tunnel = i.remote_tunnel_id;
		s->r.remote_session = i.remote_id;
	}
	if (ppp_do(c->ppp, now, &cmd) == 0)
		c->sessions[number].ppp = cmd.ret_link;
	else
		lac_ended(c, now, &c->sessions[number], ADIT_CAUSE_NO_MEMORY, "");
}

static void lac_session_down(struct lac *c, struct mono now, const struct l2tp_event *ev)
{
	struct lac_session *s = &c->sessions[ev->owner];
	struct ppp_cmd cmd = { .kind = PPP_CMD_DROP, .link = s->ppp };

	if (s->ppp)
		ppp_do(c->ppp, now, &cmd);
	s->ppp = s->l2tp = 0;
	lac_ended(c, now, s, ev->cause, ev->text);
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

	if (ev->proto == PPP_PROTO_IPCP) {
		s->ip4 = true;
		memcpy(s->r.ip4, ev->addresses.our_ip4, 4);
	} else {
		s->ip6 = true;
	}
	if (s->state != LAC_SETUP || !s->ip4 || (c->want_ip6 && !s->ip6))
		return;
	s->state = LAC_UP;
	s->up_at = s->ping_at = now;
	if (lac_is_churn(c, s)) {
		s->next = mono_add(now, (800 + (int64_t)(s->lives * 53 % 900)) * US_MS);
		return;
	}
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
		lac_ended(c, now, s, ev->cause, ev->text);
		if (s->l2tp)
			l2tp_do(c->l2tp, now, &close);
		s->l2tp = 0;
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
			lac_ended(c, now, s, ADIT_CAUSE_LIMIT_SESSIONS, "");
	}
}

/* ---- sessions that come and go, and data ---- */

static void lac_churn_begin(struct lac *c, struct mono now, struct lac_session *s)
{
	uint32_t number = (uint32_t)(s - c->sessions), lives = s->lives + 1;
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_SESSION_OPEN,
				.owner = number,
				.tunnel = c->tunnels[number % c->tunnel_count].handle };

	*s = (struct lac_session){ .begun = now, .state = LAC_SETUP, .lives = lives };
	if (cmd.tunnel && l2tp_do(c->l2tp, now, &cmd) == 0)
		s->l2tp = cmd.ret_handle;
	else
		lac_ended(c, now, s, ADIT_CAUSE_LIMIT_SESSIONS, "");
}

static void lac_churn_end(struct lac *c, struct mono now, struct lac_session *s)
{
	struct ppp_cmd polite = { .kind = PPP_CMD_CLOSE,
				  .link = s->ppp,
				  .cause = ADIT_CAUSE_ADMIN };
	struct l2tp_cmd close = { .kind = L2TP_CMD_SESSION_CLOSE,
				  .session = s->l2tp,
				  .result = L2TP_CDN_ADMIN,
				  .cause = ADIT_CAUSE_ADMIN };

	s->ours = true;
	s->next = MONO_NEVER;
	if (s->lives % 2 && s->ppp && ppp_do(c->ppp, now, &polite) == 0)
		return;
	polite.kind = PPP_CMD_DROP;
	if (s->ppp)
		ppp_do(c->ppp, now, &polite);
	if (s->l2tp)
		l2tp_do(c->l2tp, now, &close);
	s->ppp = s->l2tp = 0;
	lac_ended(c, now, s, ADIT_CAUSE_ADMIN, "");
}

static void lac_churn(struct lac *c, struct mono now, struct lac_session *s)
{
	if (c->up + c->failed + c->dropped < c->session_count || c->closing || c->calm)
		return;
	if (s->state == LAC_IDLE && !s->next.us) /* not all at once */
		s->next = mono_add(now, (int64_t)(s - c->sessions - c->session_count) * 40 * US_MS);
	if (!mono_due(s->next, now))
		return;
	if (s->state == LAC_IDLE || s->state == LAC_ENDED)
		lac_churn_begin(c, now, s);
	else if (s->state == LAC_UP)
		lac_churn_end(c, now, s);
}

static bool lac_quiet(const struct lac *c, const struct lac_session *s, struct mono now)
{
	return lac_is_churn(c, s) && s->next.us - now.us < LAC_QUIET_US;
}

static void lac_tick(struct lac *c, struct mono now)
{
	if (!mono_due(c->tick, now))
		return;
	c->tick = mono_add(now, LAC_TICK_US);
	for (uint32_t i = 0; i < c->session_count + c->churn; i++) {
		struct lac_session *s = &c->sessions[i];

		if (lac_is_churn(c, s))
			lac_churn(c, now, s);
		if (!c->pings || c->calm || (c->ping_count && s->r.sent >= c->ping_count) ||
		    s->state != LAC_UP || !mono_due(s->ping_at, now) || lac_quiet(c, s, now))
			continue;
		s->ping_due = true;
		s->ping_at = mono_add(now, US_S / c->pings);
		if (i < c->ping_scan)
			c->ping_scan = i;
	}
}

/* The next echo request, with its PPP header, at `frame`; 0 when there is none. */
static size_t lac_ping(struct lac *c, uint8_t *frame, struct lac_session **ret)
{
	for (; c->ping_scan < c->session_count + c->churn; c->ping_scan++) {
		struct lac_session *s = &c->sessions[c->ping_scan];
		struct ppp_info i;

		if (!s->ping_due)
			continue;
		s->ping_due = false;
		if (s->state != LAC_UP || !ppp_info(c->ppp, s->ppp, &i))
			continue;
		*ret = s;
		return ping_build(frame, i.addresses.our_ip4, i.addresses.peer_ip4,
				  (uint16_t)c->ping_scan, (uint16_t)s->r.sent);
	}
	return 0;
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
	c->pings = config->pings;
	c->calm = config->calm;
	c->ping_count = config->ping_count;
	c->churn = config->churn;
	c->keep = config->record;
	c->tick = c->pings || c->churn ? (struct mono){ 0 } : MONO_NEVER;
	c->want_ip6 = config->ip6;
	c->l2tp = l2tp_new(&lc);
	c->ppp = ppp_new(&pc);
	c->l2tp_profile = l2tp_profile_new(&lp, &err);
	c->ppp_profile = ppp_profile_new(&pp, &err);
	c->tunnels = calloc(c->tunnel_count, sizeof(*c->tunnels));
	c->sessions = calloc((size_t)c->session_count + c->churn, sizeof(*c->sessions));
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
	free(c->records);
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
	struct lac_session *s;
	size_t off;

	if (l2tp_input(c->l2tp, now, path, bytes, len, &frame) == L2TP_IN_FRAME) {
		s = &c->sessions[frame.owner];
		if (ppp_input(c->ppp, now, s->ppp, bytes + frame.off, frame.len, &off) ==
		    PPP_IN_IP) {
			s->r.received++;
			c->answered++;
			s->r.received_octets += frame.len - off;
		}
	}
	lac_drain(c, now);
}

void lac_expire(struct lac *c, struct mono now)
{
	l2tp_expire(c->l2tp, now);
	ppp_expire(c->ppp, now);
	lac_tick(c, now);
	lac_drain(c, now);
}

struct mono lac_deadline(const struct lac *c)
{
	return mono_min(c->tick, mono_min(l2tp_deadline(c->l2tp), ppp_deadline(c->ppp)));
}

size_t lac_output(struct lac *c, struct mono now, uint8_t *buf, size_t *ret_off,
		  struct path *ret_path)
{
	struct ppp_frame frame;
	struct lac_session *s;
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
	while ((n = lac_ping(c, buf + L2TP_HEADROOM, &s))) {
		head = l2tp_wrap(c->l2tp, s->l2tp, buf + L2TP_HEADROOM, n, false, ret_path);
		if (!head)
			continue;
		s->r.sent++;
		c->asked++;
		s->r.sent_octets += n - PING_PPP;
		*ret_off = L2TP_HEADROOM - head;
		return n + head;
	}
	return 0;
}

void lac_calm(struct lac *c, bool calm)
{
	c->calm = calm;
}

bool lac_closed(const struct lac *c)
{
	struct l2tp_tunnel_info i;

	for (adit_handle h = 0; (h = l2tp_tunnel_next(c->l2tp, h));)
		if (l2tp_tunnel_info(c->l2tp, h, &i) && i.state != L2TP_TS_LINGER)
			return false;
	return true;
}

const struct lac_record *lac_record(const struct lac *c, size_t index)
{
	return index < c->record_count ? &c->records[index] : NULL;
}

void lac_close(struct lac *c, struct mono now)
{
	c->closing = true;
	for (uint32_t i = 0; i < c->session_count + c->churn; i++) {
		struct lac_session *s = &c->sessions[i];

		if (s->state == LAC_SETUP || s->state == LAC_UP)
			lac_keep(c, s, now, ADIT_CAUSE_SHUTDOWN);
	}
	c->keep = false;
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
				   .churned = c->churned,
				   .churn_failed = c->churn_failed,
				   .churn_dropped = c->churn_dropped,
				   .asked = c->asked,
				   .answered = c->answered,
				   .reason = c->reason };
}

const int64_t *lac_latencies(const struct lac *c)
{
	return c->latency_us;
}
