/* SPDX-License-Identifier: MIT
 *
 * What PAP, CHAP and EAP share: the authentication phase (RFC 1661 3.5), the question to the owner
 * and its answer, the counters, the mark by which we know challenges of our own.
 *
 * Both directions run side by side: the peer logs in with us (`auth_we`, we are the authenticator)
 * and we log in with the peer (`auth_peer`). The phase ends when both are done. What the peer said
 * is kept in struct login only until the question is answered and the result has been sent.
 *
 * Wrong answers are counted over renegotiations of LCP (RFC 1994, Security Considerations), and a
 * question whose link renegotiates meanwhile is void: its answer is recognised by the number.
 */
#include "internal.h"
#include "base/htab.h"

#include <errno.h>
#include <stdlib.h>

void auth_free(struct ppp *e, struct link *l)
{
	auth_forget(e, l);
	if (!l->ms)
		return;
	bytes_wipe(l->ms, sizeof(*l->ms));
	free(l->ms);
	l->ms = NULL;
	e->extra -= sizeof(*l->ms);
}

int auth_reserve_ms(struct ppp *e, struct link *l)
{
	if (l->ms)
		return 0;
	l->ms = calloc(1, sizeof(*l->ms));
	if (!l->ms)
		return -ENOMEM;
	e->extra += sizeof(*l->ms);
	cp_init(&l->ms->ccp, CP_CCP);
	return 0;
}

/* Memory for what the peer will say; before anything changes. */
int auth_reserve(struct ppp *e, struct link *l)
{
	const struct ppp_profile *f = l->profile;

	if (((f->auth_set | f->p.peer_auth) & PPP_AUTH_KEYS) && auth_reserve_ms(e, l) < 0)
		return -ENOMEM;
	if (l->login || f->auths == 0)
		return 0;
	l->login = calloc(1, sizeof(*l->login));
	if (!l->login)
		return -ENOMEM;
	e->extra += sizeof(*l->login);
	return 0;
}

size_t auth_challenge_len(uint8_t auth)
{
	return auth == PPP_AUTH_MSCHAP ? 8 : auth & PPP_AUTH_KEYS ? MS_CHAL_LEN : PPP_CHAL_LEN;
}

void auth_put_mark(const struct ppp *e, uint8_t *challenge, size_t len)
{
	uint64_t mark = siphash(e->key, challenge, len - 8);

	for (unsigned i = 0; i < 8; i++)
		challenge[len - 8 + i] = (uint8_t)(mark >> (56 - 8 * i));
}

/* Of this engine's making, on whichever link; never answered (RFC 1994 2.3). */
bool auth_is_ours(const struct ppp *e, const uint8_t *challenge, size_t len)
{
	uint8_t again[PPP_CHAL_LEN];

	if (len != PPP_CHAL_LEN && len != MS_CHAL_LEN)
		return false;
	memcpy(again, challenge, len - 8);
	auth_put_mark(e, again, len);
	return bytes_equal_ct(challenge, again, len);
}

void auth_take_user(struct login *g, const uint8_t *name, size_t len)
{
	if (len >= sizeof(g->user))
		len = sizeof(g->user) - 1;
	if (len > 0)
		memcpy(g->user, name, len);
	g->user[len] = '\0';
	g->user_len = (uint16_t)len;
	g->msg[0] = '\0';
}

enum ppp_auth auth_next(const struct link *l, uint8_t set, unsigned *ret_idx)
{
	for (unsigned i = l->auth_idx + 1u; i < l->profile->auths; i++) {
		if (l->profile->p.auth_order[i] & set) {
			*ret_idx = i;
			return (enum ppp_auth)l->profile->p.auth_order[i];
		}
	}
	return PPP_AUTH_NONE;
}

void auth_forget(struct ppp *e, struct link *l)
{
	if (!l->login)
		return;
	bytes_wipe(l->login, sizeof(*l->login));
	free(l->login);
	l->login = NULL;
	e->extra -= sizeof(*l->login);
}

uint32_t auth_tries(const struct link *l)
{
	if (l->profile->p.auth_tries != 0)
		return l->profile->p.auth_tries;
	return l->auth_we & (PPP_AUTH_PAP | PPP_AUTH_MSCHAP | PPP_AUTH_KEYS) ? 3 : 1;
}

static void maybe_network(struct ppp *e, struct link *l)
{
	if (l->phase == PH_AUTHENTICATE && (l->flags & F_WE_DONE) && (l->flags & F_PEER_DONE))
		link_network(e, l);
}

void auth_start(struct ppp *e, struct link *l)
{
	if (auth_reserve(e, l) < 0) { /* in the answer to a refused allocation */
		link_close(e, l, ADIT_CAUSE_NO_MEMORY, "no memory for the login");
		return;
	}
	link_phase(e, l, PH_AUTHENTICATE);
	l->phase_at = mono_add(e->now, l->profile->p.auth_us).us;
	l->we_sent = l->peer_sent = 0;
	l->chap_result = l->pap_result = 0;
	l->eap_we = EAP_WE_IDLE;
	l->eap_peer = EAP_PEER_IDLE;
	l->eap_noted = false;
	if (l->ms) {
		/* The keys of a former login are nobody's now: this one may give none (EAP-MD5). */
		l->ms->responded = false;
		bytes_wipe(&l->ms->we, sizeof(l->ms->we));
		bytes_wipe(&l->ms->peer, sizeof(l->ms->peer));
	}
	if (l->auth_we == PPP_AUTH_NONE)
		l->flags |= F_WE_DONE;
	else if (l->auth_we & PPP_AUTH_EAP)
		eap_start(e, l);
	else if (l->auth_we != PPP_AUTH_PAP)
		chap_challenge(e, l);
	if (l->auth_peer == PPP_AUTH_NONE) {
		l->flags |= F_PEER_DONE;
	} else if (l->auth_peer == PPP_AUTH_PAP) {
		l->pap_req_id++;
		l->peer_sent = 1;
		l->peer_at = mono_add(e->now, l->profile->p.restart_us).us;
		link_send(e, l, OUT_PAP_REQ);
	}
	maybe_network(e, l);
}

/* LCP has left Opened, or the link is being closed. Results under way are still sent. */
void auth_stop(struct ppp *e, struct link *l)
{
	l->we_at = l->peer_at = CP_NEVER;
	l->flags &= ~(uint32_t)F_ASKED;
	l->news &= ~(uint32_t)NEWS_ASK;
	l->out &= ~(uint32_t)(OUT_PAP_REQ | OUT_CHAP_CHAL | OUT_CHAP_RESP | OUT_EAP_REQ |
			      OUT_EAP_RESP);
}

void auth_ask(struct ppp *e, struct link *l)
{
	l->flags |= F_ASKED;
	l->ask++;
	if (l->ask == 0)
		l->ask = 1;
	l->we_at = CP_NEVER;
	trace_bytes(e->trace, TRACE_PPP_ASK, e->now, l->handle, 0, 0, l->login->user,
		    l->login->user_len);
	link_tell(e, l, NEWS_ASK);
}

void auth_done(struct ppp *e, struct link *l, uint32_t flag)
{
	l->flags |= flag;
	maybe_network(e, l);
}

static void send_result(struct ppp *e, struct link *l, bool ok)
{
	if (l->auth_we == PPP_AUTH_PAP) {
		l->pap_result = ok ? 2 : 3;
		link_send(e, l, OUT_PAP_RESULT);
	} else {
		l->chap_result = ok ? 3 : 4;
		l->result_id = l->chap_id;
		link_send(e, l, OUT_CHAP_RESULT);
	}
}

void auth_fail_words(struct link *l, enum adit_cause cause, bool retry)
{
	const char *text = cause_text(cause);
	size_t n = strnlen(text, sizeof(l->login->msg) - 1);

	/* 691 ERROR_AUTHENTICATION_FAILURE, 649 ERROR_NO_DIALIN_PERMISSION */
	l->fail_error = cause == ADIT_CAUSE_AUTH_FAILED ? 91 : 49;
	l->fail_retry = retry;
	if (!l->login || l->login->msg[0] != '\0')
		return;
	memcpy(l->login->msg, text, n);
	l->login->msg[n] = '\0';
}

/* A wrong answer. Only a wrong password may be tried again; any other cause would not change. */
void auth_failed(struct ppp *e, struct link *l, enum adit_cause cause)
{
	bool retry;

	if (l->login)
		trace_bytes(e->trace, TRACE_PPP_AUTH_BAD, e->now, l->handle, cause, 0,
			    l->login->user, l->login->user_len);
	if (l->auth_bad < UINT8_MAX)
		l->auth_bad++;
	retry = cause == ADIT_CAUSE_AUTH_FAILED && l->auth_bad < auth_tries(l) &&
		l->phase != PH_NETWORK;
	if (l->auth_we & PPP_AUTH_EAP) {
		eap_failed(e, l, cause, retry);
		return;
	}
	send_result(e, l, false);
	if (l->auth_we & (PPP_AUTH_MSCHAP | PPP_AUTH_MSCHAPV2))
		chap_failed(e, l, cause, retry);
	if (!retry)
		link_close(e, l, cause, NULL);
	else if (l->auth_we == PPP_AUTH_CHAP_MD5)
		l->we_at = mono_add(e->now, l->profile->p.restart_us).us;
}

/* The peer is in, or once more. */
void auth_peer_in(struct ppp *e, struct link *l)
{
	if (l->phase != PH_NETWORK)
		auth_done(e, l, F_WE_DONE);
	else
		l->we_at = l->profile->p.auth_again_us > 0
				   ? mono_add(e->now, l->profile->p.auth_again_us).us
				   : CP_NEVER;
}

/* Encryption goes on with the keys of the first login of a network phase. */
void auth_keep_keys(struct ppp_proof *now, const struct ppp_proof *old)
{
	if (!old->has_keys)
		return;
	memcpy(now->send_key, old->send_key, sizeof(now->send_key));
	memcpy(now->recv_key, old->recv_key, sizeof(now->recv_key));
	now->has_keys = true;
}

void auth_respond_ms(struct ppp *e, struct link *l, const uint8_t challenge[MS_CHAL_LEN])
{
	const struct ppp_profile *f = l->profile;
	struct ppp_proof old = l->ms->peer;
	uint8_t own[MS_CHAL_LEN];

	memcpy(l->ms->challenge, challenge, MS_CHAL_LEN);
	rng_bytes(&e->rng, own, sizeof(own));
	mschap2_respond(f->p.user, f->user_len, f->p.password, f->p.password_len, own, challenge,
			l->ms->response, &l->ms->peer);
	if (l->phase == PH_NETWORK)
		auth_keep_keys(&l->ms->peer, &old);
	bytes_wipe(&old, sizeof(old));
	l->ms->responded = true;
}

/* Without a response of ours the authenticator is of another login, or zeros that anybody knows. */
bool auth_peer_proven(const struct link *l, const uint8_t *text, size_t len)
{
	return l->ms->responded && mschap2_success_fits(&l->ms->peer, text, len);
}

static void take_proof(struct link *l, const struct ppp_proof *proof)
{
	struct ppp_proof old = l->ms->we;

	l->ms->we = *proof;
	if (l->phase == PH_NETWORK)
		auth_keep_keys(&l->ms->we, &old);
	bytes_wipe(&old, sizeof(old));
}

/* The owner's answer about the user (PPP_CMD_AUTH_ANSWER). */
int auth_answer(struct ppp *e, struct link *l, const struct ppp_cmd *cmd)
{
	if (!(l->flags & F_ASKED) || (cmd->ask != 0 && cmd->ask != l->ask) || !l->login)
		return 1;
	if (cmd->ok && (l->auth_we & PPP_AUTH_KEYS) && !cmd->proof)
		return -EINVAL;
	l->flags &= ~(uint32_t)F_ASKED;
	l->news &= ~(uint32_t)NEWS_ASK;
	l->login->msg[0] = '\0';
	if (cmd->text) {
		size_t n = strnlen(cmd->text, sizeof(l->login->msg) - 1);

		memcpy(l->login->msg, cmd->text, n);
		l->login->msg[n] = '\0';
	}
	if (!cmd->ok) {
		auth_failed(e, l,
			    cmd->cause != ADIT_CAUSE_NONE ? cmd->cause : ADIT_CAUSE_AUTH_FAILED);
		return 0;
	}
	trace_bytes(e->trace, TRACE_PPP_AUTH_OK, e->now, l->handle, 0, 0, l->login->user,
		    l->login->user_len);
	l->auth_bad = 0;
	if (cmd->proof && l->ms)
		take_proof(l, cmd->proof);
	if (l->phase != PH_NETWORK) { /* else checked once more: what was agreed stays */
		l->want = cmd->addresses;
		l->flags &= ~(uint32_t)(F_IP4_OFF | F_IP6_OFF);
		l->flags |= (cmd->no_ip4 ? F_IP4_OFF : 0u) | (cmd->no_ip6 ? F_IP6_OFF : 0u);
	}
	if (l->auth_we & PPP_AUTH_EAP) {
		eap_passed(e, l);
		return 0;
	}
	send_result(e, l, true);
	auth_peer_in(e, l);
	return 0;
}

/* The peer does not let us in. */
void auth_peer_failed(struct ppp *e, struct link *l, const uint8_t *text, size_t len)
{
	link_says(e, l, text, len, false);
	link_close(e, l, ADIT_CAUSE_PEER_AUTH_FAILED,
		   len > 0 ? NULL : "it gave no reason; are user name and password right?");
}

/* The next challenge is due, because the last was not answered or as a check from time to time. */
static void challenge_due(struct ppp *e, struct link *l)
{
	l->we_at = CP_NEVER;
	if (l->we_sent >= l->profile->p.max_configure) {
		link_close(e, l, ADIT_CAUSE_AUTH_TIMEOUT,
			   "the peer does not answer our challenges");
		return;
	}
	if (auth_reserve(e, l) < 0) {
		l->we_at = mono_add(e->now, l->profile->p.restart_us).us;
		return;
	}
	if (l->auth_we & PPP_AUTH_EAP)
		eap_due(e, l);
	else
		chap_challenge(e, l);
}

/* No answer to our own login. */
static void login_due(struct ppp *e, struct link *l)
{
	l->peer_at = CP_NEVER;
	if (l->peer_sent >= l->profile->p.max_configure) {
		if (l->phase == PH_AUTHENTICATE)
			link_close(e, l, ADIT_CAUSE_AUTH_TIMEOUT,
				   "the peer did not answer our login");
		return;
	}
	l->peer_sent++;
	l->peer_at = mono_add(e->now, l->profile->p.restart_us).us;
	link_send(e, l, l->auth_peer == PPP_AUTH_PAP ? OUT_PAP_REQ : OUT_CHAP_RESP);
}

void auth_expire(struct ppp *e, struct link *l)
{
	if (l->we_at <= e->now.us)
		challenge_due(e, l);
	if (l->peer_at <= e->now.us && l->phase < PH_TERMINATE)
		login_due(e, l);
}
