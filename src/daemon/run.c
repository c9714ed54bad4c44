/* SPDX-License-Identifier: MIT
 *
 * The drain loop: the only glue between the engine and the world. After each thing that came in all
 * events are taken and what is at hand is answered. After each batch of PUNT_BATCH such things, for
 * which the engines keep answers,
 *
 *   1. all records that changed are committed to the journal;
 *   2. all packets are sent;
 *   3. accounting lines, whose records are in the journal now, are written and confirmed;
 *
 * and again, until nothing is left. So nothing leaves this machine before the record that makes it
 * true is where a successor finds it.
 */
#include "daemon.h"

#include "notify.h"

#include "base/fault.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUNT_BATCH   256 /* packets between two drains; PPP keeps two answers for each */
#define PUNT_BATCHES 4	 /* batches before the loop looks at other descriptors */

/* Accounting lines are written one by one, or when many come, so many at once or so often. */
#define LINES_BATCH 64
#define LINES_US    (10 * US_MS)

#define DRAIN_SAY_US (10 * US_S)

/* A stop with a pace: how often it is looked how far it is, and when it goes on although nothing
 * ends any more. */
#define STOP_LOOK_US  (500 * US_MS)
#define STOP_STUCK_US (60 * US_S)
#define STOP_ROW_US   (100 * US_MS) /* ... and for a session to leave the kernel, all alone */

/* Memory: how often it is looked whether there is any while packets come, and, once there was none,
 * whether it is back. */
#define PROBE_US  (20 * US_MS)
#define SCARCE_US (5 * US_S)

void daemon_say(struct daemon *d, enum trace_level level, const char *fmt, ...)
{
	static const enum trace_kind kinds[] = {
		[TRACE_DEBUG] = TRACE_DAEMON_DEBUG,
		[TRACE_INFO] = TRACE_DAEMON_INFO,
		[TRACE_NOTICE] = TRACE_DAEMON_NOTICE,
		[TRACE_WARNING] = TRACE_DAEMON_WARNING,
	};
	char text[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (d->trace)
		trace_bytes(d->trace, kinds[level], d->now, 0, 0, 0, text, strlen(text));
	else if (d->log)
		log_line(d->log, d->now, d->wall_us, level, text);
}

/* Lines about many peers or users: one kind for each cause. Our own words are of no kind. */
static uint32_t kind_of(const struct trace_record *r)
{
	if (r->kind == TRACE_DAEMON_DEBUG || r->kind == TRACE_DAEMON_INFO ||
	    r->kind == TRACE_DAEMON_NOTICE || r->kind == TRACE_DAEMON_WARNING)
		return 0;
	return (uint32_t)r->kind << 16 | trace_cause(r);
}

void run_log(struct daemon *d)
{
	struct trace_record r;
	uint64_t lost;

	log_hold(d->log, true);
	while (!trace_quiet(d->trace, &d->trace_pos, log_level(d->log))) {
		uint64_t at = d->trace_pos;
		uint8_t raw[2048];
		char text[LOG_LINE_MAX];

		/* most records are below the level: copy the octets beside one only when needed */
		if (!trace_read(d->trace, &d->trace_pos, &r, NULL, 0, &lost))
			break;
		if (trace_level_of((enum trace_kind)r.kind) < log_level(d->log))
			continue;
		d->trace_pos = at;
		if (!trace_read(d->trace, &d->trace_pos, &r, raw, sizeof(raw), &lost))
			break;
		/* before: should it be the end of us, it is not that of each successor, too */
		trace_tell(d->trace, d->trace_pos);
		trace_text(&r, raw, text, sizeof(text));
		log_line_of(d->log, r.at, d->wall_us + (r.at.us - d->now.us),
			    trace_level_of((enum trace_kind)r.kind), kind_of(&r), text);
	}
	trace_tell(d->trace, d->trace_pos);
	log_hold(d->log, false);
}

/* ---- memory ---- */

static void set_scarce(struct daemon *d, bool scarce)
{
	d->scarce = scarce;
	access_scarce(d->access, scarce);
	pwe_scarce(d->pw, scarce);
}

void run_scarce(struct daemon *d)
{
	d->scarce_at = mono_add(d->now, SCARCE_US);
	if (d->scarce)
		return;
	spare_drop(&d->spare);
	set_scarce(d, true);
	daemon_say(
		d, TRACE_WARNING,
		"out of memory: whoever asks for a tunnel or a session is refused until there is "
		"some; those that are up stay");
}

/* Something of our own failed for want of memory, and has better chances now. */
static bool spared(struct daemon *d, int rc)
{
	bool scarce = d->scarce;

	if (rc == -ENOMEM)
		run_scarce(d);
	return rc == -ENOMEM && !scarce;
}

void run_probe(struct daemon *d)
{
	if (!d->scarce && !spare_room())
		run_scarce(d);
}

/* What has ended has left memory, or pools with places: the reserve can be had again. */
static void scarce_look(struct daemon *d)
{
	d->scarce_at = mono_add(d->now, d->scarce ? SCARCE_US : PROBE_US);
	if (!d->scarce) {
		run_probe(d);
		if (!d->scarce)
			spare_grow(&d->spare);
		return;
	}
	access_lines_again(d->access);
	if (!spare_fill(&d->spare))
		return;
	if (!spare_room()) {
		spare_drop(&d->spare);
		return;
	}
	set_scarce(d, false);
	daemon_say(d, TRACE_NOTICE, "there is memory again: newcomers are welcome");
}

/* ---- events ---- */

struct access_cmd *run_answer(struct daemon *d, enum access_cmd_kind kind)
{
	struct answer *a = d->answers + d->answer_count++;

	memset(a, 0, sizeof(*a));
	a->cmd.kind = kind;
	return &a->cmd;
}

/* A request the data plane could not even queue is answered at once. */
static void plane_failed(struct daemon *d, enum dp_op op, uint64_t key, uint32_t generation,
			 int error)
{
	struct answer *a = d->answers + d->answer_count;
	struct access_cmd *cmd = run_answer(d, ACCESS_CMD_DP_DONE);

	a->done.op = (uint8_t)op;
	a->done.key = key;
	a->done.generation = generation;
	a->done.error = error;
	snprintf(a->done.text, sizeof(a->done.text), "%s", strerror(-error));
	cmd->done = &a->done;
}

static void del_now(struct daemon *d, uint64_t key, uint32_t generation)
{
	int rc;

	FAULT("before-del");
	rc = d->dp->ops->del(d->dp, key, generation);
	FAULT("after-del");
	if (rc < 0)
		plane_failed(d, DP_OP_DEL, key, generation, rc);
}

/* A row goes after the journal says that its session ends: a successor that knows nothing of the
 * end would put it anew, and what it had counted would be lost. */
static void del_later(struct daemon *d, uint64_t key, uint32_t generation)
{
	if (d->del_count == d->del_room) {
		size_t room = d->del_room ? d->del_room * 2 : 64;
		struct del *grown = realloc(d->dels, room * sizeof(*grown));

		if (!grown) {
			del_now(d, key, generation);
			return;
		}
		d->dels = grown;
		d->del_room = room;
	}
	d->dels[d->del_count++] = (struct del){ key, generation };
}

/* False: there is no room for more answers now. */
static bool carry_out_dels(struct daemon *d)
{
	size_t n = 0;

	while (n < d->del_count && d->answer_count < DAEMON_ANSWERS) {
		del_now(d, d->dels[n].key, d->dels[n].generation);
		n++;
	}
	if (n)
		memmove(d->dels, d->dels + n, (d->del_count - n) * sizeof(*d->dels));
	d->del_count -= n;
	return d->del_count == 0;
}

static void on_auth(struct daemon *d, const struct access_event *ev)
{
	struct access_cmd *cmd = run_answer(d, ACCESS_CMD_AUTH);
	const struct users *users = conf_users_find(d->conf, ev->profile->users);

	if (users) {
		users_check(users, ev, d->conf->host_name, cmd);
	} else {
		cmd->cause = ADIT_CAUSE_AUTH_REFUSED;
		cmd->text = "the users file is no longer part of the configuration";
	}
	cmd->kind = ACCESS_CMD_AUTH;
	cmd->key = ev->key;
}

static void on_acct(struct daemon *d, const struct access_event *ev)
{
	struct access_cmd *cmd;
	int rc;

	if (!d->conf->accounting[0]) {
		cmd = run_answer(d, ACCESS_CMD_ACCT_WRITTEN);
		cmd->key = ev->key;
		cmd->acct_seq = ev->acct_seq;
		return;
	}
	rc = acct_add(d->acct, ev->key, ev->acct_seq, ev->line);
	if (spared(d, rc))
		rc = acct_add(d->acct, ev->key, ev->acct_seq, ev->line);
	if (rc < 0)
		access_line_later(d->access, ev->key, ev->acct_seq);
}

static const char *who_of(const struct access_event *ev, char *buf, size_t cap)
{
	char remote[ADDR_TEXT_MAX] = "";

	if (ev->path)
		addr_text(&ev->path->remote, remote);
	if (ev->dial)
		snprintf(buf, cap, "session \"%s\" to %s", ev->dial->name, remote);
	else if (ev->user && ev->user[0])
		snprintf(buf, cap, "session of %s from %s", ev->user, remote);
	else if (remote[0])
		snprintf(buf, cap, "session from %s", remote);
	else
		snprintf(buf, cap, "session %016llx", (unsigned long long)ev->key);
	return buf;
}

static const char *ip4_text(const uint8_t ip[4], char *buf, size_t cap)
{
	snprintf(buf, cap, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
	return buf;
}

static void on_up(struct daemon *d, const struct access_event *ev)
{
	char who[PPP_USER_MAX + 128], addresses[160] = "", ip[16], prefix[ADDR_TEXT_MAX];
	static const uint8_t none[4];
	const uint8_t *ip4 = ev->dial ? ev->our_ip4 : ev->peer_ip4;
	size_t n = 0;

	if (memcmp(ip4, none, 4) != 0)
		n = (size_t)snprintf(addresses, sizeof(addresses), " %s",
				     ip4_text(ip4, ip, sizeof(ip)));
	if (ev->prefix6.addr.family)
		snprintf(addresses + n, sizeof(addresses) - n, " %s",
			 prefix_text(&ev->prefix6, prefix));
	daemon_say(d, TRACE_NOTICE, "%s is up:%s%s%s, MTU %u", who_of(ev, who, sizeof(who)),
		   addresses, ev->ifname && ev->ifname[0] ? " on " : "",
		   ev->ifname ? ev->ifname : "", ev->mtu);
	hook_run(d, ev);
}

static void on_down(struct daemon *d, const struct access_event *ev)
{
	char who[PPP_USER_MAX + 128];
	const char *because = cause_text(ev->cause);
	bool more = ev->text[0] && strcmp(ev->text, because) != 0;

	daemon_say(d, TRACE_NOTICE, "%s %s because %s%s%s", who_of(ev, who, sizeof(who)),
		   ev->established ? "ended" : "failed", because, more ? ": " : "",
		   more ? ev->text : "");
	hook_run(d, ev);
}

static void on_tunnel(struct daemon *d, const struct access_event *ev)
{
	const char *because = cause_text(ev->cause);
	char remote[ADDR_TEXT_MAX];
	bool more;

	addr_text(&ev->path->remote, remote);
	if (ev->kind == ACCESS_EV_TUNNEL_UP) {
		plane_trust(d, &ev->path->remote);
		daemon_say(d, TRACE_NOTICE, "tunnel %u with %s (%s) is up", ev->tunnel, remote,
			   ev->name);
		kplane_tunnel_up(d, ev->tunnel);
		return;
	}
	kplane_tunnel_down(d, ev->tunnel);
	more = ev->text[0] && strcmp(ev->text, because) != 0;
	daemon_say(d, TRACE_NOTICE, "tunnel %u with %s (%s) ended because %s%s%s", ev->tunnel,
		   remote, ev->name, because, more ? ": " : "", more ? ev->text : "");
}

static void on_event(struct daemon *d, const struct access_event *ev)
{
	struct access_cmd *cmd;
	int rc;

	switch (ev->kind) {
	case ACCESS_EV_DP_PUT:
		FAULT("before-put");
		rc = d->dp->ops->put(d->dp, ev->key, ev->generation, ev->row);
		if (spared(d, rc))
			rc = d->dp->ops->put(d->dp, ev->key, ev->generation, ev->row);
		FAULT("after-put");
		if (rc < 0)
			plane_failed(d, DP_OP_PUT, ev->key, ev->generation, rc);
		break;
	case ACCESS_EV_DP_DEL:
		del_later(d, ev->key, ev->generation);
		break;
	case ACCESS_EV_DP_NET:
		rc = d->dp->ops->net(d->dp, ev->generation, ev->net);
		if (rc < 0)
			plane_failed(d, DP_OP_NET, ev->key, ev->generation, rc);
		break;
	case ACCESS_EV_AUTH:
		on_auth(d, ev);
		break;
	case ACCESS_EV_RESOLVE:
		peer_resolve(d, ev);
		break;
	case ACCESS_EV_STATS:
		cmd = run_answer(d, ACCESS_CMD_STATS);
		cmd->key = ev->key;
		cmd->known = d->dp->ops->stats(d->dp, ev->key, &cmd->counters);
		break;
	case ACCESS_EV_HEARD:
		cmd = run_answer(d, ACCESS_CMD_HEARD);
		cmd->tunnel = ev->tunnel;
		cmd->heard = d->dp->ops->heard(d->dp, ev->tunnel);
		break;
	case ACCESS_EV_ACCT:
		on_acct(d, ev);
		break;
	case ACCESS_EV_UP:
		kplane_session_up(d, ev);
		on_up(d, ev);
		break;
	case ACCESS_EV_DOWN:
		on_down(d, ev);
		break;
	case ACCESS_EV_TUNNEL_UP:
	case ACCESS_EV_TUNNEL_DOWN:
		on_tunnel(d, ev);
		break;
	}
}

/* Give the answers that were at hand. -ENOMEM leaves the question to its time limit. */
static void give_answers(struct daemon *d)
{
	for (size_t i = 0; i < d->answer_count; i++)
		if (access_do(d->access, d->now, &d->answers[i].cmd) < 0)
			run_scarce(d);
	d->answer_count = 0;
}

static bool take_events(struct daemon *d)
{
	struct access_event ev;
	bool any = false;

	/* every event makes at most one answer */
	while (d->answer_count < DAEMON_ANSWERS && access_event(d->access, d->now, &ev)) {
		on_event(d, &ev);
		any = true;
	}
	any = any || d->answer_count;
	give_answers(d);
	any = pwire_events(d) || any;
	return peer_answer(d) || any;
}

/* ---- accounting ---- */

/* May the lines at hand wait for others? They are in the journal. */
static bool lines_wait(struct daemon *d)
{
	d->lines_wait = !d->stopping && acct_waiting(d->acct) < LINES_BATCH &&
			!mono_due(d->lines_at, d->now);
	return d->lines_wait;
}

static bool write_lines(struct daemon *d)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_ACCT_WRITTEN };
	char text[ACCT_TEXT_MAX];
	bool any = false;
	int rc = 0;

	text[0] = '\0';
	d->lines_wait = false;
	if (acct_waiting(d->acct) && !lines_wait(d)) {
		FAULT("before-lines");
		rc = acct_flush(d->acct, d->now, text);
		FAULT("after-lines");
		d->lines_at = mono_add(d->now, LINES_US);
	}
	if (rc && text[0])
		daemon_say(d, rc == 1 ? TRACE_WARNING : TRACE_NOTICE, "%s", text);
	while (acct_written(d->acct, &cmd.key, &cmd.acct_seq)) {
		access_do(d->access, d->now, &cmd);
		any = true;
	}
	return any;
}

static bool take_done(struct daemon *d)
{
	struct dp_done done;
	bool any = false;

	while (d->dp->ops->done(d->dp, &done)) {
		struct access_cmd cmd = { .kind = ACCESS_CMD_DP_DONE, .done = &done };

		if (!pwire_done(d, &done) && !swire_done(d, &done))
			access_do(d->access, d->now, &cmd);
		FAULT(done.op == DP_OP_DEL ? "del-done" : "put-done");
		any = true;
	}
	/* What was known already of the circuit of a row that is in place wakes nobody. */
	return (any && kplane_events(d)) || any;
}

/*
 * All events, and what the data plane has completed at once: a session whose row is in place by now
 * is up in the same turn, with one record for both.
 */
static void settle(struct daemon *d)
{
	do
		while (take_events(d))
			;
	while (take_done(d));
}

static void drain(struct daemon *d)
{
	bool more = true;

	while (more) {
		settle(d);
		FAULT("before-commit");
		more = journal_commit(d) > 0;
		FAULT("before-send");
		d->dp->ops->committed(d->dp);
		more |= !carry_out_dels(d) || d->answer_count;
		output_drain(d);
		FAULT("after-send");
		more |= write_lines(d);
	}
	run_log(d);
}

/* Peers that do not acknowledge that they were told are owed nothing more. */
bool run_nothing_owed(struct daemon *d)
{
	struct access_summary s;

	access_summary(d->access, &s);
	return !s.sessions && !s.lines && !pwe_count(d->pw);
}

/*
 * Everything has ended: sessions, tunnels, accounting lines, and what the keeper was asked for.
 * Tunnels that the peer has closed stay for a while to acknowledge repeats (RFC 2661 5.7); nobody
 * waits for these.
 */
static bool all_ended(struct daemon *d)
{
	struct access_summary s;
	struct access_tunnel_info info;

	access_summary(d->access, &s);
	if (s.sessions || s.lines || !pwe_ended(d->pw) || keeper_open_count(d->keeper))
		return false;
	for (uint32_t t = 0; (t = access_tunnel_next(d->access, t));)
		if (access_tunnel(d->access, t, &info) && info.l2tp.state != L2TP_TS_LINGER)
			return false;
	return true;
}

void run_drain(struct daemon *d)
{
	if (mono_due(d->scarce_at, d->now))
		scarce_look(d);
	do
		drain(d);
	while (d->control && control_push(d->control));
	peer_sockets_sweep(d);
	kplane_flush(d);
	if (d->stopping && all_ended(d))
		d->quit = true;
}

/* ---- what comes in ---- */

void run_punts(struct daemon *d)
{
	struct dp_punt p;

	for (int batch = 0; batch < PUNT_BATCHES; batch++) {
		int n = 0, rc = 0;
		bool any = kplane_events(d);

		if (take_done(d)) /* both are taken each time round */
			any = true;

		for (; n < PUNT_BATCH && d->dp->ops->punt(d->dp, &p); n++) {
			if (p.class == DP_PUNT_DATAGRAM)
				socket_settle(d, &p);
			if (p.class == DP_PUNT_DATAGRAM && pwire_input(d, &p, &rc))
				;
			else if (p.class == DP_PUNT_DATAGRAM)
				rc = access_input(d->access, d->now, &p.path, p.bytes, p.len);
			else
				rc = access_frame(d->access, d->now, p.key, p.class, p.bytes,
						  p.len);
			while (take_events(d))
				;
		}
		if (rc < 0)
			run_scarce(d);
		if (n == 0 && !any)
			break;
		run_drain(d);
		if (n < PUNT_BATCH)
			break;
	}
}

void run_keeper(struct daemon *d)
{
	struct keeper_done done;
	int rc = keeper_work(d->keeper);
	bool records = kplane_input(d);

	while (keeper_next(d->keeper, &done)) {
		if (done.id == 0) {
			if (done.type == KEEPER_RELOAD)
				reload_start(d, true, NULL, NULL);
			continue;
		}
		switch (COOKIE_KIND(done.cookie)) {
		case COOKIE_PLANE:
			plane_done(d, &done);
			break;
		case COOKIE_RESOLVE:
			peer_resolved(d, &done);
			break;
		case COOKIE_SOCKET:
		case COOKIE_RELOAD:
			reload_done(d, &done);
			break;
		case COOKIE_HOOK:
			hook_done(d, &done);
			break;
		case COOKIE_SOCKET_GONE:
		case COOKIE_READY:
		case COOKIE_STOPPING:
			break;
		}
	}
	if (rc < 0 && !d->quit) {
		if (rc == -ECONNRESET)
			daemon_say(d, TRACE_WARNING,
				   "the keeper is gone; aditd ends, and all sessions with it");
		else
			daemon_say(d, TRACE_WARNING,
				   "the keeper cannot be talked to (%s); aditd ends and leaves its "
				   "sessions to the next one",
				   strerror(-rc));
		d->status = 1;
		d->quit = true;
	}
	if (records)
		run_punts(d);
	run_drain(d);
}

/* ---- drain and stop ---- */

/* "3 sessions", "3 sessions and 1 pseudowire". */
static uint32_t count_left(struct daemon *d, char *buf, size_t cap)
{
	uint32_t wires = pwe_count(d->pw);
	struct access_summary s;
	int n;

	access_summary(d->access, &s);
	n = snprintf(buf, cap, "%u session%s", s.sessions, s.sessions == 1 ? "" : "s");
	if (wires && n > 0 && (size_t)n < cap)
		snprintf(buf + n, cap - (size_t)n, " and %u pseudowire%s", wires,
			 wires == 1 ? "" : "s");
	return s.sessions + wires;
}

bool run_drain_begin(struct daemon *d, bool on, uint32_t rate)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_DRAIN, .ok = on, .rate = rate };
	struct pw_cmd wires = { .kind = PW_CMD_DRAIN, .up = on, .rate = rate };
	char left[64];

	cmd.stop = d->emptying;
	if (d->stopping || (d->emptying && !on) || access_do(d->access, d->now, &cmd) != 0)
		return false;
	pwe_do(d->pw, d->now, &wires);
	d->drain_say = on ? mono_add(d->now, DRAIN_SAY_US) : MONO_NEVER;
	count_left(d, left, sizeof(left));
	if (!on)
		daemon_say(d, TRACE_NOTICE, "no longer draining: newcomers are welcome again");
	else if (rate)
		daemon_say(d, TRACE_NOTICE, "draining: newcomers are refused, %s end, %u a second",
			   left, rate);
	else
		daemon_say(d, TRACE_NOTICE, "draining: newcomers are refused, %s end by themselves",
			   left);
	return true;
}

/* How far the drain is; a successor in the middle of one goes on telling. */
static void drain_progress(struct daemon *d)
{
	struct access_summary s;
	char left[64];
	uint32_t n = count_left(d, left, sizeof(left));

	access_summary(d->access, &s);
	if (!s.draining) {
		d->drain_say = MONO_NEVER;
	} else if (n && (s.sessions || s.drain_rate)) {
		d->drain_say = mono_add(d->now, DRAIN_SAY_US);
		daemon_say(d, TRACE_NOTICE, "draining: %s are left", left);
	} else {
		d->drain_say = MONO_NEVER;
		daemon_say(d, TRACE_NOTICE, "drained: no session is left");
	}
}

/* Before anything is done, and should we die while it is, the keeper knows of it. */
static void tell_keeper(struct daemon *d)
{
	if (keeper_stopping(d->keeper, COOKIE(COOKIE_STOPPING, 0), NULL) == 0)
		(void)keeper_flush(d->keeper);
}

/* Tell all peers that are left, at once. */
static void stop_now(struct daemon *d)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_SHUTDOWN };

	daemon_say(d, TRACE_NOTICE, "stopping: telling the peers");
	d->emptying = false;
	d->stopping = true;
	d->drain_say = MONO_NEVER;
	progress_begin(&d->stop, d->now, DAEMON_STOP_US);
	d->stop_look = mono_add(d->now, STOP_LOOK_US);
	access_do(d->access, d->now, &cmd);
	pwe_do(d->pw, d->now, &(struct pw_cmd){ .kind = PW_CMD_SHUTDOWN });
	tell_keeper(d);
}

/* How far the stop is: whoever has asked for it waits, as long as there is something to wait for.
 */
static void stop_progress(struct daemon *d)
{
	char left[64], line[160];
	uint32_t n = count_left(d, left, sizeof(left));

	progress_less(&d->stop, n, d->now, STOP_STUCK_US);
	if (n == 0 || mono_due(d->stop.by, d->now)) {
		stop_now(d);
		return;
	}
	d->stop_look = mono_add(d->now, STOP_LOOK_US);
	snprintf(line, sizeof(line),
		 "STATUS=Stopping: %s are left, %u a second are told\n"
		 "EXTEND_TIMEOUT_USEC=60000000",
		 left, d->conf->stop_rate);
	notify_send(line);
	tell_keeper(d);
}

/* All were told at once. A session has its stop record when its row is gone, and those of a tunnel
 * leave the kernel together, which takes a while when there are thousands: whoever has asked waits
 * as long as there are rows. For peers, and for accounting lines, as long as there are fewer than
 * ever. */
static void stop_rest(struct daemon *d)
{
	struct access_summary s;
	char left[64], line[160];
	uint32_t rows = count_left(d, left, sizeof(left));
	uint64_t n;

	access_summary(d->access, &s);
	n = 2 * ((uint64_t)rows + s.tunnels) + s.lines; /* each session that ends makes a line */
	d->stop_look = mono_add(d->now, STOP_LOOK_US);
	if (progress_less(&d->stop, n, d->now,
			  rows ? STOP_STUCK_US + rows * STOP_ROW_US : DAEMON_STOP_US) ||
	    rows) {
		snprintf(line, sizeof(line),
			 "STATUS=Stopping: %s are left\nEXTEND_TIMEOUT_USEC=60000000", left);
		notify_send(line);
		tell_keeper(d);
	}
	if (!mono_due(d->stop.by, d->now))
		return;
	if (!run_nothing_owed(d))
		daemon_say(
			d, TRACE_WARNING,
			"stopping: nothing ends any more; %s and %u accounting records that could "
			"not be written stay in the journal, as long as adit-keeper runs",
			left, s.lines);
	d->quit = true;
}

void run_timers(struct daemon *d)
{
	if (mono_due(access_deadline(d->access), d->now))
		access_expire(d->access, d->now);
	if (mono_due(pwe_deadline(d->pw), d->now))
		pwe_expire(d->pw, d->now);
	if (mono_due(swire_deadline(d), d->now))
		swire_expire(d);
	log_expire(d->log, d->now, d->wall_us);
	if (mono_due(d->drain_say, d->now))
		drain_progress(d);
	if (d->emptying && mono_due(d->stop_look, d->now))
		stop_progress(d);
	if (d->stopping && !d->quit && mono_due(d->stop_look, d->now))
		stop_rest(d);
	run_drain(d);
}

struct mono run_deadline(const struct daemon *d)
{
	struct mono at = mono_min(access_deadline(d->access), pwe_deadline(d->pw));

	at = mono_min(at, swire_deadline(d));
	at = mono_min(at, log_deadline(d->log));
	at = mono_min(at, acct_deadline(d->acct));
	if (d->lines_wait)
		at = mono_min(at, d->lines_at);
	if (d->control)
		at = mono_min(at, control_deadline(d->control));
	at = mono_min(at, d->drain_say);
	at = mono_min(at, d->sockets_at);
	if (d->scarce)
		at = mono_min(at, d->scarce_at);
	if (d->emptying || d->stopping)
		at = mono_min(at, d->stop_look);
	return at;
}

void run_stop(struct daemon *d, bool orderly)
{
	char left[64];

	if (!orderly) {
		daemon_say(d, TRACE_NOTICE, "restart: sessions are kept");
		d->quit = true;
	} else if (d->stopping || d->emptying) { /* asked once more: at once */
		if (d->emptying)
			stop_now(d);
		else if (!d->paced)
			d->quit = true;
		d->paced = false;
	} else if (d->conf->stop_rate && count_left(d, left, sizeof(left))) {
		daemon_say(
			d, TRACE_NOTICE,
			"stopping: telling the peers, one after the other; asked once more, all at "
			"once");
		d->emptying = d->paced = true;
		progress_begin(&d->stop, d->now, STOP_STUCK_US);
		run_drain_begin(d, true, d->conf->stop_rate);
		stop_progress(d);
	} else {
		d->paced = d->conf->stop_rate != 0;
		stop_now(d);
	}
	run_drain(d);
}
