/* SPDX-License-Identifier: MIT
 *
 * Joining and cutting of TCP (src/dp/join.c, cut.c) for tests that make and check packets by means
 * of their own (tests/net/test_dp_gso.py). Lines of hexadecimal octets on standard input:
 *
 *   join PACKET...      the segments of one flow in their order -> a line "VNET PACKET" for each
 *                       write to the device
 *   cut VNET PACKET     -> a line for each segment, "refused" when it cannot be cut
 *   sum VNET PACKET     -> the packet with its checksum, "refused"
 *   fragment MTU PACKET -> a line for each fragment
 *
 * Each answer ends with an empty line.
 */
#include "dp/cut.h"
#include "dp/join.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST 70000

static void print(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
}

/* Octets of their own, so that a sanitizer sees the end of each packet. */
static uint8_t *octets(const char *hex, size_t *ret_n)
{
	size_t n = strlen(hex) / 2;
	uint8_t *p = malloc(n ? n : 1);

	for (size_t i = 0; p && i < n; i++) {
		unsigned int v = 0;

		sscanf(hex + 2 * i, "%2x", &v);
		p[i] = (uint8_t)v;
	}
	*ret_n = n;
	return p;
}

static void write_out(struct join *j)
{
	int n;

	join_finish(j, &n);
	for (int i = 0; i < n; i++) {
		print(j->iov[i].iov_base, j->iov[i].iov_len);
		if (i == 0)
			putchar(' ');
	}
	putchar('\n');
}

/* As tun.c does it for one session. */
static void do_join(char *rest)
{
	static struct join j;
	uint8_t *kept[200];
	unsigned int count = 0;
	bool open = false;
	char *save = NULL;

	for (char *w = strtok_r(rest, " ", &save); w && count < 200;
	     w = strtok_r(NULL, " ", &save)) {
		struct join_seg s;
		struct pkt_ip ip;
		size_t n;
		uint8_t *p = kept[count++] = octets(w, &n);
		bool can = pkt_ip_parse(p, n, p[0] >> 4, &ip) && join_parse(p, &ip, &s);

		if (open && can && join_same_flow(&j, 1, &s) && join_add(&j, &s))
			continue;
		if (open)
			write_out(&j);
		open = can && join_opens(&s);
		if (open) {
			join_begin(&j, 0, 1, &s);
		} else {
			printf("00000000000000000000 ");
			print(p, n);
			putchar('\n');
		}
	}
	if (open)
		write_out(&j);
	while (count)
		free(kept[--count]);
}

static void do_cut(char *rest, bool sum_only)
{
	char *space = strchr(rest, ' ');
	struct virtio_net_hdr v;
	struct pkt_ip ip;
	struct cut c;
	uint8_t *head, *p;
	const uint8_t *payload;
	size_t n, m;

	if (!space)
		return;
	*space = '\0';
	head = octets(rest, &n);
	memcpy(&v, head, sizeof(v));
	free(head);
	p = octets(space + 1, &n);
	head = malloc(CUT_HEAD_MAX);
	if (sum_only && cut_checksum(p, n, &v)) {
		print(p, n);
		putchar('\n');
	} else if (sum_only || !pkt_ip_parse(p, n, p[0] >> 4, &ip) || !cut_begin(&c, p, &ip, &v)) {
		printf("refused\n");
	} else {
		uint32_t left = cut_count(&c);

		for (; (n = cut_next(&c, head, &payload, &m)) != 0; left--) {
			if (n + m > cut_longest(&c))
				abort();
			print(head, n);
			print(payload, m);
			putchar('\n');
		}
		if (left)
			abort();
	}
	free(head);
	free(p);
}

static void do_fragment(char *rest)
{
	uint8_t *p, *out = malloc(MOST);
	struct pkt_ip ip;
	size_t n, pos = 0, used;
	uint16_t mtu = (uint16_t)strtoul(rest, &rest, 10);

	p = octets(rest + 1, &n);
	if (pkt_ip_parse(p, n, 4, &ip)) {
		while ((used = pkt_fragment(p, &ip, mtu, &pos, out)) != 0) {
			print(out, used);
			putchar('\n');
		}
	}
	free(out);
	free(p);
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[n - 1] = '\0';
		if (strncmp(line, "join ", 5) == 0)
			do_join(line + 5);
		else if (strncmp(line, "cut ", 4) == 0)
			do_cut(line + 4, false);
		else if (strncmp(line, "sum ", 4) == 0)
			do_cut(line + 4, true);
		else if (strncmp(line, "fragment ", 9) == 0)
			do_fragment(line + 9);
		putchar('\n');
		fflush(stdout);
	}
	free(line);
	return 0;
}
