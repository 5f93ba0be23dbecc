/* Records what a process does to the files below a directory into a log (LD_PRELOAD).
 *
 * Begun by the environment ($RECORD_ROOT, $RECORD_LOG), or later by record_begin() from within.
 * One record: u8 kind, u32 length of path, path, u64 offset, u64 length of data, data. Little
 * endian. Kinds: 'c' a new empty file, 'w' write at offset, 't' truncate to offset, 's' sync (file or
 * directory), 'r' rename (data: the new path), 'u' unlink, 'o' a write to standard output.
 * Calls are serialised, so the log's order is the order in which the kernel saw them.
 *
 * A page that record_begin() shares with whoever watches says what else is to happen, see struct
 * page: a SIGKILL at a durable step, a full disk, a clock that is ahead. Durable steps are syncs,
 * renames and removals.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As tests/power_loss/page.py has it. */
struct page {
	uint64_t steps;	     /* durable steps so far */
	uint64_t kill_step;  /* SIGKILL at this one; 0: never */
	uint64_t kill_after; /* 0: before the step is done; 1: after it */
	uint64_t growths;    /* writes so far that made a file larger */
	uint64_t full_from;  /* from this growth on there is no room; 0: there is */
	uint64_t refused;    /* growths that found no room */
	int64_t ahead_ns;    /* of the clocks */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_size;
static struct page nothing, *volatile page = &nothing;

#define REAL(name)                                                      \
	({                                                              \
		static __typeof__(&name) real;                          \
		if (!real)                                              \
			real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
		real;                                                   \
	})

void record_begin(const char *directory, const char *log, const char *shared)
{
	if (!realpath(directory, root))
		snprintf(root, sizeof root, "%s", directory);
	root_size = strlen(root);
	log_fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0)
		abort();
	if (shared) {
		int fd = REAL(open)(shared, O_RDWR | O_CLOEXEC);
		void *at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		if (at == MAP_FAILED)
			abort();
		close(fd);
		page = at;
	}
}

__attribute__((constructor)) static void begin(void)
{
	const char *log = getenv("RECORD_LOG"), *directory = getenv("RECORD_ROOT");

	if (log && directory)
		record_begin(directory, log, NULL);
}

static void record(char kind, const char *path, uint64_t offset, const void *data, uint64_t size)
{
	uint32_t path_size = (uint32_t)strlen(path);
	struct iovec parts[] = {
		{&kind, 1},    {&path_size, sizeof path_size}, {(void *)path, path_size},
		{&offset, sizeof offset}, {&size, sizeof size}, {(void *)data, size},
	};
	size_t all = 1 + sizeof path_size + path_size + sizeof offset + sizeof size + size;

	/* At once, and whole: nobody may be killed in between. */
	if (writev(log_fd, parts, 6) != (ssize_t)all)
		abort();
}

static int is_ours(const char *path)
{
	return log_fd >= 0 && !strncmp(path, root, root_size) && path[root_size] == '/';
}

static int path_of(int fd, char *path)
{
	char link[64];
	ssize_t size;

	if (log_fd < 0 || fd == log_fd)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	size = readlink(link, path, PATH_MAX - 1);
	if (size < 0)
		return 0;
	path[size] = 0;
	return is_ours(path) || !strcmp(path, root);
}

/* The whole path of `name` below the directory `fd`. */
static int path_at(int fd, const char *name, char *path)
{
	char directory[PATH_MAX];

	if (log_fd < 0)
		return 0;
	if (name[0] == '/') {
		snprintf(path, PATH_MAX, "%s", name);
	} else if (fd == AT_FDCWD) {
		if (!getcwd(directory, sizeof directory) ||
		    snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
			return 0;
	} else if (!path_of(fd, directory) ||
		   snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX) {
		return 0;
	}
	return is_ours(path);
}

/* A durable step: begin_step() before it, end_step() after it. */
static uint64_t begin_step(void)
{
	uint64_t step = ++page->steps;

	if (step == page->kill_step && !page->kill_after)
		kill(getpid(), SIGKILL);
	return step;
}

static void end_step(uint64_t step)
{
	if (step == page->kill_step && page->kill_after)
		kill(getpid(), SIGKILL);
}

/* Whether there is room to write up to `end`: blocks that a file has already can be overwritten. */
static int has_room(int fd, uint64_t end)
{
	struct stat now;

	if (fstat(fd, &now) || !S_ISREG(now.st_mode))
		return 1;
	if (end <= (((uint64_t)now.st_size + 4095) & ~(uint64_t)4095))
		return 1;
	page->growths++;
	if (!page->full_from || page->growths < page->full_from)
		return 1;
	page->refused++;
	errno = ENOSPC;
	return 0;
}

ssize_t write(int fd, const void *data, size_t size)
{
	char path[PATH_MAX];
	off_t offset;
	ssize_t done = -1;
	int ours;

	if (log_fd < 0)
		return REAL(write)(fd, data, size);
	pthread_mutex_lock(&mutex);
	if (fd == 1) {
		record('o', "", 0, data, size);
		done = REAL(write)(fd, data, size);
		pthread_mutex_unlock(&mutex);
		return done;
	}
	ours = path_of(fd, path);
	offset = ours ? lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR) : 0;
	if (!ours || offset < 0 || has_room(fd, (uint64_t)offset + size)) {
		done = REAL(write)(fd, data, size);
		if (done > 0 && ours && offset >= 0)
			record('w', path, (uint64_t)offset, data, (uint64_t)done);
	}
	pthread_mutex_unlock(&mutex);
	return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	char path[PATH_MAX];
	ssize_t done = -1;
	int ours;

	pthread_mutex_lock(&mutex);
	ours = path_of(fd, path);
	if (!ours || has_room(fd, (uint64_t)offset + size)) {
		done = REAL(pwrite64)(fd, data, size, offset);
		if (done > 0 && ours)
			record('w', path, (uint64_t)offset, data, (uint64_t)done);
	}
	pthread_mutex_unlock(&mutex);
	return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite64(fd, data, size, offset);
}

int ftruncate64(int fd, off64_t size)
{
	char path[PATH_MAX];
	int result;

	pthread_mutex_lock(&mutex);
	result = REAL(ftruncate64)(fd, size);
	if (result == 0 && path_of(fd, path))
		record('t', path, (uint64_t)size, "", 0);
	pthread_mutex_unlock(&mutex);
	return result;
}

int ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

static int synced(int fd, int (*real)(int))
{
	char path[PATH_MAX];
	uint64_t step = 0;
	int ours, result;

	pthread_mutex_lock(&mutex);
	ours = path_of(fd, path);
	if (ours)
		step = begin_step();
	result = real(fd);
	if (result == 0 && ours)
		record('s', path, 0, "", 0);
	if (ours)
		end_step(step);
	pthread_mutex_unlock(&mutex);
	return result;
}

int fsync(int fd)
{
	return synced(fd, REAL(fsync));
}

int fdatasync(int fd)
{
	return synced(fd, REAL(fdatasync));
}

int unlinkat(int at, const char *name, int flags)
{
	char path[PATH_MAX];
	uint64_t step;
	int result;

	if ((flags & AT_REMOVEDIR) || !path_at(at, name, path))
		return REAL(unlinkat)(at, name, flags);
	pthread_mutex_lock(&mutex);
	step = begin_step();
	result = REAL(unlinkat)(at, name, flags);
	if (result == 0)
		record('u', path, 0, "", 0);
	end_step(step);
	pthread_mutex_unlock(&mutex);
	return result;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
	char old[PATH_MAX], new[PATH_MAX];
	uint64_t step;
	int result;

	if (!path_at(from_at, from, old) || !path_at(to_at, to, new))
		return REAL(renameat)(from_at, from, to_at, to);
	pthread_mutex_lock(&mutex);
	step = begin_step();
	result = REAL(renameat)(from_at, from, to_at, to);
	if (result == 0)
		record('r', old, 0, new, strlen(new));
	end_step(step);
	pthread_mutex_unlock(&mutex);
	return result;
}

int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

/* Opening may make a file, or empty one. */
static int opened(int at, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];
	struct stat before;
	int fd, was_there;

	if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE ||
	    !path_at(at, name, path))
		return REAL(openat)(at, name, flags, mode);
	pthread_mutex_lock(&mutex);
	was_there = !stat(path, &before);
	fd = REAL(openat)(at, name, flags, mode);
	if (fd >= 0 && !was_there)
		record('c', path, 0, "", 0);
	else if (fd >= 0 && (flags & O_TRUNC) && S_ISREG(before.st_mode) && before.st_size)
		record('t', path, 0, "", 0);
	pthread_mutex_unlock(&mutex);
	return fd;
}

static mode_t mode_in(int flags, va_list more)
{
	return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(more, unsigned) : 0;
}

#define OPENS(NAME, PARAMETERS, LAST, AT)         \
	int NAME PARAMETERS                       \
	{                                         \
		va_list more;                     \
		mode_t mode;                      \
						  \
		va_start(more, LAST);             \
		mode = mode_in(flags, more);      \
		va_end(more);                     \
		return opened(AT, name, flags, mode); \
	}

OPENS(open, (const char *name, int flags, ...), flags, AT_FDCWD)
OPENS(open64, (const char *name, int flags, ...), flags, AT_FDCWD)
OPENS(openat, (int at, const char *name, int flags, ...), flags, at)
OPENS(openat64, (int at, const char *name, int flags, ...), flags, at)

/* --- clocks ------------------------------------------------------------------------------- */

static int is_wall_or_monotonic(clockid_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
	       clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = REAL(clock_gettime)(clock, time);
	int64_t ns;

	if (result || !page->ahead_ns || !is_wall_or_monotonic(clock))
		return result;
	ns = time->tv_nsec + page->ahead_ns % 1000000000;
	time->tv_sec += page->ahead_ns / 1000000000 + ns / 1000000000;
	time->tv_nsec = ns % 1000000000;
	return 0;
}

int gettimeofday(struct timeval *time, void *zone)
{
	int result = REAL(gettimeofday)(time, zone);

	if (result == 0)
		time->tv_sec += page->ahead_ns / 1000000000;
	return result;
}
