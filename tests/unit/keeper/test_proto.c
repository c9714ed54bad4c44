/* SPDX-License-Identifier: MIT
 *
 * Datagrams between aditd and the keeper: what is written is read again, and what is not of this
 * protocol in any point is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "base/wire.h"
#include "keeper/proto.h"

#define BIT(tag) (1u << KEEPER_T_##tag)

static size_t save(const struct keeper_msg *m, uint8_t *buf, size_t cap)
{
	struct wcur c = wcur_of(buf, cap);

	keeper_msg_save(&c, m);
	return c.bad ? 0 : c.len;
}

/* A message with everything in it. */
static void fill(struct keeper_msg *m)
{
	memset(m, 0, sizeof(*m));
	m->id = 77;
	m->type = KEEPER_REPLY;
	m->have = ((1u << (KEEPER_T_SIZE + 1)) - 1) & ~1u;
	m->error = 1;
	m->via = 2;
	m->mtu = 3;
	m->table = 4;
	m->metric = 5;
	m->add = 1;
	m->port = 7;
	m->status = 8;
	m->starts = 9;
	m->incarnation = UINT32_MAX;
	m->since = UINT64_MAX - 1;
	strcpy(m->text, "a text");
	memset(m->name, 'n', sizeof(m->name) - 1);
	strcpy(m->host, "lns.example.net");
	strcpy(m->program, "/bin/true");
	assert_int_equal(prefix_parse("2001:db8::/32", &m->prefix), 0);
	assert_int_equal(addr_parse("192.0.2.1:1701", &m->addrs[0]), 0);
	assert_int_equal(addr_parse("fe80::1%7", &m->addrs[1]), 0);
	m->addr_count = 2;
	m->sizes[0] = 1;
	m->sizes[1] = UINT64_MAX;
	m->size_count = 2;
	m->envs[0] = (struct keeper_env){ "A=", 2 };
	m->envs[1] = (struct keeper_env){ "ADIT_X=y=z", 10 };
	m->env_count = 2;
}

static void test_there_and_back(void **state)
{
	struct keeper_msg m, r;
	uint8_t buf[KEEPER_MAX];
	size_t len;

	fill(&m);
	len = save(&m, buf, sizeof(buf));
	assert_true(len > 0);
	assert_int_equal(keeper_msg_load(buf, len, &r), 0);
	for (int i = 0; i < 2; i++) { /* texts point elsewhere */
		assert_int_equal(r.envs[i].len, m.envs[i].len);
		assert_memory_equal(r.envs[i].text, m.envs[i].text, m.envs[i].len);
		r.envs[i] = m.envs[i];
	}
	assert_memory_equal(&r, &m, sizeof(m));
	/* Each cut makes it bad, but for cuts between two values. */
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);
		int rc;

		memcpy(exact, buf, cut);
		rc = keeper_msg_load(exact, cut, &r);
		assert_true(rc == 0 || rc == -EBADMSG);
		assert_true(rc || (cut >= 12 && r.have != m.have) || r.env_count < 2 ||
			    r.size_count < 2);
		free(exact);
	}
	assert_int_equal(save(&m, buf, 20), 0);
}

struct raw {
	uint8_t buf[KEEPER_MAX];
	struct wcur c;
};

static struct raw *raw(void)
{
	static struct raw r;

	r.c = wcur_of(r.buf, sizeof(r.buf));
	wcur_u32(&r.c, KEEPER_MAGIC);
	wcur_u32(&r.c, 5);
	wcur_u16(&r.c, KEEPER_TUN);
	wcur_u16(&r.c, 0);
	return &r;
}

static int load(const struct raw *r, struct keeper_msg *ret)
{
	assert_false(r->c.bad);
	return keeper_msg_load(r->buf, r->c.len, ret);
}

static void value(struct raw *r, uint16_t tag, const void *bytes, size_t n)
{
	wcur_tlv_bytes(&r->c, tag, bytes, n);
}

static void bad(struct raw *r)
{
	struct keeper_msg m;

	assert_int_equal(load(r, &m), -EBADMSG);
	assert_int_equal(m.id, 5);
}

static void test_refused(void **state)
{
	struct keeper_msg m;
	uint8_t long_text[KEEPER_MAX] = { 0 }, addr[25] = { 0, 4, 0, 0, 0, 0, 0, 0, 10 };
	struct raw *r = raw();

	assert_int_equal(load(r, &m), 0);
	r->buf[0] ^= 1;
	assert_int_equal(load(r, &m), -EBADMSG);
	assert_int_equal(m.id, 0);
	r = raw();
	r->buf[11] = 1;
	bad(r);
	memset(long_text, 'x', sizeof(long_text));
	/* Lengths of numbers. */
	for (size_t n = 0; n < 10; n++) {
		r = raw();
		value(r, KEEPER_T_MTU, long_text, n);
		if (n == 4)
			assert_int_equal(load(r, &m), 0);
		else
			bad(r);
		r = raw();
		value(r, KEEPER_T_SINCE, long_text, n);
		if (n == 8)
			assert_int_equal(load(r, &m), 0);
		else
			bad(r);
	}
	/* Texts: as long as they may be, one more, a NUL inside. */
	r = raw();
	value(r, KEEPER_T_NAME, long_text, KEEPER_NAME_MAX - 1);
	assert_int_equal(load(r, &m), 0);
	assert_int_equal(strlen(m.name), KEEPER_NAME_MAX - 1);
	r = raw();
	value(r, KEEPER_T_NAME, long_text, KEEPER_NAME_MAX);
	bad(r);
	r = raw();
	value(r, KEEPER_T_NAME, "a\0b", 3);
	bad(r);
	r = raw();
	value(r, KEEPER_T_NAME, "", 0);
	assert_int_equal(load(r, &m), 0);
	assert_true(KEEPER_HAS(&m, KEEPER_T_NAME));
	/* Twice. */
	r = raw();
	value(r, KEEPER_T_NAME, "a", 1);
	value(r, KEEPER_T_NAME, "a", 1);
	bad(r);
	/* Addresses and prefixes. */
	r = raw();
	value(r, KEEPER_T_ADDR, addr, 24);
	assert_int_equal(load(r, &m), 0);
	r = raw();
	value(r, KEEPER_T_ADDR, addr, 23);
	bad(r);
	r = raw();
	value(r, KEEPER_T_ADDR, addr, 25);
	bad(r);
	addr[1] = 0;
	r = raw();
	value(r, KEEPER_T_ADDR, addr, 24);
	bad(r);
	addr[1] = 5;
	r = raw();
	value(r, KEEPER_T_ADDR, addr, 24);
	bad(r);
	addr[1] = 4;
	for (unsigned int len = 0; len < 256; len++) {
		addr[24] = (uint8_t)len;
		addr[1] = 4;
		r = raw();
		value(r, KEEPER_T_PREFIX, addr, 25);
		assert_int_equal(load(r, &m), len <= 32 ? 0 : -EBADMSG);
		addr[1] = 6;
		r = raw();
		value(r, KEEPER_T_PREFIX, addr, 25);
		assert_int_equal(load(r, &m), len <= 128 ? 0 : -EBADMSG);
	}
	addr[3] = 9; /* a prefix has no port */
	addr[24] = 1;
	r = raw();
	value(r, KEEPER_T_PREFIX, addr, 25);
	bad(r);
}

static void test_repeats(void **state)
{
	struct keeper_msg m;
	struct raw *r = raw();
	uint8_t addr[24] = { 0, 4, 0, 0, 0, 0, 0, 0, 10 };

	for (int i = 0; i < KEEPER_ADDRS; i++)
		value(r, KEEPER_T_ADDR, addr, 24);
	assert_int_equal(load(r, &m), 0);
	assert_int_equal(m.addr_count, KEEPER_ADDRS);
	value(r, KEEPER_T_ADDR, addr, 24);
	bad(r);
	r = raw();
	for (int i = 0; i < KEEPER_ENVS; i++)
		value(r, KEEPER_T_ENV, "A=b", 3);
	assert_int_equal(load(r, &m), 0);
	assert_int_equal(m.env_count, KEEPER_ENVS);
	value(r, KEEPER_T_ENV, "A=b", 3);
	bad(r);
	for (int i = 0; i < 5; i++) {
		static const struct {
			const char *p;
			size_t n;
		} wrong[] = { { "", 0 }, { "A", 1 }, { "=b", 2 }, { "ABC", 3 }, { "A=\0", 3 } };

		r = raw();
		value(r, KEEPER_T_ENV, wrong[i].p, wrong[i].n);
		bad(r);
	}
}

static void test_unknown_tags_are_skipped(void **state)
{
	struct keeper_msg m;
	struct raw *r = raw();

	value(r, 0, "x", 1);
	value(r, 999, "xyz", 3);
	value(r, KEEPER_T_MTU, "\0\0\5\0", 4);
	value(r, UINT16_MAX, "", 0);
	assert_int_equal(load(r, &m), 0);
	assert_int_equal(m.have, BIT(MTU));
	assert_int_equal(m.mtu, 1280);
}

static void test_names(void **state)
{
	assert_string_equal(keeper_type_name(KEEPER_HELLO), "hello");
	assert_string_equal(keeper_type_name(KEEPER_STATUS), "status");
	assert_string_equal(keeper_type_name(KEEPER_REPLY), "reply");
	assert_string_equal(keeper_type_name(KEEPER_FORBIDDEN), "forbidden");
	assert_string_equal(keeper_type_name(0), "unknown");
	assert_string_equal(keeper_type_name(KEEPER_STOPPING), "stopping");
	assert_string_equal(keeper_type_name(KEEPER_STOPPED), "stopped");
	assert_string_equal(keeper_type_name(KEEPER_CONF), "conf");
	assert_string_equal(keeper_type_name(KEEPER_CONF + 1), "unknown");
	assert_string_equal(keeper_type_name(UINT16_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_repeats),
		cmocka_unit_test(test_unknown_tags_are_skipped),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
