/* Many buffers in one call. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void)
{
    int fd = open("file_vectors.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct iovec out[4] = {{"one ", 4}, {"", 0}, {"two ", 4}, {"three", 5}};
    printf("%zd\n", writev(fd, out, 4));
    char a[3] = "", b[5] = "", c[20] = "";
    struct iovec in[3] = {{a, 2}, {b, 4}, {c, 19}};
    lseek(fd, 0, SEEK_SET);
    printf("%zd", readv(fd, in, 3));
    printf(" [%s][%s][%s]\n", a, b, c);
    memset(c, 0, sizeof c);
    printf("%zd", preadv(fd, in, 3, 4));
    printf(" [%s][%s][%s]\n", a, b, c);
    printf("%zd\n", pwritev(fd, out, 1, 100));
    printf("%zd", pread(fd, c, 4, 100));
    printf(" %ld\n", (long)lseek(fd, 0, SEEK_CUR));
    printf("%zd", readv(fd, in, -1));
    printf(" %d\n", errno == EINVAL);
    struct iovec bad[2] = {{a, 2}, {(void *)8, 4}};
    lseek(fd, 0, SEEK_SET);
    printf("%zd\n", readv(fd, bad, 2));
    printf("%zd\n", preadv2(fd, in, 1, 0, 0));
    unlink("file_vectors.tmp");
    return 0;
}
