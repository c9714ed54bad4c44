/* SPDX-License-Identifier: MIT
 *
 * The keeper replaces itself by the program that is installed now (`adit-keeper --upgrade`,
 * SIGUSR2).
 *
 * Theory of operation. The kernel's plane finishes what it has begun, and what came of that goes to
 * aditd. Then everything that must go on is written down (dp/carry.h): the pair to aditd and what
 * waits for it, sockets and devices, what was put into the kernel, tunnels and sessions there with
 * their descriptors, children. The new program is asked whether it can go on from there
 * (upgrade.h), and takes the place of this one. Nothing is taken out of the kernel and put back:
 * data goes on, and requests of aditd wait in the pair for some ten milliseconds.
 *
 * If the new program cannot, nothing has happened. If it fails after all, or is killed, it is as if
 * the keeper had died: its descriptors are closed, aditd ends, and the next start is clean.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/notify.h"
#include "main_int.h"
#include "proto.h"
#include "upgrade.h"

#define SETTLE_US (5 * US_S) /* for the kernel's plane to finish what it has begun */

enum {
	REC_MAIN = CARRY_KEEPER | CARRY_MUST | 1,
};

enum {
	F_SELF = 1,
	F_ADITD = 2, /* u32 process, u32 1 = our child */
	F_BITS = 3,
	F_START = 4,   /* u64 */
	F_KILL = 5,    /* u64 */
	F_BACKOFF = 6, /* u64 started, u64 wait, u32 short lives */
	F_OUT = 7,
	F_IN = 8,
	F_UPGRADES = 9,
	F_ADITD_FD = 10,
	F_FORMER_FD = 11
};

#define BIT_REPLACING 1u
#define BIT_READY     2u
#define BIT_OWED      4u

static void main_carry(const struct keeper_main *k, struct carry *c)
{
	struct wcur *w = carry_begin(c, REC_MAIN);
	size_t at;

	carry_text(c, F_SELF, k->self);
	at = wcur_tlv_begin(w, F_ADITD);
	wcur_u32(w, (uint32_t)k->aditd);
	wcur_u32(w, k->child);
	wcur_tlv_end(w, at);
	wcur_tlv_u32(w, F_BITS,
		     (k->replacing ? BIT_REPLACING : 0) | (k->told_ready ? BIT_READY : 0) |
			     (k->owed ? BIT_OWED : 0));
	wcur_tlv_u64(w, F_START, (uint64_t)k->start_at.us);
	wcur_tlv_u64(w, F_KILL, (uint64_t)k->kill_at.us);
	at = wcur_tlv_begin(w, F_BACKOFF);
	wcur_u64(w, (uint64_t)k->backoff.started.us);
	wcur_u64(w, (uint64_t)k->backoff.wait_us);
	wcur_u32(w, k->backoff.short_lives);
	wcur_tlv_end(w, at);
	carry_fd(c, F_OUT, k->output[0]);
	carry_fd(c, F_IN, k->output[1]);
	wcur_tlv_u32(w, F_UPGRADES, k->upgrades + 1);
	carry_fd(c, F_ADITD_FD, k->aditd_fd);
	carry_fd(c, F_FORMER_FD, k->former_fd);
	carry_end(c);
}

static bool main_field(struct keeper_main *k, uint16_t field, struct rcur f)
{
	uint32_t bits;

	switch (field) {
	case F_SELF:
		return carry_text_load(f, k->self, sizeof(k->self));
	case F_ADITD:
		k->aditd = (pid_t)rcur_u32(&f);
		k->child = rcur_u32(&f) != 0;
		break;
	case F_BITS:
		bits = rcur_u32(&f);
		k->replacing = bits & BIT_REPLACING;
		k->told_ready = bits & BIT_READY;
		k->owed = bits & BIT_OWED;
		break;
	case F_START:
		k->start_at.us = (int64_t)rcur_u64(&f);
		break;
	case F_KILL:
		k->kill_at.us = (int64_t)rcur_u64(&f);
		break;
	case F_BACKOFF:
		k->backoff.started.us = (int64_t)rcur_u64(&f);
		k->backoff.wait_us = (int64_t)rcur_u64(&f);
		k->backoff.short_lives = rcur_u32(&f);
		break;
	case F_OUT:
		k->output[0] = (int)rcur_u32(&f);
		break;
	case F_IN:
		k->output[1] = (int)rcur_u32(&f);
		break;
	case F_UPGRADES:
		k->upgrades = rcur_u32(&f);
		break;
	case F_ADITD_FD:
		k->aditd_fd = (int)rcur_u32(&f);
		break;
	case F_FORMER_FD:
		k->former_fd = (int)rcur_u32(&f);
		break;
	default:
		break;
	}
	return !f.bad;
}

static int main_carried(struct keeper_main *k, uint16_t tag, struct rcur v)
{
	uint16_t field;
	struct rcur f;
	bool ok = true;

	if (tag != REC_MAIN)
		return 1;
	while (ok && rcur_tlv(&v, &field, &f))
		ok = main_field(k, field, f);
	return ok && !v.bad ? 0 : -EBADMSG;
}

/* The words of the new program. `numbers` is where its descriptor is written. */
static void replace_argv(struct keeper_main *k, char *option, char *number, char **argv)
{
	static char words[][8] = { "-c", "--run", "-b" };
	size_t n = 0;

	argv[n++] = k->self;
	argv[n++] = option;
	argv[n++] = number;
	argv[n++] = words[0];
	argv[n++] = k->opt.conf;
	if (k->opt.background)
		argv[n++] = words[2];
	if (k->opt.program[0]) {
		argv[n++] = words[1];
		argv[n++] = k->opt.program;
	}
	argv[n] = NULL;
}

/* Nothing is under way in the kernel's plane that a new keeper could not know of. */
static bool settle(struct keeper_main *k)
{
	struct server *s = &k->s;
	struct mono end = mono_add(s->now, SETTLE_US);

	while (!server_settle(s)) {
		struct pollfd p = { .fd = kplane_fd(s->plane), .events = POLLIN };

		if (mono_due(end, s->now))
			return false;
		poll(&p, 1, 20);
		s->now = keeper_main_now();
	}
	return true;
}

/* Returns only when it failed, with the reason in `why`. */
static void replace_try(struct keeper_main *k, struct carry *c, char *why)
{
	char resume[] = "--resume", check[] = "--check-state", number[16];
	char *argv[UPGRADE_ARGS];
	int fd = -1, err;

	if (k->stopping || k->finishing || k->parent >= 0) {
		snprintf(why, UPGRADE_TEXT, "the keeper is %s",
			 k->stopping	? "stopping"
			 : k->finishing ? "finishing a stop of aditd"
					: "starting; wait until aditd serves");
		return;
	}
	if (!k->self[0]) {
		snprintf(why, UPGRADE_TEXT, "its own path cannot be read below /proc");
		return;
	}
	if (!settle(k)) {
		snprintf(why, UPGRADE_TEXT, "the kernel did not finish its work within %lld s",
			 (long long)(SETTLE_US / US_S));
		return;
	}
	main_carry(k, c);
	gate_carry(k->gate, c);
	server_carry(&k->s, c);
	err = upgrade_write(c, &fd);
	if (err) {
		snprintf(why, UPGRADE_TEXT, "its state could not be written: %s", strerror(-err));
		return;
	}
	snprintf(number, sizeof(number), "%d", fd);
	replace_argv(k, check, number, argv);
	if (upgrade_check(argv, fd, why) == 0) {
		replace_argv(k, resume, number, argv);
		notify_send("RELOADING=1");
		/* It would keep open what the new program closes, and be another's guard. */
		guard_end(&k->guard);
		err = upgrade_exec(argv, c, fd);
		snprintf(why, UPGRADE_TEXT, "%.100s: %s", k->self, strerror(-err));
		notify_send("READY=1");
	}
	close(fd);
}

void keeper_main_replace(struct keeper_main *k)
{
	char why[UPGRADE_TEXT] = "";
	struct carry c = { 0 };

	k->upgrade = false;
	replace_try(k, &c, why);
	carry_free(&c);
	k->s.now = keeper_main_now();
	server_say(&k->s, TRACE_WARNING,
		   "the keeper could not be replaced and goes on as it is: %s", why);
	gate_answer(k->gate, -ENOEXEC, why);
}

/* ---- in the new program ---- */

static int record_carried(struct keeper_main *k, uint16_t tag, struct rcur v)
{
	int rc = main_carried(k, tag, v);

	if (rc == 1)
		rc = gate_carried(k->gate, tag, v);
	return rc == 1 ? server_carried(&k->s, tag, v) : rc;
}

bool keeper_main_load(struct keeper_main *k, int fd, uint32_t *ret_proto)
{
	char text[UPGRADE_TEXT];
	struct upgrade_state st;
	struct rcur v;
	uint16_t tag;

	if (upgrade_read(fd, &st, text) < 0)
		return keeper_main_fail("%s", text);
	while (rcur_tlv(&st.records, &tag, &v)) {
		int rc = record_carried(k, tag, v);

		if (rc == 1 && tag & CARRY_MUST)
			return keeper_main_fail(
				"the former keeper has something that this program does not "
				"know (record %#x)",
				tag);
		if (rc < 0)
			return keeper_main_fail("record %#x of the former keeper: %s", tag,
						strerror(-rc));
	}
	if (st.records.bad || !hold_whole(k->s.hold))
		return keeper_main_fail("the state of the former keeper is not complete");
	*ret_proto = st.proto;
	return true;
}

void keeper_main_resumed(struct keeper_main *k, uint32_t proto)
{
	struct server *s = &k->s;
	char text[UPGRADE_TEXT];

	kplane_resumed(s->plane, s->now);
	if (k->aditd_fd < 0) /* of a keeper that knew it by its number alone */
		k->aditd_fd = spawn_pidfd(k->aditd, s->pair, k->child);
	snprintf(text, sizeof(text), "adit-keeper " ADIT_VERSION " has taken over, upgrade %u",
		 k->upgrades);
	server_say(s, TRACE_NOTICE, "%s; sessions go on", text);
	gate_answer(k->gate, 0, text);
	if (k->told_ready)
		notify_send("READY=1");
	if (k->aditd && proto != KEEPER_MAGIC) {
		server_say(s, TRACE_NOTICE, "aditd speaks another protocol and is replaced, too");
		life_restart(k);
	} else {
		server_tell_reload(s); /* the configuration was read again */
	}
}
