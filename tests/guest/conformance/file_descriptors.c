/* Descriptors: lowest first, copies that share a position, flags. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    int a = open("descriptors.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600), b = dup(a);
    write(a, "shared", 6);
    printf("%d %d %ld\n", a, b, (long)lseek(b, 0, SEEK_CUR));
    close(a);
    printf("%d\n", open("descriptors.tmp", O_RDONLY) == a);
    printf("%d %d\n", dup2(b, 50), fcntl(b, F_DUPFD, 60));
    printf("%d %d\n", dup3(b, 51, O_CLOEXEC), fcntl(51, F_GETFD));
    printf("%d %d\n", dup3(b, b, 0), errno == EINVAL);
    fcntl(50, F_SETFD, FD_CLOEXEC);
    printf("%d %d\n", fcntl(50, F_GETFD), fcntl(b, F_GETFD));
    printf("%x %x\n", fcntl(a, F_GETFL) & O_ACCMODE, fcntl(b, F_GETFL) & O_ACCMODE);
    fcntl(b, F_SETFL, O_APPEND);
    lseek(b, 0, SEEK_SET);
    write(b, "!", 1);
    printf("%ld %d\n", (long)lseek(b, 0, SEEK_END), !!(fcntl(50, F_GETFL) & O_APPEND));
    printf("%zd %d\n", write(a, "x", 1), errno == EBADF);
    printf("%d %d\n", close(77), errno == EBADF);
    printf("%d %d\n", fcntl(b, F_DUPFD, -1), errno == EINVAL);
    int c = open("/tmp", O_RDONLY | O_DIRECTORY);
    printf("%zd %d\n", read(c, &a, 4), errno == EISDIR);
    printf("%d\n", isatty(b));
    unlink("descriptors.tmp");
    return 0;
}
