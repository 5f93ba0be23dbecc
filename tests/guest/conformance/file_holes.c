/* Files with holes: what was never written is zero. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    int fd = open("file_holes.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char bytes[5000];
    struct stat s;
    pwrite(fd, "end", 3, 1000000);
    fstat(fd, &s);
    printf("%ld %d\n", (long)s.st_size, s.st_blocks * 512 < 100000);
    ssize_t n = pread(fd, bytes, sizeof bytes, 400000);
    int sum = 0;
    for (ssize_t i = 0; i < n; i++)
        sum += bytes[i];
    printf("%zd %d\n", n, sum);
    printf("%zd", pread(fd, bytes, 10, 1000000));
    printf(" %c\n", bytes[0]);
    printf("%zd\n", pread(fd, bytes, 10, 2000000));
    ftruncate(fd, 1000001);
    ftruncate(fd, 1000010);
    n = pread(fd, bytes, 100, 999999);
    for (ssize_t i = 0; i < n; i++)
        printf("%d ", bytes[i]);
    printf("\n%ld", (long)lseek(fd, 0, SEEK_END));
    printf(" %ld\n", (long)lseek(fd, 1000000, SEEK_DATA));
    printf("%d", lseek(fd, 2000000, SEEK_DATA) < 0);
    printf(" %d\n", errno == ENXIO);
    printf("%ld\n", (long)lseek(fd, 999999999, SEEK_SET));
    printf("%d", lseek(fd, -5, SEEK_SET) < 0);
    printf(" %d\n", errno == EINVAL);
    ftruncate(fd, 8000);
    ftruncate(fd, 5000);
    printf("%d\n", truncate("file_holes.tmp", 3));
    fstat(fd, &s);
    printf("%ld", (long)s.st_size);
    printf(" %d\n", unlink("file_holes.tmp"));
    return 0;
}
