/* SPDX-License-Identifier: MIT
 *
 * Jobs of PPP sessions: from a row to a pipe, from a pipe to a channel with a unit, two pipes
 * joined; and back. Runs on the workers (kernel_work.c).
 *
 * Attaching loses no frame as far as the kernel lets it: connect() on the PPPoX socket makes the
 * session (after SESSION_CREATE alone the kernel would drop its frames until a socket is there);
 * what queued on the socket is read right before PPPIOCGCHAN, and later frames queue on the channel
 * until they are read there. Each step that fails undoes what the same job did, in reverse; what
 * was there before the job is left to a job of its own (KJ_END).
 */
#include "kernel_int.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <linux/if_pppol2tp.h> /* these after netinet/in.h */
#include <linux/if_pppox.h>
#include <linux/ppp-ioctl.h>
#include <linux/ppp_defs.h>

#ifndef PPPIOCBRIDGECHAN
#define PPPIOCBRIDGECHAN _IOW('t', 53, int)
#endif
#ifndef SOL_PPPOL2TP
#define SOL_PPPOL2TP 273
#endif

#define CI_MPPE	   18 /* RFC 3078 2 */
#define DRAIN_MOST 64 /* the socket's queue is longer only when a peer floods it */

/* ---- the pipe ---- */

static int pipe_connect(struct kwork *w, const struct dp_row *r, int fd)
{
	if (r->version == 3) {
		struct sockaddr_pppol2tpv3 v3;

		memset(&v3, 0, sizeof(v3));
		v3.sa_family = AF_PPPOX;
		v3.sa_protocol = PX_PROTO_OL2TP;
		v3.pppol2tp.fd = -1; /* the tunnel is found by its id */
		v3.pppol2tp.s_tunnel = r->local_tunnel;
		v3.pppol2tp.d_tunnel = r->remote_tunnel;
		v3.pppol2tp.s_session = r->local_session;
		v3.pppol2tp.d_session = r->remote_session;
		return w->sys->connect(w->sys, fd, &v3, sizeof(v3));
	} else {
		struct sockaddr_pppol2tp v2;

		memset(&v2, 0, sizeof(v2));
		v2.sa_family = AF_PPPOX;
		v2.sa_protocol = PX_PROTO_OL2TP;
		v2.pppol2tp.fd = -1;
		v2.pppol2tp.s_tunnel = (uint16_t)r->local_tunnel;
		v2.pppol2tp.d_tunnel = (uint16_t)r->remote_tunnel;
		v2.pppol2tp.s_session = (uint16_t)r->local_session;
		v2.pppol2tp.d_session = (uint16_t)r->remote_session;
		return w->sys->connect(w->sys, fd, &v2, sizeof(v2));
	}
}

static int sequencing(struct kwork *w, const struct dp_row *r, int fd)
{
	int send = (r->flags & DP_F_SEND_SEQ) != 0, need = (r->flags & DP_F_REQUIRE_SEQ) != 0;
	int lns = !(r->flags & DP_F_CLIENT);
	int err = w->sys->setsockopt(w->sys, fd, SOL_PPPOL2TP, PPPOL2TP_SO_SENDSEQ, &send,
				     sizeof(send));

	if (err >= 0)
		err = w->sys->setsockopt(w->sys, fd, SOL_PPPOL2TP, PPPOL2TP_SO_RECVSEQ, &need,
					 sizeof(need));
	if (err >= 0)
		err = w->sys->setsockopt(w->sys, fd, SOL_PPPOL2TP, PPPOL2TP_SO_LNSMODE, &lns,
					 sizeof(lns));
	return err;
}

/*
 * The kernel numbers from 0, and the owner has numbered `first_ns` frames already: whoever checks
 * would drop what the kernel sends with those numbers as old (RFC 2661 5.4). So they go to frames
 * that the peer discards in any case: LCP's Discard-Request (RFC 1661 5.9), LCP being open when a
 * row is active; its magic number is 0, as of one who has none.
 */
static int catch_up(struct kwork *w, const struct dp_row *r, int fd)
{
	static const uint8_t discard[] = { 0xc0, 0x21, 11, 0, 0, 8, 0, 0, 0, 0 };
	ssize_t n = 0;

	if (!(r->flags & DP_F_SEND_SEQ) || r->version == 3 || r->state != DP_ACTIVE)
		return 0;
	for (unsigned int i = 0; i < r->first_ns && i < DP_NS_MOST && n >= 0; i++)
		n = w->sys->send(w->sys, fd, discard, sizeof(discard), 0);
	return n < 0 ? (int)n : 0;
}

/* L2TPv3 has values that connect() cannot tell: then the session is made first. */
static int session_create(struct kwork *w, struct kjob *j)
{
	unsigned int tries = 0;
	int err;

	do {
		if (kjob_cancelled(j))
			return -ECANCELED;
		err = nlm_l2tp_session_create(&w->l2tp, &j->row, "");
	} while (err == -EEXIST && kwork_again(w, &tries));
	if (err && err != -EEXIST && err != -ENODEV && err != -EINVAL &&
	    nlm_l2tp_session_get(&w->l2tp, j->row.local_tunnel, j->row.local_session, NULL) == 0)
		err = 0; /* the failure was that of the notification */
	if (err) {
		kjob_fail(j, KERNEL_STEP_SESSION, err, "");
		kjob_note(j, &w->l2tp.m);
		return err;
	}
	j->have.session = true;
	return 0;
}

static int pipe_open(struct kwork *w, struct kjob *j)
{
	unsigned int tries = 0;
	int err;

	if (kjob_cancelled(j))
		return -ECANCELED;
	if (j->row.version == 3) {
		err = session_create(w, j);
		if (err)
			return err;
	}
	j->have.pppox =
		w->sys->socket(w->sys, AF_PPPOX, SOCK_DGRAM | SOCK_NONBLOCK, PX_PROTO_OL2TP);
	if (j->have.pppox < 0) {
		err = kjob_fail(j, KERNEL_STEP_PPPOX, j->have.pppox, "");
		if (err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT)
			j->result = KERNEL_CANNOT;
		return err;
	}
	/* After a deletion the ids may be taken for a moment longer. */
	do {
		if (kjob_cancelled(j))
			return -ECANCELED;
		err = pipe_connect(w, &j->row, j->have.pppox);
	} while (err == -EEXIST && kwork_again(w, &tries));
	if (err < 0) {
		kjob_fail(j, KERNEL_STEP_PIPE, err, "");
		if (err == -EEXIST)
			j->result = KERNEL_ID_TAKEN;
		return err;
	}
	if (j->row.flags & (DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ)) {
		err = sequencing(w, &j->row, j->have.pppox);
		if (err >= 0)
			err = catch_up(w, &j->row, j->have.pppox);
		if (err < 0)
			return kjob_fail(j, KERNEL_STEP_PIPE, err, "");
	}
	j->have.stage = K_PIPE;
	return 0;
}

/* Frames that wait: on the pipe, where the channel would not show them; on a channel or a unit,
 * which keep 32 and no more. */
static void drain(struct kwork *w, struct kjob *j, uint64_t key, int fd, bool pipe)
{
	uint8_t buf[KERNEL_FRAME_MAX];
	struct kframe *f;
	ssize_t n;

	for (int i = 0; i < DRAIN_MOST; i++) {
		n = pipe ? w->sys->recv(w->sys, fd, buf, sizeof(buf), MSG_DONTWAIT)
			 : w->sys->read(w->sys, fd, buf, sizeof(buf));
		if (n < 2)
			return;
		f = malloc(sizeof(*f) + (size_t)n);
		if (!f)
			return; /* as if the network had lost it */
		f->key = key;
		f->len = (uint16_t)n;
		memcpy(f->bytes, buf, (size_t)n);
		list_push(&j->frames, &f->node);
	}
}

static int channel_number(struct kwork *w, struct kjob *j, uint64_t key, int fd, int *ret)
{
	int err;

	drain(w, j, key, fd, true);
	err = w->sys->ioctl(w->sys, fd, PPPIOCGCHAN, ret);
	return err < 0 ? kjob_fail(j, KERNEL_STEP_CHANNEL, err, "") : 0;
}

static int dev_ppp_open(struct kwork *w, struct kjob *j)
{
	int fd = w->sys->open(w->sys, "/dev/ppp", O_RDWR | O_NONBLOCK);

	if (fd < 0) {
		kjob_fail(j, KERNEL_STEP_DEV_PPP, fd, "");
		if (fd == -ENOENT || fd == -ENXIO || fd == -ENODEV || fd == -EACCES || fd == -EPERM)
			j->result = KERNEL_CANNOT;
	}
	return fd;
}

/* ---- the unit ---- */

static int np_mode(struct kwork *w, int unit, int protocol, bool pass)
{
	struct npioctl np = { .protocol = protocol, .mode = pass ? NPMODE_PASS : NPMODE_DROP };

	return w->sys->ioctl(w->sys, unit, PPPIOCSNPMODE, &np);
}

/* What of IP passes the interface. */
static uint16_t passing(uint16_t flags)
{
	return flags & DP_F_FAR_DOWN ? 0 : flags & (DP_F_IP4 | DP_F_IP6);
}

/* Which families pass. A new unit lets both. */
static int families(struct kwork *w, struct kjob *j, uint16_t was)
{
	uint16_t now = passing(j->row.flags), changed = now ^ passing(was);
	int err = 0;

	if (changed & DP_F_IP4)
		err = np_mode(w, j->have.unit, PPP_IP, (now & DP_F_IP4) != 0);
	if (err >= 0 && changed & DP_F_IP6)
		err = np_mode(w, j->have.unit, PPP_IPV6, (now & DP_F_IP6) != 0);
	return err < 0 ? kjob_fail(j, KERNEL_STEP_UNIT, err, j->have.ifname) : 0;
}

/* The name at this try. Users whose names come out alike, or who log in twice, get a number. */
static void unit_call(struct kwork *w, const struct kjob *j, unsigned int tries,
		      char ret[DP_IFNAME])
{
	const struct dp_row *r = &j->row;

	if (r->ifname[0] && tries && !(r->flags & DP_F_CLIENT))
		snprintf(ret, DP_IFNAME, "%.9s-%u", r->ifname,
			 atomic_fetch_add(&w->k->names, 1) % 100000);
	else if (r->ifname[0] || !j->prefix[0])
		snprintf(ret, DP_IFNAME, "%s", r->ifname);
	else
		snprintf(ret, DP_IFNAME, "%.10s%u", j->prefix,
			 atomic_fetch_add(&w->k->names, 1) % 100000);
}

static int unit_make(struct kwork *w, struct kjob *j)
{
	const struct dp_row *r = &j->row;
	struct nlm *rt = kwork_rt(w, 0);
	char name[DP_IFNAME];
	struct nlm_ppp p = { .dev_fd = j->have.unit,
			     .netns_fd = kwork_netns_fd(w, r->netns),
			     .ifname = name,
			     .mtu = r->mtu,
			     .txqlen = j->txqlen,
			     .group = j->group };
	unsigned int tries = 0;
	int err;

	err = kmaster(w, j, &p.master);
	if (err)
		return err;
	for (;;) {
		if (kjob_cancelled(j))
			return -ECANCELED;
		unit_call(w, j, tries, name);
		pthread_mutex_lock(&w->k->links);
		err = nlm_link_ppp(rt, &p);
		pthread_mutex_unlock(&w->k->links);
		/* EBUSY: another interface is being made just now. EEXIST: the name of a dialled
		 * session is the configuration's; of others, there is another one. */
		if (err == 0 ||
		    (err != -EBUSY &&
		     (err != -EEXIST || (r->ifname[0] && r->flags & DP_F_CLIENT))) ||
		    !kwork_again(w, &tries))
			break;
	}
	if (err) {
		kjob_fail(j, KERNEL_STEP_UNIT, err, r->ifname);
		kjob_note(j, rt);
		return err;
	}
	snprintf(j->have.ifname, sizeof(j->have.ifname), "%s", name);
	return 0;
}

/*
 * The row says which addresses a dialled session has: the kernel shall not take others of its own
 * out of the server's router advertisements, nor a default route (RFC 4862 5.5.3). Namespaces
 * other than ours have a /proc/sys of their own, where nobody forwards unless told.
 */
static void deaf_to_routers(struct kwork *w, const struct kjob *j)
{
	char path[80];
	int fd;

	if (j->row.netns)
		return;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", j->have.ifname);
	fd = w->sys->open(w->sys, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* no IPv6 here */
	(void)w->sys->write(w->sys, fd, "0", 1);
	w->sys->close(w->sys, fd);
}

/* What the interface is called, if the kernel named it, and its index. */
static int unit_name(struct kwork *w, struct kjob *j)
{
	int number, err;

	if (!j->have.ifname[0]) {
		err = w->sys->ioctl(w->sys, j->have.unit, PPPIOCGUNIT, &number);
		if (err < 0)
			return kjob_fail(j, KERNEL_STEP_UNIT, err, "");
		snprintf(j->have.ifname, sizeof(j->have.ifname), "ppp%d", number);
	}
	j->have.ifindex = nlm_link_index(kwork_rt(w, j->row.netns), j->have.ifname);
	if (!j->have.ifindex)
		return kjob_fail(j, KERNEL_STEP_UNIT, -ENODEV, j->have.ifname);
	if (j->row.flags & DP_F_CLIENT)
		deaf_to_routers(w, j);
	return 0;
}

/*
 * MPPE. The kernel arms each direction by itself when it sees the Configure-Ack that begins it pass
 * through the unit, provided that it looks at CCP (SC_CCP_OPEN) and was given options and key
 * before: kmppe_peek(). Once the owner says that CCP is open, nothing goes in clear any more.
 */
static int mppe_flags(struct kwork *w, struct kjob *j)
{
	int flags, err;

	if (!(j->row.flags & (DP_F_MPPE | DP_F_MPPE_KEYS)) &&
	    (j->first || !(j->old.flags & (DP_F_MPPE | DP_F_MPPE_KEYS))))
		return 0;
	err = w->sys->ioctl(w->sys, j->have.unit, PPPIOCGFLAGS, &flags);
	if (err < 0)
		return kjob_fail(j, KERNEL_STEP_MPPE, err, j->have.ifname);
	flags &= ~(SC_CCP_OPEN | SC_CCP_UP | SC_MUST_COMP);
	if (j->row.flags & (DP_F_MPPE | DP_F_MPPE_KEYS))
		flags |= SC_CCP_OPEN;
	if (j->row.flags & DP_F_MPPE)
		flags |= SC_CCP_UP | SC_MUST_COMP;
	err = w->sys->ioctl(w->sys, j->have.unit, PPPIOCSFLAGS, &flags);
	return err < 0 ? kjob_fail(j, KERNEL_STEP_MPPE, err, j->have.ifname) : 0;
}

/*
 * The kernel takes any Configure-Request, Terminate-Request or -Ack of CCP for the end of a
 * direction's encryption, whoever sent it and whatever is in it, and from then on sends in clear
 * (ppp_ccp_peek() in its ppp_generic.c). So families are shut before the owner even knows; once CCP
 * is open again its row opens them.
 */
void kmppe_seen(struct kernel *k, struct ksession *s, const uint8_t *frame, size_t len)
{
	struct rcur c = rcur_of(frame, len);
	uint16_t protocol = rcur_u16(&c);
	uint8_t code = rcur_u8(&c);
	struct npioctl np = { .protocol = PPP_IP, .mode = NPMODE_DROP };
	struct dp_row r;

	if (protocol != PPP_CCP || c.bad || (code != 1 && code != 5 && code != 6) ||
	    !krow_load(s, &r) || !(r.flags & DP_F_MPPE))
		return;
	k->sys->ioctl(k->sys, s->have.unit, PPPIOCSNPMODE, &np);
	np.protocol = PPP_IPV6;
	k->sys->ioctl(k->sys, s->have.unit, PPPIOCSNPMODE, &np);
	if (!s->shut_at.us)
		s->shut_at.us = k->now.us ? k->now.us : 1;
}

static int compress(struct kernel *k, const struct ksession *s, const uint8_t options[4],
		    const uint8_t key[16], bool transmit)
{
	uint8_t bytes[6 + 16] = { CI_MPPE, 6 };
	struct ppp_option_data data;

	memcpy(bytes + 2, options, 4);
	memcpy(bytes + 6, key, 16);
	memset(&data, 0, sizeof(data));
	data.ptr = bytes;
	data.length = sizeof(bytes);
	data.transmit = transmit;
	return k->sys->ioctl(k->sys, s->have.unit, PPPIOCSCOMPRESS, &data);
}

/* CCP (80fd), Configure-Request (1) or -Ack (2), with the MPPE option of six octets alone or among
 * others (RFC 1962 2, RFC 3078 2). Our Request names what we want to receive, our Ack what we are
 * going to send. */
int kmppe_peek(struct kernel *k, struct ksession *s, const uint8_t *frame, size_t len)
{
	struct rcur c = rcur_of(frame, len), options;
	uint16_t protocol = rcur_u16(&c);
	uint8_t code = rcur_u8(&c);
	struct dp_row r;
	uint16_t length;

	rcur_u8(&c);
	length = rcur_u16(&c);
	if (protocol != PPP_CCP || (code != 1 && code != 2) || length < 4 || c.bad)
		return 0;
	options = rcur_sub(&c, length - 4u);
	if (!krow_load(s, &r) || !(r.flags & (DP_F_MPPE | DP_F_MPPE_KEYS)))
		return 0;
	while (rcur_left(&options) >= 2) {
		uint8_t type = rcur_u8(&options), size = rcur_u8(&options);
		struct rcur value = rcur_sub(&options, size >= 2 ? size - 2u : 0);
		const uint8_t *bits = rcur_take(&value, 4);

		if (options.bad || size < 2)
			return 0;
		if (type == CI_MPPE && size == 6 && bits && (bits[3] & 0x60))
			return compress(k, s, bits, code == 1 ? r.mppe_recv_key : r.mppe_send_key,
					code == 2);
	}
	return 0;
}

/* The interface, complete but for its channel. */
static int unit_open(struct kwork *w, struct kjob *j)
{
	bool up = (j->row.flags & (DP_F_IP4 | DP_F_IP6)) != 0;
	int err;

	j->have.unit = dev_ppp_open(w, j);
	if (j->have.unit < 0)
		return j->have.unit;
	err = unit_make(w, j);
	if (!err)
		err = unit_name(w, j);
	if (!err)
		err = families(w, j, DP_F_IP4 | DP_F_IP6);
	if (!err)
		err = mppe_flags(w, j);
	if (err)
		return err;
	pthread_mutex_lock(&w->k->links);
	err = kroutes_put(w, j, NULL, &j->row, up);
	pthread_mutex_unlock(&w->k->links);
	return err;
}

/*
 * What waits for the RTNL comes first: while it does, frames queue on the pipe, whose socket has
 * room for hundreds. A channel keeps 32, so it is read as soon as it can be, and once more when it
 * has been connected.
 */
static int attach(struct kwork *w, struct kjob *j)
{
	int chan = -1, err, number = -1;

	if (kjob_cancelled(j))
		return -ECANCELED;
	err = unit_open(w, j);
	if (err)
		return err;
	err = w->sys->ioctl(w->sys, j->have.unit, PPPIOCGUNIT, &number);
	if (err < 0)
		return kjob_fail(j, KERNEL_STEP_UNIT, err, j->have.ifname);
	j->have.chan = dev_ppp_open(w, j);
	if (j->have.chan < 0)
		return j->have.chan;
	err = channel_number(w, j, j->key, j->have.pppox, &chan);
	if (err)
		return err;
	err = w->sys->ioctl(w->sys, j->have.chan, PPPIOCATTCHAN, &chan);
	if (err < 0)
		return kjob_fail(j, KERNEL_STEP_CHANNEL, err, "");
	drain(w, j, j->key, j->have.chan, false);
	err = w->sys->ioctl(w->sys, j->have.chan, PPPIOCCONNECT, &number);
	if (err < 0)
		return kjob_fail(j, KERNEL_STEP_ATTACH, err, j->have.ifname);
	drain(w, j, j->key, j->have.chan, false);
	j->have.stage = K_UNIT;
	return 0;
}

/* ---- two pipes joined ---- */

static int join(struct kwork *w, struct kjob *j)
{
	int ours = -1, theirs = -1, fd, err;

	if (kjob_cancelled(j))
		return -ECANCELED;
	err = channel_number(w, j, j->key, j->have.pppox, &ours);
	if (err)
		return err;
	/* From here on the partner is a pipe no more: if this fails, its end is told as well. */
	j->partner_have.stage = K_JOINED;
	err = channel_number(w, j, j->row.partner, j->partner_have.pppox, &theirs);
	if (err)
		return err;
	fd = dev_ppp_open(w, j);
	if (fd < 0)
		return fd;
	err = w->sys->ioctl(w->sys, fd, PPPIOCATTCHAN, &ours);
	if (err < 0)
		kjob_fail(j, KERNEL_STEP_CHANNEL, err, "");
	else {
		err = w->sys->ioctl(w->sys, fd, PPPIOCBRIDGECHAN, &theirs);
		if (err < 0)
			kjob_fail(j, KERNEL_STEP_JOIN, err, "");
		if (err == -ENOTTY || err == -EINVAL)
			j->result = KERNEL_CANNOT;
	}
	/* The pair lasts as long as both pipes do. */
	w->sys->close(w->sys, fd);
	if (err < 0)
		return err;
	j->have.stage = K_JOINED;
	return 0;
}

/* ---- changes of a session that is up ---- */

/* `pipe`: there is no interface yet, so all that is about it may differ. */
static bool same_session(const struct dp_row *a, const struct dp_row *b, bool pipe)
{
	return a->ends == b->ends && a->version == b->version && a->encap == b->encap &&
	       a->local_tunnel == b->local_tunnel && a->remote_tunnel == b->remote_tunnel &&
	       a->local_session == b->local_session && a->remote_session == b->remote_session &&
	       a->l2spec == b->l2spec && a->cookie_in_len == b->cookie_in_len &&
	       a->cookie_out_len == b->cookie_out_len &&
	       memcmp(a->cookie_in, b->cookie_in, sizeof(a->cookie_in)) == 0 &&
	       memcmp(a->cookie_out, b->cookie_out, sizeof(a->cookie_out)) == 0 &&
	       (pipe || (strcmp(a->ifname, b->ifname) == 0 && a->netns == b->netns &&
			 strcmp(a->master, b->master) == 0)) &&
	       a->partner == b->partner;
}

static int update(struct kwork *w, struct kjob *j)
{
	const uint16_t ip = DP_F_IP4 | DP_F_IP6, seq = DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ;
	bool up = (j->row.flags & ip) && !(j->old.flags & ip);
	int err = 0;

	if ((j->row.flags ^ j->old.flags) & seq)
		err = sequencing(w, &j->row, j->have.pppox);
	if (err < 0)
		return kjob_fail(j, KERNEL_STEP_PIPE, err, j->have.ifname);
	if (j->have.stage != K_UNIT)
		return 0;
	err = families(w, j, j->shut ? (uint16_t)(j->old.flags & ~ip) : j->old.flags);
	if (!err)
		err = mppe_flags(w, j);
	if (err)
		return err;
	if (j->row.mtu != j->old.mtu) {
		struct nlm *rt = kwork_rt(w, j->row.netns);

		err = nlm_link_set(rt, j->have.ifindex, j->row.mtu, -1, false);
		if (err) {
			kjob_fail(j, KERNEL_STEP_LINK, err, j->have.ifname);
			kjob_note(j, rt);
			return err;
		}
	}
	return kroutes_put(w, j, &j->old, &j->row, up);
}

/* ---- put and end ---- */

static void forget(const struct khave *was, struct kwork *w, struct kjob *j)
{
	struct khave mine = j->have;

	/* Only what this job opened; the rest is for the owner's thread to take out first. */
	if (mine.pppox == was->pppox)
		mine.pppox = -1;
	if (mine.chan == was->chan)
		mine.chan = -1;
	if (mine.unit == was->unit)
		mine.unit = -1;
	mine.session = mine.session && !was->session;
	mine.ifindex = 0;
	kppp_end(w, j, &mine, &j->row);
	j->have = *was;
}

int kppp_put(struct kwork *w, struct kjob *j)
{
	struct khave was = j->have;
	int err = 0;

	if (!j->first && !same_session(&j->row, &j->old, j->have.stage == K_PIPE)) {
		kjob_fail(j, KERNEL_STEP_SESSION, -EBUSY, "");
		return -EBUSY;
	}
	if (kwork_rt(w, j->row.netns) == NULL)
		return kjob_fail(j, KERNEL_STEP_LINK, -ESRCH, "");
	if (j->have.stage == K_NONE)
		err = pipe_open(w, j);
	else if (j->have.stage == K_UNIT || (j->row.flags != j->old.flags))
		err = update(w, j);
	if (!err && j->row.ends == DP_L2TP_L2TP && j->joining)
		err = join(w, j);
	else if (!err && j->row.ends == DP_L2TP_PPP && j->row.state == DP_ACTIVE &&
		 j->have.stage == K_PIPE)
		err = attach(w, j);
	if (!err && j->first && kjob_cancelled(j))
		err = -ECANCELED;
	if (err)
		forget(&was, w, j);
	return err;
}

static void last_counters(void *arg, const struct nlm_stats *s)
{
	const struct kstat st = { .ifindex = s->ifindex,
				  .rx_packets = s->rx_packets,
				  .rx_bytes = s->rx_bytes,
				  .tx_packets = s->tx_packets,
				  .tx_bytes = s->tx_bytes,
				  .rx_errors = s->rx_errors + s->rx_dropped,
				  .tx_errors = s->tx_errors + s->tx_dropped };

	kstat_add(arg, &st);
}

static void close_one(struct kwork *w, int *fd)
{
	if (*fd >= 0)
		w->sys->close(w->sys, *fd);
	*fd = -1;
}

void kppp_end(struct kwork *w, struct kjob *j, struct khave *h, const struct dp_row *r)
{
	struct nlm *rt = kwork_rt(w, r->netns);

	if (h->ifindex && rt)
		nlm_stats(rt, h->ifindex, last_counters, j);
	else if (h->stage == K_JOINED) {
		struct nlm_l2tp_info i;

		if (nlm_l2tp_session_get(&w->l2tp, r->local_tunnel, r->local_session, &i) == 0) {
			const struct kstat st = { .key = 1,
						  .read = true,
						  .rx_packets = i.rx_packets,
						  .rx_bytes = i.rx_bytes,
						  .tx_packets = i.tx_packets,
						  .tx_bytes = i.tx_bytes,
						  .rx_errors = i.rx_errors,
						  .tx_errors = i.tx_errors };

			kstat_add(j, &st);
		}
	}
	close_one(w, &h->unit);
	close_one(w, &h->chan);
	close_one(w, &h->pppox); /* takes a session that it made or was connected to with it */
	if (h->session)
		nlm_l2tp_session_delete(&w->l2tp, r->local_tunnel, r->local_session);
	*h = (struct khave){ .pppox = -1, .chan = -1, .unit = -1 };
}
