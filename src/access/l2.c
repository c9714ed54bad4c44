/* SPDX-License-Identifier: MIT
 *
 * PPP is carried by L2TPv2 (RFC 2661) or, as pseudowires of type PPP (0x0007), by L2TPv3 (RFC
 * 3931). The rest of src/access speaks the language of the v2 engine; here it is said to the engine
 * that a tunnel belongs to. What differs:
 *
 *   - ids have 32 bits; those that we give out begin at ACCESS_V3_IDS, so that an id says which
 *     version it is of, and the engine of pseudowires (pw.h) can share the socket;
 *   - a session names what it is for (Remote End ID, 5.4.4): the Called Number of v2, or "ppp";
 *   - data has a cookie of 64 bits, which we always assign (8.2), and the sublayer and numbers only
 *     when either side asks for them;
 *   - it may be carried directly by IP (protocol 115): a path whose remote port is 0.
 *
 * A dial that is content with either version (4.7.3) has a handle in both engines until the peer
 * has answered in one: the tunnel is of version 2 until then, with `offer` beside it.
 */
#include "internal.h"

#include "base/crypto.h"

#include <errno.h>

#define COOKIE_LEN 8

static const char end_id[] = "ppp";

struct l2tp3 *acc_l2_v3(struct access *a)
{
	struct l2tp3_config c = { .trace = a->trace,
				  .id_base = ACCESS_V3_IDS,
				  .id_len = UINT32_MAX - ACCESS_V3_IDS };

	if (a->l2tp3)
		return a->l2tp3;
	rng_fork(&a->rng, c.seed);
	a->l2tp3 = l2tp3_new(&c);
	if (a->l2tp3)
		l2tp3_scarce(a->l2tp3, a->scarce);
	return a->l2tp3;
}

/* ---- commands ---- */

/* Numbers need the sublayer (4.6.1). */
static struct l2tp3_circuit circuit(bool numbered)
{
	return (struct l2tp3_circuit){ .cookie_len = COOKIE_LEN,
				       .sublayer = numbered ? L2TP3_SUBLAYER_DEFAULT
							    : L2TP3_SUBLAYER_NONE,
				       .sequencing = numbered ? L2TP3_SEQ_ALL : L2TP3_SEQ_NONE,
				       .status = L2TP3_STATUS_ACTIVE };
}

static int session_open(struct access *a, struct mono now, struct l2tp_cmd *cmd)
{
	const char *end = cmd->called && cmd->called[0] ? cmd->called : end_id;
	struct l2tp3_cmd c = { .kind = L2TP3_CMD_SESSION_OPEN,
			       .conn = cmd->tunnel,
			       .owner = cmd->owner,
			       .outgoing = cmd->outgoing,
			       .pw_type = L2TP3_PW_PPP,
			       .remote_end_id = end,
			       .remote_end_id_len = (uint8_t)strnlen(end, L2TP3_END_ID_MAX),
			       .hold = cmd->hold,
			       .circuit = circuit(cmd->sequencing) };
	int rc = l2tp3_do(a->l2tp3, now, &c);

	cmd->ret_handle = c.ret_handle;
	return rc;
}

static int session_accept(struct access *a, struct mono now, const struct l2tp_cmd *cmd)
{
	struct l2tp3_cmd c = { .kind = L2TP3_CMD_SESSION_ACCEPT,
			       .session = cmd->session,
			       .owner = cmd->owner,
			       .circuit = circuit(cmd->sequencing) };

	return l2tp3_do(a->l2tp3, now, &c);
}

/* An outgoing call that was accepted is connected (OCCN, 7.4.2). */
static int session_answered(struct access *a, struct mono now, const struct l2tp_cmd *cmd)
{
	struct l2tp3_cmd c = { .kind = L2TP3_CMD_SESSION_ANSWERED,
			       .session = cmd->session,
			       .hold = cmd->hold,
			       .status = L2TP3_STATUS_ACTIVE };

	return l2tp3_do(a->l2tp3, now, &c);
}

/* The result and error codes of v2 mean the same here (RFC 3931 5.4.2). */
static int plain(struct access *a, struct mono now, const struct l2tp_cmd *cmd,
		 enum l2tp3_cmd_kind kind)
{
	struct l2tp3_cmd c = { .kind = kind,
			       .conn = cmd->tunnel,
			       .session = cmd->session,
			       .at = cmd->at,
			       .result = cmd->result,
			       .error = cmd->error,
			       .text = cmd->text,
			       .cause = cmd->cause };

	return l2tp3_do(a->l2tp3, now, &c);
}

int acc_l2_do(struct access *a, struct mono now, uint8_t version, struct l2tp_cmd *cmd)
{
	if (version != 3)
		return l2tp_do(a->l2tp, now, cmd);
	switch (cmd->kind) {
	case L2TP_CMD_TUNNEL_REFUSE:
		return plain(a, now, cmd, L2TP3_CMD_CONN_REFUSE);
	case L2TP_CMD_TUNNEL_CLOSE:
		return plain(a, now, cmd, L2TP3_CMD_CONN_CLOSE);
	case L2TP_CMD_TUNNEL_HEARD:
		return plain(a, now, cmd, L2TP3_CMD_CONN_HEARD);
	case L2TP_CMD_SESSION_OPEN:
		return session_open(a, now, cmd);
	case L2TP_CMD_SESSION_ACCEPT:
		return session_accept(a, now, cmd);
	case L2TP_CMD_SESSION_ANSWERED:
		return session_answered(a, now, cmd);
	case L2TP_CMD_SESSION_REFUSE:
		return plain(a, now, cmd, L2TP3_CMD_SESSION_REFUSE);
	case L2TP_CMD_SESSION_CLOSE:
		return plain(a, now, cmd, L2TP3_CMD_SESSION_CLOSE);
	case L2TP_CMD_SESSION_GO:
		return plain(a, now, cmd, L2TP3_CMD_SESSION_GO);
	case L2TP_CMD_TUNNEL_OPEN:
	case L2TP_CMD_TUNNEL_ACCEPT:
	case L2TP_CMD_TUNNEL_ABANDON:
	case L2TP_CMD_SESSION_ACCM:
	case L2TP_CMD_SESSION_ERRORS:
		break;
	}
	return -EINVAL;
}

static int open_v3(struct access *a, struct mono now, struct acc_tunnel *t,
		   const struct conf_dial *c, const struct path *path, struct l2tp_offer *ret_offer,
		   adit_handle *ret)
{
	struct l2tp3_cmd cmd = { .kind = ret_offer ? L2TP3_CMD_CONN_OFFER : L2TP3_CMD_CONN_OPEN,
				 .profile = c->l2tp3,
				 .path = *path,
				 .owner = t->self,
				 .ret_offer = ret_offer };
	int rc = acc_l2_v3(a) ? l2tp3_do(a->l2tp3, now, &cmd) : -ENOMEM;

	*ret = cmd.ret_handle;
	return rc;
}

static int open_v2(struct access *a, struct mono now, struct acc_tunnel *t,
		   const struct conf_dial *c, const struct path *path,
		   const struct l2tp_offer *offer)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_OPEN,
				.profile = c->l2tp,
				.path = *path,
				.owner = t->self,
				.offer = offer };
	int rc = l2tp_do(a->l2tp, now, &cmd);

	t->l2tp = cmd.ret_handle;
	return rc;
}

static void offer_close(struct access *a, struct mono now, struct acc_tunnel *t,
			enum adit_cause cause)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_CONN_CLOSE, .conn = t->offer, .cause = cause };

	t->offer = 0;
	(void)l2tp3_do(a->l2tp3, now, &cmd); /* sends nothing: the peer has not heard of it */
}

int acc_l2_open(struct access *a, struct mono now, struct acc_tunnel *t, const struct conf_dial *c,
		const struct path *path)
{
	struct l2tp_offer offer;
	int rc;

	switch (c->version) {
	case CONF_V2:
		break;
	case CONF_V3:
		t->version = 3;
		return open_v3(a, now, t, c, path, NULL, &t->l2tp);
	case CONF_V_ANY:
		rc = open_v3(a, now, t, c, path, &offer, &t->offer);
		if (rc)
			return rc;
		rc = open_v2(a, now, t, c, path, &offer);
		if (rc)
			offer_close(a, now, t, ADIT_CAUSE_NO_MEMORY);
		bytes_wipe(&offer, sizeof(offer));
		return rc;
	}
	return open_v2(a, now, t, c, path, NULL);
}

int acc_l2_accept(struct access *a, struct mono now, struct acc_tunnel *t,
		  const struct conf_peer *c, bool trusted)
{
	struct l2tp_cmd cmd = { .kind = L2TP_CMD_TUNNEL_ACCEPT,
				.tunnel = t->l2tp,
				.owner = t->self,
				.profile = c->l2tp,
				.trusted = trusted };
	struct l2tp3_cmd cmd3 = { .kind = L2TP3_CMD_CONN_ACCEPT,
				  .conn = t->l2tp,
				  .owner = t->self,
				  .profile = c->l2tp3,
				  .trusted = trusted };

	return t->version == 3 ? l2tp3_do(a->l2tp3, now, &cmd3) : l2tp_do(a->l2tp, now, &cmd);
}

/* ---- either version ---- */

static void settle_for(struct access *a, struct acc_tunnel *t, uint8_t version, adit_handle h)
{
	acc_tunnel_unlist(a, t);
	acc_tunnel_record(a, t, 0); /* that was the other engine's */
	t->version = version;
	t->l2tp = h;
	t->offer = 0;
}

bool acc_l2_decided(struct access *a, struct mono now, struct acc_tunnel *t, uint8_t version,
		    const struct l2tp_event *ev)
{
	struct l2tp_cmd abandon = { .kind = L2TP_CMD_TUNNEL_ABANDON, .tunnel = t->l2tp };

	if (ev->tunnel != (version == 3 ? t->offer : t->l2tp))
		return false;
	if (version == 3) {
		/* Up, or at its end: the peer has answered in v3, or nothing is to be had. */
		settle_for(a, t, 3, ev->tunnel);
		(void)l2tp_do(a->l2tp, now, &abandon);
	} else {
		offer_close(a, now, t, ev->cause);
	}
	return true;
}

/* ---- what is there ---- */

bool acc_l2_call(const struct access *a, uint8_t version, adit_handle session, struct acc_call *ret)
{
	struct l2tp3_session_info i;

	if (version != 3) {
		*ret = (struct acc_call){ .version = 2 };
		return l2tp_session_info(a->l2tp, session, &ret->l2tp);
	}
	if (!a->l2tp3 || !l2tp3_session_info(a->l2tp3, session, &i))
		return false;
	*ret = (struct acc_call){ .version = 3,
				  .sublayer = i.sublayer_out == L2TP3_SUBLAYER_DEFAULT,
				  .sublayer_in = i.sublayer_in == L2TP3_SUBLAYER_DEFAULT,
				  .over_ip = i.over_ip,
				  .quiet = !l2tp3_status_takes_data(i.remote_status),
				  .cookie_in_len = i.cookie_in_len,
				  .cookie_out_len = i.cookie_out_len };
	memcpy(ret->cookie_in, i.cookie_in, sizeof(ret->cookie_in));
	memcpy(ret->cookie_out, i.cookie_out, sizeof(ret->cookie_out));
	ret->l2tp = (struct l2tp_session_info){
		.handle = i.handle,
		.tunnel = i.conn,
		.owner = i.owner,
		.state = (enum l2tp_session_state)i.state,
		.local_id = i.local_id,
		.remote_id = i.remote_id,
		.local_tunnel_id = i.local_conn_id,
		.remote_tunnel_id = i.remote_conn_id,
		.initiator = i.initiator,
		.outgoing = i.outgoing,
		.send_seq = i.seq_out != L2TP3_SEQ_NONE,
		.require_seq = i.seq_in == L2TP3_SEQ_ALL,
		.serial = i.serial,
		/* of 24 bits: nobody sends so much before a session is up */
		.data_ns = i.data_ns < UINT16_MAX ? (uint16_t)i.data_ns : UINT16_MAX,
		.data_nr = i.data_nr < UINT16_MAX ? (uint16_t)i.data_nr : UINT16_MAX,
		.path = i.path,
		.since = i.since,
		.tx_speed = i.tx_speed < UINT32_MAX ? (uint32_t)i.tx_speed : UINT32_MAX,
		.rx_speed = i.rx_speed < UINT32_MAX ? (uint32_t)i.rx_speed : UINT32_MAX
	};
	memcpy(ret->l2tp.errors, i.errors, sizeof(ret->l2tp.errors));
	return true;
}

_Static_assert((int)L2TP3_SS_UP == (int)L2TP_SS_UP && (int)L2TP3_CS_LINGER == (int)L2TP_TS_LINGER,
	       "the states of both versions have the same numbers");

bool acc_l2_tunnel(const struct access *a, uint8_t version, adit_handle tunnel,
		   struct l2tp_tunnel_info *ret)
{
	struct l2tp3_conn_info i;

	if (version != 3)
		return l2tp_tunnel_info(a->l2tp, tunnel, ret);
	if (!a->l2tp3 || !l2tp3_conn_info(a->l2tp3, tunnel, &i))
		return false;
	*ret = (struct l2tp_tunnel_info){ .handle = i.handle,
					  .owner = i.owner,
					  .state = (enum l2tp_tunnel_state)i.state,
					  .local_id = i.local_id,
					  .remote_id = i.remote_id,
					  .path = i.path,
					  .initiator = i.initiator,
					  .host_name = i.host_name,
					  .vendor_name = i.vendor_name,
					  .quirks_used = i.quirks_used,
					  .sessions = i.sessions,
					  .ns = i.ns,
					  .nr = i.nr,
					  .peer_window = i.peer_window,
					  .cwnd = i.cwnd,
					  .ssthresh = i.ssthresh,
					  .queued = i.queued,
					  .in_flight = i.in_flight,
					  .retransmits = i.retransmits,
					  .sent = i.sent,
					  .received = i.received,
					  .duplicates = i.duplicates,
					  .since = i.since,
					  .heard = i.heard,
					  .rtt_us = i.rtt_us };
	return true;
}

/* ---- events ---- */

static enum l2tp_event_kind kind_of(enum l2tp3_event_kind kind)
{
	switch (kind) {
	case L2TP3_EV_CONN_ASK:
		return L2TP_EV_TUNNEL_ASK;
	case L2TP3_EV_CONN_UP:
		return L2TP_EV_TUNNEL_UP;
	case L2TP3_EV_CONN_QUIET:
		return L2TP_EV_TUNNEL_QUIET;
	case L2TP3_EV_CONN_DOWN:
		return L2TP_EV_TUNNEL_DOWN;
	case L2TP3_EV_SESSION_ASK:
		return L2TP_EV_SESSION_ASK;
	case L2TP3_EV_SESSION_UP:
		return L2TP_EV_SESSION_UP;
	case L2TP3_EV_SESSION_DOWN:
		return L2TP_EV_SESSION_DOWN;
	case L2TP3_EV_CONN_MOVED: /* not with our profiles: `follow` is off */
	case L2TP3_EV_SESSION_STATUS:
	case L2TP3_EV_SESSION_ERRORS:
		break;
	}
	return L2TP_EV_SESSION_ERRORS; /* something about the line: see acc_session_line() */
}

/* The number that is called, if it is one; see session_open(). */
static const char *number_of(struct access *a, const struct l2tp3_event *e)
{
	size_t n = e->remote_end_id_len;

	if (e->kind != L2TP3_EV_SESSION_ASK || n >= sizeof(a->number) ||
	    (n == sizeof(end_id) - 1 && memcmp(e->remote_end_id, end_id, n) == 0))
		return "";
	if (n)
		memcpy(a->number, e->remote_end_id, n);
	a->number[n] = '\0';
	return a->number;
}

static struct l2tp_event event_of(struct access *a, const struct l2tp3_event *e)
{
	return (struct l2tp_event){ .kind = kind_of(e->kind),
				    .tunnel = e->conn,
				    .session = e->session,
				    .owner = e->owner,
				    .tunnel_owner = e->conn_owner,
				    .path = e->path,
				    .host_name = e->host_name,
				    .vendor_name = e->vendor_name,
				    .calling = "",
				    .called = number_of(a, e),
				    .sub_address = "",
				    .serial = e->serial,
				    .outgoing = e->outgoing,
				    .cause = e->cause,
				    .result = e->result,
				    .error = e->error,
				    .text = e->text,
				    .by_peer = e->by_peer };
}

bool acc_l2_event(struct access *a, struct l2tp_event *ret, uint8_t *ret_version)
{
	struct l2tp3_event e;

	*ret_version = 2;
	if (l2tp_event(a->l2tp, ret))
		return true;
	if (!a->l2tp3 || !l2tp3_event(a->l2tp3, &e))
		return false;
	*ret_version = 3;
	*ret = event_of(a, &e);
	return true;
}

/* ---- packets ---- */

static bool peers_serve3(const struct access *a, const struct addr *remote)
{
	struct addr ip = *remote;
	bool ok = false;

	ip.port = 0;
	for (size_t i = 0; i < a->peer_count && !ok; i++) {
		const struct conf_peer *c = a->peers[i]->c;

		if (!c || c->version == CONF_V2)
			continue;
		ok = c->from_count == 0;
		for (size_t j = 0; j < c->from_count && !ok; j++)
			ok = prefix_has(&c->from[j], &ip);
	}
	return ok;
}

/* Does the block name this very address? */
static bool names(const struct conf_peer *c, const struct addr *ip)
{
	const uint8_t whole = ip->family == AF_INET ? 32 : 128;

	for (size_t i = 0; i < c->from_count; i++)
		if (c->from[i].len == whole && prefix_has(&c->from[i], ip))
			return true;
	return false;
}

/* How the peer at this address authenticates, if that address is nobody else's: whoever hears a
 * message that is signed can guess at the secret. */
static const struct l2tp3_profile *profile3(const struct access *a, const struct addr *remote)
{
	const struct conf_peer *one = NULL;
	struct addr ip = *remote;

	ip.port = 0;
	for (size_t i = 0; i < a->peer_count; i++) {
		const struct conf_peer *c = a->peers[i]->c;

		if (!c || c->version == CONF_V2 || !names(c, &ip))
			continue;
		if (one)
			return NULL;
		one = c;
	}
	if (one)
		return one->l2tp3;
	for (size_t i = 0; i < a->dial_count; i++) {
		const struct acc_dial *d = a->dials[i];

		for (size_t j = 0; j < d->path_count && d->c->l2tp3; j++)
			if (addr_same_ip(&d->paths[j].remote, remote))
				return d->c->l2tp3;
	}
	return NULL;
}

bool access_serves3(const struct access *a, const struct path *path, const uint8_t *bytes,
		    size_t len)
{
	struct rcur c = rcur_of(bytes, len);
	uint32_t id;

	id = rcur_u32(&c); /* over UDP flags and version; Length of control, nothing of data */
	if (path->remote.port) {
		id = rcur_u32(&c);
		if (l2tp3_which(bytes, len) == L2TP3_WHICH_OFFER)
			return peers_serve3(a, &path->remote);
	} else if (!id) { /* 4.1.1.2: control; flags, version and Length */
		rcur_u32(&c);
		id = rcur_u32(&c);
	}
	if (c.bad)
		return false;
	if (id)
		return a->l2tp3 && id >= ACCESS_V3_IDS;
	return l2tp3_stops_all(path, bytes, len) ? a->l2tp3 != NULL
						 : peers_serve3(a, &path->remote);
}

bool access_paths(const struct access *a, uint64_t pos[2], struct path *ret)
{
	struct l2tp_tunnel_info i;
	struct l2tp3_conn_info i3;

	if (!pos[1]) { /* those of L2TPv3 follow */
		pos[0] = l2tp_tunnel_next(a->l2tp, pos[0]);
		if (pos[0] && l2tp_tunnel_info(a->l2tp, pos[0], &i)) {
			*ret = i.path;
			return true;
		}
	}
	pos[1] = a->l2tp3 ? l2tp3_conn_next(a->l2tp3, pos[1]) : 0;
	if (!pos[1] || !l2tp3_conn_info(a->l2tp3, pos[1], &i3))
		return false;
	*ret = i3.path;
	return true;
}

uint32_t access_via(const struct access *a, const struct path *path, const uint8_t *bytes,
		    size_t len)
{
	if (path->remote.port && l2tp3_which(bytes, len) == L2TP3_WHICH_V2)
		return l2tp_via(a->l2tp, path, bytes, len);
	return a->l2tp3 ? l2tp3_via(a->l2tp3, path, bytes, len) : 0;
}

int acc_l2_input(struct access *a, struct mono now, const struct path *path, const uint8_t *bytes,
		 size_t len, struct l2tp_frame *ret, uint8_t *ret_version)
{
	enum l2tp3_which which = path->remote.port ? l2tp3_which(bytes, len) : L2TP3_WHICH_V3;
	struct l2tp3_frame f;
	int rc;

	*ret_version = 2;
	if (!path->remote.port && !access_serves3(a, path, bytes, len))
		return L2TP_IN_DROP; /* L2TPv2 is not carried by IP (RFC 2661 8) */
	if ((which != L2TP3_WHICH_V3 && which != L2TP3_WHICH_OFFER) ||
	    !access_serves3(a, path, bytes, len))
		return l2tp_input(a->l2tp, now, path, bytes, len, ret);
	*ret_version = 3;
	rc = acc_l2_v3(a) ? l2tp3_input(a->l2tp3, now, path, bytes, len, &f) : -ENOMEM;
	if (rc == L2TP3_IN_LOST) {
		rc = l2tp3_tell_lost(a->l2tp3, path, bytes, len, profile3(a, &path->remote));
		return rc < 0 ? rc : L2TP_IN_DROP;
	}
	if (rc == L2TP3_IN_FRAME)
		*ret = (struct l2tp_frame){ .tunnel = f.conn,
					    .session = f.session,
					    .owner = f.owner,
					    .off = f.off,
					    .len = f.len };
	return rc;
}

_Static_assert((int)L2TP3_IN_FRAME == (int)L2TP_IN_FRAME && (int)L2TP3_IN_DROP == (int)L2TP_IN_DROP,
	       "the outcomes of input have the same numbers");

size_t acc_l2_wrap(struct access *a, const struct acc_session *s, uint8_t *frame, size_t len,
		   bool priority, struct path *ret)
{
	if (s->tunnel->version == 3)
		return a->l2tp3 ? l2tp3_wrap(a->l2tp3, s->l2tp, frame, len, ret) : 0;
	return l2tp_wrap(a->l2tp, s->l2tp, frame, len, priority, ret);
}

size_t acc_l2_output(struct access *a, struct mono now, uint8_t *buf, size_t cap, struct path *ret)
{
	size_t n = l2tp_output(a->l2tp, now, buf, cap, ret);

	return n || !a->l2tp3 ? n : l2tp3_output(a->l2tp3, now, buf, cap, ret);
}

/* ---- records ---- */

_Static_assert((int)L2TP3_OBJ_CONN == (int)L2TP_OBJ_TUNNEL &&
		       (int)L2TP3_OBJ_SESSION == (int)L2TP_OBJ_SESSION,
	       "the kinds of records have the same numbers");

bool acc_l2_dirty(struct access *a, uint8_t *ret_version, enum l2tp_object *ret_kind,
		  adit_handle *ret_handle, bool *ret_gone)
{
	enum l2tp3_object kind;

	*ret_version = 2;
	if (l2tp_dirty(a->l2tp, ret_kind, ret_handle, ret_gone))
		return true;
	if (!a->l2tp3 || !l2tp3_dirty(a->l2tp3, &kind, ret_handle, ret_gone))
		return false;
	*ret_version = 3;
	*ret_kind = (enum l2tp_object)kind;
	return true;
}

void acc_l2_save(const struct access *a, uint8_t version, enum l2tp_object kind, adit_handle h,
		 struct wcur *c)
{
	if (version == 3)
		l2tp3_save(a->l2tp3, (enum l2tp3_object)kind, h, c);
	else
		l2tp_save(a->l2tp, kind, h, c);
}
