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
    printf("%d %d", a, b);
    printf(" %ld\n", (long)lseek(b, 0, SEEK_CUR));
    close(a);
    printf("%d\n", open("descriptors.tmp", O_RDONLY) == a);
    printf("%d", dup2(b, 50));
    printf(" %d\n", fcntl(b, F_DUPFD, 60));
    printf("%d", dup3(b, 51, O_CLOEXEC));
    printf(" %d\n", fcntl(51, F_GETFD));
    printf("%d", dup3(b, b, 0));
    printf(" %d\n", errno == EINVAL);
    fcntl(50, F_SETFD, FD_CLOEXEC);
    printf("%d", fcntl(50, F_GETFD));
    printf(" %d\n", fcntl(b, F_GETFD));
    printf("%x", fcntl(a, F_GETFL) & O_ACCMODE);
    printf(" %x\n", fcntl(b, F_GETFL) & O_ACCMODE);
    fcntl(b, F_SETFL, O_APPEND);
    lseek(b, 0, SEEK_SET);
    write(b, "!", 1);
    printf("%ld", (long)lseek(b, 0, SEEK_END));
    printf(" %d\n", !!(fcntl(50, F_GETFL) & O_APPEND));
    printf("%zd", write(a, "x", 1));
    printf(" %d\n", errno == EBADF);
    printf("%d", close(77));
    printf(" %d\n", errno == EBADF);
    printf("%d", fcntl(b, F_DUPFD, -1));
    printf(" %d\n", errno == EINVAL);
    int c = open("/tmp", O_RDONLY | O_DIRECTORY);
    printf("%zd", read(c, &a, 4));
    printf(" %d\n", errno == EISDIR);
    printf("%d\n", isatty(b));
    unlink("descriptors.tmp");
    return 0;
}
