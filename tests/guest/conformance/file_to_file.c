/* sendfile and copy_file_range: from file to file, and to a pipe. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

int main(void)
{
    int a = open("from.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int b = open("to.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char bytes[10000], back[10000];
    for (int i = 0; i < 10000; i++)
        bytes[i] = (char)(i * 31 % 127);
    write(a, bytes, sizeof bytes);
    off_t from = 100, to = 7;
    printf("%zd", sendfile(b, a, &from, 5000));
    printf(" %ld\n", (long)from);
    printf("%zd", pread(b, back, 10000, 0));
    printf(" %d\n", memcmp(back, bytes + 100, 5000));
    from = 9000;
    printf("%zd", copy_file_range(a, &from, b, &to, 5000, 0));
    printf(" %ld %ld\n", (long)from, (long)to);
    pread(b, back, 10000, 0);
    printf("%d", memcmp(back + 7, bytes + 9000, 1000));
    printf(" %d\n", memcmp(back, bytes + 100, 7));
    lseek(a, 9990, SEEK_SET);
    printf("%zd", sendfile(b, a, NULL, 100));
    printf(" %ld\n", (long)lseek(a, 0, SEEK_CUR));
    int ends[2];
    pipe(ends);
    from = 0;
    printf("%zd\n", sendfile(ends[1], a, &from, 300));
    printf("%zd", read(ends[0], back, 1000));
    printf(" %d\n", memcmp(back, bytes, 300));
    printf("%zd", sendfile(99, a, NULL, 1));
    printf(" %d\n", errno == EBADF);
    unlink("from.tmp"), unlink("to.tmp");
    return 0;
}
