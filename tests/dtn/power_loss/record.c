/* Records what a process does to the files below $RECORD_ROOT into $RECORD_LOG (LD_PRELOAD).
 *
 * One record: u8 kind, u32 length of path, path, u64 offset, u64 length of data, data. Little
 * endian. Kinds: 'w' write at offset, 't' truncate to offset, 's' sync (file or directory), 'r'
 * rename (data: the new path), 'u' unlink, 'o' a write to standard output.
 * Calls are serialised, so the log's order is the order in which the kernel saw them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static const char *root;
static ssize_t (*real_write)(int, const void *, size_t);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("RECORD_LOG");

	real_write = dlsym(RTLD_NEXT, "write");
	root = getenv("RECORD_ROOT");
	if (path && root)
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *data, size_t size)
{
	const char *next = data;

	while (size) {
		ssize_t done = real_write(log_fd, next, size);

		if (done <= 0)
			abort();
		next += done;
		size -= (size_t)done;
	}
}

static void record(char kind, const char *path, uint64_t offset, const void *data, uint64_t size)
{
	uint32_t path_size = (uint32_t)strlen(path);

	put(&kind, 1);
	put(&path_size, sizeof path_size);
	put(path, path_size);
	put(&offset, sizeof offset);
	put(&size, sizeof size);
	put(data, size);
}

static int is_ours(const char *path)
{
	return log_fd >= 0 && strncmp(path, root, strlen(root)) == 0;
}

static int path_of(int fd, char *path)
{
	char link[64];
	ssize_t size;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	size = readlink(link, path, PATH_MAX - 1);
	if (size < 0)
		return 0;
	path[size] = 0;
	return is_ours(path);
}

ssize_t write(int fd, const void *data, size_t size)
{
	char path[PATH_MAX];
	off_t offset;
	ssize_t done;

	pthread_mutex_lock(&mutex);
	if (fd == 1 && log_fd >= 0) {
		record('o', "", 0, data, size);
		done = real_write(fd, data, size);
	} else {
		offset = lseek(fd, 0, SEEK_CUR);
		done = real_write(fd, data, size);
		if (done > 0 && fd != log_fd && path_of(fd, path))
			record('w', path, (uint64_t)offset, data, (uint64_t)done);
	}
	pthread_mutex_unlock(&mutex);
	return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	static ssize_t (*real)(int, const void *, size_t, off64_t);
	char path[PATH_MAX];
	ssize_t done;

	pthread_mutex_lock(&mutex);
	if (!real)
		real = dlsym(RTLD_NEXT, "pwrite64");
	done = real(fd, data, size, offset);
	if (done > 0 && path_of(fd, path))
		record('w', path, (uint64_t)offset, data, (uint64_t)done);
	pthread_mutex_unlock(&mutex);
	return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite64(fd, data, size, offset);
}

int ftruncate64(int fd, off64_t size)
{
	static int (*real)(int, off64_t);
	char path[PATH_MAX];
	int result;

	pthread_mutex_lock(&mutex);
	if (!real)
		real = dlsym(RTLD_NEXT, "ftruncate64");
	result = real(fd, size);
	if (result == 0 && path_of(fd, path))
		record('t', path, (uint64_t)size, "", 0);
	pthread_mutex_unlock(&mutex);
	return result;
}

int ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

static int synced(int fd, const char *name)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	char path[PATH_MAX];
	int result;

	pthread_mutex_lock(&mutex);
	result = real(fd);
	if (result == 0 && path_of(fd, path))
		record('s', path, 0, "", 0);
	pthread_mutex_unlock(&mutex);
	return result;
}

int fsync(int fd)
{
	return synced(fd, "fsync");
}

int fdatasync(int fd)
{
	return synced(fd, "fdatasync");
}

int unlink(const char *path)
{
	static int (*real)(const char *);
	int result;

	pthread_mutex_lock(&mutex);
	if (!real)
		real = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
	result = real(path);
	if (result == 0 && is_ours(path))
		record('u', path, 0, "", 0);
	pthread_mutex_unlock(&mutex);
	return result;
}

int rename(const char *from, const char *to)
{
	static int (*real)(const char *, const char *);
	int result;

	pthread_mutex_lock(&mutex);
	if (!real)
		real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
	result = real(from, to);
	if (result == 0 && is_ours(from))
		record('r', from, 0, to, strlen(to));
	pthread_mutex_unlock(&mutex);
	return result;
}
