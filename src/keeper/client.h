/* SPDX-License-Identifier: MIT
 *
 * aditd's side of the pair to the keeper (proto.h): asynchronous requests over SOCK_SEQPACKET.
 *
 * A request function only queues: it gives each request an id and returns. keeper_work() sends and
 * receives without ever blocking; answers are taken one by one with keeper_next(), in the order
 * they came, which need not be the order of the requests. `cookie` is the caller's and comes back
 * with the answer. Requests about one device, and hooks of one name, are carried out in the order
 * asked.
 *
 *     poll(keeper_fd(k), keeper_events(k)) -> keeper_work(k) -> while (keeper_next(k, &done)) ...
 *
 * One thread. Nothing here logs or calls back.
 */
#ifndef ADIT_KEEPER_CLIENT_H
#define ADIT_KEEPER_CLIENT_H

#include "base/dp_types.h"
#include "proto.h"

struct keeper;

/* Take over aditd's end of the pair, made non-blocking and close-on-exec. NULL with *ret_err =
 * -ENOMEM or the errno of fcntl; then `fd` stays the caller's. */
struct keeper *keeper_open(int fd, int *ret_err);

/* The number in the environment variable ADIT_KEEPER_FD, or -ENOENT when there is none, -EINVAL
 * when it is not a socket of the right kind. The variable is removed. */
int keeper_fd_from_env(void);

/* Where the keeper listens whose control socket is `control`. 0; -ENAMETOOLONG. */
int keeper_gate_path(const char *control, char *ret, size_t cap);

/* A connection to it, or negative errno. */
int keeper_connect(const char *control);

/* Closes the descriptor and those in answers nobody took. NULL is fine. */
void keeper_close(struct keeper *k);

int keeper_fd(const struct keeper *k);
short keeper_events(
	const struct keeper *k); /* POLLIN, and POLLOUT while requests wait to be sent */

/* Send and receive what is possible now. 0; -ECONNRESET the keeper is gone; -EBADMSG it sent
 * something that is not the protocol; -ENOMEM. After -ECONNRESET and -EBADMSG every request fails
 * and all that were open come back from keeper_next() with that error. */
int keeper_work(struct keeper *k);

struct keeper_done {
	uint32_t id;	       /* 0: not an answer, the keeper tells something (type RELOAD) */
	enum keeper_type type; /* of the request */
	uint64_t cookie;
	int error;		    /* 0 or negative errno */
	char text[KEEPER_TEXT_MAX]; /* the error in words; RELOAD: what was done; "" = nothing */
	char name[KEEPER_NAME_MAX]; /* NAME of the request, "" = it had none */

	/* HELLO: journal, table, trace, control. SOCKET, TUN, CONF: one. All are non-blocking and
	 * close-on-exec; who takes the answer owns them and closes them. */
	int fds[KEEPER_FDS];
	uint32_t fd_count;
	uint64_t sizes[KEEPER_FDS]; /* HELLO: of the memory behind fds[0..2]; CONF */

	struct addr addrs[KEEPER_ADDRS]; /* RESOLVE: in the resolver's order, with the port;
					    SOCKET: what it is bound to */
	uint32_t addr_count;
	uint32_t status; /* HOOK: as of waitpid() */
	uint32_t starts; /* HELLO, STATUS: how often this keeper has started aditd, 1 = first */
	uint32_t incarnation; /* HELLO, STATUS: for access_config */
	struct mono since;    /* HELLO, STATUS: the keeper's start */
};

/* The next answer; false when there is none. */
bool keeper_next(struct keeper *k, struct keeper_done *ret);

/* Send `id`'s request and wait for its answer up to `timeout_ms`; other answers stay queued. For
 * start-up, before there is a loop. 0 when there is an answer (its own error is in ret->error, also
 * -ECONNRESET when the keeper went before it answered); -ETIMEDOUT; -errno of poll(). */
int keeper_wait(struct keeper *k, uint32_t id, int timeout_ms, struct keeper_done *ret);

/*
 * Requests. Each queues, writes *ret_id (may be NULL) and returns 0, or fails with nothing queued:
 * -ENOMEM; -EINVAL a text is too long or empty; -ECONNRESET the keeper is gone.
 */
int keeper_hello(struct keeper *k, uint64_t cookie, uint32_t *ret_id);

/* Memory that stays with the keeper, for the texts of the configuration in force. A keeper of an
 * earlier release does not know of it. */
int keeper_conf(struct keeper *k, uint64_t cookie, uint32_t *ret_id);

/* aditd serves. Ten seconds later the devices, pins and addresses of `lo` are removed that a former
 * aditd had asked for and this one has not asked for again: so ask for those of the journal first.
 * Addresses and routes of a device that was asked for again stay until they are removed. */
int keeper_ready(struct keeper *k, uint64_t cookie, uint32_t *ret_id);
/* Asked to stop, aditd has peers to tell: the keeper waits for it a while longer
 * (SERVE_PATIENCE_US, or ten seconds where there is no stop-rate) if it was the one that has asked,
 * and takes care of who was not told should aditd die before keeper_stopped(). */
int keeper_stopping(struct keeper *k, uint64_t cookie, uint32_t *ret_id);
/* Send what was asked for and not sent yet, as far as the pair takes it. 0 or negative errno. */
int keeper_flush(struct keeper *k);
/* Everybody was told; the connection ends now. */
int keeper_stopped(struct keeper *k, uint64_t cookie, uint32_t *ret_id);
int keeper_status(struct keeper *k, uint64_t cookie, uint32_t *ret_id);

/* Ask the keeper, over a connection of root's own, to replace itself by execve(). */
int keeper_upgrade(struct keeper *k, uint64_t cookie, uint32_t *ret_id);

/* Ask the keeper to read the configuration again; its error comes back in words. */
int keeper_reload(struct keeper *k, uint64_t cookie, uint32_t *ret_id);

/* The bound UDP socket with this number of the configuration (conf_socket.via). It has IP_PKTINFO
 * or IPV6_RECVPKTINFO on; an IPv6 one is IPV6_V6ONLY. */
int keeper_socket(struct keeper *k, uint64_t cookie, uint32_t via, uint32_t *ret_id);
/* One that the configuration no longer has is not needed any more. */
int keeper_socket_gone(struct keeper *k, uint64_t cookie, uint32_t via, uint32_t *ret_id);

/* A TUN device (`ethernet`: a TAP device) without packet information, made on first use; down until
 * keeper_link(). -EBUSY when there is a device of this name that is not ours. */
int keeper_tun(struct keeper *k, uint64_t cookie, const char *ifname, bool ethernet,
	       uint32_t *ret_id);
int keeper_tun_gone(struct keeper *k, uint64_t cookie, const char *ifname, uint32_t *ret_id);
/* `master`: the bridge or VRF it belongs to, "" = none, NULL = it stays where it is. */
int keeper_link(struct keeper *k, uint64_t cookie, const char *ifname, uint32_t mtu,
		const char *master, uint32_t *ret_id);

/* Add or remove. Adding what is there and removing what is not there succeed. */
int keeper_addr(struct keeper *k, uint64_t cookie, const char *ifname, const struct prefix *prefix,
		bool add, uint32_t *ret_id);
/* table 0 = main. */
int keeper_route(struct keeper *k, uint64_t cookie, const char *ifname, const struct prefix *prefix,
		 uint32_t table, uint32_t metric, bool add, uint32_t *ret_id);
/* A host route to `to` by the way the packets to it go now, whatever routes come later; asked
 * again, the route is looked up anew. Not counted: the first removal removes it. */
int keeper_pin(struct keeper *k, uint64_t cookie, const struct addr *to, bool add,
	       uint32_t *ret_id);

/* Answer in done.addrs; done.error is -ENOENT when the name does not exist, -EAGAIN when the
 * resolver did not answer. */
int keeper_resolve(struct keeper *k, uint64_t cookie, const char *host, uint16_t port,
		   uint32_t *ret_id);

/* Run a program of the configuration with `env` ("NAME=value", `count` of them) added to a minimal
 * environment; one after the other per `name`. */
int keeper_hook(struct keeper *k, uint64_t cookie, const char *name, const char *program,
		const char *const *env, size_t count, uint32_t *ret_id);

/*
 * Records of the data plane (src/dp/batch.h), both ways. keeper_plane() sends at once what it can;
 * `len` is at most KEEPER_MAX - KEEPER_HEADER. 0, -ENOMEM, -EINVAL or -ECONNRESET.
 * keeper_plane_next() gives the next datagram of the keeper, valid until the next call of this
 * client; *ret_fd came with it (-1 = none) and is the taker's.
 */
int keeper_plane(struct keeper *k, const uint8_t *records, size_t len);
bool keeper_plane_next(struct keeper *k, const uint8_t **ret_records, size_t *ret_len, int *ret_fd);

/* Requests that have not been answered. */
size_t keeper_open_count(const struct keeper *k);

#endif
