/* SPDX-License-Identifier: MIT
 *
 * Run simulated networks, one a seed (see world.h).
 *
 *     sim [--seeds A-B] [--world small|large] [--verbose] [--out DIR]
 *
 * A seed that fails is run again with its transcript and its packets: DIR/seed-N.txt, .pcap.
 */
#include "world.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#define TAIL 16000 /* octets of a transcript that are printed */

static FILE *pcap_open(const char *dir, unsigned long long seed)
{
	static const uint32_t head[] = { 0xa1b2c3d4, 0x00040002, 0, 0, 65535, 101 };
	char name[512];
	FILE *f;

	snprintf(name, sizeof(name), "%s/seed-%llu.pcap", dir, seed);
	f = fopen(name, "wb");
	if (f)
		fwrite(head, sizeof(head), 1, f);
	return f;
}

/* The end of a transcript, for whoever sees only the log of a test. */
static void print_tail(const char *name)
{
	char line[512];
	long size;
	FILE *f = fopen(name, "r");

	if (!f)
		return;
	if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > TAIL)
		(void)fseek(f, size - TAIL, SEEK_SET);
	else
		rewind(f);
	if (fgets(line, sizeof(line), f)) /* cut in the middle */
		printf("# ...\n");
	while (fgets(line, sizeof(line), f))
		printf("# %s", line);
	fclose(f);
}

/* Run the seed again with its transcript, which goes to standard output, sent to a file. */
static void explain(uint64_t seed, bool large, const char *dir)
{
	FILE *pcap = pcap_open(dir, seed);
	struct world w;
	char name[512];
	int out = dup(STDOUT_FILENO);

	fflush(stdout);
	snprintf(name, sizeof(name), "%s/seed-%llu.txt", dir, (unsigned long long)seed);
	if (freopen(name, "w", stdout)) {
		world_run(&w, seed, large, true, pcap);
		world_free(&w);
		fflush(stdout);
		dup2(out, STDOUT_FILENO);
	}
	close(out);
	if (pcap)
		fclose(pcap);
	print_tail(name);
	printf("# transcript in %s, packets beside it\n", name);
}

struct options {
	unsigned long long first, last;
	bool large, verbose;
	const char *dir;
};

static bool options_read(struct options *o, int argc, char **argv)
{
	static const struct option known[] = { { "seeds", required_argument, NULL, 's' },
					       { "world", required_argument, NULL, 'w' },
					       { "verbose", no_argument, NULL, 'v' },
					       { "out", required_argument, NULL, 'o' },
					       { NULL, 0, NULL, 0 } };
	int c;

	*o = (struct options){ .first = 1, .last = 1, .dir = "." };
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 's') {
			int n = sscanf(optarg, "%llu-%llu", &o->first, &o->last);

			if (n < 1)
				return false;
			if (n == 1)
				o->last = o->first;
		} else if (c == 'w') {
			o->large = strcmp(optarg, "large") == 0;
		} else if (c == 'v') {
			o->verbose = true;
		} else if (c == 'o') {
			o->dir = optarg;
		} else {
			return false;
		}
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	unsigned long long bad = 0, packets = 0, kills = 0, restarts = 0, ups = 0;
	struct options o;

	if (!options_read(&o, argc, argv)) {
		fprintf(stderr, "usage: sim [--seeds A-B] [--world small|large] [--verbose] "
				"[--out DIR]\n");
		return 2;
	}
	printf("1..1\n");
	for (unsigned long long seed = o.first; seed <= o.last; seed++) {
		struct world w;

		if (!world_run(&w, seed, o.large, o.verbose, NULL)) {
			bad++;
			printf("# seed %llu: %s\n", seed, w.failure);
			if (!o.verbose && bad <= 3)
				explain(seed, o.large, o.dir);
		}
		packets += w.packets;
		kills += w.kills;
		restarts += w.restarts;
		ups += w.ups;
		world_free(&w);
	}
	printf("# %llu worlds, %llu packets, %llu sessions came up, %llu kills, %llu restarts\n",
	       o.last - o.first + 1, packets, ups, kills, restarts);
	printf("%s 1 - seeds %llu-%llu of %s worlds\n", bad ? "not ok" : "ok", o.first, o.last,
	       o.large ? "large" : "small");
	return bad != 0;
}
