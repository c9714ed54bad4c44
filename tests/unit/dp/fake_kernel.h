/* SPDX-License-Identifier: MIT
 *
 * A kernel for the tests of the kernel plane: the system calls of kernel_sys.h on socket pairs. It
 * answers netlink, writes down each step by a name, fails the one it is told to, and lets a test
 * stop the plane at a step.
 */
#ifndef ADIT_TEST_FAKE_KERNEL_H
#define ADIT_TEST_FAKE_KERNEL_H

#include <linux/netlink.h>
#include <pthread.h>

#include "dp/kernel.h"
#include "dp/kernel_sys.h"

#define FAKE_FDS   4096
#define FAKE_STEPS 65536

struct fake_kernel {
	struct kernel_sys sys;
	pthread_mutex_t lock;
	pthread_cond_t changed;

	const char *steps[FAKE_STEPS];
	uint32_t step_n;

	/* The `fail_nth`-th step of this name from now on (1 = the next) fails with this, and so do
	 * the `fail_more` after it. */
	const char *fail_step;
	uint32_t fail_nth, fail_more;
	int fail_error;

	/* The next step of this name waits until it is let go. */
	const char *gate;
	bool at_gate, gate_open;

	struct {
		const char *kind; /* "pppox", "chan", "unit", ...; NULL = closed */
		int other;	  /* the far end of the pair */
		struct sockaddr_storage
			name[2]; /* "udp": its own, of the last bind(); the peer's */
	} fds[FAKE_FDS];
	uint32_t opened, closed;
	uint32_t ups, masters; /* messages that set an interface up; that put it somewhere */
	bool dormant;	       /* the last one about that said so */
	uint32_t dormant_ups;  /* set up while that was so */
	int next_index;
	/* What is made of a request of the family "l2tp" that is not to fail, from several threads:
	 * 0 or a negative errno. NULL = nothing. See fake_l2tp.h. */
	int (*l2tp)(struct fake_kernel *f, const struct nlmsghdr *request);
	void *l2tp_arg;
	int hints; /* the far end of the socket that takes notifications */
	/* It has lost some, and loses in silence until it was read empty; just before that this
	 * step begins to fail, because somebody deletes something. */
	bool overrun, deaf;
	const char *deaf_step;
};

void fake_kernel_init(struct fake_kernel *f);
/* Ends it; fails the test if a descriptor was left open. */
void fake_kernel_end(struct fake_kernel *f);

void fake_kernel_fail(struct fake_kernel *f, const char *step, uint32_t nth, uint32_t more,
		      int error);
void fake_kernel_gate(struct fake_kernel *f, const char *step);
bool fake_kernel_at_gate(struct fake_kernel *f);
void fake_kernel_wait_gate(struct fake_kernel *f);
void fake_kernel_let_go(struct fake_kernel *f);

/* How often the step was made; forget all. */
uint32_t fake_kernel_count(struct fake_kernel *f, const char *step);
void fake_kernel_forget(struct fake_kernel *f);

/* The far end of the n-th open descriptor of this kind (0 = the first), -1 = none. */
int fake_kernel_far(struct fake_kernel *f, const char *kind, uint32_t n);
uint32_t fake_kernel_open_count(struct fake_kernel *f, const char *kind);

/* Somebody has deleted a tunnel (session 0) or a session: a notification. */
void fake_kernel_notify(struct fake_kernel *f, uint32_t tunnel, uint32_t session);

#endif
