/* SPDX-License-Identifier: MIT
 *
 * The events of a simulated network in virtual time, its faults, and the plan of a run.
 */
#include "world.h"

#include <stdarg.h>
#include <stdlib.h>

#define SETTLE_US (220 * US_S)
#define CLOSE_US  (150 * US_S)

uint32_t world_below(struct world *w, uint32_t n)
{
	return n ? rng_below(&w->rng, n) : 0;
}

bool world_chance(struct world *w, unsigned int of_1000)
{
	return of_1000 && world_below(w, 1000) < of_1000;
}

struct mono world_now(const struct world *w)
{
	return (struct mono){ w->now };
}

void world_fail(struct world *w, const char *form, ...)
{
	va_list ap;

	if (w->failure)
		return;
	va_start(ap, form);
	if (vasprintf(&w->failure, form, ap) < 0)
		abort();
	va_end(ap);
	if (w->verbose)
		printf("%12.6f FAILED: %s\n", (double)w->now / 1e6, w->failure);
}

void world_note(struct world *w, const struct node *n, const char *form, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("%12.6f %-9s ", (double)w->now / 1e6, n->name);
	va_start(ap, form);
	vprintf(form, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- events ---- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_at(struct world *w, int64_t at, enum happening kind, unsigned int node, void *data)
{
	struct event e = { at, w->order++, kind, node, w->nodes[node].life, data };
	size_t i = w->heap_n++;

	if (w->heap_n > w->heap_cap) {
		w->heap_cap = w->heap_cap ? 2 * w->heap_cap : 256;
		w->heap = reallocarray(w->heap, w->heap_cap, sizeof(*w->heap));
		if (!w->heap)
			abort();
	}
	for (; i && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct event pop(struct world *w)
{
	struct event first = w->heap[0], last = w->heap[--w->heap_n];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= w->heap_n)
			break;
		if (child + 1 < w->heap_n && before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!before(&w->heap[child], &last))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

/* ---- the network ---- */

static void capture(struct world *w, const struct path *path, const uint8_t *bytes, size_t len)
{
	uint8_t head[16 + 28] = { 0 };
	uint32_t s = (uint32_t)(w->now / US_S), us = (uint32_t)(w->now % US_S);
	uint32_t n = (uint32_t)(28 + len);
	struct wcur c = wcur_of(head + 16, 28);

	if (!w->pcap)
		return;
	memcpy(head, &s, 4);
	memcpy(head + 4, &us, 4);
	memcpy(head + 8, &n, 4);
	memcpy(head + 12, &n, 4);
	wcur_u16(&c, 0x4500);
	wcur_u16(&c, (uint16_t)n);
	wcur_u32(&c, 0);
	wcur_u16(&c, 0x4011);
	wcur_u16(&c, 0);
	wcur_bytes(&c, path->local.ip, 4);
	wcur_bytes(&c, path->remote.ip, 4);
	wcur_u16(&c, path->local.port);
	wcur_u16(&c, path->remote.port);
	wcur_u16(&c, (uint16_t)(8 + len));
	wcur_u16(&c, 0);
	fwrite(head, sizeof(head), 1, w->pcap);
	fwrite(bytes, len, 1, w->pcap);
}

static void deliver(struct world *w, unsigned int to, const struct path *path, const uint8_t *bytes,
		    size_t len)
{
	struct packet *p = malloc(sizeof(*p) + len);
	int64_t at = w->now + w->plan.delay_us + world_below(w, (uint32_t)w->plan.jitter_us + 1);

	if (!p)
		abort();
	p->path = *path;
	p->len = len;
	memcpy(p->bytes, bytes, len);
	if (!w->calm && world_chance(w, w->plan.late))
		at += world_below(w, 400000);
	world_at(w, at, H_PACKET, to, p);
}

void world_send(struct world *w, const struct path *path, const uint8_t *bytes, size_t len)
{
	unsigned int to = w->node_count;

	w->packets++;
	capture(w, path, bytes, len);
	for (unsigned int i = 0; i < w->node_count && to == w->node_count; i++) {
		if (addr_same_ip(&w->nodes[i].addr, &path->remote))
			to = i;
	}
	if (to == w->node_count) {
		world_fail(w, "a packet to nobody");
		return;
	}
	if (!w->calm && world_chance(w, w->plan.loss)) {
		w->lost++;
		return;
	}
	deliver(w, to, path, bytes, len);
	if (!w->calm && world_chance(w, w->plan.twice))
		deliver(w, to, path, bytes, len);
}

/* ---- the plan ---- */

static int64_t some_time(struct world *w)
{
	return (int64_t)world_below(w, (uint32_t)(w->plan.trouble_us / 1000)) * 1000;
}

void world_plan(struct plan *ret, uint64_t seed, bool large)
{
	uint8_t key[32] = "plan";
	struct rng r;

	memcpy(key + 8, &seed, sizeof(seed));
	rng_init(&r, key);
	*ret = (struct plan){
		.large = large,
		.clients = 1 + rng_below(&r, 9),
		.sessions = 1 + rng_below(&r, 3),
		.loss = 100,
		.twice = 50,
		.late = 100,
		.delay_us = 200 + rng_below(&r, 20000),
		.jitter_us = rng_below(&r, 10000),
		.trouble_us = 60 * US_S,
		.restarts = rng_below(&r, 4),
		.amnesia = rng_below(&r, 3),
		.kills = 1 + rng_below(&r, 8),
		.dp_fail = rng_below(&r, 30),
		.reloads = rng_below(&r, 3),
		.commands = rng_below(&r, 5),
		.login_limit = rng_below(&r, 2),
		.fixed = rng_below(&r, 2),
	};
	if (!large)
		return;
	ret->clients = 200;
	ret->sessions = 50;
	ret->loss = 20 + rng_below(&r, 80);
	ret->restarts = 4;
	ret->amnesia = 4;
	ret->kills = 12;
	ret->commands = 20;
	ret->trouble_us = 40 * US_S;
}

static void plan_troubles(struct world *w)
{
	const struct plan *p = &w->plan;
	unsigned int n = w->node_count;

	for (unsigned int i = 0; i < p->restarts; i++)
		world_at(w, some_time(w), H_STOP, world_below(w, n), NULL);
	for (unsigned int i = 0; i < p->amnesia; i++)
		world_at(w, some_time(w), H_AMNESIA, world_below(w, n), NULL);
	for (unsigned int i = 0; i < p->kills; i++)
		world_at(w, some_time(w), H_ARM, world_chance(w, 500) ? 0 : world_below(w, n),
			 NULL);
	for (unsigned int i = 0; i < p->reloads; i++)
		world_at(w, some_time(w), H_RELOAD, world_below(w, n), NULL);
	for (unsigned int i = 0; i < p->commands; i++)
		world_at(w, some_time(w), H_COMMAND, world_below(w, n), NULL);
	for (unsigned int i = 0; i < (p->large ? 20u : 60u); i++)
		world_at(w, some_time(w), H_TRAFFIC, 1 + world_below(w, n - 1), NULL);
	world_at(w, p->trouble_us, H_CALM, 0, NULL);
}

/* ---- a run ---- */

static void restart(struct world *w, struct node *n, bool forget)
{
	w->restarts++;
	if (forget) {
		node_crash(n);
		node_forget(n);
	} else {
		n->was_killed |= n->a != NULL;
		node_crash(n);
	}
	world_at(w, w->now + 1000 + world_below(w, 5 * US_S), H_START, n->index, NULL);
}

static void calm_down(struct world *w)
{
	struct access_cmd connect = { .kind = ACCESS_CMD_CONNECT };
	char name[CONF_NAME];

	if (!w->calm) /* once more when all that were down are up */
		world_at(w, w->now + 20 * US_S, H_CALM, 0, NULL);
	w->calm = true;
	for (unsigned int i = 0; i < w->node_count; i++) {
		w->nodes[i].kill_at = 0;
		for (unsigned int j = 0; i && j < w->plan.sessions; j++) {
			snprintf(name, sizeof(name), "d%u", j);
			connect.name = name;
			node_do(&w->nodes[i], &connect);
		}
	}
}

/* Do what outlives a node's life count for any life, the rest for the one it was meant for? */
static bool is_void(const struct world *w, const struct event *e)
{
	switch (e->kind) {
	case H_WAKE:
	case H_DRAIN:
	case H_DP:
	case H_DP_DONE:
	case H_AUTH:
	case H_RESOLVED:
		return e->life != w->nodes[e->node].life;
	case H_PACKET:
	case H_STOP:
	case H_START:
	case H_AMNESIA:
	case H_ARM:
	case H_RELOAD:
	case H_COMMAND:
	case H_TRAFFIC:
	case H_CALM:
		break;
	}
	return false;
}

static void happen(struct world *w, const struct event *e)
{
	struct node *n = &w->nodes[e->node];

	switch (e->kind) {
	case H_WAKE:
		node_wake(n);
		break;
	case H_DRAIN:
		node_drain(n);
		break;
	case H_PACKET:
		node_packet(n, e->data);
		break;
	case H_DP:
		node_dp(n, e->data);
		break;
	case H_DP_DONE:
		node_dp_done(n, e->data);
		break;
	case H_AUTH:
		node_auth(n, e->data);
		break;
	case H_RESOLVED:
		node_resolved(n, e->data);
		break;
	case H_STOP:
		restart(w, n, false);
		break;
	case H_START:
		node_start(n);
		break;
	case H_AMNESIA:
		restart(w, n, true);
		break;
	case H_ARM:
		n->kill_at = n->steps + 1 + world_below(w, w->plan.large ? 20000 : 200);
		break;
	case H_RELOAD:
		node_reload(n);
		break;
	case H_COMMAND:
		node_command(n);
		break;
	case H_TRAFFIC:
		node_traffic(n);
		break;
	case H_CALM:
		calm_down(w);
		break;
	}
}

static void run_until(struct world *w, int64_t end)
{
	int64_t last = -1;
	unsigned int same = 0;

	while (w->heap_n && w->heap[0].at <= end && !w->failure) {
		struct event e = pop(w);

		same = e.at == last ? same + 1 : 0;
		last = e.at;
		if (same > 1000000)
			world_fail(w, "time stands still");
		w->now = e.at;
		if (!is_void(w, &e))
			happen(w, &e);
		free(e.data);
	}
	w->now = end;
}

static void close_all(struct world *w)
{
	struct access_cmd cmd = { .kind = ACCESS_CMD_SHUTDOWN };

	for (unsigned int i = w->node_count; i-- > 0;)
		node_do(&w->nodes[i], &cmd);
}

bool world_run(struct world *w, uint64_t seed, bool large, bool verbose, FILE *pcap)
{
	uint8_t key[32] = "world";

	*w = (struct world){ .seed = seed, .verbose = verbose, .pcap = pcap };
	world_plan(&w->plan, seed, large);
	memcpy(key + 8, &seed, sizeof(seed));
	rng_init(&w->rng, key);
	w->node_count = 1 + w->plan.clients;
	w->nodes = calloc(w->node_count, sizeof(*w->nodes));
	if (!w->nodes)
		abort();
	for (unsigned int i = 0; i < w->node_count; i++) {
		if (!node_init(w, &w->nodes[i], i))
			abort();
		world_at(w, 1 + world_below(w, large ? 10 * US_S : 200000) * (i != 0), H_START, i,
			 NULL);
	}
	plan_troubles(w);
	run_until(w, w->plan.trouble_us + SETTLE_US);
	if (!w->failure)
		check_up(w);
	close_all(w);
	run_until(w, w->now + CLOSE_US);
	if (!w->failure)
		check_empty(w);
	if (!w->failure)
		check_accounts(w);
	return !w->failure;
}

void world_free(struct world *w)
{
	for (size_t i = 0; i < w->heap_n; i++)
		free(w->heap[i].data);
	free(w->heap);
	for (unsigned int i = 0; i < w->node_count; i++)
		node_free(&w->nodes[i]);
	free(w->nodes);
	free(w->failure);
}
