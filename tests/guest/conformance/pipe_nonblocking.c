/* A pipe that does not wait: how much it holds, and what it answers when full or empty. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    int ends[2];
    char block[4096] = {0};
    printf("%d\n", pipe2(ends, O_NONBLOCK | O_CLOEXEC));
    printf("%zd", read(ends[0], block, 1));
    printf(" %d\n", errno == EAGAIN);
    long total = 0;
    for (ssize_t n; (n = write(ends[1], block, sizeof block)) > 0;)
        total += n;
    printf("%ld %d\n", total, errno == EAGAIN);
    printf("%zd\n", read(ends[0], block, sizeof block));
    printf("%zd\n", write(ends[1], block, sizeof block));
    struct stat s;
    fstat(ends[0], &s);
    printf("%d %d\n", S_ISFIFO(s.st_mode), lseek(ends[0], 0, SEEK_CUR) < 0 && errno == ESPIPE);
    printf("%d %d\n", fcntl(ends[0], F_GETFD), !!(fcntl(ends[0], F_GETFL) & O_NONBLOCK));
    close(ends[1]);
    ssize_t n;
    for (total = 0; (n = read(ends[0], block, sizeof block)) > 0;)
        total += n;
    printf("%ld %zd\n", total, n);
    return 0;
}
