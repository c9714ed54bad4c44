/* SPDX-License-Identifier: MIT
 *
 * A host for the user-space plane in tests: it remembers what was asked of it, answers when told to
 * or fails, and gives socket pairs for TUN devices, so that a test reads and writes IP packets at
 * the other end.
 */
#ifndef ADIT_TEST_FAKE_HOST_H
#define ADIT_TEST_FAKE_HOST_H

#include "dp/user.h"

#define FAKE_MAX 200

struct fake_ask {
	uint32_t id;
	int fd; /* to give, -1 = none */
	int error;
	bool add;	/* `what` comes, or goes */
	char what[128]; /* "tun adit1", "link adit1 1400", "addr adit1 10.0.0.1/32", ... */
};

struct fake_host {
	struct dp *dp;
	struct fake_ask asks[FAKE_MAX];
	unsigned int ask_count;
	char there[FAKE_MAX][128]; /* what is there now */
	unsigned int there_count;
	unsigned int asked;   /* in all */
	unsigned int fail_at; /* the so-many-th request fails, 0 = none */
	int fail_with;
	bool refuse; /* ... by a negative return instead of an answer */
	bool fail_all;
	char foreign[DP_IFNAME]; /* a device of somebody else */
	struct {
		char name[DP_IFNAME];
		int fd; /* our end */
	} tuns[32];
};

extern const struct dp_host_ops fake_host_ops;

void fake_host_init(struct fake_host *h);
void fake_host_fini(struct fake_host *h);

/* Answer everything that was asked, and what is asked then. */
void fake_host_answer(struct fake_host *h);
bool fake_host_has(const struct fake_host *h, const char *what);

/* Our end of a device; -1 = there is none. */
int fake_host_tun(const struct fake_host *h, const char *name);

#endif
