/* Room made beforehand, and room given back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static long size(int fd)
{
    struct stat s;
    fstat(fd, &s);
    return (long)s.st_size;
}

int main(void)
{
    int fd = open("allocate.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char c;
    printf("%d", posix_fallocate(fd, 0, 10000));
    printf(" %ld\n", size(fd));
    printf("%d", posix_fallocate(fd, 5000, 100));
    printf(" %ld\n", size(fd));
    printf("%d", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 50000));
    printf(" %ld\n", size(fd));
    pwrite(fd, "abcdef", 6, 4000);
    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4002, 2);
    for (int i = 0; i < 6; i++)
        printf("%d ", pread(fd, &c, 1, 4000 + i) == 1 ? c : -1);
    printf("\n%d\n", posix_fallocate(fd, 0, 0) == EINVAL);
    printf("%d\n", posix_fallocate(99, 0, 1) == EBADF);
    printf("%d\n", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    printf("%d", fsync(fd));
    printf(" %d", fdatasync(fd));
    printf(" %d\n", syncfs(fd));
    unlink("allocate.tmp");
    return 0;
}
