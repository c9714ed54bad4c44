/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target without libFuzzer over files, and over all files of directories: the corpora
 * are regression tests of every build, also of those for other machines. An empty directory is an
 * error, since it would test nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void die(const char *what, const char *path)
{
	perror(path);
	fprintf(stderr, "%s %s\n", what, path);
	exit(1);
}

static void run_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);

	if (!f || !data)
		die("cannot read", path);
	if (fread(data, 1, size, f) != size)
		die("cannot read", path);
	fclose(f);
	/* An exact copy, so that the sanitizer sees a read of the octet after the last. */
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static unsigned int run(const char *path)
{
	unsigned int count = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir;

	if (stat(path, &st) < 0)
		die("cannot find", path);
	if (!S_ISDIR(st.st_mode)) {
		run_file(path, (size_t)st.st_size);
		return 1;
	}
	dir = opendir(path);
	if (!dir)
		die("cannot open", path);
	while ((e = readdir(dir))) {
		char sub[4096];

		if (e->d_name[0] == '.')
			continue;
		if (snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) >= (int)sizeof(sub))
			die("too long a name in", path);
		count += run(sub);
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	unsigned int count = 0;

	for (int i = 1; i < argc; i++)
		count += run(argv[i]);
	printf("%u inputs\n", count);
	return count ? 0 : 1;
}
