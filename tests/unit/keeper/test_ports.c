/* SPDX-License-Identifier: MIT
 *
 * Interfaces of pseudowires in their bridges, over links played by the test: what is put back and
 * what is left, what is said of it and how often; many at once, questions that fail, news that are
 * lost or damaged.
 */
#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "dp/nl.h"
#include "failmalloc.h"
#include "keeper/ports.h"

#define MANY 40

/* ---- the kernel ---- */

struct fake_link {
	char name[DP_IFNAME], master[DP_IFNAME];
	int index;
	bool up, ours;
	unsigned int put, vlans; /* into its bridge, and the VLANs given, by us */
};

static struct world {
	struct ports *p;
	struct conf *c;
	struct mono now;
	struct fake_link links[MANY + 8];
	int next_index;
	int open_error, find_error, put_error, vlans_error;
	unsigned int asked, asked_of[MANY]; /* x0, x1, ... */
	uint8_t news[128][256];
	size_t news_len[128], head, tail;
	bool lost;
	char said[8192]; /* all lines */
	char told[512];	 /* to who asked for the last configuration */
} w;

static struct fake_link *link_of(const char *name)
{
	for (size_t i = 0; i < MANY + 8; i++)
		if (w.links[i].index && strcmp(w.links[i].name, name) == 0)
			return w.links + i;
	return NULL;
}

/* The first octets of a message are enough: `family` is that of the bridge for its own. */
static void news_of(const char *name, uint16_t type, uint8_t family)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(w.news[w.tail % 128]);
	struct ifinfomsg *ifi;

	assert_true(w.tail - w.head < 128);
	memset(w.news[w.tail % 128], 0, sizeof(w.news[0]));
	h = mnl_nlmsg_put_header(h);
	h->nlmsg_type = type;
	ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_family = family;
	mnl_attr_put_u32(h, IFLA_MTU, 1400);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	if (link_of(name) && link_of(name)->master[0] && link_of(link_of(name)->master))
		mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)link_of(link_of(name)->master)->index);
	w.news_len[w.tail++ % 128] = h->nlmsg_len;
}

/* In place of the one of libc: the socket has what the test says. */
ssize_t recv(int fd, void *buf, size_t cap, int flags)
{
	size_t n;

	(void)fd, (void)flags;
	errno = w.lost ? ENOBUFS : EAGAIN;
	if (w.lost || w.head == w.tail) {
		w.lost = false;
		return -1;
	}
	n = w.news_len[w.head % 128];
	assert_true(n <= cap);
	memcpy(buf, w.news[w.head++ % 128], n);
	return (ssize_t)n;
}

int nlm_open(struct nlm *m)
{
	m->fd = w.open_error ? -1 : 0;
	return w.open_error;
}

void nlm_close(struct nlm *m)
{
	m->fd = -1;
}

int nlm_link_index(struct nlm *m, const char *ifname)
{
	const struct fake_link *l = link_of(ifname);

	(void)m;
	return l ? l->index : 0;
}

int nlm_link_find(struct nlm *m, const char *ifname, struct nlm_link *ret)
{
	const struct fake_link *l = link_of(ifname);

	w.asked++;
	if (ifname[0] == 'x' && ifname[1] && strtoul(ifname + 1, NULL, 10) < MANY)
		w.asked_of[strtoul(ifname + 1, NULL, 10)]++;
	memset(ret, 0, sizeof(*ret));
	if (w.find_error)
		return w.find_error;
	if (!l)
		return -ENODEV;
	*ret = (struct nlm_link){ .ifindex = l->index,
				  .up = l->up,
				  .master = l->master[0] ? nlm_link_index(m, l->master) : 0,
				  .group = l->ours ? 1 : 0 };
	return 0;
}

int net_link_up(struct net *n, int ifindex, uint32_t mtu, const char *master,
		const struct dp_row *wire, const char **ret_text)
{
	assert_int_equal(mtu, 0);
	assert_string_equal(master, wire->master);
	*ret_text = "the kernel says no";
	(void)n;
	for (size_t i = 0; i < MANY + 8 && !w.put_error; i++) {
		if (w.links[i].index != ifindex)
			continue;
		assert_string_equal(w.links[i].name, wire->ifname);
		snprintf(w.links[i].master, DP_IFNAME, "%s", master);
		w.links[i].put++;
		w.links[i].up = true;
		news_of(w.links[i].name, RTM_NEWLINK, AF_UNSPEC);
	}
	return w.put_error;
}

int net_port_vlans(struct net *n, int ifindex, const struct dp_row *wire, const char **ret_text)
{
	*ret_text = "the kernel says no";
	(void)n;
	for (size_t i = 0; i < MANY + 8; i++) {
		struct fake_link *l = w.links + i;

		if (l->index != ifindex)
			continue;
		assert_string_equal(l->master, wire->master);
		l->vlans++;
		if (w.vlans_error) {
			l->master[0] = '\0';
			news_of(l->name, RTM_NEWLINK, AF_UNSPEC);
		}
	}
	return w.vlans_error;
}

static struct fake_link *link_add(const char *name, const char *master, bool ours)
{
	for (size_t i = 0; i < MANY + 8; i++) {
		struct fake_link *l = w.links + i;

		if (l->index)
			continue;
		*l = (struct fake_link){ .index = ++w.next_index, .up = true, .ours = ours };
		snprintf(l->name, DP_IFNAME, "%s", name);
		snprintf(l->master, DP_IFNAME, "%s", master);
		news_of(name, RTM_NEWLINK, AF_UNSPEC);
		return l;
	}
	fail();
	return NULL;
}

static void link_move(const char *name, const char *master)
{
	snprintf(link_of(name)->master, DP_IFNAME, "%s", master);
	news_of(name, RTM_NEWLINK, AF_UNSPEC);
}

/* What is in it is told of before. */
static void bridge_del(const char *name)
{
	link_of(name)->index = 0;
	for (size_t i = 0; i < MANY + 8; i++)
		if (w.links[i].index && strcmp(w.links[i].master, name) == 0)
			link_move(w.links[i].name, "");
	news_of(name, RTM_DELLINK, AF_UNSPEC);
}

/* ---- the keeper ---- */

static bool own(void *arg, const struct nlm_link *l)
{
	(void)arg;
	return l->group == 1;
}

static void on_say(void *arg, enum trace_level level, const char *text)
{
	size_t n = strlen(w.said);

	(void)arg;
	snprintf(w.said + n, sizeof(w.said) - n, "%c %s\n", level == TRACE_WARNING ? 'W' : 'n',
		 text);
}

/* All that was said since the last time, exactly. */
static void said(const char *lines)
{
	assert_string_equal(w.said, lines);
	w.said[0] = '\0';
}

static void conf_now(const char *text)
{
	struct conf *was = w.c;
	char err[CONF_ERR_MAX] = "";

	w.c = conf_parse(text, "t", CONF_NO_FILES, err, sizeof(err));
	assert_string_equal(err, "");
	snprintf(w.told, sizeof(w.told), "%s", ports_conf(w.p, w.c, w.now));
	conf_free(was);
}

/* The news are read, and what has changed is looked at when that is due. */
static void settle(void)
{
	for (int i = 0; i < 20; i++) {
		if (ports_fd(w.p) >= 0)
			ports_read(w.p, w.now);
		if (ports_deadline(w.p).us == MONO_NEVER.us)
			return;
		w.now = mono_add(w.now, US_S);
		ports_expire(w.p, w.now);
	}
	fail_msg("there is no end of it");
}

#define IDS                                                                               \
	"local = 192.0.2.1 remote = 192.0.2.2 local-port = 5001 remote-port = 5000 "      \
	"tunnel-id = 1 peer-tunnel-id = 1 session-id = 1 peer-session-id = 1 mtu = 1400 " \
	"interface = x bridge = br0 "
#define PLAIN "pseudowire w { " IDS "}"
#define VLANS "pseudowire w { " IDS "vlan = 7 tagged-vlans = {20, 30-32} }"

static int begin(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.now.us = US_S;
	w.p = ports_new(NULL, own, on_say, NULL);
	assert_non_null(w.p);
	return 0;
}

static int end(void **state)
{
	(void)state;
	ports_free(w.p);
	conf_free(w.c);
	return 0;
}

/* An interface in its bridge, which the keeper has seen there. */
static struct fake_link *seen(const char *conf)
{
	struct fake_link *l;

	link_add("br0", "", false);
	l = link_add("x", "br0", true);
	conf_now(conf);
	settle();
	said("");
	return l;
}

static void a_bridge_comes_back(void **state)
{
	struct fake_link *l = seen(PLAIN);

	for (unsigned int i = 1; i <= 3; i++) {
		bridge_del("br0");
		settle();
		said("W pseudowire \"w\": x carries nothing, there is no bridge br0 any more; make "
		     "it again, then the interface is put into it\n");
		news_of("x", RTM_NEWLINK, AF_UNSPEC); /* said once */
		settle();
		conf_now(PLAIN); /* over a reload, too */
		settle();
		said("");
		link_add("br0", "", false);
		settle();
		said("n pseudowire \"w\": x is put into bridge br0 again\n");
		assert_int_equal(l->put, i);
	}
	/* so fast that nobody sees it go: the interface was not taken out of the new one */
	bridge_del("br0");
	link_add("br0", "", false);
	settle();
	said("n pseudowire \"w\": x is put into bridge br0 again\n");
	/* or others have put it there meanwhile */
	bridge_del("br0");
	settle();
	w.said[0] = '\0';
	link_add("br0", "", false);
	link_move("x", "br0");
	settle();
	said("n pseudowire \"w\": x is in bridge br0 again\n");
	assert_int_equal(l->put, 4);
	(void)state;
}

/* Who takes it out means it, until the next reload; who moves it, for good. */
static void what_others_do_stays(void **state)
{
	struct fake_link *l = seen(PLAIN);

	(void)state;
	link_move("x", "");
	settle();
	said("W pseudowire \"w\": x was taken out of bridge br0 by another program; `adit reload` "
	     "puts it back\n");
	news_of("br0", RTM_NEWLINK, AF_UNSPEC);
	settle();
	said("");
	assert_int_equal(l->put, 0);
	conf_now(PLAIN);
	assert_string_equal(w.told, "pseudowire \"w\": x is put into bridge br0 again\n");
	settle();
	said("n pseudowire \"w\": x is put into bridge br0 again\n");
	assert_int_equal(l->put, 1);
	conf_now(PLAIN);
	assert_string_equal(w.told, "");
	link_move("x", ""); /* so short before that nobody has looked */
	conf_now(PLAIN);
	assert_string_equal(w.told, "pseudowire \"w\": x is put into bridge br0 again\n");
	settle();
	w.said[0] = '\0';
	assert_int_equal(l->put, 2);
	link_add("br1", "", false);
	link_move("x", "br1");
	settle();
	said("W pseudowire \"w\": x was put into another bridge and stays there; the configuration "
	     "wants br0\n");
	conf_now(PLAIN);
	bridge_del("br0");
	settle();
	link_add("br0", "", false);
	settle();
	said("");
	assert_string_equal(l->master, "br1");
	/* others put it back, which is taken note of */
	link_move("x", "br0");
	settle();
	said("n pseudowire \"w\": x is in bridge br0 again\n");
	assert_int_equal(l->put, 2);
}

/* One of that name that no keeper has made; one that is not up: it is being made, or out of use. */
static void what_is_not_ours_or_not_ready(void **state)
{
	struct fake_link *l = seen(PLAIN);

	(void)state;
	l->index = 0;
	news_of("x", RTM_DELLINK, AF_UNSPEC);
	settle();
	l = link_add("x", "", false);
	conf_now(PLAIN);
	settle();
	said("");
	l->ours = true;
	l->up = false;
	conf_now(PLAIN);
	settle();
	said("");
	assert_int_equal(l->put, 0);
	l->up = true;
	news_of("x", RTM_NEWLINK, AF_UNSPEC);
	settle();
	said("n pseudowire \"w\": x is put into bridge br0 again\n");
	/* gone, and made again by a keeper, which puts it there itself */
	l->index = 0;
	news_of("x", RTM_DELLINK, AF_UNSPEC);
	settle();
	l = link_add("x", "", true);
	l->up = false;
	settle();
	link_move("x", "br0");
	l->up = true;
	settle();
	said("");
	assert_int_equal(l->put, 0);
}

/* Others put it into a bridge that is made anew, and know nothing of its VLANs. */
static void vlans_in_a_new_bridge(void **state)
{
	struct fake_link *l = seen(VLANS);

	(void)state;
	news_of("x", RTM_NEWLINK, AF_UNSPEC);
	settle();
	assert_int_equal(l->put, 0); /* the bridge is the same */
	bridge_del("br0");
	settle();
	link_add("br0", "", false);
	link_move("x", "br0");
	w.said[0] = '\0';
	settle();
	said("n pseudowire \"w\": x is given its VLANs in bridge br0 again\n");
	assert_int_equal(l->vlans, 1);
	settle();
	assert_int_equal(l->vlans, 1);
	assert_int_equal(l->put, 0);
}

/* The VLANs of a port go as it leaves its bridge, though it is the same one that it comes back to.
 */
static void vlans_in_the_same_bridge(void **state)
{
	struct fake_link *l = seen(VLANS);

	(void)state;
	link_move("x", ""); /* so fast that nobody sees it out of it */
	link_move("x", "br0");
	settle();
	said("n pseudowire \"w\": x is given its VLANs in bridge br0 again\n");
	assert_int_equal(l->vlans, 1);
	link_move("x", "");
	settle();
	w.said[0] = '\0';
	link_move("x", "br0");
	settle();
	said("n pseudowire \"w\": x is given its VLANs in bridge br0 again\n");
	assert_int_equal(l->vlans, 2);
	link_add("br1", "", false);
	link_move("x", "br1");
	settle();
	w.said[0] = '\0';
	link_move("x", "br0");
	l->up = false; /* and stays down */
	settle();
	assert_int_equal(l->vlans, 3);
	assert_false(l->up);
	w.lost = true; /* it may have left meanwhile */
	settle();
	assert_int_equal(l->vlans, 4);
	w.said[0] = '\0';
	w.vlans_error = -EINVAL; /* then rather in no bridge */
	link_move("x", "");
	link_move("x", "br0");
	settle();
	assert_int_equal(l->vlans, 5);
	assert_string_equal(l->master, "");
	said("W pseudowire \"w\": x is taken out, as it cannot have its VLANs, of bridge br0: the "
	     "kernel says no; correct that, then run `adit reload`\n");
	settle();
	said("");
	/* put back by us: that is no reason to do it again */
	w.vlans_error = 0;
	l->up = true;
	conf_now(VLANS);
	settle();
	settle();
	assert_int_equal(l->put, 1);
	assert_int_equal(l->vlans, 5);
}

/* Ours for as long as it is there, whatever group others put it into. */
static void another_group(void **state)
{
	struct fake_link *l = seen(PLAIN);

	(void)state;
	l->ours = false;
	bridge_del("br0");
	settle();
	w.said[0] = '\0';
	link_add("br0", "", false);
	settle();
	said("n pseudowire \"w\": x is put into bridge br0 again\n");
	/* of another keeper, that has made it anew */
	l->index = 0;
	news_of("x", RTM_DELLINK, AF_UNSPEC);
	link_add("x", "", false);
	conf_now(PLAIN);
	settle();
	said("");
}

static void a_bridge_that_refuses(void **state)
{
	struct fake_link *l = seen(PLAIN);

	(void)state;
	bridge_del("br0");
	settle();
	w.said[0] = '\0';
	w.put_error = -ELOOP;
	link_add("br0", "", false);
	settle();
	said("W pseudowire \"w\": x cannot be put into bridge br0: the kernel says no; correct "
	     "that, "
	     "then run `adit reload`\n");
	news_of("x", RTM_NEWLINK, AF_UNSPEC); /* not again and again */
	settle();
	said("");
	conf_now(PLAIN);
	assert_string_equal(w.told, "pseudowire \"w\": x cannot be put into bridge br0: the kernel "
				    "says no; correct that, then run `adit reload`\n");
	w.said[0] = '\0';
	w.put_error = 0;
	conf_now(PLAIN);
	settle();
	said("n pseudowire \"w\": x is put into bridge br0 again\n");
	assert_int_equal(l->put, 1);
}

/* A question that fails says nothing; news that were lost may have been of any. */
static void questions_and_news_that_fail(void **state)
{
	struct fake_link *l = seen(PLAIN);

	(void)state;
	link_move("x", "");
	w.find_error = -ENOBUFS;
	ports_read(w.p, w.now);
	for (int i = 0; i < 5; i++) {
		assert_true(ports_deadline(w.p).us != MONO_NEVER.us);
		w.now = mono_add(w.now, US_S);
		ports_expire(w.p, w.now);
	}
	said("");
	w.find_error = 0;
	settle();
	said("W pseudowire \"w\": x was taken out of bridge br0 by another program; `adit reload` "
	     "puts it back\n");
	/* the bridge goes, and nobody hears it */
	bridge_del("br0");
	w.head = w.tail;
	settle();
	said("");
	w.lost = true;
	settle();
	said("W pseudowire \"w\": x carries nothing, there is no bridge br0 any more; make it "
	     "again, "
	     "then the interface is put into it\n");
	assert_int_equal(l->put, 0);
}

/* Of others, of the bridge as such, cut short. */
static void news_that_mean_nothing(void **state)
{
	seen(PLAIN);
	(void)state;
	w.asked = 0;
	news_of("eth0", RTM_NEWLINK, AF_UNSPEC);
	news_of("x", RTM_NEWLINK, AF_BRIDGE);
	news_of("x", RTM_NEWADDR, AF_UNSPEC);
	news_of("x-and-a-name-longer-than-any", RTM_NEWLINK, AF_UNSPEC);
	ports_read(w.p, w.now);
	for (size_t cut = 0; cut < 44; cut++) { /* all before the name */
		struct nlmsghdr *h = (struct nlmsghdr *)(void *)w.news[w.tail % 128];

		news_of("x", RTM_NEWLINK, AF_UNSPEC);
		if (cut >= sizeof(*h))
			h->nlmsg_len = (uint32_t)cut;
		w.news_len[(w.tail - 1) % 128] = cut ? cut : 1;
		ports_read(w.p, w.now);
	}
	assert_int_equal(ports_deadline(w.p).us, MONO_NEVER.us);
	assert_int_equal(w.asked, 0);
}

static const char *many(void)
{
	static char text[MANY * 320];
	size_t len = 0;

	for (int i = 0; i < MANY; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len,
			"pseudowire w%d { local = 192.0.2.1 remote = 192.0.2.2 local-port = %d "
			"remote-port = 5000 tunnel-id = %d peer-tunnel-id = 1 session-id = %d "
			"peer-session-id = 1 mtu = 1400 interface = x%d bridge = br0 }\n",
			i, 5001 + i, 1 + i, 1 + i, i);
	return text;
}

/* Few are asked for in one turn, since each waits for the kernel's lock; in the end all are. */
static void many_at_once(void **state)
{
	unsigned int turns = 0;

	(void)state;
	link_add("br0", "", false);
	for (int i = 0; i < MANY; i++) {
		char name[DP_IFNAME];

		snprintf(name, sizeof(name), "x%d", i);
		link_add(name, "", true);
	}
	conf_now(many());
	for (w.now = mono_add(w.now, US_S); mono_due(ports_deadline(w.p), w.now); turns++) {
		unsigned int before = w.asked;

		ports_expire(w.p, w.now);
		assert_in_range(w.asked - before, 1, 16);
	}
	assert_int_equal(turns, 5); /* each once more, as the kernel tells what was done */
	assert_int_equal(w.asked, 2 * MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(w.links[i + 1].put, 1);
	/* as much is told of many as there is room for */
	settle();
	for (int i = 0; i < MANY; i++)
		link_move(w.links[i + 1].name, "");
	settle();
	w.asked = 0;
	conf_now(many());
	assert_int_equal(w.asked, 16);
	assert_non_null(strstr(w.told,
			       "\npseudowire \"w8\": x8 is put into bridge br0 again\nand 7 "
			       "more, see the log\n"));
	settle();
	for (int i = 0; i < MANY; i++)
		assert_int_equal(w.links[i + 1].put, 2);
}

/* A kernel that does not answer is left alone for a while, and all have their turn nevertheless. */
static void many_unanswered(void **state)
{
	(void)state;
	link_add("br0", "", false);
	w.find_error = -ENOBUFS;
	conf_now(many());
	for (unsigned int i = 0; i < 2 * MANY; i++) {
		unsigned int before = w.asked;

		w.now = mono_add(w.now, US_S);
		ports_expire(w.p, w.now);
		assert_int_equal(w.asked, before + 1);
		assert_true(ports_deadline(w.p).us > w.now.us);
	}
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(w.asked_of[i], 2);
}

/* A control connection's pseudowire is one like any; without bridges nobody listens. */
static void listens_while_there_are_bridges(void **state)
{
	struct fake_link *l;

	(void)state;
	conf_now("pseudowire w { remote = 192.0.2.2 secret = wonderland }");
	assert_int_equal(ports_fd(w.p), -1);
	assert_int_equal(ports_deadline(w.p).us, MONO_NEVER.us);
	link_add("br0", "", false);
	l = link_add("w", "", true);
	conf_now("pseudowire w { remote = 192.0.2.2 secret = wonderland bridge = br0 }");
	assert_true(ports_fd(w.p) >= 0);
	settle();
	assert_int_equal(l->put, 1);
	conf_now("");
	assert_int_equal(ports_fd(w.p), -1);
	w.said[0] = '\0';
	w.open_error = -EMFILE;
	conf_now(PLAIN);
	assert_int_equal(ports_fd(w.p), -1);
	said("W the bridges of pseudowires are not watched: Too many open files; after a change to "
	     "one run `adit disconnect` and `adit connect`\n");
	w.open_error = 0;
	conf_now(PLAIN); /* it works by now */
	assert_true(ports_fd(w.p) >= 0);
	said("");
}

static void out_of_memory(void **state)
{
	long n = 1;

	(void)state;
	seen(PLAIN);
	for (;; n++) {
		failmalloc_arm(n);
		ports_conf(w.p, w.c, w.now);
		if (!failmalloc_disarm())
			break;
		assert_non_null(strstr(w.said, "are not watched: Cannot allocate memory"));
		w.said[0] = '\0';
		news_of("x", RTM_NEWLINK, AF_UNSPEC);
		settle();
		said("");
	}
	assert_true(n > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_bridge_comes_back, begin, end),
		cmocka_unit_test_setup_teardown(what_others_do_stays, begin, end),
		cmocka_unit_test_setup_teardown(what_is_not_ours_or_not_ready, begin, end),
		cmocka_unit_test_setup_teardown(vlans_in_a_new_bridge, begin, end),
		cmocka_unit_test_setup_teardown(vlans_in_the_same_bridge, begin, end),
		cmocka_unit_test_setup_teardown(another_group, begin, end),
		cmocka_unit_test_setup_teardown(a_bridge_that_refuses, begin, end),
		cmocka_unit_test_setup_teardown(questions_and_news_that_fail, begin, end),
		cmocka_unit_test_setup_teardown(news_that_mean_nothing, begin, end),
		cmocka_unit_test_setup_teardown(many_at_once, begin, end),
		cmocka_unit_test_setup_teardown(many_unanswered, begin, end),
		cmocka_unit_test_setup_teardown(listens_while_there_are_bridges, begin, end),
		cmocka_unit_test_setup_teardown(out_of_memory, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
