/* SPDX-License-Identifier: MIT
 *
 * The PPP engine as its owner sees it: links are opened and closed, frames come in, time passes.
 * See include/adit/ppp.h for the contract and internal.h for how the parts fit together.
 *
 * ppp_input() takes a frame apart (RFC 1661 2, 6.5, 6.6) and hands it to its protocol, if the phase
 * allows that protocol (RFC 1661 3.4 to 3.6).
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

static void default_u32(uint32_t *v, uint32_t d)
{
	if (*v == 0)
		*v = d;
}

static void default_us(int64_t *v, int64_t d)
{
	if (*v == 0)
		*v = d;
}

static void fill_defaults(struct ppp_params *p)
{
	if (!p->auth_name)
		p->auth_name = "adit";
	if (!p->identification)
		p->identification = "";
	if (!p->user)
		p->user = "";
	if (!p->password) {
		p->password = "";
		p->password_len = 0;
	}
	default_us(&p->auth_us, 30 * US_S);
	if (p->mppe_strengths == 0)
		p->mppe_strengths = PPP_MPPE_128;
	if (p->mru == 0)
		p->mru = PPP_MRU_DEFAULT;
	if (p->mru_max == 0)
		p->mru_max = PPP_MRU_DEFAULT;
	if (p->mru_min == 0)
		p->mru_min = 576;
	default_us(&p->echo_us, 30 * US_S);
	default_u32(&p->echo_lost, 4);
	default_us(&p->restart_us, 3 * US_S);
	default_u32(&p->max_configure, 10);
	default_u32(&p->max_terminate, 2);
	default_u32(&p->max_failure, 5);
	default_us(&p->lcp_us, 30 * US_S);
	default_us(&p->ncp_us, 60 * US_S);
}

static bool params_valid(const struct ppp_params *p)
{
	for (size_t i = 0; i < sizeof(p->auth_order); i++) {
		uint8_t auth = p->auth_order[i];

		if ((auth & ~PPP_AUTH_ALL) || (auth & (auth - 1)))
			return false;
	}
	if ((p->peer_auth & ~PPP_AUTH_ALL) || strlen(p->user) > 255 || strlen(p->auth_name) > 255 ||
	    p->password_len > 255 || strlen(p->identification) >= PPP_TEXT_MAX)
		return false;
	/* RFC 1994 2.3: a CHAP secret has at least one octet. */
	if ((p->peer_auth & ~PPP_AUTH_PAP) && p->password_len == 0)
		return false;
	if (p->mru < 128 || p->mru > PPP_MRU_LIMIT || p->mru_max < 128 || p->mru_min < 64 ||
	    p->mru_min > PPP_MRU_DEFAULT)
		return false;
	if (p->mppe > PPP_MPPE_REQUIRE || (p->mppe_strengths & ~PPP_MPPE_ALL))
		return false;
	if (p->auth_us < 0 || p->auth_again_us < 0 || p->restart_us < US_MS || p->lcp_us < 0 ||
	    p->ncp_us < 0)
		return false;
	if (p->max_configure > 100 || p->max_terminate > 100 || p->max_failure > 50 ||
	    p->echo_lost > 200 || p->auth_tries > 200)
		return false;
	return (p->ipcp || p->ipv6cp) && (p->ipcp || !p->require_ipcp) &&
	       (p->ipv6cp || !p->require_ipv6cp);
}

struct ppp_profile *ppp_profile_new(const struct ppp_params *params, int *ret_err)
{
	struct ppp_params p = *params;
	struct ppp_profile *f;
	size_t name, user, words;
	char *tail;

	fill_defaults(&p);
	if (!params_valid(&p)) {
		*ret_err = -EINVAL;
		return NULL;
	}
	name = strlen(p.auth_name) + 1;
	user = strlen(p.user) + 1;
	words = strlen(p.identification) + 1;
	f = malloc(sizeof(*f) + name + user + words + p.password_len);
	if (!f) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	tail = (char *)(f + 1);
	memcpy(tail, p.auth_name, name);
	memcpy(tail + name, p.user, user);
	memcpy(tail + name + user, p.identification, words);
	if (p.password_len > 0)
		memcpy(tail + name + user + words, p.password, p.password_len);
	*f = (struct ppp_profile){ .refs = 1, .p = p };
	f->p.auth_name = tail;
	f->p.user = tail + name;
	f->p.identification = tail + name + user;
	f->p.password = tail + name + user + words;
	f->name_len = (uint8_t)(name - 1);
	f->user_len = (uint8_t)(user - 1);
	while (f->auths < sizeof(p.auth_order) && p.auth_order[f->auths] != PPP_AUTH_NONE)
		f->auth_set |= p.auth_order[f->auths++];
	return f;
}

struct ppp_profile *ppp_profile_ref(struct ppp_profile *p)
{
	p->refs++;
	return p;
}

void ppp_profile_unref(struct ppp_profile *p)
{
	if (!p || --p->refs > 0)
		return;
	bytes_wipe(p + 1, p->name_len + 1u + p->user_len + 1u + p->p.password_len);
	free(p);
}

struct ppp *ppp_new(const struct ppp_config *config)
{
	struct ppp *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->links = pool_new(sizeof(struct link), config->max_links);
	if (!e->links) {
		free(e);
		return NULL;
	}
	rng_init(&e->rng, config->seed);
	rng_bytes(&e->rng, e->key, sizeof(e->key));
	e->trace = config->trace;
	e->max_links = config->max_links;
	list_init(&e->news);
	list_init(&e->out);
	list_init(&e->dirty);
	return e;
}

void ppp_free(struct ppp *e)
{
	adit_handle h = 0;

	if (!e)
		return;
	while ((h = pool_next(e->links, h)) != 0)
		link_free(e, pool_get(e->links, h));
	pool_free(e->links);
	heap_free(&e->timers);
	bytes_wipe(e, sizeof(*e));
	free(e);
}

/* Every call tells the time. A leap past our deadlines means that nobody ran us: see after_jump().
 */
static void enter(struct ppp *e, struct mono now)
{
	int64_t late = heap_deadline(&e->timers).us;

	if (e->called && now.us - e->now.us >= PPP_WAKE_US && late < now.us - US_S) {
		e->wake++;
		trace(e->trace, TRACE_PPP_WAKE, now, 0, (uint32_t)((now.us - e->now.us) / US_S), 0);
	}
	if (!e->called || now.us > e->now.us)
		e->now = now;
	e->called = true;
}

static int do_open(struct ppp *e, struct ppp_cmd *cmd)
{
	struct link *l;
	int rc;

	if (!cmd->profile || (cmd->mru && (cmd->mru < 128 || cmd->mru > PPP_MRU_LIMIT)))
		return -EINVAL;
	rc = link_new(e, cmd->profile, cmd->owner, &l);
	if (rc != 0)
		return rc;
	rc = auth_reserve(e, l);
	if (rc < 0) {
		link_free(e, l);
		return rc;
	}
	l->want = cmd->addresses;
	l->flags = (cmd->no_ip4 ? F_IP4_NEVER : 0u) | (cmd->no_ip6 ? F_IP6_NEVER : 0u);
	if (cmd->mru)
		l->mru_in = l->mru_wish = cmd->mru;
	l->phase_at = mono_add(e->now, l->profile->p.lcp_us).us;
	link_phase(e, l, PH_ESTABLISH);
	if (l->profile->p.passive) {
		l->cp[CP_LCP].state = CP_STOPPED;
	} else {
		cp_event(e, l, &l->cp[CP_LCP], CP_EV_OPEN);
		cp_event(e, l, &l->cp[CP_LCP], CP_EV_UP);
	}
	link_arm(e, l);
	cmd->ret_link = l->handle;
	return 0;
}

static void do_go(struct ppp *e, struct link *l, const struct ppp_cmd *cmd)
{
	if (l->phase != PH_NETWORK)
		return;
	if (l->flags & F_CCP_HELD) {
		ccp_go(e, l, !cmd->no_mppe);
		return;
	}
	l->flags |= F_PATH_READY;
	l->hold_at = CP_NEVER;
	l->news &= ~(uint32_t)(NEWS_IPCP_READY | NEWS_IPV6CP_READY);
	for (unsigned i = CP_IPCP; i <= CP_IPV6CP && l->held && l->phase == PH_NETWORK; i++)
		cp_release(e, l, &l->cp[i], link_held(e, l, (enum cp_kind)i));
	link_held_free(e, l);
}

int ppp_do(struct ppp *e, struct mono now, struct ppp_cmd *cmd)
{
	struct link *l;
	int rc = 0;

	enter(e, now);
	if (cmd->kind == PPP_CMD_OPEN)
		return do_open(e, cmd);
	l = link_get(e, cmd->link);
	if (cmd->kind == PPP_CMD_DROP) {
		l = pool_get(e->links, cmd->link); /* also with its DOWN still to be told */
		if (l)
			link_free(e, l);
		return l ? 0 : 1;
	}
	if (!l)
		return 1;
	switch (cmd->kind) {
	case PPP_CMD_CLOSE:
		link_close(e, l, cmd->cause != ADIT_CAUSE_NONE ? cmd->cause : ADIT_CAUSE_ADMIN,
			   NULL);
		break;
	case PPP_CMD_AUTH_ANSWER:
		rc = auth_answer(e, l, cmd);
		break;
	case PPP_CMD_NCP_GO:
		do_go(e, l, cmd);
		break;
	case PPP_CMD_TIME_LEFT:
		lcp_time_left(e, l, cmd->seconds, cmd->text ? cmd->text : "");
		break;
	case PPP_CMD_OPEN:
	case PPP_CMD_DROP:
		break;
	}
	link_arm(e, l);
	return rc;
}

enum ppp_input input_drop(struct ppp *e, struct link *l, uint16_t proto, size_t len,
			  const char *why)
{
	trace_words(e, l, TRACE_PPP_DROP, proto, (uint32_t)len, why);
	return PPP_IN_DROP;
}

void trace_words(struct ppp *e, const struct link *l, enum trace_kind kind, uint32_t a, uint32_t b,
		 const char *words)
{
	trace_bytes(e->trace, kind, e->now, l->handle, a, b, words, strlen(words));
}

void trace_packet(struct ppp *e, const struct link *l, bool out, uint16_t proto, const uint8_t *p,
		  size_t len)
{
	static const struct {
		uint16_t proto;
		uint8_t named; /* codes 1 to this have kinds of their own */
		enum trace_kind in, out;
	} kinds[] = { { PPP_PROTO_LCP, LCP_TIME, TRACE_PPP_IN_LCP_CODE, TRACE_PPP_OUT_LCP_CODE },
		      { PPP_PROTO_IPCP, CP_CODE_REJ, TRACE_PPP_IN_IPCP_CODE,
			TRACE_PPP_OUT_IPCP_CODE },
		      { PPP_PROTO_IPV6CP, CP_CODE_REJ, TRACE_PPP_IN_IPV6CP_CODE,
			TRACE_PPP_OUT_IPV6CP_CODE },
		      { PPP_PROTO_CCP, CP_CODE_REJ, TRACE_PPP_IN_CCP_CODE, TRACE_PPP_OUT_CCP_CODE },
		      { PPP_PROTO_PAP, 3, TRACE_PPP_IN_PAP_CODE, TRACE_PPP_OUT_PAP_CODE },
		      { PPP_PROTO_CHAP, 7, TRACE_PPP_IN_CHAP_CODE, TRACE_PPP_OUT_CHAP_CODE },
		      { PPP_PROTO_EAP, 4, TRACE_PPP_IN_EAP_CODE, TRACE_PPP_OUT_EAP_CODE } };
	uint8_t code = p[0];

	for (size_t i = 0; e->trace && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		unsigned kind = out ? kinds[i].out : kinds[i].in;
		bool secret = proto == PPP_PROTO_PAP; /* a request holds a password */

		if (kinds[i].proto != proto)
			continue;
		if (code <= kinds[i].named)
			kind += code;
		trace_put(e->trace, (enum trace_kind)kind, e->now, l->handle, proto, p[1],
			  (uint32_t)len, code, secret ? NULL : p, secret ? 0 : len);
	}
}

/*
 * Address and control octets may be there or not: the two forms cannot be confused, and peers leave
 * them out over L2TP without asking (RFC 2661 does not say). A one-octet protocol is taken only
 * when we asked for that (RFC 1661 6.5). 0 = no protocol.
 */
static uint16_t frame_protocol(const struct link *l, struct rcur *c)
{
	uint16_t proto;

	if (rcur_left(c) >= 2 && c->p[0] == 0xff && c->p[1] == 0x03)
		rcur_take(c, 2);
	proto = rcur_u8(c);
	if (proto & 1)
		return l->flags & F_PFC_IN ? proto : 0;
	proto = (uint16_t)(proto << 8 | rcur_u8(c));
	return !c->bad && (proto & 1) ? proto : 0;
}

static enum ppp_input input_data(struct ppp *e, struct link *l, uint16_t proto, size_t off,
				 size_t len, size_t *ret_off)
{
	bool ip4 = proto == PPP_PROTO_IP;

	if (l->cp[ip4 ? CP_IPCP : CP_IPV6CP].state != CP_OPENED)
		return input_drop(e, l, proto, len, "its network protocol is not open");
	if (ccp_wanted(l))
		return input_drop(e, l, proto, len, "it is not encrypted");
	*ret_off = off;
	return ip4 ? PPP_IN_IP : PPP_IN_IPV6;
}

static enum ppp_input input_ncp(struct ppp *e, struct link *l, enum cp_kind kind, const uint8_t *p,
				size_t len)
{
	if (l->phase != PH_NETWORK && !eap_indicated(e, l))
		return input_drop(e, l, proto_of(kind), len, "not in this phase");
	if (!link_ncp_wanted(l, kind) && link_cp_state(l, kind) <= CP_STARTING) {
		lcp_protocol_reject(e, l, proto_of(kind), p, len);
		return input_drop(e, l, proto_of(kind), len, "not wanted on this link");
	}
	if (link_early(e, l, kind, p, len))
		return PPP_IN_TAKEN;
	return cp_input(e, l, link_cp(l, kind), p, len);
}

static enum ppp_input input_protocol(struct ppp *e, struct link *l, uint16_t proto,
				     const uint8_t *p, size_t len)
{
	bool lcp_open = l->cp[CP_LCP].state == CP_OPENED;

	if (proto == PPP_PROTO_LCP)
		return cp_input(e, l, &l->cp[CP_LCP], p, len);
	if (!lcp_open) /* RFC 1661 3.4 */
		return input_drop(e, l, proto, len, "LCP is not open");
	switch (proto) {
	case PPP_PROTO_PAP:
		return pap_input(e, l, p, len);
	case PPP_PROTO_CHAP:
		return chap_input(e, l, p, len);
	case PPP_PROTO_EAP:
		if ((l->auth_we | l->auth_peer) & PPP_AUTH_EAP)
			return eap_input(e, l, p, len);
		lcp_protocol_reject(e, l, proto, p, len);
		return input_drop(e, l, proto, len, "EAP was not agreed in LCP");
	case PPP_PROTO_IPCP:
		return input_ncp(e, l, CP_IPCP, p, len);
	case PPP_PROTO_IPV6CP:
		return input_ncp(e, l, CP_IPV6CP, p, len);
	case PPP_PROTO_CCP:
		return input_ncp(e, l, CP_CCP, p, len);
	case PPP_PROTO_COMP: /* encrypted; the data plane has not taken it */
		if (link_cp_state(l, CP_CCP) == CP_OPENED) {
			ccp_lost(e, l);
			return input_drop(e, l, proto, len, "the data plane did not decrypt it");
		}
		lcp_protocol_reject(e, l, proto, p, len);
		return input_drop(e, l, proto, len, "CCP is not open");
	default:
		lcp_protocol_reject(e, l, proto, p, len);
		return input_drop(e, l, proto, len, "unknown protocol");
	}
}

int ppp_input(struct ppp *e, struct mono now, adit_handle link, const uint8_t *frame, size_t len,
	      size_t *ret_off)
{
	struct link *l;
	struct rcur c = rcur_of(frame, len);
	uint16_t proto;
	enum ppp_input in;

	enter(e, now);
	l = link_get(e, link);
	if (!l)
		return PPP_IN_DROP;
	proto = frame_protocol(l, &c);
	if (proto == 0)
		return input_drop(e, l, 0, len, "no valid protocol field");
	/* What a new login needs is reserved before the packet that may start it. */
	if (proto == PPP_PROTO_LCP && l->phase == PH_ESTABLISH && auth_reserve(e, l) < 0)
		return -ENOMEM;
	l->heard = e->now.us;
	l->echo_open = 0;
	if (proto == PPP_PROTO_IP || proto == PPP_PROTO_IPV6)
		return input_data(e, l, proto, len - rcur_left(&c), len, ret_off);
	in = input_protocol(e, l, proto, c.p, rcur_left(&c));
	link_arm(e, l);
	return in;
}

void ppp_heard(struct ppp *e, struct mono now, adit_handle link)
{
	struct link *l = link_get(e, link);

	if (!l)
		return;
	l->heard = now.us;
	l->echo_open = 0;
}

void ppp_expire(struct ppp *e, struct mono now)
{
	struct heap_node *n;

	enter(e, now);
	while ((n = heap_first(&e->timers)) && mono_due(n->at, e->now)) {
		struct link *l = container_of(n, struct link, timer);

		link_expire(e, l);
		link_arm(e, l);
	}
}

struct mono ppp_deadline(const struct ppp *e)
{
	return heap_deadline(&e->timers);
}

bool ppp_info(const struct ppp *e, adit_handle link, struct ppp_info *ret)
{
	static const char *const names[] = { "establish", "authenticate", "network", "terminate" };
	const struct link *l = link_get(e, link);

	if (!l)
		return false;
	*ret = (struct ppp_info){
		.link = l->handle,
		.owner = l->owner,
		.phase = names[l->phase],
		.lcp_open = l->cp[CP_LCP].state == CP_OPENED,
		.ipcp_open = l->cp[CP_IPCP].state == CP_OPENED,
		.ipv6cp_open = l->cp[CP_IPV6CP].state == CP_OPENED,
		.mru_in = l->mru_in,
		.mru_out = l->mru_out,
		.acfc_out = l->flags & F_ACFC_OUT,
		.pfc_out = l->flags & F_PFC_OUT,
		.auth = l->flags & F_WE_DONE ? (enum ppp_auth)l->auth_we : PPP_AUTH_NONE,
		.addresses = l->got,
		.cause = (enum adit_cause)l->cause,
		.text = l->cause != ADIT_CAUSE_NONE ? link_words(l) : "",
		.mppe_keys = ccp_wanted(l),
		.mppe = ccp_wanted(l) && link_cp_state(l, CP_CCP) == CP_OPENED,
	};
	if (ret->mppe_keys && l->phase == PH_NETWORK) {
		ret->mppe_known = true;
		memcpy(ret->mppe_send_key, ccp_keys(l)->send_key, PPP_KEY_LEN);
		memcpy(ret->mppe_recv_key, ccp_keys(l)->recv_key, PPP_KEY_LEN);
	}
	if (ret->mppe)
		ccp_options(l, ret->mppe_options);
	return true;
}

const char *ppp_auth_name(enum ppp_auth auth)
{
	switch (auth) {
	case PPP_AUTH_NONE:
		return "none";
	case PPP_AUTH_PAP:
		return "pap";
	case PPP_AUTH_CHAP_MD5:
		return "chap";
	case PPP_AUTH_MSCHAP:
		return "mschapv1";
	case PPP_AUTH_MSCHAPV2:
		return "mschapv2";
	case PPP_AUTH_EAP_MD5:
		return "eap-md5";
	case PPP_AUTH_EAP_MSCHAPV2:
		return "eap-mschapv2";
	}
	return "unknown";
}

size_t ppp_memory(const struct ppp *e)
{
	return sizeof(*e) + pool_memory(e->links) + e->timers.cap * sizeof(void *) + e->extra;
}

uint32_t ppp_count(const struct ppp *e)
{
	return pool_count(e->links);
}
