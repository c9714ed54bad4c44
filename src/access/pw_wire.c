/* SPDX-License-Identifier: MIT
 *
 * Pseudowires: from a block of the configuration to a session of the engine and a row of the data
 * plane, and again after a loss. The circuit's status goes both ways: ours to the peer (SLI, RFC
 * 3931 5.4.5), the peer's into the row, so that a cable that is pulled there takes the carrier
 * here.
 *
 * A call of the peer is for the pseudowire whose Remote End ID it has (5.4.4). Cisco and others
 * write numbers there as digits; four octets that are no text are taken as a number, too. Where
 * both sides call, the engine settles it.
 */
#include "pw_int.h"

/* ---- objects ---- */

static struct pww *find_in(const struct htab *t, uint64_t v, size_t off_node, size_t off_value)
{
	struct htab_node *n = htab_find(t, pw_hash(t, v));

	for (; n; n = htab_next(n)) {
		struct pww *w = (struct pww *)(void *)((char *)n - off_node);

		if (memcmp((const char *)w + off_value, &v, sizeof(v)) == 0)
			return w;
	}
	return NULL;
}

struct pww *pww_find(const struct pw *p, uint64_t id)
{
	return find_in(&p->wires_by_id, id, offsetof(struct pww, by_id), offsetof(struct pww, id));
}

struct pww *pww_by_key(const struct pw *p, uint64_t key)
{
	return find_in(&p->by_key, key, offsetof(struct pww, by_key), offsetof(struct pww, key));
}

static uint64_t name_hash(const struct pw *p, const char *name)
{
	return htab_hash(&p->by_name, name, strlen(name));
}

struct pww *pww_by_name(const struct pw *p, const char *name)
{
	struct htab_node *n = htab_find(&p->by_name, name_hash(p, name));

	for (; n; n = htab_next(n)) {
		struct pww *w = container_of(n, struct pww, by_name);

		if (strcmp(w->name, name) == 0)
			return w;
	}
	return NULL;
}

struct pww *pww_new(struct pw *p, const struct pw_conf_wire *c, struct pwt *t)
{
	struct pww *w;

	if (htab_reserve(&p->wires_by_id) < 0 || htab_reserve(&p->by_key) < 0 ||
	    htab_reserve(&p->by_end) < 0 || htab_reserve(&p->by_name) < 0)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->id = ++p->next_id;
	w->wanted = true;
	w->near_up = !c->row.circuit[0];
	w->far_up = true;
	list_init(&w->in_tunnel);
	list_init(&w->news);
	list_init(&w->rec);
	htab_put(&p->wires_by_id, &w->by_id, pw_hash(&p->wires_by_id, w->id));
	pww_place(p, w, c, t);
	return w;
}

static uint64_t end_hash(const struct pw *p, const struct pwt *t, const char *end_id)
{
	return htab_hash(&p->by_end, end_id, strlen(end_id)) ^ t->id;
}

/* Put it under its configuration. */
void pww_place(struct pw *p, struct pww *w, const struct pw_conf_wire *c, struct pwt *t)
{
	pww_unplace(p, w);
	w->c = c;
	w->t = t;
	snprintf(w->name, sizeof(w->name), "%s", c->name);
	htab_put(&p->by_name, &w->by_name, name_hash(p, w->name));
	w->named = true;
	list_push(&t->wires, &w->in_tunnel);
	if (c->fixed)
		return;
	htab_put(&p->by_end, &w->by_end, end_hash(p, t, c->end_id));
	w->ended = true;
}

void pww_unplace(struct pw *p, struct pww *w)
{
	struct pwt *t = w->t;

	if (w->ended)
		htab_drop(&p->by_end, &w->by_end);
	w->ended = false;
	if (w->named)
		htab_drop(&p->by_name, &w->by_name);
	w->named = false;
	list_drop(&w->in_tunnel);
	w->c = NULL;
	w->t = NULL;
	if (t)
		pwt_release(p, t);
}

void pww_key_set(struct pw *p, struct pww *w, uint64_t key)
{
	if (w->keyed)
		htab_drop(&p->by_key, &w->by_key);
	w->keyed = key != 0;
	w->key = key;
	if (key)
		htab_put(&p->by_key, &w->by_key, pw_hash(&p->by_key, key));
}

void pww_free(struct pw *p, struct pww *w)
{
	pw_untouch_wire(p, w);
	pww_unplace(p, w);
	pww_key_set(p, w, 0);
	heap_clear(&p->wire_timers, &w->timer);
	list_drop(&w->news);
	htab_drop(&p->wires_by_id, &w->by_id);
	free(w);
}

/* ---- rows ---- */

static uint16_t status_of(const struct pww *w)
{
	return w->near_up ? L2TP3_STATUS_ACTIVE : L2TP3_STATUS_AC_RX | L2TP3_STATUS_AC_TX;
}

/* Of a session that is agreed with the peer. False: the planes cannot do what was agreed. */
static bool row_agreed(const struct pw *p, const struct pww *w, struct dp_row *r)
{
	struct l2tp3_session_info i;

	if (!l2tp3_session_info(p->l, w->session, &i) || i.sublayer_in != i.sublayer_out)
		return false;
	r->path = i.path;
	r->encap = i.over_ip ? DP_ENCAP_IP : DP_ENCAP_UDP;
	r->local_tunnel = i.local_conn_id;
	r->remote_tunnel = i.remote_conn_id;
	r->local_session = i.local_id;
	r->remote_session = i.remote_id;
	r->l2spec = i.sublayer_out == L2TP3_SUBLAYER_DEFAULT ? DP_L2SPEC_DEFAULT : DP_L2SPEC_NONE;
	r->flags = (uint16_t)((i.seq_out != L2TP3_SEQ_NONE ? DP_F_SEND_SEQ : 0) |
			      (i.seq_in == L2TP3_SEQ_ALL ? DP_F_REQUIRE_SEQ : 0));
	r->cookie_in_len = i.cookie_in_len;
	r->cookie_out_len = i.cookie_out_len;
	memcpy(r->cookie_in, i.cookie_in, sizeof(r->cookie_in));
	memcpy(r->cookie_out, i.cookie_out, sizeof(r->cookie_out));
	return true;
}

/* Of one whose ids are configured. */
static bool row_fixed(const struct pww *w, struct dp_row *r)
{
	const struct pwc *c = w->t->conn;

	if (!c || !c->up)
		return false;
	r->path = c->path;
	r->encap = c->encap;
	r->local_tunnel = c->local;
	r->remote_tunnel = c->remote;
	return true;
}

static uint16_t path_mtu(const struct pww *w)
{
	const struct pwc *c = w->t ? w->t->conn : NULL;

	return c && c->path_mtu ? c->path_mtu : PW_PATH_MTU;
}

static bool row_make(const struct pw *p, const struct pww *w, struct dp_row *ret)
{
	*ret = w->c->row;
	if (!(w->c->fixed ? row_fixed(w, ret) : row_agreed(p, w, ret)))
		return false;
	ret->mtu = w->c->mtu ? w->c->mtu : pw_mtu(ret, path_mtu(w));
	if (!w->far_up)
		ret->flags |= DP_F_FAR_DOWN;
	return true;
}

/* Keys are never used twice: session ids rest for minutes, and the upper part tells the sessions of
 * different first starts, and those of src/access, apart. */
static uint64_t key_new(struct pw *p, uint32_t session, bool fixed)
{
	uint64_t roll = fixed ? 0 : ++p->roll & 0x7f;

	return (uint64_t)(p->config.incarnation & 0xffffff) << 40 | UINT64_C(1) << 39 | roll << 32 |
	       session;
}

static void row_put(struct pw *p, struct mono now, struct pww *w)
{
	struct dp_row row;

	if (!row_make(p, w, &row)) {
		pww_end(p, now, w, L2TP_CDN_NO_FACILITIES, ADIT_CAUSE_DATA_PLANE,
			"one side sends the L2-Specific Sublayer and the other does not");
		return;
	}
	w->row = row;
	pww_key_set(p, w, key_new(p, row.local_session, w->c->fixed));
	w->generation++;
	w->row_state = PWW_ROW_PUT;
	w->carried = false;
	pw_news_w(p, w, PWW_N_PUT);
	if (w->session)
		pw_touch_session(p, w->session);
	else
		pw_touch_wire(p, w);
}

static void row_del(struct pw *p, struct pww *w)
{
	w->row_state = PWW_ROW_DEL;
	w->carried = false;
	w->generation++;
	w->missing = false;
	w->bits &= (uint8_t) ~(PWW_N_PUT | PWW_N_MISSING);
	pw_news_w(p, w, PWW_N_DEL);
}

/* ---- sessions ---- */

static void failed(struct pw *p, struct mono now, struct pww *w, enum adit_cause cause,
		   const char *text, bool by_peer)
{
	pw_reason_set(&w->why, cause, text, by_peer);
	w->why.established = w->told;
	w->told = false;
	pw_news_w(p, w, PWW_N_DOWN);
	if (!w->c || !w->wanted || pw_closed(p) || w->c->connect == PW_WAIT)
		return;
	w->attempts++;
	w->waiting = true;
	heap_set(&p->wire_timers, &w->timer, mono_add(now, pw_backoff(p, w->t->c, w->attempts)));
}

static void circuit_of(const struct pww *w, struct l2tp3_circuit *ret)
{
	ret->cookie_len = w->c->cookie_len;
	ret->sublayer = w->c->row.l2spec == DP_L2SPEC_DEFAULT ? L2TP3_SUBLAYER_DEFAULT
							      : L2TP3_SUBLAYER_NONE;
	ret->sequencing = w->c->row.flags & DP_F_REQUIRE_SEQ ? L2TP3_SEQ_ALL : L2TP3_SEQ_NONE;
	ret->status = status_of(w);
}

static void session_open(struct pw *p, struct mono now, struct pww *w)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_OPEN, .owner = w->id };
	int rc;

	cmd.conn = w->t->conn->h;
	cmd.pw_type = (uint16_t)w->c->type;
	cmd.remote_end_id = w->c->end_id;
	cmd.remote_end_id_len = (uint8_t)strlen(w->c->end_id);
	circuit_of(w, &cmd.circuit);
	rc = l2tp3_do(p->l, now, &cmd);
	if (rc == 0)
		w->session = cmd.ret_handle;
	else if (rc == 4)
		failed(p, now, w, ADIT_CAUSE_PW_TYPE, NULL, true);
	else
		failed(p, now, w, rc == 2 ? ADIT_CAUSE_LIMIT_SESSIONS : ADIT_CAUSE_NO_MEMORY, NULL,
		       false);
}

static bool tunnel_is_up(const struct pww *w)
{
	return w->t && w->t->state == PWT_UP && w->t->conn && w->t->conn->up;
}

static bool opens(const struct pw *p, const struct pww *w)
{
	return w->c && w->wanted && !pw_closed(p) && !w->waiting && !w->session && !w->c->fixed &&
	       (w->c->connect == PW_AUTO || w->asked) && tunnel_is_up(w);
}

void pww_advance(struct pw *p, struct mono now, struct pww *w)
{
	bool fixed = w->c && w->c->fixed;

	if (fixed)
		w->session_up = w->wanted && !p->shutdown && !w->waiting && tunnel_is_up(w);
	if (w->row_state == PWW_ROW_PUT && !w->session_up)
		row_del(p, w);
	else if (w->row_state == PWW_ROW_NONE && w->session_up && w->c)
		row_put(p, now, w);
	if (opens(p, w))
		session_open(p, now, w);
}

void pww_close_session(struct pw *p, struct mono now, adit_handle h, uint16_t result,
		       enum adit_cause cause, const char *text)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_CLOSE, .session = h };

	cmd.result = result;
	cmd.error = result == L2TP_CDN_ERROR ? L2TP_ERR_RESOURCES : L2TP_ERR_NONE;
	cmd.cause = cause;
	cmd.text = text;
	l2tp3_do(p->l, now, &cmd);
}

void pww_end(struct pw *p, struct mono now, struct pww *w, uint16_t result, enum adit_cause cause,
	     const char *text)
{
	adit_handle h = w->session;
	bool any = h || w->session_up;

	w->session = 0;
	w->session_up = false;
	if (h)
		pww_close_session(p, now, h, result, cause, text);
	if (any)
		failed(p, now, w, cause, text, false);
	pww_advance(p, now, w);
}

void pww_tunnel_up(struct pw *p, struct mono now, struct pwt *t)
{
	list_for_each (it, &t->wires) {
		struct pww *w = container_of(it, struct pww, in_tunnel);

		w->attempts = 0;
		w->waiting = false;
		heap_clear(&p->wire_timers, &w->timer);
		pww_advance(p, now, w);
	}
}

void pww_tunnel_down(struct pw *p, struct mono now, struct pwt *t, const struct pw_reason *why)
{
	list_for_each (it, &t->wires) {
		struct pww *w = container_of(it, struct pww, in_tunnel);

		w->waiting = false; /* the connection has its own back-off */
		heap_clear(&p->wire_timers, &w->timer);
		if (!w->c || !w->c->fixed || !w->session_up)
			continue;
		w->session_up = false;
		w->why = *why;
		w->why.established = w->told;
		w->told = false;
		pw_news_w(p, w, PWW_N_DOWN);
		row_del(p, w);
	}
}

void pww_expire(struct pw *p, struct mono now, struct pww *w)
{
	w->waiting = false;
	heap_clear(&p->wire_timers, &w->timer);
	pww_advance(p, now, w);
}

/* ---- events of the engine ---- */

/* A Remote End ID as text. */
static bool end_text(const uint8_t *id, size_t n, char ret[L2TP3_END_ID_MAX + 1])
{
	bool text = n > 0 && n <= L2TP3_END_ID_MAX;

	for (size_t i = 0; i < n && text; i++)
		text = id[i] >= 0x20 && id[i] < 0x7f;
	if (text) {
		memcpy(ret, id, n);
		ret[n] = '\0';
		return true;
	}
	if (n != 4)
		return false;
	snprintf(ret, L2TP3_END_ID_MAX + 1, "%lu",
		 (unsigned long)id[0] << 24 | (unsigned long)id[1] << 16 |
			 (unsigned long)id[2] << 8 | (unsigned long)id[3]);
	return true;
}

/* What the peer asks for, and its name in `id`; "" when it can have none. */
static struct pww *wire_for(const struct pw *p, const struct l2tp3_event *ev,
			    char id[L2TP3_END_ID_MAX + 1])
{
	const struct pwc *c = pwc_find(p, ev->conn_owner);
	struct htab_node *n;

	if (!end_text(ev->remote_end_id, ev->remote_end_id_len, id)) {
		id[0] = '\0';
		return NULL;
	}
	if (!c)
		return NULL;
	for (n = htab_find(&p->by_end, end_hash(p, c->t, id)); n; n = htab_next(n)) {
		struct pww *w = container_of(n, struct pww, by_end);

		if (w->t == c->t && strcmp(w->c->end_id, id) == 0)
			return w;
	}
	return NULL;
}

static void refuse(struct pw *p, struct mono now, const struct l2tp3_event *ev, uint16_t result,
		   const char *text)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_REFUSE, .session = ev->session };

	cmd.result = result;
	cmd.text = text;
	l2tp3_do(p->l, now, &cmd);
}

static void on_ask(struct pw *p, struct mono now, const struct l2tp3_event *ev)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_ACCEPT, .session = ev->session };
	char id[L2TP3_END_ID_MAX + 1], text[L2TP_TEXT_MAX];
	struct pww *w = pw_closed(p) ? NULL : wire_for(p, ev, id);

	if (pw_closed(p)) {
		refuse(p, now, ev, L2TP_CDN_ADMIN, cause_text(ADIT_CAUSE_SHUTDOWN));
		return;
	}
	if (!w) {
		snprintf(text, sizeof(text), "no pseudowire of the configuration has %s %.50s",
			 id[0] ? "the Remote End ID" : "this Remote End ID", id);
		refuse(p, now, ev, L2TP3_CDN_NO_FORWARDER, text);
		return;
	}
	if (!w->wanted) {
		refuse(p, now, ev, L2TP_CDN_ADMIN, "taken down by an administrator");
		return;
	}
	if (ev->pw_type != (uint16_t)w->c->type || ev->outgoing) {
		refuse(p, now, ev, L2TP3_CDN_PW_TYPE,
		       w->c->type == PW_VLAN ? "this pseudowire is of type Ethernet VLAN"
					     : "this pseudowire is of type Ethernet port");
		return;
	}
	/* The peer asks for what it believes not to have: ours is of before. */
	if (w->session)
		pww_end(p, now, w, L2TP_CDN_ADMIN, ADIT_CAUSE_REPLACED, NULL);
	w->waiting = false;
	heap_clear(&p->wire_timers, &w->timer);
	cmd.owner = w->id;
	circuit_of(w, &cmd.circuit);
	w->session = ev->session;
	if (l2tp3_do(p->l, now, &cmd))
		w->session = 0;
}

static void on_up(struct pw *p, struct mono now, struct pww *w, const struct l2tp3_event *ev)
{
	w->session_up = true;
	w->far_up = l2tp3_status_takes_data(ev->remote_status);
	pww_advance(p, now, w);
}

static void on_status(struct pw *p, struct pww *w, const struct l2tp3_event *ev)
{
	bool up = l2tp3_status_takes_data(ev->remote_status);

	if (up == w->far_up)
		return;
	w->far_up = up;
	if (w->row_state == PWW_ROW_PUT) {
		w->row.flags = (uint16_t)(up ? w->row.flags & ~DP_F_FAR_DOWN
					     : w->row.flags | DP_F_FAR_DOWN);
		w->generation++;
		pw_news_w(p, w, PWW_N_PUT);
	}
	if (w->told)
		pw_news_w(p, w, PWW_N_CIRCUIT);
}

static void on_down(struct pw *p, struct mono now, struct pww *w, const struct l2tp3_event *ev)
{
	w->session = 0;
	w->session_up = false;
	failed(p, now, w, ev->cause, ev->text, ev->by_peer);
	if (!tunnel_is_up(w)) {
		w->waiting = false;
		heap_clear(&p->wire_timers, &w->timer);
	}
	pww_advance(p, now, w);
}

void pww_event(struct pw *p, struct mono now, const struct l2tp3_event *ev)
{
	struct pww *w = NULL;

	if (ev->kind == L2TP3_EV_SESSION_ASK) {
		on_ask(p, now, ev);
		return;
	}
	w = pww_find(p, ev->owner);
	if (!w || w->session != ev->session)
		return; /* of a session that was given up */
	switch (ev->kind) {
	case L2TP3_EV_SESSION_UP:
		on_up(p, now, w, ev);
		break;
	case L2TP3_EV_SESSION_STATUS:
		on_status(p, w, ev);
		break;
	case L2TP3_EV_SESSION_DOWN:
		on_down(p, now, w, ev);
		break;
	case L2TP3_EV_SESSION_ASK:
	case L2TP3_EV_SESSION_ERRORS:
	case L2TP3_EV_CONN_ASK:
	case L2TP3_EV_CONN_UP:
	case L2TP3_EV_CONN_QUIET:
	case L2TP3_EV_CONN_MOVED:
	case L2TP3_EV_CONN_DOWN:
		break;
	}
}

/* ---- the data plane ---- */

int pww_done(struct pw *p, struct mono now, const struct dp_done *done)
{
	struct pww *w = pww_by_key(p, done->key);

	if (!w)
		return 1;
	if (done->op == DP_OP_DEL) {
		if (w->row_state != PWW_ROW_DEL)
			return 0;
		w->row_state = PWW_ROW_NONE;
		pww_key_set(p, w, 0);
		pw_touch_wire(p, w);
		pww_advance(p, now, w);
		return 0;
	}
	if (done->op != DP_OP_PUT || w->row_state != PWW_ROW_PUT ||
	    done->generation != w->generation)
		return 0;
	if (done->error) {
		pww_end(p, now, w, L2TP_CDN_ERROR, ADIT_CAUSE_DATA_PLANE, done->text);
		return 0;
	}
	w->carried = true;
	w->attempts = 0;
	if (!w->told) {
		w->told = true;
		w->since = now;
		w->why.cause = ADIT_CAUSE_NONE;
		pw_news_w(p, w, PWW_N_UP);
	}
	return 0;
}

void pww_path(struct pw *p, struct pww *w)
{
	uint16_t mtu;

	if (w->row_state != PWW_ROW_PUT || !w->c || w->c->mtu)
		return;
	mtu = pw_mtu(&w->row, path_mtu(w));
	if (mtu == w->row.mtu)
		return;
	w->row.mtu = mtu;
	w->generation++;
	pw_news_w(p, w, PWW_N_PUT);
}

void pww_circuit(struct pw *p, struct mono now, struct pww *w, bool up, bool missing)
{
	struct l2tp3_cmd cmd = { .kind = L2TP3_CMD_SESSION_STATUS, .session = w->session };

	if (missing && !w->missing)
		pw_news_w(p, w, PWW_N_MISSING);
	w->missing = missing;
	if (up == w->near_up)
		return;
	w->near_up = up;
	cmd.status = status_of(w);
	if (w->session)
		l2tp3_do(p->l, now, &cmd);
	if (w->told)
		pw_news_w(p, w, PWW_N_CIRCUIT);
}

/* ---- recovery ---- */

int pww_take_up(struct pw *p, struct mono now, struct pww *w, adit_handle session, uint64_t key,
		uint32_t generation, bool near_up)
{
	struct l2tp3_session_info i;
	struct dp_row row;

	if (!l2tp3_session_info(p->l, session, &i) || i.state != L2TP3_SS_UP)
		return 1;
	w->session = session;
	w->session_up = true;
	w->near_up = near_up;
	w->far_up = l2tp3_status_takes_data(i.remote_status);
	w->since = i.since;
	if (!key || !row_make(p, w, &row)) {
		pww_advance(p, now, w);
		return 0;
	}
	/* The planes have it: the same once more changes nothing. */
	w->row = row;
	pww_key_set(p, w, key);
	w->generation = generation + 1;
	w->row_state = PWW_ROW_PUT;
	w->told = w->carried = true;
	pw_news_w(p, w, PWW_N_PUT);
	return 0;
}

void pww_take_changed(struct pw *p, struct mono now, struct pww *w, adit_handle session,
		      uint64_t key, uint32_t generation, enum adit_cause cause)
{
	w->session = session;
	w->generation = generation;
	if (key) {
		pww_key_set(p, w, key);
		w->row_state = PWW_ROW_PUT;
		w->session_up = w->told = true;
	}
	pww_end(p, now, w, L2TP_CDN_ADMIN, cause, NULL);
}
