/* SPDX-License-Identifier: MIT
 *
 * Dying, or waiting, at named places, for tests; see base/fault.h. Compiled with -Dfaults=true
 * alone, and linked with the engines, so that every part finds it.
 */
#include "base/fault.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fault_file {
	char name[48];
	uint32_t count, deaths, reserved[2];
};

static struct fault_file *faults;
static int dies;

void fault_open(int mortal)
{
	const char *path = getenv(FAULT_ENV);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mem;

	if (fd < 0)
		return;
	mem = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	faults = mem == MAP_FAILED ? NULL : mem;
	dies = mortal;
}

static int here(const char *name)
{
	return faults && strncmp(faults->name, name, sizeof(faults->name)) == 0;
}

int fault_due(const char *name)
{
	return dies && here(name) && faults->count && --faults->count == 0;
}

void fault_slow(const char *name)
{
	if (here(name))
		usleep(faults->count * 1000);
}

void fault_die(void)
{
	memset(faults->name, 0, sizeof(faults->name));
	faults->deaths++;
	_exit(137); /* as a shell tells SIGKILL */
}

void fault_point(const char *name)
{
	if (fault_due(name))
		fault_die();
}
