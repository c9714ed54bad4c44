/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: datagrams between aditd and the keeper. What is read is within its bounds and comes
 * back the same after it was written.
 *
 * drives: src/keeper/proto.c
 *
 * Input: a datagram; the magic number is put in front unless the first octet is odd.
 */
#include <stdlib.h>

#include "base/wire.h"
#include "keeper/proto.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(const struct keeper_msg *m, const uint8_t *bytes, size_t len)
{
	CHECK(memchr(m->text, 0, sizeof(m->text)) && memchr(m->name, 0, sizeof(m->name)));
	CHECK(memchr(m->host, 0, sizeof(m->host)) && memchr(m->program, 0, sizeof(m->program)));
	CHECK(m->addr_count <= KEEPER_ADDRS && m->size_count <= KEEPER_FDS);
	CHECK(m->env_count <= KEEPER_ENVS);
	for (uint32_t i = 0; i < m->env_count; i++) {
		const uint8_t *p = (const uint8_t *)m->envs[i].text;

		CHECK(p >= bytes && p + m->envs[i].len <= bytes + len);
		CHECK(memchr(p, '=', m->envs[i].len) && !memchr(p, 0, m->envs[i].len));
	}
	CHECK(keeper_type_name(m->type));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t magic[4] = { 'a', 'd', 'k', '1' };
	struct keeper_msg m, again;
	uint8_t out[KEEPER_MAX], *bytes;
	struct wcur c;
	size_t head;

	if (size == 0 || size > KEEPER_MAX - sizeof(magic))
		return 0;
	head = data[0] & 1 ? 0 : sizeof(magic);
	bytes = malloc(head + size);
	if (!bytes)
		return 0;
	memcpy(bytes, magic, head);
	memcpy(bytes + head, data + 1, size - 1);
	if (keeper_msg_load(bytes, head + size - 1, &m) == 0) {
		check_texts(&m, bytes, head + size - 1);
		c = wcur_of(out, sizeof(out));
		keeper_msg_save(&c, &m);
		CHECK(!c.bad && c.len <= head + size - 1);
		CHECK(keeper_msg_load(out, c.len, &again) == 0);
		for (uint32_t i = 0; i < m.env_count; i++) {
			CHECK(again.envs[i].len == m.envs[i].len);
			CHECK(memcmp(again.envs[i].text, m.envs[i].text, m.envs[i].len) == 0);
			again.envs[i] = m.envs[i];
		}
		CHECK(memcmp(&m, &again, sizeof(m)) == 0);
	}
	free(bytes);
	return 0;
}
