/* SPDX-License-Identifier: MIT
 *
 * Two sides with a pseudowire in every combination of what either can be told, in virtual time,
 * with the data planes whole (planes.h) and a fifth of the control messages lost.
 *
 *   plane A, plane B   user, kernel
 *   over               UDP, IP; of IPv4, of IPv6
 *   cookie A, B        0, 4, 8 octets, which each side asks the other to send
 *   proof              no secret; a secret and its digest HMAC-MD5, HMAC-SHA-1, none with a
 *                      challenge, HMAC-SHA-1 with hidden values
 *   secrets            one; in the first step of a change: A has begun to use the new one, and has
 *                      the old one, too, B has the old one alone (with a challenge, where A cannot
 *                      tell what B has: A uses the old one); in the second: both have both, and
 *                      each begins with another one (if there is a secret)
 *   numbers            no sublayer at all; a sublayer; sequencing asked for by A, by B, by both
 *   begins             A, B, both
 *
 * Each ends by A or by B in turns, since who ends does not depend on any of these. In each: what
 * was agreed is what was asked for, and the same on both sides; the messages are proved as they
 * should be; each side is in its plane; frames pass both ways, in datagrams that have the agreed
 * form, and none that is repeated, or has another cookie or no number where it needs one; either
 * side sees the other's circuit go down and come up; the end is told; and then nothing is left.
 *
 * Arguments: the planes of A and of B, "user" or "kernel" (each pair is a test of its own); and of
 * these the number of a combination, as a failure tells it, to try that alone.
 */
#include "test_pw.h"

#include <dirent.h>

#include "planes.h"

enum proof { NONE, MD5, SHA1, CHALLENGE, HIDDEN, PROOFS };
enum change { NO_CHANGE, FIRST_STEP, SECOND_STEP, CHANGES };
enum numbers { NO_SUBLAYER, SUBLAYER, BY_A, BY_B, BY_BOTH, NUMBERS };
enum begins { A_BEGINS, B_BEGINS, BOTH_BEGIN, BEGINS };

struct combination {
	unsigned int plane[2]; /* 0 user, 1 kernel */
	unsigned int ip, v6;
	unsigned int cookie[2]; /* times 4 octets */
	enum proof proof;
	enum change change;
	enum numbers numbers;
	enum begins begins;
};

static const char *const plane_names[] = { "user", "kernel" };
static struct planes *planes[2];

static const char *text_of(const struct combination *c)
{
	static const char *const proofs[] = { "no secret", "MD5", "SHA-1", "a challenge",
					      "hidden values" };
	static const char *const changes[] = { "", " that begins to change", " that changes" };
	static const char *const numbers[] = { "no sublayer", "a sublayer", "numbers by A",
					       "numbers by B", "numbers by both" };
	static const char *const begins[] = { "A begins", "B begins", "both begin" };
	static char text[256];

	snprintf(text, sizeof(text),
		 "%s and %s plane, %s/IPv%d, cookies of %u and %u, %s%s, %s, %s",
		 plane_names[c->plane[0]], plane_names[c->plane[1]], c->ip ? "IP" : "UDP",
		 c->v6 ? 6 : 4, 4 * c->cookie[0], 4 * c->cookie[1], proofs[c->proof],
		 changes[c->change], numbers[c->numbers], begins[c->begins]);
	return text;
}

/* The n-th combination; the planes are given. */
static bool combination_of(uint32_t n, struct combination *c)
{
	static const unsigned int sizes[] = { 2, 2, 3, 3, PROOFS, CHANGES, NUMBERS, BEGINS };
	unsigned int v[8];

	for (size_t i = 0; i < 8; i++) {
		v[i] = n % sizes[i];
		n /= sizes[i];
	}
	c->ip = v[0];
	c->v6 = v[1];
	c->cookie[0] = v[2];
	c->cookie[1] = v[3];
	c->proof = (enum proof)v[4];
	c->change = (enum change)v[5];
	c->numbers = (enum numbers)v[6];
	c->begins = (enum begins)v[7];
	return !n;
}

static bool makes_sense(const struct combination *c)
{
	return c->proof != NONE || c->change == NO_CHANGE;
}

static const char *conf_text(const struct combination *c, int side, char *buf, size_t cap)
{
	static const char *const peers[2][2] = { { "192.0.2.2", "192.0.2.1" },
						 { "2001:db8::2", "2001:db8::1" } };
	static const char *const proofs[] = { "", "digest = md5", "digest = sha1",
					      "digest = none challenge = yes", "hide = yes" };
	static const char *const secrets[CHANGES][2] = {
		{ "secret = a", "secret = a" },
		{ "secret = b old-secret = a", "secret = a" },
		{ "secret = b old-secret = a", "secret = a old-secret = b" },
	};
	const char *secret = c->proof == NONE ? "" : secrets[c->change][side];
	bool waits = c->begins == (side == 0 ? B_BEGINS : A_BEGINS);
	bool numbers = c->numbers == BY_BOTH || c->numbers == (side == 0 ? BY_A : BY_B);

	if (c->proof == CHALLENGE && c->change == FIRST_STEP && side == 0)
		secret = "secret = a old-secret = b";
	snprintf(buf, cap,
		 "tunnel \"t\" { remote = \"%s\" encapsulation = %s data-plane = %s %s %s "
		 "retries = 9 connect = %s }\n"
		 "pseudowire \"x\" { tunnel = t interface = wire%d cookie-length = %u %s }",
		 peers[c->v6][side], c->ip ? "ip" : "udp", plane_names[c->plane[side]], secret,
		 proofs[c->proof], waits ? "wait" : "auto", side, 4 * c->cookie[side],
		 c->numbers == NO_SUBLAYER ? "sublayer = none"
		 : numbers		   ? "sequencing = yes"
					   : "");
	return buf;
}

/* ---- what was agreed ---- */

static void check_row(const struct combination *c, struct world *w, int side)
{
	const struct dp_row *r = &w->side[side].rows[0].row;
	uint16_t both = DP_F_SEND_SEQ | DP_F_REQUIRE_SEQ;

	assert_int_equal(r->path.local.family, c->v6 ? AF_INET6 : AF_INET);
	assert_int_equal(r->path.remote.port, c->ip ? 0 : L2TP_PORT);
	assert_int_equal(r->encap, c->ip ? DP_ENCAP_IP : DP_ENCAP_UDP);
	assert_int_equal(r->cookie_in_len, 4 * c->cookie[side]);
	assert_int_equal(r->cookie_out_len, 4 * c->cookie[!side]);
	assert_int_equal(r->l2spec, c->numbers == NO_SUBLAYER ? DP_L2SPEC_NONE : DP_L2SPEC_DEFAULT);
	assert_int_equal(r->flags & both, c->numbers >= BY_A ? both : 0);
	assert_string_equal(planes_where(planes[side], w->side[side].rows[0].key),
			    plane_names[c->plane[side]]);
}

static void check_proof(const struct combination *c, struct world *w, int side)
{
	enum l2tp3_auth_mode digest = c->proof == MD5			       ? L2TP3_AUTH_MD5
				      : c->proof == SHA1 || c->proof == HIDDEN ? L2TP3_AUTH_SHA1
				      : c->proof == NONE && c->ip	       ? L2TP3_AUTH_MD5
									       : L2TP3_AUTH_NONE;
	bool each = c->proof != NONE && c->proof != CHALLENGE; /* message */
	struct pw_tunnel_info i;

	assert_int_equal(tunnels(&w->side[side]), 1);
	assert_true(pwe_tunnel(w->side[side].pw, pwe_tunnel_next(w->side[side].pw, 0), &i));
	assert_int_equal(i.l2tp.digest, digest);
	assert_int_equal(i.l2tp.authentic, each);
	if (!each)
		return;
	/* In the second step it is the first one of whoever has begun. */
	if (c->change == SECOND_STEP)
		assert_int_equal(i.l2tp.secret_used, i.l2tp.initiator ? 1 : 2);
	else
		assert_int_equal(i.l2tp.secret_used, c->change == FIRST_STEP && side == 0 ? 2 : 1);
}

/* ---- frames ---- */

#define DATAGRAM (PLANES_FRAME + 64)

/* The datagram has the form that was agreed. *ret_number is where its number stands, 0 = it has
 * none. */
static void check_datagram(const struct combination *c, const struct dp_row *r, const uint8_t *b,
			   size_t len, uint32_t ns, size_t *ret_number)
{
	struct rcur v = rcur_of(b, len);

	if (!c->ip)
		assert_int_equal(rcur_u32(&v), 3u << 16);
	assert_int_equal(rcur_u32(&v), r->remote_session);
	assert_memory_equal(rcur_take(&v, r->cookie_out_len), r->cookie_out, r->cookie_out_len);
	*ret_number = 0;
	if (c->numbers == NO_SUBLAYER)
		return;
	if (c->numbers >= BY_A)
		*ret_number = len - rcur_left(&v);
	assert_int_equal(rcur_u32(&v), c->numbers >= BY_A ? 0x40000000u | ns : 0);
}

static void pass(struct world *w, int to, const struct path *from, const uint8_t *b, size_t len)
{
	struct path path = { .via = w->side[to].via, .local = from->remote, .remote = from->local };

	planes_receive(planes[to], w->side[to].rows[0].key, &path, b, len);
}

/* What must not come out: with another cookie, without a number, a second time. */
static void pass_bad(const struct combination *c, struct world *w, int to, const struct path *path,
		     const uint8_t *good, size_t len, size_t number)
{
	uint8_t b[DATAGRAM];

	memcpy(b, good, len);
	b[c->ip ? 4 : 8] ^= 1;
	if (c->cookie[to])
		pass(w, to, path, b, len);
	memcpy(b, good, len);
	b[number] = 0;
	if (number)
		pass(w, to, path, b, len);
}

/* Three frames of a side, the last as short as can be, and the datagrams that must not pass. */
static void check_frames(const struct combination *c, struct world *w, int from)
{
	static const size_t lens[] = { PLANES_FRAME, 60, 14 };
	struct side_row *a = &w->side[from].rows[0], *b = &w->side[!from].rows[0];
	uint8_t frame[PLANES_FRAME], out[PLANES_FRAME], wire[DATAGRAM];
	struct path path;
	size_t number;

	for (uint32_t i = 0; i < 3; i++) {
		size_t len = lens[i], n;

		for (size_t k = 0; k < len; k++)
			frame[k] = (uint8_t)(k + i + (size_t)from * 100);
		n = planes_send(planes[from], a->key, a->row.ifname, frame, len, wire, &path);
		assert_true(addr_same_ip(&path.local, &w->side[from].addr));
		assert_true(addr_same_ip(&path.remote, &w->side[!from].addr));
		assert_int_equal(path.remote.port, c->ip ? 0 : L2TP_PORT);
		check_datagram(c, &a->row, wire, n, i, &number);
		pass_bad(c, w, !from, &path, wire, n, number);
		pass(w, !from, &path, wire, n);
		if (number)
			pass(w, !from, &path, wire, n); /* once more */
		/* They keep their order, so what should not have passed would come first. */
		n = planes_frame(planes[!from], b->key, b->row.ifname, out);
		assert_int_equal(n, len);
		assert_memory_equal(out, frame, len);
	}
}

/* ---- circuits ---- */

static bool far_up(struct world *w, int side)
{
	struct pw_wire_info i;

	assert_true(pwe_wire_find(w->side[side].pw, "x", &i));
	assert_int_equal(i.far_up, !(i.row.flags & DP_F_FAR_DOWN));
	return i.far_up;
}

static bool a_sees_up(struct world *w)
{
	return far_up(w, 0);
}

static bool b_sees_up(struct world *w)
{
	return far_up(w, 1);
}

static bool a_sees_down(struct world *w)
{
	return !far_up(w, 0);
}

static bool b_sees_down(struct world *w)
{
	return !far_up(w, 1);
}

static void check_circuit(struct world *w, int of)
{
	static bool (*const seen[2][2])(struct world *) = { { b_sees_down, b_sees_up },
							    { a_sees_down, a_sees_up } };

	for (int up = 0; up < 2; up++) {
		circuit(w, of, up);
		run_until(w, 300, seen[of][up]);
		assert_int_equal(planes_carrier(planes[!of], w->side[!of].rows[0].key), up);
	}
}

/* ---- the end ---- */

static bool none_anywhere(struct world *w)
{
	return !w->side[0].row_count && !w->side[1].row_count;
}

static bool ended_everywhere(struct world *w)
{
	return pwe_ended(w->side[0].pw) && pwe_ended(w->side[1].pw);
}

static void check_end(struct world *w, int by)
{
	struct pw_cmd cmd = { .kind = PW_CMD_SHUTDOWN };

	assert_int_equal(w->downs, 0);
	assert_int_equal(pwe_do(w->side[by].pw, w->now, &cmd), 0);
	run_until(w, 300, none_anywhere);
	assert_int_equal(w->side[!by].told, 1);
	assert_int_equal(w->side[by].told, 0);
	assert_int_equal(pwe_do(w->side[!by].pw, w->now, &cmd), 0);
	run_until(w, 300, ended_everywhere);
	for (int n = 0; n < 2; n++) {
		struct l2tp3_counters counters;

		assert_int_equal(tunnels(&w->side[n]), 0);
		assert_int_equal(w->side[n].record_count, 0);
		pwe_counters(w->side[n].pw, &counters);
		assert_int_equal(counters.sessions, 0);
		planes_empty(planes[n]);
	}
}

/* ---- all of them ---- */

static void try(const struct combination *c, uint32_t seed)
{
	static const struct side_plane ops = { planes_put, planes_del, planes_tunnel,
					       planes_tunnel_del, NULL };
	struct side_plane plane[2];
	char a[512], b[512];
	struct world w;

	world_open(&w, conf_text(c, 0, a, sizeof(a)), conf_text(c, 1, b, sizeof(b)));
	w.seed = seed + 1;
	w.loss = 20;
	for (int n = 0; n < 2; n++) {
		plane[n] = ops;
		plane[n].arg = planes[n];
		w.side[n].plane = plane + n;
		planes_conf(planes[n], w.side[n].conf, &w.side[n].addr);
	}
	run_until(&w, 600, up_everywhere);
	check_rows(&w);
	for (int n = 0; n < 2; n++) {
		check_row(c, &w, n);
		check_proof(c, &w, n);
	}
	check_frames(c, &w, 0);
	check_frames(c, &w, 1);
	check_circuit(&w, 0);
	check_circuit(&w, 1);
	check_end(&w, (int)(seed % 2));
	for (int n = 0; n < 2; n++)
		planes_conf(planes[n], NULL, NULL);
	world_close(&w);
}

static unsigned int descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* At work, to be told when it fails. */
static struct combination now;
static uint32_t number;
static bool working;

static int tell(void **state)
{
	if (working)
		print_error("this was number %u: %s\n", number, text_of(&now));
	return 0;
}

static uint32_t only = UINT32_MAX; /* this one alone */

static void every_combination(void **state)
{
	unsigned int before = descriptors(), tried = 0;

	for (int n = 0; n < 2; n++)
		planes[n] = planes_new();
	working = true;
	for (number = 0; combination_of(number, &now); number++) {
		if (!makes_sense(&now) || (only != UINT32_MAX && only != number))
			continue;
		try(&now, number);
		tried++;
	}
	working = false;
	for (int n = 0; n < 2; n++)
		planes_free(planes[n]);
	assert_int_equal(descriptors(), before);
	print_message("# %u combinations\n", tried);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_combination, tell),
	};

	for (int i = 1; i < argc && i <= 2; i++)
		now.plane[i - 1] = strcmp(argv[i], "kernel") == 0;
	if (argc > 3)
		only = (uint32_t)strtoul(argv[3], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
