/* SPDX-License-Identifier: MIT
 *
 * The daemon of paper, see paper.h.
 */
#include "paper.h"

#include "base/wire.h"
#include "dp/batch.h"
#include "dp/remote.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char socket_path[] = "/tmp/adit-control-XXXXXX";

struct paper paper;

struct io_watch *io_watch(struct io *io, int fd, void *client)
{
	for (size_t i = 0; i < WATCHES; i++) {
		if (paper.watches[i])
			continue;
		paper.watches[i] = calloc(1, sizeof(struct io_watch));
		paper.watches[i]->fd = fd;
		paper.watches[i]->client = client;
		return paper.watches[i];
	}
	return NULL;
}

int io_watch_set(struct io_watch *watch, short on)
{
	watch->on = on;
	return 0;
}

void io_unwatch(struct io_watch *watch)
{
	for (size_t i = 0; i < WATCHES; i++)
		if (paper.watches[i] == watch)
			paper.watches[i] = NULL;
	free(watch);
}

size_t paper_watching(void)
{
	size_t n = 0;

	for (size_t i = 0; i < WATCHES; i++)
		n += paper.watches[i] != NULL;
	return n;
}

void io_unlisten(struct io *io)
{
}

bool io_watch_full(const struct io *io)
{
	return paper_watching() >= 32;
}

void run_probe(struct daemon *d)
{
	(void)d;
}

bool kplane_events(struct daemon *d)
{
	return false;
}

bool kplane_link(const struct daemon *d, const char *ifname, struct circuit_link *ret)
{
	return false;
}

void run_drain(struct daemon *d)
{
	while (control_push(d->control))
		;
}

int access_do(struct access *a, struct mono now, const struct access_cmd *cmd)
{
	paper.last = cmd->kind;
	paper.last_key = cmd->kind == ACCESS_CMD_TERMINATE_TUNNEL ? cmd->tunnel : cmd->key;
	paper.commands++;
	if (cmd->kind == ACCESS_CMD_CONNECT || cmd->kind == ACCESS_CMD_DISCONNECT)
		return strcmp(cmd->name, "vpn") != 0;
	if (cmd->kind == ACCESS_CMD_CALL)
		return (int)strlen(cmd->text) - 1; /* a number of one digit is taken */
	return paper.last_key > SESSIONS;
}

/* A LAC has told all that a LAC can tell (RFC 2661 4.4.5, 4.4.6). */
static void set_call(struct access_session_info *i)
{
	static const uint8_t proxy[] = { 0, 26,	  0,	4,   1,	  4,   5,   0xdc, 0, 27, 0,
					 1, 0xff, 0,	28,  0,	  0,   0,   29,	  0, 2,	 0,
					 2, 0,	  30,	0,   3,	  'b', 'o', 'b',  0, 31, 0,
					 2, 0xab, 0xcd, 0,   32,  0,   2,   0,	  5, 0,	 33,
					 0, 6,	  's',	'e', 'c', 'r', 'e', 't' };

	i->outgoing = i->accm = true;
	i->tx_speed = 64000;
	i->accm_send = 0xa0000;
	i->errors[5] = 7;
	memcpy(i->proxy, proxy, sizeof(proxy));
	i->proxy_len = sizeof(proxy);
}

bool access_session(const struct access *a, uint64_t key, struct access_session_info *ret)
{
	if (key == 0 || key > SESSIONS)
		return false;
	*ret = (struct access_session_info){ .key = key,
					     .state = paper.session_state,
					     .user = key % 2 ? "al\x1b[31mice\xff" : "bob",
					     .peer = "isp",
					     .host_name = "lac",
					     .calling = "",
					     .called = "",
					     .row_busy = paper.row_busy,
					     .our_ip4 = { 10, 0, 0, 1 },
					     .ends_at = MONO_NEVER };
	if (key % 3 == 0)
		set_call(ret);
	return true;
}

uint64_t access_session_next(const struct access *a, uint64_t prev)
{
	return prev < SESSIONS ? prev + 1 : 0;
}

bool access_tunnel(const struct access *a, uint32_t id, struct access_tunnel_info *ret)
{
	*ret = (struct access_tunnel_info){ .version = 2, .peer = "isp" };
	ret->l2tp.local_id = id;
	ret->l2tp.state = id == 2 ? L2TP_TS_CLOSING : L2TP_TS_UP;
	ret->l2tp.quirks = id == 3 ? L2TP_QUIRK_LAX_LENGTH | L2TP_QUIRK_NO_HELLO : 0;
	ret->l2tp.host_name = ret->l2tp.vendor_name = "x";
	return id > 0 && id <= 3;
}

uint32_t access_tunnel_next(const struct access *a, uint32_t prev)
{
	return prev < 3 ? prev + 1 : 0;
}

uint64_t access_called(const struct access *a)
{
	return 0x77;
}

bool access_dial(const struct access *a, size_t index, struct access_dial_info *ret)
{
	*ret = (struct access_dial_info){ .name = "vpn",
					  .state = paper.dial_state,
					  .key = paper.dial_key,
					  .next = MONO_NEVER,
					  .attempts = 1,
					  .cause = ADIT_CAUSE_AUTH_FAILED,
					  .text = "no \"such\" user" };
	return index == 0;
}

bool access_pool(const struct access *a, size_t index, struct access_pool_info *ret)
{
	*ret = (struct access_pool_info){ .name = "p", .size4 = 254 };
	return index < 2;
}

bool access_peer(const struct access *a, size_t index, struct access_peer_info *ret)
{
	*ret = (struct access_peer_info){ .name = "isp" };
	return index < 1;
}

bool access_failure(const struct access *a, size_t back, struct access_failure *ret)
{
	*ret = (struct access_failure){ .cause = ADIT_CAUSE_LOOP, .who = "al\\x1bice" };
	return back < 2;
}

void access_summary(const struct access *a, struct access_summary *ret)
{
	*ret = (struct access_summary){ .sessions = SESSIONS, .tunnels = 3 };
}

static bool plane_stats(struct dp *dp, uint64_t key, struct dp_counters *ret)
{
	*ret = (struct dp_counters){ .rx_packets = key };
	return true;
}

static void plane_all(struct dp *dp, struct dp_plane_stats *ret)
{
	ret->rows = SESSIONS;
}

static const char *plane_where(struct dp *dp, uint64_t key, const char **ret_why)
{
	*ret_why = key & 1 ? "because" : "";
	return key & 1 ? "user" : "kernel";
}

static const char *plane_tunnel(struct dp *dp, uint32_t local, const char **ret_why)
{
	return plane_where(dp, local, ret_why);
}

/* The keeper finds one thing that is there and one that is missing. */
static int plane_keeper(void *arg, const uint8_t *bytes, size_t len)
{
	static const struct batch_record found[] = {
		{ .tag = BATCH_FOUND, .ok = true, .name = "dev-ppp" },
		{ .tag = BATCH_FOUND, .name = "mppe", .text = "modprobe ppp_mppe" },
		{ .tag = BATCH_WIRE, .name = "w", .ifname = "w0", .ok = true },
		{ .tag = BATCH_PROBE_END },
	};
	struct rcur in = rcur_of(bytes, len);
	struct batch_record r;
	uint8_t buf[2048];
	struct wcur c = wcur_of(buf, sizeof(buf));

	if (batch_load(&in, &r) != 1 || r.tag != BATCH_PROBE)
		return 0;
	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
		batch_save(&c, &found[i]);
	dp_remote_input(paper.d.remote, buf, c.len, -1);
	return 0;
}

static const struct dp_ops plane_ops = { .name = "paper",
					 .where = plane_where,
					 .where_tunnel = plane_tunnel,
					 .stats = plane_stats,
					 .plane_stats = plane_all };
static struct dp plane = { &plane_ops };

const struct daemon_socket *peer_socket(const struct daemon *d, uint32_t via)
{
	return NULL;
}

void reload_start(struct daemon *d, bool from_keeper, reload_done_fn fn, void *who)
{
	paper.reload_fn = fn;
	paper.reload_who = who;
}

void reload_forget(struct daemon *d, void *who)
{
	if (paper.reload_who == who)
		paper.reload_fn = NULL;
}

/* No pseudowire is carried in user space. */
bool swire_state(const struct daemon *d, const char *name, struct swire_state *ret)
{
	return false;
}

bool run_drain_begin(struct daemon *d, bool on, uint32_t rate)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_DRAIN, .ok = on, .rate = rate };

	return access_do(d->access, d->now, &cmd) == 0;
}

void reload_effects(struct daemon *d, const struct conf *next, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s", next->access->dial_count ? "" : "session \"vpn\" is ended\n");
}

const char *paper_path(void)
{
	return socket_path;
}

bool paper_begin(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char err[CONF_ERR_MAX];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memset(&paper, 0, sizeof(paper));
	strcpy(socket_path + strlen(socket_path) - 6, "XXXXXX");
	close(mkstemp(socket_path));
	unlink(socket_path);
	strcpy(at.sun_path, socket_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0)
		return false;
	paper.dial_state = "idle";
	paper.session_state = "up";
	paper.d.dp = &plane;
	paper.d.remote = dp_remote_new(&(struct dp_remote_config){ .send = plane_keeper });
	paper.d.now.us = 1000 * US_S;
	paper.d.conf_path = "/etc/adit/adit.conf";
	paper.d.conf =
		conf_parse("session \"vpn\" { server = a user = u password = secret1 }\n"
			   "pseudowire \"w\" { local = 192.0.2.1 remote = 192.0.2.2 tunnel-id = 1 "
			   "peer-tunnel-id = 2 session-id = 3 peer-session-id = 4 interface = w0 } "
			   "pseudowire \"x\" { remote = 192.0.2.9 secret = secret1 }",
			   "test", CONF_NO_FILES, err, sizeof(err));
	paper.d.pw = pwe_new(&(struct pw_config){ .incarnation = 1 });
	paper.d.acct = acct_new("");
	paper.d.trace = trace_open(paper.trace_mem, 1024, 65536);
	paper.d.control = control_new(&paper.d, fd);
	if (paper.d.conf && paper.d.pw)
		pwe_do(paper.d.pw, paper.d.now,
		       &(struct pw_cmd){ .kind = PW_CMD_CONF, .conf = paper.d.conf->pw });
	return paper.d.conf && paper.d.pw && paper.d.acct && paper.d.trace && paper.d.control;
}

void paper_end(void)
{
	control_free(paper.d.control);
	paper.d.remote->ops->free(paper.d.remote);
	pwe_free(paper.d.pw);
	conf_free(paper.d.conf);
	acct_free(paper.d.acct);
	trace_close(paper.d.trace);
	unlink(socket_path);
}

/* Let the daemon do what it can without waiting. */
void paper_pump(void)
{
	bool more = true;

	control_accept(paper.d.control);
	for (int turn = 0; more && turn < 100000; turn++) {
		more = false;
		for (size_t i = 0; i < WATCHES; i++) {
			struct io_watch *watch = paper.watches[i];
			struct pollfd p;

			if (!watch || !watch->on)
				continue;
			p = (struct pollfd){ .fd = watch->fd, .events = watch->on };
			if (poll(&p, 1, 0) <= 0)
				continue;
			more = true;
			control_client(watch->client,
				       p.revents & (POLLERR | POLLHUP) ? POLLIN : p.revents);
		}
	}
}
