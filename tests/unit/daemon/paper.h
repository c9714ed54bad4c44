/* SPDX-License-Identifier: MIT
 *
 * A daemon of paper around the control socket: the engine's answers are invented, the sockets are
 * real. For tests and the fuzzer.
 */
#ifndef ADIT_TEST_PAPER_H
#define ADIT_TEST_PAPER_H

#include "daemon/control.h"

#define SESSIONS 3000
#define WATCHES	 40

struct io_watch {
	int fd;
	void *client;
	short on;
};

struct paper {
	struct daemon d;
	struct io_watch *watches[WATCHES];
	const char *dial_state, *session_state;
	uint64_t dial_key;
	bool row_busy;
	enum access_cmd_kind last;
	uint64_t last_key;
	size_t commands;
	reload_done_fn reload_fn;
	void *reload_who;
	uint8_t trace_mem[1 << 20] __attribute__((aligned(8)));
};

extern struct paper paper;

bool paper_begin(void);
void paper_end(void);
const char *paper_path(void); /* of the control socket */
size_t paper_watching(void);  /* clients there are */
void paper_pump(void);	      /* let the daemon do what it can without waiting */

#endif
