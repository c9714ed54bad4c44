/* SPDX-License-Identifier: MIT
 *
 * The event loop: libuv watches the data plane, the keeper, the control listener and its clients,
 * and holds one timer for the earliest of all deadlines. This is the only file that reads a clock:
 * every turn begins with one reading, and everything done in it happens at that moment.
 *
 * Deadlines are in CLOCK_BOOTTIME, which goes on while the machine sleeps; libuv's timer does not.
 * So the timer never sleeps longer than a minute at a time, and looks again.
 */
#include "daemon.h"
#include "notify.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define CLIENTS_MAX 32
#define SLEEP_MAX   60000 /* ms */
#define WALL_STEP   (100 * US_MS)
#define WATCH_ROOM  1000 /* descriptors that can be watched without more memory */

struct io_watch {
	uv_poll_t poll; /* first: freed through it */
	struct io *io;
	void *client;
	short on;
};

struct io {
	struct daemon *d;
	uv_loop_t loop;
	uv_timer_t timer, watchdog;
	uv_prepare_t prepare;
	uv_poll_t dp, keeper, control;
	uv_poll_t high; /* was watched once */
	uv_signal_t term, intr, hup, usr1;
	int keeper_on;	  /* events asked for */
	int64_t wall_off; /* wall time less CLOCK_BOOTTIME, as told to the engine */
	int clients;
};

struct mono io_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (struct mono){ ts.tv_sec * US_S + ts.tv_nsec / 1000 };
}

int64_t io_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * US_S + ts.tv_nsec / 1000;
}

void io_tick(struct daemon *d)
{
	int64_t off;

	d->now = io_now();
	d->wall_us = io_wall_us();
	off = d->wall_us - d->now.us;
	if (!d->io || (off < d->io->wall_off + WALL_STEP && off > d->io->wall_off - WALL_STEP))
		return;
	d->io->wall_off = off;
	access_wall(d->access, d->now, d->wall_us);
}

static short poll_of(int events)
{
	return (short)((events & (UV_READABLE | UV_DISCONNECT) ? POLLIN : 0) |
		       (events & UV_WRITABLE ? POLLOUT : 0));
}

static int uv_of(short on)
{
	return (on & POLLIN ? UV_READABLE : 0) | (on & POLLOUT ? UV_WRITABLE : 0);
}

static void on_dp(uv_poll_t *h, int status, int events)
{
	struct io *io = h->data;

	io_tick(io->d);
	run_punts(io->d);
}

static void on_keeper(uv_poll_t *h, int status, int events)
{
	struct io *io = h->data;

	io_tick(io->d);
	run_keeper(io->d);
}

static void on_control(uv_poll_t *h, int status, int events)
{
	struct io *io = h->data;

	io_tick(io->d);
	control_accept(io->d->control);
}

static void on_client(uv_poll_t *h, int status, int events)
{
	struct io_watch *w = h->data;

	io_tick(w->io->d);
	/* an error is found by reading */
	control_client(w->client, status < 0 ? POLLIN : poll_of(events));
}

static void on_timer(uv_timer_t *h)
{
	struct io *io = h->data;

	io_tick(io->d);
	run_timers(io->d);
}

/* A loop that hangs sends none, and systemd starts the next aditd. */
static void on_watchdog(uv_timer_t *h)
{
	notify_send("WATCHDOG=1");
}

static void on_signal(uv_signal_t *h, int number)
{
	struct io *io = h->data;

	io_tick(io->d);
	if (number == SIGHUP)
		reload_start(io->d, false, NULL, NULL);
	else
		run_stop(io->d, number != SIGUSR1);
	run_drain(io->d);
}

/* Before the loop sleeps: until when, and whether there is something to send to the keeper. */
static void on_prepare(uv_prepare_t *h)
{
	struct io *io = h->data;
	struct mono at = run_deadline(io->d), now = io_now();
	uint64_t ms = SLEEP_MAX;
	int on = uv_of(keeper_events(io->d->keeper));

	if (io->d->quit) {
		uv_stop(&io->loop);
		ms = 0;
	} else if (at.us <= now.us) {
		ms = 0;
	} else if ((at.us - now.us) / US_MS < SLEEP_MAX) {
		ms = (uint64_t)((at.us - now.us + US_MS - 1) / US_MS);
	}
	uv_update_time(&io->loop);
	uv_timer_start(&io->timer, on_timer, ms, 0);
	if (on != io->keeper_on) {
		uv_poll_start(&io->keeper, on, on_keeper);
		io->keeper_on = on;
	}
}

static int watch_signals(struct io *io)
{
	const struct {
		uv_signal_t *h;
		int number;
	} all[] = { { &io->term, SIGTERM },
		    { &io->intr, SIGINT },
		    { &io->hup, SIGHUP },
		    { &io->usr1, SIGUSR1 } };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uv_signal_init(&io->loop, all[i].h);
		all[i].h->data = io;
		if (uv_signal_start(all[i].h, on_signal, all[i].number) < 0)
			return -1;
	}
	return 0;
}

static int watch_fd(struct io *io, uv_poll_t *h, int fd, uv_poll_cb cb)
{
	if (fd < 0)
		return 0;
	if (uv_poll_init(&io->loop, h, fd) < 0)
		return -1;
	h->data = io;
	return uv_poll_start(h, UV_READABLE, cb);
}

/*
 * libuv ends the process where there is no memory for a larger table of descriptors. So it makes a
 * large one now: one with a high number is watched for a moment.
 */
static void watch_room(struct io *io)
{
	int fd = fcntl(keeper_fd(io->d->keeper), F_DUPFD_CLOEXEC, WATCH_ROOM);

	if (fd < 0)
		return; /* nobody may have so many */
	if (uv_poll_init(&io->loop, &io->high, fd) == 0) {
		io->high.data = io;
		uv_poll_start(&io->high, UV_READABLE, on_keeper);
		uv_close((uv_handle_t *)&io->high, NULL);
	}
	close(fd);
}

struct io *io_new(struct daemon *d)
{
	struct io *io = calloc(1, sizeof(*io));

	if (!io)
		return NULL;
	io->d = d;
	io->wall_off = d->wall_us - d->now.us;
	if (uv_loop_init(&io->loop) < 0) {
		free(io);
		return NULL;
	}
	watch_room(io);
	uv_timer_init(&io->loop, &io->timer);
	uv_timer_init(&io->loop, &io->watchdog);
	uv_prepare_init(&io->loop, &io->prepare);
	io->timer.data = io->prepare.data = io;
	io->keeper_on = UV_READABLE;
	if (uv_prepare_start(&io->prepare, on_prepare) < 0 || watch_signals(io) < 0 ||
	    watch_fd(io, &io->dp, d->dp->ops->fd(d->dp), on_dp) < 0 ||
	    watch_fd(io, &io->keeper, keeper_fd(d->keeper), on_keeper) < 0 ||
	    (d->control && watch_fd(io, &io->control, control_fd(d->control), on_control) < 0)) {
		io_free(io);
		return NULL;
	}
	return io;
}

int io_run(struct io *io)
{
	uint64_t ms = (uint64_t)notify_watchdog() / 1000;

	if (ms)
		uv_timer_start(&io->watchdog, on_watchdog, 0, ms);
	while (!io->d->quit)
		uv_run(&io->loop, UV_RUN_DEFAULT);
	return 0;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

void io_free(struct io *io)
{
	if (!io)
		return;
	uv_walk(&io->loop, close_handle, NULL);
	uv_run(&io->loop, UV_RUN_DEFAULT);
	uv_loop_close(&io->loop);
	free(io);
}

/* ---- clients of the control socket ---- */

void io_unlisten(struct io *io)
{
	if (!uv_is_closing((uv_handle_t *)&io->control))
		uv_close((uv_handle_t *)&io->control, NULL);
}

bool io_watch_full(const struct io *io)
{
	return io->clients >= CLIENTS_MAX;
}

struct io_watch *io_watch(struct io *io, int fd, void *client)
{
	struct io_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (uv_poll_init(&io->loop, &w->poll, fd) < 0) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	w->io = io;
	w->client = client;
	io->clients++;
	return w;
}

int io_watch_set(struct io_watch *w, short on)
{
	if (on == w->on)
		return 0;
	w->on = on;
	return on ? uv_poll_start(&w->poll, uv_of(on), on_client) : uv_poll_stop(&w->poll);
}

static void free_watch(uv_handle_t *h)
{
	free(h->data);
}

void io_unwatch(struct io_watch *w)
{
	w->io->clients--;
	uv_close((uv_handle_t *)&w->poll, free_watch);
}
