/*
 * Preloaded, every fsync and fdatasync takes SLOW_SYNC_US microseconds longer, as on an SD card.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_card(void)
{
	const char *us = getenv("SLOW_SYNC_US");

	if (us)
		usleep((useconds_t)atoi(us));
}

int fsync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");

	wait_for_card();
	return real(fd);
}

int fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	wait_for_card();
	return real(fd);
}
