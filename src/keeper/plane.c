/* SPDX-License-Identifier: MIT
 *
 * The kernel's data plane for aditd.
 *
 * Theory of operation. kernel.h does the work on threads of its own; here a record of aditd becomes
 * a request to it, after the configuration has been asked (plane_ask.c), and its news becomes a
 * record (plane_tell.c). The key of a tunnel there is our tunnel id.
 */
#include "plane_int.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "name.h"

#define DROP_MS	    8000
#define CLAIM_TICKS 3000 /* of 20 ms: how long to wait for a dead keeper's guard */
#define BRIEF_TICKS 500	 /* ... for who sweeps in its place */

void kplane_say(struct kplane *p, enum trace_level level, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	p->config.say(p->config.arg, level, text);
}

void kplane_probe(struct kplane *p)
{
	int rc = p->config.probe ? 0 : kernel_probe(p->config.sys, &p->probe);

	if (p->config.probe)
		p->probe = *p->config.probe;

	p->probed = rc == 0;
	if (rc < 0)
		snprintf(p->missing, sizeof(p->missing), "the kernel could not be looked at: %s",
			 strerror(-rc));
}

bool kplane_carries(const struct kernel_probe *probe, enum kplane_kind kind, char why[BATCH_LINE])
{
	/* Without these no session of this kind can be made at all. */
	static const enum kernel_gap needed[][6] = {
		[KPLANE_PPP] = { KERNEL_GAP_GENL, KERNEL_GAP_NET_ADMIN, KERNEL_GAP_PPP_NODE,
				 KERNEL_GAP_PPPOL2TP, KERNEL_GAP_PPP, KERNEL_GAP_COUNT },
		[KPLANE_ETHERNET] = { KERNEL_GAP_GENL, KERNEL_GAP_NET_ADMIN, KERNEL_GAP_ETH,
				      KERNEL_GAP_COUNT }
	};

	for (const enum kernel_gap *gap = needed[kind]; *gap != KERNEL_GAP_COUNT; gap++) {
		const char *remedy = kernel_gap_remedy(*gap);

		if (!KERNEL_HAS_GAP(probe, *gap))
			continue;
		if (why)
			snprintf(why, BATCH_LINE, "%s%s%s", kernel_gap_text(*gap),
				 remedy[0] ? ": " : "", remedy);
		return false;
	}
	return true;
}

/* ---- the name of our interface groups ---- */

_Static_assert(KERNEL_GROUPS - 1 + CONF_GROUPS_MAX == KERNEL_GROUPS_LAST, "each has its groups");

static const char *claim_name(uint16_t groups, char name[NAME_MAX_LEN])
{
	snprintf(name, NAME_MAX_LEN, "adit-keeper-groups-%u", groups & 0xfu);
	return name;
}

/*
 * What is left in them is swept, and the guard deletes them: so they are used by one keeper in a
 * network namespace. A former one's guard keeps the name until its sessions have left, and who
 * sweeps them in its place has it meanwhile. False: p->missing says who has them.
 */
static bool claim(struct kplane *p)
{
	const struct timespec tick = { .tv_nsec = 20000000 };
	char name[NAME_MAX_LEN], who[NAME_WHO];
	enum name_whose whose = NAME_LIVES;

	if (!p->groups)
		p->groups = (uint16_t)(KERNEL_GROUPS - 1 + p->conf->groups);
	if (p->config.unclaimed || p->claim >= 0)
		return true;
	claim_name(p->groups, name);
	p->claim = name_take(name);
	for (int i = 0; p->claim < 0; i++) {
		whose = name_whose(name, who);
		if (whose == NAME_LIVES || whose == NAME_STRANGER ||
		    i == (whose == NAME_DEAD ? CLAIM_TICKS : BRIEF_TICKS))
			break;
		if (i)
			nanosleep(&tick, NULL);
		p->claim = name_take(name);
	}
	p->others = p->claim < 0;
	if (!p->others)
		return true;
	if (whose == NAME_LIVES)
		snprintf(p->missing, sizeof(p->missing),
			 "interface-groups = %u is used by another adit-keeper of this network "
			 "namespace: give this one another number from 1 to %d",
			 p->groups & 0xfu, CONF_GROUPS_MAX);
	else
		snprintf(p->missing, sizeof(p->missing),
			 "interface-groups = %u cannot be used, the name @%s is that of %s: end it "
			 "(`ss -xap` shows it) and reload, or give this one another number from 1 "
			 "to %d",
			 p->groups & 0xfu, name, who, CONF_GROUPS_MAX);
	p->groups = 0; /* asked again after a reload */
	return false;
}

/* Keepers that had other groups have died, and were not started again. */
static uint32_t sweep_dead(struct kplane *p)
{
	uint32_t seen = p->config.unclaimed ? 0 : kernel_groups_seen(p->k), count = 0;
	char name[NAME_MAX_LEN];
	uint16_t groups;
	int fd;

	for (uint32_t i = 0; i < CONF_GROUPS_MAX; i++) {
		groups = (uint16_t)(KERNEL_GROUPS + i);
		if (groups == p->groups || !(seen & 1u << i))
			continue;
		fd = name_borrow(claim_name(groups, name));
		if (fd < 0)
			continue; /* a keeper has them, or its guard */
		count += kernel_sweep(p->k, groups);
		close(fd);
	}
	return count;
}

int kplane_claim(const struct kplane *p, uint16_t *ret_groups)
{
	*ret_groups = p->groups;
	return p->claim;
}

/* ---- beginning and end ---- */

/* Does anything in the configuration want it? */
static bool wanted(const struct conf *c)
{
	if (conf_planes(c) & ~(1u << DP_WANT_USER))
		return true;
	for (size_t i = 0; i < c->wire_count; i++)
		if (c->wires[i].plane != DP_WANT_USER)
			return true;
	return false;
}

void kplane_open(struct kplane *p, bool sweep)
{
	struct kernel_config config = { .sessions_max = p->conf->max_sessions };
	uint32_t swept;

	if (!p->probed)
		kplane_probe(p);
	if (!p->probed)
		return;
	p->missing[0] = p->no_ppp[0] = '\0';
	if (!kplane_carries(&p->probe, KPLANE_PPP, p->no_ppp) &&
	    !kplane_carries(&p->probe, KPLANE_ETHERNET, NULL)) {
		memcpy(p->missing, p->no_ppp, sizeof(p->missing));
		return;
	}
	/* A former keeper that took no name has the sessions we take over all the same. */
	if (!claim(p) && sweep)
		return;
	config.probe = p->probe;
	config.groups = p->groups;
	config.proto = p->config.net ? net_proto(p->config.net) : 0;
	config.sys = p->config.sys;
	snprintf(config.ifname, sizeof(config.ifname), "%s", p->conf->session_ifname);
	p->k = kernel_new(&config);
	if (!p->k) {
		snprintf(p->missing, sizeof(p->missing), "the kernel's data plane cannot start: %s",
			 strerror(errno));
		return;
	}
	if (p->no_ppp[0] && sweep)
		kplane_say(p, TRACE_NOTICE,
			   "the kernel carries Ethernet pseudowires, but no PPP sessions: %s",
			   p->no_ppp);
	if (sweep) /* else the former keeper's sockets there are taken over */
		rooms_enter(p->config.rooms, p->k);
	swept = sweep ? kernel_sweep(p->k, p->groups) + sweep_dead(p) : 0;
	if (swept)
		kplane_say(p, TRACE_NOTICE,
			   "removed %u interfaces and routes of sessions of a former run", swept);
}

static struct mono clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ (int64_t)ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

static void say_wire(void *arg, enum trace_level level, const char *text)
{
	kplane_say(arg, level, "%s", text);
}

static void wire_changed(void *arg, const char *name)
{
	kplane_tell_wire(arg, name);
}

struct kplane *kplane_new(const struct kplane_config *config, const struct conf *conf)
{
	struct kplane *p = calloc(1, sizeof(*p));
	uint8_t key[16];

	if (!p || getrandom(key, sizeof(key), 0) < 0) {
		free(p);
		return NULL;
	}
	p->config = *config;
	p->conf = conf;
	p->claim = -1;
	p->stats_at = (struct mono){ 0 };
	htab_init(&p->held, key);
	htab_init(&p->tunnels, key);
	p->wires = wires_new(&(struct wires_config){ say_wire, wire_changed, p });
	if (!p->wires) {
		kplane_free(p);
		return NULL;
	}
	snprintf(p->missing, sizeof(p->missing), "the configuration says data-plane = user");
	if (!config->resume)
		kplane_conf(p, conf, clock_now());
	return p;
}

/* Tunnels of the kernel's own sockets, addresses and routes would outlive us. */
static void drop_all(struct kplane *p)
{
	struct mono end = mono_add(clock_now(), DROP_MS * US_MS);
	struct pollfd fd = { .fd = kernel_fd(p->k), .events = POLLIN };
	struct kernel_news n;
	bool done = kernel_drop_all(p->k, ++p->generation) < 0;

	while (!done && !mono_due(end, clock_now())) {
		poll(&fd, 1, 100);
		while (!done && kernel_next(p->k, clock_now(), &n))
			done = n.kind == KERNEL_NEWS_DONE && n.op == KERNEL_OP_DROP_ALL;
	}
}

void kplane_free(struct kplane *p)
{
	struct htab_node *n;
	uint64_t pos;

	if (!p)
		return;
	if (p->k) {
		drop_all(p);
		kernel_free(p->k);
	}
	while (pos = 0, (n = htab_walk(&p->held, &pos, NULL)))
		kplane_held_drop(p, container_of(n, struct held, node)->key);
	while (pos = 0, (n = htab_walk(&p->tunnels, &pos, NULL)))
		kplane_tunnel_drop(p, container_of(n, struct htunnel, node)->local);
	htab_free(&p->held);
	htab_free(&p->tunnels);
	wires_free(p->wires);
	if (p->claim >= 0)
		close(p->claim);
	free(p);
}

int kplane_fd(const struct kplane *p)
{
	return p->k ? kernel_fd(p->k) : -1;
}

/* Our addresses on VRFs that no profile names any more. */
static void leave_vrfs(struct kplane *p, const struct conf *former, const struct conf *conf)
{
	for (size_t i = 0; i < former->access->profile_count; i++) {
		const struct conf_profile *was = former->access->profiles[i];
		struct prefix own = { .addr = was->local4, .len = 32 };
		bool kept = !was->place.vrf[0] || was->place.netns[0] || !own.addr.family;

		for (size_t j = 0; !kept && j < conf->access->profile_count; j++) {
			const struct conf_profile *is = conf->access->profiles[j];

			kept = strcmp(is->place.vrf, was->place.vrf) == 0 && !is->place.netns[0] &&
			       addr_same_ip(&is->local4, &was->local4);
		}
		if (!kept)
			net_addr(p->config.net, was->place.vrf, &own, false, NULL);
	}
}

void kplane_conf(struct kplane *p, const struct conf *conf, struct mono now)
{
	if (p->k && p->conf != conf)
		leave_vrfs(p, p->conf, conf);
	p->conf = conf;
	p->answered = false;
	if (!p->k && wanted(conf)) {
		p->probed = false; /* modules may have come since */
		kplane_open(p, true);
	}
	wires_conf(p->wires, p->k, conf, p->missing, now);
	kplane_flush(p, false);
}

void kplane_begin(struct kplane *p, uint32_t epoch)
{
	p->epoch = epoch;
	p->listed = p->answered = false;
	p->out_len = 0;
}

/* Sessions that were deleted for a former aditd, and that this one has not asked for. */
static void forget_ended(struct kplane *p, uint32_t epoch)
{
	struct htab_node *n;
	uint64_t pos = 0;
	bool again = true;

	while (again) {
		again = false;
		for (n = NULL, pos = 0; !again && (n = htab_walk(&p->held, &pos, n));) {
			const struct held *h = container_of(n, struct held, node);

			again = h->ended && h->epoch < epoch;
			if (again)
				kplane_held_drop(p, h->key);
		}
	}
}

uint32_t kplane_sweep(struct kplane *p, uint32_t epoch)
{
	struct htab_node *n = NULL;
	uint64_t pos = 0;
	uint32_t old[64], count, all = 0;

	if (!p->k)
		return 0;
	forget_ended(p, epoch);
	do {
		count = 0;
		pos = 0;
		n = NULL;
		while (count < 64 && (n = htab_walk(&p->tunnels, &pos, n))) {
			const struct htunnel *t = container_of(n, struct htunnel, node);

			if (t->epoch < epoch)
				old[count++] = t->local;
		}
		for (uint32_t i = 0; i < count; i++) {
			kplane_tunnel_end(p, old[i]);
			kplane_tunnel_drop(p, old[i]); /* whatever became of the request */
		}
		all += count;
	} while (count == 64);
	return all;
}

void kplane_counts(const struct kplane *p, uint32_t *ret_tunnels, uint32_t *ret_sessions)
{
	struct kernel_stats_all s = { 0 };

	if (p->k)
		kernel_stats_all(p->k, &s);
	*ret_tunnels = s.tunnels;
	*ret_sessions = s.sessions;
}
